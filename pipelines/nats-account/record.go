package natsaccount

import (
	"context"
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// record writes down what became of the identities that were to be revoked.
func record(ctx context.Context, run *workflow.Run, in *inputs, found finding) error {
	in.news = map[identity.Request]bool{}
	if found.reading != nil {
		// Users may have been made since the ledgers were read, and before they were.
		var ledgers []*ledger.Ledger
		for _, l := range in.ledgers {
			now, err := in.store.Get(ctx, l.Request)
			if err != nil {
				return err
			}
			if now.Exists() { // one that is lost is made again from what is delivered
				ledgers = append(ledgers, now)
			}
		}
		in.ledgers = slices.Concat(ledgers, found.reading.orphans(in))
	}
	for i, l := range in.ledgers {
		var err error
		if in.ledgers[i], err = recordOne(ctx, in, found, l, run.Now.UTC().Truncate(time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// recordOne does so in one ledger, which others write at the same time: what was revoked
// is, so it is written down in what they have made of it. It returns that.
func recordOne(ctx context.Context, in *inputs, found finding, l *ledger.Ledger, now time.Time) (*ledger.Ledger, error) {
	overtaken := false
	var unread error
	err := platform.OnConflict(ctx, ledger.IsConflict, func() error {
		if overtaken {
			if l, unread = in.store.Get(ctx, l.Request); unread != nil || !l.Exists() { // forgotten by the run of another account
				return unread
			}
		}
		overtaken = true
		if found.reading != nil {
			in.news[l.Request] = found.reading.compare(l, now) || in.news[l.Request]
		}
		apply(l, *in, found, now)
		return in.store.Save(ctx, l)
	})
	switch {
	case unread != nil:
		return nil, unread
	case ledger.IsConflict(err): // the next run does it
		return l, nil
	}
	return l, in.tolerate(err)
}

// apply writes down in a ledger what was found and done.
func apply(l *ledger.Ledger, in inputs, found finding, now time.Time) {
	var others []ledger.Record
	for i := range l.Records {
		r := &l.Records[i]
		switch {
		case r.Basis.Account != in.account.Name:
		case r.State == ledger.Active && r.Revoked.IsZero() && found.refused(*r):
			r.Revoked = now
		case r.State == ledger.Retiring:
			o, _ := found.of(l, *r)
			others = append(others, recordOutcome(r, found.outcomeOf(in, l, *r, now), o.Users, now)...)
		}
	}
	for _, other := range others {
		other.Generation = l.Next(other.Destination)
		l.Add(other)
	}
}

// outcomeOf is what became of an identity that is to be revoked. Pure.
func (f *finding) outcomeOf(in inputs, l *ledger.Ledger, r ledger.Record, now time.Time) provider.OutcomeState {
	switch o, was := f.of(l, r); {
	case in.admin.CannotRevoke() != "":
		return provider.LeftToExpire
	case was:
		return o.State
	case f.Gone && !now.Before(r.Expires): // of an account that is not there nothing is left
		return provider.LeftToExpire
	}
	return provider.Pending // queued after the ledgers were read, or nothing could be done
}

// recordOutcome writes down what became of an identity. Where the provider keeps users,
// one that was never committed may turn out to be none, or several: it returns records
// for the others. Pure.
func recordOutcome(r *ledger.Record, became provider.OutcomeState, users []provider.Identity, now time.Time) (others []ledger.Record) {
	if became == provider.Pending {
		return nil
	}
	r.State = ledger.Retired
	expired := !now.Before(r.Expires)
	switch {
	case r.Basis.ProviderAccount == "" && became == provider.Revoked:
		r.Revoked = now
	case r.Basis.ProviderAccount == "":
	case became == provider.LeftToExpire:
		r.Removed = expired
	case r.User == "" && len(users) == 0: // there never was one
		r.Removed, r.Expires = true, now
	default:
		if r.User == "" {
			r.User, r.ID = users[0].User, users[0].ID
		}
		if r.Removed = expired; !expired { // the revocation stays until then
			r.Revoked = now
		}
	}
	for _, u := range users {
		if other := *r; u.User != r.User {
			other.User, other.ID = u.User, u.ID
			others = append(others, other)
		}
	}
	return others
}
