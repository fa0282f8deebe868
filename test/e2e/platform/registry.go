package platform

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// serve runs an HTTP server of this process.
func serve(address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() {
		if err := http.Serve(listener, handler); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("a server ended", "address", address, "error", err)
		}
	}()
	return nil
}

// serveTLS is serve, with a certificate.
func serveTLS(address, certificate, key string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		slog.Error("a server ended", "address", address, "error", server.ServeTLS(listener, certificate, key))
	}()
	return nil
}

// serveUnix is serve, on a socket.
func serveUnix(path string, handler http.Handler) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, handler) }()
	return nil
}

// startRegistry serves images from memory.
func startRegistry() error {
	return serve(registryAddr, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
}

// image is a static binary in an image of its own.
type image struct {
	repository, tag string
	binary          string // a path on the host
	at              string // and in the image
	user            string
	labels          map[string]string
}

// push makes the image and sends it to the registry.
func (i image) push() error {
	made, err := i.build()
	if err != nil {
		return err
	}
	to, err := name.NewTag(fmt.Sprintf("%s/%s:%s", registryAddr, i.repository, i.tag), name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(to, made)
}

// build makes the image: one layer, with an empty /tmp beside the binary.
func (i image) build() (v1.Image, error) {
	binary, err := os.ReadFile(i.binary)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	for _, h := range []*tar.Header{
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: i.at[1:], Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(binary))},
	} {
		if err := archive.WriteHeader(h); err != nil {
			return nil, err
		}
	}
	if _, err := archive.Write(binary); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	content, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	made, err := mutate.AppendLayers(empty.Image, content)
	if err != nil {
		return nil, err
	}
	config, err := made.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{User: i.user, Entrypoint: []string{i.at}, Labels: i.labels}
	return mutate.ConfigFile(made, config)
}
