// Package v1alpha1 is the API of the Promise nats-account: a NATS account that
// application teams may draw users from.
//
// +kubebuilder:object:generate=false
// +groupName=baleen.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/field"
)

// NatsAccount is an account of a NATS system with the policy by which teams may
// draw users from it. The platform team declares it in baleen-system.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=natsaccounts,singular=natsaccount,categories=baleen
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name=Workflow,type=string,JSONPath=`.status.conditions[?(@.type=="ConfigureWorkflowCompleted")].reason`
// +kubebuilder:printcolumn:name=Users,type=integer,JSONPath=`.status.users`
// +kubebuilder:printcolumn:name=Attention,type=integer,JSONPath=`.status.needAttention`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Generation,type=integer,priority=1,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name=Observed,type=integer,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].observedGeneration`
// +kubebuilder:printcolumn:name=Message,type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name may have at most 63 characters, because it becomes a label of Kratix's Jobs"
type NatsAccount struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec NatsAccountSpec `json:"spec"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Status NatsAccountStatus `json:"status,omitempty"`
}

// NatsAccountSpec says where users come from, and what teams may ask for.
//
// +kubebuilder:validation:XValidation:rule="has(self.jwt) == (self.provider == 'jwt')",message="provider jwt needs the field jwt, and no other has it"
// +kubebuilder:validation:XValidation:rule="has(self.synadia) == (self.provider == 'synadia')",message="provider synadia needs the field synadia, and no other has it"
type NatsAccountSpec struct {
	// Provider makes the users: jwt signs them with a signing key of the account,
	// for a NATS system of your own in operator mode; synadia has Synadia Cloud, or
	// a Synadia Platform, make them.
	//
	// +required
	Provider Provider `json:"provider"`

	// JWT is the account for provider jwt.
	//
	// +optional
	JWT *JWT `json:"jwt,omitempty"`

	// Synadia is the account for provider synadia.
	//
	// +optional
	Synadia *Synadia `json:"synadia,omitempty"`

	// Policy bounds what a NatsUser may ask for.
	//
	// +kubebuilder:default={}
	// +optional
	Policy Policy `json:"policy,omitempty"`

	// Placement bounds the clusters that users may be delivered to.
	//
	// +optional
	Placement Placement `json:"placement,omitempty"`
}

// Provider makes users.
//
// +kubebuilder:validation:Enum=jwt;synadia
type Provider string

// The providers.
const (
	// ProviderJWT signs users with a signing key of the account.
	ProviderJWT Provider = "jwt"
	// ProviderSynadia has Synadia's control plane make them.
	ProviderSynadia Provider = "synadia"
)

// JWT is an account in operator mode.
//
// +kubebuilder:validation:XValidation:rule="!has(self.operator) || (has(self.servers) && size(self.servers) > 0)",message="operator needs servers, where the account is looked up and updated"
type JWT struct {
	// AccountID is the public key of the account.
	//
	// +kubebuilder:validation:MaxLength=56
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^A[A-Z2-7]{55}$')`,message="is not the public key of an account (A and 55 characters): take it from `nsc describe account`"
	// +required
	AccountID string `json:"accountID"`

	// SigningKey signs the users. It is one of the account's signing keys, and not
	// its identity key, which belongs offline.
	//
	// +required
	SigningKey SigningKey `json:"signingKey"`

	// Servers are the URLs at which the system is reached: by Baleen to verify the
	// account, and by workloads as NATS_URL.
	//
	// +optional
	Servers Servers `json:"servers,omitempty"`

	// CACertificates is a PEM bundle that the servers' certificates are checked
	// with. Default: the public authorities.
	//
	// +optional
	CACertificates Certificates `json:"caCertificates,omitempty"`

	// Operator lets Baleen revoke users and look up the account. Without it a
	// user that was retired lives on until it expires.
	//
	// +optional
	Operator *Operator `json:"operator,omitempty"`
}

