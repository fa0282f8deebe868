package pipelines_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
)

// workloadExample are the documents of the example of a Workload.
func workloadExample(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	return scenario.New(t, platformDir, stages...).Apply(example(t, "workload")).Objects(t)
}

// workloadOf is a Workload of shop.
func workloadOf(namespace, name, more string) string {
	return "apiVersion: baleen.dev/v1alpha1\nkind: Workload\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec:\n" +
		"  systemRef: {name: shop}\n  container: {image: '111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/orders:1.4.2'}\n" + more
}

// theSystem is the platform's System with one text in place of another.
func theSystem(t *testing.T, old, new string) string {
	t.Helper()
	text := fmt.Sprintf("apiVersion: baleen.dev/v1alpha1\nkind: System\nmetadata: {name: shop, namespace: baleen-system}\nspec:\n" +
		"  displayName: Web shop\n  owner: {team: team-a, contact: a}\n  allowedNamespaces: [team-a, team-b]\n  placement: {matchLabels: {environment: prod}}\n" +
		"  policy: {images: ['111122223333.dkr.ecr.*.amazonaws.com/shop/*'], maxReplicas: 20}\n")
	if !strings.Contains(text, old) {
		t.Fatalf("the System has no %q", old)
	}
	return strings.Replace(text, old, new, 1)
}

// isAsked reports whether a Workload is asked to run.
func isAsked(t *testing.T, s *scenario.Scenario, namespace, name string) bool {
	t.Helper()
	o, err := s.Client.Get(t.Context(), platform.Workload, namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return o.GetLabels()[kratix.LabelManualReconciliation] == "true"
}

// A change of a System asks those workloads that it concerns and no others. What it says of
// people changes no byte on any cluster, and a policy that is tightened takes nothing away.
func TestWorkloadsFollowTheirSystem(t *testing.T) {
	const image = "images: ['111122223333.dkr.ecr.*.amazonaws.com/shop/*']"
	for _, test := range []struct {
		name, old, new string
		a, b           bool   // which of the workloads are asked
		reason, says   string // what that of team-a says then
		clusters       string
	}{
		{"nothing", "", "", false, false, "Ready", "", "eu-1 us-1"},
		{"its display name", "Web shop", "Shop", false, false, "Ready", "", "eu-1 us-1"},
		{"its owner", "{team: team-a, contact: a}", "{team: team-b}", false, false, "Ready", "", "eu-1 us-1"},
		{"a wider policy", image, image[:len(image)-1] + ", 'docker.io/library/*']", true, true, "Ready", "", "eu-1 us-1"},
		{"more replicas", "maxReplicas: 20", "maxReplicas: 30", true, true, "Ready", "", "eu-1 us-1"},
		{"fewer replicas", "maxReplicas: 20", "maxReplicas: 3", true, true, "NotAdmitted", "spec.maxReplicas: 5 is more than spec.policy.maxReplicas, which is 3: set it to that or less; what was emitted last stays in place", "eu-1 us-1"},
		{"other images", "/shop/*", "/shop/a-*", true, true, "NotAdmitted", `spec.container.image: the repository "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/orders" is not covered by spec.policy.images (111122223333.dkr.ecr.*.amazonaws.com/shop/a-*)`, "eu-1 us-1"},
		{"a namespace less", "[team-a, team-b]", "[team-b]", true, false, "NotAdmitted", "System baleen-system/shop does not admit workloads of the namespace team-a", "eu-1 us-1"},
		{"a namespace more", "[team-a, team-b]", "[team-a, team-b, team-c]", false, false, "Ready", "", "eu-1 us-1"},
		{"no namespace", "  allowedNamespaces: [team-a, team-b]\n", "", true, true, "NotAdmitted", "does not admit", "eu-1 us-1"},
		{"other clusters", "environment: prod", "environment: dev", true, true, "Ready", "eu-1 does not match any more and keeps its documents for 24h", "dev-1 eu-1 us-1"},
		{"no cluster", "environment: prod", "environment: none", true, true, "NoDestination", "no Destination matches the System's spec.placement", "eu-1 us-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			s.Apply(theSystem(t, "", ""))
			before := s.Apply(workloadOf("team-a", "orders", ""))
			s.Apply(workloadOf("team-b", "billing", ""))
			if o := s.Apply(theSystem(t, test.old, test.new)); o.Err != nil || o.Code != 0 {
				t.Fatalf("%v: %s", o.Err, o.Stderr)
			}
			if a, b := isAsked(t, s, "team-a", "orders"), isAsked(t, s, "team-b", "billing"); a != test.a || b != test.b {
				t.Errorf("those that are asked are team-a %t, team-b %t, want %t and %t", a, b, test.a, test.b)
			}
			after := s.Reconcile(platform.Workload, "team-a", "orders")
			wantClusters(t, after, test.clusters)
			if _, reason, message := after.Ready(); reason != test.reason || !strings.Contains(message, test.says) {
				t.Errorf("it is %s: %s", reason, message)
			}
			for file, text := range before.Files {
				if after.Files[file] != text {
					t.Errorf("%s is changed to\n%s", file, after.Files[file])
				}
			}
			s.Apply(theSystem(t, test.old, test.new)) // and nobody is asked again
			if isAsked(t, s, "team-a", "orders") {
				t.Error("it is asked again, having seen the change")
			}
		})
	}
}

