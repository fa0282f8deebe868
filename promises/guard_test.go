package promises_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
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
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/guardtest"
	"github.com/baleen-platform/baleen/promises"
)

// readGuard returns the objects of guard.yaml and the policies among them, with
// the defaults that an API server gives them. Each policy is for all objects of all
// namespaces, denies, and denies too when it fails.
func readGuard(t *testing.T) (objects []runtime.Object, policies []*admissionv1.ValidatingAdmissionPolicy) {
	t.Helper()
	data, err := os.ReadFile("guard.yaml")
	if err != nil {
		t.Fatal(err)
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	bound := map[string]bool{}
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		if kind == (metav1.TypeMeta{}) {
			continue // comments
		}
		object, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind))
		if err == nil {
			err = yaml.UnmarshalStrict(document, object)
		}
		if err != nil {
			t.Fatal(err)
		}
		switch o := object.(type) {
		case *admissionv1.ValidatingAdmissionPolicy:
			constraints, equivalent := o.Spec.MatchConstraints, admissionv1.Equivalent
			if all := (&admissionv1.MatchResources{ResourceRules: constraints.ResourceRules}); !reflect.DeepEqual(constraints, all) {
				t.Errorf("%s leaves out some objects: %+v", o.Name, constraints)
			}
			for _, rule := range constraints.ResourceRules {
				if len(rule.ResourceNames) > 0 {
					t.Errorf("%s is for some names alone: %v", o.Name, rule.ResourceNames)
				}
			}
			if len(o.Spec.MatchConditions) != 1 {
				t.Errorf("%s has %d conditions; the rows of TestGuard know of one", o.Name, len(o.Spec.MatchConditions))
			}
			constraints.NamespaceSelector, constraints.ObjectSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
			constraints.MatchPolicy = &equivalent
			policies = append(policies, o)
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			name := o.Spec.PolicyName
			denies := admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}
			if bound[name] = reflect.DeepEqual(o.Spec, denies); !bound[name] {
				t.Errorf("the binding %s does not deny all that %s does: %+v", o.Name, name, o.Spec)
			}
		default:
			t.Fatalf("guard.yaml has a %s", kind.Kind)
		}
		objects = append(objects, object)
	}
	for _, p := range policies {
		if !bound[p.Name] {
			t.Errorf("no binding makes %s deny", p.Name)
		}
		if p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != admissionv1.Fail {
			t.Errorf("%s does not deny when it fails", p.Name)
		}
	}
	return objects, policies
}

