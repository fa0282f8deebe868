package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/platform"
)

func (w *world) status(args ...string) []string {
	return append([]string{"status", "--platform", w.platform, "--now", "2026-08-01T13:00:00Z"}, args...)
}

func TestStatus(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	for _, kind := range []string{"natsuser/orders", "natsusers/orders", "NatsUser/orders", "natsusers.baleen.dev/orders", "natsuser orders"} {
		t.Run(kind, func(t *testing.T) {
			code, stdout, stderr := w.with(t).baleen(w.status(append([]string{"-n", "team-a"}, strings.Fields(kind)...)...)...)
			if code != 0 || stderr != "" {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			for _, want := range []string{
				"NatsUser     team-a/orders\n", "  account    commerce\n", "Message      the Secret team-a/orders-nats has a credential on 2 clusters\n",
				"Ready                       True    Delivered ", "eu-1         Written  1 ", "secret us-1/team-a/orders-nats  Held   -\n", "FirstIssue  Active",
			} {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is not in\n%s", want, stdout)
				}
			}
		})
	}
}

func TestStatusJSONHoldsNoCiphertext(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	code, stdout, stderr := w.baleen(w.status("natsuser/orders", "-n", "team-a", "-o", "json")...)
	var got followed
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil {
		t.Fatal(code, stderr, err)
	}
	if len(got.Delivered) != 2 || len(got.Claims) != 2 || len(got.Credentials) != 2 || got.Delivered[0].State != "Written" || got.Generation != 1 || got.Observed != 1 {
		t.Errorf("%+v", got)
	}
	for _, r := range w.ledger(nil).Records {
		for _, ciphertext := range r.Ciphertext {
			if strings.Contains(stdout, ciphertext[:40]) {
				t.Error("ciphertext is shown")
			}
		}
	}
}

