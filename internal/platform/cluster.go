package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Cluster is the platform cluster behind its API server. It asks once and
// returns what it is told; [WithRetry] asks again.
type Cluster struct {
	client dynamic.Interface
}

var _ Client = (*Cluster)(nil)

// OpenCluster returns the cluster that config leads to. Nothing is sent yet.
func OpenCluster(config *rest.Config) (*Cluster, error) {
	config = dynamic.ConfigFor(config)
	config.UserAgent = "baleen"
	config.GroupVersion, config.APIPath = nil, "/" // the dynamic client gives whole paths
	if config.Timeout == 0 {
		config.Timeout = 15 * time.Second
	}
	if config.QPS == 0 {
		// The server's own fairness does the rest.
		config.QPS, config.Burst = 50, 100
	}
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the configuration for the platform cluster %s cannot be used; correct it: %w", config.Host, err)
	}
	return &Cluster{client: dynamic.New(once{client})}, nil
}

// InCluster returns the cluster in which this process runs as a pod.
func InCluster() (*Cluster, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("the platform cluster cannot be reached from here; run in a pod with a service account, or set %s to a platform folder: %w", folderVariable, err)
	}
	return OpenCluster(config)
}

const folderVariable = "BALEEN_PLATFORM_DIR"

// Open returns the platform of a run: the folder that its environment names in
// BALEEN_PLATFORM_DIR, or else the cluster that this process runs in, with retries.
// Timestamps in a folder come from now.
func Open(getenv func(string) string, now func() time.Time) (Client, error) {
	if dir := getenv(folderVariable); dir != "" {
		folder, err := OpenFolder(dir, now)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", folderVariable, err)
		}
		return folder, nil
	}
	cluster, err := InCluster()
	if err != nil {
		return nil, err
	}
	return WithRetry(cluster, DefaultRetry), nil
}

// once keeps client-go from retrying by itself, which it does with its own
// clock and up to ten times whenever a server names a delay.
type once struct{ *rest.RESTClient }

func (o once) Verb(verb string) *rest.Request { return o.RESTClient.Verb(verb).MaxRetries(0) }
func (o once) Post() *rest.Request            { return o.RESTClient.Post().MaxRetries(0) }
func (o once) Put() *rest.Request             { return o.RESTClient.Put().MaxRetries(0) }
func (o once) Get() *rest.Request             { return o.RESTClient.Get().MaxRetries(0) }
func (o once) Delete() *rest.Request          { return o.RESTClient.Delete().MaxRetries(0) }
func (o once) Patch(kind types.PatchType) *rest.Request {
	return o.RESTClient.Patch(kind).MaxRetries(0)
}

// Get implements [Client].
func (c *Cluster) Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return nil, err
	}
	return c.resource(kind, namespace).Get(ctx, name, metav1.GetOptions{})
}

// List implements [Client]. One request for all keeps it a list of one moment.
func (c *Cluster) List(ctx context.Context, kind Kind, namespace string, want map[string]string) ([]unstructured.Unstructured, error) {
	if err := checkNamespace(ctx, kind, namespace); err != nil {
		return nil, err
	}
	list, err := c.resource(kind, namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(want).String()})
	if err != nil {
		return nil, err
	}
	sortObjects(list.Items)
	return list.Items, nil
}

// Create implements [Client].
func (c *Cluster) Create(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	object, err := prepareNew(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	return c.resource(kind, object.GetNamespace()).Create(ctx, object, metav1.CreateOptions{})
}

// Update implements [Client].
func (c *Cluster) Update(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	object, err := prepare(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	return c.resource(kind, object.GetNamespace()).Update(ctx, object, metav1.UpdateOptions{})
}

// UpdateStatus implements [Client].
func (c *Cluster) UpdateStatus(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	object, err := prepare(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	return c.resource(kind, object.GetNamespace()).UpdateStatus(ctx, object, metav1.UpdateOptions{})
}

// Patch implements [Client].
func (c *Cluster) Patch(ctx context.Context, kind Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch of %s %q cannot be written as JSON: %v", kind.Kind, name, err))
	}
	return c.resource(kind, namespace).Patch(ctx, name, types.MergePatchType, encoded, metav1.PatchOptions{})
}

// Delete implements [Client].
func (c *Cluster) Delete(ctx context.Context, kind Kind, namespace, name string, preconditions Preconditions) error {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return err
	}
	// What belongs to the object goes too, which for a Job is not the default.
	background := metav1.DeletePropagationBackground
	guard := &metav1.Preconditions{}
	if preconditions.UID != "" {
		uid := types.UID(preconditions.UID)
		guard.UID = &uid
	}
	if preconditions.ResourceVersion != "" {
		guard.ResourceVersion = &preconditions.ResourceVersion
	}
	return c.resource(kind, namespace).Delete(ctx, name, metav1.DeleteOptions{Preconditions: guard, PropagationPolicy: &background})
}

func (c *Cluster) resource(kind Kind, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return c.client.Resource(kind.GVR())
	}
	return c.client.Resource(kind.GVR()).Namespace(namespace)
}
