// Package pipelines_test runs whole requests through the pipelines. Each case in
// testdata/cases is one file to read: the request, what its platform has besides
// testdata/platform, and all that comes out. Where it has a file later, what comes
// out is that of a run so much later.
package pipelines_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/crdtest"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/pipelines"
	"github.com/baleen-platform/baleen/promises"
)

var update = flag.Bool("update", false, "write what the cases want anew")

var stages = pipelines.All()

const (
	platformDir = "../testdata/platform"
	casesDir    = "../testdata/cases"
)

// emitted are the definitions of all that the pipelines emit.
func emitted(t testing.TB) *apiServer {
	return serverWith(t, crdtest.Merge(crdtest.GatewayAPI(t), crdtest.Traefik(t), crdtest.EnvoyGateway(t), crdtest.NGINXGatewayFabric(t), crdtest.SealedSecrets(t)))
}

// requests are the definitions of Baleen's own kinds, as the Promises have them.
func requests(t testing.TB) *crdtest.Definitions {
	t.Helper()
	var sets []*crdtest.Definitions
	for _, p := range promises.All() {
		var promise struct{ Spec struct{ API map[string]any } }
		if err := yaml.Unmarshal(p.YAML, &promise); err != nil {
			t.Fatal(err)
		}
		crd, err := yaml.Marshal(promise.Spec.API)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, crdtest.Load(t, crd))
	}
	return crdtest.Merge(sets...)
}

// Each case gives what its file says, on both Kratixes; a second run gives the
// same bytes and changes nothing on the platform; and each document is one that
// a cluster with the real CRDs takes.
func TestCases(t *testing.T) {
	files, err := filepath.Glob(casesDir + "/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		for _, version := range []simulator.Version{simulator.KratixLatest, simulator.Kratix202508} {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+string(version), func(t *testing.T) {
				testCase(t, file, version)
			})
		}
	}
}

func testCase(t *testing.T, file string, version simulator.Version) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := scenario.New(t, platformDir, stages...)
	s.Version = version
	var request, later string
	var given []txtar.File
	for _, f := range archive.Files {
		switch name, isPlatform := strings.CutPrefix(f.Name, "platform/"); {
		case f.Name == "request.yaml":
			request = string(f.Data)
			given = append(given, f)
		case f.Name == "later":
			later = strings.TrimSpace(string(f.Data))
			given = append(given, f)
		case isPlatform:
			s.Write(txtar.File{Name: name, Data: f.Data})
			given = append(given, f)
		}
	}
	if err := requests(t).Validate(scenario.Parse(t, request)); err != nil {
		t.Errorf("the CRD refuses the request: %v", err)
	}
	outcome := s.Apply(request)
	if outcome.Err != nil {
		t.Fatalf("%v\n%s", outcome.Err, outcome.Stderr)
	}
	if later != "" {
		after, err := time.ParseDuration(later)
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(request) // sees that what the first run emitted has arrived
		s.Now = s.Now.Add(after)
		outcome = s.Apply(request)
	}
	wantNoSecret(t, s, outcome)
	definitions, objects := emitted(t), outcome.Objects(t)
	t.Attr("tried.documents", fmt.Sprint(len(objects)))
	for name, object := range objects {
		if err := definitions.Validate(object); err != nil {
			t.Errorf("%s: %v\n%s", name, err, outcome.Files[name])
		}
		defaulted := object.DeepCopy()
		if err := definitions.Default(defaulted); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(object.Object["spec"], defaulted.Object["spec"]); diff != "" {
			t.Errorf("%s: an API server fills in what Argo CD would then take for a difference:\n%s", name, diff)
		}
	}

	before := s.Snapshot()
	again := s.Apply(request)
	if again.Documents() != outcome.Documents() {
		t.Errorf("the second run gives\n%s\nafter\n%s", again.Documents(), outcome.Documents())
	}
	for path, data := range s.Snapshot() {
		if before[path] != data {
			t.Errorf("the second run changed %s to\n%s\nfrom\n%s", path, data, before[path])
		}
	}

	random := standIns{}
	got := txtar.Format(&txtar.Archive{Comment: archive.Comment, Files: append(given,
		txtar.File{Name: "want/status.yaml", Data: []byte(random.replace(outcome.Report))},
		txtar.File{Name: "want/documents.yaml", Data: []byte(random.replace(outcome.Documents()))},
	)})
	if *update {
		rewrite(t, file, got)
	} else if diff := cmp.Diff(string(txtar.Format(archive)), string(got)); diff != "" {
		t.Errorf("%s\n(go test -C pipelines -run TestCases -update writes it anew)", diff)
	}
}

// rewritten are the golden files that -update has changed.
var rewritten []string

func rewrite(t *testing.T, file string, data []byte) {
	t.Helper()
	was, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(was, data) {
		rewritten = append(rewritten, file)
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// With -update the last lines say which golden files have changed. `go test` hides
// them where a package is named and passes, so it is called in its folder.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, file := range rewritten {
		fmt.Fprintln(os.Stderr, "changed", file)
	}
	if *update && len(rewritten) == 0 {
		fmt.Fprintln(os.Stderr, "no golden file changed")
	}
	os.Exit(code)
}

// standIns take the place of what differs from one run to another: the keys of
// users, and ciphertext. The same gets the same again.
type standIns map[string]string

var randomText = regexp.MustCompile(`\bU[A-Z2-7]{55}\b|\bAg[A-Za-z0-9+/]{680,}={0,2}`)

func (s standIns) replace(text string) string {
	return randomText.ReplaceAllStringFunc(text, func(random string) string {
		if s[random] == "" {
			what := "sealed"
			if random[0] == 'U' {
				what = "user"
			}
			n := 1
			for _, other := range s {
				if strings.HasPrefix(other, what) {
					n++
				}
			}
			s[random] = fmt.Sprintf("%s-%d", what, n)
		}
		return s[random]
	})
}

// A user's example is a request that works.
func TestExamples(t *testing.T) {
	for _, p := range promises.All() {
		t.Run(p.Name, func(t *testing.T) {
			data, err := os.ReadFile("../promises/" + p.Name + "/example.yaml")
			if err != nil {
				t.Fatal(err)
			}
			outcome := scenario.New(t, platformDir, stages...).Apply(string(data))
			emits := p.Kind != platform.NatsAccount && p.Kind != platform.System
			if ready, _, message := outcome.Ready(); ready != "True" || emits != (len(outcome.Files) > 0) {
				t.Errorf("Ready is %q: %s\n%s", ready, message, outcome.Stderr)
			}
		})
	}
}

// The example for Synadia, which takes a control plane, is one that an API server
// takes as it is.
func TestSynadiaExample(t *testing.T) {
	if err := requests(t).Validate(scenario.Parse(t, string(promises.SynadiaExample))); err != nil {
		t.Error(err)
	}
}

// The Promises are what Kratix takes, and their CRDs what an API server takes.
func TestPromisesAreValid(t *testing.T) {
	for _, p := range promises.All() {
		t.Run(p.Name, func(t *testing.T) {
			if err := crdtest.Kratix(t).Validate(scenario.Parse(t, string(p.YAML))); err != nil {
				t.Error(err)
			}
		})
	}
	if err := requests(t).Check(); err != nil {
		t.Error(err)
	}
}
