// Package term writes for people: tables with aligned columns, and colours where
// the output is a terminal.
package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Style is how a text looks on a terminal.
type Style string

// The styles are those that a terminal of any colours shows.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Cell is a text with its style.
type Cell struct {
	Text  string
	Style Style
}

// Colors tells whether to use colours: only on a terminal, and never where
// NO_COLOR is set (https://no-color.org).
func Colors(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// Table writes rows with two spaces between aligned columns. Cells are cleaned
// of what a terminal would take for a command.
func Table(w io.Writer, colors bool, rows ...[]Cell) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(clean(cell.Text)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			text := clean(cell.Text)
			pad := widths[i] - utf8.RuneCountInString(text) + 2
			if i == len(row)-1 {
				pad = 0
			}
			if colors && cell.Style != Plain {
				text = fmt.Sprintf("\x1b[%sm%s\x1b[0m", cell.Style, text)
			}
			line.WriteString(text + strings.Repeat(" ", pad))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// clean puts a space in place of everything that cannot be seen: line breaks,
// escape sequences, marks that turn the direction of text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
