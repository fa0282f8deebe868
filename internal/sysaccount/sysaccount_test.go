package sysaccount

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/natslocal/natstest"
	"github.com/baleen-platform/baleen/internal/provider"
)

// servers are those of this process by their addresses.
var servers sync.Map

func TestMain(m *testing.M) {
	network := dial
	dial = func(urls string, options ...nats.Option) (*nats.Conn, error) {
		if s, ok := servers.Load(urls); ok {
			return nats.Connect("", append(options, nats.InProcessServer(s.(*server.Server)))...)
		}
		return network(urls, options...)
	}
	os.Exit(m.Run())
}

// played is a system whose servers are played: each subject is answered by all of
// these.
func played(t *testing.T, subject string, answers ...string) provider.System {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	servers.Store(t.Name(), s)
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	for _, answer := range answers {
		if _, err := conn.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(answer)) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	keys, err := natslocal.New(t.TempDir()) // whose credentials are good here: nobody looks
	if err != nil {
		t.Fatal(err)
	}
	system, err := Servers{URLs: []string{t.Name()}}.Open(keys.SystemCredentials)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(system.Close)
	return system
}

// wantError fails the test unless the error has these words, or is nil for none.
func wantError(t *testing.T, err error, words string) {
	t.Helper()
	if (err != nil) != (words != "") || err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("it says %v, want %q", err, words)
	}
}

// operator is the claim of an operator in an answer of a server.
func operator(key string, strict bool, signing ...string) *jwt.OperatorClaims {
	c := jwt.NewOperatorClaims(key)
	c.StrictSigningKeyUsage, c.SigningKeys = strict, signing
	return c
}

// A key is trusted if all servers trust it: an operator's identity key, unless that
// insists on signing keys, and those. The time is that of the last to answer, and the line
// the shortest.
func TestVars(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	answer := func(operators ...*jwt.OperatorClaims) string {
		data, err := json.Marshal(map[string]any{"data": map[string]any{"now": at, "trusted_operators_claim": operators}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, test := range []struct {
		name    string
		answers []string
		want    []string
		line    int64
		says    string
	}{
		{"an operator", []string{answer(operator("O1", false))}, []string{"O1"}, 0, ""},
		{"with signing keys", []string{answer(operator("O1", false, "S1", "S2"))}, []string{"O1", "S1", "S2"}, 0, ""},
		{"one that insists on them", []string{answer(operator("O1", true, "S1"))}, []string{"S1"}, 0, ""},
		{"two operators", []string{answer(operator("O1", false), operator("O2", true, "S2"))}, []string{"O1", "S2"}, 0, ""},
		{"servers that differ", []string{answer(operator("O1", false, "S1")), answer(operator("O1", true, "S1", "S2"))}, []string{"S1"}, 0, ""},
		{"three of them", []string{answer(operator("O1", false, "S1")), answer(operator("O1", false, "S1")), answer(operator("O1", true))}, nil, 0, ""},
		{"none has an operator", []string{answer()}, nil, 0, ""},
		{"the shortest line", []string{`{"data": {"now": "2026-01-01T00:00:00Z", "max_control_line": 8192}}`, `{"data": {"now": "2026-01-01T00:00:00Z", "max_control_line": 4096}}`, `{"data": {"now": "2026-01-01T00:00:00Z"}}`}, nil, 4096, ""},
		{"what cannot be read", []string{"{"}, nil, 0, "the servers do not tell whom they trust: their answer cannot be read"},
		{"nobody answers", nil, nil, 0, "the servers do not tell whom they trust (are the credentials those of a user of the system account?): nobody answers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // each waits for more servers for a while
			vars, err := played(t, "$SYS.REQ.SERVER.PING.VARZ", test.answers...).Vars(t.Context())
			wantError(t, err, test.says)
			if slices.Sort(vars.TrustedKeys); !slices.Equal(vars.TrustedKeys, test.want) || err == nil && !vars.Now.Equal(at) || vars.MaxControlLine != test.line {
				t.Errorf("they say %+v", vars)
			}
		})
	}
}

// An account is as the servers have it; one that all of them say they do not have is
// none, and what is not an account is an error.
func TestLookup(t *testing.T) {
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	id, err := account.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewAccountClaims(id).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		answers []string
		found   bool
		says    string
	}{
		{"it is there", []string{token}, true, ""},
		{"one server knows nothing", []string{"", token}, true, ""},
		{"none does", []string{"", ""}, false, ""},
		{"what is no account", []string{"x"}, false, "the account " + id + " that the servers have cannot be read"},
		{"nobody answers", nil, false, "the account " + id + " cannot be looked up: nobody answers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			claims, err := played(t, fmt.Sprintf("$SYS.REQ.ACCOUNT.%s.CLAIMS.LOOKUP", id), test.answers...).Lookup(t.Context(), id)
			wantError(t, err, test.says)
			if (claims != nil) != test.found || claims != nil && claims.Subject != id {
				t.Errorf("it is %+v", claims)
			}
		})
	}
}

