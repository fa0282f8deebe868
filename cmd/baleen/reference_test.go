package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/reference/commands.md anew")

const reference = "../../docs/reference/commands.md"

// The reference of the command line is what the commands say of themselves.
func TestReference(t *testing.T) {
	var text bytes.Buffer
	text.WriteString("# Command line\n\nWhat each command's `--help` says. Generated: do not edit it, run `go test ./cmd/baleen -run TestReference -update`.\n")
	documentCommand(&text, rootCommand())
	if *update {
		if err := os.WriteFile(reference, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Println("changed: docs/reference/commands.md")
	}
	want, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, text.Bytes()) {
		t.Errorf("docs/reference/commands.md is not what the commands say: run go test ./cmd/baleen -run TestReference -update")
	}
}

func documentCommand(text *bytes.Buffer, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "completion" || cmd.Name() == "help" {
		return
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	fmt.Fprintf(text, "\n## %s\n\n%s.\n\n```\n", cmd.CommandPath(), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(text, "%s\n\n", cmd.Long)
	}
	fmt.Fprintf(text, "%s```\n", cmd.UsageString())
	for _, sub := range cmd.Commands() {
		documentCommand(text, sub)
	}
}
