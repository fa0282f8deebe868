package releases

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pmezard/go-difflib/difflib"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
)

var update = flag.Bool("update", false, "write anew what routes are changed by an upgrade; what credentials are is not to be written anew")

// An upgrade from each release, on both Kratixes:
//
//   - no credential is issued, retired or sealed anew, and no request is refused that
//     was served;
//   - of routes it changes what CHANGELOG names, and nothing else;
//   - what was under way comes to its end, as the release would have brought it there;
//   - later every credential is renewed because it is due, and for no other reason.
func TestUpgrade(t *testing.T) {
	releases, err := filepath.Glob(filepath.Join(releasesDir, "v*", "now"))
	if err != nil || len(releases) == 0 {
		t.Fatalf("no releases: %v", err)
	}
	for _, release := range releases {
		dir := filepath.Dir(release)
		for _, version := range []simulator.Version{simulator.KratixLatest, simulator.Kratix202508} {
			t.Run(filepath.Base(dir)+"/"+string(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { upgrade(t, dir, version) })
			})
		}
	}
}

func upgrade(t *testing.T, dir string, version simulator.Version) {
	w := open(t, dir, version)
	before := w.credentials()
	for round, later := range []time.Duration{time.Minute, time.Hour, time.Hour, time.Minute} { // routes settle an hour after they were emitted
		for _, o := range w.requests() {
			outcome := w.run(o)
			if was, is := readyOf(o.Object), readyOf(outcome.Status); was == "True" && is != "True" {
				_, reason, message := outcome.Ready()
				t.Errorf("round %d: %s was ready, and is not: %s: %s", round, nameOf(o), reason, message)
			}
		}
		if diff := cmp.Diff(before, w.credentials()); diff != "" {
			t.Fatalf("round %d changes credentials: %s", round, diff)
		}
		time.Sleep(later)
	}

	documents := w.goOn()
	quiet := w.Snapshot()
	if w.goOn(); !maps.Equal(quiet, w.Snapshot()) {
		t.Errorf("runs with nothing to do write: %s", cmp.Diff(quiet, w.Snapshot()))
	}
	next, err := txtar.ParseFile(savedIn(dir).next)
	must(t, err)
	credentials, routes := changes(t, next, documents)
	if credentials.diff != "" {
		t.Errorf("the clusters get other credentials:\n%s", credentials.diff)
	}
	checkRoutes(t, dir, routes)

	time.Sleep(overlap)
	w.goOn()
	w.goOn()
	for _, r := range w.credentials() {
		if want := endOf(before, r); r.State != want {
			t.Errorf("after the overlap %s is %s, want %s", r.Name, r.State, want)
		}
	}

	time.Sleep(21 * 24 * time.Hour)
	w.goOn()
	for _, r := range w.credentials() {
		if !slices.ContainsFunc(before, func(b issued) bool { return b.Name == r.Name }) && r.Reason != string(credential.RenewalDue) {
			t.Errorf("%s was issued because of %s", r.Name, r.Reason)
		}
	}
}

func readyOf(object map[string]any) string {
	if status, ok := object["status"].(map[string]any); ok {
		object = status
	}
	ready, _, _ := scenario.Outcome{Status: object}.Ready()
	return ready
}

// issued is what must stay of a credential.
type issued struct {
	Name, User, Reason, Grant, Expires string
	State                              ledger.State
	Ciphertext                         string
}

// credentials are all that the ledgers have.
func (w *world) credentials() []issued {
	w.t.Helper()
	ledgers, err := ledger.Store{Client: w.Client}.All(context.Background())
	must(w.t, err)
	var all []issued
	for _, l := range ledgers {
		for _, r := range l.Records {
			all = append(all, issued{
				fmt.Sprintf("%s on %s, generation %d", l.Request, r.Destination, r.Generation), r.User, r.Reason, r.Basis.Grant,
				r.Expires.Format(time.RFC3339), r.State, fmt.Sprint(r.Ciphertext),
			})
		}
	}
	return all
}

