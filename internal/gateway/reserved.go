package gateway

import (
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
	// path of that name could get the requests of others; since v2.0 it leaves out what
	// begins with /_ngf-internal.
	internalPrefix = "/_ngf"
)

// Reserved returns an error for the owner, a Refusal, if a path, given by its key, is
// nobody's to publish, or not without a delegation. Own says that it is asked for in the
// aggregator's own namespace.
func Reserved(t Terms, key string, own bool) error {
	switch {
	case httppath.Covers(ACME, key):
		return &Refusal{"certificate authorities ask at " + ACME + " who controls the host: it is never published", true}
	case httppath.Covers(wellKnown, key):
		// A delegation of something wider says nothing about the host's own affairs.
		if prefix, ok := t.Delegated(key); own || ok && httppath.Covers(wellKnown, prefix) {
			return nil
		}
		return &Refusal{wellKnown + " speaks for the whole host: ask the aggregator's owner for a delegation of " + key, true}
	case strings.HasPrefix(key, internalPrefix):
		return &Refusal{"paths that begin with " + internalPrefix + " are NGINX Gateway Fabric's own: choose another name", t.Implementation == v1alpha1.NGINXGatewayFabric}
	}
	return nil
}
