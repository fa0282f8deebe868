// Package workflowtest tests what pipelines do with a run.
package workflowtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
)

// kinds are those of what a pipeline changes.
var kinds = append(promises.Kinds(), platform.ConfigMap, platform.Job)

// Notified are the requests of a kind that are asked to reconcile, in one line.
func Notified(t testing.TB, client platform.Client, kind platform.Kind) string {
	t.Helper()
	objects, err := client.List(t.Context(), kind, "", map[string]string{kratix.LabelManualReconciliation: "true"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetNamespace()+"/"+o.GetName())
	}
	return strings.Join(names, ", ")
}

// Interrupted does something with a run of which each call goes wrong in turn, in each
// way, and then again where none does. It fails the test unless what was interrupted
// says so with a transient error, and all ends as it does undisturbed, which check
// looks at. It is done twice where nothing goes wrong: what is left for the next run,
// such as a free claim, is gone then.
func Interrupted(t *testing.T, prepare func(*testing.T) *workflow.Run, do func(context.Context, *workflow.Run) error, check func(*testing.T, platform.Client)) {
	t.Helper()
	again := func(t *testing.T, run *workflow.Run) map[string]any {
		t.Helper()
		for range 2 {
			if err := do(t.Context(), run); err != nil {
				t.Fatal(err)
			}
		}
		return platformtest.Contents(t, run.Platform, kinds...)
	}
	run := prepare(t)
	client := run.Platform
	counted := platformtest.At(client, 0, platformtest.Refused)
	run.Platform = counted
	if err := do(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	run.Platform = client
	check(t, client)
	undisturbed := again(t, run)
	for _, how := range []platformtest.Fault{platformtest.Refused, platformtest.Lost, platformtest.Overtaken} {
		for at := range counted.Calls {
			t.Run(fmt.Sprintf("%s at call %d", how, at+1), func(t *testing.T) {
				run := prepare(t)
				client := run.Platform
				faulty := platformtest.At(client, at+1, how)
				run.Platform = faulty
				err := do(t.Context(), run)
				if fails := faulty.Hit && how != platformtest.Overtaken; platform.IsTransient(err) != fails || !fails && err != nil {
					t.Errorf("it says %v", err)
				}
				run.Platform = client
				if diff := cmp.Diff(undisturbed, again(t, run)); diff != "" {
					t.Errorf("it comes to another end: %s", diff)
				}
			})
		}
	}
}
