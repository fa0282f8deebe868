package pipelines_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/promises"
	target "github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
	account "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	user "github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
	system "github.com/baleen-platform/baleen/promises/system/v1alpha1"
	workload "github.com/baleen-platform/baleen/promises/workload/v1alpha1"
)

// row is a spec and what is to be said of it.
type row struct {
	// spec holds fields in place of those of a spec that is good; null takes one away.
	spec string
	// want is a word of the binary's refusal; empty for a good spec.
	want string
	// only says why the CRD alone, or the binary alone, refuses it.
	only string
}

// Why one of the two cannot refuse.
const (
	crdAbsent      = "CRD only: to the binary this is the same as the field left out, and does no harm"
	binaryKeys     = "binary only: the CRD compares the paths as they are written"
	binaryUTF8     = "binary only: CEL does not decode"
	binarySelector = "binary only: the schema of label selectors is Kubernetes' own, and has no rules"
	binaryNull     = "binary only: an API server leaves such an entry out before it looks"
	binaryAddress  = "binary only: a pattern cannot tell every address"
)

const (
	goodTarget     = `{aggregatorRef: {name: a}, backends: [{service: s, port: 80}], paths: [{path: /a}]}`
	goodAggregator = `{hostname: api.example.com, tls: {clusterIssuer: a}, gateway: {className: a, implementation: Traefik, namespace: a}}`
)

func many(n int, text string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(strings.ReplaceAll(text, "#", "%[1]d"), i))
	}
	return strings.Join(list, ", ")
}

// path is a list of one path.
func path(value string) string { return fmt.Sprintf("paths: [{path: %q}]", value) }

