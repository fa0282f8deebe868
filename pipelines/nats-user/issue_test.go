package natsuser

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises"
	accountv1alpha1 "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// watched is an issuer that looks at the ledger when it is to issue, and refuses.
type watched struct {
	provider.Issuer
	look func()
}

func (watched) Propose(name string) (provider.Identity, error) {
	return provider.Identity{Name: name, User: "U1"}, nil
}

func (w watched) Issue(context.Context, provider.Identity, provider.Grant, time.Time) (provider.Credential, error) {
	w.look()
	return provider.Credential{}, errors.New("refused")
}

// An identity is written down before it is made, with the version that the state store
// has by then: a run that is killed in between leaves nobody with a key that no ledger
// knows, and what was written before is not taken for it.
func TestIntentComesFirst(t *testing.T) {
	run, in := newRun(t), delivering()
	run.Works = []string{"orders-work"}
	create(t, run.Platform, platform.WorkPlacement, "orders-eu-1", map[string]string{kratix.LabelWork: "orders-work"}, map[string]any{
		"spec": map[string]any{"targetDestinationName": "eu-1"}, "status": map[string]any{"versionID": "before"},
	})
	looked := false
	in.account.Issuer = watched{look: func() {
		looked = true
		l := edit(t, run.Platform, func(*ledger.Ledger) {})
		if r := l.Record("eu-1", 1); r == nil || r.State != ledger.Intended || r.User != "U1" || r.Version != "before" {
			t.Errorf("the ledger has %+v", l.Records)
		}
	}}
	clusters := []*cluster{{want: want(in, "eu-1"), reason: "FirstIssue"}}
	err := issuance{run, in, &ledger.Ledger{Request: orders}, clusters, billOf(in)}.issueAtOnce(t.Context(), clusters)
	if !looked || err == nil || err.Error() != "refused" {
		t.Errorf("it was asked to issue: %t, and says %v", looked, err)
	}
}

// issueOn issues on some clusters for a reason.
func issueOn(t *testing.T, run *workflow.Run, in inputs, l *ledger.Ledger, names ...string) ([]*cluster, error) {
	t.Helper()
	held := map[claim.Resource]claim.Verdict{}
	for _, name := range in.placement.Placed {
		held[claim.Secret(name, "team-a", "orders-nats")] = claim.Verdict{Held: true}
	}
	i := issuance{run, in, l, plan(in, l, held, nil, run.Now), billOf(in)}
	for _, c := range i.clusters {
		if c.reason = "FirstIssue"; !slices.Contains(names, c.want.Destination) {
			c.reason = ""
		}
	}
	return i.clusters, i.fulfil(t.Context())
}

