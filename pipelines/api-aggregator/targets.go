package apiaggregator

import (
	"cmp"
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// target is what the aggregator knows of a target that refers to it.
type target struct {
	namespace, name string
	// terms is the digest of the terms that its last run saw; empty before.
	terms string
	// asked tells that it is already asked to reconcile.
	asked     bool
	published []v1alpha1.PublishedPath
}

// listTargets returns the targets that refer to an aggregator.
func listTargets(ctx context.Context, client platform.Client, aggregator identity.Request) ([]target, error) {
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
		name := text("spec", "aggregatorRef", "name")
		namespace := cmp.Or(text("spec", "aggregatorRef", "namespace"), o.GetNamespace())
		if name != aggregator.Name || namespace != aggregator.Namespace {
			continue
		}
		t := target{
			namespace: o.GetNamespace(), name: o.GetName(),
			terms: text("status", "aggregatorTerms"),
			asked: o.GetLabels()[kratix.LabelManualReconciliation] == "true",
		}
		paths, _, _ := unstructured.NestedSlice(o.Object, "status", "paths")
		for _, p := range paths {
			row, _ := p.(map[string]any)
			path, _ := row["path"].(string)
			matchType, _ := row["type"].(string)
			if row["state"] == "Accepted" {
				t.published = append(t.published, v1alpha1.PublishedPath{Path: path, Type: matchType, Owner: t.namespace + "/" + t.name})
			}
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// concerned returns the targets for which the terms have changed since their
// last run.
func concerned(w world) []target {
	var changed []target
	for _, t := range w.targets {
		if t.terms != gateway.TermsFor(w.aggregator, t.namespace, w.placement.Placed).Digest() {
			changed = append(changed, t)
		}
	}
	return changed
}

// ask has Kratix run the targets' pipelines soon.
func ask(ctx context.Context, run *workflow.Run, targets []target) error {
	for _, t := range targets {
		if t.asked || run.DryRun {
			continue
		}
		patch := map[string]any{"metadata": map[string]any{"labels": map[string]any{kratix.LabelManualReconciliation: "true"}}}
		_, err := run.Platform.Patch(ctx, platform.ApiAggregatorTarget, t.namespace, t.name, patch)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("ApiAggregatorTarget %s/%s cannot be asked to reconcile: %w", t.namespace, t.name, err)
		}
	}
	return nil
}
