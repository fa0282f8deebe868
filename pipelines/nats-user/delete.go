package natsuser

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// remove ends a request: from the tombstone on nothing is issued for it, its
// configure runs are ended, and all that was ever issued is retired. It fails as
// long as something can still connect that should not; Kratix then keeps the
// request, and the account's pipeline has the deletion tried again.
func remove(ctx context.Context, run *workflow.Run) error {
	if _, err := change(ctx, run, func(l *ledger.Ledger) error {
		if l.Tombstone == nil || l.Tombstone.UID != string(run.Request.GetUID()) {
			l.Tombstone = &ledger.Tombstone{UID: string(run.Request.GetUID()), At: run.Now}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := run.StopConfigure(ctx); err != nil {
		return err
	}
	l, err := retire(ctx, run)
	if err != nil {
		return err
	}
	if l.Tombstone == nil && !run.DryRun { // its other rows may be anybody's too
		return fmt.Errorf("another run changed the ledger of NatsUser %s during its deletion: ask for the deletion again with the label %s=true", run.Identity, kratix.LabelManualReconciliation)
	}
	waiters, err := book(run).ReleaseAll(ctx, claim.OwnerOf(run.Request))
	if err != nil {
		return err
	}
	if err := askOwners(ctx, run, waiters); err != nil {
		return err
	}
	if run.DryRun || l.Tombstone.Done {
		return nil
	}
	if len(l.Rows) == 0 { // nothing was ever issued, and nobody would look for it again
		return ledgers(run).Remove(ctx, l)
	}
	_, err = change(ctx, run, func(l *ledger.Ledger) error {
		if l.Tombstone != nil {
			l.Tombstone.Done = true
		}
		return nil
	})
	return err
}

// change changes the ledger of a request that is being deleted, again if somebody
// else was faster.
func change(ctx context.Context, run *workflow.Run, decide func(*ledger.Ledger) error) (*ledger.Ledger, error) {
	for range tries {
		l, err := ledgers(run).Get(ctx, run.Identity)
		if err != nil {
			return nil, err
		}
		if l.UID == "" {
			l.UID = string(run.Request.GetUID())
		}
		credential.Import(l, delivered(run.Last), run.Now)
		if err := decide(l); err != nil {
			return nil, err
		}
		if err := ledgers(run).Save(ctx, l); !errors.Is(err, ledger.ErrConflict) {
			return l, err
		}
	}
	return nil, ledger.ErrConflict
}

// retire lets go of every identity, and waits until the accounts have revoked
// them.
func retire(ctx context.Context, run *workflow.Run) (*ledger.Ledger, error) {
	revoke := policy(run) == v1alpha1.Revoke
	l, err := change(ctx, run, func(l *ledger.Ledger) error {
		credential.RetireAll(l, revoke, run.Now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if run.DryRun {
		return l, nil
	}
	var lasting, waiting, lost []string
	for _, name := range retiringAt(l) {
		_, a, err := account.Get(ctx, run.Platform, name)
		var gone *account.NotFoundError
		switch {
		case errors.As(err, &gone) && abandoned(l, name, run.Now):
			lost = append(lost, name)
		case errors.As(err, &gone):
			return nil, fmt.Errorf("NatsAccount %s of NatsUser %s is gone, so nobody can revoke its credentials: make the account again, or set spec.deletionPolicy to Retain to let them live until they expire", name, run.Identity)
		case platform.IsTransient(err):
			return nil, err
		case err == nil && !account.Revocable(a):
			lasting = append(lasting, name)
		default: // one whose spec is wrong may be mended
			waiting = append(waiting, name)
		}
	}
	if len(lasting) > 0 {
		run.Log.Warn("credentials live until they expire, because the account has no operator key to revoke them with", "request", run.Identity.String(), "accounts", lasting)
		if l, err = change(ctx, run, func(l *ledger.Ledger) error { l.Expire(lasting); return nil }); err != nil {
			return nil, err
		}
	}
	if len(lost) > 0 {
		run.Log.Warn("users of accounts that are gone stay at the provider", "request", run.Identity.String(), "accounts", lost)
		if l, err = change(ctx, run, func(l *ledger.Ledger) error {
			for _, name := range lost {
				abandon(l, name, run.Now)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if len(waiting) == 0 {
		return l, nil
	}
	if err := askAccounts(ctx, run, waiting...); err != nil {
		return nil, err
	}
	err = run.Wait(ctx, func(ctx context.Context) (bool, error) {
		l, err = ledgers(run).Get(ctx, run.Identity)
		return err == nil && l.Count(ledger.Retiring) == 0, err
	})
	if err != nil {
		return nil, err
	}
	if n := l.Count(ledger.Retiring); n > 0 {
		return nil, fmt.Errorf("%d credentials of NatsUser %s are not revoked yet: NatsAccount %s was asked to and has not done so; see its status, the deletion is tried again when it has", n, run.Identity, strings.Join(waiting, ", "))
	}
	return l, nil
}

// abandoned tells whether nothing that an account, which is gone, was to revoke could
// connect any more.
func abandoned(l *ledger.Ledger, account string, now time.Time) bool {
	return !slices.ContainsFunc(l.Rows, func(r ledger.Row) bool {
		return r.Basis.Account == account && r.State == ledger.Retiring && now.Before(r.Expires)
	})
}

// abandon settles what an account that is gone would have removed.
func abandon(l *ledger.Ledger, account string, now time.Time) {
	for i := range l.Rows {
		if r := &l.Rows[i]; r.Basis.Account == account && r.State == ledger.Retiring {
			r.State, r.Removed = ledger.Retired, r.Basis.KeptIn != "" && !now.Before(r.Expires)
		}
	}
}

// policy is what the request says of its deletion. A spec that is wrong does not
// keep a request from being deleted: then credentials are revoked.
func policy(run *workflow.Run) v1alpha1.DeletionPolicy {
	said, _, _ := unstructured.NestedString(run.Request.Object, "spec", "deletionPolicy")
	if v1alpha1.DeletionPolicy(said) == v1alpha1.RetainOnGone {
		return v1alpha1.RetainOnGone
	}
	return v1alpha1.Revoke
}
