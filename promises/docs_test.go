package promises

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link   = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	reason = regexp.MustCompile(`\breason\.([A-Z]\w+)|\bReason = "([A-Z]\w+)"`) // a constant, or one of why a credential is issued

	fence       = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	heading     = regexp.MustCompile(`(?m)^#+ (.+?) *$`)
	linked      = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s matches nothing: %v", p, err)
		}
		all = append(all, files...)
	}
	return all
}

// kubectl shows a column of type date as an age, and <invalid> for a time to come.
func TestColumns(t *testing.T) {
	column := regexp.MustCompile(`printcolumn:name=(\w+),type=date,JSONPath=(\S+)`)
	found := 0
	for _, file := range glob(t, "*/v1alpha1/types.go") {
		for _, m := range column.FindAllStringSubmatch(read(t, file), -1) {
			found++
			if m[2] != "`.metadata.creationTimestamp`" {
				t.Errorf("%s: the column %s is a date and shows %s: use a string", file, m[1], m[2])
			}
		}
	}
	if found < len(All()) {
		t.Errorf("only %d columns of type date were found", found)
	}
}

// Every link from one document to another leads to a file that is there, and to a
// heading that it has.
func TestLinks(t *testing.T) {
	for _, file := range glob(t, "../*.md", "../docs/*.md", "../docs/*/*.md", "../test/e2e/README.md", "*/*.md") {
		t.Run(file, func(t *testing.T) {
			for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, file), ""), -1) {
				to := filepath.Join(filepath.Dir(file), m[1])
				if m[1] == "" {
					to = file
				}
				if _, err := os.Stat(to); err != nil {
					t.Errorf("%s links to %s: %v", file, m[1], err)
				} else if m[2] != "" && strings.HasSuffix(to, ".md") && !slices.Contains(headings(t, to), m[2]) {
					t.Errorf("%s links to %s%s, and there is no such heading", file, m[1], m[2])
				}
			}
		})
	}
}

// headings are the anchors that GitHub gives to the headings of a document.
func headings(t *testing.T, file string) []string {
	t.Helper()
	var all []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(read(t, file), ""), -1) {
		text := notInAnchor.ReplaceAllString(strings.ToLower(linked.ReplaceAllString(m[1], "$1")), "")
		all = append(all, "#"+strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

// Every reason that a status may give stands in the README of its Promise, and
// every state of a path too.
func TestReasonsAreExplained(t *testing.T) {
	shared := glob(t, "../internal/workflow/workflow.go", "../internal/destination/destination.go")
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			name := p.Name
			readme := read(t, name+"/README.md")
			found := 0
			files := append(glob(t, "../pipelines/"+name+"/*.go"), shared...)
			// A test may have the reasons of others' statuses.
			files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
			switch name {
			case "nats-user": // why a credential is issued
				files = append(files, "../internal/credential/issue.go")
			case "nats-account":
				files = append(files, glob(t, "../internal/provider/operator/administrator.go", "../internal/provider/synadia/*.go")...)
			}
			for _, file := range files {
				for _, m := range reason.FindAllStringSubmatch(read(t, file), -1) {
					given := m[1] + m[2]
					if slices.Contains([]string{"Published", "Reason"}, given) { // the type
						continue
					}
					if found++; !strings.Contains(readme, "`"+given+"`") {
						t.Errorf("%s gives the reason %s, which %s/README.md does not explain", file, given, name)
					}
				}
			}
			if found < 8 {
				t.Errorf("only %d reasons were found in the code of %s", found, name)
			}
		})
	}
	states := regexp.MustCompile(`PathState\(reason\.(\w+)\)`)
	for _, m := range states.FindAllStringSubmatch(read(t, "api-aggregator-target/v1alpha1/types.go"), -1) {
		if !strings.Contains(read(t, "api-aggregator-target/README.md"), "`"+m[1]+"`") {
			t.Errorf("the state %s is not explained", m[1])
		}
	}
}
