package apiaggregatortarget

import (
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/gateway/gatewaytest"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var (
	worlds = flag.Int("worlds", 2000, "how many random worlds each implementation is tried in")
	seed   = flag.Uint64("seed", 0, "the first world")
)

var models = map[aggregator.Implementation]gatewaytest.Model{
	aggregator.Traefik: gatewaytest.Traefik, aggregator.NGINXGatewayFabric: gatewaytest.NGINX,
	aggregator.EnvoyGateway: gatewaytest.Envoy, aggregator.Standard: gatewaytest.Standard,
}

// failed are worlds in which the property did not hold once.
var failed = map[aggregator.Implementation][]uint64{
	// A dot segment is removed, and an encoding is left in lower case, which is neither the
	// path as it was sent nor its normal form.
	aggregator.EnvoyGateway: {10499, 106656},
}

// Whatever teams ask for under one host, whatever the aggregator delegates, and in
// whatever order routes arrive at a cluster: a request is served by the owner of its path
// or by nobody. Run one world again with -seed N -worlds 1.
func TestRouting(t *testing.T) {
	for i, model := range models {
		t.Run(string(i), func(t *testing.T) {
			t.Parallel()
			served := 0
			seeds := failed[i]
			for n := range uint64(*worlds) {
				seeds = append(seeds, *seed+n)
			}
			for _, seed := range seeds {
				synctest.Test(t, func(t *testing.T) { // a run may wait for another's path
					w := newWorld(t, i, seed, true)
					served += w.try(t, model)
					if t.Failed() {
						w.describe(t)
					}
				})
				if t.Failed() {
					return
				}
			}
			if served == 0 {
				t.Error("no request was served at all")
			}
			t.Attr("tried.worlds", fmt.Sprint(len(seeds)))
		})
	}
}

// routing is one host with its aggregator and targets.
type routing struct {
	gatewaytest.Random
	aggregator *aggregator.ApiAggregator
	platform   platform.Client
	targets    []*published
	// changes: the first two of the targets have changed what they ask for, and of what
	// routes refer to some has not arrived.
	changes bool
}

// published is a target with what its last two runs came to.
type published struct {
	name    identity.Request
	spec    v1alpha1.ApiAggregatorTargetSpec
	created int
	was, is output
	// changed is when the last output was emitted.
	changed time.Time
}

// output is what a run emits, and which claims it rests on.
type output struct {
	routes []gatewaytest.Route
	claims []gatewaytest.Claim
	values map[string]any // of the templates
}

func newWorld(t *testing.T, i aggregator.Implementation, seed uint64, changes bool) *routing {
	w := &routing{Random: gatewaytest.NewRandom(seed), aggregator: &aggregator.ApiAggregator{}, platform: platform.NewMemory(time.Now), changes: changes}
	w.aggregator.Namespace, w.aggregator.Name = "platform", "public-api"
	w.aggregator.Spec = w.Aggregator(i, host)
	for n := range 1 + w.IntN(5) {
		p := &published{name: identity.Request{Kind: platform.ApiAggregatorTarget.Kind, Namespace: w.One("team-a", "team-b", "team-c"), Name: fmt.Sprint("t", n)}, created: w.IntN(3)}
		p.spec = w.Target(i, service(p.name))
		w.run(t, p)
		p.was = p.is
		w.targets = append(w.targets, p)
	}
	for _, p := range w.targets[:min(2, len(w.targets))] {
		if !changes {
			break
		}
		p.spec = w.Target(i, service(p.name))
		w.run(t, p)
	}
	return w
}

func service(request identity.Request) string { return request.Namespace + "-" + request.Name }

