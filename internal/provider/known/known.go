// Package known has the providers that there are.
package known

import (
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/operator"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// Providers are those that there are, by the name in the spec of a NatsAccount that is
// valid.
var Providers = map[v1alpha1.Provider]provider.Provider{
	v1alpha1.ProviderJWT:     operator.Provider{},
	v1alpha1.ProviderSynadia: synadia.Provider{},
}
