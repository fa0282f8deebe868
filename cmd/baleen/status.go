package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/nearest"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
)

func statusCommand() *cobra.Command {
	var from platformFlags
	var output outputFlag
	var namespace, at string
	cmd := &cobra.Command{
		Use:   "status KIND/NAME -n NAMESPACE",
		Short: "Follow one request from its spec to the clusters",
		Long: `Status shows what a request asks for, what its last run decided and why, what of it is
in Git for each cluster, the claims that it holds, and for a NatsUser the records of
its credentials. It shows no secret and no ciphertext. What a cluster has refused it
shows where Argo CD runs on the platform cluster and you may read its Applications.

KIND is one of Baleen's kinds as kubectl names them: natsuser, natsusers,
natsusers.baleen.dev.`,
		Example: `  baleen status natsuser/orders -n team-a
  baleen status apiaggregatortarget/orders -n team-a -o json
  baleen status natsaccount/commerce -n baleen-system --platform ./platform`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			now, err := clock(at)
			if err != nil {
				return err
			}
			which, err := parseSubject(args)
			if err != nil {
				return err
			}
			which.namespace = namespace
			client, err := from.open()
			if err != nil {
				return err
			}
			followed, err := follow(cmd.Context(), client, which, now())
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			return output.print(w, followed, func() error { return followed.write(w, output.wide(), now()) }, objectName(which.promise.Kind, which.name))
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&namespace, "namespace", "n", "default", "namespace of the request")
	flags.StringVar(&at, "now", "", "time to compare with, as 2026-08-01T12:00:00Z (default: now)")
	from.add(flags, "kubeconfig")
	output.add(flags)
	return cmd
}

// subject is the request that is followed.
type subject struct {
	promise         promises.Promise
	namespace, name string
}

// parseSubject reads KIND/NAME, or KIND and NAME, as kubectl takes them.
func parseSubject(args []string) (subject, error) {
	kind, name := "", ""
	switch len(args) {
	case 1:
		kind, name, _ = strings.Cut(args[0], "/")
	case 2:
		kind, name = args[0], args[1]
	}
	if kind == "" || name == "" {
		return subject{}, fmt.Errorf("name one request: baleen status KIND/NAME -n NAMESPACE, such as natsuser/orders -n team-a")
	}
	var plurals []string
	for _, p := range promises.All() {
		singular := strings.ToLower(p.Kind.Kind)
		if slices.Contains([]string{singular, p.Kind.Plural, p.Kind.Plural + "." + p.Kind.Group, singular + "." + p.Kind.Group}, strings.ToLower(kind)) {
			return subject{promise: p, name: name}, nil
		}
		plurals = append(plurals, singular)
	}
	hint := "there are " + strings.Join(plurals, ", ")
	if near := nearest.Word(kind, plurals); near != "" {
		hint = "did you mean " + near + "?"
	}
	return subject{}, fmt.Errorf("%s is no kind of Baleen's: %s", field.Quote(kind), hint)
}

// followed is all that is known of one request.
type followed struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Asked is what the spec says, in short.
	Asked []fact `json:"asked"`
	// Generation is that of the spec, Observed the one that the last run saw.
	Generation int64  `json:"generation"`
	Observed   int64  `json:"observedGeneration"`
	Message    string `json:"message,omitempty"`
	// Attention is what is wrong beyond what the status says, and what to do.
	Attention  string            `json:"attention,omitempty"`
	Conditions []conditionStatus `json:"conditions"`
	Paths      []route           `json:"paths,omitempty"`
	// Delivered is what is in the state store, by cluster.
	Delivered   []deliveredStatus `json:"delivered"`
	Claims      []claimStatus     `json:"claims"`
	Credentials []credentialRow   `json:"credentials,omitempty"`
}

// fact is a name and a value of a spec.
type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type conditionStatus struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	Since   string `json:"since,omitempty"`
}

// deliveredStatus is one WorkPlacement.
type deliveredStatus struct {
	Destination string `json:"destination"`
	Files       int    `json:"files"`
	// State is Written, Scheduled, Misplaced or the reason of a failure.
	State   string `json:"state"`
	Version string `json:"version,omitempty"` // the commit
	// NotOnCluster are the objects that the cluster has refused, as far as Argo CD says so.
	NotOnCluster []string `json:"notOnCluster,omitempty"`
}

type claimStatus struct {
	What    string   `json:"what"`
	State   string   `json:"state"`
	Waiters []string `json:"waiters"`
}

