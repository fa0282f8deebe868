package gateway

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// capabilities are what an implementation honours. Each is known from a conformance
// report, from the implementation's source or from the wire; what is emitted and not
// honoured would be served otherwise than it was asked for, so it is refused.
type capabilities struct {
	// timeouts of routes.
	timeouts bool
	// fixed are the headers, in lower case, that it does not let a route change.
	fixed []string
	// names and values of headers, routes (paths and what they are rewritten to) and
	// rewrites are texts that it does not take.
	names, values, routes, rewrites []text
	// limit gives a limit for request bodies the form that the implementation's object
	// has it in; it is empty where none is to be emitted. It is nil where there is none.
	limit func(field.Size) (string, error)
}

// text is a kind of text, and what the refusal of it says.
type text struct {
	is  func(string) bool
	say string
}

func containing(characters, say string) text {
	return text{func(s string) bool { return strings.ContainsAny(s, characters) }, say}
}

var (
	// Envoy expands % in values, and takes nothing new for any route any more while one
	// value is malformed, which Envoy Gateway passes on.
	percent = containing("%", "% in the value of the header")
	blanks  = text{regexp.MustCompile(`[\t ]{2}`).MatchString, "two blanks in a row in the value of the header"}
	// What of these is emitted NGINX Gateway Fabric refuses, and does not serve the route.
	quotes  = containing(`"$\`, `", $ or \ in the value of the header`)
	letters = text{regexp.MustCompile(`[^A-Za-z0-9-]`).MatchString, "characters other than A-Z, a-z, 0-9 and - in the name of the header"}
)

// implementations are those that Baleen knows. One that is not here honours nothing.
var implementations = map[v1alpha1.Implementation]capabilities{
	// It accepts timeouts and ignores them.
	v1alpha1.Traefik: {limit: traefikLimit},
	v1alpha1.NGINXGatewayFabric: {
		fixed:    []string{"host", "connection", "upgrade"},
		names:    []text{letters},
		values:   []text{quotes},
		routes:   []text{containing(";", "has no paths with a semicolon")},
		rewrites: []text{containing("$", "cannot rewrite to a path with $")},
		limit:    nginxLimit,
	},
	v1alpha1.EnvoyGateway: {
		timeouts: true,
		fixed:    []string{"host"},
		values:   []text{percent, blanks},
		limit:    envoyLimit,
	},
	// Nothing is known of it, so what the standard channel offers is emitted; it may be
	// made of Envoy.
	v1alpha1.Standard: {
		timeouts: true,
		fixed:    []string{"host"},
		values:   []text{percent},
	},
}

func unknown(i v1alpha1.Implementation) error {
	return fmt.Errorf("nothing is known of the implementation %s: ask the platform team to set spec.gateway.implementation to one that Baleen knows", field.Quote(string(i)))
}

// HonoursTimeout reports whether an implementation honours a route's timeouts.
func HonoursTimeout(i v1alpha1.Implementation) bool { return implementations[i].timeouts }

// HonoursHeader returns an error for the owner if an implementation does not set
// a header to a value as it is.
func HonoursHeader(i v1alpha1.Implementation, name, value string) error {
	of, ok := implementations[i]
	if !ok {
		return unknown(i)
	}
	fail := func(what string) error {
		return fmt.Errorf("spec.requestHeaders: %s cannot have %s %s: leave it out", i, what, field.Quote(name))
	}
	if slices.Contains(of.fixed, strings.ToLower(name)) {
		return fail("a change of the header")
	}
	if say := first(of.names, name); say != "" {
		return fail(say)
	}
	if say := first(of.values, value); say != "" {
		return fail(say)
	}
	return nil
}

// HonoursPath returns an error for the owner if an implementation does not serve
// a path or a rewrite because of its characters.
func HonoursPath(i v1alpha1.Implementation, path, rewrite string) error {
	of, ok := implementations[i]
	if !ok {
		return unknown(i)
	}
	if say := cmp.Or(first(of.routes, path), first(of.routes, rewrite), first(of.rewrites, rewrite)); say != "" {
		return fmt.Errorf("%s %s: leave it out", i, say)
	}
	return nil
}

// first returns what the first kind of text that s is has to say, nothing if it is none.
func first(kinds []text, s string) string {
	for _, k := range kinds {
		if k.is(s) {
			return k.say
		}
	}
	return ""
}

// BodyLimit returns the limit to emit for a path in the form that the
// implementation's object has it: bytes for Traefik, a quantity for Envoy
// Gateway, a size of nginx for NGINX Gateway Fabric. It is empty where none is
// to be emitted. The error is for the path's owner.
func BodyLimit(i v1alpha1.Implementation, limit field.Size) (string, error) {
	of, ok := implementations[i]
	switch {
	case ok && of.limit != nil:
		return of.limit(limit)
	case limit == "":
		return "", nil
	case !ok:
		return "", unknown(i)
	}
	return "", fmt.Errorf("the implementation %s has no limit for request bodies: leave out maxRequestBodySize", i)
}

// traefikLimit is none unless it is asked for, as with Envoy Gateway: both buffer whole
// bodies to limit them.
func traefikLimit(limit field.Size) (string, error) {
	if limit == "" {
		return "", nil
	}
	return fmt.Sprint(limit.Bytes()), nil
}

func envoyLimit(limit field.Size) (string, error) {
	if limit.Bytes() >= 4<<30 { // it counts in 32 bits
		return "", fmt.Errorf("body limits of Envoy Gateway are below 4Gi: ask for less than %s", limit)
	}
	return string(limit), nil
}

// nginxDefault is NGINX Gateway Fabric's own limit. It is always emitted, so that
// what holds can be read and does not change with an upgrade.
const nginxDefault field.Size = "1Mi"

// nginxLimit writes a size as nginx does, in at most four digits of bytes or of
// binary k, m or g.
func nginxLimit(limit field.Size) (string, error) {
	limit = cmp.Or(limit, nginxDefault)
	n, suffix := limit.Bytes(), ""
	for _, unit := range []string{"k", "m", "g"} {
		if n%1024 != 0 {
			break
		}
		n, suffix = n/1024, unit
	}
	if n > 9999 {
		return "", fmt.Errorf("NGINX Gateway Fabric cannot express the body limit %s exactly: use a whole number of Ki, Mi or Gi up to 9999", limit)
	}
	return fmt.Sprint(n) + suffix, nil
}
