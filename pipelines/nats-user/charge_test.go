package natsuser

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/seal"
)

// rowOn is a record of what a cluster has, as the request wants it but for a change.
func rowOn(in inputs, destination, user string, changes ...func(*ledger.Record)) ledger.Record {
	r := issued(1, user, "commerce")
	r.Destination, r.Basis = destination, want(in, destination).Basis
	certificate, _ := seal.Newest(bundle(), now)
	r.Basis.Certificate = certificate.Fingerprint
	for _, change := range changes {
		change(&r)
	}
	return r
}

// What clusters may have.
var (
	otherRotate  = func(r *ledger.Record) { r.Basis.Rotate.Spec = "1" }
	otherAccount = func(r *ledger.Record) { r.Basis.Account, r.Basis.AccountID, r.Basis.SigningKey = "other", "OTHER", "S" }
	isDue        = func(r *ledger.Record) { r.Issued, r.Expires = now.AddDate(0, 0, -30), now.AddDate(0, 0, 1) }
	isLost       = func(r *ledger.Record) { r.State, r.Ciphertext = ledger.Intended, nil }
)

// counted returns how many former credentials of the namespace are counted.
func counted(t *testing.T, client platform.Client) int {
	t.Helper()
	count, err := churn.Store{Client: client}.Get(t.Context(), "commerce", "team-a")
	if err != nil {
		t.Fatal(err)
	}
	return count.Left(now)
}

// Whatever clusters have and however many former credentials there are, a run comes to an
// end: what is due is issued, what goes by itself goes, and a wish is granted or refused. In
// the end as many more are counted as there are.
func TestBoundHoldsUpNothingElse(t *testing.T) {
	kinds := [][]func(*ledger.Record){nil, {}, {otherRotate}, {isDue}, {isDue, otherRotate}, {isLost}, {otherAccount}, {isDue, otherAccount}}
	seen := map[string]int{}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		run, in := newRun(t), serving(&stub{atOnce: 1 + random.IntN(4)})
		in.user.Spec.Credentials.Rotate = "2"
		in.placement.Placed = nil
		var rows []ledger.Record
		var due []string
		for n := range 5 {
			name := fmt.Sprintf("c%d", n)
			in.bundles[name] = bundle()
			leaves := random.IntN(4) == 0
			if !leaves {
				in.placement.Placed = append(in.placement.Placed, name)
			}
			if kind := random.IntN(len(kinds)); kinds[kind] != nil {
				rows = append(rows, rowOn(in, name, "U"+name, kinds[kind]...))
				if isDue := kind == 3 || kind == 4 || kind == 7; isDue && !leaves {
					due = append(due, name)
				}
			}
		}
		edit(t, run.Platform, func(l *ledger.Ledger) { l.UID, l.Records = string(run.Request.GetUID()), rows })
		most := in.account.Spec.Policy.FormerBound()
		start := most - 4 + random.IntN(6)
		if err := (churn.Store{Client: run.Platform}).Charge(t.Context(), "commerce", "team-a", churn.Days{now.Unix()/(24*60*60) + 9: start}, 0, now); err != nil {
			t.Fatal(err)
		}
		before := churn.Former("commerce", rows, now).Left(now)
		l, clusters, err := carryOut(t.Context(), run, in)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, name := range due {
			if current := l.Current(name); current == nil || !current.Issued.Equal(now) {
				t.Errorf("seed %d: what is due on %s is not issued", seed, name)
			}
		}
		for _, c := range clusters {
			seen[string(c.problem.reason)]++
			if c.problem.reason != "" && c.problem.reason != reason.TooManyCredentials {
				t.Errorf("seed %d: %s: %s", seed, c.problem.reason, c.problem.message)
			}
		}
		if got, want := counted(t, run.Platform)-start, churn.Former("commerce", l.Records, now).Left(now)-before; got != want {
			t.Errorf("seed %d: %d more are counted, and there are %d more: %s", seed, got, want, fates(l.Records))
		}
		if n := l.Count(ledger.Intended); n > 0 || slices.ContainsFunc(l.Records, func(r ledger.Record) bool {
			return r.State == ledger.Active && !slices.Contains(in.placement.Placed, r.Destination)
		}) {
			t.Errorf("seed %d: something is left: %s", seed, fates(l.Records))
		}
	}
	if seen[""] < 50 || seen[string(reason.TooManyCredentials)] < 50 {
		t.Errorf("too little was tried: %v", seen)
	}
}

