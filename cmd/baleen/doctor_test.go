package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

// installed writes what an installation has besides the test data.
func (w *world) installed() {
	w.Helper()
	for _, name := range []string{"baleen-system", "baleen-state", "baleen-operator"} {
		w.write(w.platform+"/_cluster/Namespace.core/"+name+".yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+name+"}\n")
	}
	for _, p := range promises.All() {
		w.write(w.platform+"/_cluster/Promise.platform.kratix.io/"+p.Name+".yaml",
			"apiVersion: platform.kratix.io/v1alpha1\nkind: Promise\nmetadata: {name: "+p.Name+", labels: {kratix.io/promise-version: v1.0.0}}\n")
	}
	w.write(w.platform+"/guard.yaml", string(promises.Guard))
}

func (w *world) doctor(more ...string) []string {
	return append([]string{"doctor", "--platform", w.platform, "--now", "2026-08-01T13:00:00Z"}, more...)
}

func TestDoctorOfOneThatIsWell(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	w.prints(w.doctor(), "ok       configuration", "ok       Destinations", "ok       operator's keys", "ok       stored records", "ok       requests")
	w.installed()
	before := w.snapshot()
	w.prints(w.doctor(), "ok       namespaces", "ok       Promises", "ok       guard", "ok       configuration", "ok       Destinations", "ok       operator's keys", "ok       stored records", "ok       requests")
	if after := w.snapshot(); after != before {
		t.Error("doctor has written something")
	}
}

