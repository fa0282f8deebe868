package acceptance

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startedOn is the NATS server that the reader of docs/getting-started.md starts.
const startedOn = "10.99.0.4:4333"

// adaptations are what this platform needs otherwise than docs/getting-started.md has
// it. Each must be needed, so that it is seen when the document changes.
var adaptations = []struct{ text, by, why string }{
	{"make images PUSH=\"$REGISTRY\"\n", "", "test/e2e/run has built and pushed the images with this command"},
	{"make promises REGISTRY=\"$REGISTRY\"\n", "", "it has made the Promises, too"},
	{"for namespace in gateways team-a;", "for namespace in team-a;", "the Gateway's namespace is there already"},
	{"for namespace in platform team-a;", "for namespace in team-a;", "the platform team's namespace is there already"},
	{"kubectl --kubeconfig \"$WORKLOAD\" -n team-a create deployment orders --image=traefik/whoami\n", "", "the workload clusters have no node: a process of the test answers"},
	{"kubectl --kubeconfig \"$WORKLOAD\" -n team-a expose deployment orders --port=8080 --target-port=80\n", "", "the same"},
	{"kubectl --kubeconfig \"$WORKLOAD\" -n traefik port-forward service/traefik 8443:443 & forward=$!\nsleep 2\n", "", "Traefik is no pod, and has an address of its own"},
	{"kill \"$forward\"\n", "", "the same"},
	{":443:127.0.0.1:8443", ":443:$TRAEFIK", "the same"},
	{"curl --cacert", "curl --fail --cacert", "it is tried again until the service answers"},
	{"nats://nats.example.com:4222", "nats://" + startedOn, "where the test starts the server"},
}

// names keep what the reader makes apart from what the other stories have.
var names = strings.NewReplacer("team-a", "team-start", "public-api", "start-api", "api.example.com", "start.example.com", "api-tls", "start-tls",
	"commerce", "bazaar", "operator-signing", "start-operator", "system-credentials", "start-system", "/tmp/", "")

var marked = regexp.MustCompile("(?s)<!-- needs a cluster -->\n```sh\n(.*?)```\n")

// gettingStarted runs the commands of docs/getting-started.md that need clusters, in
// their order and in one shell, as its reader does.
func gettingStarted(s *story) {
	t := s.T
	needsControl(t)
	needsGateway(t)
	document, err := os.ReadFile(filepath.Join(root, "docs", "getting-started.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(document)
	for _, a := range adaptations {
		if !strings.Contains(text, a.text) {
			t.Fatalf("docs/getting-started.md has no %q: the adaptation is not needed any more (%s)", a.text, a.why)
		}
		text = strings.ReplaceAll(text, a.text, a.by)
	}
	blocks := marked.FindAllStringSubmatch(names.Replace(text), -1)
	if len(blocks) != 12 {
		t.Fatalf("docs/getting-started.md has %d blocks for a cluster: see whether this story runs the new ones", len(blocks))
	}
	r := newReader(t)
	t.Cleanup(r.leave)
	for i, block := range blocks {
		switch i {
		case 3: // the service that is published
			r.run(t, block[1], 1)
			backend(t, "team-start", "orders")
		case 6: // as soon as Argo CD has applied the route
			refresh(t)
			r.run(t, block[1], 60)
			s.holds("the route of docs/getting-started.md answers")
		case 8: // the server is started with what the block before has made
			r.startNATS(t)
			r.run(t, block[1], 1)
		case 11: // the workload clusters have no node: the test is the pod
			creds := eu().delivered(t, "team-start", "orders", nil)
			within(t, time.Minute, func() error {
				conn, err := nats.Connect("nats://"+startedOn, nats.UserCredentialBytes(creds))
				if err != nil {
					return err
				}
				defer conn.Close()
				if err := conn.Publish("orders.new", []byte("hello")); err != nil {
					return err
				}
				return conn.FlushTimeout(5 * time.Second)
			})
			s.holds("its credential connects and publishes")
		default:
			r.run(t, block[1], 1)
		}
	}
}

// reader is who reads the document: a shell in a folder that looks like a clone.
type reader struct {
	dir string
	env []string
}

func newReader(t testing.TB) *reader {
	t.Helper()
	r := &reader{dir: t.TempDir()}
	for name, to := range map[string]string{
		"platform.kubeconfig": world.Kubeconfigs["platform"], "eu-1.kubeconfig": world.Kubeconfigs["eu-1"], "dist": filepath.Join(root, "dist"),
	} {
		to, err := filepath.Abs(to)
		if err == nil {
			err = os.Symlink(to, filepath.Join(r.dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	programs := filepath.Join(r.dir, "programs")
	nsc := exec.CommandContext(t.Context(), "go", "-C", filepath.Join(root, "internal", "tools"), "build", "-o", filepath.Join(programs, "nsc"), "github.com/nats-io/nsc/v2")
	if out, err := nsc.CombinedOutput(); err != nil { // its modules have been downloaded by test/e2e/run
		t.Fatalf("nsc cannot be built: %s", out)
	}
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	r.env = append(os.Environ(), "HOME="+r.dir, "XDG_DATA_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir, "NO_COLOR=1", "TRAEFIK="+world.HTTPS,
		"PATH="+strings.Join([]string{programs, bin, filepath.Dir(world.Kubectl), os.Getenv("PATH")}, ":"))
	return r
}

// run runs a block, with what the former ones have exported and set, until it
// succeeds or has been tried that often.
func (r *reader) run(t testing.TB, block string, tries int) {
	t.Helper()
	const variables = "variables.sh"
	// What is set is there in the next block, as in the reader's shell.
	script := "set -euo pipefail\n[ ! -e " + variables + " ] || . ./" + variables + "\n" + block +
		"\n{ for v in KUBECONFIG WORKLOAD REGISTRY NATS_URL account signing operator; do [ -z \"${!v-}\" ] || printf 'export %s=%q\\n' \"$v\" \"${!v}\"; done; } > " + variables + "\n"
	for {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
		cmd.Dir, cmd.Env = r.dir, r.env
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		if tries--; tries == 0 {
			t.Fatalf("%v: %s\nof\n%s", err, out, block)
		}
		time.Sleep(2 * time.Second)
	}
}

// startNATS starts a server with the configuration that nsc has made.
func (r *reader) startNATS(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "nats.conf"), []byte("listen: \""+startedOn+"\"\ninclude resolver.conf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(world.NATSServer, "-c", "nats.conf") // until leave has deleted what needs it
	server.Dir = r.dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.leave()
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	within(t, time.Minute, func() error { // its reader sees that it is up
		conn, err := net.Dial("tcp", startedOn)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// leave deletes what the reader has made, while the NATS server is there to revoke.
func (r *reader) leave() {
	for _, of := range []struct {
		what            gvr
		namespace, name string
	}{
		{natsUsers, "team-start", "orders"}, {apiTargets, "team-start", "orders"}, {natsAccounts, "baleen-system", "bazaar"}, {apiAggregators, "platform", "start-api"},
	} {
		objects := hub().objects.Resource(of.what).Namespace(of.namespace)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		_ = retry(ctx, 2*time.Minute, func() error {
			if err := objects.Delete(ctx, of.name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("it is there: %w", err)
			}
			return nil
		})
		cancel()
	}
}
