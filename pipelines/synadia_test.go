package pipelines_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal/natstest"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud/openapi"
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
	t.Parallel()
	system := natstest.Start(t)
	c := &cloudy{live: live{T: t, Scenario: scenario.New(t, platformDir, stages...), system: system}}
	c.Now = time.Now().UTC().Truncate(time.Second) // the cloud has a clock of its own
	var err error
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
    platform: prod
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
	all, err := ledger.Store{Client: c.Client}.All(c.Context())
	if err != nil || len(all) != 1 {
		c.Fatal(len(all), err)
	}
	return all[0]
}

// connects reports whether the last credentials that were downloaded of a user do.
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
	c.wantReason("Verified", "can sign with its signing key group \"Default\"")
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

// onOneCluster is a request whose credential is wanted on eu-1.
func onOneCluster(t *testing.T) string {
	return strings.Replace(example(t, "nats-user"), "environment: prod", "baleen.dev/destination: eu-1", 1)
}

// aDayLater has the account read its users, and the request do what it is asked to.
func (c *cloudy) aDayLater(user string) scenario.Outcome {
	c.Helper()
	c.Now = c.Now.Add(25 * time.Hour)
	c.wantReason("Verified", "")
	stored, err := c.Client.Get(c.Context(), platform.NatsUser, "team-a", "orders")
	if err != nil || stored.GetLabels()["kratix.io/manual-reconciliation"] != "true" {
		c.Errorf("the request is not asked to run: %v %v", stored.GetLabels(), err)
	}
	return c.Apply(user)
}

// A user that somebody has deleted is noticed within a day, and replaced.
func TestSynadiaUserIsDeleted(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	user := onOneCluster(t)
	c.Apply(user)
	one := *c.ledger().Current("eu-1")
	c.inConsole(http.MethodDelete, "nats-users/"+one.ID)
	c.aDayLater(user)
	two := *c.ledger().Current("eu-1")
	if two.Reason != "DeletedAtProvider" || two.Generation != 2 {
		t.Errorf("eu-1 has %+v", two)
	}
	// What was delivered connects until its successor was, and is revoked then.
	if err := c.connects(one.User); err != nil {
		t.Errorf("before the new one can be there the former one is refused: %v", err)
	}
	c.Apply(user)
	c.Now = c.Now.Add(25 * time.Hour)
	c.Apply(user)
	c.wantReason("Verified", "")
	if c.connects(one.User) == nil || c.connects(two.User) != nil {
		t.Error("after the overlap the deleted user connects, or the new one does not")
	}
}

// Permissions that somebody has changed are said, and corrected where that is asked for.
func TestSynadiaUserIsChanged(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	user := onOneCluster(t)
	c.Apply(user)
	one := *c.ledger().Current("eu-1")
	if err := c.AllowPublish(one.ID, "payments.>"); err != nil {
		t.Fatal(err)
	}
	o := c.aDayLater(user)
	if ready, _, message := o.Ready(); ready != "True" || !strings.Contains(message, "the user was changed at the provider, which what is delivered does not show: eu-1") {
		t.Errorf("%s: %s", ready, message)
	}
	if c.ledger().Current("eu-1").User != one.User {
		t.Error("it got a new credential")
	}
	c.account = strings.Replace(c.account, "    system:", "    driftPolicy: Correct\n    system:", 1)
	c.wantReason("Verified", "")
	c.Apply(user)
	if two := c.ledger().Current("eu-1"); two.Reason != "GrantChanged" || two.Generation != 2 || !two.Drifted.IsZero() {
		t.Errorf("eu-1 has %+v", two)
	}
}

