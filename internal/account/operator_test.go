package account

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// failing is a platform where a namespace cannot be read.
type failing struct {
	platform.Client
	namespace string
	err       error
}

func (f failing) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if namespace == f.namespace {
		return nil, f.err
	}
	return f.Client.Get(ctx, kind, namespace, name)
}

// moving is a platform on which somebody moves a Secret after it was looked for once.
type moving struct {
	platform.Client
	move func()
}

func (m *moving) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	defer func() { m.move(); m.move = func() {} }()
	return m.Client.Get(ctx, kind, namespace, name)
}

// What is the operator's is read in its own namespace. Where the Secret is not there, and
// in no other case, it is read in that of accounts, and is exposed.
func TestOperatorSecret(t *testing.T) {
	seed := v1alpha1.SecretRef{Name: "operator", Key: "seed"}
	in := func(namespace, key, value string) *unstructured.Unstructured {
		o := secret(t, "operator", key, []byte(value))
		o.SetNamespace(namespace)
		return o
	}
	const own, old = OperatorNamespace, Namespace
	toMove, toDelete := []Exposed{{seed, false}}, []Exposed{{seed, true}}
	forbidden := apierrors.NewForbidden(platform.Secret.GVR().GroupResource(), "operator", errors.New("no right"))
	away := apierrors.NewServiceUnavailable("away")
	both := newPlatform(t, in(own, "seed", "new"), in(old, "seed", "hidden"))
	for _, test := range []struct {
		name      string
		client    platform.Client
		want, in  string
		exposed   []Exposed
		says      string
		transient bool
	}{
		{name: "it was moved", client: newPlatform(t, in(own, "seed", "new")), want: "new", in: "baleen-operator/operator"},
		{name: "it is to be moved", client: newPlatform(t, in(old, "seed", "former")), want: "former", in: "baleen-system/operator", exposed: toMove},
		{name: "a copy is left", client: both, want: "new", in: "baleen-operator/operator", exposed: toDelete},
		{name: "what is left has other keys", client: newPlatform(t, in(own, "seed", "new"), in(old, "account", "hidden")), want: "new", in: "baleen-operator/operator"},
		{name: "what is left is empty", client: newPlatform(t, in(own, "seed", "new"), in(old, "seed", "")), want: "new", in: "baleen-operator/operator"},
		{name: "it is nowhere", client: newPlatform(t), says: "there is no Secret baleen-operator/operator: create it with the key seed"},
		{name: "there are other keys alone", client: newPlatform(t, in(old, "account", "hidden")), says: "there is no Secret baleen-operator/operator: create it with the key seed"},
		{name: "it lacks the key, and a copy is left", client: newPlatform(t, in(own, "seeds", "hidden"), in(old, "seed", "hidden")), exposed: toDelete,
			says: "the Secret baleen-operator/operator has no key seed with a value: add it"},
		{name: "it is empty, and a copy is left", client: newPlatform(t, in(own, "seed", ""), in(old, "seed", "hidden")), exposed: toDelete,
			says: "the Secret baleen-operator/operator has no key seed with a value: add it"},
		{name: "there is no right to read it", client: failing{both, own, forbidden}, says: "make the namespace baleen-operator if there is none, and ask the account for a run"},
		{name: "it cannot be read now", client: failing{both, own, away}, says: "the Secret baleen-operator/operator cannot be read: away", transient: true},
		{name: "whether a copy is left cannot be read", client: failing{both, old, away}, says: "the Secret baleen-system/operator cannot be read: away", transient: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got, from string
			_, exposed, err := Opener{Client: test.client}.Administrator(t.Context(), func(ctx context.Context, s provider.Setting, _ provider.Opened) (provider.Administrator, error) {
				data, in, err := s.OperatorSecret(ctx, seed)
				got, from = string(data), in
				return nil, err
			}, read(t, ofJWT))
			wantError(t, err, test.says)
			if err != nil && (got != "" || strings.Contains(err.Error(), "hidden") || platform.IsTransient(err) != test.transient) {
				t.Errorf("it is %q, %v", got, err)
			}
			if err == nil && (got != test.want || from != test.in) {
				t.Errorf("it is %q in %s", got, from)
			}
			if diff := cmp.Diff(test.exposed, exposed); diff != "" {
				t.Errorf("exposed is something else (-want +got):\n%s", diff)
			}
		})
	}
}

// A Secret that is moved meanwhile, made in the new place and deleted in the former one, is
// found.
func TestOperatorSecretIsMovedMeanwhile(t *testing.T) {
	client := newPlatform(t, secret(t, "operator", "seed", []byte("value")))
	m := &moving{client, func() {
		o := secret(t, "operator", "seed", []byte("value"))
		o.SetNamespace(OperatorNamespace)
		if _, err := client.Create(t.Context(), platform.Secret, o); err != nil {
			t.Fatal(err)
		}
		if err := client.Delete(t.Context(), platform.Secret, Namespace, "operator", platform.Preconditions{}); err != nil {
			t.Fatal(err)
		}
	}}
	_, _, err := Opener{Client: m}.Administrator(t.Context(), func(ctx context.Context, s provider.Setting, _ provider.Opened) (provider.Administrator, error) {
		data, _, err := s.OperatorSecret(ctx, v1alpha1.SecretRef{Name: "operator", Key: "seed"})
		if string(data) != "value" {
			t.Errorf("it is %q", data)
		}
		return nil, err
	}, read(t, ofJWT))
	if err != nil {
		t.Error(err)
	}
}

// Who makes users reads nothing of the operator's.
func TestIssuerHasNoOperatorSecret(t *testing.T) {
	if how := (Opener{}).setting(read(t, ofJWT).NatsAccount, v1alpha1.NatsAccountStatus{}); how.OperatorSecret != nil {
		t.Error("it may")
	}
}

// The sentence names each Secret once, and what is left to do.
func TestExposure(t *testing.T) {
	seed, creds, system := v1alpha1.SecretRef{Name: "operator", Key: "seed"}, v1alpha1.SecretRef{Name: "operator", Key: "creds"}, v1alpha1.SecretRef{Name: "system", Key: "creds"}
	for _, test := range []struct {
		name    string
		exposed []Exposed
		want    string
	}{
		{"two to move", []Exposed{{seed, false}, {system, false}},
			"(seed of operator, creds of system): copy operator, system to the namespace baleen-operator, then delete operator, system in baleen-system, or"},
		{"one that has both", []Exposed{{seed, false}, {creds, false}}, "(seed of operator, creds of operator): copy operator to the namespace baleen-operator, then delete operator in baleen-system, or"},
		{"one was moved", []Exposed{{seed, true}, {system, false}}, "(seed of operator, creds of system): copy system to the namespace baleen-operator, then delete operator, system in baleen-system, or"},
		{"copies are left", []Exposed{{seed, true}, {system, true}}, "(seed of operator, creds of system): delete operator, system in baleen-system, or these keys alone where a Secret has others that are used there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Exposure(test.exposed); !strings.HasPrefix(got, "the pipelines of all NatsUsers may read the operator's keys in the namespace baleen-system ") || !strings.Contains(got, test.want) {
				t.Errorf("it is %s", got)
			}
		})
	}
}
