package natsuser

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	accountv1alpha1 "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// ofAccount changes the NatsAccount that the request draws from.
func ofAccount(change func(spec, status map[string]any)) func(*testing.T, *workflow.Run) {
	return func(t *testing.T, run *workflow.Run) {
		mend(t, run.Platform, platform.NatsAccount, account.Namespace, "commerce", func(content map[string]any) {
			status, _ := content["status"].(map[string]any)
			if status == nil {
				status = map[string]any{}
			}
			change(content["spec"].(map[string]any), status)
			content["status"] = status
		})
	}
}

// condition is one of a status.
func condition(kind, status, reason, message string, generation int64, since time.Time) map[string]any {
	return map[string]any{"conditions": []any{map[string]any{
		"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation, "lastTransitionTime": since.Format(time.RFC3339),
	}}}
}

// What keeps a request from its credentials, by what is wrong with it and with its
// account. The status tells the terms of the account as soon as they are known, and
// an account is asked to reconcile where that may help.
func TestGather(t *testing.T) {
	nothing := func(*testing.T, *workflow.Run) {}
	for _, test := range []struct {
		name    string
		spec    string
		change  func(*testing.T, *workflow.Run)
		reason  string
		says    string
		terms   bool // the status has them
		asks    bool // the account
		placed  string
		refused string
		kept    string
	}{
		{name: "all is well", spec: goodUser, change: nothing, terms: true, placed: "eu-1, us-1"},
		{name: "nobody asked for what is not allowed", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {}}`, change: nothing, terms: true, placed: "eu-1, us-1"},
		{name: "it asks for what is not allowed", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {}, placement: {matchLabels: {environment: dev}}}`, change: nothing, terms: true, refused: "dev-1"},
		{name: "it leaves a cluster", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {}, placement: {matchLabels: {baleen.dev/destination: eu-1}}}`, change: func(_ *testing.T, run *workflow.Run) {
			run.Last = destination.Output{"us-1": {"a.yaml": nil}, "eu-1": {"a.yaml": nil}}
		}, terms: true, placed: "eu-1", kept: "us-1"},
		{name: "its spec is wrong", spec: `{accountRef: {name: commerce}}`, change: nothing, reason: "InvalidSpec", says: "NatsUser team-a/orders is not valid: spec.secret.name is missing"},
		{name: "it may not act there", spec: `{accountRef: {name: commerce}, secret: {name: a}, workloadNamespace: other}`, change: nothing, reason: "NamespaceNotMapped", says: "may not act on the workload namespace other"},
		{name: "there is no such account", spec: `{accountRef: {name: nothing}, secret: {name: a}}`, change: nothing, reason: "AccountNotFound", says: "there is no NatsAccount baleen-system/nothing"},
		{name: "the account's spec is wrong", spec: goodUser, change: ofAccount(func(spec, _ map[string]any) { spec["provider"] = "other" }), reason: "AccountInvalid", says: `spec.provider "other" is not jwt or synadia`},
		{name: "the account would have credentials expire", spec: goodUser, change: func(_ *testing.T, run *workflow.Run) { run.Config.ReconcileInterval = 48 * time.Hour }, reason: "AccountInvalid", says: "Kratix reconciles every 48h"},
		{name: "the account has no key", spec: goodUser, change: func(t *testing.T, run *workflow.Run) {
			if err := run.Platform.Delete(t.Context(), platform.Secret, account.Namespace, "commerce-signing", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
		}, reason: "AccountInvalid", says: "there is no Secret baleen-system/commerce-signing"},
		{name: "the account has another key than it was verified with", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			status["account"] = map[string]any{"signingKey": "OTHER"}
		}), reason: "AccountUnverified", asks: true, says: "NatsAccount commerce has not been verified as it is now: it was asked to run, and to tell this request; if this stays, see its status"},
		{name: "the account does not work", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			maps.Copy(status, condition("Ready", "False", "UserRefused", "no user can connect", 1, now))
		}), reason: "AccountRefuted", says: "NatsAccount commerce was found not to work: no user can connect"},
		{name: "Kratix has forgotten the account", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			maps.Copy(status, condition("ConfigureWorkflowCompleted", "False", "PipelinesInProgress", "", 1, now.Add(-time.Hour)))
		}), terms: true, asks: true, placed: "eu-1, us-1"},
		{name: "a run of the account is in progress", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			maps.Copy(status, condition("ConfigureWorkflowCompleted", "False", "PipelinesInProgress", "", 1, now.Add(-time.Hour+time.Second)))
		}), terms: true, placed: "eu-1, us-1"},
		{name: "it is not admitted", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {publish: {allow: [other]}}}`, change: nothing, reason: "NotAdmitted", terms: true,
			says: `NatsAccount commerce does not admit the request: spec.permissions.publish.allow: "other" is not covered by what the account allows (orders.>, team-a.>)`},
		{name: "an overlay is wrong", spec: goodUser, change: func(t *testing.T, run *workflow.Run) {
			store(t, run.Platform, "nats-user-overlays", map[string]any{"a.yaml": int64(5)})
		}, reason: "OverlayFailed", terms: true, placed: "eu-1, us-1", says: "data that is not text"},
		{name: "the certificates are wrong", spec: goodUser, change: func(t *testing.T, run *workflow.Run) {
			mend(t, run.Platform, platform.ConfigMap, account.Namespace, seal.BundlesName, func(content map[string]any) { content["data"] = map[string]any{"eu-1": int64(5)} })
		}, terms: true, placed: "eu-1, us-1", says: "the ConfigMap baleen-system/sealing-certificates has data that is not text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, test.spec)
			test.change(t, run)
			w, err := pipeline{}.gather(t.Context(), run)
			var failure *workflow.Failure
			if errors.As(err, &failure); failure != nil && failure.Reason != test.reason || failure == nil && test.reason != "" {
				t.Errorf("the reason is %v, want %s", failure, test.reason)
			}
			if !strings.Contains(words(err), test.says) || (err == nil) != (test.says == "") {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			if seen, _ := w.seen[termsKey].(string); (seen != "") != test.terms || seen != "" && seen != w.account.Terms() {
				t.Errorf("the status has the terms %q, want some: %t", seen, test.terms)
			}
			if got := workflowtest.Asked(t, run.Platform, platform.NatsAccount) != ""; got != test.asks {
				t.Errorf("it asks the account: %t, want %t", got, test.asks)
			}
			for what, pair := range map[string][2]string{
				"is placed on": {strings.Join(w.placement.Placed, ", "), test.placed}, "is refused": {strings.Join(w.refused, ", "), test.refused},
				"leaves": {strings.Join(w.kept, ", "), test.kept},
			} {
				if pair[0] != pair[1] {
					t.Errorf("it %s %q, want %q", what, pair[0], pair[1])
				}
			}
		})
	}
}