// The guard's rules are held against the fields that the kinds have, as an API
// server does when it stores a policy.
func TestGuardTypes(t *testing.T) {
	_, policies := readGuard(t)
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind := range schemas {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	checker := &validating.TypeChecker{SchemaResolver: schemas, RestMapper: mapper}
	for _, policy := range policies {
		for _, warning := range checker.Check(policy) {
			t.Errorf("%s: %s: %s", policy.Name, warning.FieldRef, warning.Warning)
		}
		types := checker.CreateContext(policy)
		for _, condition := range policy.Spec.MatchConditions {
			if result := checker.CheckExpression(types, condition.Expression); len(result) > 0 {
				t.Errorf("%s: %s: %s", policy.Name, condition.Name, result)
			}
		}
		for _, variable := range policy.Spec.Variables { // for which an API server admits no reserved word
			if result := fmt.Sprint(checker.CheckExpression(types, variable.Name)); strings.Contains(result, "reserved identifier") {
				t.Errorf("%s: the variable %s: %s", policy.Name, variable.Name, result)
			}
		}
		for _, validation := range policy.Spec.Validations {
			if validation.Message == "" || validation.MessageExpression == "" || strings.Contains(validation.Message, "\n") {
				t.Errorf("%s: the rule %s needs a message of one line and a messageExpression", policy.Name, validation.Expression)
			}
		}
	}
	// Would a mistake be found?
	wrong := policies[0].DeepCopy()
	wrong.Spec.Validations[0].Expression = "object.spec.template.spec.serviceAcountName == ''"
	if len(checker.Check(wrong)) != 1 {
		t.Error("a field that does not exist was not found")
	}
}

// typeSchemas are OpenAPI schemas of Go types, which are all that the modules
// of Kubernetes offer.
type typeSchemas map[schema.GroupVersionKind]any

var schemas = typeSchemas{
	corev1.SchemeGroupVersion.WithKind("Pod"):       corev1.Pod{},
	corev1.SchemeGroupVersion.WithKind("Secret"):    corev1.Secret{},
	batchv1.SchemeGroupVersion.WithKind("Job"):      batchv1.Job{},
	corev1.SchemeGroupVersion.WithKind("ConfigMap"): corev1.ConfigMap{},
}

func (s typeSchemas) ResolveSchema(kind schema.GroupVersionKind) (*spec.Schema, error) {
	value, ok := s[kind]
	if !ok {
		return nil, fmt.Errorf("no schema of %s", kind)
	}
	return schemaOf(reflect.TypeOf(value)), nil
}

func schemaOf(t reflect.Type) *spec.Schema {
	switch {
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	case t.Implements(reflect.TypeFor[interface{ OpenAPISchemaType() []string }]()): // Time, Quantity and the like
		return spec.StringProperty()
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return spec.StringProperty()
	case t.Kind() == reflect.Slice:
		return spec.ArrayProperty(schemaOf(t.Elem()))
	case t.Kind() == reflect.Map:
		return spec.MapProperty(schemaOf(t.Elem()))
	case t.Kind() == reflect.String:
		return spec.StringProperty()
	case t.Kind() == reflect.Bool:
		return spec.BooleanProperty()
	case t.Kind() != reflect.Struct:
		return spec.Int64Property()
	}
	object := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{}}}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" && len(field.Index) == 1 {
			object.Properties[name] = *schemaOf(field.Type)
		} else if field.Anonymous {
			maps.Copy(object.Properties, schemaOf(field.Type).Properties)
		}
	}
	return object
}

