package apiaggregator

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func create(t *testing.T, client platform.Client, kind platform.Kind, namespace, name string, labels map[string]string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind.GroupVersionKind)
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetLabels(labels)
	created, err := client.Create(t.Context(), kind, o)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// The sweep frees a path only when nothing can serve it any more: its owner is
// gone, or its deletion is stuck, and no Work of it is left.
func TestSweep(t *testing.T) {
	for _, test := range []struct {
		name string
		// stored: the target is on the platform, listed: the run has seen it there.
		stored, listed bool
		deleting       time.Duration // ago; 0: it is not being deleted
		former         bool          // the claim is of an incarnation that was deleted
		work           bool
		freed          bool
	}{
		{name: "alive", stored: true, listed: true},
		{name: "alive, with its output", stored: true, listed: true, work: true},
		{name: "came after the targets were listed", stored: true},
		{name: "gone", freed: true},
		{name: "gone, but its output is left", work: true},
		{name: "being deleted", stored: true, listed: true, deleting: 9 * time.Minute},
		{name: "deletion is stuck", stored: true, listed: true, deleting: 10 * time.Minute, freed: true},
		{name: "deletion is stuck, and its output is left", stored: true, listed: true, deleting: 10 * time.Minute, work: true},
		{name: "made again under its name", stored: true, listed: true, former: true, freed: true},
		{name: "made again, but the former output is left", stored: true, listed: true, former: true, work: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := platform.NewMemory(func() time.Time { return now })
			run := &workflow.Run{Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler)}
			w := world{aggregator: &v1alpha1.ApiAggregator{}}
			w.aggregator.Spec.Hostname = "api.example.com"
			owner := claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "shop", UID: "former"}
			if test.stored {
				stored := create(t, memory, platform.ApiAggregatorTarget, "team-a", "shop", nil)
				if !test.former {
					owner.UID = string(stored.GetUID())
				}
			}
			if test.listed {
				peer := workflow.Peer{Namespace: "team-a", Name: "shop"}
				if test.deleting > 0 {
					peer.Deleting = now.Add(-test.deleting)
				}
				w.targets = []target{{Peer: peer, aggregator: "platform/public-api"}}
			}
			if test.work {
				create(t, memory, platform.Work, "team-a", "shop", map[string]string{
					kratix.LabelPromise: "api-aggregator-target", kratix.LabelResource: "shop",
				})
			}
			waiter := create(t, memory, platform.ApiAggregatorTarget, "team-b", "shop", nil)

			b, path := book(run), claim.Path("api.example.com", "/shop")
			if _, err := b.Acquire(t.Context(), path, owner, nil); err != nil {
				t.Fatal(err)
			}
			if test.stored || test.work { // else asking for the path takes it over
				if _, err := b.Acquire(t.Context(), path, claim.OwnerOf(waiter), nil); err != nil {
					t.Fatal(err)
				}
			}
			if test.former || test.deleting > 0 {
				if _, err := b.Release(t.Context(), path, owner, true); err != nil {
					t.Fatal(err)
				}
			}

			left, err := sweep(t.Context(), run, w)
			if err != nil {
				t.Fatal(err)
			}
			if kept := slices.ContainsFunc(left, func(c claim.Claim) bool { return c.Thing == path }); kept == test.freed {
				t.Errorf("the path is freed: %t, want %t", !kept, test.freed)
			}
			if got, want := isAsked(t, memory, "team-b"), test.freed && test.stored; got != want {
				t.Errorf("the waiter is asked to reconcile: %t, want %t", got, want)
			}
		})
	}
}

func isAsked(t *testing.T, client platform.Client, namespace string) bool {
	t.Helper()
	asked, err := client.List(t.Context(), platform.ApiAggregatorTarget, namespace, map[string]string{kratix.LabelManualReconciliation: "true"})
	if err != nil {
		t.Fatal(err)
	}
	return len(asked) > 0
}
