// Package v1alpha1 is the API of the Promise api-aggregator: a host under which
// application teams publish their APIs.
//
// +kubebuilder:object:generate=false
// +groupName=baleen.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/field"
)

// ApiAggregator is a host under which APIs are published: the Gateway that
// serves it on every cluster it belongs on, and the rules for the targets that
// attach to it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=apiaggregators,singular=apiaggregator,categories=baleen
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name=Workflow,type=string,JSONPath=`.status.conditions[?(@.type=="ConfigureWorkflowCompleted")].reason`
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name=Paths,type=integer,JSONPath=`.status.pathCount`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Generation,type=integer,priority=1,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name=Observed,type=integer,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].observedGeneration`
// +kubebuilder:printcolumn:name=Message,type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name may have at most 63 characters, because it becomes a label of Kratix's Jobs"
type ApiAggregator struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ApiAggregatorSpec `json:"spec"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Status ApiAggregatorStatus `json:"status,omitempty"`
}

// ApiAggregatorSpec says which host is published, how and for whom.
//
// +kubebuilder:validation:XValidation:rule="has(self.gateway.name) && size(self.gateway.name) > 0 ? !has(self.tls) : has(self.tls)",message="tls is required for a Gateway that Baleen emits, and refused with gateway.name: there the certificate is that Gateway's own affair"
// +kubebuilder:validation:XValidation:rule="!(has(self.gateway.name) && size(self.gateway.name) > 0 && has(self.dns) && has(self.dns.target))",message="dns.target is refused with gateway.name: external-dns reads it from the Gateway, which is not Baleen's"
// +kubebuilder:validation:XValidation:rule="!(has(self.gateway.name) && size(self.gateway.name) > 0 && has(self.perDestination) && size(self.perDestination) > 0)",message="perDestination is refused with gateway.name: what it overrides belongs to a Gateway that is not Baleen's"
// +kubebuilder:validation:XValidation:rule="!(has(self.requestBody) && (!has(self.gateway.implementation) || self.gateway.implementation == 'Standard'))",message="requestBody is refused with the implementation Standard: the Gateway API has no field for it"
type ApiAggregatorSpec struct {
	// Hostname is the host under which APIs are published: lower case, without
	// wildcard or trailing dot. It cannot be changed: make another aggregator instead.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')`,message="is not a host name such as api.example.com: lower case, at most 253 characters, no wildcard, port, address or trailing dot"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="hostname cannot be changed: make another ApiAggregator for the new host, move the targets, then delete this one"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+$')",message="hostname must be a name, not an address"
	// +required
	Hostname string `json:"hostname"`

	// TLS says where the certificate comes from: exactly one of its fields. It is
	// required unless gateway.name is set.
	//
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// Gateway says which Gateway serves the host on the workload clusters.
	//
	// +required
	Gateway Gateway `json:"gateway"`

	// HTTPRedirect sends plain HTTP requests to HTTPS with status 301.
	//
	// +kubebuilder:default=true
	// +optional
	HTTPRedirect *bool `json:"httpRedirect,omitempty"`

	// RequestBody limits the size of request bodies, where the implementation can.
	//
	// +optional
	RequestBody *RequestBody `json:"requestBody,omitempty"`

	// AllowedNamespaces lists the namespaces whose targets may attach; * stands
	// for any characters. Default: the aggregator's own namespace.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$')`,message="is not a namespace or a pattern such as team-*"
	// +listType=set
	// +optional
	AllowedNamespaces []string `json:"allowedNamespaces,omitempty"`

	// Delegations say who may publish at or below a prefix; of several that cover
	// a path the longest decides. What no delegation covers is open to all
	// allowed namespaces.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=prefix
	// +optional
	Delegations []Delegation `json:"delegations,omitempty"`

	// DNS has external-dns publish the host. Without it nothing is said to
	// external-dns, which then follows its own configuration.
	//
	// +optional
	DNS *DNS `json:"dns,omitempty"`

	// Placement selects the workload clusters: every Destination that matches.
	// Default: all.
	//
	// +optional
	Placement field.Placement `json:"placement,omitempty"`

	// PerDestination overrides some of the above for single clusters.
	//
	// +kubebuilder:validation:MaxItems=256
	// +listType=map
	// +listMapKey=name
	// +optional
	PerDestination []DestinationOverride `json:"perDestination,omitempty"`
}

