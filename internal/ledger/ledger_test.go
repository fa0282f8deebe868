package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
)

var (
	ctx     = context.Background()
	request = identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"}
	now     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func row(destination string, generation int64) Record {
	return Record{
		Destination: destination, Generation: generation, State: Active, User: fmt.Sprintf("U%d", generation), Reason: "FirstIssue", Issued: now,
		Expires: now.Add(time.Hour), Basis: Basis{Account: "commerce"}, Ciphertext: map[string]string{"nats.creds": "sealed"},
	}
}

func newBook() Store { return Store{Client: platform.NewMemory(func() time.Time { return now })} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, b Store) *Ledger {
	t.Helper()
	l, err := b.Get(ctx, request)
	must(t, err)
	return l
}

// A ledger whose last row is forgotten is still found by the account that forgot it,
// which is to remove it; one that has rows is found by the accounts of those alone.
func TestFoundWithoutRows(t *testing.T) {
	for _, test := range []struct {
		name   string
		reread bool
		rows   []Record
		found  map[string]bool
	}{
		{"no rows are left", false, nil, map[string]bool{"commerce": true, "payments": true}},
		{"no rows are left of one that was read", true, nil, map[string]bool{"commerce": true, "payments": true}},
		{"one is left", true, []Record{row("eu-1", 1)}, map[string]bool{"commerce": true, "payments": false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			l := get(t, b)
			l.Add(row("eu-1", 1))
			other := row("us-1", 1)
			other.Basis.Account = "payments"
			l.Add(other)
			must(t, b.Save(ctx, l))
			if test.reread {
				l = get(t, b)
			}
			l.Records = test.rows
			l.Tombstone = &Tombstone{UID: "u", At: now}
			must(t, b.Save(ctx, l))
			l = get(t, b)
			l.Tombstone.Done = true // and once more
			must(t, b.Save(ctx, l))
			for account, want := range test.found {
				if all, err := b.Of(ctx, account); err != nil || len(all) == 1 != want {
					t.Errorf("NatsAccount %s finds %d ledgers: %v", account, len(all), err)
				}
			}
		})
	}
}

// What is saved is read again, is found by its account, and is not written twice.
func TestSave(t *testing.T) {
	b := newBook()
	l := get(t, b)
	if l.Exists() || l.Changed() && len(l.Records) > 0 {
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
	if *again.Tombstone != *l.Tombstone || again.MissingSince != l.MissingSince || again.UID != l.UID || !reflect.DeepEqual(again.Records, l.Records) {
		t.Errorf("it reads %+v", again)
	}
	if again.text() != l.text() || again.Changed() || !again.Exists() || again.Records[0].Generation != 1 || again.Records[2].Destination != "us-1" {
		t.Errorf("it reads\n%s\nand was\n%s", again.text(), l.text())
	}
	must(t, Store{Client: failing{b.Client, "update", errors.New("what has not changed was written")}}.Save(ctx, again))
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
	one.Add(row("eu-1", 4))
	must(t, b.Save(ctx, one))
	must(t, b.Remove(ctx, two)) // who changed it has decided anew
	if left := get(t, b); left.Record("eu-1", 4) == nil {
		t.Errorf("a ledger was removed that others had changed; there is %+v", left)
	}
	one, two = get(t, b), get(t, b)
	must(t, b.Remove(ctx, one))
	must(t, b.Remove(ctx, one)) // it is gone, as it should be
	two.UID = "x"
	if err := b.Save(ctx, two); !errors.Is(err, ErrConflict) {
		t.Errorf("it was removed meanwhile: %v", err)
	}
}

// failing is a platform where one verb fails.
type failing struct {
	platform.Client
	verb string
	err  error
}

func (f failing) fails(verb string) error {
	if verb == f.verb {
		return f.err
	}
	return nil
}

func (f failing) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if err := f.fails("get"); err != nil {
		return nil, err
	}
	return f.Client.Get(ctx, kind, namespace, name)
}

func (f failing) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	if err := f.fails("list"); err != nil {
		return nil, err
	}
	return f.Client.List(ctx, kind, namespace, labels)
}

func (f failing) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := f.fails("create"); err != nil {
		return nil, err
	}
	return f.Client.Create(ctx, kind, o)
}

func (f failing) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := f.fails("update"); err != nil {
		return nil, err
	}
	return f.Client.Update(ctx, kind, o)
}

func (f failing) Delete(ctx context.Context, kind platform.Kind, namespace, name string, p platform.Preconditions) error {
	if err := f.fails("delete"); err != nil {
		return err
	}
	return f.Client.Delete(ctx, kind, namespace, name, p)
}

