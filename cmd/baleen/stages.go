package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/internal/workflow"
	apiaggregator "github.com/baleen-platform/baleen/pipelines/api-aggregator"
	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
)

// stages are the pipelines of Baleen's Promises, the same that their own binaries run.
var stages = []workflow.Pipeline{
	apiaggregator.Pipeline, apiaggregatortarget.Pipeline, natsaccount.New(natsaccount.Network{}), natsuser.New(nil),
}

// runStage runs the pipeline of a Promise with the environment of its container: one
// of Baleen's in this process, another's binary where that lies beside baleen.
func runStage(ctx context.Context, promise string, env []string, log io.Writer) error {
	if p, ok := stageOf(promise); ok {
		return runHere(ctx, p, env, workflow.Environment{Stderr: log})
	}
	return runBinary(ctx, promise, env, log)
}

// stageOf returns the pipeline of one of Baleen's Promises.
func stageOf(promise string) (workflow.Pipeline, bool) {
	i := slices.IndexFunc(stages, func(p workflow.Pipeline) bool { return p.Promise == promise })
	if i < 0 {
		return workflow.Pipeline{}, false
	}
	return stages[i], true
}

// runHere runs a pipeline in this process, with these variables and no others.
func runHere(ctx context.Context, p workflow.Pipeline, env []string, e workflow.Environment) error {
	variables := map[string]string{}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
	}
	e.Getenv = func(name string) string { return variables[name] }
	if code := e.Run(ctx, p); code != 0 {
		return fmt.Errorf("exit status %d", code)
	}
	return nil
}

func runBinary(ctx context.Context, promise string, env []string, log io.Writer) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	binary := filepath.Join(filepath.Dir(executable), promise)
	if info, err := os.Stat(binary); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("this baleen has no pipeline for the Promise %q: put a binary of that name beside baleen", promise)
	}
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.WaitDelay = 5 * time.Second // for what outlives a stage that was interrupted
	return cmd.Run()
}
