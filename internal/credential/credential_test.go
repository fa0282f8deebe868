package credential

import (
	"fmt"
	"reflect"
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
func row(generation int64, state ledger.State, reason Reason, issued int) ledger.Record {
	r := ledger.Record{
		Destination: "eu-1", Generation: generation, State: state, User: fmt.Sprintf("U%d", generation), Reason: string(reason),
		Issued: start.Add(time.Duration(issued) * day), Expires: start.Add(time.Duration(issued+30) * day), Basis: basis,
	}
	if state == ledger.Active {
		r.Ciphertext = map[string]string{"nats.creds": "sealed"}
	}
	return r
}

// on is such an identity on another cluster.
func on(destination string, r ledger.Record) ledger.Record { r.Destination = destination; return r }

func records(rows ...ledger.Record) *ledger.Ledger {
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
	with := func(change func(*ledger.Record)) *ledger.Ledger {
		r := active
		change(&r)
		return records(r)
	}
	drifted := with(func(r *ledger.Record) { r.Drifted = start })
	for _, test := range []struct {
		name   string
		ledger *ledger.Ledger
		want   Want
		at     time.Time
		reason Reason
	}{
		{"nothing was ever issued", records(), want(nil), start, FirstIssue},
		{"another cluster has one", records(on("us-1", active)), want(nil), start, DestinationAdded},
		{"the first attempt was lost elsewhere", records(on("us-1", row(1, ledger.Intended, FirstIssue, 0))), want(nil), start, FirstIssue},
		{"the first attempt was lost", records(row(1, ledger.Intended, FirstIssue, 0)), want(nil), start, PreviousAttemptLost},
		{"it was retired", records(row(1, ledger.Retired, FirstIssue, 0)), want(nil), start, FirstIssue},
		{"nothing has changed", records(active), want(nil), start.Add(day), ""},
		{"a rotation was lost, and is not wanted any more", records(active, row(2, ledger.Intended, RotationRequested, 1)), want(nil), start.Add(day), ""},
		{"just before the window", records(active), want(nil), RenewAt(request, active, 10*day).Add(-time.Second), ""},
		{"in the window", records(active), want(nil), RenewAt(request, active, 10*day), RenewalDue},
		{"a wider window", records(active), want(func(w *Want) { w.RenewBefore = 29 * day }), start.Add(2 * day), RenewalDue},
		{"after its expiry", records(active), want(nil), active.Expires, Expired},
		{"another account", records(active), want(func(w *Want) { w.Basis.AccountID = "B" }), start, AccountChanged},
		{"another NatsAccount", records(active), want(func(w *Want) { w.Basis.Account = "other" }), start, AccountChanged},
		{"another grant", records(active), want(func(w *Want) { w.Basis.Grant = "h" }), start, GrantChanged},
		{"a rotation", records(active), want(func(w *Want) { w.Basis.Rotate.Spec = "1" }), start, RotationRequested},
		{"a rotation here", records(active), want(func(w *Want) { w.Basis.Rotate.Destination = "1" }), start, RotationRequested},
		{"its user was changed at the provider", drifted, want(func(w *Want) { w.CorrectDrift = true }), start, GrantChanged},
		{"its user was changed, and may be", drifted, want(nil), start, ""},
		{"its user would not be left changed", records(active), want(func(w *Want) { w.CorrectDrift = true }), start, ""},
		{"somebody revoked it", with(func(r *ledger.Record) { r.Revoked = start }), want(nil), start, DeletedAtProvider},
		{"somebody deleted its user", with(func(r *ledger.Record) { r.Lost = start }), want(nil), start, DeletedAtProvider},
		{"another signing key", records(active), want(func(w *Want) { w.Basis.SigningKey = "T" }), start, SigningKeyChanged},
		{"another Secret", records(active), want(func(w *Want) { w.Basis.Delivery.Name = "other" }), start, DeliveryChanged},
		{"another form", records(active), want(func(w *Want) { w.Basis.Delivery.Format = "Env" }), start, DeliveryChanged},
		{"a newer certificate, and the old one still there", records(active), want(func(w *Want) { w.Basis.Certificate = "d" }), start, ""},
		{"the key is gone", records(active), want(func(w *Want) { w.Trusted = func(string) bool { return false } }), start, SealingCertificateGone},
		{"who loses a right is not rotated for less", records(active), want(func(w *Want) { w.Basis.Grant, w.Basis.Rotate.Spec, w.Basis.AccountID = "h", "1", "B" }), start, AccountChanged},
		{"a grant that changed hides no renewal", records(active), want(func(w *Want) { w.Basis.Grant = "h" }), active.Expires, GrantChanged},
	} {
		t.Run(test.name, func(t *testing.T) {
			reason, issue := Decide(test.ledger, test.want, test.at)
			if reason != test.reason || issue != (test.reason != "") {
				t.Errorf("%q, want %q", reason, test.reason)
			}
		})
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
	for _, window := range []time.Duration{30 * day, 40 * day} { // as long as its life, and longer
		if at := RenewAt(request, short, window); at != short.Expires.Add(-window) {
			t.Errorf("with a window of %s it renews on %s", window, at)
		}
	}
}

// states is what a ledger has, in one line.
func states(l *ledger.Ledger) string {
	var all []string
	for _, r := range l.Records {
		text := fmt.Sprintf("%d %s", r.Generation, r.State)
		if len(r.Ciphertext) > 0 {
			text += "+"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// Who is retired, and when. A + marks who is delivered.
func TestTend(t *testing.T) {
	written := func(r ledger.Record, days int) ledger.Record {
		r.Written = start.Add(time.Duration(days) * day)
		return r
	}
	nothing := func(r ledger.Record) ledger.Record { r.Basis.Delivery.Retain = ledger.RetainNothing; return r }
	by := func(r ledger.Record) ledger.Record { r.Revoked = start.Add(day); return r }
	kept := func(r ledger.Record) ledger.Record { r.Basis.ProviderAccount = "account"; return r }
	removed := func(r ledger.Record) ledger.Record { r.Removed = true; return kept(r) }
	lost := func(r ledger.Record) ledger.Record { r.Lost = start.Add(day); return r }
	of := func(account string, r ledger.Record) ledger.Record { r.Basis.Account = account; return r }
	undelivered := func(r ledger.Record) ledger.Record { r.Ciphertext = nil; return r }
	stray := undelivered(row(1, ledger.Active, "", 0))
	stray.Stray = true
	one := row(1, ledger.Active, FirstIssue, 0)
	for _, test := range []struct {
		name  string
		terms Terms
		rows  []ledger.Record
		days  int
		want  string
	}{
		{"one stays", Terms{}, []ledger.Record{one}, 1, "1 Active+"},
		{"one that has expired stays until there is another", Terms{}, []ledger.Record{one}, 99, "1 Active+"},
		{"a renewal revokes nothing", Terms{}, []ledger.Record{one, written(row(2, ledger.Active, RenewalDue, 20), 20)}, 29, "1 Active, 2 Active+"},
		{"the former one expires", Terms{}, []ledger.Record{one, row(2, ledger.Active, RenewalDue, 20)}, 30, "1 Retired, 2 Active+"},
		{"and is forgotten a day later", Terms{}, []ledger.Record{row(1, ledger.Retired, FirstIssue, 0), row(2, ledger.Active, RenewalDue, 20)}, 32, "2 Active+"},
		{"a rotation not seen yet", Terms{}, []ledger.Record{one, row(2, ledger.Active, RotationRequested, 1)}, 29, "1 Active, 2 Active+"},
		{"seen, and the overlap lasts", Terms{}, []ledger.Record{one, written(row(2, ledger.Active, RotationRequested, 1), 5)}, 6, "1 Active, 2 Active+"},
		{"and has passed", Terms{}, []ledger.Record{one, written(row(2, ledger.Active, RotationRequested, 1), 5)}, 7, "1 Retiring, 2 Active+"},
		{"immediately", Terms{Immediately: true}, []ledger.Record{one, row(2, ledger.Active, GrantChanged, 1)}, 1, "1 Retiring, 2 Active+"},
		{"immediately, but the successor is not made yet", Terms{Immediately: true}, []ledger.Record{one, row(2, ledger.Intended, GrantChanged, 1)}, 1, "1 Active+, 2 Retiring"},
		{"immediately after a renewal", Terms{Immediately: true}, []ledger.Record{one, row(2, ledger.Active, RenewalDue, 20)}, 20, "1 Active, 2 Active+"},
		{"immediately, on another cluster", Terms{Immediately: true}, []ledger.Record{one, row(2, ledger.Active, RenewalDue, 20), on("us-1", row(2, ledger.Active, GrantChanged, 20))}, 20,
			"1 Active, 2 Active+, 2 Active+"},
		{"seen on another cluster", Terms{}, []ledger.Record{one, row(2, ledger.Active, RotationRequested, 1), on("us-1", written(row(2, ledger.Active, FirstIssue, 1), 2))}, 9,
			"1 Active, 2 Active+, 2 Active+"},
		{"nothing is delivered", Terms{Immediately: true}, []ledger.Record{undelivered(one), undelivered(row(2, ledger.Active, GrantChanged, 1))}, 1, "1 Active, 2 Active"},
		{"a rotation on top of a renewal", Terms{}, []ledger.Record{one, written(row(2, ledger.Active, RenewalDue, 20), 20), row(3, ledger.Active, RotationRequested, 24)}, 25,
			"1 Active, 2 Active, 3 Active+"},
		{"a renewal on top of a rotation", Terms{}, []ledger.Record{one, row(2, ledger.Active, RotationRequested, 1), written(row(3, ledger.Active, RenewalDue, 20), 21)}, 23,
			"1 Retiring, 2 Active, 3 Active+"},
		{"a cluster that is left", Terms{Served: func(string) bool { return false }}, []ledger.Record{one, row(2, ledger.Active, RenewalDue, 20)}, 20, "1 Retiring, 2 Retiring"},
		{"an attempt that was lost", Terms{}, []ledger.Record{row(1, ledger.Intended, FirstIssue, 0)}, 0, "1 Retiring"},
		{"nothing to keep, not seen", Terms{}, []ledger.Record{nothing(one)}, 9, "1 Active+"},
		{"nothing to keep, in the overlap", Terms{}, []ledger.Record{written(nothing(one), 1)}, 2, "1 Active+"},
		{"nothing to keep, after it", Terms{}, []ledger.Record{written(nothing(one), 1)}, 3, "1 Active"},
		{"nobody was given it", Terms{}, []ledger.Record{stray}, 1, "1 Retiring"},
		{"its account cannot revoke", Terms{}, []ledger.Record{of("other", one)}, 1, "1 Active+"},
		{"it goes, and its account cannot revoke", Terms{}, []ledger.Record{of("other", row(1, ledger.Retiring, FirstIssue, 0))}, 1, "1 Retired"},
		{"it goes, its user too, and its account cannot revoke", Terms{}, []ledger.Record{kept(of("other", row(1, ledger.Retiring, FirstIssue, 0)))}, 30, "1 Retiring"},
		{"it expires, and the provider has its user still", Terms{}, []ledger.Record{kept(one), row(2, ledger.Active, RenewalDue, 20)}, 30, "1 Retiring, 2 Active+"},
		{"it expires, and the provider has its user no more", Terms{}, []ledger.Record{removed(one), row(2, ledger.Active, RenewalDue, 20)}, 30, "1 Retired, 2 Active+"},
		{"it lives, and so does its user", Terms{}, []ledger.Record{kept(one), row(2, ledger.Active, RenewalDue, 20)}, 29, "1 Active, 2 Active+"},
		{"its user is removed and soon it is forgotten", Terms{}, []ledger.Record{removed(row(1, ledger.Retired, FirstIssue, 0)), row(2, ledger.Active, RenewalDue, 20)}, 32, "2 Active+"},
		{"no user is forgotten before it is removed", Terms{}, []ledger.Record{kept(row(1, ledger.Retired, FirstIssue, 0)), row(2, ledger.Active, RenewalDue, 20)}, 99, "1 Retiring, 2 Active+"},
		{"its user was deleted, and its successor is not seen yet", Terms{}, []ledger.Record{lost(one), row(2, ledger.Active, DeletedAtProvider, 1)}, 9, "1 Active, 2 Active+"},
		{"its user was deleted, and the overlap has passed", Terms{}, []ledger.Record{lost(one), written(row(2, ledger.Active, DeletedAtProvider, 1), 2)}, 4, "1 Retiring, 2 Active+"},
		{"revoked by somebody else, and nothing delivered", Terms{}, []ledger.Record{undelivered(by(one))}, 2, "1 Active"},
		{"revoked by somebody else, and its successor is not delivered", Terms{}, []ledger.Record{by(one), undelivered(row(2, ledger.Active, DeletedAtProvider, 2))}, 2, "1 Active+, 2 Active"},
		{"revoked by somebody else, followed, and its user is there still", Terms{}, []ledger.Record{kept(by(one)), row(2, ledger.Active, DeletedAtProvider, 2)}, 2, "1 Retiring, 2 Active+"},
		{"revoked by somebody else, no successor yet", Terms{}, []ledger.Record{by(one)}, 2, "1 Active+"},
		{"revoked by somebody else, and followed", Terms{}, []ledger.Record{by(one), row(2, ledger.Active, DeletedAtProvider, 2)}, 2, "1 Retired, 2 Active+"},
		{"revoked ones are remembered for a week", Terms{}, []ledger.Record{by(row(1, ledger.Retired, FirstIssue, 0)), row(2, ledger.Active, RenewalDue, 20)}, 36, "1 Retired, 2 Active+"},
		{"and no longer", Terms{}, []ledger.Record{by(row(1, ledger.Retired, FirstIssue, 0)), row(2, ledger.Active, RenewalDue, 20)}, 38, "2 Active+"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.terms.Overlap = 2 * day
			test.terms.Revocable = func(account string) bool { return account == "commerce" }
			if test.terms.Served == nil {
				test.terms.Served = func(string) bool { return true }
			}
			l, now := records(test.rows...), start.Add(time.Duration(test.days)*day)
			Advance(l, test.terms, now)
			if got := states(l); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			before := fmt.Sprintf("%+v", l.Records)
			if Advance(l, test.terms, now); fmt.Sprintf("%+v", l.Records) != before {
				t.Error("a second time changes something")
			}
		})
	}
}

// Only what takes a right away, or was asked for, takes the place of what was before:
// after any other reason that lives until it expires.
func TestSupersedes(t *testing.T) {
	for reason, want := range map[Reason]bool{
		FirstIssue: false, DestinationAdded: false, PreviousAttemptLost: false, AccountChanged: true, GrantChanged: true, RotationRequested: true,
		DeletedAtProvider: false, SigningKeyChanged: true, DeliveryChanged: false, SealingCertificateGone: false, Expired: false, RenewalDue: false,
	} {
		t.Run(string(reason), func(t *testing.T) {
			l := records(row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, reason, 1))
			all := func(string) bool { return true }
			Advance(l, Terms{Immediately: true, Served: all, Revocable: all}, start.Add(day))
			if went := l.Record("eu-1", 1).State == ledger.Retiring; went != want {
				t.Errorf("the former one is retired: %t, want %t", went, want)
			}
		})
	}
}

// Of a former generation nothing is kept but what is needed to revoke and remove it.
func TestWhatIsKeptOfAFormerOne(t *testing.T) {
	former := row(1, ledger.Active, FirstIssue, 0)
	former.ID, former.Basis.ProviderAccount, former.Version, former.Renews, former.Earlier = "id", "account", "v", start, []ledger.Earlier{{Generation: 1}}
	l := records(former, row(2, ledger.Active, RenewalDue, 20))
	all := func(string) bool { return true }
	Advance(l, Terms{Served: all, Revocable: all}, start.Add(20*day))
	want := ledger.Record{
		Destination: "eu-1", Generation: 1, State: ledger.Active, User: "U1", ID: "id", Reason: string(FirstIssue), Issued: former.Issued, Expires: former.Expires,
		Basis: ledger.Basis{Account: "commerce", AccountID: "A", ProviderAccount: "account", SigningKey: former.Basis.SigningKey},
	}
	if got := *l.Record("eu-1", 1); !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v", got)
	}
}

// The next one carries with it who can connect on its cluster, for a ledger that is
// lost.
func TestEarlierOf(t *testing.T) {
	retired, elsewhere := row(1, ledger.Retired, FirstIssue, 0), on("us-1", row(2, ledger.Active, FirstIssue, 0))
	kept := row(3, ledger.Retiring, RotationRequested, 2)
	kept.Basis.ProviderAccount = "account"
	got := EarlierOf(records(retired, row(2, ledger.Active, GrantChanged, 1), kept, elsewhere), "eu-1")
	want := []ledger.Earlier{
		{Generation: 2, User: "U2", Account: "commerce", AccountID: "A", Expires: start.Add(31 * day)},
		{Generation: 3, User: "U3", Account: "commerce", AccountID: "A", ProviderAccount: "account", Expires: start.Add(32 * day)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("they are %+v", got)
	}
}

// Without an operator key there is nothing to wait for.
func TestNothingToRevokeWith(t *testing.T) {
	l := records(row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, RotationRequested, 1))
	if RetireAll(l, false, start.Add(2*day)); states(l) != "1 Retired, 2 Retired" {
		t.Error(states(l))
	}
	l = records(row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, RotationRequested, 1))
	if RetireAll(l, true, start.Add(30*day)); states(l) != "1 Retired, 2 Retiring" { // the first has expired
		t.Error(states(l))
	}
}

// What is delivered makes a ledger whole that was lost or is too old, and adds
// nothing to one that is not.
func TestImport(t *testing.T) {
	one := row(1, ledger.Active, FirstIssue, 0)
	two := row(2, ledger.Active, RotationRequested, 1)
	two.Earlier = EarlierOf(records(one), "eu-1")
	delivered := []ledger.Record{two}
	delivered[0].State = "" // what is delivered does not say
	stray := func(r ledger.Record) ledger.Record { r.Stray, r.Ciphertext = true, nil; return r }
	numbered := func(generation int64, r ledger.Record) ledger.Record { r.Generation = generation; return r }
	for _, test := range []struct {
		name   string
		ledger *ledger.Ledger
		want   string
	}{
		{"lost", records(), "1 Active, 2 Active+"},
		{"a user that nobody had written down", records(one, numbered(5, stray(two))), "1 Active+, 5 Active+"},
		{"a former user that nobody had written down", records(stray(one), two), "1 Active, 2 Active+"},
		{"the number of a former one is taken", records(numbered(1, row(9, ledger.Active, FirstIssue, 0))), "1 Active+, 2 Active+"},
		{"only another cluster's is left", records(on("us-1", one), on("us-1", two)), "1 Active, 2 Active+, 1 Active+, 2 Active+"},
		{"yesterday's", records(one), "1 Active+, 2 Active+"},
		{"of the moment before its commit", records(one, row(2, ledger.Intended, RotationRequested, 1)), "1 Active+, 2 Active+"},
		{"whole", records(one, two), "1 Active+, 2 Active+"},
		{"further on", records(row(1, ledger.Retired, FirstIssue, 0), row(2, ledger.Retiring, RotationRequested, 1), row(3, ledger.Active, RenewalDue, 20)), "1 Retired, 2 Retiring, 3 Active+"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 2 { // the second adds nothing
				if Import(test.ledger, delivered, start.Add(2*day)); states(test.ledger) != test.want {
					t.Errorf("%s, want %s", states(test.ledger), test.want)
				}
			}
			for _, r := range test.ledger.Records {
				if r.Stray {
					t.Errorf("generation %d is taken for nobody's", r.Generation)
				}
			}
		})
	}
	late := records()
	if Import(late, delivered, start.Add(30*day)); states(late) != "2 Active+" { // the former one has expired
		t.Error(states(late))
	}
	// An intent of which the key is not known yet is that of what is delivered.
	intent := row(2, ledger.Intended, RotationRequested, 1)
	intent.User = ""
	if l := records(one, intent); true {
		if Import(l, delivered, start.Add(2*day)); states(l) != "1 Active+, 2 Active+" {
			t.Error(states(l))
		}
	}
	// Two histories of one generation: both are known from then on, and numbers grow.
	other := row(2, ledger.Active, RenewalDue, 3)
	other.User = "U9"
	l := records(one, other)
	if Import(l, delivered, start.Add(2*day)); states(l) != "1 Active+, 2 Active+, 3 Active+" || l.Next("eu-1") != 4 || l.Current("eu-1").User != "U2" {
		t.Errorf("%s, next %d", states(l), l.Next("eu-1"))
	}
	// What came before and is not known is retired with its successor.
	lost := records()
	Import(lost, delivered, start.Add(2*day))
	Advance(lost, Terms{Immediately: true, Revocable: func(string) bool { return true }, Served: func(string) bool { return true }}, start.Add(2*day))
	if states(lost) != "1 Retiring, 2 Active+" {
		t.Error(states(lost))
	}
}

