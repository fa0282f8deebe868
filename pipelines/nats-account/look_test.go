package natsaccount

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natsys"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// system is a NATS system with an account that lists a signing key, and a world that
// draws from it. Operator keys are made for each test.
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

// world is that of a run for the account.
func (s *system) world(ledgers ...*ledger.Ledger) world {
	a := operated()
	a.Spec.JWT.Operator.SystemCredentialsSecretRef.Name, a.Spec.JWT.Operator.SigningKeySecretRef.Name = "system-secret", "operator-secret"
	a.Spec.JWT.SigningKey.SecretRef.Name = "signing-secret"
	return world{
		account:  &account.Account{NatsAccount: a, ID: s.id, SigningKey: s.signer},
		operator: s.operator, operatorKey: s.operatorKey, ledgers: ledgers,
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
		change       func(*system, *world, *workflow.Run)
		reason, says string
		verified     string
		named, scope string
		became       settlement
		revocations  int
		pushes       int
	}{
		{name: "all is well", change: func(*system, *world, *workflow.Run) {}, verified: whole, named: "commerce on the servers", became: revoked, revocations: 2, pushes: 1},
		{name: "the servers do not tell whom they trust", change: func(s *system, _ *world, _ *workflow.Run) {
			s.fails = map[string]error{"trusted": errors.New("nobody answers")}
		},
			reason: "ServersUnreachable", says: "nobody answers", verified: nothing},
		{name: "the clock is behind", change: func(s *system, _ *world, _ *workflow.Run) { s.at = now.Add(10*time.Minute + time.Second) }, reason: "ClockOff", verified: nothing,
			says: "the clock says 2026-01-01T12:00:00Z, and the NATS servers say 2026-01-01T12:10:01Z: set the clock of the node that runs the pipeline, or that of the servers; until then nothing is revoked, and no revocation is taken back"},
		{name: "the clock is ahead", change: func(s *system, _ *world, _ *workflow.Run) { s.at = now.Add(-10*time.Minute - time.Second) }, reason: "ClockOff", verified: nothing, says: "the NATS servers say 2026-01-01T11:49:59Z"},
		{name: "the clock is as far off as may be", change: func(s *system, _ *world, _ *workflow.Run) { s.at = now.Add(10 * time.Minute) }, verified: whole, named: "commerce on the servers", became: revoked, revocations: 2, pushes: 1},
		{name: "the time is a simulated one", change: func(s *system, _ *world, run *workflow.Run) { s.at, run.Simulated = now.AddDate(1, 0, 0), true }, verified: whole, named: "commerce on the servers", became: revoked, revocations: 2, pushes: 1},
		{name: "the account cannot be looked up", change: func(s *system, _ *world, _ *workflow.Run) {
			s.fails = map[string]error{"lookup": errors.New("nobody answers")}
		},
			reason: "ServersUnreachable", says: "nobody answers", verified: nothing},
		{name: "there is no such account", change: func(s *system, _ *world, _ *workflow.Run) { s.account = nil }, reason: "AccountUnknown", verified: nothing, says: "push it with nsc, or correct spec.jwt.accountID"},
		{name: "a stranger has signed it", change: func(s *system, _ *world, _ *workflow.Run) { s.account.Issuer = "OSTRANGER" }, reason: "IssuerNotTrusted", verified: nothing, named: "commerce on the servers", says: "the account is signed with OSTRANGER"},
		{name: "not all servers trust the operator's key", change: func(s *system, w *world, _ *workflow.Run) {
			w.operatorKey, s.trusted = "OTHER", []string{s.operatorKey}
		}, reason: "OperatorKeyNotTrusted", verified: listed, named: "commerce on the servers", says: "not all servers trust the operator's signing key OTHER"},
		{name: "the key has a scope", change: func(s *system, w *world, _ *workflow.Run) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "namespace"))
			w.account.Scoped = true
		}, verified: whole, named: "commerce on the servers", scope: "teams", became: revoked, revocations: 2, pushes: 1},
		{name: "the revocations do not arrive", change: func(s *system, _ *world, _ *workflow.Run) { s.pushed = func(*natsjwt.AccountClaims) {} }, reason: "RevocationFailed", verified: whole, named: "commerce on the servers",
			says: "the servers do not show the revocations", pushes: 1},
		{name: "nothing is to be revoked", change: func(_ *system, w *world, _ *workflow.Run) { w.ledgers = nil }, verified: whole, named: "commerce on the servers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t)
				row := active("U1")
				row.State, row.Basis.AccountID = ledger.Retiring, s.id
				before := active("U2")
				before.Generation, before.State, before.Revoked, before.Basis.AccountID = 2, ledger.Retired, now, s.id
				past := active("U3")
				past.Generation, past.State, past.Expires, past.Basis.AccountID = 3, ledger.Retiring, now, s.id
				l := &ledger.Ledger{Request: orders, Rows: []ledger.Row{row, before, past}}
				w, run := s.world(l), &workflow.Run{Now: now}
				test.change(s, &w, run)
				f := finding{verified: nothing, settled: func(*ledger.Ledger, ledger.Row) settlement { return pending }}
				f.look(t.Context(), run, w, s)
				if f.reason != test.reason || (f.err != nil) != (test.reason != "") || f.err != nil && !strings.Contains(f.err.Error(), test.says) {
					t.Errorf("it says %s: %v, want %s: %s", f.reason, f.err, test.reason, test.says)
				}
				if f.verified != test.verified || f.name != test.named || f.scope != test.scope {
					t.Errorf("it is verified: %s, of the name %q and the scope %q", f.verified, f.name, f.scope)
				}
				if got := f.settled(l, row); got != test.became || f.revocations != test.revocations || s.pushes != test.pushes {
					t.Errorf("it became %d, with %d revocations and %d pushes", got, f.revocations, s.pushes)
				}
			})
		})
	}
}

