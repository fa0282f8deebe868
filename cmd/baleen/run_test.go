package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// The test binary is, by another name beside it, that of the Promise widget as well.
func TestMain(m *testing.M) {
	if os.Getenv(asBaleen) != "" {
		main()
	}
	if filepath.Base(os.Args[0]) == "widget" {
		os.Exit(widget())
	}
	executable, err := os.Executable()
	beside := filepath.Join(filepath.Dir(executable), "widget")
	if err == nil {
		_ = os.Remove(beside) // of a run that was killed
		err = os.Symlink(executable, beside)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.Remove(beside)
	os.Exit(code)
}

// widget is a pipeline that does what its request says.
func widget() int {
	dir := os.Getenv("BALEEN_KRATIX_DIR")
	data, err := os.ReadFile(filepath.Join(dir, "input", "object.yaml"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var object struct {
		Spec struct {
			Files map[string]string
			Env   bool
			Exit  int
		}
	}
	if err := yaml.Unmarshal(data, &object); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if object.Spec.Env {
		environ := os.Environ()
		slices.Sort(environ)
		object.Spec.Files = map[string]string{"output/env": strings.Join(environ, "\n")}
	}
	for name, content := range object.Spec.Files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return 1
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return 1
		}
	}
	fmt.Println("a word on stdout")
	fmt.Fprintln(os.Stderr, "a word on stderr")
	return object.Spec.Exit
}

// inputs are a platform folder with two Destinations and a request.
type world struct {
	*testing.T
	platform, out, request string
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t, filepath.Join(dir, "platform"), filepath.Join(dir, "out"), filepath.Join(dir, "request.yaml")}
	for _, name := range []string{"eu-1", "us-1"} {
		w.write(filepath.Join(w.platform, "_cluster", "Destination.platform.kratix.io", name+".yaml"), fmt.Sprintf(`
apiVersion: platform.kratix.io/v1alpha1
kind: Destination
metadata: {name: %s, labels: {environment: prod, destination: %[1]s}}
spec: {path: %[1]s}
`, name))
	}
	return w
}

// with is the same world for a subtest.
func (w *world) with(t *testing.T) *world {
	sub := *w
	sub.T = t
	return &sub
}

func (w *world) write(name, content string) {
	w.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		w.Fatal(err)
	}
}

// asks writes the request.
func (w *world) asks(spec string) {
	w.Helper()
	w.write(w.request, "# a request\napiVersion: test.baleen.dev/v1\nkind: Widget\nmetadata: {name: orders}\nspec: "+spec+"\n")
}

// baleen runs the command and returns what it does.
func (w *world) baleen(args ...string) (code int, stdout, stderr string) {
	w.Helper()
	before, _ := os.ReadFile(w.request)
	var out, err bytes.Buffer
	code = execute(w.Context(), args, &out, &err)
	if after, _ := os.ReadFile(w.request); !bytes.Equal(before, after) {
		w.Error("the request's file was changed")
	}
	return code, out.String(), err.String()
}

func (w *world) args(more ...string) []string {
	return append([]string{"run", w.request, "--platform", w.platform, "--out", w.out, "--promise", "testdata/promise.yaml", "--now", "2026-08-01T12:00:00Z"}, more...)
}

// prints runs the request and compares the lines that are printed.
func (w *world) prints(args []string, want ...string) {
	w.Helper()
	code, stdout, stderr := w.baleen(args...)
	if code != 0 || stderr != "" {
		w.Fatalf("exit code %d: %s", code, stderr)
	}
	if got := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n"); !reflect.DeepEqual(got, want) {
		w.Errorf("prints\n%s\nwant\n%s", stdout, strings.Join(want, "\n"))
	}
}

