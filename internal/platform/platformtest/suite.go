// Package platformtest holds implementations of [platform.Client] to one
// behaviour, and serves them over HTTP to test what talks to an API server.
package platformtest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/baleen-platform/baleen/internal/platform"
)

// Namespaces are those that the suite works in. On an API server they must exist.
var Namespaces = []string{"platformtest", "platformtest-b"}

// The custom kinds of the suite, with a status and without a schema. On an API
// server they must be served: see [Definitions].
var (
	Note = platform.Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "platformtest.baleen.dev", Version: "v1", Kind: "Note"},
		Plural:           "notes",
	}
	ClusterNote = platform.Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "platformtest.baleen.dev", Version: "v1", Kind: "ClusterNote"},
		Plural:           "clusternotes", ClusterScoped: true,
	}
)

// Kinds are all kinds that the suite uses.
var Kinds = []platform.Kind{platform.ConfigMap, platform.Secret, Note, ClusterNote}

// Definitions returns the CustomResourceDefinitions of the suite's own kinds.
func Definitions() []*unstructured.Unstructured {
	var definitions []*unstructured.Unstructured
	for _, kind := range []platform.Kind{Note, ClusterNote} {
		scope := "Namespaced"
		if kind.ClusterScoped {
			scope = "Cluster"
		}
		definitions = append(definitions, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1",
			"kind":       "CustomResourceDefinition",
			"metadata":   map[string]any{"name": kind.Plural + "." + kind.Group},
			"spec": map[string]any{
				"group": kind.Group, "scope": scope,
				"names": map[string]any{"kind": kind.Kind, "plural": kind.Plural},
				"versions": []any{map[string]any{
					"name": kind.Version, "served": true, "storage": true,
					"subresources": map[string]any{"status": map[string]any{}},
					"schema":       map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
				}},
			},
		}})
	}
	return definitions
}

// Run holds a client to the behaviour that [platform.Client] describes. It calls
// open for every subtest; whether the platform is the same each time or a new
// one does not matter, since each uses names and a label of its own.
func Run(t *testing.T, open func(t *testing.T) platform.Client) {
	for _, test := range []struct {
		name string
		run  func(s *suite)
	}{
		{"create and get", createAndGet},
		{"values survive", valuesSurvive},
		{"a secret's stringData becomes data", stringData},
		{"cluster-scoped", clusterScoped},
		{"list by label, namespace and order", list},
		{"update and conflict", updateConflict},
		{"update without a resourceVersion", unconditionalUpdate},
		{"patch", patch},
		{"patch with a precondition", patchPrecondition},
		{"identity cannot change", identity},
		{"delete with preconditions", deletePreconditions},
		{"finalizers", finalizers},
		{"generation", generation},
		{"status is apart", status},
		{"a write that changes nothing", noOp},
		{"not found", notFound},
		{"refused", refused},
		{"concurrent increments all survive", increments},
		{"concurrent creates have one winner", oneWinner},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{T: t, c: open(t), name: strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' {
					return r
				}
				return '-'
			}, test.name)}
			s.clear()
			t.Cleanup(s.clear)
			test.run(s)
		})
	}
}

const (
	label     = "platformtest.baleen.dev/test"
	finalizer = "platformtest.baleen.dev/hold"
)

type suite struct {
	*testing.T
	c    platform.Client
	name string
}

// clear removes what this subtest has left, now or in an earlier run.
func (s *suite) clear() {
	ctx := context.Background() // that of the test is over in a cleanup
	for _, kind := range Kinds {
		objects, err := s.c.List(ctx, kind, "", map[string]string{label: s.name})
		if err != nil {
			s.Errorf("cannot clear: %v", err)
		}
		for _, object := range objects {
			if len(object.GetFinalizers()) > 0 {
				_, _ = s.c.Patch(ctx, kind, object.GetNamespace(), object.GetName(), metadata("finalizers", nil))
			}
			_ = s.c.Delete(ctx, kind, object.GetNamespace(), object.GetName(), platform.Preconditions{})
		}
	}
}

// object returns an object of this subtest with the given fields, as pairs of a
// dotted path and a value.
func (s *suite) object(kind platform.Kind, suffix string, fields ...any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(kind.GroupVersionKind)
	object.SetName(s.name + suffix)
	if !kind.ClusterScoped {
		object.SetNamespace(Namespaces[0])
	}
	object.SetLabels(map[string]string{label: s.name})
	for i := 0; i < len(fields); i += 2 {
		set(s, object, fields[i].(string), fields[i+1])
	}
	return object
}