// Certificates is a bundle of certificates of authorities, in PEM form.
//
// +kubebuilder:validation:MaxLength=65536
// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----')",message="caCertificates must hold certificates in PEM form"
// +kubebuilder:validation:XValidation:rule="!self.contains('PRIVATE KEY')",message="caCertificates must not hold a private key"
type Certificates string

// Synadia is an account in Synadia Cloud or a Synadia Platform.
//
// +kubebuilder:validation:XValidation:rule="has(self.accountID) != (has(self.system) && has(self.account))",message="name the account by accountID, or by system and account"
// +kubebuilder:validation:XValidation:rule="has(self.system) == has(self.account)",message="system and account go together"
type Synadia struct {
	// BaseURL is where the control plane is.
	//
	// +kubebuilder:default="https://cloud.synadia.com"
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$')`,message="is not the address of a control plane such as https://cloud.synadia.com, without a path"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://') || self.matches('^http://(127([.][0-9]{1,3}){3}|localhost|[[]::1[]])(:|$)')",message="baseURL must be https, but for one on loopback: the token goes there"
	// +optional
	BaseURL string `json:"baseURL,omitempty"`

	// CACertificates is a PEM bundle that the control plane's certificate is checked
	// with, as that of a Synadia Platform of one's own. Default: the public
	// authorities.
	//
	// +optional
	CACertificates Certificates `json:"caCertificates,omitempty"`

	// AccountID is the control plane's id of the account, as in the address of its
	// page.
	//
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[A-Za-z0-9_-]+$')`,message="is not an id of the control plane: take it from the address of the account's page"
	// +optional
	AccountID string `json:"accountID,omitempty"`

	// System and Account name the account, in place of AccountID.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	System string `json:"system,omitempty"`
	// Account: see System.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Account string `json:"account,omitempty"`

	// SigningKeyGroup is the id or the name of the group of signing keys that signs
	// the users. Default: the account's only one, or the one named Default.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	SigningKeyGroup string `json:"signingKeyGroup,omitempty"`

	// RequiredTags are the names of the tags that the subjects of the group's scope
	// are made of, as in {{tag(team)}}: a user without them could not connect.
	//
	// +optional
	RequiredTags TagNames `json:"requiredTags,omitempty"`

	// Platform is this platform's name among all that draw from the account: it is
	// part of what tells their users apart. Each needs another one. Changing it makes
	// the users that there are those of another platform.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +required
	Platform string `json:"platform"`

	// TokenSecretRef names the Secret in baleen-system that holds a token of the
	// control plane: of a service account that may manage the account's users.
	//
	// +required
	TokenSecretRef TokenRef `json:"tokenSecretRef"`

	// Servers are the URLs at which workloads reach NATS, as NATS_URL.
	//
	// +optional
	Servers Servers `json:"servers,omitempty"`

	// VerifyInterval is how often the users are read, to notice what was deleted or
	// changed in the console. It takes effect with a reconcile.
	//
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="verifyInterval must not be zero"
	// +optional
	VerifyInterval field.Duration `json:"verifyInterval,omitempty"`

	// DriftPolicy is what is done about permissions that were changed in the
	// console: Report says so in the status, Correct also makes a new user.
	//
	// +kubebuilder:default=Report
	// +kubebuilder:validation:Enum=Report;Correct
	// +optional
	DriftPolicy DriftPolicy `json:"driftPolicy,omitempty"`

	// Budget is how long one run may speak with the control plane. What it does not
	// get done is left to the next one.
	//
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="budget must not be zero"
	// +optional
	Budget field.Duration `json:"budget,omitempty"`
}

// DriftPolicy is what is done about users that were changed in the console.
type DriftPolicy string

// The drift policies.
const (
	DriftReport  DriftPolicy = "Report"
	DriftCorrect DriftPolicy = "Correct"
)

