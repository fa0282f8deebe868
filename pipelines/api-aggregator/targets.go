package apiaggregator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// target is what the aggregator knows of a target.
type target struct {
	workflow.Peer
	// aggregator is the one that it refers to, namespace/name.
	aggregator string
}

// listTargets returns all targets of the platform.
func listTargets(ctx context.Context, client platform.Client) ([]target, error) {
	objects, err := kratix.Requests(ctx, client, platform.ApiAggregatorTarget)
	if err != nil {
		return nil, fmt.Errorf("the ApiAggregatorTargets cannot be listed: %w", err)
	}
	var targets []target
	for _, o := range objects {
		text := func(fields ...string) string {
			s, _, _ := unstructured.NestedString(o.Object, fields...)
			return s
		}
		targets = append(targets, target{
			Peer:       workflow.PeerOf(&o, "aggregatorTerms"),
			aggregator: cmp.Or(text("spec", "aggregatorRef", "namespace"), o.GetNamespace()) + "/" + text("spec", "aggregatorRef", "name"),
		})
	}
	return targets, nil
}

// attached returns the targets that refer to an aggregator.
func attached(all []target, aggregator identity.Request) []target {
	return slices.DeleteFunc(slices.Clone(all), func(t target) bool { return t.aggregator != aggregator.String() })
}

// concerned returns the targets for which the terms have changed since their
// last run, and those whose last run failed.
func concerned(in inputs, now time.Time) []target {
	return slices.DeleteFunc(attached(in.targets, gateway.Request(in.aggregator)), func(t target) bool {
		return !t.Concerned(gateway.TermsFor(in.aggregator, t.Namespace, in.placement.Placed).Digest(), now)
	})
}
