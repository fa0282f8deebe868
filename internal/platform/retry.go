package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
)

// IsTransient reports whether err may be gone when the same is asked again: the
// API server was away, too busy, or lost its own way. A context that was
// cancelled is not transient.
func IsTransient(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || IsTooLarge(err) {
		return false
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		switch status.Status().Code {
		case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNABORTED, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, lost) {
			return true
		}
	}
	var lookup *net.DNSError
	var stream http2.StreamError
	return errors.As(err, &lookup) && lookup.IsTemporary || errors.As(err, &stream) || utilnet.IsTimeout(err) || utilnet.IsProbableEOF(err) ||
		utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err)
}

// IsTooLarge reports whether an object cannot be written because of its size. An
// API server reports its store's limit as an internal error.
func IsTooLarge(err error) bool {
	return apierrors.IsRequestEntityTooLargeError(err) || err != nil && strings.Contains(err.Error(), "etcdserver: request is too large")
}

// RetryPolicy bounds how often and how long [WithRetry] tries.
type RetryPolicy struct {
	// Backoff has the delays before each further try, and in Steps how many tries there
	// are. Its Cap bounds every delay, also one that the server asks for.
	wait.Backoff
	// Sleep waits, or returns early with an error if ctx ends. Nil: real time.
	Sleep func(ctx context.Context, d time.Duration) error
}

// DefaultRetry gives an API server about 15 seconds to come back. Those who wait for it
// do not come all at once.
var DefaultRetry = RetryPolicy{Backoff: wait.Backoff{Steps: 6, Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.2, Cap: 8 * time.Second}}

// WithRetry returns a client that tries again what failed for a transient reason.
// A failure can hide that the request took effect. Therefore a Create that finds
// the very object it was to make has succeeded, and so has a Delete that finds
// none. An Update, or a Patch with a resourceVersion, may find the conflict with
// its own effect: that is left to the caller, who reads and decides again as
// after any conflict.
func WithRetry(client Client, policy RetryPolicy) Client {
	if policy.Sleep == nil {
		policy.Sleep = sleep
	}
	return &retrying{client, policy}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

type retrying struct {
	client Client
	policy RetryPolicy
}

func (r *retrying) Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error) {
	return retry(ctx, r.policy, func(bool) (*unstructured.Unstructured, error) { return r.client.Get(ctx, kind, namespace, name) })
}

func (r *retrying) List(ctx context.Context, kind Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	return retry(ctx, r.policy, func(bool) ([]unstructured.Unstructured, error) { return r.client.List(ctx, kind, namespace, labels) })
}

func (r *retrying) Create(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return retry(ctx, r.policy, func(unclear bool) (*unstructured.Unstructured, error) {
		created, err := r.client.Create(ctx, kind, object)
		if !unclear || !apierrors.IsAlreadyExists(err) {
			return created, err
		}
		wanted, wrong := prepare(ctx, kind, object)
		if wrong != nil {
			return nil, err
		}
		stored, failed := r.client.Get(ctx, kind, wanted.GetNamespace(), wanted.GetName())
		if IsTransient(failed) {
			return nil, failed
		}
		if failed != nil || !isCreated(stored, wanted) {
			return nil, err
		}
		return stored, nil
	})
}

func (r *retrying) Update(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return retry(ctx, r.policy, func(bool) (*unstructured.Unstructured, error) { return r.client.Update(ctx, kind, object) })
}

func (r *retrying) UpdateStatus(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return retry(ctx, r.policy, func(bool) (*unstructured.Unstructured, error) { return r.client.UpdateStatus(ctx, kind, object) })
}

func (r *retrying) Patch(ctx context.Context, kind Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	return retry(ctx, r.policy, func(bool) (*unstructured.Unstructured, error) {
		return r.client.Patch(ctx, kind, namespace, name, patch)
	})
}

func (r *retrying) Delete(ctx context.Context, kind Kind, namespace, name string, preconditions Preconditions) error {
	_, err := retry(ctx, r.policy, func(unclear bool) (struct{}, error) {
		err := r.client.Delete(ctx, kind, namespace, name, preconditions)
		if unclear && apierrors.IsNotFound(err) {
			err = nil
		}
		return struct{}{}, err
	})
	return err
}

// retry calls try until it succeeds, fails for good, or the policy is used up.
// It tells try whether an earlier attempt may have had its effect unseen.
func retry[T any](ctx context.Context, policy RetryPolicy, try func(unclear bool) (T, error)) (T, error) {
	unclear, backoff := false, policy.Backoff
	for count := 1; ; count++ {
		result, err := try(unclear)
		if !IsTransient(err) || ctx.Err() != nil {
			return result, err
		}
		unclear = unclear || !apierrors.IsTooManyRequests(err) && !utilnet.IsConnectionRefused(err)
		delay := backoff.Step()
		if seconds, asked := apierrors.SuggestsClientDelay(err); asked {
			delay = max(delay, time.Duration(seconds)*time.Second)
		}
		if count >= policy.Steps || policy.Sleep(ctx, min(delay, policy.Cap)) != nil {
			return result, fmt.Errorf("the platform cluster failed in all of %d tries; see to its API server: %w", count, err)
		}
	}
}

// isCreated reports whether stored is what creating wanted makes of it: the same,
// but for what a server sets or defaults.
func isCreated(stored, wanted *unstructured.Unstructured) bool {
	if stored.GetDeletionTimestamp() != nil {
		return false
	}
	for key, value := range wanted.Object {
		if key != "metadata" && key != "status" && !contains(stored.Object[key], value) {
			return false
		}
	}
	has, _ := stored.Object["metadata"].(map[string]any)
	wants, _ := wanted.Object["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations", "finalizers", "ownerReferences"} {
		if wants[field] != nil && !contains(has[field], wants[field]) {
			return false
		}
	}
	return true
}

// contains reports whether stored holds all that wanted says.
func contains(stored, wanted any) bool {
	switch wanted := wanted.(type) {
	case map[string]any:
		has, ok := stored.(map[string]any)
		for key, value := range wanted {
			ok = ok && contains(has[key], value)
		}
		return ok
	case []any:
		has, ok := stored.([]any)
		ok = ok && len(has) == len(wanted)
		for i, value := range wanted {
			ok = ok && contains(has[i], value)
		}
		return ok
	}
	return reflect.DeepEqual(stored, wanted)
}
