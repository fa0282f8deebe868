package apiaggregatortarget

import (
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
)

// The annotations on everything that is made for a path: under which host, and
// which path.
const (
	hostAnnotation = "baleen.dev/host"
	pathAnnotation = "baleen.dev/path"
)

// emit renders the accepted paths for each cluster. A path that is refused but
// held stays there as it was last accepted.
func emit(run *workflow.Run, in inputs, paths []path) (destination.Output, error) {
	output := destination.Output{}
	for _, name := range in.placement.Placed {
		documents, err := in.templates.Render(values(run, in, paths, name))
		if err != nil {
			return nil, workflow.Fail(reason.RenderFailed, err)
		}
		files := map[string][]byte{}
		for i, p := range paths {
			if p.state == v1alpha1.Accepted || !p.held || p.withdrawn {
				continue
			}
			last := madeFor(claim.Path(in.terms.Hostname, p.parsed.Key), run.Last[name])
			maps.Copy(files, last)
			if len(last) > 0 {
				maps.Copy(files, sharedBy(run.Identity, run.Last[name]))
				paths[i].kept = true
			}
		}
		for _, d := range documents {
			files[d.File()] = d.YAML
		}
		output[name] = files
	}
	return output, nil
}

// madeFor returns those files that were made for a path.
func madeFor(path claim.Resource, files map[string][]byte) map[string][]byte {
	made := map[string][]byte{}
	for file, data := range files {
		if pathOf(data) == path {
			made[file] = data
		}
	}
	return made
}

// sharedBy returns the file of the object with which all routes of a request refuse.
func sharedBy(request identity.Request, files map[string][]byte) map[string][]byte {
	shared := map[string][]byte{}
	for file, data := range files {
		if strings.HasSuffix(file, "."+refusalName(request)+".yaml") {
			shared[file] = data
		}
	}
	return shared
}

// pathOf returns the path, under its host, that a document was made for.
func pathOf(document []byte) claim.Resource {
	var object struct {
		Metadata struct{ Annotations map[string]string }
	}
	if yaml.Unmarshal(document, &object) != nil {
		return claim.Resource{}
	}
	path, err := httppath.Parse(object.Metadata.Annotations[pathAnnotation])
	if err != nil {
		return claim.Resource{}
	}
	return claim.Path(object.Metadata.Annotations[hostAnnotation], path.Key)
}

// matchesOf returns the types of path and the methods that a route matches, "" among them
// for whatever the method is.
func matchesOf(document []byte) (types, methods map[string]bool) {
	var route struct {
		Spec struct {
			Rules []struct {
				Matches []struct {
					Path   struct{ Type string }
					Method string
				}
			}
		}
	}
	_ = yaml.Unmarshal(document, &route) // another object has none
	types, methods = map[string]bool{}, map[string]bool{}
	for _, rule := range route.Spec.Rules {
		for _, match := range rule.Matches {
			types[match.Path.Type], methods[match.Method] = true, true
		}
	}
	return types, methods
}

// matchesPrefix reports whether a document is a route of a path and all below it.
func matchesPrefix(document []byte) bool {
	types, _ := matchesOf(document)
	return types["PathPrefix"]
}

// values are what the templates get; the keys are those of their schema.
func values(run *workflow.Run, in inputs, paths []path, destination string) map[string]any {
	spec := in.target.Spec
	common := run.Identity.Annotations()
	if in.terms.Unpublished {
		maps.Copy(common, gateway.DNSIgnore())
	}
	routes := []any{}
	for _, p := range paths {
		if p.state != v1alpha1.Accepted {
			continue
		}
		annotations := maps.Clone(common)
		annotations[hostAnnotation], annotations[pathAnnotation] = in.terms.Hostname, p.parsed.Value
		methods := p.spec.Methods
		if methods == nil {
			methods = []v1alpha1.Method{}
		}
		routes = append(routes, map[string]any{
			"name":          routeName(run.Identity, p),
			"value":         p.parsed.Value,
			"type":          map[v1alpha1.MatchType]string{v1alpha1.Prefix: "PathPrefix", v1alpha1.Exact: "Exact"}[p.spec.Type],
			"methods":       methods,
			"rules":         rulesValues(p.rules),
			"rewritePrefix": p.spec.RewritePrefix,
			"bodyLimit":     p.limit,
			"annotations":   annotations,
		})
	}
	set, remove := []any{}, []string{}
	if h := spec.RequestHeaders; h != nil {
		values := map[string]v1alpha1.HeaderValue{} // by the name that is emitted
		for name, value := range h.Set {
			values[gateway.HeaderName(in.terms.Implementation, name)] = value
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			set = append(set, map[string]any{"name": name, "value": values[name]})
		}
		for _, name := range h.Remove {
			remove = append(remove, gateway.HeaderName(in.terms.Implementation, name))
		}
	}
	return map[string]any{
		"destination":    destination,
		"implementation": in.terms.Implementation,
		"hostname":       in.terms.Hostname,
		"gateway": map[string]any{
			"name": in.terms.GatewayName, "namespace": in.terms.GatewayNamespace, "listener": in.terms.Listener,
		},
		"namespace":      in.namespace,
		"paths":          routes,
		"refusal":        map[string]any{"name": refusalName(run.Identity), "annotations": run.Identity.Annotations()},
		"backends":       gateway.Backends(in.terms.Implementation, spec.Backends),
		"timeout":        spec.Timeout,
		"requestHeaders": map[string]any{"set": set, "remove": remove},
		"labels":         run.Identity.Labels(),
	}
}

func rulesValues(rules []gateway.Rule) []any {
	values := []any{}
	for _, r := range rules {
		values = append(values, map[string]any{"methods": r.Methods, "answer": r.Answer})
	}
	return values
}

// refusalName is the name of the object with which a request's routes refuse what is
// not let through: a Middleware or an HTTPRouteFilter.
func refusalName(request identity.Request) string { return request.ObjectName("refusal") }

// routeName is made of the path and not of its place in the list, so that a
// change to one path touches no other's object.
func routeName(request identity.Request, p path) string {
	return request.ObjectName(identity.Hash(p.parsed.Key))
}
