package pipelines_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/natslocal/natstest"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
)

// live is a platform whose NatsAccount is that of a NATS system in this process.
type live struct {
	*testing.T
	*scenario.Scenario
	system *natslocal.System
	// account is the request, to be changed by a test.
	account string
}

// newLive makes the test one that runs beside others, since servers let it wait.
func newLive(t *testing.T) *live {
	t.Helper()
	t.Parallel()
	system := natstest.Start(t)
	l := &live{T: t, Scenario: scenario.New(t, platformDir, stages...), system: system}
	l.Now = time.Now().UTC().Truncate(time.Second) // servers have a clock of their own
	l.account = fmt.Sprintf(`apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system}
spec:
  provider: jwt
  jwt:
    accountID: %s
    servers: ["%s"]
    signingKey: {secretRef: {name: commerce-signing}}
    operator: {signingKeySecretRef: {name: operator}, systemCredentialsSecretRef: {name: operator}}
  policy:
    namespaces: ["team-*"]
    publish: ["orders.>"]
    subscribe: ["orders.>", "_INBOX.>"]
    allowResponses: {}
`, system.AccountID, system.URL())
	l.secret("commerce-signing", "seed", system.SigningKey)
	l.operatorSecret("operator", "seed", system.OperatorKey, "creds", system.SystemCredentials)
	return l
}

// secret writes a Secret of keys and values into baleen-system.
func (l *live) secret(name string, pairs ...any) { l.secretIn("baleen-system", name, pairs...) }

// operatorSecret writes one into baleen-operator.
func (l *live) operatorSecret(name string, pairs ...any) {
	l.secretIn("baleen-operator", name, pairs...)
}

func (l *live) secretIn(namespace, name string, pairs ...any) {
	var data strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&data, "  %s: %s\n", pairs[i], base64.StdEncoding.EncodeToString(pairs[i+1].([]byte)))
	}
	l.Write(txtar.File{Name: namespace + "/Secret.core/" + name + ".yaml", Data: []byte(
		"apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + ", namespace: " + namespace + "}\ndata:\n" + data.String())})
}

// claims changes the account on the servers, as nsc does.
func (l *live) claims(change func(*natsjwt.AccountClaims)) {
	l.Helper()
	claims, err := l.system.Account(l.system.AccountID)
	if err == nil {
		change(claims)
		l.system.Stop()
		err = l.system.Push(claims)
	}
	if err == nil {
		err = l.system.Start(true)
	}
	if err != nil {
		l.Fatal(err)
	}
}

// wantReason runs the account and looks at what its status says.
func (l *live) wantReason(reason, words string) {
	l.Helper()
	o := l.Apply(l.account)
	if _, got, message := o.Ready(); got != reason || !strings.Contains(message, words) || o.Err != nil {
		l.Errorf("%s: %s (%v), want %s with %q", got, message, o.Err, reason, words)
	}
}

func newSeed(t *testing.T, create func() (nkeys.KeyPair, error)) (seed []byte, public string) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ = pair.Seed()
	public, _ = pair.PublicKey()
	return seed, public
}

// What the servers say of an account stands in its status. Where the keys are
// wrong its users are not issued, and those that there are go on.
func TestAccountIsVerified(t *testing.T) {
	user := example(t, "nats-user")
	scope := func(key string, subjects ...string) *natsjwt.UserScope {
		s := natsjwt.NewUserScope()
		s.Key, s.Role = key, "team"
		s.Template.Pub.Allow.Add(subjects...)
		return s
	}
	for _, test := range []struct {
		name          string
		break_        func(*live)
		reason, words string
		refuted       bool
	}{
		{"all is well", func(*live) {}, "Verified", "a throw-away user could connect", false},
		{"the key is not listed", func(l *live) {
			seed, _ := newSeed(l.T, nkeys.CreateAccount)
			l.secret("commerce-signing", "seed", seed)
		}, "SigningKeyUnknown", "does not list the signing key", true},
		{"the servers have no such account", func(l *live) {
			_, other := newSeed(l.T, nkeys.CreateAccount)
			l.account = strings.ReplaceAll(l.account, l.system.AccountID+"\n", other+"\n")
		}, "AccountUnknown", "the servers have no account", true},
		{"a stranger's operator key", func(l *live) {
			seed, _ := newSeed(l.T, nkeys.CreateOperator)
			l.operatorSecret("operator", "seed", seed, "creds", l.system.SystemCredentials)
		}, "OperatorKeyNotTrusted", "so nothing was changed", false},
		{"a user of another account for the system's", func(l *live) {
			seed, _ := newSeed(l.T, nkeys.CreateUser)
			l.operatorSecret("operator", "seed", l.system.OperatorKey, "creds", bytes.Replace(l.system.SystemCredentials, seedIn(l.system.SystemCredentials), seed, 1))
		}, "SystemUserRefused", "the Secret baleen-operator/operator", false},
		{"the key has a scope", func(l *live) {
			key := signingKeyOf(l)
			l.claims(func(c *natsjwt.AccountClaims) { c.SigningKeys.AddScopedSigner(scope(key, "orders.>")) })
		}, "ScopeMismatch", "scoped is false", true},
		{"the key has no scope", func(l *live) {
			l.account = strings.Replace(l.account, "signingKey: {", "signingKey: {scoped: true, ", 1)
		}, "ScopeMismatch", "scoped is true", true},
		{"the scope needs a tag", func(l *live) {
			key := signingKeyOf(l)
			l.claims(func(c *natsjwt.AccountClaims) {
				c.SigningKeys.AddScopedSigner(scope(key, "{{tag(namespace)}}.{{ tag(stage) }}.>"))
			})
			l.account = strings.Replace(l.account, "signingKey: {", "signingKey: {scoped: true, ", 1)
		}, "ScopeMismatch", "the tag stage", true},
		{"the account has expired", func(l *live) { // servers that start do not load it
			l.claims(func(c *natsjwt.AccountClaims) { c.Expires = l.Now.Add(-time.Hour).Unix() })
		}, "AccountUnknown", "signed anew if it has expired", true},
		{"the account has an auth callout", func(l *live) {
			_, other := newSeed(l.T, nkeys.CreateUser)
			l.claims(func(c *natsjwt.AccountClaims) { c.EnableExternalAuthorization(other) })
		}, "UserRefused", "it has an auth callout", true},
		{"the account admits no connection", func(l *live) {
			l.claims(func(c *natsjwt.AccountClaims) { c.Limits.Conn = 0 })
		}, "UserRefused", "its limits admit no connection", true},
		{"all users are revoked until tomorrow", func(l *live) {
			l.claims(func(c *natsjwt.AccountClaims) { c.RevokeAt(natsjwt.All, l.Now.AddDate(0, 0, 1)) })
		}, "UserRefused", "it revokes all users that are signed up to", true},
		{"all users are revoked until tomorrow, and the key has a scope", func(l *live) {
			key := signingKeyOf(l)
			l.claims(func(c *natsjwt.AccountClaims) {
				c.SigningKeys.AddScopedSigner(scope(key, "orders.>"))
				c.RevokeAt(natsjwt.All, l.Now.AddDate(0, 0, 1))
			})
			l.account = strings.Replace(l.account, "signingKey: {", "signingKey: {scoped: true, ", 1)
		}, "UserRefused", "it revokes all users that are signed up to", true},
		{"the servers are away", func(l *live) { l.system.Stop() }, "ServersUnreachable", "can be reached", false},
		{"no operator, and a key that nobody lists", func(l *live) {
			seed, _ := newSeed(l.T, nkeys.CreateAccount)
			l.secret("commerce-signing", "seed", seed)
			l.account = strings.Replace(l.account, "    operator: {signingKeySecretRef: {name: operator}, systemCredentialsSecretRef: {name: operator}}\n", "", 1)
		}, "UserRefused", "the servers refuse a user signed with the key", true},
		{"reconciled more often than renewed", func(l *live) {
			l.account = strings.Replace(l.account, "  policy:\n", "  policy:\n    minRenewBefore: 9h\n", 1)
		}, "RenewalWindowTooShort", "Kratix reconciles every 10h", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLive(t)
			l.wantReason("Verified", "list its signing key")
			first := l.Apply(user)
			test.break_(l)
			l.wantReason(test.reason, test.words)
			again := l.Apply(strings.Replace(user, "credentials: {", `credentials: {rotate: "1", `, 1))
			switch _, reason, message := again.Ready(); {
			case test.refuted && reason != "AccountRefuted":
				t.Errorf("the user is %s: %s", reason, message)
			case test.refuted && again.Documents() != first.Documents():
				t.Error("what was delivered has changed")
			}
		})
	}
}

