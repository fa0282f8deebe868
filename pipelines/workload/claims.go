package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
)

func claims(run *workflow.Run) claim.Store {
	return claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.Workload, Promise: promise}}}
}

// wanted is the workload's name on each cluster, and where it is still served in another
// namespace, that too. Pure.
func wanted(in inputs, served []claim.Resource) []claim.Want {
	var wants []claim.Want
	for _, name := range in.placement.Placed {
		wants = append(wants, claim.Want{Resource: claim.Workload(name, in.namespace, in.workload.Name)})
	}
	for _, resource := range served {
		if !slices.ContainsFunc(wants, func(w claim.Want) bool { return w.Resource == resource }) {
			wants = append(wants, claim.Want{Resource: resource, KeepOnly: true})
		}
	}
	return wants
}

// claimNames claims the workload's name on each cluster, keeps what is still served, and
// releases the rest. A name that another request has is refused.
func claimNames(ctx context.Context, run *workflow.Run, in inputs) ([]*cluster, error) {
	served := served(run, in)
	wants := wanted(in, served)
	s, err := claims(run).Reconcile(ctx, claim.OwnerOf(run.Request), wants, func(r claim.Resource) bool { return slices.Contains(served, r) })
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, owners []claim.Owner) error {
		return workflow.NotifyAll(ctx, run, platform.Workload, owners)
	}
	if err := ask(ctx, s.Notify); err != nil {
		return nil, err
	}
	if err := s.Await(ctx, ask, run.Wait); err != nil {
		return nil, err
	}
	return clustersOf(in, wants, s.Verdicts), nil
}

// clustersOf says of each cluster what of it is the request's. Pure.
func clustersOf(in inputs, wants []claim.Want, verdicts []claim.Verdict) []*cluster {
	var clusters []*cluster
	for i, name := range in.placement.Placed { // whose wants come first
		c := &cluster{name: name, held: verdicts[i].Held, problem: conflict(in, name, verdicts[i])}
		for j, want := range wants[len(in.placement.Placed):] {
			if want.Resource.Scope == name && verdicts[len(in.placement.Placed)+j].Held {
				c.former = append(c.former, want.Resource)
			}
		}
		clusters = append(clusters, c)
	}
	return clusters
}

// conflict says why a workload's name is not the request's on a cluster. Pure.
func conflict(in inputs, name string, v claim.Verdict) problem {
	what := fmt.Sprintf("the name %s in the namespace %s of %s", in.workload.Name, in.namespace, name)
	switch {
	case v.Held:
		return problem{}
	case v.Abandoned:
		return problem{reason.ComponentConflict, fmt.Sprintf("%s belonged to Workload %s, which is gone: the System's next run frees it, and it is taken over by itself then", what, v.Holder)}
	case v.Releasing:
		return problem{reason.ComponentConflict, fmt.Sprintf("%s is being released by Workload %s: it is taken over by itself as soon as it is free", what, v.Holder)}
	}
	return problem{reason.ComponentConflict, fmt.Sprintf("%s belongs to Workload %s: choose another name or workloadNamespace; it is taken over by itself should it become free", what, v.Holder)}
}

// served are the names that the request's own output still has, on the clusters on which it
// is placed and on those that keep their documents.
func served(run *workflow.Run, in inputs) []claim.Resource {
	kept, _ := run.Kept(in.placement)
	var resources []claim.Resource
	for _, name := range run.Last.Destinations() {
		if !slices.Contains(in.placement.Placed, name) && kept[name] == nil {
			continue
		}
		for _, data := range run.Last[name] {
			if namespace := namespaceOf(data); namespace != "" {
				resources = append(resources, claim.Workload(name, namespace, run.Identity.Name))
			}
		}
	}
	slices.SortFunc(resources, func(a, b claim.Resource) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(resources)
}

// namespaceOf returns the namespace of a document.
func namespaceOf(document []byte) string {
	var object struct{ Metadata struct{ Namespace string } }
	_ = yaml.Unmarshal(document, &object) // what is none has no namespace
	return object.Metadata.Namespace
}

// release gives up all names of a request that is being deleted. They are free once the
// request is gone.
func release(ctx context.Context, run *workflow.Run) error {
	waiters, err := claims(run).ReleaseAll(ctx, claim.OwnerOf(run.Request))
	if err != nil {
		return err
	}
	if err := run.StopConfigure(ctx); err != nil {
		return err
	}
	return workflow.NotifyAll(ctx, run, platform.Workload, waiters)
}