// Somebody looks for a row in the state store only where anything depends on it.
func TestAwaited(t *testing.T) {
	one, renewal, change := row(1, ledger.Active, FirstIssue, 0), row(2, ledger.Active, RenewalDue, 20), row(2, ledger.Active, GrantChanged, 1)
	with := func(r ledger.Record, change func(*ledger.Record)) ledger.Record { change(&r); return r }
	nothing := with(one, func(r *ledger.Record) { r.Basis.Delivery.Retain = ledger.RetainNothing })
	for _, test := range []struct {
		name string
		rows []ledger.Record // it is about the last on eu-1
		want bool
	}{
		{"nothing came before", []ledger.Record{one}, false},
		{"a renewal", []ledger.Record{one, renewal}, false},
		{"a change", []ledger.Record{one, change}, true},
		{"a change that was seen", []ledger.Record{one, with(change, func(r *ledger.Record) { r.Written = start })}, false},
		{"a change that is on its way out itself", []ledger.Record{one, with(change, func(r *ledger.Record) { r.State = ledger.Retiring })}, false},
		{"the former one is gone", []ledger.Record{row(1, ledger.Retired, FirstIssue, 0), change}, false},
		{"the former one is on its way", []ledger.Record{row(1, ledger.Retiring, FirstIssue, 0), change}, false},
		{"a change that went before a renewal", []ledger.Record{one, row(2, ledger.Retired, GrantChanged, 1), row(3, ledger.Active, RenewalDue, 20)}, true},
		{"a change that was never made", []ledger.Record{one, row(2, ledger.Intended, GrantChanged, 1), row(3, ledger.Active, RenewalDue, 20)}, false},
		{"a change on another cluster", []ledger.Record{one, renewal, on("us-1", one), on("us-1", change)}, false},
		{"a change on another cluster, and the first here", []ledger.Record{row(2, ledger.Active, FirstIssue, 1), on("us-1", one), on("us-1", change)}, false},
		{"the user of the former one was deleted", []ledger.Record{with(one, func(r *ledger.Record) { r.Lost = start }), row(2, ledger.Active, DeletedAtProvider, 1)}, true},
		{"its ciphertext is to be forgotten", []ledger.Record{nothing}, true},
		{"its ciphertext is forgotten", []ledger.Record{with(nothing, (*ledger.Record).ForgetCredential)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := records(test.rows...)
			if got := Awaited(l, l.Record("eu-1", l.Next("eu-1")-1)); got != test.want {
				t.Errorf("%t with %s", got, states(l))
			}
		})
	}
}
