package main

import (
	"strings"
	"testing"
	"time"
)

// What a run looks like to who watches it, line by line.
func TestWatch(t *testing.T) {
	const pkg = `"Package":"example.com/project/claim"`
	for _, test := range []struct {
		name, events, want string
		good               bool
	}{
		{"all pass", `
{"Action":"start",` + pkg + `}
{"Action":"run",` + pkg + `,"Test":"TestA"}
{"Action":"output",` + pkg + `,"Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output",` + pkg + `,"Test":"TestA","Output":"    a_test.go:3: chatter\n"}
{"Action":"attr",` + pkg + `,"Test":"TestA","Key":"tried.kill-points","Value":"40"}
{"Action":"attr",` + pkg + `,"Test":"TestA","Key":"tried.kill-points","Value":"2"}
{"Action":"attr",` + pkg + `,"Test":"TestA","Key":"other","Value":"7"}
{"Action":"pass",` + pkg + `,"Test":"TestA","Elapsed":1.5}
{"Action":"output",` + pkg + `,"Output":"PASS\n"}
{"Action":"pass",` + pkg + `,"Elapsed":2}
`, `ok    example.com/project/claim  2.0s
tried: 42 kill points; 0 seconds
tests: 1 passed, 0 failed, 0 skipped
`, true},
		{"one row fails, one is skipped", `
{"Action":"output",` + pkg + `,"Test":"TestA/row","Output":"    a_test.go:3: got 1, want 2\n"}
{"Action":"output",` + pkg + `,"Test":"TestA/row","Output":"--- FAIL: TestA/row (0.00s)\n"}
{"Action":"fail",` + pkg + `,"Test":"TestA/row"}
{"Action":"output",` + pkg + `,"Test":"TestB","Output":"    a_test.go:9: no disk of its own here\n"}
{"Action":"skip",` + pkg + `,"Test":"TestB"}
{"Action":"output",` + pkg + `,"Output":"FAIL\nFAIL\texample.com/project/claim\t2.0s\n"}
{"Action":"fail",` + pkg + `,"Elapsed":2}
`, `    a_test.go:3: got 1, want 2
--- FAIL: TestA/row (0.00s)
    a_test.go:9: no disk of its own here
FAIL  example.com/project/claim  2.0s
tried: nothing that is counted; 0 seconds
tests: 0 passed, 1 failed, 1 skipped
`, false},
		{"it does not build", `
{"ImportPath":"example.com/project/claim","Action":"build-output","Output":"claim.go:1:1: syntax error\n"}
{"Action":"start",` + pkg + `}
{"Action":"output",` + pkg + `,"Output":"FAIL\texample.com/project/claim [build failed]\n"}
{"Action":"fail",` + pkg + `}
`, `claim.go:1:1: syntax error
FAIL  example.com/project/claim  0.0s
tried: nothing that is counted; 0 seconds
tests: 0 passed, 0 failed, 0 skipped
`, false},
		{"from the cache", `
{"Action":"output",` + pkg + `,"Output":"ok  \texample.com/project/claim\t(cached)\n"}
{"Action":"pass",` + pkg + `}
`, `ok    example.com/project/claim  0.0s (cached)
tried: nothing that is counted; 0 seconds
tests: 0 passed, 0 failed, 0 skipped
`, true},
		{"go says something itself", "go: no such package\n", "go: no such package\ntried: nothing that is counted; 0 seconds\ntests: 0 passed, 0 failed, 0 skipped\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			now := time.Unix(0, 0)
			w := newWatch(&out, func() time.Time { return now })
			w.read(strings.NewReader(strings.TrimPrefix(test.events, "\n")))
			if good := w.close(); good != test.good || out.String() != test.want {
				t.Errorf("good: %t\n%s\nwant: %t\n%s", good, out.String(), test.good, test.want)
			}
		})
	}
}

// Whoever waits is told what for: of each package the innermost test that has run
// for longest.
func TestDoing(t *testing.T) {
	now := time.Unix(0, 0)
	w := newWatch(&strings.Builder{}, func() time.Time { return now })
	now = now.Add(30 * time.Second)
	if got := w.doing(); got != "building, 30s" {
		t.Error(got)
	}
	for _, line := range []string{
		`{"Action":"start","Package":"p/claim"}`, `{"Action":"run","Package":"p/claim","Test":"TestA"}`, `{"Action":"run","Package":"p/claim","Test":"TestA/one"}`,
		`{"Action":"pause","Package":"p/claim","Test":"TestA/one"}`, `{"Action":"run","Package":"p/claim","Test":"TestA/two"}`,
	} {
		w.line(line)
	}
	now = now.Add(12 * time.Second)
	w.line(`{"Action":"run","Package":"p/claim","Test":"TestA/three"}`)
	w.line(`{"Action":"start","Package":"p/ledger"}`)
	now = now.Add(10 * time.Second)
	if got := w.doing(); got != "claim TestA/two for 22s, ledger for 10s; 0 tests are done" {
		t.Error(got)
	}
}

// It speaks when nothing was said for long enough, and only then.
func TestSpeakUp(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	w := newWatch(&out, func() time.Time { return now })
	ticks := make(chan time.Time)
	stop := w.speakUp(20*time.Second, ticks)
	for _, passed := range []time.Duration{19 * time.Second, time.Second, 10 * time.Second, 10 * time.Second} {
		w.mutex.Lock()
		now = now.Add(passed)
		w.mutex.Unlock()
		ticks <- now
		ticks <- now // by then the one before has been dealt with
	}
	stop()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if want := "...   building, 20s\n...   building, 40s\n"; out.String() != want {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
}
