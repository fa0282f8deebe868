package acceptance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// credential is a NatsUser with what it has delivered so far.
type credential struct {
	namespace, name string
	last            map[string][]byte // by cluster
	versions        map[string]string // of the Secrets that hold it, by cluster
	all             [][]byte
}

// issue asks for a NatsUser and does not wait.
func issue(t testing.TB, namespace, name string, more ...string) *credential {
	t.Helper()
	hub().apply(t, natsUser(namespace, name, more...))
	return &credential{namespace: namespace, name: name, last: map[string][]byte{}, versions: map[string]string{}}
}

// arrives waits until each cluster has another credential than before, and that
// they let in.
func (c *credential) arrives(t testing.TB) {
	t.Helper()
	becomes(t, natsUsers, c.namespace, c.name, "True/Delivered")
	refresh(t)
	for _, on := range []*cluster{eu(), us()} {
		creds := on.delivered(t, c.namespace, c.name, c.last[on.name])
		lets(t, creds)
		c.last[on.name], c.versions[on.name] = creds, on.resourceVersion(t, c.namespace, c.name)
		c.all = append(c.all, creds)
	}
}

// stays checks that nobody has written the Secrets since they arrived, and that what
// they hold lets in.
func (c *credential) stays(t testing.TB) {
	t.Helper()
	refresh(t)
	for _, on := range []*cluster{eu(), us()} {
		if creds := on.delivered(t, c.namespace, c.name, nil); !bytes.Equal(creds, c.last[on.name]) {
			t.Errorf("%s has another credential of %s/%s", on.name, c.namespace, c.name)
		}
		if is := on.resourceVersion(t, c.namespace, c.name); is != c.versions[on.name] {
			t.Errorf("the Secret of %s/%s on %s was %s and is %s", c.namespace, c.name, on.name, c.versions[on.name], is)
		}
		lets(t, c.last[on.name])
	}
}

// ends deletes the request and checks that nothing that was ever delivered lets
// in, and that nothing of it is left.
func (c *credential) ends(t testing.TB) {
	t.Helper()
	hub().delete(t, natsUsers, c.namespace, c.name)
	gone(t, natsUsers, c.namespace, c.name)
	for _, creds := range c.all {
		cutOff(t, creds)
	}
	refresh(t)
	within(t, 2*time.Minute, func() error {
		for _, on := range []*cluster{eu(), us()} {
			if on.get(t, secrets, c.namespace, c.name+"-nats") != nil {
				return fmt.Errorf("%s still has the Secret of %s/%s", on.name, c.namespace, c.name)
			}
		}
		for _, work := range hub().list(t, works, c.namespace) {
			if work.GetLabels()["kratix.io/resource-name"] == c.name && work.GetLabels()["kratix.io/promise-name"] == "nats-user" {
				return fmt.Errorf("there is the Work %s", work.GetName())
			}
		}
		// What was revoked is remembered until it has expired.
		if ledger := c.ledger(t); ledger != nil {
			rows, _, _ := unstructured.NestedString(ledger.Object, "data", "rows")
			for row := range strings.Lines(rows) {
				if !strings.Contains(row, `"state":"Retired"`) {
					return fmt.Errorf("the ledger of %s/%s has %s", c.namespace, c.name, row)
				}
			}
		}
		return nil
	})
}

// ledger is the ConfigMap that has what was issued.
func (c *credential) ledger(t testing.TB) *unstructured.Unstructured {
	t.Helper()
	for _, object := range hub().list(t, configMaps, "baleen-state") {
		request, _, _ := unstructured.NestedString(object.Object, "data", "request")
		if strings.Contains(request, fmt.Sprintf(`"Namespace":%q,"Name":%q`, c.namespace, c.name)) {
			return &object
		}
	}
	return nil
}

func twoOfOneName(s *story) {
	t := s.T
	one, other := issue(t, "team-a", "twin"), issue(t, "team-b", "twin")
	one.arrives(t)
	other.arrives(t)
	one.ends(t)
	other.stays(t)
	reconcile(t, natsUsers, "team-b", "twin")
	other.stays(t)
	s.holds("of two requests of one name in two namespaces one is deleted; the other's Secret is untouched")
	other.ends(t)
}

func deletedWhileConfiguring(s *story) {
	t := s.T
	for i := range 5 {
		c := issue(t, "team-a", fmt.Sprint("brief", i))
		time.Sleep(time.Duration(rand.IntN(12000)) * time.Millisecond)
		c.ends(t)
	}
	s.holds("5 requests deleted at random moments of their first run leave nothing")
}

