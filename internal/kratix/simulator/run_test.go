package simulator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

var widgets = Promise{
	Name: "widget",
	Kind: platform.Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "test.baleen.dev", Version: "v1", Kind: "Widget"}, Plural: "widgets",
	},
	Configure: "make", Delete: "unmake",
}

// inputs are a platform folder and a request for it.
type world struct {
	*testing.T
	options Options
	folder  string
	now     time.Time
	// What the pipeline writes, by path below the mount, and what it saw.
	files  map[string]string
	fails  error
	object map[string]any
	env    []string
	runs   int
}

func newWorld(t *testing.T, version Version, destinations ...unstructured.Unstructured) *world {
	w := &world{T: t, folder: t.TempDir(), now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC), files: map[string]string{}}
	client, err := platform.OpenFolder(w.folder, func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range destinations {
		if _, err := client.Create(t.Context(), platform.Destination, &d); err != nil {
			t.Fatal(err)
		}
	}
	w.options = Options{
		Version: version, Action: kratix.Configure, Promise: widgets, Client: client, Stage: w.stage,
		Request: &unstructured.Unstructured{Object: parse(t, `
apiVersion: test.baleen.dev/v1
kind: Widget
metadata: {name: orders, namespace: team-a, labels: {team: a}}
spec: {size: 3}
`)},
		Dir: filepath.Join(t.TempDir(), "out"), Now: func() time.Time { return w.now },
	}
	return w
}

func (w *world) stage(_ context.Context, env []string) error {
	w.runs++
	w.env = env
	data, err := os.ReadFile(filepath.Join(w.options.Dir, "input", "object.yaml"))
	if err != nil {
		return err
	}
	w.object = parse(w.T, string(data))
	for _, dir := range []string{"output", "metadata"} {
		if left, err := os.ReadDir(filepath.Join(w.options.Dir, dir)); err != nil || len(left) > 0 {
			w.Errorf("%s is not empty: %v, %v", dir, left, err)
		}
	}
	for name, content := range w.files {
		name = filepath.Join(w.options.Dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return w.fails
}

func (w *world) run() Result {
	w.Helper()
	result, err := Run(w.Context(), w.options)
	if err != nil {
		w.Fatal(err)
	}
	return result
}

func (w *world) refuses(want string) {
	w.Helper()
	if _, err := Run(w.Context(), w.options); err == nil || !strings.Contains(err.Error(), want) {
		w.Errorf("error %v, want one with %q", err, want)
	}
}

// stored returns the request, nil if there is none.
func (w *world) stored() *unstructured.Unstructured {
	w.Helper()
	object, err := w.options.Client.Get(w.Context(), widgets.Kind, "team-a", "orders")
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	return object
}

// list returns the names of the objects of a kind.
func (w *world) list(kind platform.Kind) []string {
	w.Helper()
	objects, err := w.options.Client.List(w.Context(), kind, "", nil)
	if err != nil {
		w.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetName())
	}
	return names
}

// snapshot returns every file of the platform with its time.
func (w *world) snapshot() map[string]string {
	w.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.folder, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := e.Info()
		all[name] = fmt.Sprint(string(data), info.ModTime())
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// changes returns +added, ~changed, -removed and =unchanged files by destination.
func changes(result Result) []string {
	var all []string
	for _, d := range result.Destinations {
		for name, data := range d.After {
			before, existed := d.Before[name]
			switch {
			case !existed:
				all = append(all, d.Name+" +"+name)
			case string(before) != string(data):
				all = append(all, d.Name+" ~"+name)
			default:
				all = append(all, d.Name+" ="+name)
			}
		}
		for name := range d.Before {
			if _, stays := d.After[name]; !stays {
				all = append(all, d.Name+" -"+name)
			}
		}
	}
	slices.Sort(all)
	return all
}

func (w *world) wants(result Result, want ...string) {
	w.Helper()
	if got := changes(result); !slices.Equal(got, want) {
		w.Errorf("changes %v, want %v", got, want)
	}
	var files []string
	for _, line := range want {
		if name, file, _ := strings.Cut(line, " "); file[0] != '-' {
			files = append(files, filepath.Join(name, file[1:]))
		}
	}
	var found []string
	dir := filepath.Join(w.options.Dir, "destinations")
	_ = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ = filepath.Rel(dir, name)
			found = append(found, name)
		}
		return err
	})
	slices.Sort(files)
	slices.Sort(found)
	if !slices.Equal(files, found) {
		w.Errorf("destinations holds %v, want %v", found, files)
	}
}

