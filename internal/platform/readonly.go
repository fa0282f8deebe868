package platform

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ReadOnly returns a client whose writes have no effect and report success, for
// dry runs: what would be done can be followed to its end and nothing is done.
func ReadOnly(client Client) Client { return readOnly{client} }

type readOnly struct{ Client }

func (r readOnly) Create(_ context.Context, _ Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return object, nil
}

func (r readOnly) Update(_ context.Context, _ Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return object, nil
}

func (r readOnly) UpdateStatus(_ context.Context, _ Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return object, nil
}

func (r readOnly) Patch(ctx context.Context, kind Kind, namespace, name string, _ map[string]any) (*unstructured.Unstructured, error) {
	return r.Get(ctx, kind, namespace, name)
}

func (r readOnly) Delete(context.Context, Kind, string, string, Preconditions) error { return nil }
