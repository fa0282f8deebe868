// Package kratix is what Baleen relies on of Kratix: the labels that it sets and
// heeds, the two actions of a workflow, and how a Work holds a pipeline's output.
package kratix

import "time"

// Labels that Kratix puts on requests, Jobs, Works and WorkPlacements, and reads of
// Promises.
const (
	LabelPromise              = "kratix.io/promise-name"
	LabelPromiseVersion       = "kratix.io/promise-version"
	LabelResource             = "kratix.io/resource-name"
	LabelPipeline             = "kratix.io/pipeline-name"
	LabelWorkType             = "kratix.io/work-type"
	LabelAction               = "kratix.io/workflow-action"
	LabelWork                 = "kratix.io/work"
	LabelGroup                = "kratix.io/workload-group-id"
	LabelDestination          = "kratix.io/targetDestinationName"
	LabelMisplaced            = "kratix.io/misplaced"
	LabelManualReconciliation = "kratix.io/manual-reconciliation"
	LabelSuspended            = "kratix.io/workflow-suspended"
	LabelDryRun               = "kratix.io/dry-run"
	LabelDryRunOwner          = "kratix.io/dry-run-owner"
	LabelPaused               = "kratix.io/paused"
)

// AnnotationInterval sets another interval for a Promise.
const AnnotationInterval = "kratix.io/reconciliation-interval"

// DefaultInterval is the interval where nothing says another.
const DefaultInterval = 10 * time.Hour

// Where Kratix runs, and the ConfigMap there that has its own configuration.
const (
	Namespace = "kratix-platform-system"
	ConfigMap = "kratix"
)

// Action is what a workflow does for a request.
type Action string

// The actions are the two workflows of a Promise.
const (
	Configure Action = "configure"
	Delete    Action = "delete"
)

// Owner says whose output a Work holds. With Pipeline empty it means all Works
// of a request.
type Owner struct {
	Promise, Namespace, Resource, Pipeline string
}

// Labels returns the labels by which Kratix finds the owner's Work.
func (o Owner) Labels() map[string]string {
	labels := map[string]string{LabelPromise: o.Promise, LabelResource: o.Resource, LabelWorkType: "resource"}
	if o.Pipeline != "" {
		labels[LabelPipeline] = o.Pipeline
	}
	return labels
}
