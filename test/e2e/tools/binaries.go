// Package tools builds the programs of the platform from their Go modules, each
// with the versions of its own go.mod, and keeps them.
package tools

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A module is a folder beside this file; the programs are packages in its graph.
type module struct {
	name     string
	folder   string            // "" is the name
	always   bool              // of this module, whose programs' sources may have changed
	programs map[string]string // by the name they get
	stamp    bool              // the version, as a release of Kubernetes has it
	without  *without
}

var modules = []module{
	{name: "etcd", programs: map[string]string{"etcd": "go.etcd.io/etcd/server/v3"}},
	{name: "kubernetes", stamp: true, programs: map[string]string{
		"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
		"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
		"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
		"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
		"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
	}},
	{name: "kratix", programs: map[string]string{
		"manager":          "github.com/syntasso/kratix/cmd",
		"pipeline-adapter": "github.com/syntasso/kratix/work-creator",
	}},
	{name: "others", folder: "..", programs: map[string]string{
		"nats-server":               "github.com/nats-io/nats-server/v2",
		"sealed-secrets-controller": "github.com/bitnami-labs/sealed-secrets/cmd/controller",
	}},
	{name: "own", folder: "..", always: true, programs: map[string]string{
		"pause":          "github.com/baleen-platform/baleen/test/e2e/pause",
		"empty-pipeline": "github.com/baleen-platform/baleen/test/e2e/emptypipeline",
	}},
	{name: "argocd", programs: map[string]string{"argocd": "github.com/argoproj/argo-cd/v3/cmd"}},
	{name: "traefik", programs: map[string]string{"traefik": "github.com/traefik/traefik/v3/cmd/traefik"}, without: noDNSProviders},
}

// versionFlags stamp the version of Kubernetes; without it servers call themselves
// v0.0.0-master, which Argo CD and kubectl cannot read.
func (m module) versionFlags(source string) (string, error) {
	if !m.stamp {
		return "", nil
	}
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	cmd.Dir = m.source(source)
	out, err := cmd.Output()
	version := strings.TrimSpace(string(out))
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if err != nil || len(parts) < 2 {
		return "", fmt.Errorf("the version of Kubernetes in %s is %q: %w", m.name, version, err)
	}
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, "-X "+pkg+".gitVersion="+version, "-X "+pkg+".gitMajor="+parts[0], "-X "+pkg+".gitMinor="+parts[1])
	}
	return strings.Join(flags, " "), nil
}

// Build makes what is not in the cache yet and returns the path of each program.
// Source is the folder of this package; modules that are given by somebody are left out.
func Build(source, cache string, progress io.Writer, given ...string) (map[string]string, error) {
	paths := map[string]string{}
	for _, m := range modules {
		if slices.Contains(given, m.name) {
			continue
		}
		flags, err := m.versionFlags(source)
		if err != nil {
			return nil, err
		}
		folder, err := m.cached(source, cache, flags)
		if err != nil {
			return nil, err
		}
		for name := range m.programs {
			paths[name] = filepath.Join(folder, name)
		}
		if m.complete(folder) && !m.always {
			continue
		}
		if err := m.build(source, folder, flags, progress); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// cached is the folder for these versions, these flags and this Go.
func (m module) cached(source, cache, flags string) (string, error) {
	sum := sha256.New()
	version, err := exec.Command("go", "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("go does not run: %w", err)
	}
	fmt.Fprintf(sum, "%s%s%v", version, flags, m.programs)
	if m.without != nil {
		fmt.Fprint(sum, *m.without)
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(m.source(source), file))
		if err != nil {
			return "", err
		}
		sum.Write(data)
	}
	return filepath.Join(cache, fmt.Sprintf("%s-%x", m.name, sum.Sum(nil)[:6])), nil
}

func (m module) source(all string) string { return filepath.Join(all, cmp.Or(m.folder, m.name)) }

func (m module) complete(folder string) bool {
	for name := range m.programs {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			return false
		}
	}
	return true
}

func (m module) build(source, folder, flags string, progress io.Writer) error {
	fmt.Fprintf(progress, "building %s: ", m.name)
	began := time.Now()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Second):
				fmt.Fprint(progress, ".")
			}
		}
	}()
	modfile, remove, err := m.lean(source)
	if err != nil {
		return err
	}
	defer remove()
	for program, pkg := range m.programs {
		partial := filepath.Join(folder, program+".partial")
		cmd := exec.Command("go", "build", "-modfile="+modfile, "-trimpath", "-ldflags=-s -w "+flags, "-o", partial, pkg)
		cmd.Dir = m.source(source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s cannot be built: %s", pkg, out)
		}
		if err := os.Rename(partial, filepath.Join(folder, program)); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, " %s\n", time.Since(began).Round(time.Second))
	return nil
}
