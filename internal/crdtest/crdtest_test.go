package crdtest

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const httpRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: team-a}
spec:
  parentRefs: [{name: public, namespace: gateways}]
  hostnames: [api.example.com]
  rules:
  - matches: [{path: {value: /orders}, method: GET}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
    timeouts: {request: 30s}
    backendRefs: [{name: orders, port: 8080}]
`

const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: gateways}
spec:
  gatewayClassName: traefik
  listeners:
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: api-tls}]}}
  - {name: http, port: 80, protocol: HTTP}
`

const clientSettingsPolicy = `
apiVersion: gateway.nginx.org/v1alpha1
kind: ClientSettingsPolicy
metadata: {name: orders, namespace: team-a}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}
  body: {maxSize: 10m}
`

const middleware = `
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: orders, namespace: team-a}
spec: {buffering: {maxRequestBodyBytes: 10485760}}
`

const backendTrafficPolicy = `
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: orders, namespace: team-a}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  requestBuffer: {limit: 10Mi}
`

const destination = `
apiVersion: platform.kratix.io/v1alpha1
kind: Destination
metadata: {name: eu-1, labels: {environment: prod}}
spec:
  path: eu-1
  stateStoreRef: {kind: GitStateStore, name: clusters}
  filepath: {mode: nestedByMetadata}
`

// port is a definition of our own, with an immutable field, defaults and a rule.
const port = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ports.test.baleen.dev}
spec:
  group: test.baleen.dev
  scope: Namespaced
  names: {kind: Port, listKind: PortList, plural: ports, singular: port}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            default: {}
            properties:
              host: {type: string, maxLength: 63, x-kubernetes-validations: [{rule: self == oldSelf, message: host is immutable}]}
              number: {type: integer, default: 443, x-kubernetes-validations: [{rule: self < 65536, message: number is too big}]}
              protocol: {type: string, default: TCP, maxLength: 3}
              replicas: {type: integer}
              template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
          status:
            type: object
            properties: {ready: {type: boolean}, replicas: {type: integer}}
  - name: v1alpha1
    served: false
    storage: false
    schema: {openAPIV3Schema: {type: object}}
