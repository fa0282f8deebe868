package natsuser

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// cluster is one Destination of the request, and what is decided about it.
type cluster struct {
	want        credential.Want
	certificate seal.Certificate
	unusable    error             // why there is no certificate
	futile      error             // why what is asked for is of no use
	moved       error             // why its Secret may not get another name
	reason      credential.Reason // to issue; empty to keep
	// problem is why it does not have what was asked for.
	problem problem
	// verdicts tell which Secrets are this request's.
	verdicts map[claim.Resource]claim.Verdict
	// former is how many former credentials its namespace has in the account, and mostFormer
	// how many it may have.
	former, mostFormer int
}

// problem is what keeps a request from what it asked for.
type problem struct {
	reason  reason.Reason
	message string
}

func (c *cluster) holds(d ledger.Delivery) bool {
	return c.verdicts[secretOf(c.want.Destination, d)].Held
}

// plan decides about each cluster by itself.
func plan(in inputs, l *ledger.Ledger, verdicts map[claim.Resource]claim.Verdict, former churn.Days, now time.Time) []*cluster {
	var clusters []*cluster
	n := former.Left(now)
	for _, name := range in.placement.Placed {
		c := &cluster{want: want(in, name), verdicts: verdicts, former: n, mostFormer: in.account.Spec.Policy.FormerBound(), futile: in.account.Futile(in.account.Grant(in.user, name)), moved: in.metadata.elsewhere}
		if current := l.Current(name); current != nil {
			c.want.Basis.Rotate = credential.Rotation(current.Basis.Rotate, c.want.Basis.Rotate)
		}
		c.sealFor(in.bundles[name], now)
		judge(c, l, now)
		if c.reason != "" {
			n += c.replaces(l, now)
		}
		clusters = append(clusters, c)
	}
	return clusters
}

// want is what a cluster should have.
func want(in inputs, name string) credential.Want {
	spec := in.user.Spec
	return credential.Want{
		Destination:  name,
		RenewBefore:  spec.Credentials.RenewalWindow(),
		CorrectDrift: in.account.Spec.CorrectsDrift(),
		Basis: ledger.Basis{
			Account:         in.account.Name,
			AccountID:       in.account.ID,
			ProviderAccount: in.account.ProviderAccount,
			Grant:           in.account.Grant(in.user, name).Digest(),
			SigningKey:      in.account.SigningKey,
			Delivery:        deliveryOf(in),
			Rotate: ledger.Rotate{
				Spec: spec.Credentials.Rotate, All: in.user.Annotations[v1alpha1.RotateAnnotation],
				Destination: in.user.Annotations[v1alpha1.RotateAnnotationPrefix+name],
			},
		},
	}
}

// deliveryOf is the Secret that the request asks for, on each cluster.
func deliveryOf(in inputs) ledger.Delivery {
	secret := in.user.Spec.Secret
	d := ledger.Delivery{
		Namespace: in.namespace, Name: secret.Name, Format: string(secret.Format), Key: secret.Key, Retain: string(in.user.Spec.Retain),
	}
	if secret.Format == v1alpha1.Env {
		d.Servers = strings.Join(in.account.Spec.Servers(), ",")
	}
	return d
}

// sealFor takes the certificate to seal with from the bundle of those that the
// cluster has the keys of.
func (c *cluster) sealFor(bundle string, now time.Time) {
	if c.certificate, c.unusable = seal.Newest(bundle, now); c.unusable == nil {
		c.want.Basis.Certificate = c.certificate.Fingerprint
	}
	// A bundle that cannot be read says nothing about the certificates in it.
	c.want.Trusted = func(fingerprint string) bool {
		has, err := seal.Contains(bundle, fingerprint)
		return has || err != nil
	}
}

// judge asks each rule in turn whether a cluster gets another generation; the first
// that says no decides.
func judge(c *cluster, l *ledger.Ledger, now time.Time) {
	for _, rule := range []func(*cluster, *ledger.Ledger, time.Time) bool{deliverable, markable, useful, needed, bounded, affordable, sealable} {
		if !rule(c, l, now) {
			c.reason = ""
			return
		}
	}
}

