package term

import (
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		name          string
		line          string
		width, indent int
		want          string
	}{
		{"no terminal", "one two three", 0, 2, "one two three"},
		{"it fits", "one two three", 13, 2, "one two three"},
		{"between words", "one two three", 8, 2, "one two\n  three"},
		{"a word that is too long", "one " + strings.Repeat("x", 12) + " two", 8, 2, "one\n  xxxxxxxxxxxx\n  two"},
		{"the first word is too long", strings.Repeat("x", 12) + " two", 8, 2, "xxxxxxxxxxxx\n  two"},
		{"colours take no room", "\x1b[31mone two\x1b[0m three", 13, 2, "\x1b[31mone two\x1b[0m three"},
		{"letters that take two bytes", "größe höhe länge", 11, 0, "größe höhe\nlänge"},
		{"a terminal that is narrower than the indentation", "one two", 4, 6, "one two"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Wrap(test.line, test.width, test.indent); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestReflow(t *testing.T) {
	const help = "Words that were broken\nfor a wide terminal.\n\nUsage:\n  baleen diff -f FILE [flags]\n\nFlags:\n  -h, --help   help for it, in some more words\n"
	for _, test := range []struct {
		name  string
		width int
		want  string
	}{
		{"no terminal", 0, help},
		{"a paragraph is filled", 80, "Words that were broken for a wide terminal.\n\nUsage:\n  baleen diff -f FILE [flags]\n\nFlags:\n  -h, --help   help for it, in some more words\n"},
		{"a flag is broken below its column", 34, "Words that were broken for a wide\nterminal.\n\nUsage:\n  baleen diff -f FILE [flags]\n\nFlags:\n  -h, --help   help for it, in\n               some more words\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Reflow(help, test.width); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
