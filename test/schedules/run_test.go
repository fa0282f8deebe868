package schedules

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/pipelines"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
)

// request is a request to the platform, and answer what comes of it.
type request struct {
	what string
	// reads: it changes nothing. What it is about has this kind, namespace and name.
	reads           bool
	kind            platform.Kind
	namespace, name string
	do              func(context.Context, platform.Client) answer
}

type answer struct {
	object  *unstructured.Unstructured
	objects []unstructured.Unstructured
	err     error
}

// key is the same for two answers exactly if a pipeline cannot tell them apart.
func (a answer) key() [sha256.Size]byte {
	data, _ := json.Marshal([]any{a.object, a.objects, fmt.Sprint(a.err)}) // decoded JSON always encodes
	return sha256.Sum256(data)
}

// copies what a run may change.
func (a answer) clone() answer {
	if a.object != nil {
		a.object = a.object.DeepCopy()
	}
	objects := slices.Clone(a.objects)
	for i := range objects {
		objects[i] = *objects[i].DeepCopy()
	}
	a.objects = objects
	return a
}

// place is a place in a pipeline's run: what it has been answered leads there.
type place struct {
	id     int
	run    *run
	parent *place
	answer answer // that led here from the parent
	next   map[[sha256.Size]byte]*place

	known   bool
	request *request // that it makes next, nil where it has ended
	outcome outcome
}

// outcome is how a run has ended.
type outcome struct {
	code    int
	said    string
	emitted simulator.Emitted
}

// run is what a pipeline's container starts with.
type run struct {
	promise string
	env     []string
	mounted *unstructured.Unstructured
	seed    uint64 // of what it makes at random
}

// runner runs pipelines, as far as a place in one needs it.
type runner struct {
	t          *testing.T
	now        time.Time
	roots      map[string]*place
	places     int
	executions int
	live       *execution
}

func newRunner(t *testing.T, now time.Time) *runner {
	return &runner{t: t, now: now, roots: map[string]*place{}}
}

func (r *runner) place(p place) *place {
	r.places++
	p.id, p.next = r.places, map[[sha256.Size]byte]*place{}
	return &p
}

// later has all runs from now on begin at another time.
func (r *runner) later(by time.Duration) {
	r.stop()
	r.now, r.roots = r.now.Add(by), map[string]*place{}
}

// begin returns where the pipeline of a Pod begins.
func (r *runner) begin(p simulator.Pod) *place {
	data, _ := json.Marshal([]any{p.Env(), p.Mounted()})
	key := string(data)
	if p.Promise() == "nats-user" { // each run of it makes other keys
		key += p.Key()
	}
	if r.roots[key] == nil {
		r.roots[key] = r.place(place{run: &run{p.Promise(), p.Env(), p.Mounted(), uint64(len(r.roots))}})
	}
	return r.roots[key]
}

// after returns where an answer leads to.
func (r *runner) after(p *place, a answer) *place {
	key := a.key()
	if p.next[key] == nil {
		p.next[key] = r.place(place{run: p.run, parent: p, answer: a})
	}
	return p.next[key]
}

// look finds out what comes at a place.
func (r *runner) look(p *place) *place {
	if p.known {
		return p
	}
	if r.live == nil || r.live.at != p.parent || p.parent == nil {
		r.stop()
		r.live = r.start(p.run)
		var way []*place
		for at := p; at.parent != nil; at = at.parent {
			way = append(way, at)
		}
		for _, at := range slices.Backward(way) {
			r.live.expect(r.t, at.parent)
			if at != p {
				r.live.answers <- at.answer.clone()
			}
		}
	}
	if p.parent != nil {
		r.live.answers <- p.answer.clone()
	}
	select {
	case request := <-r.live.requests:
		p.request, r.live.at = &request, p
	case p.outcome = <-r.live.ended:
		r.live = nil
	}
	p.known = true
	return p
}

// stop gives up the run that is under way.
func (r *runner) stop() {
	if r.live != nil {
		r.live.cancel()
		<-r.live.ended
		r.live = nil
	}
}

// execution is a run of the real code under way. It waits for an answer.
type execution struct {
	at       *place
	requests chan request
	answers  chan answer
	ended    chan outcome
	cancel   context.CancelFunc
}

// expect makes sure that the run asks again what it has asked there before.
func (e *execution) expect(t *testing.T, p *place) {
	select {
	case request := <-e.requests:
		if p.known && request.what != p.request.what {
			t.Fatalf("a run that was answered the same asks for %s, and asked for %s", request.what, p.request.what)
		}
	case o := <-e.ended:
		t.Fatalf("a run that was answered the same has ended (%s), and asked for %s", o.said, p.request.what)
	}
}

// start runs the pipeline's code as its container would.
func (r *runner) start(what *run) *execution {
	r.executions++
	cryptotest.SetGlobalRandom(r.t, what.seed)
	ctx, cancel := context.WithCancel(r.t.Context())
	e := &execution{requests: make(chan request), answers: make(chan answer), ended: make(chan outcome, 1), cancel: cancel}
	go func() {
		e.ended <- r.execute(ctx, e, what)
	}()
	return e
}

