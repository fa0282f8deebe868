package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// report collects what is worth telling of a run.
var report = struct {
	sync.Mutex
	stories  []told
	measures []measure
}{}

type told struct {
	name, result string
	took         time.Duration
	claims       []string
}

type measure struct{ what, value string }

// story is a test whose outcome is in the report, with what it has seen to hold.
type story struct {
	*testing.T
	began  time.Time
	claims []string
}

type named struct {
	name string
	do   func(*story)
}

// tellAtOnce runs stories in their order, no more than six at any time.
func tellAtOnce(t *testing.T, stories []named) {
	slots := make(chan struct{}, 6)
	var all sync.WaitGroup
	for _, n := range stories {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			tell(t, n.name, n.do)
		})
	}
	all.Wait()
}

// tell runs one story.
func tell(t *testing.T, name string, do func(*story)) {
	t.Run(name, func(t *testing.T) {
		s := &story{T: t, began: time.Now()}
		t.Cleanup(func() {
			result := "ok"
			if t.Failed() {
				result = "FAILED"
			} else if t.Skipped() {
				result = "skipped"
			}
			report.Lock()
			defer report.Unlock()
			report.stories = append(report.stories, told{name: name, result: result, took: time.Since(s.began), claims: s.claims})
		})
		do(s)
	})
}

// holds notes what was seen.
func (s *story) holds(format string, args ...any) {
	s.Helper()
	claim := fmt.Sprintf(format, args...)
	s.Logf("%6.1f s  %s", time.Since(s.began).Seconds(), claim)
	s.claims = append(s.claims, claim)
}

// measured notes a figure for the table.
func measured(what, format string, args ...any) {
	report.Lock()
	defer report.Unlock()
	report.measures = append(report.measures, measure{what, fmt.Sprintf(format, args...)})
}

func writeReport() error {
	report.Lock()
	defer report.Unlock()
	if len(report.stories) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Baleen on a real platform\n\n%s, with the Kratix %s\n\n| Story | Result | Took |\n|---|---|---|\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), world.Kratix)
	for _, s := range report.stories {
		fmt.Fprintf(&b, "| %s | %s | %.0f s |\n", s.name, s.result, s.took.Seconds())
	}
	if len(report.measures) > 0 {
		b.WriteString("\n| Measured | |\n|---|---|\n")
		for _, m := range report.measures {
			fmt.Fprintf(&b, "| %s | %s |\n", m.what, m.value)
		}
	}
	b.WriteString("\nWhat each cluster got, and when, is in `e2e-state.bundle`: `git clone -b main dist/e2e-state.bundle state`.\n")
	b.WriteString("\n## What was seen\n")
	for _, s := range report.stories {
		fmt.Fprintf(&b, "\n**%s**: %s\n\n", s.name, s.result)
		for _, c := range s.claims {
			fmt.Fprintf(&b, "- %s\n", c)
		}
	}
	dist := filepath.Join(root, "dist")
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dist, "e2e-report.md"), []byte(b.String()), 0o644), keepState(dist))
}

// keepState keeps the whole history of the state store: a folder for each cluster, a
// commit for each change.
func keepState(dir string) error {
	file, err := filepath.Abs(filepath.Join(dir, "e2e-state.bundle"))
	if err != nil {
		return err
	}
	if out, err := exec.Command("git", "-c", "safe.directory=*", "-C", world.Git, "bundle", "create", "--quiet", file, "main").CombinedOutput(); err != nil {
		return fmt.Errorf("the history of the state store is not kept: %s", out)
	}
	return nil
}
