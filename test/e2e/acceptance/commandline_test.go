package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// said is what the command line answers.
type said struct {
	code           int
	stdout, stderr string
}

// command runs the command line as the platform's administrator, who gives it no
// flag that says where the platform is.
func command(t testing.TB, stdin string, args ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "baleen"), args...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+world.Kubeconfigs["platform"])
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Fatalf("baleen %s: %v", strings.Join(args, " "), err)
	}
	return said{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// answers runs the command line with -o json and reads what it says.
func answers(t testing.TB, into any, args ...string) {
	t.Helper()
	s := command(t, "", append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(s.stdout), into); err != nil {
		t.Fatalf("baleen %s: %v: %d %s%s", strings.Join(args, " "), err, s.code, s.stdout, s.stderr)
	}
}

// commandLine asks of a real platform what the command line's tests ask of folders.
func commandLine(s *story) {
	t := s.T
	published := target("team-a", "shell", "shell", "{path: /shell}")
	hub().apply(t, published)
	hub().apply(t, natsUser("team-a", "shell"))
	becomes(t, apiTargets, "team-a", "shell", "True/Published")
	becomes(t, natsUsers, "team-a", "shell", "True/Delivered")
	quiet(t, apiTargets, "team-a", "shell")
	quiet(t, natsUsers, "team-a", "shell")

	for _, request := range []string{"apiaggregatortarget/shell", "natsuser/shell"} {
		within(t, time.Minute, func() error { // Kratix may be about to write into Git
			is := command(t, "", "status", request, "-n", "team-a", "-o", "json")
			for _, want := range []string{`"eu-1"`, `"us-1"`, `"True"`} {
				if is.code != 0 || is.stderr != "" || !strings.Contains(is.stdout, want) {
					return fmt.Errorf("the status of %s has no %s: %+v", request, want, is)
				}
			}
			return nil
		})
		if is := command(t, "", "status", request, "-n", "team-a"); is.code != 0 || !strings.Contains(is.stdout, "shell") {
			t.Errorf("the status of %s is %+v", request, is)
		}
	}
	s.holds("baleen status follows a request to both clusters")

	var routes, credentials []map[string]any
	answers(t, &routes, "routes", "-n", "team-a")
	answers(t, &credentials, "credentials", "-n", "team-a")
	if text := fmt.Sprint(routes); !strings.Contains(text, "/shell") || !strings.Contains(text, "team-a/shell") {
		t.Errorf("the routes are %s", text)
	}
	if text := fmt.Sprint(credentials); !strings.Contains(text, "eu-1") || !strings.Contains(text, "us-1") {
		t.Errorf("the credentials are %s", text)
	}
	s.holds("baleen routes and baleen credentials show them")

	var checkups []struct {
		Part     string
		Findings []struct{ Problem, Remedy string }
	}
	answers(t, &checkups, "doctor")
	if len(checkups) < 7 {
		t.Errorf("doctor looked at %v", checkups)
	}
	for _, c := range checkups {
		if len(c.Findings) > 0 && c.Part != "requests" { // of which other stories have some that fail
			t.Errorf("doctor says of the %s: %v", c.Part, c.Findings)
		}
	}
	s.holds("baleen doctor finds nothing wrong with the installation")

	sameSentences(t)
	s.holds("the API server refuses a request with the sentence of baleen validate")
	diffs(t, published)
	s.holds("baleen diff shows what a request would change, and changes nothing")
	laterRules(t)
	s.holds("a stored object that a later rule refuses can be changed elsewhere, and deleted")
}

// sameSentences holds what the API server says of a request to what validate says.
func sameSentences(t testing.TB) {
	t.Helper()
	for _, test := range []struct{ request, by, says string }{
		{natsUser("team-a", "shell"), strings.Replace(natsUser("team-a", "shell"), "{name: shell-nats", "{name: Shell_nats", 1),
			"is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"},
		{natsUser("team-a", "shell"), natsUser("team-a", "shell", "tags: [Gold!]"), "is not a tag such as stage:prod: at most 128 of a-z, 0-9, -, _, ., : and /"},
		{natsUser("team-a", "shell"), natsUser("team-a", "shell", "credentials: {ttl: a week}"), "is not a duration such as 90m, 1h30m or 30d: write numbers"},
		{target("team-a", "shell", "shell", "{path: /shell}"), target("team-a", "shell", "-shell", "{path: /shell}"),
			"is not the name of a Service: at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"},
		{target("team-a", "shell", "shell", "{path: /shell}"), target("team-a", "shell", "shell", "{path: /Łódź}"), "contains a character that a path may not have: percent-encode"},
	} {
		if is := command(t, test.request, "validate", "-f", "-"); is.code != 0 {
			t.Errorf("validate refuses %s%s", is.stdout, is.stderr)
		}
		if is := command(t, test.by, "validate", "-f", "-"); is.code != 1 || !strings.Contains(is.stdout, test.says) {
			t.Errorf("validate says %+v and not %q", is, test.says)
		}
		if _, err := hub().tryKubectl(t.Context(), test.by, "apply", "--server-side", "--dry-run=server", "-f", "-"); err == nil ||
			!strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "should match") {
			t.Errorf("the API server says %v and not %q", err, test.says)
		}
	}
}

