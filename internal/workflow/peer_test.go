package workflow

import (
	"testing"
	"time"
)

// Kratix takes the label off a request before it makes the Job. Where it dies in
// between it leaves this status behind, and never runs the request by itself again.
func TestForgottenRunsAreAskedForAgain(t *testing.T) {
	const (
		begun     = "{type: ConfigureWorkflowCompleted, status: 'False', reason: PipelinesInProgress, lastTransitionTime: '2026-11-26T18:47:21Z'}"
		completed = "{type: ConfigureWorkflowCompleted, status: 'True', reason: PipelinesExecutedSuccessfully, lastTransitionTime: '2026-11-26T18:47:21Z'}"
		delivered = "{type: Ready, status: 'True', reason: Delivered}"
	)
	at := time.Date(2026, 11, 26, 18, 47, 21, 0, time.UTC)
	for _, row := range []struct {
		name, metadata, conditions string
		after                      time.Duration
		want                       bool
	}{
		{"a run may take its time", "", delivered + ", " + begun, time.Hour - time.Second, false},
		{"but not this long", "", delivered + ", " + begun, time.Hour, true},
		{"the first run too", "", begun, time.Hour, true},
		{"what the platform team may mend", "", "{type: Ready, status: 'False', reason: NamespaceNotMapped, observedGeneration: 0}, " + begun, time.Hour, true},
		{"one that has ended is none", "", delivered + ", " + completed, 1000 * time.Hour, false},
		{"a deletion has its own limit", ", deletionTimestamp: '2026-11-26T19:47:00Z'", delivered + ", " + begun, time.Hour, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			request := object(t, "{apiVersion: baleen.dev/v1alpha1, kind: NatsUser, metadata: {name: orders, namespace: team-a"+row.metadata+
				"}, status: {accountTerms: same, conditions: ["+row.conditions+"]}}")
			if is := PeerOf(request, "accountTerms").Concerned("same", at.Add(row.after)); is != row.want {
				t.Errorf("it is concerned: %t, want %t", is, row.want)
			}
		})
	}
}
