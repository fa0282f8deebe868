package platform

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Overlay is a platform that can be written to and changes nothing: what is written
// stays in memory, above another platform that is only read. What comes later sees
// it there.
type Overlay struct {
	below interface {
		Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error)
		List(ctx context.Context, kind Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error)
	}
	above *Memory

	mutex sync.Mutex
	taken map[memoryKey]bool // of which only what is above counts, if only that they are gone
}

var _ Client = (*Overlay)(nil)

// NewOverlay returns an overlay above a platform. Timestamps come from now.
func NewOverlay(below Client, now func() time.Time) *Overlay {
	above := NewMemory(now)
	above.version = 100_000_000_000 // a resourceVersion from below is none of those that come
	return &Overlay{below: below, above: above, taken: map[memoryKey]bool{}}
}

// Get implements [Client].
func (o *Overlay) Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.taken[keyOf(kind, namespace, name)] {
		return o.above.Get(ctx, kind, namespace, name)
	}
	return o.below.Get(ctx, kind, namespace, name)
}

// List implements [Client].
func (o *Overlay) List(ctx context.Context, kind Kind, namespace string, want map[string]string) ([]unstructured.Unstructured, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	all, err := o.below.List(ctx, kind, namespace, want)
	if err != nil {
		return nil, err
	}
	objects := []unstructured.Unstructured{}
	for _, object := range all {
		if !o.taken[keyOf(kind, object.GetNamespace(), object.GetName())] {
			objects = append(objects, object)
		}
	}
	changed, err := o.above.List(ctx, kind, namespace, want)
	objects = append(objects, changed...)
	sortObjects(objects)
	return objects, err
}

// Create implements [Client].
func (o *Overlay) Create(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if err := o.take(ctx, kind, object.GetNamespace(), object.GetName()); err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	created, err := o.above.Create(ctx, kind, object)
	if err == nil {
		o.taken[keyOf(kind, created.GetNamespace(), created.GetName())] = true
	}
	return created, err
}

// Update implements [Client].
func (o *Overlay) Update(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if err := o.take(ctx, kind, object.GetNamespace(), object.GetName()); err != nil {
		return nil, err
	}
	return o.above.Update(ctx, kind, object)
}

// UpdateStatus implements [Client].
func (o *Overlay) UpdateStatus(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if err := o.take(ctx, kind, object.GetNamespace(), object.GetName()); err != nil {
		return nil, err
	}
	return o.above.UpdateStatus(ctx, kind, object)
}

// Patch implements [Client].
func (o *Overlay) Patch(ctx context.Context, kind Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if err := o.take(ctx, kind, namespace, name); err != nil {
		return nil, err
	}
	return o.above.Patch(ctx, kind, namespace, name, patch)
}

// Delete implements [Client].
func (o *Overlay) Delete(ctx context.Context, kind Kind, namespace, name string, preconditions Preconditions) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if err := o.take(ctx, kind, namespace, name); err != nil {
		return err
	}
	return o.above.Delete(ctx, kind, namespace, name, preconditions)
}

// take brings an object from below into memory, where it is to be changed.
func (o *Overlay) take(ctx context.Context, kind Kind, namespace, name string) error {
	key := keyOf(kind, namespace, name)
	if o.taken[key] {
		return nil
	}
	object, err := o.below.Get(ctx, kind, namespace, name)
	if err != nil {
		return err
	}
	o.taken[key] = true
	o.above.adopt(key, object)
	return nil
}
