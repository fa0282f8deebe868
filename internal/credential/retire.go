package credential

import (
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/ledger"
)

// Terms say how a former generation is retired.
type Terms struct {
	// Overlap is how long it lives on once its successor was seen in the state
	// store; with Immediately not at all.
	Overlap     time.Duration
	Immediately bool
	// Served reports whether a cluster is still addressed, also in its grace.
	Served func(destination string) bool
	// Revocable reports whether a NatsAccount can revoke. Otherwise what is retired
	// lives until it expires, and there is nothing to wait for.
	Revocable func(account string) bool
}

// Advance brings the states of all records up to date with the time and what has been
// seen. It makes no identity and needs none: to tend twice changes nothing.
func Advance(l *ledger.Ledger, terms Terms, now time.Time) {
	for i := range l.Records {
		r := &l.Records[i]
		switch r.State {
		case ledger.Intended: // by a run that is gone
			r.State = ledger.Retiring
		case ledger.Active:
			if r.Stray { // nobody was given it
				r.State = ledger.Retiring
			}
			switch current := l.Current(r.Destination); {
			case !r.Revoked.IsZero() && current != nil && current.Generation > r.Generation: // by somebody else
				r.State = ledger.Retired
				if r.Basis.ProviderAccount != "" { // its user is still there
					r.State = ledger.Retiring
				}
			case !terms.Served(r.Destination) || superseded(l, r, terms, now):
				r.State = ledger.Retiring
			}
		}
		if r.State == ledger.Retiring && !terms.Revocable(r.Basis.Account) { // expire goes on with one whose user is to be removed
			r.State = ledger.Retired
		}
	}
	expire(l, terms, now)
}

// RetireAll retires every identity of a request that is being deleted: with
// revoke they are to be revoked, else they live until they expire.
func RetireAll(l *ledger.Ledger, revoke bool, now time.Time) {
	never, all := func(string) bool { return false }, func(string) bool { return revoke }
	Advance(l, Terms{Served: never, Revocable: all}, now)
}

// expire takes away what time has ended: states, ciphertext and records.
func expire(l *ledger.Ledger, terms Terms, now time.Time) {
	for i := range l.Records {
		r := &l.Records[i]
		if r != l.Current(r.Destination) { // nobody gets it any more, and what it was issued upon is of no more use, but for where it connects
			r.Ciphertext, r.Earlier, r.Version, r.Renews = nil, nil, "", time.Time{}
			r.Basis = ledger.Basis{Account: r.Basis.Account, AccountID: r.Basis.AccountID, ProviderAccount: r.Basis.ProviderAccount, SigningKey: r.Basis.SigningKey}
			switch {
			case needsRemoval(*r, now):
				r.State = ledger.Retiring
			case !now.Before(r.Expires):
				r.State = ledger.Retired
			}
		} else if r.Basis.Delivery.Retain == ledger.RetainNothing && !r.Written.IsZero() && !now.Before(r.Written.Add(terms.Overlap)) {
			r.ForgetCredential()
		}
	}
	l.Records = slices.DeleteFunc(l.Records, func(r ledger.Record) bool { return forgettable(r, now) })
}

// needsRemoval reports whether the provider keeps a user, or a revocation, that has no use
// any more.
func needsRemoval(r ledger.Record, now time.Time) bool {
	return r.Basis.ProviderAccount != "" && !r.Removed && !now.Before(r.Expires)
}

// How long a record is remembered after its identity has expired. One that was
// revoked is remembered longer, so that the account's pipeline can take the
// revocation back, which then has no use any more.
const (
	memory        = 24 * time.Hour
	memoryRevoked = 7 * 24 * time.Hour
)

// forgettable reports whether a record is remembered no longer. One whose user the
// provider keeps is not Retired then.
func forgettable(r ledger.Record, now time.Time) bool {
	after := memory
	if !r.Revoked.IsZero() {
		after = memoryRevoked
	}
	return r.State == ledger.Retired && now.After(r.Expires.Add(after))
}

