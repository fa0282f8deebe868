package config

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

// away is a platform that cannot be reached.
type away struct{ platform.Client }

func (away) Get(context.Context, platform.Kind, string, string) (*unstructured.Unstructured, error) {
	return nil, errors.New("away")
}

// What the platform team sets holds, what it leaves out has a default, and what
// cannot be read is refused by name: nothing is guessed.
func TestLoad(t *testing.T) {
	defaults := Config{ReconcileInterval: 10 * time.Hour, DestinationGrace: 24 * time.Hour, SystemNamespaces: []string{"baleen-system"}}
	with := func(change func(*Config)) Config { c := defaults; change(&c); return c }
	const notValid = "of the ConfigMap baleen-system/baleen-config is not valid"
	for _, test := range []struct {
		name string
		data map[string]any // nil for no ConfigMap
		want Config
		says string
	}{
		{"there is none", nil, defaults, ""},
		{"an empty one", map[string]any{}, defaults, ""},
		{"an interval", map[string]any{"reconcileInterval": "30m"}, with(func(c *Config) { c.ReconcileInterval = 30 * time.Minute }), ""},
		{"a grace in days", map[string]any{"destinationGrace": "2d"}, with(func(c *Config) { c.DestinationGrace = 48 * time.Hour }), ""},
		{"no grace", map[string]any{"destinationGrace": "0"}, with(func(c *Config) { c.DestinationGrace = 0 }), ""},
		{"namespaces", map[string]any{"namespaces": "team-a: [team-a-*]\n"}, with(func(c *Config) { c.Namespaces = map[string][]string{"team-a": {"team-a-*"}} }), ""},
		{"all", map[string]any{"reconcileInterval": "1h", "destinationGrace": "1h30m", "namespaces": "{}"},
			Config{ReconcileInterval: time.Hour, DestinationGrace: 90 * time.Minute, Namespaces: map[string][]string{}, SystemNamespaces: []string{"baleen-system"}}, ""},
		{"namespaces of Systems", map[string]any{"systemNamespaces": "[platform, systems]\n"}, with(func(c *Config) { c.SystemNamespaces = []string{"platform", "systems"} }), ""},
		{"no namespace of Systems", map[string]any{"systemNamespaces": "[]"}, Config{}, `the key "systemNamespaces" ` + notValid},
		{"a pattern of them", map[string]any{"systemNamespaces": "['team-*']"}, Config{}, `the key "systemNamespaces" ` + notValid},
		{"one that is none", map[string]any{"systemNamespaces": "[platform, '']"}, Config{}, `the key "systemNamespaces" ` + notValid},
		{"no list of them", map[string]any{"systemNamespaces": "platform"}, Config{}, `the key "systemNamespaces" ` + notValid},
		{"an interval that is none", map[string]any{"reconcileInterval": "often"}, Config{}, `the key "reconcileInterval" ` + notValid},
		{"a grace below zero", map[string]any{"destinationGrace": "-1h"}, Config{}, `the key "destinationGrace" ` + notValid},
		{"metadata of Secrets", map[string]any{"secretMetadata": "[team, 'example.com/*']\n"}, with(func(c *Config) { c.SecretMetadata = []string{"team", "example.com/*"} }), ""},
		{"no metadata of Secrets", map[string]any{"secretMetadata": "[]"}, with(func(c *Config) { c.SecretMetadata = []string{} }), ""},
		{"metadata that are none", map[string]any{"secretMetadata": "{a: b}"}, Config{}, `the key "secretMetadata" ` + notValid},
		{"a pattern that is none", map[string]any{"secretMetadata": "['[']"}, Config{}, `the key "secretMetadata" ` + notValid},
		{"an empty pattern", map[string]any{"secretMetadata": "['']"}, Config{}, `the key "secretMetadata" ` + notValid},
		{"namespaces that are none", map[string]any{"namespaces": "[team-a]"}, Config{}, `the key "namespaces" ` + notValid},
		{"namespaces twice", map[string]any{"namespaces": "a: [b]\na: [c]\n"}, Config{}, `the key "namespaces" ` + notValid},
		{"another key", map[string]any{"reconcileinterval": "1h"}, Config{}, `the key "reconcileinterval" ` + notValid},
		{"several wrong ones: the first by name", map[string]any{"z": "", "y": "", "b": "", "x": "", "c": ""}, Config{}, `the key "b" ` + notValid},
		{"data that are no text", map[string]any{"reconcileInterval": int64(7)}, Config{}, "baleen-system/baleen-config has data that is not text: put quotes around each value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := platform.NewMemory(time.Now)
			if test.data != nil {
				_, err := client.Create(t.Context(), platform.ConfigMap, &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "baleen-config", "namespace": "baleen-system"}, "data": test.data,
				}})
				if err != nil {
					t.Fatal(err)
				}
			}
			got, err := Load(t.Context(), client)
			if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			if err == nil && !reflect.DeepEqual(got, test.want) {
				t.Errorf("it is %+v, want %+v", got, test.want)
			}
		})
	}
	t.Run("the platform is away", func(t *testing.T) {
		if _, err := Load(t.Context(), away{}); err == nil || err.Error() != "the ConfigMap baleen-system/baleen-config cannot be read: away" {
			t.Errorf("it says %v", err)
		}
	})
}

