package term

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// Columns line up in any alphabet, and no value can steer a terminal.
func TestTable(t *testing.T) {
	rows := [][]Cell{
		{{"NAME", Bold}, {"CHANGE", Bold}},
		{{"größe", Plain}, {"added", Green}},
		{{"a", Plain}},
		{{"evil\x1b[2J\nline\u202e", Plain}, {"", Plain}},
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

func TestColors(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if Colors(file) || Colors(&bytes.Buffer{}) {
		t.Error("colours outside of a terminal")
	}
}
