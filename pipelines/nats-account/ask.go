package natsaccount

import (
	"context"
	"slices"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// ask has those requests run again that have not seen what the account offers
// now, and those whose last run failed.
func ask(ctx context.Context, run *workflow.Run, w world, found finding) error {
	if found.refusal != nil && found.refusal.Reason.Refutes() {
		return nil // they would find the account wanting
	}
	if w.keeper != nil && w.account.KeptIn == "" {
		return nil // nor can they be served before a run has seen it
	}
	for _, u := range w.users {
		if found.refusal != nil && u.Terms == w.account.Terms() && !waits(w, u) && !u.IsForgotten(run.Now) {
			continue // who waits for a revocation asks for it, and would be asked again without end
		}
		news := w.news[identity.Request{Kind: platform.NatsUser.Kind, Namespace: u.Namespace, Name: u.Name}]
		if !news && !u.Concerned(w.account.Terms(), run.Now) && u.Reason != reason.AccountRefuted && !waits(w, u) {
			continue
		}
		if err := run.Ask(ctx, platform.NatsUser, u.Namespace, u.Name); err != nil {
			return err
		}
	}
	return nil
}

// waits tells whether a request should run because of what its ledger says: its
// deletion was given up only because it waited for revocations, which are done
// now, or somebody has revoked what it delivers.
func waits(w world, u natsUser) bool {
	i := slices.IndexFunc(w.ledgers, func(l *ledger.Ledger) bool { return l.Request.Namespace == u.Namespace && l.Request.Name == u.Name })
	if i < 0 {
		return false
	}
	l := w.ledgers[i]
	if !u.Deleting.IsZero() {
		return l.Tombstone != nil && !l.Tombstone.Done && l.Count(ledger.Retiring) == 0
	}
	return slices.ContainsFunc(l.Rows, func(r ledger.Row) bool {
		return r.State == ledger.Active && (!r.Revoked.IsZero() || !r.Lost.IsZero() || r.Stray)
	})
}
