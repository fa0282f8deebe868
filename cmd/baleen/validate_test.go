package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/crd"
	"github.com/baleen-platform/baleen/internal/crdtest"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/promises"
)

const (
	userRequest = `apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata:
  name: orders
  namespace: team-a
spec:
  accountRef:
    name: commerce
  permissions:
    publish:
      allow: ["orders.>"]
    subscribe:
      allow: ["orders.>", "_INBOX.>"]
  credentials:
    ttl: 720h
  secret:
    name: orders-nats
`
	targetRequest = `apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata:
  name: orders
  namespace: team-a
spec:
  aggregatorRef:
    name: public-api
    namespace: platform
  backends:
  - service: orders
    port: 8080
  paths:
  - path: /orders
    methods: [GET, POST]
  - path: /webhooks/stripe
    type: Exact
    maxRequestBodySize: 25Mi
`
	aggregatorRequest = `apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata:
  name: public-api
  namespace: platform
spec:
  hostname: api.example.com
  tls:
    clusterIssuer: letsencrypt
  gateway:
    className: traefik
    implementation: Traefik
    namespace: gateways
  allowedNamespaces: ["team-*"]
`
	accountRequest = `apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata:
  name: commerce
  namespace: baleen-system
spec:
  provider: jwt
  jwt:
    accountID: AD4BPRVSQXPWIZGJD5EC72OJ75W6T7C4UXTXULLZD3JIZMCAGBRKSJ27
    signingKey:
      secretRef: {name: commerce-signing}
  policy:
    namespaces: ["team-*"]
    publish: ["orders.>"]
    subscribe: ["orders.>", "_INBOX.>"]
`
)

func TestValidateBeginnersMistakes(t *testing.T) {
	for _, row := range beginners {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.write(w.request, replaced(t, row.base, row.old, row.by))
			code, stdout, stderr := w.baleen("validate", "-f", w.request)
			got := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			for i := range got {
				_, got[i], _ = strings.Cut(got[i], "  ")
			}
			if code != 1 || stderr != "" || !reflect.DeepEqual(got, row.want) {
				t.Errorf("exit code %d, stderr %q, says\n%s\nwant\n%s", code, stderr, strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
		})
	}
}

// replaced returns a request with something else in place of a text; of one that ends
// with an ellipsis everything to the end is replaced.
func replaced(t *testing.T, base, old, by string) string {
	t.Helper()
	begin, rest := strings.CutSuffix(old, "…")
	if !strings.Contains(base, begin) {
		t.Fatalf("there is no %q to replace", old)
	}
	if rest {
		before, _, _ := strings.Cut(base, begin)
		return before + by
	}
	return strings.Replace(base, old, by, 1)
}

// apiServer are the definitions of Baleen's kinds as an API server applies them.
func apiServer(t *testing.T) *crdtest.Definitions {
	t.Helper()
	var all []*crdtest.Definitions
	for _, p := range promises.All() {
		var promise struct {
			Spec struct{ API map[string]any }
		}
		if err := yaml.Unmarshal(p.YAML, &promise); err != nil {
			t.Fatal(err)
		}
		definition, err := yaml.Marshal(promise.Spec.API)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, crdtest.Load(t, definition))
	}
	return crdtest.Merge(all...)
}

// What an API server with the definitions refuses, validate refuses: each rule in CEL
// is one of the pipelines' too.
func TestValidateIsAsStrictAsAnAPIServer(t *testing.T) {
	definitions := apiServer(t)
	refused := 0
	check := func(name, text string, isValid bool) {
		t.Run(name, func(t *testing.T) {
			documents := parseDocuments("request.yaml", text)
			if len(documents) != 1 || documents[0].object == nil {
				return // not YAML
			}
			err := definitions.Validate(&unstructured.Unstructured{Object: documents[0].object})
			if err != nil {
				refused++
			}
			if v := validateDocument(documents[0]); v.Valid != isValid || err != nil && isValid {
				t.Errorf("valid is %v, problems %v, an API server says %v", v.Valid, v.Problems, err)
			}
		})
	}
	files, err := filepath.Glob("../../promises/*/example*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check(file, string(data), true)
	}
	for name, text := range map[string]string{"user": userRequest, "target": targetRequest, "aggregator": aggregatorRequest, "account": accountRequest, "system": systemRequest, "workload": workloadRequest} {
		check(name, text, true)
	}
	for _, row := range beginners {
		check(row.name, replaced(t, row.base, row.old, row.by), false)
	}
	for _, rule := range celRules {
		check(rule.name, replaced(t, rule.base, rule.old, rule.by), false)
	}
	if refused < 100 {
		t.Errorf("an API server refuses %d of them only", refused)
	}
}

