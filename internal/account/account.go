// Package account is what a NatsAccount offers: its key, its policy, and whether
// a request is admitted.
package account

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/fingerprint"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/subject"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	user "github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// Namespace is where NatsAccounts and their Secrets live.
const Namespace = config.Namespace

// Account is a NatsAccount that can make users.
type Account struct {
	*v1alpha1.NatsAccount
	// Opened is what makes them. Where the provider is asked what the account is, the
	// account's last run knows it: it is empty before.
	provider.Opened
	// Refuted is what its last run found to be wrong with the keys, so that no
	// credential would connect; empty if nothing.
	Refuted string
}

// UserName returns how the user of a generation is called in the account: readable,
// and where the provider finds it by its name, unique.
func (a *Account) UserName(request identity.Request, destination string, generation int64) string {
	name := fmt.Sprintf("%s.%s.%s.g%d", request.Namespace, request.Name, destination, generation)
	if !a.Spec.KeepsUsers() {
		return name
	}
	return name + "." + identity.Hash(a.Spec.Platform(), request.Namespace, request.Name, destination, fmt.Sprint(generation))
}

// NamedFor returns for whom a user of the account was made, by its name alone.
func (a *Account) NamedFor(name string) (request identity.Request, destination string, generation int64, ok bool) {
	parts := strings.Split(name, ".") // namespace, name, destination, generation, hash; two of them may have dots
	if len(parts) < 5 {
		return
	}
	generation, _ = strconv.ParseInt(strings.TrimPrefix(parts[len(parts)-2], "g"), 10, 64) // the whole name reports whether it is one
	for i := 2; i <= len(parts)-3; i++ {
		request = identity.Request{Kind: platform.NatsUser.Kind, Namespace: parts[0], Name: strings.Join(parts[1:i], ".")}
		if destination = strings.Join(parts[i:len(parts)-2], "."); a.UserName(request, destination, generation) == name {
			return request, destination, generation, true
		}
	}
	return
}

// NotFoundError tells that there is no such NatsAccount (any more).
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no NatsAccount %s/%s: correct spec.accountRef, or ask the platform team for the account", config.Namespace, e.Name)
}

// Get reads a NatsAccount without its keys.
func Get(ctx context.Context, client platform.Client, name string) (*unstructured.Unstructured, *v1alpha1.NatsAccount, error) {
	object, err := client.Get(ctx, platform.NatsAccount, config.Namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, &NotFoundError{name}
	case err != nil:
		return nil, nil, fmt.Errorf("NatsAccount %s/%s cannot be read: %w", config.Namespace, name, err)
	case object.GetDeletionTimestamp() != nil, kratix.IsDryRun(object): // one that is only tried offers nothing
		return nil, nil, &NotFoundError{name}
	}
	a, err := v1alpha1.Read(object)
	return object, a, err
}

// Opener opens NatsAccounts.
type Opener struct {
	Client platform.Client
	// Issuer knows the providers by name.
	Issuer func(v1alpha1.Provider) provider.OpenIssuer
	// How a run goes about it; what is the account's is filled in.
	How provider.Setting
}

// Open returns a NatsAccount with what makes its users.
func (o Opener) Open(ctx context.Context, object *unstructured.Unstructured, a *v1alpha1.NatsAccount) (*Account, error) {
	status := LastStatus(object)
	ready := meta.FindStatusCondition(status.Conditions, "Ready")
	refuted := ready != nil && ready.Status == metav1.ConditionFalse && reason.Reason(ready.Reason).Refutes()
	if status.Account != nil && status.Account.Found == nil { // what v0.1.0 has served goes on
		found := !refuted
		status.Account.Found = &found
	}
	opened, err := o.Issuer(a.Spec.Provider)(ctx, o.setting(a, status))
	if err != nil {
		return nil, err
	}
	found := &Account{NatsAccount: a, Opened: opened}
	// With another key its next run may find all to be well.
	if refuted && ready.ObservedGeneration == object.GetGeneration() && (status.Account == nil || status.Account.SigningKey == opened.SigningKey) {
		found.Refuted = ready.Message
	}
	return found, nil
}

func (o Opener) setting(a *v1alpha1.NatsAccount, status v1alpha1.NatsAccountStatus) provider.Setting {
	how := o.How
	how.NatsAccount, how.Last, how.Source = a, status.Account, Source(a)
	how.Secret = func(ctx context.Context, ref v1alpha1.SecretRef) ([]byte, error) { return Secret(ctx, o.Client, ref) }
	return how
}

// Source is the digest of what in a spec names the account to a provider that looks it
// up, empty for others.
func Source(a *v1alpha1.NatsAccount) string {
	if names := a.Spec.Names(); names != nil {
		return identity.Hash(names...)
	}
	return ""
}

