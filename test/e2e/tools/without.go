package tools

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// without is a package that nothing here uses, of a module that it is most of: a
// copy of the module has another one in its place.
type without struct{ module, folder, file, content string }

// noDNSProviders leaves out the clients of some 190 DNS hosts, by which ACME could
// prove who one is. They are 60% of all that Traefik is compiled from.
var noDNSProviders = &without{"github.com/go-acme/lego/v4", "providers/dns", "none.go", `package dns

import (
	"fmt"

	"github.com/go-acme/lego/v4/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("there is no DNS provider %s in this build", name)
}
`}

// lean returns the go.mod to build with: the module's own, or one that takes a copy of
// a module without what is to be left out.
func (m module) lean(source string) (modfile string, remove func(), err error) {
	own := filepath.Join(m.source(source), "go.mod")
	if m.without == nil {
		return own, func() {}, nil
	}
	whole, err := download(m.source(source), m.without.module)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "baleen-e2e-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	module, stub := filepath.Join(dir, "module"), filepath.Join(dir, "module", m.without.folder)
	modfile = filepath.Join(dir, "go.mod")
	for _, do := range []func() error{
		func() error { return os.CopyFS(module, os.DirFS(whole)) },
		func() error { return os.RemoveAll(stub) },
		func() error { return os.MkdirAll(stub, 0o755) },
		func() error {
			return os.WriteFile(filepath.Join(stub, m.without.file), []byte(m.without.content), 0o644)
		},
		func() error { return copyFile(own, modfile) },
		func() error {
			return copyFile(filepath.Join(filepath.Dir(own), "go.sum"), filepath.Join(dir, "go.sum"))
		},
		func() error {
			out, err := exec.Command("go", "mod", "edit", "-replace="+m.without.module+"="+module, modfile).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%s cannot be changed: %s", modfile, out)
			}
			return err
		},
	} {
		if err := do(); err != nil {
			remove()
			return "", nil, err
		}
	}
	return modfile, remove, nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
