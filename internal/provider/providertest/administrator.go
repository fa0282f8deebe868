package providertest

import (
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// Account is an account that a provider serves, on servers that run.
type Account struct {
	OpenIssuer        provider.OpenIssuer
	OpenAdministrator provider.OpenAdministrator
	// Setting opens it, and Missing one that is nowhere.
	Setting, Missing provider.Setting
	NATS             *natslocal.System
	// ID is its public key.
	ID string
	// Undo takes the revocation of a key back, as somebody else would.
	Undo func(user string) error
	// Outside is all that can have been changed outside of the process.
	Outside func() string
}

// Now is a setting's time.
func Now() time.Time { return time.Now().Truncate(time.Second) }

// RunAdministrator tests what looks after an account, and that it agrees with what makes
// its users. Each test has an account of its own.
func RunAdministrator(t *testing.T, make func(*testing.T) Account) {
	for _, test := range []struct {
		name string
		run  func(*accountSuite)
	}{
		{"inspection", (*accountSuite).inspection},
		{"an account that is nowhere", (*accountSuite).nowhere},
		{"another clock", (*accountSuite).clock},
		{"revocation", (*accountSuite).revocation},
		{"dry run", (*accountSuite).dryRun},
		{"undone", (*accountSuite).undone},
		{"expired", (*accountSuite).expired},
		{"nothing", (*accountSuite).nothing},
		{"users that are kept", (*accountSuite).kept},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := make(t)
			test.run(&accountSuite{suite{T: t, Fixture: Fixture{NATS: a.NATS}}, a})
		})
	}
}

type accountSuite struct {
	suite
	Account
}

// open opens both sides of an account.
func (s *accountSuite) open(with provider.Setting) (provider.Opened, provider.Administrator) {
	s.Helper()
	opened, err := s.OpenIssuer(s.Context(), with)
	s.must(err)
	admin, err := s.OpenAdministrator(s.Context(), with, opened)
	s.must(err)
	s.Cleanup(admin.Close)
	return opened, admin
}

// inspect looks at the account, which must be well, and opens what makes users of it.
func (s *accountSuite) inspect() (provider.Facts, provider.Administrator) {
	s.Helper()
	_, admin := s.open(s.Setting)
	facts := admin.Inspect(s.Context())
	if facts.Refusal != nil {
		s.Fatalf("%s: %v", facts.Refusal.Reason, facts.Refusal.Err)
	}
	seen, found := s.Setting, true
	seen.Last = &v1alpha1.AccountStatus{ID: facts.Account.ID, SigningKey: facts.Account.SigningKey, Found: &found, NoBearer: facts.Account.NoBearer, MaxJWTBytes: facts.Account.MaxJWTBytes, ProviderID: facts.Account.ProviderAccount, Scoped: facts.Account.Scoped, Source: seen.Source}
	opened, err := s.OpenIssuer(s.Context(), seen)
	s.must(err)
	if opened.Unseen || opened.Account != *facts.Account {
		s.Fatalf("users are made of %+v, unseen: %t, and the account is %+v", opened.Account, opened.Unseen, facts.Account)
	}
	s.Fixture.Issuer = opened.Issuer
	return facts, admin
}

// departure is what is known of a credential that is to go.
func departure(facts provider.Facts, c provider.Credential) provider.Departure {
	return provider.Departure{Identity: c.Identity, AccountID: facts.ID, ProviderAccount: facts.Account.ProviderAccount, Issued: Now(), Expires: c.Expires}
}

// revoke has identities revoked, which must succeed, and returns what became of them.
func (s *accountSuite) revoke(admin provider.Administrator, departures ...provider.Departure) []provider.Outcome {
	s.Helper()
	outcomes, refusal := admin.Revoke(s.Context(), departures)
	if refusal != nil {
		s.Fatalf("%s: %v", refusal.Reason, refusal.Err)
	}
	if len(outcomes) != len(departures) {
		s.Fatalf("%d outcomes for %d departures", len(outcomes), len(departures))
	}
	return outcomes
}

// connects reports whether a credential does.
func (s *accountSuite) connects(c provider.Credential) bool {
	_, err := s.connect(c)
	return err == nil
}

// inspection: the facts are those of the account by which its users connect.
func (s *accountSuite) inspection() {
	before := s.Outside()
	facts, admin := s.inspect()
	if facts.ID != s.ID || facts.Account.ID != facts.ID || facts.Account.SigningKey == "" || !facts.Revocable || facts.Gone || facts.Verified == "" || facts.Name == "" || admin.CannotRevoke() != "" {
		s.Errorf("the facts are %+v of %+v", facts, facts.Account)
	}
	if after := s.Outside(); after != before {
		s.Errorf("a look changes something: %s, and was %s", after, before)
	}
	if !s.connects(s.issue(provider.Grant{})) {
		s.Error("no user connects")
	}
}

// nowhere: an account that is not there has a reason of its own, and nothing is done.
func (s *accountSuite) nowhere() {
	_, admin := s.open(s.Missing)
	if facts := admin.Inspect(s.Context()); facts.Refusal == nil || facts.Refusal.Reason != "AccountUnknown" || facts.Account != nil || facts.Revocable {
		s.Errorf("the facts are %+v", facts)
	}
}