// What was revoked at the servers before a run is told by its first look, also where
// that run has put back what somebody had undone.
func TestLookTellsWhatOthersRevoked(t *testing.T) {
	s := newSystem(t)
	theirs, mine := active("U1"), active("U2")
	mine.Generation, mine.State, mine.Revoked = 2, ledger.Retired, now
	theirs.Basis.AccountID, mine.Basis.AccountID = s.id, s.id
	s.account.RevokeAt("U1", now)
	var f finding
	f.look(t.Context(), &workflow.Run{Now: now}, s.world(&ledger.Ledger{Request: orders, Rows: []ledger.Row{theirs, mine}}), s)
	if !f.refused(theirs) || f.refused(mine) {
		t.Errorf("U1 is refused: %t, U2: %t", f.refused(theirs), f.refused(mine))
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
		change       func(*system, *world)
		reason, says string
	}{
		{"it is", func(*system, *world) {}, "", ""},
		{"the key is not listed", func(_ *system, w *world) { w.account.SigningKey = "AOTHER" }, "SigningKeyUnknown",
			"the account does not list the signing key AOTHER: add it with `nsc edit account --sk`, or put the seed of one that it lists into the Secret signing-secret"},
		{"the key should have a scope", func(_ *system, w *world) { w.account.Scoped = true }, "ScopeMismatch", "spec.jwt.signingKey.scoped is true, and the account says otherwise of the signing key"},
		{"the key has a scope", func(s *system, _ *world) { s.account.SigningKeys.AddScopedSigner(scoped(s.signer)) }, "ScopeMismatch", "spec.jwt.signingKey.scoped is false, and the account says otherwise of the signing key"},
		{"the scope needs what Baleen sets", func(s *system, w *world) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "namespace", "name", "destination"))
			w.account.Scoped = true
		}, "", ""},
		{"the scope needs what is required of all", func(s *system, w *world) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "stage", "name"))
			w.account.Scoped, w.account.Spec.JWT.SigningKey.RequiredTags = true, []string{"stage"}
		}, "", ""},
		{"the scope needs something else", func(s *system, w *world) {
			s.account.SigningKeys.AddScopedSigner(scoped(s.signer, "stage"))
			w.account.Scoped = true
		}, "ScopeMismatch", "the scope of the signing key needs the tag stage: add it to spec.jwt.signingKey.requiredTags"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSystem(t)
			w := s.world()
			test.change(s, &w)
			reason, err := judge(w, s.account, s.trusted)
			if reason != test.reason || (err != nil) != (reason != "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %s: %v, want %s: %s", reason, err, test.reason, test.says)
			}
		})
	}
}

