package pipelines_test

import (
	"testing"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
)

// What Kratix makes for a dry run is nobody's request: neither an account nor an
// aggregator counts it or has it run, also not when they are deleted.
func TestDryRunsAreNobodysRequests(t *testing.T) {
	l := newLive(t)
	labels := map[string]string{kratix.LabelDryRun: "true", kratix.LabelDryRunOwner: "orders"}
	for kind, promise := range map[platform.Kind]string{platform.NatsUser: "nats-user", platform.ApiAggregatorTarget: "api-aggregator-target"} {
		for _, name := range []string{"kratix-dry-run-orders-1a2b3", "hidden"} {
			request := scenario.Parse(t, example(t, promise))
			request.SetName(name)
			request.SetLabels(labels)
			if _, err := l.Client.Create(t.Context(), kind, request); err != nil {
				t.Fatal(err)
			}
		}
	}
	notified := func(when string) {
		t.Helper()
		for _, kind := range []platform.Kind{platform.NatsUser, platform.ApiAggregatorTarget} {
			objects, err := l.Client.List(t.Context(), kind, "", map[string]string{kratix.LabelManualReconciliation: "true"})
			if err != nil || len(objects) != 1 || objects[0].GetName() != "hidden" {
				t.Errorf("%s, %d requests of the kind %s are notified, want the one that is no dry run (%v)", when, len(objects), kind.Kind, err)
			}
			for _, o := range objects {
				patch := map[string]any{"metadata": map[string]any{"labels": map[string]any{kratix.LabelManualReconciliation: nil}}}
				if _, err := l.Client.Patch(t.Context(), kind, o.GetNamespace(), o.GetName(), patch); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	l.wantReason("Verified", "1 user,")
	if o := l.Apply(example(t, "api-aggregator")); o.Err != nil {
		t.Fatal(o.Err)
	}
	notified("after a run")
	for _, request := range []string{l.account, example(t, "api-aggregator")} {
		if o := l.Delete(request); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	notified("after a deletion")
}
