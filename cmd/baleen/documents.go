package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/field"
)

// document is one of the documents of a file.
type document struct {
	file   string
	line   int            // on which it begins
	object map[string]any // nil where it cannot be read
	wrong  string         // why not
}

// readFiles returns the documents of files; - is the standard input, and a folder
// stands for the files in it that kubectl would take.
func readFiles(ctx context.Context, names []string, stdin io.Reader) ([]document, error) {
	names, err := filesOf(names)
	if err != nil {
		return nil, err
	}
	var all []document
	for _, name := range names {
		data, err := readFile(ctx, name, stdin)
		if name == "-" {
			name = "stdin"
		}
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", name, err)
		}
		documents := parseDocuments(name, string(data))
		if len(documents) == 0 {
			documents = []document{{file: name, line: 1, wrong: "there is nothing in it: write a request, or look whether it was saved"}}
		}
		all = append(all, documents...)
	}
	return all, nil
}

// filesOf puts the files of folders in place of their names: those ending in .yaml,
// .yml or .json, and none of folders in them.
func filesOf(names []string) ([]string, error) {
	var files []string
	for _, name := range names {
		if info, err := os.Stat(name); name == "-" || err != nil || !info.IsDir() {
			files = append(files, name) // what is wrong with it shows when it is read
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("the folder %s cannot be read: %w", name, err)
		}
		before := len(files)
		for _, entry := range entries {
			if !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(entry.Name())) {
				files = append(files, filepath.Join(name, entry.Name()))
			}
		}
		if len(files) == before {
			return nil, fmt.Errorf("the folder %s has no file that ends in .yaml, .yml or .json: name the folder that has them", name)
		}
	}
	return files, nil
}

// largest is how large a file of requests may be: an API server takes some 1.5 MiB for
// one of them.
const largest = 16 << 20

func readFile(ctx context.Context, name string, stdin io.Reader) ([]byte, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		stdin = file
	}
	return readAll(ctx, stdin)
}

// readAll reads to the end, or until the context ends: a reader that waits for what
// somebody types cannot be stopped, and is left behind.
func readAll(ctx context.Context, from io.Reader) ([]byte, error) {
	var data []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		data, err = io.ReadAll(io.LimitReader(from, largest+1))
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-done:
	}
	if err == nil && len(data) > largest {
		err = errors.New("it has more than 16 MiB: give it in parts")
	}
	return data, err
}

// parseDocuments reads each document of a file by itself, so that a mistake in one
// does not hide the next. Empty ones are left out, and a List is what is in it.
func parseDocuments(name, data string) []document {
	data = strings.ReplaceAll(strings.TrimPrefix(data, "\ufeff"), "\r\n", "\n")
	var documents []document
	var text strings.Builder
	begin := 1
	end := func(next int) {
		documents = append(documents, parseDocument(name, begin, text.String())...)
		begin = next
		text.Reset()
	}
	for i, line := range strings.SplitAfter(data, "\n") {
		if marker := strings.TrimRight(line, " \t\n"); marker == "---" || strings.HasPrefix(line, "--- ") {
			end(i + 1)
		} else if marker == "..." {
			end(i + 2)
			continue
		}
		text.WriteString(line)
	}
	end(0)
	return documents
}

func parseDocument(name string, begin int, text string) []document {
	d := document{file: name, line: begin}
	encoded, err := yaml.YAMLToJSONStrict([]byte("\n" + text)) // on the first line errors would have no number
	if err != nil {
		d.wrong = yamlMistake(err.Error(), begin, strings.Split(text, "\n"))
		return []document{d}
	}
	if string(encoded) == "null" {
		return nil
	}
	if err := utiljson.Unmarshal(encoded, &d.object); err != nil {
		d.wrong = fmt.Sprintf("line %d: that is not a Kubernetes object: write apiVersion, kind, metadata and spec, each on a line of its own", begin)
		return []document{d}
	}
	items, isList := d.object["items"].([]any)
	if kind, _ := d.object["kind"].(string); !isList || !strings.HasSuffix(kind, "List") {
		return []document{d}
	}
	var documents []document
	for _, item := range items {
		item, _ := item.(map[string]any)
		documents = append(documents, document{file: name, line: begin, object: item, wrong: map[bool]string{true: "an entry of the List is not an object"}[item == nil]})
	}
	return documents
}

