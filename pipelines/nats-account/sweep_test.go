package natsaccount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	natsjwt "github.com/nats-io/jwt/v2"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

var orders = identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-a", Name: "orders"}

// active is a credential that is delivered.
func active(user string) ledger.Record {
	return ledger.Record{
		Destination: "eu-1", Generation: 1, State: ledger.Active, User: user, Issued: now, Expires: now.AddDate(0, 0, 30),
		Basis: ledger.Basis{Account: "commerce", AccountID: "ACCOUNT"}, Ciphertext: map[string]string{"nats.creds": "sealed"},
	}
}

// A request that is missing gets a day to come back, because a restore may bring its
// ledger back first. One whose deletion is stuck will not come back.
func TestBury(t *testing.T) {
	day := 24 * time.Hour
	for _, test := range []struct {
		name    string
		state   state
		missing time.Duration // for so long; 0: not known to be
		buried  bool
	}{
		{"missing for the first time", missing, 0, false},
		{"missing again", missing, time.Second, false},
		{"missing for almost a day", missing, day - time.Second, false},
		{"missing for a day", missing, day, true},
		{"its deletion is stuck", stuck, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, revoke := range []bool{true, false} {
				l := &ledger.Ledger{Request: orders, UID: "1", Records: []ledger.Record{active("U1")}}
				since := now
				if test.missing > 0 {
					since = now.Add(-test.missing)
					l.MissingSince = since
				}
				markMissing(l, test.state, revoke, now)
				want := ledger.Active
				switch {
				case test.buried && revoke:
					want = ledger.Retiring
				case test.buried: // with deletionPolicy: Retain
					want = ledger.Retired
				}
				if (l.Tombstone != nil) != test.buried || l.Records[0].State != want {
					t.Errorf("revoke: %t: its credential is %s, want %s, and it has the tombstone %v", revoke, l.Records[0].State, want, l.Tombstone)
				}
				if test.state == missing && !l.MissingSince.Equal(since) {
					t.Errorf("it is missing since %s, want %s", l.MissingSince, since)
				}
			}
		})
	}
}

