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
	"unicode/utf8"

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
	if y := s.Synadia; y != nil {
		y.BaseURL = cmp.Or(y.BaseURL, "https://cloud.synadia.com")
		y.TokenSecretRef.Key = cmp.Or(y.TokenSecretRef.Key, "token")
		y.VerifyInterval = cmp.Or(y.VerifyInterval, "24h")
		y.DriftPolicy = cmp.Or(y.DriftPolicy, DriftReport)
		y.Budget = cmp.Or(y.Budget, "60s")
	}
}

var (
	accountID       = regexp.MustCompile(`^A[A-Z2-7]{55}$`)
	server          = regexp.MustCompile(`^(nats|tls|ws|wss)://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	baseURL         = regexp.MustCompile(`^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	loopback        = regexp.MustCompile(`^http://(127([.][0-9]{1,3}){3}|localhost|\[::1\])(:|$)`)
	providerID      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	platformName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	tagName         = regexp.MustCompile(`^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$`)
	tagPattern      = regexp.MustCompile(`^([-a-z0-9_.:/*]|[{][{](namespace|name)[}][}])+$`)
	connectionTypes = []ConnectionType{"STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"}
)

// The bounds of what a policy may say.
const (
	leastTTL = time.Minute
	mostTTL  = 10 * 365 * 24 * time.Hour

	mostFormer = 100000
)

// Validate checks a spec with its defaults filled in.
func (s *NatsAccountSpec) Validate() error {
	var p field.Problems
	known := slices.ContainsFunc(s.sections(), func(o section) bool { return o.provider == s.Provider })
	if !known {
		p.Addf("spec.provider %s is not jwt or synadia", field.Quote(string(s.Provider)))
	}
	for _, o := range s.sections() {
		switch {
		case !known: // nor is what goes with it
		case s.Provider == o.provider && !o.there:
			p.Addf("spec.provider %s needs the field spec.%s", o.provider, o.provider)
		case s.Provider != o.provider && o.there:
			p.Addf("spec.%s goes with provider %s only: leave it out", o.provider, o.provider)
		}
	}
	for _, o := range s.sections() {
		if o.there {
			o.validate(&p)
		}
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
	requiredTags(p, "spec.jwt.signingKey.requiredTags", j.SigningKey.RequiredTags)
	if len(j.SigningKey.RequiredTags) > 0 && !j.SigningKey.Scoped {
		p.Addf("spec.jwt.signingKey.requiredTags goes with scoped: true only")
	}
	servers(p, "spec.jwt.servers", j.Servers)
	j.CACertificates.validate(p, "spec.jwt.caCertificates")
	if o := j.Operator; o != nil {
		o.SigningKeySecretRef.validate(p, "spec.jwt.operator.signingKeySecretRef")
		SecretRef(o.SystemCredentialsSecretRef).validate(p, "spec.jwt.operator.systemCredentialsSecretRef")
		if len(j.Servers) == 0 {
			p.Addf("spec.jwt.operator needs spec.jwt.servers, where the account is looked up and updated")
		}
	}
}

func (y *Synadia) validate(p *field.Problems) {
	switch {
	case strings.Contains(y.BaseURL, "@"): // not to be repeated
		p.Addf("spec.synadia.baseURL has a user or a token in it: leave out what is before the @")
	case len(y.BaseURL) > 256 || !baseURL.MatchString(y.BaseURL) || !isAddress(y.BaseURL):
		p.Addf("spec.synadia.baseURL %s is not the address of a control plane such as https://cloud.synadia.com, without a path", field.Quote(y.BaseURL))
	case !strings.HasPrefix(y.BaseURL, "https://") && !isLoopback(y.BaseURL):
		p.Addf("spec.synadia.baseURL %s is not https, and the token goes there: begin it with https://", field.Quote(y.BaseURL))
	}
	y.CACertificates.validate(p, "spec.synadia.caCertificates")
	if (y.AccountID != "") == (y.Account != "") || (y.System != "") != (y.Account != "") {
		p.Addf("spec.synadia needs accountID, or system and account in its place: name the account in one of these ways")
	}
	if y.AccountID != "" && !providerID.MatchString(y.AccountID) {
		p.Addf("spec.synadia.accountID %s is not an id of the control plane: take it from the address of the account's page", field.Quote(y.AccountID))
	}
	for _, of := range []struct{ name, value, instead string }{
		{"system", y.System, "name the account by its accountID"},
		{"account", y.Account, "name the account by its accountID"},
		{"signingKeyGroup", y.SigningKeyGroup, "write the group's id"},
	} {
		if n := utf8.RuneCountInString(of.value); n > 128 {
			p.Addf("spec.synadia.%s has %d characters, and at most 128 are allowed: %s", of.name, n, of.instead)
		}
	}
	if len(y.Platform) > 63 || !platformName.MatchString(y.Platform) {
		p.Addf("spec.synadia.platform %s is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends", field.Quote(y.Platform))
	}
	requiredTags(p, "spec.synadia.requiredTags", y.RequiredTags)
	y.TokenSecretRef.validate(p, "spec.synadia.tokenSecretRef")
	servers(p, "spec.synadia.servers", y.Servers)
	p.Duration("spec.synadia.verifyInterval", y.VerifyInterval, time.Second, mostTTL)
	p.Duration("spec.synadia.budget", y.Budget, time.Second, 10*time.Minute)
	if y.DriftPolicy != DriftReport && y.DriftPolicy != DriftCorrect {
		p.Addf("spec.synadia.driftPolicy %s is not Report or Correct", field.Quote(string(y.DriftPolicy)))
	}
}

func requiredTags(p *field.Problems, name string, tags []string) {
	p.Set(name, tags, 32)
	for _, tag := range tags {
		if len(tag) > 64 || !tagName.MatchString(tag) {
			p.Addf("%s: %s is not the name of a tag: at most 64 of a-z, 0-9, -, _ and .", name, field.Quote(tag))
		}
	}
}

func servers(p *field.Problems, name string, urls []string) {
	p.Set(name, urls, 16)
	mixed := false
	for i, s := range urls {
		switch {
		case strings.Contains(s, "@"): // not to be repeated
			p.Addf("%s[%d] has a user or a token in it: leave out what is before the @", name, i)
		case len(s) > 256 || !server.MatchString(s) || !isAddress(s):
			p.Addf("%s: %s is not the URL of a NATS server such as nats://nats.example.com:4222, without a user and a path", name, field.Quote(s))
		}
		mixed = mixed || strings.HasPrefix(s, "ws") != strings.HasPrefix(urls[0], "ws")
	}
	if mixed {
		p.Addf("%s are to be all WebSocket (ws and wss) or none: clients do not mix them", name)
	}
}

// isAddress reports whether a URL has a host and a port that there can be.
func isAddress(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if port := u.Port(); port != "" {
		if n, _ := strconv.Atoi(port); n < 1 || n > 65535 { // 0 where it is no number
			return false
		}
	}
	return net.ParseIP(host) != nil || len(validation.IsDNS1123Subdomain(strings.ToLower(host))) == 0
}

// isLoopback reports whether a URL without TLS is of this machine, where nobody else
// reads along.
func isLoopback(s string) bool {
	u, err := url.Parse(s)
	return err == nil && loopback.MatchString(s) && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// validate admits certificates and nothing else, because what is cut off or not
// read would be missed by nobody until a connection fails.
func (c Certificates) validate(p *field.Problems, name string) {
	bundle := string(c)
	switch {
	case bundle == "":
		return
	case len(bundle) > 65536:
		p.Addf("%s is longer than 64 KiB: leave out what is not needed", name)
		return
	case strings.Contains(bundle, "PRIVATE KEY"):
		p.Addf("%s holds a private key: give the certificates alone", name)
		return
	}
	blocks := strings.Count(bundle, "-----BEGIN ")
	for block, rest := pem.Decode([]byte(bundle)); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			p.Addf("%s holds something that is no certificate: leave it out", name)
			return
		}
		blocks--
	}
	if blocks != 0 || !strings.Contains(bundle, "-----BEGIN CERTIFICATE-----") {
		p.Addf("%s holds no certificate in PEM form, or one that is cut off", name)
	}
}

func (r SecretRef) validate(p *field.Problems, name string) {
	p.DNSSubdomain(name+".name", r.Name)
	if len(validation.IsConfigMapKey(r.Key)) > 0 {
		p.Addf("%s.key %s is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and .", name, field.Quote(r.Key))
	}
}

// validate is that of a SecretRef, but repeats nothing: who writes the token itself
// there would read it in the status.
func (r TokenRef) validate(p *field.Problems, name string) {
	switch {
	case r.Name == "":
		p.Addf("%s.name is missing", name)
	case len(validation.IsDNS1123Subdomain(r.Name)) > 0:
		p.Addf("%s.name is not the name of a Secret: write the name of the one that holds the token, at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends", name)
	}
	if len(validation.IsConfigMapKey(r.Key)) > 0 {
		p.Addf("%s.key is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and .", name)
	}
}

// defaultFormer is less than a tenth of the revocations that an account has room for.
const defaultFormer = 1000

// FormerBound is how many former credentials a namespace may have. The default is not
// filled in, since it came after the digest of accounts was frozen.
func (y *Policy) FormerBound() int {
	if y.MaxFormer == nil {
		return defaultFormer
	}
	return *y.MaxFormer
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
	if y.MaxOverlap != "" {
		p.Duration("spec.policy.maxOverlap", y.MaxOverlap, 0, mostTTL)
	}
	if n := y.MaxFormer; n != nil && (*n < 1 || *n > mostFormer) {
		p.Addf("spec.policy.maxFormer %d is not between 1 and %d", *n, mostFormer)
	}
	y.AllowResponses.Problems(p, "spec.policy.allowResponses")
	ConnectionTypesProblems(p, "spec.policy.connectionTypes", y.ConnectionTypes, 1)
	p.Set("spec.policy.tags", y.Tags, 64)
	for _, tag := range y.Tags {
		if len(tag) > 128 || !tagPattern.MatchString(tag) {
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
			p.Addf("%s: %s is not one of %s", name, field.Quote(string(value)), field.Listed(connectionTypes))
		}
		if slices.Contains(values[:i], value) {
			p.Addf("%s has %s twice", name, field.Quote(string(value)))
		}
	}
}
