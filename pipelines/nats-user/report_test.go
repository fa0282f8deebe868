package natsuser

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// The whole status, by what the ledger has and what keeps clusters from what was asked
// for.
func TestReport(t *testing.T) {
	const delivered = "the Secret team-a/orders-nats has a credential on "
	on := func(cluster string, r ledger.Record) ledger.Record { r.Destination = cluster; return r }
	days := func(n int) func(*ledger.Record) { return func(r *ledger.Record) { r.Expires = now.AddDate(0, 0, n) } }
	drifts := func(r *ledger.Record) { r.Drifted = now }
	row := func(cluster string, generation int64, user, expires string, change ...func(*v1alpha1.CredentialStatus)) v1alpha1.CredentialStatus {
		c := v1alpha1.CredentialStatus{
			Destination: cluster, Generation: generation, User: user, Issued: "2026-01-01T12:00:00Z", Expires: expires, Renews: "0001-01-01T00:00:00Z", Reason: "FirstIssue",
		}
		for _, do := range change {
			do(&c)
		}
		return c
	}
	former := func(cluster string, generation int64, user, expires, state string, earlier ...v1alpha1.EarlierStatus) v1alpha1.CredentialStatus {
		return row(cluster, generation, user, expires, func(c *v1alpha1.CredentialStatus) { c.Renews, c.State, c.Earlier = "", state, earlier })
	}
	eu, us := issued(1, "U1", "commerce"), on("us-1", issued(1, "U2", "commerce", days(20)))
	for _, test := range []struct {
		name         string
		rows         []ledger.Record
		placed       []string
		unregistered []string
		refused      []string
		problems     map[string]string // by cluster
		emitted      []string

		ready           bool
		reason, message string
		expires         string
		credentials     []v1alpha1.CredentialStatus
	}{
		{
			name: "two clusters have one", rows: []ledger.Record{eu, us}, placed: []string{"eu-1", "us-1"}, emitted: []string{"eu-1", "us-1"},
			ready: true, reason: "Delivered", message: delivered + "2 clusters", expires: "2026-01-21T12:00:00Z",
			credentials: []v1alpha1.CredentialStatus{row("eu-1", 1, "U1", "2026-01-31T12:00:00Z"), row("us-1", 1, "U2", "2026-01-21T12:00:00Z")},
		},
		{
			name: "the first expires first", rows: []ledger.Record{issued(1, "U1", "commerce", days(10)), us}, placed: []string{"eu-1", "us-1"}, emitted: []string{"eu-1", "us-1"},
			ready: true, reason: "Delivered", message: delivered + "2 clusters", expires: "2026-01-11T12:00:00Z",
			credentials: []v1alpha1.CredentialStatus{row("eu-1", 1, "U1", "2026-01-11T12:00:00Z"), row("us-1", 1, "U2", "2026-01-21T12:00:00Z")},
		},
		{
			name: "none has", placed: []string{"eu-1"},
			ready: true, reason: "Delivered", message: delivered + "0 clusters", credentials: []v1alpha1.CredentialStatus{{Destination: "eu-1"}},
		},
		{
			name: "one has a problem", rows: []ledger.Record{eu}, placed: []string{"eu-1", "us-1"}, emitted: []string{"eu-1"}, problems: map[string]string{"us-1": "the key is missing"},
			reason: "CertificateUnusable", message: delivered + "1 cluster; the key is missing", expires: "2026-01-31T12:00:00Z",
			credentials: []v1alpha1.CredentialStatus{row("eu-1", 1, "U1", "2026-01-31T12:00:00Z"), {Destination: "us-1", Problem: "the key is missing"}},
		},
		{
			name: "two have", placed: []string{"eu-1", "us-1"}, problems: map[string]string{"us-1": "the key is missing", "eu-1": "the key is cut off"},
			reason: "CertificateUnusable", message: delivered + "0 clusters; the key is cut off; clusters with problems besides: 1, see status.credentials",
			credentials: []v1alpha1.CredentialStatus{{Destination: "eu-1", Problem: "the key is cut off"}, {Destination: "us-1", Problem: "the key is missing"}},
		},
		{
			name: "some are not allowed", rows: []ledger.Record{eu}, placed: []string{"eu-1"}, emitted: []string{"eu-1"}, refused: []string{"dev-1", "dev-2"},
			reason: "DestinationNotAllowed", message: delivered + "1 cluster; the account does not allow dev-1, dev-2: change spec.placement, or ask the platform team",
			expires: "2026-01-31T12:00:00Z", credentials: []v1alpha1.CredentialStatus{row("eu-1", 1, "U1", "2026-01-31T12:00:00Z")},
		},
		{
			name: "there are no clusters", reason: "NoDestination", credentials: []v1alpha1.CredentialStatus{},
			message: delivered + "0 clusters; no Destination matches spec.placement, so no cluster is served: change it, or label a Destination",
		},
		{
			name: "there are none because they are not allowed", refused: []string{"dev-1"}, reason: "DestinationNotAllowed", credentials: []v1alpha1.CredentialStatus{},
			message: delivered + "0 clusters; the account does not allow dev-1: change spec.placement, or ask the platform team",
		},
		{
			name: "one is not allowed, one not registered", refused: []string{"dev-1"}, unregistered: []string{"ap-1"}, reason: "DestinationNotRegistered", credentials: []v1alpha1.CredentialStatus{},
			message: delivered + "0 clusters; the account does not allow dev-1: change spec.placement, or ask the platform team; nothing new can be sent to ap-1: register it with `baleen clusters trust ap-1`",
		},
		{
			name: "former ones can connect", placed: []string{"eu-1"}, emitted: []string{"eu-1"},
			rows: []ledger.Record{
				issued(1, "U1", "commerce", retired), issued(2, "U2", "commerce", retired, expired), issued(3, "U3", "commerce", days(40), retired),
				issued(4, "U4", "commerce", retired, func(r *ledger.Record) { r.Revoked = now }), issued(5, "U5", "commerce", retiring), issued(6, "U6", "commerce"), issued(7, "U7", "commerce"),
				issued(8, "U8", "commerce", intended), on("us-1", issued(1, "U9", "commerce", days(35), retired)),
			},
			ready: true, reason: "Delivered", expires: "2026-01-31T12:00:00Z",
			message: delivered + "1 cluster; former credentials that nobody can revoke: 3, the last expires on 2026-02-10T12:00:00Z; waiting for NatsAccount commerce to revoke 1 former credentials",
			credentials: []v1alpha1.CredentialStatus{row("eu-1", 7, "U7", "2026-01-31T12:00:00Z", func(c *v1alpha1.CredentialStatus) {
				c.Earlier = []v1alpha1.EarlierStatus{
					{Generation: 1, User: "U1", Expires: "2026-01-31T12:00:00Z", State: "Unrevoked"}, {Generation: 3, User: "U3", Expires: "2026-02-10T12:00:00Z", State: "Unrevoked"},
					{Generation: 5, User: "U5", Expires: "2026-01-31T12:00:00Z", State: "Retiring"}, {Generation: 6, User: "U6", Expires: "2026-01-31T12:00:00Z", State: "Active"},
				}
			}), former("us-1", 1, "U9", "2026-02-05T12:00:00Z", "Unrevoked")},
		},
		{
			name: "some no longer match", placed: []string{"eu-1"}, emitted: []string{"eu-1"},
			rows: []ledger.Record{
				on("ap-1", issued(1, "A1", "commerce", retiring)), on("ap-1", issued(2, "A2", "commerce")),
				eu,
				on("sa-1", issued(1, "S1", "commerce", retired)), on("sa-1", issued(2, "S2", "commerce", retiring)), on("sa-1", issued(3, "", "commerce", retiring)),
				on("us-1", issued(1, "U2", "commerce", retired, func(r *ledger.Record) { r.Revoked = now })), on("us-2", issued(1, "U3", "commerce", retiring, expired)),
				on("us-3", issued(1, "U4", "commerce", intended)),
			},
			ready: true, reason: "Delivered", expires: "2026-01-31T12:00:00Z",
			message: delivered + "1 cluster; former credentials that nobody can revoke: 1, the last expires on 2026-01-31T12:00:00Z; waiting for NatsAccount commerce to revoke 3 former credentials",
			credentials: []v1alpha1.CredentialStatus{
				former("ap-1", 2, "A2", "2026-01-31T12:00:00Z", "Leaving", v1alpha1.EarlierStatus{Generation: 1, User: "A1", Expires: "2026-01-31T12:00:00Z", State: "Retiring"}),
				row("eu-1", 1, "U1", "2026-01-31T12:00:00Z"),
				former("sa-1", 2, "S2", "2026-01-31T12:00:00Z", "Retiring", v1alpha1.EarlierStatus{Generation: 1, User: "S1", Expires: "2026-01-31T12:00:00Z", State: "Unrevoked"}),
			},
		},
		{
			name: "accounts are to revoke", placed: []string{"eu-1"},
			rows:  []ledger.Record{issued(1, "U1", "payments", retiring), issued(2, "U2", "commerce", retiring), issued(3, "", "gone", retiring)},
			ready: true, reason: "Delivered", message: delivered + "0 clusters; waiting for NatsAccount commerce, gone, payments to revoke 2 former credentials",
			credentials: []v1alpha1.CredentialStatus{{Destination: "eu-1", Earlier: []v1alpha1.EarlierStatus{
				{Generation: 1, User: "U1", Expires: "2026-01-31T12:00:00Z", State: "Retiring"}, {Generation: 2, User: "U2", Expires: "2026-01-31T12:00:00Z", State: "Retiring"},
			}}},
		},
		{
			name: "what was never made is waited for by nobody", placed: []string{"eu-1"}, rows: []ledger.Record{issued(1, "", "commerce", retiring)},
			ready: true, reason: "Delivered", message: delivered + "0 clusters", credentials: []v1alpha1.CredentialStatus{{Destination: "eu-1"}},
		},
		{
			name: "users were changed", placed: []string{"eu-1", "us-1"}, emitted: []string{"eu-1", "us-1"},
			rows:  []ledger.Record{issued(1, "U1", "commerce", drifts), issued(2, "U3", "commerce"), on("us-1", issued(1, "U2", "commerce", drifts))},
			ready: true, reason: "Delivered", expires: "2026-01-31T12:00:00Z",
			message: delivered + "2 clusters; the user was changed at the provider, which what is delivered does not show: us-1",
			credentials: []v1alpha1.CredentialStatus{
				row("eu-1", 2, "U3", "2026-01-31T12:00:00Z", func(c *v1alpha1.CredentialStatus) {
					c.Earlier = []v1alpha1.EarlierStatus{{Generation: 1, User: "U1", Expires: "2026-01-31T12:00:00Z", State: "Active"}}
				}), row("us-1", 1, "U2", "2026-01-31T12:00:00Z"),
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, in := newRun(t), delivering()
			in.account.ID, in.refused = "ACCOUNT", test.refused
			in.placement = destination.Placement{Placed: test.placed, Unregistered: test.unregistered}
			clusters, output := []*cluster{}, destination.Output{}
			for _, name := range test.placed {
				c := &cluster{want: credential.Want{Destination: name}}
				if text := test.problems[name]; text != "" {
					c.problem = problem{"CertificateUnusable", text}
				}
				clusters = append(clusters, c)
			}
			for _, name := range test.emitted {
				output[name] = map[string][]byte{"secret.yaml": nil}
			}
			want := workflow.Result{
				Placement: in.placement, Output: output, Ready: test.ready, Reason: reason.Reason(test.reason), Message: test.message,
				Status: map[string]any{
					"account": "ACCOUNT", "secret": "team-a/orders-nats", "expires": test.expires, "credentials": test.credentials, "accountTerms": in.account.Terms(),
				},
			}
			if test.expires == "" {
				delete(want.Status, "expires")
			}
			got := report(run, in, &ledger.Ledger{Request: orders, Records: test.rows}, clusters, output)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(destination.Placement{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What goes on though nobody can connect is said once, and not beside a refusal.
func TestWarnings(t *testing.T) {
	futile := errors.New("MQTT takes bearer tokens alone")
	fine, of, refused := &cluster{}, &cluster{futile: futile}, &cluster{futile: futile, problem: problem{reason.GrantRefused, "refused"}}
	for name, test := range map[string]struct {
		clusters  []*cluster
		want      []string
		tolerated []string
	}{
		"all is well":   {[]*cluster{fine}, nil, nil},
		"it goes on":    {[]*cluster{fine, of, of}, []string{"MQTT takes bearer tokens alone"}, nil},
		"it is refused": {[]*cluster{refused}, nil, nil},
		"its metadata":  {[]*cluster{fine}, []string{"the Secret has what the platform team does not admit any more: a, b"}, []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := warnings(inputs{metadata: metadata{tolerated: test.tolerated}}, test.clusters); !slices.Equal(got, test.want) {
				t.Errorf("it warns %q, want %q", got, test.want)
			}
		})
	}
}

// Which clusters are cut off is said where there is a reason that somebody can mend.
func TestSayCutOff(t *testing.T) {
	cut := func(r *ledger.Record) { r.Revoked = now }
	elsewhere := issued(1, "U2", "commerce", cut)
	elsewhere.Destination = "us-1"
	failure, plain := workflow.Fail("NotAdmitted", errors.New("no")), errors.New("no")
	for _, test := range []struct {
		name    string
		rows    []ledger.Record
		refused error
		says    string
	}{
		{"nothing was revoked", []ledger.Record{issued(1, "U1", "commerce")}, failure, "no"},
		{"two were", []ledger.Record{issued(1, "U1", "commerce", cut), elsewhere}, failure, "no; until that is mended nothing takes the place of the credentials that somebody has revoked, on eu-1, us-1"},
		{"it was followed", []ledger.Record{issued(1, "U1", "commerce", cut), issued(2, "U3", "commerce")}, failure, "no"},
		{"there is no reason", []ledger.Record{issued(1, "U1", "commerce", cut)}, plain, "no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := sayCutOff(&ledger.Ledger{Request: orders, Records: test.rows}, test.refused)
			var is *workflow.Failure
			if words(err) != test.says || errors.As(err, &is) != errors.Is(test.refused, failure) || is != nil && is.Reason != "NotAdmitted" {
				t.Errorf("it says %v, want %s", err, test.says)
			}
		})
	}
}
