package natsuser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
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
				l.UID, l.Records = string(run.Request.GetUID()), []ledger.Record{active(1, "U1", "FirstIssue")}
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
			if l.Tombstone == nil || !l.Tombstone.Done || l.Count(ledger.Retired) != len(l.Records) {
				t.Errorf("afterwards the ledger has the tombstone %v and %+v", l.Tombstone, l.Records)
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
	if l := edit(t, run.Platform, func(*ledger.Ledger) {}); len(l.Records) != 1 || l.Records[0].User != "U1" || l.Records[0].State != ledger.Retired {
		t.Errorf("the ledger has %+v", l.Records)
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
				edit(t, run.Platform, func(l *ledger.Ledger) { l.Records = []ledger.Record{active(1, "U1", "FirstIssue")} })
				err := remove(t.Context(), run)
				if waited := err != nil && strings.Contains(err.Error(), "1 credentials of NatsUser team-a/orders are not revoked yet"); waited != test.operator || !waited && err != nil {
					t.Errorf("it says %v", err)
				}
				if l := edit(t, run.Platform, func(*ledger.Ledger) {}); l.Records[0].State != test.state || l.Tombstone.Done == test.operator {
					t.Errorf("the ledger has %+v, done: %t", l.Records, l.Tombstone.Done)
				}
			})
		})
	}
}

