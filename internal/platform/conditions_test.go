package platform_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

// What is wrong in one condition hides nothing of the others.
func TestConditions(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ready := map[string]any{"type": "Ready", "status": "True", "reason": "Delivered", "message": "all is well", "observedGeneration": int64(3), "lastTransitionTime": "2026-01-01T12:00:00Z"}
	want := metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Delivered", Message: "all is well", ObservedGeneration: 3, LastTransitionTime: metav1.NewTime(at)}
	for _, test := range []struct {
		name   string
		status any
		want   []metav1.Condition
	}{
		{"none", nil, nil},
		{"a status that is none", "well", nil},
		{"conditions that are none", map[string]any{"conditions": "well"}, nil},
		{"one", map[string]any{"conditions": []any{ready}}, []metav1.Condition{want}},
		{"one beside what is none", map[string]any{"conditions": []any{"well", map[string]any{"type": int64(1), "reason": "Odd", "observedGeneration": "3", "lastTransitionTime": "noon"}, ready}},
			[]metav1.Condition{{}, {Reason: "Odd"}, want}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := &unstructured.Unstructured{Object: map[string]any{"status": test.status}}
			if diff := cmp.Diff(test.want, platform.Conditions(o)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
