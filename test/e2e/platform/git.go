package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	gitUser     = "kratix"
	gitPassword = "not-a-secret" // of a server that nobody outside the machine reaches
)

// gitAuthority is the file with the certificate of who has signed the state store's.
func (p *Platform) gitAuthority() string { return filepath.Join(p.Dir, "git", "authority", "ca.crt") }

// startGit serves the state store over HTTPS, as a Git host does. While the file
// away is beside it, it answers 503.
func (p *Platform) startGit() error {
	dir := filepath.Join(p.Dir, "git")
	repository := filepath.Join(dir, "state.git")
	seed := filepath.Join(dir, "seed")
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", repository},
		{"-C", repository, "config", "http.receivepack", "true"},
		// Kratix clones it for each thing it writes: it stays packed, and no time goes into small packs.
		{"-C", repository, "config", "gc.auto", "500"},
		{"-C", repository, "config", "pack.window", "0"},
		{"init", "--quiet", "--initial-branch=main", seed},
		{"-C", seed, "-c", "user.name=platform", "-c", "user.email=platform@example.com", "commit", "--quiet", "--allow-empty", "-m", "The state of the clusters"},
		{"-C", seed, "push", "--quiet", repository, "main"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %s", strings.Join(args, " "), out)
		}
	}
	if err := os.RemoveAll(seed); err != nil {
		return err
	}
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return err
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + gitUser},
	}
	ca, err := newAuthority(filepath.Dir(p.gitAuthority()), "state store")
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(gitAddr)
	if err != nil {
		return err
	}
	if err := ca.issue("tls", "state store", nil, host); err != nil {
		return err
	}
	return serveTLS(gitAddr, ca.file("tls.crt"), ca.file("tls.key"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat(filepath.Join(dir, "away")); !errors.Is(err, fs.ErrNotExist) {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if user, password, _ := r.BasicAuth(); user != gitUser || password != gitPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="state"`)
			http.Error(w, "who is there?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
}
