package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// binary is the compiled tests of a package.
type binary struct {
	pkg, dir, file string
	flags          []string
	// startup is what a process needs before its first test.
	startup time.Duration
}

// unit is what is run by itself: a test or, where that takes long, a part of its
// subtests.
type unit struct {
	*binary
	names []string
	took  time.Duration
	// cases are the mutants that would make a difference in it.
	cases map[int]bool
}

// traced is a unit as it is kept from one run to the next.
type traced struct {
	Names []string
	Took  time.Duration
	Cases []int
}

func (u *unit) String() string { return u.is(u.names[0]) }

// is what a test is called in reports.
func (u *unit) is(name string) string { return u.pkg + " " + name }

// test is the name without that of a subtest.
func (u *unit) test() string {
	test, _, _ := strings.Cut(u.String(), "/")
	return test
}

// outcome is how a run of tests ended.
type outcome struct {
	failed, timedOut bool
	output           string
	// took is the time of a processor: how much else the machine has to do is not in it.
	took time.Duration
}

// run runs the tests that match a pattern, in a process with a folder of its own for
// temporary files.
func (b *binary) run(ctx context.Context, work, pattern string, limit time.Duration, environ []string, flags ...string) (outcome, error) {
	temp, err := os.MkdirTemp(work, "t")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(temp)
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(timed, b.file, slices.Concat([]string{"-test.timeout=0", "-test.run=" + pattern}, flags, b.flags)...)
	cmd.Dir = b.dir
	cmd.Env = append(append(os.Environ(), "TMPDIR="+temp, "GOGC=400"), environ...)
	out := &bounded{}
	cmd.Stdout, cmd.Stderr = out, out
	// What a test has started goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return outcome{
		failed: err != nil, timedOut: timed.Err() != nil, output: out.String(),
		took: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
	}, ctx.Err()
}

// bounded keeps the first part of what is written: a loop without an end may write
// for long.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := 16<<20 - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// pattern matches just these tests and what is in them.
func pattern(units []*unit) string {
	var all []string
	for _, u := range units {
		for _, name := range u.names {
			parts := strings.Split(name, "/")
			for i, part := range parts {
				parts[i] = "^" + regexp.QuoteMeta(part) + "$"
			}
			all = append(all, strings.Join(parts, "/"))
		}
	}
	return strings.Join(all, "|")
}

