package fakecloud

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

type team struct {
	id, name string
	created  time.Time
}

type system struct {
	id, name string
	created  time.Time
	team     *team
}

type account struct {
	id, name string
	created  time.Time
	system   *system
	claims   *jwt.AccountClaims
	revoked  map[string]time.Time // when each revocation was made
}

type group struct {
	id         string
	created    time.Time
	account    *account
	key        nkeys.KeyPair
	public     string
	disabledAt time.Time
	Group
}

type user struct {
	now      func() time.Time
	id, name string
	created  time.Time
	group    *group
	key      nkeys.KeyPair
	public   string
	settings jwt.User
	lifetime time.Duration // 0: it never expires
	claims   *jwt.UserClaims
	token    string // of the claims
	maximum  int64  // the latest expiry that was given
}

// issuance is all the downloads of a user that say the same.
type issuance struct {
	id, checksum string
	created      time.Time
	user         *user
	downloads    []Issuance
}

// newID returns an id that looks like one of Synadia's.
func newID() string { return "2" + rand.Text() }

// find returns the one with an id, or the error that there is none.
func find[T any](all []*T, what, id string, idOf func(*T) string) (*T, error) {
	if i := slices.IndexFunc(all, func(one *T) bool { return idOf(one) == id }); i >= 0 {
		return all[i], nil
	}
	return nil, refuse(http.StatusNotFound, "there is no %s %s", what, id)
}

func (c *Cloud) team(id string) (*team, error) {
	return find(c.teams, "team", id, func(t *team) string { return t.id })
}

func (c *Cloud) system(id string) (*system, error) {
	return find(c.systems, "system", id, func(s *system) string { return s.id })
}

func (c *Cloud) account(id string) (*account, error) {
	return find(c.accounts, "account", id, func(a *account) string { return a.id })
}

func (c *Cloud) group(id string) (*group, error) {
	return find(c.groups, "signing key group", id, func(g *group) string { return g.id })
}

func (c *Cloud) user(id string) (*user, error) {
	return find(c.users, "NATS user", id, func(u *user) string { return u.id })
}

// AddTeam adds a team and returns its id.
func (c *Cloud) AddTeam(name string) string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	t := &team{newID(), name, c.now()}
	c.teams = append(c.teams, t)
	return t.id
}

// AddSystem adds a system to a team and returns its id. All systems share the
// servers.
func (c *Cloud) AddSystem(teamID, name string) string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	t, _ := c.team(teamID)
	s := &system{newID(), name, c.now(), t}
	c.systems = append(c.systems, s)
	return s.id
}

// AddAccount adds an account to a system and returns its id.
func (c *Cloud) AddAccount(systemID, name string) (string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s, err := c.system(systemID)
	if err != nil {
		return "", err
	}
	_, public, err := newKey(nkeys.CreateAccount)
	if err != nil {
		return "", err
	}
	a := &account{newID(), name, c.now(), s, jwt.NewAccountClaims(public), map[string]time.Time{}}
	a.claims.Name = name
	c.accounts = append(c.accounts, a)
	return a.id, c.options.NATS.Push(a.claims)
}

// Group is what a signing key group is like.
type Group struct {
	Name string
	// Scope makes all of the group's users have these permissions and limits.
	Scope *jwt.UserPermissionLimits
	// Programmatic and MissingSeed: the cloud does not have the seed.
	Programmatic, MissingSeed bool
}

// AddGroup adds a signing key group to an account and returns its id.
func (c *Cloud) AddGroup(accountID string, spec Group) (string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	a, err := c.account(accountID)
	if err != nil {
		return "", err
	}
	key, public, err := newKey(nkeys.CreateAccount)
	if err != nil {
		return "", err
	}
	g := &group{newID(), c.now(), a, key, public, time.Time{}, spec}
	c.groups = append(c.groups, g)
	if g.Scope == nil {
		a.claims.SigningKeys.Add(public)
	} else {
		scope := jwt.NewUserScope()
		scope.Key, scope.Role, scope.Template = public, g.Name, *g.Scope
		a.claims.SigningKeys.AddScopedSigner(scope)
	}
	return g.id, c.options.NATS.Push(a.claims)
}

// DisableGroup takes a group's key out of the account.
func (c *Cloud) DisableGroup(id string) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	g, err := c.group(id)
	if err != nil {
		return err
	}
	g.disabledAt = c.now()
	g.account.claims.SigningKeys.Remove(g.public)
	return c.options.NATS.Push(g.account.claims)
}

// maySign returns why the cloud cannot sign users of a group.
func (g *group) maySign() error {
	switch {
	case !g.disabledAt.IsZero():
		return refuse(http.StatusBadRequest, "the signing key group %s is disabled", g.Name)
	case g.Programmatic, g.MissingSeed:
		return refuse(http.StatusBadRequest, "the seed of the signing key group %s is not here", g.Name)
	}
	return nil
}

