package gateway

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"

	target "github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

const (
	traefik, nginx  = v1alpha1.Traefik, v1alpha1.NGINXGatewayFabric
	envoy, standard = v1alpha1.EnvoyGateway, v1alpha1.Standard
)

var all = []v1alpha1.Implementation{traefik, nginx, envoy, standard}

// A header is set as it was asked for, or refused where the implementation would make
// something else of it.
func TestHonoursHeader(t *testing.T) {
	type refused = map[v1alpha1.Implementation]string
	same := func(words string) refused {
		return refused{traefik: words, nginx: words, envoy: words, standard: words}
	}
	const change, hop = "cannot have a change of the header", "which belongs to the connection"
	for _, header := range []struct {
		name, value string
		refused     refused
	}{
		{"X-Team-1", "orders team", nil},
		{"X-Team-1", "", nil},
		{"Host", "a", same(change)},
		{"host", "", same(change)},
		{"Connection", "close", same(hop)},
		{"Content-Length", "5", same(hop)},
		{"Keep-Alive", "a", same(hop)},
		{"Proxy-Authenticate", "a", same(hop)},
		{"Proxy-Authorization", "abc", same(hop)},
		{"Proxy-Connection", "a", same(hop)},
		{"TE", "trailers", same(hop)},
		{"Trailer", "a", same(hop)},
		{"Transfer-Encoding", "chunked", same(hop)},
		{"transfer-encoding", "", same(hop)},
		{"Upgrade", "a", same(hop)},
		{"X-Forwarded-For", "10.0.0.1", refused{traefik: change}},
		{"x-forwarded-for", "", refused{traefik: change}},
		{"X-Forwarded-Host", "a", nil},
		{"X-Real-IP", "", nil},
		{"Expect", "100-continue", refused{nginx: change}},
		{"X-Envoy-Retry-On", "5xx", refused{envoy: change}},
		{"X-Envoy", "5xx", nil},
		{"Accept-Encoding", "br", nil},
		{"Accept-Encoding", "", refused{traefik: `Traefik cannot remove the header "Accept-Encoding": leave it out, or set it`}},
		{"X_Team", "a", refused{nginx: "cannot have _ in the name"}},
		{"X-Team", "100%", refused{envoy: "cannot have % in the value", standard: "cannot have % in the value"}},
		{"X-Team", "100%20", refused{envoy: "cannot have % in the value", standard: "cannot have % in the value"}},
		{"X-Team", "a  b", refused{envoy: "cannot have two blanks in a row in the value"}},
		{"X-Team", "a \tb", refused{envoy: "cannot have two blanks in a row in the value"}},
		{"X-Team", "a\tb", nil},
		{"X-Team", `a"b`, refused{nginx: `cannot have " in the value`}},
		{"X-Team", `a$b`, refused{nginx: `cannot have $ in the value`}},
		{"X-Team", `a\b`, refused{nginx: `cannot have \ in the value`}},
	} {
		for _, i := range all {
			t.Run(fmt.Sprintf("%s: %s/%s", header.name, header.value, i), func(t *testing.T) {
				err := HonoursHeader(i, header.name, header.value)
				wantRefusal(t, err, header.refused[i])
				if Withdraws(err) {
					t.Error("it is withdrawn")
				}
			})
		}
	}
}