// store stores a ConfigMap of the platform team.
func store(t *testing.T, client platform.Client, name string, data map[string]any) {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"data": data}}
	o.SetGroupVersionKind(platform.ConfigMap.GroupVersionKind)
	o.SetNamespace(account.Namespace)
	o.SetName(name)
	if _, err := client.Create(t.Context(), platform.ConfigMap, o); err != nil {
		t.Fatal(err)
	}
}

// Wherever the platform is away, a run says so, and nothing else: no reason that
// somebody would mend the request for.
func TestGatherWhileThePlatformIsAway(t *testing.T) {
	counted := onPlatform(t, goodUser)
	client := platformtest.At(counted.Platform, 0, platformtest.Refused)
	counted.Platform = client
	if _, err := (pipeline{}).gather(t.Context(), counted); err != nil || client.Calls < 5 {
		t.Fatalf("%d calls: %v", client.Calls, err)
	}
	for at := range client.Calls {
		t.Run(fmt.Sprintf("at call %d", at+1), func(t *testing.T) {
			run := onPlatform(t, goodUser)
			run.Platform = platformtest.At(run.Platform, at+1, platformtest.Refused)
			_, err := pipeline{}.gather(t.Context(), run)
			if !platform.IsTransient(err) {
				t.Errorf("it says %v", err)
			}
			var failure *workflow.Failure
			if errors.As(err, &failure) && strings.HasPrefix(failure.Reason, "Account") {
				t.Errorf("it says that the account is wrong: %s", failure.Reason)
			}
		})
	}
}

