package claim

import (
	"context"
	"slices"
)

// Want is a resource that a request asks for.
type Want struct {
	Resource Resource
	Facts    map[string]string
	// FactsFrom gives the facts in place of Facts, from the claim as the request has it, nil
	// if it has none yet.
	FactsFrom func(ctx context.Context, mine *Claim) (map[string]string, error)
	// KeepOnly keeps the resource if it is held, and does not acquire it. Its facts stay
	// as they are, unless FactsFrom gives others.
	KeepOnly bool
	// Admit is asked before a resource that is not held yet is acquired; a refusal
	// is a sentence.
	Admit func(context.Context) (refusal string, err error)
}

// Verdict is what became of a want.
type Verdict struct {
	// Held: the resource may be served.
	Held bool
	// Refusal is what Admit said.
	Refusal string
	// Holder has the resource if neither of the two; Releasing: not for long;
	// Abandoned: it is gone, and a sweep has to free the claim.
	Holder    Owner
	Releasing bool
	Abandoned bool
}

// Outcome is what became of the wants of a request.
type Outcome struct {
	// Verdicts are in the order of the wants.
	Verdicts []Verdict
	// Notify are those who should reconcile now, because something that they wait
	// for was released.
	Notify []Owner

	store Store
	owner Owner
	wants []Want
}

// Reconcile brings a request's claims in line with what it wants. Served
// reports whether the request's own output, as it was before this run, still has a
// resource: what is not wanted any more is marked first and released by the run
// that finds it no longer served. The caller must serve what is Held and
// nothing else of what it wants.
func (s Store) Reconcile(ctx context.Context, owner Owner, wants []Want, served func(Resource) bool) (Outcome, error) {
	o := Outcome{Verdicts: make([]Verdict, len(wants)), store: s, owner: owner, wants: wants}
	owned, err := s.OwnedBy(ctx, owner)
	if err != nil {
		return o, err
	}
	for i, want := range wants {
		if o.Verdicts[i], err = s.decide(ctx, owner, owned, want); err != nil {
			return o, err
		}
	}
	for _, c := range owned {
		wanted := slices.ContainsFunc(wants, func(w Want) bool { return w.Resource == c.Resource })
		if wanted {
			continue
		}
		switch {
		case c.State == Releasing && !served(c.Resource):
			c, err = s.Free(ctx, c)
		case c.State == Held:
			c, err = s.Release(ctx, c.Resource, owner, false)
		default:
			continue // on its way out, and still served
		}
		if err != nil {
			return o, err
		}
		o.Notify = append(o.Notify, c.Waiters...)
	}
	return o, nil
}

// decide acquires what is wanted, if it may be.
func (s Store) decide(ctx context.Context, owner Owner, owned []Claim, want Want) (Verdict, error) {
	i := slices.IndexFunc(owned, func(c Claim) bool { return c.Resource == want.Resource })
	if i < 0 && want.KeepOnly {
		return Verdict{}, nil
	}
	if i < 0 && want.Admit != nil {
		refusal, err := want.Admit(ctx)
		if err != nil || refusal != "" {
			return Verdict{Refusal: refusal}, err
		}
	}
	var mine *Claim
	if i >= 0 {
		mine = &owned[i]
	}
	facts, err := want.facts(ctx, mine)
	if err != nil {
		return Verdict{}, err
	}
	if mine != nil {
		if mine.Owner == owner && mine.State == Held && sameFacts(mine.Facts, facts) {
			return Verdict{Held: true}, nil // nothing to write, and nothing to read again
		}
	}
	c, err := s.Acquire(ctx, want.Resource, owner, facts)
	if err != nil {
		return Verdict{}, err
	}
	return verdict(c, owner), nil
}

// facts are what is to be stored of a resource that a request has or has not.
func (w Want) facts(ctx context.Context, mine *Claim) (map[string]string, error) {
	switch {
	case w.FactsFrom != nil:
		return w.FactsFrom(ctx, mine)
	case mine != nil && w.KeepOnly:
		return mine.Facts, nil
	}
	return w.Facts, nil
}

