// Package provider is how users of an account are made, and how the account is looked
// after, in words that hold for all providers. There are two interfaces, because what
// makes users must never hold what signs accounts. Each provider has a folder below, and
// its name in package known.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/baleen-platform/baleen/internal/fingerprint"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// Identity is a user of one generation on one cluster.
type Identity struct {
	// Name is the user's name, unique and readable.
	Name string
	// User is its public key, empty where the provider is to make it.
	User string
	// ID is what a provider calls the user that it keeps, empty if it keeps none or
	// that is not known.
	ID string
	// Seed proves that one is the user. It is in memory only.
	Seed []byte
}

// Subjects are allowed, and denied among those.
type Subjects struct{ Allow, Deny []string }

// Responses bound the answers to one request.
type Responses struct {
	Max int64
	TTL time.Duration
}

// Range is a part of a day, as 08:00:00.
type Range struct{ Start, End string }

// Grant is what an identity may do.
type Grant struct {
	// Scoped: permissions and limits come from the signing key's scope.
	Scoped             bool
	Publish, Subscribe Subjects
	// Responses is nil for a user that may not answer requests.
	Responses *Responses
	// Subscriptions and Payload (in bytes) are limits; 0 is none.
	Subscriptions, Payload       int64
	ConnectionTypes, SourceCIDRs []string
	Times                        []Range
	TimeZone                     string
	Tags                         []string
	Bearer                       bool
}

// grantForm is what a grant's digest is made of, frozen with v0.1.0.
var grantForm = fingerprint.Form{
	"":          "Scoped Publish Subscribe Responses Subscriptions Payload ConnectionTypes SourceCIDRs Times TimeZone Tags Bearer",
	"Publish":   "Allow Deny",
	"Subscribe": "Allow Deny",
	"Responses": "Max TTL",
	"Times":     "Start End",
}

// Digest stands for the grant, whatever the order of its lists. It is stored with
// each credential, and another one issues the next, so a field that is added to the
// grant must be left at its zero for what could be asked for before.
func (g Grant) Digest() string { return grantForm.Digest(g.sorted()) }

// Futile tells why a grant is of no use, and another one is meant, nil if it may be of some:
// why nobody could connect with it, or why it does not hold what it says.
func (g Grant) Futile() error {
	// Servers let who signs nothing in by a bearer token alone, and MQTT has no place for
	// a signature.
	mqtt := func(t string) bool { return t == jwt.ConnectionTypeMqtt || t == jwt.ConnectionTypeMqttWS }
	if len(g.ConnectionTypes) > 0 && !g.Bearer && !slices.ContainsFunc(g.ConnectionTypes, func(t string) bool { return !mqtt(t) }) {
		return errors.New("nobody can connect by MQTT without a bearer token: set spec.bearerToken, or add another of spec.connectionTypes")
	}
	for _, s := range slices.Concat(g.Publish.Allow, g.Publish.Deny, g.Subscribe.Allow, g.Subscribe.Deny) {
		if strings.Contains(s, "{{") {
			return fmt.Errorf("servers take %s as it is written, and put nothing in the place of what is in braces: write the subject that is meant", s)
		}
	}
	return nil
}

// Futile tells the same of a grant of the account.
func (a Account) Futile(g Grant) error {
	switch {
	case g.Bearer && a.NoBearer:
		return errors.New("nobody can connect with a bearer token, which the account's own limits refuse: leave out spec.bearerToken, or have the platform team change them with `nsc edit account --disallow-bearer=false`")
	case g.Scoped && a.NameInScope:
		return errors.New("the account's scope is made of {{name()}}, which each generation has another of: have the platform team use {{tag(name)}}")
	}
	return g.Futile()
}

// Fits tells why the account's servers take no JWT of so many bytes with a grant, nil if
// they do or nobody knows. Leaf nodes and MQTT have other bounds than the line of a client.
func (a Account) Fits(g Grant, bytes int) error {
	inLine := func(t string) bool {
		return t == jwt.ConnectionTypeStandard || t == jwt.ConnectionTypeWebsocket || t == jwt.ConnectionTypeInProcess
	}
	if a.MaxJWTBytes == 0 || int64(bytes) <= a.MaxJWTBytes || len(g.ConnectionTypes) > 0 && !slices.ContainsFunc(g.ConnectionTypes, inLine) {
		return nil
	}
	return &TooLargeError{bytes, a.MaxJWTBytes}
}

// sorted is the grant with its sets in the order of the alphabet.
func (g Grant) sorted() Grant {
	for _, list := range []*[]string{
		&g.Publish.Allow, &g.Publish.Deny, &g.Subscribe.Allow, &g.Subscribe.Deny, &g.ConnectionTypes, &g.SourceCIDRs, &g.Tags,
	} {
		*list = slices.Sorted(slices.Values(*list))
	}
	return g
}

// Credential is an identity that can connect. It is in memory only.
type Credential struct {
	Identity
	JWT string
	// File is the JWT and the seed as a .creds file.
	File []byte
	// Expires is when it does.
	Expires time.Time
	// Settings is the digest of what the provider says of the user that it keeps.
	Settings string
}

