package schedules

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
)

// servers are NATS servers whose accounts are on the platform, so that they are part of a
// state. As with a resolver, who pushes an account last has it his way.
type servers struct{ client *scripted }

var (
	_ provider.Servers = servers{}
	_ provider.System  = servers{}
)

const (
	resolver = "nats-resolver" // the namespace of the accounts
	trusted  = "trusted"       // the ConfigMap with the operator's key
)

func (s servers) Open([]byte) (provider.System, error) { return s, nil }
func (s servers) Try([]byte) error                     { return nil }
func (s servers) Close()                               {}
func (s servers) MaxPayload() int64                    { return 1 << 20 }

// Vars implements [provider.System].
func (s servers) Vars(ctx context.Context) (provider.ServerVars, error) {
	o, err := s.client.Get(ctx, platform.ConfigMap, resolver, trusted)
	if err != nil {
		return provider.ServerVars{}, err
	}
	key, _, _ := unstructured.NestedString(o.Object, "data", "key")
	return provider.ServerVars{TrustedKeys: []string{key}, Now: now}, nil
}

// Lookup implements [provider.System].
func (s servers) Lookup(ctx context.Context, account string) (*provider.AccountJWT, error) {
	o, err := s.client.Get(ctx, platform.ConfigMap, resolver, named(account))
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	token, _, _ := unstructured.NestedString(o.Object, "data", "jwt")
	claims, err := jwt.DecodeAccountClaims(token)
	return &provider.AccountJWT{AccountClaims: claims, Token: token}, err
}

// Update implements [provider.System].
func (s servers) Update(ctx context.Context, account, token string) error {
	return s.client.ask(ctx, request{"push the account " + account, false, platform.ConfigMap, resolver, named(account), func(ctx context.Context, c platform.Client) answer {
		_, err := c.Patch(ctx, platform.ConfigMap, resolver, named(account), map[string]any{"data": map[string]any{"jwt": token}})
		return answer{err: err}
	}}).err
}

// named is the name of an account's object.
func named(account string) string { return "account-" + strings.ToLower(account) }

// keyOf is the public key of the seed in a Secret.
func keyOf(secret *unstructured.Unstructured) (string, error) {
	encoded, _, _ := unstructured.NestedString(secret.Object, "data", "seed")
	seed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}

// operate has the account commerce served and looked after: by servers that trust an
// operator, whose key it gets.
func (s *search) operate(p *platform.Memory) {
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	ctx := s.t.Context()
	operator, err := nkeys.CreateOperator()
	must(err)
	seed, err := operator.Seed()
	must(err)
	public, err := operator.PublicKey()
	must(err)
	account, err := p.Get(ctx, platform.NatsAccount, "baleen-system", "commerce")
	must(err)
	secret, err := p.Get(ctx, platform.Secret, "baleen-system", "commerce-signing")
	must(err)
	signing, err := keyOf(secret)
	must(err)
	id, _, _ := unstructured.NestedString(account.Object, "spec", "jwt", "accountID")
	claims := jwt.NewAccountClaims(id)
	claims.Name = "commerce"
	claims.SigningKeys.Add(signing)
	token, err := claims.Encode(operator)
	must(err)
	member, err := nkeys.CreateUser()
	must(err)
	memberSeed, err := member.Seed()
	must(err)
	memberKey, err := member.PublicKey()
	must(err)
	system, err := nkeys.CreateAccount()
	must(err)
	memberToken, err := jwt.NewUserClaims(memberKey).Encode(system)
	must(err)
	creds, err := jwt.FormatUserConfig(memberToken, memberSeed)
	must(err)
	config := func(name string, data map[string]any) {
		_, err := p.Create(ctx, platform.ConfigMap, &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": resolver, "name": name}, "data": data}})
		must(err)
	}
	config(trusted, map[string]any{"key": public})
	config(named(id), map[string]any{"jwt": token})
	_, err = p.Create(ctx, platform.Secret, &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"namespace": "baleen-operator", "name": "operator"}, "stringData": map[string]any{"seed": string(seed), "creds": string(creds)},
	}})
	must(err)
	patch := map[string]any{"spec": map[string]any{"jwt": map[string]any{
		"servers":  []any{"nats://nats.example.com"},
		"operator": map[string]any{"signingKeySecretRef": map[string]any{"name": "operator"}, "systemCredentialsSecretRef": map[string]any{"name": "operator"}},
	}}}
	_, err = p.Patch(ctx, platform.NatsAccount, "baleen-system", "commerce", patch)
	must(err)
}
