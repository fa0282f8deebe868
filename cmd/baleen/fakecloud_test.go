package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/provider/synadia"
)

// The stand-in says what one needs to use it, writes that into a platform, shows
// each request, and ends when it is interrupted.
func TestFakecloud(t *testing.T) {
	w := newWorld(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int)
	go func() {
		code := execute(ctx, []string{"fakecloud", "--platform", w.platform}, writer, &stderr)
		_ = writer.Close() // never fails
		done <- code
	}()
	lines := make(chan string, 1000)
	go func() {
		scanner := bufio.NewScanner(reader)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		close(lines)
	}()
	said := map[string]string{}
	for !strings.Contains(said["The NatsAccount commerce and the Secret synadia are in the platform. Next: baleen run"], "commerce.yaml") {
		line, more := <-lines
		if !more {
			t.Fatalf("it ended: %s", stderr.String())
		}
		for _, what := range []string{"Base URL", "Token", "Account id", "NATS", "The NatsAccount commerce and the Secret synadia are in the platform. Next: baleen run"} {
			if rest, found := strings.CutPrefix(line, what+" "); found {
				said[what] = strings.TrimSpace(rest)
			}
		}
	}
	wantAsked := func(want ...string) {
		t.Helper()
		for _, want := range want {
			stamp, asked, _ := strings.Cut(<-lines, " ")
			if _, err := time.Parse(time.RFC3339, stamp); err != nil || asked != want {
				t.Errorf("it shows %q at %q, want %q", asked, stamp, want)
			}
		}
	}
	<-lines // an empty one

	named := synadia.Named{System: "NGS", Account: "commerce"}
	found, err := synadia.Open(nil, said["Base URL"], "", said["Token"], 10*time.Second).Look(ctx, named)
	if err != nil || found.ID != said["Account id"] || !strings.HasPrefix(said["NATS"], "nats://127.0.0.1:") {
		t.Errorf("%+v, %v; it said %v", found, err, said)
	}
	look := []string{"GET /teams 200", "GET /teams/…/systems 200", "GET /systems/…/accounts 200", "GET /accounts/… 200", "GET /accounts/…/account-sk-groups 200"}
	wantAsked(look...)
	if _, err := synadia.Open(nil, said["Base URL"], "", "another", 10*time.Second).Look(ctx, named); !synadia.IsStatus(err, 401) {
		t.Errorf("with another token: %v", err)
	}
	wantAsked("GET /teams 401")

	account := filepath.Join(w.platform, "baleen-system", "NatsAccount.baleen.dev", "commerce.yaml")
	if code, stdout, stderr := w.baleen("run", account, "--platform", w.platform, "--out", w.out); code != 0 || !strings.Contains(stdout, "True (Verified)") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	wantAsked(append(look, "GET /accounts/…/nats-users 200")...)

	interrupt()
	if code := <-done; code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.com:80"} {
		t.Run(address, func(t *testing.T) {
			w.with(t).fails([]string{"fakecloud", "--listen", address}, "is not on the loopback interface: the stand-in is for this machine alone")
		})
	}
	w.fails([]string{"fakecloud", "--listen", "8080"}, "is not an address such as 127.0.0.1:8080")
	w.fails([]string{"fakecloud", "--platform", filepath.Join(t.TempDir(), "none")}, "cannot be opened")
}
