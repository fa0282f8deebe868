package platform_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
)

func now() time.Time { return time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC) }

func openFolder(t testing.TB, dir string) *platform.Folder {
	t.Helper()
	folder, err := platform.OpenFolder(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// put writes a file below dir.
func put(t testing.TB, dir, file, content string) {
	t.Helper()
	file = filepath.Join(dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func configMap(namespace, name, key, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"data":     map[string]any{key: value},
	}}
}

func TestFolderConformance(t *testing.T) {
	platformtest.Run(t, func(t *testing.T) platform.Client { return openFolder(t, t.TempDir()) })
}

func TestMemoryConformance(t *testing.T) {
	platformtest.Run(t, func(t *testing.T) platform.Client { return platform.NewMemory(now) })
}

func TestOverlayConformance(t *testing.T) {
	platformtest.Run(t, func(t *testing.T) platform.Client { return platform.NewOverlay(platform.NewMemory(now), now) })
}

// What is written to an overlay is seen there, and below it nothing changes.
func TestOverlay(t *testing.T) {
	ctx, below := t.Context(), platform.NewMemory(now)
	for _, name := range []string{"changed", "gone", "kept"} {
		if _, err := below.Create(ctx, platform.ConfigMap, configMap("team-a", name, "a", "1")); err != nil {
			t.Fatal(err)
		}
	}
	before, err := below.List(ctx, platform.ConfigMap, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	overlay := platform.NewOverlay(below, now)
	for _, step := range []struct {
		name string
		do   func() error
		want string // a part of the error
	}{
		{"patch", func() error {
			_, err := overlay.Patch(ctx, platform.ConfigMap, "team-a", "changed", map[string]any{"data": map[string]any{"a": "2"}, "metadata": map[string]any{"labels": map[string]any{"x": "y"}}})
			return err
		}, ""},
		{"delete", func() error {
			return overlay.Delete(ctx, platform.ConfigMap, "team-a", "gone", platform.Preconditions{})
		}, ""},
		{"delete again", func() error {
			return overlay.Delete(ctx, platform.ConfigMap, "team-a", "gone", platform.Preconditions{})
		}, "not found"},
		{"create", func() error {
			_, err := overlay.Create(ctx, platform.ConfigMap, configMap("team-a", "new", "a", "1"))
			return err
		}, ""},
		{"create what is below", func() error {
			_, err := overlay.Create(ctx, platform.ConfigMap, configMap("team-a", "kept", "a", "2"))
			return err
		}, "already exists"},
		{"update from an old reading", func() error { _, err := overlay.Update(ctx, platform.ConfigMap, &before[0]); return err }, "it has changed since it was read"},
		{"update what is nowhere", func() error {
			_, err := overlay.Update(ctx, platform.ConfigMap, configMap("team-a", "nowhere", "a", "1"))
			return err
		}, "not found"},
	} {
		if err := step.do(); step.want == "" && err != nil || step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
	}
	for _, test := range []struct {
		name   string
		labels map[string]string
		want   string
	}{{"all", nil, "changed=2 kept=1 new=1"}, {"by a label that was given", map[string]string{"x": "y"}, "changed=2"}} {
		listed, err := overlay.List(ctx, platform.ConfigMap, "", test.labels)
		var got []string
		for _, o := range listed {
			value, _, _ := unstructured.NestedString(o.Object, "data", "a")
			got = append(got, o.GetName()+"="+value)
		}
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
	if after, err := below.List(ctx, platform.ConfigMap, "", nil); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("below is %v, %v", after, err)
	}
}

// What is no file is not waited for.
func TestFolderRefusesPipes(t *testing.T) {
	for name, file := range map[string]string{"of many objects": "team-a/all.yaml", "of one object": "team-a/ConfigMap.core/one.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), syscall.Mkfifo(file, 0o600)); err != nil {
				t.Fatal(err)
			}
			folder := openFolder(t, dir)
			_, listing := folder.List(t.Context(), platform.ConfigMap, "", nil)
			_, getting := folder.Get(t.Context(), platform.ConfigMap, "team-a", "one")
			for _, err := range []error{listing, getting} {
				if err == nil || !strings.Contains(err.Error(), "is not a file: take it away") {
					t.Error(err)
				}
			}
		})
	}
}

