package field

// Placement selects Destinations by their labels.
type Placement struct {
	// MatchLabels are the labels that a Destination must have, all of them.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="matchLabels must have valid label names"
	// +optional
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`
}

// LabelValue is the value of a Kubernetes label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')`,message="is not a label: name and value have at most 63 of A-Z, a-z, 0-9, -, _ and ., and a name may have a prefix such as example.com/"
type LabelValue string

// maxLabels is how many labels a selector may have.
const maxLabels = 32

// Labels returns the labels as the plain map that selectors are made of.
func (p Placement) Labels() map[string]string {
	labels := make(map[string]string, len(p.MatchLabels))
	for k, v := range p.MatchLabels {
		labels[k] = string(v)
	}
	return labels
}

// Placement adds a problem for each label that a placement cannot have.
func (p *Problems) Placement(name string, placement Placement) {
	p.Count(name+".matchLabels", len(placement.MatchLabels), 0, maxLabels)
	p.Labels(name+".matchLabels", placement.Labels())
}
