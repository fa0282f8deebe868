// Package simulator is a small stand-in for what Kratix does around a pipeline, for
// runs without a cluster: it stores the request, mounts input, output and
// metadata, turns the output into a Work, schedules it to Destinations and merges
// the status. It knows the newest Kratix that is a Go module ([Kratix202508]) and the newest
// one ([KratixLatest]), as far as their difference can be seen by a pipeline.
//
// [Run] is one run from its beginning to its end. [Cluster] is all that goes on around
// runs that meet, in single steps: Jobs, their Pods and retries, finalizers, labels.
//
// Left out: Promises with more than one pipeline, cluster-scoped requests, state stores,
// pauses, revisions, and the conditions that only Kratix itself reads.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Version is the Kratix that is simulated.
type Version string

const (
	// Kratix202508 knows no workflow-control.yaml, no dry runs and no status of its own
	// under the key kratix.
	Kratix202508 Version = "m"
	// KratixLatest has all three.
	KratixLatest Version = "h"
)

// Promise is what a run needs to know of a Promise.
type Promise struct {
	Name string
	Kind platform.Kind
	// Configure and Delete are the names of its pipelines.
	Configure, Delete string
	// Selectors are the matchLabels of its spec.destinationSelectors.
	Selectors []map[string]string
}

// Options are the parameters of a run.
type Options struct {
	Version Version
	Action  kratix.Action
	Promise Promise
	// Request is the object as a user would apply it. To delete one, its
	// identity is enough.
	Request *unstructured.Unstructured
	// Client is the platform cluster.
	Client platform.Client
	// Dir is the folder of the [Mount].
	Dir string
	// Stage runs the pipeline's container with the environment that Kratix gives
	// to it. Any error means that its exit code was not 0.
	Stage func(ctx context.Context, env []string) error
	// DryRun ([KratixLatest] only) runs the pipeline and writes nothing to the platform; the
	// result tells what a run would do.
	DryRun bool
	Now    func() time.Time
}

// Result is what came of a run.
type Result struct {
	// Request is the request as it is now, or as it was when it was deleted.
	Request *unstructured.Unstructured
	// Status is the request's status; after a dry run the one it would have. A
	// delete has none.
	Status map[string]any
	// Control is what the pipeline asked of [KratixLatest]; with the other it is empty.
	Control Control
	// Destinations are those that have or had files of this request, by name.
	Destinations []Destination
	// Unscheduled are the output's directories that no Destination matches.
	Unscheduled []string
	// Misplaced are the Destinations that keep their files though they do not
	// match any more.
	Misplaced []string
}

// Destination is a cluster with the files that it had and gets.
type Destination struct {
	Name          string
	Before, After map[string][]byte
}

// Run carries out one workflow for one request. If it returns an error, a Job of
// Kratix would have failed at that point, and what came before it is done.
func Run(ctx context.Context, o Options) (Result, error) {
	request, err := o.identify()
	if err != nil {
		return Result{}, err
	}
	o.Request = request
	switch {
	case o.Version != Kratix202508 && o.Version != KratixLatest:
		return Result{}, fmt.Errorf("there is no Kratix %q to simulate: choose m or h", o.Version)
	case o.DryRun && o.Version != KratixLatest:
		return Result{}, errors.New("there are no dry runs on Kratix M: simulate H")
	case o.Promise.Configure == "":
		return Result{}, fmt.Errorf("the Promise %s has no configure pipeline for requests: nothing to run", o.Promise.Name)
	}
	mount, err := OpenMount(o.Dir)
	if err != nil {
		return Result{}, err
	}
	r := run{o, mount}
	if o.Action == kratix.Delete {
		return r.delete(ctx)
	}
	return r.configure(ctx)
}

