package schedules

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/guardtest"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
)

var (
	crashes = flag.Int("crashes", 1, "how many crashes a schedule may have")
	states  = flag.Int("states", 300, "how many states to search of each case, 0 for all")
	walks   = flag.Int("walks", 2, "how many schedules to try at random besides, where not all are searched")
)

// state is a platform and where the pipelines of its Pods are.
type state struct {
	platform *platform.Memory
	view     simulator.View
	at       map[string]*place // by the Pods' keys
	crashes  int               // that may still happen
	events   int               // of the search's that have happened
	// intervals are how often all requests are run again when nothing else happens.
	intervals int
}

func (s state) clone() state {
	return state{s.platform.Clone(), s.view, maps.Clone(s.at), s.crashes, s.events, s.intervals}
}

func (s state) digest() [sha256.Size]byte {
	var b strings.Builder
	platform := s.platform.Digest()
	b.Write(platform[:])
	for _, key := range slices.Sorted(maps.Keys(s.at)) {
		fmt.Fprintf(&b, "%s=%d;", key, s.at[key].id)
	}
	fmt.Fprint(&b, s.crashes, s.events, s.intervals)
	return sha256.Sum256([]byte(b.String()))
}

// move is something that happens, and leads to another state.
type move struct {
	name string
	do   func(*state) error
}

// event is something that a user does.
type event struct {
	name string
	do   func(context.Context, simulator.Cluster, platform.Client) error
}

// search tries all schedules from a state on.
type search struct {
	t       *testing.T
	cluster simulator.Cluster
	runner  *runner
	// events happen in their order, each at any time.
	events []event
	// prepare changes the platform before anything happens.
	prepare func(*platform.Memory)
	// constant reports whether nobody changes what a request is about.
	constant func(*request) bool
	// always is to hold whenever output was written, and atRest where nothing can happen any more.
	always, atRest func(*platform.Memory) error
	// fails reports whether a run may end with this, nil for none.
	fails func(said string) bool
	// most is how many runs one request may have.
	most int

	ways   map[[sha256.Size]byte]float64
	onWay  map[[sha256.Size]byte]bool
	way    []string
	failed bool
	cut    bool
	// deepest and rests are what the search has seen.
	deepest, rests int
}

func newSearch(t *testing.T, cluster simulator.Cluster) *search {
	return &search{
		t: t, cluster: cluster, runner: newRunner(t, now), most: 8, constant: settings,
		ways: map[[sha256.Size]byte]float64{}, onWay: map[[sha256.Size]byte]bool{},
	}
}

// run begins with some things, and tries all schedules of what happens then.
func (s *search) run(before []event) {
	defer s.runner.stop()
	at := s.begin(before)
	for crashes := range *crashes + 1 {
		at.crashes = crashes
		s.all(at)
	}
}

// all tries all schedules from a state on, or as many as it may.
func (s *search) all(at state) {
	s.ways, s.onWay, s.way, s.cut, s.deepest = map[[sha256.Size]byte]float64{}, map[[sha256.Size]byte]bool{}, nil, false, 0
	n, searched := s.from(at), "all"
	if s.cut {
		searched = "some"
		for seed := range uint64(*walks) {
			s.walk(at, rand.New(rand.NewPCG(seed, 0)))
		}
	}
	s.t.Logf("with %d crashes %s of the schedules: %.3g in %d states, up to %d steps long; %d runs of the code so far", at.crashes, searched, n, len(s.ways), s.deepest, s.runner.executions)
	s.t.Attr("tried.schedules-of-runs-that-meet", fmt.Sprintf("%.0f", min(n, 1e15)))
}

// begin has one thing happen after the other, each until all is at rest.
func (s *search) begin(before []event) state {
	at := state{platform: load(s.t, "../../testdata/platform"), at: map[string]*place{}}
	if s.prepare != nil {
		s.prepare(at.platform)
	}
	events := s.events
	s.events = nil
	for _, e := range before {
		if err := e.do(s.t.Context(), s.cluster, at.platform); err != nil {
			s.t.Fatal(err)
		}
		s.look(&at)
		at = s.rest(at)
	}
	s.events, s.way = events, nil
	at.intervals = 2
	s.look(&at)
	return at
}

// walk goes one way to its end, which random choices lead to.
func (s *search) walk(at state, random *rand.Rand) {
	s.way = nil
	for range 2000 {
		moves := s.moves(at)
		if len(moves) == 0 || s.failed {
			break
		}
		m := moves[random.IntN(len(moves))]
		s.way = append(s.way, m.name)
		at = s.after(at, m)
	}
	if s.failed {
		return
	}
	if len(s.moves(at)) > 0 {
		s.fail("it does not come to rest")
	} else if err := s.atRest(at.platform); err != nil {
		s.fail("at rest: %v", err)
	}
}

