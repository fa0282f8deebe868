// Package ledger remembers every identity that was made for a request: one record
// for each cluster and generation, with the ciphertext that the cluster gets. A
// ledger is a ConfigMap in baleen-state, named by what survives a restore. Every
// change is a compare-and-swap: who meets a conflict reads again and decides again.
package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Namespace is where ledgers live.
const Namespace = "baleen-state"

// MaxBytes bounds what is added to a ledger: about 200 clusters fit into it. What
// is only noted of records that are there may go beyond, up to what a ConfigMap can
// have, so that a full ledger can still retire what it has.
const (
	MaxBytes  = 900 << 10
	hardBytes = 1020 << 10
)

// State of an identity.
type State string

// The states of an identity, in the order in which it goes through them.
const (
	// Intended: it is about to be made. If the run that wrote this is gone, nobody
	// holds it.
	Intended State = "Intended"
	// Active: it was made and its ciphertext is committed.
	Active State = "Active"
	// Retiring: it is to be revoked.
	Retiring State = "Retiring"
	// Retired: nothing is left to do about it. It cannot connect any more, unless
	// it is [Row.Unrevoked].
	Retired State = "Retired"
)

// Delivery is the Secret that a credential is sealed for.
type Delivery struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Format    string `json:"format"`
	// Key of the file in the Secret, where the format has one.
	Key string `json:"key,omitempty"`
	// Servers are in the Secret where the format is Env, separated by commas.
	Servers string `json:"servers,omitempty"`
	// Retain is what is kept of the ciphertext once it was delivered: Ciphertext or
	// [RetainNothing].
	Retain string `json:"retain"`
}

// RetainNothing keeps no ciphertext once it was delivered, but for that of
// [KeepKey].
const RetainNothing = "Nothing"

// KeepKey is the key of a Secret under which a harmless value stays when the
// ciphertext of the credential is forgotten. An applier that lets the server merge
// (Flux does, Argo CD may) cannot take the last key out of spec.encryptedData: the
// API server makes null of it, which the CRD of SealedSecrets refuses, and with it
// everything else that is applied at once.
const KeepKey = ".baleen"

// Rotate holds what was asked for to rotate: in the spec, by annotation for all
// clusters, and by annotation for this one.
type Rotate struct {
	Spec        string `json:"spec,omitempty"`
	All         string `json:"all,omitempty"`
	Destination string `json:"destination,omitempty"`
}

// Basis is what a generation was issued upon. A difference to what holds now is a
// reason to issue the next one.
type Basis struct {
	// Account names the NatsAccount, AccountID is its public key.
	Account   string `json:"account"`
	AccountID string `json:"accountID"`
	// ProviderAccount is the provider's id of the account, where it keeps a user for the
	// identity, which stays until it is removed; empty for a provider that does not.
	ProviderAccount string `json:"keptIn,omitempty"`
	// Grant is the digest of what was granted.
	Grant string `json:"grant"`
	// SigningKey is the public key that signed, or what the provider calls it.
	SigningKey string `json:"signingKey"`
	// Certificate is the fingerprint of the key that the credential is sealed for.
	Certificate string   `json:"certificate"`
	Delivery    Delivery `json:"delivery"`
	Rotate      Rotate   `json:"rotate,omitzero"`
}

// Earlier is a generation that could still connect when its successor was made.
type Earlier struct {
	Generation      int64     `json:"generation"`
	User            string    `json:"user"`
	AccountID       string    `json:"accountID"`
	Account         string    `json:"account"`
	ProviderAccount string    `json:"keptIn,omitempty"`
	Expires         time.Time `json:"expires"`
}

