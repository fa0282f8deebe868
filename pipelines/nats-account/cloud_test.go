package natsaccount

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	natsjwt "github.com/nats-io/jwt/v2"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// cloudy is a run for an account at a stand-in for Synadia Cloud, of this process.
type cloudy struct {
	*fakecloud.Cloud
	*testing.T
	run *workflow.Run
	at  time.Time // by the cloud's clock, if it tells
}

// RoundTrip has the cloud say what time it is.
func (c *cloudy) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := fakecloud.Transport(c.Cloud).RoundTrip(r)
	if err == nil && !c.at.IsZero() {
		response.Header.Set("Date", c.at.UTC().Format(http.TimeFormat))
	}
	return response, err
}

func newCloud(t *testing.T) *cloudy {
	t.Helper()
	memory := platform.NewMemory(func() time.Time { return now })
	c := &cloudy{T: t, run: &workflow.Run{
		Promise: "nats-account", Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler),
		Identity: identity.Request{Kind: platform.NatsAccount.Kind, Namespace: account.Namespace, Name: "commerce"},
	}}
	system, err := natslocal.New(t.TempDir()) // which need not run
	if err == nil {
		c.Cloud, err = fakecloud.New(fakecloud.Options{NATS: system, Tokens: []string{"token"}, Now: func() time.Time { return c.run.Now }})
	}
	if err != nil {
		t.Fatal(err)
	}
	putSecret(t, memory, account.Namespace, "synadia", map[string]string{"token": "token"})
	c.run.Request = put(t, memory, platform.NatsAccount, account.Namespace, "commerce", `spec:
  provider: synadia
  synadia: {system: NGS, account: commerce, platform: prod, tokenSecretRef: {name: synadia}, servers: ["tls://connect.ngs.global"]}
  policy: {namespaces: ["team-*"]}`, "")
	return c
}

func (c *cloudy) pipeline() pipeline { return pipeline{Network{Transport: c}} }

// spec changes what the account says of Synadia.
func (c *cloudy) spec(change func(spec map[string]any)) {
	change(c.run.Request.Object["spec"].(map[string]any)["synadia"].(map[string]any))
}

// apply runs the account, and keeps what its status says.
func (c *cloudy) apply() workflow.Result {
	c.Helper()
	result, err := c.pipeline().configure(c.Context(), c.run)
	if err != nil {
		c.Fatal(err)
	}
	c.keep(result)
	return result
}

func (c *cloudy) keep(result workflow.Result) {
	c.Helper()
	shown := result.Status["account"].(v1alpha1.AccountStatus)
	status := map[string]any{
		"id": shown.ID, "signingKey": shown.SigningKey, "providerID": shown.ProviderID, "read": shown.Read, "source": shown.Source, "unknownUsers": shown.UnknownUsers, "scoped": shown.Scoped,
	}
	c.run.Request.Object["status"] = map[string]any{"account": status}
}

// inputs are that of another run of the account, which has been seen.
func (c *cloudy) world() inputs {
	c.Helper()
	in, err := c.pipeline().gather(c.Context(), c.run)
	if err != nil {
		c.Fatal(err)
	}
	return in
}

// make has the cloud make a user for a generation, and returns its row.
func (c *cloudy) make(request identity.Request, generation int64, lives time.Duration) ledger.Record {
	c.Helper()
	in := c.world()
	made, err := in.account.Issuer.Issue(c.Context(), provider.Identity{Name: in.account.UserName(request, "eu-1", generation)}, provider.Grant{}, c.run.Now.Add(lives))
	if err != nil {
		c.Fatal(err)
	}
	return ledger.Record{
		Destination: "eu-1", Generation: generation, State: ledger.Active, User: made.User, ID: made.ID, Settings: made.Settings, Issued: c.run.Now, Expires: made.Expires,
		Basis: ledger.Basis{Account: "commerce", AccountID: in.account.ID, ProviderAccount: in.account.ProviderAccount}, Ciphertext: map[string]string{"nats.creds": "sealed"},
	}
}

// save stores a ledger of a request with rows.
func (c *cloudy) save(request identity.Request, rows ...ledger.Record) *ledger.Ledger {
	c.Helper()
	store := ledger.Store{Client: c.run.Platform}
	l, err := store.Get(c.Context(), request)
	if err == nil {
		l.UID, l.Records = "1", rows
		err = store.Save(c.Context(), l)
	}
	if err != nil {
		c.Fatal(err)
	}
	return l
}

