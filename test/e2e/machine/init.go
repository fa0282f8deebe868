package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// Init is the machine's first process: it sets up mounts and the network, runs
// this binary with args, and waits for whatever loses its parent. It returns when
// that process has ended; the kernel then ends all others. The addresses, for
// servers that pods must reach, are on the machine's loopback interface, so nothing
// outside reaches them.
func (m Machine) Init(addresses, args []string) (code int, err error) {
	if err := m.mounts(); err != nil {
		return 1, fmt.Errorf("mounts: %w", err)
	}
	if err := m.makeCgroups(); err != nil {
		return 1, err
	}
	commands := []string{"link set lo up"}
	for _, a := range addresses {
		commands = append(commands, "addr add "+a+"/32 dev lo")
	}
	for _, c := range commands {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return 1, fmt.Errorf("ip %s: %s", c, out)
		}
	}
	if err := syscall.Sethostname([]byte("platform")); err != nil {
		return 1, err
	}
	// From here on not os/exec: its Wait and the one below would take each other's.
	pid, err := syscall.ForkExec("/proc/self/exe", append([]string{os.Args[0]}, args...), &syscall.ProcAttr{
		Env: append(os.Environ(), "TMPDIR=/run/tmp"), Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return 1, err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		for range stop {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}()
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 1, err
		}
		if ended == pid {
			return status.ExitStatus(), nil
		}
	}
}

// mounts gives the machine what programs expect at fixed places, without their
// traces on the host.
func (m Machine) mounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	// The kubelet wants mounts that reach its pods.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	// Where both versions of control groups are, crun refuses to choose.
	if err := syscall.Unmount("/sys/fs/cgroup/unified", syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	for _, hidden := range []string{"/run", "/var/lib"} {
		if strings.HasPrefix(m.Dir, hidden+"/") {
			return fmt.Errorf("%s is hidden in the machine: choose a folder that is not below %s", m.Dir, hidden)
		}
		if err := syscall.Mount("tmpfs", hidden, "tmpfs", 0, "mode=755"); err != nil {
			return err
		}
	}
	names := filepath.Join(m.Dir, "hosts")
	if err := os.WriteFile(names, []byte("127.0.0.1 localhost platform\n"), 0o644); err != nil {
		return err
	}
	if err := syscall.Mount(names, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	// With a temporary folder of its own, since one of the programs might remove it.
	for folder, at := range map[string]string{"kubelet": "/var/lib/kubelet", "log": "/var/log", "tmp": "/run/tmp"} {
		source := filepath.Join(m.Dir, folder)
		for _, d := range []string{source, at} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		if err := syscall.Mount(source, at, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}