// LastStatus reads what an account's last run has reported; nothing if it is not
// that.
func LastStatus(object *unstructured.Unstructured) v1alpha1.NatsAccountStatus {
	var status v1alpha1.NatsAccountStatus
	data, _ := json.Marshal(object.Object["status"]) // what was decoded encodes
	if json.Unmarshal(data, &status) != nil {
		return v1alpha1.NatsAccountStatus{}
	}
	return status
}

// Secret returns the value that a reference names. Its errors never show it.
func Secret(ctx context.Context, client platform.Client, ref v1alpha1.SecretRef) ([]byte, error) {
	object, err := find(ctx, client, Namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	if object == nil {
		return nil, missing(Namespace, ref)
	}
	return value(object, ref.Key)
}

// find returns a Secret, nil if there is none.
func find(ctx context.Context, client platform.Client, namespace, name string) (*unstructured.Unstructured, error) {
	object, err := client.Get(ctx, platform.Secret, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the Secret %s/%s cannot be read: %w", namespace, name, err)
	}
	return object, nil
}

func missing(namespace string, ref v1alpha1.SecretRef) error {
	return fmt.Errorf("there is no Secret %s/%s: create it with the key %s", namespace, ref.Name, ref.Key)
}

// value returns what a Secret has under a key.
func value(secret *unstructured.Unstructured, key string) ([]byte, error) {
	text, _, _ := unstructured.NestedString(secret.Object, "data", key)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) == 0 {
		return nil, fmt.Errorf("the Secret %s/%s has no key %s with a value: add it", secret.GetNamespace(), secret.GetName(), key)
	}
	return data, nil
}

// specForm is what the digest of an account's spec is made of, with its defaults
// filled in, frozen with v0.1.0. A default that comes later is not among what is
// filled in, but applied where the value is used: otherwise an upgrade would change
// the terms of all accounts, and have all of their users run.
var specForm = fingerprint.Form{
	"":                                 "provider jwt? synadia? policy placement",
	"jwt":                              "accountID signingKey servers? caCertificates? operator?",
	"jwt.signingKey":                   "secretRef scoped? requiredTags?",
	"jwt.signingKey.secretRef":         "name key?",
	"jwt.operator":                     "signingKeySecretRef systemCredentialsSecretRef",
	"jwt.operator.signingKeySecretRef": "name key?",
	"jwt.operator.systemCredentialsSecretRef": "name key?",
	"synadia":                "baseURL? caCertificates? accountID? system? account? signingKeyGroup? requiredTags? platform tokenSecretRef servers? verifyInterval? driftPolicy? budget?",
	"synadia.tokenSecretRef": "name key?",
	"policy":                 "namespaces? publish? subscribe? maxTTL? minRenewBefore? connectionTypes? allowResponses? allowBearerTokens? tags? maxJWTBytes?",
	"policy.allowResponses":  "max? ttl?",
	"placement":              "allowed?",
	"placement.allowed":      "matchLabels?",
}

// Terms is the digest of all that the account offers: by it the account knows
// which requests have not seen a change yet.
func (a *Account) Terms() string {
	besides := []string{a.SigningKey}
	if a.ProviderAccount != "" { // else the spec says it all
		besides = append(besides, a.ProviderAccount, a.ID, strconv.FormatBool(a.Scoped))
	}
	if a.NameInScope {
		besides = append(besides, "name in scope")
	}
	if a.NoBearer {
		besides = append(besides, "no bearer tokens")
	}
	if most := a.MaxJWTBytes; most > 0 && most < a.Spec.Policy.MaxJWTBytes {
		besides = append(besides, fmt.Sprintf("JWTs of %d bytes", most))
	}
	return specForm.Digest(a.Spec, besides...)
}

// Allows reports whether users may be delivered to a Destination with such labels.
func Allows(a *v1alpha1.NatsAccount, of map[string]string) bool {
	allowed := a.Spec.Placement.Allowed
	return len(allowed) == 0 || slices.ContainsFunc(allowed, func(p field.Placement) bool {
		return labels.SelectorFromSet(p.Labels()).Matches(labels.Set(of))
	})
}