// asked are the requests since it was asked last, without ids.
func (c *cloudy) asked() []string {
	var lines []string
	for _, r := range c.Requests() {
		lines = append(lines, r.Short().String())
	}
	c.ForgetRequests()
	return lines
}

func retiringRow(r *ledger.Record) { r.State = ledger.Retiring }
func of(r ledger.Record, change ...func(*ledger.Record)) ledger.Record {
	for _, do := range change {
		do(&r)
	}
	return r
}

// What the control plane says of the account, by what is wrong with it. What is queued
// goes as soon as the account is found, whatever is wrong with its group.
func TestVisit(t *testing.T) {
	const (
		silent = "the control plane did not answer"
		known  = "the control plane has the account"
		signs  = `the control plane has the account, and can sign with its signing key group "Default"`
	)
	scope := func(subjects ...string) *natsjwt.UserPermissionLimits {
		s := natsjwt.NewUserScope()
		s.Template.Pub.Allow.Add(subjects...)
		return &s.Template
	}
	group := func(c *cloudy, g fakecloud.Group) {
		if _, err := c.AddGroup(c.Account, g); err != nil {
			c.Fatal(err)
		}
		c.spec(func(s map[string]any) { s["signingKeyGroup"] = g.Name })
	}
	for _, test := range []struct {
		name         string
		change       func(*cloudy)
		reason, says string
		verified     string
		named, scope string
		became, past provider.OutcomeState // of what is queued: what lives, and what has expired
		read         bool
	}{
		{name: "all is well", change: func(*cloudy) {}, verified: signs, named: "commerce", became: provider.Revoked, past: provider.Revoked, read: true},
		{name: "there is no such account", change: func(c *cloudy) { c.spec(func(s map[string]any) { s["account"] = "other" }) }, reason: "AccountUnknown", says: `the token sees no account "other" in a system "NGS"`, verified: silent, became: provider.Pending, past: provider.LeftToExpire},
		{name: "the token is refused", change: func(c *cloudy) { c.RevokeToken("token") }, reason: "TokenRefused", says: "the token is refused (401)", verified: silent},
		{name: "it is away", change: func(c *cloudy) { c.Fail(fakecloud.Fault{Drop: true}) }, reason: "ProviderUnreachable", says: "there was no answer", verified: silent},
		{name: "the clock is behind", change: func(c *cloudy) { c.at = now.Add(10*time.Minute + time.Second) }, reason: "ClockOff", verified: silent,
			says: "the clock says 2026-01-01T12:00:00Z, and the control plane says 2026-01-01T12:10:01Z: set the clock of the node that runs the pipeline; until then nothing is revoked, and no revocation is taken back"},
		{name: "the clock is ahead", change: func(c *cloudy) { c.at = now.Add(-10*time.Minute - time.Second) }, reason: "ClockOff", says: "the control plane says 2026-01-01T11:49:59Z", verified: silent},
		{name: "the clock is as far off as may be", change: func(c *cloudy) { c.at = now.Add(10 * time.Minute) }, verified: signs, named: "commerce", became: provider.Revoked, past: provider.Revoked, read: true},
		{name: "the time is a simulated one", change: func(c *cloudy) { c.at, c.run.Simulated = now.AddDate(1, 0, 0), true }, verified: signs, named: "commerce", became: provider.Revoked, past: provider.Revoked, read: true},
		{name: "its group cannot sign", change: func(c *cloudy) {
			if err := c.DisableGroup(c.Group); err != nil {
				c.Fatal(err)
			}
		}, reason: "SigningKeyUnusable", says: `the signing key group "Default" is disabled`, verified: known, named: "commerce", became: provider.Revoked, past: provider.Revoked},
		{name: "its group has a scope", change: func(c *cloudy) { group(c, fakecloud.Group{Name: "teams", Scope: scope("{{tag(name)}}.>")}) },
			verified: strings.Replace(signs, "Default", "teams", 1), named: "commerce", scope: "teams", became: provider.Revoked, past: provider.Revoked, read: true},
		{name: "its scope needs a tag", change: func(c *cloudy) { group(c, fakecloud.Group{Name: "teams", Scope: scope("{{tag(stage)}}.>")}) }, reason: "ScopeMismatch",
			says: "the scope of the signing key needs the tag stage: add it to spec.synadia.requiredTags", verified: known, named: "commerce", scope: "teams", became: provider.Revoked, past: provider.Revoked},
		{name: "its scope needs a tag that all must have", change: func(c *cloudy) {
			group(c, fakecloud.Group{Name: "teams", Scope: scope("{{tag(stage)}}.>")})
			c.spec(func(s map[string]any) { s["requiredTags"] = []any{"stage"} })
		}, verified: strings.Replace(signs, "Default", "teams", 1), named: "commerce", scope: "teams", became: provider.Revoked, past: provider.Revoked, read: true},
		{name: "its group with a scope cannot sign", change: func(c *cloudy) {
			group(c, fakecloud.Group{Name: "teams", Scope: scope("{{tag(stage)}}.>"), MissingSeed: true})
		}, reason: "SigningKeyUnusable", says: "does not have the seed", verified: known, named: "commerce", became: provider.Revoked, past: provider.Revoked},
		{name: "a dry run", change: func(c *cloudy) { c.run.DryRun = true }, verified: signs, named: "commerce", read: true},
		{name: "what is queued cannot go", change: func(c *cloudy) { c.Fail(fakecloud.Fault{Method: "DELETE", Status: 400}) }, reason: "ProviderUnreachable", says: "cannot be deleted: the answer is 400", verified: signs, named: "commerce"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.apply()
				lives := of(c.make(orders, 1, time.Hour), retiringRow)
				past := of(c.make(orders, 2, time.Hour), retiringRow, func(r *ledger.Record) { r.Expires = now })
				l := c.save(orders, lives, past)
				test.change(c)
				in := c.world()
				in.lastRead = time.Time{}
				f := examine(t.Context(), c.run, in)
				says(t, f.refusal, test.reason, test.says)
				if shown := showAccount(in, f); f.Verified != test.verified || f.Name != test.named || f.Scope != test.scope || shown.Revocation != "possible" {
					t.Errorf("it is verified: %s, of the name %q and the scope %q; revocation: %s", f.Verified, f.Name, f.Scope, shown.Revocation)
				}
				if a, b := f.outcomeOf(in, l, lives, now), f.outcomeOf(in, l, past, now); a != test.became || b != test.past {
					t.Errorf("what lives became %d, and what has expired %d, want %d and %d", a, b, test.became, test.past)
				}
				if (f.reading != nil) != test.read || test.read != f.lastRead.Equal(now) {
					t.Errorf("its users are read: %t, on %s", f.reading != nil, f.lastRead)
				}
				if left := len(c.Users(c.Account)); (left == 0) != (test.became == provider.Revoked) {
					t.Errorf("%d users are left", left)
				}
			})
		})
	}
}

