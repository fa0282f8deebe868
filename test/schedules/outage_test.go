package schedules

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
)

// A deletion that cannot end while the servers are away, for longer than a deletion
// takes: it and its account do not keep each other awake, whatever its status says of
// former times.
func TestOutage(t *testing.T) {
	account := func(change func(*unstructured.Unstructured) error) event {
		return event{"the account is applied", func(ctx context.Context, c simulator.Cluster, p platform.Client) error {
			stored, err := p.Get(ctx, platform.NatsAccount, "baleen-system", "commerce")
			if err == nil {
				err = change(stored)
			}
			if err != nil {
				return err
			}
			return c.Apply(ctx, p, stored)
		}}
	}
	asItIs := account(func(*unstructured.Unstructured) error { return nil })
	otherTerms := account(func(o *unstructured.Unstructured) error {
		return unstructured.SetNestedStringSlice(o.Object, []string{"other"}, "spec", "policy", "tags")
	})
	serversGo := event{"the servers go away", func(ctx context.Context, _ simulator.Cluster, p platform.Client) error {
		return p.Delete(ctx, platform.ConfigMap, resolver, trusted, platform.Preconditions{})
	}}
	// As Kratix leaves it when a request is deleted that was paused once.
	wasPaused := event{"it was paused once", func(ctx context.Context, _ simulator.Cluster, p platform.Client) error {
		o, err := p.Get(ctx, platform.NatsUser, "team-a", "a")
		if err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		conditions = append(conditions, map[string]any{"type": "Reconciled", "status": "Unknown", "reason": "PausedReconciliation", "message": "Paused", "lastTransitionTime": "2026-01-01T11:00:00Z"})
		if err := unstructured.SetNestedSlice(o.Object, conditions, "status", "conditions"); err != nil {
			return err
		}
		_, err = p.UpdateStatus(ctx, platform.NatsUser, o)
		return err
	}}
	a := user(t, "a", "a", "")
	a.Object["spec"].(map[string]any)["deletionPolicy"] = "Revoke"
	for _, test := range []struct {
		name   string
		before []event
	}{
		{"it has seen all", []event{asItIs, apply(a), serversGo, remove(a)}},
		{"it was paused once", []event{asItIs, apply(a), serversGo, wasPaused, remove(a)}},
		{"its account changes", []event{asItIs, apply(a), serversGo, remove(a), otherTerms}},
	} {
		for _, version := range []simulator.Version{simulator.Kratix202508, simulator.KratixLatest} {
			t.Run(test.name+"/"+string(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSearch(t, clusterOf(version, platform.NatsAccount, platform.NatsUser))
					defer s.runner.stop()
					s.prepare = s.operate
					s.constant = func(r *request) bool { return settings(r) && r.kind != platform.NatsAccount }
					s.fails = func(said string) bool { return strings.Contains(said, "are not revoked yet") }
					s.atRest = func(p *platform.Memory) error { return nil }
					at := s.begin(test.before)
					s.runner.later(11 * time.Minute)
					patch := map[string]any{"metadata": map[string]any{"labels": map[string]any{kratix.LabelManualReconciliation: "true"}}}
					if _, err := at.platform.Patch(t.Context(), platform.NatsAccount, "baleen-system", "commerce", patch); err != nil {
						t.Fatal(err)
					}
					s.look(&at)
					at.intervals = 0
					for seed := range uint64(3) {
						s.walk(at, rand.New(rand.NewPCG(seed, 0)))
					}
				})
			})
		}
	}
}
