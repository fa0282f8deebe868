package apiaggregatortarget

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const (
	platformDir = "../../testdata/platform"
	host        = "api.example.com"
	goodTarget  = `{aggregatorRef: {name: public-api, namespace: platform}, backends: [{service: shop, port: 80}], paths: [{path: /shop}, {path: /cart}]}`
)

var (
	now  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	shop = identity.Request{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "shop"}
)

// add stores a target.
func add(t *testing.T, client platform.Client, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal([]byte("spec: "+spec), &o.Object); err != nil {
		t.Fatal(err)
	}
	o.SetGroupVersionKind(platform.ApiAggregatorTarget.GroupVersionKind)
	o.SetNamespace(namespace)
	o.SetName(name)
	created, err := client.Create(t.Context(), platform.ApiAggregatorTarget, o)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// onPlatform is a run for team-a/shop with a spec, on a copy of testdata/platform.
func onPlatform(t *testing.T, spec string) *workflow.Run {
	t.Helper()
	memory := platformtest.Load(t, platformDir, now)
	run := &workflow.Run{Promise: promise, Identity: shop, Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler)}
	run.Request = add(t, memory, "team-a", "shop", spec)
	var err error
	if run.Config, err = config.Load(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	return run
}

// publicAPI changes the aggregator.
func publicAPI(t *testing.T, client platform.Client, change func(*unstructured.Unstructured)) {
	t.Helper()
	o, err := client.Get(t.Context(), platform.ApiAggregator, "platform", "public-api")
	if err == nil {
		change(o)
		_, err = client.Update(t.Context(), platform.ApiAggregator, o)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hold has a target hold a path of a type.
func hold(t *testing.T, client platform.Client, owner claim.Owner, key string, facts map[string]string) {
	t.Helper()
	b := claim.Store{Client: client, Kinds: []claim.Kind{{Kind: platform.ApiAggregatorTarget, Promise: promise}}}
	if _, err := b.Acquire(t.Context(), claim.Path(host, key), owner, facts); err != nil {
		t.Fatal(err)
	}
}

// What keeps a target from being published at all, and what of its aggregator's terms
// the status tells then.
func TestGather(t *testing.T) {
	nothing := func(*testing.T, *workflow.Run) {}
	spec := func(change func(spec map[string]any)) func(*testing.T, *workflow.Run) {
		return func(t *testing.T, run *workflow.Run) {
			publicAPI(t, run.Platform, func(o *unstructured.Unstructured) { change(o.Object["spec"].(map[string]any)) })
		}
	}
	for _, test := range []struct {
		name         string
		spec         string
		change       func(*testing.T, *workflow.Run)
		reason, says string
		seen, terms  bool // the status has the key, and a digest under it
	}{
		{name: "all is well", spec: goodTarget, change: nothing, seen: true, terms: true},
		{name: "its spec is wrong", spec: `{paths: []}`, change: nothing, reason: "InvalidSpec", says: "spec.aggregatorRef.name is missing"},
		{name: "it may not act there", spec: strings.Replace(goodTarget, "{", "{workloadNamespace: other, ", 1), change: nothing, reason: "NamespaceNotMapped", says: "may not act on the workload namespace other"},
		{name: "there is no such aggregator", spec: strings.Replace(goodTarget, "public-api", "nothing", 1), change: nothing, reason: "AggregatorNotFound", seen: true,
			says: "there is no ApiAggregator platform/nothing: create it, or correct spec.aggregatorRef"},
		{name: "there is none in its own namespace", spec: strings.Replace(goodTarget, ", namespace: platform", "", 1), change: nothing, reason: "AggregatorNotFound", seen: true,
			says: "there is no ApiAggregator team-a/public-api: create it, or correct spec.aggregatorRef"},
		{name: "the aggregator goes", spec: goodTarget, change: func(t *testing.T, run *workflow.Run) {
			publicAPI(t, run.Platform, func(o *unstructured.Unstructured) { o.SetFinalizers([]string{"kratix.io/workflows"}) })
			if err := run.Platform.Delete(t.Context(), platform.ApiAggregator, "platform", "public-api", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
		}, reason: "AggregatorNotFound", seen: true, says: "ApiAggregator platform/public-api is being deleted: move this target to another one"},
		{name: "the aggregator's spec is wrong", spec: goodTarget, change: spec(func(s map[string]any) { s["hostname"] = "API" }), reason: "AggregatorInvalid", seen: true, says: "ApiAggregator platform/public-api is not valid"},
		{name: "the aggregator does not have its host", spec: goodTarget, change: spec(func(s map[string]any) { s["hostname"] = "www.example.com" }), reason: "HostNotHeld", seen: true,
			says: "ApiAggregator platform/public-api does not hold the host www.example.com (yet): see its status; when it does, this target is asked to reconcile"},
		{name: "it is not admitted", spec: goodTarget, change: spec(func(s map[string]any) { s["allowedNamespaces"] = []any{"team-b"} }), reason: "NotAdmitted", seen: true, terms: true,
			says: "ApiAggregator platform/public-api does not admit targets of the namespace team-a: ask its owner to add the namespace to spec.allowedNamespaces"},
		{name: "an overlay is wrong", spec: goodTarget, change: func(t *testing.T, run *workflow.Run) { overlay(t, run.Platform, int64(5)) }, reason: "OverlayFailed", seen: true, terms: true, says: "data that is not text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, test.spec)
			test.change(t, run)
			in, err := gather(t.Context(), run)
			var failure *workflow.Failure
			if errors.As(err, &failure); (err != nil) != (test.reason != "") || failure != nil && string(failure.Reason) != test.reason || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %s: %s", err, test.reason, test.says)
			}
			if seen, is := in.seen[termsKey].(string); is != test.seen || (seen != "") != test.terms || seen != "" && seen != in.terms.Digest() {
				t.Errorf("the status has the terms %q: %t", seen, is)
			}
			result, failed := configure(t.Context(), run)
			if _, is := result.Status[termsKey].(string); is != test.seen || (failed != nil) != (err != nil) {
				t.Errorf("in the end it says %v, and the status has the terms: %t", failed, is)
			}
		})
	}
}

func overlay(t *testing.T, client platform.Client, content any) {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"a.yaml": content}}}
	o.SetGroupVersionKind(platform.ConfigMap.GroupVersionKind)
	o.SetNamespace("baleen-system")
	o.SetName("api-aggregator-target-overlays")
	if _, err := client.Create(t.Context(), platform.ConfigMap, o); err != nil {
		t.Fatal(err)
	}
}