// After a restore two runs of the account find the request missing; when it is back
// within the day, it keeps what it has, and a later absence is counted from its own
// beginning.
func TestRequestReturns(t *testing.T) {
	memory := platform.NewMemory(func() time.Time { return now })
	store := ledger.Store{Client: memory}
	if err := store.Save(t.Context(), &ledger.Ledger{Request: orders, UID: "1", Records: []ledger.Record{active("U1")}}); err != nil {
		t.Fatal(err)
	}
	sweep := func(at time.Time, users ...natsUser) *ledger.Ledger {
		t.Helper()
		ledgers, err := store.Of(t.Context(), "commerce")
		if err != nil {
			t.Fatal(err)
		}
		in := inputs{admin: administrator{}, account: &account.Account{NatsAccount: operated()}, all: users, store: store, ledgers: ledgers}
		if err := retireGone(t.Context(), &workflow.Run{Platform: memory, Now: at}, &in); err != nil {
			t.Fatal(err)
		}
		l, err := store.Get(t.Context(), orders)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	back := natsUser{Peer: workflow.Peer{Namespace: "team-a", Name: "orders"}, account: "commerce"}
	for _, step := range []struct {
		name    string
		at      time.Duration
		users   []natsUser
		missing bool
		state   ledger.State
	}{
		{"it is missing", 0, nil, true, ledger.Active},
		{"it still is", 10 * time.Hour, nil, true, ledger.Active},
		{"it is back", 20 * time.Hour, []natsUser{back}, false, ledger.Active},
		{"it is missing anew", 30 * time.Hour, nil, true, ledger.Active},
		{"it is missing for less than a day since", 50 * time.Hour, nil, true, ledger.Active},
		{"it is missing for a day", 54 * time.Hour, nil, true, ledger.Retiring},
	} {
		l := sweep(now.Add(step.at), step.users...)
		if l.Records[0].State != step.state || l.MissingSince.IsZero() == step.missing {
			t.Errorf("%s: its credential is %s, want %s; missing since %s", step.name, l.Records[0].State, step.state, l.MissingSince)
		}
	}
}

// A ledger is forgotten, and its Secrets are free, only when its request has ended,
// nothing in it is to be revoked, its tombstone is a day old, and of the request
// itself nothing is left that could deliver them.
func TestForget(t *testing.T) {
	day := 24 * time.Hour
	gone := []natsUser{}
	stuckUser := []natsUser{{Peer: workflow.Peer{Namespace: "team-a", Name: "orders", Deleting: now.Add(-time.Hour)}}}
	aliveUser := []natsUser{{Peer: workflow.Peer{Namespace: "team-a", Name: "orders"}}}
	for _, test := range []struct {
		name        string
		users       []natsUser
		tombstone   time.Duration // ago; negative: there is none
		rows        []ledger.Record
		work        bool
		freed, kept bool
	}{
		{"ended a day ago", gone, day, nil, false, true, false},
		{"ended a day ago, and has come since", gone, day, nil, false, false, false},
		{"ended just now", gone, day - time.Second, nil, false, true, true},
		{"something is to be revoked", gone, day, []ledger.Record{{State: ledger.Retiring}}, false, false, true},
		{"something is remembered", gone, day, []ledger.Record{{State: ledger.Retired}}, false, true, true},
		{"its output is left", gone, day, nil, true, false, false},
		{"no tombstone", gone, -1, nil, false, false, true},
		{"made again", aliveUser, day, nil, false, false, true},
		{"its deletion is stuck", stuckUser, day, nil, false, true, true},
		{"its deletion is stuck, and its output is left", stuckUser, day, nil, true, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := platform.NewMemory(func() time.Time { return now })
			l := &ledger.Ledger{Request: orders, UID: "1", Records: test.rows}
			if test.tombstone >= 0 {
				l.Tombstone = &ledger.Tombstone{UID: "1", At: now.Add(-test.tombstone)}
			}
			store := ledger.Store{Client: memory}
			secrets, secret := claim.Store{Client: memory}, claim.Secret("eu-1", "team-a", "orders-nats")
			_, err := secrets.Acquire(t.Context(), secret, claim.Owner{Kind: "NatsUser", Namespace: "team-a", Name: "orders", UID: "1"}, nil)
			if err == nil {
				err = store.Save(t.Context(), l)
			}
			if err == nil && test.work {
				o := &unstructured.Unstructured{}
				o.SetGroupVersionKind(platform.Work.GroupVersionKind)
				o.SetNamespace("team-a")
				o.SetName("orders")
				o.SetLabels(map[string]string{kratix.LabelPromise: "nats-user", kratix.LabelResource: "orders"})
				_, err = memory.Create(t.Context(), platform.Work, o)
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(test.name, "stuck") || strings.Contains(test.name, "since") {
				put(t, memory, platform.NatsUser, "team-a", "orders", "spec: {}", "")
			}
			in := inputs{all: test.users, store: store, ledgers: []*ledger.Ledger{l}}
			if err := forget(t.Context(), &workflow.Run{Platform: memory, Now: now}, &in); err != nil {
				t.Fatal(err)
			}
			c, err := secrets.Get(t.Context(), secret)
			if err != nil || (c == nil) != test.freed {
				t.Errorf("the Secret is free: %t, want %t: %v", c == nil, test.freed, err)
			}
			stored, err := store.Get(t.Context(), orders)
			if err != nil || stored.Exists() != test.kept || (len(in.ledgers) > 0) != test.kept {
				t.Errorf("the ledger is kept: %t, want %t: %v", stored.Exists(), test.kept, err)
			}
		})
	}
}

// What became of an identity that was to be revoked: a provider that keeps users has
// it until it expires, and one whose user was not known may turn out to be none, or
// several.
func TestRecordOutcome(t *testing.T) {
	known, unknown := "U1", ""
	one, two := provider.Identity{User: "U1", ID: "id-1"}, provider.Identity{User: "U2", ID: "id-2"}
	for _, test := range []struct {
		name    string
		keptIn  string
		user    string
		became  provider.OutcomeState
		users   []provider.Identity
		expired bool

		state                     ledger.State
		revoked, removed, endsNow bool
		others                    int
	}{
		{name: "not yet", user: known, became: provider.Pending, state: ledger.Retiring},
		{name: "revoked", user: known, became: provider.Revoked, state: ledger.Retired, revoked: true},
		{name: "left to expire", user: known, became: provider.LeftToExpire, state: ledger.Retired},
		{name: "left, and expired", user: known, became: provider.LeftToExpire, expired: true, state: ledger.Retired},
		{name: "kept: revoked, and its user was gone", keptIn: "cloud", user: known, became: provider.Revoked, state: ledger.Retired, revoked: true},
		{name: "kept: not yet", keptIn: "cloud", user: known, became: provider.Pending, state: ledger.Retiring},
		{name: "kept: revoked", keptIn: "cloud", user: known, became: provider.Revoked, users: []provider.Identity{one}, state: ledger.Retired, revoked: true},
		{name: "kept: gone after its expiry", keptIn: "cloud", user: known, became: provider.Revoked, users: []provider.Identity{one}, expired: true, state: ledger.Retired, removed: true},
		{name: "kept: left to expire", keptIn: "cloud", user: known, became: provider.LeftToExpire, state: ledger.Retired},
		{name: "kept: left, and expired", keptIn: "cloud", user: known, became: provider.LeftToExpire, expired: true, state: ledger.Retired, removed: true},
		{name: "kept: there never was one", keptIn: "cloud", user: unknown, became: provider.Revoked, state: ledger.Retired, removed: true, endsNow: true},
		{name: "kept: it is found by its name", keptIn: "cloud", user: unknown, became: provider.Revoked, users: []provider.Identity{one}, state: ledger.Retired, revoked: true},
		{name: "kept: two are", keptIn: "cloud", user: unknown, became: provider.Revoked, users: []provider.Identity{one, two}, state: ledger.Retired, revoked: true, others: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := active(test.user)
			r.State, r.Basis.ProviderAccount = ledger.Retiring, test.keptIn
			at, expires := now, r.Expires
			if test.expired {
				at = r.Expires
			}
			if test.endsNow {
				expires = at
			}
			others := recordOutcome(&r, test.became, test.users, at)
			if r.State != test.state || !r.Revoked.IsZero() != test.revoked || r.Removed != test.removed || !r.Expires.Equal(expires) {
				t.Errorf("it is %s, revoked: %t, removed: %t, expires %s", r.State, !r.Revoked.IsZero(), r.Removed, r.Expires)
			}
			if len(test.users) > 0 && (r.User != "U1" || test.user == unknown && r.ID != "id-1") {
				t.Errorf("it is of the user %s, %s", r.User, r.ID)
			}
			if len(others) != test.others {
				t.Fatalf("there are %d others, want %d", len(others), test.others)
			}
			for _, other := range others {
				if other.User != "U2" || other.ID != "id-2" || other.State != r.State || other.Revoked != r.Revoked {
					t.Errorf("the other is %+v", other)
				}
			}
		})
	}
}

