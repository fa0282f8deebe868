package v1alpha1

import (
	"time"

	"github.com/baleen-platform/baleen/internal/field"
)

// section is what a spec says to one provider.
type section struct {
	provider Provider
	there    bool
	settings
}

// settings are what the section of any provider says, in words that hold for all.
type settings interface {
	validate(p *field.Problems)
	servers() []string
	requiredTags() []string
	revocable() bool
	verifiable() bool
	correctsDrift() bool
	keepsUsers() bool
	platform() string
	names() []string
	verifyInterval() time.Duration
}

// sections are those of all providers; one that is not there must not be asked.
func (s *NatsAccountSpec) sections() []section {
	return []section{{ProviderJWT, s.JWT != nil, s.JWT}, {ProviderSynadia, s.Synadia != nil, s.Synadia}}
}

// own is the section of the provider that is in use.
func (s *NatsAccountSpec) own() settings {
	for _, o := range s.sections() {
		if o.there {
			return o.settings
		}
	}
	return (*JWT)(nil) // of a spec that is not valid
}

// Servers are the URLs at which workloads reach NATS.
func (s *NatsAccountSpec) Servers() []string { return s.own().servers() }

// RequiredTags are the names of the tags that a scope needs.
func (s *NatsAccountSpec) RequiredTags() []string { return s.own().requiredTags() }

// Revocable reports whether users can be revoked before they expire.
func (s *NatsAccountSpec) Revocable() bool { return s.own().revocable() }

// Verifiable reports whether the spec says where the account can be found.
func (s *NatsAccountSpec) Verifiable() bool { return s.own().verifiable() }

// CorrectsDrift reports whether a user that was changed at the provider is replaced.
func (s *NatsAccountSpec) CorrectsDrift() bool { return s.own().correctsDrift() }

// KeepsUsers reports whether the provider keeps a user for each identity.
func (s *NatsAccountSpec) KeepsUsers() bool { return s.own().keepsUsers() }

// Platform is what this platform is called among all that draw from the account, whose
// users the provider keeps side by side.
func (s *NatsAccountSpec) Platform() string { return s.own().platform() }

// Names are what names the account at a provider that looks it up; nil where the spec
// has its public key.
func (s *NatsAccountSpec) Names() []string { return s.own().names() }

// VerifyInterval is how often the users that the provider keeps are read, 0 where it
// keeps none.
func (s *NatsAccountSpec) VerifyInterval() time.Duration { return s.own().verifyInterval() }

func (j *JWT) servers() []string             { return j.Servers }
func (j *JWT) requiredTags() []string        { return j.SigningKey.RequiredTags }
func (j *JWT) revocable() bool               { return j.Operator != nil }
func (j *JWT) verifiable() bool              { return j.Operator != nil || len(j.Servers) > 0 }
func (j *JWT) correctsDrift() bool           { return false }
func (j *JWT) keepsUsers() bool              { return false }
func (j *JWT) platform() string              { return "" }
func (j *JWT) names() []string               { return nil }
func (j *JWT) verifyInterval() time.Duration { return 0 }

func (y *Synadia) servers() []string             { return y.Servers }
func (y *Synadia) requiredTags() []string        { return y.RequiredTags }
func (y *Synadia) revocable() bool               { return true }
func (y *Synadia) verifiable() bool              { return true }
func (y *Synadia) correctsDrift() bool           { return y.DriftPolicy == DriftCorrect }
func (y *Synadia) keepsUsers() bool              { return true }
func (y *Synadia) platform() string              { return y.Platform }
func (y *Synadia) verifyInterval() time.Duration { return y.VerifyInterval.Value() }
func (y *Synadia) names() []string {
	return []string{y.BaseURL, y.AccountID, y.System, y.Account, y.SigningKeyGroup}
}
