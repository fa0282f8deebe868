package subject

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// A subject is printable tokens with dots between them, and wildcards stand alone.
// Each row is named by its subject.
func TestCheck(t *testing.T) {
	const empty, characters, literal, early = "has an empty token", "not printable ASCII", "taken literally", "has > before its end"
	for s, want := range map[string]string{
		"orders": "", "orders.created": "", "*": "", ">": "", "*.*": "", "orders.*.x": "", "orders.>": "", "*.>": "",
		"$SYS.REQ": "", "_INBOX.>": "", "a-b_c:d/e": "", "a{b}": "", "~.!": "", strings.Repeat("a", 256): "",
		"":  `"" is empty: write`,
		".": empty, ".a": empty, "a.": empty, "a..b": empty, ">.": early,
		" ": characters, "a b": characters, "a.\t": characters, "a\n": characters, "a.\x00": characters, "a\x7f": characters,
		"é": characters, "a\u00a0b": characters, "a\u200bb": characters, "\xff": characters, "orders.> queue": characters,
		">.a": early, "a.>.b": early, ">.>": early,
		"a*": literal, "*a": literal, "**": literal, ">>": literal, "*>": literal, "a.b>": literal, "a.*b.c": `"a.*b.c" has the token "*b", in which`,
		strings.Repeat("a", 257): "is 257 bytes long: at most 256",
	} {
		t.Run(s, func(t *testing.T) {
			err := Check(s)
			if want == "" && err != nil {
				t.Errorf("Check(%q) = %v", s, err)
			}
			if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("Check(%q) = %v, want an error with %q", s, err, want)
			}
		})
	}
}

// What is allowed covers what is asked for if it allows all of it.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		allowed, asked string
		want           bool
	}{
		{"orders.>", "orders.created", true}, {"orders.>", "orders.*", true}, {"orders.>", "orders.*.x", true}, {"orders.>", "orders.>", true},
		{"orders.*", "orders.created", true}, {"orders.*", "orders.*", true}, {"orders", "orders", true},
		{">", ">", true}, {">", "*", true}, {">", "a.b", true}, {"*.>", "a.>", true}, {"*.>", "*.*.>", true},
		{"orders.*", "orders.>", false}, {"orders.*", "orders", false}, {"orders.*", "orders.a.b", false}, {"orders.>", "orders", false},
		{"orders.a", "orders.*", false}, {"orders", "order", false}, {"orders.>", "order.a", false}, {"orders.>", ">", false}, {"orders.>", "*.a", false},
		{"*", ">", false}, {"*.>", ">", false}, {"a.>", "*.>", false}, {"Orders.>", "orders.a", false},
		{"", "", false}, {">", "", false}, {">", "a..b", false}, {">", "a b", false}, {"a..b", "a..b", false}, {"a*", "a*", false}, {"*a", "ba", false},
		{"a.>.b", "a.x", false}, {"a.x", "a.>.b", false},
	} {
		t.Run(c.allowed+" over "+c.asked, func(t *testing.T) {
			if got := Covers(c.allowed, c.asked); got != c.want {
				t.Errorf("Covers(%q, %q) = %v", c.allowed, c.asked, got)
			}
			if c.want && !Overlaps(c.allowed, c.asked) {
				t.Errorf("Overlaps(%q, %q) = false", c.allowed, c.asked)
			}
			if (Check(c.allowed) != nil || Check(c.asked) != nil) && Overlaps(c.allowed, c.asked) {
				t.Errorf("Overlaps(%q, %q), of which one is no subject", c.allowed, c.asked)
			}
		})
	}
}

// tokens returns all subjects of at most depth tokens out of some.
func tokens(depth int, some ...string) []string {
	all := append([]string{}, some...)
	for last := all; depth > 1; depth-- {
		var longer []string
		for _, s := range last {
			for _, token := range some {
				longer = append(longer, s+"."+token)
			}
		}
		all, last = append(all, longer...), longer
	}
	return all
}

// One pattern covers another if and only if, to the server, each subject that the
// other matches is matched by it; the two overlap if there is one that both match. c stands for all that no pattern names, and the
// subjects are one token longer than the patterns, so that * and > differ.
func TestCoversAllThatMatches(t *testing.T) {
	var patterns []string
	for _, p := range tokens(3, "a", "b", "*", ">") {
		if Check(p) == nil {
			patterns = append(patterns, p)
		}
	}
	matches := map[string][]bool{}
	for _, s := range tokens(4, "a", "b", "c") {
		for _, p := range patterns {
			matches[p] = append(matches[p], server.SubjectMatchesFilter(s, p))
		}
	}
	covered := 0
	for _, allowed := range patterns {
		for _, asked := range patterns {
			want, overlap := true, false
			for i, matched := range matches[asked] {
				want = want && (!matched || matches[allowed][i])
				overlap = overlap || matched && matches[allowed][i]
			}
			if got := Overlaps(allowed, asked); got != overlap {
				t.Errorf("Overlaps(%q, %q) = %v", allowed, asked, got)
			}
			if want {
				covered++
			}
			if got := Covers(allowed, asked); got != want {
				t.Errorf("Covers(%q, %q) = %v", allowed, asked, got)
			}
		}
	}
	if len(patterns) != 52 || covered <= len(patterns) {
		t.Errorf("%d patterns, of which %d cover another", len(patterns), covered)
	}
}