// A path that the implementation would not serve as it was asked for is refused.
func TestHonoursPath(t *testing.T) {
	type refused = map[v1alpha1.Implementation]string
	get := []target.Method{"GET"}
	for _, c := range []struct {
		name     string
		route    Route
		refused  refused
		withdraw bool // on NGINX Gateway Fabric
	}{
		{"a plain one", Route{Path: "/a", Rewrite: "/b"}, nil, false},
		{"all characters", Route{Path: "/aZ09-._~!$&'()*+,=:@"}, nil, false},
		{"a semicolon", Route{Path: "/a;b"}, refused{nginx: "does not serve paths with ;: publish one without it"}, false},
		{"a semicolon in the rewrite", Route{Path: "/a", Rewrite: "/b;c"}, refused{nginx: "cannot rewrite to a path with ;"}, false},
		{"a dollar", Route{Path: "/a$b"}, nil, false},
		{"a dollar in the rewrite", Route{Path: "/a", Rewrite: "/b$c"}, refused{nginx: "cannot rewrite to a path with $: choose a rewritePrefix without it"}, false},
		{"the dot of a regular expression", Route{Path: "/v1.2", Rewrite: "/"}, nil, false},
		{"methods", Route{Path: "/a", Methods: []target.Method{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}}, nil, false},
		{"TRACE", Route{Path: "/a", Methods: []target.Method{"GET", "TRACE"}}, refused{nginx: "does not serve the method TRACE: leave it out"}, false},
		{"CONNECT", Route{Path: "/a", Methods: []target.Method{"CONNECT"}}, refused{nginx: "does not serve the method CONNECT: leave it out"}, false},
		{"methods and a rewrite", Route{Path: "/m", Methods: get, Rewrite: "/v1"}, refused{nginx: "does not serve methods together with rewritePrefix: leave one of them out"}, false},
		{"a letter of another alphabet", Route{Path: "/caf%C3%A9"}, refused{traefik: "does not serve paths with %C3%A9: publish one without it", nginx: "does not serve paths with %C3%A9: publish"}, false},
		{"a blank", Route{Path: "/a%20b", Methods: get}, refused{traefik: "does not serve paths with %20:", nginx: "does not serve paths with %20:"}, false},
		{"what is reserved", Route{Path: "/a%21%5Db"}, refused{nginx: "does not serve paths with %21:"}, false},
		{"what is reserved, and a rewrite", Route{Path: "/a%21b", Rewrite: "/v1"}, refused{traefik: "does not serve paths with %21 and rewritePrefix: publish a path without it, or leave rewritePrefix out", nginx: "does not serve paths with %21:"}, false},
		{"a rewrite to what is encoded", Route{Path: "/o", Rewrite: "/a%20b"}, refused{traefik: "cannot rewrite to a path with %20:", nginx: "cannot rewrite to a path with %20:"}, false},
		{"a rewrite to what Go encodes", Route{Path: "/o", Rewrite: "/a(b"}, refused{traefik: "cannot rewrite to a path with (:"}, false},
		{"a bracket and a rewrite", Route{Path: "/a(b", Rewrite: "/"}, refused{nginx: "reads ( in a path with rewritePrefix as a regular expression: publish a path without it, or leave rewritePrefix out"}, true},
		{"a bracket after what is encoded", Route{Path: "/%20a)b", Rewrite: "/"}, refused{nginx: "reads ) in", traefik: "%20"}, true},
		{"a star and a rewrite", Route{Path: "/a*b", Rewrite: "/v1"}, refused{nginx: "reads * in"}, true},
		{"a plus and a rewrite", Route{Path: "/a+b", Rewrite: "/v1"}, refused{nginx: "reads + in"}, true},
		{"a dollar and a rewrite", Route{Path: "/a$b", Rewrite: "/v1"}, refused{nginx: "reads $ in"}, true},
		{"the root to a prefix", Route{Path: "/", Rewrite: "/v1"}, refused{envoy: "cannot rewrite the path / to /v1, because /a would arrive as /v1a: publish a longer path, or leave rewritePrefix out"}, false},
		{"the root to a prefix with a slash", Route{Path: "/", Rewrite: "/v1/"}, refused{envoy: "cannot rewrite the path / to /v1/, because /a would arrive as /v1a:"}, false},
		{"the root to itself", Route{Path: "/", Rewrite: "/"}, nil, false},
		{"a prefix to the root", Route{Path: "/a", Rewrite: "/"}, nil, false},
	} {
		for _, i := range all {
			t.Run(c.name+"/"+string(i), func(t *testing.T) {
				err := HonoursPath(i, c.route)
				wantRefusal(t, err, c.refused[i])
				if want := c.withdraw && i == nginx; Withdraws(err) != want {
					t.Errorf("what is published is withdrawn: %t", !want)
				}
			})
		}
	}
}