// Admit tells why the policy does not admit a request, nil if it does.
func (a *Account) Admit(u *user.NatsUser) error {
	policy := a.Spec.Policy
	if !field.MatchNamespace(policy.Namespaces, u.Namespace) {
		return fmt.Errorf("NatsAccount %s admits no requests of the namespace %s: ask the platform team to add it to spec.policy.namespaces", a.Name, u.Namespace)
	}
	var p field.Problems
	if a.Scoped {
		a.admitScoped(&p, u)
	} else {
		a.admitSubjects(&p, u)
	}
	a.admitResponses(&p, u)
	for _, t := range u.Spec.ConnectionTypes {
		if !slices.Contains(policy.ConnectionTypes, t) {
			p.Addf("spec.connectionTypes: %s is not among those that the account allows (%s)", t, field.Few(policy.ConnectionTypes))
		}
	}
	for _, tag := range u.Spec.Tags {
		if !a.admitsTag(tag, u) {
			p.Addf("spec.tags: the account does not allow %s: leave it out, or ask the platform team to add it to spec.policy.tags", field.Quote(tag))
		}
	}
	if u.Spec.BearerToken && !policy.AllowBearerTokens {
		p.Addf("spec.bearerToken is not allowed by the account: leave it out")
	}
	c := u.Spec.Credentials
	if c.TTL.Value() > policy.MaxTTL.Value() {
		p.Addf("spec.credentials.ttl %s is longer than the %s that the account allows", c.TTL, policy.MaxTTL)
	}
	if c.RenewalWindow() < policy.MinRenewBefore.Value() {
		window := "is " + string(c.RenewBefore)
		if c.RenewBefore == "" {
			window = fmt.Sprintf("is by default a third of the ttl, here %s", c.RenewalWindow())
		}
		p.Addf("spec.credentials.renewBefore %s, and the account asks for at least %s, so that a renewal is there before it is needed: make it longer, and the ttl too", window, policy.MinRenewBefore)
	}
	if most := policy.MaxOverlap; most != "" && c.RevokePrevious == user.AfterOverlap && c.Overlap.Value() > most.Value() {
		p.Addf("spec.credentials.overlap %s is longer than the %s that the account allows", c.Overlap, most)
	}
	if policy.RefuseRetain && u.Spec.DeletionPolicy == user.RetainOnGone {
		p.Addf("spec.deletionPolicy Retain is not allowed by the account: leave it out, so that a deletion revokes the credentials")
	}
	if u.Spec.Secret.Format == user.Env && len(a.Spec.Servers()) == 0 {
		p.Addf("spec.secret.format Env needs the servers' addresses, which the account does not give: use another format, or ask the platform team to set the account's servers")
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("NatsAccount %s does not admit the request: %w", a.Name, err)
	}
	return nil
}

func (a *Account) admitSubjects(p *field.Problems, u *user.NatsUser) {
	asked := u.Spec.Permissions
	if asked == nil {
		p.Addf("spec.permissions is missing: name the subjects to publish and to subscribe to")
		return
	}
	for _, list := range []struct {
		name           string
		asked, allowed []string
		subscribe      bool
	}{
		{"spec.permissions.publish.allow", asked.Publish.Allow, a.Spec.Policy.Publish, false},
		{"spec.permissions.subscribe.allow", asked.Subscribe.Allow, a.Spec.Policy.Subscribe, true},
	} {
		var allowed []string
		for _, pattern := range list.allowed {
			// A name that cannot stand in a subject takes that pattern from it alone.
			if s, err := subject.Expand(pattern, u.Namespace, u.Name); err == nil {
				allowed = append(allowed, s)
			}
		}
		for _, s := range list.asked {
			if !slices.ContainsFunc(allowed, func(allowed string) bool { return subject.Covers(allowed, s) }) {
				p.Addf("%s: %s is not covered by what the account allows (%s)", list.name, field.Quote(s), field.Few(allowed))
			}
		}
		if list.subscribe {
			admitDepth(p, list.asked, allowed)
		}
	}
}

func (a *Account) admitResponses(p *field.Problems, u *user.NatsUser) {
	if u.Spec.Permissions == nil || u.Spec.Permissions.AllowResponses == nil {
		return
	}
	switch asked, allowed := u.Spec.Permissions.AllowResponses, a.Spec.Policy.AllowResponses; {
	case allowed == nil:
		p.Addf("spec.permissions.allowResponses is not allowed by the account: leave it out, and name the subjects of the answers, or ask the platform team to add it to spec.policy")
	case asked.Max > allowed.Max || asked.TTL.Value() > allowed.TTL.Value():
		p.Addf("spec.permissions.allowResponses asks for %d within %s, and the account allows %d within %s: ask for less", asked.Max, asked.TTL, allowed.Max, allowed.TTL)
	}
}

