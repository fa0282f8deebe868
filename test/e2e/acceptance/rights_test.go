package acceptance

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
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
	refuses("forbidden", "", "-n", "baleen-state", "patch", "configmap", claim, "--type=merge", "-p", `{"data": {"state": "Free"}}`)
	refuses("forbidden", "", "-n", "baleen-state", "delete", "configmap", c.ledger(t).GetName())
	hub().kubectl(t, pod("default"), "--as=alice", "create", "-f", "-")
	hub().kubectl(t, "", "--as=alice", "-n", "team-a", "delete", "pod", "mine", "--wait=false")
	s.holds("with the guard, who may do everything in a namespace runs pods of their own, and cannot run a pod, make a job or mint a token under a pipeline's account, nor read an account's Secret, nor touch a claim or a ledger")

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
	s.holds("without the guard such a token reads the account's signing key, as the documentation warns")
	c.ends(t)
}
