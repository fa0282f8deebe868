// Package destination decides which workload clusters a request goes to, and
// when one that it no longer goes to loses its documents.
package destination

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
)

// Label is put on a Destination when its cluster is registered, with the
// Destination's name as its value. Kratix places output on one matching
// Destination of several: a label of its own makes each the only one.
const Label = "baleen.dev/destination"

// Output is what clusters get: files by name, by Destination.
type Output map[string]map[string][]byte

// Placement is where a request goes.
type Placement struct {
	// Placed are the Destinations that match, by name.
	Placed []string
	// Unregistered match too but do not carry Label, so that nothing can be
	// addressed to them.
	Unregistered []string

	labels map[string]labels.Set
}

// List returns the placement of a request that selects Destinations by labels;
// none selects all.
func List(ctx context.Context, client platform.Client, selector map[string]string) (Placement, error) {
	all, err := client.List(ctx, platform.Destination, "", selector)
	if err != nil {
		return Placement{}, err
	}
	return match(all, selector), nil
}

func match(all []unstructured.Unstructured, selector map[string]string) Placement {
	p := Placement{labels: map[string]labels.Set{}}
	for _, d := range all {
		p.labels[d.GetName()] = d.GetLabels()
		switch {
		case d.GetDeletionTimestamp() != nil, kratix.IsForDryRuns(&d), !labels.SelectorFromSet(selector).Matches(labels.Set(d.GetLabels())):
		case d.GetLabels()[Label] == d.GetName():
			p.Placed = append(p.Placed, d.GetName())
		default:
			p.Unregistered = append(p.Unregistered, d.GetName())
		}
	}
	slices.Sort(p.Placed)
	slices.Sort(p.Unregistered)
	return p
}

// Restrict takes out the Destinations that are not allowed by their labels, and
// returns their names.
func (p Placement) Restrict(allows func(labels map[string]string) bool) (Placement, []string) {
	var refused []string
	restricted := Placement{labels: p.labels}
	for _, list := range []struct{ from, to *[]string }{
		{&p.Placed, &restricted.Placed}, {&p.Unregistered, &restricted.Unregistered},
	} {
		for _, name := range *list.from {
			if allows(p.labels[name]) {
				*list.to = append(*list.to, name)
			} else {
				refused = append(refused, name)
			}
		}
	}
	return restricted, refused
}

// Count returns the number of clusters in words.
func (p Placement) Count() string {
	return field.Count(len(p.Placed), "cluster")
}

// Problem returns a reason and a sentence if the request does not get everywhere
// it should, and empty strings if it does. The sentence calls what selects the
// Destinations by its name.
func (p Placement) Problem(selector string) (why reason.Reason, message string) {
	switch {
	case len(p.Unregistered) > 0:
		return reason.DestinationNotRegistered, fmt.Sprintf("nothing new can be sent to %s: register it with `baleen clusters trust %s`",
			strings.Join(p.Unregistered, ", "), p.Unregistered[0])
	case len(p.Placed) == 0:
		return reason.NoDestination, fmt.Sprintf("no Destination matches %s, so no cluster is served: change it, or label a Destination", selector)
	}
	return "", ""
}

// Leaving is a Destination that no longer matches but still has its documents.
type Leaving struct {
	Name string `json:"name"`
	// Since is when a run first saw that it no longer matches, in RFC 3339.
	Since string `json:"since"`
}

// Keep decides which of the Destinations that have documents keep them although
// the request is no longer placed there: those whose grace lasts, and those that
// only lost their registration, for as long as that takes. It returns the
// documents to repeat and whom to remember as leaving. A Destination that is not
// among the remembered starts its grace now, so that a lost status prolongs a
// grace and never cuts it short.
func Keep(last Output, p Placement, remembered []Leaving, now time.Time, grace time.Duration) (Output, []Leaving) {
	kept := Output{}
	leaving := []Leaving{}
	for name, files := range last {
		switch {
		case slices.Contains(p.Placed, name):
			continue
		case slices.Contains(p.Unregistered, name):
			kept[name] = files
			continue
		}
		since := now
		if i := slices.IndexFunc(remembered, func(l Leaving) bool { return l.Name == name }); i >= 0 {
			if t, err := time.Parse(time.RFC3339, remembered[i].Since); err == nil {
				since = t
			}
			if since.After(now) { // nobody has seen that yet
				since = now
			}
		}
		if now.Before(since.Add(grace)) {
			kept[name] = files
			leaving = append(leaving, Leaving{Name: name, Since: since.UTC().Format(time.RFC3339)})
		}
	}
	slices.SortFunc(leaving, func(a, b Leaving) int { return strings.Compare(a.Name, b.Name) })
	return kept, leaving
}

// Destinations returns the names of those that get at least one file, in order.
func (o Output) Destinations() []string {
	var names []string
	for name, files := range o {
		if len(files) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
