package natsaccount

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"

	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natsys"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/operator"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// finding is what a run found of the account in the system.
type finding struct {
	// reason and err are why the account does not work, or cannot be verified.
	reason string
	err    error

	verified, revocation, name, scope string
	// revocations is how many of Baleen's are in the account's JWT.
	revocations int
	// settled tells which identities nobody can use any more.
	settled func(*ledger.Ledger, ledger.Row) settlement
	// retired are the users of those that were retired, where the provider keeps
	// them, and reading is what it has at all; nil if it was not read. lastRead is
	// when it was, unknown how many users are in no ledger and may be in use.
	retired  map[place][]provider.Identity
	reading  *reading
	lastRead time.Time
	unknown  int64
	// refused tells which identities somebody else has revoked.
	refused func(ledger.Row) bool
}

// settlement is what became of an identity that is to be revoked.
type settlement int

const (
	pending      settlement = iota
	revoked                 // the servers have the revocation
	leftToExpire            // it cannot be revoked, or need not be
)

// examine verifies the account as far as it can, and has the servers revoke what
// is queued. A failure is part of what was found: the rest of the run goes on.
func examine(ctx context.Context, run *workflow.Run, w world) finding {
	f := finding{
		verified:   "the signing key is of the right kind",
		revocation: "none: there is no operator key, so what is let go of lives until it expires",
		settled:    func(*ledger.Ledger, ledger.Row) settlement { return leftToExpire },
		refused:    func(ledger.Row) bool { return false },
	}
	if w.synadia != nil {
		f.visit(ctx, run, w)
		return f
	}
	if w.operator != nil {
		f.revocation, f.settled = "possible", func(*ledger.Ledger, ledger.Row) settlement { return pending }
		f.attend(ctx, run, w)
	}
	if f.err == nil && len(w.servers.URLs) > 0 {
		f.probe(ctx, w)
	}
	return f
}

// tolerance is by how much clocks may differ.
const tolerance = 10 * time.Minute

func (f *finding) fail(reason string, err error) { f.reason, f.err = reason, err }

// attend does what takes the system account: it looks up the account and revises
// its revocations.
func (f *finding) attend(ctx context.Context, run *workflow.Run, w world) {
	system, err := w.servers.Open(w.system)
	if refused, ok := errors.AsType[*natsys.RefusedError](err); ok {
		f.fail("SystemUserRefused", fmt.Errorf("the servers refuse the credentials of the system account in the Secret %s: replace them: %w", w.account.Spec.JWT.Operator.SystemCredentialsSecretRef.Name, refused.Err))
		return
	}
	if err != nil {
		f.fail("ServersUnreachable", err)
		return
	}
	defer system.Close()
	f.look(ctx, run, w, system)
}

// look does so once it is connected.
func (f *finding) look(ctx context.Context, run *workflow.Run, w world, system accounts) {
	trusted, theirs, err := system.TrustedKeys(ctx)
	if err != nil {
		f.fail("ServersUnreachable", err)
		return
	}
	if off := run.Now.Sub(theirs).Abs(); off > tolerance && !run.Simulated {
		f.fail("ClockOff", fmt.Errorf("the clock says %s, and the NATS servers say %s: set the clock of the node that runs the pipeline, or that of the servers; until then nothing is revoked, and no revocation is taken back",
			run.Now.UTC().Format(time.RFC3339), theirs.UTC().Format(time.RFC3339)))
		return
	}
	claims, err := system.Lookup(ctx, w.account.ID)
	switch {
	case err != nil:
		f.fail("ServersUnreachable", err)
		return
	case claims == nil:
		f.fail("AccountUnknown", fmt.Errorf("the servers have no account %s: push it with nsc, or correct spec.jwt.accountID", w.account.ID))
		return
	}
	f.name = claims.Name
	if reason, err := judge(w, claims, trusted); err != nil {
		f.fail(reason, err)
		return
	}
	scope, _ := claims.SigningKeys.GetScope(w.account.SigningKey)
	if s, isUser := scope.(*natsjwt.UserScope); isUser {
		f.scope = s.Role
	}
	before := maps.Clone(claims.Revocations)
	f.refused = func(r ledger.Row) bool { return revokedIn(before, claims.Subject, r) }
	f.verified = "the servers have the account and list its signing key"
	if !slices.Contains(trusted, w.operatorKey) {
		f.fail("OperatorKeyNotTrusted", fmt.Errorf("not all servers trust the operator's signing key %s: an account signed with it would lock out all its users, so nothing was changed and nothing can be revoked; give every server the operator JWT that lists it and restart them, or put a key that they trust into the Secret %s", w.operatorKey, w.account.Spec.JWT.Operator.SigningKeySecretRef.Name))
		return
	}
	f.verified = "the servers have the account, list its signing key and trust the operator's"
	f.revise(ctx, run, w, system, trusted)
}

