package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

func routesCommand() *cobra.Command {
	var folder, kubeconfig, output string
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Show who publishes which path under which host, conflicts first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("--output %q is neither table nor json", output)
			}
			client, err := openPlatform(folder, kubeconfig)
			if err != nil {
				return err
			}
			routes, err := collectRoutes(cmd.Context(), client)
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(routes)
			}
			return routeTable(cmd.OutOrStdout(), "", routes)
		},
	}
	cmd.Flags().StringVar(&folder, "platform", "", "folder that stands for the platform cluster")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the platform cluster (default: as kubectl finds it)")
	cmd.Flags().StringVar(&output, "output", "table", "what to print: table or json")
	return cmd
}

// openPlatform opens the platform cluster, or the folder that stands for it.
func openPlatform(folder, kubeconfig string) (platform.Client, error) {
	if folder != "" && kubeconfig != "" {
		return nil, errors.New("--platform and --kubeconfig both name the platform cluster: give one of them")
	}
	if folder != "" {
		return platform.OpenFolder(folder, time.Now)
	}
	config, err := loadKubeconfig(kubeconfig)
	if err != nil && kubeconfig != "" {
		return nil, fmt.Errorf("the kubeconfig %s cannot be used: %w", kubeconfig, err)
	}
	if err != nil {
		return nil, errors.New("no kubeconfig leads to the platform cluster: name one with --kubeconfig, or a folder with --platform")
	}
	client, err := platform.OpenCluster(config)
	if err != nil {
		return nil, err
	}
	return platform.WithRetry(client, platform.DefaultRetry), nil
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
