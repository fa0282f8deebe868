// Package docs_test holds what the documents say to what the code does.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// words are CamelCase words in the code that are no reasons for a refusal, and why.
var words = map[string]string{
	"PathPrefix": "a match type of the Gateway API", "SealedSecret": "a kind", "WriteSucceeded": "a condition of Kratix's",
	"ConfigureWorkflowCompleted": "a condition of Kratix's", "ConfigureWorkflowFailed": "a reason of Kratix's", "PipelinesInProgress": "a reason of Kratix's",
}

var (
	camelCase = regexp.MustCompile(`^[A-Z][a-z]+([A-Z][a-z]+)+$`)
	row       = regexp.MustCompile(`(?m)^\| ([A-Za-z]+) \| [^|]+ \| (kept|withdrawn|see each path)\b[^|]* \|$`)
)

// Each reason that a status can give has a row in the architecture text that says
// whether what is served already is kept or withdrawn, and each row is of a reason.
func TestEveryReasonSaysWhatIsServed(t *testing.T) {
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, match[1])
	}
	if !slices.IsSorted(rows) {
		t.Error("the table is not in the order of the alphabet")
	}
	reasons := map[string]bool{"Failed": true} // of one word
	for _, dir := range []string{
		"../pipelines", "../internal/account", "../internal/destination", "../internal/workflow", "../internal/provider/synadia",
		"../promises/api-aggregator-target/v1alpha1/types.go",
	} {
		for _, word := range literals(t, dir) {
			if camelCase.MatchString(word) && words[word] == "" {
				reasons[word] = true
			}
		}
	}
	for reason := range reasons {
		if !slices.Contains(rows, reason) {
			t.Errorf("docs/architecture.md does not say whether what is served is kept or withdrawn for the reason %s", reason)
		}
	}
	for _, reason := range rows {
		if !reasons[reason] {
			t.Errorf("docs/architecture.md has a row for %s, which no code gives as a reason", reason)
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
		case entry.Name() == "fakecloud":
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
