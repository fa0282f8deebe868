package natsuser

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/known"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// gather reads all that a run depends on, but for the ledger and the claims, which
// others change meanwhile.
func (p pipeline) gather(ctx context.Context, run *workflow.Run) (inputs, error) {
	in := inputs{seen: map[string]any{termsKey: ""}}
	var err error
	if in.user, err = v1alpha1.Read(run.Request); err != nil {
		return in, workflow.Fail(reason.InvalidSpec, err)
	}
	if in.namespace, err = run.Config.WorkloadNamespace(in.user.Namespace, in.user.Spec.WorkloadNamespace); err != nil {
		return in, workflow.Fail(reason.NamespaceNotMapped, err)
	}
	if in.account, in.listed, err = p.readAccount(ctx, run, in.user.Spec.AccountRef.Name); err != nil {
		return in, err
	}
	if err := verified(ctx, run, in.account); err != nil {
		return in, err
	}
	in.seen[termsKey] = in.account.Terms()
	if err := in.account.Admit(in.user); err != nil {
		return in, workflow.Fail(reason.NotAdmitted, err)
	}
	if in.metadata, err = admitMetadata(run, in.user, in.namespace); err != nil {
		return in, workflow.Fail(reason.NotAdmitted, err)
	}
	all, err := destination.List(ctx, run.Platform, in.user.Spec.Placement.Labels())
	if err != nil {
		return in, fmt.Errorf("the Destinations cannot be listed: %w", err)
	}
	allows := func(labels map[string]string) bool { return account.Allows(in.account.NatsAccount, labels) }
	if in.placement, in.refused = all.Restrict(allows); len(in.user.Spec.Placement.MatchLabels) == 0 {
		in.refused = nil // nobody asked for those
	}
	kept, _ := run.Kept(in.placement)
	in.kept = slices.Collect(maps.Keys(kept))
	if in.bundles, err = config.Data(ctx, run.Platform, seal.BundlesName); err != nil {
		return in, err
	}
	in.templates, err = run.Templates(ctx, promises.Templates(promise))
	return in, err
}

// metadata is what a request gives its Secret, and the platform team does not admit.
type metadata struct {
	// tolerated is delivered all the same, by an older version or from before it was refused.
	tolerated []string
	// elsewhere says why it is not admitted where it is delivered under another name, as it
	// was asked for before: there it stays.
	elsewhere error
}

// admitMetadata tells which labels and annotations the platform team does not admit of the
// Secret, unless a Secret of the request has them already.
func admitMetadata(run *workflow.Run, u *v1alpha1.NatsUser, namespace string) (m metadata, err error) {
	labels, annotations := u.Spec.Secret.Metadata()
	has := deliveredMetadata(run.Last)
	for _, kind := range []struct {
		field  string
		values map[string]string
		of     func(secretMetadata) map[string]string
	}{
		{"spec.secret.labels", labels, func(s secretMetadata) map[string]string { return s.Labels }},
		{"spec.secret.annotations", annotations, func(s secretMetadata) map[string]string { return s.Annotations }},
	} {
		for _, key := range slices.Sorted(maps.Keys(kind.values)) {
			if run.Config.AdmitsSecretMetadata(key) {
				continue
			}
			refused := fmt.Errorf("%s: the platform team does not admit %s, which others may act on: leave it out, or have it added to secretMetadata in the ConfigMap %s/baleen-config", kind.field, field.Quote(key), config.Namespace)
			here, lacks, there := false, false, false
			for _, s := range has {
				value, ok := kind.of(s)[key]
				ok = ok && value == kind.values[key]
				named := s.namespace == namespace && s.name == u.Spec.Secret.Name
				here, lacks, there = here || named && ok, lacks || named && !ok, there || ok
			}
			switch {
			case lacks:
				return m, refused
			case here:
				m.tolerated = append(m.tolerated, key)
			case there:
				m.elsewhere = cmp.Or(m.elsewhere, refused)
			default:
				return m, refused
			}
		}
	}
	return m, nil
}

// secretMetadata are the labels and annotations of a Secret.
type secretMetadata struct {
	namespace, name     string
	Labels, Annotations map[string]string
}

