package docs_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/promises"
)

var commands = flag.Bool("commands", false, "run the commands of the documents in a clone of the project, as make docs does")

// documents are those whose commands are run, each in a clean clone but for what was
// built.
func documents() []string {
	all := []string{"README.md", "docs/getting-started.md", "docs/how-to.md"}
	for _, p := range promises.All() {
		all = append(all, "promises/"+p.Name+"/README.md")
	}
	return all
}

// needsCluster stands before a block that is run by the acceptance tests, if at all.
const needsCluster = "<!-- needs a cluster -->"

// block is a fenced block of a document.
type block struct {
	line     int
	language string
	text     string
	skipped  bool // it needs a cluster
	next     bool // nothing stands between it and the block before it
}

var fence = regexp.MustCompile("^(\\s*)```(\\w*)$")

// blocks returns the fenced blocks of a document, in their order.
func blocks(document string) []block {
	var all []block
	var open *block
	indent, marked, next := "", false, false
	for i, line := range strings.Split(document, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == nil && m != nil:
			open, indent = &block{line: i + 2, language: m[2], skipped: marked, next: next}, m[1]
		case open != nil && m != nil:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		}
		if text := strings.TrimSpace(line); text != "" {
			marked, next = text == needsCluster, open == nil && m != nil
		}
	}
	return all
}

var fileName = regexp.MustCompile(`^# ([\w.-]+\.yaml)\n`)

// script is what a reader does: saves each YAML whose first line is a file's name,
// and runs each block of shell. Before each it prints where that is.
func script(all []block) string {
	var b strings.Builder
	b.WriteString("set -euo pipefail\n")
	for i, block := range all {
		name := fileName.FindStringSubmatch(block.text)
		switch {
		case block.skipped:
		case block.language == "yaml" && name != nil:
			fmt.Fprintf(&b, "cat > %s <<'END_OF_FILE'\n%sEND_OF_FILE\n", name[1], block.text)
		case block.language == "sh":
			fmt.Fprintf(&b, "echo; echo '@@ %d'\n%s", i, block.text)
		}
	}
	return b.String()
}

// What the documents tell a reader to type works, in their order, and prints what
// stands below it. In such a text a line of ... stands for any lines.
func TestCommands(t *testing.T) {
	dir := ""
	if *commands {
		dir = clone(t)
	}
	for _, name := range documents() {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("..", name))
			if err != nil {
				t.Fatal(err)
			}
			all := blocks(string(data))
			for _, b := range all {
				if b.language == "sh" {
					parse(t, name, b)
				}
			}
			if !*commands {
				return
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-c", "git clean -fdqx -e /bin\n"+script(all))
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "NO_COLOR=1")
			output, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v:\n%s", err, output)
			}
			compare(t, name, all, string(output))
		})
	}
}

// parse makes sure that a block is shell, also where it is not run.
func parse(t *testing.T, name string, b block) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), "bash", "-n")
	cmd.Stdin = strings.NewReader(b.text)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s:%d is no shell: %s", name, b.line, output)
	}
}

// clone is the project as it is in the working tree, as git would check it out.
func clone(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "baleen")
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `mkdir "$0" && git ls-files --cached --others --exclude-standard -z | xargs -0 cp --parents -t "$0" && cd "$0" &&
		git init -q && git add -A && git -c user.name=reader -c user.email=reader@example.com commit -qm clone`, dir)
	cmd.Dir = ".."
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the clone: %v: %s", err, output)
	}
	return dir
}

// compare holds what was printed to a block without a language that comes next.
func compare(t *testing.T, name string, all []block, output string) {
	t.Helper()
	for i, b := range all {
		if !b.next || b.language != "" || all[i-1].language != "sh" || all[i-1].skipped {
			continue
		}
		_, got, _ := strings.Cut(output, fmt.Sprintf("@@ %d\n", i-1))
		got, _, _ = strings.Cut(got, "\n@@ ")
		if !matches(b.text, got) {
			t.Errorf("%s:%d shows\n%s\nand what is printed is\n%s", name, b.line, b.text, got)
		}
	}
}

// matches reports whether a text is in what was printed, whose lines may be more.
func matches(want, got string) bool {
	quoted := regexp.QuoteMeta(strings.TrimSpace(want))
	pattern := strings.ReplaceAll(quoted, "\n"+regexp.QuoteMeta("...")+"\n", `\n(?:.*\n)*?`)
	return regexp.MustCompile(`(?m)^` + pattern + `$`).MatchString(regexp.MustCompile(`(?m)[ \t]+$`).ReplaceAllString(got, ""))
}

func TestBlocks(t *testing.T) {
	const document = "text\n```sh\necho a; echo b; echo c\n```\n\n```\na\n...\nc\n```\n" + needsCluster + "\n```sh\nfalse\n```\n- list\n  ```yaml\n  # x.yaml\n  a: 1\n  ```\n"
	all := blocks(document)
	if len(all) != 4 || !all[2].skipped || all[3].text != "# x.yaml\na: 1\n" {
		t.Fatalf("%+v", all)
	}
	if !all[1].next || all[2].next || all[3].next {
		t.Errorf("what comes next is wrong: %+v", all)
	}
	if s := script(all); strings.Contains(s, "false") || !strings.Contains(s, "cat > x.yaml") {
		t.Errorf("the script is\n%s", s)
	}
	for got, want := range map[string]bool{"a\nb\nc\n": true, "z\na\nc\nd\n": true, "a\nb\n": false, "c\na\n": false} {
		if matches(all[1].text, got) != want {
			t.Errorf("%q matches: %t", got, !want)
		}
	}
}

// The README is read in two minutes, and shows what it is about first.
func TestREADME(t *testing.T) {
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(string(data))); n >= 900 {
		t.Errorf("it has %d words, and fewer than 900 are wanted", n)
	}
	first := strings.Join(strings.Split(string(data), "\n")[:60], "\n")
	for _, text := range []string{"kind: ApiAggregatorTarget", "kind: NatsUser", "HTTPRoute", "SealedSecret"} {
		if !strings.Contains(first, text) {
			t.Errorf("its first 60 lines do not have %q", text)
		}
	}
}
