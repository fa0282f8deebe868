package apiaggregatortarget

import (
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
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
				if _, err := claims(run).Acquire(t.Context(), host, test.owner, nil); err != nil {
					t.Fatal(err)
				}
			}
			if test.releasing {
				if _, err := claims(run).Release(t.Context(), host, test.owner, true); err != nil {
					t.Fatal(err)
				}
			}
			a := &aggregator.ApiAggregator{}
			a.Namespace, a.Name, a.Spec.Hostname = "platform", "public-api", "api.example.com"
			_, err := holdsHost(t.Context(), run, a)
			var failure *workflow.Failure
			if refused := errors.As(err, &failure) && failure.Reason == "HostNotHeld"; refused == test.holds || (err == nil) != test.holds {
				t.Errorf("it says %v, holds: %t", err, test.holds)
			}
		})
	}
}

// A deletion ends the configure runs of its request: what one emits afterwards would
// stay for ever.
func TestReleaseEndsConfigure(t *testing.T) {
	memory := platform.NewMemory(time.Now)
	job := &unstructured.Unstructured{}
	job.SetGroupVersionKind(platform.Job.GroupVersionKind)
	job.SetNamespace("team-a")
	job.SetName("configure")
	job.SetLabels(map[string]string{kratix.LabelPromise: promise, kratix.LabelResource: "shop", kratix.LabelAction: string(kratix.Configure)})
	if _, err := memory.Create(t.Context(), platform.Job, job); err != nil {
		t.Fatal(err)
	}
	run := &workflow.Run{
		Promise: promise, Platform: memory, Request: &unstructured.Unstructured{Object: map[string]any{}},
		Identity: identity.Request{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "shop"},
	}
	if err := release(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if jobs, err := memory.List(t.Context(), platform.Job, "team-a", nil); err != nil || len(jobs) > 0 {
		t.Errorf("%d configure Jobs are left: %v", len(jobs), err)
	}
}