func TestFolderFiles(t *testing.T) {
	dir := t.TempDir()
	folder := openFolder(t, dir)
	if _, err := folder.Create(t.Context(), platform.ConfigMap, configMap("team-a", "one", "a", "1")); err != nil {
		t.Fatal(err)
	}
	destination := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "eu-1"}}}
	if _, err := folder.Create(t.Context(), platform.Destination, destination); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "team-a", "ConfigMap.core", "one.yaml"))
	want := `apiVersion: v1
data:
  a: "1"
kind: ConfigMap
metadata:
  creationTimestamp: "2026-08-01T12:00:00Z"
  generation: 1
  name: one
  namespace: team-a
  uid: ` + string(platform.UID(platform.ConfigMap.GroupKind(), "team-a", "one")) + "\n"
	if err != nil || string(got) != want {
		t.Errorf("the file holds (%v)\n%s\nwant\n%s", err, got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "_cluster", "Destination.platform.kratix.io", "eu-1.yaml")); err != nil {
		t.Error(err)
	}
}

func TestFolderHandWritten(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "team-a/ConfigMap.core/own.yaml", "# mine\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, resourceVersion: \"7\"}\n")
	put(t, dir, "team-a/some.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: local}\n---\t# next\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n")
	put(t, dir, "all.yaml", "---\n# nothing\n---\n{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: listed, namespace: team-b}}]}\n... # end\n"+
		"{apiVersion: platform.kratix.io/v1alpha1, kind: Destination, metadata: {name: eu}}\n")
	put(t, dir, "README.md", "not: [yaml")
	put(t, dir, ".hidden.yaml", "not: [yaml")
	folder, ctx := openFolder(t, dir), t.Context()

	objects, err := folder.List(ctx, platform.ConfigMap, "", nil)
	if err != nil || len(objects) != 3 || objects[0].GetName() != "local" || objects[1].GetName() != "own" || objects[2].GetName() != "listed" {
		t.Fatalf("listed %v (%v)", objects, err)
	}
	for _, object := range objects {
		if object.GetUID() != platform.UID(platform.ConfigMap.GroupKind(), object.GetNamespace(), object.GetName()) || object.GetGeneration() != 1 || len(object.GetResourceVersion()) != 32 {
			t.Errorf("read as %v", object)
		}
	}
	secret, err := folder.Get(ctx, platform.Secret, "team-a", "s")
	if err != nil || secret.Object["data"].(map[string]any)["a"] != "Yg==" {
		t.Errorf("the secret is %v (%v)", secret, err)
	}
	if _, err := folder.Get(ctx, platform.Destination, "", "eu"); err != nil {
		t.Error(err)
	}

	// What is in a file of many is not changed.
	_, err = folder.Create(ctx, platform.ConfigMap, configMap("team-a", "local", "a", "1"))
	if !apierrors.IsAlreadyExists(err) {
		t.Errorf("creating what a bundle holds: %v", err)
	}
	_, updating := folder.Update(ctx, platform.ConfigMap, configMap("team-a", "local", "a", "1"))
	_, patching := folder.Patch(ctx, platform.ConfigMap, "team-b", "listed", map[string]any{"data": map[string]any{"a": "1"}})
	deleting := folder.Delete(ctx, platform.Secret, "team-a", "s", platform.Preconditions{})
	for _, err := range []error{updating, patching, deleting} {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), ".yaml, which is only read; edit that file") {
			t.Errorf("changing what a bundle holds: %v", err)
		}
	}

	// A change by hand is seen, and conflicts with what was read before.
	own, err := folder.Get(ctx, platform.ConfigMap, "team-a", "own")
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "team-a/ConfigMap.core/own.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {by: hand}\n")
	put(t, dir, "all.yaml", "# empty\n")
	if _, err := folder.Update(ctx, platform.ConfigMap, own); !apierrors.IsConflict(err) {
		t.Errorf("updating what was changed by hand: %v", err)
	}
	if _, err := folder.Get(ctx, platform.ConfigMap, "team-b", "listed"); !apierrors.IsNotFound(err) {
		t.Errorf("getting what was removed by hand: %v", err)
	}
}

