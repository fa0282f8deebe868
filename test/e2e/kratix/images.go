// Package kratix reads a Kratix: its manifests, and the images that these name.
package kratix

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Content is an image, or an index of those for several architectures.
type Content interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// Image is one that a Kratix may name.
type Image struct {
	// Name is a whole reference, or the last part of a repository if nobody has
	// said more: kratix-platform, with or without a tag.
	Name string
	// From is the file that it was read from.
	From    string
	Content Content
}

// ReadImages reads OCI layouts and archives: list names such files and folders, or
// folders that hold some, with commas between them. What an archive holds is
// unpacked below a folder.
func ReadImages(list, unpacked string) ([]Image, error) {
	var all []Image
	for path := range strings.SplitSeq(list, ",") {
		images, err := read(strings.TrimSpace(path), unpacked)
		if err != nil {
			return nil, err
		}
		all = append(all, images...)
	}
	return all, nil
}

// read reads one entry of a list.
func read(path, unpacked string) ([]Image, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("no image can be read: %w", err)
	case !info.IsDir():
		return readArchive(path, unpacked)
	case isLayout(path):
		return readLayout(path, path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var all []Image
	for _, e := range entries {
		below := filepath.Join(path, e.Name())
		var images []Image
		switch {
		case isLayout(below):
			images, err = readLayout(below, below)
		case isArchive(e.Name()):
			images, err = readArchive(below, unpacked)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, images...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is no OCI layout, and holds neither layouts nor archives (.tar, .tar.gz, .tgz)", path)
	}
	return all, nil
}

func isLayout(path string) bool {
	_, err := os.Stat(filepath.Join(path, "oci-layout"))
	return err == nil
}

var endings = []string{".tar", ".tar.gz", ".tgz"}

func isArchive(file string) bool {
	return slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(file, ending) })
}

// readLayout reads the images of an OCI layout; from is the file that people know.
func readLayout(path, from string) ([]Image, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("%s is no OCI layout: %w", from, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("%s is no OCI layout: %w", from, err)
	}
	if len(manifest.Manifests) == 0 {
		return nil, fmt.Errorf("the layout %s holds no image", from)
	}
	var all []Image
	for _, d := range manifest.Manifests {
		i := Image{Name: named(d.Annotations, from), From: from}
		if d.MediaType.IsIndex() {
			i.Content, err = index.ImageIndex(d.Digest)
		} else {
			i.Content, err = index.Image(d.Digest)
		}
		if err != nil {
			return nil, fmt.Errorf("the layout %s lacks %s: %w", from, d.Digest, err)
		}
		all = append(all, i)
	}
	return all, nil
}

// named is what an image is called: as who has written it says, or as its file is.
func named(annotations map[string]string, from string) string {
	file := filepath.Base(from)
	for _, ending := range endings {
		file = strings.TrimSuffix(file, ending)
	}
	said := annotations["io.containerd.image.name"]
	if said == "" {
		said = annotations["org.opencontainers.image.ref.name"]
	}
	switch {
	case said == "" || said == file:
		return file
	case strings.ContainsAny(said, "/:"):
		return said
	}
	return file + ":" + said // most write the tag alone
}

