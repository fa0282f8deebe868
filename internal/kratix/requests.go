package kratix

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

// Requests lists the requests of a kind that somebody has made, in all namespaces:
// those that Kratix makes for a dry run are left out.
func Requests(ctx context.Context, client platform.Client, kind platform.Kind) ([]unstructured.Unstructured, error) {
	objects, err := client.List(ctx, kind, "", nil)
	return slices.DeleteFunc(objects, func(o unstructured.Unstructured) bool { return IsDryRun(&o) }), err
}

// dryRunPrefix begins the name of each request that Kratix makes for a dry run.
const dryRunPrefix = "kratix-dry-run-"

// IsDryRun reports whether Kratix has made a request to see what another would give:
// nobody has asked for it, nothing is delivered for it, and it goes with its DryRun.
// Its name and both labels must say so, which the guard lets nobody but Kratix set: a
// request of somebody else is not hidden by one of them.
func IsDryRun(o *unstructured.Unstructured) bool {
	labels := o.GetLabels()
	return labels[LabelDryRun] == "true" && labels[LabelDryRunOwner] != "" && strings.HasPrefix(o.GetName(), dryRunPrefix)
}

// IsForDryRuns reports whether a Destination is where Kratix shows what dry runs give. It
// places nothing else there.
func IsForDryRuns(destination *unstructured.Unstructured) bool {
	return destination.GetLabels()[LabelDryRun] == "true"
}

// IsPaused reports whether Kratix runs nothing for a request or a Promise, as its own
// label says. That of a Promise counts for all of its requests.
func IsPaused(o *unstructured.Unstructured) bool { return o.GetLabels()[LabelPaused] == "true" }
