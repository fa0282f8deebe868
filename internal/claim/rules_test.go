package claim

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

var (
	ctx = context.Background()
	// facts are what a holds and others hold, in these tests.
	facts = map[string]string{"type": "Prefix"}
	// stranger is of a kind that nobody serves.
	stranger = Owner{Kind: "Other", Namespace: "team-x", Name: "shop", UID: "7"}
)

// situation is a store with the requests a and z, on which something may happen
// before each request of the store.
type situation struct {
	*testing.T
	Store
	a, z   Owner
	asked  []string
	before func(what string) error
	store  platform.Client // past before
}

func newSituation(t *testing.T) *situation {
	s := &situation{T: t, Store: newBook(), before: func(string) error { return nil }}
	s.store = s.Client
	s.a, s.z = create(t, s.store, "team-a", "orders"), create(t, s.store, "team-z", "orders")
	s.Client = &gated{s.store, func(what string) error {
		s.asked = append(s.asked, what)
		return s.before(what)
	}}
	return s
}

func (s *situation) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// has puts a claim of orders, or of what it says, there as it is.
func (s *situation) has(c Claim) {
	s.Helper()
	if c.Resource == (Resource{}) {
		c.Resource = orders
	}
	if _, err := s.store.Create(ctx, platform.ConfigMap, encode(c, "")); apierrors.IsAlreadyExists(err) {
		_, err = s.store.Update(ctx, platform.ConfigMap, encode(c, ""))
		s.must(err)
	} else {
		s.must(err)
	}
}

// want fails the test unless the claim of orders is stored like this; nil for not
// at all.
func (s *situation) want(want *Claim) {
	s.Helper()
	got, err := Store{Client: s.store, Kinds: s.Kinds}.Get(ctx, orders)
	s.must(err)
	if got != nil {
		got.version = ""
	}
	if want != nil {
		want.Resource = orders
	}
	if !reflect.DeepEqual(got, want) {
		s.Errorf("the claim is %+v, want %+v", got, want)
	}
}

// wantError fails the test unless the error has these words, or is nil for none.
func (s *situation) wantError(err error, words string) {
	s.Helper()
	if (err != nil) != (words != "") || err != nil && !strings.Contains(err.Error(), words) {
		s.Errorf("it says %v, want %q", err, words)
	}
}

// deleting marks a as being deleted, with Kratix's finalizer on it.
func (s *situation) deleting() {
	s.Helper()
	_, err := s.store.Patch(ctx, platform.ApiAggregatorTarget, s.a.Namespace, s.a.Name, map[string]any{"metadata": map[string]any{"finalizers": []any{"kratix"}}})
	s.must(err)
	remove(s, s.store, s.a)
}

// madeAnew has another incarnation of a in its place.
func (s *situation) madeAnew() {
	s.Helper()
	remove(s, s.store, s.a)
	create(s, s.store, s.a.Namespace, s.a.Name)
}

// output is what is left of a on the clusters.
func (s *situation) output() {
	s.Helper()
	o := object(platform.Work, s.a.Name, nil)
	o.SetNamespace(s.a.Namespace)
	_, err := s.store.Create(ctx, platform.Work, o)
	s.must(err)
}

func named(o Owner) Owner { o.UID = ""; return o }

