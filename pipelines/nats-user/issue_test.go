package natsuser

import (
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

// A run that meets a tombstone looks again at its request, because the deletion may
// have begun after the run did. Only for one that is there and stays is anything
// issued, and what the former incarnation had goes.
func TestLoadMeetsATombstone(t *testing.T) {
	for _, test := range []struct {
		name    string
		changed func(*testing.T, platform.Client) // since the run began
		stops   bool
	}{
		{"of a former incarnation", func(*testing.T, platform.Client) {}, false},
		{"the request is being deleted", func(t *testing.T, client platform.Client) {
			mark(t, client)
			erase(t, client)
		}, true},
		{"the request is gone", erase, true},
		{"the request was made again", func(t *testing.T, client platform.Client) {
			erase(t, client)
			create(t, client, platform.NatsUser, "orders", nil, map[string]any{})
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newRun(t)
			edit(t, run.Platform, func(l *ledger.Ledger) {
				l.UID, l.Tombstone, l.Rows = "former", &ledger.Tombstone{UID: "former", At: now}, []ledger.Row{active(1, "U1", "FirstIssue")}
			})
			test.changed(t, run.Platform)
			l, err := load(t.Context(), run, ledger.Book{Client: run.Platform})
			if stopped := err != nil && strings.Contains(err.Error(), "is being deleted: nothing is issued for it any more"); stopped != test.stops {
				t.Fatalf("it says %v, want it to stop: %t", err, test.stops)
			}
			if !test.stops && (l.Tombstone != nil || l.UID != string(run.Request.GetUID()) || l.Rows[0].State != ledger.Retiring) {
				t.Errorf("the ledger has the tombstone %v and %+v", l.Tombstone, l.Rows)
			}
		})
	}
}

// mark gives the request a finalizer, so that it stays while it is deleted.
func mark(t *testing.T, client platform.Client) {
	t.Helper()
	if _, err := client.Patch(t.Context(), platform.NatsUser, "team-a", "orders", map[string]any{"metadata": map[string]any{"finalizers": []any{"kratix.io/workflows"}}}); err != nil {
		t.Fatal(err)
	}
}

func erase(t *testing.T, client platform.Client) {
	t.Helper()
	if err := client.Delete(t.Context(), platform.NatsUser, "team-a", "orders", platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
}
