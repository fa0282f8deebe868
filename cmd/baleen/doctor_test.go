package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

// installed writes what an installation has besides the test data.
func (w *world) installed() {
	w.Helper()
	for _, name := range []string{"baleen-system", "baleen-state"} {
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
	w.prints(w.doctor(), "ok       configuration", "ok       Destinations", "ok       stored records", "ok       requests")
	w.installed()
	before := w.snapshot()
	w.prints(w.doctor(), "ok       namespaces", "ok       Promises", "ok       guard", "ok       configuration", "ok       Destinations", "ok       stored records", "ok       requests")
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
	const promise = "apiVersion: platform.kratix.io/v1alpha1\nkind: Promise\nmetadata: {name: nats-user, labels: {kratix.io/promise-version: "
	for _, test := range []struct {
		name            string
		change          func(*world)
		problem, remedy string
	}{
		{"a namespace that is missing", remove("_cluster/Namespace.core/baleen-state.yaml"), "the namespace baleen-state is missing, and no pipeline works without it", "apply the Promises again, which make it"},
		{"a Promise that is missing", remove("_cluster/Promise.platform.kratix.io/nats-user.yaml"), "the Promise nats-user is not installed", "kubectl apply -f dist/promises/nats-user.yaml"},
		{"a Promise of another version", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.1.0}}\n"),
			"the Promises have different versions, which were never tested together: v1.0.0 of " + strings.Join(others, ", ") + "; v1.1.0 of nats-user", "apply all Promises of one release"},
		{"a Promise that is unavailable", write("_cluster/Promise.platform.kratix.io/nats-user.yaml", promise+"v1.0.0}}\nstatus: {status: Unavailable}\n"),
			"the Promise nats-user is Unavailable: Kratix does not run its pipelines", "kubectl describe promise nats-user, and see the log of Kratix's controller"},
		{"no guard", remove("guard.yaml"),
			"the guard is not installed: who may make Pods in a namespace with requests can take the rights of Baleen's pipelines", "kubectl apply -f dist/promises/guard.yaml"},
		{"a guard with a gap", write("guard.yaml", strings.Join(strings.SplitAfter(string(promises.Guard), "\n---\n")[:len(strings.Split(string(promises.Guard), "\n---\n"))-1], "")),
			"the guard has a gap, these are missing: ValidatingAdmissionPolicyBinding ", "kubectl apply -f dist/promises/guard.yaml"},
		{"a guard that warns", func(w *world) {
			w.write(w.platform+"/guard.yaml", strings.Replace(string(promises.Guard), "validationActions: [Deny]", "validationActions: [Warn]", 1))
		}, "the guard warns and does not deny: baleen-guard-jobs", "kubectl apply -f dist/promises/guard.yaml"},
		{"a configuration that is wrong", write("baleen-system/ConfigMap.core/baleen-config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: baleen-config, namespace: baleen-system}\ndata: {reconcileInterval: often}\n"),
			`the key "reconcileInterval" of the ConfigMap baleen-system/baleen-config is not valid: there may be reconcileInterval and destinationGrace, durations such as 10h or 2d, and namespaces, lines such as team-a: [team-a-*]`,
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

func TestDoctorShowsProblemsFirst(t *testing.T) {
	w := newUsersWorld(t)
	w.write(w.platform+"/_cluster/Destination.platform.kratix.io/eu-2.yaml", "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: eu-2}\nspec: {path: eu-2}\n")
	code, stdout, stderr := w.baleen(w.doctor()...)
	want := "PROBLEM  the Destination eu-2 gets nothing new\n         run `baleen clusters trust eu-2`\nok       configuration\nok       stored records\nok       requests\n\n1 problem found.\n"
	if code != int(needsAttention) || stdout != want || stderr != "" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
