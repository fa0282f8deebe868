package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// watched is a platform on which something may happen before each request, which
// fails with what that returns.
type watched struct {
	platform.Client
	before func(verb string, kind platform.Kind, name string) error
}

func (w watched) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	if err := w.before("list", kind, ""); err != nil {
		return nil, err
	}
	return w.Client.List(ctx, kind, namespace, labels)
}

func (w watched) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if err := w.before("patch", kind, name); err != nil {
		return nil, err
	}
	return w.Client.Patch(ctx, kind, namespace, name, patch)
}

func (w watched) Delete(ctx context.Context, kind platform.Kind, namespace, name string, p platform.Preconditions) error {
	if err := w.before("delete", kind, name); err != nil {
		return err
	}
	return w.Client.Delete(ctx, kind, namespace, name, p)
}

// newRun is a run for the Widget team-a/gadget on a platform in memory.
func newRun(t *testing.T) *Run {
	t.Helper()
	return &Run{
		Promise: "widget", Identity: identity.Request{Kind: "Widget", Namespace: "team-a", Name: "gadget"},
		Platform: platform.NewMemory(now), Now: now(), Log: slog.New(slog.DiscardHandler),
	}
}

// make creates an object of a kind, and returns its UID.
func (r *Run) make(t *testing.T, kind platform.Kind, namespace, name, rest string) string {
	t.Helper()
	o, err := r.Platform.Create(t.Context(), kind, object(t, fmt.Sprintf(
		"{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %s%s", kind.GroupVersion(), kind.Kind, name, namespace, rest)))
	if err != nil {
		t.Fatal(err)
	}
	return string(o.GetUID())
}

