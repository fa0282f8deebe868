package field

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Sizes are those of Kubernetes, in whole bytes.
func TestSize(t *testing.T) {
	for size, want := range map[Size]int64{
		"1": 1, "1k": 1000, "1Ki": 1024, "2M": 2e6, "2Mi": 2 << 20, "3G": 3e9, "3Gi": 3 << 30, "999999999Gi": 999999999 << 30,
		"": 0, "0": 0, "01": 0, "-1": 0, "+1": 0, "1.5Mi": 0, "1e3": 0, "0x1": 0, "1m": 0, "1MB": 0, "1 Mi": 0, "1Mi\n": 0, "1000000000": 0, "Mi": 0, "١": 0,
	} {
		t.Run(string(size), func(t *testing.T) {
			if got := size.Bytes(); got != want {
				t.Errorf("%q has %d bytes, want %d", size, got, want)
			}
			var p Problems
			if p.Size("spec.size", size); (len(p) > 0) != (want == 0 && size != "") {
				t.Errorf("%q: %q", size, p)
			}
		})
	}
}

// Each check lets through what Kubernetes and the Gateway API do, and nothing
// that could be read as something else.
func TestNames(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	for name, c := range map[string]struct {
		check     func(*Problems, string, string)
		good, bad []string
	}{
		"label": {
			check: (*Problems).DNSLabel,
			good:  []string{"a", "team-a", "0", "1e3", "null", long(63)},
			bad:   []string{"", "A", "a.b", "-a", "a-", "a_b", "é", "a\n", "a\u0085", long(64)},
		},
		"subdomain": {
			check: (*Problems).DNSSubdomain,
			good:  []string{"a", "a.b-c.d", "0.1", long(253)},
			bad:   []string{"", "A", "a..b", ".a", "a.", "a.-b", "a/b", "*", "a b", long(254)},
		},
		"label name": {
			check: (*Problems).LabelName,
			good:  []string{"a", "eu.1", long(63)},
			bad:   []string{"", "a..b", "EU", long(64)},
		},
		"service": {
			check: (*Problems).ServiceName,
			good:  []string{"a", "orders-v2", "2orders", "0", long(63)},
			bad:   []string{"", "-a", "a.b", "a-", "A", long(64)},
		},
		"host": {
			check: (*Problems).Hostname,
			good:  []string{"localhost", "api.example.com", "1.example.com", "xn--bcher-kva.example", long(63) + ".a", strings.Repeat("a.", 126) + "a"},
			bad: []string{"", "API.example.com", "*.example.com", "a.", ".a", "a..b", "a_b", "-a.b", "a-.b", "192.0.2.1", "1234", "1.2", "::1", "fe80::1",
				"a:443", "https://a", "a/b", "bücher.example", "a b", "a\n", "a\u0085b", "a\x00", long(64) + ".a", strings.Repeat("a.", 126) + "aa"},
		},
		"host or address": {
			check: (*Problems).HostOrAddress,
			good:  []string{"lb.example.com", "192.0.2.1", "2001:db8::1", "2001:DB8::1", "::", "::ffff:192.0.2.1"},
			bad:   []string{"", "LB.example.com", "192.0.2", "192.0.2.256", "192.0.2.01", "lb:443", "[::1]", "fe80::1%eth0", "::1/128", ":::", "lb."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for value, want := range verdicts(c.good, c.bad) {
				var p Problems
				c.check(&p, "spec.name", value)
				if (len(p) == 0) != want {
					t.Errorf("%s: %q: %q", name, value, p)
				}
				if len(p) > 0 && (len(p) != 1 || !strings.HasPrefix(p[0], "spec.name ") || strings.ContainsAny(p[0], "\n\x00\u0085")) {
					t.Errorf("%s: %q: %q", name, value, p)
				}
				if value == "" && !reflect.DeepEqual(p, Problems{"spec.name is missing"}) {
					t.Errorf("%s, empty: %q", name, p)
				}
			}
		})
	}
}

func verdicts(good, bad []string) map[string]bool {
	all := map[string]bool{}
	for _, value := range good {
		all[value] = true
	}
	for _, value := range bad {
		all[value] = false
	}
	return all
}