// Who is retired is revoked and removed where it is kept, and what that takes is not
// begun where the budget of a run or the token has come to an end.
func TestRetire(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *cloudy, rows []ledger.Record)
		became []provider.OutcomeState
		reason string
		puts   int // revocations that are asked for
	}{
		{"all go", func(*cloudy, []ledger.Record) {}, []provider.OutcomeState{provider.Revoked, provider.Revoked}, "", 2},
		{"one cannot, and the next does", func(c *cloudy, _ []ledger.Record) {
			c.Fail(fakecloud.Fault{Method: "PUT", Nth: 1, Status: 409})
		}, []provider.OutcomeState{provider.Pending, provider.Revoked}, "ProviderUnreachable", 2},
		{"the token is refused", func(c *cloudy, _ []ledger.Record) {
			c.Fail(fakecloud.Fault{Method: "PUT", Nth: 1, Status: 403})
		}, []provider.OutcomeState{provider.Pending, provider.Pending}, "TokenRefused", 1},
		{"it is not there", func(c *cloudy, _ []ledger.Record) { c.Fail(fakecloud.Fault{Method: "PUT", Nth: 1, Status: 404}) }, []provider.OutcomeState{provider.Pending, provider.Revoked}, "ProviderUnreachable", 2},
		{"the budget is spent", func(c *cloudy, _ []ledger.Record) {
			c.spec(func(s map[string]any) { s["budget"] = "10s" })
			c.Fail(fakecloud.Fault{Method: "DELETE", Late: true, Delay: 11 * time.Second})
		}, []provider.OutcomeState{provider.Pending, provider.Pending}, "ProviderUnreachable", 1},
		{"of an account that is gone", func(_ *cloudy, rows []ledger.Record) { rows[0].Basis.ProviderAccount = "gone" }, []provider.OutcomeState{provider.LeftToExpire, provider.Revoked}, "", 2},
		{"of an account that the token may not see", func(c *cloudy, rows []ledger.Record) {
			rows[0].Basis.ProviderAccount = "gone"
			c.Fail(fakecloud.Fault{Method: "PUT", Nth: 1, Status: 403})
		}, []provider.OutcomeState{provider.LeftToExpire, provider.Revoked}, "", 2},
		{"of an account that is away", func(c *cloudy, rows []ledger.Record) {
			rows[0].Basis.ProviderAccount = "gone"
			c.Fail(fakecloud.Fault{Method: "PUT", Nth: 1, Status: 409})
		}, []provider.OutcomeState{provider.Pending, provider.Revoked}, "ProviderUnreachable", 2},
		{"of another provider", func(_ *cloudy, rows []ledger.Record) { rows[0].Basis.ProviderAccount = "" }, []provider.OutcomeState{provider.LeftToExpire, provider.Revoked}, "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.apply()
				rows := []ledger.Record{of(c.make(orders, 1, time.Hour), retiringRow), of(c.make(orders, 2, time.Hour), retiringRow)}
				test.change(c, rows)
				l := c.save(orders, rows...)
				c.ForgetRequests()
				in := c.world()
				f := examine(t.Context(), c.run, in)
				for i, want := range test.became {
					if got := f.outcomeOf(in, l, rows[i], now); got != want {
						t.Errorf("the %d. became %d, want %d", i+1, got, want)
					}
				}
				says(t, f.refusal, test.reason, "")
				puts := 0
				for _, r := range c.Requests() {
					if r.Method == http.MethodPut {
						puts++
					}
				}
				if puts != test.puts {
					t.Errorf("%d revocations are asked for, want %d", puts, test.puts)
				}
				time.Sleep(time.Minute)                // by the clock of the bubble: the cloud has answered all
				if n := revocations(in, now); n != 0 { // before it is written down
					t.Errorf("%d are counted", n)
				}
			})
		})
	}
}