// Who asks for a resource gets it if it is nobody's, its own already, or its owner can
// serve nothing any more and is of the same namespace or was deleted; otherwise it waits.
func TestAcquire(t *testing.T) {
	held := func(s *situation) Claim { return Claim{Owner: s.a, State: Held, Facts: facts} }
	releasing := func(s *situation) Claim { return Claim{Owner: s.a, State: Releasing, Facts: facts} }
	deleted := func(s *situation) Claim {
		return Claim{Owner: s.a, State: Releasing, Deleted: true, Facts: facts}
	}
	takes := func(s *situation) *Claim { return &Claim{Owner: s.z, State: Held, Facts: facts} }
	waits := func(of func(*situation) Claim) func(*situation) *Claim {
		return func(s *situation) *Claim { c := of(s); c.Waiters = append(c.Waiters, named(s.z)); return &c }
	}
	stays := func(of func(*situation) Claim) func(*situation) *Claim {
		return func(s *situation) *Claim { c := of(s); return &c }
	}
	crowd := func(n int) func(*situation) Claim {
		return func(s *situation) Claim {
			c := held(s)
			for i := range n {
				c.Waiters = append(c.Waiters, Owner{Kind: s.a.Kind, Namespace: fmt.Sprintf("team-%d", i/maxWaitersOfNamespace), Name: fmt.Sprint(i)})
			}
			return c
		}
	}
	own := func(s *situation) Owner { return s.a }
	neighbour := func(s *situation) Owner {
		return Owner{Kind: s.a.Kind, Namespace: s.a.Namespace, Name: "shop", UID: "8"}
	}
	for _, test := range []struct {
		name string
		was  func(*situation) Claim
		and  func(*situation)
		who  func(*situation) Owner // z if nil
		want func(*situation) *Claim
		says string
		// abandoned: it is told that nobody else can be waited for.
		abandoned bool
	}{
		{name: "nobody has it", want: takes},
		{name: "its own", was: held, who: own, want: stays(held)},
		{name: "its own, with other facts", was: func(s *situation) Claim { c := held(s); c.Facts = nil; return c }, who: own, want: stays(held)},
		{name: "its own, which it was releasing", was: releasing, who: own, want: stays(held)},
		{name: "its own, and it is being deleted", was: held, and: (*situation).deleting, who: own, want: stays(held)},
		{name: "free, and it waited", was: func(s *situation) Claim { return Claim{State: Free, Waiters: []Owner{named(s.z), named(s.a)}} },
			want: func(s *situation) *Claim {
				return &Claim{Owner: s.z, State: Held, Facts: facts, Waiters: []Owner{named(s.a)}}
			}},
		{name: "another's", was: held, want: waits(held)},
		{name: "another's, and it waits already", was: func(s *situation) Claim { return *waits(held)(s) }, want: waits(held)},
		{name: "another's, who is releasing it", was: releasing, want: waits(releasing)},
		{name: "the list has room for one", was: crowd(maxWaiters - 1), want: waits(crowd(maxWaiters - 1))},
		{name: "the list is full", was: crowd(maxWaiters), want: stays(crowd(maxWaiters))},
		{name: "its owner is of a kind that nobody serves", was: func(s *situation) Claim { return Claim{Owner: stranger, State: Held} },
			want: waits(func(*situation) Claim { return Claim{Owner: stranger, State: Held} })},
		{name: "its owner is gone", was: held, and: func(s *situation) { remove(t, s.store, s.a) }, want: waits(held), abandoned: true},
		{name: "its owner is gone, and was releasing it", was: releasing, and: func(s *situation) { remove(t, s.store, s.a) }, want: waits(releasing), abandoned: true},
		{name: "its owner is gone, and it waits already", was: func(s *situation) Claim { return *waits(held)(s) }, and: func(s *situation) { remove(t, s.store, s.a) }, want: waits(held), abandoned: true},
		{name: "its owner was deleted, and is gone", was: deleted, and: func(s *situation) { remove(t, s.store, s.a) }, want: takes},
		{name: "its owner is gone, and of the same namespace", was: held, and: func(s *situation) { remove(t, s.store, s.a) }, who: neighbour,
			want: func(s *situation) *Claim { return &Claim{Owner: neighbour(s), State: Held, Facts: facts} }},
		{name: "its owner is gone, and its output is not", was: held, and: func(s *situation) { remove(t, s.store, s.a); s.output() }, want: waits(held)},
		{name: "its owner was restored", was: held, and: (*situation).madeAnew, want: waits(held)},
		{name: "its owner was deleted and made anew", was: deleted, and: (*situation).madeAnew, want: takes},
		{name: "its owner was deleted and made anew, with output of before", was: deleted, and: func(s *situation) { s.madeAnew(); s.output() }, want: waits(deleted)},
		{name: "its owner is being deleted", was: deleted, and: (*situation).deleting, want: waits(deleted)},
		{name: "its own, made anew with the UID it had", was: deleted, who: own, want: stays(held)},
		{name: "its own, and it gets nothing back", was: deleted, and: (*situation).deleting, who: own, want: stays(deleted), says: "ApiAggregatorTarget team-a/orders is being deleted: nothing is claimed for it"},
		{name: "its own, and it is gone", was: deleted, and: func(s *situation) { remove(t, s.store, s.a) }, who: own, want: stays(deleted), says: "is being deleted: nothing is claimed for it"},
		{name: "its own, of a kind that nobody serves", was: func(*situation) Claim { return Claim{Owner: stranger, State: Releasing, Deleted: true} }, who: func(*situation) Owner { return stranger },
			want: stays(func(*situation) Claim { return Claim{Owner: stranger, State: Releasing, Deleted: true} }), says: "is being deleted"},
		{name: "one that is being deleted, and another asks", was: deleted, who: func(*situation) Owner { return stranger },
			want: func(s *situation) *Claim { c := deleted(s); c.Waiters = []Owner{named(stranger)}; return &c }},
		{name: "it cannot be known whether its owner is there", was: held, and: func(s *situation) { s.fail("get ApiAggregatorTarget orders") }, want: stays(held), says: "ApiAggregatorTarget team-a/orders, the owner of path api.example.com/orders, cannot be read: away"},
		{name: "its owner's kind is not served", was: held, and: func(s *situation) { remove(t, s.store, s.a); s.fail("list ApiAggregatorTarget") }, want: stays(held), says: "the kind ApiAggregatorTarget of the owner of path api.example.com/orders is not served: away"},
		{name: "its owner's output cannot be looked for", was: held, and: func(s *situation) { remove(t, s.store, s.a); s.fail("list Work") }, want: stays(held), says: "the output of ApiAggregatorTarget team-a/orders cannot be looked for: away"},
		{name: "it cannot be known whether it is being deleted", was: deleted, and: func(s *situation) { s.fail("get ApiAggregatorTarget orders") }, who: own, want: stays(deleted), says: "away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSituation(t)
			if test.was != nil {
				s.has(test.was(s))
			}
			if test.and != nil {
				test.and(s)
			}
			who := s.z
			if test.who != nil {
				who = test.who(s)
			}
			c, err := s.Acquire(ctx, orders, who, facts)
			s.wantError(err, test.says)
			s.want(test.want(s))
			if c.Abandoned != test.abandoned {
				t.Errorf("abandoned: %t", c.Abandoned)
			}
			if test.name == "its own" && len(s.asked) != 1 {
				t.Errorf("to keep what it has it asks %v", s.asked)
			}
		})
	}
}

