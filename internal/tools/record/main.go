// Command record makes a moving picture of what a program prints on a terminal: an
// SVG that shows one part after the other, where an empty line ends a part.
//
//	script -qec "bin/baleen demo" /dev/null | record > docs/demo.svg
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
)

const (
	width, line, margin = 880, 17, 16
	seconds             = 5 // that a part is shown
)

func main() {
	data, err := io.ReadAll(os.Stdin)
	if err == nil {
		out := bufio.NewWriter(os.Stdout)
		draw(out, split(string(data)))
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

var (
	overwritten = regexp.MustCompile(`[^\n]*\r(?:\x1b\[K)?([^\n])`) // progress
	unprintable = regexp.MustCompile(`[^\x20-\x{10FFFF}]`)
	erase       = regexp.MustCompile(`\x1b\[K`)
	style       = regexp.MustCompile(`\x1b\[(\d+)m(.*?)\x1b\[0m`)
)

// split returns the lines of each part of a text.
func split(text string) [][]string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = erase.ReplaceAllString(overwritten.ReplaceAllString(text, "$1"), "")
	var parts [][]string
	for part := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		parts = append(parts, strings.Split(strings.Trim(part, "\n"), "\n"))
	}
	return parts
}

// classes are the names of the styles of package internal/term.
var classes = map[string]string{"1": "b", "2": "d", "31": "r", "32": "g", "33": "y"}

func draw(w io.Writer, parts [][]string) {
	most := 0
	for _, part := range parts {
		most = max(most, len(part))
	}
	height := (most+3)*line + 2*margin
	total := len(parts) * seconds
	share := 100 / float64(len(parts))
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="12">
<style>
text{fill:#c9d1d9;white-space:pre}.b{fill:#fff;font-weight:700}.d{fill:#8b949e}.r{fill:#ff7b72}.g{fill:#7ee787}.y{fill:#e3b341}
.p{opacity:0;animation:show %ds linear infinite}
@keyframes show{0%%,%.3f%%{opacity:1}%.3f%%,100%%{opacity:0}}
</style>
<rect width="%d" height="%d" rx="8" fill="#0d1117"/>
<text x="%d" y="%d"><tspan class="d">$ </tspan>baleen demo</text>
`, width, height, total, share-0.01, share, width, height, margin, margin+line)
	for i, part := range parts {
		fmt.Fprintf(w, `<g class="p" style="animation-delay:%ds">`+"\n", i*seconds)
		for n, text := range part {
			if text != "" {
				fmt.Fprintf(w, `<text x="%d" y="%d" xml:space="preserve">%s</text>`+"\n", margin, margin+(n+3)*line, coloured(text))
			}
		}
		fmt.Fprintln(w, "</g>")
	}
	fmt.Fprintln(w, "</svg>")
}

// coloured is a line with a span for each style.
func coloured(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		m := style.FindStringSubmatchIndex(text)
		if m == nil {
			break
		}
		b.WriteString(html.EscapeString(text[:m[0]]))
		fmt.Fprintf(&b, `<tspan class="%s">%s</tspan>`, classes[text[m[2]:m[3]]], html.EscapeString(text[m[4]:m[5]]))
		text = text[m[1]:]
	}
	return b.String() + html.EscapeString(unprintable.ReplaceAllString(text, ""))
}
