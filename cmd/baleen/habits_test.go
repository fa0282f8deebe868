package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/promises"
)

// decode reads JSON that a command printed.
func decode[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

// every calls a function for each command that people see.
func every(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			every(sub, do)
		}
	}
}

// What holds for one command holds for all.
func TestEveryCommand(t *testing.T) {
	every(rootCommand(), func(cmd *cobra.Command) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			if !strings.Contains(cmd.Example, "  baleen") {
				t.Error("it has no example")
			}
			for name, shorthand := range map[string]string{"output": "o", "namespace": "n", "all-namespaces": "A", "filename": "f"} {
				if flag := cmd.Flags().Lookup(name); flag != nil && flag.Shorthand != shorthand {
					t.Errorf("--%s is short for -%s", name, flag.Shorthand)
				}
			}
			if flag := cmd.Flags().Lookup("kubeconfig"); flag != nil && !flag.Hidden && len(flag.Annotations[ofPlatform]) == 0 {
				t.Error("--kubeconfig is not that of the platform cluster")
			}
			cmd.Flags().VisitAll(func(flag *pflag.Flag) {
				if len(flag.Annotations[ofPlatform]) > 0 && cmd.Flags().Lookup("context") == nil {
					t.Errorf("it has --%s and no --context", flag.Name)
				}
			})
		})
	})
}

// Who misspells a word is told the one that may be meant.
func TestDidYouMean(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"a command", []string{"rotat"}, `unknown command "rotat" for "baleen": did you mean rotate?`},
		{"one of several", []string{"r"}, `did you mean rotate or routes or run?`},
		{"a command below another", []string{"clusters", "lst"}, `unknown command "lst" for "baleen clusters": did you mean list?`},
		{"no command", []string{"frobnicate"}, "`baleen --help` lists those there are"},
		{"a flag", []string{"routes", "--problem", "x"}, "unknown flag: --problem: did you mean --problems?"},
		{"a flag that is like none", []string{"routes", "--xyz"}, "unknown flag: --xyz"},
		{"--output", []string{"routes", "-o", "jsno"}, `--output "jsno" is neither table, wide, json, yaml nor name: did you mean json?`},
		{"--output, by its beginning", []string{"routes", "-o", "y"}, "did you mean yaml?"},
		{"--action", w.args("--action", "Delet"), `--action "Delet" is neither configure nor delete: did you mean delete?`},
		{"--kratix", w.args("--kratix", "lastest"), `--kratix "lastest" is neither latest nor 2025-08: did you mean latest?`},
		{"--provider", []string{"demo", "--provider", "synada"}, `--provider "synada" is neither jwt nor synadia: did you mean synadia?`},
	} {
		t.Run(test.name, func(t *testing.T) { w.with(t).fails(test.args, test.want) })
	}
	w.fails([]string{"routes", "-o", "xml"}, `--output "xml" is neither table, wide, json, yaml nor name`)
	if got := meantValue("xml", outputs); got != "" {
		t.Errorf("xml is taken for %s", got)
	}
}

// completes asks for completions of the last word and returns them without what a
// shell does with them.
func (w *world) completes(args ...string) string {
	w.Helper()
	code, stdout, _ := w.baleen(append([]string{"__complete"}, args...)...)
	words, _, found := strings.Cut(stdout, ":")
	if code != 0 || !found {
		w.Fatalf("exit code %d: %s", code, stdout)
	}
	return strings.Join(strings.Fields(words), " ")
}