// Who goes from one account to another and back comes to an end, as who rotates does.
func TestAccountsAreChangedOnRequest(t *testing.T) {
	for _, test := range []struct {
		name   string
		former int
		change []func(*ledger.Record)
		reason credential.Reason
	}{
		{"there is room", 999, []func(*ledger.Record){otherAccount}, credential.AccountChanged},
		{"there is none", 1000, []func(*ledger.Record){otherAccount}, ""},
		{"there is none, and it is due", 1000, []func(*ledger.Record){otherAccount, isDue}, credential.AccountChanged},
		{"there is none, and the account is another one now", 1000, []func(*ledger.Record){func(r *ledger.Record) { r.Basis.AccountID = "FORMER" }}, credential.AccountChanged},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, in := newRun(t), serving(&stub{atOnce: 10})
			in.placement.Placed = []string{"eu-1"}
			row := rowOn(in, "eu-1", "UEU", test.change...)
			edit(t, run.Platform, func(l *ledger.Ledger) { l.UID, l.Records = string(run.Request.GetUID()), []ledger.Record{row} })
			if err := (churn.Store{Client: run.Platform}).Charge(t.Context(), "commerce", "team-a", churn.Days{now.Unix()/(24*60*60) + 9: test.former}, 0, now); err != nil {
				t.Fatal(err)
			}
			l, clusters, err := carryOut(t.Context(), run, in)
			if err != nil || (clusters[0].problem.reason == reason.TooManyCredentials) != (test.reason == "") {
				t.Errorf("it is %s: %s: %v", clusters[0].problem.reason, clusters[0].problem.message, err)
			}
			if current := l.Current("eu-1"); test.reason != "" && current.Reason != string(test.reason) || test.reason == "" && current.User != "UEU" {
				t.Errorf("it has %s for the reason %s", current.User, current.Reason)
			}
		})
	}
}

// overtaken is a platform on which somebody else changes the ledger just before it is
// written for the first time.
type overtaken struct {
	platform.Client
	t    *testing.T
	done bool
}

func (c *overtaken) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if strings.HasPrefix(o.GetName(), "ledger-") && !c.done {
		c.done = true
		edit(c.t, c.Client, func(l *ledger.Ledger) { l.UID = "touched" })
	}
	return c.Client.Update(ctx, kind, o)
}

// What a run has counted and could not commit does not count against itself.
func TestCountedOnce(t *testing.T) {
	run, in := newRun(t), serving(&stub{atOnce: 10})
	in.user.Spec.Credentials.Rotate, in.placement.Placed = "2", []string{"eu-1"}
	edit(t, run.Platform, func(l *ledger.Ledger) {
		l.UID, l.Records = string(run.Request.GetUID()), []ledger.Record{rowOn(in, "eu-1", "UEU", otherRotate)}
	})
	if err := (churn.Store{Client: run.Platform}).Charge(t.Context(), "commerce", "team-a", churn.Days{now.Unix()/(24*60*60) + 9: 999}, 0, now); err != nil {
		t.Fatal(err)
	}
	run.Platform = &overtaken{Client: run.Platform, t: t}
	l, clusters, err := carryOut(t.Context(), run, in)
	if n := counted(t, run.Platform); err != nil || clusters[0].problem.reason != "" || len(l.Records) != 2 || n != 1000 {
		t.Errorf("it is %+v with %s, and %d are counted: %v", clusters[0].problem, fates(l.Records), n, err)
	}
}

// A provider that makes nothing, run after run, takes no room.
func TestNothingMadeIsNotCounted(t *testing.T) {
	s := &stub{atOnce: 1, refuses: map[string]error{}}
	for g := range 9 {
		s.refuses[fmt.Sprintf("team-a.orders.eu-1.g%d", g)] = &provider.NotMadeError{Err: errors.New("it is away")}
	}
	run, in := newRun(t), serving(s)
	in.user.Spec.Credentials.Rotate, in.placement.Placed = "2", []string{"eu-1"}
	edit(t, run.Platform, func(l *ledger.Ledger) {
		l.UID, l.Records = string(run.Request.GetUID()), []ledger.Record{rowOn(in, "eu-1", "UEU", otherRotate)}
	})
	for range 3 {
		l, clusters, err := carryOut(t.Context(), run, in)
		if n := counted(t, run.Platform); err != nil || clusters[0].problem.reason != reason.IssueFailed || len(l.Records) != 1 || n != 0 {
			t.Errorf("it is %+v with %s, and %d are counted: %v", clusters[0].problem, fates(l.Records), n, err)
		}
	}
}
