package v1alpha1

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // an image has no database of time zones

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/subject"
	account "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// Read decodes a user, fills in defaults and validates it, all as strictly as an
// API server with the CRD would. The error is one sentence.
func Read(object *unstructured.Unstructured) (*NatsUser, error) {
	u := &NatsUser{}
	u.Name, u.Namespace, u.Generation = object.GetName(), object.GetNamespace(), object.GetGeneration()
	u.Annotations = object.GetAnnotations()
	err := field.Decode("spec", object.Object["spec"], &u.Spec)
	if err == nil {
		u.Spec.Default()
		err = u.Spec.Validate()
	}
	if err == nil {
		err = checkRotations(u.Annotations)
	}
	if err != nil {
		return nil, fmt.Errorf("NatsUser %s/%s is not valid: %w", u.Namespace, u.Name, err)
	}
	return u, nil
}

// Default fills in what the CRD's defaults fill in, and what depends on another
// field.
func (s *NatsUserSpec) Default() {
	c := &s.Credentials
	c.TTL = cmp.Or(c.TTL, "720h")
	c.Overlap = cmp.Or(c.Overlap, "24h")
	c.RevokePrevious = cmp.Or(c.RevokePrevious, AfterOverlap)
	s.Secret.Format = cmp.Or(s.Secret.Format, Creds)
	if s.Secret.Format == Creds {
		s.Secret.Key = cmp.Or(s.Secret.Key, "nats.creds")
	}
	s.Retain = cmp.Or(s.Retain, Ciphertext)
	s.DeletionPolicy = cmp.Or(s.DeletionPolicy, Revoke)
	if p := s.Permissions; p != nil && p.AllowResponses != nil {
		p.AllowResponses.Default()
	}
	if s.Times != nil {
		s.Times.TimeZone = cmp.Or(s.Times.TimeZone, "UTC")
	}
}

// RenewalWindow returns how long before its expiry a credential is renewed.
func (c Credentials) RenewalWindow() time.Duration {
	if c.RenewBefore != "" {
		return c.RenewBefore.Value()
	}
	return (c.TTL.Value() / 3).Truncate(time.Second)
}

