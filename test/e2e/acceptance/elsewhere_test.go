package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/test/e2e/kratix"
	"github.com/baleen-platform/baleen/test/e2e/platform"
)

// elsewhere describes clusters that somebody has already, from the variables in
// README. What it does not name is not there, and stories that need it are skipped.
func elsewhere(getenv func(string) string) (platform.Environment, error) {
	e := platform.Environment{
		Kubeconfigs: map[string]string{"platform": path(getenv("PLATFORM_KUBECONFIG"))}, Registry: getenv("REGISTRY"),
		HTTPS: getenv("GATEWAY_HTTPS"), HTTP: getenv("GATEWAY_HTTP"), Backend: getenv("BACKEND"), Logs: os.DevNull,
	}
	for pair := range strings.SplitSeq(getenv("WORKLOAD_KUBECONFIG"), ",") {
		name, file, ok := strings.Cut(pair, "=")
		if !ok || name != "eu-1" && name != "us-1" {
			return e, fmt.Errorf("WORKLOAD_KUBECONFIG is %q: name two clusters, eu-1=FILE,us-1=FILE, after their Destinations", getenv("WORKLOAD_KUBECONFIG"))
		}
		e.Kubeconfigs[name] = path(file)
	}
	if len(e.Kubeconfigs) != 3 {
		return e, fmt.Errorf("WORKLOAD_KUBECONFIG names %d clusters: name two, eu-1=FILE,us-1=FILE, after their Destinations", len(e.Kubeconfigs)-1)
	}
	known, err := os.ReadFile(path(getenv("NATS_ACCESS")))
	if err == nil {
		err = json.Unmarshal(known, &e.NATS)
	}
	if err != nil {
		return e, fmt.Errorf("NATS_ACCESS names no JSON file with URL, AccountID, and in base64 OperatorKey, SystemCredentials, SigningKey: %w", err)
	}
	if e.Kubectl, err = exec.LookPath("kubectl"); err != nil {
		return e, err
	}
	if e.Git, err = os.MkdirTemp("", "baleen-e2e-state-"); err != nil { // only its owner reads it: git keeps the store's token in there
		return e, err
	}
	if out, err := exec.Command("git", "clone", "--quiet", "--mirror", getenv("STATE_STORE"), e.Git).CombinedOutput(); err != nil {
		os.RemoveAll(e.Git)
		return e, fmt.Errorf("STATE_STORE cannot be cloned: %s", withoutToken(string(out), getenv("STATE_STORE")))
	}
	return e, nil
}

// whichKratix reads from a Kratix that somebody else has installed which one it is.
func whichKratix(ctx context.Context) error {
	if world.Kratix != "" {
		return nil
	}
	images, err := hub().tryKubectl(ctx, "", "-n", kratix.Namespace, "get", "deployment", kratix.Deployment, "-o", "jsonpath={.spec.template.spec.containers[*].image}")
	world.Kratix = images
	return err
}

// path is a file as make was told of it, seen from here.
func path(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(root, file)
}

// withoutToken is what git says of a store, without the token in its address.
func withoutToken(said, store string) string {
	if u, err := url.Parse(store); err == nil && u.User != nil {
		said = strings.ReplaceAll(said, u.User.String()+"@", "")
	}
	return said
}

// needsGateway skips a story where nothing can be asked over HTTPS.
func needsGateway(t testing.TB) {
	t.Helper()
	if world.HTTPS == "" || world.HTTP == "" || world.Backend == "" {
		t.Skip("GATEWAY_HTTPS, GATEWAY_HTTP and BACKEND say where eu-1's gateway is, and an address of this machine that it reaches")
	}
}

// needsControl skips a story that kills, wipes or takes the guard away, or needs what
// runs only on a platform of make platform-up.
func needsControl(t testing.TB) {
	t.Helper()
	if world.Control == "" {
		t.Skip("these clusters are somebody's: this is told only on a platform of make platform-up")
	}
}
