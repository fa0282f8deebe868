package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

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
	"github.com/baleen-platform/baleen/promises/workload/v1alpha1"
)

const (
	platformDir = "../../testdata/platform"
	good        = `{systemRef: {name: shop}, container: {image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/orders:1"}}`
)

var (
	now    = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	orders = identity.Request{Kind: platform.Workload.Kind, Namespace: "team-a", Name: "orders"}
)

// add stores a workload.
func add(t *testing.T, client platform.Client, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal([]byte("spec: "+spec), &o.Object); err != nil {
		t.Fatal(err)
	}
	o.SetGroupVersionKind(platform.Workload.GroupVersionKind)
	o.SetNamespace(namespace)
	o.SetName(name)
	created, err := client.Create(t.Context(), platform.Workload, o)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// onPlatform is a run for team-a/orders with a spec, on a copy of testdata/platform.
func onPlatform(t *testing.T, spec string) *workflow.Run {
	t.Helper()
	memory := platformtest.Load(t, platformDir, now)
	run := &workflow.Run{Promise: promise, Identity: orders, Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler)}
	run.Request = add(t, memory, "team-a", "orders", spec)
	var err error
	if run.Config, err = config.Load(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	return run
}

// hold has a workload hold a name on a cluster, or wait for it.
func hold(t *testing.T, run *workflow.Run, owner claim.Owner, resource claim.Resource) {
	t.Helper()
	if _, err := claims(run).Acquire(t.Context(), resource, owner, nil); err != nil {
		t.Fatal(err)
	}
}

// What keeps a workload from running at all, and what of its System's terms the status
// tells then.
func TestGather(t *testing.T) {
	nothing := func(*testing.T, *workflow.Run) {}
	of := func(change func(spec map[string]any)) func(*testing.T, *workflow.Run) {
		return func(t *testing.T, run *workflow.Run) {
			o, err := run.Platform.Get(t.Context(), platform.System, "baleen-system", "shop")
			if err == nil {
				change(o.Object["spec"].(map[string]any))
				_, err = run.Platform.Update(t.Context(), platform.System, o)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name         string
		spec         string
		change       func(*testing.T, *workflow.Run)
		reason, says string
		seen, terms  bool // the status has the key, and a digest under it
	}{
		{name: "all is well", spec: good, change: nothing, seen: true, terms: true},
		{name: "its spec is wrong", spec: `{container: {}}`, change: nothing, reason: "InvalidSpec", says: "spec.systemRef.name is missing"},
		{name: "it may not act there", spec: strings.Replace(good, "{", "{workloadNamespace: other, ", 1), change: nothing, reason: "NamespaceNotMapped", says: "may not act on the workload namespace other"},
		{name: "there is no such System", spec: strings.Replace(good, "name: shop", "name: nothing", 1), change: nothing, reason: "SystemNotFound", seen: true, says: "there is no System baleen-system/nothing"},
		{name: "it counts for nobody", spec: strings.Replace(good, "name: shop", "name: shop, namespace: team-a", 1), change: nothing, reason: "SystemNotTrusted", seen: true, says: "a System in the namespace team-a counts for nobody"},
		{name: "the System's spec is wrong", spec: good, change: of(func(s map[string]any) { s["placement"] = map[string]any{} }), reason: "SystemInvalid", seen: true, says: "System baleen-system/shop is not valid"},
		{name: "it is not admitted", spec: good, change: of(func(s map[string]any) { s["allowedNamespaces"] = []any{"team-b"} }), reason: "NotAdmitted", seen: true, terms: true, says: "does not admit workloads of the namespace team-a"},
		{name: "an overlay is wrong", spec: good, change: func(t *testing.T, run *workflow.Run) { overlay(t, run.Platform, int64(5)) }, reason: "OverlayFailed", seen: true, terms: true, says: "data that is not text"},
		{name: "an overlay does not apply", spec: good, change: func(t *testing.T, run *workflow.Run) { overlay(t, run.Platform, "kind: [a]\n") }, reason: "RenderFailed", seen: true, terms: true, says: "do not apply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, test.spec)
			test.change(t, run)
			result, err := configure(t.Context(), run)
			var failure *workflow.Failure
			if errors.As(err, &failure); (err != nil) != (test.reason != "") || failure != nil && string(failure.Reason) != test.reason || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %s: %s", err, test.reason, test.says)
			}
			if seen, is := result.Status[system.TermsKey].(string); is != test.seen || (seen != "") != test.terms {
				t.Errorf("the status has the terms %q: %t", seen, is)
			}
		})
	}
}

func overlay(t *testing.T, client platform.Client, content any) {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"a.yaml": content}}}
	o.SetGroupVersionKind(platform.ConfigMap.GroupVersionKind)
	o.SetNamespace("baleen-system")
	o.SetName("workload-overlays")
	if _, err := client.Create(t.Context(), platform.ConfigMap, o); err != nil {
		t.Fatal(err)
	}
}

