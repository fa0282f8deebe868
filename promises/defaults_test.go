package promises_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/promises"
)

// The defaults of v0.1.0. An API server fills a default into the objects that are
// stored already, and what a NatsAccount or an ApiAggregator says is part of its
// terms: a default more, and every user and every target runs after the upgrade; a
// default of what is granted, and every credential is issued anew. So these stay,
// and a field that comes later has its default applied in code, where it is used. Those of
// a kind that came later are as it was first released with.
const frozenDefaults = `ApiAggregator.spec.dns.enabled = true
ApiAggregator.spec.gateway.allowedRoutes.from = All
ApiAggregator.spec.gateway.implementation = Standard
ApiAggregator.spec.httpRedirect = true
ApiAggregatorTarget.spec.backends[].weight = 1
ApiAggregatorTarget.spec.paths[].type = Prefix
NatsAccount.spec.jwt.operator.signingKeySecretRef.key = seed
NatsAccount.spec.jwt.operator.systemCredentialsSecretRef.key = creds
NatsAccount.spec.jwt.signingKey.secretRef.key = seed
NatsAccount.spec.policy = map[]
NatsAccount.spec.policy.allowResponses.max = 1
NatsAccount.spec.policy.allowResponses.ttl = 5s
NatsAccount.spec.policy.connectionTypes = [STANDARD WEBSOCKET]
NatsAccount.spec.policy.maxJWTBytes = 3500
NatsAccount.spec.policy.maxTTL = 2160h
NatsAccount.spec.policy.minRenewBefore = 48h
NatsAccount.spec.synadia.baseURL = https://cloud.synadia.com
NatsAccount.spec.synadia.budget = 60s
NatsAccount.spec.synadia.driftPolicy = Report
NatsAccount.spec.synadia.tokenSecretRef.key = token
NatsAccount.spec.synadia.verifyInterval = 24h
NatsAccount.status.policy.allowResponses.max = 1
NatsAccount.status.policy.allowResponses.ttl = 5s
NatsAccount.status.policy.connectionTypes = [STANDARD WEBSOCKET]
NatsAccount.status.policy.maxJWTBytes = 3500
NatsAccount.status.policy.maxTTL = 2160h
NatsAccount.status.policy.minRenewBefore = 48h
NatsUser.spec.credentials = map[]
NatsUser.spec.credentials.overlap = 24h
NatsUser.spec.credentials.revokePrevious = AfterOverlap
NatsUser.spec.credentials.ttl = 720h
NatsUser.spec.deletionPolicy = Revoke
NatsUser.spec.permissions.allowResponses.max = 1
NatsUser.spec.permissions.allowResponses.ttl = 5s
NatsUser.spec.retain = Ciphertext
NatsUser.spec.secret.format = Creds
NatsUser.spec.times.timeZone = UTC
Workload.spec.type = Service
`

func TestDefaultsAreFrozen(t *testing.T) {
	var b strings.Builder
	for _, p := range promises.All() {
		var promise struct {
			Spec struct {
				API apiextensionsv1.CustomResourceDefinition
			}
		}
		if err := yaml.Unmarshal(p.YAML, &promise); err != nil {
			t.Fatal(err)
		}
		crd := promise.Spec.API.Spec
		listDefaults(t, &b, crd.Names.Kind, *crd.Versions[0].Schema.OpenAPIV3Schema)
	}
	if diff := cmp.Diff(frozenDefaults, b.String()); diff != "" {
		t.Error(diff)
	}
}

func listDefaults(t *testing.T, b *strings.Builder, path string, schema apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	if schema.Default != nil {
		var value any
		if err := json.Unmarshal(schema.Default.Raw, &value); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(b, "%s = %v\n", path, value)
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		listDefaults(t, b, path+"."+name, schema.Properties[name])
	}
	if schema.Items != nil {
		listDefaults(t, b, path+"[]", *schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		listDefaults(t, b, path+"{}", *schema.AdditionalProperties.Schema)
	}
}
