// Package guardtest has tests write to a platform as an API server with the guard lets
// the account of a pipeline write.
package guardtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

// Guard is an API server's admission with nothing but guard.yaml.
type Guard struct{ plugin *validating.Plugin }

// State is the namespace whose ConfigMaps are guarded.
const State = "baleen-state"

// shared is the one guard of all tests of a program. It is there from the start: a test
// whose time stands still cannot wait for it.
var shared, errShared = openShared()

func openShared() (*Guard, error) {
	objects, err := Objects()
	if err != nil {
		return nil, err
	}
	guard, err := New(make(chan struct{}), objects)
	if err != nil {
		return nil, err
	}
	// Once it has answered, it is ready.
	return guard, guard.Write(context.Background(), ServiceAccount("team-a", "default"), nil,
		&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}})
}

// Objects returns the objects of guard.yaml.
func Objects() ([]runtime.Object, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(promises.Guard)))
	var objects []runtime.Object
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, err
		}
		if kind == (metav1.TypeMeta{}) {
			continue // comments
		}
		object, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind))
		if err == nil {
			err = yaml.UnmarshalStrict(document, object)
		}
		if err != nil {
			return nil, err
		}
		if policy, ok := object.(*admissionv1.ValidatingAdmissionPolicy); ok { // what an API server fills in
			policy.Spec.MatchConstraints.NamespaceSelector, policy.Spec.MatchConstraints.ObjectSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
			policy.Spec.MatchConstraints.MatchPolicy = new(admissionv1.Equivalent)
		}
		objects = append(objects, object)
	}
}

// New returns an API server's admission with such policies, until stop is closed.
func New(stop <-chan struct{}, objects []runtime.Object) (*Guard, error) {
	for _, namespace := range []string{"team-a", State} {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	}
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	plugin, err := validating.NewPlugin(nil)
	if err != nil {
		return nil, err
	}
	plugin.SetExternalKubeInformerFactory(factory)
	plugin.SetExternalKubeClientSet(client)
	plugin.SetRESTMapper(meta.NewDefaultRESTMapper(nil))
	plugin.SetDynamicClient(dynamic.NewForConfigOrDie(&rest.Config{}))
	plugin.SetDrainedNotification(stop)
	plugin.SetAuthorizer(authorizerfactory.NewAlwaysDenyAuthorizer())
	if err := plugin.ValidateInitialization(); err != nil {
		return nil, err
	}
	factory.Start(stop)
	return &Guard{plugin}, nil
}

// Validate returns why a request is denied, nil if it is let through.
func (g *Guard) Validate(ctx context.Context, request admission.Attributes) error {
	return g.plugin.Validate(ctx, request, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
}

// ServiceAccount returns the user that a service account is.
func ServiceAccount(namespace, name string) *user.DefaultInfo {
	return &user.DefaultInfo{
		Name:   "system:serviceaccount:" + namespace + ":" + name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
}

// Account returns the account of a Promise's pipeline in a namespace. Pipelines are
// called like the action that they are for.
func Account(namespace, promise, action string) *user.DefaultInfo {
	return ServiceAccount(namespace, fmt.Sprintf("%s-resource-%s-%s", promise, action, action))
}

// Write asks whether a user may write a ConfigMap of [State]: after is nil for a
// deletion, before for what is new.
func (g *Guard) Write(ctx context.Context, who user.Info, before, after *unstructured.Unstructured) error {
	kind := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	verb, name := admission.Update, ""
	var object, old runtime.Object // no typed nil, which is not nil
	if before != nil {
		old, name = before, before.GetName()
	} else {
		verb = admission.Create
	}
	if after != nil {
		object, name = after, after.GetName()
	} else {
		verb = admission.Delete
	}
	return g.Validate(ctx, admission.NewAttributesRecord(object, old, kind, State, name, corev1.SchemeGroupVersion.WithResource("configmaps"), "", verb, nil, false, who))
}

// Client is a platform as a user of it sees it. What the guard denies is handed to
// Denied too: no pipeline may be refused what it does, nor hide it.
type Client struct {
	platform.Client

	Guard  *Guard
	Who    user.Info
	Denied func(error)
}

// Open returns a platform as the account of a pipeline sees it.
func Open(client platform.Client, who user.Info, denied func(error)) (*Client, error) {
	return &Client{client, shared, who, denied}, errShared
}

// check asks the guard, as an API server does: of an object that is there, once its
// version is the one that is meant.
func (c *Client) check(ctx context.Context, kind platform.Kind, namespace, name, version string, change func(before *unstructured.Unstructured) *unstructured.Unstructured) error {
	if kind != platform.ConfigMap || namespace != State {
		return nil
	}
	before, err := c.Client.Get(ctx, kind, namespace, name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if before != nil && version != "" && version != before.GetResourceVersion() {
		return nil // a conflict, whatever is asked
	}
	after := change(before)
	if before == nil && after == nil {
		return nil
	}
	if err = c.Guard.Write(ctx, c.Who, before, after); err != nil {
		c.Denied(fmt.Errorf("%s: %w", c.Who.GetName(), err))
	}
	return err
}

// Create asks the guard first.
func (c *Client) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if kind == platform.ConfigMap && o.GetNamespace() == State {
		if err := c.Guard.Write(ctx, c.Who, nil, o); err != nil {
			c.Denied(fmt.Errorf("%s: %w", c.Who.GetName(), err))
			return nil, err
		}
	}
	return c.Client.Create(ctx, kind, o)
}

// Update asks the guard first.
func (c *Client) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	err := c.check(ctx, kind, o.GetNamespace(), o.GetName(), o.GetResourceVersion(), func(before *unstructured.Unstructured) *unstructured.Unstructured {
		if before == nil {
			return nil
		}
		return o
	})
	if err != nil {
		return nil, err
	}
	return c.Client.Update(ctx, kind, o)
}

// Patch is for what is not guarded: no pipeline patches a ConfigMap.
func (c *Client) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if kind == platform.ConfigMap && namespace == State {
		err := fmt.Errorf("%s patches the ConfigMap %s", c.Who.GetName(), name)
		c.Denied(err)
		return nil, err
	}
	return c.Client.Patch(ctx, kind, namespace, name, patch)
}

// Delete asks the guard first.
func (c *Client) Delete(ctx context.Context, kind platform.Kind, namespace, name string, preconditions platform.Preconditions) error {
	err := c.check(ctx, kind, namespace, name, preconditions.ResourceVersion, func(*unstructured.Unstructured) *unstructured.Unstructured { return nil })
	if err != nil {
		return err
	}
	return c.Client.Delete(ctx, kind, namespace, name, preconditions)
}
