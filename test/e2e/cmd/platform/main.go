// Command platform runs a whole platform on this machine and takes it down
// again. Nothing of it is reachable from outside, and nothing stays behind.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/baleen-platform/baleen/test/e2e/kratix"
	"github.com/baleen-platform/baleen/test/e2e/machine"
	"github.com/baleen-platform/baleen/test/e2e/platform"
	"github.com/baleen-platform/baleen/test/e2e/tools"
)

func main() {
	root := &cobra.Command{
		Use: "platform", SilenceUsage: true, SilenceErrors: true,
		Short: "A platform cluster, two workload clusters and all that Baleen works with, on this machine",
	}
	dir := root.PersistentFlags().String("dir", defaultDir(), "folder for programs and for what runs; BALEEN_E2E_DIR sets it too")
	root.AddCommand(
		&cobra.Command{Use: "up", Short: "Build what is missing and bring the platform up", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), *dir) }},
		&cobra.Command{Use: "down", Short: "Take the platform down and remove all of it but the programs", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return here(*dir).Stop(false) }},
		&cobra.Command{Use: "build", Short: "Build the programs of the platform", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := tools.Build(sourceDir(), filepath.Join(*dir, "bin"), os.Stderr)
				return err
			}},
		&cobra.Command{Use: "check", Short: "Say whether this machine can run the platform", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return check(*dir) }},
		&cobra.Command{Use: "deps", Short: "Install what is missing, with apt", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return install() }},
		&cobra.Command{Use: "logs", Short: "Show the last lines of each log", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return logs(*dir, cmd.OutOrStdout()) }},
		&cobra.Command{Use: "exec COMMAND [ARG...]", Short: "Run a command where the platform is", Args: cobra.MinimumNArgs(1), DisableFlagParsing: false,
			RunE: func(_ *cobra.Command, args []string) error { return execute(*dir, args) }},
		&cobra.Command{Use: "init", Hidden: true, RunE: func(_ *cobra.Command, args []string) error {
			code, err := machine.Machine{Dir: *dir}.Init(platform.Addresses(), args)
			if err != nil {
				return err
			}
			os.Exit(code)
			return nil
		}},
		&cobra.Command{Use: "run", Hidden: true, RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), *dir) }},
	)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "platform:", err)
		os.Exit(1)
	}
}

func defaultDir() string {
	if dir := os.Getenv("BALEEN_E2E_DIR"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "baleen-e2e")
}

// sourceDir is the folder of the tools' go.mod files.
func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "tools")
}

func here(dir string) machine.Machine { return machine.Machine{Dir: filepath.Join(dir, "run")} }

// built is what up tells the process that runs in the machine.
type built struct {
	Programs, Sources map[string]string
	Kratix            kratix.Given
}

func up(ctx context.Context, dir string) error {
	if err := check(dir); err != nil {
		return err
	}
	m := here(dir)
	if m.Running() == nil {
		return fmt.Errorf("a platform runs in %s already: take it down first", m.Dir)
	}
	// What an earlier one left behind when it crashed.
	if err := m.Stop(false); err != nil {
		return err
	}
	b := built{}
	var err error
	if b.Kratix, err = kratix.FromEnvironment(os.Getenv); err != nil {
		return err
	}
	var given []string
	if b.Kratix.IsGiven() {
		given = []string{"kratix"}
	}
	if b.Programs, err = tools.Build(sourceDir(), filepath.Join(dir, "bin"), os.Stderr, given...); err != nil {
		return err
	}
	if b.Kratix.IsGiven() {
		if err := examine(ctx, b); err != nil {
			return err
		}
	}
	if b.Sources, err = tools.Sources(sourceDir()); err != nil {
		return err
	}
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(b)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.Dir, "built.json"), data, 0o600)
	}
	if err == nil {
		err = m.Start("run", "--dir", dir)
	}
	if err != nil {
		return err
	}
	return follow(ctx, m)
}

// examine reads the Kratix that is given before anything runs, so that what is wrong
// with it is said at once.
func examine(ctx context.Context, b built) error {
	dir, err := os.MkdirTemp("", "baleen-e2e-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	k, err := b.Kratix.Read(dir, func(dir string) (string, error) {
		out, err := exec.CommandContext(ctx, b.Programs["kubectl"], "kustomize", dir).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s cannot be built by kustomize: %s", dir, out)
		}
		return string(out), nil
	})
	if err != nil {
		return fmt.Errorf("this Kratix cannot be installed: %w", err)
	}
	fmt.Fprintln(os.Stderr, "Kratix is given:", k.Version())
	return nil
}

