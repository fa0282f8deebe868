// Package providertest is what all issuers have in common, as tests on a real
// server.
package providertest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/provider"
)

// Fixture is an issuer that has just been made, with servers that know its account.
type Fixture struct {
	provider.Issuer
	// AccountID is the public key of the account.
	AccountID string
	// NATS runs, and listens.
	NATS *natslocal.System
	// Retire makes sure that an identity cannot connect any more.
	Retire func(provider.Identity, time.Time) error
	// Outside is all that the issuer can have changed outside of the process.
	Outside func() string
	// Scoped returns an issuer of the same account whose key has a scope.
	Scoped func(natsjwt.UserPermissionLimits) provider.Issuer
}

// MaxBytes is how large the JWTs of a fixture may be.
const MaxBytes = 3500

// Run tests an issuer. Each test has a fixture of its own.
func Run(t *testing.T, make func(*testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"grants", (*suite).grants},
		{"wildcards", (*suite).wildcards},
		{"connections", (*suite).connections},
		{"bearer tokens", (*suite).bearer},
		{"scoped key", (*suite).scoped},
		{"credential", (*suite).credential},
		{"sample", (*suite).sample},
		{"refused", (*suite).refused},
		{"at once", (*suite).atOnce},
		{"expiry", (*suite).expiry},
		{"retirement", (*suite).retirement},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&suite{T: t, Fixture: make(t)}) })
	}
}

type suite struct {
	*testing.T
	Fixture
	made int
}

// propose proposes an identity of a name that none had before.
func (s *suite) propose() provider.Identity {
	s.Helper()
	s.made++
	identity, err := s.Propose(fmt.Sprintf("team-a.orders.eu-1.g%d", s.made))
	s.must(err)
	return identity
}

