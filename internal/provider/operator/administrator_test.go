package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/sysaccount"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// now is the time of all runs.
var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// servers are a NATS system that has one account, or none.
type servers struct {
	*testing.T
	account *natsjwt.AccountClaims
	// pushed is what happens to an update; limit is the largest message.
	pushed          func(*natsjwt.AccountClaims)
	limit           int64
	lookups, pushes int
	largest         int64 // update so far
	// trusted and at are what they say of themselves; fails are errors by what is asked.
	trusted []string
	at      time.Time
	fails   map[string]error
	line    int64
	// look is called with each lookup, before it.
	look func()
}

func (s *servers) Vars(context.Context) (provider.ServerVars, error) {
	return provider.ServerVars{TrustedKeys: s.trusted, Now: s.at, MaxControlLine: s.line}, s.fails["trusted"]
}

func (s *servers) Lookup(context.Context, string) (*provider.AccountJWT, error) {
	if s.look != nil {
		s.look()
	}
	if s.lookups++; s.account == nil || s.fails["lookup"] != nil {
		return nil, s.fails["lookup"]
	}
	copied := *s.account
	copied.Revocations = natsjwt.RevocationList{}
	maps.Copy(copied.Revocations, s.account.Revocations)
	encoded := copied // which is changed by that
	key, _ := newKey(s.T, nkeys.CreateOperator)
	token, err := encoded.Encode(key)
	return &provider.AccountJWT{AccountClaims: &copied, Token: token}, err
}

func (s *servers) Update(_ context.Context, _, token string) error {
	if err := s.fails["update"]; err != nil {
		return err
	}
	s.pushes++
	s.largest = max(s.largest, int64(len(token)))
	claims, err := natsjwt.DecodeAccountClaims(token)
	if err != nil {
		s.Error(err)
	}
	s.pushed(claims)
	return nil
}

func (s *servers) MaxPayload() int64 { return s.limit }

func (s *servers) Close() {}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string) {
	t.Helper()
	pair, err := create()
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

func leaving(user string, expires time.Time) provider.Departure {
	return provider.Departure{Identity: provider.Identity{User: user}, Expires: expires}
}

// A revocation is done once a look at the servers shows it, and not when they have
// taken it: somebody may have pushed an older account over it.
func TestReviseOne(t *testing.T) {
	for _, test := range []struct {
		name   string
		set    func(*servers, *administrator)
		became provider.OutcomeState
		pushes int
		says   string
	}{
		{"the servers show it", func(*servers, *administrator) {}, provider.Revoked, 1, ""},
		{"the servers show it after a while", func(s *servers, _ *administrator) {
			s.pushed = func(c *natsjwt.AccountClaims) {
				at := time.Now().Add(time.Second)
				s.look = func() {
					if !time.Now().Before(at) {
						s.account = c
					}
				}
			}
		}, provider.Revoked, 1, ""},
		{"somebody pushes an older account over it", func(s *servers, _ *administrator) {
			s.pushed = func(*natsjwt.AccountClaims) {}
		}, provider.Pending, 1, "the servers do not show the revocations"},
		{"the account is gone afterwards", func(s *servers, _ *administrator) {
			s.pushed = func(*natsjwt.AccountClaims) { s.account = nil }
		}, provider.Pending, 1, "the servers do not show the revocations"},
		{"it was there before", func(s *servers, _ *administrator) { s.account.RevokeAt("U1", now.AddDate(0, 0, 30)) }, provider.Revoked, 0, ""},
		{"the servers have no such account", func(s *servers, _ *administrator) { s.account = nil }, provider.LeftToExpire, 0, ""},
		{"a stranger has signed the account", func(s *servers, _ *administrator) { s.account.Issuer = "OSTRANGER" }, provider.Pending, 0, "which the servers do not trust"},
		{"the account would be too large", func(s *servers, _ *administrator) { s.limit = 10 }, provider.Pending, 0, "raise max_payload of the servers, which is 10"},
		{"the account is too large already", func(s *servers, _ *administrator) {
			s.limit = 10
			s.account.RevokeAt("U0", now.AddDate(0, 0, -1))
		}, provider.Pending, 0, "raise max_payload of the servers, which is 10"},
		{"a dry run", func(_ *servers, a *administrator) { a.DryRun = true }, provider.Pending, 0, ""},
		{"the account cannot be looked up", func(s *servers, _ *administrator) { s.fails = map[string]error{"lookup": errors.New("nobody answers")} }, provider.Pending, 0, "nobody answers"},
		{"the account cannot be updated", func(s *servers, _ *administrator) {
			s.fails = map[string]error{"update": errors.New("nobody takes it")}
		}, provider.Pending, 0, "nobody takes it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			operator, issuer := newKey(t, nkeys.CreateOperator)
			_, id := newKey(t, nkeys.CreateAccount)
			synctest.Test(t, func(t *testing.T) {
				s := &servers{T: t, account: natsjwt.NewAccountClaims(id), limit: 1 << 20}
				s.account.Issuer = issuer
				s.pushed = func(c *natsjwt.AccountClaims) { s.account = c }
				a := &administrator{Setting: provider.Setting{Now: now}, operator: operator, system: s, trusted: []string{issuer}}
				test.set(s, a)
				fates, err := a.reviseOne(t.Context(), id, []provider.Departure{leaving("U1", now.AddDate(0, 0, 30)), leaving("U0", now)})
				if became := fates.of("U1"); became != test.became || s.pushes != test.pushes {
					t.Errorf("it became %d after %d pushes, want %d after %d", fates.of("U1"), s.pushes, test.became, test.pushes)
				}
				if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
					t.Errorf("it says %v, want %q", err, test.says)
				}
			})
		})
	}
}

