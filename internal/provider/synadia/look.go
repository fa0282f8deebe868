package synadia

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/synadia-io/control-plane-sdk-go/syncp"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
)

// Named is an account as people name it: by its id, or by the names of its system
// and of itself; and a group of signing keys by id or name, empty for the one that
// there is: the one that was used last, as long as it is there.
type Named struct{ AccountID, System, Account, Group, LastGroup string }

// Account is an account as the control plane has it.
type Account struct {
	// ID is the control plane's, PublicKey the account's identity.
	ID, PublicKey, Name string
	GroupID, GroupName  string
	// Scope holds the permissions of all users of the group, nil if they have their
	// own. Role describes it.
	Scope *natsjwt.UserScope
	// Revocations are up to when each key is revoked, in seconds since 1970.
	Revocations natsjwt.RevocationList
	// Time is the control plane's, zero if it does not tell.
	Time time.Time
}

// UnknownError tells what is not there, or cannot be used as it is.
type UnknownError struct {
	Reason reason.Reason
	why    string
}

func (e *UnknownError) Error() string { return e.why }

func unknown(because reason.Reason, format string, args ...any) error {
	return &UnknownError{because, fmt.Sprintf(format, args...)}
}

// Look finds an account and its group, and makes sure that the group can sign. With
// an error that is about the group alone it returns the account too.
func (c *Cloud) Look(ctx context.Context, named Named) (*Account, error) {
	id := named.AccountID
	if id == "" {
		var err error
		if id, err = c.find(ctx, named); err != nil {
			return nil, err
		}
	}
	valid := func(a *syncp.AccountViewResponse) bool { return a != nil && a.Id == id && a.AccountPublicKey != nil }
	var now time.Time
	view, err := call(ctx, c, "the account cannot be read", valid, func(ctx context.Context) (*syncp.AccountViewResponse, *http.Response, error) {
		a, response, err := c.api.AccountAPI.GetAccount(ctx, id).Execute()
		if response != nil {
			if at, unknown := http.ParseTime(response.Header.Get("Date")); unknown == nil {
				now = at
			}
		}
		return a, response, err
	})
	if IsStatus(err, http.StatusNotFound) {
		return nil, unknown(reason.AccountUnknown, "the control plane has no account %s, or the token may not see it: correct spec.synadia", id)
	}
	if err != nil {
		return nil, err
	}
	if !nkeys.IsValidPublicAccountKey(*view.AccountPublicKey) {
		return nil, unknown(reason.AccountUnknown, "the account %s has no public key that is one: correct spec.synadia", id)
	}
	a := &Account{ID: id, PublicKey: *view.AccountPublicKey, Name: view.Name, Time: now}
	if view.Claims != nil && view.Claims.Nats != nil {
		var claims natsjwt.Account
		if err := convert(view.Claims.Nats, &claims); err != nil {
			return nil, errors.New("the claims of the account cannot be read")
		}
		a.Revocations = claims.Revocations
	}
	return a, c.chooseGroup(ctx, a, named)
}

// find returns the id of the account of a name in the system of a name.
func (c *Cloud) find(ctx context.Context, named Named) (string, error) {
	teams, err := call(ctx, c, "the teams cannot be listed", func(l *syncp.TeamListResponse) bool { return l != nil && l.Items != nil },
		func(ctx context.Context) (*syncp.TeamListResponse, *http.Response, error) {
			return c.api.SessionAPI.ListTeams(ctx).Execute()
		})
	if err != nil {
		return "", err
	}
	var ids []string
	for _, team := range teams.Items {
		systems, err := call(ctx, c, "the systems cannot be listed", func(l *syncp.SystemListResponse) bool { return l != nil && l.Items != nil },
			func(ctx context.Context) (*syncp.SystemListResponse, *http.Response, error) {
				return c.api.TeamAPI.ListTeamSystems(ctx, team.Id).Execute()
			})
		if err != nil {
			return "", err
		}
		for _, system := range systems.Items {
			if system.Name != named.System {
				continue
			}
			accounts, err := call(ctx, c, "the accounts cannot be listed", func(l *syncp.AccountListResponse) bool { return l != nil && l.Items != nil },
				func(ctx context.Context) (*syncp.AccountListResponse, *http.Response, error) {
					return c.api.SystemAPI.ListAccounts(ctx, system.Id).Execute()
				})
			if err != nil {
				return "", err
			}
			for _, account := range accounts.Items {
				if account.Name == named.Account {
					ids = append(ids, account.Id)
				}
			}
		}
	}
	switch len(ids) {
	case 0:
		return "", unknown(reason.AccountUnknown, "the token sees no account %q in a system %q: correct spec.synadia", named.Account, named.System)
	case 1:
		return ids[0], nil
	}
	return "", unknown(reason.AccountUnknown, "the token sees %d accounts %q in systems %q: say which with spec.synadia.accountID (%s)", len(ids), named.Account, named.System, strings.Join(ids, ", "))
}

