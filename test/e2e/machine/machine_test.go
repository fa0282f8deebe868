package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is also what runs in the machine: its first process, and one that makes
// as much of a mess as it can.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 4 && os.Args[1] == "init":
		code, err := Machine{Dir: os.Args[3]}.Init([]string{"10.99.0.1"}, os.Args[5:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	case len(os.Args) > 2 && os.Args[1] == "mess":
		if err := mess(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func mess(dir string) error {
	mount := filepath.Join(dir, "mount")
	if err := os.MkdirAll(mount, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, ""); err != nil {
		return err
	}
	// A process that outlives its parent, in a session of its own.
	if err := exec.Command("setsid", "--fork", "sleep", "98765").Run(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "made"), nil, 0o644)
}

func TestNothingStaysBehind(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" { // the gate must not pass without it
			t.Fatal("only root makes namespaces")
		}
		t.Skip("only root makes namespaces")
	}
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			m := Machine{Dir: filepath.Join(t.TempDir(), "run")}
			if err := os.MkdirAll(m.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := m.Start("mess", m.Dir); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Stop(false); err != nil {
					t.Error(err)
				}
			}()
			wait(t, func() bool { _, err := os.Stat(filepath.Join(m.Dir, "made")); return err == nil }, m)
			if err := m.Start("mess", m.Dir); err == nil {
				t.Error("a second one was started in the same folder")
			}
			within, err := m.Command("sh", "-c", "ip -brief address; cat /etc/hosts; ls /proc | grep -c '^[0-9]'")
			if err != nil {
				t.Fatal(err)
			}
			out, err := within.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "10.99.0.1/32") || !strings.Contains(string(out), "127.0.0.1 localhost platform") || strings.Contains(string(out), "eth") {
				t.Errorf("the machine is not one of its own: %v\n%s", err, out)
			}
			if out, err := exec.Command("ip", "-brief", "address").CombinedOutput(); err != nil || strings.Contains(string(out), "10.99.0.1") {
				t.Errorf("the host has the machine's address: %v\n%s", err, out)
			}
			if crash {
				p, err := m.running()
				if err != nil {
					t.Fatal(err)
				}
				if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				wait(t, func() bool { return m.Running() != nil }, m)
			}
			if err := m.Stop(false); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(m.Dir); err == nil {
				t.Error("its folder is still there")
			}
			mounts, err := os.ReadFile("/proc/mounts")
			if err != nil || strings.Contains(string(mounts), m.Dir) {
				t.Errorf("a mount is still there (%v)", err)
			}
			wait(t, func() bool { return exec.Command("pgrep", "-f", "sleep 98765").Run() != nil }, m)
			groups, err := hierarchies()
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				if _, err := os.Stat(filepath.Join(g, m.CgroupName())); err == nil {
					t.Errorf("a control group is still in %s", g)
				}
			}
		})
	}
}

func wait(t *testing.T, done func() bool, m Machine) {
	t.Helper()
	for range 400 {
		if done() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	log, _ := os.ReadFile(m.Log())
	t.Fatalf("it does not happen; the machine's log: %s", log)
}
