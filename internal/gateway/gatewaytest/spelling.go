package gatewaytest

import (
	"slices"
	"strconv"
	"strings"
)

// decode returns a text with its percent-encodings decoded, those that keep says yes
// to left as spell has them, and whether all were well-formed; one that is not stays as it is.
func decode(s string, keep func(byte) bool, spell func(string) string) (string, bool) {
	var b strings.Builder
	all := true
	for i := 0; i < len(s); i++ {
		c, ok := encoded(s[i:])
		switch {
		case !ok:
			all = all && s[i] != '%'
			b.WriteByte(s[i])
			continue
		case keep(c):
			b.WriteString(spell(s[i : i+3]))
		default:
			b.WriteByte(c)
		}
		i += 2
	}
	return b.String(), all
}

// encoded returns the byte whose percent-encoding a text begins with.
func encoded(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(n), err == nil
}

func reserved(c byte) bool { return !unreserved(c) }

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func none(byte) bool { return false }

// merged returns a path with runs of slashes made one.
func merged(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// dotless returns a path without the segments . and .., as RFC 3986 removes them in
// section 5.2.4: what would lead above the root leads to it.
func dotless(path string) string {
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

// spellings are the readings of a path that an implementation may judge it by.
type spellings struct {
	// raw is the path as it was sent; normal are its normal forms.
	raw    string
	normal []string
	// decoded are the normal forms of what it decodes to.
	decoded []string
}

// spell returns the readings of a path. A normal form is more than one where nobody says
// which is meant: where slashes that are merged meet .. segments (/a//../b is /b or /a/b
// by which goes first), and where a dot segment is the last (/a/. is /a/ by the RFC and /a
// by cleaners of file paths). Some leave out the step of section 6.2.2.1: the encodings of a
// path without its dots may be in upper case, or as they were sent. One that is malformed
// stays as it is.
func spell(raw string) spellings {
	normal := func(keep func(byte) bool, spellings ...func(string) string) []string {
		var forms []string
		for _, spelled := range spellings {
			path, _ := decode(raw, keep, spelled)
			ways := []string{merged(dotless(path)), dotless(merged(path))}
			forms = append(forms, ways...)
			if strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..") {
				forms = append(forms, trimmed(ways[0]), trimmed(ways[1]))
			}
		}
		slices.Sort(forms)
		return slices.Compact(forms)
	}
	return spellings{raw: raw, normal: normal(reserved, strings.ToUpper, asSent), decoded: normal(none, asSent)}
}

func asSent(encoding string) string { return encoding }

// reading is a path as somebody reads it.
type reading struct {
	path string
	// key says that it is decoded, so that claims are compared with it by their keys.
	key bool
}

// readings returns every one, raw first.
func (s spellings) readings() []reading {
	found := []reading{{s.raw, false}}
	for _, path := range s.normal {
		found = append(found, reading{path, false})
	}
	for _, path := range s.decoded {
		found = append(found, reading{path, true})
	}
	return found
}