func TestFolderBrokenFiles(t *testing.T) {
	const head = "apiVersion: v1\nkind: ConfigMap\n"
	for name, test := range map[string]struct{ file, content, want string }{
		"parser":                   {"team-a/ConfigMap.core/x.yaml", head + "metadata: {name: x}\ndata: {a: [}\n", "team-a/ConfigMap.core/x.yaml cannot be used: line 4: "},
		"scanner":                  {"team-a/ConfigMap.core/x.yaml", head + "metadata: {name: x}\ndata: a: b\n", "team-a/ConfigMap.core/x.yaml cannot be used: line 4: "},
		"later parser":             {"all.yaml", head + "metadata: {name: other, namespace: team-a}\n---\n" + head + "data: {a: [}\n", "all.yaml cannot be used: line 7: "},
		"duplicate":                {"team-a/ConfigMap.core/x.yaml", head + "metadata: {name: x}\ndata:\n  a: 1\n  a: 2\n", `x.yaml cannot be used: line 6: key "a" already set`},
		"second document":          {"all.yaml", head + "metadata: {name: other, namespace: team-a}\n---\n" + head + "kind: x\n", "all.yaml cannot be used: line 7: "},
		"several, own folder":      {"team-a/ConfigMap.core/x.yaml", head + "metadata: {name: x}\n---\n" + head + "metadata: {name: other}\n", "it holds 2 objects where one belongs"},
		"empty":                    {"team-a/ConfigMap.core/x.yaml", "", "it holds 0 objects"},
		"other name":               {"team-a/ConfigMap.core/x.yaml", head + "metadata: {name: other}\n", "let kind, name and file agree"},
		"a name that is a path":    {"a.yaml", head + "metadata: {name: ../../x, namespace: team-a}\n", `ConfigMap "../../x" has a name that no object can have`},
		"a name that is a command": {"a.yaml", head + "metadata: {name: 'x; reboot', namespace: team-a}\n", "has a name that no object can have"},
		"a name that steers":       {"a.yaml", head + "metadata: {name: \"x\\e[2J\", namespace: team-a}\n", `ConfigMap "x\x1b[2J" has a name`},
		"no name":                  {"a.yaml", head + "metadata: {namespace: team-a}\n", `ConfigMap "" has a name that no object can have`},
		"other kind":               {"team-a/ConfigMap.core/x.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "let kind, name and file agree"},
		"other version":            {"team-a/ConfigMap.core/x.yaml", "apiVersion: v2\nkind: ConfigMap\nmetadata: {name: x}\n", "has apiVersion v2; make it v1"},
		"other namespace":          {"team-a/bundle.yaml", head + "metadata: {name: x, namespace: team-b}\n", `has the namespace "team-b"`},
		"no namespace":             {"all.yaml", head + "metadata: {name: x}\n", `has the namespace ""`},
		"name not quoted":          {"all.yaml", head + "metadata: {name: y, namespace: team-a}\n", "line 1: metadata.name must be text; put quotes around"},
		"twice":                    {"all.yaml", head + "metadata: {name: x, namespace: team-a}\n---\n" + head + "metadata: {name: x, namespace: team-a}\n", "is there twice"},
		"no object":                {"all.yaml", "- secret\n", "line 1: it is not an object"},
		"no kind":                  {"all.yaml", "apiVersion: v1\n", "it has no apiVersion or no kind"},
		"no metadata":              {"all.yaml", head, "it has no metadata"},
		"number as label":          {"all.yaml", head + "metadata: {name: x, labels: {a: 1}}\n", "metadata.labels must be text"},
		"odd key":                  {"all.yaml", head + "data: {null: secret}\n", "a key is neither text nor a number"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, test.file, test.content)
			folder := openFolder(t, dir)
			_, getting := folder.Get(t.Context(), platform.ConfigMap, "team-a", "x")
			_, listing := folder.List(t.Context(), platform.ConfigMap, "", nil)
			for _, err := range []error{getting, listing} {
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
					t.Errorf("got the error %v, want %q", err, test.want)
				}
			}
		})
	}
	t.Run("own file and bundle", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, "team-a/ConfigMap.core/x.yaml", head+"metadata: {name: x}\n")
		put(t, dir, "team-a/y.yaml", head+"metadata: {name: x}\n")
		if _, err := openFolder(t, dir).List(t.Context(), platform.ConfigMap, "team-a", nil); err == nil || !strings.Contains(err.Error(), "is there twice") {
			t.Error(err)
		}
	})
}

func TestFolderRefusesWhatYAMLCannotHold(t *testing.T) {
	folder := openFolder(t, t.TempDir())
	if _, err := folder.Create(t.Context(), platform.ConfigMap, configMap("team-a", "x", "<<", "<<")); !apierrors.IsBadRequest(err) {
		t.Error(err)
	}
	if _, err := folder.Get(t.Context(), platform.ConfigMap, "team-a", "x"); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}

func TestFolderNoOpLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	const content = "# a comment that a rewrite would lose\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
	put(t, dir, "team-a/ConfigMap.core/x.yaml", content)
	folder := openFolder(t, dir)
	object, err := folder.Get(t.Context(), platform.ConfigMap, "team-a", "x")
	if err != nil {
		t.Fatal(err)
	}
	_, updating := folder.Update(t.Context(), platform.ConfigMap, object)
	_, patching := folder.Patch(t.Context(), platform.ConfigMap, "team-a", "x", map[string]any{"data": nil})
	got, reading := os.ReadFile(filepath.Join(dir, "team-a/ConfigMap.core/x.yaml"))
	if err := errors.Join(updating, patching, reading); err != nil || string(got) != content {
		t.Errorf("the file holds (%v)\n%s", err, got)
	}
}

