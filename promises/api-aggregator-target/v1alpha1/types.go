// Package v1alpha1 is the API of the Promise api-aggregator-target: paths of one
// service, published under an ApiAggregator's host.
//
// +kubebuilder:object:generate=false
// +groupName=baleen.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/reason"
)

// ApiAggregatorTarget publishes paths of a service under the host of an
// ApiAggregator, on every cluster where the aggregator is.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=apiaggregatortargets,singular=apiaggregatortarget,categories=baleen
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name=Workflow,type=string,JSONPath=`.status.conditions[?(@.type=="ConfigureWorkflowCompleted")].reason`
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name=Paths,type=string,JSONPath=`.status.accepted`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Generation,type=integer,priority=1,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name=Observed,type=integer,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].observedGeneration`
// +kubebuilder:printcolumn:name=Message,type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name may have at most 63 characters, because it becomes a label of Kratix's Jobs"
type ApiAggregatorTarget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ApiAggregatorTargetSpec `json:"spec"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Status ApiAggregatorTargetStatus `json:"status,omitempty"`
}

// ApiAggregatorTargetSpec says which paths are published, and what serves them.
type ApiAggregatorTargetSpec struct {
	// AggregatorRef names the ApiAggregator under whose host the paths are published.
	//
	// +required
	AggregatorRef AggregatorRef `json:"aggregatorRef"`

	// Backends are the services that answer, by weight.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.exists(b, !has(b.weight) || b.weight > 0)",message="at least one backend must have a weight above zero"
	// +listType=map
	// +listMapKey=service
	// +listMapKey=port
	// +required
	Backends []Backend `json:"backends"`

	// Paths are what is published, each on its own: one that is refused does not
	// hold up the others.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=path
	// +required
	Paths []Path `json:"paths"`

	// Timeout is how long a request may take, as a Gateway API duration
	// (GEP-2257), for example 30s. Envoy Gateway honours it, Traefik and NGINX
	// Gateway Fabric do not and the paths are refused.
	//
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$')`,message="is not a duration such as 30s or 1m30s: whole numbers of h, m, s and ms"
	// +optional
	Timeout string `json:"timeout,omitempty"`

	// RequestHeaders changes headers of requests before they reach the service.
	//
	// +optional
	RequestHeaders *RequestHeaders `json:"requestHeaders,omitempty"`

	// WorkloadNamespace is the namespace on the workload clusters in which the
	// service runs. Default: the request's own namespace; another one must be
	// mapped to it by the platform team.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +optional
	WorkloadNamespace string `json:"workloadNamespace,omitempty"`
}