// What the account's own limits and the servers refuse is refused before anything is issued,
// and the account says where its policy admits more.
func TestServersBoundThePolicy(t *testing.T) {
	l := newLive(t)
	l.account = strings.Replace(l.account, "  policy:\n", "  policy:\n    allowBearerTokens: true\n    maxJWTBytes: 4096\n", 1)
	l.wantReason("Verified", "the servers take JWTs of 3796 bytes (max_control_line), and spec.policy.maxJWTBytes is 4096: larger ones are refused")
	of := func(spec string) string {
		return "apiVersion: baleen.dev/v1alpha1\nkind: NatsUser\nmetadata: {name: orders, namespace: team-a}\nspec:\n  accountRef: {name: commerce}\n  secret: {name: orders-nats}\n  placement: {matchLabels: {environment: prod}}\n" + spec
	}
	want := func(request, reason, words string) {
		t.Helper()
		if _, got, message := l.Apply(request).Ready(); got != reason || !strings.Contains(message, words) {
			t.Errorf("it is %s: %s, want %s with %q", got, message, reason, words)
		}
	}
	bearer := of("  permissions: {publish: {allow: [orders.a]}}\n  bearerToken: true\n")
	want(bearer, "Delivered", "")
	large := of("  permissions: {publish: {allow: [" + many(133, "orders.some.#") + "]}}\n")
	want(strings.NewReplacer("{name: orders, ", "{name: large, ", "orders-nats", "large-nats").Replace(large), "GrantTooLarge", "and the account allows 3796")

	l.claims(func(c *natsjwt.AccountClaims) { c.Limits.DisallowBearer = true })
	l.wantReason("Verified", "the account's own limits refuse bearer tokens")
	want(bearer, "Delivered", "nobody can connect with a bearer token, which the account's own limits refuse") // as it was issued
	want(strings.Replace(bearer, "orders.a", "orders.b", 1), "GrantRefused", "eu-1 gets no such credential: nobody can connect with a bearer token")
}

// Nothing is issued, and nothing is let go of, for an account that nobody has found: with
// servers that do not answer it may be any account, and any key.
func TestAccountIsFoundFirst(t *testing.T) {
	user := example(t, "nats-user")
	rotated := strings.Replace(user, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1)
	away := func(l *live) string { return strings.ReplaceAll(l.account, l.system.URL(), "nats://127.0.0.1:1") }
	for name, wrong := range map[string]func(*live) string{
		"another account": func(l *live) string {
			_, other := newSeed(l.T, nkeys.CreateAccount)
			return strings.ReplaceAll(away(l), l.system.AccountID+"\n", other+"\n")
		},
		"another key": func(l *live) string {
			seed, _ := newSeed(l.T, nkeys.CreateAccount)
			l.secret("commerce-signing", "seed", seed)
			return away(l)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t)
			right, unverified := l.account, func(o scenario.Outcome) {
				t.Helper()
				if _, reason, message := o.Ready(); reason != "AccountUnverified" {
					t.Errorf("the user is %s: %s", reason, message)
				}
			}
			l.Write(txtar.File{Name: "baleen-system/NatsAccount.baleen.dev/commerce.yaml", Data: []byte(l.account)})
			unverified(l.Apply(user)) // before the account has run
			l.wantReason("Verified", "could connect")
			first := l.Apply(user)
			if len(first.Files) == 0 {
				t.Fatalf("nothing is delivered: %s", first.Stderr)
			}
			l.account = wrong(l)
			l.wantReason("ServersUnreachable", "")
			for range 2 {
				again := l.Apply(rotated)
				if unverified(again); again.Documents() != first.Documents() {
					t.Errorf("what was delivered has changed to\n%s", again.Documents())
				}
				l.wantReason("ServersUnreachable", "")
			}
			l.account = right
			l.secret("commerce-signing", "seed", l.system.SigningKey)
			unverified(l.Apply(user)) // it may have changed meanwhile
			l.wantReason("Verified", "could connect")
			if last := l.Apply(user); last.Documents() != first.Documents() {
				t.Errorf("what was delivered has changed to\n%s", last.Documents())
			}
			claims, err := l.system.Account(l.system.AccountID)
			if err != nil || len(claims.Revocations) > 0 {
				t.Errorf("revoked are %v (%v)", claims.Revocations, err)
			}
		})
	}
}