// A ledger has the request of its namespace and name.
func TestFate(t *testing.T) {
	peer := func(namespace, name string, deleting time.Duration) natsUser {
		u := natsUser{Peer: workflow.Peer{Namespace: namespace, Name: name}}
		if deleting > 0 {
			u.Deleting = now.Add(-deleting)
		}
		return u
	}
	for name, test := range map[string]struct {
		users []natsUser
		state state
		is    int
	}{
		"nobody":            {nil, missing, -1},
		"its namesake":      {[]natsUser{peer("team-b", "orders", 0), peer("team-a", "shop", 0)}, missing, -1},
		"it is there":       {[]natsUser{peer("team-b", "orders", time.Hour), peer("team-a", "shop", time.Hour), peer("team-a", "orders", 0)}, alive, 2},
		"it goes":           {[]natsUser{peer("team-a", "orders", time.Minute)}, alive, 0},
		"its end is stuck":  {[]natsUser{peer("team-b", "orders", 0), peer("team-a", "orders", time.Hour)}, stuck, 1},
		"another's is, too": {[]natsUser{peer("team-b", "orders", time.Hour)}, missing, -1},
	} {
		s, u := stateOf(&ledger.Ledger{Request: orders}, test.users, now)
		if s != test.state || test.is >= 0 && u.Namespace != "team-a" || test.is < 0 && u.Name != "" {
			t.Errorf("%s: it is %d, %+v, want %d", name, s, u.Peer, test.state)
		}
	}
}