func TestLabels(t *testing.T) {
	for label, want := range verdicts(
		[]string{"a=b", "a=", "example.com/a=B_c.d-1", strings.Repeat("a", 63) + "=" + strings.Repeat("b", 63)},
		[]string{"=a", "a b=c", "a=b c", "a/b/c=d", "-a=b", "a=-b", "A.com/a=b", strings.Repeat("a", 64) + "=b", "a=" + strings.Repeat("b", 64), "a=b\n", "a\n=b"},
	) {
		key, value, _ := strings.Cut(label, "=")
		var p Problems
		if p.Labels("spec.labels", map[string]string{key: value}); (len(p) == 0) != want || strings.Contains(strings.Join(p, ""), "\n") {
			t.Errorf("%q: %q", label, p)
		}
	}
}

func TestNamespacePatterns(t *testing.T) {
	for pattern, want := range verdicts(
		[]string{"*", "a", "team-*", "*-a", "t*m", strings.Repeat("a", 63)},
		[]string{"", "Team", "team-?", "team-[ab]", "-a", "a-", "a.b", "a/b", `a\*`, "a*\n", strings.Repeat("a", 64)},
	) {
		var p Problems
		if p.NamespacePatterns("spec.namespaces", []string{pattern}); (len(p) == 0) != want {
			t.Errorf("%q: %q", pattern, p)
		}
	}
	var p Problems
	p.NamespacePatterns("spec.namespaces", append(make([]string, 63), "a", "a"))
	if err := p.Err(); err == nil || !strings.HasPrefix(err.Error(), "spec.namespaces has 65 entries: at most 64 are allowed; ") {
		t.Error(err)
	}
	for _, c := range []struct {
		patterns, namespace string
		want                bool
	}{
		{"team-a", "team-a", true}, {"team-*", "team-", true}, {"team-*", "team-a-b", true}, {"*", "a", true}, {"a b", "b", true}, {"t*a", "team-a", true},
		{"", "a", false}, {"team-a", "team-ab", false}, {"team-*", "my-team-a", false}, {"[a-z]*[", "a", false},
	} {
		t.Run(c.patterns+" and "+c.namespace, func(t *testing.T) {
			if got := MatchNamespace(strings.Fields(c.patterns), c.namespace); got != c.want {
				t.Errorf("%q match %q: %v", c.patterns, c.namespace, got)
			}
		})
	}
}

// A status shows several problems, and neither a long list nor a long value.
func TestMessagesStayShort(t *testing.T) {
	var p Problems
	if p.Err() != nil {
		t.Error("no problem is an error")
	}
	for range 9 {
		p.Addf("%s", "x")
	}
	if got, want := p.Err().Error(), "x; x; x; x; x; and 4 more"; got != want || len(p) != 9 {
		t.Errorf("%s, want %s", got, want)
	}
	for value, want := range map[string]string{
		"a":                        `"a"`,
		"a\n\"b\"\u0085\x00":       `"a\n\"b\"\u0085\x00"`,
		strings.Repeat("ä", 64):    `"` + strings.Repeat("ä", 64) + `"`,
		strings.Repeat("ä", 65):    `"` + strings.Repeat("ä", 61) + `"…`,
		strings.Repeat("\n", 5000): `"` + strings.Repeat(`\n`, 61) + `"…`,
	} {
		t.Run(want, func(t *testing.T) {
			if got := Quote(value); got != want || !utf8.ValidString(got) {
				t.Errorf("Quote gives %s, want %s", got, want)
			}
		})
	}
}

// shape has all that specs are made of.
type shape struct {
	Text   string            `json:"text,omitempty"`
	Size   Size              `json:"size,omitempty"`
	Flag   *bool             `json:"flag,omitempty"`
	Number int32             `json:"number,omitempty"`
	Big    int64             `json:"big,omitempty"`
	List   []string          `json:"list,omitempty"`
	Map    map[string]string `json:"map,omitempty"`
	One    *shape            `json:"one,omitempty"`
	Many   []shape           `json:"many,omitempty"`
}

