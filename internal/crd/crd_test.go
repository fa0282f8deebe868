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
