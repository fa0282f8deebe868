package account

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/known"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/internal/subject"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	user "github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

const accountID = "AD4BPRVSQXPWIZGJD5EC72OJ75W6T7C4UXTXULLZD3JIZMCAGBRKSJ27"

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = o.UnmarshalJSON(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

const ofJWT = `
apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system, generation: 2}
spec:
  provider: jwt
  jwt:
    accountID: ` + accountID + `
    signingKey: {secretRef: {name: signing}}
    servers: [nats://nats.example.com:4222]
  policy:
    namespaces: ["team-*"]
    publish: ["orders.>", "{{namespace}}.>", "{{name}}.x"]
    subscribe: ["orders.*", "_INBOX.>"]
    allowResponses: {max: 2, ttl: 5s}
    maxTTL: 720h
    minRenewBefore: 48h
    connectionTypes: [STANDARD, WEBSOCKET]
    tags: ["team:*", "of:{{namespace}}"]
`

const ofSynadia = `
apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system, generation: 2}
spec:
  provider: synadia
  synadia: {system: NGS, account: commerce, platform: prod, tokenSecretRef: {name: token}}
  policy: {namespaces: ["team-*"], publish: [">"], subscribe: [">"]}
`

const ofUser = `
apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: orders, namespace: team-a}
spec:
  accountRef: {name: commerce}
  permissions: {publish: {allow: ["orders.>"]}, subscribe: {allow: ["_INBOX.>"]}}
  credentials: {ttl: 720h, renewBefore: 240h}
  secret: {name: orders-nats}
`

// read returns an account as its pipeline reads it, without its keys.
func read(t *testing.T, text string) *Account {
	t.Helper()
	a, err := v1alpha1.Read(object(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return &Account{NatsAccount: a}
}

func request(t *testing.T) *user.NatsUser {
	t.Helper()
	u, err := user.Read(object(t, ofUser))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// wantError fails the test unless the error has these words, or is nil for none.
func wantError(t *testing.T, err error, words string) {
	t.Helper()
	if (err != nil) != (words != "") || err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("it says %v, want %q", err, words)
	}
}

// A request is admitted if all that it asks for is within the policy, and otherwise
// told each thing that is not, and what to do.
func TestAdmit(t *testing.T) {
	subscribes := func(subjects ...string) func(*user.NatsUserSpec) {
		return func(u *user.NatsUserSpec) { u.Permissions.Subscribe.Allow = subjects }
	}
	publishes := func(subjects ...string) func(*user.NatsUserSpec) {
		return func(u *user.NatsUserSpec) { u.Permissions.Publish.Allow = subjects }
	}
	answers := func(max int64, ttl string) func(*user.NatsUserSpec) {
		return func(u *user.NatsUserSpec) {
			u.Permissions.AllowResponses = &v1alpha1.Responses{Max: max, TTL: field.Duration(ttl)}
		}
	}
	const notCovered = "is not covered by what the account allows"
	for _, test := range []struct {
		name    string
		account func(*Account)
		user    func(*user.NatsUserSpec)
		says    string
	}{
		{"as it should be", nil, nil, ""},
		{"its namespace is not among them", func(a *Account) { a.Spec.Policy.Namespaces = []string{"shop-*"} }, nil, "NatsAccount commerce admits no requests of the namespace team-a: ask"},
		{"its permissions are missing", nil, func(u *user.NatsUserSpec) { u.Permissions = nil }, "NatsAccount commerce does not admit the request: spec.permissions is missing"},
		{"a subject of its namespace", nil, publishes("team-a.x"), ""},
		{"a subject of its name", nil, publishes("orders.x"), ""},
		{"a subject of another namespace", nil, publishes("team-b.x"), `spec.permissions.publish.allow: "team-b.x" ` + notCovered + ` (orders.>, team-a.>, orders.x)`},
		{"a subject that it may only publish to", nil, subscribes("team-a.x"), `spec.permissions.subscribe.allow: "team-a.x" ` + notCovered + " (orders.*, _INBOX.>)"},
		{"a subject that it may only subscribe to", nil, publishes("_INBOX.x"), `spec.permissions.publish.allow: "_INBOX.x" ` + notCovered},
		{"a name that is no token takes its pattern away alone", func(a *Account) {
			a.Spec.Policy.Publish = []string{"{{name}}.>", "orders.>"}
			a.Spec.Policy.Subscribe = []string{"_INBOX.>"}
		}, nil, ""},
		{"one level", nil, subscribes("orders.*"), ""},
		{"one level, and one of it", nil, subscribes("orders.*", "orders.a"), ""},
		{"one level, beside what lies deeper", func(a *Account) { a.Spec.Policy.Subscribe = []string{"orders.*", "orders.a.>"} }, subscribes("orders.*", "orders.a.b"),
			`spec.permissions.subscribe.allow: with "orders.a.b" beside it "orders.*" would let the user subscribe to "orders.>", which is not covered: ask for them in two requests`},
		{"one level, after what lies deeper", func(a *Account) { a.Spec.Policy.Subscribe = []string{"orders.*", "orders.a.>"} }, subscribes("orders.a.b", "orders.*"), `with "orders.a.b" beside it "orders.*" would let`},
		{"one level, beside what lies deeper, and all of it is allowed", func(a *Account) { a.Spec.Policy.Subscribe = []string{"orders.>"} }, subscribes("orders.*", "orders.a.b"), ""},
		{"all of one level, beside what lies deeper", func(a *Account) { a.Spec.Policy.Subscribe = []string{"*", "a.b"} }, subscribes("*", "a.b"), `would let the user subscribe to ">"`},
		{"a wildcard that is not last, beside what lies deeper", func(a *Account) { a.Spec.Policy.Subscribe = []string{"*.a", "x.a.b"} }, subscribes("*.a", "x.a.b"), ""},
		{"to publish one level, and deeper", func(a *Account) { a.Spec.Policy.Publish = []string{"a.*", "a.b.c"} }, publishes("a.*", "a.b.c"), ""},
		{"answers", nil, answers(2, "5s"), ""},
		{"too many answers", nil, answers(3, "5s"), "spec.permissions.allowResponses asks for 3 within 5s, and the account allows 2 within 5s"},
		{"answers for too long", nil, answers(2, "6s"), "spec.permissions.allowResponses asks for 2 within 6s, and the account allows 2 within 5s"},
		{"answers, and none are allowed", func(a *Account) { a.Spec.Policy.AllowResponses = nil }, answers(1, "1s"), "spec.permissions.allowResponses is not allowed by the account"},
		{"a connection type", nil, func(u *user.NatsUserSpec) { u.ConnectionTypes = []v1alpha1.ConnectionType{"WEBSOCKET"} }, ""},
		{"another connection type", nil, func(u *user.NatsUserSpec) { u.ConnectionTypes = []v1alpha1.ConnectionType{"WEBSOCKET", "MQTT"} },
			"spec.connectionTypes: MQTT is not among those that the account allows (STANDARD, WEBSOCKET)"},
		{"tags", nil, func(u *user.NatsUserSpec) { u.Tags = []string{"team:a/b", "of:team-a"} }, ""},
		{"another's tag", nil, func(u *user.NatsUserSpec) { u.Tags = []string{"of:team-b"} }, `spec.tags: the account does not allow "of:team-b": leave it out`},
		{"a tag of which a pattern is no pattern", func(a *Account) { a.Spec.Policy.Tags = []string{"[", "{{user}}"} }, func(u *user.NatsUserSpec) { u.Tags = []string{"["} }, `the account does not allow "["`},
		{"a bearer token", func(a *Account) { a.Spec.Policy.AllowBearerTokens = true }, func(u *user.NatsUserSpec) { u.BearerToken = true }, ""},
		{"a bearer token, and none are allowed", nil, func(u *user.NatsUserSpec) { u.BearerToken = true }, "spec.bearerToken is not allowed by the account: leave it out"},
		{"too long a life", nil, func(u *user.NatsUserSpec) { u.Credentials.TTL = "721h" }, "spec.credentials.ttl 721h is longer than the 720h that the account allows"},
		{"the shortest window", nil, func(u *user.NatsUserSpec) { u.Credentials.RenewBefore = "48h" }, ""},
		{"too short a window", nil, func(u *user.NatsUserSpec) { u.Credentials.RenewBefore = "47h" }, "spec.credentials.renewBefore is 47h, and the account asks for at least 48h"},
		{"too short a window by default", nil, func(u *user.NatsUserSpec) { u.Credentials.TTL, u.Credentials.RenewBefore = "141h", "" },
			"spec.credentials.renewBefore is by default a third of the ttl, here 47h0m0s, and the account asks"},
		{"an environment", nil, func(u *user.NatsUserSpec) { u.Secret.Format = user.Env }, ""},
		{"an environment without servers", func(a *Account) { a.Spec.JWT.Servers = nil }, func(u *user.NatsUserSpec) { u.Secret.Format = user.Env }, "spec.secret.format Env needs the servers' addresses"},
		{"another form without servers", func(a *Account) { a.Spec.JWT.Servers = nil }, nil, ""},
		{"two things", nil, func(u *user.NatsUserSpec) { u.BearerToken, u.Credentials.TTL = true, "721h" }, "leave it out; spec.credentials.ttl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, u := read(t, ofJWT), request(t)
			if strings.HasPrefix(test.name, "a name that is no token") {
				u.Name = "two.tokens"
			}
			if test.account != nil {
				test.account(a)
			}
			if test.user != nil {
				test.user(&u.Spec)
			}
			wantError(t, a.Admit(u), test.says)
		})
	}
}

// Where the signing key has a scope, a request says nothing of what that says, and
// has the tags that it is made with.
func TestAdmitScoped(t *testing.T) {
	const fromScope = "permissions, limits, connectionTypes, sourceCIDRs, times and bearerToken come from the scope of the account's signing key: leave them out"
	for _, test := range []struct {
		name string
		user func(*user.NatsUser)
		says string
	}{
		{"as it should be", func(*user.NatsUser) {}, ""},
		{"permissions", func(u *user.NatsUser) { u.Spec.Permissions = &user.Permissions{} }, fromScope},
		{"limits", func(u *user.NatsUser) { u.Spec.Limits = &user.Limits{} }, fromScope},
		{"networks", func(u *user.NatsUser) { u.Spec.SourceCIDRs = []string{"10.0.0.0/8"} }, fromScope},
		{"times", func(u *user.NatsUser) { u.Spec.Times = &user.Times{} }, fromScope},
		{"connection types", func(u *user.NatsUser) { u.Spec.ConnectionTypes = []v1alpha1.ConnectionType{"STANDARD"} }, fromScope},
		{"a bearer token", func(u *user.NatsUser) { u.Spec.BearerToken = true }, fromScope},
		{"a name of two tokens", func(u *user.NatsUser) { u.Name = "or.ders" }, `metadata.name "or.ders" has a dot, which in a subject made of the tag name would be another subject`},
		{"a tag is missing", func(u *user.NatsUser) { u.Spec.Tags = []string{"teams:a"} }, "spec.tags: the account's scope needs the tag team: add it, as team:value"},
		{"a value of two tokens", func(u *user.NatsUser) { u.Spec.Tags = []string{"team:a.b"} }, `spec.tags: "team:a.b" would make another subject of the account's scope`},
		{"a value that ends with a dot", func(u *user.NatsUser) { u.Spec.Tags = []string{"team:a."} }, `"team:a." would make another subject`},
		{"no value", func(u *user.NatsUser) { u.Spec.Tags = []string{"team:"} }, `"team:" would make another subject`},
		{"one of two values", func(u *user.NatsUser) { u.Spec.Tags = []string{"team:a", "team:b.c"} }, `"team:b.c" would make another subject`},
		{"a dot in a tag that no subject is made of", func(u *user.NatsUser) { u.Spec.Tags = []string{"team:a", "version:1.2"} }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, u := read(t, ofJWT), request(t)
			a.Scoped, a.Spec.JWT.SigningKey.RequiredTags = true, v1alpha1.TagNames{"name", "team"}
			a.Spec.Policy.AllowBearerTokens, a.Spec.Policy.Tags = true, []string{"*"}
			u.Spec.Permissions, u.Spec.Tags = nil, []string{"team:a"}
			test.user(u)
			wantError(t, a.Admit(u), test.says)
		})
	}
}

// Whatever a request is called and whatever tags it has: if it is admitted, the subjects
// that servers make of the account's scope have its values where the scope has tags, one
// token each, and differ in nothing else.
func TestScopeHolds(t *testing.T) {
	parts := []string{"a", "b", "team-b", ".", "..", "/", ":", "-", ""}
	admitted := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 20))
		text := func() string {
			s := ""
			for range r.IntN(4) {
				s += parts[r.IntN(len(parts))]
			}
			return s
		}
		a, u := read(t, ofJWT), request(t)
		a.Scoped, a.Spec.JWT.SigningKey.RequiredTags, a.Spec.Policy.Tags = true, v1alpha1.TagNames{"stage", "team"}, []string{"*"}
		u.Spec.Permissions, u.Name, u.Spec.Tags = nil, "n"+text(), []string{"stage:" + text(), "team:" + text(), "team:" + text(), "other:" + text()}
		if a.Admit(u) != nil {
			continue
		}
		admitted++
		template := []string{"orders"}
		for range 1 + r.IntN(4) {
			template = append(template, []string{"x", "{{tag(stage)}}", "{{tag(team)}}", "{{tag(namespace)}}", "{{tag(name)}}"}[r.IntN(5)])
		}
		values := map[string][]string{}
		for _, tag := range a.Grant(u, "eu-1").Tags {
			name, value, _ := strings.Cut(tag, ":")
			values["{{tag("+name+")}}"] = append(values["{{tag("+name+")}}"], value)
		}
		made := []string{strings.Join(template, ".")}
		for variable, values := range values {
			var next []string
			for _, s := range made {
				for _, value := range values {
					next = append(next, strings.ReplaceAll(s, variable, value))
				}
			}
			made = next
		}
		for _, s := range made {
			tokens := strings.Split(s, ".")
			if subject.Check(s) != nil || len(tokens) != len(template) {
				t.Fatalf("seed %d: %s becomes %s of %v", seed, template, s, u.Spec.Tags)
			}
			for n, token := range tokens {
				if values, ok := values[template[n]]; ok && !slices.Contains(values, token) || !ok && token != template[n] {
					t.Fatalf("seed %d: %s becomes %s of %v", seed, template, s, u.Spec.Tags)
				}
			}
		}
	}
	if admitted < 100 {
		t.Errorf("%d are admitted: what is tried says nothing", admitted)
	}
}

