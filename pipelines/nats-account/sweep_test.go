package natsaccount

import (
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

var orders = identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-a", Name: "orders"}

// active is a credential that is delivered.
func active(user string) ledger.Row {
	return ledger.Row{
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
				l := &ledger.Ledger{Request: orders, UID: "1", Rows: []ledger.Row{active("U1")}}
				since := now
				if test.missing > 0 {
					since = now.Add(-test.missing)
					l.MissingSince = since
				}
				bury(l, test.state, revoke, now)
				want := ledger.Active
				switch {
				case test.buried && revoke:
					want = ledger.Retiring
				case test.buried: // with deletionPolicy: Retain
					want = ledger.Retired
				}
				if (l.Tombstone != nil) != test.buried || l.Rows[0].State != want {
					t.Errorf("revoke: %t: its credential is %s, want %s, and it has the tombstone %v", revoke, l.Rows[0].State, want, l.Tombstone)
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
	book := ledger.Book{Client: memory}
	if err := book.Save(t.Context(), &ledger.Ledger{Request: orders, UID: "1", Rows: []ledger.Row{active("U1")}}); err != nil {
		t.Fatal(err)
	}
	sweep := func(at time.Time, users ...natsUser) *ledger.Ledger {
		t.Helper()
		ledgers, err := book.Of(t.Context(), "commerce")
		if err != nil {
			t.Fatal(err)
		}
		w := world{account: &account.Account{NatsAccount: operated()}, all: users, book: book, ledgers: ledgers}
		if err := retireGone(t.Context(), &workflow.Run{Platform: memory, Now: at}, &w); err != nil {
			t.Fatal(err)
		}
		l, err := book.Get(t.Context(), orders)
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
		if l.Rows[0].State != step.state || l.MissingSince.IsZero() == step.missing {
			t.Errorf("%s: its credential is %s, want %s; missing since %s", step.name, l.Rows[0].State, step.state, l.MissingSince)
		}
	}
}

// operated is a NatsAccount that can revoke.
func operated() *v1alpha1.NatsAccount {
	a := &v1alpha1.NatsAccount{}
	a.Name = "commerce"
	a.Spec.Provider = v1alpha1.ProviderJWT
	a.Spec.JWT = &v1alpha1.JWT{AccountID: "ACCOUNT", Operator: &v1alpha1.Operator{}}
	return a
}