func seedIn(creds []byte) []byte {
	pair, _ := nkeys.ParseDecoratedNKey(creds)
	seed, _ := pair.Seed()
	return seed
}

func signingKeyOf(l *live) string {
	pair, _ := nkeys.FromSeed(l.system.SigningKey)
	public, _ := pair.PublicKey()
	return public
}

// A queued revocation is carried out once, is put back when somebody undoes it, and
// is taken out when it has no use any more. What others revoked stays.
func TestRevocations(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	l.claims(func(c *natsjwt.AccountClaims) { c.RevokeAt("UFOREIGN", l.Now) })
	user := example(t, "nats-user")
	l.Apply(user)
	rotated := strings.Replace(user, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1)
	if o := l.Apply(rotated); !strings.Contains(fmt.Sprint(o.Status["message"]), "waiting for NatsAccount commerce to revoke 2 former credentials") {
		t.Errorf("the status says %s", o.Status["message"])
	}
	revocations := func() (ours int, foreign bool, id string) {
		claims, err := l.system.Account(l.system.AccountID)
		if err != nil {
			t.Fatal(err)
		}
		for user := range claims.Revocations {
			if user == "UFOREIGN" {
				foreign = true
			} else {
				ours++
			}
		}
		return ours, foreign, claims.ID
	}
	l.wantReason("Verified", "")
	ours, foreign, pushed := revocations()
	if ours != 2 || !foreign {
		t.Errorf("%d are revoked, the foreign one is there: %t", ours, foreign)
	}
	if l.wantReason("Verified", ""); true {
		if _, _, id := revocations(); id != pushed {
			t.Error("a run with nothing to do pushed the account")
		}
	}
	l.claims(func(c *natsjwt.AccountClaims) { c.Revocations = nil })
	l.wantReason("Verified", "")
	if ours, _, _ := revocations(); ours != 2 {
		t.Errorf("after somebody undid them %d are revoked", ours)
	}
	l.Apply(rotated)
	l.Now = l.Now.Add(31 * 24 * time.Hour)
	l.wantReason("Verified", "")
	if ours, _, _ := revocations(); ours != 0 {
		t.Errorf("after their expiry %d are revoked", ours)
	}
}

// What is queued stays queued while it cannot be revoked, whatever is wrong, and the
// account on the servers is left alone; once that is mended it is revoked.
func TestQueuedUntilMended(t *testing.T) {
	for _, test := range []struct {
		name        string
		break_, end func(*live)
		reason      string
	}{
		{"the servers are away", func(l *live) { l.system.Stop() }, func(l *live) {
			if err := l.system.Start(true); err != nil {
				l.Fatal(err)
			}
		}, "ServersUnreachable"},
		{"a stranger's operator key", func(l *live) {
			seed, _ := newSeed(l.T, nkeys.CreateOperator)
			l.operatorSecret("operator", "seed", seed, "creds", l.system.SystemCredentials)
		}, func(l *live) {
			l.operatorSecret("operator", "seed", l.system.OperatorKey, "creds", l.system.SystemCredentials)
		}, "OperatorKeyNotTrusted"},
		{"a signing key that the account does not list", func(l *live) {
			seed, _ := newSeed(l.T, nkeys.CreateAccount)
			l.secret("commerce-signing", "seed", seed)
		}, func(l *live) { l.secret("commerce-signing", "seed", l.system.SigningKey) }, "SigningKeyUnknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLive(t)
			l.wantReason("Verified", "")
			user := example(t, "nats-user")
			l.Apply(user)
			l.Apply(strings.Replace(user, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1))
			before, err := l.system.Account(l.system.AccountID)
			if err != nil {
				t.Fatal(err)
			}
			test.break_(l)
			l.wantReason(test.reason, "2 credentials are still to be revoked")
			after, err := l.system.Account(l.system.AccountID)
			if err != nil || after.ID != before.ID {
				t.Errorf("the account was pushed: %v", err)
			}
			test.end(l)
			l.wantReason("Verified", "")
			l.wantBooks()
			if after, err := l.system.Account(l.system.AccountID); err != nil || len(after.Revocations) != 2 {
				t.Errorf("once that is mended %v are revoked: %v", after.Revocations, err)
			}
		})
	}
}

// Somebody who revokes a user with nsc gets it replaced, and not for no reason.
func TestRevokedBehindOurBack(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	l.Apply(user)
	current := func() *ledger.Record {
		all, err := ledger.Store{Client: l.Client}.All(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatal(len(all), err)
		}
		return all[0].Current("eu-1")
	}
	victim := current().User
	l.claims(func(c *natsjwt.AccountClaims) { c.RevokeAt(victim, l.Now.Add(time.Minute)) })
	l.wantReason("Verified", "")
	stored, err := l.Client.Get(t.Context(), platform.NatsUser, "team-a", "orders")
	if err != nil || stored.GetLabels()["kratix.io/manual-reconciliation"] != "true" {
		t.Errorf("the request is not asked to run: %v %v", stored.GetLabels(), err)
	}
	l.Apply(user)
	if r := current(); r.User == victim || r.Reason != "DeletedAtProvider" || r.Generation != 2 {
		t.Errorf("eu-1 has %+v", r)
	}

	// What asks for too much gets nothing new, and its status tells whom that hurts.
	victim = current().User
	l.claims(func(c *natsjwt.AccountClaims) { c.RevokeAt(victim, l.Now.Add(time.Minute)) })
	l.wantReason("Verified", "")
	refused := l.Apply(strings.Replace(user, "orders.>", "payments.>", 1))
	_, reason, message := refused.Ready()
	if reason != "NotAdmitted" || !strings.Contains(message, "; until that is mended nothing takes the place of the credentials that somebody has revoked, on eu-1") {
		t.Errorf("the refused request says %s: %s", reason, message)
	}
	l.Apply(user)
	if r := current(); r.Reason != "DeletedAtProvider" || r.Generation != 3 {
		t.Errorf("after it was mended eu-1 has %+v", r)
	}
}

