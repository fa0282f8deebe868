package platform

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Both implementations check what they are asked with the functions below, so
// that what works on a folder works on a cluster, and no name reaches a path or
// a URL unchecked.

func checkNamespace(ctx context.Context, kind Kind, namespace string) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case namespace == "":
		return nil
	case kind.ClusterScoped:
		return apierrors.NewBadRequest(fmt.Sprintf("%s belongs to no namespace; leave out the namespace %q", kind.Kind, namespace))
	case len(validation.IsDNS1123Label(namespace)) > 0:
		return apierrors.NewBadRequest(fmt.Sprintf("%q cannot name a namespace; use at most 63 lower case letters, digits and dashes", namespace))
	}
	return nil
}

func checkName(ctx context.Context, kind Kind, namespace, name string) error {
	if err := checkNamespace(ctx, kind, namespace); err != nil {
		return err
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return apierrors.NewBadRequest(fmt.Sprintf("%q cannot name a %s; use lower case letters, digits, dashes and dots", name, kind.Kind))
	}
	if namespace == "" && !kind.ClusterScoped {
		return apierrors.NewBadRequest(fmt.Sprintf("%s %q has no namespace; set metadata.namespace", kind.Kind, name))
	}
	return nil
}

// prepare returns a copy of an object that is to be stored: in the types that
// decoding gives, its kind filled in, its metadata checked.
func prepare(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	content, err := copyJSON(object.Object)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s %q cannot be written as JSON: %v", kind.Kind, object.GetName(), err))
	}
	prepared := &unstructured.Unstructured{Object: content}
	if prepared.GetAPIVersion() == "" && prepared.GetKind() == "" {
		prepared.SetGroupVersionKind(kind.GroupVersionKind)
	}
	if is := prepared.GroupVersionKind(); is != kind.GroupVersionKind {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%q is a %s; it must be a %s", prepared.GetName(), is, kind.GroupVersionKind))
	}
	if err := checkMetadata(content); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s %q: %v", kind.Kind, prepared.GetName(), err))
	}
	foldStringData(prepared)
	return prepared, checkName(ctx, kind, prepared.GetNamespace(), prepared.GetName())
}

// prepareNew is prepare for an object that does not exist yet.
func prepareNew(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if object.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s %q is to be created but has a resourceVersion; remove it, or update", kind.Kind, object.GetName()))
	}
	return prepare(ctx, kind, object)
}

// checkMetadata finds the mistakes that the getters of Unstructured hide by
// returning nothing.
func checkMetadata(content map[string]any) error {
	metadata, isMap := content["metadata"].(map[string]any)
	if !isMap {
		return fmt.Errorf("it has no metadata; give it a name")
	}
	for field, value := range metadata {
		ok := true
		switch field {
		case "name", "namespace", "uid", "resourceVersion":
			_, ok = value.(string)
		case "labels", "annotations":
			_, _, err := unstructured.NestedStringMap(metadata, field)
			ok = err == nil
		case "finalizers":
			_, _, err := unstructured.NestedStringSlice(metadata, field)
			ok = err == nil
		}
		if !ok && value != nil {
			return fmt.Errorf("metadata.%s must be text; put quotes around numbers and yes or no", field)
		}
	}
	return nil
}

// foldStringData does to a Secret what an API server does on storing one.
func foldStringData(object *unstructured.Unstructured) {
	plain, found, err := unstructured.NestedStringMap(object.Object, "stringData")
	if !found || err != nil || object.GroupVersionKind() != Secret.GroupVersionKind {
		return
	}
	data, ok := object.Object["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
	}
	for key, value := range plain {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	object.Object["data"] = data
	delete(object.Object, "stringData")
}

// copyJSON returns what decoding the JSON of content gives.
func copyJSON(content map[string]any) (map[string]any, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	copied := map[string]any{}
	return copied, utiljson.Unmarshal(encoded, &copied)
}

// merge applies a JSON merge patch (RFC 7386) to target.
func merge(target, patch map[string]any) {
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, key)
		case map[string]any:
			inner, ok := target[key].(map[string]any)
			if !ok {
				inner = map[string]any{}
			}
			merge(inner, value)
			target[key] = inner
		default:
			target[key] = value
		}
	}
}

