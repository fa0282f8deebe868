package v1alpha1

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/subject"
)

// Read decodes an account, fills in defaults and validates it, all as strictly as
// an API server with the CRD would. The error is one sentence.
func Read(object *unstructured.Unstructured) (*NatsAccount, error) {
	a := &NatsAccount{}
	a.Name, a.Namespace, a.Generation = object.GetName(), object.GetNamespace(), object.GetGeneration()
	err := field.Decode("spec", object.Object["spec"], &a.Spec)
	if err == nil {
		a.Spec.Default()
		err = a.Spec.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("NatsAccount %s/%s is not valid: %w", a.Namespace, a.Name, err)
	}
	return a, nil
}

// Default fills in what the CRD's defaults fill in.
func (s *NatsAccountSpec) Default() {
	p := &s.Policy
	p.MaxTTL = cmp.Or(p.MaxTTL, "2160h")
	p.MinRenewBefore = cmp.Or(p.MinRenewBefore, "48h")
	p.MaxJWTBytes = cmp.Or(p.MaxJWTBytes, 3500)
	if r := p.AllowResponses; r != nil {
		r.Default()
	}
	if p.ConnectionTypes == nil {
		p.ConnectionTypes = []ConnectionType{"STANDARD", "WEBSOCKET"}
	}
	if j := s.JWT; j != nil {
		j.SigningKey.SecretRef.Key = cmp.Or(j.SigningKey.SecretRef.Key, "seed")
		if o := j.Operator; o != nil {
			o.SigningKeySecretRef.Key = cmp.Or(o.SigningKeySecretRef.Key, "seed")
			o.SystemCredentialsSecretRef.Key = cmp.Or(o.SystemCredentialsSecretRef.Key, "creds")
		}
	}
}

