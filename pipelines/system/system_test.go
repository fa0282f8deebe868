package system

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/system"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises/system/v1alpha1"
)

const platformDir = "../../testdata/platform"

var (
	now  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	shop = identity.Request{Kind: platform.System.Kind, Namespace: "baleen-system", Name: "shop"}
)

// onPlatform is a run for the System of a copy of testdata/platform.
func onPlatform(t *testing.T) *workflow.Run {
	t.Helper()
	memory := platformtest.Load(t, platformDir, now)
	run := &workflow.Run{Promise: "system", Identity: shop, Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler)}
	var err error
	if run.Request, err = memory.Get(t.Context(), platform.System, shop.Namespace, shop.Name); err == nil {
		run.Config, err = config.Load(t.Context(), memory)
	}
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// add stores a workload of a System that saw terms in its last run.
func add(t *testing.T, client platform.Client, namespace, name string, ref map[string]any, terms string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"systemRef": ref}}}
	o.SetGroupVersionKind(platform.Workload.GroupVersionKind)
	o.SetNamespace(namespace)
	o.SetName(name)
	created, err := client.Create(t.Context(), platform.Workload, o)
	if err == nil {
		created.Object["status"] = map[string]any{system.TermsKey: terms}
		created, err = client.UpdateStatus(t.Context(), platform.Workload, created)
	}
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// populate adds workloads: those that the System concerns, one that has seen its terms,
// those of other Systems, and one that is gone and has a name that another waits for.
func populate(t *testing.T, run *workflow.Run) {
	t.Helper()
	s, err := v1alpha1.Read(run.Request)
	if err != nil {
		t.Fatal(err)
	}
	seen := func(namespace string) string {
		return system.TermsFor(s, namespace, []string{"eu-1", "us-1"}).Digest()
	}
	here := map[string]any{"name": "shop"}
	add(t, run.Platform, "team-a", "changed", here, "other")
	add(t, run.Platform, "team-a", "named", map[string]any{"name": "shop", "namespace": "baleen-system"}, "other")
	add(t, run.Platform, "team-a", "seen", here, seen("team-a"))
	add(t, run.Platform, "team-a", "new", here, "")
	add(t, run.Platform, "other", "seen", here, seen("other")) // it is not admitted, and knows it
	add(t, run.Platform, "team-a", "elsewhere", map[string]any{"name": "other"}, "other")
	add(t, run.Platform, "team-a", "namesake", map[string]any{"name": "shop", "namespace": "team-a"}, "other")
	waiter := add(t, run.Platform, "team-c", "waits", map[string]any{"name": "other"}, "")
	store := claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.Workload, Promise: "workload"}}}
	name := claim.Workload("eu-1", "team-a", "gone")
	if _, err := store.Acquire(t.Context(), name, claim.Owner{Kind: platform.Workload.Kind, Namespace: "team-a", Name: "gone", UID: "1"}, nil); err != nil {
		t.Fatal(err)
	}
	work := &unstructured.Unstructured{}
	work.SetGroupVersionKind(platform.Work.GroupVersionKind)
	work.SetNamespace("team-a")
	work.SetName("gone")
	work.SetLabels(map[string]string{kratix.LabelPromise: "workload", kratix.LabelResource: "gone"})
	if _, err := run.Platform.Create(t.Context(), platform.Work, work); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Acquire(t.Context(), name, claim.OwnerOf(waiter), nil); err != nil {
		t.Fatal(err)
	}
	if err := run.Platform.Delete(t.Context(), platform.Work, "team-a", "gone", platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
}

// A run asks those that a change concerns, and who waits for a name whose owner is gone.
// Wherever it is interrupted, it comes to that when it is run again.
func TestConfigure(t *testing.T) {
	prepare := func(t *testing.T) *workflow.Run {
		run := onPlatform(t)
		populate(t, run)
		return run
	}
	do := func(ctx context.Context, run *workflow.Run) error {
		result, err := configure(ctx, run)
		if err == nil && (!result.Ready || len(result.Output) > 0 || result.Message != "workloads of team-* may run on 2 clusters") {
			err = errors.New(result.Message)
		}
		return err
	}
	workflowtest.Interrupted(t, prepare, do, func(t *testing.T, memory platform.Client) {
		if got, want := workflowtest.Notified(t, memory, platform.Workload), "team-a/changed, team-a/named, team-a/new, team-c/waits"; got != want {
			t.Errorf("it asks %s, want %s", got, want)
		}
	})
}

