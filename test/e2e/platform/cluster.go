package platform

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// cluster is a control plane. The address of its API server is at once that of
// the Service "kubernetes", so that pods reach it without kube-proxy.
type cluster struct {
	name     string
	address  string // the first of services
	services string // a CIDR
	etcdPort int

	dir string
	ca  *authority
}

func clusters(dir string) []*cluster {
	all := []*cluster{
		{name: "platform", address: "10.96.0.1", services: "10.96.0.0/16", etcdPort: 2379},
		{name: "eu-1", address: "10.97.0.1", services: "10.97.0.0/16", etcdPort: 2479},
		{name: "us-1", address: "10.98.0.1", services: "10.98.0.0/16", etcdPort: 2579},
	}
	for _, c := range all {
		c.dir = filepath.Join(dir, "clusters", c.name)
	}
	return all
}

// Kubeconfig is the file of an administrator.
func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

func (c *cluster) url() string { return "https://" + c.address }

// prepare makes keys, certificates and kubeconfigs.
func (c *cluster) prepare() error {
	var err error
	if c.ca, err = newAuthority(c.dir, c.name); err != nil {
		return err
	}
	if err := c.ca.issue("apiserver", "kube-apiserver", nil, c.address, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"); err != nil {
		return err
	}
	for user, identity := range map[string]struct{ name, group string }{
		"admin":              {"admin", "system:masters"},
		"controller-manager": {"system:kube-controller-manager", ""},
		"scheduler":          {"system:kube-scheduler", ""},
		"kubelet":            {"system:node:" + nodeName, "system:nodes"},
	} {
		if err := c.ca.issue(user, identity.name, []string{identity.group}); err != nil {
			return err
		}
		if err := c.writeKubeconfig(user); err != nil {
			return err
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(c.file("service-accounts.key"), pem.EncodeToMemory(block), 0o600)
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

func (c *cluster) writeKubeconfig(user string) error {
	data := map[string][]byte{}
	for _, name := range []string{"ca.crt", user + ".crt", user + ".key"} {
		var err error
		if data[name], err = os.ReadFile(c.file(name)); err != nil {
			return err
		}
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[c.name] = &clientcmdapi.Cluster{Server: c.url(), CertificateAuthorityData: data["ca.crt"]}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: data[user+".crt"], ClientKeyData: data[user+".key"]}
	config.Contexts[c.name] = &clientcmdapi.Context{Cluster: c.name, AuthInfo: user}
	config.CurrentContext = c.name
	return clientcmd.WriteToFile(*config, c.file(user+".kubeconfig"))
}

// start runs the control plane and returns once it serves.
func (p *Platform) startCluster(ctx context.Context, c *cluster) error {
	etcd := fmt.Sprintf("http://127.0.0.1:%d", c.etcdPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", c.etcdPort+1)
	err := p.supervisor.start(process{name: c.name + "-etcd", path: p.programs["etcd"], args: []string{
		"--name=" + c.name, "--data-dir=" + c.file("etcd"), "--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + c.name + "=" + peer,
		"--log-level=warn",
		// The platform is thrown away: a disk that is slow to sync shall not slow it.
		"--unsafe-no-fsync",
	}})
	if err != nil {
		return err
	}
	err = p.supervisor.start(process{name: c.name + "-apiserver", path: p.programs["kube-apiserver"], args: []string{
		"--etcd-servers=" + etcd, "--bind-address=" + c.address, "--secure-port=443", "--advertise-address=" + c.address,
		"--service-cluster-ip-range=" + c.services, "--authorization-mode=Node,RBAC", "--allow-privileged",
		"--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + c.file("ca.crt"), "--tls-cert-file=" + c.file("apiserver.crt"), "--tls-private-key-file=" + c.file("apiserver.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + c.file("admin.crt"), "--kubelet-client-key=" + c.file("admin.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + c.file("service-accounts.key"),
		"--service-account-signing-key-file=" + c.file("service-accounts.key"),
		// Webhooks are called at the addresses of their pods, because nothing routes
		// those of Services.
		"--enable-aggregator-routing",
		"--cert-dir=" + c.file("generated"),
	}})
	if err != nil {
		return err
	}
	if err := waitFor(ctx, 2*time.Minute, "the API server of "+c.name, func() error {
		for _, what := range []string{"/readyz", "/api/v1/namespaces/kube-system"} { // which the server makes itself, soon after it is ready
			if _, err := p.kubectl(ctx, c, "", "get", "--raw", what); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return p.supervisor.start(process{name: c.name + "-controllers", path: p.programs["kube-controller-manager"], args: []string{
		"--kubeconfig=" + c.file("controller-manager.kubeconfig"), "--authentication-kubeconfig=" + c.file("controller-manager.kubeconfig"),
		"--authorization-kubeconfig=" + c.file("controller-manager.kubeconfig"),
		"--service-account-private-key-file=" + c.file("service-accounts.key"), "--root-ca-file=" + c.file("ca.crt"),
		"--use-service-account-credentials", "--leader-elect=false", "--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.etcdPort+2), "--cert-dir=" + c.file("generated"),
	}})
}

// kubectl runs kubectl as an administrator of the cluster.
func (p *Platform) kubectl(ctx context.Context, c *cluster, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, p.programs["kubectl"], append([]string{"--kubeconfig", c.kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	// kubectl caches below it what an API server offers.
	cmd.Env = append(os.Environ(), "HOME="+c.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s on %s: %s", strings.Join(args, " "), c.name, out)
	}
	return string(out), nil
}

// apply applies documents; what is applied refers to what was applied before it.
func (p *Platform) apply(ctx context.Context, c *cluster, documents string) error {
	_, err := p.kubectl(ctx, c, documents, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// waitFor asks until there is no error.
func waitFor(ctx context.Context, within time.Duration, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready within %s: %w", what, within, err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}
