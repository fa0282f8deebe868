package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"
)

// report is what came of all mutants.
type report struct {
	Packages []*tally  `json:"packages"`
	Mutants  []*result `json:"mutants"`
}

// killed reports whether a mutant was killed.
func (r *report) killed(m *mutant) bool {
	return r != nil && slices.ContainsFunc(r.Mutants, func(one *result) bool { return one.key() == m.key() && one.By != "" })
}

// tally counts fates in a package.
type tally struct {
	Package  string  `json:"package"`
	Mutants  int     `json:"mutants"`
	Killed   int     `json:"killed"`
	TimedOut int     `json:"timeout"`
	Untried  int     `json:"untried"`
	Survived int     `json:"survived"`
	Percent  float64 `json:"percent"`
}

func (t *tally) count(f fate) {
	t.Mutants++
	switch f {
	case killed:
		t.Killed++
	case timedOut:
		t.TimedOut++
	case untried:
		t.Untried++
	case survived:
		t.Survived++
	}
	t.Percent = 100 * float64(t.Killed+t.TimedOut) / float64(t.Mutants)
}

func newReport(results []*result) *report {
	r := &report{Mutants: results}
	for _, one := range results {
		folder := path.Dir(one.File)
		if n := len(r.Packages); n == 0 || r.Packages[n-1].Package != folder {
			r.Packages = append(r.Packages, &tally{Package: folder})
		}
		r.Packages[len(r.Packages)-1].count(one.Fate)
	}
	return r
}

func (r *report) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PACKAGE\tMUTANTS\tKILLED\tTIMEOUT\tUNTRIED\tSURVIVED\t%")
	all := &tally{Package: "all"}
	for _, one := range r.Mutants {
		all.count(one.Fate)
	}
	for _, t := range append(slices.Clip(r.Packages), all) {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", t.Package, t.Mutants, t.Killed, t.TimedOut, t.Untried, t.Survived, strconv.FormatFloat(t.Percent, 'f', 1, 64))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, one := range r.Mutants {
		if one.By != "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s\n  %s%s\n", &one.mutant, one.Fate, one.leftOut()); err != nil {
			return err
		}
	}
	return nil
}

func (r *result) leftOut() string {
	if r.LeftOut == 0 {
		return ""
	}
	return fmt.Sprintf("; %d tests with a case for it were left out, for a larger -budget", r.LeftOut)
}

// progress says now and then what is being done.
type progress struct {
	mutex sync.Mutex
	w     io.Writer
	what  func() string
}

// A line appears at least this often.
const often = 15 * time.Second

func (p *progress) start() (stop func()) {
	ticker, done := time.NewTicker(often), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				p.mutex.Lock()
				if p.what != nil {
					fmt.Fprintln(p.w, "mutate:", p.what())
				}
				p.mutex.Unlock()
			case <-done:
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}

func (p *progress) watch(what func() string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.what = what
}

func (p *progress) say(format string, args ...any) {
	p.watch(func() string { return fmt.Sprintf(format, args...) })
}

func (p *progress) note(format string, args ...any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	fmt.Fprintf(p.w, "mutate: "+format+"\n", args...)
}

func (t *trial) progress(begun time.Time) string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	all := &tally{}
	for _, r := range t.results {
		all.count(r.Fate)
	}
	left := "unknown"
	if all.Mutants > 0 {
		left = (time.Since(begun) / time.Duration(all.Mutants) * time.Duration(len(t.mutants)-all.Mutants)).Round(time.Second).String()
	}
	return fmt.Sprintf("%d of %d mutants, %d killed, %d untried, %d survived, %s left", all.Mutants, len(t.mutants), all.Killed+all.TimedOut, all.Untried, all.Survived, left)
}
