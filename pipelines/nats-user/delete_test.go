package natsuser

import (
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

// A deletion ends the configure runs of its request first, and retires all that they
// have written down until then. If one has taken the tombstone away, the deletion
// fails, and the next one carries it out.
func TestDeletionEndsConfigureFirst(t *testing.T) {
	for _, test := range []struct {
		name string
		last func(*ledger.Ledger) // what the configure run still writes
		says string
	}{
		{"it has nothing more to write", func(*ledger.Ledger) {}, ""},
		{"it commits a credential", func(l *ledger.Ledger) { l.Add(active(2, "U2", "RotationRequested")) }, ""},
		{"it takes the tombstone away", func(l *ledger.Ledger) { l.Tombstone = nil }, "ask for the deletion again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newRun(t)
			memory := run.Platform
			edit(t, memory, func(l *ledger.Ledger) {
				l.UID, l.Rows = string(run.Request.GetUID()), []ledger.Row{active(1, "U1", "FirstIssue")}
			})
			create(t, memory, platform.Job, "configure", map[string]string{
				kratix.LabelPromise: promise, kratix.LabelResource: "orders", kratix.LabelAction: string(kratix.Configure),
			}, map[string]any{})
			run.Platform = hooked{memory, func() { edit(t, memory, test.last) }}
			err := remove(t.Context(), run)
			if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			run.Platform = memory
			if err != nil {
				if err := remove(t.Context(), run); err != nil {
					t.Errorf("the next one says %v", err)
				}
			}
			l := edit(t, memory, func(*ledger.Ledger) {})
			if l.Tombstone == nil || !l.Tombstone.Done || l.Count(ledger.Retired) != len(l.Rows) {
				t.Errorf("afterwards the ledger has the tombstone %v and %+v", l.Tombstone, l.Rows)
			}
		})
	}
}

// A deletion ends what is delivered also where the ledger was lost: the last output
// says what that is.
func TestDeletionWithoutALedger(t *testing.T) {
	run := newRun(t)
	run.Last = destination.Output{"eu-1": {"secret.yaml": document(t, active(1, "U1", "FirstIssue"))}}
	if err := remove(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if l := edit(t, run.Platform, func(*ledger.Ledger) {}); len(l.Rows) != 1 || l.Rows[0].User != "U1" || l.Rows[0].State != ledger.Retired {
		t.Errorf("the ledger has %+v", l.Rows)
	}
}

// A deletion waits for its account to revoke, and fails if that does not; an account
// without an operator's key can not, and is not waited for.
func TestDeletionWaitsForWhoCanRevoke(t *testing.T) {
	for _, test := range []struct {
		name     string
		operator bool
		state    ledger.State
	}{{"with an operator's key", true, ledger.Retiring}, {"without one", false, ledger.Retired}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run := newRun(t)
				run.Request.Object["spec"] = map[string]any{"deletionPolicy": "Revoke"}
				jwt := map[string]any{
					"accountID":  "AD4BPRVSQXPWIZGJD5EC72OJ75W6T7C4UXTXULLZD3JIZMCAGBRKSJ27",
					"signingKey": map[string]any{"secretRef": map[string]any{"name": "signing"}}, "servers": []any{"nats://nats.example.com"},
				}
				if test.operator {
					of := map[string]any{"name": "operator"}
					jwt["operator"] = map[string]any{"signingKeySecretRef": of, "systemCredentialsSecretRef": of}
				}
				commerce := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
					"provider": "jwt", "jwt": jwt, "policy": map[string]any{"namespaces": []any{"team-a"}},
				}}}
				commerce.SetGroupVersionKind(platform.NatsAccount.GroupVersionKind)
				commerce.SetNamespace(account.Namespace)
				commerce.SetName("commerce")
				if _, err := run.Platform.Create(t.Context(), platform.NatsAccount, commerce); err != nil {
					t.Fatal(err)
				}
				edit(t, run.Platform, func(l *ledger.Ledger) { l.Rows = []ledger.Row{active(1, "U1", "FirstIssue")} })
				err := remove(t.Context(), run)
				if waited := err != nil && strings.Contains(err.Error(), "1 credentials of NatsUser team-a/orders are not revoked yet"); waited != test.operator || !waited && err != nil {
					t.Errorf("it says %v", err)
				}
				if l := edit(t, run.Platform, func(*ledger.Ledger) {}); l.Rows[0].State != test.state || l.Tombstone.Done == test.operator {
					t.Errorf("the ledger has %+v, done: %t", l.Rows, l.Tombstone.Done)
				}
			})
		})
	}
}

// A deletion lets go of the request's Secrets, and asks those who wait for them.
func TestDeletionReleasesItsSecrets(t *testing.T) {
	run := newRun(t)
	secret := claim.Secret("eu-1", "team-a", "orders-nats")
	waiter := create(t, run.Platform, platform.NatsUser, "waiter", nil, map[string]any{})
	for _, o := range []*unstructured.Unstructured{run.Request, waiter} {
		if _, err := book(run).Acquire(t.Context(), secret, claim.OwnerOf(o), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := remove(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if c, err := book(run).Get(t.Context(), secret); err != nil || c == nil || c.State != claim.Releasing || !c.Deleted {
		t.Errorf("the claim is %+v: %v", c, err)
	}
	asked, err := run.Platform.Get(t.Context(), platform.NatsUser, "team-a", "waiter")
	if err != nil || asked.GetLabels()[kratix.LabelManualReconciliation] != "true" {
		t.Errorf("who waits has the labels %v: %v", asked.GetLabels(), err)
	}
}