func TestCompletion(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	kinds := append(promises.Kinds(), platform.ConfigMap, platform.Destination)
	file := w.kubeconfig(platformtest.Serve(w.folder(), kinds...))
	broken := w.kubeconfig(http.NotFoundHandler())
	on := []string{"--platform", w.platform}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"output", []string{"routes", "-o", ""}, "table wide json yaml name"},
		{"kratix", []string{"run", "--kratix", ""}, "latest 2025-08"},
		{"action", []string{"run", "--action", ""}, "configure delete"},
		{"requests", []string{"run", ""}, "yaml yml json"},
		{"contexts", []string{"routes", "--kubeconfig", file, "--context", ""}, "c"},
		{"namespaces", append([]string{"credentials"}, append(on, "-n", "")...), "platform team-a"},
		{"namespaces of a cluster", []string{"credentials", "--kubeconfig", file, "-n", ""}, "platform team-a"},
		{"accounts", append([]string{"credentials"}, append(on, "--account", "")...), "commerce"},
		{"clusters", append([]string{"credentials"}, append(on, "--cluster", "")...), "dev-1 eu-1 us-1"},
		{"users", append([]string{"rotate"}, append(on, "")...), "team-a/orders"},
		{"users of a namespace", append([]string{"rotate"}, append(on, "-n", "team-a", "")...), "orders"},
		{"a second user", append([]string{"rotate", "team-a/orders"}, append(on, "")...), ""},
		{"clusters to trust", append([]string{"clusters", "trust"}, append(on, "")...), "dev-1 eu-1 us-1"},
		{"clusters to trust, of a cluster", []string{"clusters", "trust", "--platform-kubeconfig", file, ""}, "dev-1 eu-1 us-1"},
		{"by the old name", []string{"rotate", "--kubeconfig", file, "--destination", ""}, "dev-1 eu-1 us-1"},
		{"no cluster", []string{"rotate", "--kubeconfig", filepath.Join(t.TempDir(), "none"), ""}, ""},
		{"a cluster without Baleen", []string{"rotate", "--kubeconfig", broken, ""}, ""},
		{"no folder", []string{"rotate", "--platform", w.platform + "x", ""}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.with(t).completes(test.args...); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// --kubeconfig is one cluster in every command: where it was another, it is refused
// with both flags that may be meant, before anything is asked of either.
func TestTrustKubeconfigIsRefused(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot()
	asked := w.kubeconfig(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was asked", r.Method, r.URL) }))
	t.Setenv("KUBECONFIG", asked)
	for _, test := range []struct {
		name string
		args []string
	}{
		{"as before", []string{"--kubeconfig", asked}},
		{"as from the next release on", []string{"--kubeconfig", asked, "--cluster-kubeconfig", asked}},
		{"beside the old name", []string{"--platform-kubeconfig", asked, "--kubeconfig=" + asked}},
		{"with a folder", []string{"--platform", w.platform, "--kubeconfig", asked}},
		{"empty", []string{"--kubeconfig", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.with(t)
			for _, flag := range []string{"with --cluster-kubeconfig", "with --platform-kubeconfig", "--kubeconfig is refused"} {
				w.fails(append([]string{"clusters", "trust", "eu-1"}, test.args...), flag)
			}
		})
	}
	if after := w.snapshot(); after != before {
		t.Errorf("something was written: %s", after)
	}
}

// An old name or value does what it did, with a word on stderr.
func TestOldSpellings(t *testing.T) {
	w := newWorld(t)
	w.asks("{}")
	file := w.kubeconfig(platformtest.Serve(w.folder(), platform.Destination, platform.ConfigMap))
	for _, test := range []struct {
		name    string
		args    []string
		warning string
	}{
		{"clusters list --platform-kubeconfig", []string{"clusters", "list", "--platform-kubeconfig", file}, "--platform-kubeconfig is an old name: write --kubeconfig"},
		{"--kratix h", w.args("--kratix", "h"), "--kratix h is an old value: write --kratix latest"},
		{"--kratix m", w.args("--kratix", "m"), "--kratix m is an old value: write --kratix 2025-08"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := w.with(t).baleen(test.args...)
			if code != 0 || stdout == "" || stderr != "baleen: warning: "+test.warning+"\n" {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

// A context leads to its cluster, and never to another.
func TestContext(t *testing.T) {
	w := newWorld(t)
	file := w.kubeconfig(platformtest.Serve(w.folder(), platform.Destination, platform.ConfigMap))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.write(file, strings.Replace(string(data), "current-context: c, contexts: [", "current-context: other, contexts: [{name: other, context: {cluster: none, user: u}}, ", 1))
	t.Setenv("KUBECONFIG", file)
	if code, stdout, stderr := w.baleen("clusters", "list", "--context", "c", "-o", "name"); code != 0 || stdout != "destination.platform.kratix.io/eu-1\ndestination.platform.kratix.io/us-1\n" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	w.fails([]string{"clusters", "list", "--context", "d"}, `the kubeconfig of the platform cluster cannot be used: context "d" does not exist`)
	w.fails([]string{"routes", "--context", "c", "--platform", w.platform}, "--platform and --context both name the platform cluster")
}

// What is asked for is shown, and nothing that is not well is lost on the way.
func TestCredentialsFilters(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	w.ledger(func(l *ledger.Ledger) { l.Records[1].State = ledger.Retiring })
	w.write(filepath.Join(w.platform, "web", "NatsUser.baleen.dev", "shop.yaml"),
		"apiVersion: baleen.dev/v1alpha1\nkind: NatsUser\nmetadata: {name: shop, namespace: web}\nspec: {accountRef: {name: other}}\n")
	const eu, us, shop = "orders eu-1 Active", "orders us-1 Retiring", "shop  Pending"
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"all", nil, 0, []string{us, shop, eu}},
		{"-A", []string{"-A"}, 0, []string{us, shop, eu}},
		{"a namespace", []string{"-n", "team-a"}, 0, []string{us, eu}},
		{"an account", []string{"--account", "commerce"}, 0, []string{us, eu}},
		{"a cluster", []string{"--cluster", "eu-1"}, 0, []string{shop, eu}},
		{"problems", []string{"--problems"}, 0, []string{us, shop}},
		{"problems of a cluster", []string{"--problems", "--cluster", "us-1", "--namespace=team-a"}, 0, []string{us}},
		{"exit code", []string{"--exit-code"}, 3, []string{us, shop, eu}},
		{"exit code of what is well", []string{"--exit-code", "-n", "team-a", "--cluster", "eu-1"}, 0, []string{eu}},
		{"nothing", []string{"--exit-code", "-n", "team-b"}, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.with(t)
			args := w.credentials("2026-08-01T13:00:00Z", test.args...)
			code, stdout, stderr := w.baleen(append(args, "-o", "json")...)
			got := []string{}
			for _, r := range decode[[]credentialRow](t, stdout) {
				got = append(got, r.Name+" "+r.Destination+" "+r.State)
			}
			if code != test.code || stderr != "" || !slices.Equal(got, test.want) {
				t.Errorf("exit code %d, %q, want %q: %s", code, got, test.want, stderr)
			}
			if code, stdout, _ := w.baleen(args...); code != test.code || test.want == nil && stdout != "No credential and no NatsUser matches what you asked for.\n" {
				t.Errorf("exit code %d: %s", code, stdout)
			}
		})
	}
	w.fails(w.credentials(day0, "-A", "-n", "team-a"), "--all-namespaces and --namespace team-a contradict each other")
}

func TestRoutesFilters(t *testing.T) {
	w := newWorld(t)
	placed := strings.Replace(aggregatorYAML, "spec: {", "spec: {placement: {matchLabels: {destination: eu-1}}, ", 1)
	w.write(filepath.Join(w.platform, "platform", "ApiAggregator.baleen.dev", "api.yaml"), placed)
	w.write(filepath.Join(w.platform, "team-a", "ApiAggregatorTarget.baleen.dev", "shop.yaml"), targetYAML)
	w.write(filepath.Join(w.platform, "team-b", "ApiAggregatorTarget.baleen.dev", "lost.yaml"),
		strings.NewReplacer("name: shop", "name: lost", "team-a", "team-b", "name: api,", "name: gone,").Replace(targetYAML))
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"all", nil, 0, "lost/new lost/z shop/new shop/z lost/a shop/a"},
		{"-A", []string{"-A"}, 0, "lost/new lost/z shop/new shop/z lost/a shop/a"},
		{"a namespace", []string{"-n", "team-a"}, 0, "shop/new shop/z shop/a"},
		{"a cluster", []string{"--cluster", "eu-1"}, 0, "lost/new lost/z shop/new shop/z lost/a shop/a"},
		{"a cluster on which it is not", []string{"--cluster", "us-1"}, 0, "lost/new lost/z lost/a"},
		{"problems", []string{"--problems", "-n", "team-a"}, 0, "shop/new shop/z"},
		{"exit code", []string{"--exit-code"}, 3, "lost/new lost/z shop/new shop/z lost/a shop/a"},
		{"nothing", []string{"--exit-code", "-n", "team-c"}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.with(t)
			args := append([]string{"routes", "--platform", w.platform}, test.args...)
			code, stdout, stderr := w.baleen(append(args, "-o", "json")...)
			var got []string
			for _, r := range decode[[]route](t, stdout) {
				got = append(got, filepath.Base(r.Owner)+r.Path)
			}
			if code != test.code || stderr != "" || strings.Join(got, " ") != test.want {
				t.Errorf("exit code %d, %q, want %q: %s", code, got, test.want, stderr)
			}
			if _, stdout, _ := w.baleen(args...); test.want == "" && stdout != "No path matches what you asked for.\n" {
				t.Errorf("it prints %s", stdout)
			}
		})
	}
	w.fails([]string{"routes", "--platform", w.platform, "--cluster", "ap-1"}, "the platform has no Destination ap-1: see `baleen clusters list`")
}

