package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/term"
)

func clustersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clusters",
		Short: "Register workload clusters, and list them",
		Example: `  baleen clusters list
  baleen clusters trust eu-1 --cluster-kubeconfig eu-1.kubeconfig`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(trustCommand(), listClustersCommand())
	return cmd
}

// trustFlags are what `baleen clusters trust` is asked.
type trustFlags struct {
	platform                            platformFlags
	output                              outputFlag
	name                                string
	certificate, kubeconfig, refused    string
	controllerName, controllerNamespace string
	sharedKey                           bool
}

func trustCommand() *cobra.Command {
	var f trustFlags
	cmd := &cobra.Command{
		Use:   "trust NAME [--cluster-kubeconfig FILE | --cert FILE]",
		Short: "Register the workload cluster of a Destination",
		Long: `Trust puts the label ` + destination.Label + ` on the Destination NAME, by which Baleen
addresses the cluster, and adds the public certificate of its Sealed Secrets
controller to the ConfigMap ` + config.Namespace + `/` + seal.BundlesName + `. The certificate comes from
the controller itself (--cluster-kubeconfig, which needs the rights that kubeseal
needs) or from a file as kubeseal --fetch-cert writes it (--cert). Certificates that
are there stay. Done twice, the second time changes nothing.

The platform cluster is that of --platform-kubeconfig and --context, or the one that
kubectl finds. --kubeconfig is refused here in this release: it named the workload
cluster before, and names the platform cluster from the next release on.`,
		Example: `  baleen clusters trust eu-1 --cluster-kubeconfig eu-1.kubeconfig
  baleen clusters trust eu-1 --cert eu-1.pem
  baleen clusters trust eu-1 --cert eu-1.pem --context platform`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one Destination: baleen clusters trust NAME")
			}
			return nil
		},
		ValidArgsFunction: oneArgument(fromPlatform(clusterNames)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.name = args[0]
			if cmd.Flags().Changed("kubeconfig") {
				return errors.New("--kubeconfig is refused by `baleen clusters trust` in this release: give the kubeconfig of the workload cluster, " +
					"which it meant before, with --cluster-kubeconfig, and that of the platform cluster, which it means from the next release on, with --platform-kubeconfig")
			}
			if f.kubeconfig == "" && (cmd.Flags().Changed("controller-name") || cmd.Flags().Changed("controller-namespace")) {
				return errors.New("--controller-name and --controller-namespace say where --cluster-kubeconfig finds the controller: give that too")
			}
			if err := f.output.check(); err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "cluster-kubeconfig", "", "kubeconfig `file` of the workload cluster, to fetch the certificate from its controller")
	flags.StringVar(&f.certificate, "cert", "", "PEM `file` with the certificate, or several")
	flags.BoolVar(&f.sharedKey, "shared-key", false, "take a certificate that another cluster has too")
	flags.StringVar(&f.controllerName, "controller-name", "sealed-secrets-controller", "Service of the Sealed Secrets controller")
	flags.StringVar(&f.controllerNamespace, "controller-namespace", "kube-system", "namespace of that Service")
	f.platform.add(flags, "platform-kubeconfig")
	flags.StringVar(&f.refused, "kubeconfig", "", "")
	hide(flags, "kubeconfig")
	f.output.add(flags)
	return cmd
}

// trusted is what `baleen clusters trust` has done.
type trusted struct {
	cluster
	// Changed says what was changed, in words.
	Changed []string `json:"changed"`
	// Expired is the number of certificates that were left out.
	Expired int `json:"expired,omitempty"`
}

