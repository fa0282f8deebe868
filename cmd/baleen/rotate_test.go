package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
)

func (w *world) rotate(args ...string) []string {
	return append([]string{"rotate", "--platform", w.platform}, args...)
}

// again runs the request as it is stored, as Kratix does when it is asked to.
func (w *world) again(now string) {
	w.Helper()
	data, err := yaml.Marshal(w.user().Object)
	if err != nil {
		w.Fatal(err)
	}
	w.request = filepath.Join(w.TempDir(), "request.yaml")
	w.write(w.request, string(data))
	w.at(now)
}

func (w *world) user() *unstructured.Unstructured {
	w.Helper()
	object, err := w.folder().Get(w.Context(), platform.NatsUser, "team-a", "orders")
	if err != nil {
		w.Fatal(err)
	}
	return object
}

// documents returns what clusters get, by file.
func (w *world) documents() map[string]string {
	w.Helper()
	found, err := snapshot(filepath.Join(w.out, "destinations"))
	if err != nil || len(found) != 2 {
		w.Fatalf("%v, %v", found, err)
	}
	return found
}

// generations returns all that was issued and why.
func (w *world) generations() string {
	w.Helper()
	var all []string
	for _, r := range w.ledger(nil).Records {
		all = append(all, fmt.Sprintf("%s %d %s %s", r.Destination, r.Generation, r.Reason, r.State))
	}
	return strings.Join(all, ", ")
}

const unrevocable = "lives until it expires, because NatsAccount commerce has no operator key to revoke it with."

func TestRotate(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	before := w.documents()

	began := time.Now()
	w.prints(w.rotate("team-a/orders", "--destination", "eu-1"),
		"NatsUser team-a/orders was asked for a new credential on eu-1: its next run issues it, and the former one "+unrevocable)
	object := w.user()
	value := object.GetAnnotations()["rotate.baleen.dev/eu-1"]
	if asked, err := time.Parse(time.RFC3339Nano, value); err != nil || asked.Before(began) || asked.After(time.Now()) || len(object.GetAnnotations()) != 1 {
		t.Errorf("annotations %v", object.GetAnnotations())
	}
	if got := object.GetLabels()["kratix.io/manual-reconciliation"]; got != "true" {
		t.Errorf("the label is %q", got)
	}

	w.again("2026-08-02T12:00:00Z")
	w.again("2026-08-02T13:00:00Z") // once is enough
	if got, want := w.generations(), "eu-1 1 FirstIssue Active, eu-1 2 RotationRequested Active, us-1 1 FirstIssue Active"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	after := w.documents()
	for file := range after {
		changes := strings.Contains(file, "eu-1")
		if (after[file] != before[file]) != changes {
			t.Errorf("%s: changed is %t", file, !changes)
		}
	}

	// All of them, and a second time the same one.
	code, stdout, stderr := w.baleen(w.rotate("team-a/orders", "--output", "json")...)
	var asked map[string]any
	if err := json.Unmarshal([]byte(stdout), &asked); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	value, _ = asked["value"].(string)
	delete(asked, "value")
	text, _ := json.Marshal(asked)
	want := `{"annotation":"baleen.dev/rotate","destinations":["eu-1","us-1"],` +
		`"message":"NatsUser team-a/orders was asked for a new credential on each of its clusters: its next run issues it, and the former one ` + unrevocable + `",` +
		`"name":"orders","namespace":"team-a"}`
	if string(text) != want || w.user().GetAnnotations()["baleen.dev/rotate"] != value {
		t.Errorf("%s, want %s; annotations %v", text, want, w.user().GetAnnotations())
	}
	w.again("2026-08-03T12:00:00Z")
	for range 2 {
		if code, _, stderr := w.baleen(w.rotate("team-a/orders", "--destination", "us-1")...); code != 0 {
			t.Fatal(stderr)
		}
		w.again("2026-08-03T13:00:00Z")
	}
	rows := w.ledger(nil).Records
	newest := map[string]int64{}
	for _, r := range rows {
		newest[r.Destination] = r.Generation
		if r.Generation > 1 && r.Reason != "RotationRequested" {
			t.Errorf("%s %d was issued for %s", r.Destination, r.Generation, r.Reason)
		}
	}
	if want := map[string]int64{"eu-1": 3, "us-1": 4}; !maps.Equal(newest, want) {
		t.Errorf("newest generations %v, want %v", newest, want)
	}
}

// A rotation of an account that can revoke says when that is.
func TestRotateSaysWhenTheFormerOneGoes(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	key := map[string]any{"name": "x", "key": "seed"}
	patch := map[string]any{"spec": map[string]any{"jwt": map[string]any{
		"servers":  []any{"nats://nats.example.com:4222"},
		"operator": map[string]any{"signingKeySecretRef": key, "systemCredentialsSecretRef": key},
	}}}
	if _, err := w.folder().Patch(t.Context(), platform.NatsAccount, "baleen-system", "commerce", patch); err != nil {
		t.Fatal(err)
	}
	const asked = "NatsUser team-a/orders was asked for a new credential on each of its clusters: its next run issues it, and the former one "
	w.prints(w.rotate("team-a/orders"), asked+"is revoked 24h after the new one was delivered.")
	w.change(map[string]any{"credentials": map[string]any{"revokePrevious": "Immediately"}})
	w.prints(w.rotate("team-a/orders"), asked+"is revoked at once.")
}

