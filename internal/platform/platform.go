// Package platform is the client for the platform cluster: one small interface
// with two implementations, a Kubernetes API server ([Cluster]) and a folder of
// YAML files ([Folder]) that behaves like one. The suite in platformtest holds
// both to the same behaviour.
package platform

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind names a kind of object together with what a client must know to address
// it. Baleen uses few kinds and knows them all, so no discovery is needed.
type Kind struct {
	schema.GroupVersionKind
	// Plural is the resource's name in URLs and RBAC rules.
	Plural string
	// ClusterScoped kinds have no namespace.
	ClusterScoped bool
}

// GVR returns the group, version and resource that dynamic clients address.
func (k Kind) GVR() schema.GroupVersionResource {
	return k.GroupVersion().WithResource(k.Plural)
}

func kind(group, version, kind, plural string) Kind {
	return Kind{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: kind}, Plural: plural}
}

// The kinds of Kubernetes and of Kratix that Baleen reads or writes.
var (
	ConfigMap     = kind("", "v1", "ConfigMap", "configmaps")
	Secret        = kind("", "v1", "Secret", "secrets")
	Pod           = kind("", "v1", "Pod", "pods")
	Job           = kind("batch", "v1", "Job", "jobs")
	Work          = kind("platform.kratix.io", "v1alpha1", "Work", "works")
	WorkPlacement = kind("platform.kratix.io", "v1alpha1", "WorkPlacement", "workplacements")
	Destination   = Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "platform.kratix.io", Version: "v1alpha1", Kind: "Destination"},
		Plural:           "destinations", ClusterScoped: true,
	}
)

// The kinds that Baleen's own Promises serve.
var (
	ApiAggregator       = kind("baleen.dev", "v1alpha1", "ApiAggregator", "apiaggregators")
	ApiAggregatorTarget = kind("baleen.dev", "v1alpha1", "ApiAggregatorTarget", "apiaggregatortargets")
	NatsAccount         = kind("baleen.dev", "v1alpha1", "NatsAccount", "natsaccounts")
	NatsUser            = kind("baleen.dev", "v1alpha1", "NatsUser", "natsusers")
	System              = kind("baleen.dev", "v1alpha1", "System", "systems")
	Workload            = kind("baleen.dev", "v1alpha1", "Workload", "workloads")
)

// Preconditions guard a deletion; an empty field is not checked.
type Preconditions struct {
	UID             string
	ResourceVersion string
}

// Client reads and writes objects of the platform cluster. Its errors are those
// of k8s.io/apimachinery/pkg/api/errors: IsNotFound, IsAlreadyExists, IsConflict
// and the transient ones (IsTransient) are what callers tell apart.
type Client interface {
	// Get returns one object. The namespace of a cluster-scoped kind is "".
	Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error)
	// List returns the objects whose labels contain all of the given ones,
	// ordered by namespace and name; namespace "" means all namespaces.
	List(ctx context.Context, kind Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error)
	// Create stores a new object and returns it as stored.
	Create(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// Update replaces an object, its status excepted. A resourceVersion that is
	// no longer current is a conflict.
	Update(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// UpdateStatus replaces an object's status and nothing else.
	UpdateStatus(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// Patch applies a JSON merge patch (RFC 7386), the status excepted. A
	// metadata.resourceVersion in the patch is a precondition.
	Patch(ctx context.Context, kind Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error)
	// Delete removes an object for which the preconditions hold.
	Delete(ctx context.Context, kind Kind, namespace, name string, preconditions Preconditions) error
}
