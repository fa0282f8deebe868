package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/term"
)

//go:embed demo
var demoFiles embed.FS

// The lines of the demo are at most so wide, and fit a narrower terminal as well.
const demoWidth = 100

const opening = `A platform team offers a host and a NATS account; teams use them on two clusters. A folder stands
for the platform, the pipelines are real, and so is the NATS server, which runs in this process.`

const closing = `Next: baleen run REQUEST.yaml --platform DIR tries a request of yours, README.md shows how;
docs/getting-started.md installs Baleen on a cluster; baleen demo --all tells more, also about Synadia.`

func demoCommand() *cobra.Command {
	var t telling
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what Baleen does, on a platform made for the occasion",
		Long: `Demo tells in ten chapters how APIs are published and how NATS credentials live, on
a platform made for the occasion: real pipelines, real NATS servers, nothing that
stays. With --all it tells more, and all about credentials again with a stand-in for
Synadia's control plane.`,
		Example: `  baleen demo
  baleen demo --chapter rotation
  baleen demo --all`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.check(); err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "baleen-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			out := cmd.OutOrStdout()
			s := &story{telling: t, out: out, w: out, stderr: cmd.ErrOrStderr(), colors: term.Colors(out), width: demoWidth}
			if width := term.Width(out); width > 0 {
				s.width = max(40, min(width, demoWidth))
			}
			return s.tell(cmd.Context(), dir)
		},
	}
	addEnum(cmd.Flags(), &t.provider, enum{name: "provider", usage: "tell only about the credentials of one provider", values: []string{"jwt", "synadia"}})
	cmd.Flags().StringVar(&t.chapter, "chapter", "", "tell one chapter: "+strings.Join(chapterNames(), ", "))
	cmd.Flags().BoolVar(&t.all, "all", false, "tell the long form")
	_ = cmd.RegisterFlagCompletionFunc("chapter", cobra.FixedCompletions(chapterNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// telling is what is wanted of the story.
type telling struct {
	all               bool
	chapter, provider string
}

func (t telling) check() error {
	if t.provider != "" {
		if err := oneOf("provider", t.provider, "jwt", "synadia"); err != nil {
			return err
		}
	}
	if t.chapter != "" && !slices.Contains(chapterNames(), t.chapter) {
		return fmt.Errorf("there is no chapter %q: there are %s", t.chapter, strings.Join(chapterNames(), ", "))
	}
	return nil
}

// chapterNames are those of the chapters of the short form, in their order.
func chapterNames() []string {
	var names []string
	for _, c := range slices.Concat((&demo{}).chapters(), (&credentialsDemo{}).chapters()) {
		if !c.long {
			names = append(names, c.name)
		}
	}
	return names
}

// parts says which parts are told: that about APIs, and those of which providers.
func (t telling) parts() (apis bool, of []natsProvider) {
	aboutAPIs := slices.ContainsFunc((&demo{}).chapters(), func(c chapter) bool { return c.name == t.chapter })
	for _, p := range providers {
		switch {
		case t.provider != "" && t.provider != p.name, aboutAPIs && t.provider == "":
		case t.provider == "" && !t.all && p.name != providers[0].name:
		default:
			of = append(of, p)
		}
	}
	return t.provider == "" && (t.chapter == "" || aboutAPIs), of
}

// chapter is a part of the story.
type chapter struct {
	name, title string
	// long: it is of the long form alone.
	long bool
	tell func(context.Context) error
}

// story is what all parts of the demo share.
type story struct {
	telling
	// out is where the story goes, and w what is written to now: out, or nowhere.
	out, w, stderr io.Writer
	colors         bool
	width          int
	told           int
}

// tell tells the part about APIs, if that is wanted, and one for each provider.
func (s *story) tell(ctx context.Context, dir string) error {
	apis, of := s.parts()
	if s.chapter == "" {
		fmt.Fprintln(s.w, s.frame(opening))
	}
	if apis {
		d, err := s.begin(filepath.Join(dir, "apis"))
		if err != nil {
			return err
		}
		if err := s.show(ctx, d.chapters()); err != nil {
			return err
		}
	}
	for _, p := range of {
		d, err := s.begin(filepath.Join(dir, p.name))
		if err != nil {
			return err
		}
		if err := d.tellCredentials(ctx, p); err != nil {
			return err
		}
	}
	if s.chapter == "" {
		fmt.Fprintf(s.w, "\n%s\n", s.frame(closing))
	}
	return nil
}

// show tells those chapters that are wanted. What leads to a chapter that is wanted
// alone happens without a word.
func (s *story) show(ctx context.Context, chapters []chapter) error {
	for _, chapter := range chapters {
		wanted := s.chapter == "" || s.chapter == chapter.name
		if chapter.long && !s.all {
			continue
		}
		if s.w = s.out; !wanted {
			s.w = io.Discard
		} else {
			s.told++
			fmt.Fprintf(s.w, "\n%s\n", s.paint(term.Bold, term.Wrap(fmt.Sprintf("%d. %s", s.told, chapter.title), s.width, 3)))
		}
		if err := chapter.tell(ctx); err != nil {
			return err
		}
		if s.w = s.out; s.chapter == chapter.name {
			return nil
		}
	}
	return nil
}

func (s *story) paint(style term.Style, text string) string { return term.Paint(s.colors, style, text) }

// frame is the text before or after the chapters, as it is where there is room.
func (s *story) frame(text string) string {
	if s.width < demoWidth {
		return term.Reflow(text, s.width)
	}
	return text
}

// say writes a sentence, on as many lines as it needs.
func (s *story) say(style term.Style, sentence string) {
	line := " "
	for word := range strings.FieldsSeq(term.Clean(sentence)) {
		if len([]rune(line))+1+len([]rune(word)) > s.width {
			fmt.Fprintln(s.w, s.paint(style, line))
			line = "   "
		}
		line += " " + word
	}
	fmt.Fprintln(s.w, s.paint(style, line))
}

// good says what happened as it should.
func (s *story) good(format string, args ...any) {
	s.say(term.Green, "✓ "+fmt.Sprintf(format, args...))
}

// yaml shows lines of a request or document: those that begin with one of the words,
// all if there are none.
func (s *story) yaml(data []byte, words ...string) {
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimLeft(line, " -")
		begins := func(word string) bool { return strings.HasPrefix(text, word) }
		if text == "" || strings.HasPrefix(text, "#") || begins("apiVersion:") || len(words) > 0 && !slices.ContainsFunc(words, begins) {
			continue
		}
		if runes := []rune(line); len(runes) > s.width-10 {
			line = string(runes[:s.width-10]) + "…"
		}
		fmt.Fprintln(s.w, s.paint(term.Dim, "    "+line))
	}
}

// progress says on a terminal how far something is that takes a while, in a line
// that is overwritten.
func (s *story) progress(what string, n, of int) {
	if !s.colors || s.w != s.out {
		return
	}
	if n == of {
		fmt.Fprint(s.out, "\r\x1b[K")
		return
	}
	fmt.Fprintf(s.out, "\r  %s %d of %d\x1b[K", what, n, of)
}

// demo tells a part of the story: requests, each run as `baleen run` does.
type demo struct {
	*story
	dir string
	now time.Time
	// clock is the time of the last run, for those who run beside this.
	clock atomic.Pointer[time.Time]
	// results are the last results, by the request's file.
	results map[string]simulator.Result
	// files are requests that only this run of the demo knows.
	files map[string][]byte
}

// begin makes a platform for a part of the demo.
func (s *story) begin(dir string) (*demo, error) {
	d := &demo{
		story: s, dir: dir, files: map[string][]byte{}, results: map[string]simulator.Result{},
		// A time that is the same in each demo, so that its output is too.
		now: time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC),
	}
	data, err := demoFiles.ReadFile("demo/platform.yaml")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.platform(), 0o755); err != nil {
		return nil, err
	}
	return d, os.WriteFile(filepath.Join(d.platform(), "platform.yaml"), data, 0o644)
}

