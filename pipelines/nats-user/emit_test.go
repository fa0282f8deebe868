package natsuser

import (
	"testing"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

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
			l := &ledger.Ledger{Request: orders, Rows: []ledger.Row{active(1, "U1", "FirstIssue"), active(2, "U2", string(credential.RotationRequested))}}
			l.Rows[1].Version = "before"
			emitted := l.Rows[1]
			emitted.User = test.emitted
			run.Last = destination.Output{"eu-1": {"secret.yaml": document(t, emitted)}}
			run.Works = []string{"orders-work"}
			create(t, run.Platform, platform.WorkPlacement, "orders-eu-1", map[string]string{kratix.LabelWork: "orders-work"}, map[string]any{
				"spec": map[string]any{"targetDestinationName": test.cluster},
				"status": map[string]any{"versionID": test.version, "conditions": []any{
					map[string]any{"type": "Ready", "status": "True"}, map[string]any{"type": "WriteSucceeded", "status": test.status},
				}},
			})
			if err := see(t.Context(), run, l); err != nil {
				t.Fatal(err)
			}
			if got := !l.Row("eu-1", 2).Written.IsZero(); got != test.seen {
				t.Errorf("it is taken for delivered: %t, want %t", got, test.seen)
			}
			if !l.Row("eu-1", 1).Written.IsZero() {
				t.Error("its predecessor is said to have arrived")
			}
		})
	}
}

// document is what is emitted of a row.
func document(t *testing.T, row ledger.Row) []byte {
	t.Helper()
	recorded, err := record(row)
	if err != nil {
		t.Fatal(err)
	}
	return []byte("kind: SealedSecret\nmetadata: {annotations: {" + rowAnnotation + ": '" + recorded + "'}}\nspec: {encryptedData: {nats.creds: sealed}}\n")
}

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
		rows     []ledger.Row
		verdicts map[claim.Thing]claim.Verdict
		files    int
	}{
		{"it holds the Secret", []ledger.Row{row}, map[claim.Thing]claim.Verdict{secret: {Held: true}}, 1},
		{"another request holds it", []ledger.Row{row}, map[claim.Thing]claim.Verdict{secret: {Holder: claim.Owner{Namespace: "team-a", Name: "shop"}}}, 0},
		{"it holds another Secret", []ledger.Row{row}, map[claim.Thing]claim.Verdict{claim.Secret("eu-1", "team-a", "other"): {Held: true}}, 0},
		{"there is nothing to deliver", nil, map[claim.Thing]claim.Verdict{secret: {Held: true}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &ledger.Ledger{Request: orders, Rows: test.rows}
			w := world{user: &v1alpha1.NatsUser{}, templates: templates}
			output, err := emit(newRun(t), w, l, []*cluster{{want: credential.Want{Destination: "eu-1"}, verdicts: test.verdicts}})
			if err != nil || len(output["eu-1"]) != test.files {
				t.Errorf("%d files are emitted, want %d: %v", len(output["eu-1"]), test.files, err)
			}
		})
	}
}
