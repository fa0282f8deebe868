package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/internal/workflow"
	accounts "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// rotateFlags are what `baleen rotate` is asked.
type rotateFlags struct {
	platform    platformFlags
	output      outputFlag
	namespace   string
	destination string
}

func rotateCommand() *cobra.Command {
	var f rotateFlags
	cmd := &cobra.Command{
		Use:   "rotate NAMESPACE/NAME | NAME --namespace NAMESPACE",
		Short: "Ask for new credentials of a NatsUser",
		Long: `Rotate sets the annotation ` + v1alpha1.RotateAnnotation + ` of a NatsUser, or ` + v1alpha1.RotateAnnotationPrefix + `DESTINATION,
to the current time, and has Kratix run its pipeline. That run issues a new generation
on each cluster that is meant. What becomes of the former one is up to the request's
spec.credentials.overlap and spec.credentials.revokePrevious.`,
		Example: `  baleen rotate team-a/orders
  baleen rotate orders --namespace team-a --cluster eu-1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one NatsUser: baleen rotate NAMESPACE/NAME")
			}
			return nil
		},
		ValidArgsFunction: oneArgument(fromPlatform(userNames)),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := f.request(args[0])
			if err != nil {
				return err
			}
			for _, flag := range []string{"cluster", "destination"} {
				if cmd.Flags().Changed(flag) && f.destination == "" {
					return fmt.Errorf("--%s is empty: name a Destination, or leave it out for all clusters", flag)
				}
			}
			if err := f.output.check(); err != nil {
				return err
			}
			client, err := f.platform.open()
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), client, request, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of the NatsUser, where NAME is without one")
	flags.StringVar(&f.destination, "cluster", "", "the one `cluster` to rotate on, by the name of its Destination (default: all)")
	flags.StringVar(&f.destination, "destination", "", "the same as --cluster")
	f.platform.add(flags, "kubeconfig")
	f.output.add(flags)
	return cmd
}

// request returns the NatsUser that is named: as NAMESPACE/NAME, or as NAME or as
// kubectl writes names, with the namespace of the flag.
func (f rotateFlags) request(argument string) (identity.Request, error) {
	namespace, name, found := strings.Cut(argument, "/")
	kind := strings.ToLower(platform.NatsUser.Kind) + "." + platform.NatsUser.Group
	if !found || namespace == kind { // which no namespace is called, as it has a dot
		namespace, name = f.namespace, argument[strings.LastIndex(argument, "/")+1:]
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return identity.Request{}, fmt.Errorf("%q does not name a NatsUser: write NAMESPACE/NAME, such as team-a/orders, or give the namespace with --namespace", argument)
	}
	if f.namespace != "" && f.namespace != namespace {
		return identity.Request{}, fmt.Errorf("%q is in the namespace %s and --namespace says %s: give one of them", argument, namespace, f.namespace)
	}
	return identity.Request{Kind: platform.NatsUser.Kind, Namespace: namespace, Name: name}, nil
}

// rotation is what was asked.
type rotation struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Destinations have a credential that is followed by a new one.
	Destinations []string `json:"destinations"`
	Annotation   string   `json:"annotation"`
	Value        string   `json:"value"`
	// Message says what happens next.
	Message string `json:"message"`
}

func (f rotateFlags) run(ctx context.Context, client platform.Client, request identity.Request, w io.Writer) error {
	user, err := readUser(ctx, client, request)
	if err != nil {
		return err
	}
	_, of, err := account.Get(ctx, client, user.Spec.AccountRef.Name)
	if err != nil {
		return fmt.Errorf("nothing can be issued for NatsUser %s: %w", request, err)
	}
	r := rotation{Namespace: request.Namespace, Name: request.Name, Annotation: v1alpha1.RotateAnnotation, Value: time.Now().UTC().Format(time.RFC3339Nano)}
	if r.Destinations, err = f.destinations(ctx, client, request, user, of); err != nil {
		return err
	}
	on := "each of its clusters"
	if f.destination != "" {
		on, r.Annotation = f.destination, v1alpha1.RotateAnnotationPrefix+f.destination
	}
	patch := map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{r.Annotation: r.Value},
		"labels":      map[string]any{kratix.LabelManualReconciliation: "true"},
	}}
	patched, err := client.Patch(ctx, platform.NatsUser, request.Namespace, request.Name, patch)
	if err != nil {
		return fmt.Errorf("NatsUser %s cannot be asked to rotate: %w", request, err)
	}
	r.Message = fmt.Sprintf("NatsUser %s was asked for a new credential on %s: its next run issues it, and the former one %s.", request, on, fate(user, of))
	if peer := workflow.PeerOf(patched, ""); peer.Reason != "" && !peer.Ready {
		r.Message += fmt.Sprintf(" It is not ready now (%s): what keeps it from that may keep it from this too.", peer.Reason)
	}
	return f.output.print(w, r, func() error {
		_, err := fmt.Fprintln(w, term.Clean(r.Message))
		return err
	}, objectName(platform.NatsUser, r.Name))
}

// readUser returns a NatsUser for which something can be issued.
func readUser(ctx context.Context, client platform.Client, request identity.Request) (*v1alpha1.NatsUser, error) {
	object, err := client.Get(ctx, platform.NatsUser, request.Namespace, request.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no NatsUser %s: see `baleen credentials` for those there are", request)
	case err != nil:
		return nil, fmt.Errorf("NatsUser %s cannot be read: %w", request, err)
	case object.GetDeletionTimestamp() != nil:
		return nil, fmt.Errorf("NatsUser %s is being deleted, which takes its credentials away: there is nothing to rotate", request)
	}
	return v1alpha1.Read(object)
}

// destinations returns those on which the next run rotates: that have a credential,
// and on which the request is placed. One that is asked for must be among them.
func (f rotateFlags) destinations(ctx context.Context, client platform.Client, request identity.Request, user *v1alpha1.NatsUser, of *accounts.NatsAccount) ([]string, error) {
	l, err := ledger.Store{Client: client}.Get(ctx, request)
	if err != nil {
		return nil, err
	}
	placement, err := destination.List(ctx, client, user.Spec.Placement.Labels())
	if err != nil {
		return nil, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	placement, _ = placement.Restrict(func(labels map[string]string) bool { return account.Allows(of, labels) })
	has := func(name string) bool { return l.Current(name) != nil }
	names := slices.DeleteFunc(slices.Clone(placement.Placed), func(name string) bool { return !has(name) })
	switch {
	case f.destination == "":
		return append([]string{}, names...), nil
	case slices.Contains(names, f.destination):
		return []string{f.destination}, nil
	case has(f.destination):
		return nil, fmt.Errorf("NatsUser %s has a credential on %s and is not placed there any more, so it gets no new one there: see `baleen clusters list` for the labels of the Destination", request, f.destination)
	}
	return nil, fmt.Errorf("NatsUser %s has no credential on %s to rotate: it has one on %s", request, f.destination, cmp.Or(strings.Join(names, ", "), "no cluster"))
}

// stateOf says what becomes of the former credential.
func fate(user *v1alpha1.NatsUser, of *accounts.NatsAccount) string {
	switch c := user.Spec.Credentials; {
	case !of.Spec.Revocable():
		return fmt.Sprintf("lives until it expires, because NatsAccount %s has no operator key to revoke it with", of.Name)
	case c.RevokePrevious == v1alpha1.Immediately:
		return "is revoked at once"
	default:
		return fmt.Sprintf("is revoked %s after the new one was delivered", c.Overlap)
	}
}
