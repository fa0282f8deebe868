package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

// runFlags are what `baleen run` is asked.
type runFlags struct {
	request, platform, out, promise string
	namespace                       string
	action, kratix, now             string
	output                          outputFlag
	dryRun, print, failOnRefusal    bool

	// stages are the pipelines that need no binary of their own.
	stages stages
}

// The Kratixes that a run acts like, by the values of --kratix; the old values
// follow.
const (
	kratixLatest = "latest"
	kratix202508 = "2025-08"
)

var kratixes = map[string]simulator.Version{
	kratixLatest: simulator.KratixLatest, kratix202508: simulator.Kratix202508,
	string(simulator.KratixLatest): simulator.KratixLatest, string(simulator.Kratix202508): simulator.Kratix202508,
}

func runCommand(stages stages) *cobra.Command {
	f := runFlags{stages: stages}
	cmd := &cobra.Command{
		Use:   "run REQUEST.yaml --platform DIR",
		Short: "Run the pipeline of a request without a cluster",
		Long: `Run does for one request what Kratix does on a platform cluster: it stores the
request, runs its Promise's pipeline, and delivers the output to the Destinations
that its selectors match.

The platform cluster is a folder of YAML files, one object per file:
<namespace or _cluster>/<Kind>.<group>/<name>.yaml (group "core" for the core one).
REQUEST.yaml, or the file of --filename, is only read. Afterwards OUT has the folders
that the pipeline saw (input, output, metadata) and, in destinations/NAME, what each
cluster gets. With --print that is on stdout, and all else on stderr.`,
		Example: `  baleen run request.yaml --platform platform
  baleen run --filename - --platform platform --dry-run --print < request.yaml
  baleen run request.yaml --platform platform --fail-on-refusal --output json`,
		ValidArgsFunction: oneArgument(yamlFiles),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.name(args); err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.request, "filename", "f", "", "`file` of the request, in place of REQUEST.yaml; - reads it from stdin")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of the request, where the file does not say it")
	flags.StringVar(&f.platform, "platform", "", "`folder` that stands for the platform cluster (required)")
	addEnum(flags, &f.action, enum{name: "action", value: string(kratix.Configure), usage: "what to do for the request", values: []string{string(kratix.Configure), string(kratix.Delete)}})
	flags.StringVar(&f.out, "out", "baleen-out", "`folder` for what the pipeline reads and writes; a former run's is cleared")
	flags.StringVar(&f.now, "now", "", "`time` of the run, as 2026-08-01T12:00:00Z (default: now)")
	flags.StringVar(&f.promise, "promise", "", "`file` of the Promise (default: the one of Baleen's that serves the request's kind)")
	addEnum(flags, &f.kratix, enum{name: "kratix", value: kratixLatest, usage: "which Kratix to act like", values: []string{kratixLatest, kratix202508}})
	flags.BoolVar(&f.dryRun, "dry-run", false, "run the pipeline as a dry run and write nothing to the platform (Kratix latest only)")
	flags.BoolVar(&f.print, "print", false, "print the documents that each cluster gets, as a stream of YAML")
	flags.BoolVar(&f.failOnRefusal, "fail-on-refusal", false, "exit with 1 when the request is refused: its condition Ready is False")
	f.output.add(flags)
	return cmd
}

// name takes the request's file from the arguments, where no flag names it.
func (f *runFlags) name(args []string) error {
	switch {
	case f.request != "" && len(args) > 0:
		return fmt.Errorf("%s and --filename %s both name the request: give one of them", args[0], f.request)
	case f.request == "" && len(args) != 1:
		return errors.New("name one request: baleen run REQUEST.yaml --platform DIR")
	case f.request == "":
		f.request = args[0]
	}
	return nil
}

func (f runFlags) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	if old := f.kratix; old == string(simulator.KratixLatest) || old == string(simulator.Kratix202508) {
		now := map[string]string{string(simulator.KratixLatest): kratixLatest, string(simulator.Kratix202508): kratix202508}[old]
		warn(stderr, "--kratix %s is an old value: write --kratix %s", old, now)
	}
	data, err := f.read(ctx, stdin)
	if err != nil {
		return err
	}
	if err := f.foretell(data, stderr); err != nil {
		return err
	}
	promise, result, err := f.carryOut(ctx, data, stderr)
	if err != nil {
		return err
	}
	if err := f.show(newReport(f, promise, result), result, stdout, stderr); err != nil {
		return err
	}
	if value, _ := ready(result.Status); f.failOnRefusal && value == "False" {
		return exitCode(1)
	}
	return nil
}

// foretell says on stderr, before the pipeline says the first of it, all that is wrong
// with a request of one of Baleen's Promises: on a cluster the API server would refuse it.
// What is no document at all is an error.
func (f runFlags) foretell(data []byte, stderr io.Writer) error {
	documents := parseDocuments(f.source(), string(data))
	for _, d := range documents {
		if d.object == nil {
			return fmt.Errorf("%s is not YAML of a request: %s", f.source(), d.wrong)
		}
	}
	if f.promise != "" || f.action != string(kratix.Configure) {
		return nil
	}
	for _, v := range validateAll(documents) {
		if v.Kind == "" { // which the run says
			continue
		}
		for _, p := range v.Problems {
			warn(stderr, "an API server would refuse %s: %s%s", v.subject(), prefixedText("", p.Field, ": "), p.Message)
		}
	}
	return nil
}

// show prints what the clusters get, if that is asked for, and what was done.
func (f runFlags) show(r report, result simulator.Result, stdout, stderr io.Writer) error {
	if f.print {
		if err := printDocuments(stdout, result.Destinations); err != nil {
			return err
		}
		return r.table(stderr, false)
	}
	name := platform.Kind{GroupVersionKind: result.Request.GroupVersionKind()}
	return f.output.print(stdout, r, func() error { return r.table(stdout, f.output.wide()) }, objectName(name, r.Name))
}

