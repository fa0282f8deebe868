// Command release writes what a platform engineer applies: for each Promise one
// file, with the namespaces that it needs and with the images of one registry,
// and the guard.
//
//	release [-registry REGISTRY/PREFIX] [-tag TAG] [-digests FILE] [-promises FOLDER] [-out FOLDER]
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	r := release{}
	digests := ""
	flag.StringVar(&r.registry, "registry", "ghcr.io/baleen-platform", "where the images are: `registry/prefix`, to which /<promise> is added")
	flag.StringVar(&r.tag, "tag", "", "the images' `tag`")
	flag.StringVar(&digests, "digests", "", "JSON `file` of digests by Promise; one that is not there knows none")
	flag.StringVar(&r.promises, "promises", "promises", "the `folder` of the Promises")
	flag.StringVar(&r.out, "out", "dist/promises", "the `folder` to write to")
	flag.Parse()
	err := r.readDigests(digests)
	if err == nil {
		err = r.write(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is what is written and from what.
type release struct {
	registry, tag string
	promises, out string
	// digests of images, which win over the tag, by Promise.
	digests map[string]string
}

var (
	registryForm = regexp.MustCompile(`^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$`)
	tagForm      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestForm   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

func (r *release) readDigests(file string) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r.digests)
	}
	if err != nil {
		return fmt.Errorf("the digests in %s cannot be read: make the images again: %w", file, err)
	}
	for name, digest := range r.digests {
		if !digestForm.MatchString(digest) {
			return fmt.Errorf("%s has %q for %s, which is no digest: make the images again", file, digest, name)
		}
	}
	return nil
}

// write makes the files and prints the name of each and the image it names.
func (r release) write(w io.Writer) error {
	r.registry = strings.TrimSuffix(r.registry, "/")
	if !registryForm.MatchString(r.registry) {
		return fmt.Errorf("%q is not a registry: write it as registry.example.com/prefix", r.registry)
	}
	if !tagForm.MatchString(r.tag) {
		return fmt.Errorf("%q is not a tag: write it as v1.2.3", r.tag)
	}
	files, err := filepath.Glob(filepath.Join(r.promises, "*", "promise.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s has no Promises: name their folder with -promises", r.promises)
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		image := r.image(name)
		data, err := r.promise(file, name, image)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := r.emit(w, name, data, image); err != nil {
			return err
		}
	}
	guard, err := os.ReadFile(filepath.Join(r.promises, "guard.yaml"))
	if err != nil {
		return err
	}
	return r.emit(w, "guard", append([]byte(guardHeader), guard...), "")
}

func (r release) emit(w io.Writer, name string, data []byte, image string) error {
	file := filepath.Join(r.out, name+".yaml")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, strings.TrimSpace(file+"  "+image))
	return err
}

func (r release) image(name string) string {
	if digest, ok := r.digests[name]; ok {
		return r.registry + "/" + name + "@" + digest
	}
	return r.registry + "/" + name + ":" + r.tag
}

const header = `# The Promise %[1]s of Baleen, and the namespaces it needs. Apply it to the
# platform cluster with: kubectl apply -f %[1]s.yaml
# To remove the Promise: kubectl delete promise %[1]s
# Do not delete with -f: the namespaces hold what all of Baleen's Promises remember.
`

const guardHeader = `# Baleen's guard. Apply it to the platform cluster, with the Promises or before
# them: kubectl apply -f guard.yaml
#
`

// namespaces are where Baleen's configuration and its memory are.
const namespaces = `---
apiVersion: v1
kind: Namespace
metadata:
  labels:
    app.kubernetes.io/part-of: baleen
  name: baleen-system
---
apiVersion: v1
kind: Namespace
metadata:
  labels:
    app.kubernetes.io/part-of: baleen
  name: baleen-state
---
`

// promise returns the file for one Promise.
func (r release) promise(file, name, image string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var object struct {
		Metadata struct{ Name string }
		Spec     struct{ Workflows any }
	}
	var whole map[string]any
	if err := errors.Join(yaml.Unmarshal(data, &object), yaml.Unmarshal(data, &whole)); err != nil {
		return nil, err
	}
	if object.Metadata.Name != name {
		return nil, fmt.Errorf("it is the Promise %q: let the folder have its name", object.Metadata.Name)
	}
	spec, _ := whole["spec"].(map[string]any)
	replaced, err := replaceImages(spec["workflows"], name, image)
	if err != nil {
		return nil, err
	}
	if replaced == 0 {
		return nil, errors.New("it has no container whose image could be replaced: give it a pipeline")
	}
	out, err := yaml.Marshal(whole)
	return fmt.Appendf(nil, header+namespaces+"%s", name, out), err
}

// replaceImages names the image in all containers below value and counts them.
// A container with an image of another name is a mistake.
func replaceImages(value any, name, image string) (replaced int, err error) {
	each := func(inner any) {
		n, failed := replaceImages(inner, name, image)
		replaced, err = replaced+n, errors.Join(err, failed)
	}
	switch value := value.(type) {
	case []any:
		for _, inner := range value {
			each(inner)
		}
	case map[string]any:
		for _, inner := range value {
			each(inner)
		}
		containers, _ := value["containers"].([]any)
		for _, c := range containers {
			container, _ := c.(map[string]any)
			was, _ := container["image"].(string)
			if !strings.HasSuffix(was, "/"+name) && !strings.Contains(was, "/"+name+":") && !strings.Contains(was, "/"+name+"@") {
				return replaced, fmt.Errorf("a container has the image %q, which is not that of %s: only its own image can be replaced", was, name)
			}
			container["image"] = image
			replaced++
		}
	}
	return replaced, err
}