func newKey(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string, error) {
	key, err := create()
	if err != nil {
		return nil, "", err
	}
	public, err := key.PublicKey()
	return key, public, err
}

// sign makes a new JWT of a user, whose life begins now.
func (u *user) sign() error {
	if err := u.group.maySign(); err != nil {
		return err
	}
	c := jwt.NewUserClaims(u.public)
	c.Name, c.User, c.IssuerAccount = u.name, u.settings, u.group.account.claims.Subject
	if u.lifetime > 0 {
		c.Expires = u.now().Add(u.lifetime).Unix()
	}
	var found jwt.ValidationResults
	c.Validate(&found)
	if errs := found.Errors(); len(errs) > 0 {
		return refuse(http.StatusBadRequest, "the user is not valid: %v", errs[0])
	}
	token, err := c.Encode(u.group.key)
	if err != nil {
		return err
	}
	u.claims, u.token, u.maximum = c, token, max(u.maximum, c.Expires)
	return nil
}

// download issues a user once more.
func (c *Cloud) download(u *user) (Issuance, error) {
	if err := u.sign(); err != nil {
		return Issuance{}, err
	}
	seed, err := u.key.Seed()
	if err != nil {
		return Issuance{}, err
	}
	file, err := jwt.FormatUserConfig(u.token, seed)
	if err != nil {
		return Issuance{}, err
	}
	said, err := json.Marshal([]any{u.id, u.claims.Issuer, u.public, u.name, u.claims.User})
	if err != nil {
		return Issuance{}, err
	}
	sum := sha256.Sum256(said)
	checksum := hex.EncodeToString(sum[:])
	i := slices.IndexFunc(c.issuances, func(i *issuance) bool { return i.checksum == checksum })
	if i < 0 {
		i = len(c.issuances)
		c.issuances = append(c.issuances, &issuance{id: newID(), checksum: checksum, created: c.now(), user: u})
	}
	one := Issuance{u.id, u.name, u.public, u.claims.ID, u.claims.IssuedAt, u.claims.Expires, file}
	c.issuances[i].downloads = append(c.issuances[i].downloads, one)
	return one, nil
}

// revoke revokes what was issued for a key at a time or before, and reports whether
// the key had no revocation.
func (c *Cloud) revoke(a *account, key string, before int64) (added bool, err error) {
	if before == 0 {
		before = c.now().Unix()
	}
	_, has := a.revoked[key]
	if !has {
		a.revoked[key] = c.now()
	}
	if a.claims.Revocations == nil {
		a.claims.Revocations = jwt.RevocationList{}
	}
	a.claims.Revocations[key] = before
	return !has, c.options.NATS.Push(a.claims)
}

// User is one that the cloud has.
type User struct{ ID, Name, PublicKey, GroupID string }

// Users lists the users of an account, the oldest first.
func (c *Cloud) Users(accountID string) []User {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var list []User
	for _, u := range c.users {
		if u.group.account.id == accountID {
			list = append(list, User{u.id, u.name, u.public, u.group.id})
		}
	}
	return list
}

// PublicKey returns the public key of an account, empty if there is none.
func (c *Cloud) PublicKey(accountID string) string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	a, err := c.account(accountID)
	if err != nil {
		return ""
	}
	return a.claims.Subject
}

// AllowPublish lets a user publish to a subject more, as somebody may do in the
// console. What was downloaded before does not say so.
func (c *Cloud) AllowPublish(userID, subject string) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	u, err := c.user(userID)
	if err != nil {
		return err
	}
	u.settings.Pub.Allow.Add(subject)
	return nil
}

// Revocations lists the revocations of an account: up to when what was issued for
// a key is revoked, in seconds since 1970.
func (c *Cloud) Revocations(accountID string) map[string]int64 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	list := map[string]int64{}
	if a, err := c.account(accountID); err == nil {
		maps.Copy(list, a.claims.Revocations)
	}
	return list
}

// Issuance is one download of a user's credentials.
type Issuance struct {
	UserID, Name, PublicKey string
	// JTI is the id of the JWT, IssuedAt and Expires are its times in seconds since
	// 1970. Expires is 0 for never.
	JTI               string
	IssuedAt, Expires int64
	// Creds is what was downloaded.
	Creds []byte
}

// Issuances lists all that was ever downloaded of an account, also for users that
// were deleted since.
func (c *Cloud) Issuances(accountID string) []Issuance {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var list []Issuance
	for _, i := range c.issuances {
		if i.user.group.account.id == accountID {
			list = append(list, i.downloads...)
		}
	}
	return list
}
