//go:build failpoint

// Package failpoint ends the process at a point of its choice, so that a test can try
// them all. No binary that is released has it: the build tag failpoint brings it in,
// with files of the packages that have such points.
package failpoint

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var (
	mutex sync.Mutex
	count int
	at, _ = strconv.Atoi(os.Getenv("BALEEN_FATAL"))
	list  = os.Getenv("BALEEN_FATAL_LIST")
)

// Point is where the process may end: the n-th one kills it if BALEEN_FATAL is n,
// once it has done what comes last. BALEEN_FATAL_LIST is a file that gets the names.
func Point(name string, last ...func()) {
	mutex.Lock()
	defer mutex.Unlock()
	count++
	if list != "" {
		note(fmt.Sprintf("%d %s\n", count, name))
	}
	if count != at {
		return
	}
	for _, do := range last {
		do()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the kernel has done it
}

func note(line string) {
	file, err := os.OpenFile(list, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = file.WriteString(line)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		panic(err)
	}
}

// source makes a point of each key that is drawn at random: that of an identity
// that is proposed, and that which seals an identity just after it was issued. An
// issuer that signs has no other effect that one could see from outside.
type source struct{ io.Reader }

func init() { rand.Reader = source{rand.Reader} }

func (s source) Read(p []byte) (int, error) {
	if len(p) == 32 { // what is drawn for a name is shorter
		Point(caller() + " draws a key")
	}
	return s.Reader.Read(p)
}

// caller is the function of Baleen's that is at work.
func caller() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "/baleen/") && !strings.Contains(frame.Function, "/failpoint.") {
			return path.Base(frame.Function)
		}
		if !more {
			return "somebody"
		}
	}
}
