package natsuser

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
)

// A request keeps the claims of what it delivers: also under the name that it had
// before, as long as the new one is not delivered, and on a cluster in its grace.
func TestClaimKeepsWhatIsDelivered(t *testing.T) {
	run, in := newRun(t), delivering()
	owner := claim.OwnerOf(run.Request)
	here, there := active(1, "U1", "FirstIssue"), active(1, "U2", "FirstIssue")
	here.Basis.Delivery.Name, there.Destination = "former-name", "us-1"
	held := []claim.Resource{secretOf("eu-1", here.Basis.Delivery), secretOf("us-1", there.Basis.Delivery)}
	other := claim.Secret("eu-1", "team-a", "not-wanted")
	for _, resource := range append(held, other) {
		if _, err := claims(run).Acquire(t.Context(), resource, owner, nil); err != nil {
			t.Fatal(err)
		}
	}
	verdicts, err := claimSecrets(t.Context(), run, in, &ledger.Ledger{Request: orders, Records: []ledger.Record{here, there}})
	if err != nil {
		t.Fatal(err)
	}
	for _, resource := range append(held, claim.Secret("eu-1", "team-a", "orders-nats"), other) {
		c, err := claims(run).Get(t.Context(), resource)
		if err != nil {
			t.Fatal(err)
		}
		if want := resource != other; verdicts[resource].Held != want || (c != nil && c.State == claim.Held) != want {
			t.Errorf("%s is %+v, want it held: %t", resource, c, want)
		}
	}
}

// The Secrets that a request's own output has are those of its SealedSecrets.
func TestServed(t *testing.T) {
	file := func(kind, name string) []byte {
		return []byte("kind: " + kind + "\nmetadata: {namespace: team-a, name: " + name + "}\n")
	}
	run := newRun(t)
	run.Last = destination.Output{"eu-1": {"a.yaml": file("SealedSecret", "a"), "b.yaml": file("ConfigMap", "b"), "c.yaml": []byte("kind: SealedSecret\nmetadata: {namespace: team-a, name: [c]}\n")}, "us-1": {"d.yaml": file("SealedSecret", "d")}}
	got := served(run)
	slices.SortFunc(got, func(a, b claim.Resource) int { return strings.Compare(a.String(), b.String()) })
	if want := []claim.Resource{claim.Secret("eu-1", "team-a", "a"), claim.Secret("us-1", "team-a", "d")}; !slices.Equal(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
}

// Two requests of one name in two namespaces that deliver to one workload namespace
// are two: the first has the Secret, and the second waits for it, is told whose it is,
// and has it once the first has released it.
func TestClaimNamesakes(t *testing.T) {
	first, in := newRun(t), delivering()
	in.namespace = "shared"
	second := *first
	second.Identity.Namespace = "team-b"
	second.Request = first.Request.DeepCopy()
	second.Request.SetNamespace("team-b")
	second.Request.SetUID("2")
	secret := claim.Secret("eu-1", "shared", "orders-nats")
	for _, step := range []struct {
		name  string
		run   *workflow.Run
		wants inputs
		last  destination.Output
		held  bool
		asks  string
	}{
		{"the first has it", first, in, nil, true, ""},
		{"and keeps it", first, in, nil, true, ""},
		{"the second waits", &second, in, nil, false, ""},
		{"the first releases it, and is still served", first, inputs{user: in.user, account: in.account, namespace: "shared"}, destination.Output{"eu-1": {"a.yaml": []byte("kind: SealedSecret\nmetadata: {namespace: shared, name: orders-nats}\n")}}, false, "team-b/orders"},
		{"and then no more", first, inputs{user: in.user, account: in.account, namespace: "shared"}, nil, false, "team-b/orders"},
		{"the second has it", &second, in, nil, true, ""},
	} {
		if step.name == "the first has it" {
			o := second.Request.DeepCopy()
			o.SetResourceVersion("")
			o.SetUID("")
			made, err := first.Platform.Create(t.Context(), platform.NatsUser, o)
			if err != nil {
				t.Fatal(err)
			}
			second.Request = made
		}
		step.run.Last = step.last
		step.run.DryRun = false
		verdicts, err := settleAtOnce(t, step.run, step.wants)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if v := verdicts[secret]; v.Held != step.held || len(step.wants.placement.Placed) > 0 && !v.Held && v.Holder.String() != "team-a/orders" {
			t.Errorf("%s: it is %+v", step.name, v)
		}
		if got := workflowtest.Notified(t, first.Platform, platform.NatsUser); got != step.asks {
			t.Errorf("%s: it asks %q, want %q", step.name, got, step.asks)
		}
		for _, namespace := range []string{"team-a", "team-b"} {
			if _, err := first.Platform.Patch(t.Context(), platform.NatsUser, namespace, "orders", map[string]any{"metadata": map[string]any{"labels": nil}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func settleAtOnce(t *testing.T, run *workflow.Run, in inputs) (map[claim.Resource]claim.Verdict, error) {
	t.Helper()
	return claimSecrets(t.Context(), run, in, &ledger.Ledger{Request: run.Identity})
}

// A platform that is away at any call is what the claims say, and all of them are decided when
// it is run again.
func TestInterruptedClaims(t *testing.T) {
	prepare := func() (*workflow.Run, inputs) {
		run, in := newRun(t), delivering()
		waiter := create(t, run.Platform, platform.NatsUser, "waiter", nil, map[string]any{})
		for _, o := range []*unstructured.Unstructured{run.Request, waiter} {
			if _, err := claims(run).Acquire(t.Context(), claim.Secret("eu-1", "team-a", "former-name"), claim.OwnerOf(o), nil); err != nil {
				t.Fatal(err)
			}
		}
		return run, in
	}
	run, in := prepare()
	memory := run.Platform
	counted := platformtest.At(memory, 0, platformtest.Refused)
	run.Platform = counted
	if _, err := settleAtOnce(t, run, in); err != nil {
		t.Fatal(err)
	}
	undisturbed := platformtest.Contents(t, memory, platform.ConfigMap, platform.NatsUser)
	for _, how := range []platformtest.Fault{platformtest.Refused, platformtest.Lost} {
		for at := range counted.Calls {
			t.Run(fmt.Sprintf("%s at call %d", how, at+1), func(t *testing.T) {
				run, in := prepare()
				memory := run.Platform
				faulty := platformtest.At(memory, at+1, how)
				run.Platform = faulty
				if _, err := settleAtOnce(t, run, in); platform.IsTransient(err) != faulty.Hit {
					t.Errorf("it says %v", err)
				}
				run.Platform = memory
				run.Last = destination.Output{"eu-1": {"a.yaml": []byte("kind: SealedSecret\nmetadata: {namespace: team-a, name: former-name}\n")}}
				if _, err := settleAtOnce(t, run, in); err != nil {
					t.Fatal(err)
				}
				got := platformtest.Contents(t, memory, platform.ConfigMap, platform.NatsUser)
				delete(got, "NatsUser team-a/waiter") // who is asked once more by a sweep
				want := maps.Clone(undisturbed)
				delete(want, "NatsUser team-a/waiter")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
