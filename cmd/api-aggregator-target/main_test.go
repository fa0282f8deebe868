package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/internal/workflow"
	apiaggregator "github.com/baleen-platform/baleen/pipelines/api-aggregator"
	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
	"github.com/baleen-platform/baleen/promises"
)

// stage is the real binary, and mortal the same with points at which it can be made
// to die.
var stage, mortal string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "stage")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		stage, mortal = filepath.Join(dir, "api-aggregator-target"), filepath.Join(dir, "mortal")
		for _, args := range [][]string{{"build", "-o", stage, "."}, {"build", "-tags=failpoint", "-o", mortal, "."}} {
			if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
				panic(fmt.Sprintf("%v\n%s", err, out))
			}
		}
		return m.Run()
	}())
}

// container is what a container of the stage finds: its environment, /kratix
// with a request in it, and a platform on which the request was served before.
type container struct {
	*testing.T
	platform, dir string
	env           map[string]string
	// request is the content of object.yaml.
	request string
}

func newContainer(t *testing.T) *container {
	t.Helper()
	s := scenario.New(t, "../../testdata/platform", apiaggregator.Pipeline, apiaggregatortarget.Pipeline)
	var example []byte
	for _, name := range []string{"api-aggregator", "api-aggregator-target"} {
		var err error
		if example, err = os.ReadFile("../../promises/" + name + "/example.yaml"); err != nil {
			t.Fatal(err)
		}
		if o := s.Apply(string(example)); o.Err != nil {
			t.Fatal(o.Err, o.Stderr)
		}
	}
	object := scenario.Parse(t, string(example))
	request, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	promise, _ := promises.Find(object.GroupVersionKind().GroupKind())
	c := &container{T: t, platform: s.Dir, dir: t.TempDir(), request: string(request), env: map[string]string{}}
	for _, pair := range simulator.Env(kratix.Configure, simulator.Promise{Name: promise.Name, Kind: promise.Kind, Configure: promise.ConfigurePipeline}, object, false) {
		key, value, _ := strings.Cut(pair, "=")
		c.env[key] = value
	}
	c.env["BALEEN_PLATFORM_DIR"], c.env["BALEEN_KRATIX_DIR"], c.env["BALEEN_NOW"] = c.platform, c.dir, "2026-02-01T00:00:00Z"
	for _, name := range []string{"input", "output", "metadata"} {
		c.must(os.Mkdir(filepath.Join(c.dir, name), 0o755))
	}
	c.write("input/object.yaml", c.request)
	return c
}

func (c *container) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *container) write(name, content string) {
	c.Helper()
	name = filepath.Join(c.dir, name)
	c.must(os.MkdirAll(filepath.Dir(name), 0o755))
	c.must(os.WriteFile(name, []byte(content), 0o644))
}

// command prepares the stage, or a program around it.
func (c *container) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	for key, value := range c.env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	return cmd
}

// run returns the stage's exit code and what it said on stderr.
func (c *container) run() (code int, said string) {
	c.Helper()
	return c.wait(c.command(stage))
}

// within is the same in this process, which is quicker.
func (c *container) within() (code int, said string) {
	var stderr strings.Builder
	e := workflow.Environment{Getenv: func(name string) string { return c.env[name] }, Stderr: &stderr}
	return e.Run(c.Context(), apiaggregatortarget.Pipeline), stderr.String()
}