// celRules break rules of the definitions that beginners do not.
var celRules = []struct{ name, base, old, by string }{
	{"dns.target with a Gateway that exists", aggregatorRequest, "    className: traefik\n", "    name: shared\n  dns: {target: a.example.com}\n"},
	{"perDestination with a Gateway that exists", aggregatorRequest, "    className: traefik\n", "    name: shared\n  perDestination: [{name: eu-1, dns: {target: a.example.com}}]\n"},
	{"a selector without from", aggregatorRequest, "    namespace: gateways", "    namespace: gateways\n    allowedRoutes: {selector: {matchLabels: {a: b}}}"},
	{"two listeners that are one", aggregatorRequest, "    namespace: gateways", "    namespace: gateways\n    listeners: {https: web, http: web}"},
	{"a prefix with 33 segments", aggregatorRequest, "  allowedNamespaces:", "  delegations: [{prefix: " + strings.Repeat("/a", 33) + ", namespaces: [a]}]\n  allowedNamespaces:"},
	{"mixed servers", accountRequest, "    signingKey:", "    servers: [\"nats://a:1\", \"ws://b:1\"]\n    signingKey:"},
	{"requiredTags without scoped", accountRequest, "secretRef: {name: commerce-signing}", "secretRef: {name: commerce-signing}\n      requiredTags: [a]"},
	{"a key of two dots", accountRequest, "{name: commerce-signing}", "{name: commerce-signing, key: ..a}"},
	{"a certificate that is a key", accountRequest, "    signingKey:", "    caCertificates: \"-----BEGIN PRIVATE KEY-----\"\n    signingKey:"},
	{"a maxTTL of zero", accountRequest, "  policy:", "  policy:\n    maxTTL: 0h"},
	{"both providers", accountRequest, "  policy:", "  synadia: {accountID: a, platform: p, tokenSecretRef: {name: a}}\n  policy:"},
	{"a local time zone", userRequest, "  credentials:", "  times: {timeZone: Local, ranges: [{start: \"08:00:00\", end: \"18:00:00\"}]}\n  credentials:"},
	{"an empty range", userRequest, "  credentials:", "  times: {ranges: [{start: \"08:00:00\", end: \"08:00:00\"}]}\n  credentials:"},
	{"the key .baleen", userRequest, "    name: orders-nats", "    name: orders-nats\n    key: .baleen"},
	{"an annotation of Helm", userRequest, "    name: orders-nats", "    name: orders-nats\n    annotations: {meta.helm.sh/release-name: a}"},
	{"a label with two slashes", userRequest, "    name: orders-nats", "    name: orders-nats\n    labels: {a/b/c: d}"},
	{"an encoded slash", targetRequest, "path: /orders", "path: /orders%2Fa"},
	{"a rewrite with dots", targetRequest, "    methods:", "    rewritePrefix: /../a\n    methods:"},
	{"allowNested with Exact", targetRequest, "type: Exact", "type: Exact\n    allowNested: true"},
	{"33 segments", targetRequest, "path: /orders", "path: " + strings.Repeat("/a", 33)},
	{"a header removed twice", targetRequest, "  backends:", "  requestHeaders: {remove: [X-A, x-a]}\n  backends:"},
}

