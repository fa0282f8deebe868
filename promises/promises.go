// Package promises holds what a platform engineer installs, one folder for each
// Promise, embedded so that every binary carries what belongs to it.
package promises

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/platform"
)

//go:embed */promise.yaml */templates
var files embed.FS

// SynadiaExample is a NatsAccount with provider synadia.
//
//go:embed nats-account/example-synadia.yaml
var SynadiaExample []byte

// Guard is guard.yaml: the policies that keep the pipelines' rights with them.
//
//go:embed guard.yaml
var Guard []byte

// Promise is what one promise.yaml says.
type Promise struct {
	Name string
	Kind platform.Kind
	// ConfigurePipeline and DeletePipeline are the names of the pipelines for
	// requests; empty where there is none.
	ConfigurePipeline, DeletePipeline string
	// YAML is the whole promise.yaml.
	YAML []byte
}

// Templates returns the ytt templates of one of Baleen's Promises.
func Templates(name string) fs.FS {
	templates, err := fs.Sub(files, name+"/templates")
	if err != nil {
		panic(err) // only for a name that is not a path
	}
	return templates
}

// All returns Baleen's Promises in the order of their names. The folder of one, its
// binary and its pipeline's package have its name.
var All = sync.OnceValue(func() []Promise {
	paths, err := fs.Glob(files, "*/promise.yaml")
	if err != nil {
		panic(err) // only for a pattern that is none
	}
	var all []Promise
	for _, file := range paths {
		data, err := files.ReadFile(file)
		if err != nil {
			panic(err) // it was found there
		}
		p, err := Parse(data)
		if err == nil && p.Name != path.Dir(file) {
			err = fmt.Errorf("it is called %s: let the folder have its name", p.Name)
		}
		if err != nil {
			panic(fmt.Sprintf("the embedded Promise %s: %v", path.Dir(file), err)) // a test reads them all
		}
		all = append(all, p)
	}
	return all
})

// Kinds returns the kinds that Baleen's Promises serve.
func Kinds() []platform.Kind {
	var all []platform.Kind
	for _, p := range All() {
		all = append(all, p.Kind)
	}
	return all
}

// Find returns the Promise that serves a kind.
func Find(kind schema.GroupKind) (Promise, bool) {
	for _, p := range All() {
		if p.Kind.GroupKind() == kind {
			return p, true
		}
	}
	return Promise{}, false
}

// Parse reads a promise.yaml, or the one Promise among several documents, as
// release files have it.
func Parse(data []byte) (Promise, error) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return Promise{}, errors.New("there is no Promise with an API in it: kind must be Promise and spec.api a CustomResourceDefinition")
		}
		if err != nil {
			return Promise{}, err
		}
		var is struct{ Kind string }
		if err := yaml.Unmarshal(document, &is); err != nil {
			return Promise{}, err
		}
		if is.Kind == "Promise" {
			return parse(document)
		}
	}
}

func parse(data []byte) (Promise, error) {
	type pipelines []struct {
		Metadata struct{ Name string }
	}
	var in struct {
		Metadata struct{ Name string }
		Spec     struct {
			API struct {
				Spec struct {
					Group, Scope string
					Names        struct{ Kind, Plural string }
					Versions     []struct {
						Name    string
						Storage bool
					}
				}
			}
			Workflows struct {
				Resource struct{ Configure, Delete pipelines }
			}
		}
	}
	if err := yaml.Unmarshal(data, &in); err != nil {
		return Promise{}, err
	}
	crd, workflows := in.Spec.API.Spec, in.Spec.Workflows.Resource
	if crd.Names.Kind == "" || len(crd.Versions) == 0 {
		return Promise{}, fmt.Errorf("the Promise %s has no API: spec.api must be a CustomResourceDefinition", in.Metadata.Name)
	}
	if len(workflows.Configure) > 1 || len(workflows.Delete) > 1 {
		return Promise{}, fmt.Errorf("the Promise %s has several pipelines for one action: Baleen runs one", in.Metadata.Name)
	}
	p := Promise{Name: in.Metadata.Name, YAML: data, Kind: platform.Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: crd.Group, Version: crd.Versions[0].Name, Kind: crd.Names.Kind},
		Plural:           crd.Names.Plural,
		ClusterScoped:    crd.Scope == "Cluster",
	}}
	for _, v := range crd.Versions {
		if v.Storage {
			p.Kind.Version = v.Name
		}
	}
	for _, w := range workflows.Configure {
		p.ConfigurePipeline = w.Metadata.Name
	}
	for _, w := range workflows.Delete {
		p.DeletePipeline = w.Metadata.Name
	}
	return p, nil
}
