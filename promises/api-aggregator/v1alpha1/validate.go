package v1alpha1

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/httppath"
)

// Read decodes an aggregator, fills in defaults and validates it, all as
// strictly as an API server with the CRD would. The error is one sentence.
func Read(object *unstructured.Unstructured) (*ApiAggregator, error) {
	a := &ApiAggregator{}
	a.Name, a.Namespace, a.Generation = object.GetName(), object.GetNamespace(), object.GetGeneration()
	if err := field.Decode("spec", object.Object["spec"], &a.Spec); err != nil {
		return nil, fmt.Errorf("ApiAggregator %s/%s is not valid: %w", a.Namespace, a.Name, err)
	}
	a.Spec.Default()
	if err := a.Spec.Validate(); err != nil {
		return nil, fmt.Errorf("ApiAggregator %s/%s is not valid: %w", a.Namespace, a.Name, err)
	}
	return a, nil
}

// Default fills in what the CRD's defaults fill in.
func (s *ApiAggregatorSpec) Default() {
	s.Gateway.Implementation = cmp.Or(s.Gateway.Implementation, Standard)
	yes := true
	s.HTTPRedirect = cmp.Or(s.HTTPRedirect, &yes)
	if s.DNS != nil {
		s.DNS.Enabled = cmp.Or(s.DNS.Enabled, &yes)
	}
	if r := s.Gateway.AllowedRoutes; r != nil {
		r.From = cmp.Or(r.From, "All")
	}
}

const (
	maxDelegations = 64
	maxOverrides   = 256
)

// Attached reports whether the aggregator attaches to a Gateway that exists.
func (s *ApiAggregatorSpec) Attached() bool { return s.Gateway.Name != "" }

// Validate checks a spec with its defaults filled in.
func (s *ApiAggregatorSpec) Validate() error {
	var p field.Problems
	p.Hostname("spec.hostname", s.Hostname)
	s.validateGateway(&p)
	if s.Attached() {
		if s.TLS != nil {
			p.Addf("spec.tls is refused with spec.gateway.name: the certificate is that Gateway's own affair")
		}
		if s.DNS != nil && s.DNS.Target != "" {
			p.Addf("spec.dns.target is refused with spec.gateway.name: external-dns reads it from that Gateway")
		}
		if len(s.PerDestination) > 0 {
			p.Addf("spec.perDestination is refused with spec.gateway.name: what it overrides belongs to that Gateway")
		}
	} else if s.TLS == nil {
		p.Addf("spec.tls is missing: set clusterIssuer or secretName")
	}
	s.TLS.validate("spec.tls", &p)
	if b := s.RequestBody; b != nil {
		p.Size("spec.requestBody.default", b.Default)
		p.Size("spec.requestBody.max", b.Max)
		if most := b.Max.Bytes(); most > 0 && b.Default.Bytes() > most {
			p.Addf("spec.requestBody.default %s is above spec.requestBody.max %s", b.Default, b.Max)
		}
		if s.Gateway.Implementation == Standard {
			p.Addf("spec.requestBody is refused with the implementation Standard: the Gateway API has no field for it")
		}
	}
	p.NamespacePatterns("spec.allowedNamespaces", s.AllowedNamespaces)
	s.validateDelegations(&p)
	if s.DNS != nil && s.DNS.Target != "" {
		p.HostOrAddress("spec.dns.target", s.DNS.Target)
	}
	p.Placement("spec.placement", s.Placement)
	s.validateOverrides(&p)
	return p.Err()
}

func (s *ApiAggregatorSpec) validateDelegations(p *field.Problems) {
	p.Count("spec.delegations", len(s.Delegations), 0, maxDelegations)
	seen := map[string]bool{}
	for _, d := range s.Delegations {
		path, err := httppath.Parse(d.Prefix)
		if err != nil {
			p.Addf("spec.delegations: the prefix %v", err)
		} else if seen[path.Key] {
			p.Addf("spec.delegations has the prefix %s twice", path.Key)
		}
		seen[path.Key] = true
		if len(d.Namespaces) == 0 {
			p.Addf("spec.delegations: the prefix %s names no namespaces", field.Quote(d.Prefix))
		}
		p.NamespacePatterns("spec.delegations.namespaces", d.Namespaces)
	}
}

