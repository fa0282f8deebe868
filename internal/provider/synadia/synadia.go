package synadia

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/synadia-io/control-plane-sdk-go/syncp"

	"github.com/baleen-platform/baleen/internal/fingerprint"
	"github.com/baleen-platform/baleen/internal/provider"
)

// Issuer has users made in an account.
type Issuer struct {
	Cloud *Cloud
	// ProviderID and AccountID are the control plane's id of the account, and its
	// public key. Group is the id of the group of signing keys.
	ProviderID, AccountID, Group string
	// MaxBytes bounds the size of a user's JWT.
	MaxBytes int64
	// Now is the time of the run.
	Now time.Time
}

var _ provider.Issuer = (*Issuer)(nil)

// found has users made in an account.
func (i *Issuer) found(a provider.Account) {
	i.AccountID, i.ProviderID, i.Group = a.ID, a.ProviderAccount, a.SigningKey
}

// Propose implements [provider.Issuer]: the key is made by the control plane.
func (i *Issuer) Propose(name string) (provider.Identity, error) {
	return provider.Identity{Name: name}, nil
}

// AtOnce implements [provider.Issuer].
func (i *Issuer) AtOnce() int { return 1 }

// Sample implements [provider.Issuer]: such a user of an account that is nowhere.
func (i *Issuer) Sample(name string, grant provider.Grant) (provider.Credential, error) {
	account, err := nkeys.CreateAccount()
	if err != nil {
		return provider.Credential{}, err
	}
	return provider.Signer{AccountID: i.AccountID, Key: account, MaxBytes: i.MaxBytes}.Sample(name, grant)
}

// Issue implements [provider.Issuer]. The credentials are downloaded once, and not
// again as long as the answer can be read: each download is another issuance.
func (i *Issuer) Issue(ctx context.Context, identity provider.Identity, grant provider.Grant, expires time.Time) (provider.Credential, error) {
	if !i.Now.Before(expires) { // no time at all would be for ever
		return provider.Credential{}, fmt.Errorf("the user %s would have expired at %s: see that the clock is right", identity.Name, expires.UTC().Format(time.RFC3339))
	}
	user, err := i.create(ctx, identity.Name, grant, expires)
	if err != nil {
		return provider.Credential{}, err
	}
	file, err := call(ctx, i.Cloud, fmt.Sprintf("the credentials of the user %s cannot be downloaded", identity.Name), complete,
		func(ctx context.Context) (string, *http.Response, error) {
			return i.Cloud.api.NatsUserAPI.DownloadNatsUserCreds(ctx, user.Id).Execute()
		})
	if err != nil {
		return provider.Credential{}, err
	}
	c := provider.Credential{
		Identity: provider.Identity{Name: identity.Name, User: user.UserPublicKey, ID: user.Id}, File: []byte(file), Settings: digest(user.JwtSettings),
	}
	if err := i.check(&c, grant, expires); err != nil {
		return provider.Credential{}, fmt.Errorf("what Synadia issued as %s is not what was asked for, and is retired: %w", identity.Name, err)
	}
	return c, nil
}

// complete reports whether a .creds file is there to its end.
func complete(file string) bool {
	_, err := nkeys.ParseDecoratedUserNKey([]byte(file))
	return err == nil && strings.Contains(file, "------END USER NKEY SEED------")
}