// A deletion releases the request's Secrets, and asks those who wait for them.
func TestDeletionReleasesItsSecrets(t *testing.T) {
	run := newRun(t)
	secret := claim.Secret("eu-1", "team-a", "orders-nats")
	waiter := create(t, run.Platform, platform.NatsUser, "waiter", nil, map[string]any{})
	for _, o := range []*unstructured.Unstructured{run.Request, waiter} {
		if _, err := claims(run).Acquire(t.Context(), secret, claim.OwnerOf(o), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := remove(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if c, err := claims(run).Get(t.Context(), secret); err != nil || c == nil || c.State != claim.Releasing || !c.Deleted {
		t.Errorf("the claim is %+v: %v", c, err)
	}
	asked, err := run.Platform.Get(t.Context(), platform.NatsUser, "team-a", "waiter")
	if err != nil || asked.GetLabels()[kratix.LabelManualReconciliation] != "true" {
		t.Errorf("who waits has the labels %v: %v", asked.GetLabels(), err)
	}
}

// answering is a cluster on which an account that is asked to reconcile has revoked,
// seven seconds later, what is queued of it.
type answering struct {
	platform.Client
	t *testing.T
}

func (a answering) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if kind.Kind == platform.NatsAccount.Kind {
		time.AfterFunc(7*time.Second, func() {
			edit(a.t, a.Client, func(l *ledger.Ledger) {
				for i := range l.Records {
					if r := &l.Records[i]; r.State == ledger.Retiring && r.Basis.Account == name {
						r.State, r.Revoked = ledger.Retired, now
					}
				}
			})
		})
	}
	return a.Client.Patch(ctx, kind, namespace, name, patch)
}

// What a deletion makes of a ledger, whom it asks, what it says and how long it waits,
// by what was issued and by which accounts are there: commerce can revoke, payments
// has no operator's key, the spec of broken is wrong, and others are gone.
func TestDeletion(t *testing.T) {
	const own, former = "00000000-0000-4000-8000-000000000001", "former"
	earlier := now.Add(-time.Hour)
	type tombstone = *ledger.Tombstone
	done, begun := &ledger.Tombstone{UID: own, At: now, Done: true}, &ledger.Tombstone{UID: own, At: now}
	for _, test := range []struct {
		name     string
		policy   string
		rows     []ledger.Record
		uid      string    // of the ledger
		before   tombstone // left by another deletion
		dry      bool
		answers  bool // the accounts that are asked revoke
		refuses  bool // the account refuses Retain
		fates    string
		after    tombstone
		says     string
		asked    string
		warns    string
		waits    time.Duration
		noLedger bool // afterwards
	}{
		{name: "it never had a credential", policy: "Revoke", noLedger: true},
		{name: "of one, only what it had is forgotten", policy: "Revoke", before: &ledger.Tombstone{UID: own, At: earlier, Done: true}, uid: own,
			after: &ledger.Tombstone{UID: own, At: earlier, Done: true}},
		{name: "the account revokes", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "commerce")}, answers: true,
			fates: "U1 Retired revoked", after: done, asked: "baleen-system/commerce", waits: 10 * time.Second},
		{name: "it asks for nothing else by default", rows: []ledger.Record{issued(1, "U1", "commerce")}, answers: true,
			fates: "U1 Retired revoked", after: done, asked: "baleen-system/commerce", waits: 10 * time.Second},
		{name: "what the spec says makes no sense", policy: "Keep", rows: []ledger.Record{issued(1, "U1", "commerce")}, answers: true,
			fates: "U1 Retired revoked", after: done, asked: "baleen-system/commerce", waits: 10 * time.Second},
		{name: "the account does not revoke", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "commerce"), issued(2, "U2", "commerce")},
			fates: "U1 Retiring, U2 Retiring", after: begun, asked: "baleen-system/commerce", waits: time.Minute,
			says: "2 credentials of NatsUser team-a/orders are not revoked yet: NatsAccount commerce was asked to and has not done so; see its status, the deletion is tried again when it has"},
		{name: "credentials are to live on", policy: "Retain", rows: []ledger.Record{issued(1, "U1", "commerce"), issued(2, "U2", "commerce", retiring)},
			fates: "U1 Retired, U2 Retired", after: done},
		{name: "credentials are to live on, and the account refuses that", policy: "Retain", refuses: true, rows: []ledger.Record{issued(1, "U1", "commerce")}, answers: true,
			fates: "U1 Retired revoked", after: done, asked: "baleen-system/commerce", waits: 10 * time.Second},
		{name: "no run has carried out the intent", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "commerce", intended)}, answers: true,
			fates: "U1 Retired revoked", after: done, asked: "baleen-system/commerce", waits: 10 * time.Second},
		{name: "it was retired before", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "commerce", retired)},
			fates: "U1 Retired", after: done},
		{name: "another deletion of it has begun", policy: "Revoke", uid: own, before: &ledger.Tombstone{UID: own, At: earlier}, rows: []ledger.Record{issued(1, "U1", "commerce", retired)},
			fates: "U1 Retired", after: &ledger.Tombstone{UID: own, At: earlier, Done: true}},
		{name: "a former incarnation was deleted", policy: "Revoke", uid: former, before: &ledger.Tombstone{UID: former, At: earlier, Done: true}, rows: []ledger.Record{issued(1, "U1", "commerce", retired)},
			fates: "U1 Retired", after: done},
		{name: "the account cannot revoke", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "payments")},
			fates: "U1 Retired", after: done, warns: "live until they expire"},
		{name: "one account revokes, one cannot", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "payments"), issued(2, "U2", "commerce")}, answers: true,
			fates: "U1 Retired, U2 Retired revoked", after: done, asked: "baleen-system/commerce", warns: "live until they expire", waits: 10 * time.Second},
		{name: "the account's spec may be mended", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "broken")},
			fates: "U1 Retiring", after: begun, asked: "baleen-system/broken", waits: time.Minute,
			says: "1 credentials of NatsUser team-a/orders are not revoked yet: NatsAccount broken was asked to and has not done so; see its status, the deletion is tried again when it has"},
		{name: "the account is gone", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "gone")},
			fates: "U1 Retiring", after: begun,
			says: "NatsAccount gone of NatsUser team-a/orders is gone, so nobody can revoke its credentials: make the account again, or set spec.deletionPolicy to Retain to let them live until they expire"},
		{name: "the account is gone, and its users have expired", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "gone", kept, expired)},
			fates: "U1 Retired removed", after: done, warns: "stay at the provider"},
		{name: "the account is gone, and one of its users lives", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "gone", kept, expired), issued(2, "U2", "gone", kept)},
			fates: "U1 Retiring, U2 Retiring", after: begun,
			says: "NatsAccount gone of NatsUser team-a/orders is gone, so nobody can revoke its credentials: make the account again, or set spec.deletionPolicy to Retain to let them live until they expire"},
		{name: "an account is gone and another revokes", policy: "Revoke", rows: []ledger.Record{issued(1, "U1", "gone", kept, expired), issued(2, "U2", "commerce")}, answers: true,
			fates: "U1 Retired removed, U2 Retired revoked", after: done, asked: "baleen-system/commerce", warns: "stay at the provider", waits: 10 * time.Second},
		{name: "a dry run", policy: "Revoke", uid: former, rows: []ledger.Record{issued(1, "U1", "commerce"), issued(2, "U2", "commerce", retiring)}, dry: true,
			fates: "U1 Active sealed, U2 Retiring sealed"},
		{name: "a dry run of what has nothing", policy: "Revoke", dry: true, noLedger: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run := newRun(t)
				memory := run.Platform
				run.Request.Object["spec"] = map[string]any{}
				if test.policy != "" {
					run.Request.Object["spec"] = map[string]any{"deletionPolicy": test.policy}
				}
				var log bytes.Buffer
				run.Log = slog.New(slog.NewTextHandler(&log, nil))
				for name, kind := range map[string]string{"commerce": "operated", "payments": "plain", "broken": "invalid"} {
					declare(t, memory, name, kind)
				}
				if test.refuses {
					run.Request.Object["spec"].(map[string]any)["accountRef"] = map[string]any{"name": "commerce"}
					if _, err := memory.Patch(t.Context(), platform.NatsAccount, account.Namespace, "commerce", map[string]any{"spec": map[string]any{"policy": map[string]any{"refuseRetain": true}}}); err != nil {
						t.Fatal(err)
					}
				}
				if test.before != nil || test.rows != nil {
					edit(t, memory, func(l *ledger.Ledger) { l.UID, l.Tombstone, l.Records = test.uid, test.before, test.rows })
				}
				if test.answers {
					run.Platform = answering{memory, t}
				}
				if test.dry {
					run.DryRun, run.Platform = true, platform.ReadOnly(memory)
				}
				begin := time.Now()
				err := remove(t.Context(), run)
				if said := fmt.Sprint(err); said != test.says && (err != nil || test.says != "") {
					t.Errorf("it says\n%v, want\n%s", err, test.says)
				}
				if waited := time.Since(begin); waited != test.waits { // by the clock of the bubble
					t.Errorf("it waits for %s, want %s", waited, test.waits)
				}
				if got := workflowtest.Notified(t, memory, platform.NatsAccount); got != test.asked {
					t.Errorf("it asks %q, want %q", got, test.asked)
				}
				if said := log.String(); !strings.Contains(said, test.warns) || said != "" && test.warns == "" || strings.Count(said, "\n") > 1 {
					t.Errorf("it warns of %q, want %q", said, test.warns)
				}
				l, err := ledger.Store{Client: memory}.Get(t.Context(), orders)
				if err != nil || l.Exists() == test.noLedger {
					t.Fatalf("it has a ledger: %t, want %t: %v", l.Exists(), !test.noLedger, err)
				}
				if got := fates(l.Records); got != test.fates {
					t.Errorf("it leaves\n%s, want\n%s", got, test.fates)
				}
				if diff := cmp.Diff(test.after, l.Tombstone); diff != "" {
					t.Errorf("the tombstone: %s", diff)
				}
				if want := map[bool]string{true: own, false: test.uid}[test.uid == "" && !test.noLedger]; l.UID != want {
					t.Errorf("the ledger is of %q, want %q", l.UID, want)
				}
			})
		})
	}
}