// A deletion ends the configure runs of its own request and waits until none of their
// pods can emit anything any more: one that has not begun can as well as one that
// runs, and what came after the deletion would stay for ever.
func TestStopConfigure(t *testing.T) {
	const (
		ours      = ", labels: {kratix.io/promise-name: widget, kratix.io/resource-name: gadget, kratix.io/workflow-action: configure}}"
		deletion  = ", labels: {kratix.io/promise-name: widget, kratix.io/resource-name: gadget, kratix.io/workflow-action: delete}}"
		anothers  = ", labels: {kratix.io/promise-name: widget, kratix.io/resource-name: other, kratix.io/workflow-action: configure}}"
		doesntEnd = "the configure pod gadget-1 of team-a/gadget does not end: end it, and ask for the deletion again with the label kratix.io/manual-reconciliation=true"
	)
	resource := platform.Job.GVR().GroupResource()
	type world struct {
		*Run
		t   *testing.T
		pod func(phase string, is ...string) // has the pod of the Job, or one of this namespace, name and labels, in a phase from now on
	}
	// failing fails one kind of request.
	failing := func(verb string, kind platform.Kind, err error) func(*world) {
		return func(w *world) {
			w.Platform = watched{w.Platform, func(v string, k platform.Kind, _ string) error {
				if v == verb && k == kind {
					return err
				}
				return nil
			}}
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(*world)
		says    string
		took    time.Duration
		left    []string // Jobs; the configure Job is gadget
	}{
		{"no pod", func(*world) {}, "", 0, nil},
		{"one that has succeeded", func(w *world) { w.pod("Succeeded") }, "", 0, nil},
		{"one that has failed", func(w *world) { w.pod("Failed") }, "", 0, nil},
		{"one that runs on", func(w *world) { w.pod("Running") }, doesntEnd, time.Minute, nil},
		{"one that has not begun", func(w *world) { w.pod("Pending") }, doesntEnd, time.Minute, nil},
		{"one whose node is away", func(w *world) { w.pod("Unknown") }, doesntEnd, time.Minute, nil},
		{"one that nobody has seen yet", func(w *world) { w.pod("") }, doesntEnd, time.Minute, nil},
		{"one that runs on beside one that has ended", func(w *world) {
			w.pod("Running")
			w.pod("Failed", "team-a", "gadget-2", ours)
		}, doesntEnd, time.Minute, nil},
		{"one that ends meanwhile", func(w *world) {
			w.pod("Running")
			go func() { time.Sleep(12 * time.Second); w.pod("Failed") }()
		}, "", 15 * time.Second, nil},
		{"pods of others", func(w *world) {
			w.pod("Running", "team-a", "other", anothers)
			w.pod("Running", "team-a", "deletion", deletion)
			w.pod("Running", "team-b", "gadget", ours)
		}, "", 0, nil},
		{"Jobs of others", func(w *world) {
			w.make(w.t, platform.Job, "team-a", "other", anothers+"}")
			w.make(w.t, platform.Job, "team-a", "deletion", deletion+"}")
			w.make(w.t, platform.Job, "team-b", "gadget", ours+"}")
		}, "", 0, []string{"team-a/deletion", "team-a/other", "team-b/gadget"}},
		{"a Job that was made anew", func(w *world) { // by Kratix, which has seen the deletion by then: it ends by itself
			w.Platform = watched{w.Platform, func(verb string, kind platform.Kind, name string) error {
				if verb == "delete" && kind == platform.Job {
					if err := w.Platform.(watched).Client.Delete(w.t.Context(), kind, "team-a", name, platform.Preconditions{}); err != nil {
						return err
					}
					w.make(w.t, kind, "team-a", name, ours+"}")
				}
				return nil
			}}
		}, "", 0, []string{"team-a/gadget"}},
		{"a Job that is gone meanwhile", failing("delete", platform.Job, apierrors.NewNotFound(resource, "gadget")), "", 0, []string{"team-a/gadget"}},
		{"a dry run", func(w *world) { w.DryRun = true; w.pod("Running") }, "", 0, []string{"team-a/gadget"}},
		{"nothing happens while it waits", func(w *world) { w.alone = true; w.pod("Running") }, doesntEnd, 0, nil},
		{"Jobs cannot be listed", failing("list", platform.Job, errors.New("away")), "the configure Jobs of team-a/gadget cannot be listed: away", 0, []string{"team-a/gadget"}},
		{"the Job cannot be removed", failing("delete", platform.Job, errors.New("away")), "the configure Job gadget of team-a/gadget cannot be removed: away", 0, []string{"team-a/gadget"}},
		{"pods cannot be listed", failing("list", platform.Pod, errors.New("away")), "the configure pods of team-a/gadget cannot be listed: away", 0, nil},
		{"pods cannot be listed any more", func(w *world) {
			w.pod("Running")
			began := time.Now()
			w.Platform = watched{w.Platform, func(v string, k platform.Kind, _ string) error {
				if v == "list" && k == platform.Pod && time.Now().After(began) {
					return errors.New("away")
				}
				return nil
			}}
		}, "the configure pods of team-a/gadget cannot be listed: away", 5 * time.Second, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := &world{Run: newRun(t), t: t}
				client := w.Platform
				w.make(t, platform.Job, "team-a", "gadget", ours+"}")
				w.pod = func(phase string, is ...string) {
					if is == nil {
						is = []string{"team-a", "gadget-1", ours}
					}
					pod, err := client.Get(t.Context(), platform.Pod, is[0], is[1])
					if apierrors.IsNotFound(err) {
						pod, err = client.Create(t.Context(), platform.Pod, object(t, "{apiVersion: v1, kind: Pod, metadata: {namespace: "+is[0]+", name: "+is[1]+is[2]+"}"))
					}
					if err == nil {
						pod.Object["status"] = map[string]any{"phase": phase}
						_, err = client.UpdateStatus(t.Context(), platform.Pod, pod)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				test.prepare(w)
				err := w.StopConfigure(t.Context())
				if (err != nil) != (test.says != "") || err != nil && err.Error() != test.says {
					t.Errorf("it says %v, want %q", err, test.says)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it waits for %s, want %s", took, test.took)
				}
				var left []string
				jobs, err := client.List(t.Context(), platform.Job, "", nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, job := range jobs {
					left = append(left, job.GetNamespace()+"/"+job.GetName())
				}
				if !slices.Equal(left, test.left) {
					t.Errorf("left are the Jobs %v, want %v", left, test.left)
				}
			})
		})
	}
}

// A run that is stopped while it waits says so, and waits no longer.
func TestWaitIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 7*time.Second, errors.New("the pod is stopped"))
		defer cancel()
		looks, began := 0, time.Now()
		err := newRun(t).Wait(ctx, func(context.Context) (bool, error) { looks++; return false, nil })
		if err == nil || err.Error() != "the pod is stopped" || looks != 1 || time.Since(began) != 7*time.Second {
			t.Errorf("it says %v after %d looks and %s", err, looks, time.Since(began))
		}
	})
}

// Another request is asked by a label; one that is gone, or that cannot be labelled
// because of what its owner made of it, holds up nobody.
func TestAsk(t *testing.T) {
	resource := widgets.Kind.GVR().GroupResource()
	for _, test := range []struct {
		name, request string
		fails         error
		says          string
	}{
		{"it is there", "gadget", nil, ""},
		{"it is gone", "other", nil, ""},
		{"it is too large", "gadget", apierrors.NewRequestEntityTooLargeError("it is too large"), ""},
		{"it changes all the time", "gadget", apierrors.NewConflict(resource, "gadget", errors.New("changed")), ""},
		{"nothing can have such a name", "..", nil, ""},
		{"it is not valid", "gadget", apierrors.NewInvalid(widgets.Kind.GroupKind(), "gadget", nil), ""},
		{"the platform is away", "gadget", errors.New("away"), "Widget team-a/gadget cannot be asked to reconcile: away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRun(t)
			client := r.Platform
			r.make(t, widgets.Kind, "team-a", "gadget", "}}")
			if test.fails != nil {
				r.Platform = watched{client, func(string, platform.Kind, string) error { return test.fails }}
			}
			err := r.Notify(t.Context(), widgets.Kind, "team-a", test.request)
			if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			o, err := client.Get(t.Context(), widgets.Kind, "team-a", "gadget")
			if asked := test.name == "it is there"; err != nil || (o.GetLabels()[kratix.LabelManualReconciliation] == "true") != asked {
				t.Errorf("its labels are %v, %v", o.GetLabels(), err)
			}
		})
	}
}