// admitDepth refuses a user that could subscribe deeper than it asks for: servers
// let who may subscribe to a.* subscribe to a.>, and what lies there cannot be
// denied where another subject that it may have reaches there too.
func admitDepth(p *field.Problems, asked, allowed []string) {
	for _, s := range asked {
		if !strings.HasSuffix("."+s, ".*") {
			continue
		}
		deep := strings.TrimSuffix(s, "*") + ">"
		covered := slices.ContainsFunc(allowed, func(a string) bool { return subject.Covers(a, deep) })
		i := slices.IndexFunc(asked, func(other string) bool { return subject.Overlaps(other, s+".>") })
		if i >= 0 && !covered {
			p.Addf("spec.permissions.subscribe.allow: with %s beside it %s would let the user subscribe to %s, which is not covered: ask for them in two requests", field.Quote(asked[i]), field.Quote(s), field.Quote(deep))
		}
	}
}

func (a *Account) admitScoped(p *field.Problems, u *user.NatsUser) {
	s := u.Spec
	if s.Permissions != nil || s.Limits != nil || s.SourceCIDRs != nil || s.Times != nil || s.ConnectionTypes != nil || s.BearerToken {
		p.Addf("permissions, limits, connectionTypes, sourceCIDRs, times and bearerToken come from the scope of the account's signing key: leave them out")
	}
	if strings.Contains(u.Name, ".") {
		p.Addf("metadata.name %s has a dot, which in a subject made of the tag name would be another subject: use a name without", field.Quote(u.Name))
	}
	for _, required := range a.Spec.RequiredTags() {
		if !slices.ContainsFunc(Tags(u, ""), func(tag string) bool { return strings.HasPrefix(tag, required+":") }) {
			p.Addf("spec.tags: the account's scope needs the tag %s: add it, as %s:value", required, required)
		}
	}
	for _, tag := range u.Spec.Tags {
		// Servers put what follows into the scope's subjects, as it is.
		name, value, _ := strings.Cut(tag, ":")
		if slices.Contains(a.Spec.RequiredTags(), name) && !subject.IsToken(value) {
			p.Addf("spec.tags: %s would make another subject of the account's scope: a value of the tag %s must be one token, without dots and not empty", field.Quote(tag), name)
		}
	}
}

func (a *Account) admitsTag(tag string, u *user.NatsUser) bool {
	return slices.ContainsFunc(a.Spec.Policy.Tags, func(pattern string) bool {
		pattern, err := subject.Expand(pattern, u.Namespace, u.Name)
		return err == nil && field.MatchText(pattern, tag)
	})
}

// Tags returns the tags of a user: its own and those that Baleen sets, so that
// the scope of a signing key may rely on them.
func Tags(u *user.NatsUser, destination string) []string {
	tags := []string{user.TagNamespace + ":" + u.Namespace, user.TagName + ":" + u.Name}
	if !strings.Contains(destination, ".") { // which a scope would take for several tokens
		tags = append(tags, user.TagDestination+":"+destination)
	}
	return append(tags, u.Spec.Tags...)
}

// Grant returns what an admitted request is granted on a cluster.
func (a *Account) Grant(u *user.NatsUser, destination string) provider.Grant {
	s := u.Spec
	g := provider.Grant{Tags: Tags(u, destination), Scoped: a.Scoped}
	if g.Scoped {
		return g
	}
	if m := s.Permissions; m != nil {
		g.Publish, g.Subscribe = provider.Subjects(m.Publish), provider.Subjects(m.Subscribe)
		if r := m.AllowResponses; r != nil {
			g.Responses = &provider.Responses{Max: r.Max, TTL: r.TTL.Value()}
		}
	}
	if l := s.Limits; l != nil {
		g.Subscriptions, g.Payload = l.Subscriptions, l.Payload.Bytes()
	}
	types := s.ConnectionTypes
	if len(types) == 0 {
		types = a.Spec.Policy.ConnectionTypes
	}
	for _, t := range types {
		g.ConnectionTypes = append(g.ConnectionTypes, string(t))
	}
	g.SourceCIDRs, g.Bearer = s.SourceCIDRs, s.BearerToken
	if t := s.Times; t != nil {
		g.TimeZone = t.TimeZone
		for _, r := range t.Ranges {
			g.Times = append(g.Times, provider.Range(r))
		}
	}
	return g
}

// TooShort tells why the policy's renewal window does not fit the interval at
// which Kratix reconciles, nil if it does.
func TooShort(a *v1alpha1.NatsAccount, interval time.Duration) error {
	if least := a.Spec.Policy.MinRenewBefore.Value(); least <= interval {
		return fmt.Errorf("spec.policy.minRenewBefore of NatsAccount %s/%s is %s, and Kratix reconciles every %s: make it longer than that and the time that a delivery may take, or credentials expire before they are renewed",
			a.Namespace, a.Name, a.Spec.Policy.MinRenewBefore, field.Short(interval))
	}
	return nil
}
