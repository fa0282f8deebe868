package main

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// paused says why Kratix runs nothing for a request, and what to do about it.
type paused struct{ why, remedy string }

func (p paused) String() string { return p.why + ": " + p.remedy }

// pausedBy says why Kratix runs nothing for a request, nil if it does. The object of
// its Promise is nil where that cannot be read; then the request itself may say so.
func pausedBy(object, promise *unstructured.Unstructured) *paused {
	const label = kratix.LabelPaused + "=true"
	const nothing = ", so nothing runs for it: no change, no renewal, no deletion"
	switch {
	case object == nil:
		return nil
	case kratix.IsPaused(object):
		return &paused{"it is paused by its label " + label + nothing, "take the label off"}
	case promise != nil && kratix.IsPaused(promise):
		return &paused{"its Promise is paused by the label " + label + nothing, "take the label off the Promise " + promise.GetName()}
	case workflow.PeerOf(object, "").Paused && promise != nil:
		return &paused{"its Promise was paused when Kratix came by, and nothing has run for it since", "give the request the label " + kratix.LabelManualReconciliation + "=true"}
	case workflow.PeerOf(object, "").Paused:
		return &paused{"Kratix has paused it" + nothing, "take the label " + label + " off its Promise, then give the request the label " + kratix.LabelManualReconciliation + "=true"}
	}
	return nil
}

// readPromise returns a Promise, nil where there is none, as in a folder, or where one
// may not read it.
func readPromise(ctx context.Context, client platform.Client, name string) *unstructured.Unstructured {
	object, err := client.Get(ctx, promiseKind, "", name)
	if err != nil {
		return nil
	}
	return object
}
