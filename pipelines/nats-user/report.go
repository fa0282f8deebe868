package natsuser

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// termsKey is the key of the status by which the account knows whom a change
// concerns.
const termsKey = "accountTerms"

// report says in the status what each cluster has.
func report(run *workflow.Run, in inputs, l *ledger.Ledger, clusters []*cluster, output destination.Output) workflow.Result {
	secret := in.namespace + "/" + in.user.Spec.Secret.Name
	result := workflow.Result{
		Placement: in.placement,
		Output:    output,
		Ready:     true,
		Reason:    reason.Delivered,
		Message:   fmt.Sprintf("the Secret %s has a credential on %s", secret, field.Count(len(output.Destinations()), "cluster")),
		Status: map[string]any{
			"account":     in.account.ID,
			"secret":      secret,
			"credentials": rows(l, clusters, run.Now),
			termsKey:      in.account.Terms(),
		},
	}
	if first := expiry(l, clusters); !first.IsZero() {
		result.Status["expires"] = stamp(first)
	}
	for _, p := range problems(in, clusters) {
		result.Lacks(p.reason, p.message)
	}
	for _, note := range slices.Concat(warnings(in, clusters), notes(l, run.Now)) {
		result.Note(note)
	}
	return result
}

// rows are what the status says of each cluster, also of one that no longer matches as
// long as something of it can connect.
func rows(l *ledger.Ledger, clusters []*cluster, now time.Time) []v1alpha1.CredentialStatus {
	all := []v1alpha1.CredentialStatus{}
	placed := map[string]bool{}
	for _, c := range clusters {
		name := c.want.Destination
		row := v1alpha1.CredentialStatus{Destination: name, Problem: c.problem.message}
		if current := l.Current(name); current != nil {
			row = rowOf(l, *current, now)
			row.Problem, row.Renews = c.problem.message, stamp(current.Renews)
		} else {
			row.Earlier = earlier(l, ledger.Record{Destination: name, Generation: l.Next(name)}, now)
		}
		all, placed[name] = append(all, row), true
	}
	left := map[string]v1alpha1.CredentialStatus{}
	for _, r := range l.Records { // the newest of each comes last
		if placed[r.Destination] || !canConnect(r, now) {
			continue
		}
		row := rowOf(l, r, now)
		if row.State = stateOf(r, now); r.State == ledger.Active {
			row.State = "Leaving"
		}
		left[r.Destination] = row
	}
	all = slices.AppendSeq(all, maps.Values(left))
	slices.SortFunc(all, func(a, b v1alpha1.CredentialStatus) int { return strings.Compare(a.Destination, b.Destination) })
	return all
}

// rowOf is what the status says of a generation.
func rowOf(l *ledger.Ledger, r ledger.Record, now time.Time) v1alpha1.CredentialStatus {
	return v1alpha1.CredentialStatus{
		Destination: r.Destination, Generation: r.Generation, User: r.User, Reason: r.Reason,
		Issued: stamp(r.Issued), Expires: stamp(r.Expires), Earlier: earlier(l, r, now),
	}
}

// canConnect reports whether somebody who has the credential can connect with it.
func canConnect(r ledger.Record, now time.Time) bool {
	return r.User != "" && r.State != ledger.Intended && r.Revoked.IsZero() && now.Before(r.Expires)
}

// stateOf is the state of a generation, as the status says it.
func stateOf(r ledger.Record, now time.Time) string {
	if r.Unrevoked(now) {
		return "Unrevoked"
	}
	return string(r.State)
}

// earlier are the generations before another one that can still connect.
func earlier(l *ledger.Ledger, than ledger.Record, now time.Time) []v1alpha1.EarlierStatus {
	var all []v1alpha1.EarlierStatus
	for _, r := range l.Records {
		if r.Destination != than.Destination || r.Generation >= than.Generation || !canConnect(r, now) {
			continue
		}
		all = append(all, v1alpha1.EarlierStatus{Generation: r.Generation, User: r.User, Expires: stamp(r.Expires), State: stateOf(r, now)})
	}
	return all
}