func set(s *suite, object *unstructured.Unstructured, field string, value any) {
	s.Helper()
	if err := unstructured.SetNestedField(object.Object, value, strings.Split(field, ".")...); err != nil {
		s.Fatal(err)
	}
}

func metadata(field string, value any) map[string]any {
	return map[string]any{"metadata": map[string]any{field: value}}
}

// must returns a verb's result and ends the test on its error.
func (s *suite) must(object *unstructured.Unstructured, err error) *unstructured.Unstructured {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return object
}

func (s *suite) create(kind platform.Kind, suffix string, fields ...any) *unstructured.Unstructured {
	s.Helper()
	return s.must(s.c.Create(s.Context(), kind, s.object(kind, suffix, fields...)))
}

func (s *suite) get(kind platform.Kind, like *unstructured.Unstructured) *unstructured.Unstructured {
	s.Helper()
	return s.must(s.c.Get(s.Context(), kind, like.GetNamespace(), like.GetName()))
}

// want checks the value at a dotted path; nil means absent.
func (s *suite) want(object *unstructured.Unstructured, field string, want any) {
	s.Helper()
	got, _, err := unstructured.NestedFieldNoCopy(object.Object, strings.Split(field, ".")...)
	if err != nil || !reflect.DeepEqual(got, want) {
		s.Errorf("%s is %#v (%v), want %#v", field, got, err, want)
	}
}

// wantError checks an error with one of the functions of package apierrors.
func (s *suite) wantError(what string, is func(error) bool, err error) {
	s.Helper()
	if !is(err) {
		s.Errorf("%s: got the error %v, of reason %q", what, err, apierrors.ReasonForError(err))
	}
}

func createAndGet(s *suite) {
	created := s.create(Note, "", "spec.text", "hello", "status.ready", true, "metadata.uid", "mine", "metadata.generation", int64(7))
	s.want(created, "apiVersion", Note.GroupVersion().String())
	s.want(created, "kind", Note.Kind)
	s.want(created, "spec.text", "hello")
	s.want(created, "status", nil)
	s.want(created, "metadata.generation", int64(1))
	if created.GetUID() == "" || created.GetUID() == "mine" || created.GetResourceVersion() == "" {
		s.Errorf("uid %q, resourceVersion %q", created.GetUID(), created.GetResourceVersion())
	}
	if at := created.GetCreationTimestamp(); at.IsZero() {
		s.Error("no creationTimestamp")
	}
	if got := s.get(Note, created); !reflect.DeepEqual(got, created) {
		s.Errorf("got %v, created %v", got, created)
	}
	_, err := s.c.Create(s.Context(), Note, s.object(Note, ""))
	s.wantError("creating it again", apierrors.IsAlreadyExists, err)
	if got := s.get(Note, created); !reflect.DeepEqual(got, created) {
		s.Errorf("creating it again changed it to %v", got)
	}
}

func valuesSurvive(s *suite) {
	spec := map[string]any{
		"int": int64(1)<<62 + 1, "negative": int64(-3), "float": 0.25, "yes": true, "empty": "", "list": []any{int64(1), "1", map[string]any{}},
		"numeric": "0123", "boolean": "yes", "null": "null", "tilde": "~", "time": "2026-08-01T00:00:00Z", "sexagesimal": "12:30:45", "exponent": "1e3",
		"lines": "first\n  second\n\nlast\n\n", "spaces": " both ends ", "tab": "\tx\n\t", "unicode": "Wal \U0001F40B \u2028\u00a0", "quotes": `"'\{}[]#: `,
		"carriage": "a\r\nb\r", "control": "\x00\x01\x7f\u0085", "marker": "---\nx\n...\n", "odd keys": map[string]any{"": "", "yes": "1", "1": "2", "a: b": "3", "#": "4"},
	}
	created := s.create(Note, "", "spec", spec)
	s.want(created, "spec", spec)
	s.want(s.get(Note, created), "spec", spec)
}

func stringData(s *suite) {
	created := s.create(platform.Secret, "", "data", map[string]any{"a": "YQ==", "b": "Yg=="}, "stringData", map[string]any{"b": "c", "d": "d"})
	s.want(created, "stringData", nil)
	s.want(s.get(platform.Secret, created), "data", map[string]any{"a": "YQ==", "b": "Yw==", "d": "ZA=="})
}

