package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// near is how many letters may be wrong in what was meant.
const near = 2

// noSuchCommand refuses what follows a command that only has commands, and names
// those that may be meant.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = near
	hint := fmt.Sprintf("`%s --help` lists those there are", cmd.CommandPath())
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		hint = "did you mean " + strings.Join(names, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q: %s", args[0], cmd.CommandPath(), hint)
}

// nearest returns the one of some values that a word may be meant to be, or "": with
// more than one letter wrong the first must be right.
func nearest(word string, values []string) string {
	word = strings.ToLower(word)
	best, least := "", near+1
	for _, value := range values {
		d := distance(word, value)
		if d > 1 && (word == "" || word[0] != value[0]) {
			continue
		}
		if word != "" && strings.HasPrefix(value, word) {
			d = 0
		}
		if d < least {
			best, least = value, d
		}
	}
	return best
}

// distance is how many letters must be changed, added or removed to make one word
// of another.
func distance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range a {
		current := []int{i + 1}
		for j := range b {
			change := previous[j]
			if a[i] != b[j] {
				change++
			}
			current = append(current, min(change, previous[j+1]+1, current[j]+1))
		}
		previous = current
	}
	return previous[len(b)]
}
