// Package gatewaytest says who may answer a request, and who does: an [Oracle]
// of ownership that knows nothing of routes, and a small model of each
// implementation of the Gateway API that knows nothing of ownership. It is for
// tests alone. What a pipeline emits is right if, for every request, each
// [Answer] of the model is one that the oracle admits.
package gatewaytest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Route is what the models know of an HTTPRoute.
type Route struct {
	Namespace, Name string
	// Listener is the sectionName of its first parentRef; empty is every listener.
	Listener string
	// Hostnames are without wildcards; none is every host.
	Hostnames []string
	// Created orders routes by age: the lower, the older. Decode leaves it at 0, so that
	// only names decide.
	Created int
	Rules   []Rule
}

// ID returns namespace/name.
func (r Route) ID() string { return r.Namespace + "/" + r.Name }

// Rule is one rule of a route.
type Rule struct {
	// Matches are alternatives; none is the prefix /.
	Matches []Match
	Filters []Filter
	// Backends are those that requests are forwarded to; none is nobody.
	Backends []Backend
}

// Match is one match of a rule.
type Match struct {
	Exact  bool // else a prefix
	Path   string
	Method string // empty: all
}

// Backend is a Service of the route's namespace.
type Backend struct {
	Service string
	Weight  int
}

// FilterType is the type of a filter, as the Gateway API spells it.
type FilterType string

// The filters that the models know.
const (
	URLRewrite            FilterType = "URLRewrite"
	RequestRedirect       FilterType = "RequestRedirect"
	RequestHeaderModifier FilterType = "RequestHeaderModifier"
	ExtensionRef          FilterType = "ExtensionRef"
)

// Filter is one filter of a rule; the fields of other types are empty.
type Filter struct {
	Type FilterType
	// ReplacePrefix is a URLRewrite's replacePrefixMatch.
	ReplacePrefix string
	// Status is a RequestRedirect's status code, or that of the direct response of the
	// HTTPRouteFilter that an ExtensionRef names.
	Status int
	// Set and Remove are a RequestHeaderModifier's.
	Set    map[string]string
	Remove []string
	// Kind and Name are an ExtensionRef's. Missing says that no such object was decoded.
	Kind, Name string
	Missing    bool
}

// Decode reads the HTTPRoutes among YAML documents, sorted by namespace and name.
// A text may hold several documents. Of other kinds it notes which exist, so that a
// filter that refers to one that does not is Missing. It refuses what the
// models would not see: other filters and matches, rewrites of whole paths,
// backends that are not Services of the route's namespace, and several listeners.
func Decode(documents ...[]byte) ([]Route, error) {
	var objects []object
	for _, document := range documents {
		for part := range bytes.SplitSeq(append([]byte("\n"), document...), []byte("\n---")) {
			var o object
			if err := yaml.Unmarshal(part, &o); err != nil {
				return nil, fmt.Errorf("a document cannot be read: %w", err)
			}
			if o.Kind != "" {
				objects = append(objects, o)
			}
		}
	}
	exists := map[[3]string]object{}
	for _, o := range objects {
		exists[[3]string{o.Kind, o.Metadata.Namespace, o.Metadata.Name}] = o
	}
	var routes []Route
	for _, o := range objects {
		if o.Kind != "HTTPRoute" {
			continue
		}
		route, err := o.route(exists)
		if err != nil {
			return nil, fmt.Errorf("HTTPRoute %s/%s: %w", o.Metadata.Namespace, o.Metadata.Name, err)
		}
		routes = append(routes, route)
	}
	slices.SortFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return routes, nil
}

// object is as much of any document as [Decode] reads.
type object struct {
	Kind     string
	Metadata struct{ Namespace, Name string }
	Spec     struct {
		ParentRefs []struct{ SectionName string }
		Hostnames  []string
		Rules      []struct {
			Matches []struct {
				Path        *struct{ Type, Value string }
				Method      string
				Headers     []any
				QueryParams []any
			}
			Filters     []filter
			BackendRefs []struct {
				Group, Kind, Namespace, Name string
				Weight                       *int
				Filters                      []any
			}
		}
		DirectResponse *struct{ StatusCode *int }
	}
}