var (
	x = strings.Repeat // reads as a length

	targetRows = []row{
		{spec: "{}"},
		{spec: "unknown: 1", want: `"spec.unknown"`},
		{spec: "Timeout: 1s", want: `"spec.Timeout"`},

		{spec: "aggregatorRef: null", want: "spec.aggregatorRef.name is missing"},
		{spec: "aggregatorRef: {}", want: "spec.aggregatorRef.name is missing"},
		{spec: "aggregatorRef: a", want: "spec.aggregatorRef must be a map"},
		{spec: "aggregatorRef: {name: ''}", want: "spec.aggregatorRef.name is missing"},
		{spec: "aggregatorRef: {name: 7}", want: "spec.aggregatorRef.name must be text"},
		{spec: "aggregatorRef: {name: a.b}"},
		{spec: "aggregatorRef: {name: a..b}", want: "spec.aggregatorRef.name"},
		{spec: "aggregatorRef: {name: -a}", want: "spec.aggregatorRef.name"},
		{spec: "aggregatorRef: {name: " + x("a", 63) + "}"},
		{spec: "aggregatorRef: {name: " + x("a", 64) + "}", want: "spec.aggregatorRef.name"},
		{spec: "aggregatorRef: {name: a, namespace: b}"},
		{spec: "aggregatorRef: {name: a, namespace: ''}"},
		{spec: "aggregatorRef: {name: a, namespace: b.c}", want: "spec.aggregatorRef.namespace"},
		{spec: "aggregatorRef: {name: a, namespace: " + x("a", 64) + "}", want: "spec.aggregatorRef.namespace"},
		{spec: "aggregatorRef: {name: a, kind: b}", want: `"spec.aggregatorRef.kind"`},

		{spec: "backends: null", want: "spec.backends"},
		{spec: "backends: []", want: "spec.backends has 0 entries"},
		{spec: "backends: {service: s, port: 80}", want: "spec.backends must be a list"},
		{spec: "backends: [null]", want: "spec.backends[0] must be a map, not null"},
		{spec: "backends: [{port: 80}]", want: "spec.backends.service is missing"},
		{spec: "backends: [{service: '', port: 80}]", want: "spec.backends.service is missing"},
		{spec: "backends: [{service: s}]", want: "spec.backends.port"},
		{spec: "backends: [{service: 1s, port: 80}]"},
		{spec: "backends: [{service: -s, port: 80}]", want: "spec.backends.service"},
		{spec: "backends: [{service: s.t, port: 80}]", want: "spec.backends.service"},
		{spec: "backends: [{service: " + x("s", 63) + ", port: 80}]"},
		{spec: "backends: [{service: " + x("s", 64) + ", port: 80}]", want: "spec.backends.service"},
		{spec: "backends: [{service: s, port: 0}]", want: "spec.backends.port 0"},
		{spec: "backends: [{service: s, port: 1}]"},
		{spec: "backends: [{service: s, port: 65535}]"},
		{spec: "backends: [{service: s, port: 65536}]", want: "spec.backends.port 65536"},
		{spec: "backends: [{service: s, port: 99999999999}]", want: "spec.backends[0].port 99999999999 is far out of range"},
		{spec: "backends: [{service: s, port: 80.5}]", want: "spec.backends[0].port must be a whole number"},
		{spec: "backends: [{service: s, port: '80'}]", want: "spec.backends[0].port must be a whole number, not text"},
		{spec: "backends: [{service: s, port: yes}]", want: "spec.backends[0].port must be a whole number"},
		{spec: "backends: [{service: s, port: 1e3}]"},
		{spec: "backends: [{service: s, port: 80, weight: null}]"},
		{spec: "backends: [{service: s, port: 80, weight: 0}]", want: "weight"},
		{spec: "backends: [{service: s, port: 80, weight: 0}, {service: t, port: 80}]"},
		{spec: "backends: [{service: s, port: 80, weight: -1}]", want: "spec.backends.weight -1"},
		{spec: "backends: [{service: s, port: 80, weight: 1000000}]"},
		{spec: "backends: [{service: s, port: 80, weight: 1000001}]", want: "spec.backends.weight 1000001"},
		{spec: "backends: [{service: s, port: 80}, {service: s, port: 81}]"},
		{spec: "backends: [{service: s, port: 80}, {service: s, port: 80}]", want: "twice"},
		{spec: "backends: [" + many(16, "{service: s, port: 8#}") + "]"},
		{spec: "backends: [" + many(17, "{service: s, port: 8#}") + "]", want: "spec.backends has 17 entries"},
		{spec: "backends: [{service: s, port: 80, namespace: other}]", want: `"spec.backends[0].namespace"`},

		{spec: "paths: null", want: "spec.paths"},
		{spec: "paths: []", want: "spec.paths has 0 entries"},
		{spec: "paths: [/a]", want: "spec.paths[0] must be a map"},
		{spec: "paths: [{type: Exact}]", want: "spec.paths"},
		{spec: path(""), want: "must begin with /"},
		{spec: path("/")},
		{spec: path("a"), want: "must begin with /"},
		{spec: path("/a/b.c/..d/~e;f,g:h@i!$&'()*+=_-")},
		{spec: path("//"), want: "//"},
		{spec: path("/a//b"), want: "//"},
		{spec: path("/a/./b"), want: "segment"},
		{spec: path("/a/."), want: "segment"},
		{spec: path("/a/../b"), want: "segment"},
		{spec: path("/.."), want: "segment"},
		{spec: path("/%2e%2E/b"), want: "segment"},
		{spec: path("/a/.%2e"), want: "segment"},
		{spec: path("/a%2fb"), want: "%2f"},
		{spec: path("/a%5Cb"), want: "%5C"},
		{spec: path("/a%25b"), want: "%25"},
		{spec: path("/a%23b"), want: "%23"},
		{spec: path("/a%3fb"), want: "%3f"},
		{spec: path("/a%0ab"), want: "%0a"},
		{spec: path("/a%7Fb"), want: "%7F"},
		{spec: path("/a%zz"), want: "character"},
		{spec: path("/caf%C3%A9")},
		{spec: path("/caf%E9"), want: "UTF-8", only: binaryUTF8},
		{spec: path("/a%C2%85"), want: "invisible character U+0085", only: binaryUTF8},
		{spec: path("/a%E2%80%8B"), want: "invisible character U+200B", only: binaryUTF8},
		{spec: path("/é"), want: "character"},
		{spec: path("/a#b"), want: "character"},
		{spec: path("/a?b"), want: "character"},
		{spec: path("/a b"), want: "character"},
		{spec: path("/users/{id}/orders"), want: "contains { or }: paths have no templates and no regular expressions"},
		{spec: path("/a}"), want: "contains { or }"},
		{spec: "paths: [{path: /a, rewritePrefix: '/{b}'}]", want: "contains { or }"},
		{spec: path("/a\\b"), want: "character"},
		{spec: path("/a\n---\nkind: ClusterRoleBinding"), want: "character"},
		{spec: path("/a\n"), want: "character"},
		{spec: path("/a\x00"), want: "character"},
		{spec: path("/a\u0085"), want: "character"},
		{spec: path(x("/a", 32))},
		{spec: path(x("/a", 33)), want: "33 segments"},
		{spec: path("/" + x("a", 1023))},
		{spec: path("/" + x("a", 1024)), want: "1025 bytes"},
		{spec: path("/" + x("a", 1999)), want: "2000 bytes"},
		{spec: path("/a/"), want: "must not end with /"},
		{spec: "paths: [{path: /a/, type: Exact}]"},
		{spec: "paths: [" + many(64, "{path: /#}") + "]"},
		{spec: "paths: [" + many(65, "{path: /#}") + "]", want: "spec.paths has 65 entries"},
		{spec: "paths: [{path: /a}, {path: /a}]", want: "one path"},
		{spec: "paths: [{path: /a}, {path: /a, type: Exact}]", want: "one path"},
		{spec: "paths: [{path: /a}, {path: /%61}]", want: "one path", only: binaryKeys},
		{spec: "paths: [{path: /a}, {path: /a/, type: Exact}]", want: "one path", only: binaryKeys},
		{spec: "paths: [{path: /a;b}, {path: /a%3Bb}]", want: "one path", only: binaryKeys},
		{spec: "paths: [{path: /a, type: Prefix}]"},
		{spec: "paths: [{path: /a, type: null}]"},
		{spec: "paths: [{path: /a, type: exact}]", want: `the type "exact"`},
		{spec: "paths: [{path: /a, type: RegularExpression}]", want: `the type "RegularExpression" of "/a" is not offered`},
		{spec: "paths: [{path: /a, type: ''}]", want: "type", only: crdAbsent},
		{spec: "paths: [{path: /a, methods: [GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH]}]"},
		{spec: "paths: [{path: /a, methods: []}]", want: "spec.paths[0].methods names no methods: leave it out for all"},
		{spec: "paths: [{path: /a, methods: GET}]", want: "spec.paths[0].methods must be a list"},
		{spec: "paths: [{path: /a, methods: [get]}]", want: `the method "get"`},
		{spec: "paths: [{path: /a, methods: [GET, GET]}]", want: `"GET" of "/a" is there twice`},
		{spec: "paths: [{path: /a, methods: [GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH, LINK]}]", want: "LINK"},
		{spec: "paths: [{path: /a, rewritePrefix: /}]"},
		{spec: "paths: [{path: /a, rewritePrefix: ''}]", want: "rewritePrefix", only: crdAbsent},
		{spec: "paths: [{path: /a, rewritePrefix: b}]", want: "rewritePrefix"},
		{spec: "paths: [{path: /a, rewritePrefix: /b//c}]", want: "rewritePrefix"},
		{spec: "paths: [{path: /a, rewritePrefix: /b/../c}]", want: "rewritePrefix"},
		{spec: "paths: [{path: /a, rewritePrefix: /%2e%2e}]", want: "rewritePrefix"},
		{spec: "paths: [{path: /a, rewritePrefix: /b%2Fc}]", want: "rewritePrefix"},
		{spec: "paths: [{path: /a, rewritePrefix: '/b#'}]", want: "rewritePrefix"},
		{spec: "paths: [{path: /a, rewritePrefix: " + x("/b", 33) + "}]", want: "33 segments"},
		{spec: "paths: [{path: /a, rewritePrefix: /" + x("b", 1024) + "}]", want: "rewritePrefix"},
		{spec: "paths: [{path: /a, type: Exact, rewritePrefix: /}]", want: "type: Prefix only"},
		{spec: "paths: [{path: /a, allowNested: true}]"},
		{spec: "paths: [{path: /a, allowNested: 'true'}]", want: "spec.paths[0].allowNested must be true or false, not text"},
		{spec: "paths: [{path: /a, type: Exact, allowNested: false}]"},
		{spec: "paths: [{path: /a, type: Exact, allowNested: true}]", want: "type: Prefix only"},
		{spec: "paths: [{path: /a, maxRequestBodySize: 999999999Gi}]"},
		{spec: "paths: [{path: /a, maxRequestBodySize: 1k}]"},
		{spec: "paths: [{path: /a, maxRequestBodySize: '0'}]", want: "not a size"},
		{spec: "paths: [{path: /a, maxRequestBodySize: ''}]", want: "size", only: crdAbsent},
		{spec: "paths: [{path: /a, maxRequestBodySize: 10MB}]", want: "not a size"},
		{spec: "paths: [{path: /a, maxRequestBodySize: 1.5Mi}]", want: "not a size"},
		{spec: "paths: [{path: /a, maxRequestBodySize: 1e3Mi}]", want: "not a size"},
		{spec: "paths: [{path: /a, maxRequestBodySize: 1000000000Mi}]", want: "not a size"},
		{spec: "paths: [{path: /a, maxRequestBodySize: 10000000000Mi}]", want: "not a size"},
		{spec: "paths: [{path: /a, maxRequestBodySize: 1024}]", want: "must be text"},
		{spec: "paths: [{path: /a, hosts: [b]}]", want: `"spec.paths[0].hosts"`},

		{spec: "timeout: 30s"},
		{spec: "timeout: 1h30m15s500ms"},
		{spec: "timeout: null"},
		{spec: "timeout: ''", want: "spec.timeout", only: crdAbsent},
		{spec: "timeout: 30", want: "spec.timeout must be text"},
		{spec: "timeout: '30'", want: "spec.timeout"},
		{spec: "timeout: 1.5s", want: "spec.timeout"},
		{spec: "timeout: 100000s", want: "spec.timeout"},
		{spec: "timeout: 1h1m1s1ms1h", want: "spec.timeout"},
		{spec: "timeout: 99999ms99999ms99999ms99999ms99999ms", want: "spec.timeout"},

		{spec: "requestHeaders: {}"},
		{spec: "requestHeaders: {set: {X-A: a b}, remove: [X-B]}"},
		{spec: "requestHeaders: {add: {X-A: a}}", want: `"spec.requestHeaders.add"`},
		{spec: "requestHeaders: {set: {X-A: 'yes', X-B: '0o7', X-C: '1e3'}}"},
		{spec: "requestHeaders: {set: {X-A: yes}}", want: `spec.requestHeaders.set["X-A"] must be text, not true`},
		{spec: "requestHeaders: {set: {X-A: null}}", want: "not null", only: binaryNull},
		{spec: "requestHeaders: {set: null}"},
		{spec: "requestHeaders: {remove: [null]}", want: "spec.requestHeaders.remove[0] must be text, not null"},
		{spec: "requestHeaders: {set: {X-A: ''}}", want: "printable ASCII"},
		{spec: "requestHeaders: {set: {X-A: ' a'}}", want: "printable ASCII"},
		{spec: "requestHeaders: {set: {X-A: " + x("a", 512) + "}}"},
		{spec: "requestHeaders: {set: {X-A: " + x("a", 513) + "}}", want: "512"},
		{spec: `requestHeaders: {set: {X-A: "a\n---\nkind: ClusterRoleBinding"}}`, want: "printable ASCII"},
		{spec: `requestHeaders: {set: {X-A: "a\u0085b"}}`, want: "printable ASCII"},
		{spec: "requestHeaders: {set: {'X A': a}}", want: "name of a header"},
		{spec: "requestHeaders: {set: {'': a}}", want: "name of a header"},
		{spec: `requestHeaders: {set: {"a\n---\n": a}}`, want: "name of a header"},
		{spec: "requestHeaders: {set: {" + x("a", 256) + ": a}}"},
		{spec: "requestHeaders: {set: {? " + x("a", 257) + " : a}}", want: "name of a header"},
		{spec: "requestHeaders: {set: {X-A: a, x-a: b}}", want: "twice"},
		{spec: "requestHeaders: {set: {" + many(16, "X-#: a") + "}}"},
		{spec: "requestHeaders: {set: {" + many(17, "X-#: a") + "}}", want: "at most 16"},
		{spec: "requestHeaders: {remove: ['X A']}", want: "name of a header"},
		{spec: "requestHeaders: {remove: ['']}", want: "name of a header"},
		{spec: "requestHeaders: {remove: [" + x("a", 257) + "]}", want: "name of a header"},
		{spec: "requestHeaders: {remove: [X-A, X-A]}", want: "twice"},
		{spec: "requestHeaders: {remove: [X-A, x-a]}", want: "twice"},
		{spec: "requestHeaders: {remove: [" + many(16, "X-#") + "]}"},
		{spec: "requestHeaders: {remove: [" + many(17, "X-#") + "]}", want: "at most 16"},
		{spec: "requestHeaders: {set: {X-A: a}, remove: [x-a]}", want: "twice"},

		{spec: "workloadNamespace: a"},
		{spec: "workloadNamespace: ''"},
		{spec: "workloadNamespace: A", want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: a.b", want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: " + x("a", 64), want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: [a]", want: "spec.workloadNamespace must be text, not a list"},
	}

	aggregatorRows = []row{
		{spec: "{}"},
		{spec: "unknown: 1", want: `"spec.unknown"`},
		{spec: "hostName: a", want: `"spec.hostName"`},

		{spec: "hostname: null", want: "spec.hostname is missing"},
		{spec: "hostname: ''", want: "spec.hostname is missing"},
		{spec: "hostname: 7", want: "spec.hostname must be text"},
		{spec: "hostname: localhost"},
		{spec: "hostname: xn--bcher-kva.example"},
		{spec: "hostname: API.example.com", want: "spec.hostname"},
		{spec: "hostname: '*.example.com'", want: "spec.hostname"},
		{spec: "hostname: api.example.com.", want: "spec.hostname"},
		{spec: "hostname: .example.com", want: "spec.hostname"},
		{spec: "hostname: api..com", want: "spec.hostname"},
		{spec: "hostname: api_v1.example.com", want: "spec.hostname"},
		{spec: "hostname: -a.example.com", want: "spec.hostname"},
		{spec: "hostname: a-.example.com", want: "spec.hostname"},
		{spec: "hostname: 'api.example.com:443'", want: "spec.hostname"},
		{spec: "hostname: 'https://api.example.com'", want: "spec.hostname"},
		{spec: "hostname: bücher.example", want: "spec.hostname"},
		{spec: "hostname: 192.0.2.1", want: "spec.hostname"},
		{spec: "hostname: '1234'", want: "spec.hostname"},
		{spec: "hostname: '::1'", want: "spec.hostname"},
		{spec: `hostname: "a\n---\nkind: ClusterRoleBinding"`, want: "spec.hostname"},
		{spec: `hostname: "a\u0085b"`, want: "spec.hostname"},
		{spec: "hostname: " + x("a", 63) + ".b"},
		{spec: "hostname: " + x("a", 64) + ".b", want: "spec.hostname"},
		{spec: "hostname: " + x("a.", 126) + "a"},
		{spec: "hostname: " + x("a.", 126) + "aa", want: "at most 253 characters"},

		{spec: "tls: null", want: "spec.tls is missing"},
		{spec: "tls: {}", want: "spec.tls needs exactly one"},
		{spec: "tls: {secretName: a}"},
		{spec: "tls: {clusterIssuer: a.b}"},
		{spec: "tls: {clusterIssuer: a, secretName: a}", want: "spec.tls needs exactly one"},
		{spec: "tls: {clusterIssuer: A}", want: "spec.tls.clusterIssuer"},
		{spec: "tls: {secretName: a..b}", want: "spec.tls.secretName"},
		{spec: "tls: {clusterIssuer: ''}", want: "spec.tls needs exactly one"},
		{spec: "tls: {secretName: ''}", want: "spec.tls needs exactly one"},
		{spec: "tls: {clusterIssuer: " + x("a", 253) + "}"},
		{spec: "tls: {clusterIssuer: " + x("a", 254) + "}", want: "spec.tls.clusterIssuer"},
		{spec: "tls: {secretName: " + x("a", 254) + "}", want: "spec.tls.secretName"},
		{spec: "tls: {issuer: a}", want: `"spec.tls.issuer"`},

		{spec: "gateway: null", want: "spec.gateway"},
		{spec: "gateway: {className: a}", want: "spec.gateway.namespace is missing"},
		{spec: "gateway: {className: a, namespace: ''}", want: "spec.gateway.namespace is missing"},
		{spec: "gateway: {className: a, namespace: a.b}", want: "spec.gateway.namespace"},
		{spec: "gateway: {className: a, namespace: " + x("a", 64) + "}", want: "spec.gateway.namespace"},
		{spec: "gateway: {className: a, namespace: a, closingNamespace: ''}"},
		{spec: "gateway: {className: a, namespace: a, closingNamespace: b}"},
		{spec: "gateway: {className: a, namespace: a, closingNamespace: a.b}", want: "spec.gateway.closingNamespace"},
		{spec: "gateway: {className: a, namespace: a, closingNamespace: " + x("a", 64) + "}", want: "spec.gateway.closingNamespace"},
		{spec: "gateway: {namespace: a}", want: "spec.gateway.className is missing"},
		{spec: "gateway: {className: '', namespace: a}", want: "spec.gateway.className is missing"},
		{spec: "gateway: {className: A, namespace: a}", want: "spec.gateway.className"},
		{spec: "gateway: {className: " + x("a", 254) + ", namespace: a}", want: "spec.gateway.className"},
		{spec: "gateway: {className: a, namespace: a}"},
		{spec: "gateway: {className: a, namespace: a, implementation: EnvoyGateway}"},
		{spec: "gateway: {className: a, namespace: a, implementation: NGINXGatewayFabric}"},
		{spec: "gateway: {className: a, namespace: a, implementation: traefik}", want: `spec.gateway.implementation "traefik"`},
		{spec: "gateway: {className: a, namespace: a, implementation: null}"},
		{spec: "gateway: {className: a, namespace: a, implementation: ''}", want: "implementation", only: crdAbsent},
		{spec: "{tls: null, gateway: {name: a, namespace: a}}"},
		{spec: "gateway: {className: a, name: '', namespace: a}"},
		{spec: "gateway: {name: a, namespace: a}", want: "spec.tls is refused"},
		{spec: "{tls: null, gateway: {name: A, namespace: a}}", want: "spec.gateway.name"},
		{spec: "{tls: null, gateway: {name: " + x("a", 254) + ", namespace: a}}", want: "spec.gateway.name"},
		{spec: "{tls: null, gateway: {name: a, className: a, namespace: a}}", want: "className, ports and allowedRoutes"},
		{spec: "{tls: null, gateway: {name: a, ports: {https: 8443}, namespace: a}}", want: "className, ports and allowedRoutes"},
		{spec: "{tls: null, gateway: {name: a, allowedRoutes: {}, namespace: a}}", want: "className, ports and allowedRoutes"},
		{spec: "{tls: null, gateway: {name: a, listeners: {https: b}, namespace: a}}"},
		{spec: "{tls: null, dns: {target: a}, gateway: {name: a, namespace: a}}", want: "spec.dns.target is refused"},
		{spec: "{tls: null, dns: {enabled: false}, gateway: {name: a, namespace: a}}"},
		{spec: "{tls: null, perDestination: [{name: a, tls: {secretName: a}}], gateway: {name: a, namespace: a}}", want: "spec.perDestination is refused"},
		{spec: "{tls: null, perDestination: [], gateway: {name: a, namespace: a}}"},

		{spec: gateway("listeners: {}")},
		{spec: gateway("listeners: {https: a.b, http: c}")},
		{spec: gateway("listeners: {https: ''}"), want: "listeners", only: crdAbsent},
		{spec: gateway("listeners: {http: ''}"), want: "listeners", only: crdAbsent},
		{spec: gateway("listeners: {https: A}"), want: "spec.gateway.listeners.https"},
		{spec: gateway("listeners: {http: A}"), want: "spec.gateway.listeners.http "},
		{spec: gateway("listeners: {https: " + x("a", 254) + "}"), want: "spec.gateway.listeners.https"},
		{spec: gateway("listeners: {http: " + x("a", 254) + "}"), want: "spec.gateway.listeners.http "},
		{spec: gateway("listeners: {https: a, http: a}"), want: "one name for both"},
		{spec: gateway("listeners: {https: http}"), want: "one name for both"},
		{spec: gateway("ports: {}")},
		{spec: gateway("ports: {https: 8443, http: 8080}")},
		{spec: gateway("ports: {https: 65535, http: 1}")},
		{spec: gateway("ports: {https: 0}"), want: "port", only: crdAbsent},
		{spec: gateway("ports: {http: 0}"), want: "port", only: crdAbsent},
		{spec: gateway("ports: {https: -1}"), want: "spec.gateway.ports: -1"},
		{spec: gateway("ports: {https: 65536}"), want: "spec.gateway.ports: 65536"},
		{spec: gateway("ports: {http: 65536}"), want: "spec.gateway.ports: 65536"},
		{spec: gateway("ports: {https: 80}"), want: "one port for both"},
		{spec: gateway("ports: {https: 8443, http: 8443}"), want: "one port for both"},
		{spec: gateway("ports: {https: '443'}"), want: "spec.gateway.ports.https must be a whole number"},
		{spec: gateway("allowedRoutes: {}")},
		{spec: gateway("allowedRoutes: {from: All}")},
		{spec: gateway("allowedRoutes: {from: Same}"), want: `spec.gateway.allowedRoutes.from "Same"`},
		{spec: gateway("allowedRoutes: {from: Selector}"), want: "selector"},
		{spec: gateway("allowedRoutes: {selector: {}}"), want: "selector"},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {}}")},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {matchLabels: {a: b}}}")},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {matchLabels: {a: 'b c'}}}"), want: "selector", only: binarySelector},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {matchExpressions: [{key: a, operator: Exists}]}}")},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {matchExpressions: [{key: a}]}}"), want: "the operator In"},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {matchExpressions: [{operator: Exists}]}}"), want: "the key must"},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {matchExpressions: [{key: a, operator: Is}]}}"), want: "selector", only: binarySelector},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {matchLabels: {a: null}}}"), want: "not null", only: binaryNull},
		{spec: gateway("allowedRoutes: {from: Selector, selector: {labels: {a: b}}}"), want: `"spec.gateway.allowedRoutes.selector.labels"`},

		{spec: "httpRedirect: false"},
		{spec: "httpRedirect: null"},
		{spec: "httpRedirect: 'false'", want: "spec.httpRedirect must be true or false, not text"},
		{spec: "httpRedirect: 0", want: "spec.httpRedirect must be true or false"},

		{spec: "requestBody: {}"},
		{spec: "requestBody: {default: 1Mi, max: 1048576k}"},
		{spec: "requestBody: {default: 1Mi}"},
		{spec: "requestBody: {default: 1Mi, max: 1Mi}"},
		{spec: "requestBody: {default: 1Mi, max: 1M}", want: "is above spec.requestBody.max"},
		{spec: "requestBody: {default: 1Gi, max: 100Mi}", want: "is above spec.requestBody.max"},
		{spec: "requestBody: {default: '0'}", want: "spec.requestBody.default"},
		{spec: "requestBody: {max: unlimited}", want: "spec.requestBody.max"},
		{spec: "requestBody: {max: 1000000000Mi}", want: "spec.requestBody.max"},
		{spec: "requestBody: {max: 10000000000Mi}", want: "spec.requestBody.max"},
		{spec: "requestBody: {default: 10000000000Mi}", want: "spec.requestBody.default"},
		{spec: "requestBody: {max: 10}", want: "spec.requestBody.max must be text"},
		{spec: "{gateway: {className: a, namespace: a}, requestBody: {}}", want: "implementation Standard"},
		{spec: "{gateway: {className: a, namespace: a, implementation: Standard}, requestBody: {max: 1Mi}}", want: "implementation Standard"},

		{spec: "allowedNamespaces: []"},
		{spec: "allowedNamespaces: ['*', team-a, 'team-*']"},
		{spec: "allowedNamespaces: [null]", want: "spec.allowedNamespaces[0] must be text, not null"},
		{spec: "allowedNamespaces: [null, 7, x]", want: "[0] must be text, not null; spec.allowedNamespaces[1] must be text, not 7: put quotes around it"},
		{spec: "allowedNamespaces: team-a", want: "spec.allowedNamespaces must be a list, not text"},
		{spec: "allowedNamespaces: [Team]", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: ['']", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: ['team-?']", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: ['team-[ab]']", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: [team-]", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: [" + x("a", 64) + "]", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: [a, a]", want: "twice"},
		{spec: "allowedNamespaces: [" + many(64, "n#") + "]"},
		{spec: "allowedNamespaces: [" + many(65, "n#") + "]", want: "spec.allowedNamespaces has 65 entries"},

		{spec: "delegations: [{prefix: /a, namespaces: [a, 'b-*']}, {prefix: /a/b, namespaces: [b]}]"},
		{spec: "delegations: [{prefix: /, namespaces: [a]}]"},
		{spec: "delegations: [{namespaces: [a]}]", want: "the prefix"},
		{spec: "delegations: [{prefix: '', namespaces: [a]}]", want: "the prefix"},
		{spec: "delegations: [{prefix: a, namespaces: [a]}]", want: "must begin with /"},
		{spec: "delegations: [{prefix: /a//b, namespaces: [a]}]", want: "//"},
		{spec: "delegations: [{prefix: /a/../b, namespaces: [a]}]", want: "segment"},
		{spec: "delegations: [{prefix: /%2e%2e, namespaces: [a]}]", want: "segment"},
		{spec: "delegations: [{prefix: /a%2Fb, namespaces: [a]}]", want: "%2F"},
		{spec: "delegations: [{prefix: '/a b', namespaces: [a]}]", want: "character"},
		{spec: "delegations: [{prefix: '/a{b}', namespaces: [a]}]", want: "contains { or }"},
		{spec: "delegations: [{prefix: '/a?b', namespaces: [a]}]", want: "no path may have"},
		{spec: "delegations: [{prefix: " + x("/a", 33) + ", namespaces: [a]}]", want: "33 segments"},
		{spec: "delegations: [{prefix: /" + x("a", 1024) + ", namespaces: [a]}]", want: "1025 bytes"},
		{spec: "delegations: [{prefix: /a, namespaces: [a]}, {prefix: /a, namespaces: [b]}]", want: "twice"},
		{spec: "delegations: [{prefix: /a, namespaces: [a]}, {prefix: /a/, namespaces: [b]}]", want: "twice", only: binaryKeys},
		{spec: "delegations: [{prefix: /a}]", want: "names no namespaces"},
		{spec: "delegations: [{prefix: /a, namespaces: []}]", want: "names no namespaces"},
		{spec: "delegations: [{prefix: /a, namespaces: [A]}]", want: "spec.delegations.namespaces"},
		{spec: "delegations: [{prefix: /a, namespaces: [" + x("a", 64) + "]}]", want: "spec.delegations.namespaces"},
		{spec: "delegations: [{prefix: /a, namespaces: [a, a]}]", want: "twice"},
		{spec: "delegations: [{prefix: /a, namespaces: [" + many(65, "n#") + "]}]", want: "has 65 entries"},
		{spec: "delegations: [" + many(64, "{prefix: /#, namespaces: [a]}") + "]"},
		{spec: "delegations: [" + many(65, "{prefix: /#, namespaces: [a]}") + "]", want: "spec.delegations has 65 entries"},

		{spec: "dns: {}"},
		{spec: "dns: {enabled: false}"},
		{spec: "dns: {enabled: no}"},
		{spec: "dns: {enabled: 'no'}", want: "spec.dns.enabled must be true or false, not text"},
		{spec: "dns: {target: lb.example.com}"},
		{spec: "dns: {target: 192.0.2.1}"},
		{spec: "dns: {target: '2001:db8::1'}"},
		{spec: "dns: {target: '2001:DB8::1'}"},
		{spec: "dns: {target: '::'}"},
		{spec: "dns: {target: '::ffff:192.0.2.1'}"},
		{spec: "dns: {target: ''}", want: "target", only: crdAbsent},
		{spec: "dns: {target: LB.example.com}", want: "spec.dns.target"},
		{spec: "dns: {target: lb..example.com}", want: "spec.dns.target"},
		{spec: "dns: {target: lb.example.com.}", want: "spec.dns.target"},
		{spec: "dns: {target: 'lb.example.com:443'}", want: "spec.dns.target"},
		{spec: "dns: {target: 192.0.2}", want: "spec.dns.target", only: binaryAddress},
		{spec: "dns: {target: 192.0.2.256}", want: "spec.dns.target", only: binaryAddress},
		{spec: "dns: {target: ':::'}", want: "spec.dns.target", only: binaryAddress},
		{spec: `dns: {target: "a\n---\nkind: ClusterRoleBinding"}`, want: "spec.dns.target"},
		{spec: "dns: {target: " + x("a.", 126) + "aa}", want: "spec.dns.target"},
		{spec: "dns: {ttl: 5}", want: `"spec.dns.ttl"`},

		{spec: "placement: {}"},
		{spec: "placement: {matchLabels: {}}"},
		{spec: "placement: {matchLabels: {environment: prod, example.com/zone: '', a_b.C: A-1}}"},
		{spec: "placement: {matchLabels: {a: 1}}", want: `spec.placement.matchLabels["a"] must be text, not 1: put quotes around it`},
		{spec: "placement: {matchLabels: {a: null}}", want: "not null", only: binaryNull},
		{spec: "placement: {matchLabels: {a: 'b c'}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {a: " + x("b", 64) + "}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {'': a}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {a b: c}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {-a: c}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {a/b/c: d}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {a..b/c: d}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {? " + x("a", 253) + "/" + x("b", 63) + " : c}}"},
		{spec: "placement: {matchLabels: {? " + x("a", 254) + "/b : c}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {" + x("b", 64) + ": c}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {" + many(32, "k#: v") + "}}"},
		{spec: "placement: {matchLabels: {" + many(33, "k#: v") + "}}", want: "spec.placement.matchLabels has 33 entries"},
		{spec: "placement: {matchExpressions: []}", want: `"spec.placement.matchExpressions"`},

		{spec: "perDestination: [{name: eu-1, dns: {target: a}, tls: {secretName: b}}]"},
		{spec: "perDestination: [{name: eu.1}]"},
		{spec: "perDestination: [{}]", want: "spec.perDestination.name is missing"},
		{spec: "perDestination: [{name: ''}]", want: "spec.perDestination.name is missing"},
		{spec: "perDestination: [{name: EU}]", want: "spec.perDestination.name"},
		{spec: "perDestination: [{name: eu..1}]", want: "spec.perDestination.name"},
		{spec: "perDestination: [{name: " + x("a", 63) + "}]"},
		{spec: "perDestination: [{name: " + x("a", 64) + "}]", want: "spec.perDestination.name"},
		{spec: "perDestination: [{name: a}, {name: a}]", want: "twice"},
		{spec: "perDestination: [{name: a, dns: {}}]", want: "spec.perDestination.dns.target is missing"},
		{spec: "perDestination: [{name: a, dns: {target: ''}}]", want: "spec.perDestination.dns.target is missing"},
		{spec: "perDestination: [{name: a, dns: {target: A_B}}]", want: "spec.perDestination.dns.target"},
		{spec: "perDestination: [{name: a, dns: {target: " + x("a.", 126) + "aa}}]", want: "spec.perDestination.dns.target"},
		{spec: "perDestination: [{name: a, dns: {enabled: false}}]", want: `"spec.perDestination[0].dns.enabled"`},
		{spec: "perDestination: [{name: a, tls: {}}]", want: "spec.perDestination.tls needs exactly one"},
		{spec: "perDestination: [{name: a, tls: {secretName: ''}}]", want: "spec.perDestination.tls needs exactly one"},
		{spec: "perDestination: [{name: a, tls: {clusterIssuer: ''}}]", want: "spec.perDestination.tls needs exactly one"},
		{spec: "perDestination: [{name: a, tls: {secretName: A}}]", want: "spec.perDestination.tls.secretName"},
		{spec: "perDestination: [{name: a, tls: {clusterIssuer: A}}]", want: "spec.perDestination.tls.clusterIssuer"},
		{spec: "perDestination: [{name: a, tls: {secretName: " + x("a", 254) + "}}]", want: "spec.perDestination.tls.secretName"},
		{spec: "perDestination: [{name: a, tls: {clusterIssuer: " + x("a", 254) + "}}]", want: "spec.perDestination.tls.clusterIssuer"},
		{spec: "perDestination: [" + many(256, "{name: d#}") + "]"},
		{spec: "perDestination: [" + many(257, "{name: d#}") + "]", want: "spec.perDestination has 257 entries"},
	}
)

