package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func tinyOptions(t *testing.T) options {
	return options{root: "testdata/tiny", targets: []string{"."}, pattern: regexp.MustCompile(""), budget: time.Minute, parallel: 2, cache: t.TempDir(), progress: t.Output()}
}

// A mutant that a test fails for is killed by that test, a loop without an end by the
// clock; what tests run and do not look at survives, and that for which none has a case,
// a call or a value at the limit, is said to be so. The files of the module stay as they are.
func TestFates(t *testing.T) {
	before := read(t, "testdata/tiny/tiny.go")
	o := tinyOptions(t)
	o.leastTime = 2 * time.Second // for the one that loops
	r, err := mutateModule(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range r.Mutants {
		got = append(got, fmt.Sprintf("%s | %s | %s | %s", m.Operator, m.After, m.Fate, strings.TrimPrefix(m.By, "tiny ")))
	}
	want := []string{
		"negate | return price >= 10 | killed | TestCheap",
		"shift | return price <= 10 | untried | ",
		"negate | for from <= 0 { | killed | TestCount",
		"shift | for from >= 0 { | killed | TestCount",
		"drop assignment |  | timeout | TestCount",
		"drop assignment |  | killed | TestCount",
		"drop assignment |  | survived | ",
		"negate | return !(a && b) | untried | ",
		"drop clause | return b | untried | ",
		"drop clause | return a | untried | ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if after := read(t, "testdata/tiny/tiny.go"); after != before {
		t.Errorf("the source was changed:\n%s", after)
	}
	if _, err := os.Stat("testdata/tiny/internal"); err == nil {
		t.Error("the helper was left in the module")
	}
	wantReport(t, r)
	wantTrace(t, o)
}

// What a test has a case for is found out once, until the test is another.
func wantTrace(t *testing.T, o options) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.cache, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("kept are %v, %v", files, err)
	}
	// The second shift differs where the loop ends, and the first nowhere.
	var names []string
	for _, u := range new(binary).read(files[0]) {
		if u.cases[2] || u.cases[4] {
			names = append(names, u.names...)
		}
	}
	if !slices.Equal(names, []string{"TestCount"}) {
		t.Errorf("a shift makes a difference in %v", names)
	}
}

// The table counts fates, and below it are those that nobody noticed, with what
// differs; the other form has the same and can be read as hints, also to try only what
// was left.
func wantReport(t *testing.T, r *report) {
	t.Helper()
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".        10       4       1        4        1         50.0\n",
		"tiny.go:21 drop assignment\n  - *lines = append(*lines, line)\n  + (nothing)\n  survived\n",
		"tiny.go:7 shift\n  - return price < 10\n  + return price <= 10\n  untried\n",
		"tiny.go:26 drop clause\n  - return a && b\n  + return a\n  untried\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks\n%s\nit is\n%s", want, &out)
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var hints *report
	if err := json.Unmarshal(data, &hints); err != nil {
		t.Fatal(err)
	}
	o := tinyOptions(t)
	o.hints = hints
	if trial := newTrial(o, nil, nil, ""); trial.hinted[r.Mutants[0].key()] != "tiny TestCheap" {
		t.Errorf("the hints are %v", trial.hinted)
	}
	o.left = true
	if i, err := instrument(t.Context(), o); err != nil || len(i.mutants) != 5 {
		t.Errorf("%d mutants were left, %v", len(i.mutants), err)
	}
}