// Whatever the platform answers, what could not be done is told in words, and is not
// taken for done.
func TestPlatformFails(t *testing.T) {
	resource := platform.ConfigMap.GVR().GroupResource()
	away, missing, conflict := errors.New("away"), apierrors.NewNotFound(resource, "x"), apierrors.NewConflict(resource, "x", errors.New("changed"))
	save := func(b Store, l *Ledger) error { l.UID = "new"; return b.Save(ctx, l) }
	remove := func(b Store, l *Ledger) error { return b.Remove(ctx, l) }
	for _, test := range []struct {
		name   string
		stored bool
		verb   string
		err    error
		do     func(Store, *Ledger) error
		want   string
	}{
		{"it cannot be read", true, "get", away, func(b Store, _ *Ledger) error { _, err := b.Get(ctx, request); return err }, "the ledger of NatsUser team-a/orders cannot be read: away"},
		{"they cannot be listed", true, "list", away, func(b Store, _ *Ledger) error { _, err := b.All(ctx); return err }, "the ledgers cannot be listed: away"},
		{"it cannot be made", false, "create", away, save, "the ledger of team-a/orders cannot be written: away"},
		{"it has no namespace", false, "create", missing, save, "the namespace baleen-state is missing: create it"},
		{"it cannot be changed", true, "update", away, save, "the ledger of team-a/orders cannot be written: away"},
		{"it was removed meanwhile", true, "update", missing, save, ErrConflict.Error()},
		{"it cannot be removed", true, "delete", away, remove, "the ledger of team-a/orders cannot be removed: away"},
		{"it was changed before it was removed", true, "delete", conflict, remove, ""},
		{"it was gone before it was removed", true, "delete", missing, remove, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			l := get(t, b)
			if test.stored {
				l.Add(row("eu-1", 1))
				must(t, b.Save(ctx, l))
			}
			err := test.do(Store{Client: failing{b.Client, test.verb, test.err}}, l)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("it says %v, want %q", err, test.want)
			}
		})
	}
	t.Run("it was changed, and cannot be read", func(t *testing.T) {
		b := newBook()
		l := get(t, b)
		must(t, save(b, l))
		l.Add(row("eu-1", 1))
		err := Store{Client: failing{failing{b.Client, "update", conflict}, "get", away}}.Save(ctx, l)
		if err == nil || !strings.Contains(err.Error(), "the ledger of team-a/orders cannot be read: away") {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("it was damaged meanwhile", func(t *testing.T) {
		b := newBook()
		l := get(t, b)
		must(t, save(b, l))
		_, err := b.Client.Patch(ctx, platform.ConfigMap, Namespace, name(request), map[string]any{"data": map[string]any{"rows": "{"}})
		must(t, err)
		l.Add(row("eu-1", 1))
		if err := b.Save(ctx, l); err == nil || !strings.Contains(err.Error(), "is not a ledger") {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("it cannot be written down", func(t *testing.T) {
		b := newBook()
		l := get(t, b)
		r := row("eu-1", 1)
		r.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // of which JSON has no form
		l.Add(r)
		if err := b.Save(ctx, l); err == nil || get(t, b).Exists() {
			t.Errorf("it says %v", err)
		}
	})
}

// The server's time is that of the last write to an object.
func TestServerTime(t *testing.T) {
	at := func(hours ...int) []metav1.ManagedFieldsEntry {
		entries := []metav1.ManagedFieldsEntry{{}} // one without a time
		for _, h := range hours {
			entries = append(entries, metav1.ManagedFieldsEntry{Time: &metav1.Time{Time: now.Add(time.Duration(h) * time.Hour)}})
		}
		return entries
	}
	for name, test := range map[string]struct {
		fields []metav1.ManagedFieldsEntry
		want   time.Time
	}{
		"nobody tells": {nil, time.Time{}}, "no time": {at(), time.Time{}}, "the last is first": {at(3, 1), now.Add(3 * time.Hour)}, "the last is last": {at(1, 3), now.Add(3 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			l := get(t, b)
			l.UID = "u"
			must(t, b.Save(ctx, l))
			object, err := b.Client.Get(ctx, platform.ConfigMap, Namespace, "ledger-"+request.LongHash())
			must(t, err)
			object.SetManagedFields(test.fields)
			if l, err = decode(object); err != nil || !l.ServerTime().Equal(test.want) {
				t.Errorf("it is %s, %v", l.ServerTime(), err)
			}
		})
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
	must(t, Store{Client: lossy{b.Client}}.Save(ctx, l))
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

// Each bound is the last size that fits.
func TestBounds(t *testing.T) {
	l := &Ledger{Request: request}
	l.Add(row("eu-1", 1))
	room := MaxBytes - len(l.text())
	for _, test := range []struct {
		name string
		err  error
		full bool
	}{
		{"what may be added", l.Room(room), false},
		{"one byte more", l.Room(room + 1), true},
		{"what may be stored", func() error { _, err := encode(l, nil, hardBytes); return err }(), false},
		{"one byte more than that", func() error { _, err := encode(l, nil, hardBytes+1); return err }(), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if (test.err != nil) != test.full {
				t.Errorf("it says %v", test.err)
			}
		})
	}
}

// What is not a ledger is named, and nothing of it is believed.
func TestDamaged(t *testing.T) {
	const own = `{"Kind":"NatsUser","Namespace":"team-a","Name":"orders"}`
	for _, test := range []struct {
		name string
		data map[string]any
		says string
	}{
		{"rows that are cut off", map[string]any{"request": own, "rows": `{"destination":"eu`}, "unexpected end of JSON input"},
		{"a row that is cut off before a whole one", map[string]any{"request": own, "rows": "{\n{}\n"}, "unexpected end of JSON input"},
		{"a tombstone that is cut off", map[string]any{"request": own, "tombstone": "{", "missingSince": "2026-01-01T00:00:00Z"}, "unexpected end of JSON input"},
		{"a time that is none", map[string]any{"request": own, "missingSince": "yesterday"}, "parsing time"},
		{"a request that is cut off", map[string]any{"request": "{"}, "unexpected end of JSON input"},
		{"about another request", map[string]any{"request": `{"Kind":"NatsUser","Namespace":"team-a","Name":"users"}`}, "it is about NatsUser team-a/users"},
		{"data that are no text", map[string]any{"rows": int64(7)}, "accessor error"},
		{"nothing", map[string]any{}, "it is about"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			_, err := b.Client.Create(ctx, platform.ConfigMap, &unstructured.Unstructured{Object: map[string]any{
				"metadata": map[string]any{"name": "ledger-" + request.LongHash(), "namespace": Namespace, "labels": map[string]any{labelLedger: "true"}}, "data": test.data,
			}})
			must(t, err)
			// It holds up no other.
			other := &Ledger{Request: identity.Request{Kind: "NatsUser", Namespace: "team-b", Name: "users"}}
			other.Add(row("eu-1", 1))
			must(t, b.Save(ctx, other))
			var damaged *DamagedError
			if all, err := b.All(ctx); len(all) != 1 || !errors.As(err, &damaged) || len(damaged.Errs) != 1 {
				t.Errorf("%d others are read: %v", len(all), err)
			}
			if _, err := b.Get(ctx, request); err == nil || !strings.Contains(err.Error(), "is not a ledger: restore it") || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// Numbers only grow, also above those that are known only as having come before.
func TestNext(t *testing.T) {
	earlier := func(r Record, generation int64) Record { r.Earlier = []Earlier{{Generation: generation}}; return r }
	for name, test := range map[string]struct {
		rows []Record
		want int64
	}{
		"nothing yet": {nil, 1}, "above what there is": {[]Record{row("eu-1", 3), row("eu-1", 2)}, 4}, "above what came before": {[]Record{earlier(row("eu-1", 3), 7)}, 8},
		"above what came after": {[]Record{earlier(row("eu-1", 3), 2)}, 4}, "elsewhere": {[]Record{earlier(row("us-1", 3), 7)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&Ledger{Records: test.rows}).Next("eu-1"); got != test.want {
				t.Errorf("it is %d, want %d", got, test.want)
			}
		})
	}
}

// A row takes the place of the one of its cluster and generation, and only that one
// can be taken out.
func TestRows(t *testing.T) {
	l := &Ledger{}
	changed := row("eu-1", 1)
	changed.User = "other"
	for _, r := range []Record{row("eu-1", 2), row("us-1", 1), row("eu-1", 1), changed} {
		l.Add(r)
	}
	if want := []Record{changed, row("eu-1", 2), row("us-1", 1)}; !reflect.DeepEqual(l.Records, want) {
		t.Errorf("they are %+v", l.Records)
	}
	if l.Record("us-1", 2) != nil || l.Record("us-1", 1) == nil || l.Record("eu-1", 1) == nil {
		t.Error("a row is found that is not there, or not found")
	}
	l.Records[2].State = Retiring
	for state, want := range map[State]int{Active: 2, Retiring: 1, Retired: 0} {
		if got := l.Count(state); got != want {
			t.Errorf("%d are %s, want %d", got, state, want)
		}
	}
	l.Remove("eu-1", 1)
	if want := []Record{row("eu-1", 2), l.Records[1]}; !reflect.DeepEqual(l.Records, want) || l.Records[1].Destination != "us-1" {
		t.Errorf("they are %+v", l.Records)
	}
}

// What is delivered is the newest active row of which there is something.
func TestCurrent(t *testing.T) {
	with := func(r Record, change func(*Record)) Record { change(&r); return r }
	without := func(generation int64) Record {
		return with(row("eu-1", generation), func(r *Record) { r.Ciphertext = nil })
	}
	for _, test := range []struct {
		name string
		rows []Record
		want int64 // 0 for none
	}{
		{"nothing", nil, 0},
		{"the only one", []Record{row("eu-1", 1)}, 1},
		{"the newest", []Record{row("eu-1", 1), row("eu-1", 2)}, 2},
		{"of which there is something", []Record{row("eu-1", 1), without(2)}, 1},
		{"of which nothing is kept", []Record{row("eu-1", 1), with(without(2), func(r *Record) { r.Basis.Delivery.Retain = RetainNothing })}, 2},
		{"active", []Record{row("eu-1", 1), with(row("eu-1", 2), func(r *Record) { r.State = Retiring })}, 1},
		{"another cluster's", []Record{row("us-1", 1)}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := (&Ledger{Records: test.rows}).Current("eu-1")
			if got == nil && test.want != 0 || got != nil && got.Generation != test.want {
				t.Errorf("it is %+v", got)
			}
		})
	}
}

// The harmless key stays when a credential is forgotten, and is none itself.
func TestForgetCredential(t *testing.T) {
	for _, test := range []struct {
		name       string
		ciphertext map[string]string
		holds      bool
		then       map[string]string
	}{
		{"nothing", nil, false, nil},
		{"the harmless key alone", map[string]string{KeepKey: "x"}, false, map[string]string{KeepKey: "x"}},
		{"a credential", map[string]string{"nats.creds": "sealed"}, true, nil},
		{"a credential with the harmless key", map[string]string{"nats.creds": "sealed", KeepKey: "x"}, true, map[string]string{KeepKey: "x"}},
		{"a credential of two keys", map[string]string{"jwt": "sealed", "seed": "sealed"}, true, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Record{Ciphertext: test.ciphertext}
			if got := r.HoldsCredential(); got != test.holds {
				t.Errorf("it has a credential: %t", got)
			}
			if r.ForgetCredential(); !maps.Equal(r.Ciphertext, test.then) || r.HoldsCredential() {
				t.Errorf("there is still %v", r.Ciphertext)
			}
		})
	}
}

// Accounts that cannot revoke let what is on its way out live until it expires, but
// for a user that a provider keeps: somebody has to remove that.
func TestExpire(t *testing.T) {
	retiring := row("eu-1", 1)
	retiring.State = Retiring
	with := func(change func(*Record)) Record { r := retiring; change(&r); return r }
	for _, test := range []struct {
		name string
		row  Record
		want State
	}{
		{"on its way out", retiring, Retired},
		{"its provider keeps a user", with(func(r *Record) { r.Basis.ProviderAccount = "account" }), Retiring},
		{"of another account", with(func(r *Record) { r.Basis.Account = "other" }), Retiring},
		{"not on its way out", row("eu-1", 1), Active},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &Ledger{Records: []Record{test.row}}
			if l.Expire([]string{"commerce", "third"}); l.Records[0].State != test.want {
				t.Errorf("it is %s, want %s", l.Records[0].State, test.want)
			}
		})
	}
}

// Who was retired, was not revoked and has not expired can still connect.
func TestUnrevoked(t *testing.T) {
	retired := row("eu-1", 1)
	retired.State = Retired
	with := func(change func(*Record)) Record { r := retired; change(&r); return r }
	for _, test := range []struct {
		name string
		row  Record
		at   time.Time
		want bool
	}{
		{"retired", retired, now, true},
		{"until it expires", retired, retired.Expires, false},
		{"revoked", with(func(r *Record) { r.Revoked = now }), now, false},
		{"never made", with(func(r *Record) { r.User = "" }), now, false},
		{"not retired", row("eu-1", 1), now, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.row.Unrevoked(test.at); got != test.want {
				t.Errorf("it can connect: %t, want %t", got, test.want)
			}
		})
	}
}
