package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"strings"
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
		refused        string
	}{
		{v1alpha1.Traefik, "", "", ""},
		{v1alpha1.Traefik, "25Mi", "26214400", ""},
		{v1alpha1.EnvoyGateway, "", "", ""},
		{v1alpha1.EnvoyGateway, "10M", "10M", ""},
		{v1alpha1.EnvoyGateway, "4095Mi", "4095Mi", ""},
		{v1alpha1.EnvoyGateway, "4Gi", "", "Envoy Gateway are below 4Gi: ask for less than 4Gi"},
		{v1alpha1.NGINXGatewayFabric, "", "1m", ""},
		{v1alpha1.NGINXGatewayFabric, "10Mi", "10m", ""},
		{v1alpha1.NGINXGatewayFabric, "1024Mi", "1g", ""},
		{v1alpha1.NGINXGatewayFabric, "1536Ki", "1536k", ""},
		{v1alpha1.NGINXGatewayFabric, "500", "500", ""},
		{v1alpha1.NGINXGatewayFabric, "10M", "", "cannot express the body limit 10M exactly"},
		{v1alpha1.NGINXGatewayFabric, "10k", "", "cannot express the body limit 10k exactly"},
		{v1alpha1.NGINXGatewayFabric, "9999Gi", "9999g", ""},
		{v1alpha1.NGINXGatewayFabric, "10001Gi", "", "10001Gi exactly: use a whole number"},
		{v1alpha1.Standard, "", "", ""},
		{v1alpha1.NGINXGatewayFabric, "10000Gi", "", "10000Gi exactly: use a whole number"},
		{v1alpha1.Standard, "1Mi", "", "Standard has no limit"},
		{v1alpha1.Standard, "4Gi", "", "Standard has no limit"},
	} {
		t.Run(fmt.Sprintf("%s %s", c.implementation, cmp.Or(c.limit, "none")), func(t *testing.T) {
			got, err := BodyLimit(c.implementation, c.limit)
			if got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
			wantRefusal(t, err, c.refused)
		})
	}
}

// wantRefusal fails the test unless the error has these words, or is nil for none.
func wantRefusal(t *testing.T, err error, words string) {
	t.Helper()
	if (err != nil) != (words != "") || err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("it says %v, want %q", err, words)
	}
}

// A timeout is emitted only where the implementation honours it.
func TestHonoursTimeout(t *testing.T) {
	for i, want := range map[v1alpha1.Implementation]bool{
		v1alpha1.Traefik: false, v1alpha1.NGINXGatewayFabric: false, v1alpha1.EnvoyGateway: true, v1alpha1.Standard: true,
	} {
		t.Run(string(i), func(t *testing.T) {
			if got := HonoursTimeout(i); got != want {
				t.Errorf("it honours timeouts: %t", got)
			}
		})
	}
}

// An implementation that nobody has described honours nothing, and each that a spec
// may name is described.
func TestUnknownImplementation(t *testing.T) {
	const other = v1alpha1.Implementation("Other")
	_, limit := BodyLimit(other, "1Mi")
	for what, err := range map[string]error{
		"a header": HonoursHeader(other, "X-Team", "a"), "a path": HonoursPath(other, Route{Path: "/a"}), "a body limit": limit,
	} {
		t.Run(what, func(t *testing.T) {
			wantRefusal(t, err, `nothing is known of the implementation "Other": ask the platform team to set spec.gateway.implementation`)
		})
	}
	if limit, err := BodyLimit(other, ""); limit != "" || err != nil || HonoursTimeout(other) {
		t.Errorf("it has the limit %q (%v), and honours timeouts: %t", limit, err, HonoursTimeout(other))
	}
	for _, i := range []v1alpha1.Implementation{v1alpha1.Traefik, v1alpha1.NGINXGatewayFabric, v1alpha1.EnvoyGateway, v1alpha1.Standard} {
		if _, ok := implementations[i]; !ok {
			t.Errorf("nothing is known of %s", i)
		}
	}
}

