package simulator

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

var gadgets = platform.Kind{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Gadget"}, Plural: "gadgets"}

const gadget = "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {namespace: team, name: a}\nspec: {size: 1}\n"

// theater is a cluster on which a test says what happens to what runs.
type theater struct {
	*testing.T
	Cluster
	client *platform.Memory
	steps  []string
}

// all lets everything happen that can, and the containers of pipelines end as told.
func (th *theater) all(failed bool) {
	th.Helper()
	for range 100 {
		if !th.one() && !th.exit(failed) {
			return
		}
	}
	th.Fatalf("it goes on and on: %s", th.steps)
}

// one lets one step happen.
func (th *theater) one() bool {
	th.Helper()
	steps := th.Steps(th.view(), func(string) Emitted { return Emitted{Output: fstest.MapFS{}} })
	if len(steps) == 0 {
		return false
	}
	s := steps[max(0, slices.IndexFunc(steps, func(s Step) bool { return s.Soon }))]
	th.steps = append(th.steps, strings.ReplaceAll(s.Name, " Gadget team/", " "))
	th.must(s.Do(th.Context(), th.client))
	return true
}

// quiet lets everything happen but what pipelines do.
func (th *theater) quiet() {
	th.Helper()
	for th.one() {
	}
}

// exit ends the pipeline of the first Pod in which one runs.
func (th *theater) exit(failed bool) bool {
	th.Helper()
	for _, p := range th.view().Pods {
		if p.Running() == Pipeline {
			th.steps = append(th.steps, map[bool]string{true: "failure of ", false: "end of "}[failed]+p.GetName())
			th.must(th.Exit(th.Context(), th.client, p, failed))
			return true
		}
	}
	return false
}

func (th *theater) view() View {
	th.Helper()
	v, err := th.View(th.Context(), th.client)
	th.must(err)
	return v
}

func (th *theater) must(err error) {
	th.Helper()
	if err != nil {
		th.Fatal(err)
	}
}

func (th *theater) apply(text string) {
	th.Helper()
	th.must(th.Apply(th.Context(), th.client, &unstructured.Unstructured{Object: parse(th.T, text)}))
}

func (th *theater) ask() {
	th.Helper()
	_, err := th.client.Patch(th.Context(), gadgets, "team", "a", map[string]any{"metadata": map[string]any{"labels": map[string]any{kratix.LabelManualReconciliation: "true"}}})
	th.must(err)
}

func (th *theater) remove(name string) {
	th.Helper()
	th.must(th.client.Delete(th.Context(), gadgets, "team", name, platform.Preconditions{}))
}

// What Kratix and the Job controller do, step by step, and where the two Kratixes differ.
func TestCluster(t *testing.T) {
	const made = "kratix starts configure of a, end of p-a-configure-1, work-writer of p-a-configure-1, status-writer of p-a-configure-1, complete p-a-configure-1"
	for _, test := range []struct {
		name string
		play func(*theater)
		// older and newest are the steps with each Kratix, as far as they are not the same.
		same, older, newest string
	}{
		{"a request is made", func(th *theater) { th.all(false) }, made, "", ""},
		{"it is asked to run", func(th *theater) {
			th.all(false)
			th.ask()
			th.steps = nil
			th.all(false)
		}, strings.ReplaceAll(made, "-1", "-2"), "", ""},
		{"it is asked while it runs", func(th *theater) {
			th.quiet()
			th.ask()
			th.steps = nil
			th.quiet()
		}, "kratix suspends the Job of a, suspend p-a-configure-1, kill p-a-configure-1, kratix starts configure of a", "", ""},
		{"it changes while it runs", func(th *theater) {
			th.quiet()
			th.apply(strings.Replace(gadget, "size: 1", "size: 2", 1))
			th.steps = nil
			th.quiet()
			th.exit(false)
			th.quiet()
		}, "",
			"kratix suspends the Job of a, suspend p-a-configure-1, kill p-a-configure-1, kratix starts configure of a, end of p-a-configure-2, work-writer of p-a-configure-2, status-writer of p-a-configure-2, complete p-a-configure-2",
			"end of p-a-configure-1, work-writer of p-a-configure-1, status-writer of p-a-configure-1, complete p-a-configure-1, kratix starts configure of a"},
		{"its pipeline fails", func(th *theater) { th.all(true) },
			"kratix starts configure of a, failure of p-a-configure-1, restart p-a-configure-1, failure of p-a-configure-1, give up p-a-configure-1, kratix notes the failure of a", "", ""},
		{"it is deleted", func(th *theater) {
			th.all(false)
			th.remove("a")
			th.steps = nil
			th.all(false)
		}, "",
			"kratix starts delete of a, end of p-a-delete-2, complete p-a-delete-2, kratix is done with the delete workflow of a, kratix removes the output of a, " +
				"kratix removes the Jobs, and ends the deletion of a, collect p-a-configure-1, kill p-a-configure-1, collect p-a-delete-2, kill p-a-delete-2",
			"kratix starts delete of a, end of p-a-delete-2, status-writer of p-a-delete-2, complete p-a-delete-2, kratix is done with the delete workflow of a, kratix removes the output of a, " +
				"kratix removes the Jobs, and ends the deletion of a, collect p-a-configure-1, kill p-a-configure-1, collect p-a-delete-2, kill p-a-delete-2"},
		{"it is deleted while it runs", func(th *theater) {
			th.quiet()
			th.remove("a")
			th.steps = nil
			th.quiet()
			th.exit(false)
			th.quiet()
		}, "",
			"kratix starts delete of a, end of p-a-configure-1, work-writer of p-a-configure-1, status-writer of p-a-configure-1, complete p-a-configure-1",
			"end of p-a-configure-1, work-writer of p-a-configure-1, status-writer of p-a-configure-1, complete p-a-configure-1, kratix starts delete of a"},
		{"its deletion is asked for while it runs", func(th *theater) {
			th.all(false)
			th.remove("a")
			th.quiet()
			th.ask()
			th.steps = nil
			th.quiet()
		}, "kratix suspends the Job of a, suspend p-a-delete-2, kill p-a-delete-2, kratix starts delete of a", "", ""},
		{"its deletion fails, until somebody asks", func(th *theater) {
			th.all(false)
			th.remove("a")
			th.steps = nil
			th.all(true)
			th.ask()
			th.quiet()
		}, "kratix starts delete of a, failure of p-a-delete-2, restart p-a-delete-2, failure of p-a-delete-2, give up p-a-delete-2, kratix starts delete of a", "", ""},
		{"a dry run", func(th *theater) {
			th.all(false)
			th.must(th.DryRun(th.Context(), th.client, "try", &unstructured.Unstructured{Object: parse(th.T, strings.Replace(gadget, "size: 1", "size: 2", 1))}))
			th.steps = nil
			th.quiet()
			for _, p := range th.view().Pods {
				if p.Running() != Pipeline {
					continue
				}
				env := strings.Join(p.Env(), " ")
				if m := p.Mounted(); m.GetName() != "a" || m.Object["spec"].(map[string]any)["size"] != int64(2) ||
					!strings.Contains(env, "KRATIX_OBJECT_NAME="+DryRunName("try")) || !strings.Contains(env, "KRATIX_DRY_RUN=true") {
					th.Errorf("it sees %v, and %s", m, env)
				}
			}
			th.all(false)
			works, err := th.client.List(th.Context(), platform.Work, "team", map[string]string{kratix.LabelDryRun: "true"})
			if err != nil || len(works) != 1 {
				th.Errorf("it leaves %v: %v", works, err)
			}
			th.remove(DryRunName("try"))
			th.all(false)
			if works, err := th.client.List(th.Context(), platform.Work, "team", map[string]string{kratix.LabelDryRun: "true"}); err != nil || len(works) != 0 {
				th.Errorf("its deletion leaves %v: %v", works, err)
			}
			th.steps = th.steps[:1]
		}, "kratix starts configure of " + DryRunName("try"), "", ""},
	} {
		for version, want := range map[Version]string{Kratix202508: test.older, KratixLatest: test.newest} {
			t.Run(test.name+"/"+string(version), func(t *testing.T) {
				now := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
				th := &theater{T: t, client: platform.NewMemoryApart(now), Cluster: Cluster{
					Version: version, Tries: 2, Now: now, Promises: []Promise{{Name: "p", Kind: gadgets, Configure: "configure", Delete: "delete"}},
				}}
				th.apply(gadget)
				test.play(th)
				if got := strings.Join(th.steps, ", "); got != test.same+want {
					t.Errorf("what happens:\n%s\nwant\n%s", got, test.same+want)
				}
			})
		}
	}
}
