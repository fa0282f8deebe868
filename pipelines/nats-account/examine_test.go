package natsaccount

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/provider"
)

// administrator looks after an account of which nothing is asked, or cannot revoke.
type administrator struct {
	provider.Administrator
	cannot string
}

func (a administrator) CannotRevoke() string { return a.cannot }
func (a administrator) Close()               {}

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

// gone is what a run found that has ended identities, by the rows of a ledger.
func gone(l *ledger.Ledger, users ...provider.Identity) finding {
	f := finding{outcomes: map[place]outcome{}}
	for _, r := range l.Records {
		f.outcomes[placeOf(l, r)] = outcome{
			provider.Departure{Identity: provider.Identity{User: r.User}, AccountID: r.Basis.AccountID},
			provider.Outcome{State: provider.Revoked, Users: users},
		}
	}
	return f
}

// What became of a row is told of it alone: not of one that took its place.
func TestFateOfRows(t *testing.T) {
	own := active("U1")
	own.State = ledger.Retiring
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{own}}
	row := func(change func(*ledger.Record)) ledger.Record {
		r := own
		change(&r)
		return r
	}
	same := func(*ledger.Record) {}
	for _, test := range []struct {
		name  string
		row   ledger.Record
		found finding
		admin administrator
		want  provider.OutcomeState
	}{
		{"it has gone", row(same), gone(l), administrator{}, provider.Revoked},
		{"queued later", row(func(r *ledger.Record) { r.Generation = 9 }), gone(l), administrator{}, provider.Pending},
		{"another in its place", row(func(r *ledger.Record) { r.User = "U9" }), gone(l), administrator{}, provider.Pending},
		{"in its place, of another account", row(func(r *ledger.Record) { r.Basis.AccountID = "OTHER" }), gone(l), administrator{}, provider.Pending},
		{"nothing was done", row(same), finding{}, administrator{}, provider.Pending},
		{"nobody can revoke", row(same), gone(l), administrator{cannot: "there is no key"}, provider.LeftToExpire},
		{"its account is gone", row(same), finding{Facts: provider.Facts{Gone: true}}, administrator{}, provider.Pending},
		{"its account is gone, and it has expired", row(func(r *ledger.Record) { r.Expires = now }), finding{Facts: provider.Facts{Gone: true}}, administrator{}, provider.LeftToExpire},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.found.outcomeOf(inputs{admin: test.admin}, l, test.row, now); got != test.want {
				t.Errorf("it became %d, want %d", got, test.want)
			}
		})
	}
}

// What is queued goes, and what was revoked stays away; who could connect comes before
// what has expired, because the budget of a run may end in between.
func TestDepartures(t *testing.T) {
	row := func(user string, change func(*ledger.Record)) ledger.Record {
		r := active(user)
		r.State, r.Basis.ProviderAccount = ledger.Retiring, "cloud"
		change(&r)
		return r
	}
	rows := []ledger.Record{
		row("expired", func(r *ledger.Record) { r.Expires = now }),
		row("queued", func(*ledger.Record) {}),
		row("delivered", func(r *ledger.Record) { r.State = ledger.Active }),
		row("of another NatsAccount", func(r *ledger.Record) { r.Basis.Account = "payments" }),
		row("kept nowhere", func(r *ledger.Record) { r.Basis.ProviderAccount = "" }),
		row("revoked", func(r *ledger.Record) { r.State, r.Revoked = ledger.Retired, now }),
		row("revoked, but expired", func(r *ledger.Record) { r.State, r.Revoked, r.Expires = ledger.Retired, now, now }),
		row("revoked in a former account", func(r *ledger.Record) { r.State, r.Revoked, r.Basis.AccountID = ledger.Retired, now, "FORMER" }),
		row("delivered again, after somebody has undone it", func(r *ledger.Record) { r.State, r.Revoked = ledger.Active, now }),
		row("delivered by an operator", func(r *ledger.Record) { r.State, r.Revoked, r.Basis.ProviderAccount = ledger.Active, now, "" }),
		row("left to expire", func(r *ledger.Record) { r.State = ledger.Retired }),
	}
	in := inputs{account: &account.Account{NatsAccount: operated()}, ledgers: []*ledger.Ledger{{Request: orders, Records: rows}}}
	var got []string
	for _, d := range departures(in, now) {
		got = append(got, fmt.Sprintf("%s%s", d.User, map[bool]string{true: ", again"}[d.Again]))
	}
	want := []string{"queued", "kept nowhere", "revoked, again", "revoked in a former account, again", "delivered by an operator, again", "expired", "revoked, but expired, again"}
	if !slices.Equal(got, want) {
		t.Errorf("%q go, want %q", got, want)
	}
}
