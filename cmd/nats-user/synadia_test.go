package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud/openapi"
)

const cloudToken = "uat_of_the_platform_team"

// newCloudWorld is a world whose users live in a stand-in for Synadia Cloud, which
// is judged by Synadia's document.
func newCloudWorld(t *testing.T, binaries string) *world {
	t.Helper()
	w := newPlatform(t, binaries)
	w.control = &control{}
	server := httptest.NewServer(w.control)
	t.Cleanup(server.Close)
	w.cloudURL = server.URL
	cloud, err := fakecloud.New(w.cloudOptions())
	w.must(err)
	w.serve(cloud)
	w.secret("synadia", map[string][]byte{"token": []byte(cloudToken)})
	return w
}

// control is a server at one address for one control plane after the other.
type control struct{ atomic.Pointer[http.Handler] }

func (c *control) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	(*c.Load()).ServeHTTP(answer, request)
}

func (w *world) serve(cloud *fakecloud.Cloud) {
	w.cloud = cloud
	judged := openapi.Validate(w.T, cloud)
	w.control.Store(&judged)
}

func (w *world) cloudOptions() fakecloud.Options {
	return fakecloud.Options{NATS: w.nats, Tokens: []string{cloudToken}, Now: func() time.Time { return w.now }}
}

// forkInCloud returns a world of its own with the same platform and users. It takes
// the address of the control plane over.
func (w *world) forkInCloud() *world {
	w.Helper()
	fork := *w
	fork.settleIn()
	w.must(os.CopyFS(filepath.Join(fork.dir, "platform"), os.DirFS(filepath.Join(w.dir, "platform"))))

	file := filepath.Join(fork.dir, "cloud.json")
	w.must(w.cloud.Save(file))
	accounts := filepath.Join(fork.dir, "nats")
	w.must(w.nats.Save())
	w.must(os.CopyFS(accounts, os.DirFS(filepath.Dir(w.nats.Dir))))
	var err error
	fork.nats, err = natslocal.Open(accounts)
	w.must(err)
	cloud, err := fakecloud.Open(fork.cloudOptions(), file)
	w.must(err)
	w.must(os.Remove(file))
	fork.serve(cloud)
	return &fork
}

func (w *world) commerceInCloud() string {
	return fmt.Sprintf(`
apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system}
spec:
  provider: synadia
  synadia: {baseURL: %q, accountID: %s, platform: prod, tokenSecretRef: {name: synadia}, servers: ["nats://127.0.0.1:1"]}
  policy: {namespaces: [team-a], publish: [orders.>], subscribe: [orders.>], connectionTypes: [STANDARD]}
`, w.cloudURL, w.cloud.Account)
}

// cloudAct is a run of a stage that is killed, and what must be done once more
// before the control plane has exactly the users that the ledger knows.
type cloudAct struct {
	before, run, after func(*world)
	// delivers: afterwards each cluster has a credential.
	delivers bool
	// rare acts are tried with -all.
	rare bool
}

const atOnce = `, rotate: "2", revokePrevious: Immediately`

func servedInCloud(w *world) {
	w.apply(w.commerce())
	w.apply(orders(""))
}

