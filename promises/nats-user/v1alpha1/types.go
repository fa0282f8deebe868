// Package v1alpha1 is the API of the Promise nats-user: a NATS credential for a
// workload, on every cluster where it runs.
//
// +kubebuilder:object:generate=false
// +groupName=baleen.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/field"
	account "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// NatsUser is a credential for a workload, delivered as a Secret to every
// cluster that the request is placed on.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=natsusers,singular=natsuser,categories=baleen
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name=Workflow,type=string,JSONPath=`.status.conditions[?(@.type=="ConfigureWorkflowCompleted")].reason`
// +kubebuilder:printcolumn:name=Secret,type=string,JSONPath=`.status.secret`
// +kubebuilder:printcolumn:name=Expires,type=string,JSONPath=`.status.expires`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Generation,type=integer,priority=1,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name=Observed,type=integer,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].observedGeneration`
// +kubebuilder:printcolumn:name=Message,type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name may have at most 63 characters, because it becomes a label of Kratix's Jobs"
type NatsUser struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec NatsUserSpec `json:"spec"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Status NatsUserStatus `json:"status,omitempty"`
}

// NatsUserSpec says what the credential may do, how long it lives and where it
// is delivered.
type NatsUserSpec struct {
	// AccountRef names the NatsAccount in baleen-system.
	//
	// +required
	AccountRef AccountRef `json:"accountRef"`

	// Permissions say which subjects the user may publish and subscribe to. What
	// is not named is not allowed. Leave them out for an account with a scoped
	// signing key.
	//
	// +optional
	Permissions *Permissions `json:"permissions,omitempty"`

	// Limits bound one connection of the user.
	//
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// ConnectionTypes are the ways to connect. Default: those of the account's policy.
	//
	// +kubebuilder:validation:MaxItems=7
	// +listType=set
	// +optional
	ConnectionTypes []account.ConnectionType `json:"connectionTypes,omitempty"`

	// SourceCIDRs are the networks from which the user may connect. Default: all.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[0-9a-fA-F:.]+/[0-9]{1,3}$')`,message="is not a network such as 10.0.0.0/8"
	// +listType=set
	// +optional
	SourceCIDRs []string `json:"sourceCIDRs,omitempty"`

	// Times are the hours of the day in which the user may be connected.
	// Default: always.
	//
	// +optional
	Times *Times `json:"times,omitempty"`

	// Tags are put into the user's JWT besides namespace, name and destination,
	// which Baleen sets. The account's policy must admit them.
	//
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[a-z0-9][-a-z0-9_.:/]*$')`,message="is not a tag such as stage:prod: at most 128 of a-z, 0-9, -, _, ., : and /"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('^(namespace|name|destination)(:|$)')",message="the tags namespace, name and destination are set by Baleen"
	// +listType=set
	// +optional
	Tags []string `json:"tags,omitempty"`

	// BearerToken makes a user whose JWT alone connects, without the seed. The
	// account's policy must admit it.
	//
	// +optional
	BearerToken bool `json:"bearerToken,omitempty"`

	// Credentials say how long a credential lives and how one follows another.
	//
	// +kubebuilder:default={}
	// +optional
	Credentials Credentials `json:"credentials,omitempty"`

	// Secret is what is delivered to the clusters.
	//
	// +required
	Secret Secret `json:"secret"`

	// WorkloadNamespace is the namespace of the Secret on the workload clusters.
	// Default: the request's own namespace; another one must be mapped to it by
	// the platform team.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +optional
	WorkloadNamespace string `json:"workloadNamespace,omitempty"`

	// Retain is what Baleen keeps of a delivered credential: Ciphertext, so that a
	// cluster that is built anew gets its Secret from Git, or Nothing, once it
	// was delivered.
	//
	// +kubebuilder:default=Ciphertext
	// +optional
	Retain Retain `json:"retain,omitempty"`

	// Placement selects the workload clusters: every Destination that matches.
	// Default: all that the account allows.
	//
	// +optional
	Placement field.Placement `json:"placement,omitempty"`

	// DeletionPolicy says what a deletion does to the credentials: Revoke, or
	// Retain, which lets them live until they expire.
	//
	// +kubebuilder:default=Revoke
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// AccountRef names a NatsAccount.
type AccountRef struct {
	// Name of the NatsAccount in baleen-system.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 63 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +required
	Name string `json:"name"`
}

// Permissions say which subjects a user may use.
type Permissions struct {
	// Publish: subjects to publish to. None allowed: the user may not publish.
	//
	// +optional
	Publish Subjects `json:"publish,omitempty"`

	// Subscribe: subjects to subscribe to. None allowed: the user may not subscribe.
	//
	// +optional
	Subscribe Subjects `json:"subscribe,omitempty"`

	// AllowResponses lets the user answer requests on their reply subjects, as far
	// as the account's policy admits it.
	//
	// +optional
	AllowResponses *account.Responses `json:"allowResponses,omitempty"`
}