// What does not fit is named by where it is, what it must be and what it is, in
// the words of the one who wrote the YAML.
func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		"{text: a, size: 1Mi, flag: true, number: 7, big: 99999999999, list: [a], map: {a: b}, one: {text: a}, many: [{number: 1}, {}]}": "",
		"{text: null, flag: null, one: null, list: null, map: null}":                                                                     "",
		"{number: 1e3}": "", "{number: 7.0}": "", "{list: [], many: [], map: {}}": "",
		"null": "spec must be a map, not null", "text": "spec must be a map, not text", "[a]": "spec must be a map, not a list", "7": "spec must be a map, not 7",
		"{text: 7}":             "spec.text must be text, not 7: put quotes around it",
		"{text: yes}":           "spec.text must be text, not true: put quotes around it",
		"{text: 1.5}":           "spec.text must be text, not 1.5: put quotes around it",
		"{text: [a]}":           "spec.text must be text, not a list",
		"{size: 10}":            "spec.size must be text, not 10: put quotes around it",
		"{flag: 'true'}":        "spec.flag must be true or false, not text",
		"{flag: 1}":             "spec.flag must be true or false, not 1",
		"{number: '7'}":         "spec.number must be a whole number, not text",
		"{number: 7.5}":         "spec.number must be a whole number, not 7.5",
		"{number: 2147483648}":  "spec.number 2147483648 is far out of range",
		"{number: 1e30}":        "spec.number 1e+30 is far out of range",
		"{list: a}":             "spec.list must be a list, not text",
		"{list: {a: b}}":        "spec.list must be a list, not a map",
		"{list: [a, 7, null]}":  "spec.list[1] must be text, not 7: put quotes around it; spec.list[2] must be text, not null",
		"{map: [a]}":            "spec.map must be a map, not a list",
		`{map: {"a\nb": 7}}`:    `spec.map["a\nb"] must be text, not 7: put quotes around it`,
		"{map: {a: null}}":      `spec.map["a"] must be text, not null`,
		"{many: [{}, 7]}":       "spec.many[1] must be a map, not 7",
		"{many: [{list: [7]}]}": "spec.many[0].list[0] must be text, not 7: put quotes around it",
		"{one: {one: {flag: a}}, other: 1, Text: 2}": `there is no field "spec.Text": correct its name or leave it out; spec.one.one.flag must be true or false, not text; there is no field "spec.other": correct its name or leave it out`,
		`{"a\nb": 1}`: `there is no field "spec.a\nb": correct its name or leave it out`,
		"{'': 1}":     `there is no field "spec.": correct its name or leave it out`,
	} {
		t.Run(text, func(t *testing.T) {
			data, err := yaml.YAMLToJSON([]byte(text))
			var raw any
			if err == nil {
				err = utiljson.Unmarshal(data, &raw)
			}
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			var got string
			if err := Decode("spec", raw, &shape{}); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%s:\n%s, want\n%s", text, got, want)
			}
		})
	}
}

// Whatever the JSON: Decode takes what a strict decoder takes and gives the same,
// but for null in lists and maps, which to a decoder is an empty text.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"text":"a","many":[{"number":1}]}`, `{"number":1.5}`, `{"Text":1}`, `[]`, `{"number":1e400}`, `{"one":{"one":null}}`, `{"list":[null]}`, `{"flag":true,"flag":1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var raw any
		if utiljson.Unmarshal([]byte(text), &raw) != nil {
			return
		}
		data, err := utiljson.Marshal(raw)
		if err != nil || strings.Contains(string(data), "null") {
			return
		}
		var got, want shape
		err = Decode("spec", raw, &got)
		strict, failed := strictjson.UnmarshalStrict(data, &want)
		if (err == nil) != (failed == nil && len(strict) == 0) {
			t.Errorf("%s: %v, a strict decoder says %v %v", data, err, failed, strict)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, a strict decoder gives %+v", data, got, want)
		}
	})
}

// Values are listed as in a sentence.
func TestListed(t *testing.T) {
	for want, values := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		t.Run(want, func(t *testing.T) {
			if got := Listed(values); got != want {
				t.Errorf("it is %q", got)
			}
		})
	}
}

// A * stands for any characters of a text, slashes too.
func TestMatchText(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		is            bool
		matches       bool
	}{
		{"a", "a", true, true}, {"a", "b", true, false}, {"*", "a/b", true, true}, {"a/*", "a/b/c", true, true}, {"a/*", "b/a/c", true, false}, {"", "", false, true}, {"[", "[", false, false},
	} {
		if MatchText(test.pattern, test.text) != test.matches || IsPattern(test.pattern) != test.is {
			t.Errorf("%q matches %q: %t; it is a pattern: %t", test.pattern, test.text, MatchText(test.pattern, test.text), IsPattern(test.pattern))
		}
	}
}

// A long list is shown by its first five.
func TestFew(t *testing.T) {
	for want, values := range map[string][]string{
		"nothing": nil, "a": {"a"}, "a, b, c, d, e": {"a", "b", "c", "d", "e"}, "a, b, c, d, e, and 2 more": {"a", "b", "c", "d", "e", "f", "g"},
	} {
		t.Run(want, func(t *testing.T) {
			if got := Few(values); got != want {
				t.Errorf("it is %q", got)
			}
		})
	}
}