var cloudActs = map[string]cloudAct{
	"first issue": {
		before:   func(w *world) { w.apply(w.commerce()) },
		run:      func(w *world) { w.apply(orders("")) },
		after:    func(w *world) { w.apply(w.commerce()); w.apply(orders("")); w.quiet(func() { w.apply(orders("")) }) },
		delivers: true,
	},
	"rotation": {
		before: servedInCloud,
		run:    func(w *world) { w.apply(orders(atOnce)) },
		after: func(w *world) {
			w.apply(w.commerce())
			w.apply(orders(atOnce))
			w.quiet(func() { w.apply(orders(atOnce)) })
		},
		delivers: true,
	},
	"retiring": {
		before:   func(w *world) { servedInCloud(w); w.apply(orders(atOnce)) },
		run:      func(w *world) { w.apply(w.commerce()) },
		after:    func(w *world) { w.quiet(func() { w.apply(w.commerce()) }) },
		delivers: true,
	},
	"removing what has expired": {
		rare: true,
		before: func(w *world) {
			servedInCloud(w)
			w.apply(orders(atOnce))
			w.apply(w.commerce())
			w.now = w.now.Add(31 * 24 * time.Hour)
			w.apply(orders(atOnce))
		},
		run:      func(w *world) { w.apply(w.commerce()) },
		after:    func(w *world) { w.apply(w.commerce()) },
		delivers: true,
	},
	"finding what nobody wrote down": {
		rare: true,
		before: func(w *world) {
			w.apply(w.commerce())
			w.cloud.Fail(fakecloud.Fault{Method: "POST", Path: "/accounts/*/nats-users", Nth: 1, Twice: true})
			w.apply(orders(""))
			w.cloud.Heal()
			w.now = w.now.Add(25 * time.Hour)
		},
		run: func(w *world) { w.apply(w.commerce()) },
		after: func(w *world) {
			w.apply(orders(""))
			w.apply(w.commerce())
			w.apply(orders(""))
			w.quiet(func() { w.apply(orders("")) })
		},
		delivers: true,
	},
	"deletion": {
		before: func(w *world) { servedInCloud(w); _, _ = w.run(kratix.Delete, orders("")) },
		run:    func(w *world) { w.apply(w.commerce()) },
		after: func(w *world) {
			_, err := w.run(kratix.Delete, orders(""))
			w.must(err)
		},
	},
}

// asking are the points at which something has changed at the control plane. Those
// at which only the platform has are tried with self-hosted NATS, and with -all.
var asking = regexp.MustCompile(`^[0-9]+ after asking for (POST|PUT|DELETE)\b`)

// Killed at any point, at every call to the control plane in particular, a stage
// that is started again leaves exactly the users there that the ledger knows.
func TestKilledInCloud(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(cloudActs)) {
		if cloudActs[name].rare && !*all {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloudActs[name].kill(t)
		})
	}
}

func (a cloudAct) kill(t *testing.T) {
	began := time.Now()
	base := newCloudWorld(t, mortal())
	a.before(base)
	points := a.points(base)
	tried := 0
	for n, point := range points {
		if !*all && n > 0 && !asking.MatchString(point) {
			continue
		}
		tried++
		w := base.forkInCloud()
		w.first = func(promise string, env []string) {
			if p := w.stage(promise, env, fmt.Sprintf("BALEEN_FATAL=%d", n+1)); !p.killed {
				t.Errorf("not killed, but exit code %d: %s", p.code, p.said)
			}
		}
		a.run(w)
		w.within = true
		a.after(w)
		a.check(w)
		if w.leave(); t.Failed() {
			t.Fatalf("it was killed at point %d of %d: %s", n+1, len(points), point)
		}
	}
	t.Attr("tried.kill-points", fmt.Sprint(tried))
	t.Logf("killed at %d of %d points in %v:\n%s", tried, len(points), time.Since(began).Round(time.Millisecond), strings.Join(points, "\n"))
}

