package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// The demo shows what it says: a thief is refused with the owner's name, a
// reconcile changes nothing, and what is let go of is handed over. A credential
// connects until it is revoked, and weeks of reconciles do not change it. The same
// with Synadia, of which it shows what was asked.
func TestDemo(t *testing.T) {
	w := newWorld(t)
	code, stdout, stderr := w.baleen("demo")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s%s", code, stderr, stdout)
	}
	chapters := strings.Split(strings.TrimSpace(stdout), "\n\n")
	if len(chapters) != 25 {
		t.Fatalf("%d chapters:\n%s", len(chapters), stdout)
	}
	for i, want := range map[int][]string{
		3:  {"False (PathsRefused)", "the path /orders is refused (PathConflict): it belongs to team-a/orders"},
		4:  {"/users/admin      Prefix  all       team-c/shop", "NestedInForeignPrefix", "/orders           Prefix  GET POST  team-a/orders"},
		5:  {"14 unchanged, 0 changed", "22 unchanged, 0 changed"},
		7:  {"2 of 3 paths are accepted"},
		8:  {"/orders           Prefix  all      team-c/shop    shop:80                   -      Accepted"},
		9:  {"True (Verified)", "a throw-away user could connect"},
		10: {"True (Delivered)", "the Secret team-a/orders-nats has a credential on 2 clusters"},
		11: {"publish to orders.created  published", "publish to payments.made   refused: permissions violation"},
		12: {"Runs                     34", "68 unchanged, 0 changed", "13 unchanged, 0 changed"},
		13: {"generation 1 publishes  published", "generation 2 publishes  published"},
		14: {"generation 1 publishes  refused: authorization violation", "generation 2 publishes  published"},
		15: {"RotationRequested  Active", "FirstIssue         Retired"},
		16: {"2 credentials of NatsUser team-a/orders are not revoked yet", "generation 2 publishes  refused"},
		17: {"True (Verified)", `can sign with its signing key group "Default"`, "GET /accounts/…/account-sk-groups 200"},
		18: {"True (Delivered)", "POST /accounts/…/nats-users 201, 2 times", "POST /nats-users/…/creds 200, 2 times"},
		19: {"publish to orders.created  published", "publish to payments.made   refused: permissions violation"},
		20: {"Runs                     34", "68 unchanged, 0 changed", "Requests to the control plane  none"},
		21: {"generation 1 publishes  published", "generation 2 publishes  published", "POST /accounts/…/nats-users 201, 2 times"},
		22: {"generation 1 publishes  refused: authorization violation", "generation 2 publishes  published",
			"PUT /accounts/…/nats-user-revocations/… 201, 2 times", "DELETE /nats-users/… 204, 2 times"},
		23: {"RotationRequested  Active", "FirstIssue         Retired"},
		24: {"2 credentials of NatsUser team-a/orders are not revoked yet", "generation 2 publishes  refused", "DELETE /nats-users/… 204, 2 times"},
	} {
		t.Run(fmt.Sprint("chapter ", i), func(t *testing.T) {
			for _, text := range want {
				if !strings.Contains(chapters[i], text) {
					t.Errorf("it does not show %q:\n%s", text, chapters[i])
				}
			}
		})
	}
	if strings.Contains(stdout, "\x1b") {
		t.Error("there are colours where there is no terminal")
	}
}

// With --provider it is about the credentials of that provider only.
func TestDemoOfOneProvider(t *testing.T) {
	w := newWorld(t)
	code, stdout, stderr := w.baleen("demo", "--provider", "synadia")
	if code != 0 || stderr != "" || strings.Count(strings.TrimSpace(stdout), "\n\n") != 7 || !strings.HasPrefix(stdout, "\n1. Now with Synadia Cloud") {
		t.Errorf("exit code %d: %s%s", code, stderr, stdout)
	}
	w.fails([]string{"demo", "--provider", "sydania"}, `--provider "sydania" is neither jwt nor synadia`)
}

const (
	aggregatorYAML = `apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: api, namespace: platform}
spec: {hostname: api.example.com, requestBody: {default: 1Mi}}
`
	targetYAML = `apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: shop, namespace: team-a}
spec:
  aggregatorRef: {name: api, namespace: platform}
  backends: [{service: shop, port: 80}]
  paths: [{path: /a}, {path: /new, type: Exact, maxRequestBodySize: 2Mi}, {path: /z, methods: [GET]}]
status:
  conditions: [{type: Ready, status: "False", reason: PathsRefused}]
  paths: [{path: /a, type: Prefix, state: Accepted}, {path: /z, type: Prefix, state: PathConflict, message: it belongs to team-b/shop}]
`
)

// Conflicts come first, and a path about which no run has decided is not shown
// as accepted.
func TestRoutes(t *testing.T) {
	w := newWorld(t)
	w.prints([]string{"routes", "--platform", t.TempDir()}, "Nobody publishes anything.")
	w.write(filepath.Join(w.platform, "platform", "ApiAggregator.baleen.dev", "api.yaml"), aggregatorYAML)
	w.write(filepath.Join(w.platform, "team-a", "ApiAggregatorTarget.baleen.dev", "shop.yaml"), targetYAML)
	w.prints([]string{"routes", "--platform", w.platform},
		"HOST             PATH  TYPE    METHODS  OWNER        BACKENDS  LIMIT  STATE",
		"api.example.com  /new  Exact   all      team-a/shop  shop:80   2Mi    PathsRefused",
		"api.example.com  /z    Prefix  GET      team-a/shop  shop:80   1Mi    PathConflict",
		"api.example.com  /a    Prefix  all      team-a/shop  shop:80   1Mi    Accepted",
	)
	_, stdout, _ := w.baleen("routes", "--platform", w.platform, "--output", "json")
	var routes []route
	if err := json.Unmarshal([]byte(stdout), &routes); err != nil || len(routes) != 3 || routes[1].Message != "it belongs to team-b/shop" {
		t.Errorf("%v: %s", err, stdout)
	}
	w.fails([]string{"routes", "--platform", w.platform, "--output", "xml"}, "neither table nor json")
	w.fails([]string{"routes", "--kubeconfig", filepath.Join(t.TempDir(), "none")}, "cannot be used")
	w.fails([]string{"routes", "--platform", w.platform, "--kubeconfig", "x"}, "give one of them")
}
