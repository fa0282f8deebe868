package apiaggregator

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
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
			in := inputs{aggregator: &v1alpha1.ApiAggregator{}}
			in.aggregator.Spec.Hostname = "api.example.com"
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
				in.targets = []target{{Peer: peer, aggregator: "platform/public-api"}}
			}
			for _, other := range []workflow.Peer{{Namespace: "team-0", Name: "shop"}, {Namespace: "team-a", Name: "cart"}} { // have nothing to do with it
				at := len(in.targets)
				if test.deleting == 0 {
					at = 0
				}
				in.targets = slices.Insert(in.targets, at, target{Peer: other, aggregator: "platform/public-api"})
			}
			if test.work {
				create(t, memory, platform.Work, "team-a", "shop", map[string]string{
					kratix.LabelPromise: "api-aggregator-target", kratix.LabelResource: "shop",
				})
			}
			waiter := create(t, memory, platform.ApiAggregatorTarget, "team-b", "shop", nil)

			b, path := claims(run), claim.Path("api.example.com", "/shop")
			if _, err := b.Acquire(t.Context(), path, owner, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Acquire(t.Context(), path, claim.OwnerOf(waiter), nil); err != nil {
				t.Fatal(err)
			}
			if test.former || test.deleting > 0 {
				if _, err := b.Release(t.Context(), path, owner, true); err != nil {
					t.Fatal(err)
				}
			}

			counted := platformtest.At(memory, 0, platformtest.Refused)
			run.Platform = counted
			left, err := sweep(t.Context(), run, in)
			if err != nil {
				t.Fatal(err)
			}
			if known := test.listed && !test.former && test.deleting < 10*time.Minute; (counted.Calls == 1) != known { // all claims are listed at once
				t.Errorf("it makes %d requests", counted.Calls)
			}
			if kept := slices.ContainsFunc(left, func(c claim.Claim) bool { return c.Resource == path }); kept == test.freed {
				t.Errorf("the path is freed: %t, want %t", !kept, test.freed)
			}
			if got, want := isAsked(t, memory, platform.ApiAggregatorTarget, "team-b"), test.freed; got != want {
				t.Errorf("the waiter is asked to reconcile: %t, want %t", got, want)
			}
		})
	}
}

// A host has one aggregator. Its claim survives a restore, and what an aggregator of
// the same name had before it was deleted is no change of the host.
func TestHoldHost(t *testing.T) {
	const host, other = "api.example.com", "www.example.com"
	for _, test := range []struct {
		name string
		// had is the host that was claimed, by somebody else, by a former incarnation of
		// this aggregator, which may have been deleted, or by this one.
		had                      string
		foreign, former, deleted bool
		leaving                  bool // it was releasing it
		gone                     bool // the other, without a word
		reason, says             string
	}{
		{name: "nobody has it"},
		{name: "it has it", had: host},
		{name: "it was releasing it", had: host, leaving: true},
		{name: "it had it before a restore", had: host, former: true},
		{name: "it was deleted, and made again", had: host, former: true, deleted: true},
		{name: "another has it", had: host, foreign: true, reason: "HostConflict"},
		{name: "another has it, and is gone", had: host, foreign: true, gone: true, reason: "HostConflict",
			says: "the host api.example.com belongs to ApiAggregator team-x/thief, which is gone: the platform team frees the host by deleting the ConfigMap baleen-state/" + claim.Host(host).ConfigMap()},
		{name: "another was releasing it, and is gone", had: host, foreign: true, leaving: true, gone: true, reason: "HostConflict", says: "which is gone"},
		{name: "another was deleted, and is gone", had: host, foreign: true, deleted: true, gone: true},
		{name: "it has another host", had: other, reason: "HostnameChanged"},
		{name: "it had another host before a restore", had: other, former: true, reason: "HostnameChanged"},
		{name: "it was deleted with another host", had: other, former: true, deleted: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := platform.NewMemory(func() time.Time { return now })
			request := create(t, memory, platform.ApiAggregator, "platform", "public-api", nil)
			run := &workflow.Run{Platform: memory, Request: request, Now: now}
			owner := claim.OwnerOf(request)
			if test.foreign {
				owner = claim.OwnerOf(create(t, memory, platform.ApiAggregator, "team-x", "thief", nil))
			}
			if test.former {
				owner.UID = "former"
			}
			if test.had != "" {
				if _, err := claims(run).Acquire(t.Context(), claim.Host(test.had), owner, nil); err != nil {
					t.Fatal(err)
				}
			}
			if test.deleted || test.leaving {
				if _, err := claims(run).Release(t.Context(), claim.Host(test.had), owner, test.deleted); err != nil {
					t.Fatal(err)
				}
			}
			if test.gone {
				if err := memory.Delete(t.Context(), platform.ApiAggregator, owner.Namespace, owner.Name, platform.Preconditions{}); err != nil {
					t.Fatal(err)
				}
			}
			a := &v1alpha1.ApiAggregator{}
			a.Spec.Hostname = host
			counted := platformtest.At(memory, 0, platformtest.Refused)
			run.Platform = counted
			err := holdHost(t.Context(), run, a)
			if test.name == "it has it" && counted.Calls > 1 { // as in all runs but the first
				t.Errorf("it makes %d requests", counted.Calls)
			}
			var failure *workflow.Failure
			if errors.As(err, &failure); (err != nil) != (test.reason != "") || failure != nil && string(failure.Reason) != test.reason {
				t.Errorf("it says %v, want the reason %q", err, test.reason)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			c, err := claims(run).Get(t.Context(), claim.Host(host))
			if holds := c != nil && c.State == claim.Held && c.Owner == claim.OwnerOf(request); err != nil || holds != (test.reason == "") {
				t.Errorf("the claim is %+v: %v", c, err)
			}
		})
	}
}

// Who waits for the host of an aggregator is asked to reconcile when that is deleted.
func TestReleaseHost(t *testing.T) {
	memory := platform.NewMemory(func() time.Time { return now })
	request, waiter := create(t, memory, platform.ApiAggregator, "platform", "public-api", nil), create(t, memory, platform.ApiAggregator, "team-x", "waiter", nil)
	run := &workflow.Run{Platform: memory, Request: request, Now: now, Log: slog.New(slog.DiscardHandler)}
	for _, o := range []*unstructured.Unstructured{request, waiter} {
		if _, err := claims(run).Acquire(t.Context(), claim.Host("api.example.com"), claim.OwnerOf(o), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := releaseHost(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	c, err := claims(run).Get(t.Context(), claim.Host("api.example.com"))
	if err != nil || c == nil || c.State != claim.Releasing || !c.Deleted {
		t.Errorf("the claim is %+v: %v", c, err)
	}
	if !isAsked(t, memory, platform.ApiAggregator, "team-x") {
		t.Error("who waits is not asked")
	}
}

func isAsked(t *testing.T, client platform.Client, kind platform.Kind, namespace string) bool {
	t.Helper()
	asked, err := client.List(t.Context(), kind, namespace, map[string]string{kratix.LabelManualReconciliation: "true"})
	if err != nil {
		t.Fatal(err)
	}
	return len(asked) > 0
}
