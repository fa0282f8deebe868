package natsaccount

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/operator"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

const platformDir = "../../testdata/platform"

// onPlatform is a run for the account commerce of a copy of testdata/platform, which has
// neither servers nor an operator's key.
func onPlatform(t *testing.T) *workflow.Run {
	t.Helper()
	memory := platformtest.Load(t, platformDir, now)
	run := &workflow.Run{
		Promise: "nats-account", Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler),
		Identity: identity.Request{Kind: platform.NatsAccount.Kind, Namespace: account.Namespace, Name: "commerce"},
	}
	var err error
	if run.Request, err = memory.Get(t.Context(), platform.NatsAccount, account.Namespace, "commerce"); err == nil {
		run.Config, err = config.Load(t.Context(), memory)
	}
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// put stores an object; status is a YAML map.
func put(t *testing.T, client platform.Client, kind platform.Kind, namespace, name, spec, status string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal([]byte(spec), &o.Object); err != nil {
		t.Fatal(err)
	}
	o.SetGroupVersionKind(kind.GroupVersionKind)
	o.SetNamespace(namespace)
	o.SetName(name)
	created, err := client.Create(t.Context(), kind, o)
	if err == nil && status != "" {
		var content map[string]any
		if err := yaml.Unmarshal([]byte(status), &content); err != nil {
			t.Fatal(err)
		}
		created.Object["status"] = content
		created, err = client.UpdateStatus(t.Context(), kind, created)
	}
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// putSecret stores a Secret in baleen-system.
func putSecret(t *testing.T, client platform.Client, namespace, name string, data map[string]string) {
	t.Helper()
	encoded := map[string]string{}
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	text, err := yaml.Marshal(map[string]any{"data": encoded})
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, platform.Secret, namespace, name, string(text), "")
}