// superseded reports whether a generation has been superseded, and for long enough.
func superseded(l *ledger.Ledger, r *ledger.Record, terms Terms, now time.Time) bool {
	if current := l.Current(r.Destination); current == nil || current.Generation <= r.Generation {
		return false
	}
	return slices.ContainsFunc(l.Records, func(later ledger.Record) bool {
		return later.Destination == r.Destination && supersededBy(l, r, later.Generation) &&
			(terms.Immediately || !later.Written.IsZero() && !now.Before(later.Written.Add(terms.Overlap)))
	})
}

// Awaited reports whether anything depends on when a record is seen in the state store:
// a former generation that is to go, or its own ciphertext. Otherwise nobody need
// write it down.
func Awaited(l *ledger.Ledger, record *ledger.Record) bool {
	if record.State != ledger.Active || !record.Written.IsZero() {
		return false
	}
	awaits := func(r ledger.Record) bool {
		return r.Destination == record.Destination && r.State == ledger.Active && supersededBy(l, &r, record.Generation)
	}
	return slices.ContainsFunc(l.Records, awaits) || record.Basis.Delivery.Retain == ledger.RetainNothing && record.HoldsCredential()
}

// supersededBy reports whether a generation up to a later one takes the place of a record.
func supersededBy(l *ledger.Ledger, r *ledger.Record, upTo int64) bool {
	return slices.ContainsFunc(l.Records, func(later ledger.Record) bool {
		return later.Destination == r.Destination && later.Generation > r.Generation && later.Generation <= upTo &&
			later.State != ledger.Intended && (Reason(later.Reason).supersedes() || !r.Lost.IsZero())
	})
}

// Successors returns for each of some records, of which those of a destination are in the
// order of their generations, why the first generation was issued that takes its place, or
// is about to be; no reason if none does.
func Successors(records []ledger.Record) []Reason {
	type later struct{ any, superseding Reason }
	after := map[string]later{}
	all := make([]Reason, len(records))
	for i := len(records) - 1; i >= 0; i-- {
		r := &records[i]
		next := after[r.Destination]
		if all[i] = next.superseding; !r.Lost.IsZero() {
			all[i] = next.any
		}
		if next.any = Reason(r.Reason); next.any.supersedes() {
			next.superseding = next.any
		}
		after[r.Destination] = next
	}
	return all
}

// EarlierOf returns the generations of a destination that can still connect, for
// the record that comes after them.
func EarlierOf(l *ledger.Ledger, destination string) []ledger.Earlier {
	var earlier []ledger.Earlier
	for _, r := range l.Records {
		if r.Destination == destination && r.State != ledger.Retired {
			earlier = append(earlier, ledger.Earlier{
				Generation: r.Generation, User: r.User, Account: r.Basis.Account, AccountID: r.Basis.AccountID, ProviderAccount: r.Basis.ProviderAccount, Expires: r.Expires,
			})
		}
	}
	return earlier
}

// Import adds to a ledger what is delivered and not in it: a record, and those that
// came before it and have not expired. A ledger that was lost, or is yesterday's, is
// made whole so.
func Import(l *ledger.Ledger, delivered []ledger.Record, now time.Time) {
	for _, d := range delivered {
		d.State = ledger.Active
		switch has := find(l, d.Destination, d.User); {
		case has != nil && (has.State == ledger.Intended || has.Stray): // its commit was undone
			d.Generation = has.Generation
			*has = d
		case has == nil:
			// One without a key is the intent of just this.
			if at := l.Record(d.Destination, d.Generation); at != nil && at.User != "" {
				d.Generation = l.Next(d.Destination)
			}
			l.Add(d)
		}
		for _, e := range d.Earlier {
			if has := find(l, d.Destination, e.User); has != nil {
				has.Stray = false
			} else if now.Before(e.Expires) && l.Record(d.Destination, e.Generation) == nil {
				l.Add(ledger.Record{
					Destination: d.Destination, Generation: e.Generation, State: ledger.Active, User: e.User, Expires: e.Expires,
					Basis: ledger.Basis{Account: e.Account, AccountID: e.AccountID, ProviderAccount: e.ProviderAccount},
				})
			}
		}
	}
}

func find(l *ledger.Ledger, destination, user string) *ledger.Record {
	i := slices.IndexFunc(l.Records, func(r ledger.Record) bool { return r.Destination == destination && r.User == user })
	if i < 0 {
		return nil
	}
	return &l.Records[i]
}