// An error of a run that found what its aggregator offers keeps that in the status.
func TestConfigureSaysWhatItHasSeen(t *testing.T) {
	run := onPlatform(t, goodTarget)
	overlay(t, run.Platform, "kind: [a]\n")
	result, err := configure(t.Context(), run)
	var failure *workflow.Failure
	if seen, _ := result.Status[termsKey].(string); !errors.As(err, &failure) || failure.Reason != "RenderFailed" || seen == "" {
		t.Errorf("it says %v, and the status has the terms %q", err, seen)
	}
	run = onPlatform(t, goodTarget)
	counted := platformtest.At(run.Platform, 0, platformtest.Refused)
	run.Platform = counted
	if _, err := gather(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	run = onPlatform(t, goodTarget)
	run.Platform = platformtest.At(run.Platform, counted.Calls+1, platformtest.Refused) // the first of its claims
	result, err = configure(t.Context(), run)
	if seen, _ := result.Status[termsKey].(string); !platform.IsTransient(err) || seen == "" {
		t.Errorf("it says %v, and the status has the terms %q", err, seen)
	}
}

// A run has the paths that it may have, releases those that it does not want any more,
// and asks who waits for them. Wherever it is interrupted, it comes to that when it is
// run again.
func TestConfigure(t *testing.T) {
	workflowtest.Interrupted(t, func(t *testing.T) *workflow.Run {
		run := onPlatform(t, goodTarget)
		waiter, other := add(t, run.Platform, "team-b", "waiter", goodTarget), add(t, run.Platform, "team-b", "shop", goodTarget)
		hold(t, run.Platform, claim.OwnerOf(run.Request), "/former", nil)
		hold(t, run.Platform, claim.OwnerOf(waiter), "/former", nil)
		hold(t, run.Platform, claim.OwnerOf(other), "/cart", nil)
		return run
	}, func(ctx context.Context, run *workflow.Run) error {
		result, err := configure(ctx, run)
		if err == nil && (result.Reason != "PathsRefused" || !slices.Equal(result.Output.Destinations(), []string{"eu-1", "us-1"}) || len(result.Output["eu-1"]) != 1) {
			err = errors.New(result.Message)
		}
		return err
	}, func(t *testing.T, memory platform.Client) {
		if got := workflowtest.Notified(t, memory, platform.ApiAggregatorTarget); got != "team-b/waiter" {
			t.Errorf("it asks %s", got)
		}
	})
}

// A deletion releases all that its request has, ends its configure runs, and asks who
// waits: not what belongs to its namesake.
func TestRelease(t *testing.T) {
	workflowtest.Interrupted(t, func(t *testing.T) *workflow.Run {
		run := onPlatform(t, goodTarget)
		waiter, other := add(t, run.Platform, "team-b", "waiter", goodTarget), add(t, run.Platform, "team-b", "shop", goodTarget)
		hold(t, run.Platform, claim.OwnerOf(run.Request), "/shop", nil)
		hold(t, run.Platform, claim.OwnerOf(waiter), "/shop", nil)
		hold(t, run.Platform, claim.OwnerOf(other), "/cart", nil)
		job := &unstructured.Unstructured{}
		job.SetGroupVersionKind(platform.Job.GroupVersionKind)
		job.SetNamespace("team-a")
		job.SetName("configure")
		job.SetLabels(map[string]string{kratix.LabelPromise: promise, kratix.LabelResource: "shop", kratix.LabelAction: string(kratix.Configure)})
		if _, err := run.Platform.Create(t.Context(), platform.Job, job); err != nil {
			t.Fatal(err)
		}
		return run
	}, release, func(t *testing.T, memory platform.Client) {
		b := claim.Store{Client: memory}
		states := map[string]claim.State{}
		for _, key := range []string{"/shop", "/cart"} {
			c, err := b.Get(t.Context(), claim.Path(host, key))
			if err != nil {
				t.Fatal(err)
			}
			states[key] = c.State
		}
		if want := map[string]claim.State{"/shop": claim.Releasing, "/cart": claim.Held}; !maps.Equal(states, want) {
			t.Errorf("the claims are %v, want %v", states, want)
		}
		if got := workflowtest.Notified(t, memory, platform.ApiAggregatorTarget); got != "team-b/waiter" {
			t.Errorf("it asks %s", got)
		}
	})
}

// What becomes of each path, by whose it is, what it lies in, and what was decided of it
// before.
func TestClaimPaths(t *testing.T) {
	mine := claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "other"}
	theirs := claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-b", Name: "shop"}
	prefix, open, exact := map[string]string{"type": "Prefix", "allowNested": "false"}, map[string]string{"type": "Prefix", "allowNested": "true"}, map[string]string{"type": "Exact", "allowNested": "false"}
	const nested = "it lies below /a, which belongs to team-b/shop: ask its owner for allowNested, or the aggregator's owner for a delegation"
	for _, test := range []struct {
		name      string
		key       string
		delegated map[string]bool
		claims    map[string]claim.Owner // by path
		facts     map[string]string      // of those
		own       bool                   // the path is this request's already
		refused   v1alpha1.PathState     // before
		releasing bool                   // the claims are on their way out
		gone      bool                   // their owners are, without a word
		freed     bool                   // somebody waits for them, who was not asked yet
		state     v1alpha1.PathState
		message   string
		held      bool
	}{
		{name: "it is free", key: "/a", state: v1alpha1.Accepted, held: true},
		{name: "it has it", key: "/a", own: true, state: v1alpha1.Accepted, held: true},
		{name: "another has it", key: "/a", claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, state: v1alpha1.PathConflict,
			message: "it belongs to team-b/shop: choose another path, or ask its owner; it is taken over by itself should it become free"},
		{name: "another releases it", key: "/a", claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, releasing: true, state: v1alpha1.PathConflict,
			message: "team-b/shop is releasing it: it is taken over by itself as soon as it is free"},
		{name: "another has it, and is gone", key: "/a", claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, gone: true, state: v1alpha1.PathConflict,
			message: "it belonged to team-b/shop, which is gone: ApiAggregator platform/public-api was notified and frees it, and it is taken over by itself then"},
		{name: "another was releasing it, and is gone", key: "/a", claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, releasing: true, gone: true, state: v1alpha1.PathConflict,
			message: "it belonged to team-b/shop, which is gone: ApiAggregator platform/public-api was notified and frees it, and it is taken over by itself then"},
		{name: "one of its own namespace has it, and is gone", key: "/a", claims: map[string]claim.Owner{"/a": mine}, facts: prefix, gone: true, state: v1alpha1.Accepted, held: true},
		{name: "it is refused, and its own", key: "/a", own: true, refused: v1alpha1.NotDelegated, state: v1alpha1.NotDelegated, message: "refused", held: true},
		{name: "it is refused, and nobody's", key: "/a", refused: v1alpha1.NotDelegated, state: v1alpha1.NotDelegated, message: "refused"},
		{name: "it is refused, and another's", key: "/a", refused: v1alpha1.NotDelegated, claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, state: v1alpha1.NotDelegated, message: "refused"},
		{name: "it lies in another's", key: "/a/b/c", claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, state: v1alpha1.NestedInForeignPrefix, message: nested},
		{name: "it lies in another's that is on its way out", key: "/a/b/c", claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, releasing: true, state: v1alpha1.NestedInForeignPrefix, message: nested},
		{name: "it lies in another's, and is its own", key: "/a/b", own: true, claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, state: v1alpha1.Accepted, held: true},
		{name: "it lies in another's that is open", key: "/a/b", claims: map[string]claim.Owner{"/a": theirs}, facts: open, state: v1alpha1.Accepted, held: true},
		{name: "it lies below an exact path", key: "/a/b", claims: map[string]claim.Owner{"/a": theirs}, facts: exact, state: v1alpha1.Accepted, held: true},
		{name: "it lies in one of its own namespace", key: "/a/b", claims: map[string]claim.Owner{"/a": mine}, facts: prefix, state: v1alpha1.Accepted, held: true},
		{name: "it was released", key: "/a/b", claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, freed: true, state: v1alpha1.Accepted, held: true},
		{name: "another has /", key: "/a/b", claims: map[string]claim.Owner{"/": theirs}, facts: prefix, state: v1alpha1.Accepted, held: true},
		{name: "it is / itself", key: "/", state: v1alpha1.Accepted, held: true},
		{name: "it lies beside another's", key: "/ab/c", claims: map[string]claim.Owner{"/a": theirs, "/ab/cd": theirs}, facts: prefix, state: v1alpha1.Accepted, held: true},
		{name: "it is delegated below another's", key: "/a/b/c", delegated: map[string]bool{"/a/b": true}, claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, state: v1alpha1.Accepted, held: true},
		{name: "another's is delegated to both", key: "/a/b", delegated: map[string]bool{"/a": true}, claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, state: v1alpha1.Accepted, held: true},
		{name: "it lies in another's within what is delegated", key: "/a/b/c", delegated: map[string]bool{"/": true}, claims: map[string]claim.Owner{"/a/b": theirs}, facts: prefix, state: v1alpha1.NestedInForeignPrefix,
			message: strings.Replace(nested, "/a,", "/a/b,", 1)},
		{name: "it is delegated to others", key: "/a/b", delegated: map[string]bool{"/a": false}, refused: v1alpha1.NotDelegated, claims: map[string]claim.Owner{"/a": theirs}, facts: prefix, state: v1alpha1.NotDelegated, message: "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run := onPlatform(t, goodTarget)
				for _, owner := range []claim.Owner{mine, theirs} {
					add(t, run.Platform, owner.Namespace, owner.Name, goodTarget)
				}
				for key, owner := range test.claims {
					hold(t, run.Platform, owner, key, test.facts)
					if test.releasing {
						if _, err := claims(run).Release(t.Context(), claim.Path(host, key), owner, false); err != nil {
							t.Fatal(err)
						}
					}
				}
				if test.gone {
					for _, owner := range test.claims {
						if err := run.Platform.Delete(t.Context(), platform.ApiAggregatorTarget, owner.Namespace, owner.Name, platform.Preconditions{}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if test.freed {
					waiter := theirs
					waiter.Name = "waiter"
					hold(t, run.Platform, waiter, "/a", prefix)
					c, err := claims(run).Get(t.Context(), claim.Path(host, "/a"))
					if err == nil {
						_, err = claims(run).Free(t.Context(), *c)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if test.own {
					hold(t, run.Platform, claim.OwnerOf(run.Request), test.key, map[string]string{"type": "Prefix", "allowNested": "true"})
				}
				in := inputs{target: &v1alpha1.ApiAggregatorTarget{}, terms: gateway.Terms{Hostname: host, Delegations: test.delegated}}
				in.target.Namespace = "team-a"
				in.target.Spec.AggregatorRef = v1alpha1.AggregatorRef{Namespace: "platform", Name: "public-api"}
				parsed, err := httppath.Parse(test.key)
				if err != nil {
					t.Fatal(err)
				}
				p := path{spec: v1alpha1.Path{Path: test.key, Type: v1alpha1.Prefix}, parsed: parsed, state: v1alpha1.Accepted}
				if test.refused != "" {
					p.state, p.message = test.refused, "refused"
				}
				paths := []path{p}
				if err := claimPaths(t.Context(), run, in, paths); err != nil {
					t.Fatal(err)
				}
				if got := paths[0]; got.state != test.state || got.message != test.message || got.held != test.held {
					t.Errorf("it is %s, held: %t: %s, want %s, %t: %s", got.state, got.held, got.message, test.state, test.held, test.message)
				}
				want := ""
				if test.gone && !test.held {
					want = "platform/public-api"
				}
				if got := workflowtest.Notified(t, run.Platform, platform.ApiAggregator); got != want {
					t.Errorf("it asks %q, want %q", got, want)
				}
				c, err := claims(run).Get(t.Context(), claim.Path(host, test.key))
				if err != nil {
					t.Fatal(err)
				}
				if has := c != nil && c.Owner == claim.OwnerOf(run.Request); has != test.held {
					t.Errorf("its claim is %+v", c)
				}
				told := map[string]string{"type": "Prefix", "allowNested": "false"}
				if test.refused != "" && test.own { // as it was accepted
					told["allowNested"] = "true"
				}
				if test.held && !maps.Equal(c.Facts, told) {
					t.Errorf("others are told %v, want %v", c.Facts, told)
				}
			})
		})
	}
}

// A path that is not wanted any more is kept as long as the request's own output has it,
// under its own host.
func TestClaimPathsReleases(t *testing.T) {
	document := func(host, path string) []byte {
		return fmt.Appendf(nil, "metadata: {annotations: {%s: %s, %s: %s}}\n", hostAnnotation, host, pathAnnotation, path)
	}
	for _, test := range []struct {
		name string
		last destination.Output
		free bool
	}{
		{"it is served", destination.Output{"eu-1": {"a.yaml": document(host, "/other")}, "us-1": {"a.yaml": document(host, "/former")}}, false},
		{"another path is served", destination.Output{"eu-1": {"a.yaml": document(host, "/other")}}, true},
		{"it is served under another host", destination.Output{"eu-1": {"a.yaml": document("www.example.com", "/former")}}, true},
		{"nothing is", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, goodTarget)
			run.Last = test.last
			former := claim.Path(host, "/former")
			hold(t, run.Platform, claim.OwnerOf(run.Request), "/former", nil)
			in := inputs{target: &v1alpha1.ApiAggregatorTarget{}, terms: gateway.Terms{Hostname: host}}
			for range 2 { // the first marks it
				if err := claimPaths(t.Context(), run, in, nil); err != nil {
					t.Fatal(err)
				}
			}
			if c, err := claims(run).Get(t.Context(), former); err != nil || (c == nil) != test.free {
				t.Errorf("its claim is %+v: %v", c, err)
			}
		})
	}
}

