package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

const (
	project  = "github.com/baleen-platform/baleen"
	homepage = "https://" + project
	license  = "Apache-2.0"
	// user is the one that distroless images call nonroot. It is a number, as
	// there is no /etc/passwd, and as only a number passes runAsNonRoot.
	user = "65532:65532"
)

// builder makes images.
type builder struct {
	source, out string
	version     string
	created     time.Time
	archs       []string
	progress    io.Writer // each line is one call, maybe beside another
}

// image is what was made under one name, for all platforms.
type image struct {
	name, folder string
	digest       string // of the index
	platforms    []platform
	unchanged    bool // since an earlier build into this folder
}

type platform struct {
	arch             string
	digest           string // of the manifest
	unpacked, packed int64  // bytes
}

func (p platform) name() string { return "linux/" + p.arch }

// names are the images of a project: one for each Promise's stage, and the tool.
func names(source string) ([]string, error) {
	bases, err := filepath.Glob(filepath.Join(source, "promises", "*", "promise.base.yaml"))
	if err != nil {
		return nil, err
	}
	all := []string{tool}
	for _, base := range bases {
		all = append(all, filepath.Base(filepath.Dir(base)))
	}
	slices.Sort(all)
	for _, name := range all {
		if _, err := os.Stat(filepath.Join(source, "cmd", name)); err != nil {
			return nil, fmt.Errorf("the image %s cannot be made, as the project has no folder cmd/%[1]s", name)
		}
	}
	return all, nil
}

// build makes the images of those names.
func (b builder) build(ctx context.Context, names []string) ([]image, error) {
	binaries, err := os.MkdirTemp("", "baleen-images-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(binaries)
	for _, arch := range b.archs {
		if err := b.compile(ctx, names, arch, filepath.Join(binaries, arch)); err != nil {
			return nil, err
		}
	}
	images := make([]image, len(names))
	packing, ctx := errgroup.WithContext(ctx)
	packing.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		packing.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if images[i], err = b.pack(name, binaries); err != nil {
				return fmt.Errorf("the image %s was not made: %w", name, err)
			}
			state := "packed"
			if images[i].unchanged {
				state = "unchanged"
			}
			fmt.Fprintf(b.progress, "%s %s\n", state, name)
			return nil
		})
	}
	if err := packing.Wait(); err != nil {
		return nil, err
	}
	return images, nil
}

// generated are modules of generated code, most of which never runs: without
// inlining it takes 2 MiB less.
var generated = []string{
	"k8s.io/api", "k8s.io/client-go", "k8s.io/kube-openapi", "k8s.io/apiextensions-apiserver", "github.com/google/gnostic-models",
	"google.golang.org", "github.com/synadia-io", "github.com/itchyny",
}

// stamp has the tool know its version, in the form of a tag. The other binaries
// have no such variable, for which the linker leaves them as they are.
func (b builder) stamp() string {
	if b.version == "" || b.version == unversioned {
		return ""
	}
	version := b.version
	if version[0] >= '0' && version[0] <= '9' {
		version = "v" + version
	}
	return " -X main.stamped=" + version
}

// compilation is that of some binaries for one architecture.
type compilation struct {
	builder
	names []string
	arch  string
}

// compile builds the binaries into a folder.
func (b builder) compile(ctx context.Context, names []string, arch, folder string) error {
	c := compilation{b, names, arch}
	err := c.run(ctx, folder)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("compiling for linux/%s was interrupted: %w", arch, ctx.Err())
	}
	return fmt.Errorf("compiling for linux/%s failed: %w", arch, err)
}

func (c compilation) run(ctx context.Context, folder string) error {
	list, err := c.golang(ctx, "list", "-deps", "-f", `{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}{{.ImportPath}}{{end}}`).Output()
	if err != nil {
		return err
	}
	todo := map[string]bool{} // what the build cache does not have
	for name := range strings.FieldsSeq(string(list)) {
		todo[name] = true
	}
	fmt.Fprintf(c.progress, "compiling for linux/%s: %s; %d packages to compile\n", c.arch, strings.Join(c.names, ", "), len(todo))

	build := c.golang(ctx, "build", "-v", "-o", folder+string(filepath.Separator))
	build.Stderr = nil
	stderr, err := build.StderrPipe()
	if err != nil {
		return err
	}
	if err := build.Start(); err != nil {
		return err
	}
	c.follow(stderr, todo)
	return build.Wait()
}

// golang is a go command about the binaries. Whatever is set where this runs, the
// result is the same.
func (c compilation) golang(ctx context.Context, args ...string) *exec.Cmd {
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=" + c.stamp()}
	for _, packages := range generated {
		flags = append(flags, "-gcflags="+packages+"/...=-l")
	}
	for _, name := range c.names {
		flags = append(flags, "./cmd/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat(args, flags)...)
	cmd.Dir = c.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+c.arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOWORK=off", "GOFLAGS=-mod=readonly")
	cmd.Stderr = c.progress
	return cmd
}

// follow tells how far a build is by what it prints, to the end of that: packages as
// they are begun, and else what is wrong.
func (c compilation) follow(stderr io.Reader, todo map[string]bool) {
	start, all := time.Now(), len(todo)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for r := bufio.NewReader(stderr); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				lines <- strings.TrimSuffix(line, "\n")
			}
			if err != nil {
				return
			}
		}
	}()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			doing := "linking"
			if len(todo) > 0 {
				doing = fmt.Sprintf("%d of %d packages", all-len(todo), all)
			}
			fmt.Fprintf(c.progress, "compiling for linux/%s: %s after %s\n", c.arch, doing, time.Since(start).Round(time.Second))
		case line, more := <-lines:
			switch {
			case !more:
				return
			case todo[line]: // it is begun; those before it are done
				delete(todo, line)
			default:
				fmt.Fprintln(c.progress, line)
			}
		}
	}
}

