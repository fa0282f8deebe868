// Package apiaggregatortarget is the pipeline of the Promise
// api-aggregator-target: it makes one route for each path, on every cluster
// where the aggregator is.
package apiaggregatortarget

import (
	"context"
	"fmt"
	"maps"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const promise = "api-aggregator-target"

// Pipeline is the Promise's pipeline.
var Pipeline = workflow.Pipeline{
	Promise:      promise,
	Kind:         platform.ApiAggregatorTarget,
	Configure:    configure,
	Delete:       release,
	Check:        workflow.CheckBy(v1alpha1.Read),
	PlatformOnly: true,
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(Pipeline) }

// inputs are all that a run depends on.
type inputs struct {
	target    *v1alpha1.ApiAggregatorTarget
	namespace string // on the workload clusters
	terms     gateway.Terms
	// seen is what the status tells the aggregator of its terms, also by a run
	// that cannot finish: nil as long as nothing was looked up.
	seen      map[string]any
	placement destination.Placement
	templates render.Templates
	// settled: no path of the host has routes of v0.1.0, see [gateway.FactRules].
	settled bool
}

func configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	in, err := gather(ctx, run)
	if err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	paths := plan(in.target, in.terms)
	if err := claimPaths(ctx, run, in, paths); err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	output, err := emit(run, in, paths)
	if err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	if err := tellAggregator(ctx, run, in, output); err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	return report(in, paths, output), nil
}

// tellAggregator has the aggregator run again where it closes delegated prefixes only as
// long as nobody has them, and this request now serves others of them than before.
func tellAggregator(ctx context.Context, run *workflow.Run, in inputs, output destination.Output) error {
	if !gateway.ClosesWhatIsFree(in.terms.Implementation) || maps.Equal(delegatedIn(in.terms, run.Last), delegatedIn(in.terms, output)) {
		return nil
	}
	return run.Notify(ctx, platform.ApiAggregator, in.target.AggregatorNamespace(), in.target.Spec.AggregatorRef.Name)
}

// delegatedIn returns the keys of the delegated prefixes that an output serves whole.
func delegatedIn(terms gateway.Terms, output destination.Output) map[string]bool {
	keys := map[string]bool{}
	for _, files := range output {
		for _, data := range files {
			path := pathOf(data)
			if _, delegated := terms.Delegations[path.Key]; delegated && path.Scope == terms.Hostname && matchesPrefix(data) {
				keys[path.Key] = true
			}
		}
	}
	return keys
}

func gather(ctx context.Context, run *workflow.Run) (inputs, error) {
	var in inputs
	var err error
	if in.target, err = v1alpha1.Read(run.Request); err != nil {
		return in, workflow.Fail(reason.InvalidSpec, err)
	}
	if in.namespace, err = run.Config.WorkloadNamespace(in.target.Namespace, in.target.Spec.WorkloadNamespace); err != nil {
		return in, workflow.Fail(reason.NamespaceNotMapped, err)
	}
	in.seen = map[string]any{termsKey: ""}
	a, err := readAggregator(ctx, run.Platform, in.target)
	if err != nil {
		return in, err
	}
	if in.placement, err = destination.List(ctx, run.Platform, a.Spec.Placement.Labels()); err != nil {
		return in, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	host, err := holdsHost(ctx, run, a)
	if err != nil {
		return in, err
	}
	in.settled = host.Facts[gateway.FactRules] == gateway.RulesAll
	in.terms = gateway.TermsFor(a, in.target.Namespace, in.placement.Placed)
	in.seen[termsKey] = in.terms.Digest()
	if !in.terms.Admitted {
		return in, workflow.Fail(reason.NotAdmitted, fmt.Errorf("ApiAggregator %s/%s does not admit targets of the namespace %s: ask its owner to add the namespace to spec.allowedNamespaces",
			a.Namespace, a.Name, in.target.Namespace))
	}
	in.templates, err = run.Templates(ctx, promises.Templates(promise))
	return in, err
}

func readAggregator(ctx context.Context, client platform.Client, t *v1alpha1.ApiAggregatorTarget) (*aggregator.ApiAggregator, error) {
	namespace, name := t.AggregatorNamespace(), t.Spec.AggregatorRef.Name
	object, err := client.Get(ctx, platform.ApiAggregator, namespace, name)
	switch {
	case apierrors.IsNotFound(err), err == nil && kratix.IsDryRun(object): // one that is only tried offers nothing
		return nil, workflow.Fail(reason.AggregatorNotFound, fmt.Errorf("there is no ApiAggregator %s/%s: create it, or correct spec.aggregatorRef", namespace, name))
	case err != nil:
		return nil, fmt.Errorf("ApiAggregator %s/%s cannot be read: %w", namespace, name, err)
	case object.GetDeletionTimestamp() != nil:
		return nil, workflow.Fail(reason.AggregatorNotFound, fmt.Errorf("ApiAggregator %s/%s is being deleted: move this target to another one", namespace, name))
	}
	a, err := aggregator.Read(object)
	if err != nil {
		return nil, workflow.Fail(reason.AggregatorInvalid, err)
	}
	return a, nil
}

// costs says what an accepted path does not have, because of what it asks for or until
// others have run.
func costs(terms gateway.Terms, p path) string {
	var says []string
	if gateway.Buffers(terms.Implementation) && p.limit != "" {
		says = append(says, fmt.Sprintf("%s reads whole bodies to limit them: WebSockets and streams do not work here", terms.Implementation))
	}
	if p.behind != "" && len(p.spec.Methods) > 0 {
		says = append(says, fmt.Sprintf("methods that it does not list are closed when %s has run with this version of Baleen, too", p.behind))
	}
	return strings.Join(says, "; ")
}

// termsKey is the key of the status by which the aggregator knows whom a change
// concerns.
const termsKey = "aggregatorTerms"

// report says in the status what became of each path.
func report(in inputs, paths []path, output destination.Output) workflow.Result {
	url := in.terms.URL()
	rows := []v1alpha1.PathStatus{}
	accepted := 0
	var refused []string
	for _, p := range paths {
		if p.kept {
			p.message += "; what was last accepted stays in place"
		}
		row := v1alpha1.PathStatus{Path: p.spec.Path, Type: p.spec.Type, State: p.state, Message: p.message}
		if p.state == v1alpha1.Accepted {
			row.URL, row.Message = url+p.parsed.Value, costs(in.terms, p)
			accepted++
		} else {
			refused = append(refused, fmt.Sprintf("the path %s is refused (%s): %s", p.spec.Path, p.state, p.message))
		}
		rows = append(rows, row)
	}
	result := workflow.Result{
		Placement: in.placement,
		Output:    output,
		Ready:     true,
		Reason:    reason.Published,
		Message:   fmt.Sprintf("%d of %d paths are accepted under %s, on %s", accepted, len(paths), url, in.placement.Count()),
		Status: map[string]any{
			"url":      url,
			"accepted": fmt.Sprintf("%d/%d", accepted, len(paths)),
			"paths":    rows,
			termsKey:   in.terms.Digest(),
		},
	}
	if why, message := in.placement.Problem("the aggregator's spec.placement"); why != "" {
		result.Lacks(why, message)
	}
	if len(refused) > 0 {
		result.Lacks(reason.PathsRefused, refused[0])
	}
	if more := len(refused) - 1; more > 0 {
		result.Note(fmt.Sprintf("refused besides: %d, see status.paths", more))
	}
	return result
}
