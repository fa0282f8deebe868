package judges

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/gateway"
	"github.com/baleen-platform/baleen/internal/gateway/gatewaytest"
	"github.com/baleen-platform/baleen/internal/httppath"
	aggregator "github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

var nginxProgram = flag.String("nginx", "", "nginx's program: make judges finds it")

// nginx itself serves what the model of NGINX Gateway Fabric says and the oracle admits:
// hosts with random targets, as the pipelines emit them. What makes nginx's configuration
// of them is not NGINX Gateway Fabric, whose module is not to be had: see nginxServer.
func TestNGINX(t *testing.T) {
	needNGINX(t)
	var fits func(*host) bool
	if out, err := exec.CommandContext(t.Context(), *nginxProgram, "-v").CombinedOutput(); err != nil || shortNames.Match(out) {
		t.Logf("%s knows 255 bytes of a path: hosts with longer ones are left out (%v)", bytes.TrimSpace(out), err)
		fits = short
	}
	hosts := newHosts(t, aggregator.NGINXGatewayFabric, 8443, fits)
	of := services(hosts)
	n := newNGINX(t, serve(t, of))
	for _, h := range hosts {
		server, err := nginxServer(h.name, h.routes, true)
		if err != nil {
			t.Fatal(err)
		}
		n.servers += server
	}
	n.start(t)
	compare(t, "nginx", hosts, gatewaytest.NGINX, nil, func(*host) func(gatewaytest.Request) answer {
		c := newClient(t, n.dial)
		return func(request gatewaytest.Request) answer {
			got := c.send(t, request)
			if got.status == http.StatusMethodNotAllowed && request.Method != http.MethodTrace && request.Method != http.MethodConnect {
				got.status = http.StatusNotFound // nginx's word where it has no location for other methods than GET and HEAD
			}
			return got
		}
	})
}

// shortNames are the versions of nginx, before 1.23.4, that take a longer name of a location
// for another: NGINX Gateway Fabric has 1.29 and later.
var shortNames = regexp.MustCompile(`nginx/1\.(\d|1\d|2[0-2]|23\.[0-3])\b`)

// short reports whether the locations of a host have names of at most 255 bytes.
func short(h *host) bool {
	for _, r := range h.routes {
		for _, rule := range r.Rules {
			for _, m := range rule.Matches {
				if len(m.Path) > 254 { // and a slash
					return false
				}
			}
		}
	}
	return true
}

// Those characters of a path with a rewrite are refused, and of what it is rewritten to,
// that nginx refuses or does something else with, in any release that is supported.
func TestNGINXCharacters(t *testing.T) {
	needNGINX(t)
	type try struct{ path, rewrite, request, want string }
	type place struct {
		host, what string
		tries      []try
	}
	var places []place
	for i, c := range pathCharacters() {
		places = append(places,
			place{fmt.Sprint("p", i), c + " in a path", []try{
				{"/a" + c + "b", "/v1", "/a" + c + "b/x", "/v1/x"}, {"/" + c + "b", "/v1", "/" + c + "b/x", "/v1/x"}, {"/a" + c, "/v1", "/a" + c, "/v1"},
			}},
			place{fmt.Sprint("r", i), c + " in a rewrite", []try{
				{"/p", "/a" + c + "b", "/p/x", "/a" + c + "b/x"}, {"/q", "/" + c + "b", "/q", "/" + c + "b"}, {"/r", "/a" + c, "/r/x", "/a" + c + "/x"},
			}},
		)
	}
	refused, wrong := map[string]error{}, map[string]error{}
	n := newNGINX(t, serve(t, map[string]string{"s": "team-a"}))
	served := map[string]place{}
	for _, p := range places {
		var rules []gatewaytest.Rule
		for _, try := range p.tries {
			err := gateway.HonoursPath(aggregator.NGINXGatewayFabric, gateway.Route{Path: try.path, Rewrite: try.rewrite})
			refused[p.what] = cmp.Or(refused[p.what], err)
			rules = append(rules, gatewaytest.Rule{
				Matches:  []gatewaytest.Match{{Path: try.path}},
				Filters:  []gatewaytest.Filter{{Type: gatewaytest.URLRewrite, ReplacePrefix: try.rewrite}},
				Backends: []gatewaytest.Backend{{Service: "s", Weight: 1}},
			})
		}
		for _, escapes := range []bool{true, false} { // since v2.6, and before
			host := fmt.Sprintf("%s-%t.example.com", p.host, escapes)
			server, err := nginxServer(host, []gatewaytest.Route{{Rules: rules}}, escapes)
			if err == nil {
				err = n.check(t, server)
			}
			if err != nil {
				wrong[p.what] = err
				continue
			}
			n.servers += server
			served[host] = p
		}
	}
	n.start(t)
	for host, p := range served {
		for _, try := range p.tries {
			got := newClient(t, n.dial).send(t, gatewaytest.Request{Host: host, Method: "GET", Path: try.request})
			if got.service != "s" || !gatewaytest.Same(got.path, try.want) {
				wrong[p.what] = fmt.Errorf("%s rewritten to %s: %s arrives as %+v", try.path, try.rewrite, try.request, got)
			}
		}
	}
	for _, p := range places {
		if (refused[p.what] == nil) != (wrong[p.what] == nil) {
			t.Errorf("%s: Baleen says %v, and of nginx: %v", p.what, refused[p.what], wrong[p.what])
		}
	}
	t.Logf("refused: %s", strings.Join(slices.Sorted(maps.Keys(wrong)), ", "))
	if len(wrong) == 0 {
		t.Error("nothing is wrong: what is tried says nothing")
	}
}