// What a request is granted is what it asks for, with the account's connection types
// where it names none; with a scope it is the tags alone.
func TestGrant(t *testing.T) {
	full := func(u *user.NatsUserSpec) {
		u.Permissions.Publish.Deny = []string{"orders.secret"}
		u.Permissions.AllowResponses = &v1alpha1.Responses{Max: 1, TTL: "5s"}
		u.Limits = &user.Limits{Subscriptions: 10, Payload: "1Ki"}
		u.ConnectionTypes, u.SourceCIDRs, u.BearerToken, u.Tags = []v1alpha1.ConnectionType{"MQTT"}, []string{"10.0.0.0/8"}, true, []string{"team:a"}
		u.Times = &user.Times{TimeZone: "Europe/Berlin", Ranges: []user.TimeRange{{Start: "08:00:00", End: "18:00:00"}}}
	}
	tags := []string{"namespace:team-a", "name:orders", "destination:eu-1"}
	for _, test := range []struct {
		name        string
		scoped      bool
		destination string
		user        func(*user.NatsUserSpec)
		want        provider.Grant
	}{
		{"as little as there can be", false, "eu-1", func(u *user.NatsUserSpec) { u.Permissions = nil }, provider.Grant{Tags: tags, ConnectionTypes: []string{"STANDARD", "WEBSOCKET"}}},
		{"all", false, "eu-1", full, provider.Grant{
			Publish: provider.Subjects{Allow: []string{"orders.>"}, Deny: []string{"orders.secret"}}, Subscribe: provider.Subjects{Allow: []string{"_INBOX.>"}},
			Responses: &provider.Responses{Max: 1, TTL: 5 * time.Second}, Subscriptions: 10, Payload: 1024, ConnectionTypes: []string{"MQTT"}, SourceCIDRs: []string{"10.0.0.0/8"},
			TimeZone: "Europe/Berlin", Times: []provider.Range{{Start: "08:00:00", End: "18:00:00"}}, Tags: append(slices.Clone(tags), "team:a"), Bearer: true,
		}},
		{"with a scope", true, "eu-1", full, provider.Grant{Tags: append(slices.Clone(tags), "team:a"), Scoped: true}},
		{"a cluster with a dot has no tag", true, "eu.1", func(*user.NatsUserSpec) {}, provider.Grant{Tags: tags[:2], Scoped: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, u := read(t, ofJWT), request(t)
			a.Scoped = test.scoped
			if test.user(&u.Spec); !reflect.DeepEqual(a.Grant(u, test.destination), test.want) {
				t.Errorf("it is\n%+v, want\n%+v", a.Grant(u, test.destination), test.want)
			}
		})
	}
}