// A tombstone that is there counts, and what came after it goes too. A request whose
// deletion is stuck has no day to come back.
func TestBuryAgain(t *testing.T) {
	before := &ledger.Tombstone{UID: "1", At: now.Add(-time.Hour)}
	l := &ledger.Ledger{Request: orders, UID: "1", Tombstone: before, Records: []ledger.Record{active("U1")}}
	markMissing(l, missing, true, now)
	if l.Tombstone != before || !l.MissingSince.IsZero() || l.Records[0].State != ledger.Retiring {
		t.Errorf("it has the tombstone %v, is missing since %s and has %+v", l.Tombstone, l.MissingSince, l.Records)
	}
	l = &ledger.Ledger{Request: orders, UID: "1", MissingSince: now.Add(-time.Hour), Records: []ledger.Record{active("U1")}}
	markMissing(l, stuck, true, now)
	if l.Tombstone == nil || l.Tombstone.UID != "1" || !l.Tombstone.At.Equal(now) || l.Records[0].State != ledger.Retiring {
		t.Errorf("stuck it has the tombstone %v, and %+v", l.Tombstone, l.Records)
	}
}

// meddling is a cluster on which something happens before the first update, or on which
// updates fail for good.
type meddling struct {
	platform.Client
	first   func()
	fails   error
	updates int
}

func (m *meddling) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if m.updates++; m.updates == 1 && m.first != nil {
		m.first()
	}
	if m.fails != nil {
		return nil, m.fails
	}
	return m.Client.Update(ctx, kind, o)
}

