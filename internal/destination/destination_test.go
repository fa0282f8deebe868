package destination

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const grace = 24 * time.Hour

// cluster is a Destination with labels; the one of its own name registers it.
func cluster(name string, labels map[string]string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "platform.kratix.io/v1alpha1", "kind": "Destination"}}
	o.SetName(name)
	o.SetLabels(labels)
	return o
}

func registered(name string, more ...string) *unstructured.Unstructured {
	labels := map[string]string{Label: name}
	for _, key := range more {
		labels[key] = "yes"
	}
	return cluster(name, labels)
}

// A request goes to all Destinations that match: to those that carry their own name,
// while those that do not are reported.
func TestList(t *testing.T) {
	leaving := registered("leaving", "prod")
	leaving.SetFinalizers([]string{"kratix"})
	clusters := []*unstructured.Unstructured{
		registered("us-1", "prod"), registered("eu-1", "prod"), registered("dev"), cluster("raw", map[string]string{"prod": "yes"}),
		cluster("copied", map[string]string{"prod": "yes", Label: "eu-1"}), leaving,
		// Kratix shows dry runs there, and places nothing else.
		cluster("preview", map[string]string{"prod": "yes", "kratix.io/dry-run": "true"}), cluster("previews", map[string]string{"prod": "yes", Label: "previews", "kratix.io/dry-run": "true"}),
	}
	for _, test := range []struct {
		name                 string
		selector             map[string]string
		placed, unregistered []string
	}{
		{"all", nil, []string{"dev", "eu-1", "us-1"}, []string{"copied", "raw"}},
		{"some", map[string]string{"prod": "yes"}, []string{"eu-1", "us-1"}, []string{"copied", "raw"}},
		{"none", map[string]string{"prod": "no"}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := platform.NewMemory(func() time.Time { return now })
			for _, c := range clusters {
				if _, err := client.Create(t.Context(), platform.Destination, c); err != nil {
					t.Fatal(err)
				}
			}
			// What is being deleted is no place for anything new.
			if err := client.Delete(t.Context(), platform.Destination, "", "leaving", platform.Preconditions{}); err != nil {
				t.Fatal(err)
			}
			p, err := List(t.Context(), client, test.selector)
			if err != nil || !slices.Equal(p.Placed, test.placed) || !slices.Equal(p.Unregistered, test.unregistered) {
				t.Errorf("it is placed on %v, and %v are not registered: %v", p.Placed, p.Unregistered, err)
			}
			// A platform that selects nothing does not widen a placement.
			var all []unstructured.Unstructured
			for _, c := range clusters[:5] {
				all = append(all, *c)
			}
			if p := match(all, test.selector); !slices.Equal(p.Placed, test.placed) || !slices.Equal(p.Unregistered, test.unregistered) {
				t.Errorf("out of all it is placed on %v, and %v are not registered", p.Placed, p.Unregistered)
			}
		})
	}
}

// away is a platform that cannot be reached.
type away struct{ platform.Client }

func (away) List(context.Context, platform.Kind, string, map[string]string) ([]unstructured.Unstructured, error) {
	return nil, errors.New("away")
}

// Where Destinations cannot be listed a request is placed nowhere, and says so.
func TestListFails(t *testing.T) {
	if p, err := List(t.Context(), away{}, nil); err == nil || len(p.Placed) > 0 {
		t.Errorf("it is placed on %v, %v", p.Placed, err)
	}
}

// What is not allowed is taken out, registered or not, and named.
func TestRestrict(t *testing.T) {
	p := match([]unstructured.Unstructured{*registered("eu-1", "prod"), *registered("dev"), *cluster("raw", nil), *cluster("half", map[string]string{"prod": "yes"})}, nil)
	restricted, refused := p.Restrict(func(labels map[string]string) bool { return labels["prod"] == "yes" })
	if !slices.Equal(restricted.Placed, []string{"eu-1"}) || !slices.Equal(restricted.Unregistered, []string{"half"}) || !slices.Equal(refused, []string{"dev", "raw"}) {
		t.Errorf("left are %v and %v, refused %v", restricted.Placed, restricted.Unregistered, refused)
	}
	if again, refused := restricted.Restrict(func(labels map[string]string) bool { return labels["prod"] == "yes" }); !slices.Equal(again.Placed, []string{"eu-1"}) || refused != nil {
		t.Errorf("a second time left are %v, refused %v", again.Placed, refused)
	}
}