// A credential is delivered only to clusters that the account allows.
func TestAllows(t *testing.T) {
	const some = "  placement: {allowed: [{matchLabels: {environment: prod}}, {matchLabels: {environment: dev, region: eu}}]}\n"
	for _, test := range []struct {
		name, placement string
		labels          map[string]string
		want            bool
	}{
		{"all are", "", map[string]string{"environment": "test"}, true},
		{"the first", some, map[string]string{"environment": "prod", "region": "us"}, true},
		{"the second", some, map[string]string{"environment": "dev", "region": "eu"}, true},
		{"half of the second", some, map[string]string{"environment": "dev"}, false},
		{"none", some, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Allows(read(t, ofJWT+test.placement).NatsAccount, test.labels); got != test.want {
				t.Errorf("it is allowed: %t", got)
			}
		})
	}
}

// Users can be revoked with an operator's key, and at a provider that keeps them.
func TestRevocable(t *testing.T) {
	for name, test := range map[string]struct {
		account string
		change  func(*Account)
		want    bool
	}{
		"an operator's key": {ofJWT, func(a *Account) { a.Spec.JWT.Operator = &v1alpha1.Operator{} }, true}, "none": {ofJWT, func(*Account) {}, false}, "Synadia": {ofSynadia, func(*Account) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := read(t, test.account)
			if test.change(a); a.Spec.Revocable() != test.want {
				t.Errorf("they can be revoked: %t", !test.want)
			}
		})
	}
}

