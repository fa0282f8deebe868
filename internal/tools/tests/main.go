// Command tests runs go test in several modules as one run that can be watched: a
// line for each package as it is done, the output of what fails, what is running
// whenever nothing was said for a while, and at the end what was tried.
//
//	tests [-C dir[,dir] [-first package]] [go test's own flags and packages]
//
// The package that -first names is of the first module, and begins before all others:
// go test takes packages in their order, and one that waits for servers at the end
// leaves a processor idle.
//
// What a test tries in numbers it says by an attribute whose key begins with
// "tried.", as in t.Attr("tried.years", "10"); they are added up by key.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	args, dirs := os.Args[1:], []string{"."}
	var first []string
	if len(args) > 1 && args[0] == "-C" {
		dirs, args = strings.Split(args[1], ","), args[2:]
	}
	if len(args) > 1 && args[0] == "-first" {
		first, args = args[1:2], args[2:]
	}
	w := newWatch(os.Stdout, time.Now)
	quiet := w.speakUp(20*time.Second, time.NewTicker(time.Second).C)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := runAll(ctx, w, dirs, first, args)
	stop()
	quiet()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests: "+err.Error())
	}
	if good := w.close(); !good || err != nil {
		os.Exit(1)
	}
}

// runAll tests the modules side by side, since each waits now and then: for a link,
// or for servers to answer.
func runAll(ctx context.Context, w *watch, dirs, first, args []string) error {
	errs := make([]error, len(dirs))
	var wait sync.WaitGroup
	for i, dir := range dirs {
		args := args
		if at := slices.IndexFunc(args, isPackage); i == 0 && at >= 0 {
			args = slices.Insert(slices.Clone(args), at, first...)
		}
		wait.Go(func() { errs[i] = run(ctx, w, dir, args) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func isPackage(arg string) bool { return strings.HasPrefix(arg, "./") }

// run has go test report to the watch. That tests fail is not its error.
func run(ctx context.Context, w *watch, dir string, args []string) error {
	command := []string{"-C", dir, "test", "-json"}
	if dir != "." { // its tests read files of the project, of which go test's cache does not know
		command = append(command, "-count=1")
	}
	cmd := exec.CommandContext(ctx, "go", append(command, args...)...)
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.read(output)
	var failed *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &failed) {
		w.failed()
	} else if err != nil {
		return err
	}
	return nil
}

// event is what go test -json says; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of what is built
	Elapsed                       float64
	Key, Value                    string // of an attribute
}

// name is a test of a package.
type name struct{ pkg, test string }

// watch follows one run.
type watch struct {
	mutex  sync.Mutex
	out    io.Writer
	now    func() time.Time
	began  time.Time
	spoken time.Time // when something was printed last

	running                 map[name]time.Time
	output                  map[name]*strings.Builder
	tried                   map[string]int
	passed, broken, skipped int
	bad                     bool
}

func newWatch(out io.Writer, now func() time.Time) *watch {
	return &watch{
		out: out, now: now, began: now(), spoken: now(),
		running: map[name]time.Time{}, output: map[name]*strings.Builder{}, tried: map[string]int{},
	}
}

func (w *watch) read(events io.Reader) {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			w.line(line)
		}
		if err != nil {
			return
		}
	}
}

func (w *watch) line(line string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		w.say("%s", line) // go itself
		return
	}
	at := name{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		w.say("%s", e.Output)
	case "run", "cont", "start":
		w.running[at] = w.now()
	case "pause":
		delete(w.running, at)
	case "output":
		if w.output[at] == nil {
			w.output[at] = &strings.Builder{}
		}
		w.output[at].WriteString(e.Output)
	case "attr":
		if what, ok := strings.CutPrefix(e.Key, "tried."); ok {
			n, _ := strconv.Atoi(e.Value)
			w.tried[what] += n
		}
	case "pass", "fail", "skip":
		w.end(at, e)
	}
}

// end counts what is done. Tests are counted, packages are shown.
func (w *watch) end(at name, e event) {
	delete(w.running, at)
	said := ""
	if b := w.output[at]; b != nil {
		said = b.String()
	}
	delete(w.output, at)
	switch {
	case at.test == "" && e.Action == "fail":
		w.bad = true
		w.say("%sFAIL  %s  %.1fs\n", plain(said), at.pkg, e.Elapsed)
	case at.test == "" && e.Action == "pass":
		w.say("ok    %s  %.1fs%s\n", at.pkg, e.Elapsed, map[bool]string{true: " (cached)"}[strings.Contains(said, "(cached)")])
	case at.test == "": // it has no tests
	case e.Action == "fail":
		w.bad = true
		w.broken++
		w.say("%s", plain(said))
	case e.Action == "skip":
		w.skipped++
		w.say("%s", plain(said))
	default:
		w.passed++
	}
}

// plain is what a test says without the lines that go test frames it with.
func plain(said string) string {
	var b strings.Builder
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "=== ") && line != "PASS\n" && line != "FAIL\n" && !strings.HasPrefix(line, "FAIL\t") && !strings.HasPrefix(line, "ok  \t") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (w *watch) say(format string, args ...any) {
	fmt.Fprintf(w.out, format, args...)
	w.spoken = w.now()
}

// failed notes that go test did, for whatever reason.
func (w *watch) failed() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.bad = true
}

// speakUp says at a tick what is running, if nothing was said for so long. It
// returns what ends it.
func (w *watch) speakUp(after time.Duration, ticks <-chan time.Time) func() {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-ticks:
				w.mutex.Lock()
				if w.now().Sub(w.spoken) >= after {
					w.say("...   %s\n", w.doing())
				}
				w.mutex.Unlock()
			}
		}
	}()
	return func() { close(done) }
}

// doing names the tests that run, of each package the one that does for longest.
func (w *watch) doing() string {
	longest := map[string]name{}
	for at, since := range w.running {
		parent := slices.ContainsFunc(slices.Collect(maps.Keys(w.running)), func(other name) bool {
			return other.pkg == at.pkg && (at.test == "" && other.test != "" || strings.HasPrefix(other.test, at.test+"/"))
		})
		if other, ok := longest[at.pkg]; !parent && (!ok || since.Before(w.running[other])) {
			longest[at.pkg] = at
		}
	}
	if len(longest) == 0 {
		return fmt.Sprintf("building, %s", w.since(w.began))
	}
	var all []string
	for _, pkg := range slices.Sorted(maps.Keys(longest)) {
		at := longest[pkg]
		short := pkg[strings.LastIndex(pkg, "/")+1:]
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s", short, at.test))+" for "+w.since(w.running[at]))
	}
	return fmt.Sprintf("%s; %d tests are done", strings.Join(all, ", "), w.passed+w.broken+w.skipped)
}

func (w *watch) since(t time.Time) string { return w.now().Sub(t).Round(time.Second).String() }

// close says what was tried, and reports whether all of it passed.
func (w *watch) close() bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(w.tried)) {
		all = append(all, fmt.Sprintf("%d %s", w.tried[what], strings.ReplaceAll(what, "-", " ")))
	}
	w.say("tried: %s; %d seconds\n", cmp.Or(strings.Join(all, ", "), "nothing that is counted"), int(w.now().Sub(w.began).Seconds()))
	w.say("tests: %d passed, %d failed, %d skipped\n", w.passed, w.broken, w.skipped)
	return !w.bad
}