// follow shows how the platform comes up, until it is up or has failed.
func follow(ctx context.Context, m machine.Machine) error {
	began, shown := time.Now(), int64(0)
	show := func() {
		file, err := os.Open(filepath.Join(m.Dir, platform.Progress))
		if err != nil {
			return
		}
		defer file.Close()
		if _, err := file.Seek(shown, io.SeekStart); err == nil {
			n, _ := io.Copy(os.Stderr, file)
			shown += n
		}
	}
	for {
		show()
		if _, err := os.Stat(filepath.Join(m.Dir, platform.Ready)); err == nil {
			show()
			fmt.Fprintf(os.Stderr, "The platform is up after %s; its logs are in %s.\n", time.Since(began).Round(time.Second), filepath.Join(m.Dir, "log"))
			return nil
		}
		if err := m.Running(); err != nil {
			show()
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), m.Stop(true))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// run is the process that everything else is a child of.
func run(ctx context.Context, dir string) error {
	m := here(dir)
	data, err := os.ReadFile(filepath.Join(m.Dir, "built.json"))
	b := built{}
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		return err
	}
	return platform.New(m.Dir, b.Programs, b.Sources, b.Kratix).Run(ctx)
}

func execute(dir string, args []string) error {
	cmd, err := here(dir).Command(args[0], args[1:]...)
	if err != nil {
		return err
	}
	e, err := platform.ReadEnvironment(here(dir).Dir)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.Kubeconfigs["platform"], "PATH="+filepath.Dir(e.Kubectl)+":"+os.Getenv("PATH"),
		"BALEEN_E2E_RUN="+here(dir).Dir)
	return cmd.Run()
}

// logs shows how each log ends: enough to see what failed where nobody can look.
func logs(dir string, w io.Writer) error {
	files, err := filepath.Glob(filepath.Join(here(dir).Dir, "log", "*.log"))
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(w, "\n== %s\n", filepath.Base(file))
		for _, line := range lines[max(0, len(lines)-8):] {
			fmt.Fprintln(w, line[:min(len(line), 300)])
		}
	}
	return nil
}

// needed are programs and the Debian packages that have them.
var needed = []struct{ file, pkg string }{
	{"containerd", "containerd"}, {"crun", "crun"}, {"git", "git"}, {"ip", "iproute2"}, {"nsenter", "util-linux"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
}

// room is what the programs, what they are built from, and images take on a disk.
const room = 15 << 30

// check says why this machine cannot run the platform, if so.
func check(dir string) error {
	var missing []string
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	disk := syscall.Statfs_t{}
	if err := syscall.Statfs(dir, &disk); err != nil {
		return err
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < room {
		missing = append(missing, fmt.Sprintf("%d GiB of disk below %s, of which %d are free (BALEEN_E2E_DIR moves it)", room>>30, dir, free>>30))
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "root, because it makes namespaces, mounts and control groups")
	}
	if _, err := os.ReadDir("/sys/fs/cgroup"); err != nil {
		missing = append(missing, "control groups at /sys/fs/cgroup")
	}
	if err := exec.Command("unshare", "--mount", "--pid", "--net", "--fork", "true").Run(); err != nil {
		missing = append(missing, "namespaces for mounts, processes and the network")
	}
	if err := exec.Command("unshare", "--net", "ip", "link", "add", "pods0", "type", "bridge").Run(); err != nil {
		missing = append(missing, "network bridges")
	}
	for _, n := range packages() {
		missing = append(missing, n+" (make platform-deps installs it)")
	}
	if len(missing) > 0 {
		return fmt.Errorf("this machine cannot run the platform; it lacks:\n  %s", strings.Join(missing, "\n  "))
	}
	return nil
}

// packages are those that are not installed.
func packages() []string {
	var missing []string
	for _, n := range needed {
		if _, err := exec.LookPath(n.file); err != nil {
			missing = append(missing, n.pkg)
		}
	}
	return missing
}

func install() error {
	missing := packages()
	if len(missing) == 0 {
		return nil
	}
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)} {
		cmd := exec.Command("apt-get", args...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s cannot be installed: %w", strings.Join(missing, ", "), err)
		}
	}
	return nil
}
