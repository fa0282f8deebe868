package v1alpha1

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/image"
)

// Read decodes a workload, fills in defaults and validates it, all as strictly as an API
// server with the CRD would. The error is one sentence.
func Read(object *unstructured.Unstructured) (*Workload, error) {
	w := &Workload{}
	w.Name, w.Namespace, w.Generation = object.GetName(), object.GetNamespace(), object.GetGeneration()
	err := field.Decode("spec", object.Object["spec"], &w.Spec)
	if err == nil {
		w.Spec.Default()
		err = w.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("Workload %s/%s is not valid: %w", w.Namespace, w.Name, err)
	}
	return w, nil
}

// Default fills in what the CRD's defaults fill in.
func (s *WorkloadSpec) Default() { s.Type = cmp.Or(s.Type, Service) }

// SystemNamespace returns the namespace of the System that is meant.
func (s *WorkloadSpec) SystemNamespace() string {
	return cmp.Or(s.SystemRef.Namespace, config.Namespace)
}

// Replicas returns how many run at least and at most.
func (s *WorkloadSpec) Replicas() (least, most int32) {
	least = cmp.Or(s.MinReplicas, min(2, cmp.Or(s.MaxReplicas, 2)))
	return least, cmp.Or(s.MaxReplicas, max(5, least))
}

// ServedPort returns where a Service's container listens.
func (c *Container) ServedPort() int32 { return cmp.Or(c.Port, 8080) }

// NamedProbe is one of the probes that a container may have, nil where it has it not.
type NamedProbe struct {
	Name string
	*Probe
	// Failures is how often it must fail if it does not say so.
	Failures int32
}

// Probes returns the probes that a container may have.
func (c *Container) Probes() []NamedProbe {
	return []NamedProbe{{"readinessProbe", c.ReadinessProbe, 3}, {"livenessProbe", c.LivenessProbe, 6}, {"startupProbe", c.StartupProbe, 30}}
}

// Whole returns the resources with what is left out filled in, in the words of an API
// server. A limit of CPU that is left out is none.
func (r Resources) Whole() Resources {
	r.Requests.Memory = cmp.Or(r.Requests.Memory, r.Limits.Memory, "256Mi")
	r.Limits.Memory = cmp.Or(r.Limits.Memory, r.Requests.Memory)
	r.Requests.CPU = cmp.Or(r.Requests.CPU, r.Limits.CPU, "100m")
	return Resources{r.Requests.canonical(), r.Limits.canonical()}
}

func (a Amounts) canonical() Amounts {
	return Amounts{CPU: canonical(a.CPU), Memory: canonical(a.Memory)}
}

// canonical writes an amount as an API server stores it, as 1Gi for 1024Mi.
func canonical[T ~string](amount T) T {
	if amount == "" {
		return ""
	}
	q, _ := resource.ParseQuantity(string(amount)) // a valid spec has valid amounts
	return T(q.String())
}

const (
	maxReplicas = 1000
	maxTexts    = 64
	maxEnv      = 64
)