// What a cluster has refused is in Git, and the status of the request says nothing of it.
func TestStatusOfWhatIsRefused(t *testing.T) {
	const refused = `{group: bitnami.com, version: v1alpha1, kind: SealedSecret, namespace: team-a, name: orders-nats, status: SyncFailed, message: 'namespaces "team-a" not found'}`
	const line = "Not on us-1, which refuses it: SealedSecret team-a/orders-nats: namespaces \"team-a\" not found\n"
	for _, test := range []struct {
		name, source, result string
		want                 int
	}{
		{"one object of it", "source: {path: us-1}", refused, 1},
		{"a folder within", "source: {path: ./us-1/resources/team-a/}", refused, 1},
		{"one source of several", "sources: [{path: other}, {path: us-1}]", refused, 1},
		{"another's", "source: {path: us-1}", strings.Replace(refused, "orders-nats", "billing-nats", 1), 0},
		{"another kind", "source: {path: us-1}", strings.Replace(refused, "SealedSecret", "Secret", 1), 0},
		{"it was taken", "source: {path: us-1}", strings.Replace(refused, "SyncFailed", "Synced", 1), 0},
		{"a folder whose name begins so", "source: {path: us-11}", refused, 0},
		{"no folder", "source: {chart: other}", refused, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newUsersWorld(t)
			w.at(day0)
			w.write(w.platform+"/argocd/Application.argoproj.io/anything.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: anything, namespace: argocd}\n"+
				"spec: {"+test.source+"}\nstatus: {operationState: {syncResult: {resources: ["+test.result+"]}}}\n")
			code, stdout, stderr := w.baleen(w.status("natsuser/orders", "-n", "team-a")...)
			if code != 0 || stderr != "" || strings.Count(stdout, line) != test.want || strings.Count(stdout, "Not on ") != test.want {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

func TestStatusOfPaths(t *testing.T) {
	w := newUsersWorld(t)
	w.request = "../../promises/api-aggregator-target/example.yaml"
	w.at(day0)
	w.request = w.out + "-other.yaml"
	w.write(w.request, strings.NewReplacer("name: orders", "name: other", "namespace: team-a", "namespace: team-b").Replace(targetRequest))
	w.at(day0)
	code, stdout, stderr := w.baleen(w.status("apiaggregatortarget/other", "-n", "team-b")...)
	if code != 0 || !strings.Contains(stdout, "PathConflict") || !strings.Contains(stdout, "Nothing of it is in Git.") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = w.baleen(w.status("apiaggregatortarget/orders", "-n", "team-a")...)
	if code != 0 || !strings.Contains(stdout, "path api.example.com/webhooks/stripe  Held   team-b/other\n") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// What is served is shown when the spec that asked for it is gone.
func TestPathsThatAreKept(t *testing.T) {
	for _, test := range []struct{ name, old, new, want string }{
		{"another path of an aggregator that is not there", "name: public-api", "name: gone", "api.example.com/orders Kept"},
		{"another backend, of an aggregator that is not there", "name: public-api", "name: gone", "api.example.com/webhooks/stripe Kept"},
		{"a path that is refused by itself", "maxRequestBodySize: 25Mi", "maxRequestBodySize: 900Gi", "api.example.com/webhooks/stripe BodyLimitAboveMaximum"},
		{"a spec that is wrong", "path: /orders\n", "path: orders\n", "api.example.com/orders Kept"},
		{"a spec that cannot be read", "paths:", "paths: none\nwas:", "api.example.com/orders Kept"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newUsersWorld(t)
			w.request = w.out + "-request.yaml"
			w.write(w.request, targetRequest)
			w.at(day0)
			wrong := strings.Replace(targetRequest, test.old, test.new, 1)
			if wrong == targetRequest {
				t.Fatal("nothing is wrong with it")
			}
			w.write(w.request, wrong)
			if code, _, stderr := w.baleen("run", w.request, "--platform", w.platform, "--out", w.out, "--now", "2026-08-01T13:00:00Z"); code != 0 {
				t.Fatal(stderr)
			}
			var got []string
			code, stdout, stderr := w.baleen("routes", "--platform", w.platform, "-o", "json")
			for _, r := range decode[[]route](t, stdout) {
				got = append(got, r.Host+r.Path+" "+r.State)
			}
			if code != 0 || stderr != "" || !slices.Contains(got, test.want) {
				t.Errorf("exit code %d, %q, want %s: %s", code, got, test.want, stderr)
			}
		})
	}
}

func TestStatusOfOneThatDoesNotRun(t *testing.T) {
	for _, test := range []struct{ name, status, want string }{
		{"never run", "{}", "Attention    no run has carried it out yet: run it with `baleen run`"},
		// A test fixture: the seed of an account that exists nowhere.
		{"a status with a seed", `{message: "the key SAAPXYFKWEVGK3KDXZZXU3RQKGZ7SXZ7ZZGVUKTUVRQAZJPPNYXOYVXHQY is none"}`, "the key (a seed) is none"},
		{"failed", "{conditions: [{type: Ready, status: 'False', reason: PlatformUnavailable}]}", "its last run failed"},
		{"forgotten", "{conditions: [{type: Ready, status: 'True', reason: Delivered}, {type: ConfigureWorkflowCompleted, status: 'False', reason: PipelinesInProgress, lastTransitionTime: '2026-08-01T10:00:00Z'}]}",
			"Kratix has forgotten its run of 2026-08-01T10:00:00Z: run it with `baleen run`"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newUsersWorld(t)
			w.write(w.platform+"/team-a/NatsUser.baleen.dev/orders.yaml", userRequest+"status: "+test.status+"\n")
			code, stdout, stderr := w.baleen(w.status("natsuser/orders", "-n", "team-a")...)
			if code != 0 || !strings.Contains(stdout, test.want) {
				t.Errorf("exit code %d, %q is not in\n%s%s", code, test.want, stdout, stderr)
			}
		})
	}
}

func TestStatusRefuses(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no request", w.status(), "name one request: baleen status KIND/NAME -n NAMESPACE"},
		{"no name", w.status("natsuser"), "name one request"},
		{"a misspelt kind", w.status("natsusr/orders"), `"natsusr" is no kind of Baleen's: did you mean natsuser?`},
		{"another kind", w.status("pod/orders"), `"pod" is no kind of Baleen's: there are apiaggregator, apiaggregatortarget, natsaccount, natsuser`},
		{"a misspelt name", w.status("natsuser/ordrs", "-n", "team-a"), "there is no NatsUser team-a/ordrs on the platform: did you mean orders?"},
		{"another namespace", w.status("natsuser/orders"), "there is no NatsUser default/orders on the platform: there is one in the namespace team-a, name it with -n"},
		{"nothing like it", w.status("natsuser/billing"), "see `kubectl get " + platform.NatsUser.Plural + " -A`"},
	} {
		t.Run(test.name, func(t *testing.T) { w.with(t).fails(test.args, test.want) })
	}
}
