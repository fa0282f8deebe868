package platform_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
)

// openCluster returns a client for a handler that is served over HTTP.
func openCluster(t *testing.T, handler http.Handler) (*platform.Cluster, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cluster, err := platform.OpenCluster(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return cluster, server
}

func TestClusterConformance(t *testing.T) {
	platformtest.Run(t, func(t *testing.T) platform.Client {
		cluster, _ := openCluster(t, platformtest.Serve(openFolder(t, t.TempDir()), platformtest.Kinds...))
		return cluster
	})
}

func TestClusterRequests(t *testing.T) {
	server := platformtest.Serve(openFolder(t, t.TempDir()), platformtest.Kinds...)
	var mu sync.Mutex
	var seen []string
	server.Observe = func(verb string, kind platform.Kind, namespace, name, subresource string) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, strings.Join([]string{verb, kind.Plural, namespace, name, subresource}, " "))
		if verb == "delete" {
			return apierrors.NewForbidden(kind.GVR().GroupResource(), name, errors.New("not yours"))
		}
		return nil
	}
	cluster, _ := openCluster(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "baleen" {
			t.Errorf("the user agent is %q", r.UserAgent())
		}
		server.ServeHTTP(w, r)
	}))
	ctx := t.Context()
	object, err := cluster.Create(ctx, platform.ConfigMap, configMap("team-a", "x", "a", "1"))
	if err != nil {
		t.Fatal(err)
	}
	_, updating := cluster.Update(ctx, platform.ConfigMap, object)
	_, status := cluster.UpdateStatus(ctx, platform.ConfigMap, object)
	_, patching := cluster.Patch(ctx, platform.ConfigMap, "team-a", "x", nil)
	_, listing := cluster.List(ctx, platformtest.Note, "", nil)
	_, getting := cluster.Get(ctx, platformtest.ClusterNote, "", "x")
	deleting := cluster.Delete(ctx, platform.ConfigMap, "team-a", "x", platform.Preconditions{})
	if err := errors.Join(updating, status, patching, listing); err != nil || !apierrors.IsNotFound(getting) || !apierrors.IsForbidden(deleting) {
		t.Errorf("%v; getting: %v; deleting: %v", err, getting, deleting)
	}
	if _, err := cluster.Get(ctx, platform.Work, "team-a", "x"); !apierrors.IsNotFound(err) {
		t.Errorf("getting a kind that is not served: %v", err)
	}
	want := []string{
		"create configmaps team-a  ", "update configmaps team-a x ", "update configmaps team-a x status", "patch configmaps team-a x ",
		"list notes   ", "get clusternotes  x ", "delete configmaps team-a x ",
	}
	mu.Lock()
	defer mu.Unlock()
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("the server saw %q, want %q", seen, want)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BALEEN_PLATFORM_DIR", dir)
	if client, err := platform.Open(os.Getenv, now); err != nil || reflect.TypeOf(client) != reflect.TypeFor[*platform.Folder]() {
		t.Errorf("opened %T (%v)", client, err)
	}
	t.Setenv("BALEEN_PLATFORM_DIR", dir+"/none")
	if client, err := platform.Open(os.Getenv, now); client != nil || err == nil || !strings.Contains(err.Error(), "make it or name another") {
		t.Errorf("opened %v (%v)", client, err)
	}
	t.Setenv("BALEEN_PLATFORM_DIR", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if client, err := platform.Open(os.Getenv, now); client != nil || err == nil || !strings.Contains(err.Error(), "set BALEEN_PLATFORM_DIR") {
		t.Errorf("opened %v (%v)", client, err)
	}
}

