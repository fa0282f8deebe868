// Package releases is the gate for upgrades. testdata/releases has a folder for each
// release: a platform as that release has left it, with the NATS system and the
// control plane that belong to it. The current code runs over each, and what it
// changes is shown: of credentials nothing, of routes what CHANGELOG names.
package releases

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/pipelines"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
	"github.com/baleen-platform/baleen/promises"
)

const (
	releasesDir = "../../testdata/releases"
	cloudToken  = "uat_of_the_platform"
	cloudURL    = "https://cloud.example.com"
	// overlap is the one of the credential that is being rotated.
	overlap = 96 * time.Hour
)

// inputs are a platform folder with what its requests need outside of it. It lives in
// a bubble of testing/synctest, whose clock begins with the year 2000.
type world struct {
	t *testing.T
	*scenario.Scenario
	nats  *natslocal.System
	cloud *fakecloud.Cloud
}

// saved is where a release's folder keeps each part. Next are the documents of all
// clusters once that release has gone on from there for some rounds.
type saved struct{ platform, nats, cloud, now, next string }

func savedIn(dir string) saved {
	in := func(name string) string { return filepath.Join(dir, name) }
	return saved{in("platform"), in("nats"), in("cloud.json"), in("now"), in("next.txtar")}
}

// serve has the pipelines reach the world's servers.
func (w *world) serve() {
	cloud := only(fakecloud.Transport(w.cloud))
	w.Pipelines = slices.Concat([]workflow.Pipeline{
		natsaccount.New(natsaccount.Network{Dial: natslocal.InProcess, Transport: cloud}), natsuser.New(cloud),
	}, pipelines.All())
}

// only lets requests to the one cloud through.
func only(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != strings.TrimPrefix(cloudURL, "https://") {
			return nil, http.ErrServerClosed
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// kinds are in the order in which their requests run: those first from which others
// draw.
var kinds = func() []platform.Kind {
	ordered := []platform.Kind{platform.NatsAccount, platform.ApiAggregator, platform.NatsUser, platform.ApiAggregatorTarget}
	for _, kind := range promises.Kinds() {
		if !slices.Contains(ordered, kind) {
			ordered = append(ordered, kind)
		}
	}
	return ordered
}()

// requests are all that the platform has.
func (w *world) requests() []*unstructured.Unstructured {
	w.t.Helper()
	var all []*unstructured.Unstructured
	for _, kind := range kinds {
		list, err := w.Client.List(context.Background(), kind, "", nil)
		must(w.t, err)
		slices.SortFunc(list, func(a, b unstructured.Unstructured) int { return strings.Compare(nameOf(&a), nameOf(&b)) })
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

func nameOf(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}

// run runs configure for a request as it is stored, while the servers are up.
func (w *world) run(o *unstructured.Unstructured) scenario.Outcome {
	w.t.Helper()
	return w.during(func() scenario.Outcome {
		i := slices.IndexFunc(kinds, func(k platform.Kind) bool { return k.Kind == o.GetKind() })
		return w.Reconcile(kinds[i], o.GetNamespace(), o.GetName())
	})
}

// goOn runs all requests until what was under way has come to its end, and returns
// what the clusters have then.
func (w *world) goOn() *txtar.Archive {
	w.t.Helper()
	var documents map[string]string
	for range 3 {
		documents = map[string]string{}
		for _, o := range w.requests() {
			maps.Copy(documents, w.run(o).Files)
		}
		time.Sleep(time.Minute)
	}
	archive := &txtar.Archive{}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(documents[name])})
	}
	return archive
}

func (w *world) during(do func() scenario.Outcome) (outcome scenario.Outcome) {
	w.t.Helper()
	w.Now = time.Now().UTC().Truncate(time.Second)
	must(w.t, w.nats.While(func() error {
		outcome = do()
		return nil
	}))
	if outcome.Err != nil {
		w.t.Fatalf("%v\n%s", outcome.Err, outcome.Stderr)
	}
	return outcome
}

// open opens what a release has left, in a copy, at the time at which it left it.
func open(t *testing.T, dir string, version simulator.Version) *world {
	t.Helper()
	from := savedIn(dir)
	text, err := os.ReadFile(from.now)
	must(t, err)
	now, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
	must(t, err)
	time.Sleep(time.Until(now))
	w := &world{t: t, Scenario: scenario.New(t, from.platform)}
	w.Version = version
	systemDir := t.TempDir()
	must(t, os.CopyFS(systemDir, os.DirFS(from.nats)))
	w.nats, err = natslocal.Open(systemDir)
	must(t, err)
	w.cloud, err = fakecloud.Open(fakecloud.Options{NATS: w.nats, Tokens: []string{cloudToken}}, from.cloud)
	must(t, err)
	w.serve()
	return w
}

// save writes the world to a folder, for [open].
func (w *world) save(dir string) {
	w.t.Helper()
	to := savedIn(dir)
	must(w.t, os.MkdirAll(dir, 0o755))
	must(w.t, os.CopyFS(to.platform, os.DirFS(w.Dir)))
	must(w.t, os.Remove(filepath.Join(to.platform, ".lock")))
	must(w.t, w.nats.Save())
	must(w.t, os.CopyFS(to.nats, os.DirFS(filepath.Dir(w.nats.Dir))))
	must(w.t, w.cloud.Save(to.cloud))
	must(w.t, os.WriteFile(to.now, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asJSON is a value as JSON that people can read.
func asJSON(t testing.TB, value any) string {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	must(t, encoder.Encode(value))
	return strings.TrimSpace(b.String())
}
