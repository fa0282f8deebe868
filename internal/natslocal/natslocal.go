// Package natslocal is a NATS system in operator mode inside this process: keys,
// an account, and a server with a full resolver. The demo and the tests run on it.
package natslocal

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// System is an operator with a system account and one more account.
type System struct {
	// Dir holds the accounts while no server runs.
	Dir string
	// OperatorKey is the seed of the operator's signing key, SystemCredentials a
	// .creds file of the system account.
	OperatorKey, SystemCredentials []byte
	// AccountID is the account's public key, SigningKey the seed of its signing key.
	AccountID  string
	SigningKey []byte
	// MaxPayload is the largest message that a server takes that is started from now on, in
	// bytes; 0 is the servers' own.
	MaxPayload int32

	operator  *jwt.OperatorClaims
	token     string // the operator's JWT
	systemID  string
	mutex     sync.Mutex
	server    *server.Server
	users     int  // of a server that runs as long as somebody needs it
	listening bool // on loopback
	port      int  // where it listened first, and does again
}

type pair struct {
	nkeys.KeyPair
	public string
	seed   []byte
}

func create(prefix nkeys.PrefixByte) (pair, error) {
	key, err := nkeys.CreatePair(prefix)
	if err != nil {
		return pair{}, err
	}
	p := pair{KeyPair: key}
	if p.public, err = key.PublicKey(); err != nil {
		return p, err
	}
	p.seed, err = key.Seed()
	return p, err
}

// New makes a system. Nothing runs yet.
func New(dir string) (*System, error) {
	s := &System{Dir: filepath.Join(dir, "accounts")}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	keys := map[string]pair{}
	for name, prefix := range map[string]nkeys.PrefixByte{
		"operator": nkeys.PrefixByteOperator, "operatorSigning": nkeys.PrefixByteOperator, "system": nkeys.PrefixByteAccount,
		"account": nkeys.PrefixByteAccount, "signing": nkeys.PrefixByteAccount, "systemUser": nkeys.PrefixByteUser,
	} {
		var err error
		if keys[name], err = create(prefix); err != nil {
			return nil, err
		}
	}
	operator, signing := keys["operator"], keys["operatorSigning"]
	s.operator = jwt.NewOperatorClaims(operator.public)
	s.operator.Name = "local"
	s.operator.SigningKeys.Add(signing.public)
	s.operator.SystemAccount = keys["system"].public
	// Encoding fills in the issuer, which the server asks for.
	var err error
	if s.token, err = s.operator.Encode(operator); err != nil {
		return nil, err
	}
	system := jwt.NewAccountClaims(keys["system"].public)
	system.Name = "SYS"
	account := jwt.NewAccountClaims(keys["account"].public)
	account.Name = "commerce"
	account.SigningKeys.Add(keys["signing"].public)
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit}
	s.OperatorKey, s.systemID = signing.seed, system.Subject
	s.AccountID, s.SigningKey = account.Subject, keys["signing"].seed
	for _, claims := range []*jwt.AccountClaims{system, account} {
		if err := s.Push(claims); err != nil {
			return nil, err
		}
	}
	user := jwt.NewUserClaims(keys["systemUser"].public)
	user.Name = "baleen"
	token, err := user.Encode(keys["system"])
	if err != nil {
		return nil, err
	}
	if s.SystemCredentials, err = jwt.FormatUserConfig(token, keys["systemUser"].seed); err != nil {
		return nil, err
	}
	systems.Store(s.URL(), s)
	return s, nil
}

// Push signs an account and stores it, as `nsc push` does. A server that runs has
// it, and has cut those who may not be connected any more, when Push returns.
func (s *System) Push(claims *jwt.AccountClaims) error {
	key, err := nkeys.FromSeed(s.OperatorKey)
	if err != nil {
		return err
	}
	token, err := claims.Encode(key)
	if err != nil {
		return err
	}
	if conn, err := s.Connect(s.SystemCredentials); err == nil {
		defer conn.Close()
		// Not the resolver's Store: it drops the second of two within a second.
		_, err := conn.Request("$SYS.REQ.CLAIMS.UPDATE", []byte(token), 10*time.Second)
		return err
	} else if !errors.Is(err, nats.ErrNoServers) {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, claims.Subject+".jwt"), []byte(token), 0o644)
}