// endOf is what becomes of a credential: the former one of one that was being
// rotated is revoked, and all others stay.
func endOf(before []issued, r issued) ledger.State {
	former, isFormer := strings.CutSuffix(r.Name, "generation 1")
	if isFormer && slices.ContainsFunc(before, func(b issued) bool { return b.Name == former+"generation 2" }) {
		return ledger.Retired
	}
	return ledger.Active
}

// change is how documents differ, of which kinds.
type change struct {
	diff  string
	kinds []string
}

// changes are what the clusters get otherwise than from the release itself: of
// credentials, and of all else.
func changes(t *testing.T, was, is *txtar.Archive) (credentials, routes change) {
	t.Helper()
	text := func(a *txtar.Archive) map[string]string {
		files := map[string]string{}
		for _, f := range a.Files {
			files[f.Name] = string(f.Data)
		}
		return files
	}
	old, current := text(was), text(is)
	all := maps.Clone(old)
	maps.Copy(all, current)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: difflib.SplitLines(old[name]), B: difflib.SplitLines(current[name]), FromFile: name, ToFile: name, Context: 3,
		})
		must(t, err)
		if diff == "" {
			continue
		}
		kind := scenario.Parse(t, all[name]).GetKind()
		of := &routes
		if kind == "SealedSecret" {
			of = &credentials
		}
		of.diff, of.kinds = of.diff+diff, append(of.kinds, kind)
	}
	return credentials, routes
}

// checkRoutes holds what an upgrade changes of routes to the golden diff, and that
// to CHANGELOG, which links to it and names each kind in it.
func checkRoutes(t *testing.T, dir string, routes change) {
	t.Helper()
	golden := dir + ".diff"
	want, err := os.ReadFile(golden)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	switch {
	case string(want) == routes.diff:
	case !*update:
		t.Errorf("an upgrade changes other routes than %s says (-update writes it):\n%s", filepath.Base(golden), routes.diff)
		return
	case routes.diff == "":
		fmt.Fprintf(os.Stderr, "golden file removed: %s\n", golden)
		must(t, os.Remove(golden))
	default:
		fmt.Fprintf(os.Stderr, "golden file changed: %s\n", golden)
		must(t, os.WriteFile(golden, []byte(routes.diff), 0o644))
	}
	if routes.diff == "" {
		return
	}
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	must(t, err)
	for _, name := range append(slices.Compact(slices.Sorted(slices.Values(routes.kinds))), "releases/"+filepath.Base(golden)) {
		if !strings.Contains(string(changelog), name) {
			t.Errorf("an upgrade changes routes, and CHANGELOG.md does not name %s", name)
		}
	}
}

// What a release has left holds what the gate is for.
func TestReleaseIsWhole(t *testing.T) {
	dir := filepath.Join(releasesDir, "v0.1.0")
	synctest.Test(t, func(t *testing.T) {
		w := open(t, dir, simulator.KratixLatest)
		count := map[string]int{}
		for _, o := range w.requests() {
			count[o.GetKind()]++
		}
		if count["NatsAccount"] != 2 || count["ApiAggregator"] != 3 || len(w.requests()) < 10 {
			t.Errorf("it has %v", count)
		}
		rotating, releasing := 0, 0
		for _, r := range w.credentials() {
			if strings.HasSuffix(r.Name, "generation 2") && r.Reason == string(credential.RotationRequested) {
				rotating++
			}
		}
		claims, err := w.Client.List(context.Background(), platform.ConfigMap, "baleen-state", nil)
		must(t, err)
		for _, c := range claims {
			if state, _, _ := unstructured.NestedString(c.Object, "data", "state"); state == "Releasing" {
				releasing++
			}
		}
		if rotating == 0 || releasing == 0 {
			t.Errorf("%d credentials are being rotated, and %d claims released", rotating, releasing)
		}
	})
}
