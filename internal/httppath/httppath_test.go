package httppath

import (
	"strings"
	"testing"
)

// A path has one spelling and one owner; what servers read in different ways has
// none. Each row is named by its path.
func TestParse(t *testing.T) {
	for _, c := range []struct{ raw, value, key, err string }{
		{raw: "/", value: "/", key: "/"},
		{raw: "/orders", value: "/orders", key: "/orders"},
		{raw: "/orders/", value: "/orders/", key: "/orders"},
		{raw: "/%6frders", value: "/orders", key: "/orders"},
		{raw: "/a%3bb", value: "/a%3Bb", key: "/a;b"},
		{raw: "/a;b", value: "/a;b", key: "/a;b"},
		{raw: "/caf%c3%a9", value: "/caf%C3%A9", key: "/café"},
		{raw: "/%61%7a%41%5a%30%39%2d%2e%5f%7e", value: "/azAZ09-._~", key: "/azAZ09-._~"},
		{raw: "/%60%7b%40%5b%3a", value: "/%60%7B%40%5B%3A", key: "/`{@[:"}, // the neighbours of those
		{raw: strings.Repeat("/a", 32), value: strings.Repeat("/a", 32), key: strings.Repeat("/a", 32)},
		{raw: "/" + strings.Repeat("a", 1023), value: "/" + strings.Repeat("a", 1023), key: "/" + strings.Repeat("a", 1023)},
		{raw: "/a.b/..c", value: "/a.b/..c", key: "/a.b/..c"},
		{raw: "", err: "must begin with /"},
		{raw: "orders", err: "must begin with /"},
		{raw: "//", err: "contains //"},
		{raw: "/a//b", err: "contains //"},
		{raw: "/a//", err: "contains //"},
		{raw: "/a/../b", err: `segment ".."`},
		{raw: "/a/../b//c", err: `segment ".."`},
		{raw: "/a/.", err: `segment "."`},
		{raw: "/%2e%2E/b", err: `segment ".."`},
		{raw: "/a%2fb", err: "%2f"},
		{raw: "/a%5Cb", err: "%5C"},
		{raw: "/a%252fb", err: "%25"},
		{raw: "/a%00", err: "contains %00, which servers"},
		{raw: "/a%1f", err: "contains %1f, which servers"},
		{raw: "/a%7f", err: "contains %7f, which servers"},
		{raw: "/a%ff", err: "UTF-8"},
		{raw: "/a%20b", value: "/a%20b", key: "/a b"},
		{raw: "/a%c2%85", err: "invisible character U+0085"},
		{raw: "/a%E2%80%8B", err: "invisible character U+200B"},
		{raw: "/a%E2%80%AE", err: "invisible character U+202E"},
		{raw: "/a#b", err: "no path may have, percent-encoded or not: leave out"},
		{raw: "/a?b", err: "no path may have, percent-encoded or not: leave out"},
		{raw: `/a\b`, err: "no path may have, percent-encoded or not: leave out"},
		{raw: "/users/{id}/orders", err: "paths have no templates and no regular expressions, so write the prefix before it"},
		{raw: "/a}", err: "contains { or }"},
		{raw: "/%7Bid%7D", value: "/%7Bid%7D", key: "/{id}"},
		{raw: "/a b", err: "percent-encode what is not"},
		{raw: "/a\n", err: "a character"},
		{raw: "/a%2", err: "a character"},
		{raw: "/\u0085", err: "a character"},
		{raw: strings.Repeat("/a", 33), err: "33 segments"},
		{raw: "/" + strings.Repeat("a", 1024), err: "1025 bytes"},
	} {
		t.Run(c.raw, func(t *testing.T) {
			got, err := Parse(c.raw)
			if c.err == "" && (err != nil || got != Path{c.value, c.key}) {
				t.Errorf("Parse(%q) = %+v, %v; want value %q and key %q", c.raw, got, err, c.value, c.key)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("Parse(%q) = %+v, %v; want an error with %q", c.raw, got, err, c.err)
			}
		})
	}
}

// A prefix covers whole segments.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		prefix, key string
		want        bool
	}{
		{"/", "/anything", true}, {"/a", "/a", true}, {"/a", "/a/b", true},
		{"/a", "/ab", false}, {"/a/b", "/a", false}, {"/", "/", true},
	} {
		t.Run(c.prefix+" over "+c.key, func(t *testing.T) {
			if got := Covers(c.prefix, c.key); got != c.want {
				t.Errorf("Covers(%q, %q) = %v", c.prefix, c.key, got)
			}
		})
	}
}

// Whatever the input: a valid path normalises to one that is valid, normalises
// to itself and has the same owner, and no spelling leaves the owner's tree.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/", "/a/", "/%6f", "/%2e%2e", "/a%3Bb", "//", "/caf%C3%A9", "/%", "/a/./b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := Parse(raw)
		if err != nil {
			return
		}
		again, err := Parse(p.Value)
		if err != nil || again != p {
			t.Errorf("Parse(%q) = %+v, but Parse of its value = %+v, %v", raw, p, again, err)
		}
		for _, bad := range []string{"//", "/../", "/./", "\\", "#", "?", "\x00", "%"} {
			if strings.Contains(p.Key+"/", bad) && p.Key != "/" {
				t.Errorf("the key %q of %q contains %q", p.Key, raw, bad)
			}
		}
		if p.Key != "/" && strings.HasSuffix(p.Key, "/") {
			t.Errorf("the key %q of %q ends with a slash", p.Key, raw)
		}
	})
}