func statusAndLedgerLost(s *story) {
	t := s.T
	c := issue(t, "team-a", "amnesia")
	c.arrives(t)
	quiet(t, natsUsers, "team-a", "amnesia")
	hub().kubectl(t, "", "-n", "team-a", "patch", "natsuser", "amnesia", "--subresource=status", "--type=json", "-p", `[{"op": "remove", "path": "/status"}]`)
	reconcile(t, natsUsers, "team-a", "amnesia")
	c.stays(t)
	s.holds("the request's status is deleted: nothing is issued")
	ledger := c.ledger(t)
	if ledger == nil {
		t.Fatal("it has no ledger")
	}
	hub().delete(t, configMaps, "baleen-state", ledger.GetName())
	reconcile(t, natsUsers, "team-a", "amnesia")
	c.stays(t)
	if c.ledger(t) == nil {
		t.Error("the ledger was not made again")
	}
	s.holds("the ledger is lost: it is made again from what is delivered, and the Secret is untouched")
	c.ends(t)
	s.holds("and all of it is revoked at the end")
}

// podsKilled kills pipeline pods at random moments, of the first issue and of
// rotations.
func podsKilled(s *story) {
	t := s.T
	kills := 30
	if testing.Short() {
		kills = 6
	}
	const requests = 3
	var killed atomic.Int64
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				c := issue(t, "team-b", fmt.Sprint("victim", i))
				for n, first := 0, true; n < kills/requests; first = false {
					if !first {
						rotate(t, "team-b/"+c.name)
					}
					if killPod(t, "nats-user", "team-b", c.name) {
						killed.Add(1)
						n++
					}
					c.arrives(t)
				}
				c.ends(t)
			})
		})
	}
	all.Wait()
	s.holds("%d pods were killed at random moments of issues and rotations: each credential arrived and let in, and all were revoked in the end", killed.Load())
}

