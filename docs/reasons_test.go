// Package docs_test holds what the documents say to what the code does.
package docs_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/reason"
)

var update = flag.Bool("update", false, "write the tables of reasons into the documents")

// Each table of reasons in a document is that of the code.
func TestReasonTables(t *testing.T) {
	tables := slices.Clone(reason.Tables)
	kept := reason.Table{File: "docs/architecture.md", Name: "reasons", Titles: []string{"Reason", "Of", "Served before"}}
	for _, e := range reason.Refusals {
		kept.Rows = append(kept.Rows, reason.Row{Reason: e.Reason, Meaning: e.Of, Third: e.Served})
	}
	for _, table := range append(tables, kept) {
		t.Run(table.File+"/"+table.Name, func(t *testing.T) {
			file := filepath.Join("..", table.File)
			replaceTable(t, file, fmt.Sprintf("<!-- %s: from internal/reason -->\n", table.Name), fmt.Sprintf("<!-- end of %s -->\n", table.Name), markdown(table))
		})
	}
}

func markdown(table reason.Table) string {
	var b strings.Builder
	line := func(cells ...string) {
		fmt.Fprintln(&b, strings.ReplaceAll("| "+strings.Join(cells[:len(table.Titles)], " | ")+" |", "|  |", "| |"))
	}
	line(table.Titles...)
	fmt.Fprintln(&b, strings.Repeat("|---", len(table.Titles))+"|")
	for _, r := range table.Rows {
		line("`"+string(r.Reason)+"`", r.Meaning, r.Third)
	}
	return b.String()
}

// declared are the reasons that the code declares.
func declared(t *testing.T) []reason.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/reason/reason.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all []reason.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && fmt.Sprint(spec.Type) == "Reason" {
				value, _ := strconv.Unquote(lit.Value)
				if value != spec.Names[0].Name {
					t.Errorf("%s is %q", spec.Names[0].Name, value)
				}
				all = append(all, reason.Reason(value))
			}
		}
		return true
	})
	return all
}

// Each reason for a refusal says, once and in the order of the alphabet, whether what is
// served is kept or withdrawn.
func TestEveryReasonSaysWhatIsServed(t *testing.T) {
	var want, got []reason.Reason
	for _, r := range declared(t) {
		if r.Class() != reason.Well {
			want = append(want, r)
		}
	}
	served := regexp.MustCompile(`^(kept|withdrawn|see each path)\b`)
	for _, e := range reason.Refusals {
		got = append(got, e.Reason)
		if !served.MatchString(e.Served) {
			t.Errorf("%s: what is served is %q", e.Reason, e.Served)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the reasons are\n%v\nand these say what is served:\n%v", want, got)
	}
}

// words are CamelCase words in the code that are no reasons, and why.
var words = map[string]string{
	"PathPrefix": "a match type of the Gateway API", "SealedSecret": "a kind", "WriteSucceeded": "a condition of Kratix's",
	"ConfigureWorkflowCompleted": "a condition of Kratix's", "ConfigureWorkflowFailed": "a reason of Kratix's", "PipelinesInProgress": "a reason of Kratix's",
	"PausedReconciliation": "a reason of Kratix's",
}

var camelCase = regexp.MustCompile(`^[A-Z][a-z]+([A-Z][a-z]+)+$`)

// No reason is written by hand: what decides by one could not be found.
func TestReasonsAreTyped(t *testing.T) {
	for _, dir := range []string{"../pipelines", "../internal/account", "../internal/destination", "../internal/workflow", "../internal/provider"} {
		for _, word := range literals(t, dir) {
			if camelCase.MatchString(word) && words[word] == "" {
				t.Errorf("%s has the word %s: use a constant of internal/reason, or say here what it is", dir, word)
			}
		}
	}
}

// literals are the strings in the Go code below a folder, but for tests and fakes.
func literals(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "fakecloud", entry.Name() == "providertest":
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if value, err := strconv.Unquote(lit.Value); err == nil {
					all = append(all, value)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