// identify returns a copy of the request with its namespace, or what is wrong
// with its identity.
func (o Options) identify() (*unstructured.Unstructured, error) {
	request := o.Request.DeepCopy()
	if got, want := request.GroupVersionKind(), o.Promise.Kind.GroupVersionKind; got != want {
		return nil, fmt.Errorf("the request is of apiVersion %q and kind %q, the Promise %s serves %s %s",
			request.GetAPIVersion(), got.Kind, o.Promise.Name, want.GroupVersion(), want.Kind)
	}
	name := request.GetName()
	switch {
	case name == "":
		return nil, errors.New("the request has no metadata.name")
	case len(name) > validation.LabelValueMaxLength:
		return nil, fmt.Errorf("the request's name has %d characters: use at most %d, because it becomes a label of Kratix's Jobs", len(name), validation.LabelValueMaxLength)
	case len(validation.IsDNS1123Subdomain(name)) > 0:
		return nil, fmt.Errorf("%q cannot be the name of a Kubernetes object: it may have a-z, 0-9, dots and dashes", name)
	}
	for _, field := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(request.Object, "metadata", field); err != nil {
			return nil, fmt.Errorf("the request's metadata.%s has a value that is not text: quote it", field)
		}
	}
	if request.GetNamespace() == "" {
		request.SetNamespace(metav1.NamespaceDefault)
	}
	if len(validation.IsDNS1123Label(request.GetNamespace())) > 0 {
		return nil, fmt.Errorf("%q cannot be the name of a namespace: use at most 63 of a-z, 0-9 and -", request.GetNamespace())
	}
	return request, nil
}

// run is a run under way.
type run struct {
	Options
	mount Mount
}

// owner identifies the Work of the configure pipeline.
func (r run) owner() kratix.Owner {
	return kratix.Owner{Promise: r.Promise.Name, Namespace: r.Request.GetNamespace(), Resource: r.Request.GetName(), Pipeline: r.Promise.Configure}
}

func (r run) configure(ctx context.Context) (Result, error) {
	var result Result
	request, err := r.apply(ctx)
	if err != nil {
		return result, err
	}
	was, err := r.delivery(ctx)
	if err != nil {
		return result, err
	}
	if err := r.stage(ctx, request); err != nil {
		return result, err
	}
	emitted, err := r.mount.Emitted()
	if err != nil {
		return result, err
	}
	if result.Control, err = r.control(emitted); err != nil {
		return result, err
	}
	is := was
	if !result.Control.Held() {
		if is, err = r.deliver(ctx, emitted, was); err != nil {
			return result, err
		}
	}
	result.Unscheduled, result.Misplaced = is.unscheduled, is.misplaced
	if result.Request, result.Status, err = r.report(ctx, request, emitted, result.Control); err != nil {
		return result, err
	}
	result.Destinations = compare(was.files, is.files)
	return result, r.mount.WriteDestinations(result.Destinations)
}

func (r run) delete(ctx context.Context) (Result, error) {
	namespace, name := r.Request.GetNamespace(), r.Request.GetName()
	request, err := r.Client.Get(ctx, r.Promise.Kind, namespace, name)
	if apierrors.IsNotFound(err) {
		return Result{}, fmt.Errorf("there is no %s %s/%s on the platform: nothing to delete", r.Promise.Kind.Kind, namespace, name)
	}
	if err != nil {
		return Result{}, err
	}
	was, err := r.delivery(ctx)
	if err != nil {
		return Result{}, err
	}
	// The pipeline sees a request that is going. In the platform it has no such
	// mark, because nothing here would take it away after a failure.
	going := request.DeepCopy()
	now := metav1.NewTime(r.Now().UTC())
	going.SetDeletionTimestamp(&now)
	if err := r.stage(ctx, going); err != nil {
		return Result{}, err
	}
	result := Result{Request: request, Destinations: compare(was.files, nil)}
	// What was delivered goes before the request, so that a delete that is cut
	// short can be run again.
	for _, wp := range was.placements {
		if err := r.remove(ctx, platform.WorkPlacement, &wp); err != nil {
			return result, err
		}
	}
	for _, work := range was.works {
		if err := r.remove(ctx, platform.Work, &work); err != nil {
			return result, err
		}
	}
	return result, r.remove(ctx, r.Promise.Kind, request)
}

// apply stores the request as kubectl apply would and returns it as its pipeline
// sees it. Kratix marks it with the Promise's name and takes away the labels by
// which somebody asked for this run.
func (r run) apply(ctx context.Context) (*unstructured.Unstructured, error) {
	namespace, name := r.Request.GetNamespace(), r.Request.GetName()
	stored, err := r.Client.Get(ctx, r.Promise.Kind, namespace, name)
	found := err == nil
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	desired := &unstructured.Unstructured{Object: map[string]any{}}
	if found {
		desired.Object["metadata"] = stored.Object["metadata"]
		if status, ok := stored.Object["status"]; ok {
			desired.Object["status"] = status
		}
	}
	for key, value := range r.Request.Object {
		if key != "metadata" && key != "status" {
			desired.Object[key] = runtime.DeepCopyJSONValue(value)
		}
	}
	desired.SetNamespace(namespace)
	desired.SetName(name)
	labels := ours(desired.GetLabels(), r.Request.GetLabels())
	delete(labels, kratix.LabelManualReconciliation)
	delete(labels, kratix.LabelSuspended)
	desired.SetLabels(labels)
	setLabel(desired, kratix.LabelPromise, r.Promise.Name)
	desired.SetAnnotations(ours(desired.GetAnnotations(), r.Request.GetAnnotations()))

	switch {
	case r.DryRun:
		// H runs the pipeline for a request that it makes up and labels.
		setLabel(desired, kratix.LabelDryRun, "true")
		if !found {
			desired.SetUID(platform.UID(r.Promise.Kind.GroupKind(), namespace, name))
			desired.SetGeneration(1)
		}
		return desired, nil
	case found:
		return r.Client.Update(ctx, r.Promise.Kind, desired)
	default:
		return r.Client.Create(ctx, r.Promise.Kind, desired)
	}
}