// verdict is about a claim that an owner has tried to acquire.
func verdict(c Claim, owner Owner) Verdict {
	if c.Owner == owner {
		return Verdict{Held: true}
	}
	return Verdict{Holder: c.Owner, Releasing: c.State == Releasing && !c.Abandoned, Abandoned: c.Abandoned}
}

// Await waits for resources that their owners are releasing. An owner is done with
// that in its next run, so it is asked for one. Wait calls what it is given until
// that is done, or gives up; the verdicts are those of the last look.
func (o Outcome) Await(ctx context.Context, ask func(context.Context, []Owner) error, wait func(context.Context, func(context.Context) (bool, error)) error) error {
	releasing := func() (indices []int, owners []Owner) {
		for i, v := range o.Verdicts {
			if v.Releasing {
				indices, owners = append(indices, i), append(owners, v.Holder)
			}
		}
		return indices, owners
	}
	waiting, owners := releasing()
	if len(waiting) == 0 {
		return nil
	}
	if err := ask(ctx, owners); err != nil {
		return err
	}
	return wait(ctx, func(ctx context.Context) (bool, error) {
		for _, i := range waiting {
			facts, err := o.wants[i].facts(ctx, nil)
			if err != nil {
				return false, err
			}
			c, err := o.store.Acquire(ctx, o.wants[i].Resource, o.owner, facts)
			if err != nil {
				return false, err
			}
			o.Verdicts[i] = verdict(c, o.owner)
		}
		waiting, _ = releasing()
		return len(waiting) == 0, nil
	})
}

func sameFacts(a, b map[string]string) bool {
	return equal(Claim{Facts: a}, Claim{Facts: b})
}

// ReleaseAll marks all claims of an owner that is being deleted. It returns
// those who wait for them.
func (s Store) ReleaseAll(ctx context.Context, owner Owner) ([]Owner, error) {
	owned, err := s.OwnedBy(ctx, owner)
	if err != nil {
		return nil, err
	}
	var ask []Owner
	for _, c := range owned {
		if c, err = s.Release(ctx, c.Resource, owner, true); err != nil {
			return ask, err
		}
		ask = append(ask, c.Waiters...)
	}
	return ask, nil
}

// FreeDead releases those claims of an owner that are dead, and returns those
// who wait for them.
func (s Store) FreeDead(ctx context.Context, owner Owner, dead func(context.Context, Claim) (bool, error)) ([]Owner, error) {
	owned, err := s.OwnedBy(ctx, owner)
	if err != nil {
		return nil, err
	}
	var ask []Owner
	for _, c := range owned {
		isDead, err := dead(ctx, c)
		if err != nil {
			return ask, err
		}
		if !isDead {
			continue
		}
		if c, err = s.Free(ctx, c); err != nil {
			return ask, err
		}
		ask = append(ask, c.Waiters...)
	}
	return ask, nil
}

// Sweep releases the claims of a kind in a scope whose owner can serve nothing
// any more, and asks those who wait for them. It returns the claims that are left.
func (s Store) Sweep(ctx context.Context, kind, scope string, dead func(context.Context, Claim) (bool, error), ask func(context.Context, []Owner) error) (left []Claim, err error) {
	claims, err := s.Within(ctx, kind, scope)
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		if c.State == Free {
			// Nobody may have asked its waiters, or they do not want it any more.
			if err := ask(ctx, c.Waiters); err != nil {
				return left, err
			}
			if err := s.forget(ctx, c); err != nil {
				return left, err
			}
			continue
		}
		isDead, err := dead(ctx, c)
		if err != nil {
			return left, err
		}
		if !isDead {
			left = append(left, c)
			continue
		}
		if c, err = s.Free(ctx, c); err != nil {
			return left, err
		}
		if err := ask(ctx, c.Waiters); err != nil {
			return left, err
		}
	}
	return left, nil
}