func (w *world) fails(args []string, want string) {
	w.Helper()
	code, stdout, stderr := w.baleen(args...)
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "baleen: ") || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
		w.Errorf("%v: exit code %d, stdout %q, stderr %q, want %q", args, code, stdout, stderr, want)
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	delivered := filepath.Join(w.out, "destinations")
	w.asks(`{files: {
  output/eu/a.yaml: 'a: 1', output/eu/b.yaml: 'b: 1', output/us/c.yaml: 'c: 1', output/gone/x.yaml: '',
  metadata/status.yaml: "{message: \"all is\\nwell\", conditions: [{type: Ready, status: 'True', reason: Published}]}",
  metadata/destination-selectors.yaml: '[{directory: eu, matchLabels: {destination: eu-1}}, {directory: us, matchLabels: {destination: us-1}}, {directory: gone, matchLabels: {destination: gone}}]'}}`)
	w.prints(w.args(),
		"DESTINATION  CHANGE  FILE",
		"eu-1         added   eu/a.yaml",
		"eu-1         added   eu/b.yaml",
		"us-1         added   us/c.yaml",
		"",
		"Not placed  no Destination matches the selectors of the directory gone",
		"Message     all is well",
		"Ready       True (Published)",
		"Files       "+delivered,
	)
	for name, want := range map[string]string{"output/eu/a.yaml": "a: 1", "destinations/eu-1/eu/a.yaml": "a: 1", "destinations/us-1/us/c.yaml": "c: 1"} {
		if data, err := os.ReadFile(filepath.Join(w.out, name)); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	w.asks(`{files: {output/eu/a.yaml: 'a: 2', output/us/c.yaml: 'c: 1', output/us/d.yaml: '', metadata/status.yaml: "conditions: [{type: Ready, status: 'False'}]",
  metadata/destination-selectors.yaml: '[{directory: eu, matchLabels: {destination: eu-1}}, {directory: us, matchLabels: {destination: us-1}}]'}}`)
	changed := []string{
		"DESTINATION  CHANGE     FILE",
		"eu-1         changed    eu/a.yaml",
		"eu-1         removed    eu/b.yaml",
		"us-1         added      us/d.yaml",
		"us-1         unchanged  1 file",
		"",
		"Message  Resource requested",
		"Ready    False",
	}
	w.prints(w.args("--dry-run"), append(slices.Clone(changed), "Dry run  nothing was written to the platform", "Files    "+delivered)...)
	w.prints(w.args("--kratix", "2025-08"), append(slices.Clone(changed), "Files    "+delivered)...)

	code, stdout, stderr := w.baleen(w.args("--output", "json")...)
	if code != 0 {
		t.Fatal(stderr)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"promise": "widget", "kind": "Widget", "namespace": "default", "name": "orders", "action": "configure", "kratix": "h",
		"dryRun": false, "out": w.out, "unscheduled": []any{}, "misplaced": []any{},
		"destinations": []any{
			map[string]any{"name": "eu-1", "added": []any{}, "changed": []any{}, "removed": []any{}, "unchanged": 1.0},
			map[string]any{"name": "us-1", "added": []any{}, "changed": []any{}, "removed": []any{}, "unchanged": 2.0},
		},
	}
	if status, _ := got["status"].(map[string]any); status["message"] != "Resource requested" {
		t.Errorf("status %v", status)
	}
	delete(got, "status")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}

	w.asks(`{files: {metadata/workflow-control.yaml: '{retryAfter: 5m, message: not yet}'}}`)
	w.prints(w.args(),
		"DESTINATION  CHANGE     FILE",
		"eu-1         unchanged  1 file",
		"us-1         unchanged  2 files",
		"",
		"Held back  to be run again after 5m: not yet",
		"Message    Pending",
		"Ready      False",
		"Files      "+delivered,
	)
	w.prints(w.args("--action", "delete"),
		"DESTINATION  CHANGE   FILE",
		"eu-1         removed  eu/a.yaml",
		"us-1         removed  us/c.yaml",
		"us-1         removed  us/d.yaml",
		"",
		"Deleted  Widget default/orders",
		"Files    "+w.out,
	)
	w.fails(w.args("--action", "delete"), "nothing to delete")
	w.asks(`{}`)
	w.prints(w.args(), "Delivered  nothing", "Message    Resource requested", "Files      "+w.out)
}