// fail has requests of one kind fail from now on.
func (s *situation) fail(what string) {
	s.before = func(is string) error {
		if is == what {
			return errors.New("away")
		}
		return nil
	}
}

// A claim is released by its owner alone, and who was deleted gets it back only as
// somebody else.
func TestRelease(t *testing.T) {
	anew := func(o Owner) Owner { o.UID = "another"; return o }
	for _, test := range []struct {
		name    string
		was     func(*situation) *Claim
		who     func(*situation) Owner
		deleted bool
		want    func(*situation) *Claim // as it was if nil
	}{
		{"nobody's", func(*situation) *Claim { return nil }, func(s *situation) Owner { return s.a }, true, nil},
		{"free", func(s *situation) *Claim { return &Claim{State: Free, Waiters: []Owner{named(s.z)}} }, func(s *situation) Owner { return s.a }, true, nil},
		{"another's", func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held} }, func(s *situation) Owner { return s.z }, true, nil},
		{"its own", func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held, Facts: facts} }, func(s *situation) Owner { return s.a }, false,
			func(s *situation) *Claim { return &Claim{Owner: s.a, State: Releasing, Facts: facts} }},
		{"its own, for ever", func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held} }, func(s *situation) Owner { return s.a }, true,
			func(s *situation) *Claim { return &Claim{Owner: s.a, State: Releasing, Deleted: true} }},
		{"its own, for ever before", func(s *situation) *Claim { return &Claim{Owner: s.a, State: Releasing, Deleted: true} }, func(s *situation) Owner { return s.a }, false, nil},
		{"its former incarnation's", func(s *situation) *Claim { return &Claim{Owner: s.a, State: Releasing, Deleted: true} }, func(s *situation) Owner { return anew(s.a) }, false,
			func(s *situation) *Claim { return &Claim{Owner: anew(s.a), State: Releasing} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSituation(t)
			was := test.was(s)
			if was != nil {
				s.has(*was)
			}
			_, err := s.Release(ctx, orders, test.who(s), test.deleted)
			s.must(err)
			if test.want != nil {
				was = test.want(s)
			}
			s.want(was)
		})
	}
}