// Subjects are allowed, and denied among those.
type Subjects struct {
	// Allow are subjects; wildcards as NATS has them.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^(([!-)+,/-=?-~-]+|[*])[.])*([!-)+,/-=?-~-]+|[*]|>)$')",message="must be a subject: tokens with one dot between them, * and > as tokens of their own, > as the last"
	// +listType=set
	// +optional
	Allow []string `json:"allow,omitempty"`

	// Deny are subjects that are not allowed although they match one above.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^(([!-)+,/-=?-~-]+|[*])[.])*([!-)+,/-=?-~-]+|[*]|>)$')",message="must be a subject: tokens with one dot between them, * and > as tokens of their own, > as the last"
	// +listType=set
	// +optional
	Deny []string `json:"deny,omitempty"`
}

// Limits bound a connection.
type Limits struct {
	// Subscriptions is how many a connection may have. Default: no limit but the
	// account's.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	Subscriptions int64 `json:"subscriptions,omitempty"`

	// Payload is the largest message. Default: no limit but the account's.
	//
	// +optional
	Payload field.Size `json:"payload,omitempty"`
}

// Times are hours of the day.
type Times struct {
	// TimeZone in which they are meant, a name of the IANA database.
	//
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[A-Za-z0-9_+/-]+$')`,message="is not a time zone of the IANA database such as Europe/Zurich"
	// +kubebuilder:validation:XValidation:rule="self != 'Local'",message="timeZone must be the same everywhere, and Local is not"
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// Ranges are from a time of day to another, as 08:00:00.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +required
	Ranges []TimeRange `json:"ranges"`
}

// TimeRange is part of a day; one that ends before it starts goes over midnight.
//
// +kubebuilder:validation:XValidation:rule="self.start != self.end",message="start and end must differ: a range from a time to itself is empty"
type TimeRange struct {
	// Start of the range, as 08:00:00.
	//
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$')`,message="is not a time of day such as 08:00:00"
	// +required
	Start string `json:"start"`

	// End of the range, as 18:00:00.
	//
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$')`,message="is not a time of day such as 08:00:00"
	// +required
	End string `json:"end"`
}

// Credentials say how one generation of a credential follows another.
type Credentials struct {
	// TTL is the life of a credential, as 30d or 720h, at most the account's maxTTL. A change
	// counts from the next generation on.
	//
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="ttl must not be zero"
	// +optional
	TTL field.Duration `json:"ttl,omitempty"`

	// RenewBefore is how long before its expiry a credential is renewed, at least
	// the account's minRenewBefore. Default: a third of the ttl.
	//
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="renewBefore must not be zero"
	// +optional
	RenewBefore field.Duration `json:"renewBefore,omitempty"`

	// Overlap is how long the former credential lives on after a rotation on
	// request or a change of what was granted, counted from when the new one was
	// seen in the state store. A routine renewal revokes nothing.
	//
	// +kubebuilder:default="24h"
	// +optional
	Overlap field.Duration `json:"overlap,omitempty"`

	// Rotate asks for a new generation whenever it is changed to another value.
	//
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[!-~]*$')`,message="is not a word of at most 64 printable characters"
	// +optional
	Rotate string `json:"rotate,omitempty"`

	// RevokePrevious says when the former credential goes: AfterOverlap, or
	// Immediately, which cuts off workloads that have not read the new one yet.
	//
	// +kubebuilder:default=AfterOverlap
	// +optional
	RevokePrevious RevokePrevious `json:"revokePrevious,omitempty"`
}

// RevokePrevious says when a former credential goes.
//
// +kubebuilder:validation:Enum=AfterOverlap;Immediately
type RevokePrevious string

// When a former credential goes.
const (
	AfterOverlap RevokePrevious = "AfterOverlap"
	Immediately  RevokePrevious = "Immediately"
)