// A deletion ends configure runs, and tells all workloads of the System and no others.
func TestRemove(t *testing.T) {
	prepare := func(t *testing.T) *workflow.Run {
		run := onPlatform(t)
		populate(t, run)
		job := &unstructured.Unstructured{}
		job.SetGroupVersionKind(platform.Job.GroupVersionKind)
		job.SetNamespace(shop.Namespace)
		job.SetName("configure")
		job.SetLabels(map[string]string{kratix.LabelPromise: "system", kratix.LabelResource: "shop", kratix.LabelAction: string(kratix.Configure)})
		if _, err := run.Platform.Create(t.Context(), platform.Job, job); err != nil {
			t.Fatal(err)
		}
		return run
	}
	workflowtest.Interrupted(t, prepare, remove, func(t *testing.T, memory platform.Client) {
		if got, want := workflowtest.Notified(t, memory, platform.Workload), "other/seen, team-a/changed, team-a/named, team-a/new, team-a/seen"; got != want {
			t.Errorf("it tells %s, want %s", got, want)
		}
		if jobs, err := memory.List(t.Context(), platform.Job, "", nil); err != nil || len(jobs) > 0 {
			t.Errorf("there are Jobs still: %v, %v", jobs, err)
		}
	})
}

// Who is asked to run, by how its last run went.
func TestConcerned(t *testing.T) {
	in := inputs{system: &v1alpha1.System{}, placement: destination.Placement{Placed: []string{"eu-1"}}}
	in.system.Namespace, in.system.Name, in.system.Spec.AllowedNamespaces = shop.Namespace, shop.Name, []string{"team-a"}
	terms := system.TermsFor(in.system, "team-a", []string{"eu-1"}).Digest()
	long := now.Add(-2 * time.Hour)
	for name, test := range map[string]struct {
		workload workload
		want     bool
	}{
		"it has seen the terms":           {workload{workflow.Peer{Terms: terms, Ready: true}, shop.String()}, false},
		"it saw others":                   {workload{workflow.Peer{Terms: "other"}, shop.String()}, true},
		"it saw none":                     {workload{workflow.Peer{}, shop.String()}, true},
		"its last run failed":             {workload{workflow.Peer{Terms: terms, Failed: true}, shop.String()}, true},
		"it is wrong itself":              {workload{workflow.Peer{Terms: "other", Refused: true}, shop.String()}, false},
		"Kratix has forgotten it":         {workload{workflow.Peer{Terms: terms, Begun: long}, shop.String()}, true},
		"its deletion is stuck":           {workload{workflow.Peer{Terms: terms, Deleting: long}, shop.String()}, true},
		"it is being deleted":             {workload{workflow.Peer{Terms: "other", Deleting: now}, shop.String()}, false},
		"it is of another System":         {workload{workflow.Peer{Terms: "other"}, "baleen-system/other"}, false},
		"it is of a namesake of this one": {workload{workflow.Peer{Terms: "other"}, "team-a/shop"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			test.workload.Namespace = "team-a"
			in.workloads = []workload{test.workload}
			if got := len(concerned(in, now)) == 1; got != test.want {
				t.Errorf("it is asked: %t", got)
			}
		})
	}
	in.workloads = []workload{{workflow.Peer{Namespace: "team-b", Terms: terms}, shop.String()}}
	if len(concerned(in, now)) != 1 {
		t.Error("the terms of one namespace are taken for those of another")
	}
}

// A System counts where the platform team says so, and nowhere else.
func TestGather(t *testing.T) {
	run := onPlatform(t)
	for _, test := range []struct {
		trusted []string
		spec    map[string]any
		reason  reason.Reason
	}{
		{[]string{"baleen-system"}, nil, ""}, {[]string{"systems", "baleen-system"}, nil, ""}, {[]string{"systems"}, nil, reason.WrongNamespace},
		{[]string{"baleen-system"}, map[string]any{}, reason.InvalidSpec}, {[]string{"systems"}, map[string]any{}, reason.WrongNamespace},
	} {
		run.Config.SystemNamespaces = test.trusted
		if test.spec != nil {
			run.Request.Object["spec"] = test.spec
		}
		_, err := gather(t.Context(), run)
		var failure *workflow.Failure
		if errors.As(err, &failure); (err == nil) != (test.reason == "") || failure != nil && failure.Reason != test.reason {
			t.Errorf("with %v it says %v, want %s", test.trusted, err, test.reason)
		}
	}
}

