package provider

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/subject"
)

// Signer signs users of an account with a key of it.
type Signer struct {
	AccountID string
	Key       nkeys.KeyPair
	// MaxBytes bounds the size of a JWT.
	MaxBytes int64
}

// NewIdentity makes up an identity with a key of its own.
func NewIdentity(name string) (Identity, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return Identity{}, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return Identity{}, err
	}
	public, err := pair.PublicKey()
	return Identity{Name: name, User: public, Seed: seed}, err
}

// Sign makes the JWT of a user and its .creds file. It returns a [TooLargeError] for
// one that servers would not take.
func (s Signer) Sign(identity Identity, grant Grant, expires time.Time) (Credential, error) {
	c := claims(identity, grant, expires)
	c.IssuerAccount = s.AccountID
	var found jwt.ValidationResults
	c.Validate(&found)
	if errs := found.Errors(); len(errs) > 0 {
		return Credential{}, fmt.Errorf("NATS would refuse what is granted: %w", errs[0])
	}
	token, err := c.Encode(s.Key)
	if err != nil {
		return Credential{}, fmt.Errorf("the user cannot be signed: %w", err)
	}
	if int64(len(token)) > s.MaxBytes {
		return Credential{}, &TooLargeError{len(token), s.MaxBytes}
	}
	file, err := jwt.FormatUserConfig(token, identity.Seed)
	if err != nil {
		return Credential{}, errors.New("the credentials cannot be written as a .creds file")
	}
	return Credential{Identity: identity, JWT: token, File: file, Expires: expires}, nil
}

// Sample signs a user that expired long ago.
func (s Signer) Sample(name string, grant Grant) (Credential, error) {
	identity, err := NewIdentity(name)
	if err != nil {
		return Credential{}, err
	}
	return s.Sign(identity, grant, time.Unix(1e9, 0)) // as many digits as now
}

// claims are what a user's JWT says, as NATS has it.
func claims(identity Identity, grant Grant, expires time.Time) *jwt.UserClaims {
	c := jwt.NewUserClaims(identity.User)
	c.Name = identity.Name
	c.Expires = expires.Unix()
	c.User = grant.JWT()
	return c
}

// JWT is the grant in the words of a JWT.
func (g Grant) JWT() jwt.User {
	var c jwt.User
	c.Tags.Add(g.Tags...)
	if g.Scoped { // the scope has the rest
		return c
	}
	c.Limits = jwt.Limits{NatsLimits: jwt.NatsLimits{Subs: jwt.NoLimit, Data: jwt.NoLimit, Payload: jwt.NoLimit}}
	c.Pub = permission(g.Publish)
	c.Sub = permission(closed(g.Subscribe))
	if r := g.Responses; r != nil {
		c.Resp = &jwt.ResponsePermission{MaxMsgs: int(r.Max), Expires: r.TTL}
	}
	if g.Subscriptions > 0 {
		c.Limits.Subs = g.Subscriptions
	}
	if g.Payload > 0 {
		c.Limits.Payload = g.Payload
	}
	c.Limits.Src.Add(g.SourceCIDRs...)
	for _, t := range g.Times {
		c.Limits.Times = append(c.Limits.Times, jwt.TimeRange{Start: t.Start, End: t.End})
	}
	c.Limits.Locale = g.TimeZone
	c.AllowedConnectionTypes.Add(g.ConnectionTypes...)
	c.BearerToken = g.Bearer
	return c
}

// closed keeps a user that may subscribe to a.* from subscribing to a.>, which
// servers let through: they take the > for any one token. What lies deeper is
// denied, unless another subject that is allowed reaches there.
func closed(s Subjects) Subjects {
	deny := slices.Clone(s.Deny)
	for _, a := range s.Allow {
		deeper := a + ".>"
		if strings.HasSuffix("."+a, ".*") && !slices.ContainsFunc(s.Allow, func(other string) bool { return subject.Overlaps(other, deeper) }) {
			deny = append(deny, deeper)
		}
	}
	return Subjects{Allow: s.Allow, Deny: deny}
}

// permission turns "nothing is allowed" into words that NATS understands: there
// an empty list allows everything.
func permission(s Subjects) jwt.Permission {
	if len(s.Allow) == 0 {
		return jwt.Permission{Deny: jwt.StringList{">"}}
	}
	return jwt.Permission{Allow: s.Allow, Deny: s.Deny}
}

var tagInSubject = regexp.MustCompile(`\{\{\s*tag\(\s*([^)\s]*)\s*\)\s*\}\}`)

var nameInSubject = regexp.MustCompile(`(?i)\{\{\s*name\(\)\s*\}\}`)

// NameInScope reports whether a scope's subjects are made of the name of the user.
func NameInScope(scope *jwt.UserScope) bool {
	return scope != nil && slices.ContainsFunc(subjectsOf(scope), nameInSubject.MatchString)
}

func subjectsOf(scope *jwt.UserScope) []string {
	t := scope.Template
	return slices.Concat(t.Pub.Allow, t.Pub.Deny, t.Sub.Allow, t.Sub.Deny)
}

// TagsInScope returns the names of the tags that a scope's subjects are made of, as servers
// look them up: in lower case.
func TagsInScope(scope *jwt.UserScope) []string {
	var names []string
	for _, s := range subjectsOf(scope) {
		for _, m := range tagInSubject.FindAllStringSubmatch(s, -1) {
			names = append(names, strings.ToLower(m[1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
