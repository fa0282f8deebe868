package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// Column is what documents say of one implementation.
type Column struct {
	Implementation v1alpha1.Implementation
	Cells          []string
}

// Titles are the rows of what documents say of implementations.
var Titles = []string{
	"read from", "least version", "`timeout`", "body limits", "length of a prefix", "characters of a path", "… with methods", "… with `rewritePrefix`", "characters of `rewritePrefix`",
	"`path: /` with `rewritePrefix`", "methods", "methods with `rewritePrefix`", "names of headers", "values of headers", "headers that cannot be changed", "headers that cannot be removed",
	"headers with a spelling of their own", "a backend of weight 0",
}

// Describe returns what documents say of each implementation, a cell for each title.
func Describe() []Column {
	var columns []Column
	for _, i := range []v1alpha1.Implementation{v1alpha1.Traefik, v1alpha1.NGINXGatewayFabric, v1alpha1.EnvoyGateway, v1alpha1.Standard} {
		of := implementations[i]
		columns = append(columns, Column{i, []string{
			of.readFrom, of.least, either(of.timeouts, "yes", "refused"), of.limitSays, of.length(), of.path.describe(), of.withMethods.describe(), of.withRewrite.describe(), of.rewrite.describe(),
			either(of.notRoot, "only to `/`", "yes"), of.methods(), either(of.notBoth, "refused", "yes"), of.name.describe(), of.value.describe() + either(of.oneBlank, ", and no two blanks in a row", ""),
			"those of the connection, " + listed(of.fixed), listed(of.kept), listed(slices.Sorted(maps.Values(of.exact))), either(of.zeroFirst, "written first", "as it is written"),
		}})
	}
	return columns
}

// ConnectionHeaders lists the headers that no route can change.
func ConnectionHeaders() string { return listed(connection) }

func either(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func (c capabilities) length() string {
	if c.longest == 0 {
		return ""
	}
	return fmt.Sprintf("at most %d bytes", c.longest)
}

func (c capabilities) methods() string {
	if len(c.notMethods) == 0 {
		return "all"
	}
	var names []string
	for _, m := range c.notMethods {
		names = append(names, string(m))
	}
	return "all but " + listed(names)
}

// describe says which of the characters that the kinds have are in a set.
func (s set) describe() string {
	of := pathMarks
	switch {
	case s.plain && !strings.ContainsAny(s.marks, "!%"): // the fewest
		return "letters, digits and " + code(s.marks)
	case s.plain && strings.Contains(s.marks, " "):
		of = visible + " \t"
	case s.plain:
		of = nameMarks
	}
	say := "all"
	if lacks := without(of, s.marks); lacks != "" {
		say += " but " + code(lacks)
	}
	switch {
	case s.plain || strings.Contains(s.marks, "%"):
	case s.encoded == "":
		say += "; nothing percent-encoded"
	default:
		say += "; percent-encoded only " + code(s.encoded)
	}
	return say
}

// code is a text as Markdown has it in the cell of a table.
func code(text string) string {
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

func listed(names []string) string {
	var all []string
	for _, name := range names {
		all = append(all, code(name))
	}
	return strings.Join(all, ", ")
}
