package schedules

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// load reads a platform folder into memory.
func load(t *testing.T, dir string) *platform.Memory {
	t.Helper()
	folder, err := platform.OpenFolder(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	memory := platform.NewMemoryApart(func() time.Time { return now })
	for _, kind := range append(promises.Kinds(), platform.ConfigMap, platform.Secret, platform.Destination) {
		objects, err := folder.List(t.Context(), kind, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			o.SetResourceVersion("")
			if _, err := memory.Create(t.Context(), kind, &o); err != nil {
				t.Fatal(err)
			}
		}
	}
	return memory
}

func clusterOf(version simulator.Version, kinds ...platform.Kind) simulator.Cluster {
	c := simulator.Cluster{Version: version, Tries: 3, Now: func() time.Time { return now }}
	for _, p := range promises.All() {
		for _, kind := range kinds {
			if p.Kind == kind {
				c.Promises = append(c.Promises, simulator.Promise{Name: p.Name, Kind: p.Kind, Configure: p.ConfigurePipeline, Delete: p.DeletePipeline})
			}
		}
	}
	return c
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	var object unstructured.Unstructured
	if err == nil {
		err = object.UnmarshalJSON(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &object
}

// target is a request for paths, by team/name.
func target(t *testing.T, who string, paths ...string) *unstructured.Unstructured {
	namespace, name, _ := strings.Cut(who, "/")
	var all []string
	for _, p := range paths {
		all = append(all, "{path: "+p+"}")
	}
	return parse(t, fmt.Sprintf("apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregatorTarget\nmetadata: {namespace: %s, name: %s}\nspec:\n"+
		"  aggregatorRef: {name: public-api, namespace: platform}\n  backends: [{service: shop, port: 80}]\n  paths: [%s]\n", namespace, name, strings.Join(all, ", ")))
}

// outputOf is what is in the Works of a Promise's requests, by namespace/name; what dry
// runs have left is not among it.
func outputOf(ctx context.Context, p platform.Client, promise string) (map[string][][]byte, error) {
	works, err := p.List(ctx, platform.Work, "", map[string]string{kratix.LabelPromise: promise})
	if err != nil {
		return nil, err
	}
	output := map[string][][]byte{}
	for i := range works {
		if works[i].GetLabels()[kratix.LabelDryRun] != "" {
			continue
		}
		files, err := kratix.Unpack(&works[i])
		if err != nil {
			return nil, err
		}
		who := works[i].GetNamespace() + "/" + works[i].GetLabels()[kratix.LabelResource]
		output[who] = append(output[who], slices.Collect(maps.Values(files))...)
	}
	return output, nil
}

// serving is who serves each path, by what is in the Works.
func serving(ctx context.Context, p platform.Client) (map[string][]string, error) {
	output, err := outputOf(ctx, p, "api-aggregator-target")
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for who, documents := range output {
		seen := map[string]bool{}
		for _, data := range documents {
			for line := range strings.Lines(string(data)) {
				if _, path, ok := strings.Cut(line, "value: /"); ok && !seen[path] {
					seen[path] = true
					path = "/" + strings.TrimSpace(path)
					all[path] = append(all[path], who)
				}
			}
		}
	}
	return all, nil
}

// oneEach: no path is served for two requests.
func oneEach(t *testing.T) func(*platform.Memory) error {
	return func(p *platform.Memory) error {
		paths, err := serving(t.Context(), p)
		for path, who := range paths {
			if len(who) > 1 {
				return fmt.Errorf("%s is served for %v", path, who)
			}
		}
		return err
	}
}

// quiet: nothing is being deleted, nobody is asked to run, and there is no output of
// what is gone.
func quiet(ctx context.Context, p platform.Client) error {
	for _, kind := range promises.Kinds() {
		objects, err := p.List(ctx, kind, "", nil)
		if err != nil {
			return err
		}
		for _, o := range objects {
			who := fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
			switch {
			case o.GetDeletionTimestamp() != nil:
				return fmt.Errorf("%s is still being deleted", who)
			case o.GetLabels()[kratix.LabelManualReconciliation] != "":
				return fmt.Errorf("%s is still asked to run", who)
			}
		}
		works, err := p.List(ctx, platform.Work, "", map[string]string{kratix.LabelPromise: promiseOf(kind)})
		if err != nil {
			return err
		}
		for _, work := range works {
			if _, err := p.Get(ctx, kind, work.GetNamespace(), work.GetLabels()[kratix.LabelResource]); err != nil {
				return fmt.Errorf("output is left of %s %s/%s: %w", kind.Kind, work.GetNamespace(), work.GetLabels()[kratix.LabelResource], err)
			}
		}
	}
	return nil
}

func promiseOf(kind platform.Kind) string {
	promise, _ := promises.Find(kind.GroupKind())
	return promise.Name
}

// settings are what no request of a team changes.
func settings(r *request) bool {
	switch r.kind {
	case platform.Destination, platform.Secret, platform.ApiAggregator, platform.NatsAccount:
		return true
	case platform.ConfigMap:
		return r.namespace == "baleen-system" || strings.HasPrefix(r.name, "host-")
	}
	return false
}

// apply and remove are what teams do.
func apply(request *unstructured.Unstructured) event {
	return event{fmt.Sprintf("%s/%s is applied", request.GetNamespace(), request.GetName()), func(ctx context.Context, c simulator.Cluster, p platform.Client) error {
		return c.Apply(ctx, p, request)
	}}
}

func remove(request *unstructured.Unstructured) event {
	return event{fmt.Sprintf("%s/%s is deleted", request.GetNamespace(), request.GetName()), func(ctx context.Context, _ simulator.Cluster, p platform.Client) error {
		return p.Delete(ctx, kindOf(request), request.GetNamespace(), request.GetName(), platform.Preconditions{})
	}}
}

// dryRun has Kratix try a request, and undoDryRun has it forget the try.
func dryRun(request *unstructured.Unstructured) event {
	return event{"a dry run of " + request.GetNamespace() + "/" + request.GetName(), func(ctx context.Context, c simulator.Cluster, p platform.Client) error {
		return c.DryRun(ctx, p, "try", request)
	}}
}

func undoDryRun(request *unstructured.Unstructured) event {
	return event{"the dry run is deleted", func(ctx context.Context, c simulator.Cluster, p platform.Client) error {
		return p.Delete(ctx, kindOf(request), request.GetNamespace(), simulator.DryRunName("try"), platform.Preconditions{})
	}}
}

func kindOf(request *unstructured.Unstructured) platform.Kind {
	promise, _ := promises.Find(request.GroupVersionKind().GroupKind())
	return promise.Kind
}

// Two targets that want what the other has, or is about to give up, in all orders: a path
// is never served for two, whoever is deleted goes, and what is free is taken over.
func TestTargets(t *testing.T) {
	a := func(paths ...string) *unstructured.Unstructured { return target(t, "team-a/shop", paths...) }
	b := func(paths ...string) *unstructured.Unstructured { return target(t, "team-b/shop", paths...) }
	for _, test := range []struct {
		name   string
		latest bool    // what only the newest Kratix has
		before []event // each at rest
		events []event
		want   []string // who serves what in the end, one of these
	}{
		{
			name: "one is deleted, and another waits for its path", before: []event{apply(a("/x")), apply(b("/x"))},
			events: []event{remove(a())},
			want:   []string{"/x:b"},
		},
		{
			name:   "two ask for one path",
			events: []event{apply(a("/x")), apply(b("/x"))},
			want:   []string{"/x:a", "/x:b"},
		},
		{
			name: "one gives up a path, and another waits for it", before: []event{apply(a("/x")), apply(b("/x"))},
			events: []event{apply(a("/y"))},
			want:   []string{"/x:b /y:a"},
		},
		{
			name: "one gives up a path and is deleted, and another waits for it", before: []event{apply(a("/x")), apply(b("/x"))},
			events: []event{apply(a("/y")), remove(a())},
			want:   []string{"/x:b"},
		},
		{
			name: "two wait for each other's paths, and both are deleted", before: []event{apply(a("/x")), apply(b("/y")), apply(a("/x", "/y")), apply(b("/x", "/y"))},
			events: []event{remove(a()), remove(b())},
			want:   []string{""},
		},
		{
			name: "two change places", before: []event{apply(a("/x")), apply(b("/y"))},
			events: []event{apply(a("/y")), apply(b("/x"))},
			want:   []string{"/x:b /y:a"},
		},
		{
			name:   "one is made and deleted",
			events: []event{apply(a("/x")), remove(a())},
			want:   []string{""},
		},
		{
			name: "one changes and is deleted", before: []event{apply(a("/x"))},
			events: []event{apply(a("/y")), remove(a())},
			want:   []string{""},
		},
		{
			name: "a change is tried in a dry run, while another wants the path", before: []event{apply(a("/x"))}, latest: true,
			events: []event{dryRun(a("/y")), apply(b("/y")), undoDryRun(a())},
			want:   []string{"/x:a /y:b"},
		},
		{
			name: "a request is tried in a dry run, and made", latest: true,
			events: []event{dryRun(a("/x")), apply(a("/x")), undoDryRun(a())},
			want:   []string{"/x:a"},
		},
		{
			name: "a change is tried in a dry run, and its request is deleted", before: []event{apply(a("/x"))}, latest: true,
			events: []event{dryRun(a("/y")), remove(a()), undoDryRun(a())},
			want:   []string{""},
		},
	} {
		for _, version := range []simulator.Version{simulator.Kratix202508, simulator.KratixLatest} {
			if test.latest && version != simulator.KratixLatest {
				continue
			}
			t.Run(test.name+"/"+string(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSearch(t, clusterOf(version, platform.ApiAggregatorTarget))
					s.events, s.always = test.events, oneEach(t)
					s.atRest = func(p *platform.Memory) error {
						if err := quiet(t.Context(), p); err != nil {
							return err
						}
						got, err := serving(t.Context(), p)
						if text := inWords(got); err == nil && !slices.Contains(test.want, text) {
							err = fmt.Errorf("served are %q, want one of %q", text, test.want)
						}
						return err
					}
					s.run(test.before)
				})
			})
		}
	}
}

// An aggregator that is made, changed and deleted leaves nothing, whatever comes in
// between.
func TestAggregators(t *testing.T) {
	aggregator := func(size string) *unstructured.Unstructured {
		return parse(t, "apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregator\nmetadata: {namespace: platform, name: other}\nspec:\n  hostname: other.example.com\n"+
			"  placement: {matchLabels: {environment: prod}}\n  gateway: {className: traefik, implementation: Traefik, namespace: gateways}\n  requestBody: {max: "+size+"}\n")
	}
	for _, test := range []struct {
		name   string
		before []event
		events []event
	}{
		{"it is made and deleted", nil, []event{apply(aggregator("1Mi")), remove(aggregator("1Mi"))}},
		{"it changes and is deleted", []event{apply(aggregator("1Mi"))}, []event{apply(aggregator("2Mi")), remove(aggregator("1Mi"))}},
	} {
		for _, version := range []simulator.Version{simulator.Kratix202508, simulator.KratixLatest} {
			t.Run(test.name+"/"+string(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSearch(t, clusterOf(version, platform.ApiAggregator))
					s.events = test.events
					s.constant = func(r *request) bool {
						return settings(r) && r.kind != platform.ApiAggregator && !strings.HasPrefix(r.name, "host-")
					}
					s.atRest = func(p *platform.Memory) error { return quiet(t.Context(), p) }
					s.run(test.before)
				})
			})
		}
	}
}

