// Package pipelines is the list of what Baleen's Promises run. What one of them does
// is in the folder of its name, which its own binary imports alone.
package pipelines

import (
	"github.com/baleen-platform/baleen/internal/workflow"
	apiaggregator "github.com/baleen-platform/baleen/pipelines/api-aggregator"
	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
	"github.com/baleen-platform/baleen/pipelines/system"
	"github.com/baleen-platform/baleen/pipelines/workload"
)

// All returns the pipelines of Baleen's Promises, in the order of their names.
func All() []workflow.Pipeline {
	return []workflow.Pipeline{
		apiaggregator.Pipeline,
		apiaggregatortarget.Pipeline,
		natsaccount.New(natsaccount.Network{}),
		natsuser.New(nil),
		system.Pipeline,
		workload.Pipeline,
	}
}