// Every character is either in the list of a feature or refused by its name: what
// nobody thought of is refused.
func TestEveryCharacterIsDecided(t *testing.T) {
	for _, i := range all {
		of := implementations[i]
		for feature, try := range map[string]struct {
			set set
			ask func(text string) error
		}{
			"path":         {of.path, func(s string) error { return HonoursPath(i, Route{Path: "/a" + s}) }},
			"with methods": {of.withMethods, func(s string) error { return HonoursPath(i, Route{Path: "/a" + s, Methods: []target.Method{"GET"}}) }},
			"with rewrite": {of.withRewrite, func(s string) error { return HonoursPath(i, Route{Path: "/a" + s, Rewrite: "/b"}) }},
			"rewrite":      {of.rewrite, func(s string) error { return HonoursPath(i, Route{Path: "/a", Rewrite: "/b" + s}) }},
			"name":         {of.name, func(s string) error { return HonoursHeader(i, "a"+s+"a", "a") }},
			"value":        {of.value, func(s string) error { return HonoursHeader(i, "a", "a"+s+"a") }},
		} {
			t.Run(string(i)+"/"+feature, func(t *testing.T) {
				for b := range 256 {
					plain, encoded := string([]byte{byte(b)}), fmt.Sprintf("%%%02X", b)
					letter := b < 0x80 && (unicode.IsLetter(rune(b)) || unicode.IsDigit(rune(b)))
					name := plain
					if b == ' ' {
						name = "a blank"
					} else if b < ' ' || b > '~' {
						name = fmt.Sprintf("%q", plain)
					}
					decide(t, try.ask(plain), plain, name, letter || strings.Contains(try.set.marks, plain))
					if name = encoded; try.set.plain {
						name = "%"
					}
					decide(t, try.ask(encoded), encoded, name, strings.Contains(try.set.marks, "%") || strings.IndexByte(try.set.encoded, byte(b)) >= 0)
				}
			})
		}
	}
}

// decide fails the test unless a character is taken, or refused by its name.
func decide(t *testing.T, err error, character, name string, allowed bool) {
	t.Helper()
	var refusal *Refusal
	switch {
	case allowed && err != nil, !allowed && err == nil:
		t.Errorf("%q is allowed: %t, and it says %v", character, allowed, err)
	case err == nil:
	case !errors.As(err, &refusal):
		t.Errorf("%q: %v is no refusal", character, err)
	case !strings.Contains(err.Error(), " "+name+" ") && !strings.Contains(err.Error(), " "+name+":"):
		t.Errorf("%q is not named: %v", character, err)
	}
}

// A header is sent once, under the name that the implementation has for it.
func TestHeaderName(t *testing.T) {
	for given, want := range map[string]string{
		"x-forwarded-for": "X-Forwarded-For", "X-FORWARDED-HOST": "X-Forwarded-Host", "X-forwarded-Port": "X-Forwarded-Port", "x-forwarded-proto": "X-Forwarded-Proto",
		"x-real-ip": "X-Real-IP", "X-Real-Ip": "X-Real-IP", "X-Real-IP": "X-Real-IP", "x-team": "x-team", "X-Real-IPs": "X-Real-IPs",
	} {
		for _, i := range append(all, "Other") {
			t.Run(given+"/"+string(i), func(t *testing.T) {
				want := want
				if i != nginx {
					want = given
				}
				if got := HeaderName(i, given); got != want {
					t.Errorf("it is %s, want %s", got, want)
				}
			})
		}
	}
}

// A backend without weight gets nothing, where the last one would get a little.
func TestBackends(t *testing.T) {
	backends := func(weights ...int32) []target.Backend {
		var all []target.Backend
		for i, w := range weights {
			b := target.Backend{Service: fmt.Sprint("s", i), Weight: &w}
			if w < 0 {
				b.Weight = nil
			}
			all = append(all, b)
		}
		return all
	}
	for name, c := range map[string]struct {
		weights []int32
		want    string // on NGINX Gateway Fabric
	}{
		"none is zero": {[]int32{1, 9, 5}, "s0 s1 s2"}, "the last is zero": {[]int32{1, 2, 0}, "s2 s0 s1"}, "the first is zero": {[]int32{0, 1}, "s0 s1"},
		"two are zero": {[]int32{3, 0, 2, 0}, "s1 s3 s0 s2"}, "no weight is one": {[]int32{-1, 0}, "s1 s0"}, "one": {[]int32{1}, "s0"},
	} {
		for _, i := range append(all, "Other") {
			t.Run(name+"/"+string(i), func(t *testing.T) {
				given := backends(c.weights...)
				got := Backends(i, given)
				if !reflect.DeepEqual(given, backends(c.weights...)) {
					t.Error("it changes what it was given")
				}
				var names []string
				for _, b := range got {
					names = append(names, b.Service)
				}
				want := c.want
				if i != nginx {
					want = "s0 s1 s2 s3"[:3*len(c.weights)-1]
				}
				if strings.Join(names, " ") != want {
					t.Errorf("they are %s, want %s", names, want)
				}
			})
		}
	}
}
