package natsuser

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

func ledgerStore(run *workflow.Run) ledger.Store { return ledger.Store{Client: run.Platform} }

// carryOut brings the ledger in line with what is wanted: it claims the Secrets,
// issues what there is a reason for, and retires what is superseded. What it
// returns is committed.
func carryOut(ctx context.Context, run *workflow.Run, in inputs) (*ledger.Ledger, []*cluster, error) {
	i, b := issuance{}, billOf(in)
	overtaken := func(err error) bool { return ledger.IsConflict(err) || churn.IsTooMany(err) } // by other requests of the namespace
	err := platform.OnConflict(ctx, overtaken, func() error {
		l, err := load(ctx, run)
		if err != nil {
			return err
		}
		if err := observe(ctx, run, l); err != nil {
			return err
		}
		held, err := claimSecrets(ctx, run, in, l)
		if err != nil {
			return err
		}
		former, err := formerOf(ctx, run, in.account, b)
		if err != nil {
			return err
		}
		i = issuance{run, in, l, plan(in, l, held, former, run.Now), b}
		return i.fulfil(ctx)
	})
	if err != nil {
		return nil, nil, err
	}
	return i.l, i.clusters, notifyAccounts(ctx, run, toNotify(i.l)...)
}

// maintain looks after the ledger of a request that is refused, and returns why it
// is: what is delivered goes on, and must not be forgotten if its ledger was lost
// meanwhile; what was superseded goes when its time has come, if the spec tells
// when that is.
func maintain(ctx context.Context, run *workflow.Run, in inputs, refused error) error {
	l, err := load(ctx, run)
	if err != nil {
		return err
	}
	if !l.Exists() && len(l.Records) == 0 {
		return refused
	}
	if in.user != nil {
		if err := observe(ctx, run, l); err != nil {
			return err
		}
		credential.Advance(l, termsOfRefused(in), run.Now)
	}
	b := billOf(in)
	if in.account == nil { // nobody counts anew of one that is gone
		b = billOfDeleted(run)
	}
	if err := save(ctx, run, l, b, bound{}); err != nil && !errors.Is(err, ledger.ErrConflict) {
		return err
	}
	return cmp.Or(notifyAccounts(ctx, run, toNotify(l)...), sayCutOff(l, refused))
}

// abandonGone finishes what has expired of accounts that the request drew from before
// and that are gone.
func abandonGone(ctx context.Context, run *workflow.Run, in inputs, l *ledger.Ledger) error {
	for _, name := range retiringAt(l) {
		if name == in.account.Name || !abandoned(l, name, run.Now) {
			continue
		}
		var gone *account.NotFoundError
		if _, _, err := account.Get(ctx, run.Platform, name); errors.As(err, &gone) {
			abandon(l, name, run.Now)
		} else if platform.IsTransient(err) {
			return err
		}
	}
	return nil
}

// notifyAccounts has accounts reconcile.
func notifyAccounts(ctx context.Context, run *workflow.Run, names ...string) error {
	for _, name := range names {
		if err := run.Notify(ctx, platform.NatsAccount, account.Namespace, name); err != nil {
			return err
		}
	}
	return nil
}

// patience is how many attempts may fail in a day with the account asked to clear up
// after each, which then has it tried again: else the two would ask each other without
// end. Afterwards all takes its course.
const patience = 3

// toNotify are the accounts that are asked to revoke something.
func toNotify(l *ledger.Ledger) []string {
	failed := 0
	for _, r := range l.Records {
		if r.User == "" {
			failed++
		}
	}
	return accountsOf(l, func(r ledger.Record) bool { return r.State == ledger.Retiring && (r.User != "" || failed <= patience) })
}

// retiringAt returns the accounts that are to revoke something.
func retiringAt(l *ledger.Ledger) []string {
	return accountsOf(l, func(r ledger.Record) bool { return r.State == ledger.Retiring })
}

// accountsOf returns the accounts of some records.
func accountsOf(l *ledger.Ledger, some func(ledger.Record) bool) []string {
	names := map[string]bool{}
	for _, r := range l.Records {
		if some(r) {
			names[r.Basis.Account] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
