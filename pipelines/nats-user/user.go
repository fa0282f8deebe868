// Package natsuser is the pipeline of the Promise nats-user: it sees to it that
// every cluster has a credential that is as asked, and issues one only for a
// named reason.
package natsuser

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

const promise = "nats-user"

// New returns the Promise's pipeline. A transport carries requests to the control
// planes of providers, nil for the network of this process.
func New(transport http.RoundTripper) workflow.Pipeline {
	return workflow.Pipeline{Promise: promise, Kind: platform.NatsUser, Configure: pipeline{transport}.configure, Delete: remove, Check: workflow.CheckBy(v1alpha1.Read)}
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(New(nil)) }

type pipeline struct{ transport http.RoundTripper }

// world is all that a run depends on.
type world struct {
	user      *v1alpha1.NatsUser
	account   *account.Account
	namespace string // on the workload clusters
	placement destination.Placement
	refused   []string          // Destinations that the account does not allow
	kept      []string          // those that the request leaves, in their grace
	bundles   map[string]string // certificates by Destination
	templates render.Templates
	// seen is what the status tells the account of its terms, also by a run that
	// cannot finish.
	seen map[string]any
}

// cluster is one Destination of the request: what it should have and what keeps
// it from that.
type cluster struct {
	want        credential.Want
	certificate seal.Certificate
	reason      credential.Reason // to issue; empty to keep
	// problem is why it does not have what was asked for.
	problem, problemReason string
	// verdicts tell which Secrets are this request's.
	verdicts map[claim.Thing]claim.Verdict
}

func (c *cluster) holds(d ledger.Delivery) bool {
	return c.verdicts[secretOf(c.want.Destination, d)].Held
}

func (p pipeline) configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	w, err := p.gather(ctx, run)
	if err != nil {
		return workflow.Result{Status: w.seen}, remember(ctx, run, w, err)
	}
	l, clusters, err := carryOut(ctx, run, w)
	if err != nil {
		return workflow.Result{Status: w.seen}, err
	}
	output, err := emit(run, w, l, clusters)
	if err != nil {
		return workflow.Result{Status: w.seen}, err
	}
	return report(run, w, l, clusters, output), nil
}