// Every command prints in every form.
func TestOutputs(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	w.write(filepath.Join(w.platform, "platform", "ApiAggregator.baleen.dev", "api.yaml"), aggregatorYAML)
	w.write(filepath.Join(w.platform, "team-a", "ApiAggregatorTarget.baleen.dev", "shop.yaml"), targetYAML)
	run := []string{"run", w.request, "--platform", w.platform, "--out", w.out, "--now", day0}
	for _, test := range []struct {
		name       string
		args       []string
		yaml, wide string // what is in it
		names      string
	}{
		{"credentials", w.credentials(day0), "\n  destination: us-1\n", "  USER  ", "natsuser.baleen.dev/orders\n"},
		{"routes", []string{"routes", "--platform", w.platform}, "\n  path: /z\n", "PathConflict  it belongs to team-b/shop\n", "apiaggregatortarget.baleen.dev/shop\n"},
		{"clusters list", []string{"clusters", "list", "--platform", w.platform}, "\n  name: us-1\n", "  EXPIRES  ", "destination.platform.kratix.io/dev-1\ndestination.platform.kratix.io/eu-1\ndestination.platform.kratix.io/us-1\n"},
		{"clusters trust", w.trust("eu-1"), "changed: []\n", "  EXPIRES  ", "destination.platform.kratix.io/eu-1\n"},
		{"run", run, "name: orders\n", "unchanged  ", "natsuser.baleen.dev/orders\n"},
		{"rotate", w.rotate("team-a/orders"), "annotation: baleen.dev/rotate\n", "NatsUser team-a/orders was asked", "natsuser.baleen.dev/orders\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.with(t)
			for form, want := range map[string]string{"yaml": test.yaml, "wide": test.wide, "name": test.names, "json": "", "table": ""} {
				code, stdout, stderr := w.baleen(append(test.args, "-o", form)...)
				if code != 0 || stdout == "" || stderr != "" || !strings.Contains(stdout, want) || form == "name" && stdout != want {
					t.Errorf("-o %s: exit code %d, want %q: %s%s", form, code, want, stdout, stderr)
				}
			}
		})
	}
}