// ours returns the labels or annotations of the user's file, and of those stored
// the ones that Kratix or Baleen has set, which kubectl apply would leave alone;
// nil for none.
func ours(stored, file map[string]string) map[string]string {
	merged := maps.Clone(file)
	for k, v := range stored {
		prefix, _, _ := strings.Cut(k, "/")
		if _, set := file[k]; set || prefix != "kratix.io" && prefix != "baleen.dev" && !strings.HasSuffix(prefix, ".baleen.dev") {
			continue
		}
		if merged == nil {
			merged = map[string]string{}
		}
		merged[k] = v
	}
	return merged
}

func setLabel(object *unstructured.Unstructured, key, value string) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	object.SetLabels(labels)
}

// stage runs the pipeline; a Promise need not have one for deletion.
func (r run) stage(ctx context.Context, object *unstructured.Unstructured) error {
	if err := r.mount.Prepare(object); err != nil {
		return fmt.Errorf("the run's folder cannot be prepared: %w", err)
	}
	if r.Action == kratix.Delete && r.Promise.Delete == "" {
		return nil
	}
	named := object
	if r.DryRun && r.Action == kratix.Configure { // Kratix makes a request for it
		named = object.DeepCopy()
		named.SetName(DryRunName(object.GetName()))
	}
	env := Env(r.Action, r.Promise, named, r.DryRun)
	if r.DryRun { // of a deletion too, of which Kratix has none
		env = append(env, "BALEEN_DRY_RUN=true")
	}
	if err := r.Stage(ctx, env); err != nil {
		return fmt.Errorf("the %s pipeline of %s failed (%w): nothing is delivered or removed, and no status is written", r.Action, r.Promise.Name, err)
	}
	return nil
}

// delivery is what is stored for a request: its Works, where they are placed and
// the files that this gives to each Destination.
type delivery struct {
	works, placements      []unstructured.Unstructured
	files                  map[string]map[string][]byte
	unscheduled, misplaced []string
}

// control is what the pipeline asks of Kratix, if that knows such wishes.
func (r run) control(emitted Emitted) (Control, error) {
	if r.Version != KratixLatest {
		return Control{}, nil
	}
	return readControl(emitted.Metadata[controlFile])
}

// delivery reads what was delivered so far.
func (r run) delivery(ctx context.Context) (delivery, error) {
	var d delivery
	var err error
	owner := r.owner()
	owner.Pipeline = ""
	if d.works, err = r.Client.List(ctx, platform.Work, owner.Namespace, owner.Labels()); err != nil {
		return d, err
	}
	for _, work := range d.works {
		placements, err := r.placements(ctx, &work)
		if err != nil {
			return d, err
		}
		d.placements = append(d.placements, placements...)
	}
	d.files, err = delivered(d.placements)
	return d, err
}

func (r run) placements(ctx context.Context, work *unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	return r.Client.List(ctx, platform.WorkPlacement, work.GetNamespace(), map[string]string{kratix.LabelWork: work.GetName()})
}