// AggregatorRef names an ApiAggregator.
type AggregatorRef struct {
	// Name of the ApiAggregator.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 63 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +required
	Name string `json:"name"`

	// Namespace of the ApiAggregator. Default: the target's own.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// Backend is a Service in the workload namespace.
type Backend struct {
	// Service is the Service's name.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')`,message="is not the name of a Service: at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +required
	Service string `json:"service"`

	// Port is the Service's port.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +required
	Port int32 `json:"port"`

	// Weight is the share of requests, relative to the other backends'; 0 is none.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:default=1
	// +optional
	Weight *int32 `json:"weight,omitempty"`
}

// MatchType says how a path matches.
//
// +kubebuilder:validation:Enum=Prefix;Exact
type MatchType string

// Prefix matches a path and all below it, segment by segment; Exact matches the
// path alone.
const (
	Prefix MatchType = "Prefix"
	Exact  MatchType = "Exact"
)

// Method is an HTTP method.
//
// +kubebuilder:validation:Enum=GET;HEAD;POST;PUT;DELETE;CONNECT;OPTIONS;TRACE;PATCH
type Method string

// Path is one published path.
//
// +kubebuilder:validation:XValidation:rule="!has(self.rewritePrefix) || !has(self.type) || self.type == 'Prefix'",message="rewritePrefix goes with type: Prefix only"
// +kubebuilder:validation:XValidation:rule="!has(self.allowNested) || !self.allowNested || !has(self.type) || self.type == 'Prefix'",message="allowNested goes with type: Prefix only"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'Exact') || self.path == '/' || !self.path.endsWith('/')",message="a Prefix must not end with /: it matches with and without one"
type Path struct {
	// Path begins with / and follows the Gateway API's rules for paths.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@{}?#\\]|[%][0-9a-fA-F]{2})+$")`,message="contains a character that a path may not have: percent-encode what is not A-Z a-z 0-9 or one of -._~!$&'()*+,;=:@/, if your gateway serves that (Envoy Gateway does)"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[{}]')",message="contains { or }: paths have no templates and no regular expressions, so write the prefix before it, such as /users for /users/{id}/orders"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'[?#\\]')`,message="contains a character that no path may have, percent-encoded or not: leave out ?, # and \\"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="path must begin with /"
	// +kubebuilder:validation:XValidation:rule="!self.matches('//|/([.]|%2[eE]){1,2}(/|$)')",message="path must have no empty, . or .. segment"
	// +kubebuilder:validation:XValidation:rule="!self.matches('%([01][0-9a-fA-F]|2[35fF]|3[fF]|5[cC]|7[fF])')",message="path must not encode a slash, backslash, percent sign, # or ? or a control character"
	// +kubebuilder:validation:XValidation:rule="size(self.split('/')) <= 33",message="at most 32 segments are allowed"
	// +required
	Path string `json:"path"`

	// Type is Prefix, which matches the path and all below it, or Exact.
	//
	// +kubebuilder:default=Prefix
	// +optional
	Type MatchType `json:"type,omitempty"`

	// Methods are the HTTP methods that are let through. Default: all.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=9
	// +listType=set
	// +optional
	Methods []Method `json:"methods,omitempty"`

	// RewritePrefix replaces the matched prefix before the request reaches the
	// service.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="must begin with /"
	// +kubebuilder:validation:XValidation:rule=`self.matches(r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@{}?#\\]|[%][0-9a-fA-F]{2})+$")`,message="contains a character that a path may not have: percent-encode what is not A-Z a-z 0-9 or one of -._~!$&'()*+,;=:@/, if your gateway serves that (Envoy Gateway does)"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[{}]')",message="contains { or }: paths have no templates and no regular expressions, so write the prefix before it, such as /users for /users/{id}/orders"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'[?#\\]')`,message="contains a character that no path may have, percent-encoded or not: leave out ?, # and \\"
	// +kubebuilder:validation:XValidation:rule="!self.matches('//|/([.]|%2[eE]){1,2}(/|$)')",message="rewritePrefix must have no empty, . or .. segment"
	// +kubebuilder:validation:XValidation:rule="!self.matches('%([01][0-9a-fA-F]|2[35fF]|3[fF]|5[cC]|7[fF])')",message="rewritePrefix must not encode a slash, backslash, percent sign, # or ? or a control character"
	// +kubebuilder:validation:XValidation:rule="size(self.split('/')) <= 33",message="at most 32 segments are allowed"
	// +optional
	RewritePrefix string `json:"rewritePrefix,omitempty"`

	// AllowNested lets other namespaces publish paths below this prefix.
	//
	// +optional
	AllowNested bool `json:"allowNested,omitempty"`

	// MaxRequestBodySize limits request bodies of this path, up to the
	// aggregator's maximum. Default: the aggregator's default.
	//
	// +optional
	MaxRequestBodySize field.Size `json:"maxRequestBodySize,omitempty"`
}

// RequestHeaders changes headers of requests. Names are compared without regard
// to case (RFC 9110, section 5.1).
//
// +kubebuilder:validation:XValidation:rule="!has(self.set) || !has(self.remove) || self.remove.all(r, !self.set.exists(s, s.lowerAscii() == r.lowerAscii()))",message="a header cannot be both set and removed"
type RequestHeaders struct {
	// Set gives headers a value, in place of the one that the client sent.
	//
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 256 && k.matches('^[-A-Za-z0-9!#$%&*+.^_|~]+$'))",message="header names must be tokens of RFC 9110"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self.exists_one(l, l.lowerAscii() == k.lowerAscii()))",message="header names must differ in more than case"
	// +optional
	Set map[string]HeaderValue `json:"set,omitempty"`

	// Remove takes headers away.
	//
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[-A-Za-z0-9!#$%&*+.^_|~]+$')`,message="is not the name of a header: use at most 256 of A-Z, a-z, 0-9, - and _"
	// +kubebuilder:validation:XValidation:rule="self.all(r, self.exists_one(l, l.lowerAscii() == r.lowerAscii()))",message="header names must differ in more than case"
	// +listType=set
	// +optional
	Remove []string `json:"remove,omitempty"`
}

// HeaderValue is printable ASCII that begins and ends with a visible character.
// It is repeated in every route, and so kept short.
//
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[!-~]([\t -~]*[!-~])?$')`,message="must be 1 to 512 printable ASCII characters, not beginning or ending with a blank"
type HeaderValue string

// PathState says how a path fares.
type PathState string

// The states of a path. Only an accepted one is published as asked for; a
// refused one goes on as it was last accepted, if it ever was.
const (
	Accepted                    PathState = "Accepted"
	PathConflict                PathState = PathState(reason.PathConflict)
	NestedInForeignPrefix       PathState = PathState(reason.NestedInForeignPrefix)
	NotDelegated                PathState = PathState(reason.NotDelegated)
	Reserved                    PathState = PathState(reason.Reserved)
	UnsupportedByImplementation PathState = PathState(reason.UnsupportedByImplementation)
	BodyLimitAboveMaximum       PathState = PathState(reason.BodyLimitAboveMaximum)
)

// ApiAggregatorTargetStatus is what the last run reports. Kratix adds keys of
// its own.
type ApiAggregatorTargetStatus struct {
	// Conditions: Ready says whether the last run could do all that was asked.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the generation of the spec that the last run saw.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Message says in plain words how things stand.
	Message string `json:"message,omitempty"`
	// URL is the host under which the paths are published.
	URL string `json:"url,omitempty"`
	// Accepted counts the accepted paths, as accepted/all.
	Accepted string `json:"accepted,omitempty"`
	// Paths says how each path fares.
	Paths []PathStatus `json:"paths,omitempty"`
	// AggregatorTerms is the digest of what the aggregator offered in the last
	// run, by which the aggregator knows whom a change concerns.
	AggregatorTerms string `json:"aggregatorTerms,omitempty"`
}

// PathStatus says how one path fares.
type PathStatus struct {
	// Path as asked for.
	Path string `json:"path"`
	// Type is Prefix or Exact.
	Type MatchType `json:"type"`
	// URL under which it is published.
	URL string `json:"url,omitempty"`
	// State is Accepted, or why not.
	State PathState `json:"state"`
	// Message says what to do about a state other than Accepted, and what an accepted path
	// goes without because of what it asks for.
	Message string `json:"message,omitempty"`
}
