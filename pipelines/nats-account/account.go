// Package natsaccount is the pipeline of the Promise nats-account: it verifies the
// account, revokes what was retired, and cleans up after requests that are gone.
package natsaccount

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/sysaccount"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// Network is how the pipeline reaches providers; what is nil is the network of this
// process.
type Network struct {
	// Dial connects to servers, and Transport carries requests to control planes.
	Dial      sysaccount.Dial
	Transport http.RoundTripper
	// Servers are others than those that are dialled.
	Servers provider.Servers
}

func (n Network) servers(urls []string, authorities string) provider.Servers {
	if n.Servers != nil {
		return n.Servers
	}
	return sysaccount.Servers{URLs: urls, CA: authorities, Dial: n.Dial}
}

// pipeline is the Promise's, with how it reaches providers.
type pipeline struct{ network Network }

// New returns the Promise's pipeline.
func New(network Network) workflow.Pipeline {
	p := pipeline{network}
	return workflow.Pipeline{Promise: "nats-account", Kind: platform.NatsAccount, Configure: p.configure, Delete: p.remove, Check: workflow.CheckBy(v1alpha1.Read)}
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(New(Network{})) }

// inputs are all that a run depends on.
type inputs struct {
	account *account.Account
	admin   provider.Administrator
	// exposed are the operator's keys that NatsUsers' pipelines may read, and told are the
	// conditions of the last run.
	exposed []account.Exposed
	told    []metav1.Condition
	// keeper tells of the users that the provider keeps, nil if it keeps none; lastRead
	// is when all of them were read, and unknown how many were in no ledger then.
	keeper   provider.Keeper
	lastRead time.Time
	unknown  int64
	// users draw from the account; all are those of other accounts too.
	users, all []natsUser
	// counts are of former credentials, by namespace, as requests keep them.
	counts  []churn.Count
	store   ledger.Store
	ledgers []*ledger.Ledger
	damaged *ledger.DamagedError // of those that cannot be read
	// news are the requests of which the provider has something else than their
	// ledger said.
	news map[identity.Request]bool
}

// natsUser is what the account knows of a request.
type natsUser struct {
	workflow.Peer
	account string
	// retain: its deletion is to leave its credentials alone. atOnce: what it had before
	// goes at once.
	retain, atOnce bool
}

func (p pipeline) configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	in, err := p.gather(ctx, run)
	if err != nil {
		return workflow.Result{}, err
	}
	defer in.admin.Close()
	if err := retireGone(ctx, run, &in); err != nil {
		return workflow.Result{}, err
	}
	found := examine(ctx, run, in)
	if err := record(ctx, run, &in, found); err != nil {
		return workflow.Result{}, err
	}
	revocations, former := revocations(in, run.Now), formers(in, run.Now)
	if err := recount(ctx, run, in, former); err != nil {
		return workflow.Result{}, err
	}
	if err := forget(ctx, run, &in); err != nil {
		return workflow.Result{}, err
	}
	notified := concerned(in, found, run.Now)
	if err := workflow.NotifyPeers(ctx, run, platform.NatsUser, notified); err != nil {
		return workflow.Result{}, err
	}
	result := report(in, found, revocations, notified, run.Now)
	reportFormer(&result, in, former, run.Now)
	return result, nil
}

// remove revokes what is still queued, for which there is nobody afterwards, and
// has the requests say that their account is gone.
func (p pipeline) remove(ctx context.Context, run *workflow.Run) error {
	if err := run.StopConfigure(ctx); err != nil {
		return err
	}
	in, err := p.gather(ctx, run)
	var failure *workflow.Failure
	switch {
	case apierrors.IsForbidden(err): // which is for the platform team to mend, and then it can revoke
		return err
	case errors.As(err, &failure):
		run.Log.Warn("nothing can be revoked any more", "account", run.Identity.String(), "error", err)
	case err != nil:
		return err
	case in.account.Spec.Revocable() && !run.DryRun:
		if err := revokeRest(ctx, run, &in); err != nil {
			return err
		}
	}
	if run.Identity.Namespace != account.Namespace { // it counts for nobody, and one of its name may
		return nil
	}
	if err := uncount(ctx, run); err != nil {
		return err
	}
	users, err := listUsers(ctx, run.Platform)
	if err != nil {
		return err
	}
	return workflow.NotifyPeers(ctx, run, platform.NatsUser, attached(users, run.Identity.Name))
}

// revokeRest revokes what is queued. It fails where something is left of that.
func revokeRest(ctx context.Context, run *workflow.Run, in *inputs) error {
	defer in.admin.Close()
	in.lastRead = run.Now // who else is there does not matter any more
	found := examine(ctx, run, *in)
	if err := record(ctx, run, in, found); err != nil {
		return err
	}
	if n := queued(*in); found.refusal != nil && n > 0 {
		return fmt.Errorf("%d credentials that are to be revoked are not: %w", n, found.refusal.Err)
	}
	return nil
}
