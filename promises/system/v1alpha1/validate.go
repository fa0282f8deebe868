package v1alpha1

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/image"
)

// Read decodes a system and validates it as strictly as an API server with the CRD
// would. The error is one sentence.
func Read(object *unstructured.Unstructured) (*System, error) {
	s := &System{}
	s.Name, s.Namespace, s.Generation = object.GetName(), object.GetNamespace(), object.GetGeneration()
	err := field.Decode("spec", object.Object["spec"], &s.Spec)
	if err == nil {
		err = s.Spec.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("System %s/%s is not valid: %w", s.Namespace, s.Name, err)
	}
	return s, nil
}

const (
	maxImages   = 64
	maxReplicas = 1000
)

var (
	team = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	// line has no line breaks, not even those that only Unicode has.
	line = regexp.MustCompile(`^[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]*$`)
)

// Validate checks a spec.
func (s *SystemSpec) Validate() error {
	var p field.Problems
	checkLine(&p, "spec.displayName", s.DisplayName, 128)
	switch {
	case s.Owner.Team == "":
		p.Addf("spec.owner.team is missing")
	case !team.MatchString(s.Owner.Team):
		p.Addf("spec.owner.team %s is not a name of at most 63 of A-Z, a-z, 0-9, -, _ and ., with a letter or digit at both ends", field.Quote(s.Owner.Team))
	}
	checkLine(&p, "spec.owner.contact", s.Owner.Contact, 256)
	p.NamespacePatterns("spec.allowedNamespaces", s.AllowedNamespaces)
	if len(s.Placement.MatchLabels) == 0 {
		p.Addf("spec.placement.matchLabels needs at least one label: none would select every cluster to come")
	}
	p.Placement("spec.placement", s.Placement)
	s.Policy.validate(&p)
	return p.Err()
}

func checkLine(p *field.Problems, name, value string, most int) {
	switch n := len([]rune(value)); {
	case n > most:
		p.Addf("%s has %d characters: at most %d are allowed", name, n, most)
	case !line.MatchString(value):
		p.Addf("%s %s is not a line of text: leave out line breaks and other control characters", name, field.Quote(value))
	}
}

func (l Policy) validate(p *field.Problems) {
	p.Set("spec.policy.images", l.Images, maxImages)
	for i, pattern := range l.Images {
		if err := image.CheckPattern(pattern); err != nil {
			p.Addf("spec.policy.images[%d]: %v", i, err)
		}
	}
	if l.MaxReplicas < 0 || l.MaxReplicas > maxReplicas {
		p.Addf("spec.policy.maxReplicas %d is not between 1 and %d", l.MaxReplicas, maxReplicas)
	}
}
