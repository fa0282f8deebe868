package jwt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/issuer"
	"github.com/baleen-platform/baleen/internal/issuer/jwt"
	"github.com/baleen-platform/baleen/internal/natslocal"
)

// start returns a running system and an issuer for its account.
func start(t *testing.T) (*natslocal.System, *jwt.Issuer) {
	t.Helper()
	system, err := natslocal.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := system.Start(true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(system.Stop)
	i, err := jwt.New(system.AccountID, system.SigningKey, 3500)
	if err != nil {
		t.Fatal(err)
	}
	return system, i
}

// client is a connection whose problems are kept.
type client struct {
	*nats.Conn
	said chan error
}

func connect(t *testing.T, system *natslocal.System, i *jwt.Issuer, grant issuer.Grant, life time.Duration) (client, error) {
	t.Helper()
	identity, err := i.Propose("test")
	if err != nil {
		t.Fatal(err)
	}
	credential, err := i.Issue(t.Context(), identity, grant, time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan error, 16)
	conn, err := system.Connect(credential.File, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { said <- err }))
	if err != nil {
		return client{}, err
	}
	t.Cleanup(conn.Close)
	return client{conn, said}, nil
}

// refused tells whether the server said no to what was sent last.
func (c client) refused(t *testing.T) bool {
	t.Helper()
	if err := c.FlushTimeout(10 * time.Second); err != nil {
		return true // cut off
	}
	select {
	case <-c.said:
		return true
	case <-time.After(30 * time.Millisecond):
		return c.IsClosed()
	}
}