var (
	name    = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	envName = regexp.MustCompile(`^[A-Za-z_][-A-Za-z0-9_.]{0,127}$`)
	probed  = regexp.MustCompile(`^/[!-~]*$`)
	// control are the characters that no text has: tabs and line feeds are none of them.
	control = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x9f\x{2028}\x{2029}\x{feff}\x{fffe}\x{ffff}]`)
	cpu     = regexp.MustCompile(`^([1-9][0-9]{0,5}m|[1-9][0-9]{0,3}|(0|[1-9][0-9]{0,3})[.]([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$`)
)

// validate checks a workload with its defaults filled in.
func (w *Workload) validate() error {
	var p field.Problems
	s := &w.Spec
	if !name.MatchString(w.Name) {
		p.Addf("metadata.name %s must begin with a letter and have at most 63 of a-z, 0-9 and -, with a letter or digit at its end, because a Service gets it", field.Quote(w.Name))
	}
	p.LabelName("spec.systemRef.name", s.SystemRef.Name)
	if s.SystemRef.Namespace != "" {
		p.DNSLabel("spec.systemRef.namespace", s.SystemRef.Namespace)
	}
	if s.Type != Service && s.Type != Worker {
		p.Addf("spec.type %s is not Service or Worker", field.Quote(string(s.Type)))
	}
	s.Container.validate(&p, s.Type)
	for _, n := range []struct {
		name  string
		value int32
	}{{"minReplicas", s.MinReplicas}, {"maxReplicas", s.MaxReplicas}} {
		if n.value < 0 || n.value > maxReplicas {
			p.Addf("spec.%s %d is not between 1 and %d", n.name, n.value, maxReplicas)
		}
	}
	if s.MaxReplicas > 0 && s.MinReplicas > s.MaxReplicas {
		p.Addf("spec.minReplicas %d is above spec.maxReplicas %d: change one of the two", s.MinReplicas, s.MaxReplicas)
	}
	if s.WorkloadNamespace != "" {
		p.DNSLabel("spec.workloadNamespace", s.WorkloadNamespace)
	}
	return p.Err()
}

func (c *Container) validate(p *field.Problems, t Type) {
	if _, err := image.Repository(c.Image); err != nil {
		p.Addf("spec.container.image %v", err)
	}
	checkTexts(p, "spec.container.command", c.Command)
	checkTexts(p, "spec.container.args", c.Args)
	switch {
	case c.Port < 0 || c.Port > 65535:
		p.Addf("spec.container.port %d is not a port (1 to 65535)", c.Port)
	case t == Worker && c.Port != 0:
		p.Addf("spec.container.port goes with type: Service only; a Worker gets no Service")
	}
	p.Count("spec.container.env", len(c.Env), 0, maxEnv)
	var names []string
	for i, e := range c.Env {
		at := fmt.Sprintf("spec.container.env[%d]", i)
		switch {
		case e.Name == "":
			p.Addf("%s.name is missing", at)
		case !envName.MatchString(e.Name):
			p.Addf("%s.name %s is not a name of at most 128 of A-Z, a-z, 0-9, _, - and ., with a letter or _ at its beginning", at, field.Quote(e.Name))
		case slices.Contains(names, e.Name):
			p.Addf("spec.container.env has %s twice", field.Quote(e.Name))
		}
		names = append(names, e.Name)
		checkText(p, at+".value", e.Value, 4096)
	}
	for _, probe := range c.Probes() {
		switch at := "spec.container." + probe.Name; {
		case probe.Probe == nil:
		case t == Worker:
			p.Addf("%s goes with type: Service only; a Worker listens nowhere", at)
		default:
			probe.validate(p, at)
		}
	}
	c.Resources.validate(p)
}

func (b *Probe) validate(p *field.Problems, at string) {
	switch path := b.HTTPGet.Path; {
	case path == "":
		p.Addf("%s.httpGet.path is missing", at)
	case len([]rune(path)) > 1024:
		p.Addf("%s.httpGet.path has %d characters: at most 1024 are allowed", at, len([]rune(path)))
	case !probed.MatchString(path):
		p.Addf("%s.httpGet.path %s is not a path such as /ready: begin with / and leave out blanks and what is not ASCII", at, field.Quote(path))
	}
	for _, n := range []struct {
		name  string
		value int32
	}{{"periodSeconds", b.PeriodSeconds}, {"timeoutSeconds", b.TimeoutSeconds}, {"failureThreshold", b.FailureThreshold}} {
		if n.value < 0 || n.value > 3600 {
			p.Addf("%s.%s %d is not between 1 and 3600", at, n.name, n.value)
		}
	}
}

func checkTexts(p *field.Problems, name string, texts []string) {
	p.Count(name, len(texts), 0, maxTexts)
	for i, t := range texts {
		checkText(p, fmt.Sprintf("%s[%d]", name, i), t, 1024)
	}
}

func checkText(p *field.Problems, name, value string, most int) {
	switch n := len([]rune(value)); {
	case n > most:
		p.Addf("%s has %d characters: at most %d are allowed", name, n, most)
	case control.MatchString(value):
		p.Addf("%s %s has a control character: leave it out", name, field.Quote(value))
	}
}

func (r Resources) validate(p *field.Problems) {
	valid := true
	for _, a := range []struct {
		name string
		Amounts
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		at := "spec.container.resources." + a.name
		if a.CPU != "" && !cpu.MatchString(string(a.CPU)) {
			valid = false
			p.Addf("%s.cpu %s is not an amount of CPU such as 250m, 1 or 1.5: write at most six digits and m, or at most 9999.999", at, field.Quote(string(a.CPU)))
		}
		valid = valid && (a.Memory == "" || a.Memory.Bytes() > 0)
		p.Size(at+".memory", a.Memory)
	}
	if !valid {
		return
	}
	if above(r.Requests.CPU, r.Limits.CPU) {
		p.Addf("spec.container.resources.requests.cpu %s is above limits.cpu %s: change one of the two", r.Requests.CPU, r.Limits.CPU)
	}
	if above(r.Requests.Memory, r.Limits.Memory) {
		p.Addf("spec.container.resources.requests.memory %s is above limits.memory %s: change one of the two", r.Requests.Memory, r.Limits.Memory)
	}
}

// above reports whether a request is above its limit, where both are given.
func above[T ~string](request, limit T) bool {
	if request == "" || limit == "" {
		return false
	}
	a, _ := resource.ParseQuantity(string(request)) // both are valid
	b, _ := resource.ParseQuantity(string(limit))
	return a.Cmp(b) > 0
}