// A System that goes takes nothing with it, and one that comes back has its workloads run.
func TestSystemComesAndGoes(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(theSystem(t, "", ""))
	before := s.Apply(workloadOf("team-a", "orders", "")).Documents()
	want := func(o scenario.Outcome, reason, says string) {
		t.Helper()
		if _, got, message := o.Ready(); got != reason || !strings.Contains(message, says) || o.Documents() != before {
			t.Errorf("it is %s: %s, with\n%s", got, message, o.Documents())
		}
	}
	s.Delete(theSystem(t, "", ""))
	if !isAsked(t, s, "team-a", "orders") {
		t.Error("nobody says that the System is gone")
	}
	want(s.Reconcile(platform.Workload, "team-a", "orders"), "SystemNotFound", "there is no System baleen-system/shop: correct spec.systemRef")
	s.Apply(theSystem(t, "", ""))
	if !isAsked(t, s, "team-a", "orders") {
		t.Error("nobody says that the System is there again")
	}
	want(s.Reconcile(platform.Workload, "team-a", "orders"), "Ready", "2 to 5 replicas of")

	s.Write(configMap("baleen-config", "{systemNamespaces: '[platform]'}")...)
	want(s.Reconcile(platform.Workload, "team-a", "orders"), "SystemNotTrusted", "a System in the namespace baleen-system counts for nobody: refer to one in platform")
	if _, reason, message := s.Apply(theSystem(t, "", "")).Ready(); reason != "WrongNamespace" {
		t.Errorf("the System is %s: %s", reason, message)
	}
	there := strings.Replace(theSystem(t, "", ""), "namespace: baleen-system", "namespace: platform", 1)
	s.Apply(there)
	want(s.Apply(strings.Replace(workloadOf("team-a", "orders", ""), "{name: shop}", "{name: shop, namespace: platform}", 1)), "Ready", "")
}

// A team's own System counts for nobody, whether it is there or not: not even that is said.
func TestSystemOfATeam(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	theirs := strings.NewReplacer("namespace: baleen-system", "namespace: team-a", "[team-a, team-b]", "['*']").Replace(theSystem(t, "", ""))
	request := strings.Replace(workloadOf("team-a", "orders", ""), "{name: shop}", "{name: shop, namespace: team-a}", 1)
	_, _, without := s.Apply(request).Ready()
	if _, reason, _ := s.Apply(theirs).Ready(); reason != "WrongNamespace" {
		t.Errorf("the System is %s", reason)
	}
	o := s.Apply(request)
	if _, reason, message := o.Ready(); reason != "SystemNotTrusted" || message != without || len(o.Files) > 0 {
		t.Errorf("it is %s: %s; before there was one: %s", reason, message, without)
	}
}

