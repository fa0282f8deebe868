package gateway

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// frozen are aggregators and clusters as v0.1.0 knew them, with the digests of their
// terms that it stored with each target of team-a. They are literals, because other
// ones would have every target run: whatever changes, these stay.
var frozen = []struct {
	name         string
	spec         v1alpha1.ApiAggregatorSpec
	destinations []string
	digest       string
}{
	{"the least", v1alpha1.ApiAggregatorSpec{
		Hostname: "api.example.com", Gateway: v1alpha1.Gateway{Implementation: v1alpha1.Traefik, Namespace: "gateways"},
	}, nil, "d019478b95fe15a7"},
	{"on two clusters", v1alpha1.ApiAggregatorSpec{
		Hostname: "api.example.com", Gateway: v1alpha1.Gateway{Implementation: v1alpha1.EnvoyGateway, Namespace: "gateways"},
		AllowedNamespaces: []string{"team-*"},
	}, []string{"eu-1", "us-1"}, "bf99557a8d35b302"},
	{"all that concerns targets", v1alpha1.ApiAggregatorSpec{
		Hostname: "api.example.com",
		Gateway: v1alpha1.Gateway{
			Implementation: v1alpha1.NGINXGatewayFabric, Namespace: "gateways", Name: "shared", Listeners: &v1alpha1.Listeners{HTTPS: "websecure", HTTP: "web"},
		},
		AllowedNamespaces: []string{"team-b"}, RequestBody: &v1alpha1.RequestBody{Default: "1Mi", Max: "100Mi"}, DNS: &v1alpha1.DNS{Enabled: new(bool)},
		Delegations: []v1alpha1.Delegation{{Prefix: "/users", Namespaces: []string{"team-b"}}, {Prefix: "/orders/%C3%A4", Namespaces: []string{"team-a"}}},
	}, []string{"eu-1"}, "ff88ff6dfdf62271"},
}

func aggregator(spec v1alpha1.ApiAggregatorSpec) *v1alpha1.ApiAggregator {
	return &v1alpha1.ApiAggregator{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "public-api"}, Spec: spec}
}

// An upgrade has no target run because of its aggregator.
func TestTermsAreFrozen(t *testing.T) {
	for _, test := range frozen {
		t.Run(test.name, func(t *testing.T) {
			terms := TermsFor(aggregator(test.spec), "team-a", test.destinations)
			if got := terms.Digest(); got != test.digest {
				t.Errorf("terms %s, and v0.1.0 stored %s:\n%s", got, test.digest, termsForm.Bytes(terms))
			}
		})
	}
}

// A field that a later version adds to the terms changes none of them while it is
// not used; and whatever differs in them now is told apart.
func TestEveryFieldIsInTheTerms(t *testing.T) {
	for _, test := range frozen {
		t.Run(test.name, func(t *testing.T) {
			terms := TermsFor(aggregator(test.spec), "team-a", test.destinations)
			for _, later := range fingerprinttest.WithLaterField(terms) {
				if termsForm.Digest(later.Unset) != test.digest {
					t.Errorf("a field more changes them: %s", termsForm.Bytes(later.Unset))
				}
			}
			for _, change := range fingerprinttest.Changes(terms) {
				if change.Value.Digest() == test.digest {
					t.Errorf("another %s makes no difference", change.Field)
				}
			}
		})
	}
}

// Every struct of the terms has its line in the form, so that a field that is added to it
// later changes no digest.
func TestEveryStructHasAForm(t *testing.T) {
	if missing := fingerprinttest.WithoutForm[Terms](termsForm); len(missing) > 0 {
		t.Errorf("termsForm has no entry for %q: name the keys that it has now", missing)
	}
}
