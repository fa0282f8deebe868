package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
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
	progress    io.Writer
}

// image is what was made under one name, for all platforms.
type image struct {
	name, folder string
	digest       string // of the index
	platforms    []platform
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
	var images []image
	for _, name := range names {
		fmt.Fprintf(b.progress, "packing %s\n", name)
		i, err := b.pack(name, binaries)
		if err != nil {
			return nil, fmt.Errorf("the image %s was not made: %w", name, err)
		}
		images = append(images, i)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// generated are modules of generated code, most of which never runs: without
// inlining it takes 2 MiB less.
var generated = []string{
	"k8s.io/api", "k8s.io/client-go", "k8s.io/kube-openapi", "k8s.io/apiextensions-apiserver", "github.com/google/gnostic-models",
	"google.golang.org", "github.com/synadia-io", "github.com/itchyny",
}

// compile builds the binaries into a folder.
func (b builder) compile(ctx context.Context, names []string, arch, folder string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", folder + string(filepath.Separator)}
	for _, packages := range generated {
		args = append(args, "-gcflags="+packages+"/...=-l")
	}
	for _, name := range names {
		args = append(args, "./cmd/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.source
	cmd.Stdout, cmd.Stderr = b.progress, b.progress
	// Whatever is set where this runs, the result is the same.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOWORK=off", "GOFLAGS=-mod=readonly")

	fmt.Fprintf(b.progress, "compiling for linux/%s: %s\n", arch, strings.Join(names, ", "))
	start := time.Now()
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintf(b.progress, "still compiling for linux/%s, for %s now\n", arch, time.Since(start).Round(time.Second))
		case err := <-done:
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("compiling for linux/%s was interrupted: %w", arch, ctx.Err())
			case err != nil:
				return fmt.Errorf("compiling for linux/%s failed: %w", arch, err)
			}
			return nil
		}
	}
}

// pack makes one image of its binaries, and writes its layout and its SBOMs.
func (b builder) pack(name, binaries string) (image, error) {
	made := image{name: name, folder: filepath.Join(b.out, name)}
	sboms := map[string][]byte{}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range b.archs {
		file := filepath.Join(binaries, arch, name)
		binary, err := os.ReadFile(file)
		if err != nil {
			return image{}, err
		}
		img, err := b.image(name, arch, binary)
		if err != nil {
			return image{}, err
		}
		p := platform{arch: arch, unpacked: int64(len(binary))}
		if p.digest, p.packed, err = weigh(img); err != nil {
			return image{}, err
		}
		made.platforms = append(made.platforms, p)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
		if sboms[name+"."+arch+".spdx.json"], err = b.sbom(name, p, binary); err != nil {
			return image{}, err
		}
	}
	index = mutate.Annotations(index, b.labels(name)).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return image{}, err
	}
	made.digest = digest.String()

	if err := removeOld(made.folder); err != nil {
		return image{}, err
	}
	oci, err := layout.Write(made.folder, empty.Index)
	if err != nil {
		return image{}, err
	}
	if err := oci.AppendIndex(index); err != nil {
		return image{}, err
	}
	for file, data := range sboms {
		if err := os.WriteFile(filepath.Join(made.folder, file), data, 0o644); err != nil {
			return image{}, err
		}
	}
	return made, readable(made.folder)
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

// image is a binary as an image for one platform: the binary and nothing else.
func (b builder) image(name, arch string, binary []byte) (v1.Image, error) {
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
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
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