// A run has the names that it may have, releases those that it does not want any more, and
// asks who waits for them. Wherever it is interrupted, it comes to that when it is run again.
func TestConfigure(t *testing.T) {
	workflowtest.Interrupted(t, func(t *testing.T) *workflow.Run {
		run := onPlatform(t, good)
		other, waiter := add(t, run.Platform, "team-b", "orders", good), add(t, run.Platform, "team-b", "waiter", good)
		hold(t, run, claim.OwnerOf(run.Request), claim.Workload("eu-1", "former", "orders"))
		hold(t, run, claim.OwnerOf(waiter), claim.Workload("eu-1", "former", "orders"))
		hold(t, run, claim.OwnerOf(other), claim.Workload("us-1", "team-a", "orders"))
		return run
	}, func(ctx context.Context, run *workflow.Run) error {
		result, err := configure(ctx, run)
		if err == nil && (result.Reason != reason.ComponentConflict || !slices.Equal(result.Output.Destinations(), []string{"eu-1"}) || len(result.Output["eu-1"]) != 5) {
			err = errors.New(result.Message)
		}
		return err
	}, func(t *testing.T, memory platform.Client) {
		if got := workflowtest.Notified(t, memory, platform.Workload); got != "team-b/waiter" {
			t.Errorf("it asks %s", got)
		}
	})
}

// A deletion releases all that its request has, ends its configure runs, and asks who
// waits: not what belongs to its namesake.
func TestRelease(t *testing.T) {
	mine, theirs := claim.Workload("eu-1", "team-a", "orders"), claim.Workload("us-1", "team-a", "orders")
	workflowtest.Interrupted(t, func(t *testing.T) *workflow.Run {
		run := onPlatform(t, good)
		other, waiter := add(t, run.Platform, "team-b", "orders", good), add(t, run.Platform, "team-b", "waiter", good)
		hold(t, run, claim.OwnerOf(run.Request), mine)
		hold(t, run, claim.OwnerOf(waiter), mine)
		hold(t, run, claim.OwnerOf(other), theirs)
		job := &unstructured.Unstructured{}
		job.SetGroupVersionKind(platform.Job.GroupVersionKind)
		job.SetNamespace("team-a")
		job.SetName("configure")
		job.SetLabels(map[string]string{kratix.LabelPromise: promise, kratix.LabelResource: "orders", kratix.LabelAction: string(kratix.Configure)})
		if _, err := run.Platform.Create(t.Context(), platform.Job, job); err != nil {
			t.Fatal(err)
		}
		return run
	}, release, func(t *testing.T, memory platform.Client) {
		store, states := claim.Store{Client: memory}, map[claim.Resource]claim.State{}
		for _, resource := range []claim.Resource{mine, theirs} {
			c, err := store.Get(t.Context(), resource)
			if err != nil {
				t.Fatal(err)
			}
			states[resource] = c.State
		}
		if want := map[claim.Resource]claim.State{mine: claim.Releasing, theirs: claim.Held}; !maps.Equal(states, want) {
			t.Errorf("the claims are %v, want %v", states, want)
		}
		if got := workflowtest.Notified(t, memory, platform.Workload); got != "team-b/waiter" {
			t.Errorf("it asks %s", got)
		}
		if jobs, err := memory.List(t.Context(), platform.Job, "", nil); err != nil || len(jobs) > 0 {
			t.Errorf("there are Jobs still: %v, %v", jobs, err)
		}
	})
}