// seedOf is the seed of a new key.
func seedOf(t *testing.T, create func() (nkeys.KeyPair, error)) string {
	t.Helper()
	pair, err := create()
	var seed []byte
	if err == nil {
		seed, err = pair.Seed()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(seed)
}

// creds is a .creds file of a new user.
func creds(t *testing.T) string {
	t.Helper()
	signer, err := operator.New("AD4BPRVSQXPWIZGJD5EC72OJ75W6T7C4UXTXULLZD3JIZMCAGBRKSJ27", []byte(seedOf(t, nkeys.CreateAccount)), 3500)
	if err != nil {
		t.Fatal(err)
	}
	c, err := signer.Sample("system", provider.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	return string(c.File)
}

// What keeps an account from being examined, by what is wrong with it and its Secrets.
func TestGather(t *testing.T) {
	spec := func(change func(spec map[string]any)) func(*testing.T, *workflow.Run) {
		return func(_ *testing.T, run *workflow.Run) { change(run.Request.Object["spec"].(map[string]any)) }
	}
	operatedBy := func(secrets map[string]map[string]string) func(*testing.T, *workflow.Run) {
		return func(t *testing.T, run *workflow.Run) {
			j := run.Request.Object["spec"].(map[string]any)["jwt"].(map[string]any)
			j["servers"] = []any{"nats://nats.example.com"}
			j["operator"] = map[string]any{"signingKeySecretRef": map[string]any{"name": "operator"}, "systemCredentialsSecretRef": map[string]any{"name": "system"}}
			for name, data := range secrets {
				putSecret(t, run.Platform, account.OperatorNamespace, name, data)
			}
		}
	}
	operator, system := seedOf(t, nkeys.CreateOperator), creds(t)
	for _, test := range []struct {
		name         string
		change       func(*testing.T, *workflow.Run)
		reason, says string
		operator     bool
	}{
		{name: "all is well", change: func(*testing.T, *workflow.Run) {}},
		{name: "it is in another namespace", change: func(_ *testing.T, run *workflow.Run) { run.Identity.Namespace = "team-a" }, reason: "WrongNamespace",
			says: "a NatsAccount counts in the namespace baleen-system only, where the platform team declares it: make it there"},
		{name: "its spec is wrong", change: spec(func(s map[string]any) { s["provider"] = "other" }), reason: "InvalidSpec", says: "NatsAccount baleen-system/commerce is not valid"},
		{name: "credentials would expire", change: func(_ *testing.T, run *workflow.Run) { run.Config.ReconcileInterval = 48 * time.Hour }, reason: "RenewalWindowTooShort", says: "Kratix reconciles every 48h"},
		{name: "its key is missing", change: func(t *testing.T, run *workflow.Run) {
			if err := run.Platform.Delete(t.Context(), platform.Secret, account.Namespace, "commerce-signing", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
		}, reason: "SecretInvalid", says: "there is no Secret baleen-system/commerce-signing"},
		{name: "it has an operator's key", change: operatedBy(map[string]map[string]string{"operator": {"seed": operator}, "system": {"creds": system}}), operator: true},
		{name: "the operator's key is missing", change: operatedBy(map[string]map[string]string{"system": {"creds": system}}), reason: "SecretInvalid", says: "there is no Secret baleen-operator/operator"},
		{name: "the operator's key is an account's", change: operatedBy(map[string]map[string]string{"operator": {"seed": seedOf(t, nkeys.CreateAccount)}, "system": {"creds": system}}), reason: "SecretInvalid",
			says: "the operator's signing key, the key seed of the Secret baleen-operator/operator, cannot be used: it is the seed of an account"},
		{name: "the system's credentials are missing", change: operatedBy(map[string]map[string]string{"operator": {"seed": operator}}), reason: "SecretInvalid", says: "there is no Secret baleen-operator/system"},
		{name: "the system's credentials are none", change: operatedBy(map[string]map[string]string{"operator": {"seed": operator}, "system": {"creds": "none"}}), reason: "SecretInvalid",
			says: "the credentials of the system account, the key creds of the Secret baleen-operator/system, are not a .creds file: put in what `nsc generate creds` writes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t)
			test.change(t, run)
			in, err := pipeline{}.gather(t.Context(), run)
			var failure *workflow.Failure
			if errors.As(err, &failure); (err != nil) != (test.reason != "") || failure != nil && string(failure.Reason) != test.reason || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %s: %s", err, test.reason, test.says)
			}
			if err == nil && (in.admin.CannotRevoke() == "") != test.operator {
				t.Errorf("it cannot revoke: %s", in.admin.CannotRevoke())
			}
			if result, failed := (pipeline{}).configure(t.Context(), run); err != nil && (failed == nil || len(result.Status) > 0) {
				t.Errorf("in the end it says %v", failed)
			}
		})
	}
}

// What is gathered are the requests of the account, and of others.
func TestGatherUsers(t *testing.T) {
	run := onPlatform(t)
	put(t, run.Platform, platform.NatsUser, "team-a", "mine", "spec: {accountRef: {name: commerce}}", "")
	put(t, run.Platform, platform.NatsUser, "team-a", "theirs", "spec: {accountRef: {name: payments}}", "")
	in, err := pipeline{}.gather(t.Context(), run)
	if err != nil || len(in.users) != 1 || in.users[0].Name != "mine" || len(in.all) != 2 {
		t.Errorf("it has %d users of %d: %v", len(in.users), len(in.all), err)
	}
	if in.lastRead != (time.Time{}) || in.keeper != nil {
		t.Error("it is taken for an account of Synadia's")
	}
}

// What the account knows of requests stands in their specs and statuses.
func TestListUsers(t *testing.T) {
	memory := platform.NewMemory(func() time.Time { return now })
	put(t, memory, platform.NatsUser, "team-a", "orders", "spec: {accountRef: {name: commerce}, deletionPolicy: Retain}", "{accountTerms: terms, conditions: [{type: Ready, status: 'True', reason: Delivered}]}")
	put(t, memory, platform.NatsUser, "team-b", "orders", "spec: {accountRef: {name: payments}, deletionPolicy: Revoke, credentials: {revokePrevious: Immediately}}", "")
	put(t, memory, platform.NatsUser, "team-c", "orders", "spec: none", "")
	got, err := listUsers(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	want := []natsUser{
		{workflow.Peer{Namespace: "team-a", Name: "orders", Terms: "terms", Ready: true, Reason: "Delivered"}, "commerce", true, false},
		{workflow.Peer{Namespace: "team-b", Name: "orders", Since: now.UTC()}, "payments", false, true}, {workflow.Peer{Namespace: "team-c", Name: "orders", Since: now.UTC()}, "", false, false},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(natsUser{})); diff != "" {
		t.Error(diff)
	}
	if _, err := listUsers(t.Context(), platformtest.At(memory, 1, platformtest.Refused)); !platform.IsTransient(err) {
		t.Errorf("while the platform is away it says %v", err)
	}
}

// keeper is a provider that keeps users, of whom nobody asks.
type keeper struct{ provider.Keeper }

// Which requests are asked to run again: those that have not seen what the account
// offers now, and those that may have something to do; none where they would find the
// account wanting, and each but once.
func TestAsk(t *testing.T) {
	a := &account.Account{NatsAccount: operated(), Opened: provider.Opened{Account: provider.Account{SigningKey: "S"}}}
	terms := a.Terms()
	peer := func(name string, change func(*workflow.Peer)) natsUser {
		p := workflow.Peer{Namespace: "team-a", Name: name, Terms: terms, Ready: true, Reason: "Delivered"}
		change(&p)
		return natsUser{Peer: p, account: "commerce"}
	}
	users := []natsUser{
		peer("content", func(*workflow.Peer) {}),
		peer("other-terms", func(p *workflow.Peer) { p.Terms = "other" }),
		peer("failed", func(p *workflow.Peer) { p.Failed = true }),
		peer("refuted", func(p *workflow.Peer) { p.Reason = "AccountRefuted" }),
		peer("forgotten", func(p *workflow.Peer) { p.Begun = now.Add(-time.Hour) }),
		peer("paused", func(p *workflow.Peer) { p.Paused = true }),
		peer("changed", func(*workflow.Peer) {}), // at the provider
		peer("waits", func(*workflow.Peer) {}),
		peer("refused", func(p *workflow.Peer) { p.Refused, p.Terms = true, "other" }),
	}
	lost := active("U1")
	lost.Revoked = now
	ledgerOf := func(namespace, name string, rows ...ledger.Record) *ledger.Ledger {
		return &ledger.Ledger{Request: identity.Request{Kind: platform.NatsUser.Kind, Namespace: namespace, Name: name}, Records: rows}
	}
	for _, test := range []struct {
		name   string
		found  finding
		change func(*inputs)
		asks   string
	}{
		{"all is well", finding{}, func(*inputs) {}, "team-a/changed, team-a/failed, team-a/forgotten, team-a/other-terms, team-a/paused, team-a/refuted, team-a/waits"},
		{"the servers are away", finding{refusal: &provider.Refusal{Reason: "ServersUnreachable", Err: errors.New("away")}}, func(*inputs) {}, "team-a/forgotten, team-a/other-terms, team-a/paused, team-a/waits"},
		{"the account does not work", finding{refusal: &provider.Refusal{Reason: "UserRefused", Err: errors.New("no")}}, func(*inputs) {}, ""},
		{"nobody has seen the account at Synadia", finding{}, func(in *inputs) { in.keeper, in.account.Unseen = keeper{}, true }, ""},
		{"nobody has found the account, and the servers are away", finding{refusal: &provider.Refusal{Reason: "ServersUnreachable", Err: errors.New("away")}}, func(in *inputs) { in.account.Unseen = true }, ""},
		{"the account does not work, and a deletion waits for it no more", finding{refusal: &provider.Refusal{Reason: "UserRefused", Err: errors.New("no")}}, func(in *inputs) {
			in.users = append(slices.Clone(in.users), natsUser{Peer: workflow.Peer{Namespace: "team-a", Name: "waits", Terms: "other", Deleting: now}, account: "commerce"})
			in.ledgers = []*ledger.Ledger{{Request: identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-a", Name: "waits"}, Tombstone: &ledger.Tombstone{UID: "1", At: now}}}
		}, "team-a/waits"},
		{"it is found for the first time", finding{Facts: provider.Facts{Account: &provider.Account{}}}, func(in *inputs) { in.account.Unseen = true }, "team-a/changed, team-a/failed, team-a/forgotten, team-a/other-terms, team-a/paused, team-a/refuted, team-a/waits"},
		{"the account at Synadia was seen", finding{}, func(in *inputs) { in.keeper, in.account.ProviderAccount = keeper{}, "cloud" }, "team-a/changed, team-a/content, team-a/failed, team-a/forgotten, team-a/other-terms, team-a/paused, team-a/refuted, team-a/waits"},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := platform.NewMemory(func() time.Time { return now })
			for _, u := range users {
				put(t, memory, platform.NatsUser, "team-a", u.Name, "spec: {}", "")
			}
			opened := *a
			in := inputs{account: &opened, users: users, news: map[identity.Request]bool{ledgerOf("team-a", "changed").Request: true, ledgerOf("team-b", "content").Request: true},
				ledgers: []*ledger.Ledger{ledgerOf("team-b", "content", lost), ledgerOf("team-a", "waits", lost)}}
			test.change(&in)
			run := &workflow.Run{Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler)}
			if err := workflow.NotifyAll(t.Context(), run, platform.NatsUser, concerned(in, test.found, now)); err != nil {
				t.Fatal(err)
			}
			if got := workflowtest.Notified(t, memory, platform.NatsUser); got != test.asks {
				t.Errorf("it asks %s, want %s", got, test.asks)
			}
		})
	}
}

// A request waits for what its own ledger says: not that of its namesake in another
// namespace, nor that of another request of its namespace.
func TestWaitsForItsOwnLedger(t *testing.T) {
	lost := active("U1")
	lost.Lost = now
	of := func(namespace, name string, rows ...ledger.Record) *ledger.Ledger {
		return &ledger.Ledger{Request: identity.Request{Kind: platform.NatsUser.Kind, Namespace: namespace, Name: name}, Records: rows}
	}
	u := natsUser{Peer: workflow.Peer{Namespace: "team-a", Name: "orders"}}
	for name, test := range map[string]struct {
		ledgers []*ledger.Ledger
		waits   bool
	}{
		"it has none":     {nil, false},
		"its own":         {[]*ledger.Ledger{of("team-b", "orders"), of("team-a", "shop"), of("team-a", "orders", lost)}, true},
		"its namesake's":  {[]*ledger.Ledger{of("team-b", "orders", lost), of("team-a", "orders")}, false},
		"its neighbour's": {[]*ledger.Ledger{of("team-a", "shop", lost), of("team-a", "orders")}, false},
	} {
		if got := waits(inputs{ledgers: test.ledgers}, u); got != test.waits {
			t.Errorf("%s: it waits: %t, want %t", name, got, test.waits)
		}
	}
}

// The whole status, by what was found and who draws from the account.
func TestReport(t *testing.T) {
	ready := func(name string) natsUser {
		return natsUser{Peer: workflow.Peer{Namespace: "team-a", Name: name, Ready: true, Reason: "Delivered"}}
	}
	failing := func(name, why string) natsUser {
		return natsUser{Peer: workflow.Peer{Namespace: "team-a", Name: name, Reason: reason.Reason(why)}}
	}
	changed := func(u natsUser, change func(*natsUser)) natsUser {
		change(&u)
		return u
	}
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	since := func(u natsUser, ago time.Duration) natsUser {
		return changed(u, func(u *natsUser) { u.Since = now.Add(-ago) })
	}
	var many []natsUser
	var names []string
	for i := range 21 {
		many, names = append(many, failing(fmt.Sprintf("u%02d", i), "NotAdmitted")), append(names, fmt.Sprintf("team-a/u%02d NotAdmitted", i))
	}
	queuedRow := func(change func(*ledger.Record)) ledger.Record {
		r := active("U1")
		r.State = ledger.Retiring
		change(&r)
		return r
	}
	for _, test := range []struct {
		name            string
		users, notified []natsUser
		rows            []ledger.Record
		found           finding
		account         provider.Account
		bearer          bool
		unseen, unfound bool
		damaged         error
		ready           bool
		reason, message string
		attention       []string
		needs           int
	}{
		{name: "nobody", ready: true, reason: "Verified", message: "verified; 0 users, of which 0 need attention", attention: []string{}},
		{name: "one user", users: []natsUser{ready("a")}, ready: true, reason: "Verified", message: "verified; 1 user, of which 0 need attention", attention: []string{}},
		{name: "some need attention", users: []natsUser{ready("a"), failing("b", "NotAdmitted"), failing("c", "")}, ready: true, reason: "Verified", message: "verified; 3 users, of which 2 need attention",
			attention: []string{"team-a/b NotAdmitted", "team-a/c"}, needs: 2},
		{name: "some come to rest", users: []natsUser{since(failing("a", "PlatformUnavailable"), minutes(1)), since(failing("b", "PlatformUnavailable"), minutes(15)), since(failing("c", "NotAdmitted"), 0), since(failing("d", ""), minutes(14)), since(failing("e", ""), minutes(15))},
			notified: []natsUser{failing("a", ""), failing("b", "")},
			ready:    true, reason: "Verified", message: "verified; 5 users, of which 3 need attention", attention: []string{"team-a/b PlatformUnavailable", "team-a/c NotAdmitted", "team-a/e"}, needs: 3},
		{name: "some are paused or being deleted", users: []natsUser{
			changed(ready("a"), func(u *natsUser) { u.Paused = true }), changed(ready("b"), func(u *natsUser) { u.Deleting = now.Add(-10 * time.Minute) }),
			changed(failing("c", "NotAdmitted"), func(u *natsUser) { u.Deleting = now.Add(-time.Minute) }),
		}, ready: true, reason: "Verified", message: "verified; 3 users, of which 2 need attention", attention: []string{"team-a/a Paused", "team-a/b Deleting"}, needs: 2},
		{name: "as many as are shown", users: many[:20], ready: true, reason: "Verified", message: "verified; 20 users, of which 20 need attention", attention: names[:20], needs: 20},
		{name: "more than are shown", users: many, ready: true, reason: "Verified", message: "verified; 21 users, of which 21 need attention", attention: names[:20], needs: 21},
		{name: "some are unknown", found: finding{unknown: 2}, ready: true, reason: "Verified", attention: []string{},
			message: "verified; 0 users, of which 0 need attention; 2 users are called as those of this platform, and it did not make them: they are left until they expire; give each platform that draws from the account its own spec.synadia.platform"},
		{name: "a ledger is damaged", damaged: errors.New("it cannot be read"), reason: "LedgerDamaged", message: "verified; 0 users, of which 0 need attention; it cannot be read", attention: []string{}},
		{name: "it does not work", found: finding{refusal: &provider.Refusal{Reason: "UserRefused", Err: errors.New("no user connects")}}, unfound: true, damaged: errors.New("it cannot be read"), reason: "UserRefused", message: "no user connects", attention: []string{}},
		{name: "servers take less than the policy admits", account: provider.Account{NoBearer: true, MaxJWTBytes: 2000}, bearer: true, ready: true, reason: "Verified", attention: []string{},
			message: "verified; 0 users, of which 0 need attention; spec.policy.allowBearerTokens is true, and the account's own limits refuse bearer tokens: NatsUsers with bearerToken are refused; change one of the two; " +
				"the servers take JWTs of 2000 bytes (max_control_line), and spec.policy.maxJWTBytes is 3500: larger ones are refused"},
		{name: "servers take what the policy admits", account: provider.Account{NoBearer: true, MaxJWTBytes: 3500}, ready: true, reason: "Verified", attention: []string{}, message: "verified; 0 users, of which 0 need attention"},
		{name: "it is found, and lets nobody in", unseen: true, found: finding{Facts: provider.Facts{Account: &provider.Account{ID: "ACCOUNT", SigningKey: "SIGNING"}}, refusal: &provider.Refusal{Reason: "UserRefused", Err: errors.New("no user connects")}}, reason: "UserRefused", message: "no user connects", attention: []string{}},
		{name: "it was never found", unseen: true, unfound: true, found: finding{refusal: &provider.Refusal{Reason: "ServersUnreachable", Err: errors.New("away")}}, reason: "ServersUnreachable", message: "away", attention: []string{}},
		{name: "it is found, and something else is wrong", unseen: true, found: finding{Facts: provider.Facts{Account: &provider.Account{}}, refusal: &provider.Refusal{Reason: "OperatorKeyNotTrusted", Err: errors.New("not trusted")}}, reason: "OperatorKeyNotTrusted", message: "not trusted", attention: []string{}},
		{name: "something is queued", found: finding{refusal: &provider.Refusal{Reason: "ServersUnreachable", Err: errors.New("away")}}, reason: "ServersUnreachable", message: "away; 1 credentials are still to be revoked", attention: []string{},
			rows: []ledger.Record{
				queuedRow(func(*ledger.Record) {}), queuedRow(func(r *ledger.Record) { r.State = ledger.Active }), queuedRow(func(r *ledger.Record) { r.User = "" }), queuedRow(func(r *ledger.Record) { r.Basis.Account = "payments" }),
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := inputs{admin: administrator{}, account: &account.Account{NatsAccount: operated(), Opened: provider.Opened{Account: provider.Account{ID: "ACCOUNT", SigningKey: "SIGNING"}}}, users: test.users, ledgers: []*ledger.Ledger{{Request: orders, Records: test.rows}}}
			in.account.Unseen, in.account.NoBearer, in.account.MaxJWTBytes = test.unseen, test.account.NoBearer, test.account.MaxJWTBytes
			in.account.Spec.Policy.MaxJWTBytes, in.account.Spec.Policy.AllowBearerTokens = 3500, test.bearer
			if test.damaged != nil {
				in.damaged = &ledger.DamagedError{Errs: []error{test.damaged, errors.New("nor can another")}}
			}
			isFound := !test.unfound
			test.found.Verified, test.found.Name, test.found.Scope = "verified", "name", "scope"
			want := workflow.Result{
				Ready: test.ready, Reason: reason.Reason(test.reason), Message: test.message,
				Status: map[string]any{
					"account": v1alpha1.AccountStatus{ID: "ACCOUNT", SigningKey: "SIGNING", Found: &isFound, NoBearer: test.account.NoBearer, MaxJWTBytes: test.account.MaxJWTBytes, Name: "name", Scope: "scope", Verified: "verified", Revocation: "possible", UnknownUsers: test.found.unknown},
					"policy":  in.account.Spec.Policy, "users": len(test.users), "needAttention": test.needs, "attentionNames": test.attention, "revocations": 7,
				},
			}
			if diff := cmp.Diff(want, report(in, test.found, 7, test.notified, now), cmp.FilterPath(func(p cmp.Path) bool { return strings.Contains(p.String(), "Placement") }, cmp.Ignore())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// populated is an account with requests in all states, none of which an operator's key
// could end: one that is missing, for the first time and for long; one whose deletion is
// stuck, and has a Secret that another one waits for; one that waits for its deletion.
func populated(t *testing.T) *workflow.Run {
	t.Helper()
	run := onPlatform(t)
	ledgers := ledger.Store{Client: run.Platform}
	save := func(namespace, name string, change func(*ledger.Ledger)) {
		l := &ledger.Ledger{Request: identity.Request{Kind: platform.NatsUser.Kind, Namespace: namespace, Name: name}, UID: "1", Records: []ledger.Record{active("U." + namespace + "." + name)}}
		change(l)
		if err := ledgers.Save(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	user := func(namespace, name string, deleting bool) *unstructured.Unstructured {
		o := put(t, run.Platform, platform.NatsUser, namespace, name, "spec: {accountRef: {name: commerce}}", "{accountTerms: other, conditions: [{type: Ready, status: 'True', reason: Delivered}]}")
		if deleting {
			o.SetFinalizers([]string{"kratix.io/workflows"})
			if _, err := run.Platform.Update(t.Context(), platform.NatsUser, o); err != nil {
				t.Fatal(err)
			}
			if err := run.Platform.Delete(t.Context(), platform.NatsUser, namespace, name, platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
		}
		return o
	}
	save("team-a", "missing", func(*ledger.Ledger) {})
	save("team-a", "gone", func(l *ledger.Ledger) { l.MissingSince = now.Add(-24 * time.Hour) })
	save("team-a", "back", func(l *ledger.Ledger) { l.MissingSince = now.Add(-time.Hour) })
	save("team-a", "stuck", func(*ledger.Ledger) {})
	save("team-a", "waits", func(l *ledger.Ledger) {
		l.Tombstone = &ledger.Tombstone{UID: "1", At: now}
		l.Records[0].State, l.Records[0].Ciphertext = ledger.Retiring, nil
	})
	user("team-a", "back", false)
	user("team-a", "waits", true)
	stuck := user("team-a", "stuck", true)
	waiter := user("team-b", "stuck", false)
	secret := claim.Secret("eu-1", "team-a", "orders-nats")
	b := claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.NatsUser, Promise: "nats-user"}}}
	for _, o := range []*unstructured.Unstructured{stuck, waiter} {
		if _, err := b.Acquire(t.Context(), secret, claim.OwnerOf(o), nil); err != nil {
			t.Fatal(err)
		}
	}
	run.Now = now.Add(10 * time.Minute) // since the deletions began
	return run
}

// What a run of the account makes of all requests, and whom it asks. Wherever it is
// interrupted, it comes to that when it is run again.
func TestConfigure(t *testing.T) {
	workflowtest.Interrupted(t, populated, func(ctx context.Context, run *workflow.Run) error {
		result, err := (pipeline{}).configure(ctx, run)
		if err == nil && !result.Ready {
			return errors.New(result.Message)
		}
		return err
	}, func(t *testing.T, memory platform.Client) {
		all, err := ledger.Store{Client: memory}.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, l := range all {
			words := []string{}
			if l.Tombstone != nil {
				words = append(words, fmt.Sprintf("ended: %t", l.Tombstone.Done))
			}
			if !l.MissingSince.IsZero() {
				words = append(words, "missing")
			}
			for _, r := range l.Records {
				words = append(words, string(r.State))
			}
			got[l.Request.String()] = strings.Join(words, ", ")
		}
		want := map[string]string{
			"team-a/missing": "missing, Active", "team-a/gone": "ended: true, missing, Retired", "team-a/back": "Active", "team-a/stuck": "ended: true, Retired", "team-a/waits": "ended: true, Retired",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the ledgers: %s", diff)
		}
		if got, want := workflowtest.Notified(t, memory, platform.NatsUser), "team-a/back, team-a/stuck, team-a/waits, team-b/stuck"; got != want {
			t.Errorf("it asks %s, want %s", got, want)
		}
	})
}

// What is in an account's JWT nobody can tell without its operator's key.
func TestRevocationsWithoutAnOperator(t *testing.T) {
	run := onPlatform(t)
	row := active("U1")
	row.State, row.Revoked = ledger.Retired, now
	if err := (ledger.Store{Client: run.Platform}).Save(t.Context(), &ledger.Ledger{Request: orders, UID: "1", Records: []ledger.Record{row}}); err != nil {
		t.Fatal(err)
	}
	if result, err := (pipeline{}).configure(t.Context(), run); err != nil || result.Status["revocations"] != 0 {
		t.Errorf("its status has %v revocations: %v", result.Status["revocations"], err)
	}
}

// An account that is deleted has all that draw from it say so. One that cannot revoke
// has nothing else to do.
func TestRemove(t *testing.T) {
	workflowtest.Interrupted(t, populated, pipeline{}.remove, func(t *testing.T, memory platform.Client) {
		l, err := ledger.Store{Client: memory}.Get(t.Context(), identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-a", Name: "waits"})
		if err != nil || l.Count(ledger.Retiring) != 1 {
			t.Errorf("the ledger has %+v: %v", l.Records, err)
		}
		if got, want := workflowtest.Notified(t, memory, platform.NatsUser), "team-a/back, team-a/stuck, team-a/waits, team-b/stuck"; got != want {
			t.Errorf("it asks %s, want %s", got, want)
		}
	})
}

// noNamespace is a platform on which there is no namespace for the operator's Secrets, so
// that nobody has a right there.
type noNamespace struct{ platform.Client }

func (f noNamespace) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if namespace == account.OperatorNamespace {
		return nil, apierrors.NewForbidden(platform.Secret.GVR().GroupResource(), name, errors.New("no right"))
	}
	return f.Client.Get(ctx, kind, namespace, name)
}

// An account that cannot read its operator's keys for want of a right is not deleted: what
// is queued would be revoked by nobody.
func TestRemoveWaitsForARight(t *testing.T) {
	run := onPlatform(t)
	jwt := run.Request.Object["spec"].(map[string]any)["jwt"].(map[string]any)
	jwt["servers"] = []any{"nats://nats.example.com"}
	jwt["operator"] = map[string]any{"signingKeySecretRef": map[string]any{"name": "operator"}, "systemCredentialsSecretRef": map[string]any{"name": "system"}}
	putSecret(t, run.Platform, account.Namespace, "operator", map[string]string{"seed": seedOf(t, nkeys.CreateOperator)})
	putSecret(t, run.Platform, account.Namespace, "system", map[string]string{"creds": creds(t)})
	run.Platform = noNamespace{run.Platform}
	if err := (pipeline{}).remove(t.Context(), run); err == nil || !strings.Contains(err.Error(), "make the namespace baleen-operator if there is none") {
		t.Errorf("it says %v", err)
	}
}

// A deletion of an account that can revoke is held up by what is queued, and by nothing
// else: not where nothing can be revoked any more, and not for what another account is
// to revoke.
func TestRemoveRevokesFirst(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testing.T, *workflow.Run)
		rows   func(*ledger.Record)
		dry    bool
		says   string
		dials  int
	}{
		{name: "something is queued", rows: func(*ledger.Record) {}, says: "1 credentials that are to be revoked are not: none of the servers", dials: 1},
		{name: "nothing is queued", rows: func(r *ledger.Record) { r.State = ledger.Active }, dials: 1},
		{name: "it is queued for another", rows: func(r *ledger.Record) { r.Basis.Account = "payments" }, dials: 1},
		{name: "its keys are gone", rows: func(*ledger.Record) {}, change: func(t *testing.T, run *workflow.Run) {
			if err := run.Platform.Delete(t.Context(), platform.Secret, account.OperatorNamespace, "operator", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a dry run", rows: func(*ledger.Record) {}, dry: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dials := 0
			dial := func(string, ...nats.Option) (*nats.Conn, error) {
				dials++
				return nil, nats.ErrNoServers
			}
			run := onPlatform(t)
			j := run.Request.Object["spec"].(map[string]any)["jwt"].(map[string]any)
			j["servers"] = []any{"nats://nats.example.com"}
			j["operator"] = map[string]any{"signingKeySecretRef": map[string]any{"name": "operator"}, "systemCredentialsSecretRef": map[string]any{"name": "operator"}}
			putSecret(t, run.Platform, account.OperatorNamespace, "operator", map[string]string{"seed": seedOf(t, nkeys.CreateOperator), "creds": creds(t)})
			put(t, run.Platform, platform.NatsUser, "team-a", "orders", "spec: {accountRef: {name: commerce}}", "")
			put(t, run.Platform, platform.NatsUser, "team-a", "other", "spec: {accountRef: {name: payments}}", "")
			row := active("U1")
			row.State = ledger.Retiring
			test.rows(&row)
			other := active("U2")
			other.Generation = 2 // by which the ledger is the account's too
			if err := (ledger.Store{Client: run.Platform}).Save(t.Context(), &ledger.Ledger{Request: orders, UID: "1", Records: []ledger.Record{row, other}}); err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				test.change(t, run)
			}
			memory := run.Platform
			if test.dry {
				run.DryRun, run.Platform = true, platform.ReadOnly(memory)
			}
			err := pipeline{Network{Dial: dial}}.remove(t.Context(), run)
			if said := fmt.Sprint(err); (err != nil) != (test.says != "") || !strings.HasPrefix(said, test.says) && err != nil {
				t.Errorf("it says %v, want %s", err, test.says)
			}
			if dials != test.dials {
				t.Errorf("it connects %d times, want %d", dials, test.dials)
			}
			want := map[bool]string{true: "team-a/orders"}[err == nil && !test.dry]
			if got := workflowtest.Notified(t, memory, platform.NatsUser); got != want {
				t.Errorf("it asks %q, want %q", got, want)
			}
		})
	}
}

// A ledger that cannot be read is said, and holds up no other.
func TestDamagedLedger(t *testing.T) {
	run := populated(t)
	damaged := identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-a", Name: "back"}
	if _, err := run.Platform.Patch(t.Context(), platform.ConfigMap, ledger.Namespace, "ledger-"+damaged.LongHash(), map[string]any{"data": map[string]any{"rows": "{"}}); err != nil {
		t.Fatal(err)
	}
	result, err := (pipeline{}).configure(t.Context(), run)
	if err != nil || result.Ready || result.Reason != "LedgerDamaged" || !strings.Contains(result.Message, "is not a ledger") {
		t.Errorf("it says %s: %s: %v", result.Reason, result.Message, err)
	}
	l, err := ledger.Store{Client: run.Platform}.Get(t.Context(), identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-a", Name: "gone"})
	if err != nil || l.Tombstone == nil || l.Count(ledger.Retired) != 1 {
		t.Errorf("another has %+v: %v", l, err)
	}
}

// Which errors one ledger's are, and which end the run.
func TestTolerate(t *testing.T) {
	var in inputs
	for name, err := range map[string]error{"none": nil, "stopped": context.Canceled, "away": apierrors.NewServiceUnavailable("away")} {
		if got := in.tolerate(err); !errors.Is(got, err) || in.damaged != nil {
			t.Errorf("%s: it ends with %v", name, got)
		}
	}
	for range 2 {
		if err := in.tolerate(errors.New("damaged")); err != nil {
			t.Error(err)
		}
	}
	if len(in.damaged.Errs) != 2 {
		t.Errorf("it notes %v", in.damaged)
	}
}
