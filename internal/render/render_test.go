package render

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

const schema = `#@data/values-schema
---
name: ""
values:
  - ""
`

const configMap = `#@ load("@ytt:data", "data")
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: #@ data.values.name
  namespace: team-a
data:
  #@ for i in range(len(data.values.values)):
  #@yaml/text-templated-strings
  (@= "k{}".format(i) @): #@ data.values.values[i]
  #@ end
`

var templates = fstest.MapFS{
	"schema.yaml":    {Data: []byte(schema)},
	"configmap.yaml": {Data: []byte(configMap)},
}

func renderWith(t *testing.T, overlays map[string]string, values ...string) ([]Document, error) {
	t.Helper()
	r, err := New(templates, overlays)
	if err != nil {
		t.Fatal(err)
	}
	return r.Render(map[string]any{"name": "x", "values": values})
}

// Several may render at the same time. What would go wrong is for make race to see:
// ytt has variables that all evaluations share.
func TestSideBySide(t *testing.T) {
	var wait sync.WaitGroup
	for _, overlays := range []map[string]string{nil, nil, {"a.yaml": ""}, {"a.yaml": ""}} {
		wait.Go(func() {
			documents, err := renderWith(t, overlays, "v")
			if err != nil || len(documents) != 1 {
				t.Errorf("%d documents, %v", len(documents), err)
			}
		})
	}
	wait.Wait()
}

// A value comes out as the string that it was, whatever YAML would make of it.
func FuzzValues(f *testing.F) {
	for _, s := range []string{
		"plain", "", "yes", "no", "on", "~", "null", "0o7", "017", "1e3", ".5", "1_000", "0x1F", "2024-01-01", "12:30:45",
		"a\n---\nkind: ClusterRoleBinding", "&a b", "*a", "!!binary aGk=", "!tag x", "#@ fail()", "(@= 1 @)", "{{ x }}",
		"- a", "a: b", "a #b", "'", `"`, "`", "@x", "%TAG", "|", ">", "\ttab", "trailing ", " leading", "line\n", "\n\n", "é", "🐳",
		"=", "<<", "? a", "[1]", "{a: 1}", strings.Repeat("long ", 300),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return // JSON cannot hold it, so that no request has it
		}
		documents, err := renderWith(t, nil, s)
		if err != nil {
			if strings.Contains(err.Error(), "control character") {
				return
			}
			t.Fatalf("%q: %v", s, err)
		}
		var object struct{ Data map[string]string }
		if err := yaml.Unmarshal(documents[0].YAML, &object); err != nil || len(documents) != 1 {
			t.Fatalf("%q became %d documents, %s: %v", s, len(documents), documents[0].YAML, err)
		}
		if got := object.Data["k0"]; got != s {
			t.Errorf("%q came out as %q in\n%s", s, got, documents[0].YAML)
		}
	})
}

func TestControlCharactersAreRefused(t *testing.T) {
	for _, s := range []string{"a\u0085b", "a\x00b", "a\x1bb", "a\u2028b", "\ufeffa", "a\rb"} {
		if _, err := renderWith(t, nil, s); err == nil || !strings.Contains(err.Error(), "control character") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestOverlayThatYttWouldPassOver(t *testing.T) {
	for _, name := range []string{"a", "a.txt", "yaml"} {
		if _, err := New(templates, map[string]string{name: "x: 1"}); err == nil || !strings.Contains(err.Error(), "rename the key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOverlays(t *testing.T) {
	annotate := `#@ load("@ytt:overlay", "overlay")
#@overlay/match by=overlay.all
---
metadata:
  #@overlay/match missing_ok=True
  annotations:
    #@overlay/match missing_ok=True
    team: platform
`
	for _, c := range []struct{ name, overlay, want, err string }{
		{name: "annotates", overlay: annotate, want: "team: platform"},
		{name: "adds a document", overlay: "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: extra\n", want: "kind: Namespace"},
		{name: "does not parse", overlay: "a: [", err: "overlays of the platform team"},
		{name: "matches nothing", overlay: strings.Replace(annotate, "overlay.all", `overlay.subset({"kind": "Nothing"})`, 1), err: "overlays of the platform team"},
		{name: "renames to a hostile name", overlay: strings.Replace(annotate, "team: platform", "t: t\n  name: ../../etc", 1), err: "metadata.name"},
		{name: "not an object", overlay: "- a\n", err: "not a Kubernetes object"},
		{name: "keys that are no strings", overlay: "1: 2\n", err: "overlays of the platform team"},
		{name: "twice the same", overlay: "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  namespace: team-a\n", err: "twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			documents, err := renderWith(t, map[string]string{"o.yaml": c.overlay}, "v")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want one line with %q", err, c.err)
				}
				return
			}
			var all strings.Builder
			for _, d := range documents {
				all.Write(d.YAML)
			}
			if err != nil || !strings.Contains(all.String(), c.want) {
				t.Errorf("got %s, %v, want %q", all.String(), err, c.want)
			}
		})
	}
}

// Templates without overlays are compiled once; with overlays ytt does it all. Both
// give the same, whatever was rendered before.
func TestCompiledIsTheSame(t *testing.T) {
	const nothing = `#@ load("@ytt:overlay", "overlay")
#@overlay/match by=overlay.subset({"kind": "Nothing"}), expects="0+"
---
`
	compiled, err := New(templates, nil)
	if err != nil {
		t.Fatal(err)
	}
	overlaid, err := New(templates, map[string]string{"nothing.yaml": nothing})
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range []any{
		map[string]any{"name": "x", "values": []string{"a", "yes", "#@ fail()", "a\n---\nb"}},
		map[string]any{"name": "y", "values": []string{}},
		map[string]any{"name": "x"},
		map[string]any{"name": "x", "values": []string{"a"}},
		map[string]any{"name": 7},
		map[string]any{"unknown": "x"},
		map[string]any{},
	} {
		got, err := compiled.Render(values)
		want, wantErr := overlaid.Render(values)
		if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%v:\n%s, %v\nand with an overlay that matches nothing\n%s, %v", values, got, err, want, wantErr)
		}
	}
}
