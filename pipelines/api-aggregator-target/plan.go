package apiaggregatortarget

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
)

// path is what is decided about one path of the request.
type path struct {
	spec    v1alpha1.Path
	parsed  httppath.Path
	state   v1alpha1.PathState
	message string // for the owner of a path that is not accepted
	limit   string // of request bodies, as the implementation writes it
	held    bool   // it is this request's to serve
	kept    bool   // it is refused, and served as it was last accepted
}

// plan decides about each path by itself.
func plan(t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) []path {
	paths := make([]path, 0, len(t.Spec.Paths))
	for _, spec := range t.Spec.Paths {
		parsed, _ := httppath.Parse(spec.Path) // a valid spec has valid paths
		p := path{spec: spec, parsed: parsed}
		p.state, p.message = judge(&p, t, terms)
		paths = append(paths, p)
	}
	return paths
}

// judge asks each rule in turn; the first that refuses decides.
func judge(p *path, t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) (v1alpha1.PathState, string) {
	for _, rule := range []func(*path, *v1alpha1.ApiAggregatorTarget, gateway.Terms) (v1alpha1.PathState, string){
		delegated, honoured, limited,
	} {
		if state, message := rule(p, t, terms); state != "" {
			return state, message
		}
	}
	return v1alpha1.Accepted, ""
}

func delegated(p *path, t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) (v1alpha1.PathState, string) {
	if prefix, ok := terms.Delegated(p.parsed.Key); !ok {
		return v1alpha1.NotDelegated, fmt.Sprintf("the aggregator delegates %s to other namespaces than %s: publish elsewhere, or ask the aggregator's owner for it", prefix, t.Namespace)
	}
	return "", ""
}

func honoured(p *path, t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) (v1alpha1.PathState, string) {
	if t.Spec.Timeout != "" && !gateway.HonoursTimeout(terms.Implementation) {
		return v1alpha1.UnsupportedByImplementation, fmt.Sprintf("%s does not honour timeouts: leave out spec.timeout", terms.Implementation)
	}
	if err := gateway.HonoursPath(terms.Implementation, gateway.Route{Path: p.parsed.Value, Rewrite: p.spec.RewritePrefix, Methods: p.spec.Methods}); err != nil {
		return v1alpha1.UnsupportedByImplementation, err.Error()
	}
	if h := t.Spec.RequestHeaders; h != nil {
		for _, name := range slices.Sorted(maps.Keys(h.Set)) { // a status must not depend on a map's order
			if err := gateway.HonoursHeader(terms.Implementation, name, string(h.Set[name])); err != nil {
				return v1alpha1.UnsupportedByImplementation, err.Error()
			}
		}
		for _, name := range h.Remove {
			if err := gateway.HonoursHeader(terms.Implementation, name, ""); err != nil {
				return v1alpha1.UnsupportedByImplementation, err.Error()
			}
		}
	}
	return "", ""
}

func limited(p *path, _ *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) (v1alpha1.PathState, string) {
	asked := p.spec.MaxRequestBodySize
	if terms.MaxBody != "" && asked.Bytes() > terms.MaxBody.Bytes() {
		return v1alpha1.BodyLimitAboveMaximum, fmt.Sprintf("maxRequestBodySize %s is above the aggregator's maximum of %s: ask for less, or ask the aggregator's owner for more", asked, terms.MaxBody)
	}
	limit, err := gateway.BodyLimit(terms.Implementation, cmp.Or(asked, terms.DefaultBody))
	if err != nil {
		return v1alpha1.UnsupportedByImplementation, err.Error()
	}
	p.limit = limit
	return "", ""
}
