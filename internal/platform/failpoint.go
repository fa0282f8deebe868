//go:build failpoint

package platform

import (
	"context"
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/failpoint"
)

// Fatal makes points of every request at which the process may end. One that
// reads leaves no trace, so it has one; one that writes has one before, amid and
// after its effect.
func Fatal(client Client) Client { return fatalClient{client} }

type fatalClient struct{ client Client }

func (f fatalClient) Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error) {
	failpoint.Point("get " + objectFile(kind.GroupKind(), namespace, name))
	return f.client.Get(ctx, kind, namespace, name)
}

func (f fatalClient) List(ctx context.Context, kind Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	failpoint.Point("list " + path.Join(namespace, kindDir(kind.GroupKind())))
	return f.client.List(ctx, kind, namespace, labels)
}

func (f fatalClient) Create(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	defer f.around("create", kind, object.GetNamespace(), object.GetName())()
	return f.client.Create(ctx, kind, object)
}

func (f fatalClient) Update(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	defer f.around("update", kind, object.GetNamespace(), object.GetName())()
	return f.client.Update(ctx, kind, object)
}

func (f fatalClient) UpdateStatus(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	defer f.around("update status of", kind, object.GetNamespace(), object.GetName())()
	return f.client.UpdateStatus(ctx, kind, object)
}

func (f fatalClient) Patch(ctx context.Context, kind Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	defer f.around("patch", kind, namespace, name)()
	return f.client.Patch(ctx, kind, namespace, name, patch)
}

func (f fatalClient) Delete(ctx context.Context, kind Kind, namespace, name string, preconditions Preconditions) error {
	defer f.around("delete", kind, namespace, name)()
	return f.client.Delete(ctx, kind, namespace, name, preconditions)
}

// around makes the points of a write. The one amid leaves what a writer leaves
// that dies before it renames its file: the folder and part of a temporary file.
func (f fatalClient) around(verb string, kind Kind, namespace, name string) (after func()) {
	what := verb + " " + objectFile(kind.GroupKind(), namespace, name)
	failpoint.Point("before " + what)
	if folder, ok := f.client.(*Folder); ok && verb != "delete" {
		failpoint.Point("amid "+what, func() {
			dir := path.Join(spaceDir(namespace), kindDir(kind.GroupKind()))
			if err := folder.root.MkdirAll(dir, 0o755); err != nil {
				panic(err)
			}
			if err := folder.root.WriteFile(path.Join(dir, tempFile), []byte("half: ["), 0o600); err != nil {
				panic(err)
			}
		})
	}
	return func() { failpoint.Point("after " + what) }
}