// Each account that identities came from has those of its own revoked, and an identity
// that was queued after the ledgers were read waits for the next run.
func TestRevise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		_, former := newKey(t, nkeys.CreateAccount)
		row := func(generation int64, user, id string, change func(*ledger.Row)) ledger.Row {
			r := active(user)
			r.Generation, r.State, r.Basis.AccountID = generation, ledger.Retiring, id
			change(&r)
			return r
		}
		same := func(*ledger.Row) {}
		queued, there := row(1, "U1", s.id, same), row(2, "U2", former, same)
		rows := []ledger.Row{
			queued, there,
			row(3, "U3", s.id, func(r *ledger.Row) { r.State = ledger.Active }),
			row(4, "U4", s.id, func(r *ledger.Row) { r.Basis.Account = "payments" }),
			row(5, "U5", s.id, func(r *ledger.Row) { r.State, r.Revoked = ledger.Retired, now }),
			row(6, "U6", s.id, func(r *ledger.Row) { r.State, r.Revoked, r.Expires = ledger.Retired, now, now }),
			row(7, "U7", s.id, func(r *ledger.Row) { r.State = ledger.Retired }),
		}
		pushed := map[string][]string{}
		accounts := several{T: t, of: map[string]*servers{s.id: &s.servers}, pushed: pushed}
		l := &ledger.Ledger{Request: orders, Rows: rows}
		f := finding{}
		f.revise(t.Context(), &workflow.Run{Now: now}, s.world(l), accounts, s.trusted)
		if f.err != nil {
			t.Error(f.err)
		}
		if diff := cmp.Diff(map[string][]string{s.id: {"U1", "U5"}}, pushed); diff != "" {
			t.Errorf("what is revoked: %s", diff)
		}
		if f.revocations != 2 {
			t.Errorf("%d revocations are counted", f.revocations)
		}
		for r, want := range map[*ledger.Row]settlement{&queued: revoked, &there: leftToExpire, {User: "U9", Basis: ledger.Basis{AccountID: s.id}}: pending, {User: "U9", Basis: ledger.Basis{AccountID: "OTHER"}}: pending} {
			if got := f.settled(l, *r); got != want {
				t.Errorf("%s became %d, want %d", r.User, got, want)
			}
		}
	})
}

// several are servers with several accounts.
type several struct {
	*testing.T
	of     map[string]*servers
	pushed map[string][]string
}

func (s several) TrustedKeys(context.Context) ([]string, time.Time, error) {
	return nil, time.Time{}, errors.New("nobody asks that")
}

func (s several) Lookup(ctx context.Context, id string) (*natsjwt.AccountClaims, error) {
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

// An account may be as large as the servers' largest message, and no larger.
func TestReviseAsLargeAsMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		account := *s.account
		revise := func() error {
			copied := account
			copied.Revocations = nil
			s.account = &copied
			_, err := reviseOne(t.Context(), &workflow.Run{Now: now}, s.world(), s, s.trusted, s.id, map[string]time.Time{"U1": now.AddDate(0, 0, 1)})
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

// The look after an update ends with the run that made it.
func TestReviseEndsWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.pushed = func(*natsjwt.AccountClaims) {}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(300*time.Millisecond, func() { cancel(errors.New("the run was stopped")) })
		became, err := reviseOne(ctx, &workflow.Run{Now: now}, s.world(), s, s.trusted, s.id, map[string]time.Time{"U1": now.AddDate(0, 0, 1)})
		if became != pending || err == nil || err.Error() != "the run was stopped" || s.lookups != 3 {
			t.Errorf("it became %d after %d looks: %v", became, s.lookups, err)
		}
	})
}

