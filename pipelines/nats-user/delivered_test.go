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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/internal/workflow/workflowtest"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// What is delivered is read again as it was written: all of a row but for what changes
// while it is delivered. What is not a SealedSecret of this pipeline's, for this
// cluster, says nothing.
func TestDeliveredIsReadAgain(t *testing.T) {
	row := issued(7, "U7", "commerce", func(r *ledger.Row) {
		r.Basis.KeptIn, r.ID, r.Settings, r.Earlier = "cloud", "id", "made", []ledger.Earlier{{Generation: 6, User: "U6", Account: "commerce", AccountID: "ACCOUNT", Expires: now}}
		r.Version, r.Renews, r.Written, r.Revoked, r.Lost, r.Drifted = "version", now, now, now, now, now
	})
	want := row
	want.State, want.Version = "", ""
	want.Renews, want.Written, want.Revoked, want.Lost, want.Drifted = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if diff := cmp.Diff([]ledger.Row{want}, delivered(destination.Output{"eu-1": {"a.yaml": document(t, row)}})); diff != "" {
		t.Error(diff)
	}
	text := string(document(t, row))
	for name, other := range map[string]string{
		"another kind":   strings.Replace(text, "kind: SealedSecret", "kind: Secret", 1),
		"another's":      strings.Replace(text, rowAnnotation, "example.com/credential", 1),
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

// All that a template gets, by what the request asks for.
func TestValues(t *testing.T) {
	run, w := newRun(t), delivering()
	w.user.Spec.Secret.Labels, w.user.Spec.Secret.Annotations = map[string]field.LabelValue{"team": "a"}, map[string]v1alpha1.Annotation{"reloader": "yes"}
	own := run.Identity.Labels()
	onSecret := maps.Clone(own)
	onSecret["team"] = "a"
	for _, test := range []struct {
		name        string
		retain      string
		ciphertext  map[string]string
		want        map[string]string
		annotations map[string]string
	}{
		{"it is kept", "Ciphertext", map[string]string{"a": "sealed"}, map[string]string{"a": "sealed"}, map[string]string{"reloader": "yes"}},
		{"it is to be forgotten", "Nothing", map[string]string{"a": "sealed"}, map[string]string{"a": "sealed"}, map[string]string{"reloader": "yes", "sealedsecrets.bitnami.com/patch": "true"}},
		{"it is forgotten", "Nothing", nil, map[string]string{}, map[string]string{"reloader": "yes", "sealedsecrets.bitnami.com/patch": "true"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			row := issued(12, "U12", "commerce")
			row.Ciphertext, row.Basis.Delivery.Retain = test.ciphertext, test.retain
			recorded, err := record(row)
			if err != nil {
				t.Fatal(err)
			}
			annotations := run.Identity.Annotations()
			maps.Copy(annotations, map[string]string{"baleen.dev/generation": "12", "baleen.dev/nats-user": "U12", "baleen.dev/credential": recorded})
			want := map[string]any{
				"destination": "eu-1", "encryptedData": test.want, "labels": own, "annotations": annotations,
				"secret": map[string]any{"name": "orders-nats", "namespace": "team-a", "labels": onSecret, "annotations": test.annotations},
			}
			got, err := values(run, w, row)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}

// A cluster for which overlays leave nothing is said to have that problem. One for which
// they fail has the run fail.
func TestEmitWithOverlays(t *testing.T) {
	for _, test := range []struct {
		name, overlay         string
		files                 int
		reason, problemReason string
	}{
		{"none", "", 1, "", ""},
		{"they take it away", "#@ load(\"@ytt:overlay\", \"overlay\")\n#@overlay/match by=overlay.all, expects=\"0+\"\n#@overlay/remove\n---\n", 0, "", "NothingRendered"},
		{"they fail", "kind: [a]\n", 0, "RenderFailed", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			overlays := map[string]string{}
			if test.overlay != "" {
				overlays["a.yaml"] = test.overlay
			}
			made, err := render.New(promises.Templates(promise), overlays)
			if err != nil {
				t.Fatal(err)
			}
			row := issued(1, "U1", "commerce")
			c := &cluster{want: credential.Want{Destination: "eu-1"}, verdicts: map[claim.Thing]claim.Verdict{claim.Secret("eu-1", "team-a", "orders-nats"): {Held: true}}}
			w := delivering()
			w.templates = made
			output, err := emit(newRun(t), w, &ledger.Ledger{Request: orders, Rows: []ledger.Row{row}}, []*cluster{c})
			var failure *workflow.Failure
			if errors.As(err, &failure); (err != nil) != (test.reason != "") || failure != nil && failure.Reason != test.reason {
				t.Errorf("it says %v, want %s", err, test.reason)
			}
			if len(output["eu-1"]) != test.files || c.problem.reason != test.problemReason {
				t.Errorf("%d files are emitted, and the problem is %s: %s", len(output["eu-1"]), c.problem.reason, c.problem.message)
			}
			if test.problemReason != "" && c.problem.message != "the overlays of the platform team leave nothing to deliver to eu-1: correct the ConfigMap nats-user-overlays" {
				t.Error(c.problem.message)
			}
		})
	}
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
		if got := (placement{test.written, test.version}).has(ledger.Row{Version: test.before}); got != test.arrived {
			t.Errorf("written: %t, %q after %q: it has arrived: %t", test.written, test.version, test.before, got)
		}
	}
}

// Nobody looks for what nothing waits for: that costs a request for each Work.
func TestSeeAsksForWhatIsAwaited(t *testing.T) {
	former := issued(1, "U1", "commerce")
	rotated := issued(2, "U2", "commerce", func(r *ledger.Row) { r.Reason = "RotationRequested" })
	for _, test := range []struct {
		name    string
		rows    []ledger.Row
		emitted ledger.Row
		calls   int
	}{
		{"a former one is to go", []ledger.Row{former, rotated}, rotated, 1},
		{"nothing is to go", []ledger.Row{rotated}, rotated, 0},
		{"it was seen", []ledger.Row{former, issued(2, "U2", "commerce", func(r *ledger.Row) { r.Reason, r.Written = "RotationRequested", now })}, rotated, 0},
		{"another is emitted", []ledger.Row{former, rotated}, issued(3, "U3", "commerce"), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newRun(t)
			counted := platformtest.At(run.Platform, 0, platformtest.Refused)
			run.Platform, run.Works = counted, []string{"work"}
			run.Last = destination.Output{"eu-1": {"a.yaml": document(t, test.emitted)}}
			if err := see(t.Context(), run, &ledger.Ledger{Request: orders, Rows: test.rows}); err != nil || counted.Calls != test.calls {
				t.Errorf("it asks %d times, want %d: %v", counted.Calls, test.calls, err)
			}
		})
	}
}

// The Secrets that a request's own output has are those of its SealedSecrets.
func TestServed(t *testing.T) {
	file := func(kind, name string) []byte {
		return []byte("kind: " + kind + "\nmetadata: {namespace: team-a, name: " + name + "}\n")
	}
	run := newRun(t)
	run.Last = destination.Output{"eu-1": {"a.yaml": file("SealedSecret", "a"), "b.yaml": file("ConfigMap", "b"), "c.yaml": []byte("kind: SealedSecret\nmetadata: {namespace: team-a, name: [c]}\n")}, "us-1": {"d.yaml": file("SealedSecret", "d")}}
	got := served(run)
	slices.SortFunc(got, func(a, b claim.Thing) int { return strings.Compare(a.String(), b.String()) })
	if want := []claim.Thing{claim.Secret("eu-1", "team-a", "a"), claim.Secret("us-1", "team-a", "d")}; !slices.Equal(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
}

// Two requests of one name in two namespaces that deliver to one workload namespace
// are two: the first has the Secret, and the second waits for it, is told whose it is,
// and has it once the first has let go of it.
func TestSettleNamesakes(t *testing.T) {
	first, w := newRun(t), delivering()
	w.namespace = "shared"
	second := *first
	second.Identity.Namespace = "team-b"
	second.Request = first.Request.DeepCopy()
	second.Request.SetNamespace("team-b")
	second.Request.SetUID("2")
	secret := claim.Secret("eu-1", "shared", "orders-nats")
	for _, step := range []struct {
		name  string
		run   *workflow.Run
		wants world
		last  destination.Output
		held  bool
		asks  string
	}{
		{"the first has it", first, w, nil, true, ""},
		{"and keeps it", first, w, nil, true, ""},
		{"the second waits", &second, w, nil, false, ""},
		{"the first lets go of it, and is still served", first, world{user: w.user, account: w.account, namespace: "shared"}, destination.Output{"eu-1": {"a.yaml": []byte("kind: SealedSecret\nmetadata: {namespace: shared, name: orders-nats}\n")}}, false, "team-b/orders"},
		{"and then no more", first, world{user: w.user, account: w.account, namespace: "shared"}, nil, false, "team-b/orders"},
		{"the second has it", &second, w, nil, true, ""},
	} {
		if step.name == "the first has it" {
			o := second.Request.DeepCopy()
			o.SetResourceVersion("")
			o.SetUID("")
			made, err := first.Platform.Create(t.Context(), platform.NatsUser, o)
			if err != nil {
				t.Fatal(err)
			}
			second.Request = made
		}
		step.run.Last = step.last
		step.run.DryRun = false
		verdicts, err := settleAtOnce(t, step.run, step.wants)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if v := verdicts[secret]; v.Held != step.held || len(step.wants.placement.Placed) > 0 && !v.Held && v.Holder.String() != "team-a/orders" {
			t.Errorf("%s: it is %+v", step.name, v)
		}
		if got := workflowtest.Asked(t, first.Platform, platform.NatsUser); got != step.asks {
			t.Errorf("%s: it asks %q, want %q", step.name, got, step.asks)
		}
		for _, namespace := range []string{"team-a", "team-b"} {
			if _, err := first.Platform.Patch(t.Context(), platform.NatsUser, namespace, "orders", map[string]any{"metadata": map[string]any{"labels": nil}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func settleAtOnce(t *testing.T, run *workflow.Run, w world) (map[claim.Thing]claim.Verdict, error) {
	t.Helper()
	return settle(t.Context(), run, w, &ledger.Ledger{Request: run.Identity})
}

// A platform that is away at any call is what a settlement says, and it settles all when
// it is run again.
func TestInterruptedSettlement(t *testing.T) {
	prepare := func() (*workflow.Run, world) {
		run, w := newRun(t), delivering()
		waiter := create(t, run.Platform, platform.NatsUser, "waiter", nil, map[string]any{})
		for _, o := range []*unstructured.Unstructured{run.Request, waiter} {
			if _, err := book(run).Acquire(t.Context(), claim.Secret("eu-1", "team-a", "former-name"), claim.OwnerOf(o), nil); err != nil {
				t.Fatal(err)
			}
		}
		return run, w
	}
	run, w := prepare()
	memory := run.Platform
	counted := platformtest.At(memory, 0, platformtest.Refused)
	run.Platform = counted
	if _, err := settleAtOnce(t, run, w); err != nil {
		t.Fatal(err)
	}
	undisturbed := platformtest.Contents(t, memory, platform.ConfigMap, platform.NatsUser)
	for _, how := range []platformtest.Fault{platformtest.Refused, platformtest.Lost} {
		for at := range counted.Calls {
			t.Run(fmt.Sprintf("%s at call %d", how, at+1), func(t *testing.T) {
				run, w := prepare()
				memory := run.Platform
				faulty := platformtest.At(memory, at+1, how)
				run.Platform = faulty
				if _, err := settleAtOnce(t, run, w); platform.IsTransient(err) != faulty.Hit {
					t.Errorf("it says %v", err)
				}
				run.Platform = memory
				run.Last = destination.Output{"eu-1": {"a.yaml": []byte("kind: SealedSecret\nmetadata: {namespace: team-a, name: former-name}\n")}}
				if _, err := settleAtOnce(t, run, w); err != nil {
					t.Fatal(err)
				}
				got := platformtest.Contents(t, memory, platform.ConfigMap, platform.NatsUser)
				delete(got, "NatsUser team-a/waiter") // who is asked once more by a sweep
				want := maps.Clone(undisturbed)
				delete(want, "NatsUser team-a/waiter")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
