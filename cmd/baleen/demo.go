package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/term"
)

//go:embed demo
var demoFiles embed.FS

func demoCommand() *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what Baleen does, on a platform made for the occasion",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted := providers
			if provider != "" {
				wanted = slices.DeleteFunc(slices.Clone(providers), func(p natsProvider) bool { return p.name != provider })
				if len(wanted) == 0 {
					return fmt.Errorf("--provider %q is neither jwt nor synadia", provider)
				}
			}
			dir, err := os.MkdirTemp("", "baleen-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			s := &story{w: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), colors: term.Colors(cmd.OutOrStdout())}
			return s.tell(cmd.Context(), dir, provider == "", wanted)
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "", "show only the credentials of one provider: jwt or synadia")
	return cmd
}

// story is what all parts of the demo share.
type story struct {
	w, stderr io.Writer
	colors    bool
	chapter   int
}

// tell tells the part about APIs, if that is wanted, and one for each provider.
func (s *story) tell(ctx context.Context, dir string, apis bool, wanted []natsProvider) error {
	if apis {
		d, err := s.begin(filepath.Join(dir, "apis"))
		if err != nil {
			return err
		}
		if err := s.show(ctx, d.chapters()); err != nil {
			return err
		}
	}
	for _, p := range wanted {
		d, err := s.begin(filepath.Join(dir, p.name))
		if err != nil {
			return err
		}
		if err := d.tellCredentials(ctx, p); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.w)
	return nil
}

// begin makes a platform for a part of the demo.
func (s *story) begin(dir string) (*demo, error) {
	d := &demo{
		story: s, dir: dir, files: map[string][]byte{}, results: map[string]kratix.Result{},
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

func (s *story) show(ctx context.Context, chapters []chapter) error {
	for _, chapter := range chapters {
		s.chapter++
		fmt.Fprintf(s.w, "\n%s\n", s.paint(term.Bold, fmt.Sprintf("%d. %s", s.chapter, chapter.title)))
		if err := chapter.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) paint(style term.Style, text string) string {
	if !s.colors {
		return text
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", style, text)
}

// demo tells a part of the story: requests, each run as `baleen run` does.
type demo struct {
	*story
	dir string
	now time.Time
	// clock is the time of the last run, for those who run beside this.
	clock atomic.Pointer[time.Time]
	// results are the last results, by the request's file.
	results map[string]kratix.Result
	// files are requests that only this run of the demo knows.
	files map[string][]byte
}

// chapters are those about APIs.
func (d *demo) chapters() []chapter {
	return []chapter{
		{"The platform team asks for the host api.example.com on all production clusters", d.run("public-api.yaml")},
		{"Team A publishes two paths of its service orders under that host", d.run("orders.yaml")},
		{"Team B publishes /users, a tenth of it served by a canary", d.run("users.yaml")},
		{"Team C wants /orders, which is team A's, and a path below team B's /users", d.run("thief.yaml")},
		{"Who publishes what: `baleen routes`", d.routes},
		{"Ten hours later Kratix reconciles everything", d.reconcile},
		{"Team A lets go of /orders: it leaves the clusters first, and is free in the run after that", d.runTwice("orders-moved.yaml")},
		{"Team C was asked to reconcile, and takes it over", d.run("thief.yaml")},
		{"Who publishes what now", d.routes},
	}
}

// chapter is a part of the story.
type chapter struct {
	title string
	tell  func(context.Context) error
}

func (d *demo) platform() string { return filepath.Join(d.dir, "platform") }

// carryOut runs a request of the demo's.
func (d *demo) carryOut(ctx context.Context, file string) (kratix.Result, error) {
	return d.workflow(ctx, kratix.Configure, file, d.stderr)
}

// workflow runs a workflow of a request of the demo's.
func (d *demo) workflow(ctx context.Context, action kratix.Action, file string, stderr io.Writer) (kratix.Result, error) {
	data, known := d.files[file]
	if !known {
		var err error
		if data, err = demoFiles.ReadFile("demo/" + file); err != nil {
			return kratix.Result{}, err
		}
	}
	now := d.now
	d.clock.Store(&now)
	f := runFlags{
		request: file, platform: d.platform(), out: filepath.Join(d.dir, "out"), now: now.Format(time.RFC3339),
		action: string(action), kratix: string(kratix.H),
	}
	_, result, err := f.carryOut(ctx, data, stderr)
	d.results[file] = result
	return result, err
}

// run carries out a request and shows what came of it.
func (d *demo) run(file string) func(context.Context) error {
	return func(ctx context.Context) error {
		result, err := d.carryOut(ctx, file)
		if err != nil {
			return err
		}
		rows := [][]term.Cell{}
		for _, r := range result.Destinations {
			rows = append(rows, []term.Cell{{Text: "  " + r.Name}, {Text: files(len(r.After)), Style: term.Green}})
		}
		value, reason := ready(result.Status)
		style := term.Green
		if value != "True" {
			style = term.Red
		}
		message, _ := result.Status["message"].(string)
		rows = append(rows, []term.Cell{{Text: "  Ready"}, {Text: value + reason, Style: style}}, []term.Cell{{Text: ""}, {Text: message}})
		return term.Table(d.w, d.colors, rows...)
	}
}

// runTwice carries out a request and shows what came of its second run.
func (d *demo) runTwice(file string) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := d.carryOut(ctx, file); err != nil {
			return err
		}
		return d.run(file)(ctx)
	}
}

// routes shows the routing table of the platform.
func (d *demo) routes(ctx context.Context) error {
	client, err := platformFlags{folder: d.platform()}.open()
	if err != nil {
		return err
	}
	routes, err := collectRoutes(ctx, client)
	if err != nil {
		return err
	}
	return routeTable(d.w, "  ", routes)
}

// reconcile runs all requests again and counts what changes.
func (d *demo) reconcile(ctx context.Context) error {
	// The aggregator has something new to show in its status: the paths. Then
	// nothing is left to do.
	if _, err := d.carryOut(ctx, "public-api.yaml"); err != nil {
		return err
	}
	before, err := snapshot(d.platform())
	if err != nil {
		return err
	}
	d.now = d.now.Add(10 * time.Hour)
	var t tally
	for _, file := range []string{"public-api.yaml", "orders.yaml", "users.yaml", "thief.yaml"} {
		if err := t.run(ctx, d, file); err != nil {
			return err
		}
	}
	return t.show(d, before)
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
	changed, unchanged := t.changed, t.unchanged
	style := term.Green
	if changed+written > 0 {
		style = term.Red
	}
	if err := term.Table(d.w, d.colors,
		[]term.Cell{{Text: "  Runs"}, {Text: fmt.Sprint(t.runs)}},
		[]term.Cell{{Text: "  Documents on clusters"}, {Text: fmt.Sprintf("%d unchanged, %d changed", unchanged, changed), Style: style}},
		[]term.Cell{{Text: "  Objects on the platform"}, {Text: fmt.Sprintf("%d unchanged, %d changed", len(after)-written, written), Style: style}},
	); err != nil {
		return err
	}
	if changed+written > 0 {
		return fmt.Errorf("a reconcile with nothing to do changed %d documents and %d objects", changed, written)
	}
	return nil
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
