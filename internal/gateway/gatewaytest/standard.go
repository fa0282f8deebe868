package gatewaytest

import (
	"cmp"
	"slices"
)

// Standard answers as the text of HTTPRouteRule in the Gateway API v1.6.3 says that
// every implementation must: Exact before prefixes, the prefix of most characters, a
// match with a method before one without; of equals the oldest route, then the first by
// namespace/name, then the first rule. The text does not say in which spelling a path is
// matched, so the answers are those by the path as it was sent and by its normal
// form. A rule that forwards to nobody answers 500.
//
// Conditions that the routes here cannot have (headers, query parameters) are left out.
func Standard(routes []Route, request Request) []Answer {
	s := spell(request.Path)
	var answers []Answer
	for _, path := range append([]string{s.raw}, s.normal...) {
		a := standard(places(routes, request), request, path)
		if !slices.ContainsFunc(answers, a.equal) {
			answers = append(answers, a)
		}
	}
	return answers
}

func standard(all []place, request Request, path string) Answer {
	best, ok := firstOf(all, request, path, func(a, b Match) int {
		return cmp.Or(
			ordered(a.Exact, b.Exact),
			cmp.Compare(len(trimmed(a.Path)), len(trimmed(b.Path))),
			ordered(a.Method != "", b.Method != ""),
		)
	})
	if !ok {
		return own(404)
	}
	for _, f := range best.rule().Filters {
		switch f.Type {
		case RequestRedirect:
			return best.nobody(f.Status)
		case ExtensionRef: // what it may do is unknown; that it is not skipped is not
			if f.Missing {
				return best.nobody(500)
			}
		case URLRewrite:
			path = replaced(path, best.match.Path, f.ReplacePrefix)
		}
	}
	return best.forwards(path, 500)
}

// firstOf returns the place that matches a path as it is spelled, and of several
// the one that compares highest, then the first.
func firstOf(all []place, request Request, path string, compare func(a, b Match) int) (place, bool) {
	var best place
	found := false
	for _, p := range all {
		m := p.match
		if m.Method != "" && m.Method != request.method() || m.Exact && m.Path != path || !m.Exact && !separated(m.Path, path) {
			continue
		}
		if !found || compare(m, best.match) > 0 {
			best, found = p, true
		}
	}
	return best, found
}

// ordered compares two truths: true is higher.
func ordered(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (a Answer) equal(b Answer) bool { return a.String() == b.String() }