// The prefixes above several paths are looked up once.
func TestAncestorsAreLookedUpOnce(t *testing.T) {
	run := onPlatform(t, goodTarget)
	counted := platformtest.At(run.Platform, 0, platformtest.Refused)
	a := ancestry{store: claim.Store{Client: counted}, host: host, seen: map[string]*claim.Claim{}}
	in := inputs{target: &v1alpha1.ApiAggregatorTarget{}}
	for _, key := range []string{"/a/b/c", "/a/b/d", "/a/e", "/a", "/"} {
		if refusal, err := a.refuse(t.Context(), key, in); refusal != "" || err != nil {
			t.Errorf("%s: %s, %v", key, refusal, err)
		}
	}
	if counted.Calls != 2 { // of /a/b and /a
		t.Errorf("it makes %d requests", counted.Calls)
	}
	a.store = claim.Store{Client: platformtest.At(run.Platform, 1, platformtest.Refused)}
	if _, err := a.refuse(t.Context(), "/x/y", in); !platform.IsTransient(err) {
		t.Errorf("while the platform is away it says %v", err)
	}
}

// What lies above a path, up to /, which is above itself.
func TestParent(t *testing.T) {
	for key, want := range map[string]string{"/a/b/c": "/a/b", "/a": "/", "/": "/", "": "/"} {
		if got := parent(key); got != want {
			t.Errorf("above %q is %q, want %q", key, got, want)
		}
	}
}

