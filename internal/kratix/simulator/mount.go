package simulator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
)

// Mount is the folder that stands for /kratix in a pipeline's container: input,
// output and metadata. Beside them it holds destinations, what each cluster gets.
type Mount struct{ dir string }

const (
	inputDir        = "input"
	outputDir       = "output"
	metadataDir     = "metadata"
	destinationsDir = "destinations"
	objectFile      = "object.yaml"
)

// OpenMount makes the folder if it is missing. It refuses one that holds
// anything but a former run, because a run clears it.
func OpenMount(dir string) (Mount, error) {
	m := Mount{dir}
	foreign, err := m.foreign()
	if err != nil {
		return m, fmt.Errorf("the folder %s cannot be used for the run's files: %w", dir, err)
	}
	if foreign != "" {
		return m, fmt.Errorf("the folder %s holds %s, which is not of a former run and would be lost: name another folder", dir, foreign)
	}
	return m, nil
}

// foreign returns the first thing in the folder that no run has put there. A
// former run is known by its input/object.yaml, which Prepare writes before
// anything else and never takes away.
func (m Mount) foreign() (string, error) {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return "", err
	}
	_, err = os.Lstat(m.path(inputDir, objectFile))
	used := err == nil // by a former run
	for _, e := range entries {
		if !e.IsDir() || !slices.Contains([]string{inputDir, outputDir, metadataDir, destinationsDir}, e.Name()) {
			return e.Name(), nil
		}
		inside, err := os.ReadDir(m.path(e.Name()))
		if err != nil {
			return "", err
		}
		for _, i := range inside {
			if !used || e.Name() == inputDir && i.Name() != objectFile {
				return filepath.Join(e.Name(), i.Name()), nil
			}
		}
	}
	return "", nil
}

// Prepare gives a pipeline a fresh start, as each Job has it: the object in
// input, nothing in output and metadata.
func (m Mount) Prepare(object *unstructured.Unstructured) error {
	data, err := yaml.Marshal(object.Object)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.path(inputDir), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(m.path(inputDir, objectFile), data, 0o644); err != nil {
		return err
	}
	for _, dir := range []string{outputDir, metadataDir, destinationsDir} {
		if err := os.RemoveAll(m.path(dir)); err != nil {
			return err
		}
		if err := os.Mkdir(m.path(dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// Emitted is what a pipeline has written for Kratix.
type Emitted struct {
	// Output are the documents.
	Output fs.FS
	// Metadata are the files by which it tells Kratix something.
	Metadata map[string][]byte
}

// The files of the metadata that Kratix reads.
const (
	selectorsFile = "destination-selectors.yaml"
	statusFile    = "status.yaml"
	controlFile   = "workflow-control.yaml"
)

// Emitted returns what the pipeline has written. Its output is read when it is used.
func (m Mount) Emitted() (Emitted, error) {
	emitted := Emitted{Output: os.DirFS(m.path(outputDir)), Metadata: map[string][]byte{}}
	for _, name := range []string{selectorsFile, statusFile, controlFile} {
		data, err := os.ReadFile(m.path(metadataDir, name))
		switch {
		case err == nil:
			emitted.Metadata[name] = data
		case !errors.Is(err, fs.ErrNotExist):
			return emitted, err
		}
	}
	return emitted, nil
}

// WriteDestinations writes what each Destination gets.
func (m Mount) WriteDestinations(destinations []Destination) error {
	root, err := os.OpenRoot(m.path(destinationsDir)) // paths come from a Work: none may lead out
	if err != nil {
		return err
	}
	defer root.Close()
	for _, d := range destinations {
		for name, data := range d.After {
			name = filepath.Join(d.Name, filepath.FromSlash(name))
			if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			if err := root.WriteFile(name, data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m Mount) path(elements ...string) string {
	return filepath.Join(append([]string{m.dir}, elements...)...)
}

// Env returns the environment that Kratix gives to a pipeline's containers.
func Env(action kratix.Action, promise Promise, object *unstructured.Unstructured, dryRun bool) []string {
	pipeline := promise.Configure
	if action == kratix.Delete {
		pipeline = promise.Delete
	}
	env := []string{
		"KRATIX_WORKFLOW_ACTION=" + string(action),
		"KRATIX_WORKFLOW_TYPE=resource",
		"KRATIX_PROMISE_NAME=" + promise.Name,
		"KRATIX_PIPELINE_NAME=" + pipeline,
		"KRATIX_OBJECT_KIND=" + promise.Kind.Kind,
		"KRATIX_OBJECT_GROUP=" + promise.Kind.Group,
		"KRATIX_OBJECT_VERSION=" + promise.Kind.Version,
		"KRATIX_OBJECT_NAME=" + object.GetName(),
		"KRATIX_OBJECT_NAMESPACE=" + object.GetNamespace(),
		"KRATIX_CRD_PLURAL=" + promise.Kind.Plural,
		"KRATIX_CLUSTER_SCOPED=" + strconv.FormatBool(promise.Kind.ClusterScoped),
	}
	if dryRun {
		env = append(env, "KRATIX_DRY_RUN=true")
	}
	return env
}
