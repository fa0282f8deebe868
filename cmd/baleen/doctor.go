package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	nats "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

func doctorCommand() *cobra.Command {
	var from platformFlags
	var output outputFlag
	var at string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what is wrong with this installation, and what to do about it",
		Long: `Doctor looks at the platform cluster: the namespaces, Promises and guard of Baleen, its
configuration, the Destinations and their certificates, where the keys of NATS operators
are, the stored records, and the requests whose runs failed or were forgotten. It reads
only.

Of a folder that stands for the platform cluster the namespaces, the Promises and the
guard are looked at if it holds Promises. The exit code is 3 if there is a problem.`,
		Example: `  baleen doctor
  baleen doctor --kubeconfig platform.kubeconfig -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.check(); err != nil {
				return err
			}
			now, err := clock(at)
			if err != nil {
				return err
			}
			client, err := from.open()
			if err != nil {
				return err
			}
			checkups, err := examine(cmd.Context(), client, from.folder != "", now())
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			var parts []string // those with a problem
			for _, c := range checkups {
				if len(c.Findings) > 0 {
					parts = append(parts, c.Part)
				}
			}
			if err := output.print(w, checkups, func() error { return writeCheckups(w, checkups) }, parts...); err != nil {
				return err
			}
			if slices.ContainsFunc(checkups, func(c checkup) bool { return len(c.Findings) > 0 }) {
				return needsAttention
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&at, "now", "", "time to judge by, as 2026-08-01T12:00:00Z (default: now)")
	from.add(cmd.Flags(), "kubeconfig")
	output.add(cmd.Flags())
	return cmd
}

// checkup is what was found of one part of an installation.
type checkup struct {
	Part     string    `json:"part"`
	Findings []finding `json:"findings"`
}

// finding is one problem and what to do about it.
type finding struct {
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// Kinds that doctor alone reads.
var (
	namespaceKind = platform.Kind{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, Plural: "namespaces", ClusterScoped: true}
	promiseKind   = platform.Kind{GroupVersionKind: schema.GroupVersionKind{Group: "platform.kratix.io", Version: "v1alpha1", Kind: "Promise"}, Plural: "promises", ClusterScoped: true}
	bindingKind   = platform.Kind{GroupVersionKind: schema.GroupVersionKind{Group: "platform.kratix.io", Version: "v1alpha1", Kind: "ResourceBinding"}, Plural: "resourcebindings"}
)

// examine looks at all parts, those with problems first. A part that cannot be read
// is a finding too.
func examine(ctx context.Context, client platform.Client, isFolder bool, now time.Time) ([]checkup, error) {
	installed := !isFolder
	if isFolder {
		found, err := client.List(ctx, promiseKind, "", nil)
		if err != nil {
			return nil, fmt.Errorf("the platform folder cannot be read: %w", err)
		}
		installed = len(found) > 0
	}
	checkups := []checkup{}
	for _, part := range []struct {
		name      string
		installed bool // only where something is installed
		look      func(context.Context, platform.Client, time.Time) ([]finding, error)
	}{
		{"namespaces", true, lookAtNamespaces},
		{"Promises", true, lookAtPromises},
		{"guard", true, lookAtGuard},
		{"configuration", false, lookAtConfig},
		{"Destinations", false, lookAtDestinations},
		{"operator's keys", false, lookAtOperators},
		{"stored records", false, lookAtStored},
		{"requests", false, lookAtRequests},
	} {
		if part.installed && !installed {
			continue
		}
		findings, err := part.look(ctx, client, now)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			remedy := "try again, and look at the API server if it stays so"
			if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
				remedy = "use an account that may read it, such as one with the ClusterRole view and Kratix's kinds"
			}
			findings = append(findings, finding{fmt.Sprintf("the %s cannot be looked at: %v", part.name, err), remedy})
		}
		checkups = append(checkups, checkup{part.name, append([]finding{}, findings...)})
	}
	slices.SortStableFunc(checkups, func(a, b checkup) int { return cmp.Compare(min(len(b.Findings), 1), min(len(a.Findings), 1)) })
	return checkups, nil
}

// isThere reports whether an object of no namespace exists.
func isThere(ctx context.Context, client platform.Client, kind platform.Kind, name string) (*unstructured.Unstructured, error) {
	object, err := client.Get(ctx, kind, "", name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

func lookAtNamespaces(ctx context.Context, client platform.Client, _ time.Time) ([]finding, error) {
	var findings []finding
	for _, name := range []string{config.Namespace, claim.Namespace, account.OperatorNamespace} {
		object, err := isThere(ctx, client, namespaceKind, name)
		switch {
		case err != nil:
			return findings, err
		case object == nil:
			whose := map[bool]string{true: "no account with an operator's key", false: "no pipeline"}[name == account.OperatorNamespace]
			findings = append(findings, finding{fmt.Sprintf("the namespace %s is missing, and %s works without it", name, whose), "apply the Promises again, which make it"})
		case object.GetDeletionTimestamp() != nil:
			findings = append(findings, finding{fmt.Sprintf("the namespace %s is being deleted, and what Baleen has stored goes with it", name), "restore it from a backup before any request runs"})
		}
	}
	return findings, nil
}

func lookAtPromises(ctx context.Context, client platform.Client, _ time.Time) ([]finding, error) {
	var findings []finding
	versions := map[string][]string{}
	everywhere, unread := kratixInterval(ctx, client)
	settings, wrong := config.Load(ctx, client) // one that is wrong is a finding elsewhere
	for _, p := range promises.All() {
		name := p.Name
		object, err := isThere(ctx, client, promiseKind, name)
		if err != nil {
			return findings, err
		}
		if object == nil {
			findings = append(findings, finding{fmt.Sprintf("the Promise %s is not installed", name), "kubectl apply -f dist/promises/" + name + ".yaml"})
			continue
		}
		if version := object.GetLabels()[kratix.LabelPromiseVersion]; version != "" {
			versions[version] = append(versions[version], name)
		} else {
			findings = append(findings, finding{fmt.Sprintf("the Promise %s has no version: Kratix overwrites its last revision, and there is none to go back to", name), "apply what `make promises` writes"})
		}
		isPaused := kratix.IsPaused(object)
		if isPaused {
			findings = append(findings, finding{fmt.Sprintf("the Promise %s is paused: nothing runs for any of its requests, no renewal and no deletion either", name),
				fmt.Sprintf("kubectl label promise %s %s-", name, kratix.LabelPaused)})
		}
		if namespace := nestedText(object.Object, "spec", "workflows", "config", "pipelineNamespace"); namespace != "" {
			findings = append(findings, finding{fmt.Sprintf("the Promise %s has its pipelines run in the namespace %s, and they expect to run in that of the request", name, namespace),
				"take spec.workflows.config.pipelineNamespace out of the Promise"})
		}
		if interval, from := intervalOf(object, everywhere); unread == nil && wrong == nil && interval != settings.ReconcileInterval {
			findings = append(findings, finding{
				fmt.Sprintf("Kratix runs the requests of the Promise %s every %s, by %s, and Baleen counts on every %s", name, field.Short(interval), from, field.Short(settings.ReconcileInterval)),
				fmt.Sprintf("set reconcileInterval in the ConfigMap %s/baleen-config to the longest interval of the Promises, or give them that one", config.Namespace),
			})
		}
		if !isPaused && nestedText(object.Object, "status", "status") == "Unavailable" {
			findings = append(findings, finding{fmt.Sprintf("the Promise %s is Unavailable: Kratix does not run its pipelines", name), "kubectl describe promise " + name + ", and see the log of Kratix's controller"})
		}
	}
	if len(versions) > 1 {
		var parts []string
		for _, version := range slices.Sorted(maps.Keys(versions)) {
			parts = append(parts, version+" of "+strings.Join(versions[version], ", "))
		}
		findings = append(findings, finding{"the Promises have different versions, which were never tested together: " + strings.Join(parts, "; "), "apply all Promises of one release"})
	}
	return findings, unread
}

// kratixInterval is the interval of Kratix's own configuration.
func kratixInterval(ctx context.Context, client platform.Client) (time.Duration, error) {
	object, err := client.Get(ctx, platform.ConfigMap, kratix.Namespace, kratix.ConfigMap)
	if apierrors.IsNotFound(err) {
		return kratix.DefaultInterval, nil
	}
	if err != nil {
		return 0, fmt.Errorf("the ConfigMap %s/%s cannot be read: %w", kratix.Namespace, kratix.ConfigMap, err)
	}
	var says struct{ ReconciliationInterval string }
	_ = yaml.Unmarshal([]byte(nestedText(object.Object, "data", "config")), &says) // Kratix does not start with what is none
	if interval, ok := durationOf(says.ReconciliationInterval); ok {
		return interval, nil
	}
	return kratix.DefaultInterval, nil
}

func durationOf(text string) (d time.Duration, ok bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// intervalOf returns how often Kratix runs the requests of a Promise, and what says so.
// What Kratix would not take counts for nothing.
func intervalOf(promise *unstructured.Unstructured, everywhere time.Duration) (interval time.Duration, from string) {
	const least = time.Minute
	if interval, ok := durationOf(promise.GetAnnotations()[kratix.AnnotationInterval]); ok && interval >= least {
		return interval, "its annotation " + kratix.AnnotationInterval
	}
	if interval, ok := durationOf(nestedText(promise.Object, "spec", "workflows", "config", "reconciliationInterval")); ok {
		return interval, "its spec.workflows.config.reconciliationInterval"
	}
	return everywhere, "the configuration of Kratix"
}

func lookAtGuard(ctx context.Context, client platform.Client, _ time.Time) ([]finding, error) {
	wanted := parseDocuments("guard.yaml", string(promises.Guard))
	var missing, lenient []string
	for _, d := range wanted {
		o := unstructured.Unstructured{Object: d.object}
		kind := platform.Kind{GroupVersionKind: o.GroupVersionKind(), Plural: plural(o.GetKind()), ClusterScoped: true}
		object, err := isThere(ctx, client, kind, o.GetName())
		if err != nil {
			return nil, err
		}
		if object == nil {
			missing = append(missing, o.GetKind()+" "+o.GetName())
			continue
		}
		actions, found, _ := unstructured.NestedStringSlice(object.Object, "spec", "validationActions")
		if found && !slices.Contains(actions, "Deny") {
			lenient = append(lenient, o.GetName())
		}
	}
	const remedy = "kubectl apply -f dist/promises/guard.yaml"
	var findings []finding
	switch {
	case len(missing) == len(wanted):
		findings = append(findings, finding{"the guard is not installed: who may make Pods in a namespace with requests can take the rights of Baleen's pipelines", remedy})
	case len(missing) > 0:
		findings = append(findings, finding{"the guard has a gap, these are missing: " + strings.Join(missing, ", "), remedy})
	}
	if len(lenient) > 0 {
		findings = append(findings, finding{"the guard warns and does not deny: " + strings.Join(lenient, ", "), remedy})
	}
	return findings, nil
}

// plural returns the name of a kind in URLs, as far as guard.yaml goes.
func plural(kind string) string {
	kind = strings.ToLower(kind)
	if stem, ok := strings.CutSuffix(kind, "y"); ok {
		return stem + "ies"
	}
	return kind + "s"
}

func lookAtConfig(ctx context.Context, client platform.Client, _ time.Time) ([]finding, error) {
	_, err := config.Load(ctx, client)
	var status apierrors.APIStatus
	if err == nil || errors.As(err, &status) {
		return nil, err
	}
	wrong := finding{err.Error(), fmt.Sprintf("kubectl edit configmap baleen-config -n %s: until then no request runs", config.Namespace)}
	return []finding{wrong}, nil
}

func lookAtDestinations(ctx context.Context, client platform.Client, _ time.Time) ([]finding, error) {
	clusters, err := listClusters(ctx, client)
	if err != nil {
		return nil, err
	}
	accounts, err := kratix.Requests(ctx, client, platform.NatsAccount)
	if err != nil && !apierrors.IsNotFound(err) { // the Promise may not be installed
		return nil, err
	}
	var findings []finding
	if len(clusters) == 0 {
		findings = append(findings, finding{"there are no Destinations, and nothing is delivered anywhere", "make a Destination for each workload cluster, then run `baleen clusters trust NAME`"})
	}
	for _, c := range clusters {
		switch {
		case c.Problem != "":
			problem, remedy, found := strings.Cut(c.Problem, ": ")
			if !found {
				remedy = "see `baleen clusters list`"
			}
			findings = append(findings, finding{fmt.Sprintf("the Destination %s %s", c.Name, problem), remedy})
		case c.Certificate == "none" && slices.ContainsFunc(accounts, func(o unstructured.Unstructured) bool { return reaches(&o, c.Labels) }):
			findings = append(findings, finding{fmt.Sprintf("the Destination %s has no certificate, and no credential can be sealed for it", c.Name),
				fmt.Sprintf("baleen clusters trust %s --cluster-kubeconfig FILE", c.Name)})
		}
	}
	return findings, nil
}

// reaches reports whether users of an account may be placed on a cluster.
func reaches(account *unstructured.Unstructured, labels map[string]string) bool {
	allowed, _, _ := unstructured.NestedSlice(account.Object, "spec", "placement", "allowed")
	for _, entry := range allowed {
		entry, _ := entry.(map[string]any)
		wanted, _, _ := unstructured.NestedStringMap(entry, "matchLabels")
		matches := true
		for key, value := range wanted {
			matches = matches && labels[key] == value
		}
		if matches {
			return true
		}
	}
	return len(allowed) == 0
}

// lookAtOperators finds accounts whose last run has found an operator's keys where they do
// not belong.
func lookAtOperators(ctx context.Context, client platform.Client, _ time.Time) ([]finding, error) {
	accounts, err := kratix.Requests(ctx, client, platform.NatsAccount)
	if err != nil && !apierrors.IsNotFound(err) { // the Promise may not be installed
		return nil, err
	}
	var findings []finding
	for _, o := range accounts {
		c := meta.FindStatusCondition(platform.Conditions(&o), nats.OperatorProtected)
		if c == nil || c.Status != metav1.ConditionFalse {
			continue
		}
		problem, remedy, _ := strings.Cut(field.Hide(c.Message), ": ")
		findings = append(findings, finding{fmt.Sprintf("NatsAccount %s/%s: %s", o.GetNamespace(), o.GetName(), problem),
			fmt.Sprintf("%s: see \"Move the operator's keys\" in docs/how-to.md", remedy)})
	}
	return findings, nil
}

func lookAtStored(ctx context.Context, client platform.Client, _ time.Time) ([]finding, error) {
	ledgers, err := lookAtLedgers(ctx, client)
	if err != nil {
		return nil, err
	}
	hosts, err := lookAtHosts(ctx, client)
	return append(ledgers, hosts...), err
}

// lookAtHosts finds hosts whose aggregators are gone without a word. No pipeline frees
// them for another namespace.
func lookAtHosts(ctx context.Context, client platform.Client) ([]finding, error) {
	store := claim.Store{Client: client, Kinds: []claim.Kind{{Kind: platform.ApiAggregator, Promise: "api-aggregator"}}}
	hosts, err := store.All(ctx, "host")
	if err != nil {
		return nil, err
	}
	var findings []finding
	for _, c := range hosts {
		if c.State == claim.Free || c.Deleted { // whoever wants it takes it over
			continue
		}
		gone, err := store.Gone(ctx, c)
		if err != nil {
			return findings, err
		}
		if gone {
			findings = append(findings, finding{fmt.Sprintf("the host %s belongs to ApiAggregator %s, which is gone: no other namespace gets it", c.Resource.Scope, c.Owner),
				fmt.Sprintf("kubectl -n %s delete configmap %s", claim.Namespace, c.Resource.ConfigMap())})
		}
	}
	return findings, nil
}

func lookAtLedgers(ctx context.Context, client platform.Client) ([]finding, error) {
	_, err := ledger.Store{Client: client}.All(ctx)
	var damaged *ledger.DamagedError
	if !errors.As(err, &damaged) {
		return nil, err
	}
	var findings []finding
	for _, e := range damaged.Errs {
		findings = append(findings, finding{e.Error(), "restore the ConfigMap from a backup: its request issues nothing until then"})
	}
	return findings, nil
}

func lookAtRequests(ctx context.Context, client platform.Client, now time.Time) ([]finding, error) {
	var findings []finding
	for _, p := range promises.All() {
		objects, err := kratix.Requests(ctx, client, p.Kind)
		if apierrors.IsNotFound(err) {
			continue // the Promise is not installed
		}
		if err != nil {
			return findings, err
		}
		promise := readPromise(ctx, client, p.Name)
		for _, o := range objects {
			if promise != nil && kratix.IsPaused(promise) {
				break // which is said of the Promise
			}
			findings = append(findings, lookAtRequest(p.Kind, &o, promise, now)...)
		}
	}
	pinned, err := lookAtBindings(ctx, client)
	return append(findings, pinned...), err
}

// lookAtBindings finds requests that run with another version than their Promise has.
// Kratix 2025-08 has no bindings.
func lookAtBindings(ctx context.Context, client platform.Client) ([]finding, error) {
	bindings, err := client.List(ctx, bindingKind, "", nil)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	versions, kinds := map[string]string{}, map[string]platform.Kind{}
	for _, p := range promises.All() {
		if object := readPromise(ctx, client, p.Name); object != nil {
			versions[p.Name], kinds[p.Name] = object.GetLabels()[kratix.LabelPromiseVersion], p.Kind
		}
	}
	var findings []finding
	for _, b := range bindings {
		promise, version := nestedText(b.Object, "spec", "promiseRef", "name"), nestedText(b.Object, "spec", "version")
		has, ours := versions[promise]
		if !ours || version == "" || version == "latest" || version == has {
			continue
		}
		findings = append(findings, finding{
			fmt.Sprintf("%s %s/%s is pinned to the version %s, and its Promise has %s: the two were never tested together",
				kinds[promise].Kind, b.GetNamespace(), nestedText(b.Object, "spec", "resourceRef", "name"), version, cmp.Or(has, "none")),
			fmt.Sprintf(`kubectl patch resourcebinding %s -n %s --type merge -p '{"spec":{"version":"latest"}}'`, b.GetName(), b.GetNamespace()),
		})
	}
	return findings, err
}

// lookAtRequest says whether a request is left lying. One that is refused is not: its
// owner reads why.
func lookAtRequest(kind platform.Kind, object, promise *unstructured.Unstructured, now time.Time) []finding {
	subject := fmt.Sprintf("%s %s/%s", kind.Kind, object.GetNamespace(), object.GetName())
	again := fmt.Sprintf("kubectl label %s %s -n %s %s=true", strings.ToLower(kind.Kind), object.GetName(), object.GetNamespace(), kratix.LabelManualReconciliation)
	peer := workflow.PeerOf(object, "")
	switch created := object.GetCreationTimestamp(); {
	case peer.Paused:
		stopped := pausedBy(object, promise)
		return []finding{{subject + ": " + stopped.why, stopped.remedy}}
	case peer.IsStuck(now):
		return []finding{{subject + " is being deleted since " + peer.Deleting.UTC().Format(time.RFC3339), "see the log of its delete Job, then " + again}}
	case peer.IsForgotten(now):
		return []finding{{subject + " was forgotten by Kratix: its run of " + peer.Begun.UTC().Format(time.RFC3339) + " never ended", again}}
	case peer.Failed:
		message := nestedText(object.Object, "status", "message")
		return []finding{{subject + " failed in its last run: " + cmp.Or(field.Hide(message), "its status does not say why"), "see the log of its configure Job, then " + again}}
	case peer.Reason == "" && peer.Deleting.IsZero() && !created.IsZero() && now.After(created.Add(workflow.Settling)):
		return []finding{{subject + " has never run, and is there since " + created.UTC().Format(time.RFC3339), "look for its Job with kubectl get jobs -n " + object.GetNamespace() + ", then " + again}}
	}
	return nil
}

// writeCheckups writes problems with their remedies, then what is well.
func writeCheckups(w io.Writer, checkups []checkup) error {
	colors, width := term.Colors(w), term.Width(w)
	const indent = "         "
	problems := 0
	var text strings.Builder
	for _, c := range checkups {
		for _, f := range c.Findings {
			problems++
			fmt.Fprintln(&text, term.Wrap(term.Paint(colors, term.Red, "PROBLEM")+"  "+term.Clean(f.Problem), width, len(indent)))
			fmt.Fprintln(&text, term.Wrap(indent+term.Clean(f.Remedy), width, len(indent)))
		}
	}
	for _, c := range checkups {
		if len(c.Findings) == 0 {
			fmt.Fprintf(&text, "%s       %s\n", term.Paint(colors, term.Green, "ok"), c.Part)
		}
	}
	if problems > 0 {
		fmt.Fprintf(&text, "\n%s found.\n", field.Count(problems, "problem"))
	}
	_, err := io.WriteString(w, text.String())
	return err
}
