package natsaccount

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// settle writes down what became of the identities that were to be revoked.
func settle(ctx context.Context, run *workflow.Run, w *world, found finding) error {
	w.news = map[identity.Request]bool{}
	if found.reading != nil {
		// Users may have been made since the ledgers were read, and before they were.
		var ledgers []*ledger.Ledger
		for _, l := range w.ledgers {
			now, err := w.book.Get(ctx, l.Request)
			if err != nil {
				return err
			}
			if now.Exists() { // one that is lost is made again from what is delivered
				ledgers = append(ledgers, now)
			}
		}
		w.ledgers = slices.Concat(ledgers, found.reading.orphans(w))
	}
	for i, l := range w.ledgers {
		for range 10 { // others write at the same time, and what was revoked is
			if found.reading != nil {
				w.news[l.Request] = found.reading.compare(l, run.Now.UTC().Truncate(time.Second)) || w.news[l.Request]
			}
			update(l, *w, found, run.Now.UTC().Truncate(time.Second))
			err := w.book.Save(ctx, l)
			if !errors.Is(err, ledger.ErrConflict) {
				if err := w.tolerate(err); err != nil {
					return err
				}
				break
			}
			if l, err = w.book.Get(ctx, l.Request); err != nil {
				return err
			}
			if !l.Exists() { // forgotten by the run of another account
				break
			}
		}
		w.ledgers[i] = l
	}
	return nil
}

// update writes down in a ledger what was found and done.
func update(l *ledger.Ledger, w world, found finding, now time.Time) {
	var others []ledger.Row
	for i := range l.Rows {
		r := &l.Rows[i]
		switch {
		case r.Basis.Account != w.account.Name:
		case r.State == ledger.Active && r.Revoked.IsZero() && found.refused(*r):
			r.Revoked = now
		case r.State == ledger.Retiring:
			o, _ := found.of(l, *r)
			others = append(others, settleRow(r, found.fate(w, l, *r, now), o.Users, now)...)
		}
	}
	for _, other := range others {
		other.Generation = l.Next(other.Destination)
		l.Add(other)
	}
}

// fate is what became of an identity that is to be revoked. Pure.
func (f *finding) fate(w world, l *ledger.Ledger, r ledger.Row, now time.Time) provider.Fate {
	switch o, was := f.of(l, r); {
	case w.admin.CannotRevoke() != "":
		return provider.LeftToExpire
	case was:
		return o.Fate
	case f.Gone && !now.Before(r.Expires): // of an account that is not there nothing is left
		return provider.LeftToExpire
	}
	return provider.Pending // queued after the ledgers were read, or nothing could be done
}

// settleRow writes down what became of an identity. Where the provider keeps users,
// one that was never committed may turn out to be none, or several: it returns rows
// for the others. Pure.
func settleRow(r *ledger.Row, became provider.Fate, users []provider.Identity, now time.Time) (others []ledger.Row) {
	if became == provider.Pending {
		return nil
	}
	r.State = ledger.Retired
	expired := !now.Before(r.Expires)
	switch {
	case r.Basis.KeptIn == "" && became == provider.Revoked:
		r.Revoked = now
	case r.Basis.KeptIn == "":
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