var (
	tag       = regexp.MustCompile(`^[a-z0-9][-a-z0-9_.:/]*$`)
	network   = regexp.MustCompile(`^[0-9a-fA-F:.]+/[0-9]{1,3}$`)
	timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$`)
	zone      = regexp.MustCompile(`^[A-Za-z0-9_+/-]{1,64}$`)
	// annotation has no line breaks, not even those that only Unicode has.
	annotation = regexp.MustCompile(`^[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]*$`)
	marker     = regexp.MustCompile(`^[!-~]{0,64}$`)
)

// The bounds of durations: what Go can count and people mean.
const (
	leastTTL = time.Minute
	mostTTL  = 10 * 365 * 24 * time.Hour
)

// Tags that Baleen sets itself, so that a scope may trust them.
const (
	TagNamespace   = "namespace"
	TagName        = "name"
	TagDestination = "destination"
)

// Validate checks a spec with its defaults filled in.
func (s *NatsUserSpec) Validate() error {
	var p field.Problems
	p.LabelName("spec.accountRef.name", s.AccountRef.Name)
	if s.WorkloadNamespace != "" {
		p.DNSLabel("spec.workloadNamespace", s.WorkloadNamespace)
	}
	s.Permissions.validate(&p)
	if l := s.Limits; l != nil {
		if l.Subscriptions < 0 || l.Subscriptions > 1_000_000_000 {
			p.Addf("spec.limits.subscriptions %d is not between 1 and 1000000000", l.Subscriptions)
		}
		p.Size("spec.limits.payload", l.Payload)
	}
	account.ConnectionTypesProblems(&p, "spec.connectionTypes", s.ConnectionTypes, 0)
	p.Set("spec.sourceCIDRs", s.SourceCIDRs, 64)
	for _, cidr := range s.SourceCIDRs {
		if _, _, err := net.ParseCIDR(cidr); err != nil || !network.MatchString(cidr) {
			p.Addf("spec.sourceCIDRs: %s is not a network such as 10.0.0.0/8", field.Quote(cidr))
		}
	}
	s.Times.validate(&p)
	s.validateTags(&p)
	s.Credentials.validate(&p)
	s.Secret.validate(&p)
	p.Placement("spec.placement", s.Placement)
	oneOf(&p, "spec.retain", s.Retain, Ciphertext, Nothing)
	oneOf(&p, "spec.deletionPolicy", s.DeletionPolicy, Revoke, RetainOnGone)
	return p.Err()
}

func oneOf[T ~string](p *field.Problems, name string, value T, values ...T) {
	if !slices.Contains(values, value) {
		p.Addf("%s %s is not one of %s", name, field.Quote(string(value)), field.Listed(values))
	}
}

func (m *Permissions) validate(p *field.Problems) {
	if m == nil {
		return
	}
	for _, list := range []struct {
		name     string
		subjects []string
	}{
		{"spec.permissions.publish.allow", m.Publish.Allow}, {"spec.permissions.publish.deny", m.Publish.Deny},
		{"spec.permissions.subscribe.allow", m.Subscribe.Allow}, {"spec.permissions.subscribe.deny", m.Subscribe.Deny},
	} {
		p.Set(list.name, list.subjects, 256)
		for _, s := range list.subjects {
			if err := subject.Check(s); err != nil {
				p.Addf("%s: the subject %v", list.name, err)
			}
		}
	}
	m.AllowResponses.Problems(p, "spec.permissions.allowResponses")
}

func (t *Times) validate(p *field.Problems) {
	if t == nil {
		return
	}
	if _, err := time.LoadLocation(t.TimeZone); err != nil || !zone.MatchString(t.TimeZone) || t.TimeZone == "Local" {
		p.Addf("spec.times.timeZone %s is not a time zone of the IANA database such as Europe/Zurich", field.Quote(t.TimeZone))
	}
	p.Count("spec.times.ranges", len(t.Ranges), 1, 16)
	for _, r := range t.Ranges {
		for _, at := range slices.Compact([]string{r.Start, r.End}) {
			if !timeOfDay.MatchString(at) {
				p.Addf("spec.times.ranges: %s is not a time of day such as 08:00:00", field.Quote(at))
			}
		}
		if r.Start == r.End && timeOfDay.MatchString(r.Start) {
			p.Addf("spec.times.ranges: from %s to the same time is an empty range: for the whole day leave out spec.times", r.Start)
		}
	}
}

func (s *NatsUserSpec) validateTags(p *field.Problems) {
	p.Set("spec.tags", s.Tags, 32)
	for _, t := range s.Tags {
		name, _, _ := strings.Cut(t, ":")
		switch {
		case len(t) > 128 || !tag.MatchString(t):
			p.Addf("spec.tags: %s is not a tag such as stage:prod: at most 128 of a-z, 0-9, -, _, ., : and /", field.Quote(t))
		case slices.Contains([]string{TagNamespace, TagName, TagDestination}, name):
			p.Addf("spec.tags: %s has a name that Baleen sets itself: leave it out", field.Quote(t))
		}
	}
}

func (c Credentials) validate(p *field.Problems) {
	p.Duration("spec.credentials.ttl", c.TTL, leastTTL, mostTTL)
	p.Duration("spec.credentials.renewBefore", c.RenewBefore, time.Second, mostTTL)
	p.Duration("spec.credentials.overlap", c.Overlap, 0, mostTTL)
	if c.RenewBefore.Value() >= c.TTL.Value() && c.TTL.Value() > 0 {
		p.Addf("spec.credentials.renewBefore %s is not shorter than the ttl %s: it would be renewed in each run", c.RenewBefore, c.TTL)
	}
	if !marker.MatchString(c.Rotate) {
		p.Addf("spec.credentials.rotate %s is not a word of at most 64 printable characters", field.Quote(c.Rotate))
	}
	oneOf(p, "spec.credentials.revokePrevious", c.RevokePrevious, AfterOverlap, Immediately)
}

func (s *Secret) validate(p *field.Problems) {
	p.DNSSubdomain("spec.secret.name", s.Name)
	if len(s.Name) > 173 {
		p.Addf("spec.secret.name has %d characters: at most 173 are allowed, because the name of a file is made of it", len(s.Name))
	}
	oneOf(p, "spec.secret.format", s.Format, Creds, JWTAndSeed, Env)
	switch {
	case s.Format == Creds && len(validation.IsConfigMapKey(s.Key)) > 0:
		p.Addf("spec.secret.key %s is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and .", field.Quote(s.Key))
	case s.Key == ".baleen":
		p.Addf("spec.secret.key .baleen is not free: with retain: Nothing it is Baleen's own; choose another")
	case s.Format != Creds && s.Key != "":
		p.Addf("spec.secret.key goes with format: Creds only; the other formats have keys of their own")
	}
	labels, annotations := s.Metadata()
	p.Count("spec.secret.labels", len(labels), 0, 32)
	p.Labels("spec.secret.labels", labels)
	foreign(p, "spec.secret.labels", labels)
	p.Count("spec.secret.annotations", len(annotations), 0, 32)
	for _, key := range slices.Sorted(maps.Keys(annotations)) { // a status must not depend on a map's order
		if len(validation.IsQualifiedName(strings.ToLower(key))) > 0 || strings.ContainsFunc(key, func(r rune) bool { return r > '~' }) {
			p.Addf("spec.secret.annotations: %s is not the name of an annotation: at most 63 of A-Z, a-z, 0-9, -, _ and ., and perhaps a prefix such as example.com/", field.Quote(key))
		}
		if value := annotations[key]; len(value) > 4096 || !annotation.MatchString(value) {
			p.Addf("spec.secret.annotations: the value of %s has a line break or another control character, or more than 4096 bytes", field.Quote(key))
		}
	}
	foreign(p, "spec.secret.annotations", annotations)
}

// Metadata returns the labels and annotations as plain maps of their own.
func (s *Secret) Metadata() (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	for k, v := range s.Labels {
		labels[k] = string(v)
	}
	for k, v := range s.Annotations {
		annotations[k] = string(v)
	}
	return labels, annotations
}

// reserved are the domains whose labels and annotations steer somebody: a Secret
// with some of them would be unsealed anywhere, become a cluster of Argo CD, or
// be taken away.
var reserved = []string{"kubernetes.io", "k8s.io", "x-k8s.io", "kratix.io", "argoproj.io", "bitnami.com", "helm.sh", "baleen.dev"}

func foreign(p *field.Problems, name string, values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		prefix, _, found := strings.Cut(strings.ToLower(key), "/")
		if found && slices.ContainsFunc(reserved, func(d string) bool { return prefix == d || strings.HasSuffix(prefix, "."+d) }) {
			p.Addf("%s: %s has a prefix that belongs to others: leave it out", name, field.Quote(key))
		}
	}
}

// The annotations by which `baleen rotate` asks for a new generation: on all
// clusters, or on one.
const (
	RotateAnnotation       = "baleen.dev/rotate"
	RotateAnnotationPrefix = "rotate.baleen.dev/"
)

// checkRotations refuses what is too long to be kept with each credential.
func checkRotations(annotations map[string]string) error {
	var p field.Problems
	for _, key := range slices.Sorted(maps.Keys(annotations)) { // a status must not depend on a map's order
		asks := key == RotateAnnotation || strings.HasPrefix(key, RotateAnnotationPrefix)
		if value := annotations[key]; asks && !marker.MatchString(value) {
			p.Addf("the annotation %s is not a word of at most 64 printable characters, such as a date: correct it", field.Quote(key))
		}
	}
	return p.Err()
}