// A NatsUser is named as people name it.
func TestRotateNames(t *testing.T) {
	for _, test := range []struct{ argument, namespace, want, fails string }{
		{"team-a/orders", "", "team-a/orders", ""},
		{"team-a/orders", "team-a", "team-a/orders", ""},
		{"orders", "team-a", "team-a/orders", ""},
		{"natsuser.baleen.dev/orders", "team-a", "team-a/orders", ""},
		{"natsuser.baleen.dev/orders", "", "", "give the namespace with --namespace"},
		{"orders", "", "", "give the namespace with --namespace"},
		{"team-a/orders", "team-b", "", `"team-a/orders" is in the namespace team-a and --namespace says team-b`},
	} {
		t.Run(test.argument+" -n "+test.namespace, func(t *testing.T) {
			request, err := rotateFlags{namespace: test.namespace}.request(test.argument)
			switch {
			case test.fails != "":
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("%v, want %q", err, test.fails)
				}
			case err != nil || request.String() != test.want:
				t.Errorf("%s, %v", request, err)
			}
		})
	}
}

// stdin has what is read from it.
func stdin(t *testing.T, content string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = file
	t.Cleanup(func() {
		os.Stdin = before
		file.Close()
	})
}

// A request comes from a file or from stdin, and goes where it says or is asked.
func TestRunReads(t *testing.T) {
	w := newWorld(t)
	w.asks("{}")
	request, err := os.ReadFile(w.request)
	if err != nil {
		t.Fatal(err)
	}
	placed := strings.Replace(string(request), "{name: orders}", "{name: orders, namespace: team-a}", 1)
	rest := w.args()[2:]
	for _, test := range []struct {
		name, stdin string
		args        []string
		namespace   string
		fails       string
	}{
		{"an argument", "", []string{w.request}, "default", ""},
		{"-f", "", []string{"-f", w.request}, "default", ""},
		{"--filename", "", []string{"--filename", w.request}, "default", ""},
		{"-f -", string(request), []string{"-f", "-"}, "default", ""},
		{"a namespace", string(request), []string{"-f", "-", "-n", "team-b"}, "team-b", ""},
		{"its own namespace", placed, []string{"-f", "-", "-n", "team-a"}, "team-a", ""},
		{"another namespace", placed, []string{"-f", "-", "-n", "team-b"}, "", "the request on stdin is in the namespace team-a and --namespace says team-b"},
		{"no YAML", "a: [", []string{"-f", "-"}, "", "the request on stdin is not YAML"},
		{"both", "", []string{w.request, "-f", "-"}, "", "both name the request: give one of them"},
		{"neither", "", nil, "", "name one request: baleen run REQUEST.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.with(t)
			stdin(t, test.stdin)
			args := slices.Concat([]string{"run"}, test.args, rest)
			if test.fails != "" {
				w.fails(args, test.fails)
				return
			}
			code, stdout, stderr := w.baleen(append(args, "-o", "json")...)
			if r := decode[report](t, stdout); code != 0 || r.Namespace != test.namespace {
				t.Errorf("exit code %d, namespace %s: %s", code, r.Namespace, stderr)
			}
		})
	}
}

