package natsaccount

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/known"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	user "github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

func (p pipeline) gather(ctx context.Context, run *workflow.Run) (inputs, error) {
	var in inputs
	if run.Identity.Namespace != account.Namespace {
		return in, workflow.Fail(reason.WrongNamespace, fmt.Errorf("a NatsAccount counts in the namespace %s only, where the platform team declares it: make it there", account.Namespace))
	}
	spec, err := v1alpha1.Read(run.Request)
	if err != nil {
		return in, workflow.Fail(reason.InvalidSpec, err)
	}
	if err := account.TooShort(spec, run.Config.ReconcileInterval); err != nil {
		return in, workflow.Fail(reason.RenewalWindowTooShort, err)
	}
	opener := account.Opener{
		Client: run.Platform, Issuer: known.Issuer,
		How: provider.Setting{Network: provider.Network{Servers: p.network.servers, Transport: p.network.Transport}, Now: run.Now, Simulated: run.Simulated, DryRun: run.DryRun},
	}
	if in.account, err = opener.Open(ctx, run.Request, spec); err != nil {
		return in, secretFailed(err)
	}
	if in.admin, in.exposed, err = opener.Administrator(ctx, known.Administrator(spec.Spec.Provider), in.account); err != nil {
		return in, secretFailed(err)
	}
	in.told = account.LastStatus(run.Request).Conditions
	in.restoreReading(run)
	if in.all, err = listUsers(ctx, run.Platform); err != nil {
		return in, err
	}
	in.users = attached(in.all, run.Identity.Name)
	// Before the ledgers: what is counted while they are read may not be in them yet.
	if in.counts, err = (churn.Store{Client: run.Platform}).Of(ctx, run.Identity.Name); err != nil {
		return in, err
	}
	in.store = ledger.Store{Client: run.Platform}
	if in.ledgers, err = in.store.Of(ctx, run.Identity.Name); errors.As(err, &in.damaged) {
		err = nil
	}
	return in, err
}

// restoreReading notes when the users that the provider keeps were read last.
func (in *inputs) restoreReading(run *workflow.Run) {
	if in.keeper = in.admin.Keeper(); in.keeper == nil || in.account.Unseen {
		return
	}
	last := account.LastStatus(run.Request).Account
	in.unknown = last.UnknownUsers
	if last.Read != "" {
		if at, err := time.Parse(time.RFC3339, last.Read); err == nil {
			in.lastRead = at
		}
	}
}

func secretFailed(err error) error {
	if platform.IsTransient(err) {
		return err
	}
	return workflow.Fail(reason.SecretInvalid, err)
}

func listUsers(ctx context.Context, client platform.Client) ([]natsUser, error) {
	objects, err := kratix.Requests(ctx, client, platform.NatsUser)
	if err != nil {
		return nil, fmt.Errorf("the NatsUsers cannot be listed: %w", err)
	}
	var users []natsUser
	for _, o := range objects {
		name, _, _ := unstructured.NestedString(o.Object, "spec", "accountRef", "name")
		policy, _, _ := unstructured.NestedString(o.Object, "spec", "deletionPolicy")
		previous, _, _ := unstructured.NestedString(o.Object, "spec", "credentials", "revokePrevious")
		users = append(users, natsUser{workflow.PeerOf(&o, "accountTerms"), name, policy == string(user.RetainOnGone), previous == string(user.Immediately)})
	}
	return users, nil
}

// attached returns the users that draw from an account.
func attached(all []natsUser, account string) []natsUser {
	return slices.DeleteFunc(slices.Clone(all), func(u natsUser) bool { return u.account != account })
}
