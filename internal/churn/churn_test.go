package churn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

// now is the time of all tests, noon of the day called today.
var now = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

var today = dayOf(now)

// What counts as a former credential, and what takes no room or is nobody's churn.
func TestFormer(t *testing.T) {
	expires := now.AddDate(0, 0, 3)
	row := func(generation int64, state ledger.State, reason string, change ...func(*ledger.Record)) ledger.Record {
		r := ledger.Record{Destination: "eu-1", Generation: generation, State: state, User: fmt.Sprintf("U%d", generation), Reason: reason, Expires: expires, Basis: ledger.Basis{Account: "commerce"}}
		for _, do := range change {
			do(&r)
		}
		return r
	}
	revoked := func(r *ledger.Record) { r.Revoked = now }
	for _, test := range []struct {
		name string
		rows []ledger.Record
		want Days
	}{
		{"what is delivered", []ledger.Record{row(1, ledger.Active, "FirstIssue")}, Days{}},
		{"what was renewed", []ledger.Record{row(1, ledger.Active, "FirstIssue"), row(2, ledger.Active, "RenewalDue")}, Days{}},
		{"what was rotated, in its overlap", []ledger.Record{row(1, ledger.Active, "FirstIssue"), row(2, ledger.Active, "RotationRequested")}, Days{today + 3: 1}},
		{"what is about to be rotated", []ledger.Record{row(1, ledger.Active, "FirstIssue"), row(2, ledger.Intended, "RotationRequested")}, Days{today + 3: 1}},
		{"what was renewed, and then rotated", []ledger.Record{row(1, ledger.Active, "FirstIssue"), row(2, ledger.Active, "RenewalDue"), row(3, ledger.Active, "GrantChanged")}, Days{today + 3: 2}},
		{"what is to be revoked, and what is", []ledger.Record{row(1, ledger.Retired, "FirstIssue", revoked), row(2, ledger.Retiring, "RenewalDue")}, Days{today + 3: 2}},
		{"what is left to expire", []ledger.Record{row(1, ledger.Retired, "FirstIssue")}, Days{}},
		{"what has expired", []ledger.Record{row(1, ledger.Retiring, "FirstIssue", func(r *ledger.Record) { r.Expires = now })}, Days{}},
		{"an attempt that never was", []ledger.Record{row(1, ledger.Retiring, "FirstIssue", func(r *ledger.Record) { r.User = "" })}, Days{}},
		{"what another signing key has replaced", []ledger.Record{row(1, ledger.Retired, "FirstIssue", revoked), row(2, ledger.Active, "SigningKeyChanged")}, Days{}},
		{"on another cluster", []ledger.Record{row(1, ledger.Active, "FirstIssue"), row(2, ledger.Active, "RotationRequested", func(r *ledger.Record) { r.Destination = "us-1" })}, Days{}},
		{"of another account", []ledger.Record{row(1, ledger.Retiring, "FirstIssue", func(r *ledger.Record) { r.Basis.Account = "payments" })}, Days{}},
		{"each on its day", []ledger.Record{row(1, ledger.Retiring, "FirstIssue", func(r *ledger.Record) { r.Expires = now.Add(time.Hour) }), row(2, ledger.Retiring, "FirstIssue")}, Days{today: 1, today + 3: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Former("commerce", test.rows, now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// count reads what is stored.
func count(t *testing.T, s Store) Days {
	t.Helper()
	c, err := s.Get(t.Context(), "commerce", "team-a")
	if err != nil {
		t.Fatal(err)
	}
	return c.Days
}

// Charges add up, and what would be too many adds nothing. What has expired makes room,
// and takes no space.
func TestCharge(t *testing.T) {
	s := Store{Client: platform.NewMemory(func() time.Time { return now })}
	charge := func(more Days, most int, at time.Time) error {
		return s.Charge(t.Context(), "commerce", "team-a", more, most, at)
	}
	for range 2 {
		if err := charge(Days{today: 1, today + 5: 2}, 6, now); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(Days{today: 2, today + 5: 4}, count(t, s)); diff != "" {
		t.Error(diff)
	}
	err := charge(Days{today: 1}, 6, now)
	if want := "the namespace team-a would have more than 6 former credentials of NatsAccount commerce that have not expired"; !IsTooMany(err) || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
	if err := charge(Days{today: 1}, 0, now); err != nil || count(t, s).Left(now) != 7 {
		t.Errorf("without a bound there are %v: %v", count(t, s), err)
	}
	if err := charge(Days{today + 9: 2}, 6, now.AddDate(0, 0, 1)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(Days{today + 5: 4, today + 9: 2}, count(t, s)); diff != "" {
		t.Errorf("the next day: %s", diff)
	}
	if other, err := s.Get(t.Context(), "commerce", "team-b"); err != nil || len(other.Days) > 0 {
		t.Errorf("another namespace has %v: %v", other.Days, err)
	}
}

// distant is a platform to which each request takes some time.
type distant struct{ platform.Client }

func (d distant) wait() { time.Sleep(time.Duration(3+rand.IntN(10)) * time.Millisecond) }

func (d distant) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	d.wait()
	return d.Client.Get(ctx, kind, namespace, name)
}

func (d distant) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	d.wait()
	return d.Client.Update(ctx, kind, o)
}

// A hundred requests of one namespace charge at the same time, and none fails or is
// forgotten.
func TestChargeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Store{Client: distant{platform.NewMemory(func() time.Time { return now })}}
		const n = 100
		began := time.Now()
		var group sync.WaitGroup
		errs := make(chan error, n)
		for range n {
			group.Go(func() { errs <- s.Charge(t.Context(), "commerce", "team-a", Days{today: 1}, 0, now) })
		}
		group.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		if got := count(t, s).Left(now); got != n {
			t.Errorf("it counts %d", got)
		}
		t.Logf("the last is done after %s", time.Since(began))
	})
}

// The account's count takes the place of what requests have counted, but not of what they
// have counted since it was read; one that is empty is none.
func TestRecount(t *testing.T) {
	memory := platform.NewMemory(func() time.Time { return now })
	s := Store{Client: memory}
	read := func() Count {
		all, err := s.Of(t.Context(), "commerce")
		if err != nil || len(all) > 1 {
			t.Fatalf("%v: %v", all, err)
		}
		if len(all) == 0 {
			return Count{Account: "commerce", Namespace: "team-a"}
		}
		return all[0]
	}
	recount := func(c Count, days Days) {
		if err := s.Recount(t.Context(), c, days, now); err != nil {
			t.Fatal(err)
		}
	}
	recount(read(), Days{today: 2, today - 1: 9})
	if diff := cmp.Diff(Days{today: 2}, count(t, s)); diff != "" {
		t.Errorf("at first: %s", diff)
	}
	was := read()
	recount(was, Days{today: 2, today - 7: 3})
	if read().version != was.version {
		t.Error("the same was written again")
	}
	if err := s.Charge(t.Context(), "commerce", "team-a", Days{today: 1}, 0, now); err != nil {
		t.Fatal(err)
	}
	recount(was, Days{})
	if diff := cmp.Diff(Days{today: 3}, count(t, s)); diff != "" {
		t.Errorf("after a charge: %s", diff)
	}
	recount(read(), nil)
	if objects, err := memory.List(t.Context(), platform.ConfigMap, ledger.Namespace, nil); err != nil || len(objects) > 0 {
		t.Errorf("empty, it is there still: %v: %v", objects, err)
	}
	// Another account's, and what is no count, are not this one's.
	if err := s.Charge(t.Context(), "payments", "team-a", Days{today: 1}, 0, now); err != nil {
		t.Fatal(err)
	}
	stray := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"namespace": "team-a", "days": "2026-01-11 9\n"},
		"metadata": map[string]any{"name": "stray", "namespace": ledger.Namespace, "labels": map[string]any{label: labelOf("commerce")}},
	}}
	if _, err := memory.Create(t.Context(), platform.ConfigMap, stray); err != nil {
		t.Fatal(err)
	}
	if c := read(); len(c.Days) > 0 {
		t.Errorf("it reads %v", c)
	}
}

