package promises_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/baleen-platform/baleen/promises"
)

// Kubernetes' own objects are the dangerous ones: Secrets hold the keys of accounts,
// ConfigMaps hold who owns what. A pipeline reaches those that are named here, with
// these verbs, and one of a Promise that is not named none. That it needs each of them is shown by TestRightsAreExact of the
// pipelines.
func TestRightsInCore(t *testing.T) {
	core := func(namespace, resource string, verbs []string, names ...string) permission {
		return permission{namespace, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resource}, Verbs: verbs, ResourceNames: names}}
	}
	var (
		get    = []string{"get"}
		list   = []string{"list"}
		change = []string{"get", "list", "update"}
		keep   = []string{"get", "list", "create", "update", "delete"}
	)
	type rights struct{ configure, delete []permission }
	of := map[string]rights{
		"api-aggregator": {
			[]permission{
				core("baleen-state", "configmaps", keep),
				core("baleen-system", "configmaps", get, "baleen-config", "api-aggregator-overlays"),
			},
			[]permission{
				core("baleen-state", "configmaps", change),
				core("", "pods", list),
			},
		},
		"api-aggregator-target": {
			[]permission{
				core("baleen-state", "configmaps", keep),
				core("baleen-system", "configmaps", get, "baleen-config", "api-aggregator-target-overlays"),
			},
			[]permission{
				core("baleen-state", "configmaps", change),
				core("", "pods", list),
			},
		},
		"nats-account": {
			[]permission{
				core("baleen-system", "secrets", get),
				core("baleen-operator", "secrets", get),
				core("baleen-system", "configmaps", get, "baleen-config"),
				core("baleen-state", "configmaps", keep),
			},
			[]permission{
				core("baleen-system", "secrets", get),
				core("baleen-operator", "secrets", get),
				core("baleen-state", "configmaps", []string{"get", "list", "update", "delete"}),
				core("", "pods", list),
			},
		},
		"system": {
			[]permission{
				core("baleen-state", "configmaps", []string{"get", "list", "update", "delete"}),
				core("baleen-system", "configmaps", get, "baleen-config"),
			},
			[]permission{
				core("", "pods", list),
			},
		},
		"workload": {
			[]permission{
				core("baleen-state", "configmaps", keep),
				core("baleen-system", "configmaps", get, "baleen-config", "workload-overlays"),
			},
			[]permission{
				core("baleen-state", "configmaps", change),
				core("", "pods", list),
			},
		},
		"nats-user": {
			[]permission{
				core("baleen-system", "secrets", get),
				core("baleen-system", "configmaps", get, "baleen-config", "sealing-certificates", "nats-user-overlays"),
				core("baleen-state", "configmaps", keep),
			},
			[]permission{
				core("baleen-state", "configmaps", keep),
				core("", "pods", list),
			},
		},
	}
	for _, p := range promises.All() {
		t.Run(p.Name, func(t *testing.T) {
			workflows, want := read(t, p).Spec.Workflows.Resource, of[p.Name]
			if diff := cmp.Diff(want.configure, inCore(workflows.Configure)); diff != "" {
				t.Errorf("configure has other rights (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.delete, inCore(workflows.Delete)); diff != "" {
				t.Errorf("delete has other rights (-want +got):\n%s", diff)
			}
		})
	}
}

// Nobody but the pipelines of nats-account reaches the operator's keys, and these may get
// Secrets alone.
func TestRightsInTheOperatorsNamespace(t *testing.T) {
	get := permission{"baleen-operator", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}}
	for _, p := range promises.All() {
		t.Run(p.Name, func(t *testing.T) {
			workflows := read(t, p).Spec.Workflows.Resource
			for _, pipelines := range [][]pipeline{workflows.Configure, workflows.Delete} {
				var want, got []permission
				if p.Name == "nats-account" {
					want = []permission{get}
				}
				for _, r := range inCore(pipelines) {
					everywhere := r.ResourceNamespace == "*" || slices.Contains(r.APIGroups, "*")
					if everywhere || r.ResourceNamespace == get.ResourceNamespace {
						got = append(got, r)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("a pipeline has other rights there (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// inCore returns the rights that reach something other than kinds that Kratix,
// Baleen and the Job controller have.
func inCore(pipelines []pipeline) (rights []permission) {
	for _, p := range pipelines {
		for _, r := range p.Spec.RBAC.Permissions {
			elsewhere := len(r.APIGroups) == 1 && slices.Contains([]string{"baleen.dev", "platform.kratix.io", "batch"}, r.APIGroups[0]) && len(r.NonResourceURLs) == 0
			if !elsewhere {
				rights = append(rights, r)
			}
		}
	}
	return rights
}
