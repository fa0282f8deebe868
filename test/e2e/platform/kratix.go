package platform

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

const kratixNamespace = "kratix-platform-system"

// startKratix installs Kratix from the manifests of its own repository, as a
// Deployment. What differs: the images are made here, the certificates of its
// webhooks too, where cert-manager would make them, and the manager has no limits,
// because the published 100m of a CPU take minutes to clone.
func (p *Platform) startKratix(ctx context.Context, c *cluster) error {
	for _, i := range []image{
		{repository: "kratix-platform", tag: "m", binary: p.programs["manager"], at: "/manager", user: "65532:65532"},
		{repository: "kratix-pipeline-adapter", tag: "m", binary: p.programs["pipeline-adapter"], at: "/bin/pipeline-adapter", user: "65532:65532"},
	} {
		if err := i.push(); err != nil {
			return err
		}
	}
	dir := filepath.Join(p.Dir, "kratix")
	if err := os.MkdirAll(filepath.Join(dir, "overlay"), 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "config"), os.DirFS(filepath.Join(p.sources["kratix"], "config"))); err != nil {
		return err
	}
	ca, err := newAuthority(filepath.Join(dir, "webhook"), "kratix webhooks")
	if err != nil {
		return err
	}
	service := "kratix-platform-webhook-service." + kratixNamespace + ".svc"
	if err := ca.issue("tls", service, nil, service); err != nil {
		return err
	}
	data := map[string]string{}
	for _, name := range []string{"ca.crt", "tls.crt", "tls.key"} {
		content, err := os.ReadFile(ca.file(name))
		if err != nil {
			return err
		}
		data[name] = base64.StdEncoding.EncodeToString(content)
	}
	overlay := `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../config/default]
images:
- {name: docker.io/syntasso/kratix-platform, newName: ` + registryAddr + `/kratix-platform, newTag: m}
patches:
- patch: |
    apiVersion: cert-manager.io/v1
    kind: Certificate
    metadata: {name: kratix-platform-serving-cert, namespace: ` + kratixNamespace + `}
    $patch: delete
- patch: |
    apiVersion: cert-manager.io/v1
    kind: Certificate
    metadata: {name: kratix-platform-metrics-server-cert, namespace: ` + kratixNamespace + `}
    $patch: delete
- patch: |
    apiVersion: cert-manager.io/v1
    kind: Issuer
    metadata: {name: kratix-platform-selfsigned-issuer, namespace: ` + kratixNamespace + `}
    $patch: delete
- target: {kind: ConfigMap, name: kratix-platform-pipeline-adapter-config}
  patch: |
    - {op: replace, path: /data/PIPELINE_ADAPTER_IMG, value: "` + registryAddr + `/kratix-pipeline-adapter:m"}
- target: {kind: Deployment, name: kratix-platform-controller-manager}
  patch: |
    - {op: remove, path: /spec/template/spec/containers/0/resources}
`
	if err := os.WriteFile(filepath.Join(dir, "overlay", "kustomization.yaml"), []byte(overlay), 0o644); err != nil {
		return err
	}
	manifests, err := p.kubectl(ctx, c, "", "kustomize", filepath.Join(dir, "overlay"))
	if err != nil {
		return err
	}
	if manifests, err = trustWebhooks(manifests, data["ca.crt"]); err != nil {
		return err
	}
	if err := p.apply(ctx, c, manifests); err != nil {
		return err
	}
	if err := p.apply(ctx, c, fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: webhook-server-cert, namespace: %[1]s}
data: {ca.crt: %[2]s, tls.crt: %[3]s, tls.key: %[4]s}
---
apiVersion: v1
kind: Secret
metadata: {name: metrics-server-cert, namespace: %[1]s}
data: {ca.crt: %[2]s, tls.crt: %[3]s, tls.key: %[4]s}
`, kratixNamespace, data["ca.crt"], data["tls.crt"], data["tls.key"])); err != nil {
		return err
	}
	_, err = p.kubectl(ctx, c, "", "-n", kratixNamespace, "rollout", "status", "deployment/kratix-platform-controller-manager", "--timeout=180s")
	return err
}

// trustWebhooks does what cert-manager's injector does: it tells the API server
// the authority of the webhooks.
func trustWebhooks(manifests, ca string) (string, error) {
	documents := strings.Split(manifests, "\n---\n")
	for i, document := range documents {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return "", err
		}
		webhooks, _ := object["webhooks"].([]any)
		for _, w := range webhooks {
			w.(map[string]any)["clientConfig"].(map[string]any)["caBundle"] = ca
		}
		trusting, err := yaml.Marshal(object)
		if err != nil {
			return "", err
		}
		documents[i] = string(trusting)
	}
	return strings.Join(documents, "\n---\n"), nil
}

// addDestinations registers the workload clusters: all under one Git repository,
// each in a folder of its own.
func (p *Platform) addDestinations(ctx context.Context, c *cluster, workloads []*cluster) error {
	documents := fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: git, namespace: default}
stringData: {username: %s, password: %s}
---
apiVersion: platform.kratix.io/v1alpha1
kind: GitStateStore
metadata: {name: git}
spec:
  url: http://%s/state.git
  branch: main
  authMethod: basicAuth
  secretRef: {name: git, namespace: default}
`, gitUser, gitPassword, gitAddr)
	for _, w := range workloads {
		documents += fmt.Sprintf(`---
apiVersion: platform.kratix.io/v1alpha1
kind: Destination
metadata:
  name: %[1]s
  labels: {environment: prod}
spec:
  path: %[1]s
  stateStoreRef: {name: git, kind: GitStateStore}
  filepath: {mode: nestedByMetadata}
`, w.name)
	}
	return waitFor(ctx, time.Minute, "the state store", func() error { return p.apply(ctx, c, documents) })
}