func (d *demo) platform() string { return filepath.Join(d.dir, "platform") }

// request returns a request of the demo's.
func (d *demo) request(file string) ([]byte, error) {
	if data, known := d.files[file]; known {
		return data, nil
	}
	return demoFiles.ReadFile("demo/" + file)
}

// carryOut runs a request of the demo's.
func (d *demo) carryOut(ctx context.Context, file string) (simulator.Result, error) {
	return d.workflow(ctx, kratix.Configure, file, d.stderr)
}

// workflow runs a workflow of a request of the demo's.
func (d *demo) workflow(ctx context.Context, action kratix.Action, file string, stderr io.Writer) (simulator.Result, error) {
	data, err := d.request(file)
	if err != nil {
		return simulator.Result{}, err
	}
	now := d.now
	d.clock.Store(&now)
	f := runFlags{
		request: file, platform: d.platform(), out: filepath.Join(d.dir, "out"), now: now.Format(time.RFC3339),
		action: string(action), kratix: string(simulator.KratixLatest), stages: own,
	}
	_, result, err := f.carryOut(ctx, data, stderr)
	d.results[file] = result
	return result, err
}

// ask shows a request and carries it out.
func (d *demo) ask(ctx context.Context, file string, words ...string) (simulator.Result, error) {
	data, err := d.request(file)
	if err != nil {
		return simulator.Result{}, err
	}
	d.yaml(data, words...)
	return d.carryOut(ctx, file)
}

