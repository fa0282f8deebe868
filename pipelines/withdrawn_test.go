package pipelines_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/internal/workflow"
	target "github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// stays is what a status says of a path that is refused and served as it was.
const stays = "; what was last accepted stays in place"

// What v0.1.0 published and is refused now stays as it is, but for what harms others, which
// is withdrawn: CHANGELOG lists both.
func TestKeptOrWithdrawn(t *testing.T) {
	refusedBy := func(state string, withdrawn bool, on these, paths ...string) (rows []published) {
		for _, p := range paths {
			rows = append(rows, published{path: p, state: state, withdrawn: withdrawn, on: on})
		}
		return rows
	}
	headers := func(on these, changes ...string) (rows []published) {
		for _, change := range changes {
			rows = append(rows, published{path: "{path: /h}", more: "  requestHeaders: {" + change + "}\n", state: "UnsupportedByImplementation", on: on})
		}
		return rows
	}
	const unsupported, withdrawn = "UnsupportedByImplementation", true
	for _, row := range slices.Concat(
		refusedBy(unsupported, withdrawn, these{nginx}, `{path: "/a(b", rewritePrefix: /}`, `{path: "/a)b", rewritePrefix: /}`, `{path: "/a*", rewritePrefix: /}`, `{path: "/a+", rewritePrefix: /}`, `{path: "/a$", rewritePrefix: /}`),
		refusedBy("Reserved", withdrawn, nil, "{path: /.well-known/acme-challenge}", "{path: /.well-known/acme-challenge/x, type: Exact}", "{path: /.well-known}", "{path: /.well-known/security.txt, type: Exact}"),
		refusedBy("Reserved", withdrawn, these{nginx}, "{path: /_ngf-internal-rule0-route0, type: Exact}", "{path: /_ngf}"),
		refusedBy("Reserved", !withdrawn, these{traefik, envoy, standard}, "{path: /_ngf-internal-rule0-route0, type: Exact}", "{path: /_ngf}"),
		refusedBy(unsupported, withdrawn, these{traefik}, "{path: "+long(890)+"}", "{path: "+long(1000)+", methods: [GET]}"),

		refusedBy(unsupported, !withdrawn, these{nginx}, "{path: /a%20b}", "{path: /a, rewritePrefix: /a%20b}", "{path: /a, methods: [GET], rewritePrefix: /v1}", "{path: /a, methods: [CONNECT]}", "{path: /a, methods: [GET, TRACE]}"),
		refusedBy(unsupported, !withdrawn, these{traefik}, "{path: /a%20b}", "{path: /caf%C3%A9, type: Exact}", "{path: /a%3Bb, rewritePrefix: /}", "{path: /a, rewritePrefix: /a%20b}", `{path: /a, rewritePrefix: "/!"}`, `{path: /a, rewritePrefix: "/*"}`),
		refusedBy(unsupported, !withdrawn, these{envoy}, "{path: /, rewritePrefix: /v1}"),
		headers(these{nginx}, `set: {Expect: "100"}`),
		headers(these{traefik}, "set: {Host: a.example.com}", "set: {X-Forwarded-For: 10.0.0.1}", "remove: [X-Forwarded-For]", "remove: [Accept-Encoding]"),
		headers(these{envoy}, `set: {X-Envoy-Max-Retries: "3"}`),
		headers(nil, "set: {Connection: close}", `set: {Content-Length: "5"}`, "remove: [Transfer-Encoding]"),
	) {
		on := row.on
		if len(on) == 0 {
			on = these{traefik, nginx, envoy, standard}
		}
		for _, i := range on {
			t.Run(fmt.Sprintf("%s/%.80s%s", i, row.path, strings.TrimSpace(row.more)), func(t *testing.T) {
				t.Parallel()
				row.try(t, i)
			})
		}
	}
}

// published is a path that v0.1.0 has published, and what becomes of it.
type published struct {
	path, more string
	on         these
	state      string
	withdrawn  bool
}

func (p published) try(t *testing.T, i aggregator.Implementation) {
	request := team("team-a", "shop", p.path, "{path: /mine, type: Exact}") + p.more
	asked, err := target.Read(scenario.Parse(t, request))
	if err != nil {
		t.Fatal(err)
	}
	path := asked.Spec.Paths[0].Path
	s := scenario.New(t, platformDir, stages...)
	s.Apply(host(i, "", ""))
	first := asFormerly(s, request)
	if made := madeFor(t, first, path); len(made) != 3 {
		t.Fatalf("the clusters have %d documents for %s", len(made), path)
	}
	for _, run := range []string{"first", "second"} {
		o := s.Apply(request)
		if o.Err != nil {
			t.Fatalf("%v\n%s", o.Err, o.Stderr)
		}
		state, message := o.State(path)
		if state != p.state || strings.HasSuffix(message, stays) == p.withdrawn {
			t.Errorf("after the %s run it is %s: %q", run, state, message)
		}
		want := madeFor(t, first, path)
		if p.withdrawn {
			want = map[string]string{}
		}
		if got := madeFor(t, o, path); !maps.Equal(got, want) {
			t.Errorf("after the %s run the clusters have for it\n%v\nwant\n%v", run, got, want)
		}
		if p.more == "" && len(madeFor(t, o, "/mine")) == 0 {
			t.Errorf("after the %s run the clusters have\n%s", run, o.Documents())
		}
	}
	// It is its owner's still: nobody else can take it meanwhile.
	if state, _ := s.Apply(team("team-b", "other", p.path)).State(path); state == string(target.Accepted) {
		t.Error("another gets it")
	}
}