// Only a value that is one token takes the place of a variable.
func TestExpand(t *testing.T) {
	for _, c := range []struct{ pattern, namespace, name, want, err string }{
		{pattern: "orders.>", want: "orders.>"},
		{pattern: "", want: ""},
		{pattern: "{{namespace}}.>", namespace: "team-a", want: "team-a.>"},
		{pattern: "{{namespace}}.{{name}}.{{name}}", namespace: "team-a", name: "orders", want: "team-a.orders.orders"},
		{pattern: "_INBOX_{{name}}.>", name: "orders", want: "_INBOX_orders.>"},
		{pattern: "{{namespace}}.>", namespace: "team-a", name: "a.b", want: "team-a.>"},
		{pattern: "{{namespace}}", namespace: "{{name}}", name: "x", want: "{{name}}"},
		{pattern: "a.{{name}}", name: "b.c", err: `"a.{{name}}" cannot have "b.c" in the place of {{name}}`},
		{pattern: "a.{{namespace}}", namespace: "b.c", err: "one token"},
		{pattern: "a.{{name}}", name: "", err: "one token"},
		{pattern: "a.{{name}}", name: ">", err: "one token"},
		{pattern: "a.{{name}}", name: "*", err: "one token"},
		{pattern: "a.{{name}}", name: "b c", err: "one token"},
		{pattern: "a.{{user}}", err: `"a.{{user}}" has braces`},
		{pattern: "{{ name }}", err: "has braces"}, {pattern: "{{Name}}", err: "has braces"}, {pattern: "{name}", err: "has braces"},
		{pattern: "{{name", err: "has braces"}, {pattern: "name}}", err: "has braces"}, {pattern: "{{name}}}", err: "has braces"},
		{pattern: "{{{name}}}", err: "has braces"}, {pattern: "{{na{{name}}me}}", err: "has braces"}, {pattern: "{", err: "has braces"}, {pattern: "a}", err: "has braces"},
	} {
		t.Run(c.pattern+" for "+c.namespace+"/"+c.name, func(t *testing.T) {
			got, err := Expand(c.pattern, c.namespace, c.name)
			if c.err == "" && (err != nil || got != c.want) {
				t.Errorf("Expand(%q, %q, %q) = %q, %v", c.pattern, c.namespace, c.name, got, err)
			}
			if c.err != "" && (err == nil || got != "" || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("Expand(%q, %q, %q) = %q, %v; want an error with %q", c.pattern, c.namespace, c.name, got, err, c.err)
			}
		})
	}
}

// Whatever the text: what is accepted the server accepts too, as printable ASCII
// on one line.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"a.b", "*.>", "a..b", ">.a", "a b", "a*", "é", "\x00", "a.\f", strings.Repeat("a.", 128)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := Check(s)
		if err == nil && (!server.IsValidSubject(s) || len(s) > MaxLength) {
			t.Errorf("Check accepts %q", s)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00\u0085") {
			t.Errorf("Check(%q) = %q", s, err)
		}
	})
}

// Whatever the texts: a subject covers itself, what is covered through another is
// covered, and all is as the server has it.
func FuzzCovers(f *testing.F) {
	for _, s := range [][3]string{{">", "a.>", "a.*.b"}, {"a.*", "a.>", "a.b"}, {"*.*", "a.*", "a.b"}, {"", ".", "a*"}, {"*.>", ">", "*"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, s := range []string{a, b, c} {
			if Covers(s, s) != (Check(s) == nil) {
				t.Errorf("Covers(%q, %[1]q) = %v", s, Covers(s, s))
			}
		}
		if Covers(a, b) && Covers(b, c) && !Covers(a, c) {
			t.Errorf("%q covers %q and that %q, but the first does not cover the last", a, b, c)
		}
		if Check(a) == nil && Check(b) == nil && Covers(a, b) != server.SubjectMatchesFilter(b, a) {
			t.Errorf("Covers(%q, %q) = %v, unlike the server", a, b, Covers(a, b))
		}
	})
}
