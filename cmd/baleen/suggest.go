package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/nearest"
)

// noArguments refuses what follows a command that takes flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s is not taken: %s has flags only, see `%s --help`", field.Quote(args[0]), cmd.CommandPath(), cmd.CommandPath())
}

// noSuchFlag says which flag may be meant.
func noSuchFlag(cmd *cobra.Command, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	if near := nearest.Word(name, names); near != "" {
		return fmt.Errorf("unknown flag: --%s: did you mean --%s?", name, near)
	}
	return err
}

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