func clusterScoped(s *suite) {
	created := s.create(ClusterNote, "", "spec.text", "hello")
	s.want(created, "metadata.namespace", nil)
	set(s, created, "spec.text", "bye")
	updated := s.must(s.c.Update(s.Context(), ClusterNote, created))
	s.want(s.get(ClusterNote, updated), "spec.text", "bye")
	if objects, err := s.c.List(s.Context(), ClusterNote, "", map[string]string{label: s.name}); err != nil || len(objects) != 1 {
		s.Errorf("listed %d (%v)", len(objects), err)
	}
	if err := s.c.Delete(s.Context(), ClusterNote, "", created.GetName(), platform.Preconditions{}); err != nil {
		s.Error(err)
	}
}

func list(s *suite) {
	// By the keys of an API server's store the second namespace would be first.
	for _, suffix := range []string{"-c", "-a", "-b"} {
		for _, namespace := range []string{Namespaces[1], Namespaces[0]} {
			object := s.object(platform.ConfigMap, suffix, "metadata.namespace", namespace)
			object.SetLabels(map[string]string{label: s.name, "suffix": suffix[1:], "same": "yes"})
			s.must(s.c.Create(s.Context(), platform.ConfigMap, object))
		}
	}
	for _, test := range []struct {
		namespace string
		labels    map[string]string
		want      string
	}{
		{"", nil, "platformtest-a platformtest-b platformtest-c platformtest-b-a platformtest-b-b platformtest-b-c"},
		{Namespaces[1], nil, "platformtest-b-a platformtest-b-b platformtest-b-c"},
		{Namespaces[0], map[string]string{"suffix": "b"}, "platformtest-b"},
		{"", map[string]string{"suffix": "c", "same": "yes"}, "platformtest-c platformtest-b-c"},
		{"", map[string]string{"suffix": "c", "same": "no"}, ""},
		{"", map[string]string{"suffix": "c", "other": ""}, ""},
	} {
		selector := map[string]string{label: s.name}
		maps.Copy(selector, test.labels)
		objects, err := s.c.List(s.Context(), platform.ConfigMap, test.namespace, selector)
		if err != nil {
			s.Fatal(err)
		}
		var got []string
		for _, object := range objects {
			got = append(got, object.GetNamespace()+strings.TrimPrefix(object.GetName(), s.name))
			if !reflect.DeepEqual(&object, s.get(platform.ConfigMap, &object)) {
				s.Errorf("listed %v, which is not what get returns", object)
			}
		}
		if strings.Join(got, " ") != test.want {
			s.Errorf("in namespace %q with %v: listed %q, want %q", test.namespace, test.labels, got, test.want)
		}
	}
	if objects, err := s.c.List(s.Context(), platform.ConfigMap, "platformtest-none", nil); err != nil || len(objects) > 0 {
		s.Errorf("in a namespace without objects: %v (%v)", objects, err)
	}
}

func updateConflict(s *suite) {
	first := s.create(platform.ConfigMap, "", "data", map[string]any{"a": "1", "b": "1"})
	second := first.DeepCopy()
	set(s, second, "data", map[string]any{"a": "2"})
	updated := s.must(s.c.Update(s.Context(), platform.ConfigMap, second))
	s.want(updated, "data", map[string]any{"a": "2"})
	if updated.GetResourceVersion() == first.GetResourceVersion() || updated.GetUID() != first.GetUID() {
		s.Errorf("updated %v, created %v", updated, first)
	}
	set(s, first, "data.a", "3")
	_, err := s.c.Update(s.Context(), platform.ConfigMap, first)
	s.wantError("updating an old reading", apierrors.IsConflict, err)
	if got := s.get(platform.ConfigMap, first); !reflect.DeepEqual(got, updated) {
		s.Errorf("got %v, updated %v", got, updated)
	}
}

func unconditionalUpdate(s *suite) {
	data := s.create(platform.ConfigMap, "", "data.a", "1")
	updated := s.must(s.c.Update(s.Context(), platform.ConfigMap, s.object(platform.ConfigMap, "", "data.b", "2")))
	s.want(updated, "data", map[string]any{"b": "2"})
	s.want(updated, "metadata.uid", string(data.GetUID()))

	s.create(Note, "")
	_, err := s.c.Update(s.Context(), Note, s.object(Note, "", "spec.a", "1"))
	s.wantError("updating a custom resource blindly", apierrors.IsInvalid, err)
	_, err = s.c.UpdateStatus(s.Context(), Note, s.object(Note, "", "status.a", "1"))
	s.wantError("updating its status blindly", apierrors.IsInvalid, err)
}

