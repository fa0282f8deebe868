// Package natstest starts NATS servers for tests.
package natstest

import (
	"testing"

	"github.com/baleen-platform/baleen/internal/natslocal"
)

// Start returns a NATS system that listens on loopback until the test ends.
func Start(t testing.TB) *natslocal.System {
	t.Helper()
	system, err := natslocal.New(t.TempDir())
	if err == nil {
		err = system.Start(true)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(system.Stop)
	return system
}
