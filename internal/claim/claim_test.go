package claim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

func now() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

func newBook() Book {
	return Book{Client: platform.NewMemory(now), Kinds: []Kind{{platform.ApiAggregatorTarget, "api-aggregator-target"}}}
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

func (b Book) mustAcquire(t *testing.T, o Owner) Claim {
	t.Helper()
	c, err := b.Acquire(context.Background(), orders, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b Book) mustSettle(t *testing.T, o Owner, served bool, things ...Thing) Settlement {
	t.Helper()
	var wants []Want
	for _, thing := range things {
		wants = append(wants, Want{Thing: thing})
	}
	s, err := b.Settle(context.Background(), o, wants, func(Thing) bool { return served })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The life of a claim: taken, contested, let go of in two runs, handed over.
func TestHandOver(t *testing.T) {
	b := newBook()
	a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
	if v := b.mustSettle(t, a, false, orders).Verdicts[0]; !v.Held {
		t.Errorf("the first does not get it: %+v", v)
	}
	if v := b.mustSettle(t, z, false, orders).Verdicts[0]; v.Held || v.Holder != a || v.Releasing {
		t.Errorf("the second gets %+v", v)
	}
	// a drops it: its output has it still, so nobody else may have it yet.
	if ask := b.mustSettle(t, a, true).Ask; len(ask) != 1 || !ask[0].Is(z) {
		t.Errorf("asked are %v", ask)
	}
	if v := b.mustSettle(t, z, false, orders).Verdicts[0]; v.Held || !v.Releasing {
		t.Errorf("while it is let go of the second gets %+v", v)
	}
	if ask := b.mustSettle(t, a, true).Ask; len(ask) != 0 {
		t.Errorf("a run that still sees it in its output asks %v", ask)
	}
	// A later run sees its output without it.
	if ask := b.mustSettle(t, a, false).Ask; len(ask) != 1 || !ask[0].Is(z) {
		t.Errorf("asked are %v", ask)
	}
	if v := b.mustSettle(t, z, false, orders).Verdicts[0]; !v.Held {
		t.Errorf("the waiter gets %+v", v)
	}
	// Nothing is left of it when the last one goes.
	b.mustSettle(t, z, true)
	b.mustSettle(t, z, false)
	if left, _ := b.Client.List(context.Background(), platform.ConfigMap, Namespace, nil); len(left) != 0 {
		t.Errorf("%d claims are left", len(left))
	}
}

// Who changes its mind while letting go keeps what it had.
func TestWantedAgain(t *testing.T) {
	b := newBook()
	a := create(t, b.Client, "team-a", "orders")
	b.mustSettle(t, a, false, orders)
	b.mustSettle(t, a, true)
	if v := b.mustSettle(t, a, true, orders).Verdicts[0]; !v.Held {
		t.Errorf("it gets %+v", v)
	}
}

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
	for _, deleted := range []bool{false, true} {
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
			t.Errorf("deleted %v: another gets it: %v", deleted, got)
		}
		if !deleted {
			if v := b.mustSettle(t, again, true, orders).Verdicts[0]; !v.Held {
				t.Errorf("the restored owner gets %+v", v)
			}
		}
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
	for range 2 { // the second finds a free claim whose waiter nobody may have asked
		if left := sweep(); len(left) != 0 || len(ask) != 1 || !ask[0].Is(z) {
			t.Fatalf("the sweep leaves %v and asks %v", left, ask)
		}
	}
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

// What a former incarnation left in the output is let go of once it is out.
func TestFormerIncarnationStillServed(t *testing.T) {
	b := newBook()
	a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
	b.mustAcquire(t, a)
	if _, err := b.ReleaseAll(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	remove(t, b.Client, a) // by force: its output stays
	a = create(t, b.Client, "team-a", "orders")
	b.mustSettle(t, a, true)
	if c, err := b.Get(context.Background(), orders); err != nil || c == nil || c.State != Releasing {
		t.Errorf("while it is in the output the claim is %+v: %v", c, err)
	}
	b.mustSettle(t, a, false)
	if c := b.mustAcquire(t, z); c.Owner != z {
		t.Errorf("once it is out the claim is %+v", c)
	}
}

// "Not found" says nothing while the kind is not served.
func TestGoneOnlyWhileTheKindIsServed(t *testing.T) {
	b := newBook()
	a, z := create(t, b.Client, "team-a", "orders"), create(t, b.Client, "team-z", "orders")
	b.mustAcquire(t, a)
	remove(t, b.Client, a)
	unserved := b
	unserved.Client = withoutKind{b.Client}
	if _, err := unserved.Acquire(context.Background(), orders, z, nil); err == nil {
		t.Error("it is taken from an owner of a kind that is not served")
	}
}

// withoutKind is an API server that does not serve the targets' CRD.
type withoutKind struct{ platform.Client }

func (w withoutKind) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	if kind == platform.ApiAggregatorTarget {
		_, err := w.Client.Get(ctx, kind, "none", "none")
		return nil, err
	}
	return w.Client.List(ctx, kind, namespace, labels)
}

// A run with nothing to do reads once, writes nothing, and does not care how many
// others there are.
func TestNothingToDo(t *testing.T) {
	for _, others := range []int{10, 10_000} {
		b := newBook()
		a := create(t, b.Client, "team-a", "orders")
		b.mustSettle(t, a, false, orders)
		for i := range others {
			other := Owner{Kind: "ApiAggregatorTarget", Namespace: "other", Name: string(rune('a'+i%26)) + time.Duration(i).String(), UID: "1"}
			if _, err := b.Acquire(context.Background(), Path("api.example.com", "/"+other.Name), other, nil); err != nil {
				t.Fatal(err)
			}
		}
		counted := &counting{Client: b.Client}
		b.Client = counted
		b.mustSettle(t, a, true, orders)
		if counted.reads != 1 || counted.writes != 0 {
			t.Errorf("among %d others it takes %d reads and %d writes", others, counted.reads, counted.writes)
		}
	}
}

// counting counts requests.
type counting struct {
	platform.Client
	reads, writes int
}

func (c *counting) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	c.reads++
	return c.Client.Get(ctx, kind, namespace, name)
}

func (c *counting) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	c.reads++
	return c.Client.List(ctx, kind, namespace, labels)
}

func (c *counting) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c.writes++
	return c.Client.Create(ctx, kind, o)
}

func (c *counting) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c.writes++
	return c.Client.Update(ctx, kind, o)
}

func (c *counting) Delete(ctx context.Context, kind platform.Kind, namespace, name string, p platform.Preconditions) error {
	c.writes++
	return c.Client.Delete(ctx, kind, namespace, name, p)
}

// withoutNamespace is a cluster on which nobody has made Namespace.
type withoutNamespace struct{ platform.Client }

func (w withoutNamespace) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	_, err := w.Get(ctx, kind, "none", "none")
	return nil, err
}

func TestMissingNamespace(t *testing.T) {
	b := newBook()
	a := create(t, b.Client, "team-a", "orders")
	b.Client = withoutNamespace{b.Client}
	if _, err := b.Acquire(context.Background(), orders, a, nil); err == nil || !strings.Contains(err.Error(), "namespace baleen-state is missing") {
		t.Errorf("the error is %v", err)
	}
}