// deliverable: the Secret is the request's. If not, that which it has under its former
// name goes on, and is renewed.
func deliverable(c *cluster, l *ledger.Ledger, _ time.Time) bool {
	name, desired := c.want.Destination, c.want.Basis.Delivery
	if c.holds(desired) {
		return true
	}
	c.problem = problem{reason.SecretConflict, conflict(desired, name, c.verdicts[secretOf(name, desired)])}
	current := l.Current(name)
	if current == nil || !c.holds(current.Basis.Delivery) {
		return false
	}
	c.want.Basis.Delivery = current.Basis.Delivery
	return true
}

func conflict(d ledger.Delivery, destination string, v claim.Verdict) string {
	if v.Releasing {
		return fmt.Sprintf("%s is releasing the Secret %s/%s on %s: it is taken over by itself as soon as it is free", v.Holder, d.Namespace, d.Name, destination)
	}
	if v.Abandoned {
		return fmt.Sprintf("the Secret %s/%s on %s belonged to %s, which is gone: its NatsAccount frees it a day after its run has seen that, and it is taken over by itself then; where nothing was issued, or that account is gone too, the platform team frees it by deleting the ConfigMap %s/%s",
			d.Namespace, d.Name, destination, v.Holder, claim.Namespace, secretOf(destination, d).ConfigMap())
	}
	return fmt.Sprintf("the Secret %s/%s on %s belongs to %s: choose another name, or ask its owner", d.Namespace, d.Name, destination, v.Holder)
}

// markable: the Secret may have the labels and annotations that it is to have. If not, that
// which has them under its former name goes on, and is renewed.
func markable(c *cluster, l *ledger.Ledger, _ time.Time) bool {
	current, desired := l.Current(c.want.Destination), c.want.Basis.Delivery
	if c.moved == nil || current != nil && current.Basis.Delivery.Namespace == desired.Namespace && current.Basis.Delivery.Name == desired.Name {
		return true
	}
	c.problem = problem{reason.NotAdmitted, fmt.Sprintf("the Secret %s/%s on %s is not made: %v", desired.Namespace, desired.Name, c.want.Destination, c.moved)}
	if current == nil || !c.holds(current.Basis.Delivery) {
		return false
	}
	c.want.Basis.Delivery = current.Basis.Delivery
	return true
}

// useful: it is of some use. What was issued all the same, by an older
// version, goes on until something else is asked for.
func useful(c *cluster, l *ledger.Ledger, _ time.Time) bool {
	if c.futile == nil || c.goesOn(l) {
		return true
	}
	c.problem = problem{reason.GrantRefused, fmt.Sprintf("%s gets no such credential: %v", c.want.Destination, c.futile)}
	return false
}

// goesOn reports whether the cluster has what is asked for already, of the same account.
func (c *cluster) goesOn(l *ledger.Ledger) bool {
	current := l.Current(c.want.Destination)
	if current == nil {
		return false
	}
	has, wants := current.Basis, c.want.Basis
	return has.Grant == wants.Grant && has.Account == wants.Account && has.AccountID == wants.AccountID
}

// needed: there is a reason.
func needed(c *cluster, l *ledger.Ledger, now time.Time) bool {
	var issue bool
	c.reason, issue = credential.Decide(l, c.want, now)
	return issue
}

// maxAlive is how many generations of a cluster may be unexpired before it gets no
// other on request: each that is revoked stays in the account's JWT until it
// expires, and that has an end, which is the same for all.
const maxAlive = 24

// bounded: the cluster has not had too many, or would get one without anybody's wish.
func bounded(c *cluster, l *ledger.Ledger, now time.Time) bool {
	name := c.want.Destination
	if alive(l, name, now) < maxAlive || due(l, c.want, now) {
		return true
	}
	c.problem = problem{reason.RotatesTooOften, fmt.Sprintf("%s has %d credentials that have not expired yet, and gets no other for the reason %s: wait until some have, or make ttl shorter", name, maxAlive, c.reason)}
	return false
}

