package pipelines_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baleen-platform/baleen/pipelines"
	"github.com/baleen-platform/baleen/promises"
)

const module = "github.com/baleen-platform/baleen/"

// folders are the names of the folders in a folder.
func folders(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// The list has a pipeline for each Promise, of its kind; the code of each is in the
// folder of its name, and so is that of its binary.
func TestAll(t *testing.T) {
	type entry struct{ Promise, Kind string }
	var listed, want []entry
	var names []string
	for _, p := range pipelines.All() {
		listed = append(listed, entry{p.Promise, p.Kind.String()})
		names = append(names, p.Promise)
		if p.Configure == nil || p.Delete == nil || p.Check == nil {
			t.Errorf("the pipeline of %s lacks Configure, Delete or Check", p.Promise)
		}
	}
	for _, p := range promises.All() {
		want = append(want, entry{p.Name, p.Kind.String()})
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("pipelines.All is not what promises/ has (-promises +pipelines):\n%s", diff)
	}
	if diff := cmp.Diff(names, folders(t, ".")); diff != "" {
		t.Errorf("the folders of pipelines/ are others than pipelines.All (-list +folders):\n%s", diff)
	}
	binaries := slices.DeleteFunc(folders(t, "../cmd"), func(name string) bool { return name == "baleen" })
	if diff := cmp.Diff(names, binaries); diff != "" {
		t.Errorf("the folders of cmd/ are others than pipelines.All (-list +folders):\n%s", diff)
	}
}

// A stage has its own pipeline and no other, nor what runs pipelines without a
// cluster: nodes pull its image before each first run.
func TestStagesAreSmall(t *testing.T) {
	for _, p := range pipelines.All() {
		t.Run(p.Promise, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"cmd/"+p.Promise).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var has, wrong []string
			for dependency := range strings.Lines(string(out)) {
				dependency = strings.TrimPrefix(strings.TrimSpace(dependency), module)
				switch {
				case strings.HasPrefix(dependency, "pipelines/"):
					has = append(has, dependency)
				case slices.Contains([]string{"pipelines", "internal/kratix/simulator", "internal/scenario", "testing"}, dependency):
					wrong = append(wrong, dependency)
				case dependency == "internal/sysaccount" && p.Promise != "nats-account": // what looks after accounts with an operator's key
					wrong = append(wrong, dependency)
				}
			}
			if want := []string{"pipelines/" + p.Promise}; !slices.Equal(has, want) || len(wrong) > 0 {
				t.Errorf("it has the pipelines %v, not %v alone; what it should not have is %v", has, want, wrong)
			}
		})
	}
}
