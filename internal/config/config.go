// Package config reads what the platform team has set for all of Baleen: the
// ConfigMap baleen-config in the namespace baleen-system.
package config

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Namespace is where the platform team keeps what Baleen reads.
const Namespace = "baleen-system"

const name = "baleen-config"

// Config is the platform team's configuration.
type Config struct {
	// ReconcileInterval is how often Kratix runs every pipeline anew. Default: 10h.
	ReconcileInterval time.Duration
	// DestinationGrace is how long a cluster that no longer matches keeps its
	// documents. Default: 24h.
	DestinationGrace time.Duration
	// Namespaces maps the namespace of a request to the workload namespaces that
	// it may act on besides its own; * stands for any characters.
	Namespaces map[string][]string
	// SecretMetadata are patterns of the labels and annotations that a request may give its
	// Secret, and * stands for any characters; nil admits all but those that have it copied.
	SecretMetadata []string
	// SystemNamespaces are those in which a System counts. Default: baleen-system.
	SystemNamespaces []string
}

// Load reads the configuration; a platform without one has the defaults.
func Load(ctx context.Context, client platform.Client) (Config, error) {
	c := Config{ReconcileInterval: 10 * time.Hour, DestinationGrace: 24 * time.Hour, SystemNamespaces: []string{Namespace}}
	data, err := Data(ctx, client, name)
	if err != nil {
		return c, err
	}
	for _, key := range slices.Sorted(maps.Keys(data)) { // a status must not depend on a map's order
		value := data[key]
		ok := false
		switch key {
		case "reconcileInterval":
			c.ReconcileInterval, ok = duration(value)
		case "destinationGrace":
			c.DestinationGrace, ok = duration(value)
		case "namespaces":
			ok = yaml.UnmarshalStrict([]byte(value), &c.Namespaces) == nil
		case "secretMetadata":
			c.SecretMetadata = []string{}
			ok = yaml.UnmarshalStrict([]byte(value), &c.SecretMetadata) == nil && !slices.ContainsFunc(c.SecretMetadata, func(pattern string) bool { return !field.IsPattern(pattern) })
		case "systemNamespaces":
			c.SystemNamespaces = nil
			ok = yaml.UnmarshalStrict([]byte(value), &c.SystemNamespaces) == nil && areNamespaces(c.SystemNamespaces)
		}
		if !ok {
			return c, fmt.Errorf("the key %s of the ConfigMap %s/%s is not valid: there may be reconcileInterval and destinationGrace, durations such as 10h or 2d, namespaces, lines such as team-a: [team-a-*], secretMetadata, a list such as [example.com/*], and systemNamespaces, a list such as [baleen-system]",
				field.Quote(key), Namespace, name)
		}
	}
	return c, nil
}

// areNamespaces reports whether there are names, each of which a namespace can have.
func areNamespaces(names []string) bool {
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return len(validation.IsDNS1123Label(name)) > 0 })
}

// Data returns the data of a ConfigMap of the platform team, none if there is no
// such ConfigMap.
func Data(ctx context.Context, client platform.Client, name string) (map[string]string, error) {
	object, err := client.Get(ctx, platform.ConfigMap, Namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the ConfigMap %s/%s cannot be read: %w", Namespace, name, err)
	}
	data, _, err := unstructured.NestedStringMap(object.Object, "data")
	if err != nil {
		return nil, fmt.Errorf("the ConfigMap %s/%s has data that is not text: put quotes around each value", Namespace, name)
	}
	return data, nil
}

func duration(s string) (time.Duration, bool) {
	if d := field.Duration(s).Value(); d > 0 {
		return d, true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// copiers are the domains of controllers that copy a Secret to other namespaces, or over
// other Secrets, where its labels or annotations ask for it.
var copiers = []string{"mittwald.de", "emberstack.com", "appscode.com", "clustersecret.io", "kubed.io", "olli.com"}

// reloader is what the documentation has requests say, so that their workloads restart.
const reloader = "reloader.stakater.com/match"

// AdmitsSecretMetadata reports whether a Secret may have a label or an annotation.
func (c Config) AdmitsSecretMetadata(key string) bool {
	if key == reloader {
		return true
	}
	if c.SecretMetadata != nil {
		return slices.ContainsFunc(c.SecretMetadata, func(pattern string) bool { return field.MatchText(pattern, key) })
	}
	prefix, _, found := strings.Cut(strings.ToLower(key), "/")
	return !found || !slices.ContainsFunc(copiers, func(d string) bool { return prefix == d || strings.HasSuffix(prefix, "."+d) })
}

// WorkloadNamespace returns the namespace on the workload clusters that a
// request acts on: its own, or the one asked for if the platform team mapped it.
func (c Config) WorkloadNamespace(request, asked string) (string, error) {
	if asked == "" || asked == request || field.MatchNamespace(c.Namespaces[request], asked) {
		if asked == "" {
			asked = request
		}
		return asked, nil
	}
	return "", fmt.Errorf("requests of the namespace %s may not act on the workload namespace %s: leave out workloadNamespace, or have the platform team add it under namespaces in the ConfigMap %s/%s",
		request, asked, Namespace, name)
}
