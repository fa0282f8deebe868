package gatewaytest

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// Traefik answers as Traefik v3.6.12 does with its default configuration.
//
// Each match of each rule is a router of its own, with a number for a priority
// (pkg/provider/kubernetes/gateway/httproute.go): 100000 for an Exact path, 1 for the
// prefix /, else 10000 and 100 for each byte of the prefix; 1000 more for a method;
// the bytes of the longest hostname; and the number of rules from its own to the
// route's last. The highest that matches serves (pkg/muxer/http). Routers are added in
// the order of a Go map and sorted unstably, so of equals any may serve: all of these
// are the answers. The age of a route does not count.
//
// A path is cleaned first (pkg/server/server_entrypoint_tcp.go): encodings of
// unreserved characters are decoded, slashes merged, dot segments removed; a # is
// refused. Then everything but reserved characters and % is decoded, for matching alone
// (withRoutingPath). What a route says is compared with that as it is, so a value with
// an encoding that is decoded there is never met.
//
// A rewrite works on the path decoded in full (pkg/middlewares/gatewayapi/urlrewrite):
// the prefix is cut as text if it is there, what remains is joined and cleaned, and the
// whole is encoded anew.
//
// An ExtensionRef to a Middleware that is missing has the router not built at all: the
// request goes to the next that matches. One to any other kind is answered with 500. A rule without backends
// answers 503.
func Traefik(routes []Route, request Request) []Answer {
	u, ok := traefikClean(request.Path)
	if !ok {
		return []Answer{own(400)}
	}
	routing, _ := decode(u.EscapedPath(), func(c byte) bool { return strings.IndexByte(":/?#[]@!$&'()*+,;=%", c) >= 0 }, strings.ToUpper)
	var matching []place
	highest := 0
	for _, p := range places(routes, request) {
		priority := traefikPriority(p)
		if !traefikMatches(p.match, request.method(), routing) || priority < highest || traefikDrops(p.rule()) {
			continue
		}
		if priority > highest {
			matching, highest = nil, priority
		}
		matching = append(matching, p)
	}
	if len(matching) == 0 {
		return []Answer{own(404)}
	}
	answers := make([]Answer, len(matching))
	for i, p := range matching {
		answers[i] = traefikServes(p, *u)
	}
	return answers
}

// traefikClean returns a request's path after the entry point.
func traefikClean(raw string) (*url.URL, bool) {
	u, err := url.ParseRequestURI(raw)
	if err != nil || !strings.HasPrefix(raw, "/") || strings.Contains(u.RawPath, "#") {
		return nil, false
	}
	if u.RawPath != "" {
		u.RawPath, _ = decode(u.RawPath, reserved, strings.ToUpper)
	}
	return u.JoinPath(), true
}

func traefikPriority(p place) int {
	priority := len(p.route.Rules) - p.index
	switch m := p.match; {
	case m.Exact:
		priority += 100000
	case m.Path == "/":
		priority++
	default:
		priority += 10000 + 100*len(m.Path)
	}
	if p.match.Method != "" {
		priority += 1000
	}
	longest := 0
	for _, h := range p.route.Hostnames {
		longest = max(longest, len(h))
	}
	return priority + longest
}

func traefikMatches(m Match, method, routing string) bool {
	switch {
	case m.Method != "" && m.Method != method:
		return false
	case m.Exact:
		return routing == m.Path
	}
	return separated(m.Path, routing)
}

// traefikDrops reports whether no router is built for a rule.
func traefikDrops(r Rule) bool {
	return slices.ContainsFunc(r.Filters, func(f Filter) bool {
		return f.Type == ExtensionRef && f.Kind == "Middleware" && f.Missing
	})
}

func traefikServes(p place, u url.URL) Answer {
	for _, f := range p.rule().Filters {
		if f.Type == ExtensionRef && f.Kind != "Middleware" {
			return p.nobody(500)
		}
	}
	for _, f := range p.rule().Filters {
		switch f.Type {
		case RequestRedirect:
			return p.nobody(f.Status)
		case URLRewrite:
			to := path.Join(f.ReplacePrefix, strings.TrimPrefix(u.Path, p.match.Path))
			if strings.HasSuffix(u.Path, "/") && !strings.HasSuffix(to, "/") {
				to += "/"
			}
			u.Path = to
			u.RawPath = u.EscapedPath() // the old one, if it is still an encoding of the new
		}
	}
	return p.forwards(u.EscapedPath(), 503)
}