// What an issue leaves in the ledger, and on which clusters it is put off, by which
// users the issuer refuses.
func TestIssue(t *testing.T) {
	const eu, us = "team-a.orders.eu-1.g1", "team-a.orders.us-1.g1"
	refuse := func(names ...string) map[string]error {
		all := map[string]error{}
		for _, name := range names {
			all[name] = errors.New("no")
		}
		return all
	}
	not := map[string]error{eu: &provider.NotMadeError{Err: errors.New("no")}, us: &provider.NotMadeError{Err: errors.New("no")}}
	const postponed = "no credential (FirstIssue) could be issued for "
	for _, test := range []struct {
		name     string
		issuer   *stub
		on       []string
		fates    string
		problems map[string]string
	}{
		{"on all", &stub{atOnce: 10}, []string{"eu-1", "us-1"}, "U.team-a.orders.eu-1.g1 Active sealed, U.team-a.orders.us-1.g1 Active sealed", nil},
		{"one by one", &stub{atOnce: 1}, []string{"eu-1", "us-1"}, "U.team-a.orders.eu-1.g1 Active sealed, U.team-a.orders.us-1.g1 Active sealed", nil},
		{"on none", &stub{atOnce: 10}, nil, "", nil},
		{"on one", &stub{atOnce: 10}, []string{"us-1"}, "U.team-a.orders.us-1.g1 Active sealed", nil},
		{"the first fails", &stub{atOnce: 1, refuses: refuse(eu)}, []string{"eu-1", "us-1"}, " Retiring", map[string]string{"eu-1": postponed + "eu-1: no; a later run tries again", "us-1": postponed + "us-1: no; a later run tries again"}},
		{"the second fails", &stub{atOnce: 1, refuses: refuse(us)}, []string{"eu-1", "us-1"}, "U.team-a.orders.eu-1.g1 Active sealed,  Retiring", map[string]string{"us-1": postponed + "us-1: no; a later run tries again"}},
		{"one of two at once fails", &stub{atOnce: 10, proposes: true, refuses: refuse(us)}, []string{"eu-1", "us-1"}, "U.team-a.orders.eu-1.g1 Retiring, U.team-a.orders.us-1.g1 Retiring",
			map[string]string{"eu-1": postponed + "eu-1: no; a later run tries again", "us-1": postponed + "us-1: no; a later run tries again"}},
		{"it is certain that nothing was made", &stub{atOnce: 1, refuses: not}, []string{"eu-1"}, "", map[string]string{"eu-1": postponed + "eu-1: no; a later run tries again"}},
		{"of several nothing is certain", &stub{atOnce: 10, proposes: true, refuses: not}, []string{"eu-1", "us-1"}, "U.team-a.orders.eu-1.g1 Retiring, U.team-a.orders.us-1.g1 Retiring",
			map[string]string{"eu-1": postponed + "eu-1: no; a later run tries again", "us-1": postponed + "us-1: no; a later run tries again"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, in := newRun(t), serving(test.issuer)
			l := &ledger.Ledger{Request: orders}
			clusters, err := issueOn(t, run, in, l, test.on...)
			if err != nil {
				t.Fatal(err)
			}
			problems := map[string]string{}
			for _, c := range clusters {
				if c.problem.message != "" {
					problems[c.want.Destination] = c.problem.message
				}
				if (c.problem.message != "") != (c.problem.reason == reason.IssueFailed) {
					t.Errorf("%s has a problem for the reason %q", c.want.Destination, c.problem.reason)
				}
			}
			if !maps.Equal(problems, test.problems) {
				t.Errorf("it is put off on %v, want %v", problems, test.problems)
			}
			if got := fates(l.Records); got != test.fates {
				t.Errorf("the ledger has %s, want %s", got, test.fates)
			}
			if is := edit(t, run.Platform, func(*ledger.Ledger) {}); fates(is.Records) != test.fates {
				t.Errorf("it is committed with %s", fates(is.Records))
			}
		})
	}
}

// All that a generation was issued upon, and what the issuer said, stands in its row.
func TestIssuedRow(t *testing.T) {
	run, in := newRun(t), serving(&stub{atOnce: 10})
	run.Now = now.Add(time.Millisecond) // a JWT counts in seconds
	in.user.Spec.Credentials.TTL = "30d"
	in.placement.Placed = []string{"eu-1"}
	former := issued(4, "U4", "commerce", func(r *ledger.Record) { r.Expires, r.Basis.ProviderAccount = now.Add(time.Hour), "cloud" })
	gone := issued(3, "U3", "commerce", expired) // is nobody's predecessor any more
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{gone, former}}
	clusters, err := issueOn(t, run, in, l, "eu-1")
	if err != nil {
		t.Fatal(err)
	}
	got := *l.Record("eu-1", 5)
	if len(got.Ciphertext["nats.creds"]) < 300 {
		t.Errorf("it is sealed as %v", got.Ciphertext)
	}
	got.Ciphertext = nil
	want := ledger.Record{
		Destination: "eu-1", Generation: 5, State: ledger.Active, User: "U.team-a.orders.eu-1.g5", ID: "id.team-a.orders.eu-1.g5", Settings: "made", Reason: "FirstIssue",
		Issued: now, Expires: now.AddDate(0, 0, 30), Basis: planned(clusters, "eu-1").want.Basis,
		Earlier: []ledger.Earlier{{Generation: 4, User: "U4", Account: "commerce", AccountID: "ACCOUNT", ProviderAccount: "cloud", Expires: now.Add(time.Hour)}},
	}
	want.Renews = credential.RenewAt(orders, want, 240*time.Hour)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A successor is committed without the ciphertext of its predecessor: a ledger has room
