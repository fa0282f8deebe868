package ledger

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
)

// frozen is a ledger as v0.1.0 stored it, with each field in use. Whatever changes,
// later versions read it as it is meant here, and write it as it is: a field that
// comes later is left out while it has no value.
const frozen = `apiVersion: v1
data:
  missingSince: "2026-03-01T00:00:00Z"
  request: '{"Kind":"NatsUser","Namespace":"team-a","Name":"orders"}'
  rows: |
    {"destination":"eu-1","generation":1,"state":"Retired","user":"U1","reason":"FirstIssue","issued":"2026-01-01T00:00:00Z","expires":"2026-01-31T00:00:00Z","basis":{"account":"commerce","accountID":"A1","grant":"","signingKey":"","certificate":"","delivery":{"namespace":"","name":"","format":"","retain":""}},"revoked":"2026-01-02T00:00:00Z"}
    {"destination":"eu-1","generation":2,"state":"Active","user":"U2","id":"2abc","settings":"0123456789abcdef","reason":"RotationRequested","issued":"2026-01-01T00:00:00Z","expires":"2026-01-31T00:00:00Z","renews":"2026-01-20T00:00:00Z","basis":{"account":"commerce","accountID":"A1","keptIn":"2xyz","grant":"44beb23db472a000","signingKey":"A2","certificate":"SHA256:x","delivery":{"namespace":"team-a","name":"orders-nats","format":"Env","key":"nats.creds","servers":"nats://a,nats://b","retain":"Nothing"},"rotate":{"spec":"1","all":"2","destination":"3"}},"earlier":[{"generation":1,"user":"U1","accountID":"A1","account":"commerce","keptIn":"2xyz","expires":"2026-01-31T00:00:00Z"}],"ciphertext":{".baleen":"AgA=","nats.creds":"AgB="},"version":"abc","written":"2026-01-02T00:00:00Z","lost":"2026-01-03T00:00:00Z","drifted":"2026-01-04T00:00:00Z","stray":true,"removed":true}
    {"destination":"us-1","generation":1,"state":"Intended","user":"","reason":"FirstIssue","issued":"2026-01-01T00:00:00Z","expires":"2026-01-31T00:00:00Z","basis":{"account":"commerce","accountID":"A1","grant":"44beb23db472a000","signingKey":"A2","certificate":"SHA256:x","delivery":{"namespace":"team-a","name":"orders-nats","format":"Creds","key":"nats.creds","retain":"Ciphertext"}}}
  tombstone: '{"uid":"u","at":"2026-02-01T00:00:00Z","done":true}'
  uid: u
kind: ConfigMap
metadata:
  labels:
    account.baleen.dev/2f8dddd1: "true"
    app.kubernetes.io/managed-by: baleen
    baleen.dev/ledger: "true"
  name: ledger-de2ff7ddb96451c731175110d848e33aa3d02310
  namespace: baleen-state
`

func frozenObject(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	must(t, yaml.Unmarshal([]byte(frozen), &object.Object))
	return object
}

// The ledger of an older version says what it said.
func TestFrozenIsRead(t *testing.T) {
	l, err := decode(frozenObject(t))
	must(t, err)
	at := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC) }
	delivery := Delivery{Namespace: "team-a", Name: "orders-nats", Format: "Env", Key: "nats.creds", Servers: "nats://a,nats://b", Retain: RetainNothing}
	plain := Delivery{Namespace: "team-a", Name: "orders-nats", Format: "Creds", Key: "nats.creds", Retain: "Ciphertext"}
	want := &Ledger{
		Request: identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"}, UID: "u",
		Tombstone: &Tombstone{UID: "u", At: at(2, 1), Done: true}, MissingSince: at(3, 1),
		Records: []Record{
			{Destination: "eu-1", Generation: 1, State: Retired, User: "U1", Reason: "FirstIssue", Issued: at(1, 1), Expires: at(1, 31),
				Basis: Basis{Account: "commerce", AccountID: "A1"}, Revoked: at(1, 2)},
			{Destination: "eu-1", Generation: 2, State: Active, User: "U2", ID: "2abc", Settings: "0123456789abcdef", Reason: "RotationRequested",
				Issued: at(1, 1), Expires: at(1, 31), Renews: at(1, 20), Written: at(1, 2), Lost: at(1, 3), Drifted: at(1, 4), Stray: true, Removed: true, Version: "abc",
				Basis: Basis{Account: "commerce", AccountID: "A1", ProviderAccount: "2xyz", Grant: "44beb23db472a000", SigningKey: "A2", Certificate: "SHA256:x",
					Delivery: delivery, Rotate: Rotate{"1", "2", "3"}},
				Earlier:    []Earlier{{Generation: 1, User: "U1", Account: "commerce", AccountID: "A1", ProviderAccount: "2xyz", Expires: at(1, 31)}},
				Ciphertext: map[string]string{"nats.creds": "AgB=", KeepKey: "AgA="}},
			{Destination: "us-1", Generation: 1, State: Intended, Reason: "FirstIssue", Issued: at(1, 1), Expires: at(1, 31),
				Basis: Basis{Account: "commerce", AccountID: "A1", Grant: "44beb23db472a000", SigningKey: "A2", Certificate: "SHA256:x", Delivery: plain}},
		},
	}
	if diff := cmp.Diff(want, l, cmp.FilterPath(func(p cmp.Path) bool {
		return slices.Contains([]string{".version", ".stored", ".server", ".labels", ".saved"}, p.Last().String())
	}, cmp.Ignore()), cmp.AllowUnexported(Ledger{})); diff != "" {
		t.Error(diff)
	}
}

// It is written as it was: an upgrade writes no ledger anew, and a version that one
// goes back to can read it.
func TestFrozenIsWritten(t *testing.T) {
	l, err := decode(frozenObject(t))
	must(t, err)
	data, err := l.data()
	must(t, err)
	object, err := encode(l, data, 0)
	must(t, err)
	written, err := yaml.Marshal(object.Object)
	must(t, err)
	if diff := cmp.Diff(strings.TrimSpace(frozen), strings.TrimSpace(string(written))); diff != "" {
		t.Error(diff)
	}
	b := newBook()
	object.SetResourceVersion("")
	_, err = b.Client.Create(ctx, platform.ConfigMap, object)
	must(t, err)
	if of, err := b.Of(ctx, "commerce"); err != nil || len(of) != 1 {
		t.Errorf("the account finds %d ledgers: %v", len(of), err)
	}
}