// gateway is a gateway with one field more.
func gateway(more string) string {
	return "gateway: {className: a, implementation: Traefik, namespace: a, " + more + "}"
}

// jargon is what a user must never read: words of Go, or of a library about its
// own inside.
var jargon = regexp.MustCompile(`json:|unmarshal|struct|Go value|map\[|<nil>|%!|accessor|reflect|strconv|time: `)

// wantSentence fails the test unless the text is one plain line that names what
// is wrong.
func wantSentence(t *testing.T, text, names string) {
	t.Helper()
	switch {
	case !strings.Contains(text, names):
		t.Errorf("the sentence does not name %q: %s", names, text)
	case text == "" || strings.ContainsAny(text, "\n\r\u0085") || len(text) > 2000:
		t.Errorf("this is not one plain line: %q", text)
	case jargon.MatchString(text):
		t.Errorf("the sentence says %q: %s", jargon.FindString(text), text)
	}
}

// kindOf is a kind with its rows and how the binary reads it.
type kindOf struct {
	name, good string
	rows       []row
	// read is v1alpha1.Read, decode what it does before it fills in defaults.
	read   func(*unstructured.Unstructured) (spec any, err error)
	decode func(raw any) (spec any, err error)
}

var kinds = []kindOf{
	{
		name: "ApiAggregatorTarget", good: goodTarget, rows: targetRows,
		read: func(o *unstructured.Unstructured) (any, error) {
			t, err := target.Read(o)
			if err != nil {
				return nil, err
			}
			return t.Spec, nil
		},
		decode: func(raw any) (any, error) {
			var spec target.ApiAggregatorTargetSpec
			err := field.Decode("spec", raw, &spec)
			return spec, err
		},
	},
	{
		name: "ApiAggregator", good: goodAggregator, rows: aggregatorRows,
		read: func(o *unstructured.Unstructured) (any, error) {
			a, err := aggregator.Read(o)
			if err != nil {
				return nil, err
			}
			return a.Spec, nil
		},
		decode: func(raw any) (any, error) {
			var spec aggregator.ApiAggregatorSpec
			err := field.Decode("spec", raw, &spec)
			return spec, err
		},
	},
	{
		name: "NatsAccount", good: goodAccount, rows: accountRows,
		read: func(o *unstructured.Unstructured) (any, error) {
			a, err := account.Read(o)
			if err != nil {
				return nil, err
			}
			return a.Spec, nil
		},
		decode: func(raw any) (any, error) {
			var spec account.NatsAccountSpec
			err := field.Decode("spec", raw, &spec)
			return spec, err
		},
	},
	{
		name: "NatsUser", good: goodUser, rows: userRows,
		read: func(o *unstructured.Unstructured) (any, error) {
			u, err := user.Read(o)
			if err != nil {
				return nil, err
			}
			return u.Spec, nil
		},
		decode: func(raw any) (any, error) {
			var spec user.NatsUserSpec
			err := field.Decode("spec", raw, &spec)
			if spec.Secret.Format == user.Creds { // a CRD's default cannot depend on another field
				spec.Secret.Key = cmp.Or(spec.Secret.Key, "nats.creds")
			}
			return spec, err
		},
	},
	{
		name: "System", good: goodSystem, rows: systemRows,
		read: func(o *unstructured.Unstructured) (any, error) {
			s, err := system.Read(o)
			if err != nil {
				return nil, err
			}
			return s.Spec, nil
		},
		decode: func(raw any) (any, error) {
			var spec system.SystemSpec
			err := field.Decode("spec", raw, &spec)
			return spec, err
		},
	},
	{
		name: "Workload", good: goodWorkload, rows: workloadRows,
		read: func(o *unstructured.Unstructured) (any, error) {
			w, err := workload.Read(o)
			if err != nil {
				return nil, err
			}
			return w.Spec, nil
		},
		decode: func(raw any) (any, error) {
			var spec workload.WorkloadSpec
			err := field.Decode("spec", raw, &spec)
			return spec, err
		},
	},
}

