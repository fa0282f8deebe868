package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carvel.dev/ytt/pkg/cmd/template"
	"carvel.dev/ytt/pkg/cmd/ui"
	"carvel.dev/ytt/pkg/files"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const (
	targetStage = "bin/api-aggregator-target"
	ytt         = "bin/ytt"
	// renderings in one process, of each kind.
	renderings = 201
)

// target measures a configure of ten paths against the ytt command line, and the
// rendering itself against ytt's library.
func target(dir string) ([]figure, error) {
	b := setup{dir: filepath.Join(dir, "target")}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "measuring a configure of 10 paths…")
	var ours, theirs []sample
	for range runs {
		o, err := b.configure()
		if err != nil {
			return nil, err
		}
		y, err := b.commandLine()
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, o), append(theirs, y)
	}
	own, library, err := b.renderings()
	return append(compare("configure of 10 paths", ours[1:], "ytt", theirs[1:], 3),
		figure{what: "the rendering itself", unit: "ms", own: own, with: "ytt's library", other: library, ratio: 1.2}), err
}

// setup is what both sides work on.
type setup struct {
	dir    string
	values []byte
	env    []string
}

const aggregator = `
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: public-api, namespace: platform}
spec:
  hostname: api.example.com
  tls: {clusterIssuer: letsencrypt}
  gateway: {className: traefik, implementation: Traefik, namespace: gateways}
  requestBody: {default: 1Mi, max: 100Mi}
  allowedNamespaces: ["team-*"]
  placement: {matchLabels: {environment: dev}}
`

func (b *setup) prepare() error {
	platformDir := filepath.Join(b.dir, "platform")
	if err := os.CopyFS(platformDir, os.DirFS("testdata/platform")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(platformDir, "platform/ApiAggregator.baleen.dev/public-api.yaml"), []byte(aggregator), 0o644); err != nil {
		return err
	}
	var request strings.Builder
	request.WriteString("apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregatorTarget\nmetadata: {name: orders, namespace: team-a}\nspec:\n" +
		"  aggregatorRef: {name: public-api, namespace: platform}\n  backends: [{service: orders, port: 8080}]\n  requestHeaders: {set: {X-Team: a}, remove: [X-Debug]}\n  paths:\n")
	for i := range 10 {
		fmt.Fprintf(&request, "  - {path: /orders/%d, methods: [GET, POST], rewritePrefix: /}\n", i)
	}
	var object unstructured.Unstructured
	data, err := yaml.YAMLToJSON([]byte(request.String()))
	if err == nil {
		err = object.UnmarshalJSON(data)
	}
	if err != nil {
		return err
	}
	promise, _ := promises.Find(object.GroupVersionKind().GroupKind())
	client, err := platform.OpenFolder(platformDir, time.Now)
	if err != nil {
		return err
	}
	// The first run stores request and Work, so that the measured ones have
	// nothing to do but everything to check: what a platform does all day.
	result, err := simulator.Run(context.Background(), simulator.Options{
		Version: simulator.KratixLatest, Action: kratix.Configure, Request: &object, Client: client, Dir: b.out(), Now: time.Now,
		Promise: simulator.Promise{Name: promise.Name, Kind: promise.Kind, Configure: promise.ConfigurePipeline},
		Stage: func(_ context.Context, env []string) error {
			b.env = append(slices.Clip(env), "BALEEN_PLATFORM_DIR="+platformDir, "BALEEN_KRATIX_DIR="+b.out())
			_, err := b.configure()
			return err
		},
	})
	if err != nil {
		return err
	}
	return b.sameValues(result)
}

func (b *setup) out() string { return filepath.Join(b.dir, "out") }