func TestFolderTempFiles(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "team-a/ConfigMap.core/.tmp", "half: [")
	folder := openFolder(t, dir)
	for _, write := range []func() error{
		func() error {
			_, err := folder.Create(t.Context(), platform.ConfigMap, configMap("team-a", "x", "a", "1"))
			return err
		},
		func() error {
			put(t, dir, "team-a/ConfigMap.core/.tmp", "half: [")
			return folder.Delete(t.Context(), platform.ConfigMap, "team-a", "x", platform.Preconditions{})
		},
	} {
		if _, err := folder.List(t.Context(), platform.ConfigMap, "", nil); err != nil {
			t.Error(err)
		}
		if err := write(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "team-a/ConfigMap.core/.tmp")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the temporary file is still there (%v)", err)
		}
	}
}

// There may be Secrets in a folder: what is written is for its owner's eyes only,
// also where people have made the file readable for all.
func TestFolderKeepsSecrets(t *testing.T) {
	dir := t.TempDir()
	folder := openFolder(t, dir)
	file := filepath.Join(dir, "team-a", "ConfigMap.core", "one.yaml")
	private := func(what string) {
		t.Helper()
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s it is %v, %v", what, info.Mode(), err)
		}
	}
	if _, err := folder.Create(t.Context(), platform.ConfigMap, configMap("team-a", "one", "a", "1")); err != nil {
		t.Fatal(err)
	}
	private("made")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Update(t.Context(), platform.ConfigMap, configMap("team-a", "one", "a", "2")); err != nil {
		t.Fatal(err)
	}
	private("changed")
}

func BenchmarkFolderList10000(b *testing.B) {
	const many = 10_000
	dir := b.TempDir()
	for i := range many {
		put(b, dir, fmt.Sprintf("baleen-state/ConfigMap.core/claim-%05d.yaml", i), fmt.Sprintf(`apiVersion: v1
data:
  owner: '{"kind":"ApiAggregatorTarget","namespace":"team-a","name":"orders-%d"}'
kind: ConfigMap
metadata:
  creationTimestamp: "2026-08-01T12:00:00Z"
  generation: 1
  labels: {app.kubernetes.io/managed-by: baleen}
  name: claim-%05d
  namespace: baleen-state
  uid: 00000000-0000-0000-0000-000000000000
`, i, i))
	}
	folder := openFolder(b, dir)
	for b.Loop() {
		if objects, err := folder.List(b.Context(), platform.ConfigMap, "", nil); err != nil || len(objects) != many {
			b.Fatalf("listed %d (%v)", len(objects), err)
		}
	}
}

// FuzzNames looks for a namespace and a name that lead out of the folder.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", "a/../../x", "/etc/x", "a\x00b", "_cluster", ".tmp", ".lock", `..\x`, "a.b", strings.Repeat("a", 253)} {
		f.Add(name, "x")
		f.Add("team-a", name)
	}
	f.Fuzz(func(t *testing.T, namespace, name string) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "folder")
		put(t, dir, "team-a/ConfigMap.core/there.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\n")
		put(t, parent, "ConfigMap.core/x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
		folder := openFolder(t, dir)
		_, creating := folder.Create(t.Context(), platform.ConfigMap, configMap(namespace, name, "a", "1"))
		if got, err := folder.Get(t.Context(), platform.ConfigMap, namespace, name); err == nil && (got.GetNamespace() != namespace || got.GetName() != name) || creating == nil && err != nil {
			t.Errorf("created (%v) and got %v (%v)", creating, got, err)
		}
		_, _ = folder.Patch(t.Context(), platform.ConfigMap, namespace, name, map[string]any{"data": map[string]any{"a": "2"}})
		_ = folder.Delete(t.Context(), platform.ConfigMap, namespace, name, platform.Preconditions{})
		var files []string
		err := filepath.WalkDir(parent, func(path string, item fs.DirEntry, err error) error {
			if err == nil && !item.IsDir() {
				path, err = filepath.Rel(parent, path)
				files = append(files, path)
			}
			return err
		})
		got := strings.ReplaceAll(strings.Join(files, " "), "folder/.lock ", "")
		want := "ConfigMap.core/x.yaml folder/team-a/ConfigMap.core/there.yaml"
		if namespace == "team-a" && name == "there" {
			want = "ConfigMap.core/x.yaml"
			got = strings.TrimSpace(strings.ReplaceAll(got, "folder/.lock", ""))
		}
		if err != nil || got != want {
			t.Errorf("namespace %q, name %q: the files are %q (%v), want %q", namespace, name, got, err, want)
		}
	})
}

