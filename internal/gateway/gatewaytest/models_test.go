package gatewaytest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/httppath"
)

var models = map[string]Model{"Traefik": Traefik, "NGINX": NGINX, "Envoy": Envoy, "Standard": Standard}

// v010 are the routes that v0.1.0 emits for a world: one for each claim, with a rule for
// each method. The service has the owner's name, the route's namespace too.
func v010(w World) []Route {
	var routes []Route
	for _, c := range w.Claims {
		route := Route{Namespace: c.Owner, Name: Key(c.Value), Hostnames: []string{"api.example.com"}, Listener: "https"}
		methods := c.Methods
		if len(methods) == 0 {
			methods = []string{""}
		}
		for _, method := range methods {
			rule := Rule{
				Matches:  []Match{{Exact: c.Exact, Path: c.Value, Method: method}},
				Backends: []Backend{{Service: c.Owner, Weight: 1}},
			}
			if c.Rewrite != "" {
				rule.Filters = append(rule.Filters, Filter{Type: URLRewrite, ReplacePrefix: c.Rewrite})
			}
			route.Rules = append(route.Rules, rule)
		}
		routes = append(routes, route)
	}
	return routes
}

// world returns one of claims, each written "owner path", with =path for Exact, then methods, and
// >path for a rewrite; and of delegated prefixes, written "- path".
func world(t *testing.T, lines ...string) World {
	t.Helper()
	var w World
	for _, line := range lines {
		words := strings.Fields(line)
		raw, exact := strings.CutPrefix(words[1], "=")
		p, err := httppath.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if words[0] == "-" {
			w.Delegated = append(w.Delegated, p.Value)
			continue
		}
		c := Claim{Value: p.Value, Exact: exact, Owner: words[0]}
		for _, word := range words[2:] {
			if rewrite, ok := strings.CutPrefix(word, ">"); ok {
				c.Rewrite = rewrite
			} else {
				c.Methods = append(c.Methods, word)
			}
		}
		w.Claims = append(w.Claims, c)
	}
	return w
}