func TestDoctorFinds(t *testing.T) {
	remove := func(files ...string) func(*world) {
		return func(w *world) {
			for _, file := range files {
				if err := os.RemoveAll(w.platform + "/" + file); err != nil {
					w.Fatal(err)
				}
			}
		}
	}
	write := func(file, content string) func(*world) {
		return func(w *world) { w.write(w.platform+"/"+file, content) }
	}
	request := func(status string) func(*world) {
		return write("team-a/NatsUser.baleen.dev/billing.yaml", strings.Replace(strings.Replace(userRequest, "name: orders", "name: billing", 1),
			"namespace: team-a", "namespace: team-a\n  creationTimestamp: '2026-08-01T12:00:00Z'", 1)+"status: "+status+"\n")
	}
	var others []string
	for _, p := range promises.All() {
		if p.Kind != platform.NatsUser {
			others = append(others, p.Name)
		}
	}
	const intervals = "set reconcileInterval in the ConfigMap baleen-system/baleen-config to the longest interval of the Promises, or give them that one"
	const promise = "apiVersion: platform.kratix.io/v1alpha1\nkind: Promise\nmetadata: {name: nats-user, labels: {kratix.io/promise-version: "
	for _, test := range []struct {
		name            string
		change          func(*world)
		problem, remedy string
	}{
		{"a namespace that is missing", remove("_cluster/Namespace.core/baleen-state.yaml"), "the namespace baleen-state is missing, and no pipeline works without it", "apply the Promises again, which make it"},
		{"the operator's namespace is missing", remove("_cluster/Namespace.core/baleen-operator.yaml"), "the namespace baleen-operator is missing, and no account with an operator's key works without it", "apply the Promises again, which make it"},
		{"an operator's keys that are to be moved", write("baleen-system/NatsAccount.baleen.dev/commerce.yaml", accountRequest+
			"  placement: {allowed: [{matchLabels: {environment: prod}}]}\nstatus: {conditions: [{type: Ready, status: 'True', reason: Verified}, {type: OperatorProtected, status: 'False', reason: SecretsToMove, message: 'all may read the keys: move them'}]}\n"),
			"NatsAccount baleen-system/commerce: all may read the keys", `move them: see "Move the operator's keys" in docs/how-to.md`},
		{"a Promise that is missing", remove("_cluster/Promise.platform.kratix.io/nats-user.yaml"), "the Promise nats-user is not installed", "kubectl apply -f dist/promises/nats-user.yaml"},
		{"a Promise of another version", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.1.0}}\n"),
			"the Promises have different versions, which were never tested together: v1.0.0 of " + strings.Join(others, ", ") + "; v1.1.0 of nats-user", "apply all Promises of one release"},
		{"a Promise that is unavailable", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.0.0}}\nstatus: {status: Unavailable}\n"),
			"the Promise nats-user is Unavailable: Kratix does not run its pipelines", "kubectl describe promise nats-user, and see the log of Kratix's controller"},
		{"a Promise without a version", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"''}}\n"),
			"the Promise nats-user has no version: Kratix overwrites its last revision, and there is none to go back to", "apply what `make promises` writes"},
		{"a Promise that is paused", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.0.0, kratix.io/paused: 'true'}}\nstatus: {status: Unavailable}\n"),
			"the Promise nats-user is paused: nothing runs for any of its requests, no renewal and no deletion either", "kubectl label promise nats-user kratix.io/paused-"},
		{"a Promise that runs elsewhere", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.0.0}}\nspec: {workflows: {config: {pipelineNamespace: pipelines}}}\n"),
			"the Promise nats-user has its pipelines run in the namespace pipelines, and they expect to run in that of the request", "take spec.workflows.config.pipelineNamespace out of the Promise"},
		{"a Promise with an interval of its own", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.0.0}}\nspec: {workflows: {config: {reconciliationInterval: 24h0m0s}}}\n"),
			"Kratix runs the requests of the Promise nats-user every 24h, by its spec.workflows.config.reconciliationInterval, and Baleen counts on every 10h", intervals},
		{"a Promise with an interval by annotation", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.0.0}, annotations: {kratix.io/reconciliation-interval: 90m}}\nspec: {workflows: {config: {reconciliationInterval: 24h}}}\n"),
			"Kratix runs the requests of the Promise nats-user every 1h30m, by its annotation kratix.io/reconciliation-interval, and Baleen counts on every 10h", intervals},
		{"a request that is paused", func(w *world) {
			w.write(w.platform+"/team-a/NatsUser.baleen.dev/billing.yaml", strings.Replace(strings.Replace(userRequest, "name: orders", "name: billing", 1), "namespace: team-a", "namespace: team-a\n  labels: {kratix.io/paused: 'true'}", 1))
		}, "NatsUser team-a/billing: it is paused by its label kratix.io/paused=true, so nothing runs for it: no change, no renewal, no deletion", "take the label off"},
		{"a request that is pinned", func(w *world) {
			for name, version := range map[string]string{"old": "v0.9.0", "same": "v1.0.0", "floating": "latest", "unset": "''"} {
				w.write(w.platform+"/team-a/ResourceBinding.platform.kratix.io/"+name+"-1a2b3.yaml", "apiVersion: platform.kratix.io/v1alpha1\nkind: ResourceBinding\nmetadata: {name: "+name+"-1a2b3, namespace: team-a}\n"+
					"spec: {version: "+version+", promiseRef: {name: nats-user}, resourceRef: {name: "+name+", namespace: team-a}}\n")
			}
			w.write(w.platform+"/team-a/ResourceBinding.platform.kratix.io/other.yaml", "apiVersion: platform.kratix.io/v1alpha1\nkind: ResourceBinding\nmetadata: {name: other, namespace: team-a}\nspec: {version: v3, promiseRef: {name: postgres}, resourceRef: {name: db}}\n")
		}, "NatsUser team-a/old is pinned to the version v0.9.0, and its Promise has v1.0.0: the two were never tested together",
			`kubectl patch resourcebinding old-1a2b3 -n team-a --type merge -p '{"spec":{"version":"latest"}}'`},
		{"no guard", remove("guard.yaml"),
			"the guard is not installed: who may make Pods in a namespace with requests can take the rights of Baleen's pipelines", "kubectl apply -f dist/promises/guard.yaml"},
		{"a guard with a gap", write("guard.yaml", strings.Join(strings.SplitAfter(string(promises.Guard), "\n---\n")[:len(strings.Split(string(promises.Guard), "\n---\n"))-1], "")),
			"the guard has a gap, these are missing: ValidatingAdmissionPolicyBinding ", "kubectl apply -f dist/promises/guard.yaml"},
		{"a guard that warns", func(w *world) {
			w.write(w.platform+"/guard.yaml", strings.Replace(string(promises.Guard), "validationActions: [Deny]", "validationActions: [Warn]", 1))
		}, "the guard warns and does not deny: baleen-guard-jobs", "kubectl apply -f dist/promises/guard.yaml"},
		{"a configuration that is wrong", write("baleen-system/ConfigMap.core/baleen-config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: baleen-config, namespace: baleen-system}\ndata: {reconcileInterval: often}\n"),
			`the key "reconcileInterval" of the ConfigMap baleen-system/baleen-config is not valid: there may be reconcileInterval and destinationGrace, durations such as 10h or 2d, namespaces, lines such as team-a: [team-a-*], secretMetadata, a list such as [example.com/*], and systemNamespaces, a list such as [baleen-system]`,
			"kubectl edit configmap baleen-config -n baleen-system: until then no request runs"},
		{"a Destination without its label", write("_cluster/Destination.platform.kratix.io/eu-2.yaml", "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: eu-2}\nspec: {path: eu-2}\n"),
			"the Destination eu-2 gets nothing new", "run `baleen clusters trust eu-2`"},
		{"a Destination without a certificate", write("_cluster/Destination.platform.kratix.io/eu-2.yaml", "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: eu-2, labels: {environment: prod, baleen.dev/destination: eu-2}}\nspec: {path: eu-2}\n"),
			"the Destination eu-2 has no certificate, and no credential can be sealed for it", "baleen clusters trust eu-2 --cluster-kubeconfig FILE"},
		{"a request that Kratix forgot", request("{conditions: [{type: Ready, status: 'True', reason: Delivered}, {type: ConfigureWorkflowCompleted, status: 'False', reason: PipelinesInProgress, lastTransitionTime: '2026-08-01T10:00:00Z'}]}"),
			"NatsUser team-a/billing was forgotten by Kratix: its run of 2026-08-01T10:00:00Z never ended", "kubectl label natsuser billing -n team-a kratix.io/manual-reconciliation=true"},
		{"a request that failed", request("{message: the API server is away, conditions: [{type: Ready, status: 'False', reason: PlatformUnavailable}]}"),
			"NatsUser team-a/billing failed in its last run: the API server is away", "see the log of its configure Job, then kubectl label natsuser billing -n team-a kratix.io/manual-reconciliation=true"},
		{"a request that never ran", request("{}"),
			"NatsUser team-a/billing has never run, and is there since 2026-08-01T12:00:00Z", "look for its Job with kubectl get jobs -n team-a, then kubectl label natsuser billing -n team-a kratix.io/manual-reconciliation=true"},
		{"a host whose aggregator is gone", func(w *world) { w.hostOfNobody("Held", "false") }, "the host lost.example.com belongs to ApiAggregator team-x/lost, which is gone: no other namespace gets it",
			"kubectl -n baleen-state delete configmap " + claim.Host("lost.example.com").ConfigMap()},
		{"a ledger that is damaged", func(w *world) { w.at(day0); w.damageLedger() }, "ledger-", "restore the ConfigMap from a backup: its request issues nothing until then"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newUsersWorld(t)
			w.installed()
			test.change(w)
			code, stdout, stderr := w.baleen(w.doctor("-o", "json")...)
			var got []checkup
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != int(needsAttention) || stderr != "" {
				t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
			}
			if f := got[0].Findings; len(f) != 1 || !strings.Contains(f[0].Problem, test.problem) || f[0].Remedy != test.remedy {
				t.Errorf("finds %q", f)
			}
			taken(t, test.remedy)
			for _, c := range got[1:] {
				if len(c.Findings) > 0 {
					t.Errorf("finds %q too", c.Findings)
				}
			}
		})
	}
}