// Only where the account says so is a user replaced that was changed at the provider.
func TestCorrectsDrift(t *testing.T) {
	report, correct := read(t, ofSynadia), read(t, ofSynadia)
	correct.Spec.Synadia.DriftPolicy = v1alpha1.DriftCorrect
	for name, test := range map[string]struct {
		account *Account
		want    bool
	}{"jwt": {read(t, ofJWT), false}, "Report": {report, false}, "Correct": {correct, true}} {
		t.Run(name, func(t *testing.T) {
			if test.account.Spec.CorrectsDrift() != test.want {
				t.Errorf("it is replaced: %t", !test.want)
			}
		})
	}
}

// Renewals must come round before they are due.
func TestTooShort(t *testing.T) {
	for name, test := range map[string]struct {
		interval time.Duration
		says     string
	}{
		"shorter than the window": {48*time.Hour - 1, ""}, "as long": {48 * time.Hour, "spec.policy.minRenewBefore of NatsAccount baleen-system/commerce is 48h, and Kratix reconciles every 48h"},
		"longer": {50 * time.Hour, "Kratix reconciles every 50h"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, TooShort(read(t, ofJWT).NatsAccount, test.interval), test.says) })
	}
}

// By its name alone a user that the provider keeps is known as that of a request, and
// no name that people give is taken for one.
func TestNamedFor(t *testing.T) {
	a, other := read(t, ofSynadia), read(t, ofSynadia)
	other.Spec.Synadia.Platform = "test"
	type named struct {
		namespace, name, destination string
		generation                   int64
	}
	for _, n := range []named{{"team-a", "orders", "eu-1", 1}, {"team-a", "or.ders", "eu-1", 12}, {"team-a", "orders", "eu.1", 3}, {"a", "b.c.d", "e.f", 1}} {
		request := identity.Request{Kind: "NatsUser", Namespace: n.namespace, Name: n.name}
		name := a.UserName(request, n.destination, n.generation)
		t.Run(name, func(t *testing.T) {
			if readable := fmt.Sprintf("%s.%s.%s.g%d.", n.namespace, n.name, n.destination, n.generation); !strings.HasPrefix(name, readable) {
				t.Errorf("it is not readable as %s", readable)
			}
			got, destination, generation, ok := a.NamedFor(name)
			if !ok || got != request || destination != n.destination || generation != n.generation {
				t.Errorf("it is taken for that of %v on %s, generation %d: %t", got, destination, generation, ok)
			}
			if _, _, _, ok := other.NamedFor(name); ok {
				t.Error("another platform takes it for its own")
			}
		})
	}
	for _, name := range []string{"", "orders", "team-a.orders.eu-1.g1", "team-a.orders.eu-1.1.0123456789", "team-a.orders.eu-1.gx.0123456789", "team-a.orders.eu-1.g1.01234567", "....", "a.b.g1.01234567"} {
		t.Run("not "+name, func(t *testing.T) {
			if request, _, _, ok := a.NamedFor(name); ok {
				t.Errorf("it is taken for that of %v", request)
			}
		})
	}
	// In operator mode nobody has to find a user by its name.
	if got := read(t, ofJWT).UserName(identity.Request{Namespace: "team-a", Name: "orders"}, "eu-1", 1); got != "team-a.orders.eu-1.g1" {
		t.Errorf("in operator mode it is %s", got)
	}
}