// printDocuments writes the documents of clusters as a stream of YAML, each file
// after a comment with the Destination and the file's name.
func printDocuments(w io.Writer, destinations []simulator.Destination) error {
	for _, d := range destinations {
		for _, file := range slices.Sorted(maps.Keys(d.After)) {
			content := strings.TrimRight(strings.TrimPrefix(string(d.After[file]), "---\n"), "\n")
			if _, err := fmt.Fprintf(w, "---\n# %s: %s\n%s\n", d.Name, file, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// read returns the content of the request's file, or of stdin.
func (f runFlags) read(ctx context.Context, stdin io.Reader) ([]byte, error) {
	if f.request == "-" {
		data, err := readAll(ctx, stdin)
		if err != nil {
			return nil, fmt.Errorf("the request cannot be read from stdin: %w", err)
		}
		return data, nil
	}
	data, err := os.ReadFile(f.request)
	if errors.Is(err, syscall.EISDIR) {
		return nil, fmt.Errorf("%s is a folder: name the file of one request in it", f.request)
	}
	if err != nil {
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	return data, nil
}

// check looks at the flags alone.
func (f runFlags) check() error {
	if f.platform == "" {
		return errors.New("name the folder that stands for the platform cluster with --platform DIR")
	}
	if err := oneOf("action", f.action, string(kratix.Configure), string(kratix.Delete)); err != nil {
		return err
	}
	if _, known := kratixes[f.kratix]; !known {
		return oneOf("kratix", f.kratix, kratixLatest, kratix202508)
	}
	if err := f.output.check(); err != nil {
		return err
	}
	if f.print && f.output != "table" {
		return fmt.Errorf("--print and --output %s both say what is on stdout: give one of them", f.output)
	}
	if f.dryRun && kratixes[f.kratix] != simulator.KratixLatest {
		return errors.New("--dry-run needs --kratix latest: the other one has no dry runs")
	}
	return nil
}

// carryOut runs the request's pipeline as Kratix would.
func (f runFlags) carryOut(ctx context.Context, data []byte, stderr io.Writer) (promise simulator.Promise, result simulator.Result, err error) {
	now, err := clock(f.now)
	if err != nil {
		return promise, result, err
	}
	request, err := readRequest(f.source(), data)
	if err != nil {
		return promise, result, err
	}
	if err := f.place(request); err != nil {
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
	result, err = simulator.Run(ctx, simulator.Options{
		Version: kratixes[f.kratix],
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

// source is what a sentence calls the request's file.
func (f runFlags) source() string {
	if f.request == "-" {
		return "the request on stdin"
	}
	return f.request
}

// place puts the request into the namespace that is asked for, as kubectl does.
func (f runFlags) place(request *unstructured.Unstructured) error {
	switch of := request.GetNamespace(); {
	case f.namespace == "", of == f.namespace:
	case of != "":
		return fmt.Errorf("%s is in the namespace %s and --namespace says %s: give the namespace that it is in, or none", f.source(), of, f.namespace)
	default:
		if err := unstructured.SetNestedField(request.Object, f.namespace, "metadata", "namespace"); err != nil {
			return fmt.Errorf("%s has no metadata that can be read: write metadata.name and metadata.namespace", f.source())
		}
	}
	return nil
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
func (f runFlags) findPromise(request *unstructured.Unstructured) (simulator.Promise, error) {
	kind := request.GroupVersionKind().GroupKind()
	promise, found := promises.Find(kind)
	if f.promise != "" {
		data, err := os.ReadFile(f.promise)
		if err != nil {
			return simulator.Promise{}, fmt.Errorf("the Promise cannot be read: %w", err)
		}
		if promise, err = promises.Parse(data); err != nil {
			return simulator.Promise{}, fmt.Errorf("the Promise %s cannot be used: %w", f.promise, err)
		}
	} else if !found {
		var kinds []string
		for _, p := range promises.All() {
			kinds = append(kinds, p.Kind.GroupKind().String())
		}
		return simulator.Promise{}, fmt.Errorf("no Promise of Baleen serves %s (there are %s): name its file with --promise", kind, strings.Join(kinds, ", "))
	}
	var file struct {
		Spec struct {
			DestinationSelectors []struct {
				MatchLabels map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(promise.YAML, &file); err != nil {
		return simulator.Promise{}, fmt.Errorf("the Promise %s has spec.destinationSelectors that cannot be read: %w", promise.Name, err)
	}
	p := simulator.Promise{Name: promise.Name, Kind: promise.Kind, Configure: promise.ConfigurePipeline, Delete: promise.DeletePipeline}
	for _, s := range file.Spec.DestinationSelectors {
		p.Selectors = append(p.Selectors, s.MatchLabels)
	}
	return p, nil
}

// stage returns how the Promise's pipeline is run. What it prints is shown when
// it fails.
func (f runFlags) stage(name string, stderr io.Writer) func(context.Context, []string) error {
	return func(ctx context.Context, env []string) error {
		env = slices.Concat(passedOn(os.Environ()), env, []string{"BALEEN_KRATIX_DIR=" + f.out, "BALEEN_PLATFORM_DIR=" + f.platform})
		if f.now != "" {
			env = append(env, "BALEEN_NOW="+f.now)
		}
		var log bytes.Buffer
		err := f.stages.run(ctx, name, env, &log)
		if err != nil {
			_, _ = stderr.Write(log.Bytes())
		}
		return err
	}
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
