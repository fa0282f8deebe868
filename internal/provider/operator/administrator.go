package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
)

// administrator looks after an account with its operator's signing key, and as a user
// of the system account. Without them it can only try whether users connect.
type administrator struct {
	provider.Setting
	opened  provider.Opened
	servers provider.Servers
	// operator signs accounts, nil where the spec names none, and credentials are those
	// of a user of the system account; operatorIn and credentialsIn are the Secrets that
	// have them.
	operator      nkeys.KeyPair
	operatorKey   string
	operatorIn    string
	credentials   []byte
	credentialsIn string
	// system is open from the inspection on, trusted are the keys by which all servers
	// take an account, and claims is the account as they have it, nil if that is not known.
	system  provider.System
	trusted []string
	claims  *jwt.AccountClaims
}

var _ provider.Administrator = (*administrator)(nil)

// Close implements [provider.Administrator].
func (a *administrator) Close() {
	if a.system != nil {
		a.system.Close()
	}
}

// Keeper implements [provider.Administrator]: users are in nobody's books.
func (a *administrator) Keeper() provider.Keeper { return nil }

// CannotRevoke implements [provider.Administrator].
func (a *administrator) CannotRevoke() string {
	if a.operator == nil {
		return "there is no operator key, so what is retired lives until it expires"
	}
	return ""
}

// rightKind is what is certain without the servers.
const rightKind = "the signing key is of the right kind"

// Inspect implements [provider.Administrator].
func (a *administrator) Inspect(ctx context.Context) provider.Facts {
	f := provider.Facts{Verified: rightKind}
	if a.operator != nil {
		a.connect(ctx, &f)
	}
	if f.Refusal == nil && len(a.Spec.JWT.Servers) > 0 {
		a.probe(ctx, &f)
	}
	if f.Refusal == nil && f.Account == nil { // nobody has looked it up
		f.Account = &a.opened.Account
	}
	return f
}

// connectLine is how much of a line that carries a JWT is taken by what a client says
// besides, in bytes, by what clients of today say.
const connectLine = 300

// found is an account with what the servers say of it, and of themselves. Pure.
func found(a provider.Account, claims *jwt.AccountClaims, vars provider.ServerVars) *provider.Account {
	scope, _ := claims.SigningKeys.GetScope(a.SigningKey)
	of, isUser := scope.(*jwt.UserScope)
	a.NameInScope = isUser && provider.NameInScope(of)
	a.NoBearer, a.MaxJWTBytes = claims.Limits.DisallowBearer, max(0, vars.MaxControlLine-connectLine)
	return &a
}

// connect connects to the system account, and looks.
func (a *administrator) connect(ctx context.Context, f *provider.Facts) {
	system, err := a.servers.Open(a.credentials)
	if refused, ok := errors.AsType[*provider.RefusedError](err); ok {
		f.Refusal = provider.Refuse(reason.SystemUserRefused, "the servers refuse the credentials of the system account in the Secret %s: replace them: %w", a.credentialsIn, refused.Err)
		return
	}
	if err != nil {
		f.Refusal = &provider.Refusal{Reason: reason.ServersUnreachable, Err: err}
		return
	}
	a.system = system
	a.look(ctx, f)
}

