// Package natsaccount is the pipeline of the Promise nats-account: it verifies the
// account, revokes what was let go of, and cleans up after requests that are gone.
package natsaccount

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/issuer/jwt"
	"github.com/baleen-platform/baleen/internal/issuer/synadia"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natsys"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	user "github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// Network is how the pipeline reaches providers; what is nil is the network of this
// process.
type Network struct {
	// Dial connects to servers, and Transport carries requests to control planes.
	Dial      natsys.Dial
	Transport http.RoundTripper
}

// New returns the Promise's pipeline.
func New(n Network) workflow.Pipeline {
	return workflow.Pipeline{Promise: "nats-account", Kind: platform.NatsAccount, Configure: n.configure, Delete: n.remove, Check: workflow.CheckBy(v1alpha1.Read)}
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(New(Network{})) }

// world is all that a run depends on.
type world struct {
	account *account.Account
	servers natsys.Servers
	// synadia makes the users where the account is there, nil for others; lastRead
	// is when all of them were read.
	synadia  *synadia.Issuer
	lastRead time.Time
	unknown  int64
	// operator signs accounts, and system are credentials of the system account;
	// nil where the account has none.
	operator    nkeys.KeyPair
	operatorKey string
	system      []byte
	// users draw from the account; all are those of other accounts too.
	users, all []natsUser
	book       ledger.Book
	ledgers    []*ledger.Ledger
	damaged    *ledger.DamagedError // of those that cannot be read
	// news are the requests of which the provider has something else than their
	// ledger said.
	news map[identity.Request]bool
}

// natsUser is what the account knows of a request.
type natsUser struct {
	workflow.Peer
	account string
	// retain: its deletion is to leave its credentials alone.
	retain bool
}

func (n Network) configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	w, err := n.gather(ctx, run)
	if err != nil {
		return workflow.Result{}, err
	}
	if err := retireGone(ctx, run, &w); err != nil {
		return workflow.Result{}, err
	}
	found := examine(ctx, run, w)
	if err := settle(ctx, run, &w, found); err != nil {
		return workflow.Result{}, err
	}
	if w.synadia != nil {
		found.revocations = revocations(w, run.Now)
	}
	if err := forget(ctx, run, &w); err != nil {
		return workflow.Result{}, err
	}
	if err := ask(ctx, run, w, found); err != nil {
		return workflow.Result{}, err
	}
	return report(w, found), nil
}

// remove revokes what is still queued, for which there is nobody afterwards, and
// has the requests say that their account is gone.
func (n Network) remove(ctx context.Context, run *workflow.Run) error {
	w, err := n.gather(ctx, run)
	var failure *workflow.Failure
	switch {
	case errors.As(err, &failure):
		run.Log.Warn("nothing can be revoked any more", "account", run.Identity.String(), "error", err)
	case err != nil:
		return err
	case account.Revocable(w.account.NatsAccount) && !run.DryRun:
		w.lastRead = run.Now // who else is there does not matter any more
		found := examine(ctx, run, w)
		if err := settle(ctx, run, &w, found); err != nil {
			return err
		}
		if found.err != nil && queued(w) > 0 {
			return fmt.Errorf("%d credentials that are to be revoked are not: %w", queued(w), found.err)
		}
	}
	users, err := listUsers(ctx, run.Platform)
	if err != nil {
		return err
	}
	for _, u := range attached(users, run.Identity.Name) {
		if err := run.Ask(ctx, platform.NatsUser, u.Namespace, u.Name); err != nil {
			return err
		}
	}
	return nil
}

func (n Network) gather(ctx context.Context, run *workflow.Run) (world, error) {
	var w world
	if run.Identity.Namespace != account.Namespace {
		return w, workflow.Fail("WrongNamespace", fmt.Errorf("a NatsAccount counts in the namespace %s only, where the platform team declares it: make it there", account.Namespace))
	}
	spec, err := v1alpha1.Read(run.Request)
	if err != nil {
		return w, workflow.Fail("InvalidSpec", err)
	}
	if err := account.TooShort(spec, run.Config.ReconcileInterval); err != nil {
		return w, workflow.Fail("RenewalWindowTooShort", err)
	}
	opener := account.Opener{Client: run.Platform, Transport: n.Transport, Now: run.Now}
	if w.account, err = opener.Open(ctx, run.Request, spec); err != nil {
		return w, secretFailed(err)
	}
	w.openSynadia(run)
	if j := spec.Spec.JWT; j != nil {
		w.servers = natsys.Servers{URLs: j.Servers, CA: string(j.CACertificates), Dial: n.Dial}
		if j.Operator != nil {
			if err := w.openOperator(ctx, run, j.Operator); err != nil {
				return w, secretFailed(err)
			}
		}
	}
	if w.all, err = listUsers(ctx, run.Platform); err != nil {
		return w, err
	}
	w.users = attached(w.all, run.Identity.Name)
	w.book = ledger.Book{Client: run.Platform}
	if w.ledgers, err = w.book.Of(ctx, run.Identity.Name); errors.As(err, &w.damaged) {
		err = nil
	}
	return w, err
}

