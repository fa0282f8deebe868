package natsuser

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

func counts(run *workflow.Run) churn.Store { return churn.Store{Client: run.Platform} }

// formerOf returns how many former credentials the namespace of a request has in its
// account, without those that this run has counted and could not commit. Where nothing can
// be revoked, none of them takes any room.
func formerOf(ctx context.Context, run *workflow.Run, a *account.Account, b *bill) (churn.Days, error) {
	switch {
	case !a.Spec.Revocable():
		return nil, nil
	case b.refused > patience: // others are faster each time, until there is no room
		return churn.Days{math.MaxInt64: a.Spec.Policy.FormerBound()}, nil
	}
	count, err := counts(run).Get(ctx, a.Name, run.Identity.Namespace)
	return count.Days.More(b.paid[a.Name]), err
}

// bill is by which rules the former credentials of a request are counted.
type bill struct {
	// revokes reports whether an account can revoke: else they take no room in it.
	revokes func(ctx context.Context, account string) (bool, error)
	// paid was counted and is not committed, since somebody else was faster.
	paid map[string]churn.Days
	// refused is how often there was no room any more for what was planned.
	refused int
}

// billOf counts what a run of configure takes out of use. Whether another account can
// revoke, which the request drew from before, its own pipeline knows, and counts anew.
func billOf(in inputs) *bill {
	return &bill{revokes: func(_ context.Context, name string) (bool, error) {
		return name != in.account.Name || in.account.Spec.Revocable(), nil
	}}
}

// billOfDeleted counts what a deletion takes out of use.
func billOfDeleted(run *workflow.Run) *bill {
	return &bill{revokes: func(ctx context.Context, name string) (bool, error) {
		_, a, err := account.Get(ctx, run.Platform, name)
		var gone *account.NotFoundError
		switch {
		case errors.As(err, &gone): // and nobody would count anew
			return false, nil
		case platform.IsTransient(err):
			return false, err
		case err == nil:
			return a.Spec.Revocable(), nil
		}
		return true, nil // one whose spec is wrong may be mended
	}}
}

// bound is how many former credentials of an account there may be; the zero value bounds
// nothing.
type bound struct {
	account string
	most    int
}

// save commits a ledger. What that takes out of use is counted before: a run that is
// killed in between has counted too much, until the account counts anew.
func save(ctx context.Context, run *workflow.Run, l *ledger.Ledger, b *bill, within bound) error {
	if err := pay(ctx, run, l, b, within); err != nil {
		return err
	}
	if err := ledgerStore(run).Save(ctx, l); err != nil {
		return err
	}
	b.paid = nil
	return nil
}

// pay counts what the next commit takes out of use and is not counted yet.
func pay(ctx context.Context, run *workflow.Run, l *ledger.Ledger, b *bill, within bound) error {
	for _, name := range l.Accounts() {
		more := churn.Former(name, l.Records, run.Now).More(churn.Former(name, l.Saved(), run.Now)).More(b.paid[name])
		if len(more) == 0 {
			continue
		}
		revokes, err := b.revokes(ctx, name)
		if err != nil {
			return err
		}
		if !revokes {
			continue
		}
		most := 0
		if name == within.account {
			most = within.most
		}
		if err := counts(run).Charge(ctx, name, run.Identity.Namespace, more, most, run.Now); err != nil {
			if churn.IsTooMany(err) {
				b.refused++
			}
			return err
		}
		if b.paid == nil {
			b.paid = map[string]churn.Days{}
		}
		b.paid[name] = b.paid[name].And(more)
	}
	return nil
}

// takeBack takes a record out of a ledger that came to nothing, and with it what was counted
// for it.
func takeBack(ctx context.Context, run *workflow.Run, l *ledger.Ledger, record ledger.Record) error {
	for _, name := range l.Accounts() {
		with := churn.Former(name, l.Records, run.Now)
		without := slices.DeleteFunc(slices.Clone(l.Records), func(r ledger.Record) bool {
			return r.Destination == record.Destination && r.Generation == record.Generation
		})
		if less := with.More(churn.Former(name, without, run.Now)); len(less) > 0 {
			if err := counts(run).Refund(ctx, name, run.Identity.Namespace, less, run.Now); err != nil {
				return err
			}
		}
	}
	l.Remove(record.Destination, record.Generation)
	return nil
}
