package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/promises"
)

// No command shows what Kratix has made for a dry run: each of these shows the same
// requests once they are none.
func TestDryRunsAreShownNowhere(t *testing.T) {
	const name = "kratix-dry-run-orders-1a2b3"
	with := func(labels map[string]any) *world {
		w := newUsersWorld(t)
		w.installed()
		for _, p := range promises.All() {
			data, err := os.ReadFile("../../promises/" + p.Name + "/example.yaml")
			if err != nil {
				t.Fatal(err)
			}
			request := map[string]any{}
			if err := yaml.Unmarshal(data, &request); err != nil {
				t.Fatal(err)
			}
			metadata, _ := request["metadata"].(map[string]any)
			metadata["name"], metadata["namespace"], metadata["labels"], metadata["creationTimestamp"] = name, "team-x", labels, "2026-08-01T10:00:00Z"
			if data, err = yaml.Marshal(request); err != nil {
				t.Fatal(err)
			}
			w.write(fmt.Sprintf("%s/%s/%s.%s/%s.yaml", w.platform, "team-x", p.Kind.Kind, p.Kind.Group, name), string(data))
		}
		return w
	}
	dry := with(map[string]any{"kratix.io/dry-run": "true", "kratix.io/dry-run-owner": "orders"})
	wet := with(map[string]any{"kratix.io/dry-run": "true"})
	for _, test := range []struct{ command, shown string }{
		{"credentials", name},
		{"credentials -o json", name},
		{"routes", name},
		{"doctor", name},
		{"status natsuser/kratix-dry-run-orders-1a2b4 -n team-x", "did you mean"},
		{"status natsaccount/kratix-dry-run-orders-1a2b4 -n team-x", "did you mean"},
		{"status apiaggregator/" + name, "team-x"},
		{"__complete rotate", name},
		{"__complete credentials --account", name},
		{"__complete routes --namespace", "team-x"},
	} {
		t.Run(test.command, func(t *testing.T) {
			shown := func(w *world) bool {
				args := strings.Fields(test.command)
				if args[0] == "__complete" { // the word to complete stands at the end
					args = append(append([]string{args[0], args[1], "--platform", w.platform}, args[2:]...), "")
				} else {
					args = append(args, "--platform", w.platform)
				}
				_, stdout, stderr := w.with(t).baleen(args...)
				return strings.Contains(stdout+stderr, test.shown)
			}
			if shown(dry) {
				t.Error("a dry run is shown")
			}
			if !shown(wet) {
				t.Error("nor is a request that is none, so this says nothing")
			}
		})
	}
	dry.write(dry.platform+"/_cluster/Destination.platform.kratix.io/preview.yaml", "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: preview, labels: {kratix.io/dry-run: 'true', environment: prod}}\n")
	for _, args := range [][]string{{"doctor"}, {"clusters", "list"}} {
		if _, stdout, stderr := dry.baleen(append(args, "--platform", dry.platform)...); strings.Contains(stdout+stderr, "preview") {
			t.Errorf("%v shows the Destination of dry runs:\n%s%s", args, stdout, stderr)
		}
	}
	_, stdout, _ := dry.baleen("status", "natsuser/"+name, "-n", "team-x", "--platform", dry.platform)
	if !strings.Contains(stdout, "Kratix has made it for a dry run") {
		t.Errorf("asked for by its name, its status is\n%s", stdout)
	}
}
