package natsuser

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// A request that is carried out has what its status says, and another run of it
// changes nothing, neither on the platform nor in what is emitted.
func TestConfigure(t *testing.T) {
	run := onPlatform(t, goodUser)
	first, err := pipeline{}.configure(t.Context(), run)
	if err != nil || !first.Ready {
		t.Fatalf("it says %s: %v", first.Message, err)
	}
	kinds := []platform.Kind{platform.ConfigMap, platform.NatsUser, platform.NatsAccount}
	before := platformtest.Contents(t, run.Platform, kinds...)
	run.Last = first.Output
	again, err := pipeline{}.configure(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Status, again.Status); diff != "" || first.Message != again.Message {
		t.Errorf("again it says %s: %s", again.Message, diff)
	}
	if diff := cmp.Diff(first.Output, again.Output); diff != "" || slices.Compare(first.Output.Destinations(), []string{"eu-1", "us-1"}) != 0 {
		t.Errorf("again it emits something else: %s", diff)
	}
	if diff := cmp.Diff(before, platformtest.Contents(t, run.Platform, kinds...)); diff != "" {
		t.Errorf("again it changes the platform: %s", diff)
	}
}

// A run that cannot finish still tells the account what its status has seen of it.
func TestConfigureSaysWhatItHasSeen(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testing.T, *workflow.Run)
		seen   bool
		says   string
	}{
		{"it is refused", func(_ *testing.T, run *workflow.Run) { run.Config.ReconcileInterval = 48 * time.Hour }, false, "minRenewBefore"},
		{"it cannot be carried out", func(t *testing.T, run *workflow.Run) {
			edit(t, run.Platform, func(l *ledger.Ledger) { l.Tombstone = &ledger.Tombstone{UID: string(run.Request.GetUID()), At: now} })
			mark(t, run.Platform)
			erase(t, run.Platform)
		}, true, "is being deleted"},
		{"it cannot be emitted", func(t *testing.T, run *workflow.Run) {
			store(t, run.Platform, "nats-user-overlays", map[string]any{"a.yaml": "kind: [a]\n"})
		}, true, "the overlays of the platform team do not apply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, goodUser)
			test.change(t, run)
			result, err := pipeline{}.configure(t.Context(), run)
			if seen, _ := result.Status[termsKey].(string); (seen != "") != test.seen || !strings.Contains(words(err), test.says) {
				t.Errorf("it says %v, want %q; the status has the terms %q, want some: %t", err, test.says, seen, test.seen)
			}
		})
	}
}
