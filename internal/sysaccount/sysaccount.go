// Package sysaccount speaks to a NATS system in operator mode: to its system account,
// which looks up and updates accounts, and as a user, to see that it can connect.
package sysaccount

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	_ "golang.org/x/crypto/x509roots/fallback" // an image has no certificates of authorities

	"github.com/baleen-platform/baleen/internal/provider"
)

// Dial connects to servers, with their addresses in one text, with commas between.
type Dial func(servers string, options ...nats.Option) (*nats.Conn, error)

// dial is how a connection is made if nobody says otherwise.
var dial Dial = nats.Connect

// Servers are where a system is reached.
type Servers struct {
	URLs []string
	// CA is a PEM bundle, empty for the public authorities.
	CA string
	// Dial connects to them, nil for the network of this process.
	Dial Dial
}

// How long one step may take.
const (
	connectTimeout = 5 * time.Second
	answerTimeout  = 5 * time.Second
	// grace is how long further servers may take to answer after one that knows
	// nothing.
	grace = 500 * time.Millisecond
)

// connect opens a connection as the user of a .creds file, which stays in memory.
func (s Servers) connect(creds []byte) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("baleen"), nats.Timeout(connectTimeout), nats.NoReconnect(), nats.UserCredentialBytes(creds),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // else it prints
	}
	asked := false
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return &tls.Certificate{}, nil
	}}
	if s.CA != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(s.CA))
	}
	options = append(options, func(o *nats.Options) error {
		o.TLSConfig = config
		return nil
	})
	connect := dial
	if s.Dial != nil {
		connect = s.Dial
	}
	conn, err := connect(strings.Join(s.URLs, ","), options...)
	if errors.Is(err, io.EOF) { // as servers do that wait for TLS before they say anything
		conn, err = connect(strings.Join(s.URLs, ","), append(options, nats.TLSHandshakeFirst())...)
	}
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return nil, &provider.RefusedError{Err: err}
	case errors.Is(err, nats.ErrMaxAccountConnectionsExceeded):
		return nil, &provider.FullError{Err: err}
	case asked:
		return nil, fmt.Errorf("the servers %s ask for a client certificate, and Baleen has none: name addresses at which they do not: %w", strings.Join(s.URLs, ", "), err)
	}
	return nil, fmt.Errorf("none of the servers %s can be reached: see to their addresses, and that Pods may connect there: %w", strings.Join(s.URLs, ", "), err)
}

// Try connects as a user and leaves. A [provider.RefusedError] is the servers' own answer.
func (s Servers) Try(creds []byte) error {
	conn, err := s.connect(creds)
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

// System is a connection to the system account.
type System struct{ conn *nats.Conn }

// Open connects with the credentials of a user of the system account.
func (s Servers) Open(creds []byte) (provider.System, error) {
	conn, err := s.connect(creds)
	if err != nil {
		return nil, err
	}
	return &System{conn}, nil
}

// Close ends the connection.
func (s *System) Close() { s.conn.Close() }

// Vars returns what all servers say of themselves. Trusted are the public keys whose
// signature on an account all of them take: the operators' identity keys, unless they
// insist on signing keys, and those signing keys. Servers can differ while they are
// restarted one by one.
func (s *System) Vars(ctx context.Context) (provider.ServerVars, error) {
	var vars provider.ServerVars // by all that have answered
	answers, err := s.ask(ctx, "$SYS.REQ.SERVER.PING.VARZ", nil, func([]byte) bool { return false })
	if err != nil {
		return vars, fmt.Errorf("the servers do not tell whom they trust (are the credentials those of a user of the system account?): %w", err)
	}
	for i, data := range answers {
		var answer struct {
			Data struct {
				Now            time.Time
				Operators      []*jwt.OperatorClaims `json:"trusted_operators_claim"`
				MaxControlLine int64                 `json:"max_control_line"`
			}
		}
		if err := json.Unmarshal(data, &answer); err != nil {
			return provider.ServerVars{}, fmt.Errorf("the servers do not tell whom they trust: their answer cannot be read")
		}
		var keys []string
		for _, o := range answer.Data.Operators {
			if !o.StrictSigningKeyUsage {
				keys = append(keys, o.Subject)
			}
			keys = append(keys, o.SigningKeys...)
		}
		if vars.Now = answer.Data.Now; i == 0 {
			vars.TrustedKeys = keys
		}
		vars.TrustedKeys = slices.DeleteFunc(vars.TrustedKeys, func(key string) bool { return !slices.Contains(keys, key) })
		if line := answer.Data.MaxControlLine; line > 0 && (vars.MaxControlLine == 0 || line < vars.MaxControlLine) {
			vars.MaxControlLine = line
		}
	}
	return vars, nil
}

// MaxPayload is the largest message that the servers take, in bytes.
func (s *System) MaxPayload() int64 { return s.conn.MaxPayload() }

// Lookup returns an account as the servers have it, nil if they say that they
// have none.
func (s *System) Lookup(ctx context.Context, account string) (*provider.AccountJWT, error) {
	answers, err := s.ask(ctx, fmt.Sprintf("$SYS.REQ.ACCOUNT.%s.CLAIMS.LOOKUP", account), nil, func(data []byte) bool { return len(data) > 0 })
	if err != nil {
		return nil, fmt.Errorf("the account %s cannot be looked up: %w", account, err)
	}
	last := answers[len(answers)-1]
	if len(last) == 0 {
		return nil, nil
	}
	claims, err := jwt.DecodeAccountClaims(string(last))
	if err != nil {
		return nil, fmt.Errorf("the account %s that the servers have cannot be read: %w", account, err)
	}
	return &provider.AccountJWT{AccountClaims: claims, Token: string(last)}, nil
}

// Update gives the servers a new version of an account. It does not tell whether
// all of them have it: look it up again.
func (s *System) Update(ctx context.Context, account, token string) error {
	answers, err := s.ask(ctx, "$SYS.REQ.CLAIMS.UPDATE", []byte(token), func([]byte) bool { return true })
	if err != nil {
		return fmt.Errorf("the account %s cannot be updated: %w", account, err)
	}
	var answer struct {
		Data  struct{ Code int }
		Error struct{ Description string }
	}
	if err := json.Unmarshal(answers[0], &answer); err != nil || answer.Data.Code != 200 {
		return fmt.Errorf("the account %s cannot be updated: the servers say %q", account, answer.Error.Description)
	}
	return nil
}

// ask sends a request to all servers and collects their answers until one is
// enough. It returns at least one.
func (s *System) ask(ctx context.Context, subject string, data []byte, enough func([]byte) bool) ([][]byte, error) {
	inbox := s.conn.NewRespInbox()
	sub, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.conn.PublishRequest(subject, inbox, data); err != nil {
		return nil, err
	}
	var answers [][]byte
	for wait := answerTimeout; ; wait = grace {
		limited, cancel := context.WithTimeout(ctx, wait)
		msg, err := sub.NextMsgWithContext(limited)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil && len(answers) > 0:
			return answers, nil
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return nil, errors.New("nobody answered in time; do the servers have a full resolver, and is this a user of the system account?")
		case errors.Is(err, nats.ErrNoResponders):
			return nil, errors.New("nobody answers; do the servers have a full resolver, and is this a user of the system account?")
		case err != nil:
			return nil, err
		}
		answers = append(answers, msg.Data)
		if enough(msg.Data) {
			return answers, nil
		}
	}
}