// system is a NATS system with an account that lists a signing key. Operator keys are made for each test.
type system struct {
	servers
	operator                nkeys.KeyPair
	operatorKey, id, signer string
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{}
	s.operator, s.operatorKey = newKey(t, nkeys.CreateOperator)
	_, s.id = newKey(t, nkeys.CreateAccount)
	_, s.signer = newKey(t, nkeys.CreateAccount)
	claims := natsjwt.NewAccountClaims(s.id)
	claims.Name, claims.Issuer = "commerce on the servers", s.operatorKey
	claims.SigningKeys.Add(s.signer)
	s.servers = servers{T: t, account: claims, limit: 1 << 20, trusted: []string{s.operatorKey}, at: now}
	s.servers.pushed = func(c *natsjwt.AccountClaims) { s.account = c }
	return s
}

// administrator looks after the account, with no servers to connect to.
func (s *system) administrator() *administrator {
	spec := &v1alpha1.JWT{AccountID: s.id, Operator: &v1alpha1.Operator{}}
	spec.SigningKey.SecretRef.Name = "signing-secret"
	return &administrator{
		Setting:  provider.Setting{NatsAccount: &v1alpha1.NatsAccount{Spec: v1alpha1.NatsAccountSpec{JWT: spec}}, Now: now},
		opened:   provider.Opened{Account: provider.Account{ID: s.id, SigningKey: s.signer}},
		operator: s.operator, operatorKey: s.operatorKey, operatorIn: "baleen-operator/operator-secret", credentialsIn: "baleen-operator/system-secret", system: &s.servers, trusted: s.trusted,
	}
}

// scoped is a scope whose subjects need tags.
func scoped(key string, tags ...string) *natsjwt.UserScope {
	scope := natsjwt.NewUserScope()
	scope.Key, scope.Role = key, "teams"
	for _, tag := range tags {
		scope.Template.Pub.Allow.Add("{{tag(" + tag + ")}}.>")
	}
	return scope
}

