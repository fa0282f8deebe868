// Package apiaggregator is the pipeline of the Promise api-aggregator: it makes
// the Gateway of a host and tells the targets of it when something that concerns
// them has changed.
package apiaggregator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const promise = "api-aggregator"

// Pipeline is the Promise's pipeline.
var Pipeline = workflow.Pipeline{
	Promise:      promise,
	Kind:         platform.ApiAggregator,
	Configure:    configure,
	Delete:       remove,
	Check:        workflow.CheckBy(v1alpha1.Read),
	PlatformOnly: true,
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(Pipeline) }

// inputs are all that a run depends on.
type inputs struct {
	aggregator *v1alpha1.ApiAggregator
	placement  destination.Placement
	targets    []target // all of the platform
	templates  render.Templates
}

func configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	in, err := gather(ctx, run)
	if err != nil {
		return workflow.Result{}, err
	}
	if err := holdHost(ctx, run, in.aggregator); err != nil {
		return workflow.Result{}, err
	}
	claims, err := sweep(ctx, run, in)
	if err != nil {
		return workflow.Result{}, err
	}
	if err := settleHost(ctx, run, in.aggregator, claims); err != nil {
		return workflow.Result{}, err
	}
	output, err := emit(run, in, claims)
	if err != nil {
		return workflow.Result{}, err
	}
	if err := workflow.NotifyPeers(ctx, run, platform.ApiAggregatorTarget, concerned(in, run.Now)); err != nil {
		return workflow.Result{}, err
	}
	return report(in, output, claims), nil
}

// remove releases the host, ends configure runs, and tells the targets that they lose it.
func remove(ctx context.Context, run *workflow.Run) error {
	if err := releaseHost(ctx, run); err != nil {
		return err
	}
	if err := run.StopConfigure(ctx); err != nil {
		return err
	}
	all, err := listTargets(ctx, run.Platform)
	if err != nil {
		return err
	}
	return workflow.NotifyAll(ctx, run, platform.ApiAggregatorTarget, attached(all, run.Identity))
}

func gather(ctx context.Context, run *workflow.Run) (inputs, error) {
	var in inputs
	var err error
	if in.aggregator, err = v1alpha1.Read(run.Request); err != nil {
		return in, workflow.Fail(reason.InvalidSpec, err)
	}
	if in.placement, err = destination.List(ctx, run.Platform, in.aggregator.Spec.Placement.Labels()); err != nil {
		return in, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	if in.targets, err = listTargets(ctx, run.Platform); err != nil {
		return in, err
	}
	in.templates, err = run.Templates(ctx, promises.Templates(promise))
	return in, err
}

// unclosed says what of the delegated prefixes may fall to others until somebody
// publishes it.
func unclosed(a *v1alpha1.ApiAggregator, claims []claim.Claim) (messages []string) {
	for _, d := range a.Spec.Delegations {
		if err := gateway.Delegable(a.Spec.Gateway.Implementation, d.Prefix); err != nil {
			messages = append(messages, fmt.Sprintf("the delegation of %s is of no use: %v", field.Quote(d.Prefix), err))
		}
	}
	for prefix, behind := range gateway.Waiting(a, claims) {
		messages = append(messages, fmt.Sprintf("the delegated prefix %s is closed when %s of %s has run with this version of Baleen, too", prefix, behind.Resource.Key, behind.Owner))
	}
	routes := a.Spec.Gateway.AllowedRoutes
	if len(a.Spec.Delegations) > 0 && routes != nil && routes.Selector != nil && a.Spec.Gateway.ClosingNamespace == "" {
		messages = append(messages, fmt.Sprintf("what is delegated is closed by routes in the namespace %s until it is published: the selector of spec.gateway.allowedRoutes must admit it, or name one that it admits in spec.gateway.closingNamespace",
			a.Spec.Gateway.Namespace))
	}
	return messages
}

// sharedHost says that the clusters' DNS controllers write different records of one name.
func sharedHost(in inputs) []string {
	if d := in.aggregator.Spec.DNS; d == nil || !*d.Enabled || len(in.placement.Placed) < 2 {
		return nil
	}
	targets := map[string]bool{}
	for _, name := range in.placement.Placed {
		targets[specOn(name, in.aggregator.Spec).DNS.Target] = true
	}
	if len(targets) == 1 && !targets[""] {
		return nil
	}
	return []string{fmt.Sprintf("on %s external-dns gives %s different targets: of several that write one zone the first keeps the record, or they overwrite each other; set spec.dns.target to one for all, or spec.dns.enabled to false and make the record yourself",
		in.placement.Count(), in.aggregator.Spec.Hostname)}
}

// maxRows is how many published paths the status shows; it counts them all.
const maxRows = 100

// report shows the host and what is published under it.
func report(in inputs, output destination.Output, claims []claim.Claim) workflow.Result {
	rows := []v1alpha1.PublishedPath{}
	for _, c := range claims {
		if c.State == claim.Held {
			rows = append(rows, v1alpha1.PublishedPath{Path: c.Resource.Key, Type: c.Facts[gateway.FactType], Owner: c.Owner.String()})
		}
	}
	slices.SortFunc(rows, func(a, b v1alpha1.PublishedPath) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Owner, b.Owner))
	})
	result := workflow.Result{
		Placement: in.placement,
		Output:    output,
		Ready:     true,
		Reason:    reason.Published,
		Message:   fmt.Sprintf("%s is served on %s and publishes %d paths", gateway.URL(in.aggregator), in.placement.Count(), len(rows)),
		Status: map[string]any{
			"url":       gateway.URL(in.aggregator),
			"paths":     rows[:min(len(rows), maxRows)],
			"pathCount": len(rows),
		},
	}
	for _, o := range in.aggregator.Spec.PerDestination {
		if !slices.Contains(in.placement.Placed, o.Name) {
			result.Lacks(reason.OverrideUnused, fmt.Sprintf("spec.perDestination names %s, where the aggregator is not: correct the name or the placement", o.Name))
		}
	}
	for _, message := range append(unclosed(in.aggregator, claims), sharedHost(in)...) {
		result.Note(message)
	}
	if why, message := in.placement.Problem("spec.placement"); why != "" {
		result.Lacks(why, message)
	}
	return result
}