// deliver writes the Work and its WorkPlacements and removes those of pipelines
// that the Promise does not have any more.
func (r run) deliver(ctx context.Context, emitted Emitted, was delivery) (delivery, error) {
	var after delivery
	work, err := Pack(r.owner(), emitted.Output, emitted.Metadata[selectorsFile], r.Promise.Selectors)
	if err != nil {
		return after, err
	}
	if work, err = r.writeWork(ctx, work, was.works); err != nil {
		return after, err
	}
	existing, err := r.placements(ctx, work)
	if err != nil {
		return after, err
	}
	destinations, err := r.Client.List(ctx, platform.Destination, "", nil)
	if err != nil {
		return after, err
	}
	s := plan(work, existing, destinations)
	for _, p := range s.placed {
		if p.misplaced && !slices.Contains(after.misplaced, p.destination) {
			after.misplaced = append(after.misplaced, p.destination)
		}
		after.placements = append(after.placements, *p.Unstructured)
		if err := r.place(ctx, p); err != nil {
			return after, err
		}
	}
	for _, wp := range s.dangling {
		if err := r.remove(ctx, platform.WorkPlacement, &wp); err != nil {
			return after, err
		}
	}
	for _, old := range was.works {
		if old.GetLabels()[kratix.LabelPipeline] == r.Promise.Configure {
			continue
		}
		for _, wp := range was.placements {
			if wp.GetLabels()[kratix.LabelWork] != old.GetName() {
				continue
			}
			if err := r.remove(ctx, platform.WorkPlacement, &wp); err != nil {
				return after, err
			}
		}
		if err := r.remove(ctx, platform.Work, &old); err != nil {
			return after, err
		}
	}
	after.unscheduled = s.unscheduled
	after.files, err = delivered(after.placements)
	return after, err
}

// writeWork stores a Work in place of the one that has its labels.
func (r run) writeWork(ctx context.Context, work *unstructured.Unstructured, works []unstructured.Unstructured) (*unstructured.Unstructured, error) {
	var current *unstructured.Unstructured
	for _, w := range works {
		if !contains(w.GetLabels(), work.GetLabels()) {
			continue
		}
		if current != nil {
			return nil, fmt.Errorf("there are two Works for one pipeline, %s and %s: delete one of them", current.GetName(), w.GetName())
		}
		current = w.DeepCopy()
	}
	if current != nil {
		current.Object["spec"] = work.Object["spec"]
		work = current
	}
	switch {
	case r.DryRun:
		return work, nil
	case current != nil:
		return r.Client.Update(ctx, platform.Work, work)
	default:
		return r.Client.Create(ctx, platform.Work, work)
	}
}

// place stores a WorkPlacement and that its files were written.
func (r run) place(ctx context.Context, p placement) error {
	if r.DryRun {
		return nil
	}
	store := r.Client.Create
	if p.GetResourceVersion() != "" {
		store = r.Client.Update
	}
	stored, err := store(ctx, platform.WorkPlacement, p.Unstructured)
	if err != nil {
		return err
	}
	stored.Object["status"] = p.status(r.Now())
	_, err = r.Client.UpdateStatus(ctx, platform.WorkPlacement, stored)
	return err
}

// remove deletes exactly the object that was read, unless it is gone already.
func (r run) remove(ctx context.Context, kind platform.Kind, object *unstructured.Unstructured) error {
	if r.DryRun {
		return nil
	}
	err := r.Client.Delete(ctx, kind, object.GetNamespace(), object.GetName(), platform.Preconditions{UID: string(object.GetUID())})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// report merges the status that the pipeline has written.
func (r run) report(ctx context.Context, request *unstructured.Unstructured, emitted Emitted, control Control) (*unstructured.Unstructured, map[string]any, error) {
	incoming, err := readStatus(emitted.Metadata[statusFile])
	if err != nil {
		return request, nil, err
	}
	if _, set := incoming[statusKey]; set && r.Version == KratixLatest {
		return request, nil, errors.New("status.yaml has the key kratix, which Kratix H keeps for itself: write only the pipeline's own keys, not the status that was read")
	}
	if !r.DryRun {
		// The pipeline may have changed its own request.
		if request, err = r.Client.Get(ctx, r.Promise.Kind, request.GetNamespace(), request.GetName()); err != nil {
			return nil, nil, err
		}
	}
	existing, _ := request.Object["status"].(map[string]any)
	status := mergeStatus(begin(existing), incoming)
	if r.Version == KratixLatest {
		recordPipeline(status, r.Promise.Configure, control, r.Now())
	}
	if control.Held() {
		workflowCondition(status, "False", "PipelinesInProgress", "Pipelines are still in progress", r.Now())
	} else {
		complete(status, r.Now())
	}
	if r.DryRun {
		return request, status, nil
	}
	if control.Held() {
		setLabel(request, kratix.LabelSuspended, "true")
		if request, err = r.Client.Update(ctx, r.Promise.Kind, request); err != nil {
			return nil, nil, err
		}
	}
	request.Object["status"] = status
	request, err = r.Client.UpdateStatus(ctx, r.Promise.Kind, request)
	return request, status, err
}