// away is a platform where reading fails.
type away struct{ platform.Client }

func (away) Get(context.Context, platform.Kind, string, string) (*unstructured.Unstructured, error) {
	return nil, errors.New("away")
}

func newPlatform(t *testing.T, objects ...*unstructured.Unstructured) platform.Client {
	t.Helper()
	client := platform.NewMemory(func() time.Time { return now })
	for _, o := range objects {
		kind := platform.NatsAccount
		if o.GetKind() == "Secret" {
			kind = platform.Secret
		}
		if _, err := client.Create(t.Context(), kind, o); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

// secret is a Secret with a value under a key.
func secret(t *testing.T, name, key string, value []byte) *unstructured.Unstructured {
	t.Helper()
	return object(t, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: baleen-system}, data: {%s: %s}}", name, key, base64.StdEncoding.EncodeToString(value)))
}

// An account that is not there, is going, or is not valid is told apart.
func TestGet(t *testing.T) {
	const gone = "there is no NatsAccount baleen-system/commerce: correct spec.accountRef"
	for _, test := range []struct {
		name   string
		client func(t *testing.T) platform.Client
		gone   bool
		says   string
	}{
		{"it is there", func(t *testing.T) platform.Client { return newPlatform(t, object(t, ofJWT)) }, false, ""},
		{"it is not", func(t *testing.T) platform.Client { return newPlatform(t) }, true, gone},
		{"it is being deleted", func(t *testing.T) platform.Client {
			o := object(t, ofJWT)
			o.SetFinalizers([]string{"kratix"})
			client := newPlatform(t, o)
			if err := client.Delete(t.Context(), platform.NatsAccount, Namespace, "commerce", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
			return client
		}, true, gone},
		{"it is not valid", func(t *testing.T) platform.Client {
			return newPlatform(t, object(t, strings.Replace(ofJWT, "provider: jwt", "provider: other", 1)))
		}, false, "NatsAccount baleen-system/commerce is not valid"},
		{"it cannot be read", func(*testing.T) platform.Client { return away{} }, false, "NatsAccount baleen-system/commerce cannot be read: away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, a, err := Get(t.Context(), test.client(t), "commerce")
			wantError(t, err, test.says)
			var notFound *NotFoundError
			if errors.As(err, &notFound) != test.gone {
				t.Errorf("it says %v", err)
			}
			if err == nil && (a.Name != "commerce" || o.GetName() != "commerce") {
				t.Errorf("it is %+v", a)
			}
		})
	}
}

// What a reference names is a value, or its error says which Secret and key, and
// never shows what is there.
func TestSecret(t *testing.T) {
	ref := v1alpha1.SecretRef{Name: "signing", Key: "seed"}
	const noKey = "the Secret baleen-system/signing has no key seed with a value: add it"
	for _, test := range []struct {
		name   string
		client platform.Client
		want   string
		says   string
	}{
		{"a value", newPlatform(t, secret(t, "signing", "seed", []byte("value\n"))), "value\n", ""},
		{"an empty one", newPlatform(t, secret(t, "signing", "seed", nil)), "", noKey},
		{"another key", newPlatform(t, secret(t, "signing", "seeds", []byte("hidden"))), "", noKey},
		{"what is not encoded", newPlatform(t, object(t, "{apiVersion: v1, kind: Secret, metadata: {name: signing, namespace: baleen-system}, data: {seed: hidden!}}")), "", noKey},
		{"no Secret", newPlatform(t), "", "there is no Secret baleen-system/signing: create it with the key seed"},
		{"it cannot be read", away{}, "", "the Secret baleen-system/signing cannot be read: away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Secret(t.Context(), test.client, ref)
			wantError(t, err, test.says)
			if string(got) != test.want || err != nil && strings.Contains(err.Error(), "hidden") {
				t.Errorf("it is %q, %v", got, err)
			}
		})
	}
}

