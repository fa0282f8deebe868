// Command nats-user is the stage that the Promise nats-user runs for each
// request. It takes no arguments: Kratix tells it by environment and files.
package main

import (
	"os"

	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
)

func main() { os.Exit(natsuser.Main()) }
