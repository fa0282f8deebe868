package workflow

import (
	"context"
	"fmt"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Ask has Kratix run the pipeline of another request soon. One that is gone need
// not be asked. One that cannot be labelled, because its owner has made it so
// large or changes it all the time, must not hold up this run: it is asked again
// by a sweep.
func (r *Run) Ask(ctx context.Context, kind platform.Kind, namespace, name string) error {
	patch := map[string]any{"metadata": map[string]any{"labels": map[string]any{kratix.LabelManualReconciliation: "true"}}}
	_, err := r.Platform.Patch(ctx, kind, namespace, name, patch)
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return nil
	case platform.IsTooLarge(err), apierrors.IsConflict(err), apierrors.IsInvalid(err):
		r.Log.Warn("a request cannot be asked to reconcile", "kind", kind.Kind, "request", namespace+"/"+name, "error", err)
		return nil
	}
	return fmt.Errorf("%s %s/%s cannot be asked to reconcile: %w", kind.Kind, namespace, name, err)
}

// How long a run waits for another request's, and how often it looks.
const (
	patience = time.Minute
	interval = 5 * time.Second
)

// Wait waits, for a bounded time, until done. On a platform folder it looks once:
// there nothing happens while a run waits.
func (r *Run) Wait(ctx context.Context, done func(context.Context) (bool, error)) error {
	looks := int(patience / interval)
	if r.DryRun || os.Getenv("BALEEN_PLATFORM_DIR") != "" {
		looks = 0
	}
	for range looks {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
	}
	return nil
}
