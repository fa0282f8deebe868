// Package operator issues users of a NATS account in operator mode: JWTs that are
// signed with a signing key of the account. Nothing outside is changed by that,
// and a key whose JWT was never delivered is in nobody's hands.
package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/subject"
)

// Issuer signs users.
type Issuer struct {
	accountID string
	key       nkeys.KeyPair
	// SigningKey is the public key.
	SigningKey string
	maxBytes   int64
}

var _ provider.Issuer = (*Issuer)(nil)

// New returns an issuer for an account, whose JWTs have at most so many bytes.
// The seed must be one of an account's signing keys. An error says what it is
// instead and never shows it.
func New(accountID string, seed []byte, maxBytes int64) (*Issuer, error) {
	key, public, err := ParseSeed(seed, nkeys.PrefixByteAccount)
	if err != nil {
		return nil, err
	}
	if public == accountID {
		return nil, errors.New("it is the identity key of the account, which belongs offline: add a signing key to the account and use that")
	}
	return &Issuer{accountID: accountID, key: key, SigningKey: public, maxBytes: maxBytes}, nil
}

// ParseSeed reads a seed that must be of one kind. An error says of what kind it
// is and never shows it.
func ParseSeed(seed []byte, want nkeys.PrefixByte) (nkeys.KeyPair, string, error) {
	kinds := map[nkeys.PrefixByte]string{
		nkeys.PrefixByteAccount: "an account (SA…)", nkeys.PrefixByteOperator: "an operator (SO…)", nkeys.PrefixByteUser: "a user (SU…)",
		nkeys.PrefixByteServer: "a server (SN…)", nkeys.PrefixByteCluster: "a cluster (SC…)", nkeys.PrefixByteCurve: "an encryption key (SX…)",
	}
	trimmed := []byte(strings.TrimSpace(string(seed)))
	prefix, _, err := nkeys.DecodeSeed(trimmed)
	if err != nil {
		return nil, "", fmt.Errorf("it is not a seed: put in the seed of %s as nsc writes it", kinds[want])
	}
	if prefix != want {
		return nil, "", fmt.Errorf("it is the seed of %s: put in that of %s", kinds[prefix], kinds[want])
	}
	pair, err := nkeys.FromSeed(trimmed)
	if err != nil {
		return nil, "", errors.New("it is not a seed")
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, "", errors.New("it is not a seed")
	}
	return pair, public, nil
}

// Propose implements [provider.Issuer].
func (i *Issuer) Propose(name string) (provider.Identity, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return provider.Identity{}, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return provider.Identity{}, err
	}
	public, err := pair.PublicKey()
	return provider.Identity{Name: name, User: public, Seed: seed}, err
}

// AtOnce implements [provider.Issuer]: signing costs nothing outside, so all are.
func (i *Issuer) AtOnce() int { return 1 << 20 }

// Sample implements [provider.Issuer]: a user that expired long ago.
func (i *Issuer) Sample(name string, grant provider.Grant) (provider.Credential, error) {
	identity, err := i.Propose(name)
	if err != nil {
		return provider.Credential{}, err
	}
	return i.Issue(context.Background(), identity, grant, time.Unix(1e9, 0)) // as many digits as now
}

// Issue implements [provider.Issuer].
func (i *Issuer) Issue(_ context.Context, identity provider.Identity, grant provider.Grant, expires time.Time) (provider.Credential, error) {
	c := claims(identity, grant, expires)
	c.IssuerAccount = i.accountID
	var found jwt.ValidationResults
	c.Validate(&found)
	if errs := found.Errors(); len(errs) > 0 {
		return provider.Credential{}, fmt.Errorf("NATS would refuse what is granted: %w", errs[0])
	}
	token, err := c.Encode(i.key)
	if err != nil {
		return provider.Credential{}, fmt.Errorf("the user cannot be signed: %w", err)
	}
	if int64(len(token)) > i.maxBytes {
		return provider.Credential{}, &TooLargeError{len(token), i.maxBytes}
	}
	file, err := jwt.FormatUserConfig(token, identity.Seed)
	if err != nil {
		return provider.Credential{}, errors.New("the credentials cannot be written as a .creds file")
	}
	return provider.Credential{Identity: identity, JWT: token, File: file, Expires: expires}, nil
}

// TooLargeError is a JWT that servers would not take.
type TooLargeError struct {
	Bytes int
	Max   int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("what is asked for makes a JWT of %d bytes, and the account allows %d: name fewer subjects, or wider ones", e.Bytes, e.Max)
}

// claims are what a user's JWT says, as NATS has it.
func claims(identity provider.Identity, grant provider.Grant, expires time.Time) *jwt.UserClaims {
	c := jwt.NewUserClaims(identity.User)
	c.Name = identity.Name
	c.Expires = expires.Unix()
	c.User = User(grant)
	return c
}

// User is what a grant is in the words of a JWT.
func User(grant provider.Grant) jwt.User {
	var c jwt.User
	c.Tags.Add(grant.Tags...)
	if grant.Scoped { // the scope has the rest
		return c
	}
	c.Limits = jwt.Limits{NatsLimits: jwt.NatsLimits{Subs: jwt.NoLimit, Data: jwt.NoLimit, Payload: jwt.NoLimit}}
	c.Pub = permission(grant.Publish)
	c.Sub = permission(closed(grant.Subscribe))
	if r := grant.Responses; r != nil {
		c.Resp = &jwt.ResponsePermission{MaxMsgs: int(r.Max), Expires: r.TTL}
	}
	if grant.Subscriptions > 0 {
		c.Limits.Subs = grant.Subscriptions
	}
	if grant.Payload > 0 {
		c.Limits.Payload = grant.Payload
	}
	c.Limits.Src.Add(grant.SourceCIDRs...)
	for _, t := range grant.Times {
		c.Limits.Times = append(c.Limits.Times, jwt.TimeRange{Start: t.Start, End: t.End})
	}
	c.Limits.Locale = grant.TimeZone
	c.AllowedConnectionTypes.Add(grant.ConnectionTypes...)
	c.BearerToken = grant.Bearer
	return c
}

// closed keeps a user that may subscribe to a.* from subscribing to a.>, which
// servers let through: they take the > for any one token. What lies deeper is
// denied, unless another subject that is allowed reaches there.
func closed(s provider.Subjects) provider.Subjects {
	deny := slices.Clone(s.Deny)
	for _, a := range s.Allow {
		deeper := a + ".>"
		if strings.HasSuffix("."+a, ".*") && !slices.ContainsFunc(s.Allow, func(other string) bool { return subject.Overlaps(other, deeper) }) {
			deny = append(deny, deeper)
		}
	}
	return provider.Subjects{Allow: s.Allow, Deny: deny}
}

// permission turns "nothing is allowed" into words that NATS understands: there
// an empty list allows everything.
func permission(s provider.Subjects) jwt.Permission {
	if len(s.Allow) == 0 {
		return jwt.Permission{Deny: jwt.StringList{">"}}
	}
	return jwt.Permission{Allow: s.Allow, Deny: s.Deny}
}