`

const ssh = `
apiVersion: test.baleen.dev/v1
kind: Port
metadata: {name: ssh, namespace: team-a}
spec: {host: a.example.com, number: 22}
`

func ownKind(t testing.TB) *Definitions { return Load(t, []byte(port)) }

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		name        string
		definitions func(testing.TB) *Definitions
		object      string
		replace     string // what to replace in object,
		by          string // and by what
		wantError   string // part of the error; none for a valid object
	}{
		{name: "HTTPRoute", definitions: GatewayAPI, object: httpRoute},
		{name: "HTTPRoute without namespace", definitions: GatewayAPI, object: httpRoute, replace: ", namespace: team-a}", by: "}"},
		{name: "HTTPRoute without name", definitions: GatewayAPI, object: httpRoute, replace: "name: orders, namespace: team-a", by: "namespace: team-a",
			wantError: "metadata.name: Required value"},
		{name: "HTTPRoute with an invalid name", definitions: GatewayAPI, object: httpRoute, replace: "metadata: {name: orders", by: "metadata: {name: Orders",
			wantError: "metadata.name: Invalid value"},
		{name: "HTTPRoute with a wrong label", definitions: GatewayAPI, object: httpRoute, replace: "metadata: {", by: "metadata: {labels: {a: 1}, ",
			wantError: "cannot unmarshal number into Go struct field ObjectMeta.labels"},
		{name: "HTTPRoute path with //", definitions: GatewayAPI, object: httpRoute, replace: "value: /orders", by: "value: /a//b",
			wantError: "spec.rules[0].matches[0].path: Invalid value: must not contain '//'"},
		{name: "HTTPRoute filter twice", definitions: GatewayAPI, object: httpRoute, replace: "filters: [", by: "filters: [{type: URLRewrite, urlRewrite: {hostname: a.b}}, ",
			wantError: "URLRewrite filter cannot be repeated"},
		{name: "HTTPRoute filter without its content", definitions: GatewayAPI, object: httpRoute, replace: "filters: [", by: "filters: [{type: RequestHeaderModifier}, ",
			wantError: "filter.requestHeaderModifier must be specified"},
		{name: "HTTPRoute port of the wrong type", definitions: GatewayAPI, object: httpRoute, replace: "port: 8080", by: `port: "8080"`,
			wantError: `spec.rules[0].backendRefs[0].port in body must be of type integer: "string"`},
		{name: "HTTPRoute port out of range", definitions: GatewayAPI, object: httpRoute, replace: "port: 8080", by: "port: 65536",
			wantError: "spec.rules[0].backendRefs[0].port in body should be less than or equal to 65535"},
		{name: "HTTPRoute with an unknown field", definitions: GatewayAPI, object: httpRoute, replace: "value: /orders", by: "value: /orders, typ: Exact",
			wantError: `strict decoding error: unknown field "spec.rules[0].matches[0].path.typ"`},
		{name: "HTTPRoute with unknown metadata", definitions: GatewayAPI, object: httpRoute, replace: "metadata: {", by: "metadata: {label: {}, ",
			wantError: `strict decoding error: unknown field "metadata.label"`},
		{name: "HTTPRoute timeout pattern", definitions: GatewayAPI, object: httpRoute, replace: "request: 30s", by: "request: 1.5s",
			wantError: "spec.rules[0].timeouts.request in body should match"},
		{name: "HTTPRoute timeouts that contradict", definitions: GatewayAPI, object: httpRoute, replace: "request: 30s", by: "request: 30s, backendRequest: 1m",
			wantError: "backendRequest timeout cannot be longer than request timeout"},
		{name: "HTTPRoute experimental field", definitions: GatewayAPI, object: httpRoute, replace: "timeouts:", by: "retry: {attempts: 1}\n    timeouts:",
			wantError: `unknown field "spec.rules[0].retry"`},
		{name: "HTTPRoute version that is not known", definitions: GatewayAPI, object: httpRoute, replace: "k8s.io/v1", by: "k8s.io/v2",
			wantError: `version "v2" is not served, only ["v1" "v1beta1"]`},
		{name: "kind that is not known", definitions: GatewayAPI, object: httpRoute, replace: "HTTPRoute", by: "HTTPRout",
			wantError: "no definition of kind HTTPRout.gateway.networking.k8s.io"},

		{name: "Gateway", definitions: GatewayAPI, object: gateway},
		{name: "Gateway listeners of the same name", definitions: GatewayAPI, object: gateway, replace: "name: http,", by: "name: https,",
			wantError: `spec.listeners[1]: Duplicate value: {"name":"https"}`},
		{name: "Gateway listeners that are the same otherwise", definitions: GatewayAPI, object: gateway, replace: "name: http, port: 80, protocol: HTTP}", by: "name: other, port: 443, protocol: HTTPS}",
			wantError: "Combination of port, protocol and hostname must be unique for each listener"},

		{name: "ClientSettingsPolicy", definitions: NGINXGatewayFabric, object: clientSettingsPolicy},
		{name: "ClientSettingsPolicy in bytes", definitions: NGINXGatewayFabric, object: clientSettingsPolicy, replace: "10m", by: `"1000"`},
		{name: "ClientSettingsPolicy size with a Kubernetes unit", definitions: NGINXGatewayFabric, object: clientSettingsPolicy, replace: "10m", by: "10Mi",
			wantError: `spec.body.maxSize in body should match '^\d{1,4}(k|m|g)?$'`},
		{name: "ClientSettingsPolicy size with five digits", definitions: NGINXGatewayFabric, object: clientSettingsPolicy, replace: "10m", by: "10240k",
			wantError: "spec.body.maxSize in body should match"},
		{name: "ClientSettingsPolicy size as a number", definitions: NGINXGatewayFabric, object: clientSettingsPolicy, replace: "10m", by: "10",
			wantError: "spec.body.maxSize in body must be of type string"},
		{name: "ClientSettingsPolicy for a Service", definitions: NGINXGatewayFabric, object: clientSettingsPolicy, replace: "HTTPRoute", by: "Service",
			wantError: "spec.targetRef: Invalid value: the kind must be Gateway, HTTPRoute or GRPCRoute"},
		{name: "ClientSettingsPolicy for another group", definitions: NGINXGatewayFabric, object: clientSettingsPolicy, replace: "group: gateway.networking.k8s.io", by: "group: apps",
			wantError: "spec.targetRef: Invalid value: the group must be gateway.networking.k8s.io"},

		{name: "Middleware", definitions: Traefik, object: middleware},
		{name: "Middleware size as a string", definitions: Traefik, object: middleware, replace: "10485760", by: "10Mi",
			wantError: "spec.buffering.maxRequestBodyBytes in body must be of type integer"},
		{name: "Middleware size misspelt", definitions: Traefik, object: middleware, replace: "maxRequestBodyBytes", by: "maxRequestBodySize",
			wantError: `unknown field "spec.buffering.maxRequestBodySize"`},

		{name: "BackendTrafficPolicy", definitions: EnvoyGateway, object: backendTrafficPolicy},
		{name: "BackendTrafficPolicy limit as a number", definitions: EnvoyGateway, object: backendTrafficPolicy, replace: "10Mi", by: "1000"},
		{name: "BackendTrafficPolicy limit with an NGINX unit", definitions: EnvoyGateway, object: backendTrafficPolicy, replace: "10Mi", by: "10m",
			wantError: "spec.requestBuffer.limit in body should match '^[1-9]+[0-9]*([EPTGMK]i|[EPTGMk])?$'"},
		{name: "BackendTrafficPolicy without a target", definitions: EnvoyGateway, object: backendTrafficPolicy, replace: "targetRefs:", by: "mergeType: StrategicMerge #",
			wantError: "either targetRef or targetRefs must be used"},

		{name: "Destination", definitions: Kratix, object: destination},
		{name: "Destination with a wrong mode", definitions: Kratix, object: destination, replace: "nestedByMetadata", by: "nested",
			wantError: "spec.filepath.mode: Unsupported value"},

		{name: "own kind", definitions: ownKind, object: ssh},
		{name: "own kind with a broken rule", definitions: ownKind, object: ssh, replace: "number: 22", by: "number: 70000",
			wantError: "spec.number: Invalid value: 70000: number is too big"},
		{name: "own kind with a null for a default", definitions: ownKind, object: ssh, replace: "number: 22", by: "number: null"},
		{name: "own kind with a null for nothing", definitions: ownKind, object: ssh, replace: "host: a.example.com", by: "host: null"},
		{name: "own kind with negative replicas", definitions: ownKind, object: ssh, replace: "number: 22", by: "replicas: -1",
			wantError: "should be a non-negative integer"},
		{name: "own kind with an embedded object", definitions: ownKind, object: ssh, replace: "number: 22", by: template},
		{name: "own kind with an embedded object with a wrong label", definitions: ownKind, object: ssh, replace: "number: 22", by: edit(t, template, "a: b", "a: 1"),
			wantError: "spec.template.metadata: Invalid value"},
		{name: "own kind with an embedded object with unknown metadata", definitions: ownKind, object: ssh, replace: "number: 22", by: edit(t, template, "labels", "label"),
			wantError: `unknown field "spec.template.metadata.label"`},
		{name: "own kind with a fraction", definitions: ownKind, object: ssh, replace: "number: 22", by: "number: 22.5",
			wantError: "spec.number in body must be of type integer"},
		{name: "own kind with a wrong status", definitions: ownKind, object: ssh + "status: {ready: yes please}\n",
			wantError: "status.ready in body must be of type boolean"},
		{name: "own kind in a version that is not served", definitions: ownKind, object: ssh, replace: "dev/v1", by: "dev/v1alpha1",
			wantError: `version "v1alpha1" is not served, only ["v1"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parseObject(t, edit(t, test.object, test.replace, test.by))
			before := object.DeepCopy()
			wantError(t, test.definitions(t).Validate(object), test.wantError)
			if got, want := toYAML(t, object), toYAML(t, before); got != want {
				t.Errorf("the object was changed to\n%s", got)
			}
		})
	}
}

