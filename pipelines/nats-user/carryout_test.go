package natsuser

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
)

// Whatever a refused request still has to see to is seen to, and it is refused for what
// it was refused for.
func TestRememberLooksAfterTheLedger(t *testing.T) {
	refused := workflow.Fail("NotAdmitted", errors.New("it asks for too much"))
	for _, test := range []struct {
		name   string
		rows   []ledger.Record
		since  time.Time // it is missing
		user   bool      // its spec could be read
		stored bool
		says   string
		fates  string
		asks   string
	}{
		{name: "it has nothing", says: "it asks for too much"},
		{name: "it had nothing, and was missing", since: now, stored: true, says: "it asks for too much"},
		{name: "something was superseded", user: true, stored: true, says: "it asks for too much", fates: "U1 Retiring, U2 Active sealed", asks: "baleen-system/commerce",
			rows: []ledger.Record{issued(1, "U1", "commerce"), issued(2, "U2", "commerce", func(r *ledger.Record) { r.Reason, r.Written = "GrantChanged", now.AddDate(0, 0, -1) })}},
		{name: "the spec does not tell when it goes", stored: true, says: "it asks for too much", fates: "U1 Active sealed, U2 Active sealed",
			rows: []ledger.Record{issued(1, "U1", "commerce"), issued(2, "U2", "commerce", func(r *ledger.Record) { r.Reason, r.Written = "GrantChanged", now.AddDate(0, 0, -1) })}},
		{name: "somebody has revoked what it has", user: true, stored: true, fates: "U1 Active revoked sealed", rows: []ledger.Record{issued(1, "U1", "commerce", func(r *ledger.Record) { r.Revoked = now })},
			says: "it asks for too much; until that is mended nothing takes the place of the credentials that somebody has revoked, on eu-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, in := newRun(t), delivering()
			declare(t, run.Platform, "commerce", "operated")
			in.user.Spec.Default()
			if !test.user {
				in.user = nil
			}
			if test.stored {
				edit(t, run.Platform, func(l *ledger.Ledger) { l.UID, l.Records, l.MissingSince = "1", test.rows, test.since })
			}
			if err := maintain(t.Context(), run, in, refused); words(err) != test.says {
				t.Errorf("it says %v, want %s", err, test.says)
			}
			l, err := ledger.Store{Client: run.Platform}.Get(t.Context(), orders)
			if err != nil || l.Exists() != test.stored || !l.MissingSince.IsZero() || fates(l.Records) != test.fates {
				t.Errorf("the ledger is stored: %t, misses its request since %s and has %s, want %s: %v", l.Exists(), l.MissingSince, fates(l.Records), test.fates, err)
			}
			if got := workflowtest.Notified(t, run.Platform, platform.NatsAccount); got != test.asks {
				t.Errorf("it asks %q, want %q", got, test.asks)
			}
		})
	}
}

// Another run that is faster has looked after the ledger. A platform that is away is
// what stands in the way then.
func TestRememberIsInterrupted(t *testing.T) {
	refused := errors.New("refused")
	for how, transient := range map[platformtest.Fault]bool{platformtest.Refused: true, platformtest.Overtaken: false} {
		for at := range 5 {
			t.Run(fmt.Sprintf("%s at call %d", how, at+1), func(t *testing.T) {
				run, in := newRun(t), delivering()
				declare(t, run.Platform, "commerce", "operated")
				in.user.Spec.Default()
				run.Works = []string{"orders-work"}
				second := issued(2, "U2", "commerce", func(r *ledger.Record) { r.Reason = "GrantChanged" })
				run.Last = map[string]map[string][]byte{"eu-1": {"secret.yaml": document(t, second)}}
				edit(t, run.Platform, func(l *ledger.Ledger) {
					l.Records = []ledger.Record{issued(1, "U1", "commerce"), second, issued(3, "U3", "commerce", retiring)}
				})
				faulty := platformtest.At(run.Platform, at+1, how)
				run.Platform = faulty
				err := maintain(t.Context(), run, in, refused)
				if got := platform.IsTransient(err); got != (transient && faulty.Hit) || !got && !errors.Is(err, refused) {
					t.Errorf("it says %v", err)
				}
			})
		}
	}
}

// Accounts are asked to revoke, and to clear up after attempts that failed, but for
// those that fail again and again.
func TestAskAccounts(t *testing.T) {
	failed := func(n int) (rows []ledger.Record) {
		for i := range n {
			rows = append(rows, issued(int64(i+1), "", "commerce", retiring))
		}
		return rows
	}
	for _, test := range []struct {
		name string
		rows []ledger.Record
		asks string
	}{
		{"nothing is to go", []ledger.Record{issued(1, "U1", "commerce"), issued(2, "U2", "payments", retired)}, ""},
		{"two accounts have something", []ledger.Record{issued(1, "U1", "commerce", retiring), issued(2, "U2", "payments", retiring)}, "baleen-system/commerce, baleen-system/payments"},
		{"three attempts failed", failed(3), "baleen-system/commerce"},
		{"four attempts failed", failed(4), ""},
		{"four attempts failed, and something is to be revoked", append(failed(4), issued(5, "U5", "payments", retiring)), "baleen-system/payments"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newRun(t)
			declare(t, run.Platform, "commerce", "operated")
			declare(t, run.Platform, "payments", "plain")
			if err := notifyAccounts(t.Context(), run, toNotify(&ledger.Ledger{Request: orders, Records: test.rows})...); err != nil {
				t.Fatal(err)
			}
			if got := workflowtest.Notified(t, run.Platform, platform.NatsAccount); got != test.asks {
				t.Errorf("it asks %q, want %q", got, test.asks)
			}
		})
	}
}