// What the servers say of the account, by what is wrong with it: a reason, how far it
// was verified, and whether what is queued was revoked.
func TestLook(t *testing.T) {
	const (
		nothing = "the signing key is of the right kind"
		listed  = "the servers have the account and list its signing key"
		whole   = "the servers have the account, list its signing key and trust the operator's"
	)
	for _, test := range []struct {
		name         string
		change       func(*system, *administrator)
		reason, says string
		verified     string
		named, scope string
		revocable    bool
	}{
		{name: "all is well", change: func(*system, *administrator) {}, verified: whole, named: "commerce on the servers", revocable: true},
		{name: "the servers do not tell whom they trust", change: func(s *system, _ *administrator) {
			s.fails = map[string]error{"trusted": errors.New("nobody answers")}
		},
			reason: "ServersUnreachable", says: "nobody answers", verified: nothing},
		{name: "the clock is behind", change: func(s *system, _ *administrator) { s.at = now.Add(10*time.Minute + time.Second) }, reason: "ClockOff", verified: nothing,
			says: "the clock says 2026-01-01T12:00:00Z, and the NATS servers say 2026-01-01T12:10:01Z: set the clock of the node that runs the pipeline, or that of the servers; until then nothing is revoked, and no revocation is taken back"},
		{name: "the clock is ahead", change: func(s *system, _ *administrator) { s.at = now.Add(-10*time.Minute - time.Second) }, reason: "ClockOff", verified: nothing, says: "the NATS servers say 2026-01-01T11:49:59Z"},
		{name: "the clock is as far off as may be", change: func(s *system, _ *administrator) { s.at = now.Add(10 * time.Minute) }, verified: whole, named: "commerce on the servers", revocable: true},
		{name: "the time is a simulated one", change: func(s *system, a *administrator) { s.at, a.Simulated = now.AddDate(1, 0, 0), true }, verified: whole, named: "commerce on the servers", revocable: true},
		{name: "the account cannot be looked up", change: func(s *system, _ *administrator) {
			s.fails = map[string]error{"lookup": errors.New("nobody answers")}
		},
			reason: "ServersUnreachable", says: "nobody answers", verified: nothing},
		{name: "there is no such account", change: func(s *system, _ *administrator) { s.account = nil }, reason: "AccountUnknown", verified: nothing, says: "push it with nsc, signed anew if it has expired, or correct spec.jwt.accountID"},
		{name: "a stranger has signed it", change: func(s *system, _ *administrator) { s.account.Issuer = "OSTRANGER" }, reason: "IssuerNotTrusted", verified: nothing, named: "commerce on the servers", says: "the account is signed with OSTRANGER"},
		{name: "not all servers trust the operator's key", change: func(s *system, a *administrator) {
			a.operatorKey, s.trusted = "OTHER", []string{s.operatorKey}
		}, reason: "OperatorKeyNotTrusted", verified: listed, named: "commerce on the servers", says: "not all servers trust the operator's signing key OTHER"},
		{name: "the key has a scope", change: func(s *system, a *administrator) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "namespace"))
			a.opened.Scoped = true
		}, verified: whole, named: "commerce on the servers", scope: "teams", revocable: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t)
				a := s.administrator()
				test.change(s, a)
				f := provider.Facts{Verified: nothing}
				a.look(t.Context(), &f)
				says(t, f.Refusal, test.reason, test.says)
				if f.Verified != test.verified || f.Name != test.named || f.Scope != test.scope || f.Revocable != test.revocable {
					t.Errorf("it is verified: %s, of the name %q and the scope %q; it can be revoked in: %t", f.Verified, f.Name, f.Scope, f.Revocable)
				}
			})
		})
	}
}

// says fails unless a refusal has a reason, and a part of its sentence; none has none.
func says(t *testing.T, r *provider.Refusal, reason, part string) {
	t.Helper()
	if r == nil {
		r = &provider.Refusal{Err: errors.New("")}
	}
	if string(r.Reason) != reason || !strings.Contains(r.Err.Error(), part) {
		t.Errorf("it says %s: %v, want %s: %s", r.Reason, r.Err, reason, part)
	}
}

// What was revoked at the servers before a run is among the facts, also where that run
// has put back what somebody had undone.
func TestLookTellsWhatOthersRevoked(t *testing.T) {
	s := newSystem(t)
	a := s.administrator()
	s.account.RevokeAt("U1", now)
	var f provider.Facts
	a.look(t.Context(), &f)
	departure := provider.Departure{Identity: provider.Identity{User: "U2"}, AccountID: s.id, Expires: now.AddDate(0, 0, 1), Again: true}
	if _, refusal := a.Revoke(t.Context(), []provider.Departure{departure}); refusal != nil {
		t.Fatal(refusal.Err)
	}
	if issued := now.AddDate(0, 0, -1); !f.Refuses(s.id, "U1", issued) || f.Refuses(s.id, "U2", issued) || f.Refuses("other", "U1", issued) {
		t.Errorf("the facts are %+v", f)
	}
	if _, has := s.account.Revocations["U2"]; !has {
		t.Error("what somebody has undone is not put back")
	}
}

