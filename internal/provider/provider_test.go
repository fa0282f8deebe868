package provider

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"

	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
)

// grants are of each shape that could be asked for when digests were frozen, with
// the digests that v0.1.0 stored with the credentials of such users. They are
// literals, because another one would issue the credential of every such user anew:
// whatever changes, these stay.
var grants = []struct {
	name   string
	grant  Grant
	digest string
}{
	{"nothing", Grant{}, "44beb23db472a000"},
	{"subjects", Grant{Publish: Subjects{Allow: []string{"orders.>"}}, Subscribe: Subjects{Allow: []string{"_INBOX.>", "orders.>"}}}, "0458178a1da82024"},
	{"subjects in another order", Grant{Publish: Subjects{Allow: []string{"orders.>"}}, Subscribe: Subjects{Allow: []string{"orders.>", "_INBOX.>"}}}, "0458178a1da82024"},
	{"denied subjects", Grant{Publish: Subjects{Allow: []string{"a.>"}, Deny: []string{"a.c", "a.b"}}, Subscribe: Subjects{Deny: []string{">"}}}, "c1a7dbc9c31ed0dc"},
	{"responses", Grant{Responses: &Responses{Max: 5, TTL: 2 * time.Minute}}, "7b6d84e5906fc9cb"},
	{"responses without bounds", Grant{Responses: &Responses{}}, "1d634cd09c8862f4"},
	{"limits", Grant{Subscriptions: 10, Payload: 1 << 20}, "9391c212b611eee5"},
	{"connection types", Grant{ConnectionTypes: []string{"WEBSOCKET", "STANDARD"}}, "13238c087ff61583"},
	{"source networks", Grant{SourceCIDRs: []string{"192.0.2.0/24", "10.0.0.0/8"}}, "131a330d5d53193d"},
	{"times", Grant{Times: []Range{{"08:00:00", "12:00:00"}, {"13:00:00", "17:00:00"}}, TimeZone: "Europe/Berlin"}, "543131f0346c9b2c"},
	{"tags", Grant{Tags: []string{"namespace:team-a", "name:orders", "destination:eu-1", "stage:<prod> & \"more\""}}, "bd72d2ac8f72293e"},
	{"bearer", Grant{Bearer: true}, "7dcdd569958b12cc"},
	{"scoped", Grant{Scoped: true, Tags: []string{"namespace:team-a", "name:orders"}}, "7ea4d4e34e3ee99c"},
	{"everything", Grant{
		Publish: Subjects{Allow: []string{"orders.>"}, Deny: []string{"orders.secret"}}, Subscribe: Subjects{Allow: []string{"_INBOX.>"}, Deny: []string{"_INBOX.x"}},
		Responses: &Responses{Max: 1, TTL: 5 * time.Second}, Subscriptions: 1, Payload: 2, ConnectionTypes: []string{"MQTT"}, SourceCIDRs: []string{"10.0.0.0/8"},
		Times: []Range{{"00:00:00", "23:59:59"}}, TimeZone: "UTC", Tags: []string{"a:b"}, Bearer: true,
	}, "ee4abe5f777a0ca7"},
}

// An upgrade issues no credential anew.
func TestDigestIsFrozen(t *testing.T) {
	for _, test := range grants {
		t.Run(test.name, func(t *testing.T) {
			if got := test.grant.Digest(); got != test.digest {
				t.Errorf("digest %s, and v0.1.0 stored %s: what a grant already had must be written as it was", got, test.digest)
			}
		})
	}
}

// A field that a later version adds to a grant, wherever in it, moves no digest of
// what could be asked for before.
func TestLaterFieldMovesNoDigest(t *testing.T) {
	for _, test := range grants {
		t.Run(test.name, func(t *testing.T) {
			for _, later := range fingerprinttest.WithLaterField(test.grant.sorted()) {
				if got := grantForm.Digest(later.Unset); got != test.digest {
					t.Errorf("a field added to %s makes it %s: %s", later.Struct, got, grantForm.Bytes(later.Unset))
				}
				if grantForm.Digest(later.Set) == test.digest {
					t.Errorf("a field added to %s makes no difference when it is set", later.Struct)
				}
			}
		})
	}
}

// Whatever is granted otherwise makes another digest, or a credential would go on
// with what it was granted once.
func TestEveryFieldIsInTheDigest(t *testing.T) {
	for _, change := range fingerprinttest.Changes(Grant{}) {
		t.Run(change.Field, func(t *testing.T) {
			if change.Value.Digest() == (Grant{}).Digest() {
				t.Error("it makes no difference")
			}
		})
	}
}

// Those tags are found that a scope's subjects are made of.
func TestTagsInScope(t *testing.T) {
	scope := natsjwt.NewUserScope()
	scope.Template.Pub.Allow.Add("{{tag(namespace)}}.>", "{{ name() }}.a")
	scope.Template.Sub.Deny.Add("a.{{ tag( stage ) }}.{{tag(namespace)}}", "{{tag(Stage)}}.x")
	if got := TagsInScope(scope); fmt.Sprint(got) != "[namespace stage]" {
		t.Errorf("the scope needs the tags %q", got)
	}
}

