package crd

import (
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	promise := func(schema string) []byte {
		return []byte("spec: {api: {spec: {versions: [{name: v1, schema: {openAPIV3Schema: " + schema + "}}]}}}")
	}
	for _, test := range []struct{ name, schema, version, want string }{
		{"known keywords", "{type: object, properties: {a: {type: string, maxLength: 3}}}", "v1", ""},
		{"a keyword that is not read", "{type: object, anyOf: []}", "v1", `unknown field "anyOf"`},
		{"a version that is not served", "{type: object}", "v2", "does not serve the version v2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(promise(test.schema), test.version)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A rule that is a pattern is checked as one, and says what its message says.
func TestRulesThatArePatterns(t *testing.T) {
	for _, test := range []struct{ name, schema, text, want string }{
		{"single quotes", "{type: string, x-kubernetes-validations: [{rule: \"self.matches(r'^[a\\\\.]+$')\", message: is not one}]}", "b", `"b" is not one`},
		{"double quotes", "{type: string, x-kubernetes-validations: [{rule: 'self.matches(r\"^a+$\")', message: is not one}]}", "b", `"b" is not one`},
		{"a match", "{type: string, x-kubernetes-validations: [{rule: \"self.matches(r'^[a\\\\.]+$')\", message: is not one}]}", "a.a", ""},
		{"after another rule", "{type: string, x-kubernetes-validations: [{rule: self != 'x'}, {rule: \"self.matches(r'^a$')\", message: is not one}]}", "b", `"b" is not one`},
		{"a rule with more in it", "{type: string, x-kubernetes-validations: [{rule: \"self.matches(r'^a$') || self.matches(r'^b$')\", message: is not one}]}", "c", ""},
		{"a negation", "{type: string, x-kubernetes-validations: [{rule: \"!self.matches(r'^a$')\", message: is not one}]}", "c", ""},
		{"a text that is not raw", "{type: string, x-kubernetes-validations: [{rule: \"self.matches('^a$')\", message: is not one}]}", "c", ""},
		{"a pattern", "{type: string, pattern: '^a$'}", "b", `"b" is not right: it must match ^a$`},
		{"a hint", "{type: string, x-kubernetes-validations: [{rule: \"self.matches(r'^[a-z]+$')\", message: is not one}]}", "Abc", `"Abc" is not right: write it in lower case, abc`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Load([]byte("spec: {api: {spec: {versions: [{name: v1, schema: {openAPIV3Schema: {type: object, properties: {a: "+test.schema+"}}}}]}}}"), "v1")
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, p := range s.Check(map[string]any{"a": test.text}) {
				got += p.Message
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
