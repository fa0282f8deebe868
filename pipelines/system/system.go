// Package system is the pipeline of the Promise system: it emits nothing, verifies what
// the System says, and tells its workloads when something that concerns them has changed.
package system

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/system"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/system/v1alpha1"
)

// Pipeline is the Promise's pipeline.
var Pipeline = workflow.Pipeline{
	Promise:      "system",
	Kind:         platform.System,
	Configure:    configure,
	Delete:       remove,
	Check:        workflow.CheckBy(v1alpha1.Read),
	PlatformOnly: true,
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(Pipeline) }

// inputs are all that a run depends on.
type inputs struct {
	system    *v1alpha1.System
	placement destination.Placement
	workloads []workload // all of the platform
}

// workload is what the System knows of a Workload.
type workload struct {
	workflow.Peer
	// system is the one that it refers to, namespace/name.
	system string
}

func configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	in, err := gather(ctx, run)
	if err != nil {
		return workflow.Result{}, err
	}
	if err := sweep(ctx, run, in); err != nil {
		return workflow.Result{}, err
	}
	if err := workflow.NotifyPeers(ctx, run, platform.Workload, concerned(in, run.Now)); err != nil {
		return workflow.Result{}, err
	}
	return report(in), nil
}

// remove ends configure runs, and has the workloads say that their System is gone. What
// runs goes on.
func remove(ctx context.Context, run *workflow.Run) error {
	if err := run.StopConfigure(ctx); err != nil {
		return err
	}
	all, err := listWorkloads(ctx, run.Platform)
	if err != nil {
		return err
	}
	return workflow.NotifyAll(ctx, run, platform.Workload, attached(all, run.Identity))
}

func gather(ctx context.Context, run *workflow.Run) (inputs, error) {
	var in inputs
	if !system.Counts(run.Config, run.Identity.Namespace) {
		return in, workflow.Fail(reason.WrongNamespace, fmt.Errorf("a System in the namespace %s counts for nobody: make it in one that systemNamespaces in the ConfigMap %s/baleen-config names, by default %s",
			run.Identity.Namespace, config.Namespace, config.Namespace))
	}
	var err error
	if in.system, err = v1alpha1.Read(run.Request); err != nil {
		return in, workflow.Fail(reason.InvalidSpec, err)
	}
	if in.placement, err = destination.List(ctx, run.Platform, in.system.Spec.Placement.Labels()); err != nil {
		return in, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	in.workloads, err = listWorkloads(ctx, run.Platform)
	return in, err
}

// listWorkloads returns all workloads of the platform.
func listWorkloads(ctx context.Context, client platform.Client) ([]workload, error) {
	objects, err := kratix.Requests(ctx, client, platform.Workload)
	if err != nil {
		return nil, fmt.Errorf("the Workloads cannot be listed: %w", err)
	}
	var workloads []workload
	for _, o := range objects {
		text := func(fields ...string) string {
			s, _, _ := unstructured.NestedString(o.Object, fields...)
			return s
		}
		workloads = append(workloads, workload{
			Peer:   workflow.PeerOf(&o, system.TermsKey),
			system: cmp.Or(text("spec", "systemRef", "namespace"), config.Namespace) + "/" + text("spec", "systemRef", "name"),
		})
	}
	return workloads, nil
}

// attached returns the workloads that refer to a System. Pure.
func attached(all []workload, to identity.Request) []workload {
	return slices.DeleteFunc(slices.Clone(all), func(w workload) bool { return w.system != to.String() })
}

// concerned returns the workloads for which the terms have changed since their last run,
// and those whose last run failed. Pure.
func concerned(in inputs, now time.Time) []workload {
	here := identity.Request{Namespace: in.system.Namespace, Name: in.system.Name}
	return slices.DeleteFunc(attached(in.workloads, here), func(w workload) bool {
		return !w.Concerned(system.TermsFor(in.system, w.Namespace, in.placement.Placed).Digest(), now)
	})
}

// sweep releases the names on the System's clusters whose owners are gone without a word:
// deleted by force, or in a namespace that terminates. Others may wait for them.
func sweep(ctx context.Context, run *workflow.Run, in inputs) error {
	store := claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.Workload, Promise: "workload"}}}
	dead := func(ctx context.Context, c claim.Claim) (bool, error) {
		i := slices.IndexFunc(in.workloads, func(w workload) bool { return w.Namespace == c.Owner.Namespace && w.Name == c.Owner.Name })
		switch {
		case i < 0, in.workloads[i].Deleting.IsZero() && c.Deleted: // once more, for it may have come since; or it was made again
			return store.Gone(ctx, c)
		case in.workloads[i].IsStuck(run.Now):
			return store.Silent(ctx, c.Owner)
		}
		return false, nil
	}
	ask := func(ctx context.Context, waiters []claim.Owner) error {
		return workflow.NotifyAll(ctx, run, platform.Workload, waiters)
	}
	for _, name := range in.placement.Placed {
		if _, err := store.Sweep(ctx, "workload", name, dead, ask); err != nil {
			return err
		}
	}
	return nil
}

// report says to whom the System offers what.
func report(in inputs) workflow.Result {
	result := workflow.Result{
		Placement: in.placement,
		Ready:     true,
		Reason:    reason.Ready,
		Message:   fmt.Sprintf("workloads of %s may run on %s", namespaces(in.system.Spec.AllowedNamespaces), in.placement.Count()),
	}
	if len(in.system.Spec.AllowedNamespaces) == 0 {
		result.Note("spec.allowedNamespaces names none: list the namespaces whose workloads belong to the system")
	}
	if why, message := in.placement.Problem("spec.placement"); why != "" {
		result.Lacks(why, message)
	}
	return result
}

// namespaces names those that are allowed, or counts them where they are many.
func namespaces(allowed []string) string {
	switch n := len(allowed); {
	case n == 0:
		return "no namespace"
	case n > 4:
		return field.Count(n, "namespace pattern")
	}
	return field.Listed(allowed)
}
