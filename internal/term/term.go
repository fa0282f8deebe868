// Package term writes for people: tables with aligned columns, and colours where
// the output is a terminal.
package term

import (
	"fmt"
	"io"
	"math"
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
	// Fit is what may become of a column on a terminal that is too narrow; that of
	// the first row's cell counts.
	Fit Fit
}

// Fit is what may become of a column on a terminal that is too narrow.
type Fit int

// A column is kept as it is while another can give way.
const (
	Keep Fit = iota
	Cut      // free text, which is cut with an ellipsis
	Flow     // free text that is read to its end: it goes on in the lines below
	Drop     // left out, the last one first
	Must     // never cut
)

func (f Fit) free() bool { return f == Cut || f == Flow }

// Colors reports whether to use colours: only on a terminal, and never where
// NO_COLOR is set (https://no-color.org).
func Colors(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// Paint gives a text a style, where colours are used.
func Paint(colors bool, style Style, text string) string {
	if !colors || style == Plain || text == "" {
		return text
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", style, text)
}

// Width is that of the terminal in columns, or 0 where the output is none.
func Width(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Table writes rows with two spaces between aligned columns. Cells are cleaned
// of what a terminal would take for a command. On a terminal that is too narrow,
// columns give way as their [Fit] says; elsewhere nothing is left out.
func Table(w io.Writer, colors bool, rows ...[]Cell) error {
	return TableWithin(w, Width(w), colors, rows...)
}

// TableWithin writes a table that is at most so wide; 0 is any width.
func TableWithin(w io.Writer, width int, colors bool, rows ...[]Cell) error {
	all := columns(rows)
	widths := fit(all, width)
	for _, row := range rows {
		for _, line := range lines(row, all, widths) {
			if err := writeLine(w, colors, line, widths); err != nil {
				return err
			}
		}
	}
	return nil
}

// lines are those that a row takes, each with a part of the cells that flow.
func lines(row []Cell, all []column, widths []int) [][]Cell {
	lines := [][]Cell{make([]Cell, len(row))}
	for i, cell := range row {
		parts := []string{Clean(cell.Text)}
		if all[i].fit == Flow && widths[i] < all[i].width {
			parts = strings.Split(Wrap(parts[0], widths[i], 0), "\n")
		}
		for j, part := range parts {
			if j == len(lines) {
				lines = append(lines, make([]Cell, len(row)))
			}
			lines[j][i] = Cell{Text: part, Style: cell.Style}
		}
	}
	return lines
}

func writeLine(w io.Writer, colors bool, cells []Cell, widths []int) error {
	var line strings.Builder
	gap := 0
	for i, cell := range cells {
		if widths[i] == dropped {
			continue
		}
		text := shorten(cell.Text, widths[i])
		line.WriteString(strings.Repeat(" ", gap))
		gap = widths[i] - utf8.RuneCountInString(text) + len(separator)
		line.WriteString(Paint(colors, cell.Style, text))
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	return err
}

const (
	separator = "  "
	dropped   = -1
	// readable is what free text keeps while another column can be dropped, and
	// least is what any column keeps.
	readable, least = 24, 8
)

// column is the width that a column wants, and what it may become.
type column struct {
	width int
	fit   Fit
}

func columns(rows [][]Cell) []column {
	var all []column
	for r, row := range rows {
		for i, cell := range row {
			if i == len(all) {
				all = append(all, column{})
			}
			if r == 0 {
				all[i].fit = cell.Fit
			}
			all[i].width = max(all[i].width, utf8.RuneCountInString(Clean(cell.Text)))
		}
	}
	return all
}

// fit returns the widths of columns so that all of them are at most so wide: first
// columns are dropped until the free text can be read, then the free text is cut or
// flows, then whatever is widest. A table without free text is left alone.
func fit(all []column, width int) []int {
	var widths []int
	free := false
	for _, c := range all {
		widths = append(widths, c.width)
		free = free || c.fit.free()
	}
	if width == 0 || !free {
		return widths
	}
	for i := len(all) - 1; i >= 0 && total(all, widths, readable) > width; i-- {
		if all[i].fit == Drop {
			widths[i] = dropped
		}
	}
	for total(all, widths, math.MaxInt) > width {
		i := widest(all, widths)
		if widths[i] <= least {
			break // as narrow as it can be read
		}
		widths[i]--
	}
	return widths
}

// total is the width of a table whose free text takes at most so much.
func total(all []column, widths []int, most int) int {
	sum := -len(separator)
	for i, width := range widths {
		if width == dropped {
			continue
		}
		if all[i].fit.free() {
			width = min(width, most)
		}
		sum += width + len(separator)
	}
	return sum
}

// widest is the column that gives way next: the widest of the free text, and
// when that is as narrow as it can be, the widest of all.
func widest(all []column, widths []int) int {
	best, at := -1, 0
	for i, width := range widths {
		if all[i].fit == Must {
			continue
		}
		if all[i].fit.free() && width > least {
			width += 1 << 20
		}
		if width > best {
			best, at = width, i
		}
	}
	return at
}

// shorten cuts a text that is wider than its column.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// Clean puts a space in place of everything that cannot be seen: line breaks,
// escape sequences, marks that turn the direction of text.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
