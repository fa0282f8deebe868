package pipelines_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/promises"
)

func example(t *testing.T, promise string) string {
	t.Helper()
	data, err := os.ReadFile("../promises/" + promise + "/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func destinationFile(name, labels string) txtar.File {
	return txtar.File{
		Name: "_cluster/Destination.platform.kratix.io/" + name + ".yaml",
		Data: []byte("apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata:\n  name: " + name + "\n  labels: {" + labels + "}\n"),
	}
}

// clusters returns the names of the clusters that have documents.
func clusters(o scenario.Outcome) string {
	var names []string
	for file := range o.Files {
		name, _, _ := strings.Cut(file, "/")
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

func wantClusters(t *testing.T, o scenario.Outcome, want string) {
	t.Helper()
	if got := clusters(o); got != want || o.Err != nil {
		_, reason, message := o.Ready()
		t.Errorf("the clusters with documents are %q, want %q (%s: %s, %v, %s)", got, want, reason, message, o.Err, o.Stderr)
	}
}

// A cluster that stops matching keeps its documents for a day, then loses them;
// one that comes back in time never lost them; a new one is picked up.
func TestDestinationsComeAndGo(t *testing.T) {
	for _, version := range []simulator.Version{simulator.KratixLatest, simulator.Kratix202508} {
		t.Run(string(version), func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			s.Version = version
			target := example(t, "api-aggregator-target")
			first := s.Apply(target)
			wantClusters(t, first, "eu-1 us-1")

			s.Write(destinationFile("us-1", "baleen.dev/destination: us-1, environment: retired"))
			s.Now = s.Now.Add(time.Hour)
			during := s.Apply(target)
			wantClusters(t, during, "eu-1 us-1")
			if during.Documents() != first.Documents() {
				t.Error("documents changed during the grace")
			}
			s.Now = s.Now.Add(23 * time.Hour)
			wantClusters(t, s.Apply(target), "eu-1 us-1")
			s.Now = s.Now.Add(time.Hour)
			wantClusters(t, s.Apply(target), "eu-1")

			s.Write(destinationFile("us-1", "baleen.dev/destination: us-1, environment: prod"))
			wantClusters(t, s.Apply(target), "eu-1 us-1")
			s.Write(destinationFile("ap-1", "baleen.dev/destination: ap-1, environment: prod"))
			wantClusters(t, s.Apply(target), "ap-1 eu-1 us-1")

			// Only its registration is lost: it keeps what it has, for as long as that takes.
			s.Write(destinationFile("ap-1", "environment: prod"))
			s.Now = s.Now.Add(1000 * time.Hour)
			lost := s.Apply(target)
			wantClusters(t, lost, "ap-1 eu-1 us-1")
			if _, reason, _ := lost.Ready(); reason != "DestinationNotRegistered" {
				t.Errorf("the reason is %s", reason)
			}
			// Its Destination is gone: Kratix has nowhere to remove the documents from,
			// and after the grace nothing is addressed to it.
			s.Remove("_cluster/Destination.platform.kratix.io/ap-1.yaml")
			s.Apply(target)
			s.Now = s.Now.Add(25 * time.Hour)
			wantClusters(t, s.Apply(target), "eu-1 us-1")
		})
	}
}

// A lost status prolongs a grace and never cuts it short.
func TestGraceSurvivesALostStatus(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	target := example(t, "api-aggregator-target")
	s.Apply(target)
	s.Write(destinationFile("us-1", "baleen.dev/destination: us-1"))
	s.Apply(target)
	s.Now = s.Now.Add(23 * time.Hour)
	object, err := s.Client.Get(context.Background(), platform.ApiAggregatorTarget, "team-a", "orders")
	if err != nil {
		t.Fatal(err)
	}
	delete(object.Object, "status")
	if _, err := s.Client.UpdateStatus(context.Background(), platform.ApiAggregatorTarget, object); err != nil {
		t.Fatal(err)
	}
	s.Apply(target)
	s.Now = s.Now.Add(2 * time.Hour)
	wantClusters(t, s.Apply(target), "eu-1 us-1")
	s.Now = s.Now.Add(23 * time.Hour)
	wantClusters(t, s.Apply(target), "eu-1")
}

func overlay(data string) txtar.File {
	return txtar.File{
		Name: "baleen-system/ConfigMap.core/api-aggregator-target-overlays.yaml",
		Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: api-aggregator-target-overlays\n  namespace: baleen-system\ndata:\n  o.yaml: |\n    " +
			strings.ReplaceAll(data, "\n", "\n    ") + "\n"),
	}
}

// A broken overlay keeps the last good output and says why; once it is mended
// the run goes on by itself.
func TestBrokenOverlay(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	target := example(t, "api-aggregator-target")
	first := s.Apply(target)
	s.Write(overlay("#@ load(\"@ytt:overlay\", \"overlay\")\n#@overlay/match by=overlay.subset({\"kind\": \"Ingress\"})\n---\nmetadata: {}"))
	broken := s.Apply(target)
	if broken.Documents() != first.Documents() {
		t.Error("the broken overlay changed the output")
	}
	ready, reason, message := broken.Ready()
	if ready != "False" || reason != "RenderFailed" || !strings.Contains(message, "overlays of the platform team") {
		t.Errorf("Ready is %s: %s: %s", ready, reason, message)
	}
	s.Write(overlay("#@ load(\"@ytt:overlay\", \"overlay\")\n#@overlay/match by=overlay.subset({\"kind\": \"HTTPRoute\"}), expects=\"1+\"\n---\nmetadata:\n  annotations:\n    #@overlay/match missing_ok=True\n    mended: \"yes\""))
	mended := s.Apply(target)
	if ready, _, message := mended.Ready(); ready != "True" || strings.Count(mended.Documents(), `mended: "yes"`) != 4 {
		t.Errorf("Ready is %s: %s\n%s", ready, message, mended.Documents())
	}
}

// What Kratix could not store is not emitted: what was emitted last stays.
func TestOutputTooLarge(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	for _, name := range []string{"api-aggregator", "api-aggregator-target"} {
		request := example(t, name)
		first := s.Apply(request)
		large := make([]byte, 700<<10)
		_, _ = rand.Read(large)
		s.Write(txtar.File{Name: "baleen-system/ConfigMap.core/" + name + "-overlays.yaml", Data: []byte(fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: %s-overlays, namespace: baleen-system}
data:
  a.yaml: |
    #@ load("@ytt:overlay", "overlay")
    #@overlay/match by=overlay.all, expects="1+"
    ---
    metadata:
      #@overlay/match missing_ok=True
      annotations:
        #@overlay/match missing_ok=True
        example.com/large: %s
`, name, base64.StdEncoding.EncodeToString(large)))})
		o := s.Apply(request)
		if _, reason, message := o.Ready(); reason != "OutputTooLarge" || !strings.Contains(message, "in one object, of at most 1400 KiB") || o.Documents() != first.Documents() {
			t.Errorf("%s is %s: %s; its documents stay: %t", name, reason, message, o.Documents() == first.Documents())
		}
	}
}

// A change to one path touches one object; the order of paths touches none. What refuses
// the methods that are not listed is there for the first path that lists some, for all.
func TestOneRouteForEachPath(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	request := func(paths string) string {
		return "apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregatorTarget\nmetadata: {name: shop, namespace: team-a}\nspec:\n" +
			"  aggregatorRef: {name: public-api, namespace: platform}\n  backends: [{service: shop, port: 80}]\n  paths: [" + paths + "]\n"
	}
	first := s.Apply(request("{path: /a, methods: [PUT]}, {path: /b}, {path: /c, type: Exact}"))
	if again := s.Apply(request("{path: /c, type: Exact}, {path: /a, methods: [PUT]}, {path: /b}")); again.Documents() != first.Documents() {
		t.Error("the order of paths changed documents")
	}
	changed := s.Apply(request("{path: /a, methods: [PUT]}, {path: /b, methods: [GET]}, {path: /c, type: Exact}"))
	var differ []string
	for file, data := range changed.Files {
		if first.Files[file] != data {
			differ = append(differ, file)
		}
	}
	if len(differ) != 2 || len(changed.Files) != len(first.Files) { // one on each cluster
		t.Errorf("a change to one path changed %q", differ)
	}
	if dropped := s.Apply(request("{path: /a}")); len(dropped.Files) != 2 {
		t.Errorf("after two paths were dropped there are %d files", len(dropped.Files))
	}
}

// A path that was accepted and is then changed to something that is refused
// stays as it was, while its neighbours go on.
func TestRefusedPathKeepsItsLastGoodRoute(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	target := example(t, "api-aggregator-target")
	first := s.Apply(target)
	worse := s.Apply(strings.Replace(target, "25Mi", "999Mi", 1))
	if state, _ := worse.State("/webhooks/stripe"); state != "BodyLimitAboveMaximum" {
		t.Errorf("the state is %s", state)
	}
	if worse.Documents() != first.Documents() {
		t.Error("the refused change touched what is served")
	}
}

// asked tells which of the targets the aggregator has asked to reconcile.
func asked(t *testing.T, s *scenario.Scenario) string {
	t.Helper()
	targets, err := s.Client.List(context.Background(), platform.ApiAggregatorTarget, "", map[string]string{kratix.LabelManualReconciliation: "true"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range targets {
		names = append(names, o.GetNamespace())
	}
	return strings.Join(names, " ")
}

// The aggregator asks its targets to reconcile when, and only when, something
// that concerns them changed, and they follow.
func TestTargetsFollowTheirAggregator(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	aggregator := example(t, "api-aggregator")
	target := func(namespace string) string {
		return "apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregatorTarget\nmetadata: {name: shop, namespace: " + namespace + "}\nspec:\n" +
			"  aggregatorRef: {name: public-api, namespace: platform}\n  backends: [{service: shop, port: 80}]\n  paths: [{path: /" + namespace + "}]\n"
	}
	follow := func() (last scenario.Outcome) {
		for _, namespace := range []string{"team-a", "team-b"} {
			last = s.Reconcile(platform.ApiAggregatorTarget, namespace, "shop")
		}
		return last
	}
	s.Apply(aggregator)
	s.Apply(target("team-a"))
	s.Apply(target("team-b"))
	url := "https://api.example.com" // with the listener's port where that is not an entry point of Traefik's
	for _, c := range []struct{ change, from, to, asked string }{
		{"nothing", "", "", ""},
		{"what concerns the Gateway alone", "clusterIssuer: letsencrypt", "clusterIssuer: other", ""},
		{"the DNS target", "target: lb.example.com", "target: lb2.example.com", ""},
		{"the maximum body size", "max: 100Mi", "max: 50Mi", "team-a team-b"},
		{"the implementation", "implementation: Traefik", "implementation: EnvoyGateway", "team-a team-b"},
		{"a delegation, for one of two", "namespaces: [team-a]", "namespaces: [team-b]", "team-a team-b"},
		{"another delegate", "namespaces: [team-b]", "namespaces: [team-b, team-c]", ""},
		{"one namespace's admission", `["team-*"]`, "[team-a]", "team-b"},
		{"the placement", "environment: prod", "environment: dev", "team-a team-b"},
	} {
		aggregator = strings.Replace(aggregator, c.from, c.to, 1)
		outcome := s.Apply(aggregator)
		if c.change == "the implementation" {
			url += ":8443"
		}
		if _, reason, message := outcome.Ready(); outcome.Err != nil || outcome.Status["url"] != url {
			t.Fatalf("%s: %s: %s, %v", c.change, reason, message, outcome.Err)
		}
		if got := asked(t, s); got != c.asked {
			t.Errorf("after a change of %s %q are asked, want %q", c.change, got, c.asked)
		}
		follow()
		if got := asked(t, s); got != "" {
			t.Errorf("%q stay asked after their run", got)
		}
		s.Apply(aggregator)
		if got := asked(t, s); got != "" {
			t.Errorf("after %s and the run of the targets %q are asked again", c.change, got)
		}
		follow()
	}
	// Targets that came before their aggregator are asked as soon as it is there.
	s.Delete(aggregator)
	if got := asked(t, s); got != "team-a team-b" {
		t.Errorf("after the aggregator's deletion %q are asked", got)
	}
	gone := follow()
	if _, reason, _ := gone.Ready(); reason != "AggregatorNotFound" || len(gone.Files) == 0 {
		t.Errorf("without its aggregator the target has %d files and the reason %s", len(gone.Files), reason)
	}
	s.Apply(aggregator)
	if got := asked(t, s); got != "team-a team-b" {
		t.Errorf("when the aggregator is back %q are asked", got)
	}
}

// A request that is wrong by itself is not asked again and again.
func TestWrongRequestsAreLeftAlone(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	wrong := "apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregatorTarget\nmetadata: {name: shop, namespace: team-a}\nspec:\n" +
		"  aggregatorRef: {name: public-api, namespace: platform}\n  backends: [{service: shop, port: 80}]\n  paths: [{path: /a}, {path: /%61}]\n"
	if _, reason, _ := s.Apply(wrong).Ready(); reason != "InvalidSpec" {
		t.Fatalf("the reason is %s", reason)
	}
	s.Apply(example(t, "api-aggregator"))
	if got := asked(t, s); got != "" {
		t.Errorf("asked are %q", got)
	}
}

// The aggregator shows what is published, and by whom.
func TestAggregatorShowsItsPaths(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(example(t, "api-aggregator-target"))
	outcome := s.Apply(example(t, "api-aggregator"))
	if !strings.Contains(outcome.Report, "- owner: team-a/orders\n  path: /webhooks/stripe\n  type: Exact\n") || !strings.Contains(outcome.Report, "pathCount: 2\n") {
		t.Errorf("the status is\n%s", outcome.Report)
	}
}

// A host cannot be changed: the CRD refuses it, and where there is no API server
// the pipeline does, and goes on serving the old one.
func TestHostnameIsImmutable(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	aggregator := example(t, "api-aggregator")
	first := s.Apply(aggregator)
	other := strings.Replace(aggregator, "hostname: api.example.com", "hostname: www.example.com", 1)
	if err := requests(t).ValidateUpdate(scenario.Parse(t, aggregator), scenario.Parse(t, other)); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
		t.Errorf("the CRD says %v", err)
	}
	changed := s.Apply(other)
	if _, reason, _ := changed.Ready(); reason != "HostnameChanged" || changed.Documents() != first.Documents() {
		t.Errorf("the reason is %s", reason)
	}
}

// Deleting a request removes its documents and nothing else.
func TestDelete(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	aggregator := s.Apply(example(t, "api-aggregator"))
	s.Apply(example(t, "api-aggregator-target"))
	if deleted := s.Delete(example(t, "api-aggregator-target")); len(deleted.Files) != 0 || deleted.Err != nil {
		t.Errorf("%d files are left: %v", len(deleted.Files), deleted.Err)
	}
	if again := s.Apply(example(t, "api-aggregator")); again.Documents() != aggregator.Documents() {
		t.Error("deleting a target changed its aggregator's documents")
	}
}

// A dry run of a deletion says yes and does nothing, for every Promise.
func TestDryRunOfADeletion(t *testing.T) {
	for _, p := range promises.All() {
		t.Run(p.Name, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			request := example(t, p.Name)
			s.Apply(request)
			before := s.Snapshot()
			s.DryRun = true
			if o := s.Delete(request); o.Err != nil || o.Code != 0 {
				t.Errorf("exit code %d: %v: %s", o.Code, o.Err, o.Stderr)
			}
			if !maps.Equal(s.Snapshot(), before) {
				t.Error("the platform has changed")
			}
		})
	}
}
