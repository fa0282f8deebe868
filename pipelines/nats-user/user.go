// Package natsuser is the pipeline of the Promise nats-user: it sees to it that
// every cluster has a credential that is as asked, and issues one only for a
// named reason.
package natsuser

import (
	"context"
	"net/http"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

const promise = "nats-user"

// New returns the Promise's pipeline. A transport carries requests to the control
// planes of providers, nil for the network of this process.
func New(transport http.RoundTripper) workflow.Pipeline {
	return workflow.Pipeline{Promise: promise, Kind: platform.NatsUser, Configure: pipeline{transport}.configure, Delete: remove, Check: workflow.CheckBy(v1alpha1.Read)}
}

// Main runs the pipeline and returns the exit code.
func Main() int { return workflow.Main(New(nil)) }

type pipeline struct{ transport http.RoundTripper }

// inputs are all that a run depends on.
type inputs struct {
	user      *v1alpha1.NatsUser
	account   *account.Account
	namespace string // on the workload clusters
	placement destination.Placement
	refused   []string          // Destinations that the account does not allow
	kept      []string          // those that the request leaves, in their grace
	bundles   map[string]string // certificates by Destination
	templates render.Templates
	metadata  metadata
	// listed: the account says that the request needs attention.
	listed bool
	// seen is what the status tells the account of its terms, also by a run that
	// cannot finish.
	seen map[string]any
}

func (p pipeline) configure(ctx context.Context, run *workflow.Run) (workflow.Result, error) {
	in, err := p.gather(ctx, run)
	if err != nil {
		return workflow.Result{Status: in.seen}, maintain(ctx, run, in, err)
	}
	l, clusters, err := carryOut(ctx, run, in)
	if err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	output, err := emit(run, in, l, clusters)
	if err != nil {
		return workflow.Result{Status: in.seen}, err
	}
	result := report(run, in, l, clusters, output)
	if result.Ready && in.listed { // which its next run corrects, and it does not notify who is ready
		return result, notifyAccounts(ctx, run, in.account.Name)
	}
	return result, nil
}
