package gatewaytest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// NGINX answers as NGINX Gateway Fabric v2.6.7 has nginx do: it writes the locations that
// the controller would (internal/controller/nginx/config/servers.go) and follows nginx
// through them.
//
// The matches of all routes with one path and one type share their locations; they are
// sorted, those with a method first, then by age and name (internal/controller/state/dataplane).
// A prefix /p has the locations "= /p", unless there is an Exact /p, and "/p/", unless there is
// a prefix /p/. Where there is one match without a method, the location forwards. Else it
// runs a script (httpmatches.js), which redirects to an internal location,
// /_ngf-internal-ruleN-routeM, of the first match that has the method, or answers 404.
//
// nginx decodes the path in full, merges slashes and removes dot segments (above the root:
// 400), and looks for the location: an equal one, then the longest that it begins with, as text.
// A path that lacks only the slash of a location that forwards is redirected to it.
//
// A location without a rewrite forwards the path as it was sent. One with a rewrite replaces
// the value of the prefix, taken as a regular expression, in the path that nginx matched, and
// encodes the outcome, % included. In an internal location the path is first made what was sent, as it
// was sent; if the expression does not match that, nginx looks for a location again, and internal ones
// count.
//
// The locations, the rewrites and the encoding agree with nginx 1.22.1 and the controller's
// script on 24000 random requests. Without a location nginx answers methods other than GET and
// HEAD with 405, which is 404 here.
//
// A rule is left out if a path begins with /_ngf-internal or has one of ; { } or blanks, or if
// a method is TRACE or CONNECT (internal/controller/state/graph/httproute.go). One with a $ in its
// rewrite, or with an ExtensionRef that is missing or of another kind than its own, answers 500, and
// so does one without backends. Requests by TRACE and CONNECT are answered with 405.
//
// The expression is Go's here and PCRE's there. Both refuse what is unbalanced or repeats
// nothing; a *+ or ++, which PCRE does not go back on, is a * or + here.
func NGINX(routes []Route, request Request) []Answer {
	s, broken := nginxLocations(places(routes, request))
	if broken != "" {
		return []Answer{{Broken: broken}}
	}
	path, ok := nginxClean(request.Path)
	switch {
	case !ok:
		return []Answer{own(400)}
	case request.method() == "TRACE", request.method() == "CONNECT":
		return []Answer{own(405)}
	}
	return []Answer{s.answer(request, path)}
}

// nginxLocation is a location block.
type nginxLocation struct {
	exact    bool
	name     string
	internal bool
	// matches are those that the script tries; else forward is where it forwards to.
	matches []nginxMatch
	forward *place
	rewrite *nginxRewrite
}

type nginxMatch struct {
	method, to string
}

type nginxRewrite struct {
	regex       *regexp.Regexp
	replacement string
}

type nginxServer []nginxLocation

// nginxRefuses reports whether the controller leaves a rule out.
func nginxRefuses(r Rule) bool {
	return slices.ContainsFunc(r.Matches, func(m Match) bool {
		return strings.HasPrefix(m.Path, "/_ngf-internal") || strings.ContainsAny(m.Path, "{}; \t\r\n") ||
			m.Method != "" && !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}, m.Method)
	})
}

// nginxLocations returns the locations of a server, or why nginx refuses them.
func nginxLocations(all []place) (nginxServer, string) {
	type key struct {
		path  string
		exact bool
	}
	rules := map[key][]place{}
	for _, p := range all {
		if !nginxRefuses(p.rule()) {
			k := key{p.match.Path, p.match.Exact}
			rules[k] = append(rules[k], p)
		}
	}
	var keys []key
	for k := range rules {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.path, b.path), ordered(b.exact, a.exact))
	})
	var s nginxServer
	for n, k := range keys {
		places := rules[k]
		slices.SortStableFunc(places, func(a, b place) int { return ordered(b.match.Method != "", a.match.Method != "") })
		var outer nginxLocation
		if len(places) == 1 && places[0].match.Method == "" {
			var err error
			if outer, err = nginxForwards(places[0]); err != nil {
				return nil, err.Error()
			}
		} else {
			for m, p := range places {
				inner, err := nginxForwards(p)
				if err != nil {
					return nil, err.Error()
				}
				inner.name, inner.internal = fmt.Sprintf("/_ngf-internal-rule%d-route%d", n, m), true
				outer.matches = append(outer.matches, nginxMatch{p.match.Method, inner.name})
				s = append(s, inner)
			}
		}
		add := func(name string, exact bool) {
			l := outer
			l.name, l.exact = name, exact
			s = append(s, l)
		}
		switch {
		case k.exact || strings.HasSuffix(k.path, "/"):
			add(k.path, k.exact)
		default:
			if _, ok := rules[key{k.path + "/", false}]; !ok {
				add(k.path+"/", false)
			}
			if _, ok := rules[key{k.path, true}]; !ok {
				add(k.path, true)
			}
		}
	}
	return s, ""
}

