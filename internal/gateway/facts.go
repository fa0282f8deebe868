package gateway

import (
	"time"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/httppath"
)

// FactType is a fact of the claim of a path: Prefix or Exact.
const FactType = "type"

// FactRules is a fact of the claim of a path: how far its routes name all methods, which
// those of v0.1.0 do not. With Traefik a prefix whose routes name them would take the
// requests of longer paths whose routes do not yet. So a path gets them when all that lie
// below it have them. The claim of a host has RulesAll as long as its aggregator finds
// no path behind: who asks for a new path need not look then.
const FactRules = "rules"

// RulesAll is a value of FactRules: whatever is on the clusters names all methods. Else it
// is when that was first emitted: see [RulesEmitted]. Without one the routes are as v0.1.0
// has made them.
const RulesAll = "All"

// arrival is how long what is emitted may take until every cluster has it. Runs do not
// tell: one that was killed is tried again within seconds.
const arrival = time.Hour

// RulesEmitted is the value of FactRules when a run at a time emits routes that name all
// methods, or leaves out those that do not.
func RulesEmitted(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// RulesArrived reports whether what a value of FactRules speaks of is on the clusters by
// now.
func RulesArrived(value string, now time.Time) bool {
	at, err := time.Parse(time.RFC3339, value)
	return value == RulesAll || err == nil && now.Sub(at) >= arrival
}

// Behind returns a claim below a prefix, or of it, that is not the owner's own and whose
// routes do not name all methods yet, nil if there is none.
func Behind(claims []claim.Claim, prefix string, owner claim.Owner) *claim.Claim {
	for i, c := range claims {
		if c.State != claim.Free && c.Facts[FactRules] != RulesAll && !c.Owner.Is(owner) && httppath.Covers(prefix, c.Resource.Key) {
			return &claims[i]
		}
	}
	return nil
}

// FormerRules are those of v0.1.0: one for each method that is let through.
func FormerRules(a Asked) []Rule { return nginxRules(a) }
