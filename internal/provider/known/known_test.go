package known

import (
	"testing"

	"github.com/baleen-platform/baleen/internal/crd"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// Each provider that a NatsAccount may name can be opened, on both sides, and no other.
func TestProviders(t *testing.T) {
	p, found := promises.Find(platform.NatsAccount.GroupKind())
	if !found {
		t.Fatal("there is no Promise of NatsAccounts")
	}
	schema, err := crd.Load(p.YAML, platform.NatsAccount.Version)
	if err != nil {
		t.Fatal(err)
	}
	names := schema.Properties["spec"].Properties["provider"].Enum
	if len(names) < 2 {
		t.Fatalf("a NatsAccount may name %v", names)
	}
	for _, name := range names {
		if of := v1alpha1.Provider(name.(string)); Issuer(of) == nil || Administrator(of) == nil {
			t.Errorf("the provider %s cannot be opened", of)
		}
	}
	if Issuer("other") != nil || Administrator("other") != nil {
		t.Error("one is opened that is none")
	}
}
