package acceptance

import (
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var dryRunRequests = gvr{Group: "platform.kratix.io", Version: "v1alpha1", Resource: "dryruns"}

// previews is where dry runs go, and tried is one that asks for a rotation of a
// credential that is in use.
const (
	previews = `apiVersion: platform.kratix.io/v1alpha1
kind: Destination
metadata: {name: previews, labels: {kratix.io/dry-run: "true"}}
spec:
  path: previews
  stateStoreRef: {name: git, kind: GitStateStore}
  filepath: {mode: nestedByMetadata}
`
	tried = `apiVersion: platform.kratix.io/v1alpha1
kind: DryRun
metadata: {name: rotate-tried, namespace: team-a}
spec:
  promiseRef: {name: nats-user}
  resourceRequestRef: {name: tried, namespace: team-a}
  resource:
%s`
)

// dryRuns has the newest Kratix try a rotation. Nothing is rotated, the request that
// Kratix makes for it is in no list, and goes when the dry run goes.
func dryRuns(s *story) {
	t := s.T
	needsControl(t)
	if _, err := hub().tryKubectl(t.Context(), "", "get", "crd", "dryruns.platform.kratix.io"); err != nil {
		t.Skip("this Kratix has no dry runs")
	}
	const namespace, deployment = "kratix-platform-system", "deployment/kratix-platform-controller-manager"
	hub().apply(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: kratix, namespace: "+namespace+"}, data: {config: 'featureFlags: {dryRun: true}'}}")
	hub().kubectl(t, "", "-n", namespace, "rollout", "restart", deployment)
	hub().kubectl(t, "", "-n", namespace, "rollout", "status", deployment, "--timeout=180s")
	within(t, time.Minute, func() error {
		_, err := hub().tryKubectl(t.Context(), previews, "apply", "-f", "-")
		return err
	})

	used := issue(t, "team-a", "tried")
	used.arrives(t)
	spec := natsUser("team-a", "tried", "credentials: {rotate: one}")
	_, spec, _ = strings.Cut(spec, "spec:\n")
	hub().apply(t, fmt.Sprintf(tried, indented(spec)))
	within(t, 3*time.Minute, func() error {
		if state, message := condition(hub().get(t, dryRunRequests, "team-a", "rotate-tried"), "Completed"); !strings.HasPrefix(state, "True/") {
			return fmt.Errorf("the dry run is %q: %s", state, message)
		}
		return nil
	})
	s.holds("a dry run of a rotation is completed")
	for _, args := range [][]string{{"credentials"}, {"status", "natsuser/tried", "-n", "team-a"}} {
		if is := command(t, "", args...); strings.Contains(is.stdout, "kratix-dry-run") {
			t.Errorf("baleen %s shows what Kratix made for it:\n%s", args[0], is.stdout)
		}
	}
	used.stays(t)
	s.holds("nothing is rotated, and no list of Baleen's has the request that Kratix made for it")

	hub().delete(t, dryRunRequests, "team-a", "rotate-tried")
	within(t, 3*time.Minute, func() error {
		all, err := hub().objects.Resource(natsUsers).Namespace("team-a").List(t.Context(), metav1.ListOptions{LabelSelector: "kratix.io/dry-run=true"})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if len(all.Items) > 0 {
			return fmt.Errorf("%s is still there", all.Items[0].GetName())
		}
		return nil
	})
	used.stays(t)
	s.holds("when it is deleted the request goes too, and the credential stays")

	_, err := hub().tryKubectl(t.Context(), natsUser("team-a", "kratix-dry-run-mine"), "apply", "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "only Kratix makes requests that are called like team-a/kratix-dry-run-mine") {
		t.Errorf("the guard says %v", err)
	}
	s.holds("nobody but Kratix makes a request that is called like one of a dry run")
	used.ends(t)
}

// indented is YAML within a key.
func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}
