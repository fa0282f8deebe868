package crd

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/baleen-platform/baleen/internal/field"
)

// check walks through an object.
type check struct {
	root     *Schema
	problems []Problem
}

func (c *check) add(path string, reason Reason, certain bool, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...), Reason: reason, Certain: certain})
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (c *check) value(path string, s *Schema, value any) {
	if !s.admits(value) {
		c.add(path, Type, true, "%s", s.mistyped(value))
		return
	}
	switch value := value.(type) {
	case map[string]any:
		c.object(path, s, value)
	case []any:
		c.list(path, s, value)
	case string:
		c.text(path, s, value)
	case int64:
		c.number(path, s, float64(value), value)
	case float64:
		c.number(path, s, value, value)
	}
}

func (c *check) object(path string, s *Schema, object map[string]any) {
	for _, name := range s.Required {
		if object[name] == nil {
			c.add(join(path, name), Missing, false, "is missing%s", s.Properties[name].example())
		}
	}
	if s.MaxProperties != nil && len(object) > *s.MaxProperties {
		c.add(path, Value, false, "has %d entries: at most %d are allowed", len(object), *s.MaxProperties)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		value, of := object[key], s.field(key)
		switch {
		case of == nil && (s.PreserveUnknown || s.Properties == nil): // anything goes
		case of == nil:
			c.add(join(path, key), Unknown, true, "there is no such field%s", c.meant(path, s, key))
		case s.Properties[key] == nil: // a key of the user's own
			c.value(fmt.Sprintf("%s[%s]", path, key), of, value)
		case value != nil:
			c.value(join(path, key), of, value)
		}
	}
}

func (c *check) list(path string, s *Schema, list []any) {
	switch n := len(list); {
	case s.MinItems != nil && n < *s.MinItems:
		c.add(path, Value, false, "has %d entries: at least %d must be there", n, *s.MinItems)
	case s.MaxItems != nil && n > *s.MaxItems:
		c.add(path, Value, false, "has %d entries: at most %d are allowed", n, *s.MaxItems)
	}
	list = s.head(list)
	for i, value := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if value == nil {
			c.add(at, Type, true, "is empty: write something after the - or leave it out")
			continue
		}
		c.value(at, s.Items, value)
		for j, other := range list[:i] {
			if s.same(value, other) {
				c.add(at, Value, true, "is the same as %s[%d]: leave one of them out", path[strings.LastIndex(path, ".")+1:], j)
				break
			}
		}
	}
}

// same reports whether a list of the schema cannot have both entries.
func (s *Schema) same(a, b any) bool {
	switch s.ListType {
	case "set":
		return reflect.DeepEqual(a, b)
	case "map":
		a, isMap := a.(map[string]any)
		b, both := b.(map[string]any)
		if !isMap || !both {
			return false
		}
		return !slices.ContainsFunc(s.ListMapKeys, func(key string) bool { return a[key] == nil || !reflect.DeepEqual(a[key], b[key]) })
	}
	return false
}

// patterns caches what is compiled.
var patterns sync.Map

func matches(pattern, text string) bool {
	compiled, ok := patterns.Load(pattern)
	if !ok {
		compiled, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(pattern))
	}
	return compiled.(*regexp.Regexp).MatchString(text)
}

func (c *check) text(path string, s *Schema, text string) {
	if len(s.Enum) > 0 {
		if !slices.Contains(s.Enum, any(text)) {
			hint := s.meantValue(text)
			c.add(path, Value, hint != "", "%s is not one of %s%s", field.Quote(text), listed(s.Enum), hint)
		}
		return
	}
	length := utf8.RuneCountInString(text)
	switch {
	case text == "" && s.MinLength != nil && *s.MinLength > 0:
		c.add(path, Value, true, "is empty: write something, or leave the field out")
	case s.MinLength != nil && length < *s.MinLength:
		c.add(path, Value, false, "has %d characters: at least %d must be there", length, *s.MinLength)
	case s.MaxLength != nil && length > *s.MaxLength:
		c.add(path, Value, false, "has %d characters: at most %d are allowed", length, *s.MaxLength)
	case !s.matches(text):
		if hint := s.repaired(text); hint != "" {
			c.add(path, Value, true, "%s is not right%s", field.Quote(text), hint)
			return
		}
		_, message := s.pattern()
		c.add(path, Value, false, "%s %s", field.Quote(text), message)
	}
}

func (c *check) number(path string, s *Schema, number float64, shown any) {
	low, high := "", ""
	if s.Minimum != nil {
		low = strconv.FormatFloat(*s.Minimum, 'f', -1, 64)
	}
	if s.Maximum != nil {
		high = strconv.FormatFloat(*s.Maximum, 'f', -1, 64)
	}
	out := s.Minimum != nil && number < *s.Minimum || s.Maximum != nil && number > *s.Maximum ||
		s.Format == "int32" && number != float64(int32(number))
	switch {
	case !out:
	case low != "" && high != "":
		c.add(path, Value, true, "%v is not between %s and %s", shown, low, high)
	case low != "" && number < *s.Minimum:
		c.add(path, Value, true, "%v is too small: write at least %s", shown, low)
	default:
		c.add(path, Value, true, "%v is too big%s", shown, firstOf(prefixed(": write at most ", high), ""))
	}
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func listed(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " and " + texts[len(texts)-1]
}