// judge checks an account against what the NatsAccount says of it. Pure.
func judge(w world, claims *natsjwt.AccountClaims, trusted []string) (reason string, err error) {
	key := w.account.SigningKey
	if !slices.Contains(trusted, claims.Issuer) {
		return "IssuerNotTrusted", fmt.Errorf("the account is signed with %s, which the servers do not trust: push it anew with nsc", claims.Issuer)
	}
	scope, listed := claims.SigningKeys.GetScope(key)
	if !listed {
		return "SigningKeyUnknown", fmt.Errorf("the account does not list the signing key %s: add it with `nsc edit account --sk`, or put the seed of one that it lists into the Secret %s",
			key, w.account.Spec.JWT.SigningKey.SecretRef.Name)
	}
	scoped, isUser := scope.(*natsjwt.UserScope)
	if wants := w.account.Scoped; wants != isUser {
		return "ScopeMismatch", fmt.Errorf("spec.jwt.signingKey.scoped is %t, and the account says otherwise of the signing key %s: correct one of the two", wants, key)
	}
	if isUser {
		if err := needsTags(scoped, w.account.Spec.JWT.SigningKey.RequiredTags, "spec.jwt.signingKey.requiredTags"); err != nil {
			return "ScopeMismatch", err
		}
	}
	return "", nil
}

// needsTags tells of a tag that a scope needs and nobody sets.
func needsTags(scope *natsjwt.UserScope, required []string, field string) error {
	for _, tag := range operator.TagsOf(scope) {
		set := []string{"namespace", "name", "destination"} // by Baleen
		if !slices.Contains(slices.Concat(required, set), tag) {
			return fmt.Errorf("the scope of the signing key needs the tag %s: add it to %s", tag, field)
		}
	}
	return nil
}

// revokedIn tells whether an account's revocations are of an identity too.
func revokedIn(revocations natsjwt.RevocationList, accountID string, r ledger.Row) bool {
	until, alone := revocations[r.User]
	all := revocations[natsjwt.All]
	return r.Basis.AccountID == accountID && (alone && until >= r.Issued.Unix() || !r.Issued.IsZero() && all >= r.Issued.Unix())
}

// revise has the servers revoke what is queued, and all that was revoked before,
// for each account that identities came from.
func (f *finding) revise(ctx context.Context, run *workflow.Run, w world, system accounts, trusted []string) {
	known := map[string]map[string]time.Time{w.account.ID: {}}
	for _, l := range w.ledgers {
		for _, r := range l.Rows {
			if r.Basis.Account != w.account.Name || r.State != ledger.Retiring && r.Revoked.IsZero() {
				continue
			}
			id := r.Basis.AccountID
			if known[id] == nil {
				known[id] = map[string]time.Time{}
			}
			known[id][r.User] = r.Expires
		}
	}
	done := map[string]settlement{}
	for id, users := range known {
		var err error
		if done[id], err = reviseOne(ctx, run, w, system, trusted, id, users); err != nil {
			f.fail("RevocationFailed", err)
		}
		if done[id] == revoked {
			for _, expires := range users {
				if run.Now.Before(expires) {
					f.revocations++
				}
			}
		}
	}
	f.settled = func(_ *ledger.Ledger, r ledger.Row) settlement {
		if _, was := known[r.Basis.AccountID][r.User]; !was { // queued after the ledgers were read
			return pending
		}
		return done[r.Basis.AccountID]
	}
}

