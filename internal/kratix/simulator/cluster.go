package simulator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Cluster is Kratix and the Job controller of Kubernetes around the requests of some
// Promises. It does one step at a time, and a test chooses which: so steps can come
// between any two API requests of the pipelines that run. All state is in the
// platform. Jobs and Pods are objects there, as pipelines find them; what a Pod does
// at the moment is in its status. A Pod that is told to end ends at once: before the
// next one of its request has begun, which is made only then.
type Cluster struct {
	Version  Version
	Promises []Promise
	// Tries is how often the containers of a Job are started until it has failed;
	// Kratix's Jobs are started seven times.
	Tries int64
	Now   func() time.Time
}

// Step is something that can happen next on a platform.
type Step struct {
	Name string
	Do   func(ctx context.Context, client platform.Client) error
	// Soon: it makes no difference what comes before it, and what after.
	Soon bool
}

// The finalizers of a request, in the order in which Kratix takes them away.
var finalizers = []string{"kratix.io/delete-workflows", "kratix.io/work-cleanup", "kratix.io/workflows-cleanup"}

const (
	labelJob  = "job-name"
	labelHash = "kratix.io/hash" // of the spec that a Job is for
)

// Apply stores a request as a user does, with what Kratix puts on it at once.
func (c Cluster) Apply(ctx context.Context, client platform.Client, request *unstructured.Unstructured) error {
	promise, err := c.promise(request)
	if err != nil {
		return err
	}
	request = request.DeepCopy()
	setLabel(request, kratix.LabelPromise, promise.Name)
	request.SetFinalizers(finalizers)
	stored, err := client.Get(ctx, promise.Kind, request.GetNamespace(), request.GetName())
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, promise.Kind, request)
		return err
	}
	if err != nil {
		return err
	}
	stored.Object["spec"] = request.Object["spec"]
	_, err = client.Update(ctx, promise.Kind, stored)
	return err
}

// DryRun makes the request by which the newest Kratix tries what a change of another
// one would do, if it is there: under a name of its own, with the spec to try. Who
// deletes the DryRun deletes it.
func (c Cluster) DryRun(ctx context.Context, client platform.Client, name string, of *unstructured.Unstructured) error {
	ephemeral := of.DeepCopy()
	ephemeral.SetName(DryRunName(name))
	ephemeral.SetLabels(map[string]string{kratix.LabelDryRun: "true", kratix.LabelDryRunOwner: name})
	ephemeral.SetAnnotations(map[string]string{annotationDryRunName: of.GetName(), annotationDryRunNamespace: of.GetNamespace()})
	return c.Apply(ctx, client, ephemeral)
}

// DryRunName is the name of the request of a dry run.
func DryRunName(name string) string { return objectName("kratix-dry-run-" + name) }

const (
	annotationDryRunName      = "kratix.io/dry-run-resource-name"
	annotationDryRunNamespace = "kratix.io/dry-run-resource-namespace"
)

func (c Cluster) promise(request *unstructured.Unstructured) (Promise, error) {
	for _, p := range c.Promises {
		if p.Kind.Kind == request.GetKind() {
			return p, nil
		}
	}
	return Promise{}, fmt.Errorf("no Promise serves %s", request.GetKind())
}

// Interval returns the platform when the interval is over: Kratix runs each request again,
// whatever its Jobs were, but for deletions. Their Jobs that have failed stay failed.
func (c Cluster) Interval(ctx context.Context, v View, at *platform.Memory) (*platform.Memory, error) {
	after := at.Compact(platform.Job, platform.Pod)
	for _, j := range v.jobs {
		if j.action() != kratix.Delete || !j.has("Failed") {
			continue
		}
		o := j.DeepCopy()
		o.SetResourceVersion("")
		created, err := after.Create(ctx, platform.Job, o)
		if err == nil {
			err = job{created}.end(ctx, after, "Failed")
		}
		if err != nil {
			return nil, err
		}
	}
	return after, nil
}

// View is what there is of requests, Jobs and Pods at a moment.
type View struct {
	requests map[string][]unstructured.Unstructured // by Promise
	jobs     []job
	Pods     []Pod
}