// A user that a run has made and nobody has written down is found and removed, and
// what is delivered stays. So it is where the ledger is lost, or yesterday's.
func TestSynadiaStray(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	user := onOneCluster(t)
	c.Fail(fakecloud.Fault{Method: "POST", Path: "/accounts/*/nats-users", Twice: true})
	first := c.Apply(user)
	c.Heal()
	if n := len(c.Users(c.Account)); n != 2 {
		t.Fatalf("there are %d users", n)
	}
	l := c.ledger()
	if err := c.Client.Delete(t.Context(), platform.ConfigMap, ledger.Namespace, "ledger-"+l.Request.LongHash(), platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
	c.Now = c.Now.Add(25 * time.Hour)
	c.wantReason("Verified", "") // leaves a ledger that is lost to the request
	if o := c.Apply(user); o.Documents() != first.Documents() {
		t.Error("the request that lost its ledger has other documents")
	}
	if o := c.aDayLater(user); o.Documents() != first.Documents() {
		t.Error("the request with a stray has other documents")
	}
	c.wantReason("Verified", "")
	if users := c.Users(c.Account); len(users) != 1 || users[0].PublicKey != c.ledger().Current("eu-1").User {
		t.Errorf("the cloud has %+v", users)
	}
}

// A user that is called as one of this platform's, is in no ledger, and was
// downloaded may be in use on another platform of the same name: it stays until it
// expires, and the status counts it.
func TestSynadiaUserOfAnotherPlatform(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	c.Apply(onOneCluster(t))
	user := c.ledger().Current("eu-1").User
	for _, what := range []string{"team-a", ledger.Namespace} { // so all is of a platform that this one knows nothing of
		c.RemoveAll(what)
	}
	c.Write(txtar.File{Name: ledger.Namespace + "/keep"})
	unknown := func() any {
		c.Helper()
		o := c.Apply(c.account)
		n, _, _ := unstructured.NestedFieldNoCopy(o.Status, "account", "unknownUsers")
		if _, _, message := o.Ready(); (n != nil) != strings.Contains(message, "and it did not make them") {
			c.Errorf("with %v unknown users the status says %s", n, message)
		}
		return n
	}
	for range 2 {
		c.Now = c.Now.Add(25 * time.Hour)
		if n := unknown(); fmt.Sprint(n) != "1" {
			t.Errorf("%v users are unknown", n)
		}
		if err := c.connects(user); err != nil {
			t.Errorf("the other platform's user does not connect: %v", err)
		}
	}
	c.Now = c.Now.Add(31 * 24 * time.Hour)
	for range 2 { // finds it expired, and a day later nobody has asked for it
		unknown()
		c.Now = c.Now.Add(25 * time.Hour)
	}
	unknown()
	if users := c.Users(c.Account); len(users) > 0 {
		t.Errorf("after its expiry the cloud has %v", users)
	}
}

// What Synadia refuses or does not answer stands in the status. What was delivered
// stays, and the next run goes on.
func TestSynadiaFails(t *testing.T) {
	for _, test := range []struct {
		name             string
		fault            fakecloud.Fault
		account          string
		reason, sentence string
	}{
		{"the token is revoked", fakecloud.Fault{Status: 401}, "TokenRefused", "IssueFailed", "the token is refused (401): put one that is valid"},
		{"the token may not make users", fakecloud.Fault{Method: "POST", Status: 403}, "Verified", "IssueFailed", "the token is refused (403)"},
		{"come back tomorrow", fakecloud.Fault{Status: 429, RetryAfter: "86400"}, "ProviderUnreachable", "IssueFailed", "too many requests (429)"},
		{"no such account", fakecloud.Fault{Method: "GET", Path: "/accounts/*", Status: 404}, "AccountUnknown", "AccountRefuted", "the control plane has no account"},
		{"the request is wrong", fakecloud.Fault{Method: "POST", Status: 400, Body: `{"error":"no more than 10 users"}`}, "Verified", "IssueFailed", `it says: "no more than 10 users"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloudy(t)
			c.wantReason("Verified", "")
			user := onOneCluster(t)
			first := c.Apply(user)
			c.Fail(test.fault)
			c.wantReason(test.account, "")
			rotated := strings.Replace(user, "credentials: {", `credentials: {rotate: "1", `, 1)
			o := c.Apply(rotated)
			if ready, reason, message := o.Ready(); ready != "False" || reason != test.reason || !strings.Contains(message, test.sentence) || strings.Contains(o.Stderr+message, cloudToken) {
				t.Errorf("%s: %s", reason, message)
			}
			if o.Documents() != first.Documents() {
				t.Error("what was delivered has changed")
			}
			c.Heal()
			c.wantReason("Verified", "")
			if o := c.Apply(rotated); o.Documents() == first.Documents() {
				t.Error("the next run does not go on")
			}
			c.wantReason("Verified", "")
			if users := c.Users(c.Account); len(users) != 2 {
				t.Errorf("the cloud has %+v", users)
			}
		})
	}
}

// What is queued stays queued while the control plane does not revoke it, unless it
// has expired: then nobody could connect.
func TestSynadiaQueuedUntilMended(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fakecloud.Fault
		// left are to be revoked once they would have expired.
		left int
	}{
		{"it does not answer", fakecloud.Fault{Status: 401}, 1},
		{"it has no such account", fakecloud.Fault{Method: "GET", Path: "/accounts/*", Status: 404}, 0},
		{"the token may not revoke", fakecloud.Fault{Method: "PUT", Status: 403}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloudy(t)
			c.wantReason("Verified", "")
			c.Apply(onOneCluster(t))
			c.Apply(strings.Replace(onOneCluster(t), "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1))
			c.Fail(test.fault)
			c.Apply(c.account)
			if n := c.ledger().Count(ledger.Retiring); n != 1 {
				t.Errorf("%d are to be revoked, want 1", n)
			}
			c.Now = c.Now.Add(31 * 24 * time.Hour)
			c.Apply(c.account)
			if n := c.ledger().Count(ledger.Retiring); n != test.left {
				t.Errorf("after their expiry %d are to be revoked, want %d", n, test.left)
			}
		})
	}
}

// A dry run of an account retires nobody, although what it would retire is not on the
// platform.
func TestSynadiaDryRun(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	c.Apply(onOneCluster(t))
	c.Apply(strings.Replace(onOneCluster(t), "credentials: {", `credentials: {rotate: "1", revokePrevious: Immediately, `, 1))
	c.DryRun = true
	c.Apply(c.account)
	if users, revoked := c.Users(c.Account), c.Revocations(c.Account); len(users) != 2 || len(revoked) > 0 {
		t.Errorf("the cloud has the users %v and the revocations %v", users, revoked)
	}
}

// inConsole does something as a person does in the console.
func (c *cloudy) inConsole(method, path string) {
	c.Helper()
	r := httptest.NewRequest(method, "/api/core/beta/"+path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+cloudToken)
	answer := httptest.NewRecorder()
	if c.ServeHTTP(answer, r); answer.Code >= 300 {
		c.Fatalf("the console: %s %s: %d %s", method, path, answer.Code, answer.Body)
	}
}

func (c *cloudy) isAsked(kind platform.Kind, namespace, name string) bool {
	c.Helper()
	stored, err := c.Client.Get(c.Context(), kind, namespace, name)
	if err != nil {
		c.Fatal(err)
	}
	return stored.GetLabels()["kratix.io/manual-reconciliation"] == "true"
}

// While the control plane cannot be asked, an account that nothing is known of and
// its requests do not ask each other without end.
func TestSynadiaIsAwayFromTheStart(t *testing.T) {
	c := newCloudy(t)
	c.RevokeToken(cloudToken)
	c.wantReason("TokenRefused", "")
	user := onOneCluster(t)
	o := c.Apply(user)
	if _, reason, _ := o.Ready(); reason != "AccountUnverified" || !c.isAsked(platform.NatsAccount, "baleen-system", "commerce") {
		t.Errorf("the request is %s", reason)
	}
	c.wantReason("TokenRefused", "")
	if c.isAsked(platform.NatsUser, "team-a", "orders") {
		t.Error("the request is asked to run, and would ask in turn")
	}
	c.AllowToken(cloudToken)
	c.wantReason("Verified", "")
	if !c.isAsked(platform.NatsUser, "team-a", "orders") {
		t.Error("the request is not told that it can be served now")
	}
	if _, reason, message := c.Apply(user).Ready(); reason != "Delivered" {
		t.Error(reason, message)
	}
	// A policy can be changed at any time.
	c.RevokeToken(cloudToken)
	c.account += "    maxTTL: 2000h\n"
	c.wantReason("TokenRefused", "")
	if _, reason, message := c.Apply(user).Ready(); reason != "Delivered" {
		t.Errorf("after a change of the policy: %s: %s", reason, message)
	}
}

// Attempts that fail do not go on without end, nor does the ledger grow with them.
func TestSynadiaRefusesAgainAndAgain(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	c.Fail(fakecloud.Fault{Method: "POST", Path: "/accounts/*/nats-users", Status: 403})
	user := onOneCluster(t)
	rounds := 0
	c.Apply(user)
	for c.isAsked(platform.NatsAccount, "baleen-system", "commerce") && rounds < 10 {
		rounds++
		c.wantReason("Verified", "")
		if c.isAsked(platform.NatsUser, "team-a", "orders") {
			c.Apply(user)
		}
	}
	if rounds > 4 {
		t.Errorf("%d rounds", rounds)
	}
	c.Heal()
	c.Now = c.Now.Add(10 * time.Hour)
	c.wantReason("Verified", "")
	if !c.isAsked(platform.NatsUser, "team-a", "orders") {
		t.Error("the request is not asked to try again")
	}
	if _, reason, message := c.Apply(user).Ready(); reason != "Delivered" {
		t.Error(reason, message)
	}
	c.Now = c.Now.Add(26 * time.Hour)
	c.wantReason("Verified", "")
	c.Apply(user)
	if n := len(c.ledger().Records); n != 1 {
		t.Errorf("the ledger has %d rows: %+v", n, c.ledger().Records)
	}
}

// What is to be revoked and takes longer than a run may is revoked in several.
func TestSynadiaBudget(t *testing.T) {
	c := newCloudy(t)
	c.account = strings.Replace(c.account, "    system:", "    budget: 1s\n    system:", 1)
	c.wantReason("Verified", "")
	user := onOneCluster(t)
	for i := range 6 {
		c.Apply(strings.Replace(user, "credentials: {", fmt.Sprintf(`credentials: {rotate: "%d", revokePrevious: Immediately, `, i), 1))
	}
	c.Fail(fakecloud.Fault{Method: "PUT", Delay: 350 * time.Millisecond})
	before, runs := c.ledger().Count(ledger.Retiring), 0
	for left := before; left > 0 && runs < before; runs++ {
		c.Apply(c.account)
		if now := c.ledger().Count(ledger.Retiring); now >= left {
			t.Fatalf("%d are to be revoked after a run, and %d before", now, left)
		} else {
			left = now
		}
	}
	if before != 5 || runs < 2 {
		t.Errorf("%d were revoked in %d runs", before, runs)
	}
}

// Who signs does not change because somebody makes another group, and one that is
// disabled keeps nothing from being revoked.
func TestSynadiaGroups(t *testing.T) {
	c := newCloudy(t)
	account, err := c.AddAccount(c.System, "of a team")
	if err != nil {
		t.Fatal(err)
	}
	team, err := c.AddGroup(account, fakecloud.Group{Name: "team"})
	if err != nil {
		t.Fatal(err)
	}
	c.account = strings.Replace(c.account, "account: commerce", "account: of a team", 1) // and no group is named
	c.wantReason("Verified", `group "team"`)
	user := onOneCluster(t)
	first := c.Apply(user)
	for _, name := range []string{"more", "Default"} {
		if _, err := c.AddGroup(account, fakecloud.Group{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	c.wantReason("Verified", "")
	if o := c.Apply(user); o.Documents() != first.Documents() {
		t.Error("another group changes what is delivered")
	}
	if err := c.DisableGroup(team); err != nil {
		t.Fatal(err)
	}
	c.Delete(user)
	c.wantReason("SigningKeyUnusable", "")
	if o := c.Delete(user); o.Err != nil || len(c.Users(account)) > 0 {
		t.Errorf("%v %s, the users %v", o.Err, o.Stderr, c.Users(account))
	}
}

// A request whose account is gone can be deleted once nothing is left to revoke, or
// if that is wanted.
func TestSynadiaAccountIsGone(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	user := onOneCluster(t)
	c.Apply(user)
	if o := c.Delete(c.account); o.Err != nil {
		t.Fatal(o.Err, o.Stderr)
	}
	if o := c.Delete(user); o.Err == nil || !strings.Contains(o.Stderr, "NatsAccount commerce of NatsUser team-a/orders is gone") {
		t.Error(o.Err, o.Stderr)
	}
	c.Now = c.Now.Add(31 * 24 * time.Hour)
	if o := c.Delete(user); o.Err != nil {
		t.Error(o.Err, o.Stderr)
	}
	// With Retain it can be deleted at once, also with a generation that has expired.
	c.wantReason("Verified", "")
	retained := user + "  deletionPolicy: Retain\n"
	c.Apply(retained)
	c.Now = c.Now.Add(21 * 24 * time.Hour)
	c.Apply(retained)
	c.Now = c.Now.Add(10 * 24 * time.Hour)
	if o := c.Delete(c.account); o.Err != nil {
		t.Fatal(o.Err, o.Stderr)
	}
	if o := c.Delete(retained); o.Err != nil {
		t.Error(o.Err, o.Stderr)
	}
}

// An account may be changed for another. What is left in the former one goes too,
// and where the token does not reach it any more keeps nothing else from going.
func TestSynadiaFormerAccount(t *testing.T) {
	for _, test := range []struct {
		name    string
		reached bool
	}{{"within the token's reach", true}, {"out of the token's reach", false}} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloudy(t)
			c.wantReason("Verified", "")
			user := onOneCluster(t)
			c.Apply(user)
			former := c.ledger().Current("eu-1").User
			other, err := c.AddAccount(c.System, "other")
			if err == nil {
				_, err = c.AddGroup(other, fakecloud.Group{Name: "Default"})
			}
			if err != nil {
				t.Fatal(err)
			}
			c.account = strings.Replace(c.account, "account: commerce", "account: other", 1)
			c.wantReason("Verified", "")
			rotated := func(rotate string) string {
				return strings.Replace(user, "credentials: {", `credentials: {rotate: "`+rotate+`", revokePrevious: Immediately, `, 1)
			}
			c.Apply(rotated("1"))
			c.Apply(rotated("2"))
			if l := c.ledger(); l.Current("eu-1").Basis.ProviderAccount != other || l.Count(ledger.Retiring) != 2 {
				t.Fatalf("the ledger has %+v", l.Records)
			}
			if !test.reached {
				c.Fail(fakecloud.Fault{Path: "/accounts/" + c.Account + "/*/*", Status: 403})
			}
			c.wantReason("Verified", "")
			for _, r := range c.ledger().Records {
				if r.State == ledger.Retiring || r.State == ledger.Retired && r.Revoked.IsZero() != (r.User == former && !test.reached) {
					t.Errorf("generation %d is %s, revoked %s", r.Generation, r.State, r.Revoked)
				}
			}
			c.asked()
			c.wantReason("Verified", "")
			if asked := c.asked(); strings.Contains(asked, "PUT") || strings.Contains(asked, "DELETE") {
				t.Errorf("with nothing to do it asks\n%s", asked)
			}
			for range 3 { // expires, is cleared up after, and is forgotten
				c.Now = c.Now.Add(20 * 24 * time.Hour)
				c.Apply(rotated("2"))
				c.wantReason("Verified", "")
			}
			c.Apply(rotated("2"))
			if rows := c.ledger().Records; rows[0].User == former {
				t.Errorf("the former account's is never forgotten: %+v", rows[0])
			}
		})
	}
}

// What is left of an account that the request drew from before, and that is gone, is
// not waited for without end.
func TestSynadiaFormerAccountIsGone(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	user := onOneCluster(t)
	c.Apply(user)
	c.Apply(strings.Replace(c.account, "name: commerce, namespace", "name: payments, namespace", 1))
	moved := strings.Replace(user, "accountRef: {name: commerce}", "accountRef: {name: payments}", 1)
	c.Apply(moved)
	if o := c.Delete(c.account); o.Err != nil {
		t.Fatal(o.Err, o.Stderr)
	}
	c.Now = c.Now.Add(31 * 24 * time.Hour)
	c.Apply(moved)
	if _, _, message := c.Apply(moved).Ready(); strings.Contains(message, "NatsAccount commerce") {
		t.Error(message)
	}
	c.Now = c.Now.Add(25 * time.Hour)
	c.Apply(moved)
	for _, r := range c.ledger().Records {
		if r.Basis.Account == "commerce" {
			t.Errorf("it is never forgotten: %+v", r)
		}
	}
}

// A request that had its effect twice, with its answer lost, leaves nothing: neither
// of the users, and once they would have expired no revocation.
func TestSynadiaTwoOfOneName(t *testing.T) {
	c := newCloudy(t)
	c.wantReason("Verified", "")
	user := onOneCluster(t)
	c.Fail(fakecloud.Fault{Method: "POST", Path: "/accounts/*/nats-users", Nth: 1, Twice: true, Late: true, Status: 502})
	if _, reason, message := c.Apply(user).Ready(); reason != "IssueFailed" || !strings.Contains(message, "there are 2 users of that name, which are retired") {
		t.Errorf("%s: %s", reason, message)
	}
	c.Heal()
	c.wantReason("Verified", "")
	if users, revoked := c.Users(c.Account), c.Revocations(c.Account); len(users) != 0 || len(revoked) != 2 {
		t.Errorf("the cloud has the users %v and the revocations %v", users, revoked)
	}
	c.Apply(user)
	c.Now = c.Now.Add(31 * 24 * time.Hour)
	c.Apply(user)
	c.wantReason("Verified", "")
	if users, revoked := c.Users(c.Account), c.Revocations(c.Account); len(users) != 1 || len(revoked) != 0 {
		t.Errorf("later the cloud has the users %v and the revocations %v", users, revoked)
	}
}

// Two NatsAccounts with policies of their own may draw from one account.
func TestSynadiaTwoAccountsInOne(t *testing.T) {
	c := newCloudy(t)
	other := strings.Replace(c.account, "name: commerce, namespace", "name: payments, namespace", 1)
	c.wantReason("Verified", "")
	c.Apply(other)
	c.Apply(onOneCluster(t))
	c.Now = c.Now.Add(25 * time.Hour)
	if _, reason, message := c.Apply(other).Ready(); reason != "Verified" || strings.Contains(message, "did not make") {
		t.Errorf("%s: %s", reason, message)
	}
	if users := c.Users(c.Account); len(users) != 1 {
		t.Errorf("the cloud has %v", users)
	}
}