// guarded is an API server's admission with nothing but the guard.
func guarded(t *testing.T) *guardtest.Guard {
	t.Helper()
	objects, _ := readGuard(t)
	guard, err := guardtest.New(t.Context().Done(), objects)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// Those who ask.
var (
	admin         = &user.DefaultInfo{Name: "admin", Groups: []string{"system:masters", "system:authenticated"}}
	kratix        = guardtest.ServiceAccount("kratix-platform-system", "kratix-platform-controller-manager")
	jobs          = guardtest.ServiceAccount("kube-system", "job-controller")
	replicaset    = guardtest.ServiceAccount("kube-system", "replicaset-controller")
	cronjobs      = guardtest.ServiceAccount("kube-system", "cronjob-controller")
	manager       = &user.DefaultInfo{Name: "system:kube-controller-manager", Groups: []string{"system:authenticated"}}
	kubelet       = &user.DefaultInfo{Name: "system:node:n1", Groups: []string{"system:nodes", "system:authenticated"}}
	team          = &user.DefaultInfo{Name: "jane", Groups: []string{"team-a", "system:authenticated"}}
	kratixDefault = guardtest.ServiceAccount("kratix-platform-system", "default")
	teamKratix    = guardtest.ServiceAccount("team-a", "kratix-platform-controller-manager")
	teamJobs      = guardtest.ServiceAccount("team-a", "job-controller")
	groupless     = &user.DefaultInfo{Name: "system:nodes"}
)

const (
	account = "api-aggregator-target-resource-configure-configure"
	job     = "{apiVersion: batch/v1, kind: Job, name: x, controller: true}"
)

func jobWith(account string) string {
	return fmt.Sprintf("{spec: {template: {spec: {%s, containers: [{name: a, image: a:1}]}}}}", account)
}

func podWith(account, owner string, images ...string) string {
	first, second := "a:1", "b:1"
	if len(images) > 0 {
		first, second = images[0], images[1]
	}
	return fmt.Sprintf("{metadata: {ownerReferences: [%s]}, spec: {serviceAccountName: %s, initContainers: [{name: a, image: '%s'}], containers: [{name: b, image: '%s'}]}}",
		owner, account, first, second)
}

func secretWith(kind, account string) string {
	return fmt.Sprintf("{type: %s, metadata: {annotations: {kubernetes.io/service-account.name: %s}}}", kind, account)
}

// marked is a request with labels.
func marked(labels string) string { return "{metadata: {labels: {" + labels + "}}}" }

// Who may use the account of a pipeline: Kratix for its Jobs, the Job controller for
// their Pods, kubelets for its tokens; that only Kratix marks dry runs; and whatever else a team does is none of the
// guard's business.
func TestGuard(t *testing.T) {
	const token = "kubernetes.io/service-account-token"
	plugin := guarded(t)
	for _, test := range []struct {
		name     string
		who      user.Info
		verb     admission.Operation
		resource string
		// of is the name of the object, x if it is empty.
		of          string
		object, old string
		// denied is the message, or empty where the request is let through.
		denied string
	}{
		{"Kratix makes a Job", kratix, "CREATE", "jobs", "", jobWith("serviceAccountName: " + account), "", ""},
		{"a team makes a Job", team, "CREATE", "jobs", "", jobWith("serviceAccountName: " + account), "",
			"the Job team-a/x has the service account " + account + " of a Baleen pipeline, with which only Kratix makes Jobs; use another account"},
		{"an administrator makes a Job", admin, "CREATE", "jobs", "", jobWith("serviceAccountName: " + account), "", "only Kratix makes Jobs"},
		{"another account of Kratix's namespace makes a Job", kratixDefault, "CREATE", "jobs", "", jobWith("serviceAccountName: " + account), "", "only Kratix makes Jobs"},
		{"the account of that name in a team's namespace makes a Job", teamKratix, "CREATE", "jobs", "", jobWith("serviceAccountName: " + account), "", "only Kratix makes Jobs"},
		{"a CronJob of a team", cronjobs, "CREATE", "jobs", "", jobWith("serviceAccountName: " + account), "", "only Kratix makes Jobs"},
		{"the delete pipeline", team, "CREATE", "jobs", "", jobWith("serviceAccountName: nats-user-resource-delete-delete"), "", "only Kratix makes Jobs"},
		{"a pipeline that was renamed", team, "CREATE", "jobs", "", jobWith("serviceAccountName: nats-account-resource-configure-other"), "", "only Kratix makes Jobs"},
		{"a team's own account", team, "CREATE", "jobs", "", jobWith("serviceAccountName: orders"), "", ""},
		{"no account", team, "CREATE", "jobs", "", jobWith("restartPolicy: Never"), "", ""},
		{"the account of another's Promise", team, "CREATE", "jobs", "", jobWith("serviceAccountName: my-api-aggregator-resource-configure-configure"), "", ""},
		{"suspending a Job", kratix, "UPDATE", "jobs", "", jobWith("serviceAccountName: " + account), jobWith("serviceAccountName: " + account), ""},
		{"deleting a Job", team, "DELETE", "jobs", "", "", jobWith("serviceAccountName: " + account), ""},

		{"the Job controller makes a Pod", jobs, "CREATE", "pods", "", podWith(account, job), "", ""},
		{"a controller manager without accounts makes a Pod", manager, "CREATE", "pods", "", podWith(account, job), "", ""},
		{"it makes one for a ReplicaSet", manager, "CREATE", "pods", "", podWith(account, "{apiVersion: apps/v1, kind: ReplicaSet, name: x, controller: true}"), "", "only the Job controller makes Pods"},
		{"it makes one for a CronJob", manager, "CREATE", "pods", "", podWith(account, "{apiVersion: batch/v1, kind: CronJob, name: x, controller: true}"), "", "only the Job controller makes Pods"},
		{"a Pod with another owner beside the Job", jobs, "CREATE", "pods", "", podWith(account, "{apiVersion: v1, kind: ConfigMap, name: x}, "+job), "", ""},
		{"a Pod that a Job does not control", manager, "CREATE", "pods", "", podWith(account, "{apiVersion: batch/v1, kind: Job, name: x}"), "", "only the Job controller makes Pods"},
		{"a Pod that says that the Job does not control it", manager, "CREATE", "pods", "", podWith(account, "{apiVersion: batch/v1, kind: Job, name: x, controller: false}"), "", "only the Job controller makes Pods"},
		{"a Pod without an owner", manager, "CREATE", "pods", "", "{spec: {serviceAccountName: " + account + ", containers: []}}", "", "only the Job controller makes Pods"},
		{"a team makes a Pod", team, "CREATE", "pods", "", podWith(account, job), "",
			"the Pod team-a/x has the service account " + account + " of a Baleen pipeline, with which only the Job controller makes Pods; use another account"},
		{"Kratix makes a Pod", kratix, "CREATE", "pods", "", podWith(account, job), "", "only the Job controller makes Pods"},
		{"a Deployment of a team", replicaset, "CREATE", "pods", "", podWith(account, job), "", "only the Job controller makes Pods"},
		{"an account of a team that is called like the Job controller's", teamJobs, "CREATE", "pods", "", podWith(account, job), "", "only the Job controller makes Pods"},
		{"a Pod of a kind that is only called Job", manager, "CREATE", "pods", "", podWith(account, "{apiVersion: example.com/v1, kind: Job, name: x, controller: true}"), "", "only the Job controller makes Pods"},
		{"a team's own Pod", team, "CREATE", "pods", "", podWith("orders", ""), "", ""},
		{"the Pod of another's Promise", team, "CREATE", "pods", "", podWith("my-api-aggregator-resource-configure-configure", ""), "", ""},
		{"a Pod without an account", team, "CREATE", "pods", "", "{spec: {containers: [{name: a, image: a:1}]}}", "", ""},
		{"the Job controller releases a Pod", jobs, "UPDATE", "pods", "", podWith(account, ""), podWith(account, job), ""},
		{"another image", team, "UPDATE", "pods", "", podWith(account, job, "a:1", "evil"), podWith(account, job), "the Pod team-a/x of a Baleen pipeline keeps its images; change the Promise instead"},
		{"another image of an init container", admin, "UPDATE", "pods", "", podWith(account, job, "evil", "b:1"), podWith(account, job), "keeps its images"},
		{"another image of a team's own Pod", team, "UPDATE", "pods", "", podWith("orders", "", "a:2", "b:2"), podWith("orders", ""), ""},
		{"a Pod without init containers", team, "UPDATE", "pods", "", "{spec: {serviceAccountName: " + account + ", containers: [{image: b}]}}", "{spec: {serviceAccountName: " + account + ", containers: [{image: a}]}}", "keeps its images"},
		{"labels of a Pod without init containers", team, "UPDATE", "pods", "", "{spec: {serviceAccountName: " + account + ", containers: [{image: a}]}}", "{spec: {serviceAccountName: " + account + ", containers: [{image: a}]}}", ""},
		{"the kubelet reports", kubelet, "UPDATE", "pods/status", "", podWith(account, job), podWith(account, job), ""},
		{"the scheduler binds", admin, "CREATE", "pods/binding", "", "{}", "", ""},
		{"deleting a Pod", team, "DELETE", "pods", "", "", podWith(account, job), ""},
		{"an ephemeral container", admin, "UPDATE", "pods/ephemeralcontainers", "", podWith(account, job), podWith(account, job), "the Pod team-a/x of a Baleen pipeline takes no ephemeral container; read its log instead"},
		{"an ephemeral container of a team's own Pod", team, "UPDATE", "pods/ephemeralcontainers", "", podWith("orders", ""), podWith("orders", ""), ""},

		{"exec", team, "CONNECT", "pods/exec", "kratix-api-aggregator-target-orders-configure-1a2b3-x7k2p", "{command: [sh]}", "",
			"nothing can be executed in the Pod team-a/kratix-api-aggregator-target-orders-configure-1a2b3-x7k2p of a Baleen pipeline; read its log instead"},
		{"exec into a team's own Pod", team, "CONNECT", "pods/exec", "orders-5d4f", "{command: [sh]}", "", ""},
		{"exec into the Pod of another Promise", team, "CONNECT", "pods/exec", "kratix-redis-orders-configure-1a2b3-x7k2p", "{command: [sh]}", "", ""},
		{"exec into a Pod that only ends like one", team, "CONNECT", "pods/exec", "my-kratix-nats-user-orders-configure-1a2b3-x7k2p", "{command: [sh]}", "", ""},

		{"a kubelet's token", kubelet, "CREATE", "serviceaccounts/token", account, "{}", "", ""},
		{"a team's token", team, "CREATE", "serviceaccounts/token", account, "{}", "",
			"only kubelets get tokens of the service account team-a/" + account + " of a Baleen pipeline; use another account"},
		{"an administrator's token", admin, "CREATE", "serviceaccounts/token", account, "{}", "", "only kubelets get tokens"},
		{"a user without groups", groupless, "CREATE", "serviceaccounts/token", account, "{}", "", "only kubelets get tokens"},
		{"a token of a team's own account", team, "CREATE", "serviceaccounts/token", "orders", "{}", "", ""},
		{"a token of another's Promise", team, "CREATE", "serviceaccounts/token", "my-nats-user-resource-configure-configure", "{}", "", ""},
		{"the account itself", kratix, "CREATE", "serviceaccounts", account, "{}", "", ""},

		{"a token in a Secret", team, "CREATE", "secrets", "", secretWith(token, account), "",
			"the Secret team-a/x asks for a token of the service account " + account + " of a Baleen pipeline; use another account"},
		{"a Secret that is turned to the account", team, "UPDATE", "secrets", "", secretWith(token, account), secretWith(token, "orders"), "asks for a token"},
		{"one that is turned away from it", team, "UPDATE", "secrets", "", secretWith(token, "orders"), secretWith(token, account), ""},
		{"a token of a team's own account in a Secret", team, "CREATE", "secrets", "", secretWith(token, "orders"), "", ""},
		{"another Secret with the annotation", team, "CREATE", "secrets", "", secretWith("Opaque", account), "", ""},
		{"a token Secret without the annotation", team, "CREATE", "secrets", "", "{type: " + token + "}", "", ""},
		{"a token Secret with other annotations", team, "CREATE", "secrets", "", "{type: " + token + ", metadata: {annotations: {a: b}}}", "", ""},
		{"a token of another's Promise in a Secret", team, "CREATE", "secrets", "", secretWith(token, "my-nats-user-resource-configure-configure"), "", ""},
		{"a Secret without a type", team, "CREATE", "secrets", "", "{}", "", ""},
		{"Kratix makes a dry run", kratix, "CREATE", "natsusers", "", marked("kratix.io/dry-run: 'true', kratix.io/dry-run-owner: a"), "", ""},
		{"a team marks a request as a dry run", team, "CREATE", "natsusers", "", marked("kratix.io/dry-run: 'true'"), "",
			"only Kratix marks requests as those of a dry run: leave the labels kratix.io/dry-run and kratix.io/dry-run-owner of team-a/x alone, and apply a DryRun of platform.kratix.io instead"},
		{"whatever it says", team, "CREATE", "natsusers", "", marked("kratix.io/dry-run: 'false'"), "", "only Kratix marks"},
		{"a team gives one an owner", team, "UPDATE", "natsusers", "", marked("kratix.io/dry-run-owner: a"), marked(""), "only Kratix marks"},
		{"an administrator marks one that is there", admin, "UPDATE", "apiaggregators", "", marked("kratix.io/dry-run: 'true'"), "{}", "only Kratix marks"},
		{"another owner", team, "UPDATE", "natsusers", "", marked("kratix.io/dry-run-owner: a"), marked("kratix.io/dry-run-owner: b"), "only Kratix marks"},
		{"a pipeline writes to a dry run", admin, "UPDATE", "natsusers", "", marked("kratix.io/dry-run: 'true', a: b"), marked("kratix.io/dry-run: 'true'"), ""},
		{"a mark from before the guard is taken off", team, "UPDATE", "natsusers", "", marked("a: b"), marked("kratix.io/dry-run: 'true'"), ""},
		{"the mark of a dry run is taken off", team, "UPDATE", "natsusers", "kratix-dry-run-x", marked(""), marked("kratix.io/dry-run: 'true'"), "only Kratix marks"},
		{"a dry run is changed otherwise", admin, "UPDATE", "natsusers", "kratix-dry-run-x", marked("kratix.io/dry-run: 'true', a: b"), marked("kratix.io/dry-run: 'true'"), ""},
		{"a team takes the name of a dry run", team, "CREATE", "natsusers", "kratix-dry-run-x", "{}", "",
			"only Kratix makes requests that are called like team-a/kratix-dry-run-x: choose another name, or apply a DryRun of platform.kratix.io"},
		{"one that has the name is changed", team, "UPDATE", "natsusers", "kratix-dry-run-x", "{}", "{}", ""},
		{"Kratix takes the name", kratix, "CREATE", "natsusers", "kratix-dry-run-x", marked("kratix.io/dry-run: 'true'"), "", ""},
		{"a request like any other", team, "CREATE", "natsusers", "", marked("a: b"), "", ""},
		{"a request without labels", team, "CREATE", "natsusers", "", "{}", "", ""},
		{"a kind of somebody else", team, "CREATE", "pods", "", "{metadata: {labels: {kratix.io/dry-run: 'true'}}, spec: {containers: []}}", "", ""},
		{"a Secret without a type, with the annotation", team, "CREATE", "secrets", "", "{metadata: {annotations: {kubernetes.io/service-account.name: " + account + "}}}", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := plugin.Validate(t.Context(), request(t, test.who, test.verb, test.resource, cmp.Or(test.of, "x"), test.object, test.old))
			switch {
			case test.denied == "" && err != nil:
				t.Errorf("denied: %v", err)
			case test.denied != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.denied)):
				t.Errorf("%v, want %q", err, test.denied)
			}
		})
	}
}

