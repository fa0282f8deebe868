package v1alpha1

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/httppath"
)

// Read decodes a target, fills in defaults and validates it, all as strictly as
// an API server with the CRD would. The error is one sentence.
func Read(object *unstructured.Unstructured) (*ApiAggregatorTarget, error) {
	t := &ApiAggregatorTarget{}
	t.Name, t.Namespace, t.Generation = object.GetName(), object.GetNamespace(), object.GetGeneration()
	if err := field.Decode("spec", object.Object["spec"], &t.Spec); err != nil {
		return nil, fmt.Errorf("ApiAggregatorTarget %s/%s is not valid: %w", t.Namespace, t.Name, err)
	}
	t.Spec.Default()
	if err := t.Spec.Validate(); err != nil {
		return nil, fmt.Errorf("ApiAggregatorTarget %s/%s is not valid: %w", t.Namespace, t.Name, err)
	}
	return t, nil
}

// Default fills in what the CRD's defaults fill in.
func (s *ApiAggregatorTargetSpec) Default() {
	for i := range s.Backends {
		one := int32(1)
		s.Backends[i].Weight = cmp.Or(s.Backends[i].Weight, &one)
	}
	for i := range s.Paths {
		s.Paths[i].Type = cmp.Or(s.Paths[i].Type, Prefix)
	}
}

const (
	maxBackends = 16
	maxPaths    = 64
	maxHeaders  = 16
)

var (
	timeout     = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)
	headerName  = regexp.MustCompile(`^[-A-Za-z0-9!#$%&*+.^_|~]{1,256}$`)
	headerValue = regexp.MustCompile(`^[!-~]([\t -~]*[!-~])?$`)
	methods     = []Method{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)

// Validate checks a spec with its defaults filled in.
func (s *ApiAggregatorTargetSpec) Validate() error {
	var p field.Problems
	p.LabelName("spec.aggregatorRef.name", s.AggregatorRef.Name)
	if s.AggregatorRef.Namespace != "" {
		p.DNSLabel("spec.aggregatorRef.namespace", s.AggregatorRef.Namespace)
	}
	if s.WorkloadNamespace != "" {
		p.DNSLabel("spec.workloadNamespace", s.WorkloadNamespace)
	}
	if s.Timeout != "" && !timeout.MatchString(s.Timeout) {
		p.Addf("spec.timeout %s is not a duration such as 30s or 1m30s: whole numbers of h, m, s and ms", field.Quote(s.Timeout))
	}
	s.validateBackends(&p)
	s.validatePaths(&p)
	s.RequestHeaders.validate(&p)
	return p.Err()
}

func (s *ApiAggregatorTargetSpec) validateBackends(p *field.Problems) {
	p.Count("spec.backends", len(s.Backends), 1, maxBackends)
	type address struct {
		service string
		port    int32
	}
	seen := map[address]bool{}
	weight := int32(0)
	for _, b := range s.Backends {
		p.ServiceName("spec.backends.service", b.Service)
		if b.Port < 1 || b.Port > 65535 {
			p.Addf("spec.backends.port %d is not a port (1 to 65535)", b.Port)
		}
		if *b.Weight < 0 || *b.Weight > 1_000_000 {
			p.Addf("spec.backends.weight %d is not between 0 and 1000000", *b.Weight)
		}
		if seen[address{b.Service, b.Port}] {
			p.Addf("spec.backends has %s port %d twice", field.Quote(b.Service), b.Port)
		}
		seen[address{b.Service, b.Port}] = true
		weight = max(weight, *b.Weight)
	}
	if len(s.Backends) > 0 && weight == 0 {
		p.Addf("spec.backends has no weight above zero: give one to the service that is to answer")
	}
}

func (s *ApiAggregatorTargetSpec) validatePaths(p *field.Problems) {
	p.Count("spec.paths", len(s.Paths), 1, maxPaths)
	seen := map[string]string{}
	for i, path := range s.Paths {
		path.validate(p)
		if path.Methods != nil && len(path.Methods) == 0 {
			p.Addf("spec.paths[%d].methods names no methods: leave it out for all", i)
		}
		parsed, err := httppath.Parse(path.Path)
		if err != nil {
			p.Addf("spec.paths: the path %v", err)
			continue
		}
		if other, ok := seen[parsed.Key]; ok {
			p.Addf("spec.paths: %s and %s are one path: keep one of them", field.Quote(other), field.Quote(path.Path))
		}
		seen[parsed.Key] = path.Path
	}
}

func (path Path) validate(p *field.Problems) {
	name := field.Quote(path.Path)
	switch path.Type {
	case Prefix:
		if path.Path != "/" && strings.HasSuffix(path.Path, "/") {
			p.Addf("spec.paths: the Prefix %s must not end with /: it matches with and without one", name)
		}
	case Exact:
		if path.RewritePrefix != "" || path.AllowNested {
			p.Addf("spec.paths: rewritePrefix and allowNested of %s go with type: Prefix only", name)
		}
	case "RegularExpression": // the Gateway API's own
		p.Addf("spec.paths: the type %s of %s is not offered, because nobody can tell whose path a regular expression matches: write Prefix or Exact", field.Quote(string(path.Type)), name)
	default:
		p.Addf("spec.paths: the type %s of %s is not Prefix or Exact", field.Quote(string(path.Type)), name)
	}
	if path.RewritePrefix != "" {
		if _, err := httppath.Parse(path.RewritePrefix); err != nil {
			p.Addf("spec.paths: the rewritePrefix %v", err)
		}
	}
	for i, m := range path.Methods {
		if !slices.Contains(methods, m) {
			p.Addf("spec.paths: the method %s of %s is not one of %s", field.Quote(string(m)), name, field.Listed(methods))
		}
		if slices.Contains(path.Methods[:i], m) {
			p.Addf("spec.paths: the method %s of %s is there twice", field.Quote(string(m)), name)
		}
	}
	p.Size("spec.paths.maxRequestBodySize", path.MaxRequestBodySize)
}

func (h *RequestHeaders) validate(p *field.Problems) {
	if h == nil {
		return
	}
	if len(h.Set) > maxHeaders || len(h.Remove) > maxHeaders {
		p.Addf("spec.requestHeaders may set and remove at most %d headers each", maxHeaders)
	}
	seen := map[string]bool{}
	header := func(name string) {
		if !headerName.MatchString(name) {
			p.Addf("spec.requestHeaders: %s is not the name of a header: use at most 256 of A-Z, a-z, 0-9, - and _", field.Quote(name))
		}
		if seen[strings.ToLower(name)] {
			p.Addf("spec.requestHeaders has %s twice: names are compared without regard to case", field.Quote(name))
		}
		seen[strings.ToLower(name)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(h.Set)) { // a status must not depend on a map's order
		value := h.Set[name]
		header(name)
		if len(value) > 512 || !headerValue.MatchString(string(value)) {
			p.Addf("spec.requestHeaders: the value %s of %s must be 1 to 512 printable ASCII characters, not beginning or ending with a blank", field.Quote(string(value)), field.Quote(name))
		}
	}
	for _, name := range h.Remove {
		header(name)
	}
}

// AggregatorNamespace returns the namespace of the aggregator that is meant.
func (t *ApiAggregatorTarget) AggregatorNamespace() string {
	return cmp.Or(t.Spec.AggregatorRef.Namespace, t.Namespace)
}