// What is granted is what a real server lets through, and nothing else.
func TestGrants(t *testing.T) {
	system, i := start(t)
	helper, err := connect(t, system, i, issuer.Grant{Publish: issuer.Subjects{Allow: []string{">"}}, Subscribe: issuer.Subjects{Allow: []string{">"}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(subject string, size int) func(client) {
		return func(c client) { _ = c.Publish(subject, make([]byte, size)) }
	}
	subscribe := func(subjects ...string) func(client) {
		return func(c client) {
			for _, s := range subjects {
				_, _ = c.SubscribeSync(s)
			}
		}
	}
	answer := func(times int) func(client) {
		return func(c client) {
			requests, err := c.SubscribeSync("ask")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := helper.PublishRequest("ask", "reply.here", nil); err != nil {
				t.Fatal(err)
			}
			request, err := requests.NextMsg(10 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for range times {
				_ = request.Respond(nil)
			}
		}
	}
	allow := func(s ...string) issuer.Subjects { return issuer.Subjects{Allow: s} }
	for _, test := range []struct {
		name    string
		grant   issuer.Grant
		do      func(client)
		refused bool
	}{
		{"publish what is allowed", issuer.Grant{Publish: allow("a.>")}, publish("a.b", 1), false},
		{"publish something else", issuer.Grant{Publish: allow("a.>")}, publish("b", 1), true},
		{"publish what is denied", issuer.Grant{Publish: issuer.Subjects{Allow: []string{"a.>"}, Deny: []string{"a.b"}}}, publish("a.b", 1), true},
		{"publish with nothing allowed", issuer.Grant{Subscribe: allow(">")}, publish("a", 1), true},
		{"subscribe to what is allowed", issuer.Grant{Subscribe: allow("a.*")}, subscribe("a.b"), false},
		{"subscribe to another", issuer.Grant{Subscribe: allow("a.*")}, subscribe("b.c"), true},
		{"subscribe deeper", issuer.Grant{Subscribe: allow("a.*")}, subscribe("a.b.c"), true},
		{"subscribe with nothing allowed", issuer.Grant{Publish: allow(">")}, subscribe("a"), true},
		{"answer once", issuer.Grant{Subscribe: allow("ask"), Responses: &issuer.Responses{Max: 1, TTL: time.Minute}}, answer(1), false},
		{"answer twice where once is allowed", issuer.Grant{Subscribe: allow("ask"), Responses: &issuer.Responses{Max: 1, TTL: time.Minute}}, answer(2), true},
		{"answer where nothing is allowed", issuer.Grant{Subscribe: allow("ask")}, answer(1), true},
		{"as many subscriptions as allowed", issuer.Grant{Subscribe: allow(">"), Subscriptions: 2}, subscribe("a", "b"), false},
		{"one more", issuer.Grant{Subscribe: allow(">"), Subscriptions: 2}, subscribe("a", "b", "c"), true},
		{"a payload as large as allowed", issuer.Grant{Publish: allow("a"), Payload: 100}, publish("a", 100), false},
		{"a larger one", issuer.Grant{Publish: allow("a"), Payload: 100}, publish("a", 101), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := connect(t, system, i, test.grant, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if test.do(c); c.refused(t) != test.refused {
				t.Errorf("refused: %t, and it should be %t", !test.refused, test.refused)
			}
		})
	}
}

// Servers let who may subscribe to a.* subscribe to a.>. What comes through must
// still be what was granted.
func TestWildcards(t *testing.T) {
	system, i := start(t)
	helper, err := connect(t, system, i, issuer.Grant{Publish: issuer.Subjects{Allow: []string{">"}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		allow     []string
		subscribe string
		want      []string
	}{
		{[]string{"a.*"}, "a.*", []string{"a.b"}},
		{[]string{"a.*"}, "a.>", []string{"a.b"}},
		{[]string{"*"}, ">", []string{"a", "b"}},
		{[]string{"a.*.*"}, "a.*.>", []string{"a.b.c"}},
		{[]string{"a.>"}, "a.>", []string{"a.b", "a.b.c", "a.b.c.d"}},
		{[]string{"a.*", "a.*.*"}, "a.*.*", []string{"a.b.c"}},
	} {
		c, err := connect(t, system, i, issuer.Grant{Subscribe: issuer.Subjects{Allow: test.allow}}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := c.SubscribeSync(test.subscribe)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"a", "b", "a.b", "a.b.c", "a.b.c.d"} {
			_ = helper.Publish(s, nil)
		}
		if err := helper.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			msg, err := sub.NextMsg(20 * time.Millisecond)
			if err != nil {
				break
			}
			got = append(got, msg.Subject)
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("allowed %q and subscribed to %s it gets %q, want %q", test.allow, test.subscribe, got, test.want)
		}
	}
}

// Who may connect, from where, when and how, is the server's decision too.
func TestConnections(t *testing.T) {
	system, i := start(t)
	now := time.Now().UTC()
	around := issuer.Range{Start: now.Add(-time.Hour).Format(time.TimeOnly), End: now.Add(time.Hour).Format(time.TimeOnly)}
	later := issuer.Range{Start: now.Add(2 * time.Hour).Format(time.TimeOnly), End: now.Add(3 * time.Hour).Format(time.TimeOnly)}
	for _, test := range []struct {
		name    string
		grant   issuer.Grant
		life    time.Duration
		refused bool
	}{
		{"anything goes", issuer.Grant{}, time.Hour, false},
		{"expired", issuer.Grant{}, -time.Second, true},
		{"from here", issuer.Grant{SourceCIDRs: []string{"127.0.0.0/8"}}, time.Hour, false},
		{"from elsewhere", issuer.Grant{SourceCIDRs: []string{"10.0.0.0/8"}}, time.Hour, true},
		{"a standard connection", issuer.Grant{ConnectionTypes: []string{"STANDARD"}}, time.Hour, false},
		{"only by websocket", issuer.Grant{ConnectionTypes: []string{"WEBSOCKET"}}, time.Hour, true},
		{"at this hour", issuer.Grant{Times: []issuer.Range{around}, TimeZone: "UTC"}, time.Hour, false},
		{"at another", issuer.Grant{Times: []issuer.Range{later}, TimeZone: "UTC"}, time.Hour, true},
		{"tagged", issuer.Grant{Tags: []string{"namespace:a", "stage:b"}}, time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := connect(t, system, i, test.grant, test.life); (err != nil) != test.refused {
				t.Errorf("the server says %v", err)
			}
		})
	}
	t.Run("a bearer token", func(t *testing.T) {
		for _, bearer := range []bool{true, false} {
			identity, _ := i.Propose("test")
			credential, err := i.Issue(t.Context(), identity, issuer.Grant{Bearer: bearer}, now.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := nats.Connect(system.URL(), nats.UserJWT(func() (string, error) { return credential.JWT, nil }, func([]byte) ([]byte, error) { return nil, nil }))
			if (err == nil) != bearer {
				t.Errorf("with bearer: %t the JWT alone gives %v", bearer, err)
			}
			if err == nil {
				conn.Close()
			}
		}
	})
}

// With a scoped signing key the permissions come from the scope, which may be made
// of tags that Baleen sets.
func TestScopedKey(t *testing.T) {
	system, _ := start(t)
	pair, _ := nkeys.CreateAccount()
	public, _ := pair.PublicKey()
	seed, _ := pair.Seed()
	claims, err := system.Account(system.AccountID)
	if err != nil {
		t.Fatal(err)
	}
	scope := natsjwt.NewUserScope()
	scope.Key, scope.Role = public, "team"
	scope.Template.Pub.Allow.Add("{{tag(namespace)}}.>")
	claims.SigningKeys.AddScopedSigner(scope)
	system.Stop()
	if err := system.Push(claims); err != nil {
		t.Fatal(err)
	}
	if err := system.Start(true); err != nil {
		t.Fatal(err)
	}
	i, err := jwt.New(system.AccountID, seed, 3500)
	if err != nil {
		t.Fatal(err)
	}
	c, err := connect(t, system, i, issuer.Grant{Scoped: true, Tags: []string{"namespace:team-a"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _ = c.Publish("team-a.b", nil); c.refused(t) {
		t.Error("the scope's own subject is refused")
	}
	if _ = c.Publish("team-b.b", nil); !c.refused(t) {
		t.Error("another subject is not refused")
	}
	if got := jwt.TagsOf(scope); fmt.Sprint(got) != "[namespace]" {
		t.Errorf("the scope needs the tags %q", got)
	}
}

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
		_, err := jwt.New(id, test.seed, 3500)
		if test.want == "" && err == nil {
			continue
		}
		if err == nil || test.want == "" || !strings.Contains(err.Error(), test.want) || len(test.seed) > 0 && strings.Contains(err.Error(), string(test.seed)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	_, i := start(t)
	grant := issuer.Grant{}
	for n := range 200 {
		grant.Publish.Allow = append(grant.Publish.Allow, fmt.Sprintf("orders.of.customer.%d.>", n))
	}
	identity, _ := i.Propose("test")
	_, err := i.Issue(t.Context(), identity, grant, time.Now().Add(time.Hour))
	var large *jwt.TooLargeError
	if !errors.As(err, &large) || large.Max != 3500 || large.Bytes <= 3500 {
		t.Errorf("the error is %v", err)
	}
}

// The order of a list changes nothing, its content does.
func TestDigest(t *testing.T) {
	a := issuer.Grant{Publish: issuer.Subjects{Allow: []string{"a", "b"}}}
	b := issuer.Grant{Publish: issuer.Subjects{Allow: []string{"b", "a"}}}
	if a.Digest() != b.Digest() || a.Publish.Allow[0] != "a" || b.Publish.Allow[0] != "b" {
		t.Error("the order of subjects changes the digest, or making one changes the order")
	}
	seen := map[string]bool{}
	for _, g := range []issuer.Grant{
		{}, a, {Subscribe: a.Publish}, {Publish: issuer.Subjects{Deny: []string{"a", "b"}}}, {Scoped: true}, {Responses: &issuer.Responses{Max: 1}},
		{Subscriptions: 1}, {Payload: 1}, {ConnectionTypes: []string{"MQTT"}}, {SourceCIDRs: []string{"10.0.0.0/8"}}, {Times: []issuer.Range{{Start: "a"}}},
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
func TestRevise(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	account := natsjwt.NewAccountClaims("A")
	account.RevokeAt("foreign", now.Add(-time.Hour))
	account.RevokeAt("expired", now.Add(-time.Minute))
	account.RevokeAt("early", now)
	ours := map[string]time.Time{
		"expired": now.Add(-time.Second), "early": now.Add(time.Hour), "missing": now.Add(2 * time.Hour), "gone": now.Add(-time.Hour),
	}
	if jwt.Revoked(account, ours, now) || !jwt.Revise(account, ours, now) || !jwt.Revoked(account, ours, now) {
		t.Errorf("the revocations are %v", account.Revocations)
	}
	want := natsjwt.RevocationList{"foreign": now.Add(-time.Hour).Unix(), "early": now.Add(time.Hour).Unix(), "missing": now.Add(2 * time.Hour).Unix()}
	if fmt.Sprint(account.Revocations) != fmt.Sprint(want) {
		t.Errorf("the revocations are %v, want %v", account.Revocations, want)
	}
	if jwt.Revise(account, ours, now) {
		t.Error("a second time changes something")
	}
}
