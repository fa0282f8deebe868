package pipelines_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/gateway/gatewaytest"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/scenario"
	target "github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const (
	traefik  = aggregator.Traefik
	nginx    = aggregator.NGINXGatewayFabric
	envoy    = aggregator.EnvoyGateway
	standard = aggregator.Standard
)

type these = []aggregator.Implementation

// implementation is a model, with what it answers by itself where a method is not let
// through and where a delegated prefix is closed.
type implementation struct {
	model           gatewaytest.Model
	refused, closed int
}

var implementations = map[aggregator.Implementation]implementation{
	traefik:  {gatewaytest.Traefik, 503, 503}, // its Middleware answers 403, which the model does not run
	nginx:    {gatewaytest.NGINX, 404, 500},
	envoy:    {gatewaytest.Envoy, 405, 404},
	standard: {gatewaytest.Standard, 500, 500},
}

// fault is a way in which a host that belongs to many was served wrong: what is asked
// for, and what must come of it.
type fault struct {
	// id is that of the report, name says what the row is about.
	id, name string
	// on are the implementations; none is all.
	on these
	// ports of the aggregator's Gateway; empty is the usual ones.
	ports string
	// spec is what the aggregator's has besides, a field to a line.
	spec string
	// before are targets that ran first; then those in targets ran, twice, so that they
	// saw what they had emitted.
	before, targets []string
	// late is a kind of which no object has arrived at the cluster.
	late     string
	requests []sent
	says     []said
	// url is that of the host in all statuses; empty is not looked at.
	url string
	// holds and lacks are texts in the cluster's documents.
	holds, lacks []string
	also         func(*testing.T, cluster)
}

// sent is a request such as "GET /a", with "http" before it for the listener of the
// redirect, and what comes of it: the service with the path that it sees, a status, "refused" or
// "closed" for the status of that, or "nobody".
type sent struct{ request, answer string }

// said is the state of a target's path ("orders /a"), or the reason of a whole request
// ("orders"), and words of its message.
type said struct{ of, state, words string }

// cluster is what one of them has.
type cluster struct {
	documents string
	routes    []gatewaytest.Route
}

// team is a target of a namespace that asks for paths, as YAML flow mappings. Its
// service has its name.
func team(namespace, name string, paths ...string) string {
	return fmt.Sprintf("apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregatorTarget\nmetadata: {name: %[2]q, namespace: %[1]s}\nspec:\n"+
		"  aggregatorRef: {name: public-api, namespace: platform}\n  backends: [{service: %[2]q, port: 80}]\n  paths: [%[3]s]\n", namespace, name, strings.Join(paths, ", "))
}

// host is the aggregator of api.example.com.
func host(i aggregator.Implementation, ports, spec string) string {
	usual := "{https: 443, http: 80}"
	if i == traefik {
		usual = "{https: 8443, http: 8000}"
	}
	return fmt.Sprintf("apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregator\nmetadata: {name: public-api, namespace: platform}\nspec:\n"+
		"  hostname: api.example.com\n  tls: {clusterIssuer: letsencrypt}\n  gateway: {className: class, implementation: %s, namespace: gateways, ports: %s}\n"+
		"  allowedNamespaces: [\"*\"]\n  %s\n", i, cmp.Or(ports, usual), strings.ReplaceAll(spec, "\n", "\n  "))
}

// What public reports found served wrong is served right: run one with
// -run TestRoutingFaults/W1/shorter/Traefik.
func TestRoutingFaults(t *testing.T) {
	definitions := emitted(t)
	for _, f := range faults {
		if len(f.on) == 0 {
			f.on = these{traefik, nginx, envoy, standard}
		}
		for _, i := range f.on {
			t.Run(strings.Join([]string{f.id, f.name, string(i)}, "/"), func(t *testing.T) {
				t.Parallel()
				s := scenario.New(t, platformDir, stages...)
				outcomes := f.apply(t, s, i)
				for name, o := range outcomes {
					for file, object := range o.Objects(t) {
						if err := definitions.Validate(object); err != nil {
							t.Errorf("%s of %s is not valid: %v", file, name, err)
						}
					}
				}
				f.check(t, i, outcomes)
			})
		}
	}
}

// apply runs all requests, and returns what came of each at last, by its name.
func (f fault) apply(t *testing.T, s *scenario.Scenario, i aggregator.Implementation) map[string]scenario.Outcome {
	t.Helper()
	outcomes := map[string]scenario.Outcome{}
	for _, request := range slices.Concat([]string{host(i, f.ports, f.spec)}, f.before, f.targets, f.targets, []string{host(i, f.ports, f.spec)}) {
		object := scenario.Parse(t, request)
		o := s.ApplyObject(object)
		if o.Err != nil {
			t.Fatalf("%v\n%s\n%s", o.Err, o.Stderr, request)
		}
		outcomes[object.GetName()] = o
	}
	return outcomes
}

// on returns what a cluster has of all requests.
func on(t *testing.T, name string, late string, outcomes map[string]scenario.Outcome) cluster {
	t.Helper()
	var c cluster
	var documents [][]byte
	for _, o := range outcomes {
		for file, text := range o.Files {
			if strings.HasPrefix(file, name+"/") && (late == "" || !strings.Contains("\n"+text, "\nkind: "+late+"\n")) {
				c.documents += text + "---\n"
				documents = append(documents, []byte(text))
			}
		}
	}
	var err error
	if c.routes, err = gatewaytest.Decode(documents...); err != nil {
		t.Fatal(err)
	}
	return c
}