func TestValidateDocuments(t *testing.T) {
	noNamespace := strings.Replace(userRequest, "  namespace: team-a\n", "", 1)
	for _, test := range []struct {
		name, text     string
		code           int
		stdout, stderr string
	}{
		{"two documents", userRequest + "---\n" + targetRequest, 0, "NatsUser team-a/orders  valid\nApiAggregatorTarget team-a/orders  valid\n", ""},
		{"empty documents", "---\n# nothing\n---\n" + userRequest + "---\n", 0, "NatsUser team-a/orders  valid\n", ""},
		{"a file of Windows", "\ufeff" + strings.ReplaceAll(userRequest, "\n", "\r\n"), 0, "NatsUser team-a/orders  valid\n", ""},
		{"an empty file", "", 1, "request.yaml  there is nothing in it: write a request, or look whether it was saved\n", ""},
		{"a comment", "# a comment\n", 1, "request.yaml  there is nothing in it: write a request, or look whether it was saved\n", ""},
		{"another kind", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n" + userRequest, 0, "NatsUser team-a/orders  valid\n", "Secret a: skipped, because it is of no kind of Baleen's\n"},
		{"no namespace", noNamespace, 0, "NatsUser default/orders  valid (it names no namespace: kubectl takes that of its context, and default if there is none)\n", ""},
		{"an account of a team", strings.Replace(accountRequest, "baleen-system", "team-a", 1), 0,
			"NatsAccount team-a/commerce  valid (NatsUsers find a NatsAccount in the namespace baleen-system only)\n", ""},
		{"a system of a team", strings.Replace(systemRequest, "baleen-system", "team-a", 1), 0,
			"System team-a/shop  valid (a System counts in the namespace baleen-system only, unless systemNamespaces of baleen-config names others)\n", ""},
		{"one request twice", userRequest + "---\n" + userRequest, 1,
			"NatsUser team-a/orders  valid\nNatsUser team-a/orders  metadata.name: is there for the second time, after line 1 of request.yaml: the later one would replace the other\n", ""},
		{"mistakes around a valid one", "a: [1\nb: 2\n---\n" + userRequest + "---\nb:\n\tc: d\n", 1,
			"request.yaml  line 1 has a bracket that is not closed, or lacks a comma after an entry: look at the brackets\nNatsUser team-a/orders  valid\nrequest.yaml  line 23 is indented with a tab: YAML wants blanks\n", ""},
		{"a List", `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "baleen.dev/v1alpha1", "kind": "NatsUser", "metadata": {"name": "a", "namespace": "b"}}]}`, 1,
			"NatsUser b/a  spec: is missing: it needs accountRef, secret\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.write(w.request, test.text)
			code, stdout, stderr := w.baleen("validate", "-f", w.request)
			stdout, stderr = strings.ReplaceAll(stdout, w.request, "request.yaml"), strings.ReplaceAll(stderr, w.request, "request.yaml")
			if code != test.code || stdout != test.stdout || stderr != test.stderr {
				t.Errorf("exit code %d, stdout\n%s\nstderr %q; want %d\n%s\n%q", code, stdout, stderr, test.code, test.stdout, test.stderr)
			}
		})
	}
}

func TestValidateFolder(t *testing.T) {
	w, folder := newWorld(t), t.TempDir()
	w.fails([]string{"validate", "-f", folder}, "has no file that ends in .yaml, .yml or .json")
	w.write(filepath.Join(folder, "b.yaml"), targetRequest)
	w.write(filepath.Join(folder, "a.json"), "{}")
	w.write(filepath.Join(folder, "c.md"), "a: [")
	code, stdout, _ := w.baleen("validate", "-f", folder)
	if code != 1 || !strings.HasPrefix(stdout, filepath.Join(folder, "a.json")+"  apiVersion: is missing") || !strings.HasSuffix(stdout, "orders  valid\n") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	w.fails([]string{"run", folder, "--platform", w.platform}, folder+" is a folder: name the file of one request in it")
}

func TestValidateRefusesFlags(t *testing.T) {
	w := newWorld(t)
	w.asks("{}")
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no file", []string{"validate"}, "name what is to be checked: baleen validate -f FILE, or -f - for the standard input"},
		{"a file without -f", []string{"validate", "a.yaml"}, `"a.yaml" is not taken by itself: write baleen validate -f a.yaml`},
		{"a missing file", []string{"validate", "-f", "missing.yaml"}, "missing.yaml cannot be read"},
		{"a wrong output", []string{"validate", "-f", w.request, "-o", "toml"}, `"toml"`},
	} {
		t.Run(test.name, func(t *testing.T) { w.with(t).fails(test.args, test.want) })
	}
}

