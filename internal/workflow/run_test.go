package workflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// status returns the status that the last run has written, whole.
func (b *bench) status() map[string]any {
	b.Helper()
	var status map[string]any
	if err := yaml.Unmarshal([]byte(b.written()["metadata/status.yaml"]), &status); err != nil {
		b.Fatal(err)
	}
	return status
}

// configure has the pipeline do something else.
func (b *bench) configure(configure func(context.Context, *Run) (Result, error)) {
	b.pipeline.Configure = configure
}

// later has runs take place at another time.
func (b *bench) later(after time.Duration) {
	b.Setenv("BALEEN_NOW", now().Add(after).Format(time.RFC3339))
}

// What a run has come to is what its status says, whole; one that could not finish
// leaves what is served as it is, and the kind's own keys beside what it says.
func TestOutcome(t *testing.T) {
	const stays = "; what was emitted last stays in place"
	for _, test := range []struct {
		name          string
		result        Result
		err           error
		ready, reason string
		message       string
		own           any // what the status has under a key of the kind's own
		documents     int
		stops         string // what a run says that emits nothing
	}{
		{"all is well", Result{Ready: true, Reason: "Published", Message: "done", Status: map[string]any{"url": "u"}}, nil, "True", "Published", "done", "u", 0, ""},
		{"not all could be done", Result{Reason: "PathConflict", Message: "it is another's"}, nil, "False", "PathConflict", "it is another's", nil, 0, ""},
		{"a failure with a reason", Result{Status: map[string]any{"url": "u"}}, fmt.Errorf("first: %w", Fail("OverlayFailed", errors.New("it is\r\nbroken"))), "False", "OverlayFailed", "first: it is broken" + stays, "u", 4, ""},
		{"a failure without", Result{}, errors.New("away"), "False", "Failed", "away" + stays, nil, 4, ""},
		{"it must not be served any more", Result{}, fmt.Errorf("first: %w", Gone(errors.New("it is another's"))), "", "", "", nil, 0, "first: it is another's"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.apply(widget); err != nil {
				t.Fatal(err)
			}
			b.later(time.Hour)
			b.configure(func(ctx context.Context, r *Run) (Result, error) {
				test.result.Placement, _ = destination.List(ctx, r.Platform, nil)
				return test.result, test.err
			})
			documents, err := b.apply(widget)
			if len(documents) != test.documents {
				t.Errorf("served are %v", documents)
			}
			if test.stops != "" {
				if err == nil || err.Error() != test.stops || len(b.written()) > 0 {
					t.Errorf("it says %v, and leaves %v", err, b.written())
				}
				return
			}
			since := now() // the first run was ready
			if test.ready == "False" {
				since = now().Add(time.Hour)
			}
			want := map[string]any{
				"observedGeneration": 1.0, "message": test.message,
				"conditions": []any{map[string]any{
					"type": "Ready", "status": test.ready, "reason": test.reason, "message": test.message, "observedGeneration": 1.0, "lastTransitionTime": since.Format(time.RFC3339),
				}},
			}
			if test.own != nil {
				want["url"] = test.own
			}
			if test.err == nil {
				want["leavingDestinations"] = []any{}
			}
			if got := b.status(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v: the status is\n%v, want\n%v", err, got, want)
			}
		})
	}
}

