package simulator

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/syntasso/kratix/lib/compression"
	kratixhash "github.com/syntasso/kratix/lib/hash"
	"github.com/syntasso/kratix/lib/objectutil"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares an object with a file.
func golden(t *testing.T, name string, object any) {
	t.Helper()
	got, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name)
	want, err := os.ReadFile(file)
	switch {
	case err == nil && bytes.Equal(got, want):
	case *update:
		fmt.Fprintf(os.Stderr, "golden file changed: %s\n", file)
		err = os.WriteFile(file, got, 0o644)
	default:
		t.Errorf("differs from %s (-update writes it):\n%s", file, got)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readable replaces the content of workloads by what it holds.
func readable(t *testing.T, value any) any {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for k, v := range value {
			value[k] = readable(t, v)
			if content, ok := v.(string); ok && k == "content" {
				data, err := compression.DecompressContent([]byte(content))
				if err != nil {
					t.Fatal(err)
				}
				value[k] = string(data)
			}
		}
	case []any:
		for i, v := range value {
			value[i] = readable(t, v)
		}
	}
	return value
}

var orders = kratix.Owner{Promise: "api-aggregator-target", Namespace: "team-a", Resource: "orders", Pipeline: "configure"}

func files(content map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, data := range content {
		m[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return m
}

func TestPack(t *testing.T) {
	output := files(map[string]string{
		"eu-1/route.yaml":     "kind: HTTPRoute\n",
		"eu-1/deep/more.yaml": "",
		"us-1/route.yaml":     "kind: HTTPRoute\n",
		"z.yaml":              "kind: ConfigMap\n",
		"a/b.yaml":            "kind: Secret\n",
		"a/eu-1/c.yaml":       "kind: Secret\n",
	})
	selectors := []byte(`
- {directory: us-1/, matchLabels: {baleen.dev/destination: us-1}}
- {matchLabels: {env: dev, zone: a}}
- {directory: ./eu-1, matchLabels: {baleen.dev/destination: eu-1}}
`)
	promise := []map[string]string{{"env": "prod"}, {"env": "test", "tier": "1"}}
	for name, test := range map[string]struct {
		output    fstest.MapFS
		selectors []byte
		promise   []map[string]string
	}{
		"work.yaml":           {output, selectors, promise},
		"work-plain.yaml":     {output, nil, nil},
		"work-empty.yaml":     {files(nil), []byte("- {matchLabels: {env: prod}}"), promise},
		"work-selectors.yaml": {files(map[string]string{"a.yaml": ""}), []byte("[]"), promise},
	} {
		t.Run(name, func(t *testing.T) {
			work, err := Pack(orders, test.output, test.selectors, test.promise)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Pack(orders, test.output, test.selectors, test.promise)
			if err != nil {
				t.Fatal(err)
			}
			first, _ := work.MarshalJSON()
			second, _ := again.MarshalJSON()
			if !bytes.Equal(first, second) {
				t.Error("equal output gives different Works")
			}
			unpacked, err := kratix.Unpack(work)
			if err != nil {
				t.Fatal(err)
			}
			if len(unpacked) != len(test.output) {
				t.Errorf("unpacked %d files of %d", len(unpacked), len(test.output))
			}
			for name, file := range test.output {
				if !bytes.Equal(unpacked[name], file.Data) {
					t.Errorf("%s: unpacked %q, want %q", name, unpacked[name], file.Data)
				}
			}
			golden(t, name, readable(t, work.DeepCopy().Object))
		})
	}
}

// Selectors by which Kratix would fail, or place something else, are refused.
func TestPackRefuses(t *testing.T) {
	output := files(map[string]string{"eu-1/a.yaml": "", "file.yaml": ""})
	for selectors, want := range map[string]string{
		"- {directory: eu-1}": "entry 0 has no matchLabels",
		"- {directory: eu-1, matchLabels: {a: b}}\n- {directory: eu-1/, matchLabels: {a: c}}": `the directory "eu-1" twice`,
		"- {matchLabels: {a: b}}\n- {directory: ., matchLabels: {a: c}}":                      `the directory "." twice`,
		"- {directory: eu-1/deep, matchLabels: {a: b}}":                                       "nested directories cannot be selected",
		"- {directory: .., matchLabels: {a: b}}":                                              "not a directory directly in the output",
		"- {directory: /, matchLabels: {a: b}}":                                               "not a directory directly in the output",
		"- {directory: us-1, matchLabels: {a: b}}":                                            `selects the directory "us-1", which cannot be read`,
		"- {directory: file.yaml, matchLabels: {a: b}}":                                       "is a file",
		"directory: eu-1": "is not a list",
		"- {directory: eu-1, matchLabels: {a: [b]}}":                                                 "is not a list",
		"- {directory: a/b}\n- {directory: x, matchLabels: {a: b}}":                                  "entry 0 has no matchLabels",
		"- {directory: a/b, matchLabels: {a: b}}\n- {directory: a/b, matchLabels: {a: b}}":           "twice",
		"- {directory: eu-1, matchLabels: {a: b}}\n- {directory: eu-1/../us-1, matchLabels: {a: b}}": `"us-1"`,
	} {
		t.Run(want+" for "+selectors, func(t *testing.T) {
			_, err := Pack(orders, output, []byte(selectors), nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", selectors, err, want)
			}
		})
	}
}

// What Kratix computes is computed here in the same way.
func TestLikeKratix(t *testing.T) {
	for _, text := range []string{"", "kind: ConfigMap\n", strings.Repeat("long ", 1e5)} {
		theirs, err := compression.CompressContent([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if kratix.Compress([]byte(text)) != string(theirs) {
			t.Errorf("%.20q is compressed differently", text)
		}
		mine, err := compression.DecompressContent([]byte(kratix.Compress([]byte(text))))
		if err != nil || string(mine) != text {
			t.Errorf("Kratix reads %.20q, %v", mine, err)
		}
		if hash(text) != kratixhash.ComputeHash(text) {
			t.Errorf("%.20q has another hash", text)
		}
	}
	for n := 50; n < 70; n++ {
		for _, name := range []string{strings.Repeat("a", n), strings.Repeat("a", n-3) + "-.-", strings.Repeat("a-", n/2) + "b"} {
			if got, want := objectName(name), objectutil.GenerateDeterministicObjectName(name); got != want || len(got) > 63 {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
}
