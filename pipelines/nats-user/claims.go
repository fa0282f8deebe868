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

func book(run *workflow.Run) claim.Book {
	return claim.Book{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.NatsUser, Promise: promise}}}
}

func secretOf(destination string, d ledger.Delivery) claim.Thing {
	return claim.Secret(destination, d.Namespace, d.Name)
}

// wanted is the Secret on each cluster, and those that are still delivered.
func wanted(w world, l *ledger.Ledger) []claim.Want {
	var wants []claim.Want
	add := func(thing claim.Thing, keepOnly bool) {
		if !slices.ContainsFunc(wants, func(w claim.Want) bool { return w.Thing == thing }) {
			wants = append(wants, claim.Want{Thing: thing, KeepOnly: keepOnly})
		}
	}
	for _, name := range w.placement.Placed {
		add(secretOf(name, deliveryOf(w)), false)
	}
	for _, name := range slices.Concat(w.placement.Placed, w.kept) {
		if current := l.Current(name); current != nil {
			add(secretOf(name, current.Basis.Delivery), true)
		}
	}
	return wants
}

// settle claims the Secret on each cluster, keeps those that are still delivered,
// and lets go of the others.
func settle(ctx context.Context, run *workflow.Run, w world, l *ledger.Ledger) (map[claim.Thing]claim.Verdict, error) {
	b, owner, wants := book(run), claim.OwnerOf(run.Request), wanted(w, l)
	s, err := b.Settle(ctx, owner, wants, func(t claim.Thing) bool { return slices.Contains(served(run), t) })
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, owners []claim.Owner) error {
		return workflow.AskAll(ctx, run, platform.NatsUser, owners)
	}
	if err := ask(ctx, s.Ask); err != nil {
		return nil, err
	}
	if err := s.Await(ctx, ask, run.Wait); err != nil {
		return nil, err
	}
	verdicts := map[claim.Thing]claim.Verdict{}
	for i, v := range s.Verdicts {
		verdicts[wants[i].Thing] = v
	}
	return verdicts, nil
}

// served are the Secrets that the request's own output still has.
func served(run *workflow.Run) []claim.Thing {
	var things []claim.Thing
	for name, files := range run.Last {
		for _, data := range files {
			var object struct {
				Kind     string
				Metadata struct{ Namespace, Name string }
			}
			if yaml.Unmarshal(data, &object) == nil && object.Kind == "SealedSecret" {
				things = append(things, claim.Secret(name, object.Metadata.Namespace, object.Metadata.Name))
			}
		}
	}
	return things
}

// release lets go of all Secrets of a request that is being deleted. They are free
// once the request is gone.
func release(ctx context.Context, run *workflow.Run) error {
	waiters, err := book(run).ReleaseAll(ctx, claim.OwnerOf(run.Request))
	if err != nil {
		return err
	}
	return workflow.AskAll(ctx, run, platform.NatsUser, waiters)
}
