package apiaggregator

import (
	"cmp"
	"fmt"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// emit renders the Gateway and what belongs to it for each cluster.
func emit(run *workflow.Run, in inputs, claims []claim.Claim) (destination.Output, error) {
	closed := gateway.Closed(in.aggregator, claims)
	output := destination.Output{}
	for _, name := range in.placement.Placed {
		documents, err := in.templates.Render(values(run, specOn(name, in.aggregator.Spec), in.aggregator, closed, name))
		if err != nil {
			return nil, workflow.Fail(reason.RenderFailed, err)
		}
		files := map[string][]byte{}
		for _, d := range documents {
			files[d.File()] = d.YAML
		}
		output[name] = files
	}
	return output, nil
}

// specOn returns the spec with the overrides for a cluster applied.
func specOn(name string, spec v1alpha1.ApiAggregatorSpec) v1alpha1.ApiAggregatorSpec {
	for _, o := range spec.PerDestination {
		if o.Name != name {
			continue
		}
		spec.TLS = cmp.Or(o.TLS, spec.TLS)
		if o.DNS != nil {
			yes := true
			dns := v1alpha1.DNS{Enabled: &yes}
			if spec.DNS != nil {
				dns = *spec.DNS
			}
			dns.Target = o.DNS.Target
			spec.DNS = &dns
		}
	}
	return spec
}

// closings are the routes that close prefixes, as the templates get them.
func closings(run *workflow.Run, i v1alpha1.Implementation, prefixes []string) []any {
	routes := []any{}
	for n, closing := range gateway.Closings(i, prefixes) {
		rules := []any{}
		for _, r := range closing {
			matches := []any{}
			for _, prefix := range r.Prefixes {
				for _, method := range r.Methods {
					matches = append(matches, map[string]any{"prefix": prefix, "method": method})
				}
			}
			rules = append(rules, map[string]any{"matches": matches})
		}
		routes = append(routes, map[string]any{"name": run.Identity.ObjectName("closed", fmt.Sprint(n)), "rules": rules})
	}
	return routes
}

// values are what the templates get; the keys are those of their schema.
func values(run *workflow.Run, spec v1alpha1.ApiAggregatorSpec, a *v1alpha1.ApiAggregator, closed []string, destination string) map[string]any {
	onGateway, onRedirect := map[string]string{}, map[string]string{}
	if d := spec.DNS; d != nil && !*d.Enabled {
		onRedirect = gateway.DNSIgnore()
	} else if d != nil && d.Target != "" {
		onGateway = gateway.DNSTarget(d.Target)
	}
	ports := v1alpha1.Ports{}
	if spec.Gateway.Ports != nil {
		ports = *spec.Gateway.Ports
	}
	routes := map[string]any{"namespaces": "All"}
	if r := spec.Gateway.AllowedRoutes; r != nil {
		routes["namespaces"] = r.From
		if r.Selector != nil {
			routes["selector"] = r.Selector
		}
	}
	tls := v1alpha1.TLS{}
	if spec.TLS != nil {
		tls = *spec.TLS
	}
	return map[string]any{
		"destination": destination,
		"hostname":    spec.Hostname,
		"gateway": map[string]any{
			"exists":        spec.Attached(),
			"name":          gateway.Name(a),
			"namespace":     spec.Gateway.Namespace,
			"className":     spec.Gateway.ClassName,
			"clusterIssuer": tls.ClusterIssuer,
			"secretName":    tls.SecretName,
			"allowedRoutes": routes,
			"listeners":     map[string]any{"https": gateway.HTTPSListener(a), "http": gateway.HTTPListener(a)},
			"ports":         map[string]any{"https": cmp.Or(ports.HTTPS, 443), "http": cmp.Or(ports.HTTP, 80)},
			"annotations":   onGateway,
		},
		"redirect": map[string]any{
			"enabled":     *spec.HTTPRedirect,
			"name":        run.Identity.ObjectName("redirect"),
			"port":        gateway.Port(a),
			"kept":        gateway.ACME,
			"annotations": onRedirect,
		},
		"implementation": spec.Gateway.Implementation,
		"closing": map[string]any{
			"namespace":   cmp.Or(spec.Gateway.ClosingNamespace, spec.Gateway.Namespace),
			"refusal":     run.Identity.ObjectName("refusal"),
			"routes":      closings(run, spec.Gateway.Implementation, closed),
			"annotations": gateway.DNSIgnore(),
		},
		"labels":      run.Identity.Labels(),
		"annotations": run.Identity.Annotations(),
	}
}