// Whether an account is as the NatsAccount says, and its scope needs no tag that nobody
// sets.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name         string
		change       func(*system, *administrator)
		reason, says string
	}{
		{"it is", func(*system, *administrator) {}, "", ""},
		{"the key is not listed", func(_ *system, a *administrator) { a.opened.SigningKey = "AOTHER" }, "SigningKeyUnknown",
			"the account does not list the signing key AOTHER: add it with `nsc edit account --sk`, or put the seed of one that it lists into the Secret signing-secret"},
		{"the key should have a scope", func(_ *system, a *administrator) { a.opened.Scoped = true }, "ScopeMismatch", "spec.jwt.signingKey.scoped is true, and the account says otherwise of the signing key"},
		{"the key has a scope", func(s *system, _ *administrator) { s.account.SigningKeys.AddScopedSigner(scoped(s.signer)) }, "ScopeMismatch", "spec.jwt.signingKey.scoped is false, and the account says otherwise of the signing key"},
		{"the scope needs what Baleen sets", func(s *system, a *administrator) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "namespace", "name", "destination"))
			a.opened.Scoped = true
		}, "", ""},
		{"the scope needs what is required of all", func(s *system, a *administrator) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "stage", "name"))
			a.opened.Scoped, a.Spec.JWT.SigningKey.RequiredTags = true, []string{"stage"}
		}, "", ""},
		{"the scope needs something else", func(s *system, a *administrator) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "stage"))
			a.opened.Scoped = true
		}, "ScopeMismatch", "the scope of the signing key needs the tag stage: add it to spec.jwt.signingKey.requiredTags"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSystem(t)
			a := s.administrator()
			test.change(s, a)
			says(t, a.judge(s.account, s.trusted), test.reason, test.says)
		})
	}
}

// Each account that identities came from has those of its own revoked.
func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		_, former := newKey(t, nkeys.CreateAccount)
		going := func(user, id string, expires time.Time) provider.Departure {
			return provider.Departure{Identity: provider.Identity{User: user}, AccountID: id, Expires: expires}
		}
		soon := now.AddDate(0, 0, 30)
		pushed := map[string][]string{}
		a := s.administrator()
		a.system = several{T: t, of: map[string]*servers{s.id: &s.servers}, pushed: pushed}
		outcomes, refusal := a.Revoke(t.Context(), []provider.Departure{going("U1", s.id, soon), going("U2", former, soon), going("U5", s.id, soon), going("U6", s.id, now)})
		if refusal != nil {
			t.Error(refusal.Err)
		}
		if diff := cmp.Diff(map[string][]string{s.id: {"U1", "U5"}}, pushed); diff != "" {
			t.Errorf("what is revoked: %s", diff)
		}
		for i, want := range []provider.OutcomeState{provider.Revoked, provider.LeftToExpire, provider.Revoked, provider.Revoked} {
			if outcomes[i].State != want {
				t.Errorf("the %d. became %d, want %d", i+1, outcomes[i].State, want)
			}
		}
	})
}

// What cannot be revoked is left to a later run, and says why; the other account's is
// revoked all the same.
func TestRevokeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		other := newSystem(t)
		other.account.Issuer = s.operatorKey
		a := s.administrator()
		a.system = several{T: t, of: map[string]*servers{s.id: &s.servers, other.id: &other.servers}, pushed: map[string][]string{}}
		s.pushed = func(*natsjwt.AccountClaims) {}
		going := func(id string) provider.Departure {
			return provider.Departure{Identity: provider.Identity{User: "U1"}, AccountID: id, Expires: now.AddDate(0, 0, 1)}
		}
		outcomes, refusal := a.Revoke(t.Context(), []provider.Departure{going(s.id), going(other.id)})
		says(t, refusal, "RevocationFailed", "the servers do not show the revocations")
		if outcomes[0].State != provider.Pending || outcomes[1].State != provider.Revoked {
			t.Errorf("they became %+v", outcomes)
		}
	})
}

// The servers that are asked are those of the spec, with the certificates that it says.
func TestServersOfTheSpec(t *testing.T) {
	s := newSystem(t)
	with := s.administrator().Setting
	with.Spec.JWT.Operator, with.Spec.JWT.Servers, with.Spec.JWT.CACertificates = nil, []string{"nats://a", "nats://b"}, "PEM"
	asked := ""
	with.Servers = func(urls []string, authorities string) provider.Servers {
		asked = strings.Join(urls, " ") + " " + authorities
		return sysaccount.Servers{}
	}
	if _, err := OpenAdministrator(t.Context(), with, provider.Opened{}); err != nil || asked != "nats://a nats://b PEM" {
		t.Errorf("it asks %q: %v", asked, err)
	}
}

// several are servers with several accounts.
type several struct {
	*testing.T
	of     map[string]*servers
	pushed map[string][]string
}

func (s several) Vars(context.Context) (provider.ServerVars, error) {
	return provider.ServerVars{}, errors.New("nobody asks that")
}

