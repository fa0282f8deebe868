// Package reason has the words by which a status says how a request fares, what becomes
// of it then, and what documents say of each. They are stored in statuses and looked for
// by people's scripts: none is renamed.
package reason

// Reason is the reason of a condition: a CamelCase word, as the Kubernetes API
// conventions have it.
type Reason string

// The reasons of a request that has all that it asks for.
const (
	// Delivered: every cluster has a credential as asked.
	Delivered Reason = "Delivered"
	// Published: all paths are published.
	Published Reason = "Published"
	// Ready: a System offers what it says, or every cluster is to run a workload as asked.
	Ready Reason = "Ready"
	// Verified: the account is as its spec says, as far as it was verified.
	Verified Reason = "Verified"
)

// The reasons of the condition OperatorProtected, by which nobody is refused.
const (
	// CopiesToDelete: the operator's Secrets are in baleen-operator, and copies of them in
	// baleen-system.
	CopiesToDelete Reason = "CopiesToDelete"
	// SecretsMoved: no Secret of the operator's is in baleen-system any more.
	SecretsMoved Reason = "SecretsMoved"
	// SecretsToMove: a Secret of the operator's is in baleen-system.
	SecretsToMove Reason = "SecretsToMove"
)

// The reasons why it has not.
const (
	// AccountInvalid: its spec or its signing key is wrong.
	AccountInvalid Reason = "AccountInvalid"
	// AccountNotFound: there is no such account, or it is being deleted.
	AccountNotFound Reason = "AccountNotFound"
	// AccountRefuted: its last run found that what it signs would not connect.
	AccountRefuted Reason = "AccountRefuted"
	// AccountUnknown: there is no such account.
	AccountUnknown Reason = "AccountUnknown"
	// AccountUnverified: no run of the account has seen it as it is now.
	AccountUnverified Reason = "AccountUnverified"
	// AggregatorInvalid: the aggregator's own spec is wrong.
	AggregatorInvalid Reason = "AggregatorInvalid"
	// AggregatorNotFound: there is no such aggregator.
	AggregatorNotFound Reason = "AggregatorNotFound"
	// CertificateUnusable: nothing can be sealed for a cluster.
	CertificateUnusable Reason = "CertificateUnusable"
	// ClockOff: the clock of the node differs from that of others by more than ten minutes.
	ClockOff Reason = "ClockOff"
	// ComponentConflict: another Workload has the name on a cluster.
	ComponentConflict Reason = "ComponentConflict"
	// ConfigurationInvalid: the platform team's baleen-config is wrong.
	ConfigurationInvalid Reason = "ConfigurationInvalid"
	// DestinationNotAllowed: you select clusters that the account does not allow; the others
	// are served.
	DestinationNotAllowed Reason = "DestinationNotAllowed"
	// DestinationNotRegistered: a Destination that matches was not registered.
	DestinationNotRegistered Reason = "DestinationNotRegistered"
	// Failed: anything else.
	Failed Reason = "Failed"
	// GrantRefused: NATS would refuse the JWT, or nobody could connect with it.
	GrantRefused Reason = "GrantRefused"
	// GrantTooLarge: the JWT would be larger than the account allows: name fewer subjects, or
	// wider ones.
	GrantTooLarge Reason = "GrantTooLarge"
	// HostConflict: another aggregator has the host.
	HostConflict Reason = "HostConflict"
	// HostNotHeld: the aggregator does not hold its host, or has not run yet.
	HostNotHeld Reason = "HostNotHeld"
	// HostnameChanged: the host cannot be changed; make another aggregator, move the targets,
	// delete this one.
	HostnameChanged Reason = "HostnameChanged"
	// InvalidSpec: a field is wrong.
	InvalidSpec Reason = "InvalidSpec"
	// IssueFailed: the control plane of Synadia cannot be reached, or refuses.
	IssueFailed Reason = "IssueFailed"
	// IssuerNotTrusted: the servers do not trust the key that the account is signed with.
	IssuerNotTrusted Reason = "IssuerNotTrusted"
	// LedgerDamaged: a ConfigMap in baleen-state that should be a user's ledger cannot be
	// read.
	LedgerDamaged Reason = "LedgerDamaged"
	// LedgerFull: the ledger has no room for another generation on so many clusters; make two
	// requests of it, or rotate less often.
	LedgerFull Reason = "LedgerFull"
	// NamespaceNotMapped: the workload namespace is not yours.
	NamespaceNotMapped Reason = "NamespaceNotMapped"
	// NoDestination: no Destination matches.
	NoDestination Reason = "NoDestination"
	// NotAdmitted: what you refer to does not admit your namespace, or what you ask for.
	NotAdmitted Reason = "NotAdmitted"
	// NothingRendered: an overlay leaves nothing to deliver.
	NothingRendered Reason = "NothingRendered"
	// OperatorKeyNotTrusted: not all servers trust the operator's signing key.
	OperatorKeyNotTrusted Reason = "OperatorKeyNotTrusted"
	// OutputTooLarge: Kratix keeps what a request delivers in one object, which would be too
	// large.
	OutputTooLarge Reason = "OutputTooLarge"
	// OverlayFailed: the platform team's overlays cannot be read, or do not fit.
	OverlayFailed Reason = "OverlayFailed"
	// OverrideUnused: perDestination names a cluster where the aggregator is not.
	OverrideUnused Reason = "OverrideUnused"
	// PathsRefused: at least one path is refused.
	PathsRefused Reason = "PathsRefused"
	// PlatformUnavailable: the API server could not be reached in time.
	PlatformUnavailable Reason = "PlatformUnavailable"
	// ProviderUnreachable: no answer that can be read within the budget, or a refusal that is
	// not about the token.
	ProviderUnreachable Reason = "ProviderUnreachable"
	// RenderFailed: the platform team's overlays do not apply.
	RenderFailed Reason = "RenderFailed"
	// RenewalWindowTooShort: minRenewBefore is not longer than reconcileInterval.
	RenewalWindowTooShort Reason = "RenewalWindowTooShort"
	// RevocationFailed: the servers do not take or do not show a revocation; the next run
	// tries again.
	RevocationFailed Reason = "RevocationFailed"
	// RotatesTooOften: a cluster has 24 credentials that have not expired yet, and gets no
	// other until it is due.
	RotatesTooOften Reason = "RotatesTooOften"
	// ScopeMismatch: scoped and the account differ, or the scope needs a tag that requiredTags
	// does not name.
	ScopeMismatch Reason = "ScopeMismatch"
	// SecretConflict: another NatsUser has the Secret on a cluster.
	SecretConflict Reason = "SecretConflict"
	// SecretInvalid: a Secret or its key is missing, or holds something else.
	SecretInvalid Reason = "SecretInvalid"
	// ServersUnreachable: no server answers, or none has a full resolver, or the credentials
	// are not of the system account.
	ServersUnreachable Reason = "ServersUnreachable"
	// SigningKeyUnknown: the account does not list the signing key.
	SigningKeyUnknown Reason = "SigningKeyUnknown"
	// SigningKeyUnusable: the group is disabled, or Synadia does not have its seed.
	SigningKeyUnusable Reason = "SigningKeyUnusable"
	// SystemInvalid: the System's own spec is wrong.
	SystemInvalid Reason = "SystemInvalid"
	// SystemNotFound: there is no such System, or it is being deleted.
	SystemNotFound Reason = "SystemNotFound"
	// SystemNotTrusted: the System is in a namespace in which Systems do not count.
	SystemNotTrusted Reason = "SystemNotTrusted"
	// SystemUserRefused: the credentials of the system account are refused.
	SystemUserRefused Reason = "SystemUserRefused"
	// TokenRefused: the token is wrong or expired, or may not do what is needed.
	TokenRefused Reason = "TokenRefused"
	// TooManyCredentials: the namespace has as many former credentials of the account as it
	// may have, and gets no other on request.
	TooManyCredentials Reason = "TooManyCredentials"
	// UserRefused: the throw-away user was refused.
	UserRefused Reason = "UserRefused"
	// WrongNamespace: it is in a namespace in which it counts for nobody.
	WrongNamespace Reason = "WrongNamespace"
)

