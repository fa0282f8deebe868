package gatewaytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// Random draws what teams ask for under one host, and requests that come in. Paths are
// of few segments, so that they meet, and some are such as data planes read differently.
// What a seed gives is always the same.
type Random struct {
	*rand.Rand
	// Seed is where it began.
	Seed uint64
}

// NewRandom begins with a seed.
func NewRandom(seed uint64) Random { return Random{rand.New(rand.NewPCG(seed, 19)), seed} }

var segments = []string{
	"a", "b", "ab", "api", "orders", "v1", "a(b", "a+b", "*", "(", "a$", "a;b", "a%3Bb", "a:b", "a%3ab", "caf%C3%A9", "a%20b", "%21", "!", "~a", "a%7Eb", "'", "a,b=c&d@e",
	"_ngf-internal-rule0-route0", "_ngf", ".well-known", "acme-challenge", strings.Repeat("l", 300),
}

// One returns one of some texts.
func (r Random) One(of ...string) string { return of[r.IntN(len(of))] }

// Path is one that somebody may want to publish.
func (r Random) Path() string {
	p := ""
	for range r.IntN(4) {
		p += "/" + r.One(segments[:1+r.IntN(len(segments))]...)
	}
	return max(p, "/")
}

// Aggregator is one that admits all, with delegations that its implementation can close.
func (r Random) Aggregator(i aggregator.Implementation, host string) aggregator.ApiAggregatorSpec {
	s := aggregator.ApiAggregatorSpec{
		Hostname: host, Gateway: aggregator.Gateway{Implementation: i, ClassName: "judged", Namespace: "gateways"}, TLS: &aggregator.TLS{SecretName: "judged"}, AllowedNamespaces: []string{"*"},
	}
	if i != aggregator.Standard && r.IntN(3) == 0 {
		s.RequestBody = &aggregator.RequestBody{Default: "1Mi"}
	}
	for range r.IntN(3) {
		d := aggregator.Delegation{Prefix: r.Path(), Namespaces: []string{r.One("team-a", "team-b", "*")}}
		s.Delegations = append(s.Delegations, d)
		s.Default()
		if s.Validate() != nil || gateway.Delegable(i, d.Prefix) != nil {
			s.Delegations = s.Delegations[:len(s.Delegations)-1]
		}
	}
	return s
}

// Delegated returns the delegated prefixes of an aggregator in normal form.
func Delegated(s aggregator.ApiAggregatorSpec) []string {
	var prefixes []string
	for _, d := range s.Delegations {
		if p, err := httppath.Parse(d.Prefix); err == nil {
			prefixes = append(prefixes, p.Value)
		}
	}
	return prefixes
}

// Target is one that is valid. The service has the given name.
func (r Random) Target(i aggregator.Implementation, service string) v1alpha1.ApiAggregatorTargetSpec {
	for {
		s := v1alpha1.ApiAggregatorTargetSpec{
			AggregatorRef: v1alpha1.AggregatorRef{Name: "public-api", Namespace: "platform"},
			Backends:      []v1alpha1.Backend{{Service: service, Port: 80}},
		}
		for range 1 + r.IntN(4) {
			path := v1alpha1.Path{Path: r.Path(), Type: v1alpha1.Prefix}
			if r.IntN(4) == 0 {
				path.Type = v1alpha1.Exact
			}
			for range r.IntN(3) * r.IntN(2) {
				if m := v1alpha1.Method(r.One(gateway.Methods...)); !slices.Contains(path.Methods, m) {
					path.Methods = append(path.Methods, m)
				}
			}
			if path.Type == v1alpha1.Prefix {
				path.AllowNested = r.IntN(2) == 0
				if r.IntN(4) == 0 {
					path.RewritePrefix = r.Path()
				}
			}
			if i != aggregator.Standard && r.IntN(4) == 0 {
				path.MaxRequestBodySize = field.Size("1Mi")
			}
			s.Paths = append(s.Paths, path)
		}
		s.Default()
		if s.Validate() == nil {
			return s
		}
	}
}

// Request is one for a path that somebody has, or for what looks like one; delegated
// prefixes are among those that nobody has.
func (r Random) Request(host string, claims []Claim, delegated []string) Request {
	p := r.Path()
	if r.IntN(4) > 0 && len(claims) > 0 {
		p = claims[r.IntN(len(claims))].Value
	} else if len(delegated) > 0 && r.IntN(2) == 0 {
		p = delegated[r.IntN(len(delegated))]
	}
	if r.IntN(2) == 0 {
		p = strings.TrimSuffix(p, "/") + "/" + r.One(append([]string{"", "..", ".", "x%2e", "%61", "%C3%A9", "%c3%a9", "y"}, segments...)...)
	}
	switch r.IntN(8) {
	case 0: // one byte of it is encoded
		at := 1 + r.IntN(len(p))
		if at < len(p) && p[at] != '%' && p[at] != '/' && !strings.Contains(p[max(0, at-2):at], "%") {
			p = p[:at] + fmt.Sprintf("%%%02x", p[at]) + p[at+1:]
		}
	case 1:
		p = "/" + p
	case 2:
		p = strings.Replace(p, "/", "/z/../", 1)
	case 3:
		p = "/_ngf-internal-rule0-route0/.." + p
	case 4:
		p = strings.ToLower(p)
	}
	methods := append([]string{"PROPFIND", "GET", "GET"}, gateway.Methods...)
	return Request{Listener: "https", Host: host, Method: r.One(methods...), Path: p}
}
