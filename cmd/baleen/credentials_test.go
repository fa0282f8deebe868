package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

// day0 is when the credentials of these tests are issued first.
const day0 = "2026-08-01T12:00:00Z"

var orders = identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"}

// newUsersWorld is the platform of the repository's test data, and the example of
// a NatsUser.
func newUsersWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t, filepath.Join(dir, "platform"), filepath.Join(dir, "out"), "../../promises/nats-user/example.yaml"}
	if err := os.CopyFS(w.platform, os.DirFS("../../testdata/platform")); err != nil {
		t.Fatal(err)
	}
	return w
}

// at runs the request at a time.
func (w *world) at(now string) {
	w.Helper()
	code, _, stderr := w.baleen("run", w.request, "--platform", w.platform, "--out", w.out, "--now", now)
	if code != 0 {
		w.Fatalf("the run at %s: exit code %d: %s", now, code, stderr)
	}
}

func (w *world) folder() *platform.Folder {
	w.Helper()
	folder, err := platform.OpenFolder(w.platform, time.Now)
	if err != nil {
		w.Fatal(err)
	}
	return folder
}

// ledger returns what is remembered of orders, after a change to it.
func (w *world) ledger(change func(*ledger.Ledger)) *ledger.Ledger {
	w.Helper()
	store := ledger.Store{Client: w.folder()}
	l, err := store.Get(w.Context(), orders)
	if err == nil && change != nil {
		change(l)
		err = store.Save(w.Context(), l)
	}
	if err != nil {
		w.Fatal(err)
	}
	return l
}

func (w *world) credentials(now string, more ...string) []string {
	return append([]string{"credentials", "--platform", w.platform, "--now", now}, more...)
}

func TestCredentials(t *testing.T) {
	w := newUsersWorld(t)
	w.prints(w.credentials(day0), "There are no credentials, and no NatsUser asks for one.")
	w.prints(w.credentials(day0, "--output", "json"), "[]")

	w.at(day0)
	w.prints(w.credentials("2026-08-01T15:30:00Z"),
		"NAMESPACE  NAME    ACCOUNT   DESTINATION  GENERATION  ISSUED     EXPIRES  RENEWS  REASON      STATE   ATTENTION",
		"team-a     orders  commerce  eu-1         1           3h30m ago  in 29d   in 18d  FirstIssue  Active",
		"team-a     orders  commerce  us-1         1           3h30m ago  in 29d   in 18d  FirstIssue  Active",
	)
	// Due, and its turn has not come; then overdue; then expired.
	w.prints(w.credentials("2026-08-20T01:00:00Z"),
		"NAMESPACE  NAME    ACCOUNT   DESTINATION  GENERATION  ISSUED   EXPIRES  RENEWS  REASON      STATE   ATTENTION",
		"team-a     orders  commerce  eu-1         1           18d ago  in 11d   due     FirstIssue  Active",
		"team-a     orders  commerce  us-1         1           18d ago  in 11d   in 10h  FirstIssue  Active",
	)
	const remedy = "run it with `baleen run`"
	w.prints(w.credentials("2026-08-20T12:00:00Z"),
		"NAMESPACE  NAME    ACCOUNT   DESTINATION  GENERATION  ISSUED   EXPIRES  RENEWS  REASON      STATE   ATTENTION",
		"team-a     orders  commerce  eu-1         1           19d ago  in 11d   due     FirstIssue  Active  its renewal is overdue: "+remedy,
		"team-a     orders  commerce  us-1         1           19d ago  in 11d   due     FirstIssue  Active",
	)
	w.prints(w.credentials("2026-09-02T12:00:00Z"),
		"NAMESPACE  NAME    ACCOUNT   DESTINATION  GENERATION  ISSUED   EXPIRES  RENEWS  REASON      STATE   ATTENTION",
		"team-a     orders  commerce  eu-1         1           32d ago  2d ago   due     FirstIssue  Active  expired, and not renewed: "+remedy,
		"team-a     orders  commerce  us-1         1           32d ago  2d ago   due     FirstIssue  Active  expired, and not renewed: "+remedy,
	)

	// A renewal revokes nothing: the former one lives until it expires, and is then
	// shown no more.
	w.at("2026-08-20T01:00:00Z")
	w.prints(w.credentials("2026-08-20T01:00:00Z"),
		"NAMESPACE  NAME    ACCOUNT   DESTINATION  GENERATION  ISSUED   EXPIRES  RENEWS  REASON      STATE   ATTENTION",
		"team-a     orders  commerce  eu-1         1           18d ago  in 11d   -       FirstIssue  Active",
		"team-a     orders  commerce  eu-1         2           0s ago   in 30d   in 18d  RenewalDue  Active",
		"team-a     orders  commerce  us-1         1           18d ago  in 11d   in 10h  FirstIssue  Active",
	)
	code, stdout, stderr := w.baleen(w.credentials("2026-09-01T00:00:00Z", "--output", "json")...)
	var got []map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || len(got) != 2 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	eu := w.ledger(nil).Record("eu-1", 2)
	delete(got[1], "renews")
	text, _ := json.Marshal(got[1])
	want := `{"account":"commerce","destination":"eu-1","expires":"2026-09-19T01:00:00Z","generation":2,"issued":"2026-08-20T01:00:00Z",` +
		`"name":"orders","namespace":"team-a","reason":"RenewalDue","state":"Active","user":"` + eu.User + `"}`
	if string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
}

