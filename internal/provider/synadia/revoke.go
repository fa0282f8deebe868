package synadia

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/synadia-io/control-plane-sdk-go/syncp"

	"github.com/baleen-platform/baleen/internal/provider"
)

// Retire revokes an identity and has its user removed, or removes what is left of
// one that has expired: then its revocation too. One that is not there is fine.
// Where the id is not known that of its key is meant, and where that is not known
// either, all of its name that were made since it was written down. It returns those
// that there were.
func (i *Issuer) Retire(ctx context.Context, identity provider.Identity, written, expires time.Time) ([]provider.Identity, error) {
	who := []provider.Identity{identity}
	if identity.ID == "" {
		users, err := i.list(ctx)
		if err != nil {
			return nil, err
		}
		who = nil
		for _, u := range users {
			if u.UserPublicKey == identity.User || identity.User == "" && madeFor(u, identity.Name, written) {
				who = append(who, provider.Identity{Name: u.Name, User: u.UserPublicKey, ID: u.Id})
			}
		}
		if identity.User != "" && !slices.ContainsFunc(who, func(one provider.Identity) bool { return one.User == identity.User }) {
			who = append(who, identity) // its user is gone, and it may connect all the same
		}
	}
	for _, one := range who {
		if err := i.retire(ctx, one, expires); err != nil {
			return nil, err
		}
	}
	return who, nil
}

func (i *Issuer) retire(ctx context.Context, identity provider.Identity, expires time.Time) error {
	expired := !i.Now.Before(expires)
	if !expired && identity.User != "" { // first, because deleting the user may not revoke it
		if err := i.revoke(ctx, identity, expires); err != nil {
			return err
		}
	}
	if identity.ID != "" {
		if err := i.remove(ctx, fmt.Sprintf("the user %s cannot be deleted", identity.Name), func(ctx context.Context) (*http.Response, error) {
			return i.Cloud.api.NatsUserAPI.DeleteNatsUser(ctx, identity.ID).Execute()
		}); err != nil {
			return err
		}
	}
	if !expired || identity.User == "" {
		return nil
	}
	return i.remove(ctx, fmt.Sprintf("the revocation of the user %s, which has expired, cannot be taken back", identity.Name), func(ctx context.Context) (*http.Response, error) {
		return i.Cloud.api.AccountAPI.DeleteNatsUserRevocation(ctx, i.ProviderID, identity.User).Execute()
	})
}

// revoke revokes all that was and will be issued for a key until that expires, and
// looks whether it is so.
func (i *Issuer) revoke(ctx context.Context, identity provider.Identity, expires time.Time) error {
	what := fmt.Sprintf("the user %s cannot be revoked", identity.Name)
	there := func(r *syncp.NatsUserRevocationViewResponse) bool {
		return r != nil && r.UserNkeyPublic == identity.User
	}
	put := func(before int64) error {
		_, err := call(ctx, i.Cloud, what, there, func(ctx context.Context) (*syncp.NatsUserRevocationViewResponse, *http.Response, error) {
			return i.Cloud.api.AccountAPI.CreateOrUpdateNatsUserRevocation(ctx, i.ProviderID, identity.User).
				NatsUserRevocationRequest(syncp.NatsUserRevocationRequest{Before: before}).Execute()
		})
		return err
	}
	until := expires.Unix()
	err := put(until)
	if IsStatus(err, http.StatusBadRequest, http.StatusUnprocessableEntity) { // a time to come may not be allowed
		until = i.Now.Add(-tolerance).Unix()
		err = put(0) // now, by the clock by which it was issued
	}
	if err != nil {
		return err
	}
	seen, err := call(ctx, i.Cloud, what, there, func(ctx context.Context) (*syncp.NatsUserRevocationViewResponse, *http.Response, error) {
		return i.Cloud.api.AccountAPI.GetNatsUserRevocation(ctx, i.ProviderID, identity.User).Execute()
	})
	if err == nil && seen.Before < until {
		return &Error{What: what, why: "the revocation is not there after it was made: see whether somebody takes it back"}
	}
	return err
}

// remove deletes something. That it is gone is what is wanted.
func (i *Issuer) remove(ctx context.Context, what string, request func(context.Context) (*http.Response, error)) error {
	_, err := call(ctx, i.Cloud, what, func(struct{}) bool { return true }, func(ctx context.Context) (struct{}, *http.Response, error) {
		response, err := request(ctx)
		return struct{}{}, response, err
	})
	if IsStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}