func patch(s *suite) {
	created := s.create(Note, "", "spec", map[string]any{"keep": "1", "drop": "1", "nested": map[string]any{"keep": "1", "drop": "1"}, "list": []any{"a", "b"}})
	patched := s.must(s.c.Patch(s.Context(), Note, created.GetNamespace(), created.GetName(), map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"note": "x"}},
		"spec":     map[string]any{"drop": nil, "nested": map[string]any{"drop": nil, "add": int64(2)}, "list": []any{"c"}, "new": map[string]any{"a": map[string]any{"b": "c"}}},
	}))
	s.want(patched, "metadata.annotations", map[string]any{"note": "x"})
	s.want(patched, "metadata.labels", map[string]any{label: s.name})
	s.want(patched, "spec", map[string]any{
		"keep": "1", "nested": map[string]any{"keep": "1", "add": int64(2)}, "list": []any{"c"}, "new": map[string]any{"a": map[string]any{"b": "c"}},
	})
	if got := s.get(Note, created); !reflect.DeepEqual(got, patched) {
		s.Errorf("got %v, patched %v", got, patched)
	}
}

func patchPrecondition(s *suite) {
	created := s.create(platform.ConfigMap, "", "data.a", "1")
	change := metadata("resourceVersion", created.GetResourceVersion())
	change["data"] = map[string]any{"a": "2"}
	patched := s.must(s.c.Patch(s.Context(), platform.ConfigMap, created.GetNamespace(), created.GetName(), change))
	s.want(patched, "data.a", "2")
	change["data"] = map[string]any{"a": "3"}
	_, err := s.c.Patch(s.Context(), platform.ConfigMap, created.GetNamespace(), created.GetName(), change)
	s.wantError("patching an old reading", apierrors.IsConflict, err)
	s.want(s.get(platform.ConfigMap, created), "data.a", "2")
}

func identity(s *suite) {
	created := s.create(Note, "", "spec.a", "1")
	other := created.DeepCopy()
	other.SetUID("00000000-0000-0000-0000-000000000000")
	_, err := s.c.Update(s.Context(), Note, other)
	s.wantError("updating another uid", apierrors.IsConflict, err)
	for field, value := range map[string]any{"uid": "00000000-0000-0000-0000-000000000000", "name": s.name + "-x", "namespace": Namespaces[1]} {
		_, err := s.c.Patch(s.Context(), Note, created.GetNamespace(), created.GetName(), metadata(field, value))
		s.wantError("patching the "+field, func(err error) bool { return err != nil && !apierrors.IsNotFound(err) && !platform.IsTransient(err) }, err)
	}
	other = created.DeepCopy()
	for _, field := range []string{"uid", "creationTimestamp", "generation"} {
		unstructured.RemoveNestedField(other.Object, "metadata", field)
	}
	s.must(s.c.Update(s.Context(), Note, other))
	if got := s.get(Note, created); !reflect.DeepEqual(got, created) {
		s.Errorf("got %v, created %v", got, created)
	}
}

func deletePreconditions(s *suite) {
	created := s.create(platform.ConfigMap, "", "data.a", "1")
	changed := s.must(s.c.Patch(s.Context(), platform.ConfigMap, created.GetNamespace(), created.GetName(), map[string]any{"data": map[string]any{"a": "2"}}))
	remove := func(preconditions platform.Preconditions) error {
		return s.c.Delete(s.Context(), platform.ConfigMap, created.GetNamespace(), created.GetName(), preconditions)
	}
	s.wantError("deleting another uid", apierrors.IsConflict, remove(platform.Preconditions{UID: "00000000-0000-0000-0000-000000000000"}))
	s.wantError("deleting an old reading", apierrors.IsConflict, remove(platform.Preconditions{ResourceVersion: created.GetResourceVersion()}))
	s.want(s.get(platform.ConfigMap, created), "data.a", "2")
	if err := remove(platform.Preconditions{UID: string(changed.GetUID()), ResourceVersion: changed.GetResourceVersion()}); err != nil {
		s.Fatal(err)
	}
	_, err := s.c.Get(s.Context(), platform.ConfigMap, created.GetNamespace(), created.GetName())
	s.wantError("reading what was deleted", apierrors.IsNotFound, err)
	s.must(s.c.Create(s.Context(), platform.ConfigMap, s.object(platform.ConfigMap, "")))
}