// What is known to be served wrongly of the routes that v0.1.0 emits. Each row has what
// each model answers, and whether the oracle admits that.
func TestKnownFaults(t *testing.T) {
	const all = "GET HEAD POST PUT DELETE OPTIONS PATCH"
	long := "/" + strings.Repeat("a", 900)
	for _, c := range []struct {
		name    string
		world   []string
		request string
		want    map[string]string // owner and path, or a status; the fault is marked by a !
	}{
		{
			"methods of a shorter prefix beat a longer one",
			[]string{"a /api/orders", "b /api " + all}, "GET /api/orders/7",
			map[string]string{"Traefik": "!b /api/orders/7", "NGINX": "a /api/orders/7", "Envoy": "a /api/orders/7", "Standard": "a /api/orders/7"},
		},
		{
			"a longer prefix beats methods from ten characters on",
			[]string{"a /api/long/orders", "b /api " + all}, "GET /api/long/orders",
			map[string]string{"Traefik": "a /api/long/orders"},
		},
		{
			"methods on both: the longer prefix",
			[]string{"a /api/orders " + all, "b /api " + all}, "GET /api/orders/7",
			map[string]string{"Traefik": "a /api/orders/7"},
		},
		{
			"a prefix of 900 characters beats an Exact",
			[]string{"a =" + long + "/b", "b " + long}, "GET " + long + "/b",
			map[string]string{"Traefik": "!b " + long + "/b", "NGINX": "a " + long + "/b", "Envoy": "a " + long + "/b", "Standard": "a " + long + "/b"},
		},
		{
			"the controller leaves out a path like that of an internal location",
			[]string{"a /orders GET POST", "b =/_ngf-internal-rule0-route0"}, "GET /orders",
			map[string]string{"NGINX": "a /orders", "Traefik": "a /orders"},
		},
		{
			"and does not serve it",
			[]string{"a /orders GET POST", "b =/_ngf-internal-rule0-route0"}, "GET /_ngf-internal-rule0-route0",
			map[string]string{"NGINX": "404", "Traefik": "b /_ngf-internal-rule0-route0"},
		},
		{
			"a parenthesis in a path with a rewrite breaks everybody",
			[]string{"a /orders", "b /a(b >/"}, "GET /orders",
			map[string]string{"NGINX": "!broken", "Traefik": "a /orders", "Envoy": "a /orders"},
		},
		{
			"parentheses and repetitions in a path with a rewrite are an expression",
			[]string{"b /a+b >/v1"}, "GET /a+b/c",
			map[string]string{"NGINX": "!b /a+b/c", "Traefik": "b /v1/c", "Envoy": "b /v1/c"},
		},
		{
			"so does a repetition of nothing",
			[]string{"a /orders", "b /a** >/"}, "GET /orders",
			map[string]string{"NGINX": "!broken"},
		},
		{
			"not one that PCRE does not go back on",
			[]string{"b /a*+ >/v1"}, "GET /a*+/c",
			map[string]string{"NGINX": "!b /v1*+/c", "Traefik": "b /v1/c"},
		},
		{
			"a group takes the place of what follows",
			[]string{"b /(b) >/v1"}, "GET /(b)/c",
			map[string]string{"NGINX": "!b /(b)/c", "Traefik": "b /v1/c"},
		},
		{
			"a $ in a path with a rewrite is text",
			[]string{"b /$b >/v1"}, "GET /$b/c",
			map[string]string{"NGINX": "b /v1/c", "Traefik": "b /v1/c", "Envoy": "b /v1/c"},
		},
		{
			"methods that are not listed fall to a shorter path",
			[]string{"a /orders GET", "b /"}, "OPTIONS /orders",
			map[string]string{"Traefik": "!b /orders", "NGINX": "404", "Envoy": "!b /orders", "Standard": "!b /orders"},
		},
		{
			"a delegated prefix that is free falls to a shorter path",
			[]string{"- /orders", "b /"}, "GET /orders/7",
			map[string]string{"Traefik": "!b /orders/7", "NGINX": "!b /orders/7", "Envoy": "!b /orders/7", "Standard": "!b /orders/7"},
		},
		{
			"an encoded path is not matched where it is decoded first",
			[]string{"a /caf%c3%a9", "b /"}, "GET /caf%C3%A9",
			map[string]string{"Traefik": "!b /caf%C3%A9", "NGINX": "!b /caf%C3%A9", "Envoy": "a /caf%C3%A9", "Standard": "a /caf%C3%A9"},
		},
		{
			"nor in lower case where it is not: another spelling, which may be another's",
			[]string{"a /caf%c3%a9", "b /"}, "GET /caf%c3%a9",
			map[string]string{"Envoy": "b /caf%c3%a9"},
		},
		{
			"a blank too",
			[]string{"a =/a%20b", "b /"}, "GET /a%20b",
			map[string]string{"Traefik": "!b /a%20b", "NGINX": "!b /a%20b", "Envoy": "a /a%20b"},
		},
		{
			"what is encoded twice is met",
			[]string{"a =/a%20b", "b /"}, "GET /a%2520b",
			map[string]string{"Traefik": "b /a%2520b", "NGINX": "!a /a%2520b", "Envoy": "b /a%2520b"},
		},
		{
			"a reserved character is met as it is written",
			[]string{"a /a%2Ab", "b /"}, "GET /a%2ab",
			map[string]string{"Traefik": "a /a%2Ab", "NGINX": "b /a%2ab"},
		},
		{
			"an encoded rewrite arrives encoded twice",
			[]string{"a /o >/a%20b"}, "GET /o/c",
			map[string]string{"Traefik": "!a /a%2520b/c", "NGINX": "!a /a%2520b/c", "Envoy": "a /a%20b/c", "Standard": "a /a%20b/c"},
		},
		{
			"methods and a rewrite: what follows arrives encoded twice",
			[]string{"a /m GET >/v1", "b /"}, "GET /m/a%20b",
			map[string]string{"NGINX": "!a /v1/a%2520b", "Traefik": "a /v1/a%20b", "Envoy": "a /v1/a%20b"},
		},
		{
			"methods and a rewrite: two slashes lead elsewhere",
			[]string{"a /m GET >/v1", "b /"}, "GET //m/x",
			map[string]string{"NGINX": "b //m/x", "Traefik": "a /v1/x", "Envoy": "a /v1/x"},
		},
		{
			"methods and a rewrite: so does an encoding",
			[]string{"a /m GET >/v1", "b /"}, "GET /%6d/x",
			map[string]string{"NGINX": "!b /%256d/x", "Traefik": "a /v1/x", "Envoy": "a /v1/x"},
		},
		{
			"methods and a rewrite: an internal location is reached past its methods",
			[]string{"a /m GET >/v1", "b /orders POST"}, "GET /_ngf-internal-rule0-route0/../m/x",
			map[string]string{"NGINX": "!b /_ngf-internal-rule0-route0/../m/x", "Traefik": "a /v1/x", "Envoy": "a /v1/x"},
		},
		{
			"the root rewritten",
			[]string{"a / >/v1"}, "GET /users",
			map[string]string{"Envoy": "!a /v1users", "Traefik": "a /v1/users", "NGINX": "a /v1/users", "Standard": "a /v1/users"},
		},
		{
			"the root rewritten with a slash",
			[]string{"a / >/v1/"}, "GET /users",
			map[string]string{"Envoy": "!a /v1users", "Traefik": "a /v1/users", "NGINX": "a /v1/users", "Standard": "a /v1/users"},
		},
		{
			"a prefix with a slash, rewritten, asked for without",
			[]string{"a /orders/ >/v1"}, "GET /orders",
			map[string]string{"Traefik": "!a /v1/orders", "NGINX": "301", "Envoy": "a /v1", "Standard": "a /v1"},
		},
		{
			"and rewritten to the root",
			[]string{"a /orders/ >/"}, "GET /orders",
			map[string]string{"Traefik": "!a /orders", "NGINX": "301", "Envoy": "!a /orders", "Standard": "a /"},
		},
		{
			"dots behind an encoded slash leave a rewritten prefix",
			[]string{"a /m >/v1", "b /"}, "GET /m/..%2Fx",
			map[string]string{"Traefik": "!a /x", "NGINX": "b /m/..%2Fx", "Envoy": "307"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world(t, c.world...)
			method, path, _ := strings.Cut(c.request, " ")
			request := Request{Listener: "https", Host: "api.example.com", Method: method, Path: path}
			for name, want := range c.want {
				want, fault := strings.CutPrefix(want, "!")
				answers := models[name](v010(w), request)
				if got := short(answers[0]); len(answers) != 1 || got != want {
					t.Errorf("%s: %v, want %s", name, answers, want)
				}
				if errs := w.Check(models[name], v010(w), request, Answer.Service); (len(errs) > 0) != fault {
					t.Errorf("%s: the oracle says %v, want a fault: %v", name, errs, fault)
				}
			}
		})
	}
}

