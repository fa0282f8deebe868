package pipelines_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/issuer/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/issuer/synadia/fakecloud/openapi"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
)

const cloudToken = "uat_of_the_platform"

// cloudy is a platform whose NatsAccount is in a stand-in for Synadia Cloud. All
// traffic is judged by Synadia's own document.
type cloudy struct {
	live
	*fakecloud.Cloud
}

func newCloudy(t *testing.T) *cloudy {
	t.Helper()
	system, err := natslocal.New(t.TempDir())
	if err == nil {
		err = system.Start(true)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(system.Stop)
	c := &cloudy{live: live{T: t, Scenario: scenario.New(t, platformDir, stages), system: system}}
	c.Now = time.Now().UTC().Truncate(time.Second) // the cloud has a clock of its own
	if c.Cloud, err = fakecloud.New(fakecloud.Options{NATS: system, Tokens: []string{cloudToken}, Now: func() time.Time { return c.Now }}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(openapi.Validate(t, c.Cloud))
	t.Cleanup(server.Close)
	c.account = `apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system}
spec:
  provider: synadia
  synadia:
    baseURL: ` + server.URL + `
    system: NGS
    account: commerce
    tokenSecretRef: {name: synadia}
    servers: ["` + system.URL() + `"]
  policy:
    namespaces: ["team-*"]
    publish: ["orders.>"]
    subscribe: ["orders.>", "_INBOX.>"]
    allowResponses: {}
`
	c.secret("synadia", "token", []byte(cloudToken))
	return c
}

// asked are the requests since it was asked last, with ids left out.
func (c *cloudy) asked() string {
	c.Helper()
	var lines []string
	for _, r := range c.Requests() {
		parts := strings.Split(r.Path, "/")
		for i, p := range parts {
			if len(p) > 20 && strings.ToUpper(p) == p {
				parts[i] = "…"
			}
		}
		r.Path = strings.Join(parts, "/")
		lines = append(lines, r.String())
	}
	c.ForgetRequests()
	return strings.Join(lines, "\n")
}

func (c *cloudy) wantAsked(what string, want ...string) {
	c.Helper()
	if got := c.asked(); got != strings.Join(want, "\n") {
		c.Errorf("%s asked the control plane:\n%s\nwant:\n%s", what, got, strings.Join(want, "\n"))
	}
}

func (c *cloudy) ledger() *ledger.Ledger {
	c.Helper()
	all, err := ledger.Book{Client: c.Client}.All(c.Context())
	if err != nil || len(all) != 1 {
		c.Fatal(len(all), err)
	}
	return all[0]
}

// connects tells whether the last credentials that were downloaded of a user do.
func (c *cloudy) connects(user string) error {
	var last []byte
	for _, i := range c.Issuances(c.Account) {
		if i.PublicKey == user {
			last = i.Creds
		}
	}
	conn, err := c.system.Connect(last)
	if err == nil {
		conn.Close()
	}
	return err
}

func TestSynadiaLife(t *testing.T) {
	c := newCloudy(t)
	look := []string{
		"GET /teams 200", "GET /teams/…/systems 200", "GET /systems/…/accounts 200", "GET /accounts/… 200", "GET /accounts/…/account-sk-groups 200",
	}
	c.wantReason("Verified", "can sign with its signing key group Default")
	c.wantAsked("the account's first run", append(look, "GET /accounts/…/nats-users 200")...)
	c.wantReason("Verified", "")
	c.wantAsked("the account's next run", look...)

	user := strings.Replace(example(t, "nats-user"), "environment: prod", "baleen.dev/destination: eu-1", 1)
	first := c.Apply(user)
	if ready, reason, message := first.Ready(); ready != "True" {
		t.Fatal(reason, message, first.Stderr)
	}
	c.wantAsked("the first issue", "POST /accounts/…/nats-users 201", "POST /nats-users/…/creds 200")
	one := *c.ledger().Current("eu-1")
	if users := c.Users(c.Account); len(users) != 1 || users[0].PublicKey != one.User || users[0].ID != one.ID || !strings.HasPrefix(users[0].Name, "team-a.orders.eu-1.g1.") {
		t.Errorf("the cloud has %+v, the ledger %+v", users, one)
	}
	if err := c.connects(one.User); err != nil {
		t.Error(err)
	}
	for range 3 {
		c.Now = c.Now.Add(10 * time.Hour)
		if o := c.Reconcile(platform.NatsUser, "team-a", "orders"); o.Documents() != first.Documents() {
			t.Error("a reconcile with nothing to do changes documents")
		}
	}
	c.wantAsked("a reconcile with nothing to do")

	rotated := strings.Replace(user, "credentials: {", `credentials: {rotate: "1", `, 1)
	c.Apply(rotated)
	c.wantAsked("a rotation", "POST /accounts/…/nats-users 201", "POST /nats-users/…/creds 200")
	two := *c.ledger().Current("eu-1")
	if two.Generation != 2 || two.Reason != "RotationRequested" || c.connects(one.User) != nil || c.connects(two.User) != nil {
		t.Errorf("after a rotation eu-1 has %+v", two)
	}
	c.Apply(rotated) // sees that it was written
	c.Now = c.Now.Add(25 * time.Hour)
	c.Apply(rotated)
	c.wantAsked("waiting for the overlap")
	c.wantReason("Verified", "")
	c.wantAsked("the account's run after the overlap", append(look,
		"PUT /accounts/…/nats-user-revocations/… 201", "GET /accounts/…/nats-user-revocations/… 200", "DELETE /nats-users/… 204",
		"GET /accounts/…/nats-users 200")...)
	if c.connects(one.User) == nil || c.connects(two.User) != nil {
		t.Error("after the overlap the first generation connects, or the second does not")
	}

	c.Now = c.Now.Add(31 * 24 * time.Hour) // renewed meanwhile, and the revocation has no use any more
	c.Apply(rotated)
	c.asked()
	c.wantReason("Verified", "")
	c.wantAsked("the account's run after the first expired", append(look,
		"DELETE /nats-users/… 404", "DELETE /accounts/…/nats-user-revocations/… 204",
		"DELETE /nats-users/… 204", "DELETE /accounts/…/nats-user-revocations/… 404",
		"GET /accounts/…/nats-users 200")...)
	if users, revoked := c.Users(c.Account), c.Revocations(c.Account); len(users) != 1 || len(revoked) != 0 {
		t.Errorf("the cloud has %v and the revocations %v", users, revoked)
	}

	if o := c.Delete(rotated); o.Err == nil || !strings.Contains(o.Stderr, "1 credentials of NatsUser team-a/orders are not revoked yet") {
		t.Error(o.Err, o.Stderr)
	}
	c.wantAsked("a deletion")
	c.wantReason("Verified", "")
	c.wantAsked("the account's run after a deletion", append(look,
		"PUT /accounts/…/nats-user-revocations/… 201", "GET /accounts/…/nats-user-revocations/… 200", "DELETE /nats-users/… 204")...)
	if o := c.Delete(rotated); o.Err != nil {
		t.Error(o.Err, o.Stderr)
	}
	if users := c.Users(c.Account); len(users) > 0 {
		t.Errorf("the cloud still has %v", users)
	}
	for _, i := range c.Issuances(c.Account) {
		if i.Expires > c.Now.Unix() && c.connects(i.PublicKey) == nil {
			t.Errorf("%s connects after the deletion", i.Name)
		}
	}
}