type filter struct {
	Type       FilterType
	URLRewrite *struct {
		Hostname string
		Path     *struct{ Type, ReplacePrefixMatch string }
	}
	RequestRedirect       *struct{ StatusCode *int }
	RequestHeaderModifier *struct {
		Set, Add []struct{ Name, Value string }
		Remove   []string
	}
	ExtensionRef *struct{ Group, Kind, Name string }
}

func (o object) route(exists map[[3]string]object) (Route, error) {
	r := Route{Namespace: o.Metadata.Namespace, Name: o.Metadata.Name, Hostnames: o.Spec.Hostnames}
	for _, p := range o.Spec.ParentRefs {
		if r.Listener != "" && r.Listener != p.SectionName {
			return r, fmt.Errorf("it has the listeners %s and %s", r.Listener, p.SectionName)
		}
		r.Listener = p.SectionName
	}
	for _, in := range o.Spec.Rules {
		var rule Rule
		for _, m := range in.Matches {
			if len(m.Headers)+len(m.QueryParams) > 0 {
				return r, fmt.Errorf("a match has headers or query parameters")
			}
			match := Match{Path: "/", Method: m.Method}
			if m.Path != nil {
				match.Path = cmp.Or(m.Path.Value, "/")
				switch m.Path.Type {
				case "Exact":
					match.Exact = true
				case "PathPrefix", "":
				default:
					return r, fmt.Errorf("a match has the path type %s", m.Path.Type)
				}
			}
			rule.Matches = append(rule.Matches, match)
		}
		for _, f := range in.Filters {
			out, err := f.decode(r.Namespace, exists)
			if err != nil {
				return r, err
			}
			rule.Filters = append(rule.Filters, out)
		}
		for _, b := range in.BackendRefs {
			if b.Group != "" || cmp.Or(b.Kind, "Service") != "Service" || cmp.Or(b.Namespace, r.Namespace) != r.Namespace || len(b.Filters) > 0 {
				return r, fmt.Errorf("the backend %s is not a plain Service of its namespace", b.Name)
			}
			weight := 1
			if b.Weight != nil {
				weight = *b.Weight
			}
			rule.Backends = append(rule.Backends, Backend{Service: b.Name, Weight: weight})
		}
		r.Rules = append(r.Rules, rule)
	}
	return r, nil
}

func (f filter) decode(namespace string, exists map[[3]string]object) (Filter, error) {
	out := Filter{Type: f.Type}
	switch {
	case f.Type == URLRewrite && f.URLRewrite != nil && f.URLRewrite.Path != nil:
		if f.URLRewrite.Path.Type != "ReplacePrefixMatch" || f.URLRewrite.Hostname != "" {
			return out, fmt.Errorf("a URLRewrite does more than replace a prefix")
		}
		out.ReplacePrefix = f.URLRewrite.Path.ReplacePrefixMatch
	case f.Type == RequestRedirect && f.RequestRedirect != nil:
		out.Status = 302
		if code := f.RequestRedirect.StatusCode; code != nil {
			out.Status = *code
		}
	case f.Type == RequestHeaderModifier && f.RequestHeaderModifier != nil:
		if len(f.RequestHeaderModifier.Add) > 0 {
			return out, fmt.Errorf("a RequestHeaderModifier adds headers")
		}
		out.Set, out.Remove = map[string]string{}, f.RequestHeaderModifier.Remove
		for _, h := range f.RequestHeaderModifier.Set {
			out.Set[h.Name] = h.Value
		}
	case f.Type == ExtensionRef && f.ExtensionRef != nil:
		out.Kind, out.Name = f.ExtensionRef.Kind, f.ExtensionRef.Name
		of, ok := exists[[3]string{out.Kind, namespace, out.Name}]
		out.Missing = !ok
		if d := of.Spec.DirectResponse; d != nil {
			out.Status = 200
			if d.StatusCode != nil {
				out.Status = *d.StatusCode
			}
		}
	default:
		return out, fmt.Errorf("a filter of the type %s has no such field, or is none that the models know", f.Type)
	}
	return out, nil
}

