package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const (
	begin = "<!-- fields: made by `make generate` -->\n"
	end   = "<!-- end of fields -->\n"
)

// document writes the table of the CRD's fields into a README, between its marks.
func document(readme string, crd map[string]any) error {
	data, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the table: %s%s", readme, begin, end)
	}
	version := at(crd, "spec", "versions").([]any)[0].(map[string]any)
	schema := at(version, "schema", "openAPIV3Schema", "properties", "spec").(map[string]any)
	var table strings.Builder
	table.WriteString("| Field of `spec` | Type | Default | Meaning |\n|---|---|---|---|\n")
	rows(&table, "", schema)
	return os.WriteFile(readme, []byte(before+begin+table.String()+end+after), 0o644)
}

// rows writes a row for each property, and below it those of its own.
func rows(table *strings.Builder, prefix string, schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property := properties[name].(map[string]any)
		inner, kind := property, fmt.Sprint(property["type"])
		path := prefix + name
		if items, ok := property["items"].(map[string]any); ok {
			inner, kind = items, fmt.Sprintf("list of %v", items["type"])
			path += "[]"
		}
		if values, ok := inner["enum"].([]any); ok {
			var words []string
			for _, v := range values {
				words = append(words, fmt.Sprint(v))
			}
			kind = strings.Join(words, ", ")
		}
		value := ""
		if v, ok := property["default"]; ok {
			value = fmt.Sprintf("`%v`", v)
		}
		if slices.Contains(required, any(name)) {
			value = "**required**"
		}
		// A description's first paragraphs are words, what follows are rules of the
		// standard that is described.
		text := strings.Join(strings.Fields(fmt.Sprint(property["description"])), " ")
		fmt.Fprintf(table, "| `%s` | %s | %s | %s |\n", path, kind, value, strings.ReplaceAll(text, "|", "\\|"))
		if name != "selector" { // Kubernetes' own type, which its users know
			rows(table, path+".", inner)
		}
	}
}

func at(object map[string]any, path ...string) any {
	var v any = object
	for _, key := range path {
		v = v.(map[string]any)[key]
	}
	return v
}
