package claim

import (
	"context"
	"slices"
)

// Want is a thing that a request asks for.
type Want struct {
	Resource Resource
	Facts    map[string]string
	// KeepOnly keeps the thing if it is held, and does not acquire it.
	KeepOnly bool
	// Admit is asked before a thing that is not held yet is acquired; a refusal
	// is a sentence.
	Admit func(context.Context) (refusal string, err error)
}

// Verdict is what became of a want.
type Verdict struct {
	// Held: the thing may be served.
	Held bool
	// Refusal is what Admit said.
	Refusal string
	// Holder has the thing if neither of the two; Releasing: not for long.
	Holder    Owner
	Releasing bool
}

// Settlement is the outcome of Settle.
type Settlement struct {
	// Verdicts are in the order of the wants.
	Verdicts []Verdict
	// Notify are those who should reconcile now, because something that they wait
	// for was let go of.
	Notify []Owner

	book  Store
	owner Owner
	wants []Want
}

// Settle brings a request's claims in line with what it wants. Served tells
// whether the request's own output, as it was before this run, still has a
// thing: what is not wanted any more is marked first and let go of by the run
// that finds it no longer served. The caller must serve what is Held and
// nothing else of what it wants.
func (b Store) Settle(ctx context.Context, owner Owner, wants []Want, served func(Resource) bool) (Settlement, error) {
	s := Settlement{Verdicts: make([]Verdict, len(wants)), book: b, owner: owner, wants: wants}
	owned, err := b.OwnedBy(ctx, owner)
	if err != nil {
		return s, err
	}
	for i, want := range wants {
		if s.Verdicts[i], err = b.settle(ctx, owner, owned, want); err != nil {
			return s, err
		}
	}
	for _, c := range owned {
		wanted := slices.ContainsFunc(wants, func(w Want) bool { return w.Resource == c.Resource })
		if wanted {
			continue
		}
		switch {
		case c.State == Releasing && !served(c.Resource):
			c, err = b.Free(ctx, c)
		case c.State == Held:
			c, err = b.Release(ctx, c.Resource, owner, false)
		default:
			continue // on its way out, and still served
		}
		if err != nil {
			return s, err
		}
		s.Notify = append(s.Notify, c.Waiters...)
	}
	return s, nil
}

func (b Store) settle(ctx context.Context, owner Owner, owned []Claim, want Want) (Verdict, error) {
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
	facts := want.Facts
	if i >= 0 {
		mine := owned[i]
		if want.KeepOnly {
			facts = mine.Facts
		}
		if mine.Owner == owner && mine.State == Held && sameFacts(mine.Facts, facts) {
			return Verdict{Held: true}, nil // nothing to write, and nothing to read again
		}
	}
	c, err := b.Acquire(ctx, want.Resource, owner, facts)
	if err != nil {
		return Verdict{}, err
	}
	return verdict(c, owner), nil
}

// verdict is about a claim that an owner has tried to acquire.
func verdict(c Claim, owner Owner) Verdict {
	if c.Owner == owner {
		return Verdict{Held: true}
	}
	return Verdict{Holder: c.Owner, Releasing: c.State == Releasing}
}

// Await waits for things that their owners are letting go of. An owner is done with
// that in its next run, so it is asked for one. Wait calls what it is given until
// that is done, or gives up; the verdicts are those of the last look.
func (s Settlement) Await(ctx context.Context, ask func(context.Context, []Owner) error, wait func(context.Context, func(context.Context) (bool, error)) error) error {
	releasing := func() (indices []int, owners []Owner) {
		for i, v := range s.Verdicts {
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
			c, err := s.book.Acquire(ctx, s.wants[i].Resource, s.owner, s.wants[i].Facts)
			if err != nil {
				return false, err
			}
			s.Verdicts[i] = verdict(c, s.owner)
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
func (b Store) ReleaseAll(ctx context.Context, owner Owner) ([]Owner, error) {
	owned, err := b.OwnedBy(ctx, owner)
	if err != nil {
		return nil, err
	}
	var ask []Owner
	for _, c := range owned {
		if c, err = b.Release(ctx, c.Resource, owner, true); err != nil {
			return ask, err
		}
		ask = append(ask, c.Waiters...)
	}
	return ask, nil
}

// FreeDead lets go of those claims of an owner that are dead, and returns those
// who wait for them.
func (b Store) FreeDead(ctx context.Context, owner Owner, dead func(context.Context, Claim) (bool, error)) ([]Owner, error) {
	owned, err := b.OwnedBy(ctx, owner)
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
		if c, err = b.Free(ctx, c); err != nil {
			return ask, err
		}
		ask = append(ask, c.Waiters...)
	}
	return ask, nil
}

// Sweep lets go of the claims of a kind in a scope whose owner can serve nothing
// any more, and asks those who wait for them. It returns the claims that are left.
func (b Store) Sweep(ctx context.Context, kind, scope string, dead func(context.Context, Claim) (bool, error), ask func(context.Context, []Owner) error) (left []Claim, err error) {
	claims, err := b.Within(ctx, kind, scope)
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		if c.State == Free {
			// Nobody may have asked its waiters, or they do not want it any more.
			if err := ask(ctx, c.Waiters); err != nil {
				return left, err
			}
			if err := b.forget(ctx, c); err != nil {
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
		if c, err = b.Free(ctx, c); err != nil {
			return left, err
		}
		if err := ask(ctx, c.Waiters); err != nil {
			return left, err
		}
	}
	return left, nil
}
