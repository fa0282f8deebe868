package gatewaytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baleen-platform/baleen/internal/httppath"
)

// Claim is a path that somebody has, as it was accepted.
type Claim struct {
	// Value is the path in the form that [httppath.Parse] gives; no two claims have the
	// same key.
	Value string
	// Exact says that it is this path alone, and not all below it.
	Exact bool
	Owner string
	// Methods are those that are open; none is all.
	Methods []string
	// Rewrite is what a prefix is rewritten to; empty is nothing.
	Rewrite string
}

// World is all that is agreed on under one host.
type World struct {
	Claims []Claim
	// Delegated are prefixes that only some may publish in, whoever they are.
	Delegated []string
}

// Verdict is one way in which a request may be answered.
type Verdict struct {
	// Owner is who serves; empty is nobody.
	Owner string
	// Value is the claim that the owner serves it by.
	Value string
	// Paths are what the owner may see as the path, each in any spelling: see [Same].
	Paths []string
}

// Judge returns all the ways in which a request may be answered. The last is always that
// nobody does.
//
// A request belongs to the owner of the longest path, claimed or delegated, that
// covers it, if the request's method is open there; else to nobody. A claim that is
// Exact covers its own value; any other, and a delegated prefix, covers what
// lies at or below it by whole segments. A delegated prefix without a claim belongs to
// nobody, and so does a method that a claim leaves out: neither falls to a shorter path.
//
// Which path a request has is open, since implementations differ in what they
// decode before they match, and the Gateway API does not say. It is read
//   - raw, as it was sent;
//   - in normal form: RFC 3986, section 6.2.2 (unreserved characters decoded, the
//     encodings of others in upper case or as they were sent, no segments . and ..), with
//     slashes merged;
//   - fully decoded, as the key that claims are held on: [httppath.Path] says why.
//
// Each reading has one owner, and each of these may serve it. A third never. A claim
// is compared by its value with the first two readings and by its key with the last.
// Where merging slashes and removing segments do not commute, a reading has both outcomes.
//
// A path that is rewritten arrives with its prefix replaced by whole segments, in any of
// the readings that the prefix covers; if it is the prefix itself, also with the slash
// that the rewrite ends with, since the Gateway API has no example of that. A path that
// is not rewritten arrives in any reading.
func (w World) Judge(request Request) []Verdict {
	var verdicts []Verdict
	readings := spell(request.Path).readings()
	for _, r := range readings {
		c, ok := w.covering(r.path, r.key)
		if !ok || len(c.Methods) > 0 && !slices.Contains(c.Methods, request.method()) ||
			slices.ContainsFunc(verdicts, func(v Verdict) bool { return v.Value == c.Value }) {
			continue
		}
		v := Verdict{Owner: c.Owner, Value: c.Value}
		for _, r := range readings {
			v.Paths = append(v.Paths, c.arrives(r)...)
		}
		verdicts = append(verdicts, v)
	}
	return append(verdicts, Verdict{})
}

// arrives returns the paths that the owner of a claim may see of a reading: with a rewrite
// none if it is not below the claim's prefix.
func (c Claim) arrives(r reading) []string {
	prefix := form(c.Value, r.key)
	switch {
	case c.Rewrite == "":
		return []string{r.path}
	case !separated(prefix, r.path):
		return nil
	case r.path == trimmed(prefix):
		return []string{replaced(r.path, prefix, c.Rewrite), c.Rewrite}
	}
	return []string{replaced(r.path, prefix, c.Rewrite)}
}

// form returns a path as readings are compared with it: its key, or itself.
func form(path string, key bool) string {
	if key {
		return Key(path)
	}
	return path
}

// Key returns the key of a path that claims are held on. It panics if the path is not
// one that can be claimed.
func Key(path string) string {
	p, err := httppath.Parse(path)
	if err != nil {
		panic(fmt.Sprintf("gatewaytest: the path %v", err))
	}
	return p.Key
}

// covering returns the claim of the longest path that covers one, and false if there is
// none or it is delegated and free. Paths are compared by their keys, or as they are.
func (w World) covering(path string, key bool) (Claim, bool) {
	var found Claim
	longest, claimed := "", false
	for _, c := range w.Claims {
		v := form(c.Value, key)
		covers := separated(v, path)
		if c.Exact {
			covers = v == path || key && v == trimmed(path) // a key has no slash at its end
		}
		if n := trimmed(v); covers && len(n) > len(longest) {
			found, longest, claimed = c, n, true
		}
	}
	for _, d := range w.Delegated {
		if v := trimmed(form(d, key)); separated(v, path) && len(v) > len(longest) {
			longest, claimed = v, false
		}
	}
	return found, claimed
}

// trimmed returns a path without the slash at its end, unless it is the root.
func trimmed(path string) string {
	if path == "/" {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

// Same reports whether two paths are spellings of one: they decode to the same, once.
// Slashes at the end count.
func Same(a, b string) bool {
	x, _ := decode(a, none, asSent)
	y, _ := decode(b, none, asSent)
	return x == y
}

// Admits reports whether one of the verdicts is that an owner gets the request with a
// path; an empty owner is nobody.
func Admits(verdicts []Verdict, owner, path string) bool {
	return slices.ContainsFunc(verdicts, func(v Verdict) bool {
		return v.Owner == owner && (owner == "" || slices.ContainsFunc(v.Paths, func(p string) bool { return Same(p, path) }))
	})
}

// Check returns an error for each answer of a model that the world does not admit, and
// for a configuration that does not work. The owner of an answer with backends is what
// owns returns.
func (w World) Check(model Model, routes []Route, request Request, owns func(Answer) string) []error {
	verdicts := w.Judge(request)
	var errs []error
	for _, a := range model(routes, request) {
		switch {
		case a.Broken != "":
			errs = append(errs, fmt.Errorf("%s %s: %v", request.method(), request.Path, a))
		case len(a.Backends) == 0: // nobody may always answer
		case !Admits(verdicts, owns(a), a.Path):
			errs = append(errs, fmt.Errorf("%s %s: %v, owned by %s: want one of %+v", request.method(), request.Path, a, owns(a), verdicts))
		}
	}
	return errs
}