func (s several) Lookup(ctx context.Context, id string) (*provider.AccountJWT, error) {
	if one := s.of[id]; one != nil {
		return one.Lookup(ctx, id)
	}
	return nil, nil
}

func (s several) Update(ctx context.Context, id, token string) error {
	if err := s.of[id].Update(ctx, id, token); err != nil {
		return err
	}
	for user := range s.of[id].account.Revocations {
		s.pushed[id] = append(s.pushed[id], user)
	}
	slices.Sort(s.pushed[id])
	return nil
}

func (s several) MaxPayload() int64 { return 1 << 20 }

func (s several) Close() {}

// An account may be as large as the servers' largest message, and no larger.
func TestReviseAsLargeAsMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		account := *s.account
		revise := func() error {
			copied := account
			copied.Revocations = nil
			s.account = &copied
			_, err := s.administrator().reviseOne(t.Context(), s.id, []provider.Departure{leaving("U1", now.AddDate(0, 0, 1))})
			return err
		}
		if err := revise(); err != nil {
			t.Fatal(err)
		}
		s.limit = s.largest
		if err := revise(); err != nil {
			t.Error(err)
		}
		s.limit--
		if err := revise(); err == nil || !strings.Contains(err.Error(), "raise max_payload") {
			t.Errorf("it says %v", err)
		}
	})
}

// What does not fit into an account waits, and nothing that is in force makes room for it:
// the rest is revoked, and what was deleted first.
func TestReviseInPart(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int64
		says  string
	}{
		{"into what NATS takes", natsjwt.MaxTokenSize, "NATS takes no more; they are made as those in force expire, the first on 2026-01-02T12:00:00Z: have what is replaced often ask for a shorter ttl, give the account another signing key and take out the one that has signed them, or use another account"},
		{"into a message", natsjwt.MaxTokenSize / 2, "raise max_payload of the servers, which is 524288, to at most 1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t)
				s.limit = test.limit
				key := func(n int) string { return fmt.Sprintf("U%055d", n) }
				s.account.RevokeAt("foreign", now.AddDate(0, 0, -1))
				s.account.RevokeAt(key(0), now.AddDate(0, 0, 1))
				going := []provider.Departure{leaving(key(0), now.AddDate(0, 0, 1))}
				for n := range 20_000 {
					d := leaving(key(n+1), now.AddDate(0, 0, 30))
					d.Urgency = provider.Rotated
					going = append(going, d)
				}
				going[len(going)-1].Urgency = provider.AtOnce
				fates, err := s.administrator().reviseOne(t.Context(), s.id, going)
				if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "of 20000 revocations wait, since the account "+s.id) {
					t.Errorf("it says %v", err)
				}
				made := 0
				for _, d := range going {
					_, has := s.account.Revocations[d.User]
					if revoked := fates.of(d.User) == provider.Revoked; has != revoked {
						t.Fatalf("%s is there: %t, and became %d", d.User, has, fates.of(d.User))
					}
					if has {
						made++
					}
				}
				if _, has := s.account.Revocations["foreign"]; !has || fates.of(key(0)) != provider.Revoked || fates.of(key(20_000)) != provider.Revoked {
					t.Errorf("of what was in force and what is deleted is revoked %d and %d; a stranger's is there: %t", fates.of(key(0)), fates.of(key(20_000)), has)
				}
				if least := int(test.limit / 120); made < least || s.largest > test.limit || s.largest < test.limit-200 {
					t.Errorf("%d are revoked in %d bytes", made, s.largest)
				}
				before := s.pushes
				again, err := s.administrator().reviseOne(t.Context(), s.id, going)
				if err == nil || s.pushes != before || again.of(key(0)) != provider.Revoked || again.of(key(19_999)) != provider.Pending {
					t.Errorf("a second time %d pushes are made: %v", s.pushes-before, err)
				}
			})
		})
	}
}

