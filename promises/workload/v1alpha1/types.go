// Package v1alpha1 is the API of the Promise workload: a service of an application
// team, and what it needs on its clusters.
//
// +kubebuilder:object:generate=false
// +groupName=baleen.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/baleen-platform/baleen/internal/field"
)

// Workload is a container that runs on every cluster of its System, with what Kubernetes
// needs for that: a Deployment, its autoscaler, its disruption budget, its account, and a
// Service for one that answers requests.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=workloads,singular=workload,shortName=bwl,categories=baleen
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name=Workflow,type=string,JSONPath=`.status.conditions[?(@.type=="ConfigureWorkflowCompleted")].reason`
// +kubebuilder:printcolumn:name=System,type=string,JSONPath=`.spec.systemRef.name`
// +kubebuilder:printcolumn:name=Type,type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Generation,type=integer,priority=1,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name=Observed,type=integer,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].observedGeneration`
// +kubebuilder:printcolumn:name=Image,type=string,priority=1,JSONPath=`.spec.container.image`
// +kubebuilder:printcolumn:name=Message,type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name may have at most 63 characters, because it becomes a label of Kratix's Jobs"
// +kubebuilder:validation:XValidation:rule=`self.metadata.name.matches(r'^[a-z]([-a-z0-9]*[a-z0-9])?$')`,message="metadata.name must begin with a letter and have a-z, 0-9 and - alone, with a letter or digit at its end, because a Service gets it"
type Workload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec WorkloadSpec `json:"spec"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Status WorkloadStatus `json:"status,omitempty"`
}

// WorkloadSpec says what runs, how often, and in which system.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && self.type == 'Worker' && has(self.container.port))",message="container.port goes with type: Service only; a Worker gets no Service"
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && self.type == 'Worker' && (has(self.container.readinessProbe) || has(self.container.livenessProbe) || has(self.container.startupProbe)))",message="probes go with type: Service only; a Worker listens nowhere"
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas must not be above maxReplicas"
type WorkloadSpec struct {
	// SystemRef names the System, which says on which clusters the workload runs and
	// what it may ask for.
	//
	// +required
	SystemRef SystemRef `json:"systemRef"`

	// Type is Service, which answers requests, or Worker, which gets no Service and no
	// probes.
	//
	// +kubebuilder:default=Service
	// +optional
	Type Type `json:"type,omitempty"`

	// Container is what runs, in the words of a container of Kubernetes.
	//
	// +required
	Container Container `json:"container"`

	// MinReplicas is how many run at least. Default: 2, or maxReplicas where that is less.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MinReplicas int32 `json:"minReplicas,omitempty"`

	// MaxReplicas is how many run at most, when those there are use 80 % of the CPU that
	// they request. Default: 5, or minReplicas where that is more.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxReplicas int32 `json:"maxReplicas,omitempty"`

	// WorkloadNamespace is the namespace on the workload clusters. Default: the request's
	// own namespace; another one must be mapped to it by the platform team.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +optional
	WorkloadNamespace string `json:"workloadNamespace,omitempty"`
}

// SystemRef names a System.
type SystemRef struct {
	// Name of the System.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="is not a name of at most 63 of a-z, 0-9, - and ., with a letter or digit at both ends"
	// +required
	Name string `json:"name"`

	// Namespace of the System. Default: baleen-system.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')`,message="is not a name of at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// Type is what kind of workload it is.
//
// +kubebuilder:validation:Enum=Service;Worker
type Type string

// The types of workloads.
const (
	Service Type = "Service"
	Worker  Type = "Worker"
)

