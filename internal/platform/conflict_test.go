package platform_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baleen-platform/baleen/internal/platform"
)

// What meets a conflict is done again, after a while, ten times at the most, and not
// when the run has ended.
func TestOnConflict(t *testing.T) {
	conflict, other := errors.New("conflict"), errors.New("other")
	is := func(err error) bool { return errors.Is(err, conflict) }
	for _, test := range []struct {
		name     string
		errs     []error
		tries    int
		says     error
		canceled bool
	}{
		{"it works", []error{nil}, 1, nil, false},
		{"it works in the end", []error{conflict, conflict, nil}, 3, nil, false},
		{"it fails", []error{conflict, other}, 2, other, false},
		{"it never works", []error{conflict}, 10, conflict, false},
		{"a context has ended within it", []error{conflict, fmt.Errorf("it cannot be read: %w", context.Canceled)}, 2, context.Canceled, false},
		{"its time is over", []error{context.DeadlineExceeded}, 1, context.DeadlineExceeded, false},
		{"its run has ended", []error{conflict}, 1, conflict, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.canceled {
					cancel()
				}
				begun, n := time.Now(), 0
				err := platform.OnConflict(ctx, is, func() error {
					n++
					return test.errs[min(n, len(test.errs))-1]
				})
				if n != test.tries || !errors.Is(err, test.says) {
					t.Errorf("after %d tries it says %v, want %d and %v", n, err, test.tries, test.says)
				}
				if waited := time.Since(begun); (waited > 0) != (n > 1) || waited > 2*time.Second {
					t.Errorf("it waits for %s", waited)
				}
			})
		})
	}
}