// Each cluster is addressed by its own label, and a run with nothing to emit
// addresses none.
func TestAddresses(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	var selectors []map[string]any
	if err := yaml.Unmarshal([]byte(b.written()["metadata/destination-selectors.yaml"]), &selectors); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"directory": "eu-1", "matchLabels": map[string]any{"baleen.dev/destination": "eu-1"}}, {"directory": "us-1", "matchLabels": map[string]any{"baleen.dev/destination": "us-1"}},
	}
	if !reflect.DeepEqual(selectors, want) {
		t.Errorf("addressed are %v", selectors)
	}
	b.configure(func(context.Context, *Run) (Result, error) { return Result{Output: destination.Output{}}, nil })
	works, err := b.platform.List(t.Context(), platform.Work, "team-a", nil)
	if err != nil {
		t.Fatal(err)
	}
	// Without a last output nothing is left to keep either.
	for _, work := range works {
		if err := b.platform.Delete(t.Context(), platform.Work, "team-a", work.GetName(), platform.Preconditions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
	if _, addressed := b.written()["metadata/destination-selectors.yaml"]; addressed {
		t.Errorf("it writes %v", b.written())
	}
}

// A cluster that does not match any more keeps its documents for a day from when that
// was first seen, and the status says so; what the pipeline emits for it goes before.
func TestLeavingCluster(t *testing.T) {
	b := newBench(t)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	configure := b.pipeline.Configure
	b.configure(func(ctx context.Context, r *Run) (Result, error) {
		result, err := configure(ctx, r)
		result.Placement.Placed, result.Output["us-1"] = []string{"eu-1"}, nil
		return result, err
	})
	const leaves = "all is well; us-1 does not match any more and keeps its documents for 24h from 2026-01-01T01:00:00Z on"
	for _, run := range []struct {
		after     time.Duration
		documents int
		message   string
		leaving   []any
	}{
		{time.Hour, 4, leaves, []any{map[string]any{"name": "us-1", "since": "2026-01-01T01:00:00Z"}}},
		{24 * time.Hour, 4, leaves, []any{map[string]any{"name": "us-1", "since": "2026-01-01T01:00:00Z"}}},
		{25 * time.Hour, 2, "all is well", []any{}},
	} {
		b.later(run.after)
		documents, err := b.apply(widget)
		if _, _, message := b.ready(); err != nil || len(documents) != run.documents || message != run.message || !reflect.DeepEqual(b.status()["leavingDestinations"], run.leaving) {
			t.Errorf("after %s: %v and %v, %v", run.after, err, documents, b.status())
		}
	}
	b.configure(configure)
	if _, err := b.apply(widget); err != nil {
		t.Fatal(err)
	}
	b.configure(func(ctx context.Context, r *Run) (Result, error) {
		result, err := configure(ctx, r)
		result.Placement.Placed, result.Output["us-1"] = []string{"eu-1"}, map[string][]byte{"own.yaml": []byte("kind: Own")}
		return result, err
	})
	if documents, err := b.apply(widget); err != nil || len(documents) != 3 || documents["us-1/own.yaml"] == "" && documents["own.yaml"] == "" {
		t.Errorf("%v and %v", err, documents)
	}
}

// A pipeline knows under what circumstances it runs.
func TestCircumstances(t *testing.T) {
	for _, test := range []struct {
		name, variable, value    string
		dryRun, simulated, alone bool
	}{
		{"as a test", "", "", false, true, false},
		{"by the clock", "BALEEN_NOW", "", false, false, false},
		{"on a folder", "BALEEN_PLATFORM_DIR", "x", false, true, true},
		{"dry", "KRATIX_DRY_RUN", "true", true, true, true},
		{"not dry", "KRATIX_DRY_RUN", "false", false, true, false},
		{"dry by the tool", "BALEEN_DRY_RUN", "true", true, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.apply(widget); err != nil {
				t.Fatal(err)
			}
			t.Setenv("BALEEN_PLATFORM_DIR", "")
			if test.variable != "" {
				t.Setenv(test.variable, test.value)
			}
			var r *Run
			b.configure(func(ctx context.Context, run *Run) (Result, error) {
				r = run
				_, err := run.Platform.Create(ctx, platform.ConfigMap, object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: team-a}}"))
				return Result{Output: destination.Output{}}, err
			})
			if err := b.run(); err != nil {
				t.Fatal(err)
			}
			if r.DryRun != test.dryRun || r.Simulated != test.simulated || r.alone != test.alone || len(r.Works) == 0 || r.Works[0] == "" || r.Now.Equal(now()) != test.simulated || r.Now.IsZero() {
				t.Errorf("the run is %+v", r)
			}
			_, err := b.platform.Get(t.Context(), platform.ConfigMap, "team-a", "x")
			if written := err == nil; written == test.dryRun {
				t.Errorf("it has written to the platform: %t", written)
			}
		})
	}
	t.Run("dry, for a request that is not stored", func(t *testing.T) {
		b := newBench(t)
		if _, err := b.apply(widget); err != nil {
			t.Fatal(err)
		}
		if err := b.platform.Delete(t.Context(), widgets.Kind, "team-a", "gadget", platform.Preconditions{}); err != nil {
			t.Fatal(err)
		}
		b.wantFailure("Widget team-a/gadget no longer exists: nothing is emitted for it")
		t.Setenv("KRATIX_DRY_RUN", "true")
		if err := b.run(); err != nil {
			t.Error(err)
		}
	})
	// As the newest Kratix does it: under another name, for the request that is mounted.
	t.Run("dry, by a request of Kratix's own", func(t *testing.T) {
		b := newBench(t)
		if _, err := b.apply(widget); err != nil {
			t.Fatal(err)
		}
		t.Setenv("KRATIX_OBJECT_NAME", "kratix-dry-run-x")
		b.wantFailure("is of team-a/gadget, but the run is for team-a/kratix-dry-run-x")
		t.Setenv("KRATIX_DRY_RUN", "true")
		at := os.Getenv("KRATIX_OBJECT_NAMESPACE")
		t.Setenv("KRATIX_OBJECT_NAMESPACE", "team-b") // whose dry run must not show what is team-a's
		b.wantFailure("is of team-a/gadget, but the run is for team-b/kratix-dry-run-x")
		t.Setenv("KRATIX_OBJECT_NAMESPACE", at)
		var r *Run
		b.configure(func(_ context.Context, run *Run) (Result, error) {
			r = run
			return Result{Output: destination.Output{}}, nil
		})
		if err := b.run(); err != nil || r.Identity.Name != "gadget" || len(r.Last) == 0 || !r.DryRun {
			t.Errorf("the run is %+v: %v", r, err)
		}
		// Its own deletion is about nothing but itself.
		t.Setenv("KRATIX_WORKFLOW_ACTION", "delete")
		b.pipeline.Delete = func(_ context.Context, run *Run) error { r = run; return nil }
		b.wantFailure("Widget team-a/kratix-dry-run-x no longer exists")
		own := object(t, strings.Replace(widget, "name: gadget", "name: kratix-dry-run-x", 1))
		own.SetResourceVersion("")
		if _, err := b.platform.Create(t.Context(), widgets.Kind, own); err != nil {
			t.Fatal(err)
		}
		if err := b.run(); err != nil || r.Identity.Name != "kratix-dry-run-x" || len(r.Last) > 0 || r.DryRun {
			t.Errorf("the run is %+v: %v", r, err)
		}
	})
	t.Run("what a dry run has emitted was not emitted", func(t *testing.T) {
		b := newBench(t)
		if _, err := b.apply(widget); err != nil {
			t.Fatal(err)
		}
		works, err := b.platform.List(t.Context(), platform.Work, "team-a", nil)
		if err != nil || len(works) != 1 {
			t.Fatal(works, err)
		}
		dry := works[0].DeepCopy()
		dry.SetName("dry")
		dry.SetResourceVersion("")
		labels := dry.GetLabels()
		labels[kratix.LabelDryRun] = "true"
		dry.SetLabels(labels)
		if _, err := b.platform.Create(t.Context(), platform.Work, dry); err != nil {
			t.Fatal(err)
		}
		var r *Run
		b.configure(func(_ context.Context, run *Run) (Result, error) {
			r = run
			return Result{Output: destination.Output{}}, nil
		})
		if err := b.run(); err != nil || !slices.Equal(r.Works, []string{works[0].GetName()}) {
			t.Errorf("its Works are %v: %v", r.Works, err)
		}
	})
}

