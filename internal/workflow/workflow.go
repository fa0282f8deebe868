// Package workflow is the contract between Kratix and a pipeline: it reads the
// request, runs the pipeline, and writes output, placement and status so that a
// run that cannot finish leaves what is served as it was.
package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	sdk "github.com/syntasso/kratix-go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/render"
)

// Pipeline is what a Promise does with a request.
type Pipeline struct {
	// Promise is the Promise's name.
	Promise string
	// Kind of the requests.
	Kind platform.Kind
	// Configure makes the output for a request. On an error, which becomes the
	// request's status, the last good output is emitted again; of the result then
	// only the Status counts.
	Configure func(context.Context, *Run) (Result, error)
	// Delete undoes what Kratix does not: it removes the output by itself.
	Delete func(context.Context, *Run) error
	// Check says what is wrong with a request that is looked at by itself, before
	// anything of the platform is read.
	Check func(*unstructured.Unstructured) error
	// PlatformOnly: a run changes the platform alone, so that it can be tried over a
	// copy. One that reaches further is tried with a dry run.
	PlatformOnly bool
}

// CheckBy makes a Pipeline's Check of the function that reads its requests.
func CheckBy[T any](read func(*unstructured.Unstructured) (T, error)) func(*unstructured.Unstructured) error {
	return func(request *unstructured.Unstructured) error {
		_, err := read(request)
		return err
	}
}

// Run is one run of a pipeline for one request.
type Run struct {
	// Promise is the Promise's name.
	Promise string
	// Request is the request as it is stored now; what Kratix mounted may be stale.
	Request  *unstructured.Unstructured
	Identity identity.Request
	Platform platform.Client
	Config   config.Config
	// Last is the last output, of which Kratix has made the request's Works, and
	// Works are their names.
	Last  destination.Output
	Works []string
	Now   time.Time
	// DryRun: writes to the platform have no effect.
	DryRun bool
	// Simulated: Now was given, and says nothing about anybody's clock.
	Simulated bool
	Log       *slog.Logger

	// alone tells that nothing can happen while this run waits, and looks is how often
	// it looks otherwise, zero for a minute long.
	alone bool
	looks int
}

// Result is what a run has come to.
type Result struct {
	// Placement is where the request goes, and Output what goes there.
	Placement destination.Placement
	Output    destination.Output
	// Status holds the kind's own keys, each of them whole.
	Status map[string]any
	// Reason and Message describe the outcome; Ready is whether all that
	// was asked for could be done.
	Ready   bool
	Reason  reason.Reason
	Message string
	// Conditions are those besides Ready. Kratix merges them by their type: one that was
	// given once stays until a run gives another of the type.
	Conditions []metav1.Condition
}

// Lacks says why the request does not have all that it asks for; of several reasons the
// last is that of the condition.
func (r *Result) Lacks(why reason.Reason, message string) {
	r.Ready, r.Reason = false, why
	r.Note(message)
}

// Note adds a sentence to the message.
func (r *Result) Note(message string) { r.Message += "; " + message }