// The users are read when their interval has passed, and no sooner.
func TestReadIsDue(t *testing.T) {
	for _, test := range []struct {
		name string
		last time.Duration // ago; 0: never
		due  bool
	}{{"never", 0, true}, {"a day ago", 24 * time.Hour, true}, {"almost a day ago", 24*time.Hour - time.Second, false}} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			c.apply()
			in := c.world()
			in.lastRead = time.Time{}
			if test.last > 0 {
				in.lastRead = now.Add(-test.last)
			}
			c.ForgetRequests()
			f := examine(t.Context(), c.run, in)
			if read := slices.Contains(c.asked(), "GET /accounts/…/nats-users 200"); read != test.due || (f.reading != nil) != test.due {
				t.Errorf("they are read: %t, want %t", read, test.due)
			}
			if want := map[bool]time.Time{true: now, false: in.lastRead}[test.due]; !f.lastRead.Equal(want) {
				t.Errorf("they were read on %s, want %s", f.lastRead, want)
			}
		})
	}
}

// What the control plane has is told apart: users of ledgers, of nobody, of who knows
// whom, of other platforms, and those that ledgers have and it has not.
func TestRead(t *testing.T) {
	c := newCloud(t)
	c.apply()
	known, gone := c.make(orders, 1, time.Hour), c.make(orders, 2, time.Hour)
	unloaded, loaded := c.make(orders, 3, time.Hour), c.make(orders, 4, time.Hour)
	c.make(orders, 5, time.Minute) // has expired by then
	c.run.Now = now.Add(time.Minute)
	removed := func(rows ...ledger.Record) {
		in := c.world()
		for _, r := range rows {
			if _, err := in.account.Issuer.(*synadia.Issuer).Retire(t.Context(), provider.Identity{User: r.User, ID: r.ID}, r.Issued, r.Expires); err != nil {
				t.Fatal(err)
			}
		}
	}
	removed(gone, unloaded)
	// One that was made and not downloaded: its answer was lost.
	c.Fail(fakecloud.Fault{Method: "POST", Path: "/nats-users/*/creds", Status: 400})
	in := c.world()
	if _, err := in.account.Issuer.Issue(t.Context(), provider.Identity{Name: in.account.UserName(orders, "eu-1", 6)}, provider.Grant{}, now.Add(time.Hour)); err == nil {
		t.Fatal("it is downloaded")
	}
	if _, err := in.account.Issuer.Issue(t.Context(), provider.Identity{Name: "of somebody else"}, provider.Grant{}, now.Add(time.Hour)); err == nil {
		t.Fatal("it is downloaded")
	}
	c.Heal()
	lost := func(r *ledger.Record) { r.ID = "not-there" }
	row := func(generation int64, change func(*ledger.Record)) ledger.Record {
		return of(known, lost, func(r *ledger.Record) { r.Generation, r.User = generation, fmt.Sprintf("U%d", generation) }, change)
	}
	c.save(orders, known, gone,
		row(11, func(r *ledger.Record) { r.ID = "" }), row(12, func(r *ledger.Record) { r.State = ledger.Retired; r.Revoked = now }), row(13, func(r *ledger.Record) { r.Basis.ProviderAccount = "former" }), row(14, func(r *ledger.Record) { r.Lost = now }))
	in = c.world()
	in.lastRead = time.Time{}
	c.ForgetRequests()
	f := finding{}
	if refusal := f.read(t.Context(), c.run, in); refusal != nil || f.reading == nil {
		t.Fatal(refusal)
	}
	got := map[int64]string{}
	for _, s := range f.reading.of[orders] {
		got[s.generation] = fmt.Sprintf("%s, stray: %t", s.destination, s.stray)
	}
	want := map[int64]string{1: "eu-1, stray: false", 4: "eu-1, stray: false", 5: "eu-1, stray: true", 6: "eu-1, stray: true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the users of the request: %s", diff)
	}
	if f.unknown != 1 || len(f.reading.of) != 1 || len(f.reading.users) != 5 || f.reading.users[loaded.ID].PublicKey != loaded.User {
		t.Errorf("%d are unknown; there are %d users of %d requests", f.unknown, len(f.reading.users), len(f.reading.of))
	}
	if diff := cmp.Diff(map[string]bool{gone.ID: true}, f.reading.gone); diff != "" {
		t.Errorf("what is gone: %s", diff)
	}
	if f.reading.keptIn != c.Account || f.reading.accountID != c.PublicKey(c.Account) || f.reading.account != "commerce" {
		t.Errorf("it is of %+v", f.reading)
	}
	if at := expiry(provider.User{}, now); !at.Equal(now.AddDate(10, 0, 0)) {
		t.Errorf("one that never expires is taken to on %s", at)
	}
	for id, is := range map[string]bool{loaded.ID: false, unloaded.ID: true} {
		if got, err := in.isNobodys(t.Context(), provider.User{ID: id}, now); got != is || err != nil {
			t.Errorf("one that never expires is nobody's: %t, want %t: %v", got, is, err)
		}
	}
	for _, r := range f.reading.users {
		if at := expiry(r, now); r.Expires > 0 && at.Unix() != r.Expires || r.Expires == 0 && !at.Equal(now.AddDate(10, 0, 0)) {
			t.Errorf("%s expires on %s", r.Name, at)
		}
	}
}