// Two workloads of one name, mapped to one namespace: the first keeps it, the other is told
// and takes over when it is free. Neither is ever served with the other.
func TestWorkloadNamesAreOwned(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Write(configMap("baleen-config", "{namespaces: '{team-b: [team-a], team-a: [other]}'}")...)
	s.Apply(theSystem(t, "", ""))
	second := func(more string) string { return workloadOf("team-b", "orders", "  workloadNamespace: team-a\n"+more) }
	first := s.Apply(workloadOf("team-a", "orders", ""))
	wantClusters(t, first, "eu-1 us-1")
	o := s.Apply(second(""))
	wantClusters(t, o, "")
	const taken = "the name orders in the namespace team-a of eu-1 belongs to Workload team-a/orders: choose another name or workloadNamespace; it is taken over by itself should it become free; clusters with problems besides: 1, see status.clusters"
	if _, reason, message := o.Ready(); reason != "ComponentConflict" || !strings.HasSuffix(message, taken) {
		t.Errorf("it is %s: %s", reason, message)
	}
	if again := s.Apply(workloadOf("team-a", "orders", "")); again.Documents() != first.Documents() {
		t.Error("the first one has changed")
	}

	moved := workloadOf("team-a", "orders", "  workloadNamespace: other\n")
	for range 3 { // emits under the new name, marks the former, and frees it
		wantClusters(t, s.Apply(moved), "eu-1 us-1")
	}
	if !isAsked(t, s, "team-b", "orders") {
		t.Error("who waits is not asked")
	}
	served := s.Apply(second(""))
	wantClusters(t, served, "eu-1 us-1")

	// Back again it finds its former name taken, and goes on where it is.
	last := s.Apply(moved)
	back := s.Apply(workloadOf("team-a", "orders", ""))
	if _, reason, _ := back.Ready(); reason != "ComponentConflict" || back.Documents() != last.Documents() {
		t.Errorf("it is %s, with\n%s", reason, back.Documents())
	}
	s.Delete(second(""))
	s.RemoveAll("team-b")
	wantClusters(t, s.Apply(workloadOf("team-a", "orders", "")), "eu-1 us-1")
}

// Nothing that is not of the container changes the Pod template, and so restarts nothing;
// and weeks of reconciles change and write nothing at all.
func TestPodsRestartForTheirContainerAlone(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(theSystem(t, "", ""))
	s.Apply(strings.Replace(theSystem(t, "", ""), "name: shop,", "name: other,", 1))
	template := func(o scenario.Outcome) string {
		t.Helper()
		object := o.Objects(t)["eu-1/deployment.team-a.orders.yaml"]
		if object == nil {
			t.Fatalf("there is no Deployment: %s", o.Report)
		}
		return fmt.Sprint(object.Object["spec"].(map[string]any)["template"])
	}
	first := s.Apply(workloadOf("team-a", "orders", ""))
	pods := template(first)
	before := s.Snapshot()
	for range 60 {
		s.Now = s.Now.Add(10 * time.Hour)
		if o := s.Reconcile(platform.Workload, "team-a", "orders"); o.Documents() != first.Documents() {
			t.Fatalf("a reconcile gives\n%s", o.Documents())
		}
		s.Apply(theSystem(t, "", ""))
	}
	for file, text := range s.Snapshot() {
		if before[file] != text {
			t.Errorf("%s was written:\n%s", file, text)
		}
	}
	for _, test := range []struct {
		name, more, old, new string
		restarts             bool
	}{
		{"replicas", "  minReplicas: 3\n  maxReplicas: 9\n", "", "", false},
		{"another System", "", "{name: shop}", "{name: other}", false},
		{"what is a default", "  type: Service\n  minReplicas: 2\n", "", "", false},
		{"what is a default of the container", "", "1.4.2'", "1.4.2', port: 8080, resources: {requests: {cpu: 0.1, memory: 262144Ki}}", false},
		{"an image", "", "1.4.2", "1.4.3", true},
		{"a port", "", "1.4.2'", "1.4.2', port: 9090", true},
		{"a variable", "", "1.4.2'", "1.4.2', env: [{name: A}]", true},
		{"a probe", "", "1.4.2'", "1.4.2', readinessProbe: {httpGet: {path: /ready}}", true},
		{"a worker", "  type: Worker\n", "", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := strings.Replace(strings.Replace(workloadOf("team-a", "orders", test.more), test.old, test.new, 1), "cpu: 0.1", "cpu: '0.1'", 1)
			if err := requests(t).Validate(scenario.Parse(t, request)); err != nil {
				t.Fatal(err)
			}
			if o := s.Apply(request); (template(o) != pods) != test.restarts {
				t.Errorf("the Pod template is\n%s, and was\n%s", template(o), pods)
			}
		})
	}
}

