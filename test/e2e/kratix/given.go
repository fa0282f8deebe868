package kratix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Given is a Kratix in place of the one that is built here.
type Given struct {
	// Images are OCI layouts and archives, or folders of such, with commas between
	// them; Manifests is a distribution file or the folder config.
	Images, Manifests string
}

// FromEnvironment reads which Kratix somebody gives, if any, and that it is there.
func FromEnvironment(getenv func(string) string) (Given, error) {
	g := Given{Images: getenv("KRATIX_IMAGES"), Manifests: getenv("KRATIX_MANIFESTS")}
	switch {
	case g.Images == "" && g.Manifests != "":
		return g, errors.New("KRATIX_MANIFESTS is set and KRATIX_IMAGES is not: a Kratix that is given has images, too")
	case g.Images != "" && g.Manifests == "":
		return g, errors.New("KRATIX_IMAGES is set and KRATIX_MANIFESTS is not: a Kratix that is given has manifests, too")
	case g.Images == "":
		return g, nil
	}
	var all []string
	for path := range strings.SplitSeq(g.Images, ",") {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		absolute, err := filepath.Abs(path)
		if err == nil {
			_, err = os.Stat(absolute)
		}
		if err != nil {
			return g, fmt.Errorf("no image can be read: %w", err)
		}
		all = append(all, absolute)
	}
	if len(all) == 0 {
		return g, errors.New("KRATIX_IMAGES names no file")
	}
	g.Images = strings.Join(all, ",")
	var err error
	if g.Manifests, err = filepath.Abs(g.Manifests); err == nil {
		_, err = os.Stat(g.Manifests)
	}
	if err != nil {
		return g, fmt.Errorf("no manifests can be read: %w", err)
	}
	return g, nil
}

// IsGiven reports whether there is one.
func (g Given) IsGiven() bool { return g.Images != "" }

// Kratix is one that can be installed.
type Kratix struct {
	Manifests *Manifests
	Images    []Image
}

// Read reads the Kratix that is given, and finds each image that its manifests name.
func (g Given) Read(unpacked string, kustomize func(dir string) (string, error)) (Kratix, error) {
	m, err := ReadManifests(g.Manifests, kustomize)
	if err != nil {
		return Kratix{}, err
	}
	images, err := ReadImages(g.Images, unpacked)
	if err != nil {
		return Kratix{}, err
	}
	k := Kratix{m, images}
	return k, k.complete()
}

// complete is an error for each image that is named and not there.
func (k Kratix) complete() error {
	var errs []error
	for _, reference := range k.Manifests.Images() {
		_, err := Find(k.Images, reference)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Version tells a reader which one it is: the image of its manager, and of which commit
// or version that is, if the image says so.
func (k Kratix) Version() string {
	all := k.Manifests.Images()
	if len(all) == 0 {
		return ""
	}
	manager, err := Find(k.Images, all[0])
	if err != nil {
		return ""
	}
	version := all[0]
	for _, label := range []string{"version", "revision"} {
		if value := manager.Label("org.opencontainers.image." + label); value != "" {
			version += ", " + label + " " + value
		}
	}
	if digest, err := manager.Content.Digest(); err == nil {
		version += ", " + digest.Algorithm + ":" + digest.Hex[:12]
	}
	return version
}