// Every Promise is under the guard, with all its pipelines.
func TestGuardKnowsPromises(t *testing.T) {
	plugin := guarded(t)
	for _, p := range promises.All() {
		for action, pipeline := range map[string]string{"configure": p.ConfigurePipeline, "delete": p.DeletePipeline} {
			account := fmt.Sprintf("%s-resource-%s-%s", p.Name, action, pipeline)
			for _, r := range []admission.Attributes{
				request(t, admin, "CREATE", "jobs", "x", jobWith("serviceAccountName: "+account), ""),
				request(t, admin, "CREATE", "pods", "x", podWith(account, job), ""),
				request(t, admin, "CONNECT", "pods/exec", "kratix-"+p.Name+"-orders-"+pipeline+"-1a2b3-x7k2p", "{}", ""),
				request(t, admin, "CREATE", "serviceaccounts/token", account, "{}", ""),
				request(t, admin, "CREATE", "secrets", "x", secretWith("kubernetes.io/service-account-token", account), ""),
			} {
				t.Run(p.Name+" "+action+" "+r.GetResource().Resource, func(t *testing.T) {
					if err := plugin.Validate(t.Context(), r); !apierrors.IsForbidden(err) {
						t.Errorf("the guard does not know %s: %v", account, err)
					}
				})
			}
		}
	}
}

// request returns what an API server hands to admission.
func request(t *testing.T, who user.Info, verb admission.Operation, resource, name, object, old string) admission.Attributes {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	kind := map[string]schema.GroupVersionKind{
		"jobs": batchv1.SchemeGroupVersion.WithKind("Job"), "pods": corev1.SchemeGroupVersion.WithKind("Pod"),
		"secrets": corev1.SchemeGroupVersion.WithKind("Secret"), "serviceaccounts": corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
	}[resource]
	for _, own := range promises.Kinds() {
		if own.Plural == resource {
			kind = own.GroupVersionKind
		}
	}
	gvr := kind.GroupVersion().WithResource(resource)
	switch subresource {
	case "exec":
		kind.Kind = "PodExecOptions"
	case "binding":
		kind.Kind = "Binding"
	case "token":
		kind = authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
	}
	parse := func(text string) runtime.Object {
		if text == "" {
			return nil
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		o.SetGroupVersionKind(kind)
		o.SetNamespace("team-a")
		o.SetName(name)
		return o
	}
	return admission.NewAttributesRecord(parse(object), parse(old), kind, "team-a", name, gvr, subresource, verb, nil, false, who)
}
