package acceptance

import "testing"

// TestStories is the table of contents. Stories of the first group go on at once,
// each with requests of its own; those of the second disturb all others.
func TestStories(t *testing.T) {
	t.Run("AtOnce", func(t *testing.T) {
		tellAtOnce(t, "SmokeAPI", smokeAPI)
		tellAtOnce(t, "SmokeCredential", smokeCredential)
		tellAtOnce(t, "Bodies", bodies)
		tellAtOnce(t, "StolenPath", stolenPath)
		tellAtOnce(t, "FortyPaths", fortyPaths)
		tellAtOnce(t, "RotationWhileConnected", rotationWhileConnected)
		tellAtOnce(t, "Synadia", synadia)
		tellAtOnce(t, "RetainNothing", retainNothing)
		tellAtOnce(t, "TwoOfOneName", twoOfOneName)
		tellAtOnce(t, "DeletedWhileConfiguring", deletedWhileConfiguring)
		tellAtOnce(t, "StatusAndLedgerLost", statusAndLedgerLost)
		tellAtOnce(t, "PodsKilled", podsKilled) // the longest, with SmokeCredential
		tellAtOnce(t, "Conformance", conformance)
	})
	t.Run("OneByOne", func(t *testing.T) {
		tell(t, "SealingKeyRenewed", sealingKeyRenewed)
		tell(t, "WorkloadClusterIsBuiltAnew", workloadClusterIsBuiltAnew)
		tell(t, "KratixKilled", kratixKilled)
		tell(t, "APIServerKilled", apiServerKilled)
		tell(t, "GitAway", gitAway)
		tell(t, "Restored", restored)
		tell(t, "Upgrade", upgrade)
		tell(t, "WhoMayDoWhat", whoMayDoWhat)
		tell(t, "Latency", latency)
		tell(t, "Burst", burst)
		tell(t, "NoSecrets", noSecrets)
	})
}
