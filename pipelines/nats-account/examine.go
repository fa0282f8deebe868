package natsaccount

import (
	"context"
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// finding is what a run found of the account, and did at its provider.
type finding struct {
	provider.Facts
	// refusal is why the account does not work, or cannot be verified, or why
	// something could not be done; nil if all is well.
	refusal *provider.Refusal
	// outcomes are what became of identities that nobody is to use any more.
	outcomes map[place]outcome
	// reading is what users the provider has, nil if they were not read. lastRead is
	// when they were, unknown how many of them are in no ledger and may be in use.
	reading  *reading
	lastRead time.Time
	unknown  int64
}

// outcome is what became of a departure.
type outcome struct {
	provider.Departure
	provider.Outcome
}

// examine looks at the account, has what is queued revoked, and reads the users that
// the provider keeps. A failure is part of what was found: the rest of the run goes on.
func examine(ctx context.Context, run *workflow.Run, in inputs) finding {
	f := finding{Facts: in.admin.Inspect(ctx), lastRead: in.lastRead, unknown: in.unknown}
	if f.Revocable {
		f.revoke(ctx, run, in)
	}
	if f.Refusal != nil {
		f.refusal = f.Refusal
	}
	if f.Account != nil {
		in.account.Account = *f.Account
	}
	if f.refusal == nil && in.keeper != nil {
		f.refusal = f.read(ctx, run, in)
	}
	return f
}

// revoke has those identities revoked that are to go.
func (f *finding) revoke(ctx context.Context, run *workflow.Run, in inputs) {
	going := departures(in, run.Now)
	var all []provider.Departure
	for _, d := range going {
		all = append(all, d.Departure)
	}
	outcomes, refusal := in.admin.Revoke(ctx, all)
	f.refusal, f.outcomes = refusal, map[place]outcome{}
	for i, o := range outcomes {
		if o.Out != nil {
			run.Log.Warn("a user of an account that this one was before is out of the token's reach, and lives until it expires", "account", run.Identity.String(), "user", going[i].Name, "error", o.Out)
		}
		f.outcomes[going[i].place] = outcome{all[i], o}
	}
}

// of returns what became of a record, if it was among the departures: another may have
// taken its place since.
func (f *finding) of(l *ledger.Ledger, r ledger.Record) (provider.Outcome, bool) {
	o, was := f.outcomes[placeOf(l, r)]
	if was = was && o.AccountID == r.Basis.AccountID && (o.User == r.User || o.User == ""); !was {
		return provider.Outcome{}, false
	}
	return o.Outcome, true
}

// refused reports whether somebody else has revoked an identity.
func (f *finding) refused(r ledger.Record) bool {
	return f.Refuses(r.Basis.AccountID, r.User, r.Issued)
}

// place is where a record stands.
type place struct {
	request     identity.Request
	destination string
	generation  int64
}

func placeOf(l *ledger.Ledger, r ledger.Record) place {
	return place{l.Request, r.Destination, r.Generation}
}

// departure is an identity that is to go, or stay away.
type departure struct {
	place
	provider.Departure
}

// departures are the identities that are queued, and those that were revoked, should
// somebody have undone that: who could connect first, then what has expired. Pure.
func departures(in inputs, now time.Time) []departure {
	var live, expired []departure
	atOnce := map[identity.Request]bool{}
	for _, u := range in.all {
		atOnce[identity.Request{Kind: platform.NatsUser.Kind, Namespace: u.Namespace, Name: u.Name}] = u.atOnce
	}
	for _, l := range in.ledgers {
		successors := credential.Successors(l.Records)
		for i, r := range l.Records {
			again := r.State == ledger.Retired || r.Basis.ProviderAccount == "" // of a user that is kept its request's run has to learn first
			if r.Basis.Account != in.account.Name || r.State != ledger.Retiring && (r.Revoked.IsZero() || !again) {
				continue
			}
			d := departure{placeOf(l, r), provider.Departure{
				Identity:  provider.Identity{Name: in.account.UserName(l.Request, r.Destination, r.Generation), User: r.User, ID: r.ID},
				AccountID: r.Basis.AccountID, ProviderAccount: r.Basis.ProviderAccount, Issued: r.Issued, Expires: r.Expires, SigningKey: r.Basis.SigningKey, Again: r.State != ledger.Retiring, Urgency: urgencyOf(l, i, successors[i], atOnce[l.Request]),
			}}
			if now.Before(r.Expires) {
				live = append(live, d)
			} else {
				expired = append(expired, d)
			}
		}
	}
	return slices.Concat(live, expired)
}

// urgencyOf is how urgent it is that the i-th identity of a ledger goes, given why its place
// was taken, and whether its request wants what it had before to go at once. Pure.
func urgencyOf(l *ledger.Ledger, i int, successor credential.Reason, atOnce bool) provider.Urgency {
	r := l.Records[i]
	next := slices.IndexFunc(l.Records[i+1:], func(later ledger.Record) bool { return later.Destination == r.Destination })
	begun := next >= 0 && slices.Contains([]string{string(credential.FirstIssue), string(credential.DestinationAdded)}, l.Records[i+1+next].Reason)
	switch {
	case l.Tombstone != nil, successor != "" && atOnce:
		return provider.AtOnce
	case successor == credential.RotationRequested, successor == credential.SigningKeyChanged:
		return provider.Rotated
	case successor != "", begun, l.Current(r.Destination) == nil: // the request was made anew, or the cluster left
		return provider.Narrowed
	}
	return provider.Lost
}

// revocations is how many revocations of Baleen's the account has. Nobody can tell who
// cannot revoke. Pure.
func revocations(in inputs, now time.Time) int {
	n := 0
	if in.admin.CannotRevoke() != "" {
		return n
	}
	for _, l := range in.ledgers {
		for _, r := range l.Records {
			if r.Basis.Account == in.account.Name && !r.Revoked.IsZero() && now.Before(r.Expires) {
				n++
			}
		}
	}
	return n
}
