package pipelines_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// settle runs whoever was notified, as Kratix does, until nobody is, and returns how
// many runs that took.
func (l *live) settle() int {
	l.Helper()
	for runs := 0; ; {
		before := runs
		for _, kind := range []platform.Kind{platform.NatsAccount, platform.NatsUser} {
			objects, err := l.Client.List(l.Context(), kind, "", map[string]string{kratix.LabelManualReconciliation: "true"})
			if err != nil {
				l.Fatal(err)
			}
			for _, o := range objects {
				if kratix.IsPaused(&o) {
					continue
				}
				runs++
				l.Now = l.Now.Add(5 * time.Second)
				if o := l.Reconcile(kind, o.GetNamespace(), o.GetName()); o.Err != nil {
					l.Fatal(o.Err)
				}
			}
		}
		if runs == before {
			return runs
		}
		if runs > 50 {
			l.Fatal("the account and its users notify each other without end")
		}
	}
}

// wantAttention looks at whom the account's status names.
func (l *live) wantAttention(when string, want ...string) {
	l.Helper()
	o, err := l.Client.Get(l.Context(), platform.NatsAccount, "baleen-system", "commerce")
	if err != nil {
		l.Fatal(err)
	}
	names, _, _ := unstructured.NestedStringSlice(o.Object, "status", "attentionNames")
	n, _, _ := unstructured.NestedInt64(o.Object, "status", "needAttention")
	message, _, _ := unstructured.NestedString(o.Object, "status", "message")
	if strings.Join(names, ", ") != strings.Join(want, ", ") || int(n) != len(want) || !strings.Contains(message, fmt.Sprintf("of which %d need attention", len(want))) {
		l.Errorf("%s, %d need attention: %v (%s); want %v", when, n, names, message, want)
	}
}

func (l *live) wantRuns(when string, got, want int) {
	l.Helper()
	if got != want {
		l.Errorf("%s: %d runs, want %d", when, got, want)
	}
}

// What an account says of its users is right once all have come to rest, whatever was
// applied first, and without a run of its own for each of them.
func TestAttentionOfWhatIsAppliedTogether(t *testing.T) {
	user := func(name string) string {
		return strings.NewReplacer("name: orders,", "name: "+name+",", "name: orders-nats", "name: "+name+"-nats").Replace(example(t, "nats-user"))
	}
	t.Run("users first", func(t *testing.T) {
		l := newLive(t)
		l.RemoveAll("baleen-system/NatsAccount.baleen.dev")
		for i := range 3 {
			if _, reason, _ := l.Apply(user(fmt.Sprintf("u%d", i))).Ready(); reason != "AccountNotFound" {
				t.Fatal(reason)
			}
			l.Now = l.Now.Add(time.Second)
		}
		l.wantReason("Verified", "3 users")
		l.wantAttention("before the users have run again")
		l.wantRuns("users that were notified", l.settle(), 3)
		l.wantAttention("when all are delivered")
		l.wantReason("Verified", "3 users")
		l.wantRuns("after another run of the account", l.settle(), 0)
	})
	t.Run("a user that has not run yet", func(t *testing.T) {
		l := newLive(t)
		l.Write(txtar.File{Name: "team-a/NatsUser.baleen.dev/orders.yaml", Data: []byte(strings.Replace(user("orders"), "namespace: team-a", fmt.Sprintf("namespace: team-a, creationTimestamp: '%s'", l.Now.Format(time.RFC3339)), 1))})
		l.wantReason("Verified", "1 user")
		l.wantAttention("when it is new")
		l.Now = l.Now.Add(15 * time.Minute)
		l.wantReason("Verified", "1 user")
		l.wantAttention("when it should have run", "team-a/orders")
		l.Reconcile(platform.NatsUser, "team-a", "orders")
		l.wantRuns("when it has run", l.settle(), 1)
		l.wantAttention("when it has run")
	})
}

// Who is refused is counted at once, and no more once it was mended or is gone: it
// notifies the account that names it, once.
func TestAttentionIsCorrected(t *testing.T) {
	refused := strings.Replace(example(t, "nats-user"), `publish: {allow: ["orders.>"]}`, `publish: {allow: ["payments.>"]}`, 1)
	for _, end := range []string{"mended", "deleted"} {
		t.Run(end, func(t *testing.T) {
			l := newLive(t)
			l.wantReason("Verified", "")
			if _, reason, _ := l.Apply(refused).Ready(); reason != "NotAdmitted" {
				t.Fatal(reason)
			}
			l.wantReason("Verified", "1 user")
			l.wantAttention("while it is refused", "team-a/orders NotAdmitted")
			l.Apply(refused)
			l.wantRuns("refused as before", l.settle(), 0)
			if end == "mended" {
				l.Apply(example(t, "nats-user"))
			} else if o := l.Delete(refused); o.Err != nil {
				t.Fatal(o.Err)
			}
			l.wantRuns(end, l.settle(), 1)
			l.wantAttention(end)
			if end == "mended" {
				l.Apply(example(t, "nats-user"))
				l.wantRuns("delivered as before", l.settle(), 0)
			}
		})
	}
}

// A request that is paused is renewed by nobody, though it is ready: the account says so.
func TestAttentionOfPaused(t *testing.T) {
	for name, pause := range map[string]func(*unstructured.Unstructured){
		"by its label": func(o *unstructured.Unstructured) { o.SetLabels(map[string]string{kratix.LabelPaused: "true"}) },
		"by its Promise": func(o *unstructured.Unstructured) {
			conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
			_ = unstructured.SetNestedSlice(o.Object, append(conditions, map[string]any{
				"type": "Reconciled", "status": "Unknown", "reason": "PausedReconciliation", "message": "Paused", "lastTransitionTime": "2026-08-01T12:00:00Z",
			}), "status", "conditions")
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t)
			l.wantReason("Verified", "")
			l.Apply(example(t, "nats-user"))
			o, err := l.Client.Get(t.Context(), platform.NatsUser, "team-a", "orders")
			if err != nil {
				t.Fatal(err)
			}
			pause(o)
			if o, err = l.Client.Update(t.Context(), platform.NatsUser, o); err != nil {
				t.Fatal(err)
			}
			pause(o)
			if _, err := l.Client.UpdateStatus(t.Context(), platform.NatsUser, o); err != nil {
				t.Fatal(err)
			}
			l.wantReason("Verified", "1 user")
			l.wantAttention("while it is paused", "team-a/orders Paused")
			if o, err = l.Client.Get(t.Context(), platform.NatsUser, "team-a", "orders"); err != nil {
				t.Fatal(err)
			}
			if o.GetLabels()[kratix.LabelManualReconciliation] != "true" {
				t.Error("nobody has it run when it is paused no more: Kratix may not look at it again")
			}
			o.SetLabels(nil)
			conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
			_ = unstructured.SetNestedSlice(o.Object, conditions[:1], "status", "conditions") // as Kratix does, before it runs the pipeline
			if o, err = l.Client.Update(t.Context(), platform.NatsUser, o); err == nil {
				_ = unstructured.SetNestedSlice(o.Object, conditions[:1], "status", "conditions")
				_, err = l.Client.UpdateStatus(t.Context(), platform.NatsUser, o)
			}
			if err != nil {
				t.Fatal(err)
			}
			l.Reconcile(platform.NatsUser, "team-a", "orders")
			l.wantRuns("when it goes on", l.settle(), 1)
			l.wantAttention("when it goes on")
		})
	}
}
