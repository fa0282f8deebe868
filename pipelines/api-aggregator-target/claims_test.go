package apiaggregatortarget

import (
	"errors"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// A target is served under a host only while its aggregator holds it: one that
// waits for the host, or is on its way out, has no say in who publishes there.
func TestHoldsHost(t *testing.T) {
	mine := claim.Owner{Kind: platform.ApiAggregator.Kind, Namespace: "platform", Name: "public-api", UID: "1"}
	other := mine
	other.Namespace = "team-x"
	restored := mine
	restored.UID = "2"
	for _, test := range []struct {
		name      string
		owner     claim.Owner
		releasing bool
		holds     bool
	}{
		{name: "nobody has it"},
		{name: "it has it", owner: mine, holds: true},
		{name: "it has it from before a restore", owner: restored, holds: true},
		{name: "another has it", owner: other},
		{name: "it is on its way out", owner: mine, releasing: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := &workflow.Run{Platform: platform.NewMemory(time.Now)}
			host := claim.Host("api.example.com")
			if test.owner != (claim.Owner{}) {
				if _, err := book(run).Acquire(t.Context(), host, test.owner, nil); err != nil {
					t.Fatal(err)
				}
			}
			if test.releasing {
				if _, err := book(run).Release(t.Context(), host, test.owner, true); err != nil {
					t.Fatal(err)
				}
			}
			a := &aggregator.ApiAggregator{}
			a.Namespace, a.Name, a.Spec.Hostname = "platform", "public-api", "api.example.com"
			err := holdsHost(t.Context(), run, a)
			var failure *workflow.Failure
			if refused := errors.As(err, &failure) && failure.Reason == "HostNotHeld"; refused == test.holds || (err == nil) != test.holds {
				t.Errorf("it says %v, holds: %t", err, test.holds)
			}
		})
	}
}
