package credential

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
)

var (
	start   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	request = identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"}
	basis   = ledger.Basis{Account: "commerce", AccountID: "A", Grant: "g", SigningKey: "S", Certificate: "c", Delivery: ledger.Delivery{Namespace: "team-a", Name: "nats"}}
)

const day = 24 * time.Hour

// row is an identity on eu-1, issued some days after the start, which lives 30 days.
func row(generation int64, state ledger.State, reason Reason, issued int) ledger.Row {
	r := ledger.Row{
		Destination: "eu-1", Generation: generation, State: state, User: fmt.Sprintf("U%d", generation), Reason: string(reason),
		Issued: start.Add(time.Duration(issued) * day), Expires: start.Add(time.Duration(issued+30) * day), Basis: basis,
	}
	if state == ledger.Active {
		r.Ciphertext = map[string]string{"nats.creds": "sealed"}
	}
	return r
}

func book(rows ...ledger.Row) *ledger.Ledger {
	l := &ledger.Ledger{Request: request}
	for _, r := range rows {
		l.Add(r)
	}
	return l
}

// Each rule fires for its reason alone, the first of several decides, and with
// none the credential is kept.
func TestDecide(t *testing.T) {
	active := row(1, ledger.Active, FirstIssue, 0)
	want := func(change func(*Want)) Want {
		w := Want{Destination: "eu-1", Basis: basis, RenewBefore: 10 * day, Trusted: func(f string) bool { return f == "c" }}
		if change != nil {
			change(&w)
		}
		return w
	}
	elsewhere := active
	elsewhere.Destination = "us-1"
	revoked := active
	revoked.Revoked = start
	for _, test := range []struct {
		name   string
		ledger *ledger.Ledger
		want   Want
		at     time.Time
		reason Reason
	}{
		{"nothing was ever issued", book(), want(nil), start, FirstIssue},
		{"another cluster has one", book(elsewhere), want(nil), start, DestinationAdded},
		{"the first attempt was lost", book(row(1, ledger.Intended, FirstIssue, 0)), want(nil), start, PreviousAttemptLost},
		{"it was let go of", book(row(1, ledger.Retired, FirstIssue, 0)), want(nil), start, FirstIssue},
		{"nothing has changed", book(active), want(nil), start.Add(day), ""},
		{"a rotation was lost, and is not wanted any more", book(active, row(2, ledger.Intended, RotationRequested, 1)), want(nil), start.Add(day), ""},
		{"just before the window", book(active), want(nil), RenewAt(request, active, 10*day).Add(-time.Second), ""},
		{"in the window", book(active), want(nil), RenewAt(request, active, 10*day), RenewalDue},
		{"a wider window", book(active), want(func(w *Want) { w.RenewBefore = 29 * day }), start.Add(2 * day), RenewalDue},
		{"after its expiry", book(active), want(nil), active.Expires, Expired},
		{"another account", book(active), want(func(w *Want) { w.Basis.AccountID = "B" }), start, AccountChanged},
		{"another NatsAccount", book(active), want(func(w *Want) { w.Basis.Account = "other" }), start, AccountChanged},
		{"another grant", book(active), want(func(w *Want) { w.Basis.Grant = "h" }), start, GrantChanged},
		{"a rotation", book(active), want(func(w *Want) { w.Basis.Rotate.Spec = "1" }), start, RotationRequested},
		{"a rotation here", book(active), want(func(w *Want) { w.Basis.Rotate.Destination = "1" }), start, RotationRequested},
		{"somebody revoked it", book(revoked), want(nil), start, DeletedAtProvider},
		{"another signing key", book(active), want(func(w *Want) { w.Basis.SigningKey = "T" }), start, SigningKeyChanged},
		{"another Secret", book(active), want(func(w *Want) { w.Basis.Delivery.Name = "other" }), start, DeliveryChanged},
		{"another form", book(active), want(func(w *Want) { w.Basis.Delivery.Format = "Env" }), start, DeliveryChanged},
		{"a newer certificate, and the old one still there", book(active), want(func(w *Want) { w.Basis.Certificate = "d" }), start, ""},
		{"the key is gone", book(active), want(func(w *Want) { w.Trusted = func(string) bool { return false } }), start, SealingCertificateGone},
		{"a grant that changed hides no renewal", book(active), want(func(w *Want) { w.Basis.Grant = "h" }), active.Expires, GrantChanged},
	} {
		reason, issue := Decide(test.ledger, test.want, test.at)
		if reason != test.reason || issue != (test.reason != "") {
			t.Errorf("%s: %q, want %q", test.name, reason, test.reason)
		}
	}
}

// A rotation that is taken back asks for nothing, and nothing when it is asked for
// again.
func TestRotation(t *testing.T) {
	was := ledger.Rotate{Spec: "1", All: "a"}
	if got := Rotation(was, ledger.Rotate{}); got != was {
		t.Errorf("taken back: %+v", got)
	}
	if got := Rotation(was, ledger.Rotate{Spec: "2", Destination: "x"}); got != (ledger.Rotate{Spec: "2", All: "a", Destination: "x"}) {
		t.Errorf("asked for: %+v", got)
	}
}