func (f trustFlags) run(ctx context.Context, w io.Writer) error {
	if len(validation.IsDNS1123Subdomain(f.name)) > 0 || len(f.name) > validation.LabelValueMaxLength {
		return fmt.Errorf("%q cannot be registered: a Destination's name must be lower case letters, digits, dashes and dots, and at most %d of them",
			f.name, validation.LabelValueMaxLength)
	}
	found, err := f.certificates(ctx)
	if err != nil {
		return err
	}
	valid := slices.DeleteFunc(slices.Clone(found), expired)
	if len(found) > 0 && len(valid) == 0 {
		return fmt.Errorf("the certificate of %s expired on %s: give the one that its controller uses now", f.name, day(last(found)))
	}
	client, err := f.platform.open()
	if err != nil {
		return err
	}
	object, err := f.destination(ctx, client)
	if err != nil {
		return err
	}
	if err := f.foreign(ctx, client, valid); err != nil {
		return err
	}
	result := trusted{Changed: []string{}, Expired: len(found) - len(valid)}
	// First the certificates: who finds the label finds them too.
	added, bundles, err := addCertificates(ctx, client, f.name, valid)
	if err != nil {
		return err
	}
	if added > 0 {
		result.Changed = append(result.Changed, fmt.Sprintf("%s added to %s/%s", field.Count(added, "certificate"), config.Namespace, seal.BundlesName))
	}
	if object.GetLabels()[destination.Label] != f.name {
		patch := map[string]any{"metadata": map[string]any{"labels": map[string]any{destination.Label: f.name}}}
		if object, err = client.Patch(ctx, platform.Destination, "", f.name, patch); err != nil {
			return fmt.Errorf("the Destination %s cannot be labelled: %w", f.name, err)
		}
		result.Changed = append(result.Changed, fmt.Sprintf("label %s=%s put on the Destination", destination.Label, f.name))
	}
	result.cluster = describe(object, bundles[f.name])
	return f.output.print(w, result, func() error { return result.table(w, f.output.wide()) }, objectName(platform.Destination, f.name))
}

func (t trusted) table(w io.Writer, wide bool) error {
	changes := t.Changed
	if len(changes) == 0 {
		changes = []string{"nothing"}
	}
	var summary [][]term.Cell
	for _, change := range changes {
		summary = append(summary, []term.Cell{{Text: "Changed", Style: term.Bold}, {Text: change}})
	}
	if t.Expired > 0 {
		summary = append(summary, []term.Cell{{Text: "Left out", Style: term.Bold}, {Text: field.Count(t.Expired, "certificate") + " expired", Style: term.Yellow}})
	}
	if err := clusterTable(w, wide, t.cluster); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return term.Table(w, term.Colors(w), summary...)
}

// foreign refuses a certificate that is another cluster's: what is sealed with it
// is for that one to read, and for this one not.
func (f trustFlags) foreign(ctx context.Context, client platform.Client, certificates []*x509.Certificate) error {
	if f.sharedKey || len(certificates) == 0 {
		return nil
	}
	bundles, _, err := readBundles(ctx, client)
	if err != nil {
		return err
	}
	own, _ := seal.Parse([]byte(bundles[f.name])) // one that cannot be read is nobody's
	for _, name := range slices.Sorted(maps.Keys(bundles)) {
		theirs, _ := seal.Parse([]byte(bundles[name]))
		for _, c := range certificates {
			if name != f.name && !slices.ContainsFunc(own, c.Equal) && slices.ContainsFunc(theirs, c.Equal) {
				return fmt.Errorf("that is the certificate of %s: give that of %s, or --shared-key if both controllers have the same key on purpose", name, f.name)
			}
		}
	}
	return nil
}

// certificates returns those that are asked for, from a file or from the
// workload cluster.
func (f trustFlags) certificates(ctx context.Context) ([]*x509.Certificate, error) {
	var from string
	var data []byte
	var err error
	switch {
	case f.certificate != "" && f.kubeconfig != "":
		return nil, errors.New("--cert and --cluster-kubeconfig both name a certificate: give one of them")
	case f.certificate != "":
		if data, err = os.ReadFile(f.certificate); err != nil {
			return nil, fmt.Errorf("the certificate cannot be read: %w", err)
		}
		from = f.certificate
	case f.kubeconfig != "":
		if data, err = f.fetch(ctx); err != nil {
			return nil, err
		}
		from = "the answer of the controller of " + f.name
	default:
		return nil, nil
	}
	certificates, err := seal.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", from, err)
	}
	return certificates, nil
}

