package term

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Columns line up in any alphabet, and no value can steer a terminal.
func TestTable(t *testing.T) {
	rows := [][]Cell{
		{{Text: "NAME", Style: Bold}, {Text: "CHANGE", Style: Bold}},
		{{Text: "größe"}, {Text: "added", Style: Green}},
		{{Text: "a"}, {Style: Green}},
		{{Text: "evil\x1b[2J\nline\u202e"}, {}},
	}
	for _, test := range []struct {
		colors bool
		want   string
	}{
		{false, "NAME            CHANGE\ngröße           added\na\nevil [2J line\n"},
		{true, "\x1b[1mNAME\x1b[0m            \x1b[1mCHANGE\x1b[0m\ngröße           \x1b[32madded\x1b[0m\na\nevil [2J line\n"},
	} {
		t.Run(fmt.Sprintf("colors: %t", test.colors), func(t *testing.T) {
			var b bytes.Buffer
			if err := Table(&b, test.colors, rows...); err != nil {
				t.Fatal(err)
			}
			if b.String() != test.want {
				t.Errorf("colors %v:\n%q\nwant\n%q", test.colors, b.String(), test.want)
			}
		})
	}
}

// On a terminal that is too narrow first columns are dropped, then free text is
// cut, or goes on below, then whatever is widest; a table without free text is left alone.
func TestTableWithin(t *testing.T) {
	free := [][]Cell{
		{{Text: "NAME"}, {Text: "ISSUED", Fit: Drop}, {Text: "STATE"}, {Text: "WHY", Fit: Drop}, {Text: "ATTENTION", Fit: Cut}},
		{{Text: "orders"}, {Text: "3h ago"}, {Text: "Active"}, {Text: "First"}, {Text: "its renewal is overdue: ask for a run"}},
		{{Text: "ä"}, {Text: "now"}, {Text: "Active"}, {Text: "First"}},
	}
	flowing := [][]Cell{
		{{Text: "NAME"}, {Text: "ATTENTION", Fit: Flow}},
		{{Text: "orders"}, {Text: "its renewal is overdue: ask for a run of NatsAccount/commerce-of-the-platform"}},
		{{Text: "a"}, {Text: "expired"}},
	}
	plain := [][]Cell{{{Text: "Message"}, {Text: strings.Repeat("a sentence ", 12) + "."}}}
	for _, test := range []struct {
		name  string
		width int
		rows  [][]Cell
		want  string
	}{
		{"no terminal", 0, free, "NAME    ISSUED  STATE   WHY    ATTENTION\norders  3h ago  Active  First  its renewal is overdue: ask for a run\nä       now     Active  First\n"},
		{"wide enough", 68, free, "NAME    ISSUED  STATE   WHY    ATTENTION\norders  3h ago  Active  First  its renewal is overdue: ask for a run\nä       now     Active  First\n"},
		{"text is cut", 60, free, "NAME    ISSUED  STATE   WHY    ATTENTION\norders  3h ago  Active  First  its renewal is overdue: ask …\nä       now     Active  First\n"},
		{"a column is dropped", 54, free, "NAME    ISSUED  STATE   ATTENTION\norders  3h ago  Active  its renewal is overdue: ask f…\nä       now     Active\n"},
		{"all that can be are dropped", 30, free, "NAME    STATE   ATTENTION\norders  Active  its renewal i…\nä       Active\n"},
		{"nothing can be read below that", 10, free, "NAME    STATE   ATTENTI…\norders  Active  its ren…\nä       Active\n"},
		{"text goes on below", 30, flowing, "NAME    ATTENTION\norders  its renewal is\n        overdue: ask for a run\n        of\n        NatsAccount/commerce-…\na       expired\n"},
		{"text that fits does not", 200, flowing, "NAME    ATTENTION\norders  its renewal is overdue: ask for a run of NatsAccount/commerce-of-the-platform\na       expired\n"},
		{"a state is never cut", 20, [][]Cell{{{Text: "HOST", Fit: Cut}, {Text: "STATE", Fit: Must}}, {{Text: "api.example.com"}, {Text: "AggregatorNotFound"}}}, "HOST      STATE\napi.exa…  AggregatorNotFound\n"},
		{"no free text", 40, plain, "Message  " + strings.Repeat("a sentence ", 12) + ".\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := TableWithin(&b, test.width, false, test.rows...); err != nil {
				t.Fatal(err)
			}
			if b.String() != test.want {
				t.Errorf("\n%s\nwant\n%s", b.String(), test.want)
			}
		})
	}
}
