// Package judges asks others what they make of what Baleen delivers: here the
// Sealed Secrets controller itself.
package judges

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/apis/sealedsecrets/v1alpha1"
	"github.com/bitnami-labs/sealed-secrets/pkg/client/clientset/versioned/fake"
	ssinformers "github.com/bitnami-labs/sealed-secrets/pkg/client/informers/externalversions"
	"github.com/bitnami-labs/sealed-secrets/pkg/controller"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/features"
	featuretesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/scenario"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
)

// cluster is a workload cluster with nothing on it but the real controller.
type cluster struct {
	*testing.T
	kube   *kubefake.Clientset
	sealed *fake.Clientset
	pem    string
	stop   chan struct{} // of the controller that runs
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	// The fake of their client does not know how to begin a watch with a list.
	featuretesting.SetFeatureDuringTest(t, features.WatchListClient, false)
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the controller's
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, data []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}) }
	c := &cluster{T: t, kube: kubefake.NewClientset(), sealed: fake.NewSimpleClientset(), pem: string(block("CERTIFICATE", certificate))}
	_, err = c.kube.CoreV1().Secrets("kube-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "key", Namespace: "kube-system", Labels: map[string]string{controller.SealedSecretsKeyLabel: "active"}},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{"tls.key": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), "tls.crt": []byte(c.pem)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.start()
	t.Cleanup(func() { close(c.stop) })
	return c
}

// start starts a controller, which looks at all SealedSecrets that there are.
func (c *cluster) start() {
	c.Helper()
	registry := controller.NewKeyRegistry(c.kube, "kube-system", "key", controller.SealedSecretsKeyLabel, 2048)
	keys := informers.NewSharedInformerFactoryWithOptions(c.kube, 0, informers.WithNamespace("kube-system"))
	running, err := controller.NewController(c.kube, c.sealed, ssinformers.NewSharedInformerFactory(c.sealed, 0), nil, keys, registry, 1, "CertNotBefore")
	if err != nil {
		c.Fatal(err)
	}
	if c.stop != nil {
		close(c.stop)
	}
	c.stop = make(chan struct{})
	go running.Run(c.stop)
}

// apply stores a SealedSecret, and returns the Secret that the controller makes
// of it, with how often it wrote that.
func (c *cluster) apply(document string) (*corev1.Secret, int) {
	c.Helper()
	var ss v1alpha1.SealedSecret
	if err := yaml.UnmarshalStrict([]byte(document), &ss); err != nil {
		c.Fatalf("%v in\n%s", err, document)
	}
	api := c.sealed.BitnamiV1alpha1().SealedSecrets(ss.Namespace)
	ss.UID = "0b0d5e4c-1d3a-4c5e-9f0a-3a8f0b1c2d3e"
	seen := c.events()
	stored, err := api.Get(c.Context(), ss.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		_, err = api.Create(c.Context(), &ss, metav1.CreateOptions{})
	case reflect.DeepEqual(stored.Spec, ss.Spec):
		c.start() // it looks again only when it starts anew
		err = nil
	default:
		_, err = api.Update(c.Context(), &ss, metav1.UpdateOptions{})
	}
	if err != nil {
		c.Fatal(err)
	}
	// An event tells that the controller is done with it.
	for end := time.Now().Add(20 * time.Second); c.events() == seen; {
		if time.Now().After(end) {
			c.Fatal("the controller does not get to it")
		}
		time.Sleep(10 * time.Millisecond)
	}
	secret, err := c.kube.CoreV1().Secrets(ss.Namespace).Get(c.Context(), ss.Name, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	writes := 0
	for _, action := range c.kube.Actions() {
		if action.GetResource().Resource == "secrets" && action.GetNamespace() == ss.Namespace && (action.GetVerb() == "create" || action.GetVerb() == "update") {
			writes++
		}
	}
	return secret, writes
}

func (c *cluster) events() string {
	var all strings.Builder
	for _, action := range c.kube.Actions() {
		if action.GetResource().Resource == "events" {
			fmt.Fprintln(&all, action)
		}
	}
	return all.String()
}

// The controller unseals what is delivered, leaves the Secret alone when the same
// comes again, and keeps it when nothing is kept of it in Git any more.
func TestSealedSecretsController(t *testing.T) {
	example, err := os.ReadFile("../../promises/nats-user/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, retain := range []string{"Ciphertext", "Nothing"} {
		t.Run(retain, func(t *testing.T) {
			c := newCluster(t)
			s := scenario.New(t, "../../testdata/platform", natsuser.New(nil))
			s.Write(txtar.File{Name: "baleen-system/ConfigMap.core/sealing-certificates.yaml", Data: []byte(
				"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sealing-certificates, namespace: baleen-system}\ndata:\n  eu-1: |\n    " +
					strings.ReplaceAll(strings.TrimSpace(c.pem), "\n", "\n    ") + "\n")})
			run := func(rotate string) string {
				t.Helper()
				request := strings.Replace(string(example), "credentials: {", fmt.Sprintf("retain: %s\n  credentials: {rotate: %q, ", retain, rotate), 1)
				o := s.Apply(request)
				for name, text := range o.Files {
					if strings.HasPrefix(name, "eu-1/") {
						return text
					}
				}
				_, reason, message := o.Ready()
				t.Fatalf("eu-1 gets nothing: %s: %s", reason, message)
				return ""
			}
			first, writes := c.apply(run("1"))
			if writes != 1 || !strings.Contains(string(first.Data["nats.creds"]), "BEGIN NATS USER JWT") {
				t.Fatalf("the controller wrote the Secret %d times, and it holds %v", writes, maps.Keys(first.Data))
			}
			// Seen in the state store, and then longer ago than any overlap.
			for _, pause := range []time.Duration{time.Hour, 48 * time.Hour} {
				s.Now = s.Now.Add(pause)
				document := run("1")
				if kept := strings.Contains(document, "\n    nats.creds: "); kept != (retain == "Ciphertext" || pause == time.Hour) {
					t.Errorf("after %s the ciphertext is kept: %t", pause, kept)
				}
				again, writes := c.apply(document)
				if writes != 1 || string(again.Data["nats.creds"]) != string(first.Data["nats.creds"]) {
					t.Errorf("the Secret was written %d times", writes)
				}
			}
			rotated, writes := c.apply(run("2"))
			delete(rotated.Data, ledger.KeepKey)
			if writes != 2 || string(rotated.Data["nats.creds"]) == string(first.Data["nats.creds"]) || len(rotated.Data) != 1 {
				t.Errorf("after a rotation the Secret was written %d times", writes)
			}
		})
	}
}
