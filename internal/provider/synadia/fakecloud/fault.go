package fakecloud

import (
	"bytes"
	"maps"
	"net/http"
	"path"
	"strconv"
	"time"
)

// Fault is a request that goes wrong: which one, and how.
type Fault struct {
	// Method and Path say which requests match, empty for all. In a path, which is
	// without /api/core/beta before it, * stands for one segment, as in
	// [path.Match].
	Method, Path string
	// Nth is which of the requests that match fails, counted from 1; 0 is each.
	Nth int

	// Late lets the request have its effect before it goes wrong by Status, Drop
	// or Delay.
	Late bool
	// Delay is waited. The request has its effect even if the client leaves
	// meanwhile.
	Delay time.Duration
	// Status is answered instead, with this body, which may well be empty, as JSON,
	// and a Retry-After header where that is set.
	Status           int
	Body, RetryAfter string
	// Drop cuts the connection instead of an answer.
	Drop bool
	// Half cuts the connection after half of the answer's body.
	Half bool
	// ContentType is said to be that of the answer.
	ContentType string
	// Twice lets the request have its effect two times.
	Twice bool
}

type rule struct {
	Fault
	seen int
}

// Fail makes requests go wrong. The first fault that applies is taken.
func (c *Cloud) Fail(faults ...Fault) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, f := range faults {
		c.rules = append(c.rules, &rule{Fault: f})
	}
}

// Heal ends all faults.
func (c *Cloud) Heal() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.rules = nil
}

// fault returns what shall go wrong with a request, if anything.
func (c *Cloud) fault(r *http.Request) (found Fault, told bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, rule := range c.rules {
		if !rule.matches(r) {
			continue
		}
		rule.seen++
		if !told && (rule.Nth == 0 || rule.Nth == rule.seen) {
			found, told = rule.Fault, true
		}
	}
	return found, told
}

func (f Fault) matches(r *http.Request) bool {
	if f.Method != "" && f.Method != r.Method {
		return false
	}
	matched, _ := path.Match(f.Path, shortPath(r)) // a bad pattern matches nothing
	return f.Path == "" || matched
}

func (f Fault) cuts() bool { return f.Drop || f.Half }

// around lets a request have its effect, or not, and returns the answer.
func (f Fault) around(effect func() *answer) *answer {
	if !f.Late {
		time.Sleep(f.Delay)
	}
	a := newAnswer()
	if f.Late || f.Status == 0 && !f.Drop {
		a = effect()
	}
	if f.Twice {
		a = effect()
	}
	if f.Late {
		time.Sleep(f.Delay)
	}
	if f.Status != 0 {
		a = newAnswer()
		a.status = f.Status
		a.header.Set("Content-Type", "application/json")
		a.body.WriteString(f.Body)
		if f.RetryAfter != "" {
			a.header.Set("Retry-After", f.RetryAfter)
		}
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	if f.Status != 0 || f.ContentType != "" {
		a.header.Set(InjectedHeader, "true")
	}
	return a
}

// InjectedHeader marks an answer that is wrong because the cloud was told so.
const InjectedHeader = "X-Injected-Fault"

// send gives the client the answer, or what it shall get of it.
func (f Fault) send(w http.ResponseWriter, a *answer) {
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	if a.body.Len() > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	}
	w.WriteHeader(a.status)
	if !f.Half {
		_, _ = w.Write(a.body.Bytes()) // the client may have left
		return
	}
	_, _ = w.Write(a.body.Bytes()[:a.body.Len()/2])
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	panic(http.ErrAbortHandler)
}

// answer is kept until it is known what the client shall get.
type answer struct {
	status     int
	header     http.Header
	body       bytes.Buffer
	wrote, cut bool
}

func newAnswer() *answer { return &answer{status: http.StatusOK, header: http.Header{}} }

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status, a.wrote = status, true }
func (a *answer) Write(p []byte) (int, error) { a.wrote = true; return a.body.Write(p) }