// accounts are what the servers have, which [natsys.System] looks up and updates.
type accounts interface {
	TrustedKeys(ctx context.Context) (keys []string, now time.Time, err error)
	Lookup(ctx context.Context, account string) (*natsjwt.AccountClaims, error)
	Update(ctx context.Context, account, token string) error
	MaxPayload() int64
}

func reviseOne(ctx context.Context, run *workflow.Run, w world, system accounts, trusted []string, id string, users map[string]time.Time) (settlement, error) {
	claims, err := system.Lookup(ctx, id)
	switch {
	case err != nil:
		return pending, err
	case claims == nil: // nobody can connect to it
		return leftToExpire, nil
	case !slices.Contains(trusted, claims.Issuer):
		return pending, fmt.Errorf("the account %s is signed with %s, which the servers do not trust: push it anew with nsc", id, claims.Issuer)
	}
	if !operator.Revise(claims, users, run.Now) {
		return revoked, nil
	}
	if run.DryRun {
		return pending, nil
	}
	token, err := claims.Encode(w.operator)
	if err != nil {
		return pending, fmt.Errorf("the account %s cannot be signed: %w", id, err)
	}
	if most := system.MaxPayload(); int64(len(token)) > most {
		return pending, fmt.Errorf("the account %s would have %d bytes with all its revocations, and the servers take messages of %d: raise max_payload, or replace the account's signing key", id, len(token), most)
	}
	if err := system.Update(ctx, id, token); err != nil {
		return pending, err
	}
	// Somebody may have pushed at the same time, and servers take a moment.
	for range 10 {
		if claims, _ = system.Lookup(ctx, id); claims != nil && operator.Revoked(claims, users, run.Now) {
			return revoked, nil
		}
		select {
		case <-ctx.Done():
			return pending, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
	return pending, fmt.Errorf("the account %s was updated, and the servers do not show the revocations: somebody else pushed it, or a server is out of reach; the next run tries again", id)
}

// probe connects as a throw-away user that may do nothing.
func (f *finding) probe(ctx context.Context, w world) {
	grant := provider.Grant{Scoped: w.account.Scoped}
	for _, tag := range append([]string{"namespace", "name", "destination"}, w.account.Spec.JWT.SigningKey.RequiredTags...) {
		grant.Tags = append(grant.Tags, tag+":baleen-probe")
	}
	identity, err := w.account.Issuer.Propose("baleen-probe")
	if err != nil {
		f.fail("UserRefused", err)
		return
	}
	credentials, err := w.account.Issuer.Issue(ctx, identity, grant, time.Now().Add(5*time.Minute)) // by the servers' time, not that of the run
	if err != nil {
		f.fail("UserRefused", err)
		return
	}
	err = w.servers.Try(credentials.File)
	var refused *natsys.RefusedError
	switch {
	case err == nil:
		f.verified = strings.TrimPrefix(f.verified+", and a throw-away user could connect", "the signing key is of the right kind, and ")
	case errors.As(err, &refused) && grant.Scoped:
		// A scope may let nobody in from here, or at this hour.
		f.verified += "; a throw-away user was refused, perhaps by the scope"
	case errors.As(err, &refused):
		f.fail("UserRefused", fmt.Errorf("the servers refuse a user signed with the key %s: the account must list it as a signing key, and exist on the servers", w.account.SigningKey))
	default:
		f.fail("ServersUnreachable", err)
	}
}
