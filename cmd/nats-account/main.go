// Command nats-account is the stage that the Promise nats-account runs for each
// request. It takes no arguments: Kratix tells it by environment and files.
package main

import (
	"os"

	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
)

func main() { os.Exit(natsaccount.Main()) }
