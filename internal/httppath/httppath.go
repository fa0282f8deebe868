// Package httppath holds the rules for the paths that requests may publish: the
// Gateway API's own, and the stricter ones without which two spellings of one
// path could have two owners.
package httppath

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/baleen-platform/baleen/internal/field"
)

// MaxLength is the Gateway API's limit for a path match, in bytes.
const MaxLength = 1024

// MaxSegments bounds how many prefixes lie above a path, each of which may have
// an owner to look up.
const MaxSegments = 32

// characters is the Gateway API's rule for HTTPPathMatch values of the types
// Exact and PathPrefix.
var characters = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$`)

// Path is a valid path in two forms.
type Path struct {
	// Value is what is emitted: the path as asked for, with percent-encodings of
	// unreserved characters decoded and the others in upper case (RFC 3986,
	// section 6.2.2).
	Value string
	// Key is what is owned: fully decoded and without a trailing slash, because
	// data planes differ in which encodings they decode before they match, and
	// a prefix match ignores the slash.
	Key string
}

// Parse checks a path and normalises it. Its error completes the sentence "the
// path …".
func Parse(raw string) (Path, error) {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s %s", field.Quote(raw), fmt.Sprintf(format, args...))
	}
	switch {
	case len(raw) > MaxLength:
		return Path{}, fail("is %d bytes long: at most %d are allowed", len(raw), MaxLength)
	case !strings.HasPrefix(raw, "/"):
		return Path{}, fail("must begin with /")
	case strings.Count(raw, "/") > MaxSegments:
		return Path{}, fail("has %d segments: at most %d are allowed", strings.Count(raw, "/"), MaxSegments)
	case strings.ContainsAny(raw, "{}"):
		return Path{}, fail("contains { or }: paths have no templates and no regular expressions, so write the prefix before it, such as /users for /users/{id}/orders")
	case strings.ContainsAny(raw, `?#\`):
		return Path{}, fail(`contains a character that no path may have, percent-encoded or not: leave out ?, # and \`)
	case !characters.MatchString(raw):
		return Path{}, fail("contains a character that a path may not have: percent-encode what is not A-Z a-z 0-9 or one of -._~!$&'()*+,;=:@/, if your gateway serves that (Envoy Gateway does)")
	}
	var value, key strings.Builder
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' {
			value.WriteByte(c)
			key.WriteByte(c)
			continue
		}
		// characters guarantees two hexadecimal digits.
		n, _ := strconv.ParseUint(raw[i+1:i+3], 16, 8)
		c = byte(n)
		if c < ' ' || c == 0x7f || strings.IndexByte(`/\%?#`, c) >= 0 {
			return Path{}, fail("contains %s, which servers read in different ways: leave it out", raw[i:i+3])
		}
		if unreserved(c) {
			value.WriteByte(c)
		} else {
			value.WriteString(strings.ToUpper(raw[i : i+3]))
		}
		key.WriteByte(c)
		i += 2
	}
	p := Path{Value: value.String(), Key: key.String()}
	if !utf8.ValidString(p.Key) {
		return Path{}, fail("does not decode to UTF-8: encode it as UTF-8")
	}
	for _, r := range p.Key {
		if !unicode.IsPrint(r) { // could look like another's path, and break the line of a message
			return Path{}, fail("contains the invisible character %U: leave it out", r)
		}
	}
	// Checked on the decoded form too, where %2e%2e has become two dots.
	for s := range strings.SplitSeq(strings.TrimPrefix(p.Key, "/"), "/") {
		switch {
		case s == "." || s == "..":
			return Path{}, fail("contains the segment %q: write the path it leads to", s)
		case s == "" && strings.Contains(p.Key, "//"):
			return Path{}, fail("contains //: write a single slash")
		}
	}
	if p.Key != "/" {
		p.Key = strings.TrimSuffix(p.Key, "/")
	}
	return p, nil
}

// Covers reports whether a path lies at or below a prefix, segment by segment as
// the Gateway API's PathPrefix matches: /a covers /a/b and not /ab. Both are keys.
func Covers(prefix, key string) bool {
	return prefix == "/" || key == prefix || strings.HasPrefix(key, prefix+"/")
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
