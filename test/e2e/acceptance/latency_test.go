package acceptance

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var empties = schema.GroupVersionResource{Group: "baleen.test", Version: "v1", Resource: "empties"}

// emptyPromise is as little as a Promise can be, which goes to both clusters.
const emptyPromise = `apiVersion: platform.kratix.io/v1alpha1
kind: Promise
metadata: {name: empty}
spec:
  api:
    apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    metadata: {name: empties.baleen.test}
    spec:
      group: baleen.test
      scope: Namespaced
      names: {kind: Empty, plural: empties, singular: empty}
      versions:
      - name: v1
        served: true
        storage: true
        schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
  workflows:
    resource:
      configure:
      - apiVersion: platform.kratix.io/v1alpha1
        kind: Pipeline
        metadata: {name: configure}
        spec: {containers: [{name: empty, image: "%s"}]}
`

// latency measures from apply until the state store has it for both clusters, each
// Promise in turn with an empty one. The requests stay: the platform goes soon.
func latency(s *story) {
	t := s.T
	needsControl(t) // the empty pipeline is in its registry
	hub().apply(t, fmt.Sprintf(emptyPromise, strings.Replace(world.Registry, "/baleen", "/empty-pipeline:1", 1)))
	within(t, 2*time.Minute, func() error {
		_, err := hub().tryKubectl(t.Context(), "", "get", "empties", "-A")
		return err
	})
	rows := []struct {
		promise   string
		what      gvr
		namespace string
		document  func(name string) string
	}{
		{"empty", empties, "team-a", func(name string) string {
			return fmt.Sprintf("apiVersion: baleen.test/v1\nkind: Empty\nmetadata: {name: %s, namespace: team-a}\nspec: {}\n", name)
		}},
		{"nats-user", natsUsers, "team-a", func(name string) string { return natsUser("team-a", name) }},
		{"api-aggregator-target", apiTargets, "team-a", func(name string) string { return target("team-a", name, "orders", "{path: /"+name+"}") }},
		{"api-aggregator", apiAggregators, "team-a", func(name string) string {
			return fmt.Sprintf(`apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: %[1]s, namespace: team-a}
spec:
  hostname: %[1]s.example.com
  tls: {clusterIssuer: letsencrypt}
  gateway: {className: traefik, implementation: Traefik, namespace: gateways, ports: {https: 8443, http: 8000}}
  placement: {matchLabels: {environment: prod}}
`, name)
		}},
		{"nats-account", natsAccounts, "baleen-system", func(name string) string {
			account := hub().get(t, natsAccounts, "baleen-system", "commerce")
			data, err := json.Marshal(map[string]any{"apiVersion": "baleen.dev/v1alpha1", "kind": "NatsAccount",
				"metadata": map[string]any{"name": name, "namespace": "baleen-system"}, "spec": account.Object["spec"]})
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}},
	}
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	took := map[string][]time.Duration{}
	const completely = ", until Kratix is done"
	once := func(promise string, what gvr, document, namespace, name string) {
		idle(t)
		began := time.Now()
		hub().apply(t, document)
		if promise != "nats-account" { // which emits nothing
			within(t, 2*time.Minute, func() error {
				files := git(t, "ls-tree", "-r", "--name-only", "main")
				for _, cluster := range []string{"eu-1", "us-1"} {
					if !strings.Contains(files, cluster+"/resources/"+namespace+"/"+promise+"/"+name+"/") {
						return fmt.Errorf("Git has nothing of %s for %s", name, cluster)
					}
				}
				return nil
			})
			took[promise] = append(took[promise], time.Since(began))
		}
		completed(t, what, namespace, name)
		took[promise+completely] = append(took[promise+completely], time.Since(began))
	}
	once("empty", empties, rows[0].document("warm"), "team-a", "warm") // Kratix may restart after a new Promise
	clear(took)
	for i := range rounds {
		for _, at := range rand.Perm(len(rows)) { // after each other one, so that none is always after the same
			row, name := rows[at], fmt.Sprint("quick", i)
			once(row.promise, row.what, row.document(name), row.namespace, name)
		}
	}
	worst := 0.0
	for _, row := range rows[1:] {
		promise, floor := row.promise, "empty"
		if promise == "nats-account" {
			promise, floor = promise+completely, floor+completely
		}
		is, least := median(took[promise]), median(took[floor])
		ratio := is.Seconds() / least.Seconds()
		measured(fmt.Sprintf("%s: from apply, median of %d", promise, rounds), "%.1f s, %.2f times an empty pipeline's %.1f s", is.Seconds(), ratio, least.Seconds())
		worst = max(worst, ratio)
		if !testing.Short() && ratio > 1.25 {
			t.Errorf("%s takes %.2f times an empty pipeline: %v and %v", row.promise, ratio, took[promise], took[floor])
		}
	}
	s.holds("each Promise takes at most %.2f times as long as an empty pipeline", worst)
}

