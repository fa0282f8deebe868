package kratix_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
)

// A Work whose content is damaged is refused, with its name.
func TestUnpackRefuses(t *testing.T) {
	owner := kratix.Owner{Promise: "api-aggregator-target", Namespace: "team-a", Resource: "orders", Pipeline: "configure"}
	work, err := simulator.Pack(owner, fstest.MapFS{"a.yaml": {Data: []byte("x")}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	workload := kratix.WorkloadGroups(work)[0]["workloads"].([]any)[0].(map[string]any)
	whole := workload["content"].(string)
	for _, content := range []string{"%", "YQ==", "", whole[:len(whole)-8]} {
		workload["content"] = content
		if _, err := kratix.Unpack(work); err == nil || !strings.Contains(err.Error(), `team-a/`+work.GetName()+` is damaged: the content of "a.yaml"`) {
			t.Errorf("%q: %v", content, err)
		}
	}
}
