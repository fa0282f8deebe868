package pipelines_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/tools/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/scenario"
)

// Why one of the two cannot refuse.
const (
	binaryChecksum = "binary only: CEL computes no checksum"
	binaryPEM      = "binary only: CEL reads no certificate"
	binaryZones    = "binary only: CEL does not know the time zones"
	binaryDays     = "binary only: to compare durations that may be in days costs more in CEL than an API server allows"
	binaryBytes    = "binary only: the CRD counts characters"
)

const (
	accountID   = "AD4BPRVSQXPWIZGJD5EC72OJ75W6T7C4UXTXULLZD3JIZMCAGBRKSJ27"
	goodUser    = `{accountRef: {name: a}, secret: {name: s}}`
	goodAccount = `{provider: jwt, jwt: {accountID: ` + accountID + `, signingKey: {secretRef: {name: a}}}}`
)

// jwt is a NatsAccount's jwt with one field more.
func jwt(more string) string {
	return "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: a}}, " + more + "}"
}

// signingKey is a NatsAccount's jwt with one field more of its signing key.
func signingKey(more string) string {
	return "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: a}, " + more + "}}"
}

// synadia is a NatsAccount with provider synadia, with fields beside its token's
// reference.
func synadia(fields string) string {
	if !strings.Contains(fields, "platform:") {
		fields = "platform: a, " + fields
	}
	return "{provider: synadia, jwt: null, synadia: {tokenSecretRef: {name: a}, " + fields + "}}"
}

// operatorWith is the beginning of a NatsAccount's jwt with an operator.
func operatorWith(fields string) string {
	return "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: a}}, servers: ['nats://a'], operator: {" + fields
}

