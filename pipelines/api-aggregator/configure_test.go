package apiaggregator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const platformDir = "../../testdata/platform"

var publicAPI = identity.Request{Kind: platform.ApiAggregator.Kind, Namespace: "platform", Name: "public-api"}

// onPlatform is a run for the aggregator of a copy of testdata/platform.
func onPlatform(t *testing.T) *workflow.Run {
	t.Helper()
	memory := platformtest.Load(t, platformDir, now)
	run := &workflow.Run{Promise: promise, Identity: publicAPI, Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler)}
	var err error
	if run.Request, err = memory.Get(t.Context(), platform.ApiAggregator, "platform", "public-api"); err == nil {
		run.Config, err = config.Load(t.Context(), memory)
	}
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// addTarget stores a target of an aggregator that saw terms in its last run.
func addTarget(t *testing.T, client platform.Client, namespace, name string, ref map[string]any, terms string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"aggregatorRef": ref}}}
	o.SetGroupVersionKind(platform.ApiAggregatorTarget.GroupVersionKind)
	o.SetNamespace(namespace)
	o.SetName(name)
	created, err := client.Create(t.Context(), platform.ApiAggregatorTarget, o)
	if err == nil {
		created.Object["status"] = map[string]any{"aggregatorTerms": terms}
		created, err = client.UpdateStatus(t.Context(), platform.ApiAggregatorTarget, created)
	}
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// populate adds targets to the platform: two that the aggregator concerns, one that has
// seen its terms, others of other aggregators, and one that is gone and has a path that
// another one waits for.
func populate(t *testing.T, run *workflow.Run) {
	t.Helper()
	a, err := v1alpha1.Read(run.Request)
	if err != nil {
		t.Fatal(err)
	}
	seen := gateway.TermsFor(a, "team-b", []string{"eu-1", "us-1"}).Digest()
	here := map[string]any{"name": "public-api", "namespace": "platform"}
	addTarget(t, run.Platform, "team-a", "shop", here, "other")
	addTarget(t, run.Platform, "team-b", "shop", here, seen)
	waiter := addTarget(t, run.Platform, "team-c", "shop", here, gateway.TermsFor(a, "team-c", []string{"eu-1", "us-1"}).Digest())
	addTarget(t, run.Platform, "team-d", "shop", map[string]any{"name": "public-api"}, "other")
	addTarget(t, run.Platform, "platform", "shop", map[string]any{"name": "public-api"}, "other") // the namespace is its own
	addTarget(t, run.Platform, "team-e", "shop", map[string]any{"name": "other", "namespace": "platform"}, "other")
	b := claims(run)
	gone := claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "gone", UID: "1"}
	path := claim.Path("api.example.com", "/gone")
	if _, err := b.Acquire(t.Context(), path, gone, map[string]string{"type": "Prefix"}); err != nil {
		t.Fatal(err)
	}
	create(t, run.Platform, platform.Work, "team-a", "gone", map[string]string{kratix.LabelPromise: "api-aggregator-target", kratix.LabelResource: "gone"})
	if _, err := b.Acquire(t.Context(), path, claim.OwnerOf(waiter), nil); err != nil {
		t.Fatal(err)
	}
	if err := run.Platform.Delete(t.Context(), platform.Work, "team-a", "gone", platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
}

// A run holds the host, frees what belongs to nobody any more, and asks those that this
// concerns: who has seen other terms, and who waits. Wherever it is interrupted, it
// comes to that when it is run again.
func TestConfigure(t *testing.T) {
	prepare := func(t *testing.T) *workflow.Run {
		run := onPlatform(t)
		populate(t, run)
		return run
	}
	run := func(ctx context.Context, run *workflow.Run) error {
		result, err := configure(ctx, run)
		if err == nil && (!result.Ready || len(result.Output.Destinations()) != 2) {
			err = errors.New(result.Message)
		}
		return err
	}
	workflowtest.Interrupted(t, prepare, run, func(t *testing.T, memory platform.Client) {
		if got, want := workflowtest.Notified(t, memory, platform.ApiAggregatorTarget), "platform/shop, team-a/shop, team-c/shop"; got != want {
			t.Errorf("it asks %s, want %s", got, want)
		}
	})
}

