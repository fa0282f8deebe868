package claim

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/guardtest"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

var (
	seeds = flag.Int("seeds", 1000, "how many interleavings to try")
	seed  = flag.Uint64("seed", 0, "the one interleaving to replay; 0 tries -seeds of them")
)

// Several requests that add, drop, delete, crash and are restored, interleaved
// at the level of single API requests: at every moment each path has at most one
// owner and is in the output of at most one request; in the end nothing is
// leaked and no waiter is forgotten. The guard lets through all that is written.
func TestInterleavings(t *testing.T) {
	stores := []struct {
		name string
		open func(t *testing.T) platform.Client
		part int
	}{
		{"memory", func(*testing.T) platform.Client { return platform.NewMemory(now) }, 1},
		{"folder", func(t *testing.T) platform.Client {
			folder, err := platform.OpenFolder(t.TempDir(), now)
			if err != nil {
				t.Fatal(err)
			}
			return folder
		}, 100}, // each takes as long as a hundred in memory
	}
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			if *seed != 0 {
				interleave(t, store.open(t), *seed)
				return
			}
			t.Attr("tried.interleavings-of-claims", fmt.Sprint(*seeds/store.part))
			for s := range uint64(*seeds / store.part) {
				if interleave(t, store.open(t), s+1); t.Failed() {
					t.Fatalf("replay it with: go test ./internal/claim -run TestInterleavings/%s -seed %d -v", store.name, s+1)
				}
			}
		})
	}
}

const (
	steps   = 250
	targets = 4
	host    = "api.example.com"
)

var keys = []string{"/a", "/b"}

// namespaceOf is where a request is: two and two share one.
func namespaceOf(name string) string {
	if name < "t2" {
		return "team-a"
	}
	return "team-z"
}

// inputs are a platform with requests, and a simple Kratix that runs one workflow
// for each of them at a time.
type world struct {
	t       *testing.T
	store   platform.Client
	random  *rand.Rand
	jobs    map[string]*job
	again   map[string]bool // a job is to follow the one that runs
	history []string
}

// job is a workflow under way; next carries it to its next API request.
type job struct {
	next func() (string, bool)
	stop func()
}

func interleave(t *testing.T, store platform.Client, seed uint64) {
	w := &world{t: t, store: store, random: rand.New(rand.NewPCG(seed, 0)), jobs: map[string]*job{}, again: map[string]bool{}}
	for range steps {
		w.step()
		w.check()
		if t.Failed() {
			break
		}
	}
	if !t.Failed() {
		w.quiesce()
		w.checkEnd()
	}
	for _, j := range w.jobs {
		j.stop()
	}
	if t.Failed() {
		t.Logf("seed %d:\n%s", seed, strings.Join(w.history, "\n"))
	}
}

func (w *world) note(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf(format, args...))
}

// step lets one resource happen: an API request of a running job mostly.
func (w *world) step() {
	name := fmt.Sprintf("t%d", w.random.IntN(targets))
	switch n := w.random.IntN(100); {
	case n < 70:
		w.advance(name)
	case n < 78: // a user changes the request, or makes it
		w.apply(name, w.randomKeys())
	case n < 84:
		w.start(name) // the periodic reconcile
	case n < 89:
		w.remove(name)
	case n < 94: // the pod is killed, its node is gone
		if j := w.jobs[name]; j != nil {
			w.note("%s is killed", name)
			j.stop()
			delete(w.jobs, name)
			w.again[name] = true // its Job tries again, some time
		}
	case n < 96:
		w.restore(name)
	case n < 97:
		w.vanish(name)
	case n < 98:
		w.start("sweep")
	default:
		w.serveLabels()
	}
}

func (w *world) randomKeys() []string {
	return slices.DeleteFunc(slices.Clone(keys), func(string) bool { return w.random.IntN(3) == 0 })
}

func (w *world) get(kind platform.Kind, name string) *unstructured.Unstructured {
	object, err := w.store.Get(context.Background(), kind, namespaceOf(name), name)
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return object
}

func list(object *unstructured.Unstructured) []string {
	if object == nil {
		return nil
	}
	keys, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "keys")
	return keys
}

