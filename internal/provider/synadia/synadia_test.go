package synadia_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/natslocal/natstest"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/providertest"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud/openapi"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

const (
	token  = "uat_of_the_platform"
	name   = "team-a.orders.eu-1.g1.0123456789"
	life   = 24 * time.Hour
	budget = time.Minute
)

// hosts brings requests to the handler of their host, without a network.
type hosts struct{ sync.Map }

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	handler, ok := h.Load(r.URL.Host)
	if !ok {
		return nil, errors.New("there is no such host")
	}
	return fakecloud.Transport(handler.(http.Handler)).RoundTrip(r)
}

var (
	network hosts
	count   atomic.Int64
)

// inputs are a control plane, judged by Synadia's document, and an issuer of it.
type world struct {
	*testing.T
	*fakecloud.Cloud
	nats   *natslocal.System
	host   string
	issuer synadia.Issuer
	began  time.Time
}

// newWorld returns a world. What is around its control plane is between that and
// the issuer.
func newWorld(t *testing.T, system *natslocal.System, options fakecloud.Options, around func(http.Handler) http.Handler) *world {
	t.Helper()
	w := &world{T: t, nats: system, host: fmt.Sprintf("cloud-%d.test", count.Add(1))}
	options.NATS, options.Tokens = system, []string{token}
	var err error
	w.Cloud, err = fakecloud.New(options)
	w.must(err)
	handler := openapi.Validate(t, w.Cloud)
	if around != nil {
		handler = around(handler)
	}
	network.Store(w.host, handler)
	w.run()
	w.use(synadia.Named{System: "NGS", Account: "commerce", Group: w.Group})
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// run begins another run: with a budget of its own, and nothing asked yet.
func (w *world) run() {
	w.issuer.Cloud, w.issuer.Now, w.issuer.MaxBytes = synadia.Open(&network, "http://"+w.host, "", token, budget), time.Now(), providertest.MaxBytes
	w.began = time.Now()
	w.ForgetRequests()
}

// use has the issuer use an account as people name it.
func (w *world) use(named synadia.Named) {
	w.Helper()
	found, err := w.issuer.Cloud.Look(w.Context(), named)
	w.must(err)
	w.issuer.ProviderID, w.issuer.AccountID, w.issuer.Group = found.ID, found.PublicKey, found.GroupID
	w.run()
}

func (w *world) issue(grant provider.Grant) (provider.Credential, error) {
	return w.issuer.Issue(w.Context(), provider.Identity{Name: name}, grant, w.issuer.Now.Add(life))
}

// named are the users that the control plane has of the name.
func (w *world) named() []fakecloud.User {
	return slices.DeleteFunc(w.Users(w.Account), func(u fakecloud.User) bool { return u.Name != name })
}

// connects returns which credentials do.
func (w *world) connects(files ...[]byte) (which []int) {
	w.Helper()
	if len(files) == 0 {
		return nil
	}
	w.must(w.nats.While(func() error {
		for i, file := range files {
			conn, err := w.nats.Connect(file)
			if err == nil {
				conn.Close()
				which = append(which, i)
			} else if errors.Is(err, nats.ErrNoServers) {
				return err
			}
		}
		return nil
	}))
	return which
}

// issued are all credentials that the control plane has handed out.
func (w *world) issued() (files [][]byte) {
	for _, i := range w.Issuances(w.Account) {
		files = append(files, i.Creds)
	}
	return files
}

// fits looks at what every run must keep to, whatever fails: its bounds, and that
// it tells no secrets.
func (w *world) fits(err error) {
	w.Helper()
	if took := time.Since(w.began); took > budget {
		w.Errorf("it takes %s", took)
	}
	if n := len(w.Requests()); n > 12 {
		w.Errorf("it makes %d requests", n)
	}
	if err == nil {
		return
	}
	text := err.Error()
	for _, s := range []string{token, secretSeed, secretJWT, "eyJ"} {
		if strings.Contains(text, s) {
			w.Errorf("a secret is in: %s", text)
		}
	}
	if !slices.ContainsFunc([]string{"see that", "see whether", "put one", "wait for", "correct"}, func(s string) bool { return strings.Contains(text, s) }) {
		w.Errorf("what to do is not in: %s", text)
	}
}

// fixture is an issuer whose requests reach the control plane within the process.
func fixture(t *testing.T) providertest.Fixture {
	w := newWorld(t, natstest.Start(t), fakecloud.Options{}, nil)
	return providertest.Fixture{
		Issuer: &w.issuer, AccountID: w.issuer.AccountID, NATS: w.nats,
		Retire: func(identity provider.Identity, expires time.Time) error {
			_, err := w.issuer.Retire(t.Context(), identity, w.issuer.Now, expires)
			return err
		},
		Outside: func() string { return fmt.Sprint(w.Requests(), w.Users(w.Account), w.Revocations(w.Account)) },
		Scoped: func(scope natsjwt.UserPermissionLimits) provider.Issuer {
			_, err := w.AddGroup(w.Account, fakecloud.Group{Name: "team", Scope: &scope})
			w.must(err)
			w.use(synadia.Named{AccountID: w.Account, Group: "team"})
			return &w.issuer
		},
	}
}

func TestConformance(t *testing.T) { providertest.Run(t, fixture) }

// timely is the network, with answers that tell the time as those of real servers do.
type timely struct{}

func (timely) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := network.RoundTrip(r)
	if err == nil {
		response.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return response, err
}

// account is an account at the control plane, whose requests are judged.
func account(t *testing.T) providertest.Account {
	w := newWorld(t, natstest.Start(t), fakecloud.Options{}, nil)
	setting := func(name string) provider.Setting {
		a := &v1alpha1.NatsAccount{}
		a.Spec.Provider, a.Spec.Policy.MaxJWTBytes = v1alpha1.ProviderSynadia, providertest.MaxBytes
		a.Spec.Synadia = &v1alpha1.Synadia{BaseURL: "http://" + w.host, System: "NGS", Account: name, Platform: "prod", Budget: "1m"}
		return provider.Setting{
			NatsAccount: a, Source: name, Now: providertest.Now(), Network: provider.Network{Transport: timely{}},
			Secret: func(context.Context, v1alpha1.SecretRef) ([]byte, error) { return []byte(token), nil },
		}
	}
	return providertest.Account{
		OpenIssuer: synadia.OpenIssuer, OpenAdministrator: synadia.OpenAdministrator, Setting: setting("commerce"), Missing: setting("other"), NATS: w.nats, ID: w.issuer.AccountID,
		Undo: func(user string) error { // what has expired has its revocation taken back
			_, err := w.issuer.Retire(t.Context(), provider.Identity{User: user}, w.issuer.Now, w.issuer.Now)
			return err
		},
		Outside: func() string { return fmt.Sprint(w.Users(w.Account), w.Revocations(w.Account)) },
	}
}

func TestAdministratorConformance(t *testing.T) { providertest.RunAdministrator(t, account) }

// TestAuthorities: a control plane of one's own has a certificate that no public
// authority has signed.
func TestAuthorities(t *testing.T) {
	w := newWorld(t, natstest.Start(t), fakecloud.Options{}, nil)
	server := httptest.NewTLSServer(w.Cloud)
	defer server.Close()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	named := synadia.Named{System: "NGS", Account: "commerce"}
	found, err := synadia.Open(nil, server.URL, authority, token, budget).Look(t.Context(), named)
	if err != nil || found.ID != w.Account {
		t.Errorf("with its authority: %+v, %v", found, err)
	}
	if _, err := synadia.Open(nil, server.URL, "", token, budget).Look(t.Context(), named); err == nil ||
		!strings.Contains(err.Error(), "x509: ") || !strings.Contains(err.Error(), "spec.synadia.caCertificates") {
		t.Errorf("without: %v", err)
	}
}
