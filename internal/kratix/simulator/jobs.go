package simulator

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// job is a Job of a workflow.
type job struct{ *unstructured.Unstructured }

func (j job) action() kratix.Action { return kratix.Action(j.GetLabels()[kratix.LabelAction]) }

func (j job) suspend() bool {
	suspend, _, _ := unstructured.NestedBool(j.Object, "spec", "suspend")
	return suspend
}

// running reports whether the Job has come to no end yet.
func (j job) running() bool { return !j.has("Complete") && !j.has("Failed") && !j.has("Suspended") }

func (j job) has(condition string) bool {
	is, _, _ := unstructured.NestedString(j.Object, "status", "is")
	return is == condition
}

// end gives a Job its condition.
func (j job) end(ctx context.Context, client platform.Client, condition string) error {
	o := j.DeepCopy()
	o.Object["status"] = map[string]any{"is": condition, "conditions": []any{map[string]any{"type": condition, "status": "True"}}}
	_, err := client.UpdateStatus(ctx, platform.Job, o)
	return err
}

// suspended is what the Job controller does with a Job that is to be suspended: its
// Pods are told to end, and take their time.
func suspended(ctx context.Context, client platform.Client, j job) error {
	if err := j.end(ctx, client, "Suspended"); err != nil {
		return err
	}
	return endPods(ctx, client, j)
}

func endPods(ctx context.Context, client platform.Client, j job) error {
	pods, err := client.List(ctx, platform.Pod, j.GetNamespace(), map[string]string{labelJob: j.GetName()})
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if err := client.Delete(ctx, platform.Pod, pod.GetNamespace(), pod.GetName(), platform.Preconditions{}); err != nil {
			return err
		}
	}
	return nil
}

// Container is one of a Pod's, which run one after the other.
type Container string

// The containers of a Pod. A delete workflow has no work-writer, and with
// [Kratix202508] no status-writer either.
const (
	Pipeline     Container = "pipeline"
	WorkWriter   Container = "work-writer"
	StatusWriter Container = "status-writer"
)

// Pod is a Pod of a workflow.
type Pod struct {
	*unstructured.Unstructured
	promise Promise
}

// Key tells the Pod's present container from all others.
func (p Pod) Key() string {
	starts, _, _ := unstructured.NestedInt64(p.Object, "status", "starts")
	return fmt.Sprintf("%s/%s#%d", p.GetNamespace(), p.GetName(), starts)
}

// Running is the container that runs, empty if none does.
func (p Pod) Running() Container {
	container, _, _ := unstructured.NestedString(p.Object, "status", "container")
	return Container(container)
}

// Promise is the name of the Promise whose pipeline it is.
func (p Pod) Promise() string { return p.promise.Name }

// Mounted is the object that the pipeline finds, and Env its environment.
func (p Pod) Mounted() *unstructured.Unstructured {
	object, _, _ := unstructured.NestedMap(p.Object, "spec", "mounted")
	return &unstructured.Unstructured{Object: object}
}

// Env is the environment of the pipeline's container.
func (p Pod) Env() []string {
	request := &unstructured.Unstructured{Object: map[string]any{}}
	request.SetNamespace(p.GetNamespace())
	request.SetName(p.GetLabels()[kratix.LabelResource])
	return Env(p.action(), p.promise, request, p.dryRun())
}

func (p Pod) action() kratix.Action { return kratix.Action(p.GetLabels()[kratix.LabelAction]) }

func (p Pod) dryRun() bool {
	dryRun, _, _ := unstructured.NestedBool(p.Object, "spec", "dryRun")
	return dryRun
}

// Exit has the Pod's present container end: without an error the next one runs.
func (c Cluster) Exit(ctx context.Context, client platform.Client, p Pod, failed bool) error {
	next := map[Container]Container{Pipeline: WorkWriter, WorkWriter: StatusWriter, StatusWriter: "done"}[p.Running()]
	if p.action() == kratix.Delete && p.Running() == Pipeline {
		next = StatusWriter
		if c.Version == Kratix202508 {
			next = "done"
		}
	}
	if failed {
		next = "failed"
	}
	return p.set(ctx, client, map[string]any{"container": string(next)})
}

func (p Pod) set(ctx context.Context, client platform.Client, status map[string]any) error {
	o := p.DeepCopy()
	was, _ := o.Object["status"].(map[string]any)
	maps.Copy(was, status)
	_, err := client.UpdateStatus(ctx, platform.Pod, o)
	return err
}

