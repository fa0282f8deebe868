package acceptance

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// seen are the secrets that this run has come across.
var seen secretsSeen

type secretsSeen struct {
	sync.Mutex
	creds map[string]bool
}

func (s *secretsSeen) add(creds []byte) {
	s.Lock()
	defer s.Unlock()
	if s.creds == nil {
		s.creds = map[string]bool{}
	}
	s.creds[string(creds)] = true
}

// seedForm is what the seeds of NATS look like: of users, accounts, operators.
var seedForm = regexp.MustCompile(`S[UAO][A-Z2-7]{56}`)

// jwtForm is a JWT of NATS; those of accounts are public, those of users come
// with a seed only, but belong nowhere either.
var jwtForm = regexp.MustCompile(`eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ\.`)

// noSecrets reads all that the run has left behind.
func noSecrets(s *story) {
	t := s.T
	var needles []string
	seen.Lock()
	for creds := range seen.creds {
		needles = append(needles, forms(seedForm.FindString(creds))...)
	}
	n := len(seen.creds)
	seen.Unlock()
	if n == 0 {
		t.Fatal("nothing was issued: tell this story after others")
	}
	for _, secret := range [][]byte{world.NATS.OperatorKey, world.NATS.SigningKey, world.NATS.SystemCredentials} {
		needles = append(needles, forms(seedForm.FindString(string(secret)))...)
	}
	if world.Synadia.Token != "" {
		needles = append(needles, forms(world.Synadia.Token)...)
	}
	read := 0
	search := func(where string, data []byte) {
		t.Helper()
		read += len(data)
		if seedForm.Match(data) || jwtForm.Match(data) {
			t.Errorf("%s has what looks like a secret", where)
		}
		for _, needle := range needles {
			if bytes.Contains(data, []byte(needle)) {
				t.Errorf("%s has a secret that was issued", where)
			}
		}
	}
	// Every version of every file that Git ever had, and the messages of commits.
	objects := git(t, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
	cmd := exec.Command("git", "-c", "safe.directory=*", "-C", world.Git, "cat-file", "--batch")
	cmd.Stdin = strings.NewReader(objects)
	history, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	search("Git", history)
	for _, work := range hub().list(t, works, "") {
		data, err := work.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		search("the Work "+work.GetName(), data)
		search("the Work "+work.GetName(), unpacked(string(data)))
	}
	for _, what := range []gvr{natsUsers, natsAccounts, apiTargets, apiAggregators, configMaps, {Version: "v1", Resource: "events"}, {Group: "batch", Version: "v1", Resource: "jobs"}} {
		for _, object := range hub().list(t, what, "") {
			data, err := object.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			search(what.Resource+" "+object.GetNamespace()+"/"+object.GetName(), data)
		}
	}
	pods, err := hub().core.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	logs := 0
	for _, p := range pods.Items {
		for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
			data, err := hub().core.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: c.Name}).DoRaw(t.Context())
			if err == nil {
				logs++
				search("the log of "+p.Name+" "+c.Name, data)
			}
		}
	}
	// And those of pods that are gone, and of everything else that ran.
	err = filepath.WalkDir(world.Logs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil {
			logs++
			search(path, data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if logs == 0 {
		t.Error("no log was read")
	}
	s.holds("%d credentials were issued and seen; in all %.1f MiB of Git's history, Works, requests, ledgers, events and %d logs there is none of their seeds", n, float64(read)/(1<<20), logs)
}

// forms are how a seed may lie in a text: as it is, and in base64, where it may begin
// at any of three places in a group of digits. Digits that depend on what is around
// it are left out.
func forms(seed string) []string {
	all := []string{seed}
	for before := range 3 {
		digits := base64.RawStdEncoding.EncodeToString([]byte("xx"[:before] + seed))
		all = append(all, digits[(before*8+5)/6:(before+len(seed))*8/6])
	}
	return all
}

var packed = regexp.MustCompile(`H4sI[A-Za-z0-9+/=]+`)

// unpacked are the contents of a Work, which are compressed.
func unpacked(text string) []byte {
	var all bytes.Buffer
	for _, content := range packed.FindAllString(text, -1) {
		if raw, err := base64.StdEncoding.DecodeString(content); err == nil {
			if reader, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
				_, _ = io.Copy(&all, reader)
			}
		}
	}
	return all.Bytes()
}

// TestSecretsAreFound checks the search itself.
func TestSecretsAreFound(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, "SU", strings.Repeat("A", 56))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !seedForm.Match(unpacked(fmt.Sprintf(`{"content": %q}`, base64.StdEncoding.EncodeToString(b.Bytes())))) {
		t.Error("a seed in a Work is not found")
	}
	seed := "SUADVQJWLKOFTQUNHXZWDBGEQPTJP5TIGEQCJSAAXTOYZ2SY6HXYKQ7FZI" // a test fixture: of a user that exists nowhere
	for shift := range 6 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("-", shift) + seed + "\n------END USER NKEY SEED------\n"))
		if !slices.ContainsFunc(forms(seed), func(form string) bool { return strings.Contains(text, form) }) {
			t.Errorf("a seed in base64, %d bytes after its beginning, is not found", shift)
		}
	}
}
