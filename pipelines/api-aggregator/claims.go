package apiaggregator

import (
	"context"
	"fmt"
	"slices"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

func claims(run *workflow.Run) claim.Store {
	return claim.Store{Client: run.Platform, Kinds: []claim.Kind{
		{Kind: platform.ApiAggregator, Promise: promise},
		{Kind: platform.ApiAggregatorTarget, Promise: "api-aggregator-target"},
	}}
}

// holdHost claims the host. It repeats the CRD's rule that a host cannot be
// changed, for the claim remembers it.
func holdHost(ctx context.Context, run *workflow.Run, a *v1alpha1.ApiAggregator) error {
	b, owner, host := claims(run), claim.OwnerOf(run.Request), claim.Host(a.Spec.Hostname)
	owned, err := b.OwnedBy(ctx, owner)
	if err != nil {
		return err
	}
	for _, c := range owned {
		if c.Resource == host && c.Owner == owner && c.State == claim.Held {
			return nil
		}
		if c.Resource != host && !c.Deleted {
			return workflow.Fail(reason.HostnameChanged, fmt.Errorf("spec.hostname of ApiAggregator %s was changed from %s: set it back, or make another ApiAggregator", run.Identity, c.Resource.Scope))
		}
	}
	c, err := b.Acquire(ctx, host, owner, nil)
	if err != nil {
		return err
	}
	if c.State == claim.Releasing && !c.Abandoned {
		err = run.Wait(ctx, func(ctx context.Context) (bool, error) {
			c, err = b.Acquire(ctx, host, owner, nil)
			return c.State != claim.Releasing, err
		})
		if err != nil {
			return err
		}
	}
	if c.Abandoned {
		return workflow.Fail(reason.HostConflict, fmt.Errorf("the host %s belongs to ApiAggregator %s, which is gone: the platform team frees the host by deleting the ConfigMap %s/%s",
			a.Spec.Hostname, c.Owner, claim.Namespace, host.ConfigMap()))
	}
	if c.Owner != owner {
		return workflow.Fail(reason.HostConflict, fmt.Errorf("the host %s belongs to ApiAggregator %s: choose another host, or delete that one", a.Spec.Hostname, c.Owner))
	}
	return nil
}

// settleHost says in the host's claim whether all its paths have routes that name all
// methods: see [gateway.FactRules].
func settleHost(ctx context.Context, run *workflow.Run, a *v1alpha1.ApiAggregator, paths []claim.Claim) error {
	if a.Spec.Gateway.Implementation != v1alpha1.Traefik {
		return nil
	}
	var facts map[string]string
	if gateway.Behind(paths, "/", claim.Owner{}) == nil {
		facts = map[string]string{gateway.FactRules: gateway.RulesAll}
	}
	_, err := claims(run).Acquire(ctx, claim.Host(a.Spec.Hostname), claim.OwnerOf(run.Request), facts)
	return err
}

// releaseHost releases the host of an aggregator that is being deleted.
func releaseHost(ctx context.Context, run *workflow.Run) error {
	waiters, err := claims(run).ReleaseAll(ctx, claim.OwnerOf(run.Request))
	if err != nil {
		return err
	}
	return workflow.NotifyAll(ctx, run, platform.ApiAggregator, waiters)
}

// sweep releases the host's paths whose owners are gone without a word: deleted
// by force, or in a namespace that terminates. It returns the claims that stay.
func sweep(ctx context.Context, run *workflow.Run, in inputs) ([]claim.Claim, error) {
	b := claims(run)
	dead := func(ctx context.Context, c claim.Claim) (bool, error) {
		i := slices.IndexFunc(in.targets, func(t target) bool { return t.Namespace == c.Owner.Namespace && t.Name == c.Owner.Name })
		if i < 0 {
			return b.Gone(ctx, c) // once more: it may have come since the targets were listed
		}
		t := in.targets[i]
		switch {
		case t.Deleting.IsZero() && c.Deleted:
			return b.Gone(ctx, c) // deleted, and made again under its name
		case !t.IsStuck(run.Now):
			return false, nil
		}
		return b.Silent(ctx, c.Owner)
	}
	return b.Sweep(ctx, "path", in.aggregator.Spec.Hostname, dead, func(ctx context.Context, waiters []claim.Owner) error {
		return workflow.NotifyAll(ctx, run, platform.ApiAggregatorTarget, waiters)
	})
}
