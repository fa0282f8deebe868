// Package mutant is what instrumented source calls: it knows which mutant is
// alive, and writes down which ones a test reaches. It is laid over the module
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
	// trace gets the numbers of the mutants that are reached.
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

// On reports whether a mutant is alive.
func On(id int) bool {
	if trace != nil {
		if _, known := reached.LoadOrStore(id, true); !known {
			fmt.Fprintln(trace, id)
		}
	}
	return id == alive
}

// Less is <, or <= while the mutant is alive; the others are alike.
func Less[T cmp.Ordered](id int, a, b T) bool {
	if On(id) {
		return a <= b
	}
	return a < b
}

// LessOrEqual is <=, or < while the mutant is alive.
func LessOrEqual[T cmp.Ordered](id int, a, b T) bool {
	if On(id) {
		return a < b
	}
	return a <= b
}

// Greater is >, or >= while the mutant is alive.
func Greater[T cmp.Ordered](id int, a, b T) bool { return Less(id, b, a) }

// GreaterOrEqual is >=, or > while the mutant is alive.
func GreaterOrEqual[T cmp.Ordered](id int, a, b T) bool { return LessOrEqual(id, b, a) }
