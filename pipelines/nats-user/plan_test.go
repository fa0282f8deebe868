package natsuser

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What is decided follows from what was gathered alone: no client is at hand in plan.go,
// no store of ledgers or claims, and no context to ask anybody with.
func TestPlanReachesNobody(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "plan.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil || slices.Contains([]string{"context", "http", "os", "platform", "workflow"}, name) {
			t.Errorf("it imports %s as %s", path, name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok && (of.Name == "ledger" || of.Name == "claim") && n.Sel.Name == "Book" || n.Sel.Name == "Issuer" || n.Sel.Name == "Platform" {
				t.Errorf("it mentions %s.%s", of, n.Sel.Name)
			}
		case *ast.Ident:
			if slices.Contains([]string{"ledgers", "book"}, n.Name) {
				t.Errorf("it calls %s", n.Name)
			}
		}
		return true
	})
}
