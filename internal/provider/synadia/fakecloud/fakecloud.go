// Package fakecloud stands in for the control plane of Synadia Cloud: it answers
// the calls that Baleen makes, with real accounts, signing keys and JWTs. What it
// issues connects to a NATS server of this process, and what it revokes is cut
// off there.
package fakecloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baleen-platform/baleen/internal/natslocal"
)

// Options say how the cloud is.
type Options struct {
	// NATS is where the accounts live. It need not run.
	NATS *natslocal.System
	// Tokens are those that are let in.
	Tokens []string
	// DeleteRevokes makes the deletion of a user revoke its key.
	DeleteRevokes bool
	// Now is the cloud's clock; that of the process if it is nil.
	Now func() time.Time
	// Log is told of each request, in the order of the answers, if it is not nil.
	// Else they are kept: see [Cloud.Requests].
	Log func(Request)
}

// Cloud is a control plane. It serves what the Go SDK calls with the base URL of
// its server.
type Cloud struct {
	// Team, System, Account and Group are the ids of what there is from the start.
	Team, System, Account, Group string

	options Options
	now     func() time.Time
	mux     *http.ServeMux

	mutex     sync.Mutex
	tokens    map[string]bool
	teams     []*team
	systems   []*system
	accounts  []*account
	groups    []*group
	users     []*user
	issuances []*issuance
	requests  []Request
	rules     []*rule
}

// New makes a cloud with a team, a system, an account and a signing key group.
func New(options Options) (*Cloud, error) {
	if options.NATS == nil {
		return nil, errors.New("the cloud needs a NATS system")
	}
	c := newCloud(options)
	c.Team = c.AddTeam("acme")
	c.System = c.AddSystem(c.Team, "NGS")
	var err error
	if c.Account, err = c.AddAccount(c.System, "commerce"); err != nil {
		return nil, err
	}
	if c.Group, err = c.AddGroup(c.Account, Group{Name: "Default"}); err != nil {
		return nil, err
	}
	return c, nil
}

// newCloud makes a cloud that has nothing.
func newCloud(options Options) *Cloud {
	if options.Now == nil {
		options.Now = time.Now
	}
	c := &Cloud{options: options, now: options.Now, mux: http.NewServeMux(), tokens: map[string]bool{}}
	for _, token := range options.Tokens {
		c.tokens[token] = true
	}
	c.routes()
	return c
}

// AllowToken lets requests with a token in.
func (c *Cloud) AllowToken(token string) { c.setToken(token, true) }

// RevokeToken keeps requests with a token out.
func (c *Cloud) RevokeToken(token string) { c.setToken(token, false) }

func (c *Cloud) setToken(token string, allowed bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.tokens[token] = allowed
}

// Request is one that was made. The path is without /api/core/beta before it.
type Request struct {
	Method, Path string
	// Status is what the client got, 0 where the connection was cut.
	Status int
	// Fault tells that the cloud was told to fail.
	Fault bool
}

// Short is the request without the ids in its path.
func (r Request) Short() Request {
	parts := strings.Split(r.Path, "/")
	for i, p := range parts {
		if len(p) > 20 && strings.ToUpper(p) == p {
			parts[i] = "…"
		}
	}
	r.Path = strings.Join(parts, "/")
	return r
}

func (r Request) String() string {
	s := fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status)
	if r.Fault {
		s += " (as told)"
	}
	return s
}

// Requests returns what was asked so far, in the order of the answers.
func (c *Cloud) Requests() []Request {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.Clone(c.requests)
}

// ForgetRequests empties the log.
func (c *Cloud) ForgetRequests() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.requests = nil
}

func (c *Cloud) log(r Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.options.Log != nil {
		c.options.Log(r)
		return
	}
	c.requests = append(c.requests, r)
}

const base = "/api/core/beta"

func shortPath(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, base) }

// ServeHTTP implements [http.Handler].
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, told := c.fault(r)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away
	}
	answer := f.around(func() *answer {
		a := newAnswer()
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		c.serve(a, again)
		return a
	})
	logged := Request{Method: r.Method, Path: shortPath(r), Status: answer.status, Fault: told}
	if f.cuts() {
		logged.Status = 0
	}
	c.log(logged)
	f.send(w, answer)
}

// serve has the effect of a request, one at a time.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !c.tokens[token] {
		write(w, 0, nil, refuse(http.StatusUnauthorized, "the token is unknown or revoked"))
		return
	}
	c.mux.ServeHTTP(w, r)
}

// call answers a request with a status and a body: nil for none, a string as it
// is, and all else as JSON.
type call func(r *http.Request) (status int, body any, err error)

func (c *Cloud) routes() {
	for pattern, do := range map[string]call{
		"GET /teams":                           c.listTeams,
		"GET /teams/{id}/systems":              c.listSystems,
		"GET /systems/{id}/accounts":           c.listAccounts,
		"GET /accounts/{id}":                   c.getAccount,
		"GET /accounts/{id}/account-sk-groups": c.listGroups,
		"GET /account-sk-groups/{id}":          c.getGroup,
		"GET /accounts/{id}/nats-users":        c.listUsers,
		"POST /accounts/{id}/nats-users":       c.createUser,
		"GET /nats-users/{id}":                 c.getUser,
		"DELETE /nats-users/{id}":              c.deleteUser,
		"POST /nats-users/{id}/creds":          c.downloadCreds,
		"GET /nats-users/{id}/issuances":       c.listIssuances,
		"GET /nats-user-issuances/{id}":        c.getIssuance,
		"PUT " + revocation:                    c.putRevocation,
		"GET " + revocation:                    c.getRevocation,
		"DELETE " + revocation:                 c.deleteRevocation,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		c.mux.HandleFunc(method+" "+base+path, func(w http.ResponseWriter, r *http.Request) {
			status, body, err := do(r)
			write(w, status, body, err)
		})
	}
}

const revocation = "/accounts/{id}/nats-user-revocations/{key}"

// problem is an error that is answered with a status.
type problem struct {
	status  int
	message string
}

func (p *problem) Error() string { return p.message }

func refuse(status int, format string, arguments ...any) error {
	return &problem{status, fmt.Sprintf(format, arguments...)}
}

func write(w http.ResponseWriter, status int, body any, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
		status, body = p.status, map[string]string{"error": p.message}
	case err != nil:
		status, body = http.StatusInternalServerError, map[string]string{"error": err.Error()}
	}
	switch body := body.(type) {
	case nil:
		w.WriteHeader(status)
	case string:
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
}

// read reads a request's body, which must have known fields only.
func read(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return refuse(http.StatusBadRequest, "the body cannot be read: %v", err)
	}
	return nil
}