// View looks at a platform.
func (c Cluster) View(ctx context.Context, client platform.Client) (View, error) {
	v := View{requests: map[string][]unstructured.Unstructured{}}
	for _, p := range c.Promises {
		requests, err := client.List(ctx, p.Kind, "", nil)
		if err != nil {
			return v, err
		}
		v.requests[p.Name] = requests
	}
	jobs, err := client.List(ctx, platform.Job, "", nil)
	if err != nil {
		return v, err
	}
	for i := range jobs {
		v.jobs = append(v.jobs, job{&jobs[i]})
	}
	slices.SortStableFunc(v.jobs, func(a, b job) int { return number(a.GetName()) - number(b.GetName()) })
	pods, err := client.List(ctx, platform.Pod, "", nil)
	if err != nil {
		return v, err
	}
	for i := range pods {
		for _, p := range c.Promises {
			if p.Name == pods[i].GetLabels()[kratix.LabelPromise] {
				v.Pods = append(v.Pods, Pod{&pods[i], p})
			}
		}
	}
	return v, nil
}

// Runs returns how many runs the request with the most of them has had, as far as their
// Jobs are there.
func (v View) Runs() int {
	most := 0
	for _, j := range v.jobs {
		most = max(most, number(j.GetName()))
	}
	return most
}

