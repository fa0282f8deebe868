package acceptance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var applications = gvr{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}

// foreignAPI is a host whose documents are for an implementation that no cluster here
// has: they know its GatewayClass as little as its kinds.
const foreignAPI = `apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: foreign, namespace: platform}
spec:
  hostname: foreign.example.com
  tls: {clusterIssuer: letsencrypt}
  gateway: {className: eg, implementation: EnvoyGateway, namespace: gateways}
  requestBody: {max: 100Mi}
  allowedNamespaces: ["team-*"]
  placement: {matchLabels: {environment: prod}}
---
apiVersion: baleen.dev/v1alpha1
kind: ApiAggregatorTarget
metadata: {name: foreign, namespace: team-b}
spec:
  aggregatorRef: {name: foreign, namespace: platform}
  backends: [{service: foreign, port: 8080}]
  paths: [{path: /foreign, maxRequestBodySize: 1Mi}]
`

// unwelcome has eu-1 refuse one object by admission.
const unwelcome = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: unwelcome}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: [{apiGroups: [bitnami.com], apiVersions: ["*"], resources: [sealedsecrets], operations: [CREATE, UPDATE]}]}
  validations: [{expression: object.metadata.name != 'unwelcome-nats', message: this one is not welcome}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: unwelcome}
spec: {policyName: unwelcome, validationActions: [Deny]}
`

// refusedObjects are refused by the clusters in three ways: their namespace is missing,
// their kind is unknown, admission says no. Nobody else may wait for that.
func refusedObjects(s *story) {
	t := s.T
	needsControl(t)
	rotated, deleted := issue(t, "team-a", "rotated"), issue(t, "team-b", "deleted")
	rotated.arrives(t)
	deleted.arrives(t)

	hub().apply(t, namespaces("team-lost"))
	for _, on := range []*cluster{eu(), us()} {
		on.kubectl(t, "", "delete", "namespace", "team-lost", "--ignore-not-found") // of an earlier try
	}
	eu().apply(t, unwelcome)
	within(t, 30*time.Second, func() error { // until the policy holds
		out, err := eu().tryKubectl(t.Context(), "{apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, metadata: {name: unwelcome-nats, namespace: team-a}, spec: {encryptedData: {a: a}}}",
			"create", "--dry-run=server", "-f", "-")
		if err == nil || !strings.Contains(err.Error(), "not welcome") {
			return fmt.Errorf("admission says %v%s", err, out)
		}
		return nil
	})
	lost, refused := issue(t, "team-lost", "lost"), issue(t, "team-a", "unwelcome")
	hub().apply(t, foreignAPI)
	becomes(t, natsUsers, "team-lost", "lost", "True/Delivered")
	becomes(t, natsUsers, "team-a", "unwelcome", "True/Delivered")
	becomes(t, apiTargets, "team-b", "foreign", "True/Published")
	refresh(t)
	for cluster, says := range map[string][]string{
		"eu-1": {`namespaces "team-lost" not found`, "not welcome", "gateway.envoyproxy.io"},
		"us-1": {`namespaces "team-lost" not found`, "gateway.envoyproxy.io"},
	} {
		within(t, 2*time.Minute, func() error {
			told := refusals(t, cluster)
			for _, want := range says {
				if !strings.Contains(told, want) {
					return fmt.Errorf("the Application %s does not say %q but %q", cluster, want, told)
				}
			}
			return nil
		})
	}
	s.holds("objects are refused because of a namespace, a kind and admission; the Application of each cluster names them, while the requests are Delivered and Published: Kratix has what they asked for")
	within(t, 2*time.Minute, func() error {
		is := command(t, "", "status", "natsuser/lost", "-n", "team-lost")
		for _, cluster := range []string{"eu-1", "us-1"} {
			if want := "Not on " + cluster + ", which refuses it: SealedSecret team-lost/lost-nats"; is.code != 0 || !strings.Contains(is.stdout, want) {
				return fmt.Errorf("there is no %q in %+v", want, is)
			}
		}
		return nil
	})
	s.holds("baleen status says on which clusters it is not")

	began := time.Now()
	next := issue(t, "team-a", "bystander")
	next.arrives(t)
	took := time.Since(began)
	measured("A credential arrives on both clusters that refuse objects of others, after", "%.0f s", took.Seconds())
	s.holds("meanwhile a new credential arrives on both clusters after %.0f s, and connects", took.Seconds())
	rotate(t, "team-a/rotated")
	rotated.arrives(t)
	s.holds("another one is rotated and arrives")
	deleted.ends(t)
	s.holds("the Secret of one that is deleted leaves both clusters")
	for _, on := range []*cluster{eu(), us()} {
		if on.get(t, secrets, "team-a", "unwelcome-nats") != nil && on == eu() || on.get(t, secrets, "team-lost", "lost-nats") != nil {
			t.Errorf("%s has what it refuses", on.name)
		}
		within(t, time.Minute, func() error {
			for _, route := range on.list(t, httpRoutes, "team-b") {
				if strings.HasPrefix(route.GetName(), "foreign-") {
					return nil
				}
			}
			return fmt.Errorf("%s has no route of the request whose other kind it does not know", on.name)
		})
	}

	eu().apply(t, namespaces("team-lost"))
	us().apply(t, namespaces("team-lost"))
	eu().kubectl(t, "", "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "unwelcome")
	lost.arrives(t)
	refused.arrives(t)
	s.holds("once the namespace is there and admission agrees, what was refused arrives by itself")
	hub().delete(t, apiTargets, "team-b", "foreign")
	gone(t, apiTargets, "team-b", "foreign")
	hub().delete(t, apiAggregators, "platform", "foreign")
	gone(t, apiAggregators, "platform", "foreign")
	for _, c := range []*credential{lost, refused, next, rotated} {
		c.ends(t)
	}
	refresh(t)
	for _, cluster := range []string{"eu-1", "us-1"} {
		within(t, 2*time.Minute, func() error {
			if is, _, _ := unstructured.NestedString(hub().get(t, applications, "argocd", cluster).Object, "status", "operationState", "phase"); is != "Succeeded" {
				return fmt.Errorf("the Application %s is %s", cluster, is)
			}
			return nil
		})
	}
	s.holds("and in the end both Applications are well again")
}

// refusals are what a cluster has said of the objects that it did not take.
func refusals(t testing.TB, cluster string) string {
	t.Helper()
	results, _, _ := unstructured.NestedSlice(hub().get(t, applications, "argocd", cluster).Object, "status", "operationState", "syncResult", "resources")
	var all []string
	for _, r := range results {
		if r, ok := r.(map[string]any); ok && r["status"] == "SyncFailed" {
			all = append(all, fmt.Sprint(r["group"], "/", r["kind"], " ", r["namespace"], "/", r["name"], ": ", r["message"]))
		}
	}
	return strings.Join(all, "\n")
}
