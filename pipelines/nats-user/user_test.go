package natsuser

import (
	"testing"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/ledger"
)

// A credential is let go of where its cluster is not addressed any more: not in the
// grace of a cluster that stops matching, nor because a registration is lost.
func TestTermsServe(t *testing.T) {
	w := delivering()
	w.placement.Unregistered = []string{"ap-1"}
	for name, served := range map[string]bool{"eu-1": true, "us-1": true, "ap-1": true, "gone": false} {
		t.Run(name, func(t *testing.T) {
			if got := terms(w).Served(name); got != served {
				t.Errorf("it is served: %t, want %t", got, served)
			}
		})
	}
}

// Without an operator's key an account cannot revoke. Of another account that the
// request drew from before, its own pipeline knows that.
func TestTermsRevoke(t *testing.T) {
	for _, test := range []struct {
		name, account string
		operator      bool
		can           bool
	}{
		{"with an operator's key", "commerce", true, true},
		{"without one", "commerce", false, false},
		{"another account", "payments", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := delivering()
			if !test.operator {
				w.account.Spec.JWT.Operator = nil
			}
			if can := terms(w).Revocable(test.account); can != test.can {
				t.Errorf("it can revoke: %t, want %t", can, test.can)
			}
		})
	}
}

// A request keeps the claims of what it delivers: also under the name that it had
// before, as long as the new one is not delivered, and on a cluster in its grace.
func TestSettleKeepsWhatIsDelivered(t *testing.T) {
	run, w := newRun(t), delivering()
	owner := claim.OwnerOf(run.Request)
	here, there := active(1, "U1", "FirstIssue"), active(1, "U2", "FirstIssue")
	here.Basis.Delivery.Name, there.Destination = "former-name", "us-1"
	held := []claim.Thing{secretOf("eu-1", here.Basis.Delivery), secretOf("us-1", there.Basis.Delivery)}
	other := claim.Secret("eu-1", "team-a", "not-wanted")
	for _, thing := range append(held, other) {
		if _, err := book(run).Acquire(t.Context(), thing, owner, nil); err != nil {
			t.Fatal(err)
		}
	}
	verdicts, err := settle(t.Context(), run, w, &ledger.Ledger{Request: orders, Rows: []ledger.Row{here, there}})
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range append(held, claim.Secret("eu-1", "team-a", "orders-nats"), other) {
		c, err := book(run).Get(t.Context(), thing)
		if err != nil {
			t.Fatal(err)
		}
		if want := thing != other; verdicts[thing].Held != want || (c != nil && c.State == claim.Held) != want {
			t.Errorf("%s is %+v, want it held: %t", thing, c, want)
		}
	}
}

// A rotation that is taken back, or a bundle of certificates that cannot be read, is no
// reason for another credential. The bundle here is one, so that whoever needs another
// is told that it cannot be sealed.
func TestPlanKeeps(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*ledger.Row)
		asked  string // to rotate
		wants  bool
	}{
		{"nothing has changed", func(*ledger.Row) {}, "", false},
		{"a rotation was carried out", func(r *ledger.Row) { r.Basis.Rotate.Spec = "1" }, "1", false},
		{"a rotation is taken back", func(r *ledger.Row) { r.Basis.Rotate.Spec = "1" }, "", false},
		{"another rotation", func(r *ledger.Row) { r.Basis.Rotate.Spec = "1" }, "2", true},
		{"something else is granted", func(r *ledger.Row) { r.Basis.Grant = "other" }, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := delivering()
			row := active(1, "U1", "FirstIssue")
			row.Basis = want(w, "eu-1").Basis
			test.change(&row)
			w.user.Spec.Credentials.Rotate = test.asked
			w.bundles = map[string]string{"eu-1": "unreadable"}
			held := map[claim.Thing]claim.Verdict{secretOf("eu-1", row.Basis.Delivery): {Held: true}}
			c := planned(plan(w, &ledger.Ledger{Request: orders, Rows: []ledger.Row{row}}, held, now), "eu-1")
			if wants := c.problem.reason == "CertificateUnusable"; wants != test.wants || c.reason != "" {
				t.Errorf("it gets another: %t, want %t: %s", wants, test.wants, c.problem.message)
			}
		})
	}
}
