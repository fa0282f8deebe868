package crd

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/nearest"
)

// mistyped says of a value of another type what it is and what to write.
func (s *Schema) mistyped(value any) string {
	what := map[string]string{
		"object": "a map", "array": "a list", "string": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number",
	}
	is := fmt.Sprint(value)
	switch value := value.(type) {
	case nil:
		return fmt.Sprintf("is empty: it must be %s", what[s.Type])
	case map[string]any:
		is = "a map"
	case []any:
		is = "a list"
	case string:
		is = "the text " + field.Quote(value)
	}
	return fmt.Sprintf("must be %s, not %s%s", what[s.Type], is, s.converted(value))
}

var number = regexp.MustCompile(`^-?[0-9]+$`)

// converted says how to write a value of another type, or nothing.
func (s *Schema) converted(value any) string {
	switch text, isText := value.(string); {
	case isText && isSecret(text): // not to be repeated
		return ""
	case isText && (s.Type == "integer" || s.Type == "number") && number.MatchString(text),
		isText && s.Type == "boolean" && (text == "true" || text == "false"):
		return fmt.Sprintf(": write %s without quotes", text)
	case isText && s.Type == "array" && s.Items.Type == "string":
		return fmt.Sprintf(": write [%s]", field.Quote(text))
	case isText && s.Type == "object" && len(s.Required) == 1 && s.Properties[s.Required[0]].Type == "string":
		return fmt.Sprintf(": write {%s: %s}", s.Required[0], text)
	case isText && s.Type == "object" && len(s.Properties) > 0:
		return ": its fields are " + strings.Join(s.keys(), ", ")
	}
	switch value := value.(type) {
	case int64:
		switch {
		case s.Type == "string" && s.isDuration():
			return s.withUnit(fmt.Sprint(value))
		case s.Type == "string" && s.is(sizePattern):
			return fmt.Sprintf(`: write "%d" for bytes, or a unit such as %dMi`, value, value)
		case s.Type == "string":
			return fmt.Sprintf(`: put quotes around it, "%d"`, value)
		case s.Type == "array" && s.Items.Type == "integer":
			return fmt.Sprintf(": write [%d]", value)
		}
	case float64:
		if s.Type == "string" {
			return ": put quotes around it"
		}
	case bool:
		if s.Type == "string" {
			return ": put quotes around it, because YAML reads yes, no, on and off as true and false"
		}
	case map[string]any:
		if s.Type == "array" {
			return `: begin each of its entries with "- "`
		}
	case []any:
		if s.Type == "object" {
			return `: leave out the "- " or the brackets`
		}
	}
	return ""
}

const (
	durationPattern = `^([0-9]{1,5}d|([0-9]{1,5}([.][0-9]{1,3})?(h|m|s|ms))+)$`
	timeoutPattern  = `^([0-9]{1,5}(h|m|s|ms)){1,4}$`
	sizePattern     = `^[1-9][0-9]{0,8}(k|Ki|M|Mi|G|Gi)?$`
)

// withUnit says how to write a number as a duration.
func (s *Schema) withUnit(number string) string {
	if s.is(timeoutPattern) {
		return fmt.Sprintf(": it has no unit, write %ss for seconds, or m for minutes, h for hours", number)
	}
	return fmt.Sprintf(": it has no unit, write %sh for hours, or m for minutes, s for seconds, d for days", number)
}

func (s *Schema) isDuration() bool {
	return s.is(durationPattern) || s.is(timeoutPattern)
}

// is reports whether the schema has that pattern.
func (s *Schema) is(pattern string) bool {
	of, _ := s.pattern()
	return of == pattern
}

// isSecret reports whether a text holds what must not be repeated: a seed or token, a
// URL with a user, or what is too long to be proposed anyway.
func isSecret(text string) bool {
	return field.Hide(text) != text || strings.Contains(text, "@") || len(text) > 64
}

var words = regexp.MustCompile(`^([0-9]{1,5}) *(h|m|s|d|hours?|hrs?|H|minutes?|mins?|M|seconds?|secs?|S|days?|D)$`)

