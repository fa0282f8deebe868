package pipelines_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/internal/workflow"
	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
)

// shop is a target in a namespace that asks for paths, as YAML flow mappings.
func shop(namespace string, paths ...string) string {
	return "apiVersion: baleen.dev/v1alpha1\nkind: ApiAggregatorTarget\nmetadata: {name: shop, namespace: " + namespace + "}\nspec:\n" +
		"  aggregatorRef: {name: public-api, namespace: platform}\n  backends: [{service: shop, port: 80}]\n" +
		"  paths: [" + strings.Join(paths, ", ") + "]\n"
}

func wantState(t *testing.T, o scenario.Outcome, path, state, says string) {
	t.Helper()
	if o.Err != nil {
		t.Fatalf("%v\n%s", o.Err, o.Stderr)
	}
	if got, message := o.State(path); got != state || !strings.Contains(message, says) {
		_, reason, ready := o.Ready()
		t.Errorf("%s is %q: %q; want %q: …%s… (%s: %s)", path, got, message, state, says, reason, ready)
	}
}

// A path has one owner: the second who asks is told whose it is, the first goes
// on serving it, and when it releases it the second takes over.
func TestConflictAndHandOver(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	first := s.Apply(shop("team-a", "{path: /shop}", "{path: /mine}"))
	wantState(t, first, "/shop", "Accepted", "")
	second := s.Apply(shop("team-b", "{path: /shop}", "{path: /other}"))
	wantState(t, second, "/shop", "PathConflict", "it belongs to team-a/shop")
	wantState(t, second, "/other", "Accepted", "")
	if strings.Contains(second.Documents(), "value: /shop") {
		t.Error("the path is emitted for the second")
	}
	if again := s.Apply(shop("team-a", "{path: /shop}", "{path: /mine}")); again.Documents() != first.Documents() {
		t.Error("the conflict changed what the incumbent serves")
	}

	// The first drops it. It is not free yet: the clusters may still have it.
	dropped := s.Apply(shop("team-a", "{path: /mine}"))
	if strings.Contains(dropped.Documents(), "value: /shop") || asked(t, s) != "team-b" {
		t.Errorf("after the drop %q are asked, and the clusters have\n%s", asked(t, s), dropped.Documents())
	}
	waiting := s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop")
	wantState(t, waiting, "/shop", "PathConflict", "team-a/shop is releasing it")
	if got := asked(t, s); got != "team-a" {
		t.Errorf("the waiter asks %q", got)
	}
	// A later run of the first sees its own output without it, and hands over.
	s.Reconcile(platform.ApiAggregatorTarget, "team-a", "shop")
	if got := asked(t, s); got != "team-b" {
		t.Errorf("after the path is free %q are asked", got)
	}
	wantState(t, s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop"), "/shop", "Accepted", "")
}

// A deleted request's paths go to who waits for them.
func TestHandOverAfterDeletion(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(shop("team-a", "{path: /shop}"))
	wantState(t, s.Apply(shop("team-b", "{path: /shop}")), "/shop", "PathConflict", "team-a/shop")
	if deleted := s.Delete(shop("team-a", "{path: /shop}")); deleted.Err != nil {
		t.Fatal(deleted.Err)
	}
	if got := asked(t, s); got != "team-b" {
		t.Errorf("after the deletion %q are asked", got)
	}
	wantState(t, s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop"), "/shop", "Accepted", "")
}

// Whoever vanished without a word is found by the aggregator's sweep.
func TestAggregatorSweeps(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(shop("team-a", "{path: /shop}"))
	s.Apply(shop("team-b", "{path: /shop}"))
	s.Remove("team-a/ApiAggregatorTarget.baleen.dev/shop.yaml")
	// Its output is still there, and still serves the path: nobody may have it.
	s.Apply(example(t, "api-aggregator"))
	wantState(t, s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop"), "/shop", "PathConflict", "team-a/shop")
	s.RemoveAll("team-a")
	outcome := s.Apply(example(t, "api-aggregator"))
	if got := asked(t, s); got != "team-b" || outcome.Err != nil {
		t.Errorf("after the sweep %q are asked: %v", got, outcome.Err)
	}
	wantState(t, s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop"), "/shop", "Accepted", "")
}

// Whoever wants the path of one that vanished without a word waits for the aggregator,
// which it asks to sweep. Within a namespace it takes over.
func TestTakeOverOfWhatVanished(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(example(t, "api-aggregator"))
	s.Apply(shop("team-a", "{path: /shop}"))
	s.RemoveAll("team-a")
	neighbour := strings.Replace(shop("team-a", "{path: /shop}"), "name: shop", "name: other", 1)
	asksAggregator := func() bool {
		o, err := s.Client.Get(t.Context(), platform.ApiAggregator, "platform", "public-api")
		if err != nil {
			t.Fatal(err)
		}
		return o.GetLabels()[kratix.LabelManualReconciliation] != ""
	}
	wantState(t, s.Apply(shop("team-b", "{path: /shop}")), "/shop", "PathConflict", "team-a/shop, which is gone")
	if !asksAggregator() {
		t.Error("nobody is asked to sweep")
	}
	s.Apply(example(t, "api-aggregator")) // without the label
	if got := asked(t, s); got != "team-b" {
		t.Errorf("after the sweep %q are asked", got)
	}
	wantState(t, s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop"), "/shop", "Accepted", "")
	if asksAggregator() {
		t.Error("who has the path asks for another sweep")
	}
	s.RemoveAll("team-b")
	wantState(t, s.Apply(neighbour), "/shop", "PathConflict", "team-b/shop, which is gone")
	s.Apply(shop("team-b", "{path: /shop}")) // as by a restore
	s.RemoveAll("team-b")
	wantState(t, s.Apply(strings.Replace(neighbour, "namespace: team-a", "namespace: team-b", 1)), "/shop", "Accepted", "")
}

// A delete that failed is tried again: Kratix does so only when it is asked to.
func TestSweepAsksStuckDeletions(t *testing.T) {
	for _, c := range []struct{ name, deleted, asked string }{
		{"it has just begun", "2026-01-01T11:55:00Z", ""},
		{"it does not come to an end", "2026-01-01T11:45:00Z", "team-a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			s.Apply(shop("team-a", "{path: /shop}"))
			stuck := strings.Replace(shop("team-a", "{path: /shop}"), "namespace: team-a}", "namespace: team-a, deletionTimestamp: \""+c.deleted+"\", finalizers: [kratix]}", 1)
			s.Write(txtar.File{Name: "team-a/ApiAggregatorTarget.baleen.dev/shop.yaml", Data: []byte(stuck)})
			s.Apply(example(t, "api-aggregator"))
			if got := asked(t, s); got != c.asked {
				t.Errorf("%q are asked, want %q", got, c.asked)
			}
		})
	}
}

// A request that was deleted and made again while it was swept for.
func TestSweepFindsAFormerIncarnation(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(shop("team-a", "{path: /shop}"))
	s.Apply(shop("team-b", "{path: /shop}"))
	path := claim.Path("api.example.com", "/shop")
	store := claim.Store{Client: s.Client}
	c, err := store.Get(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	former := c.Owner
	former.UID = "former" // a folder gives the same UID again
	if _, err := store.Release(context.Background(), path, former, true); err != nil {
		t.Fatal(err)
	}
	s.RemoveAll("team-a/Work.platform.kratix.io") // the former one's output went with it
	s.Apply(example(t, "api-aggregator"))
	if got := asked(t, s); got != "team-b" {
		t.Errorf("asked are %q", got)
	}
}

// A target that moves to another host releases what it had under the first,
// although it has the same path there.
func TestMoveToAnotherHost(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	other := strings.NewReplacer("name: public-api", "name: other-api", "api.example.com", "other.example.com").Replace(example(t, "api-aggregator"))
	s.Apply(other)
	s.Apply(shop("team-a", "{path: /shop}"))
	moved := strings.Replace(shop("team-a", "{path: /shop}"), "name: public-api", "name: other-api", 1)
	wantState(t, s.Apply(moved), "/shop", "Accepted", "")
	wantState(t, s.Apply(shop("team-b", "{path: /shop}")), "/shop", "PathConflict", "is releasing it")
	s.Apply(moved)
	wantState(t, s.Apply(shop("team-b", "{path: /shop}")), "/shop", "Accepted", "")
}

// A path that is refused under a new host does not go on under the old one.
func TestRefusedUnderANewHost(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(strings.NewReplacer("name: public-api", "name: other-api", "api.example.com", "other.example.com").Replace(example(t, "api-aggregator")))
	on := func(aggregator, paths string) string {
		return strings.Replace(shop("team-a", paths), "name: public-api", "name: "+aggregator, 1)
	}
	s.Apply(on("other-api", "{path: /shop}"))
	s.Apply(on("public-api", "{path: /shop}"))
	back := s.Apply(on("other-api", "{path: /shop, maxRequestBodySize: 999Mi}"))
	wantState(t, back, "/shop", "BodyLimitAboveMaximum", "")
	if strings.Contains(back.Documents(), "- api.example.com") {
		t.Errorf("it is served under the host that it has left\n%s", back.Documents())
	}
}

// A waiter that has changed its mind is not asked for ever.
func TestWaiterThatWentAway(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(shop("team-a", "{path: /shop}", "{path: /mine}"))
	s.Apply(shop("team-b", "{path: /shop}", "{path: /other}"))
	s.Apply(shop("team-b", "{path: /other}"))
	s.Apply(shop("team-a", "{path: /mine}"))
	s.Apply(shop("team-a", "{path: /mine}"))
	s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop")
	for range 2 {
		s.Apply(example(t, "api-aggregator"))
		s.Reconcile(platform.ApiAggregatorTarget, "team-a", "shop")
		s.Reconcile(platform.ApiAggregatorTarget, "team-b", "shop")
	}
	before := s.Snapshot()
	s.Apply(example(t, "api-aggregator"))
	if got := asked(t, s); got != "" {
		t.Errorf("asked are %q", got)
	}
	if after := s.Snapshot(); len(before) != len(after) {
		t.Error("a run with nothing to do wrote")
	}
}

// Below another namespace's prefix: only below /, where its owner allows it, or
// where the aggregator delegates it.
func TestNesting(t *testing.T) {
	for _, c := range []struct{ name, owner, nested, state string }{
		{"below a foreign prefix", "{path: /shop}", "/shop/cart", "NestedInForeignPrefix"},
		{"far below", "{path: /shop}", "/shop/a/b/c/d", "NestedInForeignPrefix"},
		{"spelled otherwise", "{path: /shop}", "/%73hop/cart", "NestedInForeignPrefix"},
		{"where the owner allows it", "{path: /shop, allowNested: true}", "/shop/cart", "Accepted"},
		{"below /", "{path: /}", "/shop/cart", "Accepted"},
		{"below an exact path", "{path: /shop, type: Exact}", "/shop/cart", "Accepted"},
		{"beside it", "{path: /shop}", "/shopping", "Accepted"},
		{"above it", "{path: /shop/cart}", "/shop", "Accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			wantAccepted := s.Apply(shop("team-b", c.owner))
			if ready, _, message := wantAccepted.Ready(); ready != "True" {
				t.Fatal(message)
			}
			says := ""
			if c.state != "Accepted" {
				says = "belongs to team-b/shop"
			}
			nested := s.Apply(shop("team-c", "{path: "+c.nested+"}"))
			wantState(t, nested, c.nested, c.state, says)
			if c.state != "Accepted" && len(nested.Files) != 0 {
				t.Errorf("it is emitted all the same\n%s", nested.Documents())
			}
			if same := s.Apply(strings.ReplaceAll(shop("team-b", "{path: "+c.nested+"}"), "name: shop", "name: sibling")); c.state != "Accepted" {
				wantState(t, same, c.nested, "Accepted", "") // one's own namespace may
			}
		})
	}
	t.Run("where it is delegated", func(t *testing.T) {
		s := scenario.New(t, platformDir, stages...)
		aggregator := example(t, "api-aggregator")
		s.Apply(strings.Replace(aggregator, "prefix: /orders\n    namespaces: [team-a]", "prefix: /shop/cart\n    namespaces: [team-c]", 1))
		s.Apply(shop("team-b", "{path: /shop}"))
		wantState(t, s.Apply(shop("team-c", "{path: /shop/cart/x}")), "/shop/cart/x", "Accepted", "")
		wantState(t, s.Apply(shop("team-d", "{path: /shop/cart/y}")), "/shop/cart/y", "NotDelegated", "/shop/cart")
	})
}

// A delegation of something wider than a foreign prefix does not open that
// prefix.
func TestWideDelegation(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(strings.Replace(example(t, "api-aggregator"), "prefix: /orders\n    namespaces: [team-a]", "prefix: /\n    namespaces: [\"team-*\"]", 1))
	wantState(t, s.Apply(shop("team-b", "{path: /shop}")), "/shop", "Accepted", "")
	wantState(t, s.Apply(shop("team-c", "{path: /shop/cart}")), "/shop/cart", "NestedInForeignPrefix", "team-b/shop")
}

// When the platform team tightens a policy, who is attached keeps what it has
// and is told.
func TestTightenedPolicy(t *testing.T) {
	for _, c := range []struct{ name, from, to, reason string }{
		{"delegation", "prefix: /orders\n    namespaces: [team-a]", "prefix: /shop\n    namespaces: [team-b]", "PathsRefused"},
		{"admission", `["team-*"]`, "[team-b]", "NotAdmitted"},
		{"maximum body", "max: 100Mi", "max: 1Mi", "PathsRefused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			request := shop("team-a", "{path: /shop, maxRequestBodySize: 2Mi}")
			first := s.Apply(request)
			s.Apply(strings.Replace(example(t, "api-aggregator"), c.from, c.to, 1))
			after := s.Reconcile(platform.ApiAggregatorTarget, "team-a", "shop")
			ready, reason, _ := after.Ready()
			if after.Documents() != first.Documents() || ready != "False" || reason != c.reason {
				t.Errorf("Ready is %s (%s), and the clusters have\n%s", ready, reason, after.Documents())
			}
			// It stays the owner, so that nobody else can take the path meanwhile.
			if state, _ := s.Apply(shop("team-b", "{path: /shop}")).State("/shop"); state != "PathConflict" {
				t.Errorf("another namespace's claim of the path is %s", state)
			}
		})
	}
}

// A path that is refused is not claimed, so that nobody is kept from it who may
// publish it.
func TestRefusedPathClaimsNothing(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	wantState(t, s.Apply(shop("team-a", "{path: /shop, maxRequestBodySize: 999Mi}")), "/shop", "BodyLimitAboveMaximum", "")
	wantState(t, s.Apply(shop("team-b", "{path: /shop}")), "/shop", "Accepted", "")
}

// Who has lost the claim of a path does not serve it any more, not even as it was
// last accepted.
func TestLostClaimIsNotServed(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Apply(shop("team-a", "{path: /shop}", "{path: /mine}"))
	b, path := claim.Store{Client: s.Client}, claim.Path("api.example.com", "/shop")
	c, err := b.Get(t.Context(), path)
	if err == nil {
		_, err = b.Free(t.Context(), *c)
	}
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, s.Apply(shop("team-b", "{path: /shop}")), "/shop", "Accepted", "")
	lost := s.Apply(shop("team-a", "{path: /shop}", "{path: /mine}"))
	wantState(t, lost, "/shop", "PathConflict", "it belongs to team-b/shop")
	if strings.Contains(lost.Documents(), "baleen.dev/path: /shop") || !strings.Contains(lost.Documents(), "baleen.dev/path: /mine") {
		t.Errorf("the clusters have\n%s", lost.Documents())
	}
}

// A host has one aggregator, and only its aggregator has a say in who publishes
// under it.
func TestHostConflict(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	aggregator := example(t, "api-aggregator")
	incumbent := s.Apply(aggregator)
	thief := strings.NewReplacer("name: public-api", "name: thief", "namespace: platform", "namespace: team-x", `["team-*"]`, "[team-x]").Replace(aggregator)
	stolen := s.Apply(thief)
	ready, reason, message := stolen.Ready()
	if ready != "False" || reason != "HostConflict" || !strings.Contains(message, "platform/public-api") || len(stolen.Files) != 0 {
		t.Errorf("Ready is %s (%s: %s) with %d files", ready, reason, message, len(stolen.Files))
	}
	squatter := strings.NewReplacer("name: public-api", "name: thief", "namespace: platform", "namespace: team-x").Replace(shop("team-x", "{path: /login}"))
	if o := s.Apply(squatter); len(o.Files) != 0 {
		t.Errorf("a target of the thief's is emitted\n%s", o.Documents())
	}
	if again := s.Apply(aggregator); again.Documents() != incumbent.Documents() {
		t.Error("the incumbent's documents changed")
	}
	// Once the host is released, the other takes it over.
	s.Delete(aggregator)
	if o := s.Reconcile(platform.ApiAggregator, "team-x", "thief"); len(o.Files) == 0 {
		t.Error("the host is free, and the waiter does not get it")
	}
}

// Whatever a team writes into its own namespace, what another namespace serves
// does not change, and nothing appears that is not its own.
func TestAdversary(t *testing.T) {
	victim := shop("team-a", "{path: /shop}", "{path: /pay, type: Exact}")
	attempts := map[string]string{
		"the same path":                   shop("team-x", "{path: /shop}"),
		"the same path, exact":            shop("team-x", "{path: /shop, type: Exact}"),
		"the exact path as a prefix":      shop("team-x", "{path: /pay}"),
		"a trailing slash":                shop("team-x", "{path: /shop/, type: Exact}"),
		"another spelling":                shop("team-x", "{path: /%73%68op}"),
		"mixed case of an encoding":       shop("team-x", "{path: /sho%70}"),
		"below it":                        shop("team-x", "{path: /shop/cart}"),
		"a method that is not taken":      shop("team-x", "{path: /shop, methods: [DELETE]}"),
		"everything":                      shop("team-x", "{path: /}"),
		"the victim's workload namespace": shop("team-x", "{path: /x}") + "  workloadNamespace: team-a\n",
		"a rewrite to climb out":          shop("team-x", "{path: /x, rewritePrefix: /../shop}"),
		"labels of the victim":            strings.Replace(shop("team-x", "{path: /shop}"), "namespace: team-x}", "namespace: team-x, labels: {baleen.dev/request: deadbeef, kratix.io/promise-name: api-aggregator}}", 1),
		"annotations of Baleen's":         strings.Replace(shop("team-x", "{path: /x}"), "namespace: team-x}", "namespace: team-x, annotations: {baleen.dev/path: /shop}}", 1),
		"a forged status":                 shop("team-x", "{path: /shop}") + "status: {paths: [{path: /shop, type: Prefix, state: Accepted}], url: https://api.example.com}\n",
	}
	for name, attempt := range attempts {
		t.Run(name, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			before := s.Apply(victim)
			attack := s.Apply(attempt)
			for file, object := range attack.Objects(t) {
				if object.GetNamespace() != "team-x" {
					t.Errorf("%s is in the namespace %s", file, object.GetNamespace())
				}
				if path := object.GetAnnotations()["baleen.dev/path"]; path == "/shop" || path == "/pay" || strings.HasPrefix(path, "/shop/") {
					t.Errorf("%s is about %s", file, path)
				}
				if before.Files[file] != "" {
					t.Errorf("%s is a file of the victim's", file)
				}
			}
			s.Delete(attempt)
			if after := s.Apply(victim); after.Documents() != before.Documents() {
				t.Errorf("the victim's documents changed to\n%s", after.Documents())
			}
			outcome := s.Apply(example(t, "api-aggregator"))
			if !strings.Contains(outcome.Report, "- owner: team-a/shop\n  path: /shop\n") {
				t.Errorf("the aggregator shows\n%s", outcome.Report)
			}
		})
	}
}

// One who waits for a path cannot hold up its owner by being too large to label.
func TestOversizedWaiter(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	memory := platformInMemory(t, func() time.Time { return now })
	client := unlabelled{memory, "team-x"}
	run := func(request string) error {
		o := scenario.Parse(t, request)
		if old, err := memory.Get(ctx, platform.ApiAggregatorTarget, o.GetNamespace(), o.GetName()); err == nil {
			o.SetResourceVersion(old.GetResourceVersion())
			o, err = memory.Update(ctx, platform.ApiAggregatorTarget, o)
			if err != nil {
				t.Fatal(err)
			}
		} else if o, err = memory.Create(ctx, platform.ApiAggregatorTarget, o); err != nil {
			t.Fatal(err)
		}
		_, err := apiaggregatortarget.Pipeline.Configure(ctx, &workflow.Run{
			Promise: "api-aggregator-target", Request: o, Platform: client, Now: now, Log: slog.New(slog.DiscardHandler),
			Identity: identity.Request{Kind: "ApiAggregatorTarget", Namespace: o.GetNamespace(), Name: o.GetName()},
		})
		return err
	}
	for _, request := range []string{shop("team-a", "{path: /shop}"), shop("team-x", "{path: /shop}"), shop("team-a", "{path: /mine}"), shop("team-a", "{path: /mine}")} {
		if err := run(request); err != nil {
			t.Errorf("%v in\n%s", err, request)
		}
	}
	c, err := (claim.Store{Client: memory}).Get(ctx, claim.Path("api.example.com", "/shop"))
	if err != nil || c == nil || c.State != claim.Free {
		t.Errorf("the claim is %+v: %v", c, err)
	}
}

// unlabelled is an API server on which requests of a namespace are too large for
// one more label.
type unlabelled struct {
	platform.Client
	namespace string
}

func (u unlabelled) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if namespace == u.namespace {
		return nil, apierrors.NewInternalError(errors.New("etcdserver: request is too large"))
	}
	return u.Client.Patch(ctx, kind, namespace, name, patch)
}

