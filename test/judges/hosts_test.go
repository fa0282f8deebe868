package judges

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/gateway/gatewaytest"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/scenario"
	apiaggregator "github.com/baleen-platform/baleen/pipelines/api-aggregator"
	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
	target "github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var (
	worlds   = flag.Int("worlds", 100, "how many hosts a judge gets")
	requests = flag.Int("requests", 200, "how many requests each host gets")
	seed     = flag.Uint64("seed", 0, "the first world")
)

// host is a random world under one name, with all that the pipelines emit for it.
type host struct {
	gatewaytest.Random
	name      string
	documents [][]byte
	routes    []gatewaytest.Route
	world     gatewaytest.World
}

// newHosts returns as many as are asked for, of those that fit: all do without a function.
// The first is that of the case in testdata/cases. Their Gateways listen on a port.
func newHosts(t *testing.T, i aggregator.Implementation, port int32, fits func(*host) bool) []*host {
	t.Helper()
	s := scenario.New(t, "../../testdata/platform", apiaggregator.Pipeline, apiaggregatortarget.Pipeline)
	hosts := []*host{newCase(t, s, i, port)}
	for n := *seed; len(hosts) <= *worlds; n++ {
		if h := newHost(t, s, i, n, port); fits == nil || fits(h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func newHost(t *testing.T, s *scenario.Scenario, i aggregator.Implementation, seed uint64, port int32) *host {
	t.Helper()
	h := &host{Random: gatewaytest.NewRandom(seed), name: fmt.Sprintf("w%d.example.com", seed)}
	of := h.Aggregator(i, h.name)
	var targets []publication
	for n := range 1 + h.IntN(4) {
		namespace := h.One("team-a", "team-b", "team-c")
		targets = append(targets, publication{namespace, fmt.Sprintf("w%d-t%d", seed, n), h.Target(i, fmt.Sprintf("%s-s%d", namespace, n))})
	}
	h.publish(t, s, of, port, targets...)
	return h
}

// newCase is the case target-on-... of an implementation, with one backend: who serves is
// asked, and not how often.
func newCase(t *testing.T, s *scenario.Scenario, i aggregator.Implementation, port int32) *host {
	t.Helper()
	archive, err := txtar.ParseFile("../../testdata/cases/target-on-" + strings.ToLower(string(i)) + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	var of aggregator.ApiAggregator
	var o target.ApiAggregatorTarget
	for _, f := range archive.Files {
		switch {
		case f.Name == "request.yaml":
			err = yaml.UnmarshalStrict(f.Data, &o)
		case strings.HasPrefix(f.Name, "platform/platform/ApiAggregator."):
			err = yaml.UnmarshalStrict(f.Data, &of)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	h := &host{Random: gatewaytest.NewRandom(*seed), name: "case.example.com"}
	judged := h.Aggregator(i, h.name)
	of.Spec.Hostname, of.Spec.TLS, of.Spec.Gateway, of.Spec.Placement = judged.Hostname, judged.TLS, judged.Gateway, judged.Placement
	o.Spec.Backends = []target.Backend{{Service: o.Spec.Backends[0].Service, Port: 80}}
	h.publish(t, s, of.Spec, port, publication{o.Namespace, o.Name, o.Spec})
	return h
}

// publication is a request for an ApiAggregatorTarget.
type publication struct {
	namespace, name string
	spec            target.ApiAggregatorTargetSpec
}

// publish has the pipelines emit what an aggregator and its targets ask for.
func (h *host) publish(t *testing.T, s *scenario.Scenario, of aggregator.ApiAggregatorSpec, port int32, targets ...publication) {
	t.Helper()
	of.Gateway.Ports, of.HTTPRedirect = &aggregator.Ports{HTTPS: port, HTTP: 1}, new(bool)
	h.world.Delegated = gatewaytest.Delegated(of)
	name, _, _ := strings.Cut(h.name, ".")
	_, aggregators := apply(t, s, "ApiAggregator", "platform", name, of)
	for _, r := range targets {
		r.spec.AggregatorRef = target.AggregatorRef{Name: name, Namespace: "platform"}
		o, documents := apply(t, s, "ApiAggregatorTarget", r.namespace, r.name, r.spec)
		h.documents = append(h.documents, documents...)
		for _, p := range r.spec.Paths {
			state, _ := o.State(p.Path)
			if state != string(target.Accepted) {
				continue
			}
			parsed, err := httppath.Parse(p.Path)
			if err != nil {
				t.Fatal(err)
			}
			c := gatewaytest.Claim{Value: parsed.Value, Exact: p.Type == target.Exact, Owner: r.spec.Backends[0].Service, Rewrite: p.RewritePrefix}
			for _, m := range p.Methods {
				c.Methods = append(c.Methods, string(m))
			}
			h.world.Claims = append(h.world.Claims, c)
		}
	}
	if gateway.ClosesWhatIsFree(of.Gateway.Implementation) { // and some of it is not free any more
		_, aggregators = apply(t, s, "ApiAggregator", "platform", name, of)
	}
	h.documents = append(h.documents, aggregators...)
	var err error
	if h.routes, err = gatewaytest.Decode(h.documents...); err != nil {
		t.Fatal(err)
	}
}

// apply makes a request, and returns what it emits for one cluster.
func apply(t *testing.T, s *scenario.Scenario, kind, namespace, name string, spec any) (scenario.Outcome, [][]byte) {
	t.Helper()
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "baleen.dev/v1alpha1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}, "spec": spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := s.Apply(string(data))
	if o.Err != nil || o.Code != 0 {
		t.Fatalf("%v %s\n%s", o.Err, o.Stderr, data)
	}
	var documents [][]byte
	for file, text := range o.Files {
		if strings.HasPrefix(file, "eu-1/") {
			documents = append(documents, []byte(text))
		}
	}
	return o, documents
}

// services returns the namespaces of the services of some hosts.
func services(hosts []*host) map[string]string {
	found := map[string]string{}
	for _, h := range hosts {
		for _, r := range h.routes {
			for _, rule := range r.Rules {
				for _, b := range rule.Backends {
					found[b.Service] = r.Namespace
				}
			}
		}
	}
	return found
}

// clusterObjects are those of a cluster with some services, each with its port on this machine.
func clusterObjects(controller string, namespaces map[string]string, ports map[string]int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: judged}\nspec: {controllerName: %s}\n", controller)
	for _, name := range []string{"gateways", "team-a", "team-b", "team-c"} {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {kubernetes.io/metadata.name: %s}}\n", name, name)
	}
	addresses := clusterIPs(namespaces)
	for service, namespace := range namespaces {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s}
spec: {type: ClusterIP, clusterIP: %[4]s, ports: [{name: http, port: 80, protocol: TCP, targetPort: %[3]d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[3]d, protocol: TCP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true, serving: true}}]
`, service, namespace, ports[service], addresses[service])
	}
	return []byte(b.String())
}

// clusterIPs are the addresses of services within a cluster.
func clusterIPs(namespaces map[string]string) map[string]string {
	found := map[string]string{}
	for n, service := range slices.Sorted(maps.Keys(namespaces)) {
		found[service] = fmt.Sprintf("10.0.%d.%d", n/250, 1+n%250)
	}
	return found
}

// serve has a server for each service, which answers with its name and the path that it
// saw, and returns their ports.
func serve(t *testing.T, namespaces map[string]string) map[string]int {
	ports := map[string]int{}
	for service := range namespaces {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Service", service)
			w.Header().Set("Path", r.RequestURI)
		}))
		t.Cleanup(server.Close)
		ports[service] = server.Listener.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// answer is what came of a request: the service and the path that it saw, or a status.
type answer struct {
	service, path string
	status        int
}

// compare sends requests to hosts, and fails at the first whose answer is not one that the
// model gives and the oracle admits. Each path that is open to GET is asked for itself, and
// its owner must serve it. Then requests are random. Paths that do not fit are not asked
// for; any does without a function.
func compare(t *testing.T, judge string, hosts []*host, model gatewaytest.Model, fits func(path string) bool, ask func(*host) func(gatewaytest.Request) answer) {
	t.Helper()
	asked, served := 0, 0
	for _, h := range hosts {
		send := ask(h)
		try := func(request gatewaytest.Request) answer {
			got, want, may := send(request), model(h.routes, request), h.world.Judge(request)
			asked++
			if got.service != "" {
				served++
			}
			if !slices.ContainsFunc(want, func(a gatewaytest.Answer) bool {
				if got.service == "" {
					return a.Service() == "" && a.Status == got.status
				}
				return a.Service() == got.service && a.Path == got.path
			}) {
				t.Errorf("seed %d: %s %s: %s says %+v, its model %v", h.Seed, request.Method, request.Path, judge, got, want)
			}
			if !gatewaytest.Admits(may, got.service, got.path) {
				t.Errorf("seed %d: %s %s: %s says %+v, and only %+v may", h.Seed, request.Method, request.Path, judge, got, may)
			}
			return got
		}
		for _, c := range h.world.Claims {
			if fits != nil && !fits(c.Value) || len(c.Methods) > 0 && !slices.Contains(c.Methods, http.MethodGet) {
				continue
			}
			if got := try(gatewaytest.Request{Listener: "https", Host: h.name, Method: http.MethodGet, Path: c.Value}); got.service != c.Owner {
				t.Errorf("%s, seed %d: GET %s: %s says %+v, and %s has it", h.name, h.Seed, c.Value, judge, got, c.Owner)
			}
		}
		for range *requests {
			draw := func() gatewaytest.Request { return h.Request(h.name, h.world.Claims, h.world.Delegated) }
			request := draw()
			for fits != nil && !fits(request.Path) {
				request = draw()
			}
			if try(request); t.Failed() {
				t.FailNow()
			}
		}
	}
	t.Logf("%d requests to %d hosts, %d of them served: %s, its model and the oracle agree", asked, len(hosts), served, judge)
	if served*10 < asked {
		t.Error("hardly any request was served: what is tried says nothing")
	}
}

func freePort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// client sends requests as they are written.
type client struct {
	dial   func() (net.Conn, error)
	conn   net.Conn
	reader *bufio.Reader
}

func newClient(t *testing.T, dial func() (net.Conn, error)) *client {
	c := &client{dial: dial}
	t.Cleanup(c.close)
	return c
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *client) send(t *testing.T, request gatewaytest.Request) answer {
	t.Helper()
	for range 2 { // a connection may have ended after the last answer
		if c.conn == nil {
			conn, err := c.dial()
			if err != nil {
				t.Fatal(err)
			}
			c.conn, c.reader = conn, bufio.NewReader(conn)
		}
		fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", request.Method, request.Path, request.Host)
		response, err := http.ReadResponse(c.reader, &http.Request{Method: request.Method})
		if err != nil {
			c.close()
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.Close {
			c.close()
		}
		return answer{response.Header.Get("Service"), response.Header.Get("Path"), response.StatusCode}
	}
	t.Fatalf("no answer to %s %s", request.Method, request.Path)
	return answer{}
}