// repaired says how to write a text that does not match the pattern, or nothing.
func (s *Schema) repaired(text string) string {
	if isSecret(text) {
		return ""
	}
	for _, repair := range []struct{ with, say string }{
		{strings.TrimRight(text, ", "), "leave out the comma at its end"},
		{strings.TrimSpace(text), "leave out the blanks around it"},
		{strings.Trim(text, `"'`), "leave out the quotes within it"},
	} {
		if repair.with != text && repair.with != "" && s.matches(repair.with) {
			return fmt.Sprintf(": %s and write %s", repair.say, repair.with)
		}
	}
	switch groups := words.FindStringSubmatch(text); {
	case s.isDuration() && number.MatchString(text):
		return s.withUnit(text)
	case s.isDuration() && groups != nil:
		with := groups[1] + strings.ToLower(groups[2][:1])
		if s.matches(with) {
			return ": write " + with
		}
	case s.is(sizePattern):
		lower := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text), "b"), "i")
		units := map[byte]string{'k': "Ki", 'm': "Mi", 'g': "Gi"}
		if lower == "" {
			return ""
		}
		if unit, ok := units[lower[len(lower)-1]]; ok && s.matches(strings.TrimSpace(lower[:len(lower)-1])+unit) {
			return fmt.Sprintf(": write %s%s", strings.TrimSpace(lower[:len(lower)-1]), unit)
		}
	}
	if lower := strings.ToLower(text); lower != text && s.matches(lower) && !s.isDuration() {
		return ": write it in lower case, " + lower
	}
	return ""
}

// example says what a missing field may be, or nothing.
func (s *Schema) example() string {
	if s == nil {
		return ""
	}
	switch {
	case len(s.Enum) > 0:
		return ": write one of " + listed(s.Enum)
	case s.Type == "object" && len(s.Required) > 0:
		return ": it needs " + strings.Join(s.Required, ", ")
	case s.Type == "array" && s.Items.Type == "object":
		return ": write a list whose entries have " + strings.Join(s.Items.Required, ", ")
	case s.Type == "array":
		return ": write a list"
	}
	return ""
}

// meantValue returns ": did you mean X?" where one of the allowed values is near.
func (s *Schema) meantValue(text string) string {
	var values []string
	for _, v := range s.Enum {
		if v, ok := v.(string); ok {
			values = append(values, v)
		}
	}
	near := nearest.Word(strings.TrimRight(text, ", "), values)
	for _, v := range values {
		if near == "" && strings.Contains(strings.ToLower(text), strings.ToLower(v)) {
			near = v
		}
	}
	return didYouMean(near)
}

// meant says which field was meant by one that there is not.
func (c *check) meant(path string, s *Schema, key string) string {
	if near := nearest.Word(key, s.keys()); near != "" {
		return didYouMean(near)
	}
	if elsewhere := c.root.find("", key); len(elsewhere) == 1 {
		return fmt.Sprintf(" here: %s is, look at the indentation", elsewhere[0])
	} else if len(elsewhere) > 1 && len(elsewhere) < 4 {
		return fmt.Sprintf(" here: there are %s, look at the indentation", strings.Join(elsewhere, ", "))
	}
	if name, rest, found := strings.Cut(key, ":"); found && s.Properties[name] != nil {
		return fmt.Sprintf(": write a blank after the colon, %s: %s", name, rest)
	}
	if keys := s.keys(); len(keys) == 1 {
		return ": the only one is " + keys[0]
	} else if len(keys) > 0 && len(keys) <= 12 && path != "" {
		return ": there are " + strings.Join(keys, ", ")
	}
	return ""
}

// find returns where a field of that name is.
func (s *Schema) find(path, key string) []string {
	var found []string
	for _, name := range s.keys() {
		if path == "" && name != "spec" {
			continue
		}
		at, of := join(path, name), s.Properties[name]
		if name == key {
			found = append(found, at)
		}
		for of.Items != nil {
			at, of = at+"[]", of.Items
		}
		found = append(found, of.find(at, key)...)
	}
	return found
}

func didYouMean(near string) string {
	if near == "" {
		return ""
	}
	return ": did you mean " + near + "?"
}

// Unquoted returns the texts that a message quotes.
func Unquoted(message string) []string {
	var texts []string
	for _, quoted := range quotes.FindAllString(message, -1) {
		if text, err := strconv.Unquote(quoted); err == nil {
			texts = append(texts, text)
		}
	}
	return texts
}

var quotes = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