// change changes the stored request's spec.
func (w *world) change(spec map[string]any) {
	w.Helper()
	if _, err := w.folder().Patch(w.Context(), platform.NatsUser, "team-a", "orders", map[string]any{"spec": spec}); err != nil {
		w.Fatal(err)
	}
}

func TestRotateRefuses(t *testing.T) {
	w := newUsersWorld(t)
	w.fails(w.rotate("team-a/orders"), "there is no NatsUser team-a/orders: see `baleen credentials` for those there are")
	w.at(day0)
	before := w.snapshot()
	for want, args := range map[string][]string{
		"name one NatsUser: baleen rotate NAMESPACE/NAME": w.rotate(),
		"name one NatsUser": w.rotate("team-a/orders", "team-a/users"),
		`"orders" does not name a NatsUser: write NAMESPACE/NAME, such as team-a/orders`:       w.rotate("orders"),
		`"team-a/orders/eu-1" does not name a NatsUser`:                                        w.rotate("team-a/orders/eu-1"),
		`"/orders" does not name a NatsUser`:                                                   w.rotate("/orders"),
		`"team-a/" does not name a NatsUser`:                                                   w.rotate("team-a/"),
		`"../orders" does not name a NatsUser`:                                                 w.rotate("../orders"),
		"there is no NatsUser team-a/users":                                                    w.rotate("team-a/users"),
		"NatsUser team-a/orders has no credential on ap-1 to rotate: it has one on eu-1, us-1": w.rotate("team-a/orders", "--destination", "ap-1"),
		"--destination is empty":                                                               w.rotate("team-a/orders", "--destination", ""),
		`--output "xml" is neither table, wide, json, yaml nor name`:                           w.rotate("team-a/orders", "--output", "xml"),
		"--platform and --kubeconfig both name":                                                w.rotate("team-a/orders", "--kubeconfig", "x"),
		"the kubeconfig of the platform cluster cannot be used":                                {"rotate", "team-a/orders", "--kubeconfig", filepath.Join(t.TempDir(), "none")},
		"the platform folder":                                                                  {"rotate", "team-a/orders", "--platform", w.platform + "x"},
		"unknown flag: --all":                                                                  w.rotate("team-a/orders", "--all"),
	} {
		t.Run(want, func(t *testing.T) { w.with(t).fails(args, want) })
	}
	if after := w.snapshot(); after != before {
		t.Errorf("something was written: %s", after)
	}

	// What would not be carried out is not asked for.
	w.change(map[string]any{"placement": map[string]any{"matchLabels": map[string]any{"baleen.dev/destination": "us-1"}}})
	w.fails(w.rotate("team-a/orders", "--destination", "eu-1"), "NatsUser team-a/orders has a credential on eu-1 and is not placed there any more, so it gets no new one there")
	w.ledger(func(l *ledger.Ledger) { l.Records = nil })
	w.fails(w.rotate("team-a/orders", "--destination", "us-1"), "has no credential on us-1 to rotate: it has one on no cluster")
	w.change(map[string]any{"credentials": map[string]any{"overlap": "soon"}})
	w.fails(w.rotate("team-a/orders"), "NatsUser team-a/orders is not valid: spec.credentials.overlap")
	w.change(map[string]any{"credentials": nil, "accountRef": map[string]any{"name": "other"}})
	w.fails(w.rotate("team-a/orders"), "nothing can be issued for NatsUser team-a/orders: there is no NatsAccount baleen-system/other")
	patch := map[string]any{"metadata": map[string]any{"finalizers": []any{"kratix.io/finalizer"}}}
	if _, err := w.folder().Patch(t.Context(), platform.NatsUser, "team-a", "orders", patch); err != nil {
		t.Fatal(err)
	}
	if err := w.folder().Delete(t.Context(), platform.NatsUser, "team-a", "orders", platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
	w.fails(w.rotate("team-a/orders"), "NatsUser team-a/orders is being deleted")
	if got := w.user().GetAnnotations(); len(got) > 0 {
		t.Errorf("annotations %v", got)
	}
}

// On a cluster, a rotation is one patch: no run sees the label without the
// annotation.
func TestRotateOnCluster(t *testing.T) {
	w := newUsersWorld(t)
	w.at(day0)
	server := platformtest.Serve(w.folder(), platform.ConfigMap, platform.Destination, platform.NatsAccount, platform.NatsUser)
	var writes []string
	server.Observe = func(verb string, kind platform.Kind, namespace, name, _ string) error {
		if verb != "get" && verb != "list" {
			writes = append(writes, verb+" "+kind.Kind+" "+namespace+"/"+name)
		}
		return nil
	}
	file := w.kubeconfig(server)
	code, stdout, stderr := w.baleen("rotate", "team-a/orders", "--destination", "us-1", "--kubeconfig", file)
	if code != 0 || !strings.Contains(stdout, "a new credential on us-1") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	if !slices.Equal(writes, []string{"patch NatsUser team-a/orders"}) {
		t.Errorf("written: %v", writes)
	}
	if after := w.user(); after.GetAnnotations()["rotate.baleen.dev/us-1"] == "" || after.GetLabels()["kratix.io/manual-reconciliation"] != "true" {
		t.Errorf("annotations %v, labels %v", after.GetAnnotations(), after.GetLabels())
	}
	if code, stdout, stderr := w.baleen("credentials", "--kubeconfig", file); code != 0 || strings.Count(stdout, "team-a") != 2 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
