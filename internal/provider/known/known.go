// Package known has the providers that there are.
package known

import (
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/operator"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// Issuer returns how to open what makes users, by the name of the provider in the spec of
// a NatsAccount; nil for one that is none.
func Issuer(name v1alpha1.Provider) provider.OpenIssuer {
	switch name {
	case v1alpha1.ProviderJWT:
		return operator.OpenIssuer
	case v1alpha1.ProviderSynadia:
		return synadia.OpenIssuer
	}
	return nil
}

// Administrator does so for what looks after an account. Who does not call it,
// such as the stage of a NatsUser, does not have it in its program either.
func Administrator(name v1alpha1.Provider) provider.OpenAdministrator {
	switch name {
	case v1alpha1.ProviderJWT:
		return operator.OpenAdministrator
	case v1alpha1.ProviderSynadia:
		return synadia.OpenAdministrator
	}
	return nil
}
