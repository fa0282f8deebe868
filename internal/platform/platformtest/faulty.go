package platformtest

import (
	"context"
	"maps"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

// Fault is how a call goes wrong.
type Fault string

const (
	// Refused is one that has no effect.
	Refused Fault = "refused"
	// Lost is one that has its effect, and the answer does not arrive.
	Lost Fault = "answer lost"
	// Overtaken is one before which somebody else writes the object that it is to change.
	Overtaken Fault = "overtaken"
)

// Faulty is a client of which one call goes wrong. Its error is a transient one: who
// made the call stops, as if it had been killed there, and is to be run again.
type Faulty struct {
	platform.Client
	// At is the call that goes wrong, counted from 1.
	At int
	// How it goes wrong.
	How Fault
	// Calls counts those so far.
	Calls int
	// Hit reports whether one went wrong.
	Hit bool
}

// At returns a client of which a call goes wrong in some way.
func At(client platform.Client, call int, how Fault) *Faulty {
	return &Faulty{Client: client, At: call, How: how}
}

var errAway = apierrors.NewServiceUnavailable("the API server is away")

// call makes a call, which goes wrong if it is its turn. One that changes an object
// has its name.
func call[T any](ctx context.Context, f *Faulty, kind platform.Kind, namespace, changes string, do func() (T, error)) (T, error) {
	f.Calls++
	var nothing T
	switch {
	case f.Calls != f.At, f.How == Overtaken && changes == "":
		return do()
	case f.How == Refused:
		f.Hit = true
		return nothing, errAway
	case f.How == Lost:
		if _, err := do(); err != nil { // which had no effect either
			return nothing, err
		}
		f.Hit = true
		return nothing, errAway
	}
	touch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"overtaken": "true"}}}
	if _, err := f.Client.Patch(ctx, kind, namespace, changes, touch); err == nil { // else it is not there yet
		f.Hit = true
	}
	return do()
}

// Get implements [platform.Client].
func (f *Faulty) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	return call(ctx, f, kind, namespace, "", func() (*unstructured.Unstructured, error) { return f.Client.Get(ctx, kind, namespace, name) })
}

// List implements [platform.Client].
func (f *Faulty) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	return call(ctx, f, kind, namespace, "", func() ([]unstructured.Unstructured, error) { return f.Client.List(ctx, kind, namespace, labels) })
}

// Create implements [platform.Client].
func (f *Faulty) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return call(ctx, f, kind, o.GetNamespace(), o.GetName(), func() (*unstructured.Unstructured, error) { return f.Client.Create(ctx, kind, o) })
}

// Update implements [platform.Client].
func (f *Faulty) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return call(ctx, f, kind, o.GetNamespace(), o.GetName(), func() (*unstructured.Unstructured, error) { return f.Client.Update(ctx, kind, o) })
}

// Patch implements [platform.Client].
func (f *Faulty) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	return call(ctx, f, kind, namespace, name, func() (*unstructured.Unstructured, error) {
		return f.Client.Patch(ctx, kind, namespace, name, patch)
	})
}

// Delete implements [platform.Client].
func (f *Faulty) Delete(ctx context.Context, kind platform.Kind, namespace, name string, p platform.Preconditions) error {
	_, err := call(ctx, f, kind, namespace, name, func() (struct{}, error) {
		return struct{}{}, f.Client.Delete(ctx, kind, namespace, name, p)
	})
	return err
}

// Contents returns all objects of some kinds by kind and name: without what differs
// between two ways to the same end.
func Contents(t testing.TB, client platform.Client, kinds ...platform.Kind) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, kind := range kinds {
		objects, err := client.List(t.Context(), kind, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			content := maps.Clone(o.Object)
			content["metadata"] = o.GetLabels()
			all[kind.Kind+" "+o.GetNamespace()+"/"+o.GetName()] = content
		}
	}
	return all
}
