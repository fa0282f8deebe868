package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/baleen-platform/baleen/internal/workflow"
	apiaggregator "github.com/baleen-platform/baleen/pipelines/api-aggregator"
	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
)

// stages are the entry points of the pipelines, by the name of their Promise.
// Each is the same function that the Promise's own binary calls; what it returns
// is the exit code.
var stages = map[string]func() int{
	"api-aggregator":        apiaggregator.Main,
	"api-aggregator-target": apiaggregatortarget.Main,
	"nats-account":          natsaccount.Main,
	"nats-user":             natsuser.Main,
}

// pipelines are the same for `baleen diff`, which runs them in its own process, with
// a platform of its own, so that what they read is copied nowhere.
var pipelines = map[string]workflow.Pipeline{
	"api-aggregator":        apiaggregator.Pipeline,
	"api-aggregator-target": apiaggregatortarget.Pipeline,
	"nats-account":          natsaccount.Pipeline,
	"nats-user":             natsuser.Pipeline,
}

// stageCommand is how baleen runs itself as a pipeline where no binary of the
// Promise lies beside it.
func stageCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "stage NAME",
		Short:  "Run the pipeline of a Promise as Kratix would",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			stage, ok := stages[args[0]]
			if !ok {
				return fmt.Errorf("this baleen has no pipeline for the Promise %q: put a binary of that name beside baleen", args[0])
			}
			if code := stage(); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}
