package platform

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"k8s.io/client-go/tools/clientcmd"
)

// application applies a cluster's folder as docs/how-to.md has it. An object that a
// cluster refuses holds up nobody else: what fails is tried again with the newest
// revision and not with its own, and a kind that the cluster does not know is no reason
// to begin with nothing. It is tried again sooner than there.
func application(cluster, repository string) string {
	return fmt.Sprintf(`apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: %[1]s, namespace: argocd}
spec:
  project: default
  destination: {name: %[1]s}
  source: {repoURL: %[2]s, targetRevision: main, path: %[1]s, directory: {recurse: true}}
  syncPolicy:
    automated: {prune: true, selfHeal: true, allowEmpty: true}
    syncOptions: [ServerSideApply=true, ApplyOutOfSyncOnly=true, SkipDryRunOnMissingResource=true]
    retry: {limit: -1, refresh: true, backoff: {duration: 2s, factor: 2, maxDuration: 20s}}
`, cluster, repository)
}

// startArgo runs Argo CD's application controller and repo server against the
// platform cluster: a hub that syncs each Destination's folder to its cluster.
func (p *Platform) startArgo(ctx context.Context, hub *cluster, workloads []*cluster) error {
	redis := miniredis.NewMiniRedis()
	if err := redis.StartAddr("127.0.0.1:6379"); err != nil {
		return err
	}
	go func() { // its clock stands still, and so Argo CD would never look into Git again
		for range time.Tick(time.Second) {
			redis.FastForward(time.Second)
		}
	}()
	for _, name := range []string{"application-crd.yaml", "appproject-crd.yaml", "applicationset-crd.yaml"} {
		if _, err := p.kubectl(ctx, hub, "", "apply", "--server-side", "-f", filepath.Join(p.sources["argocd"], "manifests", "crds", name)); err != nil {
			return err
		}
	}
	defaults, err := os.ReadFile(filepath.Join(p.sources["argocd"], "manifests", "base", "config", "argocd-cm.yaml"))
	if err != nil {
		return err
	}
	if _, err := p.kubectl(ctx, hub, "", "create", "namespace", "argocd"); err != nil {
		return err
	}
	if _, err := p.kubectl(ctx, hub, string(defaults), "apply", "--server-side", "-n", "argocd", "-f", "-"); err != nil {
		return err
	}
	documents := []string{
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: argocd-rbac-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}}`,
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: argocd-gpg-keys-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}}`,
		`{apiVersion: v1, kind: Secret, metadata: {name: argocd-secret, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}, stringData: {server.secretkey: of-no-use}}`,
		`{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {name: default, namespace: argocd}, spec: {sourceRepos: ["*"], destinations: [{server: "*", namespace: "*"}], clusterResourceWhitelist: [{group: "*", kind: "*"}]}}`,
		fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: state, namespace: argocd, labels: {argocd.argoproj.io/secret-type: repository}}, stringData: {type: git, url: "https://%s/state.git", username: %s, password: %s}}`, gitAddr, gitUser, gitPassword),
	}
	for _, w := range workloads {
		tls := map[string]any{}
		for key, name := range map[string]string{"caData": "ca.crt", "certData": "admin.crt", "keyData": "admin.key"} {
			data, err := os.ReadFile(w.file(name))
			if err != nil {
				return err
			}
			tls[key] = base64.StdEncoding.EncodeToString(data)
		}
		config, err := json.Marshal(map[string]any{"tlsClientConfig": tls})
		if err != nil {
			return err
		}
		documents = append(documents,
			fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: argocd, labels: {argocd.argoproj.io/secret-type: cluster}}, stringData: {name: %s, server: %q, config: %q}}`,
				w.name, w.name, w.url(), config),
			application(w.name, "https://"+gitAddr+"/state.git"))
	}
	if err := p.apply(ctx, hub, strings.Join(documents, "\n---\n")); err != nil {
		return err
	}
	dir := filepath.Join(p.Dir, "argocd")
	for _, name := range []string{"bin", "tls", "ssh", "gpg", "plugins"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	// Argo CD's image has these two; it asks for them by name.
	if err := os.WriteFile(filepath.Join(dir, "bin", "git-verify-wrapper.sh"), []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "ssh", "ssh_known_hosts"), nil, 0o644); err != nil {
		return err
	}
	authority, err := os.ReadFile(p.gitAuthority())
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(gitAddr)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tls", host), authority, 0o644); err != nil { // argocd-tls-certs-cm in a pod
		return err
	}
	config, err := clientcmd.LoadFromFile(hub.kubeconfig())
	if err != nil {
		return err
	}
	config.Contexts[config.CurrentContext].Namespace = "argocd" // where the repo server looks for its own
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		return err
	}
	env := []string{
		"KUBECONFIG=" + kubeconfig, "ARGOCD_FAKE_IN_CLUSTER=true", "ARGOCD_GPG_ENABLED=false",
		"ARGOCD_TLS_DATA_PATH=" + filepath.Join(dir, "tls"), "ARGOCD_SSH_DATA_PATH=" + filepath.Join(dir, "ssh"),
		"ARGOCD_GNUPGHOME=" + filepath.Join(dir, "gpg"), "ARGOCD_PLUGINSOCKFILEPATH=" + filepath.Join(dir, "plugins"),
		"ARGOCD_ASK_PASS_SOCK=/run/argocd-ask-pass.sock", // else below /tmp, which the machine shares with another platform's
		"HOME=" + dir, "PATH=" + filepath.Join(dir, "bin") + ":" + filepath.Dir(p.programs["argocd"]) + ":" + os.Getenv("PATH"),
		// It asks Git every 20 s here, where others have webhooks.
		"ARGOCD_RECONCILIATION_TIMEOUT=20s", "ARGOCD_RECONCILIATION_JITTER=0s", "ARGOCD_APPLICATION_CONTROLLER_REPO_SERVER_TIMEOUT_SECONDS=60",
	}
	if err := p.supervisor.start(process{name: "argocd-repo-server", path: p.programs["argocd"],
		args: []string{"--redis=127.0.0.1:6379", "--address=127.0.0.1", "--metrics-address=127.0.0.1", "--revision-cache-expiration=5s"},
		env:  append(env, "ARGOCD_BINARY_NAME=argocd-repo-server")}); err != nil {
		return err
	}
	return p.supervisor.start(process{name: "argocd-controller", path: p.programs["argocd"],
		args: []string{"--repo-server=127.0.0.1:8081", "--redis=127.0.0.1:6379", "--namespace=argocd",
			"--app-resync=20", "--app-resync-jitter=0", "--self-heal-timeout-seconds=2", "--status-processors=2", "--operation-processors=2", "--metrics-port=8082"},
		env: append(env, "ARGOCD_BINARY_NAME=argocd-application-controller")})
}