// The first rule that refuses a path decides, and says what its owner can do.
func TestPlan(t *testing.T) {
	for _, test := range []struct {
		name    string
		terms   gateway.Terms
		change  func(*v1alpha1.ApiAggregatorTargetSpec)
		state   v1alpha1.PathState
		message string
		limit   string
	}{
		{"all is well", gateway.Terms{Implementation: aggregator.Traefik}, func(*v1alpha1.ApiAggregatorTargetSpec) {}, v1alpha1.Accepted, "", ""},
		{"a limit", gateway.Terms{Implementation: aggregator.Traefik, MaxBody: "1Mi"}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Paths[0].MaxRequestBodySize = "1Mi" }, v1alpha1.Accepted, "", "1048576"},
		{"a limit by default", gateway.Terms{Implementation: aggregator.Traefik, DefaultBody: "2Mi", MaxBody: "1Gi"}, func(*v1alpha1.ApiAggregatorTargetSpec) {}, v1alpha1.Accepted, "", "2097152"},
		{"a limit where nobody sets the most", gateway.Terms{Implementation: aggregator.Traefik}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Paths[0].MaxRequestBodySize = "1Gi" }, v1alpha1.Accepted, "", "1073741824"},
		{"a limit above the most", gateway.Terms{Implementation: aggregator.Traefik, MaxBody: "1Mi"}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Paths[0].MaxRequestBodySize = "2Mi" }, v1alpha1.BodyLimitAboveMaximum,
			"maxRequestBodySize 2Mi is above the aggregator's maximum of 1Mi: ask for less, or ask the aggregator's owner for more", ""},
		{"no limits", gateway.Terms{Implementation: aggregator.Standard}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Paths[0].MaxRequestBodySize = "1Gi" }, v1alpha1.UnsupportedByImplementation,
			"the implementation Standard has no limit for request bodies: leave out maxRequestBodySize", ""},
		{"delegated to it", gateway.Terms{Implementation: aggregator.Traefik, Delegations: map[string]bool{"/shop": true}}, func(*v1alpha1.ApiAggregatorTargetSpec) {}, v1alpha1.Accepted, "", ""},
		{"delegated to others", gateway.Terms{Implementation: aggregator.Traefik, Delegations: map[string]bool{"/shop": false}}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Timeout = "30s" }, v1alpha1.NotDelegated,
			"the aggregator delegates /shop to other namespaces than team-a: publish elsewhere, or ask the aggregator's owner for it", ""},
		{"a timeout", gateway.Terms{Implementation: aggregator.EnvoyGateway}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Timeout = "30s" }, v1alpha1.Accepted, "", ""},
		{"no timeouts", gateway.Terms{Implementation: aggregator.Traefik, MaxBody: "1Mi"}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Timeout, s.Paths[0].MaxRequestBodySize = "30s", "2Mi" }, v1alpha1.UnsupportedByImplementation,
			"Traefik does not honour timeouts: leave out spec.timeout", ""},
		{"a rewrite", gateway.Terms{Implementation: aggregator.NGINXGatewayFabric}, func(s *v1alpha1.ApiAggregatorTargetSpec) { s.Paths[0].RewritePrefix = "/$a" }, v1alpha1.UnsupportedByImplementation,
			"NGINXGatewayFabric cannot rewrite to a path with $: choose a rewritePrefix without it", ""},
		{"headers", gateway.Terms{Implementation: aggregator.EnvoyGateway}, func(s *v1alpha1.ApiAggregatorTargetSpec) {
			s.RequestHeaders = &v1alpha1.RequestHeaders{Set: map[string]v1alpha1.HeaderValue{"X-A": "a"}, Remove: []string{"X-B"}}
		}, v1alpha1.Accepted, "", ""},
		{"methods and a rewrite", gateway.Terms{Implementation: aggregator.NGINXGatewayFabric}, func(s *v1alpha1.ApiAggregatorTargetSpec) {
			s.Paths[0].Methods, s.Paths[0].RewritePrefix = []v1alpha1.Method{"GET"}, "/v1"
		}, v1alpha1.UnsupportedByImplementation, "NGINXGatewayFabric does not serve methods together with rewritePrefix: leave one of them out", ""},
		{"a header is set", gateway.Terms{Implementation: aggregator.EnvoyGateway}, func(s *v1alpha1.ApiAggregatorTargetSpec) {
			s.RequestHeaders = &v1alpha1.RequestHeaders{Set: map[string]v1alpha1.HeaderValue{"X-A": "a", "X-C": "%", "X-B": "%"}}
		}, v1alpha1.UnsupportedByImplementation, `spec.requestHeaders: EnvoyGateway cannot have % in the value of the header "X-B": leave it out`, ""},
		{"a header is removed", gateway.Terms{Implementation: aggregator.EnvoyGateway}, func(s *v1alpha1.ApiAggregatorTargetSpec) {
			s.RequestHeaders = &v1alpha1.RequestHeaders{Remove: []string{"X-A", "Host"}}
		}, v1alpha1.UnsupportedByImplementation, `spec.requestHeaders: EnvoyGateway cannot have a change of the header "Host": leave it out`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := &v1alpha1.ApiAggregatorTarget{}
			target.Namespace = "team-a"
			target.Spec.Paths = []v1alpha1.Path{{Path: "/shop", Type: v1alpha1.Prefix}}
			test.change(&target.Spec)
			got := plan(target, test.terms)[0]
			if got.state != test.state || got.message != test.message || got.limit != test.limit || got.parsed.Key != "/shop" {
				t.Errorf("it is %s, with the limit %q: %s, want %s, %q: %s", got.state, got.limit, got.message, test.state, test.limit, test.message)
			}
		})
	}
}

