package natsuser

import (
	"context"
	"errors"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

func counts(run *workflow.Run) churn.Store { return churn.Store{Client: run.Platform} }

// formerOf returns how many former credentials the namespace of a request has in its
// account. Where nothing can be revoked, none of them takes any room.
func formerOf(ctx context.Context, run *workflow.Run, a *account.Account) (churn.Days, error) {
	if !a.Spec.Revocable() {
		return nil, nil
	}
	count, err := counts(run).Get(ctx, a.Name, run.Identity.Namespace)
	return count.Days, err
}

// bill is by which rules the former credentials of a request are counted.
type bill struct {
	// revokes reports whether an account can revoke: else they take no room in it.
	revokes func(ctx context.Context, account string) (bool, error)
	// account has a bound: more than most are not to be had. Others have none.
	account string
	most    int
	// paid was counted and is not committed, since somebody else was faster.
	paid map[string]churn.Days
}

// billOf counts what a run of configure takes out of use. Whether another account can
// revoke, which the request drew from before, its own pipeline knows, and counts anew.
func billOf(in inputs) *bill {
	return &bill{revokes: func(_ context.Context, name string) (bool, error) {
		return in.account == nil || name != in.account.Name || in.account.Spec.Revocable(), nil
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

// save commits a ledger. What that takes out of use is counted before: a run that is
// killed in between has counted too much, until the account counts anew.
func save(ctx context.Context, run *workflow.Run, l *ledger.Ledger, b *bill) error {
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
		if name == b.account {
			most = b.most
		}
		if err := counts(run).Charge(ctx, name, run.Identity.Namespace, more, most, run.Now); err != nil {
			return err
		}
		if b.paid == nil {
			b.paid = map[string]churn.Days{}
		}
		b.paid[name] = b.paid[name].And(more)
	}
	if err := ledgerStore(run).Save(ctx, l); err != nil {
		return err
	}
	b.paid = nil
	return nil
}
