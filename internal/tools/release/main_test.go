package main

import (
	"bytes"
	"errors"
	"io/fs"
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
	write(t, filepath.Join(dir, "pushed.json"), `{"registry": "localhost:5000/team", "tag": "v1.2.3", "digests": {"b": "`+digest+`", "baleen": "`+digest+`"}}`)
	write(t, filepath.Join(dir, "dist/promises/gone.yaml"), "of an earlier release")
	r := release{registry: "localhost:5000/team/", tag: "v1.2.3", promises: filepath.Join(dir, "promises"), out: filepath.Join(dir, "dist/promises")}
	var out, notes bytes.Buffer
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	if err := r.readPushed(filepath.Join(dir, "pushed.json"), &notes); err != nil || notes.Len() > 0 {
		t.Fatalf("%v: %s", err, notes.String())
	}
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
			if len(documents) != 5 || !strings.Contains(documents[0], "kubectl delete promise "+name+"\n") {
				t.Fatalf("%s", data)
			}
			for i, want := range []string{"Namespace baleen-system", "Namespace baleen-state", "Namespace baleen-operator", "Promise " + name} {
				var object struct {
					Kind     string
					Metadata struct{ Name string }
				}
				if err := yaml.Unmarshal([]byte(documents[i+1]), &object); err != nil || object.Kind+" "+object.Metadata.Name != want {
					t.Errorf("document %d is %v (%v), want %s", i+1, object, err, want)
				}
			}
			if n := strings.Count(documents[4], "- image: "+image+"\n"); n != 2 {
				t.Errorf("%d containers of %s have the image %s:\n%s", n, name, image, documents[4])
			}
			if !strings.Contains(documents[4], "kratix.io/promise-version: v1.2.3\n") {
				t.Errorf("it does not say its version:\n%s", documents[4])
			}
			if strings.Count(documents[4], "image: ghcr.io") != 1 {
				t.Errorf("more than containers was changed:\n%s", documents[4])
			}
		})
	}
	if _, err := os.Stat(filepath.Join(r.out, "gone.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a Promise of an earlier release is still there (%v)", err)
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
			write(t, filepath.Join(r.out, "a.yaml"), "of an earlier release")
			write(t, filepath.Join(r.out, "gone.yaml"), "of an earlier release")
			if err := r.write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			for _, name := range []string{"a.yaml", "gone.yaml"} {
				if data, err := os.ReadFile(filepath.Join(r.out, name)); err != nil || string(data) != "of an earlier release" {
					t.Errorf("%s was changed: %s (%v)", name, data, err)
				}
			}
		})
	}
	r := release{registry: "ghcr.io/x", tag: "v1", promises: t.TempDir(), out: t.TempDir()}
	if err := r.write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "has no Promises") {
		t.Error(err)
	}
}

// Digests are used where those images were pushed, and nowhere else.
func TestReadPushed(t *testing.T) {
	const pushed = `{"registry": "ghcr.io/x", "tag": "v1.2.3", "digests": {"a": "` + digest + `"}}`
	for _, test := range []struct{ name, content, registry, tag, image, note, fails string }{
		{"pushed there", pushed, "ghcr.io/x/", "v1.2.3", "ghcr.io/x/a@" + digest, "", ""},
		{"another registry", pushed, "localhost:5000/x", "v1.2.3", "localhost:5000/x/a:v1.2.3", "were pushed to ghcr.io/x with the tag v1.2.3", ""},
		{"another tag", pushed, "ghcr.io/x", "v1.2.4", "ghcr.io/x/a:v1.2.4", "were pushed to ghcr.io/x with the tag v1.2.3", ""},
		{"nothing pushed", "-", "ghcr.io/x", "v1.2.3", "ghcr.io/x/a:v1.2.3", "", ""},
		{"an empty file", "", "ghcr.io/x", "v1.2.3", "", "", "make the images again"},
		{"another form", "[]", "ghcr.io/x", "v1.2.3", "", "", "make the images again"},
		{"no digest", `{"digests": {"a": "v1"}}`, "ghcr.io/x", "v1.2.3", "", "", "make the images again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pushed.json")
			if test.content != "-" {
				write(t, file, test.content)
			}
			r := release{registry: test.registry, tag: test.tag}
			if err := r.check(); err != nil {
				t.Fatal(err)
			}
			var notes bytes.Buffer
			err := r.readPushed(file, &notes)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("%v, want %q", err, test.fails)
				}
				return
			}
			if err != nil || r.image("a") != test.image {
				t.Errorf("the image is %s (%v), want %s", r.image("a"), err, test.image)
			}
			if !strings.Contains(notes.String(), test.note) || (test.note == "") != (notes.Len() == 0) {
				t.Errorf("it says %q, want %q", notes.String(), test.note)
			}
		})
	}
}