func TestValidateJSON(t *testing.T) {
	w := newWorld(t)
	w.write(w.request, strings.Replace(userRequest, "ttl: 720h", "ttl: 720", 1))
	code, stdout, stderr := w.baleen("validate", "-f", w.request, "-o", "json")
	var got []verdict
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 1 || stderr != "" {
		t.Fatal(code, stderr, err)
	}
	want := []verdict{{File: w.request, Line: 1, Kind: "NatsUser", Namespace: "team-a", Name: "orders", Problems: []fieldProblem{
		{"spec.credentials.ttl", "must be text, not 720: it has no unit, write 720h for hours, or m for minutes, s for seconds, d for days"},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// Wherever a secret stands, it is not repeated, and nothing reaches a terminal but
// text: in no form of the output and in no error.
func TestSecretsAreNotRepeated(t *testing.T) {
	// Test fixtures: a seed and a token of accounts that exist nowhere.
	const seed = "SAAPXYFKWEVGK3KDXZZXU3RQKGZ7SXZ7ZZGVUKTUVRQAZJPPNYXOYVXHQY"
	const token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJBIn0.c2lnbmF0dXJl"
	secrets := map[string]string{"a seed": seed, "a token": token, "a seed in base64": base64.StdEncoding.EncodeToString([]byte(seed))}
	for _, place := range []struct{ name, old, by string }{
		{"an annotation", "  namespace: team-a", "  namespace: team-a\n  annotations: {x: {t: SECRET}}"},
		{"a label", "  namespace: team-a", "  namespace: team-a\n  labels: {a: [SECRET]}"},
		{"a key of a label", "  namespace: team-a", "  namespace: team-a\n  labels: {SECRET: 1}"},
		{"the name", "name: orders\n", "name: [SECRET]\n"},
		{"the name as text", "name: orders\n", "name: SECRET\n"},
		{"the namespace", "namespace: team-a", "namespace: {a: SECRET}"},
		{"the kind", "kind: NatsUser", "kind: SECRET"},
		{"the apiVersion", "apiVersion: baleen.dev/v1alpha1", "apiVersion: SECRET"},
		{"a field", "    ttl: 720h", "    SECRET: 720h"},
		{"a field without a blank", "    ttl: 720h", "    \"ttl:SECRET\": 1"},
		{"a field twice", "    ttl: 720h", "    SECRET: 1\n    SECRET: 2"},
		{"in place of a map", "  accountRef:\n    name: commerce", "  accountRef: SECRET"},
		{"in place of a list", `allow: ["orders.>"]`, "allow: SECRET"},
		{"an alias", "    name: commerce", "    name: *SECRET"},
		{"a duration", "ttl: 720h", "ttl: SECRET"},
		{"between blanks", "name: commerce", `name: " SECRET "`},
	} {
		for what, secret := range secrets {
			t.Run(place.name+"/"+what, func(t *testing.T) {
				w := newWorld(t)
				w.write(w.request, replaced(t, userRequest, place.old, strings.ReplaceAll(place.by, "SECRET", secret)))
				for _, args := range [][]string{{"validate"}, {"validate", "-o", "json"}, {"validate", "-o", "name"}, {"diff", "--platform", w.platform}} {
					_, stdout, stderr := w.baleen(append(args, "-f", w.request)...)
					if strings.Contains(stdout+stderr, secret[:40]) {
						t.Errorf("%v repeats it: %s%s", args, stdout, stderr)
					}
				}
			})
		}
	}
}

// What a terminal would take for a command does not reach it.
func TestNothingSteersTheTerminal(t *testing.T) {
	const steers = `"a\e[2Jx\u202e\nforged"`
	for _, place := range []struct{ name, old, by string }{
		{"the name", "name: orders\n", "name: " + steers + "\n"},
		{"the kind", "kind: NatsUser", "kind: " + steers},
		{"a field", "    ttl: 720h", "    " + steers + ": 720h"},
		{"a value", "ttl: 720h", "ttl: " + steers},
	} {
		for _, args := range [][]string{{"validate", "-f"}, {"validate", "-o", "name", "-f"}, {"diff", "-f"}, {"run"}} {
			t.Run(place.name+"/"+strings.Join(args, " "), func(t *testing.T) {
				w := newWorld(t)
				w.write(w.request, replaced(t, userRequest, place.old, place.by))
				args := append(slices.Clone(args), w.request)
				if args[0] != "validate" {
					args = append(args, "--platform", w.platform)
				}
				if args[0] == "run" {
					args = append(args, "--out", w.out)
				}
				_, stdout, stderr := w.baleen(args...)
				if text := stdout + stderr; strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || strings.Contains(text, "\nforged") {
					t.Errorf("%q", text)
				}
			})
		}
	}
}

// Large input is refused, not pondered: each is some megabytes, and would take hours
// if what is done for a line or an entry depended on all the others.
func TestLargeInput(t *testing.T) {
	paths, comments := strings.Builder{}, strings.Repeat("# c\n", 1_000_000)
	for i := range 50_000 {
		fmt.Fprintf(&paths, "  - {path: /p%d}\n", i)
	}
	before, _, _ := strings.Cut(targetRequest, "  - path: /orders")
	for _, test := range []struct{ name, text, want string }{
		{"comments", userRequest + comments, "NatsUser team-a/orders  valid"},
		{"paths", before + paths.String(), "spec.paths: has 50000 entries"},
		{"a kind", strings.Replace(userRequest, "NatsUser", strings.Repeat("K", 3<<20), 1), "is no kind of Baleen's"},
		{"too much", strings.Repeat(comments, 5), "it has more than 16 MiB: give it in parts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.write(w.request, test.text)
			_, stdout, stderr := w.baleen("validate", "-f", w.request)
			if text := stdout + stderr; !strings.Contains(text, test.want) || len(text) > 10_000 {
				t.Errorf("%.300s", text)
			}
		})
	}
}

// Where an API server has a message for a text that does not match, validate and the
// pipelines say the same.
func TestMessagesAreThoseOfTheAPIServer(t *testing.T) {
	count := 0
	for kind, schema := range schemas() {
		walkRules("spec", schema.Properties["spec"], func(path string, rule crd.Rule) {
			pattern, isPattern := rule.Pattern()
			if !isPattern {
				return
			}
			count++
			t.Run(kind+"."+path, func(t *testing.T) {
				const none = "é\nX" // matches no pattern
				if regexp.MustCompile(pattern).MatchString(none) {
					t.Fatalf("%s matches %q", pattern, none)
				}
				text := none
				if strings.HasPrefix(rule.Message, "contains a character") {
					text = "/" + none // another rule wants the slash
				}
				object := map[string]any{"apiVersion": "baleen.dev/v1alpha1", "kind": kind, "metadata": map[string]any{"name": "a", "namespace": "b"}}
				at := set(object, "", strings.Split(path, "."), text)
				problems := validateDocument(document{object: object}).Problems
				if !slices.ContainsFunc(problems, func(p fieldProblem) bool { return p.Field == at && strings.HasSuffix(" "+p.Message, " "+rule.Message) }) {
					t.Errorf("of %s it says %q, and an API server %q", at, problems, rule.Message)
				}
				var invalid *field.InvalidError
				err := checkByPipeline(&unstructured.Unstructured{Object: object})
				if !errors.As(err, &invalid) || !slices.ContainsFunc(invalid.All, func(s string) bool { return strings.HasSuffix(s, " "+rule.Message) }) {
					t.Errorf("the pipeline says %v, and an API server %q", err, rule.Message)
				}
			})
		})
	}
	if count < 71-1 { // the name of a token has its rule elsewhere
		t.Errorf("%d rules were tried", count)
	}
}

// walkRules visits the rules of a schema and all below it.
func walkRules(path string, s *crd.Schema, visit func(path string, rule crd.Rule)) {
	for _, rule := range s.Rules {
		visit(path, rule)
	}
	for name, of := range s.Properties {
		walkRules(path+"."+name, of, visit)
	}
	if s.Items != nil {
		walkRules(path+"[]", s.Items, visit)
	}
	if s.AdditionalProperties != nil {
		walkRules(path+"{}", s.AdditionalProperties, visit)
	}
}

// set makes the maps and lists of a path and puts a value at its end. It returns the
// path with its indexes and keys.
func set(in map[string]any, at string, path []string, value any) string {
	name, isList := strings.CutSuffix(path[0], "[]")
	name, isMap := strings.CutSuffix(name, "{}")
	at = strings.TrimPrefix(at+"."+name, ".")
	switch {
	case isMap:
		in[name] = map[string]any{"a": value}
		return at + "[a]"
	case len(path) == 1 && isList:
		in[name] = []any{value}
		return at + "[0]"
	case len(path) == 1:
		in[name] = value
		return at
	}
	inner := map[string]any{"path": "/a"} // of a path that is wrong nothing else is looked at
	if name != "paths" {
		delete(inner, "path")
	}
	if in[name] = inner; isList {
		in[name], at = []any{inner}, at+"[0]"
	}
	return set(inner, at, path[1:], value)
}