func finalizers(s *suite) {
	created := s.create(Note, "", "metadata.finalizers", []any{finalizer, finalizer + "-2"})
	remove := func() error {
		return s.c.Delete(s.Context(), Note, created.GetNamespace(), created.GetName(), platform.Preconditions{})
	}
	if err := remove(); err != nil {
		s.Fatal(err)
	}
	marked := s.get(Note, created)
	if marked.GetDeletionTimestamp() == nil {
		s.Fatalf("got %v without a deletionTimestamp", marked)
	}
	if err := remove(); err != nil {
		s.Errorf("deleting again: %v", err)
	}
	if got := s.get(Note, created); !reflect.DeepEqual(got, marked) {
		s.Errorf("deleting again made %v of %v", got, marked)
	}
	more := marked.DeepCopy()
	more.SetFinalizers(append(more.GetFinalizers(), finalizer+"-3"))
	_, err := s.c.Update(s.Context(), Note, more)
	s.wantError("adding a finalizer", apierrors.IsInvalid, err)
	marked.SetFinalizers([]string{finalizer})
	marked.SetDeletionTimestamp(nil)
	marked = s.must(s.c.Update(s.Context(), Note, marked))
	if marked.GetDeletionTimestamp() == nil {
		s.Error("an update took the deletionTimestamp away")
	}
	s.must(s.c.Patch(s.Context(), Note, created.GetNamespace(), created.GetName(), metadata("finalizers", nil)))
	_, err = s.c.Get(s.Context(), Note, created.GetNamespace(), created.GetName())
	s.wantError("reading it after the last finalizer went", apierrors.IsNotFound, err)
}

func generation(s *suite) {
	object := s.create(Note, "", "spec.a", "1")
	object.SetAnnotations(map[string]string{"a": "1"})
	object = s.must(s.c.Update(s.Context(), Note, object))
	s.want(object, "metadata.generation", int64(1))
	set(s, object, "status.a", "1")
	object = s.must(s.c.UpdateStatus(s.Context(), Note, object))
	s.want(object, "metadata.generation", int64(1))
	set(s, object, "spec.a", "2")
	object.SetGeneration(9)
	object = s.must(s.c.Update(s.Context(), Note, object))
	s.want(object, "metadata.generation", int64(2))
	object = s.must(s.c.Patch(s.Context(), Note, object.GetNamespace(), object.GetName(), map[string]any{"spec": map[string]any{"a": "3"}}))
	s.want(object, "metadata.generation", int64(3))
}

func status(s *suite) {
	object := s.create(Note, "", "spec.a", "1")
	set(s, object, "status.ready", "yes")
	set(s, object, "spec.a", "2")
	object.SetLabels(map[string]string{label: s.name, "other": "x"})
	object = s.must(s.c.UpdateStatus(s.Context(), Note, object))
	s.want(object, "status", map[string]any{"ready": "yes"})
	s.want(object, "spec.a", "1")
	s.want(object, "metadata.labels", map[string]any{label: s.name})

	stale := object.DeepCopy()
	set(s, object, "status.ready", "no")
	set(s, object, "spec.a", "3")
	object = s.must(s.c.Update(s.Context(), Note, object))
	s.want(object, "status.ready", "yes")
	s.want(object, "spec.a", "3")
	_, err := s.c.UpdateStatus(s.Context(), Note, stale)
	s.wantError("updating the status of an old reading", apierrors.IsConflict, err)

	object = s.must(s.c.Patch(s.Context(), Note, object.GetNamespace(), object.GetName(), map[string]any{"spec": map[string]any{"a": "4"}, "status": nil}))
	s.want(object, "status.ready", "yes")
	delete(object.Object, "status")
	object = s.must(s.c.UpdateStatus(s.Context(), Note, object))
	s.want(s.get(Note, object), "status", nil)
}

func noOp(s *suite) {
	created := s.create(Note, "", "spec.a", "1")
	set(s, created, "status.a", "1")
	created = s.must(s.c.UpdateStatus(s.Context(), Note, created))
	for name, write := range map[string]func() (*unstructured.Unstructured, error){
		"update":        func() (*unstructured.Unstructured, error) { return s.c.Update(s.Context(), Note, created) },
		"update status": func() (*unstructured.Unstructured, error) { return s.c.UpdateStatus(s.Context(), Note, created) },
		"patch": func() (*unstructured.Unstructured, error) {
			return s.c.Patch(s.Context(), Note, created.GetNamespace(), created.GetName(), map[string]any{"spec": map[string]any{"a": "1", "b": nil}})
		},
	} {
		if written := s.must(write()); !reflect.DeepEqual(written, created) {
			s.Errorf("%s returned %v instead of %v", name, written, created)
		}
		if got := s.get(Note, created); !reflect.DeepEqual(got, created) {
			s.Errorf("%s made %v of %v", name, got, created)
		}
	}
}