// With --print what each cluster gets is on stdout, and all else on stderr.
func TestRunPrints(t *testing.T) {
	w := newWorld(t)
	w.asks(`{files: {output/eu/a.yaml: "---\na: 1\n", output/eu/b.yaml: "  b: 1\n  c: 1", output/us/c.yaml: "c: 1\n",
  metadata/destination-selectors.yaml: '[{directory: eu, matchLabels: {destination: eu-1}}, {directory: us, matchLabels: {destination: us-1}}]'}}`)
	want := "---\n# eu-1: eu/a.yaml\na: 1\n---\n# eu-1: eu/b.yaml\n  b: 1\n  c: 1\n---\n# us-1: us/c.yaml\nc: 1\n"
	for _, args := range [][]string{{"--print", "--dry-run"}, {"--print"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			code, stdout, stderr := w.with(t).baleen(w.args(args...)...)
			if code != 0 || stdout != want || !strings.Contains(stderr, "us-1         added   us/c.yaml\n") {
				t.Errorf("exit code %d:\n%s\nand\n%s", code, stdout, stderr)
			}
		})
	}
	w.fails(w.args("--print", "-o", "json"), "--print and --output json both say what is on stdout")
}

// A refused request is an error where that is asked for, and its report the same.
func TestRunFailsOnRefusal(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		ready string
		args  []string
		code  int
	}{
		{"'True'", []string{"--fail-on-refusal"}, 0},
		{"Unknown", []string{"--fail-on-refusal"}, 0},
		{"'False'", []string{"--fail-on-refusal"}, 1},
		{"'False'", []string{"--fail-on-refusal", "-o", "json"}, 1},
		{"'False'", nil, 0},
	} {
		t.Run(fmt.Sprint(test.ready, test.args), func(t *testing.T) {
			w := w.with(t)
			w.asks(`{files: {metadata/status.yaml: "conditions: [{type: Ready, status: ` + test.ready + `}]"}}`)
			code, stdout, stderr := w.baleen(w.args(test.args...)...)
			if code != test.code || !strings.Contains(stdout, "Ready") || stderr != "" {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

// Tables that are cut on a terminal are cut nowhere else.
func TestTablesInPipes(t *testing.T) {
	long := strings.Repeat("a long label of the cluster ", 8)
	c := cluster{Name: "eu-1", Labels: map[string]string{"text": long}, Certificate: "none", Problem: long}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := clusterTable(writer, false, c); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	buffer := make([]byte, 4096)
	n, _ := reader.Read(buffer)
	if got := string(buffer[:n]); strings.Count(got, long[:len(long)-1]) != 2 || strings.ContainsAny(got, "…\x1b") {
		t.Errorf("%s", got)
	}
}

// A folder that holds something else is not taken for a platform on which there is nothing;
// an empty one may become one.
func TestFolderThatIsNoPlatform(t *testing.T) {
	w, folder := newWorld(t), t.TempDir()
	w.prints([]string{"routes", "--platform", folder}, "Nobody publishes anything.")
	odd := filepath.Join(t.TempDir(), "[p]*") // which is a name like others
	w.write(filepath.Join(odd, "platform", "ApiAggregator.baleen.dev", "api.yaml"), aggregatorYAML)
	w.prints([]string{"routes", "--platform", odd}, "Nobody publishes anything.")
	w.write(filepath.Join(folder, "docs", "a.md"), "")
	for _, command := range [][]string{{"routes"}, {"credentials"}, {"doctor"}, {"clusters", "list"}} {
		w.fails(append(command, "--platform", folder), "stands for no platform: it has no file <namespace or _cluster>/<Kind>.<group>/<name>.yaml")
	}
}