// TestValidateGoIntegers: an object that Go code made has integers of other
// types than int64.
func TestValidateGoIntegers(t *testing.T) {
	object := parseObject(t, ssh)
	object.Object["spec"].(map[string]any)["number"] = int(22)
	wantError(t, ownKind(t).Validate(object), "")
}

func TestValidateUpdate(t *testing.T) {
	for _, test := range []struct {
		name        string
		old         string
		replace, by string // in old
		wantError   string
	}{
		{name: "nothing", old: ssh},
		{name: "what may change", old: ssh, replace: "number: 22", by: "number: 23"},
		{name: "what is immutable", old: ssh, replace: "a.example.com", by: "b.example.com",
			wantError: `spec.host: Invalid value: "b.example.com": host is immutable`},
		{name: "to something invalid", old: ssh, replace: "number: 22", by: "number: 70000",
			wantError: "spec.number: Invalid value: 70000: number is too big"},
		{name: "to an unknown field", old: ssh, replace: "number: 22", by: "numbr: 22",
			wantError: `unknown field "spec.numbr"`},
		{name: "a broken rule elsewhere", old: edit(t, ssh, "number: 22", "number: 70000"), replace: "metadata: {", by: "metadata: {labels: {a: b}, "},
		{name: "the name", old: ssh, replace: "name: ssh", by: "name: ssl",
			wantError: "metadata.name: Invalid value"},
		{name: "the kind", old: ssh, replace: "kind: Port", by: "kind: Prt",
			wantError: "an update cannot turn test.baleen.dev/v1, Kind=Port into test.baleen.dev/v1, Kind=Prt"},
		{name: "metadata of the server left out", replace: serverMetadata, by: "metadata: {",
			old: edit(t, ssh, "metadata: {", serverMetadata)},
		{name: "an unknown field that was stored before", old: edit(t, ssh, "metadata: {", "metadata: {label: {}, "), replace: "label: {}, ", by: ""},
		{name: "metadata of the server as Go marshals it when empty", replace: serverMetadata, by: "metadata: {creationTimestamp: null, ",
			old: edit(t, ssh, "metadata: {", serverMetadata)},
		{name: "metadata of the server changed", replace: "uid: a", by: "uid: b",
			old:       edit(t, ssh, "metadata: {", serverMetadata),
			wantError: "metadata.uid: Invalid value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := parseObject(t, test.old)
			updated := parseObject(t, edit(t, test.old, test.replace, test.by))
			wantError(t, ownKind(t).ValidateUpdate(old, updated), test.wantError)
		})
	}
}