func both(t *testing.T, test func(t *testing.T, version Version)) {
	for _, version := range []Version{Kratix202508, KratixLatest} {
		t.Run(string(version), func(t *testing.T) { test(t, version) })
	}
}

func fleet() []unstructured.Unstructured {
	return []unstructured.Unstructured{
		destination("eu-1", map[string]string{"baleen.dev/destination": "eu-1"}),
		destination("us-1", map[string]string{"baleen.dev/destination": "us-1"}),
	}
}

const fleetSelectors = `
- {directory: eu-1, matchLabels: {baleen.dev/destination: eu-1}}
- {directory: us-1, matchLabels: {baleen.dev/destination: us-1}}
`

func TestLifeCycle(t *testing.T) {
	both(t, func(t *testing.T, version Version) {
		w := newWorld(t, version, fleet()...)
		w.files = map[string]string{
			"metadata/destination-selectors.yaml": fleetSelectors,
			"metadata/status.yaml":                "{message: fine, conditions: [{type: Ready, status: 'True'}]}",
			"output/eu-1/a.yaml":                  "a: 1\n", "output/us-1/a.yaml": "a: 1\n",
		}
		result := w.run()
		w.wants(result, "eu-1 +eu-1/a.yaml", "us-1 +us-1/a.yaml")
		if got := w.object["metadata"].(map[string]any); got["generation"] != int64(1) || got["uid"] == nil {
			t.Errorf("the pipeline sees %v", w.object)
		}
		wantEnv := []string{
			"KRATIX_WORKFLOW_ACTION=configure", "KRATIX_WORKFLOW_TYPE=resource", "KRATIX_PROMISE_NAME=widget", "KRATIX_PIPELINE_NAME=make",
			"KRATIX_OBJECT_KIND=Widget", "KRATIX_OBJECT_GROUP=test.baleen.dev", "KRATIX_OBJECT_VERSION=v1", "KRATIX_OBJECT_NAME=orders",
			"KRATIX_OBJECT_NAMESPACE=team-a", "KRATIX_CRD_PLURAL=widgets", "KRATIX_CLUSTER_SCOPED=false",
		}
		if !slices.Equal(w.env, wantEnv) {
			t.Errorf("environment %v", w.env)
		}
		request := w.stored()
		request.SetUID("") // these two are the platform's own affair
		request.SetResourceVersion("")
		golden(t, "request-"+string(version)+".yaml", request.Object)
		if !reflect.DeepEqual(result.Status, w.stored().Object["status"]) {
			t.Errorf("the result's status is %v", result.Status)
		}

		// A run that has nothing to do, later.
		before := w.snapshot()
		w.now = w.now.Add(10 * time.Hour)
		w.wants(w.run(), "eu-1 =eu-1/a.yaml", "us-1 =us-1/a.yaml")
		if !reflect.DeepEqual(before, w.snapshot()) {
			t.Error("a run with nothing to do has written to the platform")
		}
		if message, _, _ := unstructured.NestedString(w.object, "status", "message"); message != "fine" {
			t.Errorf("the pipeline sees the status %v", w.object["status"])
		}

		w.files["output/eu-1/a.yaml"] = "a: 2\n"
		w.files["output/eu-1/b.yaml"] = "b: 1\n"
		delete(w.files, "output/us-1/a.yaml")
		w.files["metadata/destination-selectors.yaml"] = "- {directory: eu-1, matchLabels: {baleen.dev/destination: eu-1}}"
		w.wants(w.run(), "eu-1 +eu-1/b.yaml", "eu-1 ~eu-1/a.yaml", "us-1 -us-1/a.yaml")
		if got := w.list(platform.WorkPlacement); len(got) != 1 {
			t.Errorf("WorkPlacements %v", got)
		}

		// No output at all removes everything.
		w.files = nil
		w.wants(w.run(), "eu-1 -eu-1/a.yaml", "eu-1 -eu-1/b.yaml")
		if works, placements := w.list(platform.Work), w.list(platform.WorkPlacement); len(works) != 1 || len(placements) != 0 {
			t.Errorf("%v, %v", works, placements)
		}

		// On delete, status and output count for nothing.
		w.files = map[string]string{"output/a.yaml": "a: 1"}
		w.wants(w.run(), "eu-1 +a.yaml")
		w.options.Action = kratix.Delete
		w.files = map[string]string{"output/b.yaml": "", "metadata/status.yaml": "{kratix: 1}", "metadata/workflow-control.yaml": "suspend: true"}
		result = w.run()
		w.wants(result, "eu-1 -a.yaml")
		if result.Status != nil || result.Request.GetName() != "orders" {
			t.Errorf("%v", result)
		}
		if at, _, _ := unstructured.NestedString(w.object, "metadata", "deletionTimestamp"); at != "2026-08-01T22:00:00Z" {
			t.Errorf("the pipeline sees %v", w.object)
		}
		if !slices.Contains(w.env, "KRATIX_WORKFLOW_ACTION=delete") || !slices.Contains(w.env, "KRATIX_PIPELINE_NAME=unmake") {
			t.Errorf("environment %v", w.env)
		}
		if w.stored() != nil || len(w.list(platform.Work)) != 0 || len(w.list(platform.WorkPlacement)) != 0 {
			t.Error("something is left after the deletion")
		}
		w.refuses("there is no Widget team-a/orders on the platform: nothing to delete")
	})
}