// swept is a world with one ledger of a credential that is delivered, and the platform
// that it is stored on.
func swept(t *testing.T, change func(*ledger.Ledger)) (*meddling, *workflow.Run, *inputs) {
	t.Helper()
	memory := platform.NewMemory(func() time.Time { return now })
	l := &ledger.Ledger{Request: orders, UID: "1", Records: []ledger.Record{active("U1")}}
	change(l)
	if err := (ledger.Store{Client: memory}).Save(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	m := &meddling{Client: memory}
	store := ledger.Store{Client: m}
	ledgers, err := store.Of(t.Context(), "commerce")
	if err != nil {
		t.Fatal(err)
	}
	return m, &workflow.Run{Platform: m, Now: now, Log: slog.New(slog.DiscardHandler)}, &inputs{admin: administrator{}, account: &account.Account{NatsAccount: operated()}, store: store, ledgers: ledgers}
}

// meanwhile changes the ledger as another run does.
func meanwhile(t *testing.T, m *meddling, change func(*ledger.Ledger)) func() {
	return func() {
		store := ledger.Store{Client: m.Client}
		l, err := store.Get(t.Context(), orders)
		if err == nil {
			change(l)
			err = store.Save(t.Context(), l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Where a request's own run is at work, what the account decided of it does not count,
// and it goes on with what that has written.
func TestRetireGoneIsOvertaken(t *testing.T) {
	m, run, in := swept(t, func(*ledger.Ledger) {})
	m.first = meanwhile(t, m, func(l *ledger.Ledger) { l.UID = "2" })
	if err := retireGone(t.Context(), run, in); err != nil {
		t.Fatal(err)
	}
	if len(in.ledgers) != 1 || in.ledgers[0].UID != "2" || !in.ledgers[0].MissingSince.IsZero() {
		t.Errorf("it goes on with %+v", in.ledgers)
	}
	m, run, in = swept(t, func(*ledger.Ledger) {})
	m.fails = apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "ledger", errors.New("no"))
	if err := retireGone(t.Context(), run, in); err != nil || len(in.ledgers) > 0 || len(in.damaged.Errs) != 1 {
		t.Errorf("where it cannot be written it goes on with %d, and notes %v: %v", len(in.ledgers), in.damaged, err)
	}
}

// The Secrets of a ledger that could not be written stay, and so does the ledger.
func TestForgetIsOvertaken(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *meddling){
		"somebody was faster":  func(t *testing.T, m *meddling) { m.first = meanwhile(t, m, func(l *ledger.Ledger) { l.UID = "2" }) },
		"it cannot be written": func(_ *testing.T, m *meddling) { m.fails = apierrors.NewBadRequest("no") },
	} {
		t.Run(name, func(t *testing.T) {
			m, run, in := swept(t, func(l *ledger.Ledger) {
				l.Tombstone = &ledger.Tombstone{UID: "1", At: now.AddDate(0, 0, -2)}
				l.Records[0].State = ledger.Retired
			})
			secret := claim.Secret("eu-1", "team-a", "orders-nats")
			if _, err := (claim.Store{Client: m.Client}).Acquire(t.Context(), secret, claim.Owner{Kind: "NatsUser", Namespace: "team-a", Name: "orders", UID: "1"}, nil); err != nil {
				t.Fatal(err)
			}
			change(t, m)
			if err := forget(t.Context(), run, in); err != nil {
				t.Fatal(err)
			}
			c, err := claim.Store{Client: m.Client}.Get(t.Context(), secret)
			if err != nil || c == nil || c.State != claim.Held || len(in.ledgers) > 0 || (in.damaged != nil) != (m.fails != nil) {
				t.Errorf("the claim is %+v, it goes on with %d ledgers, and notes %v: %v", c, len(in.ledgers), in.damaged, err)
			}
		})
	}
}

// unreadable is a platform on which nothing can be read after so many times.
type unreadable struct {
	platform.Client
	after int
}

func (u *unreadable) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if u.after--; u.after < 0 {
		return nil, apierrors.NewForbidden(kind.GVR().GroupResource(), name, errors.New("no"))
	}
	return u.Client.Get(ctx, kind, namespace, name)
}

// What became of identities is written down, whoever else writes at the same time: once
// more if somebody was faster, and not where the ledger was forgotten meanwhile or
// cannot be written.
func TestRecordIsOvertaken(t *testing.T) {
	retired := gone(&ledger.Ledger{Request: orders, Records: []ledger.Record{active("U1")}})
	queue := func(l *ledger.Ledger) { l.Records[0].State = ledger.Retiring }
	t.Run("somebody was faster", func(t *testing.T) {
		m, run, in := swept(t, queue)
		m.first = meanwhile(t, m, func(l *ledger.Ledger) { l.UID = "2" })
		if err := record(t.Context(), run, in, retired); err != nil || m.updates != 2 {
			t.Fatalf("after %d updates it says %v", m.updates, err)
		}
		l, err := in.store.Get(t.Context(), orders)
		if err != nil || l.UID != "2" || l.Records[0].Revoked.IsZero() || in.ledgers[0].UID != "2" {
			t.Errorf("the ledger is %+v, and it goes on with %+v: %v", l, in.ledgers[0], err)
		}
	})
	t.Run("the ledger was forgotten", func(t *testing.T) {
		m, run, in := swept(t, queue)
		m.first = func() {
			if err := (ledger.Store{Client: m.Client}).Remove(t.Context(), in.ledgers[0]); err != nil {
				t.Error(err)
			}
		}
		if err := record(t.Context(), run, in, retired); err != nil {
			t.Fatal(err)
		}
		if l, err := in.store.Get(t.Context(), orders); err != nil || l.Exists() || in.ledgers[0].Exists() {
			t.Errorf("it is made again: %v", err)
		}
	})
	t.Run("it is damaged", func(t *testing.T) {
		m, run, in := swept(t, queue)
		m.first = func() {
			if _, err := m.Client.Patch(t.Context(), platform.ConfigMap, ledger.Namespace, "ledger-"+orders.LongHash(), map[string]any{"data": map[string]any{"rows": "{"}}); err != nil {
				t.Error(err)
			}
		}
		if err := record(t.Context(), run, in, retired); err != nil || in.damaged == nil || in.ledgers[0] == nil {
			t.Errorf("it says %v, notes %v and goes on with %v", err, in.damaged, in.ledgers[0])
		}
	})
	t.Run("it cannot be read again", func(t *testing.T) {
		m, run, in := swept(t, queue)
		m.first = meanwhile(t, m, func(l *ledger.Ledger) { l.UID = "2" })
		in.store.Client = &unreadable{Client: m, after: 1} // by who writes it, that it was overtaken
		if err := record(t.Context(), run, in, retired); !apierrors.IsForbidden(err) {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("it cannot be written", func(t *testing.T) {
		m, run, in := swept(t, queue)
		m.fails = apierrors.NewBadRequest("no")
		if err := record(t.Context(), run, in, retired); err != nil || m.updates != 1 || in.damaged == nil {
			t.Errorf("after %d updates it says %v, and notes %v", m.updates, err, in.damaged)
		}
	})
	t.Run("somebody was faster with the news", func(t *testing.T) {
		drift := func(l *ledger.Ledger) {
			l.Records[0].ID, l.Records[0].Settings, l.Records[0].Basis.ProviderAccount = "id", "made", "cloud"
		}
		m, run, in := swept(t, drift)
		m.first = meanwhile(t, m, func(l *ledger.Ledger) { l.UID, l.Records[0].Drifted = "2", now })
		found := finding{reading: &reading{keptIn: "cloud", users: map[string]provider.User{"id": {ID: "id", Settings: "other"}}}}
		if err := record(t.Context(), run, in, found); err != nil || !in.news[orders] {
			t.Errorf("it is news: %t: %v", in.news[orders], err)
		}
		if err := record(t.Context(), run, in, found); err != nil || in.news[orders] {
			t.Errorf("it is news again: %t: %v", in.news[orders], err)
		}
	})
}

// What others have revoked is written down of what is delivered, once; of one that was
// retired and has no user yet, all that there turn out to be are.
func TestUpdateWritesDown(t *testing.T) {
	earlier := now.Add(-time.Hour)
	row := func(generation int64, change func(*ledger.Record)) ledger.Record {
		r := active(fmt.Sprintf("U%d", generation))
		r.Generation = generation
		change(&r)
		return r
	}
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{
		row(1, func(*ledger.Record) {}), row(2, func(r *ledger.Record) { r.Revoked = earlier }), row(3, func(r *ledger.Record) { r.State = ledger.Retired }),
		row(4, func(r *ledger.Record) { r.Basis.Account = "payments" }),
		row(5, func(r *ledger.Record) { r.State, r.User, r.Basis.ProviderAccount = ledger.Retiring, "", "cloud" }),
	}}
	f := gone(l, provider.Identity{User: "U5", ID: "id-5"}, provider.Identity{User: "U6", ID: "id-6"})
	f.ID, f.Revocations = "ACCOUNT", natsjwt.RevocationList{natsjwt.All: now.Unix()}
	apply(l, commerce(), f, now)
	got := map[int64]string{}
	for _, r := range l.Records {
		got[r.Generation] = strings.TrimSpace(fmt.Sprintf("%s %s %s", r.User, r.State, map[time.Time]string{now: "now", earlier: "earlier"}[r.Revoked]))
	}
	want := map[int64]string{1: "U1 Active now", 2: "U2 Active earlier", 3: "U3 Retired", 4: "U4 Active", 5: "U5 Retired now", 6: "U6 Retired now"}
	if !maps.Equal(got, want) {
		t.Errorf("the ledger has %v, want %v", got, want)
	}
}

// A request whose deletion is stuck is ended by its account as it asks for.
func TestStuckRequestIsEnded(t *testing.T) {
	for _, test := range []struct {
		name   string
		retain bool
		refuse bool
		of     string
		state  ledger.State
	}{
		{"deletionPolicy: Revoke", false, false, "commerce", ledger.Retiring},
		{"deletionPolicy: Revoke, of another account", false, false, "payments", ledger.Retiring},
		{"deletionPolicy: Retain", true, false, "commerce", ledger.Retired},
		{"deletionPolicy: Retain, which the account refuses", true, true, "commerce", ledger.Retiring},
		{"deletionPolicy: Retain, of another account", true, true, "payments", ledger.Active},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := platform.NewMemory(func() time.Time { return now })
			in := inputs{
				account: &account.Account{NatsAccount: operated()}, store: ledger.Store{Client: memory},
				all:     []natsUser{{Peer: workflow.Peer{Namespace: "team-a", Name: "orders", Deleting: now.Add(-time.Hour)}, account: test.of, retain: test.retain}},
				ledgers: []*ledger.Ledger{{Request: orders, UID: "1", Records: []ledger.Record{active("U1")}}},
			}
			in.account.Spec.Policy.RefuseRetain = test.refuse
			if err := retireGone(t.Context(), &workflow.Run{Platform: memory, Now: now}, &in); err != nil {
				t.Fatal(err)
			}
			if l := in.ledgers[0]; (l.Tombstone == nil) != (test.state == ledger.Active) || l.Records[0].State != test.state {
				t.Errorf("it has the tombstone %v, and its credential is %s, want %s", l.Tombstone, l.Records[0].State, test.state)
			}
		})
	}
}

// A request should run again because of what its ledger says: when all that its
// deletion waited for is revoked, or when what it delivers is not good any more.
func TestWaits(t *testing.T) {
	deleting := natsUser{Peer: workflow.Peer{Namespace: "team-a", Name: "orders", Deleting: now}}
	alive := natsUser{Peer: workflow.Peer{Namespace: "team-a", Name: "orders"}}
	ended := &ledger.Tombstone{UID: "1", At: now}
	row := func(change func(*ledger.Record)) ledger.Record {
		r := active("U1")
		change(&r)
		return r
	}
	for _, test := range []struct {
		name      string
		user      natsUser
		tombstone *ledger.Tombstone
		row       ledger.Record
		waits     bool
	}{
		{"delivered", alive, nil, row(func(*ledger.Record) {}), false},
		{"somebody has revoked it", alive, nil, row(func(r *ledger.Record) { r.Revoked = now }), true},
		{"somebody has deleted its user", alive, nil, row(func(r *ledger.Record) { r.Lost = now }), true},
		{"a stray was found", alive, nil, row(func(r *ledger.Record) { r.Stray = true }), true},
		{"a former one was revoked", alive, nil, row(func(r *ledger.Record) { r.State, r.Revoked = ledger.Retired, now }), false},
		{"its deletion has not begun", deleting, nil, row(func(*ledger.Record) {}), false},
		{"its deletion waits for a revocation", deleting, ended, row(func(r *ledger.Record) { r.State = ledger.Retiring }), false},
		{"its deletion has what it waited for", deleting, ended, row(func(r *ledger.Record) { r.State = ledger.Retired }), true},
		{"its deletion is done", deleting, &ledger.Tombstone{UID: "1", At: now, Done: true}, row(func(r *ledger.Record) { r.State = ledger.Retired }), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := inputs{ledgers: []*ledger.Ledger{{Request: orders, Tombstone: test.tombstone, Records: []ledger.Record{test.row}}}}
			if got := waits(in, test.user); got != test.waits {
				t.Errorf("it waits: %t, want %t", got, test.waits)
			}
		})
	}
}

// An account writes down what became of its own identities, and leaves those of
// another that the request drew from before to that.
func TestUpdate(t *testing.T) {
	own, other := active("U1"), active("U2")
	own.State, other.State = ledger.Retiring, ledger.Retiring
	other.Generation, other.Basis.Account = 2, "payments"
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{own, other}}
	apply(l, commerce(), gone(l), now)
	if l.Records[0].State != ledger.Retired || l.Records[1].State != ledger.Retiring {
		t.Errorf("the ledger has %+v", l.Records)
	}
}

