package natsaccount

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/issuer"
	"github.com/baleen-platform/baleen/internal/issuer/synadia"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// visit does at the control plane what attend does at the servers: it looks up the
// account, has users retired that were let go of, and reads all users if it is
// time for that.
func (f *finding) visit(ctx context.Context, run *workflow.Run, w world) {
	spec := w.account.Spec.Synadia
	f.revocation, f.settled = "possible", func(*ledger.Ledger, ledger.Row) settlement { return pending }
	f.verified = "the control plane was not asked"
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
	f.name = found.Name
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

// retire has the users retired that are queued, and those again whose revocation
// somebody has undone: who could connect first, then what has expired. What the
// budget does not suffice for is left to the next run.
func (f *finding) retire(ctx context.Context, run *workflow.Run, w world, account *synadia.Account) {
	f.retired = map[place][]issuer.Identity{}
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
	for _, expired := range []bool{false, true} {
		for _, l := range w.ledgers {
			for _, r := range l.Rows {
				undone := r.State == ledger.Retired && !r.Revoked.IsZero() && r.Basis.AccountID == account.PublicKey && !f.refused(r)
				if r.Basis.Account != w.account.Name || r.Basis.KeptIn == "" || run.Now.Before(r.Expires) == expired || r.State != ledger.Retiring && (expired || !undone) {
					continue
				}
				there := *w.synadia
				there.ProviderID = r.Basis.KeptIn
				who := issuer.Identity{Name: w.account.UserName(l.Request, r.Destination, r.Generation), User: r.User, ID: r.ID}
				found, err := there.Retire(ctx, who, r.Issued, r.Expires)
				switch {
				case err == nil:
					f.retired[placeOf(l, r)] = found
				case r.Basis.KeptIn != account.ID && synadia.IsStatus(err, http.StatusForbidden, http.StatusNotFound):
					run.Log.Warn("a user of an account that this one was before is out of the token's reach, and lives until it expires", "account", run.Identity.String(), "user", who.Name, "error", err)
					left[placeOf(l, r)] = true
				default:
					f.failCloud(err)
				}
				if w.synadia.Cloud.Spent() || f.reason == "TokenRefused" {
					return
				}
			}
		}
	}
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

// read reads the users of the account, if it is time for that.
func (f *finding) read(ctx context.Context, run *workflow.Run, w world) {
	f.lastRead, f.unknown = w.lastRead, w.unknown
	if run.Now.Before(w.lastRead.Add(w.account.Spec.Synadia.VerifyInterval.Value())) {
		return
	}
	users, err := w.synadia.Users(ctx)
	if err != nil {
		f.failCloud(err)
		return
	}
	found := &reading{map[identity.Request][]seen{}, map[string]synadia.User{}, map[string]bool{}, w.account.KeptIn, w.account.ID, w.account.Name}
	unknown := int64(0)
	for _, u := range users {
		found.users[u.ID] = u
		request, destination, generation, ok := w.account.NamedFor(u.Name)
		if !ok {
			continue
		}
		s := seen{u, destination, generation, false}
		known, err := w.knows(ctx, request, s)
		if err != nil {
			f.fail("LedgerDamaged", err)
			return
		}
		if !known {
			if s.stray, err = w.isNobodys(ctx, u, run.Now); err != nil {
				f.failCloud(err)
				return
			}
			if !s.stray {
				unknown++
			}
		}
		found.of[request] = append(found.of[request], s)
	}
	// Of those written down before the list was made.
	for _, l := range w.ledgers {
		for _, r := range l.Rows {
			if _, there := found.users[r.ID]; there || r.ID == "" || r.State != ledger.Active || r.Basis.KeptIn != w.account.KeptIn || !r.Lost.IsZero() {
				continue
			}
			if found.gone[r.ID], err = w.synadia.Gone(ctx, r.ID); err != nil {
				f.failCloud(err)
				return
			}
		}
	}
	f.lastRead, f.unknown, f.reading = run.Now, unknown, found
}

// knows tells whether a user is in the ledger of a request, be it one that draws
// from another NatsAccount.
func (w world) knows(ctx context.Context, request identity.Request, s seen) (bool, error) {
	if slices.ContainsFunc(w.ledgers, func(l *ledger.Ledger) bool { return l.Request == request && s.row(l) != nil }) {
		return true, nil
	}
	l, err := w.book.Get(ctx, request) // or it has come since
	return err == nil && s.row(l) != nil, err
}

// isNobodys tells whether a user that is in no ledger can be removed: nobody can have
// its credentials, or they have expired. Others may be in use: the ledger may be
// lost, or another platform may have the same name.
func (w world) isNobodys(ctx context.Context, u synadia.User, now time.Time) (bool, error) {
	if u.Expires > 0 && now.Unix() >= u.Expires {
		return true, nil
	}
	downloaded, err := w.synadia.Downloaded(ctx, u.ID)
	return !downloaded, err
}

// reading is what the control plane has.
type reading struct {
	of    map[identity.Request][]seen
	users map[string]synadia.User // by id
	gone  map[string]bool         // ids that were written down, and are of none
	// keptIn, accountID and account name the account.
	keptIn, accountID, account string
}

// seen is a user that was made for a generation.
type seen struct {
	synadia.User
	destination string
	generation  int64
	// stray: no ledger had it, and nobody can use it.
	stray bool
}

// row returns where a ledger has the user, nil if it has not. A row of which the
// user is not known yet may be about to get it.
func (s seen) row(l *ledger.Ledger) *ledger.Row {
	i := slices.IndexFunc(l.Rows, func(r ledger.Row) bool {
		return r.ID == s.ID || r.User == s.PublicKey || r.ID == "" && r.State != ledger.Retired && r.Destination == s.destination && r.Generation == s.generation
	})
	if i < 0 {
		return nil
	}
	return &l.Rows[i]
}

// compare writes down what the control plane has otherwise than the ledger, and
// tells whether that is news. Pure.
func (c *reading) compare(l *ledger.Ledger, now time.Time) (news bool) {
	note := func(at *time.Time, is bool) {
		switch {
		case is && at.IsZero():
			*at, news = now, true
		case !is && !at.IsZero():
			*at, news = time.Time{}, true
		}
	}
	for i := range l.Rows {
		r := &l.Rows[i]
		if r.State != ledger.Active || r.Basis.KeptIn != c.keptIn {
			continue
		}
		if c.gone[r.ID] && r.Lost.IsZero() {
			r.Lost, news = now, true
		}
		if u, there := c.users[r.ID]; there && r.Settings != "" {
			note(&r.Drifted, u.Settings != r.Settings)
		}
	}
	for _, u := range c.of[l.Request] {
		r := u.row(l)
		if r != nil && r.ID == "" && r.User == u.PublicKey { // known from what was delivered alone
			r.ID = u.ID
		}
		if r != nil || !u.stray {
			continue
		}
		row := ledger.Row{
			Destination: u.destination, Generation: u.generation, State: ledger.Active, Stray: true, User: u.PublicKey, ID: u.ID,
			Issued: now, Expires: expiry(u.User, now), Basis: ledger.Basis{Account: c.account, AccountID: c.accountID, KeptIn: c.keptIn},
		}
		if l.Row(u.destination, u.generation) != nil {
			row.Generation = l.Next(u.destination)
		}
		l.Add(row)
		news = true
	}
	return news
}

// expiry is by when a user that was found has nothing left that could connect.
func expiry(u synadia.User, now time.Time) time.Time {
	if u.Expires > 0 {
		return time.Unix(u.Expires, 0).UTC()
	}
	return now.AddDate(10, 0, 0) // never
}

// orphans returns ledgers for requests that are not there, but of which the control
// plane has users: nobody else would look for them.
func (c *reading) orphans(w *world) []*ledger.Ledger {
	var ledgers []*ledger.Ledger
	for request, users := range c.of {
		if !slices.ContainsFunc(users, func(u seen) bool { return u.stray }) {
			continue
		}
		known := slices.ContainsFunc(w.ledgers, func(l *ledger.Ledger) bool { return l.Request == request })
		alive := slices.ContainsFunc(w.all, func(u natsUser) bool { return u.Namespace == request.Namespace && u.Name == request.Name })
		if !known && !alive {
			ledgers = append(ledgers, &ledger.Ledger{Request: request})
		}
	}
	slices.SortFunc(ledgers, func(a, b *ledger.Ledger) int { return cmp.Compare(a.Request.String(), b.Request.String()) })
	return ledgers
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