// holder is the verdict that another request has a Secret.
func holder(namespace, name string) claim.Verdict {
	return claim.Verdict{Holder: claim.Owner{Kind: platform.NatsUser.Kind, Namespace: namespace, Name: name}}
}

// What a cluster gets, or why it does not, by what it has, whose its Secret is, and
// whether there is a certificate to seal with.
func TestPlan(t *testing.T) {
	const missing = "cannot be sealed: the key eu-1 of the ConfigMap baleen-system/sealing-certificates: it holds no certificate: add that of the controller with `baleen clusters trust`"
	wanted := func(r *ledger.Row) { // what it has is what is wanted
		w := serving(&stub{})
		r.Basis = want(w, "eu-1").Basis
		certificate, _ := seal.Newest(bundle(), now)
		r.Basis.Certificate = certificate.Fingerprint
	}
	with := func(change func(*ledger.Row)) ledger.Row { return issued(1, "U1", "commerce", wanted, change) }
	same := func(*ledger.Row) {}
	granted := func(r *ledger.Row) { r.Basis.Grant = "other" }
	named := func(r *ledger.Row) { r.Basis.Delivery.Name = "former-name" }
	many := func(n int, of ledger.Row) []ledger.Row {
		var all []ledger.Row
		for g := range int64(n) {
			of.Generation, of.User = g+1, fmt.Sprintf("U%d", g+1)
			all = append(all, of)
		}
		return all
	}
	for _, test := range []struct {
		name        string
		rows        []ledger.Row
		holds       []string // names of Secrets
		certificate string
		rotate      string

		reason, problemReason, problem string
		delivers                       string
	}{
		{name: "it has nothing", holds: []string{"orders-nats"}, certificate: bundle(), reason: "FirstIssue", delivers: "orders-nats"},
		{name: "it has what is wanted", rows: []ledger.Row{with(same)}, holds: []string{"orders-nats"}, certificate: bundle(), delivers: "orders-nats"},
		{name: "it has something else", rows: []ledger.Row{with(granted)}, holds: []string{"orders-nats"}, certificate: bundle(), reason: "GrantChanged", delivers: "orders-nats"},
		{name: "it has what is wanted, and no certificate", rows: []ledger.Row{with(same)}, holds: []string{"orders-nats"}, certificate: "cut off", delivers: "orders-nats"},
		{name: "its key is gone", rows: []ledger.Row{with(func(r *ledger.Row) { r.Basis.Certificate = "SHA256:gone" })}, holds: []string{"orders-nats"}, certificate: bundle(), reason: "SealingCertificateGone", delivers: "orders-nats"},
		{name: "it has nothing, and no certificate", holds: []string{"orders-nats"}, delivers: "orders-nats", problemReason: "CertificateUnusable",
			problem: "a first credential for eu-1 " + missing},
		{name: "it has something else, and no certificate", rows: []ledger.Row{with(granted)}, holds: []string{"orders-nats"}, delivers: "orders-nats", problemReason: "CertificateUnusable",
			problem: "another credential (GrantChanged) for eu-1 " + missing},
		{name: "another has the Secret", certificate: bundle(), delivers: "orders-nats", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "another has the Secret, and this one its former", rows: []ledger.Row{with(named)}, holds: []string{"former-name"}, certificate: bundle(), delivers: "former-name", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "that is renewed", rows: []ledger.Row{with(func(r *ledger.Row) { named(r); r.Expires = now })}, holds: []string{"former-name"}, certificate: bundle(), reason: "Expired", delivers: "former-name", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "another has both", rows: []ledger.Row{with(func(r *ledger.Row) { named(r); r.Expires = now })}, certificate: bundle(), delivers: "orders-nats", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "it rotates too often", rows: many(24, with(same)), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", delivers: "orders-nats", problemReason: "RotatesTooOften",
			problem: "eu-1 has 24 credentials that have not expired yet, and gets no other for the reason RotationRequested: wait until some have, or make ttl shorter"},
		{name: "it rotates almost too often", rows: many(23, with(same)), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", reason: "RotationRequested", delivers: "orders-nats"},
		{name: "it rotates too often, and a renewal is due", rows: many(24, with(func(r *ledger.Row) { r.Expires = now.Add(time.Second) })), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", reason: "RotationRequested", delivers: "orders-nats"},
		{name: "it changes too often, and somebody has revoked it", rows: many(24, with(func(r *ledger.Row) { granted(r); r.Revoked = now })), holds: []string{"orders-nats"}, certificate: bundle(), reason: "GrantChanged", delivers: "orders-nats"},
		{name: "it changes its Secret too often", rows: many(24, with(named)), holds: []string{"orders-nats", "former-name"}, certificate: bundle(), delivers: "orders-nats", problemReason: "RotatesTooOften",
			problem: "eu-1 has 24 credentials that have not expired yet, and gets no other for the reason DeliveryChanged: wait until some have, or make ttl shorter"},
		{name: "there were as many attempts", rows: append(many(23, with(retiring)), issued(24, "U24", "commerce", wanted)), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", delivers: "orders-nats", problemReason: "RotatesTooOften",
			problem: "eu-1 has 24 credentials that have not expired yet, and gets no other for the reason RotationRequested: wait until some have, or make ttl shorter"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := serving(&stub{})
			w.placement.Placed = []string{"eu-1"}
			w.bundles = map[string]string{"eu-1": test.certificate}
			w.user.Spec.Credentials.Rotate = test.rotate
			verdicts := map[claim.Thing]claim.Verdict{claim.Secret("eu-1", "team-a", "orders-nats"): holder("team-b", "shop")}
			for _, name := range test.holds {
				verdicts[claim.Secret("eu-1", "team-a", name)] = claim.Verdict{Held: true}
			}
			c := planned(plan(w, &ledger.Ledger{Request: orders, Rows: test.rows}, verdicts, now), "eu-1")
			if string(c.reason) != test.reason || c.problem != (problem{test.problemReason, test.problem}) {
				t.Errorf("it gets another for %q, want %q; its problem is %s: %s, want %s: %s", c.reason, test.reason, c.problem.reason, c.problem.message, test.problemReason, test.problem)
			}
			if c.want.Basis.Delivery.Name != test.delivers {
				t.Errorf("it is delivered as %s, want %s", c.want.Basis.Delivery.Name, test.delivers)
			}
			if sealed := test.certificate == bundle(); (c.want.Basis.Certificate != "") != sealed || (c.certificate.Fingerprint != "") != sealed {
				t.Errorf("it is sealed for %q", c.want.Basis.Certificate)
			}
		})
	}
}

// Only what can connect counts: not what has expired, was never made, or is another
// cluster's.
func TestAlive(t *testing.T) {
	elsewhere := issued(1, "U5", "commerce")
	elsewhere.Destination = "us-1"
	l := &ledger.Ledger{Request: orders, Rows: []ledger.Row{
		issued(1, "U1", "commerce", retired), issued(2, "U2", "commerce", expired), issued(3, "", "commerce", intended), issued(4, "U4", "commerce", retiring), elsewhere,
	}}
	if n := alive(l, "eu-1", now); n != 2 {
		t.Errorf("%d are alive, want 2", n)
	}
}

// Everything that a generation is issued upon comes from the request, or its account.
func TestWant(t *testing.T) {
	w := delivering()
	w.account.ID, w.account.KeptIn, w.account.SigningKey = "ACCOUNT", "cloud", "SIGNING"
	w.account.Spec.JWT, w.account.Spec.Synadia = nil, &accountv1alpha1.Synadia{DriftPolicy: accountv1alpha1.DriftCorrect, Servers: []string{"tls://a", "tls://b"}}
	w.namespace = "workload"
	w.user.Annotations = map[string]string{v1alpha1.RotateAnnotation: "all", v1alpha1.RotateAnnotationPrefix + "eu-1": "here", v1alpha1.RotateAnnotationPrefix + "us-1": "there"}
	w.user.Spec.Credentials.Rotate = "spec"
	w.user.Spec.Secret.Format, w.user.Spec.Secret.Key = v1alpha1.Creds, "file.creds"
	w.user.Spec.Default()
	basis := func(d ledger.Delivery) credential.Want {
		return credential.Want{
			Destination: "eu-1", RenewBefore: 240 * time.Hour, CorrectDrift: true,
			Basis: ledger.Basis{
				Account: "commerce", AccountID: "ACCOUNT", KeptIn: "cloud", Grant: w.account.Grant(w.user, "eu-1").Digest(), SigningKey: "SIGNING", Delivery: d,
				Rotate: ledger.Rotate{Spec: "spec", All: "all", Destination: "here"},
			},
		}
	}
	compare := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".renews" }, cmp.Ignore())
	file := basis(ledger.Delivery{Namespace: "workload", Name: "orders-nats", Format: "Creds", Key: "file.creds", Retain: "Ciphertext"})
	if diff := cmp.Diff(file, want(w, "eu-1"), compare); diff != "" {
		t.Error(diff)
	}
	w.user.Spec.Secret.Format, w.user.Spec.Secret.Key = v1alpha1.Env, ""
	env := basis(ledger.Delivery{Namespace: "workload", Name: "orders-nats", Format: "Env", Servers: "tls://a,tls://b", Retain: "Ciphertext"})
	if diff := cmp.Diff(env, want(w, "eu-1"), compare); diff != "" {
		t.Error(diff)
	}
}

