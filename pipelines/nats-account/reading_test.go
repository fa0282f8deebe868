package natsaccount

import (
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
)

// What the control plane has otherwise than the ledger is written down once. A user
// that no run has written down is retired, unless a run may be about to.
func TestCompare(t *testing.T) {
	delivered := func(change func(*ledger.Record)) ledger.Record {
		r := active("U1")
		r.ID, r.Settings, r.Basis.ProviderAccount = "id-1", "made", "cloud"
		change(&r)
		return r
	}
	same := func(*ledger.Record) {}
	user := func(id, key, settings string) provider.User {
		return provider.User{ID: id, PublicKey: key, Settings: settings}
	}
	for _, test := range []struct {
		name  string
		row   ledger.Record
		users []seen
		gone  bool
		news  bool
		check func(l *ledger.Ledger) bool
	}{
		{"all is as it was", delivered(same), []seen{{user("id-1", "U1", "made"), "eu-1", 1, false}}, false, false,
			func(l *ledger.Ledger) bool {
				return l.Records[0].Drifted.IsZero() && l.Records[0].Lost.IsZero() && len(l.Records) == 1
			}},
		{"it was changed", delivered(same), []seen{{user("id-1", "U1", "changed"), "eu-1", 1, false}}, false, true,
			func(l *ledger.Ledger) bool { return l.Records[0].Drifted.Equal(now) }},
		{"it was changed back", delivered(func(r *ledger.Record) { r.Drifted = now }), []seen{{user("id-1", "U1", "made"), "eu-1", 1, false}}, false, true,
			func(l *ledger.Ledger) bool { return l.Records[0].Drifted.IsZero() }},
		{"it was deleted", delivered(same), nil, true, true, func(l *ledger.Ledger) bool { return l.Records[0].Lost.Equal(now) }},
		{"it was deleted, which is known", delivered(func(r *ledger.Record) { r.Lost = now.Add(-time.Hour) }), nil, true, false,
			func(l *ledger.Ledger) bool { return l.Records[0].Lost.Equal(now.Add(-time.Hour)) }},
		{"it is kept in another account", delivered(func(r *ledger.Record) { r.Basis.ProviderAccount = "former" }), nil, true, false,
			func(l *ledger.Ledger) bool { return l.Records[0].Lost.IsZero() }},
		{"it is to be revoked", delivered(func(r *ledger.Record) { r.State = ledger.Retiring }), nil, true, false,
			func(l *ledger.Ledger) bool { return l.Records[0].Lost.IsZero() }},
		{"another id is known of its key", delivered(func(r *ledger.Record) { r.ID = "former" }), []seen{{user("id-1", "U1", "made"), "eu-1", 1, false}}, false, false,
			func(l *ledger.Ledger) bool { return l.Records[0].ID == "former" }},
		{"only its key is known", delivered(func(r *ledger.Record) { r.ID = "" }), []seen{{user("id-1", "U1", "made"), "eu-1", 1, false}}, false, false,
			func(l *ledger.Ledger) bool { return l.Records[0].ID == "id-1" }},
		{"one that nobody has written down", delivered(same), []seen{{user("id-2", "U2", "made"), "eu-1", 1, true}}, false, true,
			func(l *ledger.Ledger) bool {
				r := l.Record("eu-1", 2)
				return r != nil && r.Stray && r.User == "U2" && r.ID == "id-2" && r.Basis.ProviderAccount == "cloud" && l.Records[0].User == "U1"
			}},
		{"one that may be in use", delivered(same), []seen{{user("id-2", "U2", "made"), "eu-1", 1, false}}, false, false,
			func(l *ledger.Ledger) bool { return len(l.Records) == 1 }},
		{"one that a run is about to write down", delivered(func(r *ledger.Record) { r.ID, r.User, r.State = "", "", ledger.Intended }), []seen{{user("id-2", "U2", "made"), "eu-1", 1, true}}, false, false,
			func(l *ledger.Ledger) bool { return len(l.Records) == 1 && l.Records[0].ID == "" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &reading{keptIn: "cloud", accountID: "ACCOUNT", account: "commerce", gone: map[string]bool{"id-1": test.gone}, users: map[string]provider.User{}}
			c.of = map[identity.Request][]seen{orders: test.users}
			for _, u := range test.users {
				c.users[u.ID] = u.User
			}
			l := &ledger.Ledger{Request: orders, Records: []ledger.Record{test.row}}
			if news := c.compare(l, now); news != test.news || !test.check(l) {
				t.Errorf("news: %t, want %t: %+v", news, test.news, l.Records)
			}
			if c.compare(l, now.Add(time.Hour)) {
				t.Error("it is news once more")
			}
		})
	}
}

// A user is known if any ledger has it, also that of a request of another NatsAccount.
// A ledger that cannot be read may have it.
func TestKnows(t *testing.T) {
	memory := platform.NewMemory(func() time.Time { return now })
	store := ledger.Store{Client: memory}
	theirs := identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-b", Name: "orders"}
	damaged := identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-c", Name: "orders"}
	for _, request := range []identity.Request{theirs, damaged} {
		if err := store.Save(t.Context(), &ledger.Ledger{Request: request, Records: []ledger.Record{active("U2")}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := memory.Patch(t.Context(), platform.ConfigMap, ledger.Namespace, "ledger-"+damaged.LongHash(), map[string]any{"data": map[string]any{"rows": "{"}}); err != nil {
		t.Fatal(err)
	}
	in := inputs{store: store, ledgers: []*ledger.Ledger{{Request: orders, Records: []ledger.Record{active("U1")}}}}
	for _, test := range []struct {
		name    string
		request identity.Request
		user    string
		knows   bool
	}{
		{"in a ledger of the account", orders, "U1", true},
		{"in no ledger", orders, "U2", false},
		{"in a ledger of another account", theirs, "U2", true},
		{"not in that", theirs, "U1", false},
		{"in one that cannot be read", damaged, "U2", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := seen{provider.User{ID: "id", PublicKey: test.user}, "eu-1", 7, false}
			if knows, err := in.knows(t.Context(), test.request, s); err != nil || knows != test.knows {
				t.Errorf("it is known: %t, want %t: %v", knows, test.knows, err)
			}
		})
	}
}