// What the control plane does not tell at any call is not taken for anything: no user is
// called lost or nobody's, and what was read before counts.
func TestReadFails(t *testing.T) {
	for _, path := range []string{"/accounts/*/nats-users", "/nats-users/*/issuances", "/nats-users/*"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.apply()
				c.make(orders, 1, time.Hour)
				c.save(orders, of(active("U9"), func(r *ledger.Record) { r.ID, r.Generation, r.Basis.ProviderAccount = "not-there", 9, c.Account }))
				c.Fail(fakecloud.Fault{Method: "GET", Path: path, Status: 400})
				in := c.world()
				in.lastRead = now.Add(-48 * time.Hour)
				f := finding{lastRead: in.lastRead}
				says(t, f.read(t.Context(), c.run, in), "ProviderUnreachable", "")
				if f.reading != nil || !f.lastRead.Equal(in.lastRead) {
					t.Errorf("it was read on %s", f.lastRead)
				}
			})
		})
	}
	t.Run("the platform is away", func(t *testing.T) {
		c := newCloud(t)
		c.apply()
		c.make(orders, 1, time.Hour)
		in := c.world()
		in.store.Client, in.lastRead = platformtest.At(in.store.Client, 1, platformtest.Refused), time.Time{}
		f := finding{}
		says(t, f.read(t.Context(), c.run, in), "PlatformUnavailable", "")
		if f.reading != nil {
			t.Error("it is read")
		}
	})
}

// A request that is not there, and that no ledger is about, has its strays removed by
// the account, which makes ledgers for that in an order that does not change.
func TestOrphans(t *testing.T) {
	of := func(namespace, name string) identity.Request {
		return identity.Request{Kind: platform.NatsUser.Kind, Namespace: namespace, Name: name}
	}
	stray, other := seen{stray: true}, seen{}
	c := &reading{of: map[identity.Request][]seen{
		of("team-b", "gone"): {other, stray}, of("team-a", "gone"): {stray}, of("team-c", "in-use"): {other}, of("team-a", "known"): {stray}, of("team-a", "alive"): {stray}, of("team-b", "alive"): {stray}, of("team-a", "namesake"): {stray},
	}}
	in := &inputs{
		all:     []natsUser{{Peer: workflow.Peer{Namespace: "team-a", Name: "alive"}}, {Peer: workflow.Peer{Namespace: "team-b", Name: "namesake"}}},
		ledgers: []*ledger.Ledger{{Request: of("team-a", "known")}},
	}
	var got []string
	for _, l := range c.orphans(in) {
		got = append(got, l.Request.String())
	}
	if want := []string{"team-a/gone", "team-a/namesake", "team-b/alive", "team-b/gone"}; !slices.Equal(got, want) {
		t.Errorf("they are %v, want %v", got, want)
	}
}