func TestApply(t *testing.T) {
	w := newWorld(t, Kratix202508)
	// What the user writes there is not theirs to say.
	_ = unstructured.SetNestedField(w.options.Request.Object, "x", "status", "message")
	_ = unstructured.SetNestedField(w.options.Request.Object, "x", "metadata", "uid")
	w.run()
	first := w.stored()

	// Others leave marks on the request; the user changes it.
	marked := first.DeepCopy()
	marked.SetLabels(map[string]string{"team": "b", "gone": "1", kratix.LabelPromise: "widget", kratix.LabelManualReconciliation: "true", "kratix.io/other": "1"})
	marked.SetAnnotations(map[string]string{"gone": "1"})
	marked.SetFinalizers([]string{"test.baleen.dev/stay"})
	marked.Object["spec"] = parse(t, "{size: 3, old: true}")
	if _, err := w.options.Client.Update(t.Context(), widgets.Kind, marked); err != nil {
		t.Fatal(err)
	}
	_ = unstructured.SetNestedField(w.options.Request.Object, int64(4), "spec", "size")
	result := w.run()
	got := w.stored()
	if want := map[string]string{"team": "a", kratix.LabelPromise: "widget", "kratix.io/other": "1"}; !reflect.DeepEqual(got.GetLabels(), want) {
		t.Errorf("labels %v, want %v", got.GetLabels(), want)
	}
	if got.GetAnnotations() != nil || got.GetUID() != first.GetUID() || got.GetGeneration() != 3 || len(got.GetFinalizers()) != 1 {
		t.Errorf("metadata %v", got.Object["metadata"])
	}
	if !reflect.DeepEqual(got.Object["spec"], parse(t, "{size: 4}")) {
		t.Errorf("spec %v", got.Object["spec"])
	}
	if result.Status["message"] != "Resource requested" || !reflect.DeepEqual(result.Request.Object, got.Object) {
		t.Errorf("%v", result)
	}
}

// A request that Kratix could not serve by its name is refused before anything runs.
func TestIdentity(t *testing.T) {
	for want, change := range map[string]func(*unstructured.Unstructured){
		`the request is of apiVersion "test.baleen.dev/v2" and kind "Widget", the Promise widget serves test.baleen.dev/v1 Widget`: func(u *unstructured.Unstructured) {
			u.SetAPIVersion("test.baleen.dev/v2")
		},
		"has no metadata.name":                    func(u *unstructured.Unstructured) { u.SetName("") },
		"64 characters: use at most 63":           func(u *unstructured.Unstructured) { u.SetName(strings.Repeat("a", 64)) },
		`"../x" cannot be the name`:               func(u *unstructured.Unstructured) { u.SetName("../x") },
		`"a/b" cannot be the name of a namespace`: func(u *unstructured.Unstructured) { u.SetNamespace("a/b") },
		"metadata.labels has a value that is not text": func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, true, "metadata", "labels", "a")
		},
	} {
		t.Run(want, func(t *testing.T) {
			w := newWorld(t, KratixLatest)
			change(w.options.Request)
			w.refuses(want)
			if w.runs > 0 || len(w.snapshot()) > 1 {
				t.Errorf("%s: the pipeline has run or something was stored", want)
			}
		})
	}
	w := newWorld(t, KratixLatest)
	w.options.Request.SetNamespace("")
	w.options.Request.SetName(strings.Repeat("a", 63))
	if got := w.run().Request.GetNamespace(); got != "default" {
		t.Errorf("namespace %q", got)
	}
}