var (
	accountID       = regexp.MustCompile(`^A[A-Z2-7]{55}$`)
	server          = regexp.MustCompile(`^(nats|tls|ws|wss)://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	tagName         = regexp.MustCompile(`^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$`)
	tagPattern      = regexp.MustCompile(`^([-a-z0-9_.:/*]|[{][{](namespace|name)[}][}])+$`)
	connectionTypes = []ConnectionType{"STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"}
)

// The bounds of what a policy may say.
const (
	leastTTL = time.Minute
	mostTTL  = 10 * 365 * 24 * time.Hour
)

// Validate checks a spec with its defaults filled in.
func (s *NatsAccountSpec) Validate() error {
	var p field.Problems
	switch {
	case s.Provider != ProviderJWT:
		p.Addf("spec.provider %s is not jwt", field.Quote(string(s.Provider)))
	case s.JWT == nil:
		p.Addf("spec.provider jwt needs the field spec.jwt")
	}
	if s.JWT != nil {
		s.JWT.validate(&p)
	}
	s.Policy.validate(&p)
	p.Count("spec.placement.allowed", len(s.Placement.Allowed), 0, 32)
	for i, allowed := range s.Placement.Allowed {
		p.Placement(fmt.Sprintf("spec.placement.allowed[%d]", i), allowed)
	}
	return p.Err()
}

func (j *JWT) validate(p *field.Problems) {
	if !accountID.MatchString(j.AccountID) || !nkeys.IsValidPublicAccountKey(j.AccountID) {
		p.Addf("spec.jwt.accountID %s is not the public key of an account (A and 55 characters): take it from `nsc describe account`", field.Quote(j.AccountID))
	}
	j.SigningKey.SecretRef.validate(p, "spec.jwt.signingKey.secretRef")
	p.Set("spec.jwt.signingKey.requiredTags", j.SigningKey.RequiredTags, 32)
	for _, tag := range j.SigningKey.RequiredTags {
		if len(tag) > 64 || !tagName.MatchString(tag) {
			p.Addf("spec.jwt.signingKey.requiredTags: %s is not the name of a tag: at most 64 of a-z, 0-9, -, _ and .", field.Quote(tag))
		}
	}
	if len(j.SigningKey.RequiredTags) > 0 && !j.SigningKey.Scoped {
		p.Addf("spec.jwt.signingKey.requiredTags goes with scoped: true only")
	}
	j.validateServers(p)
	if problem := certificates(j.CACertificates); problem != "" {
		p.Addf("spec.jwt.caCertificates %s", problem)
	}
	if o := j.Operator; o != nil {
		o.SigningKeySecretRef.validate(p, "spec.jwt.operator.signingKeySecretRef")
		SecretRef(o.SystemCredentialsSecretRef).validate(p, "spec.jwt.operator.systemCredentialsSecretRef")
		if len(j.Servers) == 0 {
			p.Addf("spec.jwt.operator needs spec.jwt.servers, where the account is looked up and updated")
		}
	}
}

func (j *JWT) validateServers(p *field.Problems) {
	p.Set("spec.jwt.servers", j.Servers, 16)
	webSockets := 0
	for i, s := range j.Servers {
		switch {
		case strings.Contains(s, "@"): // not to be repeated
			p.Addf("spec.jwt.servers[%d] has a user or a token in it: leave out what is before the @", i)
		case !isServer(s):
			p.Addf("spec.jwt.servers: %s is not the URL of a NATS server such as nats://nats.example.com:4222, without a user and a path", field.Quote(s))
		}
		if strings.HasPrefix(s, "ws") {
			webSockets++
		}
	}
	if webSockets > 0 && webSockets < len(j.Servers) {
		p.Addf("spec.jwt.servers are to be all WebSocket (ws and wss) or none: clients do not mix them")
	}
}

func isServer(s string) bool {
	if len(s) > 256 || !server.MatchString(s) {
		return false
	}
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return false
		}
	}
	return net.ParseIP(host) != nil || !strings.Contains(host, ":") && len(validation.IsDNS1123Subdomain(strings.ToLower(host))) == 0
}

// certificates tells what is wrong with a PEM bundle, nothing if it is empty or
// holds certificates and nothing else: what is cut off or not read would be
// missed by nobody until a connection fails.
func certificates(bundle string) string {
	switch {
	case bundle == "":
		return ""
	case len(bundle) > 65536:
		return "is longer than 64 KiB: leave out what is not needed"
	case strings.Contains(bundle, "PRIVATE KEY"):
		return "holds a private key: give the certificates alone"
	}
	blocks := strings.Count(bundle, "-----BEGIN ")
	for block, rest := pem.Decode([]byte(bundle)); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			return "holds something that is no certificate: leave it out"
		}
		blocks--
	}
	if blocks != 0 || !strings.Contains(bundle, "-----BEGIN CERTIFICATE-----") {
		return "holds no certificate in PEM form, or one that is cut off"
	}
	return ""
}

func (r SecretRef) validate(p *field.Problems, name string) {
	p.DNSSubdomain(name+".name", r.Name)
	if len(validation.IsConfigMapKey(r.Key)) > 0 {
		p.Addf("%s.key %s is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and .", name, field.Quote(r.Key))
	}
}

func (y *Policy) validate(p *field.Problems) {
	p.NamespacePatterns("spec.policy.namespaces", y.Namespaces)
	for _, list := range []struct {
		name     string
		subjects []string
	}{{"spec.policy.publish", y.Publish}, {"spec.policy.subscribe", y.Subscribe}} {
		p.Set(list.name, list.subjects, 256)
		for _, pattern := range list.subjects {
			expanded, err := subject.Expand(pattern, "namespace", "name")
			if err == nil {
				err = subject.Check(expanded)
			}
			if err == nil && len(pattern) > subject.MaxLength {
				err = fmt.Errorf("%s has more than %d characters", field.Quote(pattern), subject.MaxLength)
			}
			if err != nil {
				p.Addf("%s: the subject %v", list.name, err)
			}
		}
	}
	p.Duration("spec.policy.maxTTL", y.MaxTTL, leastTTL, mostTTL)
	p.Duration("spec.policy.minRenewBefore", y.MinRenewBefore, time.Second, mostTTL)
	if y.MaxTTL.Value() > 0 && y.MinRenewBefore.Value() >= y.MaxTTL.Value() {
		p.Addf("spec.policy.minRenewBefore %s is not shorter than maxTTL %s: no credential could live so", y.MinRenewBefore, y.MaxTTL)
	}
	y.AllowResponses.Problems(p, "spec.policy.allowResponses")
	ConnectionTypesProblems(p, "spec.policy.connectionTypes", y.ConnectionTypes, 1)
	p.Set("spec.policy.tags", y.Tags, 64)
	for _, tag := range y.Tags {
		if _, err := subject.Expand(tag, "namespace", "name"); err != nil || len(tag) > 128 || !tagPattern.MatchString(tag) {
			p.Addf("spec.policy.tags: %s is not a tag or a pattern such as team:{{namespace}} or stage:*", field.Quote(tag))
		}
	}
	if y.MaxJWTBytes < 1024 || y.MaxJWTBytes > 1<<20 {
		p.Addf("spec.policy.maxJWTBytes %d is not between 1024 and 1048576", y.MaxJWTBytes)
	}
}

// Default fills in what the CRD's defaults fill in.
func (r *Responses) Default() {
	r.Max, r.TTL = cmp.Or(r.Max, 1), cmp.Or(r.TTL, "5s")
}

// Problems adds what is wrong with the bounds; none are fine.
func (r *Responses) Problems(p *field.Problems, name string) {
	if r == nil {
		return
	}
	if r.Max < 1 || r.Max > 1_000_000 {
		p.Addf("%s.max %d is not between 1 and 1000000", name, r.Max)
	}
	p.Duration(name+".ttl", r.TTL, time.Millisecond, mostTTL)
}

// ConnectionTypesProblems adds a problem for each value that is not a way to connect.
func ConnectionTypesProblems(p *field.Problems, name string, values []ConnectionType, least int) {
	p.Count(name, len(values), least, len(connectionTypes))
	for i, value := range values {
		if !slices.Contains(connectionTypes, value) {
			p.Addf("%s: %s is not one of %s", name, field.Quote(string(value)), connectionTypes)
		}
		if slices.Contains(values[:i], value) {
			p.Addf("%s has %s twice", name, field.Quote(string(value)))
		}
	}
}

// ServerList returns the servers as NATS_URL has them.
func (j *JWT) ServerList() string { return strings.Join(j.Servers, ",") }
