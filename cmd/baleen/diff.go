package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// The exit codes of `baleen diff`, those of diff and kubectl diff.
const (
	exitDiffers    = 1
	exitDiffFailed = 2
)

// diffFlags are what `baleen diff` is asked.
type diffFlags struct {
	from  platformFlags
	files []string
	now   string

	failOnRefusal bool
}

func diffCommand() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what a request would change on which cluster",
		Long: `Diff runs the pipelines of requests over the platform cluster, or over a folder that
stands for it, and shows as a unified diff what each Destination would get. The
platform is read and never written to, and nothing is revoked or issued: for
NatsAccounts and NatsUsers the pipeline makes a dry run, in which a credential that
would be issued is one that has expired already. Of ciphertext only the beginning is
shown. Several requests are applied in their order; what a dry run would do no later
one sees.

The pipelines run here, with your rights and from your network. For requests of teams
you must be allowed to read what the pipelines read, such as ConfigMaps in
baleen-state, and for NatsAccounts and NatsUsers the Secrets in baleen-system as well;
for NatsAccounts with an operator's key those in baleen-operator too.

The exit code is 0 if nothing would change, 1 if something would, and 2 for an error;
with --fail-on-refusal also for a request that would not be ready.`,
		Example: `  baleen diff -f orders.yaml
  baleen diff -f orders.yaml --platform ./platform
  kustomize build ./team-a | baleen diff -f - --context platform`,
		RunE: func(cmd *cobra.Command, args []string) error {
			differs, err := f.run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			switch {
			case err != nil:
				return diffFailed(cmd, err)
			case differs:
				return exitCode(exitDiffers)
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return diffFailed(cmd, noSuchFlag(cmd, err)) })
	cmd.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "file with requests, or - for the standard input (repeatable)")
	cmd.Flags().StringVar(&f.now, "now", "", "time of the run, as 2026-08-01T12:00:00Z (default: now)")
	cmd.Flags().BoolVar(&f.failOnRefusal, "fail-on-refusal", false, "exit with 2 when a request would be refused: its condition Ready would be False")
	f.from.add(cmd.Flags(), "kubeconfig")
	return cmd
}

// diffFailed reports an error with an exit code that does not mean a difference.
func diffFailed(cmd *cobra.Command, err error) error {
	if code, said := errors.AsType[exitCode](err); said {
		return code
	}
	complain(cmd.ErrOrStderr(), err)
	return exitCode(exitDiffFailed)
}

// check looks at the flags alone.
func (f diffFlags) check(args []string) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("%s is not taken by itself: write baleen diff -f %s", field.Quote(args[0]), args[0])
	case len(f.files) == 0:
		return errors.New("name the request: baleen diff -f FILE, or -f - for the standard input")
	}
	return nil
}

