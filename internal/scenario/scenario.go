// Package scenario runs requests in tests as Kratix would, against a copy of a
// platform folder and in the test's own process.
package scenario

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/guardtest"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
)

// Scenario is a platform and a clock.
type Scenario struct {
	t testing.TB
	// Pipelines are those of the Promises; of several of one Promise the first runs.
	Pipelines []workflow.Pipeline
	// Dir is the platform's folder, Out the folder of the last run.
	Dir, Out string
	Client   *platform.Folder
	// Now is the time of the next run.
	Now     time.Time
	Version simulator.Version
	// DryRun has the next runs change nothing.
	DryRun bool
	// Open is how a run with such variables reaches the platform, nil for its folder.
	Open func(getenv func(string) string, now func() time.Time) (platform.Client, error)
}

// New copies a platform folder, for requests of the Promises that have these pipelines,
// observe [Scenario.Pipelines].
func New(t testing.TB, platformDir string, pipelines ...workflow.Pipeline) *Scenario {
	t.Helper()
	dir := tempDir(t)
	s := &Scenario{t: t, Pipelines: pipelines, Dir: filepath.Join(dir, "platform"), Out: filepath.Join(dir, "out"),
		Now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), Version: simulator.KratixLatest}
	s.must(os.CopyFS(s.Dir, os.DirFS(platformDir)))
	var err error
	s.Client, err = platform.OpenFolder(s.Dir, func() time.Time { return s.Now })
	s.must(err)
	return s
}

// tempDir returns a folder in memory where there is such a thing: a platform's
// folder waits for the disk with each write.
func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "scenario")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *Scenario) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Write writes files below the platform's folder.
func (s *Scenario) Write(files ...txtar.File) {
	s.t.Helper()
	for _, f := range files {
		path := filepath.Join(s.Dir, f.Name)
		s.must(os.MkdirAll(filepath.Dir(path), 0o755))
		s.must(os.WriteFile(path, f.Data, 0o644))
	}
}

// Remove removes a file below the platform's folder.
func (s *Scenario) Remove(name string) {
	s.t.Helper()
	s.must(os.Remove(filepath.Join(s.Dir, name)))
}

// RemoveAll removes a folder below the platform's, as a namespace goes.
func (s *Scenario) RemoveAll(name string) {
	s.t.Helper()
	s.must(os.RemoveAll(filepath.Join(s.Dir, name)))
}

// Snapshot returns the content of all files of the platform.
func (s *Scenario) Snapshot() map[string]string {
	s.t.Helper()
	files := map[string]string{}
	s.must(filepath.WalkDir(s.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	}))
	return files
}

// Outcome is what came of a run.
type Outcome struct {
	// Code is the stage's exit code, Stderr what it said.
	Code   int
	Stderr string
	// Err is why Kratix could not carry out the run.
	Err error
	// Report is the status.yaml that the stage wrote, Status the request's whole
	// status, with what Kratix adds.
	Report string
	Status map[string]any
	// Files are what each cluster has now, by destination/file.
	Files map[string]string
}

// Ready returns the status, reason and message of the condition Ready.
func (o Outcome) Ready() (status, reason, message string) {
	conditions, _, _ := unstructured.NestedSlice(o.Status, "conditions")
	for _, c := range conditions {
		if c, _ := c.(map[string]any); c["type"] == "Ready" {
			return c["status"].(string), c["reason"].(string), c["message"].(string)
		}
	}
	return "", "", ""
}

// State returns the state and message of a path in a target's status.
func (o Outcome) State(path string) (state, message string) {
	paths, _, _ := unstructured.NestedSlice(o.Status, "paths")
	for _, p := range paths {
		if p, _ := p.(map[string]any); p["path"] == path {
			state, _ = p["state"].(string)
			message, _ = p["message"].(string)
		}
	}
	return state, message
}

// Documents returns all that the clusters have as one text, in a stable order.
func (o Outcome) Documents() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(o.Files)) {
		b.WriteString("# " + name + "\n" + o.Files[name] + "---\n")
	}
	return b.String()
}

