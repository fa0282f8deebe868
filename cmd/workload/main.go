// Command workload is the stage that the Promise workload runs for each request. It takes no
// arguments: Kratix tells it by environment and files.
package main

import (
	"os"
	"runtime/debug"

	"github.com/baleen-platform/baleen/pipelines/workload"
)

func main() {
	// A run is short: up to a bound, memory costs it less than collecting does.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(32 << 20)
	os.Exit(workload.Main())
}
