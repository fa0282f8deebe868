package releases

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"text/template"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/scenario"
)

var record = flag.String("record", "", "make the folder of this release, such as v0.2.0, with the code as it is")

// TestRecord makes the folder of a release, once, with the code that is released:
//
//	go test ./test/releases -run TestRecord -record v0.2.0
//
// Without that flag it makes one that is thrown away, and upgrades from it.
//
// What is in it lives through two days, and then two things are under way: team-a's
// credential is being rotated (the former one lives on through its overlap), and the
// path /old is being released by team-a, for which team-b waits.
func TestRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "as-it-is")
	if *record != "" {
		dir = filepath.Join(releasesDir, *record)
		if _, err := os.Stat(dir); err == nil {
			t.Fatalf("%s is there: what a release has left is never made anew", dir)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * 24 * time.Hour) // a month into the year 2000
		w := create(t)
		for request := range strings.SplitSeq(w.fill(requests), "---\n") {
			w.apply(request)
		}
		w.rest()
		time.Sleep(24 * time.Hour)
		w.rest()
		w.apply(w.fill(rotated))
		time.Sleep(time.Minute)
		w.rest()
		w.apply(w.fill(moved)) // and no run of its owner after it
		w.save(dir)
		must(t, os.WriteFile(savedIn(dir).next, txtar.Format(w.goOn()), 0o644))
	})
	synctest.Test(t, func(t *testing.T) { upgrade(t, dir, simulator.KratixLatest) })
}

// rest runs all requests until that changes nothing.
func (w *world) rest() {
	w.t.Helper()
	for range 10 {
		before := w.Snapshot()
		for _, o := range w.requests() {
			w.run(o)
		}
		if fmt.Sprint(w.Snapshot()) == fmt.Sprint(before) {
			return
		}
		time.Sleep(time.Minute)
	}
	w.t.Fatal("the platform does not come to rest")
}

func (w *world) apply(request string) {
	w.t.Helper()
	outcome := w.during(func() scenario.Outcome { return w.Apply(request) })
	status, reason, message := outcome.Ready()
	w.t.Logf("%s: %s %s: %s", nameOf(scenario.Parse(w.t, request)), status, reason, message)
}

// create makes a platform that has no requests yet.
func create(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, Scenario: scenario.New(t, t.TempDir())}
	w.Version = simulator.KratixLatest
	var err error
	w.nats, err = natslocal.New(t.TempDir())
	must(t, err)
	w.cloud, err = fakecloud.New(fakecloud.Options{NATS: w.nats, Tokens: []string{cloudToken}})
	must(t, err)
	w.serve()
	certificates := map[string]any{}
	for _, cluster := range []string{"eu-1", "us-1", "dev-1"} {
		environment := "prod"
		if cluster == "dev-1" {
			environment = "dev"
		}
		w.object("_cluster", "Destination.platform.kratix.io", cluster, map[string]any{
			"apiVersion": "platform.kratix.io/v1alpha1", "kind": "Destination",
			"metadata": map[string]any{"name": cluster, "labels": map[string]any{"baleen.dev/destination": cluster, "environment": environment}},
		})
		certificates[cluster] = certificate(t)
	}
	config := func(kind, name, key string, data map[string]any) {
		w.object("baleen-system", kind+".core", name, map[string]any{
			"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "baleen-system"}, key: data,
		})
	}
	config("ConfigMap", "sealing-certificates", "data", certificates)
	config("ConfigMap", "baleen-config", "data", map[string]any{"namespaces": "team-a: [team-a-*]\n"})
	encoded := base64.StdEncoding.EncodeToString
	config("Secret", "commerce-signing", "data", map[string]any{"seed": encoded(w.nats.SigningKey)})
	config("Secret", "operator", "data", map[string]any{"seed": encoded(w.nats.OperatorKey), "creds": encoded(w.nats.SystemCredentials)})
	config("Secret", "synadia", "data", map[string]any{"token": encoded([]byte(cloudToken))})
	return w
}

func (w *world) object(namespace, kind, name string, object map[string]any) {
	w.t.Helper()
	w.Write(txtar.File{Name: filepath.Join(namespace, kind, name+".yaml"), Data: []byte(asJSON(w.t, object) + "\n")})
}

// certificate is that of a Sealed Secrets controller, whose key nobody has any more.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0)}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

// fill puts the keys and addresses of this world into requests.
func (w *world) fill(text string) string {
	w.t.Helper()
	var b bytes.Buffer
	must(w.t, template.Must(template.New("").Delims("<", ">").Parse(text)).Execute(&b, map[string]string{
		"account": w.nats.AccountID, "servers": w.nats.URL(), "cloud": cloudURL, "overlap": overlap.String(),
	}))
	return b.String()
}

