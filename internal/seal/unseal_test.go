package seal

import (
	"crypto/rsa"
	"maps"
	"slices"
	"testing"

	"github.com/bitnami-labs/sealed-secrets/pkg/apis/sealedsecrets/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

func TestLabel(t *testing.T) {
	if got, want := label("team-a", "orders"), v1alpha1.EncryptionLabel("team-a", "orders", v1alpha1.StrictScope); string(got) != string(want) {
		t.Errorf("the label is %q, that of Sealed Secrets is %q", got, want)
	}
}

// What the controller does with a SealedSecret: it takes scope and names from the
// object that it finds, and opens nothing that was moved or loosened.
func TestUnseal(t *testing.T) {
	data := map[string][]byte{"nats.creds": []byte("secret"), "binary": {0, 0xff, '\n'}}
	sealed, err := newest(t).Seal("team-a", "orders", data)
	if err != nil {
		t.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	keys := map[string]*rsa.PrivateKey{print(t, oldKey()): oldKey(), print(t, newKey()): newKey()}
	object := func(namespace, name string) *v1alpha1.SealedSecret {
		return &v1alpha1.SealedSecret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       v1alpha1.SealedSecretSpec{EncryptedData: sealed},
		}
	}
	secret, err := object("team-a", "orders").Unseal(codecs, keys)
	if err != nil || !maps.EqualFunc(secret.Data, data, slices.Equal) {
		t.Fatalf("unsealed: %v, %v", secret, err)
	}
	moved := map[string]*v1alpha1.SealedSecret{
		"another name":      object("team-a", "other"),
		"another namespace": object("team-b", "orders"),
		"namespace-wide":    object("team-a", "orders"),
		"cluster-wide":      object("team-a", "orders"),
	}
	moved["namespace-wide"].Annotations = map[string]string{v1alpha1.SealedSecretNamespaceWideAnnotation: "true"}
	moved["cluster-wide"].Annotations = map[string]string{v1alpha1.SealedSecretClusterWideAnnotation: "true"}
	for name, s := range moved {
		if secret, err := s.Unseal(codecs, keys); err == nil {
			t.Errorf("%s: unsealed %v", name, secret)
		}
	}
	delete(keys, print(t, newKey()))
	if secret, err := object("team-a", "orders").Unseal(codecs, keys); err == nil {
		t.Errorf("another controller unsealed %v", secret)
	}
}
