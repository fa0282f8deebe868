package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
	"github.com/nats-io/jwt/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

const (
	userStage = "bin/nats-user"
	script    = "test/bench/credential.sh"
	// many clusters, for each of which a credential is issued.
	many = 50
)

// The account of testdata/platform, and the public part of its signing key.
const (
	accountName = "commerce"
	accountID   = "AD4BPRVSQXPWIZGJD5EC72OJ75W6T7C4UXTXULLZD3JIZMCAGBRKSJ27"
	signingKey  = "ABJ7SEENZ7WHMDTKD3XGKSR4JORFJ7KVIBLRY3VIBXNDKX2E2TIZKPK7"
	operator    = "bench"
)

// credential measures a NatsUser: a run that has nothing to do and a first issue
// for one cluster against the script, and a first issue for many clusters against
// that for one.
func credential(dir string) ([]figure, error) {
	b := users{dir: filepath.Join(dir, "credential")}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	idle, err := b.idle()
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "measuring credentials…")
	processes := []func() (sample, error){
		idle, b.script, func() (sample, error) { return b.first(1) }, b.script, func() (sample, error) { return b.first(many) },
	}
	samples := make([][]sample, len(processes))
	for i := range runs {
		for n, process := range processes {
			s, err := process()
			if err != nil {
				return nil, err
			}
			if i > 0 {
				samples[n] = append(samples[n], s)
			}
		}
	}
	return slices.Concat(
		compare("nats-user, nothing to do", samples[0], "script", samples[1], 1),
		compare("nats-user, first issue for one cluster", samples[2], "script", samples[3], 1),
		compare(fmt.Sprintf("nats-user, first issue for %d clusters", many), samples[4], "for one", samples[2], 5),
	), nil
}

// users is what Baleen and the script work on.
type users struct {
	dir string
	key *rsa.PrivateKey // of the Sealed Secrets controllers, of all clusters
}

func (b *users) prepare() error {
	fmt.Fprintln(os.Stderr, "preparing…")
	var err error
	if b.key, err = rsa.GenerateKey(rand.Reader, 4096); err != nil {
		return err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, b.key.Public(), b.key)
	if err != nil {
		return err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	for _, clusters := range []int{1, many} {
		if err := makePlatform(b.platform(clusters), clusters, certificate); err != nil {
			return err
		}
	}
	seed, err := signingSeed(b.platform(1))
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(b.at("certificate.pem"), certificate, 0o644), os.WriteFile(b.at("signing.nk"), seed, 0o600)); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"add", "operator", "--name", operator},
		{"add", "account", "--name", accountName, "--public-key", accountID},
		{"edit", "account", "--name", accountName, "--sk", signingKey},
	} {
		if out, err := exec.Command("bin/nsc", append([]string{"--all-dirs", b.at("nsc")}, args...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("nsc: %w: %s", err, out)
		}
	}
	if _, err := b.script(); err != nil {
		return err
	}
	result, err := b.issue(b.at("same"), 1, func(c *exec.Cmd) error { return c.Run() })
	if err != nil {
		return err
	}
	return b.same(result)
}

func (b *users) at(name string) string { return filepath.Join(b.dir, name) }

// platform is a platform with so many clusters, on which nothing was issued yet.
func (b *users) platform(clusters int) string { return b.at(fmt.Sprintf("platform-%d", clusters)) }

func makePlatform(dir string, clusters int, certificate []byte) error {
	ctx := context.Background()
	if err := errors.Join(os.CopyFS(dir, os.DirFS("testdata/platform")), os.RemoveAll(filepath.Join(dir, "_cluster"))); err != nil {
		return err
	}
	client, err := platform.OpenFolder(dir, time.Now)
	if err != nil {
		return err
	}
	bundles := map[string]any{}
	for i := range clusters {
		name := cluster(i)
		bundles[name] = string(certificate)
		if _, err := client.Create(ctx, platform.Destination, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": platform.Destination.GroupVersion().String(), "kind": platform.Destination.Kind, "metadata": map[string]any{
				"name": name, "labels": map[string]any{"baleen.dev/destination": name, "environment": "prod"},
			},
		}}); err != nil {
			return err
		}
	}
	certificates, err := client.Get(ctx, platform.ConfigMap, "baleen-system", "sealing-certificates")
	if err != nil {
		return err
	}
	certificates.Object["data"] = bundles
	_, err = client.Update(ctx, platform.ConfigMap, certificates)
	return err
}

// signingSeed is what signs for the account, from the Secret that is its fixture.
func signingSeed(dir string) ([]byte, error) {
	client, err := platform.OpenFolder(dir, time.Now)
	if err != nil {
		return nil, err
	}
	return account.Secret(context.Background(), client, v1alpha1.SecretRef{Name: "commerce-signing", Key: "seed"})
}

func cluster(i int) string { return fmt.Sprintf("cluster-%02d", i+1) }

// request asks for what the script makes.
func request(name string, placement map[string]string) *unstructured.Unstructured {
	var object unstructured.Unstructured
	data, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(`
apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: NAME, namespace: team-a}
spec:
  accountRef: {name: commerce}
  permissions:
    publish: {allow: ["orders.>"]}
    subscribe: {allow: ["orders.>", "_INBOX.>"]}
    allowResponses: {max: 1, ttl: 5s}
  credentials: {ttl: 720h}
  secret: {name: NAME-nats}
`, "NAME", name)))
	if err == nil {
		err = object.UnmarshalJSON(data)
	}
	if err == nil {
		err = unstructured.SetNestedStringMap(object.Object, placement, "spec", "placement", "matchLabels")
	}
	if err != nil {
		panic(err) // it is a constant
	}
	return &object
}