// A run in which nothing changes reads four times, and as often with hundreds of others on
// the platform; the request, its Works and the configuration were read before. It writes
// nothing.
func TestReads(t *testing.T) {
	run := onPlatform(t, good)
	if _, err := configure(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		other := add(t, run.Platform, "team-b", fmt.Sprint("other-", n), good)
		hold(t, run, claim.OwnerOf(other), claim.Workload("eu-1", "team-b", other.GetName()))
	}
	before := platformtest.Contents(t, run.Platform, platform.ConfigMap, platform.Workload)
	counted := platformtest.At(run.Platform, 0, platformtest.Refused)
	run.Platform = counted
	if _, err := configure(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if counted.Calls != 4 {
		t.Errorf("it makes %d calls", counted.Calls)
	}
	if after := platformtest.Contents(t, counted.Client, platform.ConfigMap, platform.Workload); !reflect.DeepEqual(before, after) {
		t.Error("it writes")
	}
}

// document is one of some namespace.
func document(namespace string) []byte {
	return []byte("kind: Deployment\nmetadata: {name: orders, namespace: " + namespace + "}\n")
}

// Names are wanted where the workload is placed, and kept where it is served still: on a
// cluster that it leaves only for its grace.
func TestWanted(t *testing.T) {
	run := onPlatform(t, good)
	in, err := gather(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	run.Config.DestinationGrace = time.Hour
	run.Last = destination.Output{
		"eu-1":   {"a": document("team-a"), "b": document("former"), "c": []byte("kind: ClusterRole\nmetadata: {name: orders}\n"), "d": []byte("{"), "e": document("former"), "f": document("team-a"), "g": document("former"), "h": []byte("metadata: {namespace: [a]}"), "i": document("team-a"), "j": document("former")},
		"left-1": {"a": document("team-a")}, "gone-1": {"a": document("team-a")},
	}
	run.Request.Object["status"] = map[string]any{"leavingDestinations": []any{map[string]any{"name": "gone-1", "since": now.Add(-2 * time.Hour).Format(time.RFC3339)}}}
	var got []string
	for _, want := range wanted(in, served(run, in)) {
		text := want.Resource.String()
		if want.KeepOnly {
			text = "keep " + text
		}
		got = append(got, text)
	}
	want := []string{"workload eu-1/team-a/orders", "workload us-1/team-a/orders", "keep workload eu-1/former/orders", "keep workload left-1/team-a/orders"}
	if !slices.Equal(got, want) {
		t.Errorf("it wants %q, want %q", got, want)
	}
}

// Where its name is another's, a cluster keeps what it has elsewhere of the request, and
// nothing that is another's by now or is nobody's name.
func TestWhatStaysElsewhere(t *testing.T) {
	run := onPlatform(t, good)
	in, err := gather(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string][]byte{"here": document("team-a"), "former": document("former"), "lost": document("lost"), "nowhere": []byte("kind: ClusterRole\nmetadata: {name: orders}\n")}
	wants := wanted(in, []claim.Resource{claim.Workload("eu-1", "former", "orders"), claim.Workload("eu-1", "lost", "orders"), claim.Workload("us-1", "former", "orders")})
	verdicts := []claim.Verdict{{Holder: claim.Owner{Namespace: "team-b", Name: "orders"}}, {Held: true}, {Held: true}, {}, {Held: true}}
	clusters := clustersOf(in, wants, verdicts)
	if former := clusters[0].former; !slices.Equal(former, []claim.Resource{claim.Workload("eu-1", "former", "orders")}) {
		t.Errorf("its former names are %v", former)
	}
	if got := slices.Sorted(maps.Keys(elsewhere(in, clusters[0], last))); clusters[0].held || !slices.Equal(got, []string{"former"}) {
		t.Errorf("what stays is %q", got)
	}
	if len(last) != 4 {
		t.Error("the last output is changed")
	}
	run.Last = destination.Output{"eu-1": last}
	output, err := emit(run, in, clusters)
	if err != nil || len(output["eu-1"]) != 1 || len(output["us-1"]) != 5 {
		t.Errorf("it emits %v: %v", output, err)
	}
}

// An overlay that takes all away is told of.
func TestNothingRendered(t *testing.T) {
	run := onPlatform(t, good)
	overlay(t, run.Platform, "#@ load(\"@ytt:overlay\", \"overlay\")\n#@overlay/match by=overlay.all, expects=\"1+\"\n#@overlay/remove\n---\n")
	result, err := configure(t.Context(), run)
	if err != nil || result.Reason != reason.NothingRendered || len(result.Output.Destinations()) > 0 ||
		!strings.HasSuffix(result.Message, "the overlays of the platform team leave nothing to run on eu-1: correct the ConfigMap workload-overlays; clusters with problems besides: 1, see status.clusters") {
		t.Errorf("it is %s: %s (%v)", result.Reason, result.Message, err)
	}
}

// What the status says of the clusters: the first problem whole, and how many there are
// besides.
func TestReport(t *testing.T) {
	const image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/orders:1"
	bad := func(name string) *cluster {
		return &cluster{name: name, problem: problem{reason.ComponentConflict, "no room on " + name}}
	}
	for _, test := range []struct {
		name, spec string
		placement  destination.Placement
		clusters   []*cluster
		ready      bool
		reason     reason.Reason
		says       string
	}{
		{"all is well", good, destination.Placement{Placed: []string{"a", "b"}}, []*cluster{{name: "a"}, {name: "b"}}, true, reason.Ready, "2 to 5 replicas of " + image + " for the namespace team-a on 2 of 2 clusters"},
		{"one replica", strings.Replace(good, "{", "{maxReplicas: 1, ", 1), destination.Placement{Placed: []string{"a"}}, []*cluster{{name: "a"}}, true, reason.Ready, "1 replica of " + image + " for the namespace team-a on 1 of 1 cluster"},
		{"one problem", good, destination.Placement{Placed: []string{"a", "b"}}, []*cluster{{name: "a"}, bad("b")}, false, reason.ComponentConflict, "2 to 5 replicas of " + image + " for the namespace team-a on 1 of 2 clusters; no room on b"},
		{"several", good, destination.Placement{Placed: []string{"a", "b", "c"}}, []*cluster{bad("a"), bad("b"), bad("c")}, false, reason.ComponentConflict,
			"2 to 5 replicas of " + image + " for the namespace team-a on 0 of 3 clusters; no room on a; clusters with problems besides: 2, see status.clusters"},
		{"one that is not registered, too", good, destination.Placement{Placed: []string{"a"}, Unregistered: []string{"c"}}, []*cluster{bad("a")}, false, reason.ComponentConflict,
			"2 to 5 replicas of " + image + " for the namespace team-a on 0 of 1 cluster; nothing new can be sent to c: register it with `baleen clusters trust c`; no room on a"},
		{"no cluster", good, destination.Placement{}, nil, false, reason.NoDestination, "2 to 5 replicas of " + image + " for the namespace team-a on 0 of 0 clusters; no Destination matches the System's spec.placement, so no cluster is served: change it, or label a Destination"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, err := gather(t.Context(), onPlatform(t, test.spec))
			if err != nil {
				t.Fatal(err)
			}
			in.placement = test.placement
			r := report(in, test.clusters, nil)
			if r.Ready != test.ready || r.Reason != test.reason || r.Message != test.says {
				t.Errorf("it is %t, %s: %s\nwant %s", r.Ready, r.Reason, r.Message, test.says)
			}
			rows := r.Status["clusters"].([]v1alpha1.ClusterStatus)
			for i, c := range test.clusters {
				if want := (v1alpha1.ClusterStatus{Destination: c.name, Namespace: "team-a", Problem: c.problem.message}); len(rows) != len(test.clusters) || rows[i] != want {
					t.Errorf("the rows are %v", rows)
				}
			}
			if r.Status[system.TermsKey] != in.seen[system.TermsKey] || in.seen[system.TermsKey] == "" {
				t.Errorf("the terms are %q", r.Status[system.TermsKey])
			}
		})
	}
}

// What the templates get of a request: a worker listens nowhere, and Pods have labels that
// only the request's name decides.
func TestValues(t *testing.T) {
	for spec, want := range map[string]string{
		good: "8080", strings.Replace(good, "{", "{type: Worker, ", 1): "0", strings.Replace(good, "image:", "port: 9090, image:", 1): "9090",
	} {
		run := onPlatform(t, strings.Replace(spec, "image:", "env: [{name: A, value: b}], image:", 1))
		in, err := gather(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		v := values(run, in, "eu-1")
		container := v["container"].(map[string]any)
		if got := fmt.Sprint(container["port"]); got != want {
			t.Errorf("the port is %s, want %s", got, want)
		}
		if got := fmt.Sprint(container["env"]); got != "[map[name:A value:b]]" {
			t.Errorf("the variables are %s", got)
		}
		if got := fmt.Sprint(v["selector"], v["podLabels"]); got != "map[baleen.dev/workload:orders] map[app.kubernetes.io/managed-by:baleen app.kubernetes.io/name:orders baleen.dev/workload:orders]" {
			t.Errorf("the labels of Pods are %s", got)
		}
		if got := fmt.Sprint(v["labels"]); got != "map[app.kubernetes.io/managed-by:baleen app.kubernetes.io/name:orders app.kubernetes.io/part-of:shop baleen.dev/request:f0e5dd15]" {
			t.Errorf("the labels are %s", got)
		}
	}
}

// What is said of a name that is another's.
func TestConflict(t *testing.T) {
	run := onPlatform(t, good)
	in, err := gather(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	holder := claim.Owner{Namespace: "team-b", Name: "orders"}
	for says, v := range map[string]claim.Verdict{
		"": {Held: true},
		"the name orders in the namespace team-a of eu-1 is being released by Workload team-b/orders: it is taken over by itself as soon as it is free":                                 {Holder: holder, Releasing: true},
		"the name orders in the namespace team-a of eu-1 belongs to Workload team-b/orders: choose another name or workloadNamespace; it is taken over by itself should it become free": {Holder: holder},
	} {
		if p := conflict(in, "eu-1", v); p.message != says || (p.reason == reason.ComponentConflict) != (says != "") {
			t.Errorf("it says %s: %s, want %s", p.reason, p.message, says)
		}
	}
}
