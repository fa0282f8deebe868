package platform

import (
	"crypto/rand"
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
)

// Synadia is what a platform team knows of its account in Synadia Cloud, for which
// a stand-in is here.
type Synadia struct {
	// URL is the control plane's, Authorities what has signed its certificate, in
	// PEM form, and Token lets in.
	URL, Authorities, Token string
	// AccountID is the control plane's id of the account, AccountKey its public key,
	// and NATS where its users connect.
	AccountID, AccountKey, NATS string
	// Requests is the file with a line for each request so far.
	Requests string
}

// startSynadia serves the stand-in for a control plane over HTTPS, with a NATS
// system of its own that the tests connect to.
func (p *Platform) startSynadia() error {
	dir := filepath.Join(p.Dir, "synadia")
	system, err := natslocal.New(dir)
	if err != nil {
		return err
	}
	if err := system.Start(true); err != nil {
		return err
	}
	known := Synadia{
		URL: "https://" + synadiaAddress, Token: "uat_" + rand.Text(), NATS: system.URL(), Requests: filepath.Join(p.Dir, "log", "synadia-requests.log"),
	}
	requests, err := os.Create(known.Requests)
	if err != nil {
		return err
	}
	lines := log.New(requests, "", log.LstdFlags|log.LUTC)
	cloud, err := fakecloud.New(fakecloud.Options{NATS: system, Tokens: []string{known.Token}, Log: func(r fakecloud.Request) { lines.Print(r.Short()) }})
	if err != nil {
		return err
	}
	known.AccountID, known.AccountKey = cloud.Account, cloud.PublicKey(cloud.Account)
	ca, err := newAuthority(dir, "synadia")
	if err != nil {
		return err
	}
	if err := ca.issue("tls", "control plane", nil, synadiaAddress); err != nil {
		return err
	}
	authorities, err := os.ReadFile(ca.file("ca.crt"))
	if err != nil {
		return err
	}
	known.Authorities = string(authorities)
	certificate, err := tls.LoadX509KeyPair(ca.file("tls.crt"), ca.file("tls.key"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", synadiaAddress+":443")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: cloud, ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	go func() { slog.Error("the control plane ended", "error", server.ServeTLS(listener, "", "")) }()
	p.synadia = known
	return nil
}
