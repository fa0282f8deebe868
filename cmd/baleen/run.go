package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

// runFlags are what `baleen run` is asked.
type runFlags struct {
	request, platform, out, promise string
	action, kratix, output, now     string
	dryRun                          bool
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run REQUEST.yaml --platform DIR",
		Short: "Run the pipeline of a request on a folder that stands for the platform cluster",
		Long: `Run does for one request what Kratix does on a platform cluster: it stores the
request, runs its Promise's pipeline, and delivers the output to the Destinations
that its selectors match.

The platform cluster is a folder of YAML files, one object per file:
<namespace or _cluster>/<Kind>.<group>/<name>.yaml (group "core" for the core one).
REQUEST.yaml is only read. Afterwards OUT has the folders that the pipeline saw
(input, output, metadata) and, in destinations/NAME, what each cluster gets.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one request: baleen run REQUEST.yaml --platform DIR")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.request = args[0]
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.platform, "platform", "", "folder that stands for the platform cluster (required)")
	flags.StringVar(&f.action, "action", string(kratix.Configure), "what to do for the request: configure or delete")
	flags.StringVar(&f.out, "out", "baleen-out", "folder for what the pipeline reads and writes; a former run's is cleared")
	flags.StringVar(&f.now, "now", "", "time of the run, as 2026-08-01T12:00:00Z (default: now)")
	flags.StringVar(&f.promise, "promise", "", "file of the Promise (default: the one of Baleen's that serves the request's kind)")
	flags.StringVar(&f.kratix, "kratix", string(kratix.H), "which Kratix to act like: h (newest) or m (August 2025)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "run the pipeline as a dry run and write nothing to the platform (Kratix h only)")
	flags.StringVar(&f.output, "output", "table", "what to print: table or json")
	return cmd
}

func (f runFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	data, err := os.ReadFile(f.request)
	if err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	promise, result, err := f.carryOut(ctx, data, stderr)
	if err != nil {
		return err
	}
	r := newReport(f, promise, result)
	if f.output == "json" {
		return printJSON(stdout, r)
	}
	return r.table(stdout)
}

// check looks at the flags alone.
func (f runFlags) check() error {
	if f.platform == "" {
		return errors.New("name the folder that stands for the platform cluster with --platform DIR")
	}
	for _, flag := range []struct {
		name, value string
		values      []string
	}{
		{"action", f.action, []string{string(kratix.Configure), string(kratix.Delete)}},
		{"kratix", f.kratix, []string{string(kratix.H), string(kratix.M)}},
		{"output", f.output, []string{"table", "json"}},
	} {
		if !slices.Contains(flag.values, flag.value) {
			return fmt.Errorf("--%s %q is neither %s", flag.name, flag.value, strings.Join(flag.values, " nor "))
		}
	}
	if f.dryRun && f.kratix != string(kratix.H) {
		return errors.New("--dry-run needs --kratix h: the other one has no dry runs")
	}
	return nil
}

// carryOut runs the request's pipeline as Kratix would.
func (f runFlags) carryOut(ctx context.Context, data []byte, stderr io.Writer) (promise kratix.Promise, result kratix.Result, err error) {
	now, err := clock(f.now)
	if err != nil {
		return promise, result, err
	}
	request, err := readRequest(f.request, data)
	if err != nil {
		return promise, result, err
	}
	if promise, err = f.findPromise(request); err != nil {
		return promise, result, err
	}
	if f.platform, err = filepath.Abs(f.platform); err != nil {
		return promise, result, err
	}
	if f.out, err = filepath.Abs(f.out); err != nil {
		return promise, result, err
	}
	client, err := platform.OpenFolder(f.platform, now)
	if err != nil {
		return promise, result, err
	}
	result, err = kratix.Run(ctx, kratix.Options{
		Version: kratix.Version(f.kratix),
		Action:  kratix.Action(f.action),
		Promise: promise,
		Request: request,
		Client:  client,
		Dir:     f.out,
		Stage:   f.stage(promise.Name, stderr),
		DryRun:  f.dryRun,
		Now:     now,
	})
	return promise, result, err
}

// readRequest reads the content of a file, which must be one object.
func readRequest(name string, data []byte) (*unstructured.Unstructured, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var request map[string]any
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", name, err)
		}
		encoded, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, fmt.Errorf("%s is not YAML: %w", name, err)
		}
		if bytes.Equal(encoded, []byte("null")) {
			continue
		}
		if request != nil {
			return nil, fmt.Errorf("%s holds several documents: put each request into a file of its own", name)
		}
		if err := utiljson.Unmarshal(encoded, &request); err != nil {
			return nil, fmt.Errorf("%s is not a Kubernetes object: write apiVersion, kind, metadata and spec", name)
		}
	}
	object := &unstructured.Unstructured{Object: request}
	if object.GetKind() == "" || object.GetAPIVersion() == "" {
		return nil, fmt.Errorf("%s is not a Kubernetes object: it has no apiVersion or no kind", name)
	}
	return object, nil
}

// findPromise returns the Promise from the file that is named, or the embedded
// one for the request's kind.
func (f runFlags) findPromise(request *unstructured.Unstructured) (kratix.Promise, error) {
	kind := request.GroupVersionKind().GroupKind()
	promise, found := promises.Find(kind)
	if f.promise != "" {
		data, err := os.ReadFile(f.promise)
		if err != nil {
			return kratix.Promise{}, fmt.Errorf("the Promise cannot be read: %w", err)
		}
		if promise, err = promises.Parse(data); err != nil {
			return kratix.Promise{}, fmt.Errorf("the Promise %s cannot be used: %w", f.promise, err)
		}
	} else if !found {
		var kinds []string
		for _, p := range promises.All() {
			kinds = append(kinds, p.Kind.GroupKind().String())
		}
		return kratix.Promise{}, fmt.Errorf("no Promise of Baleen serves %s (there are %s): name its file with --promise", kind, strings.Join(kinds, ", "))
	}
	var file struct {
		Spec struct {
			DestinationSelectors []struct {
				MatchLabels map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(promise.YAML, &file); err != nil {
		return kratix.Promise{}, fmt.Errorf("the Promise %s has spec.destinationSelectors that cannot be read: %w", promise.Name, err)
	}
	p := kratix.Promise{Name: promise.Name, Kind: promise.Kind, Configure: promise.ConfigurePipeline, Delete: promise.DeletePipeline}
	for _, s := range file.Spec.DestinationSelectors {
		p.Selectors = append(p.Selectors, s.MatchLabels)
	}
	return p, nil
}

// stage returns how the Promise's pipeline is run. What it prints is shown when
// it fails.
func (f runFlags) stage(name string, stderr io.Writer) func(context.Context, []string) error {
	return func(ctx context.Context, env []string) error {
		executable, err := os.Executable()
		if err != nil {
			return err
		}
		command := stageArgs(executable, name)
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = slices.Concat(passedOn(os.Environ()), env,
			[]string{"BALEEN_KRATIX_DIR=" + f.out, "BALEEN_PLATFORM_DIR=" + f.platform})
		if f.now != "" {
			cmd.Env = append(cmd.Env, "BALEEN_NOW="+f.now)
		}
		var log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &log, &log
		cmd.WaitDelay = 5 * time.Second // for what outlives a stage that was interrupted
		if err := cmd.Run(); err != nil {
			_, _ = stderr.Write(log.Bytes())
			return err
		}
		return nil
	}
}

// stageArgs returns the command for a Promise's pipeline: its own binary where
// that lies beside baleen, else baleen itself.
func stageArgs(executable, name string) []string {
	binary := filepath.Join(filepath.Dir(executable), name)
	if info, err := os.Stat(binary); err == nil && info.Mode().IsRegular() {
		return []string{binary}
	}
	return []string{executable, "stage", name}
}

// passedOn returns what a pipeline may see of the environment: how to find
// programs, files and the network, and nothing that would make a run here
// differ from a run in a container.
func passedOn(environ []string) []string {
	names := []string{"PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
	var passed []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains(names, name) || strings.HasSuffix(name, "_proxy") && slices.Contains(names, strings.ToUpper(name)) {
			passed = append(passed, variable)
		}
	}
	return passed
}
