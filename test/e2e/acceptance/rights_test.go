package acceptance

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const pipelineAccount = "nats-user-resource-configure-configure"

// whoMayDoWhat is about somebody who may do everything in a team's namespace but
// impersonate, which admission cannot stop.
func whoMayDoWhat(s *story) {
	t := s.T
	needsControl(t)
	hub().apply(t, `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: everything, namespace: team-a}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: [get, list, watch, create, update, patch, delete, deletecollection]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: everything, namespace: team-a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: everything}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}]
`)
	c := issue(t, "team-a", "watched")
	c.arrives(t)
	quiet(t, natsUsers, "team-a", "watched")
	pod := func(account string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: mine, namespace: team-a}
spec: {serviceAccountName: %s, restartPolicy: Never, containers: [{name: c, image: "%s/nats-user:v0.1.0"}]}
`, account, world.Registry)
	}
	job := `apiVersion: batch/v1
kind: Job
metadata: {name: mine, namespace: team-a}
spec: {template: {spec: {serviceAccountName: ` + pipelineAccount + `, restartPolicy: Never, containers: [{name: c, image: x}]}}}
`
	claim := ""
	for _, object := range hub().list(t, configMaps, "baleen-state") {
		if strings.HasPrefix(object.GetName(), "secret-") {
			claim = object.GetName()
		}
	}
	refuses := func(why, stdin string, args ...string) {
		t.Helper()
		out, err := hub().tryKubectl(t.Context(), stdin, append([]string{"--as=alice"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("kubectl %s: %q, %v; expected a refusal with %q", strings.Join(args, " "), out, err, why)
		}
	}
	refuses("only the Job controller makes Pods", pod(pipelineAccount), "create", "-f", "-")
	refuses("only Kratix makes Jobs", job, "create", "-f", "-")
	refuses("of a Baleen pipeline", "", "-n", "team-a", "create", "token", pipelineAccount)
	refuses("forbidden", "", "-n", "baleen-system", "get", "secret", "commerce-signing")
	refuses("forbidden", "", "-n", "baleen-operator", "get", "secret", "operator-signing")
	refuses("forbidden", "", "-n", "baleen-state", "patch", "configmap", claim, "--type=merge", "-p", `{"data": {"state": "Free"}}`)
	refuses("forbidden", "", "-n", "baleen-state", "delete", "configmap", c.ledger(t).GetName())
	hub().kubectl(t, pod("default"), "--as=alice", "create", "-f", "-")
	hub().kubectl(t, "", "--as=alice", "-n", "team-a", "delete", "pod", "mine", "--wait=false")
	s.holds("with the guard, who may do everything in a namespace runs pods of their own, and cannot run a pod, make a job or mint a token under a pipeline's account, nor read an account's Secret, nor touch a claim or a ledger")

	reads := func(account, namespace, name string) error {
		_, err := hub().tryKubectl(t.Context(), "", "--as=system:serviceaccount:"+account, "-n", namespace, "get", "secret", name, "-o", "name")
		return err
	}
	for _, name := range []string{"operator-signing", "system-credentials"} {
		if err := reads("team-a:"+pipelineAccount, "baleen-operator", name); err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("nats-user's account reads %s: %v", name, err)
		}
		if err := reads("baleen-system:nats-account-resource-configure-configure", "baleen-operator", name); err != nil {
			t.Error(err)
		}
	}
	s.holds("the account of nats-user's pipeline, whoever acts as it, reads neither the operator's key nor the system account's credentials, and that of nats-account's reads both")

	// What the account of a pipeline may write in baleen-state, tried without changing it.
	other := issue(t, "team-b", "watched")
	other.arrives(t)
	quiet(t, natsUsers, "team-b", "watched")
	replace := func(object *unstructured.Unstructured) error {
		data, err := object.MarshalJSON()
		if err == nil {
			_, err = hub().tryKubectl(t.Context(), string(data), "--as=system:serviceaccount:team-a:"+pipelineAccount, "replace", "--dry-run=server", "-f", "-")
		}
		return err
	}
	guarded := func(why string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "baleen-guard-state") || !strings.Contains(err.Error(), why) {
			t.Errorf("%v; expected the guard's refusal with %q", err, why)
		}
	}
	for _, own := range []*unstructured.Unstructured{c.ledger(t), claimOf(t, "team-a", "watched")} {
		if err := replace(own); err != nil {
			t.Errorf("an account does not write what is of its own namespace: %v", err)
		}
	}
	foreign := claimOf(t, "team-b", "watched")
	const nobody = `{"kind":"","namespace":"","name":""}`
	for _, owner := range []string{nobody, `{"kind":"NatsUser","namespace":"team-a","name":"watched"}`} {
		changed := foreign.DeepCopy()
		set(t, changed, owner, "data", "owner")
		guarded("may not write this to the claim", replace(changed))
	}
	guarded("it writes only ledgers of requests in team-a", replace(other.ledger(t)))
	for _, object := range []*unstructured.Unstructured{foreign, other.ledger(t)} {
		_, err := hub().tryKubectl(t.Context(), "", "--as=system:serviceaccount:team-a:"+pipelineAccount, "-n", "baleen-state", "delete", "configmap", object.GetName(), "--dry-run=server")
		guarded("the pipeline of nats-user in team-a may not write", err)
	}
	s.holds("with the guard, the account of a team's pipeline writes its own ledgers and claims, and neither changes nor deletes those of another team")

	guard := filepath.Join(root, "dist", "promises", "guard.yaml")
	hub().kubectl(t, "", "delete", "-f", guard)
	defer hub().kubectl(t, "", "apply", "-f", guard)
	within(t, time.Minute, func() error {
		token, err := hub().tryKubectl(t.Context(), "", "--as=alice", "-n", "team-a", "create", "token", pipelineAccount)
		if err != nil {
			return err
		}
		// A request of its own, without the administrator's certificate.
		_, err = hub().tryKubectl(t.Context(), "", "--kubeconfig=/dev/null", "--server="+hub().config.Host, "--insecure-skip-tls-verify",
			"--token="+strings.TrimSpace(token), "-n", "baleen-system", "get", "secret", "commerce-signing")
		return err
	})
	if err := replace(other.ledger(t)); err != nil {
		t.Errorf("without the guard something else keeps an account from another team's ledger: %v", err)
	}
	s.holds("without the guard such a token reads the account's signing key, as the documentation warns")
	c.ends(t)
	other.ends(t)
}

// claimOf is the claim of a NatsUser's Secret on one of the clusters.
func claimOf(t testing.TB, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range hub().list(t, configMaps, "baleen-state") {
		owner, _, _ := unstructured.NestedString(object.Object, "data", "owner")
		if strings.HasPrefix(object.GetName(), "secret-") && strings.Contains(owner, fmt.Sprintf(`"namespace":%q,"name":%q`, namespace, name)) {
			return &object
		}
	}
	t.Fatalf("NatsUser %s/%s has no claim", namespace, name)
	return nil
}

func set(t testing.TB, object *unstructured.Unstructured, value string, at ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(object.Object, value, at...); err != nil {
		t.Fatal(err)
	}
}

// operatorMoved has the operator's Secrets where v0.1.0 had them, and moves them as
// docs/how-to.md says.
func operatorMoved(s *story) {
	t := s.T
	needsControl(t)
	names := []string{"operator-signing", "system-credentials"}
	c := issue(t, "team-a", "unmoved")
	c.arrives(t)
	quiet(t, natsUsers, "team-a", "unmoved")
	reconcile(t, natsUsers, "team-a", "unmoved") // notes that it has arrived
	ledger := c.ledger(t).GetResourceVersion()
	to := func(namespace string) {
		t.Helper()
		hub().apply(t, secret(namespace, names[0], "seed", world.NATS.OperatorKey)+"---\n"+secret(namespace, names[1], "creds", world.NATS.SystemCredentials))
	}
	from := func(namespace string) {
		t.Helper()
		for _, name := range names {
			hub().delete(t, secrets, namespace, name)
		}
	}
	defer func() { // the other stories' account has the same Secrets
		to("baleen-operator")
		from("baleen-system")
	}()
	becomesProtected := func(want string) {
		t.Helper()
		reconcile(t, natsAccounts, "baleen-system", "commerce")
		becomes(t, natsAccounts, "baleen-system", "commerce", "True/Verified")
		within(t, time.Minute, func() error {
			is, message := condition(hub().get(t, natsAccounts, "baleen-system", "commerce"), "OperatorProtected")
			if is != want || strings.HasPrefix(want, "False/") != strings.Contains(message, "seed of operator-signing, creds of system-credentials") {
				return fmt.Errorf("the condition is %q and not %q: %s", is, want, message)
			}
			return nil
		})
	}
	to("baleen-system")
	from("baleen-operator")
	becomesProtected("False/SecretsToMove")
	s.holds("with the operator's Secrets in baleen-system the account is verified as before, and its status says to move them")
	for _, name := range names {
		moved := strings.Replace(hub().kubectl(t, "", "get", "secret", name, "-n", "baleen-system", "-o", "yaml"), "\n  namespace: baleen-system\n", "\n  namespace: baleen-operator\n", 1)
		hub().kubectl(t, moved, "create", "-f", "-")
	}
	becomesProtected("False/CopiesToDelete")
	from("baleen-system")
	becomesProtected("True/SecretsMoved")
	s.holds("they are copied to baleen-operator and deleted in baleen-system, and the condition turns True")
	reconcile(t, natsUsers, "team-a", "unmoved")
	c.stays(t)
	if is := c.ledger(t).GetResourceVersion(); is != ledger {
		t.Errorf("the ledger was %s and is %s", ledger, is)
	}
	s.holds("no credential is issued anew, and the ledger is what it was")
	c.ends(t)
	s.holds("and what is deleted afterwards is revoked")
}
