package pipelines_test

import (
	"cmp"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/pipelines"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
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

// allows reports whether a request may be made, as RBAC would with the rules of
// the Promise and those that Kratix adds: the request itself and its Works. A rule
// is used where no other would do, and one for all namespaces only where a named
// namespace would not do.
func (a *authorizer) allows(getenv func(string) string, verb string, kind platform.Kind, namespace, name string) bool {
	at := getenv("KRATIX_OBJECT_NAMESPACE")
	own := namespace == at &&
		(kind.Plural == getenv("KRATIX_CRD_PLURAL") && slices.Contains([]string{"get", "list", "update", "create", "patch"}, verb) || kind == platform.Work)
	if own {
		return true
	}
	var by []int
	for i, r := range a.rules {
		if (r.ResourceNamespace == "*" || cmp.Or(r.ResourceNamespace, at) == namespace) &&
			slices.Contains(r.APIGroups, kind.Group) && slices.Contains(r.Resources, kind.Plural) && slices.Contains(r.Verbs, verb) &&
			(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name)) {
			by = append(by, i)
		}
	}
	if len(by) == 1 {
		r := a.rules[by[0]]
		nameable := slices.Contains([]string{at, "baleen-system", "baleen-state", "baleen-operator"}, namespace)
		if r.ResourceNamespace != "*" || !nameable {
			a.used[r.use(by[0], verb, kind.Group, kind.Plural, name)] = true
		}
	}
	return len(by) > 0
}

// use names one right among those of the i-th rule.
func (r permission) use(i int, verb, group, resource, name string) string {
	if len(r.ResourceNames) == 0 {
		name = ""
	}
	namespace := cmp.Or(r.ResourceNamespace, "the request's namespace")
	return strings.TrimSpace(fmt.Sprintf("rule %d: %s %s.%s in %s %s", i+1, verb, resource, cmp.Or(group, "core"), namespace, name))
}

// uses names every right of the i-th rule.
func (r permission) uses(i int) (all []string) {
	names := r.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	for _, verb := range r.Verbs {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, name := range names {
					all = append(all, r.use(i, verb, group, resource, name))
				}
			}
		}
	}
	return all
}