// Of a request that is being deleted nothing new is emitted, whatever run comes last: a
// configure ends well, so that Kratix has nothing to try again, with what was emitted last
// and no status. Its deletion is the pipeline's, if that has one; no label makes that a
// dry run.
func TestDeletion(t *testing.T) {
	deleting := func(b *bench) {
		_, err := b.platform.Patch(b.Context(), widgets.Kind, "team-a", "gadget", map[string]any{"metadata": map[string]any{"finalizers": []any{"kratix"}}})
		if err == nil {
			err = b.platform.Delete(b.Context(), widgets.Kind, "team-a", "gadget", platform.Preconditions{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, action string
		remove       error
		has          bool
		says         string
	}{
		{"a configure", "configure", nil, true, ""},
		{"a configure that finds it out later", "configure later", nil, true, ""},
		{"a delete", "delete", nil, true, ""},
		{"a delete that is called a dry run", "delete dry", nil, true, ""},
		{"a delete that fails", "delete", errors.New("not yet"), true, "not yet"},
		{"a delete of nothing", "delete", nil, false, ""},
		{"neither", "remove", nil, true, `KRATIX_WORKFLOW_ACTION is "remove": it must be configure or delete`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.apply(widget); err != nil {
				t.Fatal(err)
			}
			last := b.written()
			delete(last, "metadata/status.yaml")
			action, how, _ := strings.Cut(test.action, " ")
			if how == "later" {
				b.configure(func(context.Context, *Run) (Result, error) {
					deleting(b)
					return Result{}, fmt.Errorf("first: %w", Deleted(errors.New("it is being deleted")))
				})
			} else {
				deleting(b)
			}
			deleted := false
			if test.has {
				b.pipeline.Delete = func(_ context.Context, r *Run) error { deleted = !r.DryRun; return test.remove }
			}
			t.Setenv("KRATIX_WORKFLOW_ACTION", action)
			if how == "dry" {
				t.Setenv("KRATIX_DRY_RUN", "true")
			}
			err := b.run()
			if (err != nil) != (test.says != "") || err != nil && err.Error() != test.says {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			if deleted != (action == "delete" && test.has) {
				t.Errorf("its deletion was run: %t", deleted)
			}
			if action != "configure" {
				last = map[string]string{}
			}
			if left := b.written(); !maps.Equal(left, last) {
				t.Errorf("it leaves %v, and was served by %v", left, last)
			}
		})
	}
}

// The exit code is 0 for a run that has said what there is to say, also that it could
// do nothing, and 1 after one sentence.
func TestExitCode(t *testing.T) {
	for _, test := range []struct {
		name      string
		configure func(context.Context, *Run) (Result, error)
		code      int
		says      string
	}{
		{"all is well", func(context.Context, *Run) (Result, error) {
			return Result{Output: destination.Output{}, Ready: true, Reason: "Published", Message: "done"}, nil
		}, 0, `level=INFO msg="done; `},
		{"it could not finish", func(context.Context, *Run) (Result, error) { return Result{}, errors.New("away") }, 0,
			`level=ERROR msg="the request cannot be carried out" promise=widget request=team-a/gadget error=away`},
		{"nothing can be said", func(context.Context, *Run) (Result, error) { return Result{}, Gone(errors.New("it is\nanother's")) }, 1, "widget: it is another's\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.apply(widget); err != nil {
				t.Fatal(err)
			}
			b.configure(test.configure)
			var log bytes.Buffer
			if code := b.environment(&log).Run(t.Context(), b.pipeline); code != test.code || !strings.Contains(log.String(), test.says) {
				t.Errorf("it ends with %d and says %s", code, log.String())
			}
		})
	}
}

// What is wrong with the surroundings ends a run in one sentence, or is what the status
// says where there is one to be had.
func TestSurroundings(t *testing.T) {
	configMap := func(b *bench, name, data string) {
		o := object(b.T, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: baleen-system}, data: %s}", name, data))
		if _, err := b.platform.Create(b.Context(), platform.ConfigMap, o); err != nil {
			b.Fatal(err)
		}
	}
	noFolder := func(b *bench) {
		dir := filepath.Join(b.dir, "output")
		if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	templates := func(b *bench) {
		b.configure(func(ctx context.Context, r *Run) (Result, error) {
			_, err := r.Templates(ctx, fstest.MapFS{"a.yaml": {Data: []byte("a: b\n")}})
			return Result{Output: destination.Output{}, Reason: "Published", Message: "done"}, err
		})
	}
	for _, test := range []struct {
		name    string
		prepare func(*bench)
		stops   string // what the run says that ends, and for one that does not:
		reason  string
		says    string
	}{
		{"the platform cannot be reached", func(b *bench) {
			b.opened = func(func() time.Time) (platform.Client, error) { return nil, errors.New("there is no platform") }
		}, "there is no platform", "", ""},
		{"its output is no folder", noFolder, "what an earlier run left in ", "", ""},
		{"its output is no folder any more, and it could not finish", func(b *bench) {
			b.configure(func(context.Context, *Run) (Result, error) { noFolder(b); return Result{}, errors.New("away") })
		}, "the output cannot be written, so nothing is emitted and what is served stays in place: ", "", ""},
		{"its last output is damaged", func(b *bench) {
			works, err := b.platform.List(b.Context(), platform.Work, "team-a", nil)
			if err != nil || len(works) == 0 {
				b.Fatal(works, err)
			}
			_, err = b.platform.Patch(b.Context(), platform.Work, "team-a", works[0].GetName(), map[string]any{"spec": map[string]any{"workloadGroups": []any{
				map[string]any{"workloads": []any{map[string]any{"filepath": "a/b", "content": "not compressed"}}},
			}}})
			if err != nil {
				b.Fatal(err)
			}
		}, "the last output of Widget team-a/gadget cannot be read: ", "", ""},
		{"the configuration is wrong", func(b *bench) { configMap(b, "baleen-config", "{grace: 1h}") }, "", "ConfigurationInvalid", `the key "grace" of the ConfigMap baleen-system/baleen-config is not valid`},
		{"templates without overlays", templates, "", "Published", "done"},
		{"overlays that are no text", func(b *bench) { templates(b); configMap(b, "widget-overlays", "{a.yaml: 7}") }, "", "OverlayFailed", "widget-overlays has data that is not text"},
		{"overlays that are none", func(b *bench) { templates(b); configMap(b, "widget-overlays", "{a.txt: a}") }, "", "OverlayFailed", `the overlay "a.txt" of the platform team`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.apply(widget); err != nil {
				t.Fatal(err)
			}
			test.prepare(b)
			if test.stops != "" {
				err := b.environment(io.Discard).run(t.Context(), b.pipeline)
				if err == nil || !strings.HasPrefix(err.Error(), test.stops) {
					t.Errorf("it says %v, want %q", err, test.stops)
				}
				return
			}
			if err := b.run(); err != nil {
				t.Fatal(err)
			}
			if _, reason, message := b.ready(); reason != test.reason || !strings.Contains(message, test.says) {
				t.Errorf("it says %s: %s", reason, message)
			}
		})
	}
}