// packing is one image that is being made.
type packing struct {
	builder
	image
	earlier map[v1.Hash]v1.Layer // blobs of an earlier build
	index   v1.ImageIndex
	sboms   map[string][]byte // by file
}

// pack makes one image of its binaries, and writes its layout and its SBOMs.
func (b builder) pack(name, binaries string) (image, error) {
	p := packing{
		builder: b, image: image{name: name, folder: filepath.Join(b.out, name), unchanged: true},
		index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex), sboms: map[string][]byte{},
	}
	p.earlier = blobs(p.folder)
	for _, arch := range b.archs {
		binary, err := os.ReadFile(filepath.Join(binaries, arch, name))
		if err != nil {
			return image{}, err
		}
		if err := p.add(arch, binary); err != nil {
			return image{}, err
		}
	}
	p.index = mutate.Annotations(p.index, b.labels(name)).(v1.ImageIndex)
	digest, err := p.index.Digest()
	if err != nil {
		return image{}, err
	}
	p.digest = digest.String()
	p.unchanged = p.unchanged && p.earlier[digest] != nil
	return p.image, p.write()
}

// add makes the image for one platform.
func (p *packing) add(arch string, binary []byte) error {
	files, err := archive(p.name, binary)
	if err != nil {
		return err
	}
	hash, _, err := v1.SHA256(bytes.NewReader(files))
	if err != nil {
		return err
	}
	layer, ok := p.earlier[hash]
	if !ok {
		p.unchanged = false
		if layer, err = newLayer(files); err != nil {
			return err
		}
	}
	img, err := p.builder.image(p.name, arch, layer)
	if err != nil {
		return err
	}
	made := platform{arch: arch, unpacked: int64(len(binary))}
	if made.digest, made.packed, err = weigh(img); err != nil {
		return err
	}
	p.platforms = append(p.platforms, made)
	p.index = mutate.AppendManifests(p.index, mutate.IndexAddendum{
		Add:        img,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
	})
	p.sboms[p.name+"."+arch+".spdx.json"], err = p.sbom(p.name, made, binary)
	return err
}

// write writes the layout and the SBOMs in place of those of an earlier build.
func (p *packing) write() error {
	if err := removeOld(p.folder); err != nil {
		return err
	}
	oci, err := layout.Write(p.folder, empty.Index)
	if err != nil {
		return err
	}
	if err := oci.AppendIndex(p.index); err != nil {
		return err
	}
	for file, data := range p.sboms {
		if err := os.WriteFile(filepath.Join(p.folder, file), data, 0o644); err != nil {
			return err
		}
	}
	return readable(p.folder)
}

// readable gives every file the mode that a file of data has; the library that
// writes layouts leaves some for their owner alone, and some executable.
func readable(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o644)
	})
}

// blobs are those that an earlier build left in a folder, by the hash of what
// they hold: compressing is most of the work of packing. Go's library does it,
// and Go's version is in every binary, so that another version means another
// hash. What is damaged is not among them.
func blobs(folder string) map[v1.Hash]v1.Layer {
	whole := map[v1.Hash]v1.Layer{}
	folder = filepath.Join(folder, "blobs", "sha256")
	files, _ := os.ReadDir(folder) // none where there is no earlier build
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil || fmt.Sprintf("%x", sha256.Sum256(data)) != file.Name() {
			continue
		}
		blob, err := newLayer(data)
		if err != nil {
			continue
		}
		if hash, err := blob.DiffID(); err == nil {
			whole[hash] = blob
		}
	}
	return whole
}

// newLayer is a layer of an archive, which may be compressed already.
func newLayer(files []byte) (v1.Layer, error) {
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
}

// archive holds all files of an image: the binary.
func archive(name string, binary []byte) ([]byte, error) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o555, Size: int64(len(binary)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return files.Bytes(), nil
}

// image is a layer as an image for one platform.
func (b builder) image(name, arch string, layer v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: arch,
		Created: v1.Time{Time: b.created},
		RootFS:  v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/" + name},
			User:       user,
			WorkingDir: "/",
			Labels:     b.labels(name),
		},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: b.created}, CreatedBy: "make images"},
	})
}

// labels are those of the images, and the annotations of their index, which is
// where a registry looks.
func (b builder) labels(name string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    name,
		"org.opencontainers.image.source":   homepage,
		"org.opencontainers.image.licenses": license,
		"org.opencontainers.image.version":  b.version,
	}
}

// weigh tells an image's digest, and how many bytes it is in a registry.
func weigh(img v1.Image) (string, int64, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", 0, err
	}
	packed, err := img.Size() // of the manifest alone
	if err != nil {
		return "", 0, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return "", 0, err
	}
	packed += manifest.Config.Size
	for _, layer := range manifest.Layers {
		packed += layer.Size
	}
	return digest.String(), packed, nil
}

// removeOld removes what an earlier build left, and nothing that is not an image.
func removeOld(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, "oci-layout")); err != nil {
		return fmt.Errorf("%s holds something else: choose another folder with --out", folder)
	}
	return os.RemoveAll(folder)
}
