package simulator

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
)

// rootDirectory is the directory of the workload group that holds every file
// outside the selected directories.
const rootDirectory = "."

// Where the selectors of a workload group come from, least important first: a
// later source wins over an earlier one where both set a label.
const (
	sourceResource        = "resource-workflow"
	sourcePromiseWorkflow = "promise-workflow"
	sourcePromise         = "promise"
)

// Pack makes the Work that Kratix's work-writer makes of an output folder.
// Selectors is the content of metadata/destination-selectors.yaml (nil: there is
// none), promiseSelectors are the matchLabels of the Promise's
// spec.destinationSelectors.
//
// Two things differ from Kratix, so that equal output is an equal Work: the
// Work's name ends in a hash and not at random, and there is no
// spec.lastExecutionTimestamp, which H sets anew in each run.
func Pack(owner kratix.Owner, output fs.FS, selectors []byte, promiseSelectors []map[string]string) (*unstructured.Unstructured, error) {
	entries, err := parseSelectors(selectors)
	if err != nil {
		return nil, err
	}
	var groups, rootSelectors []any
	selected := map[string]bool{}
	for _, e := range entries {
		if e.Directory == rootDirectory {
			rootSelectors = append(rootSelectors, scheduling(e.MatchLabels, sourceResource))
			continue
		}
		selected[e.Directory] = true
		workloads, err := pack(output, e.Directory, nil)
		if err != nil {
			return nil, fmt.Errorf("destination-selectors.yaml selects the directory %q, which cannot be read from the output (%w): write it or drop the entry", e.Directory, err)
		}
		groups = append(groups, group(e.Directory, workloads, []any{scheduling(e.MatchLabels, sourceResource)}))
	}
	workloads, err := pack(output, rootDirectory, selected)
	if err != nil {
		return nil, fmt.Errorf("the output cannot be read: %w", err)
	}
	if len(workloads) > 0 {
		if len(promiseSelectors) > 0 {
			rootSelectors = append(rootSelectors, scheduling(squash(promiseSelectors), sourcePromise))
		}
		groups = append(groups, group(rootDirectory, workloads, rootSelectors))
	}

	spec := map[string]any{"promiseName": owner.Promise, "resourceName": owner.Resource}
	if len(groups) > 0 {
		spec["workloadGroups"] = groups
	}
	work := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "platform.kratix.io/v1alpha1", "kind": "Work", "spec": spec,
	}}
	work.SetName(objectName(owner.Promise + "-" + owner.Resource + "-" + owner.Pipeline))
	work.SetNamespace(owner.Namespace)
	work.SetLabels(owner.Labels())
	return work, nil
}

// selector is an entry of destination-selectors.yaml.
type selector struct {
	Directory   string            `json:"directory"`
	MatchLabels map[string]string `json:"matchLabels"`
}

// parseSelectors reads destination-selectors.yaml and refuses what Kratix
// refuses, in the same order.
func parseSelectors(data []byte) ([]selector, error) {
	var entries []selector
	if err := yaml.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("destination-selectors.yaml is not a list of {directory, matchLabels}: %w", err)
	}
	for i, e := range entries {
		entries[i].Directory = path.Clean(e.Directory)
		if len(e.MatchLabels) == 0 {
			return nil, fmt.Errorf("destination-selectors.yaml: entry %d has no matchLabels: give it at least one label", i)
		}
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.Directory] {
			return nil, fmt.Errorf("destination-selectors.yaml has the directory %q twice: put all labels into one entry", e.Directory)
		}
		seen[e.Directory] = true
	}
	for _, e := range entries {
		// Kratix lets ".." and "/" through and then packs folders that are not
		// the pipeline's.
		if e.Directory != path.Base(e.Directory) || e.Directory == ".." || e.Directory == "/" {
			return nil, fmt.Errorf("destination-selectors.yaml: %q is not a directory directly in the output: nested directories cannot be selected", e.Directory)
		}
	}
	return entries, nil
}

// pack returns the workloads of a directory, files in the order of their names,
// without the named directories directly in it.
func pack(output fs.FS, directory string, without map[string]bool) ([]any, error) {
	var workloads []any
	err := fs.WalkDir(output, directory, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && without[name]:
			return fs.SkipDir
		case entry.IsDir():
			return nil
		case name == directory:
			return fmt.Errorf("%s is a file", name)
		}
		data, err := fs.ReadFile(output, name)
		if err != nil {
			return err
		}
		workloads = append(workloads, map[string]any{"filepath": name, "content": kratix.Compress(data)})
		return nil
	})
	return workloads, err
}

func group(directory string, workloads, selectors []any) map[string]any {
	g := map[string]any{"directory": directory, "id": hash(directory)}
	if len(workloads) > 0 {
		g["workloads"] = workloads
	}
	if len(selectors) > 0 {
		g["destinationSelectors"] = selectors
	}
	return g
}

func scheduling(matchLabels map[string]string, source string) any {
	labels := map[string]any{}
	for k, v := range matchLabels {
		labels[k] = v
	}
	return map[string]any{"matchLabels": labels, "source": source}
}

// squash merges the Promise's selectors; the first one to set a label wins.
func squash(selectors []map[string]string) map[string]string {
	labels := map[string]string{}
	for _, s := range selectors {
		for k, v := range s {
			if _, set := labels[k]; !set {
				labels[k] = v
			}
		}
	}
	return labels
}

// objectName shortens a name and ends it in five digits of its hash.
func objectName(name string) string {
	suffix := hash(name)[:5]
	if len(name) > 57 { // 63 without the suffix and its dash; Kratix then cuts one more
		name = name[:56]
	}
	name = strings.TrimRightFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
	return name + "-" + suffix
}

func hash(s string) string {
	sum := md5.Sum([]byte(s)) // a name, not a protection
	return hex.EncodeToString(sum[:])
}
