package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// routesFlags are what `baleen routes` is asked.
type routesFlags struct {
	platform  platformFlags
	output    outputFlag
	scope     scopeFlags
	attention attentionFlags
	cluster   string
}

func routesCommand() *cobra.Command {
	var f routesFlags
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Show who publishes which path under which host, conflicts first",
		Example: `  baleen routes
  baleen routes --namespace team-a --cluster eu-1 --output wide
  baleen routes --problems --exit-code`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmp.Or(f.output.check(), f.scope.check()); err != nil {
				return err
			}
			client, err := f.platform.open()
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), client, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	f.platform.add(flags, "kubeconfig")
	f.output.add(flags)
	f.scope.add(flags)
	f.attention.add(flags)
	flags.StringVar(&f.cluster, "cluster", "", "show only the paths that are placed on this `cluster`, by the name of its Destination")
	return cmd
}

func (f routesFlags) run(ctx context.Context, client platform.Client, w io.Writer) error {
	found, err := collectRoutes(ctx, client)
	if err != nil {
		return err
	}
	routes, err := f.filter(ctx, client, found)
	if err != nil {
		return err
	}
	problems := false
	var names []string
	seen := map[string]bool{}
	for _, r := range routes {
		problems = problems || !r.accepted()
		if !seen[r.Owner] {
			seen[r.Owner] = true
			names = append(names, objectName(platform.ApiAggregatorTarget, r.Owner[strings.Index(r.Owner, "/")+1:]))
		}
	}
	err = f.output.print(w, routes, func() error {
		if len(routes) == 0 && len(found) > 0 {
			_, err := fmt.Fprintln(w, "No path matches what you asked for.")
			return err
		}
		return writeRoutes(w, "", f.output.wide(), routes)
	}, names...)
	return cmp.Or(err, f.attention.exit(problems))
}

// filter returns the routes that are asked for. One whose aggregator is not there
// may be meant for any cluster.
func (f routesFlags) filter(ctx context.Context, client platform.Client, routes []route) ([]route, error) {
	on := func(route) bool { return true }
	if f.cluster != "" {
		cluster, err := client.Get(ctx, platform.Destination, "", f.cluster)
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("the platform has no Destination %s: see `baleen clusters list` for those there are", f.cluster)
		}
		if err != nil {
			return nil, fmt.Errorf("the Destination %s cannot be read: %w", f.cluster, err)
		}
		on = func(r route) bool {
			return labels.SelectorFromSet(r.placement).Matches(labels.Set(cluster.GetLabels()))
		}
	}
	return slices.DeleteFunc(routes, func(r route) bool {
		namespace, _, _ := strings.Cut(r.Owner, "/")
		return !f.scope.has(namespace) || !on(r) || f.attention.problems && r.accepted()
	}), nil
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

	placement map[string]string // the labels of the clusters that it is for
}

func (r route) accepted() bool { return r.State == string(v1alpha1.Accepted) }

// collectRoutes returns the paths of all targets, those that are not accepted
// first.
func collectRoutes(ctx context.Context, client platform.Client) ([]route, error) {
	specs := map[string]aggregator.ApiAggregatorSpec{}
	objects, err := kratix.Requests(ctx, client, platform.ApiAggregator)
	if err != nil {
		return nil, fmt.Errorf("the ApiAggregators cannot be listed: %w", err)
	}
	for _, o := range objects {
		var spec aggregator.ApiAggregatorSpec
		readWhatCanBe(o.Object["spec"], &spec)
		specs[o.GetNamespace()+"/"+o.GetName()] = spec
	}
	objects, err = kratix.Requests(ctx, client, platform.ApiAggregatorTarget)
	if err != nil {
		return nil, fmt.Errorf("the ApiAggregatorTargets cannot be listed: %w", err)
	}
	routes := []route{}
	for _, o := range objects {
		routes = append(routes, routesOf(&o, specs)...)
	}
	slices.SortStableFunc(routes, func(a, b route) int {
		accepted := func(r route) int {
			if r.accepted() {
				return 1
			}
			return 0
		}
		return cmp.Or(accepted(a)-accepted(b), strings.Compare(a.Host, b.Host), strings.Compare(a.Path, b.Path), strings.Compare(a.Owner, b.Owner))
	})
	return routes, nil
}

// readWhatCanBe reads a spec, which may be wrong, as far as that goes: decoders leave
// out what is of a wrong type and go on.
func readWhatCanBe(spec, into any) {
	data, err := json.Marshal(spec)
	if err == nil {
		_ = json.Unmarshal(data, into)
	}
}

// kept is the state of a path that is served as a former spec asked for it: that of today
// could not be carried out.
const kept = "Kept"

