package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// mutant is one change of the source.
type mutant struct {
	ID       int    `json:"-"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Operator string `json:"operator"`
	// Before and After are the source where it differs, on one line.
	Before string `json:"before"`
	After  string `json:"after"`

	// Nth counts those before it in the file that are just the same.
	Nth      int    `json:"nth,omitempty"`
	Package  string `json:"package"`
	function string
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d %s\n  - %s\n  + %s", m.File, m.Line, m.Operator, m.Before, cmp.Or(m.After, "(nothing)"))
}

// key is how a mutant is known when lines were added before it.
func (m *mutant) key() string {
	return fmt.Sprintf("%s\n%s\n%s\n%s\n%d", m.File, m.Operator, m.Before, m.After, m.Nth)
}

// source is a file in which every mutant is put behind its number: as text, so
// that each line stays where it is.
type source struct {
	name, pkg string
	text      string
	file      *ast.File
	start     token.Pos
	function  string
	mutants   []*mutant
	inserts   []insert
	// next is the number of the next mutant.
	next int
}

// insert is text to be put around a node, or in place of an operator.
type insert struct {
	from, to    int
	open, close string
	replace     bool
}

// mutate returns the mutants of a file, numbered from next on, and its
// instrumented text, which calls the package helper.
func mutate(name, pkg, text, helper string, next int) ([]*mutant, string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, "", err
	}
	if ast.IsGenerated(file) {
		return nil, text, nil
	}
	s := &source{name: name, pkg: pkg, text: text, file: file, start: file.FileStart, next: next}
	ast.PreorderStack(file, nil, s.visit)
	if len(s.mutants) == 0 {
		return nil, text, nil
	}
	after := s.at(file.Name.End())
	s.inserts = append(s.inserts, insert{from: after, to: after, close: fmt.Sprintf("; import mutant__ %q", helper)})
	return s.mutants, s.instrumented(), nil
}

func (s *source) at(pos token.Pos) int           { return int(pos - s.start) }
func (s *source) code(from, to token.Pos) string { return s.text[s.at(from):s.at(to)] }

// add makes the mutant that has text in place of what is from one position to
// another, and returns its number.
func (s *source) add(operator string, from, to token.Pos, text string) int {
	f, t := s.at(from), s.at(to)
	first := strings.LastIndexByte(s.text[:f], '\n') + 1
	last := t + strings.IndexByte(s.text[t:]+"\n", '\n')
	m := &mutant{
		ID: s.next, File: s.name, Line: 1 + strings.Count(s.text[:f], "\n"), Operator: operator, Package: s.pkg, function: s.function,
		Before: oneLine(s.text[first:last]), After: oneLine(s.text[first:f] + text + s.text[t:last]),
	}
	s.next++
	for _, other := range s.mutants {
		if other.key() == m.key() {
			m.Nth++
		}
	}
	s.mutants = append(s.mutants, m)
	return m.ID
}

func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 160 {
		text = string(runes[:160]) + "…"
	}
	return text
}

func (s *source) wrap(n ast.Node, open, close string) {
	s.inserts = append(s.inserts, insert{from: s.at(n.Pos()), to: s.at(n.End()), open: open, close: close})
}

// instrumented is the text with all that was inserted: at one place what ends
// there first, and of what begins there that which holds the others.
func (s *source) instrumented() string {
	type piece struct {
		at, order int
		far       int // the other end
		insert    int
		text      string
		skip      int
	}
	var pieces []piece
	for i, in := range s.inserts {
		if in.replace {
			pieces = append(pieces, piece{at: in.from, order: 1, text: in.open, skip: in.to - in.from})
			continue
		}
		pieces = append(pieces,
			piece{at: in.to, order: 0, far: -in.from, insert: -i, text: in.close},
			piece{at: in.from, order: 1, far: -in.to, insert: i, text: in.open})
	}
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(a.at-b.at, a.order-b.order, a.far-b.far, a.insert-b.insert)
	})
	var out strings.Builder
	done := 0
	for _, p := range pieces {
		out.WriteString(s.text[done:p.at])
		out.WriteString(p.text)
		done = p.at + p.skip
	}
	return out.String() + s.text[done:]
}

// visit makes the mutants of one node; stack is what it is in.
func (s *source) visit(n ast.Node, stack []ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR // constants have to stay constant
	case *ast.FuncDecl:
		s.function = s.name + " " + n.Name.Name
	case *ast.IfStmt:
		s.condition(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			s.negate(n.Cond)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, clause := range n.Body.List {
				for _, condition := range clause.(*ast.CaseClause).List {
					s.condition(condition)
				}
			}
		}
	case *ast.ReturnStmt:
		s.visitReturn(n, stack)
	case *ast.BinaryExpr:
		s.visitBinary(n, stack)
	case *ast.BlockStmt:
		s.drop(n.List)
	case *ast.CaseClause:
		s.drop(n.Body)
	case *ast.CommClause:
		s.drop(n.Body)
	}
	return true
}

// visitReturn negates what is returned as a bool: but not what stands beside an error,
// which says nothing.
func (s *source) visitReturn(n *ast.ReturnStmt, stack []ast.Node) {
	var function *ast.FuncType
	for _, outer := range slices.Backward(stack) {
		switch outer := outer.(type) {
		case *ast.FuncDecl:
			function = outer.Type
		case *ast.FuncLit:
			function = outer.Type
		}
		if function != nil {
			break
		}
	}
	var types []ast.Expr
	if function.Results != nil {
		for _, field := range function.Results.List {
			types = append(types, slices.Repeat([]ast.Expr{field.Type}, max(1, len(field.Names)))...)
		}
	}
	if len(types) != len(n.Results) { // all of them come from one call
		return
	}
	last := len(types) - 1
	failing := last >= 0 && nameOf(types[last]) == "error" && nameOf(n.Results[last]) != "nil"
	for i, result := range n.Results {
		if constant := nameOf(result) == "true" || nameOf(result) == "false"; nameOf(types[i]) == "bool" && !(constant && failing) {
			s.negate(result)
		}
	}
}

var shifts = map[token.Token]struct{ to, helper string }{
	token.LSS: {"<=", "Less"}, token.LEQ: {"<", "LessOrEqual"},
	token.GTR: {">=", "Greater"}, token.GEQ: {">", "GreaterOrEqual"},
}

var opposites = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR,
}

// visitBinary drops the clauses of && and ||, shifts comparisons, and negates
// what is assigned or handed over.
func (s *source) visitBinary(n *ast.BinaryExpr, stack []ast.Node) {
	logical := n.Op == token.LAND || n.Op == token.LOR
	if _, compares := opposites[n.Op]; logical || compares {
		switch outer(stack).(type) {
		case *ast.AssignStmt, *ast.ValueSpec, *ast.CallExpr, *ast.KeyValueExpr, *ast.CompositeLit:
			s.negate(n)
		}
	}
	if logical {
		s.clause(n, n.X, n.Pos(), n.Y.Pos())
		s.clause(n, n.Y, n.X.End(), n.End())
	}
	if shift, ok := shifts[n.Op]; ok {
		end := n.OpPos + token.Pos(len(n.Op.String()))
		id := s.add("shift", n.OpPos, end, shift.to)
		s.wrap(n, fmt.Sprintf("mutant__.%s(%d, ", shift.helper, id), ")")
		s.inserts = append(s.inserts, insert{from: s.at(n.OpPos), to: s.at(end), open: ",", replace: true})
	}
}

// outer is what an expression is in, but for parentheses.
func outer(stack []ast.Node) ast.Node {
	for _, n := range slices.Backward(stack) {
		if _, ok := n.(*ast.ParenExpr); !ok {
			return n
		}
	}
	return nil
}

// clause drops a clause of && or ||, which goes with what is from one position to
// another. What is a chain itself is dropped link by link.
func (s *source) clause(n *ast.BinaryExpr, clause ast.Expr, from, to token.Pos) {
	if inner, ok := clause.(*ast.BinaryExpr); ok && inner.Op == n.Op {
		return
	}
	id := s.add("drop clause", from, to, "")
	if n.Op == token.LAND {
		s.wrap(clause, fmt.Sprintf("mutant__.Always(%d, ", id), ")")
	} else {
		s.wrap(clause, fmt.Sprintf("mutant__.Never(%d, ", id), ")")
	}
}

// condition makes the mutants of what a branch depends on.
func (s *source) condition(e ast.Expr) {
	s.negate(e)
	if !comparesError(e) { // few errors are provoked: those that are not would hide the rest
		s.never(e)
	}
}

func (s *source) negate(e ast.Expr) {
	var id int
	switch inner := e.(type) {
	case *ast.BinaryExpr:
		if opposite, ok := opposites[inner.Op]; ok {
			id = s.add("negate", inner.OpPos, inner.OpPos+token.Pos(len(inner.Op.String())), opposite.String())
		} else {
			id = s.add("negate", e.Pos(), e.End(), "!("+s.code(e.Pos(), e.End())+")")
		}
	case *ast.UnaryExpr:
		id = s.add("negate", e.Pos(), e.End(), s.code(inner.X.Pos(), e.End()))
	default:
		text := s.code(e.Pos(), e.End())
		opposite, isConstant := map[string]string{"true": "false", "false": "true"}[text]
		if !isConstant {
			opposite = "!" + text
		}
		id = s.add("negate", e.Pos(), e.End(), opposite)
	}
	s.wrap(e, fmt.Sprintf("(mutant__.On(%d) != (", id), "))")
}

func (s *source) never(e ast.Expr) {
	id := s.add("never", e.Pos(), e.End(), "false")
	s.wrap(e, fmt.Sprintf("mutant__.Never(%d, ", id), ")")
}

var errorName = regexp.MustCompile(`(^e|E)rr(or)?$`)

// comparesError reports whether a condition is no more than whether there was an
// error.
func comparesError(e ast.Expr) bool {
	n, ok := e.(*ast.BinaryExpr)
	if !ok || n.Op != token.NEQ {
		return false
	}
	nothing, ok := n.Y.(*ast.Ident)
	return ok && nothing.Name == "nil" && errorName.MatchString(nameOf(n.X))
}

// nameOf is the last name of what is called or selected.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// drop makes a mutant of each statement that can be left out and leaves source that
// compiles.
func (s *source) drop(list []ast.Stmt) {
	for _, n := range list {
		operator := ""
		switch n := n.(type) {
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok && nameOf(call.Fun) != "panic" && !logs(call) {
				operator = "drop call"
			}
		case *ast.DeferStmt:
			operator = "drop defer"
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				operator = "drop assignment"
			}
		case *ast.IncDecStmt:
			operator = "drop assignment"
		case *ast.BranchStmt:
			if n.Tok == token.CONTINUE || n.Tok == token.BREAK {
				operator = "drop " + n.Tok.String()
			}
		}
		if operator != "" {
			s.wrap(n, fmt.Sprintf("if !mutant__.On(%d) { ", s.add(operator, n.Pos(), n.End(), "")), " }")
		}
	}
}

// logs reports whether a call writes a log line: nothing that is promised.
func logs(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains([]string{"Log", "log", "slog"}, nameOf(method.X))
}