// A request that is refused still retires what was superseded, when its time has
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
			run, in := newRun(t), delivering()
			in.user.Spec.Credentials.Overlap = "24h"
			edit(t, run.Platform, func(l *ledger.Ledger) {
				l.Records = []ledger.Record{first, second}
				l.Records[1].Written = now.Add(-test.written)
			})
			if err := maintain(t.Context(), run, in, refused); !errors.Is(err, refused) {
				t.Error(err)
			}
			if l := edit(t, run.Platform, func(*ledger.Ledger) {}); l.Record("eu-1", 1).State != test.former || l.Record("eu-1", 2).State != ledger.Active {
				t.Errorf("the ledger has %+v", l.Records)
			}
		})
	}
	t.Run("the ledger is lost", func(t *testing.T) {
		run := newRun(t)
		run.Last = destination.Output{"eu-1": {"secret.yaml": document(t, first)}}
		if err := maintain(t.Context(), run, inputs{}, refused); !errors.Is(err, refused) {
			t.Error(err)
		}
		if l := edit(t, run.Platform, func(*ledger.Ledger) {}); len(l.Records) != 1 || l.Records[0].User != "U1" {
			t.Errorf("the ledger has %+v", l.Records)
		}
	})
}

// A request that goes on settles what has expired of its former accounts that are gone:
// not what lives, nor what an account that is there will remove, its own above all.
func TestAbandonGone(t *testing.T) {
	run, in := newRun(t), delivering() // which draws from commerce
	declare(t, run.Platform, "payments", "plain")
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{
		issued(1, "U1", "gone", kept, retiring, expired), issued(2, "U2", "lost", kept, retiring), issued(3, "U3", "payments", kept, retiring, expired),
		issued(4, "U4", "commerce", kept, retiring, expired), issued(5, "U5", "gone", kept),
	}}
	before := slices.Clone(l.Records)
	run.Platform = platformtest.At(run.Platform, 1, platformtest.Refused)
	if err := abandonGone(t.Context(), run, in, l); !platform.IsTransient(err) || fates(l.Records) != fates(before) {
		t.Errorf("while the platform is away it says %v, and the ledger has %s", err, fates(l.Records))
	}
	if err := abandonGone(t.Context(), run, in, l); err != nil {
		t.Error(err)
	}
	want := "U1 Retired removed sealed, U2 Retiring sealed, U3 Retiring sealed, U4 Retiring sealed, U5 Active sealed"
	if got := fates(l.Records); got != want {
		t.Errorf("the ledger has %s, want %s", got, want)
	}
}

// crowded is a platform on which other requests of the namespace take what is left of its
// bound just before this one does.
type crowded struct {
	platform.Client
	t      *testing.T
	others int
}

func (c *crowded) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if strings.HasPrefix(name, "churn-") {
		if c.others--; c.others == 0 {
			days := churn.Days{now.Unix()/(24*60*60) + 1: 1000}
			if err := (churn.Store{Client: c.Client}).Charge(c.t.Context(), "commerce", "team-a", days, 0, now); err != nil {
				c.t.Error(err)
			}
		}
	}
	return c.Client.Get(ctx, kind, namespace, name)
}

// Who finds the bound reached only when a wish is counted decides anew, and is refused: what
// is delivered stays, and nothing is made or counted.
func TestOthersReachTheBoundFirst(t *testing.T) {
	for _, test := range []struct {
		name    string
		others  int
		refused bool
	}{{"before it is planned", 1, true}, {"before it is counted", 2, true}, {"never", 9, false}} {
		t.Run(test.name, func(t *testing.T) {
			run, in := newRun(t), serving(&stub{atOnce: 10})
			in.user.Spec.Credentials.Rotate = "2"
			edit(t, run.Platform, func(l *ledger.Ledger) {
				l.UID = string(run.Request.GetUID())
				for _, name := range []string{"eu-1", "us-1"} {
					r := issued(1, "U1"+name, "commerce")
					r.Destination, r.Basis = name, want(in, name).Basis
					r.Basis.Rotate.Spec = "1"
					certificate, _ := seal.Newest(bundle(), now)
					r.Basis.Certificate = certificate.Fingerprint
					l.Records = append(l.Records, r)
				}
			})
			run.Platform = &crowded{run.Platform, t, test.others}
			l, clusters, err := carryOut(t.Context(), run, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range clusters {
				if refused := c.problem.reason == reason.TooManyCredentials; refused != test.refused || c.problem.reason != "" && !refused {
					t.Errorf("%s: %s: %s", c.want.Destination, c.problem.reason, c.problem.message)
				}
			}
			want, counted := 2, 1000
			if !test.refused {
				want, counted = 4, 2
			}
			count, err := churn.Store{Client: run.Platform}.Get(t.Context(), "commerce", "team-a")
			if err != nil || len(l.Records) != want || count.Left(now) != counted {
				t.Errorf("it has %s, and %d are counted, want %d: %v", fates(l.Records), count.Left(now), counted, err)
			}
		})
	}
}
