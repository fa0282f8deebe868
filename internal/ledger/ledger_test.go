package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
)

var (
	ctx     = context.Background()
	request = identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"}
	now     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func row(destination string, generation int64) Row {
	return Row{
		Destination: destination, Generation: generation, State: Active, User: fmt.Sprintf("U%d", generation), Reason: "FirstIssue", Issued: now,
		Expires: now.Add(time.Hour), Basis: Basis{Account: "commerce"}, Ciphertext: map[string]string{"nats.creds": "sealed"},
	}
}

func newBook() Book { return Book{Client: platform.NewMemory(func() time.Time { return now })} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, b Book) *Ledger {
	t.Helper()
	l, err := b.Get(ctx, request)
	must(t, err)
	return l
}

// What is saved is read again, is found by its account, and is not written twice.
func TestSave(t *testing.T) {
	b := newBook()
	l := get(t, b)
	if l.Exists() || l.Changed() && len(l.Rows) > 0 {
		t.Error("there is a ledger before one was made")
	}
	l.UID = "u"
	l.Add(row("us-1", 1))
	l.Add(row("eu-1", 2))
	l.Add(row("eu-1", 1))
	l.Tombstone = &Tombstone{UID: "u", At: now}
	l.MissingSince = now
	must(t, b.Save(ctx, l))
	again := get(t, b)
	if again.text() != l.text() || again.Changed() || !again.Exists() || again.Rows[0].Generation != 1 || again.Rows[2].Destination != "us-1" {
		t.Errorf("it reads\n%s\nand was\n%s", again.text(), l.text())
	}
	version := again.version
	must(t, b.Save(ctx, again))
	if get(t, b).version != version {
		t.Error("what has not changed was written")
	}
	for account, want := range map[string]int{"commerce": 1, "other": 0} {
		if found, err := b.Of(ctx, account); err != nil || len(found) != want {
			t.Errorf("%d ledgers of %s, %v", len(found), account, err)
		}
	}
	if all, err := b.All(ctx); err != nil || len(all) != 1 {
		t.Errorf("%d ledgers, %v", len(all), err)
	}
	must(t, b.Remove(ctx, get(t, b)))
	if get(t, b).Exists() {
		t.Error("it is still there")
	}
}

// Who comes second is told so, and has stored nothing.
func TestConflict(t *testing.T) {
	b := newBook()
	one, two := get(t, b), get(t, b)
	one.Add(row("eu-1", 1))
	two.Add(row("us-1", 1))
	must(t, b.Save(ctx, one))
	if err := b.Save(ctx, two); !errors.Is(err, ErrConflict) {
		t.Errorf("two at once make one: %v", err)
	}
	one, two = get(t, b), get(t, b)
	one.Add(row("eu-1", 2))
	two.Add(row("eu-1", 3))
	must(t, b.Save(ctx, one))
	if err := b.Save(ctx, two); !errors.Is(err, ErrConflict) {
		t.Errorf("two at once change it: %v", err)
	}
	one, two = get(t, b), get(t, b)
	must(t, b.Remove(ctx, one))
	two.UID = "x"
	if err := b.Save(ctx, two); !errors.Is(err, ErrConflict) {
		t.Errorf("it was removed meanwhile: %v", err)
	}
}

// lossy has its effect and loses the answer, as a retried request finds it.
type lossy struct{ platform.Client }

func (l lossy) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if _, err := l.Client.Update(ctx, kind, o); err != nil {
		return nil, err
	}
	return nil, apierrors.NewConflict(kind.GVR().GroupResource(), o.GetName(), errors.New("changed by an earlier try"))
}

// A conflict with one's own write, whose answer was lost, is none.
func TestLostAnswer(t *testing.T) {
	b := newBook()
	l := get(t, b)
	l.Add(row("eu-1", 1))
	must(t, b.Save(ctx, l))
	l.Add(row("eu-1", 2))
	must(t, Book{Client: lossy{b.Client}}.Save(ctx, l))
	l.Add(row("eu-1", 3))
	must(t, b.Save(ctx, l)) // it knows the version of that write
}

