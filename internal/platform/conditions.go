package platform

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Conditions returns the conditions in the status of an object. Statuses are others' to
// write: what of one is not as it should be is left out, and the rest counts.
func Conditions(o *unstructured.Unstructured) []metav1.Condition {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	var conditions []metav1.Condition
	for _, item := range all {
		item, _ := item.(map[string]any)
		text := func(key string) string {
			s, _ := item[key].(string)
			return s
		}
		c := metav1.Condition{Type: text("type"), Status: metav1.ConditionStatus(text("status")), Reason: text("reason"), Message: text("message")}
		c.ObservedGeneration, _ = item["observedGeneration"].(int64)
		if at, err := time.Parse(time.RFC3339, text("lastTransitionTime")); err == nil {
			c.LastTransitionTime = metav1.NewTime(at)
		}
		conditions = append(conditions, c)
	}
	return conditions
}
