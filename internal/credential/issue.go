// Package credential holds the rules by which credentials are issued, renewed and
// retired. They are pure: a ledger, what is wanted and the time go in, and a
// decision with its reason comes out.
package credential

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
)

// Reason is why a generation is issued.
type Reason string

// The reasons to issue a generation.
const (
	// FirstIssue: the request has no credential anywhere.
	FirstIssue Reason = "FirstIssue"
	// DestinationAdded: it has some, but none on this cluster.
	DestinationAdded Reason = "DestinationAdded"
	// PreviousAttemptLost: the run that was to issue the first one ended too early.
	PreviousAttemptLost Reason = "PreviousAttemptLost"
	// AccountChanged: the request draws from another account.
	AccountChanged Reason = "AccountChanged"
	// GrantChanged: it may do something else now.
	GrantChanged Reason = "GrantChanged"
	// RotationRequested: somebody asked for a new one.
	RotationRequested Reason = "RotationRequested"
	// DeletedAtProvider: somebody else has revoked or deleted the current one.
	DeletedAtProvider Reason = "DeletedAtProvider"
	// SigningKeyChanged: the account signs with another key now.
	SigningKeyChanged Reason = "SigningKeyChanged"
	// DeliveryChanged: the Secret has another name, namespace or form.
	DeliveryChanged Reason = "DeliveryChanged"
	// SealingCertificateGone: the cluster has no key any more to unseal it with.
	SealingCertificateGone Reason = "SealingCertificateGone"
	// Expired: nobody renewed it in time.
	Expired Reason = "Expired"
	// RenewalDue: it is time.
	RenewalDue Reason = "RenewalDue"
)

// supersedes reports whether a generation issued for a reason takes the place of
// those before it. After any other reason they live until they expire, because a
// delivery can be late by days.
func (r Reason) supersedes() bool {
	switch r {
	case AccountChanged, GrantChanged, RotationRequested, SigningKeyChanged:
		return true
	}
	return false
}

// Want is what a cluster should have.
type Want struct {
	Destination string
	// Basis is what a generation that is issued now would be issued upon.
	Basis ledger.Basis
	// RenewBefore is how long before its expiry a credential is renewed.
	RenewBefore time.Duration
	// CorrectDrift makes a new generation where the provider's user was changed.
	CorrectDrift bool
	// Trusted reports whether the cluster has the key of a certificate.
	Trusted func(fingerprint string) bool

	renews time.Time
}

// rule fires where the current generation will not do any more.
type rule struct {
	reason Reason
	fires  func(current *ledger.Record, want Want, now time.Time) bool
}

// rules are asked in order. Those that take a right away come first, so that no
// other reason hides theirs.
var rules = []rule{
	{AccountChanged, func(c *ledger.Record, w Want, _ time.Time) bool {
		return c.Basis.Account != w.Basis.Account || c.Basis.AccountID != w.Basis.AccountID
	}},
	{GrantChanged, func(c *ledger.Record, w Want, _ time.Time) bool {
		return c.Basis.Grant != w.Basis.Grant || w.CorrectDrift && !c.Drifted.IsZero()
	}},
	{RotationRequested, func(c *ledger.Record, w Want, _ time.Time) bool { return c.Basis.Rotate != w.Basis.Rotate }},
	{DeletedAtProvider, func(c *ledger.Record, _ Want, _ time.Time) bool { return !c.Revoked.IsZero() || !c.Lost.IsZero() }},
	{SigningKeyChanged, func(c *ledger.Record, w Want, _ time.Time) bool { return c.Basis.SigningKey != w.Basis.SigningKey }},
	{DeliveryChanged, func(c *ledger.Record, w Want, _ time.Time) bool { return c.Basis.Delivery != w.Basis.Delivery }},
	{SealingCertificateGone, func(c *ledger.Record, w Want, _ time.Time) bool { return !w.Trusted(c.Basis.Certificate) }},
	{Expired, func(c *ledger.Record, _ Want, now time.Time) bool { return !now.Before(c.Expires) }},
	{RenewalDue, func(c *ledger.Record, w Want, now time.Time) bool { return !now.Before(w.renews) }},
}

// Rotation returns what is asked for to rotate, given what a cluster's credential
// was issued upon: what was asked for once and is taken back asks for nothing.
func Rotation(was, asked ledger.Rotate) ledger.Rotate {
	return ledger.Rotate{
		Spec: cmp.Or(asked.Spec, was.Spec), All: cmp.Or(asked.All, was.All), Destination: cmp.Or(asked.Destination, was.Destination),
	}
}

// Decide returns why a cluster needs a new generation, and no reason if it does
// not: then it keeps what it has.
func Decide(l *ledger.Ledger, want Want, now time.Time) (Reason, bool) {
	current := l.Current(want.Destination)
	if current == nil {
		return first(l, want.Destination), true
	}
	want.renews = RenewAt(l.Request, *current, want.RenewBefore)
	for _, r := range rules {
		if r.fires(current, want, now) {
			return r.reason, true
		}
	}
	return "", false
}

// first returns why a cluster that has nothing gets something.
func first(l *ledger.Ledger, destination string) Reason {
	reason := FirstIssue
	for _, r := range l.Records {
		switch {
		case r.Destination == destination && r.State == ledger.Intended:
			return PreviousAttemptLost
		case r.State == ledger.Active:
			reason = DestinationAdded
		}
	}
	return reason
}

// jitter is the part of a credential's time until its renewal by which that may
// come earlier.
const jitter = 10 // percent

// RenewAt returns when the successor of a record is due. The clusters of a request
// have different times, and so have the requests of a cluster: not all workloads
// restart at once.
func RenewAt(request identity.Request, r ledger.Record, renewBefore time.Duration) time.Time {
	latest := r.Expires.Add(-renewBefore)
	span := latest.Sub(r.Issued) / 100 * jitter
	if span <= 0 {
		return latest
	}
	sum := sha256.Sum256([]byte(request.Hash() + r.Destination))
	return latest.Add(-time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(span))).Truncate(time.Second)
}
