// Package v1alpha1 is the API of the Promise system: what a platform team offers to
// the workloads of a system, and to whom.
//
// +kubebuilder:object:generate=false
// +groupName=baleen.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/field"
)

// System is what a platform team offers to the workloads of a system: who owns it,
// which namespaces may run workloads in it, on which clusters, and what they may ask for.
// It counts in the namespaces that the platform team names, by default baleen-system.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=systems,singular=system,categories=baleen
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name=Workflow,type=string,JSONPath=`.status.conditions[?(@.type=="ConfigureWorkflowCompleted")].reason`
// +kubebuilder:printcolumn:name=Team,type=string,JSONPath=`.spec.owner.team`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Generation,type=integer,priority=1,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name=Observed,type=integer,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].observedGeneration`
// +kubebuilder:printcolumn:name=Message,type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name may have at most 63 characters, because it becomes a label of Kratix's Jobs"
type System struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec SystemSpec `json:"spec"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Status SystemStatus `json:"status,omitempty"`
}

// SystemSpec says who owns the system, and what its workloads may ask for.
type SystemSpec struct {
	// DisplayName is what people call the system.
	//
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]*$')`,message="is not a line of text: leave out line breaks and other control characters"
	// +optional
	DisplayName string `json:"displayName,omitempty"`

	// Owner is who answers for the system.
	//
	// +required
	Owner Owner `json:"owner"`

	// AllowedNamespaces lists the namespaces of the platform cluster whose Workloads may
	// refer to the system; * stands for any characters. Default: none.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$')`,message="is not a namespace or a pattern such as team-*"
	// +listType=set
	// +optional
	AllowedNamespaces []string `json:"allowedNamespaces,omitempty"`

	// Placement selects the workload clusters: every Destination that matches. It needs
	// at least one label, because none would mean every cluster to come.
	//
	// +kubebuilder:validation:XValidation:rule="has(self.matchLabels) && size(self.matchLabels) > 0",message="needs at least one label in matchLabels: none would select every cluster to come"
	// +required
	Placement field.Placement `json:"placement"`

	// Policy bounds what a Workload may ask for.
	//
	// +optional
	Policy Policy `json:"policy,omitempty"`
}

// Owner is who answers for a system.
type Owner struct {
	// Team is the team's name, such as team-a.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')`,message="is not a name of at most 63 of A-Z, a-z, 0-9, -, _ and ., with a letter or digit at both ends"
	// +required
	Team string `json:"team"`

	// Contact is where the team is reached: a channel, an address or a URL.
	//
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]*$')`,message="is not a line of text: leave out line breaks and other control characters"
	// +optional
	Contact string `json:"contact,omitempty"`
}

// Policy bounds what a Workload may ask for.
type Policy struct {
	// Images are repositories that a Workload may run: the registry, then the path; *
	// stands for any characters but / and, in the registry, but a dot. A name without a
	// registry is one of docker.io, as docker.io/library/nginx. Default: any.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?([.][a-z0-9*]([-a-z0-9*]*[a-z0-9*])?)*(:[0-9]+)?(/[a-z0-9*]([-a-z0-9_.*]*[a-z0-9*])?)+$')`,message="is not a repository or a pattern such as registry.example.com/shop/*: the registry and the path in lower case, without tag and digest; * stands for any characters, but for . in the registry and / in the path"
	// +kubebuilder:validation:items:XValidation:rule=`self.startsWith('localhost/') || !self.matches(r'^[^/.:]*(/|$)')`,message="has no registry: begin with its host, such as registry.example.com/ or docker.io/"
	// +kubebuilder:validation:items:XValidation:rule=`!self.matches(r'^(index[.]docker[.]io/|docker[.]io/[^/]*$)')`,message="is not the whole name of a repository of Docker Hub: write docker.io/library/nginx for nginx"
	// +listType=set
	// +optional
	Images []string `json:"images,omitempty"`

	// MaxReplicas is the most that a Workload may ask for with maxReplicas. Default: no bound.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxReplicas int32 `json:"maxReplicas,omitempty"`
}

// SystemStatus is what the last run reports. Kratix adds keys of its own.
type SystemStatus struct {
	// Conditions: Ready says whether the system offers what its spec says.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the generation of the spec that the last run saw.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Message says in plain words how things stand.
	Message string `json:"message,omitempty"`
}
