package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

func routesCommand() *cobra.Command {
	var from platformFlags
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Show who publishes which path under which host, conflicts first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.check(); err != nil {
				return err
			}
			client, err := from.open()
			if err != nil {
				return err
			}
			routes, err := collectRoutes(cmd.Context(), client)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			return output.print(w, routes, func() error { return routeTable(w, "", routes) })
		},
	}
	from.add(cmd.Flags(), "kubeconfig")
	output.add(cmd.Flags())
	return cmd
}

// route is one path that a target asks for.
type route struct {
	Host     string   `json:"host"`
	Path     string   `json:"path"`
	Type     string   `json:"type"`
	Methods  []string `json:"methods"`
	Owner    string   `json:"owner"`
	Backends []string `json:"backends"`
	Limit    string   `json:"limit"`
	State    string   `json:"state"`
	Message  string   `json:"message,omitempty"`
}

// collectRoutes returns the paths of all targets, those that are not accepted
// first.
func collectRoutes(ctx context.Context, client platform.Client) ([]route, error) {
	specs := map[string]aggregator.ApiAggregatorSpec{}
	objects, err := client.List(ctx, platform.ApiAggregator, "", nil)
	if err != nil {
		return nil, fmt.Errorf("the ApiAggregators cannot be listed: %w", err)
	}
	for _, o := range objects {
		var spec aggregator.ApiAggregatorSpec
		_ = field.Decode("spec", o.Object["spec"], &spec) // of one that is wrong what can be read is shown
		specs[o.GetNamespace()+"/"+o.GetName()] = spec
	}
	objects, err = client.List(ctx, platform.ApiAggregatorTarget, "", nil)
	if err != nil {
		return nil, fmt.Errorf("the ApiAggregatorTargets cannot be listed: %w", err)
	}
	routes := []route{}
	for _, o := range objects {
		routes = append(routes, routesOf(&o, specs)...)
	}
	slices.SortStableFunc(routes, func(a, b route) int {
		accepted := func(r route) int {
			if r.State == string(v1alpha1.Accepted) {
				return 1
			}
			return 0
		}
		return cmp.Or(accepted(a)-accepted(b), strings.Compare(a.Host, b.Host), strings.Compare(a.Path, b.Path), strings.Compare(a.Owner, b.Owner))
	})
	return routes, nil
}

func routesOf(o *unstructured.Unstructured, specs map[string]aggregator.ApiAggregatorSpec) []route {
	var spec v1alpha1.ApiAggregatorTargetSpec
	_ = field.Decode("spec", o.Object["spec"], &spec)
	spec.Default()
	of := specs[cmp.Or(spec.AggregatorRef.Namespace, o.GetNamespace())+"/"+spec.AggregatorRef.Name]
	backends := []string{}
	for _, b := range spec.Backends {
		backends = append(backends, fmt.Sprintf("%s:%d", b.Service, b.Port))
	}
	states, _, _ := unstructured.NestedSlice(o.Object, "status", "paths")
	status, _, _ := unstructured.NestedMap(o.Object, "status")
	_, reason := ready(status)
	var routes []route
	for _, p := range spec.Paths {
		r := route{
			Host: cmp.Or(of.Hostname, "?"), Path: p.Path, Type: string(p.Type), Methods: []string{},
			Owner: o.GetNamespace() + "/" + o.GetName(), Backends: backends, Limit: string(p.MaxRequestBodySize),
			State: cmp.Or(strings.Trim(reason, " ()"), "Pending"), // until a run has decided
		}
		if r.Limit == "" && of.RequestBody != nil {
			r.Limit = string(of.RequestBody.Default)
		}
		for _, m := range p.Methods {
			r.Methods = append(r.Methods, string(m))
		}
		for _, s := range states {
			if s, _ := s.(map[string]any); s["path"] == p.Path {
				r.State, _ = s["state"].(string)
				r.Message, _ = s["message"].(string)
			}
		}
		routes = append(routes, r)
	}
	return routes
}

// routeTable writes routes as a table, each line after an indent.
func routeTable(w io.Writer, indent string, routes []route) error {
	if len(routes) == 0 {
		_, err := fmt.Fprintln(w, indent+"Nobody publishes anything.")
		return err
	}
	head := []term.Cell{}
	for _, title := range []string{indent + "HOST", "PATH", "TYPE", "METHODS", "OWNER", "BACKENDS", "LIMIT", "STATE"} {
		head = append(head, term.Cell{Text: title, Style: term.Bold})
	}
	rows := [][]term.Cell{head}
	for _, r := range routes {
		style, methods := term.Green, strings.Join(r.Methods, " ")
		if r.State != string(v1alpha1.Accepted) {
			style = term.Red
		}
		rows = append(rows, []term.Cell{
			{Text: indent + r.Host}, {Text: r.Path}, {Text: r.Type}, {Text: cmp.Or(methods, "all")}, {Text: r.Owner},
			{Text: strings.Join(r.Backends, " ")}, {Text: cmp.Or(r.Limit, "-")}, {Text: r.State, Style: style},
		})
	}
	return term.Table(w, term.Colors(w), rows...)
}