// deliveredMetadata are those of the Secrets that were emitted last.
func deliveredMetadata(last destination.Output) []secretMetadata {
	var all []secretMetadata
	for _, files := range last {
		for _, data := range files {
			var object struct {
				Kind     string
				Metadata struct{ Namespace, Name string }
				Spec     struct {
					Template struct{ Metadata secretMetadata }
				}
			}
			if yaml.Unmarshal(data, &object) == nil && object.Kind == "SealedSecret" {
				s := object.Spec.Template.Metadata
				s.namespace, s.name = object.Metadata.Namespace, object.Metadata.Name
				all = append(all, s)
			}
		}
	}
	return all
}

// readAccount opens the account, and reports whether it lists the request.
func (p pipeline) readAccount(ctx context.Context, run *workflow.Run, name string) (opened *account.Account, listed bool, err error) {
	object, spec, err := account.Get(ctx, run.Platform, name)
	if object != nil && workflow.PeerOf(object, "").IsLeftOut(run.Now) {
		if err := notifyAccounts(ctx, run, name); err != nil {
			return nil, false, err
		}
	}
	if err == nil {
		err = account.TooShort(spec, run.Config.ReconcileInterval)
	}
	if err == nil {
		opener := account.Opener{Client: run.Platform, Issuer: known.Issuer, How: provider.Setting{Network: provider.Network{Transport: p.transport}, Now: run.Now}}
		opened, err = opener.Open(ctx, object, spec)
	}
	var gone *account.NotFoundError
	switch {
	case errors.As(err, &gone):
		return nil, false, workflow.Fail(reason.AccountNotFound, err)
	case platform.IsTransient(err):
		return nil, false, err
	case err != nil:
		return nil, false, workflow.Fail(reason.AccountInvalid, err)
	}
	return opened, isListed(object, run.Identity), nil
}

// verified makes sure that what the account signs would connect.
func verified(ctx context.Context, run *workflow.Run, a *account.Account) error {
	switch {
	case a.Refuted != "":
		return workflow.Fail(reason.AccountRefuted, fmt.Errorf("NatsAccount %s was found not to work: %s", a.Name, a.Refuted))
	case a.Unseen:
		// The key may be one of another account: what it signs would not connect.
		if err := notifyAccounts(ctx, run, a.Name); err != nil {
			return err
		}
		return workflow.Fail(reason.AccountUnverified, fmt.Errorf("NatsAccount %s has not been verified as it is now: it was asked to run, and to tell this request; if this stays, see its status", a.Name))
	}
	return nil
}

// load reads the ledger and makes it whole: with what is delivered and not in it,
// and for the incarnation of the request that this run is for.
func load(ctx context.Context, run *workflow.Run) (*ledger.Ledger, error) {
	l, err := ledgerStore(run).Get(ctx, run.Identity)
	if err != nil {
		return nil, err
	}
	if err := checkClock(run.Now, l.ServerTime(), false); err != nil {
		return nil, err
	}
	if l.Tombstone != nil {
		if err := stays(ctx, run); err != nil {
			return nil, err
		}
		for i := range l.Records { // what belongs to the former one
			if r := &l.Records[i]; r.State == ledger.Active || r.State == ledger.Intended {
				r.State = ledger.Retiring
			}
		}
		l.Tombstone = nil
	}
	l.UID, l.MissingSince = string(run.Request.GetUID()), time.Time{}
	credential.Import(l, delivered(run.Last), run.Now)
	return l, nil
}

// stays makes sure that the request of a ledger with a tombstone is a new one, and not
// the one that is being deleted. It is read again, because the deletion may have begun
// after this run did.
func stays(ctx context.Context, run *workflow.Run) error {
	stored, err := run.Platform.Get(ctx, platform.NatsUser, run.Identity.Namespace, run.Identity.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("NatsUser %s cannot be read: %w", run.Identity, err)
	}
	switch {
	case run.DryRun:
	case err != nil, stored.GetUID() != run.Request.GetUID():
		return workflow.Gone(fmt.Errorf("NatsUser %s is being deleted: nothing is issued for it any more", run.Identity))
	case stored.GetDeletionTimestamp() != nil:
		return workflow.Deleted(fmt.Errorf("NatsUser %s is being deleted: nothing is issued for it any more", run.Identity))
	}
	return nil
}

