package main

import (
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

// What `make generate` makes of the bases and the Go types is what the Promises and
// their READMEs say. All of it is outside of this module, where go test does not see
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
	bases, err := filepath.Glob(filepath.Join(root, "promises", "*", "promise.base.yaml"))
	if err != nil || len(bases) == 0 {
		t.Fatalf("there are no Promises: %v", err)
	}
	for _, base := range bases {
		folder := filepath.Dir(base)
		name := filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			again := t.TempDir()
			for _, file := range []string{"promise.base.yaml", "README.md"} {
				write(t, again, file, contents(t, folder, file))
			}
			// api-aggregator is of the kind apiaggregators.
			crd := "baleen.dev_" + strings.ReplaceAll(name, "-", "") + "s.yaml"
			if err := generate(again, filepath.Join(crds, crd)); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"promise.yaml", "README.md"} {
				if contents(t, again, file) != contents(t, folder, file) {
					t.Errorf("%s is not what is generated: run `make generate`", filepath.Join("promises", name, file))
				}
			}
		})
	}
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