// A claim is freed, or forgotten, only as it was read: whoever was faster has decided
// anew, and may hold it again.
func TestFreeAsItWasRead(t *testing.T) {
	for _, test := range []struct {
		name  string
		seen  func(*situation) Claim
		since func(*situation) *Claim // nil for nothing
		want  func(*situation) *Claim // what is since if nil
	}{
		{"nothing has happened", func(s *situation) Claim {
			return Claim{Owner: s.a, State: Releasing, Waiters: []Owner{named(s.z)}, Facts: facts}
		}, nil,
			func(s *situation) *Claim { return &Claim{State: Free, Waiters: []Owner{named(s.z)}} }},
		{"nothing has happened, and nobody waits", func(s *situation) Claim { return Claim{Owner: s.a, State: Releasing} }, nil, func(*situation) *Claim { return nil }},
		{"its owner holds it again", func(s *situation) Claim { return Claim{Owner: s.a, State: Releasing} }, func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held, Facts: facts} }, nil},
		{"its owner was deleted", func(s *situation) Claim { return Claim{Owner: s.a, State: Releasing} }, func(s *situation) *Claim { return &Claim{Owner: s.a, State: Releasing, Deleted: true} }, nil},
		{"another is releasing it", func(s *situation) Claim { return Claim{Owner: s.a, State: Releasing} }, func(s *situation) *Claim { return &Claim{Owner: s.z, State: Releasing} }, nil},
		{"somebody waits now", func(s *situation) Claim { return Claim{Owner: s.a, State: Releasing} },
			func(s *situation) *Claim { return &Claim{Owner: s.a, State: Releasing, Waiters: []Owner{named(s.z)}} },
			func(s *situation) *Claim { return &Claim{State: Free, Waiters: []Owner{named(s.z)}} }},
		{"free: nothing has happened", func(s *situation) Claim { return Claim{State: Free, Waiters: []Owner{named(s.z)}} }, nil, func(*situation) *Claim { return nil }},
		{"free: another waits now", func(s *situation) Claim { return Claim{State: Free, Waiters: []Owner{named(s.z)}} },
			func(s *situation) *Claim { return &Claim{State: Free, Waiters: []Owner{named(s.z), named(s.a)}} }, nil},
		{"free: somebody holds it", func(s *situation) Claim { return Claim{State: Free, Waiters: []Owner{named(s.z)}} },
			func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held, Waiters: []Owner{named(s.z)}} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSituation(t)
			s.has(test.seen(s))
			seen, err := s.Get(ctx, orders)
			s.must(err)
			var want *Claim
			if test.since != nil {
				want = test.since(s)
				s.has(*want)
			}
			if test.want != nil {
				want = test.want(s)
			}
			if seen.State == Free {
				err = s.forget(ctx, *seen)
			} else {
				_, err = s.Free(ctx, *seen)
			}
			s.must(err)
			s.want(want)
		})
	}
	t.Run("it is gone", func(t *testing.T) {
		s := newSituation(t)
		_, err := s.Free(ctx, Claim{Resource: orders, Owner: s.a, State: Releasing})
		s.must(errors.Join(err, s.forget(ctx, Claim{Resource: orders, State: Free})))
		s.want(nil)
	})
	t.Run("it is held, and its version is the one that was read", func(t *testing.T) {
		s := newSituation(t)
		s.has(Claim{Owner: s.a, State: Held, Waiters: []Owner{named(s.z)}})
		seen, err := s.Get(ctx, orders)
		s.must(errors.Join(err, s.forget(ctx, *seen)))
		s.want(&Claim{Owner: s.a, State: Held, Waiters: []Owner{named(s.z)}})
	})
}