// template is an embedded object, whose own fields are not in the schema.
const template = "template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {a: b}}, data: {}}"

// serverMetadata is what an object that was stored has.
const serverMetadata = `metadata: {uid: a, resourceVersion: "7", generation: 3, creationTimestamp: "2026-01-02T03:04:05Z", `

func TestDefault(t *testing.T) {
	object := parseObject(t, edit(t, ssh, "spec: {host: a.example.com, number: 22}", ""))
	if err := ownKind(t).Default(object); err != nil {
		t.Fatal(err)
	}
	number, found, err := unstructured.NestedInt64(object.Object, "spec", "number")
	if number != 443 || !found || err != nil {
		t.Errorf("spec.number = %d, %t, %v", number, found, err)
	}
	protocol, _, _ := unstructured.NestedString(object.Object, "spec", "protocol")
	if protocol != "TCP" {
		t.Errorf("spec.protocol = %q", protocol)
	}
	object = parseObject(t, ssh)
	if err := ownKind(t).Default(object); err != nil {
		t.Fatal(err)
	}
	if number, _, _ := unstructured.NestedInt64(object.Object, "spec", "number"); number != 22 {
		t.Errorf("a number that was given became %d", number)
	}
	object.SetKind("Prt")
	wantError(t, ownKind(t).Default(object), "no definition of kind Prt.test.baleen.dev")
}