// A run that finds a path on its way out asks the owner to be done with it, and
// waits for it up to a minute.
func TestWaitsForAPathThatIsLetGoOf(t *testing.T) {
	for _, c := range []struct {
		name  string
		freed time.Duration // after the run began
		state string
	}{
		{"freed in time", 12 * time.Second, "Accepted"},
		{"freed too late", 2 * time.Minute, "PathConflict"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				memory := platformInMemory(t, time.Now)
				path := claim.Path("api.example.com", "/shop")
				b := claim.Store{Client: memory}
				request := func(namespace string) *unstructured.Unstructured {
					object, err := memory.Create(ctx, platform.ApiAggregatorTarget, scenario.Parse(t, shop(namespace, "{path: /shop}")))
					if err != nil {
						t.Fatal(err)
					}
					return object
				}
				owner, waiter := claim.OwnerOf(request("team-a")), request("team-b")
				if _, err := b.Acquire(ctx, path, owner, nil); err != nil {
					t.Fatal(err)
				}
				releasing, err := b.Release(ctx, path, owner, false)
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					time.Sleep(c.freed)
					if _, err := b.Free(ctx, releasing); err != nil {
						t.Error(err)
					}
				}()
				start := time.Now()
				result, err := apiaggregatortarget.Pipeline.Configure(ctx, runOf(waiter, memory))
				if err != nil {
					t.Fatal(err)
				}
				rows := result.Status["paths"].([]v1alpha1.PathStatus)
				if took := time.Since(start); string(rows[0].State) != c.state || took > time.Minute {
					t.Errorf("freed after %s: %s after %s", c.freed, rows[0].State, took)
				}
				asked, err := memory.List(ctx, platform.ApiAggregatorTarget, "team-a", map[string]string{kratix.LabelManualReconciliation: "true"})
				if err != nil || len(asked) != 1 {
					t.Errorf("the owner is not asked: %v", err)
				}
				<-done
			})
		})
	}
}

