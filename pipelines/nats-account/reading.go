package natsaccount

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// read reads the users that the provider keeps, if it is time for that.
func (f *finding) read(ctx context.Context, run *workflow.Run, in inputs) *provider.Refusal {
	if run.Now.Before(in.lastRead.Add(in.account.Spec.VerifyInterval())) {
		return nil
	}
	users, err := in.keeper.Users(ctx)
	if err != nil {
		return in.keeper.Refuse(err)
	}
	found := &reading{
		of: map[identity.Request][]seen{}, users: map[string]provider.User{}, gone: map[string]bool{},
		keptIn: in.account.ProviderAccount, accountID: in.account.ID, account: in.account.Name,
	}
	unknown, refusal := found.recognize(ctx, in, users, run.Now)
	if refusal == nil {
		refusal = found.miss(ctx, in)
	}
	if refusal == nil {
		f.lastRead, f.unknown, f.reading = run.Now, unknown, found
	}
	return refusal
}

// recognize notes for whom users were made, and counts those that no ledger has and
// that may be in use.
func (c *reading) recognize(ctx context.Context, in inputs, users []provider.User, now time.Time) (unknown int64, refusal *provider.Refusal) {
	for _, u := range users {
		c.users[u.ID] = u
		request, destination, generation, ok := in.account.NamedFor(u.Name)
		if !ok {
			continue
		}
		s := seen{u, destination, generation, false}
		known, err := in.knows(ctx, request, s)
		if err != nil {
			return 0, &provider.Refusal{Reason: reason.PlatformUnavailable, Err: err}
		}
		if !known {
			if s.stray, err = in.isNobodys(ctx, u, now); err != nil {
				return 0, in.keeper.Refuse(err)
			}
			if !s.stray {
				unknown++
			}
		}
		c.of[request] = append(c.of[request], s)
	}
	return unknown, nil
}

// miss notes which of the users are gone that were written down before the list was made.
func (c *reading) miss(ctx context.Context, in inputs) *provider.Refusal {
	for _, l := range in.ledgers {
		for _, r := range l.Records {
			if _, there := c.users[r.ID]; there || r.ID == "" || r.State != ledger.Active || r.Basis.ProviderAccount != in.account.ProviderAccount || !r.Lost.IsZero() {
				continue
			}
			var err error
			if c.gone[r.ID], err = in.keeper.Gone(ctx, r.ID); err != nil {
				return in.keeper.Refuse(err)
			}
		}
	}
	return nil
}

// knows reports whether a user is in the ledger of a request, be it one that draws
// from another NatsAccount.
func (in inputs) knows(ctx context.Context, request identity.Request, s seen) (bool, error) {
	if slices.ContainsFunc(in.ledgers, func(l *ledger.Ledger) bool { return l.Request == request && s.record(l) != nil }) {
		return true, nil
	}
	l, err := in.store.Get(ctx, request) // or it has come since
	if err != nil && !platform.IsTransient(err) {
		return true, nil // who cannot be read may have it
	}
	return err == nil && s.record(l) != nil, err
}

// isNobodys reports whether a user that is in no ledger can be removed: nobody can have
// its credentials, or they have expired. Others may be in use: the ledger may be
// lost, or another platform may have the same name.
func (in inputs) isNobodys(ctx context.Context, u provider.User, now time.Time) (bool, error) {
	if u.Expires > 0 && now.Unix() >= u.Expires {
		return true, nil
	}
	downloaded, err := in.keeper.Downloaded(ctx, u.ID)
	return !downloaded, err
}

// reading is what the provider has.
type reading struct {
	of    map[identity.Request][]seen
	users map[string]provider.User // by id
	gone  map[string]bool          // ids that were written down, and are of none
	// keptIn, accountID and account name the account.
	keptIn, accountID, account string
}

// seen is a user that was made for a generation.
type seen struct {
	provider.User
	destination string
	generation  int64
	// stray: no ledger had it, and nobody can use it.
	stray bool
}

// record returns where a ledger has the user, nil if it has not. A record of which the
// user is not known yet may be about to get it.
func (s seen) record(l *ledger.Ledger) *ledger.Record {
	i := slices.IndexFunc(l.Records, func(r ledger.Record) bool {
		return r.ID == s.ID || r.User == s.PublicKey || r.ID == "" && r.State != ledger.Retired && r.Destination == s.destination && r.Generation == s.generation
	})
	if i < 0 {
		return nil
	}
	return &l.Records[i]
}

// compare writes down what the provider has otherwise than the ledger, and
// reports whether that is news. Pure.
func (c *reading) compare(l *ledger.Ledger, now time.Time) (news bool) {
	note := func(at *time.Time, is bool) {
		switch {
		case is && at.IsZero():
			*at, news = now, true
		case !is && !at.IsZero():
			*at, news = time.Time{}, true
		}
	}
	for i := range l.Records {
		r := &l.Records[i]
		if r.State != ledger.Active || r.Basis.ProviderAccount != c.keptIn {
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
		r := u.record(l)
		if r != nil && r.ID == "" && r.User == u.PublicKey { // known from what was delivered alone
			r.ID = u.ID
		}
		if r != nil || !u.stray {
			continue
		}
		record := ledger.Record{
			Destination: u.destination, Generation: u.generation, State: ledger.Active, Stray: true, User: u.PublicKey, ID: u.ID,
			Issued: now, Expires: expiry(u.User, now), Basis: ledger.Basis{Account: c.account, AccountID: c.accountID, ProviderAccount: c.keptIn},
		}
		if l.Record(u.destination, u.generation) != nil {
			record.Generation = l.Next(u.destination)
		}
		l.Add(record)
		news = true
	}
	return news
}

// expiry is by when a user that was found has nothing left that could connect.
func expiry(u provider.User, now time.Time) time.Time {
	if u.Expires > 0 {
		return time.Unix(u.Expires, 0).UTC()
	}
	return now.AddDate(10, 0, 0) // never
}

// orphans returns ledgers for requests that are not there, but of which the control
// plane has users: nobody else would look for them.
func (c *reading) orphans(in *inputs) []*ledger.Ledger {
	var ledgers []*ledger.Ledger
	for request, users := range c.of {
		if !slices.ContainsFunc(users, func(u seen) bool { return u.stray }) {
			continue
		}
		known := slices.ContainsFunc(in.ledgers, func(l *ledger.Ledger) bool { return l.Request == request })
		alive := slices.ContainsFunc(in.all, func(u natsUser) bool { return u.Namespace == request.Namespace && u.Name == request.Name })
		if !known && !alive {
			ledgers = append(ledgers, &ledger.Ledger{Request: request})
		}
	}
	slices.SortFunc(ledgers, func(a, b *ledger.Ledger) int { return cmp.Compare(a.Request.String(), b.Request.String()) })
	return ledgers
}
