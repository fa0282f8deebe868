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
		for _, seed := range seedForm.FindAllString(creds, -1) {
			needles = append(needles, seed, base64.StdEncoding.EncodeToString([]byte(seed))[:70])
		}
	}
	n := len(seen.creds)
	seen.Unlock()
	if n == 0 {
		t.Skip("nothing was issued")
	}
	for _, seed := range [][]byte{world.NATS.OperatorKey, world.NATS.SigningKey} {
		needles = append(needles, string(seed), base64.StdEncoding.EncodeToString(seed)[:70])
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
	w.Close()
	if !seedForm.Match(unpacked(fmt.Sprintf(`{"content": %q}`, base64.StdEncoding.EncodeToString(b.Bytes())))) {
		t.Error("a seed in a Work is not found")
	}
}
