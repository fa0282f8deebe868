package judges

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/gateway/gatewaytest"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var egctlProgram = flag.String("egctl", "", "Envoy Gateway's egctl: make judges builds it")

// What Envoy Gateway itself makes of what the pipelines emit, for hosts with random
// targets, serves what the model of it says and the oracle admits. Envoy, which is not to
// be had as a program here, is left: its routes are read as its documentation has it, see
// [envoy], with paths cleaned by [gatewaytest.EnvoyPath].
func TestEnvoyGateway(t *testing.T) {
	if *egctlProgram == "" {
		t.Skip("no egctl of Envoy Gateway is given: make judges")
	}
	hosts := newHosts(t, aggregator.EnvoyGateway, 8443, nil)
	of := services(hosts)
	cluster := [][]byte{clusterObjects("gateway.envoyproxy.io/gatewayclass-controller", of, nil), certificate(t)}
	at := map[string]string{}
	for service, address := range clusterIPs(of) {
		at[address] = service
	}
	compare(t, "Envoy Gateway", hosts, gatewaytest.Envoy, nil, func(h *host) func(gatewaytest.Request) answer {
		return translated(t, append(cluster, h.documents...), h.name, at).send
	})
}

// envoy is the configuration that Envoy Gateway makes for one host.
type envoy struct {
	routes []envoyRoute
	// services by the names of clusters
	services map[string]string
}

// envoyRoute is config.route.v3.Route. What a match may have besides is an error; what is
// left out of the rest does not change who serves a request.
type envoyRoute struct {
	Match          json.RawMessage
	match          envoyMatch
	Route          *envoyAction
	DirectResponse *struct{ Status int }
}

type envoyMatch struct {
	Prefix, Path, PathSeparatedPrefix string
	Headers                           []struct {
		Name        string
		StringMatch struct{ Exact string }
	}
}

type envoyAction struct {
	Cluster          string
	WeightedClusters json.RawMessage
	PrefixRewrite    string
	RegexRewrite     *struct {
		Pattern      struct{ Regex string }
		Substitution string
	}
}

// dump is what egctl prints, as far as it is read.
type dump struct {
	Xds map[string]struct {
		Configs []struct {
			DynamicListeners []struct {
				ActiveState struct{ Listener json.RawMessage }
			}
			DynamicRouteConfigs []struct {
				RouteConfig struct {
					VirtualHosts []struct {
						Domains []string
						Routes  []envoyRoute
					}
				}
			}
			DynamicEndpointConfigs []struct {
				EndpointConfig struct {
					ClusterName string
					Endpoints   []struct {
						LbEndpoints []struct {
							Endpoint struct {
								Address struct{ SocketAddress struct{ Address string } }
							}
						}
					}
				}
			}
		}
	}
}

// cleaning are the settings that [gatewaytest.EnvoyPath] stands for.
var cleaning = []string{`"normalizePath":true`, `"mergeSlashes":true`, `"pathWithEscapedSlashesAction":"UNESCAPE_AND_REDIRECT"`}

// translated has Envoy Gateway translate objects, and returns what it makes for a host, whose
// services are at some addresses.
func translated(t *testing.T, objects [][]byte, host string, services map[string]string) *envoy {
	t.Helper()
	file := filepath.Join(t.TempDir(), "in.yaml")
	if err := os.WriteFile(file, bytes.Join(objects, []byte("\n---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), *egctlProgram, "experimental", "translate", "--from", "gateway-api", "--to", "xds", "--type", "all", "--output", "json", "--file", file)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("egctl: %v: %s", err, stderr.Bytes())
	}
	var d dump
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatal(err)
	}
	e, listens := &envoy{services: map[string]string{}}, false
	for _, xds := range d.Xds {
		for _, config := range xds.Configs {
			for _, l := range config.DynamicListeners {
				listens = cleans(t, l.ActiveState.Listener) || listens
			}
			for _, c := range config.DynamicEndpointConfigs {
				for _, endpoints := range c.EndpointConfig.Endpoints {
					for _, endpoint := range endpoints.LbEndpoints {
						e.services[c.EndpointConfig.ClusterName] = services[endpoint.Endpoint.Address.SocketAddress.Address]
					}
				}
			}
			for _, r := range config.DynamicRouteConfigs {
				for _, virtual := range r.RouteConfig.VirtualHosts {
					if strings.HasPrefix(virtual.Domains[0], host) {
						e.routes = append(e.routes, virtual.Routes...)
					}
				}
			}
		}
	}
	if len(e.routes) > 0 && !listens {
		t.Fatalf("nothing listens for %s: %s%s", host, out, stderr.Bytes())
	}
	for n := range e.routes {
		decoder := json.NewDecoder(bytes.NewReader(e.routes[n].Match))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&e.routes[n].match); err != nil {
			t.Fatalf("%v: %s", err, e.routes[n].Match)
		}
	}
	return e
}

// cleans reports whether a listener serves routes, and has paths cleaned before.
func cleans(t *testing.T, listener []byte) bool {
	t.Helper()
	compact := &bytes.Buffer{}
	if err := json.Compact(compact, listener); err != nil {
		t.Fatal(err)
	}
	serves := strings.Contains(compact.String(), `"routeConfigName":`) // else it is for the proxy's own health
	for _, setting := range cleaning {
		if serves && !strings.Contains(compact.String(), setting) {
			t.Fatalf("the listener does not have %s: %s", setting, compact)
		}
	}
	return serves
}

// send answers a request as Envoy does: the first route whose match fits has it.
func (e *envoy) send(request gatewaytest.Request) answer {
	path, status := gatewaytest.EnvoyPath(request.Path)
	if status != 0 {
		return answer{status: status}
	}
	for _, r := range e.routes {
		switch {
		case !r.match.fits(request.Method, path):
		case r.DirectResponse != nil:
			return answer{status: r.DirectResponse.Status}
		default:
			return answer{service: e.services[r.Route.Cluster], path: r.Route.rewrite(r.match, path), status: http.StatusOK}
		}
	}
	return answer{status: http.StatusNotFound}
}

func (m envoyMatch) fits(method, path string) bool {
	for _, h := range m.Headers {
		if h.Name != ":method" {
			panic(h.Name)
		}
		if h.StringMatch.Exact != method {
			return false
		}
	}
	switch {
	case m.Path != "":
		return path == m.Path
	case m.PathSeparatedPrefix != "":
		return path == m.PathSeparatedPrefix || strings.HasPrefix(path, m.PathSeparatedPrefix+"/")
	}
	return strings.HasPrefix(path, m.Prefix)
}

func (a *envoyAction) rewrite(m envoyMatch, path string) string {
	switch {
	case a.PrefixRewrite != "":
		return a.PrefixRewrite + strings.TrimPrefix(path, m.Path+m.PathSeparatedPrefix+m.Prefix)
	case a.RegexRewrite != nil:
		return regexp.MustCompile(a.RegexRewrite.Pattern.Regex).ReplaceAllString(path, regexp.MustCompile(`\\(\d)`).ReplaceAllString(a.RegexRewrite.Substitution, "$${$1}"))
	}
	return path
}
