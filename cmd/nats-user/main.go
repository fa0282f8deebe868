// Command nats-user is the stage that the Promise nats-user runs for each
// request. It takes no arguments: Kratix tells it by environment and files.
package main

import (
	"os"
	"runtime/debug"

	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
)

func main() {
	// A run is short: up to a bound, memory costs it less than collecting does.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(32 << 20)
	os.Exit(natsuser.Main())
}