// vanish removes a request and its output past Kratix, as a namespace goes that is forced.
func vanish(request *unstructured.Unstructured) event {
	return event{fmt.Sprintf("%s/%s vanishes", request.GetNamespace(), request.GetName()), func(ctx context.Context, _ simulator.Cluster, p platform.Client) error {
		kind, namespace, name := kindOf(request), request.GetNamespace(), request.GetName()
		works, err := p.List(ctx, platform.Work, namespace, map[string]string{kratix.LabelPromise: promiseOf(kind), kratix.LabelResource: name})
		if err != nil {
			return err
		}
		for _, work := range works {
			if err := p.Delete(ctx, platform.Work, namespace, work.GetName(), platform.Preconditions{}); err != nil {
				return err
			}
		}
		if _, err := p.Patch(ctx, kind, namespace, name, map[string]any{"metadata": map[string]any{"finalizers": nil}}); err != nil {
			return err
		}
		return p.Delete(ctx, kind, namespace, name, platform.Preconditions{})
	}}
}

// Who wants the path of a request that vanished asks the aggregator to sweep, which asks
// who waits. They do not keep each other awake, and in the end the path is served.
func TestVanished(t *testing.T) {
	a := func(paths ...string) *unstructured.Unstructured { return target(t, "team-a/shop", paths...) }
	b := func(paths ...string) *unstructured.Unstructured { return target(t, "team-b/shop", paths...) }
	c := func(paths ...string) *unstructured.Unstructured { return target(t, "team-c/shop", paths...) }
	for _, test := range []struct {
		name   string
		before []event
		events []event
		want   []string
	}{
		{"another waits", []event{apply(a("/x")), apply(b("/x"))}, []event{vanish(a("/x"))}, []string{"/x:b"}},
		{"another comes", []event{apply(a("/x"))}, []event{vanish(a("/x")), apply(b("/x"))}, []string{"/x:b"}},
		{"two come", []event{apply(a("/x"))}, []event{vanish(a("/x")), apply(b("/x")), apply(c("/x"))}, []string{"/x:b", "/x:c"}},
	} {
		for _, version := range []simulator.Version{simulator.Kratix202508, simulator.KratixLatest} {
			t.Run(test.name+"/"+string(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSearch(t, clusterOf(version, platform.ApiAggregatorTarget, platform.ApiAggregator))
					s.events, s.always = test.events, oneEach(t)
					s.constant = func(r *request) bool {
						return settings(r) && r.kind != platform.ApiAggregator && !strings.HasPrefix(r.name, "host-")
					}
					s.atRest = func(p *platform.Memory) error {
						if err := quiet(t.Context(), p); err != nil {
							return err
						}
						got, err := serving(t.Context(), p)
						if text := inWords(got); err == nil && !slices.Contains(test.want, text) {
							err = fmt.Errorf("served are %q, want one of %q", text, test.want)
						}
						return err
					}
					s.run(test.before)
				})
			})
		}
	}
}

// inWords is who serves what, as /x:a /y:b.
func inWords(serving map[string][]string) string {
	var words []string
	for _, path := range slices.Sorted(maps.Keys(serving)) {
		for _, who := range serving[path] {
			words = append(words, path+":"+strings.TrimSuffix(strings.TrimPrefix(who, "team-"), "/shop"))
		}
	}
	return strings.Join(words, " ")
}
