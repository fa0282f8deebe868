package judges

import (
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
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var traefikProgram = flag.String("traefik", "", "Traefik's program: make judges builds it")

// Traefik itself, with its own Gateway provider, serves what the model of it says and the
// oracle admits: hosts with random targets, as the pipelines emit them.
func TestTraefik(t *testing.T) {
	if *traefikProgram == "" {
		t.Skip("no program of Traefik is given: make judges")
	}
	port := freePort(t)
	hosts := newHosts(t, aggregator.Traefik, port, nil)
	of := services(hosts)
	server := newAPIServer(t)
	for _, h := range hosts {
		server.add(t, h.documents...)
	}
	server.add(t, clusterObjects("traefik.io/gateway-controller", of, serve(t, of)), certificate(t))
	address := startTraefik(t, server, port, hosts[len(hosts)-1].name)
	compare(t, "Traefik", hosts, gatewaytest.Traefik, nil, func(h *host) func(gatewaytest.Request) answer {
		c := newClient(t, func() (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: h.name})
		})
		return func(request gatewaytest.Request) answer {
			got := c.send(t, request)
			if got.status == http.StatusForbidden { // a middleware refuses, where the model has a rule that serves nobody
				got.status = http.StatusServiceUnavailable
			}
			return got
		}
	})
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
	for range 6000 {
		if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: ready}); err == nil {
			names := conn.ConnectionState().PeerCertificates[0].DNSNames
			_ = conn.Close()
			if slices.Contains(names, "*.example.com") { // it has read the Gateways, and their routes with them
				return address
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("Traefik does not serve %s", ready)
	return ""
}
