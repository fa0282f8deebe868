package pipelines_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/ledger"
)

// Where a credential is forgotten, its SealedSecret keeps one key. API servers up
// to Kubernetes 1.36 at least, merging what Flux and Argo CD apply, make null of a
// map that loses its last key; the CRD refuses null, and then nothing at all is
// applied any more. structured-merge-diff v6.4.0, which this module has, does so no
// more, so only the acceptance test RetainNothing meets the refusal itself.
func TestForgettingKeepsAKey(t *testing.T) {
	full, empty := firstDocument(t, "nats-user-retain-nothing"), firstDocument(t, "nats-user-retain-nothing-later")
	kept, ok := full[ledger.KeepKey]
	if !ok || len(full) != 2 {
		t.Errorf("the first one has %v and not the credential and %s", full, ledger.KeepKey)
	}
	if len(empty) != 1 || empty[ledger.KeepKey] != kept {
		t.Errorf("what is forgotten has %v and not just %s, as it was", empty, ledger.KeepKey)
	}
}

// firstDocument is the ciphertext of the first SealedSecret that a case emits.
func firstDocument(t *testing.T, name string) map[string]string {
	t.Helper()
	archive, err := txtar.ParseFile("../testdata/cases/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.Files {
		if !strings.HasSuffix(file.Name, "documents.yaml") {
			continue
		}
		first, _, _ := bytes.Cut(file.Data, []byte("\n---\n"))
		object := unstructured.Unstructured{}
		if err := yaml.Unmarshal(first, &object.Object); err != nil {
			t.Fatal(err)
		}
		data, _, _ := unstructured.NestedStringMap(object.Object, "spec", "encryptedData")
		return data
	}
	t.Fatalf("the case %s emits nothing", name)
	return nil
}