// Failure is an error with the reason that a condition gives for it.
type Failure struct {
	Reason reason.Reason
	Err    error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Fail gives an error its reason.
func Fail(why reason.Reason, err error) error { return &Failure{why, err} }

// deleted is an error that ends a configure run because its request is being deleted.
type deleted struct{ error }

// Deleted has a configure run end at once, because its request turns out to be being
// deleted, with this sentence. That is no failure: Kratix would try a failed run again
// and again, and the newest one waits for it before it begins with the deletion. But an
// exit code of 0 has Kratix write what the run has emitted. So that nothing comes of it,
// the run emits what was emitted last once more, and no status. This cannot outlive the
// deletion: the newest Kratix begins with that when no configure runs, and with the
// older one a delete run first ends all of them: see [Run.StopConfigure].
func Deleted(err error) error { return &deleted{err} }

// gone is an error that ends a run without any output.
type gone struct{ error }

// Gone has a run end with exit code 1 and this sentence, so that it emits nothing, not
// even its last output: that may be another's by now.
func Gone(err error) error { return &gone{err} }

// Templates returns the Promise's templates with the overlays of the platform
// team, which are the ConfigMap <promise>-overlays, on top.
func (r *Run) Templates(ctx context.Context, own fs.FS) (render.Templates, error) {
	overlays, err := config.Data(ctx, r.Platform, r.Promise+"-overlays")
	if err != nil {
		return render.Templates{}, Fail(reason.OverlayFailed, err)
	}
	templates, err := render.New(own, overlays)
	if err != nil {
		return templates, Fail(reason.OverlayFailed, err)
	}
	return templates, nil
}

// Main runs a pipeline in the environment that Kratix has made and returns the
// exit code: 0, or 1 after one sentence on stderr. With 1 Kratix writes neither
// output nor status, and what is served stays as it is.
func Main(p Pipeline) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return Environment{Getenv: os.Getenv, Stderr: os.Stderr}.Run(ctx, p)
}

// open is how a run reaches the platform if nobody says otherwise.
var open = platform.Open

// Environment is what a run finds around it.
type Environment struct {
	Getenv func(string) string
	Stderr io.Writer
	// Open reaches the platform, nil for the one that the variables name; timestamps
	// in a folder come from now.
	Open func(now func() time.Time) (platform.Client, error)
	// Looks is how often a run looks for what it waits for, zero for a minute long.
	Looks int
}

// Run runs a pipeline and returns the exit code, as [Main] does.
func (e Environment) Run(ctx context.Context, p Pipeline) int {
	if err := e.run(ctx, p); err != nil {
		fmt.Fprintf(e.Stderr, "%s: %s\n", p.Promise, oneLine(err))
		return 1
	}
	return 0
}

func (e Environment) run(ctx context.Context, p Pipeline) error {
	m, err := openMount(e)
	if err != nil {
		return err
	}
	now, err := e.clock()
	if err != nil {
		return err
	}
	action := kratix.Action(e.Getenv("KRATIX_WORKFLOW_ACTION"))
	if action != kratix.Configure && action != kratix.Delete {
		return fmt.Errorf("KRATIX_WORKFLOW_ACTION is %q: it must be configure or delete", action)
	}
	if e.Getenv("KRATIX_PROMISE_NAME") == "" {
		return errors.New("KRATIX_PROMISE_NAME is not set: without it the last output cannot be found")
	}
	client, err := e.open(func() time.Time { return now })
	if err != nil {
		return err
	}
	r := &Run{
		Platform:  client,
		Simulated: e.Getenv("BALEEN_NOW") != "",
		Now:       now,
		DryRun:    m.isDryRun() && action == kratix.Configure || e.Getenv("BALEEN_DRY_RUN") == "true", // Kratix deletes what it says to be one
		Log:       e.logger(p.Promise),
		Promise:   p.Promise,
	}
	r.looks = e.Looks
	r.alone = r.DryRun || e.Getenv("BALEEN_PLATFORM_DIR") != ""
	if r.DryRun {
		r.Platform = platform.ReadOnly(client)
	}
	if err := r.gather(ctx, p, m); err != nil {
		return err
	}
	switch {
	case action == kratix.Configure && r.Request.GetDeletionTimestamp() != nil:
		return r.giveWay(m, fmt.Errorf("%s %s is being deleted: nothing new is emitted for it", p.Kind.Kind, r.Identity))
	case action == kratix.Configure:
		return r.configure(ctx, p, m)
	case p.Delete != nil:
		return p.Delete(ctx, r)
	}
	return nil
}

func (e Environment) open(now func() time.Time) (platform.Client, error) {
	if e.Open != nil {
		return e.Open(now)
	}
	return open(e.Getenv, now)
}