// Whoever comes between the look at a claim and its change, the change is decided
// again upon what is there then.
func TestRaces(t *testing.T) {
	name := orders.name()
	for _, test := range []struct {
		name    string
		was     func(*situation) *Claim
		at      string // what another comes just before
		another func(*situation)
		want    func(*situation) *Claim
	}{
		{"another makes the claim", func(*situation) *Claim { return nil }, "create ConfigMap " + name,
			func(s *situation) { s.has(Claim{Owner: s.a, State: Held}) }, func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held, Waiters: []Owner{named(s.z)}} }},
		{"another takes what is free", func(s *situation) *Claim { return &Claim{State: Free, Waiters: []Owner{named(s.z)}} }, "update ConfigMap " + name,
			func(s *situation) { s.has(Claim{Owner: s.a, State: Held}) }, func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held, Waiters: []Owner{named(s.z)}} }},
		{"the claim goes", func(s *situation) *Claim { return &Claim{State: Free, Waiters: []Owner{named(s.z)}} }, "update ConfigMap " + name,
			func(s *situation) {
				s.must(s.store.Delete(ctx, platform.ConfigMap, Namespace, name, platform.Preconditions{}))
			}, func(s *situation) *Claim { return &Claim{Owner: s.z, State: Held, Facts: facts} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSituation(t)
			if was := test.was(s); was != nil {
				s.has(*was)
			}
			s.before = func(what string) error {
				if what == test.at {
					s.before = func(string) error { return nil }
					test.another(s)
				}
				return nil
			}
			_, err := s.Acquire(ctx, orders, s.z, facts)
			s.must(err)
			s.want(test.want(s))
		})
	}
	t.Run("a free claim finds an owner before it is removed", func(t *testing.T) {
		s := newSituation(t)
		s.has(Claim{Owner: s.a, State: Releasing})
		s.before = func(what string) error {
			if strings.HasPrefix(what, "delete ") {
				s.has(Claim{Owner: s.a, State: Held})
			}
			return nil
		}
		_, err := s.Free(ctx, Claim{Resource: orders, Owner: s.a, State: Releasing})
		s.must(err)
		s.want(&Claim{Owner: s.a, State: Held})
	})
	t.Run("others are always faster", func(t *testing.T) {
		s := newSituation(t)
		n := 0
		s.before = func(what string) error {
			if strings.HasPrefix(what, "update ") {
				n++
				s.has(Claim{State: Free, Waiters: []Owner{named(s.z), {Name: fmt.Sprint(n)}}})
			}
			return nil
		}
		s.has(Claim{State: Free, Waiters: []Owner{named(s.z)}})
		_, err := s.Acquire(ctx, orders, s.z, facts)
		s.wantError(err, "was changed by others 30 times in a row")
	})
	t.Run("the namespace is missing", func(t *testing.T) {
		s := newSituation(t)
		s.before = func(what string) error {
			if strings.HasPrefix(what, "create ") {
				return apierrors.NewNotFound(platform.ConfigMap.GVR().GroupResource(), name)
			}
			return nil
		}
		_, err := s.Acquire(ctx, orders, s.z, facts)
		s.wantError(err, "the namespace baleen-state is missing: create it")
	})
}

// What is not a claim is named, and nothing of it is believed.
func TestDamagedClaim(t *testing.T) {
	good := func(owner Owner) map[string]any {
		return encode(Claim{Resource: orders, Owner: owner, State: Held}, "").Object["data"].(map[string]any)
	}
	for name, test := range map[string]struct {
		change func(data map[string]any)
		says   string
	}{
		"cut off":       {func(d map[string]any) { d["owner"] = "{" }, "unexpected end of JSON input"},
		"about another": {func(d map[string]any) { d["thing"] = `{"kind":"path","scope":"api.example.com","key":"/users"}` }, "it is about path api.example.com/users"},
		"empty":         {func(d map[string]any) { clear(d) }, "unexpected end of JSON input"},
		"no text":       {func(d map[string]any) { d["state"] = int64(7) }, "accessor error"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSituation(t)
			o, data := encode(Claim{Resource: orders, Owner: s.a, State: Held}, ""), good(s.a)
			test.change(data)
			o.Object["data"] = data
			_, err := s.store.Create(ctx, platform.ConfigMap, o)
			s.must(err)
			_, err = s.Get(ctx, orders)
			s.wantError(err, "is not a claim: restore it")
			s.wantError(err, test.says)
			_, err = s.OwnedBy(ctx, s.a)
			s.wantError(err, test.says)
		})
	}
}

// An owner by a name that nothing can have is gone.
func TestOwnerThatCannotBe(t *testing.T) {
	s := newBook()
	if gone, err := s.Gone(t.Context(), Claim{Resource: Path("h", "/a"), Owner: Owner{Kind: "ApiAggregatorTarget", Namespace: "team-a", Name: ".."}, State: Held}); !gone || err != nil {
		t.Errorf("it is gone: %t: %v", gone, err)
	}
}

