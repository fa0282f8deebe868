package workflow

import (
	"cmp"
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Notify has Kratix run the pipeline of another request soon. One that is gone, or is
// being deleted, need not be asked: Kratix would end its delete Job and begin another,
// and two requests that ask each other would do so for ever. One that cannot be
// labelled, because its owner has made it so large or changes it all the time, must not
// hold up this run: it is asked again by a sweep.
func (r *Run) Notify(ctx context.Context, kind platform.Kind, namespace, name string) error {
	return r.notified(kind, namespace, name, platform.OnConflict(ctx, apierrors.IsConflict, func() error {
		request, err := r.Platform.Get(ctx, kind, namespace, name)
		if err != nil || request.GetDeletionTimestamp() != nil {
			return err
		}
		return r.label(ctx, kind, request)
	}))
}

// Resume has Kratix try again a deletion that its Jobs have given up.
func (r *Run) Resume(ctx context.Context, kind platform.Kind, namespace, name string) error {
	request := &unstructured.Unstructured{Object: map[string]any{}}
	request.SetNamespace(namespace)
	request.SetName(name)
	return r.notified(kind, namespace, name, r.label(ctx, kind, request))
}

// label asks for a run of a request, if it is still as it was read.
func (r *Run) label(ctx context.Context, kind platform.Kind, request *unstructured.Unstructured) error {
	metadata := map[string]any{"labels": map[string]any{kratix.LabelManualReconciliation: "true"}}
	if version := request.GetResourceVersion(); version != "" {
		metadata["resourceVersion"] = version
	}
	_, err := r.Platform.Patch(ctx, kind, request.GetNamespace(), request.GetName(), map[string]any{"metadata": metadata})
	return err
}

// notified says of an error whether it matters.
func (r *Run) notified(kind platform.Kind, namespace, name string, err error) error {
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsBadRequest(err): // nothing can have such a name
		return nil
	case platform.IsTooLarge(err), apierrors.IsConflict(err), apierrors.IsInvalid(err):
		r.Log.Warn("a request cannot be asked to reconcile", "kind", kind.Kind, "request", namespace+"/"+name, "error", err)
		return nil
	}
	return fmt.Errorf("%s %s/%s cannot be asked to reconcile: %w", kind.Kind, namespace, name, err)
}

// Keyed is a request, by its namespace and name.
type Keyed interface {
	Key() (namespace, name string)
}

// NotifyAll asks all of some requests of a kind.
func NotifyAll[T Keyed](ctx context.Context, r *Run, kind platform.Kind, requests []T) error {
	for _, request := range requests {
		namespace, name := request.Key()
		if err := r.Notify(ctx, kind, namespace, name); err != nil {
			return err
		}
	}
	return nil
}

// NotifyPeers asks all of some requests of a kind that should run again. Among them
// those that are being deleted are there because their deletion was given up.
func NotifyPeers[T interface {
	Keyed
	IsDeleting() bool
}](ctx context.Context, r *Run, kind platform.Kind, requests []T) error {
	for _, request := range requests {
		ask := r.Notify
		if request.IsDeleting() {
			ask = r.Resume
		}
		namespace, name := request.Key()
		if err := ask(ctx, kind, namespace, name); err != nil {
			return err
		}
	}
	return nil
}

// How often a run that waits for another's effect looks for it, and at what distance.
const (
	looks    = 12
	interval = 5 * time.Second
)

// Wait waits, for a bounded time, until done. On a platform folder and in a dry
// run it looks no more: there nothing happens while a run waits.
func (r *Run) Wait(ctx context.Context, done func(context.Context) (bool, error)) error {
	if r.alone {
		return nil
	}
	// By looks, and not by a deadline: the last of them would meet it.
	left := cmp.Or(r.looks, looks)
	var failed error
	_ = wait.PollUntilContextCancel(ctx, interval, false, func(ctx context.Context) (ok bool, _ error) {
		left--
		ok, failed = done(ctx)
		return ok || left == 0, failed
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failed // nil too when time is over: whoever waits looks whether it is done
}

// StopConfigure ends the configure runs of a request that is being deleted, and
// returns when their pods are gone: Kratix may run both workflows at once, and
// what a configure emits after the deletion would stay for ever. A pod that does
// not go is an error.
func (r *Run) StopConfigure(ctx context.Context) error {
	if r.DryRun {
		return nil
	}
	labels := map[string]string{
		kratix.LabelPromise: r.Promise, kratix.LabelResource: r.Identity.Name, kratix.LabelAction: string(kratix.Configure),
	}
	jobs, err := r.Platform.List(ctx, platform.Job, r.Identity.Namespace, labels)
	if err != nil {
		return fmt.Errorf("the configure Jobs of %s cannot be listed: %w", r.Identity, err)
	}
	for _, job := range jobs {
		err := r.Platform.Delete(ctx, platform.Job, job.GetNamespace(), job.GetName(), platform.Preconditions{UID: string(job.GetUID())})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("the configure Job %s of %s cannot be removed: %w", job.GetName(), r.Identity, err)
		}
	}
	var running string
	gone := func(ctx context.Context) (bool, error) {
		pods, err := r.Platform.List(ctx, platform.Pod, r.Identity.Namespace, labels)
		if err != nil {
			return false, fmt.Errorf("the configure pods of %s cannot be listed: %w", r.Identity, err)
		}
		running = ""
		for _, pod := range pods {
			phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
			if phase != "Succeeded" && phase != "Failed" {
				running = pod.GetName()
			}
		}
		return running == "", nil
	}
	if ok, err := gone(ctx); ok || err != nil {
		return err
	}
	if err := r.Wait(ctx, gone); err != nil {
		return err
	}
	if running != "" {
		return fmt.Errorf("the configure pod %s of %s does not end: end it, and ask for the deletion again with the label %s=true", running, r.Identity, kratix.LabelManualReconciliation)
	}
	return nil
}