// How long a former generation lives on is for the spec to say.
func TestOverlap(t *testing.T) {
	u := &v1alpha1.NatsUser{}
	u.Spec.Credentials.Overlap = "36h"
	for policy, want := range map[v1alpha1.RevokePrevious]bool{v1alpha1.AfterOverlap: false, v1alpha1.Immediately: true} {
		u.Spec.Credentials.RevokePrevious = policy
		if got := overlapOf(u); got.Overlap != 36*time.Hour || got.Immediately != want {
			t.Errorf("with %s it is %s, immediately: %t", policy, got.Overlap, got.Immediately)
		}
	}
}

// A request that is carried out has what its status says, and another run of it
// changes nothing, neither on the platform nor in what is emitted.
func TestConfigure(t *testing.T) {
	run := onPlatform(t, goodUser)
	first, err := pipeline{}.configure(t.Context(), run)
	if err != nil || !first.Ready {
		t.Fatalf("it says %s: %v", first.Message, err)
	}
	kinds := []platform.Kind{platform.ConfigMap, platform.NatsUser, platform.NatsAccount}
	before := platformtest.Contents(t, run.Platform, kinds...)
	run.Last = first.Output
	again, err := pipeline{}.configure(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Status, again.Status); diff != "" || first.Message != again.Message {
		t.Errorf("again it says %s: %s", again.Message, diff)
	}
	if diff := cmp.Diff(first.Output, again.Output); diff != "" || slices.Compare(first.Output.Destinations(), []string{"eu-1", "us-1"}) != 0 {
		t.Errorf("again it emits something else: %s", diff)
	}
	if diff := cmp.Diff(before, platformtest.Contents(t, run.Platform, kinds...)); diff != "" {
		t.Errorf("again it changes the platform: %s", diff)
	}
}