// What somebody else has labelled as a request's, and does not say to be that, is not, also
// where it cannot be read.
func TestLabelledBySomebodyElse(t *testing.T) {
	s := newBook()
	mine, theirs := Owner{Kind: "ApiAggregatorTarget", Namespace: "team-a", Name: "x"}, Owner{Kind: "ApiAggregatorTarget", Namespace: "team-b", Name: "y"}
	o := encode(Claim{Resource: Path("h", "/b"), Owner: theirs, State: Held}, "")
	o.SetLabels(map[string]string{labelOwner: mine.hash()})
	if err := unstructured.SetNestedField(o.Object, "garbage", "data", "facts"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client.Create(t.Context(), platform.ConfigMap, o); err != nil {
		t.Fatal(err)
	}
	if claims, err := s.OwnedBy(t.Context(), mine); err != nil || len(claims) > 0 {
		t.Errorf("it owns %v: %v", claims, err)
	}
}

// Hashes are short: what has the hash of another is not taken for the other's.
func TestHashesThatMeet(t *testing.T) {
	s := newSituation(t)
	for _, c := range []Claim{
		{Resource: orders, Owner: s.a, State: Held}, {Resource: Path(orders.Scope, "/users"), Owner: s.z, State: Held},
		{Resource: Path("other.example.com", "/orders"), Owner: s.z, State: Held}, {Resource: Host(orders.Scope), Owner: s.z, State: Held},
	} {
		o := encode(c, "")
		o.SetLabels(encode(Claim{Resource: orders, Owner: s.a, State: Held}, "").GetLabels())
		_, err := s.store.Create(ctx, platform.ConfigMap, o)
		s.must(err)
	}
	resources := func(claims []Claim, err error) (resources []string) {
		s.must(err)
		for _, c := range claims {
			resources = append(resources, c.Resource.String())
		}
		slices.Sort(resources)
		return resources
	}
	if owned := resources(s.OwnedBy(ctx, s.a)); !slices.Equal(owned, []string{"path api.example.com/orders"}) {
		t.Errorf("owned are %v", owned)
	}
	if within := resources(s.Within(ctx, "path", orders.Scope)); !slices.Equal(within, []string{"path api.example.com/orders", "path api.example.com/users"}) {
		t.Errorf("within are %v", within)
	}
}

// All claims of one kind are found among all that is stored.
func TestAll(t *testing.T) {
	s := newSituation(t)
	for _, c := range []Claim{
		{Resource: orders, Owner: s.a, State: Held}, {Resource: Host(orders.Scope), Owner: s.z, State: Held}, {Resource: Host("other.example.com"), State: Free},
	} {
		s.has(c)
	}
	ledger := encode(Claim{Resource: orders}, "")
	ledger.SetName("ledger-0")
	_, err := s.store.Create(ctx, platform.ConfigMap, ledger)
	s.must(err)
	hosts, err := s.All(ctx, "host")
	s.must(err)
	if len(hosts) != 2 || hosts[0].Resource.Kind != "host" || hosts[1].Resource.Kind != "host" {
		t.Errorf("the hosts are %v", hosts)
	}
}

// What a request has is brought in line with what it wants, and it is told what it
// may serve.
func TestReconcile(t *testing.T) {
	others := map[string]string{"type": "Exact"}
	admits := func(refusal string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return refusal, err }
	}
	held := func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held, Facts: facts} }
	for _, test := range []struct {
		name    string
		was     func(*situation) *Claim
		want    Want
		served  bool
		verdict func(*situation) Verdict
		then    func(*situation) *Claim
		says    string
	}{
		{name: "it is free", want: Want{Facts: facts}, verdict: func(*situation) Verdict { return Verdict{Held: true} }, then: held},
		{name: "it is another's", was: func(s *situation) *Claim { return &Claim{Owner: s.z, State: Held} }, verdict: func(s *situation) Verdict { return Verdict{Holder: s.z} },
			then: func(s *situation) *Claim { return &Claim{Owner: s.z, State: Held, Waiters: []Owner{named(s.a)}} }},
		{name: "another releases it", was: func(s *situation) *Claim { return &Claim{Owner: s.z, State: Releasing} }, verdict: func(s *situation) Verdict { return Verdict{Holder: s.z, Releasing: true} },
			then: func(s *situation) *Claim { return &Claim{Owner: s.z, State: Releasing, Waiters: []Owner{named(s.a)}} }},
		{name: "another is gone, who was releasing it", was: func(s *situation) *Claim { remove(s, s.store, s.z); return &Claim{Owner: s.z, State: Releasing} },
			verdict: func(s *situation) Verdict { return Verdict{Holder: s.z, Abandoned: true} },
			then:    func(s *situation) *Claim { return &Claim{Owner: s.z, State: Releasing, Waiters: []Owner{named(s.a)}} }},
		{name: "it says something else of it", was: held, want: Want{Facts: others}, verdict: func(*situation) Verdict { return Verdict{Held: true} },
			then: func(s *situation) *Claim { return &Claim{Owner: s.a, State: Held, Facts: others} }},
		{name: "it keeps what it has, as it is", was: held, want: Want{Facts: others, KeepOnly: true}, verdict: func(*situation) Verdict { return Verdict{Held: true} }, then: held},
		{name: "it keeps what it has not", want: Want{KeepOnly: true, Admit: admits("no", nil)}, verdict: func(*situation) Verdict { return Verdict{} }, then: func(*situation) *Claim { return nil }},
		{name: "it keeps what it was releasing", was: func(s *situation) *Claim { return &Claim{Owner: s.a, State: Releasing, Facts: facts} }, want: Want{KeepOnly: true},
			verdict: func(*situation) Verdict { return Verdict{Held: true} }, then: held},
		{name: "it is admitted", want: Want{Facts: facts, Admit: admits("", nil)}, verdict: func(*situation) Verdict { return Verdict{Held: true} }, then: held},
		{name: "it is refused", want: Want{Admit: admits("it is nested", nil)}, verdict: func(*situation) Verdict { return Verdict{Refusal: "it is nested"} }, then: func(*situation) *Claim { return nil }},
		{name: "who has it is not asked again", was: held, want: Want{Facts: facts, Admit: admits("it is nested", nil)}, verdict: func(*situation) Verdict { return Verdict{Held: true} }, then: held},
		{name: "it cannot be known", want: Want{Admit: admits("", errors.New("away"))}, verdict: func(*situation) Verdict { return Verdict{} }, then: func(*situation) *Claim { return nil }, says: "away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSituation(t)
			if test.was != nil {
				s.has(*test.was(s))
			}
			test.want.Resource = orders
			outcome, err := s.Reconcile(ctx, s.a, []Want{test.want}, func(Resource) bool { return test.served })
			s.wantError(err, test.says)
			if got := outcome.Verdicts[0]; got != test.verdict(s) {
				t.Errorf("the verdict is %+v", got)
			}
			s.want(test.then(s))
		})
	}
	// What it does not want any more goes in two steps, whether or not it was served.
	for _, served := range []bool{true, false} {
		t.Run(fmt.Sprintf("it is not wanted any more, served: %t", served), func(t *testing.T) {
			s := newSituation(t)
			s.has(*held(s))
			s.mustReconcile(t, s.a, served)
			s.want(&Claim{Owner: s.a, State: Releasing, Facts: facts})
			s.mustReconcile(t, s.a, true)
			s.want(&Claim{Owner: s.a, State: Releasing, Facts: facts})
			s.mustReconcile(t, s.a, false)
			s.want(nil)
		})
	}
}

