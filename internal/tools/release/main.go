// Command release writes what a platform engineer applies: for each Promise one
// file, with the namespaces that it needs and with the images and the version of one
// registry and tag, and the guard.
//
//	release [-registry REGISTRY/PREFIX] [-tag TAG] [-pushed FILE] [-promises FOLDER] [-out FOLDER]
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
	pushed := ""
	flag.StringVar(&r.registry, "registry", "ghcr.io/baleen-platform", "where the images are: `registry/prefix`, to which /<promise> is added")
	flag.StringVar(&r.tag, "tag", "", "the images' `tag`")
	flag.StringVar(&pushed, "pushed", "", "JSON `file` of what was pushed: its digests are used if it was to that registry with that tag")
	flag.StringVar(&r.promises, "promises", "promises", "the `folder` of the Promises")
	flag.StringVar(&r.out, "out", "dist/promises", "the `folder` to write to")
	flag.Parse()
	err := r.check()
	if err == nil {
		err = r.readPushed(pushed, os.Stderr)
	}
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
	tagForm      = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`) // it is a label's value, too
	digestForm   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// check refuses names that no registry takes.
func (r *release) check() error {
	r.registry = strings.TrimSuffix(r.registry, "/")
	if !registryForm.MatchString(r.registry) {
		return fmt.Errorf("REGISTRY %q is not a registry: write it as registry.example.com/prefix", r.registry)
	}
	if !tagForm.MatchString(r.tag) {
		return fmt.Errorf("TAG %q is not a tag: write it as v1.2.3", r.tag)
	}
	return nil
}

// readPushed takes the digests of what was pushed, if that was to the registry and
// with the tag that are named. A digest of elsewhere may not be there.
func (r *release) readPushed(file string, notes io.Writer) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var pushed struct {
		Registry, Tag string
		Digests       map[string]string
	}
	if err == nil {
		err = json.Unmarshal(data, &pushed)
	}
	if err != nil {
		return fmt.Errorf("the digests in %s cannot be read: make the images again: %w", file, err)
	}
	for name, digest := range pushed.Digests {
		if !digestForm.MatchString(digest) {
			return fmt.Errorf("%s has %q for %s, which is no digest: make the images again", file, digest, name)
		}
	}
	if pushed.Registry != r.registry || pushed.Tag != r.tag {
		fmt.Fprintf(notes, "release: the images are named by tag: those of %s were pushed to %s with the tag %s\n", file, pushed.Registry, pushed.Tag)
		return nil
	}
	r.digests = pushed.Digests
	return nil
}

// write makes the files and prints the name of each and the image it names. Nothing
// is written or removed before all of them can be made.
func (r release) write(w io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(r.promises, "*", "promise.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s has no Promises: name their folder with -promises", r.promises)
	}
	made := map[string][]byte{}
	var lines []string
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		image := r.image(name)
		if made[name+".yaml"], err = r.promise(file, name, image); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		lines = append(lines, filepath.Join(r.out, name+".yaml")+"  "+image)
	}
	guard, err := os.ReadFile(filepath.Join(r.promises, "guard.yaml"))
	if err != nil {
		return err
	}
	made["guard.yaml"] = append([]byte(guardHeader), guard...)
	if err := replace(r.out, made); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, strings.Join(append(lines, filepath.Join(r.out, "guard.yaml")), "\n"))
	return err
}

// replace writes files into a folder and removes other YAML files from it, which
// are of an earlier release.
func replace(folder string, files map[string][]byte) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	there, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range there {
		if _, stays := files[filepath.Base(file)]; !stays {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
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

// namespaces are where Baleen's configuration, its memory and the keys of NATS operators
// are.
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
apiVersion: v1
kind: Namespace
metadata:
  labels:
    app.kubernetes.io/part-of: baleen
  name: baleen-operator
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
	if err := setVersion(whole, r.tag); err != nil {
		return nil, err
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

// versionLabel is the label by which Kratix shows the version of a Promise.
const versionLabel = "kratix.io/promise-version"

// setVersion has a Promise say its version.
func setVersion(promise map[string]any, version string) error {
	metadata, _ := promise["metadata"].(map[string]any)
	if metadata == nil {
		return errors.New("it has no metadata")
	}
	labels, _ := metadata["labels"].(map[string]any)
	if labels == nil {
		labels = map[string]any{}
		metadata["labels"] = labels
	}
	labels[versionLabel] = version
	return nil
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
