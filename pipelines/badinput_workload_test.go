package pipelines_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

const (
	goodSystem     = `{owner: {team: a}, placement: {matchLabels: {a: b}}}`
	goodWorkload   = `{systemRef: {name: a}, container: {image: "a:1"}}`
	servedSystem   = `{owner: {team: team-a}, allowedNamespaces: [team-a], placement: {matchLabels: {environment: prod}}}`
	servedWorkload = `{systemRef: {name: shop}, container: {image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/orders:1.4.2"}}`

	binaryName = "binary only: a pattern cannot count the characters of a part"
)

// container is a container with one field more.
func container(more string) string { return "container: {image: 'a:1', " + more + "}" }

var digest = "@sha256:" + strings.Repeat("0f", 32)

var (
	systemRows = []row{
		{spec: "{}"},
		{spec: "unknown: 1", want: `"spec.unknown"`},
		{spec: "displayname: a", want: `"spec.displayname"`},

		{spec: "displayName: 'Web shop: é'"},
		{spec: "displayName: ''"},
		{spec: "displayName: " + strings.Repeat("é", 128)},
		{spec: "displayName: " + x("a", 129), want: "spec.displayName has 129 characters"},
		{spec: `displayName: "a\nb"`, want: "spec.displayName"},
		{spec: `displayName: "a\u0085b"`, want: "spec.displayName"},
		{spec: "displayName: 7", want: "spec.displayName must be text"},

		{spec: "owner: null", want: "spec.owner.team is missing"},
		{spec: "owner: {}", want: "spec.owner.team is missing"},
		{spec: "owner: {team: ''}", want: "spec.owner.team is missing"},
		{spec: "owner: {team: Team_A.b}"},
		{spec: "owner: {team: " + x("a", 63) + "}"},
		{spec: "owner: {team: " + x("a", 64) + "}", want: "spec.owner.team"},
		{spec: "owner: {team: team a}", want: "spec.owner.team"},
		{spec: "owner: {team: a-}", want: "spec.owner.team"},
		{spec: "owner: {team: [a]}", want: "spec.owner.team must be text, not a list"},
		{spec: "owner: {team: a, contact: '#team-a'}"},
		{spec: "owner: {team: a, contact: " + x("a", 256) + "}"},
		{spec: "owner: {team: a, contact: " + x("a", 257) + "}", want: "spec.owner.contact has 257 characters"},
		{spec: `owner: {team: a, contact: "a\nb"}`, want: "spec.owner.contact"},
		{spec: "owner: {team: a, email: b}", want: `"spec.owner.email"`},

		{spec: "allowedNamespaces: []"},
		{spec: "allowedNamespaces: [a, 'b-*', '*']"},
		{spec: "allowedNamespaces: [A]", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: [a.b]", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: ['']", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: [" + x("a", 64) + "]", want: "spec.allowedNamespaces"},
		{spec: "allowedNamespaces: [a, a]", want: "twice"},
		{spec: "allowedNamespaces: a", want: "spec.allowedNamespaces must be a list"},
		{spec: "allowedNamespaces: [" + many(64, "a#") + "]"},
		{spec: "allowedNamespaces: [" + many(65, "a#") + "]", want: "spec.allowedNamespaces has 65 entries"},

		{spec: "placement: null", want: "spec.placement.matchLabels needs at least one label"},
		{spec: "placement: {}", want: "spec.placement.matchLabels needs at least one label"},
		{spec: "placement: {matchLabels: {}}", want: "spec.placement.matchLabels needs at least one label"},
		{spec: "placement: {matchLabels: {a: ''}}"},
		{spec: "placement: {matchLabels: {a: ' '}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {a: " + x("a", 64) + "}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {'a b': c}}", want: "spec.placement.matchLabels"},
		{spec: "placement: {matchLabels: {" + many(33, "k#: v") + "}}", want: "spec.placement.matchLabels has 33 entries"},

		{spec: "policy: {}"},
		{spec: "policy: {image: a}", want: `"spec.policy.image"`},
		{spec: "policy: {images: []}"},
		{spec: "policy: {images: ['111122223333.dkr.ecr.*.amazonaws.com/shop/*', 'localhost:5000/a', 'docker.io/library/*']}"},
		{spec: "policy: {images: ['*']}", want: `spec.policy.images[0]: "*" is not a repository`},
		{spec: "policy: {images: [docker.io/library/a, '']}", want: `spec.policy.images[1]: "" is not a repository`},
		{spec: "policy: {images: ['r.example.com/a:1']}", want: "spec.policy.images[0]"},
		{spec: "policy: {images: ['r.example.com/A']}", want: "spec.policy.images[0]"},
		{spec: "policy: {images: ['r.example.com/a" + digest + "']}", want: "spec.policy.images[0]"},
		{spec: "policy: {images: ['shop/*']}", want: `"shop/*" has no registry`},
		{spec: "policy: {images: [docker.io/nginx]}", want: "write docker.io/library/nginx for nginx"},
		{spec: "policy: {images: [r.example.com/" + x("a", 499) + "]}", want: "spec.policy.images[0]"},
		{spec: "policy: {images: [r.example.com/a, r.example.com/a]}", want: "twice"},
		{spec: "policy: {images: [" + many(64, "r.example.com/a#") + "]}"},
		{spec: "policy: {images: [" + many(65, "r.example.com/a#") + "]}", want: "spec.policy.images has 65 entries"},
		{spec: "policy: {maxReplicas: 1000}"},
		{spec: "policy: {maxReplicas: 0}", want: "maxReplicas", only: crdAbsent},
		{spec: "policy: {maxReplicas: -1}", want: "spec.policy.maxReplicas -1 is not between 1 and 1000"},
		{spec: "policy: {maxReplicas: 1001}", want: "spec.policy.maxReplicas 1001"},
		{spec: "policy: {maxReplicas: '1'}", want: "spec.policy.maxReplicas must be a whole number, not text"},
	}

	workloadRows = slices.Concat(probeRows("readinessProbe"), probeRows("livenessProbe"), probeRows("startupProbe"), []row{
		{spec: "{}"},
		{spec: "unknown: 1", want: `"spec.unknown"`},
		{spec: "replicas: 1", want: `"spec.replicas"`},
		{spec: "apis: []", want: `"spec.apis"`},

		{spec: "systemRef: null", want: "spec.systemRef.name is missing"},
		{spec: "systemRef: {}", want: "spec.systemRef.name is missing"},
		{spec: "systemRef: {name: ''}", want: "spec.systemRef.name is missing"},
		{spec: "systemRef: {name: a.b, namespace: c}"},
		{spec: "systemRef: {name: A}", want: "spec.systemRef.name"},
		{spec: "systemRef: {name: a..b}", want: "spec.systemRef.name"},
		{spec: "systemRef: {name: ../a}", want: "spec.systemRef.name"},
		{spec: "systemRef: {name: " + x("a", 63) + "}"},
		{spec: "systemRef: {name: " + x("a", 64) + "}", want: "spec.systemRef.name"},
		{spec: "systemRef: {name: a, namespace: ''}"},
		{spec: "systemRef: {name: a, namespace: A}", want: "spec.systemRef.namespace"},
		{spec: "systemRef: {name: a, namespace: a.b}", want: "spec.systemRef.namespace"},
		{spec: "systemRef: {name: a, namespace: " + x("a", 64) + "}", want: "spec.systemRef.namespace"},

		{spec: "type: Worker"},
		{spec: "type: Service"},
		{spec: "type: ''", want: "type", only: crdAbsent},
		{spec: "type: service", want: `spec.type "service" is not Service or Worker`},
		{spec: "type: CronJob", want: `spec.type "CronJob" is not Service or Worker`},
		{spec: "type: Job", want: "spec.type"},

		{spec: "container: null", want: "spec.container.image is missing"},
		{spec: "container: {}", want: "spec.container.image is missing"},
		{spec: "container: {image: ''}", want: "spec.container.image is missing"},
		{spec: "container: {image: nginx}", want: `spec.container.image "nginx" has neither a tag nor a digest`},
		{spec: "container: {image: 'localhost:5000/nginx'}", want: "has neither a tag nor a digest"},
		{spec: "container: {image: 'nginx" + digest + "'}"},
		{spec: "container: {image: 'r.example.com:5000/a_b/c-d.e__f:1.2_3-4" + digest + "'}"},
		{spec: "container: {image: 'Nginx:1'}", want: "spec.container.image"},
		{spec: "container: {image: 'a//b:1'}", want: "spec.container.image"},
		{spec: "container: {image: '../a:1'}", want: "spec.container.image"},
		{spec: "container: {image: 'https://r.example.com/a:1'}", want: "spec.container.image"},
		{spec: "container: {image: 'a:1 '}", want: "spec.container.image"},
		{spec: `container: {image: "a:1\n"}`, want: "spec.container.image"},
		{spec: "container: {image: '$(X):1'}", want: "spec.container.image"},
		{spec: "container: {image: 'a@sha256:0f'}", want: "spec.container.image"},
		{spec: "container: {image: 'a:" + x("1", 128) + "'}"},
		{spec: "container: {image: 'a:" + x("1", 129) + "'}", want: "spec.container.image"},
		{spec: "container: {image: '" + x("a", 511) + ":1'}", want: "has 513 characters: at most 512"},
		{spec: "container: {image: 'r.example.com/" + x("a", 256) + ":1'}", want: "its path has at most 255 characters", only: binaryName},
		{spec: container("imagePullPolicy: Always"), want: `"spec.container.imagePullPolicy"`},

		{spec: container("command: [], args: []")},
		{spec: container(`command: [/bin/orders, ""], args: ["--a=$(B)", "a\tb\nc", "'"]`)},
		{spec: container("command: a"), want: "spec.container.command must be a list"},
		{spec: container("args: [1]"), want: "spec.container.args[0] must be text"},
		{spec: container(`command: ["a\u0000"]`), want: "spec.container.command[0]"},
		{spec: container(`args: [a, "a\r"]`), want: "spec.container.args[1]"},
		{spec: container("command: [" + strings.Repeat("é", 1024) + "]")},
		{spec: container("command: [" + x("a", 1025) + "]"), want: "spec.container.command[0] has 1025 characters"},
		{spec: container("args: [" + x("a", 1025) + "]"), want: "spec.container.args[0] has 1025 characters"},
		{spec: container("command: [" + many(64, "a") + "], args: [" + many(64, "a") + "]")},
		{spec: container("command: [" + many(65, "a") + "]"), want: "spec.container.command has 65 entries"},
		{spec: container("args: [" + many(65, "a") + "]"), want: "spec.container.args has 65 entries"},

		{spec: container("port: 1")},
		{spec: container("port: 65535")},
		{spec: container("port: 0"), want: "port", only: crdAbsent},
		{spec: container("port: -1"), want: "spec.container.port -1 is not a port (1 to 65535)"},
		{spec: container("port: 65536"), want: "spec.container.port 65536 is not a port"},
		{spec: container("port: http"), want: "spec.container.port must be a whole number, not text"},
		{spec: container("port: 8080") + "\ntype: Worker", want: "spec.container.port goes with type: Service only"},
		{spec: container("ports: []"), want: `"spec.container.ports"`},

		{spec: container("env: []")},
		{spec: container(`env: [{name: A}, {name: _b.c-d, value: "$(A)\n\ta: 'b'"}]`)},
		{spec: container("env: [{}]"), want: "spec.container.env[0].name is missing"},
		{spec: container("env: [{name: ''}]"), want: "spec.container.env[0].name is missing"},
		{spec: container("env: [{name: A}, {name: 1A}]"), want: "spec.container.env[1].name"},
		{spec: container("env: [{name: A=B}]"), want: "spec.container.env[0].name"},
		{spec: container("env: [{name: " + x("A", 128) + "}]")},
		{spec: container("env: [{name: " + x("A", 129) + "}]"), want: "spec.container.env[0].name"},
		{spec: container("env: [{name: A, value: a}, {name: A, value: b}]"), want: "twice"},
		{spec: container("env: [{name: A, value: 7}]"), want: "spec.container.env[0].value must be text, not 7"},
		{spec: container("env: [{name: A, value: yes}]"), want: "spec.container.env[0].value must be text"},
		{spec: container(`env: [{name: A, value: "\u0007"}]`), want: "spec.container.env[0].value"},
		{spec: container(`env: [{name: A, value: "\ufeff"}]`), want: "spec.container.env[0].value"},
		{spec: container("env: [{name: A, value: " + strings.Repeat("é", 4096) + "}]")},
		{spec: container("env: [{name: A, value: " + x("a", 4097) + "}]"), want: "spec.container.env[0].value has 4097 characters"},
		{spec: container("env: [{name: A, valueFrom: {secretKeyRef: {name: a, key: b}}}]"), want: `"spec.container.env[0].valueFrom"`},
		{spec: container("env: [" + many(64, "{name: A#}") + "]")},
		{spec: container("env: [" + many(65, "{name: A#}") + "]"), want: "spec.container.env has 65 entries"},

		{spec: container("resources: {}")},
		{spec: container("resources: {requests: {}, limits: {}}")},
		{spec: container("resources: {requests: {cpu: 100m, memory: 256Mi}, limits: {cpu: '1', memory: 256Mi}}")},
		{spec: container("resources: {requests: {cpu: '1.5'}, limits: {cpu: 1500m}}")},
		{spec: container("resources: {limits: {cpu: '0.05', memory: 64Mi}}")},
		{spec: container("resources: {requests: {cpu: 1}}"), want: "spec.container.resources.requests.cpu must be text, not 1: put quotes around it"},
		{spec: container("resources: {requests: {cpu: '0'}}"), want: "spec.container.resources.requests.cpu"},
		{spec: container("resources: {requests: {cpu: ''}}"), want: "cpu", only: crdAbsent},
		{spec: container("resources: {requests: {cpu: '-1'}}"), want: "spec.container.resources.requests.cpu"},
		{spec: container("resources: {requests: {cpu: '0.0001'}}"), want: "spec.container.resources.requests.cpu"},
		{spec: container("resources: {limits: {cpu: 1k}}"), want: "spec.container.resources.limits.cpu"},
		{spec: container("resources: {limits: {cpu: 10000000m}}"), want: "spec.container.resources.limits.cpu"},
		{spec: container("resources: {limits: {cpu: 1234567890m}}"), want: "spec.container.resources.limits.cpu"},
		{spec: container("resources: {requests: {cpu: 1234567890m}}"), want: "spec.container.resources.requests.cpu"},
		{spec: container("resources: {requests: {cpu: '2'}, limits: {cpu: 1999m}}"), want: "spec.container.resources.requests.cpu 2 is above limits.cpu 1999m"},
		{spec: container("resources: {requests: {memory: '0'}}"), want: "spec.container.resources.requests.memory"},
		{spec: container("resources: {requests: {memory: 512m}}"), want: "spec.container.resources.requests.memory"},
		{spec: container("resources: {limits: {memory: 1.5Gi}}"), want: "spec.container.resources.limits.memory"},
		{spec: container("resources: {limits: {memory: 1234567890123}}"), want: "spec.container.resources.limits.memory"},
		{spec: container("resources: {limits: {memory: '1234567890123'}}"), want: "spec.container.resources.limits.memory"},
		{spec: container("resources: {requests: {memory: '1234567890123'}}"), want: "spec.container.resources.requests.memory"},
		{spec: container("resources: {requests: {memory: 1Gi}, limits: {memory: 1G}}"), want: "spec.container.resources.requests.memory 1Gi is above limits.memory 1G"},
		{spec: container("resources: {requests: {ephemeral-storage: 1Gi}}"), want: `"spec.container.resources.requests.ephemeral-storage"`},

		{spec: "{minReplicas: 1, maxReplicas: 1}"},
		{spec: "{minReplicas: 1000}"},
		{spec: "{maxReplicas: 1}"},
		{spec: "minReplicas: 0", want: "minReplicas", only: crdAbsent},
		{spec: "maxReplicas: 0", want: "maxReplicas", only: crdAbsent},
		{spec: "minReplicas: -1", want: "spec.minReplicas -1 is not between 1 and 1000"},
		{spec: "maxReplicas: -1", want: "spec.maxReplicas -1 is not between 1 and 1000"},
		{spec: "minReplicas: 1001", want: "spec.minReplicas 1001 is not between"},
		{spec: "maxReplicas: 1001", want: "spec.maxReplicas 1001 is not between"},
		{spec: "{minReplicas: 3, maxReplicas: 2}", want: "spec.minReplicas 3 is above spec.maxReplicas 2: change one of the two"},
		{spec: "minReplicas: 1.5", want: "spec.minReplicas must be a whole number"},

		{spec: "workloadNamespace: ''"},
		{spec: "workloadNamespace: a-b"},
		{spec: "workloadNamespace: A", want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: a.b", want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: ../a", want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: " + x("a", 64), want: "spec.workloadNamespace"},
	})
)

// probeRows are those of one of a container's probes.
func probeRows(name string) []row {
	probe := func(fields string) string { return container(name + ": {" + fields + "}") }
	rows := []row{
		{spec: probe("httpGet: {path: /}")},
		{spec: probe("httpGet: {path: '/ready?a=b#c', }, periodSeconds: 1, timeoutSeconds: 3600, failureThreshold: 100")},
		{spec: probe(""), want: "spec.container." + name + ".httpGet.path is missing"},
		{spec: probe("httpGet: {}"), want: "spec.container." + name + ".httpGet.path is missing"},
		{spec: probe("httpGet: {path: ''}"), want: "spec.container." + name + ".httpGet.path is missing"},
		{spec: probe("httpGet: {path: ready}"), want: "spec.container." + name + ".httpGet.path"},
		{spec: probe("httpGet: {path: '/a b'}"), want: "spec.container." + name + ".httpGet.path"},
		{spec: probe(`httpGet: {path: "/a\n"}`), want: "spec.container." + name + ".httpGet.path"},
		{spec: probe("httpGet: {path: /é}"), want: "spec.container." + name + ".httpGet.path"},
		{spec: probe("httpGet: {path: /" + x("a", 1023) + "}")},
		{spec: probe("httpGet: {path: /" + x("a", 1024) + "}"), want: "spec.container." + name + ".httpGet.path has 1025 characters"},
		{spec: probe("httpGet: {path: /, port: 1}"), want: `"spec.container.` + name + `.httpGet.port"`},
		{spec: probe("tcpSocket: {port: 1}"), want: `"spec.container.` + name + `.tcpSocket"`},
		{spec: probe("httpGet: {path: /}") + "\ntype: Worker", want: "spec.container." + name + " goes with type: Service only"},
	}
	for _, number := range []string{"periodSeconds", "timeoutSeconds", "failureThreshold"} {
		rows = append(rows,
			row{spec: probe("httpGet: {path: /}, " + number + ": 0"), want: number, only: crdAbsent},
			row{spec: probe("httpGet: {path: /}, " + number + ": -1"), want: "spec.container." + name + "." + number + " -1 is not between 1 and 3600"},
			row{spec: probe("httpGet: {path: /}, " + number + ": 3601"), want: "spec.container." + name + "." + number + " 3601 is not between"})
	}
	return rows
}

// anySystem is a System that admits all workloads.
var anySystem = txtar.File{Name: "systems/System.baleen.dev/shop.yaml", Data: []byte(
	"apiVersion: baleen.dev/v1alpha1\nkind: System\nmetadata: {name: shop, namespace: systems}\nspec: {owner: {team: a}, allowedNamespaces: ['*'], placement: {matchLabels: {environment: prod}}}\n")}

func systemTroubles() []trouble {
	invalid := func(fields, words string) trouble {
		return trouble{fields: fields, reason: "InvalidSpec", words: words}
	}
	return []trouble{
		invalid("owner: null", "spec.owner.team is missing"),
		invalid("owner: {team: "+breakout+"}", "spec.owner.team"),
		invalid("displayName: "+breakout, "spec.displayName"),
		invalid("placement: {}", "needs at least one label"),
		invalid("placement: {matchLabels: {a: "+breakout+"}}", "spec.placement.matchLabels"),
		invalid("policy: {images: ["+breakout+"]}", "spec.policy.images[0]"),
		{fields: "placement: {matchLabels: {environment: none}}", reason: "NoDestination", words: "no Destination matches spec.placement"},
		{files: configMap("baleen-config", "{systemNamespaces: '[systems]'}"), reason: "WrongNamespace", words: "a System in the namespace baleen-system counts for nobody: make it in one that systemNamespaces"},
		{files: configMap("baleen-config", "{systemNamespaces: team-a}"), reason: "ConfigurationInvalid", words: `the key "systemNamespaces"`},
	}
}

func workloadTroubles(t *testing.T) []trouble {
	t.Helper()
	invalid := func(fields, words string) trouble {
		return trouble{fields: fields, reason: "InvalidSpec", words: words}
	}
	overlay := func(data, reason, words string) trouble {
		return trouble{files: configMap("workload-overlays", data), reason: reason, words: words}
	}
	return []trouble{
		{fields: "systemRef: {name: nothing}", reason: "SystemNotFound", words: "there is no System baleen-system/nothing: correct spec.systemRef, or ask the platform team for the System"},
		{fields: "systemRef: {name: shop, namespace: team-a}", reason: "SystemNotTrusted", words: "a System in the namespace team-a counts for nobody: refer to one in baleen-system"},
		{files: systemFile(t, "metadata: {", "metadata: {finalizers: [a/b], deletionTimestamp: '2026-01-01T00:00:00Z', "), reason: "SystemNotFound", words: "System baleen-system/shop is being deleted: move the workload to another one"},
		{files: systemFile(t, "team: team-a", "team: team a"), reason: "SystemInvalid", words: "System baleen-system/shop is not valid: spec.owner.team"},
		{files: systemFile(t, "[team-a, team-b]", "[team-b]"), reason: "NotAdmitted", words: "does not admit workloads of the namespace team-a: ask its owner to add the namespace to spec.allowedNamespaces"},
		{fields: "container: {image: 'nginx:1.27'}", reason: "NotAdmitted", words: `the repository "docker.io/library/nginx" is not covered by spec.policy.images`},
		{fields: "container: {image: '111122223333.dkr.ecr.evil.example/x.amazonaws.com/shop/pwn:1'}", reason: "NotAdmitted", words: "is not covered by spec.policy.images"},
		{fields: "maxReplicas: 21", reason: "NotAdmitted", words: "spec.maxReplicas: 21 is more than spec.policy.maxReplicas, which is 20"},
		{fields: "minReplicas: 21", reason: "NotAdmitted", words: "spec.maxReplicas: 21 is more than spec.policy.maxReplicas, which is 20"},
		{fields: "workloadNamespace: team-b", reason: "NamespaceNotMapped", words: "may not act on the workload namespace team-b"},
		{fields: "workloadNamespace: kube-system", reason: "NamespaceNotMapped", words: "may not act on the workload namespace kube-system"},

		invalid("container: {image: "+breakout+"}", "spec.container.image"),
		invalid("container: {image: 'a:1', env: [{name: "+breakout+"}]}", "spec.container.env[0].name"),
		invalid(`container: {image: 'a:1', env: [{name: A, value: "\u0000"}]}`, "spec.container.env[0].value"),
		invalid("systemRef: {name: "+breakout+"}", "spec.systemRef.name"),
		invalid("workloadNamespace: "+breakout, "spec.workloadNamespace"),
		invalid("{systemRef: null, container: null}", "spec.systemRef.name is missing; spec.container.image is missing"),

		{files: configMap("baleen-config", "{systemNamespaces: '[]'}"), reason: "ConfigurationInvalid", words: `the key "systemNamespaces"`},
		overlay("{a.yaml: 5}", "OverlayFailed", "data that is not text"),
		overlay("{a.txt: a}", "OverlayFailed", "does not end in .yaml"),
		overlay("{a.yaml: \"#@ fail('no')\\n\"}", "RenderFailed", "the overlays of the platform team do not apply"),
		overlay("{a.yaml: \"kind: [a]\\n\"}", "RenderFailed", "the overlays of the platform team do not apply"),
	}
}
