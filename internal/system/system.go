// Package system is what a System offers to workloads, and whether one is admitted.
package system

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/fingerprint"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/image"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/system/v1alpha1"
	workload "github.com/baleen-platform/baleen/promises/workload/v1alpha1"
)

// TermsKey is the key of a Workload's status by which its System knows whom a change
// concerns.
const TermsKey = "systemTerms"

// Terms are what a System offers to the workloads of one namespace.
type Terms struct {
	// Admitted: the namespace may run workloads in the system.
	Admitted bool
	// Destinations are the clusters on which they run.
	Destinations []string
	// Images are patterns of the repositories that they may run; none: any.
	Images []string
	// MaxReplicas is the most that they may ask for; 0: no bound.
	MaxReplicas int32
}

// TermsFor returns what a System, placed on the given Destinations, offers to the
// workloads of a namespace.
func TermsFor(s *v1alpha1.System, namespace string, destinations []string) Terms {
	return Terms{
		Admitted:     field.MatchNamespace(s.Spec.AllowedNamespaces, namespace),
		Destinations: destinations,
		Images:       s.Spec.Policy.Images,
		MaxReplicas:  s.Spec.Policy.MaxReplicas,
	}
}

// termsForm is what the digest of terms is made of, frozen when it was first stored.
var termsForm = fingerprint.Form{"": "Admitted Destinations Images MaxReplicas"}

// Digest returns a short text that differs whenever the terms do. It is stored with each
// workload, and another one has all workloads run.
func (t Terms) Digest() string { return termsForm.Digest(t) }

// Admit says why a System does not admit a workload, nil if it does.
func (t Terms) Admit(s *v1alpha1.System, w *workload.Workload) error {
	var p field.Problems
	if !t.Admitted {
		return fmt.Errorf("System %s/%s does not admit workloads of the namespace %s: ask its owner to add the namespace to spec.allowedNamespaces", s.Namespace, s.Name, w.Namespace)
	}
	repository, _ := image.Repository(w.Spec.Container.Image) // a valid spec has a valid image
	if len(t.Images) > 0 && !image.Covered(t.Images, repository) {
		p.Addf("spec.container.image: the repository %s is not covered by spec.policy.images (%s)", field.Quote(repository), field.Few(t.Images))
	}
	if _, most := w.Spec.Replicas(); t.MaxReplicas > 0 && most > t.MaxReplicas {
		p.Addf("spec.maxReplicas: %d is more than spec.policy.maxReplicas, which is %d: set it to that or less", most, t.MaxReplicas)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("System %s/%s does not admit the request: %w", s.Namespace, s.Name, err)
	}
	return nil
}

// Counts reports whether Systems of a namespace count.
func Counts(c config.Config, namespace string) bool {
	return slices.Contains(c.SystemNamespaces, namespace)
}

// RefOf names the System that a workload refers to.
func RefOf(w *workload.Workload) identity.Request {
	return identity.Request{Kind: platform.System.Kind, Namespace: w.Spec.SystemNamespace(), Name: w.Spec.SystemRef.Name}
}

// Get reads the System that a workload refers to. One that counts for nobody is not looked
// for, so that nobody learns whether it is there.
func Get(ctx context.Context, client platform.Client, c config.Config, ref identity.Request) (*v1alpha1.System, error) {
	if !Counts(c, ref.Namespace) {
		return nil, workflow.Fail(reason.SystemNotTrusted, fmt.Errorf("a System in the namespace %s counts for nobody: refer to one in %s with spec.systemRef, or have the platform team add the namespace to systemNamespaces in the ConfigMap %s/baleen-config",
			ref.Namespace, strings.Join(c.SystemNamespaces, ", "), config.Namespace))
	}
	object, err := client.Get(ctx, platform.System, ref.Namespace, ref.Name)
	switch {
	case apierrors.IsNotFound(err), err == nil && kratix.IsDryRun(object): // one that is only tried offers nothing
		return nil, workflow.Fail(reason.SystemNotFound, fmt.Errorf("there is no System %s: correct spec.systemRef, or ask the platform team for the System", ref))
	case err != nil:
		return nil, fmt.Errorf("System %s cannot be read: %w", ref, err)
	case object.GetDeletionTimestamp() != nil:
		return nil, workflow.Fail(reason.SystemNotFound, fmt.Errorf("System %s is being deleted: move the workload to another one", ref))
	}
	s, err := v1alpha1.Read(object)
	if err != nil {
		return nil, workflow.Fail(reason.SystemInvalid, err)
	}
	return s, nil
}
