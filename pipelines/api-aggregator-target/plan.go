package apiaggregatortarget

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// path is what is decided about one path of the request.
type path struct {
	spec    v1alpha1.Path
	parsed  httppath.Path
	state   v1alpha1.PathState
	message string // for the owner of a path that is not accepted
	limit   string // of request bodies, as the implementation writes it
	asked   gateway.Asked
	rules   []gateway.Rule
	// behind has a path below whose routes must change before this path's may.
	behind string
	held   bool // it is this request's to serve
	kept   bool // it is refused, and served as it was last accepted
	// withdrawn: it is refused, and served no more, for it would take what is another's
	// or break what is served for others.
	withdrawn bool
}

// plan decides about each path by itself.
func plan(t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) []path {
	paths := make([]path, 0, len(t.Spec.Paths))
	for _, spec := range t.Spec.Paths {
		parsed, _ := httppath.Parse(spec.Path) // a valid spec has valid paths
		p := path{spec: spec, parsed: parsed, asked: asked(spec, parsed, terms)}
		p.rules = gateway.Rules(terms.Implementation, p.asked)
		v := judge(&p, t, terms)
		p.state, p.message, p.withdrawn = cmp.Or(v.state, v1alpha1.Accepted), v.message, v.withdraw
		paths = append(paths, p)
	}
	return paths
}

// asked is what decides about the rules of a path's route, should it be accepted.
func asked(spec v1alpha1.Path, parsed httppath.Path, terms gateway.Terms) gateway.Asked {
	methods := make([]string, len(spec.Methods))
	for i, m := range spec.Methods {
		methods[i] = string(m)
	}
	_, contested := terms.Delegations[parsed.Key]
	return gateway.Asked{
		Methods: methods, Rewrites: spec.RewritePrefix != "", Contested: contested && spec.Type == v1alpha1.Prefix,
		Extended: terms.Implementation == aggregator.Traefik && cmp.Or(spec.MaxRequestBodySize, terms.DefaultBody) != "",
	}
}

// verdict is what a rule says of a path: nothing, or why it is refused.
type verdict struct {
	state   v1alpha1.PathState
	message string
	// withdraw what was published, which otherwise stays in place: it only fails its owner.
	withdraw bool
}

// refused gives an error, nil for none, a state. A [gateway.Refusal] says whether what is
// published must go.
func refused(state v1alpha1.PathState, err error) verdict {
	if err == nil {
		return verdict{}
	}
	return verdict{state, err.Error(), gateway.Withdraws(err)}
}

func unsupported(err error) verdict { return refused(v1alpha1.UnsupportedByImplementation, err) }

// judge asks each rule in turn; the first that refuses decides.
func judge(p *path, t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) verdict {
	for _, rule := range []func(*path, *v1alpha1.ApiAggregatorTarget, gateway.Terms) verdict{
		reserved, delegated, honoured, limited,
	} {
		if v := rule(p, t, terms); v.state != "" {
			return v
		}
	}
	return verdict{}
}

// reserved: some paths of a host decide about more than an API.
func reserved(p *path, t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) verdict {
	return refused(v1alpha1.Reserved, gateway.Reserved(terms, p.parsed.Key, t.AggregatorNamespace() == t.Namespace))
}

func delegated(p *path, t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) verdict {
	if prefix, ok := terms.Delegated(p.parsed.Key); !ok {
		return refused(v1alpha1.NotDelegated, fmt.Errorf("the aggregator delegates %s to other namespaces than %s: publish elsewhere, or ask the aggregator's owner for it", prefix, t.Namespace))
	}
	return verdict{}
}

func honoured(p *path, t *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) verdict {
	if t.Spec.Timeout != "" && !gateway.HonoursTimeout(terms.Implementation) {
		return unsupported(fmt.Errorf("%s does not honour timeouts: leave out spec.timeout", terms.Implementation))
	}
	if err := gateway.HonoursPath(terms.Implementation, gateway.Route{Path: p.parsed.Value, Exact: p.spec.Type == v1alpha1.Exact, Rewrite: p.spec.RewritePrefix, Methods: p.spec.Methods}); err != nil {
		return unsupported(err)
	}
	if h := t.Spec.RequestHeaders; h != nil {
		for _, name := range slices.Sorted(maps.Keys(h.Set)) { // a status must not depend on a map's order
			if err := gateway.HonoursHeader(terms.Implementation, name, string(h.Set[name])); err != nil {
				return unsupported(err)
			}
		}
		for _, name := range h.Remove {
			if err := gateway.HonoursHeader(terms.Implementation, name, ""); err != nil {
				return unsupported(err)
			}
		}
	}
	return verdict{}
}

func limited(p *path, _ *v1alpha1.ApiAggregatorTarget, terms gateway.Terms) verdict {
	asked := p.spec.MaxRequestBodySize
	if terms.MaxBody != "" && asked.Bytes() > terms.MaxBody.Bytes() {
		return refused(v1alpha1.BodyLimitAboveMaximum, fmt.Errorf("maxRequestBodySize %s is above the aggregator's maximum of %s: ask for less, or ask the aggregator's owner for more", asked, terms.MaxBody))
	}
	limit, err := gateway.BodyLimit(terms.Implementation, cmp.Or(asked, terms.DefaultBody))
	if err != nil {
		return unsupported(err)
	}
	p.limit = limit
	return verdict{}
}
