package fakecloud

import (
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/synadia-io/control-plane-sdk-go/syncp"
)

func (c *Cloud) listTeams(*http.Request) (int, any, error) {
	list := []syncp.TeamViewResponse{}
	for _, t := range c.teams {
		list = append(list, syncp.TeamViewResponse{Created: t.created, Id: t.id, Name: t.name})
	}
	return http.StatusOK, syncp.TeamListResponse{Items: list}, nil
}

func (c *Cloud) listSystems(r *http.Request) (int, any, error) {
	t, err := c.team(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	list := []syncp.SystemViewResponse{}
	for _, s := range c.systems {
		if s.team == t {
			list = append(list, s.view())
		}
	}
	return http.StatusOK, syncp.SystemListResponse{Items: list}, nil
}

func (c *Cloud) listAccounts(r *http.Request) (int, any, error) {
	s, err := c.system(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	list := []syncp.AccountViewResponse{}
	for _, a := range c.accounts {
		if a.system != s {
			continue
		}
		view, err := c.viewAccount(a)
		if err != nil {
			return 0, nil, err
		}
		list = append(list, view)
	}
	return http.StatusOK, syncp.AccountListResponse{Items: list}, nil
}

func (c *Cloud) getAccount(r *http.Request) (int, any, error) {
	a, err := c.account(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	view, err := c.viewAccount(a)
	return http.StatusOK, view, err
}

func (c *Cloud) listGroups(r *http.Request) (int, any, error) {
	a, err := c.account(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	list := []syncp.SigningKeyGroupViewResponse{}
	for _, g := range c.groups {
		if g.account != a {
			continue
		}
		view, err := g.view()
		if err != nil {
			return 0, nil, err
		}
		list = append(list, view)
	}
	return http.StatusOK, syncp.SigningKeyGroupListResponse{Items: list}, nil
}

func (c *Cloud) getGroup(r *http.Request) (int, any, error) {
	g, err := c.group(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	view, err := g.view()
	return http.StatusOK, view, err
}

func (c *Cloud) listUsers(r *http.Request) (int, any, error) {
	a, err := c.account(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	list := []syncp.NatsUserViewResponse{}
	for _, u := range c.users {
		if u.group.account != a {
			continue
		}
		view, err := c.viewUser(u)
		if err != nil {
			return 0, nil, err
		}
		list = append(list, view)
	}
	return http.StatusOK, syncp.NatsUserListResponse{Items: list}, nil
}

func (c *Cloud) createUser(r *http.Request) (int, any, error) {
	a, err := c.account(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	var asked syncp.NatsUserCreateRequest
	if err := read(r, &asked); err != nil {
		return 0, nil, err
	}
	u, err := c.newUser(a, asked)
	if err != nil {
		return 0, nil, err
	}
	c.users = append(c.users, u)
	view, err := c.viewUser(u)
	return http.StatusCreated, view, err
}

// newUser makes the user that is asked for. Another one may have the same name.
func (c *Cloud) newUser(a *account, asked syncp.NatsUserCreateRequest) (*user, error) {
	g, err := c.group(asked.SkGroupId)
	switch {
	case asked.Name == "":
		return nil, refuse(http.StatusBadRequest, "the user has no name")
	case err != nil, g.account != a:
		return nil, refuse(http.StatusBadRequest, "the account has no signing key group %q", asked.SkGroupId)
	}
	settings, err := userSettings(g, asked.JwtSettings)
	if err != nil {
		return nil, err
	}
	key, public, err := newKey(nkeys.CreateUser)
	if err != nil {
		return nil, err
	}
	u := &user{now: c.now, id: newID(), name: asked.Name, created: c.now(), group: g, key: key, public: public, settings: settings}
	if seconds := asked.JwtExpiresInSecs; seconds != nil {
		u.lifetime = time.Duration(*seconds) * time.Second
	}
	return u, u.sign()
}

// userSettings turns what is asked for into what a JWT says. A user of a group
// with a scope has nothing of its own but tags.
func userSettings(g *group, asked *syncp.NatsCreateUserJwtSettings) (jwt.User, error) {
	var none syncp.NatsCreateUserJwtSettings
	if asked == nil {
		asked = &none
	}
	if g.Scope != nil {
		settings := jwt.User{}
		settings.Tags.Add(asked.Tags...)
		rest := *asked
		rest.Tags = nil
		if !equalJSON(rest, none) {
			return settings, refuse(http.StatusBadRequest, "the signing key group %s has a scope: its users have no settings but tags", g.Name)
		}
		return settings, nil
	}
	settings := jwt.User{}
	settings.NatsLimits = jwt.NatsLimits{Subs: jwt.NoLimit, Data: jwt.NoLimit, Payload: jwt.NoLimit}
	if err := convert(asked, &settings); err != nil {
		return settings, refuse(http.StatusBadRequest, "the settings cannot be used: %v", err)
	}
	return settings, nil
}

func (c *Cloud) getUser(r *http.Request) (int, any, error) {
	u, err := c.user(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	view, err := c.viewUser(u)
	return http.StatusOK, view, err
}

func (c *Cloud) deleteUser(r *http.Request) (int, any, error) {
	u, err := c.user(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	c.users = slices.DeleteFunc(c.users, func(other *user) bool { return other == u })
	if c.options.DeleteRevokes {
		_, err = c.revoke(u.group.account, u.public, 0)
	}
	return http.StatusNoContent, nil, err
}

func (c *Cloud) downloadCreds(r *http.Request) (int, any, error) {
	u, err := c.user(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	one, err := c.download(u)
	return http.StatusOK, string(one.Creds), err
}

func (c *Cloud) listIssuances(r *http.Request) (int, any, error) {
	u, err := c.user(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	list := []syncp.NatsUserIssuanceInfo{}
	for _, i := range c.issuances {
		if i.user == u {
			list = append(list, i.info())
		}
	}
	return http.StatusOK, syncp.NatsUserIssuancesListResponse{Items: list}, nil
}

func (c *Cloud) getIssuance(r *http.Request) (int, any, error) {
	i, err := find(c.issuances, "issuance", r.PathValue("id"), func(i *issuance) string { return i.id })
	if err != nil {
		return 0, nil, err
	}
	view, err := i.view()
	return http.StatusOK, view, err
}

func (c *Cloud) putRevocation(r *http.Request) (int, any, error) {
	a, err := c.account(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	var asked syncp.NatsUserRevocationRequest
	if err := read(r, &asked); err != nil {
		return 0, nil, err
	}
	key := r.PathValue("key")
	if !nkeys.IsValidPublicUserKey(key) && key != jwt.All || asked.Before < 0 {
		return 0, nil, refuse(http.StatusBadRequest, "the revocation is of no user or of no time")
	}
	added, err := c.revoke(a, key, asked.Before)
	if err != nil {
		return 0, nil, err
	}
	if added {
		return http.StatusCreated, a.viewRevocation(key), nil
	}
	return http.StatusOK, a.viewRevocation(key), nil
}

// revoked returns the account and the key of a request for a revocation that is
// there.
func (c *Cloud) revoked(r *http.Request) (*account, string, error) {
	a, err := c.account(r.PathValue("id"))
	if err != nil {
		return nil, "", err
	}
	key := r.PathValue("key")
	if _, has := a.revoked[key]; !has {
		return nil, "", refuse(http.StatusNotFound, "there is no revocation of %s", key)
	}
	return a, key, nil
}

func (c *Cloud) getRevocation(r *http.Request) (int, any, error) {
	a, key, err := c.revoked(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.viewRevocation(key), nil
}

func (c *Cloud) deleteRevocation(r *http.Request) (int, any, error) {
	a, key, err := c.revoked(r)
	if err != nil {
		return 0, nil, err
	}
	delete(a.revoked, key)
	delete(a.claims.Revocations, key)
	return http.StatusNoContent, nil, c.options.NATS.Push(a.claims)
}