// A run that cannot finish still tells the account what its status has seen of it.
func TestConfigureSaysWhatItHasSeen(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testing.T, *workflow.Run)
		seen   bool
		says   string
	}{
		{"it is refused", func(_ *testing.T, run *workflow.Run) { run.Config.ReconcileInterval = 48 * time.Hour }, false, "minRenewBefore"},
		{"it cannot be carried out", func(t *testing.T, run *workflow.Run) {
			edit(t, run.Platform, func(l *ledger.Ledger) { l.Tombstone = &ledger.Tombstone{UID: string(run.Request.GetUID()), At: now} })
			mark(t, run.Platform)
			erase(t, run.Platform)
		}, true, "is being deleted"},
		{"it cannot be emitted", func(t *testing.T, run *workflow.Run) {
			store(t, run.Platform, "nats-user-overlays", map[string]any{"a.yaml": "kind: [a]\n"})
		}, true, "the overlays of the platform team do not apply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, goodUser)
			test.change(t, run)
			result, err := pipeline{}.configure(t.Context(), run)
			if seen, _ := result.Status[termsKey].(string); (seen != "") != test.seen || !strings.Contains(words(err), test.says) {
				t.Errorf("it says %v, want %q; the status has the terms %q, want some: %t", err, test.says, seen, test.seen)
			}
		})
	}
}
