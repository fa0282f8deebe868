package natsuser

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// The annotations of a SealedSecret: which generation of whom it holds, for
// people, and its whole record of the ledger but for the ciphertext, from which a
// ledger that is lost is made again.
const (
	generationAnnotation = "baleen.dev/generation"
	userAnnotation       = "baleen.dev/nats-user"
	recordAnnotation     = "baleen.dev/credential"
)

// patchAnnotation has the Sealed Secrets controller leave alone what is in the
// Secret already. With an empty SealedSecret that keeps the last credential.
const patchAnnotation = "sealedsecrets.bitnami.com/patch"

// scopeAnnotations have the controller open what is sealed for more than one name.
var scopeAnnotations = []string{"sealedsecrets.bitnami.com/cluster-wide", "sealedsecrets.bitnami.com/namespace-wide"}

// emit renders for each cluster what the ledger has for it. The same ledger gives
// the same bytes.
func emit(run *workflow.Run, in inputs, l *ledger.Ledger, clusters []*cluster) (destination.Output, error) {
	output := destination.Output{}
	for _, c := range clusters {
		name := c.want.Destination
		current := l.Current(name)
		if current == nil || !c.holds(current.Basis.Delivery) {
			continue
		}
		documents, err := documents(run, in, *current)
		if err != nil {
			return nil, err
		}
		if len(documents) == 0 { // by an overlay
			c.problem = problem{reason.NothingRendered, fmt.Sprintf("the overlays of the platform team leave nothing to deliver to %s: correct the ConfigMap %s-overlays", name, promise)}
		}
		output[name] = map[string][]byte{}
		for _, d := range documents {
			output[name][d.File()] = d.YAML
		}
	}
	return output, nil
}

// documents are what is emitted of a record.
func documents(run *workflow.Run, in inputs, record ledger.Record) ([]render.Document, error) {
	values, err := values(run, in, record)
	if err != nil {
		return nil, err
	}
	documents, err := in.templates.Render(values)
	if err != nil {
		return nil, workflow.Fail(reason.RenderFailed, err)
	}
	for _, d := range documents {
		if err := openable(d, record); err != nil {
			return nil, workflow.Fail(reason.RenderFailed, fmt.Errorf("%w: correct the ConfigMap %s-overlays", err, promise))
		}
	}
	return documents, nil
}

// openable tells why the Sealed Secrets controller could not open a document with the
// ciphertext of a record, nil if it can: the name, the namespace and the scope are part of
// what it is sealed with, and overlays may change them.
func openable(d render.Document, record ledger.Record) error {
	var object struct {
		Metadata struct{ Annotations map[string]string }
		Spec     struct{ EncryptedData map[string]string }
	}
	if d.Kind != "SealedSecret" {
		return nil
	}
	if err := yaml.Unmarshal(d.YAML, &object); err != nil {
		return fmt.Errorf("the overlays of the platform team make a SealedSecret %s/%s that cannot be read: %w", d.Namespace, d.Name, err)
	}
	sealed := slices.Collect(maps.Values(record.Ciphertext))
	if !slices.ContainsFunc(slices.Collect(maps.Values(object.Spec.EncryptedData)), func(text string) bool { return slices.Contains(sealed, text) }) {
		return nil // it is another's
	}
	if to := record.Basis.Delivery; d.Namespace != to.Namespace || d.Name != to.Name {
		return fmt.Errorf("the overlays of the platform team make the SealedSecret %s/%s of %s/%s, for which it is sealed: nobody could open it", d.Namespace, d.Name, to.Namespace, to.Name)
	}
	for _, scope := range scopeAnnotations {
		if object.Metadata.Annotations[scope] == "true" {
			return fmt.Errorf("the overlays of the platform team give the SealedSecret %s/%s the annotation %s, and it is sealed for its name alone: nobody could open it", d.Namespace, d.Name, scope)
		}
	}
	return nil
}

// values are what the templates get; the keys are those of their schema.
func values(run *workflow.Run, in inputs, record ledger.Record) (map[string]any, error) {
	d := record.Basis.Delivery
	labels := run.Identity.Labels()
	secretLabels, onSecret := in.user.Spec.Secret.Metadata()
	if v1alpha1.Retain(d.Retain) == v1alpha1.Nothing { // from the first on: together with the empty one it would wipe the data
		onSecret[patchAnnotation] = "true"
	}
	maps.Copy(secretLabels, labels)
	ciphertext := record.Ciphertext
	if ciphertext == nil {
		ciphertext = map[string]string{}
	}
	annotations := run.Identity.Annotations()
	recorded, err := inAnnotation(record)
	if err != nil {
		return nil, err
	}
	annotations[generationAnnotation], annotations[userAnnotation], annotations[recordAnnotation] = strconv.FormatInt(record.Generation, 10), record.User, recorded
	return map[string]any{
		"destination":   record.Destination,
		"secret":        map[string]any{"name": d.Name, "namespace": d.Namespace, "labels": secretLabels, "annotations": onSecret},
		"encryptedData": ciphertext,
		"labels":        labels,
		"annotations":   annotations,
	}, nil
}

// inAnnotation is a record as the annotation has it: what does not change while it is
// delivered.
func inAnnotation(record ledger.Record) (string, error) {
	record.Ciphertext, record.State, record.Version = nil, "", ""
	record.Renews, record.Written, record.Revoked, record.Lost, record.Drifted = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	data, err := json.Marshal(record)
	return string(data), err
}
