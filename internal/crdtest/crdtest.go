// Package crdtest applies real CustomResourceDefinitions offline, the way an
// API server would: a test learns that an object is refused, and why, before a
// cluster does.
//
// The work is done by the API server's own code. [Definitions.Validate] is a
// create, [Definitions.ValidateUpdate] an update, [Definitions.Check] the
// creation of the definitions themselves. There is one difference: an API
// server drops the status of an object that is created or updated, while here
// it is validated like the rest, because output with a wrong status is wrong.
package crdtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Definitions is a set of CustomResourceDefinitions. It does not change once
// made and may be shared between tests that run at the same time.
type Definitions struct {
	kinds map[schema.GroupKind]*definition
}

// Load reads CustomResourceDefinitions from YAML of one or more documents.
// Documents of other kinds are skipped; none of the right kind fails the test.
func Load(t testing.TB, yaml []byte) *Definitions {
	t.Helper()
	definitions, err := parse(yaml)
	if err == nil && len(definitions.kinds) == 0 {
		err = errors.New("no CustomResourceDefinition in the YAML")
	}
	if err != nil {
		t.Fatal(err)
	}
	return definitions
}

// Merge returns all definitions of all sets. Where two define the same kind the
// later one wins, as if applied in this order.
func Merge(sets ...*Definitions) *Definitions {
	all := &Definitions{kinds: map[schema.GroupKind]*definition{}}
	for _, set := range sets {
		maps.Copy(all.kinds, set.kinds)
	}
	return all
}

// Validate says whether an API server would create the object: a field that is
// not in the schema is an error, as with kubectl's --validate=strict, and a
// missing namespace means "default". The object is not changed.
func (d *Definitions) Validate(object *unstructured.Unstructured) error {
	v, err := d.version(object)
	if err != nil {
		return err
	}
	decoded, err := v.decodeStrict(object)
	if err != nil {
		return err
	}
	return invalid(object, v.strategy.Validate(context.Background(), decoded))
}

// ValidateUpdate says whether an API server would replace old by updated. As
// there, a rule that old breaks too is not held against a field that stays the
// same. Metadata that only a server sets may be missing from updated, as it
// would from an applied manifest.
func (d *Definitions) ValidateUpdate(old, updated *unstructured.Unstructured) error {
	if old.GroupVersionKind() != updated.GroupVersionKind() {
		return fmt.Errorf("an update cannot turn %s into %s", old.GroupVersionKind(), updated.GroupVersionKind())
	}
	v, err := d.version(updated)
	if err != nil {
		return err
	}
	stored, _, err := v.decode(old)
	if err != nil {
		return fmt.Errorf("old object: %w", err)
	}
	decoded, err := v.decodeStrict(updated)
	if err != nil {
		return err
	}
	keepServerMetadata(stored, decoded)
	return invalid(updated, v.strategy.ValidateUpdate(context.Background(), decoded, stored))
}

// Cost returns what an API server spends on the rules of an object, and what it may
// spend at most: an object that costs more is refused, whatever is in it.
func (d *Definitions) Cost(object *unstructured.Unstructured) (spent, budget int64, err error) {
	v, err := d.version(object)
	if err != nil {
		return 0, 0, err
	}
	decoded, _, err := v.decode(object)
	if err != nil {
		return 0, 0, err
	}
	_, left := cel.NewValidator(v.schema, true, celconfig.PerCallLimit).
		Validate(context.Background(), nil, v.schema, decoded.Object, nil, celconfig.RuntimeCELCostBudget)
	return celconfig.RuntimeCELCostBudget - left, celconfig.RuntimeCELCostBudget, nil
}

// Default sets the schema's defaults in the object. Numbers come out as an API
// server's would: int64 if whole, float64 if not.
func (d *Definitions) Default(object *unstructured.Unstructured) error {
	v, err := d.version(object)
	if err != nil {
		return err
	}
	defaulted, err := v.defaulted(object)
	if err != nil {
		return err
	}
	object.Object = defaulted.Object
	return nil
}

// Check says whether an API server would create the definitions: schemas are
// structural, defaults satisfy them, CEL rules compile, and their estimated
// cost is within the budget.
func (d *Definitions) Check() error {
	byName := func(a, b *definition) int { return cmp.Compare(a.crd.Name, b.crd.Name) }
	var errs []error
	for _, definition := range slices.SortedFunc(maps.Values(d.kinds), byName) {
		errs = append(errs, definition.check())
	}
	return errors.Join(errs...)
}

// version finds what serves the object's apiVersion and kind.
func (d *Definitions) version(object *unstructured.Unstructured) (*version, error) {
	kind := object.GroupVersionKind()
	definition, found := d.kinds[kind.GroupKind()]
	if !found {
		return nil, fmt.Errorf("%s %q: no definition of kind %s", object.GetKind(), object.GetName(), kind.GroupKind())
	}
	serve, found := definition.served[kind.Version]
	if !found {
		return nil, fmt.Errorf("%s %q: version %q is not served, only %q",
			object.GetKind(), object.GetName(), kind.Version, slices.Sorted(maps.Keys(definition.served)))
	}
	return serve()
}

// check creates the definition the way an API server does.
func (d *definition) check() error {
	crd := d.crd.DeepCopy()
	strategy := customresourcedefinition.NewStrategy(nil)
	strategy.PrepareForCreate(context.Background(), crd)
	errs := strategy.Validate(context.Background(), crd)
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(apiextensions.Kind("CustomResourceDefinition"), crd.Name, errs)
}

// keepServerMetadata copies from stored what a client leaves out on an update.
func keepServerMetadata(stored, updated *unstructured.Unstructured) {
	if stored.GetResourceVersion() == "" {
		stored.SetResourceVersion("1")
	}
	for _, name := range []string{
		"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
	} {
		if _, found, _ := unstructured.NestedFieldNoCopy(updated.Object, "metadata", name); found {
			continue
		}
		if value, found, _ := unstructured.NestedFieldCopy(stored.Object, "metadata", name); found {
			_ = unstructured.SetNestedField(updated.Object, value, "metadata", name)
		}
	}
}

// invalid words errors the way an API server reports them, or returns nil if
// there are none.
func invalid(object *unstructured.Unstructured, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(object.GroupVersionKind().GroupKind(), object.GetName(), errs)
}

// unknownFields words paths the way an API server's strict decoder does.
func unknownFields(object *unstructured.Unstructured, paths []string) error {
	errs := make([]error, len(paths))
	for i, path := range paths {
		errs[i] = fmt.Errorf("unknown field %q", path)
	}
	return fmt.Errorf("%s %q: %w", object.GetKind(), object.GetName(), runtime.NewStrictDecodingError(errs))
}
