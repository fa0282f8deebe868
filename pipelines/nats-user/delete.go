package natsuser

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
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
	if err := markDeleted(ctx, run); err != nil {
		return err
	}
	if err := run.StopConfigure(ctx); err != nil {
		return err
	}
	l, err := retire(ctx, run)
	if err != nil {
		return err
	}
	if l.Tombstone == nil && !run.DryRun { // its other records may be anybody's too
		return fmt.Errorf("another run changed the ledger of NatsUser %s during its deletion: ask for the deletion again with the label %s=true", run.Identity, kratix.LabelManualReconciliation)
	}
	if err := release(ctx, run); err != nil {
		return err
	}
	if run.DryRun {
		return nil
	}
	if err := unlist(ctx, run); err != nil {
		return err
	}
	if l.Tombstone.Done {
		return nil
	}
	return finish(ctx, run, l)
}

// markDeleted writes the tombstone.
func markDeleted(ctx context.Context, run *workflow.Run) error {
	uid := string(run.Request.GetUID())
	_, err := change(ctx, run, func(l *ledger.Ledger) {
		if l.Tombstone == nil || l.Tombstone.UID != uid {
			l.Tombstone = &ledger.Tombstone{UID: uid, At: run.Now}
		}
	})
	return err
}

// finish writes down that nothing is left to retire.
func finish(ctx context.Context, run *workflow.Run, l *ledger.Ledger) error {
	if len(l.Records) == 0 { // nothing was ever issued, and nobody would look for it again
		return ledgerStore(run).Remove(ctx, l)
	}
	_, err := change(ctx, run, func(l *ledger.Ledger) {
		if l.Tombstone != nil {
			l.Tombstone.Done = true
		}
	})
	return err
}

