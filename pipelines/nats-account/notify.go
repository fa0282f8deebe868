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
func concerned(in inputs, found finding, now time.Time) []natsUser {
	if refuted(found) || !isFound(in, found) { // they would find the account wanting, but for what is being deleted
		return slices.DeleteFunc(slices.Clone(in.users), func(u natsUser) bool { return u.Deleting.IsZero() || !waits(in, u) })
	}
	return slices.DeleteFunc(slices.Clone(in.users), func(u natsUser) bool {
		if found.refusal != nil && (u.IsDeleting() || u.Terms == in.account.Terms()) && !waits(in, u) && !u.IsLeftOut(now) {
			return true // who waits for a revocation asks for it, and would be asked again without end
		}
		news := in.news[identity.Request{Kind: platform.NatsUser.Kind, Namespace: u.Namespace, Name: u.Name}]
		return !news && !u.Concerned(in.account.Terms(), now) && u.Reason != reason.AccountRefuted && !waits(in, u)
	})
}

// waits reports whether a request should run because of what its ledger says: its
// deletion was given up only because it waited for revocations, which are done
// now, or somebody has revoked what it delivers.
func waits(in inputs, u natsUser) bool {
	i := slices.IndexFunc(in.ledgers, func(l *ledger.Ledger) bool { return l.Request.Namespace == u.Namespace && l.Request.Name == u.Name })
	if i < 0 {
		return false
	}
	l := in.ledgers[i]
	if !u.Deleting.IsZero() {
		return l.Tombstone != nil && !l.Tombstone.Done && l.Count(ledger.Retiring) == 0
	}
	return slices.ContainsFunc(l.Records, func(r ledger.Record) bool {
		return r.State == ledger.Active && (!r.Revoked.IsZero() || !r.Lost.IsZero() || r.Stray)
	})
}