func (s *ApiAggregatorSpec) validateOverrides(p *field.Problems) {
	p.Count("spec.perDestination", len(s.PerDestination), 0, maxOverrides)
	names := map[string]bool{}
	for _, o := range s.PerDestination {
		p.LabelName("spec.perDestination.name", o.Name)
		if names[o.Name] {
			p.Addf("spec.perDestination has %s twice", field.Quote(o.Name))
		}
		names[o.Name] = true
		o.TLS.validate("spec.perDestination.tls", p)
		if o.DNS != nil {
			p.HostOrAddress("spec.perDestination.dns.target", o.DNS.Target)
		}
	}
}

func (s *ApiAggregatorSpec) validateGateway(p *field.Problems) {
	g := s.Gateway
	switch g.Implementation {
	case Traefik, NGINXGatewayFabric, EnvoyGateway, Standard:
	default:
		p.Addf("spec.gateway.implementation %s is not one of Traefik, NGINXGatewayFabric, EnvoyGateway and Standard", field.Quote(string(g.Implementation)))
	}
	p.DNSLabel("spec.gateway.namespace", g.Namespace)
	if g.ClosingNamespace != "" {
		p.DNSLabel("spec.gateway.closingNamespace", g.ClosingNamespace)
	}
	if l := g.Listeners; l != nil {
		p.DNSSubdomain("spec.gateway.listeners.https", cmp.Or(l.HTTPS, "https"))
		p.DNSSubdomain("spec.gateway.listeners.http", cmp.Or(l.HTTP, "http"))
		if cmp.Or(l.HTTPS, "https") == cmp.Or(l.HTTP, "http") {
			p.Addf("spec.gateway.listeners has one name for both listeners")
		}
	}
	if s.Attached() {
		p.DNSSubdomain("spec.gateway.name", g.Name)
		if g.ClassName != "" || g.Ports != nil || g.AllowedRoutes != nil {
			p.Addf("spec.gateway.className, ports and allowedRoutes are refused with spec.gateway.name, which attaches to a Gateway that exists")
		}
		return
	}
	p.DNSSubdomain("spec.gateway.className", g.ClassName)
	if ports := g.Ports; ports != nil {
		for _, port := range []int32{ports.HTTPS, ports.HTTP} {
			if port < 0 || port > 65535 {
				p.Addf("spec.gateway.ports: %d is not a port (1 to 65535)", port)
			}
		}
		if cmp.Or(ports.HTTPS, 443) == cmp.Or(ports.HTTP, 80) {
			p.Addf("spec.gateway.ports has one port for both listeners")
		}
	}
	if r := g.AllowedRoutes; r != nil {
		if r.From != "All" && r.From != "Selector" {
			p.Addf("spec.gateway.allowedRoutes.from %s is not All or Selector", field.Quote(r.From))
		}
		if (r.From == "Selector") != (r.Selector != nil) {
			p.Addf("spec.gateway.allowedRoutes.selector goes with from: Selector, and with it alone")
		}
		validateSelector(p, "spec.gateway.allowedRoutes.selector", r.Selector)
	}
}

func validateSelector(p *field.Problems, name string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	p.Labels(name+".matchLabels", s.MatchLabels)
	for i, e := range s.MatchExpressions {
		if _, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: s.MatchExpressions[i : i+1]}); err != nil {
			p.Addf("%s.matchExpressions: {key: %s, operator: %s} is not valid: the key must be a label's name, the operator In or NotIn with values, or Exists or DoesNotExist without",
				name, field.Quote(e.Key), field.Quote(string(e.Operator)))
		}
	}
}

func (t *TLS) validate(name string, p *field.Problems) {
	if t == nil {
		return
	}
	switch {
	case (t.ClusterIssuer == "") == (t.SecretName == ""):
		p.Addf("%s needs exactly one of clusterIssuer and secretName", name)
	case t.ClusterIssuer != "":
		p.DNSSubdomain(name+".clusterIssuer", t.ClusterIssuer)
	default:
		p.DNSSubdomain(name+".secretName", t.SecretName)
	}
}