// Somebody may have put something else in the place of a count. It holds up nobody, and the
// account's run puts the count there.
func TestForeign(t *testing.T) {
	memory := platform.NewMemory(func() time.Time { return now })
	s := Store{Client: memory}
	object := encode(Count{Account: "commerce", Namespace: "team-a", Days: Days{today: 9}}, now)
	object.SetLabels(nil)
	if err := unstructured.SetNestedField(object.Object, "team-b", "data", "namespace"); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.Create(t.Context(), platform.ConfigMap, object); err != nil {
		t.Fatal(err)
	}
	if err := s.Charge(t.Context(), "commerce", "team-a", Days{today: 1}, 1, now); err != nil || len(count(t, s)) > 0 {
		t.Errorf("%v are counted: %v", count(t, s), err)
	}
	if err := s.Refund(t.Context(), "commerce", "team-a", Days{today: 1}, now); err != nil {
		t.Error(err)
	}
	if err := s.Recount(t.Context(), Count{Account: "commerce", Namespace: "team-a"}, Days{today: 3}, now); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(Days{today: 3}, count(t, s)); diff != "" {
		t.Error(diff)
	}
	if all, err := s.Of(t.Context(), "commerce"); err != nil || len(all) != 1 {
		t.Errorf("the account finds %v: %v", all, err)
	}
}