// Each case is an identity or a request that is not well.
func TestCredentialsAttention(t *testing.T) {
	const now = "2026-08-02T12:00:00Z"
	change := func(do func(*ledger.Ledger)) func(*world) {
		return func(w *world) { w.ledger(do) }
	}
	patch := func(patch map[string]any) func(*world) {
		return func(w *world) {
			object, err := w.folder().Get(w.Context(), platform.NatsUser, "team-a", "orders")
			if err == nil {
				maps.Copy(object.Object, patch)
				_, err = w.folder().UpdateStatus(w.Context(), platform.NatsUser, object)
			}
			if err != nil {
				w.Fatal(err)
			}
		}
	}
	gone := func(w *world) {
		if err := w.folder().Delete(w.Context(), platform.NatsUser, "team-a", "orders", platform.Preconditions{}); err != nil {
			w.Fatal(err)
		}
	}
	status := func(conditions ...any) map[string]any {
		return map[string]any{"status": map[string]any{"message": "ask the platform team", "conditions": conditions}}
	}
	condition := func(name, status, reason string) any {
		return map[string]any{"type": name, "status": status, "reason": reason}
	}
	forgotten := map[string]any{
		"type": "ConfigureWorkflowCompleted", "status": "False", "reason": "PipelinesInProgress", "lastTransitionTime": "2026-08-01T10:59:00Z",
	}
	const eu, us = "commerce/eu-1/1 Active", "commerce/us-1/1 Active"
	for name, test := range map[string]struct {
		do   []func(*world)
		args []string
		want []string
	}{
		"well": {want: []string{eu, us}},
		"intended": {
			do:   []func(*world){change(func(l *ledger.Ledger) { l.Records[1].State = ledger.Intended })},
			want: []string{"commerce/us-1/1 Intended: its issue is under way, or was given up: then the next run retires it", eu},
		},
		"retiring": {
			do:   []func(*world){change(func(l *ledger.Ledger) { l.Records[1].State = ledger.Retiring })},
			want: []string{"commerce/us-1/1 Retiring: NatsAccount commerce has not revoked it yet", eu},
		},
		"retired": {
			do:   []func(*world){change(revoke(0))},
			want: []string{us},
		},
		"retired, and nobody could revoke it": {
			do:   []func(*world){change(func(l *ledger.Ledger) { l.Records[0].State = ledger.Retired })},
			want: []string{"commerce/eu-1/1 Unrevoked: it was retired, and can connect until it expires: nobody has revoked it", us},
		},
		"retired, and all are shown": {
			do:   []func(*world){change(revoke(0))},
			args: []string{"--all"},
			want: []string{"commerce/eu-1/1 Retired", us},
		},
		"an Active one that is not served and has expired": {
			do: []func(*world){change(func(l *ledger.Ledger) {
				l.Records[0].Ciphertext, l.Records[0].Expires = nil, l.Records[0].Issued.Add(time.Hour)
			})},
			want: []string{us},
		},
		"revoked by somebody else": {
			do:   []func(*world){change(func(l *ledger.Ledger) { l.Records[1].Revoked = l.Records[1].Issued })},
			want: []string{"commerce/us-1/1 Active: somebody else has revoked it: the next run issues another", eu},
		},
		"the deletion is not done": {
			do: []func(*world){gone, change(func(l *ledger.Ledger) {
				l.Tombstone, l.Records[0].State = &ledger.Tombstone{At: l.Records[0].Issued}, ledger.Retiring
			}), change(revoke(1))},
			want: []string{
				"commerce//0 Deleting: its deletion of 2026-08-01T12:00:00Z is not done: 1 credential still to be revoked",
				"commerce/eu-1/1 Retiring: NatsAccount commerce has not revoked it yet",
			},
		},
		"deleted": {
			do: []func(*world){gone, change(func(l *ledger.Ledger) {
				l.Tombstone = &ledger.Tombstone{Done: true}
			}), change(revoke(0, 1))},
			args: []string{"--all"},
			want: []string{"commerce/eu-1/1 Retired", "commerce/us-1/1 Retired"},
		},
		"no request": {
			do: []func(*world){gone},
			want: []string{
				"commerce//0 Missing: its request is gone: NatsAccount commerce finds that out, and retires its credentials a day later",
				eu + ": its request is gone", us + ": its request is gone",
			},
		},
		"no request, as is known": {
			do: []func(*world){gone, change(func(l *ledger.Ledger) { l.Records, l.MissingSince = l.Records[:1], l.Records[0].Issued })},
			want: []string{
				"commerce//0 Missing: its request is gone, as was found out 2026-08-01T12:00:00Z: NatsAccount commerce retires its credentials a day later",
				eu + ": its request is gone",
			},
		},
		"no ledger": {
			do: []func(*world){func(w *world) {
				store := ledger.Store{Client: w.folder()}
				if err := store.Remove(w.Context(), w.ledger(nil)); err != nil {
					w.Fatal(err)
				}
			}},
			want: []string{"commerce//0 NoLedger: its ledger is lost: the next run makes it again from what is delivered"},
		},
		"Kratix has forgotten its run": {
			do:   []func(*world){patch(status(condition("Ready", "True", "Delivered"), forgotten))},
			want: []string{"commerce//0 Forgotten: Kratix has forgotten its run of 2026-08-01T10:59:00Z: the next run of NatsAccount commerce asks for it again", eu, us},
		},
		"not ready": {
			do:   []func(*world){patch(status(condition("Ready", "False", "NotAdmitted")))},
			want: []string{"commerce//0 NotReady NotAdmitted: ask the platform team", eu, us},
		},
		"no run yet": {
			do:   []func(*world){patch(status())},
			want: []string{"commerce//0 Pending: no run has carried it out yet", eu, us},
		},
		"a run that failed": {
			do:   []func(*world){patch(status(condition("Ready", "True", "Delivered"), condition("ConfigureWorkflowCompleted", "False", "ConfigureWorkflowFailed")))},
			want: []string{"commerce//0 Failed: its last run failed: `baleen run` shows why", eu, us},
		},
		"a deletion that no run has taken up": {
			do: []func(*world){func(w *world) {
				folder := w.folder()
				patch := map[string]any{"metadata": map[string]any{"finalizers": []any{"kratix.io/finalizer"}}}
				if _, err := folder.Patch(w.Context(), platform.NatsUser, "team-a", "orders", patch); err != nil {
					w.Fatal(err)
				}
				gone(w)
				stored, err := folder.Get(w.Context(), platform.NatsUser, "team-a", "orders")
				if err != nil {
					w.Fatal(err)
				}
				at := stored.GetDeletionTimestamp().UTC().Format(time.RFC3339)
				file := filepath.Join(w.platform, "team-a", "NatsUser.baleen.dev", "orders.yaml")
				data, err := os.ReadFile(file)
				if err != nil {
					w.Fatal(err)
				}
				w.write(file, strings.ReplaceAll(string(data), at, now))
			}},
			want: []string{"commerce//0 Deleting: its deletion of " + now + " is not done: `baleen run --action delete` does it, or shows why not", eu, us},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newUsersWorld(t)
			w.at(day0)
			for _, do := range test.do {
				do(w)
			}
			code, stdout, stderr := w.baleen(w.credentials(now, append(test.args, "--output", "json")...)...)
			var rows []credentialRow
			if err := json.Unmarshal([]byte(stdout), &rows); code != 0 || err != nil {
				t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
			}
			var got []string
			for _, r := range rows {
				if r.Namespace != "team-a" || r.Name != "orders" || (r.Generation == 1) != (r.Reason == "FirstIssue") {
					t.Errorf("%+v", r)
				}
				text := fmt.Sprintf("%s/%s/%d %s", r.Account, r.Destination, r.Generation, r.State)
				if r.Generation == 0 && r.Reason != "" {
					text += " " + r.Reason
				}
				if r.Attention != "" {
					text += ": " + r.Attention
				}
				got = append(got, text)
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// A request that was refused has no identity, and its row comes first.
func TestCredentialsOfRequests(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	example, err := os.ReadFile(w.request)
	if err != nil {
		t.Fatal(err)
	}
	w.request = filepath.Join(t.TempDir(), "request.yaml")
	w.write(w.request, strings.ReplaceAll(string(example), "namespace: team-a", "namespace: web"))
	w.at(day0)
	w.prints(w.credentials(day0),
		"NAMESPACE  NAME    ACCOUNT   DESTINATION  GENERATION  ISSUED  EXPIRES  RENEWS  REASON       STATE     ATTENTION",
		"web        orders  commerce  -            -           -       -        -       NotAdmitted  NotReady  "+w.message("web"),
		"team-a     orders  commerce  eu-1         1           0s ago  in 30d   in 18d  FirstIssue   Active",
		"team-a     orders  commerce  us-1         1           0s ago  in 30d   in 18d  FirstIssue   Active",
	)
	w.ledger(revoke(0, 1))
	if err := w.folder().Delete(t.Context(), platform.NatsUser, "web", "orders", platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
	w.prints(w.credentials(day0), "No credential is in use: --all shows those that are retired.")
	w.prints(append(w.credentials(day0), "--all"), // and nothing reads as if they could connect
		"NAMESPACE  NAME    ACCOUNT   DESTINATION  GENERATION  ISSUED  EXPIRES  RENEWS  REASON      STATE    ATTENTION",
		"team-a     orders  commerce  eu-1         1           0s ago  -        -       FirstIssue  Retired",
		"team-a     orders  commerce  us-1         1           0s ago  -        -       FirstIssue  Retired",
	)
}

// message returns what the status of a request named orders says.
func (w *world) message(namespace string) string {
	w.Helper()
	object, err := w.folder().Get(w.Context(), platform.NatsUser, namespace, "orders")
	if err != nil {
		w.Fatal(err)
	}
	message, _, _ := unstructured.NestedString(object.Object, "status", "message")
	if message == "" {
		w.Fatal("the request has no message")
	}
	return message
}

func TestCredentialsHoldNoCiphertext(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	var ciphertexts []string
	for _, r := range w.ledger(nil).Records {
		for _, text := range r.Ciphertext {
			ciphertexts = append(ciphertexts, text[:32])
		}
	}
	if len(ciphertexts) != 2 {
		t.Fatalf("%d ciphertexts", len(ciphertexts))
	}
	for _, output := range []string{"table", "json"} {
		_, stdout, _ := w.baleen(w.credentials(day0, "--all", "--output", output)...)
		for _, text := range ciphertexts {
			if strings.Contains(stdout, text) {
				t.Errorf("the %s has ciphertext: %s", output, stdout)
			}
		}
	}
}

func TestCredentialsRefuses(t *testing.T) {
	w := newUsersWorld(t)
	w.fails(w.credentials(day0, "--output", "xml"), `--output "xml" is neither table, wide, json, yaml nor name`)
	w.fails(w.credentials("noon"), `--now "noon" is not a time`)
	w.fails(w.credentials(day0, "--kubeconfig", "x"), "--platform and --kubeconfig both name the platform cluster: give one of them")
	w.fails([]string{"credentials", "--kubeconfig", filepath.Join(t.TempDir(), "none")}, "the kubeconfig of the platform cluster cannot be used")
	w.fails(w.credentials(day0, "orders"), "is not taken: baleen credentials has flags only")
	w.write(filepath.Join(w.platform, "baleen-state", "ConfigMap.core", "ledger-x.yaml"),
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ledger-x, namespace: baleen-state, labels: {baleen.dev/ledger: 'true'}}\ndata: {request: rubbish}\n")
	w.fails(w.credentials(day0), "the ConfigMap baleen-state/ledger-x is not a ledger")
}

// revoke retires rows, as the account's pipeline does.
func revoke(rows ...int) func(*ledger.Ledger) {
	return func(l *ledger.Ledger) {
		for _, i := range rows {
			l.Records[i].State, l.Records[i].Revoked = ledger.Retired, l.Records[i].Issued
		}
	}
}

// A request for which Kratix runs nothing is shown, though it is ready and its credential
// has not expired yet.
func TestCredentialsOfPaused(t *testing.T) {
	const promise = "_cluster/Promise.platform.kratix.io/nats-user.yaml"
	label := func(w *world, value string) {
		patch := map[string]any{"metadata": map[string]any{"labels": map[string]any{"kratix.io/paused": value}}}
		if _, err := w.folder().Patch(w.Context(), platform.NatsUser, "team-a", "orders", patch); err != nil {
			w.Fatal(err)
		}
	}
	condition := func(w *world) {
		o, err := w.folder().Get(w.Context(), platform.NatsUser, "team-a", "orders")
		if err != nil {
			w.Fatal(err)
		}
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		conditions = append(conditions, map[string]any{"type": "Reconciled", "status": "Unknown", "reason": "PausedReconciliation", "message": "Paused", "lastTransitionTime": day0})
		if err := unstructured.SetNestedSlice(o.Object, conditions, "status", "conditions"); err != nil {
			w.Fatal(err)
		}
		if _, err := w.folder().UpdateStatus(w.Context(), platform.NatsUser, o); err != nil {
			w.Fatal(err)
		}
	}
	for _, test := range []struct {
		name  string
		pause func(w *world)
		want  string // empty if it runs
	}{
		{"by its label", func(w *world) { label(w, "true") }, "it is paused by its label kratix.io/paused=true, so nothing runs for it: no change, no renewal, no deletion: take the label off"},
		{"by the label of its Promise", func(w *world) {
			w.write(w.platform+"/"+promise, "apiVersion: platform.kratix.io/v1alpha1\nkind: Promise\nmetadata: {name: nats-user, labels: {kratix.io/paused: 'true'}}\n")
		}, "its Promise is paused by the label kratix.io/paused=true, so nothing runs for it: no change, no renewal, no deletion: take the label off the Promise nats-user"},
		{"as Kratix says", condition, "Kratix has paused it, so nothing runs for it: no change, no renewal, no deletion: take the label kratix.io/paused=true off its Promise, then give the request the label kratix.io/manual-reconciliation=true"},
		{"since its Promise was", func(w *world) {
			w.write(w.platform+"/"+promise, "apiVersion: platform.kratix.io/v1alpha1\nkind: Promise\nmetadata: {name: nats-user}\n")
			condition(w)
		}, "its Promise was paused when Kratix came by, and nothing has run for it since: give the request the label kratix.io/manual-reconciliation=true"},
		{"not any more", func(w *world) { label(w, "false") }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newUsersWorld(t)
			w.at(day0)
			test.pause(w)
			show := func(now string) (attentions []string) {
				t.Helper()
				_, stdout, stderr := w.baleen("credentials", "--platform", w.platform, "--problems", "--now", now, "-o", "json")
				var rows []credentialRow
				if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
					t.Fatalf("%v: %s%s", err, stdout, stderr)
				}
				for _, r := range rows {
					attentions = append(attentions, r.State+": "+r.Attention)
				}
				return attentions
			}
			var want []string
			if test.want != "" {
				want = []string{"Paused: " + test.want}
			}
			if got := show("2026-08-02T12:00:00Z"); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("it shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got := strings.Join(show("2026-08-30T12:00:00Z"), "\n"); test.want != "" && strings.Count(got, "its renewal is overdue: "+test.want) != 2 {
				t.Errorf("when renewals are due it shows\n%s", got)
			}
			_, stdout, _ := w.baleen("status", "natsuser/orders", "-n", "team-a", "--platform", w.platform, "--now", "2026-08-02T12:00:00Z", "-o", "json")
			var status followed
			if err := json.Unmarshal([]byte(stdout), &status); err != nil || status.Attention != test.want {
				t.Errorf("its status has the attention %q (%v), want %q", status.Attention, err, test.want)
			}
		})
	}
}