// Who finds a resource that its owner is releasing asks that one to run, and waits
// until it has it, or another has.
func TestAwait(t *testing.T) {
	users := Path("api.example.com", "/users")
	wants := []Want{{Resource: users}, {Resource: orders, Facts: facts}}
	for _, test := range []struct {
		name    string
		holds   State              // what a has of orders
		then    []func(*situation) // what happens before each look
		asked   bool
		looks   int
		verdict func(*situation) Verdict
		says    string
	}{
		{name: "it is not released", holds: Held, verdict: func(s *situation) Verdict { return Verdict{Holder: s.a} }},
		{name: "it is released at once", holds: Releasing, asked: true, looks: 1, then: []func(*situation){func(s *situation) { s.has(Claim{State: Free, Waiters: []Owner{named(s.z)}}) }, func(*situation) {}},
			verdict: func(*situation) Verdict { return Verdict{Held: true} }},
		{name: "it is released later", holds: Releasing, asked: true, looks: 2, then: []func(*situation){func(*situation) {}, func(s *situation) { s.has(Claim{State: Free, Waiters: []Owner{named(s.z)}}) }},
			verdict: func(*situation) Verdict { return Verdict{Held: true} }},
		{name: "its owner keeps it", holds: Releasing, asked: true, looks: 1, then: []func(*situation){func(s *situation) { s.has(Claim{Owner: s.a, State: Held}) }, func(*situation) {}},
			verdict: func(s *situation) Verdict { return Verdict{Holder: s.a} }},
		{name: "it is not released in time", holds: Releasing, asked: true, looks: 2, then: []func(*situation){func(*situation) {}, func(*situation) {}},
			verdict: func(s *situation) Verdict { return Verdict{Holder: s.a, Releasing: true} }},
		{name: "its owner cannot be asked", holds: Releasing, asked: true, verdict: func(s *situation) Verdict { return Verdict{Holder: s.a, Releasing: true} }, says: "it cannot be asked"},
		{name: "it cannot be read", holds: Releasing, asked: true, looks: 1, then: []func(*situation){func(s *situation) { s.fail("get ConfigMap " + orders.name()) }},
			verdict: func(s *situation) Verdict { return Verdict{Holder: s.a, Releasing: true} }, says: "away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSituation(t)
			s.has(Claim{Owner: s.a, State: test.holds})
			s.has(Claim{Resource: users, Owner: s.a, State: Held})
			verdicts := []Verdict{{Holder: s.a}, {Holder: s.a, Releasing: test.holds == Releasing}}
			var asked [][]Owner
			looks := 0
			err := Outcome{Verdicts: verdicts, store: s.Store, owner: s.z, wants: wants}.Await(ctx,
				func(_ context.Context, owners []Owner) error {
					asked = append(asked, owners)
					if test.says == "it cannot be asked" {
						return errors.New(test.says)
					}
					return nil
				},
				func(ctx context.Context, done func(context.Context) (bool, error)) error {
					if test.then == nil {
						t.Error("it waits for nothing")
					}
					for _, happens := range test.then {
						happens(s)
						looks++
						if ok, err := done(ctx); ok || err != nil {
							return err
						}
					}
					return nil
				})
			s.wantError(err, test.says)
			if !test.asked && asked != nil || test.asked && !reflect.DeepEqual(asked, [][]Owner{{s.a}}) {
				t.Errorf("asked are %v", asked)
			}
			if looks != test.looks || verdicts[1] != test.verdict(s) || verdicts[0] != (Verdict{Holder: s.a}) {
				t.Errorf("after %d looks the verdicts are %+v", looks, verdicts)
			}
		})
	}
}

