package workflow

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
)

// Peer is what a run knows of another request, whose status says how it fares.
type Peer struct {
	Namespace, Name string
	// Terms is the digest of the terms that its last run saw; empty before.
	Terms string
	// Deleting is since when it is being deleted.
	Deleting time.Time
	// Ready and Reason are those of its last run; Reason is empty before.
	Ready  bool
	Reason reason.Reason
	// Failed tells that its last run could not finish for a reason that may have
	// gone away since.
	Failed bool
	// Begun is since when Kratix says that a run of it is in progress; zero if it does
	// not.
	Begun time.Time
	// Refused tells that its last run found the request itself to be wrong: no
	// terms mend that.
	Refused bool
	// Since is since when it is ready, or not; before its first run, since it was made.
	Since time.Time
	// Paused tells that Kratix runs nothing for it: neither a change nor a renewal, nor
	// its deletion.
	Paused bool
	// Held tells that it is its own label that pauses it.
	Held bool
}

// Key implements [Keyed].
func (p Peer) Key() (namespace, name string) { return p.Namespace, p.Name }

// IsDeleting reports whether the request is being deleted.
func (p Peer) IsDeleting() bool { return !p.Deleting.IsZero() }

// conditionReady is the type of the condition that is Baleen's own.
const conditionReady = "Ready"

// PeerOf reads the status of another request; its terms have a key of their own.
func PeerOf(o *unstructured.Unstructured, termsKey string) Peer {
	p := Peer{Namespace: o.GetNamespace(), Name: o.GetName(), Since: o.GetCreationTimestamp().UTC(), Held: kratix.IsPaused(o)}
	p.Paused = p.Held
	p.Terms, _, _ = unstructured.NestedString(o.Object, "status", termsKey)
	if d := o.GetDeletionTimestamp(); d != nil {
		p.Deleting = d.Time
	}
	conditions := platform.Conditions(o)
	if ready := meta.FindStatusCondition(conditions, conditionReady); ready != nil {
		p.Ready, p.Reason, p.Since = ready.Status == metav1.ConditionTrue, reason.Reason(ready.Reason), ready.LastTransitionTime.UTC()
		p.Failed = p.Reason.Class() == reason.Retry
		p.Refused = p.Reason.Class() == reason.Refuse && ready.ObservedGeneration == o.GetGeneration()
	}
	if workflow := meta.FindStatusCondition(conditions, "ConfigureWorkflowCompleted"); workflow != nil {
		p.Failed = p.Failed || workflow.Reason == "ConfigureWorkflowFailed" // Kratix's word for an exit code other than 0
		if workflow.Reason == "PipelinesInProgress" {
			p.Begun = workflow.LastTransitionTime.UTC()
		}
	}
	if reconciled := meta.FindStatusCondition(conditions, "Reconciled"); reconciled != nil && reconciled.Reason == "PausedReconciliation" {
		p.Paused = true // also by the label of its Promise
	}
	return p
}

// Settling is how long a request may take to come to rest, from being made or from
// being found wanting until nothing is left to be tried.
const Settling = 15 * time.Minute

// IsSettled reports whether it has been as it is for so long that it does not change by
// itself.
func (p Peer) IsSettled(now time.Time) bool { return !now.Before(p.Since.Add(Settling)) }

// stuck is how long a deletion takes at the most where its Job can run, and does
// not fail.
const stuck = 10 * time.Minute

// IsStuck reports whether a deletion does not come to an end: Jobs cannot run in a
// namespace that terminates. One that somebody holds still is not stuck.
func (p Peer) IsStuck(now time.Time) bool {
	return !p.Deleting.IsZero() && !p.Held && !now.Before(p.Deleting.Add(stuck))
}

// forgotten is how long after its beginning Kratix has forgotten a run.
const forgotten = time.Hour

// IsForgotten reports whether Kratix never runs the request by itself again. It takes
// off the label by which a run was asked for before it makes the Job: where it dies
// between the two, or the Job is refused, the run stays in progress for ever, and
// such a request is left out when all are run at their interval.
func (p Peer) IsForgotten(now time.Time) bool {
	return p.Deleting.IsZero() && !p.Begun.IsZero() && !now.Before(p.Begun.Add(forgotten))
}

// IsLeftOut reports whether Kratix may not run the request at its interval: it has
// forgotten a run, or it came by while the request was paused. When the pause of a
// Promise ends nobody tells its requests, and no timer of theirs runs any more.
func (p Peer) IsLeftOut(now time.Time) bool {
	return p.Deleting.IsZero() && (p.Paused || p.IsForgotten(now)) // a deletion has no interval
}

// Concerned reports whether the request should run again, now that terms hold.
func (p Peer) Concerned(terms string, now time.Time) bool {
	if !p.Deleting.IsZero() {
		// Kratix tries a delete that failed only when it is asked to.
		return p.IsStuck(now)
	}
	return p.IsLeftOut(now) || !p.Refused && (p.Failed || p.Terms != terms)
}
