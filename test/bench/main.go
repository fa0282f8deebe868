// Command bench measures what a platform does all day against the tools that one
// would reach for: a configure of an ApiAggregatorTarget with ten paths against
// the ytt command line rendering the same templates with the same values, and a
// NatsUser against a shell script with nsc, kubeseal and ytt. It measures whole
// processes, in turn, so that a ratio holds when the machine's speed drifts, and
// fails if a bound is broken.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/baleen-platform/baleen/internal/term"
)

// runs of each process; the first warms up and does not count.
const runs = 41

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	dir, err := os.MkdirTemp(memory(), "baleen-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var figures []figure
	for _, part := range []func(dir string) ([]figure, error){target, credential, reads} {
		more, err := part(dir)
		if err != nil {
			return err
		}
		figures = append(figures, more...)
	}
	return show(figures)
}

// memory is a folder that lies in memory, where there is one: a platform folder is
// written through, and what a disk takes for that is no property of a pipeline.
func memory() string {
	const dir = "/dev/shm"
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir
	}
	return ""
}

// figure is a row of the table: values that were measured in turn with those of
// something else, and the bound of their median (most) or of the median of their
// ratios (ratio); 0 for none.
type figure struct {
	what, unit  string
	own         []float64
	with        string
	other       []float64
	ratio, most float64
}

// compare makes the figures of two kinds of processes. There is always a bound on
// memory.
func compare(what string, own []sample, with string, other []sample, ratio float64) []figure {
	row := func(title, unit string, value func(sample) float64) figure {
		return figure{what: what + ", " + title, unit: unit, own: each(own, value), with: with, other: each(other, value)}
	}
	all := []figure{row("wall time", "ms", sample.wall), row("CPU time", "ms", sample.cpu), row("peak memory", "MiB", sample.memory)}
	all[0].ratio, all[2].most = ratio, 64
	return all
}

func show(figures []figure) error {
	rows := [][]term.Cell{nil}
	for _, title := range []string{"", "BALEEN", "COMPARED WITH", "RATIO", "BOUND"} {
		rows[0] = append(rows[0], term.Cell{Text: title, Style: term.Bold})
	}
	var broken []string
	for _, f := range figures {
		var ratios []float64
		for i := range f.own {
			ratios = append(ratios, f.own[i]/f.other[i])
		}
		own, ratio, bound, style := median(f.own), median(ratios), "", term.Plain
		switch {
		case f.ratio > 0:
			bound = fmt.Sprintf("%g times", f.ratio)
		case f.most > 0:
			bound = strings.TrimSpace(fmt.Sprintf("%g %s", f.most, f.unit))
		}
		if f.ratio > 0 && ratio > f.ratio || f.most > 0 && own > f.most {
			broken, style = append(broken, f.what), term.Red
		}
		rows = append(rows, []term.Cell{
			{Text: f.what}, {Text: amount(own, f.unit), Style: style}, {Text: f.with + " " + amount(median(f.other), f.unit)},
			{Text: fmt.Sprintf("%.2f", ratio), Style: style}, {Text: bound},
		})
	}
	if err := term.Table(os.Stdout, term.Colors(os.Stdout), rows...); err != nil {
		return err
	}
	if len(broken) > 0 {
		return fmt.Errorf("out of bounds: %s", strings.Join(broken, "; "))
	}
	return nil
}

func amount(value float64, unit string) string {
	if unit == "" {
		return fmt.Sprintf("%g", value)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
