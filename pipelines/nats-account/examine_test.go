package natsaccount

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/workflow"
)

// servers are a NATS system that has one account, or none.
type servers struct {
	*testing.T
	account *natsjwt.AccountClaims
	// pushed is what happens to an update; limit is the largest message.
	pushed          func(*natsjwt.AccountClaims)
	limit           int64
	lookups, pushes int
	largest         int64 // update so far
	// trusted and at are what they say of themselves; fails are errors by what is asked.
	trusted []string
	at      time.Time
	fails   map[string]error
	// look is called with each lookup, before it.
	look func()
}

func (s *servers) TrustedKeys(context.Context) ([]string, time.Time, error) {
	return s.trusted, s.at, s.fails["trusted"]
}

func (s *servers) Lookup(context.Context, string) (*natsjwt.AccountClaims, error) {
	if s.look != nil {
		s.look()
	}
	if s.lookups++; s.account == nil || s.fails["lookup"] != nil {
		return nil, s.fails["lookup"]
	}
	copied := *s.account
	copied.Revocations = natsjwt.RevocationList{}
	maps.Copy(copied.Revocations, s.account.Revocations)
	return &copied, nil
}

func (s *servers) Update(_ context.Context, _, token string) error {
	if err := s.fails["update"]; err != nil {
		return err
	}
	s.pushes++
	s.largest = max(s.largest, int64(len(token)))
	claims, err := natsjwt.DecodeAccountClaims(token)
	if err != nil {
		s.Error(err)
	}
	s.pushed(claims)
	return nil
}

func (s *servers) MaxPayload() int64 { return s.limit }

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string) {
	t.Helper()
	pair, err := create()
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

// A revocation is done once a look at the servers shows it, and not when they have
// taken it: somebody may have pushed an older account over it.
func TestReviseOne(t *testing.T) {
	for _, test := range []struct {
		name   string
		set    func(*servers, *workflow.Run)
		became settlement
		pushes int
		says   string
	}{
		{"the servers show it", func(*servers, *workflow.Run) {}, revoked, 1, ""},
		{"the servers show it after a while", func(s *servers, _ *workflow.Run) {
			s.pushed = func(c *natsjwt.AccountClaims) {
				at := time.Now().Add(time.Second)
				s.look = func() {
					if !time.Now().Before(at) {
						s.account = c
					}
				}
			}
		}, revoked, 1, ""},
		{"somebody pushes an older account over it", func(s *servers, _ *workflow.Run) {
			s.pushed = func(*natsjwt.AccountClaims) {}
		}, pending, 1, "the servers do not show the revocations"},
		{"the account is gone afterwards", func(s *servers, _ *workflow.Run) {
			s.pushed = func(*natsjwt.AccountClaims) { s.account = nil }
		}, pending, 1, "the servers do not show the revocations"},
		{"it was there before", func(s *servers, _ *workflow.Run) { s.account.RevokeAt("U1", now.AddDate(0, 0, 30)) }, revoked, 0, ""},
		{"the servers have no such account", func(s *servers, _ *workflow.Run) { s.account = nil }, leftToExpire, 0, ""},
		{"a stranger has signed the account", func(s *servers, _ *workflow.Run) { s.account.Issuer = "OSTRANGER" }, pending, 0, "which the servers do not trust"},
		{"the account would be too large", func(s *servers, _ *workflow.Run) { s.limit = 10 }, pending, 0, "the servers take messages of 10"},
		{"a dry run", func(_ *servers, run *workflow.Run) { run.DryRun = true }, pending, 0, ""},
		{"the account cannot be looked up", func(s *servers, _ *workflow.Run) { s.fails = map[string]error{"lookup": errors.New("nobody answers")} }, pending, 0, "nobody answers"},
		{"the account cannot be updated", func(s *servers, _ *workflow.Run) { s.fails = map[string]error{"update": errors.New("nobody takes it")} }, pending, 0, "nobody takes it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			operator, issuer := newKey(t, nkeys.CreateOperator)
			_, id := newKey(t, nkeys.CreateAccount)
			synctest.Test(t, func(t *testing.T) {
				s := &servers{T: t, account: natsjwt.NewAccountClaims(id), limit: 1 << 20}
				s.account.Issuer = issuer
				s.pushed = func(c *natsjwt.AccountClaims) { s.account = c }
				run := &workflow.Run{Now: now}
				test.set(s, run)
				became, err := reviseOne(t.Context(), run, world{operator: operator}, s, []string{issuer}, id, map[string]time.Time{"U1": now.AddDate(0, 0, 30)})
				if became != test.became || s.pushes != test.pushes {
					t.Errorf("it became %d after %d pushes, want %d after %d", became, s.pushes, test.became, test.pushes)
				}
				if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
					t.Errorf("it says %v, want %q", err, test.says)
				}
			})
		})
	}
}