// configure does what Kratix does around a configure, and tells if not so many
// clusters have a credential then.
func configure(dir string, object *unstructured.Unstructured, client platform.Client, clusters int, stage func(env []string) error) (simulator.Result, error) {
	promise, _ := promises.Find(object.GroupVersionKind().GroupKind())
	result, err := simulator.Run(context.Background(), simulator.Options{
		Version: simulator.KratixLatest, Action: kratix.Configure, Request: object, Client: client, Dir: dir, Now: time.Now,
		Promise: simulator.Promise{Name: promise.Name, Kind: promise.Kind, Configure: promise.ConfigurePipeline},
		Stage: func(_ context.Context, env []string) error {
			return stage(append(env, "BALEEN_KRATIX_DIR="+dir))
		},
	})
	if err == nil && (len(result.Destinations) != clusters || result.Status["expires"] == nil) {
		err = fmt.Errorf("NatsUser %s is on %d clusters: %v", object.GetName(), len(result.Destinations), result.Status["message"])
	}
	return result, err
}

// issue makes the request on a new platform; stage starts the pipeline.
func (b *users) issue(dir string, clusters int, stage func(*exec.Cmd) error) (simulator.Result, error) {
	folder := filepath.Join(dir, "platform")
	if err := os.CopyFS(folder, os.DirFS(b.platform(clusters))); err != nil {
		return simulator.Result{}, err
	}
	client, err := platform.OpenFolder(folder, time.Now)
	if err != nil {
		return simulator.Result{}, err
	}
	return configure(filepath.Join(dir, "kratix"), request("orders", nil), client, clusters, func(env []string) error {
		c := exec.Command(userStage)
		c.Env = append(slices.Clip(env), "BALEEN_PLATFORM_DIR="+folder)
		return stage(c)
	})
}

func (b *users) first(clusters int) (s sample, err error) {
	dir := b.at("first")
	_, err = b.issue(dir, clusters, func(c *exec.Cmd) error {
		s, err = measure(c)
		return err
	})
	return s, errors.Join(err, os.RemoveAll(dir))
}

// idle returns runs that have nothing to do but everything to check: what a
// platform does all day.
func (b *users) idle() (func() (sample, error), error) {
	var idle exec.Cmd
	_, err := b.issue(b.at("idle"), 1, func(c *exec.Cmd) error {
		idle = *c
		return c.Run()
	})
	return func() (sample, error) {
		c := exec.Cmd{Path: idle.Path, Args: idle.Args, Env: idle.Env}
		return measure(&c)
	}, err
}

// script makes a user where there is none yet.
func (b *users) script() (sample, error) {
	home := b.at("nsc-of-script")
	if err := errors.Join(os.RemoveAll(home), os.CopyFS(home, os.DirFS(b.at("nsc")))); err != nil {
		return sample{}, err
	}
	tools, err := filepath.Abs("bin")
	if err != nil {
		return sample{}, err
	}
	c := exec.Command("/bin/sh", script)
	c.Env = []string{
		"PATH=" + tools, "HOME=" + home, "NSC_DIR=" + home, "OPERATOR=" + operator, "ACCOUNT=" + accountName, "SIGNING_KEY=" + b.at("signing.nk"),
		"CERTIFICATE=" + b.at("certificate.pem"), "TEMPLATES=promises/nats-user/templates",
		"NAMESPACE=team-a", "NAME=orders", "SECRET=orders-nats", "DESTINATION=" + cluster(0), "OUT=" + b.at("script.yaml"),
	}
	return measure(c)
}

// same checks that Baleen and the script made the same: otherwise the two do not
// compare.
func (b *users) same(result simulator.Result) error {
	theirs, err := os.ReadFile(b.at("script.yaml"))
	if err != nil {
		return err
	}
	var both [2]*jwt.UserClaims
	for _, ours := range result.Destinations[0].After {
		for i, document := range [][]byte{ours, theirs} {
			if both[i], err = b.unseal(document); err != nil {
				return fmt.Errorf("%w in:\n%s", err, document)
			}
		}
	}
	for i, c := range both {
		if left := time.Until(time.Unix(c.Expires, 0)) - 30*24*time.Hour; left.Abs() > time.Minute {
			return fmt.Errorf("a credential is not for 30 days, but for %s longer", left)
		}
		both[i] = &jwt.UserClaims{ClaimsData: jwt.ClaimsData{Name: c.Name, Issuer: c.Issuer}, User: c.User}
		slices.Sort(both[i].Sub.Allow)
		slices.Sort(both[i].Tags)
		both[i].AllowedConnectionTypes = nil // observe the script
	}
	if !reflect.DeepEqual(both[0], both[1]) {
		return fmt.Errorf("the script does not make what the pipeline makes:\n%s\ninstead of\n%s", both[1], both[0])
	}
	return nil
}

func (b *users) unseal(document []byte) (*jwt.UserClaims, error) {
	var sealed struct {
		Metadata struct{ Namespace, Name string }
		Spec     struct{ EncryptedData map[string]string }
	}
	if err := yaml.Unmarshal(document, &sealed); err != nil {
		return nil, err
	}
	ciphertext, err := base64.StdEncoding.DecodeString(sealed.Spec.EncryptedData["nats.creds"])
	if err != nil {
		return nil, err
	}
	creds, err := crypto.HybridDecrypt(rand.Reader, map[string]*rsa.PrivateKey{"": b.key}, ciphertext, []byte(sealed.Metadata.Namespace+"/"+sealed.Metadata.Name))
	if err != nil {
		return nil, err
	}
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		return nil, err
	}
	return jwt.DecodeUserClaims(token)
}