// What an aggregator says holds for targets, and what it leaves out has a default.
func TestTermsFor(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		name, namespace string
		change          func(*v1alpha1.ApiAggregatorSpec)
		want            func(*Terms)
	}{
		{"as little as there can be", "platform", func(*v1alpha1.ApiAggregatorSpec) {}, func(t *Terms) { t.Admitted = true }},
		{"another namespace", "team-a", func(*v1alpha1.ApiAggregatorSpec) {}, func(*Terms) {}},
		{"one that is allowed", "team-a", func(s *v1alpha1.ApiAggregatorSpec) { s.AllowedNamespaces = []string{"team-*"} }, func(t *Terms) { t.Admitted = true }},
		{"one's own is not, where others are", "platform", func(s *v1alpha1.ApiAggregatorSpec) { s.AllowedNamespaces = []string{"team-*"} }, func(*Terms) {}},
		{"delegations", "team-a", func(s *v1alpha1.ApiAggregatorSpec) {
			s.Delegations = []v1alpha1.Delegation{{Prefix: "/orders/", Namespaces: []string{"team-a"}}, {Prefix: "/%75sers", Namespaces: []string{"team-b"}}, {Prefix: "?"}}
		}, func(t *Terms) { t.Delegations = map[string]bool{"/orders": true, "/users": false} }},
		{"limits", "team-a", func(s *v1alpha1.ApiAggregatorSpec) {
			s.RequestBody = &v1alpha1.RequestBody{Default: "1Mi", Max: "10Mi"}
		},
			func(t *Terms) { t.DefaultBody, t.MaxBody = "1Mi", "10Mi" }},
		{"in DNS", "team-a", func(s *v1alpha1.ApiAggregatorSpec) { s.DNS = &v1alpha1.DNS{Enabled: &yes} }, func(*Terms) {}},
		{"not in DNS", "team-a", func(s *v1alpha1.ApiAggregatorSpec) { s.DNS = &v1alpha1.DNS{Enabled: &no} }, func(t *Terms) { t.Unpublished = true }},
		{"a Gateway of the platform team's", "team-a", func(s *v1alpha1.ApiAggregatorSpec) {
			s.Gateway.Name, s.Gateway.Listeners = "shared", &v1alpha1.Listeners{HTTPS: "apis", HTTP: "plain"}
		}, func(t *Terms) { t.GatewayName, t.Listener = "shared", "apis" }},
		{"of which nothing is said", "team-a", func(s *v1alpha1.ApiAggregatorSpec) { s.Gateway.Listeners = &v1alpha1.Listeners{} }, func(*Terms) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &v1alpha1.ApiAggregator{Spec: v1alpha1.ApiAggregatorSpec{
				Hostname: "api.example.com", Gateway: v1alpha1.Gateway{Implementation: v1alpha1.Traefik, Namespace: "gateways"},
			}}
			a.Namespace, a.Name = "platform", "public-api"
			c.change(&a.Spec)
			want := Terms{
				Hostname: "api.example.com", Implementation: v1alpha1.Traefik, GatewayNamespace: "gateways", GatewayName: Request(a).ObjectName(), Listener: "https",
				Delegations: map[string]bool{}, Destinations: []string{"eu-1"},
			}
			c.want(&want)
			if got := TermsFor(a, c.namespace, []string{"eu-1"}); !reflect.DeepEqual(got, want) {
				t.Errorf("they are\n%+v, want\n%+v", got, want)
			}
		})
	}
}

// The listener for the redirect is the one that the platform team names, or http.
func TestHTTPListener(t *testing.T) {
	for name, c := range map[string]struct {
		listeners *v1alpha1.Listeners
		want      string
	}{
		"none are named": {nil, "http"}, "only the other": {&v1alpha1.Listeners{HTTPS: "apis"}, "http"}, "it is named": {&v1alpha1.Listeners{HTTP: "plain"}, "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &v1alpha1.ApiAggregator{Spec: v1alpha1.ApiAggregatorSpec{Gateway: v1alpha1.Gateway{Listeners: c.listeners}}}
			if got := HTTPListener(a); got != c.want {
				t.Errorf("it is %s", got)
			}
		})
	}
}

// external-dns is told by its annotations of before v0.22 and of since.
func TestDNS(t *testing.T) {
	for name, c := range map[string]struct{ got, want map[string]string }{
		"left alone":         {DNSIgnore(), map[string]string{"external-dns.alpha.kubernetes.io/controller": "none", "external-dns.kubernetes.io/controller": "none"}},
		"pointed to another": {DNSTarget("lb"), map[string]string{"external-dns.alpha.kubernetes.io/target": "lb", "external-dns.kubernetes.io/target": "lb"}},
	} {
		t.Run(name, func(t *testing.T) {
			if !maps.Equal(c.got, c.want) {
				t.Errorf("they are %v", c.got)
			}
		})
	}
}

// Of several delegations the longest decides.
func TestDelegated(t *testing.T) {
	terms := Terms{Delegations: map[string]bool{"/": true, "/a": false, "/a/b": true}}
	for key, want := range map[string]struct {
		prefix string
		ok     bool
	}{
		"/": {"/", true}, "/x": {"/", true}, "/ab": {"/", true}, "/a": {"/a", false}, "/a/c": {"/a", false}, "/a/b": {"/a/b", true}, "/a/b/c": {"/a/b", true},
	} {
		t.Run(key, func(t *testing.T) {
			for range 20 { // a map has another order each time
				if prefix, ok := terms.Delegated(key); prefix != want.prefix || ok != want.ok {
					t.Fatalf("it is delegated with %q, and may be published: %t", prefix, ok)
				}
			}
		})
	}
	t.Run("delegated to nobody", func(t *testing.T) {
		if prefix, ok := (Terms{}).Delegated("/a"); prefix != "" || !ok {
			t.Errorf("it is delegated with %q, and may be published: %t", prefix, ok)
		}
	})
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
		t.Run(name, func(t *testing.T) {
			changed := base
			if change(&changed); changed.Digest() == base.Digest() {
				t.Error("a change does not show")
			}
		})
	}
}
