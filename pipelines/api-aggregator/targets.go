package apiaggregator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// target is what the aggregator knows of a target.
type target struct {
	namespace, name string
	// aggregator is the one that it refers to, namespace/name.
	aggregator string
	// terms is the digest of the terms that its last run saw; empty before.
	terms string
	// failed tells that its last run could not finish for a reason that may have
	// gone away since.
	failed bool
	// refused tells that its last run found the request itself to be wrong: no
	// terms mend that.
	refused bool
	// deleting is since when it is being deleted; zero if it is not.
	deleting time.Time
}

// mayHaveGoneAway are reasons of a failure that nobody mends in the request.
var mayHaveGoneAway = []string{"PlatformUnavailable", "Failed", "RenderFailed", "OverlayFailed", "ConfigurationInvalid"}

// listTargets returns all targets of the platform.
func listTargets(ctx context.Context, client platform.Client) ([]target, error) {
	objects, err := client.List(ctx, platform.ApiAggregatorTarget, "", nil)
	if err != nil {
		return nil, fmt.Errorf("the ApiAggregatorTargets cannot be listed: %w", err)
	}
	var targets []target
	for _, o := range objects {
		text := func(fields ...string) string {
			s, _, _ := unstructured.NestedString(o.Object, fields...)
			return s
		}
		t := target{
			namespace: o.GetNamespace(), name: o.GetName(),
			aggregator: cmp.Or(text("spec", "aggregatorRef", "namespace"), o.GetNamespace()) + "/" + text("spec", "aggregatorRef", "name"),
			terms:      text("status", "aggregatorTerms"),
		}
		if d := o.GetDeletionTimestamp(); d != nil {
			t.deleting = d.Time
		}
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, c := range conditions {
			c, _ := c.(map[string]any)
			reason, _ := c["reason"].(string)
			generation, _ := c["observedGeneration"].(int64)
			t.refused = t.refused || c["type"] == "Ready" && slices.Contains([]string{"InvalidSpec", "NamespaceNotMapped"}, reason) && generation == o.GetGeneration()
			t.failed = t.failed || c["type"] == "Ready" && slices.Contains(mayHaveGoneAway, reason) ||
				c["type"] == "ConfigureWorkflowCompleted" && reason == "ConfigureWorkflowFailed" // Kratix's word for an exit code other than 0
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// attached returns the targets that refer to an aggregator.
func attached(all []target, aggregator identity.Request) []target {
	return slices.DeleteFunc(slices.Clone(all), func(t target) bool { return t.aggregator != aggregator.String() })
}

// stuck is how long a deletion takes at the most where its Job can run, and does
// not fail.
const stuck = 10 * time.Minute

func (t target) isStuck(now time.Time) bool {
	return !t.deleting.IsZero() && !now.Before(t.deleting.Add(stuck))
}

// concerned returns the targets for which the terms have changed since their
// last run, and those whose last run failed: Kratix tries a delete that failed
// only when it is asked to.
func concerned(w world, now time.Time) []target {
	return slices.DeleteFunc(attached(w.targets, gateway.Request(w.aggregator)), func(t target) bool {
		if !t.deleting.IsZero() {
			return !t.isStuck(now)
		}
		return t.refused || !t.failed && t.terms == gateway.TermsFor(w.aggregator, t.namespace, w.placement.Placed).Digest()
	})
}

// ask has Kratix run the pipelines of targets soon.
func ask(ctx context.Context, run *workflow.Run, targets []target) error {
	for _, t := range targets {
		if err := run.Ask(ctx, platform.ApiAggregatorTarget, t.namespace, t.name); err != nil {
			return err
		}
	}
	return nil
}

// askOwners does so for those who wait for a path.
func askOwners(ctx context.Context, run *workflow.Run, waiters []claim.Owner) error {
	for _, o := range waiters {
		if err := run.Ask(ctx, platform.ApiAggregatorTarget, o.Namespace, o.Name); err != nil {
			return err
		}
	}
	return nil
}
