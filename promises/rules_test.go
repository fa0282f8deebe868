package promises_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// An API server creates the definitions: their rules compile, and the cost that it
// estimates for the largest objects is within its limits.
func TestDefinitionsAreCreated(t *testing.T) {
	if err := applied(t).Check(); err != nil {
		t.Error(err)
	}
}

// It also counts what the rules of each object cost, and refuses one that costs too
// much. The largest that there can be, every list full and every text as long as it
// may be, cost less than half of that.
func TestLargestObjectsAreAffordable(t *testing.T) {
	definitions := applied(t)
	for kind, crd := range crds(t) {
		t.Run(kind, func(t *testing.T) {
			root := *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
			object := &unstructured.Unstructured{Object: map[string]any{"spec": largest(root.Properties["spec"], 0)}}
			object.SetAPIVersion("baleen.dev/v1alpha1")
			object.SetKind(kind)
			object.SetName("a")
			spent, budget, err := definitions.Cost(object)
			t.Logf("it costs %d of %d", spent, budget)
			if err != nil || spent < 10_000 || spent > budget/2 {
				t.Errorf("it costs %d of %d, %v", spent, budget, err)
			}
		})
	}
}

// largest returns the largest value that a schema admits by its size. Each of a list is
// another one, by its number.
func largest(s openAPI, number int) any {
	switch s.Type {
	case "string":
		if len(s.Enum) > 0 {
			return strings.Trim(string(s.Enum[number%len(s.Enum)].Raw), `"`)
		}
		if s.MaxLength == nil {
			return "a"
		}
		return fmt.Sprint(strings.Repeat("a", max(0, int(*s.MaxLength)-4)), 1000+number)[:*s.MaxLength]
	case "array":
		var list []any
		for i := range *s.MaxItems {
			list = append(list, largest(*s.Items.Schema, int(i)))
		}
		return list
	case "object":
		object := map[string]any{}
		for name, field := range s.Properties {
			if name != "selector" { // Kubernetes' own type, which has no rules
				object[name] = largest(field, number)
			}
		}
		if s.AdditionalProperties != nil && s.MaxProperties != nil {
			for i := range *s.MaxProperties {
				object[fmt.Sprint(strings.Repeat("a", 250), i)] = largest(*s.AdditionalProperties.Schema, int(i))
			}
		}
		return object
	case "boolean":
		return true
	}
	return int64(1)
}