// TooLargeError is a JWT that servers would not take.
type TooLargeError struct {
	Bytes int
	Max   int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("what is asked for makes a JWT of %d bytes, and the account allows %d: name fewer subjects, or wider ones", e.Bytes, e.Max)
}

// NotMadeError is a refusal after which it is certain that nothing was made.
type NotMadeError struct{ Err error }

func (e *NotMadeError) Error() string { return e.Err.Error() }
func (e *NotMadeError) Unwrap() error { return e.Err }

// Account is what users of an account are made with.
type Account struct {
	// ID is its public key.
	ID string
	// SigningKey is what signs users: a public key, or what the provider calls it.
	// Scoped: it has a scope, which holds the permissions of all users.
	SigningKey string
	Scoped     bool
	// ProviderAccount is the provider's id of the account, where it keeps a user for each
	// identity; else empty.
	ProviderAccount string
	// NameInScope: the scope's subjects are made of the user's name, which each generation
	// has another of. NoBearer: its own limits refuse bearer tokens. MaxJWTBytes is how
	// large a JWT of a user its servers take, 0 where that is not known.
	NameInScope bool
	NoBearer    bool
	MaxJWTBytes int64
}

// Setting is what a provider is opened with for a NatsAccount.
type Setting struct {
	*v1alpha1.NatsAccount
	// Last is what the account's last run has found, nil if there was none, and Source
	// the digest of what names the account in the spec of today.
	Last   *v1alpha1.AccountStatus
	Source string
	// Secret reads a value that the spec refers to. Its errors never show it.
	Secret func(ctx context.Context, ref v1alpha1.SecretRef) ([]byte, error)
	// OperatorSecret reads one that is the operator's, and says which Secret it was in. An
	// administrator alone may.
	OperatorSecret func(ctx context.Context, ref v1alpha1.SecretRef) (value []byte, in string, err error)
	Network
	// Now is the time of the run. Simulated: it is not that of the world.
	Now       time.Time
	Simulated bool
	// DryRun: nothing is to be changed outside.
	DryRun bool
}

// Network is how providers are reached.
type Network struct {
	// Servers are those at URLs whose certificates are checked with a PEM bundle, empty for
	// the public authorities. An administrator alone needs them.
	Servers func(urls []string, authorities string) Servers
	// Transport carries requests to control planes, nil for the network of this process.
	Transport http.RoundTripper
}

// Servers are a NATS system in operator mode.
type Servers interface {
	// Open connects as a user of the system account, by a .creds file.
	Open(credentials []byte) (System, error)
	// Try connects as a user and leaves.
	Try(credentials []byte) error
}

// System is a connection to the system account.
type System interface {
	// Vars are what the servers say of themselves.
	Vars(ctx context.Context) (ServerVars, error)
	// Lookup returns an account as the servers have it, nil if they say that they have none.
	Lookup(ctx context.Context, account string) (*AccountJWT, error)
	// Update has the servers take an account's JWT.
	Update(ctx context.Context, account, token string) error
	// MaxPayload is the largest message that the servers take, in bytes.
	MaxPayload() int64
	Close()
}

// AccountJWT is an account as servers have it.
type AccountJWT struct {
	*jwt.AccountClaims
	// Token may say more than the claims, which know the fields of one version.
	Token string
}

// ServerVars are what servers say of themselves.
type ServerVars struct {
	// TrustedKeys are those whose signature on an account all servers take.
	TrustedKeys []string
	// Now is the time of the last to answer.
	Now time.Time
	// MaxControlLine is the smallest of the largest lines that they take, in bytes: one of
	// them has a user's JWT. It is 0 where none says it.
	MaxControlLine int64
}

// RefusedError tells that servers do not accept a user.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return "the servers refuse the user: " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// FullError tells that servers accept a user, and that its account has as many connections
// as it may.
type FullError struct{ Err error }

func (e *FullError) Error() string { return "the account has no connection free: " + e.Err.Error() }
func (e *FullError) Unwrap() error { return e.Err }

// OpenIssuer opens what makes users of an account, with no more than it takes for that.
type OpenIssuer func(ctx context.Context, s Setting) (Opened, error)

// OpenAdministrator opens what looks after an account that was opened for users.
type OpenAdministrator func(ctx context.Context, s Setting, opened Opened) (Administrator, error)

// Opened is an issuer, with the account that it makes users of.
type Opened struct {
	Issuer
	Account
	// Unseen: no run of the account has found it with what would be used.
	Unseen bool
}

// Issuer makes identities.
type Issuer interface {
	// Propose makes up an identity without any effect outside, so that it can be
	// written down before it is issued.
	Propose(name string) (Identity, error)
	// Issue makes the identity, which may then do what is granted until it expires.
	// After an error the identity may be there or not, and is to be retired, but for
	// a [NotMadeError].
	Issue(ctx context.Context, identity Identity, grant Grant, expires time.Time) (Credential, error)
	// Sample returns what Issue would, as far as one can tell without any effect
	// outside: of the same form and size, and it connects nowhere. Its error says
	// why the grant cannot be issued.
	Sample(name string, grant Grant) (Credential, error)
	// AtOnce is how many identities are issued before they are committed: as many
	// as a crash may lose.
	AtOnce() int
}