// follow reads all that belongs to a request.
func follow(ctx context.Context, client platform.Client, which subject, now time.Time) (*followed, error) {
	promise, namespace, name := which.promise, which.namespace, which.name
	object, err := client.Get(ctx, promise.Kind, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, notThere(ctx, client, promise.Kind, namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s/%s cannot be read: %w", promise.Kind.Kind, namespace, name, err)
	}
	f := &followed{Kind: promise.Kind.Kind, Namespace: namespace, Name: name, Generation: object.GetGeneration(), Asked: factsOf(object)}
	f.Observed, _, _ = unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	f.Message = field.Hide(nestedText(object.Object, "status", "message"))
	f.Conditions = conditionsOf(object)
	stopped := pausedBy(object, readPromise(ctx, client, promise.Name))
	f.Attention = attentionOf(object, stopped, remediesOn(client), now)
	if f.Kind == platform.ApiAggregatorTarget.Kind {
		routes, err := collectRoutes(ctx, client)
		if err != nil {
			return nil, err
		}
		f.Paths = slices.DeleteFunc(routes, func(r route) bool { return r.Owner != namespace+"/"+name })
	}
	if f.Delivered, err = deliveredOf(ctx, client, promise, object); err != nil {
		return nil, err
	}
	claims, err := claim.Store{Client: client}.OwnedBy(ctx, claim.OwnerOf(object))
	if err != nil {
		return nil, err
	}
	f.Claims = []claimStatus{}
	for _, c := range claims {
		s := claimStatus{What: c.Resource.String(), State: string(c.State), Waiters: []string{}}
		for _, w := range c.Waiters {
			s.Waiters = append(s.Waiters, w.String())
		}
		f.Claims = append(f.Claims, s)
	}
	if f.Kind == platform.NatsUser.Kind {
		l, err := ledger.Store{Client: client}.Get(ctx, identity.Request{Kind: f.Kind, Namespace: namespace, Name: name})
		if err != nil {
			return nil, err
		}
		settings, _ := config.Load(ctx, client) // one that is wrong shows in the status
		f.Credentials = asked{object, l, remediesOn(client), stopped}.identities(now, settings.ReconcileInterval)
		for i := range f.Credentials {
			f.Credentials[i].Namespace, f.Credentials[i].Name = namespace, name
		}
	}
	return f, nil
}

// notThere says where a request is that is not where it is looked for.
func notThere(ctx context.Context, client platform.Client, kind platform.Kind, namespace, name string) error {
	all, err := kratix.Requests(ctx, client, kind)
	if err != nil {
		return fmt.Errorf("the %ss cannot be listed: %w", kind.Kind, err)
	}
	var names, elsewhere []string
	for _, o := range all {
		if o.GetName() == name {
			elsewhere = append(elsewhere, o.GetNamespace())
		}
		if o.GetNamespace() == namespace {
			names = append(names, o.GetName())
		}
	}
	hint := "see `kubectl get " + kind.Plural + " -A`"
	if near := nearest.Word(name, names); near != "" {
		hint = "did you mean " + near + "?"
	} else if len(elsewhere) > 0 {
		hint = "there is one in the namespace " + strings.Join(elsewhere, ", ") + ", name it with -n"
	}
	return fmt.Errorf("there is no %s %s/%s on the platform: %s", kind.Kind, namespace, name, hint)
}

// factsOf says in short what a spec asks for.
func factsOf(object *unstructured.Unstructured) []fact {
	facts := []fact{}
	add := func(name string, path ...string) {
		value, found, _ := unstructured.NestedFieldNoCopy(object.Object, append([]string{"spec"}, path...)...)
		if !found || value == nil {
			return
		}
		facts = append(facts, fact{name, field.Hide(shorten(value))})
	}
	switch object.GetKind() {
	case platform.NatsUser.Kind:
		add("account", "accountRef", "name")
		add("secret", "secret", "name")
		add("publish", "permissions", "publish", "allow")
		add("subscribe", "permissions", "subscribe", "allow")
		add("ttl", "credentials", "ttl")
		add("placement", "placement", "matchLabels")
	case platform.NatsAccount.Kind:
		add("provider", "provider")
		add("namespaces", "policy", "namespaces")
		add("placement", "placement", "allowed")
	case platform.ApiAggregator.Kind:
		add("host", "hostname")
		add("implementation", "gateway", "implementation")
		add("namespaces", "allowedNamespaces")
		add("placement", "placement", "matchLabels")
	case platform.ApiAggregatorTarget.Kind:
		add("aggregator", "aggregatorRef", "name")
		add("of namespace", "aggregatorRef", "namespace")
		add("backends", "backends")
		add("paths", "paths")
	case platform.System.Kind:
		add("team", "owner", "team")
		add("namespaces", "allowedNamespaces")
		add("images", "policy", "images")
		add("replicas up to", "policy", "maxReplicas")
		add("placement", "placement", "matchLabels")
	case platform.Workload.Kind:
		add("system", "systemRef", "name")
		add("of namespace", "systemRef", "namespace")
		add("type", "type")
		add("image", "container", "image")
		add("replicas from", "minReplicas")
		add("replicas up to", "maxReplicas")
	}
	return facts
}

// shorten writes a value of a spec on one line.
func shorten(value any) string {
	switch value := value.(type) {
	case map[string]any:
		if labels, selects := value["matchLabels"]; selects && len(value) == 1 {
			return shorten(labels)
		}
		var parts []string
		for key, v := range value {
			parts = append(parts, key+"="+shorten(v))
		}
		slices.Sort(parts)
		return strings.Join(parts, ",")
	case []any:
		const most = 4
		var parts []string
		for i, v := range value {
			if i == most {
				parts = append(parts, fmt.Sprintf("and %d more", len(value)-most))
				break
			}
			if m, isMap := v.(map[string]any); isMap {
				v = cmp.Or(nestedText(m, "path"), nestedText(m, "service"), shorten(m))
			}
			parts = append(parts, fmt.Sprint(v))
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(value)
}

func conditionsOf(object *unstructured.Unstructured) []conditionStatus {
	conditions := []conditionStatus{}
	for _, c := range platform.Conditions(object) {
		since := ""
		if !c.LastTransitionTime.IsZero() {
			since = c.LastTransitionTime.UTC().Format(time.RFC3339)
		}
		conditions = append(conditions, conditionStatus{c.Type, string(c.Status), c.Reason, field.Hide(c.Message), since})
	}
	slices.SortStableFunc(conditions, func(a, b conditionStatus) int { // Baleen's own first
		first := func(c conditionStatus) int { return map[bool]int{true: 0, false: 1}[c.Type == "Ready"] }
		return first(a) - first(b)
	})
	return conditions
}

// attentionOf says what is wrong with a request that its status does not say.
func attentionOf(object *unstructured.Unstructured, stopped *paused, remedies remedies, now time.Time) string {
	observed, _, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	switch peer := workflow.PeerOf(object, ""); {
	case kratix.IsDryRun(object):
		return "Kratix has made it for a dry run: nobody asks for it, and it goes with its DryRun"
	case stopped != nil:
		return stopped.String()
	case peer.IsStuck(now):
		return "its deletion of " + peer.Deleting.UTC().Format(time.RFC3339) + " is not done: " + remedies.delete
	case !peer.Deleting.IsZero():
		return "it is being deleted"
	case peer.IsForgotten(now):
		return "Kratix has forgotten its run of " + peer.Begun.UTC().Format(time.RFC3339) + ": " + remedies.again
	case peer.Reason == "":
		return "no run has carried it out yet: " + remedies.first
	case peer.Failed:
		return "its last run failed: " + remedies.configure
	case observed > 0 && observed < object.GetGeneration():
		return "its spec has changed since its last run, and the next one has not reported yet"
	}
	return ""
}

// deliveredOf returns what of a request is in the state store.
func deliveredOf(ctx context.Context, client platform.Client, promise promises.Promise, object *unstructured.Unstructured) ([]deliveredStatus, error) {
	delivered := []deliveredStatus{}
	owner := kratix.Owner{Promise: promise.Name, Namespace: object.GetNamespace(), Resource: object.GetName()}
	works, err := client.List(ctx, platform.Work, owner.Namespace, owner.Labels())
	if err != nil {
		return nil, fmt.Errorf("the Works of %s/%s cannot be listed: %w", owner.Namespace, owner.Resource, err)
	}
	refused, err := refusals(ctx, client)
	if err != nil {
		return nil, err
	}
	for _, work := range works {
		placements, err := client.List(ctx, platform.WorkPlacement, owner.Namespace, map[string]string{kratix.LabelWork: work.GetName()})
		if err != nil {
			return nil, fmt.Errorf("the WorkPlacements of %s/%s cannot be listed: %w", owner.Namespace, owner.Resource, err)
		}
		for _, wp := range placements {
			workloads, _, _ := unstructured.NestedSlice(wp.Object, "spec", "workloads")
			d := deliveredStatus{
				Destination: cmp.Or(nestedText(wp.Object, "spec", "targetDestinationName"), wp.GetLabels()[kratix.LabelDestination]),
				Files:       len(workloads), State: "Scheduled", Version: nestedText(wp.Object, "status", "versionID"),
			}
			for _, c := range conditionsOf(&wp) {
				switch {
				case c.Type == "WriteSucceeded" && c.Status == "True" && d.State == "Scheduled":
					d.State = "Written"
				case c.Status == "False" && (c.Type == "WriteSucceeded" || c.Type == "Ready"):
					d.State = cmp.Or(c.Reason, "Failed")
				}
			}
			d.NotOnCluster = missingOf(wp, refused[d.Destination])
			delivered = append(delivered, d)
		}
	}
	slices.SortFunc(delivered, func(a, b deliveredStatus) int { return strings.Compare(a.Destination, b.Destination) })
	return delivered, nil
}

// write writes the stages of a request, one below the other.
func (f *followed) write(w io.Writer, wide bool, now time.Time) error {
	rows := [][]term.Cell{{{Text: f.Kind, Style: term.Bold, Fit: term.Must}, {Text: f.Namespace + "/" + f.Name, Fit: term.Flow}}}
	for _, a := range f.Asked {
		rows = append(rows, []term.Cell{{Text: "  " + a.Name}, {Text: a.Value}})
	}
	if f.Message != "" {
		rows = append(rows, []term.Cell{{Text: "Message", Style: term.Bold}, {Text: f.Message}})
	}
	if f.Attention != "" {
		rows = append(rows, []term.Cell{{Text: "Attention", Style: term.Bold}, {Text: f.Attention, Style: term.Red}})
	}
	sections := [][][]term.Cell{rows, {titles("CONDITION", "STATUS", "REASON", "SINCE")}, {titles("DESTINATION", "IN GIT", "FILES", "VERSION")}, {titles("CLAIM", "STATE", "WAITING FOR IT")}}
	for _, c := range f.Conditions {
		since, _ := time.Parse(time.RFC3339, c.Since)
		style := map[string]term.Style{"True": term.Green, "False": term.Red}[c.Status]
		sections[1] = append(sections[1], []term.Cell{{Text: c.Type}, {Text: c.Status, Style: style}, {Text: cmp.Or(c.Reason, "-")}, {Text: cmp.Or(seen(since, now), "-")}})
	}
	for _, d := range f.Delivered {
		style := map[bool]term.Style{true: term.Green, false: term.Yellow}[d.State == "Written"]
		sections[2] = append(sections[2], []term.Cell{{Text: d.Destination}, {Text: d.State, Style: style}, {Text: fmt.Sprint(d.Files)}, {Text: cmp.Or(d.Version[:min(len(d.Version), 12)], "-")}})
	}
	for _, c := range f.Claims {
		sections[3] = append(sections[3], []term.Cell{{Text: c.What}, {Text: c.State}, {Text: cmp.Or(strings.Join(c.Waiters, ", "), "-")}})
	}
	for i, section := range sections {
		if i > 0 && len(section) == 1 {
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := writeTable(w, wide, section); err != nil {
			return err
		}
		if i == 2 {
			f.writeRefused(w)
		}
	}
	return f.writeOwn(w, wide, now)
}

// writeRefused writes what is in Git and not on a cluster.
func (f *followed) writeRefused(w io.Writer) {
	for _, d := range f.Delivered {
		for _, object := range d.NotOnCluster {
			fmt.Fprintln(w, term.Clean("Not on "+d.Destination+", which refuses it: "+object))
		}
	}
}

// writeOwn writes what only some kinds have.
func (f *followed) writeOwn(w io.Writer, wide bool, now time.Time) error {
	if len(f.Delivered) == 0 {
		fmt.Fprintln(w, "\nNothing of it is in Git.")
	}
	if len(f.Paths) > 0 {
		fmt.Fprintln(w)
		if err := writeRoutes(w, "", wide, f.Paths); err != nil {
			return err
		}
		for _, p := range f.Paths {
			if p.Message != "" {
				fmt.Fprintln(w, term.Clean(p.Path+": "+p.Message))
			}
		}
	}
	if len(f.Credentials) > 0 {
		fmt.Fprintln(w)
		return writeCredentials(w, wide, f.Credentials, now)
	}
	return nil
}