// Ready has been so since it last became so, whatever other conditions say.
func TestTransitions(t *testing.T) {
	const since = "2025-12-31T00:00:00Z"
	for _, test := range []struct {
		name       string
		conditions []any
		want       string
	}{
		{"the first run", nil, "2026-01-01T00:00:00Z"},
		{"it was", []any{map[string]any{"type": "Ready", "status": "True", "lastTransitionTime": since}}, since},
		{"it was not", []any{map[string]any{"type": "Ready", "status": "False", "lastTransitionTime": since}}, "2026-01-01T00:00:00Z"},
		{"another condition was", []any{map[string]any{"type": "Another", "status": "True", "lastTransitionTime": since}}, "2026-01-01T00:00:00Z"},
		{"since when is not known", []any{map[string]any{"type": "Ready", "status": "True"}, "x"}, "2026-01-01T00:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &Run{Now: now(), Request: &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": test.conditions}}}}
			conditions := r.status(true, "Published", "done", metav1.Condition{Type: "Other", Status: "False", Reason: "R", Message: "m"})["conditions"].([]any)
			if condition := conditions[0].(map[string]any); condition["lastTransitionTime"] != test.want {
				t.Errorf("it is %v", condition)
			}
			other := map[string]any{"type": "Other", "status": "False", "reason": "R", "message": "m", "observedGeneration": int64(0), "lastTransitionTime": "2026-01-01T00:00:00Z"}
			if diff := cmp.Diff(other, conditions[1]); diff != "" || len(conditions) != 2 {
				t.Errorf("the other is something else (-want +got):\n%s", diff)
			}
		})
	}
}

// Somebody who looks for a fault can have more said.
func TestLog(t *testing.T) {
	for value, want := range map[string]bool{"": false, "debug": true} {
		t.Run("BALEEN_LOG="+value, func(t *testing.T) {
			e := Environment{Getenv: func(string) string { return value }, Stderr: io.Discard}
			if e.logger("widget").Enabled(t.Context(), slog.LevelDebug) != want {
				t.Errorf("details are said: %t", !want)
			}
		})
	}
}