// for one of each cluster.
func TestOneCiphertextIsCommitted(t *testing.T) {
	run, in := newRun(t), serving(&stub{atOnce: 10})
	in.placement.Placed = []string{"eu-1"}
	certificate, err := seal.Newest(bundle(), now)
	if err != nil {
		t.Fatal(err)
	}
	clusters := []*cluster{{want: want(in, "eu-1"), reason: "GrantChanged", certificate: certificate}}
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{issued(1, "U1", "commerce")}}
	if err := (issuance{run, in, l, clusters, billOf(in)}).issueAtOnce(t.Context(), clusters); err != nil {
		t.Fatal(err)
	}
	if l := edit(t, run.Platform, func(*ledger.Ledger) {}); fates(l.Records) != "U1 Active, U.team-a.orders.eu-1.g2 Active sealed" {
		t.Errorf("it is committed with %s", fates(l.Records))
	}
}

// When the next one is due follows the spec, without another credential for that.
func TestRenewalMoves(t *testing.T) {
	s := &stub{atOnce: 10}
	run, in := newRun(t), serving(s)
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{issued(1, "U1", "commerce", func(r *ledger.Record) { r.Renews = now })}}
	in.user.Spec.Credentials.RenewBefore = "5d"
	if _, err := issueOn(t, run, in, l); err != nil {
		t.Fatal(err)
	}
	if r := l.Current("eu-1"); !r.Renews.Equal(credential.RenewAt(orders, *r, 5*24*time.Hour)) || len(s.issued) > 0 {
		t.Errorf("it is due at %s, after issuing %v", r.Renews, s.issued)
	}
}

// dated is an API server that tells when it writes, by a clock of its own.
type dated struct {
	platform.Client
	at time.Time
}

func (d dated) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	created, err := d.Client.Create(ctx, kind, o)
	if err == nil {
		created.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "baleen", Operation: metav1.ManagedFieldsOperationUpdate, Time: &metav1.Time{Time: d.at}}})
	}
	return created, err
}

// A run whose clock is found to be off once it has written its intent issues nothing,
// and says so.
func TestClockIsOffOnceTheIntentIsWritten(t *testing.T) {
	s := &stub{atOnce: 10}
	run, in := newRun(t), serving(s)
	run.Platform = dated{run.Platform, now.Add(-time.Hour)}
	_, err := issueOn(t, run, in, &ledger.Ledger{Request: orders}, "eu-1")
	var failure *workflow.Failure
	if !errors.As(err, &failure) || failure.Reason != "ClockOff" || len(s.issued) > 0 {
		t.Errorf("it says %v after issuing %v", err, s.issued)
	}
}

// A dry run shows what would be issued, and issues nothing.
func TestDryRunIssuesNothing(t *testing.T) {
	s := &stub{atOnce: 10}
	run, in := newRun(t), serving(s)
	run.DryRun, run.Platform = true, platform.ReadOnly(run.Platform)
	l := &ledger.Ledger{Request: orders}
	if _, err := issueOn(t, run, in, l, "eu-1"); err != nil || len(s.issued) > 0 {
		t.Errorf("it issues %v: %v", s.issued, err)
	}
	if r := l.Record("eu-1", 1); r == nil || r.State != ledger.Active || !r.Expires.Equal(now) || r.User != "U.sample" {
		t.Errorf("it shows %+v", r)
	}
}

