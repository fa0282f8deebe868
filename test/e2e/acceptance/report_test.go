package acceptance

import (
	"fmt"
	"os"
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

// tell runs one story.
func tell(t *testing.T, name string, do func(*story)) {
	t.Run(name, func(t *testing.T) { telling(t, name, do) })
}

// tellAtOnce has a story go on beside the others of its group.
func tellAtOnce(t *testing.T, name string, do func(*story)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		telling(t, name, do)
	})
}

func telling(t *testing.T, name string, do func(*story)) {
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
	fmt.Fprintf(&b, "# Baleen on a real platform\n\n%s\n\n| Story | Result | Took |\n|---|---|---|\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	for _, s := range report.stories {
		fmt.Fprintf(&b, "| %s | %s | %.0f s |\n", s.name, s.result, s.took.Seconds())
	}
	if len(report.measures) > 0 {
		b.WriteString("\n| Measured | |\n|---|---|\n")
		for _, m := range report.measures {
			fmt.Fprintf(&b, "| %s | %s |\n", m.what, m.value)
		}
	}
	b.WriteString("\n## What was seen\n")
	for _, s := range report.stories {
		fmt.Fprintf(&b, "\n**%s**: %s\n\n", s.name, s.result)
		for _, c := range s.claims {
			fmt.Fprintf(&b, "- %s\n", c)
		}
	}
	path := filepath.Join(root, "dist", "e2e-report.md")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