// create makes the user. Where the answer is lost, it reads what has become of it
// before it tries again.
func (i *Issuer) create(ctx context.Context, name string, grant provider.Grant, expires time.Time) (*syncp.NatsUserViewResponse, error) {
	asked := syncp.NatsUserCreateRequest{
		Name: name, SkGroupId: i.Group, JwtExpiresInSecs: new(int64(math.Ceil(expires.Sub(i.Now).Seconds()))), JwtSettings: &syncp.NatsCreateUserJwtSettings{},
	}
	if err := convert(grant.JWT(), asked.JwtSettings); err != nil {
		return nil, err
	}
	if grant.Scoped { // empty permissions are settings too, and the scope has them all
		asked.JwtSettings.Permissions = syncp.Permissions{}
	}
	what := fmt.Sprintf("the user %s cannot be made", name)
	lost := false // some answer was
	for try := 1; ; try++ {
		made, after, err := i.Cloud.once(ctx, what, try, func(ctx context.Context) (any, *http.Response, error) {
			u, response, err := i.Cloud.api.AccountAPI.CreateUser(ctx, i.ProviderID).NatsUserCreateRequest(asked).Execute()
			if err == nil && (u == nil || !whole(*u)) {
				err = errUnreadable
			}
			return u, response, err
		})
		if err == nil {
			u := made.(*syncp.NatsUserViewResponse)
			if u.Name == name {
				return u, nil
			}
			// It could not be found by its name, so it goes at once.
			gone := i.retire(ctx, provider.Identity{Name: u.Name, User: u.UserPublicKey, ID: u.Id}, expires)
			return nil, errors.Join(fmt.Errorf("%s: the control plane calls it %s: choose a shorter name for the request, or for the Destination", what, u.Name), gone)
		}
		lost = lost || err.Lost
		if !err.again() || try == tries || !i.Cloud.wait(ctx, after) {
			if !lost {
				return nil, &provider.NotMadeError{Err: err}
			}
			return nil, err
		}
		if !err.Lost { // it was refused, and had no effect
			continue
		}
		users, listErr := i.list(ctx)
		if listErr != nil {
			return nil, fmt.Errorf("whether the user %s was made is not known: %w", name, listErr)
		}
		users = slices.DeleteFunc(users, func(u syncp.NatsUserViewResponse) bool { return !madeFor(u, name, i.Now) })
		switch len(users) {
		case 0:
			if err.slow { // it may still come, beside the one of another try
				return nil, err
			}
		case 1:
			return &users[0], nil
		default:
			return nil, fmt.Errorf("%s: there are %d users of that name, which are retired", what, len(users))
		}
	}
}

// madeFor reports whether a user was made for an identity of that name, of which that
// was written down at some time. One that is older is that of another platform.
func madeFor(u syncp.NatsUserViewResponse, name string, at time.Time) bool {
	return u.Name == name && !u.Created.Before(at.Add(-tolerance))
}

// whole reports whether an answer about a user is there to its end.
func whole(u syncp.NatsUserViewResponse) bool {
	return u.Id != "" && u.Name != "" && nkeys.IsValidPublicUserKey(u.UserPublicKey)
}