// sameValues makes the values for the ytt command line, and checks that it
// renders with them what the pipeline emitted: otherwise the two do not compare.
func (b *setup) sameValues(result simulator.Result) error {
	var want []string
	paths, refusal := []any{}, map[string]any{}
	var rules []any
	for _, r := range gateway.Rules(v1alpha1.Traefik, gateway.Asked{Methods: []string{"GET", "POST"}, Rewrites: true, Extended: true}) {
		rules = append(rules, map[string]any{"methods": r.Methods, "answer": r.Answer})
	}
	for _, data := range result.Destinations[0].After {
		want = append(want, string(data))
		var route struct {
			Kind     string
			Metadata struct {
				Name        string
				Annotations map[string]string
			}
		}
		if err := yaml.Unmarshal(data, &route); err != nil {
			return err
		}
		if strings.HasSuffix(route.Metadata.Name, "-refusal") {
			refusal["name"], refusal["annotations"] = route.Metadata.Name, route.Metadata.Annotations
		}
		if route.Kind == "HTTPRoute" {
			paths = append(paths, map[string]any{
				"name": route.Metadata.Name, "value": route.Metadata.Annotations["baleen.dev/path"], "type": "PathPrefix",
				"methods": []string{"GET", "POST"}, "rules": rules, "rewritePrefix": "/", "bodyLimit": "1048576", "annotations": route.Metadata.Annotations,
			})
		}
	}
	var last struct {
		Metadata struct{ Labels map[string]string }
		Spec     struct {
			ParentRefs []struct{ Name, Namespace, SectionName string }
		}
	}
	for _, text := range want {
		if strings.Contains(text, "kind: HTTPRoute") {
			if err := yaml.Unmarshal([]byte(text), &last); err != nil {
				return err
			}
		}
	}
	parent := last.Spec.ParentRefs[0]
	var err error
	b.values, err = yaml.Marshal(map[string]any{
		"destination": "dev-1", "implementation": "Traefik", "hostname": "api.example.com", "namespace": "team-a", "timeout": "",
		"gateway":        map[string]any{"name": parent.Name, "namespace": parent.Namespace, "listener": parent.SectionName},
		"backends":       []any{map[string]any{"service": "orders", "port": 8080, "weight": 1}},
		"requestHeaders": map[string]any{"set": []any{map[string]any{"name": "X-Team", "value": "a"}}, "remove": []string{"X-Debug"}},
		"labels":         last.Metadata.Labels, "paths": paths, "refusal": refusal,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.valuesFile(), b.values, 0o644); err != nil {
		return err
	}
	out, err := b.command().Output()
	if err != nil {
		return err
	}
	got := strings.Split(string(out), "---\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("ytt does not render what the pipeline emits:\n%s\ninstead of\n%s", got, want)
	}
	return nil
}

func (b *setup) valuesFile() string { return filepath.Join(b.dir, "values.yaml") }

func (b *setup) command() *exec.Cmd {
	return exec.Command(ytt, "-f", "promises/api-aggregator-target/templates", "--data-values-file", b.valuesFile())
}

func (b *setup) configure() (sample, error) {
	c := exec.Command(targetStage)
	c.Env = b.env
	return measure(c)
}

func (b *setup) commandLine() (sample, error) { return measure(b.command()) }

// renderings times Baleen's rendering and ytt's own library on the same input, in turn.
func (b *setup) renderings() (own, library []float64, err error) {
	var values map[string]any
	if err := yaml.Unmarshal(b.values, &values); err != nil {
		return nil, nil, err
	}
	fsys := promises.Templates("api-aggregator-target")
	for range renderings {
		start := time.Now()
		templates, err := render.New(fsys, nil)
		if err != nil {
			return nil, nil, err
		}
		if _, err := templates.Render(values); err != nil {
			return nil, nil, err
		}
		own = append(own, time.Since(start).Seconds()*1000)

		start = time.Now()
		if err := b.bare(fsys); err != nil {
			return nil, nil, err
		}
		library = append(library, time.Since(start).Seconds()*1000)
	}
	return own[1:], library[1:], nil
}

// bare is what the ytt command line does, without its process.
func (b *setup) bare(fsys fs.FS) error {
	var in []*files.File
	names, err := fs.Glob(fsys, "*")
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		in = append(in, files.MustNewFileFromSource(files.NewBytesSource(name, data)))
	}
	options := template.NewOptions()
	options.DataValuesFlags.FromFiles = []string{b.valuesFile()}
	out := options.RunWithFiles(template.Input{Files: files.NewSortedFiles(in)}, ui.NewTTY(false))
	if out.Err != nil {
		return out.Err
	}
	_, err = out.DocSet.AsBytes()
	return err
}
