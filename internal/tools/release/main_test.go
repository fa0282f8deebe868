package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func promise(name, image string) string {
	pipeline := "[{kind: Pipeline, spec: {containers: [{name: a, image: " + image + "}]}}]"
	return "# Made by hand.\nkind: Promise\nmetadata: {name: " + name + "}\nspec: {api: {image: " + image + "}, workflows: {resource: {configure: " + pipeline + ", delete: " + pipeline + "}}}\n"
}

// What one applies is, for each Promise, one file with the namespaces that it needs
// and the image of one registry, by digest where that is known; and the guard.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "promises/a/promise.yaml"), promise("a", "ghcr.io/x/a:v0.1.0"))
	write(t, filepath.Join(dir, "promises/b/promise.yaml"), promise("b", "ghcr.io/x/b:v0.1.0"))
	write(t, filepath.Join(dir, "promises/guard.yaml"), "# The guard.\n---\nkind: Guard\n")
	write(t, filepath.Join(dir, "digests.json"), `{"b": "`+digest+`", "baleen": "`+digest+`"}`)
	r := release{registry: "localhost:5000/team/", tag: "v1.2.3", promises: filepath.Join(dir, "promises"), out: filepath.Join(dir, "dist/promises")}
	if err := r.readDigests(filepath.Join(dir, "digests.json")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 3 {
		t.Errorf("printed %s", out.String())
	}
	for name, image := range map[string]string{"a": "localhost:5000/team/a:v1.2.3", "b": "localhost:5000/team/b@" + digest} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(r.out, name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			documents := strings.Split(string(data), "---\n")
			if len(documents) != 4 || !strings.Contains(documents[0], "kubectl delete promise "+name+"\n") {
				t.Fatalf("%s", data)
			}
			for i, want := range []string{"Namespace baleen-system", "Namespace baleen-state", "Promise " + name} {
				var object struct {
					Kind     string
					Metadata struct{ Name string }
				}
				if err := yaml.Unmarshal([]byte(documents[i+1]), &object); err != nil || object.Kind+" "+object.Metadata.Name != want {
					t.Errorf("document %d is %v (%v), want %s", i+1, object, err, want)
				}
			}
			if n := strings.Count(documents[3], "- image: "+image+"\n"); n != 2 {
				t.Errorf("%d containers of %s have the image %s:\n%s", n, name, image, documents[3])
			}
			if strings.Count(documents[3], "image: ghcr.io") != 1 {
				t.Errorf("more than containers was changed:\n%s", documents[3])
			}
		})
	}
	guard, err := os.ReadFile(filepath.Join(r.out, "guard.yaml"))
	if err != nil || !strings.HasPrefix(string(guard), guardHeader) || !strings.HasSuffix(string(guard), "# The guard.\n---\nkind: Guard\n") {
		t.Errorf("guard.yaml is %s (%v)", guard, err)
	}
}

// A name that no registry takes, a Promise in another's folder, a container with
// another's image and digests that cannot be read are refused.
func TestReleaseRefuses(t *testing.T) {
	for _, test := range []struct{ name, registry, tag, promise, want string }{
		{"a URL", "https://ghcr.io/x", "v1", promise("a", "x/a:1"), "is not a registry"},
		{"a registry with a space", "ghcr.io/x y", "v1", promise("a", "x/a:1"), "is not a registry"},
		{"no tag", "ghcr.io/x", "", promise("a", "x/a:1"), "is not a tag"},
		{"another name", "ghcr.io/x", "v1", promise("b", "x/b:1"), `the Promise "b"`},
		{"another image", "ghcr.io/x", "v1", promise("a", "x/ab:1"), `the image "x/ab:1"`},
		{"no pipeline", "ghcr.io/x", "v1", "metadata: {name: a}\n", "no container"},
		{"no YAML", "ghcr.io/x", "v1", "a: [", "promise.yaml: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a/promise.yaml"), test.promise)
			r := release{registry: test.registry, tag: test.tag, promises: dir, out: filepath.Join(dir, "dist")}
			if err := r.write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	r := release{registry: "ghcr.io/x", tag: "v1", promises: t.TempDir(), out: t.TempDir()}
	if err := r.write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "has no Promises") {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "digests.json")
	if err := r.readDigests(file); err != nil {
		t.Errorf("digests that are not there: %v", err)
	}
	for _, content := range []string{"", "[]", `{"a": "v1"}`} {
		write(t, file, content)
		if err := r.readDigests(file); err == nil || !strings.Contains(err.Error(), "make the images again") {
			t.Errorf("%s: %v", content, err)
		}
	}
}
