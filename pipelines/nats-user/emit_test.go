package natsuser

import (
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// What is in the ledger is emitted where the request holds the claim of its Secret,
// and nowhere else: another request may have taken that over.
func TestEmitsWhatItHolds(t *testing.T) {
	templates, err := render.New(promises.Templates(promise), nil)
	if err != nil {
		t.Fatal(err)
	}
	row := active(1, "U1", "FirstIssue")
	secret := claim.Secret("eu-1", "team-a", "orders-nats")
	for _, test := range []struct {
		name     string
		rows     []ledger.Record
		verdicts map[claim.Resource]claim.Verdict
		files    int
	}{
		{"it holds the Secret", []ledger.Record{row}, map[claim.Resource]claim.Verdict{secret: {Held: true}}, 1},
		{"another request holds it", []ledger.Record{row}, map[claim.Resource]claim.Verdict{secret: {Holder: claim.Owner{Namespace: "team-a", Name: "shop"}}}, 0},
		{"it holds another Secret", []ledger.Record{row}, map[claim.Resource]claim.Verdict{claim.Secret("eu-1", "team-a", "other"): {Held: true}}, 0},
		{"there is nothing to deliver", nil, map[claim.Resource]claim.Verdict{secret: {Held: true}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &ledger.Ledger{Request: orders, Records: test.rows}
			in := inputs{user: &v1alpha1.NatsUser{}, templates: templates}
			output, err := emit(newRun(t), in, l, []*cluster{{want: credential.Want{Destination: "eu-1"}, verdicts: test.verdicts}})
			if err != nil || len(output["eu-1"]) != test.files {
				t.Errorf("%d files are emitted, want %d: %v", len(output["eu-1"]), test.files, err)
			}
		})
	}
}

// All that a template gets, by what the request asks for.
func TestValues(t *testing.T) {
	run, in := newRun(t), delivering()
	in.user.Spec.Secret.Labels, in.user.Spec.Secret.Annotations = map[string]field.LabelValue{"team": "a"}, map[string]v1alpha1.Annotation{"reloader": "yes"}
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
			recorded, err := inAnnotation(row)
			if err != nil {
				t.Fatal(err)
			}
			annotations := run.Identity.Annotations()
			maps.Copy(annotations, map[string]string{"baleen.dev/generation": "12", "baleen.dev/nats-user": "U12", "baleen.dev/credential": recorded})
			want := map[string]any{
				"destination": "eu-1", "encryptedData": test.want, "labels": own, "annotations": annotations,
				"secret": map[string]any{"name": "orders-nats", "namespace": "team-a", "labels": onSecret, "annotations": test.annotations},
			}
			got, err := values(run, in, row)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}

// A cluster for which overlays leave nothing is said to have that problem. One for which
// they fail has the run fail, and so has one that could not open what they make.
func TestEmitWithOverlays(t *testing.T) {
	const (
		changed   = "#@ load(\"@ytt:overlay\", \"overlay\")\n#@overlay/match by=overlay.subset({\"kind\": \"SealedSecret\"}), expects=\"1+\"\n---\n"
		annotated = "metadata:\n  annotations:\n    #@overlay/match missing_ok=True\n"
	)
	for _, test := range []struct {
		name, overlay         string
		files                 int
		reason, problemReason string
	}{
		{"none", "", 1, "", ""},
		{"they take it away", "#@ load(\"@ytt:overlay\", \"overlay\")\n#@overlay/match by=overlay.all, expects=\"0+\"\n#@overlay/remove\n---\n", 0, "", "NothingRendered"},
		{"they fail", "kind: [a]\n", 0, "RenderFailed", ""},
		{"they label it", changed + "metadata:\n  labels:\n    #@overlay/match missing_ok=True\n    team: a\n", 1, "", ""},
		{"they rename it", changed + "metadata:\n  name: prod-orders-nats\n", 0, "RenderFailed", ""},
		{"they move it", changed + "metadata:\n  namespace: elsewhere\n", 0, "RenderFailed", ""},
		{"they open it for the cluster", changed + annotated + "    sealedsecrets.bitnami.com/cluster-wide: \"true\"\n", 0, "RenderFailed", ""},
		{"they open it for the namespace", changed + annotated + "    sealedsecrets.bitnami.com/namespace-wide: \"true\"\n", 0, "RenderFailed", ""},
		{"they say that it is for its name alone", changed + annotated + "    sealedsecrets.bitnami.com/cluster-wide: \"false\"\n", 1, "", ""},
		{"they add one of their own", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: theirs, namespace: elsewhere}\nspec: {encryptedData: {a: theirs}}\n", 2, "", ""},
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
			c := &cluster{want: credential.Want{Destination: "eu-1"}, verdicts: map[claim.Resource]claim.Verdict{claim.Secret("eu-1", "team-a", "orders-nats"): {Held: true}}}
			in := delivering()
			in.templates = made
			output, err := emit(newRun(t), in, &ledger.Ledger{Request: orders, Records: []ledger.Record{row}}, []*cluster{c})
			var failure *workflow.Failure
			if errors.As(err, &failure); (err != nil) != (test.reason != "") || failure != nil && string(failure.Reason) != test.reason {
				t.Errorf("it says %v, want %s", err, test.reason)
			}
			if len(output["eu-1"]) != test.files || string(c.problem.reason) != test.problemReason {
				t.Errorf("%d files are emitted, and the problem is %s: %s", len(output["eu-1"]), c.problem.reason, c.problem.message)
			}
			if test.problemReason != "" && c.problem.message != "the overlays of the platform team leave nothing to deliver to eu-1: correct the ConfigMap nats-user-overlays" {
				t.Error(c.problem.message)
			}
		})
	}
}