// Request is a request as it comes in.
type Request struct {
	// Listener is where; empty is every listener.
	Listener string
	// Host is the name asked for; empty is every name.
	Host   string
	Method string // empty: GET
	// Path is the path of the request target as the client sends it, without a query.
	Path string
}

// method returns the request's method.
func (q Request) method() string { return cmp.Or(q.Method, "GET") }

// A Model says how an implementation answers a request by its routes. It returns
// more than one answer, in a fixed order, where the implementation leaves open
// which it gives.
type Model func(routes []Route, request Request) []Answer

// Answer is what becomes of a request.
type Answer struct {
	// Route and Rule are the route (namespace/name) and the place of the rule that
	// serves; Route is empty if the gateway answers by itself, for want of one.
	Route string
	Rule  int
	// Backends are the services that may get the request, those of weight 0 left out;
	// none is nobody.
	Backends []Backend
	// Path is the path of the request that a backend gets, as it is on the wire.
	Path string
	// Status is what the gateway answers by itself; 0 if a backend does.
	Status int
	// Broken says why the implementation has no working configuration at all, for
	// anybody, by these routes.
	Broken string
}

// Service returns the first service that may get the request, empty for nobody.
func (a Answer) Service() string {
	if len(a.Backends) == 0 {
		return ""
	}
	return a.Backends[0].Service
}

// String describes an answer in a test's message.
func (a Answer) String() string {
	switch {
	case a.Broken != "":
		return "broken: " + a.Broken
	case len(a.Backends) == 0:
		return fmt.Sprintf("%d by %s", a.Status, cmp.Or(a.Route, "the gateway"))
	}
	var services []string
	for _, b := range a.Backends {
		services = append(services, b.Service)
	}
	return fmt.Sprintf("%s of %s rule %d at %s", strings.Join(services, ","), a.Route, a.Rule, a.Path)
}

// own is an answer of the gateway itself.
func own(status int) Answer { return Answer{Status: status} }

// place is one match of one rule of one route.
type place struct {
	route Route
	index int
	match Match
}

func (p place) rule() Rule { return p.route.Rules[p.index] }

// places are the matches of the routes that a request's listener and host have, the
// oldest route first, then by name, then in the order of the rules.
func places(routes []Route, request Request) []place {
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var out []place
	for _, r := range routes {
		listens := r.Listener == "" || request.Listener == "" || r.Listener == request.Listener
		named := len(r.Hostnames) == 0 || request.Host == "" || slices.Contains(r.Hostnames, strings.ToLower(request.Host))
		if !listens || !named {
			continue
		}
		for i, rule := range r.Rules {
			matches := rule.Matches
			if len(matches) == 0 {
				matches = []Match{{Path: "/"}}
			}
			for _, m := range matches {
				out = append(out, place{r, i, m})
			}
		}
	}
	return out
}

// nobody is the answer of a place whose rule answers by itself.
func (p place) nobody(status int) Answer {
	return Answer{Route: p.route.ID(), Rule: p.index, Status: status}
}

// forwards is the answer of a place whose rule forwards; none is what the
// implementation answers if the rule has no backend of a weight.
func (p place) forwards(path string, none int) Answer {
	a := Answer{Route: p.route.ID(), Rule: p.index}
	for _, b := range p.rule().Backends {
		if b.Weight > 0 {
			a.Backends = append(a.Backends, b)
		}
	}
	if len(a.Backends) == 0 {
		a.Status = none
		return a
	}
	a.Path = path
	return a
}

// filter returns the first filter of a type.
func (r Rule) filter(t FilterType) (Filter, bool) {
	i := slices.IndexFunc(r.Filters, func(f Filter) bool { return f.Type == t })
	if i < 0 {
		return Filter{}, false
	}
	return r.Filters[i], true
}

// separated reports whether a path lies at or below a prefix by whole segments, as
// both are spelled; a slash at the prefix's end is ignored.
func separated(prefix, path string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// replaced returns a path with another prefix, by whole segments: the slash at the end of
// either prefix is ignored, as the Gateway API's replacePrefixMatch has it.
func replaced(path, prefix, by string) string {
	rest := strings.TrimPrefix(path, strings.TrimSuffix(prefix, "/"))
	return cmp.Or(strings.TrimSuffix(by, "/")+rest, "/")
}