// Where not all fits, revocations make room of what nobody can connect with anyway: the
// account does not list the key any more that has signed it. They are made again with the
// key, and what is not known to be needless stays.
func TestReviseWithoutTheNeedless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		_, former := newKey(t, nkeys.CreateAccount)
		key := func(n int) string { return fmt.Sprintf("U%055d", n) }
		var going []provider.Departure
		for n := range 6_000 {
			d := leaving(key(n), now.AddDate(0, 0, 30))
			if d.SigningKey = former; n%2 == 1 {
				d.SigningKey = s.signer
			}
			going = append(going, d)
		}
		going[0].SigningKey = "" // of a record that is older than that was written down
		s.account.SigningKeys.Add(former)
		revise := func(of []provider.Departure) (int, error) {
			fates, err := s.administrator().reviseOne(t.Context(), s.id, of)
			revoked := 0
			for _, d := range of {
				if fates.of(d.User) == provider.Revoked {
					revoked++
				}
			}
			return revoked, err
		}
		if n, err := revise(going); n != len(going) || len(s.account.Revocations) != n || err != nil {
			t.Fatalf("%d are revoked, %d of them in the account: %v", n, len(s.account.Revocations), err)
		}
		for n := range 6_000 { // more than have room beside them
			d := leaving(key(10_000+n), now.AddDate(0, 0, 30))
			d.SigningKey = s.signer
			going = append(going, d)
		}
		if n, err := revise(going); n == len(going) || err == nil {
			t.Fatalf("with both keys %d are revoked: %v", n, err)
		}
		s.account.SigningKeys.Remove(former)
		if n, err := revise(going); n != len(going) || len(s.account.Revocations) != 9_001 || s.account.Revocations[key(0)] == 0 || s.account.Revocations[key(2)] != 0 || err != nil {
			t.Fatalf("without the former key %d are revoked, %d of them in the account: %v", n, len(s.account.Revocations), err)
		}
		before := s.pushes
		if n, err := revise(going); n != len(going) || s.pushes != before || err != nil {
			t.Errorf("a second time %d are revoked with %d pushes: %v", n, s.pushes-before, err)
		}
		s.account.SigningKeys.Add(former)
		going[2].Again = true
		if _, err := revise(going); err == nil || s.account.Revocations[key(2)] == 0 || len(s.account.Revocations) < 10_000 {
			t.Errorf("with the former key again %d are in the account: %v", len(s.account.Revocations), err)
		}
	})
}

// The look after an update ends with the run that made it.
func TestReviseEndsWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.pushed = func(*natsjwt.AccountClaims) {}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(300*time.Millisecond, func() { cancel(errors.New("the run was stopped")) })
		fates, err := s.administrator().reviseOne(ctx, s.id, []provider.Departure{leaving("U1", now.AddDate(0, 0, 1))})
		if fates.of("U1") != provider.Pending || err == nil || err.Error() != "the run was stopped" || s.lookups != 3 {
			t.Errorf("it became %d after %d looks: %v", fates.of("U1"), s.lookups, err)
		}
	})
}

// dialing has connections answer so, and returns how many were tried.
func dialing(errs ...error) (sysaccount.Dial, *int) {
	n := 0
	return func(string, ...nats.Option) (*nats.Conn, error) {
		err := errs[min(n, len(errs)-1)]
		n++
		return nil, err
	}, &n
}

// refusing is an issuer that has made up a user, or has not.
type refusing struct {
	provider.Issuer
	propose, issue error
	grant          *provider.Grant
	lives          *time.Duration
}

func (r refusing) Propose(name string) (provider.Identity, error) {
	return provider.Identity{Name: name}, r.propose
}

func (r refusing) Issue(_ context.Context, i provider.Identity, grant provider.Grant, expires time.Time) (provider.Credential, error) {
	if r.grant != nil {
		*r.grant, *r.lives = grant, time.Until(expires)
	}
	return provider.Credential{Identity: i}, r.issue
}

