package main

import (
	"bytes"
	"errors"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/promises"
)

// published is a platform on which the example of a target and of a user are.
func published(t *testing.T) *world {
	t.Helper()
	w := newUsersWorld(t)
	w.at(day0)
	w.request = "../../promises/api-aggregator-target/example.yaml"
	w.at(day0)
	return w
}

func example(t *testing.T, promise string, replace ...string) string {
	t.Helper()
	data, err := os.ReadFile("../../promises/" + promise + "/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(replace...).Replace(string(data))
}

func TestDiff(t *testing.T) {
	const now = "2026-08-01T13:00:00Z"
	w := published(t)
	for _, test := range []struct {
		name, request  string
		code           int
		stdout, stderr []string
	}{
		{"nothing of a target", example(t, "api-aggregator-target"), 0, nil, nil},
		{"nothing of a user", example(t, "nats-user"), 0, nil, nil},
		{"nothing of an account", example(t, "nats-account"), 0, nil, nil},
		{"a port", example(t, "api-aggregator-target", "8080", "8081"), 1, []string{
			"diff -u -N a/eu-1/", "--- a/eu-1/", "+++ b/us-1/", "\n-      port: 8080\n+      port: 8081\n",
		}, nil},
		{"a path less", strings.Split(targetRequest, "  - path: /webhooks")[0], 1, []string{"+++ /dev/null\n", "-kind: HTTPRoute\n"}, nil},
		{"a new target", strings.NewReplacer("name: orders\n", "name: billing\n", "path: /orders", "path: /orders/billing", "/webhooks/stripe", "/orders/paid").Replace(targetRequest), 1,
			[]string{"--- /dev/null\n+++ b/eu-1/", "+kind: HTTPRoute\n"}, nil},
		{"a conflict", strings.NewReplacer("name: orders\n", "name: billing\n", "team-a", "team-b").Replace(targetRequest), 0, nil,
			[]string{"ApiAggregatorTarget team-b/billing would not be ready", "NotDelegated"}},
		{"the Secret of a user", example(t, "nats-user", "orders-nats", "other"), 1, []string{"+    nats.creds: Ag", "…\n", "+      name: other\n", "+++ /dev/null\n"}, nil},
		{"another kind besides", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n" + example(t, "nats-user"), 0, nil, []string{"Secret a: skipped, because it is of no kind of Baleen's"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.with(t)
			before := w.snapshot()
			file := filepath.Join(t.TempDir(), "request.yaml")
			w.write(file, test.request)
			code, stdout, stderr := w.baleen("diff", "-f", file, "--platform", w.platform, "--now", now)
			if code != test.code || (test.stdout == nil) != (stdout == "") || (test.stderr == nil) != (stderr == "") {
				t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
			}
			for _, want := range test.stdout {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is not in\n%s", want, stdout)
				}
			}
			for _, want := range test.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q is not in %s", want, stderr)
				}
			}
			if w.snapshot() != before {
				t.Error("the platform has changed")
			}
		})
	}
}

// A target finds the aggregator that stands before it in the file.
func TestDiffOfRequestsThatBelongTogether(t *testing.T) {
	w := newUsersWorld(t)
	w.request = filepath.Join(t.TempDir(), "request.yaml")
	w.write(w.request, strings.NewReplacer("public-api", "shop", "api.example.com", "shop.example.com").Replace(aggregatorRequest)+
		"---\n"+strings.Replace(targetRequest, "public-api", "shop", 1))
	code, stdout, stderr := w.baleen("diff", "-f", w.request, "--platform", w.platform, "--now", day0)
	if code != 1 || strings.Contains(stderr, "AggregatorNotFound") || !strings.Contains(stdout, "+kind: HTTPRoute\n") || !strings.Contains(stdout, "shop.example.com") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// A folder is the files in it, and a refusal can fail a check of pull requests.
func TestDiffOfAFolder(t *testing.T) {
	w := published(t)
	folder := t.TempDir()
	w.write(filepath.Join(folder, "a.yaml"), example(t, "api-aggregator-target"))
	w.write(filepath.Join(folder, "b.yml"), strings.NewReplacer("name: orders\n", "name: billing\n", "team-a", "team-b").Replace(targetRequest))
	w.write(filepath.Join(folder, "notes.txt"), "a: [")
	w.write(filepath.Join(folder, "below", "c.yaml"), "a: [")
	args := []string{"diff", "-f", folder, "--platform", w.platform}
	const want = "ApiAggregatorTarget team-b/billing would not be ready"
	for _, test := range []struct {
		args []string
		code int
	}{{args, 0}, {append(args, "--fail-on-refusal"), exitDiffFailed}} {
		if code, stdout, stderr := w.baleen(test.args...); code != test.code || stdout != "" || strings.Count(stderr, want) != 1 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d: %s%s", test.args, code, stdout, stderr)
		}
	}
}

