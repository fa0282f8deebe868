package platform

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/baleen-platform/baleen/internal/natslocal"
)

// NATS is what a platform team knows of its NATS system.
type NATS struct {
	URL               string
	OperatorKey       []byte // the seed of the operator's signing key
	SystemCredentials []byte
	AccountID         string
	SigningKey        []byte // the seed of the account's signing key
}

// startNATS runs nats-server in operator mode with a full resolver and JetStream.
func (p *Platform) startNATS() error {
	dir := filepath.Join(p.Dir, "nats")
	system, err := natslocal.New(dir)
	if err != nil {
		return err
	}
	config := system.Config(natsAddress, 4222, filepath.Join(dir, "jetstream"))
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	known, err := json.Marshal(NATS{
		URL: "nats://" + natsAddress + ":4222", OperatorKey: system.OperatorKey, SystemCredentials: system.SystemCredentials,
		AccountID: system.AccountID, SigningKey: system.SigningKey,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "nats.json"), known, 0o600); err != nil {
		return err
	}
	return p.supervisor.start(process{name: "nats-server", path: p.programs["nats-server"], args: []string{"-c", file}})
}