// Where a Job of Kratix fails, what came before stays and nothing after it is done.
func TestFailures(t *testing.T) {
	both(t, func(t *testing.T, version Version) {
		good := map[string]string{"output/a.yaml": "1", "metadata/status.yaml": "{message: fine}"}
		for name, test := range map[string]struct {
			files map[string]string
			fails error
			want  string
		}{
			"exit code":         {map[string]string{"output/a.yaml": "2"}, errors.New("exit status 3"), "the configure pipeline of widget failed (exit status 3)"},
			"selectors":         {map[string]string{"output/a.yaml": "2", "metadata/destination-selectors.yaml": "- {directory: b}"}, nil, "has no matchLabels"},
			"missing directory": {map[string]string{"output/a.yaml": "2", "metadata/destination-selectors.yaml": "- {directory: b, matchLabels: {a: b}}"}, nil, `the directory "b"`},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, version, fleet()...)
				w.files = good
				w.run()
				before := w.snapshot()
				w.files, w.fails = test.files, test.fails
				w.refuses(test.want)
				if !reflect.DeepEqual(before, w.snapshot()) {
					t.Error("a failed run has written to the platform")
				}
				w.files, w.fails = good, nil
				w.wants(w.run(), "eu-1 =a.yaml")
			})
		}

		t.Run("status", func(t *testing.T) {
			w := newWorld(t, version, fleet()...)
			w.files = map[string]string{"output/a.yaml": "1", "metadata/status.yaml": "[a]"}
			w.refuses("status.yaml is not a map")
			// The work-writer comes before the status-writer.
			if len(w.list(platform.WorkPlacement)) != 1 || w.stored().Object["status"] != nil {
				t.Error("want the output delivered and no status written")
			}
		})

		t.Run("delete", func(t *testing.T) {
			w := newWorld(t, version, fleet()...)
			w.files = good
			w.run()
			before := w.snapshot()
			w.options.Action, w.fails = kratix.Delete, errors.New("exit status 1")
			w.refuses("the delete pipeline of widget failed")
			if !reflect.DeepEqual(before, w.snapshot()) {
				t.Error("a failed delete has changed the platform")
			}
		})
	})
}

// The key kratix is H's own: a pipeline that writes back the status it has read
// works once on H and then never again.
func TestStatusKey(t *testing.T) {
	both(t, func(t *testing.T, version Version) {
		w := newWorld(t, version, fleet()...)
		w.files = map[string]string{"output/a.yaml": "1", "metadata/status.yaml": "{a: 1}"}
		w.run()
		_, owned := w.stored().Object["status"].(map[string]any)["kratix"]
		if owned != (version == KratixLatest) {
			t.Errorf("status %v", w.stored().Object["status"])
		}
		w.files = map[string]string{"output/a.yaml": "2", "metadata/status.yaml": "{a: 2, kratix: {}}"}
		if version == Kratix202508 {
			if got := w.run().Status["a"]; got != int64(2) {
				t.Errorf("a is %v", got)
			}
			return
		}
		w.refuses("status.yaml has the key kratix")
		if got, _, _ := unstructured.NestedInt64(w.stored().Object, "status", "a"); got != 1 {
			t.Errorf("the status was written: %v", w.stored().Object["status"])
		}
	})
}