// madeFor returns the files that the clusters have for a path.
func madeFor(t *testing.T, o scenario.Outcome, path string) map[string]string {
	t.Helper()
	made := map[string]string{}
	for file, object := range o.Objects(t) {
		if is, err := httppath.Parse(object.GetAnnotations()["baleen.dev/path"]); err == nil && is.Key == keyOf(t, path) {
			made[file] = o.Files[file]
		}
	}
	return made
}

func keyOf(t *testing.T, path string) string {
	t.Helper()
	p, err := httppath.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return p.Key
}

// A path that is withdrawn is held and serves nobody, so that none above it wait for its
// routes: they close what they must.
func TestWithdrawnHoldsNobodyUp(t *testing.T) {
	acme := team("team-b", "acme", "{path: /.well-known/acme-challenge}", "{path: /api/"+strings.Repeat("l", 890)+"}")
	f := fault{
		spec:    "delegations: [{prefix: /.well-known, namespaces: [team-c]}]",
		targets: []string{team("team-a", "api", "{path: /api, methods: [GET], allowNested: true}"), root, acme},
		says:    []said{{"acme /.well-known/acme-challenge", "Reserved", ""}},
		requests: []sent{
			{"GET /.well-known/x", "closed"}, {"GET /.well-known/acme-challenge/x", "closed"}, {"GET /api/x", "api /api/x"}, {"POST /api/x", "refused"}, {"POST /x", "root /x"},
		},
	}
	s := scenario.New(t, platformDir, stages...)
	s.Apply(host(traefik, "", f.spec))
	for _, request := range f.targets {
		asFormerly(s, request)
	}
	f.apply(t, s, traefik)
	s.Now = s.Now.Add(time.Hour)
	f.apply(t, s, traefik)
	f.check(t, traefik, f.apply(t, s, traefik)) // what waited for others has run once more
}

// asFormerly has a target publish its paths as v0.1.0 did, all of them: with a rule for
// each method, and a claim that says nothing of them.
func asFormerly(s *scenario.Scenario, request string) scenario.Outcome {
	s.Pipelines = []workflow.Pipeline{{Promise: "api-aggregator-target", Kind: platform.ApiAggregatorTarget, Configure: formerly}}
	defer func() { s.Pipelines = stages }()
	return s.Apply(request)
}

func formerly(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	result := workflow.Result{Output: destination.Output{}, Ready: true, Reason: reason.Published, Message: "all is published"}
	asked, err := target.Read(run.Request)
	if err != nil {
		return result, err
	}
	if result.Placement, err = destination.List(ctx, run.Platform, nil); err != nil {
		return result, err
	}
	store := claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.ApiAggregatorTarget, Promise: "api-aggregator-target"}}}
	files := map[string][]byte{}
	for _, p := range asked.Spec.Paths {
		parsed, err := httppath.Parse(p.Path)
		if err != nil {
			return result, err
		}
		facts := map[string]string{"type": string(p.Type), "allowNested": fmt.Sprint(p.AllowNested)}
		if _, err := store.Acquire(ctx, claim.Path("api.example.com", parsed.Key), claim.OwnerOf(run.Request), facts); err != nil {
			return result, err
		}
		name := run.Identity.ObjectName(identity.Hash(parsed.Key))
		if files["httproute."+asked.Namespace+"."+name+".yaml"], err = yaml.Marshal(formerRoute(asked, p, parsed.Value, name)); err != nil {
			return result, err
		}
	}
	for _, cluster := range result.Placement.Placed {
		result.Output[cluster] = files
	}
	return result, nil
}

func formerRoute(asked *target.ApiAggregatorTarget, p target.Path, path, name string) map[string]any {
	var filters, rules []any
	if h := asked.Spec.RequestHeaders; h != nil {
		var set []any
		for _, name := range slices.Sorted(maps.Keys(h.Set)) {
			set = append(set, map[string]any{"name": name, "value": h.Set[name]})
		}
		filters = append(filters, map[string]any{"type": "RequestHeaderModifier", "requestHeaderModifier": map[string]any{"set": set, "remove": h.Remove}})
	}
	if p.RewritePrefix != "" {
		filters = append(filters, map[string]any{"type": "URLRewrite", "urlRewrite": map[string]any{"path": map[string]any{"type": "ReplacePrefixMatch", "replacePrefixMatch": p.RewritePrefix}}})
	}
	methods := p.Methods
	if len(methods) == 0 {
		methods = []target.Method{""}
	}
	for _, m := range methods {
		match := map[string]any{"path": map[string]any{"type": map[target.MatchType]string{target.Prefix: "PathPrefix", target.Exact: "Exact"}[p.Type], "value": path}}
		if m != "" {
			match["method"] = m
		}
		rules = append(rules, map[string]any{"matches": []any{match}, "filters": filters, "backendRefs": []any{map[string]any{"name": asked.Spec.Backends[0].Service, "port": asked.Spec.Backends[0].Port}}})
	}
	return map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
		"metadata": map[string]any{"name": name, "namespace": asked.Namespace, "annotations": map[string]any{"baleen.dev/host": "api.example.com", "baleen.dev/path": path}},
		"spec":     map[string]any{"parentRefs": []any{map[string]any{"name": "gateway", "namespace": "gateways", "sectionName": "https"}}, "hostnames": []any{"api.example.com"}, "rules": rules},
	}
}