// run lets a target's run decide, with its rules and claims.
func (w *routing) run(t *testing.T, p *published) {
	t.Helper()
	request, err := w.platform.Get(t.Context(), platform.ApiAggregatorTarget, p.name.Namespace, p.name.Name)
	if err != nil {
		request = &unstructured.Unstructured{Object: map[string]any{}}
		request.SetGroupVersionKind(platform.ApiAggregatorTarget.GroupVersionKind)
		request.SetNamespace(p.name.Namespace)
		request.SetName(p.name.Name)
		if request, err = w.platform.Create(t.Context(), platform.ApiAggregatorTarget, request); err != nil {
			t.Fatal(err)
		}
	}
	run := &workflow.Run{Promise: promise, Identity: p.name, Platform: w.platform, Request: request, Log: slog.New(slog.DiscardHandler), Now: time.Now(), Last: destination.Output{"eu-1": {}}}
	for n, c := range p.is.claims {
		document := fmt.Appendf(nil, "metadata: {annotations: {%s: %s, %s: %q}}\nspec: {rules: [", hostAnnotation, host, pathAnnotation, c.Value)
		for _, rule := range p.is.routes[n].Rules {
			for _, m := range rule.Matches {
				document = fmt.Appendf(document, "{matches: [{path: {type: PathPrefix}, method: %q}]}, ", m.Method)
			}
		}
		run.Last["eu-1"][c.Value] = append(document, "]}\n"...)
	}
	in := inputs{target: &v1alpha1.ApiAggregatorTarget{Spec: p.spec}, namespace: p.name.Namespace}
	in.target.Namespace, in.target.Name = p.name.Namespace, p.name.Name
	in.terms = gateway.TermsFor(w.aggregator, p.name.Namespace, []string{"eu-1"})
	paths := plan(in.target, in.terms)
	if err := claimPaths(t.Context(), run, in, paths); err != nil {
		t.Fatal(err)
	}
	p.is = output{values: values(run, in, paths, "eu-1")}
	for _, path := range paths {
		if path.state != v1alpha1.Accepted {
			continue
		}
		p.is.routes = append(p.is.routes, w.route(p, path))
		c := gatewaytest.Claim{Value: path.parsed.Value, Exact: path.spec.Type == v1alpha1.Exact, Owner: service(p.name), Rewrite: path.spec.RewritePrefix}
		for _, m := range path.spec.Methods {
			c.Methods = append(c.Methods, string(m))
		}
		p.is.claims = append(p.is.claims, c)
	}
}

// route is that of a path as the templates render it: see TestTemplatesFollowRules.
func (w *routing) route(p *published, path path) gatewaytest.Route {
	i := w.aggregator.Spec.Gateway.Implementation
	route := gatewaytest.Route{Namespace: p.name.Namespace, Name: routeName(p.name, path), Listener: "https", Hostnames: []string{host}, Created: p.created}
	for _, r := range path.rules {
		rule := gatewaytest.Rule{}
		for _, m := range r.Methods {
			rule.Matches = append(rule.Matches, gatewaytest.Match{Exact: path.spec.Type == v1alpha1.Exact, Path: path.parsed.Value, Method: m})
		}
		extension := func(kind, name string, status int) {
			rule.Filters = append(rule.Filters, gatewaytest.Filter{Type: gatewaytest.ExtensionRef, Kind: kind, Name: name, Status: status, Missing: w.changes && w.IntN(4) == 0})
		}
		switch r.Answer {
		case gateway.Serve:
			rule.Backends = []gatewaytest.Backend{{Service: service(p.name), Weight: 1}}
			if path.spec.RewritePrefix != "" {
				rule.Filters = append(rule.Filters, gatewaytest.Filter{Type: gatewaytest.URLRewrite, ReplacePrefix: path.spec.RewritePrefix})
			}
			if i == aggregator.Traefik && path.limit != "" {
				extension("Middleware", route.Name, 0)
			}
		case gateway.Refuse:
			switch i {
			case aggregator.Traefik: // refuses by itself, without a backend
				extension("Middleware", refusalName(p.name), 0)
			case aggregator.EnvoyGateway:
				extension("HTTPRouteFilter", refusalName(p.name), 405)
			default:
				panic(i)
			}
		}
		route.Rules = append(route.Rules, rule)
	}
	return route
}