func (i *Issuer) list(ctx context.Context) ([]syncp.NatsUserViewResponse, error) {
	valid := func(l *syncp.NatsUserListResponse) bool { return l != nil && l.Items != nil && all(l.Items, whole) }
	list, err := call(ctx, i.Cloud, "the users of the account cannot be listed", valid,
		func(ctx context.Context) (*syncp.NatsUserListResponse, *http.Response, error) {
			return i.Cloud.api.AccountAPI.ListUsers(ctx, i.ProviderID).Execute()
		})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func all[T any](items []T, good func(T) bool) bool {
	return !slices.ContainsFunc(items, func(one T) bool { return !good(one) })
}

// tolerance is by how much clocks may differ.
const tolerance = 10 * time.Minute

// check makes sure that what was issued is what was asked for, and fills in the
// credential from it.
func (i *Issuer) check(c *provider.Credential, grant provider.Grant, expires time.Time) error {
	token, err := natsjwt.ParseDecoratedJWT(c.File)
	if err != nil {
		return errors.New("there is no JWT in it")
	}
	claims, err := natsjwt.DecodeUserClaims(token)
	if err != nil {
		return errors.New("its JWT cannot be read")
	}
	pair, err := natsjwt.ParseDecoratedUserNKey(c.File)
	if err != nil {
		return errors.New("there is no seed in it")
	}
	public, err := pair.PublicKey()
	if err != nil {
		return errors.New("its seed cannot be read")
	}
	if c.Seed, err = pair.Seed(); err != nil {
		return errors.New("its seed cannot be read")
	}
	c.JWT, c.Expires = token, time.Unix(claims.Expires, 0).UTC()
	switch {
	case claims.Subject != c.User || public != c.User:
		return errors.New("it is for another user")
	case cmp.Or(claims.IssuerAccount, claims.Issuer) != i.AccountID:
		return errors.New("it is for another account")
	case claims.Expires == 0:
		return fmt.Errorf("it never expires, and %s was asked for", expires.UTC().Format(time.RFC3339))
	case c.Expires.Sub(expires).Abs() > tolerance:
		return fmt.Errorf("it expires at %s, and %s was asked for: see the limits of the account and of its signing key group",
			c.Expires.Format(time.RFC3339), expires.UTC().Format(time.RFC3339))
	case int64(len(token)) > i.MaxBytes:
		return &provider.TooLargeError{Bytes: len(token), Max: i.MaxBytes}
	}
	if other := differs(claims.User, grant.JWT()); other != "" {
		return fmt.Errorf("it has other %s: see the signing key group, and whether it has a scope now", other)
	}
	return nil
}

// differs tells in what a user may do something else than was asked for. Its limits
// may be narrower, as an account can have them, and it may have more tags.
func differs(got, want natsjwt.User) string {
	wider := func(got, want int64) bool { return want != natsjwt.NoLimit && (got == natsjwt.NoLimit || got > want) }
	answers := (got.Resp == nil) == (want.Resp == nil) && (got.Resp == nil || *got.Resp == *want.Resp)
	switch {
	case !sameSubjects(got.Pub, want.Pub), !sameSubjects(got.Sub, want.Sub), !answers:
		return "permissions"
	case wider(got.Subs, want.Subs), wider(got.Data, want.Data), wider(got.Payload, want.Payload):
		return "limits"
	case !same(got.Src, want.Src):
		return "source networks"
	case !same(got.Times, want.Times), len(want.Times) > 0 && got.Locale != want.Locale:
		return "times"
	case !same(got.AllowedConnectionTypes, want.AllowedConnectionTypes):
		return "connection types"
	case got.BearerToken != want.BearerToken:
		return "use of its seed"
	case want.ProxyRequired && !got.ProxyRequired:
		return "ways to connect"
	case !all(want.Tags, func(tag string) bool { return got.Tags.Contains(tag) }):
		return "tags"
	}
	return ""
}

func sameSubjects(a, b natsjwt.Permission) bool {
	return same(a.Allow, b.Allow) && same(a.Deny, b.Deny)
}

// same reports whether two lists have the same in them, in any order.
func same[T comparable](a, b []T) bool {
	return len(a) == len(b) && all(a, func(one T) bool { return slices.Contains(b, one) }) && all(b, func(one T) bool { return slices.Contains(a, one) })
}

// settingsForm is what the digest of a user's settings is made of, frozen with
// v0.1.0. The type is that of a library, which gets new fields too.
var settingsForm = fingerprint.Form{
	"": "pub sub resp? src? times? times_location? subs? data? payload? bearer_token? proxy_required? allowed_connection_types?" +
		" issuer_account? tags? type? version?",
	"pub":   "allow? deny?",
	"sub":   "allow? deny?",
	"resp":  "max ttl",
	"times": "start? end?",
}

// digest stands for what the control plane says of a user's settings.
func digest(settings syncp.NatsUserJwtSettings) string {
	var user natsjwt.User
	if convert(settings, &user) != nil {
		return ""
	}
	for _, list := range [][]string{user.Pub.Allow, user.Pub.Deny, user.Sub.Allow, user.Sub.Deny, user.Src, user.AllowedConnectionTypes, user.Tags} {
		slices.Sort(list) // in whose order nothing lies
	}
	return settingsForm.Digest(user)
}

// convert copies by way of JSON, in which the SDK's types and those of JWTs agree.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}
