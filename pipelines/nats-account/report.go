package natsaccount

import (
	"fmt"
	"strings"
	"time"

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
func report(w world, found finding, revocations int) workflow.Result {
	attention := attentionOf(w.users)
	shown := append([]string{}, attention[:min(len(attention), maxNames)]...)
	result := workflow.Result{
		Ready:   true,
		Reason:  reason.Verified,
		Message: fmt.Sprintf("%s; %s, of which %d need attention", found.Verified, field.Count(len(w.users), "user"), len(attention)),
		Status: map[string]any{
			"account":        showAccount(w, found),
			"policy":         w.account.Spec.Policy,
			"users":          len(w.users),
			"needAttention":  len(attention),
			"attentionNames": shown,
			"revocations":    revocations,
		},
	}
	if found.unknown > 0 {
		result.Note(fmt.Sprintf("%d users are called as those of this platform, and it did not make them: they are left until they expire; give each platform that draws from the account its own spec.synadia.platform", found.unknown))
	}
	if w.damaged != nil {
		result.Lacks(reason.LedgerDamaged, w.damaged.Errs[0].Error())
	}
	if found.refusal != nil {
		result.Ready, result.Reason, result.Message = false, found.refusal.Reason, found.refusal.Err.Error()
	}
	if n := queued(w); n > 0 {
		result.Note(fmt.Sprintf("%d credentials are still to be revoked", n))
	}
	return result
}

// attentionOf names the requests that are not ready, each with its reason.
func attentionOf(users []natsUser) []string {
	var names []string
	for _, u := range users {
		if !u.Ready {
			names = append(names, strings.TrimSuffix(u.Namespace+"/"+u.Name+" "+string(u.Reason), " "))
		}
	}
	return names
}

// showAccount is what the status says of the account.
func showAccount(w world, found finding) v1alpha1.AccountStatus {
	status := v1alpha1.AccountStatus{
		ID: w.account.ID, SigningKey: w.account.SigningKey, ProviderID: w.account.KeptIn, Scoped: w.account.KeptIn != "" && w.account.Scoped,
		Source: account.Source(w.account.NatsAccount), UnknownUsers: found.unknown,
		Name: found.Name, Scope: found.Scope, Verified: found.Verified, Revocation: "possible",
	}
	if why := w.admin.CannotRevoke(); why != "" {
		status.Revocation = "none: " + why
	}
	if !found.lastRead.IsZero() {
		status.Read = found.lastRead.UTC().Format(time.RFC3339)
	}
	return status
}

// queued is how many identities are to be revoked.
func queued(w world) int {
	n := 0
	for _, l := range w.ledgers {
		for _, r := range l.Rows {
			if r.State == ledger.Retiring && r.User != "" && r.Basis.Account == w.account.Name {
				n++
			}
		}
	}
	return n
}