// look tells what the servers have.
func (a *administrator) look(ctx context.Context, f *provider.Facts) {
	vars, err := a.system.Vars(ctx)
	if err != nil {
		f.Refusal = &provider.Refusal{Reason: reason.ServersUnreachable, Err: err}
		return
	}
	trusted := vars.TrustedKeys
	if a.ClockOff(vars.Now) {
		f.Refusal = provider.Refuse(reason.ClockOff, "the clock says %s, and the NATS servers say %s: set the clock of the node that runs the pipeline, or that of the servers; until then nothing is revoked, and no revocation is taken back",
			a.Now.UTC().Format(time.RFC3339), vars.Now.UTC().Format(time.RFC3339))
		return
	}
	claims, err := a.system.Lookup(ctx, a.opened.ID)
	switch {
	case err != nil:
		f.Refusal = &provider.Refusal{Reason: reason.ServersUnreachable, Err: err}
		return
	case claims == nil:
		f.Refusal = provider.Refuse(reason.AccountUnknown, "the servers have no account %s: push it with nsc, signed anew if it has expired, or correct spec.jwt.accountID", a.opened.ID)
		return
	}
	f.Name = claims.Name
	if f.Refusal = a.judge(claims.AccountClaims, trusted); f.Refusal != nil {
		return
	}
	a.claims, f.Account = claims.AccountClaims, found(a.opened.Account, claims.AccountClaims, vars)
	scope, _ := claims.SigningKeys.GetScope(a.opened.SigningKey)
	if s, isUser := scope.(*jwt.UserScope); isUser {
		f.Scope = s.Role
	}
	f.ID, f.Revocations = claims.Subject, maps.Clone(claims.Revocations)
	f.Verified = "the servers have the account and list its signing key"
	if !slices.Contains(trusted, a.operatorKey) {
		f.Refusal = provider.Refuse(reason.OperatorKeyNotTrusted, "not all servers trust the operator's signing key %s: an account signed with it would lock out all its users, so nothing was changed and nothing can be revoked; give every server the operator JWT that lists it and restart them, or put a key that they trust into the Secret %s", a.operatorKey, a.operatorIn)
		return
	}
	f.Verified = "the servers have the account, list its signing key and trust the operator's"
	f.Revocable, a.trusted = true, trusted
}

// judge checks an account against what the NatsAccount says of it. Pure.
func (a *administrator) judge(claims *jwt.AccountClaims, trusted []string) *provider.Refusal {
	key, spec := a.opened.SigningKey, a.Spec.JWT.SigningKey
	if !slices.Contains(trusted, claims.Issuer) {
		return provider.Refuse(reason.IssuerNotTrusted, "the account is signed with %s, which the servers do not trust: push it anew with nsc", claims.Issuer)
	}
	scope, listed := claims.SigningKeys.GetScope(key)
	if !listed {
		return provider.Refuse(reason.SigningKeyUnknown, "the account does not list the signing key %s: add it with `nsc edit account --sk`, or put the seed of one that it lists into the Secret %s", key, spec.SecretRef.Name)
	}
	scoped, isUser := scope.(*jwt.UserScope)
	if wants := a.opened.Scoped; wants != isUser {
		return provider.Refuse(reason.ScopeMismatch, "spec.jwt.signingKey.scoped is %t, and the account says otherwise of the signing key %s: correct one of the two", wants, key)
	}
	if isUser {
		return provider.MissingTag(scoped, spec.RequiredTags, "spec.jwt.signingKey.requiredTags")
	}
	return nil
}

// probe connects as a throw-away user that may do nothing.
func (a *administrator) probe(ctx context.Context, f *provider.Facts) {
	grant := provider.Grant{Scoped: a.opened.Scoped}
	for _, tag := range slices.Concat(provider.OwnTags, a.Spec.JWT.SigningKey.RequiredTags) {
		grant.Tags = append(grant.Tags, tag+":baleen-probe")
	}
	identity, err := a.opened.Propose("baleen-probe")
	if err != nil {
		f.Refusal = &provider.Refusal{Reason: reason.UserRefused, Err: err}
		return
	}
	credentials, err := a.opened.Issue(ctx, identity, grant, time.Now().Add(5*time.Minute)) // by the servers' time, not that of the run
	if err != nil {
		f.Refusal = &provider.Refusal{Reason: reason.UserRefused, Err: err}
		return
	}
	err = a.servers.Try(credentials.File)
	_, refused := errors.AsType[*provider.RefusedError](err)
	_, full := errors.AsType[*provider.FullError](err)
	why := lockedOut(a.claims, a.Now)
	certain := lockedOut(withoutCallout(a.claims), a.Now) != "" // however the servers end the connection
	switch {
	case err == nil:
		f.Verified = strings.TrimPrefix(f.Verified+", and a throw-away user could connect", rightKind+", and ")
	case refused && grant.Scoped && !a.opened.Unseen && !certain && why != "":
		// What it lets in besides, nobody can tell.
		f.Verified += "; a throw-away user was refused, perhaps by the account's auth callout"
	case (refused || full || certain) && why != "":
		f.Refusal = provider.Refuse(reason.UserRefused, "the servers refuse a throw-away user of the account: %s", why)
	case full:
		f.Verified += "; a throw-away user was accepted, and the account has no connection free"
	case refused && grant.Scoped && a.claims == nil && a.opened.Unseen:
		f.Refusal = provider.Refuse(reason.UserRefused, "the servers refuse a throw-away user signed with the key %s, perhaps by its scope, and nobody can tell whether the account has that key: name spec.jwt.operator, so that the account can be looked up, or have the scope let one in", a.opened.SigningKey)
	case refused && grant.Scoped:
		// A scope may let nobody in from here, or at this hour.
		f.Verified += "; a throw-away user was refused, perhaps by the scope"
	case refused:
		f.Refusal = provider.Refuse(reason.UserRefused, "the servers refuse a user signed with the key %s: the account must list it as a signing key, and exist on the servers", a.opened.SigningKey)
	default:
		f.Refusal = &provider.Refusal{Reason: reason.ServersUnreachable, Err: err}
	}
}