func (w *world) openOperator(ctx context.Context, run *workflow.Run, o *v1alpha1.Operator) error {
	seed, err := account.Secret(ctx, run.Platform, o.SigningKeySecretRef)
	if err != nil {
		return err
	}
	if w.operator, w.operatorKey, err = jwt.ParseSeed(seed, nkeys.PrefixByteOperator); err != nil {
		return fmt.Errorf("the operator's signing key, the key %s of the Secret %s, cannot be used: %w", o.SigningKeySecretRef.Key, o.SigningKeySecretRef.Name, err)
	}
	if w.system, err = account.Secret(ctx, run.Platform, v1alpha1.SecretRef(o.SystemCredentialsSecretRef)); err != nil {
		return err
	}
	if _, err := nkeys.ParseDecoratedUserNKey(w.system); err != nil {
		return fmt.Errorf("the credentials of the system account, the key %s of the Secret %s, are not a .creds file: put in what `nsc generate creds` writes", o.SystemCredentialsSecretRef.Key, o.SystemCredentialsSecretRef.Name)
	}
	return nil
}

func secretFailed(err error) error {
	if platform.IsTransient(err) {
		return err
	}
	return workflow.Fail("SecretInvalid", err)
}

func listUsers(ctx context.Context, client platform.Client) ([]natsUser, error) {
	objects, err := client.List(ctx, platform.NatsUser, "", nil)
	if err != nil {
		return nil, fmt.Errorf("the NatsUsers cannot be listed: %w", err)
	}
	var users []natsUser
	for _, o := range objects {
		name, _, _ := unstructured.NestedString(o.Object, "spec", "accountRef", "name")
		policy, _, _ := unstructured.NestedString(o.Object, "spec", "deletionPolicy")
		users = append(users, natsUser{workflow.PeerOf(&o, "accountTerms"), name, policy == string(user.RetainOnGone)})
	}
	return users, nil
}

// attached returns the users that draw from an account.
func attached(all []natsUser, account string) []natsUser {
	return slices.DeleteFunc(slices.Clone(all), func(u natsUser) bool { return u.account != account })
}

// ask has those requests run again that have not seen what the account offers
// now, and those whose last run failed.
func ask(ctx context.Context, run *workflow.Run, w world, found finding) error {
	if slices.Contains(account.ReasonRefuted, found.reason) {
		return nil // they would find the account wanting
	}
	if w.synadia != nil && w.account.KeptIn == "" {
		return nil // nor can they be served before a run has seen it
	}
	for _, u := range w.users {
		if found.err != nil && u.Terms == w.account.Terms() && !waits(w, u) && !u.IsForgotten(run.Now) {
			continue // who waits for a revocation asks for it, and would be asked again without end
		}
		news := w.news[identity.Request{Kind: platform.NatsUser.Kind, Namespace: u.Namespace, Name: u.Name}]
		if !news && !u.Concerned(w.account.Terms(), run.Now) && u.Reason != "AccountRefuted" && !waits(w, u) {
			continue
		}
		if err := run.Ask(ctx, platform.NatsUser, u.Namespace, u.Name); err != nil {
			return err
		}
	}
	return nil
}

// waits tells whether a request should run because of what its ledger says: its
// deletion was given up only because it waited for revocations, which are done
// now, or somebody has revoked what it delivers.
func waits(w world, u natsUser) bool {
	i := slices.IndexFunc(w.ledgers, func(l *ledger.Ledger) bool { return l.Request.Namespace == u.Namespace && l.Request.Name == u.Name })
	if i < 0 {
		return false
	}
	l := w.ledgers[i]
	if !u.Deleting.IsZero() {
		return l.Tombstone != nil && !l.Tombstone.Done && l.Count(ledger.Retiring) == 0
	}
	return slices.ContainsFunc(l.Rows, func(r ledger.Row) bool {
		return r.State == ledger.Active && (!r.Revoked.IsZero() || !r.Lost.IsZero() || r.Stray)
	})
}

// maxNames is how many requests the status names; it counts them all.
const maxNames = 20

// report shows the account, what is in force, and who needs attention.
func report(w world, found finding) workflow.Result {
	var attention []string
	for _, u := range w.users {
		if !u.Ready {
			attention = append(attention, strings.TrimSuffix(u.Namespace+"/"+u.Name+" "+u.Reason, " "))
		}
	}
	shown := append([]string{}, attention[:min(len(attention), maxNames)]...)
	result := workflow.Result{
		Ready:   true,
		Reason:  "Verified",
		Message: fmt.Sprintf("%s; %s, of which %d need attention", found.verified, usersOf(len(w.users)), len(attention)),
		Status: map[string]any{
			"account": showSynadia(w, found, v1alpha1.AccountStatus{
				ID: w.account.ID, SigningKey: w.account.SigningKey,
				Name: found.name, Scope: found.scope, Verified: found.verified, Revocation: found.revocation,
			}),
			"policy":         w.account.Spec.Policy,
			"users":          len(w.users),
			"needAttention":  len(attention),
			"attentionNames": shown,
			"revocations":    found.revocations,
		},
	}
	if found.unknown > 0 {
		result.Message += fmt.Sprintf("; %d users are called as those of this platform, and it did not make them: they are left until they expire; give each platform that draws from the account its own spec.synadia.platform", found.unknown)
	}
	if w.damaged != nil {
		result.Ready, result.Reason = false, "LedgerDamaged"
		result.Message += "; " + w.damaged.Errs[0].Error()
	}
	if found.err != nil {
		result.Ready, result.Reason, result.Message = false, found.reason, found.err.Error()
	}
	if n := queued(w); n > 0 {
		result.Message += fmt.Sprintf("; %d credentials are still to be revoked", n)
	}
	return result
}

func usersOf(n int) string {
	if n == 1 {
		return "1 user"
	}
	return fmt.Sprintf("%d users", n)
}

// queued is how many identities are to be revoked.
func queued(w world) int {
	n := 0
	for _, l := range w.ledgers {
		for _, r := range l.Rows {
			if r.State == ledger.Retiring && r.User != "" && r.Basis.Account == w.account.Name {
				n++
			}
		}
	}
	return n
}