// gather reads the request as it is now, the last output and the configuration.
// Without them nothing can be said or emitted, so its errors end the run.
func (r *Run) gather(ctx context.Context, p Pipeline, m mount) error {
	mounted, err := m.request(p.Kind)
	if err != nil {
		return err
	}
	namespace, name := mounted.GetNamespace(), mounted.GetName()
	r.Identity = identity.Request{Kind: p.Kind.Kind, Namespace: namespace, Name: name}
	if r.Request = mounted; !r.DryRun { // a dry run is for a request that need not be stored
		r.Request, err = r.Platform.Get(ctx, p.Kind, namespace, name)
	}
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %s no longer exists: nothing is emitted for it", p.Kind.Kind, r.Identity)
	}
	if err != nil {
		return fmt.Errorf("%s %s cannot be read: %w", p.Kind.Kind, r.Identity, err)
	}
	owner := kratix.Owner{Promise: m.getenv("KRATIX_PROMISE_NAME"), Resource: name}
	works, err := r.Platform.List(ctx, platform.Work, namespace, owner.Labels())
	if err != nil {
		return fmt.Errorf("the last output of %s %s cannot be read: %w", p.Kind.Kind, r.Identity, err)
	}
	r.Last = destination.Output{}
	for i := range works {
		if works[i].GetLabels()[kratix.LabelDryRun] != "" {
			continue // of what would be emitted
		}
		r.Works = append(r.Works, works[i].GetName())
		files, err := kratix.Unpack(&works[i])
		if err != nil {
			return fmt.Errorf("the last output of %s %s cannot be read: %w", p.Kind.Kind, r.Identity, err)
		}
		for path, data := range files {
			if name, file, ok := strings.Cut(path, "/"); ok {
				if r.Last[name] == nil {
					r.Last[name] = map[string][]byte{}
				}
				r.Last[name][file] = data
			}
		}
	}
	return nil
}

