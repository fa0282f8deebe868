package promises_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/promises"
)

// Every container is confined, and has resources of its own: Kratix's default limit
// of 200m of a CPU doubles how long a run takes.
func TestContainers(t *testing.T) {
	type pipelines []struct {
		Spec struct{ Containers []corev1.Container }
	}
	for _, p := range promises.All() {
		var in struct {
			Spec struct {
				Workflows struct {
					Resource struct{ Configure, Delete pipelines }
				}
			}
		}
		if err := yaml.Unmarshal(p.YAML, &in); err != nil {
			t.Fatal(err)
		}
		all := append(in.Spec.Workflows.Resource.Configure, in.Spec.Workflows.Resource.Delete...)
		if len(all) != 2 {
			t.Errorf("%s has %d pipelines", p.Name, len(all))
		}
		for _, pipeline := range all {
			if n := len(pipeline.Spec.Containers); n != 1 {
				t.Errorf("%s has a pipeline with %d containers", p.Name, n)
			}
			for _, c := range pipeline.Spec.Containers {
				s := c.SecurityContext
				if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.RunAsNonRoot == nil || !*s.RunAsNonRoot ||
					s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.SeccompProfile == nil ||
					s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
					t.Errorf("%s: the container %s is not confined: %+v", p.Name, c.Name, s)
				}
				if cpu, memory := c.Resources.Limits.Cpu(), c.Resources.Limits.Memory(); cpu.MilliValue() < 1000 || memory.Value() < 256<<20 {
					t.Errorf("%s: the container %s is limited to %s CPU and %s", p.Name, c.Name, cpu, memory)
				}
			}
		}
	}
}
