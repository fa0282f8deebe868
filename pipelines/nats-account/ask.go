package natsaccount

import (
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
)

// concerned are the requests that should run again: those that have not seen what the
// account offers now, and those whose last run failed. Pure.
func concerned(w world, found finding, now time.Time) []natsUser {
	switch {
	case found.refusal != nil && found.refusal.Reason.Refutes():
		return nil // they would find the account wanting
	case w.keeper != nil && w.account.KeptIn == "":
		return nil // nor can they be served before a run has seen it
	}
	return slices.DeleteFunc(slices.Clone(w.users), func(u natsUser) bool {
		if found.refusal != nil && u.Terms == w.account.Terms() && !waits(w, u) && !u.IsForgotten(now) {
			return true // who waits for a revocation asks for it, and would be asked again without end
		}
		news := w.news[identity.Request{Kind: platform.NatsUser.Kind, Namespace: u.Namespace, Name: u.Name}]
		return !news && !u.Concerned(w.account.Terms(), now) && u.Reason != reason.AccountRefuted && !waits(w, u)
	})
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