// fetch asks the controller for its certificate, as kubeseal does: through the
// API server, without reading a Secret.
func (f trustFlags) fetch(ctx context.Context) ([]byte, error) {
	access, err := loadKubeconfig(f.kubeconfig, "")
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig of %s cannot be used: %w", f.name, err)
	}
	access = dynamic.ConfigFor(access)
	access.UserAgent, access.Timeout = "baleen", 15*time.Second
	access.APIPath, access.GroupVersion = "/api", &schema.GroupVersion{Version: "v1"}
	access.AcceptContentTypes = "application/x-pem-file, */*"
	client, err := rest.RESTClientFor(access)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig of %s cannot be used: %w", f.name, err)
	}
	failed := func(err error) error {
		return fmt.Errorf("the controller of %s, the Service %s/%s, gives no certificate: %w; if it is elsewhere say so with --controller-namespace and --controller-name, or give its certificate with --cert",
			f.name, f.controllerNamespace, f.controllerName, err)
	}
	get := func() *rest.Request {
		return client.Get().Namespace(f.controllerNamespace).Resource("services").MaxRetries(0)
	}
	data, err := get().Name(f.controllerName).Do(ctx).Raw()
	if err != nil {
		return nil, failed(err)
	}
	var service struct {
		Spec struct{ Ports []struct{ Name string } }
	}
	if err := json.Unmarshal(data, &service); err != nil || len(service.Spec.Ports) == 0 {
		return nil, failed(errors.New("it has no port"))
	}
	// The roles that come with Sealed Secrets allow this form of the name.
	name := "http:" + f.controllerName + ":" + service.Spec.Ports[0].Name
	answer, err := get().Name(name).SubResource("proxy").Suffix("v1/cert.pem").Stream(ctx)
	if err != nil {
		return nil, failed(err)
	}
	defer answer.Close()
	if data, err = io.ReadAll(io.LimitReader(answer, 1<<20)); err != nil {
		return nil, failed(err)
	}
	return data, nil
}

// destination returns the Destination to register.
func (f trustFlags) destination(ctx context.Context, client platform.Client) (*unstructured.Unstructured, error) {
	object, err := client.Get(ctx, platform.Destination, "", f.name)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("the platform has no Destination %s: make it first, or see `baleen clusters list` for those there are", f.name)
	}
	if err != nil {
		return nil, fmt.Errorf("the Destination %s cannot be read: %w", f.name, err)
	}
	if object.GetDeletionTimestamp() != nil {
		return nil, fmt.Errorf("the Destination %s is being deleted: wait, and make it anew", f.name)
	}
	same, err := client.List(ctx, platform.Destination, "", map[string]string{destination.Label: f.name})
	if err != nil {
		return nil, fmt.Errorf("the Destinations cannot be read: %w", err)
	}
	for _, other := range same {
		if other.GetName() != f.name {
			return nil, fmt.Errorf("the Destination %s has the label %s=%s, so that it could get what is for %s: first run `baleen clusters trust %s`",
				other.GetName(), destination.Label, f.name, f.name, other.GetName())
		}
	}
	return object, nil
}

// readBundles returns the PEM bundles by Destination, and the ConfigMap they are
// in or nil.
func readBundles(ctx context.Context, client platform.Client) (map[string]string, *unstructured.Unstructured, error) {
	object, err := client.Get(ctx, platform.ConfigMap, config.Namespace, seal.BundlesName)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	var bundles map[string]string
	if err == nil {
		bundles, _, err = unstructured.NestedStringMap(object.Object, "data")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the ConfigMap %s/%s cannot be read: %w", config.Namespace, seal.BundlesName, err)
	}
	return bundles, object, nil
}

// errChanging is a conflict with somebody else who writes the bundles.
var errChanging = fmt.Errorf("the ConfigMap %s/%s keeps changing: try again", config.Namespace, seal.BundlesName)

// addCertificates adds to the bundle of a Destination what is not in it yet. It
// returns how many certificates that were, and all bundles as they are now.
func addCertificates(ctx context.Context, client platform.Client, name string, more []*x509.Certificate) (added int, bundles map[string]string, err error) {
	err = platform.OnConflict(ctx, func(err error) bool { return errors.Is(err, errChanging) }, func() (err error) {
		added, bundles, err = addOnce(ctx, client, name, more)
		return err
	})
	return added, bundles, err
}

