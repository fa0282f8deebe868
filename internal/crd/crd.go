// Package crd checks objects against the schema of a CustomResourceDefinition, in
// words for people who write YAML by hand. It reads all that the definitions of
// Baleen's Promises use and refuses any other keyword. Of the rules in CEL it knows
// those that are a pattern and nothing else; the others are not checked, because the
// binaries repeat them and CEL alone would weigh more than all the rest of a schema.
// Tests hold it to what an API server does.
package crd

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Schema is the part of an OpenAPI schema that says what a value may be.
type Schema struct {
	Type                 string             `json:"type"`
	Description          string             `json:"description"`
	Properties           map[string]*Schema `json:"properties"`
	AdditionalProperties *Schema            `json:"additionalProperties"`
	Required             []string           `json:"required"`
	Items                *Schema            `json:"items"`
	Enum                 []any              `json:"enum"`
	Pattern              string             `json:"pattern"`
	Format               string             `json:"format"`
	Default              any                `json:"default"`
	Minimum              *float64           `json:"minimum"`
	Maximum              *float64           `json:"maximum"`
	MinLength            *int               `json:"minLength"`
	MaxLength            *int               `json:"maxLength"`
	MinItems             *int               `json:"minItems"`
	MaxItems             *int               `json:"maxItems"`
	MaxProperties        *int               `json:"maxProperties"`
	Rules                []Rule             `json:"x-kubernetes-validations"`
	ListType             string             `json:"x-kubernetes-list-type"`
	ListMapKeys          []string           `json:"x-kubernetes-list-map-keys"`
	MapType              string             `json:"x-kubernetes-map-type"`
	PreserveUnknown      bool               `json:"x-kubernetes-preserve-unknown-fields"`
}

// Rule is a rule in CEL with what is said of a value that breaks it.
type Rule struct {
	Rule      string `json:"rule"`
	Message   string `json:"message"`
	FieldPath string `json:"fieldPath"`
}

// Pattern returns the regular expression that the rule is, if it is one and nothing
// else: the CRDs have each as self.matches of a raw string, because a rule has a
// message and a pattern of OpenAPI has none.
func (r Rule) Pattern() (pattern string, ok bool) {
	for _, quote := range []string{"'", `"`} {
		rest, begins := strings.CutPrefix(r.Rule, "self.matches(r"+quote)
		if pattern, ok = strings.CutSuffix(rest, quote+")"); begins && ok && !strings.Contains(pattern, quote) {
			return pattern, true
		}
	}
	return "", false
}

// pattern returns the pattern of the schema, or else the first rule that is one, and
// what is said of a text that does not match it.
func (s *Schema) pattern() (pattern, message string) {
	if s.Pattern != "" {
		return s.Pattern, "is not right: it must match " + s.Pattern
	}
	for _, r := range s.Rules {
		if pattern, ok := r.Pattern(); ok {
			return pattern, r.Message
		}
	}
	return "", ""
}

// matches reports whether a text is as the schema's pattern says.
func (s *Schema) matches(text string) bool {
	pattern, _ := s.pattern()
	return pattern == "" || matches(pattern, text)
}

// Load returns the schema of a version of the CustomResourceDefinition in a
// promise.yaml.
func Load(promise []byte, version string) (*Schema, error) {
	var file struct {
		Spec struct {
			API struct {
				Spec struct {
					Versions []struct {
						Name   string
						Schema struct {
							OpenAPIV3Schema json.RawMessage
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(promise, &file); err != nil {
		return nil, err
	}
	for _, v := range file.Spec.API.Spec.Versions {
		if v.Name != version {
			continue
		}
		s := &Schema{}
		decoder := json.NewDecoder(strings.NewReader(string(v.Schema.OpenAPIV3Schema)))
		decoder.DisallowUnknownFields() // a keyword that is not read would be a rule that never applies
		if err := decoder.Decode(s); err != nil {
			return nil, fmt.Errorf("the schema cannot be read: %w", err)
		}
		return s, nil
	}
	return nil, errors.New("the CustomResourceDefinition does not serve the version " + version)
}

// Reason says what kind of mistake a problem is.
type Reason string

// The kinds of mistakes.
const (
	Missing Reason = "Missing" // a field that must be there
	Unknown Reason = "Unknown" // a field that there is not
	Type    Reason = "Type"    // a value of another type
	Value   Reason = "Value"   // a value that is not allowed
)

// Problem is one mistake.
type Problem struct {
	// Path is the field, with indexes, such as spec.paths[1].path.
	Path string
	// Message is what is wrong and what to do, to be read after the path.
	Message string
	Reason  Reason
	// Certain is set where the message is better than that of a rule which knows the
	// field alone, say because it knows what was meant.
	Certain bool
}

// Check returns all that is wrong with an object, in the order of its fields. The
// metadata is another's affair.
func (s *Schema) Check(object map[string]any) []Problem {
	c := check{root: s}
	c.object("", s, object)
	return c.problems
}

// Prune returns a copy of a value with its defaults and without what is unknown,
// null or of a wrong type, so that the rest of it can be checked further.
func (s *Schema) Prune(value any) any {
	switch value := value.(type) {
	case map[string]any:
		pruned := map[string]any{}
		for key, v := range value {
			field := s.field(key)
			switch {
			case field == nil && s.PreserveUnknown, field != nil && field.Type == "object" && field.Properties == nil && field.AdditionalProperties == nil:
				pruned[key] = v
			case field != nil && v != nil && field.admits(v):
				pruned[key] = field.Prune(v)
			}
		}
		for key, field := range s.Properties {
			if _, ok := pruned[key]; !ok && field.Default != nil {
				pruned[key] = field.Prune(field.Default)
			}
		}
		return pruned
	case []any:
		pruned := []any{}
		for _, v := range s.head(value) {
			switch {
			case s.Items.admits(v):
				pruned = append(pruned, s.Items.Prune(v))
			case s.Items.Type == "object": // its place is kept for those after it
				pruned = append(pruned, map[string]any{})
			}
		}
		return pruned
	}
	return value
}

// head is what is looked at of a list: no more entries than there may be, since what
// is checked of each is compared with all others.
func (s *Schema) head(list []any) []any {
	if s.MaxItems != nil && len(list) > *s.MaxItems {
		return list[:*s.MaxItems]
	}
	return list
}

func (s *Schema) field(key string) *Schema {
	if field, ok := s.Properties[key]; ok {
		return field
	}
	return s.AdditionalProperties
}

// admits reports whether a value is of the schema's type.
func (s *Schema) admits(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		return s.Type == "object"
	case []any:
		return s.Type == "array"
	case string:
		return s.Type == "string"
	case bool:
		return s.Type == "boolean"
	case int64:
		return s.Type == "integer" || s.Type == "number"
	case float64:
		return s.Type == "number" || s.Type == "integer" && value == float64(int64(value))
	}
	return false
}

// keys returns the names of a schema's fields.
func (s *Schema) keys() []string { return slices.Sorted(maps.Keys(s.Properties)) }