// runOf is a run for a stored request.
func runOf(request *unstructured.Unstructured, client platform.Client) *workflow.Run {
	return &workflow.Run{
		Promise: "api-aggregator-target", Request: request, Platform: client, Now: time.Now(), Log: slog.New(slog.DiscardHandler),
		Identity: identity.Request{Kind: request.GetKind(), Namespace: request.GetNamespace(), Name: request.GetName()},
	}
}

// The number of API requests in one configure does not depend on how many other
// targets there are.
func TestRequestsDoNotGrow(t *testing.T) {
	few, many := countRequests(t, 10), countRequests(t, 10_000)
	if few != many || few == 0 {
		t.Errorf("a configure takes %d requests among 10 others and %d among 10,000", few, many)
	}
}

func countRequests(t *testing.T, others int) int {
	t.Helper()
	ctx := context.Background()
	memory := platformInMemory(t, time.Now)
	for i := range others {
		owner := claim.Owner{Kind: "ApiAggregatorTarget", Namespace: "team-o", Name: fmt.Sprintf("other-%d", i), UID: "1"}
		if _, err := (claim.Store{Client: memory}).Acquire(ctx, claim.Path("api.example.com", "/"+owner.Name), owner, nil); err != nil {
			t.Fatal(err)
		}
	}
	request, err := memory.Create(ctx, platform.ApiAggregatorTarget, scenario.Parse(t, shop("team-a", "{path: /a/b/c}", "{path: /d, type: Exact}")))
	if err != nil {
		t.Fatal(err)
	}
	requests := 0
	server := platformtest.Serve(memory, platform.ConfigMap, platform.Destination, platform.Work, platform.ApiAggregator, platform.ApiAggregatorTarget)
	server.Observe = func(string, platform.Kind, string, string, string) error { requests++; return nil }
	listener := httptest.NewServer(server)
	defer listener.Close()
	client, err := platform.OpenCluster(&rest.Config{Host: listener.URL})
	if err != nil {
		t.Fatal(err)
	}
	result, err := apiaggregatortarget.Pipeline.Configure(ctx, runOf(request, client))
	if err != nil || !result.Ready {
		t.Fatalf("%s: %v", result.Message, err)
	}
	return requests
}

// platformInMemory holds what the platform's folder does.
func platformInMemory(t *testing.T, now func() time.Time) platform.Client {
	t.Helper()
	ctx := context.Background()
	memory := platform.NewMemory(now)
	folder, err := platform.OpenFolder(platformDir, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []platform.Kind{platform.ConfigMap, platform.Destination, platform.ApiAggregator} {
		objects, err := folder.List(ctx, kind, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			o.SetResourceVersion("")
			if _, err := memory.Create(ctx, kind, &o); err != nil {
				t.Fatal(err)
			}
		}
	}
	return memory
}