// The rights in each Promise are those that its pipelines use: none is missing,
// none is to spare, and none reaches further than it is used.
func TestRightsAreExact(t *testing.T) {
	inProcess := natsaccount.New(natsaccount.Network{Dial: natslocal.InProcess})
	s := scenario.New(t, platformDir, slices.Concat([]workflow.Pipeline{inProcess}, pipelines.All())...)
	all := authorizers(t)
	server := platformtest.Serve(s.Client, append(promises.Kinds(),
		platform.ConfigMap, platform.Secret, platform.Destination, platform.Work, platform.WorkPlacement, platform.Job, platform.Pod)...)
	rivals := map[string]bool{}    // pipelines whose next update comes too late
	var getenv func(string) string // of the run that is on
	server.Observe = func(verb string, kind platform.Kind, namespace, name, _ string) error {
		pipeline := getenv("KRATIX_PROMISE_NAME") + " " + getenv("KRATIX_WORKFLOW_ACTION")
		if !all[pipeline].allows(getenv, verb, kind, namespace, name) {
			t.Errorf("%s may not %s %s %s/%s", pipeline, verb, kind.Plural, namespace, name)
			return apierrors.NewForbidden(kind.GVR().GroupResource(), name, nil)
		}
		if verb == "update" && rivals[pipeline] {
			delete(rivals, pipeline)
			return apierrors.NewConflict(kind.GVR().GroupResource(), name, nil)
		}
		return nil
	}
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	client, err := platform.OpenCluster(&rest.Config{Host: listener.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	s.Open = func(of func(string) string, _ func() time.Time) (platform.Client, error) {
		getenv = of
		return client, nil
	}

	liveAPIs(t, s)
	liveNATS(t, s, rivals)
	liveSynadia(t, s)
	liveWorkloads(t, s)
	for _, p := range promises.All() { // for one whose life has nothing more in it
		s.Apply(example(t, p.Name))
		s.Delete(example(t, p.Name))
	}

	for pipeline, a := range all {
		t.Run(pipeline, func(t *testing.T) {
			for i, r := range a.rules {
				for _, use := range r.uses(i) {
					if !a.used[use] {
						t.Errorf("nothing needs %s", use)
					}
				}
			}
		})
	}
}

// liveAPIs is a life of aggregators and targets in which everything happens once.
func liveAPIs(t *testing.T, s *scenario.Scenario) {
	t.Helper()
	aggregator := example(t, "api-aggregator")
	thief := strings.NewReplacer("name: public-api", "name: thief", "namespace: platform", "namespace: team-x").Replace(aggregator)
	s.Remove("baleen-state/ConfigMap.core/host-166b2b16acaea5658d1c1989a18a312bd0c67229.yaml")
	s.Apply(aggregator)
	s.Apply(thief)                                         // a host that is taken
	s.Apply(shop("team-a", "{path: /shop}", "{path: /a}")) // takes paths
	s.Apply(shop("team-b", "{path: /shop}"))               // finds one taken
	s.Apply(shop("team-a", "{path: /a}"))                  // releases one that is waited for
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
	s.Write(configureJob("team-e", "api-aggregator-target", "shop"))
	s.Delete(shop("team-e", "{path: /e}")) // somebody waits, and a run is under way
	s.Write(configureJob("platform", "api-aggregator", "public-api"))
	s.Delete(aggregator) // here too
	s.Reconcile(platform.ApiAggregator, "team-x", "thief")
	s.RemoveAll("team-x")
	s.Apply(aggregator) // finds its owner gone
	nginx := "apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregator\nmetadata: {name: nginx, namespace: platform}\nspec:\n" +
		"  hostname: nginx.example.com\n  tls: {clusterIssuer: letsencrypt}\n  gateway: {className: nginx, implementation: NGINXGatewayFabric, namespace: gateways}\n" +
		"  allowedNamespaces: ['*']\n  delegations: [{prefix: /d, namespaces: [team-g]}]\n"
	delegated := strings.Replace(shop("team-g", "{path: /d}"), "name: public-api", "name: nginx", 1)
	s.Apply(nginx)
	s.Apply(delegated) // what is delegated is taken
	s.Apply(nginx)
	s.Delete(delegated) // and free again
}

// liveSynadia is one of an account in Synadia Cloud.
func liveSynadia(t *testing.T, s *scenario.Scenario) {
	t.Helper()
	system, err := natslocal.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := fakecloud.New(fakecloud.Options{NATS: system, Tokens: []string{cloudToken}, Now: func() time.Time { return s.Now }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(cloud)
	t.Cleanup(server.Close)
	s.Write(secretFile("synadia", "stringData: {token: "+cloudToken+"}"))
	account := "apiVersion: baleen.dev/v1alpha1\nkind: NatsAccount\nmetadata: {name: cloud, namespace: baleen-system}\nspec:\n  provider: synadia\n" +
		"  synadia: {accountID: " + cloud.Account + ", baseURL: " + server.URL + ", platform: prod, tokenSecretRef: {name: synadia}}\n" +
		"  policy: {namespaces: ['*'], publish: [orders.new]}\n"
	s.Apply(account)
	s.Apply("apiVersion: baleen.dev/v1alpha1\nkind: NatsUser\nmetadata: {name: shop, namespace: team-s}\nspec:\n" +
		"  accountRef: {name: cloud}\n  permissions: {publish: {allow: [orders.new]}}\n  secret: {name: nats}\n")
	s.RemoveAll("team-s")
	s.RemoveAll("baleen-state")
	s.Now = s.Now.Add(31 * 24 * time.Hour)
	for range 4 { // finds users of a request of which nothing else is left
		s.Now = s.Now.Add(25 * time.Hour)
		s.Apply(account)
	}
	if users := cloud.Users(cloud.Account); len(users) > 0 {
		t.Errorf("the cloud still has %v", users)
	}
	s.Delete(account)
}

// configureJob is a run that is under way while its request is deleted.
func configureJob(namespace, promise, request string) txtar.File {
	return txtar.File{Name: namespace + "/Job.batch/configure.yaml", Data: []byte("apiVersion: batch/v1\nkind: Job\nmetadata: {name: configure, namespace: " + namespace +
		", labels: {kratix.io/promise-name: " + promise + ", kratix.io/resource-name: " + request + ", kratix.io/workflow-action: configure}}\n")}
}

// liveNATS is one of accounts and users.
func liveNATS(t *testing.T, s *scenario.Scenario, rivals map[string]bool) {
	t.Helper()
	system, err := natslocal.New(t.TempDir())
	if err == nil {
		err = system.Start(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(system.Stop)
	s.Write(secretFile("signing", "stringData: {seed: "+string(system.SigningKey)+"}"), operatorFile("operator", "stringData: {seed: "+string(system.OperatorKey)+"}"),
		operatorFile("system", "stringData: {creds: "+text(string(system.SystemCredentials))+"}"))
	s.Write(configMap("baleen-config", "{namespaces: '{team-b: [team-a], team-d: [team-a]}'}")...)
	account := func(publish string) string {
		return "apiVersion: baleen.dev/v1alpha1\nkind: NatsAccount\nmetadata: {name: shop, namespace: baleen-system}\nspec:\n  provider: jwt\n" +
			"  jwt: {accountID: " + system.AccountID + ", signingKey: {secretRef: {name: signing}}, servers: ['" + system.URL() + "'],\n" +
			"    operator: {signingKeySecretRef: {name: operator}, systemCredentialsSecretRef: {name: system}}}\n" +
			"  policy: {namespaces: ['*'], publish: [" + publish + "]}\n"
	}
	user := func(namespace, secret, more string) string {
		return "apiVersion: baleen.dev/v1alpha1\nkind: NatsUser\nmetadata: {name: shop, namespace: " + namespace + "}\nspec:\n" +
			"  accountRef: {name: shop}\n  permissions: {publish: {allow: [orders.new]}}\n  secret: {name: " + secret + "}\n  workloadNamespace: team-a\n" + more
	}
	rotated := "  credentials: {rotate: '1', revokePrevious: Immediately}\n"
	s.Apply(account("orders.*"))
	s.Apply(user("team-a", "nats", ""))
	s.Apply(user("team-b", "nats", "")) // a Secret that is taken
	s.Apply(user("team-a", "own", ""))  // releases it
	s.Reconcile(platform.NatsUser, "team-a", "shop")
	s.Reconcile(platform.NatsUser, "team-b", "shop")
	s.Apply(user("team-a", "other", "")) // and of one that nobody wants
	s.Reconcile(platform.NatsUser, "team-a", "shop")
	s.Apply(user("team-a", "other", rotated)) // asks for a revocation
	s.Apply(account("orders.>"))              // revokes, and tells its users of what it offers now
	s.RemoveAll("team-b")
	s.Apply(user("team-a", "nats", rotated)) // finds its owner gone
	s.Apply(user("team-d", "gone", ""))
	s.RemoveAll("team-d")
	for range 3 { // the sweep misses it, retires and releases what it had, forgets it
		s.Now = s.Now.Add(40 * 24 * time.Hour)
		s.Apply(account("orders.>"))
	}

	s.Apply(user("team-a", "nats", ""))
	s.Write(configureJob("team-a", "nats-user", "shop"))
	s.Write(txtar.File{Name: "team-c/NatsUser.baleen.dev/shop.yaml", Data: []byte(user("team-c", "nats", ""))})
	s.Delete(user("team-c", "nats", "")) // nothing was issued yet
	s.Apply(user("team-b", "nats", ""))  // waits
	s.Delete(user("team-a", "nats", "")) // asks for a revocation
	s.Apply(account("orders.>"))
	s.Delete(user("team-a", "nats", "")) // is done with it, and tells who waits
	s.Reconcile(platform.NatsUser, "team-b", "shop")
	s.Apply(user("team-b", "nats", rotated))
	s.Write(configureJob("baleen-system", "nats-account", "shop"))
	rivals["nats-account delete"] = true
	s.Delete(account("orders.>")) // revokes, and tells its users that it goes
}