// Record is one identity.
type Record struct {
	Destination string `json:"destination"`
	Generation  int64  `json:"generation"`
	State       State  `json:"state,omitempty"`
	// User is the public key of the identity. One that the provider is to make has
	// none before.
	User string `json:"user"`
	// ID is what the provider calls the user that it keeps, Settings is the digest
	// of what it said of it, to notice a change.
	ID       string `json:"id,omitempty"`
	Settings string `json:"settings,omitempty"`
	// Reason is why it was issued.
	Reason  string    `json:"reason"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	// Renews is when its successor is due.
	Renews time.Time `json:"renews,omitzero"`
	Basis  Basis     `json:"basis"`
	// Earlier are the generations before it, so that a ledger that is lost can be
	// made again from what is delivered.
	Earlier []Earlier `json:"earlier,omitempty"`
	// Ciphertext is the sealed credential by key of the Secret.
	Ciphertext map[string]string `json:"ciphertext,omitempty"`
	// Version is that of the state store before this was delivered.
	Version string `json:"version,omitempty"`
	// Written is when a run first saw it in the state store.
	Written time.Time `json:"written,omitzero"`
	// Revoked is when the account's pipeline saw a revocation in effect: its own,
	// or of an active record somebody else's.
	Revoked time.Time `json:"revoked,omitzero"`
	// Lost is when the provider was first seen not to have the user any more, which
	// somebody else has deleted. What was delivered may still connect.
	Lost time.Time `json:"lost,omitzero"`
	// Drifted is when the provider's user was first seen to have other settings than
	// it was made with.
	Drifted time.Time `json:"drifted,omitzero"`
	// Stray: the provider has a user that no run has written down. It is nobody's,
	// unless it turns out to be one that is delivered.
	Stray bool `json:"stray,omitempty"`
	// Removed: the provider keeps nothing of it any more.
	Removed bool `json:"removed,omitempty"`
}

// Unrevoked reports whether an identity that was retired can still connect, until
// it expires: there was nothing to revoke it with, or it was to be left alone.
func (r Record) Unrevoked(now time.Time) bool {
	return r.State == Retired && r.User != "" && r.Revoked.IsZero() && now.Before(r.Expires)
}

// Tombstone marks a request that is being deleted.
type Tombstone struct {
	UID string    `json:"uid"`
	At  time.Time `json:"at"`
	// Done: nothing is left to retire.
	Done bool `json:"done,omitempty"`
}

// Ledger is all that was made for a request.
type Ledger struct {
	Request identity.Request
	// UID of the request for which it was written last.
	UID       string
	Tombstone *Tombstone
	// MissingSince is when the account's pipeline first found no such request.
	MissingSince time.Time
	// Records are ordered by destination and generation.
	Records []Record

	version string
	stored  string // as it was read, to know a change
	saved   []Record
	// labels are those by which the accounts of the stored records find it.
	labels []string
	// server is the API server's time of the last write, where it tells.
	server time.Time
}

// Record returns the record of a destination and generation, nil if there is none.
func (l *Ledger) Record(destination string, generation int64) *Record {
	i := slices.IndexFunc(l.Records, func(r Record) bool { return r.Destination == destination && r.Generation == generation })
	if i < 0 {
		return nil
	}
	return &l.Records[i]
}

// Add puts a record in its place. It replaces one of the same destination and
// generation.
func (l *Ledger) Add(record Record) {
	if r := l.Record(record.Destination, record.Generation); r != nil {
		*r = record
		return
	}
	l.Records = append(l.Records, record)
	slices.SortFunc(l.Records, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Destination, b.Destination), cmp.Compare(a.Generation, b.Generation))
	})
}

// Remove takes a record out.
func (l *Ledger) Remove(destination string, generation int64) {
	l.Records = slices.DeleteFunc(l.Records, func(r Record) bool { return r.Destination == destination && r.Generation == generation })
}

// Current returns what a destination has now: its newest active record of which there
// is something to deliver, nil if there is none.
func (l *Ledger) Current(destination string) *Record {
	for i := len(l.Records) - 1; i >= 0; i-- {
		r := &l.Records[i]
		if r.Destination == destination && r.State == Active && (len(r.Ciphertext) > 0 || r.Basis.Delivery.Retain == RetainNothing) {
			return r
		}
	}
	return nil
}

// HoldsCredential reports whether the record has more than the ciphertext of [KeepKey].
func (r Record) HoldsCredential() bool {
	_, keeps := r.Ciphertext[KeepKey]
	return len(r.Ciphertext) > 1 || len(r.Ciphertext) == 1 && !keeps
}

// ForgetCredential drops all ciphertext but that of [KeepKey].
func (r *Record) ForgetCredential() {
	if kept, ok := r.Ciphertext[KeepKey]; ok {
		r.Ciphertext = map[string]string{KeepKey: kept}
	} else {
		r.Ciphertext = nil
	}
}

// Next returns the number of a destination's next generation.
func (l *Ledger) Next(destination string) int64 {
	next := int64(1)
	for _, r := range l.Records {
		if r.Destination == destination {
			next = max(next, r.Generation+1)
			for _, e := range r.Earlier {
				next = max(next, e.Generation+1)
			}
		}
	}
	return next
}

// Count returns how many records are in a state.
func (l *Ledger) Count(state State) int {
	n := 0
	for _, r := range l.Records {
		if r.State == state {
			n++
		}
	}
	return n
}

// Expire retires what accounts cannot revoke: it lives until it expires.
func (l *Ledger) Expire(accounts []string) {
	for i := range l.Records {
		if r := &l.Records[i]; r.State == Retiring && r.Basis.ProviderAccount == "" && slices.Contains(accounts, r.Basis.Account) {
			r.State = Retired
		}
	}
}

// Changed reports whether the ledger differs from what is stored.
func (l *Ledger) Changed() bool { return l.text() != l.stored }

// Saved returns the records as they are stored.
func (l *Ledger) Saved() []Record { return l.saved }

// ServerTime returns when the API server says that the last write was; zero where
// it does not tell.
func (l *Ledger) ServerTime() time.Time { return l.server }

// Exists reports whether the ledger is stored.
func (l *Ledger) Exists() bool { return l.version != "" }

// Accounts returns the names of the NatsAccounts that records belong to.
func (l *Ledger) Accounts() []string {
	names := map[string]bool{}
	for _, r := range l.Records {
		names[r.Basis.Account] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Store reads and writes ledgers.
type Store struct{ Client platform.Client }

// Get returns the ledger of a request, an empty one if there is none.
func (b Store) Get(ctx context.Context, request identity.Request) (*Ledger, error) {
	object, err := b.Client.Get(ctx, platform.ConfigMap, Namespace, name(request))
	if apierrors.IsNotFound(err) {
		return &Ledger{Request: request}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the ledger of %s %s cannot be read: %w", request.Kind, request, err)
	}
	return decode(object)
}

// DamagedError tells that some ledgers cannot be read. The others are returned
// beside it: one that is damaged must not hold up all.
type DamagedError struct{ Errs []error }

func (e *DamagedError) Error() string { return errors.Join(e.Errs...).Error() }

// Of returns the ledgers with identities of a NatsAccount; see [DamagedError].
func (b Store) Of(ctx context.Context, account string) ([]*Ledger, error) {
	return b.list(ctx, map[string]string{accountLabel(account): "true"})
}

// All returns all ledgers; see [DamagedError].
func (b Store) All(ctx context.Context) ([]*Ledger, error) {
	return b.list(ctx, map[string]string{labelLedger: "true"})
}

func (b Store) list(ctx context.Context, labels map[string]string) ([]*Ledger, error) {
	objects, err := b.Client.List(ctx, platform.ConfigMap, Namespace, labels)
	if err != nil {
		return nil, fmt.Errorf("the ledgers cannot be listed: %w", err)
	}
	var all []*Ledger
	var damaged DamagedError
	for i := range objects {
		if l, err := decode(&objects[i]); err != nil {
			damaged.Errs = append(damaged.Errs, err)
		} else {
			all = append(all, l)
		}
	}
	if len(damaged.Errs) > 0 {
		return all, &damaged
	}
	return all, nil
}

// ErrConflict means that somebody else has changed the ledger. Read it again,
// decide again.
var ErrConflict = errors.New("the ledger was changed by another run: it is decided anew")

// IsConflict reports whether an error is [ErrConflict].
func IsConflict(err error) bool { return errors.Is(err, ErrConflict) }

// Save stores a ledger that has changed since it was read; for one that has not
// it does nothing. On ErrConflict nothing was stored.
func (b Store) Save(ctx context.Context, l *Ledger) error {
	data, err := l.data()
	if err != nil {
		return err
	}
	text := textOf(data)
	if text == l.stored {
		return nil
	}
	object, err := encode(l, data, len(text))
	if err != nil {
		return err
	}
	var stored *unstructured.Unstructured
	if l.version == "" {
		stored, err = b.Client.Create(ctx, platform.ConfigMap, object)
	} else {
		stored, err = b.Client.Update(ctx, platform.ConfigMap, object)
	}
	switch {
	case apierrors.IsNotFound(err) && l.version == "":
		return fmt.Errorf("the ledger of %s cannot be written: the namespace %s is missing: create it", l.Request, Namespace)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		// It may be the effect of this very write, whose answer was lost.
		if stored, err = b.Client.Get(ctx, platform.ConfigMap, Namespace, name(l.Request)); err != nil {
			if apierrors.IsNotFound(err) {
				return ErrConflict
			}
			return fmt.Errorf("the ledger of %s cannot be read: %w", l.Request, err)
		}
		if is, err := decode(stored); err != nil || is.text() != text {
			return cmp.Or(err, ErrConflict)
		}
	case err != nil:
		return fmt.Errorf("the ledger of %s cannot be written: %w", l.Request, err)
	}
	l.version, l.stored, l.server, l.labels = stored.GetResourceVersion(), text, written(stored), accountLabels(stored)
	l.saved = slices.Clone(l.Records)
	return nil
}

// Remove deletes a ledger as it was read.
func (b Store) Remove(ctx context.Context, l *Ledger) error {
	err := b.Client.Delete(ctx, platform.ConfigMap, Namespace, name(l.Request), platform.Preconditions{ResourceVersion: l.version})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // who changed it has decided anew
		return nil
	}
	return fmt.Errorf("the ledger of %s cannot be removed: %w", l.Request, err)
}

// written returns the time of an object's last write by the server's clock.
func written(object *unstructured.Unstructured) time.Time {
	var last time.Time
	for _, f := range object.GetManagedFields() {
		if f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last
}

const labelLedger = "baleen.dev/ledger"

const accountPrefix = "account.baleen.dev/"

func accountLabel(account string) string {
	return accountPrefix + identity.Hash("NatsAccount", account)
}

// accountLabels are the labels of a stored ledger by which accounts find it.
func accountLabels(object *unstructured.Unstructured) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(object.GetLabels())), func(label string) bool { return !strings.HasPrefix(label, accountPrefix) })
}

func name(r identity.Request) string { return "ledger-" + r.LongHash() }

// text is everything that a ledger says, in one form for one content.
func (l *Ledger) text() string {
	data, _ := l.data() // what was decoded encodes
	return textOf(data)
}

func textOf(data map[string]any) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(&b, "%s=%s\n", key, data[key])
	}
	return b.String()
}

// data is what the ConfigMap holds: the records one on a line, so that people can
// read them.
func (l *Ledger) data() (map[string]any, error) {
	var fail error
	text := func(v any) string {
		data, err := json.Marshal(v)
		fail = cmp.Or(fail, err)
		return string(data)
	}
	data := map[string]any{"request": text(l.Request), "uid": l.UID}
	if l.Tombstone != nil {
		data["tombstone"] = text(l.Tombstone)
	}
	if !l.MissingSince.IsZero() {
		data["missingSince"] = l.MissingSince.UTC().Format(time.RFC3339)
	}
	var rows strings.Builder
	for _, r := range l.Records {
		rows.WriteString(text(r) + "\n")
	}
	data["rows"] = rows.String()
	return data, fail
}

func encode(l *Ledger, data map[string]any, size int) (*unstructured.Unstructured, error) {
	if size > hardBytes {
		return nil, l.full(size)
	}
	labels := map[string]any{"app.kubernetes.io/managed-by": "baleen", labelLedger: "true"}
	for _, account := range l.Accounts() {
		labels[accountLabel(account)] = "true"
	}
	if len(l.Records) == 0 { // whoever has forgotten the last one still has to remove it
		for _, label := range l.labels {
			labels[label] = "true"
		}
	}
	metadata := map[string]any{"name": name(l.Request), "namespace": Namespace, "labels": labels}
	if l.version != "" {
		metadata["resourceVersion"] = l.version
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data,
	}}, nil
}

// Room reports whether so many bytes can be added.
func (l *Ledger) Room(more int) error {
	if size := len(l.text()) + more; size > MaxBytes {
		return l.full(size)
	}
	return nil
}

func (l *Ledger) full(size int) error {
	return fmt.Errorf("the ledger of %s would have %d KiB for %d identities, and %d KiB are allowed: place the request on fewer clusters, as two requests, or rotate less often",
		l.Request, size>>10, len(l.Records), MaxBytes>>10)
}

func decode(object *unstructured.Unstructured) (*Ledger, error) {
	l := &Ledger{version: object.GetResourceVersion(), server: written(object), labels: accountLabels(object)}
	data, _, err := unstructured.NestedStringMap(object.Object, "data")
	read := func(text string, into any) {
		if err == nil && text != "" {
			err = json.Unmarshal([]byte(text), into)
		}
	}
	l.UID = data["uid"]
	read(data["request"], &l.Request)
	read(data["tombstone"], &l.Tombstone)
	if since := data["missingSince"]; since != "" && err == nil {
		l.MissingSince, err = time.Parse(time.RFC3339, since)
	}
	for line := range strings.Lines(data["rows"]) {
		var record Record
		read(line, &record)
		l.Records = append(l.Records, record)
	}
	if err == nil && name(l.Request) != object.GetName() {
		err = fmt.Errorf("it is about %s %s", l.Request.Kind, l.Request)
	}
	if err != nil {
		return nil, fmt.Errorf("the ConfigMap %s/%s is not a ledger: restore it from a backup, or delete it to have it made again from what is delivered: %w", Namespace, object.GetName(), err)
	}
	l.stored, l.saved = l.text(), slices.Clone(l.Records)
	return l, nil
}
