package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// target is where an image is pushed to.
type target = name.Tag

// newTarget names an image in a registry.
func newTarget(prefix, image, tag string) (target, error) {
	repository := strings.TrimSuffix(prefix, "/") + "/" + image
	options := []name.Option{name.StrictValidation}
	if registry, _, _ := strings.Cut(repository, "/"); loopback(registry) {
		options = append(options, name.Insecure) // plain http is tried where https fails
	}
	return name.NewTag(repository+":"+tag, options...)
}

// push sends the image in a folder to a registry, with the credentials that
// `docker login` and its like left.
func push(ctx context.Context, folder string, to target) error {
	index, err := read(folder)
	if err != nil {
		return err
	}
	return remote.WriteIndex(to, index, remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(encrypted{remote.DefaultTransport}))
}

// read opens the image in a folder.
func read(folder string) (v1.ImageIndex, error) {
	oci, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, err
	}
	manifest, err := oci.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%s holds %d images where one is expected", folder, len(manifest.Manifests))
	}
	return oci.ImageIndex(manifest.Manifests[0].Digest)
}

// encrypted lets plain http reach this host only: left to itself, the library
// speaks it, credentials included, with whole private networks.
type encrypted struct{ http.RoundTripper }

func (t encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !loopback(r.URL.Host) {
		return nil, errors.New("plain http is spoken with registries on loopback only; this one must serve https")
	}
	return t.RoundTripper.RoundTrip(r)
}

// loopback reports whether a registry, with or without a port, is on this host.
func loopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = strings.Trim(registry, "[]")
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
