package simulator

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/baleen-platform/baleen/internal/kratix"
)

// schedule is what Kratix's scheduler makes of a Work.
type schedule struct {
	// placed are the WorkPlacements to have, those that exist already with what
	// is stored of them.
	placed []placement
	// dangling are the WorkPlacements whose workload group is gone.
	dangling []unstructured.Unstructured
	// unscheduled are the directories that no Destination matches.
	unscheduled []string
}

// placement is a workload group on a Destination.
type placement struct {
	*unstructured.Unstructured
	directory   string
	destination string
	// misplaced: the Destination does not match any more. What it has got is
	// kept up to date all the same.
	misplaced bool
	// written: the Destination exists, so files can be put into its state store.
	written bool
}

// plan schedules the groups of a Work to Destinations, which are ordered by name.
func plan(work *unstructured.Unstructured, existing, destinations []unstructured.Unstructured) schedule {
	var s schedule
	known := map[string]bool{}
	for _, d := range destinations {
		known[d.GetName()] = true
	}
	groups := map[string]bool{}
	for _, group := range kratix.WorkloadGroups(work) {
		id, _ := group["id"].(string)
		directory, _ := group["directory"].(string)
		groups[id] = true
		matching := match(resolve(group), destinations)

		// A request's group stays where it was placed first, on whatever
		// Destination that is; only its files are replaced.
		var stays bool
		for _, wp := range existing {
			if wp.GetLabels()[kratix.LabelGroup] != id {
				continue
			}
			stays = true
			object := wp.DeepCopy()
			setWorkloads(object, group)
			name := target(wp)
			p := placement{object, directory, name, !slices.Contains(matching, name), known[name]}
			if p.misplaced {
				setLabel(object, kratix.LabelMisplaced, "true") // Kratix never takes it off again
			}
			s.placed = append(s.placed, p)
		}
		switch {
		case stays:
		case len(matching) == 0:
			s.unscheduled = append(s.unscheduled, directory)
		default:
			// Kratix takes one of them at random. The first by name is one of the
			// answers it could give, and the same one each time.
			s.placed = append(s.placed, newPlacement(work, group, id, directory, matching[0]))
		}
	}
	for _, wp := range existing {
		if !groups[wp.GetLabels()[kratix.LabelGroup]] {
			s.dangling = append(s.dangling, wp)
		}
	}
	return s
}

func newPlacement(work *unstructured.Unstructured, group map[string]any, id, directory, destination string) placement {
	spec, _, _ := unstructured.NestedMap(work.Object, "spec")
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": work.GetAPIVersion(), "kind": "WorkPlacement",
		"spec": map[string]any{
			"targetDestinationName": destination,
			"id":                    id,
			"promiseName":           spec["promiseName"],
			"resourceName":          spec["resourceName"],
		},
	}}
	object.SetNamespace(work.GetNamespace())
	object.SetName(work.GetName() + "." + destination + "-" + id[:5])
	object.SetLabels(map[string]string{
		kratix.LabelWork:        work.GetName(),
		kratix.LabelGroup:       id,
		kratix.LabelDestination: destination,
		kratix.LabelPipeline:    work.GetLabels()[kratix.LabelPipeline],
	})
	setWorkloads(object, group)
	return placement{object, directory, destination, false, true}
}

func setWorkloads(placement *unstructured.Unstructured, group map[string]any) {
	spec, _ := placement.Object["spec"].(map[string]any)
	delete(spec, "workloads")
	if workloads, ok := group["workloads"].([]any); ok && len(workloads) > 0 {
		spec["workloads"] = runtime.DeepCopyJSONValue(workloads)
	}
}

// target returns the name of a WorkPlacement's Destination.
func target(placement unstructured.Unstructured) string {
	name, _, _ := unstructured.NestedString(placement.Object, "spec", "targetDestinationName")
	return name
}