// served says what a request came to, and ends the demo if that is not what was to
// be shown.
func (d *demo) served(result simulator.Result) error {
	value, reason := ready(result.Status)
	message, _ := result.Status["message"].(string)
	if value != "True" {
		return fmt.Errorf("a request that should be ready is not%s: %s", reason, message)
	}
	d.good("%s", message)
	return nil
}

// documentOf returns one of the documents that the first cluster has of a request.
func documentOf(result simulator.Result, kind string, words ...string) ([]byte, error) {
	for _, destination := range result.Destinations {
		for _, name := range slices.Sorted(maps.Keys(destination.After)) {
			data := destination.After[name]
			has := func(word string) bool { return bytes.Contains(data, []byte(word)) }
			if has("\nkind: "+kind+"\n") && !slices.ContainsFunc(words, func(w string) bool { return !has(w) }) {
				return data, nil
			}
		}
	}
	return nil, fmt.Errorf("no cluster has a %s", kind)
}

// tally counts what runs change that should change nothing.
type tally struct{ runs, changed, unchanged int }

func (t *tally) run(ctx context.Context, d *demo, file string) error {
	result, err := d.carryOut(ctx, file)
	if err != nil {
		return err
	}
	t.runs++
	for _, destination := range result.Destinations {
		r := compare(destination)
		t.changed += len(r.Added) + len(r.Changed) + len(r.Removed)
		t.unchanged += r.Unchanged
	}
	return nil
}

// show compares the platform with what it was before.
func (t *tally) show(d *demo, before map[string]string) error {
	after, err := snapshot(d.platform())
	if err != nil {
		return err
	}
	written := 0
	for name, data := range after {
		if before[name] != data {
			written++
		}
	}
	if t.changed+written > 0 {
		return fmt.Errorf("a reconcile with nothing to do changed %d documents and %d objects", t.changed, written)
	}
	return term.Table(d.w, d.colors,
		[]term.Cell{{Text: "  Runs"}, {Text: fmt.Sprint(t.runs)}},
		[]term.Cell{{Text: "  Documents on clusters"}, {Text: fmt.Sprintf("%d unchanged, 0 changed", t.unchanged), Style: term.Green}},
		[]term.Cell{{Text: "  Objects on the platform"}, {Text: fmt.Sprintf("%d unchanged, 0 changed", len(after)), Style: term.Green}},
	)
}

// snapshot returns the content of a folder's files.
func snapshot(dir string) (map[string]string, error) {
	content := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		content[path] = string(data)
		return err
	})
	return content, err
}
