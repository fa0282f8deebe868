package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// application is how Argo CD applies a folder of the state store to a cluster. Only a
// person's status reads it; pipelines know the state store alone.
var application = platform.Kind{
	GroupVersionKind: schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"}, Plural: "applications",
}

// refusedObject is one that a cluster has not taken.
type refusedObject struct{ group, kind, namespace, name string }

func (o refusedObject) String() string {
	return strings.TrimSpace(o.kind + " " + strings.TrimPrefix(o.namespace+"/"+o.name, "/"))
}

// refusals are what clusters have said of objects that they did not take, by
// Destination, as far as Argo CD runs on the platform and whoever asks may read it. An
// Application belongs to the Destination in whose folder its source lies.
func refusals(ctx context.Context, client platform.Client) (map[string]map[refusedObject]string, error) {
	applications, err := client.List(ctx, application, "", nil)
	if err == nil && len(applications) == 0 || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the Applications of Argo CD cannot be listed: %w", err)
	}
	destinations, err := client.List(ctx, platform.Destination, "", nil)
	if err != nil {
		if apierrors.IsForbidden(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	said := map[string]map[refusedObject]string{}
	for _, a := range applications {
		results, _, _ := unstructured.NestedSlice(a.Object, "status", "operationState", "syncResult", "resources")
		for _, d := range destinations {
			if !within(cmp.Or(nestedText(d.Object, "spec", "path"), d.GetName()), foldersOf(a)) {
				continue
			}
			for _, r := range results {
				result, _ := r.(map[string]any)
				if nestedText(result, "status") != "SyncFailed" {
					continue
				}
				if said[d.GetName()] == nil {
					said[d.GetName()] = map[refusedObject]string{}
				}
				object := refusedObject{nestedText(result, "group"), nestedText(result, "kind"), nestedText(result, "namespace"), nestedText(result, "name")}
				said[d.GetName()][object] = field.Hide(nestedText(result, "message"))
			}
		}
	}
	return said, nil
}

// foldersOf are the folders that an Application applies.
func foldersOf(a unstructured.Unstructured) []string {
	folders := []string{nestedText(a.Object, "spec", "source", "path")}
	sources, _, _ := unstructured.NestedSlice(a.Object, "spec", "sources")
	for _, s := range sources {
		source, _ := s.(map[string]any)
		folders = append(folders, nestedText(source, "path"))
	}
	return folders
}

// within reports whether one of the folders is dir, or lies in it.
func within(dir string, folders []string) bool {
	dir = strings.Trim(dir, "/")
	return slices.ContainsFunc(folders, func(f string) bool {
		f = strings.Trim(strings.TrimPrefix(f, "./"), "/")
		return f != "" && (f == dir || strings.HasPrefix(f, dir+"/"))
	})
}

// missingOf says which documents of a WorkPlacement a cluster has refused, and why.
func missingOf(placement unstructured.Unstructured, said map[refusedObject]string) []string {
	if len(said) == 0 {
		return nil
	}
	workloads, _, _ := unstructured.NestedFieldNoCopy(placement.Object, "spec", "workloads")
	files := map[string][]byte{}
	if err := kratix.UnpackWorkloads(workloads, files); err != nil {
		return nil // Kratix says so, too
	}
	var missing []string
	for name, data := range files {
		for _, d := range parseDocuments(name, string(data)) {
			o := unstructured.Unstructured{Object: d.object}
			object := refusedObject{o.GroupVersionKind().Group, o.GetKind(), o.GetNamespace(), o.GetName()}
			if why, ok := said[object]; ok {
				missing = append(missing, object.String()+": "+why)
			}
		}
	}
	slices.Sort(missing)
	return missing
}