// An account that is deleted revokes what is queued, and its users say that it is
// gone while their credentials stay.
func TestAccountIsDeleted(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	l.Apply(user)
	rotated := strings.Replace(user, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1)
	delivered := l.Apply(rotated)
	if o := l.Delete(l.account); o.Err != nil {
		t.Fatal(o.Err, o.Stderr)
	}
	claims, err := l.system.Account(l.system.AccountID)
	if err != nil || len(claims.Revocations) != 2 {
		t.Errorf("%d are revoked, %v", len(claims.Revocations), err)
	}
	after := l.Reconcile(platform.NatsUser, "team-a", "orders")
	if _, reason, _ := after.Ready(); reason != "AccountNotFound" || after.Documents() != delivered.Documents() {
		t.Errorf("the user is %s, its documents stay: %t", reason, after.Documents() == delivered.Documents())
	}
	if o := l.Delete(user); o.Err == nil || !strings.Contains(o.Stderr, "NatsAccount commerce of NatsUser team-a/orders is gone") {
		t.Errorf("its deletion says %v: %s", o.Err, o.Stderr)
	}
	l.Reconcile(platform.NatsUser, "team-a", "orders")
	l.Apply(rotated + "  deletionPolicy: Retain\n")
	if o := l.Delete(user); o.Err != nil {
		t.Errorf("with deletionPolicy: Retain its deletion says %v: %s", o.Err, o.Stderr)
	}
}

// An account whose servers are away is not deleted while something is queued: nobody
// else would revoke it. With nothing queued they need not be there.
func TestAccountIsNotDeletedBeforeItHasRevoked(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	l.Apply(user)
	l.Apply(strings.Replace(user, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1))
	l.system.Stop()
	if o := l.Delete(l.account); o.Err == nil || !strings.Contains(o.Stderr, "2 credentials that are to be revoked are not") {
		t.Errorf("with the servers away it says %v: %s", o.Err, o.Stderr)
	}
	if err := l.system.Start(true); err != nil {
		t.Fatal(err)
	}
	l.wantReason("Verified", "") // revokes them
	l.wantBooks()
	l.system.Stop()
	if o := l.Delete(l.account); o.Err != nil {
		t.Errorf("with nothing queued it says %v: %s", o.Err, o.Stderr)
	}
}

