package workload

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/workload/v1alpha1"
)

// emit renders what each cluster is to run. Where the name is another's, what the request
// has there under another namespace goes on.
func emit(run *workflow.Run, in inputs, clusters []*cluster) (destination.Output, error) {
	output := destination.Output{}
	for _, c := range clusters {
		if !c.held {
			output[c.name] = elsewhere(in, c, run.Last[c.name])
			continue
		}
		documents, err := in.templates.Render(values(run, in, c.name))
		if err != nil {
			return nil, workflow.Fail(reason.RenderFailed, err)
		}
		if len(documents) == 0 { // by an overlay
			c.problem = problem{reason.NothingRendered, fmt.Sprintf("the overlays of the platform team leave nothing to run on %s: correct the ConfigMap %s-overlays", c.name, promise)}
		}
		output[c.name] = map[string][]byte{}
		for _, d := range documents {
			output[c.name][d.File()] = d.YAML
		}
	}
	return output, nil
}

// elsewhere returns the documents that a cluster has in other namespaces which are the
// request's still.
func elsewhere(in inputs, c *cluster, last map[string][]byte) map[string][]byte {
	files := maps.Clone(last)
	maps.DeleteFunc(files, func(_ string, data []byte) bool {
		return !slices.Contains(c.former, claim.Workload(c.name, namespaceOf(data), in.workload.Name))
	})
	return files
}

// selector is the label by which a Deployment and a Service know the Pods of a workload. A
// Deployment's cannot be changed.
const selector = "baleen.dev/workload"

// values are what the templates get; the keys are those of their schema.
func values(run *workflow.Run, in inputs, destination string) map[string]any {
	spec := in.workload.Spec
	least, most := spec.Replicas()
	resources := spec.Container.Resources.Whole()
	labels := run.Identity.Labels()
	labels["app.kubernetes.io/name"], labels["app.kubernetes.io/part-of"] = in.workload.Name, spec.SystemRef.Name
	env := []any{}
	for _, e := range spec.Container.Env {
		env = append(env, map[string]any{"name": e.Name, "value": e.Value})
	}
	port := int32(0)
	if spec.Type == v1alpha1.Service {
		port = spec.Container.ServedPort()
	}
	probes := map[string]any{}
	for _, p := range spec.Container.Probes() {
		asked := v1alpha1.Probe{}
		if p.Probe != nil {
			asked = *p.Probe
		}
		probes[p.Name] = map[string]any{
			"asked": p.Probe != nil, "path": asked.HTTPGet.Path,
			"periodSeconds": cmp.Or(asked.PeriodSeconds, 10), "timeoutSeconds": cmp.Or(asked.TimeoutSeconds, 1), "failureThreshold": cmp.Or(asked.FailureThreshold, p.Failures),
		}
	}
	pods := map[string]string{selector: in.workload.Name}
	onPods := maps.Clone(pods)
	onPods["app.kubernetes.io/name"], onPods["app.kubernetes.io/managed-by"] = in.workload.Name, "baleen"
	return map[string]any{
		"destination":    destination,
		"name":           in.workload.Name,
		"namespace":      in.namespace,
		"type":           spec.Type,
		"serviceAccount": "workload-" + in.workload.Name,
		"container": map[string]any{
			"image":   spec.Container.Image,
			"command": texts(spec.Container.Command),
			"args":    texts(spec.Container.Args),
			"port":    port,
			"env":     env,
			"probes":  probes,
			"resources": map[string]any{
				"requests": map[string]any{"cpu": resources.Requests.CPU, "memory": resources.Requests.Memory},
				"limits":   map[string]any{"cpu": resources.Limits.CPU, "memory": resources.Limits.Memory},
			},
		},
		"replicas":    map[string]any{"min": least, "max": most},
		"selector":    pods,
		"podLabels":   onPods,
		"labels":      labels,
		"annotations": run.Identity.Annotations(),
	}
}

// texts is a list that is not null.
func texts(list []string) []string { return append([]string{}, list...) }