// The whole status, by what became of the paths.
func TestReport(t *testing.T) {
	accepted := path{spec: v1alpha1.Path{Path: "/a", Type: v1alpha1.Prefix}, state: v1alpha1.Accepted, parsed: httppath.Path{Value: "/a", Key: "/a"}}
	refuse := func(name string, kept bool) path {
		return path{spec: v1alpha1.Path{Path: name, Type: v1alpha1.Exact}, state: v1alpha1.NotDelegated, message: "it is delegated to others", kept: kept}
	}
	published := v1alpha1.PathStatus{Path: "/a", Type: v1alpha1.Prefix, State: v1alpha1.Accepted, URL: "https://api.example.com/a"}
	for _, test := range []struct {
		name            string
		paths           []path
		placed          []string
		ready           bool
		reason, message string
		accepted        string
		rows            []v1alpha1.PathStatus
	}{
		{"all are accepted", []path{accepted}, []string{"eu-1", "us-1"}, true, "Published", "1 of 1 paths are accepted under https://api.example.com, on 2 clusters", "1/1", []v1alpha1.PathStatus{published}},
		{"one is refused", []path{accepted, refuse("/b", false)}, []string{"eu-1"}, false, "PathsRefused",
			"1 of 2 paths are accepted under https://api.example.com, on 1 cluster; the path /b is refused (NotDelegated): it is delegated to others", "1/2",
			[]v1alpha1.PathStatus{published, {Path: "/b", Type: v1alpha1.Exact, State: v1alpha1.NotDelegated, Message: "it is delegated to others"}}},
		{"all are refused, and one is kept", []path{refuse("/b", true), refuse("/c", false), refuse("/d", false)}, []string{"eu-1"}, false, "PathsRefused",
			"0 of 3 paths are accepted under https://api.example.com, on 1 cluster; the path /b is refused (NotDelegated): it is delegated to others; what was last accepted stays in place; refused besides: 2, see status.paths", "0/3",
			[]v1alpha1.PathStatus{
				{Path: "/b", Type: v1alpha1.Exact, State: v1alpha1.NotDelegated, Message: "it is delegated to others; what was last accepted stays in place"},
				{Path: "/c", Type: v1alpha1.Exact, State: v1alpha1.NotDelegated, Message: "it is delegated to others"}, {Path: "/d", Type: v1alpha1.Exact, State: v1alpha1.NotDelegated, Message: "it is delegated to others"},
			}},
		{"there is no cluster", []path{accepted}, nil, false, "NoDestination",
			"1 of 1 paths are accepted under https://api.example.com, on 0 clusters; no Destination matches the aggregator's spec.placement, so no cluster is served: change it, or label a Destination", "1/1", []v1alpha1.PathStatus{published}},
		{"there is no cluster, and one is refused", []path{refuse("/b", false)}, nil, false, "PathsRefused",
			"0 of 1 paths are accepted under https://api.example.com, on 0 clusters; no Destination matches the aggregator's spec.placement, so no cluster is served: change it, or label a Destination; the path /b is refused (NotDelegated): it is delegated to others", "0/1",
			[]v1alpha1.PathStatus{{Path: "/b", Type: v1alpha1.Exact, State: v1alpha1.NotDelegated, Message: "it is delegated to others"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := inputs{terms: gateway.Terms{Hostname: host}, placement: destination.Placement{Placed: test.placed}}
			output := destination.Output{"eu-1": {"a.yaml": nil}}
			want := workflow.Result{
				Placement: in.placement, Output: output, Ready: test.ready, Reason: reason.Reason(test.reason), Message: test.message,
				Status: map[string]any{"url": "https://api.example.com", "accepted": test.accepted, "paths": test.rows, "aggregatorTerms": in.terms.Digest()},
			}
			if diff := cmp.Diff(want, report(in, slices.Clone(test.paths), output), cmpopts.IgnoreUnexported(destination.Placement{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is refused and held stays as it was last accepted, on the clusters where it is;
// what is refused and not held goes.
func TestEmitKeeps(t *testing.T) {
	document := func(host, path string) []byte {
		return fmt.Appendf(nil, "metadata: {annotations: {%s: %s, %s: %s}}\n", hostAnnotation, host, pathAnnotation, path)
	}
	last := map[string][]byte{
		"held.yaml": document(host, "/held"), "more.yaml": document(host, "/%68eld"), "lost.yaml": document(host, "/lost"), "other.yaml": document("www.example.com", "/held"),
		"bad.yaml": []byte("metadata: ["), "mixed.yaml": fmt.Appendf(nil, "metadata: {annotations: {%s: %s, %s: /held, list: [5]}}\n", hostAnnotation, host, pathAnnotation), "none.yaml": []byte("kind: ConfigMap\n"), "wrong.yaml": document(host, "held"),
	}
	for _, test := range []struct {
		name  string
		state v1alpha1.PathState
		key   string
		held  bool
		files []string // on eu-1, but for what is made anew
		kept  bool
		there map[string][]byte // what us-1 has
	}{
		{"it is refused, and its own", v1alpha1.NotDelegated, "/held", true, []string{"held.yaml", "more.yaml"}, true, nil},
		{"it is refused, and its own on both", v1alpha1.NotDelegated, "/held", true, []string{"held.yaml", "more.yaml"}, true, last},
		{"it is refused, and was never served", v1alpha1.NotDelegated, "/new", true, nil, false, nil},
		{"it is refused, and another's", v1alpha1.PathConflict, "/lost", false, nil, false, nil},
		{"it is accepted", v1alpha1.Accepted, "/held", true, nil, false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, goodTarget)
			in, err := gather(t.Context(), run)
			if err != nil {
				t.Fatal(err)
			}
			run.Last = destination.Output{"eu-1": last, "us-1": test.there, "dev-1": last}
			parsed, err := httppath.Parse(test.key)
			if err != nil {
				t.Fatal(err)
			}
			paths := []path{{spec: v1alpha1.Path{Path: test.key, Type: v1alpha1.Prefix}, parsed: parsed, state: test.state, held: test.held}}
			output, err := emit(run, in, paths)
			if err != nil {
				t.Fatal(err)
			}
			var files []string
			made := 0
			for _, name := range slices.Sorted(maps.Keys(output["eu-1"])) {
				if _, is := last[name]; is {
					files = append(files, name)
				} else {
					made++
				}
			}
			if !slices.Equal(files, test.files) || (made > 0) != (test.state == v1alpha1.Accepted) || paths[0].kept != test.kept || len(output) != 2 {
				t.Errorf("it keeps %v and makes %d, on %d clusters, and says that it is kept: %t", files, made, len(output), paths[0].kept)
			}
		})
	}
}

// All that a template gets, by what the target asks for.
func TestValues(t *testing.T) {
	one, nine := int32(1), int32(9)
	accepted := func(value string, kind v1alpha1.MatchType, change func(*path)) path {
		parsed, err := httppath.Parse(value)
		if err != nil {
			t.Fatal(err)
		}
		p := path{spec: v1alpha1.Path{Path: value, Type: kind}, parsed: parsed, state: v1alpha1.Accepted, rules: []gateway.Rule{{Methods: []string{"", "GET"}, Answer: gateway.Refuse}}}
		change(&p)
		return p
	}
	plain := func(*path) {}
	annotations := func(path string, more map[string]string) map[string]string {
		all := shop.Annotations()
		all["baleen.dev/host"], all["baleen.dev/path"] = host, path
		maps.Copy(all, more)
		return all
	}
	route := func(p path, value, kind string, change map[string]any) map[string]any {
		all := map[string]any{
			"name": routeName(shop, p), "value": value, "type": kind, "methods": []v1alpha1.Method{}, "rewritePrefix": "", "bodyLimit": "", "annotations": annotations(value, nil),
			"rules": []any{map[string]any{"methods": []string{"", "GET"}, "answer": gateway.Refuse}},
		}
		maps.Copy(all, change)
		return all
	}
	prefix, exact := accepted("/a", v1alpha1.Prefix, plain), accepted("/b", v1alpha1.Exact, plain)
	full := accepted("/c", v1alpha1.Prefix, func(p *path) {
		p.limit, p.spec.RewritePrefix, p.spec.Methods = "10", "/d", []v1alpha1.Method{"GET"}
	})
	for _, test := range []struct {
		name    string
		change  func(*inputs)
		paths   []path
		routes  []any
		headers map[string]any
		timeout string
	}{
		{"two paths", func(*inputs) {}, []path{prefix, exact}, []any{route(prefix, "/a", "PathPrefix", nil), route(exact, "/b", "Exact", nil)}, nil, ""},
		{"one that is refused", func(*inputs) {}, []path{accepted("/a", v1alpha1.Prefix, func(p *path) { p.state, p.held = v1alpha1.NotDelegated, true })}, []any{}, nil, ""},
		{"all that one can say of a path", func(*inputs) {}, []path{full}, []any{route(full, "/c", "PathPrefix", map[string]any{"bodyLimit": "10", "rewritePrefix": "/d", "methods": []v1alpha1.Method{"GET"}})}, nil, ""},
		{"not published", func(in *inputs) { in.terms.Unpublished = true }, []path{prefix}, []any{route(prefix, "/a", "PathPrefix", map[string]any{"annotations": annotations("/a", gateway.DNSIgnore())})}, nil, ""},
		{"headers and a timeout", func(in *inputs) {
			in.target.Spec.Timeout = "30s"
			in.target.Spec.RequestHeaders = &v1alpha1.RequestHeaders{Set: map[string]v1alpha1.HeaderValue{"X-B": "b", "X-A": "a"}, Remove: []string{"X-C"}}
		}, nil, []any{}, map[string]any{
			"set": []any{map[string]any{"name": "X-A", "value": v1alpha1.HeaderValue("a")}, map[string]any{"name": "X-B", "value": v1alpha1.HeaderValue("b")}}, "remove": []string{"X-C"},
		}, "30s"},
		{"headers and weights on NGINX Gateway Fabric", func(in *inputs) {
			in.terms.Implementation = aggregator.NGINXGatewayFabric
			in.target.Spec.Backends[1].Weight = new(int32)
			in.target.Spec.RequestHeaders = &v1alpha1.RequestHeaders{Set: map[string]v1alpha1.HeaderValue{"x-real-ip": "b", "Z-A": "a"}, Remove: []string{"x-forwarded-for", "X-C"}}
		}, nil, []any{}, map[string]any{
			"set": []any{map[string]any{"name": "X-Real-IP", "value": v1alpha1.HeaderValue("b")}, map[string]any{"name": "Z-A", "value": v1alpha1.HeaderValue("a")}}, "remove": []string{"X-Forwarded-For", "X-C"},
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := inputs{target: &v1alpha1.ApiAggregatorTarget{}, namespace: "workload", terms: gateway.Terms{
				Hostname: host, Implementation: aggregator.Traefik, GatewayName: "gateway", GatewayNamespace: "gateways", Listener: "https",
			}}
			in.target.Spec.Backends = []v1alpha1.Backend{{Service: "a", Port: 80, Weight: &one}, {Service: "b", Port: 81, Weight: &nine}}
			test.change(&in)
			if test.headers == nil {
				test.headers = map[string]any{"set": []any{}, "remove": []string{}}
			}
			backends := slices.Clone(in.target.Spec.Backends)
			if *backends[1].Weight == 0 {
				slices.Reverse(backends)
			}
			want := map[string]any{
				"destination": "eu-1", "implementation": in.terms.Implementation, "hostname": host, "namespace": "workload", "paths": test.routes, "backends": backends,
				"gateway": map[string]any{"name": "gateway", "namespace": "gateways", "listener": "https"}, "timeout": test.timeout, "requestHeaders": test.headers, "labels": shop.Labels(),
				"refusal": map[string]any{"name": "shop-8d6845f9-refusal", "annotations": shop.Annotations()},
			}
			if diff := cmp.Diff(want, values(&workflow.Run{Identity: shop}, in, test.paths, "eu-1")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
