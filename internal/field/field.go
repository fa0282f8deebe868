// Package field holds the types and checks of fields that several kinds share.
// Each type carries its rule for the CRD as a marker and repeats it in Go,
// because a pipeline does not trust that a schema was installed.
package field

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	strictjson "sigs.k8s.io/json"
)

// Size is a number of bytes above zero: an integer with an optional suffix of
// Kubernetes quantities, decimal (k, M, G) or binary (Ki, Mi, Gi), for example 10Mi.
//
// +kubebuilder:validation:MaxLength=12
// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,8}(k|Ki|M|Mi|G|Gi)?$`
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
	if len(p) > most {
		p = append(p[:most:most], fmt.Sprintf("and %d more", len(p)-most))
	}
	return fmt.Errorf("%s", strings.Join(p, "; "))
}

// Size adds a problem unless the size is empty or valid.
func (p *Problems) Size(name string, s Size) {
	if s != "" && s.Bytes() == 0 {
		p.Addf("%s %s is not a size above zero such as 10Mi", name, Quote(string(s)))
	}
}

// DNSLabel adds a problem unless the value is an RFC 1123 label.
func (p *Problems) DNSLabel(name, value string) {
	if len(validation.IsDNS1123Label(value)) > 0 {
		p.Addf("%s %s is not a DNS label (at most 63 of a-z, 0-9 and -)", name, Quote(value))
	}
}

// DNSSubdomain adds a problem unless the value is an RFC 1123 subdomain, as
// names of Kubernetes objects are.
func (p *Problems) DNSSubdomain(name, value string) {
	if len(validation.IsDNS1123Subdomain(value)) > 0 {
		p.Addf("%s %s is not the name of a Kubernetes object (at most 253 of a-z, 0-9, - and .)", name, Quote(value))
	}
}

// Hostname adds a problem unless the value is a host name as the Gateway API has
// it (RFC 1123, lower case, no address), here without wildcards.
func (p *Problems) Hostname(name, value string) {
	ok := len(value) <= 253 && net.ParseIP(value) == nil
	for _, label := range strings.Split(value, ".") {
		ok = ok && len(validation.IsDNS1123Label(label)) == 0
	}
	// A name of digits alone may be read as an address.
	if !ok || strings.Trim(value, "0123456789.") == "" {
		p.Addf("%s %s is not a host name: write it in lower case, without wildcard, port or trailing dot, at most 253 characters", name, Quote(value))
	}
}

// Labels adds a problem for each pair that a label selector cannot have.
func (p *Problems) Labels(name string, labels map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) { // a status must not depend on a map's order
		v := labels[k]
		if len(validation.IsQualifiedName(k)) > 0 || len(validation.IsValidLabelValue(v)) > 0 {
			p.Addf("%s %s is not a label", name, Quote(k+": "+v))
		}
	}
}

var namespacePattern = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$`)

// NamespacePattern adds a problem unless the value is a namespace or a pattern
// in which * stands for any characters.
func (p *Problems) NamespacePattern(name, value string) {
	if !namespacePattern.MatchString(value) {
		p.Addf("%s %s is not a namespace or a pattern such as team-*", name, Quote(value))
	}
}

// MatchNamespace tells whether one of the patterns matches the namespace.
func MatchNamespace(patterns []string, namespace string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, namespace); ok && err == nil {
			return true
		}
	}
	return false
}

// Decode reads part of an object into a Go type as an API server would with
// strict validation: names are case-sensitive, unknown and duplicate fields and
// wrong types are errors.
func Decode(raw any, into any) error {
	data, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	strict, err := strictjson.UnmarshalStrict(data, into)
	if err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	var problems Problems
	for _, e := range strict {
		problems.Addf("%s", e)
	}
	return problems.Err()
}

// Quote shows a value in a message on one line and not too long.
func Quote(s string) string {
	if len(s) > 64 {
		return strconv.Quote(s[:61]) + "…"
	}
	return strconv.Quote(s)
}
