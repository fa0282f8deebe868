package kratix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Namespace and Deployment are what every Kratix calls itself. Baleen's guard goes by
// the one, those who wait for Kratix by the other.
const (
	Namespace  = "kratix-platform-system"
	Deployment = "kratix-platform-controller-manager"
)

// Manifests are the objects of a Kratix.
type Manifests struct {
	objects []map[string]any
}

// ReadManifests reads a distribution file, a folder of such files, or Kratix's folder
// config, of which kustomize makes what is applied.
func ReadManifests(path string, kustomize func(dir string) (string, error)) (*Manifests, error) {
	text, err := manifests(path, kustomize)
	if err != nil {
		return nil, err
	}
	m, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	if m.deployment() == nil {
		return nil, fmt.Errorf("%s has no Deployment %s/%s: it is no distribution of Kratix", path, Namespace, Deployment)
	}
	return m, nil
}

func manifests(path string, kustomize func(string) (string, error)) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("no manifests can be read: %w", err)
	}
	if !info.IsDir() {
		data, err := os.ReadFile(path)
		return string(data), err
	}
	for _, dir := range []string{path, filepath.Join(path, "default")} {
		if _, err := os.Stat(filepath.Join(dir, "kustomization.yaml")); err == nil {
			return kustomize(dir)
		}
	}
	files, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("%s has no kustomization.yaml, no default/kustomization.yaml and no file *.yaml", path)
	}
	var all []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		all = append(all, string(data))
	}
	return strings.Join(all, "\n---\n"), nil
}

func parse(text string) (*Manifests, error) {
	m := &Manifests{}
	for document := range strings.SplitSeq("\n"+text, "\n---") {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return nil, err
		}
		if len(object) > 0 {
			m.objects = append(m.objects, object)
		}
	}
	return m, nil
}

// String is what is applied.
func (m *Manifests) String() string {
	var all []string
	for _, object := range m.objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			panic(err) // it comes from YAML
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "---\n")
}

func (m *Manifests) deployment() map[string]any {
	for _, object := range m.objects {
		if object["kind"] == "Deployment" && field(object, "metadata", "name") == Deployment && field(object, "metadata", "namespace") == Namespace {
			return object
		}
	}
	return nil
}

// field is what is at a path, "" if nothing is.
func field(object map[string]any, path ...string) any {
	var value any = object
	for _, key := range path {
		below, _ := value.(map[string]any)
		if value = below[key]; value == nil {
			return ""
		}
	}
	return value
}

// visitImages has each image that is named replaced by what visit returns: those of
// containers, and those that Kratix is told of by variables such as PIPELINE_ADAPTER_IMG.
func (m *Manifests) visitImages(visit func(string) string) {
	variable := func(name any) bool { text, _ := name.(string); return strings.HasSuffix(text, "_IMG") }
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				walk(v)
			}
		case map[string]any:
			for _, key := range []string{"containers", "initContainers"} {
				list, _ := value[key].([]any)
				for _, c := range list {
					container, _ := c.(map[string]any)
					if image, ok := container["image"].(string); ok {
						container["image"] = visit(image)
					}
				}
			}
			if text, ok := value["value"].(string); ok && text != "" && variable(value["name"]) {
				value["value"] = visit(text)
			}
			for key, v := range value {
				if text, ok := v.(string); ok && text != "" && variable(key) {
					value[key] = visit(text)
				}
				walk(v)
			}
		}
	}
	for _, object := range m.objects {
		if object["kind"] != "CustomResourceDefinition" {
			walk(object)
		}
	}
}

// Images are those that the manifests name, the manager's first.
func (m *Manifests) Images() []string {
	var all []string
	note := func(image string) string {
		if !slices.Contains(all, image) {
			all = append(all, image)
		}
		return image
	}
	first := &Manifests{objects: []map[string]any{m.deployment()}}
	first.visitImages(note)
	m.visitImages(note)
	return all
}

