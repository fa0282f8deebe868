// Package operator serves accounts of NATS in operator mode. Users are JWTs that are
// signed with a signing key of the account: nothing outside is changed by that, and a
// key whose JWT was never delivered is in nobody's hands. With the operator's signing
// key the account is looked up on the servers, and revoked in.
package operator

import (
	"context"
	"fmt"

	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// OpenIssuer is a [provider.OpenIssuer].
func OpenIssuer(ctx context.Context, s provider.Setting) (provider.Opened, error) {
	spec := s.Spec.JWT
	seed, err := s.Secret(ctx, spec.SigningKey.SecretRef)
	if err != nil {
		return provider.Opened{}, err
	}
	account := provider.Account{ID: spec.AccountID, Scoped: spec.SigningKey.Scoped}
	if s.Last != nil && s.Last.ID == spec.AccountID && spec.Operator != nil { // who looks it up again
		account.NameInScope, account.NoBearer, account.MaxJWTBytes = s.Last.NameInScope, s.Last.NoBearer, s.Last.MaxJWTBytes
	}
	signer, err := New(spec.AccountID, seed, s.Spec.Policy.MaxJWTBytes)
	if err != nil {
		return provider.Opened{}, fmt.Errorf("the signing key of NatsAccount %s/%s, the key %s of the Secret %s, cannot be used: %w",
			s.Namespace, s.Name, spec.SigningKey.SecretRef.Key, spec.SigningKey.SecretRef.Name, err)
	}
	account.SigningKey = signer.SigningKey
	return provider.Opened{Issuer: signer, Account: account, Unseen: unseen(s, signer.SigningKey)}, nil
}

// unseen reports whether no run has found the account with a signing key on the servers,
// since either was another. Where the spec says nothing of servers there is nothing to find.
func unseen(s provider.Setting, signingKey string) bool {
	if !s.Spec.Verifiable() {
		return s.Last != nil && s.Last.SigningKey != signingKey
	}
	return s.Last == nil || s.Last.Found == nil || !*s.Last.Found || s.Last.ID != s.Spec.JWT.AccountID || s.Last.SigningKey != signingKey
}

// OpenAdministrator is a [provider.OpenAdministrator].
func OpenAdministrator(ctx context.Context, s provider.Setting, opened provider.Opened) (provider.Administrator, error) {
	spec := s.Spec.JWT
	a := &administrator{
		Setting: s, opened: opened,
		servers: s.Servers(spec.Servers, string(spec.CACertificates)),
	}
	if spec.Operator == nil {
		return a, nil
	}
	return a, a.openOperator(ctx, spec.Operator)
}

func (a *administrator) openOperator(ctx context.Context, o *v1alpha1.Operator) error {
	seed, in, err := a.OperatorSecret(ctx, o.SigningKeySecretRef)
	if err != nil {
		return err
	}
	if a.operator, a.operatorKey, err = parseSeed(seed, nkeys.PrefixByteOperator); err != nil {
		return fmt.Errorf("the operator's signing key, the key %s of the Secret %s, cannot be used: %w", o.SigningKeySecretRef.Key, in, err)
	}
	a.operatorIn = in
	if a.credentials, a.credentialsIn, err = a.OperatorSecret(ctx, v1alpha1.SecretRef(o.SystemCredentialsSecretRef)); err != nil {
		return err
	}
	if _, err := nkeys.ParseDecoratedUserNKey(a.credentials); err != nil {
		return fmt.Errorf("the credentials of the system account, the key %s of the Secret %s, are not a .creds file: put in what `nsc generate creds` writes", o.SystemCredentialsSecretRef.Key, a.credentialsIn)
	}
	return nil
}
