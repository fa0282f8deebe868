// Package subject treats NATS subjects with wildcards as sets: what one admits,
// and whether one lies within another.
package subject

import (
	"fmt"
	"strings"

	"github.com/baleen-platform/baleen/internal/field"
)

// MaxLength bounds a subject, in bytes: a credential carries all that it
// permits, and servers limit its length.
const MaxLength = 256

// Check tells why a text is not a subject that one may publish or subscribe to.
// Wildcards are fine: * for one token, > at the end for one or more. Its error
// completes the sentence "the subject …".
func Check(s string) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s %s", field.Quote(s), fmt.Sprintf(format, args...))
	}
	switch {
	case s == "":
		return fail("is empty: write tokens with dots between them, such as orders.created")
	case len(s) > MaxLength:
		return fail("is %d bytes long: at most %d are allowed", len(s), MaxLength)
	case strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' }):
		return fail("contains white space or another character that is not printable ASCII: leave it out")
	}
	tokens := strings.Split(s, ".")
	for i, token := range tokens {
		switch {
		case token == "":
			return fail("has an empty token: begin and end without a dot, and write one dot between tokens")
		case token == ">" && i < len(tokens)-1:
			return fail("has > before its end: write * for one token")
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return fail("has the token %s, in which * and > would be taken literally: a wildcard is a token of its own", field.Quote(token))
		}
	}
	return nil
}

// Covers reports whether one subject allows all of another: every subject without
// wildcards that matches asked also matches allowed. What Check refuses neither
// covers nor is covered.
func Covers(allowed, asked string) bool {
	if Check(allowed) != nil || Check(asked) != nil {
		return false
	}
	a, b := strings.Split(allowed, "."), strings.Split(asked, ".")
	for i, token := range a {
		switch {
		case i == len(b): // > stands for at least one token
			return false
		case token == ">":
			return true
		case b[i] == ">", token != "*" && token != b[i]:
			return false
		}
	}
	return len(a) == len(b)
}

// IsToken reports whether a text stands for one token, itself, wherever it is put into a
// subject: it has no dot and is no wildcard.
func IsToken(s string) bool { return Check(s) == nil && !strings.ContainsAny(s, ".*>") }

const (
	namespaceVariable = "{{namespace}}"
	nameVariable      = "{{name}}"
)

// Expand puts the namespace and the name of a request in the place of
// {{namespace}} and {{name}}. Each value must be one token, or the dots of a name
// would make other subjects than the pattern's author meant. The result is still
// to be checked. Its error completes the sentence "the subject …".
func Expand(pattern, namespace, name string) (string, error) {
	rest := strings.NewReplacer(namespaceVariable, "", nameVariable, "").Replace(pattern)
	if strings.ContainsAny(rest, "{}") {
		return "", fmt.Errorf("%s has braces that are not those of %s or %s: write one of these as it is here, or no braces",
			field.Quote(pattern), namespaceVariable, nameVariable)
	}
	for _, v := range []struct{ variable, value string }{{namespaceVariable, namespace}, {nameVariable, name}} {
		if strings.Contains(pattern, v.variable) && !IsToken(v.value) {
			return "", fmt.Errorf("%s cannot have %s in the place of %s: a value must be one token, without dots and wildcards",
				field.Quote(pattern), field.Quote(v.value), v.variable)
		}
	}
	return strings.NewReplacer(namespaceVariable, namespace, nameVariable, name).Replace(pattern), nil
}

// Overlaps reports whether any subject without wildcards matches both. What Check
// refuses overlaps with nothing.
func Overlaps(one, other string) bool {
	if Check(one) != nil || Check(other) != nil {
		return false
	}
	a, b := strings.Split(one, "."), strings.Split(other, ".")
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == ">" || b[i] == ">": // at least one token is left on both sides
			return true
		case a[i] != b[i] && a[i] != "*" && b[i] != "*":
			return false
		}
	}
	return len(a) == len(b)
}
