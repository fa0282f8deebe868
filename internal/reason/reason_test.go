package reason

import "testing"

// What becomes of a request that is refused, by its reason; what is not named here waits
// for somebody, words of older or newer versions too.
func TestClass(t *testing.T) {
	special := map[Reason]Class{
		"Published": Well, "Delivered": Well, "Verified": Well, "CopiesToDelete": Well, "SecretsMoved": Well, "SecretsToMove": Well,
		"PlatformUnavailable": Retry, "Failed": Retry, "RenderFailed": Retry, "OverlayFailed": Retry, "ConfigurationInvalid": Retry, "ClockOff": Retry, "IssueFailed": Retry,
		"InvalidSpec": Refuse, "NamespaceNotMapped": Refuse,
	}
	all := []Reason{"", "SomethingNew", "Published", "Delivered", "Verified", "CopiesToDelete", "SecretsMoved", "SecretsToMove"}
	for _, e := range Refusals {
		all = append(all, e.Reason)
	}
	for _, r := range all {
		want, is := special[r]
		if !is {
			want = Wait
		}
		if got := r.Class(); got != want {
			t.Errorf("%s is of the class %d, want %d", r, got, want)
		}
	}
}

// An account does not work where its keys are known to be wrong, and only there: servers
// that are away refute nothing.
func TestRefutes(t *testing.T) {
	refutes := map[Reason]bool{"SigningKeyUnknown": true, "ScopeMismatch": true, "SigningKeyUnusable": true, "AccountUnknown": true, "IssuerNotTrusted": true, "UserRefused": true}
	for _, e := range Refusals {
		if got := e.Reason.Refutes(); got != refutes[e.Reason] {
			t.Errorf("%s refutes: %t", e.Reason, got)
		}
		if refutes[e.Reason] && (e.Of != "NatsAccount" || e.Reason.Class() == Well) {
			t.Errorf("%s is of %s", e.Reason, e.Of)
		}
	}
}
