package gatewaytest

import (
	"cmp"
	"regexp"
	"strings"
)

// Envoy answers as Envoy Gateway v1.9.0 has Envoy do by its defaults; its source of the
// three files below is the same on the main branch two months later.
//
// Routes are sorted (internal/gatewayapi/sort.go): Exact before prefixes, the longer value
// before the shorter, the prefix / last, a match with a method before one without; equals
// stay in the order of age, then namespace/name, then place.
//
// A path is cleaned before it is matched (internal/gatewayapi/listener.go and
// internal/xds/translator/listener.go: normalize_path, merge_slashes, and unescape and
// redirect for slashes): a request whose path has %2F or %5C is redirected to
// itself without; encodings of unreserved characters are decoded and dot segments removed,
// then slashes merged. The encodings of other characters stay as they were sent, in
// upper or lower case. A # and %00 are refused.
//
// A rewrite replaces the matched prefix as text; to / it cuts what follows of slashes
// too, by a regular expression of the value with its slash at the end
// (internal/xds/translator/route.go). The slash at the replacement's end is always cut, so
// the prefix / rewritten to /v1 or to /v1/ makes /v1users of /users.
//
// An ExtensionRef to an HTTPRouteFilter with a direct response answers with its status, one
// that is missing or of another kind with 500, and so does a rule without backends.
func Envoy(routes []Route, request Request) []Answer {
	path, status := EnvoyPath(request.Path)
	if status != 0 {
		return []Answer{own(status)}
	}
	length := func(m Match) int {
		if !m.Exact && m.Path == "/" {
			return 0
		}
		return len(m.Path)
	}
	best, ok := firstOf(places(routes, request), request, path, func(a, b Match) int {
		return cmp.Or(
			ordered(a.Exact, b.Exact),
			cmp.Compare(length(a), length(b)),
			ordered(a.Method != "", b.Method != ""),
		)
	})
	if !ok {
		return []Answer{own(404)}
	}
	return []Answer{envoyServes(best, path)}
}

// EnvoyPath returns a path as Envoy matches it, or the status that it answers with.
func EnvoyPath(raw string) (path string, status int) {
	lower := strings.ToLower(raw)
	switch {
	case !strings.HasPrefix(raw, "/"), strings.Contains(raw, "#"), strings.Contains(lower, "%00"):
		return "", 400
	case strings.Contains(lower, "%2f"), strings.Contains(lower, "%5c"):
		return "", 307
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch c, ok := encoded(raw[i:]); {
		case ok && unreserved(c):
			b.WriteByte(c)
			i += 2
		case raw[i] == '\\':
			b.WriteByte('/')
		default:
			b.WriteByte(raw[i])
		}
	}
	return merged(dotless(b.String())), 0
}

func envoyServes(p place, path string) Answer {
	for _, f := range p.rule().Filters {
		switch f.Type {
		case RequestRedirect:
			return p.nobody(f.Status)
		case ExtensionRef:
			if f.Kind != "HTTPRouteFilter" || f.Missing {
				return p.nobody(500)
			}
			if f.Status != 0 {
				return p.nobody(f.Status)
			}
		case URLRewrite:
			path = envoyRewrites(path, p.match.Path, f.ReplacePrefix)
		}
	}
	return p.forwards(path, 500)
}

func envoyRewrites(path, prefix, by string) string {
	if by == "" || by == "/" {
		cut := regexp.MustCompile("^" + regexp.QuoteMeta(prefix) + `/*`)
		if at := cut.FindStringIndex(path); at != nil {
			return "/" + path[at[1]:]
		}
		return path
	}
	matched := prefix
	if prefix != "/" {
		matched = strings.TrimSuffix(prefix, "/")
	}
	return strings.TrimSuffix(by, "/") + strings.TrimPrefix(path, matched)
}