// The routes that the templates make of what is decided about paths are those that
// [routing.route] makes, also while those of v0.1.0 are about; and what they refer to is there.
func TestTemplatesFollowRules(t *testing.T) {
	templates, err := render.New(promises.Templates(promise), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range models {
		t.Run(string(i), func(t *testing.T) {
			t.Parallel()
			routes := 0
			for n := range uint64(min(*worlds, 100)) {
				synctest.Test(t, func(t *testing.T) {
					upgrade := n%3 == 0
					w := newWorld(t, i, *seed+n, !upgrade)
					if upgrade {
						w.downgrade(t)
						for _, p := range w.targets {
							w.run(t, p)
						}
					}
					for _, p := range w.targets {
						routes += p.is.follow(t, templates)
						if !upgrade { // there it is as v0.1.0 would have left it
							p.was.follow(t, templates)
						}
					}
					if t.Failed() {
						w.describe(t)
					}
				})
				if t.Failed() {
					t.Fatalf("seed %d", *seed+n)
				}
			}
			if routes == 0 {
				t.Error("there is no route at all")
			}
			t.Attr("tried.routes", fmt.Sprint(routes))
		})
	}
}

// follow compares an output's routes with those that the templates make, and returns how
// many there are.
func (o output) follow(t *testing.T, templates render.Templates) int {
	t.Helper()
	documents, err := templates.Render(o.values)
	if err != nil {
		t.Fatal(err)
	}
	var texts [][]byte
	for _, d := range documents {
		texts = append(texts, d.YAML)
	}
	got, err := gatewaytest.Decode(texts...)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.SortedFunc(slices.Values(o.routes), func(a, b gatewaytest.Route) int { return strings.Compare(a.ID(), b.ID()) })
	// How old routes are, and whether what they refer to has arrived, is the cluster's affair;
	// that it is emitted is not.
	ignore := cmp.Options{cmpopts.IgnoreFields(gatewaytest.Route{}, "Created"), cmpopts.IgnoreFields(gatewaytest.Filter{}, "Missing"), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Errorf("the rules make - and the templates +:\n%s", diff)
	}
	for _, r := range got {
		for _, rule := range r.Rules {
			if slices.ContainsFunc(rule.Filters, func(f gatewaytest.Filter) bool { return f.Missing }) {
				t.Errorf("%s refers to what is not emitted: %+v", r.ID(), rule)
			}
		}
	}
	return len(got)
}

// closings are the aggregator's routes that serve nobody.
func (w *routing) closings(held []claim.Claim) []gatewaytest.Route {
	var routes []gatewaytest.Route
	i := w.aggregator.Spec.Gateway.Implementation
	for n, closing := range gateway.Closings(i, gateway.Closed(w.aggregator, held)) {
		route := gatewaytest.Route{Namespace: "gateways", Name: fmt.Sprint("closed-", n), Listener: "https", Hostnames: []string{host}, Created: -1}
		for _, r := range closing {
			var rule gatewaytest.Rule
			for _, prefix := range r.Prefixes {
				for _, m := range r.Methods {
					rule.Matches = append(rule.Matches, gatewaytest.Match{Path: prefix, Method: m})
				}
			}
			route.Rules = append(route.Rules, rule)
		}
		routes = append(routes, route)
	}
	return routes
}

// try sends requests while none, one or both of the changes have arrived, and returns how
// many were served.
func (w *routing) try(t *testing.T, model gatewaytest.Model) (served int) {
	delegated := gatewaytest.Delegated(w.aggregator.Spec)
	var admitted []gatewaytest.World
	var clusters [][]gatewaytest.Route
	for changed := range 4 {
		world := gatewaytest.World{Delegated: delegated}
		var held []claim.Claim
		var routes []gatewaytest.Route
		for n, p := range w.targets {
			o := p.is
			if n < 2 && changed&(1<<n) == 0 {
				o = p.was
			}
			routes = append(routes, o.routes...)
			world.Claims = append(world.Claims, o.claims...)
			for _, c := range o.claims {
				held = append(held, claim.Claim{Resource: claim.Path(host, gatewaytest.Key(c.Value)), State: claim.Held, Facts: map[string]string{
					gateway.FactRules: gateway.RulesAll, gateway.FactType: map[bool]string{true: "Exact", false: "Prefix"}[c.Exact],
				}})
			}
		}
		admitted = append(admitted, world)
		clusters = append(clusters, append(routes, w.closings(held)...))
	}
	for range 25 {
		request := w.Request(host, admitted[w.IntN(4)].Claims, delegated)
		var verdicts []gatewaytest.Verdict // of any of them: which change has arrived is open
		for _, world := range admitted {
			verdicts = append(verdicts, world.Judge(request)...)
		}
		for _, routes := range clusters {
			for _, a := range model(routes, request) {
				if a.Broken != "" || !gatewaytest.Admits(verdicts, a.Service(), a.Path) {
					t.Errorf("seed %d: %s %s: %v, want one of %+v", w.Seed, request.Method, request.Path, a, verdicts)
					return served
				}
				if a.Service() != "" {
					served++
				}
			}
		}
	}
	return served
}

// An upgrade of v0.1.0, whose routes do not name all methods: whatever the order in which
// requests run again, and their output arrives, no request that reached its owner or
// nobody is served by another on the way. In the end all are served right.
func TestRoutingUpgrade(t *testing.T) {
	for i, model := range models {
		t.Run(string(i), func(t *testing.T) {
			t.Parallel()
			for n := range uint64(*worlds / 10) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, i, *seed+n, false)
					w.downgrade(t)
					w.upgrade(t, model)
					if t.Failed() {
						w.describe(t)
					}
				})
				if t.Failed() {
					return
				}
			}
		})
	}
}