// deleting is a platform on which the request, which holds a Secret that another one
// waits for, is to be deleted while a configure run of it is there.
func deleting(t *testing.T) *workflow.Run {
	t.Helper()
	run := newRun(t)
	run.Request.Object["spec"] = map[string]any{}
	declare(t, run.Platform, "commerce", "operated")
	declare(t, run.Platform, "payments", "plain")
	edit(t, run.Platform, func(l *ledger.Ledger) {
		l.UID = string(run.Request.GetUID())
		l.Records = []ledger.Record{
			issued(1, "U1", "payments"), issued(2, "U2", "gone", kept, expired, retiring), issued(3, "U3", "commerce"), issued(4, "U4", "commerce", intended),
		}
	})
	waiter := create(t, run.Platform, platform.NatsUser, "waiter", nil, map[string]any{})
	for _, o := range []*unstructured.Unstructured{run.Request, waiter} {
		if _, err := claims(run).Acquire(t.Context(), claim.Secret("eu-1", "team-a", "orders-nats"), claim.OwnerOf(o), nil); err != nil {
			t.Fatal(err)
		}
	}
	create(t, run.Platform, platform.Job, "configure", map[string]string{
		kratix.LabelPromise: promise, kratix.LabelResource: "orders", kratix.LabelAction: string(kratix.Configure),
	}, map[string]any{})
	return run
}

