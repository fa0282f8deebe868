package acceptance

import "testing"

// TestStories is the table of contents. Stories of the first group go on at once,
// some at a time, each with requests of its own; those of the second disturb all
// others.
func TestStories(t *testing.T) {
	t.Run("AtOnce", func(t *testing.T) {
		tellAtOnce(t, []named{ // the longest first
			{"PodsKilled", podsKilled},
			{"SmokeCredential", smokeCredential},
			{"GettingStarted", gettingStarted},
			{"Synadia", synadia},
			{"RetainNothing", retainNothing},
			{"RotationWhileConnected", rotationWhileConnected},
			{"SmokeAPI", smokeAPI},
			{"SmokeCommandLine", commandLine},
			{"Bodies", bodies},
			{"StolenPath", stolenPath},
			{"FortyPaths", fortyPaths},
			{"TwoOfOneName", twoOfOneName},
			{"DeletedWhileConfiguring", deletedWhileConfiguring},
			{"StatusAndLedgerLost", statusAndLedgerLost},
			{"Conformance", conformance},
		})
	})
	t.Run("OneByOne", func(t *testing.T) {
		tell(t, "RefusedObjects", refusedObjects)
		tell(t, "Thief", thief)
		tell(t, "SealingKeyRenewed", sealingKeyRenewed)
		tell(t, "WorkloadClusterIsBuiltAnew", workloadClusterIsBuiltAnew)
		tell(t, "KratixKilled", kratixKilled)
		tell(t, "APIServerKilled", apiServerKilled)
		tell(t, "GitAway", gitAway)
		tell(t, "Restored", restored)
		tell(t, "Upgrade", upgrade)
		tell(t, "WhoMayDoWhat", whoMayDoWhat)
		tell(t, "OperatorMoved", operatorMoved)
		tell(t, "DryRuns", dryRuns)
		tell(t, "Latency", latency)
		tell(t, "Burst", burst)
		tell(t, "Churn", churns)
		tell(t, "NoSecrets", noSecrets)
	})
}
