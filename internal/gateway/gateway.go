// Package gateway holds what the two API Promises agree on: what an aggregator
// offers to its targets, and what each implementation of the Gateway API honours.
package gateway

import (
	"cmp"
	"net"
	"strconv"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/fingerprint"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// Terms are all of an aggregator that concerns the targets of one namespace: a
// target's output is a function of its own spec and of these, and an aggregator
// asks a target to reconcile when, and only when, they differ from the terms
// that the target last saw.
type Terms struct {
	Hostname         string
	Implementation   v1alpha1.Implementation
	GatewayNamespace string
	GatewayName      string
	Listener         string
	// Unpublished says that external-dns must leave the routes alone.
	Unpublished bool
	// DefaultBody and MaxBody limit request bodies; empty is no limit.
	DefaultBody, MaxBody field.Size
	// Admitted says that targets of the namespace may attach.
	Admitted bool
	// Delegations maps each delegated prefix to whether the namespace may publish
	// there.
	Delegations map[string]bool
	// Destinations are the clusters where the aggregator is.
	Destinations []string
	// Port is that of the URLs; 0 is the one of HTTPS.
	Port int32
}

// TermsFor returns what an aggregator, placed on the given Destinations, offers
// to the targets of a namespace.
func TermsFor(a *v1alpha1.ApiAggregator, namespace string, destinations []string) Terms {
	t := Terms{
		Hostname:         a.Spec.Hostname,
		Implementation:   a.Spec.Gateway.Implementation,
		GatewayNamespace: a.Spec.Gateway.Namespace,
		GatewayName:      Name(a),
		Listener:         HTTPSListener(a),
		Unpublished:      a.Spec.DNS != nil && !*a.Spec.DNS.Enabled,
		Admitted:         namespace == a.Namespace,
		Delegations:      map[string]bool{},
		Destinations:     destinations,
		Port:             Port(a),
	}
	if len(a.Spec.AllowedNamespaces) > 0 {
		t.Admitted = field.MatchNamespace(a.Spec.AllowedNamespaces, namespace)
	}
	if b := a.Spec.RequestBody; b != nil {
		t.DefaultBody, t.MaxBody = b.Default, b.Max
	}
	for _, d := range a.Spec.Delegations {
		if path, err := httppath.Parse(d.Prefix); err == nil { // always, for a valid spec
			t.Delegations[path.Key] = field.MatchNamespace(d.Namespaces, namespace)
		}
	}
	return t
}

// termsForm is what the digest of terms is made of, frozen with v0.1.0.
var termsForm = fingerprint.Form{
	"": "Hostname Implementation GatewayNamespace GatewayName Listener Unpublished DefaultBody MaxBody Admitted Delegations Destinations",
}

// Digest returns a short text that differs whenever the terms do. It is stored with
// each target, and another one has all targets run.
func (t Terms) Digest() string { return termsForm.Digest(t) }

// Delegated reports whether the namespace may publish a path, given by its key: of
// the delegations that cover it the longest decides. It returns that prefix.
func (t Terms) Delegated(key string) (prefix string, ok bool) {
	ok = true
	for p, allowed := range t.Delegations {
		if httppath.Covers(p, key) && (prefix == "" || len(p) > len(prefix)) {
			prefix, ok = p, allowed
		}
	}
	return prefix, ok
}

// URL returns the address of the host.
func (t Terms) URL() string { return address(t.Hostname, t.Port) }

// URL returns the address of an aggregator's host.
func URL(a *v1alpha1.ApiAggregator) string { return address(a.Spec.Hostname, Port(a)) }

func address(host string, port int32) string {
	if port == 0 {
		return "https://" + host
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// Port returns the port under which clients reach the HTTPS listener, 0 where that is
// the one of HTTPS or is not known. The port of a listener of Traefik is that of its
// entry point, which a Service in front of it maps to another.
func Port(a *v1alpha1.ApiAggregator) int32 {
	p := a.Spec.Gateway.Ports
	if p == nil || p.HTTPS == 443 || a.Spec.Gateway.Implementation == v1alpha1.Traefik {
		return 0
	}
	return p.HTTPS
}

// Request returns the aggregator's identity.
func Request(a *v1alpha1.ApiAggregator) identity.Request {
	return identity.Request{Kind: "ApiAggregator", Namespace: a.Namespace, Name: a.Name}
}

// Name returns the name of the aggregator's Gateway on the workload clusters.
func Name(a *v1alpha1.ApiAggregator) string {
	return cmp.Or(a.Spec.Gateway.Name, Request(a).ObjectName())
}

// HTTPSListener returns the name of the listener for the APIs.
func HTTPSListener(a *v1alpha1.ApiAggregator) string {
	return cmp.Or(listeners(a).HTTPS, "https")
}

// HTTPListener returns the name of the listener for the redirect to HTTPS.
func HTTPListener(a *v1alpha1.ApiAggregator) string {
	return cmp.Or(listeners(a).HTTP, "http")
}

func listeners(a *v1alpha1.ApiAggregator) v1alpha1.Listeners {
	if l := a.Spec.Gateway.Listeners; l != nil {
		return *l
	}
	return v1alpha1.Listeners{}
}

// DNSIgnore are the annotations by which external-dns leaves an object alone. It
// ignores what names another controller than its own. The prefix changed in its
// v0.22, without a fallback, so both are given.
func DNSIgnore() map[string]string { return dnsAnnotation("controller", "none") }

// DNSTarget are the annotations by which external-dns points a host elsewhere
// than to the Gateway's addresses.
func DNSTarget(target string) map[string]string { return dnsAnnotation("target", target) }

func dnsAnnotation(key, value string) map[string]string {
	return map[string]string{
		"external-dns.alpha.kubernetes.io/" + key: value,
		"external-dns.kubernetes.io/" + key:       value,
	}
}