// dialing has connections answer so, and returns how many were tried.
func dialing(errs ...error) (natsys.Dial, *int) {
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
		reason, says string
		verified     string
	}{
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
				w := newSystem(t).world()
				w.servers.Dial, _ = dialing(test.connects)
				w.account.Issuer, w.account.Scoped, w.account.SigningKey = test.issuer, test.scoped, "SIGNING"
				w.account.Spec.JWT.SigningKey.RequiredTags = []string{"stage"}
				f := finding{verified: verified}
				f.probe(t.Context(), w)
				if f.reason != test.reason || (f.err != nil) != (test.reason != "") || f.err != nil && !strings.Contains(f.err.Error(), test.says) || f.verified != test.verified {
					t.Errorf("it says %s: %v; %s, want %s: %s; %s", f.reason, f.err, f.verified, test.reason, test.says, test.verified)
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

// How far an account is examined depends on what Baleen was given of it: an operator's
// key, and where its servers are.
func TestExamine(t *testing.T) {
	for _, test := range []struct {
		name             string
		operator         bool
		servers          []string
		connects         []error
		dials            int
		reason           string
		verified, revoke string
		became           settlement
	}{
		{name: "nothing", verified: "the signing key is of the right kind", revoke: "none: there is no operator key, so what is let go of lives until it expires", became: leftToExpire},
		{name: "its servers", servers: []string{"nats://a"}, connects: []error{nil}, dials: 1, verified: "a throw-away user could connect", revoke: "none: there is no operator key, so what is let go of lives until it expires", became: leftToExpire},
		{name: "its servers, which are away", servers: []string{"nats://a"}, connects: []error{nats.ErrNoServers}, dials: 1, reason: "ServersUnreachable", verified: "the signing key is of the right kind",
			revoke: "none: there is no operator key, so what is let go of lives until it expires", became: leftToExpire},
		{name: "an operator's key, and the servers are away", operator: true, servers: []string{"nats://a"}, connects: []error{nats.ErrNoServers}, dials: 1, reason: "ServersUnreachable", verified: "the signing key is of the right kind", revoke: "possible", became: pending},
		{name: "an operator's key, and the system's user is refused", operator: true, servers: []string{"nats://a"}, connects: []error{nats.ErrAuthorization}, dials: 1, reason: "SystemUserRefused", verified: "the signing key is of the right kind", revoke: "possible", became: pending},
	} {
		t.Run(test.name, func(t *testing.T) {
			dial, n := dialing(append(test.connects, errors.New("not asked"))...)
			w := newSystem(t).world()
			w.account.Issuer = refusing{}
			if !test.operator {
				w.operator = nil
			}
			w.servers = natsys.Servers{URLs: test.servers, Dial: dial}
			f := examine(t.Context(), &workflow.Run{Now: now}, w)
			if f.reason != test.reason || *n != test.dials || f.verified != test.verified || f.revocation != test.revoke {
				t.Errorf("after %d connections it says %s: %v; it is verified: %s; revocation: %s", *n, f.reason, f.err, f.verified, f.revocation)
			}
			if got := f.settled(nil, ledger.Row{}); got != test.became || f.refused(ledger.Row{}) {
				t.Errorf("what is queued became %d, want %d", got, test.became)
			}
			if test.reason == "SystemUserRefused" && !strings.HasPrefix(f.err.Error(), "the servers refuse the credentials of the system account in the Secret system-secret: replace them: ") {
				t.Error(f.err)
			}
		})
	}
}
