package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// stateOf is what became of a mutant.
type fate string

const (
	killed   fate = "killed"
	timedOut fate = "timeout"
	// untried are those that no test has a case for: it does not get there, or the
	// value that it finds is that of the mutant too.
	untried  fate = "untried"
	survived fate = "survived"
)

// result is what became of a mutant and by which test.
type result struct {
	mutant
	Fate fate   `json:"fate"`
	By   string `json:"by,omitempty"`
	// LeftOut are tests that have a case for it and that the budget left no time for.
	LeftOut int `json:"leftOut,omitempty"`
}

// trial tries one mutant after the other.
type trial struct {
	options
	mutants []*mutant
	units   []*unit
	work    string

	mutex   sync.Mutex
	results []*result
	// killers are those of a function's mutants, the last first: who noticed one may
	// well notice another.
	killers map[string][]*unit
	hinted  map[string]string
}

func newTrial(o options, mutants []*mutant, units []*unit, work string) *trial {
	t := &trial{options: o, mutants: mutants, units: units, work: work, killers: map[string][]*unit{}, hinted: map[string]string{}}
	if o.hints != nil {
		for _, r := range o.hints.Mutants {
			t.hinted[r.key()] = r.By
		}
	}
	return t
}

func (t *trial) run(ctx context.Context, p *progress) {
	begun := time.Now()
	p.watch(func() string { return t.progress(begun) })
	_, _ = inParallel(t.parallel, t.mutants, func(m *mutant) (any, error) {
		if r, err := t.try(ctx, m); err == nil {
			t.mutex.Lock()
			t.results = append(t.results, r)
			t.mutex.Unlock()
			if r.By == "" {
				p.note("%s\n  %s%s", m, r.Fate, r.leftOut())
			}
		} else if ctx.Err() == nil {
			p.note("%v: %s", err, m)
		}
		return nil, nil
	})
	slices.SortFunc(t.results, func(a, b *result) int { return a.ID - b.ID })
}

// try runs the tests that have a case for a mutant until one fails.
func (t *trial) try(ctx context.Context, m *mutant) (*result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	batches, cases, left := t.batches(m)
	if cases == 0 {
		return &result{mutant: *m, Fate: untried}, nil
	}
	for _, batch := range batches {
		out, err := batch.units[0].run(ctx, t.work, pattern(batch.units), t.leastTime+20*batch.took, []string{fmt.Sprintf("MUTANT=%d", m.ID)}, "-test.failfast")
		if err != nil {
			return nil, err
		}
		if !out.failed {
			continue
		}
		killer, by := batch.killer(out.output)
		t.remember(m, killer)
		if out.timedOut {
			return &result{mutant: *m, Fate: timedOut, By: by}, nil
		}
		return &result{mutant: *m, Fate: killed, By: by}, nil
	}
	return &result{mutant: *m, Fate: survived, LeftOut: left}, nil
}

func (t *trial) remember(m *mutant, killer *unit) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	others := slices.DeleteFunc(t.killers[m.function], func(u *unit) bool { return u == killer })
	t.killers[m.function] = slices.Insert(others, 0, killer)
}

// batch is what is run in one process, in about that time.
type batch struct {
	units []*unit
	took  time.Duration
}

// killer is the part of a batch that failed, and the name of the test. One that has
// said nothing, as it looped, is taken for the first.
func (b *batch) killer(output string) (*unit, string) {
	for _, line := range verdict.FindAllStringSubmatch(output, -1) {
		for _, u := range b.units {
			if line[1] == "FAIL" && slices.Contains(u.names, line[2]) {
				return u, u.is(line[2])
			}
		}
	}
	return b.units[0], b.units[0].String()
}

// batches are the tests that have a case for a mutant, as they are run: first those
// that most likely kill it, then each batch twice as long as the one before, the
// package's own tests and the quick ones first.
func (t *trial) batches(m *mutant) (batches []*batch, cases, left int) {
	t.mutex.Lock()
	killers := slices.Clone(t.killers[m.function])
	t.mutex.Unlock()
	rank := func(u *unit) int {
		if hint := t.hinted[m.key()]; slices.ContainsFunc(u.names, func(name string) bool { return u.is(name) == hint }) {
			return -1
		}
		if i := slices.Index(killers, u); i >= 0 && i < 4 {
			return i
		}
		return 4
	}
	foreign := func(u *unit) int {
		if u.pkg == m.Package {
			return 0
		}
		return 1
	}
	var units []*unit
	for _, u := range t.units {
		if u.cases[m.ID] {
			units = append(units, u)
		}
	}
	// Of the subtests of one test each next one counts as that much longer: they are
	// alike, and another test looks at something else.
	slices.SortStableFunc(units, func(a, b *unit) int { return cmp.Compare(a.took, b.took) })
	alike, cost := map[string]int{}, map[*unit]time.Duration{}
	for _, u := range units {
		alike[u.test()]++
		cost[u] = u.took * time.Duration(alike[u.test()])
	}
	slices.SortStableFunc(units, func(a, b *unit) int {
		return cmp.Or(rank(a)-rank(b), foreign(a)-foreign(b), cmp.Compare(cost[a], cost[b]))
	})
	spent, most := time.Duration(0), 500*time.Millisecond
	var last *batch
	likely := false
	for i, u := range units {
		if spent+u.took > t.budget {
			return batches, len(units), len(units) - i
		}
		spent += u.took
		fits := last != nil && last.units[0].binary == u.binary && last.took+u.took <= most
		if !fits || rank(u) == -1 || likely != (rank(u) < 4) {
			if last != nil && !likely {
				most *= 2
			}
			last = &batch{}
			batches = append(batches, last)
		}
		likely = rank(u) < 4
		last.units = append(last.units, u)
		last.took += u.took
	}
	return batches, len(units), 0
}