func object(kind platform.Kind, name string, keys []string) *unstructured.Unstructured {
	all := []any{}
	for _, k := range keys {
		all = append(all, k)
	}
	labels := map[string]any{}
	if kind == platform.Work {
		labels = map[string]any{kratix.LabelPromise: "api-aggregator-target", kratix.LabelResource: name}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": kind.GroupVersion().String(), "kind": kind.Kind,
		"metadata": map[string]any{"namespace": namespaceOf(name), "name": name, "labels": labels},
		"spec":     map[string]any{"keys": all},
	}}
}

// put stores an object whatever there is of that name.
func (w *world) put(kind platform.Kind, name string, keys []string, finalizers ...string) {
	o := object(kind, name, keys)
	if len(finalizers) > 0 {
		o.SetFinalizers(finalizers)
	}
	var err error
	if old := w.get(kind, name); old == nil {
		_, err = w.store.Create(context.Background(), kind, o)
	} else {
		o.SetResourceVersion(old.GetResourceVersion())
		o.SetLabels(old.GetLabels())
		_, err = w.store.Update(context.Background(), kind, o)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) apply(name string, keys []string) {
	if old := w.get(platform.ApiAggregatorTarget, name); old != nil && old.GetDeletionTimestamp() != nil {
		return
	}
	w.note("%s asks for %v", name, keys)
	w.put(platform.ApiAggregatorTarget, name, keys, "kratix")
	w.start(name)
}

func (w *world) remove(name string) {
	if w.get(platform.ApiAggregatorTarget, name) == nil {
		return
	}
	w.note("%s is deleted", name)
	if err := w.store.Delete(context.Background(), platform.ApiAggregatorTarget, namespaceOf(name), name, platform.Preconditions{}); err != nil {
		w.t.Fatal(err)
	}
	if j := w.jobs[name]; j != nil { // Kratix's newer versions let a configure end first; here it is ended
		j.stop()
		delete(w.jobs, name)
	}
	w.start(name)
}

// restore makes a request anew with its output in place, as a backup does: the
// object has another UID and there was no deletion.
func (w *world) restore(name string) {
	old := w.get(platform.ApiAggregatorTarget, name)
	if old == nil || old.GetDeletionTimestamp() != nil || w.jobs[name] != nil {
		return
	}
	w.note("%s is restored", name)
	ctx := context.Background()
	_, err := w.store.Patch(ctx, platform.ApiAggregatorTarget, namespaceOf(name), name, map[string]any{"metadata": map[string]any{"finalizers": nil}})
	if err == nil {
		err = w.store.Delete(ctx, platform.ApiAggregatorTarget, namespaceOf(name), name, platform.Preconditions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(platform.ApiAggregatorTarget, name, list(old), "kratix")
	w.start(name)
}

// vanish removes a request past Kratix, as somebody does who takes its finalizers
// away: its output stays until a platform engineer finds it.
func (w *world) vanish(name string) {
	if w.get(platform.ApiAggregatorTarget, name) == nil || w.jobs[name] != nil {
		return
	}
	w.note("%s vanishes", name)
	ctx := context.Background()
	_, err := w.store.Patch(ctx, platform.ApiAggregatorTarget, namespaceOf(name), name, map[string]any{"metadata": map[string]any{"finalizers": nil}})
	if err == nil {
		err = w.store.Delete(ctx, platform.ApiAggregatorTarget, namespaceOf(name), name, platform.Preconditions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
}

// cleanUp is that platform engineer.
func (w *world) cleanUp() {
	works, err := w.store.List(context.Background(), platform.Work, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, work := range works {
		if w.get(platform.ApiAggregatorTarget, work.GetName()) != nil {
			continue
		}
		w.note("the output of %s is removed", work.GetName())
		if err := w.store.Delete(context.Background(), platform.Work, work.GetNamespace(), work.GetName(), platform.Preconditions{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// start begins a job, after the one that runs for that name.
func (w *world) start(name string) {
	if w.jobs[name] != nil {
		w.again[name] = true
		return
	}
	delete(w.again, name)
	var j job
	j.next, j.stop = iter.Pull(func(yield func(string) bool) {
		defer func() {
			if r := recover(); r != nil && r != any(killed) {
				panic(r)
			}
		}()
		who := guardtest.Account("platform", "api-aggregator", "configure")
		if name != "sweep" {
			who = guardtest.Account(namespaceOf(name), "api-aggregator-target", "configure")
		}
		guarded, err := guardtest.Open(w.store, who, func(err error) { w.t.Errorf("the guard denies what %s writes: %v", name, err) })
		if err != nil {
			w.t.Error(err)
			return
		}
		client := &gated{guarded, func(what string) error {
			if !yield(what) {
				panic(killed)
			}
			return nil
		}}
		store := Store{Client: client, Kinds: []Kind{{platform.ApiAggregatorTarget, "api-aggregator-target"}}}
		if name == "sweep" {
			err = w.sweep(store)
		} else {
			err = w.workflow(store, client, name)
		}
		if err != nil {
			w.note("%s: %v", name, err)
		}
	})
	w.jobs[name] = &j
}

const killed = "killed"

func (w *world) advance(name string) {
	if w.random.IntN(8) == 0 {
		name = "sweep"
	}
	if w.jobs[name] == nil {
		return
	}
	w.advanceOnly(name)
}

// workflow is what pipeline and Kratix do for a request, request by request.
func (w *world) workflow(store Store, client platform.Client, name string) error {
	ctx := context.Background()
	target, err := client.Get(ctx, platform.ApiAggregatorTarget, namespaceOf(name), name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if target.GetDeletionTimestamp() != nil {
		return w.deletion(store, client, target)
	}
	work, err := client.Get(ctx, platform.Work, namespaceOf(name), name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	served := list(work)
	var wants []Want
	for _, k := range list(target) {
		wants = append(wants, Want{Resource: Path(host, k)})
	}
	s, err := store.Reconcile(ctx, OwnerOf(target), wants, func(t Resource) bool { return slices.Contains(served, t.Key) })
	if err != nil {
		return err
	}
	ask := s.Notify
	var output []string
	for i, v := range s.Verdicts {
		if v.Held {
			output = append(output, wants[i].Resource.Key)
		} else if v.Releasing {
			ask = append(ask, v.Holder)
		}
	}
	if err := w.askAll(client, ask); err != nil {
		return err
	}
	// The work-writer.
	next := object(platform.Work, name, output)
	if work == nil {
		_, err = client.Create(ctx, platform.Work, next)
	} else {
		next.SetResourceVersion(work.GetResourceVersion())
		_, err = client.Update(ctx, platform.Work, next)
	}
	return err
}

func (w *world) deletion(store Store, client platform.Client, target *unstructured.Unstructured) error {
	ctx := context.Background()
	ask, err := store.ReleaseAll(ctx, OwnerOf(target))
	if err == nil {
		err = w.askAll(client, ask)
	}
	if err != nil {
		return err
	}
	err = client.Delete(ctx, platform.Work, target.GetNamespace(), target.GetName(), platform.Preconditions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	_, err = client.Patch(ctx, platform.ApiAggregatorTarget, target.GetNamespace(), target.GetName(), map[string]any{"metadata": map[string]any{"finalizers": nil}})
	return err
}

func (w *world) sweep(store Store) error {
	_, err := store.Sweep(context.Background(), "path", host, store.Gone, func(_ context.Context, owners []Owner) error {
		return w.askAll(store.Client, owners)
	})
	return err
}

const asked = "asked"

func (w *world) askAll(client platform.Client, owners []Owner) error {
	for _, o := range owners {
		_, err := client.Patch(context.Background(), platform.ApiAggregatorTarget, o.Namespace, o.Name, map[string]any{"metadata": map[string]any{"labels": map[string]any{asked: "true"}}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// serveLabels starts the jobs that were asked for, as Kratix does.
func (w *world) serveLabels() (started bool) {
	objects, err := w.store.List(context.Background(), platform.ApiAggregatorTarget, "", map[string]string{asked: "true"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range objects {
		if w.jobs[o.GetName()] != nil {
			continue
		}
		if _, err := w.store.Patch(context.Background(), platform.ApiAggregatorTarget, o.GetNamespace(), o.GetName(), map[string]any{"metadata": map[string]any{"labels": map[string]any{asked: nil}}}); err != nil {
			w.t.Fatal(err)
		}
		w.note("%s was asked", o.GetName())
		w.start(o.GetName())
		started = true
	}
	return started
}

// check holds at every moment.
func (w *world) check() {
	works, err := w.store.List(context.Background(), platform.Work, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	serving := map[string]string{}
	for _, work := range works {
		for _, key := range list(&work) {
			if other := serving[key]; other != "" {
				w.t.Errorf("%s and %s both serve %s", other, work.GetName(), key)
			}
			serving[key] = work.GetName()
		}
	}
}

// quiesce lets everything that was begun or asked for come to its end: what was
// killed is run again, then nothing happens but what the requests ask of each
// other and one sweep a day.
func (w *world) quiesce() {
	drain := func() {
		for range 10_000 {
			busy := w.serveLabels()
			for _, name := range []string{"t0", "t1", "t2", "t3", "sweep"} {
				if w.jobs[name] != nil {
					busy = true
					w.advanceOnly(name)
					w.check()
				}
			}
			if !busy {
				return
			}
		}
		w.t.Error("the requests keep asking each other")
	}
	w.note("-- quiescence --")
	for _, name := range slices.Sorted(maps.Keys(w.again)) {
		w.start(name)
	}
	drain()
	w.cleanUp()
	for range 2 {
		w.start("sweep")
		drain()
	}
}

func (w *world) advanceOnly(name string) {
	if what, more := w.jobs[name].next(); more {
		w.note("%s is about to %s", name, what)
		return
	}
	delete(w.jobs, name)
	w.note("%s is done", name)
	if w.again[name] {
		w.start(name)
	}
}

// checkEnd holds when nothing is under way any more.
func (w *world) checkEnd() {
	wanted := map[string][]string{}
	live, err := w.store.List(context.Background(), platform.ApiAggregatorTarget, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range live {
		if o.GetDeletionTimestamp() != nil {
			w.t.Errorf("%s is still being deleted", o.GetName())
		}
		for _, key := range list(&o) {
			wanted[key] = append(wanted[key], o.GetName())
		}
	}
	store := Store{Client: w.store}
	for _, key := range keys {
		c, err := store.Get(context.Background(), Path(host, key))
		if err != nil {
			w.t.Fatal(err)
		}
		switch {
		case len(wanted[key]) == 0 && c != nil && c.State != Releasing: // for which its owner's next run sees to
			w.t.Errorf("nobody wants %s, and its claim is %+v", key, c)
		case len(wanted[key]) > 0 && (c == nil || c.State != Held || !slices.Contains(wanted[key], c.Owner.Name)):
			w.t.Errorf("%v want %s, and its claim is %+v", wanted[key], key, c)
		case len(wanted[key]) > 0 && !slices.Contains(list(w.get(platform.Work, c.Owner.Name)), key):
			w.t.Errorf("%s holds %s and does not serve it", c.Owner, key)
		}
	}
}

// gated has something happen before each request, such as "get ConfigMap x": that
// fails with what is returned.
type gated struct {
	platform.Client
	gate func(what string) error
}

func (g *gated) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if err := g.gate("get " + kind.Kind + " " + name); err != nil {
		return nil, err
	}
	return g.Client.Get(ctx, kind, namespace, name)
}

func (g *gated) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	if err := g.gate("list " + kind.Kind); err != nil {
		return nil, err
	}
	return g.Client.List(ctx, kind, namespace, labels)
}

func (g *gated) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := g.gate("create " + kind.Kind + " " + o.GetName()); err != nil {
		return nil, err
	}
	return g.Client.Create(ctx, kind, o)
}

func (g *gated) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := g.gate("update " + kind.Kind + " " + o.GetName()); err != nil {
		return nil, err
	}
	return g.Client.Update(ctx, kind, o)
}

func (g *gated) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if err := g.gate("patch " + kind.Kind + " " + name); err != nil {
		return nil, err
	}
	return g.Client.Patch(ctx, kind, namespace, name, patch)
}

func (g *gated) Delete(ctx context.Context, kind platform.Kind, namespace, name string, p platform.Preconditions) error {
	if err := g.gate("delete " + kind.Kind + " " + name); err != nil {
		return err
	}
	return g.Client.Delete(ctx, kind, namespace, name, p)
}