func TestDiffRefuses(t *testing.T) {
	w := newUsersWorld(t)
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	w.write(wrong, strings.Replace(userRequest, "ttl: 720h", "ttl: 720", 1))
	good := w.request
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no file", []string{"diff", "--platform", w.platform}, "name the request: baleen diff -f FILE"},
		{"a file without -f", []string{"diff", good}, "is not taken by itself: write baleen diff -f " + good},
		{"no platform", []string{"diff", "-f", good}, "no kubeconfig leads to the platform cluster: name one with --kubeconfig, or a folder with --platform"},
		{"a kubeconfig that is missing", []string{"diff", "-f", good, "--kubeconfig", "x"}, "the kubeconfig of the platform cluster cannot be used"},
		{"a kubeconfig and a folder", []string{"diff", "-f", good, "--kubeconfig", "x", "--platform", w.platform}, "--platform and --kubeconfig both name the platform cluster"},
		{"a folder that is missing", []string{"diff", "-f", good, "--platform", w.platform + "-missing"}, "-missing\" cannot be opened; make it or name another"},
		{"a file that is missing", []string{"diff", "-f", "missing.yaml", "--platform", w.platform}, "missing.yaml cannot be read"},
		{"a wrong time", []string{"diff", "-f", good, "--platform", w.platform, "--now", "noon"}, `--now "noon" is not a time`},
		{"an unknown flag", []string{"diff", "--bogus"}, "unknown flag: --bogus"},
		{"a request that is refused", []string{"diff", "-f", wrong, "--platform", w.platform}, "NatsUser team-a/orders cannot be applied: spec.credentials.ttl: must be text, not 720: it has no unit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := w.with(t).baleen(test.args...)
			if code != exitDiffFailed || stdout != "" || !strings.Contains(stderr, test.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, test.want)
			}
		})
	}
}

func TestDiffOf(t *testing.T) {
	files := func(pairs ...string) map[string][]byte {
		all := map[string][]byte{}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = []byte(pairs[i+1])
		}
		return all
	}
	for _, test := range []struct {
		name          string
		before, after map[string][]byte
		want          string
	}{
		{"nothing", files("a", "1\n"), files("a", "1\n"), ""},
		{"changed", files("a", "1\n2\n"), files("a", "1\n3\n"), "diff -u -N a/eu-1/a b/eu-1/a\n--- a/eu-1/a\n+++ b/eu-1/a\n@@ -1,2 +1,2 @@\n 1\n-2\n+3\n"},
		{"added", nil, files("a", "1\n"), "diff -u -N a/eu-1/a b/eu-1/a\n--- /dev/null\n+++ b/eu-1/a\n@@ -0,0 +1 @@\n+1\n"},
		{"removed", files("a", "1\n"), nil, "diff -u -N a/eu-1/a b/eu-1/a\n--- a/eu-1/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n"},
		{"an empty file added", nil, files("a", ""), "diff -u -N a/eu-1/a b/eu-1/a\n--- /dev/null\n+++ b/eu-1/a\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, err := diffOf([]simulator.Destination{{Name: "eu-1", Before: test.before, After: test.after}})
			var shown bytes.Buffer
			if err == nil {
				err = writeDiff(&shown, text)
			}
			if err != nil || shown.String() != test.want {
				t.Errorf("%v\n%s\nwant\n%s", err, shown.String(), test.want)
			}
		})
	}
}