// A request that does not get everywhere it should says where not, and what to do.
func TestProblem(t *testing.T) {
	for _, test := range []struct {
		name         string
		placement    Placement
		reason, says string
		count        string
	}{
		{"one", Placement{Placed: []string{"eu-1"}}, "", "", "1 cluster"},
		{"two", Placement{Placed: []string{"eu-1", "us-1"}}, "", "", "2 clusters"},
		{"none", Placement{}, "NoDestination", "no Destination matches spec.placement, so no cluster is served", "0 clusters"},
		{"some are not registered", Placement{Placed: []string{"eu-1"}, Unregistered: []string{"us-1", "us-2"}}, "DestinationNotRegistered",
			"nothing new can be sent to us-1, us-2: register it with `baleen clusters trust us-1`", "1 cluster"},
		{"none is registered", Placement{Unregistered: []string{"us-1"}}, "DestinationNotRegistered", "nothing new can be sent to us-1", "0 clusters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			reason, message := test.placement.Problem("spec.placement")
			if string(reason) != test.reason || !strings.HasPrefix(message, test.says) || test.says == "" && message != "" {
				t.Errorf("the reason is %q: %s", reason, message)
			}
			if got := test.placement.Count(); got != test.count {
				t.Errorf("it has %s", got)
			}
		})
	}
}

// A cluster keeps its documents while it is placed, while it only lost its
// registration, and for a day after it stopped matching; then it loses them.
func TestKeep(t *testing.T) {
	const since = "2026-01-01T06:00:00Z" // six hours ago
	at := func(after time.Duration) string { return now.Add(after).Format(time.RFC3339) }
	for _, test := range []struct {
		name       string
		placement  Placement
		remembered []Leaving
		after      time.Duration
		keeps      bool
		leaving    []Leaving
	}{
		{name: "it is placed there", placement: Placement{Placed: []string{"eu-1"}}, remembered: []Leaving{{"eu-1", since}}},
		{name: "it only lost its registration", placement: Placement{Unregistered: []string{"eu-1"}}, keeps: true},
		{name: "it lost that long ago", placement: Placement{Unregistered: []string{"eu-1"}}, remembered: []Leaving{{"eu-1", since}}, after: 1000 * time.Hour, keeps: true},
		{name: "it has just stopped to match", keeps: true, leaving: []Leaving{{"eu-1", at(0)}}},
		{name: "it has before", remembered: []Leaving{{"us-1", at(-99 * time.Hour)}, {"eu-1", since}}, keeps: true, leaving: []Leaving{{"eu-1", since}}},
		{name: "almost a day ago", remembered: []Leaving{{"eu-1", since}}, after: 18*time.Hour - time.Second, keeps: true, leaving: []Leaving{{"eu-1", since}}},
		{name: "a day ago", remembered: []Leaving{{"eu-1", since}}, after: 18 * time.Hour},
		{name: "another has a day ago", remembered: []Leaving{{"us-1", since}}, after: 18 * time.Hour, keeps: true, leaving: []Leaving{{"eu-1", at(18 * time.Hour)}}},
		{name: "when is not known", remembered: []Leaving{{"eu-1", "yesterday"}}, keeps: true, leaving: []Leaving{{"eu-1", at(0)}}},
		{name: "in a time to come", remembered: []Leaving{{"eu-1", at(time.Hour)}}, keeps: true, leaving: []Leaving{{"eu-1", at(0)}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			last := Output{"eu-1": {"a.yaml": []byte("a")}}
			kept, leaving := Keep(last, test.placement, test.remembered, now.Add(test.after), grace)
			want := Output{}
			if test.keeps {
				want = last
			}
			if !reflect.DeepEqual(kept, want) {
				t.Errorf("kept is %v", kept)
			}
			if leaving == nil || !slices.Equal(leaving, test.leaving) { // a status has a list, also an empty one
				t.Errorf("leaving are %v, want %v", leaving, test.leaving)
			}
		})
	}
	t.Run("several, in order", func(t *testing.T) {
		last, want := Output{}, []Leaving(nil)
		for i := range 20 {
			name := fmt.Sprintf("cluster-%02d", i)
			last[name] = nil
			want = append(want, Leaving{name, at(0)})
		}
		if kept, leaving := Keep(last, Placement{}, nil, now, grace); len(kept) != 20 || !slices.Equal(leaving, want) {
			t.Errorf("leaving are %v", leaving)
		}
	})
}

// Only who gets a file is a destination of an output.
func TestDestinations(t *testing.T) {
	o := Output{"none": {}}
	var want []string
	for i := range 20 { // so many that no map has them in order by chance
		name := fmt.Sprintf("cluster-%02d", i)
		o[name] = map[string][]byte{"a": nil}
		want = append(want, name)
	}
	if got := o.Destinations(); !slices.Equal(got, want) {
		t.Errorf("they are %v", got)
	}
}