func TestDefaultOfARealKind(t *testing.T) {
	object := parseObject(t, httpRoute)
	if err := GatewayAPI(t).Default(object); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"type: PathPrefix", "weight: 1", "kind: Service", "kind: Gateway"} {
		if got := toYAML(t, object); !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestCheck(t *testing.T) {
	wantError(t, Merge(ownKind(t), NGINXGatewayFabric(t)).Check(), "")
	for _, test := range []struct{ name, replace, by, wantError string }{
		{"a rule that does not compile", "self < 65536", "this < 65536", "undeclared reference to 'this'"},
		{"a rule on the wrong type", "self < 65536", "self < '65536'", "found no matching overload"},
		{"a rule that may cost too much", "host: {type: string, maxLength: 63, x-kubernetes-validations: [{rule: self == oldSelf, message: host is immutable}]}",
			"hosts: {type: array, items: {type: string}, x-kubernetes-validations: [{rule: 'self.all(a, self.exists_one(b, a == b))'}]}",
			"estimated rule cost exceeds budget"},
		{"a default that its schema refuses", "default: TCP", "default: SCTP", "Too long: may not be more than 3 bytes"},
		{"a default that a rule refuses", "default: 443", "default: 65536", "number is too big"},
		{"a rule that relies on a default within a default", "default: {}", "default: {}\n            x-kubernetes-validations: [{rule: self.number < 65536}]",
			"no such key: number"},
		{"a schema that is not structural", "number: {type: integer, ", "number: {", "Required value: must not be empty"},
		{"a name that does not fit", "metadata: {name: ports.", "metadata: {name: port.", `must be spec.names.plural+"."+spec.group`},
		{"two versions to store", "storage: false", "storage: true", "must have exactly one version marked as storage version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantError(t, Load(t, []byte(edit(t, port, test.replace, test.by))).Check(), test.wantError)
		})
	}
}

// TestCheckPublished: what others publish is accepted, which also shows that
// Check does not refuse more than an API server would.
func TestCheckPublished(t *testing.T) {
	for name, definitions := range map[string]func(testing.TB) *Definitions{
		"GatewayAPI": GatewayAPI, "Traefik": Traefik, "EnvoyGateway": EnvoyGateway, "Kratix": Kratix, "SealedSecrets": SealedSecrets,
	} {
		t.Run(name, func(t *testing.T) { wantError(t, definitions(t).Check(), "") })
	}
}

func TestParseIsStrict(t *testing.T) {
	_, err := parse([]byte(edit(t, port, "maxLength: 3", "maxLenght: 3")))
	wantError(t, err, `unknown field "spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.protocol.maxLenght"`)
	_, err = parse([]byte("kind: {{ .Values.kind }"))
	wantError(t, err, "yaml")
}

func TestParseSkipsOtherKinds(t *testing.T) {
	documents := "# nothing but a comment\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---" + port
	definitions, err := parse([]byte(documents))
	if err != nil || len(definitions.kinds) != 1 {
		t.Fatalf("%v, %v", definitions, err)
	}
}

func TestMerge(t *testing.T) {
	both := Merge(ownKind(t), GatewayAPI(t))
	wantError(t, both.Validate(parseObject(t, ssh)), "")
	wantError(t, both.Validate(parseObject(t, httpRoute)), "")
	wider := Load(t, []byte(edit(t, port, "self < 65536", "self < 65537")))
	big := parseObject(t, edit(t, ssh, "number: 22", "number: 65536"))
	wantError(t, Merge(ownKind(t), wider).Validate(big), "")
	wantError(t, Merge(wider, ownKind(t)).Validate(big), "number is too big")
}

func TestReadModule(t *testing.T) {
	_, err := readModule("sigs.k8s.io/gateway-api", "v1.6.3", []string{"config/crd/standard/*.yaml", "config/crd/standard/*.yml"})
	wantError(t, err, "module sigs.k8s.io/gateway-api@v1.6.3: no CustomResourceDefinition in config/crd/standard/*.yml")
	_, err = readModule("sigs.k8s.io/gateway-api", "not a version", nil)
	wantError(t, err, "go mod download sigs.k8s.io/gateway-api@not a version: ")
	if once, again := GatewayAPI(t), GatewayAPI(t); once != again {
		t.Error("the same module was read twice")
	}
}

// wantError compares an error with a part of its text, or with none if that is
// empty.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != "" && err == nil:
		t.Errorf("no error, want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("error is\n%v\nwant %q", err, want)
	}
}

// edit replaces the first occurrence of old, which must be there, in the text.
func edit(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in\n%s", old, text)
	}
	return strings.Replace(text, old, replacement, 1)
}

func parseObject(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	return object
}

func toYAML(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