// A user stands in a row by its id, by its key, or where it was to be made.
func TestSeenRow(t *testing.T) {
	s := seen{provider.User{ID: "id", PublicKey: "U1"}, "eu-1", 3, false}
	row := func(change func(*ledger.Record)) ledger.Record {
		r := ledger.Record{Destination: "us-1", Generation: 9, State: ledger.Active, User: "U9", ID: "other"}
		change(&r)
		return r
	}
	for name, test := range map[string]struct {
		row ledger.Record
		is  bool
	}{
		"another":               {row(func(*ledger.Record) {}), false},
		"its id":                {row(func(r *ledger.Record) { r.ID = "id" }), true},
		"its key":               {row(func(r *ledger.Record) { r.User = "U1" }), true},
		"to be made":            {row(func(r *ledger.Record) { r.ID, r.User, r.Destination, r.Generation = "", "", "eu-1", 3 }), true},
		"to be made elsewhere":  {row(func(r *ledger.Record) { r.ID, r.User, r.Generation = "", "", 3 }), false},
		"another is to be made": {row(func(r *ledger.Record) { r.ID, r.User, r.Destination = "", "", "eu-1" }), false},
		"another was made":      {row(func(r *ledger.Record) { r.Destination, r.Generation = "eu-1", 3 }), false},
		"it was retired":        {row(func(r *ledger.Record) { r.ID, r.State, r.Destination, r.Generation = "", ledger.Retired, "eu-1", 3 }), false},
	} {
		if got := s.record(&ledger.Ledger{Records: []ledger.Record{test.row}}); (got != nil) != test.is {
			t.Errorf("%s: it is: %t, want %t", name, got != nil, test.is)
		}
	}
}

// Of Baleen's own revocations those are counted that are still needed.
func TestRevocationsAreCounted(t *testing.T) {
	row := func(change func(*ledger.Record)) ledger.Record {
		r := active("U1")
		r.State, r.Revoked = ledger.Retired, now
		change(&r)
		return r
	}
	in := inputs{admin: administrator{}, account: &account.Account{NatsAccount: operated()}, ledgers: []*ledger.Ledger{{Request: orders, Records: []ledger.Record{
		row(func(*ledger.Record) {}), row(func(r *ledger.Record) { r.Basis.Account = "payments" }), row(func(r *ledger.Record) { r.State = ledger.Retiring }),
		row(func(r *ledger.Record) { r.Revoked = time.Time{} }), row(func(r *ledger.Record) { r.Expires = now }), row(func(*ledger.Record) {}),
	}}}}
	if n := revocations(in, now); n != 3 {
		t.Errorf("%d are counted, want 3", n)
	}
	in.admin = administrator{cannot: "there is no key"}
	if n := revocations(in, now); n != 0 {
		t.Errorf("%d are counted of whom nobody can tell", n)
	}
}

// What somebody has revoked at the control plane is written down, and no user is read
// for a deletion of the account, which does not come back.
func TestCloudTellsWhatOthersRevoked(t *testing.T) {
	c := newCloud(t)
	c.apply()
	theirs, mine := c.make(orders, 1, time.Hour), c.make(orders, 2, time.Hour)
	c.save(orders, theirs, mine)
	in := c.world()
	if _, err := in.account.Issuer.(*synadia.Issuer).Retire(t.Context(), provider.Identity{User: theirs.User}, theirs.Issued, theirs.Expires); err != nil {
		t.Fatal(err)
	}
	c.apply()
	l, err := ledger.Store{Client: c.run.Platform}.Get(t.Context(), orders)
	if err != nil || !l.Records[0].Revoked.Equal(now) || !l.Records[1].Revoked.IsZero() {
		t.Errorf("the ledger has %+v: %v", l.Records, err)
	}
	c.run.Now = now.Add(48 * time.Hour)
	c.ForgetRequests()
	if err := c.pipeline().remove(t.Context(), c.run); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(c.asked(), "GET /accounts/…/nats-users 200") {
		t.Error("a deletion reads all users")
	}
}