// request returns a request whose spec is a good one with other fields in place
// of its own; null takes a field away.
func request(t *testing.T, kind, namespace, name, good, fields string) *unstructured.Unstructured {
	t.Helper()
	parse := func(text string) (spec map[string]any) {
		if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return spec
	}
	spec := parse(good)
	for name, value := range parse(fields) {
		if spec[name] = value; value == nil {
			delete(spec, name)
		}
	}
	return object(t, map[string]any{
		"apiVersion": "baleen.dev/v1alpha1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}, "spec": spec,
	})
}

// object returns content as an API server would send it; by way of YAML, U+0085
// would become a space.
func object(t *testing.T, content map[string]any) *unstructured.Unstructured {
	t.Helper()
	data, err := json.Marshal(content)
	object := &unstructured.Unstructured{}
	if err == nil {
		err = object.UnmarshalJSON(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// schema returns the schema of the kind's spec.
func (k kindOf) schema(t *testing.T) map[string]any {
	t.Helper()
	promise, _ := promises.Find(schema.GroupKind{Group: "baleen.dev", Kind: k.name})
	versions, _, err := unstructured.NestedSlice(scenario.Parse(t, string(promise.YAML)).Object, "spec", "api", "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec")
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func short(text string) string {
	return fmt.Sprintf("%.80s (%d characters)", text, len(text))
}

// The CRD and the binary give the same verdict about each row, so that neither
// an API server without the CRD nor one with an old one lets through what the
// other would refuse; and where both let a spec through they fill in the same
// defaults. And of the CRD's rules there is none that no row breaks.
func TestAgreement(t *testing.T) {
	definitions := requests(t)
	for _, kind := range kinds {
		var broken []rule
		for _, r := range kind.rows {
			request := request(t, kind.name, "b", "a", kind.good, r.spec)
			refusal := definitions.Validate(request)
			broken = append(broken, brokenRules(refusal)...)
			t.Run(kind.name+"/"+short(r.spec), func(t *testing.T) {
				spec, err := kind.read(request)
				crd, binary := r.want != "" && !strings.HasPrefix(r.only, "binary"), r.want != "" && !strings.HasPrefix(r.only, "CRD")
				if crd != (refusal != nil) {
					t.Errorf("the CRD says: %v", refusal)
				}
				if binary != (err != nil) {
					t.Errorf("the binary says: %v", err)
				}
				if err != nil {
					wantSentence(t, err.Error(), r.want)
				}
				if refusal == nil && err == nil {
					if err := definitions.Default(request); err != nil {
						t.Fatal(err)
					}
					if defaulted, err := kind.decode(request.Object["spec"]); err != nil || !reflect.DeepEqual(defaulted, spec) {
						t.Errorf("with the CRD's defaults %+v, with the binary's %+v", defaulted, spec)
					}
				}
			})
		}
		t.Run(kind.name+"/each rule is broken", func(t *testing.T) {
			for _, r := range rulesIn("spec", kind.schema(t)) {
				if !r.brokenBy(broken) {
					t.Errorf("no row breaks the rule %+v", r)
				}
			}
		})
	}
}

// The binary's half of the rows by itself, which takes no time: what it is that a
// change to a check breaks is seen at once.
func TestValidation(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) { // and not each row, of which there are more than a thousand
			for _, r := range kind.rows {
				_, err := kind.read(request(t, kind.name, "b", "a", kind.good, r.spec))
				switch good := r.want == "" || strings.HasPrefix(r.only, "CRD"); {
				case good && err != nil:
					t.Errorf("%s: %v", short(r.spec), err)
				case !good && err == nil:
					t.Errorf("%s: it is taken, and %s should be refused", short(r.spec), r.want)
				case !good:
					wantSentence(t, err.Error(), r.want)
					if !strings.HasPrefix(err.Error(), kind.name+" b/a is not valid: ") {
						t.Errorf("%s: it does not say of what: %v", short(r.spec), err)
					}
				}
			}
		})
	}
}

// One mistake is one problem: what follows from it is not said besides.
func TestOneMistakeIsOneProblem(t *testing.T) {
	for _, test := range []struct{ kind, spec, says string }{
		{"ApiAggregatorTarget", "backends: []", "spec.backends has 0 entries: 1 to 16 are allowed"},
		{"ApiAggregatorTarget", "backends: [{service: s, port: 80, weight: 0}]", "spec.backends has no weight above zero: give one to the service that is to answer"},
		{"ApiAggregatorTarget", "paths: [{path: a}]", `spec.paths: the path "a" must begin with /`},
		{"ApiAggregator", "tls: null", "spec.tls is missing: set clusterIssuer or secretName"},
		{"NatsAccount", "provider: ngs", `spec.provider "ngs" is not jwt or synadia`},
		{"NatsUser", "times: {ranges: [{start: '08:00:00', end: '08:00'}]}", `spec.times.ranges: "08:00" is not a time of day such as 08:00:00`},
		{"NatsUser", "secret: {name: s, format: Env, key: a}", "spec.secret.key goes with format: Creds only; the other formats have keys of their own"},
	} {
		kind := kinds[slices.IndexFunc(kinds, func(k kindOf) bool { return k.name == test.kind })]
		_, err := kind.read(request(t, kind.name, "b", "a", kind.good, test.spec))
		if want := kind.name + " b/a is not valid: " + test.says; err == nil || err.Error() != want {
			t.Errorf("%s: it says\n%v, want\n%s", test.spec, err, want)
		}
	}
}

// What depends on fields that may be left out, by each of them.
func TestWhatFollowsFromSpecs(t *testing.T) {
	for _, test := range []struct {
		ttl, before string
		window      time.Duration
	}{{"30d", "", 240 * time.Hour}, {"30d", "5d", 120 * time.Hour}, {"100s", "", 33 * time.Second}} {
		c := user.Credentials{TTL: field.Duration(test.ttl), RenewBefore: field.Duration(test.before)}
		if got := c.RenewalWindow(); got != test.window {
			t.Errorf("of %+v the window is %s, want %s", c, got, test.window)
		}
	}
	j := account.NatsAccountSpec{JWT: &account.JWT{Servers: []string{"nats://a"}}}
	j.JWT.SigningKey.RequiredTags = []string{"a"}
	y := account.NatsAccountSpec{Synadia: &account.Synadia{Servers: []string{"tls://b"}, RequiredTags: []string{"b"}}}
	if got := fmt.Sprint(j.Servers(), j.RequiredTags(), y.Servers(), y.RequiredTags()); got != "[nats://a] [a] [tls://b] [b]" {
		t.Errorf("servers and tags are %s", got)
	}
	for _, annotation := range []string{user.RotateAnnotation, user.RotateAnnotationPrefix + "eu-1", "example.com/other"} {
		o := request(t, "NatsUser", "b", "a", goodUser, "{}")
		o.SetAnnotations(map[string]string{annotation: "two words"})
		u, err := user.Read(o)
		if refused := annotation != "example.com/other"; (err != nil) != refused || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("the annotation %q is not a word of at most 64 printable characters", annotation)) {
			t.Errorf("%s: it says %v", annotation, err)
		} else if !refused && u.Annotations[annotation] != "two words" {
			t.Errorf("the annotations are %v", u.Annotations)
		}
	}
	var a aggregator.ApiAggregatorSpec
	a.DNS, a.Gateway.AllowedRoutes = &aggregator.DNS{}, &aggregator.AllowedRoutes{}
	a.Default()
	if a.HTTPRedirect == nil || !*a.HTTPRedirect || a.DNS.Enabled == nil || !*a.DNS.Enabled || a.Gateway.AllowedRoutes.From != "All" || a.Gateway.Implementation != aggregator.Standard {
		t.Errorf("the defaults of an aggregator are %+v", a)
	}
	y.Default()
	if s := y.Synadia; s.VerifyInterval != "24h" || s.Budget != "60s" || s.BaseURL != "https://cloud.synadia.com" || s.DriftPolicy != account.DriftReport || s.TokenSecretRef.Key != "token" {
		t.Errorf("the defaults of an account at Synadia are %+v", s)
	}
	var u user.NatsUserSpec
	u.Default()
	if c := u.Credentials; c.TTL != "720h" || c.Overlap != "24h" || c.RevokePrevious != user.AfterOverlap || u.Retain != user.Ciphertext || u.DeletionPolicy != user.Revoke || u.Secret.Key != "nats.creds" {
		t.Errorf("the defaults of a user are %+v", u)
	}
}

