package natsuser

import (
	"context"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

func claims(run *workflow.Run) claim.Store {
	return claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.NatsUser, Promise: promise}}}
}

func secretOf(destination string, d ledger.Delivery) claim.Resource {
	return claim.Secret(destination, d.Namespace, d.Name)
}

// wanted is the Secret on each cluster, and those that are still delivered.
func wanted(in inputs, l *ledger.Ledger) []claim.Want {
	var wants []claim.Want
	add := func(resource claim.Resource, keepOnly bool) {
		if !slices.ContainsFunc(wants, func(w claim.Want) bool { return w.Resource == resource }) {
			wants = append(wants, claim.Want{Resource: resource, KeepOnly: keepOnly})
		}
	}
	for _, name := range in.placement.Placed {
		add(secretOf(name, deliveryOf(in)), false)
	}
	for _, name := range slices.Concat(in.placement.Placed, in.kept) {
		if current := l.Current(name); current != nil {
			add(secretOf(name, current.Basis.Delivery), true)
		}
	}
	return wants
}

// claimSecrets claims the Secret on each cluster, keeps those that are still delivered,
// and releases the others.
func claimSecrets(ctx context.Context, run *workflow.Run, in inputs, l *ledger.Ledger) (map[claim.Resource]claim.Verdict, error) {
	b, owner, wants := claims(run), claim.OwnerOf(run.Request), wanted(in, l)
	s, err := b.Reconcile(ctx, owner, wants, func(t claim.Resource) bool { return slices.Contains(served(run), t) })
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, owners []claim.Owner) error {
		return workflow.NotifyAll(ctx, run, platform.NatsUser, owners)
	}
	if err := ask(ctx, s.Notify); err != nil {
		return nil, err
	}
	if err := s.Await(ctx, ask, run.Wait); err != nil {
		return nil, err
	}
	verdicts := map[claim.Resource]claim.Verdict{}
	for i, v := range s.Verdicts {
		verdicts[wants[i].Resource] = v
	}
	return verdicts, nil
}

// served are the Secrets that the request's own output still has.
func served(run *workflow.Run) []claim.Resource {
	var resources []claim.Resource
	for name, files := range run.Last {
		for _, data := range files {
			var object struct {
				Kind     string
				Metadata struct{ Namespace, Name string }
			}
			if yaml.Unmarshal(data, &object) == nil && object.Kind == "SealedSecret" {
				resources = append(resources, claim.Secret(name, object.Metadata.Namespace, object.Metadata.Name))
			}
		}
	}
	return resources
}

// release gives up all Secrets of a request that is being deleted. They are free
// once the request is gone.
func release(ctx context.Context, run *workflow.Run) error {
	waiters, err := claims(run).ReleaseAll(ctx, claim.OwnerOf(run.Request))
	if err != nil {
		return err
	}
	return workflow.NotifyAll(ctx, run, platform.NatsUser, waiters)
}