func (p pipeline) gather(ctx context.Context, run *workflow.Run) (world, error) {
	w := world{seen: map[string]any{termsKey: ""}}
	var err error
	if w.user, err = v1alpha1.Read(run.Request); err != nil {
		return w, workflow.Fail("InvalidSpec", err)
	}
	if w.namespace, err = run.Config.WorkloadNamespace(w.user.Namespace, w.user.Spec.WorkloadNamespace); err != nil {
		return w, workflow.Fail("NamespaceNotMapped", err)
	}
	if w.account, err = p.readAccount(ctx, run, w.user.Spec.AccountRef.Name); err != nil {
		return w, err
	}
	w.seen[termsKey] = w.account.Terms()
	if err := w.account.Admit(w.user); err != nil {
		return w, workflow.Fail("NotAdmitted", err)
	}
	all, err := destination.List(ctx, run.Platform, w.user.Spec.Placement.Labels())
	if err != nil {
		return w, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	allows := func(labels map[string]string) bool { return account.Allows(w.account.NatsAccount, labels) }
	if w.placement, w.refused = all.Restrict(allows); len(w.user.Spec.Placement.MatchLabels) == 0 {
		w.refused = nil // nobody asked for those
	}
	kept, _ := run.Kept(w.placement)
	w.kept = slices.Collect(maps.Keys(kept))
	if w.bundles, err = config.Data(ctx, run.Platform, seal.BundlesName); err != nil {
		return w, err
	}
	w.templates, err = run.Templates(ctx, promises.Templates(promise))
	return w, err
}

// readAccount opens the account, and makes sure that what it signs would connect.
func (p pipeline) readAccount(ctx context.Context, run *workflow.Run, name string) (*account.Account, error) {
	object, spec, err := account.Get(ctx, run.Platform, name)
	if object != nil && workflow.PeerOf(object, "").IsForgotten(run.Now) {
		if err := run.Ask(ctx, platform.NatsAccount, account.Namespace, name); err != nil {
			return nil, err
		}
	}
	var gone *account.NotFoundError
	switch {
	case errors.As(err, &gone):
		return nil, workflow.Fail("AccountNotFound", err)
	case platform.IsTransient(err):
		return nil, err
	case err != nil:
		return nil, workflow.Fail("AccountInvalid", err)
	}
	if err := account.TooShort(spec, run.Config.ReconcileInterval); err != nil {
		return nil, workflow.Fail("AccountInvalid", err)
	}
	opened, err := account.Opener{Client: run.Platform, Transport: p.transport, Now: run.Now}.Open(ctx, object, spec)
	switch {
	case platform.IsTransient(err):
		return nil, err
	case err != nil:
		return nil, workflow.Fail("AccountInvalid", err)
	case opened.Unseen:
		// The key may be one of another account: what it signs would not connect.
		if err := run.Ask(ctx, platform.NatsAccount, account.Namespace, name); err != nil {
			return nil, err
		}
		return nil, workflow.Fail("AccountUnverified", fmt.Errorf("NatsAccount %s has not been verified as it is now: it was asked to run, and to tell this request; if this stays, see its status", name))
	case opened.Refuted != "":
		return nil, workflow.Fail("AccountRefuted", fmt.Errorf("NatsAccount %s was found not to work: %s", name, opened.Refuted))
	}
	return opened, nil
}

// survey decides about each cluster by itself: pure, but for the claims, which
// were settled before.
func survey(run *workflow.Run, w world, l *ledger.Ledger, verdicts map[claim.Thing]claim.Verdict) map[string]*cluster {
	clusters := map[string]*cluster{}
	for _, name := range w.placement.Placed {
		c := &cluster{want: want(w, name), verdicts: verdicts}
		clusters[name] = c
		if current := l.Current(name); current != nil {
			c.want.Basis.Rotate = credential.Rotation(current.Basis.Rotate, c.want.Basis.Rotate)
		}
		certificate, err := seal.Newest(w.bundles[name], run.Now)
		if err == nil {
			c.certificate, c.want.Basis.Certificate = certificate, certificate.Fingerprint
		}
		// A bundle that cannot be read says nothing about the certificates in it.
		c.want.Trusted = func(fingerprint string) bool {
			has, err := seal.Contains(w.bundles[name], fingerprint)
			return has || err != nil
		}
		if desired := c.want.Basis.Delivery; !c.holds(desired) {
			c.problemReason, c.problem = "SecretConflict", conflict(desired, name, verdicts[secretOf(name, desired)])
			current := l.Current(name)
			if current == nil || !c.holds(current.Basis.Delivery) {
				continue
			}
			c.want.Basis.Delivery = current.Basis.Delivery // which goes on, and is renewed
		}
		reason, issue := credential.Decide(l, c.want, run.Now)
		switch {
		case !issue:
		case alive(l, name, run.Now) >= maxAlive && !due(l, c.want, run.Now):
			c.problemReason, c.problem = "RotatesTooOften", fmt.Sprintf("%s has %d credentials that have not expired yet, and gets no other for the reason %s: wait until some have, or make ttl shorter", name, maxAlive, reason)
		case err == nil:
			c.reason = reason
		default:
			what := "a first credential"
			if l.Current(name) != nil { // which stays
				what = fmt.Sprintf("another credential (%s)", reason)
			}
			c.problemReason, c.problem = "CertificateUnusable",
				fmt.Sprintf("%s for %s cannot be sealed: the key %s of the ConfigMap %s/%s: %v", what, name, name, config.Namespace, seal.BundlesName, err)
		}
	}
	return clusters
}

// maxAlive is how many generations of a cluster may be unexpired before it gets no
// other on request: each that is revoked stays in the account's JWT until it
// expires, and that has an end, which is the same for all.
const maxAlive = 24

// due tells whether a cluster would get a new generation also without anybody's wish.
func due(l *ledger.Ledger, want credential.Want, now time.Time) bool {
	if current := l.Current(want.Destination); current != nil {
		want.Basis.Grant, want.Basis.Delivery, want.Basis.Rotate = current.Basis.Grant, current.Basis.Delivery, current.Basis.Rotate
	}
	_, due := credential.Decide(l, want, now)
	return due
}

func alive(l *ledger.Ledger, destination string, now time.Time) int {
	n := 0
	for _, r := range l.Rows {
		if r.Destination == destination && r.User != "" && now.Before(r.Expires) {
			n++
		}
	}
	return n
}

func conflict(d ledger.Delivery, destination string, v claim.Verdict) string {
	if v.Releasing {
		return fmt.Sprintf("%s is letting go of the Secret %s/%s on %s: it is taken over by itself as soon as it is free", v.Holder, d.Namespace, d.Name, destination)
	}
	return fmt.Sprintf("the Secret %s/%s on %s belongs to %s: choose another name, or ask its owner", d.Namespace, d.Name, destination, v.Holder)
}

// want is what a cluster should have.
func want(w world, name string) credential.Want {
	spec := w.user.Spec
	delivery := ledger.Delivery{
		Namespace: w.namespace, Name: spec.Secret.Name, Format: string(spec.Secret.Format), Key: spec.Secret.Key, Retain: string(spec.Retain),
	}
	if spec.Secret.Format == v1alpha1.Env {
		delivery.Servers = strings.Join(w.account.Spec.Servers(), ",")
	}
	return credential.Want{
		Destination:  name,
		RenewBefore:  spec.Credentials.RenewalWindow(),
		CorrectDrift: w.account.CorrectsDrift(),
		Basis: ledger.Basis{
			Account:    w.account.Name,
			AccountID:  w.account.ID,
			KeptIn:     w.account.KeptIn,
			Grant:      w.account.Grant(w.user, name).Digest(),
			SigningKey: w.account.SigningKey,
			Delivery:   delivery,
			Rotate: ledger.Rotate{
				Spec: spec.Credentials.Rotate, All: w.user.Annotations[v1alpha1.RotateAnnotation],
				Destination: w.user.Annotations[v1alpha1.RotateAnnotationPrefix+name],
			},
		},
	}
}

// terms are how former generations are let go of.
func terms(w world) credential.Terms {
	t := overlapOf(w.user)
	t.Served = func(name string) bool {
		return slices.Contains(w.placement.Placed, name) || slices.Contains(w.placement.Unregistered, name) || slices.Contains(w.kept, name)
	}
	// Whether another account can, which the request drew from before, its own
	// pipeline knows.
	t.Revocable = func(name string) bool { return name != w.account.Name || account.Revocable(w.account.NatsAccount) }
	return t
}

func overlapOf(u *v1alpha1.NatsUser) credential.Terms {
	c := u.Spec.Credentials
	return credential.Terms{Overlap: c.Overlap.Value(), Immediately: c.RevokePrevious == v1alpha1.Immediately}
}

// termsKey is the key of the status by which the account knows whom a change
// concerns.
const termsKey = "accountTerms"

// report says in the status what each cluster has.
func report(run *workflow.Run, w world, l *ledger.Ledger, clusters map[string]*cluster, output destination.Output) workflow.Result {
	rows := []v1alpha1.CredentialStatus{}
	var expires time.Time
	var problems []*cluster
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		c := clusters[name]
		row := v1alpha1.CredentialStatus{Destination: name, Problem: c.problem}
		if current := l.Current(name); current != nil {
			row.Generation, row.User, row.Reason = current.Generation, current.User, current.Reason
			row.Issued, row.Expires, row.Renews = stamp(current.Issued), stamp(current.Expires), stamp(current.Renews)
			if expires.IsZero() || current.Expires.Before(expires) {
				expires = current.Expires
			}
			row.Earlier = earlier(l, *current, run.Now)
		}
		rows = append(rows, row)
		if c.problem != "" {
			problems = append(problems, c)
		}
	}
	result := workflow.Result{
		Placement: w.placement,
		Output:    output,
		Ready:     true,
		Reason:    "Delivered",
		Message:   fmt.Sprintf("the Secret %s/%s has a credential on %s", w.namespace, w.user.Spec.Secret.Name, count(len(output.Destinations()))),
		Status: map[string]any{
			"account":     w.account.ID,
			"secret":      w.namespace + "/" + w.user.Spec.Secret.Name,
			"expires":     stamp(expires),
			"credentials": rows,
			termsKey:      w.account.Terms(),
		},
	}
	if expires.IsZero() {
		delete(result.Status, "expires")
	}
	fail := func(reason, message string) {
		result.Ready, result.Reason = false, reason
		result.Message += "; " + message
	}
	if len(w.refused) > 0 {
		fail("DestinationNotAllowed", fmt.Sprintf("the account does not allow %s: change spec.placement, or ask the platform team", strings.Join(w.refused, ", ")))
	}
	if reason, message := w.placement.Problem("spec.placement"); reason != "" && (reason != "NoDestination" || len(w.refused) == 0) {
		fail(reason, message)
	}
	if len(problems) > 0 {
		fail(problems[0].problemReason, problems[0].problem)
	}
	if more := len(problems) - 1; more > 0 {
		result.Message += fmt.Sprintf("; clusters with problems besides: %d, see status.credentials", more)
	}
	if n, until := unrevoked(l, run.Now); n > 0 {
		result.Message += fmt.Sprintf("; former credentials that nobody can revoke: %d, the last expires on %s", n, stamp(until))
	}
	if names := drifted(l); len(names) > 0 {
		result.Message += fmt.Sprintf("; the user was changed at the provider, which what is delivered does not show: %s", strings.Join(names, ", "))
	}
	if n := leaving(l); n > 0 {
		result.Message += fmt.Sprintf("; waiting for NatsAccount %s to revoke %d former credentials", strings.Join(retiringAt(l), ", "), n)
	}
	return result
}