// A request acts on the workload namespace of its own name, and on another only
// where the platform team has mapped it.
func TestWorkloadNamespace(t *testing.T) {
	c := Config{Namespaces: map[string][]string{"team-a": {"team-a-*", "shared"}}}
	for _, test := range []struct{ name, request, asked, want string }{
		{"none is asked for", "team-a", "", "team-a"},
		{"its own", "team-b", "team-b", "team-b"},
		{"one that is mapped", "team-a", "shared", "shared"},
		{"one of a pattern", "team-a", "team-a-dev", "team-a-dev"},
		{"one that is not", "team-a", "team-b", ""},
		{"one that is mapped for another", "team-b", "shared", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := c.WorkloadNamespace(test.request, test.asked)
			if got != test.want || (err != nil) != (test.want == "") {
				t.Errorf("it is %q, %v", got, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "requests of the namespace "+test.request+" may not act on the workload namespace "+test.asked) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// Which labels and annotations a Secret may have is the platform team's to say; where it says
// nothing, those that have controllers copy the Secret are refused.
func TestAdmitsSecretMetadata(t *testing.T) {
	for _, test := range []struct {
		patterns []string
		key      string
		want     bool
	}{
		{nil, "team", true}, {nil, "example.com/team", true}, {nil, "reloader.stakater.com/match", true}, {nil, "mittwald.de.example.com/a", true}, {nil, "mittwald.de", true},
		{nil, "replicator.v1.mittwald.de/replicate-to", false}, {nil, "Replicator.v1.Mittwald.de/replicate-to-matching", false}, {nil, "reflector.v1.k8s.emberstack.com/reflection-allowed", false},
		{nil, "kubed.appscode.com/sync", false}, {nil, "mittwald.de/a", false}, {nil, "clustersecret.io/sync", false},
		{[]string{}, "team", false}, {[]string{}, "reloader.stakater.com/match", true}, {[]string{}, "reloader.stakater.com/other", false},
		{[]string{"team", "example.com/*"}, "team", true}, {[]string{"team", "example.com/*"}, "example.com/a", true}, {[]string{"team", "example.com/*"}, "teams", false},
		{[]string{"team", "example.com/*"}, "a.example.com/a", false}, {[]string{"*"}, "replicator.v1.mittwald.de/replicate-to", true},
	} {
		if got := (Config{SecretMetadata: test.patterns}).AdmitsSecretMetadata(test.key); got != test.want {
			t.Errorf("%q admits %s: %t", test.patterns, test.key, got)
		}
	}
}