// tolerance is by how much the clocks of nodes and of the API server may differ.
const tolerance = 10 * time.Minute

// checkClock compares the time of this run with that of the API server, which
// tells when the ledger was written last: earlier than that it cannot be, and not
// much later than a write of this run's. With a wrong clock credentials would be
// issued that have expired already, or live for years.
func checkClock(now, server time.Time, fresh bool) error {
	if server.IsZero() || !now.Before(server.Add(-tolerance)) && (!fresh || !now.After(server.Add(tolerance))) {
		return nil
	}
	return workflow.Fail(reason.ClockOff, fmt.Errorf("the clock says %s, and the API server's said %s: set the clock of the node that runs the pipeline",
		stamp(now), stamp(server)))
}

// delivered are the records of what was emitted last. What is not a SealedSecret of
// this pipeline's says nothing.
func delivered(last destination.Output) []ledger.Record {
	var records []ledger.Record
	for _, name := range last.Destinations() {
		for _, file := range slices.Sorted(maps.Keys(last[name])) {
			var object struct {
				Kind     string
				Metadata struct{ Annotations map[string]string }
				Spec     struct{ EncryptedData map[string]string }
			}
			var record ledger.Record
			if yaml.Unmarshal(last[name][file], &object) != nil || object.Kind != "SealedSecret" ||
				json.Unmarshal([]byte(object.Metadata.Annotations[recordAnnotation]), &record) != nil || record.Destination != name || record.User == "" {
				continue
			}
			if len(object.Spec.EncryptedData) > 0 {
				record.Ciphertext = object.Spec.EncryptedData
			}
			records = append(records, record)
		}
	}
	return records
}

// observe writes down which generations have arrived in the state store: those that
// the last output has, on a cluster whose WorkPlacement was written since.
func observe(ctx context.Context, run *workflow.Run, l *ledger.Ledger) error {
	pending := map[string]*ledger.Record{}
	for _, record := range delivered(run.Last) {
		if r := l.Record(record.Destination, record.Generation); r != nil && r.User == record.User && credential.Awaited(l, r) {
			pending[record.Destination] = r
		}
	}
	if len(pending) == 0 {
		return nil
	}
	placements, err := placements(ctx, run)
	if err != nil {
		return err
	}
	for name, r := range pending {
		if slices.ContainsFunc(placements[name], func(p placement) bool { return p.has(*r) }) {
			r.Written = run.Now.UTC().Truncate(time.Second)
		}
	}
	return nil
}

// placement is what Kratix says of the documents of one cluster.
type placement struct {
	written bool
	version string // of the state store: a commit
}

// has reports whether a generation has arrived there. WriteSucceeded alone may be
// about what was there before it, so the state store must have another version.
func (p placement) has(r ledger.Record) bool {
	return p.written && (p.version == "" || p.version != r.Version)
}

// placements are those of the request's Works, by Destination.
func placements(ctx context.Context, run *workflow.Run) (map[string][]placement, error) {
	found := map[string][]placement{}
	for _, work := range run.Works {
		objects, err := run.Platform.List(ctx, platform.WorkPlacement, run.Identity.Namespace, map[string]string{kratix.LabelWork: work})
		if err != nil {
			return nil, fmt.Errorf("the WorkPlacements of NatsUser %s cannot be listed: %w", run.Identity, err)
		}
		for _, o := range objects {
			name, _, _ := unstructured.NestedString(o.Object, "spec", "targetDestinationName")
			found[name] = append(found[name], placementOf(o))
		}
	}
	return found, nil
}

func placementOf(o unstructured.Unstructured) placement {
	var p placement
	p.version, _, _ = unstructured.NestedString(o.Object, "status", "versionID")
	p.written = meta.IsStatusConditionTrue(platform.Conditions(&o), "WriteSucceeded")
	return p
}

// versionOf returns the version of the state store that a cluster has now.
func versionOf(placements []placement) string {
	if len(placements) == 0 {
		return ""
	}
	return placements[len(placements)-1].version
}