func addOnce(ctx context.Context, client platform.Client, name string, more []*x509.Certificate) (int, map[string]string, error) {
	bundles, stored, err := readBundles(ctx, client)
	if err != nil || len(more) == 0 {
		return 0, bundles, err
	}
	bundle, added, err := extend(bundles[name], more)
	if err != nil {
		return 0, nil, fmt.Errorf("the key %s of the ConfigMap %s/%s cannot be used: %w; correct it or remove it", name, config.Namespace, seal.BundlesName, err)
	}
	if added == 0 {
		return 0, bundles, nil
	}
	if bundles == nil {
		bundles = map[string]string{}
	}
	bundles[name] = bundle
	err = writeBundles(ctx, client, bundles, stored)
	switch gone := apierrors.IsNotFound(err); {
	case err == nil:
		return added, bundles, nil
	case gone && stored == nil:
		return 0, nil, fmt.Errorf("the platform has no namespace %s: apply a Promise of Baleen first, which makes it", config.Namespace)
	case gone, apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return 0, nil, errChanging
	}
	return 0, nil, fmt.Errorf("the ConfigMap %s/%s cannot be written: %w", config.Namespace, seal.BundlesName, err)
}

// writeBundles puts bundles into the ConfigMap as it was read, or into a new one.
func writeBundles(ctx context.Context, client platform.Client, bundles map[string]string, stored *unstructured.Unstructured) error {
	write, object := client.Update, stored
	if stored == nil {
		write, object = client.Create, &unstructured.Unstructured{Object: map[string]any{}}
		object.SetNamespace(config.Namespace)
		object.SetName(seal.BundlesName)
	}
	if err := unstructured.SetNestedStringMap(object.Object, bundles, "data"); err != nil {
		return err
	}
	_, err := write(ctx, platform.ConfigMap, object)
	return err
}

// extend returns a PEM bundle with those certificates at its end that it lacks.
func extend(bundle string, more []*x509.Certificate) (string, int, error) {
	var have []*x509.Certificate
	if bundle = strings.TrimSpace(bundle); bundle != "" {
		var err error
		if have, err = seal.Parse([]byte(bundle)); err != nil {
			return "", 0, err
		}
		bundle += "\n"
	}
	added := 0
	for _, c := range more {
		if !slices.ContainsFunc(have, c.Equal) {
			have = append(have, c)
			bundle += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
			added++
		}
	}
	return bundle, added, nil
}

func expired(c *x509.Certificate) bool { return time.Now().After(c.NotAfter) }

// last returns when the last of some certificates expires.
func last(certificates []*x509.Certificate) time.Time {
	return slices.MaxFunc(certificates, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// cluster is what is known of a workload cluster.
type cluster struct {
	Name       string            `json:"name"`
	Registered bool              `json:"registered"`
	Labels     map[string]string `json:"labels"`
	// Certificate is one of valid, expired, unreadable and none.
	Certificate string `json:"certificate"`
	// Until is when the certificate expires; empty if there is none.
	Until string `json:"until,omitempty"`
	// Problem is what is wrong and what to do, or empty.
	Problem string `json:"problem,omitempty"`
}

// describe returns what a Destination and its bundle of certificates tell.
func describe(object *unstructured.Unstructured, bundle string) cluster {
	c := cluster{Name: object.GetName(), Labels: map[string]string{}}
	maps.Copy(c.Labels, object.GetLabels())
	label := c.Labels[destination.Label]
	delete(c.Labels, destination.Label)
	c.Registered = label == c.Name
	var problems []string
	switch {
	case object.GetDeletionTimestamp() != nil:
		problems = append(problems, "is being deleted")
	case label != "" && !c.Registered:
		problems = append(problems, fmt.Sprintf("could get what is for %s, whose label it has: run `baleen clusters trust %s`", label, c.Name))
	case !c.Registered:
		problems = append(problems, fmt.Sprintf("gets nothing new: run `baleen clusters trust %s`", c.Name))
	}
	if strings.TrimSpace(bundle) == "" { // enough for a cluster that gets no credentials
		c.Certificate = "none"
	} else if certificates, err := seal.Parse([]byte(bundle)); err != nil {
		c.Certificate = "unreadable"
		problems = append(problems, fmt.Sprintf("has a certificate in %s/%s that cannot be used: %v", config.Namespace, seal.BundlesName, err))
	} else {
		until := last(certificates)
		c.Certificate, c.Until = "valid", until.UTC().Format(time.RFC3339)
		if time.Now().After(until) {
			c.Certificate = "expired"
			problems = append(problems, "has a certificate that expired on "+day(until)+": trust it with --cluster-kubeconfig or --cert")
		}
	}
	c.Problem = strings.Join(problems, "; ")
	return c
}

func listClustersCommand() *cobra.Command {
	var f platformFlags
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the workload clusters, those with a problem first",
		Example: `  baleen clusters list
  baleen clusters list --output wide --context platform`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.check(); err != nil {
				return err
			}
			client, err := f.open()
			if err != nil {
				return err
			}
			clusters, err := listClusters(cmd.Context(), client)
			if err != nil {
				return err
			}
			var names []string
			for _, c := range clusters {
				names = append(names, objectName(platform.Destination, c.Name))
			}
			w := cmd.OutOrStdout()
			return output.print(w, clusters, func() error {
				if len(clusters) == 0 {
					_, err := fmt.Fprintln(w, "The platform has no Destinations.")
					return err
				}
				return clusterTable(w, output.wide(), clusters...)
			}, names...)
		},
	}
	f.add(cmd.Flags(), "kubeconfig")
	f.addOld(cmd.Flags(), "platform-kubeconfig")
	output.add(cmd.Flags())
	return cmd
}

