package synadia

import (
	"encoding/json"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/synadia-io/control-plane-sdk-go/syncp"

	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
	"github.com/baleen-platform/baleen/internal/provider"
)

// frozen are settings of users as the control plane tells them, with the digests
// that v0.1.0 stored with their credentials. They are literals, because other ones
// would make every user of Synadia's one that somebody has changed: whatever
// changes, these stay.
var frozen = []struct{ name, settings, digest string }{
	{"nothing", `{}`, "8eeb51674234318e"},
	{"as issued", `{"pub":{"allow":["orders.>"]},"sub":{"allow":["_INBOX.>","orders.>"],"deny":[]},"subs":-1,"data":-1,"payload":-1,"tags":["namespace:team-a","name:orders"]}`, "bf96262d529dc633"},
	{"in another order", `{"tags":["name:orders","namespace:team-a"],"sub":{"allow":["orders.>","_INBOX.>"]},"pub":{"allow":["orders.>"]},"payload":-1,"data":-1,"subs":-1}`, "bf96262d529dc633"},
	{"all", `{"pub":{"allow":["a"],"deny":["b"]},"sub":{"allow":["c"],"deny":["d"]},"resp":{"max":3,"ttl":60000000000},"src":["10.0.0.0/8"],
		"times":[{"start":"08:00:00","end":"17:00:00"}],"times_location":"Europe/Berlin","subs":1,"data":2,"payload":3,"bearer_token":true,
		"allowed_connection_types":["MQTT","STANDARD"],"tags":["a:b"]}`, "116e1b9145c5ff6a"},
}

func settings(t *testing.T, text string) syncp.NatsUserJwtSettings {
	t.Helper()
	var s syncp.NatsUserJwtSettings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// After an upgrade nobody's user counts as changed.
func TestSettingsAreFrozen(t *testing.T) {
	for _, test := range frozen {
		t.Run(test.name, func(t *testing.T) {
			if got := digest(settings(t, test.settings)); got != test.digest {
				t.Errorf("digest %s, and v0.1.0 stored %s", got, test.digest)
			}
		})
	}
}

// Whatever is changed of a user in the console is noticed.
func TestEveryFieldIsInTheSettings(t *testing.T) {
	for _, change := range fingerprinttest.Changes(natsjwt.User{}) {
		t.Run(change.Field, func(t *testing.T) {
			if settingsForm.Digest(change.Value) == settingsForm.Digest(natsjwt.User{}) {
				t.Error("it makes no difference")
			}
		})
	}
}

// A user that was issued with less than was asked for is one thing; each field in
// which it could have more is compared, or a user would be delivered that may do
// what nobody granted. What is asked for is varied here, field by field, and what
// was issued is not.
func TestEveryFieldIsCompared(t *testing.T) {
	elsewhere := map[string]string{
		"IssuerAccount": "compared with the account's key",
		"Type":          "of the JWT, not of what the user may do",
		"Version":       "of the JWT, not of what the user may do",
	}
	issued := provider.Grant{
		Publish: provider.Subjects{Allow: []string{"orders.>"}}, Subscribe: provider.Subjects{Allow: []string{"_INBOX.>"}},
		Responses: &provider.Responses{Max: 1, TTL: time.Second}, Times: []provider.Range{{Start: "08:00:00", End: "17:00:00"}},
	}.JWT()
	if other := differs(issued, issued); other != "" {
		t.Fatalf("a user has other %s than itself", other)
	}
	for _, change := range fingerprinttest.Changes(issued) {
		t.Run(change.Field, func(t *testing.T) {
			why, exempt := elsewhere[change.Field]
			if differs(issued, change.Value) == "" != exempt {
				t.Errorf("it is compared: %t (%s)", !exempt, why)
			}
		})
	}
}

// Each of these was issued beside what was asked for, and is more than that.
func TestWider(t *testing.T) {
	asked := provider.Grant{Publish: provider.Subjects{Allow: []string{"orders.>"}}, Subscriptions: 10, Payload: 1024, SourceCIDRs: []string{"10.0.0.0/8"},
		ConnectionTypes: []string{"STANDARD"}, Times: []provider.Range{{Start: "08:00:00", End: "17:00:00"}}, TimeZone: "UTC"}
	limited := asked.JWT()
	limited.Data = 100
	for _, test := range []struct {
		name   string
		change func(*natsjwt.User)
		want   string
	}{
		{"the same", func(*natsjwt.User) {}, ""},
		{"another subject", func(u *natsjwt.User) { u.Pub.Allow.Add("more.>") }, "permissions"},
		{"a subject to subscribe to", func(u *natsjwt.User) { u.Sub = natsjwt.Permission{} }, "permissions"},
		{"answers", func(u *natsjwt.User) { u.Resp = &natsjwt.ResponsePermission{MaxMsgs: 1} }, "permissions"},
		{"more subscriptions", func(u *natsjwt.User) { u.Subs = 11 }, "limits"},
		{"subscriptions without end", func(u *natsjwt.User) { u.Subs = natsjwt.NoLimit }, "limits"},
		{"fewer subscriptions", func(u *natsjwt.User) { u.Subs = 9 }, ""},
		{"more data", func(u *natsjwt.User) { u.Data = natsjwt.NoLimit }, "limits"},
		{"larger messages", func(u *natsjwt.User) { u.Payload = 1025 }, "limits"},
		{"from everywhere", func(u *natsjwt.User) { u.Src = nil }, "source networks"},
		{"at all times", func(u *natsjwt.User) { u.Times = nil }, "times"},
		{"elsewhere at those times", func(u *natsjwt.User) { u.Locale = "Asia/Tokyo" }, "times"},
		{"by other ways", func(u *natsjwt.User) { u.AllowedConnectionTypes.Add("MQTT") }, "connection types"},
		{"without its seed", func(u *natsjwt.User) { u.BearerToken = true }, "use of its seed"},
		{"a tag more", func(u *natsjwt.User) { u.Tags.Add("more") }, ""},
		{"by a proxy alone", func(u *natsjwt.User) { u.ProxyRequired = true }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			issued := asked.JWT()
			issued.Data = 100
			if test.change(&issued); differs(issued, limited) != test.want {
				t.Errorf("it has other %q, want %q", differs(issued, limited), test.want)
			}
		})
	}
}
