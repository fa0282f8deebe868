// Package field holds the types and checks of fields that several kinds share.
// Each type carries its rule for the CRD as a marker and repeats it in Go,
// because a pipeline does not trust that a schema was installed.
package field

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Size is a number of bytes above zero: an integer with an optional suffix of
// Kubernetes quantities, decimal (k, M, G) or binary (Ki, Mi, Gi), for example 10Mi.
//
// +kubebuilder:validation:MaxLength=12
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[1-9][0-9]{0,8}(k|Ki|M|Mi|G|Gi)?$')`,message="is not a size such as 10Mi: write at most nine digits, the first not 0, and k, M, G, Ki, Mi, Gi or nothing"
type Size string

var (
	size  = regexp.MustCompile(`^([1-9][0-9]{0,8})(k|Ki|M|Mi|G|Gi)?$`)
	units = map[string]int64{"": 1, "k": 1e3, "Ki": 1 << 10, "M": 1e6, "Mi": 1 << 20, "G": 1e9, "Gi": 1 << 30}
)

// Bytes returns the number of bytes, 0 for an empty or invalid size.
func (s Size) Bytes() int64 {
	m := size.FindStringSubmatch(string(s))
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // nine digits always fit
	return n * units[m[2]]
}

// Problems collects what is wrong with a spec, so that one run reports all of it.
type Problems []string

