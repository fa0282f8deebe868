package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/promises"
)

func validateCommand() *cobra.Command {
	var files []string
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check requests before they are applied, without a platform",
		Long: `Validate checks each document of Baleen's kinds as the platform would: against the
schema of the CustomResourceDefinition, all its fields and not the first that is
wrong, and by the checks of the pipelines, which repeat the definition's CEL rules.

What needs the platform is not checked: whether the account or the aggregator that
is named exists and admits the request, and whether a host, a path or a Secret is
free. See ` + "`baleen diff`" + ` for that. Documents of other kinds are skipped, with a note.
The exit code is 1 if a document is refused.`,
		Example: `  # before a commit
  baleen validate -f orders.yaml -f billing.yaml

  # what a chart or an overlay makes
  helm template ./orders | baleen validate -f -

  # for a program
  baleen validate -f orders.yaml -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q is not taken by itself: write baleen validate -f %s", args[0], args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.check(); err != nil {
				return err
			}
			if len(files) == 0 {
				return errors.New("name what is to be checked: baleen validate -f FILE, or -f - for the standard input")
			}
			documents, err := readFiles(cmd.Context(), files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return reportVerdicts(cmd.OutOrStdout(), cmd.ErrOrStderr(), output, validateAll(documents))
		},
	}
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "file to check, or - for the standard input (repeatable)")
	output.add(cmd.Flags())
	return cmd
}

// verdict is what is said of a document.
type verdict struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Valid is true for what is of a kind of Baleen's and has no problem.
	Valid bool `json:"valid"`
	// Skipped is true for what is of another kind.
	Skipped  bool           `json:"skipped,omitempty"`
	Problems []fieldProblem `json:"problems"`
	// Notes are what one should know of a document that is valid.
	Notes []string `json:"notes,omitempty"`
}

// fieldProblem is one mistake in a document.
type fieldProblem struct {
	// Field is its path with indexes, such as spec.paths[1].path; empty where the
	// document is wrong as a whole.
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

func (v verdict) subject() string {
	switch {
	case v.Name == "" && v.Kind == "":
		return v.File
	case v.Name == "":
		return fmt.Sprintf("%s in %s", v.Kind, v.File)
	}
	return fmt.Sprintf("%s %s/%s", v.Kind, v.Namespace, v.Name)
}

// hidden returns a verdict without the secrets that the document has where they should
// not be.
func (v verdict) hidden() verdict {
	v.Kind, v.Namespace, v.Name = short(v.Kind), short(v.Namespace), short(v.Name)
	for i, p := range v.Problems {
		v.Problems[i] = fieldProblem{field.Hide(p.Field), field.Hide(p.Message)}
	}
	return v
}

// short is a name as it is shown, which may be no name.
func short(name string) string {
	const most = 253
	runes := []rune(field.Hide(name))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

// validateAll checks documents, and that none is there twice.
func validateAll(documents []document) []verdict {
	verdicts := []verdict{}
	seen := map[string]verdict{}
	for _, d := range documents {
		v := validateDocument(d).hidden()
		if v.Name != "" && !v.Skipped {
			if first, twice := seen[v.subject()]; twice {
				v.Problems = append(v.Problems, fieldProblem{"metadata.name", fmt.Sprintf("is there for the second time, after line %d of %s: the later one would replace the other", first.Line, first.File)})
				v.Valid = false
			} else {
				seen[v.subject()] = v
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// reportVerdicts writes what was found; what was skipped goes to stderr.
func reportVerdicts(stdout, stderr io.Writer, output outputFlag, verdicts []verdict) error {
	for _, v := range verdicts {
		if v.Skipped {
			fmt.Fprintf(stderr, "%s: skipped, because it is of no kind of Baleen's\n", term.Clean(fmt.Sprintf("%s %s", v.Kind, cmp.Or(v.Name, "in "+v.File))))
		}
	}
	var names []string
	for _, v := range verdicts {
		for _, p := range promises.All() {
			if v.Valid && p.Kind.Kind == v.Kind {
				names = append(names, objectName(p.Kind, v.Name))
			}
		}
	}
	if err := output.print(stdout, verdicts, func() error { return writeVerdicts(stdout, verdicts) }, names...); err != nil {
		return err
	}
	if slices.ContainsFunc(verdicts, func(v verdict) bool { return len(v.Problems) > 0 }) {
		return exitCode(1)
	}
	return nil
}

func writeVerdicts(w io.Writer, verdicts []verdict) error {
	colors, width := term.Colors(w), term.Width(w)
	var text strings.Builder
	for _, v := range verdicts {
		subject := term.Clean(v.subject())
		if v.Valid {
			fmt.Fprintf(&text, "%s  %s", subject, term.Paint(colors, term.Green, "valid"))
			if len(v.Notes) > 0 {
				fmt.Fprintf(&text, " (%s)", term.Clean(strings.Join(v.Notes, "; ")))
			}
			fmt.Fprintln(&text)
		}
		for _, p := range v.Problems {
			if p.Field == "" {
				fmt.Fprintln(&text, term.Wrap(fmt.Sprintf("%s  %s", subject, term.Clean(p.Message)), width, 4))
				continue
			}
			fmt.Fprintln(&text, term.Wrap(fmt.Sprintf("%s  %s: %s", subject, term.Paint(colors, term.Red, term.Clean(p.Field)), term.Clean(p.Message)), width, 4))
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}
