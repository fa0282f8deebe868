package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Promise is its base with the generated CRD as its API, less what only an API
// server writes; its README has the table of the API's fields between two marks.
func TestGenerate(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "crd.yaml", `kind: CustomResourceDefinition
metadata: {name: as, creationTimestamp: null}
spec:
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        properties:
          spec:
            required: [size]
            properties:
              size: {type: integer, description: "How large\nit is, a|b."}
              colour: {type: string, enum: [red, blue], default: red, description: Its colour.}
              parts:
                type: array
                description: What it is made of.
                items: {type: object, properties: {name: {type: string, description: A name.}}}
              selector: {type: object, description: Which, properties: {matchLabels: {type: object}}}
status: {storedVersions: []}
`)
	write(t, folder, "promise.base.yaml", "# A comment.\nkind: Promise\nspec:\n  api: {}\n  containers: &c [{name: a}]\n  more: *c\n")
	write(t, folder, "README.md", "# A\n"+begin+"old\n"+end+"the end\n")
	if err := generate(folder, filepath.Join(folder, "crd.yaml")); err != nil {
		t.Fatal(err)
	}
	promise := contents(t, folder, "promise.yaml")
	if want := notice + "kind: Promise\nspec:\n  api:\n    kind: CustomResourceDefinition\n    metadata:\n      name: as\n    spec:\n"; !strings.HasPrefix(promise, want) {
		t.Errorf("promise.yaml is\n%s\nand does not begin with\n%s", promise, want)
	}
	if want := "  containers:\n  - name: a\n  more:\n  - name: a\n"; !strings.HasSuffix(promise, want) || strings.Contains(promise, "status") {
		t.Errorf("promise.yaml is\n%s\nand does not end with\n%s", promise, want)
	}
	want := "# A\n" + begin + "| Field of `spec` | Type | Default | Meaning |\n|---|---|---|---|\n" +
		"| `colour` | red, blue | `red` | Its colour. |\n" +
		"| `parts[]` | list of object |  | What it is made of. |\n" +
		"| `parts[].name` | string |  | A name. |\n" +
		"| `selector` | object |  | Which |\n" +
		"| `size` | integer | **required** | How large it is, a\\|b. |\n" +
		end + "the end\n"
	if readme := contents(t, folder, "README.md"); readme != want {
		t.Errorf("README.md is\n%s\nnot\n%s", readme, want)
	}
}

// A README without both marks is refused, rather than left as it is.
func TestGenerateRefuses(t *testing.T) {
	const crd = "metadata: {name: as}\nspec: {versions: [{schema: {openAPIV3Schema: {properties: {spec: {}}}}}]}\n"
	for _, test := range []struct{ name, crd, readme, want string }{
		{"no mark", crd, "# A\n", "has no place for the table"},
		{"no second mark", crd, "# A\n" + begin, "has no place for the table"},
		{"no YAML", "a: [", begin + end, "yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, "crd.yaml", test.crd)
			write(t, folder, "promise.base.yaml", "kind: Promise\nspec: {}\n")
			write(t, folder, "README.md", test.readme)
			if err := generate(folder, filepath.Join(folder, "crd.yaml")); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// What `make generate` makes of the bases and the Go types is what the Promises, their
// READMEs and the guard say. All of it is outside of this module, where go test does not see
// that a file has changed: run it with -count=1, as `make test` does.
func TestGenerated(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	crds := t.TempDir()
	generator := exec.Command("go", "tool", "-modfile=internal/tools/go.mod", "controller-gen", "crd", "paths=./promises/...", "output:crd:dir="+crds)
	generator.Dir = root
	if out, err := generator.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	promises, again := filepath.Join(root, "promises"), t.TempDir()
	var made []string
	for _, pattern := range []string{"*/promise.base.yaml", "*/promise.yaml", "*/README.md", "guard.yaml"} {
		files, err := filepath.Glob(filepath.Join(promises, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("there is no %s: %v", pattern, err)
		}
		for _, file := range files {
			name, err := filepath.Rel(promises, file)
			if err == nil {
				err = os.MkdirAll(filepath.Join(again, filepath.Dir(name)), 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
			write(t, again, name, contents(t, promises, name))
			made = append(made, name)
		}
	}
	if err := generateAll(crds, again); err != nil {
		t.Fatal(err)
	}
	for _, name := range made {
		t.Run(name, func(t *testing.T) {
			if contents(t, again, name) != contents(t, promises, name) {
				t.Errorf("%s is not what is generated: run `make generate`", filepath.Join("promises", name))
			}
		})
	}
}

// All folders with a base are Promises, and the guard names each of them.
func TestGenerateAll(t *testing.T) {
	const (
		crd   = "metadata: {name: %s}\nspec: {names: {singular: %[1]s}, versions: [{schema: {openAPIV3Schema: {properties: {spec: {}}}}}]}\n"
		rules = "a: matches('^(%s)-resource-(configure|delete)-')\nb: matches('^kratix-(%[1]s)-')\nc: matches('^(a)$')\nd: matches('^system:serviceaccount:[^:]*:(%[1]s)-resource-')\n"
	)
	crds, promises := t.TempDir(), t.TempDir()
	write(t, crds, "1.yaml", fmt.Sprintf(crd, "redis"))
	write(t, crds, "2.yaml", fmt.Sprintf(crd, "apiaggregator"))
	for _, name := range []string{"api-aggregator", "redis", "testdata"} {
		if err := os.Mkdir(filepath.Join(promises, name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(promises, name), "README.md", begin+end)
		if name != "testdata" {
			write(t, filepath.Join(promises, name), "promise.base.yaml", "kind: Promise\nspec: {}\n")
		}
	}
	for _, test := range []struct{ name, guard, want string }{
		{"a Promise more", fmt.Sprintf(rules, "api-aggregator"), fmt.Sprintf(rules, "api-aggregator|redis")},
		{"a Promise less", fmt.Sprintf(rules, "api-aggregator|nats-user|redis"), fmt.Sprintf(rules, "api-aggregator|redis")},
	} {
		t.Run(test.name, func(t *testing.T) {
			write(t, promises, "guard.yaml", test.guard)
			if err := generateAll(crds, promises); err != nil {
				t.Fatal(err)
			}
			if is := contents(t, promises, "guard.yaml"); is != test.want {
				t.Errorf("guard.yaml is\n%s\nnot\n%s", is, test.want)
			}
			for name, crd := range map[string]string{"api-aggregator": "name: apiaggregator\n", "redis": "name: redis\n"} {
				if is := contents(t, promises, name+"/promise.yaml"); !strings.Contains(is, crd) {
					t.Errorf("the Promise %s is\n%s\nwithout %s", name, is, crd)
				}
			}
		})
	}

	refuses := func(promises, want string) {
		t.Helper()
		if err := generateAll(crds, promises); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	write(t, promises, "guard.yaml", "a: matches('^.*')\n")
	refuses(promises, "has no regular expression that names the Promises: write one as ^(api-aggregator|redis)-")
	if err := os.Remove(filepath.Join(crds, "2.yaml")); err != nil {
		t.Fatal(err)
	}
	refuses(promises, "api-aggregator: there is no kind whose name in lower case is apiaggregator")
	refuses(crds, "has no Promises")
}

func write(t *testing.T, folder, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, folder, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