func (s *suite) issue(grant provider.Grant) provider.Credential {
	s.Helper()
	c, err := s.Issue(s.Context(), s.propose(), grant, time.Now().Add(time.Hour))
	s.must(err)
	return c
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// client is a connection that says when it is cut off.
type client struct {
	*nats.Conn
	closed chan bool
}

func (s *suite) connect(c provider.Credential) (client, error) {
	closed := make(chan bool)
	conn, err := s.NATS.Connect(c.File, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err == nil {
		s.Cleanup(conn.Close)
	}
	return client{conn, closed}, err
}

// as connects with what is issued for a grant.
func (s *suite) as(grant provider.Grant) client {
	s.Helper()
	c, err := s.connect(s.issue(grant))
	s.must(err)
	return c
}

// refused reports whether the server says no to something.
func (c client) refused(do func(*nats.Conn) error) bool {
	if do(c.Conn) != nil || c.FlushTimeout(10*time.Second) != nil {
		return true
	}
	return c.LastError() != nil // which came before the flush's answer
}

func allow(subjects ...string) provider.Subjects { return provider.Subjects{Allow: subjects} }

func publish(subject string, size int) func(*nats.Conn) error {
	return func(c *nats.Conn) error { return c.Publish(subject, make([]byte, size)) }
}

func subscribe(subjects ...string) func(*nats.Conn) error {
	return func(c *nats.Conn) error {
		for _, s := range subjects {
			if _, err := c.SubscribeSync(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// grants: what is granted is what a real server lets through, and nothing else.
func (s *suite) grants() {
	helper := s.as(provider.Grant{Publish: allow(">")})
	answer := func(times int, after time.Duration) func(*nats.Conn) error {
		return func(c *nats.Conn) error {
			requests, err := c.SubscribeSync("ask")
			s.must(err)
			s.must(c.Flush())
			s.must(helper.PublishRequest("ask", "reply.here", nil))
			request, err := requests.NextMsg(10 * time.Second)
			s.must(err)
			time.Sleep(after)
			for range times {
				s.must(request.Respond(nil))
			}
			return nil
		}
	}
	answers := func(n int64, ttl time.Duration) provider.Grant {
		return provider.Grant{Subscribe: allow("ask"), Responses: &provider.Responses{Max: n, TTL: ttl}}
	}
	for _, test := range []struct {
		name    string
		grant   provider.Grant
		do      func(*nats.Conn) error
		refused bool
	}{
		{"publish what is allowed", provider.Grant{Publish: allow("a.>")}, publish("a.b", 1), false},
		{"publish something else", provider.Grant{Publish: allow("a.>")}, publish("b", 1), true},
		{"publish what is denied", provider.Grant{Publish: provider.Subjects{Allow: []string{"a.>"}, Deny: []string{"a.b"}}}, publish("a.b", 1), true},
		{"publish beside what is denied", provider.Grant{Publish: provider.Subjects{Allow: []string{"a.>"}, Deny: []string{"a.b"}}}, publish("a.c", 1), false},
		{"publish with nothing allowed", provider.Grant{Subscribe: allow(">")}, publish("a", 1), true},
		{"publish what may be subscribed to", provider.Grant{Publish: allow("b"), Subscribe: allow("a")}, publish("a", 1), true},
		{"subscribe to what is allowed", provider.Grant{Subscribe: allow("a.*")}, subscribe("a.b"), false},
		{"subscribe to another", provider.Grant{Subscribe: allow("a.*")}, subscribe("b.c"), true},
		{"subscribe to what is denied", provider.Grant{Subscribe: provider.Subjects{Allow: []string{"a.*"}, Deny: []string{"a.b"}}}, subscribe("a.b"), true},
		{"subscribe deeper", provider.Grant{Subscribe: allow("a.*")}, subscribe("a.b.c"), true},
		{"subscribe with nothing allowed", provider.Grant{Publish: allow(">")}, subscribe("a"), true},
		{"publish with nothing granted", provider.Grant{}, publish("a", 1), true},
		{"subscribe with nothing granted", provider.Grant{}, subscribe("_INBOX.a"), true},
		{"answer once", answers(1, time.Minute), answer(1, 0), false},
		{"answer twice where once is allowed", answers(1, time.Minute), answer(2, 0), true},
		{"answer twice", answers(2, time.Minute), answer(2, 0), false},
		{"answer too late", answers(1, 10*time.Millisecond), answer(1, 50*time.Millisecond), true},
		{"answer where nothing is allowed", provider.Grant{Subscribe: allow("ask")}, answer(1, 0), true},
		{"as many subscriptions as allowed", provider.Grant{Subscribe: allow(">"), Subscriptions: 2}, subscribe("a", "b"), false},
		{"one more", provider.Grant{Subscribe: allow(">"), Subscriptions: 2}, subscribe("a", "b", "c"), true},
		{"a payload as large as allowed", provider.Grant{Publish: allow("a"), Payload: 100}, publish("a", 100), false},
		{"a larger one", provider.Grant{Publish: allow("a"), Payload: 100}, publish("a", 101), true},
	} {
		if got := s.as(test.grant).refused(test.do); got != test.refused {
			s.Errorf("%s: refused: %t, and it should be %t", test.name, got, test.refused)
		}
	}
}

// wildcards: servers let who may subscribe to a.* subscribe to a.>. What comes
// through must still be what was granted.
func (s *suite) wildcards() {
	helper := s.as(provider.Grant{Publish: allow(">")})
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
		c := s.as(provider.Grant{Subscribe: provider.Subjects{Allow: test.allow}})
		sub, err := c.SubscribeSync(test.subscribe)
		s.must(err)
		s.must(c.Flush())
		for _, subject := range []string{"a", "b", "a.b", "a.b.c", "a.b.c.d"} {
			s.must(helper.Publish(subject, nil))
		}
		s.must(helper.Flush())
		s.must(c.Flush())
		var got []string
		for {
			msg, err := sub.NextMsg(20 * time.Millisecond)
			if err != nil {
				break
			}
			got = append(got, msg.Subject)
		}
		if !slices.Equal(got, test.want) {
			s.Errorf("allowed %q and subscribed to %s it gets %q, want %q", test.allow, test.subscribe, got, test.want)
		}
	}
}

// connections: who may connect, from where, when and how, is the server's decision
// too.
func (s *suite) connections() {
	// Twelve hours from UTC: what is morning there is none here.
	const zone = "Pacific/Tarawa"
	there, err := time.LoadLocation(zone)
	s.must(err)
	halves := []provider.Range{{Start: "00:00:00", End: "11:59:59"}, {Start: "12:00:00", End: "23:59:59"}}
	half := time.Now().In(there).Hour() / 12
	now, later := []provider.Range{halves[half]}, []provider.Range{halves[1-half]}
	for _, test := range []struct {
		name    string
		grant   provider.Grant
		refused bool
	}{
		{"anything goes", provider.Grant{}, false},
		{"from here", provider.Grant{SourceCIDRs: []string{"127.0.0.0/8"}}, false},
		{"from here or elsewhere", provider.Grant{SourceCIDRs: []string{"10.0.0.0/8", "127.0.0.0/8"}}, false},
		{"from elsewhere", provider.Grant{SourceCIDRs: []string{"10.0.0.0/8"}}, true},
		{"a standard connection", provider.Grant{ConnectionTypes: []string{"STANDARD"}}, false},
		{"only by websocket", provider.Grant{ConnectionTypes: []string{"WEBSOCKET"}}, true},
		{"at this hour", provider.Grant{Times: now, TimeZone: zone}, false},
		{"at another", provider.Grant{Times: later, TimeZone: zone}, true},
		{"at this hour of another zone", provider.Grant{Times: now, TimeZone: "UTC"}, true},
		{"at all hours", provider.Grant{Times: halves, TimeZone: zone}, false},
		{"tagged", provider.Grant{Tags: []string{"namespace:a", "stage:b"}}, false},
	} {
		if _, err := s.connect(s.issue(test.grant)); (err != nil) != test.refused {
			s.Errorf("%s: the server says %v", test.name, err)
		}
	}
}

// bearer: the JWT alone suffices for a bearer token, and for nothing else.
func (s *suite) bearer() {
	for _, bearer := range []bool{true, false} {
		c := s.issue(provider.Grant{Bearer: bearer})
		conn, err := nats.Connect(s.NATS.URL(), nats.UserJWT(func() (string, error) { return c.JWT, nil }, func([]byte) ([]byte, error) { return nil, nil }))
		if (err == nil) != bearer {
			s.Errorf("with bearer: %t the JWT alone gives %v", bearer, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// scoped: permissions and limits come from the scope, which may be made of tags.
func (s *suite) scoped() {
	scope := natsjwt.UserPermissionLimits{}
	scope.Pub.Allow.Add("{{tag(namespace)}}.>")
	scope.Sub.Deny.Add(">")
	scope.NatsLimits = natsjwt.NatsLimits{Subs: natsjwt.NoLimit, Data: natsjwt.NoLimit, Payload: 100}
	s.Issuer = s.Scoped(scope)
	for _, test := range []struct {
		name    string
		do      func(*nats.Conn) error
		refused bool
	}{
		{"the scope's own subject", publish("team-a.b", 1), false},
		{"another subject", publish("team-b.b", 1), true},
		{"subscribing", subscribe("team-a.b"), true},
		{"too much", publish("team-a.b", 101), true},
	} {
		// The rest of the grant counts for nothing.
		grant := provider.Grant{Scoped: true, Tags: []string{"namespace:team-a"}, Publish: allow(">"), Subscribe: allow(">"), Payload: 1000}
		if got := s.as(grant).refused(test.do); got != test.refused {
			s.Errorf("%s: refused: %t, and it should be %t", test.name, got, test.refused)
		}
	}
}

// parts are what must be in a credential in one form or another.
func (s *suite) parts(c provider.Credential) (claims *natsjwt.UserClaims, key string) {
	s.Helper()
	claims, err := natsjwt.DecodeUserClaims(c.JWT)
	s.must(err)
	token, err := natsjwt.ParseDecoratedJWT(c.File)
	s.must(err)
	pair, err := natsjwt.ParseDecoratedUserNKey(c.File)
	s.must(err)
	seed, err := pair.Seed()
	s.must(err)
	if token != c.JWT || !bytes.Equal(seed, c.Seed) {
		s.Error("the file does not have the credential's JWT and seed in it")
	}
	pair, err = nkeys.FromSeed(c.Seed)
	s.must(err)
	key, err = pair.PublicKey()
	s.must(err)
	return claims, key
}

// credential: all fields are there, and say the same.
func (s *suite) credential() {
	identity := s.propose()
	expires := time.Now().Add(24 * time.Hour)
	c, err := s.Issue(s.Context(), identity, provider.Grant{Tags: []string{"stage:b", "namespace:a"}}, expires)
	s.must(err)
	claims, key := s.parts(c)
	if c.User != claims.Subject || c.User != key || identity.User != "" && identity.User != c.User {
		s.Errorf("it is for %s, its JWT for %s, its seed for %s, proposed was %q", c.User, claims.Subject, key, identity.User)
	}
	if identity.Seed != nil && !bytes.Equal(identity.Seed, c.Seed) {
		s.Error("it has another seed than was proposed")
	}
	if c.Name != identity.Name || claims.Name != identity.Name {
		s.Errorf("it is called %q, in its JWT %q, asked for was %q", c.Name, claims.Name, identity.Name)
	}
	if claims.IssuerAccount != s.AccountID {
		s.Errorf("it is for the account %s, not for %s", claims.IssuerAccount, s.AccountID)
	}
	if off := c.Expires.Sub(expires).Abs(); off > 2*time.Second || c.Expires.Unix() != claims.Expires {
		s.Errorf("it expires at %s, its JWT at %s, asked for was %s", c.Expires, time.Unix(claims.Expires, 0), expires)
	}
	if len(claims.Tags) != 2 || !claims.Tags.Contains("stage:b") || !claims.Tags.Contains("namespace:a") {
		s.Errorf("its tags are %q", claims.Tags)
	}
	if other := s.issue(provider.Grant{}); other.User == c.User || other.JWT == c.JWT || bytes.Equal(other.Seed, c.Seed) {
		s.Error("another identity has the same key")
	}
}

// sample: it is like what is issued, has no effect, and is good for nothing.
func (s *suite) sample() {
	grant := provider.Grant{Publish: allow("a.>"), Subscribe: allow("b.*"), Tags: []string{"namespace:a"}}
	issued := s.issue(grant)
	before := s.Outside()
	sample, err := s.Sample(issued.Name, grant)
	s.must(err)
	s.propose()
	if s.Outside() != before {
		s.Error("a sample, or a proposal, has an effect")
	}
	if claims, key := s.parts(sample); sample.Name != issued.Name || claims.Name != issued.Name || claims.Subject != key {
		s.Errorf("the sample is called %q, in its JWT %q", sample.Name, claims.Name)
	}
	if _, err := s.connect(sample); err == nil {
		s.Error("a sample connects")
	}
	for what, sizes := range map[string][2]int{
		"JWT": {len(sample.JWT), len(issued.JWT)}, "file": {len(sample.File), len(issued.File)}, "seed": {len(sample.Seed), len(issued.Seed)},
	} {
		if off := sizes[0] - sizes[1]; off < -16 || off > 16 {
			s.Errorf("the %s of a sample has %d bytes, of what is issued %d", what, sizes[0], sizes[1])
		}
	}
}

// refused: what NATS would not take is not issued, and a sample tells that before.
func (s *suite) refused() {
	var many provider.Grant
	for n := range 200 {
		many.Publish.Allow = append(many.Publish.Allow, fmt.Sprintf("orders.of.customer.%d.>", n))
	}
	for _, test := range []struct {
		name  string
		grant provider.Grant
		large bool
	}{
		{"a network that is none", provider.Grant{SourceCIDRs: []string{"here"}}, false},
		{"an hour that is none", provider.Grant{Times: []provider.Range{{Start: "25:00:00", End: "26:00:00"}}}, false},
		{"a time zone that is none", provider.Grant{TimeZone: "Mars/Olympus"}, false},
		{"a subject that is none", provider.Grant{Publish: allow("a b c")}, false},
		{"too many subjects", many, true},
	} {
		_, sampled := s.Sample("test", test.grant)
		made, issued := s.Issue(s.Context(), s.propose(), test.grant, time.Now().Add(time.Hour))
		for what, err := range map[string]error{"a sample": sampled, "issuing": issued} {
			var large *provider.TooLargeError
			if err == nil || errors.As(err, &large) != test.large || test.large && (large.Max != MaxBytes || large.Bytes <= MaxBytes) {
				s.Errorf("%s: %s says %v", test.name, what, err)
			}
		}
		if made.JWT != "" || made.File != nil {
			s.Errorf("%s: there is a credential beside the error", test.name)
		}
	}
}

// atOnce: as many as may be are issued side by side.
func (s *suite) atOnce() {
	if s.AtOnce() < 1 {
		s.Fatalf("%d are issued at once", s.AtOnce())
	}
	identities := make([]provider.Identity, min(s.AtOnce(), 8))
	credentials, errs := make([]provider.Credential, len(identities)), make([]error, len(identities))
	var wait sync.WaitGroup
	for n := range identities {
		identities[n] = s.propose()
		wait.Go(func() {
			credentials[n], errs[n] = s.Issue(s.Context(), identities[n], provider.Grant{}, time.Now().Add(time.Hour))
		})
	}
	wait.Wait()
	for n, c := range credentials {
		s.must(errs[n])
		if _, err := s.connect(c); err != nil || c.Name != identities[n].Name {
			s.Errorf("%s: %v", c.Name, err)
		}
	}
}

// expiry: who is connected is cut off then, and nobody comes in later.
func (s *suite) expiry() {
	if c, err := s.Issue(s.Context(), s.propose(), provider.Grant{}, time.Now().Add(-time.Second)); err == nil { // it may refuse that
		if _, err := s.connect(c); err == nil {
			s.Error("what has expired connects")
		}
	}
	c, err := s.Issue(s.Context(), s.propose(), provider.Grant{}, time.Now().Add(2*time.Second).Truncate(time.Second))
	s.must(err)
	conn, err := s.connect(c)
	s.must(err)
	conn.cut(s)
	time.Sleep(time.Until(c.Expires.Add(time.Second))) // servers know full seconds
	if _, err := s.connect(c); err == nil {
		s.Error("it connects when it has expired")
	}
}

// cut waits until the server ends the connection.
func (c client) cut(s *suite) {
	s.Helper()
	select {
	case <-c.closed:
	case <-time.After(10 * time.Second):
		s.Fatal("the connection is not cut")
	}
}

// retirement: it ends one identity, whether connected or not, and no other.
func (s *suite) retirement() {
	expires := time.Now().Add(time.Hour)
	one, two := s.issue(provider.Grant{Publish: allow(">")}), s.issue(provider.Grant{Publish: allow(">")})
	first, err := s.connect(one)
	s.must(err)
	second, err := s.connect(two)
	s.must(err)
	for range 2 { // again is fine
		s.must(s.Retire(one.Identity, expires))
		first.cut(s)
		if _, err := s.connect(one); !errors.Is(err, nats.ErrAuthorization) {
			s.Errorf("connecting says %v", err)
		}
	}
	never, unborn := s.propose(), s.propose()
	s.must(s.Retire(never, expires))
	s.must(s.Retire(unborn, time.Now().Add(-time.Hour)))
	if second.IsClosed() || second.refused(publish("a", 1)) {
		s.Error("the other generation is cut off")
	}
	if _, err := s.connect(two); err != nil {
		s.Errorf("the other generation does not connect: %v", err)
	}
	if _, err := s.connect(s.issue(provider.Grant{})); err != nil {
		s.Errorf("the next generation does not connect: %v", err)
	}
}