// withoutCallout is an account without its auth callout.
func withoutCallout(claims *jwt.AccountClaims) *jwt.AccountClaims {
	if claims == nil {
		return nil
	}
	without := *claims
	without.Authorization = jwt.ExternalAuthorization{}
	return &without
}

// lockedOut tells why servers let in nobody whose JWT is signed now, and what to do, by
// what they have of the account; empty if they may. Pure.
func lockedOut(claims *jwt.AccountClaims, now time.Time) string {
	if claims == nil {
		return ""
	}
	day := func(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }
	switch all := claims.Revocations[jwt.All]; {
	case claims.Expires > 0 && claims.Expires <= now.Unix():
		return fmt.Sprintf("its JWT expired on %s: push one that has not with nsc", day(claims.Expires))
	case all >= now.Unix():
		return fmt.Sprintf("it revokes all users that are signed up to %s: take that back with `nsc revocations delete-user --user-public-key '*'`, or wait until then", day(all))
	case claims.Limits.Conn == 0:
		return "its limits admit no connection: raise them with `nsc edit account --conns`"
	case claims.HasExternalAuthorization():
		return "it has an auth callout, which decides in place of the JWT: use an account without"
	}
	return ""
}

// Revoke implements [provider.Administrator]: each account that identities came from is
// revised, and pushed if that changed it.
func (a *administrator) Revoke(ctx context.Context, departures []provider.Departure) ([]provider.Outcome, *provider.Refusal) {
	of := map[string][]provider.Departure{}
	for _, d := range departures {
		of[d.AccountID] = append(of[d.AccountID], d)
	}
	var refusal *provider.Refusal
	fates := map[string]fates{}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		var err error
		if fates[id], err = a.reviseOne(ctx, id, of[id]); err != nil {
			refusal = &provider.Refusal{Reason: reason.RevocationFailed, Err: err}
		}
	}
	outcomes := make([]provider.Outcome, len(departures))
	for i, d := range departures {
		outcomes[i].State = fates[d.AccountID].of(d.User)
	}
	return outcomes, refusal
}

// fates are what became of users of one account: all of them the same, but for those that
// wait.
type fates struct {
	all   provider.OutcomeState
	waits map[string]bool
}

func (f fates) of(user string) provider.OutcomeState {
	if f.waits[user] {
		return provider.Pending
	}
	return f.all
}