// readArchive reads what `docker save` writes, or an OCI layout in an archive.
func readArchive(path, unpacked string) ([]Image, error) {
	if err := os.MkdirAll(unpacked, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(unpacked, filepath.Base(path)+"-")
	if err != nil {
		return nil, err
	}
	if err := unpack(path, dir); err != nil {
		return nil, fmt.Errorf("the archive %s cannot be read: %w", path, err)
	}
	if isLayout(dir) {
		return readLayout(dir, path)
	}
	plain := filepath.Join(dir, "plain.tar") // what is compressed inside is no concern of ours
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, fmt.Errorf("the archive %s holds neither an OCI layout nor what docker save writes", path)
	}
	var manifests []struct{ RepoTags []string }
	if err := json.Unmarshal(data, &manifests); err != nil {
		return nil, fmt.Errorf("manifest.json of the archive %s cannot be read: %w", path, err)
	}
	if err := uncompress(path, plain); err != nil {
		return nil, err
	}
	var all []Image
	for _, m := range manifests {
		for _, tag := range m.RepoTags {
			parsed, err := name.NewTag(tag)
			if err != nil {
				return nil, fmt.Errorf("the archive %s: %w", path, err)
			}
			image, err := tarball.ImageFromPath(plain, &parsed)
			if err != nil {
				return nil, fmt.Errorf("the archive %s: %w", path, err)
			}
			all = append(all, Image{Name: tag, From: path, Content: image})
		}
		if len(m.RepoTags) == 0 && len(manifests) == 1 {
			image, err := tarball.ImageFromPath(plain, nil)
			if err != nil {
				return nil, fmt.Errorf("the archive %s: %w", path, err)
			}
			all = append(all, Image{Name: named(nil, path), From: path, Content: image})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the archive %s names none of its images", path)
	}
	return all, nil
}

// open opens an archive that may be compressed.
func open(path string) (io.Reader, io.Closer, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	reader := bufio.NewReader(file)
	if magic, _ := reader.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		unzipped, err := gzip.NewReader(reader)
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		return unzipped, file, nil
	}
	return reader, file, nil
}

func uncompress(path, to string) error {
	reader, closer, err := open(path)
	if err != nil {
		return err
	}
	defer closer.Close()
	return write(to, reader)
}

func write(path string, from io.Reader) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Close())
}

// unpack writes the files of an archive below a folder, and nothing outside of it.
func unpack(path, dir string) error {
	reader, closer, err := open(path)
	if err != nil {
		return err
	}
	defer closer.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewReader(reader)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		file := filepath.Clean(h.Name)
		if err := root.MkdirAll(filepath.Dir(file), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		to, err := root.Create(file)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, archive)
		if err := errors.Join(err, to.Close()); err != nil {
			return err
		}
	}
}

// Find returns the image that a manifest means by a reference.
func Find(images []Image, reference string) (Image, error) {
	var found []Image
	for _, i := range images {
		if i.is(reference) {
			found = append(found, i)
		}
	}
	digests := map[string]bool{}
	for _, i := range found {
		digest, err := i.Content.Digest()
		if err != nil {
			return Image{}, err
		}
		digests[digest.String()] = true
	}
	switch {
	case len(found) == 0:
		return Image{}, fmt.Errorf("the manifests name the image %s, which is not given; given are %s", reference, said(images))
	case len(digests) > 1:
		return Image{}, fmt.Errorf("the manifests name the image %s, and several that are given may be it: %s", reference, said(found))
	}
	return found[0], nil
}

// is reports whether an image is the one of a reference.
func (i Image) is(reference string) bool {
	want, err := name.ParseReference(reference)
	if err != nil {
		return false
	}
	if digest, ok := want.(name.Digest); ok {
		is, err := i.Content.Digest()
		return err == nil && is.String() == digest.DigestStr()
	}
	if strings.Contains(i.Name, "/") {
		is, err := name.ParseReference(i.Name)
		return err == nil && is.Name() == want.Name()
	}
	last, tag, tagged := strings.Cut(i.Name, ":")
	repository := want.Context().RepositoryStr()
	return repository[strings.LastIndex(repository, "/")+1:] == last && (!tagged || tag == want.Identifier())
}

// said lists images for an error.
func said(images []Image) string {
	if len(images) == 0 {
		return "none"
	}
	var all []string
	for _, i := range images {
		all = append(all, fmt.Sprintf("%s (%s)", i.Name, i.From))
	}
	return strings.Join(all, ", ")
}

// Label is one of an image's config; of an index it is that of its first image.
func (i Image) Label(key string) string {
	content := i.Content
	if index, ok := content.(v1.ImageIndex); ok {
		manifest, err := index.IndexManifest()
		if err != nil || len(manifest.Manifests) == 0 {
			return ""
		}
		if content, err = index.Image(manifest.Manifests[0].Digest); err != nil {
			return ""
		}
	}
	image, ok := content.(v1.Image)
	if !ok {
		return ""
	}
	config, err := image.ConfigFile()
	if err != nil {
		return ""
	}
	return config.Config.Labels[key]
}
