//go:build failpoint

package sysaccount

import (
	"bytes"
	"net"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/baleen-platform/baleen/internal/failpoint"
)

func init() {
	dial = func(servers string, options ...nats.Option) (*nats.Conn, error) {
		return nats.Connect(servers, append(options, nats.SetCustomDialer(dialer{}))...)
	}
}

// dialer makes points around connecting, and before and after each request: what
// has been answered has had its effect.
type dialer struct{}

func (dialer) Dial(network, address string) (net.Conn, error) {
	failpoint.Point("before connecting")
	defer failpoint.Point("after connecting")
	c, err := net.Dial(network, address)
	return &conn{Conn: c}, err
}

type conn struct {
	net.Conn
	asked atomic.Pointer[string]
}

func (c *conn) Write(p []byte) (int, error) {
	if _, rest, ok := bytes.Cut(p, []byte("PUB $SYS.")); ok {
		subject, _, _ := strings.Cut(string(rest), " ")
		subject = subject[strings.LastIndex(subject, ".")+1:]
		failpoint.Point("before asking for " + subject)
		c.asked.Store(&subject)
	}
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], []byte("MSG _INBOX")) {
		if subject := c.asked.Swap(nil); subject != nil {
			failpoint.Point("after asking for " + *subject)
		}
	}
	return n, err
}
