package fakecloud

import (
	"encoding/json"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// saved is a cloud as [New] makes it, and its users. The seeds are good for a test
// alone.
type saved struct {
	Created                      time.Time
	Team, System, Account, Group string // their ids
	AccountKey, GroupSeed        string
	Revoked                      map[string]time.Time
	Users                        []savedUser
	Issuances                    []savedIssuance
}

type savedUser struct {
	ID, Name string
	Created  time.Time
	Seed     string
	Settings jwt.User
	Lifetime time.Duration
	Token    string
	Maximum  int64
}

type savedIssuance struct {
	ID, Checksum string
	Created      time.Time
	User         string // its id
	Downloads    []Issuance
}

// Save writes a cloud that has the team, system, account and group of [New] alone to
// a file, for [Open]. What the account says is in the NATS system.
func (c *Cloud) Save(file string) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	seed := func(key nkeys.KeyPair) string {
		text, _ := key.Seed() // each was made here
		return string(text)
	}
	s := saved{
		Created: c.teams[0].created, Team: c.Team, System: c.System, Account: c.Account, Group: c.Group,
		AccountKey: c.accounts[0].claims.Subject, GroupSeed: seed(c.groups[0].key), Revoked: c.accounts[0].revoked,
	}
	for _, u := range c.users {
		s.Users = append(s.Users, savedUser{u.id, u.name, u.created, seed(u.key), u.settings, u.lifetime, u.token, u.maximum})
	}
	for _, i := range c.issuances {
		s.Issuances = append(s.Issuances, savedIssuance{i.id, i.checksum, i.created, i.user.id, i.downloads})
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}

// Open returns the cloud that was saved to a file. Its account is looked up in the
// NATS system.
func Open(options Options, file string) (*Cloud, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var s saved
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	c := newCloud(options)
	c.Team, c.System, c.Account, c.Group = s.Team, s.System, s.Account, s.Group
	t := &team{s.Team, "acme", s.Created}
	y := &system{s.System, "NGS", s.Created, t}
	a := &account{s.Account, "commerce", s.Created, y, nil, s.Revoked}
	if a.claims, err = options.NATS.Account(s.AccountKey); err != nil {
		return nil, err
	}
	key, public, err := keyOf(s.GroupSeed)
	if err != nil {
		return nil, err
	}
	g := &group{s.Group, s.Created, a, key, public, time.Time{}, Group{Name: "Default"}}
	c.teams, c.systems, c.accounts, c.groups = []*team{t}, []*system{y}, []*account{a}, []*group{g}
	users := map[string]*user{}
	for _, was := range s.Users {
		u := &user{
			now: c.now, id: was.ID, name: was.Name, created: was.Created, group: g, settings: was.Settings, lifetime: was.Lifetime,
			token: was.Token, maximum: was.Maximum,
		}
		if u.key, u.public, err = keyOf(was.Seed); err != nil {
			return nil, err
		}
		if u.claims, err = jwt.DecodeUserClaims(was.Token); err != nil {
			return nil, err
		}
		users[u.id] = u
		c.users = append(c.users, u)
	}
	for _, was := range s.Issuances {
		if u := users[was.User]; u != nil { // else it was deleted
			c.issuances = append(c.issuances, &issuance{was.ID, was.Checksum, was.Created, u, was.Downloads})
		}
	}
	return c, nil
}

func keyOf(seed string) (nkeys.KeyPair, string, error) {
	return newKey(func() (nkeys.KeyPair, error) { return nkeys.FromSeed([]byte(seed)) })
}