// A throw-away user that may do nothing is tried, and what its refusal means depends on
// who may have refused it.
func TestProbe(t *testing.T) {
	const verified = "the servers have the account"
	for _, test := range []struct {
		name         string
		issuer       refusing
		connects     error
		scoped       bool
		change       func(*administrator)
		reason, says string
		verified     string
	}{
		{name: "it is refused, perhaps by the scope, and nobody has found the account", connects: nats.ErrAuthorization, scoped: true, change: func(a *administrator) { a.opened.Unseen = true },
			reason: "UserRefused", says: "nobody can tell whether the account has that key: name spec.jwt.operator", verified: verified},
		{name: "it is refused, perhaps by the scope of an account that was looked up", connects: nats.ErrAuthorization, scoped: true, change: func(a *administrator) { a.opened.Unseen, a.claims = true, unlimited() },
			verified: verified + "; a throw-away user was refused, perhaps by the scope"},
		{name: "it is refused, perhaps by a callout, which lets in others", connects: nats.ErrAuthorization, scoped: true, change: func(a *administrator) { a.claims = callout() },
			verified: verified + "; a throw-away user was refused, perhaps by the account's auth callout"},
		{name: "it is refused by a callout, and nobody has found the account", connects: nats.ErrAuthorization, scoped: true, change: func(a *administrator) { a.opened.Unseen, a.claims = true, callout() },
			reason: "UserRefused", says: "it has an auth callout", verified: verified},
		{name: "it is refused by a callout, without a scope", connects: nats.ErrAuthorization, change: func(a *administrator) { a.claims = callout() },
			reason: "UserRefused", says: "it has an auth callout", verified: verified},
		{name: "the account has expired, and has a callout", connects: nats.ErrAuthorization, scoped: true, change: func(a *administrator) { a.claims = callout(); a.claims.Expires = 1 },
			reason: "UserRefused", says: "its JWT expired on", verified: verified},
		{name: "the account has expired, and the servers hang up", connects: io.ErrClosedPipe, change: func(a *administrator) { a.claims = unlimited(); a.claims.Expires = 1 },
			reason: "UserRefused", says: "its JWT expired on", verified: verified},
		{name: "the servers are away, and there is a callout", connects: nats.ErrNoServers, change: func(a *administrator) { a.claims = callout() },
			reason: "ServersUnreachable", says: "can be reached", verified: verified},
		{name: "the account is full", connects: nats.ErrMaxAccountConnectionsExceeded, verified: verified + "; a throw-away user was accepted, and the account has no connection free"},
		{name: "it connects", verified: verified + ", and a throw-away user could connect"},
		{name: "it cannot be made up", issuer: refusing{propose: errors.New("no key")}, reason: "UserRefused", says: "no key", verified: verified},
		{name: "it cannot be issued", issuer: refusing{issue: errors.New("no user")}, reason: "UserRefused", says: "no user", verified: verified},
		{name: "it is refused", connects: nats.ErrAuthorization, reason: "UserRefused", says: "the servers refuse a user signed with the key SIGNING: the account must list it as a signing key, and exist on the servers", verified: verified},
		{name: "it is refused, perhaps by the scope", connects: nats.ErrAuthorization, scoped: true, verified: verified + "; a throw-away user was refused, perhaps by the scope"},
		{name: "the servers are away", connects: nats.ErrNoServers, reason: "ServersUnreachable", says: "can be reached", verified: verified},
		{name: "the servers are away from a scope", connects: nats.ErrNoServers, scoped: true, reason: "ServersUnreachable", says: "can be reached", verified: verified},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var grant provider.Grant
				var lives time.Duration
				test.issuer.grant, test.issuer.lives = &grant, &lives
				a := newSystem(t).administrator()
				dial, _ := dialing(test.connects)
				a.servers = sysaccount.Servers{Dial: dial}
				a.opened = provider.Opened{Issuer: test.issuer, Account: provider.Account{Scoped: test.scoped, SigningKey: "SIGNING"}}
				a.Spec.JWT.SigningKey.RequiredTags = []string{"stage"}
				if test.change != nil {
					test.change(a)
				}
				f := provider.Facts{Verified: verified}
				a.probe(t.Context(), &f)
				says(t, f.Refusal, test.reason, test.says)
				if f.Verified != test.verified {
					t.Errorf("it is verified: %s, want %s", f.Verified, test.verified)
				}
				if test.issuer.propose == nil {
					want := provider.Grant{Scoped: test.scoped, Tags: []string{"namespace:baleen-probe", "name:baleen-probe", "destination:baleen-probe", "stage:baleen-probe"}}
					if diff := cmp.Diff(want, grant); diff != "" || lives != 5*time.Minute {
						t.Errorf("it lives for %s, and is granted: %s", lives, diff)
					}
				}
			})
		})
	}
}

func unlimited() *natsjwt.AccountClaims {
	return natsjwt.NewAccountClaims("A")
}

func callout() *natsjwt.AccountClaims {
	claims := unlimited()
	claims.Authorization.AuthUsers.Add("U1")
	return claims
}

