package promises

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write docs/reference/fields.md anew")

const fields = "../docs/reference/fields.md"

// The reference of the fields is what the CRDs say.
func TestReference(t *testing.T) {
	var text strings.Builder
	text.WriteString("# Fields\n\nWhat the CRDs say. Generated: do not edit it, run `go test ./promises -run TestReference -update`.\n")
	for _, p := range All() {
		name := p.Name
		var promise struct {
			Spec struct {
				API apiextensions.CustomResourceDefinition `json:"api"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(read(t, name+"/promise.yaml")), &promise); err != nil {
			t.Fatal(err)
		}
		api := promise.Spec.API.Spec
		version := api.Versions[0]
		root := version.Schema.OpenAPIV3Schema
		fmt.Fprintf(&text, "\n## %s\n\n`%s/%s`, [%s](../../promises/%s/README.md). %s\n", api.Names.Kind, api.Group, version.Name, name, name, sentence(root.Description))
		for _, part := range []string{"spec", "status"} {
			schema := root.Properties[part]
			fmt.Fprintf(&text, "\n| Field | Type | Meaning |\n|---|---|---|\n")
			tabulate(&text, part, schema)
		}
	}
	got := text.String()
	if *update {
		if err := os.WriteFile(fields, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Println("changed: docs/reference/fields.md")
	}
	if read(t, fields) != got {
		t.Error("docs/reference/fields.md is not what the CRDs say: run go test ./promises -run TestReference -update")
	}
}

// tabulate writes a row for each field below a path, in the order of the alphabet.
func tabulate(text *strings.Builder, path string, schema apiextensions.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		field, at, form := schema.Properties[name], path+"."+name, ""
		meaning := sentence(field.Description)
		for field.Type == "array" {
			at, form, field = at+"[]", form+"list of ", *field.Items.Schema
		}
		if values := field.AdditionalProperties; values != nil && values.Schema != nil {
			form, field = form+"map to ", *values.Schema
		}
		if form += field.Type; field.XIntOrString {
			form += "integer or string"
		}
		if slices.Contains(schema.Required, name) {
			form += ", required"
		}
		fmt.Fprintf(text, "| `%s` | %s | %s |\n", at, form, strings.TrimSpace(meaning+" "+limits(schema.Properties[name], field)))
		tabulate(text, at, field)
	}
}

// limits says what a field allows and what it is when it is left out.
func limits(outer, field apiextensions.JSONSchemaProps) string {
	var all []string
	if outer.Default != nil {
		all = append(all, fmt.Sprintf("Default: `%s`.", outer.Default.Raw))
	}
	if len(field.Enum) > 0 {
		var values []string
		for _, v := range field.Enum {
			values = append(values, "`"+strings.Trim(string(v.Raw), `"`)+"`")
		}
		all = append(all, "One of "+strings.Join(values, ", ")+".")
	}
	if outer.MaxItems != nil {
		all = append(all, fmt.Sprintf("At most %d.", *outer.MaxItems))
	}
	if field.MaxLength != nil {
		all = append(all, fmt.Sprintf("At most %d characters.", *field.MaxLength))
	}
	return strings.Join(all, " ")
}

// sentence is a description on one line, as a cell of a table.
func sentence(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