// A name that a Service cannot have is refused by the CRD and by the binary.
func TestNamesOfWorkloads(t *testing.T) {
	definitions := requests(t)
	for name, says := range map[string]string{
		"orders": "", "a": "", "a-1": "", x("a", 63): "",
		"1a": "begin with a letter", "a.b": "begin with a letter", "a-": "begin with a letter", "A": "begin with a letter", x("a", 64): "at most 63",
	} {
		o := scenario.Parse(t, workloadOf("team-a", "orders", ""))
		o.SetName(name)
		err := definitions.Validate(o)
		workload := kinds[len(kinds)-1]
		_, binary := workload.read(o)
		for who, err := range map[string]error{"the CRD": err, "the binary": binary} {
			if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) && name != "A" {
				t.Errorf("%s says of %s: %v, want %q", who, name, err, says)
			}
		}
	}
}

// liveWorkloads is a life of Systems and Workloads in which everything happens once.
func liveWorkloads(t *testing.T, s *scenario.Scenario) {
	t.Helper()
	s.Write(configMap("baleen-config", "{namespaces: '{team-b: [team-a], team-d: [team-a]}', systemNamespaces: '[baleen-system, systems]'}")...)
	system := "apiVersion: baleen.dev/v1alpha1\nkind: System\nmetadata: {name: shop, namespace: systems}\nspec:\n" +
		"  owner: {team: a}\n  allowedNamespaces: ['*']\n  placement: {matchLabels: {environment: prod}}\n"
	workload := func(namespace, name, more string) string {
		return strings.Replace(workloadOf(namespace, name, more), "{name: shop}", "{name: shop, namespace: systems}", 1)
	}
	const there = "  workloadNamespace: team-a\n"
	s.Apply(workload("team-a", "shop", "")) // there is no System yet
	s.Apply(system)                         // tells it
	s.Apply(workload("team-a", "shop", ""))
	s.Apply(workload("team-b", "shop", there)) // a name that is taken
	s.Delete(workload("team-a", "shop", ""))   // tells who waits
	s.RemoveAll("team-a")
	s.Apply(workload("team-b", "shop", there)) // finds its owner gone
	s.Apply(workload("team-d", "shop", there)) // waits
	for range 3 {
		s.Apply(workload("team-b", "shop", "")) // releases it, and tells who waits
	}
	s.Apply(workload("team-d", "shop", there))
	for range 3 {
		s.Apply(workload("team-d", "shop", "")) // releases one that nobody wants
	}
	s.Write(configureJob("team-b", "workload", "shop"))
	s.Delete(workload("team-b", "shop", "")) // a run is under way
	s.Apply(workload("team-c", "gone", ""))
	s.Apply(workload("team-a", "taken", ""))
	s.Apply(workload("team-b", "taken", there)) // waits
	s.RemoveAll("team-c")
	s.RemoveAll("team-a")
	s.Apply(system) // finds them gone, and tells who waits
	s.Write(configureJob("systems", "system", "shop"))
	s.Delete(system)
}

// systemFile is the platform's System with one text in place of another.
func systemFile(t *testing.T, old, new string) []txtar.File {
	t.Helper()
	return []txtar.File{{Name: "baleen-system/System.baleen.dev/shop.yaml", Data: []byte(theSystem(t, old, new))}}
}