func TestControl(t *testing.T) {
	both(t, func(t *testing.T, version Version) {
		for name, test := range map[string]struct {
			file string
			want Control
		}{
			"suspend": {"{suspend: true, message: ask somebody}", Control{Suspend: true, Message: "ask somebody"}},
			"retry":   {"{retryAfter: 90s, message: not yet}", Control{RetryAfter: "90s", Message: "not yet"}},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, version, fleet()...)
				w.files = map[string]string{"output/a.yaml": "1"}
				w.run()
				w.files = map[string]string{"output/a.yaml": "2", "metadata/status.yaml": "{a: 1}", "metadata/workflow-control.yaml": test.file}
				result := w.run()
				if version == Kratix202508 { // ignores the file
					w.wants(result, "eu-1 ~a.yaml")
					if result.Control.Held() || result.Request.GetLabels()[kratix.LabelSuspended] != "" {
						t.Errorf("%v", result)
					}
					return
				}
				w.wants(result, "eu-1 =a.yaml")
				if result.Control != test.want || result.Request.GetLabels()[kratix.LabelSuspended] != "true" {
					t.Errorf("control %v, labels %v", result.Control, result.Request.GetLabels())
				}
				w.run()
				golden(t, "status-"+name+".yaml", w.stored().Object["status"])

				// To run it again is to resume it.
				delete(w.files, "metadata/workflow-control.yaml")
				result = w.run()
				w.wants(result, "eu-1 ~a.yaml")
				if labels := w.stored().GetLabels(); labels[kratix.LabelSuspended] != "" {
					t.Errorf("labels %v", labels)
				}
				golden(t, "status-resumed.yaml", result.Status)
			})
		}
		t.Run("bad duration", func(t *testing.T) {
			w := newWorld(t, version, fleet()...)
			w.files = map[string]string{"output/a.yaml": "1", "metadata/workflow-control.yaml": "retryAfter: soon"}
			if version == Kratix202508 {
				w.wants(w.run(), "eu-1 +a.yaml")
				return
			}
			w.refuses(`"soon" is not a duration`)
			if len(w.list(platform.Work)) != 0 {
				t.Error("a Work was written")
			}
		})
	})
}

func TestNoDeletePipeline(t *testing.T) {
	w := newWorld(t, Kratix202508, fleet()...)
	w.files = map[string]string{"output/a.yaml": "1"}
	w.run()
	w.options.Action, w.options.Promise.Delete = kratix.Delete, ""
	w.wants(w.run(), "eu-1 -a.yaml")
	if w.runs != 1 || w.stored() != nil {
		t.Errorf("%d runs, stored %v", w.runs, w.stored())
	}
	w.options.Action, w.options.Promise.Configure = kratix.Configure, ""
	w.refuses("has no configure pipeline")
}

func TestDryRun(t *testing.T) {
	w := newWorld(t, "")
	w.refuses(`no Kratix "" to simulate`)
	w.options.Version = Kratix202508
	w.options.DryRun = true
	w.refuses("no dry runs on Kratix M")
	if w.runs > 0 {
		t.Error("the pipeline has run")
	}

	w = newWorld(t, KratixLatest, fleet()...)
	w.options.DryRun = true
	w.files = map[string]string{"output/a.yaml": "1", "metadata/status.yaml": "{message: fine}"}
	before := w.snapshot()
	result := w.run()
	w.wants(result, "eu-1 +a.yaml")
	if !reflect.DeepEqual(before, w.snapshot()) {
		t.Error("a dry run has written to the platform")
	}
	if !slices.Contains(w.env, "KRATIX_DRY_RUN=true") || result.Status["message"] != "fine" {
		t.Errorf("environment %v, status %v", w.env, result.Status)
	}
	metadata := w.object["metadata"].(map[string]any)
	if metadata["uid"] == nil || metadata["labels"].(map[string]any)[kratix.LabelDryRun] != "true" {
		t.Errorf("the pipeline sees %v", metadata)
	}

	w.options.DryRun = false
	w.run()
	w.options.DryRun = true
	before = w.snapshot()
	_ = unstructured.SetNestedField(w.options.Request.Object, int64(9), "spec", "size")
	w.files = map[string]string{"output/b.yaml": "1", "metadata/workflow-control.yaml": "suspend: true"}
	w.wants(w.run(), "eu-1 =a.yaml")
	delete(w.files, "metadata/workflow-control.yaml")
	w.wants(w.run(), "eu-1 +b.yaml", "eu-1 -a.yaml")
	if size, _, _ := unstructured.NestedInt64(w.object, "spec", "size"); size != 9 {
		t.Errorf("the pipeline sees %v", w.object)
	}
	w.options.Action = kratix.Delete
	w.wants(w.run(), "eu-1 -a.yaml")
	if !reflect.DeepEqual(before, w.snapshot()) {
		t.Error("a dry run has written to the platform")
	}
}

