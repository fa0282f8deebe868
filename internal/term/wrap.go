package term

import (
	"strings"
	"unicode/utf8"
)

// Wrap breaks a line between words where it is wider than a terminal; what follows is
// indented. A width of 0 is any width. Colours take no room.
func Wrap(line string, width, indent int) string {
	if width == 0 || visible(line) <= width || indent >= width {
		return line
	}
	var b strings.Builder
	at := 0
	for i, word := range strings.Split(line, " ") {
		room := visible(word)
		switch {
		case i == 0:
		case at+1+room > width && at > indent:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
			if word == "" { // of a gap between columns
				continue
			}
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += room
	}
	return b.String()
}

// visible is how many columns a text takes.
func visible(text string) int {
	n := utf8.RuneCountInString(text)
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "\x1b[")
		if !found {
			return n
		}
		code, following, _ := strings.Cut(after, "m")
		n -= len("\x1b[") + len(code) + len("m")
		rest = following
	}
}

// readers is the widest that a paragraph gets: longer lines are hard to read.
const readers = 100

// Reflow fits the text of a help page to a terminal: paragraphs are filled, and what is
// indented, such as flags, is broken below its last column. A width of 0 leaves it as
// it is.
func Reflow(text string, width int) string {
	if width == 0 {
		return text
	}
	var lines []string
	paragraph := false // the last line is of one that may go on
	for line := range strings.SplitSeq(text, "\n") {
		filled := line != "" && line[0] != ' '
		if filled && paragraph {
			lines[len(lines)-1] += " " + line
			continue
		}
		lines, paragraph = append(lines, line), filled
	}
	for i, line := range lines {
		if line != "" && line[0] != ' ' {
			lines[i] = Wrap(line, min(width, readers), 0)
			continue
		}
		lines[i] = Wrap(line, width, lastColumn(line, width))
	}
	return strings.Join(lines, "\n")
}

// lastColumn is where the last column of an indented line begins.
func lastColumn(line string, width int) int {
	words := strings.TrimLeft(line, " ")
	indent := len(line) - len(words)
	gap := strings.LastIndex(strings.TrimRight(words, " "), "  ")
	if column := indent + gap + len("  "); gap >= 0 && column < width/2 {
		return column
	}
	return min(indent+4, width/2)
}