// What cannot be issued, delivered or kept is refused before anything is written or
// revoked for its sake.
func TestTryFirst(t *testing.T) {
	failing, err := render.New(promises.Templates(promise), map[string]string{"a.yaml": "kind: [a]\n"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name         string
		change       func(*stub, *inputs)
		rows         []ledger.Record
		reason, says string
	}{
		{"the JWT would be too large", func(s *stub, _ *inputs) {
			s.sample = fmt.Errorf("a: %w", &provider.TooLargeError{Bytes: 5000, Max: 3500})
		}, nil, "GrantTooLarge", "a JWT of 5000 bytes"},
		{"NATS would refuse it", func(s *stub, _ *inputs) { s.sample = errors.New("no") }, nil, "GrantRefused", "no"},
		{"overlays do not apply", func(_ *stub, in *inputs) { in.templates = failing }, nil, "RenderFailed", "do not apply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &stub{atOnce: 10}
			run, in := newRun(t), serving(s)
			test.change(s, &in)
			_, err := issueOn(t, run, in, &ledger.Ledger{Request: orders, Records: test.rows}, "eu-1", "us-1")
			var failure *workflow.Failure
			if !errors.As(err, &failure) || string(failure.Reason) != test.reason || !strings.Contains(err.Error(), test.says) || len(s.issued) > 0 {
				t.Errorf("it says %v after issuing %v, want %s: %s", err, s.issued, test.reason, test.says)
			}
			if l, err := (ledger.Store{Client: run.Platform}).Get(t.Context(), orders); err != nil || l.Exists() {
				t.Errorf("the ledger is written: %v", err)
			}
		})
	}
	run, in := newRun(t), serving(&stub{})
	if in.templates, err = render.New(promises.Templates(promise), map[string]string{"a.yaml": `#@ load("@ytt:overlay", "overlay")
#@overlay/match by=overlay.subset({"kind": "SealedSecret"})
---
spec:
  encryptedData:
    nats.creds: what must be there to be replaced
`}); err != nil {
		t.Fatal(err)
	}
	size, files, err := issuance{run: run, in: in}.try(want(in, "eu-1"))
	if want := (len("a file") + 544) * 4 / 3; err != nil || size != want || len(files) != 1 {
		t.Errorf("its ciphertext would have %d bytes in %d files, want %d in one: %v", size, len(files), want, err)
	}
}

// Where a ledger has no room, wishes are refused, and a renewal that is due is not. What has
// expired makes room first.
func TestLedgerIsFull(t *testing.T) {
	large := func(r *ledger.Record) {
		r.Reason, r.Ciphertext = "FirstIssue", map[string]string{"a": strings.Repeat("a", ledger.MaxBytes-2000)}
		r.Basis = want(serving(&stub{}), "eu-1").Basis
		certificate, _ := seal.Newest(bundle(), now)
		r.Basis.Certificate, r.Basis.Grant = certificate.Fingerprint, "other"
	}
	lapsed := func(r *ledger.Record) {
		r.Destination, r.State, r.Expires = "ap-1", ledger.Retired, now.AddDate(0, 0, -30)
	}
	due := func(r *ledger.Record) { r.Expires = now.Add(time.Minute) }
	for _, test := range []struct {
		name           string
		rows           []ledger.Record
		issued, refuse []string
	}{
		{"wishes", []ledger.Record{issued(1, "U1", "commerce", large)}, nil, []string{"eu-1", "us-1"}},
		{"a wish, and a renewal that is due", []ledger.Record{issued(1, "U1", "commerce", large, due)}, []string{"eu-1"}, []string{"us-1"}},
		{"what has expired", []ledger.Record{issued(1, "U1", "commerce", large, lapsed)}, []string{"eu-1", "us-1"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, s := newRun(t), &stub{atOnce: 10}
			in := serving(s)
			in.placement.Placed = []string{"eu-1", "us-1"}
			in.bundles = map[string]string{"eu-1": bundle(), "us-1": bundle()}
			l := &ledger.Ledger{Request: orders, Records: test.rows}
			verdicts := map[claim.Resource]claim.Verdict{}
			for _, name := range in.placement.Placed {
				verdicts[claim.Secret(name, "team-a", "orders-nats")] = claim.Verdict{Held: true}
			}
			i := issuance{run, in, l, plan(in, l, verdicts, nil, now), billOf(in)}
			if err := i.fulfil(t.Context()); err != nil {
				t.Fatal(err)
			}
			var made, refused []string
			for _, c := range i.clusters {
				switch {
				case c.problem.reason == reason.LedgerFull && strings.Contains(c.problem.message, "900 KiB are allowed"):
					refused = append(refused, c.want.Destination)
				case c.problem.reason != "":
					t.Errorf("%s: %s", c.problem.reason, c.problem.message)
				case l.Current(c.want.Destination) != nil && l.Current(c.want.Destination).Issued.Equal(now):
					made = append(made, c.want.Destination)
				}
			}
			if !slices.Equal(made, test.issued) || !slices.Equal(refused, test.refuse) || len(s.issued) != len(test.issued) {
				t.Errorf("issued on %v by %d, refused on %v, want %v and %v", made, len(s.issued), refused, test.issued, test.refuse)
			}
		})
	}
}