func TestStageFails(t *testing.T) {
	w := newWorld(t)
	w.asks(`{exit: 3, files: {output/a.yaml: ''}}`)
	code, stdout, stderr := w.baleen(w.args("--output", "json")...)
	stderr = strings.ReplaceAll(stderr, "warning: GOCOVERDIR not set, no coverage data emitted\n", "") // with go test -cover
	want := "a word on stdout\na word on stderr\nbaleen: the configure pipeline of widget failed (exit status 3): nothing is delivered or removed, and no status is written\n"
	if code != 1 || stdout != "" || stderr != want {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestStageEnvironment(t *testing.T) {
	w := newWorld(t)
	for name, value := range map[string]string{
		"KUBECONFIG": "/secret", "KRATIX_DRY_RUN": "true", "BALEEN_NOW": "x", "https_proxy": "http://proxy", "SSL_CERT_FILE": "/cert", "HOME": "/home/a", "TMPDIR": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	w.asks(`{env: true}`)
	if code, _, stderr := w.baleen(w.args()...); code != 0 {
		t.Fatal(stderr)
	}
	data, err := os.ReadFile(filepath.Join(w.out, "output", "env"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.SplitSeq(string(data), "\n") {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	for name, want := range map[string]string{
		"BALEEN_KRATIX_DIR": w.out, "BALEEN_PLATFORM_DIR": w.platform, "BALEEN_NOW": "2026-08-01T12:00:00Z",
		"KRATIX_WORKFLOW_ACTION": "configure", "KRATIX_OBJECT_NAMESPACE": "default", "KRATIX_CRD_PLURAL": "widgets",
		"https_proxy": "http://proxy", "SSL_CERT_FILE": "/cert", "HOME": "/home/a", "PATH": os.Getenv("PATH"),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"KUBECONFIG", "KRATIX_DRY_RUN"} {
		if _, passed := got[name]; passed {
			t.Errorf("%s is passed on", name)
		}
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	w.asks("{}")
	for want, args := range map[string][]string{
		"name one request: baleen run REQUEST.yaml":                  {"run"},
		"with --platform DIR":                                        {"run", w.request},
		`--action "update" is neither configure nor delete`:          w.args("--action", "update"),
		`--kratix "x" is neither latest nor 2025-08`:                 w.args("--kratix", "x"),
		`--output "xml" is neither table, wide, json, yaml nor name`: w.args("--output", "xml"),
		`--now "noon" is not a time`:                                 w.args("--now", "noon"),
		"--dry-run needs --kratix latest":                            w.args("--dry-run", "--kratix", "2025-08"),
		"the platform folder":                                        w.args("--platform", filepath.Join(w.platform, "missing")),
		"which is not of a former run and would be lost":             w.args("--out", w.platform),
		"the Promise cannot be read":                                 w.args("--promise", "missing.yaml"),
		"the Promise run_test.go cannot be used":                     w.args("--promise", "run_test.go"),
		"the request cannot be read":                                 {"run", "missing.yaml", "--platform", w.platform},
		"unknown flag: --bogus":                                      w.args("--bogus"),
		`unknown command "bogus"`:                                    {"bogus"},
		"no Promise of Baleen serves Widget.test.baleen.dev":         {"run", w.request, "--platform", w.platform},
	} {
		t.Run(want, func(t *testing.T) { w.with(t).fails(args, want) })
	}
	for content, want := range map[string]string{
		"":                            "is not a Kubernetes object",
		"a: b":                        "has no apiVersion or no kind",
		"- a":                         "is not a Kubernetes object",
		"a: [":                        "is not YAML",
		"a: 1\na: 2":                  "is not YAML",
		"a: 1\n---\nb: 1":             "holds several documents",
		"kind: Widget\napiVersion: a": `the Promise widget serves test.baleen.dev/v1 Widget`,
	} {
		t.Run(fmt.Sprintf("%q", content), func(t *testing.T) {
			w := w.with(t)
			w.write(w.request, content)
			w.fails(w.args(), want)
		})
	}
	w.write(w.request, "---\n# a comment\n---\napiVersion: test.baleen.dev/v1\nkind: Widget\nmetadata: {name: orders}\nspec: {}\n---\n")
	w.prints(w.args(), "Delivered  nothing", "Message    Resource requested", "Files      "+w.out)
}

// A pipeline says the first thing that is wrong; before it runs, all is said.
func TestRunForetells(t *testing.T) {
	w := newUsersWorld(t)
	w.request = w.out + "-request.yaml"
	w.write(w.request, strings.NewReplacer("ttl: 720h", "ttl: 720", "permissions:", "permisssions:").Replace(userRequest))
	code, stdout, stderr := w.baleen("run", w.request, "--platform", w.platform, "--out", w.out)
	const want = `baleen: warning: an API server would refuse NatsUser team-a/orders: spec.credentials.ttl: must be text, not 720: it has no unit, write 720h for hours, or m for minutes, s for seconds, d for days
baleen: warning: an API server would refuse NatsUser team-a/orders: spec.permisssions: there is no such field: did you mean permissions?
`
	if code != 0 || stderr != want || !strings.Contains(stdout, "False (InvalidSpec)") {
		t.Errorf("exit code %d, stderr\n%s\nwant\n%s\n%s", code, stderr, want, stdout)
	}
}

func TestEmbeddedPromise(t *testing.T) {
	request := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "baleen.dev/v1alpha1", "kind": "ApiAggregator"}}
	promise, err := runFlags{}.findPromise(request)
	if err != nil {
		t.Fatal(err)
	}
	if promise.Name != "api-aggregator" || promise.Configure == "" || promise.Delete == "" || promise.Kind.Plural != "apiaggregators" {
		t.Errorf("%+v", promise)
	}
	promise, err = runFlags{promise: "testdata/promise.yaml"}.findPromise(request)
	if err != nil || !reflect.DeepEqual(promise.Selectors, []map[string]string{{"environment": "prod"}}) {
		t.Errorf("%+v, %v", promise, err)
	}
}

// A pipeline that is passed in runs requests of its Promise, with no binary of its own.
func TestRunOfAScratchPromise(t *testing.T) {
	w := newWorld(t)
	w.asks("{}")
	kind := platform.Kind{GroupVersionKind: schema.GroupVersionKind{Group: "test.baleen.dev", Version: "v1", Kind: "Widget"}, Plural: "widgets"}
	scratch := workflow.Pipeline{Promise: "widget", Kind: kind, Configure: func(_ context.Context, run *workflow.Run) (workflow.Result, error) {
		return workflow.Result{Ready: true, Reason: "Made", Message: "made " + run.Identity.Name}, nil
	}}
	var stdout, stderr strings.Builder
	if code := execute(t.Context(), w.args("--promise", "testdata/promise.yaml"), &stdout, &stderr, scratch); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	for _, want := range []string{"True (Made)", "made orders"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("it says\n%s\nwithout %q", stdout.String(), want)
		}
	}
}

// A Promise that is not Baleen's has its pipeline in a binary beside this one.
func TestNoBinary(t *testing.T) {
	err := own.run(t.Context(), "bogus", nil, io.Discard)
	if want := `this baleen has no pipeline for the Promise "bogus": put a binary of that name beside baleen`; err == nil || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
}

// Baleen's own pipelines run in this process, with the variables of a container and
// not with those of whoever called.
func TestStageInProcess(t *testing.T) {
	t.Setenv("KRATIX_WORKFLOW_ACTION", "configure")
	var log strings.Builder
	err := own.run(t.Context(), "nats-user", []string{"KRATIX_PROMISE_NAME=nats-user", "BALEEN_KRATIX_DIR=" + t.TempDir()}, &log)
	if want := "nats-user: KRATIX_WORKFLOW_ACTION is \"\": it must be configure or delete\n"; err == nil || err.Error() != "exit status 1" || log.String() != want {
		t.Errorf("it says %v and %q, want %q", err, log.String(), want)
	}
}

// The version is the one that the binary was built with, or else the module's.
func TestVersion(t *testing.T) {
	for _, test := range []struct{ name, stamped, want string }{
		{"a release", "v1.2.3", "baleen v1.2.3\n"},
		{"no release", "", "baleen "},
	} {
		t.Run(test.name, func(t *testing.T) {
			stamped = test.stamped
			defer func() { stamped = "" }()
			for _, arg := range []string{"version", "--version"} {
				var stdout, stderr bytes.Buffer
				if code := execute(t.Context(), []string{arg}, &stdout, &stderr); code != 0 || !strings.HasPrefix(stdout.String(), test.want) {
					t.Errorf("%s: exit code %d: %s%s", arg, code, stdout.String(), stderr.String())
				}
			}
		})
	}
}