// of returns the Jobs of a request, the oldest first.
func (v View) of(promise Promise, request *unstructured.Unstructured) []job {
	var jobs []job
	for _, j := range v.jobs {
		if l := j.GetLabels(); j.GetNamespace() == request.GetNamespace() && l[kratix.LabelPromise] == promise.Name && l[kratix.LabelResource] == request.GetName() {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// Steps returns all that can happen next, but for what the pipelines' own containers
// do. Emitted is what the pipeline's container of a Pod has left.
func (c Cluster) Steps(v View, emitted func(pod string) Emitted) []Step {
	var steps []Step
	for _, promise := range c.Promises {
		for i := range v.requests[promise.Name] {
			steps = append(steps, c.reconcile(v, promise, &v.requests[promise.Name][i])...)
		}
	}
	for _, job := range v.jobs {
		if job.suspend() && job.running() {
			steps = append(steps, Step{Name: "suspend " + job.GetName(), Soon: true, Do: func(ctx context.Context, client platform.Client) error {
				return suspended(ctx, client, job)
			}})
		}
	}
	for _, pod := range v.Pods {
		steps = append(steps, c.containers(pod, v.jobs, emitted)...)
	}
	return steps
}

// reconcile is what Kratix does next about a request.
func (c Cluster) reconcile(v View, promise Promise, request *unstructured.Unstructured) []Step {
	r := reconciliation{Cluster: c, promise: promise, request: request, jobs: v.of(promise, request)}
	if request.GetDeletionTimestamp() != nil {
		return r.deletion()
	}
	return r.configuration()
}

// reconciliation is about one request and its Jobs.
type reconciliation struct {
	Cluster
	promise Promise
	request *unstructured.Unstructured
	jobs    []job
}

func (r reconciliation) step(what string, do func(ctx context.Context, client platform.Client) error) []Step {
	return []Step{{Name: fmt.Sprintf("kratix %s of %s %s/%s", what, r.request.GetKind(), r.request.GetNamespace(), r.request.GetName()), Do: do}}
}

// asked reports whether somebody wants the workflow to run again.
func (r reconciliation) asked() bool {
	return r.request.GetLabels()[kratix.LabelManualReconciliation] == "true"
}

// newest returns the newest Job of an action.
func (r reconciliation) newest(action kratix.Action) (job, bool) {
	for _, j := range slices.Backward(r.jobs) {
		if j.action() == action {
			return j, true
		}
	}
	return job{}, false
}

func (r reconciliation) configuration() []Step {
	newest, any := r.newest(kratix.Configure)
	current := any && newest.GetLabels()[labelHash] == specHash(r.request)
	switch {
	case any && newest.running():
		// The newest lets the run of a former spec end.
		if !newest.suspend() && (r.asked() || !current && r.Version == Kratix202508) {
			return r.suspend(newest)
		}
		return nil
	case !any, !current, r.asked():
		return r.start(kratix.Configure)
	case newest.has("Failed") && r.request.GetLabels()[kratix.LabelDryRun] == "":
		return r.fail()
	}
	return nil
}

func (r reconciliation) deletion() []Step {
	switch left := r.request.GetFinalizers(); {
	case slices.Contains(left, finalizers[0]):
		return r.deleteWorkflow()
	case slices.Contains(left, finalizers[1]):
		return r.step("removes the output", r.removeOutput)
	default:
		return r.step("removes the Jobs, and ends the deletion", r.removeJobs)
	}
}

func (r reconciliation) deleteWorkflow() []Step {
	newest, any := r.newest(kratix.Delete)
	switch {
	case any && newest.running():
		if r.asked() && !newest.suspend() {
			return r.suspend(newest)
		}
		return nil
	case !any || r.asked():
		if configure, any := r.newest(kratix.Configure); any && configure.running() && r.Version == KratixLatest {
			return nil // is waited for
		}
		return r.start(kratix.Delete)
	case newest.has("Complete"):
		done := r.step("is done with the delete workflow", r.without(finalizers[0]))
		done[0].Soon = true
		return done
	}
	return nil // it has failed, and is tried again when somebody asks for it
}

// suspend ends a Job that runs, because another is to take its place.
func (r reconciliation) suspend(j job) []Step {
	return r.step("suspends the Job", func(ctx context.Context, client platform.Client) error {
		_, err := client.Patch(ctx, platform.Job, j.GetNamespace(), j.GetName(), map[string]any{"spec": map[string]any{"suspend": true}})
		return err
	})
}

// start makes a Job and its Pod, whose reader has read the request.
func (r reconciliation) start(action kratix.Action) []Step {
	return r.step("starts "+string(action), func(ctx context.Context, client platform.Client) error {
		request := r.request.DeepCopy()
		labels := request.GetLabels()
		if r.asked() {
			delete(labels, kratix.LabelManualReconciliation)
			request.SetLabels(labels)
			var err error
			if request, err = client.Update(ctx, r.promise.Kind, request); err != nil {
				return err
			}
		}
		status, _ := request.Object["status"].(map[string]any)
		if action == kratix.Configure {
			status = begin(status)
			workflowCondition(status, "False", "PipelinesInProgress", "Pipelines are still in progress", r.Now())
			request.Object["status"] = status
			var err error
			if request, err = client.UpdateStatus(ctx, r.promise.Kind, request); err != nil {
				return err
			}
		}
		mounted, err := r.mounted(ctx, client, request)
		if err != nil {
			return err
		}
		return r.create(ctx, client, action, mounted)
	})
}

// mounted is the object that a pipeline gets to see. In a dry run it is the one that
// the dry run is about.
func (r reconciliation) mounted(ctx context.Context, client platform.Client, request *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	name := request.GetAnnotations()[annotationDryRunName]
	if request.GetLabels()[kratix.LabelDryRun] != "true" || name == "" {
		return request, nil
	}
	namespace := request.GetAnnotations()[annotationDryRunNamespace]
	real, err := client.Get(ctx, r.promise.Kind, namespace, name)
	if apierrors.IsNotFound(err) {
		real = request.DeepCopy()
		real.SetNamespace(namespace)
		real.SetName(name)
		return real, nil
	}
	if err != nil {
		return nil, err
	}
	real.Object["spec"] = request.Object["spec"]
	return real, nil
}

// create makes a Job with its Pod.
func (r reconciliation) create(ctx context.Context, client platform.Client, action kratix.Action, mounted *unstructured.Unstructured) error {
	name, err := r.nextName(ctx, client, action)
	if err != nil {
		return err
	}
	labels := map[string]any{
		kratix.LabelPromise: r.promise.Name, kratix.LabelResource: r.request.GetName(), kratix.LabelAction: string(action), kratix.LabelWorkType: "resource",
		labelHash: specHash(r.request),
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"namespace": r.request.GetNamespace(), "name": name, "labels": labels}, "spec": map[string]any{},
	}}
	if _, err := client.Create(ctx, platform.Job, object); err != nil {
		return err
	}
	podLabels := maps.Clone(labels)
	podLabels[labelJob] = name
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": r.request.GetNamespace(), "name": name, "labels": podLabels, "finalizers": []any{"kubelet"}},
		"spec": map[string]any{"mounted": runtime.DeepCopyJSONValue(mounted.Object), "dryRun": r.request.GetLabels()[kratix.LabelDryRun] == "true"},
	}}
	created, err := client.Create(ctx, platform.Pod, pod)
	if err != nil {
		return err
	}
	created.Object["status"] = map[string]any{"phase": "Running", "container": string(Pipeline), "starts": int64(1)}
	_, err = client.UpdateStatus(ctx, platform.Pod, created)
	return err
}

