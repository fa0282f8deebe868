// Package machine keeps a small machine inside a Linux machine: processes with
// namespaces of their own for processes, mounts and the network. What runs in it
// sees its own loopback interface and no other network, its mounts are nobody
// else's, and when its first process ends the kernel ends all others with it. So
// nothing has to be cleaned up but a folder and some control groups, also after a
// crash.
package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is one machine, running or not.
type Machine struct {
	// Dir is the folder that holds all that the machine leaves on a disk.
	Dir string
}

// process is what identifies a process for as long as the host runs.
type process struct {
	pid   int
	start string // from /proc/<pid>/stat, so that another process with this id is not taken for it
}

func (m Machine) pidFile() string { return filepath.Join(m.Dir, "machine.pid") }

// Log is what the first process and those that it supervises have to say.
func (m Machine) Log() string { return filepath.Join(m.Dir, "log", "machine.log") }

// CgroupName is the control group, in each hierarchy, of the machine's pods.
func (m Machine) CgroupName() string {
	return "baleen-e2e-" + strings.Trim(strings.NewReplacer("/", "-", ".", "-").Replace(m.Dir), "-")
}

// Start makes the machine and runs this binary in it with args, under [Init]. It
// returns at once.
func (m Machine) Start(args ...string) error {
	if _, err := m.running(); err == nil {
		return fmt.Errorf("a platform runs in %s already: take it down first", m.Dir)
	}
	if err := os.MkdirAll(filepath.Dir(m.Log()), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(m.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", append([]string{"init", "--dir", m.Dir, "--"}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("namespaces cannot be made: %w", err)
	}
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("the machine ended at once: see %s", m.Log())
	}
	return os.WriteFile(m.pidFile(), fmt.Appendf(nil, "%d %s\n", cmd.Process.Pid, start), 0o644)
}

// running returns the machine's first process, or an error if it does not run.
func (m Machine) running() (process, error) {
	data, err := os.ReadFile(m.pidFile())
	if err != nil {
		return process{}, fmt.Errorf("no platform runs in %s", m.Dir)
	}
	p := process{}
	if _, err := fmt.Sscan(string(data), &p.pid, &p.start); err != nil {
		return p, fmt.Errorf("%s is broken: %w", m.pidFile(), err)
	}
	if start, err := startTime(p.pid); err != nil || start != p.start {
		return p, fmt.Errorf("the platform in %s has ended: take it down, and see %s for why", m.Dir, m.Log())
	}
	return p, nil
}

// Running reports whether the machine runs, and if not, why.
func (m Machine) Running() error {
	_, err := m.running()
	return err
}

// startTime is field 22 of /proc/<pid>/stat, which is an error also for a process
// that has ended and was not waited for.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The command's name is in parentheses and may contain anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", errors.New("it has ended")
	}
	return fields[19], nil
}

// Command runs in the machine, as nsenter(1) does it.
func (m Machine) Command(name string, args ...string) (*exec.Cmd, error) {
	p, err := m.running()
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	// nsenter's own --wd leads out of the machine's mounts again.
	enter := []string{"--target", strconv.Itoa(p.pid), "--mount", "--pid", "--net", "--uts", "--ipc", "--",
		"/bin/sh", "-c", `cd "$1" && shift && exec "$@"`, "sh", dir, name}
	cmd := exec.Command("nsenter", append(enter, args...)...)
	return cmd, nil
}

// Stop ends all that runs in the machine and removes what the host still has of
// it: control groups, and the folder unless keep. It may be called in any state.
func (m Machine) Stop(keep bool) error {
	if p, err := m.running(); err == nil {
		if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
			return err
		}
		if !m.ended(30 * time.Second) {
			if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
				return err
			}
			if !m.ended(30 * time.Second) {
				return fmt.Errorf("process %d does not end", p.pid)
			}
		}
	}
	if err := m.removeCgroups(); err != nil {
		return err
	}
	if keep {
		return os.RemoveAll(m.pidFile())
	}
	return os.RemoveAll(m.Dir)
}

func (m Machine) ended(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if m.Running() != nil {
			return true
		}
	}
	return false
}

// hierarchies are the folders in which control groups are made: one for each
// controller with version 1, one in all with version 2.
func hierarchies() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return []string{root}, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("there are no control groups: %w", err)
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() {
			found = append(found, filepath.Join(root, e.Name()))
		}
	}
	return found, nil
}

func (m Machine) makeCgroups() error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.MkdirAll(filepath.Join(root, m.CgroupName()), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (m Machine) removeCgroups() error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		var groups []string
		err := filepath.WalkDir(filepath.Join(root, m.CgroupName()), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		if err != nil {
			return err
		}
		slices.Reverse(groups) // those within others first
		for _, group := range groups {
			// A group is busy for a moment after its last process has ended.
			for i := 0; ; i++ {
				err := os.Remove(group)
				if err == nil || errors.Is(err, fs.ErrNotExist) {
					break
				}
				if i == 100 {
					return err
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	return nil
}