// downgrade has the world as v0.1.0 would have left it.
func (w *routing) downgrade(t *testing.T) {
	t.Helper()
	claims, err := claim.Store{Client: w.platform}.Within(t.Context(), "path", host)
	if err != nil {
		t.Fatal(err)
	}
	store := claim.Store{Client: w.platform, Kinds: []claim.Kind{{Kind: platform.ApiAggregatorTarget, Promise: promise}}}
	for _, c := range claims {
		if c.State != claim.Held {
			continue
		}
		delete(c.Facts, gateway.FactRules)
		if _, err := store.Acquire(t.Context(), c.Resource, c.Owner, c.Facts); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range w.targets {
		for n := range p.is.routes {
			route := &p.is.routes[n]
			serving := route.Rules[slices.IndexFunc(route.Rules, func(r gatewaytest.Rule) bool { return len(r.Backends) > 0 })]
			match := serving.Matches[0]
			route.Rules = nil
			for _, r := range gateway.FormerRules(gateway.Asked{Methods: p.is.claims[n].Methods}) {
				match.Method = r.Methods[0]
				rule := serving
				rule.Matches = []gatewaytest.Match{match}
				route.Rules = append(route.Rules, rule)
			}
		}
		p.was = p.is
	}
}

// upgrade runs all targets until nothing changes, with requests in between.
func (w *routing) upgrade(t *testing.T, model gatewaytest.Model) {
	t.Helper()
	world := gatewaytest.World{Delegated: gatewaytest.Delegated(w.aggregator.Spec)}
	for _, p := range w.targets {
		world.Claims = append(world.Claims, p.is.claims...)
	}
	var requests []gatewaytest.Request
	for range 20 {
		requests = append(requests, w.Request(host, world.Claims, world.Delegated))
	}
	// wrong returns the requests that somebody serves who must not.
	wrong := func(routes []gatewaytest.Route) map[gatewaytest.Request]string {
		found := map[gatewaytest.Request]string{}
		for _, request := range requests {
			if errs := world.Check(model, routes, request, gatewaytest.Answer.Service); len(errs) > 0 {
				found[request] = fmt.Sprint(errs)
			}
		}
		return found
	}
	// arrived is what a cluster has: within an hour, nobody knows which output.
	arrived := func() (routes []gatewaytest.Route) {
		for _, p := range w.targets {
			o := p.is
			if time.Since(p.changed) < time.Hour && w.IntN(2) == 0 {
				o = p.was
			}
			routes = append(routes, o.routes...)
		}
		return routes
	}
	was := wrong(arrived())
	var closed []gatewaytest.Route
	for round := range 12 {
		for _, n := range w.Perm(len(w.targets)) {
			p := w.targets[n]
			time.Sleep(time.Duration(w.IntN(30)) * time.Minute)
			last := *p
			w.run(t, p)
			switch killed := round < 4 && w.IntN(5) == 0; {
			case killed: // when it had claimed: it emits nothing
				*p = last
			case !cmp.Equal(last.is.routes, p.is.routes):
				if time.Since(last.changed) >= time.Hour { // else what was there may be still
					p.was = last.is
				}
				p.changed = time.Now()
			}
			if w.IntN(2) == 0 {
				closed = w.closeHeld(t)
			}
			is := wrong(append(arrived(), closed...))
			for request, says := range is {
				if was[request] == "" {
					t.Errorf("seed %d, round %d: since %s ran %s %s is served wrong: %s", w.Seed, round, p.name, request.Method, request.Path, says)
					return
				}
			}
		}
	}
	time.Sleep(time.Hour)
	closed = w.closeHeld(t)
	for request, says := range wrong(append(arrived(), closed...)) {
		t.Errorf("seed %d: in the end %s %s is served wrong: %s", w.Seed, request.Method, request.Path, says)
		return
	}
}

// closeHeld are the aggregator's routes by what is held now.
func (w *routing) closeHeld(t *testing.T) []gatewaytest.Route {
	t.Helper()
	claims, err := claim.Store{Client: w.platform}.Within(t.Context(), "path", host)
	if err != nil {
		t.Fatal(err)
	}
	return w.closings(claims)
}

// describe says what there is under the host.
func (w *routing) describe(t *testing.T) {
	t.Helper()
	t.Logf("delegations: %+v, limits: %v", w.aggregator.Spec.Delegations, w.aggregator.Spec.RequestBody)
	for _, p := range w.targets {
		for _, o := range []output{p.was, p.is} {
			for n, r := range o.routes {
				t.Logf("%s (created %d): %+v\n%+v", p.name, p.created, o.claims[n], r)
			}
		}
	}
}
