package platform

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// startSealedSecrets runs the controller of a workload cluster. It takes its
// cluster from where a pod would find it, so it has mounts of its own.
func (p *Platform) startSealedSecrets(ctx context.Context, c *cluster) error {
	if _, err := p.kubectl(ctx, c, "", "apply", "--server-side", "-f", filepath.Join(p.sources["sealed-secrets"], "helm", "sealed-secrets", "crds")); err != nil {
		return err
	}
	address := workloadAddresses[c.name]
	if err := p.apply(ctx, c, fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: sealed-secrets-controller, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sealed-secrets-controller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: sealed-secrets-controller, namespace: kube-system}]
---
apiVersion: v1
kind: Service
metadata: {name: sealed-secrets-controller, namespace: kube-system}
spec: {ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: sealed-secrets-controller, namespace: kube-system}
spec:
  # Its own: the namespace's default account is made by a controller, and may not be there yet.
  serviceAccountName: sealed-secrets-controller
  automountServiceAccountToken: false
  containers: [{name: controller, image: sealed-secrets-controller}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: sealed-secrets-controller, namespace: kube-system}
subsets:
- addresses: [{ip: %s, targetRef: {kind: Pod, namespace: kube-system, name: sealed-secrets-controller}}]
  ports: [{name: http, port: 8080}]
`, address)); err != nil {
		return err
	}
	// The API server's proxy to Services, which kubeseal and baleen use, goes to Pods
	// only and knows no EndpointSlices. This Pod stands for the process.
	if _, err := p.kubectl(ctx, c, "", "-n", "kube-system", "patch", "pod", "sealed-secrets-controller", "--subresource=status", "--type=merge",
		"-p", fmt.Sprintf(`{"status": {"podIP": %[1]q, "podIPs": [{"ip": %[1]q}]}}`, address)); err != nil {
		return err
	}
	account := c.file("sealed-secrets")
	if err := os.MkdirAll(account, 0o700); err != nil {
		return err
	}
	token, err := p.kubectl(ctx, c, "", "-n", "kube-system", "create", "token", "sealed-secrets-controller", "--duration=24h")
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(c.file("ca.crt"))
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"token": strings.TrimSpace(token), "ca.crt": string(ca), "namespace": "kube-system"} {
		if err := os.WriteFile(filepath.Join(account, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return p.runSealedSecrets(c)
}

// runSealedSecrets starts the process; more are further flags of it.
func (p *Platform) runSealedSecrets(c *cluster, more ...string) error {
	account, address := c.file("sealed-secrets"), workloadAddresses[c.name]
	return p.supervisor.start(process{
		name: c.name + "-sealed-secrets", path: "/bin/sh", mountNamespace: true,
		args: append([]string{"-c", `at=/var/run/secrets/kubernetes.io/serviceaccount; mount --make-rprivate / && mkdir -p $at && mount --bind "$1" $at && shift && exec "$@"`, "sh",
			account, p.programs["sealed-secrets-controller"], "--key-renew-period=0", "--listen-addr=" + address + ":8080", "--listen-metrics-addr=" + address + ":8081", "--update-status"}, more...),
		env: []string{"KUBERNETES_SERVICE_HOST=" + c.address, "KUBERNETES_SERVICE_PORT=443"},
	})
}

// renewSealing has the controller make a new key beside those it has, as it does
// by itself every 30 days.
func (p *Platform) renewSealing(ctx context.Context, c *cluster) error {
	if err := p.supervisor.stop(c.name + "-sealed-secrets"); err != nil {
		return err
	}
	if err := p.runSealedSecrets(c, "--key-cutoff-time="+time.Now().Format(time.RFC1123Z)); err != nil {
		return err
	}
	return p.waitSealing(ctx, c)
}

// addGatewayAPI installs what Gateways and routes are made of.
func (p *Platform) addGatewayAPI(ctx context.Context, c *cluster) error {
	for _, path := range []string{
		filepath.Join(p.sources["gateway-api"], "config", "crd", "standard"),
		filepath.Join(p.sources["traefik"], "docs", "content", "reference", "dynamic-configuration", "kubernetes-crd-definition-v1.yml"),
	} {
		if _, err := p.kubectl(ctx, c, "", "apply", "--server-side", "-f", path); err != nil {
			return err
		}
	}
	return nil
}

// startTraefik runs the data plane of a workload cluster.
func (p *Platform) startTraefik(ctx context.Context, c *cluster) error {
	if err := p.apply(ctx, c, `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
`); err != nil {
		return err
	}
	return p.supervisor.start(process{name: c.name + "-traefik", path: p.programs["traefik"], env: []string{"KUBECONFIG=" + c.kubeconfig()}, args: []string{
		"--providers.kubernetesgateway", "--providers.kubernetescrd",
		fmt.Sprintf("--entrypoints.websecure.address=%s:8443", traefikAddress), fmt.Sprintf("--entrypoints.web.address=%s:8000", traefikAddress),
		"--log.level=INFO", "--global.checknewversion=false", "--global.sendanonymoususage=false",
	}})
}

// waitSealing waits until the controller has its first key.
func (p *Platform) waitSealing(ctx context.Context, c *cluster) error {
	return waitFor(ctx, time.Minute, "the Sealed Secrets controller of "+c.name, func() error {
		_, err := p.kubectl(ctx, c, "", "get", "--raw", "/api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:8080/proxy/v1/cert.pem")
		return err
	})
}