// A line for each operator: what it makes of a statement.
func TestOperators(t *testing.T) {
	for _, test := range []struct {
		name, source string
		want         []string
	}{
		{"a condition", "if a { call() }", []string{"negate: if !a { call() }", "never: if false { call() }", "drop call: if a { }"}},
		{"one that is negated", "if !a { x = 1 }", []string{"negate: if a { x = 1 }", "never: if false { x = 1 }", "drop assignment: if !a { }"}},
		{"an error", "if err != nil { return }", []string{"negate: if err == nil { return }"}},
		{"clauses", "b = a && b || c()", []string{
			"drop assignment:", "negate: b = !(a && b || c())", "drop clause: b = c()", "drop clause: b = a && b", "drop clause: b = b || c()", "drop clause: b = a || c()",
		}},
		{"a chain", "_ = a && b && c()", []string{
			"drop assignment:", "negate: _ = !(a && b && c())", "drop clause: _ = a && b", "drop clause: _ = b && c()", "drop clause: _ = a && c()",
		}},
		{"a comparison", "use(x < y)", []string{"drop call:", "negate: use(x >= y)", "shift: use(x <= y)"}},
		{"a loop", "for x > 0 { x-- }", []string{"negate: for x <= 0 { x-- }", "shift: for x >= 0 { x-- }", "drop assignment: for x > 0 { }"}},
		{"a switch", "switch { case a: x++ }", []string{"negate: switch { case !a: x++ }", "never: switch { case false: x++ }", "drop assignment: switch { case a: }"}},
		{"a loop that is left", "for { if a { continue }; break }", []string{
			"drop break: for { if a { continue }; }", "negate: for { if !a { continue }; break }", "never: for { if false { continue }; break }", "drop continue: for { if a { }; break }",
		}},
		{"bools returned", "_ = func() (int, bool) { return x, true }", []string{"drop assignment:", "negate: _ = func() (int, bool) { return x, false }"}},
		{"a bool beside no error", "_ = func() (bool, error) { return x, nil }", []string{"drop assignment:", "negate: _ = func() (bool, error) { return !x, nil }"}},
		{"a bool beside an error", "_ = func() (bool, error) { return false, err }", []string{"drop assignment:"}},
		{"what is deferred", "defer call()", []string{"drop defer:"}},
		{"what is declared", "z := x; use(z)", []string{"drop call: z := x;"}},
		{"a constant", "const z = 1 < 2", nil},
		{"a panic", `panic("no")`, nil},
		{"a log line", `run.Log.Info("done")`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			mutants, _, err := mutate("a.go", "a", "package a\nfunc f() {\n"+test.source+"\n}\n", "a/internal/mutant", 1)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range mutants {
				got = append(got, strings.TrimSpace(m.Operator+": "+m.After))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// What a file of its own says that is generated is left alone.
func TestGeneratedFilesAreLeftOut(t *testing.T) {
	const generated = "// Code generated by hand. DO NOT EDIT.\n\npackage a\n\nfunc f() bool { return true }\n"
	if mutants, text, err := mutate("a.go", "a", generated, "a/internal/mutant", 1); err != nil || len(mutants) > 0 || text != generated {
		t.Errorf("%d mutants, %v, of\n%s", len(mutants), err, text)
	}
}

// The quick tests come first, another test before more subtests of one, each process
// takes about twice as long as the one before, and who killed a mutant of the same function is tried before all others.
func TestOrder(t *testing.T) {
	own, other := &binary{pkg: "own"}, &binary{pkg: "other"}
	test := func(b *binary, name string, took time.Duration) *unit {
		return &unit{binary: b, names: []string{name}, took: took, cases: map[int]bool{1: true}}
	}
	m := &mutant{ID: 1, Package: "own", function: "f"}
	units := []*unit{
		test(other, "Quick", 10*time.Millisecond), test(own, "Slow", 3*time.Second), test(own, "A", 100*time.Millisecond), test(own, "B", 200*time.Millisecond),
		test(own, "C", 900*time.Millisecond), test(other, "Long", 50*time.Second), {binary: own, names: []string{"Elsewhere"}, cases: map[int]bool{2: true}},
	}
	order := func(trial *trial) (text string, left int) {
		batches, _, left := trial.batches(m)
		for _, b := range batches {
			for _, u := range b.units {
				text += u.names[0] + " "
			}
			text += "| "
		}
		return text, left
	}
	o := tinyOptions(t)
	o.budget = 10 * time.Second
	trial := newTrial(o, nil, units, "")
	if got, left := order(trial); got != "A B | C | Slow | Quick | " || left != 1 {
		t.Errorf("%s with %d left out", got, left)
	}
	alike := newTrial(o, nil, []*unit{test(own, "T/a", time.Second), test(own, "T/b", time.Second), test(own, "S", 1500*time.Millisecond)}, "")
	if got, _ := order(alike); got != "T/a | S | T/b | " {
		t.Error(got)
	}
	trial.remember(m, units[1])
	if got, _ := order(trial); got != "Slow | A B | C | Quick | " {
		t.Error(got)
	}
}

// A pattern runs just the tests it is made of, however subtests are called.
func TestPattern(t *testing.T) {
	got := pattern([]*unit{{names: []string{"TestA"}}, {names: []string{"TestB/a|b/H", "TestB/c"}}})
	if want := `^TestA$|^TestB$/^a\|b$/^H$|^TestB$/^c$`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What a long test is divided into are its innermost subtests.
func TestSubtests(t *testing.T) {
	const output = `=== RUN   TestA
=== RUN   TestA/in_a_folder
    --- PASS: TestA/in_a_folder (0.02s)
        --- PASS: TestA/in_a_folder/once (0.01s)
        --- PASS: TestA/in_a_folder/twice/again (0.01s)
    --- SKIP: TestA/nowhere (0.00s)
    --- PASS: TestA/in_memory (0.00s)
--- PASS: TestA (0.02s)
`
	want := []string{"TestA/in_a_folder/once", "TestA/in_a_folder/twice/again", "TestA/in_memory"}
	if got := subtests(output); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