// What a name's owner has to be for it to be free.
func TestSweep(t *testing.T) {
	name := claim.Workload("eu-1", "team-a", "orders")
	for what, test := range map[string]struct {
		change func(*unstructured.Unstructured) // of the owner, nil: it is gone
		output bool
		free   bool
		// deleted: the name was released by a deletion of the owner that had it.
		deleted bool
	}{
		"it is there":                        {func(*unstructured.Unstructured) {}, false, false, false},
		"it is gone":                         {nil, false, true, false},
		"it was made again":                  {func(*unstructured.Unstructured) {}, false, true, true},
		"it was made again, with output":     {func(*unstructured.Unstructured) {}, true, false, true},
		"its deletion has begun":             {func(o *unstructured.Unstructured) { deleteAt(o, now) }, false, false, true},
		"it is gone, and its output is not":  {nil, true, false, false},
		"it is being deleted":                {func(o *unstructured.Unstructured) { deleteAt(o, now) }, false, false, false},
		"its deletion is stuck":              {func(o *unstructured.Unstructured) { deleteAt(o, now.Add(-time.Hour)) }, false, true, false},
		"it is stuck, and its output is not": {func(o *unstructured.Unstructured) { deleteAt(o, now.Add(-time.Hour)) }, true, false, false},
	} {
		t.Run(what, func(t *testing.T) {
			run := onPlatform(t)
			owner := claim.Owner{Kind: platform.Workload.Kind, Namespace: "team-a", Name: "orders", UID: "1"}
			store := claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.Workload, Promise: "workload"}}}
			if _, err := store.Acquire(t.Context(), name, owner, nil); err != nil {
				t.Fatal(err)
			}
			if test.deleted {
				if _, err := store.Release(t.Context(), name, owner, true); err != nil {
					t.Fatal(err)
				}
			}
			namesake := add(t, run.Platform, "team-b", "orders", map[string]any{"name": "shop"}, "")
			in := inputs{placement: destination.Placement{Placed: []string{"eu-1"}}, workloads: []workload{{workflow.PeerOf(namesake, system.TermsKey), shop.String()}}}
			if test.change != nil {
				o := add(t, run.Platform, "team-a", "orders", map[string]any{"name": "shop"}, "")
				test.change(o)
				in.workloads = append(in.workloads, workload{workflow.PeerOf(o, system.TermsKey), shop.String()})
			}
			if test.output {
				work := &unstructured.Unstructured{}
				work.SetGroupVersionKind(platform.Work.GroupVersionKind)
				work.SetNamespace("team-a")
				work.SetName("orders")
				work.SetLabels(map[string]string{kratix.LabelPromise: "workload", kratix.LabelResource: "orders"})
				if _, err := run.Platform.Create(t.Context(), platform.Work, work); err != nil {
					t.Fatal(err)
				}
			}
			if err := sweep(t.Context(), run, in); err != nil {
				t.Fatal(err)
			}
			if c, err := store.Get(t.Context(), name); err != nil || (c == nil) != test.free {
				t.Errorf("the claim is %v, %v", c, err)
			}
		})
	}
}

func deleteAt(o *unstructured.Unstructured, at time.Time) {
	o.Object["metadata"].(map[string]any)["deletionTimestamp"] = at.Format(time.RFC3339)
}

// What a System says of itself.
func TestReport(t *testing.T) {
	for _, test := range []struct {
		allowed   []string
		placement destination.Placement
		ready     bool
		reason    reason.Reason
		says      string
	}{
		{[]string{"team-a"}, destination.Placement{Placed: []string{"a"}}, true, reason.Ready, "workloads of team-a may run on 1 cluster"},
		{[]string{"a", "b", "c", "d"}, destination.Placement{Placed: []string{"a"}}, true, reason.Ready, "workloads of a, b, c and d may run on 1 cluster"},
		{[]string{"a", "b", "c", "d", "e"}, destination.Placement{Placed: []string{"a"}}, true, reason.Ready, "workloads of 5 namespace patterns may run on 1 cluster"},
		{nil, destination.Placement{Placed: []string{"a", "b"}}, true, reason.Ready, "workloads of no namespace may run on 2 clusters; spec.allowedNamespaces names none: list the namespaces whose workloads belong to the system"},
		{[]string{"a"}, destination.Placement{}, false, reason.NoDestination, "workloads of a may run on 0 clusters; no Destination matches spec.placement"},
		{[]string{"a"}, destination.Placement{Unregistered: []string{"b"}}, false, reason.DestinationNotRegistered, "workloads of a may run on 0 clusters; nothing new can be sent to b"},
	} {
		in := inputs{system: &v1alpha1.System{Spec: v1alpha1.SystemSpec{AllowedNamespaces: slices.Clone(test.allowed)}}, placement: test.placement}
		if r := report(in); r.Ready != test.ready || r.Reason != test.reason || !strings.HasPrefix(r.Message, test.says) {
			t.Errorf("it is %t, %s: %s; want %s", r.Ready, r.Reason, r.Message, test.says)
		}
	}
}