// What came to nothing is taken back, and no more than there is.
func TestRefund(t *testing.T) {
	s := Store{Client: platform.NewMemory(func() time.Time { return now })}
	if err := s.Refund(t.Context(), "commerce", "team-a", Days{today: 1}, now); err != nil || len(count(t, s)) > 0 {
		t.Errorf("of nothing %v are left: %v", count(t, s), err)
	}
	if err := s.Charge(t.Context(), "commerce", "team-a", Days{today: 2, today + 1: 1}, 0, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Refund(t.Context(), "commerce", "team-a", Days{today: 1, today + 1: 5}, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Days{today: 1}, count(t, s)); diff != "" {
		t.Error(diff)
	}
}

// Whatever is counted is read as it was written, however much it is in little space; and
// lines that say nothing count nothing.
func TestStored(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	days := Days{}
	for range 3650 { // the longest ttl
		days[today+random.Int64N(3650)] += random.IntN(100_000) + 1
	}
	object := encode(Count{Account: "commerce", Namespace: "team-a", Days: days}, now)
	if diff := cmp.Diff(days, decode(object, "commerce", "team-a").Days); diff != "" {
		t.Error(diff)
	}
	text, _, _ := unstructured.NestedString(object.Object, "data", "days")
	if len(text) > 100<<10 {
		t.Errorf("it has %d bytes", len(text))
	}
	for _, line := range []string{"", "2026-01-11", "2026-01-11 -4", "2026-01-11 0", "tomorrow 4", "2026-01-11 4 5", "2026-13-11 4"} {
		if err := unstructured.SetNestedField(object.Object, line+"\n2026-01-12 7\n", "data", "days"); err != nil {
			t.Fatal(err)
		}
		if got := decode(object, "commerce", "team-a").Days; !maps.Equal(got, Days{today + 2: 7}) {
			t.Errorf("%q is read as %v", line, got)
		}
	}
}

// A platform that fails is an error that says what could not be done.
func TestFails(t *testing.T) {
	away := errors.New("away")
	s := Store{Client: failing{platform.NewMemory(func() time.Time { return now }), away}}
	for what, err := range map[string]error{
		"read":    s.Charge(t.Context(), "commerce", "team-a", Days{today: 1}, 0, now),
		"written": s.Recount(t.Context(), Count{Account: "commerce", Namespace: "team-a", version: "1"}, Days{today: 1}, now),
	} {
		if want := "the count of former credentials of team-a in NatsAccount commerce cannot be " + what; !errors.Is(err, away) || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
			t.Errorf("it says %v", err)
		}
	}
	if _, err := s.Of(t.Context(), "commerce"); !errors.Is(err, away) {
		t.Errorf("it lists: %v", err)
	}
}

// failing is a platform that is away.
type failing struct {
	platform.Client
	err error
}

func (f failing) Get(context.Context, platform.Kind, string, string) (*unstructured.Unstructured, error) {
	return nil, f.err
}

func (f failing) List(context.Context, platform.Kind, string, map[string]string) ([]unstructured.Unstructured, error) {
	return nil, f.err
}

func (f failing) Update(context.Context, platform.Kind, *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return nil, f.err
}
