package workflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
)

// The tests' own Promise publishes the text of a Widget on every cluster.
var widgets = Pipeline{
	Promise: "widget",
	Kind:    platform.Kind{GroupVersionKind: schema.GroupVersionKind{Group: "example.dev", Version: "v1", Kind: "Widget"}, Plural: "widgets"},
	Configure: func(ctx context.Context, r *Run) (Result, error) {
		placement, err := destination.List(ctx, r.Platform, nil)
		if err != nil {
			return Result{}, fmt.Errorf("the Destinations cannot be listed: %w", err)
		}
		files, _, err := unstructured.NestedStringMap(r.Request.Object, "spec", "files")
		if err != nil {
			return Result{}, Fail("InvalidSpec", errors.New("spec.files is wrong"))
		}
		result := Result{Placement: placement, Output: destination.Output{}, Ready: true, Reason: "Published", Message: "all is well"}
		for _, name := range placement.Placed {
			result.Output[name] = map[string][]byte{}
			for file, text := range files {
				result.Output[name][file] = []byte(text)
			}
		}
		return result, nil
	},
}

const widget = `
apiVersion: example.dev/v1
kind: Widget
metadata: {name: gadget, namespace: team-a, labels: {a: b}}
spec: {files: {a.yaml: "kind: A", b.yaml: "kind: B"}}
`