// containers are what can happen next to a Pod, but for its pipeline.
func (c Cluster) containers(p Pod, jobs []job, emitted func(string) Emitted) []Step {
	i := slices.IndexFunc(jobs, func(j job) bool {
		return j.GetNamespace() == p.GetNamespace() && j.GetName() == p.GetLabels()[labelJob]
	})
	works := p.Running() == Pipeline || p.Running() == WorkWriter || p.Running() == StatusWriter
	switch {
	case p.GetDeletionTimestamp() != nil:
		return []Step{{"kill " + p.GetName(), p.kill, true}}
	case i < 0:
		return []Step{{"collect " + p.GetName(), p.end, true}}
	case !works && jobs[i].running():
		return []Step{c.after(p, jobs[i])}
	}
	var steps []Step
	write := map[Container]func(context.Context, platform.Client, Pod, Emitted) error{WorkWriter: c.writeWork, StatusWriter: c.writeStatus}[p.Running()]
	if write != nil {
		steps = append(steps, Step{Name: string(p.Running()) + " of " + p.GetName(), Do: func(ctx context.Context, client platform.Client) error {
			return c.Exit(ctx, client, p, write(ctx, client, p, emitted(p.Key())) != nil)
		}})
	}
	return steps
}

// end tells a Pod to end, which takes its time, and kill has it end.
func (p Pod) end(ctx context.Context, client platform.Client) error {
	return client.Delete(ctx, platform.Pod, p.GetNamespace(), p.GetName(), platform.Preconditions{})
}

func (p Pod) kill(ctx context.Context, client platform.Client) error {
	_, err := client.Patch(ctx, platform.Pod, p.GetNamespace(), p.GetName(), map[string]any{"metadata": map[string]any{"finalizers": nil}})
	return err
}

// after is what comes of a Job whose Pod has ended: that is done, runs anew, or is
// given up.
func (c Cluster) after(p Pod, j job) Step {
	ended := func(phase, condition string) func(context.Context, platform.Client) error {
		return func(ctx context.Context, client platform.Client) error {
			if err := p.set(ctx, client, map[string]any{"phase": phase}); err != nil {
				return err
			}
			return j.end(ctx, client, condition)
		}
	}
	starts, _, _ := unstructured.NestedInt64(p.Object, "status", "starts")
	switch {
	case p.Running() != "failed":
		return Step{"complete " + p.GetName(), ended("Succeeded", "Complete"), true}
	case starts >= c.Tries:
		return Step{"give up " + p.GetName(), ended("Failed", "Failed"), true}
	}
	return Step{"restart " + p.GetName(), func(ctx context.Context, client platform.Client) error {
		return p.set(ctx, client, map[string]any{"container": string(Pipeline), "starts": starts + 1})
	}, true}
}

// writeWork is Kratix's work-writer with what comes of it.
func (c Cluster) writeWork(ctx context.Context, client platform.Client, p Pod, emitted Emitted) error {
	run := c.runOf(client, p)
	control, err := run.control(emitted)
	if err != nil || control.Held() {
		return err
	}
	if p.dryRun() {
		return run.writeDryWork(ctx, emitted)
	}
	was, err := run.delivery(ctx)
	if err != nil {
		return err
	}
	_, err = run.deliver(ctx, emitted, was)
	return err
}

// writeDryWork writes the Work of a dry run, which goes to no cluster.
func (r run) writeDryWork(ctx context.Context, emitted Emitted) error {
	work, err := Pack(r.owner(), emitted.Output, emitted.Metadata[selectorsFile], r.Promise.Selectors)
	if err != nil {
		return err
	}
	setLabel(work, kratix.LabelDryRun, "true")
	works, err := r.Client.List(ctx, platform.Work, work.GetNamespace(), work.GetLabels())
	if err != nil {
		return err
	}
	_, err = r.writeWork(ctx, work, works)
	return err
}

// writeStatus is Kratix's status-writer.
func (c Cluster) writeStatus(ctx context.Context, client platform.Client, p Pod, emitted Emitted) error {
	run := c.runOf(client, p)
	request, err := client.Get(ctx, p.promise.Kind, p.GetNamespace(), p.GetLabels()[kratix.LabelResource])
	if err != nil {
		return err
	}
	control, err := run.control(emitted)
	if err != nil {
		return err
	}
	_, _, err = run.report(ctx, request, emitted, control)
	return err
}

func (c Cluster) runOf(client platform.Client, p Pod) run {
	request := &unstructured.Unstructured{Object: map[string]any{}}
	request.SetNamespace(p.GetNamespace())
	request.SetName(p.GetLabels()[kratix.LabelResource])
	return run{Options: Options{Version: c.Version, Action: p.action(), Promise: p.promise, Request: request, Client: client, Now: c.Now}}
}
