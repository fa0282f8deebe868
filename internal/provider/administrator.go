package provider

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/baleen-platform/baleen/internal/reason"
	user "github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// Administrator looks after an account: it finds out what there is, and ends what
// users can do. It never sees a ledger.
type Administrator interface {
	// Inspect looks at the account. Something that is wrong is among the facts.
	Inspect(ctx context.Context) Facts
	// CannotRevoke is why users live until they expire, empty where they need not.
	CannotRevoke() string
	// Revoke sees to it that nobody can use identities any more, and that nothing is
	// left of those that have expired. What it cannot do now is Pending. It returns an
	// outcome for each, in their order, and the last of what went wrong. It is called
	// after an inspection by which the account can be revoked in.
	Revoke(ctx context.Context, departures []Departure) ([]Outcome, *Refusal)
	// Keeper is nil where the provider keeps no users.
	Keeper() Keeper
	// Close ends what was opened to look after the account.
	Close()
}

// Keeper tells of the users that a provider keeps.
type Keeper interface {
	// Users lists those of the account.
	Users(ctx context.Context) ([]User, error)
	// Gone reports whether there is no user of an id. It is asked about one that was not
	// in a list, which may not have been all of it.
	Gone(ctx context.Context, id string) (bool, error)
	// Downloaded reports whether anybody ever got credentials of a user.
	Downloaded(ctx context.Context, id string) (bool, error)
	// Refuse says why something could not be read.
	Refuse(err error) *Refusal
}

// Facts are what was found of an account.
type Facts struct {
	// Refusal is why no user could connect, or why that is not known; nil if all is
	// well.
	Refusal *Refusal
	// Account is what users are made with, nil where it was not found.
	Account *Account
	// ID is the public key of the account that was looked at, empty if there was none.
	ID string
	// Revocable: the account is there, and can be revoked in. Gone: there is none.
	Revocable, Gone bool
	// Revocations are up to when each key is revoked, in seconds since 1970.
	Revocations jwt.RevocationList
	// Name is the account's, Scope the role of a scoped signing key, and Verified how
	// much is certain.
	Name, Scope, Verified string
}

// Refuses reports whether the account's revocations are of an identity too, of which it is
// not always known when it was issued.
func (f Facts) Refuses(accountID, user string, issued time.Time) bool {
	until, alone := f.Revocations[user]
	all, has := f.Revocations[jwt.All]
	return accountID == f.ID && (alone && until >= issued.Unix() || has && !issued.IsZero() && all >= issued.Unix())
}

// Refusal is something that is wrong, with its reason for a status.
type Refusal struct {
	Reason reason.Reason
	Err    error
}

// Refuse returns a refusal.
func Refuse(why reason.Reason, format string, args ...any) *Refusal {
	return &Refusal{why, fmt.Errorf(format, args...)}
}

// Departure is an identity that nobody is to use any more.
type Departure struct {
	Identity
	// AccountID and ProviderAccount are those of the account that it was made in.
	AccountID, ProviderAccount string
	// Issued is when its intent was written down, and Expires when nothing of it can
	// connect any more.
	Issued, Expires time.Time
	// SigningKey is the key that its JWT is signed with, empty where that is not known.
	SigningKey string
	// Again: it was revoked before.
	Again   bool
	Urgency Urgency
}

// Urgency says whose revocation comes first where not all have room.
type Urgency int

// The urgencies, the most urgent first.
const (
	// AtOnce: its request is deleted, or says that former credentials go at once.
	AtOnce Urgency = iota
	// Narrowed: its cluster or its account was left, or its successor may do something else.
	Narrowed
	// Rotated: its successor may do the same.
	Rotated
	// Lost: nobody was given it.
	Lost
)

// Outcome is what became of a departure.
type Outcome struct {
	State OutcomeState
	// Users are those that there were, where the provider keeps them.
	Users []Identity
	// Out is why the account cannot be reached that it was made in, nil if it can.
	Out error
}

// OutcomeState is what became of an identity that is to be revoked.
type OutcomeState int

// The fates.
const (
	// Pending: a later run is to try again.
	Pending OutcomeState = iota
	// Revoked: nobody can connect with it.
	Revoked
	// LeftToExpire: it cannot be revoked, or need not be.
	LeftToExpire
)

// User is one that a provider keeps.
type User struct {
	ID, Name, PublicKey string
	// Settings is the digest of what it may do.
	Settings string
	// Expires is by when all that was issued for it has expired, in seconds since
	// 1970, 0 for never.
	Expires int64
}

// tolerance is by how much clocks may differ.
const tolerance = 10 * time.Minute

// ClockOff reports whether the run's clock differs too much from that of others; zero is
// the time of those who do not tell.
func (s Setting) ClockOff(theirs time.Time) bool {
	return !s.Simulated && !theirs.IsZero() && s.Now.Sub(theirs).Abs() > tolerance
}

// OwnTags are the names of the tags that every user has.
var OwnTags = []string{user.TagNamespace, user.TagName, user.TagDestination}

// MissingTag tells of a tag that a scope needs and nobody sets: a field of the spec has
// those that each request must have. It returns nil if there is none.
func MissingTag(scope *jwt.UserScope, required []string, field string) *Refusal {
	for _, tag := range TagsInScope(scope) {
		if !slices.Contains(slices.Concat(required, OwnTags), tag) {
			return Refuse(reason.ScopeMismatch, "the scope of the signing key needs the tag %s: add it to %s", tag, field)
		}
	}
	return nil
}
