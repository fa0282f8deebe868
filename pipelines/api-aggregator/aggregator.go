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

// world is all that a run depends on.
type world struct {
	aggregator *v1alpha1.ApiAggregator
	placement  destination.Placement
	targets    []target // all of the platform
	templates  render.Templates
}

func configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	w, err := gather(ctx, run)
	if err != nil {
		return workflow.Result{}, err
	}
	if err := holdHost(ctx, run, w.aggregator); err != nil {
		return workflow.Result{}, err
	}
	output, err := emit(run, w)
	if err != nil {
		return workflow.Result{}, err
	}
	claims, err := sweep(ctx, run, w)
	if err != nil {
		return workflow.Result{}, err
	}
	if err := workflow.AskAll(ctx, run, platform.ApiAggregatorTarget, concerned(w, run.Now)); err != nil {
		return workflow.Result{}, err
	}
	return report(w, output, claims), nil
}

// remove lets go of the host and tells the targets that they lose it.
func remove(ctx context.Context, run *workflow.Run) error {
	if err := releaseHost(ctx, run); err != nil {
		return err
	}
	all, err := listTargets(ctx, run.Platform)
	if err != nil {
		return err
	}
	return workflow.AskAll(ctx, run, platform.ApiAggregatorTarget, attached(all, run.Identity))
}

func gather(ctx context.Context, run *workflow.Run) (world, error) {
	var w world
	var err error
	if w.aggregator, err = v1alpha1.Read(run.Request); err != nil {
		return w, workflow.Fail(reason.InvalidSpec, err)
	}
	if w.placement, err = destination.List(ctx, run.Platform, w.aggregator.Spec.Placement.Labels()); err != nil {
		return w, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	if w.targets, err = listTargets(ctx, run.Platform); err != nil {
		return w, err
	}
	w.templates, err = run.Templates(ctx, promises.Templates(promise))
	return w, err
}

func url(a *v1alpha1.ApiAggregator) string { return "https://" + a.Spec.Hostname }

// maxRows is how many published paths the status shows; it counts them all.
const maxRows = 100

// report shows the host and what is published under it.
func report(w world, output destination.Output, claims []claim.Claim) workflow.Result {
	rows := []v1alpha1.PublishedPath{}
	for _, c := range claims {
		if c.State == claim.Held {
			rows = append(rows, v1alpha1.PublishedPath{Path: c.Thing.Key, Type: c.Facts["type"], Owner: c.Owner.String()})
		}
	}
	slices.SortFunc(rows, func(a, b v1alpha1.PublishedPath) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Owner, b.Owner))
	})
	result := workflow.Result{
		Placement: w.placement,
		Output:    output,
		Ready:     true,
		Reason:    reason.Published,
		Message:   fmt.Sprintf("%s is served on %s and publishes %d paths", url(w.aggregator), w.placement.Count(), len(rows)),
		Status: map[string]any{
			"url":       url(w.aggregator),
			"paths":     rows[:min(len(rows), maxRows)],
			"pathCount": len(rows),
		},
	}
	for _, o := range w.aggregator.Spec.PerDestination {
		if !slices.Contains(w.placement.Placed, o.Name) {
			result.Lacks(reason.OverrideUnused, fmt.Sprintf("spec.perDestination names %s, where the aggregator is not: correct the name or the placement", o.Name))
		}
	}
	if why, message := w.placement.Problem("spec.placement"); why != "" {
		result.Lacks(why, message)
	}
	return result
}