// requests are of all kinds: three implementations of the Gateway API, both providers
// of credentials, and each field that changes what comes out.
const requests = `apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system}
spec:
  provider: jwt
  jwt:
    accountID: <.account>
    signingKey: {secretRef: {name: commerce-signing}}
    servers: ["<.servers>"]
    operator:
      signingKeySecretRef: {name: operator}
      systemCredentialsSecretRef: {name: operator}
  policy:
    namespaces: ["team-*"]
    publish: ["orders.>", "{{namespace}}.>"]
    subscribe: ["orders.>", "_INBOX.>"]
    allowResponses: {max: 10, ttl: 1m}
    connectionTypes: [STANDARD, WEBSOCKET, IN_PROCESS]
    tags: ["stage:*"]
---
apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: cloud, namespace: baleen-system}
spec:
  provider: synadia
  synadia:
    baseURL: <.cloud>
    system: NGS
    account: commerce
    platform: prod
    tokenSecretRef: {name: synadia}
    servers: ["<.servers>"]
    driftPolicy: Correct
  policy:
    namespaces: ["team-b"]
    publish: ["shop.>"]
    subscribe: ["shop.>", "_INBOX.>"]
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: public-api, namespace: platform}
spec:
  hostname: api.example.com
  tls: {clusterIssuer: letsencrypt}
  gateway: {className: traefik, implementation: Traefik, namespace: gateways, ports: {https: 8443, http: 8000}}
  requestBody: {max: 100Mi}
  allowedNamespaces: ["team-*"]
  delegations: [{prefix: /orders, namespaces: [team-a]}]
  dns: {target: lb.example.com}
  placement: {matchLabels: {environment: prod}}
  perDestination: [{name: eu-1, dns: {target: lb.eu.example.com}}]
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: nginx, namespace: platform}
spec:
  hostname: nginx.example.com
  tls: {secretName: nginx-tls}
  gateway: {className: nginx, implementation: NGINXGatewayFabric, namespace: gateways}
  requestBody: {default: 2Mi, max: 100Mi}
  allowedNamespaces: ["team-*"]
  placement: {matchLabels: {environment: prod}}
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: envoy, namespace: platform}
spec:
  hostname: envoy.example.com
  tls: {clusterIssuer: letsencrypt}
  gateway: {className: eg, implementation: EnvoyGateway, namespace: gateways}
  httpRedirect: false
  allowedNamespaces: ["team-b"]
  placement: {matchLabels: {environment: prod}}
---
apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: orders, namespace: team-a}
spec:
  accountRef: {name: commerce}
  permissions:
    publish: {allow: ["orders.>"], deny: ["orders.secret"]}
    subscribe: {allow: ["orders.*", "_INBOX.>"]}
    allowResponses: {max: 1, ttl: 5s}
  limits: {subscriptions: 100, payload: 1Mi}
  connectionTypes: [STANDARD, IN_PROCESS]
  credentials: {overlap: <.overlap>}
  secret: {name: orders-nats, key: nats.creds}
  placement: {matchLabels: {environment: prod}}
---
apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: reports, namespace: team-a}
spec:
  accountRef: {name: commerce}
  permissions: {publish: {allow: ["team-a.>"]}}
  sourceCIDRs: ["10.0.0.0/8", "192.0.2.0/24"]
  times: {timeZone: Europe/Berlin, ranges: [{start: "08:00:00", end: "17:00:00"}]}
  tags: ["stage:prod"]
  secret: {name: reports-nats, format: Env, labels: {team: a}, annotations: {example.com/owner: team-a}}
  workloadNamespace: team-a-reports
  retain: Nothing
  placement: {matchLabels: {environment: prod}}
---
apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: shop, namespace: team-b}
spec:
  accountRef: {name: cloud}
  permissions: {publish: {allow: ["shop.>"]}, subscribe: {allow: ["shop.>", "_INBOX.>"]}}
  secret: {name: shop-nats, format: JWTAndSeed}
  placement: {matchLabels: {environment: prod}}
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: orders, namespace: team-a}
spec:
  aggregatorRef: {name: public-api, namespace: platform}
  backends: [{service: orders, port: 8080}]
  paths:
  - {path: /orders, methods: [GET, POST], rewritePrefix: /}
  - {path: /webhooks/stripe, type: Exact, maxRequestBodySize: 25Mi}
  - {path: /old}
  requestHeaders: {set: {X-Team: team-a}, remove: [X-Debug]}
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: shop, namespace: team-b}
spec:
  aggregatorRef: {name: public-api, namespace: platform}
  backends: [{service: shop, port: 80, weight: 9}, {service: shop-canary, port: 80, weight: 1}]
  paths:
  - {path: /shop, allowNested: true}
  - {path: /old}
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: files, namespace: team-a}
spec:
  aggregatorRef: {name: nginx, namespace: platform}
  backends: [{service: files, port: 80}]
  paths:
  - {path: /files, rewritePrefix: /v1}
  - {path: /upload, type: Exact, methods: [PUT], maxRequestBodySize: 50Mi}
  workloadNamespace: team-a-files
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: search, namespace: team-b}
spec:
  aggregatorRef: {name: envoy, namespace: platform}
  backends: [{service: search, port: 8080}]
  paths:
  - {path: /, allowNested: true}
  - {path: /search, methods: [GET], rewritePrefix: /q}
  timeout: 30s
`

// rotated and moved are what the team changes then.
const (
	rotated = `apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: orders, namespace: team-a}
spec:
  accountRef: {name: commerce}
  permissions:
    publish: {allow: ["orders.>"], deny: ["orders.secret"]}
    subscribe: {allow: ["orders.*", "_INBOX.>"]}
    allowResponses: {max: 1, ttl: 5s}
  limits: {subscriptions: 100, payload: 1Mi}
  connectionTypes: [STANDARD, IN_PROCESS]
  credentials: {overlap: <.overlap>, rotate: "1"}
  secret: {name: orders-nats, key: nats.creds}
  placement: {matchLabels: {environment: prod}}
`
	moved = `apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: orders, namespace: team-a}
spec:
  aggregatorRef: {name: public-api, namespace: platform}
  backends: [{service: orders, port: 8080}]
  paths:
  - {path: /orders, methods: [GET, POST], rewritePrefix: /}
  - {path: /webhooks/stripe, type: Exact, maxRequestBodySize: 25Mi}
  requestHeaders: {set: {X-Team: team-a}, remove: [X-Debug]}
`
)