func notFound(s *suite) {
	namespace, name := Namespaces[0], s.name
	_, err := s.c.Get(s.Context(), Note, namespace, name)
	s.wantError("get", apierrors.IsNotFound, err)
	_, err = s.c.Update(s.Context(), platform.ConfigMap, s.object(platform.ConfigMap, ""))
	s.wantError("update", apierrors.IsNotFound, err)
	_, err = s.c.Patch(s.Context(), Note, namespace, name, map[string]any{"spec": map[string]any{}})
	s.wantError("patch", apierrors.IsNotFound, err)
	err = s.c.Delete(s.Context(), Note, namespace, name, platform.Preconditions{})
	s.wantError("delete", apierrors.IsNotFound, err)

	gone := s.create(Note, "", "spec.a", "1")
	if err := s.c.Delete(s.Context(), Note, namespace, name, platform.Preconditions{}); err != nil {
		s.Fatal(err)
	}
	_, err = s.c.Update(s.Context(), Note, gone)
	s.wantError("update of what is gone", apierrors.IsNotFound, err)
	_, err = s.c.UpdateStatus(s.Context(), Note, gone)
	s.wantError("update of the status of what is gone", apierrors.IsNotFound, err)
}

func refused(s *suite) {
	created := s.create(Note, "")
	_, err := s.c.Create(s.Context(), Note, created)
	s.wantError("creating with a resourceVersion", apierrors.IsBadRequest, err)
	_, err = s.c.Create(s.Context(), Note, s.object(platform.ConfigMap, ""))
	s.wantError("creating another kind", apierrors.IsBadRequest, err)
	_, err = s.c.Create(s.Context(), Note, s.object(Note, "-label", "metadata.labels", map[string]any{"a": int64(1)}))
	s.wantError("creating with a label that is a number", apierrors.IsBadRequest, err)
	_, err = s.c.Create(s.Context(), Note, &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": Namespaces[0]}}})
	s.wantError("creating without a name", apierrors.IsBadRequest, err)
	for _, address := range [][2]string{
		{"", "x"}, {Namespaces[0], ""}, {Namespaces[0], ".."}, {Namespaces[0], "a/b"}, {Namespaces[0], "../x"}, {"..", "x"}, {".", "x"}, {"a/b", "x"}, {"_cluster", "x"}, {Namespaces[0], "X"},
	} {
		_, err := s.c.Get(s.Context(), Note, address[0], address[1])
		s.wantError(fmt.Sprintf("getting %q", address), apierrors.IsBadRequest, err)
	}
	_, err = s.c.List(s.Context(), ClusterNote, Namespaces[0], nil)
	s.wantError("listing a cluster-scoped kind in a namespace", apierrors.IsBadRequest, err)
}

func increments(s *suite) {
	const workers, each = 8, 5
	created := s.create(platform.ConfigMap, "", "data.count", "0")
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for done := 0; done < each; {
				switch err := Increment(s.Context(), s.c, created.GetNamespace(), created.GetName()); {
				case err == nil:
					done++
				case !apierrors.IsConflict(err):
					s.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	s.want(s.get(platform.ConfigMap, created), "data.count", fmt.Sprint(workers*each))
}

// Increment adds one to data.count of a ConfigMap by compare-and-swap.
func Increment(ctx context.Context, client platform.Client, namespace, name string) error {
	object, err := client.Get(ctx, platform.ConfigMap, namespace, name)
	if err != nil {
		return err
	}
	count, _, _ := unstructured.NestedString(object.Object, "data", "count")
	number, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	object.Object["data"].(map[string]any)["count"] = strconv.Itoa(number + 1)
	_, err = client.Update(ctx, platform.ConfigMap, object)
	return err
}

func oneWinner(s *suite) {
	var won atomic.Int32
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			_, err := s.c.Create(s.Context(), platform.ConfigMap, s.object(platform.ConfigMap, "", "data.who", fmt.Sprint(i)))
			if err == nil {
				won.Add(1)
			} else if !apierrors.IsAlreadyExists(err) {
				s.Error(err)
			}
		})
	}
	wait.Wait()
	if won.Load() != 1 {
		s.Errorf("%d of 8 creates won", won.Load())
	}
}