// A deletion releases the host, and asks who waits for it and who loses it.
func TestRemove(t *testing.T) {
	prepare := func(t *testing.T) *workflow.Run {
		run := onPlatform(t)
		populate(t, run)
		waiter := create(t, run.Platform, platform.ApiAggregator, "team-x", "waiter", nil)
		for _, o := range []*unstructured.Unstructured{run.Request, waiter} {
			if _, err := claims(run).Acquire(t.Context(), claim.Host("api.example.com"), claim.OwnerOf(o), nil); err != nil {
				t.Fatal(err)
			}
		}
		return run
	}
	workflowtest.Interrupted(t, prepare, remove, func(t *testing.T, memory platform.Client) {
		for kind, want := range map[platform.Kind]string{
			platform.ApiAggregatorTarget: "platform/shop, team-a/shop, team-b/shop, team-c/shop", platform.ApiAggregator: "team-x/waiter",
		} {
			if got := workflowtest.Notified(t, memory, kind); got != want {
				t.Errorf("it asks %s, want %s", got, want)
			}
		}
	})
}

// A run that has to refuse the aggregator says why, and leaves its targets alone; but
// what is nobody's any more is free, whatever the platform team's overlays are like.
func TestConfigureRefuses(t *testing.T) {
	for _, test := range []struct {
		name         string
		change       func(*testing.T, *workflow.Run)
		reason, says string
		asks         string
	}{
		{"its spec is wrong", func(_ *testing.T, run *workflow.Run) {
			run.Request.Object["spec"].(map[string]any)["hostname"] = "API"
		}, "InvalidSpec", "spec.hostname", ""},
		{"another has the host", func(t *testing.T, run *workflow.Run) {
			other := create(t, run.Platform, platform.ApiAggregator, "team-x", "thief", nil)
			former := claim.OwnerOf(run.Request)
			if _, err := claims(run).Release(t.Context(), claim.Host("api.example.com"), former, false); err != nil {
				t.Fatal(err)
			}
			c, err := claims(run).Get(t.Context(), claim.Host("api.example.com"))
			if err == nil {
				if _, err = claims(run).Free(t.Context(), *c); err == nil {
					_, err = claims(run).Acquire(t.Context(), claim.Host("api.example.com"), claim.OwnerOf(other), nil)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "HostConflict", "the host api.example.com belongs to ApiAggregator team-x/thief: choose another host, or delete that one", ""},
		{"an overlay fails", func(t *testing.T, run *workflow.Run) {
			o := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"a.yaml": "kind: [a]\n"}}}
			o.SetGroupVersionKind(platform.ConfigMap.GroupVersionKind)
			o.SetNamespace("baleen-system")
			o.SetName("api-aggregator-overlays")
			if _, err := run.Platform.Create(t.Context(), platform.ConfigMap, o); err != nil {
				t.Fatal(err)
			}
		}, "RenderFailed", "the overlays of the platform team do not apply", "team-c/shop"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t)
			populate(t, run)
			test.change(t, run)
			_, err := configure(t.Context(), run)
			var failure *workflow.Failure
			if !errors.As(err, &failure) || string(failure.Reason) != test.reason || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %s: %s", err, test.reason, test.says)
			}
			if got := workflowtest.Notified(t, run.Platform, platform.ApiAggregatorTarget); got != test.asks {
				t.Errorf("it asks %s", got)
			}
		})
	}
}

