package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asBaleen has the test binary be baleen, with all that main does.
const asBaleen = "BALEEN_TEST_MAIN"

// process starts baleen as a process of its own, with pipes at all ends.
func (w *world) process(args ...string) (cmd *exec.Cmd, stdin io.WriteCloser, stdout io.ReadCloser, stderr *strings.Builder) {
	w.Helper()
	cmd, stderr = exec.CommandContext(w.Context(), os.Args[0], args...), &strings.Builder{}
	cmd.Env, cmd.Stderr = append(os.Environ(), asBaleen+"=1"), stderr
	var errs [3]error
	stdin, errs[0] = cmd.StdinPipe()
	stdout, errs[1] = cmd.StdoutPipe()
	errs[2] = cmd.Start()
	for _, err := range errs {
		if err != nil {
			w.Fatal(err)
		}
	}
	return cmd, stdin, stdout, stderr
}

func (w *world) interrupt(cmd *exec.Cmd) {
	w.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		w.Fatal(err)
	}
}

// The first Ctrl-C ends a command that waits for somebody, in its own words and with
// its own exit code.
func TestFirstSignal(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
	}{
		{"a platform that does not answer", []string{"credentials", "--kubeconfig", "KUBECONFIG"}, 1},
		{"diff with a platform that does not answer", []string{"diff", "-f", "REQUEST", "--kubeconfig", "KUBECONFIG"}, exitDiffFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.write(w.request, targetRequest)
			silent, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
			w.write(kubeconfig, fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a}}]\nclusters: [{name: a, cluster: {server: 'http://%s'}}]\n", silent.Addr()))
			for i := range test.args {
				test.args[i] = strings.NewReplacer("KUBECONFIG", kubeconfig, "REQUEST", w.request).Replace(test.args[i])
			}
			cmd, _, _, stderr := w.process(test.args...)
			asked, err := silent.Accept() // now it waits
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = asked.Close() }()
			w.interrupt(cmd)
			_ = cmd.Wait() // the state says more
			if said := stderr.String(); cmd.ProcessState.ExitCode() != test.code || said != "baleen: interrupted\n" {
				t.Errorf("%v: %s", cmd.ProcessState, said)
			}
		})
	}
}

// One who waits for a request on the standard input is heard as well.
func TestFirstSignalAtStandardInput(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
	}{
		{"validate", []string{"validate", "-f", "-"}, 1},
		{"diff", []string{"diff", "-f", "-", "--platform", "."}, exitDiffFailed},
		{"run", []string{"run", "-f", "-", "--platform", "."}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			cmd, stdin, _, stderr := w.process(test.args...)
			// A pipe holds 64 KiB: with more than that written, it reads.
			if _, err := stdin.Write(make([]byte, 1<<18)); err != nil {
				t.Fatal(err)
			}
			w.interrupt(cmd)
			_ = cmd.Wait()
			if said := stderr.String(); cmd.ProcessState.ExitCode() != test.code || said != "baleen: interrupted\n" {
				t.Errorf("%v: %s", cmd.ProcessState, said)
			}
		})
	}
}

// The second Ctrl-C ends what does not heed the first: here the reader of its output
// does not read on.
func TestSecondSignal(t *testing.T) {
	w := newWorld(t)
	w.write(w.request, strings.Repeat("---\n"+userRequest, 2000)) // what is said of it does not fit into a pipe
	cmd, _, stdout, stderr := w.process("validate", "-f", w.request)
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	w.interrupt(cmd)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	for over := false; !over; {
		select {
		case <-ended:
			over = true
		case <-time.After(20 * time.Millisecond): // it takes a moment until the first was heard
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT || stderr.String() != "" {
		t.Errorf("%v: %s", cmd.ProcessState, stderr)
	}
}