// nginxForwards returns a location, without its name, that does what a rule says.
func nginxForwards(p place) (nginxLocation, error) {
	l := nginxLocation{forward: &p}
	if f, ok := p.rule().filter(URLRewrite); ok && !p.match.Exact && nginxStatus(p) == 0 {
		var err error
		if l.rewrite, err = nginxRewrites(p.match.Path, f.ReplacePrefix); err != nil {
			return l, err
		}
	}
	return l, nil
}

// nginxRewrites returns what the rewrite directive of a prefix does.
func nginxRewrites(prefix, by string) (*nginxRewrite, error) {
	by = cmp.Or(by, "/")
	literal := strings.ReplaceAll(prefix, "$", `\$`)
	expression, replacement := "^"+literal+"([^?]*)?", by
	switch {
	case strings.HasSuffix(by, "/") && !strings.HasSuffix(prefix, "/"):
		expression = "^" + literal + "(?:/([^?]*))?"
	case strings.HasSuffix(prefix, "/") && !strings.HasSuffix(by, "/"):
		replacement += "/"
	}
	regex, err := regexp.Compile(strings.NewReplacer("*+", "*", "++", "+").Replace(expression))
	if err != nil {
		return nil, fmt.Errorf("nginx refuses the rewrite of %s: %w", prefix, err)
	}
	return &nginxRewrite{regex, replacement}, nil
}

// nginxStatus returns the status that a rule is answered with without its backends, 0 for none.
func nginxStatus(p place) int {
	for _, f := range p.rule().Filters {
		known := slices.Contains([]string{"SnippetsFilter", "AuthenticationFilter"}, f.Kind) && !f.Missing
		if f.Type == ExtensionRef && !known || f.Type == URLRewrite && strings.ContainsAny(f.ReplacePrefix, "${}; \t\r\n") {
			return 500
		}
	}
	if f, ok := p.rule().filter(RequestRedirect); ok {
		return f.Status
	}
	return 0
}

// nginxClean returns the path that nginx matches, and false if it refuses it.
func nginxClean(raw string) (string, bool) {
	raw, _, _ = strings.Cut(raw, "#")
	decoded, ok := decode(raw, none, asSent)
	if !ok || !strings.HasPrefix(raw, "/") || strings.Contains(decoded, "\x00") {
		return "", false
	}
	depth := 0
	path := merged(decoded)
	for s := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		switch s {
		case "..":
			if depth--; depth < 0 {
				return "", false
			}
		case ".", "":
		default:
			depth++
		}
	}
	return dotless(path), true
}

// answer follows a request through the locations.
func (s nginxServer) answer(request Request, path string) Answer {
	internal, changed := false, false
	for range 10 { // as often as nginx looks
		l, status := s.find(path, internal)
		switch {
		case l == nil:
			return own(status)
		case len(l.matches) > 0:
			i := slices.IndexFunc(l.matches, func(m nginxMatch) bool { return m.method == "" || m.method == request.method() })
			if i < 0 {
				return own(404)
			}
			path, internal, changed = l.matches[i].to, true, true
			continue
		}
		p := *l.forward
		if status := nginxStatus(p); status != 0 {
			return p.nobody(status)
		}
		if l.rewrite == nil {
			if changed && !l.internal {
				return p.forwards(nginxEncode(path), 500)
			}
			return p.forwards(request.Path, 500)
		}
		if l.internal {
			path = request.Path
		}
		at := l.rewrite.regex.FindStringSubmatch(path)
		switch {
		case at != nil: // the rest of the path goes, and with it what is not captured
			return p.forwards(nginxEncode(l.rewrite.replacement+at[1]), 500)
		case !l.internal && !changed:
			return p.forwards(request.Path, 500)
		case !l.internal:
			return p.forwards(nginxEncode(path), 500)
		}
		internal, changed = true, true
	}
	return own(500)
}

// find returns the location of a path, or what nginx answers without one.
func (s nginxServer) find(path string, internal bool) (*nginxLocation, int) {
	var best *nginxLocation
	for i := range s {
		l := &s[i]
		switch {
		case l.exact && l.name == path:
			return l, 0 // the only one: no two are equal
		case !l.exact && strings.HasPrefix(path, l.name) && (best == nil || len(l.name) > len(best.name)):
			best = l
		}
	}
	for _, l := range s {
		if l.name == path+"/" && len(l.matches) == 0 && nginxStatus(*l.forward) == 0 {
			return nil, 301
		}
	}
	if best == nil || best.internal && !internal {
		return nil, 404
	}
	return best, 0
}

// nginxEncode returns a path as nginx forwards one that it has changed.
func nginxEncode(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"#%<>?\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
