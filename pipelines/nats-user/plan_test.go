package natsuser

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/seal"
	accountv1alpha1 "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// What is decided follows from what was gathered alone: no client is at hand in plan.go,
// no store of ledgers or claims, and no context to ask anybody with.
func TestPlanReachesNobody(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "plan.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil || slices.Contains([]string{"context", "http", "os", "platform", "workflow"}, name) {
			t.Errorf("it imports %s as %s", path, name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok && (of.Name == "ledger" || of.Name == "claim") && n.Sel.Name == "Store" || n.Sel.Name == "Issuer" || n.Sel.Name == "Platform" {
				t.Errorf("it mentions %s.%s", of, n.Sel.Name)
			}
		case *ast.Ident:
			if slices.Contains([]string{"ledgerStore", "claims"}, n.Name) {
				t.Errorf("it calls %s", n.Name)
			}
		}
		return true
	})
}

// holder is the verdict that another request has a Secret.
func holder(namespace, name string) claim.Verdict {
	return claim.Verdict{Holder: claim.Owner{Kind: platform.NatsUser.Kind, Namespace: namespace, Name: name}}
}

// What a cluster gets, or why it does not, by what it has, whose its Secret is, and
// whether there is a certificate to seal with.
func TestPlan(t *testing.T) {
	const missing = "cannot be sealed: the key eu-1 of the ConfigMap baleen-system/sealing-certificates: it holds no certificate: add that of the controller with `baleen clusters trust`"
	wanted := func(r *ledger.Record) { // what it has is what is wanted
		in := serving(&stub{})
		r.Basis = want(in, "eu-1").Basis
		certificate, _ := seal.Newest(bundle(), now)
		r.Basis.Certificate = certificate.Fingerprint
	}
	with := func(change func(*ledger.Record)) ledger.Record { return issued(1, "U1", "commerce", wanted, change) }
	same := func(*ledger.Record) {}
	granted := func(r *ledger.Record) { r.Basis.Grant = "other" }
	mqtt := func(in *inputs) { in.user.Spec.ConnectionTypes = []accountv1alpha1.ConnectionType{"MQTT", "MQTT_WS"} }
	futile := func(r *ledger.Record) {
		in := serving(&stub{})
		mqtt(&in)
		r.Basis.Grant = want(in, "eu-1").Basis.Grant
	}
	named := func(r *ledger.Record) { r.Basis.Delivery.Name = "former-name" }
	many := func(n int, of ledger.Record) []ledger.Record {
		var all []ledger.Record
		for g := range int64(n) {
			of.Generation, of.User = g+1, fmt.Sprintf("U%d", g+1)
			all = append(all, of)
		}
		return all
	}
	tomorrow := now.Unix()/(24*60*60) + 1
	for _, test := range []struct {
		name        string
		rows        []ledger.Record
		holds       []string // names of Secrets
		certificate string
		rotate      string
		futile      bool
		moved       bool
		former      churn.Days

		reason, problemReason, problem string
		delivers                       string
	}{
		{name: "it has nothing", holds: []string{"orders-nats"}, certificate: bundle(), reason: "FirstIssue", delivers: "orders-nats"},
		{name: "it has what is wanted", rows: []ledger.Record{with(same)}, holds: []string{"orders-nats"}, certificate: bundle(), delivers: "orders-nats"},
		{name: "it has something else", rows: []ledger.Record{with(granted)}, holds: []string{"orders-nats"}, certificate: bundle(), reason: "GrantChanged", delivers: "orders-nats"},
		{name: "it has what is wanted, and no certificate", rows: []ledger.Record{with(same)}, holds: []string{"orders-nats"}, certificate: "cut off", delivers: "orders-nats"},
		{name: "its key is gone", rows: []ledger.Record{with(func(r *ledger.Record) { r.Basis.Certificate = "SHA256:gone" })}, holds: []string{"orders-nats"}, certificate: bundle(), reason: "SealingCertificateGone", delivers: "orders-nats"},
		{name: "it has nothing, and no certificate", holds: []string{"orders-nats"}, delivers: "orders-nats", problemReason: "CertificateUnusable",
			problem: "a first credential for eu-1 " + missing},
		{name: "it has something else, and no certificate", rows: []ledger.Record{with(granted)}, holds: []string{"orders-nats"}, delivers: "orders-nats", problemReason: "CertificateUnusable",
			problem: "another credential (GrantChanged) for eu-1 " + missing},
		{name: "another has the Secret", certificate: bundle(), delivers: "orders-nats", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "another has the Secret, and this one its former", rows: []ledger.Record{with(named)}, holds: []string{"former-name"}, certificate: bundle(), delivers: "former-name", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "that is renewed", rows: []ledger.Record{with(func(r *ledger.Record) { named(r); r.Expires = now })}, holds: []string{"former-name"}, certificate: bundle(), reason: "Expired", delivers: "former-name", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "another has both", rows: []ledger.Record{with(func(r *ledger.Record) { named(r); r.Expires = now })}, certificate: bundle(), delivers: "orders-nats", problemReason: "SecretConflict",
			problem: "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{name: "it rotates too often", rows: many(24, with(same)), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", delivers: "orders-nats", problemReason: "RotatesTooOften",
			problem: "eu-1 has 24 credentials that have not expired yet, and gets no other for the reason RotationRequested: wait until some have, or make ttl shorter"},
		{name: "it rotates almost too often", rows: many(23, with(same)), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", reason: "RotationRequested", delivers: "orders-nats"},
		{name: "it rotates too often, and a renewal is due", rows: many(24, with(func(r *ledger.Record) { r.Expires = now.Add(time.Second) })), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", reason: "RotationRequested", delivers: "orders-nats"},
		{name: "it changes too often, and somebody has revoked it", rows: many(24, with(func(r *ledger.Record) { granted(r); r.Revoked = now })), holds: []string{"orders-nats"}, certificate: bundle(), reason: "GrantChanged", delivers: "orders-nats"},
		{name: "it changes its Secret too often", rows: many(24, with(named)), holds: []string{"orders-nats", "former-name"}, certificate: bundle(), delivers: "orders-nats", problemReason: "RotatesTooOften",
			problem: "eu-1 has 24 credentials that have not expired yet, and gets no other for the reason DeliveryChanged: wait until some have, or make ttl shorter"},
		{name: "it has another name, which may not have its annotations", rows: []ledger.Record{with(named)}, holds: []string{"orders-nats", "former-name"}, certificate: bundle(), moved: true, delivers: "former-name", problemReason: "NotAdmitted",
			problem: "the Secret team-a/orders-nats on eu-1 is not made: no"},
		{name: "that is renewed, too", rows: []ledger.Record{with(func(r *ledger.Record) { named(r); r.Expires = now })}, holds: []string{"orders-nats", "former-name"}, certificate: bundle(), moved: true, reason: "Expired", delivers: "former-name", problemReason: "NotAdmitted",
			problem: "the Secret team-a/orders-nats on eu-1 is not made: no"},
		{name: "it has nothing, and may not have its annotations", holds: []string{"orders-nats"}, certificate: bundle(), moved: true, delivers: "orders-nats", problemReason: "NotAdmitted",
			problem: "the Secret team-a/orders-nats on eu-1 is not made: no"},
		{name: "its Secret is where its annotations are", rows: []ledger.Record{with(same)}, holds: []string{"orders-nats"}, certificate: bundle(), moved: true, delivers: "orders-nats"},
		{name: "nobody could connect", holds: []string{"orders-nats"}, certificate: bundle(), futile: true, delivers: "orders-nats", problemReason: "GrantRefused",
			problem: "eu-1 gets no such credential: nobody can connect by MQTT without a bearer token: set spec.bearerToken, or add another of spec.connectionTypes"},
		{name: "nobody could connect, and it has something else", rows: []ledger.Record{with(granted)}, holds: []string{"orders-nats"}, certificate: bundle(), futile: true, delivers: "orders-nats", problemReason: "GrantRefused",
			problem: "eu-1 gets no such credential: nobody can connect by MQTT without a bearer token: set spec.bearerToken, or add another of spec.connectionTypes"},
		{name: "nobody could connect, which an older version did not know, and a renewal is due", rows: []ledger.Record{with(func(r *ledger.Record) { futile(r); r.Expires = now })}, holds: []string{"orders-nats"}, certificate: bundle(), futile: true, reason: "Expired", delivers: "orders-nats"},
		{name: "its namespace has almost too many former ones", former: churn.Days{tomorrow: 999}, rows: []ledger.Record{with(same)}, holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", reason: "RotationRequested", delivers: "orders-nats"},
		{name: "its namespace has too many former ones", former: churn.Days{tomorrow: 500, tomorrow + 1: 500}, rows: []ledger.Record{with(same)}, holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", delivers: "orders-nats", problemReason: "TooManyCredentials",
			problem: "eu-1 gets no credential (RotationRequested): the namespace has 1000 former credentials of NatsAccount commerce that have not expired yet, and may have 1000: wait until some have, make ttl shorter, or ask the platform team for a higher spec.policy.maxFormer"},
		{name: "it would have too many, with those that were renewed", former: churn.Days{tomorrow: 998}, rows: many(3, with(same)), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", delivers: "orders-nats", problemReason: "TooManyCredentials",
			problem: "eu-1 gets no credential (RotationRequested): the namespace has 998 former credentials of NatsAccount commerce that have not expired yet, and may have 1000: wait until some have, make ttl shorter, or ask the platform team for a higher spec.policy.maxFormer"},
		{name: "they have expired", former: churn.Days{tomorrow - 2: 1000}, rows: []ledger.Record{with(same)}, holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", reason: "RotationRequested", delivers: "orders-nats"},
		{name: "its namespace has too many, and a renewal is due", former: churn.Days{tomorrow: 1000}, rows: []ledger.Record{with(func(r *ledger.Record) { r.Expires = now })}, holds: []string{"orders-nats"}, certificate: bundle(), reason: "Expired", delivers: "orders-nats"},
		{name: "its namespace has too many, and a renewal of what it wants otherwise is due", former: churn.Days{tomorrow: 1000}, rows: []ledger.Record{with(func(r *ledger.Record) { r.Expires = now })}, holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", reason: "RotationRequested", delivers: "orders-nats"},
		{name: "its namespace has too many, and somebody has revoked it", former: churn.Days{tomorrow: 1000}, rows: []ledger.Record{with(func(r *ledger.Record) { r.Revoked = now })}, holds: []string{"orders-nats"}, certificate: bundle(), reason: "DeletedAtProvider", delivers: "orders-nats"},
		{name: "its namespace has too many, and the signing key is another", former: churn.Days{tomorrow: 1000}, rows: []ledger.Record{with(func(r *ledger.Record) { r.Basis.SigningKey = "other" })}, holds: []string{"orders-nats"}, certificate: bundle(), reason: "SigningKeyChanged", delivers: "orders-nats"},
		{name: "its namespace has too many, and it has nothing", former: churn.Days{tomorrow: 1000}, holds: []string{"orders-nats"}, certificate: bundle(), delivers: "orders-nats", problemReason: "TooManyCredentials",
			problem: "eu-1 gets no credential (FirstIssue): the namespace has 1000 former credentials of NatsAccount commerce that have not expired yet, and may have 1000: wait until some have, make ttl shorter, or ask the platform team for a higher spec.policy.maxFormer"},
		{name: "there were as many attempts", rows: append(many(23, with(retiring)), issued(24, "U24", "commerce", wanted)), holds: []string{"orders-nats"}, certificate: bundle(), rotate: "2", delivers: "orders-nats", problemReason: "RotatesTooOften",
			problem: "eu-1 has 24 credentials that have not expired yet, and gets no other for the reason RotationRequested: wait until some have, or make ttl shorter"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := serving(&stub{})
			in.placement.Placed = []string{"eu-1"}
			in.bundles = map[string]string{"eu-1": test.certificate}
			in.user.Spec.Credentials.Rotate = test.rotate
			if test.futile {
				mqtt(&in)
			}
			if test.moved {
				in.metadata.elsewhere = errors.New("no")
			}
			verdicts := map[claim.Resource]claim.Verdict{claim.Secret("eu-1", "team-a", "orders-nats"): holder("team-b", "shop")}
			for _, name := range test.holds {
				verdicts[claim.Secret("eu-1", "team-a", name)] = claim.Verdict{Held: true}
			}
			c := planned(plan(in, &ledger.Ledger{Request: orders, Records: test.rows}, verdicts, test.former, now), "eu-1")
			if string(c.reason) != test.reason || c.problem != (problem{reason.Reason(test.problemReason), test.problem}) {
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
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{
		issued(1, "U1", "commerce", retired), issued(2, "U2", "commerce", expired), issued(3, "", "commerce", intended), issued(4, "U4", "commerce", retiring), elsewhere,
	}}
	if n := alive(l, "eu-1", now); n != 2 {
		t.Errorf("%d are alive, want 2", n)
	}
}

// Everything that a generation is issued upon comes from the request, or its account.
func TestWant(t *testing.T) {
	in := delivering()
	in.account.ID, in.account.ProviderAccount, in.account.SigningKey = "ACCOUNT", "cloud", "SIGNING"
	in.account.Spec.JWT, in.account.Spec.Synadia = nil, &accountv1alpha1.Synadia{DriftPolicy: accountv1alpha1.DriftCorrect, Servers: []string{"tls://a", "tls://b"}}
	in.namespace = "workload"
	in.user.Annotations = map[string]string{v1alpha1.RotateAnnotation: "all", v1alpha1.RotateAnnotationPrefix + "eu-1": "here", v1alpha1.RotateAnnotationPrefix + "us-1": "there"}
	in.user.Spec.Credentials.Rotate = "spec"
	in.user.Spec.Secret.Format, in.user.Spec.Secret.Key = v1alpha1.Creds, "file.creds"
	in.user.Spec.Default()
	basis := func(d ledger.Delivery) credential.Want {
		return credential.Want{
			Destination: "eu-1", RenewBefore: 240 * time.Hour, CorrectDrift: true,
			Basis: ledger.Basis{
				Account: "commerce", AccountID: "ACCOUNT", ProviderAccount: "cloud", Grant: in.account.Grant(in.user, "eu-1").Digest(), SigningKey: "SIGNING", Delivery: d,
				Rotate: ledger.Rotate{Spec: "spec", All: "all", Destination: "here"},
			},
		}
	}
	compare := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".renews" }, cmp.Ignore())
	file := basis(ledger.Delivery{Namespace: "workload", Name: "orders-nats", Format: "Creds", Key: "file.creds", Retain: "Ciphertext"})
	if diff := cmp.Diff(file, want(in, "eu-1"), compare); diff != "" {
		t.Error(diff)
	}
	in.user.Spec.Secret.Format, in.user.Spec.Secret.Key = v1alpha1.Env, ""
	env := basis(ledger.Delivery{Namespace: "workload", Name: "orders-nats", Format: "Env", Servers: "tls://a,tls://b", Retain: "Ciphertext"})
	if diff := cmp.Diff(env, want(in, "eu-1"), compare); diff != "" {
		t.Error(diff)
	}
}

// How long a former generation lives on is for the spec to say, up to what the account admits.
func TestOverlap(t *testing.T) {
	u := &v1alpha1.NatsUser{}
	u.Spec.Credentials.Overlap = "36h"
	for policy, want := range map[v1alpha1.RevokePrevious]bool{v1alpha1.AfterOverlap: false, v1alpha1.Immediately: true} {
		u.Spec.Credentials.RevokePrevious = policy
		if got := overlapOf(inputs{user: u}); got.Overlap != 36*time.Hour || got.Immediately != want {
			t.Errorf("with %s it is %s, immediately: %t", policy, got.Overlap, got.Immediately)
		}
	}
	for most, want := range map[field.Duration]time.Duration{"": 36 * time.Hour, "1h": time.Hour, "0h": 0, "2d": 36 * time.Hour} {
		in := delivering()
		in.user.Spec.Credentials.Overlap, in.account.Spec.Policy.MaxOverlap = "36h", most
		if got := termsOfRefused(in); got.Overlap != want {
			t.Errorf("with at most %q it is %s", most, got.Overlap)
		}
	}
}

// A rotation that is taken back, or a bundle of certificates that cannot be read, is no
// reason for another credential. The bundle here is one, so that whoever needs another
// is told that it cannot be sealed.
func TestPlanKeeps(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*ledger.Record)
		asked  string // to rotate
		wants  bool
	}{
		{"nothing has changed", func(*ledger.Record) {}, "", false},
		{"a rotation was carried out", func(r *ledger.Record) { r.Basis.Rotate.Spec = "1" }, "1", false},
		{"a rotation is taken back", func(r *ledger.Record) { r.Basis.Rotate.Spec = "1" }, "", false},
		{"another rotation", func(r *ledger.Record) { r.Basis.Rotate.Spec = "1" }, "2", true},
		{"something else is granted", func(r *ledger.Record) { r.Basis.Grant = "other" }, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := delivering()
			row := active(1, "U1", "FirstIssue")
			row.Basis = want(in, "eu-1").Basis
			test.change(&row)
			in.user.Spec.Credentials.Rotate = test.asked
			in.bundles = map[string]string{"eu-1": "unreadable"}
			held := map[claim.Resource]claim.Verdict{secretOf("eu-1", row.Basis.Delivery): {Held: true}}
			c := planned(plan(in, &ledger.Ledger{Request: orders, Records: []ledger.Record{row}}, held, nil, now), "eu-1")
			if wants := c.problem.reason == "CertificateUnusable"; wants != test.wants || c.reason != "" {
				t.Errorf("it gets another: %t, want %t: %s", wants, test.wants, c.problem.message)
			}
		})
	}
}

// A credential is retired where its cluster is not addressed any more: not in the
// grace of a cluster that stops matching, nor because a registration is lost.
func TestTermsServe(t *testing.T) {
	in := delivering()
	in.placement.Unregistered = []string{"ap-1"}
	for name, served := range map[string]bool{"eu-1": true, "us-1": true, "ap-1": true, "gone": false} {
		t.Run(name, func(t *testing.T) {
			if got := terms(in).Served(name); got != served {
				t.Errorf("it is served: %t, want %t", got, served)
			}
		})
	}
}

// Without an operator's key an account cannot revoke. Of another account that the
// request drew from before, its own pipeline knows that.
func TestTermsRevoke(t *testing.T) {
	for _, test := range []struct {
		name, account string
		operator      bool
		can           bool
	}{
		{"with an operator's key", "commerce", true, true},
		{"without one", "commerce", false, false},
		{"another account", "payments", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := delivering()
			if !test.operator {
				in.account.Spec.JWT.Operator = nil
			}
			if can := terms(in).Revocable(test.account); can != test.can {
				t.Errorf("it can revoke: %t, want %t", can, test.can)
			}
		})
	}
}

// A Secret that another request has is said to be that request's, and to come by itself
// where that releases it.
func TestConflict(t *testing.T) {
	for _, test := range []struct {
		name                 string
		releasing, abandoned bool
		says                 string
	}{
		{"another has it", false, false, "the Secret team-a/orders-nats on eu-1 belongs to team-b/shop: choose another name, or ask its owner"},
		{"another had it, and is gone", false, true, "the Secret team-a/orders-nats on eu-1 belonged to team-b/shop, which is gone: its NatsAccount frees it a day after its run has seen that, and it is taken over by itself then; where nothing was issued, or that account is gone too, the platform team frees it by deleting the ConfigMap baleen-state/secret-493092dcd3d921a04346437ae2a4271416e6e4eb"},
		{"another releases it", true, false, "team-b/shop is releasing the Secret team-a/orders-nats on eu-1: it is taken over by itself as soon as it is free"},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdict := holder("team-b", "shop")
			verdict.Releasing, verdict.Abandoned = test.releasing, test.abandoned
			if got := conflict(active(1, "U1", "FirstIssue").Basis.Delivery, "eu-1", verdict); got != test.says {
				t.Error(got)
			}
		})
	}
}
