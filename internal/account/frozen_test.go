package account

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// frozen are accounts as v0.1.0 admitted them, with the terms that it stored with
// each of their users. They are literals, because other ones would have every user
// of such an account run: whatever changes, these stay.
var frozen = []struct {
	name, spec    string
	account       provider.Account // what is not in its spec
	terms, userOf string
}{
	{"jwt, the least", `
provider: jwt
jwt: {accountID: AACC3MUL3OWOTHZEDKQAFGGQMFKFL7YCULECIZM553BEVNXH7F4S764O, signingKey: {secretRef: {name: commerce-signing}}}
`, provider.Account{SigningKey: "S1"}, "d9e97537362a75a7", "team-a.orders.eu-1.g3"},
	{"jwt, all fields", `
provider: jwt
jwt:
  accountID: AACC3MUL3OWOTHZEDKQAFGGQMFKFL7YCULECIZM553BEVNXH7F4S764O
  signingKey: {secretRef: {name: commerce-signing, key: k}, scoped: true, requiredTags: [stage]}
  servers: ["nats://127.0.0.1:4222", "tls://nats.example.com"]
  operator:
    signingKeySecretRef: {name: operator-signing}
    systemCredentialsSecretRef: {name: system-credentials}
policy:
  namespaces: ["team-*"]
  publish: ["orders.>", "{{namespace}}.>"]
  subscribe: ["orders.>", "_INBOX.>"]
  maxTTL: 720h
  minRenewBefore: 24h
  connectionTypes: [MQTT, STANDARD]
  allowResponses: {}
  allowBearerTokens: true
  tags: ["stage:*"]
  maxJWTBytes: 3000
placement:
  allowed: [{matchLabels: {environment: prod, region: eu}}, {}]
`, provider.Account{SigningKey: "S2", Scoped: true}, "4dc391c405f7ab80", "team-a.orders.eu-1.g3"},
	{"synadia, the least", `
provider: synadia
synadia: {accountID: 2abc, platform: eu-platform, tokenSecretRef: {name: synadia}}
`, provider.Account{SigningKey: "group", ProviderAccount: "2abc", ID: "A1"}, "8ca8d719fe0db654", "team-a.orders.eu-1.g3.94c6482a"},
	{"synadia, never seen", `
provider: synadia
synadia: {system: prod, account: commerce, platform: eu-platform, tokenSecretRef: {name: synadia}}
`, provider.Account{}, "da661522ac82f720", "team-a.orders.eu-1.g3.94c6482a"},
	{"synadia, all fields", `
provider: synadia
synadia:
  baseURL: https://synadia.example.com
  system: prod
  account: commerce
  signingKeyGroup: Default
  requiredTags: [stage]
  platform: eu-platform
  tokenSecretRef: {name: synadia, key: t}
  servers: ["tls://connect.ngs.global"]
  verifyInterval: 12h
  driftPolicy: Correct
  budget: 30s
policy: {namespaces: [team-a], allowResponses: {max: 3, ttl: 1m}}
`, provider.Account{SigningKey: "group", ProviderAccount: "2abc", ID: "A1", Scoped: true}, "9a59eb7cd4dce1c3", "team-a.orders.eu-1.g3.94c6482a"},
}

func opened(t *testing.T, account provider.Account, spec string) *Account {
	t.Helper()
	a := &Account{NatsAccount: &v1alpha1.NatsAccount{}, Opened: provider.Opened{Account: account}}
	a.Name, a.Namespace = "commerce", Namespace
	if err := yaml.UnmarshalStrict([]byte(spec), &a.Spec); err != nil {
		t.Fatal(err)
	}
	a.Spec.Default()
	if err := a.Spec.Validate(); err != nil {
		t.Fatal(err)
	}
	return a
}

// An upgrade has no user run because of its account, and calls no user otherwise.
func TestTermsAndNamesAreFrozen(t *testing.T) {
	orders := identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"}
	for _, test := range frozen {
		t.Run(test.name, func(t *testing.T) {
			a := opened(t, test.account, test.spec)
			if got := a.Terms(); got != test.terms {
				t.Errorf("terms %s, and v0.1.0 stored %s:\n%s", got, test.terms, specForm.Bytes(a.Spec))
			}
			if got := a.UserName(orders, "eu-1", 3); got != test.userOf {
				t.Errorf("the user is called %s, and v0.1.0 made %s", got, test.userOf)
			}
		})
	}
}

// A field that a later version adds to the spec of an account changes no terms.
func TestLaterFieldChangesNoTerms(t *testing.T) {
	for _, test := range frozen {
		t.Run(test.name, func(t *testing.T) {
			spec := opened(t, test.account, test.spec).Spec
			for _, later := range fingerprinttest.WithLaterField(spec) {
				if specForm.Digest(later.Unset) != specForm.Digest(spec) {
					t.Errorf("a field added to %q changes them: %s", later.Struct, specForm.Bytes(later.Unset))
				}
			}
		})
	}
}

// Whatever the platform team changes in an account changes its terms.
func TestEveryFieldIsInTheTerms(t *testing.T) {
	terms := func(spec v1alpha1.NatsAccountSpec) string {
		return (&Account{NatsAccount: &v1alpha1.NatsAccount{Spec: spec}}).Terms()
	}
	for _, change := range fingerprinttest.Changes(v1alpha1.NatsAccountSpec{}) {
		t.Run(change.Field, func(t *testing.T) {
			if terms(change.Value) == terms(v1alpha1.NatsAccountSpec{}) {
				t.Error("it makes no difference")
			}
		})
	}
	was := Account{NatsAccount: &v1alpha1.NatsAccount{Spec: v1alpha1.NatsAccountSpec{Policy: v1alpha1.Policy{MaxJWTBytes: 3500}}}, Opened: provider.Opened{Account: provider.Account{ProviderAccount: "account", ID: "A", SigningKey: "group"}}}
	for name, change := range map[string]func(*Account){
		"signing key":        func(a *Account) { a.SigningKey = "other" },
		"provider's account": func(a *Account) { a.ProviderAccount = "other" },
		"public key":         func(a *Account) { a.ID = "B" },
		"scope":              func(a *Account) { a.Scoped = true },
		"name in the scope":  func(a *Account) { a.NameInScope = true },
		"bearer tokens":      func(a *Account) { a.NoBearer = true },
		"size of JWTs":       func(a *Account) { a.MaxJWTBytes = 3499 },
	} {
		t.Run(name, func(t *testing.T) {
			is := was
			if change(&is); is.Terms() == was.Terms() {
				t.Error("it makes no difference")
			}
		})
	}
	is := was
	if is.MaxJWTBytes = 3500; is.Terms() != was.Terms() {
		t.Error("servers that take what the policy admits make a difference")
	}
}

// Every struct of a spec has its line in the form, so that a field that is added to it
// later changes no terms.
func TestEveryStructHasAForm(t *testing.T) {
	if missing := fingerprinttest.WithoutForm[v1alpha1.NatsAccountSpec](specForm); len(missing) > 0 {
		t.Errorf("specForm has no entry for %q: name the keys that it has now", missing)
	}
}