// chooseGroup finds the group of signing keys, and tells if it cannot sign.
func (c *Cloud) chooseGroup(ctx context.Context, a *Account, n Named) error {
	list, err := call(ctx, c, "the signing key groups cannot be listed", func(l *syncp.SigningKeyGroupListResponse) bool { return l != nil && l.Items != nil },
		func(ctx context.Context) (*syncp.SigningKeyGroupListResponse, *http.Response, error) {
			return c.api.AccountAPI.ListAccountSkGroup(ctx, a.ID).Execute()
		})
	if err != nil {
		return err
	}
	named := n.Group
	if named == "" && slices.ContainsFunc(list.Items, func(g syncp.SigningKeyGroupViewResponse) bool { return g.Id == n.LastGroup }) {
		named = n.LastGroup // another that is made must not change who signs
	}
	var names []string
	var found []syncp.SigningKeyGroupViewResponse
	for _, g := range list.Items {
		names = append(names, g.Name)
		if g.Id == named || g.Name == named || named == "" && (g.Name == "Default" || len(list.Items) == 1) {
			found = append(found, g)
		}
	}
	if len(found) != 1 {
		return unknown(reason.SigningKeyUnknown, "the account has %d signing key groups %q, among %d: set spec.synadia.signingKeyGroup to one of %q, or to its id", len(found), named, len(list.Items), names)
	}
	g := found[0]
	switch {
	case g.Disabled:
		return unknown(reason.SigningKeyUnusable, "the signing key group %q is disabled: enable it, or name another in spec.synadia.signingKeyGroup", g.Name)
	case g.MissingSeed, g.Programmatic:
		return unknown(reason.SigningKeyUnusable, "the control plane does not have the seed of the signing key group %q, so it cannot sign users: name another in spec.synadia.signingKeyGroup", g.Name)
	}
	a.GroupID, a.GroupName = g.Id, g.Name
	if !g.IsScoped {
		return nil
	}
	a.Scope = natsjwt.NewUserScope()
	a.Scope.Role = g.Name
	if g.Scope != nil {
		if err := convert(g.Scope, &a.Scope.Template); err != nil {
			return errors.New("the scope of the signing key group cannot be read")
		}
	}
	return nil
}

// Gone implements [provider.Keeper].
func (i *Issuer) Gone(ctx context.Context, id string) (bool, error) {
	valid := func(u *syncp.NatsUserViewResponse) bool { return u != nil && u.Id == id }
	_, err := call(ctx, i.Cloud, "a user cannot be read", valid, func(ctx context.Context) (*syncp.NatsUserViewResponse, *http.Response, error) {
		return i.Cloud.api.NatsUserAPI.GetNatsUser(ctx, id).Execute()
	})
	if IsStatus(err, http.StatusNotFound) {
		return true, nil
	}
	return false, err
}

// Downloaded implements [provider.Keeper].
func (i *Issuer) Downloaded(ctx context.Context, id string) (bool, error) {
	valid := func(l *syncp.NatsUserIssuancesListResponse) bool { return l != nil && l.Items != nil }
	list, err := call(ctx, i.Cloud, "what was downloaded of a user cannot be listed", valid, func(ctx context.Context) (*syncp.NatsUserIssuancesListResponse, *http.Response, error) {
		return i.Cloud.api.NatsUserAPI.ListNatsUserIssuances(ctx, id).Execute()
	})
	if IsStatus(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil && len(list.Items) > 0, err
}

// Users implements [provider.Keeper].
func (i *Issuer) Users(ctx context.Context) ([]provider.User, error) {
	views, err := i.list(ctx)
	var users []provider.User
	for _, u := range views {
		users = append(users, provider.User{ID: u.Id, Name: u.Name, PublicKey: u.UserPublicKey, Settings: digest(u.JwtSettings), Expires: u.JwtExpiresAtMax})
	}
	return users, err
}