// What servers would not take is not issued, but for what they were given before: that is
// said each time, whether it is due or not.
func TestMeasure(t *testing.T) {
	same := func(r *ledger.Record) { r.Basis = want(serving(&stub{}), "eu-1").Basis }
	for _, test := range []struct {
		name            string
		most            int64 // a sample has 5
		types           []accountv1alpha1.ConnectionType
		rows            []ledger.Record
		reason          credential.Reason
		futile, refused bool
	}{
		{name: "nobody knows what they take", reason: credential.FirstIssue},
		{name: "they take it", most: 5, reason: credential.FirstIssue},
		{name: "they do not", most: 4, reason: credential.FirstIssue, refused: true},
		{name: "they bound clients, and this is a leaf node", most: 4, types: []accountv1alpha1.ConnectionType{"LEAFNODE"}, reason: credential.FirstIssue},
		{name: "an older version has issued it", most: 4, rows: []ledger.Record{issued(1, "U1", "commerce", same)}, futile: true},
		{name: "an older version has issued it, and a renewal is due", most: 4, rows: []ledger.Record{issued(1, "U1", "commerce", same)}, reason: credential.RenewalDue, futile: true},
		{name: "another account has", most: 4, rows: []ledger.Record{issued(1, "U1", "payments", same, func(r *ledger.Record) { r.Basis.Account = "payments" })}, reason: credential.AccountChanged, refused: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := serving(&stub{})
			in.account.MaxJWTBytes, in.user.Spec.ConnectionTypes = test.most, test.types
			c := &cluster{want: want(in, "eu-1"), reason: test.reason}
			issuance{newRun(t), in, &ledger.Ledger{Request: orders, Records: test.rows}, []*cluster{c}, billOf(in)}.measure()
			if refused := c.problem.reason == reason.GrantTooLarge; refused != test.refused || (c.reason == "") != (test.refused || test.reason == "") || (c.futile != nil) != test.futile {
				t.Errorf("its reason is %q, its problem %+v, and it is futile: %v", c.reason, c.problem, c.futile)
			}
		})
	}
}

// A ciphertext takes the place of what the former one has, which may be less.
func TestRoomFor(t *testing.T) {
	full, empty := issued(1, "U1", "commerce"), issued(1, "U2", "commerce")
	full.Ciphertext = map[string]string{"nats.creds": strings.Repeat("a", 100)}
	empty.Destination, empty.Ciphertext = "us-1", map[string]string{ledger.KeepKey: strings.Repeat("a", 30)}
	l := &ledger.Ledger{Request: orders, Records: []ledger.Record{full, empty}}
	var clusters []*cluster
	for _, name := range []string{"eu-1", "us-1", "ap-1"} {
		clusters = append(clusters, &cluster{want: credential.Want{Destination: name}})
	}
	if n := roomFor(l, clusters, 100); n != 3*1024+70+100 {
		t.Errorf("it takes %d bytes", n)
	}
}

// All are done, on however many processors, and the first error in their order counts.
func TestConcurrently(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 100} {
		var sum, calls atomic.Int64
		err := concurrently(n, func(i int) error {
			calls.Add(1)
			sum.Add(int64(i))
			if i > 2 {
				return fmt.Errorf("%d", i)
			}
			return nil
		})
		if want := map[bool]string{true: "3"}[n > 3]; calls.Load() != int64(n) || sum.Load() != int64(n*(n-1)/2) || words(err) != want {
			t.Errorf("of %d %d are done, in sum %d: %v", n, calls.Load(), sum.Load(), err)
		}
	}
}

