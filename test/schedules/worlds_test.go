package schedules

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
)

var (
	seeds = flag.Int("seeds", 4, "how many worlds to try")
	seed  = flag.Uint64("seed", 0, "the one world to replay; 0 tries -seeds of them")
)

// Requests of all kinds that are made, changed, tried in dry runs and deleted at random,
// with crashes: whatever order things happen in, every deletion ends and every request
// comes to rest, after a bounded number of runs.
func TestWorlds(t *testing.T) {
	for _, version := range []simulator.Version{simulator.Kratix202508, simulator.KratixLatest} {
		t.Run(string(version), func(t *testing.T) {
			first, last := uint64(1), uint64(*seeds)
			if *seed != 0 {
				first, last = *seed, *seed
			}
			t.Attr("tried.worlds", fmt.Sprint(last-first+1))
			for seed := first; seed <= last && !t.Failed(); seed++ {
				synctest.Test(t, func(t *testing.T) { world(t, version, rand.New(rand.NewPCG(seed, 0))) })
				if t.Failed() {
					t.Logf("replay it with: go test ./test/schedules -run TestWorlds/%s -seed %d", version, seed)
				}
			}
		})
	}
}

// world has things happen at random.
func world(t *testing.T, version simulator.Version, random *rand.Rand) {
	s := newSearch(t, clusterOf(version, platform.ApiAggregator, platform.ApiAggregatorTarget, platform.NatsAccount, platform.NatsUser))
	s.most = 60
	s.prepare = func(p *platform.Memory) {
		s.operate(p)
		for _, kind := range []platform.Kind{platform.ApiAggregator, platform.NatsAccount} {
			objects, err := p.List(t.Context(), kind, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				if err := s.cluster.Apply(t.Context(), p, &o); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	s.constant = func(r *request) bool {
		return r.kind == platform.Destination || r.kind == platform.ConfigMap && r.namespace == "baleen-system"
	}
	s.fails = func(said string) bool { return strings.Contains(said, "are not revoked yet") }
	s.always = func(p *platform.Memory) error {
		if err := oneEach(t)(p); err != nil {
			return err
		}
		_, err := secrets(t.Context(), p)
		return err
	}
	s.atRest = func(p *platform.Memory) error {
		if err := quiet(t.Context(), p); err != nil {
			return err
		}
		if _, err := accounted(t.Context(), p); err != nil {
			return err
		}
		return s.allServed(p)
	}
	for range 6 + random.IntN(6) {
		s.events = append(s.events, s.happening(random))
	}
	defer s.runner.stop()
	at := s.begin(nil)
	at.crashes = random.IntN(4)
	s.walk(at, random)
}

// happening is something that a team does.
func (s *search) happening(random *rand.Rand) event {
	some := func(all ...string) []string {
		return slices.DeleteFunc(all, func(string) bool { return random.IntN(2) == 0 })
	}
	var request *unstructured.Unstructured
	if random.IntN(2) == 0 {
		paths := some("/x", "/y", "/z")
		request = target(s.t, []string{"team-a/shop", "team-b/shop", "team-c/shop"}[random.IntN(3)], append(paths, "/own-"+fmt.Sprint(random.IntN(3)))...)
	} else {
		request = user(s.t, []string{"a", "b"}[random.IntN(2)], []string{"x", "y"}[random.IntN(2)], fmt.Sprintf("  credentials: {rotate: '%d'}\n", random.IntN(2)))
		if random.IntN(2) == 0 {
			request.Object["spec"].(map[string]any)["deletionPolicy"] = "Revoke"
		}
	}
	did := apply(request)
	switch random.IntN(5) {
	case 0, 1:
		did = remove(request)
	case 2:
		if s.cluster.Version == simulator.KratixLatest {
			did = dryRun(request)
		}
	case 3:
		if s.cluster.Version == simulator.KratixLatest {
			did = undoDryRun(request)
		}
	}
	return event{did.name, func(ctx context.Context, c simulator.Cluster, p platform.Client) error {
		_ = did.do(ctx, c, p) // what is not there is not deleted, what is going is not changed
		return nil
	}}
}

// allServed: each path that somebody wants is served for somebody.
func (s *search) allServed(p *platform.Memory) error {
	served, err := serving(s.t.Context(), p)
	if err != nil {
		return err
	}
	targets, err := p.List(s.t.Context(), platform.ApiAggregatorTarget, "", nil)
	if err != nil {
		return err
	}
	for _, o := range targets {
		if strings.HasPrefix(o.GetName(), "kratix-dry-run-") {
			continue
		}
		paths, _, _ := unstructured.NestedSlice(o.Object, "spec", "paths")
		for _, path := range paths {
			if path := path.(map[string]any)["path"].(string); len(served[strings.TrimSuffix(path, "/")]) == 0 {
				return fmt.Errorf("%s is wanted by %s/%s, and nobody has it", path, o.GetNamespace(), o.GetName())
			}
		}
	}
	return nil
}
