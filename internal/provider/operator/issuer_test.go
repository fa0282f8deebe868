package operator

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
	"github.com/baleen-platform/baleen/internal/natslocal/natstest"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/providertest"
	"github.com/baleen-platform/baleen/internal/sysaccount"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// fixture is an issuer for the account of servers, which revoke by the account.
func fixture(t *testing.T) providertest.Fixture {
	system := natstest.Start(t)
	account := func() *natsjwt.AccountClaims {
		claims, err := system.Account(system.AccountID)
		if err != nil {
			t.Fatal(err)
		}
		return claims
	}
	open := func(seed []byte) *Issuer {
		i, err := New(system.AccountID, seed, providertest.MaxBytes)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	var gone []provider.Departure
	return providertest.Fixture{
		Issuer: open(system.SigningKey), AccountID: system.AccountID, NATS: system,
		Retire: func(identity provider.Identity, expires time.Time) error {
			gone = append(gone, provider.Departure{Identity: identity, Expires: expires})
			claims := account()
			_, missing := tidy(claims, gone, time.Now())
			for _, d := range missing {
				claims.RevokeAt(d.User, d.Expires)
			}
			return system.Push(claims)
		},
		Outside: func() string { return account().String() },
		Scoped: func(template natsjwt.UserPermissionLimits) provider.Issuer {
			pair, _ := nkeys.CreateAccount()
			seed, _ := pair.Seed()
			scope := natsjwt.NewUserScope()
			scope.Key, _ = pair.PublicKey()
			scope.Role, scope.Template = "team", template
			claims := account()
			claims.SigningKeys.AddScopedSigner(scope)
			if err := system.Push(claims); err != nil {
				t.Fatal(err)
			}
			return open(seed)
		},
	}
}

func TestConformance(t *testing.T) { providertest.Run(t, fixture) }

// account is the account of servers, with its operator's signing key.
func account(t *testing.T) providertest.Account {
	system := natstest.Start(t)
	values := map[string][]byte{"signing": system.SigningKey, "operator": system.OperatorKey, "system": system.SystemCredentials}
	setting := func(id string) provider.Setting {
		a := &v1alpha1.NatsAccount{}
		a.Spec.Provider, a.Spec.Policy.MaxJWTBytes = v1alpha1.ProviderJWT, providertest.MaxBytes
		a.Spec.JWT = &v1alpha1.JWT{
			AccountID: id, SigningKey: v1alpha1.SigningKey{SecretRef: v1alpha1.SecretRef{Name: "signing"}}, Servers: []string{system.URL()},
			Operator: &v1alpha1.Operator{SigningKeySecretRef: v1alpha1.SecretRef{Name: "operator"}, SystemCredentialsSecretRef: v1alpha1.CredentialsRef{Name: "system"}},
		}
		return provider.Setting{
			NatsAccount: a, Now: providertest.Now(),
			Network: provider.Network{Servers: func(urls []string, authorities string) provider.Servers {
				return sysaccount.Servers{URLs: urls, CA: authorities}
			}},
			Secret: func(_ context.Context, ref v1alpha1.SecretRef) ([]byte, error) { return values[ref.Name], nil },
			OperatorSecret: func(_ context.Context, ref v1alpha1.SecretRef) ([]byte, string, error) {
				return values[ref.Name], "operator/" + ref.Name, nil
			},
		}
	}
	claims := func() *natsjwt.AccountClaims {
		c, err := system.Account(system.AccountID)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	_, nowhere := newKey(t, nkeys.CreateAccount)
	return providertest.Account{
		OpenIssuer: OpenIssuer, OpenAdministrator: OpenAdministrator, Setting: setting(system.AccountID), Missing: setting(nowhere), NATS: system, ID: system.AccountID,
		Undo: func(user string) error {
			c := claims()
			c.ClearRevocation(user)
			return system.Push(c)
		},
		Outside: func() string { return claims().String() },
	}
}

func TestAdministratorConformance(t *testing.T) { providertest.RunAdministrator(t, account) }

// A seed of the wrong kind is named by its kind, and never shown.
func TestSeeds(t *testing.T) {
	account, _ := nkeys.CreateAccount()
	id, _ := account.PublicKey()
	identitySeed, _ := account.Seed()
	seed := func(create func() (nkeys.KeyPair, error)) []byte {
		pair, _ := create()
		seed, _ := pair.Seed()
		return seed
	}
	good := seed(nkeys.CreateAccount)
	for _, test := range []struct {
		name string
		seed []byte
		want string
	}{
		{"a signing key", good, ""},
		{"with white space around it", append([]byte("\n "), append(good, '\n')...), ""},
		{"the identity key", identitySeed, "belongs offline"},
		{"a user's", seed(nkeys.CreateUser), "the seed of a user"},
		{"an operator's", seed(nkeys.CreateOperator), "the seed of an operator"},
		{"a server's", seed(nkeys.CreateServer), "the seed of a server"},
		{"cut off", good[:30], "not a seed"},
		{"nothing", nil, "not a seed"},
		{"a public key", []byte(id), "not a seed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(id, test.seed, 3500)
			if test.want == "" && err == nil {
				return
			}
			if err == nil || test.want == "" || !strings.Contains(err.Error(), test.want) || len(test.seed) > 0 && strings.Contains(err.Error(), string(test.seed)) {
				t.Errorf("%s: %v", test.name, err)
			}
		})
	}
}

// The order of a list changes nothing, its content does.
func TestDigest(t *testing.T) {
	a := provider.Grant{Publish: provider.Subjects{Allow: []string{"a", "b"}}}
	b := provider.Grant{Publish: provider.Subjects{Allow: []string{"b", "a"}}}
	if a.Digest() != b.Digest() || a.Publish.Allow[0] != "a" || b.Publish.Allow[0] != "b" {
		t.Error("the order of subjects changes the digest, or making one changes the order")
	}
	seen := map[string]bool{}
	for _, g := range []provider.Grant{
		{}, a, {Subscribe: a.Publish}, {Publish: provider.Subjects{Deny: []string{"a", "b"}}}, {Scoped: true}, {Responses: &provider.Responses{Max: 1}},
		{Subscriptions: 1}, {Payload: 1}, {ConnectionTypes: []string{"MQTT"}}, {SourceCIDRs: []string{"10.0.0.0/8"}}, {Times: []provider.Range{{Start: "a"}}},
		{TimeZone: "UTC"}, {Tags: []string{"a"}}, {Bearer: true},
	} {
		if seen[g.Digest()] {
			t.Errorf("%+v has the digest of another grant", g)
		}
		seen[g.Digest()] = true
	}
}

// Revise puts in what is missing, takes out what has expired, and leaves alone what
// is not Baleen's.
func TestTidy(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	account := natsjwt.NewAccountClaims("A")
	account.RevokeAt("foreign", now.Add(-time.Hour))
	account.RevokeAt("expired", now.Add(-time.Minute))
	account.RevokeAt("early", now)
	leaves := func(user string, in time.Duration, change ...func(*provider.Departure)) provider.Departure {
		d := provider.Departure{Identity: provider.Identity{User: user}, Expires: now.Add(in), Urgency: provider.Rotated}
		for _, do := range change {
			do(&d)
		}
		return d
	}
	again := func(d *provider.Departure) { d.Again = true }
	is := func(u provider.Urgency) func(*provider.Departure) {
		return func(d *provider.Departure) { d.Urgency = u }
	}
	going := []provider.Departure{
		leaves("expired", -time.Second), leaves("gone", -time.Hour), leaves("b", 2*time.Hour), leaves("a", 2*time.Hour), leaves("early", time.Hour), leaves("last", 3*time.Hour),
		leaves("lost", 9*time.Hour, is(provider.Lost)), leaves("deleted", time.Minute, is(provider.AtOnce)), leaves("narrowed", 2*time.Minute, is(provider.Narrowed)),
		leaves("again", time.Second, again, is(provider.Lost)),
	}
	changed, missing := tidy(account, going, now)
	var order []string
	for _, d := range missing {
		order = append(order, d.User)
		account.RevokeAt(d.User, d.Expires)
	}
	if got := strings.Join(order, " "); !changed || got != "again deleted narrowed last a b early lost" {
		t.Errorf("missing are %s; something has expired: %t", got, changed)
	}
	if _, has := account.Revocations["expired"]; has || account.Revocations["foreign"] != now.Add(-time.Hour).Unix() {
		t.Errorf("the revocations are %v", account.Revocations)
	}
	if changed, missing = tidy(account, going, now); changed || len(missing) > 0 {
		t.Error("a second time there is something left")
	}
}

// Whatever is granted is in the user's JWT: a field of a grant that were forgotten
// there would give more, or less, than was asked for.
func TestEveryFieldIsGranted(t *testing.T) {
	grant := provider.Grant{Publish: provider.Subjects{Allow: []string{"a"}}, Subscribe: provider.Subjects{Allow: []string{"b"}}}
	for _, change := range fingerprinttest.Changes(grant) {
		t.Run(change.Field, func(t *testing.T) {
			if reflect.DeepEqual(change.Value.JWT(), grant.JWT()) {
				t.Error("it makes no difference")
			}
		})
	}
}
