// Package synadia has the control plane of Synadia Cloud, or of a Synadia
// Platform, make the users of an account. It keeps one user for each generation on
// each cluster, until that is removed.
package synadia

import (
	"context"
	"fmt"
	"strings"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// OpenIssuer is a [provider.OpenIssuer]. What the account is, its last run has found.
func OpenIssuer(ctx context.Context, s provider.Setting) (provider.Opened, error) {
	spec := s.Spec.Synadia
	token, err := s.Secret(ctx, v1alpha1.SecretRef(spec.TokenSecretRef))
	if err != nil {
		return provider.Opened{}, err
	}
	if trimmed := strings.TrimSpace(string(token)); trimmed == "" || strings.ContainsFunc(trimmed, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return provider.Opened{}, fmt.Errorf("the token of NatsAccount %s/%s, the key %s of the Secret %s, is empty, or has characters in it that no token has: put in the token alone",
			s.Namespace, s.Name, spec.TokenSecretRef.Key, spec.TokenSecretRef.Name)
	}
	made := &Issuer{
		Cloud:    Open(s.Transport, spec.BaseURL, string(spec.CACertificates), string(token), spec.Budget.Value()),
		MaxBytes: s.Spec.Policy.MaxJWTBytes, Now: s.Now,
	}
	if s.Last == nil || s.Last.Source != s.Source || s.Last.ProviderID == "" {
		return provider.Opened{Issuer: made, Unseen: true}, nil
	}
	last := provider.Account{ID: s.Last.ID, SigningKey: s.Last.SigningKey, Scoped: s.Last.Scoped, NameInScope: s.Last.NameInScope, ProviderAccount: s.Last.ProviderID}
	made.found(last)
	return provider.Opened{Issuer: made, Account: last}, nil
}

// OpenAdministrator is a [provider.OpenAdministrator].
func OpenAdministrator(_ context.Context, s provider.Setting, opened provider.Opened) (provider.Administrator, error) {
	return &administrator{Setting: s, last: opened.Account, Issuer: opened.Issuer.(*Issuer)}, nil // which is the one above
}