func (c *container) wait(cmd *exec.Cmd) (code int, said string) {
	c.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.Fatal(err)
	}
	if stdout.Len() > 0 {
		c.Errorf("stdout has %q", stdout.String())
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// wantFailure is a run that must end with exit code 1 after one plain sentence
// with these words, and leave nothing in output and metadata.
func (c *container) wantFailure(words string) {
	c.Helper()
	code, said := c.run()
	c.wantSentence(code, said, words)
	if left := files(c.T, c.dir, "output", "metadata"); len(left) > 0 {
		c.Errorf("it left %v", left)
	}
}

func (c *container) wantSentence(code int, said, words string) {
	c.Helper()
	sentence, ended := strings.CutSuffix(said, "\n")
	if code != 1 || !ended || strings.Contains(sentence, "\n") || !strings.HasPrefix(sentence, "api-aggregator-target: ") || !strings.Contains(sentence, words) {
		c.Errorf("exit code %d after %q; want 1 after one sentence with %q", code, said, words)
	}
	if jargon := regexp.MustCompile(`panic|goroutine|unmarshal|Go value|<nil>|%!`).FindString(said); jargon != "" {
		c.Errorf("it said %q: %s", jargon, said)
	}
}

// files returns what is in some folders of a directory, hidden files excepted.
func files(t *testing.T, dir string, names ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range names {
		err := fs.WalkDir(os.DirFS(dir), name, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || path == name || strings.HasPrefix(entry.Name(), ".") {
				return err
			}
			found[path] = "a folder"
			if !entry.IsDir() {
				data, err := os.ReadFile(filepath.Join(dir, path))
				found[path] = string(data)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// An object.yaml that is damaged in whatever way, or an environment that is,
// ends the process with exit code 1 and one sentence, and emits nothing.
func TestDamagedInput(t *testing.T) {
	c := newContainer(t)
	const whole = "object.yaml is not a whole ApiAggregatorTarget of baleen.dev/v1alpha1: run the pipeline again"
	for name, content := range map[string]string{
		"empty": "", "truncated": c.request[:60], "a list": "- a\n- b\n", "garbage": "\x7fELF\x02\x01\x01\x00\xff\xfe\x80",
		"zeros": strings.Repeat("\x00", 4096), "another kind": strings.ReplaceAll(c.request, "ApiAggregatorTarget", "ApiAggregator"),
	} {
		t.Run(name, func(t *testing.T) {
			c := c.with(t)
			c.write("input/object.yaml", content)
			c.wantFailure(whole)
		})
	}
	t.Run("missing", func(t *testing.T) {
		c := c.with(t)
		c.must(os.Remove(filepath.Join(c.dir, "input", "object.yaml")))
		c.wantFailure("the request cannot be read: open " + c.dir + "/input/object.yaml: no such file or directory")
		c.must(os.Mkdir(filepath.Join(c.dir, "input", "object.yaml"), 0o755)) // root may read any file, but no folder
		c.wantFailure("object.yaml: is a directory")
		c.must(os.Remove(filepath.Join(c.dir, "input", "object.yaml")))
		c.write("input/object.yaml", c.request)
	})
	for variable, e := range map[string]struct{ value, words string }{
		"BALEEN_NOW":             {"tomorrow", `BALEEN_NOW is "tomorrow": it must be a time as in RFC 3339, such as 2026-01-02T15:04:05Z`},
		"KRATIX_WORKFLOW_ACTION": {"", `KRATIX_WORKFLOW_ACTION is "": it must be configure or delete`},
		"KRATIX_PROMISE_NAME":    {"", "KRATIX_PROMISE_NAME is not set"},
		"BALEEN_PLATFORM_DIR":    {"/nowhere", "BALEEN_PLATFORM_DIR: the platform folder \"/nowhere\" cannot be opened; make it or name another"},
		"KRATIX_OBJECT_NAME":     {"other", "but the run is for team-a/other"},
	} {
		t.Run(variable, func(t *testing.T) {
			c := c.with(t)
			c.env[variable] = e.value
			c.wantFailure(e.words)
		})
	}
	c.write("input/object.yaml", c.request)
	if code, said := c.run(); code != 0 {
		t.Errorf("with all mended: exit code %d: %s", code, said)
	}
}

// with returns the same container for a subtest, with an environment of its own.
func (c *container) with(t *testing.T) *container {
	own := *c
	own.T, own.env = t, maps.Clone(c.env)
	return &own
}

// What an earlier try left in output and metadata is gone afterwards.
func TestLeftovers(t *testing.T) {
	c := newContainer(t)
	litter := func() {
		for _, name := range []string{"output/eu-1/old.yaml", "output/old/deep/a", "metadata/workflow-control.yaml", "metadata/old/a"} {
			c.write(name, "left over")
		}
	}
	litter()
	if code, said := c.run(); code != 0 {
		t.Fatal(said)
	}
	for name, content := range files(t, c.dir, "output", "metadata") {
		if content == "left over" || strings.Contains(name, "old") {
			t.Errorf("%s is still there", name)
		}
	}
	litter()
	c.write("input/object.yaml", "")
	c.wantFailure("is not a whole")
}

// A disk that is full before all is written: exit code 1, one sentence, and an
// empty output, because a part of it would take the rest away from the clusters.
func TestFullDisk(t *testing.T) {
	for _, name := range []string{"output", "metadata"} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			dir := filepath.Join(c.dir, name)
			// One page on a file system of its own, which no other process sees.
			mount := []string{"--mount", "sh", "-c", `mount -t tmpfs -o size=4k tmpfs "$1" && shift && "$@"; code=$?; test -z "$(ls -A "$0")" || exit 98; exit $code`, dir, dir}
			if out, err := exec.Command("unshare", append(mount, "true")...).CombinedOutput(); err != nil {
				t.Skipf("no file system can be mounted here, so no disk can be full: %v: %s", err, out)
			}
			cmd := c.command("unshare", append(mount, stage)...)
			code, said := c.wait(cmd)
			if code == 98 {
				t.Fatalf("something is left on the full disk: %s", said)
			}
			c.wantSentence(code, said, "the output cannot be written, so nothing is emitted and what is served stays in place: write "+dir)
			if !strings.Contains(said, "no space left on device") {
				t.Errorf("it said %s", said)
			}
			if left := files(t, c.dir, "output", "metadata"); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

// Between two points at which something has changed outside, all deaths leave the
// same world, so one of them is enough.
var changes = regexp.MustCompile(`^[0-9]+ (amid|after) (create|update|writing)\b`)

// Killed at any point, the stage leaves nothing that the next run does not mend: its
// output, its status and the platform are those of a run that was never disturbed.
func TestKilled(t *testing.T) {
	for _, test := range []struct{ name, request string }{
		{"a run with nothing to do", ""},
		{"a run that claims one path and releases another", "{path: /new, methods: [GET]}, {path: /orders}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t)
			if test.request != "" {
				c.edit("team-a/ApiAggregatorTarget.baleen.dev/orders.yaml", func(object map[string]any) {
					var paths []any
					c.must(yaml.Unmarshal([]byte("["+test.request+"]"), &paths))
					object["spec"].(map[string]any)["paths"] = paths
				})
			}
			before, list := c.platform, filepath.Join(t.TempDir(), "points")
			c.fork(before)
			c.env["BALEEN_FATAL_LIST"] = list
			if code, said := c.wait(c.command(mortal)); code != 0 {
				t.Fatal(said)
			}
			delete(c.env, "BALEEN_FATAL_LIST")
			want, platform := files(t, c.dir, "output", "metadata"), files(t, c.platform, ".")
			text, err := os.ReadFile(list)
			c.must(err)
			points, tried := strings.Split(strings.TrimSpace(string(text)), "\n"), 0
			for n, point := range points {
				if n > 0 && !changes.MatchString(point) {
					continue
				}
				tried++
				c.fork(before)
				c.env["BALEEN_FATAL"] = fmt.Sprint(n + 1)
				cmd := c.command(mortal)
				if err := cmd.Run(); err == nil || cmd.ProcessState.Exited() {
					t.Fatalf("at %s it was not killed: %v", point, err)
				}
				delete(c.env, "BALEEN_FATAL")
				if code, said := c.within(); code != 0 {
					t.Fatalf("after a death at %s: %s", point, said)
				}
				if got := files(t, c.dir, "output", "metadata"); !maps.Equal(got, want) {
					t.Fatalf("after a death at %s the output is %v, want %v", point, names(got), names(want))
				}
				if got := files(t, c.platform, "."); !maps.Equal(got, platform) {
					t.Fatalf("after a death at %s the platform has %v, want %v", point, names(got), names(platform))
				}
			}
			t.Attr("tried.kill-points", fmt.Sprint(tried))
		})
	}
}

// fork lets the container see a copy of a platform.
func (c *container) fork(platform string) {
	c.Helper()
	c.platform = c.TempDir()
	c.must(os.CopyFS(c.platform, os.DirFS(platform)))
	c.env["BALEEN_PLATFORM_DIR"] = c.platform
}

// edit changes an object of the platform.
func (c *container) edit(file string, change func(map[string]any)) {
	c.Helper()
	file = filepath.Join(c.platform, file)
	data, err := os.ReadFile(file)
	c.must(err)
	var object map[string]any
	c.must(yaml.Unmarshal(data, &object))
	change(object)
	data, err = yaml.Marshal(object)
	c.must(err)
	c.must(os.WriteFile(file, data, 0o644))
}

func names(files map[string]string) []string { return slices.Sorted(maps.Keys(files)) }