func TestFolderIgnoresLinksThatLeadOut(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "folder")
	put(t, parent, "outside/ConfigMap.core/x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Symlink("../outside", filepath.Join(dir, "team-a"))); err != nil {
		t.Fatal(err)
	}
	folder := openFolder(t, dir)
	if got, err := folder.Get(t.Context(), platform.ConfigMap, "team-a", "x"); err == nil {
		t.Errorf("got %v from outside", got)
	}
	if _, err := folder.Create(t.Context(), platform.ConfigMap, configMap("team-a", "y", "a", "1")); err == nil {
		t.Error("wrote outside")
	}
}

// The tests below run this test binary again, as another process that writes.
const writerVariable = "PLATFORM_TEST_WRITER"

func TestMain(m *testing.M) {
	if count := os.Getenv(writerVariable); count != "" {
		os.Exit(writer(count))
	}
	os.Exit(m.Run())
}

// writer counts up in the folder, with others in between, and says so on stdout
// after each step, count times.
func writer(count string) int {
	ctx := context.Background()
	folder, err := platform.OpenFolder(os.Getenv("PLATFORM_TEST_DIR"), now)
	limit, _ := strconv.Atoi(count)
	for done := 0; err == nil && done < limit; {
		if err = platformtest.Increment(ctx, folder, "team-a", "counter"); apierrors.IsConflict(err) {
			err = nil
			continue
		}
		if err == nil {
			done++
			fmt.Println(done)
			other := configMap("team-a", fmt.Sprintf("other-%d", os.Getpid()), "filler", strings.Repeat("x", 20_000))
			if _, err = folder.Create(ctx, platform.ConfigMap, other); err == nil {
				err = folder.Delete(ctx, platform.ConfigMap, "team-a", other.GetName(), platform.Preconditions{})
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func startWriter(t *testing.T, dir string, count int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", writerVariable, count), "PLATFORM_TEST_DIR="+dir)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return command, bufio.NewScanner(out)
}

func counter(t *testing.T, folder *platform.Folder) int {
	t.Helper()
	object, err := folder.Get(t.Context(), platform.ConfigMap, "team-a", "counter")
	if err != nil {
		t.Fatal(err)
	}
	count, err := strconv.Atoi(object.Object["data"].(map[string]any)["count"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func TestFolderSurvivesKills(t *testing.T) {
	dir := t.TempDir()
	folder := openFolder(t, dir)
	if _, err := folder.Create(t.Context(), platform.ConfigMap, configMap("team-a", "counter", "count", "0")); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		before := counter(t, folder)
		command, acknowledged := startWriter(t, dir, 1_000_000)
		for range 1 + rand.IntN(8) {
			acknowledged.Scan()
		}
		for range rand.IntN(2000) { // somewhere within the next step
			_, _ = os.Stat(dir)
		}
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		last, _ := strconv.Atoi(acknowledged.Text())
		for acknowledged.Scan() {
			last, _ = strconv.Atoi(acknowledged.Text())
		}
		_ = command.Wait()
		// One more may have been stored and not yet acknowledged.
		if after := counter(t, folder); after < before+last || after > before+last+1 {
			t.Errorf("the counter went from %d to %d, %d steps were acknowledged", before, after, last)
		}
		if _, err := folder.List(t.Context(), platform.ConfigMap, "", nil); err != nil {
			t.Error(err)
		}
	}
	if err := platformtest.Increment(t.Context(), folder, "team-a", "counter"); err != nil {
		t.Errorf("a killed writer is in the way: %v", err)
	}
}

func TestFolderSharedByProcesses(t *testing.T) {
	dir := t.TempDir()
	folder := openFolder(t, dir)
	if _, err := folder.Create(t.Context(), platform.ConfigMap, configMap("team-a", "counter", "count", "0")); err != nil {
		t.Fatal(err)
	}
	const each = 10
	one, output := startWriter(t, dir, each)
	other, otherOutput := startWriter(t, dir, each)
	for output.Scan() {
	}
	for otherOutput.Scan() {
	}
	if err := errors.Join(one.Wait(), other.Wait()); err != nil {
		t.Error(err)
	}
	if got := counter(t, folder); got != 2*each {
		t.Errorf("%d increments survived, want %d", got, 2*each)
	}
}