func sortObjects(objects []unstructured.Unstructured) {
	// An API server orders by the keys of its store, where "a-b/" is before "a/".
	slices.SortFunc(objects, func(a, b unstructured.Unstructured) int {
		if order := strings.Compare(a.GetNamespace(), b.GetNamespace()); order != 0 {
			return order
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
}

// checkCurrent reports whether an update made from an earlier reading may replace
// what is stored now.
func checkCurrent(kind Kind, stored, updated *unstructured.Unstructured) error {
	name := stored.GetName()
	if uid := updated.GetUID(); uid != "" && uid != stored.GetUID() {
		return conflict(kind, name, "its uid is not the one to update; read it again")
	}
	switch updated.GetResourceVersion() {
	case stored.GetResourceVersion():
	case "":
		if kind.Group != "" {
			return invalid(kind, name, "resourceVersion", "must be that of the object as it was read")
		}
	default:
		return conflict(kind, name, "it has changed since it was read; read it again")
	}
	if stored.GetDeletionTimestamp() != nil {
		for _, finalizer := range updated.GetFinalizers() {
			if !slices.Contains(stored.GetFinalizers(), finalizer) {
				return invalid(kind, name, "finalizers", "cannot grow while the object is being deleted")
			}
		}
	}
	return nil
}

func conflict(kind Kind, name, why string) error {
	return apierrors.NewConflict(kind.GVR().GroupResource(), name, errors.New(why))
}

func invalid(kind Kind, name, path, why string) error {
	return apierrors.NewInvalid(kind.GroupKind(), name, field.ErrorList{field.Forbidden(field.NewPath("metadata", path), why)})
}

// keepOwned gives an updated object what clients cannot set: its status, and the
// metadata that belong to the store.
func keepOwned(updated, stored *unstructured.Unstructured) {
	keep(updated.Object, stored.Object, "status")
	to, _ := updated.Object["metadata"].(map[string]any)
	from, _ := stored.Object["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		keep(to, from, field)
	}
}

func keep(to, from map[string]any, key string) {
	delete(to, key)
	if value, found := from[key]; found {
		to[key] = value
	}
}

// specOf returns the content that counts for the generation.
func specOf(object *unstructured.Unstructured) map[string]any {
	spec := maps.Clone(object.Object)
	delete(spec, "metadata")
	delete(spec, "status")
	return spec
}

// change returns what becomes of a stored object.
type change = func(stored *unstructured.Unstructured) (*unstructured.Unstructured, error)

// replacing is what an update does.
func replacing(kind Kind, updated *unstructured.Unstructured) change {
	return func(stored *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		if err := checkCurrent(kind, stored, updated); err != nil {
			return nil, err
		}
		keepOwned(updated, stored)
		return updated, nil
	}
}

// replacingStatus is what an update of the status does.
func replacingStatus(kind Kind, updated *unstructured.Unstructured) change {
	return func(stored *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		if err := checkCurrent(kind, stored, updated); err != nil {
			return nil, err
		}
		changed := stored.DeepCopy()
		keep(changed.Object, updated.Object, "status")
		return changed, nil
	}
}

// patched returns what a JSON merge patch makes of a stored object.
func patched(ctx context.Context, kind Kind, stored *unstructured.Unstructured, patch map[string]any) (*unstructured.Unstructured, error) {
	changed := stored.DeepCopy()
	merge(changed.Object, patch)
	changed, err := prepare(ctx, kind, changed)
	if err != nil {
		return nil, err
	}
	if name := stored.GetName(); changed.GetName() != name || changed.GetNamespace() != stored.GetNamespace() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch of %s %q changes its name or namespace; create another object instead", kind.Kind, name))
	}
	if err := checkCurrent(kind, stored, changed); err != nil {
		return nil, err
	}
	keepOwned(changed, stored)
	return changed, nil
}

func checkPreconditions(kind Kind, stored *unstructured.Unstructured, preconditions Preconditions) error {
	if uid := preconditions.UID; uid != "" && uid != string(stored.GetUID()) {
		return conflict(kind, stored.GetName(), "it is another object of that name than the one to delete")
	}
	if version := preconditions.ResourceVersion; version != "" && version != stored.GetResourceVersion() {
		return conflict(kind, stored.GetName(), "it has changed since it was read; read it again")
	}
	return nil
}

// markDeleted is what a deletion does to an object that has finalizers.
func markDeleted(object *unstructured.Unstructured, now time.Time) *unstructured.Unstructured {
	at := metav1.NewTime(now)
	object.SetDeletionTimestamp(&at)
	object.SetDeletionGracePeriodSeconds(new(int64))
	object.SetGeneration(object.GetGeneration() + 1) // as API servers do
	return object
}