// faulty is an API server in front of a folder that misbehaves as told.
type faulty struct {
	sync.Mutex
	*platformtest.Server
	folder *platform.Folder
	// refuse are the errors with which the next requests are answered.
	refuse []error
	// lose is how many answers are lost after the request had its effect, and
	// cut how many break off in the middle.
	lose, cut int
	// lost runs after each that is.
	lost  func()
	tries int
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.Lock()
	defer f.Unlock()
	f.tries++
	answer := httptest.NewRecorder()
	f.Server.ServeHTTP(answer, r)
	switch {
	case f.lose > 0:
		f.lose--
		if f.lost != nil {
			f.lost()
		}
		panic(http.ErrAbortHandler)
	case f.cut > 0:
		f.cut--
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		return
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// set changes how the server behaves.
func (f *faulty) set(change func()) {
	f.Lock()
	defer f.Unlock()
	change()
}

// openFaulty returns such a server, a client that retries, and the delays that
// this one asked for without spending them.
func openFaulty(t *testing.T) (*faulty, platform.Client, *[]time.Duration) {
	t.Helper()
	folder := openFolder(t, t.TempDir())
	server := &faulty{Server: platformtest.Serve(folder, platform.ConfigMap), folder: folder}
	server.Observe = func(string, platform.Kind, string, string, string) error {
		if len(server.refuse) == 0 {
			return nil
		}
		err := server.refuse[0]
		server.refuse = server.refuse[1:]
		return err
	}
	cluster, _ := openCluster(t, server)
	var delays []time.Duration
	policy := platform.DefaultRetry
	policy.Sleep = func(_ context.Context, d time.Duration) error {
		delays = append(delays, d)
		return nil
	}
	return server, platform.WithRetry(cluster, policy), &delays
}

func TestRetryWhileTheServerIsAway(t *testing.T) {
	handler := platformtest.Serve(openFolder(t, t.TempDir()), platform.ConfigMap)
	server := httptest.NewServer(handler)
	cluster, err := platform.OpenCluster(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	back := &http.Server{Handler: handler}
	defer back.Close()
	comesBack := false
	var slept []time.Duration
	policy := platform.DefaultRetry
	policy.Sleep = func(_ context.Context, d time.Duration) error {
		slept = append(slept, d)
		if comesBack && len(slept) == 2 {
			listener, err := net.Listen("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = back.Serve(listener) }() // until it is closed
		}
		return nil
	}
	client := platform.WithRetry(cluster, policy)
	_, err = client.Create(t.Context(), platform.ConfigMap, configMap("team-a", "x", "a", "1"))
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	if !platform.IsTransient(err) || !strings.Contains(err.Error(), "failed in all of 6 tries") || !jittered(slept, want) {
		t.Errorf("with the server away: %v, after waiting %v", err, slept)
	}
	comesBack, slept = true, nil
	if _, err := client.Create(t.Context(), platform.ConfigMap, configMap("team-a", "x", "a", "1")); err != nil || len(slept) != 2 {
		t.Errorf("with the server back: %v, after waiting %v", err, slept)
	}
}

// jittered reports whether delays are those, each up to a fifth longer, and none over the
// longest of all.
func jittered(got, want []time.Duration) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if most := min(want[i]+want[i]/5, platform.DefaultRetry.Cap); got[i] < want[i] || got[i] > most {
			return false
		}
	}
	return true
}

// Those who wait for an API server do not come back all at once.
func TestRetriesSpread(t *testing.T) {
	first := map[time.Duration]bool{}
	for range 20 {
		server, client, delays := openFaulty(t)
		server.set(func() { server.refuse = []error{apierrors.NewServiceUnavailable("starting")} })
		if _, err := client.List(t.Context(), platform.ConfigMap, "team-a", nil); err != nil {
			t.Fatal(err)
		}
		first[(*delays)[0]] = true
	}
	if len(first) < 10 {
		t.Errorf("20 clients wait for %d different times", len(first))
	}
}

func TestRetryRefusals(t *testing.T) {
	resource := platform.ConfigMap.GVR().GroupResource()
	for name, test := range map[string]struct {
		refuse []error
		delays []time.Duration
		failed bool
	}{
		"unavailable":      {[]error{apierrors.NewServiceUnavailable("starting"), apierrors.NewInternalError(errors.New("etcd"))}, []time.Duration{time.Second / 2, time.Second}, false},
		"says when":        {[]error{apierrors.NewTooManyRequests("busy", 3)}, []time.Duration{3 * time.Second}, false},
		"says soon":        {[]error{apierrors.NewServerTimeout(resource, "get", 0)}, []time.Duration{time.Second / 2}, false},
		"says much later":  {[]error{apierrors.NewTimeoutError("busy", 600)}, []time.Duration{8 * time.Second}, false},
		"bad gateway":      {[]error{apierrors.NewGenericServerResponse(502, "get", resource, "x", "", 0, true)}, []time.Duration{time.Second / 2}, false},
		"forbidden":        {[]error{apierrors.NewForbidden(resource, "x", nil)}, nil, true},
		"a folder's error": {[]error{errors.New("the platform file cannot be used")}, []time.Duration{time.Second / 2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			server, client, delays := openFaulty(t)
			server.set(func() { server.refuse = test.refuse })
			_, err := client.List(t.Context(), platform.ConfigMap, "team-a", nil)
			server.Lock()
			defer server.Unlock()
			if (err != nil) != test.failed || !jittered(*delays, test.delays) || server.tries != len(test.delays)+1 {
				t.Errorf("%v after %d tries and %v", err, server.tries, *delays)
			}
		})
	}
}

func TestRetryOfLostAnswers(t *testing.T) {
	for name, lose := range map[string]func(f *faulty){"lost": func(f *faulty) { f.set(func() { f.lose = 2 }) }, "cut": func(f *faulty) { f.set(func() { f.cut = 2 }) }} {
		t.Run(name, func(t *testing.T) {
			server, client, _ := openFaulty(t)
			ctx := t.Context()
			lose(server)
			created, err := client.Create(ctx, platform.ConfigMap, configMap("team-a", "x", "a", "1"))
			if err != nil {
				t.Fatal(err)
			}
			lose(server)
			if got, err := client.Get(ctx, platform.ConfigMap, "team-a", "x"); err != nil || !reflect.DeepEqual(got, created) {
				t.Errorf("got %v (%v), created %v", got, err, created)
			}
			lose(server)
			patched, err := client.Patch(ctx, platform.ConfigMap, "team-a", "x", map[string]any{"data": map[string]any{"a": "2"}})
			if err != nil {
				t.Fatal(err)
			}
			// The caller meets the conflict with its own effect, reads and sees it.
			lose(server)
			patched.Object["data"] = map[string]any{"a": "3"}
			if _, err := client.Update(ctx, platform.ConfigMap, patched); !apierrors.IsConflict(err) {
				t.Errorf("updating: %v", err)
			}
			if got, err := client.Get(ctx, platform.ConfigMap, "team-a", "x"); err != nil || got.Object["data"].(map[string]any)["a"] != "3" {
				t.Errorf("got %v (%v)", got, err)
			}
			lose(server)
			if err := client.Delete(ctx, platform.ConfigMap, "team-a", "x", platform.Preconditions{UID: string(created.GetUID())}); err != nil {
				t.Error(err)
			}
			if err := client.Delete(ctx, platform.ConfigMap, "team-a", "x", platform.Preconditions{}); !apierrors.IsNotFound(err) {
				t.Errorf("deleting what was never there: %v", err)
			}
		})
	}
}

func TestRetryOfCreateFindsAnother(t *testing.T) {
	ours := configMap("team-a", "x", "owner", "a")
	ours.SetLabels(map[string]string{"app": "a"})
	theirs := ours.DeepCopy()
	theirs.Object["data"] = map[string]any{"owner": "b"}
	relabelled := ours.DeepCopy()
	relabelled.SetLabels(map[string]string{"app": "b"})
	for name, test := range map[string]struct {
		meanwhile func(f *faulty) error
		exists    bool
	}{
		"nothing": {func(f *faulty) error { return nil }, false},
		"defaulted": {func(f *faulty) error {
			_, err := f.folder.Patch(t.Context(), platform.ConfigMap, "team-a", "x", map[string]any{"immutable": false})
			return err
		}, false},
		"replaced": {func(f *faulty) error { _, err := f.folder.Update(t.Context(), platform.ConfigMap, theirs); return err }, true},
		"relabelled": {func(f *faulty) error {
			_, err := f.folder.Update(t.Context(), platform.ConfigMap, relabelled)
			return err
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			server, client, _ := openFaulty(t)
			server.set(func() {
				server.lose = 1
				server.lost = func() {
					if err := test.meanwhile(server); err != nil {
						t.Error(err)
					}
				}
			})
			_, err := client.Create(t.Context(), platform.ConfigMap, ours)
			if apierrors.IsAlreadyExists(err) != test.exists || !test.exists && err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("refused before", func(t *testing.T) { // certainly without effect: the other one came first
		server, client, _ := openFaulty(t)
		server.set(func() { server.refuse = []error{apierrors.NewTooManyRequestsError("busy")} })
		if _, err := server.folder.Create(t.Context(), platform.ConfigMap, ours); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Create(t.Context(), platform.ConfigMap, ours); !apierrors.IsAlreadyExists(err) {
			t.Error(err)
		}
	})
}

func TestRetryEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var tries atomic.Int32
	cluster, _ := openCluster(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		tries.Add(1)
		cancel()
		panic(http.ErrAbortHandler)
	}))
	client := platform.WithRetry(cluster, platform.DefaultRetry) // would really sleep
	if err := client.Delete(ctx, platform.ConfigMap, "team-a", "x", platform.Preconditions{}); err == nil || tries.Load() != 1 {
		t.Errorf("%v after %d tries", err, tries.Load())
	}
	policy := platform.DefaultRetry
	policy.Sleep = func(context.Context, time.Duration) error { return context.Canceled }
	tries.Store(0)
	if err := platform.WithRetry(cluster, policy).Delete(t.Context(), platform.ConfigMap, "team-a", "x", platform.Preconditions{}); !platform.IsTransient(err) || tries.Load() != 1 {
		t.Errorf("%v after %d tries", err, tries.Load())
	}
}

func TestClusterTimeout(t *testing.T) {
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer server.Close()
	defer sync.OnceFunc(func() { close(hold) })()
	cluster, err := platform.OpenCluster(&rest.Config{Host: server.URL, Timeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Get(t.Context(), platform.ConfigMap, "team-a", "x"); !platform.IsTransient(err) {
		t.Errorf("a server that does not answer: %v", err)
	}
}

// Only what another try may mend is transient.
func TestIsTransient(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("other"), false},
		{context.Canceled, false},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), true},
		{fmt.Errorf("dialling: %w", syscall.ECONNREFUSED), true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{fmt.Errorf("reading: %w", http2.StreamError{Code: http2.ErrCodeInternal}), true},
		{&net.DNSError{IsTemporary: true}, true},
		{&net.DNSError{IsNotFound: true}, false},
		{fmt.Errorf("wrapped: %w", apierrors.NewServiceUnavailable("")), true},
		{apierrors.NewBadRequest(""), false},
	} {
		t.Run(fmt.Sprint(test.err), func(t *testing.T) {
			if got := platform.IsTransient(test.err); got != test.want {
				t.Errorf("%v: %v", test.err, got)
			}
		})
	}
}
