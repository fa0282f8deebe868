package apiaggregator

import (
	"strings"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// The host's claim says that no path is behind as long as that is so; and of a delegated
// prefix that is not closed yet the status says for whom it waits.
func TestSettleHost(t *testing.T) {
	path := func(key, rules string) claim.Claim {
		owner := claim.Owner{Kind: platform.ApiAggregatorTarget.Kind, Namespace: "team-a", Name: "shop"}
		c := claim.Claim{Resource: claim.Path("api.example.com", key), Owner: owner, State: claim.Held, Facts: map[string]string{}}
		if rules != "" {
			c.Facts[gateway.FactRules] = rules
		}
		return c
	}
	const waits = "the delegated prefix /d is closed when /d/x of team-a/shop has run with this version of Baleen, too"
	for _, test := range []struct {
		name           string
		implementation v1alpha1.Implementation
		paths          []claim.Claim
		settled, says  string
	}{
		{"no path", v1alpha1.Traefik, nil, gateway.RulesAll, ""},
		{"all have them", v1alpha1.Traefik, []claim.Claim{path("/d/x", gateway.RulesAll)}, gateway.RulesAll, ""},
		{"one has just emitted them", v1alpha1.Traefik, []claim.Claim{path("/d/x", gateway.RulesEmitted(time.Now())), path("/y", gateway.RulesAll)}, "", waits},
		{"one is as v0.1.0 made it", v1alpha1.Traefik, []claim.Claim{path("/d/x", "")}, "", waits},
		{"and lies elsewhere", v1alpha1.Traefik, []claim.Claim{path("/y", "")}, "", ""},
		{"another implementation", v1alpha1.EnvoyGateway, []claim.Claim{path("/d/x", "")}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t)
			a := &v1alpha1.ApiAggregator{}
			a.Spec.Hostname, a.Spec.Gateway.Implementation = "api.example.com", test.implementation
			a.Spec.Delegations = []v1alpha1.Delegation{{Prefix: "/d", Namespaces: []string{"team-a"}}}
			if err := settleHost(t.Context(), run, a, []claim.Claim{}); err != nil { // as it was before
				t.Fatal(err)
			}
			if err := settleHost(t.Context(), run, a, test.paths); err != nil {
				t.Fatal(err)
			}
			host, err := claims(run).Get(t.Context(), claim.Host("api.example.com"))
			if err != nil || host == nil {
				t.Fatalf("%v, %v", host, err)
			}
			if got := host.Facts[gateway.FactRules]; got != test.settled {
				t.Errorf("its fact is %q, want %q", got, test.settled)
			}
			message := report(inputs{aggregator: a, placement: destination.Placement{Placed: []string{"eu-1"}}}, nil, test.paths).Message
			if strings.Contains(message, waits) != (test.says != "") {
				t.Errorf("the status says %q", message)
			}
		})
	}
}
