package natsuser

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// ofAccount changes the NatsAccount that the request draws from.
func ofAccount(change func(spec, status map[string]any)) func(*testing.T, *workflow.Run) {
	return func(t *testing.T, run *workflow.Run) {
		mend(t, run.Platform, platform.NatsAccount, account.Namespace, "commerce", func(content map[string]any) {
			status, _ := content["status"].(map[string]any)
			if status == nil {
				status = map[string]any{}
			}
			change(content["spec"].(map[string]any), status)
			content["status"] = status
		})
	}
}

// condition is one of a status.
func condition(kind, status, reason, message string, generation int64, since time.Time) map[string]any {
	return map[string]any{"conditions": []any{map[string]any{
		"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation, "lastTransitionTime": since.Format(time.RFC3339),
	}}}
}

// What keeps a request from its credentials, by what is wrong with it and with its
// account. The status tells the terms of the account as soon as they are known, and
// an account is asked to reconcile where that may help.
func TestGather(t *testing.T) {
	nothing := func(*testing.T, *workflow.Run) {}
	for _, test := range []struct {
		name    string
		spec    string
		change  func(*testing.T, *workflow.Run)
		reason  string
		says    string
		terms   bool // the status has them
		asks    bool // the account
		placed  string
		refused string
		kept    string
	}{
		{name: "all is well", spec: goodUser, change: nothing, terms: true, placed: "eu-1, us-1"},
		{name: "nobody asked for what is not allowed", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {}}`, change: nothing, terms: true, placed: "eu-1, us-1"},
		{name: "it asks for what is not allowed", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {}, placement: {matchLabels: {environment: dev}}}`, change: nothing, terms: true, refused: "dev-1"},
		{name: "it leaves a cluster", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {}, placement: {matchLabels: {baleen.dev/destination: eu-1}}}`, change: func(_ *testing.T, run *workflow.Run) {
			run.Last = destination.Output{"us-1": {"a.yaml": nil}, "eu-1": {"a.yaml": nil}}
		}, terms: true, placed: "eu-1", kept: "us-1"},
		{name: "its spec is wrong", spec: `{accountRef: {name: commerce}}`, change: nothing, reason: "InvalidSpec", says: "NatsUser team-a/orders is not valid: spec.secret.name is missing"},
		{name: "it may not act there", spec: `{accountRef: {name: commerce}, secret: {name: a}, workloadNamespace: other}`, change: nothing, reason: "NamespaceNotMapped", says: "may not act on the workload namespace other"},
		{name: "there is no such account", spec: `{accountRef: {name: nothing}, secret: {name: a}}`, change: nothing, reason: "AccountNotFound", says: "there is no NatsAccount baleen-system/nothing"},
		{name: "the account's spec is wrong", spec: goodUser, change: ofAccount(func(spec, _ map[string]any) { spec["provider"] = "other" }), reason: "AccountInvalid", says: `spec.provider "other" is not jwt or synadia`},
		{name: "the account would have credentials expire", spec: goodUser, change: func(_ *testing.T, run *workflow.Run) { run.Config.ReconcileInterval = 48 * time.Hour }, reason: "AccountInvalid", says: "Kratix reconciles every 48h"},
		{name: "the account has no key", spec: goodUser, change: func(t *testing.T, run *workflow.Run) {
			if err := run.Platform.Delete(t.Context(), platform.Secret, account.Namespace, "commerce-signing", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
		}, reason: "AccountInvalid", says: "there is no Secret baleen-system/commerce-signing"},
		{name: "the account has another key than it was verified with", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			status["account"] = map[string]any{"signingKey": "OTHER"}
		}), reason: "AccountUnverified", asks: true, says: "NatsAccount commerce has not been verified as it is now: it was asked to run, and to tell this request; if this stays, see its status"},
		{name: "the account does not work", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			maps.Copy(status, condition("Ready", "False", "UserRefused", "no user can connect", 1, now))
		}), reason: "AccountRefuted", says: "NatsAccount commerce was found not to work: no user can connect"},
		{name: "Kratix has forgotten the account", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			maps.Copy(status, condition("ConfigureWorkflowCompleted", "False", "PipelinesInProgress", "", 1, now.Add(-time.Hour)))
		}), terms: true, asks: true, placed: "eu-1, us-1"},
		{name: "Kratix came by while the account was paused", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			maps.Copy(status, condition("Reconciled", "Unknown", "PausedReconciliation", "Paused", 1, now))
		}), terms: true, asks: true, placed: "eu-1, us-1"},
		{name: "a run of the account is in progress", spec: goodUser, change: ofAccount(func(_, status map[string]any) {
			maps.Copy(status, condition("ConfigureWorkflowCompleted", "False", "PipelinesInProgress", "", 1, now.Add(-time.Hour+time.Second)))
		}), terms: true, placed: "eu-1, us-1"},
		{name: "it is not admitted", spec: `{accountRef: {name: commerce}, secret: {name: a}, permissions: {publish: {allow: [other]}}}`, change: nothing, reason: "NotAdmitted", terms: true,
			says: `NatsAccount commerce does not admit the request: spec.permissions.publish.allow: "other" is not covered by what the account allows (orders.>, team-a.>)`},
		{name: "an overlay is wrong", spec: goodUser, change: func(t *testing.T, run *workflow.Run) {
			store(t, run.Platform, "nats-user-overlays", map[string]any{"a.yaml": int64(5)})
		}, reason: "OverlayFailed", terms: true, placed: "eu-1, us-1", says: "data that is not text"},
		{name: "the certificates are wrong", spec: goodUser, change: func(t *testing.T, run *workflow.Run) {
			mend(t, run.Platform, platform.ConfigMap, account.Namespace, seal.BundlesName, func(content map[string]any) { content["data"] = map[string]any{"eu-1": int64(5)} })
		}, terms: true, placed: "eu-1, us-1", says: "the ConfigMap baleen-system/sealing-certificates has data that is not text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := onPlatform(t, test.spec)
			test.change(t, run)
			in, err := pipeline{}.gather(t.Context(), run)
			var failure *workflow.Failure
			if errors.As(err, &failure); failure != nil && string(failure.Reason) != test.reason || failure == nil && test.reason != "" {
				t.Errorf("the reason is %v, want %s", failure, test.reason)
			}
			if !strings.Contains(words(err), test.says) || (err == nil) != (test.says == "") {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			if seen, _ := in.seen[termsKey].(string); (seen != "") != test.terms || seen != "" && seen != in.account.Terms() {
				t.Errorf("the status has the terms %q, want some: %t", seen, test.terms)
			}
			if got := workflowtest.Notified(t, run.Platform, platform.NatsAccount) != ""; got != test.asks {
				t.Errorf("it asks the account: %t, want %t", got, test.asks)
			}
			for what, pair := range map[string][2]string{
				"is placed on": {strings.Join(in.placement.Placed, ", "), test.placed}, "is refused": {strings.Join(in.refused, ", "), test.refused},
				"leaves": {strings.Join(in.kept, ", "), test.kept},
			} {
				if pair[0] != pair[1] {
					t.Errorf("it %s %q, want %q", what, pair[0], pair[1])
				}
			}
		})
	}
}

// Wherever the platform is away, a run says so, and nothing else: no reason that
// somebody would mend the request for.
func TestGatherWhileThePlatformIsAway(t *testing.T) {
	counted := onPlatform(t, goodUser)
	client := platformtest.At(counted.Platform, 0, platformtest.Refused)
	counted.Platform = client
	if _, err := (pipeline{}).gather(t.Context(), counted); err != nil || client.Calls < 5 {
		t.Fatalf("%d calls: %v", client.Calls, err)
	}
	for at := range client.Calls {
		t.Run(fmt.Sprintf("at call %d", at+1), func(t *testing.T) {
			run := onPlatform(t, goodUser)
			run.Platform = platformtest.At(run.Platform, at+1, platformtest.Refused)
			_, err := pipeline{}.gather(t.Context(), run)
			if !platform.IsTransient(err) {
				t.Errorf("it says %v", err)
			}
			var failure *workflow.Failure
			if errors.As(err, &failure) && strings.HasPrefix(string(failure.Reason), "Account") {
				t.Errorf("it says that the account is wrong: %s", failure.Reason)
			}
		})
	}
}

// The clock of a run is no earlier than the last write by the API server's, and no
// later than its own, each by ten minutes.
func TestCheckClock(t *testing.T) {
	const allowed = 10 * time.Minute
	for _, test := range []struct {
		name  string
		ahead time.Duration // of the run's clock
		fresh bool          // the write was the run's own
		off   bool
	}{
		{"the same", 0, true, false},
		{"as far back as may be", -allowed, false, false},
		{"farther back", -allowed - time.Second, false, true},
		{"as far ahead as may be", allowed, true, false},
		{"farther ahead", allowed + time.Second, true, true},
		{"the last write was long ago", 100 * allowed, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := checkClock(now.Add(test.ahead), now, test.fresh)
			var failure *workflow.Failure
			if off := errors.As(err, &failure) && failure.Reason == "ClockOff"; off != test.off || (err != nil) != off {
				t.Errorf("it says %v, want that it is off: %t", err, test.off)
			}
		})
	}
	if err := checkClock(now, time.Time{}, true); err != nil {
		t.Errorf("where the API server does not tell it says %v", err)
	}
	want := "the clock says 2026-01-01T12:00:00Z, and the API server's said 2026-01-01T13:00:00Z: set the clock of the node that runs the pipeline"
	if err := checkClock(now, now.Add(time.Hour), false); words(err) != want {
		t.Error(err)
	}
}

// A run that meets a tombstone retires what the former incarnation had, and leaves alone
// what was retired before. A dry run is for a request that need not be there.
func TestLoadAfterADeletion(t *testing.T) {
	run := newRun(t)
	edit(t, run.Platform, func(l *ledger.Ledger) {
		l.UID, l.Tombstone = "former", &ledger.Tombstone{UID: "former", At: now}
		l.Records = []ledger.Record{issued(1, "U1", "commerce"), issued(2, "U2", "commerce", intended), issued(3, "U3", "commerce", retired)}
	})
	l, err := load(t.Context(), run)
	if err != nil || fates(l.Records) != "U1 Retiring sealed, U2 Retiring, U3 Retired sealed" {
		t.Errorf("the ledger has %s: %v", fates(l.Records), err)
	}
	erase(t, run.Platform)
	run.DryRun = true
	if l, err := load(t.Context(), run); err != nil || l.Tombstone != nil {
		t.Errorf("a dry run says %v", err)
	}
	run.DryRun, run.Platform = false, platformtest.At(run.Platform, 2, platformtest.Refused)
	if _, err := load(t.Context(), run); !platform.IsTransient(err) {
		t.Errorf("while the platform is away it says %v", err)
	}
}

// A run that meets a tombstone looks again at its request, because the deletion may
// have begun after the run did. Only for one that is there and stays is anything
// issued, and what the former incarnation had goes.
func TestLoadMeetsATombstone(t *testing.T) {
	for _, test := range []struct {
		name    string
		changed func(*testing.T, platform.Client) // since the run began
		stops   bool
	}{
		{"of a former incarnation", func(*testing.T, platform.Client) {}, false},
		{"the request is being deleted", func(t *testing.T, client platform.Client) {
			mark(t, client)
			erase(t, client)
		}, true},
		{"the request is gone", erase, true},
		{"the request was made again", func(t *testing.T, client platform.Client) {
			erase(t, client)
			create(t, client, platform.NatsUser, "orders", nil, map[string]any{})
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newRun(t)
			edit(t, run.Platform, func(l *ledger.Ledger) {
				l.UID, l.Tombstone, l.MissingSince = "former", &ledger.Tombstone{UID: "former", At: now}, now
				l.Records = []ledger.Record{active(1, "U1", "FirstIssue")}
			})
			test.changed(t, run.Platform)
			l, err := load(t.Context(), run)
			if stopped := err != nil && strings.Contains(err.Error(), "is being deleted: nothing is issued for it any more"); stopped != test.stops {
				t.Fatalf("it says %v, want it to stop: %t", err, test.stops)
			}
			if !test.stops && (l.Tombstone != nil || !l.MissingSince.IsZero() || l.UID != string(run.Request.GetUID()) || l.Records[0].State != ledger.Retiring) {
				t.Errorf("the ledger has the tombstone %v, misses its request since %s, and has %+v", l.Tombstone, l.MissingSince, l.Records)
			}
		})
	}
}

// A generation has arrived when the state store has another version than before it
// was emitted: until then WriteSucceeded is about its predecessor, and revoking that
// would cut the workload off.
func TestSee(t *testing.T) {
	for _, test := range []struct {
		name            string
		status, version string // of the WorkPlacement
		cluster         string
		emitted         string // the user in the last output
		seen            bool
	}{
		{"written since", "True", "after", "eu-1", "U2", true},
		{"written before", "True", "before", "eu-1", "U2", false},
		{"written to a store without versions", "True", "", "eu-1", "U2", true},
		{"not written", "False", "after", "eu-1", "U2", false},
		{"written for another cluster", "True", "after", "us-1", "U2", false},
		{"another was emitted in its place", "True", "after", "eu-1", "U3", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newRun(t)
			l := &ledger.Ledger{Request: orders, Records: []ledger.Record{active(1, "U1", "FirstIssue"), active(2, "U2", string(credential.RotationRequested))}}
			l.Records[1].Version = "before"
			emitted := l.Records[1]
			emitted.User = test.emitted
			run.Last = destination.Output{"eu-1": {"secret.yaml": document(t, emitted)}}
			run.Works = []string{"orders-work"}
			create(t, run.Platform, platform.WorkPlacement, "orders-eu-1", map[string]string{kratix.LabelWork: "orders-work"}, map[string]any{
				"spec": map[string]any{"targetDestinationName": test.cluster},
				"status": map[string]any{"versionID": test.version, "conditions": []any{
					map[string]any{"type": "Ready", "status": "True"}, map[string]any{"type": "WriteSucceeded", "status": test.status},
				}},
			})
			if err := observe(t.Context(), run, l); err != nil {
				t.Fatal(err)
			}
			if got := !l.Record("eu-1", 2).Written.IsZero(); got != test.seen {
				t.Errorf("it is taken for delivered: %t, want %t", got, test.seen)
			}
			if !l.Record("eu-1", 1).Written.IsZero() {
				t.Error("its predecessor is said to have arrived")
			}
		})
	}
}

// Nobody looks for what nothing waits for: that costs a request for each Work.
func TestSeeAsksForWhatIsAwaited(t *testing.T) {
	former := issued(1, "U1", "commerce")
	rotated := issued(2, "U2", "commerce", func(r *ledger.Record) { r.Reason = "RotationRequested" })
	for _, test := range []struct {
		name    string
		rows    []ledger.Record
		emitted ledger.Record
		calls   int
	}{
		{"a former one is to go", []ledger.Record{former, rotated}, rotated, 1},
		{"nothing is to go", []ledger.Record{rotated}, rotated, 0},
		{"it was seen", []ledger.Record{former, issued(2, "U2", "commerce", func(r *ledger.Record) { r.Reason, r.Written = "RotationRequested", now })}, rotated, 0},
		{"another is emitted", []ledger.Record{former, rotated}, issued(3, "U3", "commerce"), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newRun(t)
			counted := platformtest.At(run.Platform, 0, platformtest.Refused)
			run.Platform, run.Works = counted, []string{"work"}
			run.Last = destination.Output{"eu-1": {"a.yaml": document(t, test.emitted)}}
			if err := observe(t.Context(), run, &ledger.Ledger{Request: orders, Records: test.rows}); err != nil || counted.Calls != test.calls {
				t.Errorf("it asks %d times, want %d: %v", counted.Calls, test.calls, err)
			}
		})
	}
}

// What is delivered is read again as it was written: all of a row but for what changes
// while it is delivered. What is not a SealedSecret of this pipeline's, for this
// cluster, says nothing.
func TestDeliveredIsReadAgain(t *testing.T) {
	row := issued(7, "U7", "commerce", func(r *ledger.Record) {
		r.Basis.ProviderAccount, r.ID, r.Settings, r.Earlier = "cloud", "id", "made", []ledger.Earlier{{Generation: 6, User: "U6", Account: "commerce", AccountID: "ACCOUNT", Expires: now}}
		r.Version, r.Renews, r.Written, r.Revoked, r.Lost, r.Drifted = "version", now, now, now, now, now
	})
	want := row
	want.State, want.Version = "", ""
	want.Renews, want.Written, want.Revoked, want.Lost, want.Drifted = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if diff := cmp.Diff([]ledger.Record{want}, delivered(destination.Output{"eu-1": {"a.yaml": document(t, row)}})); diff != "" {
		t.Error(diff)
	}
	text := string(document(t, row))
	for name, other := range map[string]string{
		"another kind":   strings.Replace(text, "kind: SealedSecret", "kind: Secret", 1),
		"another's":      strings.Replace(text, recordAnnotation, "example.com/credential", 1),
		"no row":         strings.Replace(text, `{"destination"`, `["destination"`, 1),
		"no user":        strings.Replace(text, `"user":"U7"`, `"user":""`, 1),
		"no YAML":        "a: [" + text,
		"another form":   strings.Replace(text, "{nats.creds: sealed}", "[sealed]", 1),
		"a broken row":   strings.Replace(text, `"generation":7`, `"generation":"7"`, 1),
		"of another":     strings.Replace(text, `"destination":"eu-1"`, `"destination":"us-1"`, 1),
		"another's name": strings.Replace(text, "annotations", "labels", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if other == text {
				t.Fatal("it is the same")
			}
			if got := delivered(destination.Output{"eu-1": {"a.yaml": []byte(other)}}); len(got) > 0 {
				t.Errorf("it is taken for %+v", got)
			}
		})
	}
	t.Run("nothing is sealed any more", func(t *testing.T) {
		forgotten := strings.Replace(text, "{nats.creds: sealed}", "{}", 1)
		if got := delivered(destination.Output{"eu-1": {"a.yaml": []byte(forgotten)}}); len(got) != 1 || got[0].Ciphertext != nil {
			t.Errorf("it is taken for %+v", got)
		}
	})
	t.Run("two clusters and two files", func(t *testing.T) {
		there := issued(1, "U9", "commerce")
		there.Destination = "us-1"
		last := destination.Output{"us-1": {"a.yaml": document(t, there)}, "eu-1": {"b.yaml": document(t, issued(2, "U2", "commerce")), "a.yaml": document(t, issued(1, "U1", "commerce"))}}
		var users []string
		for _, r := range delivered(last) {
			users = append(users, r.User)
		}
		if want := []string{"U1", "U2", "U9"}; !slices.Equal(users, want) { // in the same order each time
			t.Errorf("they are %v, want %v", users, want)
		}
	})
}

// What Kratix says of a cluster: whether it has written, and which version there is.
func TestPlacements(t *testing.T) {
	run := newRun(t)
	run.Works = []string{"one", "two"}
	written := map[string]any{"type": "WriteSucceeded", "status": "True"}
	place := func(work, name, cluster, version string, conditions ...any) {
		create(t, run.Platform, platform.WorkPlacement, name, map[string]string{kratix.LabelWork: work}, map[string]any{
			"spec": map[string]any{"targetDestinationName": cluster}, "status": map[string]any{"versionID": version, "conditions": conditions},
		})
	}
	place("one", "a", "eu-1", "v1", written, map[string]any{"type": "Ready", "status": "False"})
	place("one", "b", "us-1", "v2", map[string]any{"type": "WriteSucceeded", "status": "False"}, map[string]any{"type": "Ready", "status": "True"})
	place("two", "c", "eu-1", "v3", "no condition", map[string]any{"type": "Failing", "status": "True"})
	place("three", "d", "eu-1", "v4", written)
	got, err := placements(t.Context(), run)
	want := map[string][]placement{"eu-1": {{true, "v1"}, {false, "v3"}}, "us-1": {{false, "v2"}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(placement{})); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for cluster, want := range map[string]string{"eu-1": "v3", "us-1": "v2", "ap-1": ""} {
		if version := versionOf(got[cluster]); version != want {
			t.Errorf("%s has the version %q, want %q", cluster, version, want)
		}
	}
	run.Platform = platformtest.At(run.Platform, 2, platformtest.Refused)
	if _, err := placements(t.Context(), run); !platform.IsTransient(err) || !strings.Contains(err.Error(), "the WorkPlacements of NatsUser team-a/orders cannot be listed") {
		t.Errorf("while the platform is away it says %v", err)
	}
}

// A generation has arrived with the version after the one that was there before it,
// and in a state store that has no versions when it is written.
func TestHasArrived(t *testing.T) {
	for _, test := range []struct {
		written         bool
		version, before string
		arrived         bool
	}{{true, "b", "a", true}, {true, "a", "a", false}, {true, "", "a", true}, {true, "", "", true}, {true, "a", "", true}, {false, "b", "a", false}} {
		if got := (placement{test.written, test.version}).has(ledger.Record{Version: test.before}); got != test.arrived {
			t.Errorf("written: %t, %q after %q: it has arrived: %t", test.written, test.version, test.before, got)
		}
	}
}

// What the platform team does not admit of a Secret's metadata is refused, but for what is
// delivered as it is.
func TestAdmitMetadata(t *testing.T) {
	const copied = "replicator.v1.mittwald.de/replicate-to"
	last := func(metadata string) destination.Output {
		return destination.Output{"eu-1": {"a.yaml": []byte("kind: SealedSecret\nmetadata: {namespace: team-a, name: orders-nats}\nspec: {template: {metadata: " + metadata + "}}\n"), "b.yaml": []byte("kind: ConfigMap\n"), "c.yaml": []byte("{")}}
	}
	for _, test := range []struct {
		name        string
		labels      map[string]field.LabelValue
		annotations map[string]v1alpha1.Annotation
		last        destination.Output
		tolerated   []string
		says        string
		other       bool
	}{
		{"nothing", nil, nil, nil, nil, "", false},
		{"what is admitted", map[string]field.LabelValue{"team": "a"}, map[string]v1alpha1.Annotation{"reloader.stakater.com/match": "true"}, nil, nil, "", false},
		{"an annotation that is not", nil, map[string]v1alpha1.Annotation{copied: "team-b"}, nil, nil, "spec.secret.annotations: the platform team does not admit \"" + copied + "\"", false},
		{"a label that is not", map[string]field.LabelValue{copied: "team-b"}, nil, nil, nil, "spec.secret.labels: the platform team does not admit", false},
		{"one that is delivered", nil, map[string]v1alpha1.Annotation{copied: "team-b"}, last("{annotations: {" + copied + ": team-b}}"), []string{copied}, "", false},
		{"one that it has under another name", nil, map[string]v1alpha1.Annotation{copied: "team-b"}, last("{annotations: {" + copied + ": team-b}}"), nil, "", true},
		{"one of another value", nil, map[string]v1alpha1.Annotation{copied: "team-c"}, last("{annotations: {" + copied + ": team-b}}"), nil, "does not admit", false},
		{"one that is delivered as a label", nil, map[string]v1alpha1.Annotation{copied: "team-b"}, last("{labels: {" + copied + ": team-b}}"), nil, "does not admit", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := &v1alpha1.NatsUser{}
			u.Spec.Secret.Name, u.Spec.Secret.Labels, u.Spec.Secret.Annotations = "orders-nats", test.labels, test.annotations
			if test.other {
				u.Spec.Secret.Name = "name-of-a-secret-of-team-b"
			}
			got, err := admitMetadata(&workflow.Run{Last: test.last}, u, "team-a")
			if (got.elsewhere != nil) != test.other || !slices.Equal(got.tolerated, test.tolerated) || !strings.Contains(words(err), test.says) || (err == nil) != (test.says == "") {
				t.Errorf("it tolerates %q, says %v of another name, and %v", got.tolerated, got.elsewhere, err)
			}
		})
	}
}