// TokenRef names a token in a Secret in baleen-system. The rule for its name stands
// here, because of a map an API server does not repeat what is wrong: who writes the
// token itself there does not want to read it.
//
// +kubebuilder:validation:XValidation:rule=`self.name.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,fieldPath=".name",message="is not the name of a Secret: write the name of the one that holds the token, at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
type TokenRef struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// Key in the Secret's data.
	//
	// +kubebuilder:default=token
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[-._a-zA-Z0-9]+$')`,message="is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and ."
	// +kubebuilder:validation:XValidation:rule="self != '.' && !self.startsWith('..')",message="key must be a key that a Secret can have"
	// +optional
	Key string `json:"key,omitempty"`
}

// SigningKey is a signing key of an account.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requiredTags) || size(self.requiredTags) == 0 || (has(self.scoped) && self.scoped)",message="requiredTags goes with scoped: true only"
type SigningKey struct {
	// SecretRef names the Secret in baleen-system that holds the seed (SA...).
	//
	// +required
	SecretRef SecretRef `json:"secretRef"`

	// Scoped: the account gives the key a scope, which holds the permissions and
	// limits of all its users. A NatsUser may then name none of its own.
	//
	// +optional
	Scoped bool `json:"scoped,omitempty"`

	// RequiredTags are the names of the tags that the scope's subjects are made
	// of, as in {{tag(team)}}: a user without them could not connect.
	//
	// +optional
	RequiredTags TagNames `json:"requiredTags,omitempty"`
}

// Servers are URLs of NATS servers.
//
// +kubebuilder:validation:MaxItems=16
// +kubebuilder:validation:items:MaxLength=256
// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^(nats|tls|ws|wss)://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$')`,message="is not the URL of a NATS server such as nats://nats.example.com:4222, without a user and a path"
// +kubebuilder:validation:XValidation:rule="self.all(s, s.startsWith('ws')) || !self.exists(s, s.startsWith('ws'))",message="servers must be all WebSocket (ws and wss) or none: clients do not mix them"
// +listType=set
type Servers []string

// TagNames are names of tags, without their values.
//
// +kubebuilder:validation:MaxItems=32
// +kubebuilder:validation:items:MaxLength=64
// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$')`,message="is not the name of a tag: at most 64 of a-z, 0-9, -, _ and ."
// +listType=set
type TagNames []string

// SecretRef names a seed in a Secret.
type SecretRef struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +required
	Name string `json:"name"`

	// Key in the Secret's data.
	//
	// +kubebuilder:default=seed
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[-._a-zA-Z0-9]+$')`,message="is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and ."
	// +kubebuilder:validation:XValidation:rule="self != '.' && !self.startsWith('..')",message="key must be a key that a Secret can have"
	// +optional
	Key string `json:"key,omitempty"`
}

// CredentialsRef names a .creds file in a Secret.
type CredentialsRef struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +required
	Name string `json:"name"`

	// Key in the Secret's data.
	//
	// +kubebuilder:default=creds
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[-._a-zA-Z0-9]+$')`,message="is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and ."
	// +kubebuilder:validation:XValidation:rule="self != '.' && !self.startsWith('..')",message="key must be a key that a Secret can have"
	// +optional
	Key string `json:"key,omitempty"`
}

// Operator is what changes an account takes. Its Secrets are in baleen-operator.
type Operator struct {
	// SigningKeySecretRef names the Secret in baleen-operator that holds the seed (SO...)
	// of a key that the operator signs accounts with.
	//
	// +required
	SigningKeySecretRef SecretRef `json:"signingKeySecretRef"`

	// SystemCredentialsSecretRef names the Secret in baleen-operator that holds
	// credentials (a .creds file) of a user of the system account.
	//
	// +required
	SystemCredentialsSecretRef CredentialsRef `json:"systemCredentialsSecretRef"`
}

