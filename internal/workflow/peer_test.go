package workflow

import (
	"reflect"
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

// A peer is what the status of a request says of its last run, for the spec that it
// was about, and when the request is deleted.
func TestPeerOf(t *testing.T) {
	at := time.Date(2026, 11, 26, 18, 47, 21, 0, time.UTC)
	for _, test := range []struct {
		name, metadata, status string
		want                   Peer
	}{
		{"nothing yet", "", "{}", Peer{}},
		{"a good run", "", "{accountTerms: t, conditions: [{type: Ready, status: 'True', reason: Delivered, observedGeneration: 3}]}", Peer{Terms: "t", Ready: true, Reason: "Delivered"}},
		{"it is being deleted", ", deletionTimestamp: '2026-11-26T18:47:21Z'", "{}", Peer{Deleting: at}},
		{"a failure that may have gone away", "", "{conditions: [{type: Ready, status: 'False', reason: PlatformUnavailable, observedGeneration: 3}]}", Peer{Reason: "PlatformUnavailable", Failed: true}},
		{"its spec is wrong", "", "{conditions: [{type: Ready, status: 'False', reason: InvalidSpec, observedGeneration: 3}]}", Peer{Reason: "InvalidSpec", Refused: true}},
		{"its namespace is not mapped", "", "{conditions: [{type: Ready, status: 'False', reason: NamespaceNotMapped, observedGeneration: 3}]}", Peer{Reason: "NamespaceNotMapped", Refused: true}},
		{"a former spec was wrong", "", "{conditions: [{type: Ready, status: 'False', reason: InvalidSpec, observedGeneration: 2}]}", Peer{Reason: "InvalidSpec"}},
		{"its run ended with 1", "", "{conditions: [{type: Ready, status: 'True', reason: Delivered}, {type: ConfigureWorkflowCompleted, status: 'False', reason: ConfigureWorkflowFailed}]}",
			Peer{Ready: true, Reason: "Delivered", Failed: true}},
		{"its run ended with 1, and said so last", "", "{conditions: [{type: ConfigureWorkflowCompleted, status: 'False', reason: ConfigureWorkflowFailed}, {type: Ready, status: 'True', reason: Delivered}]}",
			Peer{Ready: true, Reason: "Delivered", Failed: true}},
		{"a failure before a good end", "", "{conditions: [{type: Ready, status: 'False', reason: Failed}, {type: ConfigureWorkflowCompleted, status: 'True', reason: PipelinesExecutedSuccessfully}]}",
			Peer{Reason: "Failed", Failed: true}},
		{"a run in progress", "", "{conditions: [{type: ConfigureWorkflowCompleted, status: 'False', reason: PipelinesInProgress, lastTransitionTime: '2026-11-26T18:47:21Z'}]}", Peer{Begun: at}},
		{"it was made", ", creationTimestamp: '2026-11-26T18:47:21Z'", "{}", Peer{Since: at}},
		{"it is ready since", ", creationTimestamp: '2026-11-26T17:00:00Z'", "{conditions: [{type: Ready, status: 'True', reason: Delivered, lastTransitionTime: '2026-11-26T18:47:21Z'}]}", Peer{Ready: true, Reason: "Delivered", Since: at}},
		{"it is paused", ", labels: {kratix.io/paused: 'true'}", "{}", Peer{Paused: true, Held: true}},
		{"it was paused", ", labels: {kratix.io/paused: 'false'}", "{conditions: [{type: Reconciled, status: Unknown, reason: Unpaused}]}", Peer{}},
		{"its Promise is paused", "", "{conditions: [{type: Reconciled, status: Unknown, reason: PausedReconciliation, message: Paused}]}", Peer{Paused: true}},
		{"conditions of others", "", "{conditions: [{type: Other, status: 'True', reason: Failed, lastTransitionTime: '2026-11-26T18:47:21Z'}, 7]}", Peer{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := PeerOf(object(t, "{apiVersion: baleen.dev/v1alpha1, kind: NatsUser, metadata: {name: orders, namespace: team-a, generation: 3"+test.metadata+"}, status: "+test.status+"}"), "accountTerms")
			got.Deleting = got.Deleting.UTC()
			test.want.Namespace, test.want.Name = "team-a", "orders"
			if test.want.Deleting = test.want.Deleting.UTC(); !reflect.DeepEqual(got, test.want) {
				t.Errorf("it is %+v, want %+v", got, test.want)
			}
		})
	}
}

// What does not come to rest within a quarter of an hour does not by itself.
func TestIsSettled(t *testing.T) {
	at := now()
	for after, want := range map[time.Duration]bool{0: false, 15*time.Minute - 1: false, 15 * time.Minute: true} {
		if is := (Peer{Since: at}).IsSettled(at.Add(after)); is != want {
			t.Errorf("after %s it is %t", after, is)
		}
	}
	if !(Peer{}).IsSettled(at) {
		t.Error("what nobody knows the age of is taken for new")
	}
}

// Who runs again: who has not seen the terms or could not finish, unless the request
// itself is wrong; and a deletion that has not come to its end in time.
func TestConcerned(t *testing.T) {
	at := now()
	for _, test := range []struct {
		name             string
		peer             Peer
		after            time.Duration
		want             bool
		stuck, forgotten bool
	}{
		{name: "it has seen the terms", peer: Peer{Terms: "t"}},
		{name: "it has seen others", peer: Peer{Terms: "s"}, want: true},
		{name: "it is paused, or was", peer: Peer{Terms: "t", Paused: true}, want: true},
		{name: "it is wrong, and paused", peer: Peer{Terms: "t", Refused: true, Paused: true}, want: true},
		{name: "it has failed", peer: Peer{Terms: "t", Failed: true}, want: true},
		{name: "its request is wrong", peer: Peer{Terms: "s", Failed: true, Refused: true}},
		{name: "it has just begun", peer: Peer{Terms: "t", Begun: at}, after: time.Hour - 1},
		{name: "it began an hour ago", peer: Peer{Terms: "t", Refused: true, Begun: at}, after: time.Hour, want: true, forgotten: true},
		{name: "it is being deleted", peer: Peer{Terms: "s", Failed: true, Begun: at, Deleting: at}, after: 10*time.Minute - 1},
		{name: "it has been for ten minutes", peer: Peer{Terms: "t", Deleting: at}, after: 10 * time.Minute, want: true, stuck: true},
		{name: "it has been for long, and began before", peer: Peer{Terms: "t", Begun: at, Deleting: at}, after: 2 * time.Hour, want: true, stuck: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			then := at.Add(test.after)
			if got := test.peer.Concerned("t", then); got != test.want {
				t.Errorf("it runs again: %t, want %t", got, test.want)
			}
			if got := test.peer.IsStuck(then); got != test.stuck {
				t.Errorf("its deletion is stuck: %t, want %t", got, test.stuck)
			}
			if got := test.peer.IsForgotten(then); got != test.forgotten {
				t.Errorf("Kratix has forgotten it: %t, want %t", got, test.forgotten)
			}
		})
	}
}
