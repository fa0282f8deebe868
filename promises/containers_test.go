package promises_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/promises"
)

// promise is all that a promise.yaml of Baleen's may say. Kratix knows more fields,
// such as volumes, or a service account that the guard would not know.
type promise struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta
	Spec            struct {
		API       map[string]any
		Workflows struct {
			Resource struct{ Configure, Delete []pipeline }
		}
	}
}

type pipeline struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta
	Spec            struct {
		RBAC       struct{ Permissions []permission }
		Containers []corev1.Container
	}
}

// permission is a right that a pipeline has in one namespace, in all ("*"), or in
// that of its request ("").
type permission struct {
	ResourceNamespace string `json:"resourceNamespace"`
	rbacv1.PolicyRule `json:",inline"`
}

// read returns all that a Promise says. A field that is not in [promise] fails the test.
func read(t *testing.T, p promises.Promise) promise {
	t.Helper()
	var read promise
	if err := yaml.UnmarshalStrict(p.YAML, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// A Promise is one pipeline for each action, and a pipeline is one container that is
// confined to its image: not root, nothing to write to but what Kratix mounts, no
// privileges, no system calls but the usual ones. It has resources of its own, since
// Kratix's default limit of 200m of a CPU doubles how long a run takes.
func TestContainers(t *testing.T) {
	for _, p := range promises.All() {
		t.Run(p.Name, func(t *testing.T) {
			got, memory := read(t, p), "256Mi"
			if p.Name == "nats-account" {
				memory = "512Mi"
			}
			version := got.Metadata.Labels["kratix.io/promise-version"]
			if got.APIVersion != "platform.kratix.io/v1alpha1" || got.Kind != "Promise" || got.Metadata.Labels["app.kubernetes.io/part-of"] != "baleen" {
				t.Errorf("it is the %s %s with the labels %v", got.APIVersion, got.Kind, got.Metadata.Labels)
			}
			yes, no, user := true, false, int64(65532)
			containers := []corev1.Container{{
				Name:  p.Name,
				Image: "ghcr.io/baleen-platform/" + p.Name + ":" + version,
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
					Limits:   corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse(memory)},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no,
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
					ReadOnlyRootFilesystem:   &yes,
					RunAsGroup:               &user,
					RunAsNonRoot:             &yes,
					RunAsUser:                &user,
					SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
			}}
			for action, pipelines := range map[string][]pipeline{
				"configure": got.Spec.Workflows.Resource.Configure,
				"delete":    got.Spec.Workflows.Resource.Delete,
			} {
				t.Run(action, func(t *testing.T) {
					if len(pipelines) != 1 {
						t.Fatalf("there are %d pipelines", len(pipelines))
					}
					if p := pipelines[0]; p.APIVersion != "platform.kratix.io/v1alpha1" || p.Kind != "Pipeline" || p.Metadata.Name != action {
						t.Errorf("it is the %s %s %s", p.APIVersion, p.Kind, p.Metadata.Name)
					}
					if diff := cmp.Diff(containers, pipelines[0].Spec.Containers); diff != "" {
						t.Errorf("the containers are not as they should be (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
}