// A deletion that is interrupted at any call, or finds that somebody else was faster,
// has retired everything when it says that it is done, and comes to the same end when
// it is run again.
func TestInterruptedDeletion(t *testing.T) {
	kinds := []platform.Kind{platform.ConfigMap, platform.Job, platform.NatsUser, platform.NatsAccount}
	undisturbed, counted := map[string]any{}, 0
	calls := 0
	// Who is interrupted may have counted too much, and never too little.
	world := func(client platform.Client) (map[string]any, int) {
		all := platformtest.Contents(t, client, kinds...)
		for name := range all {
			if strings.HasPrefix(name, "ConfigMap baleen-state/churn-") {
				delete(all, name)
			}
		}
		count, err := churn.Store{Client: client}.Get(t.Context(), "commerce", "team-a")
		if err != nil {
			t.Fatal(err)
		}
		return all, count.Left(now)
	}
	synctest.Test(t, func(t *testing.T) {
		run := deleting(t)
		memory := run.Platform
		counting := platformtest.At(answering{memory, t}, 0, platformtest.Refused)
		run.Platform = counting
		if err := remove(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		calls = counting.Calls
		undisturbed, counted = world(memory)
		l := edit(t, memory, func(*ledger.Ledger) {})
		if got, want := fates(l.Records), "U1 Retired, U2 Retired removed, U3 Retired revoked, U4 Retired revoked"; got != want {
			t.Fatalf("undisturbed it leaves %s, want %s", got, want)
		}
		if got := workflowtest.Notified(t, memory, platform.NatsUser); got != "team-a/waiter" {
			t.Fatalf("undisturbed it asks %q", got)
		}
	})
	for _, how := range []platformtest.Fault{platformtest.Refused, platformtest.Lost, platformtest.Overtaken} {
		for at := range calls {
			t.Run(fmt.Sprintf("%s at call %d", how, at+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					run := deleting(t)
					memory := run.Platform
					faulty := platformtest.At(answering{memory, t}, at+1, how)
					run.Platform = faulty
					err := remove(t.Context(), run)
					if (how == platformtest.Refused) != (err != nil) && how != platformtest.Lost || err != nil && !platform.IsTransient(err) {
						t.Errorf("it says %v", err)
					}
					l := edit(t, memory, func(*ledger.Ledger) {})
					if live := len(l.Records) - l.Count(ledger.Retired); live > 0 && (err == nil || l.Tombstone != nil && l.Tombstone.Done) {
						t.Errorf("it is said to be done, and the ledger has %s", fates(l.Records))
					}
					run.Platform = answering{memory, t}
					if err := remove(t.Context(), run); err != nil {
						t.Errorf("run again it says %v", err)
					}
					left, n := world(memory)
					if diff := cmp.Diff(undisturbed, left); diff != "" || n < counted || n > 2*counted {
						t.Errorf("it comes to another end, with %d former credentials instead of %d: %s", n, counted, diff)
					}
				})
			})
		}
	}
}

