package credential

import (
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
)

// When v0.1.0 renewed. The times are literals: with other ones an upgrade would
// renew what is not due, all at once.
func TestRenewAtIsFrozen(t *testing.T) {
	for _, test := range []struct {
		name, namespace, destination string
		renewBefore                  time.Duration
		want                         string
	}{
		{"one cluster", "team-a", "eu-1", 10 * day, "2026-01-19T11:27:33Z"},
		{"another cluster", "team-a", "us-1", 10 * day, "2026-01-19T23:52:22Z"},
		{"another request", "team-b", "eu-1", 10 * day, "2026-01-20T13:16:30Z"},
		{"a short window", "team-a", "eu-1", day, "2026-01-29T21:03:33Z"},
		{"a window longer than its life", "team-a", "eu-1", 40 * day, "2025-12-22T00:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := row(1, ledger.Active, FirstIssue, 0)
			r.Destination = test.destination
			got := RenewAt(identity.Request{Kind: "NatsUser", Namespace: test.namespace, Name: "orders"}, r, test.renewBefore)
			if got.Format(time.RFC3339) != test.want {
				t.Errorf("renewed at %s, and v0.1.0 did at %s", got.Format(time.RFC3339), test.want)
			}
		})
	}
}

// Whatever a credential was issued upon is compared with what holds now, or it would
// go on with what is not wanted any more.
func TestEveryFieldDecides(t *testing.T) {
	elsewhere := map[string]string{
		"ProviderAccount": "goes with the account's key",
		"Certificate":     "a newer one is no reason as long as the cluster has the key of this one",
	}
	active := row(1, ledger.Active, FirstIssue, 0)
	for _, change := range fingerprinttest.Changes(active.Basis) {
		t.Run(change.Field, func(t *testing.T) {
			why, exempt := elsewhere[change.Field]
			reason, issue := Decide(records(active), Want{Destination: "eu-1", Basis: change.Value, Trusted: func(string) bool { return true }}, start)
			if issue == exempt {
				t.Errorf("another one issues: %t, for %q (%s)", issue, reason, why)
			}
		})
	}
}
