package natsuser

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/issuer"
	"github.com/baleen-platform/baleen/internal/kratix"
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
				l.UID, l.Tombstone, l.MissingSince = "former", &ledger.Tombstone{UID: "former", At: now}, now
				l.Rows = []ledger.Row{active(1, "U1", "FirstIssue")}
			})
			test.changed(t, run.Platform)
			l, err := load(t.Context(), run)
			if stopped := err != nil && strings.Contains(err.Error(), "is being deleted: nothing is issued for it any more"); stopped != test.stops {
				t.Fatalf("it says %v, want it to stop: %t", err, test.stops)
			}
			if !test.stops && (l.Tombstone != nil || !l.MissingSince.IsZero() || l.UID != string(run.Request.GetUID()) || l.Rows[0].State != ledger.Retiring) {
				t.Errorf("the ledger has the tombstone %v, misses its request since %s, and has %+v", l.Tombstone, l.MissingSince, l.Rows)
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

// watched is an issuer that looks at the ledger when it is to issue, and refuses.
type watched struct {
	issuer.Issuer
	look func()
}

func (watched) Propose(name string) (issuer.Identity, error) {
	return issuer.Identity{Name: name, User: "U1"}, nil
}

func (w watched) Issue(context.Context, issuer.Identity, issuer.Grant, time.Time) (issuer.Credential, error) {
	w.look()
	return issuer.Credential{}, errors.New("refused")
}

// An identity is written down before it is made, with the version that the state store
// has by then: a run that is killed in between leaves nobody with a key that no ledger
// knows, and what was written before is not taken for it.
func TestIntentComesFirst(t *testing.T) {
	run, w := newRun(t), delivering()
	run.Works = []string{"orders-work"}
	create(t, run.Platform, platform.WorkPlacement, "orders-eu-1", map[string]string{kratix.LabelWork: "orders-work"}, map[string]any{
		"spec": map[string]any{"targetDestinationName": "eu-1"}, "status": map[string]any{"versionID": "before"},
	})
	looked := false
	w.account.Issuer = watched{look: func() {
		looked = true
		l := edit(t, run.Platform, func(*ledger.Ledger) {})
		if r := l.Row("eu-1", 1); r == nil || r.State != ledger.Intended || r.User != "U1" || r.Version != "before" {
			t.Errorf("the ledger has %+v", l.Rows)
		}
	}}
	clusters := []*cluster{{want: want(w, "eu-1"), reason: "FirstIssue"}}
	err := issuance{run, w, &ledger.Ledger{Request: orders}, clusters}.issueAtOnce(t.Context(), clusters)
	if !looked || err == nil || err.Error() != "refused" {
		t.Errorf("it was asked to issue: %t, and says %v", looked, err)
	}
}

// A request that is refused still lets go of what was superseded, when its time has
// come, and writes down again what is delivered and in no ledger.
func TestRemember(t *testing.T) {
	refused := errors.New("refused")
	first, second := active(1, "U1", "FirstIssue"), active(2, "U2", "RotationRequested")
	for _, test := range []struct {
		name    string
		written time.Duration // ago
		former  ledger.State
	}{
		{"during the overlap", 23 * time.Hour, ledger.Active},
		{"after the overlap", 24 * time.Hour, ledger.Retiring},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, w := newRun(t), delivering()
			w.user.Spec.Credentials.Overlap = "24h"
			edit(t, run.Platform, func(l *ledger.Ledger) {
				l.Rows = []ledger.Row{first, second}
				l.Rows[1].Written = now.Add(-test.written)
			})
			if err := remember(t.Context(), run, w, refused); !errors.Is(err, refused) {
				t.Error(err)
			}
			if l := edit(t, run.Platform, func(*ledger.Ledger) {}); l.Row("eu-1", 1).State != test.former || l.Row("eu-1", 2).State != ledger.Active {
				t.Errorf("the ledger has %+v", l.Rows)
			}
		})
	}
	t.Run("the ledger is lost", func(t *testing.T) {
		run := newRun(t)
		run.Last = destination.Output{"eu-1": {"secret.yaml": document(t, first)}}
		if err := remember(t.Context(), run, world{}, refused); !errors.Is(err, refused) {
			t.Error(err)
		}
		if l := edit(t, run.Platform, func(*ledger.Ledger) {}); len(l.Rows) != 1 || l.Rows[0].User != "U1" {
			t.Errorf("the ledger has %+v", l.Rows)
		}
	})
}