func (r *runner) execute(ctx context.Context, e *execution, what *run) outcome {
	dir, err := os.MkdirTemp("/dev/shm", "schedules")
	if err != nil {
		dir = r.t.TempDir()
	}
	defer os.RemoveAll(dir)
	mount, err := simulator.OpenMount(dir)
	if err == nil {
		err = mount.Prepare(what.mounted)
	}
	if err != nil {
		r.t.Error(err)
		return outcome{code: 1}
	}
	variables := map[string]string{"BALEEN_KRATIX_DIR": dir, "BALEEN_NOW": r.now.Format(time.RFC3339)}
	for _, pair := range what.env {
		key, value, _ := strings.Cut(pair, "=")
		variables[key] = value
	}
	var stderr strings.Builder
	client := &scripted{e}
	o := outcome{code: workflow.Environment{
		Getenv: func(key string) string { return variables[key] }, Stderr: &stderr,
		Looks: 2,
		Open:  func(func() time.Time) (platform.Client, error) { return client, nil },
	}.Run(ctx, pipelineOf(what.promise, client))}
	o.said = stderr.String()
	if o.emitted, err = mount.Emitted(); err != nil {
		r.t.Error(err)
	}
	o.emitted.Output = inMemory(r.t, o.emitted.Output)
	return o
}

// pipelineOf is a Promise's pipeline. The NATS servers that it reaches are on the platform
// too.
func pipelineOf(promise string, client *scripted) workflow.Pipeline {
	if promise == "nats-account" {
		return natsaccount.New(natsaccount.Network{Servers: servers{client}})
	}
	all := pipelines.All()
	return all[slices.IndexFunc(all, func(w workflow.Pipeline) bool { return w.Promise == promise })]
}

func inMemory(t *testing.T, files fs.FS) fs.FS {
	all := fstest.MapFS{}
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		all[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// scripted is a platform whose answers come from elsewhere.
type scripted struct{ *execution }

var _ platform.Client = (*scripted)(nil)

func (s *scripted) ask(ctx context.Context, r request) answer {
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
	select {
	case a := <-s.answers:
		return a
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
}

func (s *scripted) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	a := s.ask(ctx, request{fmt.Sprintf("get %s %s/%s", kind.Kind, namespace, name), true, kind, namespace, name, func(ctx context.Context, c platform.Client) answer {
		o, err := c.Get(ctx, kind, namespace, name)
		return answer{object: o, err: err}
	}})
	return a.object, a.err
}

func (s *scripted) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	a := s.ask(ctx, request{fmt.Sprintf("list %s %s %v", kind.Kind, namespace, labels), true, kind, namespace, "", func(ctx context.Context, c platform.Client) answer {
		o, err := c.List(ctx, kind, namespace, labels)
		return answer{objects: o, err: err}
	}})
	return a.objects, a.err
}

func (s *scripted) change(ctx context.Context, verb string, kind platform.Kind, o *unstructured.Unstructured,
	do func(context.Context, platform.Client, *unstructured.Unstructured) (*unstructured.Unstructured, error)) (*unstructured.Unstructured, error) {
	o = o.DeepCopy()
	a := s.ask(ctx, request{fmt.Sprintf("%s %s %s/%s", verb, kind.Kind, o.GetNamespace(), o.GetName()), false, kind, o.GetNamespace(), o.GetName(), func(ctx context.Context, c platform.Client) answer {
		changed, err := do(ctx, c, o)
		return answer{object: changed, err: err}
	}})
	return a.object, a.err
}

func (s *scripted) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return s.change(ctx, "create", kind, o, func(ctx context.Context, c platform.Client, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return c.Create(ctx, kind, o)
	})
}

func (s *scripted) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return s.change(ctx, "update", kind, o, func(ctx context.Context, c platform.Client, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return c.Update(ctx, kind, o)
	})
}

func (s *scripted) UpdateStatus(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return s.change(ctx, "update the status of", kind, o, func(ctx context.Context, c platform.Client, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return c.UpdateStatus(ctx, kind, o)
	})
}

func (s *scripted) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	a := s.ask(ctx, request{fmt.Sprintf("patch %s %s/%s %v", kind.Kind, namespace, name, patch), false, kind, namespace, name, func(ctx context.Context, c platform.Client) answer {
		o, err := c.Patch(ctx, kind, namespace, name, patch)
		return answer{object: o, err: err}
	}})
	return a.object, a.err
}

func (s *scripted) Delete(ctx context.Context, kind platform.Kind, namespace, name string, preconditions platform.Preconditions) error {
	return s.ask(ctx, request{fmt.Sprintf("delete %s %s/%s", kind.Kind, namespace, name), false, kind, namespace, name, func(ctx context.Context, c platform.Client) answer {
		return answer{err: c.Delete(ctx, kind, namespace, name, preconditions)}
	}}).err
}