// An account is updated only if the servers say so.
func TestUpdate(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []string
		says    string
	}{
		{"they take it", []string{`{"data": {"code": 200}}`}, ""},
		{"they do not", []string{`{"error": {"code": 500, "description": "jwt validation failed"}}`}, `the account A cannot be updated: the servers say "jwt validation failed"`},
		{"what cannot be read", []string{"200"}, "the account A cannot be updated: the servers say"},
		{"nobody answers", nil, "the account A cannot be updated: nobody answers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantError(t, played(t, "$SYS.REQ.CLAIMS.UPDATE", test.answers...).Update(t.Context(), "A", "token"), test.says)
		})
	}
}

// Servers that refuse a user are told apart from servers that are away: only the
// first says anything about the credentials.
func TestTry(t *testing.T) {
	system := natstest.Start(t) // on loopback: within a process a refusal is not heard
	signing, err := nkeys.FromSeed(system.SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	// user is the .creds file of a user of the account.
	user := func(expires time.Time) []byte {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, _ := pair.PublicKey()
		seed, _ := pair.Seed()
		claims := jwt.NewUserClaims(public)
		claims.IssuerAccount, claims.Expires = system.AccountID, expires.Unix()
		token, err := claims.Encode(signing)
		if err != nil {
			t.Fatal(err)
		}
		creds, err := jwt.FormatUserConfig(token, seed)
		if err != nil {
			t.Fatal(err)
		}
		return creds
	}
	for _, test := range []struct {
		name, url string
		creds     []byte
		refused   bool
		says      string
	}{
		{"a user of the system account", system.URL(), system.SystemCredentials, false, ""},
		{"a user of an account", system.URL(), user(time.Now().Add(time.Hour)), false, ""},
		{"a user that has expired", system.URL(), user(time.Now().Add(-time.Hour)), true, "the servers refuse the user: "},
		{"the servers are away", "nats://127.0.0.1:1", system.SystemCredentials, false, "none of the servers nats://127.0.0.1:1 can be reached: see to their addresses"},
		{"what are no credentials", system.URL(), []byte("x"), false, "can be reached"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Servers{URLs: []string{test.url}}
			err := s.Try(test.creds)
			wantError(t, err, test.says)
			var refused *provider.RefusedError
			if errors.As(err, &refused) != test.refused || test.refused && refused.Unwrap() == nil {
				t.Errorf("it says %v", err)
			}
			opened, err := s.Open(test.creds)
			if wantError(t, err, test.says); err == nil {
				if opened.MaxPayload() <= 0 {
					t.Errorf("it takes messages of %d bytes", opened.MaxPayload())
				}
				opened.Close()
			}
		})
	}
}

// Servers that begin with TLS are spoken to, and those that ask for a client certificate
// are said to.
func TestTLS(t *testing.T) {
	authority, certificate := issue(t)
	for _, test := range []struct {
		name   string
		change func(*server.Options)
		says   string
	}{
		{"after the first words", func(*server.Options) {}, ""},
		{"from the beginning", func(o *server.Options) { o.TLSHandshakeFirst = true }, ""},
		{"with client certificates", func(o *server.Options) { o.TLSConfig.ClientAuth = tls.RequireAnyClientCert }, "ask for a client certificate, and Baleen has none"},
		{"with client certificates, from the beginning", func(o *server.Options) {
			o.TLSHandshakeFirst, o.TLSConfig.ClientAuth = true, tls.RequireAnyClientCert
		}, "ask for a client certificate, and Baleen has none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, TLSTimeout: 2, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
			test.change(o)
			s, err := server.NewServer(o)
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			t.Cleanup(s.Shutdown)
			if !s.ReadyForConnections(10 * time.Second) {
				t.Fatal("the server does not start")
			}
			creds := natstest.Start(t).SystemCredentials
			wantError(t, Servers{URLs: []string{"tls://" + s.Addr().String()}, CA: authority}.Try(creds), test.says)
		})
	}
}

// issue returns an authority, and a certificate of it for this machine.
func issue(t *testing.T) (authority string, certificate tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