// A ledger that is gone by the time of writing is not made again: the request does
// that, from what is delivered.
func TestRecordLeavesALostLedger(t *testing.T) {
	memory := platform.NewMemory(func() time.Time { return now })
	in := inputs{admin: administrator{}, account: &account.Account{NatsAccount: operated()}, store: ledger.Store{Client: memory}, ledgers: []*ledger.Ledger{{Request: orders, Records: []ledger.Record{active("U1")}}}}
	if err := record(t.Context(), &workflow.Run{Platform: memory, Now: now}, &in, finding{reading: &reading{}}); err != nil {
		t.Fatal(err)
	}
	if all, err := in.store.All(t.Context()); err != nil || len(all) > 0 || len(in.ledgers) > 0 {
		t.Errorf("%d ledgers are stored, and the run goes on with %d: %v", len(all), len(in.ledgers), err)
	}
}

// commerce is a world of nothing but its account.
func commerce() inputs {
	return inputs{admin: administrator{}, account: &account.Account{NatsAccount: operated()}}
}

// operated is a NatsAccount that can revoke.
func operated() *v1alpha1.NatsAccount {
	a := &v1alpha1.NatsAccount{}
	a.Name = "commerce"
	a.Spec.Provider = v1alpha1.ProviderJWT
	a.Spec.JWT = &v1alpha1.JWT{AccountID: "ACCOUNT", Operator: &v1alpha1.Operator{}}
	return a
}