// Addf adds a problem: the field and what is wrong with it.
func (p *Problems) Addf(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// Err returns nil or one error, cut to a length that fits into a status.
func (p Problems) Err() error {
	const most = 5
	if len(p) == 0 {
		return nil
	}
	shown := p
	if len(p) > most {
		shown = append(slices.Clone(p[:most]), fmt.Sprintf("and %d more", len(p)-most))
	}
	return &InvalidError{All: p, text: strings.Join(shown, "; ")}
}

// InvalidError is what [Problems.Err] returns: a text that is cut, and all there is.
type InvalidError struct {
	All  Problems
	text string
}

func (e *InvalidError) Error() string { return e.text }

// Size adds a problem unless the size is empty or valid.
func (p *Problems) Size(name string, s Size) {
	if s != "" && s.Bytes() == 0 {
		p.Addf("%s %s is not a size such as 10Mi: write at most nine digits, the first not 0, and k, M, G, Ki, Mi, Gi or nothing", name, Quote(string(s)))
	}
}

// must adds a problem unless the value is ok: what it is not, or that it is missing.
func (p *Problems) must(ok bool, name, value, what string) {
	switch {
	case ok:
	case value == "":
		p.Addf("%s is missing", name)
	default:
		p.Addf("%s %s is not %s", name, Quote(value), what)
	}
}

// Count adds a problem unless a list or map has an allowed number of entries.
func (p *Problems) Count(name string, n, least, most int) {
	switch {
	case least <= n && n <= most:
	case least == 0:
		p.Addf("%s has %d entries: at most %d are allowed", name, n, most)
	default:
		p.Addf("%s has %d entries: %d to %d are allowed", name, n, least, most)
	}
}

// Set adds a problem for each value that is there twice, or more of them than allowed.
func (p *Problems) Set(name string, values []string, most int) {
	p.Count(name, len(values), 0, most)
	for i, value := range values {
		if slices.Contains(values[:i], value) {
			p.Addf("%s has %s twice", name, Quote(value))
		}
	}
}

// Listed writes values as a sentence lists them: A, B and C.
func Listed[T ~string](values []T) string {
	var b strings.Builder
	for i, value := range values {
		switch {
		case i > 0 && i == len(values)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(value))
	}
	return b.String()
}

// Few shows the first five of a list, and counts the others; an empty one is "nothing".
func Few[T ~string](values []T) string {
	const most = 5
	if len(values) == 0 {
		return "nothing"
	}
	var shown []string
	for _, v := range values[:min(len(values), most)] {
		shown = append(shown, string(v))
	}
	if n := len(values) - most; n > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(shown, ", ")
}

// DNSLabel adds a problem unless the value is an RFC 1123 label.
func (p *Problems) DNSLabel(name, value string) {
	p.must(len(validation.IsDNS1123Label(value)) == 0, name, value, "a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends")
}

// DNSSubdomain adds a problem unless the value is an RFC 1123 subdomain, as
// names of Kubernetes objects are.
func (p *Problems) DNSSubdomain(name, value string) {
	p.must(len(validation.IsDNS1123Subdomain(value)) == 0, name, value, "a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends")
}

// LabelName is DNSSubdomain for names that are the values of labels too, as
// those of requests and Destinations are.
func (p *Problems) LabelName(name, value string) {
	p.must(len(value) <= validation.LabelValueMaxLength && len(validation.IsDNS1123Subdomain(value)) == 0, name, value,
		"a name of at most 63 of a-z, 0-9, - and ., with a letter or digit at both ends")
}

// ServiceName adds a problem unless the value is an RFC 1123 label, as the names of
// Services are since Kubernetes 1.36; before, they began with a letter.
func (p *Problems) ServiceName(name, value string) {
	p.must(len(validation.IsDNS1123Label(value)) == 0, name, value, "the name of a Service: at most 63 of a-z, 0-9 and -, with a letter or digit at both ends")
}

// Hostname adds a problem unless the value is a host name as the Gateway API has
// it (RFC 1123, lower case, no address), here without wildcards.
func (p *Problems) Hostname(name, value string) {
	p.must(isHostname(value), name, value, "a host name such as api.example.com: lower case, at most 253 characters, no wildcard, port, address or trailing dot")
}

// HostOrAddress adds a problem unless the value is a host name or an IP address.
func (p *Problems) HostOrAddress(name, value string) {
	p.must(isHostname(value) || net.ParseIP(value) != nil, name, value,
		"a host name such as lb.example.com or an IP address: lower case, at most 253 characters, no wildcard, port or trailing dot")
}

func isHostname(value string) bool {
	for label := range strings.SplitSeq(value, ".") {
		if len(validation.IsDNS1123Label(label)) > 0 {
			return false
		}
	}
	// Digits alone may be read as an address.
	return len(value) <= 253 && strings.Trim(value, "0123456789.") != ""
}

// Labels adds a problem for each pair that a label selector cannot have.
func (p *Problems) Labels(name string, labels map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) { // a status must not depend on a map's order
		v := labels[k]
		if len(validation.IsQualifiedName(k)) > 0 || len(validation.IsValidLabelValue(v)) > 0 {
			p.Addf("%s %s is not a label: name and value have at most 63 of A-Z, a-z, 0-9, -, _ and ., and a name may have a prefix such as example.com/", name, Quote(k+": "+v))
		}
	}
}