// diffs compares requests with what they have, and looks whether anything was written.
func diffs(t testing.TB, published string) {
	t.Helper()
	versions := func() string {
		var all []string
		for _, list := range [][]unstructured.Unstructured{
			hub().list(t, apiTargets, "team-a"), hub().list(t, natsUsers, "team-a"), hub().list(t, works, "team-a"), hub().list(t, configMaps, "baleen-state"),
		} {
			for _, o := range list {
				if strings.Contains(o.GetName(), "shell") || strings.Contains(fmt.Sprint(o.Object["data"]), "team-a/shell") {
					all = append(all, o.GetKind()+" "+o.GetName()+" "+o.GetResourceVersion())
				}
			}
		}
		return strings.Join(all, "\n")
	}
	before := versions()
	for _, test := range []struct {
		name, request string
		code          int
		want          []string
	}{
		{"a target as it is", published, 0, nil},
		{"a user as it is", natsUser("team-a", "shell"), 0, nil},
		{"another port", strings.Replace(published, "port: 8080", "port: 8081", 1), 1, []string{"b/eu-1/", "b/us-1/", "+      port: 8081"}},
		{"another path", strings.Replace(published, "/shell", "/shells", 1), 1, []string{"+++ /dev/null", "+        value: /shells"}},
		{"another Secret", strings.Replace(natsUser("team-a", "shell"), "shell-nats", "shell-other", 1), 1, []string{"+kind: SealedSecret", "+  name: shell-other", "…"}},
		{"a new target", target("team-a", "shell-new", "shell", "{path: /shell-new}"), 1, []string{"+kind: HTTPRoute"}},
	} {
		is := command(t, test.request, "diff", "-f", "-")
		if is.code != test.code || (test.code == 0 && is.stdout+is.stderr != "") {
			t.Errorf("%s: %+v", test.name, is)
		}
		for _, want := range test.want {
			if !strings.Contains(is.stdout, want) {
				t.Errorf("%s: there is no %q in %+v", test.name, want, is)
			}
		}
	}
	if hub().get(t, apiTargets, "team-a", "shell-new") != nil {
		t.Error("diff has made a request")
	}
	if after := versions(); before == "" || after != before {
		t.Errorf("before it was\n%s\nand after\n%s", before, after)
	}
}

// laterRules has a definition get a rule that an object, stored before, breaks.
func laterRules(t testing.TB) {
	t.Helper()
	definition := func(rules string) string {
		return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: notes.later.example.com}
spec:
  group: later.example.com
  scope: Namespaced
  names: {kind: Note, plural: notes, singular: note}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {name: {type: string, maxLength: 63` + rules + `}, other: {type: string}}}
`
	}
	note := func(name, other string) string {
		return "apiVersion: later.example.com/v1\nkind: Note\nmetadata: {name: a, namespace: team-a, finalizers: [later.example.com/wait]}\nspec: {name: " + name + ", other: " + other + "}\n"
	}
	notes := gvr{Group: "later.example.com", Version: "v1", Resource: "notes"}
	t.Cleanup(func() {
		if _, err := hub().tryKubectl(context.Background(), "", "delete", "crd", "notes.later.example.com", "--ignore-not-found", "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	hub().apply(t, definition(""))
	within(t, 30*time.Second, func() error {
		_, err := hub().tryKubectl(t.Context(), note("Upper", "x"), "apply", "-f", "-")
		return err
	})
	hub().apply(t, definition(`, x-kubernetes-validations: [{rule: "self.matches(r'^[a-z]+$')", message: is not a word of a-z}]`))
	within(t, 30*time.Second, func() error { // until the rule holds
		if out, err := hub().tryKubectl(t.Context(), note("Other", "x"), "apply", "-f", "-"); err == nil || !strings.Contains(err.Error(), `spec.name: Invalid value: "Other": is not a word of a-z`) {
			return fmt.Errorf("the API server says %v%s", err, out)
		}
		return nil
	})
	hub().kubectl(t, note("Upper", "later"), "apply", "-f", "-")
	hub().delete(t, notes, "team-a", "a")
	if hub().get(t, notes, "team-a", "a") == nil {
		t.Error("it is gone before its finalizer is")
	}
	hub().patch(t, notes, "team-a", "a", `{"metadata": {"finalizers": null}}`)
	within(t, 30*time.Second, func() error {
		if hub().get(t, notes, "team-a", "a") != nil {
			return errors.New("it is still there")
		}
		return nil
	})
}