// A ledger bounds itself, and says how large it would be.
func TestTooLarge(t *testing.T) {
	b := newBook()
	l := get(t, b)
	for i := range 200 {
		r := row(fmt.Sprintf("cluster-%03d", i), 1)
		r.Ciphertext["nats.creds"] = strings.Repeat("x", 3500)
		l.Add(r)
	}
	must(t, b.Save(ctx, l)) // two hundred clusters are fine
	for i := range 60 {
		r := row(fmt.Sprintf("more-%03d", i), 1)
		r.Ciphertext["nats.creds"] = strings.Repeat("x", 3500)
		l.Add(r)
	}
	if err := l.Room(0); err == nil || !strings.Contains(err.Error(), "for 260 identities, and 900 KiB are allowed") {
		t.Errorf("%v", err)
	}
	must(t, b.Save(ctx, l)) // what is noted of rows that are there is still stored
	for i := range 60 {
		r := row(fmt.Sprintf("even-more-%03d", i), 1)
		r.Ciphertext["nats.creds"] = strings.Repeat("x", 3500)
		l.Add(r)
	}
	if err := b.Save(ctx, l); err == nil || !strings.Contains(err.Error(), "900 KiB are allowed") {
		t.Errorf("%v", err)
	}
}

// What is not a ledger is named, and nothing of it is believed.
func TestDamaged(t *testing.T) {
	for name, data := range map[string]map[string]any{
		"rows that are cut off": {"request": `{"Kind":"NatsUser","Namespace":"team-a","Name":"orders"}`, "rows": `{"destination":"eu`},
		"about another request": {"request": `{"Kind":"NatsUser","Namespace":"team-a","Name":"users"}`},
		"nothing":               {},
	} {
		b := newBook()
		_, err := b.Client.Create(ctx, platform.ConfigMap, &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "ledger-" + request.LongHash(), "namespace": Namespace}, "data": data,
		}})
		must(t, err)
		// It holds up no other.
		other := &Ledger{Request: identity.Request{Kind: "NatsUser", Namespace: "team-b", Name: "users"}}
		other.Add(row("eu-1", 1))
		must(t, b.Save(ctx, other))
		object, err := b.Client.Get(ctx, platform.ConfigMap, Namespace, "ledger-"+request.LongHash())
		must(t, err)
		object.SetLabels(map[string]string{labelLedger: "true"})
		_, err = b.Client.Update(ctx, platform.ConfigMap, object)
		must(t, err)
		var damaged *DamagedError
		if all, err := b.All(ctx); len(all) != 1 || !errors.As(err, &damaged) || len(damaged.Errs) != 1 {
			t.Errorf("%s: %d others are read: %v", name, len(all), err)
		}
		if _, err := b.Get(ctx, request); err == nil || !strings.Contains(err.Error(), "is not a ledger: restore it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Numbers only grow, also above those that are known only as having come before.
func TestNext(t *testing.T) {
	l := &Ledger{Request: request}
	r := row("eu-1", 3)
	r.Earlier = []Earlier{{Generation: 7}}
	l.Add(r)
	if l.Next("eu-1") != 8 || l.Next("us-1") != 1 {
		t.Errorf("eu-1 is next at %d, us-1 at %d", l.Next("eu-1"), l.Next("us-1"))
	}
}

// What is delivered is the newest active row of which there is something.
func TestCurrent(t *testing.T) {
	l := &Ledger{Request: request}
	without := row("eu-1", 3)
	without.Ciphertext = nil
	retiring := row("eu-1", 4)
	retiring.State = Retiring
	for _, r := range []Row{row("eu-1", 1), row("eu-1", 2), without, retiring} {
		l.Add(r)
	}
	if got := l.Current("eu-1"); got == nil || got.Generation != 2 {
		t.Errorf("it is %+v", got)
	}
	l.Row("eu-1", 3).Basis.Delivery.Retain = RetainNothing
	if got := l.Current("eu-1"); got.Generation != 3 {
		t.Errorf("it is %+v", got)
	}
}
