package pipelines_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/json"

	"github.com/baleen-platform/baleen/internal/crdtest"
)

// apiServer is what takes the documents that come out: custom resources by their
// definitions, Kubernetes' own by its types.
type apiServer struct {
	*crdtest.Definitions
	security policy.Evaluator
}

// own are the kinds of Kubernetes that the pipelines emit.
var own = map[schema.GroupVersionKind]func() runtime.Object{
	appsv1.SchemeGroupVersion.WithKind("Deployment"):                     func() runtime.Object { return &appsv1.Deployment{} },
	autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"): func() runtime.Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
	policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"):          func() runtime.Object { return &policyv1.PodDisruptionBudget{} },
	corev1.SchemeGroupVersion.WithKind("Service"):                        func() runtime.Object { return &corev1.Service{} },
	corev1.SchemeGroupVersion.WithKind("ServiceAccount"):                 func() runtime.Object { return &corev1.ServiceAccount{} },
}

func serverWith(t testing.TB, definitions *crdtest.Definitions) *apiServer {
	t.Helper()
	security, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &apiServer{definitions, security}
}

// Validate says whether an API server takes an object.
func (c *apiServer) Validate(object *unstructured.Unstructured) error {
	make, isOwn := own[object.GroupVersionKind()]
	if !isOwn {
		return c.Definitions.Validate(object)
	}
	data, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	typed := make()
	if strict, err := json.UnmarshalStrict(data, typed); err != nil || len(strict) > 0 {
		return fmt.Errorf("%s %s is none of Kubernetes': %w %v", object.GetKind(), object.GetName(), err, strict)
	}
	for key, value := range object.GetLabels() {
		if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			return fmt.Errorf("the label %s: %s is not valid: %v", key, value, problems)
		}
	}
	switch o := typed.(type) {
	case *appsv1.Deployment:
		return c.validatePods(o)
	case *corev1.Service:
		if problems := validation.IsDNS1035Label(o.Name); len(problems) > 0 {
			return fmt.Errorf("the Service %s is not valid: %v", o.Name, problems)
		}
	}
	return nil
}

// validatePods says whether the Pods of a Deployment are selected by it, and Pod Security
// admits them as restricted.
func (c *apiServer) validatePods(d *appsv1.Deployment) error {
	for key, value := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[key] != value {
			return fmt.Errorf("the Deployment %s selects other Pods than its own", d.Name)
		}
	}
	if problems := validation.IsDNS1123Label(d.Spec.Template.Spec.Containers[0].Name); len(problems) > 0 {
		return fmt.Errorf("the container of %s is not valid: %v", d.Name, problems)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	results := c.security.EvaluatePod(restricted, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec)
	if r := policy.AggregateCheckResults(results); !r.Allowed {
		return fmt.Errorf("Pod Security does not admit the Pods of %s as restricted: %s", d.Name, r.ForbiddenDetail())
	}
	return nil
}

// Default fills in what an API server does. Argo CD knows the defaults of Kubernetes' own
// kinds, and takes them for no difference.
func (c *apiServer) Default(object *unstructured.Unstructured) error {
	if _, isOwn := own[object.GroupVersionKind()]; isOwn {
		return nil
	}
	return c.Definitions.Default(object)
}

// What looks at documents of Kubernetes' own kinds notices what is wrong with them.
func TestOwnKindsAreValidated(t *testing.T) {
	c := emitted(t)
	for _, test := range []struct {
		name, kind, says string
		change           func(spec, pod, container map[string]any)
	}{
		{"nothing is wrong", "Deployment", "", func(map[string]any, map[string]any, map[string]any) {}},
		{"a field that there is not", "Deployment", `unknown field "spec.replica"`, func(spec, _, _ map[string]any) { spec["replica"] = int64(1) }},
		{"a field in another case", "Deployment", `unknown field "spec.template.spec.Volumes"`, func(_, pod, _ map[string]any) { pod["Volumes"] = pod["volumes"] }},
		{"a wrong type", "Deployment", "cannot unmarshal", func(_, pod, _ map[string]any) { pod["containers"] = "a" }},
		{"other Pods", "Deployment", "selects other Pods than its own", func(spec, _, _ map[string]any) {
			spec["selector"] = map[string]any{"matchLabels": map[string]any{"a": "b"}}
		}},
		{"the host's network", "Deployment", "hostNetwork", func(_, pod, _ map[string]any) { pod["hostNetwork"] = true }},
		{"privileges", "Deployment", "allowPrivilegeEscalation", func(_, _, container map[string]any) { delete(container, "securityContext") }},
		{"a path of the host", "Deployment", "restricted volume types", func(_, pod, _ map[string]any) {
			pod["volumes"] = []any{map[string]any{"name": "tmp", "hostPath": map[string]any{"path": "/"}}}
		}},
		{"root", "Deployment", "runAsUser=0", func(_, pod, _ map[string]any) { pod["securityContext"].(map[string]any)["runAsUser"] = int64(0) }},
		{"a Service with a field more", "Service", `unknown field "spec.port"`, func(spec, _, _ map[string]any) { spec["port"] = int64(1) }},
		{"an autoscaler of an older version", "HorizontalPodAutoscaler", `unknown field "spec.targetCPUUtilizationPercentage"`, func(spec, _, _ map[string]any) {
			spec["targetCPUUtilizationPercentage"] = int64(1)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for file, object := range maps.All(workloadExample(t)) {
				if object.GetKind() != test.kind {
					continue
				}
				spec := object.Object["spec"].(map[string]any)
				var pod, container map[string]any
				if template, isDeployment := spec["template"].(map[string]any); isDeployment {
					pod = template["spec"].(map[string]any)
					container = pod["containers"].([]any)[0].(map[string]any)
				}
				test.change(spec, pod, container)
				err := c.Validate(object)
				if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
					t.Errorf("%s: %v, want %q", file, err, test.says)
				}
			}
		})
	}
}