func (r *Run) configure(ctx context.Context, p Pipeline, m mount) error {
	var result Result
	var err error
	if r.Config, err = config.Load(ctx, r.Platform); err == nil {
		result, err = p.Configure(ctx, r)
	} else {
		err = Fail(reason.ConfigurationInvalid, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the run was stopped before it was done: %w", context.Cause(ctx))
	}
	if _, ok := errors.AsType[*gone](err); ok {
		return err
	}
	if why, ok := errors.AsType[*deleted](err); ok {
		return r.giveWay(m, why)
	}
	kept, leaving := r.Kept(result.Placement)
	if err == nil {
		for name, files := range kept {
			if result.Output[name] == nil {
				result.Output[name] = files
			}
		}
		if err = Fits(len(result.Output.Destinations()), kratix.WorkSize(result.Output), kratix.MaxOf(r.Last)); err != nil {
			result.Status = nil // it is about what is not emitted
		}
	}
	if err != nil {
		status := r.failed(err)
		maps.Copy(status, result.Status)
		if unwritten := m.write(r.Last, status); unwritten != nil {
			return unwritten
		}
		r.Log.Error("the request cannot be carried out", "request", r.Identity.String(), "error", err)
		return nil
	}
	for _, l := range leaving {
		result.Message += fmt.Sprintf("; %s does not match any more and keeps its documents for %s from %s on", l.Name, field.Short(r.Config.DestinationGrace), l.Since)
	}
	status := r.status(result.Ready, result.Reason, result.Message, result.Conditions...)
	maps.Copy(status, result.Status)
	status[leavingKey] = leaving
	if err := m.write(result.Output, status); err != nil {
		return err
	}
	r.Log.Info(result.Message, "request", r.Identity.String(), "reason", string(result.Reason))
	return nil
}

// Fits tells why Kratix could not store the documents for some clusters in a Work of so
// many bytes, where there may be most, nil if it can.
func Fits(clusters, size, most int) error {
	if size <= most {
		return nil
	}
	return Fail(reason.OutputTooLarge, fmt.Errorf("the documents for %s would have %d KiB, and Kratix keeps those of a request in one object, of at most %d KiB: place the request on fewer clusters, as two requests, or have the overlays add less",
		field.Count(clusters, "cluster"), size>>10, most>>10))
}

// giveWay ends a configure run in favour of a deletion: see [Deleted].
func (r *Run) giveWay(m mount, why error) error {
	r.Log.Info(why.Error(), "request", r.Identity.String())
	return m.write(r.Last, nil)
}

// Kept returns the Destinations that the request is not placed on any more and that
// keep their documents all the same, with those documents, and whom of them to
// remember as leaving.
func (r *Run) Kept(p destination.Placement) (destination.Output, []destination.Leaving) {
	return destination.Keep(r.Last, p, r.remembered(), r.Now, r.Config.DestinationGrace)
}

// leavingKey is the key of the status that remembers since when a Destination no
// longer matches.
const leavingKey = "leavingDestinations"

func (r *Run) remembered() []destination.Leaving {
	var all []destination.Leaving
	raw, _, _ := unstructured.NestedSlice(r.Request.Object, "status", leavingKey)
	for _, l := range raw {
		l, _ := l.(map[string]any)
		name, _ := l["name"].(string)
		since, _ := l["since"].(string)
		all = append(all, destination.Leaving{Name: name, Since: since})
	}
	return all
}

// failed is the status of a run that could not finish. The kind's own keys stay
// as they are: what they describe is still served.
func (r *Run) failed(err error) map[string]any {
	why := reason.Failed
	var failure *Failure
	switch {
	case platform.IsTransient(err): // whatever was under way
		why = reason.PlatformUnavailable
	case errors.As(err, &failure):
		why = failure.Reason
	}
	message := oneLine(err)
	if len(r.Last) > 0 {
		message += "; what was emitted last stays in place"
	}
	return r.status(false, why, message)
}

func (r *Run) status(ready bool, why reason.Reason, message string, more ...metav1.Condition) map[string]any {
	condition := metav1.Condition{Type: conditionReady, Status: metav1.ConditionFalse, Reason: string(why), Message: message}
	if ready {
		condition.Status = metav1.ConditionTrue
	}
	conditions := []any{}
	for _, c := range append([]metav1.Condition{condition}, more...) {
		conditions = append(conditions, r.condition(c))
	}
	return map[string]any{"observedGeneration": r.Request.GetGeneration(), "message": message, "conditions": conditions}
}

// condition is one as it is stored: its time is that of the run in which it became so.
func (r *Run) condition(c metav1.Condition) map[string]any {
	since := metav1.NewTime(r.Now)
	last := meta.FindStatusCondition(platform.Conditions(r.Request), c.Type)
	if last != nil && last.Status == c.Status && !last.LastTransitionTime.IsZero() {
		since = last.LastTransitionTime
	}
	return map[string]any{
		"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
		"observedGeneration": r.Request.GetGeneration(), "lastTransitionTime": since.UTC().Format(time.RFC3339),
	}
}

// clock returns the time of the run: BALEEN_NOW where it is set, else now.
func (e Environment) clock() (time.Time, error) {
	text := e.Getenv("BALEEN_NOW")
	if text == "" {
		return time.Now().UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("BALEEN_NOW is %q: it must be a time as in RFC 3339, such as 2026-01-02T15:04:05Z", text)
	}
	return t.UTC(), nil
}

// oneLine keeps what a library says within a sentence.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}

func (e Environment) logger(promise string) *slog.Logger {
	level := slog.LevelInfo
	if e.Getenv("BALEEN_LOG") == "debug" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(e.Stderr, &slog.HandlerOptions{Level: level})).With("promise", promise)
}

// mount is the folder that Kratix shares between the containers of a run.
type mount struct {
	*sdk.KratixSDK
	dir    string
	getenv func(string) string
}