// affordable: its namespace has not had too many, or it would get one without anybody's
// wish. What is made for the first time takes no room yet, and will when it is deleted.
func affordable(c *cluster, l *ledger.Ledger, now time.Time) bool {
	if !c.isWish(l, now) || c.former+max(1, c.replaces(l, now)) <= c.mostFormer {
		return true
	}
	c.problem = problem{reason.TooManyCredentials, fmt.Sprintf("%s gets no credential (%s): the namespace has %d former credentials of NatsAccount %s that have not expired yet, and may have %d: wait until some have, make ttl shorter, or ask the platform team for a higher spec.policy.maxFormer",
		c.want.Destination, c.reason, c.former, c.want.Basis.Account, c.mostFormer)}
	return false
}

// isWish reports whether a cluster is about to get a generation that somebody asked for.
func (c *cluster) isWish(l *ledger.Ledger, now time.Time) bool {
	return c.reason != "" && (l.Current(c.want.Destination) == nil || !due(l, c.want, now))
}

// replaces is how many more former credentials of the account there are once the cluster
// has what it is about to get.
func (c *cluster) replaces(l *ledger.Ledger, now time.Time) int {
	account, name := c.want.Basis.Account, c.want.Destination
	has := slices.DeleteFunc(slices.Clone(l.Records), func(r ledger.Record) bool { return r.Destination != name })
	next := ledger.Record{Destination: name, Generation: l.Next(name), State: ledger.Intended, Reason: string(c.reason)}
	return churn.Former(account, append(has, next), now).Left(now) - churn.Former(account, has, now).Left(now)
}

// due reports whether a cluster would get a new generation also without anybody's wish.
func due(l *ledger.Ledger, want credential.Want, now time.Time) bool {
	if current := l.Current(want.Destination); current != nil {
		has := current.Basis
		want.Basis.Grant, want.Basis.Delivery, want.Basis.Rotate = has.Grant, has.Delivery, has.Rotate
		if want.Basis.Account != has.Account { // that is asked for, and not that the account is another one now
			want.Basis.Account, want.Basis.AccountID, want.Basis.SigningKey = has.Account, has.AccountID, has.SigningKey
		}
	}
	_, due := credential.Decide(l, want, now)
	return due
}

func alive(l *ledger.Ledger, destination string, now time.Time) int {
	n := 0
	for _, r := range l.Records {
		if r.Destination == destination && r.User != "" && now.Before(r.Expires) {
			n++
		}
	}
	return n
}

// sealable: there is a certificate to seal it with.
func sealable(c *cluster, l *ledger.Ledger, _ time.Time) bool {
	if c.unusable == nil {
		return true
	}
	name, what := c.want.Destination, "a first credential"
	if l.Current(name) != nil { // which stays
		what = fmt.Sprintf("another credential (%s)", c.reason)
	}
	c.problem = problem{reason.CertificateUnusable, fmt.Sprintf("%s for %s cannot be sealed: the key %s of the ConfigMap %s/%s: %v", what, name, name, config.Namespace, seal.BundlesName, c.unusable)}
	return false
}

// terms are how former generations are retired.
func terms(in inputs) credential.Terms {
	t := overlapOf(in)
	t.Served = func(name string) bool {
		return slices.Contains(in.placement.Placed, name) || slices.Contains(in.placement.Unregistered, name) || slices.Contains(in.kept, name)
	}
	// Whether another account can, which the request drew from before, its own
	// pipeline knows.
	t.Revocable = func(name string) bool { return name != in.account.Name || in.account.Spec.Revocable() }
	return t
}

// termsOfRefused are those of a request that is refused: it leaves no cluster, and
// accounts know what they can revoke.
func termsOfRefused(in inputs) credential.Terms {
	t := overlapOf(in)
	all := func(string) bool { return true }
	t.Served, t.Revocable = all, all
	return t
}

// overlapOf is what the request asks for, and no more than its account admits, where that
// is known.
func overlapOf(in inputs) credential.Terms {
	c := in.user.Spec.Credentials
	overlap := c.Overlap.Value()
	if in.account != nil && in.account.Spec.Policy.MaxOverlap != "" {
		overlap = min(overlap, in.account.Spec.Policy.MaxOverlap.Value())
	}
	return credential.Terms{Overlap: overlap, Immediately: c.RevokePrevious == v1alpha1.Immediately}
}