// reviseOne has the servers revoke users of one account: all of them, or as many as an
// account can have.
func (a *administrator) reviseOne(ctx context.Context, id string, going []provider.Departure) (fates, error) {
	pending := fates{all: provider.Pending}
	account, err := a.system.Lookup(ctx, id)
	switch {
	case err != nil:
		return pending, err
	case account == nil: // nobody can connect to it
		return fates{all: provider.LeftToExpire}, nil
	case !slices.Contains(a.trusted, account.Issuer):
		return pending, fmt.Errorf("the account %s is signed with %s, which the servers do not trust: push it anew with nsc", id, account.Issuer)
	}
	changed, missing := tidy(account.AccountClaims, going, a.Now)
	if !changed && len(missing) == 0 {
		return fates{all: provider.Revoked}, nil
	}
	if a.DryRun {
		return pending, nil
	}
	most := min(a.system.MaxPayload(), jwt.MaxTokenSize)
	token, fit, err := largest(account, missing, most, a.operator)
	if err == nil && fit < len(missing) {
		var pruned bool
		if pruned, going = prune(account.AccountClaims, going); pruned {
			changed = true
		}
		_, missing = tidy(account.AccountClaims, going, a.Now)
		token, fit, err = largest(account, missing, most, a.operator)
	}
	if err != nil {
		return pending, fmt.Errorf("the account %s cannot be signed: %w", id, err)
	}
	became := fates{all: provider.Revoked, waits: map[string]bool{}}
	for _, d := range missing[fit:] {
		became.waits[d.User] = true
	}
	var full error
	if n := len(missing) - fit; n > 0 {
		full = fmt.Errorf("%d of %d revocations wait, since the account %s may have %d bytes: %s", n, len(missing), id, most, remedy(account.AccountClaims, a.system.MaxPayload(), a.Now))
	}
	switch {
	case fit == 0 && !changed: // all waits that is missing
		return became, full
	case token == "", int64(len(token)) > most: // without any of them, too
		return pending, full
	}
	if err := a.system.Update(ctx, id, token); err != nil {
		return pending, err
	}
	if became.all, err = a.confirm(ctx, id, slices.DeleteFunc(slices.Clone(going), func(d provider.Departure) bool { return became.waits[d.User] })); err != nil {
		return became, err
	}
	return became, full
}

// largest signs an account with as many revocations of some as it may have, from the first
// on, and returns how many these are.
func largest(account *provider.AccountJWT, missing []provider.Departure, most int64, operator nkeys.KeyPair) (token string, fit int, err error) {
	with := func(n int) (token string, fits bool) {
		claims := *account.AccountClaims
		claims.Revocations = maps.Clone(claims.Revocations)
		for _, d := range missing[:n] {
			claims.RevokeAt(d.User, d.Expires)
		}
		token, failed := sign(&provider.AccountJWT{AccountClaims: &claims, Token: account.Token}, operator)
		if !errors.Is(failed, jwt.ErrTokenTooLarge) {
			err = cmp.Or(err, failed)
		}
		return token, failed == nil && int64(len(token)) <= most
	}
	if token, fits := with(len(missing)); fits || err != nil {
		return token, len(missing), err
	}
	fit = max(0, sort.Search(len(missing), func(n int) bool { // the first that is too many
		_, fits := with(n)
		return !fits
	})-1)
	token, _ = with(fit)
	return token, fit, err
}

// remedy tells what makes room for more revocations.
func remedy(claims *jwt.AccountClaims, payload int64, now time.Time) string {
	if payload < jwt.MaxTokenSize {
		return fmt.Sprintf("raise max_payload of the servers, which is %d, to at most %d", payload, jwt.MaxTokenSize)
	}
	var first int64
	for _, until := range claims.Revocations {
		if until > now.Unix() && (first == 0 || until < first) {
			first = until
		}
	}
	if first == 0 {
		return "NATS takes no more: use another account"
	}
	return fmt.Sprintf("NATS takes no more; they are made as those in force expire, the first on %s: have what is replaced often ask for a shorter ttl, give the account another signing key and take out the one that has signed them, or use another account", time.Unix(first, 0).UTC().Format(time.RFC3339))
}

// confirm looks whether the servers show the revocations: somebody may have pushed at
// the same time, and servers take a moment.
func (a *administrator) confirm(ctx context.Context, id string, going []provider.Departure) (provider.OutcomeState, error) {
	shown, looks := false, 10
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		looks--
		if account, _ := a.system.Lookup(ctx, id); account != nil {
			_, missing := tidy(account.AccountClaims, going, a.Now)
			shown = len(missing) == 0
		}
		return shown || looks == 0, nil
	})
	switch {
	case err != nil:
		return provider.Pending, context.Cause(ctx)
	case shown:
		return provider.Revoked, nil
	}
	return provider.Pending, fmt.Errorf("the account %s was updated, and the servers do not show the revocations: somebody else pushed it, or a server is out of reach; the next run tries again", id)
}