// taken fails unless a remedy that is a command of baleen's is one that is taken as it
// is written: the command is there, and none of its flags is hidden or unknown.
func taken(t *testing.T, remedy string) {
	t.Helper()
	args := strings.Fields(remedy)
	if args[0] != "baleen" {
		return
	}
	cmd, rest, err := rootCommand().Find(args[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.Args(cmd, cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("the remedy %q is no command: %v", remedy, err)
		return
	}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if flag.Hidden {
			t.Errorf("the remedy %q has --%s, which is refused or old", remedy, flag.Name)
		}
	})
}

// damageLedger puts what is no ledger in place of one.
func (w *world) damageLedger() {
	w.Helper()
	files, err := os.ReadDir(w.platform + "/baleen-state/ConfigMap.core")
	if err != nil {
		w.Fatal(err)
	}
	for _, file := range files {
		if strings.HasPrefix(file.Name(), "ledger-") {
			name := w.platform + "/baleen-state/ConfigMap.core/" + file.Name()
			data, err := os.ReadFile(name)
			if err != nil {
				w.Fatal(err)
			}
			before, _, _ := strings.Cut(string(data), "data:")
			_, rest, _ := strings.Cut(string(data), "kind: ConfigMap")
			w.write(name, before+"data: {request: 'x'}\nkind: ConfigMap"+rest)
		}
	}
}

