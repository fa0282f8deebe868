package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
)

// report is what a run tells about itself.
type report struct {
	Promise      string              `json:"promise"`
	Kind         string              `json:"kind"`
	Namespace    string              `json:"namespace"`
	Name         string              `json:"name"`
	Action       string              `json:"action"`
	Kratix       string              `json:"kratix"`
	DryRun       bool                `json:"dryRun"`
	Out          string              `json:"out"`
	Destinations []destinationReport `json:"destinations"`
	// Unscheduled are the output's directories that no Destination matches.
	Unscheduled []string `json:"unscheduled"`
	// Misplaced are the Destinations that keep files though they do not match.
	Misplaced []string           `json:"misplaced"`
	Control   *simulator.Control `json:"control,omitempty"`
	Status    map[string]any     `json:"status"`
}

// destinationReport is what changes on one cluster, by file.
type destinationReport struct {
	Name      string   `json:"name"`
	Added     []string `json:"added"`
	Changed   []string `json:"changed"`
	Removed   []string `json:"removed"`
	Unchanged int      `json:"unchanged"`

	same []string // the files that are unchanged
}

func newReport(f runFlags, promise simulator.Promise, result simulator.Result) report {
	request := result.Request
	r := report{
		Promise: promise.Name, Kind: request.GetKind(), Namespace: request.GetNamespace(), Name: request.GetName(),
		Action: f.action, Kratix: string(kratixes[f.kratix]), DryRun: f.dryRun, Out: f.out,
		Destinations: []destinationReport{},
		Unscheduled:  append([]string{}, result.Unscheduled...),
		Misplaced:    append([]string{}, result.Misplaced...),
		Status:       result.Status,
	}
	if result.Control.Held() {
		r.Control = &result.Control
	}
	for _, d := range result.Destinations {
		r.Destinations = append(r.Destinations, compare(d))
	}
	return r
}

func compare(d simulator.Destination) destinationReport {
	r := destinationReport{Name: d.Name, Added: []string{}, Changed: []string{}, Removed: []string{}}
	for _, file := range slices.Sorted(maps.Keys(d.After)) {
		before, existed := d.Before[file]
		switch {
		case !existed:
			r.Added = append(r.Added, file)
		case !bytes.Equal(before, d.After[file]):
			r.Changed = append(r.Changed, file)
		default:
			r.Unchanged++
			r.same = append(r.same, file)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(d.Before)) {
		if _, stays := d.After[file]; !stays {
			r.Removed = append(r.Removed, file)
		}
	}
	return r
}

// table writes the changes and what came of the run; a wide one names the files
// that are unchanged.
func (r report) table(w io.Writer, wide bool) error {
	if len(r.Destinations) > 0 {
		head := titles("DESTINATION", "CHANGE", "FILE")
		head[2].Fit = term.Cut
		rows := [][]term.Cell{head}
		for _, d := range r.Destinations {
			rows = append(rows, d.rows(wide)...)
		}
		if err := writeTable(w, wide, rows); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return term.Table(w, term.Colors(w), r.summary()...)
}

func (d destinationReport) rows(wide bool) [][]term.Cell {
	var rows [][]term.Cell
	add := func(change string, style term.Style, names ...string) {
		for _, name := range names {
			rows = append(rows, []term.Cell{{Text: d.Name}, {Text: change, Style: style}, {Text: name}})
		}
	}
	add("added", term.Green, d.Added...)
	add("changed", term.Yellow, d.Changed...)
	add("removed", term.Red, d.Removed...)
	switch {
	case wide:
		add("unchanged", term.Dim, d.same...)
	case d.Unchanged > 0:
		add("unchanged", term.Dim, field.Count(d.Unchanged, "file"))
	}
	return rows
}

// summary are the lines below the table.
func (r report) summary() [][]term.Cell {
	var rows [][]term.Cell
	add := func(label, text string, style term.Style) {
		rows = append(rows, []term.Cell{{Text: label, Style: term.Bold, Fit: term.Must}, {Text: text, Style: style, Fit: term.Flow}})
	}
	if len(r.Destinations) == 0 && r.Action == string(kratix.Configure) {
		add("Delivered", "nothing", term.Plain)
	}
	for _, directory := range r.Unscheduled {
		add("Not placed", fmt.Sprintf("no Destination matches the selectors of the directory %s", directory), term.Yellow)
	}
	for _, destination := range r.Misplaced {
		add("Misplaced", fmt.Sprintf("%s does not match its selectors any more and keeps its files", destination), term.Yellow)
	}
	if c := r.Control; c != nil {
		text := "until the label " + kratix.LabelSuspended + " is removed"
		if c.RetryAfter != "" {
			text = "to be run again after " + c.RetryAfter
		}
		if c.Message != "" {
			text += ": " + c.Message
		}
		add("Held back", text, term.Yellow)
	}
	if message, _ := r.Status["message"].(string); message != "" {
		add("Message", message, term.Plain)
	}
	if value, reason := ready(r.Status); value != "" {
		style := term.Green
		if value != "True" {
			style = term.Red
		}
		add("Ready", value+reason, style)
	}
	switch {
	case r.DryRun:
		add("Dry run", "nothing was written to the platform", term.Plain)
	case r.Action == string(kratix.Delete):
		add("Deleted", fmt.Sprintf("%s %s/%s", r.Kind, r.Namespace, r.Name), term.Plain)
	}
	where := r.Out
	if slices.ContainsFunc(r.Destinations, func(d destinationReport) bool { return len(d.Added)+len(d.Changed)+d.Unchanged > 0 }) {
		where = filepath.Join(where, "destinations")
	}
	add("Files", where, term.Plain)
	return rows
}

// ready returns the status of the condition Ready and its reason in brackets.
func ready(status map[string]any) (value, reason string) {
	c := meta.FindStatusCondition(platform.Conditions(&unstructured.Unstructured{Object: map[string]any{"status": status}}), "Ready")
	if c == nil {
		return "", ""
	}
	if c.Reason != "" {
		reason = " (" + c.Reason + ")"
	}
	return string(c.Status), reason
}