// Policy bounds what a NatsUser may ask for. {{namespace}} and {{name}} in
// subjects and tags stand for those of the request.
type Policy struct {
	// Namespaces are those whose requests are admitted; * stands for any
	// characters. Default: none.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$')`,message="is not a namespace or a pattern such as team-*"
	// +listType=set
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`

	// Publish are the subjects that may be asked for to publish, as sets: orders.>
	// admits orders.* and orders.new.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^((([!-)+,/-=?-z|~-]|[{][{](namespace|name)[}][}])+|[*])[.])*(([!-)+,/-=?-z|~-]|[{][{](namespace|name)[}][}])+|[*]|>)$')",message="must be a subject: tokens with one dot between them, * and > as tokens of their own, > as the last, no braces but those of {{namespace}} and {{name}}"
	// +listType=set
	// +optional
	Publish []string `json:"publish,omitempty"`

	// Subscribe are the subjects that may be asked for to subscribe.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^((([!-)+,/-=?-z|~-]|[{][{](namespace|name)[}][}])+|[*])[.])*(([!-)+,/-=?-z|~-]|[{][{](namespace|name)[}][}])+|[*]|>)$')",message="must be a subject: tokens with one dot between them, * and > as tokens of their own, > as the last, no braces but those of {{namespace}} and {{name}}"
	// +listType=set
	// +optional
	Subscribe []string `json:"subscribe,omitempty"`

	// MaxTTL is the longest life of a credential.
	//
	// +kubebuilder:default="2160h"
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="maxTTL must not be zero"
	// +optional
	MaxTTL field.Duration `json:"maxTTL,omitempty"`

	// MinRenewBefore is the shortest time before its expiry at which a credential
	// is renewed. It must be longer than Kratix's reconcile interval and the time
	// that a delivery may take.
	//
	// +kubebuilder:default="48h"
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="minRenewBefore must not be zero"
	// +optional
	MinRenewBefore field.Duration `json:"minRenewBefore,omitempty"`

	// MaxOverlap is the longest overlap: how long a former credential lives on after one
	// that was issued upon a wish. After a renewal it lives until it expires. Default:
	// what the request says.
	//
	// +optional
	MaxOverlap field.Duration `json:"maxOverlap,omitempty"`

	// MaxFormer is how many former credentials of one namespace may be unexpired: what a
	// rotation, another grant or a deletion takes out of use is revoked until it expires,
	// and an account has room for some 10,000 revocations, of all namespaces. A namespace
	// that has as many gets no credential on request until some have expired; renewals
	// and deletions go on. Default: 1000.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	MaxFormer *int `json:"maxFormer,omitempty"`

	// RefuseRetain refuses requests with deletionPolicy Retain, and has each deletion
	// revoke the credentials.
	//
	// +optional
	RefuseRetain bool `json:"refuseRetain,omitempty"`

	// ConnectionTypes are the ways to connect that a user may ask for, and that it
	// gets if it asks for none.
	//
	// +kubebuilder:default={STANDARD,WEBSOCKET}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	// +listType=set
	// +optional
	ConnectionTypes []ConnectionType `json:"connectionTypes,omitempty"`

	// AllowResponses admits users that answer requests, up to these bounds. Who may
	// publish and subscribe to one subject can send a request to itself, and so
	// publish to a reply subject of its own choice, whatever it is: leave this out
	// where teams must not reach each other's subjects. Default: not admitted.
	//
	// +optional
	AllowResponses *Responses `json:"allowResponses,omitempty"`

	// AllowBearerTokens admits users whose JWT alone connects, without the seed.
	//
	// +optional
	AllowBearerTokens bool `json:"allowBearerTokens,omitempty"`

	// Tags are those that a user may ask for; * stands for any characters. With a
	// scoped signing key tags may stand for rights.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^([-a-z0-9_.:/*]|[{][{](namespace|name)[}][}])+$')`,message="is not a tag or a pattern such as team:{{namespace}} or stage:*"
	// +listType=set
	// +optional
	Tags []string `json:"tags,omitempty"`

	// MaxJWTBytes bounds the size of a user's JWT. Servers cap the line that
	// carries it, by default at 4096 bytes.
	//
	// +kubebuilder:default=3500
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	MaxJWTBytes int64 `json:"maxJWTBytes,omitempty"`
}

