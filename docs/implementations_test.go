package docs_test

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/gateway"
)

// The table of implementations is what the code refuses by.
func TestReasonTablesAndImplementations(t *testing.T) {
	const file = "reference/implementations.md"
	columns := gateway.Describe()
	var b strings.Builder
	line := func(cells ...string) { fmt.Fprintln(&b, "| "+strings.Join(cells, " | ")+" |") }
	head := []string{"What"}
	for _, c := range columns {
		head = append(head, string(c.Implementation))
		if len(c.Cells) != len(gateway.Titles) {
			t.Fatalf("%s has %d cells for %d titles", c.Implementation, len(c.Cells), len(gateway.Titles))
		}
	}
	line(head...)
	fmt.Fprintln(&b, strings.Repeat("|---", len(head))+"|")
	for i, title := range gateway.Titles {
		cells := []string{title}
		for _, c := range columns {
			cells = append(cells, cmp.Or(c.Cells[i], "–"))
		}
		line(cells...)
	}
	fmt.Fprintf(&b, "\nHeaders of the connection are %s.\n", gateway.ConnectionHeaders())
	replaceTable(t, file, "<!-- implementations: from internal/gateway -->\n", "<!-- end of implementations -->\n", b.String())
}

// replaceTable holds what stands between two marks of a document to what it should be.
func replaceTable(t *testing.T, file, begin, end, want string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), begin)
	was, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("it has no table between %s and %s", begin, end)
	}
	switch {
	case was == want:
	case *update:
		t.Log("updated")
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("it has\n%swant\n%srun go test ./docs -run TestReasonTables -update", was, want)
	}
}
