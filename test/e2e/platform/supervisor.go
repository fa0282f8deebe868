package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a program that is to run for as long as the platform does.
type process struct {
	name string
	path string
	args []string
	env  []string // besides the supervisor's own
	// mountNamespace keeps its mounts to itself.
	mountNamespace bool
}

// supervisor starts processes again that end, as a service manager does, until
// they are stopped.
type supervisor struct {
	logs    string // a folder
	mutex   sync.Mutex
	running map[string]*supervised
}

type supervised struct {
	cancel context.CancelFunc
	done   chan struct{}
	mutex  sync.Mutex
	pid    int // 0 while it does not run
}

func newSupervisor(logs string) *supervisor {
	return &supervisor{logs: logs, running: map[string]*supervised{}}
}

// start runs a process from now on.
func (s *supervisor) start(p process) error {
	log, err := os.OpenFile(filepath.Join(s.logs, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	entry := &supervised{cancel: cancel, done: make(chan struct{})}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.running[p.name] != nil {
		cancel()
		return errors.Join(fmt.Errorf("%s runs already", p.name), log.Close())
	}
	s.running[p.name] = entry
	go func() {
		defer close(entry.done)
		defer log.Close()
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, p.path, p.args...)
			cmd.Env = append(os.Environ(), p.env...)
			cmd.Stdout, cmd.Stderr = log, log
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
			cmd.WaitDelay = 20 * time.Second
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if p.mountNamespace {
				cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
			}
			err := cmd.Start()
			if err == nil {
				entry.mutex.Lock()
				entry.pid = cmd.Process.Pid
				entry.mutex.Unlock()
				err = cmd.Wait()
				entry.mutex.Lock()
				entry.pid = 0
				entry.mutex.Unlock()
			}
			if ctx.Err() == nil {
				slog.Warn("a process ended and is started again", "name", p.name, "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	}()
	return nil
}

// stop ends a process and waits until it is gone.
func (s *supervisor) stop(name string) error {
	s.mutex.Lock()
	entry := s.running[name]
	delete(s.running, name)
	s.mutex.Unlock()
	if entry == nil {
		return fmt.Errorf("no process %s runs", name)
	}
	entry.cancel()
	<-entry.done
	return nil
}

// kill ends a process at once; it is started again a second later.
func (s *supervisor) kill(name string) error {
	s.mutex.Lock()
	entry := s.running[name]
	s.mutex.Unlock()
	if entry == nil {
		return fmt.Errorf("no process %s runs", name)
	}
	entry.mutex.Lock()
	defer entry.mutex.Unlock()
	if entry.pid == 0 { // kill(2) would take it for the supervisor's own group
		return fmt.Errorf("%s does not run at this moment", name)
	}
	return syscall.Kill(entry.pid, syscall.SIGKILL)
}