// TLS is a source of a certificate: exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusterIssuer) != has(self.secretName)",message="exactly one of clusterIssuer and secretName must be set"
type TLS struct {
	// ClusterIssuer is the cert-manager ClusterIssuer that issues the certificate.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +optional
	ClusterIssuer string `json:"clusterIssuer,omitempty"`

	// SecretName is a TLS Secret that exists in the Gateway's namespace on the
	// workload clusters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +optional
	SecretName string `json:"secretName,omitempty"`
}

// Implementation is what serves the Gateway API on the workload clusters. It
// decides which fields are honoured; one that is not is refused.
//
// +kubebuilder:validation:Enum=Traefik;NGINXGatewayFabric;EnvoyGateway;Standard
type Implementation string

// The implementations that Baleen knows. Standard is any other one, of which
// nothing is assumed but the standard channel of the Gateway API.
const (
	Traefik            Implementation = "Traefik"
	NGINXGatewayFabric Implementation = "NGINXGatewayFabric"
	EnvoyGateway       Implementation = "EnvoyGateway"
	Standard           Implementation = "Standard"
)

// Gateway is the Gateway that serves the host: emitted by Baleen, or one that
// exists.
//
// +kubebuilder:validation:XValidation:rule="has(self.name) && size(self.name) > 0 ? !has(self.className) && !has(self.ports) && !has(self.allowedRoutes) : has(self.className)",message="className is required for a Gateway that Baleen emits; with name, which attaches to a Gateway that exists, className, ports and allowedRoutes are refused"
type Gateway struct {
	// ClassName is the GatewayClass of the Gateway that is emitted.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +optional
	ClassName string `json:"className,omitempty"`

	// Implementation is what serves the class.
	//
	// +kubebuilder:default=Standard
	// +optional
	Implementation Implementation `json:"implementation,omitempty"`

	// Namespace is where the Gateway lives on the workload clusters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +required
	Namespace string `json:"namespace"`

	// Name attaches to a Gateway that exists instead of emitting one.
	//
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +optional
	Name string `json:"name,omitempty"`

	// Listeners are the names of the Gateway's listeners, to which routes attach.
	//
	// +optional
	Listeners *Listeners `json:"listeners,omitempty"`

	// Ports are the listeners' ports. Traefik needs them equal to the ports of
	// its entry points. Default: 443 and 80.
	//
	// +optional
	Ports *Ports `json:"ports,omitempty"`

	// AllowedRoutes says from which namespaces of the workload cluster routes may
	// attach. Default: from all.
	//
	// +optional
	AllowedRoutes *AllowedRoutes `json:"allowedRoutes,omitempty"`

	// ClosingNamespace is where the routes are that close delegated prefixes as long as
	// nobody publishes them. The Gateway must take routes from it. Default: namespace.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +optional
	ClosingNamespace string `json:"closingNamespace,omitempty"`
}

// Listeners are names of a Gateway's listeners.
//
// +kubebuilder:validation:XValidation:rule="(has(self.https) ? self.https : 'https') != (has(self.http) ? self.http : 'http')",message="the two listeners must have different names"
type Listeners struct {
	// HTTPS is the listener for the APIs. Default: https.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +optional
	HTTPS string `json:"https,omitempty"`

	// HTTP is the listener for the redirect to HTTPS. Default: http.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +optional
	HTTP string `json:"http,omitempty"`
}

// Ports are ports of a Gateway's listeners.
//
// +kubebuilder:validation:XValidation:rule="(has(self.https) ? self.https : 443) != (has(self.http) ? self.http : 80)",message="the two listeners must have different ports"
type Ports struct {
	// HTTPS is the port of the listener for the APIs. Default: 443.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	HTTPS int32 `json:"https,omitempty"`

	// HTTP is the port of the listener for the redirect. Default: 80.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	HTTP int32 `json:"http,omitempty"`
}

