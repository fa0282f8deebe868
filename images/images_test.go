package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdxlib"
)

var ownImages = flag.Bool("all", false, "build and test the images of the project itself too, as make soak does")

// The images of the project itself, for the machine that runs the test.
func TestProject(t *testing.T) {
	if !*ownImages {
		t.Skip("the images of the project itself are built by make soak")
	}
	source := filepath.Join(t.TempDir(), "one")
	snapshot(t, source)
	all, err := names(source)
	if err != nil {
		t.Fatal(err)
	}
	commands, err := os.ReadDir(filepath.Join(source, "cmd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range commands {
		if !slices.Contains(all, command.Name()) {
			t.Errorf("the images are %v, without %s", all, command.Name())
		}
	}
	b := builder{source: source, out: t.TempDir(), version: "v1.2.3", created: time.Unix(0, 0).UTC(), archs: []string{runtime.GOARCH}, progress: t.Output()}
	images, err := b.build(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if err := tooLarge(images); err != nil {
		t.Error(err)
	}

	for _, made := range images {
		t.Run(made.name, func(t *testing.T) {
			index := open(t, made)
			manifest, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			if len(manifest.Manifests) != 1 {
				t.Fatalf("the index has %d images, not 1", len(manifest.Manifests))
			}
			root, binary := extract(t, index, manifest.Manifests[0].Digest)
			if want := "/" + made.name; binary != want {
				t.Errorf("the image's file is %s, not %s", binary, want)
			}
			checkSBOM(t, made, source)
			t.Run("chroot", func(t *testing.T) { checkRuns(t, root, made.name) })
		})
	}

	t.Run("push", func(t *testing.T) {
		made := images[0]
		server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		defer server.Close()
		to, err := newTarget(strings.TrimPrefix(server.URL, "http://")+"/some/prefix/", made.name, "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		if err := push(t.Context(), made.folder, to); err != nil {
			t.Fatal(err)
		}
		pulled, err := remote.Index(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(pulled); err != nil {
			t.Error(err)
		}
		if digest, err := pulled.Digest(); err != nil || digest.String() != made.digest {
			t.Errorf("the digest is %s (%v) after pushing and pulling, not %s", digest, err, made.digest)
		}
	})

	t.Run("again", func(t *testing.T) {
		first := images[0]
		again := b
		again.source, again.out = filepath.Join(t.TempDir(), "another"), t.TempDir()
		if err := os.Rename(source, again.source); err != nil {
			t.Fatal(err)
		}
		images, err := again.build(t.Context(), []string{first.name})
		if err != nil {
			t.Fatal(err)
		}
		sameFolders(t, first.folder, images[0].folder)
		first.folder = images[0].folder
		if !reflect.DeepEqual(images[0], first) {
			t.Errorf("built again, from another folder:\n%+v\nnot\n%+v", images[0], first)
		}
	})
}

// The command as a whole, for all platforms, on a project that compiles at once.
func TestCommand(t *testing.T) {
	source := standIn(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	prefix := strings.TrimPrefix(server.URL, "http://") + "/prefix"

	out := filepath.Join(source, "dist", "images")
	build := func(args ...string) (string, error) {
		var table bytes.Buffer
		err := run(t.Context(), append([]string{"--source", source}, args...), &table, t.Output())
		return table.String(), err
	}
	table, err := build("--version", "v1.2.3", "--push", prefix)
	if err != nil {
		t.Fatal(err)
	}
	digests := readDigests(t, out)
	if names := slices.Sorted(maps.Keys(digests)); !slices.Equal(names, []string{"baleen", "stage"}) {
		t.Fatalf("the images are %v", names)
	}
	var to pushed
	if data, err := os.ReadFile(filepath.Join(out, "pushed.json")); err != nil || json.Unmarshal(data, &to) != nil ||
		to.Registry != prefix || to.Tag != "v1.2.3" || !maps.Equal(to.Digests, digests) {
		t.Errorf("what was pushed is %+v (%v)", to, err)
	}
	for name, digest := range digests {
		to, err := newTarget(prefix, name, "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		index, err := remote.Index(to)
		if err != nil {
			t.Fatal(err)
		}
		if pushed, err := index.Digest(); err != nil || pushed.String() != digest {
			t.Errorf("%s is %s in the registry (%v), and %s in digests.json", to, pushed, err, digest)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if manifest.MediaType != types.OCIImageIndex {
			t.Errorf("%s is a %s", name, manifest.MediaType)
		}
		if got := manifest.Annotations["org.opencontainers.image.version"]; got != "v1.2.3" {
			t.Errorf("%s is annotated with version %q", name, got)
		}
		var platforms []string
		for _, m := range manifest.Manifests {
			platforms = append(platforms, m.Platform.String())
			img, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			checkConfig(t, img, name, *m.Platform)
			for _, line := range []string{digest, m.Digest.String()} {
				if !strings.Contains(table, line) {
					t.Errorf("%s is not in the table:\n%s", line, table)
				}
			}
		}
		if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
			t.Errorf("%s is for %v, not for %v", name, platforms, want)
		}
	}

	t.Run("twice", func(t *testing.T) {
		if err := os.Remove(filepath.Join(out, "pushed.json")); err != nil { // nothing is pushed here
			t.Fatal(err)
		}
		elsewhere := t.TempDir()
		t.Setenv("GOAMD64", "v3") // what is set where it runs does not matter
		t.Setenv("GOFLAGS", "-ldflags=-X=main.x=y")
		for _, args := range [][]string{{"--out", elsewhere}, nil} { // into a new folder, and over the first
			if _, err := build(append(args, "--version", "v1.2.3")...); err != nil {
				t.Fatal(err)
			}
			sameFolders(t, elsewhere, out)
		}
		if again := readDigests(t, elsewhere); !maps.Equal(digests, again) {
			t.Errorf("%v, then %v", digests, again)
		}
	})
	t.Run("source date", func(t *testing.T) {
		t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
		elsewhere := t.TempDir()
		if _, err := build("--out", elsewhere); err != nil {
			t.Fatal(err)
		}
		sbom, err := os.ReadFile(filepath.Join(elsewhere, "stage", "stage.arm64.spdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		if want := "2023-11-14T22:13:20Z"; !strings.Contains(string(sbom), want) {
			t.Errorf("the SBOM does not say %s:\n%s", want, sbom)
		}
		index, err := read(filepath.Join(elsewhere, "stage"))
		if err != nil {
			t.Fatal(err)
		}
		manifest, _ := index.IndexManifest()
		img, err := index.Image(manifest.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		if config, err := img.ConfigFile(); err != nil || config.Created.Unix() != 1700000000 {
			t.Errorf("the image was created %v (%v)", config, err)
		}
		t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
		if _, err := build("--out", elsewhere); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
			t.Errorf("SOURCE_DATE_EPOCH=yesterday: %v", err)
		}
	})
	t.Run("one architecture", func(t *testing.T) {
		elsewhere := t.TempDir()
		if _, err := build("--out", elsewhere, "--arch", "arm64"); err != nil {
			t.Fatal(err)
		}
		index, err := read(filepath.Join(elsewhere, "stage"))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(manifest.Manifests) != 1 || manifest.Manifests[0].Platform.String() != "linux/arm64" {
			t.Errorf("it is for %v", manifest.Manifests)
		}
		if _, err := build("--out", elsewhere, "--arch", "x86_64"); err == nil || !strings.Contains(err.Error(), "--arch") {
			t.Errorf("--arch x86_64: %v", err)
		}
	})
	t.Run("what is not an image stays", func(t *testing.T) {
		elsewhere := t.TempDir()
		file := filepath.Join(elsewhere, "stage", "precious")
		write(t, file, "")
		if _, err := build("--out", elsewhere); err == nil || !strings.Contains(err.Error(), "holds something else") {
			t.Errorf("built over it: %v", err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	})
	t.Run("bad push", func(t *testing.T) {
		for _, args := range [][]string{{"--version", "1.2 -X main.x=y"}, {"--version", ""}, {"--push", "noregistry"}, {"--push", prefix, "--tag", "v1+2"}, {"--push", prefix + "/Up"}} {
			if _, err := build(args...); err == nil {
				t.Errorf("%v is accepted", args)
			}
		}
		if digests := readDigests(t, out); len(digests) == 0 {
			t.Error("what was built is gone")
		}
	})
	t.Run("too large", func(t *testing.T) {
		noise := make([]byte, maxPacked+1)
		_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
		write(t, filepath.Join(source, "cmd", "stage", "noise"), string(noise))
		write(t, filepath.Join(source, "cmd", "stage", "noise.go"), "package main\n\nimport _ \"embed\"\n\n//go:embed noise\nvar noise string\n\nfunc init() { println(noise[0]) }\n")
		table, err := build("--push", prefix, "--tag", "large")
		if err == nil || !strings.Contains(err.Error(), "the image stage for linux/amd64 is 1") ||
			!strings.Contains(err.Error(), "MiB packed, and at most 14.00 MiB is allowed") {
			t.Errorf("an image of more than 14 MiB: %v", err)
		}
		if !strings.Contains(table, "stage") {
			t.Error("there is no table")
		}
		if _, err := os.Stat(filepath.Join(out, "digests.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("there is a digests.json (%v)", err)
		}
		to, err := newTarget(prefix, "stage", "large")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Head(to); err == nil {
			t.Error("it was pushed")
		}
	})
	t.Run("no command", func(t *testing.T) {
		write(t, filepath.Join(source, "promises", "other", "promise.base.yaml"), "")
		if _, err := build(); err == nil || !strings.Contains(err.Error(), "no folder cmd/other") {
			t.Errorf("a Promise without a command: %v", err)
		}
	})
}

// A second build compiles and compresses what has changed and nothing else, and
// says so. What it leaves is what a first build would, also where the earlier
// layout was damaged.
func TestOnlyWhatChanged(t *testing.T) {
	source := standIn(t)
	out := filepath.Join(source, "dist", "images")
	build := func(t *testing.T, out, version string) string {
		t.Helper()
		var progress lockedBuffer
		if err := run(t.Context(), []string{"--source", source, "--arch", runtime.GOARCH, "--out", out, "--version", version}, io.Discard, &progress); err != nil {
			t.Fatal(err)
		}
		return progress.String()
	}
	build(t, out, "v1")

	layer := func(t *testing.T) string {
		t.Helper()
		index, err := read(filepath.Join(out, "baleen"))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		img, err := index.Image(manifest.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(out, "baleen", "blobs", "sha256", layers.Layers[0].Digest.Hex)
	}
	edit := func(change func([]byte) []byte) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			data, err := os.ReadFile(layer(t))
			if err != nil {
				t.Fatal(err)
			}
			write(t, layer(t), string(change(data)))
		}
	}
	for _, test := range []struct {
		name    string
		change  func(*testing.T)
		version string
		want    []string
	}{
		{"nothing", func(*testing.T) {}, "v1", []string{"0 packages to compile", "unchanged baleen", "unchanged stage"}},
		{"a label", func(*testing.T) {}, "v2", []string{"0 packages to compile", "packed baleen", "packed stage"}},
		{"the source of one", func(t *testing.T) {
			// Another number each time, or go's cache would have it from a former run of this test.
			write(t, filepath.Join(source, "cmd", "stage", "more.go"), fmt.Sprintf("package main\n\nfunc init() { println(%d) }\n", time.Now().UnixNano()))
		}, "v2", []string{"1 packages to compile", "unchanged baleen", "packed stage"}},
		{"a layer that is not the same, and unpacks to the same", edit(func(data []byte) []byte {
			data[9]++ // the system that it was packed on, which nobody reads
			return data
		}), "v2", []string{"packed baleen", "unchanged stage"}},
		{"a layer that ends early", edit(func(data []byte) []byte { return data[:len(data)/2] }), "v2", []string{"packed baleen", "unchanged stage"}},
		{"a layer that is gone", func(t *testing.T) {
			if err := os.Remove(layer(t)); err != nil {
				t.Fatal(err)
			}
		}, "v2", []string{"packed baleen", "unchanged stage"}},
		{"an SBOM that is gone", func(t *testing.T) {
			if err := os.Remove(filepath.Join(out, "baleen", "baleen."+runtime.GOARCH+".spdx.json")); err != nil {
				t.Fatal(err)
			}
		}, "v2", []string{"unchanged baleen", "unchanged stage"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.change(t)
			progress := build(t, out, test.version)
			for _, line := range test.want {
				if !strings.Contains(progress, line) {
					t.Errorf("%q is not in the progress:\n%s", line, progress)
				}
			}
			afresh := t.TempDir()
			build(t, afresh, test.version)
			sameFolders(t, afresh, out)
		})
	}
}

// lockedBuffer is written to by several goroutines.
type lockedBuffer struct {
	mutex sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.Buffer.Write(data)
}

// Each stage and the tool have limits of their own, unpacked and packed.
func TestTooLarge(t *testing.T) {
	for _, test := range []struct {
		name             string
		image            string
		unpacked, packed int64
		want             string
	}{
		{"a stage as large as allowed", "x", maxUnpacked, maxPacked, ""},
		{"the tool as large as allowed", tool, maxToolUnpacked, maxToolPacked, ""},
		{"the tool unpacked", tool, maxToolUnpacked + 1, maxToolPacked, "the image baleen for linux/amd64 is 56.01 MiB unpacked, and at most 56.00 MiB is allowed"},
		{"a stage unpacked", "x", maxUnpacked + 1, maxPacked, "the image x for linux/amd64 is 40.01 MiB unpacked, and at most 40.00 MiB is allowed"},
		{"a stage packed", "x", maxUnpacked, maxPacked + 1, "the image x for linux/amd64 is 14.01 MiB packed, and at most 14.00 MiB is allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := tooLarge([]image{{name: test.image, platforms: []platform{{arch: "amd64", unpacked: test.unpacked, packed: test.packed}}}}); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("%d and %d bytes: %q, not %q", test.unpacked, test.packed, got, test.want)
			}
		})
	}
}

// Plain HTTP, which shows credentials to everybody on the way, is spoken with
// registries on this host and no others.
func TestPlainHTTPStaysHere(t *testing.T) {
	var asked []string
	transport := encrypted{roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.String())
		return nil, errors.New("not here")
	})}
	for url, allowed := range map[string]bool{
		"http://localhost:5000/v2/": true, "http://127.0.0.1/v2/": true, "http://127.0.0.2:1/v2/": true, "http://[::1]:5000/v2/": true,
		"https://registry.example.com/v2/": true, "https://10.0.0.1:5000/v2/": true,
		"http://registry.example.com/v2/": false, "http://10.0.0.1:5000/v2/": false, "http://registry.local/v2/": false,
		"http://localhost.example.com:5000/v2/": false,
	} {
		t.Run(url, func(t *testing.T) {
			asked = nil
			r, err := http.NewRequest(http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if answer, err := transport.RoundTrip(r); err == nil {
				answer.Body.Close()
				t.Error("there was an answer")
			}
			if (len(asked) == 1) != allowed {
				t.Errorf("allowed %t, not %t", len(asked) == 1, allowed)
			}
		})
	}
	for registry, scheme := range map[string]string{"localhost": "http", "127.0.0.2:5000": "http", "[::1]:5000": "http", "registry.example.com": "https"} {
		t.Run(registry, func(t *testing.T) {
			to, err := newTarget(registry+"/prefix", "x", "v1")
			if err != nil {
				t.Fatal(err)
			}
			if got := to.Scheme(); got != scheme {
				t.Errorf("it is spoken with %s, not %s", got, scheme)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// open opens the layout of an image and validates all of it.
func open(t *testing.T, made image) v1.ImageIndex {
	t.Helper()
	whole, err := layout.ImageIndexFromPath(made.folder)
	if err != nil {
		t.Fatal(err)
	}
	index, err := read(made.folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(whole); err != nil { // and all that is below it
		t.Error(err)
	}
	if digest, err := index.Digest(); err != nil || digest.String() != made.digest {
		t.Errorf("the layout has %s (%v), not %s", digest, err, made.digest)
	}
	return index
}

// extract unpacks the one layer with the one file of an image, and returns the
// folder and the file's path in it.
func extract(t *testing.T, index v1.ImageIndex, digest v1.Hash) (root, file string) {
	t.Helper()
	img, err := index.Image(digest)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("the image has %d layers (%v), not 1", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	files := tar.NewReader(content)
	header, err := files.Next()
	if err != nil {
		t.Fatal(err)
	}
	if header.Typeflag != tar.TypeReg || header.Mode != 0o555 || header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 0 {
		t.Errorf("the file is not a plain one of root, mode 0555, of time zero: %+v", header)
	}
	root = t.TempDir()
	binary := filepath.Join(root, header.Name)
	out, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, files); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.Close(), os.Chmod(binary, fs.FileMode(header.Mode)), os.Chmod(root, 0o555)); err != nil {
		t.Fatal(err)
	}
	if header, err := files.Next(); err != io.EOF {
		t.Errorf("there is more in the image: %+v (%v)", header, err)
	}
	return root, "/" + header.Name
}

// checkRuns runs a binary as the user of the images, with nothing else in the
// world: no shell, no /tmp, no /etc, and nothing that this user could write.
func checkRuns(t *testing.T, root, name string) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		const why = "running the binaries of images takes Linux, and root for chroot and another user"
		if os.Getenv("CI") != "" { // the gate must not pass without it
			t.Fatal(why)
		}
		t.Skip(why)
	}
	inside := func(args ...string) (code int, stdout, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "/"+name, args...)
		cmd.Dir = "/"
		cmd.Env = []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		var out, err bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &err
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), err.String()
	}
	if name == "baleen" {
		if code, stdout, stderr := inside("version"); code != 0 || stdout != "baleen v1.2.3\n" {
			t.Errorf("baleen version: exit code %d, %q, %q", code, stdout, stderr)
		}
		return
	}
	// A stage that Kratix did not start says which of its environment it misses.
	code, stdout, stderr := inside()
	if code != 1 || stdout != "" {
		t.Errorf("exit code %d with %q on stdout, not 1 with nothing", code, stdout)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, name+": ") || !regexp.MustCompile(`\b(KRATIX|BALEEN|KUBERNETES)_[A-Z]`).MatchString(stderr) {
		t.Errorf("stderr is not one sentence on what is missing: %q", stderr)
	}
}

func checkConfig(t *testing.T, img v1.Image, name string, platform v1.Platform) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != platform.OS || config.Architecture != platform.Architecture || !config.Created.Equal(time.Unix(0, 0)) {
		t.Errorf("%s for %s is for %s/%s and was created %s", name, platform, config.OS, config.Architecture, config.Created)
	}
	want := v1.Config{
		Entrypoint: []string{"/" + name},
		User:       "65532:65532",
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    name,
			"org.opencontainers.image.source":   "https://github.com/baleen-platform/baleen",
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.version":  "v1.2.3",
		},
	}
	if !reflect.DeepEqual(config.Config, want) {
		t.Errorf("%s for %s has the config\n%+v\nnot\n%+v", name, platform, config.Config, want)
	}
}

// checkSBOM holds an image's SBOM against the image and against go.mod.
func checkSBOM(t *testing.T, made image, source string) {
	t.Helper()
	p := made.platforms[0]
	data, err := os.ReadFile(filepath.Join(made.folder, fmt.Sprintf("%s.%s.spdx.json", made.name, p.arch)))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := spdxjson.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		t.Error(err)
	}
	if described, err := spdxlib.GetDescribedPackageIDs(doc); err != nil || !slices.Equal(described, []spdx.ElementID{"Image"}) {
		t.Errorf("the SBOM describes %v (%v)", described, err)
	}
	packages := map[string]*spdx.Package{}
	ids := map[spdx.ElementID]bool{}
	for _, p := range doc.Packages {
		packages[p.PackageName] = p
		ids[p.PackageSPDXIdentifier] = true
	}
	if len(ids) != len(doc.Packages) || len(packages) != len(doc.Packages) {
		t.Errorf("%d packages have %d identifiers and %d names", len(doc.Packages), len(ids), len(packages))
	}
	if p, ok := packages[made.name]; !ok || "sha256:"+p.PackageChecksums[0].Value != made.platforms[0].digest {
		t.Errorf("the SBOM is not of the image %s: %+v", made.platforms[0].digest, p)
	}
	known := []string{"carvel.dev/ytt", "k8s.io/client-go"}
	if made.name == "baleen" {
		known = append(known, "github.com/spf13/cobra")
	}
	for _, path := range known {
		list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", path)
		list.Dir = source
		version, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		p, ok := packages[path]
		if !ok || p.PackageVersion != strings.TrimSpace(string(version)) {
			t.Errorf("the SBOM has %s as %+v, and go.mod as %s", path, p, version)
			continue
		}
		sum := p.PackageExternalReferences[len(p.PackageExternalReferences)-1].Locator
		sums, err := os.ReadFile(filepath.Join(source, "go.sum"))
		if err != nil {
			t.Fatal(err)
		}
		if line := path + " " + p.PackageVersion + " " + sum + "\n"; !strings.HasPrefix(sum, "h1:") || !strings.Contains(string(sums), line) {
			t.Errorf("go.sum does not have %q", line)
		}
	}
	if p := packages["stdlib"]; p == nil || !strings.HasPrefix(p.PackageVersion, "1.") {
		t.Errorf("the SBOM has Go's own packages as %+v", p)
	}
}

// snapshot copies the project, so that nothing moves under the test.
func snapshot(t *testing.T, to string) {
	t.Helper()
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (entry.Name()[0] == '.' || slices.Contains([]string{"bin", "dist", "images", "test", "baleen-out"}, path)):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// standIn makes a project that has what this command looks at, and little else.
func standIn(t *testing.T) string {
	t.Helper()
	source := t.TempDir()
	write(t, filepath.Join(source, "go.mod"), "module example.com/standin\n\ngo 1.26.0\n")
	write(t, filepath.Join(source, "promises", "stage", "promise.base.yaml"), "")
	write(t, filepath.Join(source, "promises", "not-yet", "README.md"), "")
	for _, name := range []string{"baleen", "stage", "no-promise"} {
		write(t, filepath.Join(source, "cmd", name, "main.go"), "package main\n\nvar x string\n\nfunc main() { println(\""+name+"\", x) }\n")
	}
	return source
}

// The tool knows its version in the form of a tag.
func TestStamp(t *testing.T) {
	for _, test := range []struct{ version, want string }{
		{"1.2.3", " -X main.stamped=v1.2.3"},
		{"v1.2.3", " -X main.stamped=v1.2.3"},
		{"edge", " -X main.stamped=edge"},
		{unversioned, ""},
		{"", ""},
	} {
		t.Run(test.version, func(t *testing.T) {
			if got := (builder{version: test.version}).stamp(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func readDigests(t *testing.T, out string) (digests map[string]string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, "digests.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &digests); err != nil {
		t.Fatal(err)
	}
	return digests
}

// sameFolders compares all files of two folders: their names, modes and bytes.
func sameFolders(t *testing.T, a, b string) {
	t.Helper()
	list := func(folder string) map[string]string {
		files := map[string]string{}
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(folder, path)
			files[name] = info.Mode().String() + " " + string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	in, also := list(a), list(b)
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if other, ok := also[name]; !ok || other != in[name] {
			t.Errorf("%s is not the same in both folders", name)
		}
	}
	if len(in) != len(also) {
		t.Errorf("there are %d files in one folder and %d in the other", len(in), len(also))
	}
}