// killPod waits until a request's pipeline runs and kills its pod at some moment of
// the seconds that it takes. It reports whether it came in time.
func killPod(t testing.TB, promise, namespace, name string) bool {
	t.Helper()
	now := int64(0)
	running := func() (names []string) {
		pods, err := hub().core.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{
			LabelSelector: "kratix.io/promise-name=" + promise + ",kratix.io/resource-name=" + name,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods.Items {
			if p.Status.Phase == "Pending" || p.Status.Phase == "Running" {
				names = append(names, p.Name)
			}
		}
		return names
	}
	within(t, 2*time.Minute, func() error {
		if len(running()) == 0 {
			return fmt.Errorf("no pipeline of %s/%s runs", namespace, name)
		}
		return nil
	})
	time.Sleep(time.Duration(rand.IntN(7000)) * time.Millisecond)
	killed := false
	for _, pod := range running() {
		err := hub().core.CoreV1().Pods(namespace).Delete(t.Context(), pod, metav1.DeleteOptions{GracePeriodSeconds: &now})
		killed = killed || err == nil
	}
	return killed
}

func kratixKilled(s *story) {
	t := s.T
	needsControl(t)
	forgotten := 0
	for i := range 3 {
		c := issue(t, "team-a", fmt.Sprint("orphan", i))
		time.Sleep(time.Duration(rand.IntN(6000)) * time.Millisecond)
		hub().kubectl(t, "", "-n", "kratix-platform-system", "delete", "pod", "--all", "--grace-period=0", "--force")
		c.arrives(t)
		rotate(t, "team-a/"+c.name)
		time.Sleep(time.Duration(rand.IntN(6000)) * time.Millisecond)
		hub().kubectl(t, "", "-n", "kratix-platform-system", "delete", "pod", "--all", "--grace-period=0", "--force")
		if c.forgotten(t) {
			forgotten++
			reconcile(t, natsUsers, "team-a", c.name)
		}
		c.arrives(t)
		c.ends(t)
	}
	s.holds("Kratix is killed during 3 issues and 3 rotations, of which it forgets %d until they are asked for again: all arrive, and nothing is left after deletion", forgotten)
}

// forgotten reports whether Kratix has taken off the label by which a run was asked for
// and died before it made the Job: then nothing happens any more until somebody asks
// again, as the account does after an hour (TestForgottenRuns).
func (c *credential) forgotten(t testing.TB) bool {
	t.Helper()
	since := time.Now()
	for time.Since(since) < 45*time.Second { // it takes up to half a minute to be back
		time.Sleep(time.Second)
		request := hub().get(t, natsUsers, c.namespace, c.name)
		is, _ := condition(request, "ConfigureWorkflowCompleted")
		all := jobs(t, "nats-user", c.namespace, c.name, "configure")
		switch {
		case is == "True/PipelinesExecutedSuccessfully":
			return false
		case request.GetLabels()["kratix.io/manual-reconciliation"] != "" || all[len(all)-1].Status.CompletionTime == nil:
			since = time.Now() // it is to run, or runs
		}
	}
	return true
}

func apiServerKilled(s *story) {
	t := s.T
	needsControl(t)
	for i := range 3 {
		c := issue(t, "team-a", fmt.Sprint("silence", i))
		time.Sleep(time.Duration(rand.IntN(6000)) * time.Millisecond)
		control(t, "kill", "platform-apiserver")
		within(t, time.Minute, func() error {
			_, err := hub().tryKubectl(t.Context(), "", "get", "--raw", "/readyz")
			return err
		})
		c.arrives(t)
		c.ends(t)
	}
	s.holds("the API server is killed during 3 issues: all arrive, and nothing is left after deletion")
}

// gitAway rotates while the state store is away: the overlap must not begin.
func gitAway(s *story) {
	t := s.T
	needsControl(t)
	c := issue(t, "team-a", "patient", "credentials: {overlap: 5s}")
	c.arrives(t)
	quiet(t, natsUsers, "team-a", "patient")
	if err := os.WriteFile(world.Away, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(world.Away) }()
	rotate(t, "team-a/patient")
	for range 3 {
		time.Sleep(6 * time.Second)
		reconcile(t, natsUsers, "team-a", "patient")
	}
	reconcile(t, natsAccounts, "baleen-system", "commerce")
	for _, creds := range c.last {
		lets(t, creds)
	}
	s.holds("Git is away during a rotation: after several overlaps the former credential still lets in")
	if err := os.Remove(world.Away); err != nil {
		t.Fatal(err)
	}
	former := c.last["eu-1"]
	c.arrives(t)
	s.holds("Git is back: the new one arrives")
	superseded(t, "team-a", "patient", former)
	s.holds("and then the former one is revoked")
	c.ends(t)
}

// restored removes a request and all that the platform knows of it without a
// trace on the clusters, and restores it from a backup, with new UIDs.
func restored(s *story) {
	t := s.T
	needsControl(t)
	c := issue(t, "team-a", "lazarus")
	c.arrives(t)
	quiet(t, natsUsers, "team-a", "lazarus")
	const deployment = "deployment/kratix-platform-controller-manager"
	hub().kubectl(t, "", "-n", "kratix-platform-system", "scale", deployment, "--replicas=0")
	hub().kubectl(t, "", "-n", "kratix-platform-system", "wait", "--for=delete", "pod", "--all", "--timeout=60s")

	backup := []*unstructured.Unstructured{hub().get(t, natsUsers, "team-a", "lazarus"), c.ledger(t)}
	uid := backup[0].GetUID()
	placements := gvr{Group: "platform.kratix.io", Version: "v1alpha1", Resource: "workplacements"}
	for _, what := range []gvr{natsUsers, works, placements} {
		for _, object := range hub().list(t, what, "team-a") {
			if what == natsUsers && object.GetName() != "lazarus" || what != natsUsers && !strings.Contains(object.GetName(), "lazarus") {
				continue
			}
			hub().patch(t, what, "team-a", object.GetName(), `{"metadata": {"finalizers": null}}`)
			hub().delete(t, what, "team-a", object.GetName())
		}
	}
	hub().delete(t, configMaps, "baleen-state", backup[1].GetName())
	for i, what := range []gvr{natsUsers, configMaps} {
		object := backup[i].DeepCopy()
		for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "ownerReferences", "finalizers"} {
			unstructured.RemoveNestedField(object.Object, "metadata", field)
		}
		within(t, time.Minute, func() error {
			_, err := hub().objects.Resource(what).Namespace(object.GetNamespace()).Create(t.Context(), object, metav1.CreateOptions{})
			return err
		})
	}
	hub().kubectl(t, "", "-n", "kratix-platform-system", "scale", deployment, "--replicas=1")
	hub().kubectl(t, "", "-n", "kratix-platform-system", "rollout", "status", deployment, "--timeout=180s")
	becomes(t, natsUsers, "team-a", "lazarus", "True/Delivered")
	if hub().get(t, natsUsers, "team-a", "lazarus").GetUID() == uid {
		t.Error("it has its old UID")
	}
	reconcile(t, natsUsers, "team-a", "lazarus")
	c.stays(t)
	s.holds("the platform is restored from a backup with new UIDs: the Secret is untouched")
	c.ends(t)
}

// sealingKeyRenewed has a controller make a new key: what was sealed with the
// former one stays, what is sealed from now on is sealed with the new one.
func sealingKeyRenewed(s *story) {
	t := s.T
	needsControl(t)
	c := issue(t, "team-a", "sealed")
	c.arrives(t)
	quiet(t, natsUsers, "team-a", "sealed")
	control(t, "renew-sealing-key", "eu-1")
	if err := baleen(t.Context(), "clusters", "trust", "eu-1", "--cluster-kubeconfig", world.Kubeconfigs["eu-1"]); err != nil {
		t.Fatal(err)
	}
	reconcile(t, natsUsers, "team-a", "sealed")
	c.stays(t)
	s.holds("a sealing key is renewed: what was delivered is untouched")
	next := issue(t, "team-a", "resealed")
	next.arrives(t)
	s.holds("and what is issued next is unsealed with the new key")
	c.ends(t)
	next.ends(t)
}