// Objects returns all that the clusters have, by destination/file.
func (o Outcome) Objects(t testing.TB) map[string]*unstructured.Unstructured {
	t.Helper()
	objects := map[string]*unstructured.Unstructured{}
	for name, text := range o.Files {
		objects[name] = Parse(t, text)
	}
	return objects
}

// Parse reads one object.
func Parse(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	var object unstructured.Unstructured
	if err == nil {
		err = object.UnmarshalJSON(data)
	}
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return &object
}

// Apply runs configure for a request.
func (s *Scenario) Apply(request string) Outcome {
	s.t.Helper()
	return s.run(kratix.Configure, Parse(s.t, request))
}

// ApplyObject runs configure for a request that YAML might not hold unchanged.
func (s *Scenario) ApplyObject(request *unstructured.Unstructured) Outcome {
	s.t.Helper()
	return s.run(kratix.Configure, request)
}

// Delete runs delete for a request.
func (s *Scenario) Delete(request string) Outcome {
	s.t.Helper()
	return s.run(kratix.Delete, Parse(s.t, request))
}

// Reconcile runs configure for a request as it is stored.
func (s *Scenario) Reconcile(kind platform.Kind, namespace, name string) Outcome {
	s.t.Helper()
	object, err := s.Client.Get(context.Background(), kind, namespace, name)
	s.must(err)
	return s.run(kratix.Configure, object)
}

func (s *Scenario) run(action kratix.Action, request *unstructured.Unstructured) Outcome {
	s.t.Helper()
	promise, ok := promises.Find(request.GroupVersionKind().GroupKind())
	if !ok {
		s.t.Fatalf("no Promise serves %s", request.GroupVersionKind())
	}
	var o Outcome
	result, err := simulator.Run(s.t.Context(), simulator.Options{
		Version: s.Version,
		Action:  action,
		Promise: simulator.Promise{Name: promise.Name, Kind: promise.Kind, Configure: promise.ConfigurePipeline, Delete: promise.DeletePipeline},
		Request: request,
		Client:  s.Client,
		Dir:     s.Out,
		DryRun:  s.DryRun,
		Now:     func() time.Time { return s.Now },
		Stage: func(ctx context.Context, env []string) error {
			o.Code, o.Stderr = s.stage(ctx, promise.Name, guardtest.Account(request.GetNamespace(), promise.Name, string(action)), env)
			if o.Code != 0 {
				return errors.New("the stage failed")
			}
			return nil
		},
	})
	report, _ := os.ReadFile(filepath.Join(s.Out, "metadata", "status.yaml")) // a stage that fails writes none
	o.Report = string(report)
	o.Err, o.Status, o.Files = err, result.Status, map[string]string{}
	for _, d := range result.Destinations {
		for file, data := range d.After {
			o.Files[d.Name+"/"+strings.TrimPrefix(file, d.Name+"/")] = string(data)
		}
	}
	return o
}

// stage runs a pipeline with the environment that its container would have. What it writes
// the guard must let through.
func (s *Scenario) stage(ctx context.Context, promise string, who user.Info, env []string) (code int, said string) {
	variables := map[string]string{}
	for _, pair := range append(env, "BALEEN_PLATFORM_DIR="+s.Dir, "BALEEN_KRATIX_DIR="+s.Out, "BALEEN_NOW="+s.Now.Format(time.RFC3339)) {
		key, value, _ := strings.Cut(pair, "=")
		variables[key] = value
	}
	var stderr strings.Builder
	getenv, open := func(key string) string { return variables[key] }, platform.Open
	if s.Open != nil {
		open = s.Open
	}
	e := workflow.Environment{Getenv: getenv, Stderr: &stderr, Open: func(now func() time.Time) (platform.Client, error) {
		client, err := open(getenv, now)
		if err != nil {
			return nil, err
		}
		return guardtest.Open(client, who, func(err error) { s.t.Errorf("the guard denies what a pipeline writes: %v", err) })
	}}
	i := slices.IndexFunc(s.Pipelines, func(p workflow.Pipeline) bool { return p.Promise == promise })
	if i < 0 {
		s.t.Fatalf("the scenario has no pipeline of the Promise %s", promise)
	}
	code = e.Run(ctx, s.Pipelines[i])
	return code, stderr.String()
}
