// Package workload is the pipeline of the Promise workload: it makes what every cluster of
// the System needs to run a container.
package workload

import (
	"context"
	"fmt"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/system"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/workload/v1alpha1"
)

const promise = "workload"

// Pipeline is the Promise's pipeline.
var Pipeline = workflow.Pipeline{
	Promise:      promise,
	Kind:         platform.Workload,
	Configure:    configure,
	Delete:       release,
	Check:        workflow.CheckBy(v1alpha1.Read),
	PlatformOnly: true,
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(Pipeline) }

// inputs are all that a run depends on, but for the claims, which others change meanwhile.
type inputs struct {
	workload  *v1alpha1.Workload
	namespace string // on the workload clusters
	placement destination.Placement
	templates render.Templates
	// seen is what the status tells the System of its terms, also by a run that cannot
	// finish: nil as long as nothing was looked up.
	seen map[string]any
}

func configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	in, err := gather(ctx, run)
	if err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	clusters, err := claimNames(ctx, run, in)
	if err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	output, err := emit(run, in, clusters)
	if err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	return report(in, clusters, output), nil
}

func gather(ctx context.Context, run *workflow.Run) (inputs, error) {
	var in inputs
	var err error
	if in.workload, err = v1alpha1.Read(run.Request); err != nil {
		return in, workflow.Fail(reason.InvalidSpec, err)
	}
	if in.namespace, err = run.Config.WorkloadNamespace(in.workload.Namespace, in.workload.Spec.WorkloadNamespace); err != nil {
		return in, workflow.Fail(reason.NamespaceNotMapped, err)
	}
	in.seen = map[string]any{system.TermsKey: ""}
	s, err := system.Get(ctx, run.Platform, run.Config, system.RefOf(in.workload))
	if err != nil {
		return in, err
	}
	if in.placement, err = destination.List(ctx, run.Platform, s.Spec.Placement.Labels()); err != nil {
		return in, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	terms := system.TermsFor(s, in.workload.Namespace, in.placement.Placed)
	in.seen[system.TermsKey] = terms.Digest()
	if err := terms.Admit(s, in.workload); err != nil {
		return in, workflow.Fail(reason.NotAdmitted, err)
	}
	in.templates, err = run.Templates(ctx, promises.Templates(promise))
	return in, err
}

// problem is why a cluster does not get what is asked for.
type problem struct {
	reason  reason.Reason
	message string
}

// cluster is one on which the workload is placed.
type cluster struct {
	name string
	// held: the workload's name is this request's to serve there.
	held bool
	// former are its names in other namespaces that are this request's still.
	former  []claim.Resource
	problem problem
}

// replicas says how many run.
func replicas(w *v1alpha1.Workload) string {
	least, most := w.Spec.Replicas()
	if least == most {
		return field.Count(int(most), "replica")
	}
	return fmt.Sprintf("%d to %d replicas", least, most)
}

// report says in the status what each cluster is to run.
func report(in inputs, clusters []*cluster, output destination.Output) workflow.Result {
	rows := []v1alpha1.ClusterStatus{}
	served := 0
	for _, c := range clusters {
		rows = append(rows, v1alpha1.ClusterStatus{Destination: c.name, Namespace: in.namespace, Problem: c.problem.message})
		if c.problem.reason == "" {
			served++
		}
	}
	result := workflow.Result{
		Placement: in.placement,
		Output:    output,
		Ready:     true,
		Reason:    reason.Ready,
		Message:   fmt.Sprintf("%s of %s for the namespace %s on %d of %s", replicas(in.workload), in.workload.Spec.Container.Image, in.namespace, served, in.placement.Count()),
		Status: map[string]any{
			"clusters":      rows,
			system.TermsKey: in.seen[system.TermsKey],
		},
	}
	if why, message := in.placement.Problem("the System's spec.placement"); why != "" {
		result.Lacks(why, message)
	}
	var first *problem
	more := 0
	for _, c := range clusters {
		switch {
		case c.problem.reason == "":
		case first == nil:
			first = &c.problem
		default:
			more++
		}
	}
	if first != nil {
		result.Lacks(first.reason, first.message)
	}
	if more > 0 {
		result.Note(fmt.Sprintf("clusters with problems besides: %d, see status.clusters", more))
	}
	return result
}