// text is a YAML scalar for any text.
func text(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// certificate is a certificate in PEM form: of RSA, as Sealed Secrets has it, or
// of another kind.
func certificate(from, to time.Time, ofRSA bool) string {
	var signer any = rsaKey()
	var public any = &rsaKey().PublicKey
	if !ofRSA {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		signer, public = key, &key.PublicKey
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// rsaKey is one key for all tests: to make one takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

var (
	authority  = certificate(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), false)
	privateKey = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}))

	accountRows = slices.Concat([]row{
		{spec: "{}"},
		{spec: "unknown: 1", want: `"spec.unknown"`},
		{spec: "provider: null", want: "spec.provider"},
		{spec: "provider: ''", want: "spec.provider"},
		{spec: "provider: JWT", want: `spec.provider "JWT"`},
		{spec: "provider: ngs", want: `spec.provider "ngs" is not jwt or synadia`},
		{spec: "provider: synadia", want: "spec.jwt goes with provider jwt only: leave it out; spec.provider synadia needs the field spec.synadia"},
		{spec: "provider: [jwt]", want: "spec.provider must be text, not a list"},

		{spec: "jwt: null", want: "spec.provider jwt needs the field spec.jwt"},
		{spec: "jwt: {}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: " + accountID + "}", want: "spec.jwt.signingKey.secretRef.name is missing"},
		{spec: "jwt: {accountID: " + accountID + ", signingKey: {}}", want: "spec.jwt.signingKey.secretRef.name is missing"},
		{spec: "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {}}}", want: "spec.jwt.signingKey.secretRef.name is missing"},
		{spec: "jwt: {signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: '', signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: " + strings.ToLower(accountID) + ", signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: U" + accountID[1:] + ", signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: " + accountID[:55] + ", signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: " + accountID + "A, signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: \"" + accountID + "\\n\", signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID"},
		{spec: "jwt: {accountID: " + accountID[:55] + "6, signingKey: {secretRef: {name: a}}}", want: "spec.jwt.accountID", only: binaryChecksum},
		{spec: jwt("seed: a"), want: `"spec.jwt.seed"`},

		{spec: "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: a, namespace: b}}}", want: `"spec.jwt.signingKey.secretRef.namespace"`},
		{spec: signingKey("scoped: true")},
		{spec: signingKey("scoped: 'true'"), want: "spec.jwt.signingKey.scoped must be true or false, not text"},
		{spec: signingKey("requiredTags: []")},
		{spec: signingKey("requiredTags: [team]"), want: "goes with scoped: true only"},
		{spec: signingKey("scoped: false, requiredTags: [team]"), want: "goes with scoped: true only"},

		{spec: jwt("caCertificates: " + text(authority))},
		{spec: jwt("caCertificates: " + text(authority+"\n# another\n"+authority))},
		{spec: jwt("caCertificates: ''"), want: "certificate", only: crdAbsent},
		{spec: jwt("caCertificates: a"), want: "holds no certificate in PEM form"},
		{spec: jwt("caCertificates: " + text(authority[:len(authority)-10])), want: "cut off", only: binaryPEM},
		{spec: jwt("caCertificates: " + text(authority+authority[:len(authority)-10])), want: "cut off", only: binaryPEM},
		{spec: jwt("caCertificates: " + text(strings.Replace(authority, "M", "A", 1))), want: "something that is no certificate", only: binaryPEM},
		{spec: jwt("caCertificates: " + text(strings.ReplaceAll(authority, "CERTIFICATE", "PUBLIC KEY"))), want: "something that is no certificate"},
		{spec: jwt("caCertificates: " + text(privateKey)), want: "holds a private key"},
		{spec: jwt("caCertificates: " + text(authority+privateKey)), want: "holds a private key"},
		{spec: jwt("caCertificates: " + text(authority+x("#", 65536-len(authority))))},
		{spec: jwt("caCertificates: " + text(authority+x("#", 65536))), want: "longer than 64 KiB"},

		{spec: jwt("servers: ['nats://a'], operator: {signingKeySecretRef: {name: a}, systemCredentialsSecretRef: {name: b}}")},
		{spec: jwt("operator: {signingKeySecretRef: {name: a}, systemCredentialsSecretRef: {name: b}}"), want: "spec.jwt.operator needs spec.jwt.servers"},
		{spec: jwt("servers: [], operator: {signingKeySecretRef: {name: a}, systemCredentialsSecretRef: {name: b}}"), want: "spec.jwt.operator needs spec.jwt.servers"},
		{spec: jwt("servers: ['nats://a'], operator: {}"), want: "spec.jwt.operator.signingKeySecretRef.name is missing"},
		{spec: jwt("servers: ['nats://a'], operator: {systemCredentialsSecretRef: {name: b}}"), want: "spec.jwt.operator.signingKeySecretRef.name is missing"},
		{spec: jwt("servers: ['nats://a'], operator: {signingKeySecretRef: {name: b}}"), want: "spec.jwt.operator.systemCredentialsSecretRef.name is missing"},
		{spec: jwt("servers: ['nats://a'], operator: {signingKeySecretRef: {name: a}, systemCredentialsSecretRef: {name: b}, seed: c}"), want: `"spec.jwt.operator.seed"`},

		{spec: synadia("accountID: a")},
		{spec: synadia("accountID: a, caCertificates: " + text(authority))},
		{spec: synadia("accountID: a, caCertificates: ''"), want: "certificate", only: crdAbsent},
		{spec: synadia("accountID: a, caCertificates: a"), want: "spec.synadia.caCertificates holds no certificate in PEM form"},
		{spec: synadia("accountID: a, caCertificates: " + text(authority+privateKey)), want: "spec.synadia.caCertificates holds a private key"},
		{spec: synadia("accountID: a, caCertificates: " + text(authority+x("#", 65536))), want: "spec.synadia.caCertificates is longer than 64 KiB"},
		{spec: "{provider: synadia, jwt: null}", want: "spec.provider synadia needs the field spec.synadia"},
		{spec: "{provider: synadia, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}}}", want: "spec.jwt goes with provider jwt only"},
		{spec: "synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}}", want: "spec.synadia goes with provider synadia only"},
		{spec: "{jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}}}", want: "spec.provider jwt needs the field spec.jwt"},
		{spec: "{provider: null, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}}}", want: "spec.provider"},
		{spec: "{provider: synadia, jwt: null, synadia: a}", want: "spec.synadia must be a map, not text"},
		{spec: "{provider: synadia, jwt: null, synadia: {}}", want: "spec.synadia.tokenSecretRef.name is missing"},
		{spec: "{provider: synadia, jwt: null, synadia: {accountID: a, platform: a}}", want: "spec.synadia.tokenSecretRef.name is missing"},
		{spec: synadia("accountID: a, token: b"), want: `"spec.synadia.token"`},
		{spec: "{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a, namespace: b}}}", want: `"spec.synadia.tokenSecretRef.namespace"`},

		{spec: synadia("system: NGS, account: My account")},
		{spec: synadia(""), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("system: NGS"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("account: a"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("accountID: a, system: NGS"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("accountID: a, account: a"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("accountID: a, system: NGS, account: a"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("system: '', account: a"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("system: NGS, account: ''"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("accountID: '', system: '', account: ''"), want: "spec.synadia needs accountID, or system and account in its place"},
		{spec: synadia("accountID: a, system: ''"), want: "system", only: crdAbsent},
		{spec: synadia("accountID: a, account: ''"), want: "account", only: crdAbsent},
		{spec: synadia("accountID: '', system: NGS, account: a"), want: "accountID", only: crdAbsent},
		{spec: synadia("accountID: 2DyXK_z9-Q")},
		{spec: synadia("accountID: 7"), want: "spec.synadia.accountID must be text, not 7: put quotes around it"},
		{spec: synadia("accountID: a.b"), want: "spec.synadia.accountID"},
		{spec: synadia("accountID: ../teams"), want: "spec.synadia.accountID"},
		{spec: synadia("accountID: 'a?b'"), want: "spec.synadia.accountID"},
		{spec: synadia("accountID: a%2fb"), want: "spec.synadia.accountID"},
		{spec: synadia("accountID: a b"), want: "spec.synadia.accountID"},
		{spec: synadia(`accountID: "a\n"`), want: "spec.synadia.accountID"},
		{spec: synadia("accountID: é"), want: "spec.synadia.accountID"},
		{spec: synadia("accountID: " + x("a", 64))},
		{spec: synadia("accountID: " + x("a", 65)), want: "spec.synadia.accountID"},
		{spec: synadia("account: a, system: " + x("é", 128))},
		{spec: synadia("account: a, system: " + x("é", 129)), want: "spec.synadia.system has 129 characters"},
		{spec: synadia("system: NGS, account: " + x("é", 128))},
		{spec: synadia("system: NGS, account: " + x("é", 129)), want: "spec.synadia.account has 129 characters"},

		{spec: synadia("accountID: a, signingKeyGroup: Default")},
		{spec: synadia("accountID: a, signingKeyGroup: ''"), want: "signingKeyGroup", only: crdAbsent},
		{spec: synadia("accountID: a, signingKeyGroup: " + x("é", 128))},
		{spec: synadia("accountID: a, signingKeyGroup: " + x("é", 129)), want: "spec.synadia.signingKeyGroup has 129 characters"},

		{spec: synadia("accountID: a, platform: ''"), want: "spec.synadia.platform"},
		{spec: synadia("accountID: a, platform: prod-1")},
		{spec: synadia("accountID: a, platform: Prod"), want: "spec.synadia.platform"},
		{spec: synadia("accountID: a, platform: -a"), want: "spec.synadia.platform"},
		{spec: synadia("accountID: a, platform: a-"), want: "spec.synadia.platform"},
		{spec: synadia("accountID: a, platform: a.b"), want: "spec.synadia.platform"},
		{spec: synadia(`accountID: a, platform: "a\n"`), want: "spec.synadia.platform"},
		{spec: synadia("accountID: a, platform: " + x("a", 63))},
		{spec: synadia("accountID: a, platform: " + x("a", 64)), want: "spec.synadia.platform"},

		{spec: synadia("accountID: a, driftPolicy: Correct")},
		{spec: synadia("accountID: a, driftPolicy: correct"), want: `spec.synadia.driftPolicy "correct" is not Report or Correct`},
		{spec: synadia("accountID: a, driftPolicy: ''"), want: "driftPolicy", only: crdAbsent},
		{spec: synadia("accountID: a, verifyInterval: 1s")},
		{spec: synadia("accountID: a, verifyInterval: 0h"), want: `spec.synadia.verifyInterval "0h" is too short: write at least 1s`},
		{spec: synadia("accountID: a, verifyInterval: 999ms"), want: `spec.synadia.verifyInterval "999ms" is too short: write at least 1s`, only: binaryDays},
		{spec: synadia("accountID: a, platform: a, budget: 1s")},
		{spec: synadia("accountID: a, platform: a, budget: 10m")},
		{spec: synadia("accountID: a, platform: a, budget: 0s"), want: `spec.synadia.budget "0s" is too short: write at least 1s`},
		{spec: synadia("accountID: a, platform: a, budget: 999ms"), want: `spec.synadia.budget "999ms" is too short: write at least 1s`, only: binaryDays},
		{spec: synadia("accountID: a, platform: a, budget: 601s"), want: `spec.synadia.budget "601s" is too long: write at most 10m`, only: binaryDays},
		{spec: synadia("accountID: a, platform: a, budget: 1d"), want: `spec.synadia.budget "1d" is too long: write at most 10m`, only: binaryDays},

		{spec: "policy: {}"},
		{spec: "policy: {subscriptions: 1}", want: `"spec.policy.subscriptions"`},
		{spec: "policy: {namespaces: []}"},
		{spec: "policy: {namespaces: ['*', team-a, 'team-*', '*-a-*']}"},
		{spec: "policy: {namespaces: team-a}", want: "spec.policy.namespaces must be a list, not text"},
		{spec: "policy: {namespaces: [null]}", want: "spec.policy.namespaces[0] must be text, not null"},
		{spec: "policy: {namespaces: ['']}", want: "spec.policy.namespaces"},
		{spec: "policy: {namespaces: [Team]}", want: "spec.policy.namespaces"},
		{spec: "policy: {namespaces: ['team-?']}", want: "spec.policy.namespaces"},
		{spec: "policy: {namespaces: ['team-[ab]']}", want: "spec.policy.namespaces"},
		{spec: "policy: {namespaces: ['{{namespace}}']}", want: "spec.policy.namespaces"},
		{spec: "policy: {namespaces: [" + x("a", 63) + "]}"},
		{spec: "policy: {namespaces: [" + x("a", 64) + "]}", want: "spec.policy.namespaces"},
		{spec: "policy: {namespaces: [a, a]}", want: "twice"},
		{spec: "policy: {namespaces: [" + many(64, "n#") + "]}"},
		{spec: "policy: {namespaces: [" + many(65, "n#") + "]}", want: "spec.policy.namespaces has 65 entries"},

		{spec: "policy: {maxTTL: 1m, minRenewBefore: 1s}"},
		{spec: "policy: {maxTTL: 59s, minRenewBefore: 1s}", want: `spec.policy.maxTTL "59s" is too short`, only: binaryDays},
		{spec: "policy: {maxTTL: 0h}", want: `spec.policy.maxTTL "0h" is too short`},
		{spec: "policy: {minRenewBefore: 0s}", want: `spec.policy.minRenewBefore "0s" is too short`},
		{spec: "policy: {maxTTL: 2d}", want: "spec.policy.minRenewBefore 48h is not shorter than maxTTL 2d", only: binaryDays},
		{spec: "policy: {maxTTL: 30d, minRenewBefore: 720h}", want: "spec.policy.minRenewBefore 720h is not shorter than maxTTL 30d", only: binaryDays},
		{spec: "policy: {minRenewBefore: 100d}", want: "spec.policy.minRenewBefore 100d is not shorter than maxTTL 2160h", only: binaryDays},

		{spec: "policy: {connectionTypes: null}"},
		{spec: "policy: {connectionTypes: []}", want: "spec.policy.connectionTypes has 0 entries"},
		{spec: "policy: {allowBearerTokens: true}"},
		{spec: "policy: {allowBearerTokens: yes please}", want: "spec.policy.allowBearerTokens must be true or false, not text"},

		{spec: "policy: {tags: []}"},
		{spec: "policy: {tags: ['*', 'stage:*', 'team:{{namespace}}', 'a/b_c.{{name}}', '{{namespace}}{{name}}']}"},
		{spec: "policy: {tags: ['']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['Stage:*']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['a b']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['a?']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['[ab]']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['a\\\\']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['{{team}}']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['{{{name}}}']}", want: "spec.policy.tags"},
		{spec: "policy: {tags: ['{a}']}", want: "spec.policy.tags"},
		{spec: `policy: {tags: ["a\n"]}`, want: "spec.policy.tags"},
		{spec: "policy: {tags: [a, a]}", want: "twice"},
		{spec: "policy: {tags: [" + x("a", 128) + "]}"},
		{spec: "policy: {tags: [" + x("a", 129) + "]}", want: "spec.policy.tags"},
		{spec: "policy: {tags: [" + many(64, "t#") + "]}"},
		{spec: "policy: {tags: [" + many(65, "t#") + "]}", want: "spec.policy.tags has 65 entries"},

		{spec: "policy: {maxJWTBytes: null}"},
		{spec: "policy: {maxJWTBytes: 1024}"},
		{spec: "policy: {maxJWTBytes: 1048576}"},
		{spec: "policy: {maxJWTBytes: 0}", want: "maxJWTBytes", only: crdAbsent},
		{spec: "policy: {allowResponses: {}}"},
		{spec: "policy: {allowResponses: {max: 1000000, ttl: 1d}}"},
		{spec: "policy: {allowResponses: {max: 0}}", want: "max", only: crdAbsent},
		{spec: "policy: {allowResponses: {max: -1}}", want: "spec.policy.allowResponses.max -1"},
		{spec: "policy: {allowResponses: {max: 1000001}}", want: "spec.policy.allowResponses.max 1000001"},
		{spec: "policy: {allowResponses: {ttl: 0s}}", want: "spec.policy.allowResponses.ttl"},
		{spec: "policy: {maxJWTBytes: 1023}", want: "spec.policy.maxJWTBytes 1023"},
		{spec: "policy: {maxJWTBytes: 1048577}", want: "spec.policy.maxJWTBytes 1048577"},
		{spec: "policy: {maxJWTBytes: -1}", want: "spec.policy.maxJWTBytes -1"},
		{spec: "policy: {maxFormer: 1}"},
		{spec: "policy: {maxFormer: 100000}"},
		{spec: "policy: {maxFormer: 0}", want: "spec.policy.maxFormer 0"},
		{spec: "policy: {maxFormer: 100001}", want: "spec.policy.maxFormer 100001"},
		{spec: "policy: {maxFormer: many}", want: "spec.policy.maxFormer must be a whole number, not text"},
		{spec: "policy: {maxJWTBytes: 4Ki}", want: "spec.policy.maxJWTBytes must be a whole number, not text"},

		{spec: "placement: {}"},
		{spec: "placement: {matchLabels: {}}", want: `"spec.placement.matchLabels"`},
		{spec: "placement: {allowed: []}"},
		{spec: "placement: {allowed: [" + many(32, "{matchLabels: {a: b#}}") + "]}"},
		{spec: "placement: {allowed: [" + many(33, "{matchLabels: {a: b#}}") + "]}", want: "spec.placement.allowed has 33 entries"},
	},
		within("jwt: {accountID: "+accountID+", signingKey: {secretRef: {", "}}}", "spec.jwt.signingKey.secretRef", refRows),
		within(operatorWith("systemCredentialsSecretRef: {name: b}, signingKeySecretRef: {"), "}}}", "spec.jwt.operator.signingKeySecretRef", refRows),
		within(operatorWith("signingKeySecretRef: {name: b}, systemCredentialsSecretRef: {"), "}}}", "spec.jwt.operator.systemCredentialsSecretRef", refRows),
		within("jwt: {accountID: "+accountID+", signingKey: {secretRef: {name: a}, scoped: true, requiredTags: [", "]}}", "spec.jwt.signingKey.requiredTags", requiredTagRows),
		within("jwt: {accountID: "+accountID+", signingKey: {secretRef: {name: a}}, servers: [", "]}", "spec.jwt.servers", serverRows),
		within("{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {", "}}}", "spec.synadia.tokenSecretRef", refRows),
		within("{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}, requiredTags: [", "]}}", "spec.synadia.requiredTags", requiredTagRows),
		within("{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}, servers: [", "]}}", "spec.synadia.servers", serverRows),
		within("{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}, baseURL: ", "}}", "spec.synadia.baseURL", baseURLRows),
		within("{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}, verifyInterval: ", "}}", "spec.synadia.verifyInterval", durationRows),
		within("{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a}, budget: ", "}}", "spec.synadia.budget", noDurationRows),
		within("policy: {publish: [", "]}", "spec.policy.publish", append(subjectRows, patternRows...)),
		within("policy: {subscribe: [", "]}", "spec.policy.subscribe", append(subjectRows, patternRows...)),
		within("policy: {minRenewBefore: 1s, maxTTL: ", "}", "spec.policy.maxTTL", durationRows),
		within("policy: {maxOverlap: ", "}", "spec.policy.maxOverlap", durationRows),
		within("policy: {minRenewBefore: ", "}", "spec.policy.minRenewBefore", durationRows),
		within("policy: {allowResponses: {ttl: ", "}}", "spec.policy.allowResponses.ttl", durationRows),
		within("policy: {connectionTypes: [", "]}", "spec.policy.connectionTypes", connectionRows),
		within("placement: {allowed: [", "]}", "spec.placement.allowed[0]", placementRows),
	)

	userRows = slices.Concat([]row{
		{spec: "{}"},
		{spec: "unknown: 1", want: `"spec.unknown"`},
		{spec: "accountref: {name: a}", want: `"spec.accountref"`},

		{spec: "accountRef: null", want: "spec.accountRef.name is missing"},
		{spec: "accountRef: {}", want: "spec.accountRef.name is missing"},
		{spec: "accountRef: {name: ''}", want: "spec.accountRef.name is missing"},
		{spec: "accountRef: {name: a.b}"},
		{spec: "accountRef: {name: A}", want: "spec.accountRef.name"},
		{spec: "accountRef: {name: a..b}", want: "spec.accountRef.name"},
		{spec: "accountRef: {name: ../a}", want: "spec.accountRef.name"},
		{spec: "accountRef: {name: " + x("a", 63) + "}"},
		{spec: "accountRef: {name: " + x("a", 64) + "}", want: "spec.accountRef.name"},
		{spec: "accountRef: {name: a, namespace: b}", want: `"spec.accountRef.namespace"`},

		{spec: "permissions: {}"},
		{spec: "permissions: {publish: {}, subscribe: {}}"},
		{spec: "permissions: {request: {}}", want: `"spec.permissions.request"`},
		{spec: "permissions: {publish: [a]}", want: "spec.permissions.publish must be a map, not a list"},
		{spec: "permissions: {publish: {allow: a}}", want: "spec.permissions.publish.allow must be a list, not text"},
		{spec: "permissions: {allowResponses: {}}"},
		{spec: "permissions: {allowResponses: {max: 1000000, ttl: 1d}}"},
		{spec: "permissions: {allowResponses: {max: 0}}", want: "max", only: crdAbsent},
		{spec: "permissions: {allowResponses: {max: -1}}", want: "spec.permissions.allowResponses.max -1"},
		{spec: "permissions: {allowResponses: {max: 1000001}}", want: "spec.permissions.allowResponses.max 1000001"},
		{spec: "permissions: {allowResponses: {max: 1.5}}", want: "spec.permissions.allowResponses.max must be a whole number"},
		{spec: "permissions: {allowResponses: {ttl: 0s}}", want: "spec.permissions.allowResponses.ttl"},

		{spec: "limits: {}"},
		{spec: "limits: {subscriptions: 1, payload: 1Mi}"},
		{spec: "limits: {subscriptions: 0}", want: "subscriptions", only: crdAbsent},
		{spec: "limits: {subscriptions: -1}", want: "spec.limits.subscriptions -1"},
		{spec: "limits: {subscriptions: 1000000000}"},
		{spec: "limits: {subscriptions: 1000000001}", want: "spec.limits.subscriptions 1000000001"},
		{spec: "limits: {subscriptions: '1'}", want: "spec.limits.subscriptions must be a whole number, not text"},
		{spec: "limits: {payload: '1024'}"},
		{spec: "limits: {payload: 999999999Gi}"},
		{spec: "limits: {payload: 1024}", want: "spec.limits.payload must be text, not 1024: put quotes around it"},
		{spec: "limits: {payload: ''}", want: "payload", only: crdAbsent},
		{spec: "limits: {payload: '0'}", want: "spec.limits.payload"},
		{spec: "limits: {payload: -1Mi}", want: "spec.limits.payload"},
		{spec: "limits: {payload: 1.5Mi}", want: "spec.limits.payload"},
		{spec: "limits: {payload: 1MB}", want: "spec.limits.payload"},
		{spec: "limits: {payload: 1Ti}", want: "spec.limits.payload"},
		{spec: "limits: {payload: 10000000000Mi}", want: "spec.limits.payload"},
		{spec: "limits: {data: 1}", want: `"spec.limits.data"`},

		{spec: "connectionTypes: []"},

		{spec: "sourceCIDRs: []"},
		{spec: "sourceCIDRs: [10.0.0.0/8, 192.0.2.7/32, '2001:DB8::/32', '::/0', '::ffff:192.0.2.0/120']"},
		{spec: "sourceCIDRs: [10.0.0.0]", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: [10.0.0.0/]", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: [10.0.0.0/33]", want: "spec.sourceCIDRs", only: binaryAddress},
		{spec: "sourceCIDRs: [10.0.0/8]", want: "spec.sourceCIDRs", only: binaryAddress},
		{spec: "sourceCIDRs: [10.0.0.256/8]", want: "spec.sourceCIDRs", only: binaryAddress},
		{spec: "sourceCIDRs: [10.0.0.0/0008]", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: ['fe80::1%eth0/64']", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: ['10.0.0.0/8,192.0.2.0/24']", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: [' 10.0.0.0/8']", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: [a.example.com/8]", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: ['" + x("0", 63) + "/8']", want: "spec.sourceCIDRs"},
		{spec: "sourceCIDRs: [10.0.0.0/8, 10.0.0.0/8]", want: "twice"},
		{spec: "sourceCIDRs: [" + many(64, "10.#.0.0/16") + "]"},
		{spec: "sourceCIDRs: [" + many(65, "10.#.0.0/16") + "]", want: "spec.sourceCIDRs has 65 entries"},

		{spec: "times: {}", want: "spec.times.ranges has 0 entries"},
		{spec: "times: {ranges: []}", want: "spec.times.ranges has 0 entries"},
		{spec: times("{start: '08:00:00', end: '18:00:00'}")},
		{spec: times("{start: '22:00:00', end: '06:00:00'}, {start: '00:00:00', end: '23:59:59'}")},
		{spec: times("{start: '08:00:00', end: '08:00:00'}"), want: "empty range"},
		{spec: times("{start: '24:00:00', end: '08:00:00'}"), want: "spec.times.ranges"},
		{spec: times("{start: '00:00:00', end: '24:00:00'}"), want: "spec.times.ranges"},
		{spec: times("{start: '8:00:00', end: '18:00:00'}"), want: "spec.times.ranges"},
		{spec: times("{start: '08:00', end: '18:00'}"), want: "spec.times.ranges"},
		{spec: times("{start: '08:60:00', end: '18:00:00'}"), want: "spec.times.ranges"},
		{spec: times("{start: '08:00:00.5', end: '18:00:00'}"), want: "spec.times.ranges"},
		{spec: times("{start: '08:00:00', end: '18:00:00.5'}"), want: "spec.times.ranges"},
		{spec: times("{start: 08:00:00, end: 6pm}"), want: "spec.times.ranges"},
		{spec: times("{start: '08:00:00'}"), want: "spec.times.ranges"},
		{spec: times("{end: '08:00:00'}"), want: "spec.times.ranges"},
		{spec: times("{start: '08:00:00', end: '18:00:00', days: [1]}"), want: `"spec.times.ranges[0].days"`},
		{spec: times(many(16, "{start: '08:00:0#', end: '18:00:00'}")), want: "spec.times.ranges"}, // '08:00:010'
		{spec: times(strings.Repeat("{start: '08:00:00', end: '18:00:00'}, ", 16))},
		{spec: times(strings.Repeat("{start: '08:00:00', end: '18:00:00'}, ", 17)), want: "spec.times.ranges has 17 entries"},
		{spec: zone("Europe/Zurich")},
		{spec: zone("UTC")},
		{spec: zone("Etc/GMT+12")},
		{spec: zone(""), want: "timeZone", only: crdAbsent},
		{spec: zone("Local"), want: "spec.times.timeZone"},
		{spec: zone("Mars/Olympus"), want: "spec.times.timeZone", only: binaryZones},
		{spec: zone("europe/zurich"), want: "spec.times.timeZone", only: binaryZones},
		{spec: zone("/etc/localtime"), want: "spec.times.timeZone", only: binaryZones},
		{spec: zone("../../etc/passwd"), want: "spec.times.timeZone"},
		{spec: zone("Europe/Zurich\n"), want: "spec.times.timeZone"},
		{spec: zone("+02:00"), want: "spec.times.timeZone"},
		{spec: zone(x("a", 65)), want: "spec.times.timeZone"},

		{spec: "tags: []"},
		{spec: "tags: [a, 'stage:prod', 'a-b_c.d:/e', '0']"},
		{spec: "tags: ['']", want: "spec.tags"},
		{spec: "tags: ['Stage:prod']", want: "spec.tags"},
		{spec: "tags: [':a']", want: "spec.tags"},
		{spec: "tags: ['a b']", want: "spec.tags"},
		{spec: "tags: [\"a\\n\"]", want: "spec.tags"},
		{spec: "tags: ['a,b']", want: "spec.tags"},
		{spec: "tags: ['team:*']", want: "spec.tags"},
		{spec: "tags: ['{{name}}']", want: "spec.tags"},
		{spec: "tags: ['namespace:team-b']", want: "that Baleen sets itself"},
		{spec: "tags: ['name:a']", want: "that Baleen sets itself"},
		{spec: "tags: ['destination:eu-1']", want: "that Baleen sets itself"},
		{spec: "tags: [namespace]", want: "that Baleen sets itself"},
		{spec: "tags: ['namespaces:a', namespace-a, 'a:namespace']"},
		{spec: "tags: [a, a]", want: "twice"},
		{spec: "tags: [" + x("a", 128) + "]"},
		{spec: "tags: [" + x("a", 129) + "]", want: "spec.tags"},
		{spec: "tags: [" + many(32, "t#") + "]"},
		{spec: "tags: [" + many(33, "t#") + "]", want: "spec.tags has 33 entries"},

		{spec: "bearerToken: true"},
		{spec: "bearerToken: 'true'", want: "spec.bearerToken must be true or false, not text"},

		{spec: "credentials: {}"},
		{spec: "credentials: {ttl: null}"},
		{spec: "credentials: {lifetime: 1d}", want: `"spec.credentials.lifetime"`},
		{spec: credentials("ttl: 1d")},
		{spec: credentials("ttl: 1m")},
		{spec: credentials("ttl: 59s"), want: `spec.credentials.ttl "59s" is too short`, only: binaryDays},
		{spec: credentials("ttl: 0h"), want: `spec.credentials.ttl "0h" is too short`},
		{spec: credentials("ttl: 0d"), want: `spec.credentials.ttl "0d" is too short`},
		{spec: credentials("ttl: 3650d")},
		{spec: credentials("ttl: 30d, renewBefore: 10d")},
		{spec: credentials("renewBefore: 719h")},
		{spec: credentials("renewBefore: 720h"), want: "spec.credentials.renewBefore 720h is not shorter than the ttl 720h", only: binaryDays},
		{spec: credentials("ttl: 30d, renewBefore: 720h"), want: "spec.credentials.renewBefore 720h is not shorter than the ttl 30d", only: binaryDays},
		{spec: credentials("ttl: 1d, renewBefore: 2d"), want: "is not shorter than the ttl", only: binaryDays},
		{spec: credentials("renewBefore: 0s"), want: `spec.credentials.renewBefore "0s" is too short`},
		{spec: credentials("overlap: 0s")},
		{spec: credentials("overlap: 3650d")},
		{spec: credentials("rotate: ''")},
		{spec: credentials("rotate: '2026-01-01#1'")},
		{spec: credentials("rotate: 1"), want: "spec.credentials.rotate must be text, not 1: put quotes around it"},
		{spec: credentials("rotate: 'a b'"), want: "spec.credentials.rotate"},
		{spec: credentials("rotate: é"), want: "spec.credentials.rotate"},
		{spec: credentials(`rotate: "a\n"`), want: "spec.credentials.rotate"},
		{spec: credentials(`rotate: "a\u0085"`), want: "spec.credentials.rotate"},
		{spec: credentials("rotate: " + x("a", 64))},
		{spec: credentials("rotate: " + x("a", 65)), want: "spec.credentials.rotate"},
		{spec: credentials("revokePrevious: Immediately")},
		{spec: credentials("revokePrevious: immediately"), want: `spec.credentials.revokePrevious "immediately"`},
		{spec: credentials("revokePrevious: ''"), want: "revokePrevious", only: crdAbsent},

		{spec: "secret: null", want: "spec.secret.name is missing"},
		{spec: "secret: {}", want: "spec.secret.name is missing"},
		{spec: "secret: s", want: "spec.secret must be a map, not text"},
		{spec: "secret: {name: ''}", want: "spec.secret.name is missing"},
		{spec: "secret: {name: s.t-u}"},
		{spec: "secret: {name: S}", want: "spec.secret.name"},
		{spec: "secret: {name: s_t}", want: "spec.secret.name"},
		{spec: "secret: {name: s.}", want: "spec.secret.name"},
		{spec: "secret: {name: ../s}", want: "spec.secret.name"},
		{spec: `secret: {name: "s\n---\nkind: ClusterRoleBinding"}`, want: "spec.secret.name"},
		{spec: `secret: {name: "s\u0085"}`, want: "spec.secret.name"},
		{spec: "secret: {name: " + x("a", 173) + "}"},
		{spec: "secret: {name: " + x("a", 174) + "}", want: "spec.secret.name has 174 characters"},
		{spec: "secret: {name: " + x("a", 254) + "}", want: "spec.secret.name"},
		{spec: "secret: {name: s, namespace: t}", want: `"spec.secret.namespace"`},
		{spec: "secret: {name: s, type: t}", want: `"spec.secret.type"`},
		{spec: "secret: {name: s, key: nats.creds}"},
		{spec: "secret: {name: s, key: .creds}"},
		{spec: "secret: {name: s, key: ''}", want: "key", only: crdAbsent},
		{spec: "secret: {name: s, key: .}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: ..}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: " + ledger.KeepKey + "}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: ..data}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: a/b}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: a b}", want: "spec.secret.key"},
		{spec: `secret: {name: s, key: "a\n"}`, want: "spec.secret.key"},
		{spec: "secret: {name: s, key: '%a'}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: '{a}'}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: é}", want: "spec.secret.key"},
		{spec: "secret: {name: s, key: " + x("a", 253) + "}"},
		{spec: "secret: {name: s, key: " + x("a", 254) + "}", want: "spec.secret.key"},
		{spec: "secret: {name: s, format: Creds, key: a}"},
		{spec: "secret: {name: s, format: JWTAndSeed}"},
		{spec: "secret: {name: s, format: Env}"},
		{spec: "secret: {name: s, format: Env, key: a}", want: "goes with format: Creds only"},
		{spec: "secret: {name: s, format: JWTAndSeed, key: a}", want: "goes with format: Creds only"},
		{spec: "secret: {name: s, format: env}", want: `spec.secret.format "env"`},
		{spec: "secret: {name: s, format: ''}", want: "format", only: crdAbsent},

		{spec: secret("labels: {}")},
		{spec: secret("labels: {app: a, example.com/app: '', A.b_c: A-1}")},
		{spec: secret("labels: {a: 1}"), want: `spec.secret.labels["a"] must be text, not 1: put quotes around it`},
		{spec: secret("labels: {a: null}"), want: "not null", only: binaryNull},
		{spec: secret("labels: {a b: c}"), want: "spec.secret.labels"},
		{spec: secret("labels: {'': c}"), want: "spec.secret.labels"},
		{spec: secret("labels: {A.com/b: c}"), want: "spec.secret.labels"},
		{spec: secret("labels: {a: 'b c'}"), want: "spec.secret.labels"},
		{spec: secret(`labels: {a: "b\n---\nkind: ClusterRoleBinding"}`), want: "spec.secret.labels"},
		{spec: secret("labels: {a: '%s'}"), want: "spec.secret.labels"},
		{spec: secret("labels: {a: " + x("b", 64) + "}"), want: "spec.secret.labels"},
		{spec: secret("labels: {" + x("a", 64) + ": b}"), want: "spec.secret.labels"},
		{spec: secret("labels: {? " + x("a", 253) + "/b : c}")},
		{spec: secret("labels: {? " + x("a", 254) + "/b : c}"), want: "spec.secret.labels"},
		{spec: secret("labels: {app.kubernetes.io/name: a}"), want: "belongs to others"},
		{spec: secret("labels: {argocd.argoproj.io/secret-type: cluster}"), want: "belongs to others"},
		{spec: secret("labels: {kratix.io/promise-name: a}"), want: "belongs to others"},
		{spec: secret("labels: {a.b.baleen.dev/request: a}"), want: "belongs to others"},
		{spec: secret("labels: {helm.sh/chart: a}"), want: "belongs to others"},
		{spec: secret("labels: {kubernetes.io.example.com/a: b, notkubernetes.io/a: b, kubernetes.io: b}")},
		{spec: secret("labels: {" + many(32, "k#: v") + "}")},
		{spec: secret("labels: {" + many(33, "k#: v") + "}"), want: "spec.secret.labels has 33 entries"},

		{spec: secret("annotations: {}")},
		{spec: secret("annotations: {reloader.example.com/match: 'true', A: ' {{ b }} %s: #', example.COM/a: é}")},
		{spec: secret("annotations: {a: true}"), want: `spec.secret.annotations["a"] must be text, not true`},
		{spec: secret("annotations: {a: null}"), want: "not null", only: binaryNull},
		{spec: secret("annotations: {a b: c}"), want: "spec.secret.annotations"},
		{spec: secret("annotations: {'': c}"), want: "spec.secret.annotations"},
		{spec: secret("annotations: {a/b/c: d}"), want: "spec.secret.annotations"},
		{spec: secret(`annotations: {"a\n": c}`), want: "spec.secret.annotations"},
		{spec: secret(`annotations: {"\u212a": c}`), want: "spec.secret.annotations"}, // the sign for Kelvin, which is a k in lower case
		{spec: secret(`annotations: {a: "b\n---\nkind: ClusterRoleBinding"}`), want: "line break"},
		{spec: secret(`annotations: {a: "b\u0085"}`), want: "line break"},
		{spec: secret(`annotations: {a: "b\u2028"}`), want: "line break"},
		{spec: secret(`annotations: {a: "b\u2029"}`), want: "line break"},
		{spec: secret(`annotations: {a: "b\0"}`), want: "line break"},
		{spec: secret(`annotations: {a: "b\x7f"}`), want: "line break"},
		{spec: secret("annotations: {a: " + x("b", 4096) + "}")},
		{spec: secret("annotations: {a: " + x("b", 4097) + "}"), want: "more than 4096 bytes"},
		{spec: secret("annotations: {a: " + x("é", 2049) + "}"), want: "more than 4096 bytes", only: binaryBytes},
		{spec: secret("annotations: {? " + x("a", 254) + "/b : c}"), want: "spec.secret.annotations"},
		{spec: secret("annotations: {sealedsecrets.bitnami.com/cluster-wide: 'true'}"), want: "belongs to others"},
		{spec: secret("annotations: {SealedSecrets.Bitnami.com/cluster-wide: 'true'}"), want: "belongs to others"},
		{spec: secret("annotations: {Kubernetes.IO/a: b}"), want: "belongs to others"},
		{spec: secret("annotations: {kubectl.kubernetes.io/last-applied-configuration: a}"), want: "belongs to others"},
		{spec: secret("annotations: {gateway.networking.x-k8s.io/a: b}"), want: "belongs to others"},
		{spec: secret("annotations: {argocd.argoproj.io/sync-options: Prune=false}"), want: "belongs to others"},
		{spec: secret("annotations: {meta.helm.sh/release-name: a}"), want: "belongs to others"},
		{spec: secret("annotations: {BALEEN.dev/credential: a}"), want: "belongs to others"},
		{spec: secret("annotations: {" + many(32, "k#: v") + "}")},
		{spec: secret("annotations: {" + many(33, "k#: v") + "}"), want: "spec.secret.annotations has 33 entries"},

		{spec: "workloadNamespace: ''"},
		{spec: "workloadNamespace: a"},
		{spec: "workloadNamespace: A", want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: a.b", want: "spec.workloadNamespace"},
		{spec: "workloadNamespace: " + x("a", 64), want: "spec.workloadNamespace"},

		{spec: "retain: Nothing"},
		{spec: "retain: nothing", want: `spec.retain "nothing"`},
		{spec: "retain: ''", want: "retain", only: crdAbsent},
		{spec: "deletionPolicy: Retain"},
		{spec: "deletionPolicy: retain", want: `spec.deletionPolicy "retain"`},
		{spec: "deletionPolicy: ''", want: "deletionPolicy", only: crdAbsent},
	},
		within("permissions: {publish: {allow: [", "]}}", "spec.permissions.publish.allow", subjectRows),
		within("permissions: {publish: {deny: [", "]}}", "spec.permissions.publish.deny", subjectRows),
		within("permissions: {subscribe: {allow: [", "]}}", "spec.permissions.subscribe.allow", subjectRows),
		within("permissions: {subscribe: {deny: [", "]}}", "spec.permissions.subscribe.deny", subjectRows),
		within("permissions: {allowResponses: {ttl: ", "}}", "spec.permissions.allowResponses.ttl", durationRows),
		within("connectionTypes: [", "]", "spec.connectionTypes", connectionRows),
		within("credentials: {ttl: ", "}", "spec.credentials.ttl", durationRows),
		within("credentials: {renewBefore: ", "}", "spec.credentials.renewBefore", durationRows),
		within("credentials: {overlap: ", "}", "spec.credentials.overlap", durationRows),
		within("placement: ", "", "spec.placement", placementRows),
	)
)

func times(ranges string) string { return "times: {ranges: [" + ranges + "]}" }

func zone(name string) string {
	return "times: {timeZone: " + text(name) + ", ranges: [{start: '08:00:00', end: '18:00:00'}]}"
}

func credentials(fields string) string { return "credentials: {" + fields + "}" }

func secret(more string) string { return "secret: {name: s, " + more + "}" }

// within puts what rows say between two texts. Their refusals go on with the
// name of the field.
func within(before, after, field string, rows []row) []row {
	var all []row
	for _, r := range rows {
		r.spec = before + r.spec + after
		if r.want != "" {
			r.want = field + r.want
		}
		all = append(all, r)
	}
	return all
}

// What is good and bad wherever there is a reference to a Secret, a list of tags
// that a scope needs, of servers, of subjects or of ways to connect, the address
// of a control plane, a duration or a placement.
var (
	refRows = []row{
		{spec: "", want: ".name is missing"},
		{spec: "name: a"},
		{spec: "name: " + x("a", 253)},
		{spec: "name: " + x("a", 254), want: ".name"},
		{spec: "name: ''", want: ".name is missing"},
		{spec: "name: A", want: ".name"},
		{spec: "name: a..b", want: ".name"},
		{spec: "name: ../a", want: ".name"},
		{spec: `name: "a\n"`, want: ".name"},
		{spec: "name: a, key: A.b_c-d"},
		{spec: "name: a, key: null"},
		{spec: "name: a, key: ''", want: ".key", only: crdAbsent},
		{spec: "name: a, key: a/b", want: ".key"},
		{spec: "name: a, key: .", want: ".key"},
		{spec: "name: a, key: ..b", want: ".key"},
		{spec: "name: a, key: " + x("a", 253)},
		{spec: "name: a, key: " + x("a", 254), want: ".key"},
	}

	requiredTagRows = []row{
		{spec: ""},
		{spec: "team, a.b-c_d"},
		{spec: "null", want: "[0] must be text, not null"},
		{spec: "Team", want: `: "Team" is not the name of a tag`},
		{spec: "'team:a'", want: `: "team:a" is not the name of a tag`},
		{spec: "''", want: `: "" is not the name of a tag`},
		{spec: `"a\n"`, want: `: "a\n" is not the name of a tag`},
		{spec: "a, a", want: ` has "a" twice`},
		{spec: x("a", 64)},
		{spec: x("a", 65), want: ": "},
		{spec: many(32, "t#")},
		{spec: many(33, "t#"), want: " has 33 entries"},
	}

	serverRows = []row{
		{spec: ""},
		{spec: "'nats://a', 'tls://nats.example.com:4222', 'nats://192.0.2.1:4222', 'nats://[2001:db8::1]:4222', 'nats://NATS.example.com'"},
		{spec: "'wss://a', 'ws://a:80'"},
		{spec: "'wss://a', 'nats://a'", want: " are to be all WebSocket (ws and wss) or none"},
		{spec: "'nats://a', 'nats://b', 'ws://a'", want: " are to be all WebSocket (ws and wss) or none"},
		{spec: "'nats://a', 'ws://a', 'nats://b'", want: " are to be all WebSocket (ws and wss) or none"},
		{spec: "'nats://a:1', 'nats://a:65535'"},
		{spec: "'nats://a', 'wss://a'", want: " are to be all WebSocket (ws and wss) or none"},
		{spec: "nats.example.com", want: `: "nats.example.com" is not the URL of a NATS server`},
		{spec: "'nats://'", want: ": "},
		{spec: "'NATS://a'", want: ": "},
		{spec: "'https://a'", want: ": "},
		{spec: "'nats://user:password@a'", want: "[0] has a user or a token in it"},
		{spec: "'nats://a', 'nats://token@a'", want: "[1] has a user or a token in it"},
		{spec: "'nats://a/'", want: `: "nats://a/" is not the URL of a NATS server such as nats://nats.example.com:4222, without a user and a path`},
		{spec: "'wss://a/path'", want: ": "},
		{spec: "'nats://a?b'", want: ": "},
		{spec: "'nats://a,nats://b'", want: ": "},
		{spec: `"nats://a\n"`, want: ": "},
		{spec: "'nats://-a'", want: ": "},
		{spec: "'nats://a..b'", want: ": ", only: binaryAddress},
		{spec: "'nats://:4222'", want: ": "},
		{spec: "'nats://a:'", want: ": "},
		{spec: "'nats://a:0'", want: ": ", only: binaryAddress},
		{spec: "'nats://a:65536'", want: ": ", only: binaryAddress},
		{spec: "'nats://[::1'", want: ": "},
		{spec: "'nats://[:::]'", want: ": ", only: binaryAddress},
		{spec: "'nats://2001:db8::1'", want: ": "},
		{spec: "'nats://a', 'nats://a'", want: ` has "nats://a" twice`},
		{spec: "'nats://" + x("a.", 124) + "a'"},
		{spec: "'nats://" + x("a.", 125) + "a'", want: ": "},
		{spec: many(16, "'nats://a#'")},
		{spec: many(17, "'nats://a#'"), want: " has 17 entries"},
	}

	baseURLRows = []row{
		{spec: "null"},
		{spec: "''", want: " is empty", only: crdAbsent},
		{spec: "'https://cloud.synadia.com'"},
		{spec: "'https://Synadia.example.com:8443'"},
		{spec: "'https://192.0.2.1'"},
		{spec: "'https://[2001:db8::1]:8443'"},
		{spec: "'http://127.0.0.1'"},
		{spec: "'http://127.0.0.2:8080'"},
		{spec: "'http://localhost'"},
		{spec: "'http://localhost:8080'"},
		{spec: "'http://[::1]:8080'"},
		{spec: "'http://cloud.synadia.com'", want: ` "http://cloud.synadia.com" is not https, and the token goes there: begin it with https://`},
		{spec: "'http://192.0.2.1'", want: ` "http://192.0.2.1" is not https`},
		{spec: "'http://127.example.com'", want: ` "http://127.example.com" is not https`},
		{spec: "'http://127.0.0.1.example.com'", want: ` "http://127.0.0.1.example.com" is not https`},
		{spec: "'http://127.0.0.999'", want: ` "http://127.0.0.999" is not https`, only: binaryAddress},
		{spec: "'http://127.1'", want: ` "http://127.1" is not https`},
		{spec: "'http://localhost.example.com'", want: ` "http://localhost.example.com" is not https`},
		{spec: "'http://localhosts'", want: ` "http://localhosts" is not https`},
		{spec: "'http://[2001:db8::1]'", want: ` "http://[2001:db8::1]" is not https`},
		{spec: "'http://[0:0:0:0:0:0:0:1]'", want: ` "http://[0:0:0:0:0:0:0:1]" is not https`},
		{spec: "'http://[::1:2]'", want: ` "http://[::1:2]" is not https`},
		{spec: "cloud.synadia.com", want: ` "cloud.synadia.com" is not the address of a control plane`},
		{spec: "'https://cloud.synadia.com/'", want: ` "https://cloud.synadia.com/" is not the address of a control plane such as https://cloud.synadia.com, without a path`},
		{spec: "'https://cloud.synadia.com/api'", want: " "},
		{spec: "'https://'", want: " "},
		{spec: "'HTTPS://a'", want: " "},
		{spec: "'nats://a'", want: " "},
		{spec: "'https://a?b'", want: " "},
		{spec: "'https://a#b'", want: " "},
		{spec: `"https://a\n"`, want: " "},
		{spec: "'https://-a'", want: " "},
		{spec: "'https://a:'", want: " "},
		{spec: "'https://a..b'", want: " ", only: binaryAddress},
		{spec: "'https://a:0'", want: " ", only: binaryAddress},
		{spec: "'https://a:65536'", want: " ", only: binaryAddress},
		{spec: "'https://[:::]'", want: " ", only: binaryAddress},
		{spec: "'https://user:password@a'", want: " has a user or a token in it: leave out what is before the @"},
		{spec: "'https://token@a'", want: " has a user or a token in it"},
		{spec: "'https://" + x("a.", 123) + "aa'"},
		{spec: "'https://" + x("a.", 124) + "a'", want: " "},
	}

	subjectRows = []row{
		{spec: ""},
		{spec: "a, a.b, a.*, '*', '>', a.*.>, $SYS.A, _INBOX.>, 'a/b:c-d%e|f~', '!\"#'"},
		{spec: "''", want: `: the subject "" is empty`},
		{spec: "' '", want: `: the subject " " contains white space`},
		{spec: "a b", want: `: the subject "a b" contains white space`},
		{spec: `"a\tb"`, want: `: the subject "a\tb" contains white space`},
		{spec: `"a\n---\nkind: ClusterRoleBinding"`, want: ": the subject"},
		{spec: `"a\u0085"`, want: `: the subject "a\u0085" contains`},
		{spec: `"a\0"`, want: `: the subject "a\x00" contains`},
		{spec: "é", want: `: the subject "é" contains`},
		{spec: ".a", want: `: the subject ".a" has an empty token`},
		{spec: "a.", want: `: the subject "a." has an empty token`},
		{spec: "a..b", want: `: the subject "a..b" has an empty token`},
		{spec: ".", want: `: the subject "." has an empty token`},
		{spec: "a.>.b", want: `: the subject "a.>.b" has > before its end`},
		{spec: "'>.>'", want: `: the subject ">.>" has > before its end`},
		{spec: "a.b*", want: `: the subject "a.b*" has the token "b*"`},
		{spec: "a.**", want: `: the subject "a.**" has the token "**"`},
		{spec: "a.b>", want: `: the subject "a.b>" has the token "b>"`},
		{spec: "a, a", want: ` has "a" twice`},
		{spec: "7", want: "[0] must be text, not 7: put quotes around it"},
		{spec: "null", want: "[0] must be text, not null"},
		{spec: x("a", 256)},
		{spec: x("a", 257), want: ": the subject"},
		{spec: many(256, "s.#")},
		{spec: many(257, "s.#"), want: " has 257 entries"},
		{spec: many(10_000, "s.#"), want: " has 10000 entries"},
	}
	patternRows = []row{
		{spec: "'{{namespace}}.>', 'a.{{name}}', '{{namespace}}-{{name}}.a', '{{namespace}}{{name}}'"},
		{spec: "'{{ namespace }}.>'", want: `: the subject "{{ namespace }}.>" has braces`},
		{spec: "'{{team}}.>'", want: `: the subject "{{team}}.>" has braces`},
		{spec: "'{{tag(team)}}.>'", want: `: the subject "{{tag(team)}}.>" has braces`},
		{spec: "'{{{namespace}}}'", want: ": the subject"},
		{spec: "'{{na{{name}}mespace}}'", want: ": the subject"},
		{spec: "'{a}'", want: ": the subject"},
		{spec: "'{{namespace}}.*{{name}}'", want: ": the subject"},
		{spec: "'{{namespace}}..a'", want: ": the subject"},
		{spec: "'" + x("a", 247) + ".{{name}}'"},
		{spec: "'" + x("a", 248) + ".{{name}}'", want: `: the subject "` + x("a", 61) + `"… has more than 256 characters`},
		{spec: "'" + x("a", 257) + ".{{name}}'", want: `: the subject "` + x("a", 61) + `"… is 262 bytes long: at most 256 are allowed`},
	}

	connectionRows = []row{
		{spec: "STANDARD"},
		{spec: "STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS"},
		{spec: "standard", want: `: "standard" is not one of`},
		{spec: "''", want: `: "" is not one of`},
		{spec: "STANDARD, STANDARD", want: ` has "STANDARD" twice`},
		{spec: "STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS, QUIC", want: " has 8 entries"},
	}

	noDurationRows = []row{
		{spec: "null"},
		{spec: "''", want: " is empty", only: crdAbsent},
		{spec: "-1h", want: ` "-1h" is not a duration`},
		{spec: "0", want: " must be text, not 0: put quotes around it"},
		{spec: "720", want: " must be text, not 720: put quotes around it"},
		{spec: "'720'", want: ` "720" is not a duration`},
		{spec: "1d12h", want: ` "1d12h" is not a duration`},
		{spec: "1.5d", want: ` "1.5d" is not a duration`},
		{spec: "30 days", want: ` "30 days" is not a duration`},
		{spec: "1w", want: ` "1w" is not a duration`},
		{spec: "1H", want: ` "1H" is not a duration`},
		{spec: `"1h\n"`, want: ` "1h\n" is not a duration`},
		{spec: "100000h", want: ` "100000h" is not a duration`},
		{spec: x("1h", 17), want: ` "` + x("1h", 17) + `" is not a duration`},
	}
	durationRows = append([]row{ // where days and years are durations too
		{spec: "1d"},
		{spec: "1h30m"},
		{spec: "0.5h"},
		{spec: "3651d", want: ` "3651d" is too long: write at most 87600h`, only: binaryDays},
		{spec: "99999h99999h99999h99999h99999h1h", want: ` "99999h99999h99999h99999h99999h1h" is too long`, only: binaryDays},
	}, noDurationRows...)

	placementRows = []row{
		{spec: "{}"},
		{spec: "{matchLabels: {environment: prod, example.com/zone: ''}}"},
		{spec: "{matchLabels: {a: 'b c'}}", want: ".matchLabels"},
		{spec: "{matchLabels: {a b: c}}", want: ".matchLabels"},
		{spec: "{matchLabels: {a: 1}}", want: `.matchLabels["a"] must be text, not 1: put quotes around it`},
		{spec: "{matchLabels: {a: null}}", want: `.matchLabels["a"] must be text, not null`, only: binaryNull},
		{spec: "{matchLabels: {a: " + x("b", 64) + "}}", want: ".matchLabels"},
		{spec: "{matchLabels: {" + many(32, "k#: v") + "}}"},
		{spec: "{matchLabels: {" + many(33, "k#: v") + "}}", want: ".matchLabels has 33 entries"},
		{spec: "{matchExpressions: []}", want: `.matchExpressions"`},
	}
)

const (
	servedUser = `{accountRef: {name: commerce}, permissions: {publish: {allow: [orders.>]}, subscribe: {allow: [orders.>, _INBOX.>]}},
		credentials: {ttl: 720h, renewBefore: 240h}, secret: {name: orders-nats}, placement: {matchLabels: {environment: prod}}}`
	servedAccount = `{provider: jwt, jwt: {accountID: ` + accountID + `, signingKey: {secretRef: {name: commerce-signing}}},
		policy: {namespaces: ["team-*"], publish: [orders.>]}}`
)

// commerce is the platform's NatsAccount with one text in place of another.
func commerce(t *testing.T, old, new string) []txtar.File {
	t.Helper()
	const name = "baleen-system/NatsAccount.baleen.dev/commerce.yaml"
	data, err := os.ReadFile(filepath.Join(platformDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	return []txtar.File{{Name: name, Data: []byte(strings.Replace(string(data), old, new, 1))}}
}

// openAccount is the platform's NatsAccount with a policy that allows everything.
func openAccount(t *testing.T) []txtar.File {
	t.Helper()
	return commerce(t, `publish: ["orders.>", "{{namespace}}.>"]
    subscribe: ["orders.>", "_INBOX.>"]`, `publish: [">"]
    subscribe: [">"]
    allowBearerTokens: true
    tags: ["*"]`)
}

// secretFile is a Secret of the platform team.
func secretFile(name, data string) txtar.File { return secretIn("baleen-system", name, data) }

// operatorFile is one of an operator's.
func operatorFile(name, data string) txtar.File { return secretIn("baleen-operator", name, data) }

func secretIn(namespace, name, data string) txtar.File {
	return txtar.File{Name: namespace + "/Secret.core/" + name + ".yaml", Data: []byte(
		"apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + ", namespace: " + namespace + "}\n" + data + "\n")}
}

// seedOf is a new key's seed, and its public key.
func seedOf(t *testing.T, prefix nkeys.PrefixByte) (seed, public string) {
	t.Helper()
	pair, err := nkeys.CreatePair(prefix)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return string(s), public
}

// hidden stands in Secrets where a seed should be.
const hidden = "correct-horse-battery-staple"

var secrets = regexp.MustCompile(hidden + `|S[AUONCX][A-Z2-7]{56}|PRIVATE KEY-----|NKEY SEED|eyJ0eXAiOiJKV1Qi`)

// wantNoSecret fails the test if anything that a run said, wrote or stored shows
// a seed, a token or what else was in a Secret.
func wantNoSecret(t *testing.T, s *scenario.Scenario, o scenario.Outcome) {
	t.Helper()
	if secrets.MatchString(o.Stderr + o.Report) {
		t.Errorf("a secret is shown: %s%s", o.Stderr, o.Report)
	}
	for path, data := range s.Snapshot() {
		if secrets.MatchString(data) && !strings.Contains(path, "/Secret.core/") && !strings.Contains(path, "/sealing-certificates.yaml") {
			t.Errorf("a secret is in %s:\n%s", path, data)
		}
	}
	err := filepath.WalkDir(s.Out, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if secrets.Match(data) {
			t.Errorf("a secret is in %s:\n%s", path, data)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// signingTroubles are Secrets with which an account cannot sign.
func signingTroubles(t *testing.T, reason string) []trouble {
	t.Helper()
	user, _ := seedOf(t, nkeys.PrefixByteUser)
	operator, _ := seedOf(t, nkeys.PrefixByteOperator)
	server, _ := seedOf(t, nkeys.PrefixByteServer)
	_, public := seedOf(t, nkeys.PrefixByteAccount)
	signing := func(data, words string) trouble {
		return trouble{files: []txtar.File{secretFile("commerce-signing", data)}, reason: reason, words: words}
	}
	return []trouble{
		signing("stringData: {other: "+hidden+"}", "the Secret baleen-system/commerce-signing has no key seed with a value: add it"),
		signing("stringData: {seed: ''}", "the Secret baleen-system/commerce-signing has no key seed with a value: add it"),
		signing("data: {}", "the Secret baleen-system/commerce-signing has no key seed with a value: add it"),
		signing("data: {seed: '"+hidden+"'}", "the Secret baleen-system/commerce-signing has no key seed with a value: add it"), // not base64
		signing("stringData: {seed: "+hidden+"}", "the key seed of the Secret commerce-signing, cannot be used: it is not a seed: put in the seed of an account"),
		signing("stringData: {seed: "+public+"}", "it is not a seed: put in the seed of an account"),
		signing("stringData: {seed: "+user+"}", "it is the seed of a user (SU…): put in that of an account (SA…)"),
		signing("stringData: {seed: "+operator+"}", "it is the seed of an operator (SO…): put in that of an account (SA…)"),
		signing("stringData: {seed: "+server+"}", "it is the seed of a server (SN…): put in that of an account (SA…)"),
	}
}

// userTroubles are NatsUsers that are refused as they are, or that the platform
// does not let through.
func userTroubles(t *testing.T) []trouble {
	t.Helper()
	invalid := func(fields, words string) trouble {
		return trouble{fields: fields, reason: "InvalidSpec", words: words}
	}
	refused := func(fields, words string) trouble {
		return trouble{fields: fields, reason: "NotAdmitted", words: words}
	}
	asks := func(permissions, words string) trouble {
		return refused("permissions: {"+permissions+"}", words)
	}
	policy := func(old, new, words string) trouble {
		return trouble{files: commerce(t, old, new), reason: "NotAdmitted", words: words}
	}
	identity, public := seedOf(t, nkeys.PrefixByteAccount)
	scoped := func(fields, more, words string) trouble {
		return trouble{fields: fields, files: commerce(t, "key: seed}", "key: seed}\n      scoped: true"+more), reason: "NotAdmitted", words: words}
	}
	elsewhere := commerce(t, "namespace: baleen-system", "namespace: team-a")
	elsewhere[0].Name = "team-a/NatsAccount.baleen.dev/own.yaml"
	elsewhere[0].Data = bytes.Replace(elsewhere[0].Data, []byte("name: commerce,"), []byte("name: own,"), 1)
	return slices.Concat([]trouble{
		{fields: "accountRef: {name: nothing}", reason: "AccountNotFound", words: "there is no NatsAccount baleen-system/nothing: correct spec.accountRef, or ask the platform team"},
		{fields: "accountRef: {name: own}", files: elsewhere, reason: "AccountNotFound", words: "there is no NatsAccount baleen-system/own"},
		{files: commerce(t, "metadata: {", "metadata: {finalizers: [a/b], deletionTimestamp: \"2026-01-01T00:00:00Z\", "), reason: "AccountNotFound", words: "there is no NatsAccount baleen-system/commerce"},
		{files: commerce(t, "maxTTL: 2160h", "maxTTL: 0h"), reason: "AccountInvalid", words: `NatsAccount baleen-system/commerce is not valid: spec.policy.maxTTL "0h"`},
		{files: commerce(t, "name: commerce-signing", "name: nothing"), reason: "AccountInvalid", words: "there is no Secret baleen-system/nothing: create it with the key seed"},
		{files: configMap("baleen-config", "{reconcileInterval: 48h}"), reason: "AccountInvalid", words: "spec.policy.minRenewBefore of NatsAccount baleen-system/commerce is 48h, and Kratix reconciles every 48h: make it longer"},
		{files: append(commerce(t, accountID, public), secretFile("commerce-signing", "stringData: {seed: "+identity+"}")), reason: "AccountInvalid", words: "it is the identity key of the account, which belongs offline"},
		{fields: "workloadNamespace: team-b", reason: "NamespaceNotMapped", words: "may not act on the workload namespace team-b"},

		policy(`["team-*"]`, "[team-b]", "NatsAccount commerce admits no requests of the namespace team-a: ask the platform team to add it to spec.policy.namespaces"),
		policy(`["team-*"]`, "[]", "NatsAccount commerce admits no requests of the namespace team-a"),
		refused("permissions: null", "spec.permissions is missing: name the subjects"),
		asks("publish: {allow: ['>']}", `spec.permissions.publish.allow: ">" is not covered by what the account allows (orders.>, team-a.>)`),
		asks("publish: {allow: [orders]}", `"orders" is not covered`),
		asks("publish: {allow: ['*.new']}", `"*.new" is not covered`),
		asks("publish: {allow: [orders.new, invoices.new]}", `"invoices.new" is not covered`),
		asks("publish: {allow: [ordersx.new]}", `"ordersx.new" is not covered`),
		asks("publish: {allow: [Orders.new]}", `"Orders.new" is not covered`),
		asks("publish: {allow: [team-b.new]}", `"team-b.new" is not covered`),
		asks("publish: {allow: ['{{namespace}}.new']}", `"{{namespace}}.new" is not covered`),
		asks("publish: {allow: [$SYS.REQ.CLAIMS.UPDATE]}", `"$SYS.REQ.CLAIMS.UPDATE" is not covered`),
		asks("subscribe: {allow: [team-a.new]}", `spec.permissions.subscribe.allow: "team-a.new" is not covered by what the account allows (orders.>, _INBOX.>)`),
		asks("subscribe: {allow: ['_INBOX.>', '>']}", `spec.permissions.subscribe.allow: ">" is not covered`),
		policy(`publish: ["orders.>"`, `publish: ["orders.*"`, `"orders.>" is not covered by what the account allows (orders.*, team-a.>)`),
		policy(`publish: ["orders.>", "{{namespace}}.>"]`, "publish: []", `"orders.>" is not covered by what the account allows (nothing)`),
		policy(`publish: ["orders.>", "{{namespace}}.>"]`, "publish: ["+many(9, "s.#")+"]", "(s.0, s.1, s.2, s.3, s.4, and 4 more)"),
		refused("credentials: {ttl: 91d, renewBefore: 3d}", "spec.credentials.ttl 91d is longer than the 2160h that the account allows"),
		refused("credentials: {ttl: 720h, renewBefore: 47h}", "spec.credentials.renewBefore is 47h, and the account asks for at least 48h"),
		refused("credentials: {ttl: 100h}", "spec.credentials.renewBefore is by default a third of the ttl, here 33h20m0s, and the account asks for at least 48h"),
		policy("maxTTL: 2160h", "maxTTL: 2160h\n    maxOverlap: 23h", "spec.credentials.overlap 24h is longer than the 23h that the account allows"),
		policy("maxTTL: 2160h", "maxTTL: 719h", "spec.credentials.ttl 720h is longer than the 719h that the account allows"),
		policy("minRenewBefore: 48h", "minRenewBefore: 241h", "the account asks for at least 241h"),
		refused("connectionTypes: [STANDARD, MQTT]", "spec.connectionTypes: MQTT is not among those that the account allows (STANDARD, WEBSOCKET)"),
		refused("bearerToken: true", "spec.bearerToken is not allowed by the account"),
		refused("tags: ['stage:prod']", `spec.tags: the account does not allow "stage:prod": leave it out, or ask the platform team`),
		refused("secret: {name: orders-nats, format: Env}", "spec.secret.format Env needs the servers' addresses, which the account does not give"),
		{fields: "tags: ['team:b', 'stage:a/b']", files: commerce(t, "policy:", "policy:\n    tags: ['team:a*', 'stage:*-{{name}}']"), reason: "NotAdmitted", words: `the account does not allow "team:b"`},

		scoped("{}", "", "permissions, limits, connectionTypes, sourceCIDRs, times and bearerToken come from the scope of the account's signing key: leave them out"),
		scoped("{permissions: null, limits: {subscriptions: 1}}", "", "come from the scope"),
		scoped("{permissions: null, sourceCIDRs: [10.0.0.0/8]}", "", "come from the scope"),
		scoped("{permissions: null, "+times("{start: '08:00:00', end: '18:00:00'}")+"}", "", "come from the scope"),
		scoped("{permissions: null, connectionTypes: [STANDARD]}", "", "come from the scope"),
		scoped("{permissions: null, bearerToken: true}", "", "come from the scope"),
		scoped("permissions: null", "\n      requiredTags: [team]", "spec.tags: the account's scope needs the tag team: add it, as team:value"),

		{fields: "permissions: {publish: {allow: [" + many(200, "orders.a-rather-long-token.#") + "]}}", reason: "GrantTooLarge", words: "the account allows 3500: name fewer subjects, or wider ones"},
		{files: commerce(t, "policy:", "policy:\n    maxJWTBytes: 1024"), fields: "permissions: {publish: {allow: [" + many(60, "orders.#") + "]}}", reason: "GrantTooLarge", words: "the account allows 1024"},

		{files: configMap("sealing-certificates", "{eu-1: 7}"), reason: "Failed", words: "the ConfigMap baleen-system/sealing-certificates has data that is not text: put quotes around each value"},
		{files: configMap("nats-user-overlays", "{a.yaml: \"a: [\\n\"}"), reason: "RenderFailed", words: "the overlays of the platform team do not apply"},
		{files: configMap("baleen-config", "{reconcileInterval: soon}"), reason: "ConfigurationInvalid", words: `the key "reconcileInterval"`},

		invalid("secret: {name: "+breakout+"}", "spec.secret.name"),
		invalid("secret: {name: s, annotations: {a: "+breakout+"}}", "spec.secret.annotations"),
		invalid("secret: {name: s, annotations: {"+breakout+": a}}", "spec.secret.annotations"),
		invalid("secret: {name: s, labels: {argocd.argoproj.io/secret-type: cluster}}", "belongs to others"),
		invalid("permissions: {publish: {allow: ["+many(10_000, "orders.#")+"]}}", "has 10000 entries"),
		invalid("permissions: {publish: {allow: [orders..new]}}", "has an empty token"),
		invalid("credentials: {ttl: 0h}", "is too short"),
		invalid("tags: ['namespace:team-b']", "that Baleen sets itself"),
		invalid("{accountRef: null, secret: null}", "spec.accountRef.name is missing; spec.secret.name is missing"),
	}, signingTroubles(t, "AccountInvalid"))
}

// accountTroubles are NatsAccounts that do not work.
func accountTroubles(t *testing.T) []trouble {
	t.Helper()
	identity, public := seedOf(t, nkeys.PrefixByteAccount)
	operator, _ := seedOf(t, nkeys.PrefixByteOperator)
	account, _ := seedOf(t, nkeys.PrefixByteAccount)
	with := operatorWith("signingKeySecretRef: {name: o}, systemCredentialsSecretRef: {name: s}}}")
	with = strings.Replace(with, "{name: a}", "{name: commerce-signing}", 1)
	operators := func(words string, files ...txtar.File) trouble {
		return trouble{fields: with, files: files, reason: "SecretInvalid", words: words}
	}
	seed := operatorFile("o", "stringData: {seed: "+operator+"}")
	wrong := operatorFile("o", "stringData: {seed: "+account+"}")
	former := []txtar.File{secretFile("o", "stringData: {seed: "+operator+"}"), secretFile("s", "stringData: {creds: "+hidden+"}")}
	return slices.Concat([]trouble{
		{fields: "provider: ngs", reason: "InvalidSpec", words: `spec.provider "ngs" is not jwt or synadia`},
		{fields: "provider: synadia", reason: "InvalidSpec", words: "spec.jwt goes with provider jwt only: leave it out; spec.provider synadia needs the field spec.synadia"},
		{fields: "policy: {maxTTL: 0h}", reason: "InvalidSpec", words: "spec.policy.maxTTL"},
		{fields: "policy: {publish: [" + breakout + "]}", reason: "InvalidSpec", words: "spec.policy.publish"},
		{fields: "policy: {minRenewBefore: 10h}", reason: "RenewalWindowTooShort", words: "spec.policy.minRenewBefore of NatsAccount baleen-system/a is 10h, and Kratix reconciles every 10h"},
		{fields: jwt("seed: a"), reason: "InvalidSpec", words: `there is no field "spec.jwt.seed"`},
		{fields: "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: nothing}}}", reason: "SecretInvalid", words: "there is no Secret baleen-system/nothing: create it with the key seed"},
		{fields: "jwt: {accountID: " + public + ", signingKey: {secretRef: {name: identity}}}", files: []txtar.File{secretFile("identity", "stringData: {seed: "+identity+"}")},
			reason: "SecretInvalid", words: "it is the identity key of the account, which belongs offline"},
		operators("there is no Secret baleen-operator/o: create it with the key seed"),
		operators("the operator's signing key, the key seed of the Secret baleen-operator/o, cannot be used: it is the seed of an account (SA…): put in that of an operator (SO…)", wrong),
		operators("the key seed of the Secret baleen-operator/o, cannot be used: it is the seed of an account (SA…)", append(former, wrong)...), // whatever is left in the former place
		operators("the Secret baleen-operator/o has no key seed with a value: add it", append(former, operatorFile("o", "stringData: {other: "+hidden+"}"))...),
		operators("cannot be used: it is not a seed: put in the seed of an operator", operatorFile("o", "stringData: {seed: "+hidden+"}")),
		operators("there is no Secret baleen-operator/s: create it with the key creds", seed),
		operators("the key creds of the Secret baleen-operator/s, are not a .creds file", seed, operatorFile("s", "stringData: {creds: "+hidden+"}")),
		operators("the key creds of the Secret baleen-system/s, are not a .creds file", former...), // not moved yet
		{fields: "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: commerce-signing}}, servers: ['nats://127.0.0.1:1']}", reason: "ServersUnreachable", words: "can be reached: see to their addresses"},
		{files: configMap("baleen-config", "{reconcileInterval: soon}"), reason: "ConfigurationInvalid", words: `the key "reconcileInterval"`},
	}, signingTroubles(t, "SecretInvalid"), synadiaTroubles())
}

// nowhere is a NatsAccount with provider synadia whose control plane nobody is.
const nowhere = `{provider: synadia, jwt: null, synadia: {baseURL: "http://127.0.0.1:1", system: NGS, account: commerce, platform: a, budget: 1s, tokenSecretRef: {name: synadia}}}`

// synadiaTroubles are NatsAccounts with provider synadia that do not work. None of
// them gets as far as a control plane.
func synadiaTroubles() []trouble {
	token := func(data, words string) trouble {
		return trouble{fields: nowhere, files: []txtar.File{secretFile("synadia", data)}, reason: "SecretInvalid", words: words}
	}
	const missing, unlike = "the Secret baleen-system/synadia has no key token with a value: add it", "the key token of the Secret synadia, is empty, or has characters in it that no token has: put in the token alone"
	return []trouble{
		{fields: synadia("accountID: a, baseURL: 'http://cloud.synadia.com'"), reason: "InvalidSpec", words: `spec.synadia.baseURL "http://cloud.synadia.com" is not https`},
		{fields: synadia("accountID: " + breakout), reason: "InvalidSpec", words: "spec.synadia.accountID"},
		{fields: synadia("accountID: a, platform: " + breakout), reason: "InvalidSpec", words: "spec.synadia.platform"},
		{fields: synadia(""), reason: "InvalidSpec", words: "spec.synadia needs accountID, or system and account in its place"},
		{fields: nowhere, reason: "SecretInvalid", words: "there is no Secret baleen-system/synadia: create it with the key token"},
		token("stringData: {other: "+hidden+"}", missing),
		token("stringData: {token: ''}", missing),
		token("data: {}", missing),
		token("data: {token: '"+hidden+"'}", missing), // not base64
		token("stringData: {token: '"+hidden+" "+hidden+"'}", unlike),
		token(`stringData: {token: "`+hidden+`\t`+hidden+`"}`, unlike),
		token(`stringData: {token: "`+hidden+`\n`+hidden+`\n"}`, unlike),
		token(`stringData: {token: "`+hidden+`\r\nX-Injected: b"}`, unlike),
		token("stringData: {token: "+hidden+"é}", unlike),
		// A line break at the end is what an editor leaves there, and no trouble.
		{fields: nowhere, files: []txtar.File{secretFile("synadia", `stringData: {token: "`+hidden+`\n"}`)}, reason: "ProviderUnreachable", words: "the teams cannot be listed: there was no answer"},
	}
}

// A seed, a password or a token that somebody wrote into a request is not repeated.
func TestSeedsAreNotRepeated(t *testing.T) {
	seed, _ := seedOf(t, nkeys.PrefixByteAccount)
	for _, test := range []struct{ name, fields string }{
		{"the seed for the account's id", "jwt: {accountID: " + seed + ", signingKey: {secretRef: {name: a}}}"},
		{"the seed for a Secret's name", "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: " + seed + "}}}"},
		{"the seed for a Secret's key", "jwt: {accountID: " + accountID + ", signingKey: {secretRef: {name: a, key: '/" + seed + "'}}}"},
		{"the seed in a server's address", jwt("servers: ['nats://" + seed + "@a']")},
		{"a password in a server's address", jwt("servers: ['nats://user:" + hidden + "@a']")},
		{"a token in Synadia's server's address", synadia("accountID: a, servers: ['nats://" + hidden + "@a']")},
		{"a token in the control plane's address", synadia("accountID: a, baseURL: 'https://" + hidden + "@a'")},
		{"a password in the control plane's address", synadia("accountID: a, baseURL: 'https://user:" + hidden + "@a'")},
		{"a token for a Secret's name", "{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: uat_" + hidden + "}}}"},
		{"a token for a Secret's key", "{provider: synadia, jwt: null, synadia: {accountID: a, platform: a, tokenSecretRef: {name: a, key: '/" + hidden + "'}}}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			o := s.ApplyObject(request(t, "NatsAccount", "baleen-system", "a", servedAccount, test.fields))
			if _, reason, message := o.Ready(); reason != "InvalidSpec" || secrets.MatchString(o.Stderr+o.Report) {
				t.Errorf("%s: %s", reason, message)
			}
		})
	}
}

// trust gives a cluster another bundle of certificates, or takes it away.
func trust(t *testing.T, s *scenario.Scenario, destination, bundle string) {
	t.Helper()
	bundles, err := s.Client.Get(t.Context(), platform.ConfigMap, "baleen-system", "sealing-certificates")
	if err != nil {
		t.Fatal(err)
	}
	data := bundles.Object["data"].(map[string]any)
	if data[destination] = bundle; bundle == "" {
		delete(data, destination)
	}
	if _, err := s.Client.Update(t.Context(), platform.ConfigMap, bundles); err != nil {
		t.Fatal(err)
	}
}

// documentsOf are those of one cluster.
func documentsOf(o scenario.Outcome, destination string) string {
	files := maps.Clone(o.Files)
	maps.DeleteFunc(files, func(file, _ string) bool { return !strings.HasPrefix(file, destination+"/") })
	return scenario.Outcome{Files: files}.Documents()
}

// wantPartly fails the test unless a run did what it could and said what it could
// not.
func wantPartly(t *testing.T, s *scenario.Scenario, o scenario.Outcome, reason, words string) {
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
}

// A cluster that nothing can be sealed for keeps what it has, and holds up no
// other.
func TestCertificateOfOneCluster(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, 1+n, 12, 0, 0, 0, time.UTC) }
	good := certificate(day(-1), day(1), true)
	for name, c := range map[string]struct{ bundle, words string }{
		"missing":       {"", "it holds no certificate: add that of the controller with `baleen clusters trust`"},
		"blank":         {"\n", "it holds no certificate"},
		"garbage":       {"garbage", "it holds no certificate in PEM form, or one that is cut off: fetch it again"},
		"cut off":       {good + good[:len(good)-9], "it holds no certificate in PEM form, or one that is cut off: fetch it again"},
		"not RSA":       {certificate(day(-1), day(1), false), "it holds a certificate whose key is not RSA of 2048 bits or more"},
		"a private key": {good + privateKey, "it holds a private key, which must not leave its cluster"},
		"expired":       {certificate(day(-3), day(-2), true), "its certificate expired on 2025-12-30: add the one that the controller uses now"},
		"to come":       {certificate(day(2), day(3), true), "its certificate is not valid before 2026-01-03T12:00:00Z: wait, or set the clocks right"},
	} {
		t.Run(name, func(t *testing.T) {
			const reason, where = "CertificateUnusable", "the key us-1 of the ConfigMap baleen-system/sealing-certificates: "
			first := scenario.New(t, platformDir, stages...)
			trust(t, first, "us-1", c.bundle)
			o := first.ApplyObject(request(t, "NatsUser", "team-a", "a", servedUser, "{}"))
			wantPartly(t, first, o, reason, "a first credential for us-1 cannot be sealed: "+where+c.words)
			wantClusters(t, o, "eu-1")
			if !strings.Contains(o.Report, "- destination: us-1\n  problem: 'a first credential for us-1 cannot be sealed") {
				t.Errorf("status.credentials does not say so:\n%s", o.Report)
			}

			s := scenario.New(t, platformDir, stages...)
			before := s.ApplyObject(request(t, "NatsUser", "team-a", "a", servedUser, "{}"))
			trust(t, s, "us-1", c.bundle)
			rotated := request(t, "NatsUser", "team-a", "a", servedUser, "credentials: {ttl: 720h, renewBefore: 240h, rotate: '1'}")
			o = s.ApplyObject(rotated)
			wantPartly(t, s, o, reason, "another credential (RotationRequested) for us-1 cannot be sealed: "+where+c.words)
			if documentsOf(o, "us-1") != documentsOf(before, "us-1") || documentsOf(o, "eu-1") == documentsOf(before, "eu-1") {
				t.Errorf("the clusters have\n%s\nafter\n%s", o.Documents(), before.Documents())
			}
			if again := s.ApplyObject(rotated); again.Documents() != o.Documents() {
				t.Errorf("the next run gives\n%s\nafter\n%s", again.Documents(), o.Documents())
			}
			trust(t, s, "us-1", good)
			mended := s.ApplyObject(rotated)
			if ready, _, message := mended.Ready(); ready != "True" || documentsOf(mended, "us-1") == documentsOf(before, "us-1") || documentsOf(mended, "eu-1") != documentsOf(o, "eu-1") {
				t.Errorf("with a good certificate: %s\n%s", message, mended.Documents())
			}
		})
	}
}

// What a request does not reach is named, and what it has reached keeps what it
// has.
func TestPlacementOfUsers(t *testing.T) {
	for name, c := range map[string]struct {
		fields        string
		files         []txtar.File
		reason, words string
		clusters      string // at the first run
	}{
		"matches nothing": {fields: "placement: {matchLabels: {environment: none}}", reason: "NoDestination", words: "no Destination matches spec.placement"},
		"not allowed": {fields: "placement: {matchLabels: {environment: dev}}",
			reason: "DestinationNotAllowed", words: "the account does not allow dev-1: change spec.placement, or ask the platform team"},
		"one of them not allowed": {files: []txtar.File{destinationFile("eu-1", "baleen.dev/destination: eu-1, environment: prod, tier: a"), destinationFile("us-1", "baleen.dev/destination: us-1, environment: other, tier: a")},
			fields: "placement: {matchLabels: {tier: a}}", reason: "DestinationNotAllowed", words: "the account does not allow us-1", clusters: "eu-1"},
		"not registered": {files: []txtar.File{destinationFile("us-1", "environment: prod")}, reason: "DestinationNotRegistered", words: "nothing new can be sent to us-1: register it with `baleen clusters trust us-1`", clusters: "eu-1"},
		"registered under another name": {files: []txtar.File{destinationFile("us-1", "baleen.dev/destination: us-2, environment: prod")},
			reason: "DestinationNotRegistered", words: "nothing new can be sent to us-1", clusters: "eu-1"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := request(t, "NatsUser", "team-a", "a", servedUser, cmp.Or(c.fields, "{}"))
			first := scenario.New(t, platformDir, stages...)
			first.Write(c.files...)
			o := first.ApplyObject(bad)
			wantPartly(t, first, o, c.reason, c.words)
			wantClusters(t, o, c.clusters)

			s := scenario.New(t, platformDir, stages...)
			before := s.ApplyObject(request(t, "NatsUser", "team-a", "a", servedUser, "{}"))
			s.Write(c.files...)
			o = s.ApplyObject(bad)
			wantPartly(t, s, o, c.reason, c.words)
			if o.Documents() != before.Documents() {
				t.Errorf("the clusters have\n%s\nafter\n%s", o.Documents(), before.Documents())
			}
		})
	}
	// Who does not say where gets where the account allows, and is not told of the rest.
	s := scenario.New(t, platformDir, stages...)
	o := s.ApplyObject(request(t, "NatsUser", "team-a", "a", servedUser, "placement: {}"))
	if ready, _, message := o.Ready(); ready != "True" || clusters(o) != "eu-1 us-1" {
		t.Errorf("without a placement %q have it: %s", clusters(o), message)
	}
}

// A Secret on a cluster has one owner: who comes second is told whose it is, and
// the first keeps it.
func TestSecretConflict(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	s.Write(configMap("baleen-config", "{namespaces: 'team-b: [team-a]'}")...)
	first := request(t, "NatsUser", "team-a", "a", servedUser, "{}")
	before := s.ApplyObject(first)
	for _, c := range []struct {
		name   string
		second *unstructured.Unstructured
	}{
		{"the same Secret", request(t, "NatsUser", "team-a", "b", servedUser, "{}")},
		{"in another format", request(t, "NatsUser", "team-a", "c", servedUser, "secret: {name: orders-nats, format: JWTAndSeed}")},
		{"from another namespace", request(t, "NatsUser", "team-b", "a", servedUser, "workloadNamespace: team-a")},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := s.ApplyObject(c.second)
			wantPartly(t, s, o, "SecretConflict", "the Secret team-a/orders-nats on eu-1 belongs to team-a/a: choose another name, or ask its owner")
			wantClusters(t, o, "")
			if _, _, message := o.Ready(); !strings.Contains(message, "clusters with problems besides: 1") {
				t.Errorf("the other cluster is not counted: %s", message)
			}
			if after := s.ApplyObject(first); after.Documents() != before.Documents() {
				t.Errorf("the first has\n%s\nafter\n%s", after.Documents(), before.Documents())
			}
		})
	}
	// One that has a Secret of its own keeps it when it asks for another's.
	own := s.ApplyObject(request(t, "NatsUser", "team-a", "d", servedUser, "secret: {name: own}"))
	o := s.ApplyObject(request(t, "NatsUser", "team-a", "d", servedUser, "{}"))
	wantPartly(t, s, o, "SecretConflict", "belongs to team-a/a")
	if o.Documents() != own.Documents() {
		t.Errorf("the clusters have\n%s\nafter\n%s", o.Documents(), own.Documents())
	}
}

// A JWT carries the name of its cluster. Where it is too large for one of them,
// the request is refused before anything is written down, and not again and again
// after that.
func TestGrantTooLargeForOneCluster(t *testing.T) {
	user := request(t, "NatsUser", "team-a", "a", servedUser, "{permissions: {publish: {allow: ["+many(60, "orders.#")+"]}}}")
	first := scenario.New(t, platformDir, stages...)
	first.Write(commerce(t, "policy:", "policy:\n    maxJWTBytes: 1024")...)
	_, _, message := first.ApplyObject(user).Ready()
	var size int
	if _, err := fmt.Sscanf(message, "what is asked for makes a JWT of %d bytes", &size); err != nil {
		t.Fatalf("%v: %s", err, message)
	}
	long := "us-" + x("x", 60)
	s := scenario.New(t, platformDir, stages...)
	s.Write(commerce(t, "policy:", fmt.Sprintf("policy:\n    maxJWTBytes: %d", size))...)
	s.Write(destinationFile(long, "baleen.dev/destination: "+long+", environment: prod"))
	trust(t, s, long, certificate(s.Now.Add(-time.Hour), s.Now.Add(time.Hour), true))
	o := s.ApplyObject(user)
	wantRefused(t, s, o, "GrantTooLarge", fmt.Sprintf("the account allows %d: name fewer subjects, or wider ones", size), "")
	before := s.Snapshot()
	if s.ApplyObject(user); !maps.Equal(s.Snapshot(), before) {
		t.Error("the next run changes the platform")
	}
	s.Remove("_cluster/Destination.platform.kratix.io/" + long + ".yaml")
	wantClusters(t, s.ApplyObject(user), "eu-1 us-1")
}

// A NatsAccount counts where the platform team declares it, and nowhere else.
func TestAccountElsewhere(t *testing.T) {
	s := scenario.New(t, platformDir, stages...)
	o := s.ApplyObject(request(t, "NatsAccount", "team-a", "a", servedAccount, "{}"))
	wantRefused(t, s, o, "WrongNamespace", "a NatsAccount counts in the namespace baleen-system only", "")
}

// A NatsAccount that counts for nobody is deleted, and one of its name is none the wiser.
func TestAccountElsewhereIsDeleted(t *testing.T) {
	l := newLive(t)
	l.wantReason("Verified", "")
	store := churn.Store{Client: l.Client}
	if err := store.Charge(t.Context(), "commerce", "team-a", churn.Days{l.Now.Unix()/(24*60*60) + 3: 7}, 0, l.Now); err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.Replace(l.account, "namespace: baleen-system", "namespace: team-a", 1)
	if _, reason, _ := l.Apply(elsewhere).Ready(); reason != "WrongNamespace" {
		t.Errorf("it is %s", reason)
	}
	if o := l.Delete(elsewhere); o.Err != nil {
		t.Errorf("its deletion says %v: %s", o.Err, o.Stderr)
	}
	if count, err := store.Get(t.Context(), "commerce", "team-a"); err != nil || count.Left(l.Now) != 7 {
		t.Errorf("of the other one %d former credentials are counted: %v", count.Left(l.Now), err)
	}
}

// Whatever stands in whatever field of an account, it is refused in one sentence
// or stands for itself.
func TestHostileStringsInAccounts(t *testing.T) {
	const (
		full = `{provider: jwt, jwt: {accountID: ` + accountID + `, signingKey: {secretRef: {name: commerce-signing, key: seed}, scoped: true, requiredTags: [team]}, servers: ["nats://127.0.0.1:1"],
		operator: {signingKeySecretRef: {name: a, key: b}, systemCredentialsSecretRef: {name: c, key: d}}},
		policy: {namespaces: [team-a], publish: [orders.a], subscribe: [orders.b], maxTTL: 90d, minRenewBefore: 2d, connectionTypes: [STANDARD], tags: [team]},
		placement: {allowed: [{matchLabels: {environment: prod}}]}}`
		named = `{provider: synadia, synadia: {baseURL: "http://127.0.0.1:1", system: NGS, account: commerce, platform: a, signingKeyGroup: Default, requiredTags: [team], tokenSecretRef: {name: synadia, key: token},
		servers: ["nats://127.0.0.1:1"], platform: prod, verifyInterval: 24h, driftPolicy: Report, budget: 1s}}`
		byID = `{provider: synadia, synadia: {baseURL: "http://127.0.0.1:1", accountID: a, platform: a, budget: 1s, tokenSecretRef: {name: synadia}}}`
	)
	s := scenario.New(t, platformDir, stages...)
	s.Write(secretFile("synadia", "stringData: {token: "+hidden+"}"))
	for _, spec := range []string{full, named, byID} {
		good := request(t, "NatsAccount", "baleen-system", "a", spec, "{}")
		if _, err := kinds[2].read(good); err != nil {
			t.Fatal(err)
		}
		for i, p := range places("spec", good.Object["spec"], nil) {
			most := 2
			for _, value := range hostile {
				o := good.DeepCopy()
				places("spec", o.Object["spec"], nil)[i].set(value)
				if _, err := kinds[2].read(o); err != nil {
					wantSentence(t, err.Error(), "spec")
					continue
				}
				if most--; most < 0 {
					continue
				}
				outcome := s.ApplyObject(o)
				_, _, message := outcome.Ready()
				if wantSentence(t, message, ""); outcome.Err != nil || outcome.Code != 0 {
					t.Fatalf("%s = %q: exit code %d: %s", p.name, value, outcome.Code, outcome.Stderr)
				}
				wantNoSecret(t, s, outcome)
			}
		}
	}
}

// timed is an API server whose clock is not that of the run.
type timed struct {
	platform.Client
	ahead time.Duration
	now   func() time.Time
}

func (c timed) stamp(object *unstructured.Unstructured, err error) (*unstructured.Unstructured, error) {
	if err == nil && object.GetKind() == "ConfigMap" {
		at := metav1.NewTime(c.now().Add(c.ahead))
		object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "baleen", Operation: metav1.ManagedFieldsOperationUpdate, Time: &at}})
	}
	return object, err
}

func (c timed) Create(ctx context.Context, kind platform.Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return c.stamp(c.Client.Create(ctx, kind, object))
}

func (c timed) Update(ctx context.Context, kind platform.Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return c.stamp(c.Client.Update(ctx, kind, object))
}

func (c timed) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	return c.stamp(c.Client.Get(ctx, kind, namespace, name))
}

// With a clock that is far off nothing is issued: it would have expired already,
// or live for years.
func TestClockIsOff(t *testing.T) {
	for ahead, reason := range map[time.Duration]string{0: "", 9 * time.Minute: "", -9 * time.Minute: "", 11 * time.Minute: "ClockOff", -11 * time.Minute: "ClockOff", 90000 * time.Hour: "ClockOff", -90000 * time.Hour: "ClockOff"} {
		t.Run(ahead.String(), func(t *testing.T) {
			s := scenario.New(t, platformDir, stages...)
			before := s.ApplyObject(request(t, "NatsUser", "team-a", "a", servedUser, "{}"))
			s.Open = func(func(string) string, func() time.Time) (platform.Client, error) {
				return timed{s.Client, ahead, func() time.Time { return s.Now }}, nil
			}
			rotated := request(t, "NatsUser", "team-a", "a", servedUser, "credentials: {ttl: 720h, renewBefore: 240h, rotate: '1'}")
			o := s.ApplyObject(rotated)
			if reason == "" {
				if ready, _, message := o.Ready(); ready != "True" || o.Documents() == before.Documents() {
					t.Errorf("Ready is %s: %s", ready, message)
				}
				return
			}
			wantRefused(t, s, o, reason, "the clock says 2026-01-01T12:00:00Z, and the API server's said", before.Documents())
			wantSentence(t, o.Status["message"].(string), "set the clock of the node that runs the pipeline")
			s.Open = nil
			if o := s.ApplyObject(rotated); o.Documents() == before.Documents() || !strings.Contains(o.Report, "reason: RotationRequested") {
				t.Errorf("once the clock is right:\n%s", o.Report)
			}
		})
	}
}