// bench is a platform folder and a folder in place of /kratix, which a run that
// is not served by Kratix finds as a container would.
type bench struct {
	*testing.T
	platform *platform.Folder
	pipeline Pipeline
	dir      string
	// opened is how a run reaches the platform.
	opened func(now func() time.Time) (platform.Client, error)
}

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, pipeline: widgets, dir: filepath.Join(t.TempDir(), "kratix")}
	var err error
	if b.platform, err = platform.OpenFolder(t.TempDir(), now); err != nil {
		t.Fatal(err)
	}
	b.open(b.platform)
	t.Setenv("BALEEN_KRATIX_DIR", b.dir)
	t.Setenv("BALEEN_NOW", now().Format(time.RFC3339))
	for _, name := range []string{"eu-1", "us-1"} {
		_, err := b.platform.Create(t.Context(), platform.Destination, object(t, fmt.Sprintf(
			"apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: %s, labels: {%s: %[1]s}}", name, destination.Label)))
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// open has runs reach the platform by this client.
func (b *bench) open(client platform.Client) {
	b.opened = func(func() time.Time) (platform.Client, error) { return client, nil }
}

// environment is what a run finds around it.
func (b *bench) environment(stderr io.Writer) Environment {
	return Environment{Getenv: os.Getenv, Stderr: stderr, Open: b.opened}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = o.UnmarshalJSON(data) // as clients read it: whole numbers stay whole
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// apply has the stand-in for Kratix carry out the request, and returns what the
// stage said and what clusters then have.
func (b *bench) apply(request string) (documents map[string]string, failure error) {
	b.Helper()
	result, err := simulator.Run(b.Context(), simulator.Options{
		Version: simulator.KratixLatest, Action: kratix.Configure, Dir: b.dir, Now: now, Client: b.platform,
		Promise: simulator.Promise{Name: "widget", Kind: widgets.Kind, Configure: "configure"},
		Request: object(b.T, request),
		Stage: func(ctx context.Context, env []string) error {
			for _, pair := range env {
				key, value, _ := strings.Cut(pair, "=")
				b.Setenv(key, value)
			}
			failure = b.run()
			return failure
		},
	})
	if (err != nil) != (failure != nil) {
		b.Fatal(err)
	}
	documents = map[string]string{}
	for _, d := range result.Destinations {
		for file, data := range d.After {
			documents[file] = string(data)
		}
	}
	return documents, failure
}

// run is a run of the stage alone. It fails the test if a run that fails says
// anything but one plain sentence, or leaves anything behind.
func (b *bench) run() error {
	b.Helper()
	var log bytes.Buffer
	err := b.environment(&log).run(b.Context(), b.pipeline)
	if err == nil {
		return nil
	}
	if left := b.written(); len(left) > 0 {
		b.Errorf("after %v there is %v", err, left)
	}
	if text := oneLine(err); strings.ContainsAny(text, "\n\r") || log.Len() > 0 ||
		regexp.MustCompile(`(^| )(json|yaml): |unmarshal|Go value|map\[|<nil>|%!`).MatchString(text) {
		b.Errorf("this is not one plain sentence: %s%s", log.String(), text)
	}
	return err
}

// wantFailure is a run that must fail and say these words.
func (b *bench) wantFailure(words string) {
	b.Helper()
	if err := b.run(); err == nil || !strings.Contains(oneLine(err), words) {
		b.Errorf("the run says %v, want %q", err, words)
	}
}

// written returns what is in output and metadata.
func (b *bench) written() map[string]string {
	b.Helper()
	files := map[string]string{}
	for _, dir := range []string{"output", "metadata"} {
		err := fs.WalkDir(os.DirFS(b.dir), dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !entry.IsDir() {
				var data []byte
				data, err = os.ReadFile(filepath.Join(b.dir, path))
				files[path] = string(data)
			} else if err == nil && path != dir {
				files[path] = "a folder"
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return files
}

// write writes a file of the folder that stands for /kratix.
func (b *bench) write(name, data string) {
	b.Helper()
	name = filepath.Join(b.dir, name)
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(data), 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// ready returns the condition Ready of what a run reported.
func (b *bench) ready() (status, reason, message string) {
	b.Helper()
	var report struct {
		Message    string
		Conditions []struct{ Type, Status, Reason, Message string }
	}
	if err := yaml.Unmarshal([]byte(b.written()["metadata/status.yaml"]), &report); err != nil || len(report.Conditions) != 1 {
		b.Fatalf("the report is %+v (%v)", report, err)
	}
	c := report.Conditions[0]
	if c.Message != report.Message || strings.Contains(c.Message, "\n") {
		b.Errorf("the message is %q, the condition's %q", report.Message, c.Message)
	}
	return c.Status, c.Reason, c.Message
}

// An object.yaml that cannot be used ends the run: nothing is emitted. Cut off at
// whatever byte it never makes the run act for another request, and where all
// that a run takes from it is still there, the run is as good as any.
func TestUnreadableRequest(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("team-a", "team", "kind: A", "kind: Other").Replace(widget) // its namespace is a part of the other's
	if _, err := b.apply(other); err != nil {
		t.Fatal(err)
	}
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	want, good := b.written(), 0
	whole, err := yaml.Marshal(object(t, widget).Object) // as Kratix writes it
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		b.write("input/object.yaml", string(whole[:cut]))
		if err := b.run(); err == nil {
			if good++; !maps.Equal(b.written(), want) {
				t.Errorf("cut off after %q a run emits %v", whole[:cut], b.written())
			}
		}
	}
	if good == 0 || good == len(whole) {
		t.Errorf("%d of %d pieces of a request let a run go on", good, len(whole))
	}

	for name, content := range map[string]string{
		"empty": "", "a list": "- a\n- b\n", "text": "hello", "null": "null", "zeros": strings.Repeat("\x00", 4096),
		"not UTF-8": "kind: \xff\xfe", "gzip": "\x1f\x8b\x08\x00\x00", "tabs": "\tkind: Widget", "a number as name": strings.Replace(string(whole), "name: gadget", "name: 7", 1),
		"another version":  strings.Replace(string(whole), "example.dev/v1", "example.dev/v2", 1),
		"another kind":     strings.Replace(string(whole), "kind: Widget", "kind: Other", 1),
		"no namespace":     strings.Replace(string(whole), "namespace: team-a", "", 1),
		"metadata as text": "apiVersion: example.dev/v1\nkind: Widget\nmetadata: a\n",
		"a bomb":           "a: &a [" + strings.Repeat("x,", 99) + "]\nb: &b [" + strings.Repeat("*a,", 99) + "]\nc: &c [" + strings.Repeat("*b,", 99) + "]\nd: &d [" + strings.Repeat("*c,", 99) + "]\ne: [" + strings.Repeat("*d,", 99) + "]\n",
	} {
		t.Run(name, func(t *testing.T) {
			b.write("input/object.yaml", content)
			b.wantFailure("object.yaml is not a whole Widget of example.dev/v1: run the pipeline again")
		})
	}
	b.write("input/object.yaml", strings.Replace(string(whole), "team-a", "team-b", 1))
	b.wantFailure("is of team-b/gadget, but the run is for team-a/gadget")
	if err := os.Remove(filepath.Join(b.dir, "input", "object.yaml")); err != nil {
		t.Fatal(err)
	}
	b.wantFailure("object.yaml: no such file or directory")
	b.write("input/object.yaml/file", "")
	b.wantFailure("object.yaml: is a directory")
}

// Where Kratix does not say for which request the run is, the mounted one tells.
func TestUnnamedRequest(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	want := b.written()
	t.Setenv("KRATIX_OBJECT_NAMESPACE", "")
	t.Setenv("KRATIX_OBJECT_NAME", "")
	if err := b.run(); err != nil || !maps.Equal(b.written(), want) {
		t.Errorf("the run ends with %v and %v", err, b.written())
	}
}

// What an earlier try of the container left behind is gone after the next, be it
// good or not.
func TestLeftovers(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	want := b.written()
	litter := func() {
		for _, name := range []string{"output/eu-1/z.yaml", "output/old/deep/z.yaml", "output/.hidden", "metadata/workflow-control.yaml", "metadata/status.yaml", "metadata/old/z"} {
			b.write(name, "left over")
		}
	}
	litter()
	if err := b.run(); err != nil || !maps.Equal(b.written(), want) {
		t.Errorf("among leftovers a run ends with %v and %v", err, b.written())
	}
	litter()
	b.write("input/object.yaml", "")
	b.wantFailure("is not a whole Widget")
	if err := os.RemoveAll(filepath.Join(b.dir, "metadata")); err != nil {
		t.Fatal(err)
	}
	b.wantFailure("is not a whole Widget") // a folder that is not there has nothing left over
	t.Setenv("BALEEN_NOW", "yesterday")
	litter()
	b.wantFailure(`BALEEN_NOW is "yesterday": it must be a time as in RFC 3339`)
}

// Without its environment a run does not guess.
func TestEnvironment(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ value, words string }{
		"BALEEN_NOW":             {"2026-01-01", `BALEEN_NOW is "2026-01-01"`},
		"KRATIX_WORKFLOW_ACTION": {"", `KRATIX_WORKFLOW_ACTION is "": it must be configure or delete`},
		"KRATIX_PROMISE_NAME":    {"", "KRATIX_PROMISE_NAME is not set"},
		"KRATIX_OBJECT_NAME":     {"other", "the run is for team-a/other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, c.value)
			b.wantFailure(c.words)
		})
	}
}

// Output that cannot be written whole is not written at all: a part of it would
// take the rest away from the clusters.
func TestHalfWrittenOutput(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	// Whichever of the two comes first, the other one cannot be written.
	_, err := b.apply(strings.Replace(widget, "b.yaml", "a.yaml/b", 1))
	if err == nil || !regexp.MustCompile("^the output cannot be written, so nothing is emitted and what is served stays in place: (open|mkdir) ").MatchString(err.Error()) {
		t.Errorf("the run says %v", err)
	}
	if documents, err := b.apply(widget); err != nil || len(documents) != 4 {
		t.Errorf("the next run: %v and %v", err, documents)
	}
}

// A run that is stopped emits nothing, as if it had never been.
func TestStopped(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := widgets
	stopped.Configure = func(ctx context.Context, r *Run) (Result, error) {
		cancel()
		return widgets.Configure(ctx, r)
	}
	if err := b.environment(io.Discard).run(ctx, stopped); err == nil || !strings.Contains(err.Error(), "the run was stopped before it was done") || len(b.written()) > 0 {
		t.Errorf("the run says %v and leaves %v", err, b.written())
	}
}

// api serves the platform over HTTP, by a client that waits for it without
// spending time, and returns what to ask before each request is answered.
func (b *bench) api() (server *platformtest.Server, waits *int) {
	b.Helper()
	server = platformtest.Serve(b.platform, platform.Destination, platform.ConfigMap, platform.Work, widgets.Kind)
	listening := httptest.NewServer(server)
	b.Cleanup(listening.Close)
	waits = new(int)
	b.open(b.reach(listening.URL, waits))
	return server, waits
}

func (b *bench) reach(url string, waits *int) platform.Client {
	b.Helper()
	cluster, err := platform.OpenCluster(&rest.Config{Host: url, QPS: -1})
	if err != nil {
		b.Fatal(err)
	}
	policy := platform.DefaultRetry
	policy.Sleep = func(context.Context, time.Duration) error { *waits++; return nil }
	return platform.WithRetry(cluster, policy)
}

// An API that is away for a moment is waited for; the run ends as if it had
// always been there.
func TestPlatformComesBack(t *testing.T) {
	b := newBench(t)
	want, _ := b.apply(widget)
	server, waits := b.api()
	for _, away := range []error{
		apierrors.NewServiceUnavailable("starting"), apierrors.NewInternalError(errors.New("etcd")), apierrors.NewTooManyRequests("busy", 1),
	} {
		*waits = 0
		asked := map[string]int{}
		server.Observe = func(verb string, kind platform.Kind, _, _, _ string) error {
			if asked[kind.Kind]++; asked[kind.Kind] <= 2 {
				return away
			}
			return nil
		}
		documents, err := b.apply(widget)
		if status, reason, message := b.ready(); err != nil || status != "True" || !maps.Equal(documents, want) || *waits != 2*len(asked) || len(asked) != 4 {
			t.Errorf("away with %v: %v, %s: %s, after %d waits for %v", away, err, reason, message, *waits, asked)
		}
	}
}

// Where not even the request and its last output can be read, nothing can be
// said or emitted: the run fails and what is served stays.
func TestPlatformAwayFromTheStart(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	server, _ := b.api()
	for kind, words := range map[string]string{
		"Widget": "Widget team-a/gadget cannot be read: the platform cluster failed in all of 6 tries; see to its API server: ",
		"Work":   "the last output of Widget team-a/gadget cannot be read: the platform cluster failed in all of 6 tries; see to its API server: ",
	} {
		server.Observe = func(_ string, k platform.Kind, _, _, _ string) error {
			if k.Kind == kind {
				return apierrors.NewServiceUnavailable("starting")
			}
			return nil
		}
		b.wantFailure(words)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	b.open(b.reach(gone.URL, new(int)))
	b.wantFailure("Widget team-a/gadget cannot be read: the platform cluster failed in all of 6 tries; see to its API server: ")
}

// Where the API goes away later, the last good output is emitted again and the
// status says why; when it is back the next run goes on.
func TestPlatformAwayInBetween(t *testing.T) {
	for _, kind := range []platform.Kind{platform.ConfigMap, platform.Destination} {
		t.Run(kind.Kind, func(t *testing.T) {
			b := newBench(t)
			server, _ := b.api()
			goAway := func(verb string, k platform.Kind, _, _, _ string) error {
				if k == kind {
					return apierrors.NewServiceUnavailable("starting")
				}
				return nil
			}
			want := func(documents int, status, reason, ending string) {
				t.Helper()
				got, err := b.apply(widget)
				gotStatus, gotReason, message := b.ready()
				if err != nil || len(got) != documents || gotStatus != status || gotReason != reason || !strings.HasSuffix(message, ending) {
					t.Errorf("%v, %d documents, Ready is %s for %s: %s", err, len(got), gotStatus, gotReason, message)
				}
			}
			server.Observe = goAway
			want(0, "False", "PlatformUnavailable", "starting")
			server.Observe = nil
			want(4, "True", "Published", "all is well")
			server.Observe = goAway
			want(4, "False", "PlatformUnavailable", "; what was emitted last stays in place")
			server.Observe = nil
			want(4, "True", "Published", "all is well")
		})
	}
}
