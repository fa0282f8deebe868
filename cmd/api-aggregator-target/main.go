// Command api-aggregator-target is the stage that the Promise api-aggregator-target runs for each
// request. It takes no arguments: Kratix tells it by environment and files.
package main

import (
	"os"

	apiaggregatortarget "github.com/baleen-platform/baleen/pipelines/api-aggregator-target"
)

func main() { os.Exit(apiaggregatortarget.Main()) }
