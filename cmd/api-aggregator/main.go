// Command api-aggregator is the stage that the Promise api-aggregator runs for each
// request. It takes no arguments: Kratix tells it by environment and files.
package main

import (
	"os"

	apiaggregator "github.com/baleen-platform/baleen/pipelines/api-aggregator"
)

func main() { os.Exit(apiaggregator.Main()) }