func listClusters(ctx context.Context, client platform.Client) ([]cluster, error) {
	objects, err := client.List(ctx, platform.Destination, "", nil)
	if err != nil {
		return nil, fmt.Errorf("the Destinations cannot be read: %w", err)
	}
	bundles, _, err := readBundles(ctx, client)
	if err != nil {
		return nil, err
	}
	clusters := []cluster{}
	for _, object := range objects {
		if kratix.IsForDryRuns(&object) {
			continue // which is no cluster
		}
		clusters = append(clusters, describe(&object, bundles[object.GetName()]))
		delete(bundles, object.GetName())
	}
	for name, bundle := range bundles {
		missing := &unstructured.Unstructured{Object: map[string]any{}}
		missing.SetName(name)
		c := describe(missing, bundle)
		c.Problem = fmt.Sprintf("has a certificate but no Destination: make that, or remove the key from %s/%s", config.Namespace, seal.BundlesName)
		clusters = append(clusters, c)
	}
	slices.SortFunc(clusters, func(a, b cluster) int {
		if (a.Problem == "") != (b.Problem == "") {
			return strings.Compare(b.Problem, a.Problem)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return clusters, nil
}

// clusterTable writes clusters as a table; a wide one has the time at which the
// certificate expires, and is never cut.
func clusterTable(w io.Writer, wide bool, clusters ...cluster) error {
	header := titles("NAME", "REGISTERED", "LABELS", "CERTIFICATE")
	header[2].Fit = term.Cut
	if wide {
		header = append(header, titles("EXPIRES")...)
	}
	header = append(header, term.Cell{Text: "PROBLEM", Style: term.Bold, Fit: term.Flow})
	rows := [][]term.Cell{header}
	for _, c := range clusters {
		registered := term.Cell{Text: "yes", Style: term.Green}
		if !c.Registered {
			registered = term.Cell{Text: "no", Style: term.Red}
		}
		var labels []string
		for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
			labels = append(labels, key+"="+c.Labels[key])
		}
		certificate := term.Cell{Text: c.Certificate, Style: term.Yellow}
		if c.Certificate == "valid" {
			certificate = term.Cell{Text: "until " + c.Until[:len(time.DateOnly)]}
		}
		row := []term.Cell{{Text: c.Name}, registered, {Text: cmp.Or(strings.Join(labels, ","), "none")}, certificate}
		if wide {
			row = append(row, term.Cell{Text: cmp.Or(c.Until, "-")})
		}
		rows = append(rows, append(row, term.Cell{Text: c.Problem, Style: term.Yellow}))
	}
	return writeTable(w, wide, rows)
}

// titles are the head of a table.
func titles(names ...string) []term.Cell {
	var cells []term.Cell
	for _, name := range names {
		cells = append(cells, term.Cell{Text: name, Style: term.Bold})
	}
	return cells
}

// writeTable writes a table; a wide one is never cut.
func writeTable(w io.Writer, wide bool, rows [][]term.Cell) error {
	width := term.Width(w)
	if wide {
		width = 0
	}
	return term.TableWithin(w, width, term.Colors(w), rows...)
}