// Secret is what is delivered.
//
// +kubebuilder:validation:XValidation:rule="!has(self.key) || !has(self.format) || self.format == 'Creds'",message="key goes with format: Creds only; the other formats have keys of their own"
type Secret struct {
	// Name of the Secret. It is claimed: no other request can have it on the same
	// cluster and in the same namespace. At most 173 characters, because the name
	// of a file is made of it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=173
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +required
	Name string `json:"name"`

	// Key of the .creds file in the Secret; .baleen is not free. Default: nats.creds.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[-._a-zA-Z0-9]+$')`,message="is not a key that a Secret can have: at most 253 of A-Z, a-z, 0-9, -, _ and ."
	// +kubebuilder:validation:XValidation:rule="self != '.' && self != '.baleen' && !self.startsWith('..')",message="key must be a key that a Secret can have, other than .baleen"
	// +optional
	Key string `json:"key,omitempty"`

	// Format is what the Secret holds: Creds, a .creds file; JWTAndSeed, the keys
	// jwt and seed; or Env, the keys NATS_URL, NATS_CREDS, NATS_JWT and NATS_SEED.
	//
	// +kubebuilder:default=Creds
	// +optional
	Format Format `json:"format,omitempty"`

	// Labels of the Secret. Prefixes of Kubernetes, Kratix, Argo CD, Sealed
	// Secrets, Helm and Baleen are not yours to set.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="labels must have valid label names"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.matches('(^|[.])(kubernetes[.]io|k8s[.]io|x-k8s[.]io|kratix[.]io|argoproj[.]io|bitnami[.]com|helm[.]sh|baleen[.]dev)/'))",message="labels of Kubernetes, Kratix, Argo CD, Sealed Secrets, Helm and Baleen are not yours to set"
	// +optional
	Labels map[string]field.LabelValue `json:"labels,omitempty"`

	// Annotations of the Secret, for a reloader say.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.lowerAscii().matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$'))",message="annotations must have valid names"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.lowerAscii().matches('(^|[.])(kubernetes[.]io|k8s[.]io|x-k8s[.]io|kratix[.]io|argoproj[.]io|bitnami[.]com|helm[.]sh|baleen[.]dev)/'))",message="annotations of Kubernetes, Kratix, Argo CD, Sealed Secrets, Helm and Baleen are not yours to set"
	// +optional
	Annotations map[string]Annotation `json:"annotations,omitempty"`
}

// Annotation is the value of an annotation, on one line.
//
// +kubebuilder:validation:MaxLength=4096
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]*$')`,message="has a line break or another control character, or more than 4096 bytes"
type Annotation string

// Format is the form of a delivered credential.
//
// +kubebuilder:validation:Enum=Creds;JWTAndSeed;Env
type Format string

// The forms of a delivered credential.
const (
	Creds      Format = "Creds"
	JWTAndSeed Format = "JWTAndSeed"
	Env        Format = "Env"
)

// Retain is what is kept of a delivered credential.
//
// +kubebuilder:validation:Enum=Ciphertext;Nothing
type Retain string

// What is kept of a delivered credential.
const (
	Ciphertext Retain = "Ciphertext"
	Nothing    Retain = "Nothing"
)

// DeletionPolicy says what a deletion does to the credentials.
//
// +kubebuilder:validation:Enum=Revoke;Retain
type DeletionPolicy string

// What a deletion does.
const (
	Revoke       DeletionPolicy = "Revoke"
	RetainOnGone DeletionPolicy = "Retain"
)

// NatsUserStatus is what the last run reports. Kratix adds keys of its own.
type NatsUserStatus struct {
	// Conditions: Ready says whether every cluster has a credential that is as asked.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the generation of the spec that the last run saw.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Message says in plain words how things stand.
	Message string `json:"message,omitempty"`
	// Account is the public key of the account, Secret the delivered Secret as
	// namespace/name.
	Account string `json:"account,omitempty"`
	Secret  string `json:"secret,omitempty"`
	// Expires is when the first of the delivered credentials expires.
	Expires string `json:"expires,omitempty"`
	// Credentials are the delivered ones, by cluster.
	Credentials []CredentialStatus `json:"credentials,omitempty"`
	// AccountTerms is the digest of what the account offered in the last run, by
	// which the account knows whom a change concerns.
	AccountTerms string `json:"accountTerms,omitempty"`
}

// CredentialStatus is the credential of one cluster.
type CredentialStatus struct {
	// Destination is the cluster.
	Destination string `json:"destination"`
	// Generation counts the credentials of this cluster.
	Generation int64 `json:"generation,omitempty"`
	// User is the public key of the user.
	User string `json:"user,omitempty"`
	// Issued, Expires and Renews are times as in RFC 3339.
	Issued  string `json:"issued,omitempty"`
	Expires string `json:"expires,omitempty"`
	Renews  string `json:"renews,omitempty"`
	// Reason is why this generation was issued.
	Reason string `json:"reason,omitempty"`
	// State is that of a cluster which no longer matches, whose credential can still
	// connect: Leaving, in its grace; Retiring, to be revoked; or Unrevoked, retired with
	// nothing to revoke it with. One that matches has none.
	State string `json:"state,omitempty"`
	// Earlier are the generations before it that can still connect.
	Earlier []EarlierStatus `json:"earlier,omitempty"`
	// Problem is why the cluster does not have what was asked for.
	Problem string `json:"problem,omitempty"`
}

// EarlierStatus is a generation that was followed by another one.
type EarlierStatus struct {
	Generation int64 `json:"generation"`
	// User is the public key of the user.
	User    string `json:"user"`
	Expires string `json:"expires"`
	// State is Active until it expires; Retiring, to be revoked; or Unrevoked, let
	// go of with nothing to revoke it with.
	State string `json:"state"`
}