// What the status says of an account at Synadia is what the next run goes by.
func TestStatusIsReadAgain(t *testing.T) {
	c := newCloud(t)
	c.run.Request.Object["status"] = map[string]any{"account": map[string]any{"read": now.Format(time.RFC3339), "unknownUsers": int64(3)}}
	if in := c.world(); !in.account.Unseen || !in.lastRead.IsZero() || in.unknown != 0 {
		t.Errorf("of another account it has %s and %d", in.lastRead, in.unknown)
	}
	result := c.apply()
	found := true
	want := v1alpha1.AccountStatus{
		ID: c.PublicKey(c.Account), SigningKey: c.Group, Found: &found, ProviderID: c.Account, Read: now.Format(time.RFC3339), Source: account.Source(c.world().account.NatsAccount), Name: "commerce",
		Verified: `the control plane has the account, and can sign with its signing key group "Default"`, Revocation: "possible",
	}
	if diff := cmp.Diff(want, result.Status["account"]); diff != "" {
		t.Error(diff)
	}
	c.run.Request.Object["status"].(map[string]any)["account"].(map[string]any)["unknownUsers"] = int64(3)
	if in := c.world(); in.account.Unseen || !in.lastRead.Equal(now) || in.unknown != 3 {
		t.Errorf("it was read on %s, with %d that are unknown", in.lastRead, in.unknown)
	}
	if got := c.apply().Status["account"].(v1alpha1.AccountStatus); got.UnknownUsers != 3 || got.Read != now.Format(time.RFC3339) {
		t.Errorf("without a reading its status has %+v", got)
	}
	c.run.Request.Object["status"].(map[string]any)["account"].(map[string]any)["read"] = "yesterday"
	if in := c.world(); !in.lastRead.IsZero() {
		t.Errorf("it was read on %s", in.lastRead)
	}
	in := c.world()
	in.account.Scoped = true
	if s := showAccount(in, finding{unknown: 2}); !s.Scoped || s.UnknownUsers != 2 || s.Read != "" {
		t.Errorf("it shows %+v", s)
	}
	signs := commerce()
	signs.account.Scoped = true
	if s := showAccount(signs, finding{}); !cmp.Equal(s, v1alpha1.AccountStatus{Found: &found, Revocation: "possible"}) {
		t.Errorf("of an account that signs users itself it shows %+v", s)
	}
}