var namespacePattern = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$`)

// NamespacePatterns adds a problem for each value that is neither a namespace nor
// a pattern in which * stands for any characters.
func (p *Problems) NamespacePatterns(name string, values []string) {
	p.Set(name, values, 64)
	for _, value := range values {
		if !namespacePattern.MatchString(value) {
			p.Addf("%s: %s is not a namespace or a pattern such as team-*", name, Quote(value))
		}
	}
}

// MatchNamespace reports whether one of the patterns matches the namespace.
func MatchNamespace(patterns []string, namespace string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, namespace); ok && err == nil {
			return true
		}
	}
	return false
}

// MatchText reports whether a text matches a pattern in which * stands for any characters, a
// slash too. A malformed pattern matches nothing.
func MatchText(pattern, text string) bool {
	ok, err := path.Match(inOne(pattern), inOne(text))
	return ok && err == nil
}

// IsPattern reports whether a text is a pattern that may match something.
func IsPattern(text string) bool {
	_, err := path.Match(inOne(text), "")
	return text != "" && err == nil
}

// inOne is a text in which a slash is no border.
func inOne(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

// Decode reads part of an object, which messages call by its name, into a Go type
// as an API server would with strict validation: names are case-sensitive,
// unknown fields and wrong types are errors.
func Decode(name string, raw any, into any) error {
	var p Problems
	p.shape(name, raw, reflect.TypeOf(into).Elem())
	if err := p.Err(); err != nil {
		return err
	}
	data, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// shape adds a problem for each field that is unknown or of another type than
// Go's. Decoders stop at the first, and speak to programmers.
func (p *Problems) shape(name string, raw any, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer:
		p.shape(name, raw, t.Elem())
	case reflect.String:
		if _, ok := raw.(string); !ok {
			p.mistyped(name, "text", raw, t)
		}
	case reflect.Bool:
		if _, ok := raw.(bool); !ok {
			p.mistyped(name, "true or false", raw, t)
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		p.shapeOfNumber(name, raw, t)
	case reflect.Slice:
		list, ok := raw.([]any)
		if !ok {
			p.mistyped(name, "a list", raw, t)
		}
		for i, value := range list {
			p.shape(fmt.Sprintf("%s[%d]", name, i), value, t.Elem())
		}
	case reflect.Map, reflect.Struct:
		p.shapeOfMap(name, raw, t)
	}
}

// mistyped adds what a value must be, and what it is instead.
func (p *Problems) mistyped(name, must string, raw any, t reflect.Type) {
	is, hint := fmt.Sprint(raw), ""
	switch raw.(type) {
	case nil:
		is = "null"
	case map[string]any:
		is = "a map"
	case []any:
		is = "a list"
	case string:
		is = "text"
	default:
		if t.Kind() == reflect.String {
			hint = ": put quotes around it"
		}
	}
	p.Addf("%s must be %s, not %s%s", name, must, is, hint)
}

func (p *Problems) shapeOfNumber(name string, raw any, t reflect.Type) {
	n, ok := raw.(int64)
	if f, isFloat := raw.(float64); isFloat {
		n, ok = int64(f), f == math.Trunc(f)
	}
	if !ok {
		p.mistyped(name, "a whole number", raw, t)
	} else if reflect.Zero(t).OverflowInt(n) {
		p.Addf("%s %v is far out of range", name, raw)
	}
}

func (p *Problems) shapeOfMap(name string, raw any, t reflect.Type) {
	object, ok := raw.(map[string]any)
	if !ok {
		p.mistyped(name, "a map", raw, t)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch field, known := fieldOf(t, key); {
		case t.Kind() == reflect.Map:
			p.shape(name+"["+Quote(key)+"]", object[key], t.Elem())
		case !known:
			p.Addf("there is no field %s: correct its name or leave it out", Quote(name+"."+key))
		case object[key] != nil: // null is as good as absent
			p.shape(name+"."+key, object[key], field)
		}
	}
}

// fieldOf returns the type of a struct's field by its name in JSON.
func fieldOf(t reflect.Type, key string) (reflect.Type, bool) {
	for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == key {
			return t.Field(i).Type, true
		}
	}
	return nil, false
}

// seed is what a key of NATS is made from, as it is and in base64, and token a JWT.
var (
	seed  = regexp.MustCompile(`S[A-Z][A-Z2-7]{56}|U(?:0F|1V|09)[A-Za-z0-9+/]{70,}={0,2}`)
	token = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)*`)
)

// Hide returns a text without the seeds and tokens that stand in it where they should
// not, so that nobody reads them in a status or a log.
func Hide(s string) string {
	return token.ReplaceAllString(seed.ReplaceAllString(s, "(a seed)"), "(a token)")
}

// Quote shows a value in a message on one line and not too long. What
// [Hide] hides is not repeated.
func Quote(s string) string {
	const most = 64
	s = Hide(s)
	if r := []rune(s); len(r) > most {
		return strconv.Quote(string(r[:most-3])) + "…"
	}
	return strconv.Quote(s)
}
