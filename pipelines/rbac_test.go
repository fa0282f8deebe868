package pipelines_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
)

// authorizer allows what a Promise's pipelines are given, and remembers what of
// it was used. It belongs to one pipeline.
type authorizer struct {
	rules []permission
	used  map[string]bool
}

// permission is an entry of rbac.permissions.
type permission struct {
	ResourceNamespace string `json:"resourceNamespace"`
	rbacv1.PolicyRule `json:",inline"`
}

// authorizers reads the rules of all pipelines, by Promise and action.
func authorizers(t *testing.T) map[string]*authorizer {
	t.Helper()
	all := map[string]*authorizer{}
	for _, p := range promises.All() {
		type pipelines []struct {
			Spec struct {
				RBAC struct{ Permissions []permission }
			}
		}
		var in struct {
			Spec struct {
				Workflows struct{ Resource map[string]pipelines }
			}
		}
		if err := yaml.Unmarshal(p.YAML, &in); err != nil {
			t.Fatal(err)
		}
		for action, pipelines := range in.Spec.Workflows.Resource {
			all[p.Name+" "+action] = &authorizer{pipelines[0].Spec.RBAC.Permissions, map[string]bool{}}
		}
	}
	return all
}

// allows tells whether a request may be made, as RBAC would with the rules of
// the Promise and those that Kratix adds: the request itself and its Works.
func (a *authorizer) allows(verb string, kind platform.Kind, namespace, name string) bool {
	own := namespace == os.Getenv("KRATIX_OBJECT_NAMESPACE") &&
		(kind.Plural == os.Getenv("KRATIX_CRD_PLURAL") && slices.Contains([]string{"get", "list", "update", "create", "patch"}, verb) || kind == platform.Work)
	if own {
		return true
	}
	allowed := false
	for i, r := range a.rules {
		if (r.ResourceNamespace == "*" || r.ResourceNamespace == namespace) &&
			slices.Contains(r.APIGroups, kind.Group) && slices.Contains(r.Resources, kind.Plural) && slices.Contains(r.Verbs, verb) &&
			(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name)) {
			allowed = true
			a.used[use(i, verb, name, r)] = true
		}
	}
	return allowed
}

// use names what of a rule is used.
func use(i int, verb, name string, r permission) string {
	if len(r.ResourceNames) == 0 {
		name = ""
	}
	return strings.TrimSpace(fmt.Sprintf("rule %d (%s in %s): %s %s", i+1, strings.Join(r.Resources, ", "), r.ResourceNamespace, verb, name))
}

// The rights in each Promise are those that its pipelines use: none is missing
// and none is to spare.
func TestRightsAreExact(t *testing.T) {
	s := scenario.New(t, platformDir, stages)
	all := authorizers(t)
	server := platformtest.Serve(s.Client, platform.ConfigMap, platform.Destination, platform.Work, platform.ApiAggregator, platform.ApiAggregatorTarget)
	server.Observe = func(verb string, kind platform.Kind, namespace, name, _ string) error {
		pipeline := os.Getenv("KRATIX_PROMISE_NAME") + " " + os.Getenv("KRATIX_WORKFLOW_ACTION")
		if all[pipeline].allows(verb, kind, namespace, name) {
			return nil
		}
		t.Errorf("%s may not %s %s %s/%s", pipeline, verb, kind.Plural, namespace, name)
		return apierrors.NewForbidden(kind.GVR().GroupResource(), name, nil)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	client, err := platform.OpenCluster(&rest.Config{Host: listener.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	was := workflow.Open
	t.Cleanup(func() { workflow.Open = was })
	workflow.Open = func(func() time.Time) (platform.Client, error) { return client, nil }

	// A life in which everything happens once.
	aggregator := example(t, "api-aggregator")
	thief := strings.NewReplacer("name: public-api", "name: thief", "namespace: platform", "namespace: team-x").Replace(aggregator)
	s.Remove("baleen-state/ConfigMap.core/host-166b2b16acaea5658d1c1989a18a312bd0c67229.yaml")
	s.Apply(aggregator)
	s.Apply(thief)                                         // a host that is taken
	s.Apply(shop("team-a", "{path: /shop}", "{path: /a}")) // takes paths
	s.Apply(shop("team-b", "{path: /shop}"))               // finds one taken
	s.Apply(shop("team-a", "{path: /a}"))                  // lets go of one that is waited for
	s.Reconcile(platform.ApiAggregatorTarget, "team-a", "shop")
	s.Apply(shop("team-a", "{path: /b}")) // and of one that nobody wants
	s.Reconcile(platform.ApiAggregatorTarget, "team-a", "shop")
	s.Apply(shop("team-c", "{path: /b}"))
	s.RemoveAll("team-a")
	s.Apply(shop("team-c", "{path: /b}")) // finds its owner gone
	s.RemoveAll("team-c")
	s.Apply(aggregator) // sweeps
	s.Apply(shop("team-d", "{path: /d}"))
	s.RemoveAll("team-d")
	stuck := strings.Replace(shop("team-d", "{path: /d}"), "namespace: team-d}", "namespace: team-d, deletionTimestamp: \"2026-01-01T00:00:00Z\", finalizers: [kratix]}", 1)
	s.Write(txtar.File{Name: "team-d/ApiAggregatorTarget.baleen.dev/shop.yaml", Data: []byte(stuck)})
	s.Apply(aggregator) // finds one in a namespace that terminates
	s.Delete(shop("team-b", "{path: /shop}"))
	s.Apply(shop("team-e", "{path: /e}"))
	s.Apply(shop("team-f", "{path: /e}"))
	s.Delete(shop("team-e", "{path: /e}")) // somebody waits
	s.Delete(aggregator)                   // here too
	s.Reconcile(platform.ApiAggregator, "team-x", "thief")
	s.RemoveAll("team-x")
	s.Apply(aggregator) // finds its owner gone

	for pipeline, a := range all {
		for i, r := range a.rules {
			names := r.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, verb := range r.Verbs {
				for _, name := range names {
					if !a.used[use(i, verb, name, r)] {
						t.Errorf("%s does not use %s", pipeline, use(i, verb, name, r))
					}
				}
			}
		}
	}
}
