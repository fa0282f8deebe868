package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// The demo shows what it says, in ten chapters that fit a terminal: a thief is
// refused with the owner's name, a reconcile changes nothing, and what is released is
// handed over. A credential connects until it is revoked, and weeks of reconciles do
// not change it.
func TestDemo(t *testing.T) {
	w := newWorld(t)
	code, stdout, stderr := w.baleen("demo")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s%s", code, stderr, stdout)
	}
	parts := strings.Split(strings.TrimSpace(stdout), "\n\n")
	if len(parts) != 12 || parts[0] != opening || parts[11] != closing {
		t.Fatalf("%d parts:\n%s", len(parts), stdout)
	}
	for i, want := range [][]string{
		{"1. ", "hostname: api.example.com", "✓ https://api.example.com is served on 2 clusters"},
		{"2. ", "- {path: /orders, methods: [GET, POST], rewritePrefix: /}", "kind: HTTPRoute", "value: /orders", "✓ 2 of 2 paths are accepted"},
		{"3. ", "✓ /orders is refused (PathConflict): it belongs to team-a/orders", "/orders           Prefix  all       team-c/shop"},
		{"4. ", "14 unchanged, 0 changed", "17 unchanged, 0 changed"},
		{"5. ", "/orders           Prefix  all      team-c/shop    shop:80      -      Accepted"},
		{"6. ", "kind: NatsAccount", "a throw-away\n    user could connect"},
		{"7. ", "kind: SealedSecret", "publish to orders.created  published", "publish to payments.made   refused: permissions violation"},
		{"8. ", "Runs                     34", "68 unchanged, 0 changed", "13 unchanged, 0 changed"},
		{
			"9. ", "the first credential publishes   published", "the first credential publishes   refused: authorization violation",
			"the second credential publishes  published", "RotationRequested  Active", "FirstIssue         Retired",
		},
		{"10. ", "Kratix waits: 2 credentials of NatsUser team-a/orders are not revoked yet", "the second credential publishes  refused"},
	} {
		t.Run(chapterNames()[i], func(t *testing.T) {
			for _, text := range want {
				if !strings.Contains(parts[i+1], text) {
					t.Errorf("it does not show %q:\n%s", text, parts[i+1])
				}
			}
		})
	}
	for line := range strings.Lines(stdout) {
		if utf8.RuneCountInString(line) > 121 {
			t.Errorf("too long: %s", line)
		}
	}
	if strings.ContainsAny(stdout, "\x1b\r") {
		t.Error("there are colours or progress where there is no terminal")
	}
}

// One chapter comes without those that lead to it.
func TestDemoChapter(t *testing.T) {
	for _, test := range []struct {
		name  string
		args  []string
		first string
		want  string
	}{
		{"of the APIs", []string{"--chapter", "theft"}, "1. Team C wants /orders too, and is told whose it is", "it belongs to team-a/orders"},
		{"of Synadia", []string{"--provider", "synadia", "--chapter", "credential"}, "1. Team A asks for a credential", "Synadia's control plane was asked: 4 POST"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := newWorld(t).baleen(append([]string{"demo"}, test.args...)...)
			if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "\n"+test.first) || !strings.Contains(stdout, test.want) || strings.Contains(stdout, "\n2. ") {
				t.Errorf("exit code %d: %s%s", code, stderr, stdout)
			}
		})
	}
	w := newWorld(t)
	w.fails([]string{"demo", "--provider", "sydania"}, `--provider "sydania" is neither jwt nor synadia`)
	w.fails([]string{"demo", "--chapter", "end"}, `there is no chapter "end": there are host, publish, theft, reconcile, handover, account, credential, weeks, rotation, deletion`)
}

// Without a flag the story is told of APIs and self-hosted NATS.
func TestTelling(t *testing.T) {
	for _, test := range []struct {
		name    string
		telling telling
		apis    bool
		of      string
	}{
		{"short", telling{}, true, "[jwt]"},
		{"long", telling{all: true}, true, "[jwt synadia]"},
		{"one provider", telling{provider: "synadia"}, false, "[synadia]"},
		{"a chapter about APIs", telling{chapter: "theft"}, true, "[]"},
		{"a chapter about credentials", telling{chapter: "weeks"}, false, "[jwt]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			apis, of := test.telling.parts()
			var names []string
			for _, p := range of {
				names = append(names, p.name)
			}
			if apis != test.apis || fmt.Sprint(names) != test.of {
				t.Errorf("APIs %t, providers %v", apis, names)
			}
		})
	}
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
	w.fails([]string{"routes", "--platform", w.platform, "--output", "xml"}, "neither table, wide, json, yaml nor name")
	w.fails([]string{"routes", "--kubeconfig", filepath.Join(t.TempDir(), "none")}, "cannot be used")
	w.fails([]string{"routes", "--platform", w.platform, "--kubeconfig", "x"}, "give one of them")
}

// On a terminal that is narrow the demo's lines are no wider.
func TestDemoFitsTheTerminal(t *testing.T) {
	var out bytes.Buffer
	s := &story{out: &out, w: &out, width: 60}
	s.good("%s", strings.Repeat("a sentence of some words, ", 8))
	s.yaml([]byte("gateway: {" + strings.Repeat("name: value, ", 12) + "}\n"))
	fmt.Fprintln(&out, s.frame(opening))
	fmt.Fprintln(&out, s.frame(closing))
	if err := s.show(t.Context(), []chapter{{name: "long", title: strings.Repeat("a long title ", 8), tell: func(context.Context) error { return nil }}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 60 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if out.Len() < 500 {
		t.Errorf("it says\n%s", out.String())
	}
}