func (f fault) check(t *testing.T, i aggregator.Implementation, outcomes map[string]scenario.Outcome) {
	t.Helper()
	for _, s := range f.says {
		s.check(t, outcomes)
	}
	for name, o := range outcomes {
		if url, _, _ := unstructured.NestedString(o.Status, "url"); f.url != "" && url != f.url {
			t.Errorf("the URL of %s is %s, want %s", name, url, f.url)
		}
	}
	c := on(t, "eu-1", f.late, outcomes)
	for _, text := range f.holds {
		if !strings.Contains(c.documents, text) {
			t.Errorf("the cluster has no %q", text)
		}
	}
	for _, text := range f.lacks {
		if strings.Contains(c.documents, text) {
			t.Errorf("the cluster has %q", text)
		}
	}
	world := f.world(t, i, outcomes)
	for _, s := range f.requests {
		request := s.parse(t)
		for _, a := range implementations[i].model(c.routes, request) {
			if got := answered(a); !slices.Contains(s.wanted(i, got), got) {
				t.Errorf("%s is answered by %v, want %s", s.request, a, s.answer)
			}
		}
		if request.Listener == "http" { // where nobody has anything
			continue
		}
		owner := func(a gatewaytest.Answer) string { namespace, _, _ := strings.Cut(a.Route, "/"); return namespace }
		for _, err := range world.Check(implementations[i].model, c.routes, request, owner) {
			t.Error(err)
		}
	}
	if f.also != nil {
		f.also(t, c)
	}
	if t.Failed() {
		for name, o := range outcomes {
			_, why, message := o.Ready()
			t.Logf("%s: %s: %s", name, why, message)
		}
	}
}

func (s said) check(t *testing.T, outcomes map[string]scenario.Outcome) {
	t.Helper()
	name, path, isPath := strings.Cut(s.of, " ")
	o, ok := outcomes[name]
	if !ok {
		t.Fatalf("there is no request %s", name)
	}
	_, state, message := o.Ready()
	if isPath {
		state, message = o.State(path)
	}
	if state != s.state || !strings.Contains(message, s.words) {
		t.Errorf("%.80s is %q: %q; want %q: …%s…", s.of, state, message, s.state, s.words)
	}
}

func (s sent) parse(t *testing.T) gatewaytest.Request {
	t.Helper()
	q := gatewaytest.Request{Listener: "https", Host: "api.example.com"}
	rest, plain := strings.CutPrefix(s.request, "http ")
	if plain {
		q.Listener = "http"
	}
	var ok bool
	if q.Method, q.Path, ok = strings.Cut(rest, " "); !ok {
		t.Fatalf("%q is no request", s.request)
	}
	return q
}

// wanted are the answers that a request may get.
func (s sent) wanted(i aggregator.Implementation, got string) []string {
	switch s.answer {
	case "nobody":
		if got >= "400" && got < "600" {
			return []string{got}
		}
		return nil
	case "refused":
		return []string{fmt.Sprint(implementations[i].refused)}
	case "closed":
		return []string{fmt.Sprint(implementations[i].closed)}
	}
	return []string{s.answer}
}

func answered(a gatewaytest.Answer) string {
	switch {
	case a.Broken != "":
		return a.String()
	case a.Service() == "":
		return fmt.Sprint(a.Status)
	}
	return a.Service() + " " + a.Path
}

// world is what has been agreed on: the accepted paths of each namespace.
func (f fault) world(t *testing.T, i aggregator.Implementation, outcomes map[string]scenario.Outcome) gatewaytest.World {
	t.Helper()
	var w gatewaytest.World
	a, err := aggregator.Read(scenario.Parse(t, host(i, "", f.spec)))
	if err != nil {
		t.Fatal(err)
	}
	parsed := func(path string) string {
		p, err := httppath.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		return p.Value
	}
	for _, d := range a.Spec.Delegations {
		w.Delegated = append(w.Delegated, parsed(d.Prefix))
	}
	for _, request := range f.targets {
		asked, err := target.Read(scenario.Parse(t, request))
		if err != nil { // and so nothing is published
			continue
		}
		for _, p := range asked.Spec.Paths {
			if state, _ := outcomes[asked.Name].State(p.Path); state != string(target.Accepted) {
				continue
			}
			c := gatewaytest.Claim{Value: parsed(p.Path), Exact: p.Type == target.Exact, Owner: asked.Namespace, Rewrite: p.RewritePrefix}
			for _, m := range p.Methods {
				c.Methods = append(c.Methods, string(m))
			}
			w.Claims = append(w.Claims, c)
		}
	}
	return w
}

// long is a prefix of so many bytes.
func long(bytes int) string { return "/" + strings.Repeat("l", bytes-1) }

// root is the target of who gets what is nobody else's.
var root = team("team-z", "root", "{path: /}")

// delegated is a prefix that team-a alone may publish in.
func delegated(prefix string) string {
	return "delegations: [{prefix: " + prefix + ", namespaces: [team-a]}]"
}

