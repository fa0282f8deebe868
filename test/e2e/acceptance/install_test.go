package acceptance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/promises"
)

// root is the folder of the project.
const root = "../../.."

// install puts Baleen onto the platform as docs/getting-started.md does,
// and the account and namespaces that the stories need. It may be repeated.
func install(ctx context.Context) error {
	names := []string{"guard"}
	for _, p := range promises.All() {
		names = append(names, p.Name)
	}
	for _, name := range names {
		// Kratix restarts for a moment whenever a Promise is added.
		if err := retry(ctx, 2*time.Minute, func() error {
			_, err := hub().tryKubectl(ctx, "", "apply", "-f", filepath.Join(root, "dist", "promises", name+".yaml"))
			return err
		}); err != nil {
			return err
		}
	}
	for _, p := range promises.All() {
		if err := retry(ctx, 3*time.Minute, func() error {
			is, err := hub().tryKubectl(ctx, "", "get", "promise", p.Name, "-o", "jsonpath={.status.status}")
			if err == nil && is != "Available" {
				err = fmt.Errorf("the Promise %s is %q", p.Name, is)
			}
			return err
		}); err != nil {
			return err
		}
	}
	for _, name := range []string{"eu-1", "us-1"} {
		if err := baleen(ctx, "clusters", "trust", name, "--cluster-kubeconfig", world.Kubeconfigs[name]); err != nil {
			return err
		}
		if _, err := clusters[name].tryKubectl(ctx, namespaces("team-a", "team-b", "gateways"), "apply", "--server-side", "-f", "-"); err != nil {
			return err
		}
	}
	if err := certificate(ctx); err != nil {
		return err
	}
	_, err := hub().tryKubectl(ctx, strings.Join([]string{
		namespaces("team-a", "team-b", "platform"),
		secret("baleen-system", "commerce-signing", "seed", world.NATS.SigningKey),
		secret("baleen-operator", "operator-signing", "seed", world.NATS.OperatorKey),
		secret("baleen-operator", "system-credentials", "creds", world.NATS.SystemCredentials),
		fmt.Sprintf(`apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system}
spec:
  provider: jwt
  jwt:
    accountID: %s
    signingKey: {secretRef: {name: commerce-signing}}
    servers: ["%s"]
    operator:
      signingKeySecretRef: {name: operator-signing}
      systemCredentialsSecretRef: {name: system-credentials}
  policy:
    namespaces: ["team-*"]
    publish: ["orders.>", "$JS.API.>", "$JS.ACK.>"]
    subscribe: ["orders.>", "_INBOX.>"]
  placement:
    allowed: [{matchLabels: {environment: prod}}]
`, world.NATS.AccountID, world.NATS.URL),
		`apiVersion: baleen.dev/v1alpha1
kind: ApiAggregator
metadata: {name: public-api, namespace: platform}
spec:
  hostname: api.example.com
  tls: {clusterIssuer: letsencrypt}
  gateway: {className: traefik, implementation: Traefik, namespace: gateways, ports: {https: 8443, http: 8000}}
  requestBody: {max: 100Mi}
  allowedNamespaces: ["team-*"]
  placement: {matchLabels: {environment: prod}}
`}, "---\n"), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// baleen runs the tool as the platform's administrator.
func baleen(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "baleen"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+world.Kubeconfigs["platform"])
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("baleen %s: %s", strings.Join(args, " "), out)
	}
	return nil
}

func namespaces(names ...string) string {
	var all strings.Builder
	for _, name := range names {
		fmt.Fprintf(&all, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n---\n", name)
	}
	return strings.TrimSuffix(all.String(), "---\n")
}

func secret(namespace, name, key string, value []byte) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ndata: {%s: %s}\n",
		name, namespace, key, base64.StdEncoding.EncodeToString(value))
}

func retry(ctx context.Context, limit time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// certificate is what cert-manager would make for the host, on the cluster with
// the gateway.
func certificate(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"api.example.com"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	authority.AppendCertsFromPEM(certPEM)
	_, err = eu().tryKubectl(ctx, fmt.Sprintf("apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: %s, namespace: gateways}\ndata: {tls.crt: %s, tls.key: %s}\n",
		certificateName, base64.StdEncoding.EncodeToString(certPEM), base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))),
		"apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// authority is who signed it.
var authority = x509.NewCertPool()

// certificateName is the Secret that the Gateway of platform/public-api names.
const certificateName = "public-api-299ff5f3-tls"