// Renewals come at two thirds of the life, a little earlier on each cluster, and
// each time at the same moment for the same row.
func TestRenewAt(t *testing.T) {
	seen := map[time.Time]bool{}
	for i := range 50 {
		r := row(1, ledger.Active, FirstIssue, 0)
		r.Destination = fmt.Sprintf("cluster-%d", i)
		at := RenewAt(request, r, 10*day)
		if at.After(start.Add(20*day)) || at.Before(start.Add(18*day)) || at != RenewAt(request, r, 10*day) {
			t.Errorf("%s renews on %s", r.Destination, at)
		}
		seen[at] = true
	}
	if len(seen) < 45 {
		t.Errorf("fifty clusters renew at %d different times", len(seen))
	}
	short := row(1, ledger.Active, FirstIssue, 0)
	if at := RenewAt(request, short, 40*day); at != short.Expires.Add(-40*day) {
		t.Errorf("with a window longer than its life it renews on %s", at)
	}
}

// states is what a ledger has, in one line.
func states(l *ledger.Ledger) string {
	var all []string
	for _, r := range l.Rows {
		text := fmt.Sprintf("%d %s", r.Generation, r.State)
		if len(r.Ciphertext) > 0 {
			text += "+"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// Who is let go of, and when. A + marks who is delivered.
func TestTend(t *testing.T) {
	written := func(r ledger.Row, days int) ledger.Row { r.Written = start.Add(time.Duration(days) * day); return r }
	nothing := func(r ledger.Row) ledger.Row { r.Basis.Delivery.Retain = ledger.RetainNothing; return r }
	by := func(r ledger.Row) ledger.Row { r.Revoked = start.Add(day); return r }
	one := row(1, ledger.Active, FirstIssue, 0)
	for _, test := range []struct {
		name  string
		terms Terms
		rows  []ledger.Row
		days  int
		want  string
	}{
		{"one stays", Terms{}, []ledger.Row{one}, 1, "1 Active+"},
		{"one that has expired stays until there is another", Terms{}, []ledger.Row{one}, 99, "1 Active+"},
		{"a renewal revokes nothing", Terms{}, []ledger.Row{one, written(row(2, ledger.Active, RenewalDue, 20), 20)}, 29, "1 Active, 2 Active+"},
		{"the former one expires", Terms{}, []ledger.Row{one, row(2, ledger.Active, RenewalDue, 20)}, 30, "1 Retired, 2 Active+"},
		{"and is forgotten a day later", Terms{}, []ledger.Row{row(1, ledger.Retired, FirstIssue, 0), row(2, ledger.Active, RenewalDue, 20)}, 32, "2 Active+"},
		{"a rotation not seen yet", Terms{}, []ledger.Row{one, row(2, ledger.Active, RotationRequested, 1)}, 29, "1 Active, 2 Active+"},
		{"seen, and the overlap lasts", Terms{}, []ledger.Row{one, written(row(2, ledger.Active, RotationRequested, 1), 5)}, 6, "1 Active, 2 Active+"},
		{"and has passed", Terms{}, []ledger.Row{one, written(row(2, ledger.Active, RotationRequested, 1), 5)}, 7, "1 Retiring, 2 Active+"},
		{"immediately", Terms{Immediately: true}, []ledger.Row{one, row(2, ledger.Active, GrantChanged, 1)}, 1, "1 Retiring, 2 Active+"},
		{"immediately, but the successor is not made yet", Terms{Immediately: true}, []ledger.Row{one, row(2, ledger.Intended, GrantChanged, 1)}, 1, "1 Active+, 2 Retiring"},
		{"immediately after a renewal", Terms{Immediately: true}, []ledger.Row{one, row(2, ledger.Active, RenewalDue, 20)}, 20, "1 Active, 2 Active+"},
		{"a renewal on top of a rotation", Terms{}, []ledger.Row{one, row(2, ledger.Active, RotationRequested, 1), written(row(3, ledger.Active, RenewalDue, 20), 21)}, 23,
			"1 Retiring, 2 Active, 3 Active+"},
		{"a cluster that is left", Terms{Served: func(string) bool { return false }}, []ledger.Row{one, row(2, ledger.Active, RenewalDue, 20)}, 20, "1 Retiring, 2 Retiring"},
		{"an attempt that was lost", Terms{}, []ledger.Row{row(1, ledger.Intended, FirstIssue, 0)}, 0, "1 Retiring"},
		{"nothing to keep, not seen", Terms{}, []ledger.Row{nothing(one)}, 9, "1 Active+"},
		{"nothing to keep, in the overlap", Terms{}, []ledger.Row{written(nothing(one), 1)}, 2, "1 Active+"},
		{"nothing to keep, after it", Terms{}, []ledger.Row{written(nothing(one), 1)}, 3, "1 Active"},
		{"revoked by somebody else, no successor yet", Terms{}, []ledger.Row{by(one)}, 2, "1 Active+"},
		{"revoked by somebody else, and followed", Terms{}, []ledger.Row{by(one), row(2, ledger.Active, DeletedAtProvider, 2)}, 2, "1 Retired, 2 Active+"},
		{"revoked ones are remembered for a week", Terms{}, []ledger.Row{by(row(1, ledger.Retired, FirstIssue, 0)), row(2, ledger.Active, RenewalDue, 20)}, 36, "1 Retired, 2 Active+"},
		{"and no longer", Terms{}, []ledger.Row{by(row(1, ledger.Retired, FirstIssue, 0)), row(2, ledger.Active, RenewalDue, 20)}, 38, "2 Active+"},
	} {
		test.terms.Overlap = 2 * day
		test.terms.Revocable = func(account string) bool { return account == "commerce" }
		if test.terms.Served == nil {
			test.terms.Served = func(string) bool { return true }
		}
		l, now := book(test.rows...), start.Add(time.Duration(test.days)*day)
		Tend(l, test.terms, now)
		if got := states(l); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		before := fmt.Sprintf("%+v", l.Rows)
		if Tend(l, test.terms, now); fmt.Sprintf("%+v", l.Rows) != before {
			t.Errorf("%s: a second time changes something", test.name)
		}
	}
}

// Without an operator key there is nothing to wait for.
func TestNothingToRevokeWith(t *testing.T) {
	l := book(row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, RotationRequested, 1))
	if RetireAll(l, false, start.Add(2*day)); states(l) != "1 Retired, 2 Retired" {
		t.Error(states(l))
	}
	l = book(row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, RotationRequested, 1))
	if RetireAll(l, true, start.Add(30*day)); states(l) != "1 Retired, 2 Retiring" { // the first has expired
		t.Error(states(l))
	}
}

// What is delivered makes a ledger whole that was lost or is too old, and adds
// nothing to one that is not.
func TestImport(t *testing.T) {
	one := row(1, ledger.Active, FirstIssue, 0)
	two := row(2, ledger.Active, RotationRequested, 1)
	two.Earlier = EarlierOf(book(one), "eu-1")
	delivered := []ledger.Row{two}
	for _, test := range []struct {
		name   string
		ledger *ledger.Ledger
		want   string
	}{
		{"lost", book(), "1 Active, 2 Active+"},
		{"yesterday's", book(one), "1 Active+, 2 Active+"},
		{"of the moment before its commit", book(one, row(2, ledger.Intended, RotationRequested, 1)), "1 Active+, 2 Active+"},
		{"whole", book(one, two), "1 Active+, 2 Active+"},
		{"further on", book(row(1, ledger.Retired, FirstIssue, 0), row(2, ledger.Retiring, RotationRequested, 1), row(3, ledger.Active, RenewalDue, 20)), "1 Retired, 2 Retiring, 3 Active+"},
	} {
		if Import(test.ledger, delivered, start.Add(2*day)); states(test.ledger) != test.want {
			t.Errorf("%s: %s, want %s", test.name, states(test.ledger), test.want)
		}
		if Import(test.ledger, delivered, start.Add(2*day)); states(test.ledger) != test.want {
			t.Errorf("%s: a second time gives %s", test.name, states(test.ledger))
		}
	}
	// An intent of which the key is not known yet is that of what is delivered.
	intent := row(2, ledger.Intended, RotationRequested, 1)
	intent.User = ""
	if l := book(one, intent); true {
		if Import(l, delivered, start.Add(2*day)); states(l) != "1 Active+, 2 Active+" {
			t.Error(states(l))
		}
	}
	// Two histories of one generation: both are known from then on, and numbers grow.
	other := row(2, ledger.Active, RenewalDue, 3)
	other.User = "U9"
	l := book(one, other)
	if Import(l, delivered, start.Add(2*day)); states(l) != "1 Active+, 2 Active+, 3 Active+" || l.Next("eu-1") != 4 || l.Current("eu-1").User != "U2" {
		t.Errorf("%s, next %d", states(l), l.Next("eu-1"))
	}
	// What came before and is not known is let go of with its successor.
	lost := book()
	Import(lost, delivered, start.Add(2*day))
	Tend(lost, Terms{Immediately: true, Revocable: func(string) bool { return true }, Served: func(string) bool { return true }}, start.Add(2*day))
	if states(lost) != "1 Retiring, 2 Active+" {
		t.Error(states(lost))
	}
}

// Somebody looks for a row in the state store only where anything depends on it.
func TestAwaited(t *testing.T) {
	for _, test := range []struct {
		rows []ledger.Row
		want bool
	}{
		{[]ledger.Row{row(1, ledger.Active, FirstIssue, 0)}, false},
		{[]ledger.Row{row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, RenewalDue, 20)}, false},
		{[]ledger.Row{row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, GrantChanged, 1)}, true},
		{[]ledger.Row{row(1, ledger.Retired, FirstIssue, 0), row(2, ledger.Active, GrantChanged, 1)}, false},
		{[]ledger.Row{row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Retired, GrantChanged, 1), row(3, ledger.Active, RenewalDue, 20)}, true},
	} {
		l := book(test.rows...)
		if got := Awaited(l, l.Current("eu-1")); got != test.want {
			t.Errorf("%s: %t", states(l), got)
		}
	}
}