// status is the YAML of a condition.
func status(ready, reason string, generation int) string {
	return fmt.Sprintf("status:\n  conditions: [{type: Ready, status: %q, reason: %s, message: %s it is, observedGeneration: %d, lastTransitionTime: '2026-01-01T00:00:00Z'}]\n", ready, reason, reason, generation)
}

// What the account's last run found to be wrong with its keys refutes it: each of
// these reasons, for the spec as it is now. A server that is away refutes nothing.
func TestRefuted(t *testing.T) {
	key, seed := signingKey(t)
	for _, test := range []struct {
		name, status string
		refuted      bool
	}{
		{"nothing is known", "", false},
		{"SigningKeyUnknown", status("False", "SigningKeyUnknown", 2), true},
		{"ScopeMismatch", status("False", "ScopeMismatch", 2), true},
		{"SigningKeyUnusable", status("False", "SigningKeyUnusable", 2), true},
		{"AccountUnknown", status("False", "AccountUnknown", 2), true},
		{"IssuerNotTrusted", status("False", "IssuerNotTrusted", 2), true},
		{"UserRefused", status("False", "UserRefused", 2), true},
		{"a server is away", status("False", "ServersUnreachable", 2), false},
		{"all is well", status("True", "UserRefused", 2), false},
		{"not known whether", status("Unknown", "UserRefused", 2), false},
		{"of a former spec", status("False", "UserRefused", 1), false},
		{"another condition", strings.Replace(status("False", "UserRefused", 2), "type: Ready", "type: Other", 1), false},
		{"a status that is none", "status: {conditions: 7}\n", false},
		{"a status that somebody has broken", status("False", "UserRefused", 2) + "  users: many\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := object(t, ofJWT+test.status)
			a, err := v1alpha1.Read(o)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := Opener{Client: newPlatform(t, secret(t, "signing", "seed", seed)), Issuer: known.Issuer, How: provider.Setting{Now: now}}.Open(t.Context(), o, a)
			if err != nil || opened.SigningKey != key || opened.ID != accountID || opened.Scoped || opened.Issuer == nil {
				t.Fatalf("it is %+v, %v", opened, err)
			}
			want := ""
			if test.refuted {
				want = test.name + " it is"
			}
			if opened.Refuted != want {
				t.Errorf("it is refuted by %q", opened.Refuted)
			}
		})
	}
}