// ofPaths are the reasons of a run that has decided about each path. After another what
// the status says of paths is what a former run said.
var ofPaths = []reason.Reason{reason.Published, reason.PathsRefused, reason.NoDestination, reason.DestinationNotRegistered}

func routesOf(o *unstructured.Unstructured, specs map[string]aggregator.ApiAggregatorSpec) []route {
	var spec v1alpha1.ApiAggregatorTargetSpec
	readWhatCanBe(o.Object["spec"], &spec)
	spec.Default()
	var status v1alpha1.ApiAggregatorTargetStatus
	readWhatCanBe(o.Object["status"], &status)
	of := specs[cmp.Or(spec.AggregatorRef.Namespace, o.GetNamespace())+"/"+spec.AggregatorRef.Name]
	backends := []string{}
	for _, b := range spec.Backends {
		backends = append(backends, fmt.Sprintf("%s:%d", b.Service, b.Port))
	}
	generic := route{
		Host: cmp.Or(of.Hostname, "?"), Methods: []string{}, Owner: o.GetNamespace() + "/" + o.GetName(), Backends: backends,
		State: "Pending", placement: of.Placement.Labels(), // until a run has decided
	}
	if ready := meta.FindStatusCondition(status.Conditions, "Ready"); ready != nil && ready.Reason != "" {
		generic.State = ready.Reason
	}
	decided := slices.Contains(ofPaths, reason.Reason(generic.State))
	var routes []route
	for _, p := range spec.Paths {
		r := generic
		r.Path, r.Type, r.Limit = p.Path, string(p.Type), string(p.MaxRequestBodySize)
		if r.Limit == "" && of.RequestBody != nil {
			r.Limit = string(of.RequestBody.Default)
		}
		for _, m := range p.Methods {
			r.Methods = append(r.Methods, string(m))
		}
		i := slices.IndexFunc(status.Paths, func(s v1alpha1.PathStatus) bool { return s.Path == p.Path && s.Type == p.Type })
		if i >= 0 && !decided && status.Paths[i].State == v1alpha1.Accepted {
			continue // served as a former spec said
		}
		if i >= 0 && decided {
			r.State, r.Message = string(status.Paths[i].State), status.Paths[i].Message
			r.Host = publishedHost(status.Paths[i], r.Host)
		}
		routes = append(routes, r)
	}
	for _, s := range status.Paths {
		asked := slices.ContainsFunc(spec.Paths, func(p v1alpha1.Path) bool { return p.Path == s.Path && p.Type == s.Type })
		if asked && decided || s.State != v1alpha1.Accepted {
			continue
		}
		r := generic
		r.Host, r.Path, r.Type, r.State, r.Message = publishedHost(s, r.Host), s.Path, string(s.Type), kept, status.Message
		r.Backends = []string{} // which the status does not say, as it does not say the methods
		routes = append(routes, r)
	}
	return routes
}

// publishedHost returns the host that a path was published under, or another where it
// is not: the spec may name another aggregator since.
func publishedHost(s v1alpha1.PathStatus, otherwise string) string {
	if published, err := url.Parse(s.URL); err == nil && published.Host != "" {
		return published.Host
	}
	return otherwise
}

// writeRoutes writes a table of routes, each line after an indent; a wide one says why a path is refused.
func writeRoutes(w io.Writer, indent string, wide bool, routes []route) error {
	if len(routes) == 0 {
		_, err := fmt.Fprintln(w, indent+"Nobody publishes anything.")
		return err
	}
	head := titles(indent+"HOST", "PATH", "TYPE", "METHODS", "OWNER", "BACKENDS", "LIMIT", "STATE")
	head[2].Fit, head[3].Fit, head[5].Fit, head[6].Fit, head[7].Fit = term.Drop, term.Cut, term.Cut, term.Drop, term.Must
	if wide {
		head = append(head, titles("MESSAGE")...)
	}
	rows := [][]term.Cell{head}
	for _, r := range routes {
		style, methods, backends := term.Green, cmp.Or(strings.Join(r.Methods, " "), "all"), strings.Join(r.Backends, " ")
		if r.State == kept {
			methods, backends = "?", "?"
		}
		if !r.accepted() {
			style = term.Red
		}
		row := []term.Cell{
			{Text: indent + r.Host}, {Text: r.Path}, {Text: r.Type}, {Text: methods}, {Text: r.Owner},
			{Text: backends}, {Text: cmp.Or(r.Limit, "-")}, {Text: r.State, Style: style},
		}
		if wide {
			row = append(row, term.Cell{Text: r.Message})
		}
		rows = append(rows, row)
	}
	return writeTable(w, wide, rows)
}