// Account returns an account as it is stored.
func (s *System) Account(id string) (*jwt.AccountClaims, error) {
	token, err := s.Token(id)
	if err != nil {
		return nil, err
	}
	return jwt.DecodeAccountClaims(token)
}

// Token returns an account's JWT as it is stored.
func (s *System) Token(id string) (string, error) {
	token, err := os.ReadFile(filepath.Join(s.Dir, id+".jwt"))
	return string(token), err
}

// Start starts the server: on a free port of the loopback interface, or for
// connections of this process alone.
func (s *System) Start(listen bool) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.start(listen)
}

func (s *System) start(listen bool) error {
	if s.server != nil {
		return nil
	}
	resolver, err := server.NewDirAccResolver(s.Dir, 0, 2*time.Minute, server.NoDelete)
	if err != nil {
		return err
	}
	options := &server.Options{
		ServerName: "local", Host: "127.0.0.1", Port: cmp.Or(s.port, server.RANDOM_PORT), DontListen: !listen, NoSigs: true, NoLog: true,
		MaxPayload: s.MaxPayload, TrustedOperators: []*jwt.OperatorClaims{s.operator}, SystemAccount: s.systemID, AccountResolver: resolver,
	}
	srv, err := server.NewServer(options)
	if err != nil {
		return err
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		srv.Shutdown()
		return errors.New("the NATS server does not start")
	}
	s.server, s.listening = srv, listen
	if address, ok := srv.Addr().(*net.TCPAddr); ok && listen {
		s.port = address.Port
	}
	return nil
}

// Stop stops the server, and waits until it is gone.
func (s *System) Stop() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.server = nil
	}
}

// URL returns where the server is: on loopback if it listens, and else where
// [InProcess] finds it.
func (s *System) URL() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.server != nil && s.listening {
		return s.server.ClientURL()
	}
	return "nats://" + strings.ToLower(s.AccountID) + ".local:4222"
}

// Config is the configuration with which the program nats-server serves the
// system, with JetStream, in a process of its own.
func (s *System) Config(host string, port int, jetstream string) string {
	return fmt.Sprintf(`server_name: local
host: %q
port: %d
operator: %q
system_account: %q
resolver: {type: full, dir: %q, allow_delete: false, interval: "2m"}
jetstream: {store_dir: %q}
`, host, port, s.token, s.systemID, s.Dir, jetstream)
}

// While runs the server for as long as do takes, for connections of this process.
// Within it the clock of a test's bubble goes on only slowly.
func (s *System) While(do func() error) error {
	s.mutex.Lock()
	err := s.start(false)
	s.users++
	s.mutex.Unlock()
	if err == nil {
		err = do()
	}
	s.mutex.Lock()
	s.users--
	last := s.users == 0
	s.mutex.Unlock()
	if last {
		s.Stop()
	}
	return err
}

// InProcess connects to a system of this process, by the URL that it has while it
// does not listen.
func InProcess(url string, options ...nats.Option) (*nats.Conn, error) {
	s, ok := systems.Load(url)
	if !ok {
		return nil, nats.ErrNoServers
	}
	return s.(*System).dial(options...)
}

var systems sync.Map // *System by URL

// dial connects to the server, within this process where it does not listen.
// Without a server it fails as one that is away does.
func (s *System) dial(options ...nats.Option) (*nats.Conn, error) {
	s.mutex.Lock()
	srv, listening := s.server, s.listening
	s.mutex.Unlock()
	switch {
	case srv == nil:
		return nil, nats.ErrNoServers
	case listening:
		return nats.Connect(srv.ClientURL(), options...)
	}
	return nats.Connect(nats.DefaultURL, append(options, nats.InProcessServer(srv))...)
}

// Connect connects with a .creds file.
func (s *System) Connect(creds []byte, options ...nats.Option) (*nats.Conn, error) {
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // else it prints
	return s.dial(append([]nats.Option{nats.UserCredentialBytes(creds), nats.NoReconnect(), quiet}, options...)...)
}
