package natslocal

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
)

// saved is what a system has besides its accounts: keys, which are good for a test
// alone.
type saved struct {
	Operator          string // its JWT
	OperatorKey       string
	SystemAccount     string
	SystemCredentials string
	AccountID         string
	SigningKey        string
}

const savedFile = "system.json"

// Save writes the system's keys beside its accounts, so that [Open] finds it there
// again. The server must not run.
func (s *System) Save() error {
	data, err := json.MarshalIndent(saved{s.token, string(s.OperatorKey), s.systemID, string(s.SystemCredentials), s.AccountID, string(s.SigningKey)}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(s.Dir), savedFile), append(data, '\n'), 0o600)
}

// Open returns a system as it was saved in a folder. Nothing runs yet.
func Open(dir string) (*System, error) {
	data, err := os.ReadFile(filepath.Join(dir, savedFile))
	if err != nil {
		return nil, err
	}
	var was saved
	if err := json.Unmarshal(data, &was); err != nil {
		return nil, err
	}
	operator, err := jwt.DecodeOperatorClaims(was.Operator)
	if err != nil {
		return nil, err
	}
	s := &System{
		Dir: filepath.Join(dir, "accounts"), OperatorKey: []byte(was.OperatorKey), SystemCredentials: []byte(was.SystemCredentials),
		AccountID: was.AccountID, SigningKey: []byte(was.SigningKey), operator: operator, token: was.Operator, systemID: was.SystemAccount,
	}
	systems.Store(s.URL(), s)
	return s, nil
}
