package apiaggregatortarget

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// factNested is what a claim of a path tells others about it, besides
// [gateway.FactType] and [gateway.FactRules].
const factNested = "allowNested"

func claims(run *workflow.Run) claim.Store {
	return claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.ApiAggregatorTarget, Promise: promise}}}
}

// holdsHost makes sure that the host is the aggregator's: without that it has
// no say in who publishes there. It returns the host's claim.
func holdsHost(ctx context.Context, run *workflow.Run, a *aggregator.ApiAggregator) (*claim.Claim, error) {
	c, err := claims(run).Get(ctx, claim.Host(a.Spec.Hostname))
	if err != nil {
		return nil, err
	}
	if c == nil || !c.Owner.Is(claim.Owner{Kind: platform.ApiAggregator.Kind, Namespace: a.Namespace, Name: a.Name}) || c.State != claim.Held {
		return nil, workflow.Fail(reason.HostNotHeld, fmt.Errorf("ApiAggregator %s/%s does not hold the host %s (yet): see its status; when it does, this target is asked to reconcile",
			a.Namespace, a.Name, a.Spec.Hostname))
	}
	return c, nil
}

// claimPaths claims the accepted paths and releases those that are not asked for
// any more. A path that another request has is refused.
func claimPaths(ctx context.Context, run *workflow.Run, in inputs, paths []path) error {
	b, owner := claims(run), claim.OwnerOf(run.Request)
	ancestors := ancestry{store: b, host: in.terms.Hostname, seen: map[string]*claim.Claim{}}
	served := servedBy(run)
	below := descent{store: b, host: in.terms.Hostname, owner: owner, last: run.Last, served: served, now: run.Now, settled: in.settled}
	wants := make([]claim.Want, len(paths))
	for i := range paths {
		p := &paths[i]
		wants[i] = claim.Want{
			Resource: claim.Path(in.terms.Hostname, p.parsed.Key),
			KeepOnly: p.state != v1alpha1.Accepted,
			Admit:    func(ctx context.Context) (string, error) { return ancestors.refuse(ctx, p.parsed.Key, in) },
		}
		switch {
		case p.state == v1alpha1.Accepted:
			wants[i].FactsFrom = func(ctx context.Context, mine *claim.Claim) (map[string]string, error) {
				facts := map[string]string{gateway.FactType: string(p.spec.Type), factNested: fmt.Sprint(p.spec.AllowNested)}
				if in.terms.Implementation != aggregator.Traefik {
					return facts, nil
				}
				return facts, below.settle(ctx, p, mine, facts)
			}
		case p.withdrawn && in.terms.Implementation == aggregator.Traefik:
			wants[i].FactsFrom = below.settleWithdrawn
		}
	}
	s, err := b.Reconcile(ctx, owner, wants, served)
	if err != nil {
		return err
	}
	ask := func(ctx context.Context, owners []claim.Owner) error {
		return workflow.NotifyAll(ctx, run, platform.ApiAggregatorTarget, owners)
	}
	if err := ask(ctx, s.Notify); err != nil {
		return err
	}
	if err := s.Await(ctx, ask, run.Wait); err != nil {
		return err
	}
	if err := notifySweeper(ctx, run, in, s.Verdicts); err != nil {
		return err
	}
	for i := range paths {
		p, v := &paths[i], s.Verdicts[i]
		p.held = v.Held
		switch {
		case v.Held || p.state != v1alpha1.Accepted:
		case v.Refusal != "":
			p.state, p.message = v1alpha1.NestedInForeignPrefix, v.Refusal
		case v.Releasing:
			p.state, p.message = v1alpha1.PathConflict, fmt.Sprintf("%s is releasing it: it is taken over by itself as soon as it is free", v.Holder)
		case v.Abandoned:
			p.state, p.message = v1alpha1.PathConflict, fmt.Sprintf("it belonged to %s, which is gone: ApiAggregator %s/%s was notified and frees it, and it is taken over by itself then",
				v.Holder, in.target.AggregatorNamespace(), in.target.Spec.AggregatorRef.Name)
		default:
			p.state, p.message = v1alpha1.PathConflict, fmt.Sprintf("it belongs to %s: choose another path, or ask its owner; it is taken over by itself should it become free", v.Holder)
		}
	}
	return nil
}

// notifySweeper has the aggregator free the paths whose owners are gone. It does so once
// per run. The aggregator notifies who waits only of what it has freed, so the two do not
// keep each other awake.
func notifySweeper(ctx context.Context, run *workflow.Run, in inputs, verdicts []claim.Verdict) error {
	if !slices.ContainsFunc(verdicts, func(v claim.Verdict) bool { return v.Abandoned }) {
		return nil
	}
	return run.Notify(ctx, platform.ApiAggregator, in.target.AggregatorNamespace(), in.target.Spec.AggregatorRef.Name)
}

// servedBy tells which paths the request's own output still has.
func servedBy(run *workflow.Run) func(claim.Resource) bool {
	var served map[claim.Resource]bool
	return func(t claim.Resource) bool {
		if served == nil { // rarely asked, and costly
			served = map[claim.Resource]bool{}
			for _, files := range run.Last {
				for _, data := range files {
					served[pathOf(data)] = true
				}
			}
		}
		return served[t]
	}
}

// release gives up all paths of a request that is being deleted. They are free
// once the request is gone.
func release(ctx context.Context, run *workflow.Run) error {
	ask, err := claims(run).ReleaseAll(ctx, claim.OwnerOf(run.Request))
	if err != nil {
		return err
	}
	if err := run.StopConfigure(ctx); err != nil {
		return err
	}
	if err := workflow.NotifyAll(ctx, run, platform.ApiAggregatorTarget, ask); err != nil {
		return err
	}
	return tellAggregatorOfRelease(ctx, run)
}