// change changes the ledger of a request that is being deleted, again if somebody
// else was faster.
func change(ctx context.Context, run *workflow.Run, decide func(*ledger.Ledger)) (*ledger.Ledger, error) {
	var l *ledger.Ledger
	b := billOfDeleted(run)
	err := platform.OnConflict(ctx, ledger.IsConflict, func() (err error) {
		if l, err = ledgerStore(run).Get(ctx, run.Identity); err != nil {
			return err
		}
		if l.UID == "" {
			l.UID = string(run.Request.GetUID())
		}
		credential.Import(l, delivered(run.Last), run.Now)
		decide(l)
		return save(ctx, run, l, b, bound{})
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// retire ends every identity, and returns when nothing is left to revoke.
func retire(ctx context.Context, run *workflow.Run) (*ledger.Ledger, error) {
	revoke, err := revokes(ctx, run)
	if err != nil {
		return nil, err
	}
	l, err := change(ctx, run, func(l *ledger.Ledger) { credential.RetireAll(l, revoke, run.Now) })
	if err != nil || run.DryRun {
		return l, err
	}
	which, err := sortOut(ctx, run, l)
	if err != nil {
		return nil, err
	}
	if len(which.lasting) > 0 {
		if l, err = expire(ctx, run, which.lasting); err != nil {
			return nil, err
		}
	}
	if len(which.lost) > 0 {
		if l, err = abandonAll(ctx, run, which.lost); err != nil {
			return nil, err
		}
	}
	if len(which.waiting) > 0 {
		return await(ctx, run, l, which.waiting)
	}
	return l, nil
}

// revokers are the accounts that have something to revoke, by what comes of it.
type revokers struct {
	lasting []string // it lasts until it expires, for want of a key
	lost    []string // they are gone, and nothing of it connects any more
	waiting []string // they are waited for
}

// sortOut finds out what comes of what accounts are to revoke.
func sortOut(ctx context.Context, run *workflow.Run, l *ledger.Ledger) (revokers, error) {
	var which revokers
	for _, name := range retiringAt(l) {
		_, a, err := account.Get(ctx, run.Platform, name)
		var gone *account.NotFoundError
		switch {
		case errors.As(err, &gone) && abandoned(l, name, run.Now):
			which.lost = append(which.lost, name)
		case errors.As(err, &gone):
			return which, fmt.Errorf("NatsAccount %s of NatsUser %s is gone, so nobody can revoke its credentials: make the account again, or set spec.deletionPolicy to Retain to let them live until they expire", name, run.Identity)
		case platform.IsTransient(err):
			return which, err
		case err == nil && !a.Spec.Revocable():
			which.lasting = append(which.lasting, name)
		default: // one whose spec is wrong may be mended
			which.waiting = append(which.waiting, name)
		}
	}
	return which, nil
}

// expire retires what accounts cannot revoke.
func expire(ctx context.Context, run *workflow.Run, accounts []string) (*ledger.Ledger, error) {
	run.Log.Warn("credentials live until they expire, because the account has no operator key to revoke them with", "request", run.Identity.String(), "accounts", accounts)
	return change(ctx, run, func(l *ledger.Ledger) { l.Expire(accounts) })
}

// abandonAll finishes what accounts that are gone would have removed.
func abandonAll(ctx context.Context, run *workflow.Run, accounts []string) (*ledger.Ledger, error) {
	run.Log.Warn("users of accounts that are gone stay at the provider", "request", run.Identity.String(), "accounts", accounts)
	return change(ctx, run, func(l *ledger.Ledger) {
		for _, name := range accounts {
			abandon(l, name, run.Now)
		}
	})
}

// await has accounts revoke, and waits until they have.
func await(ctx context.Context, run *workflow.Run, l *ledger.Ledger, accounts []string) (*ledger.Ledger, error) {
	if err := notifyAccounts(ctx, run, accounts...); err != nil {
		return nil, err
	}
	if err := run.Wait(ctx, func(ctx context.Context) (done bool, err error) {
		l, err = ledgerStore(run).Get(ctx, run.Identity)
		return err == nil && l.Count(ledger.Retiring) == 0, err
	}); err != nil {
		return nil, err
	}
	if n := l.Count(ledger.Retiring); n > 0 {
		return nil, fmt.Errorf("%d credentials of NatsUser %s are not revoked yet: NatsAccount %s was asked to and has not done so; see its status, the deletion is tried again when it has", n, run.Identity, strings.Join(accounts, ", "))
	}
	return l, nil
}

// abandoned reports whether nothing that an account, which is gone, was to revoke could
// connect any more.
func abandoned(l *ledger.Ledger, account string, now time.Time) bool {
	return !slices.ContainsFunc(l.Records, func(r ledger.Record) bool {
		return r.Basis.Account == account && r.State == ledger.Retiring && now.Before(r.Expires)
	})
}

// abandon finishes what an account that is gone would have removed.
func abandon(l *ledger.Ledger, account string, now time.Time) {
	for i := range l.Records {
		if r := &l.Records[i]; r.Basis.Account == account && r.State == ledger.Retiring {
			r.State, r.Removed = ledger.Retired, r.Basis.ProviderAccount != "" && !now.Before(r.Expires)
		}
	}
}

// revokes reports whether the deletion revokes the credentials: unless the request says
// Retain, and its account does not refuse that. A spec that is wrong does not keep a
// request from being deleted: then credentials are revoked.
func revokes(ctx context.Context, run *workflow.Run) (bool, error) {
	said, _, _ := unstructured.NestedString(run.Request.Object, "spec", "deletionPolicy")
	if v1alpha1.DeletionPolicy(said) != v1alpha1.RetainOnGone {
		return true, nil
	}
	name, _, _ := unstructured.NestedString(run.Request.Object, "spec", "accountRef", "name")
	object, _, err := account.Get(ctx, run.Platform, name)
	if platform.IsTransient(err) || apierrors.IsForbidden(err) {
		return false, err
	}
	if object == nil { // nobody can revoke
		return false, nil
	}
	refused, _, _ := unstructured.NestedBool(object.Object, "spec", "policy", "refuseRetain")
	return refused, nil
}
