package judges

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/gateway/gatewaytest"
	"github.com/baleen-platform/baleen/internal/scenario"
	apiaggregator "github.com/baleen-platform/baleen/pipelines/api-aggregator"
	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
	target "github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var (
	traefikProgram = flag.String("traefik", "", "Traefik's program: make judges builds it")
	worlds         = flag.Int("worlds", 100, "how many hosts a judge gets")
	requests       = flag.Int("requests", 200, "how many requests each host gets")
	seed           = flag.Uint64("seed", 0, "the first world")
)

// Traefik itself, with its own Gateway provider, serves what the model of it says and the
// oracle admits: hosts with random targets, as the pipelines emit them.
func TestTraefik(t *testing.T) {
	if *traefikProgram == "" {
		t.Skip("no program of Traefik is given: make judges")
	}
	port := freePort(t)
	s := scenario.New(t, "../../testdata/platform", apiaggregator.Pipeline, apiaggregatortarget.Pipeline)
	cluster := newAPIServer(t)
	var hosts []*host
	for n := range uint64(*worlds) {
		h := newHost(t, s, aggregator.Traefik, *seed+n, port)
		cluster.add(t, h.documents...)
		hosts = append(hosts, h)
	}
	services := cluster.serve(t, hosts)
	address := startTraefik(t, cluster, port, hosts[len(hosts)-1].name)

	counts := map[string]int{}
	for _, h := range hosts {
		client := dial(t, address, h.name)
		for range *requests {
			request := h.Request(h.name, h.world.Claims, h.world.Delegated)
			got := client.send(t, request)
			want := gatewaytest.Traefik(h.routes, request)
			counts["requests"]++
			if got.service != "" {
				counts["served"]++
			}
			if !slices.ContainsFunc(want, func(a gatewaytest.Answer) bool {
				return a.Service() == got.service && (got.service == "" || a.Path == got.path) && (got.service != "" || got.same(a.Status))
			}) {
				t.Errorf("seed %d: %s %s: Traefik says %+v, its model %v", h.Seed, request.Method, request.Path, got, want)
			}
			if !gatewaytest.Admits(h.world.Judge(request), got.service, got.path) {
				t.Errorf("seed %d: %s %s: Traefik says %+v, and only %+v may", h.Seed, request.Method, request.Path, got, h.world.Judge(request))
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	t.Logf("%d requests to %d hosts of %d services, %d of them served", counts["requests"], len(hosts), len(services), counts["served"])
	if counts["served"]*10 < counts["requests"] {
		t.Error("hardly any request was served: what is tried says nothing")
	}
}

// host is a random world under one name, with all that the pipelines emit for it.
type host struct {
	gatewaytest.Random
	name      string
	documents [][]byte
	routes    []gatewaytest.Route
	world     gatewaytest.World
}

func newHost(t *testing.T, s *scenario.Scenario, i aggregator.Implementation, seed uint64, port int32) *host {
	t.Helper()
	h := &host{Random: gatewaytest.NewRandom(seed), name: fmt.Sprintf("w%d.example.com", seed)}
	of := h.Aggregator(i, h.name)
	of.Gateway.Ports, of.HTTPRedirect = &aggregator.Ports{HTTPS: port, HTTP: 1}, new(bool)
	h.world.Delegated = gatewaytest.Delegated(of)
	name := fmt.Sprint("w", seed)
	h.apply(t, s, "ApiAggregator", "platform", name, of)
	for n := range 1 + h.IntN(4) {
		namespace := h.One("team-a", "team-b", "team-c")
		service := fmt.Sprintf("%s-s%d", namespace, n)
		spec := h.Target(i, service)
		spec.AggregatorRef.Name = name
		o := h.apply(t, s, "ApiAggregatorTarget", namespace, fmt.Sprintf("%s-t%d", name, n), spec)
		for _, p := range spec.Paths {
			state, _ := o.State(p.Path)
			if state != string(target.Accepted) {
				continue
			}
			c := gatewaytest.Claim{Value: p.Path, Exact: p.Type == target.Exact, Owner: service, Rewrite: p.RewritePrefix}
			for _, m := range p.Methods {
				c.Methods = append(c.Methods, string(m))
			}
			h.world.Claims = append(h.world.Claims, c)
		}
	}
	var err error
	if h.routes, err = gatewaytest.Decode(h.documents...); err != nil {
		t.Fatal(err)
	}
	return h
}

// apply makes a request, and takes what it emits for one cluster.
func (h *host) apply(t *testing.T, s *scenario.Scenario, kind, namespace, name string, spec any) scenario.Outcome {
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
	for file, text := range o.Files {
		if strings.HasPrefix(file, "eu-1/") {
			h.documents = append(h.documents, []byte(text))
		}
	}
	return o
}

// apiServer is as much of an API server as a controller needs that lists and watches.
type apiServer struct {
	url     string
	mu      sync.Mutex
	objects map[string][]map[string]any // by the resource's plural name
}

func newAPIServer(t *testing.T) *apiServer {
	c := &apiServer{objects: map[string][]map[string]any{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// add stores objects, each with a UID.
func (c *apiServer) add(t *testing.T, documents ...[]byte) {
	t.Helper()
	for _, document := range documents {
		for part := range bytes.SplitSeq(append([]byte("\n"), document...), []byte("\n---")) {
			var o map[string]any
			if err := yaml.Unmarshal(part, &o); err != nil {
				t.Fatal(err)
			}
			if o == nil {
				continue
			}
			kind := strings.ToLower(o["kind"].(string))
			plural := kind + "s"
			if strings.HasSuffix(kind, "s") {
				plural = kind + "es"
			}
			metadata := o["metadata"].(map[string]any)
			metadata["uid"], metadata["resourceVersion"], metadata["generation"] = fmt.Sprint(plural, len(c.objects[plural])), "1", 1
			metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
			c.objects[plural] = append(c.objects[plural], o)
		}
	}
}

// ServeHTTP answers lists, lets watches wait, and takes whatever is written.
func (c *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query, base := r.URL.Query(), path.Base(r.URL.Path)
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		return
	}
	if query.Get("sendInitialEvents") != "" { // a client that is refused this lists
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
		return
	}
	if query.Get("watch") != "" {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Without a kind a client takes it for what it has asked for.
	list := map[string]any{"metadata": map[string]any{"resourceVersion": "1"}, "items": append([]map[string]any{}, c.objects[base]...)}
	_ = json.NewEncoder(w).Encode(list)
}

// serve has a server for each service of some hosts, and returns their names.
func (c *apiServer) serve(t *testing.T, hosts []*host) []string {
	t.Helper()
	c.add(t, []byte("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: judged}\nspec: {controllerName: traefik.io/gateway-controller}\n"), certificate(t))
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
	for _, name := range []string{"gateways", "team-a", "team-b", "team-c"} {
		c.add(t, fmt.Appendf(nil, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {kubernetes.io/metadata.name: %s}}\n", name, name))
	}
	for service, namespace := range found {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Service", service)
			w.Header().Set("Path", r.RequestURI)
		}))
		t.Cleanup(server.Close)
		port := server.Listener.Addr().(*net.TCPAddr).Port
		c.add(t, fmt.Appendf(nil, `apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s}
spec: {type: ClusterIP, clusterIP: 10.0.0.1, ports: [{name: http, port: 80, protocol: TCP, targetPort: %[3]d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[3]d, protocol: TCP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true, serving: true}}]
`, service, namespace, port))
	}
	return slices.Sorted(maps.Keys(found))
}

// certificate is a Secret with one that nobody trusts.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"*.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": map[string]any{"name": "judged", "namespace": "gateways"},
		"data": map[string][]byte{
			"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret
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

// startTraefik runs it, and returns its address when it serves a host.
func startTraefik(t *testing.T, c *apiServer, port int32, ready string) string {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, *traefikProgram,
		"--providers.kubernetesgateway.endpoint="+c.url, "--providers.kubernetesgateway.token="+token,
		"--providers.kubernetescrd.endpoint="+c.url, "--providers.kubernetescrd.token="+token,
		"--entrypoints.websecure.address="+address, "--entrypoints.web.address=127.0.0.1:0", "--log.level=INFO",
		"--global.checknewversion=false", "--global.sendanonymoususage=false",
	)
	command.Stdout, command.Stderr = &logs, &logs
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("Traefik said:\n%s", logs.String()[max(0, logs.Len()-4000):])
		}
	})
	for range 600 {
		if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: ready}); err == nil {
			names := conn.ConnectionState().PeerCertificates[0].DNSNames
			conn.Close()
			if slices.Contains(names, "*.example.com") { // it has read the Gateways, and their routes with them
				return address
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("Traefik does not serve %s", ready)
	return ""
}

// client sends requests as they are written.
type client struct {
	address, host string
	conn          net.Conn
	reader        *bufio.Reader
}

func dial(t *testing.T, address, host string) *client {
	c := &client{address: address, host: host}
	t.Cleanup(func() {
		if c.conn != nil {
			c.conn.Close()
		}
	})
	return c
}

// answer is what came of a request: the service and the path that it saw, or a status.
type answer struct {
	service, path string
	status        int
}

// same reports whether a status is that of a model. A refusal by a middleware is one.
func (a answer) same(status int) bool {
	return a.status == status || status == http.StatusServiceUnavailable && a.status == http.StatusForbidden
}

func (c *client) send(t *testing.T, request gatewaytest.Request) answer {
	t.Helper()
	for range 2 { // Traefik ends a connection after some of its own answers
		if c.conn == nil {
			conn, err := tls.Dial("tcp", c.address, &tls.Config{InsecureSkipVerify: true, ServerName: c.host})
			if err != nil {
				t.Fatal(err)
			}
			c.conn, c.reader = conn, bufio.NewReader(conn)
		}
		fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", request.Method, request.Path, request.Host)
		response, err := http.ReadResponse(c.reader, &http.Request{Method: request.Method})
		if err != nil {
			c.conn.Close()
			c.conn = nil
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.Close {
			c.conn.Close()
			c.conn = nil
		}
		return answer{response.Header.Get("Service"), response.Header.Get("Path"), response.StatusCode}
	}
	t.Fatalf("no answer to %s %s", request.Method, request.Path)
	return answer{}
}
