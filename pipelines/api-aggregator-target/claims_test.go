package apiaggregatortarget

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// A target is served under a host only while its aggregator holds it: one that
// waits for the host, or is on its way out, has no say in who publishes there.
func TestHoldsHost(t *testing.T) {
	mine := claim.Owner{Kind: platform.ApiAggregator.Kind, Namespace: "platform", Name: "public-api", UID: "1"}
	other := mine
	other.Namespace = "team-x"
	restored := mine
	restored.UID = "2"
	for _, test := range []struct {
		name      string
		owner     claim.Owner
		releasing bool
		holds     bool
	}{
		{name: "nobody has it"},
		{name: "it has it", owner: mine, holds: true},
		{name: "it has it from before a restore", owner: restored, holds: true},
		{name: "another has it", owner: other},
		{name: "it is on its way out", owner: mine, releasing: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := &workflow.Run{Platform: platform.NewMemory(time.Now)}
			host := claim.Host("api.example.com")
			if test.owner != (claim.Owner{}) {
				if _, err := claims(run).Acquire(t.Context(), host, test.owner, nil); err != nil {
					t.Fatal(err)
				}
			}
			if test.releasing {
				if _, err := claims(run).Release(t.Context(), host, test.owner, true); err != nil {
					t.Fatal(err)
				}
			}
			a := &aggregator.ApiAggregator{}
			a.Namespace, a.Name, a.Spec.Hostname = "platform", "public-api", "api.example.com"
			_, err := holdsHost(t.Context(), run, a)
			var failure *workflow.Failure
			if refused := errors.As(err, &failure) && failure.Reason == "HostNotHeld"; refused == test.holds || (err == nil) != test.holds {
				t.Errorf("it says %v, holds: %t", err, test.holds)
			}
		})
	}
}

// A deletion ends the configure runs of its request: what one emits afterwards would
// stay for ever.
func TestReleaseEndsConfigure(t *testing.T) {
	memory := platform.NewMemory(time.Now)
	job := &unstructured.Unstructured{}
	job.SetGroupVersionKind(platform.Job.GroupVersionKind)
	job.SetNamespace("team-a")
	job.SetName("configure")
	job.SetLabels(map[string]string{kratix.LabelPromise: promise, kratix.LabelResource: "shop", kratix.LabelAction: string(kratix.Configure)})
	if _, err := memory.Create(t.Context(), platform.Job, job); err != nil {
		t.Fatal(err)
	}
	run := &workflow.Run{
		Promise: promise, Platform: memory, Request: &unstructured.Unstructured{Object: map[string]any{}},
		Identity: identity.Request{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "shop"},
	}
	if err := release(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if jobs, err := memory.List(t.Context(), platform.Job, "team-a", nil); err != nil || len(jobs) > 0 {
		t.Errorf("%d configure Jobs are left: %v", len(jobs), err)
	}
}

// Which rules a path's routes get while a path below it may be as v0.1.0 made it.
func TestSettle(t *testing.T) {
	former, rules := gateway.FormerRules(gateway.Asked{}), gateway.Rules(aggregator.Traefik, gateway.Asked{})
	last := func(rules string) destination.Output {
		return destination.Output{"eu-1": {"a.yaml": fmt.Appendf(nil, "metadata: {annotations: {%s: %s, %s: /a}}\nspec: {rules: [%s]}\n", hostAnnotation, host, pathAnnotation, rules)}}
	}
	all := ""
	for _, m := range append([]string{""}, gateway.Methods...) {
		all += fmt.Sprintf("{matches: [{path: {type: PathPrefix}, method: %q}]}, ", m)
	}
	old := "{matches: [{path: {type: PathPrefix}}]}"
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	just, minutes, hour := gateway.RulesEmitted(now), gateway.RulesEmitted(now.Add(-59*time.Minute)), gateway.RulesEmitted(now.Add(-time.Hour))
	for _, test := range []struct {
		name    string
		below   string // the fact of a claim below, none for no such claim
		settled bool
		mine    string // the fact of its own, none for no claim
		last    destination.Output
		fact    string
		rules   []gateway.Rule
	}{
		{name: "a new path", mine: "none", below: "none", fact: gateway.RulesAll, rules: rules},
		{name: "a new path, and one below is behind", mine: "none", below: "", rules: former},
		{name: "a new path, and the aggregator has seen none behind: nobody looks", mine: "none", below: "", settled: true, fact: gateway.RulesAll, rules: rules},
		{name: "one of v0.1.0", below: gateway.RulesAll, last: last(old), fact: just, rules: rules},
		{name: "one of v0.1.0, whatever the aggregator has seen, and one below has just emitted them", below: just, settled: true, last: last(old), rules: former},
		{name: "they were emitted, and may still be on their way", mine: minutes, below: gateway.RulesAll, last: last(all), fact: minutes, rules: rules},
		{name: "they were emitted, and have arrived", mine: hour, below: "", last: last(all), fact: gateway.RulesAll, rules: rules},
		{name: "they were claimed, and the run was killed", mine: hour, below: gateway.RulesAll, last: last(old), fact: just, rules: rules},
		{name: "they were claimed, the run was killed, and one below is behind", mine: hour, below: "", last: last(old), rules: former},
		{name: "they are there for long", mine: gateway.RulesAll, below: "", last: last(all), fact: gateway.RulesAll, rules: rules},
		{name: "it was withdrawn for long, and is served again", mine: gateway.RulesAll, below: gateway.RulesAll, fact: gateway.RulesAll, rules: rules},
		{name: "it was withdrawn for long, is served again, and one below is behind", mine: gateway.RulesAll, below: "", rules: former},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := platform.NewMemory(time.Now)
			if test.below != "none" {
				hold(t, memory, claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-b", Name: "other"}, "/a/b", map[string]string{gateway.FactRules: test.below})
			}
			d := descent{store: claim.Store{Client: memory}, host: host, owner: claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "shop"}, last: test.last, now: now, settled: test.settled}
			p := &path{spec: v1alpha1.Path{Path: "/a", Type: v1alpha1.Prefix}, parsed: httppath.Path{Value: "/a", Key: "/a"}, rules: rules}
			var mine *claim.Claim
			if test.mine != "none" {
				mine = &claim.Claim{Resource: claim.Path(host, "/a"), Facts: map[string]string{gateway.FactRules: test.mine}}
			}
			facts := map[string]string{}
			if err := d.settle(t.Context(), p, mine, facts); err != nil {
				t.Fatal(err)
			}
			if facts[gateway.FactRules] != test.fact || !reflect.DeepEqual(p.rules, test.rules) || (p.behind != "") != reflect.DeepEqual(test.rules, former) {
				t.Errorf("its fact is %q, want %q; its rules are %v, behind %q", facts[gateway.FactRules], test.fact, p.rules, p.behind)
			}
		})
	}
}