var (
	yamlLine = regexp.MustCompile(`line (\d+): `)
	// fromZero are the errors whose lines the parser counts from 0.
	fromZero  = regexp.MustCompile(`did not find expected (node content|key|'-' indicator|',' or)`)
	setTwice  = regexp.MustCompile(`key "(.*)" already set in map`)
	tabbed    = regexp.MustCompile(`^ *\t`)
	special   = regexp.MustCompile("(?:[:,\\[-] +|\\[)([*@%&!>|`][^\\s,\\]]*)")
	unquoted  = regexp.MustCompile(`^[^"']*$`)
	brackets  = regexp.MustCompile(`,\s*,|[\[{]\s*,`)
	noBlank   = regexp.MustCompile(`^[\s-]*[A-Za-z]+:[^\s/]`)
	templated = regexp.MustCompile(`^[^"'#]*[{][{]`)
	noColon   = regexp.MustCompile(`^\s*[A-Za-z][^:#,\[\]{}]*$`)
)

// yamlMistake says what is wrong with the lines of a document, the first of which is
// line begin of its file, as somebody would say it who looks at them.
func yamlMistake(err string, begin int, lines []string) string {
	n := 1
	if match := yamlLine.FindStringSubmatch(err); match != nil {
		n, _ = strconv.Atoi(match[1])
		if !fromZero.MatchString(err) {
			n-- // a line was put before them
		}
	}
	n = min(max(n, 1), len(lines))
	line := lines[n-1]
	for i, l := range lines {
		switch {
		case tabbed.MatchString(l):
			return fmt.Sprintf("line %d is indented with a tab: YAML wants blanks", begin+i)
		case templated.MatchString(l):
			return fmt.Sprintf("line %d has {{ without quotes: put quotes around the text, and if it is a template of Helm, render it first", begin+i)
		case strings.Count(l, `"`)%2 == 1 && !strings.Contains(l, "#"):
			return fmt.Sprintf("line %d has a quote that is not closed, or not opened: text has quotes at both ends", begin+i)
		}
	}
	at := fmt.Sprintf("line %d", begin+n-1)
	if match := setTwice.FindStringSubmatch(err); match != nil {
		return fmt.Sprintf("%s has the field %s for the second time: keep one of them", at, match[1])
	}
	if match := special.FindStringSubmatch(line); match != nil && unquoted.MatchString(line) {
		if field.Hide(match[1]) != match[1] || len(match[1]) > 64 {
			return at + " has a text without quotes, and YAML takes its first character for a sign of its own: put quotes around it"
		}
		return fmt.Sprintf(`%s has the text %s without quotes, and YAML takes its first character for a sign of its own: write "%s"`, at, match[1], match[1])
	}
	if n > 1 && noBlank.MatchString(lines[n-2]) {
		return fmt.Sprintf("line %d has no blank after the colon: write one", begin+n-2)
	}
	if n > 1 && noColon.MatchString(lines[n-2]) {
		return fmt.Sprintf("line %d has no colon: write the name of the field, a colon, a blank and its value", begin+n-2)
	}
	for i := n - 1; i >= 0 && strings.Contains(err, "',' or"); i-- {
		if opens := strings.Count(lines[i], "[") + strings.Count(lines[i], "{"); opens > strings.Count(lines[i], "]")+strings.Count(lines[i], "}") {
			at = fmt.Sprintf("line %d", begin+i)
			break
		}
	}
	for _, known := range []struct{ part, say string }{
		{"unexpected end of stream", " is the end, and a quote that was opened before is not closed: close it"},
		{"',' or", " has a bracket that is not closed, or lacks a comma after an entry: look at the brackets"},
		{"node content", map[bool]string{true: " has a comma too many: leave it out", false: " has a bracket or a comma where a value should be: correct it"}[brackets.MatchString(line)]},
		{"'-' indicator", " is followed by a line that is no entry of the list: indent it further, or begin it with \"- \""},
		{"expected key", " or the one after it is not indented as those around it, or has a bracket too many: give all fields of one map the same number of blanks"},
		{"mapping values", ` has a second colon, or is indented too far: put quotes around text that has ": " in it`},
		{"expected ':'", " or the one before it is not a field: write its name, a colon, a blank and its value"},
		{"cannot start", " has a value that begins with a character which YAML keeps for itself: put quotes around it"},
		{"alphabetic or numeric", " has a * or & without quotes, which YAML takes for a sign of its own: put quotes around the text"},
	} {
		if strings.Contains(err, known.part) {
			return at + known.say
		}
	}
	return at + " is not YAML: look at its indentation, quotes and brackets"
}