// run shows what would change, and reports whether anything would.
func (f diffFlags) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (bool, error) {
	if err := f.check(args); err != nil {
		return false, err
	}
	documents, err := readFiles(ctx, f.files, stdin)
	if err != nil {
		return false, err
	}
	if err := diffable(documents); err != nil {
		return false, err
	}
	now, err := clock(f.now)
	if err != nil {
		return false, err
	}
	client, err := f.from.open()
	if err != nil {
		return false, err
	}
	over := platform.NewOverlay(client, now)
	dir, err := os.MkdirTemp("", "baleen-diff-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	differs, refused := false, false
	for _, d := range documents {
		object := &unstructured.Unstructured{Object: d.object}
		if _, ours := schemas()[object.GetKind()]; !ours {
			fmt.Fprintf(stderr, "%s: skipped, because it is of no kind of Baleen's\n", term.Clean(object.GetKind()+" "+object.GetName()))
			continue
		}
		result, err := f.try(ctx, dir, over, object, stderr)
		if err != nil {
			return false, err
		}
		text, err := diffOf(result.Destinations)
		if err != nil {
			return false, err
		}
		differs = differs || text != ""
		if err := writeDiff(stdout, text); err != nil {
			return false, err
		}
		value, _ := ready(result.Status)
		refused = refused || value == "False"
		noteRefusal(stderr, object, result)
	}
	if refused && f.failOnRefusal {
		return false, exitCode(exitDiffFailed)
	}
	return differs, nil
}

// diffable returns what validate says of the first document that is refused.
func diffable(documents []document) error {
	for _, v := range validateAll(documents) {
		if len(v.Problems) > 0 {
			p := v.Problems[0]
			more := ""
			if n := len(v.Problems); n > 1 {
				more = fmt.Sprintf(" (and %s more: see baleen validate)", field.Count(n-1, "problem"))
			}
			return fmt.Errorf("%s cannot be applied: %s%s%s", v.subject(), prefixedText("", p.Field, ": "), p.Message, more)
		}
	}
	return nil
}

// try runs a request's pipeline over the platform. Pipelines for routes change the
// platform alone, and so really run, for what comes after them; those for credentials
// make a dry run.
func (f diffFlags) try(ctx context.Context, dir string, over *platform.Overlay, object *unstructured.Unstructured, stderr io.Writer) (simulator.Result, error) {
	promise, err := runFlags{}.findPromise(object)
	if err != nil {
		return simulator.Result{}, err
	}
	now, err := clock(f.now)
	if err != nil {
		return simulator.Result{}, err
	}
	pipeline, _ := own.of(promise.Name) // Baleen's own, all of which it has
	return simulator.Run(ctx, simulator.Options{
		Version: simulator.KratixLatest,
		Action:  kratix.Configure,
		Promise: promise,
		Request: object,
		Client:  over,
		Dir:     dir,
		Stage: func(ctx context.Context, env []string) error {
			return f.stage(ctx, pipeline, append(env, "BALEEN_KRATIX_DIR="+dir), over, stderr)
		},
		DryRun: !pipeline.PlatformOnly,
		Now:    now,
	})
}

// stage runs a pipeline as its container would, but here. What it prints is shown
// when it fails.
func (f diffFlags) stage(ctx context.Context, p workflow.Pipeline, env []string, over *platform.Overlay, stderr io.Writer) error {
	// Nobody else writes to what is above the platform, so there is nobody to wait for.
	env = append(env, "BALEEN_PLATFORM_DIR=over the platform")
	if f.now != "" {
		env = append(env, "BALEEN_NOW="+f.now)
	}
	var log bytes.Buffer
	err := runHere(ctx, p, env, workflow.Environment{
		Stderr: &log,
		Open:   func(func() time.Time) (platform.Client, error) { return over, nil },
	})
	if err == nil {
		return nil
	}
	for line := range strings.Lines(log.String()) {
		fmt.Fprintln(stderr, term.Clean(strings.TrimSuffix(line, "\n")))
	}
	return err
}

// noteRefusal says on stderr that a request would not be carried out as it is asked.
func noteRefusal(w io.Writer, object *unstructured.Unstructured, result simulator.Result) {
	value, reason := ready(result.Status)
	if message, _ := result.Status["message"].(string); value != "" && value != "True" {
		fmt.Fprintln(w, term.Clean(fmt.Sprintf("%s %s/%s would not be ready%s: %s", object.GetKind(), object.GetNamespace(), object.GetName(), reason, message)))
	}
	for _, directory := range result.Unscheduled {
		fmt.Fprintln(w, term.Clean(fmt.Sprintf("%s %s/%s: no Destination matches the selectors of the directory %s", object.GetKind(), object.GetNamespace(), object.GetName(), directory)))
	}
}

// diffOf returns the unified diff of all files of all Destinations.
func diffOf(destinations []simulator.Destination) (string, error) {
	var all strings.Builder
	for _, d := range destinations {
		names := slices.Collect(maps.Keys(d.Before))
		for name := range d.After {
			if _, both := d.Before[name]; !both {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			before, was := d.Before[name]
			after, is := d.After[name]
			if was && is && bytes.Equal(before, after) {
				continue
			}
			text, err := unified(d.Name+"/"+name, before, was, after, is)
			if err != nil {
				return "", err
			}
			all.WriteString(text)
		}
	}
	return all.String(), nil
}

// unified returns the unified diff of one file, which may be missing on one side.
func unified(name string, before []byte, was bool, after []byte, is bool) (string, error) {
	side := func(there bool, side string) string {
		if there {
			return side + "/" + name
		}
		return "/dev/null"
	}
	lines := func(data []byte) []string {
		if len(data) == 0 {
			return nil
		}
		return difflib.SplitLines(strings.TrimSuffix(string(data), "\n"))
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(before), B: lines(after), FromFile: side(was, "a"), ToFile: side(is, "b"), Context: 3,
	})
	head := fmt.Sprintf("diff -u -N %s %s\n", "a/"+name, "b/"+name)
	if text == "" { // a line break at the end, or an empty file
		text = fmt.Sprintf("--- %s\n+++ %s\n", side(was, "a"), side(is, "b"))
	}
	return head + text, err
}

// ciphertext is what kubeseal makes of a value.
var ciphertext = regexp.MustCompile(`\bAg[A-Za-z0-9+/=]{200,}`)

// writeDiff writes a diff, on a terminal in colours.
func writeDiff(w io.Writer, text string) error {
	colors := term.Colors(w)
	for line := range strings.Lines(text) {
		line = ciphertext.ReplaceAllStringFunc(line, func(c string) string { return c[:16] + "…" })
		line = strings.Map(func(r rune) rune {
			if r == '\t' || unicode.IsPrint(r) {
				return r
			}
			return -1
		}, line)
		var style term.Style
		switch {
		case !colors:
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			style = term.Bold
		case strings.HasPrefix(line, "-"):
			style = term.Red
		case strings.HasPrefix(line, "+"):
			style = term.Green
		case strings.HasPrefix(line, "@@"):
			style = term.Dim
		}
		if _, err := fmt.Fprintln(w, term.Paint(colors, style, line)); err != nil {
			return err
		}
	}
	return nil
}