// Responses bound the answers to one request.
type Responses struct {
	// Max is how many messages may answer one request.
	//
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Max int64 `json:"max,omitempty"`

	// TTL is how long after the request answers are let through.
	//
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="ttl must not be zero"
	// +optional
	TTL field.Duration `json:"ttl,omitempty"`
}

// ConnectionType is a way to connect.
//
// +kubebuilder:validation:Enum=STANDARD;WEBSOCKET;LEAFNODE;LEAFNODE_WS;MQTT;MQTT_WS;IN_PROCESS
type ConnectionType string

// Placement bounds the clusters that users may be delivered to.
type Placement struct {
	// Allowed selects Destinations: one that matches any entry is allowed.
	// Default: all.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Allowed []field.Placement `json:"allowed,omitempty"`
}

// OperatorProtected is a condition's type.
const OperatorProtected = "OperatorProtected"

// NatsAccountStatus is what the last run reports. Kratix adds keys of its own.
type NatsAccountStatus struct {
	// Conditions: Ready says whether the account can give out users, and
	// OperatorProtected, where it is there, whether the operator's Secrets are where
	// this account's pipeline alone may read them.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the generation of the spec that the last run saw.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Message says in plain words how things stand.
	Message string `json:"message,omitempty"`
	// Account shows the account: its id, signing key, and what was verified.
	Account *AccountStatus `json:"account,omitempty"`
	// Policy is the one in force, with its defaults.
	Policy *Policy `json:"policy,omitempty"`
	// Users is how many NatsUsers draw from the account.
	Users int64 `json:"users,omitempty"`
	// NeedAttention is with how many of them something stays wrong, as the last run saw
	// it: those that are refused, paused or stuck, and not those that are about to run.
	// AttentionNames are the first of them.
	NeedAttention  int64    `json:"needAttention,omitempty"`
	AttentionNames []string `json:"attentionNames,omitempty"`
	// Revocations is how many revoked users Baleen keeps in the account's JWT.
	Revocations int64 `json:"revocations,omitempty"`
	// Former are the namespaces with the most former credentials that have not expired,
	// which policy.maxFormer bounds.
	Former []FormerStatus `json:"former,omitempty"`
}

// FormerStatus is how many former credentials a namespace has.
type FormerStatus struct {
	Namespace string `json:"namespace"`
	Count     int64  `json:"count"`
}

// AccountStatus is what the last run found of the account.
type AccountStatus struct {
	// ID is the public key of the account, SigningKey that of the key in use, and
	// with Synadia the id of its group.
	ID         string `json:"id"`
	SigningKey string `json:"signingKey"`
	// Found reports whether a run has found this account with this key. Up to v0.1.0 it is
	// not said.
	Found *bool `json:"found,omitempty"`
	// NameInScope reports whether the scope's subjects are made of the user's name, NoBearer
	// whether the account's own limits refuse bearer tokens, and MaxJWTBytes how large a
	// user's JWT its servers take.
	NameInScope bool  `json:"nameInScope,omitempty"`
	NoBearer    bool  `json:"noBearer,omitempty"`
	MaxJWTBytes int64 `json:"maxJWTBytes,omitempty"`
	// ProviderID is Synadia's id of the account, Scoped reports whether its group has
	// a scope, and Read is when its users were read last.
	ProviderID string `json:"providerID,omitempty"`
	Scoped     bool   `json:"scoped,omitempty"`
	Read       string `json:"read,omitempty"`
	// Source is the digest of what in the spec names Synadia's account.
	Source string `json:"source,omitempty"`
	// UnknownUsers are called as this platform's users are, and it did not make them.
	UnknownUsers int64 `json:"unknownUsers,omitempty"`
	// Name is the account's name, where it could be looked up.
	Name string `json:"name,omitempty"`
	// Scope describes the role of a scoped signing key.
	Scope string `json:"scope,omitempty"`
	// Verified says how far the account could be verified.
	Verified string `json:"verified"`
	// Revocation says whether users can be revoked.
	Revocation string `json:"revocation"`
}