// The whole status, by what is published and where.
func TestReport(t *testing.T) {
	shop := claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "shop"}
	cart := claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-b", Name: "cart"}
	held := func(path string, owner claim.Owner) claim.Claim {
		return claim.Claim{Resource: claim.Path("api.example.com", path), Owner: owner, State: claim.Held, Facts: map[string]string{"type": "Prefix"}}
	}
	row := func(path, owner string) v1alpha1.PublishedPath {
		return v1alpha1.PublishedPath{Path: path, Type: "Prefix", Owner: owner}
	}
	many := make([]claim.Claim, 0, 101)
	rows := make([]v1alpha1.PublishedPath, 0, 101)
	for i := range 101 {
		path := fmt.Sprintf("/%03d", i)
		many, rows = append(many, held(path, shop)), append(rows, row(path, "team-a/shop"))
	}
	for _, test := range []struct {
		name                 string
		claims               []claim.Claim
		placed, unregistered []string
		overrides            []string
		ready                bool
		reason, message      string
		paths                []v1alpha1.PublishedPath
		count                int
	}{
		{name: "nothing", placed: []string{"eu-1"}, ready: true, reason: "Published", message: "is served on 1 cluster and publishes 0 paths", paths: []v1alpha1.PublishedPath{}},
		{name: "some paths, and one on its way out", placed: []string{"eu-1", "us-1"}, claims: []claim.Claim{held("/b", shop), {Resource: claim.Path("api.example.com", "/out"), Owner: shop, State: claim.Releasing}, held("/b", cart), held("/a", cart)},
			ready: true, reason: "Published", message: "is served on 2 clusters and publishes 3 paths", paths: []v1alpha1.PublishedPath{row("/a", "team-b/cart"), row("/b", "team-a/shop"), row("/b", "team-b/cart")}, count: 3},
		{name: "as many as are shown", placed: []string{"eu-1"}, claims: many[:100], ready: true, reason: "Published", message: "is served on 1 cluster and publishes 100 paths", paths: rows[:100], count: 100},
		{name: "more than are shown", placed: []string{"eu-1"}, claims: many, ready: true, reason: "Published", message: "is served on 1 cluster and publishes 101 paths", paths: rows[:100], count: 101},
		{name: "overrides for clusters where it is not", placed: []string{"eu-1"}, overrides: []string{"eu-1", "eu-2", "us-2"}, reason: "OverrideUnused", paths: []v1alpha1.PublishedPath{},
			message: "is served on 1 cluster and publishes 0 paths; spec.perDestination names eu-2, where the aggregator is not: correct the name or the placement; spec.perDestination names us-2, where the aggregator is not: correct the name or the placement"},
		{name: "a cluster is not registered", placed: []string{"eu-1"}, unregistered: []string{"ap-1"}, reason: "DestinationNotRegistered", paths: []v1alpha1.PublishedPath{},
			message: "is served on 1 cluster and publishes 0 paths; nothing new can be sent to ap-1: register it with `baleen clusters trust ap-1`"},
		{name: "no cluster, and an override", overrides: []string{"eu-1"}, reason: "NoDestination", paths: []v1alpha1.PublishedPath{},
			message: "is served on 0 clusters and publishes 0 paths; spec.perDestination names eu-1, where the aggregator is not: correct the name or the placement; no Destination matches spec.placement, so no cluster is served: change it, or label a Destination"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := inputs{aggregator: &v1alpha1.ApiAggregator{}, placement: destination.Placement{Placed: test.placed, Unregistered: test.unregistered}}
			in.aggregator.Spec.Hostname = "api.example.com"
			for _, name := range test.overrides {
				in.aggregator.Spec.PerDestination = append(in.aggregator.Spec.PerDestination, v1alpha1.DestinationOverride{Name: name})
			}
			output := destination.Output{"eu-1": {"a.yaml": nil}}
			want := workflow.Result{
				Placement: in.placement, Output: output, Ready: test.ready, Reason: reason.Reason(test.reason), Message: "https://api.example.com " + test.message,
				Status: map[string]any{"url": "https://api.example.com", "paths": test.paths, "pathCount": test.count},
			}
			if diff := gocmp.Diff(want, report(in, output, test.claims), cmpopts.IgnoreUnexported(destination.Placement{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What holds on one cluster is the spec with its own overrides, and nobody else's.
func TestSpecOn(t *testing.T) {
	yes, no := true, false
	issuer, secret := &v1alpha1.TLS{ClusterIssuer: "a"}, &v1alpha1.TLS{SecretName: "b"}
	target := &v1alpha1.DNSOverride{Target: "lb.eu"}
	for _, test := range []struct {
		name     string
		dns      *v1alpha1.DNS
		override v1alpha1.DestinationOverride
		tls      *v1alpha1.TLS
		want     *v1alpha1.DNS
	}{
		{"nothing", nil, v1alpha1.DestinationOverride{Name: "eu-1"}, issuer, nil},
		{"of another cluster", nil, v1alpha1.DestinationOverride{Name: "us-1", TLS: secret, DNS: target}, issuer, nil},
		{"a certificate", &v1alpha1.DNS{Enabled: &yes, Target: "lb"}, v1alpha1.DestinationOverride{Name: "eu-1", TLS: secret}, secret, &v1alpha1.DNS{Enabled: &yes, Target: "lb"}},
		{"a target in place of another", &v1alpha1.DNS{Enabled: &yes, Target: "lb"}, v1alpha1.DestinationOverride{Name: "eu-1", DNS: target}, issuer, &v1alpha1.DNS{Enabled: &yes, Target: "lb.eu"}},
		{"a target where there is none", nil, v1alpha1.DestinationOverride{Name: "eu-1", DNS: target}, issuer, &v1alpha1.DNS{Enabled: &yes, Target: "lb.eu"}},
		{"a target of what is not published", &v1alpha1.DNS{Enabled: &no}, v1alpha1.DestinationOverride{Name: "eu-1", DNS: target}, issuer, &v1alpha1.DNS{Enabled: &no, Target: "lb.eu"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := v1alpha1.ApiAggregatorSpec{Hostname: "api.example.com", TLS: issuer, DNS: test.dns, PerDestination: []v1alpha1.DestinationOverride{{Name: "first"}, test.override}}
			before := fmt.Sprintf("%+v", test.dns)
			got := specOn("eu-1", spec)
			if diff := gocmp.Diff(test.tls, got.TLS); diff != "" {
				t.Errorf("the certificate: %s", diff)
			}
			if diff := gocmp.Diff(test.want, got.DNS); diff != "" {
				t.Errorf("the DNS: %s", diff)
			}
			if after := fmt.Sprintf("%+v", spec.DNS); after != before {
				t.Errorf("what other clusters have becomes %s", after)
			}
		})
	}
}

// All that a template gets, by what the aggregator asks for.
func TestValues(t *testing.T) {
	yes, no := true, false
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	gatewayOf := func(change map[string]any) map[string]any {
		all := map[string]any{
			"exists": false, "name": publicAPI.ObjectName(), "namespace": "gateways", "className": "traefik", "clusterIssuer": "letsencrypt", "secretName": "",
			"allowedRoutes": map[string]any{"namespaces": "All"}, "listeners": map[string]any{"https": "https", "http": "http"},
			"ports": map[string]any{"https": int32(443), "http": int32(80)}, "annotations": map[string]string{},
		}
		maps.Copy(all, change)
		return all
	}
	for _, test := range []struct {
		name     string
		change   func(*v1alpha1.ApiAggregatorSpec)
		gateway  map[string]any
		redirect map[string]any
	}{
		{"as little as can be", func(*v1alpha1.ApiAggregatorSpec) {}, nil, nil},
		{"a Gateway that exists", func(s *v1alpha1.ApiAggregatorSpec) {
			s.Gateway = v1alpha1.Gateway{Name: "shared", Namespace: "infra", Listeners: &v1alpha1.Listeners{HTTPS: "a", HTTP: "b"}}
			s.TLS = nil
		}, map[string]any{"exists": true, "name": "shared", "namespace": "infra", "className": "", "clusterIssuer": "", "listeners": map[string]any{"https": "a", "http": "b"}}, nil},
		{"a certificate of one's own", func(s *v1alpha1.ApiAggregatorSpec) { s.TLS = &v1alpha1.TLS{SecretName: "certificate"} }, map[string]any{"clusterIssuer": "", "secretName": "certificate"}, nil},
		{"other ports", func(s *v1alpha1.ApiAggregatorSpec) { s.Gateway.Ports = &v1alpha1.Ports{HTTPS: 8443, HTTP: 8080} }, map[string]any{"ports": map[string]any{"https": int32(8443), "http": int32(8080)}}, map[string]any{"port": int32(8443)}},
		{"other ports of Traefik's entry points", func(s *v1alpha1.ApiAggregatorSpec) {
			s.Gateway.Ports, s.Gateway.Implementation = &v1alpha1.Ports{HTTPS: 8443, HTTP: 8080}, v1alpha1.Traefik
		}, map[string]any{"ports": map[string]any{"https": int32(8443), "http": int32(8080)}}, nil},
		{"another namespace for what closes", func(s *v1alpha1.ApiAggregatorSpec) { s.Gateway.ClosingNamespace = "closed" }, nil, nil},
		{"routes of all namespaces", func(s *v1alpha1.ApiAggregatorSpec) {
			s.Gateway.AllowedRoutes = &v1alpha1.AllowedRoutes{From: "All"}
		}, nil, nil},
		{"routes of some namespaces", func(s *v1alpha1.ApiAggregatorSpec) {
			s.Gateway.AllowedRoutes = &v1alpha1.AllowedRoutes{From: "Selector", Selector: selector}
		}, map[string]any{"allowedRoutes": map[string]any{"namespaces": "Selector", "selector": selector}}, nil},
		{"a target", func(s *v1alpha1.ApiAggregatorSpec) { s.DNS = &v1alpha1.DNS{Enabled: &yes, Target: "lb"} }, map[string]any{"annotations": gateway.DNSTarget("lb")}, nil},
		{"published without a target", func(s *v1alpha1.ApiAggregatorSpec) { s.DNS = &v1alpha1.DNS{Enabled: &yes} }, nil, nil},
		{"not published", func(s *v1alpha1.ApiAggregatorSpec) { s.DNS = &v1alpha1.DNS{Enabled: &no, Target: "lb"} }, nil, map[string]any{"annotations": gateway.DNSIgnore()}},
		{"no redirect", func(s *v1alpha1.ApiAggregatorSpec) { s.HTTPRedirect = &no }, nil, map[string]any{"enabled": false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &v1alpha1.ApiAggregator{}
			a.Namespace, a.Name = "platform", "public-api"
			a.Spec = v1alpha1.ApiAggregatorSpec{
				Hostname: "api.example.com", TLS: &v1alpha1.TLS{ClusterIssuer: "letsencrypt"}, HTTPRedirect: &yes, Gateway: v1alpha1.Gateway{Namespace: "gateways", ClassName: "traefik"},
			}
			test.change(&a.Spec)
			redirect := map[string]any{
				"enabled": true, "name": publicAPI.ObjectName("redirect"), "annotations": map[string]string{}, "port": int32(0), "kept": "/.well-known/acme-challenge",
			}
			maps.Copy(redirect, test.redirect)
			want := map[string]any{
				"destination": "eu-1", "hostname": "api.example.com", "implementation": a.Spec.Gateway.Implementation, "gateway": gatewayOf(test.gateway), "redirect": redirect,
				"closing": map[string]any{
					"namespace": cmp.Or(a.Spec.Gateway.ClosingNamespace, a.Spec.Gateway.Namespace), "refusal": publicAPI.ObjectName("refusal"), "routes": []any{}, "annotations": gateway.DNSIgnore(),
				},
				"labels": publicAPI.Labels(), "annotations": publicAPI.Annotations(),
			}
			if diff := gocmp.Diff(want, values(&workflow.Run{Identity: publicAPI}, a.Spec, a, nil, "eu-1")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A host that another aggregator is releasing is waited for, and taken over as soon
// as it is free.
func TestHoldHostWaits(t *testing.T) {
	for _, frees := range []bool{true, false} {
		t.Run(fmt.Sprintf("it becomes free: %t", frees), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := platform.NewMemory(func() time.Time { return now })
				other := create(t, memory, platform.ApiAggregator, "team-x", "former", nil)
				request := create(t, memory, platform.ApiAggregator, "platform", "public-api", nil)
				run := &workflow.Run{Platform: memory, Request: request, Identity: publicAPI, Now: now}
				host := claim.Host("api.example.com")
				if _, err := claims(run).Acquire(t.Context(), host, claim.OwnerOf(other), nil); err != nil {
					t.Fatal(err)
				}
				leaving, err := claims(run).Release(t.Context(), host, claim.OwnerOf(other), false)
				if err != nil {
					t.Fatal(err)
				}
				if frees {
					time.AfterFunc(7*time.Second, func() {
						if _, err := claims(run).Free(t.Context(), leaving); err != nil {
							t.Error(err)
						}
					})
				}
				begin := time.Now()
				a := &v1alpha1.ApiAggregator{}
				a.Spec.Hostname = "api.example.com"
				err = holdHost(t.Context(), run, a)
				var failure *workflow.Failure
				if errors.As(err, &failure); (err == nil) != frees || failure != nil && failure.Reason != "HostConflict" {
					t.Errorf("it says %v", err)
				}
				if waited := time.Since(begin); waited != map[bool]time.Duration{true: 10 * time.Second, false: time.Minute}[frees] { // by the clock of the bubble
					t.Errorf("it waits for %s", waited)
				}
			})
		})
	}
}