// tellAggregatorOfRelease has the aggregator of a request that is being deleted close the
// delegated prefixes that become free, where only what is free is closed.
func tellAggregatorOfRelease(ctx context.Context, run *workflow.Run) error {
	target, err := v1alpha1.Read(run.Request)
	var a *aggregator.ApiAggregator
	if err != nil { // the next run of whatever aggregator it had sees what is free
		err = workflow.Fail(reason.InvalidSpec, err)
	} else {
		a, err = readAggregator(ctx, run.Platform, target)
	}
	var refused *workflow.Failure
	switch {
	case errors.As(err, &refused): // it closes nothing for this request
		return nil
	case err != nil:
		return err
	case !gateway.ClosesWhatIsFree(a.Spec.Gateway.Implementation) || len(a.Spec.Delegations) == 0:
		return nil
	}
	return run.Notify(ctx, platform.ApiAggregator, a.Namespace, a.Name)
}

// ancestry looks up the claims of the prefixes above paths, each once.
type ancestry struct {
	store claim.Store
	host  string
	seen  map[string]*claim.Claim
}

// refuse tells why a path may not be claimed below a prefix of another
// namespace: it may below /, where the prefix's owner allows it, and where the
// aggregator has delegated it.
func (a ancestry) refuse(ctx context.Context, key string, in inputs) (string, error) {
	delegated, ok := in.terms.Delegated(key)
	for above := parent(key); above != "/"; above = parent(above) {
		// A delegation of something wider says nothing about what lies in it.
		if ok && httppath.Covers(above, delegated) {
			continue
		}
		c, looked := a.seen[above]
		if !looked {
			var err error
			if c, err = a.store.Get(ctx, claim.Path(a.host, above)); err != nil {
				return "", err
			}
			a.seen[above] = c
		}
		// One that is free says nothing of its path.
		if c == nil || c.Owner.Namespace == in.target.Namespace || c.Facts[gateway.FactType] != string(v1alpha1.Prefix) || c.Facts[factNested] == "true" {
			continue
		}
		return fmt.Sprintf("it lies below %s, which belongs to %s: ask its owner for allowNested, or the aggregator's owner for a delegation", above, c.Owner), nil
	}
	return "", nil
}

// descent looks at the claims of the paths below others, once.
type descent struct {
	store  claim.Store
	host   string
	owner  claim.Owner
	last   destination.Output
	served func(claim.Resource) bool
	now    time.Time
	all    []claim.Claim
	looked bool
	// names: of each path that the last output has, whether its routes name all methods,
	// nil where nobody has looked.
	names map[claim.Resource]bool
	// settled: the aggregator has seen that no path of the host is behind.
	settled bool
}

// settle decides which rules a path's routes get while those of v0.1.0 may be about, and
// says so in the facts of its claim: see [gateway.FactRules].
func (d *descent) settle(ctx context.Context, p *path, mine *claim.Claim, facts map[string]string) error {
	named := mine != nil && d.named(mine.Resource)
	if !named && p.spec.Type == v1alpha1.Prefix && (mine != nil || !d.settled) {
		if !d.looked {
			var err error
			if d.all, err = d.store.Within(ctx, "path", d.host); err != nil {
				return err
			}
			d.looked = true
		}
		if c := gateway.Behind(d.all, p.parsed.Key, d.owner); c != nil {
			p.rules, p.behind = gateway.FormerRules(p.asked), fmt.Sprintf("%s of %s", c.Resource.Key, c.Owner)
			return nil
		}
	}
	facts[gateway.FactRules] = gateway.RulesAll
	if mine != nil { // else nothing older is about
		facts[gateway.FactRules] = d.since(mine, named)
	}
	return nil
}

// named reports whether the last output has the routes of a path, and all of them name
// all methods.
func (d *descent) named(path claim.Resource) bool {
	if d.names == nil {
		d.names = map[claim.Resource]bool{}
		for _, files := range d.last {
			for _, data := range files {
				types, methods := matchesOf(data)
				if len(types) == 0 {
					continue
				}
				path := pathOf(data)
				has, seen := d.names[path]
				d.names[path] = len(methods) > len(gateway.Methods) && (has || !seen)
			}
		}
	}
	return d.names[path]
}

// settleWithdrawn says of a path that is held and not served any more since when no routes
// of it are about, so that none above it wait for them for ever.
func (d *descent) settleWithdrawn(_ context.Context, mine *claim.Claim) (map[string]string, error) {
	if mine == nil { // it has none
		return nil, nil
	}
	facts := maps.Clone(mine.Facts)
	facts[gateway.FactRules] = d.since(mine, !d.served(mine.Resource))
	return facts, nil
}

// since is the value of [gateway.FactRules] of a claim whose routes were to change, which
// the last output shows or does not: a run that claims may be killed before it emits.
func (d *descent) since(mine *claim.Claim, shown bool) string {
	switch value := mine.Facts[gateway.FactRules]; {
	case value == gateway.RulesAll, shown && gateway.RulesArrived(value, d.now):
		return gateway.RulesAll
	case shown && value != "":
		return value
	}
	return gateway.RulesEmitted(d.now)
}

// parent returns the path above one, and / above the first.
func parent(key string) string {
	i := strings.LastIndexByte(key, '/')
	if i <= 0 {
		return "/"
	}
	return key[:i]
}