// verdict is a line in which a test, or a subtest, says how it ended.
var verdict = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \([0-9.]+s\)$`)

// A test that takes longer than this is traced in parts, which take about that long.
const (
	long = time.Second
	part = 300 * time.Millisecond
)

// traceAll finds out which mutants each test has a case for, and how long it takes.
// That is kept in the user's cache, until the tests or what they test is changed.
func traceAll(ctx context.Context, o options, binaries []*binary, work string, p *progress) ([]*unit, error) {
	var units []*unit
	for _, b := range binaries {
		kept, err := b.cache(o)
		if err != nil {
			return nil, err
		}
		found := b.read(kept)
		if found == nil {
			if found, err = b.trace(ctx, o, work, p); err != nil {
				return nil, err
			}
			b.write(kept, found)
		}
		units = append(units, found...)
	}
	return units, nil
}

// cache names the file in which the trace of just these tests is kept.
func (b *binary) cache(o options) (string, error) {
	data, err := os.ReadFile(b.file)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	hash.Write(data)
	fmt.Fprintln(hash, b.flags, o.budget)
	return filepath.Join(o.cache, fmt.Sprintf("%x.json", hash.Sum(nil)[:16])), nil
}

func (b *binary) read(file string) (units []*unit) {
	var kept []traced
	data, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(data, &kept) != nil {
		return nil
	}
	for _, k := range kept {
		u := &unit{binary: b, names: k.Names, took: k.Took, cases: map[int]bool{}}
		for _, id := range k.Cases {
			u.cases[id] = true
		}
		units = append(units, u)
	}
	return units
}

// write keeps a trace, if it can.
func (b *binary) write(file string, units []*unit) {
	var kept []traced
	for _, u := range units {
		kept = append(kept, traced{u.names, u.took, slices.Sorted(maps.Keys(u.cases))})
	}
	if data, err := json.Marshal(kept); err == nil && os.MkdirAll(filepath.Dir(file), 0o755) == nil {
		_ = os.WriteFile(file, data, 0o600)
	}
}

// trace runs each test once.
func (b *binary) trace(ctx context.Context, o options, work string, p *progress) ([]*unit, error) {
	listed, err := b.run(ctx, work, "", time.Minute, nil, "-test.list=^(Test|Fuzz|Example)")
	if err != nil {
		return nil, fmt.Errorf("the tests of %s cannot be listed: %w", b.pkg, err)
	}
	if listed.failed {
		return nil, fmt.Errorf("the tests of %s cannot be listed: %s", b.pkg, listed.output)
	}
	b.startup = listed.took
	var all []*unit
	for line := range strings.Lines(listed.output) {
		all = append(all, &unit{binary: b, names: []string{strings.TrimSpace(line)}})
	}
	found, err := inParallel(o.parallel, all, func(u *unit) ([]*unit, error) { return u.trace(ctx, o, work, p) })
	return slices.Concat(found...), err
}

// trace runs a test once. Where it is long, parts of it take its place. One that fails
// by itself, or is longer than the budget, is left out.
func (u *unit) trace(ctx context.Context, o options, work string, p *progress) ([]*unit, error) {
	p.say("finding out what %s has a case for", u)
	file, err := os.CreateTemp(work, "trace")
	if err != nil {
		return nil, err
	}
	defer file.Close() // it goes with its folder
	result, err := u.run(ctx, work, pattern([]*unit{u}), 10*time.Minute, []string{"MUTANT_TRACE=" + file.Name()}, "-test.v")
	if err != nil {
		return nil, err
	}
	if result.failed {
		p.note("left out, it fails without a mutant: %s", u)
		return nil, nil
	}
	u.took = max(10*time.Millisecond, result.took-u.startup)
	if inner := subtests(result.output); u.took > long && len(u.names) == 1 && len(inner) > 1 {
		size := max(1, int(time.Duration(len(inner))*part/u.took))
		var found []*unit
		for names := range slices.Chunk(inner, size) {
			more, err := (&unit{binary: u.binary, names: names}).trace(ctx, o, work, p)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
		return found, nil
	}
	if u.took > o.budget {
		p.note("left out, it takes %s: %s", u.took.Round(time.Second), u)
		return nil, nil
	}
	data, err := os.ReadFile(file.Name())
	if err != nil {
		return nil, err
	}
	u.cases = map[int]bool{}
	for line := range strings.Lines(string(data)) {
		if id, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			u.cases[id] = true
		}
	}
	return []*unit{u}, nil
}

// subtests are the innermost ones that ran: their names have slashes of their own.
func subtests(output string) (names []string) {
	outer := map[string]bool{}
	for _, line := range verdict.FindAllStringSubmatch(output, -1) {
		if name := line[2]; line[1] != "SKIP" && strings.Contains(name, "/") {
			names = append(names, name)
			for i := strings.LastIndexByte(name, '/'); i >= 0; i = strings.LastIndexByte(name[:i], '/') {
				outer[name[:i]] = true
			}
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return outer[name] })
}

// inParallel does something for each of several, n at a time, and returns what came
// of it in their order.
func inParallel[A, B any](n int, all []A, do func(A) (B, error)) ([]B, error) {
	results := make([]B, len(all))
	var failed error
	var mutex sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, max(1, n))
	for i, a := range all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			result, err := do(a)
			mutex.Lock()
			defer mutex.Unlock()
			results[i] = result
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	group.Wait()
	return results, failed
}