// Of the claims of one owner those are freed that are dead, and who waits for them is
// told.
func TestFreeDead(t *testing.T) {
	s := newSituation(t)
	users := Path("api.example.com", "/users")
	s.has(Claim{Owner: s.a, State: Releasing, Waiters: []Owner{named(s.z)}})
	s.has(Claim{Resource: users, Owner: s.a, State: Held, Waiters: []Owner{named(stranger)}})
	ask, err := s.FreeDead(ctx, s.a, func(_ context.Context, c Claim) (bool, error) { return c.Resource == orders, nil })
	s.must(err)
	if !slices.Equal(ask, []Owner{named(s.z)}) {
		t.Errorf("asked are %v", ask)
	}
	s.want(&Claim{State: Free, Waiters: []Owner{named(s.z)}})
	if c, err := s.Get(ctx, users); err != nil || c.State != Held {
		t.Errorf("what is alive is %+v, %v", c, err)
	}
}

// Whichever request to the platform fails, the work is not taken for done.
func TestEveryRequestMayFail(t *testing.T) {
	users := Path("api.example.com", "/users")
	ask := func(s *situation) func(context.Context, []Owner) error {
		return func(context.Context, []Owner) error { return s.before("ask") }
	}
	dead := func(s *situation) func(context.Context, Claim) (bool, error) {
		return func(context.Context, Claim) (bool, error) { return true, s.before("look") }
	}
	for name, do := range map[string]func(*situation) error{
		"Reconcile": func(s *situation) error {
			_, err := s.Reconcile(ctx, s.a, []Want{{Resource: Path("api.example.com", "/new")}}, func(Resource) bool { return false })
			return err
		},
		"ReleaseAll": func(s *situation) error { _, err := s.ReleaseAll(ctx, s.a); return err },
		"FreeDead":   func(s *situation) error { _, err := s.FreeDead(ctx, s.a, dead(s)); return err },
		"Sweep": func(s *situation) error {
			_, err := s.Sweep(ctx, "path", "api.example.com", dead(s), ask(s))
			return err
		},
		"Acquire":     func(s *situation) error { _, err := s.Acquire(ctx, orders, s.z, nil); return err },
		"Acquire new": func(s *situation) error { _, err := s.Acquire(ctx, Host("new"), s.z, nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			for nth, done := 1, false; !done; nth++ {
				s := newSituation(t)
				s.has(Claim{Owner: s.a, State: Releasing, Waiters: []Owner{named(s.z)}})
				s.has(Claim{Resource: users, Owner: s.a, State: Held})
				s.has(Claim{Resource: Path("api.example.com", "/free"), State: Free, Waiters: []Owner{named(s.z)}})
				n, failed := 0, ""
				s.before = func(what string) error {
					if n++; n == nth {
						failed = what
						return errors.New("away")
					}
					return nil
				}
				err := do(s)
				if done = failed == ""; done {
					if nth == 1 {
						t.Error("it asks nothing")
					}
					s.must(err)
				} else if err == nil || !strings.HasSuffix(err.Error(), "away") || n != nth {
					t.Errorf("with %s failing it says %v, and goes on to %d more", failed, err, n-nth)
				}
			}
		})
	}
}