// inCloud is an account at Synadia with a request of each kind: one that delivers, of
// which a former generation is to be revoked and one has expired; one that is gone and
// has a user that nobody can use; and one whose user somebody has deleted.
func inCloud(t *testing.T) *cloudy {
	t.Helper()
	c := newCloud(t)
	c.apply()
	put(t, c.run.Platform, platform.NatsUser, "team-a", "orders", "spec: {accountRef: {name: commerce}}", "{accountTerms: x, conditions: [{type: Ready, status: 'True', reason: Delivered}]}")
	put(t, c.run.Platform, platform.NatsUser, "team-b", "orders", "spec: {accountRef: {name: commerce}}", "{accountTerms: x, conditions: [{type: Ready, status: 'True', reason: Delivered}]}")
	theirs := identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-b", Name: "orders"}
	gone := identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-c", Name: "gone"}
	c.save(orders, of(c.make(orders, 1, 30*24*time.Hour), retiringRow), of(c.make(orders, 2, time.Hour), retiringRow), c.make(orders, 3, 60*24*time.Hour))
	deleted := c.make(theirs, 1, 30*24*time.Hour)
	c.save(theirs, deleted)
	c.Fail(fakecloud.Fault{Method: "POST", Path: "/nats-users/*/creds", Status: 400})
	in := c.world()
	if _, err := in.account.Issuer.Issue(t.Context(), provider.Identity{Name: in.account.UserName(gone, "eu-1", 1)}, provider.Grant{}, now.Add(time.Hour)); err == nil {
		t.Fatal("it is downloaded")
	}
	c.Heal()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "https://cloud.synadia.com/api/core/beta/nats-users/"+deleted.ID, nil)
	if err == nil {
		request.Header.Set("Authorization", "Bearer token")
		var response *http.Response
		if response, err = c.RoundTrip(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			if response.Body.Close(); response.StatusCode >= 300 {
				err = errors.New(response.Status)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	c.run.Now = now.Add(25 * time.Hour)
	c.ForgetRequests()
	return c
}

// sum is what is left in ledgers, at the cloud, and of whom is asked, in words that are
// the same for each cloud.
func (c *cloudy) sum() map[string]string {
	c.Helper()
	all, err := ledger.Store{Client: c.run.Platform}.All(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	sum := map[string]string{"asked": workflowtest.Notified(c.T, c.run.Platform, platform.NatsUser)}
	there := map[string]bool{}
	for _, u := range c.Users(c.Account) {
		there[u.PublicKey] = true
	}
	revokedAt := c.Revocations(c.Account)
	for _, l := range all {
		var rows []string
		for _, r := range l.Records {
			words := []string{fmt.Sprint(r.Generation), string(r.State)}
			for _, w := range []struct {
				word string
				is   bool
			}{{"revoked", !r.Revoked.IsZero()}, {"removed", r.Removed}, {"lost", !r.Lost.IsZero()}, {"stray", r.Stray}, {"is there", there[r.User]}, {"is refused", revokedAt[r.User] > 0}} {
				if w.is {
					words = append(words, w.word)
				}
			}
			delete(there, r.User)
			rows = append(rows, strings.Join(words, " "))
		}
		sum[l.Request.String()] = strings.Join(rows, ", ")
	}
	if len(there) > 0 {
		sum["in no ledger"] = fmt.Sprint(len(there))
	}
	return sum
}

// often runs the account several times: what one run writes down the next acts on.
func (c *cloudy) often() {
	c.Helper()
	for range 2 {
		c.run.Now = c.run.Now.Add(time.Minute)
		c.apply()
		for _, l := range c.must(ledger.Store{Client: c.run.Platform}.All(c.Context())) {
			if i := slices.IndexFunc(l.Records, func(r ledger.Record) bool { return r.Stray && r.State == ledger.Active }); i >= 0 {
				l.Records[i].State = ledger.Retiring // as the next run of its request has it
				c.must(nil, ledger.Store{Client: c.run.Platform}.Save(c.Context(), l))
			}
		}
	}
}

func (c *cloudy) must(ledgers []*ledger.Ledger, err error) []*ledger.Ledger {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
	return ledgers
}

// A run that the control plane fails at any call, or the platform, comes to the same end
// when it is run again: who was to go is gone, who was not connects, and no user is lost
// sight of.
func TestInterruptedInCloud(t *testing.T) {
	var undisturbed map[string]string
	requests, calls := 0, 0
	synctest.Test(t, func(t *testing.T) {
		c := inCloud(t)
		memory := c.run.Platform
		counted := platformtest.At(memory, 0, platformtest.Refused)
		c.run.Platform = counted
		if result := c.apply(); result.Status["revocations"] != 1 {
			t.Errorf("undisturbed its status has %v revocations", result.Status["revocations"])
		}
		requests, calls = len(c.Requests()), counted.Calls
		c.run.Platform = memory
		c.often()
		undisturbed = c.sum()
		want := map[string]string{
			"asked": "team-a/orders, team-b/orders", "team-a/orders": "1 Retired revoked is refused, 2 Retired removed, 3 Active is there", "team-b/orders": "1 Active lost",
			"team-c/gone": "1 Retired removed stray",
		}
		if diff := cmp.Diff(want, undisturbed); diff != "" {
			t.Fatalf("undisturbed: %s", diff)
		}
	})
	check := func(t *testing.T, c *cloudy) {
		t.Helper()
		c.often()
		if diff := cmp.Diff(undisturbed, c.sum()); diff != "" {
			t.Errorf("it comes to another end: %s", diff)
		}
	}
	for at := range requests {
		for how, fault := range map[string]fakecloud.Fault{"refused": {Status: 400}, "answer lost": {Late: true, Drop: true}} {
			t.Run(fmt.Sprintf("request %d is %s", at+1, how), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := inCloud(t)
					fault.Nth = at + 1
					c.Fail(fault)
					c.apply()
					c.Heal()
					check(t, c)
				})
			})
		}
	}
	for _, how := range []platformtest.Fault{platformtest.Refused, platformtest.Lost, platformtest.Overtaken} {
		for at := range calls {
			t.Run(fmt.Sprintf("%s at call %d", how, at+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := inCloud(t)
					memory := c.run.Platform
					c.run.Platform = platformtest.At(memory, at+1, how)
					if result, err := c.pipeline().configure(t.Context(), c.run); err == nil {
						c.keep(result)
					} else if !platform.IsTransient(err) {
						t.Errorf("it says %v", err)
					}
					c.run.Platform = memory
					check(t, c)
				})
			})
		}
	}
}
