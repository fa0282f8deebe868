package crdtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// definition is one CustomResourceDefinition. A version is compiled when it is
// first asked for, since big ones take their time and most are never used.
type definition struct {
	crd    *apiextensions.CustomResourceDefinition
	served map[string]func() (*version, error)
}

// version is what an API server keeps to serve one version of a kind.
type version struct {
	schema     *structuralschema.Structural
	namespaced bool
	strategy   strategy
}

// strategy is the part of the API server that validates custom resources.
type strategy interface {
	Validate(ctx context.Context, object runtime.Object) field.ErrorList
	ValidateUpdate(ctx context.Context, object, old runtime.Object) field.ErrorList
}

// decoder reads definitions strictly: a misspelt keyword in a schema is an
// error, not a rule that never applies.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	utilruntime.Must(apiextensions.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(apiextensions.SchemeGroupVersion)
}()

// parse reads the CustomResourceDefinitions among the documents.
func parse(documents []byte) (*Definitions, error) {
	definitions := &Definitions{kinds: map[schema.GroupKind]*definition{}}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(documents)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return definitions, nil
		}
		if err != nil {
			return nil, err
		}
		var header metav1.TypeMeta
		if err := yaml.Unmarshal(document, &header); err != nil {
			return nil, err
		}
		if header.Kind != "CustomResourceDefinition" {
			continue
		}
		crd := &apiextensions.CustomResourceDefinition{}
		if err := runtime.DecodeInto(decoder, document, crd); err != nil {
			return nil, err
		}
		definitions.kinds[schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind}] = newDefinition(crd)
	}
}

// newDefinition prepares the served versions of crd, which must not change
// afterwards.
func newDefinition(crd *apiextensions.CustomResourceDefinition) *definition {
	d := &definition{crd: crd, served: map[string]func() (*version, error){}}
	for _, v := range crd.Spec.Versions {
		if v.Served {
			d.served[v.Name] = sync.OnceValues(func() (*version, error) { return compile(crd, v.Name) })
		}
	}
	return d
}

// compile makes one version ready, with what the API server would use.
func compile(crd *apiextensions.CustomResourceDefinition, name string) (*version, error) {
	failed := func(err error) (*version, error) {
		return nil, fmt.Errorf("CustomResourceDefinition %s, version %s: %w", crd.Name, name, err)
	}
	wrapped, err := apiextensions.GetSchemaForVersion(crd, name)
	if err != nil {
		return failed(err)
	}
	if wrapped == nil || wrapped.OpenAPIV3Schema == nil {
		return failed(errors.New("no schema"))
	}
	structural, err := structuralschema.NewStructural(wrapped.OpenAPIV3Schema)
	if err != nil {
		return failed(err)
	}
	validator, _, err := validation.NewSchemaValidator(wrapped.OpenAPIV3Schema)
	if err != nil {
		return failed(err)
	}
	subresources, err := apiextensions.GetSubresourcesForVersion(crd, name)
	if err != nil {
		return failed(err)
	}
	if subresources == nil {
		subresources = &apiextensions.CustomResourceSubresources{}
	}
	namespaced := crd.Spec.Scope == apiextensions.NamespaceScoped
	kind := schema.GroupVersionKind{Group: crd.Spec.Group, Version: name, Kind: crd.Spec.Names.Kind}
	return &version{
		schema:     structural,
		namespaced: namespaced,
		strategy: customresource.NewStrategy(nil, namespaced, kind, validator, nil, structural,
			subresources.Status, subresources.Scale, nil),
	}, nil
}

// decodeStrict is decode where an unknown field is an error.
func (v *version) decodeStrict(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	decoded, unknown, err := v.decode(object)
	if err == nil && len(unknown) > 0 {
		err = unknownFields(object, unknown)
	}
	return decoded, err
}

// decode returns the object as an API server would store it, defaulted and
// pruned, and the paths of the fields that were not in the schema.
func (v *version) decode(object *unstructured.Unstructured) (*unstructured.Unstructured, []string, error) {
	decoded, err := v.defaulted(object)
	if err != nil {
		return nil, nil, err
	}
	metadata, found, unknown, err := objectmeta.GetObjectMetaWithOptions(decoded.Object,
		objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, nil, fmt.Errorf("%s %q: metadata: %w", object.GetKind(), object.GetName(), err)
	}
	unknown = append(unknown, pruning.PruneWithOptions(decoded.Object, v.schema, true,
		structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	defaulting.PruneNonNullableNullsWithoutDefaults(decoded.Object, v.schema)
	embedded, paths := objectmeta.CoerceWithOptions(nil, decoded.Object, v.schema, false,
		objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if embedded != nil {
		return nil, nil, invalid(object, field.ErrorList{embedded})
	}
	if found {
		if err := objectmeta.SetObjectMeta(decoded.Object, metadata); err != nil {
			return nil, nil, err
		}
	}
	if v.namespaced && decoded.GetNamespace() == "" {
		decoded.SetNamespace(metav1.NamespaceDefault)
	}
	return decoded, append(unknown, paths...), nil
}

// defaulted returns a copy of the object that went through JSON, as it would
// on its way to an API server, with the schema's defaults.
func (v *version) defaulted(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	wire, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	decoded := &unstructured.Unstructured{}
	if err := decoded.UnmarshalJSON(wire); err != nil {
		return nil, err
	}
	defaulting.Default(decoded.Object, v.schema)
	return decoded, nil
}