// Use has the manifests name each image by what replace returns for it.
func (m *Manifests) Use(replace func(string) (string, error)) error {
	var errs []error
	done := map[string]string{}
	for _, image := range m.Images() {
		by, err := replace(image)
		if err != nil {
			errs = append(errs, err)
		}
		done[image] = by
	}
	m.visitImages(func(image string) string {
		if by := done[image]; by != "" {
			return by
		}
		return image
	})
	return errors.Join(errs...)
}

// Unlimit takes the limits of the manager's containers away: the 100m of a CPU that
// are published take minutes to clone.
func (m *Manifests) Unlimit() {
	m.containers(func(container map[string]any) { delete(container, "resources") })
}

func (m *Manifests) containers(do func(map[string]any)) {
	list, _ := field(m.deployment(), "spec", "template", "spec", "containers").([]any)
	for _, c := range list {
		if container, ok := c.(map[string]any); ok {
			do(container)
		}
	}
}

// Certificate is what cert-manager would make.
type Certificate struct {
	Secret string
	Names  []string
}

// Certificates takes what is cert-manager's out of the manifests and returns what it
// would have made: for each also the names at which webhooks are called.
func (m *Manifests) Certificates() []Certificate {
	var all []Certificate
	services := map[string]bool{}
	m.webhooks(func(client map[string]any) {
		if service, ok := client["service"].(map[string]any); ok {
			services[fmt.Sprintf("%v.%v.svc", service["name"], service["namespace"])] = true
		}
	})
	kept := m.objects[:0]
	for _, object := range m.objects {
		group, _ := object["apiVersion"].(string)
		if !strings.HasPrefix(group, "cert-manager.io/") {
			kept = append(kept, object)
			continue
		}
		secret, _ := field(object, "spec", "secretName").(string)
		if object["kind"] != "Certificate" || secret == "" {
			continue
		}
		names := map[string]bool{}
		list, _ := field(object, "spec", "dnsNames").([]any)
		for _, n := range list {
			if text, ok := n.(string); ok && !strings.Contains(text, "$(") {
				names[text] = true
			}
		}
		for service := range services {
			names[service] = true
		}
		c := Certificate{Secret: secret}
		for n := range names {
			c.Names = append(c.Names, n)
		}
		slices.Sort(c.Names)
		all = append(all, c)
	}
	m.objects = kept
	return all
}

// Trust does what cert-manager's injector does: it tells the API server the authority
// of the webhooks, in base64.
func (m *Manifests) Trust(ca string) {
	m.webhooks(func(client map[string]any) { client["caBundle"] = ca })
}

// webhooks visits how each webhook is called, those that convert too.
func (m *Manifests) webhooks(do func(clientConfig map[string]any)) {
	for _, object := range m.objects {
		list, _ := object["webhooks"].([]any)
		for _, w := range list {
			webhook, _ := w.(map[string]any)
			if client, ok := webhook["clientConfig"].(map[string]any); ok {
				do(client)
			}
		}
		if client, ok := field(object, "spec", "conversion", "webhook", "clientConfig").(map[string]any); ok {
			do(client)
		}
	}
}

// TrustGit has Kratix trust one authority alone: what is written in Go and the program
// git, of which a Kratix uses one or the other for its state store, have a variable each.
func (m *Manifests) TrustGit(configMap, key string) error {
	const at = "/etc/state-store"
	pod, ok := field(m.deployment(), "spec", "template", "spec").(map[string]any)
	if !ok {
		return fmt.Errorf("the Deployment %s has no pods", Deployment)
	}
	volumes, _ := pod["volumes"].([]any)
	pod["volumes"] = append(volumes, map[string]any{"name": "state-store", "configMap": map[string]any{"name": configMap}})
	m.containers(func(container map[string]any) {
		mounts, _ := container["volumeMounts"].([]any)
		container["volumeMounts"] = append(mounts, map[string]any{"name": "state-store", "mountPath": at, "readOnly": true})
		env, _ := container["env"].([]any)
		for _, variable := range []string{"SSL_CERT_FILE", "GIT_SSL_CAINFO"} {
			env = append(env, map[string]any{"name": variable, "value": at + "/" + key})
		}
		container["env"] = env
	})
	return nil
}
