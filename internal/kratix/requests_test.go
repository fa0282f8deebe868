package kratix

import (
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
)

func request(name string, labels map[string]string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("baleen.dev/v1alpha1")
	o.SetKind("NatsUser")
	o.SetNamespace("team-a")
	o.SetName(name)
	o.SetLabels(labels)
	return o
}

// Only what has the name and both labels of a dry run is one: who makes a request
// cannot hide it by one of them.
func TestRequests(t *testing.T) {
	memory := platform.NewMemory(time.Now)
	for _, test := range []struct {
		name   string
		labels map[string]string
		is     bool
	}{
		{"kratix-dry-run-orders-1a2b3", map[string]string{LabelDryRun: "true", LabelDryRunOwner: "orders"}, true},
		{"orders", map[string]string{LabelDryRun: "true", LabelDryRunOwner: "orders"}, false},
		{"kratix-dry-run-billing-1a2b3", map[string]string{LabelDryRun: "true"}, false},
		{"kratix-dry-run-billing-1a2b4", map[string]string{LabelDryRun: "true", LabelDryRunOwner: ""}, false},
		{"kratix-dry-run-billing-1a2b5", map[string]string{LabelDryRun: "false", LabelDryRunOwner: "orders"}, false},
		{"kratix-dry-run-billing-1a2b6", map[string]string{LabelDryRunOwner: "orders"}, false},
		{"kratix-dry-run-billing-1a2b7", nil, false},
	} {
		o := request(test.name, test.labels)
		if is := IsDryRun(o); is != test.is {
			t.Errorf("%s with %v is a dry run: %t", test.name, test.labels, is)
		}
		if _, err := memory.Create(t.Context(), platform.NatsUser, o); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Requests(t.Context(), memory, platform.NatsUser)
	if err != nil || len(got) != 6 {
		t.Errorf("%d requests are listed, %v", len(got), err)
	}
	if _, err := Requests(t.Context(), platformtest.At(memory, 1, platformtest.Refused), platform.NatsUser); !platform.IsTransient(err) {
		t.Errorf("while the platform is away it says %v", errors.Unwrap(err))
	}
}

func TestIsPaused(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "false": false, "": false} {
		if is := IsPaused(request("orders", map[string]string{LabelPaused: value})); is != want {
			t.Errorf("with %q it is paused: %t", value, is)
		}
	}
	if IsPaused(request("orders", nil)) {
		t.Error("without the label it is paused")
	}
}