func TestScheduling(t *testing.T) {
	w := newWorld(t, KratixLatest, fleet()...)
	w.options.Promise.Selectors = []map[string]string{{"baleen.dev/destination": "us-1"}}
	w.files = map[string]string{
		"output/a.yaml": "1", "output/nowhere/a.yaml": "1",
		"metadata/destination-selectors.yaml": "- {directory: nowhere, matchLabels: {a: b}}\n- {matchLabels: {baleen.dev/destination: eu-1}}",
	}
	result := w.run()
	w.wants(result, "us-1 +a.yaml") // the Promise's selectors win
	if !slices.Equal(result.Unscheduled, []string{"nowhere"}) {
		t.Errorf("unscheduled %v", result.Unscheduled)
	}

	d, err := w.options.Client.Get(t.Context(), platform.Destination, "", "us-1")
	if err != nil {
		t.Fatal(err)
	}
	d.SetLabels(map[string]string{"a": "b"})
	if _, err := w.options.Client.Update(t.Context(), platform.Destination, d); err != nil {
		t.Fatal(err)
	}
	w.files["output/a.yaml"] = "2"
	result = w.run()
	w.wants(result, "us-1 +nowhere/a.yaml", "us-1 ~a.yaml")
	if !slices.Equal(result.Misplaced, []string{"us-1"}) || len(result.Unscheduled) > 0 {
		t.Errorf("misplaced %v, unscheduled %v", result.Misplaced, result.Unscheduled)
	}
	before := w.snapshot()
	w.run()
	if !reflect.DeepEqual(before, w.snapshot()) {
		t.Error("a run with nothing to do has written to the platform")
	}
}

// A pipeline that the Promise does not have any more leaves nothing behind, and
// the Work of another request with a similar name is not touched.
func TestOtherWorks(t *testing.T) {
	w := newWorld(t, Kratix202508, fleet()...)
	w.files = map[string]string{"output/a.yaml": "1"}
	w.run()
	w.options.Request.SetName("orders-2")
	w.run()
	w.options.Request.SetName("orders")
	w.options.Promise.Configure = "renamed"
	w.files = map[string]string{"output/b.yaml": "1"}
	w.wants(w.run(), "eu-1 +b.yaml", "eu-1 -a.yaml")
	if got := w.list(platform.Work); len(got) != 2 {
		t.Errorf("Works %v", got)
	}

	works, err := w.options.Client.List(t.Context(), platform.Work, "team-a", map[string]string{kratix.LabelPipeline: "renamed"})
	if err != nil || len(works) != 1 {
		t.Fatal(works, err)
	}
	twin := works[0].DeepCopy()
	twin.SetName("twin")
	twin.SetResourceVersion("")
	if _, err := w.options.Client.Create(t.Context(), platform.Work, twin); err != nil {
		t.Fatal(err)
	}
	w.refuses("two Works for one pipeline")
}

func TestMount(t *testing.T) {
	run := map[string]string{"input/object.yaml": "a: 1", "output/a": "", "metadata/status.yaml": "", "destinations/x/y": ""}
	for name, test := range map[string]struct {
		files   map[string]string
		foreign string
	}{
		"new":                    {nil, ""},
		"a former run":           {run, ""},
		"one that was cut short": {map[string]string{"input/": ""}, ""},
		"a file":                 {map[string]string{"go.mod": ""}, "go.mod"},
		"another folder":         {map[string]string{"input/object.yaml": "", "src/": ""}, "src"},
		"a file named output":    {map[string]string{"input/object.yaml": "", "output": ""}, "output"},
		"somebody's input":       {map[string]string{"input/object.yaml": "", "input/data.csv": ""}, "input/data.csv"},
		"somebody's output":      {map[string]string{"output/data.csv": ""}, "output/data.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range test.files {
				path := filepath.Join(dir, file)
				if strings.HasSuffix(file, "/") {
					path = filepath.Join(path, "x")
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(file, "/") {
					continue
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := OpenMount(dir)
			if test.foreign == "" && err != nil {
				t.Error(err)
			}
			if test.foreign != "" && (err == nil || !strings.Contains(err.Error(), " holds "+test.foreign+", which is not of a former run")) {
				t.Errorf("error %v", err)
			}
		})
	}
	// Paths in a Work cannot lead out of the folder.
	m, err := OpenMount(filepath.Join(t.TempDir(), "new"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Prepare(&unstructured.Unstructured{Object: map[string]any{}}); err != nil {
		t.Fatal(err)
	}
	if err := m.WriteDestinations([]Destination{{Name: "eu-1", After: map[string][]byte{"../../../x": nil}}}); err == nil {
		t.Error("a file was written outside of the folder")
	}
}
