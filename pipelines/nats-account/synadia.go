package natsaccount

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// visit does at the control plane what attend does at the servers: it looks up the
// account, has users retired that were let go of, and reads all users if it is
// time for that.
func (f *finding) visit(ctx context.Context, run *workflow.Run, w world) {
	spec := w.account.Spec.Synadia
	f.revocation, f.settled = "possible", func(*ledger.Ledger, ledger.Row) settlement { return pending }
	f.verified, f.lastRead, f.unknown = "the control plane did not answer", w.lastRead, w.unknown
	found, err := w.synadia.Cloud.Look(ctx, synadia.Named{
		AccountID: spec.AccountID, System: spec.System, Account: spec.Account, Group: spec.SigningKeyGroup, LastGroup: w.account.SigningKey,
	})
	if found == nil {
		f.failCloud(err)
		if f.reason == "AccountUnknown" { // what has expired there needs nobody any more
			f.settled = func(_ *ledger.Ledger, r ledger.Row) settlement {
				if run.Now.Before(r.Expires) {
					return pending
				}
				return leftToExpire
			}
		}
		return
	}
	if off := run.Now.Sub(found.Time).Abs(); !found.Time.IsZero() && off > tolerance && !run.Simulated {
		f.fail("ClockOff", fmt.Errorf("the clock says %s, and the control plane says %s: set the clock of the node that runs the pipeline; until then nothing is revoked, and no revocation is taken back",
			run.Now.UTC().Format(time.RFC3339), found.Time.UTC().Format(time.RFC3339)))
		return
	}
	f.name, f.verified = found.Name, "the control plane has the account"
	f.refused = func(r ledger.Row) bool { return revokedIn(found.Revocations, found.PublicKey, r) }
	f.retire(ctx, run, w, found)
	if err == nil && found.Scope != nil {
		f.scope = found.Scope.Role
		if tags := needsTags(found.Scope, spec.RequiredTags, "spec.synadia.requiredTags"); tags != nil {
			f.fail("ScopeMismatch", tags)
			return
		}
	}
	if err != nil { // of the group: what is let go of has gone all the same
		f.failCloud(err)
		return
	}
	w.account.Found(found.PublicKey, found.ID, found.GroupID, found.Scope != nil)
	f.verified = fmt.Sprintf("the control plane has the account, and can sign with its signing key group %q", found.GroupName)
	if f.err == nil {
		f.read(ctx, run, w)
	}
}

func (f *finding) failCloud(err error) {
	var unknown *synadia.UnknownError
	switch {
	case errors.As(err, &unknown):
		f.fail(unknown.Reason, err)
	case synadia.IsStatus(err, http.StatusUnauthorized, http.StatusForbidden):
		f.fail("TokenRefused", err)
	default:
		f.fail("ProviderUnreachable", err)
	}
}

// place is where a row stands.
type place struct {
	request     identity.Request
	destination string
	generation  int64
}

func placeOf(l *ledger.Ledger, r ledger.Row) place {
	return place{l.Request, r.Destination, r.Generation}
}

// retire has the users retired that are let go of. What the budget does not suffice
// for is left to the next run.
func (f *finding) retire(ctx context.Context, run *workflow.Run, w world, account *synadia.Account) {
	f.retired = map[place][]provider.Identity{}
	left := map[place]bool{}
	f.settled = func(l *ledger.Ledger, r ledger.Row) settlement {
		switch _, done := f.retired[placeOf(l, r)]; {
		case done:
			return revoked
		case r.Basis.KeptIn == "", left[placeOf(l, r)]: // of a provider or an account that was there before
			return leftToExpire
		}
		return pending
	}
	if run.DryRun {
		return
	}
	for _, d := range departures(w, account.PublicKey, f.refused, run.Now) {
		there := *w.synadia
		there.ProviderID = d.row.Basis.KeptIn
		who := provider.Identity{Name: w.account.UserName(d.request, d.destination, d.generation), User: d.row.User, ID: d.row.ID}
		found, err := there.Retire(ctx, who, d.row.Issued, d.row.Expires)
		switch {
		case err == nil:
			f.retired[d.place] = found
		case there.ProviderID != account.ID && synadia.IsStatus(err, http.StatusForbidden, http.StatusNotFound):
			run.Log.Warn("a user of an account that this one was before is out of the token's reach, and lives until it expires", "account", run.Identity.String(), "user", who.Name, "error", err)
			left[d.place] = true
		default:
			f.failCloud(err)
		}
		if w.synadia.Cloud.Spent() || f.reason == "TokenRefused" {
			return
		}
	}
}

// departure is an identity that is to go.
type departure struct {
	place
	row ledger.Row
}

// departures are the identities that are queued, and those whose revocation somebody
// has undone: who could connect first, then what has expired. Pure.
func departures(w world, accountID string, refused func(ledger.Row) bool, now time.Time) []departure {
	var live, expired []departure
	for _, l := range w.ledgers {
		for _, r := range l.Rows {
			undone := r.State == ledger.Retired && !r.Revoked.IsZero() && r.Basis.AccountID == accountID && !refused(r)
			switch d := (departure{placeOf(l, r), r}); {
			case r.Basis.Account != w.account.Name || r.Basis.KeptIn == "":
			case now.Before(r.Expires) && (r.State == ledger.Retiring || undone):
				live = append(live, d)
			case r.State == ledger.Retiring:
				expired = append(expired, d)
			}
		}
	}
	return append(live, expired...)
}

// revocations is how many revocations of Baleen's the account has at Synadia.
func revocations(w world, now time.Time) int {
	n := 0
	for _, l := range w.ledgers {
		for _, r := range l.Rows {
			if r.Basis.Account == w.account.Name && r.State == ledger.Retired && !r.Revoked.IsZero() && now.Before(r.Expires) {
				n++
			}
		}
	}
	return n
}

// openSynadia notes how to speak with the control plane, and when its users were
// read last.
func (w *world) openSynadia(run *workflow.Run) {
	w.synadia, _ = w.account.Issuer.(*synadia.Issuer)
	if w.synadia == nil || w.account.Unseen {
		return
	}
	last := account.LastStatus(run.Request).Account
	w.unknown = last.UnknownUsers
	if last.Read != "" {
		if at, err := time.Parse(time.RFC3339, last.Read); err == nil {
			w.lastRead = at
		}
	}
}

// showSynadia adds to what the status says of an account what Synadia has of it.
func showSynadia(w world, f finding, status v1alpha1.AccountStatus) v1alpha1.AccountStatus {
	status.ProviderID, status.Scoped = w.account.KeptIn, w.account.KeptIn != "" && w.account.Scoped
	if w.synadia != nil {
		status.Source, status.UnknownUsers = w.account.Source(), f.unknown
	}
	if !f.lastRead.IsZero() {
		status.Read = f.lastRead.UTC().Format(time.RFC3339)
	}
	return status
}