// signingKey makes a key of an account.
func signingKey(t *testing.T) (public string, seed []byte) {
	t.Helper()
	pair, err := nkeys.CreateAccount()
	if err == nil {
		seed, err = pair.Seed()
	}
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return public, seed
}

// An account is opened with the keys that its Secrets have, and knows whether its last
// run has looked at these.
func TestOpenJWT(t *testing.T) {
	key, seed := signingKey(t)
	seen := func(id, key, found, ready string) string {
		return fmt.Sprintf("status: {account: {id: %s, signingKey: %s, found: %s}, conditions: [{type: Ready, status: %q, reason: R, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}\n", id, key, found, ready)
	}
	for _, test := range []struct {
		name, status string
		seed         []byte
		scoped       bool
		unseen       bool
		says         string
	}{
		{"its first run is to come", "", seed, false, true, ""},
		{"a run has found it", seen(accountID, key, "true", "True"), seed, true, false, ""},
		{"a run has found it, and servers are away", seen(accountID, key, "true", "False"), seed, true, false, ""},
		{"v0.1.0 has found it, which does not say so", seen(accountID, key, "null", "True"), seed, false, false, ""},
		{"v0.1.0 has served it, and servers were away", seen(accountID, key, "null", "False"), seed, false, false, ""},
		{"v0.1.0 has refuted it", strings.Replace(seen(accountID, key, "null", "False"), "reason: R", "reason: AccountUnknown", 1), seed, false, true, ""},
		{"no run has found it", seen(accountID, key, "false", "False"), seed, false, true, ""},
		{"one of another version says so, and all is well", seen(accountID, key, "false", "True"), seed, false, true, ""},
		{"a run has found another key of it", seen(accountID, accountID, "true", "True"), seed, false, true, ""},
		{"a run has found another account", seen(key, key, "true", "True"), seed, false, true, ""},
		// A test fixture: the seed of a user that exists nowhere.
		{"its key is none", "", []byte("SUADVQJWLKOFTQUNHXZWDBGEQPTJP5TIGEQCJSAAXTOYZ2SY6HXYKQ7FZI"), false, false,
			"the signing key of NatsAccount baleen-system/commerce, the key seed of the Secret signing, cannot be used"},
		{"it has none", "", nil, false, false, "has no key seed with a value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := object(t, ofJWT+test.status)
			a, err := v1alpha1.Read(o)
			if err != nil {
				t.Fatal(err)
			}
			a.Spec.JWT.SigningKey.Scoped = test.scoped
			opened, err := Opener{Client: newPlatform(t, secret(t, "signing", "seed", test.seed)), Issuer: known.Issuer, How: provider.Setting{Now: now}}.Open(t.Context(), o, a)
			wantError(t, err, test.says)
			if err == nil && (opened.SigningKey != key || opened.Unseen != test.unseen || opened.Scoped != test.scoped || opened.ProviderAccount != "") {
				t.Errorf("it is %+v", opened)
			}
			if err != nil && (opened != nil || strings.Contains(err.Error(), "SUAD")) {
				t.Errorf("it is %+v, %v", opened, err)
			}
		})
	}
}