// How far an account is inspected depends on what Baleen was given of it: an operator's
// key, and where its servers are.
func TestInspect(t *testing.T) {
	const kind, cannot = "the signing key is of the right kind", "there is no operator key, so what is retired lives until it expires"
	for _, test := range []struct {
		name             string
		operator         bool
		servers          []string
		connects         []error
		dials            int
		reason, says     string
		verified, cannot string
	}{
		{name: "nothing", verified: kind, cannot: cannot},
		{name: "its servers", servers: []string{"nats://a"}, connects: []error{nil}, dials: 1, verified: "a throw-away user could connect", cannot: cannot},
		{name: "its servers, which are away", servers: []string{"nats://a"}, connects: []error{nats.ErrNoServers}, dials: 1, reason: "ServersUnreachable", says: "can be reached", verified: kind, cannot: cannot},
		{name: "an operator's key, and the servers are away", operator: true, servers: []string{"nats://a"}, connects: []error{nats.ErrNoServers}, dials: 1, reason: "ServersUnreachable", says: "can be reached", verified: kind},
		{name: "an operator's key, and the system's user is refused", operator: true, servers: []string{"nats://a"}, connects: []error{nats.ErrAuthorization}, dials: 1, reason: "SystemUserRefused",
			says: "the servers refuse the credentials of the system account in the Secret baleen-operator/system-secret: replace them: ", verified: kind},
	} {
		t.Run(test.name, func(t *testing.T) {
			dial, n := dialing(append(test.connects, errors.New("not asked"))...)
			a := newSystem(t).administrator()
			a.opened.Issuer, a.system = refusing{}, nil
			if !test.operator {
				a.operator = nil
			}
			a.servers, a.Spec.JWT.Servers = sysaccount.Servers{Dial: dial}, test.servers
			f := a.Inspect(t.Context())
			says(t, f.Refusal, test.reason, test.says)
			if *n != test.dials || f.Verified != test.verified || a.CannotRevoke() != test.cannot || f.Revocable || (f.Account == nil) != (test.reason != "") {
				t.Errorf("after %d connections the facts are %+v; it cannot revoke: %s", *n, f, a.CannotRevoke())
			}
			a.Close()
		})
	}
}

// Why nobody is let in is read from the account that the servers have.
func TestLockedOut(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*natsjwt.AccountClaims)
		says   string
	}{
		{"it is well", func(*natsjwt.AccountClaims) {}, ""},
		{"it has expired", func(c *natsjwt.AccountClaims) { c.Expires = now.Unix() }, "its JWT expired on 2026-01-01T12:00:00Z: push one that has not with nsc"},
		{"it expires", func(c *natsjwt.AccountClaims) { c.Expires = now.Unix() + 1 }, ""},
		{"all are revoked up to now", func(c *natsjwt.AccountClaims) { c.RevokeAt(natsjwt.All, now) }, "it revokes all users that are signed up to 2026-01-01T12:00:00Z"},
		{"all were revoked", func(c *natsjwt.AccountClaims) { c.RevokeAt(natsjwt.All, now.Add(-time.Second)) }, ""},
		{"it admits no connection", func(c *natsjwt.AccountClaims) { c.Limits.Conn = 0 }, "its limits admit no connection"},
		{"it admits one", func(c *natsjwt.AccountClaims) { c.Limits.Conn = 1 }, ""},
		{"it has an auth callout", func(c *natsjwt.AccountClaims) { c.Authorization.AuthUsers.Add("U1") }, "it has an auth callout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, id := newKey(t, nkeys.CreateAccount)
			claims := natsjwt.NewAccountClaims(id)
			test.change(claims)
			if got := lockedOut(claims, now); !strings.HasPrefix(got, test.says) || (got == "") != (test.says == "") {
				t.Errorf("it says %q, want %q", got, test.says)
			}
		})
	}
	if got := lockedOut(nil, now); got != "" {
		t.Errorf("of an account that nobody has looked up it says %q", got)
	}
}

// Users are made for the account as the servers have it, and by what these take.
func TestFound(t *testing.T) {
	s := newSystem(t)
	a := s.administrator()
	s.line, s.account.Limits.DisallowBearer = 4096, true
	var f provider.Facts
	a.look(t.Context(), &f)
	if want := (provider.Account{ID: s.id, SigningKey: s.signer, NoBearer: true, MaxJWTBytes: 3796}); f.Account == nil || *f.Account != want {
		t.Errorf("it is %+v, want %+v", f.Account, want)
	}
	if was := (provider.Account{NameInScope: true, NoBearer: true, SigningKey: "other"}); found(was, natsjwt.NewAccountClaims(s.id), provider.ServerVars{}).NameInScope {
		t.Error("a scope that is gone is remembered")
	}
	for line, most := range map[int64]int64{0: 0, 200: 0, 1 << 20: 1<<20 - 300} {
		if got := found(provider.Account{}, s.account, provider.ServerVars{MaxControlLine: line}).MaxJWTBytes; got != most {
			t.Errorf("a line of %d bytes takes a JWT of %d", line, got)
		}
	}
}