// rule is one rule of a CRD: a keyword of a schema, or a CEL rule by its
// message. Lists leave no mark in the path, and * is any key of a map.
type rule struct{ path, what string }

// refusals are how an API server words the breach of a keyword.
var refusals = map[string]string{
	"Required value": "required", "chars long": "minLength", "Too long": "maxLength",
	"Unsupported value": "enum", "greater than or equal": "minimum", "less than or equal": "maximum",
	"at least 1 items": "minItems", "Too many": "maximum number", "Duplicate value": "uniqueness",
}

// brokenRules returns which rules a refusal is about.
func brokenRules(refusal error) []rule {
	var status apierrors.APIStatus
	if !errors.As(refusal, &status) {
		return nil
	}
	var rules []rule
	for _, cause := range status.Status().Details.Causes {
		what := cause.Message // which ends in a CEL rule's own
		for words, keyword := range refusals {
			if strings.Contains(cause.Message, words) {
				what = keyword
			}
		}
		rules = append(rules, rule{regexp.MustCompile(`\[\d+\]`).ReplaceAllString(cause.Field, ""), what})
	}
	return rules
}

// rulesIn returns all rules of a schema but those about updates.
func rulesIn(path string, schema map[string]any) []rule {
	var rules []rule
	add := func(path, what string) { rules = append(rules, rule{path, what}) }
	for _, keyword := range []string{"minLength", "maxLength", "enum", "minimum", "maximum", "minItems"} {
		if schema[keyword] != nil {
			add(path, keyword)
		}
	}
	if schema["maxItems"] != nil || schema["maxProperties"] != nil {
		add(path, "maximum number")
	}
	if list := schema["x-kubernetes-list-type"]; list == "map" || list == "set" {
		add(path, "uniqueness")
	}
	validations, _ := schema["x-kubernetes-validations"].([]any)
	for _, v := range validations {
		if v := v.(map[string]any); !strings.Contains(v["rule"].(string), "oldSelf") {
			below, _ := v["fieldPath"].(string)
			add(path+below, v["message"].(string))
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		add(path+"."+name.(string), "required")
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		rules = append(rules, rulesIn(path+"."+name, property.(map[string]any))...)
	}
	for key, suffix := range map[string]string{"items": "", "additionalProperties": ".*"} {
		if inner, ok := schema[key].(map[string]any); ok {
			rules = append(rules, rulesIn(path+suffix, inner)...)
		}
	}
	return rules
}

func (r rule) brokenBy(broken []rule) bool {
	return slices.ContainsFunc(broken, func(b rule) bool {
		parent, isMap := strings.CutSuffix(r.path, ".*")
		inMap := isMap && (strings.HasPrefix(b.path, parent+".") || strings.HasPrefix(b.path, parent+"["))
		return strings.Contains(b.what, r.what) && (b.path == r.path || inMap)
	})
}

// Every kind has its rows here, whoever adds it.
func TestEveryKindHasBadInput(t *testing.T) {
	var names []string
	for _, kind := range kinds {
		names = append(names, kind.name)
	}
	for _, kind := range promises.Kinds() {
		if !slices.Contains(names, kind.Kind) {
			t.Errorf("%s has no rows in kinds: what its binary refuses is compared with its CRD by nobody", kind.Kind)
		}
	}
}

// What is no spec at all is refused by both too; a changed host and a name that
// is too long by the CRD, as long as it is installed.
func TestAgreementAboutWholeRequests(t *testing.T) {
	definitions := requests(t)
	for _, kind := range kinds {
		for _, spec := range []any{nil, "text", 7, []any{}, map[string]any{}} {
			t.Run(fmt.Sprintf("%s/%#v", kind.name, spec), func(t *testing.T) {
				o := request(t, kind.name, "b", "a", kind.good, "{}")
				if o.Object["spec"] = spec; spec == nil {
					delete(o.Object, "spec")
				}
				o = object(t, o.Object)
				if definitions.Validate(o) == nil {
					t.Error("the CRD takes it")
				}
				if _, err := kind.read(o); err == nil {
					t.Error("the binary takes it")
				} else {
					wantSentence(t, err.Error(), kind.name+" b/a is not valid: spec")
				}
			})
		}
		long := request(t, kind.name, "b", x("a", 64), kind.good, "{}")
		if err := definitions.Validate(long); err == nil || !strings.Contains(err.Error(), "at most 63 characters") {
			t.Errorf("%s: with a name of 64 characters: %v", kind.name, err)
		}
	}
	was := request(t, "ApiAggregator", "b", "a", goodAggregator, "{}")
	is := request(t, "ApiAggregator", "b", "a", goodAggregator, "hostname: other.example.com")
	if err := definitions.ValidateUpdate(was, is); err == nil || !strings.Contains(err.Error(), "hostname cannot be changed") {
		t.Errorf("with another host: %v", err)
	}
}

// trouble is a bad request, or a good one that the platform does not let through.
type trouble struct {
	// fields are in place of those of a good spec, files change the platform.
	fields string
	files  []txtar.File
	// reason and words are what the condition Ready must say.
	reason, words string
}

const (
	servedTarget = `{aggregatorRef: {name: public-api, namespace: platform}, backends: [{service: orders, port: 8080}],
		paths: [{path: /orders, maxRequestBodySize: 25Mi}], requestHeaders: {set: {X-Team: team-a}}}`
	servedAggregator = `{hostname: shop.example.com, tls: {clusterIssuer: letsencrypt}, gateway: {className: traefik, implementation: Traefik, namespace: gateways},
		requestBody: {max: 100Mi}, allowedNamespaces: ["team-*"], placement: {matchLabels: {environment: prod}}}`
	breakout = `"a\n---\nkind: ClusterRoleBinding\n"`
)

// publicAPI is the platform's aggregator with one text in place of another.
func publicAPI(t *testing.T, old, new string) []txtar.File {
	t.Helper()
	const name = "platform/ApiAggregator.baleen.dev/public-api.yaml"
	data, err := os.ReadFile(filepath.Join(platformDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	return []txtar.File{{Name: name, Data: []byte(strings.Replace(string(data), old, new, 1))}}
}

// configMap is a ConfigMap of the platform team.
func configMap(name, data string) []txtar.File {
	return []txtar.File{{Name: "baleen-system/ConfigMap.core/" + name + ".yaml", Data: []byte(
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: baleen-system}\ndata: " + data + "\n")}}
}

// Whatever is wrong, a run says so in one sentence of the status and leaves the
// clusters as they are: a first run gives them nothing, a later one exactly what
// they have.
func TestBadInput(t *testing.T) {
	invalid := func(fields, words string) trouble {
		return trouble{fields: fields, reason: "InvalidSpec", words: words}
	}
	config := func(data, words string) trouble {
		return trouble{files: configMap("baleen-config", data), reason: "ConfigurationInvalid", words: words}
	}
	overlay := func(data, reason, words string) trouble {
		return trouble{files: configMap("api-aggregator-target-overlays", data), reason: reason, words: words}
	}
	for kind, troubles := range map[string][]trouble{
		"ApiAggregatorTarget": {
			{fields: "aggregatorRef: {name: nothing, namespace: platform}", reason: "AggregatorNotFound", words: "there is no ApiAggregator platform/nothing"},
			{fields: "aggregatorRef: {name: public-api}", reason: "AggregatorNotFound", words: "there is no ApiAggregator team-a/public-api"},
			{files: publicAPI(t, "team-*", "team-b"), reason: "NotAdmitted", words: "does not admit targets of the namespace team-a"},
			{files: publicAPI(t, "metadata:", "metadata:\n  finalizers: [a/b]\n  deletionTimestamp: \"2026-01-01T00:00:00Z\""), reason: "AggregatorNotFound", words: "platform/public-api is being deleted"},
			{files: publicAPI(t, "api.example.com", "API.example.com"), reason: "AggregatorInvalid", words: "ApiAggregator platform/public-api is not valid: spec.hostname"},
			{fields: "workloadNamespace: team-b", reason: "NamespaceNotMapped", words: "may not act on the workload namespace team-b"},
			{fields: "paths: [{path: /orders, maxRequestBodySize: 101Mi}]", reason: "PathsRefused", words: "101Mi is above the aggregator's maximum of 100Mi: ask for less, or ask the aggregator's owner for more"},
			{fields: "timeout: 30s", reason: "PathsRefused", words: "Traefik does not honour timeouts"},
			{files: publicAPI(t, "[team-a]", "[team-b]"), reason: "PathsRefused", words: "delegates /orders to other namespaces"},

			invalid(path("/orders//"), "contains //"),
			invalid(path("/orders/.."), "segment"),
			invalid(path("/orders%2fa"), "%2f"),
			invalid(path("/orders#a"), "character"),
			invalid(path("/orders\a"), "character"),
			invalid(path("/orders\u0085"), "character"),
			invalid(path("/"+x("a", 1999)), "2000 bytes"),
			invalid("paths: ["+many(65, "{path: /#}")+"]", "65 entries"),
			invalid("paths: [{path: "+breakout+"}]", "must begin with /"),
			invalid("backends: [{service: "+breakout+", port: 80}]", "spec.backends.service"),
			invalid("backends: [{service: orders, port: '8080'}]", "spec.backends[0].port must be a whole number, not text"),
			invalid("requestHeaders: {set: {X-Team: "+breakout+"}}", "printable ASCII"),
			invalid("requestHeaders: {set: {"+breakout+": a}}", "name of a header"),
			invalid("timeout: "+breakout, "spec.timeout"),
			invalid("timeouts: 30s", "there is no field"),
			invalid("{aggregatorRef: null, backends: null, paths: null}", "spec.aggregatorRef.name is missing; spec.backends has 0 entries"),

			config("{reconcileInterval: soon}", `the key "reconcileInterval"`),
			config("{destinationGrace: -1h}", `the key "destinationGrace"`),
			config("{namespaces: 'team-a: team-b'}", `the key "namespaces"`),
			config("{namespaces: \"a: [\\n- b\\n\"}", `the key "namespaces"`),
			config("{namespace: a}", `the key "namespace"`),
			config("{reconcileInterval: 10}", "data that is not text"),
			config("[]", "data that is not text"),
			overlay("{a.yaml: 5}", "OverlayFailed", "data that is not text"),
			overlay("{a.yaml: \"a: [\\n\"}", "RenderFailed", "the overlays of the platform team do not apply"),
			overlay("{a.yaml: \"#@ fail('no')\\n\"}", "RenderFailed", "the overlays of the platform team do not apply"),
			overlay("{a.yaml: \"kind: [a]\\n\"}", "RenderFailed", "the overlays of the platform team do not apply"),
			overlay("{a.yaml: \"- a\\n\"}", "RenderFailed", "the overlays of the platform team do not apply"),
		},
		"ApiAggregator": {
			invalid("hostname: API.example.com", "spec.hostname"),
			invalid("hostname: '*.example.com'", "spec.hostname"),
			invalid("hostname: api.example.com.", "spec.hostname"),
			invalid("hostname: "+x("a.", 126)+"aa", "spec.hostname"),
			invalid("hostname: "+breakout, "spec.hostname"),
			invalid("tls: {clusterIssuer: "+breakout+"}", "spec.tls.clusterIssuer"),
			invalid("tls: null", "spec.tls is missing"),
			invalid("placement: {matchLabels: {a: "+breakout+"}}", "spec.placement.matchLabels"),
			invalid("dns: {target: "+breakout+"}", "spec.dns.target"),
			invalid("requestBody: {default: 1Gi, max: 1Mi}", "is above"),
			config("{reconcileInterval: soon}", `the key "reconcileInterval"`),
		},
		"NatsUser":    userTroubles(t),
		"NatsAccount": accountTroubles(t),
		"System":      systemTroubles(),
		"Workload":    workloadTroubles(t),
	} {
		namespace, good := "team-a", servedTarget
		switch kind {
		case "ApiAggregator":
			namespace, good = "platform", servedAggregator
		case "NatsUser":
			good = servedUser
		case "NatsAccount":
			namespace, good = "baleen-system", servedAccount
		case "System":
			namespace, good = "baleen-system", servedSystem
		case "Workload":
			good = servedWorkload
		}
		served := scenario.New(t, platformDir, stages...)
		before := served.ApplyObject(request(t, kind, namespace, "a", good, "{}"))
		if ready, _, message := before.Ready(); ready != "True" || len(before.Files) == 0 && kind != "NatsAccount" && kind != "System" { // which emit nothing
			t.Fatalf("the good request: Ready is %q: %s", ready, message)
		}
		for _, bad := range troubles {
			t.Run(kind+"/"+bad.reason+"/"+fmt.Sprintf("%.40q", bad.words), func(t *testing.T) {
				for from, documents := range map[string]string{platformDir: "", served.Dir: before.Documents()} {
					s := scenario.New(t, from, stages...)
					s.Write(bad.files...)
					o := s.ApplyObject(request(t, kind, namespace, "a", good, cmp.Or(bad.fields, "{}")))
					wantRefused(t, s, o, bad.reason, bad.words, documents)
					if again := request(t, kind, namespace, "a", good, "{}"); documents != "" && len(bad.files) == 0 && s.ApplyObject(again).Documents() != documents {
						t.Error("the good request does not give what it gave before")
					}
				}
			})
		}
	}
}

// wantRefused fails the test unless a run left the documents as given, said why
// in one sentence, and left nothing half done behind.
func wantRefused(t *testing.T, s *scenario.Scenario, o scenario.Outcome, reason, words, documents string) {
	t.Helper()
	if o.Err != nil || o.Code != 0 {
		t.Fatalf("exit code %d (%v): %s", o.Code, o.Err, o.Stderr)
	}
	ready, is, message := o.Ready()
	if ready != "False" || is != reason || o.Status["message"] != message {
		t.Errorf("Ready is %s for the reason %s, want False for %s: %s", ready, is, reason, message)
	}
	wantSentence(t, message, words)
	wantNoSecret(t, s, o)
	if kept := strings.HasSuffix(message, " stays in place"); kept != (documents != "") {
		t.Errorf("the message does not say what becomes of what is served: %s", message)
	}
	if o.Documents() != documents {
		t.Errorf("the clusters have\n%s\nwant\n%s", o.Documents(), documents)
	}
	want := []string{"metadata/status.yaml"}
	for file := range o.Files {
		want = append(want, "output/"+file)
	}
	if len(o.Files) > 0 {
		want = append(want, "metadata/destination-selectors.yaml")
	}
	slices.Sort(want)
	var got []string
	for _, dir := range []string{"metadata", "output"} {
		err := fs.WalkDir(os.DirFS(s.Out), dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				got = append(got, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the run left the files %q, want %q", got, want)
	}
}

// hostile are strings that would mean something else in YAML, in a template or
// to a server if they ever got there as text.
var hostile = []string{
	"a\n---\nkind: ClusterRoleBinding\n", "\n...\n---\n{}", "*anchor", "&anchor a", "!!binary aGk=", "<<: *a", "a: b", "- a", "? a", "{a: b}", "[a]", "| ", ">-", "%YAML 1.1", "a #b", "#@ fail()", "(@= fail() @)",
	"yes", "No", "null", "~", "0o7", "1e3", ".inf", "1_000", "12:30:45", "2026-01-01", "=", "<<",
	" ", "'", `"`, `\`, "\t", "a\x00", "a\u0085b", "a\u2028b", "a\ufeffb", "\ufffd", "é", x("a", 5000),
	"../../etc/passwd", "..", "$(id)", "${X}", "{{ . }}", "a\r\nX-Injected: b",
	"/*a", "/&a", "/!!a", "/'", "/:a", "/@a", "/~", "/0o7", "/yes", "/$1",
}

// Specs in which every string is given.
const (
	fullTarget = `{aggregatorRef: {name: public-api, namespace: platform}, workloadNamespace: elsewhere, timeout: 30s,
		backends: [{service: orders, port: 8080}],
		paths: [{path: /shop, type: Prefix, methods: [GET], rewritePrefix: /rewritten, maxRequestBodySize: 25Mi}],
		requestHeaders: {set: {X-Set: given}, remove: [X-Removed]}}`
	fullAggregator = `{hostname: shop.example.com, tls: {clusterIssuer: letsencrypt},
		gateway: {className: envoy, implementation: EnvoyGateway, namespace: gateways, listeners: {https: websecure, http: web},
			allowedRoutes: {from: Selector, selector: {matchLabels: {selected: chosen}, matchExpressions: [{key: keyed, operator: In, values: [valued]}]}}},
		requestBody: {default: 2Mi, max: 100Mi}, allowedNamespaces: [team-a], delegations: [{prefix: /delegated, namespaces: [team-b]}],
		dns: {target: lb.example.com}, placement: {matchLabels: {environment: prod}},
		perDestination: [{name: eu-1, dns: {target: lb.eu.example.com}, tls: {clusterIssuer: other}}]}`
	attachedAggregator = `{hostname: shop.example.com, gateway: {name: shared, namespace: gateways}}`
	fullWorkload       = `{systemRef: {name: shop, namespace: systems}, type: Service, workloadNamespace: elsewhere,
		container: {image: "registry.example.com/shop/orders:1.4.2", command: [/bin/orders], args: [given], env: [{name: NAMED, value: valued}], readinessProbe: {httpGet: {path: /ready}},
			resources: {requests: {cpu: 250m, memory: 512Mi}, limits: {cpu: "1", memory: 1Gi}}}}`
	secretAggregator = `{hostname: shop.example.com, tls: {secretName: certificate}, gateway: {className: envoy, namespace: gateways}}`
	fullUser         = `{accountRef: {name: commerce}, workloadNamespace: elsewhere, retain: Ciphertext, deletionPolicy: Revoke,
		permissions: {publish: {allow: [published], deny: [unpublished]}, subscribe: {allow: [subscribed], deny: [unsubscribed]}, allowResponses: {ttl: 5s}},
		limits: {payload: 1Mi}, connectionTypes: [STANDARD], sourceCIDRs: [10.0.0.0/8], times: {timeZone: Europe/Zurich, ranges: [{start: "08:00:00", end: "18:00:00"}]},
		tags: [tagged], credentials: {ttl: 720h, renewBefore: 240h, overlap: 24h, rotate: rotated, revokePrevious: AfterOverlap},
		secret: {name: delivered, key: file.creds, format: Creds, labels: {labelled: with}, annotations: {annotated: by}}, placement: {matchLabels: {environment: prod}}}`
)

// place is where a string stands in a spec; set puts another one there.
type place struct {
	name, value string
	set         func(string)
}

// places returns where strings stand, keys of free maps included.
func places(name string, v any, set func(any)) []place {
	var found []place
	switch v := v.(type) {
	case string:
		found = append(found, place{name, v, func(s string) { set(s) }})
	case []any:
		for i := range v {
			found = append(found, places(fmt.Sprintf("%s[%d]", name, i), v[i], func(value any) { v[i] = value })...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			found = append(found, places(name+"."+key, v[key], func(value any) { v[key] = value })...)
			if slices.ContainsFunc([]string{".set", ".matchLabels", ".labels", ".annotations"}, func(free string) bool { return strings.HasSuffix(name, free) }) {
				found = append(found, place{name + " key", key, func(s string) {
					value := v[key]
					delete(v, key)
					v[s] = value
				}})
			}
		}
	}
	return found
}

// identities returns which objects there are, with a mark in place of the given
// value and of hashes, which may be made of it.
func identities(objects map[string]*unstructured.Unstructured, value string) string {
	var list []string
	for _, o := range objects {
		id := strings.ReplaceAll(o.GetNamespace()+"/"+o.GetName(), value, "VALUE")
		list = append(list, o.GetAPIVersion()+" "+o.GetKind()+" "+hashes.ReplaceAllString(id, "-HASH"))
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

var hashes = regexp.MustCompile(`-[0-9a-f]{8}`)

// Whatever stands in whatever field: it is refused in one sentence, or what comes
// out is the same set of objects as for a harmless value, each of which a cluster
// with the real CRDs takes. No value becomes structure.
func TestHostileStrings(t *testing.T) {
	definitions := emitted(t)
	tried, ran, published := 0, 0, map[string]bool{}
	for _, spec := range []string{fullTarget, fullAggregator, attachedAggregator, secretAggregator, fullUser, fullWorkload} {
		kind, namespace := kinds[1], "platform"
		switch spec {
		case fullTarget:
			kind, namespace = kinds[0], "team-a"
		case fullUser:
			kind, namespace = kinds[3], "team-a"
		case fullWorkload:
			kind, namespace = kinds[5], "team-a"
		}
		s := scenario.New(t, platformDir, stages...)
		s.Remove("_cluster/Destination.platform.kratix.io/us-1.yaml") // one cluster shows it
		s.Write(publicAPI(t, "Traefik", "EnvoyGateway")...)
		s.Write(openAccount(t)...)
		s.Write(configMap("baleen-config", `{namespaces: 'team-a: ["*"]', systemNamespaces: '[systems]'}`)...)
		s.Write(anySystem)
		good := request(t, kind.name, namespace, "a", spec, "{}")
		last := s.ApplyObject(good)
		harmless := last.Objects(t)
		if ready, _, message := last.Ready(); ready != "True" || len(harmless) == 0 {
			t.Fatalf("the harmless request: %s", message)
		}
		for i, p := range places("spec", good.Object["spec"], nil) {
			most := 2 // values of one field are let through for the same reason
			for _, value := range hostile {
				o := good.DeepCopy()
				places("spec", o.Object["spec"], nil)[i].set(value)
				tried++
				if _, err := kind.read(o); err != nil { // TestBadInput shows what a run does then
					wantSentence(t, err.Error(), "spec")
					continue
				}
				if most--; most < 0 {
					continue
				}
				ran++
				outcome := s.ApplyObject(o)
				if outcome.Err != nil || outcome.Code != 0 {
					t.Fatalf("%s = %q: exit code %d: %s", p.name, value, outcome.Code, outcome.Stderr)
				}
				ready, reason, message := outcome.Ready()
				wantSentence(t, message, "")
				if ready == "False" && outcome.Documents() == last.Documents() {
					continue
				}
				last = outcome
				objects := outcome.Objects(t)
				if got, want := identities(objects, value), identities(harmless, p.value); got != want {
					t.Errorf("%s = %q (%s): the cluster has\n%s\nwant\n%s", p.name, value, reason, got, want)
				}
				for file, object := range objects {
					if err := definitions.Validate(object); err != nil {
						t.Errorf("%s = %q: %s: %v", p.name, value, file, err)
					}
					if strings.Contains(outcome.Files[file], value) {
						published[p.name] = true
					}
				}
			}
		}
	}
	t.Logf("%d requests, %d of them run; values came out of %v", tried, ran, slices.Sorted(maps.Keys(published)))
	if len(published) < 10 {
		t.Error("too few fields let a strange value through for the test to mean something")
	}
}

// The one field that takes nearly any text gives it back as it is: yes, 0o7 and
// 1e3 stay strings, and what looks like YAML is none.
func TestHeaderValuesStayStrings(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	shown := 0
	for chunk := range slices.Chunk(hostile, 16) { // no request may set more
		o := request(t, "ApiAggregatorTarget", "team-a", "a", servedTarget, "{}")
		want := map[string]any{}
		for i, value := range chunk {
			name := fmt.Sprintf("X-%d", i)
			alone := o.DeepCopy()
			alone.Object["spec"].(map[string]any)["requestHeaders"] = map[string]any{"set": map[string]any{name: value}}
			if _, err := target.Read(alone); err == nil {
				want[name] = value
			}
		}
		o.Object["spec"].(map[string]any)["requestHeaders"] = map[string]any{"set": want}
		outcome := s.ApplyObject(o)
		if ready, _, message := outcome.Ready(); ready != "True" {
			t.Fatal(message)
		}
		for file, object := range outcome.Objects(t) {
			if object.GetKind() != "HTTPRoute" {
				continue
			}
			got := map[string]any{}
			for _, r := range list(object.Object, "spec", "rules") {
				for _, f := range list(r, "filters") {
					for _, h := range list(f, "requestHeaderModifier", "set") {
						got[h["name"].(string)] = h["value"]
						shown++
					}
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: the headers are %q, want %q", file, got, want)
			}
		}
	}
	if shown < 40 {
		t.Errorf("only %d headers came out", shown)
	}
}

// What an implementation does not take as it is, or would break all routes with,
// is refused.
func TestHeadersAndPathsThatAreNotHonoured(t *testing.T) {
	for _, c := range []struct{ implementation, path, headers, says string }{
		{"EnvoyGateway", "{path: /a}", "set: {X-A: 'a%'}", "%"},
		{"EnvoyGateway", "{path: /a}", "set: {X-A: '%ENVIRONMENT(TOKEN)%'}", "%"},
		{"EnvoyGateway", "{path: /a}", "set: {X-A: 'a  b'}", "two blanks"},
		{"EnvoyGateway", "{path: /a}", "set: {host: a}", "host"},
		{"EnvoyGateway", "{path: /a}", "remove: [Host]", "Host"},
		{"Standard", "{path: /a}", "set: {X-A: 'a%'}", "%"},
		{"NGINXGatewayFabric", "{path: /a}", "set: {X-A: $http_cookie}", "$"},
		{"NGINXGatewayFabric", "{path: /a}", `set: {X-A: '"'}`, `have " in the value`},
		{"NGINXGatewayFabric", "{path: /a}", "set: {X_A: a}", "X_A"},
		{"NGINXGatewayFabric", "{path: /a}", "remove: [Connection]", "Connection"},
		{"NGINXGatewayFabric", "{path: /a;b}", "set: {X-A: a}", "paths with ;"},
		{"NGINXGatewayFabric", "{path: /a, rewritePrefix: /$uri}", "set: {X-A: a}", "$"},
		{"Traefik", "{path: /a;b, rewritePrefix: /$uri}", "set: {X_A: 'a%$'}", ""},
		{"Traefik", "{path: /a}", "set: {Host: a}", "Host"},
		{"EnvoyGateway", "{path: /a;b, rewritePrefix: /$uri}", "set: {X_A: 'a$ b'}", ""},
		{"NGINXGatewayFabric", "{path: /a$b}", "set: {X-A: 'a%  b'}", ""},
	} {
		t.Run(c.implementation+" "+c.path+" "+c.headers, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			aggregator := strings.Replace(example(t, "api-aggregator"), "implementation: Traefik", "implementation: "+c.implementation, 1)
			if c.implementation == "Standard" {
				aggregator = strings.Replace(aggregator, "  requestBody:\n    max: 100Mi\n", "", 1)
			}
			s.Apply(aggregator)
			o := s.Apply(shop("team-a", c.path) + "  requestHeaders: {" + c.headers + "}\n")
			state := "UnsupportedByImplementation"
			if c.says == "" {
				state = "Accepted"
			}
			path, _, _ := strings.Cut(strings.Trim(strings.TrimPrefix(c.path, "{path: "), "}"), ",")
			wantState(t, o, path, state, c.says)
			if c.says != "" && len(o.Files) > 0 {
				t.Error("it is emitted")
			}
		})
	}
}

// list returns the maps of a list.
func list(object map[string]any, path ...string) (maps []map[string]any) {
	items, _, _ := unstructured.NestedSlice(object, path...)
	for _, item := range items {
		maps = append(maps, item.(map[string]any))
	}
	return maps
}

// A dry run changes nothing on the platform, not even where the same run for
// real asks targets to follow; and it works for a request that is not stored.
func TestDryRun(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	wantUnchanged := func(what string, before map[string]string) {
		t.Helper()
		if after := s.Snapshot(); !maps.Equal(before, after) {
			t.Errorf("%s changed the platform", what)
		}
	}
	s.Apply(example(t, "api-aggregator-target"))
	changed := strings.Replace(example(t, "api-aggregator"), "max: 100Mi", "max: 50Mi", 1)
	other := strings.Replace(example(t, "api-aggregator-target"), "name: orders\n  namespace", "name: others\n  namespace", 1)

	before := s.Snapshot()
	s.DryRun = true
	if ready, _, message := s.Apply(changed).Ready(); ready != "True" {
		t.Errorf("the dry run of a change: %s", message)
	}
	wantUnchanged("a dry run of a change", before)
	if o := s.Apply(other); o.Code != 0 || !strings.Contains(o.Report, "paths:") {
		t.Errorf("the dry run of a new request: exit code %d: %s", o.Code, o.Stderr)
	}
	wantUnchanged("a dry run of a new request", before)
	s.Delete(changed)
	wantUnchanged("a dry run of a deletion", before)

	s.DryRun = false
	s.Apply(changed)
	target, err := s.Client.Get(t.Context(), platform.ApiAggregatorTarget, "team-a", "orders")
	if err != nil || target.GetLabels()[kratix.LabelManualReconciliation] != "true" {
		t.Errorf("the real run does not ask the target: %v %v", target.GetLabels(), err)
	}
}
