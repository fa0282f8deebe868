package claim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

func now() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

func newBook() Store {
	return Store{Client: platform.NewMemory(now), Kinds: []Kind{{platform.ApiAggregatorTarget, "api-aggregator-target"}}}
}

func create(t testing.TB, client platform.Client, namespace, name string) Owner {
	t.Helper()
	object, err := client.Create(context.Background(), platform.ApiAggregatorTarget, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "baleen.dev/v1alpha1", "kind": "ApiAggregatorTarget",
		"metadata": map[string]any{"namespace": namespace, "name": name},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return OwnerOf(object)
}

func remove(t testing.TB, client platform.Client, o Owner) {
	t.Helper()
	if err := client.Delete(context.Background(), platform.ApiAggregatorTarget, o.Namespace, o.Name, platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
}

var orders = Path("api.example.com", "/orders")

func (s Store) mustAcquire(t *testing.T, o Owner) Claim {
	t.Helper()
	c, err := s.Acquire(context.Background(), orders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s Store) mustReconcile(t *testing.T, o Owner, served bool, resources ...Resource) Outcome {
	t.Helper()
	var wants []Want
	for _, resource := range resources {
		wants = append(wants, Want{Resource: resource})
	}
	outcome, err := s.Reconcile(context.Background(), o, wants, func(Resource) bool { return served })
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

// The life of a claim: taken, contested, released in two runs, handed over.
func TestHandOver(t *testing.T) {
	b := newBook()
	a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
	if v := b.mustReconcile(t, a, false, orders).Verdicts[0]; !v.Held {
		t.Errorf("the first does not get it: %+v", v)
	}
	if v := b.mustReconcile(t, z, false, orders).Verdicts[0]; v.Held || v.Holder != a || v.Releasing {
		t.Errorf("the second gets %+v", v)
	}
	// a drops it: its output has it still, so nobody else may have it yet.
	if ask := b.mustReconcile(t, a, true).Notify; len(ask) != 1 || !ask[0].Is(z) {
		t.Errorf("asked are %v", ask)
	}
	if v := b.mustReconcile(t, z, false, orders).Verdicts[0]; v.Held || !v.Releasing {
		t.Errorf("while it is released the second gets %+v", v)
	}
	if ask := b.mustReconcile(t, a, true).Notify; len(ask) != 0 {
		t.Errorf("a run that still sees it in its output asks %v", ask)
	}
	// A later run sees its output without it.
	if ask := b.mustReconcile(t, a, false).Notify; len(ask) != 1 || !ask[0].Is(z) {
		t.Errorf("asked are %v", ask)
	}
	if v := b.mustReconcile(t, z, false, orders).Verdicts[0]; !v.Held {
		t.Errorf("the waiter gets %+v", v)
	}
	// Nothing is left of it when the last one goes.
	b.mustReconcile(t, z, true)
	b.mustReconcile(t, z, false)
	if left, _ := b.Client.List(context.Background(), platform.ConfigMap, Namespace, nil); len(left) != 0 {
		t.Errorf("%d claims are left", len(left))
	}
}

// Who changes its mind while releasing keeps what it had.
func TestWantedAgain(t *testing.T) {
	b := newBook()
	a := create(t, b.Client, "team-a", "orders")
	b.mustReconcile(t, a, false, orders)
	b.mustReconcile(t, a, true)
	if v := b.mustReconcile(t, a, true, orders).Verdicts[0]; !v.Held {
		t.Errorf("it gets %+v", v)
	}
}

// Who is deleted gets nothing back, and its path goes on when the object is gone.
func TestDeletion(t *testing.T) {
	b := newBook()
	a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
	b.mustAcquire(t, a)
	b.mustAcquire(t, z)
	finalizers := func(names any) {
		t.Helper()
		if _, err := b.Client.Patch(context.Background(), platform.ApiAggregatorTarget, a.Namespace, a.Name, map[string]any{"metadata": map[string]any{"finalizers": names}}); err != nil {
			t.Fatal(err)
		}
	}
	finalizers([]any{"kratix"})
	remove(t, b.Client, a) // until Kratix is done it is only marked
	ask, err := b.ReleaseAll(context.Background(), a)
	if err != nil || len(ask) != 1 {
		t.Fatalf("asked are %v: %v", ask, err)
	}
	// A configure that overlaps the deletion gets nothing back.
	if _, err := b.Acquire(context.Background(), orders, a, nil); err == nil {
		t.Error("the deleted one claims it again")
	}
	if c := b.mustAcquire(t, z); c.Owner != a {
		t.Errorf("before the object is gone the claim is %+v", c)
	}
	finalizers(nil)
	if c := b.mustAcquire(t, z); c.Owner != z || c.State != Held || len(c.Waiters) != 0 {
		t.Errorf("after the object is gone the claim is %+v", c)
	}
}

// After a deletion a new request of the same name is somebody else, after a
// restore it is the owner still.
func TestRestoredOwnerKeepsItsClaim(t *testing.T) {
	for name, deleted := range map[string]bool{"restored": false, "deleted": true} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
			b.mustAcquire(t, a)
			if deleted {
				if _, err := b.ReleaseAll(context.Background(), a); err != nil {
					t.Fatal(err)
				}
			}
			remove(t, b.Client, a)
			again := create(t, b.Client, "team-a", "orders")
			c := b.mustAcquire(t, z)
			if got := c.Owner == z; got != deleted {
				t.Errorf("another gets it: %v", got)
			}
			if !deleted {
				if v := b.mustReconcile(t, again, true, orders).Verdicts[0]; !v.Held {
					t.Errorf("the restored owner gets %+v", v)
				}
				if c, err := b.Get(context.Background(), orders); err != nil || c.Owner != again {
					t.Errorf("the claim is %+v, %v", c, err)
				}
			}
		})
	}
}

// Owners that vanished without a word are found by who wants what they had, and
// by the sweep.
func TestSweep(t *testing.T) {
	b := newBook()
	a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
	b.mustAcquire(t, a)
	b.mustAcquire(t, z)
	var ask []Owner
	sweep := func() []Claim {
		t.Helper()
		ask = nil
		left, err := b.Sweep(context.Background(), "path", "api.example.com", b.Gone, func(_ context.Context, owners []Owner) error {
			ask = append(ask, owners...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if left := sweep(); len(left) != 1 || len(ask) != 0 {
		t.Fatalf("with its owner there the sweep leaves %v and asks %v", left, ask)
	}
	remove(t, b.Client, a)
	asksWaiter := func() {
		t.Helper()
		if left := sweep(); len(left) != 0 || len(ask) != 1 || !ask[0].Is(z) {
			t.Fatalf("the sweep leaves %v and asks %v", left, ask)
		}
	}
	asksWaiter()
	if _, err := b.Sweep(context.Background(), "path", "api.example.com", b.Gone, func(context.Context, []Owner) error { return errors.New("away") }); err == nil {
		t.Fatal("nobody could be asked, and the sweep does not say so")
	}
	asksWaiter() // the claim is free, and its waiter is not forgotten before it was asked
	// Who was asked and does not come does not want it any more.
	if sweep(); len(ask) != 0 {
		t.Errorf("in the end the sweep asks %v", ask)
	}
	if left, _ := b.Client.List(context.Background(), platform.ConfigMap, Namespace, nil); len(left) != 0 {
		t.Errorf("%d claims are left", len(left))
	}
}

// No namespace keeps the others from waiting.
func TestWaiters(t *testing.T) {
	b := newBook()
	b.mustAcquire(t, create(t, b.Client, "team-a", "orders"))
	for i := range 2 * maxWaiters {
		b.mustAcquire(t, Owner{Kind: "ApiAggregatorTarget", Namespace: "team-x", Name: fmt.Sprintf("shop-%d", i), UID: "1"})
	}
	z := create(t, b.Client, "team-z", "orders")
	if c := b.mustAcquire(t, z); !slices.ContainsFunc(c.Waiters, z.Is) || len(c.Waiters) != maxWaitersOfNamespace+1 {
		t.Errorf("the waiters are %v", c.Waiters)
	}
}

// What a former incarnation left in the output is released once it is out.
func TestFormerIncarnationStillServed(t *testing.T) {
	b := newBook()
	a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
	b.mustAcquire(t, a)
	if _, err := b.ReleaseAll(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	remove(t, b.Client, a) // by force: its output stays
	a = create(t, b.Client, "team-a", "orders")
	b.mustReconcile(t, a, true)
	if c, err := b.Get(context.Background(), orders); err != nil || c == nil || c.State != Releasing {
		t.Errorf("while it is in the output the claim is %+v: %v", c, err)
	}
	b.mustReconcile(t, a, false)
	if c := b.mustAcquire(t, z); c.Owner != z {
		t.Errorf("once it is out the claim is %+v", c)
	}
}

// A run with nothing to do reads once, writes nothing, and does not care how many
// others there are.
func TestNothingToDo(t *testing.T) {
	for _, others := range []int{10, 10_000} {
		t.Run(fmt.Sprintf("%d others", others), func(t *testing.T) {
			b := newBook()
			a := create(t, b.Client, "team-a", "orders")
			b.mustReconcile(t, a, false, orders)
			for i := range others {
				other := Owner{Kind: "ApiAggregatorTarget", Namespace: "other", Name: fmt.Sprintf("%d", i), UID: "1"}
				if _, err := b.Acquire(context.Background(), Path("api.example.com", "/"+other.Name), other, nil); err != nil {
					t.Fatal(err)
				}
			}
			var asked []string
			b.Client = &gated{b.Client, func(what string) error { asked = append(asked, what); return nil }}
			if b.mustReconcile(t, a, true, orders); !slices.Equal(asked, []string{"list ConfigMap"}) {
				t.Errorf("it asks %v", asked)
			}
		})
	}
}