// Container is what runs, in the words of a container of Kubernetes.
type Container struct {
	// Image with a tag or a digest. The System's policy must admit its repository.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:[0-9]+)?/)?[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?$')`,message="is not an image such as registry.example.com/shop/orders:1.4.2: the registry, the path in lower case, and a tag or @sha256: with 64 of 0-9 and a-f"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'(^|/)[^/:@]*$')`,message="has neither a tag nor a digest: add one, such as :1.4.2, so that all replicas run the same"
	// +required
	Image string `json:"image"`

	// Command is run in place of the image's entrypoint.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule=`!self.matches(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\x{2028}\x{2029}\x{feff}\x{fffe}\x{ffff}]')`,message="has a control character: leave it out"
	// +optional
	Command []string `json:"command,omitempty"`

	// Args are given to the command, or to the image's entrypoint.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule=`!self.matches(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\x{2028}\x{2029}\x{feff}\x{fffe}\x{ffff}]')`,message="has a control character: leave it out"
	// +optional
	Args []string `json:"args,omitempty"`

	// Port is where a Service's container listens. The Service has the port 80. Default: 8080.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`

	// Env are variables of the environment.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Env []EnvVar `json:"env,omitempty"`

	// ReadinessProbe says when a replica gets requests. Default: when its port takes
	// connections. A replica that fails it 3 times gets none any more.
	//
	// +optional
	ReadinessProbe *Probe `json:"readinessProbe,omitempty"`

	// LivenessProbe has a replica restarted that fails it, by default 6 times. Default: none.
	//
	// +optional
	LivenessProbe *Probe `json:"livenessProbe,omitempty"`

	// StartupProbe keeps the other probes waiting until it succeeds, and has a replica
	// restarted that fails it, by default 30 times. Default: none.
	//
	// +optional
	StartupProbe *Probe `json:"startupProbe,omitempty"`

	// Resources are what a replica requests of its node, and what it may use. A request
	// that is left out is its limit. Default: requests of 100m CPU and 256Mi memory, a
	// limit of memory that is its request, and no limit of CPU.
	//
	// +optional
	Resources Resources `json:"resources,omitempty"`
}

// EnvVar is a variable of the environment.
type EnvVar struct {
	// Name of the variable.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[A-Za-z_][-A-Za-z0-9_.]*$')`,message="is not a name of at most 128 of A-Z, a-z, 0-9, _, - and ., with a letter or _ at its beginning"
	// +required
	Name string `json:"name"`

	// Value of the variable. It may refer to a variable above as $(NAME).
	//
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\x{2028}\x{2029}\x{feff}\x{fffe}\x{ffff}]')`,message="has a control character: leave it out"
	// +optional
	Value string `json:"value,omitempty"`
}

// Probe asks a replica of a Service how it is, at its port.
type Probe struct {
	// HTTPGet is the request that is made: it succeeds with a status from 200 to 399.
	//
	// +required
	HTTPGet HTTPGet `json:"httpGet"`

	// PeriodSeconds is how often it is made. Default: 10.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`

	// TimeoutSeconds is how long an answer may take. Default: 1.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// FailureThreshold is how often it must fail, one time after another, to count.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
}

// HTTPGet is a request of a probe.
type HTTPGet struct {
	// Path of the request, such as /ready.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^/[!-~]*$')`,message="is not a path such as /ready: begin with / and leave out blanks and what is not ASCII"
	// +required
	Path string `json:"path"`
}

// Resources are what a replica requests, and what it may use.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.requests.cpu) || !has(self.limits) || !has(self.limits.cpu) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0",message="requests.cpu must not be above limits.cpu"
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.requests.memory) || !has(self.limits) || !has(self.limits.memory) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0",message="requests.memory must not be above limits.memory"
type Resources struct {
	// Requests are kept free for it on its node.
	//
	// +optional
	Requests Amounts `json:"requests,omitempty"`

	// Limits are the most that it may use.
	//
	// +optional
	Limits Amounts `json:"limits,omitempty"`
}

// Amounts are of CPU and memory.
type Amounts struct {
	// CPU, as 250m, 1 or 1.5.
	//
	// +optional
	CPU CPU `json:"cpu,omitempty"`

	// Memory, as 512Mi.
	//
	// +optional
	Memory field.Size `json:"memory,omitempty"`
}

// CPU is an amount of CPU above zero: a number of them, or thousandths with an m.
//
// +kubebuilder:validation:MaxLength=8
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([1-9][0-9]{0,5}m|[1-9][0-9]{0,3}|(0|[1-9][0-9]{0,3})[.]([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$')`,message="is not an amount of CPU such as 250m, 1 or 1.5: write at most six digits and m, or at most 9999.999"
type CPU string

// WorkloadStatus is what the last run reports. Kratix adds keys of its own.
type WorkloadStatus struct {
	// Conditions: Ready says whether every cluster is to run what was asked for.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the generation of the spec that the last run saw.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Message says in plain words how things stand.
	Message string `json:"message,omitempty"`
	// Clusters are those that the System places the workload on.
	Clusters []ClusterStatus `json:"clusters,omitempty"`
	// SystemTerms is the digest of what the System offered in the last run, by which the
	// System knows whom a change concerns.
	SystemTerms string `json:"systemTerms,omitempty"`
}

// ClusterStatus is how the workload fares on one cluster.
type ClusterStatus struct {
	// Destination is the cluster.
	Destination string `json:"destination"`
	// Namespace is the one there.
	Namespace string `json:"namespace"`
	// Problem is why the cluster does not get what was asked for.
	Problem string `json:"problem,omitempty"`
}
