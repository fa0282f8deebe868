// Command promise puts generated CRDs into Promises: in each folder of the Promises
// that has a promise.base.yaml it writes promise.yaml, with the CRD of the folder's
// kind as its API, and the table of its fields into README.md. It writes the names of
// all of them into the regular expressions of guard.yaml.
//
//	promise CRD-FOLDER PROMISES-FOLDER
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

const notice = "# Made by `make generate` from promise.base.yaml and the types in v1alpha1. Do not edit.\n"

func main() {
	if err := generateAll(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "promise: %v\n", err)
		os.Exit(1)
	}
}

// generateAll writes all that is made of the folders of the Promises.
func generateAll(crds, promises string) error {
	bases, err := filepath.Glob(filepath.Join(promises, "*", "promise.base.yaml"))
	if err != nil {
		return err
	}
	if len(bases) == 0 {
		return fmt.Errorf("%s has no Promises: name the folder that has theirs", promises)
	}
	var names []string
	for _, base := range bases {
		folder := filepath.Dir(base)
		name := filepath.Base(folder)
		crd, err := crdOf(name, crds)
		if err == nil {
			err = generate(folder, crd)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		names = append(names, name)
	}
	return guard(filepath.Join(promises, "guard.yaml"), names)
}

// crdOf finds the generated CRD of a Promise: api-aggregator serves ApiAggregator.
func crdOf(name, crds string) (string, error) {
	singular := strings.ReplaceAll(name, "-", "")
	files, err := filepath.Glob(filepath.Join(crds, "*.yaml"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		crd, err := read(file)
		if err != nil {
			return "", err
		}
		if at(crd, "spec", "names", "singular") == singular {
			return file, nil
		}
	}
	return "", fmt.Errorf("there is no kind whose name in lower case is %s: call the type in v1alpha1 as the folder is called, without the dashes", singular)
}

// guarded is where a regular expression of the guard names the Promises.
var guarded = regexp.MustCompile(`\^(kratix-|system:serviceaccount:\[\^:\]\*:)?\([a-z0-9|-]+\)-`)

// guard writes the names of the Promises into the guard.
func guard(file string, names []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !guarded.Match(data) {
		return fmt.Errorf("%s has no regular expression that names the Promises: write one as ^(%s)-", file, strings.Join(names, "|"))
	}
	return os.WriteFile(file, guarded.ReplaceAll(data, []byte("^${1}("+strings.Join(names, "|")+")-")), 0o644)
}

func generate(folder, crdFile string) error {
	crd, err := read(crdFile)
	if err != nil {
		return err
	}
	delete(crd, "status")
	delete(crd["metadata"].(map[string]any), "creationTimestamp")
	promise, err := read(filepath.Join(folder, "promise.base.yaml"))
	if err != nil {
		return err
	}
	promise["spec"].(map[string]any)["api"] = crd
	out, err := yaml.Marshal(promise)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "promise.yaml"), append([]byte(notice), out...), 0o644); err != nil {
		return err
	}
	return document(filepath.Join(folder, "README.md"), crd)
}

func read(file string) (map[string]any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	return object, yaml.Unmarshal(data, &object)
}