// What a policy admits is what a server would let through, and not only what the
// words say.
func TestAdmission(t *testing.T) {
	for _, test := range []struct {
		name, old, new string // in the account
		permissions    string // of the request
		words          string // of the refusal; empty where it is admitted
	}{
		{"answers", "", "", "publish: {allow: [orders.a]}, allowResponses: {max: 1}", ""},
		{"more answers than the policy has", "", "", "allowResponses: {max: 2}", "asks for 2 within 5s, and the account allows 1 within 5s"},
		{"answers for longer", "", "", "allowResponses: {ttl: 1m}", "asks for 1 within 1m"},
		{"answers, and the policy says nothing of them", "    allowResponses: {}\n", "", "allowResponses: {}", "spec.permissions.allowResponses is not allowed"},
		{"one token alone", `subscribe: ["orders.>"`, `subscribe: ["orders.*"`, `subscribe: {allow: ["orders.*"]}`, ""},
		{"one token, and something deeper beside it", `subscribe: ["orders.>"`, `subscribe: ["orders.*", "orders.eu.public"`,
			`subscribe: {allow: ["orders.*", "orders.eu.public"]}`, `would let the user subscribe to "orders.>"`},
		{"any one token, and inboxes", `subscribe: ["orders.>"`, `subscribe: ["*"`, `subscribe: {allow: ["*", "_INBOX.>"]}`, `would let the user subscribe to ">"`},
		{"both, and what is deeper is allowed anyway", "", "", `subscribe: {allow: ["orders.*", "orders.eu.public"]}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLive(t)
			if !strings.Contains(l.account, test.old) {
				t.Fatalf("the account has no %q", test.old)
			}
			l.account = strings.Replace(l.account, test.old, test.new, 1)
			l.wantReason("Verified", "")
			o := l.Apply("apiVersion: baleen.dev/v1alpha1\nkind: NatsUser\nmetadata: {name: orders, namespace: team-a}\nspec:\n  accountRef: {name: commerce}\n" +
				"  permissions: {" + test.permissions + "}\n  secret: {name: nats}\n  placement: {matchLabels: {environment: prod}}\n")
			_, reason, message := o.Ready()
			if test.words == "" && reason != "Delivered" || test.words != "" && (reason != "NotAdmitted" || !strings.Contains(message, test.words)) {
				t.Errorf("%s: %s", reason, message)
			}
		})
	}
}

// racing has something happen just before the first change of a ledger.
type racing struct {
	platform.Client
	before *func()
}

func (c racing) Update(ctx context.Context, kind platform.Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if do := *c.before; do != nil && strings.HasPrefix(object.GetName(), "ledger-") {
		*c.before = nil
		do()
	}
	return c.Client.Update(ctx, kind, object)
}

// meanwhile runs the account, and has something happen before it writes a ledger.
func (l *live) meanwhile(do func(*ledger.Ledger)) {
	l.Helper()
	store := ledger.Store{Client: l.Client}
	change := func() {
		now, err := store.Get(l.Context(), identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"})
		if err == nil {
			do(now)
			err = store.Save(l.Context(), now)
		}
		if err != nil {
			l.Error(err)
		}
	}
	l.Open = func(func(string) string, func() time.Time) (platform.Client, error) {
		return racing{l.Client, &change}, nil
	}
	defer func() { l.Open = nil }()
	l.wantReason("Verified", "")
	if change != nil {
		l.Error("the account wrote no ledger")
	}
}

// wantBooks looks whether the servers have revoked what the ledger says is, and
// nothing else.
func (l *live) wantBooks() {
	l.Helper()
	claims, err := l.system.Account(l.system.AccountID)
	if err != nil {
		l.Fatal(err)
	}
	all, err := ledger.Store{Client: l.Client}.All(l.Context())
	if err != nil || len(all) != 1 {
		l.Fatal(len(all), err)
	}
	for _, r := range all[0].Records {
		if _, is := claims.Revocations[r.User]; is == r.Revoked.IsZero() {
			l.Errorf("generation %d on %s is %s, revoked: %t; the servers have revoked it: %t", r.Generation, r.Destination, r.State, !r.Revoked.IsZero(), is)
		}
	}
}

// A revocation that is queued while the account's run is under way was in no push
// of that run: it is done in the next.
func TestQueuedMeanwhile(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	l.Apply(user)
	l.Apply(strings.Replace(user, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1))
	l.meanwhile(func(now *ledger.Ledger) { now.Record("eu-1", 2).State = ledger.Retiring })
	l.wantBooks()
	l.wantReason("Verified", "")
	l.wantBooks()
}

// A request that a restore brings back while its credentials are being retired
// keeps them.
func TestRestoredMeanwhile(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	l.Apply(example(t, "nats-user"))
	file := filepath.Join(l.Dir, "team-a", "NatsUser.baleen.dev", "orders.yaml")
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	l.RemoveAll("team-a/NatsUser.baleen.dev")
	l.wantReason("Verified", "") // finds it missing
	l.Now = l.Now.Add(25 * time.Hour)
	l.meanwhile(func(now *ledger.Ledger) {
		l.Write(txtar.File{Name: "team-a/NatsUser.baleen.dev/orders.yaml", Data: kept})
		now.MissingSince = time.Time{} // as its own run does
	})
	l.wantBooks()
	l.wantReason("Verified", "")
	l.wantBooks()
}

// The operator's Secrets are moved as how-to.md says. The condition follows, the account is
// what it was to its users all the while, and nothing of theirs changes.
func TestOperatorSecretsAreMoved(t *testing.T) {
	l := newLive(t)
	keys := []any{"seed", l.system.OperatorKey, "creds", l.system.SystemCredentials}
	former, own := "baleen-system/Secret.core/operator.yaml", "baleen-operator/Secret.core/operator.yaml"
	user := example(t, "nats-user")
	protected := func() string {
		t.Helper()
		l.wantReason("Verified", "trust the operator's")
		stored, err := l.Client.Get(t.Context(), platform.NatsAccount, "baleen-system", "commerce")
		if err != nil {
			t.Fatal(err)
		}
		c := meta.FindStatusCondition(platform.Conditions(stored), "OperatorProtected")
		if c == nil {
			return ""
		}
		if says := strings.Contains(c.Message, "seed of operator, creds of operator"); says != (c.Status == "False") {
			t.Errorf("%s says %q", c.Reason, c.Message)
		}
		return string(c.Status) + " " + c.Reason
	}
	var documents, ledgers string
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"a new installation", func() {}, ""},
		{"as v0.1.0 has it", func() { l.Remove(own); l.secret("operator", keys...) }, "False SecretsToMove"},
		{"copied", func() { l.operatorSecret("operator", keys...) }, "False CopiesToDelete"},
		{"moved", func() { l.Remove(former) }, "True SecretsMoved"},
		{"some time later", func() { l.Now = l.Now.Add(time.Hour) }, "True SecretsMoved"},
		{"something else of that name", func() { l.secret("operator", "other", []byte("x")) }, "True SecretsMoved"},
		{"the wrong way", func() { l.secret("operator", keys...) }, "False CopiesToDelete"},
	} {
		step.do()
		if got := protected(); got != step.want {
			t.Errorf("%s: the condition is %q, want %q", step.name, got, step.want)
		}
		o := l.Apply(user)
		if _, reason, message := o.Ready(); reason != "Delivered" {
			t.Errorf("%s: the user is %s: %s", step.name, reason, message)
		}
		l.Apply(user) // sees that it has arrived
		all, err := ledger.Store{Client: l.Client}.All(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatal(len(all), err)
		}
		now := fmt.Sprintf("%+v", all[0].Records)
		if documents != "" && (o.Documents() != documents || now != ledgers) {
			t.Errorf("%s: the user's documents stay: %t; its ledger was\n%s\nand is\n%s", step.name, o.Documents() == documents, ledgers, now)
		}
		documents, ledgers = o.Documents(), now
	}
}

// A key in the Secret that the account has not looked at yet issues nothing: it may
// be that of another account.
func TestUnverifiedKey(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	first := l.Apply(user)
	seed, _ := newSeed(t, nkeys.CreateAccount)
	l.secret("commerce-signing", "seed", seed)
	again := l.Apply(user)
	if _, reason, _ := again.Ready(); reason != "AccountUnverified" || again.Documents() != first.Documents() {
		t.Errorf("the user is %s, its documents stay: %t", reason, again.Documents() == first.Documents())
	}
	stored, err := l.Client.Get(t.Context(), platform.NatsAccount, "baleen-system", "commerce")
	if err != nil || stored.GetLabels()["kratix.io/manual-reconciliation"] != "true" {
		t.Errorf("the account is not asked to look: %v", err)
	}
}

// An overlay that does not apply revokes nothing, whatever the request asks for.
func TestNothingIsRevokedForWhatCannotBeEmitted(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	l.Apply(user)
	l.Write(txtar.File{Name: "baleen-system/ConfigMap.core/nats-user-overlays.yaml", Data: []byte(
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nats-user-overlays, namespace: baleen-system}\ndata:\n  a.yaml: |\n" +
			"    #@ load(\"@ytt:overlay\", \"overlay\")\n    #@overlay/match by=overlay.subset({\"kind\": \"Ingress\"})\n    ---\n    a: b\n")})
	o := l.Apply(strings.Replace(user, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1))
	if _, reason, message := o.Ready(); reason != "RenderFailed" {
		t.Errorf("the user is %s: %s", reason, message)
	}
	l.wantReason("Verified", "")
	l.wantBooks()
	if claims, _ := l.system.Account(l.system.AccountID); len(claims.Revocations) > 0 {
		t.Errorf("%d are revoked", len(claims.Revocations))
	}
}

// Who rotates without end comes to one, and is renewed all the same: each revoked
// credential has its place in an account's JWT, which is there for all.
func TestRotatesTooOften(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	rotated := func(n int) string {
		return strings.Replace(user, "credentials: {", fmt.Sprintf(`credentials: {rotate: "%d", revokePrevious: Immediately, `, n), 1)
	}
	for n := range 24 {
		if _, reason, message := l.Apply(rotated(n)).Ready(); reason != "Delivered" {
			t.Fatalf("rotation %d: %s: %s", n, reason, message)
		}
	}
	refused := l.Apply(rotated(24))
	if _, reason, message := refused.Ready(); reason != "RotatesTooOften" || !strings.Contains(message, "eu-1 has 24 credentials that have not expired yet") {
		t.Errorf("it is %s: %s", reason, message)
	}
	l.Now = l.Now.Add(25 * 24 * time.Hour)
	renewed := l.Apply(rotated(24))
	if _, reason, message := renewed.Ready(); reason != "Delivered" || renewed.Documents() == refused.Documents() {
		t.Errorf("when it is due it is %s: %s", reason, message)
	}
}

// Whatever a namespace does to take credentials out of use, that comes to an end: what is
// delivered goes on and is renewed, deletions are done, and nobody else is held up. With
// time it may do so again.
func TestChurnIsBounded(t *testing.T) {
	l := newLive(t)
	l.account = strings.Replace(l.account, "    allowResponses: {}\n", "    allowResponses: {}\n    maxFormer: 5\n", 1)
	l.wantReason("Verified", "")
	churns := example(t, "nats-user")
	named := func(namespace, name string) string {
		return strings.NewReplacer("name: orders,", "name: "+name+",", "namespace: team-a", "namespace: "+namespace, "name: orders-nats", "name: "+name).Replace(churns)
	}
	want := func(o scenario.Outcome, reason, words string) string {
		t.Helper()
		if _, got, message := o.Ready(); got != reason || !strings.Contains(message, words) {
			t.Errorf("it is %s: %s; want %s with %q", got, message, reason, words)
		}
		return o.Documents()
	}
	end := func(request string) {
		t.Helper()
		l.Delete(request)
		l.wantReason("Verified", "")
		if o := l.Delete(request); o.Err != nil {
			t.Errorf("its deletion says %v: %s", o.Err, o.Stderr)
		}
	}
	former := func(namespace string) int {
		count, err := churn.Store{Client: l.Client}.Get(t.Context(), "commerce", namespace)
		if err != nil {
			t.Fatal(err)
		}
		return count.Left(l.Now)
	}
	lasting, bystander := named("team-a", "lasting"), named("team-b", "bystander")
	delivered := want(l.Apply(lasting), "Delivered", "")
	want(l.Apply(bystander), "Delivered", "")
	for range 3 { // made and deleted, on two clusters
		want(l.Apply(churns), "Delivered", "")
		end(churns)
	}
	if n := former("team-a"); n != 6 {
		t.Errorf("there are %d former credentials", n)
	}
	o := l.Apply(l.account)
	if text := fmt.Sprint(o.Status["former"], o.Status["message"]); !strings.Contains(text, "map[count:6 namespace:team-a]") || !strings.Contains(text, "1 namespace with 5 former credentials that have not expired, the most that spec.policy.maxFormer admits: team-a") {
		t.Errorf("the account says %s", text)
	}
	const tooMany = "the namespace has 6 former credentials of NatsAccount commerce that have not expired yet, and may have 5"
	if docs := want(l.Apply(churns), "TooManyCredentials", "(FirstIssue): "+tooMany); strings.Contains(docs, "orders-nats") {
		t.Error("it is delivered")
	}
	rotated := strings.Replace(lasting, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1)
	if want(l.Apply(rotated), "TooManyCredentials", "(RotationRequested): "+tooMany) != delivered {
		t.Error("what is delivered does not go on")
	}
	want(l.Apply(strings.Replace(bystander, "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1)), "Delivered", "")
	end(bystander)
	if n := former("team-b"); n != 4 {
		t.Errorf("of another namespace there are %d", n)
	}
	if o := l.Delete(churns); o.Err != nil {
		t.Errorf("the deletion of what is refused says %v: %s", o.Err, o.Stderr)
	}

	// A run that was killed has counted too much, until the account counts anew.
	if err := (churn.Store{Client: l.Client}).Charge(t.Context(), "commerce", "team-a", churn.Days{l.Now.Unix()/(24*60*60) + 3: 7}, 0, l.Now); err != nil {
		t.Fatal(err)
	}
	l.wantReason("Verified", "")
	if n := former("team-a"); n != 6 {
		t.Errorf("counted anew there are %d", n)
	}

	l.Now = l.Now.Add(25 * 24 * time.Hour)
	if want(l.Apply(lasting), "Delivered", "") == delivered {
		t.Error("what is due is not renewed")
	}
	l.Now = l.Now.Add(7 * 24 * time.Hour)
	want(l.Apply(churns), "Delivered", "")
	l.wantReason("Verified", "")
	if n := former("team-a"); n != 0 {
		t.Errorf("a month later there are %d", n)
	}
	end(churns)
	if o := l.Delete(l.account); o.Err != nil {
		t.Fatal(o.Err, o.Stderr)
	}
	if n := former("team-a"); n != 0 {
		t.Errorf("of an account that is gone %d are counted", n)
	}
}

// Where nothing can be revoked, former credentials take no room, and nobody counts them.
func TestChurnWithoutRevocation(t *testing.T) {
	l := newLive(t)
	l.account = strings.NewReplacer("    allowResponses: {}\n", "    allowResponses: {}\n    maxFormer: 1\n", "    operator: {signingKeySecretRef: {name: operator}, systemCredentialsSecretRef: {name: operator}}\n", "").Replace(l.account)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	for range 3 {
		if _, reason, message := l.Apply(user).Ready(); reason != "Delivered" {
			t.Fatalf("it is %s: %s", reason, message)
		}
		if o := l.Delete(user); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	if files, err := filepath.Glob(filepath.Join(l.Dir, "baleen-state", "ConfigMap.core", "churn-*")); err != nil || len(files) > 0 {
		t.Errorf("it is counted: %v, %v", files, err)
	}
}

// What asks for a rotation is kept with each credential, so it is short.
func TestLongRotation(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := example(t, "nats-user")
	first := l.Apply(user)
	for _, value := range []string{x("a", 65), "a b", "\u0085"} {
		t.Run(fmt.Sprintf("%.8q", value), func(t *testing.T) {
			object := scenario.Parse(t, user)
			object.SetAnnotations(map[string]string{"rotate.baleen.dev/eu-1": value})
			o := l.ApplyObject(object)
			if _, reason, message := o.Ready(); reason != "InvalidSpec" || !strings.Contains(message, `the annotation "rotate.baleen.dev/eu-1" is not a word`) || o.Documents() != first.Documents() {
				t.Errorf("%q: %s: %s", value, reason, message)
			}
		})
	}
}

// Nothing is left of a request that never had anything.
func TestNothingIsLeftOfNothing(t *testing.T) {
	l := newLive(t)
	refused := strings.Replace(example(t, "nats-user"), "orders.>", "payments.>", 1)
	l.Apply(refused)
	if o := l.Delete(refused); o.Err != nil {
		t.Fatal(o.Err, o.Stderr)
	}
	if all, err := (ledger.Store{Client: l.Client}).All(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%d ledgers, %v", len(all), err)
	}
}

// A dry run of a first issue signs nothing that would connect.
func TestDryRunSignsNothing(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	before := l.Snapshot()
	l.DryRun = true
	o := l.Apply(example(t, "nats-user"))
	if len(o.Files) == 0 || !maps.Equal(l.Snapshot(), before) {
		t.Errorf("%d documents, the platform is as it was: %t", len(o.Files), maps.Equal(l.Snapshot(), before))
	}
	for name, object := range o.Objects(t) {
		row := object.GetAnnotations()["baleen.dev/credential"]
		if !strings.Contains(row, `"expires":"`+l.Now.Format(time.RFC3339)+`"`) {
			t.Errorf("%s lives on: %s", name, row)
		}
	}
}

// An overlay that leaves nothing to deliver is no success.
func TestNothingRendered(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	l.Write(txtar.File{Name: "baleen-system/ConfigMap.core/nats-user-overlays.yaml", Data: []byte(
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nats-user-overlays, namespace: baleen-system}\ndata:\n  a.yaml: |\n" +
			"    #@ load(\"@ytt:overlay\", \"overlay\")\n    #@overlay/match by=overlay.subset({\"kind\": \"SealedSecret\"})\n    #@overlay/remove\n    ---\n")})
	if _, reason, message := l.Apply(example(t, "nats-user")).Ready(); reason != "NothingRendered" {
		t.Errorf("it is %s: %s", reason, message)
	}
}

// Two hundred clusters fit into one request, and more are refused before anything
// is issued.
func TestManyClusters(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	user := strings.Replace(example(t, "nats-user"), "environment: prod", "fleet: large", 1)
	l.fleet(0, 200)
	first := l.Apply(user)
	if _, reason, message := first.Ready(); reason != "Delivered" || len(first.Files) != 200 {
		t.Fatalf("%s: %s", reason, message)
	}
	if _, reason, message := l.Apply(strings.Replace(user, "credentials: {", `credentials: {rotate: "1", `, 1)).Ready(); reason != "Delivered" {
		t.Errorf("a rotation is %s: %s", reason, message)
	}
	l.fleet(200, 260)
	if o := l.Apply(user); len(o.Files) != 200 {
		t.Errorf("%d clusters have something", len(o.Files))
	} else if _, reason, message := o.Ready(); reason != "LedgerFull" || !strings.Contains(message, "place the request on fewer clusters") {
		t.Errorf("it is %s: %s", reason, message)
	}
}

// fleet adds clusters, each of which has the certificate of eu-1.
func (l *live) fleet(from, to int) {
	l.Helper()
	bundle, err := os.ReadFile(filepath.Join(l.Dir, "baleen-system/ConfigMap.core/sealing-certificates.yaml"))
	if err != nil {
		l.Fatal(err)
	}
	pem := scenario.Parse(l, string(bundle)).Object["data"].(map[string]any)["eu-1"].(string)
	data := map[string]any{}
	for i := from; i < to; i++ {
		name := fmt.Sprintf("c%03d", i)
		data[name] = pem
		l.Write(destinationFile(name, "baleen.dev/destination: "+name+", fleet: large"))
	}
	if _, err := l.Client.Patch(l.Context(), platform.ConfigMap, "baleen-system", "sealing-certificates", map[string]any{"data": data}); err != nil {
		l.Fatal(err)
	}
}

// What Kratix could not store is not issued: with large overlays that is less than the
// ledger has room for. What is delivered goes on, and is renewed.
func TestManyDocuments(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	large := make([]byte, 30<<10)
	_, _ = rand.Read(large)
	l.Write(txtar.File{Name: "baleen-system/ConfigMap.core/nats-user-overlays.yaml", Data: []byte(`apiVersion: v1
kind: ConfigMap
metadata: {name: nats-user-overlays, namespace: baleen-system}
data:
  large.yaml: |
    #@ load("@ytt:overlay", "overlay")
    #@overlay/match by=overlay.subset({"kind": "SealedSecret"})
    ---
    metadata:
      annotations:
        #@overlay/match missing_ok=True
        example.com/large: ` + base64.StdEncoding.EncodeToString(large) + "\n")})
	user := strings.Replace(example(t, "nats-user"), "environment: prod", "fleet: large", 1)
	l.fleet(0, 50)
	first := l.Apply(user)
	served := len(first.Files)
	if _, reason, message := first.Ready(); reason != "OutputTooLarge" || served < 20 || served > 40 || !strings.Contains(message, "in one object, of at most 1400 KiB") {
		t.Fatalf("%d clusters are served, and it is %s: %s", served, reason, message)
	}
	book, err := ledger.Store{Client: l.Client}.Get(t.Context(), identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"})
	if err != nil || len(book.Records) != served {
		t.Errorf("%d are issued, and %d delivered: %v", len(book.Records), served, err)
	}
	works, err := l.Client.List(t.Context(), platform.Work, "team-a", nil)
	if err != nil || len(works) != 1 {
		t.Fatalf("there are %d Works: %v", len(works), err)
	}
	data, err := works[0].MarshalJSON()
	if size := len(data); err != nil || size > kratix.MaxWork || size < kratix.MaxWork-100<<10 {
		t.Errorf("the Work has %d bytes, and may have %d: %v", size, kratix.MaxWork, err)
	}
	l.Now = l.Now.Add(25 * 24 * time.Hour)
	renewed := l.Apply(user)
	if len(renewed.Files) != served || renewed.Documents() == first.Documents() {
		t.Errorf("when they are due %d clusters are served", len(renewed.Files))
	}
}

// A ledger that rotations have filled refuses wishes, and no renewal; what has expired makes
// room again.
func TestRotationsFillALedger(t *testing.T) {
	t.Parallel()
	s := scenario.New(t, platformDir, stages...)
	bundle, err := os.ReadFile(filepath.Join(s.Dir, "baleen-system/ConfigMap.core/sealing-certificates.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pem := scenario.Parse(t, string(bundle)).Object["data"].(map[string]any)["eu-1"].(string)
	data := map[string]any{}
	for i := range 100 {
		name := fmt.Sprintf("c%03d", i)
		data[name] = pem
		s.Write(destinationFile(name, "baleen.dev/destination: "+name+", environment: prod, fleet: large"))
	}
	if _, err := s.Client.Patch(t.Context(), platform.ConfigMap, "baleen-system", "sealing-certificates", map[string]any{"data": data}); err != nil {
		t.Fatal(err)
	}
	rotated := func(n int) string {
		user := strings.Replace(example(t, "nats-user"), "environment: prod", "fleet: large", 1)
		return strings.Replace(user, "credentials: {", fmt.Sprintf(`credentials: {rotate: "%d", `, n), 1)
	}
	want := func(n int, why string) scenario.Outcome {
		t.Helper()
		o := s.Apply(rotated(n))
		if _, reason, message := o.Ready(); reason != why || len(o.Files) != 100 {
			t.Fatalf("on %s the rotation %d has %d files, and is %s: %s", s.Now, n, len(o.Files), reason, message)
		}
		return o
	}
	n := 0
	for full := false; !full; n++ {
		_, reason, _ := s.Apply(rotated(n)).Ready()
		full = reason == "LedgerFull"
		if s.Now = s.Now.AddDate(0, 0, 1); n > 30 {
			t.Fatal("the ledger is never full: what is tried says nothing")
		}
	}
	last := want(n-1, "LedgerFull")
	for range 15 {
		s.Now = s.Now.AddDate(0, 0, 4)
		o := s.Apply(rotated(n - 1))
		expires, err := time.Parse(time.RFC3339, fmt.Sprint(o.Status["expires"]))
		if err != nil || !expires.After(s.Now) {
			t.Fatalf("on %s a credential has expired on %s: %v", s.Now, expires, o.Status["message"])
		}
	}
	if again := want(n-1, "Delivered"); again.Documents() == last.Documents() {
		t.Error("nothing was renewed")
	}
}

// Kratix forgets a run that it was asked for, where it dies before it makes the Job,
// and never runs the request by itself again: its credential would not be renewed.
func TestForgottenRuns(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	l.Apply(example(t, "nats-user"))
	l.wantReason("Verified", "")
	forget := func(kind platform.Kind, namespace, name string) {
		t.Helper()
		o, err := l.Client.Get(t.Context(), kind, namespace, name)
		if err != nil {
			t.Fatal(err)
		}
		conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conditions {
			if c := c.(map[string]any); c["type"] == "ConfigureWorkflowCompleted" {
				c["status"], c["reason"], c["lastTransitionTime"] = "False", "PipelinesInProgress", l.Now.Format(time.RFC3339)
			}
		}
		if err := unstructured.SetNestedSlice(o.Object, conditions, "status", "conditions"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Client.UpdateStatus(t.Context(), kind, o); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(kind platform.Kind, namespace, name string) bool {
		t.Helper()
		o, err := l.Client.Get(t.Context(), kind, namespace, name)
		if err != nil {
			t.Fatal(err)
		}
		return o.GetLabels()[kratix.LabelManualReconciliation] == "true"
	}

	forget(platform.NatsUser, "team-a", "orders")
	l.wantReason("Verified", "")
	if asked(platform.NatsUser, "team-a", "orders") {
		t.Error("a run that has just begun is asked for again")
	}
	l.Now = l.Now.Add(time.Hour)
	l.wantReason("Verified", "")
	if !asked(platform.NatsUser, "team-a", "orders") {
		t.Error("the account does not ask for the run of a user that Kratix has forgotten")
	}
	forget(platform.NatsAccount, "baleen-system", "commerce")
	l.Now = l.Now.Add(time.Hour)
	l.Apply(example(t, "nats-user"))
	if !asked(platform.NatsAccount, "baleen-system", "commerce") {
		t.Error("a user does not ask for the run of its account that Kratix has forgotten")
	}

	if asked(platform.NatsUser, "team-a", "orders") {
		t.Fatal("the user is asked to run before its run is forgotten again")
	}
	forget(platform.NatsUser, "team-a", "orders")
	l.Now = l.Now.Add(time.Hour)
	l.system.Stop()
	l.wantReason("ServersUnreachable", "")
	if !asked(platform.NatsUser, "team-a", "orders") {
		t.Error("an account whose servers are away does not ask for the run: issuing needs none of them")
	}
}

// An account that is only tried, in a dry run of Kratix's, gives nobody a credential: its
// policy was granted by nobody, and when the try is over nobody could revoke anything.
func TestTriedAccountGivesNothing(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	account, err := l.Client.Get(t.Context(), platform.NatsAccount, "baleen-system", "commerce")
	if err != nil {
		t.Fatal(err)
	}
	try := account.DeepCopy()
	try.Object["metadata"] = map[string]any{"namespace": "baleen-system", "name": "kratix-dry-run-wider-1a2b3",
		"labels": map[string]any{kratix.LabelDryRun: "true", kratix.LabelDryRunOwner: "wider"}}
	if err := unstructured.SetNestedStringSlice(try.Object, []string{"payments.>"}, "spec", "policy", "publish"); err != nil {
		t.Fatal(err)
	}
	made, err := l.Client.Create(t.Context(), platform.NatsAccount, try)
	if err != nil {
		t.Fatal(err)
	}
	made.Object["status"] = account.Object["status"] // that of the account it is about, as Kratix writes it
	if _, err := l.Client.UpdateStatus(t.Context(), platform.NatsAccount, made); err != nil {
		t.Fatal(err)
	}
	user := strings.NewReplacer(`publish: {allow: ["orders.>"]}`, `publish: {allow: ["payments.>"]}`, "{name: commerce}", "{name: kratix-dry-run-wider-1a2b3}").Replace(example(t, "nats-user"))
	if ready, reason, message := l.Apply(user).Ready(); ready != "False" || reason != "AccountNotFound" {
		t.Errorf("it is %s, %s: %s", ready, reason, message)
	}
}

// A deletion that somebody holds still, by the label with which Kratix pauses a request,
// is not carried out by its account as one that is stuck.
func TestHeldDeletionWaits(t *testing.T) {
	for _, held := range []bool{true, false} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			l := newLive(t)
			l.wantReason("Verified", "")
			l.Apply(example(t, "nats-user"))
			metadata := map[string]any{"finalizers": []any{"kratix"}}
			if held {
				metadata["labels"] = map[string]any{kratix.LabelPaused: "true"}
			}
			if _, err := l.Client.Patch(t.Context(), platform.NatsUser, "team-a", "orders", map[string]any{"metadata": metadata}); err != nil {
				t.Fatal(err)
			}
			if err := l.Client.Delete(t.Context(), platform.NatsUser, "team-a", "orders", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
			l.Now = l.Now.Add(11 * time.Minute)
			l.wantReason("Verified", "")
			got, err := ledger.Store{Client: l.Client}.Get(t.Context(), identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"})
			if err != nil || (got.Tombstone == nil) != held {
				t.Errorf("the ledger has the tombstone %v: %v", got.Tombstone, err)
			}
		})
	}
}