// moves are all that can happen next. Where one of them makes no difference to what the
// others do, nor they to it, it comes alone: the others come after it.
func (s *search) moves(from state) []move {
	ctx := s.t.Context()
	var all []move
	for _, pod := range from.view.Pods {
		if pod.Running() != simulator.Pipeline {
			continue
		}
		moves, alone := s.pipeline(from, pod)
		if alone {
			return moves
		}
		all = append(all, moves...)
	}
	for _, step := range s.cluster.Steps(from.view, func(pod string) simulator.Emitted { return from.at[pod].outcome.emitted }) {
		m := move{step.Name, func(to *state) error { return step.Do(ctx, to.platform) }}
		if step.Soon {
			return []move{m}
		}
		all = append(all, m)
	}
	if from.events < len(s.events) {
		e := s.events[from.events]
		all = append(all, move{"-- " + e.name, func(to *state) error {
			to.events++
			return e.do(ctx, s.cluster, to.platform)
		}})
	}
	if len(all) == 0 && from.intervals > 0 {
		all = append(all, move{"the interval is over", func(to *state) error {
			to.intervals--
			var err error
			to.platform, err = s.cluster.Interval(ctx, to.view, to.platform)
			return err
		}})
	}
	return all
}

// pipeline are the moves of a pipeline that runs: its next request, its end, a crash.
func (s *search) pipeline(from state, pod simulator.Pod) (moves []move, alone bool) {
	key, ctx := pod.Key(), s.t.Context()
	at := from.at[key]
	if at == nil {
		at = s.runner.begin(pod)
	}
	s.runner.look(at)
	exit := func(to *state, at *place, failed bool) error {
		to.at[key] = at
		return s.cluster.Exit(ctx, to.platform, pod, failed)
	}
	if at.request == nil {
		alone = true
		moves = append(moves, move{fmt.Sprintf("%s ends with %d: %s", pod.GetName(), at.outcome.code, strings.TrimSpace(at.outcome.said)), func(to *state) error {
			if at.outcome.code != 0 && (s.fails == nil || !s.fails(at.outcome.said)) {
				s.fail("%s fails", pod.GetName())
			}
			return exit(to, at, at.outcome.code != 0)
		}})
	} else {
		if alone = s.constant(at.request); alone && !at.request.reads {
			s.fail("%s: %s changes what was taken for constant", pod.GetName(), at.request.what)
		}
		moves = append(moves, move{pod.GetName() + ": " + at.request.what, func(to *state) error {
			client, err := guardtest.Open(to.platform, guardtest.Account(pod.GetNamespace(), pod.Promise(), pod.GetLabels()[kratix.LabelAction]), func(err error) { s.fail("the guard denies what %s writes: %v", pod.GetName(), err) })
			if err != nil {
				return err
			}
			to.at[key] = s.runner.after(at, at.request.do(ctx, client))
			return nil
		}})
	}
	if from.crashes > 0 && at.parent != nil && (at.request == nil || !alone) { // before its first request nothing has happened
		moves = append(moves, move{pod.GetName() + " crashes", func(to *state) error {
			to.crashes--
			return exit(to, at, true)
		}})
	}
	return moves, alone
}

// look has a state know what there is, and drops the places of Pods that are gone or run
// anew.
func (s *search) look(in *state) {
	var err error
	if in.view, err = s.cluster.View(s.t.Context(), in.platform); err != nil {
		s.t.Fatal(err)
	}
	maps.DeleteFunc(in.at, func(key string, _ *place) bool {
		return !slices.ContainsFunc(in.view.Pods, func(p simulator.Pod) bool { return p.Key() == key && p.Running() != "failed" && p.Running() != "done" })
	})
}

// after returns the state that a move leads to.
func (s *search) after(from state, m move) state {
	to := from.clone()
	if err := m.do(&to); err != nil {
		s.fail("%s: %v", m.name, err)
	}
	s.look(&to)
	if runs := to.view.Runs(); runs > s.most {
		s.fail("a request is run %d times", runs)
	}
	if s.always != nil && strings.HasPrefix(m.name, string(simulator.WorkWriter)) {
		if err := s.always(to.platform); err != nil {
			s.fail("%v", err)
		}
	}
	return to
}

func (s *search) fail(format string, args ...any) {
	if s.failed {
		return
	}
	s.failed = true
	s.t.Errorf("%s, after\n%s", fmt.Sprintf(format, args...), strings.Join(s.way, "\n"))
}

// ways returns the number of schedules from a state on, and looks at each state once.
func (s *search) from(at state) float64 {
	if s.failed || s.cut {
		return 0
	}
	digest := at.digest()
	if n, seen := s.ways[digest]; seen {
		return n
	}
	if s.onWay[digest] {
		s.fail("the requests keep each other awake")
		return 0
	}
	if *states > 0 && len(s.ways)+len(s.onWay) >= *states {
		s.cut = true
		return 0
	}
	s.onWay[digest] = true
	defer delete(s.onWay, digest)
	s.deepest = max(s.deepest, len(s.way))
	moves := s.moves(at)
	if len(moves) == 0 {
		s.rests++
		if err := s.atRest(at.platform); err != nil {
			s.fail("at rest: %v", err)
		}
		s.ways[digest] = 1
		return 1
	}
	var n float64
	for _, m := range moves {
		s.way = append(s.way, m.name)
		n += s.from(s.after(at, m))
		s.way = s.way[:len(s.way)-1]
	}
	s.ways[digest] = n
	return n
}

// rest does the first of all moves until there is none, and returns the state.
func (s *search) rest(at state) state {
	for range 10_000 {
		moves := s.moves(at)
		if len(moves) == 0 || s.failed {
			return at
		}
		s.way = append(s.way, moves[0].name)
		at = s.after(at, moves[0])
	}
	s.fail("it does not come to rest")
	return at
}
