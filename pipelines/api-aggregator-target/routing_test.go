package apiaggregatortarget

import (
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/gateway/gatewaytest"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var (
	worlds = flag.Int("worlds", 500, "how many random worlds each implementation is tried in")
	seed   = flag.Uint64("seed", 0, "the first world")
)

var models = map[aggregator.Implementation]gatewaytest.Model{
	aggregator.Traefik: gatewaytest.Traefik, aggregator.NGINXGatewayFabric: gatewaytest.NGINX,
	aggregator.EnvoyGateway: gatewaytest.Envoy, aggregator.Standard: gatewaytest.Standard,
}

// Whatever teams ask for under one host, whatever the aggregator delegates, and in
// whatever order routes arrive at a cluster: a request is served by the owner of its path
// or by nobody. Run one world again with -seed N -worlds 1.
func TestRouting(t *testing.T) {
	for i, model := range models {
		t.Run(string(i), func(t *testing.T) {
			t.Parallel()
			served := 0
			for n := range uint64(*worlds) {
				synctest.Test(t, func(t *testing.T) { // a run may wait for another's path
					w := newWorld(t, i, *seed+n)
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
			t.Attr("tried.worlds", fmt.Sprint(*worlds))
		})
	}
}

// routing is one host with its aggregator and targets.
type routing struct {
	gatewaytest.Random
	aggregator *aggregator.ApiAggregator
	platform   platform.Client
	// The first two of the targets have changed what they ask for.
	targets []*published
}

// published is a target with what its last two runs came to.
type published struct {
	name    identity.Request
	spec    v1alpha1.ApiAggregatorTargetSpec
	created int
	was, is output
}

// output is what a run emits, and which claims it rests on.
type output struct {
	routes []gatewaytest.Route
	claims []gatewaytest.Claim
}

func newWorld(t *testing.T, i aggregator.Implementation, seed uint64) *routing {
	w := &routing{Random: gatewaytest.NewRandom(seed), aggregator: &aggregator.ApiAggregator{}, platform: platform.NewMemory(time.Now)}
	w.aggregator.Namespace, w.aggregator.Name = "platform", "public-api"
	w.aggregator.Spec = w.Aggregator(i, host)
	for n := range 1 + w.IntN(5) {
		p := &published{name: identity.Request{Kind: platform.ApiAggregatorTarget.Kind, Namespace: w.One("team-a", "team-b", "team-c"), Name: fmt.Sprint("t", n)}, created: w.IntN(3)}
		p.spec = w.Target(i, service(p.name))
		w.run(t, p)
		p.was = p.is
		w.targets = append(w.targets, p)
	}
	for _, p := range w.targets[:min(2, len(w.targets))] { // two change what they ask for
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
	run := &workflow.Run{Promise: promise, Identity: p.name, Platform: w.platform, Request: request, Log: slog.New(slog.DiscardHandler)}
	in := inputs{target: &v1alpha1.ApiAggregatorTarget{Spec: p.spec}, namespace: p.name.Namespace}
	in.target.Namespace, in.target.Name = p.name.Namespace, p.name.Name
	in.terms = gateway.TermsFor(w.aggregator, p.name.Namespace, []string{"eu-1"})
	paths := plan(in.target, in.terms)
	if err := claimPaths(t.Context(), run, in, paths); err != nil {
		t.Fatal(err)
	}
	p.is = output{}
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
			rule.Filters = append(rule.Filters, gatewaytest.Filter{Type: gatewaytest.ExtensionRef, Kind: kind, Name: name, Status: status, Missing: w.IntN(4) == 0})
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

// closings are the aggregator's routes that serve nobody.
func (w *routing) closings(held map[string]bool) []gatewaytest.Route {
	var routes []gatewaytest.Route
	i := w.aggregator.Spec.Gateway.Implementation
	for n, closing := range gateway.Closings(i, gateway.Closed(w.aggregator, func(key string) bool { return held[key] })) {
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
		held := map[string]bool{}
		var routes []gatewaytest.Route
		for n, p := range w.targets {
			o := p.is
			if n < 2 && changed&(1<<n) == 0 {
				o = p.was
			}
			routes = append(routes, o.routes...)
			world.Claims = append(world.Claims, o.claims...)
			for _, c := range o.claims {
				held[gatewaytest.Key(c.Value)] = true
			}
		}
		admitted = append(admitted, world)
		clusters = append(clusters, append(routes, w.closings(held)...))
	}
	for range 25 {
		request := w.Request(host, admitted[w.IntN(4)].Claims, delegated)
		for _, routes := range clusters {
			var errs []error
			right := slices.ContainsFunc(admitted, func(world gatewaytest.World) bool {
				errs = world.Check(model, routes, request, gatewaytest.Answer.Service)
				return len(errs) == 0
			})
			if !right {
				t.Errorf("seed %d: %v", w.Seed, errs)
				return served
			}
			for _, a := range model(routes, request) {
				if a.Service() != "" {
					served++
				}
			}
		}
	}
	return served
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