// A cluster is read as a folder is, and only read.
func TestDiffOfACluster(t *testing.T) {
	w := published(t)
	folder, err := platform.OpenFolder(w.platform, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := platformtest.Serve(folder, append(promises.Kinds(),
		platform.ConfigMap, platform.Secret, platform.Pod, platform.Job, platform.Work, platform.WorkPlacement, platform.Destination)...)
	var mutex sync.Mutex
	verbs := map[string]bool{}
	server.Observe = func(verb string, _ platform.Kind, _, _, _ string) error {
		mutex.Lock()
		defer mutex.Unlock()
		verbs[verb] = true
		return nil
	}
	api := httptest.NewServer(server)
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	w.write(kubeconfig, "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a}}]\nclusters: [{name: a, cluster: {server: '"+api.URL+"'}}]\n")
	for _, test := range []struct{ name, request string }{
		{"nothing", example(t, "nats-user")},
		{"a port", example(t, "api-aggregator-target", "8080", "8081")},
		{"the Secret of a user", example(t, "nats-user", "orders-nats", "other")},
		{"a new aggregator and its target", strings.NewReplacer("public-api", "shop", "api.example.com", "shop.example.com").Replace(aggregatorRequest) +
			"---\n" + strings.NewReplacer("public-api", "shop", "name: orders\n", "name: shop\n").Replace(targetRequest)},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.with(t)
			before := w.snapshot()
			file := filepath.Join(t.TempDir(), "request.yaml")
			w.write(file, test.request)
			type said struct {
				code           int
				stdout, stderr string
			}
			var is, was said
			is.code, is.stdout, is.stderr = w.baleen("diff", "-f", file, "--kubeconfig", kubeconfig, "--now", "2026-08-01T13:00:00Z")
			was.code, was.stdout, was.stderr = w.baleen("diff", "-f", file, "--platform", w.platform, "--now", "2026-08-01T13:00:00Z")
			for _, s := range []*said{&is, &was} { // no two runs make or seal the same credential
				s.stdout = regexp.MustCompile(`Ag[\w+/]{14}…|U[A-Z2-7]{55}`).ReplaceAllString(s.stdout, "…")
			}
			if is.code == exitDiffFailed || is != was {
				t.Errorf("of the cluster it says %+v, and of a folder %+v", is, was)
			}
			if w.snapshot() != before {
				t.Error("the platform has changed")
			}
		})
	}
	if want := map[string]bool{"get": true, "list": true}; !maps.Equal(verbs, want) {
		t.Errorf("the API server was asked to %v", verbs)
	}
}

// A folder is read where something of a platform may be, and nothing else is touched:
// not what lies beside it on the disk, and not where a link leads that leaves it.
func TestDiffReadsThePlatformAlone(t *testing.T) {
	w := published(t)
	w.request = filepath.Join(t.TempDir(), "request.yaml") // the former is a file of the project
	outside := filepath.Join(t.TempDir(), "outside.yaml")
	w.write(outside, "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: team-a}\nstringData: {a: private}\n")
	if err := errors.Join(
		syscall.Mkfifo(filepath.Join(w.platform, "pipe"), 0o600), // to copy it would take forever
		syscall.Mkfifo(filepath.Join(w.platform, "team-a", "pipe"), 0o600),
		os.Symlink("/", filepath.Join(w.platform, "team-z")),
		os.Symlink(outside, filepath.Join(w.platform, "link.yaml")),
	); err != nil {
		t.Fatal(err)
	}
	w.write(w.request, targetRequest)
	code, stdout, stderr := w.baleen("diff", "-f", w.request, "--platform", w.platform)
	if code != exitDiffFailed || !strings.Contains(stderr, "link.yaml: path escapes from parent") || strings.Contains(stdout+stderr, "private") {
		t.Errorf("with a link that leaves it: exit code %d: %s%s", code, stdout, stderr)
	}
	if err := os.Remove(filepath.Join(w.platform, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := w.baleen("diff", "-f", w.request, "--platform", w.platform); code == exitDiffFailed {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// What is in a Secret of the platform is never shown, wherever it stands.
func TestDiffShowsNoSecrets(t *testing.T) {
	w := published(t)
	w.request = filepath.Join(t.TempDir(), "request.yaml") // the former is a file of the project
	const value = "c2VjcmV0LW9mLXNvbWVib2R5"
	for _, name := range []string{"commerce-signing", "orders-nats"} {
		for _, namespace := range []string{"team-a", "baleen-system"} {
			w.write(filepath.Join(w.platform, namespace, name+"-copy.yaml"), "apiVersion: v1\nkind: Secret\nmetadata: {name: "+name+"-copy, namespace: "+namespace+"}\ndata: {seed: "+value+"}\n")
		}
	}
	for _, request := range []string{
		example(t, "nats-user", "orders-nats", "other"),
		strings.Replace(accountRequest, "commerce-signing", "commerce-signing-copy", 1),
		example(t, "api-aggregator-target", "8080", "8081"),
	} {
		w.write(w.request, request)
		_, stdout, stderr := w.baleen("diff", "-f", w.request, "--platform", w.platform)
		if said := stdout + stderr; strings.Contains(said, value) || strings.Contains(said, "secret-of-somebody") || said == "" {
			t.Errorf("it says %s", said)
		}
	}
}
