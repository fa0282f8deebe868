package platform

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/baleen-platform/baleen/test/e2e/kratix"
)

// kratix is the one that is given, or the one of the module, whose images are made here.
func (p *Platform) kratix(ctx context.Context, c *cluster) (kratix.Kratix, error) {
	kustomize := func(dir string) (string, error) { return p.kubectl(ctx, c, "", "kustomize", dir) }
	if p.given.IsGiven() {
		return p.given.Read(filepath.Join(p.Dir, "kratix", "images"), kustomize)
	}
	k := kratix.Kratix{}
	var err error
	if k.Manifests, err = kratix.ReadManifests(filepath.Join(p.sources["kratix"], "config"), kustomize); err != nil {
		return k, err
	}
	_, version, _ := strings.Cut(filepath.Base(p.sources["kratix"]), "@")
	labels := map[string]string{"org.opencontainers.image.version": version}
	for _, i := range []image{
		{repository: "kratix-platform", binary: p.programs["manager"], at: "/manager", user: "65532:65532", labels: labels},
		{repository: "kratix-platform-pipeline-adapter", binary: p.programs["pipeline-adapter"], at: "/bin/pipeline-adapter", user: "65532:65532", labels: labels},
	} {
		content, err := i.build()
		if err != nil {
			return k, err
		}
		k.Images = append(k.Images, kratix.Image{Name: i.repository, From: i.binary, Content: content})
	}
	return k, nil
}

// startKratix installs Kratix from manifests of its own, as a Deployment. What
// differs: the images are in the registry here, the certificates of its webhooks are
// made here, where cert-manager would make them, it trusts who has signed that of the
// state store, and the manager has no limits.
func (p *Platform) startKratix(ctx context.Context, c *cluster) error {
	k, err := p.kratix(ctx, c)
	if err != nil {
		return err
	}
	p.version = k.Version()
	if err := k.Manifests.Use(func(reference string) (string, error) { return pushed(k.Images, reference) }); err != nil {
		return err
	}
	k.Manifests.Unlimit()
	if err := k.Manifests.TrustGit("state-store-authority", "ca.crt"); err != nil {
		return err
	}
	ca, err := newAuthority(filepath.Join(p.Dir, "kratix", "webhook"), "kratix webhooks")
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(ca.file("ca.crt"))
	if err != nil {
		return err
	}
	more := ""
	for _, certificate := range k.Manifests.Certificates() {
		if len(certificate.Names) == 0 {
			return fmt.Errorf("the Certificate for %s has no names", certificate.Secret)
		}
		if err := ca.issue(certificate.Secret, certificate.Names[0], nil, certificate.Names...); err != nil {
			return err
		}
		more += fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ndata:\n  ca.crt: %s\n",
			certificate.Secret, kratix.Namespace, base64.StdEncoding.EncodeToString(authority))
		for key, file := range map[string]string{"tls.crt": certificate.Secret + ".crt", "tls.key": certificate.Secret + ".key"} {
			content, err := os.ReadFile(ca.file(file))
			if err != nil {
				return err
			}
			more += fmt.Sprintf("  %s: %s\n", key, base64.StdEncoding.EncodeToString(content))
		}
	}
	k.Manifests.Trust(base64.StdEncoding.EncodeToString(authority))
	stateStore, err := os.ReadFile(p.gitAuthority())
	if err != nil {
		return err
	}
	more += fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: state-store-authority, namespace: %s}\ndata: {ca.crt: %q}\n", kratix.Namespace, stateStore)
	if err := p.apply(ctx, c, k.Manifests.String()+more); err != nil {
		return err
	}
	_, err = p.kubectl(ctx, c, "", "-n", kratix.Namespace, "rollout", "status", "deployment/"+kratix.Deployment, "--timeout=180s")
	return err
}

// pushed has the registry have an image, and returns how it is called there.
func pushed(images []kratix.Image, reference string) (string, error) {
	i, err := kratix.Find(images, reference)
	if err != nil {
		return "", err
	}
	known, err := name.ParseReference(reference)
	if err != nil {
		return "", err
	}
	digest, err := i.Content.Digest()
	if err != nil {
		return "", fmt.Errorf("%s has no digest: %w", i.From, err)
	}
	to, err := name.NewDigest(fmt.Sprintf("%s/%s@%s", registryAddr, known.Context().RepositoryStr(), digest), name.Insecure)
	if err != nil {
		return "", err
	}
	if err := remote.Push(to, i.Content); err != nil {
		return "", fmt.Errorf("%s cannot be pushed: %w", i.From, err)
	}
	return to.Name(), nil
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
  url: https://%s/state.git
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