var faults = slices.Concat([]fault{
	// Traefik's router adds up points: 1000 for a method, 100 for a byte of a prefix.
	{
		id: "W1", name: "methods of a shorter prefix", on: these{traefik},
		targets: []string{team("team-a", "orders", "{path: /api/orders}"), team("team-b", "thief", "{path: /api, methods: [GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH]}")},
		says:    []said{{"orders /api/orders", "Accepted", ""}, {"thief /api", "Accepted", ""}},
		requests: []sent{
			{"GET /api/orders", "orders /api/orders"}, {"POST /api/orders/1", "orders /api/orders/1"}, {"PROPFIND /api/orders/1", "orders /api/orders/1"},
			{"GET /api/x", "thief /api/x"}, {"TRACE /api/x", "refused"}, {"PROPFIND /api/x", "refused"},
		},
	},
	{
		id: "W1", name: "all nine methods of a shorter prefix", on: these{traefik},
		targets: []string{
			team("team-a", "orders", "{path: /api/orders, methods: [GET]}"), root,
			team("team-b", "thief", "{path: /api, methods: [GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE, CONNECT]}"),
		},
		requests: []sent{
			{"GET /api/orders/1", "orders /api/orders/1"}, {"POST /api/orders/1", "refused"}, {"PROPFIND /api/orders/1", "refused"},
			{"POST /api/x", "thief /api/x"}, {"PROPFIND /api/x", "refused"}, {"PROPFIND /x", "root /x"},
		},
	},
	{
		id: "W1", name: "a delegated prefix", on: these{traefik}, spec: delegated("/api/orders"),
		targets: []string{team("team-a", "orders", "{path: /api/orders}"), team("team-b", "thief", "{path: /api, methods: [GET, POST]}")},
		requests: []sent{
			{"GET /api/orders/1", "orders /api/orders/1"}, {"PROPFIND /api/orders/1", "orders /api/orders/1"}, {"GET /api/ordersx", "thief /api/ordersx"},
		},
	},
	{
		id: "W1", name: "below a delegated prefix that nobody has", on: these{traefik}, spec: delegated("/api"),
		targets:  []string{team("team-a", "orders", "{path: /api/orders}"), team("team-b", "thief", "{path: /, methods: [GET, POST]}")},
		requests: []sent{{"GET /api/orders/1", "orders /api/orders/1"}, {"GET /api/x", "closed"}, {"PROPFIND /api/x", "closed"}, {"GET /x", "thief /x"}},
	},
	{
		id: "W1", name: "a prefix that is longer than exact paths", on: these{traefik},
		targets: []string{
			team("team-b", "thief", "{path: "+long(905)+", methods: [GET], allowNested: true}"), team("team-a", "pay", "{path: "+long(905)+"/pay, type: Exact}"),
			team("team-c", "just", "{path: "+long(890)+"}"),
		},
		says: []said{
			{"thief " + long(905), "UnsupportedByImplementation", "would prefer a prefix of 905 bytes to exact paths: at most 889 are allowed"},
			{"just " + long(890), "UnsupportedByImplementation", "a prefix of 890 bytes"}, {"pay " + long(905) + "/pay", "Accepted", ""},
		},
		requests: []sent{{"GET " + long(905) + "/pay", "pay " + long(905) + "/pay"}, {"GET " + long(905) + "/x", "nobody"}},
	},
	{
		id: "W1", name: "the longest prefix that is allowed", on: these{traefik},
		targets: []string{
			team("team-b", "wide", "{path: "+long(889)+", methods: [GET], allowNested: true, maxRequestBodySize: 1Mi}"), team("team-a", "pay", "{path: "+long(889)+"/, type: Exact}"),
			team("team-c", "longer", "{path: "+long(1000)+", type: Exact}"),
		},
		says: []said{{"wide " + long(889), "Accepted", ""}, {"pay " + long(889) + "/", "PathConflict", ""}, {"longer " + long(1000), "Accepted", ""}},
		requests: []sent{
			{"GET " + long(889) + "/x", "wide " + long(889) + "/x"}, {"GET " + long(1000), "longer " + long(1000)},
		},
	},
	// nginx looks for an internal location as for any other.
	{
		id: "W2", name: "the name of an internal location",
		targets: []string{
			team("team-b", "thief", "{path: /_ngf-internal-rule0-route0, type: Exact}", "{path: /_ngf-internal-rule0-route1, type: Exact}", "{path: /_ngf-internal-rule1-route0, type: Exact}", "{path: /_ngf}", "{path: /%5Fngf-x}"),
			team("team-a", "orders", "{path: /orders, methods: [GET, POST]}"),
		},
		says: []said{
			{"thief /_ngf-internal-rule0-route0", "Reserved", "NGINX Gateway Fabric's own"}, {"thief /_ngf-internal-rule0-route1", "Reserved", ""},
			{"thief /_ngf-internal-rule1-route0", "Reserved", ""}, {"thief /_ngf", "Reserved", ""}, {"thief /%5Fngf-x", "Reserved", ""}, {"orders /orders", "Accepted", ""},
		},
		requests: []sent{{"GET /orders/1", "orders /orders/1"}, {"POST /orders", "orders /orders"}, {"PUT /orders", "refused"}, {"GET /_ngf-internal-rule0-route0", "nobody"}},
		lacks:    []string{"_ngf"},
	},
	// nginx reads a path with a rewrite as a regular expression.
	{
		id: "W3", name: "a regular expression", on: these{nginx},
		targets: []string{
			team("team-b", "rx", `{path: "/a(b", rewritePrefix: /}`, `{path: "/a)b", rewritePrefix: /}`, `{path: "/*", rewritePrefix: /}`, `{path: "/a+b", rewritePrefix: /}`, `{path: "/a$b", rewritePrefix: /}`),
			team("team-a", "orders", "{path: /orders}"),
		},
		says: []said{
			{"rx /a(b", "UnsupportedByImplementation", "reads ( in a path with rewritePrefix as a regular expression"}, {"rx /a)b", "UnsupportedByImplementation", "reads )"},
			{"rx /*", "UnsupportedByImplementation", "reads *"}, {"rx /a+b", "UnsupportedByImplementation", "reads +"}, {"rx /a$b", "UnsupportedByImplementation", "reads $"},
		},
		requests: []sent{{"GET /orders/1", "orders /orders/1"}, {"GET /a(b/1", "nobody"}},
		lacks:    []string{"replacePrefixMatch"},
	},
	{
		id: "W3", name: "one that rewrites to what is refused", on: these{nginx},
		targets: []string{team("team-b", "rx", `{path: /a, rewritePrefix: "/$1"}`), team("team-a", "orders", "{path: /orders}")},
		says:    []said{{"rx /a", "UnsupportedByImplementation", "cannot rewrite to a path with $"}},
	},
	{
		id: "W3", name: "without a rewrite, and a dot", on: these{nginx},
		targets:  []string{team("team-b", "rx", `{path: "/a(b"}`, `{path: "/a+*$b"}`, "{path: /v1.0, rewritePrefix: /}")},
		requests: []sent{{"GET /a(b/1", "rx /a(b/1"}, {"GET /a+*$b", "rx /a+*$b"}, {"GET /v1.0/x", "rx /x"}, {"GET /v1x0/x", "nobody"}},
	},
	// A method that is not listed fell to the owner of a wider prefix.
	{
		id: "W4", name: "methods that are not listed",
		targets: []string{team("team-a", "orders", "{path: /orders, methods: [GET]}", "{path: /pay, type: Exact, methods: [POST, PUT]}"), root},
		says:    []said{{"orders /orders", "Accepted", ""}, {"root /", "Accepted", ""}},
		requests: []sent{
			{"GET /orders/1", "orders /orders/1"}, {"POST /orders/1", "refused"}, {"OPTIONS /orders/1", "refused"}, {"HEAD /orders", "refused"}, {"PATCH /orders", "refused"},
			{"POST /pay", "orders /pay"}, {"PUT /pay", "orders /pay"}, {"GET /pay", "refused"}, {"OPTIONS /pay", "refused"}, {"POST /x", "root /x"},
		},
	},
	{
		id: "W4", name: "a method without a name", on: these{traefik, envoy, standard}, // nginx closes these too, without its script
		targets:  []string{team("team-a", "orders", "{path: /orders, methods: [GET]}"), root},
		requests: []sent{{"PROPFIND /orders/1", "refused"}, {"TRACE /orders", "refused"}, {"CONNECT /orders", "refused"}},
	},
	{
		id: "W4", name: "with a rewrite", on: these{traefik, envoy, standard},
		targets: []string{team("team-a", "orders", "{path: /orders, methods: [GET, POST], rewritePrefix: /v1}"), root},
		requests: []sent{
			{"GET /orders/1", "orders /v1/1"}, {"POST /orders/1", "orders /v1/1"}, {"OPTIONS /orders/1", "refused"}, {"PROPFIND /orders/1", "refused"},
		},
	},
	{
		id: "W4", name: "before the object that refuses is there", on: these{traefik}, late: "Middleware",
		targets:  []string{team("team-a", "orders", "{path: /orders, methods: [GET]}", "{path: /orders/upload, maxRequestBodySize: 1Mi}"), root},
		requests: []sent{{"GET /orders/1", "orders /orders/1"}, {"POST /orders/1", "503"}, {"PROPFIND /orders/1", "503"}, {"POST /orders/upload", "503"}, {"PROPFIND /orders/upload", "503"}},
	},
	{
		id: "W4", name: "before the object that refuses is there", on: these{envoy}, late: "HTTPRouteFilter",
		targets:  []string{team("team-a", "orders", "{path: /orders, methods: [GET]}"), root},
		requests: []sent{{"GET /orders/1", "orders /orders/1"}, {"POST /orders/1", "500"}},
	},
	// A delegated prefix that nobody had published fell to the owner of a wider prefix.
	{
		id: "W5", name: "nobody has published it", spec: delegated("/api/orders"),
		targets: []string{root, team("team-b", "wide", "{path: /api, allowNested: true}", "{path: /api/orders}", "{path: /api/orders/1, type: Exact}")},
		says:    []said{{"wide /api", "Accepted", ""}, {"wide /api/orders", "NotDelegated", "delegates /api/orders to other namespaces than team-b"}, {"wide /api/orders/1", "NotDelegated", ""}},
		requests: []sent{
			{"GET /api/orders", "closed"}, {"POST /api/orders/1", "closed"}, {"GET /api/ordersx", "wide /api/ordersx"}, {"GET /x", "root /x"},
		},
	},
	{
		id: "W5", name: "its team has published it", spec: delegated("/api/orders"),
		targets:  []string{root, team("team-b", "wide", "{path: /api}"), team("team-a", "orders", "{path: /api/orders}")},
		requests: []sent{{"GET /api/orders", "orders /api/orders"}, {"POST /api/orders/1", "orders /api/orders/1"}, {"PATCH /api/x", "wide /api/x"}},
	},
	{
		id: "W5", name: "some methods of it", spec: delegated("/api/orders"),
		targets:  []string{root, team("team-b", "wide", "{path: /api}"), team("team-a", "orders", "{path: /api/orders, methods: [GET]}")},
		requests: []sent{{"GET /api/orders/1", "orders /api/orders/1"}, {"POST /api/orders/1", "nobody"}, {"OPTIONS /api/orders", "nobody"}},
	},
	{
		id: "W5", name: "that path alone", spec: delegated("/api/orders"),
		targets:  []string{root, team("team-b", "wide", "{path: /api}"), team("team-a", "orders", "{path: /api/orders, type: Exact}")},
		requests: []sent{{"GET /api/orders", "orders /api/orders"}, {"GET /api/orders/1", "closed"}, {"POST /api/orders/1", "closed"}},
	},
	{
		id: "W5", name: "what lies below it", spec: delegated("/api/orders"),
		targets:  []string{root, team("team-b", "wide", "{path: /api}"), team("team-a", "orders", "{path: /api/orders/eu}")},
		requests: []sent{{"GET /api/orders/eu/1", "orders /api/orders/eu/1"}, {"GET /api/orders/1", "closed"}, {"GET /api/orders", "closed"}},
	},
	{
		id: "W5", name: "its team has dropped it", spec: delegated("/api/orders"),
		before:   []string{team("team-a", "orders", "{path: /api/orders}", "{path: /mine}")},
		targets:  []string{root, team("team-b", "wide", "{path: /api}"), team("team-a", "orders", "{path: /mine}")},
		requests: []sent{{"GET /api/orders", "closed"}, {"POST /api/orders/1", "closed"}, {"GET /mine", "orders /mine"}},
	},
	{
		id: "W5", name: "two, one in the other",
		spec:     "delegations: [{prefix: /api, namespaces: [team-b]}, {prefix: /api/orders, namespaces: [team-a]}]",
		targets:  []string{root, team("team-b", "wide", "{path: /api}")},
		requests: []sent{{"GET /api/x", "wide /api/x"}, {"GET /api/orders/1", "closed"}},
	},
	{
		id: "W5", name: "in a namespace that the Gateway admits", spec: delegated("/api/orders"), on: these{standard},
		targets:  []string{root},
		requests: []sent{{"GET /api/orders/1", "closed"}},
		also: func(t *testing.T, c cluster) {
			i := slices.IndexFunc(c.routes, func(r gatewaytest.Route) bool { return strings.Contains(r.Name, "closed") })
			if i < 0 || c.routes[i].Namespace != "gateways" {
				t.Errorf("the routes are %+v", c.routes)
			}
		},
	},
	// Who answers at /.well-known/acme-challenge gets a certificate for the host.
	{
		id: "W6", name: "a certificate authority asks",
		targets: []string{team("team-b", "acme", "{path: /.well-known/acme-challenge}", "{path: /.well-known/acme-challenge/x, type: Exact}", "{path: /.well-known}", "{path: /%2Ewell-known/acme-challenge/y}"), root},
		says: []said{
			{"acme /.well-known/acme-challenge", "Reserved", "certificate authorities ask at /.well-known/acme-challenge who controls the host"}, {"acme /.well-known/acme-challenge/x", "Reserved", "certificate"},
			{"acme /%2Ewell-known/acme-challenge/y", "Reserved", "certificate"}, {"acme /.well-known", "Reserved", "speaks for the whole host: ask the aggregator's owner for a delegation"}, {"root /", "Accepted", ""},
		},
		requests: []sent{
			{"http GET /.well-known/acme-challenge/x", "nobody"}, {"http GET /.well-known/acme-challenge", "nobody"}, {"http GET /x", "301"}, {"http POST /.well-known/x", "301"}, {"GET /x", "root /x"},
		},
		lacks: []string{"service: acme", "name: acme\n"},
		also: func(t *testing.T, c cluster) {
			for _, r := range c.routes {
				for _, rule := range r.Rules {
					if r.Listener == "http" && slices.ContainsFunc(rule.Matches, func(m gatewaytest.Match) bool { return m.Path == "/.well-known/acme-challenge" }) {
						if len(rule.Filters)+len(rule.Backends) > 0 || rule.Matches[0].Exact {
							t.Errorf("the rule is %+v", rule)
						}
						return
					}
				}
			}
			t.Error("there is no rule of its own")
		},
	},
	{
		id: "W6", name: "by delegation, and by a wider one",
		spec: "delegations: [{prefix: /.well-known/openid-configuration, namespaces: [team-a]}, {prefix: /, namespaces: [\"*\"]}]",
		targets: []string{
			team("team-a", "oidc", "{path: /.well-known/openid-configuration, type: Exact}", "{path: /.well-known/openid, type: Exact}"),
			team("team-b", "other", "{path: /.well-known/openid-configuration/x}", "{path: /.well-known/security.txt, type: Exact}"), team("platform", "own", "{path: /.well-known/change-password}", "{path: /.well-known/acme-challenge/x}"),
		},
		says: []said{
			{"oidc /.well-known/openid-configuration", "Accepted", ""}, {"oidc /.well-known/openid", "Reserved", "speaks for the whole host"}, {"other /.well-known/openid-configuration/x", "Reserved", ""},
			{"other /.well-known/security.txt", "Reserved", "speaks for the whole host"}, {"own /.well-known/change-password", "Accepted", ""}, {"own /.well-known/acme-challenge/x", "Reserved", "certificate"},
		},
		requests: []sent{{"GET /.well-known/openid-configuration", "oidc /.well-known/openid-configuration"}, {"GET /.well-known/change-password", "own /.well-known/change-password"}, {"GET /.well-known/security.txt", "nobody"}},
	},
	{
		id: "W6", name: "a delegation of it alone",
		spec:    delegated("/.well-known/acme-challenge"),
		targets: []string{team("team-a", "acme", "{path: /.well-known/acme-challenge/x}"), root},
		says: []said{
			{"acme /.well-known/acme-challenge/x", "Reserved", "never published"}, {"public-api", "Published", `the delegation of "/.well-known/acme-challenge" is of no use: certificate authorities`},
		},
		requests: []sent{{"http GET /.well-known/acme-challenge/x", "nobody"}},
	},
	{
		id: "W6", name: "without a redirect", spec: "httpRedirect: false",
		targets:  []string{root},
		requests: []sent{{"http GET /.well-known/acme-challenge/x", "nobody"}, {"http GET /x", "nobody"}},
		lacks:    []string{"RequestRedirect"},
	},
	// A path is matched as it is, or decoded, and not as it is encoded.
	{
		id: "W7", name: "encoded paths", on: these{traefik, nginx},
		targets:  []string{team("team-a", "enc", "{path: /caf%C3%A9}", "{path: /a%20b, type: Exact}"), root},
		says:     []said{{"enc /caf%C3%A9", "UnsupportedByImplementation", "does not serve paths with %C3%A9: publish one without it"}, {"enc /a%20b", "UnsupportedByImplementation", "%20"}},
		requests: []sent{{"GET /caf%C3%A9", "root /caf%C3%A9"}, {"GET /a%20b", "root /a%20b"}},
	},
	{
		id: "W7", name: "encoded paths that are served", on: these{envoy, standard},
		targets:  []string{team("team-a", "enc", "{path: /caf%c3%a9}", "{path: /a%20b, type: Exact}"), root},
		says:     []said{{"enc /caf%c3%a9", "Accepted", ""}, {"enc /a%20b", "Accepted", ""}},
		requests: []sent{{"GET /caf%C3%A9/x", "enc /caf%C3%A9/x"}, {"GET /a%20b", "enc /a%20b"}},
	},
	{
		id: "W7", name: "reserved characters, encoded", on: these{traefik},
		targets: []string{team("team-a", "enc", "{path: /a%3Bb}", "{path: /c%3Bd, rewritePrefix: /}"), root},
		says: []said{
			{"enc /a%3Bb", "Accepted", ""}, {"enc /c%3Bd", "UnsupportedByImplementation", "does not serve paths with %3B and rewritePrefix: publish a path without it, or leave rewritePrefix out"},
		},
		requests: []sent{{"GET /a%3Bb/1", "enc /a%3Bb/1"}},
	},
	{
		id: "W7", name: "a semicolon", on: these{nginx},
		targets: []string{team("team-a", "enc", "{path: /a;b}", "{path: /c%3Bd}")},
		says:    []said{{"enc /a;b", "UnsupportedByImplementation", "does not serve paths with ;"}, {"enc /c%3Bd", "UnsupportedByImplementation", "%3B"}},
	},
	{
		id: "W7", name: "encoded rewrites", on: these{traefik, nginx},
		targets:  []string{team("team-a", "encrw", "{path: /o, rewritePrefix: /a%20b}")},
		says:     []said{{"encrw /o", "UnsupportedByImplementation", "cannot rewrite to a path with %20: choose a rewritePrefix without it"}},
		requests: []sent{{"GET /o/x", "nobody"}},
	},
	{
		id: "W7", name: "encoded rewrites that are served", on: these{envoy, standard},
		targets:  []string{team("team-a", "encrw", "{path: /o, rewritePrefix: /a%20b}")},
		requests: []sent{{"GET /o/x", "encrw /a%20b/x"}},
	},
	{
		id: "W7", name: "rewrites that Go encodes", on: these{traefik},
		targets: []string{team("team-a", "encrw", `{path: /1, rewritePrefix: "/!"}`, `{path: /2, rewritePrefix: "/'"}`, `{path: /3, rewritePrefix: "/("}`, `{path: /4, rewritePrefix: "/)"}`, `{path: /5, rewritePrefix: "/*"}`, "{path: /6, rewritePrefix: /$}")},
		says: []said{
			{"encrw /1", "UnsupportedByImplementation", "to a path with !"}, {"encrw /2", "UnsupportedByImplementation", "to a path with '"}, {"encrw /3", "UnsupportedByImplementation", "to a path with ("},
			{"encrw /4", "UnsupportedByImplementation", "to a path with )"}, {"encrw /5", "UnsupportedByImplementation", "to a path with *"}, {"encrw /6", "Accepted", ""},
		},
		requests: []sent{{"GET /6/x", "encrw /$/x"}},
	},
	{
		id: "W7", name: "methods and a rewrite", on: these{nginx},
		targets:  []string{team("team-a", "mrw", "{path: /m, methods: [GET], rewritePrefix: /v1}", "{path: /n, methods: [GET]}", "{path: /o, rewritePrefix: /v1}"), root},
		says:     []said{{"mrw /m", "UnsupportedByImplementation", "does not serve methods together with rewritePrefix: leave one of them out"}, {"mrw /n", "Accepted", ""}, {"mrw /o", "Accepted", ""}},
		requests: []sent{{"GET /o/a%20b", "mrw /v1/a%20b"}, {"GET //o/x", "mrw /v1/x"}, {"GET /%6f/x", "mrw /v1/x"}, {"GET /_ngf-internal-rule0-route0/../o/x", "mrw /v1/x"}},
	},
	{
		id: "W7", name: "the golden case", on: these{traefik}, spec: "requestBody: {default: 2Mi, max: 100Mi}",
		targets: []string{strings.Replace(
			team("team-a", "orders", "{path: /orders, methods: [GET, POST], rewritePrefix: /}", "{path: /orders/upload, type: Prefix, maxRequestBodySize: 25Mi, allowNested: true}", "{path: /orders/caf%c3%a9, type: Exact}"),
			`{service: "orders", port: 80}`, "{service: orders, port: 8080, weight: 9}, {service: orders-canary, port: 8080}", 1) +
			"  requestHeaders:\n    set: {X-Team: a, X-Yes: \"yes\", X-Octal: \"0o7\", X-Float: \"1e3\"}\n    remove: [X-Debug]\n"},
		says:     []said{{"orders /orders", "Accepted", ""}, {"orders /orders/upload", "Accepted", "WebSockets"}, {"orders /orders/caf%c3%a9", "UnsupportedByImplementation", "%C3%A9"}},
		requests: []sent{{"POST /orders/upload", "orders /orders/upload"}, {"POST /orders/1", "orders /1"}, {"PUT /orders/1", "refused"}, {"PUT /orders/upload/1", "orders /orders/upload/1"}},
		holds:    []string{"maxRequestBodyBytes: 26214400"},
		also: func(t *testing.T, c cluster) {
			for _, a := range gatewaytest.Traefik(c.routes, gatewaytest.Request{Listener: "https", Method: "POST", Path: "/orders/upload"}) {
				i := slices.IndexFunc(c.routes, func(r gatewaytest.Route) bool { return r.ID() == a.Route })
				if rule := c.routes[i].Rules[a.Rule]; !slices.ContainsFunc(rule.Filters, func(f gatewaytest.Filter) bool { return f.Kind == "Middleware" && f.Name == c.routes[i].Name }) {
					t.Errorf("no limit of its own in %+v", rule)
				}
			}
		},
	},
	// Envoy Gateway replaces the / of a prefix with what is rewritten to.
	{
		id: "W8", name: "to a prefix", on: these{envoy},
		targets:  []string{team("team-a", "root", "{path: /, rewritePrefix: /v1}", "{path: /api, rewritePrefix: /v1}")},
		says:     []said{{"root /", "UnsupportedByImplementation", "cannot rewrite the path / to /v1, because /a would arrive as /v1a"}, {"root /api", "Accepted", ""}},
		requests: []sent{{"GET /users", "nobody"}, {"GET /api/users", "root /v1/users"}},
	},
	{
		id: "W8", name: "to a prefix with a slash", on: these{envoy},
		targets:  []string{team("team-a", "root", "{path: /, rewritePrefix: /v1/}")},
		says:     []said{{"root /", "UnsupportedByImplementation", "cannot rewrite the path / to /v1/, because /a would arrive as /v1a"}},
		requests: []sent{{"GET /users", "nobody"}},
	},
	{
		id: "W8", name: "to itself", on: these{envoy},
		targets:  []string{team("team-a", "root", "{path: /, rewritePrefix: /}")},
		requests: []sent{{"GET /users", "root /users"}},
	},
	{
		id: "W8", name: "where it works", on: these{traefik, nginx, standard},
		targets:  []string{team("team-a", "root", "{path: /, rewritePrefix: /v1}")},
		requests: []sent{{"GET /users", "root /v1/users"}},
	},
	// The exact names that NGINX Gateway Fabric uses itself.
	{
		id: "W10", name: "their own spelling", on: these{nginx},
		targets: []string{team("team-a", "hdr", "{path: /h}") + "  requestHeaders: {set: {x-forwarded-for: 10.0.0.1, X-FORWARDED-PROTO: https, x-Team: a}, remove: [x-real-ip, X-forwarded-Host, x-debug]}\n"},
		says:    []said{{"hdr /h", "Accepted", ""}},
		also:    headers(map[string]string{"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "x-Team": "a"}, "X-Real-IP", "X-Forwarded-Host", "x-debug"),
	},
	{
		id: "W10", name: "as it is written", on: these{envoy, standard},
		targets: []string{team("team-a", "hdr", "{path: /h}") + "  requestHeaders: {set: {x-forwarded-for: 10.0.0.1}, remove: [x-real-ip]}\n"},
		says:    []said{{"hdr /h", "Accepted", ""}},
		also:    headers(map[string]string{"x-forwarded-for": "10.0.0.1"}, "x-real-ip"),
	},
	{
		id: "W11", name: "methods without a rule", on: these{nginx},
		targets:  []string{team("team-a", "a", "{path: /t, methods: [GET, TRACE]}", "{path: /c, methods: [CONNECT]}", "{path: /g, methods: [GET]}"), root},
		says:     []said{{"a /t", "UnsupportedByImplementation", "does not serve the method TRACE: leave it out"}, {"a /c", "UnsupportedByImplementation", "the method CONNECT"}, {"a /g", "Accepted", ""}},
		requests: []sent{{"GET /g", "a /g"}, {"GET /t", "root /t"}},
		lacks:    []string{"TRACE", "CONNECT"},
	},
	{
		id: "W11", name: "where they have one", on: these{traefik, envoy, standard},
		targets:  []string{team("team-a", "a", "{path: /t, methods: [GET, TRACE]}"), root},
		requests: []sent{{"GET /t", "a /t"}, {"TRACE /t", "a /t"}, {"POST /t", "refused"}},
	},
	// The last backend gets what rounding leaves.
	{
		id: "W12", name: "a backend of weight 0", on: these{nginx},
		targets:  []string{strings.Replace(team("team-a", "live", "{path: /}"), "port: 80}", "port: 80, weight: 3}, {service: canary, port: 80}, {service: none, port: 80, weight: 0}, {service: spare, port: 81, weight: 0}", 1)},
		requests: []sent{{"GET /", "live /"}},
		also:     backends("none 0", "spare 0", "live 3", "canary 1"),
	},
	{
		id: "W12", name: "as they are written", on: these{traefik, envoy, standard},
		targets: []string{strings.Replace(team("team-a", "live", "{path: /}"), "port: 80}", "port: 80, weight: 3}, {service: none, port: 80, weight: 0}", 1)},
		also:    backends("live 3", "none 0"),
	},
	{
		id: "W13", name: "another port", on: these{nginx, envoy, standard}, ports: "{https: 8443, http: 8080}", url: "https://api.example.com:8443",
		targets: []string{root},
		holds:   []string{"scheme: https\n        port: 8443\n        statusCode: 301"},
		says:    []said{{"public-api", "Published", "https://api.example.com:8443 is served"}, {"root", "Published", "under https://api.example.com:8443"}},
	},
	{
		id: "W13", name: "that of HTTPS", on: these{nginx, envoy, standard}, ports: "{https: 443, http: 8080}", url: "https://api.example.com",
		targets: []string{root},
		holds:   []string{"scheme: https\n        statusCode: 301"},
	},
	{
		id: "W13", name: "that of an entry point", on: these{traefik}, ports: "{https: 8443, http: 8000}", url: "https://api.example.com",
		targets: []string{root},
		holds:   []string{"scheme: https\n        statusCode: 301"},
	},
	{
		id: "W14", name: "a record for each cluster",
		spec:    "dns: {target: lb.example.com}\nperDestination: [{name: eu-1, dns: {target: lb.eu.example.com}}]\nplacement: {matchLabels: {environment: prod}}",
		targets: []string{root},
		says:    []said{{"public-api", "Published", "on 2 clusters external-dns gives api.example.com different targets: of several that write one zone the first keeps the record, or they overwrite each other"}},
	},
	{
		id: "W14", name: "the addresses of each cluster", spec: "dns: {enabled: true}",
		targets: []string{root},
		says:    []said{{"public-api", "Published", "external-dns gives api.example.com different targets"}},
	},
	{
		id: "W15", name: "a template",
		targets: []string{team("team-a", "tmpl", `{path: "/users/{id}/orders"}`)},
		says:    []said{{"tmpl", "InvalidSpec", "paths have no templates and no regular expressions"}},
	},
	{
		id: "W15", name: "a regular expression",
		targets: []string{team("team-a", "regex", `{path: "/users/.*", type: RegularExpression}`)},
		says:    []said{{"regex", "InvalidSpec", "RegularExpression"}},
	},
	{
		id: "W16", name: "a Service that begins with a digit",
		targets:  []string{team("team-a", "0-orders", "{path: /orders}")},
		requests: []sent{{"GET /orders", "0-orders /orders"}},
	},
	{
		id: "W16", name: "no methods",
		targets:  []string{team("team-a", "none", "{path: /orders, methods: []}"), root},
		says:     []said{{"none", "InvalidSpec", "methods"}},
		requests: []sent{{"GET /orders", "root /orders"}},
	},
}, headerFaults())

// headerFaults are those of W9, each header by itself.
func headerFaults() (all []fault) {
	row := func(name string, on these, words string, changes ...string) {
		f := fault{id: "W9", name: name, on: on}
		for n, change := range changes {
			of := fmt.Sprintf("hdr-%d", n)
			f.targets = append(f.targets, team("team-a", of, fmt.Sprintf("{path: /h%d}", n))+"  requestHeaders: {"+change+"}\n")
			f.says = append(f.says, said{fmt.Sprintf("%s /h%d", of, n), "UnsupportedByImplementation", words})
			f.requests = append(f.requests, sent{fmt.Sprintf("GET /h%d", n), "nobody"})
		}
		all = append(all, f)
	}
	row("those of the connection", nil, "which belongs to the connection and not to the request: leave it out",
		"set: {Connection: close}", "set: {Proxy-Authorization: abc}", `set: {content-length: "5"}`, "set: {Transfer-Encoding: chunked}", "set: {upgrade: websocket}", "remove: [TE]", "remove: [Keep-Alive]")
	row("the host", nil, "cannot have a change of the header", "set: {Host: desired.example.com}", "remove: [host]")
	row("what the proxy appends to", these{traefik}, "Traefik cannot have a change of the header", "set: {X-Forwarded-For: 10.0.0.1}", "remove: [x-forwarded-for]")
	row("what the transport adds", these{traefik}, "cannot remove the header", "remove: [Accept-Encoding]")
	row("what nginx answers itself", these{nginx}, "cannot have a change of the header", "set: {Expect: 100-continue}")
	row("what Envoy reads itself", these{envoy}, "cannot have a change of the header", `set: {x-envoy-max-retries: "3"}`, "remove: [X-Envoy-Upstream-Rq-Timeout-Ms]")
	return append(all, fault{
		id: "W9", name: "all others", on: these{traefik},
		targets: []string{team("team-a", "hdr", "{path: /h}") + "  requestHeaders: {set: {X-Forwarded-Proto: https, accept-encoding: br}, remove: [X-Real-IP]}\n"},
		says:    []said{{"hdr /h", "Accepted", ""}},
		also:    headers(map[string]string{"X-Forwarded-Proto": "https", "accept-encoding": "br"}, "X-Real-IP"),
	})
}

// headers looks at what the one path's route changes.
func headers(set map[string]string, remove ...string) func(*testing.T, cluster) {
	return func(t *testing.T, c cluster) {
		t.Helper()
		found := false
		for _, rule := range servingRules(c) {
			for _, f := range rule.Filters {
				if f.Type == gatewaytest.RequestHeaderModifier {
					found = true
					if !maps.Equal(f.Set, set) || !slices.Equal(f.Remove, remove) {
						t.Errorf("headers are set to %v and %v removed, want %v and %v", f.Set, f.Remove, set, remove)
					}
				}
			}
		}
		if !found {
			t.Error("no header is changed")
		}
	}
}

// backends looks at the order of those of all rules that serve.
func backends(want ...string) func(*testing.T, cluster) {
	return func(t *testing.T, c cluster) {
		t.Helper()
		for _, rule := range servingRules(c) {
			var got []string
			for _, b := range rule.Backends {
				got = append(got, fmt.Sprintf("%s %d", b.Service, b.Weight))
			}
			if !slices.Equal(got, want) {
				t.Errorf("the backends are %q, want %q", got, want)
			}
		}
	}
}

func servingRules(c cluster) (rules []gatewaytest.Rule) {
	for _, r := range c.routes {
		for _, rule := range r.Rules {
			if len(rule.Backends) > 0 {
				rules = append(rules, rule)
			}
		}
	}
	return rules
}