// The reasons why one path of a target is refused. They are states of that path.
const (
	// BodyLimitAboveMaximum: its limit of request bodies is above the aggregator's.
	BodyLimitAboveMaximum Reason = "BodyLimitAboveMaximum"
	// NestedInForeignPrefix: it lies below a path of another namespace, whose owner does not
	// allow that.
	NestedInForeignPrefix Reason = "NestedInForeignPrefix"
	// NotDelegated: the aggregator delegates it to other namespaces.
	NotDelegated Reason = "NotDelegated"
	// PathConflict: another request has the path.
	PathConflict Reason = "PathConflict"
	// Reserved: the path speaks for the whole host, or is the data plane's own.
	Reserved Reason = "Reserved"
	// UnsupportedByImplementation: the implementation of the Gateway API does not honour what
	// is asked for.
	UnsupportedByImplementation Reason = "UnsupportedByImplementation"
)

// Class is what becomes of a request that is refused.
type Class int

const (
	// Well is not refused.
	Well Class = iota
	// Retry means that nothing in the request or in what it refers to need change. It is run again
	// as soon as anybody has an occasion, because the reason may have gone away.
	Retry
	// Wait means that somebody else has something to do, or the owner has. It is run again when what
	// it refers to changes.
	Wait
	// Refuse means that the request itself is wrong, whatever it refers to. Nothing but another spec
	// has it run again before its interval.
	Refuse
)

// classes are those that are not Wait.
var classes = map[Reason]Class{
	Published: Well, Delivered: Well, Ready: Well, Verified: Well, CopiesToDelete: Well, SecretsMoved: Well, SecretsToMove: Well,
	PlatformUnavailable: Retry, Failed: Retry, RenderFailed: Retry, OverlayFailed: Retry, ConfigurationInvalid: Retry, ClockOff: Retry, IssueFailed: Retry,
	InvalidSpec: Refuse, NamespaceNotMapped: Refuse,
}

// Class returns what becomes of a request that has the reason; of a word that is none, as
// an older version may have written, it is Wait.
func (r Reason) Class() Class {
	if class, special := classes[r]; special {
		return class
	}
	return Wait
}

// refuting are the reasons of a NatsAccount by which its keys are known to be wrong.
var refuting = map[Reason]bool{
	SigningKeyUnknown: true, ScopeMismatch: true, SigningKeyUnusable: true,
	AccountUnknown: true, IssuerNotTrusted: true, UserRefused: true,
}

// Refutes reports whether an account that has the reason cannot have users that connect. A
// server that is away does not.
func (r Reason) Refutes() bool { return refuting[r] }