// What an older version admitted and a rule refuses now, as a rule that is made
// stricter would, can be changed elsewhere and deleted, which an update of its
// finalizers does; what is wrong cannot be changed into something else that is wrong.
func TestStoredObjectsCanBeDeleted(t *testing.T) {
	definitions := applied(t)
	parse := func(t *testing.T, text string) *unstructured.Unstructured {
		t.Helper()
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Fatal(err)
		}
		object.SetAPIVersion("baleen.dev/v1alpha1")
		object.SetNamespace("team-a")
		object.SetFinalizers([]string{"kratix.io/workflows-cleanup"})
		return object
	}
	for _, test := range []struct{ name, stored, other, unrelated, says string }{
		{"a name",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: Com_merce}, secret: {name: a}}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: Com__merce}, secret: {name: a}}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: Com_merce}, secret: {name: b}}}",
			`spec.accountRef.name: Invalid value: "Com__merce": is not a name of at most 63 of a-z, 0-9, - and ., with a letter or digit at both ends`},
		{"an entry of a set",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: a}, tags: [A, b]}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: a}, tags: [A, b, c]}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: b}, tags: [A, b]}}",
			`spec.tags[0]: Invalid value: "A": is not a tag such as stage:prod: at most 128 of a-z, 0-9, -, _, ., : and /`},
		{"a value of a map",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: a, labels: {a: ' '}}}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: a, labels: {a: '  '}}}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: b, labels: {a: ' '}}}}",
			`spec.secret.labels[a]: Invalid value: "  ": is not a label: name and value have at most 63 of`},
		{"a duration",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: a}, credentials: {ttl: 1 day}}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: a}, credentials: {ttl: 2 days}}}",
			"{kind: NatsUser, metadata: {name: a}, spec: {accountRef: {name: a}, secret: {name: a}, credentials: {ttl: 1 day, overlap: 1h}}}",
			`spec.credentials.ttl: Invalid value: "2 days": is not a duration such as 90m, 1h30m or 30d: write numbers of at most five digits`},
		{"a path",
			"{kind: ApiAggregatorTarget, metadata: {name: a}, spec: {aggregatorRef: {name: a}, backends: [{service: a, port: 1}], paths: [{path: /a b}]}}",
			"{kind: ApiAggregatorTarget, metadata: {name: a}, spec: {aggregatorRef: {name: a}, backends: [{service: a, port: 1}], paths: [{path: /a b c}]}}",
			"{kind: ApiAggregatorTarget, metadata: {name: a}, spec: {aggregatorRef: {name: a}, backends: [{service: b, port: 1}], paths: [{path: /a b}]}}",
			`spec.paths[0].path: Invalid value: "/a b c": contains a character that a path may not have: percent-encode what is not A-Z a-z 0-9 or one of -._~!$&'()*+,;=:@/, if your gateway serves that (Envoy Gateway does)`},
		{"methods",
			"{kind: ApiAggregatorTarget, metadata: {name: a}, spec: {aggregatorRef: {name: a}, backends: [{service: a, port: 1}], paths: [{path: /a, methods: []}]}}",
			"{kind: ApiAggregatorTarget, metadata: {name: a}, spec: {aggregatorRef: {name: a}, backends: [{service: a, port: 1}], paths: [{path: /a, methods: [a]}]}}",
			"{kind: ApiAggregatorTarget, metadata: {name: a}, spec: {aggregatorRef: {name: a}, backends: [{service: b, port: 1}], paths: [{path: /a, methods: []}]}}",
			`spec.paths[0].methods[0]: Unsupported value: "a"`},
		{"a namespace",
			"{kind: ApiAggregator, metadata: {name: a}, spec: {hostname: a.b, tls: {secretName: a}, gateway: {className: a, namespace: A}}}",
			"{kind: ApiAggregator, metadata: {name: a}, spec: {hostname: a.b, tls: {secretName: a}, gateway: {className: a, namespace: B}}}",
			"{kind: ApiAggregator, metadata: {name: a}, spec: {hostname: a.b, tls: {secretName: b}, gateway: {className: a, namespace: A}}}",
			`spec.gateway.namespace: Invalid value: "B": is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends`},
		// Who writes the token there does not read it.
		{"the name of a token",
			"{kind: NatsAccount, metadata: {name: a}, spec: {provider: synadia, synadia: {accountID: a, platform: p, tokenSecretRef: {name: Abc}}}}",
			"{kind: NatsAccount, metadata: {name: a}, spec: {provider: synadia, synadia: {accountID: a, platform: p, tokenSecretRef: {name: Abd}}}}",
			"{kind: NatsAccount, metadata: {name: a}, spec: {provider: synadia, synadia: {accountID: a, platform: q, tokenSecretRef: {name: Abc}}}}",
			`spec.synadia.tokenSecretRef.name: Invalid value: is not the name of a Secret: write the name of the one that holds the token`},
	} {
		t.Run(test.name, func(t *testing.T) {
			stored, going := parse(t, test.stored), parse(t, test.stored)
			if definitions.Validate(stored) == nil {
				t.Fatal("an API server would create it now")
			}
			going.SetFinalizers(nil)
			if err := definitions.ValidateUpdate(stored, going); err != nil {
				t.Errorf("its finalizers cannot be taken away: %v", err)
			}
			if err := definitions.ValidateUpdate(stored, parse(t, test.unrelated)); err != nil {
				t.Errorf("another field cannot be changed: %v", err)
			}
			err := definitions.ValidateUpdate(stored, parse(t, test.other))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, not %s", err, test.says)
			}
		})
	}
}
