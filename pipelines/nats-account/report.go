package natsaccount

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// maxNames is how many requests the status names; it counts them all.
const maxNames = 20

// report shows the account, what is in force, and who needs attention.
func report(in inputs, found finding, revocations int, notified []natsUser, now time.Time) workflow.Result {
	attention := attentionOf(in.users, notified, now)
	shown := append([]string{}, attention[:min(len(attention), maxNames)]...)
	result := workflow.Result{
		Ready:   true,
		Reason:  reason.Verified,
		Message: fmt.Sprintf("%s; %s, of which %d need attention", found.Verified, field.Count(len(in.users), "user"), len(attention)),
		Status: map[string]any{
			"account":        showAccount(in, found),
			"policy":         in.account.Spec.Policy,
			"users":          len(in.users),
			"needAttention":  len(attention),
			"attentionNames": shown,
			"revocations":    revocations,
		},
		Conditions: protection(in.exposed, in.told),
	}
	if found.unknown > 0 {
		result.Note(fmt.Sprintf("%d users are called as those of this platform, and it did not make them: they are left until they expire; give each platform that draws from the account its own spec.synadia.platform", found.unknown))
	}
	policy := in.account.Spec.Policy
	if in.account.NoBearer && policy.AllowBearerTokens {
		result.Note("spec.policy.allowBearerTokens is true, and the account's own limits refuse bearer tokens: NatsUsers with bearerToken are refused; change one of the two")
	}
	if in.account.NameInScope {
		result.Note("the scope of the signing key is made of {{name()}}, which each generation of a credential has another of: new NatsUsers are refused; use {{tag(name)}}")
	}
	if most := in.account.MaxJWTBytes; most > 0 && most < policy.MaxJWTBytes {
		result.Note(fmt.Sprintf("the servers take JWTs of %d bytes (max_control_line), and spec.policy.maxJWTBytes is %d: larger ones are refused", most, policy.MaxJWTBytes))
	}
	if in.damaged != nil {
		result.Lacks(reason.LedgerDamaged, in.damaged.Errs[0].Error())
	}
	if found.refusal != nil {
		result.Ready, result.Reason, result.Message = false, found.refusal.Reason, found.refusal.Err.Error()
	}
	if n := queued(in); n > 0 {
		result.Note(fmt.Sprintf("%d credentials are still to be revoked", n))
	}
	return result
}

// protection is the condition that tells whether NatsUsers' pipelines may read the
// operator's keys. Nobody is told that has none exposed and never had. Pure.
func protection(exposed []account.Exposed, told []metav1.Condition) []metav1.Condition {
	is := metav1.Condition{Type: v1alpha1.OperatorProtected, Status: metav1.ConditionFalse}
	switch {
	case slices.ContainsFunc(exposed, func(e account.Exposed) bool { return !e.Moved }):
		is.Reason, is.Message = string(reason.SecretsToMove), account.Exposure(exposed)
	case len(exposed) > 0:
		is.Reason, is.Message = string(reason.CopiesToDelete), account.Exposure(exposed)
	case meta.FindStatusCondition(told, is.Type) != nil:
		is.Status, is.Reason, is.Message = metav1.ConditionTrue, string(reason.SecretsMoved), "the pipelines of NatsUsers may read none of the operator's keys"
	default:
		return nil
	}
	return []metav1.Condition{is}
}

// attentionOf names the requests with which something stays wrong, each with its reason.
// Nobody corrects the list before another run, so it names none that is about to come to
// rest: one that is new, or that this run has notified, or that is being deleted. Pure.
func attentionOf(users, notified []natsUser, now time.Time) []string {
	var names []string
	for _, u := range users {
		runs := u.Reason == "" || slices.ContainsFunc(notified, func(n natsUser) bool { return n.Namespace == u.Namespace && n.Name == u.Name })
		why := string(u.Reason)
		switch {
		case u.IsStuck(now):
			why = "Deleting"
		case u.Paused:
			why = "Paused"
		case !u.Deleting.IsZero(), u.Ready, runs && !u.IsSettled(now):
			continue
		}
		names = append(names, strings.TrimSuffix(u.Namespace+"/"+u.Name+" "+why, " "))
	}
	return names
}

// showAccount is what the status says of the account.
func showAccount(in inputs, found finding) v1alpha1.AccountStatus {
	isFound := isFound(in, found) && in.account.Spec.Verifiable() // else nobody has looked
	status := v1alpha1.AccountStatus{
		ID: in.account.ID, SigningKey: in.account.SigningKey, ProviderID: in.account.ProviderAccount, Scoped: in.account.ProviderAccount != "" && in.account.Scoped,
		Found: &isFound, NameInScope: in.account.NameInScope, NoBearer: in.account.NoBearer, MaxJWTBytes: in.account.MaxJWTBytes, Source: account.Source(in.account.NatsAccount), UnknownUsers: found.unknown,
		Name: found.Name, Scope: found.Scope, Verified: found.Verified, Revocation: "possible",
	}
	if why := in.admin.CannotRevoke(); why != "" {
		status.Revocation = "none: " + why
	}
	if !found.lastRead.IsZero() {
		status.Read = found.lastRead.UTC().Format(time.RFC3339)
	}
	return status
}

// isFound reports whether this run has found the account with its key, or one before it
// has, and nothing has refuted that since.
func isFound(in inputs, found finding) bool {
	return found.Account != nil || !in.account.Unseen && !refuted(found)
}

// refuted reports whether this run has found that no user of the account can connect.
func refuted(found finding) bool { return found.refusal != nil && found.refusal.Reason.Refutes() }

// queued is how many identities are to be revoked.
func queued(in inputs) int {
	n := 0
	for _, l := range in.ledgers {
		for _, r := range l.Records {
			if r.State == ledger.Retiring && r.User != "" && r.Basis.Account == in.account.Name {
				n++
			}
		}
	}
	return n
}