// clock: with a wrong clock nothing can be revoked, but in a simulation.
func (s *accountSuite) clock() {
	for simulated, want := range map[bool]bool{false: false, true: true} {
		with := s.Setting
		with.Now, with.Simulated = Now().Add(time.Hour), simulated
		_, admin := s.open(with)
		if facts := admin.Inspect(s.Context()); facts.Revocable != want || (facts.Refusal == nil) != want || !want && facts.Refusal.Reason != "ClockOff" {
			s.Errorf("simulated: %t: the facts are %+v", simulated, facts)
		}
	}
}

// revocation: it ends the identities that it is given, and no other; others see it.
func (s *accountSuite) revocation() {
	facts, admin := s.inspect()
	one, two, neighbour := s.issue(provider.Grant{}), s.issue(provider.Grant{}), s.issue(provider.Grant{})
	for range 2 { // again is fine
		for i, o := range s.revoke(admin, departure(facts, one), departure(facts, two)) {
			if o.State != provider.Revoked {
				s.Errorf("the %d. became %d", i+1, o.State)
			}
		}
	}
	if s.connects(one) || s.connects(two) || !s.connects(neighbour) {
		s.Errorf("the one connects: %t, the other: %t, their neighbour: %t", s.connects(one), s.connects(two), s.connects(neighbour))
	}
	after, _ := s.inspect()
	for c, want := range map[*provider.Credential]bool{&one: true, &two: true, &neighbour: false} {
		if got := after.Refuses(after.ID, c.User, Now()); got != want {
			s.Errorf("%s is refused: %t", c.Name, got)
		}
	}
}

// dryRun: nothing is changed, and what is to go is left to a later run.
func (s *accountSuite) dryRun() {
	facts, _ := s.inspect()
	c := s.issue(provider.Grant{})
	before := s.Outside()
	s.Setting.DryRun = true
	_, admin := s.inspect()
	if o := s.revoke(admin, departure(facts, c)); o[0].State != provider.Pending || !s.connects(c) {
		s.Errorf("it became %d, and connects: %t", o[0].State, s.connects(c))
	}
	if after := s.Outside(); after != before {
		s.Errorf("a dry run changes something: %s, and was %s", after, before)
	}
}

// undone: what somebody has put back in force is revoked once more.
func (s *accountSuite) undone() {
	facts, admin := s.inspect()
	c := s.issue(provider.Grant{})
	s.revoke(admin, departure(facts, c))
	s.must(s.Undo(c.User))
	if !s.connects(c) {
		s.Fatal("it is not undone")
	}
	_, admin = s.inspect()
	again := departure(facts, c)
	again.Again = true
	if s.revoke(admin, again); s.connects(c) {
		s.Error("it connects")
	}
}

// expired: nothing is left of what has expired, not even a revocation.
func (s *accountSuite) expired() {
	facts, admin := s.inspect()
	c := s.issue(provider.Grant{})
	s.revoke(admin, departure(facts, c))
	past := departure(facts, c)
	past.Expires = s.Setting.Now
	if o := s.revoke(admin, past); o[0].State == provider.Pending {
		s.Error("it is to be tried again")
	}
	if after, _ := s.inspect(); after.Refuses(after.ID, c.User, Now().AddDate(-1, 0, 0)) {
		s.Error("its revocation is still there")
	}
}

// nothing: who has nobody to revoke changes nothing.
func (s *accountSuite) nothing() {
	_, admin := s.inspect()
	before := s.Outside()
	if s.revoke(admin); s.Outside() != before {
		s.Error("something is changed")
	}
}

// kept: a provider that keeps users lists them with the ids that they were made with, and
// one that was removed is gone.
func (s *accountSuite) kept() {
	facts, admin := s.inspect()
	c := s.issue(provider.Grant{})
	keeper := admin.Keeper()
	if keeper == nil {
		if facts.Account.ProviderAccount != "" || c.ID != "" {
			s.Errorf("it is kept in %q as %q, and nobody keeps it", facts.Account.ProviderAccount, c.ID)
		}
		return
	}
	users, err := keeper.Users(s.Context())
	s.must(err)
	if len(users) != 1 || users[0].ID != c.ID || users[0].PublicKey != c.User || users[0].Name != c.Name || users[0].Settings != c.Settings {
		s.Errorf("the users are %+v, and %s was made as %s", users, c.Name, c.ID)
	}
	got, err := keeper.Downloaded(s.Context(), c.ID)
	if s.must(err); !got {
		s.Error("nobody has it")
	}
	for _, want := range []bool{false, true} {
		gone, err := keeper.Gone(s.Context(), c.ID)
		if s.must(err); gone != want {
			s.Errorf("it is gone: %t", gone)
		}
		if o := s.revoke(admin, departure(facts, c)); len(o[0].Users) != 1 || o[0].Users[0].ID != c.ID {
			s.Errorf("there were the users %+v", o[0].Users)
		}
	}
}