// resolve merges the selectors of a group: the Promise's own win over those of
// its workflow, and these over those of the request's workflow.
func resolve(group map[string]any) map[string]string {
	rank := []string{sourceResource, sourcePromiseWorkflow, sourcePromise}
	list, _ := group["destinationSelectors"].([]any)
	labels := map[string]string{}
	for _, source := range rank {
		for _, item := range list {
			s, _ := item.(map[string]any)
			if s["source"] != source {
				continue
			}
			matchLabels, _, _ := unstructured.NestedStringMap(s, "matchLabels")
			maps.Copy(labels, matchLabels)
		}
	}
	return labels
}

// match returns the names of the Destinations that a group may be placed on.
// Without selectors these are all of them, except the labelled ones that ask to
// be selected (strictMatchLabels).
func match(selectors map[string]string, destinations []unstructured.Unstructured) []string {
	var names []string
	for _, d := range destinations {
		labels := d.GetLabels()
		strict, _, _ := unstructured.NestedBool(d.Object, "spec", "strictMatchLabels")
		switch {
		case d.GetDeletionTimestamp() != nil:
		case len(selectors) == 0 && strict && len(labels) > 0:
		case !contains(labels, selectors):
		default:
			names = append(names, d.GetName())
		}
	}
	return names
}

func contains(labels, selectors map[string]string) bool {
	for k, v := range selectors {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// status returns the status of a WorkPlacement after Kratix scheduled
// it and wrote its files. Pipelines read there that a delivery has arrived: the
// versionID is a commit in Kratix and a hash of the files here.
func (p placement) status(now time.Time) map[string]any {
	var status struct {
		Conditions []metav1.Condition `json:"conditions,omitempty"`
		VersionID  string             `json:"versionID,omitempty"`
	}
	if old, ok := p.Object["status"].(map[string]any); ok {
		// What is not a status is written anew.
		_ = runtime.DefaultUnstructuredConverter.FromUnstructured(old, &status)
	}
	set := func(kind string, value metav1.ConditionStatus, reason, message string) {
		apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: value, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now.UTC()),
		})
	}
	if p.misplaced {
		set("ScheduleSucceeded", metav1.ConditionFalse, "DestinationSelectorMismatch", "Target destination no longer matches destinationSelectors")
		set("Ready", metav1.ConditionFalse, "Misplaced", "Misplaced")
	} else {
		set("ScheduleSucceeded", metav1.ConditionTrue, "ScheduledToDestination", "Scheduled to correct Destination")
	}
	if p.written {
		set("WriteSucceeded", metav1.ConditionTrue, "WorkloadsWrittenToStateStore", "")
		status.VersionID = version(p.Unstructured)
		if !p.misplaced {
			set("Ready", metav1.ConditionTrue, "WorkloadsWrittenToTargetDestination", "Ready")
		}
	}
	result, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		panic(err) // a struct of strings and times always converts
	}
	return result
}

// version is a hash that looks like a commit.
func version(placement *unstructured.Unstructured) string {
	workloads, _, _ := unstructured.NestedFieldNoCopy(placement.Object, "spec", "workloads")
	data, _ := json.Marshal(workloads) // decoded JSON always encodes
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// delivered returns the files that each Destination gets from placements.
func delivered(placements []unstructured.Unstructured) (map[string]map[string][]byte, error) {
	files := map[string]map[string][]byte{}
	for _, wp := range placements {
		name := target(wp)
		if files[name] == nil {
			files[name] = map[string][]byte{}
		}
		workloads, _, _ := unstructured.NestedFieldNoCopy(wp.Object, "spec", "workloads")
		if err := kratix.UnpackWorkloads(workloads, files[name]); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// compare returns what changes on each Destination, ordered by name.
func compare(before, after map[string]map[string][]byte) []Destination {
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if before[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	destinations := make([]Destination, 0, len(names))
	for _, name := range names {
		destinations = append(destinations, Destination{Name: name, Before: before[name], After: after[name]})
	}
	return destinations
}