// expiry is when the first of the clusters' credentials expires, zero if there are none.
func expiry(l *ledger.Ledger, clusters []*cluster) time.Time {
	var first time.Time
	for _, c := range clusters {
		if current := l.Current(c.want.Destination); current != nil && (first.IsZero() || current.Expires.Before(first)) {
			first = current.Expires
		}
	}
	return first
}

// problems are why a request is not ready. The last of them is its reason.
func problems(in inputs, clusters []*cluster) []problem {
	var all []problem
	if len(in.refused) > 0 {
		all = append(all, problem{reason.DestinationNotAllowed, fmt.Sprintf("the account does not allow %s: change spec.placement, or ask the platform team", strings.Join(in.refused, ", "))})
	}
	if why, message := in.placement.Problem("spec.placement"); why != "" && (why != reason.NoDestination || len(in.refused) == 0) {
		all = append(all, problem{why, message})
	}
	var theirs []problem
	for _, c := range clusters {
		if c.problem.reason != "" {
			theirs = append(theirs, c.problem)
		}
	}
	if more := len(theirs) - 1; more > 0 {
		theirs[0].message += fmt.Sprintf("; clusters with problems besides: %d, see status.credentials", more)
	}
	return append(all, theirs[:min(1, len(theirs))]...)
}

// warnings are of what goes on, and would not be granted now.
func warnings(in inputs, clusters []*cluster) []string {
	var all []string
	if i := slices.IndexFunc(clusters, func(c *cluster) bool { return c.futile != nil && c.problem.reason == "" }); i >= 0 { // the same on all
		all = append(all, clusters[i].futile.Error())
	}
	if len(in.metadata.tolerated) > 0 {
		all = append(all, "the Secret has what the platform team does not admit any more: "+strings.Join(in.metadata.tolerated, ", "))
	}
	return all
}

// notes are what its owner should know of a request, ready or not.
func notes(l *ledger.Ledger, now time.Time) []string {
	var all []string
	if n, until := unrevoked(l, now); n > 0 {
		all = append(all, fmt.Sprintf("former credentials that nobody can revoke: %d, the last expires on %s", n, stamp(until)))
	}
	if names := drifted(l); len(names) > 0 {
		all = append(all, "the user was changed at the provider, which what is delivered does not show: "+strings.Join(names, ", "))
	}
	if n := leaving(l); n > 0 {
		all = append(all, fmt.Sprintf("waiting for NatsAccount %s to revoke %d former credentials", strings.Join(retiringAt(l), ", "), n))
	}
	return all
}

// unrevoked counts the identities that were retired and can still connect, and
// returns when the last of them expires.
func unrevoked(l *ledger.Ledger, now time.Time) (n int, until time.Time) {
	for _, r := range l.Records {
		if r.Unrevoked(now) {
			n++
			if r.Expires.After(until) {
				until = r.Expires
			}
		}
	}
	return n, until
}

// drifted are the clusters whose user was changed by somebody else.
func drifted(l *ledger.Ledger) []string {
	return clustersOf(l, func(current *ledger.Record) bool { return !current.Drifted.IsZero() })
}

// leaving counts the credentials that are to be revoked: what was never made is none.
func leaving(l *ledger.Ledger) int {
	n := 0
	for _, r := range l.Records {
		if r.State == ledger.Retiring && r.User != "" {
			n++
		}
	}
	return n
}

// sayCutOff adds to why a request is refused which clusters have a credential that
// somebody has revoked: what the request asks for now is not to be had, so nothing
// takes its place.
func sayCutOff(l *ledger.Ledger, refused error) error {
	names := clustersOf(l, func(current *ledger.Record) bool { return !current.Revoked.IsZero() })
	var failure *workflow.Failure
	if len(names) == 0 || !errors.As(refused, &failure) {
		return refused
	}
	return workflow.Fail(failure.Reason, fmt.Errorf("%w; until that is mended nothing takes the place of the credentials that somebody has revoked, on %s", failure.Err, strings.Join(names, ", ")))
}

// clustersOf returns the clusters that have some credentials now.
func clustersOf(l *ledger.Ledger, some func(current *ledger.Record) bool) []string {
	var names []string
	for i := range l.Records {
		if r := &l.Records[i]; r == l.Current(r.Destination) && some(r) {
			names = append(names, r.Destination)
		}
	}
	return names
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