// idle waits until no pipeline at all runs and Argo CD has applied what there is:
// what a request sets off is not to slow down the next one.
func idle(t testing.TB) {
	t.Helper()
	quietPods(t, "", "kratix.io/promise-name")
	refresh(t)
	within(t, 3*time.Minute, func() error {
		newest := strings.TrimSpace(git(t, "rev-parse", "main"))
		for _, name := range []string{"eu-1", "us-1"} {
			is, err := hub().tryKubectl(t.Context(), "", "-n", "argocd", "get", "application", name, "-o", "jsonpath={.status.sync.status} {.status.sync.revision}")
			if err != nil {
				return err
			}
			if is != "Synced "+newest {
				return fmt.Errorf("Argo CD's %s is %s, and Git is at %s", name, is, newest)
			}
		}
		return nil
	})
}

// completed waits until Kratix is done with a request's first run.
func completed(t testing.TB, what gvr, namespace, name string) {
	t.Helper()
	within(t, 2*time.Minute, func() error {
		if is, message := condition(hub().get(t, what, namespace, name), "ConfigureWorkflowCompleted"); !strings.HasPrefix(is, "True/") {
			return fmt.Errorf("%s is %q: %s", name, is, message)
		}
		return nil
	})
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// burst asks for a hundred NatsUsers at once.
func burst(s *story) {
	t := s.T
	n := 100
	if testing.Short() {
		n = 10
	}
	var documents []string
	for i := range n {
		documents = append(documents, natsUser("team-b", fmt.Sprint("crowd", i)))
	}
	began := time.Now()
	hub().apply(t, strings.Join(documents, "---\n"))
	var first time.Duration
	within(t, 30*time.Minute, func() error {
		ready := 0
		for _, user := range hub().list(t, natsUsers, "team-b") {
			if is, _ := condition(&user, "Ready"); strings.HasPrefix(user.GetName(), "crowd") && is == "True/Delivered" {
				ready++
			}
		}
		if ready > 0 && first == 0 {
			first = time.Since(began)
		}
		if ready < n {
			time.Sleep(2 * time.Second) // what is measured needs all there is of the machine
			return fmt.Errorf("%d of %d are delivered", ready, n)
		}
		return nil
	})
	is := time.Since(began)
	within(t, 15*time.Minute, func() error {
		files := git(t, "ls-tree", "-r", "--name-only", "main")
		for i := range n {
			if !strings.Contains(files, fmt.Sprintf("eu-1/resources/team-b/nats-user/crowd%d/", i)) || !strings.Contains(files, fmt.Sprintf("us-1/resources/team-b/nats-user/crowd%d/", i)) {
				time.Sleep(2 * time.Second)
				return fmt.Errorf("Git has not all of crowd%d", i)
			}
		}
		return nil
	})
	inGit := time.Since(began)
	measured(fmt.Sprint("a burst of ", n, " NatsUsers"), "first ready after %.0f s, all after %.0f s, all in Git after %.0f s", first.Seconds(), is.Seconds(), inGit.Seconds())
	s.holds("%d NatsUsers asked for at once are all delivered", n)
}
