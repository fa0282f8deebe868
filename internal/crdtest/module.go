package crdtest

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// GatewayAPI is the standard channel of the Gateway API.
func GatewayAPI(t testing.TB) *Definitions {
	t.Helper()
	return FromModule(t, "sigs.k8s.io/gateway-api", "v1.6.3", "config/crd/standard/*.yaml")
}

// Traefik is Traefik's own kinds: Middleware and the like.
func Traefik(t testing.TB) *Definitions {
	t.Helper()
	return FromModule(t, "github.com/traefik/traefik/v3", "v3.6.12",
		"docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml")
}

// EnvoyGateway is Envoy Gateway's own kinds: BackendTrafficPolicy and the like.
func EnvoyGateway(t testing.TB) *Definitions {
	t.Helper()
	return FromModule(t, "github.com/envoyproxy/gateway", "v1.9.1",
		"charts/gateway-helm/charts/crds/crds/generated/*.yaml")
}

// SealedSecrets is SealedSecret, as its controller takes it.
func SealedSecrets(t testing.TB) *Definitions {
	t.Helper()
	return FromModule(t, "github.com/bitnami-labs/sealed-secrets", "v0.36.6",
		"helm/sealed-secrets/crds/bitnami.com_sealedsecrets.yaml")
}

// Kratix is the kinds of Kratix itself: Promise, Work, Destination and so on.
func Kratix(t testing.TB) *Definitions {
	t.Helper()
	return FromModule(t, "github.com/syntasso/kratix", "v0.125.1-0.20250807132634-605d221cdabc",
		"config/crd/bases/*.yaml")
}

//go:embed testdata/nginx-gateway-fabric.yaml
var nginxGatewayFabric []byte

var loadNGINXGatewayFabric = sync.OnceValues(func() (*Definitions, error) { return parse(nginxGatewayFabric) })

// NGINXGatewayFabric is ClientSettingsPolicy of NGINX Gateway Fabric. It is
// written by hand from the rules its documentation gives, because the project
// publishes its definitions in no Go module; it knows no other kind.
func NGINXGatewayFabric(t testing.TB) *Definitions {
	t.Helper()
	definitions, err := loadNGINXGatewayFabric()
	if err != nil {
		t.Fatal(err)
	}
	return definitions
}

// modules caches what FromModule read, since one file may be megabytes of YAML.
var modules sync.Map // a call's arguments -> func() (*Definitions, error)

// FromModule reads the CustomResourceDefinitions in files of a Go module, which
// need not be in go.mod: it comes from the module cache or is downloaded there,
// verified by the checksum database. Files are patterns as in [fs.Glob]; each
// must match.
func FromModule(t testing.TB, module, version string, files ...string) *Definitions {
	t.Helper()
	key := strings.Join(append([]string{module, version}, files...), "\n")
	read, _ := modules.LoadOrStore(key, sync.OnceValues(func() (*Definitions, error) {
		return readModule(module, version, files)
	}))
	definitions, err := read.(func() (*Definitions, error))()
	if err != nil {
		t.Fatal(err)
	}
	return definitions
}

// readModule reads the definitions in the module's files.
func readModule(module, version string, patterns []string) (*Definitions, error) {
	directory, err := download(module, version)
	if err != nil {
		return nil, err
	}
	var sets []*Definitions
	for _, pattern := range patterns {
		set, err := readFiles(os.DirFS(directory), pattern)
		if err != nil {
			return nil, fmt.Errorf("module %s@%s: %w", module, version, err)
		}
		sets = append(sets, set)
	}
	return Merge(sets...), nil
}

// readFiles reads the definitions in the files that match the pattern.
func readFiles(directory fs.FS, pattern string) (*Definitions, error) {
	names, err := fs.Glob(directory, pattern)
	if err != nil {
		return nil, err
	}
	var sets []*Definitions
	for _, name := range names {
		content, err := fs.ReadFile(directory, name)
		if err != nil {
			return nil, err
		}
		set, err := parse(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		sets = append(sets, set)
	}
	all := Merge(sets...)
	if len(all.kinds) == 0 {
		return nil, fmt.Errorf("no CustomResourceDefinition in %s", pattern)
	}
	return all, nil
}

// download returns the module's directory in the module cache. It runs outside
// of any module, so that go.mod, go.sum and a workspace play no part.
func download(module, version string) (string, error) {
	var progress bytes.Buffer
	command := exec.Command("go", "mod", "download", "-json", module+"@"+version)
	command.Dir = os.TempDir()
	command.Env = append(os.Environ(), "GOWORK=off", "PWD="+command.Dir)
	command.Stderr = &progress
	output, runErr := command.Output()
	var answer struct{ Dir, Error string }
	if err := json.Unmarshal(output, &answer); err != nil || answer.Dir == "" {
		return "", fmt.Errorf("go mod download %s@%s: %w: %s",
			module, version, errors.Join(runErr, err), cmp.Or(answer.Error, progress.String()))
	}
	return answer.Dir, nil
}