// hostOfNobody puts the claim of a host there whose aggregator is gone.
func (w *world) hostOfNobody(state, deleted string) {
	name := claim.Host("lost.example.com").ConfigMap()
	w.write(w.platform+"/baleen-state/ConfigMap.core/"+name+".yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+name+", namespace: baleen-state, labels: {app.kubernetes.io/managed-by: baleen}}\n"+
		`data: {thing: '{"kind":"host","scope":"lost.example.com"}', owner: '{"kind":"ApiAggregator","namespace":"team-x","name":"lost"}', facts: "null", waiters: "null", state: `+state+", deleted: '"+deleted+"'}\n")
}

// Hosts that the next aggregator gets are no problem.
func TestDoctorLeavesHostsThatAreFree(t *testing.T) {
	for _, c := range []struct{ state, deleted string }{{"Free", "false"}, {"Releasing", "true"}} {
		w := newUsersWorld(t)
		w.at(day0)
		w.hostOfNobody(c.state, c.deleted)
		w.prints(w.doctor(), "ok       configuration", "ok       Destinations", "ok       operator's keys", "ok       stored records", "ok       requests")
	}
}

func TestDoctorShowsProblemsFirst(t *testing.T) {
	w := newUsersWorld(t)
	w.write(w.platform+"/_cluster/Destination.platform.kratix.io/eu-2.yaml", "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: eu-2}\nspec: {path: eu-2}\n")
	code, stdout, stderr := w.baleen(w.doctor()...)
	want := "PROBLEM  the Destination eu-2 gets nothing new\n         run `baleen clusters trust eu-2`\nok       configuration\nok       operator's keys\nok       stored records\nok       requests\n\n1 problem found.\n"
	if code != int(needsAttention) || stdout != want || stderr != "" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// Kratix's interval is compared with what Baleen counts on, for each Promise.
func TestDoctorComparesIntervals(t *testing.T) {
	for _, test := range []struct {
		name, kratix, baleen, promise string
		want                          int // Promises with a problem
	}{
		{"by default", "", "", "", 0},
		{"one configuration", "reconciliationInterval: 24h", "", "", 6},
		{"both configurations", "reconciliationInterval: 24h", "reconcileInterval: 24h", "", 0},
		{"Baleen's configuration", "", "reconcileInterval: 24h", "", 6},
		{"what Kratix does not read", "reconciliationInterval: often", "", "", 0},
		{"no YAML", "{", "", "", 0},
		{"an annotation that Kratix refuses", "", "", "59s", 0},
		{"an annotation that is the least", "", "", "1m", 1},
		{"an annotation that is no duration", "", "", "often", 0},
		{"one Promise has that of Baleen", "reconciliationInterval: 24h", "", "10h", 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newUsersWorld(t)
			w.installed()
			if test.kratix != "" {
				w.write(w.platform+"/kratix-platform-system/ConfigMap.core/kratix.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kratix, namespace: kratix-platform-system}\ndata: {config: '"+test.kratix+"'}\n")
			}
			if test.baleen != "" {
				w.write(w.platform+"/baleen-system/ConfigMap.core/baleen-config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: baleen-config, namespace: baleen-system}\ndata: {"+test.baleen+"}\n")
			}
			if test.promise != "" {
				w.write(w.platform+"/_cluster/Promise.platform.kratix.io/nats-user.yaml",
					"apiVersion: platform.kratix.io/v1alpha1\nkind: Promise\nmetadata: {name: nats-user, labels: {kratix.io/promise-version: v1.0.0}, annotations: {kratix.io/reconciliation-interval: "+test.promise+"}}\n")
			}
			_, stdout, stderr := w.baleen(w.doctor()...)
			if n := strings.Count(stdout, "Kratix runs the requests of the Promise"); n != test.want || stderr != "" {
				t.Errorf("%d Promises have a problem, want %d: %s%s", n, test.want, stdout, stderr)
			}
		})
	}
}
