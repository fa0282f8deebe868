package simulator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// statusKey is where Kratix H keeps its own part of a request's status.
const statusKey = "kratix"

const conditionCompleted = "ConfigureWorkflowCompleted"

// Control is what a pipeline asked of Kratix H in metadata/workflow-control.yaml.
// Either wish holds back the output and labels the request as suspended; the
// status is written all the same, without ConfigureWorkflowCompleted being True.
type Control struct {
	// Suspend stops the workflow until somebody removes the label
	// kratix.io/workflow-suspended.
	Suspend bool `json:"suspend,omitempty"`
	// RetryAfter is the duration after which Kratix runs the pipeline again.
	RetryAfter string `json:"retryAfter,omitempty"`
	Message    string `json:"message,omitempty"`
}

// Held reports whether the output of the run was held back.
func (c Control) Held() bool { return c.Suspend || c.RetryAfter != "" }

// readControl reads a workflow-control.yaml; with an empty one nothing was asked.
func readControl(data []byte) (Control, error) {
	var control Control
	if err := yaml.Unmarshal(data, &control); err != nil {
		return Control{}, fmt.Errorf("workflow-control.yaml is not {suspend, retryAfter, message}: %w", err)
	}
	if _, err := time.ParseDuration(control.RetryAfter); err != nil && control.RetryAfter != "" {
		return Control{}, fmt.Errorf("workflow-control.yaml: retryAfter %q is not a duration such as 30s or 5m", control.RetryAfter)
	}
	return control, nil
}

// readStatus reads a status.yaml; with an empty one nothing is added to the status.
func readStatus(data []byte) (map[string]any, error) {
	if data == nil {
		return nil, nil
	}
	var status map[string]any
	if err := decodeYAML(data, &status); err != nil {
		return nil, fmt.Errorf("status.yaml is not a map: %w", err)
	}
	return status, nil
}

// decodeYAML reads YAML with integers as int64, as API machinery has them.
func decodeYAML(data []byte, into *map[string]any) error {
	encoded, err := yaml.YAMLToJSON(data)
	if err != nil {
		return err
	}
	return utiljson.Unmarshal(encoded, into)
}

// mergeStatus puts the keys of incoming in place of those that exist. Only
// conditions are merged, by type: the order stays, new ones come last.
func mergeStatus(existing, incoming map[string]any) map[string]any {
	merged := maps.Clone(existing)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range incoming {
		old, isList := merged[key].([]any)
		added, areList := value.([]any)
		if key != "conditions" || !isList || !areList {
			merged[key] = value
			continue
		}
		var conditions []any
		for _, c := range append(slices.Clip(old), added...) {
			if condition, ok := c.(map[string]any); ok && isString(condition["type"]) {
				conditions = setCondition(conditions, condition)
			}
		}
		merged[key] = conditions
	}
	return merged
}

func isString(v any) bool { _, ok := v.(string); return ok }

// setCondition replaces the condition of that type or adds it.
func setCondition(conditions []any, condition map[string]any) []any {
	for i, c := range conditions {
		if old, ok := c.(map[string]any); ok && old["type"] == condition["type"] {
			conditions[i] = condition
			return conditions
		}
	}
	return append(conditions, condition)
}

// begin is what Kratix does to the status before it runs a pipeline: a message
// that no pipeline renews does not outlive the run. It is not stored here,
// because a run that changes nothing must write nothing.
func begin(status map[string]any) map[string]any {
	status = maps.Clone(status)
	if status == nil {
		status = map[string]any{}
	}
	status["message"] = "Pending"
	return status
}

// complete marks the last pipeline as done.
func complete(status map[string]any, now time.Time) {
	if status["message"] == "Pending" {
		status["message"] = "Resource requested"
	}
	workflowCondition(status, "True", "PipelinesExecutedSuccessfully", "Pipelines completed", now)
}

// workflowCondition sets ConfigureWorkflowCompleted. Kratix renews its
// lastTransitionTime in each run, because it sets the condition to False while
// the pipeline runs. Here the time stays while the status does, so that a run
// that changes nothing writes nothing.
func workflowCondition(status map[string]any, value, reason, message string, now time.Time) {
	condition := map[string]any{
		"type": conditionCompleted, "status": value, "reason": reason, "message": message,
		"lastTransitionTime": now.UTC().Format(time.RFC3339),
	}
	old, _ := status["conditions"].([]any)
	conditions := append([]any(nil), old...)
	for _, c := range conditions {
		before, _ := c.(map[string]any)
		if before["type"] == conditionCompleted && before["status"] == value && isString(before["lastTransitionTime"]) {
			condition["lastTransitionTime"] = before["lastTransitionTime"]
		}
	}
	status["conditions"] = setCondition(conditions, condition)
}

// recordPipeline keeps H's own account of the pipeline. A pipeline that reads
// the status and writes it back therefore fails from its second run on, here as
// on H.
func recordPipeline(status map[string]any, pipeline string, control Control, now time.Time) {
	entry := map[string]any{"name": pipeline, "phase": "Succeeded"}
	if control.Held() {
		entry["phase"] = "Suspended"
		if control.Message != "" {
			entry["message"] = control.Message
		}
		if control.RetryAfter != "" {
			wait, _ := time.ParseDuration(control.RetryAfter) // checked when it was read
			entry["nextRetryAt"] = now.UTC().Add(wait).Format(time.RFC3339)
			entry["attempts"] = attempts(status, pipeline) + 1
		}
	}
	status[statusKey] = map[string]any{"workflows": map[string]any{"pipelines": []any{entry}}}
}

// attempts returns how often in a row the pipeline asked to be run again.
func attempts(status map[string]any, pipeline string) int64 {
	own, _ := status[statusKey].(map[string]any)
	workflows, _ := own["workflows"].(map[string]any)
	pipelines, _ := workflows["pipelines"].([]any)
	for _, p := range pipelines {
		if entry, _ := p.(map[string]any); entry["name"] == pipeline {
			n, _ := entry["attempts"].(int64)
			return n
		}
	}
	return 0
}