// short is an answer in the tables of this test.
func short(a Answer) string {
	switch {
	case a.Broken != "":
		return "broken"
	case a.Service() == "":
		return fmt.Sprint(a.Status)
	}
	return a.Service() + " " + a.Path
}

// What implementations do with what v0.1.0 does not emit.
func TestModels(t *testing.T) {
	const (
		missing = "a Middleware that is missing"
		closed  = "a rule that serves nobody"
	)
	to := func(service string) []Backend { return []Backend{{Service: service, Weight: 1}} }
	prefix := func(path, method string) []Match { return []Match{{Path: path, Method: method}} }
	route := func(namespace string, created int, rules ...Rule) Route {
		return Route{Namespace: namespace, Name: "r", Created: created, Rules: rules}
	}
	for _, c := range []struct {
		name    string
		routes  []Route
		request Request
		want    map[string][]string
	}{
		{
			closed,
			[]Route{route("a", 0, Rule{Matches: prefix("/orders", "GET"), Backends: to("a")}, Rule{Matches: prefix("/orders", "")}), route("b", 0, Rule{Backends: to("b")})},
			Request{Method: "POST", Path: "/orders/7"},
			map[string][]string{"Traefik": {"503"}, "NGINX": {"500"}, "Envoy": {"500"}, "Standard": {"500"}},
		},
		{
			closed + ", by weight",
			[]Route{route("a", 0, Rule{Backends: []Backend{{Service: "a"}}})},
			Request{Path: "/"},
			map[string][]string{"Traefik": {"503"}, "NGINX": {"500"}, "Envoy": {"500"}, "Standard": {"500"}},
		},
		{
			missing,
			[]Route{
				route("a", 0, Rule{Matches: prefix("/orders", ""), Backends: to("a"), Filters: []Filter{{Type: ExtensionRef, Kind: "Middleware", Missing: true}}}),
				route("b", 0, Rule{Backends: to("b")}),
			},
			Request{Path: "/orders"},
			map[string][]string{"Traefik": {"b /orders"}, "NGINX": {"500"}, "Envoy": {"500"}, "Standard": {"500"}},
		},
		{
			"a direct response",
			[]Route{route("a", 0, Rule{Filters: []Filter{{Type: ExtensionRef, Kind: "HTTPRouteFilter", Status: 404}}})},
			Request{Path: "/orders"},
			map[string][]string{"Traefik": {"500"}, "NGINX": {"500"}, "Envoy": {"404"}},
		},
		{
			"two of one path: the older, or any",
			[]Route{route("a", 1, Rule{Backends: to("a")}), route("b", 0, Rule{Backends: to("b")})},
			Request{Path: "/orders"},
			map[string][]string{"Traefik": {"b /orders", "a /orders"}, "NGINX": {"b /orders"}, "Envoy": {"b /orders"}, "Standard": {"b /orders"}},
		},
		{
			"two of one path and age: the first name, or any",
			[]Route{route("b", 0, Rule{Backends: to("b")}), route("a", 0, Rule{Backends: to("a")})},
			Request{Path: "/orders"},
			map[string][]string{"Traefik": {"a /orders", "b /orders"}, "NGINX": {"a /orders"}, "Envoy": {"a /orders"}, "Standard": {"a /orders"}},
		},
		{
			"of one route the first rule",
			[]Route{route("a", 0, Rule{Backends: to("first")}, Rule{Backends: to("second")})},
			Request{Path: "/"},
			map[string][]string{"Traefik": {"first /"}, "NGINX": {"first /"}, "Envoy": {"first /"}, "Standard": {"first /"}},
		},
		{
			"of two of one path and age the route of more rules, or the first name",
			[]Route{
				route("a", 0, Rule{Backends: to("a")}),
				route("b", 0, Rule{Backends: to("b")}, Rule{Matches: prefix("/x", ""), Backends: to("b")}),
			},
			Request{Path: "/orders"},
			map[string][]string{"Traefik": {"b /orders"}, "NGINX": {"a /orders"}, "Envoy": {"a /orders"}, "Standard": {"a /orders"}},
		},
		{
			"methods that nginx has not",
			[]Route{route("a", 0, Rule{Matches: prefix("/orders", "TRACE"), Backends: to("a")}), route("b", 0, Rule{Backends: to("b")})},
			Request{Method: "TRACE", Path: "/orders"},
			map[string][]string{"Traefik": {"a /orders"}, "NGINX": {"405"}, "Envoy": {"a /orders"}, "Standard": {"a /orders"}},
		},
		{
			"nobody",
			[]Route{route("a", 0, Rule{Matches: prefix("/orders", ""), Backends: to("a")})},
			Request{Path: "/order"},
			map[string][]string{"Traefik": {"404"}, "NGINX": {"404"}, "Envoy": {"404"}, "Standard": {"404"}},
		},
		{
			"another listener and another host",
			[]Route{
				{Namespace: "a", Name: "r", Listener: "http", Rules: []Rule{{Backends: to("a")}}},
				{Namespace: "b", Name: "r", Hostnames: []string{"b.example.com"}, Rules: []Rule{{Backends: to("b")}}},
			},
			Request{Listener: "https", Host: "api.example.com", Path: "/"},
			map[string][]string{"Traefik": {"404"}, "NGINX": {"404"}, "Envoy": {"404"}, "Standard": {"404"}},
		},
		{
			"a redirect",
			[]Route{route("a", 0, Rule{Filters: []Filter{{Type: RequestRedirect, Status: 301}}})},
			Request{Path: "/.well-known/acme-challenge/x"},
			map[string][]string{"Traefik": {"301"}, "NGINX": {"301"}, "Envoy": {"301"}, "Standard": {"301"}},
		},
		{
			"malformed",
			[]Route{route("a", 0, Rule{Backends: to("a")})},
			Request{Path: "/%zz"},
			map[string][]string{"Traefik": {"400"}, "NGINX": {"400"}, "Envoy": {"a /%zz"}, "Standard": {"a /%zz"}},
		},
		{
			"above the root",
			[]Route{route("a", 0, Rule{Backends: to("a")})},
			Request{Path: "/../x"},
			map[string][]string{"Traefik": {"a /x"}, "NGINX": {"400"}, "Envoy": {"a /x"}, "Standard": {"a /../x", "a /x"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, want := range c.want {
				var got []string
				for _, a := range models[name](c.routes, c.request) {
					got = append(got, short(a))
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", name, got, want)
				}
			}
		})
	}
}

// A rule for each of the nine methods, and one without, has the longer prefix win on
// Traefik, whatever methods the paths above it have.
func TestMethodsForEveryPath(t *testing.T) {
	w := world(t, "a /api/orders", "b /api GET", "c /")
	var routes []Route
	for _, r := range v010(w) {
		rule := r.Rules[0]
		r.Rules = nil
		for _, method := range append(methods, "") {
			one := rule
			one.Matches = []Match{{Path: rule.Matches[0].Path, Method: method}}
			if rule.Matches[0].Method != "" && method != rule.Matches[0].Method {
				one.Backends = nil
			}
			r.Rules = append(r.Rules, one)
		}
		routes = append(routes, r)
	}
	for _, method := range append(methods, "PROPFIND") {
		for _, path := range []string{"/", "/api", "/api/", "/api/x", "/api/orders", "/api/orders/7", "/apis"} {
			for name, model := range models {
				for _, err := range w.Check(model, routes, Request{Method: method, Path: path}, Answer.Service) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// The documents of a case are read as the routes that they are.
func TestDecode(t *testing.T) {
	data, err := os.ReadFile("../../../testdata/cases/target-on-traefik.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, documents, ok := strings.Cut(string(data), "-- want/documents.yaml --\n")
	if !ok {
		t.Fatal("the case has no documents")
	}
	routes, err := Decode([]byte(documents))
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) != 2 {
		t.Fatalf("there are %d routes: %v", len(routes), routes)
	}
	request := Request{Listener: "https", Host: "api.example.com", Method: "POST", Path: "/orders/upload"}
	answers := Traefik(routes, request)
	if len(answers) != 1 || short(answers[0]) != "orders /orders/upload" || len(answers[0].Backends) != 2 || answers[0].Route != "team-a/orders-7e41a121-c7ac5200" || answers[0].Rule != 0 {
		t.Errorf("an upload goes to %v", answers)
	}
	header, ok := routes[0].Rules[0].filter(RequestHeaderModifier)
	if !ok || header.Set["X-Team"] != "a" || !slices.Equal(header.Remove, []string{"X-Debug"}) {
		t.Errorf("the headers are %v", header)
	}

	without, _, _ := strings.Cut(documents, "# dev-1/middleware.")
	if routes, err = Decode([]byte(without)); err != nil {
		t.Fatal(err)
	}
	if answers := Traefik(routes, request); short(answers[0]) != "503" {
		t.Errorf("without its Middleware a request goes to %v", answers)
	}

	for _, broken := range []string{
		"{",
		"kind: HTTPRoute\nspec: {rules: [{matches: [{headers: [{name: a}]}]}]}",
		"kind: HTTPRoute\nspec: {rules: [{matches: [{path: {type: RegularExpression, value: /a}}]}]}",
		"kind: HTTPRoute\nspec: {rules: [{filters: [{type: CORS}]}]}",
		"kind: HTTPRoute\nspec: {rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]}]}",
		"kind: HTTPRoute\nspec: {rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: a}]}}]}]}",
		"kind: HTTPRoute\nspec: {rules: [{backendRefs: [{name: a, namespace: b}]}]}",
		"kind: HTTPRoute\nspec: {parentRefs: [{sectionName: a}, {sectionName: b}]}",
	} {
		if routes, err := Decode([]byte(broken)); err == nil {
			t.Errorf("%s is read as %v", broken, routes)
		}
	}
	direct := "kind: HTTPRoute\nspec: {rules: [{filters: [{type: ExtensionRef, extensionRef: {kind: HTTPRouteFilter, name: closed}}]}]}\n---\n" +
		"kind: HTTPRouteFilter\nmetadata: {name: closed}\nspec: {directResponse: {statusCode: 403}}"
	if routes, err = Decode([]byte(direct)); err != nil || short(Envoy(routes, Request{Path: "/"})[0]) != "403" {
		t.Errorf("a direct response is read as %v: %v", routes, err)
	}
}
