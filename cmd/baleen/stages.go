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
	"github.com/baleen-platform/baleen/pipelines"
)

// stages are pipelines that run in this process.
type stages []workflow.Pipeline

// own are those of Baleen's Promises, the same that their own binaries run.
var own = stages(pipelines.All())

// of returns the pipeline of a Promise.
func (s stages) of(promise string) (workflow.Pipeline, bool) {
	i := slices.IndexFunc(s, func(p workflow.Pipeline) bool { return p.Promise == promise })
	if i < 0 {
		return workflow.Pipeline{}, false
	}
	return s[i], true
}

// run runs the pipeline of a Promise with the environment of its container: one of
// these in this process, another's binary where that lies beside baleen.
func (s stages) run(ctx context.Context, promise string, env []string, log io.Writer) error {
	if p, ok := s.of(promise); ok {
		return runHere(ctx, p, env, workflow.Environment{Stderr: log})
	}
	return runBinary(ctx, promise, env, log)
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
