// Command baleen is the tool that people run themselves: it runs a Promise's
// pipeline for a request on a folder that stands for the platform cluster.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/internal/workflow"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what does not heed the first
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exitCode ends the process with that code and without another word.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// rootCommand is the command line. Pipelines that are given are run besides Baleen's
// own, for requests of their Promises.
func rootCommand(more ...workflow.Pipeline) *cobra.Command {
	root := &cobra.Command{
		Use:   "baleen",
		Short: "Try Baleen's Promises without a cluster, and look after the platform that runs them",
		Example: `  baleen demo
  baleen run request.yaml --platform platform
  baleen credentials --problems`,
		Version:          version(),
		SilenceUsage:     true,
		SilenceErrors:    true,
		Args:             noSuchCommand,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { warnOfOld(cmd) },
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetHelpFunc(help)
	root.SetFlagErrorFunc(noSuchFlag)
	root.AddCommand(runCommand(slices.Concat(own, more)), demoCommand(), routesCommand(), clustersCommand(), credentialsCommand(), rotateCommand(),
		validateCommand(), statusCommand(), doctorCommand(), diffCommand(), fakecloudCommand(), versionCommand())
	addCompletions(root)
	return root
}

// help writes what a command says of itself, as wide as the terminal is.
func help(cmd *cobra.Command, _ []string) {
	w := cmd.OutOrStdout()
	text := strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)) + "\n\n" + cmd.UsageString()
	fmt.Fprint(w, term.Reflow(text, term.Width(w)))
}

// execute runs the command line, see [rootCommand]. An error is one sentence on stderr.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer, more ...workflow.Pipeline) int {
	root := rootCommand(more...)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	complain(stderr, err)
	return 1
}

// complain writes an error as one sentence that a terminal cannot take for more.
func complain(w io.Writer, err error) {
	if errors.Is(err, context.Canceled) { // by a signal, which whoever sent it knows
		err = errors.New("interrupted")
	}
	fmt.Fprintln(w, "baleen: "+strings.Join(strings.Fields(term.Clean(field.Hide(err.Error()))), " "))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Example: `  baleen version
  baleen --version`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "baleen", version())
			return err
		},
	}
}

// stamped is the version that a release is built with: -X main.stamped=v1.2.3.
var stamped string

// version is the one that this was built with, or that of the module or of the
// commit that it was built from.
func version() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
