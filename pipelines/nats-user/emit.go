package natsuser

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// The annotations of a SealedSecret: which generation of whom it holds, for
// people, and its whole row of the ledger but for the ciphertext, from which a
// ledger that is lost is made again.
const (
	generationAnnotation = "baleen.dev/generation"
	userAnnotation       = "baleen.dev/nats-user"
	rowAnnotation        = "baleen.dev/credential"
)

// patchAnnotation has the Sealed Secrets controller leave alone what is in the
// Secret already. With an empty SealedSecret that keeps the last credential.
const patchAnnotation = "sealedsecrets.bitnami.com/patch"

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

// documents are what is emitted of a row.
func documents(run *workflow.Run, in inputs, row ledger.Record) ([]render.Document, error) {
	values, err := values(run, in, row)
	if err != nil {
		return nil, err
	}
	documents, err := in.templates.Render(values)
	if err != nil {
		return nil, workflow.Fail(reason.RenderFailed, err)
	}
	return documents, nil
}

// values are what the templates get; the keys are those of their schema.
func values(run *workflow.Run, in inputs, row ledger.Record) (map[string]any, error) {
	d := row.Basis.Delivery
	labels := run.Identity.Labels()
	secretLabels, onSecret := in.user.Spec.Secret.Metadata()
	if v1alpha1.Retain(d.Retain) == v1alpha1.Nothing { // from the first on: together with the empty one it would wipe the data
		onSecret[patchAnnotation] = "true"
	}
	maps.Copy(secretLabels, labels)
	ciphertext := row.Ciphertext
	if ciphertext == nil {
		ciphertext = map[string]string{}
	}
	annotations := run.Identity.Annotations()
	recorded, err := record(row)
	if err != nil {
		return nil, err
	}
	annotations[generationAnnotation], annotations[userAnnotation], annotations[rowAnnotation] = strconv.FormatInt(row.Generation, 10), row.User, recorded
	return map[string]any{
		"destination":   row.Destination,
		"secret":        map[string]any{"name": d.Name, "namespace": d.Namespace, "labels": secretLabels, "annotations": onSecret},
		"encryptedData": ciphertext,
		"labels":        labels,
		"annotations":   annotations,
	}, nil
}

// record is a row as the annotation has it: what does not change while it is
// delivered.
func record(row ledger.Record) (string, error) {
	row.Ciphertext, row.State, row.Version = nil, "", ""
	row.Renews, row.Written, row.Revoked, row.Lost, row.Drifted = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	data, err := json.Marshal(row)
	return string(data), err
}
