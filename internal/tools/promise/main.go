// Command promise puts generated CRDs into Promises: for each folder that it is
// given it reads promise.base.yaml and writes promise.yaml with the named file from
// the folder of generated CRDs as its API, and the table of its fields into
// README.md.
//
//	promise CRD-FOLDER PROMISE-FOLDER=CRD-FILE...
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const notice = "# Made by `make generate` from promise.base.yaml and the types in v1alpha1. Do not edit.\n"

func main() {
	for _, pair := range os.Args[2:] {
		folder, file, _ := strings.Cut(pair, "=")
		if err := generate(folder, filepath.Join(os.Args[1], file)); err != nil {
			fmt.Fprintf(os.Stderr, "promise: %s: %v\n", folder, err)
			os.Exit(1)
		}
	}
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
