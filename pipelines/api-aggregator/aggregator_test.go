package apiaggregator

import (
	"testing"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// The status shows the paths that are published; one that its owner is releasing
// is none of them.
func TestReportShowsWhatIsHeld(t *testing.T) {
	owner := claim.Owner{Namespace: "team-a", Name: "shop"}
	result := report(inputs{aggregator: &v1alpha1.ApiAggregator{}}, nil, []claim.Claim{
		{Resource: claim.Path("api.example.com", "/shop"), Owner: owner, State: claim.Held},
		{Resource: claim.Path("api.example.com", "/former"), Owner: owner, State: claim.Releasing},
	})
	if paths := result.Status["paths"].([]v1alpha1.PublishedPath); result.Status["pathCount"] != 1 || len(paths) != 1 || paths[0].Path != "/shop" {
		t.Errorf("it shows %v of %v", paths, result.Status["pathCount"])
	}
}