// Of an account that is gone nothing is left to revoke once all that it was to revoke
// has expired; what it was not to revoke says nothing, nor does another's.
func TestAbandoned(t *testing.T) {
	live := func(*ledger.Record) {}
	for _, test := range []struct {
		name      string
		rows      []ledger.Record
		abandoned bool
		fates     string // once it is settled
	}{
		{"it has expired", []ledger.Record{issued(1, "U1", "gone", retiring, expired)}, true, "U1 Retired sealed"},
		{"its user has, at the provider", []ledger.Record{issued(1, "U1", "gone", retiring, expired, kept)}, true, "U1 Retired removed sealed"},
		{"it lives", []ledger.Record{issued(1, "U1", "gone", retiring, kept)}, false, "U1 Retired sealed"},
		{"it lives, and is delivered", []ledger.Record{issued(1, "U1", "gone", live)}, true, "U1 Active sealed"},
		{"another account's lives", []ledger.Record{issued(1, "U1", "commerce", retiring)}, true, "U1 Retiring sealed"},
		{"one of two lives", []ledger.Record{issued(1, "U1", "gone", retiring, expired), issued(2, "U2", "gone", retiring)}, false, "U1 Retired sealed, U2 Retired sealed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &ledger.Ledger{Request: orders, Records: test.rows}
			if got := abandoned(l, "gone", now); got != test.abandoned {
				t.Errorf("it is abandoned: %t, want %t", got, test.abandoned)
			}
			abandon(l, "gone", now)
			if got := fates(l.Records); got != test.fates {
				t.Errorf("it becomes %s, want %s", got, test.fates)
			}
		})
	}
}

// Two requests of one name in two namespaces have nothing to do with each other: the
// deletion of one takes nothing from the other.
func TestDeletionSparesItsNamesake(t *testing.T) {
	run := newRun(t)
	theirs := orders
	theirs.Namespace = "team-b"
	ledgers := ledger.Store{Client: run.Platform}
	namesake := &ledger.Ledger{Request: theirs, UID: "2", Records: []ledger.Record{issued(1, "U2", "commerce")}}
	if err := ledgers.Save(t.Context(), namesake); err != nil {
		t.Fatal(err)
	}
	edit(t, run.Platform, func(l *ledger.Ledger) { l.Records = []ledger.Record{issued(1, "U1", "commerce")} })
	owner := claim.OwnerOf(run.Request)
	other := owner
	other.Namespace, other.UID = "team-b", "2"
	for secret, o := range map[string]claim.Owner{"mine": owner, "theirs": other} {
		if _, err := claims(run).Acquire(t.Context(), claim.Secret("eu-1", "shared", secret), o, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := remove(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	states := map[string]claim.State{}
	for _, secret := range []string{"mine", "theirs"} {
		c, err := claims(run).Get(t.Context(), claim.Secret("eu-1", "shared", secret))
		if err != nil {
			t.Fatal(err)
		}
		states[secret] = c.State
	}
	if want := map[string]claim.State{"mine": claim.Releasing, "theirs": claim.Held}; !maps.Equal(states, want) {
		t.Errorf("the claims are %v, want %v", states, want)
	}
	if l, err := ledgers.Get(t.Context(), theirs); err != nil || l.Tombstone != nil || fates(l.Records) != "U2 Active sealed" {
		t.Errorf("its namesake has %+v: %v", l, err)
	}
}

// unreadable is a platform on which accounts may not be read.
type unreadable struct{ platform.Client }

func (u unreadable) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if kind == platform.NatsAccount {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "natsaccounts"}, name, errors.New("no"))
	}
	return u.Client.Get(ctx, kind, namespace, name)
}

// Where nobody can tell whether the account refuses Retain, nothing is decided.
func TestRetainIsNotGuessed(t *testing.T) {
	run := newRun(t)
	run.Request.Object["spec"] = map[string]any{"deletionPolicy": "Retain", "accountRef": map[string]any{"name": "commerce"}}
	if revoke, err := revokes(t.Context(), run); revoke || err != nil {
		t.Errorf("of an account that is not there: %t, %v", revoke, err)
	}
	run.Platform = unreadable{run.Platform}
	if revoke, err := revokes(t.Context(), run); !apierrors.IsForbidden(err) {
		t.Errorf("of one that may not be read: %t, %v", revoke, err)
	}
}
