// Package mutant is what instrumented source calls: it knows which mutant is
// alive, and writes down which ones make a difference in a test. It is laid over the module
// that is tried, as its package internal/mutant.
package mutant

import (
	"cmp"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
	"time"
)

var (
	// alive is the number of the one mutant that differs from the source, 0 none.
	alive, _ = strconv.Atoi(os.Getenv("MUTANT"))
	// trace gets the numbers of the mutants that would make a difference.
	trace   *os.File
	reached sync.Map
)

func init() {
	if name := os.Getenv("MUTANT_TRACE"); name != "" {
		var err error
		if trace, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			panic(err)
		}
	}
	if alive != 0 {
		go limit()
	}
}

// limit ends a process that a mutant makes grow without an end, before the machine
// has no memory left.
func limit() {
	const most = 3 << 30
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for ; ; time.Sleep(100 * time.Millisecond) {
		if metrics.Read(heap); heap[0].Value.Uint64() > most {
			fmt.Fprintln(os.Stderr, "mutant: more memory than a test needs")
			os.Exit(1)
		}
	}
}

// On reports whether a mutant is alive, where it differs whenever it is reached.
func On(id int) bool {
	differs(id)
	return id == alive
}

// differs notes that a test gets to where a mutant is not the same as the source. A
// test that never does cannot kill it.
func differs(id int) {
	if trace == nil {
		return
	}
	if _, known := reached.LoadOrStore(id, true); !known {
		fmt.Fprintln(trace, id)
	}
}

// Always is the condition, or true while the mutant is alive.
func Always[B ~bool](id int, condition B) B {
	if !condition {
		differs(id)
	}
	return condition || id == alive
}

// Never is the condition, or false while the mutant is alive.
func Never[B ~bool](id int, condition B) B {
	if condition {
		differs(id)
	}
	return condition && id != alive
}

// Less is <, or <= while the mutant is alive; the others are alike.
func Less[T cmp.Ordered](id int, a, b T) bool {
	if a == b {
		differs(id)
	}
	return a < b || a == b && id == alive
}

// LessOrEqual is <=, or < while the mutant is alive.
func LessOrEqual[T cmp.Ordered](id int, a, b T) bool {
	if a == b {
		differs(id)
	}
	return a < b || a == b && id != alive
}

// Greater is >, or >= while the mutant is alive.
func Greater[T cmp.Ordered](id int, a, b T) bool { return Less(id, b, a) }

// GreaterOrEqual is >=, or > while the mutant is alive.
func GreaterOrEqual[T cmp.Ordered](id int, a, b T) bool { return LessOrEqual(id, b, a) }
