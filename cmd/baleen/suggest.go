package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noSuchCommand refuses what follows a command that only has commands, and names
// those that may be meant.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong
	hint := fmt.Sprintf("`%s --help` lists those there are", cmd.CommandPath())
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		hint = "did you mean " + strings.Join(names, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q: %s", args[0], cmd.CommandPath(), hint)
}