// openMount clears what an earlier try of this container has left behind.
func openMount(e Environment) (mount, error) {
	dir := cmp.Or(e.Getenv("BALEEN_KRATIX_DIR"), "/kratix")
	m := mount{dir: dir, getenv: e.Getenv, KratixSDK: sdk.New(
		sdk.WithInputDir(filepath.Join(dir, "input")),
		sdk.WithOutputDir(filepath.Join(dir, "output")),
		sdk.WithMetadataDir(filepath.Join(dir, "metadata")),
	)}
	return m, m.clear()
}

func (m mount) clear() error {
	for _, name := range []string{"output", "metadata"} {
		dir := filepath.Join(m.dir, name)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("what an earlier run left in %s cannot be removed: %w", dir, err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("what an earlier run left in %s cannot be removed: %w", dir, err)
			}
		}
	}
	return nil
}

// isDryRun reports whether Kratix wants to know what a run would do.
func (m mount) isDryRun() bool {
	value := m.getenv("KRATIX_DRY_RUN")
	return value != "" && value != "false"
}

// request reads which request the run is for.
func (m mount) request(kind platform.Kind) (*unstructured.Unstructured, error) {
	file := filepath.Join(m.dir, "input", "object.yaml")
	resource, err := m.ReadResourceInput()
	if unreadable, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("the request cannot be read: %w", unreadable)
	}
	var object unstructured.Unstructured
	if err == nil {
		object = resource.ToUnstructured()
	}
	// Read field by field: the getters panic on a document of another shape.
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(object.Object, path...)
		return s
	}
	name, namespace := text("metadata", "name"), text("metadata", "namespace")
	if text("kind") != kind.Kind || text("apiVersion") != kind.GroupVersion().String() || name == "" || namespace == "" {
		return nil, fmt.Errorf("%s is not a whole %s of %s: run the pipeline again, for which Kratix writes it anew", file, kind.Kind, kind.GroupVersion())
	}
	at, named := m.getenv("KRATIX_OBJECT_NAMESPACE"), m.getenv("KRATIX_OBJECT_NAME")
	switch other := named != "" && (at != namespace || named != name); {
	case other && (!m.isDryRun() || at != namespace): // a dry run must not read what is another namespace's
		// What is left of a name that was cut off may be another's.
		return nil, fmt.Errorf("%s is of %s/%s, but the run is for %s/%s: run the pipeline again, for which Kratix writes it anew", file, namespace, name, at, named)
	case other && m.getenv("KRATIX_WORKFLOW_ACTION") == string(kratix.Delete):
		// Kratix makes a request of its own for a dry run, and shows its pipelines the one
		// that it is about. What is being deleted is its own.
		object.SetNamespace(at)
		object.SetName(named)
	}
	return &object, nil
}

// write emits output and status, or nothing: a part of the output would remove
// the rest of what is served.
func (m mount) write(output destination.Output, status map[string]any) error {
	err := m.writeAll(output, status)
	if err == nil {
		return nil
	}
	if broken := (*fs.PathError)(nil); errors.As(err, &broken) {
		err = broken // the SDK's words around it add nothing
	}
	err = fmt.Errorf("the output cannot be written, so nothing is emitted and what is served stays in place: %w", err)
	if left := m.clear(); left != nil {
		err = fmt.Errorf("%w; %w", err, left)
	}
	return err
}

func (m mount) writeAll(output destination.Output, status map[string]any) error {
	var selectors []sdk.DestinationSelector
	for _, name := range output.Destinations() {
		for file, data := range output[name] {
			if err := m.WriteOutput(filepath.Join(name, file), data); err != nil {
				return err
			}
		}
		selectors = append(selectors, sdk.DestinationSelector{
			Directory:   name,
			MatchLabels: map[string]string{destination.Label: name},
		})
	}
	if len(selectors) > 0 {
		if err := m.WriteDestinationSelectors(selectors); err != nil {
			return err
		}
	}
	if status == nil {
		return nil
	}
	return m.WriteStatus(sdk.NewStatusFromMap(status))
}
