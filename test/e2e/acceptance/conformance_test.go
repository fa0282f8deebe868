package acceptance

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
)

// conformance holds the client that pipelines use to its contract on a real API
// server. The suite expects an empty store each time.
func conformance(s *story) {
	t := s.T
	for _, definition := range platformtest.Definitions() {
		data, err := definition.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		hub().apply(t, string(data))
	}
	hub().apply(t, namespaces(platformtest.Namespaces...))
	hub().kubectl(t, "", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	platformtest.Run(t, func(t *testing.T) platform.Client {
		empty(t)
		client, err := platform.OpenCluster(hub().config)
		if err != nil {
			t.Fatal(err)
		}
		return client
	})
	s.holds("the platform client passes its conformance suite on a real API server")
}

// empty removes what a test of the suite has left behind.
func empty(t *testing.T) {
	t.Helper()
	within(t, time.Minute, func() error {
		for _, kind := range platformtest.Kinds {
			what := gvr{Group: kind.Group, Version: kind.Version, Resource: kind.Plural}
			for _, namespace := range append([]string{""}, platformtest.Namespaces...) {
				if (namespace == "") != kind.ClusterScoped {
					continue
				}
				list, err := hub().objects.Resource(what).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
				if err != nil {
					return err
				}
				for _, object := range list.Items {
					if strings.HasPrefix(object.GetName(), "kube-root-ca") {
						continue
					}
					if len(object.GetFinalizers()) > 0 {
						hub().patch(t, what, namespace, object.GetName(), `{"metadata": {"finalizers": null}}`)
					}
					if err := hub().objects.Resource(what).Namespace(namespace).Delete(t.Context(), object.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
						return err
					}
				}
			}
		}
		return nil
	})
}