// Of an account of Synadia's its last run knows what it has found, for as long as the
// spec names the same.
func TestOpenSynadia(t *testing.T) {
	source := Source(read(t, ofSynadia).NatsAccount)
	seen := func(source, id string) string {
		return fmt.Sprintf("status: {account: {id: %s, signingKey: group, providerID: %s, scoped: true, source: %s}}\n", accountID, id, source)
	}
	const bad = "the token of NatsAccount baleen-system/commerce, the key token of the Secret token, is empty, or has characters in it that no token has"
	for _, test := range []struct {
		name, status, token string
		unseen              bool
		says                string
	}{
		{"its first run is to come", "", "uat_x", true, ""},
		{"its last run has found it", seen(source, "provider"), "uat_x\n", false, ""},
		{"its last run has found another", seen("other", "provider"), "uat_x", true, ""},
		{"its last run has found none", seen(source, "''"), "uat_x", true, ""},
		{"its token is blank", "", " \n", false, bad},
		{"its token is two", "", "uat_x uat_y", false, bad},
		{"its token has a control character", "", "uat\x1f_x", false, bad},
		{"its token is not ASCII", "", "uat_é", false, bad},
		{"its token has a delete in it", "", "uat\x7f_x", false, bad},
		{"its token has all that one may have", "", "!~", true, ""},
		{"it has none", "", "", false, "has no key token with a value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := object(t, ofSynadia+test.status)
			a, err := v1alpha1.Read(o)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := Opener{Client: newPlatform(t, secret(t, "token", "token", []byte(test.token))), Issuer: known.Issuer, How: provider.Setting{Now: now}}.Open(t.Context(), o, a)
			wantError(t, err, test.says)
			if err != nil {
				if opened != nil || strings.Contains(err.Error(), "uat") {
					t.Errorf("it is %+v, %v", opened, err)
				}
				return
			}
			made := opened.Issuer.(*synadia.Issuer)
			if opened.Unseen != test.unseen || made.MaxBytes != 3500 || made.Now != now {
				t.Errorf("it is %+v with %+v", opened, made)
			}
			want, wantMade := []any{"", "", "", false}, []string{"", "", ""}
			if !test.unseen {
				want, wantMade = []any{accountID, "provider", "group", true}, []string{accountID, "provider", "group"}
			}
			if got := []any{opened.ID, opened.ProviderAccount, opened.SigningKey, opened.Scoped}; !reflect.DeepEqual(got, want) {
				t.Errorf("it is %v, want %v", got, want)
			}
			if got := []string{made.AccountID, made.ProviderID, made.Group}; !slices.Equal(got, wantMade) {
				t.Errorf("users are made with %v, want %v", got, wantMade)
			}
		})
	}
	t.Run("all that names it counts", func(t *testing.T) {
		for name, change := range map[string]func(*v1alpha1.Synadia){
			"baseURL": func(s *v1alpha1.Synadia) { s.BaseURL = "x" }, "accountID": func(s *v1alpha1.Synadia) { s.AccountID = "x" }, "system": func(s *v1alpha1.Synadia) { s.System = "x" },
			"account": func(s *v1alpha1.Synadia) { s.Account = "x" }, "group": func(s *v1alpha1.Synadia) { s.SigningKeyGroup = "x" },
		} {
			t.Run(name, func(t *testing.T) {
				a := read(t, ofSynadia)
				if change(a.Spec.Synadia); Source(a.NatsAccount) == source {
					t.Errorf("a change of the %s does not show", name)
				}
			})
		}
	})
}

// The account bounds for how long former credentials stay in force, and whether a deletion
// leaves them so.
func TestAdmitBounds(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy func(*v1alpha1.Policy)
		user   func(*user.NatsUserSpec)
		says   string
	}{
		{"no bounds", func(*v1alpha1.Policy) {}, func(u *user.NatsUserSpec) { u.Credentials.Overlap, u.DeletionPolicy = "2160h", user.RetainOnGone }, ""},
		{"an overlap as long as may be", func(p *v1alpha1.Policy) { p.MaxOverlap = "1d" }, func(u *user.NatsUserSpec) { u.Credentials.Overlap = "24h" }, ""},
		{"a longer one", func(p *v1alpha1.Policy) { p.MaxOverlap = "1d" }, func(u *user.NatsUserSpec) { u.Credentials.Overlap = "25h" }, "spec.credentials.overlap 25h is longer than the 1d that the account allows"},
		{"a longer one that does not count", func(p *v1alpha1.Policy) { p.MaxOverlap = "1d" }, func(u *user.NatsUserSpec) {
			u.Credentials.Overlap, u.Credentials.RevokePrevious = "25h", user.Immediately
		}, ""},
		{"no overlap at all", func(p *v1alpha1.Policy) { p.MaxOverlap = "0h" }, func(u *user.NatsUserSpec) { u.Credentials.Overlap = "1h" }, "is longer than the 0h"},
		{"a deletion that revokes", func(p *v1alpha1.Policy) { p.RefuseRetain = true }, func(u *user.NatsUserSpec) { u.DeletionPolicy = user.Revoke }, ""},
		{"one that does not", func(p *v1alpha1.Policy) { p.RefuseRetain = true }, func(u *user.NatsUserSpec) { u.DeletionPolicy = user.RetainOnGone }, "spec.deletionPolicy Retain is not allowed by the account"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, u := read(t, ofJWT), request(t)
			test.policy(&a.Spec.Policy)
			test.user(&u.Spec)
			wantError(t, a.Admit(u), test.says)
		})
	}
}
