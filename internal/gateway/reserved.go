package gateway

import (
	"fmt"
	"strings"

	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const (
	// wellKnown is where a host says things about itself (RFC 8615).
	wellKnown = "/.well-known"
	// ACME is where a certificate authority asks whether somebody controls the host
	// (RFC 8555, section 8.3): who answers there gets a certificate for it. It is never
	// redirected and never published.
	ACME = wellKnown + "/acme-challenge"
	// internalPrefix begins the names of NGINX Gateway Fabric's own locations. Who has a
	// path of that name gets the requests of others.
	internalPrefix = "/_ngf"
)

// Reserved tells why a path, given by its key, is nobody's to publish, or not without
// a delegation; nothing if it may be. Withdraw says that it must not go on either where
// it was published. Own says that it is asked for in the aggregator's own namespace.
func Reserved(t Terms, key string, own bool) (why string, withdraw bool) {
	switch {
	case httppath.Covers(ACME, key):
		return ACME + " is where certificate authorities ask who controls the host: it is never published", true
	case httppath.Covers(wellKnown, key):
		// A delegation of something wider says nothing about the host's own affairs.
		if prefix, ok := t.Delegated(key); own || ok && httppath.Covers(wellKnown, prefix) {
			return "", false
		}
		return fmt.Sprintf("%s speaks for the whole host: ask the aggregator's owner for a delegation of %s", wellKnown, key), true
	case strings.HasPrefix(key, internalPrefix):
		return "paths that begin with " + internalPrefix + " are NGINX Gateway Fabric's own: choose another name", t.Implementation == v1alpha1.NGINXGatewayFabric
	}
	return "", false
}