// What the Secret has, by its form.
func TestContents(t *testing.T) {
	c := provider.Credential{Identity: provider.Identity{Seed: []byte("seed")}, JWT: "jwt", File: []byte("file")}
	for _, test := range []struct {
		name string
		d    ledger.Delivery
		want map[string]string
	}{
		{"a file", ledger.Delivery{Format: string(v1alpha1.Creds), Key: "nats.creds", Retain: "Ciphertext"}, map[string]string{"nats.creds": "file"}},
		{"a JWT and a seed", ledger.Delivery{Format: string(v1alpha1.JWTAndSeed)}, map[string]string{"jwt": "jwt", "seed": "seed"}},
		{"an environment", ledger.Delivery{Format: string(v1alpha1.Env), Servers: "tls://a"}, map[string]string{"NATS_URL": "tls://a", "NATS_CREDS": "file", "NATS_JWT": "jwt", "NATS_SEED": "seed"}},
		{"nothing is kept", ledger.Delivery{Format: string(v1alpha1.Creds), Key: "nats.creds", Retain: ledger.RetainNothing}, map[string]string{"nats.creds": "file", ".baleen": "retain: Nothing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := map[string]string{}
			for key, value := range contents(test.d, c) {
				got[key] = string(value)
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// renewing is a request for two clusters, of which one has a credential that was
// superseded long ago and one that is due, and the other none.
func renewing(t *testing.T, s *stub) (*workflow.Run, inputs) {
	t.Helper()
	run, in := newRun(t), serving(s)
	in.user.Spec.Credentials.Rotate = "2"
	for name, kind := range map[string]string{"commerce": "operated"} {
		declare(t, run.Platform, name, kind)
	}
	basis := want(in, "eu-1").Basis
	basis.Rotate.Spec = "1"
	run.Works = []string{"orders-work"}
	rotated := issued(2, "U2", "commerce", func(r *ledger.Record) {
		r.Basis, r.Reason, r.Written = basis, "RotationRequested", now.AddDate(0, 0, -2)
	})
	run.Last = map[string]map[string][]byte{"eu-1": {"secret.yaml": document(t, rotated)}}
	edit(t, run.Platform, func(l *ledger.Ledger) {
		l.UID, l.Records = string(run.Request.GetUID()), []ledger.Record{issued(1, "U1", "commerce"), rotated, issued(3, "U3", "gone", kept, retiring, expired)}
	})
	return run, in
}

// A run that is interrupted at any call, or finds that somebody else was faster, loses
// nobody who can connect: each user that was issued stands in the ledger. Once it is run
// again each cluster has a credential for the reason that it is there for, what came
// before is retired, and a third run has nothing to do.
func TestInterruptedIssue(t *testing.T) {
	count := func(how platformtest.Fault, at int) (calls int, hit bool) {
		synctest.Test(t, func(t *testing.T) {
			s := &stub{atOnce: 1, proposes: true}
			run, in := renewing(t, s)
			memory := run.Platform
			faulty := platformtest.At(memory, at, how)
			run.Platform = faulty
			_, _, err := carryOut(t.Context(), run, in)
			calls, hit = faulty.Calls, faulty.Hit
			if err != nil && (!platform.IsTransient(err) || how == platformtest.Overtaken) || err == nil && how == platformtest.Refused && hit {
				t.Errorf("%s at call %d: it says %v", how, at, err)
			}
			run.Platform = memory
			l, clusters, err := carryOut(t.Context(), run, in)
			if err != nil {
				t.Fatalf("%s at call %d: run again it says %v", how, at, err)
			}
			for _, user := range s.issued {
				if i := slices.IndexFunc(l.Records, func(r ledger.Record) bool { return r.User == user }); i < 0 {
					t.Errorf("%s at call %d: no ledger has %s", how, at, user)
				} else if r := l.Records[i]; r.State != ledger.Retiring && l.Current(r.Destination).User != user {
					t.Errorf("%s at call %d: %s is %s, and delivered is %s", how, at, user, r.State, l.Current(r.Destination).User)
				}
			}
			if r := l.Record("eu-1", 1); r.State != ledger.Retiring {
				t.Errorf("%s at call %d: U1 is %s", how, at, r.State)
			}
			if r := l.Record("eu-1", 3); r.State != ledger.Retired || !r.Removed {
				t.Errorf("%s at call %d: U3 is %s, and removed: %t", how, at, r.State, r.Removed)
			}
			for name, reasons := range map[string][]string{"eu-1": {"RotationRequested"}, "us-1": {"DestinationAdded", "PreviousAttemptLost"}} {
				if c := l.Current(name); c == nil || !slices.Contains(reasons, c.Reason) || planned(clusters, name).problem.message != "" {
					t.Errorf("%s at call %d: %s has %+v: %s", how, at, name, c, planned(clusters, name).problem.message)
				}
			}
			if got := workflowtest.Notified(t, memory, platform.NatsAccount); got != "baleen-system/commerce" {
				t.Errorf("%s at call %d: it asks %q", how, at, got)
			}
			before, issued := platformtest.Contents(t, memory, platform.ConfigMap), len(s.issued)
			if _, _, err := carryOut(t.Context(), run, in); err != nil || len(s.issued) != issued {
				t.Errorf("%s at call %d: a third run issues %d: %v", how, at, len(s.issued)-issued, err)
			}
			if diff := cmp.Diff(before, platformtest.Contents(t, memory, platform.ConfigMap)); diff != "" {
				t.Errorf("%s at call %d: a third run changes something: %s", how, at, diff)
			}
		})
		return calls, hit
	}
	calls, _ := count(platformtest.Refused, 0)
	for _, how := range []platformtest.Fault{platformtest.Refused, platformtest.Lost, platformtest.Overtaken} {
		for at := range calls {
			count(how, at+1)
		}
	}
}

// What could not be stored in a Work is not issued: a first credential beside others, also
// beside those that are about to go, and one that is larger than what it takes the place of.
// What is there already may be as large as it is.
func TestEmittable(t *testing.T) {
	file := func(bytes int) map[string][]byte {
		data := make([]byte, bytes)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
		return map[string][]byte{"a.yaml": data}
	}
	clusters := func(prefix string, n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("%s%03d", prefix, i))
		}
		return names
	}
	const each = 10_000 // some 13 KiB in a Work, which has room for a hundred
	for _, test := range []struct {
		name       string
		has, kept  int // clusters
		bytes, new int // of what they have, and of what they would get
		asks       []string
		fit        int
	}{
		{"first ones", 0, 0, 0, each, clusters("new", 200), 102},
		{"beside others", 50, 0, each, each, clusters("new", 200), 52},
		{"beside those that are leaving", 0, 100, each, each, clusters("new", 200), 47},
		{"others of the size", 100, 0, each, each, clusters("has", 100), 100},
		{"larger ones", 100, 0, each, 2 * each, clusters("has", 100), 2},
		{"larger ones, where there is room", 20, 0, each, 2 * each, clusters("has", 20), 20},
		{"others of the size, of what is too large", 120, 0, each, each, clusters("has", 120), 120},
		{"a first one beside what is too large", 120, 0, each, each, clusters("new", 1), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, in := newRun(t), serving(&stub{})
			in.placement.Placed, in.kept = clusters("has", test.has), clusters("kept", test.kept)
			run.Last = destination.Output{}
			for _, name := range slices.Concat(in.placement.Placed, in.kept) {
				run.Last[name] = file(test.bytes)
			}
			if test.has == 0 {
				run.Last["gone"] = file(500_000) // and is not emitted again
			}
			var due []*cluster
			for _, name := range test.asks {
				due = append(due, &cluster{want: want(in, name), reason: "FirstIssue"})
			}
			fit := issuance{run: run, in: in, l: &ledger.Ledger{Request: orders}}.emittable(due, file(test.new))
			if len(fit) != test.fit {
				t.Errorf("%d of %d are issued, want %d", len(fit), len(due), test.fit)
			}
			for _, c := range due {
				if refused := !slices.Contains(fit, c); refused != (c.problem.reason == reason.OutputTooLarge) {
					t.Errorf("%s is %s: %s", c.want.Destination, c.problem.reason, c.problem.message)
				}
			}
		})
	}
}

// What is tried is as large as what is sealed, with several keys too.
func TestTriedIsAsLargeAsSealed(t *testing.T) {
	for _, format := range []v1alpha1.Format{v1alpha1.Creds, v1alpha1.JWTAndSeed, v1alpha1.Env} {
		run, in := newRun(t), serving(&stub{})
		in.user.Spec.Secret.Format = format
		w, i := want(in, "eu-1"), issuance{run: run, in: in}
		_, tried, err := i.try(w)
		made, failed := i.sample("eu-1")
		if err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		certificate, _ := seal.Newest(bundle(), now)
		a := &attempt{&cluster{want: w, certificate: certificate}, provider.Identity{}, ledger.Record{Destination: "eu-1", Basis: w.Basis}}
		if err := a.seal(made); err != nil {
			t.Fatal(err)
		}
		documents, err := documents(run, in, a.record)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for _, d := range documents {
			files[d.File()] = d.YAML
		}
		size := func(files map[string][]byte) int { return kratix.WorkSize(destination.Output{"": files}) }
		if got, want := size(tried), size(files); got < want || got > want+2000 {
			t.Errorf("%s: it is taken to have %d bytes, and has %d", format, got, want)
		}
	}
}