// nextName is a name that no Job or Pod of the request has.
func (r reconciliation) nextName(ctx context.Context, client platform.Client, action kratix.Action) (string, error) {
	pods, err := client.List(ctx, platform.Pod, r.request.GetNamespace(), map[string]string{kratix.LabelPromise: r.promise.Name, kratix.LabelResource: r.request.GetName()})
	if err != nil {
		return "", err
	}
	last := 0
	for _, o := range pods {
		last = max(last, number(o.GetName()))
	}
	for _, j := range r.jobs {
		last = max(last, number(j.GetName()))
	}
	return fmt.Sprintf("%s-%s-%s-%d", r.promise.Name, r.request.GetName(), action, last+1), nil
}

// number is the last part of a Job's name.
func number(name string) int {
	n, _ := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
	return n
}

// fail writes into the status that the workflow has failed.
func (r reconciliation) fail() []Step {
	status, _ := r.request.DeepCopy().Object["status"].(map[string]any)
	if status == nil {
		status = map[string]any{}
	}
	before := runtime.DeepCopyJSON(status)
	workflowCondition(status, "False", "ConfigureWorkflowFailed", "A Configure Pipeline has failed: "+r.promise.Configure, r.Now())
	if fmt.Sprint(before) == fmt.Sprint(status) {
		return nil
	}
	return r.step("notes the failure", func(ctx context.Context, client platform.Client) error {
		request := r.request.DeepCopy()
		request.Object["status"] = status
		_, err := client.UpdateStatus(ctx, r.promise.Kind, request)
		return err
	})
}

// without takes a finalizer away.
func (r reconciliation) without(finalizer string) func(context.Context, platform.Client) error {
	return func(ctx context.Context, client platform.Client) error {
		left := slices.DeleteFunc(r.request.GetFinalizers(), func(f string) bool { return f == finalizer })
		request := r.request.DeepCopy()
		request.SetFinalizers(left)
		_, err := client.Update(ctx, r.promise.Kind, request)
		return err
	}
}

func (r reconciliation) removeOutput(ctx context.Context, client platform.Client) error {
	run := r.run(client)
	was, err := run.delivery(ctx)
	if err != nil {
		return err
	}
	for _, wp := range was.placements {
		if err := run.remove(ctx, platform.WorkPlacement, &wp); err != nil {
			return err
		}
	}
	for _, work := range was.works {
		if err := run.remove(ctx, platform.Work, &work); err != nil {
			return err
		}
	}
	return r.without(finalizers[1])(ctx, client)
}

func (r reconciliation) run(client platform.Client) run {
	return run{Options: Options{Version: r.Version, Promise: r.promise, Request: r.request, Client: client, Now: r.Now}}
}

func (r reconciliation) removeJobs(ctx context.Context, client platform.Client) error {
	for _, j := range r.jobs {
		if err := client.Delete(ctx, platform.Job, j.GetNamespace(), j.GetName(), platform.Preconditions{}); err != nil {
			return err
		}
	}
	return r.without(finalizers[2])(ctx, client)
}

// specHash tells Jobs of one spec from those of another.
func specHash(request *unstructured.Unstructured) string {
	return hash(fmt.Sprint(request.Object["spec"], request.GetLabels()[kratix.LabelDryRun]))
}
