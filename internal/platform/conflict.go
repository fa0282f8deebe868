package platform

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	clientretry "k8s.io/client-go/util/retry"
)

// conflicts are how often something is decided anew because somebody else has changed
// what it was decided on, and how long to give way before: each to his own time, so that
// two do not meet again.
var conflicts = wait.Backoff{Steps: 10, Duration: 5 * time.Millisecond, Factor: 1.5, Jitter: 1}

// OnConflict reads, decides and writes again as long as that fails with a conflict; each
// time somebody else has got something done. After ten times it returns the conflict.
func OnConflict(ctx context.Context, conflict func(error) bool, do func() error) error {
	return again(ctx, conflicts, conflict, do)
}

// crowds are [OnConflict]'s for what a hundred may write at the same time.
var crowds = wait.Backoff{Steps: 18, Duration: 5 * time.Millisecond, Factor: 1.5, Jitter: 1}

// OnCrowd is [OnConflict] for what many write at the same time: it gives way for longer, in
// all for up to half a minute.
func OnCrowd(ctx context.Context, conflict func(error) bool, do func() error) error {
	return again(ctx, crowds, conflict, do)
}

func again(ctx context.Context, backoff wait.Backoff, conflict func(error) bool, do func() error) error {
	var last error // which the library takes for its own giving up if a context has ended
	_ = clientretry.OnError(backoff, func(err error) bool { return ctx.Err() == nil && conflict(err) }, func() error {
		last = do()
		return last
	})
	return last
}
