package acceptance

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backend is a service of a team: it answers with what it was asked.
func backend(t testing.TB, namespace, name string) {
	t.Helper()
	needsGateway(t)
	listener, err := net.Listen("tcp", net.JoinHostPort(world.Backend, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Backend", namespace+"/"+name)
		w.Header().Set("X-Path", r.URL.Path)
		w.Header().Set("X-Body", fmt.Sprintf("%d %x", n, sum.Sum(nil)))
		w.Header().Set("X-Signed", r.Header.Get("Stripe-Signature"))
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	eu().apply(t, fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec: {ports: [{name: http, port: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[2]s, namespace: %[1]s, labels: {kubernetes.io/service-name: %[2]s}}
addressType: IPv4
ports: [{name: http, port: %[3]d}]
endpoints: [{addresses: [%[4]s], conditions: {ready: true}}]
`, namespace, name, listener.Addr().(*net.TCPAddr).Port, world.Backend))
}

// browser speaks with api.example.com, which is where Traefik is; it follows no
// redirect.
var browser = &http.Client{
	Timeout: time.Minute,
	Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authority},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to := world.HTTPS
			if strings.HasSuffix(address, ":80") {
				to = world.HTTP
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is what came back, its body read.
type answer struct {
	code   int
	header http.Header
}

// send sends a request; chunked hides the length of its body.
func send(t testing.TB, method, path string, body []byte, chunked bool, headers ...string) answer {
	t.Helper()
	a, err := trySend(t.Context(), method, "https://api.example.com"+path, body, chunked, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func trySend(ctx context.Context, method, url string, body []byte, chunked bool, headers ...string) (answer, error) {
	var reader io.Reader = bytes.NewReader(body)
	if chunked {
		reader = io.MultiReader(reader)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return answer{}, err
	}
	if len(body) == 0 {
		request.Body = nil
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	got, err := browser.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	_, err = io.Copy(io.Discard, got.Body)
	return answer{got.StatusCode, got.Header}, err
}

// served waits until a path is answered by a backend.
func served(t testing.TB, path, by string) time.Duration {
	t.Helper()
	return within(t, 2*time.Minute, func() error {
		a, err := trySend(t.Context(), http.MethodGet, "https://api.example.com"+path, nil, false)
		if err != nil {
			return err
		}
		if a.code != http.StatusOK || a.header.Get("X-Backend") != by {
			return fmt.Errorf("%s is answered with %d by %q and not by %q", path, a.code, a.header.Get("X-Backend"), by)
		}
		return nil
	})
}

// target is a request for paths, each written as YAML.
func target(namespace, name, service string, paths ...string) string {
	return fmt.Sprintf(`apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  aggregatorRef: {name: public-api, namespace: platform}
  backends: [{service: %[3]s, port: 8080}]
  paths:
  - %[4]s
`, namespace, name, service, strings.Join(paths, "\n  - "))
}

func smokeAPI(s *story) {
	t := s.T
	backend(t, "team-a", "orders")
	becomes(t, apiAggregators, "platform", "public-api", "True/Published")
	hub().apply(t, target("team-a", "orders", "orders",
		"{path: /orders, methods: [GET, POST], rewritePrefix: /}",
		"{path: /orders/status, type: Exact}"))
	took := becomes(t, apiTargets, "team-a", "orders", "True/Published")
	s.holds("an ApiAggregatorTarget is published into Git %.1f s after it was asked for", took.Seconds())
	refresh(t)
	served(t, "/orders", "team-a/orders")
	s.holds("it is served by Traefik over HTTPS")

	within(t, 30*time.Second, func() error {
		redirect, err := trySend(t.Context(), http.MethodGet, "http://api.example.com/orders?x=1", nil, false)
		if err != nil {
			return err
		}
		if to := redirect.header.Get("Location"); redirect.code != http.StatusMovedPermanently || to != "https://api.example.com/orders?x=1" {
			return fmt.Errorf("http is answered with %d to %q", redirect.code, to)
		}
		return nil
	})
	s.holds("http is redirected to https")
	// Each path is a route of its own, which may be there a moment later.
	within(t, 30*time.Second, func() error {
		for _, row := range []struct {
			method, path string
			code         int
			at           string // where the backend sees it
		}{
			{http.MethodGet, "/orders", 200, "/"},
			{http.MethodGet, "/orders/7", 200, "/7"},
			{http.MethodPost, "/orders/7", 200, "/7"},
			{http.MethodDelete, "/orders/7", 403, ""},
			{http.MethodGet, "/ordersandmore", 404, ""},
			{http.MethodGet, "/orders/status", 200, "/orders/status"},
			{http.MethodDelete, "/orders/status", 200, "/orders/status"},
			{http.MethodGet, "/elsewhere", 404, ""},
		} {
			if a := send(t, row.method, row.path, nil, false); a.code != row.code || a.header.Get("X-Path") != row.at {
				return fmt.Errorf("%s %s is answered with %d as %q and not with %d as %q", row.method, row.path, a.code, a.header.Get("X-Path"), row.code, row.at)
			}
		}
		return nil
	})
	s.holds("prefixes end at a slash, exact beats prefix, prefixes are rewritten, methods are kept")
}

func bodies(s *story) {
	t := s.T
	backend(t, "team-a", "uploads")
	const mebi = 1 << 20
	hub().apply(t, target("team-a", "uploads", "uploads", "{path: /uploads, maxRequestBodySize: 1Mi}"))
	becomes(t, apiTargets, "team-a", "uploads", "True/Published")
	refresh(t)
	served(t, "/uploads", "team-a/uploads")
	body := make([]byte, 20*mebi)
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	// The limit is an object of its own, which may be there a moment later.
	within(t, 30*time.Second, func() error {
		if a := send(t, http.MethodPost, "/uploads", body[:mebi+1], false); a.code != http.StatusRequestEntityTooLarge {
			return fmt.Errorf("one byte too much is answered with %d", a.code)
		}
		return nil
	})
	for _, chunked := range []bool{false, true} {
		if a := send(t, http.MethodPost, "/uploads", body[:mebi], chunked); a.code != http.StatusOK {
			t.Errorf("the limit itself (chunked %t) is answered with %d", chunked, a.code)
		}
		if a := send(t, http.MethodPost, "/uploads", body[:mebi+1], chunked); a.code != http.StatusRequestEntityTooLarge {
			t.Errorf("one byte too much (chunked %t) is answered with %d", chunked, a.code)
		}
	}
	s.holds("a body of the limit is 200, one byte more is 413, by length and chunked")
	hub().apply(t, target("team-a", "uploads", "uploads", "{path: /uploads, maxRequestBodySize: 25Mi}"))
	refreshUntil(t, func() error {
		if a := send(t, http.MethodPost, "/uploads", body, false); a.code != http.StatusOK {
			return fmt.Errorf("20 MiB are answered with %d", a.code)
		}
		return nil
	})
	a := send(t, http.MethodPost, "/uploads", body, true, "Stripe-Signature", "t=1,v1=abc")
	sum := sha256.Sum256(body)
	if want := fmt.Sprintf("%d %s", len(body), hex.EncodeToString(sum[:])); a.header.Get("X-Body") != want || a.header.Get("X-Signed") != "t=1,v1=abc" {
		t.Errorf("20 MiB arrived as %q, signed %q", a.header.Get("X-Body"), a.header.Get("X-Signed"))
	}
	s.holds("after raising the limit 20 MiB arrive unchanged, with their signature")
	hub().delete(t, apiTargets, "team-a", "uploads")
	gone(t, apiTargets, "team-a", "uploads")
	nothingLeft(t, "team-a", "uploads")
	s.holds("deleting the target leaves nothing on the cluster or on the platform")
}

func stolenPath(s *story) {
	t := s.T
	backend(t, "team-a", "shop")
	backend(t, "team-b", "thief")
	hub().apply(t, target("team-a", "shop", "shop", "{path: /shop}"))
	becomes(t, apiTargets, "team-a", "shop", "True/Published")
	hub().apply(t, target("team-b", "thief", "thief", "{path: /shop}"))
	becomes(t, apiTargets, "team-b", "thief", "False/PathsRefused")
	refresh(t)
	served(t, "/shop", "team-a/shop")
	quiet(t, apiTargets, "team-a", "shop")
	quiet(t, apiTargets, "team-b", "thief")
	count := func() string {
		return commits(t, apiTargets, "team-a", "shop") + " and " + commits(t, apiTargets, "team-b", "thief")
	}
	before := count()
	for range reconciles(t, 20) {
		thief, owner := ask(t, apiTargets, "team-b", "thief"), ask(t, apiTargets, "team-a", "shop")
		thief()
		owner()
		served(t, "/shop", "team-a/shop")
	}
	quiet(t, apiTargets, "team-a", "shop")
	quiet(t, apiTargets, "team-b", "thief")
	if is := count(); is != before {
		t.Errorf("Git had %s commits of them and has %s", before, is)
	}
	s.holds("the incumbent keeps its path through %d reconciles of both", reconciles(t, 20))
	hub().delete(t, apiTargets, "team-a", "shop")
	becomes(t, apiTargets, "team-b", "thief", "True/Published")
	refresh(t)
	took := served(t, "/shop", "team-b/thief")
	s.holds("after its deletion the one that waited is served (%.0f s after it was published)", took.Seconds())
	hub().delete(t, apiTargets, "team-b", "thief")
	gone(t, apiTargets, "team-b", "thief")
	nothingLeft(t, "team-a", "shop")
	nothingLeft(t, "team-b", "thief")
}

func fortyPaths(s *story) {
	t := s.T
	backend(t, "team-b", "many")
	var paths []string
	for i := range 40 {
		paths = append(paths, fmt.Sprintf("{path: /many/p%d}", i))
	}
	hub().apply(t, target("team-b", "many", "many", paths...))
	becomes(t, apiTargets, "team-b", "many", "True/Published")
	refresh(t)
	for i := range 40 {
		served(t, fmt.Sprintf("/many/p%d", i), "team-b/many")
	}
	s.holds("forty paths of one target are all served")
	hub().delete(t, apiTargets, "team-b", "many")
	gone(t, apiTargets, "team-b", "many")
	nothingLeft(t, "team-b", "many")
}

func refreshUntil(t testing.TB, ask func() error) {
	t.Helper()
	within(t, 3*time.Minute, func() error {
		err := ask()
		if err != nil {
			refresh(t)
			time.Sleep(2 * time.Second)
		}
		return err
	})
}

// nothingLeft waits until nothing refers to a deleted target: on the clusters, in
// Git, among the Works and, once the aggregator has run, the claims.
func nothingLeft(t testing.TB, namespace, name string) {
	t.Helper()
	reconcile(t, apiAggregators, "platform", "public-api")
	refresh(t)
	within(t, 2*time.Minute, func() error {
		for _, c := range []*cluster{eu(), us()} {
			for _, what := range []gvr{httpRoutes, {Group: "traefik.io", Version: "v1alpha1", Resource: "middlewares"}} {
				for _, object := range c.list(t, what, namespace) {
					if strings.HasPrefix(object.GetName(), name+"-") {
						return fmt.Errorf("%s has %s %s", c.name, what.Resource, object.GetName())
					}
				}
			}
		}
		if files := git(t, "ls-tree", "-r", "--name-only", "main"); strings.Contains(files, "/"+namespace+"/api-aggregator-target/"+name+"/") {
			return errors.New("Git has files of it")
		}
		for _, work := range hub().list(t, works, namespace) {
			if work.GetLabels()["kratix.io/resource-name"] == name && work.GetLabels()["kratix.io/promise-name"] == "api-aggregator-target" {
				return fmt.Errorf("there is the Work %s", work.GetName())
			}
		}
		for _, claim := range hub().list(t, configMaps, "baleen-state") {
			owner, _, _ := unstructured.NestedString(claim.Object, "data", "owner")
			if strings.Contains(owner, fmt.Sprintf(`"namespace":%q,"name":%q`, namespace, name)) {
				return fmt.Errorf("the claim %s is its: %s", claim.GetName(), owner)
			}
		}
		return nil
	})
}