// leaving counts the credentials that are to be revoked: what was never made is none.
func leaving(l *ledger.Ledger) int {
	n := 0
	for _, r := range l.Rows {
		if r.State == ledger.Retiring && r.User != "" {
			n++
		}
	}
	return n
}

// drifted are the clusters whose user was changed by somebody else.
func drifted(l *ledger.Ledger) []string {
	var names []string
	for i := range l.Rows {
		if r := &l.Rows[i]; !r.Drifted.IsZero() && r == l.Current(r.Destination) {
			names = append(names, r.Destination)
		}
	}
	return names
}

// earlier are the generations before the current one that can still connect.
func earlier(l *ledger.Ledger, current ledger.Row, now time.Time) []v1alpha1.EarlierStatus {
	var all []v1alpha1.EarlierStatus
	for _, r := range l.Rows {
		if r.Destination != current.Destination || r.Generation >= current.Generation || r.State == ledger.Retired && !r.Unrevoked(now) {
			continue
		}
		state := string(r.State)
		if r.Unrevoked(now) {
			state = "Unrevoked"
		}
		all = append(all, v1alpha1.EarlierStatus{Generation: r.Generation, User: r.User, Expires: stamp(r.Expires), State: state})
	}
	return all
}

// unrevoked counts the identities that were let go of and can still connect, and
// returns when the last of them expires.
func unrevoked(l *ledger.Ledger, now time.Time) (n int, until time.Time) {
	for _, r := range l.Rows {
		if r.Unrevoked(now) {
			n++
			if r.Expires.After(until) {
				until = r.Expires
			}
		}
	}
	return n, until
}

func count(n int) string {
	if n == 1 {
		return "1 cluster"
	}
	return fmt.Sprintf("%d clusters", n)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
