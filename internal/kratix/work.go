package kratix

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Unpack returns the files that a Work holds, by their path in the output
// folder that it was made of.
func Unpack(work *unstructured.Unstructured) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, g := range WorkloadGroups(work) {
		if err := UnpackWorkloads(g["workloads"], files); err != nil {
			return nil, fmt.Errorf("the Work %s/%s is damaged: %w", work.GetNamespace(), work.GetName(), err)
		}
	}
	return files, nil
}

// WorkloadGroups returns the groups of a Work, each of which Kratix places by itself.
func WorkloadGroups(work *unstructured.Unstructured) []map[string]any {
	list, _, _ := unstructured.NestedFieldNoCopy(work.Object, "spec", "workloadGroups")
	items, _ := list.([]any)
	groups := make([]map[string]any, 0, len(items))
	for _, item := range items {
		if g, ok := item.(map[string]any); ok {
			groups = append(groups, g)
		}
	}
	return groups
}

// UnpackWorkloads adds to files those of a list of workloads, as a group of a Work
// and a WorkPlacement have it.
func UnpackWorkloads(workloads any, files map[string][]byte) error {
	list, _ := workloads.([]any)
	for _, w := range list {
		workload, _ := w.(map[string]any)
		name, _ := workload["filepath"].(string)
		content, _ := workload["content"].(string)
		data, err := decompress(content)
		if err != nil {
			return fmt.Errorf("the content of %q is not base64 of gzip: %w", name, err)
		}
		files[name] = data
	}
	return nil
}

// MaxWork is how large a Work may be, in bytes. All that a request delivers is one Work, and
// etcd takes no more than 1.5 MiB at once by default, of which an API server needs some.
const MaxWork = 1400 << 10

// MaxOf is how large the Work may be that comes after an output: what Kratix keeps it can
// keep again.
func MaxOf(last map[string]map[string][]byte) int { return max(MaxWork, WorkSize(last)) }

// WorkSize is how large the Work of an output is, by directory and name of the file, in
// bytes, with room for what is around the content.
func WorkSize(output map[string]map[string][]byte) int {
	size := 1 << 10
	for directory, files := range output {
		size += 512
		for name, data := range files {
			size += 64 + len(directory) + len(name) + len(Compress(data))
		}
	}
	return size
}

// compressors are used again, because a new one takes a megabyte.
var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Compress makes content of a file, as a Work has it. It is deterministic: the header
// carries no time and no name.
func Compress(data []byte) string {
	var b bytes.Buffer
	encoder := base64.NewEncoder(base64.StdEncoding, &b)
	zip, _ := compressors.Get().(*gzip.Writer)
	defer compressors.Put(zip)
	zip.Reset(encoder)
	// Writing to memory does not fail.
	_, _ = zip.Write(data)
	_ = zip.Close()
	_ = encoder.Close()
	return b.String()
}

func decompress(content string) ([]byte, error) {
	zip, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(content)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zip)
}
