package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal"
)

var (
	seeds = flag.Int("seeds", 2, "how many schedules of one year to try")
	seed  = flag.Uint64("seed", 0, "the one schedule to replay; 0 tries -seeds of them")
	from  = flag.Uint64("from", 1, "the first of the schedules to try")
)

// Two teams have credentials on two to four clusters, and for a year everything
// happens that happens to platforms. At every step:
//
//   - what a cluster holds connects, and may do what was granted and nothing else;
//   - a workload's Secret changes only with a generation of its own, for a named
//     reason;
//   - a request that is gone has no key left that can connect;
//   - nothing is outside that no ledger knows;
//   - nothing is sealed for a key that the cluster does not have;
//   - a run with nothing to do writes nothing.
//
// When everything is calm again, every request is ready.
func TestYears(t *testing.T) {
	years(t, *seeds, false)
}

var totals struct{ events, runs, generations, connections atomic.Int64 }

// The same with the users of an account in Synadia Cloud: its stand-in makes them,
// and every request to it may go wrong too.
func TestYearsInCloud(t *testing.T) {
	years(t, (*seeds*4+4)/5, true)
}

func years(t *testing.T, n int, inCloud bool) {
	keyPool()
	debug.SetGCPercent(2000)
	if *seed != 0 {
		year(t, *seed, inCloud)
		return
	}
	t.Attr("tried.years-of-credentials", fmt.Sprint(n))
	for s := *from; s < *from+uint64(n); s++ {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			year(t, s, inCloud)
		})
	}
	t.Cleanup(func() {
		t.Logf("%d schedules; with those before: %d events, %d runs of a pipeline, %d generations issued, %d connections tried",
			n, totals.events.Load(), totals.runs.Load(), totals.generations.Load(), totals.connections.Load())
	})
}

func year(t *testing.T, seed uint64, inCloud bool) {
	dir, err := os.MkdirTemp("/dev/shm", "year")
	if err != nil {
		dir = t.TempDir()
	} else {
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	synctest.Test(t, func(t *testing.T) {
		system, err := natslocal.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, seed, system, dir, inCloud)
		defer func() {
			totals.generations.Add(int64(len(w.seen)))
			if t.Failed() {
				// A subtest's FAIL is printed when all others are done too, hours later in a soak.
				fmt.Fprintf(os.Stderr, "FAILED: seed %d, in the cloud: %t\n", seed, inCloud)
				t.Logf("replay it with: go test ./test/simulation -run %s -seed %d\n%s", map[bool]string{false: "TestYears$", true: "TestYearsInCloud"}[inCloud], seed, strings.Join(w.schedule, "\n"))
			}
		}()
		end := time.Now().AddDate(1, 0, 0)
		for time.Now().Before(end) && !t.Failed() {
			w.somethingHappens()
			for range 1 + w.random.IntN(12) {
				w.tick()
			}
		}
		if !t.Failed() {
			w.calm()
		}
	})
}

func (w *world) somethingHappens() {
	total := 0
	for _, e := range events {
		total += e.weight
	}
	n := w.random.IntN(total)
	for _, e := range events {
		if n -= e.weight; n >= 0 {
			continue
		}
		w.note("%s", e.name)
		before := len(w.schedule)
		totals.events.Add(1)
		if !e.happen(w) && len(w.schedule) == before {
			w.schedule = w.schedule[:before-1]
		}
		break
	}
	w.check()
}

// tick is one interval of Kratix: requests that are due are run, with faults.
func (w *world) tick() {
	ledgers := w.ledgers()
	for _, r := range append([]ref{commerce}, w.refs()...) {
		if !w.due(r, ledgers) && w.random.IntN(100) > 0 {
			continue // a run would have nothing to do, which a few show
		}
		if since, ok := w.stalled[r]; ok && w.get(r) != nil && w.get(r).GetDeletionTimestamp() == nil { // deletions are not at an interval
			if time.Since(since) > 10*24*time.Hour { // longer than anything is away
				w.t.Errorf("Kratix has forgotten %s since %s, and nobody has asked for it", r, since.UTC().Format(time.RFC3339))
			}
			continue
		}
		f := w.someFault()
		if !f.isZero() {
			w.note("%s runs%s", r, f)
		}
		w.runAny(r, f)
	}
	if w.random.IntN(4) > 0 {
		w.serveLabels()
	}
	w.check()
	time.Sleep(interval + time.Duration(w.random.IntN(3600))*time.Second)
	w.ring()
}

// due reports whether a run of a request would find something to do.
func (w *world) due(r ref, ledgers []*ledger.Ledger) bool {
	if w.dirty[r] {
		return true
	}
	if r == commerce && w.cloud != nil && w.random.IntN(3) == 0 {
		return true // it reads the users once a day
	}
	if r == commerce && len(w.stalled) > 0 {
		return true // it asks for their runs
	}
	now := time.Now()
	for _, l := range ledgers {
		if r == commerce {
			if l.Count(ledger.Retiring) > 0 || !l.MissingSince.IsZero() || l.Tombstone != nil && !l.Tombstone.Done {
				return true
			}
			continue
		}
		if l.Request.Namespace != r.namespace || l.Request.Name != r.name {
			continue
		}
		for i := range l.Records {
			row := &l.Records[i]
			current := l.Current(row.Destination)
			switch {
			case row.State == ledger.Intended, row.State == ledger.Retiring, credential.Awaited(l, row):
				return true
			case row == current && now.After(row.Renews):
				return true
			case row.State == ledger.Active && row != current && current != nil && !current.Written.IsZero() && now.After(current.Written.Add(overlap)):
				return true
			}
		}
	}
	if o := w.get(r); o != nil {
		leaving, _, _ := unstructured.NestedSlice(o.Object, "status", "leavingDestinations")
		return len(leaving) > 0
	}
	return false
}
