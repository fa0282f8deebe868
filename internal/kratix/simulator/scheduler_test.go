package simulator

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix"
)

// destination makes a Destination.
func destination(name string, labels map[string]string, change ...func(*unstructured.Unstructured)) unstructured.Unstructured {
	d := unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "platform.kratix.io/v1alpha1", "kind": "Destination", "spec": map[string]any{"path": name},
	}}
	d.SetName(name)
	d.SetLabels(labels)
	for _, c := range change {
		c(&d)
	}
	return d
}

func strict(d *unstructured.Unstructured) {
	_ = unstructured.SetNestedField(d.Object, true, "spec", "strictMatchLabels")
}

func going(d *unstructured.Unstructured) {
	d.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1, 0)})
}

func TestMatch(t *testing.T) {
	prod := map[string]string{"env": "prod"}
	destinations := []unstructured.Unstructured{
		destination("bare", nil),
		destination("going", prod, going),
		destination("prod", map[string]string{"env": "prod", "zone": "a"}),
		destination("strict", prod, strict),
		destination("strict-bare", nil, strict),
	}
	for _, test := range []struct {
		selectors map[string]string
		want      []string
	}{
		{nil, []string{"bare", "prod", "strict-bare"}},
		{prod, []string{"prod", "strict"}},
		{map[string]string{"env": "prod", "zone": "a"}, []string{"prod"}},
		{map[string]string{"zone": ""}, nil},
	} {
		t.Run(fmt.Sprint(test.selectors), func(t *testing.T) {
			if got := match(test.selectors, destinations); !reflect.DeepEqual(got, test.want) {
				t.Errorf("%v: %v, want %v", test.selectors, got, test.want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	group := map[string]any{"destinationSelectors": []any{
		scheduling(map[string]string{"a": "promise", "b": "promise"}, sourcePromise),
		scheduling(map[string]string{"a": "workflow", "c": "workflow"}, sourcePromiseWorkflow),
		scheduling(map[string]string{"a": "request", "c": "request", "d": "request"}, sourceResource),
	}}
	want := map[string]string{"a": "promise", "b": "promise", "c": "workflow", "d": "request"}
	if got := resolve(group); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPlan(t *testing.T) {
	output := files(map[string]string{"eu/a.yaml": "1", "us/a.yaml": "1", "all.yaml": "1"})
	selectors := "- {directory: eu, matchLabels: {region: eu}}\n- {directory: us, matchLabels: {region: us}}\n"
	eu, us := map[string]string{"region": "eu"}, map[string]string{"region": "us"}
	pack := func(selectors string) *unstructured.Unstructured {
		work, err := Pack(orders, output, []byte(selectors), nil)
		if err != nil {
			t.Fatal(err)
		}
		return work
	}
	// placed returns directory@destination, with ! where misplaced.
	placed := func(s schedule) []string {
		var all []string
		for _, p := range s.placed {
			text := p.directory + "@" + p.destination
			if p.misplaced != (p.GetLabels()[kratix.LabelMisplaced] == "true") {
				t.Errorf("%s: misplaced %v, labels %v", text, p.misplaced, p.GetLabels())
			}
			if p.misplaced {
				text += "!"
			}
			all = append(all, text)
		}
		return all
	}
	first := plan(pack(selectors), nil, []unstructured.Unstructured{destination("eu-1", eu), destination("eu-2", eu)})
	if got, want := placed(first), []string{"eu@eu-1", ".@eu-1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("first: %v, want %v", got, want)
	}
	if !reflect.DeepEqual(first.unscheduled, []string{"us"}) {
		t.Errorf("unscheduled %v", first.unscheduled)
	}
	golden(t, "placement.yaml", readable(t, first.placed[0].DeepCopy().Object))

	existing := []unstructured.Unstructured{*first.placed[0].Unstructured, *first.placed[1].Unstructured}
	output["eu/a.yaml"].Data = []byte("2")
	for name, test := range map[string]struct {
		selectors    string
		destinations []unstructured.Unstructured
		want         []string
		dangling     int
	}{
		"stays where it is, with new files": {
			selectors, []unstructured.Unstructured{destination("a", eu), destination("eu-1", eu), destination("us-1", us)},
			[]string{"eu@eu-1", "us@us-1", ".@eu-1"}, 0,
		},
		"stays though it does not match": {
			selectors, []unstructured.Unstructured{destination("a", eu), destination("eu-1", us)},
			[]string{"eu@eu-1!", "us@eu-1", ".@eu-1"}, 0,
		},
		"stays though the Destination is gone": {
			selectors, []unstructured.Unstructured{destination("eu-2", eu)},
			[]string{"eu@eu-1!", ".@eu-1!"}, 0,
		},
		"stays though the Destination is going": {
			selectors, []unstructured.Unstructured{destination("eu-1", eu, going)},
			[]string{"eu@eu-1!", ".@eu-1!"}, 0,
		},
		"dangling": {
			"- {directory: us, matchLabels: {region: us}}", []unstructured.Unstructured{destination("eu-1", eu)},
			[]string{".@eu-1"}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := existing[0].DeepCopy()
			s := plan(pack(test.selectors), existing, test.destinations)
			if got := placed(s); !reflect.DeepEqual(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			if len(s.dangling) != test.dangling {
				t.Errorf("%d dangling, want %d", len(s.dangling), test.dangling)
			}
			if !reflect.DeepEqual(before.Object, existing[0].Object) {
				t.Error("what is stored was changed in place")
			}
			var all []unstructured.Unstructured
			for _, p := range s.placed {
				all = append(all, *p.Unstructured)
			}
			got, err := delivered(all)
			if err != nil {
				t.Fatal(err)
			}
			if test.dangling == 0 && string(got["eu-1"]["eu/a.yaml"]) != "2" {
				t.Errorf("eu-1 gets %q", got["eu-1"])
			}
		})
	}
}

func TestPlacementStatus(t *testing.T) {
	work, err := Pack(orders, files(map[string]string{"a.yaml": "1"}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	destinations := []unstructured.Unstructured{destination("eu-1", nil)}
	p := plan(work, nil, destinations).placed[0]
	t0, t1 := time.Unix(1e9, 0), time.Unix(2e9, 0)
	first := p.status(t0)
	p.Object["status"] = first
	if again := p.status(t1); !reflect.DeepEqual(again, first) {
		t.Errorf("an equal delivery changes the status from %v to %v", first, again)
	}
	golden(t, "placement-status.yaml", first)

	_ = unstructured.SetNestedField(p.Object, []any{}, "spec", "workloads")
	if p.status(t1)["versionID"] == first["versionID"] {
		t.Error("another delivery has the same version")
	}
	p.misplaced, p.written = true, false
	golden(t, "placement-status-misplaced.yaml", p.status(t1))
}
