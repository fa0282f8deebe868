package synadia

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
)

// administrator looks after an account at the control plane, with the token that
// users are made with, too.
type administrator struct {
	provider.Setting
	*Issuer
	// last is the account as its last run has found it, and providerID and facts are
	// what this one has.
	last       provider.Account
	providerID string
	facts      provider.Facts
}

var (
	_ provider.Administrator = (*administrator)(nil)
	_ provider.Keeper        = (*administrator)(nil)
)

// Close implements [provider.Administrator].
func (a *administrator) Close() {}

// Keeper implements [provider.Administrator].
func (a *administrator) Keeper() provider.Keeper { return a }

// CannotRevoke implements [provider.Administrator].
func (a *administrator) CannotRevoke() string { return "" }

// Inspect implements [provider.Administrator].
func (a *administrator) Inspect(ctx context.Context) provider.Facts {
	a.facts = a.inspect(ctx)
	return a.facts
}

func (a *administrator) inspect(ctx context.Context) provider.Facts {
	spec := a.Spec.Synadia
	f := provider.Facts{Verified: "the control plane did not answer"}
	found, err := a.Cloud.Look(ctx, Named{
		AccountID: spec.AccountID, System: spec.System, Account: spec.Account, Group: spec.SigningKeyGroup, LastGroup: a.last.SigningKey,
	})
	if found == nil {
		f.Refusal = a.Refuse(err)
		f.Gone = f.Refusal.Reason == reason.AccountUnknown
		return f
	}
	if a.ClockOff(found.Time) {
		f.Refusal = provider.Refuse(reason.ClockOff, "the clock says %s, and the control plane says %s: set the clock of the node that runs the pipeline; until then nothing is revoked, and no revocation is taken back",
			a.Setting.Now.UTC().Format(time.RFC3339), found.Time.UTC().Format(time.RFC3339))
		return f
	}
	a.providerID = found.ID
	f.Name, f.ID, f.Revocations, f.Revocable = found.Name, found.PublicKey, found.Revocations, true
	f.Verified = "the control plane has the account"
	if err != nil { // of the group: what is retired can go all the same
		f.Refusal = a.Refuse(err)
		return f
	}
	if found.Scope != nil {
		f.Scope = found.Scope.Role
		if f.Refusal = provider.MissingTag(found.Scope, spec.RequiredTags, "spec.synadia.requiredTags"); f.Refusal != nil {
			return f
		}
	}
	f.Verified = fmt.Sprintf("the control plane has the account, and can sign with its signing key group %q", found.GroupName)
	f.Account = &provider.Account{ID: found.PublicKey, SigningKey: found.GroupID, Scoped: found.Scope != nil, NameInScope: provider.NameInScope(found.Scope), ProviderAccount: found.ID}
	a.found(*f.Account)
	return f
}

// Refuse implements [provider.Keeper].
func (a *administrator) Refuse(err error) *provider.Refusal {
	why := reason.ProviderUnreachable
	var unknown *UnknownError
	switch {
	case errors.As(err, &unknown):
		why = unknown.Reason
	case IsStatus(err, http.StatusUnauthorized, http.StatusForbidden):
		why = reason.TokenRefused
	}
	return &provider.Refusal{Reason: why, Err: err}
}

// Revoke implements [provider.Administrator]. What the budget does not suffice for is
// left to the next run.
func (a *administrator) Revoke(ctx context.Context, departures []provider.Departure) ([]provider.Outcome, *provider.Refusal) {
	outcomes := make([]provider.Outcome, len(departures))
	for i, d := range departures {
		switch {
		case d.ProviderAccount == "": // of another provider that was there before
			outcomes[i].State = provider.LeftToExpire
		case a.isRefused(d):
			outcomes[i].State = provider.Revoked
		}
	}
	if a.DryRun {
		return outcomes, nil
	}
	var refusal *provider.Refusal
	for i, d := range departures {
		if outcomes[i].State != provider.Pending {
			continue
		}
		var err error
		if outcomes[i], err = a.end(ctx, d); err != nil {
			refusal = a.Refuse(err)
		}
		if a.Cloud.Spent() || refusal != nil && refusal.Reason == reason.TokenRefused {
			break
		}
	}
	return outcomes, refusal
}

// isRefused reports whether one that was revoked before needs nothing: it is refused, or
// has expired, or is of an account that this one was before.
func (a *administrator) isRefused(d provider.Departure) bool {
	return d.Again && (!a.Setting.Now.Before(d.Expires) || d.AccountID != a.facts.ID || a.facts.Refuses(d.AccountID, d.User, d.Issued))
}

// end revokes one identity, and removes its user.
func (a *administrator) end(ctx context.Context, d provider.Departure) (provider.Outcome, error) {
	there := *a.Issuer
	there.ProviderID = d.ProviderAccount
	users, err := there.Retire(ctx, d.Identity, d.Issued, d.Expires)
	switch {
	case err == nil:
		return provider.Outcome{State: provider.Revoked, Users: users}, nil
	case d.ProviderAccount != a.providerID && IsStatus(err, http.StatusForbidden, http.StatusNotFound):
		return provider.Outcome{State: provider.LeftToExpire, Out: err}, nil
	}
	return provider.Outcome{}, err
}