// A revocation is of an identity if it is of its key, or of all keys, in its own
// account, and no older than it.
func TestRefuses(t *testing.T) {
	type identity struct {
		account string
		issued  time.Time
	}
	now := time.Now()
	for _, test := range []struct {
		name        string
		revocations natsjwt.RevocationList
		change      func(*identity)
		is          bool
	}{
		{"its own", natsjwt.RevocationList{"U1": now.Unix()}, func(*identity) {}, true},
		{"one from before it was issued", natsjwt.RevocationList{"U1": now.Unix() - 1}, func(*identity) {}, false},
		{"another's", natsjwt.RevocationList{"U2": now.Unix()}, func(*identity) {}, false},
		{"one of all", natsjwt.RevocationList{natsjwt.All: now.Unix()}, func(*identity) {}, true},
		{"one of all from before it was issued", natsjwt.RevocationList{natsjwt.All: now.Unix() - 1}, func(*identity) {}, false},
		{"one of all, and nobody knows when it was issued", natsjwt.RevocationList{natsjwt.All: now.Unix()}, func(r *identity) { r.issued = time.Time{} }, false},
		{"its own, in another account", natsjwt.RevocationList{"U1": now.Unix()}, func(r *identity) { r.account = "FORMER" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := identity{"ACCOUNT", now}
			test.change(&r)
			if is := (Facts{ID: "ACCOUNT", Revocations: test.revocations}).Refuses(r.account, "U1", r.issued); is != test.is {
				t.Errorf("it is revoked: %t, want %t", is, test.is)
			}
		})
	}
}

// Every struct of a grant has its line in the form, so that a field that is added to it
// later moves no digest.
func TestEveryStructHasAForm(t *testing.T) {
	if missing := fingerprinttest.WithoutForm[Grant](grantForm); len(missing) > 0 {
		t.Errorf("grantForm has no entry for %q: name the keys that it has now", missing)
	}
}

// Nobody can connect by MQTT alone without a bearer token.
func TestFutile(t *testing.T) {
	for _, test := range []struct {
		types  string
		bearer bool
		futile bool
	}{
		{"", false, false}, {"STANDARD", false, false}, {"MQTT", false, true}, {"MQTT_WS", false, true}, {"MQTT MQTT_WS", false, true}, {"MQTT STANDARD", false, false}, {"MQTT", true, false},
	} {
		t.Run(fmt.Sprint(test.types, test.bearer), func(t *testing.T) {
			if err := (Grant{ConnectionTypes: strings.Fields(test.types), Bearer: test.bearer}).Futile(); (err != nil) != test.futile {
				t.Error(err)
			}
		})
	}
}

// Nobody can connect with a bearer token where the account's own limits refuse them, and
// what is in braces is put in by a scope alone.
func TestFutileInTheAccount(t *testing.T) {
	for _, test := range []struct {
		account Account
		grant   Grant
		futile  bool
	}{
		{Account{}, Grant{Bearer: true}, false}, {Account{NoBearer: true}, Grant{Bearer: true}, true}, {Account{NoBearer: true}, Grant{}, false},
		{Account{}, Grant{ConnectionTypes: []string{"MQTT"}}, true}, {Account{NameInScope: true}, Grant{Scoped: true}, true}, {Account{NameInScope: true}, Grant{}, false},
		{Account{}, Grant{Publish: Subjects{Allow: []string{"a", "{{namespace}}.>"}}}, true}, {Account{}, Grant{Subscribe: Subjects{Deny: []string{"{{tag(a)}}"}}}, true},
		{Account{}, Grant{Publish: Subjects{Allow: []string{"a.{b}"}}}, false},
	} {
		if err := test.account.Futile(test.grant); (err != nil) != test.futile {
			t.Errorf("with %+v of %+v: %v", test.grant, test.account, err)
		}
	}
}

// A scope that uses the user's name is found, however it is written.
func TestNameInScope(t *testing.T) {
	for subject, want := range map[string]bool{"a.{{name()}}": true, "{{ NAME() }}.>": true, "{{tag(name)}}": false, "{{subject()}}": false, "name()": false} {
		scope := natsjwt.NewUserScope()
		scope.Template.Sub.Allow.Add("a", subject)
		if got := NameInScope(scope); got != want {
			t.Errorf("%s: %t", subject, got)
		}
	}
	if NameInScope(nil) {
		t.Error("none has a name")
	}
}

// How large a JWT may be depends on how a user connects.
func TestFits(t *testing.T) {
	for _, test := range []struct {
		most  int64
		types string
		bytes int
		fits  bool
	}{
		{0, "", 10_000, true}, {3796, "", 3796, true}, {3796, "", 3797, false}, {3796, "STANDARD", 3797, false}, {3796, "WEBSOCKET MQTT", 3797, false}, {3796, "IN_PROCESS", 3797, false},
		{3796, "LEAFNODE", 3797, true}, {3796, "MQTT MQTT_WS LEAFNODE_WS", 3797, true},
	} {
		err := Account{MaxJWTBytes: test.most}.Fits(Grant{ConnectionTypes: strings.Fields(test.types)}, test.bytes)
		if _, large := errors.AsType[*TooLargeError](err); large == test.fits || (err == nil) != test.fits {
			t.Errorf("%d bytes of %d by %q: %v", test.bytes, test.most, test.types, err)
		}
	}
}
