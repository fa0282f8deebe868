package fakecloud

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/synadia-io/control-plane-sdk-go/syncp"
)

// convert copies by way of JSON, in which the SDK's types and those of JWTs agree.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

func equalJSON(a, b any) bool {
	one, errOne := json.Marshal(a)
	two, errTwo := json.Marshal(b)
	return errOne == nil && errTwo == nil && bytes.Equal(one, two)
}

func (t *team) info() syncp.TeamInfo { return syncp.TeamInfo{Id: t.id, Name: t.name} }

func (s *system) view() syncp.SystemViewResponse {
	return syncp.SystemViewResponse{
		Created: s.created, Id: s.id, Name: s.name, Team: s.team.info(), IsTenant: true,
		ConnectionType: syncp.SYSTEMCONNECTIONTYPE_DIRECT, State: syncp.SYSTEMSTATE_CONNECTED, UpdatesAvailable: map[string]syncp.Update{},
	}
}

func (c *Cloud) systemInfo(s *system) syncp.SystemInfo {
	return syncp.SystemInfo{
		Id: s.id, Name: s.name, IsTenant: true, ServerUrls: new(c.options.NATS.URL()),
		ConnectionType: syncp.SYSTEMCONNECTIONTYPE_DIRECT, State: syncp.SYSTEMSTATE_CONNECTED,
	}
}

func (a *account) info() syncp.AccountInfo {
	return syncp.AccountInfo{
		AccountPublicKey: &a.claims.Subject, AuthType: syncp.ACCOUNTAUTHTYPE_JWT, Id: a.id, Name: a.name,
	}
}

func (c *Cloud) viewAccount(a *account) (syncp.AccountViewResponse, error) {
	view := syncp.AccountViewResponse{
		AccountPublicKey: &a.claims.Subject, AuthType: syncp.ACCOUNTAUTHTYPE_JWT, Created: a.created, Id: a.id, Name: a.name,
		Claims: &syncp.AccountClaims{}, ClaimsInfo: &syncp.AccountClaimsInfo{}, JwtSettings: &syncp.AccountJWTSettings{},
		JwtSyncStatus: syncp.JWTSYNCSTATUS_COMPLETE, System: c.systemInfo(a.system), Team: a.system.team.info(),
	}
	if err := convert(a.claims, view.Claims); err != nil {
		return view, err
	}
	return view, convert(a.claims.Account, view.JwtSettings)
}

func (g *group) view() (syncp.SigningKeyGroupViewResponse, error) {
	view := syncp.SigningKeyGroupViewResponse{
		Created: g.created, Disabled: !g.disabledAt.IsZero(), Id: g.id, IsScoped: g.Scope != nil, MissingSeed: g.MissingSeed,
		Name: g.Name, Programmatic: g.Programmatic,
	}
	if view.Disabled {
		view.DisabledAt = &g.disabledAt
	}
	if g.Scope == nil {
		return view, nil
	}
	view.Scope = &syncp.UserPermissionLimits{}
	return view, convert(g.Scope, view.Scope)
}

func (c *Cloud) viewUser(u *user) (syncp.NatsUserViewResponse, error) {
	a := u.group.account
	view := syncp.NatsUserViewResponse{
		Account: a.info(), Created: u.created, Id: u.id, Jwt: u.token, JwtExpiresAtMax: u.maximum,
		JwtExpiresInSecs: int64(u.lifetime / time.Second), Name: u.name, SkGroupId: &u.group.id,
		System: c.systemInfo(a.system), Team: a.system.team.info(), UserPublicKey: u.public,
	}
	if err := convert(u.claims, &view.Claims); err != nil {
		return view, err
	}
	return view, convert(u.settings, &view.JwtSettings)
}

func (a *account) viewRevocation(key string) syncp.NatsUserRevocationViewResponse {
	return syncp.NatsUserRevocationViewResponse{
		AccountId: a.id, Before: a.claims.Revocations[key], Created: a.revoked[key], UserNkeyPublic: key,
	}
}

// bounds returns the first and the last time of issue, and the latest expiry, nil
// for one that never comes.
func (i *issuance) bounds() (first, last int64, expires *int64) {
	first, last = i.downloads[0].IssuedAt, i.downloads[len(i.downloads)-1].IssuedAt
	latest := int64(0)
	for _, d := range i.downloads {
		if d.Expires == 0 {
			return first, last, nil
		}
		latest = max(latest, d.Expires)
	}
	return first, last, &latest
}

func (i *issuance) info() syncp.NatsUserIssuanceInfo {
	first, last, expires := i.bounds()
	return syncp.NatsUserIssuanceInfo{
		Created: i.created, EventsCount: int64(len(i.downloads)), ExpMax: expires, IatMin: first, IatMax: last, Id: i.id,
		Iss: i.user.claims.Issuer, Name: i.user.name, Sub: i.user.public, Status: i.status(first, last, expires),
	}
}

func (i *issuance) view() (syncp.NatsUserIssuanceViewResponse, error) {
	info := i.info()
	view := syncp.NatsUserIssuanceViewResponse{
		Checksum: i.checksum, Created: info.Created, ExpMax: info.ExpMax, IatMin: info.IatMin, IatMax: info.IatMax, Id: info.Id,
		Iss: info.Iss, Name: info.Name, Sub: info.Sub, Status: info.Status,
	}
	for _, d := range i.downloads {
		event := syncp.NatsUserIssuanceEvent{
			AppUser: syncp.AppUserInfo{Id: "baleen", Name: "baleen", Type: syncp.APPUSERTYPE_TEAM_SERVICE_ACCOUNT},
			Iat:     d.IssuedAt, Jti: d.JTI, Type: syncp.NATSUSERISSUANCEEVENTTYPE_DOWNLOAD,
		}
		if d.Expires != 0 {
			event.Exp = &d.Expires
		}
		event.Status = i.status(d.IssuedAt, d.IssuedAt, event.Exp)
		view.Events = append(view.Events, event)
	}
	return view, convert(i.user.claims.User, &view.Nats)
}

// status is that of what was issued between two times and expires at a third.
func (i *issuance) status(first, last int64, expires *int64) syncp.NatsUserIssuanceStatus {
	before, revoked := i.user.group.account.claims.Revocations[i.user.public]
	switch {
	case !i.user.group.disabledAt.IsZero():
		return syncp.NATSUSERISSUANCESTATUS_SK_GROUP_DISABLED
	case expires != nil && *expires <= i.user.now().Unix():
		return syncp.NATSUSERISSUANCESTATUS_EXPIRED
	case revoked && last <= before:
		return syncp.NATSUSERISSUANCESTATUS_REVOKED
	case revoked && first <= before:
		return syncp.NATSUSERISSUANCESTATUS_PARTIALLY_REVOKED
	}
	return syncp.NATSUSERISSUANCESTATUS_ACTIVE
}
