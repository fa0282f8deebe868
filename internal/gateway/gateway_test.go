package gateway

import (
	"testing"

	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// A limit is emitted exactly as asked for, or refused.
func TestBodyLimit(t *testing.T) {
	for _, c := range []struct {
		implementation v1alpha1.Implementation
		limit          field.Size
		want           string
		refused        bool
	}{
		{v1alpha1.Traefik, "", "", false},
		{v1alpha1.Traefik, "25Mi", "26214400", false},
		{v1alpha1.EnvoyGateway, "", "", false},
		{v1alpha1.EnvoyGateway, "10M", "10M", false},
		{v1alpha1.EnvoyGateway, "4095Mi", "4095Mi", false},
		{v1alpha1.EnvoyGateway, "4Gi", "", true},
		{v1alpha1.NGINXGatewayFabric, "", "1m", false},
		{v1alpha1.NGINXGatewayFabric, "10Mi", "10m", false},
		{v1alpha1.NGINXGatewayFabric, "1024Mi", "1g", false},
		{v1alpha1.NGINXGatewayFabric, "1536Ki", "1536k", false},
		{v1alpha1.NGINXGatewayFabric, "500", "500", false},
		{v1alpha1.NGINXGatewayFabric, "10M", "", true},
		{v1alpha1.NGINXGatewayFabric, "10k", "", true},
		{v1alpha1.NGINXGatewayFabric, "9999Gi", "9999g", false},
		{v1alpha1.NGINXGatewayFabric, "10001Gi", "", true},
		{v1alpha1.Standard, "", "", false},
		{v1alpha1.Standard, "1Mi", "", true},
	} {
		got, err := BodyLimit(c.implementation, c.limit)
		if got != c.want || (err != nil) != c.refused {
			t.Errorf("%s %q: %q, %v; want %q, refused %v", c.implementation, c.limit, got, err, c.want, c.refused)
		}
	}
}

// Of several delegations the longest decides.
func TestDelegated(t *testing.T) {
	terms := Terms{Delegations: map[string]bool{"/": true, "/a": false, "/a/b": true}}
	for key, want := range map[string]bool{"/": true, "/x": true, "/a": false, "/a/c": false, "/a/b": true, "/a/b/c": true, "/ab": true} {
		if _, ok := terms.Delegated(key); ok != want {
			t.Errorf("%s: %v", key, ok)
		}
	}
	if _, ok := (Terms{}).Delegated("/a"); !ok {
		t.Error("what nobody delegates is not open")
	}
}

// Every field of the terms counts: a target is asked when any of them changes.
func TestDigest(t *testing.T) {
	base := Terms{}
	for name, change := range map[string]func(*Terms){
		"hostname": func(t *Terms) { t.Hostname = "x" }, "implementation": func(t *Terms) { t.Implementation = "x" },
		"gateway namespace": func(t *Terms) { t.GatewayNamespace = "x" }, "gateway": func(t *Terms) { t.GatewayName = "x" },
		"listener": func(t *Terms) { t.Listener = "x" }, "dns": func(t *Terms) { t.Unpublished = true },
		"default": func(t *Terms) { t.DefaultBody = "1" }, "max": func(t *Terms) { t.MaxBody = "1" },
		"admission": func(t *Terms) { t.Admitted = true }, "delegation": func(t *Terms) { t.Delegations = map[string]bool{"/": false} },
		"destinations": func(t *Terms) { t.Destinations = []string{"x"} },
	} {
		changed := base
		if change(&changed); changed.Digest() == base.Digest() {
			t.Errorf("a change of the %s does not show", name)
		}
	}
}