// points returns the names of the points of a run, from which nobody dies.
func (a cloudAct) points(base *world) []string {
	w := base.forkInCloud()
	defer w.leave()
	w.list = filepath.Join(w.TempDir(), "points")
	a.run(w)
	data, err := os.ReadFile(w.list)
	w.must(err)
	w.list = ""
	a.after(w)
	a.check(w)
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// check makes sure that ledger and control plane agree: about who is there, and
// that nobody else could connect.
func (a cloudAct) check(w *world) {
	w.Helper()
	known, active := map[string]ledger.Record{}, 0
	for _, r := range w.rows() {
		known[r.User] = r
		if r.State == ledger.Active {
			active++
		} else if r.State != ledger.Retired {
			w.Errorf("generation %d on %s is still %s", r.Generation, r.Destination, r.State)
		}
	}
	users := w.cloud.Users(w.cloud.Account)
	for _, u := range users {
		if r, ok := known[u.PublicKey]; !ok || r.ID != u.ID || r.State != ledger.Active {
			w.Errorf("the control plane has %+v, and the ledger %+v", u, r)
		}
	}
	want := 0
	if a.delivers {
		want = len(clusters)
	}
	delivered := w.delivered()
	if len(users) != want || active != want || len(delivered) != want {
		w.Errorf("the control plane has %d users, the ledger %d that are active, and %d clusters have a credential, of %d", len(users), active, len(delivered), want)
	}
	for cluster, c := range delivered {
		if r := known[c.user]; r.State != ledger.Active || r.Destination != cluster {
			w.Errorf("%s has %s, which the ledger has as %+v", cluster, c.user, r)
		}
	}
	revocations := w.cloud.Revocations(w.cloud.Account)
	for _, i := range w.cloud.Issuances(w.cloud.Account) {
		r, ok := known[i.PublicKey]
		live := i.Expires > w.now.Unix() && revocations[i.PublicKey] < i.IssuedAt
		if live && (!ok || r.State != ledger.Active) {
			w.Errorf("%s was issued, is %s in the ledger (known: %t) and can connect", i.Name, r.State, ok)
		}
	}
	for key := range revocations {
		if r, ok := known[key]; !ok || r.State != ledger.Retired || r.Removed {
			w.Errorf("%s is revoked, and in the ledger %+v", key, r)
		}
	}
}

// The token, and what was downloaded, lie nowhere afterwards but in ciphertext.
func TestNothingLeaksFromSynadia(t *testing.T) {
	t.Parallel()
	h := hoardOf(newCloudWorld(t, released()))
	h.keep("the token", cloudToken)
	h.wants(h.commerce(), "Verified")
	h.dryRun = true
	h.wants(orders(""), "Delivered")
	h.dryRun = false
	h.wants(orders(""), "Delivered")
	for i, f := range []fakecloud.Fault{
		{Method: "POST", Half: true, Nth: 1}, {Method: "POST", ContentType: "text/html", Nth: 2}, {Method: "POST", Status: 500, Late: true, Nth: 1, Body: `{"error":"` + cloudToken + `"}`},
		{Method: "POST", Drop: true, Nth: 2}, {Method: "POST", Twice: true, Late: true, Status: 502, Nth: 1},
	} {
		h.cloud.Fail(f)
		h.apply(orders(fmt.Sprintf(", rotate: again-%d, revokePrevious: Immediately", i)))
		h.cloud.Fail(fakecloud.Fault{Method: []string{"PUT", "GET", "DELETE"}[i%3], Status: 503, Nth: 1})
		h.apply(h.commerce())
		h.cloud.Heal()
		h.wants(orders(fmt.Sprintf(", rotate: again-%d, revokePrevious: Immediately", i)), "Delivered")
	}
	h.cloud.RevokeToken(cloudToken)
	h.wants(h.commerce(), "TokenRefused")
	h.wants(orders(`, rotate: "9", revokePrevious: Immediately`), "IssueFailed")
	h.cloud.AllowToken(cloudToken)
	h.wants(h.commerce(), "Verified")
	h.wants(orders(`, rotate: "9", revokePrevious: Immediately`), "Delivered")
	if _, err := h.run(kratix.Delete, orders("")); err == nil {
		t.Error("the deletion does not wait")
	}
	h.wants(h.commerce(), "Verified")
	_, err := h.run(kratix.Delete, orders(""))
	h.must(err)
	for _, i := range h.cloud.Issuances(h.cloud.Account) {
		h.keepCreds("of "+i.PublicKey, i.Creds)
	}
	h.collect()
	if found := append(h.findings(), h.left...); len(found) > 0 {
		t.Errorf("leaked:\n%s", strings.Join(found, "\n"))
	}
	if least := 2 * 7; len(h.cloud.Issuances(h.cloud.Account)) < least {
		t.Errorf("only %d credentials were issued, of %d or more", len(h.cloud.Issuances(h.cloud.Account)), least)
	}
}