// AllowedRoutes restricts the namespaces of the workload cluster from which
// routes may attach to the HTTPS listener.
//
// +kubebuilder:validation:XValidation:rule="(self.from == 'Selector') == has(self.selector)",message="selector goes with from: Selector, and with it alone"
type AllowedRoutes struct {
	// From is All or Selector.
	//
	// +kubebuilder:validation:Enum=All;Selector
	// +kubebuilder:default=All
	// +optional
	From string `json:"from,omitempty"`

	// Selector selects namespaces of the workload cluster by their labels.
	//
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// RequestBody limits the size of request bodies.
//
// +kubebuilder:validation:XValidation:rule="!has(self.default) || !has(self.max) || quantity(self.default).compareTo(quantity(self.max)) <= 0",message="default must not be above max"
type RequestBody struct {
	// Default is the limit of paths that set none. Without it Baleen sets none
	// either, but for NGINX Gateway Fabric, whose own default of 1Mi is emitted.
	//
	// +optional
	Default field.Size `json:"default,omitempty"`

	// Max is the highest limit that a path may set.
	//
	// +optional
	Max field.Size `json:"max,omitempty"`
}

// Delegation reserves a prefix for some namespaces.
type Delegation struct {
	// Prefix is the path from which on, segment by segment, the delegation holds.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && !self.matches('//|/([.]|%2[eE]){1,2}(/|$)') && !self.matches('%([01][0-9a-fA-F]|2[35fF]|3[fF]|5[cC]|7[fF])')",message="prefix must begin with / and have no empty, . or .. segment and no encoded slash, backslash, percent sign, # or ? or control character"
	// +kubebuilder:validation:XValidation:rule="size(self.split('/')) <= 33",message="at most 32 segments are allowed"
	// +kubebuilder:validation:XValidation:rule=`self.matches(r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@{}?#\\]|[%][0-9a-fA-F]{2})+$")`,message="contains a character that a path may not have: percent-encode what is not A-Z a-z 0-9 or one of -._~!$&'()*+,;=:@/, if your gateway serves that (Envoy Gateway does)"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[{}]')",message="contains { or }: paths have no templates and no regular expressions, so write the prefix before it, such as /users for /users/{id}/orders"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'[?#\\]')`,message="contains a character that no path may have, percent-encoded or not: leave out ?, # and \\"
	// +required
	Prefix string `json:"prefix"`

	// Namespaces may publish there; * stands for any characters.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$')`,message="is not a namespace or a pattern such as team-*"
	// +listType=set
	// +required
	Namespaces []string `json:"namespaces"`
}

// DNS is what external-dns is told, with the annotations of its releases before
// and from v0.22 on.
type DNS struct {
	// Enabled has external-dns publish the host; false has it leave the host alone.
	//
	// +kubebuilder:default=true
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// Target is the host name or address that the host's record points to.
	// Default: the Gateway's own addresses.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$')`,message="is not a host name such as lb.example.com or an IP address: lower case, at most 253 characters, no wildcard, port or trailing dot"
	// +optional
	Target string `json:"target,omitempty"`
}

// DestinationOverride replaces fields of the spec for one cluster.
type DestinationOverride struct {
	// Name is the Destination's name.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 63 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +required
	Name string `json:"name"`

	// DNS replaces dns on this cluster, field by field.
	//
	// +optional
	DNS *DNSOverride `json:"dns,omitempty"`

	// TLS replaces tls on this cluster.
	//
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// DNSOverride is what may differ between clusters of one host.
type DNSOverride struct {
	// Target is the host name or address that the host's record points to.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$')`,message="is not a host name such as lb.example.com or an IP address: lower case, at most 253 characters, no wildcard, port or trailing dot"
	// +required
	Target string `json:"target"`
}

// ApiAggregatorStatus is what the last run reports. Kratix adds keys of its own.
type ApiAggregatorStatus struct {
	// Conditions: Ready says whether the last run could do all that was asked.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the generation of the spec that the last run saw.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Message says in plain words how things stand.
	Message string `json:"message,omitempty"`
	// URL is where the APIs are published.
	URL string `json:"url,omitempty"`
	// Paths are the first 100 published paths and their owners, by path.
	Paths []PublishedPath `json:"paths,omitempty"`
	// PathCount is the number of all published paths.
	PathCount int `json:"pathCount,omitempty"`
}

// PublishedPath is one row of the aggregator's table.
type PublishedPath struct {
	// Path as it is published.
	Path string `json:"path"`
	// Type is Prefix or Exact.
	Type string `json:"type"`
	// Owner is the target that publishes it, namespace/name.
	Owner string `json:"owner"`
}