// pathCharacters are those that a path may have, as it has them: of letters one, and of
// what is percent-encoded a few.
func pathCharacters() []string {
	all := []string{"x", "%20", "%21", "%C3%A9"}
	for _, c := range "-._~!\"#$&'()*+,:;<=>?@[\\]^`{|} " {
		if p, err := httppath.Parse(fmt.Sprintf("/a%cb", c)); err == nil && p.Value == fmt.Sprintf("/a%cb", c) {
			all = append(all, string(c))
		}
	}
	return all
}

func needNGINX(t *testing.T) {
	t.Helper()
	if *nginxProgram == "" {
		t.Skip("no program of nginx is given: make judges")
	}
}

// nginxServer writes the server of one host, of the shape that NGINX Gateway Fabric 2.6.7
// gives it, by what the comment of [gatewaytest.NGINX] says of that. It is made from the
// routes alone, with nothing from the model, so that the two can differ. A method is
// looked at by nginx's own if, in place of the script that the controller has for it:
// both redirect within nginx, or answer 404. Escapes says that a $ in a path is escaped,
// which it is since v2.6.
//
// It returns an error for a rule that the controller would leave out.
func nginxServer(name string, routes []gatewaytest.Route, escapes bool) (string, error) {
	type serving struct {
		gatewaytest.Rule
		method string
	}
	type path struct {
		value string
		exact bool
	}
	paths := map[path][]serving{}
	for _, r := range routes { // in the order of their names, which decide, since all are of one age
		for _, rule := range r.Rules {
			for _, m := range rule.Matches {
				if strings.HasPrefix(m.Path, "/_ngf-internal") || strings.ContainsAny(m.Path, "{}; ") || m.Method == http.MethodTrace || m.Method == http.MethodConnect {
					return "", fmt.Errorf("%s: NGINX Gateway Fabric leaves out a rule with the match %+v", r.ID(), m)
				}
				p := path{m.Path, m.Exact}
				paths[p] = append(paths[p], serving{rule, m.Method})
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "server {\n  listen 127.0.0.1:PORT;\n  server_name %s;\n", name)
	if _, exact := paths[path{"/", true}]; !exact && paths[path{"/", false}] == nil {
		b.WriteString("  location = / { return 404; }\n")
	}
	var sorted []path
	for p := range paths {
		sorted = append(sorted, p)
	}
	slices.SortFunc(sorted, func(a, b path) int { return cmp.Or(len(b.value)-len(a.value), strings.Compare(a.value, b.value)) })
	for n, p := range sorted {
		rules := paths[p]
		slices.SortStableFunc(rules, func(a, b serving) int { // those with a method first
			switch {
			case (a.method == "") == (b.method == ""):
				return 0
			case a.method == "":
				return 1
			}
			return -1
		})
		forwards := nginxForwards(p.value, p.exact, false, rules[0].Rule, escapes)
		if len(rules) > 1 || rules[0].method != "" {
			forwards = ""
			for m, r := range rules {
				internal := fmt.Sprintf("/_ngf-internal-rule%d-route%d", n, m)
				fmt.Fprintf(&b, "  location %s {\n    internal;\n%s  }\n", internal, nginxForwards(p.value, p.exact, true, r.Rule, escapes))
				if r.method == "" {
					forwards += fmt.Sprintf("    rewrite ^ %s last;\n", internal)
				} else {
					forwards += fmt.Sprintf("    if ($request_method = %s) { rewrite ^ %s last; }\n", r.method, internal)
				}
			}
			forwards += "    return 404;\n"
		}
		prefix, equal := p.value, ""
		switch {
		case p.exact:
			prefix, equal = "", p.value
		case !strings.HasSuffix(p.value, "/"): // such a prefix has two locations, but for those that others have
			prefix, equal = p.value+"/", p.value
			if paths[path{prefix, false}] != nil {
				prefix = ""
			}
			if paths[path{equal, true}] != nil {
				equal = ""
			}
		}
		if prefix != "" {
			fmt.Fprintf(&b, "  location %s {\n%s  }\n", prefix, forwards)
		}
		if equal != "" {
			fmt.Fprintf(&b, "  location = %s {\n%s  }\n", equal, forwards)
		}
	}
	b.WriteString("}\n")
	return b.String(), nil
}

// nginxForwards is what a location says that serves by a rule.
func nginxForwards(value string, exact, internal bool, rule gatewaytest.Rule, escapes bool) string {
	to := "nobody"
	for _, b := range rule.Backends {
		to = b.Service
	}
	pass := fmt.Sprintf("    proxy_pass http://%s;\n", to)
	for _, f := range rule.Filters {
		switch {
		case f.Type != gatewaytest.URLRewrite || exact:
		case strings.Contains(f.ReplacePrefix, "$"):
			return "    return 500;\n"
		default:
			before, by := value, cmp.Or(f.ReplacePrefix, "/")
			if escapes {
				before = strings.ReplaceAll(before, "$", `\$`)
			}
			rest := "([^?]*)?" // all that follows
			switch ends := strings.HasSuffix(value, "/"); {
			case !ends && strings.HasSuffix(by, "/"):
				rest = "(?:/([^?]*))?"
			case ends && !strings.HasSuffix(by, "/"):
				by += "/"
			}
			rewrite := fmt.Sprintf("    rewrite ^%s%s %s$1?$args? break;\n", before, rest, by)
			if internal { // from the path as it was sent
				rewrite = "    rewrite ^ $request_uri;\n" + rewrite
			}
			return rewrite + pass
		}
	}
	if internal {
		return strings.Replace(pass, ";", "$request_uri;", 1)
	}
	return pass
}

// nginx is the program with a folder of its own.
type nginx struct {
	dir, address string
	ports        map[string]int
	servers      string
}

func newNGINX(t *testing.T, ports map[string]int) *nginx {
	return &nginx{dir: t.TempDir(), address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), ports: ports}
}

func (n *nginx) dial() (net.Conn, error) { return net.Dial("tcp", n.address) }

// command runs nginx with some servers.
func (n *nginx) command(ctx context.Context, t *testing.T, servers string, options ...string) *exec.Cmd {
	t.Helper()
	var b strings.Builder
	_, port, _ := net.SplitHostPort(n.address)
	b.WriteString("daemon off;\nmaster_process off;\npid pid;\nevents {}\nhttp {\n  access_log off;\n  log_not_found off;\n  proxy_http_version 1.1;\n  proxy_set_header Connection \"\";\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "  %s_temp_path %s;\n", kind, kind)
	}
	for service, port := range n.ports {
		fmt.Fprintf(&b, "upstream %s { server 127.0.0.1:%d; keepalive 4; }\n", service, port)
	}
	// A rule without backends goes to a server of nginx's own.
	fmt.Fprintf(&b, "upstream nobody { server unix:%[1]s; }\nserver { listen unix:%[1]s; return 500; }\n", filepath.Join(n.dir, "500"))
	b.WriteString(strings.ReplaceAll(servers, ":PORT;", ":"+port+";") + "}\n")
	file := filepath.Join(n.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(ctx, *nginxProgram, append([]string{"-p", n.dir, "-e", "stderr", "-c", file}, options...)...)
}

// check returns an error if nginx refuses a configuration with some servers.
func (n *nginx) check(t *testing.T, servers string) error {
	t.Helper()
	if out, err := n.command(t.Context(), t, servers, "-t").CombinedOutput(); err != nil {
		return fmt.Errorf("nginx refuses its configuration: %w\n%s", err, out)
	}
	return nil
}

// start runs nginx with its servers.
func (n *nginx) start(t *testing.T) {
	t.Helper()
	if err := n.check(t, n.servers); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	command := n.command(ctx, t, n.servers)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", said.String()[max(0, said.Len()-4000):])
		}
	})
	for range 6000 {
		if conn, err := n.dial(); err == nil {
			_ = conn.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("nginx does not listen")
}
