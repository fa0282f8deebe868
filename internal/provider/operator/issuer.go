package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
)

// Issuer signs users.
type Issuer struct {
	signer provider.Signer
	// SigningKey is the public key.
	SigningKey string
}

var _ provider.Issuer = (*Issuer)(nil)

// New returns an issuer for an account, whose JWTs have at most so many bytes.
// The seed must be one of an account's signing keys. An error says what it is
// instead and never shows it.
func New(accountID string, seed []byte, maxBytes int64) (*Issuer, error) {
	key, public, err := parseSeed(seed, nkeys.PrefixByteAccount)
	if err != nil {
		return nil, err
	}
	if public == accountID {
		return nil, errors.New("it is the identity key of the account, which belongs offline: add a signing key to the account and use that")
	}
	return &Issuer{provider.Signer{AccountID: accountID, Key: key, MaxBytes: maxBytes}, public}, nil
}

// parseSeed reads a seed that must be of one kind. An error says of what kind it
// is and never shows it.
func parseSeed(seed []byte, want nkeys.PrefixByte) (nkeys.KeyPair, string, error) {
	kinds := map[nkeys.PrefixByte]string{
		nkeys.PrefixByteAccount: "an account (SA…)", nkeys.PrefixByteOperator: "an operator (SO…)", nkeys.PrefixByteUser: "a user (SU…)",
		nkeys.PrefixByteServer: "a server (SN…)", nkeys.PrefixByteCluster: "a cluster (SC…)", nkeys.PrefixByteCurve: "an encryption key (SX…)",
	}
	trimmed := []byte(strings.TrimSpace(string(seed)))
	prefix, _, err := nkeys.DecodeSeed(trimmed)
	if err != nil {
		return nil, "", fmt.Errorf("it is not a seed: put in the seed of %s as nsc writes it", kinds[want])
	}
	if prefix != want {
		return nil, "", fmt.Errorf("it is the seed of %s: put in that of %s", kinds[prefix], kinds[want])
	}
	pair, err := nkeys.FromSeed(trimmed)
	if err != nil {
		return nil, "", errors.New("it is not a seed")
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, "", errors.New("it is not a seed")
	}
	return pair, public, nil
}

// Propose implements [provider.Issuer].
func (i *Issuer) Propose(name string) (provider.Identity, error) {
	return provider.NewIdentity(name)
}

// AtOnce implements [provider.Issuer]: signing costs nothing outside, so all are.
func (i *Issuer) AtOnce() int { return 1 << 20 }

// Sample implements [provider.Issuer]: a user that expired long ago.
func (i *Issuer) Sample(name string, grant provider.Grant) (provider.Credential, error) {
	return i.signer.Sample(name, grant)
}

// Issue implements [provider.Issuer].
func (i *Issuer) Issue(_ context.Context, identity provider.Identity, grant provider.Grant, expires time.Time) (provider.Credential, error) {
	return i.signer.Sign(identity, grant, expires)
}
