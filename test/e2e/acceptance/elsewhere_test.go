package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	e.Git = filepath.Join(os.TempDir(), fmt.Sprintf("baleen-e2e-state-%d.git", os.Getpid()))
	if out, err := exec.Command("git", "clone", "--quiet", "--mirror", getenv("STATE_STORE"), e.Git).CombinedOutput(); err != nil {
		return e, fmt.Errorf("STATE_STORE %q cannot be cloned: %s", getenv("STATE_STORE"), out)
	}
	return e, nil
}

// path is a file as make was told of it, seen from here.
func path(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(root, file)
}

// needsGateway skips a story where nothing can be asked over HTTPS.
func needsGateway(t testing.TB) {
	t.Helper()
	if world.HTTPS == "" || world.HTTP == "" || world.Backend == "" {
		t.Skip("GATEWAY_HTTPS, GATEWAY_HTTP and BACKEND say where eu-1's gateway is, and an address of this machine that it reaches")
	}
}

// needsControl skips a story that does to the platform, or asks of it, what only its
// supervisor can: kill, wipe, take the guard away, have an empty pipeline.
func needsControl(t testing.TB) {
	t.Helper()
	if world.Control == "" {
		t.Skip("these clusters are somebody's: what only the supervisor of make platform-up does is left out")
	}
}
