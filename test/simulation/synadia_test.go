package simulation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
)

// clouds brings the requests of all years to the cloud of each.
var clouds = &transport{}

type transport struct{ byHost sync.Map }

// faultyKey is the key of a context for the faults of a run.
type faultyKey struct{}

// RoundTrip implements [http.RoundTripper]. A request counts as one to the
// platform does: it may fail, or be the last of its pod, before or after its effect.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	inner, _ := t.byHost.Load(r.URL.Host)
	f, _ := r.Context().Value(faultyKey{}).(*faulty)
	before, after := f.request(r.Context())
	if before != nil {
		return nil, errors.New("connection refused")
	}
	response, err := inner.(http.RoundTripper).RoundTrip(r)
	if err == nil && after != nil {
		return nil, errors.New("connection reset by peer")
	}
	return response, err
}

const token = "uat_of_the_platform"

// openCloud opens an account in a cloud of its own.
func (w *world) openCloud(seed uint64) {
	var err error
	w.cloud, err = fakecloud.New(fakecloud.Options{NATS: w.nats, Tokens: []string{token, "uat_of_the_console"}, DeleteRevokes: w.random.IntN(2) == 0})
	w.must(err)
	w.accountID = w.cloud.PublicKey(w.cloud.Account)
	clouds.byHost.Store(hostOf(seed), fakecloud.Transport(w.cloud))
	w.t.Cleanup(func() { clouds.byHost.Delete(hostOf(seed)) })
	w.create(platform.Secret, map[string]any{
		"metadata": map[string]any{"name": "synadia", "namespace": "baleen-system"}, "stringData": map[string]any{"token": token},
	})
}

func hostOf(seed uint64) string { return fmt.Sprintf("year-%d.example.com", seed) }

func (w *world) synadiaSpec(seed uint64) map[string]any {
	return map[string]any{
		"baseURL": "https://" + hostOf(seed), "accountID": w.cloud.Account, "servers": []any{w.nats.URL()}, "platform": "prod",
		"tokenSecretRef": map[string]any{"name": "synadia"}, "driftPolicy": []string{"Report", "Correct"}[w.random.IntN(2)],
	}
}

// inConsole does something as a person does in the console.
func (w *world) inConsole(method, path string, body any) {
	if w.cloud == nil {
		return
	}
	data, err := json.Marshal(body)
	w.must(err)
	prefix := "/api/core/beta/"
	if path[:5] != "nats-" || path[:10] == "nats-user-" {
		prefix += "accounts/" + w.cloud.Account + "/"
	}
	r := httptest.NewRequest(method, prefix+path, bytes.NewReader(data))
	r.Header.Set("Authorization", "Bearer uat_of_the_console")
	answer := httptest.NewRecorder()
	w.cloud.ServeHTTP(answer, r)
	if answer.Code >= 300 {
		w.t.Fatalf("the console: %s %s: %d %s", method, path, answer.Code, answer.Body)
	}
}

// someCloudUser returns a user that the control plane has and that is delivered.
func (w *world) someCloudUser() (fakecloud.User, *ledger.Ledger, bool) {
	if w.cloud == nil {
		return fakecloud.User{}, nil, false
	}
	users := w.cloud.Users(w.cloud.Account)
	for _, i := range w.random.Perm(len(users)) {
		for _, l := range w.ledgers() {
			if l.Tombstone == nil && slices.ContainsFunc(l.Records, func(r ledger.Record) bool { return r.ID == users[i].ID && r.State == ledger.Active }) {
				return users[i], l, true
			}
		}
	}
	return fakecloud.User{}, nil, false
}

// deleteInConsole deletes a user that is in use. Where that revokes it, it is done
// while another can take its place.
func (w *world) deleteInConsole() bool {
	u, l, ok := w.someCloudUser()
	if !ok || w.tokenOut {
		return false
	}
	w.asked[credential.DeletedAtProvider]++
	w.inConsole(http.MethodDelete, "nats-users/"+u.ID, nil)
	if of := (ref{platform.NatsUser, l.Request.Namespace, l.Request.Name}); w.user(of).refused {
		w.cutOff[u.PublicKey] = true
	}
	o := w.get(commerce) // looks at once
	delete(o.Object, "status")
	_, err := w.memory.UpdateStatus(w.ctx, commerce.kind, o)
	w.must(err)
	w.run(commerce, "configure", fault{})
	w.serveLabels()
	w.gitReturns()
	for _, c := range w.clusters {
		c.offline = time.Time{}
	}
	return true
}

func (w *world) changeInConsole() bool {
	u, _, ok := w.someCloudUser()
	if !ok {
		return false
	}
	w.asked[credential.GrantChanged]++
	w.must(w.cloud.AllowPublish(u.ID, "everything.>"))
	return true
}

// loseToken revokes the token of the platform. For two days nothing is issued and
// nothing retired.
func (w *world) loseToken() bool {
	if w.cloud == nil || w.tokenOut {
		return false
	}
	secret := ref{platform.Secret, "baleen-system", "synadia"}
	set := func(token string) {
		w.edit(secret, func(o *unstructured.Unstructured) { o.Object["stringData"] = map[string]any{"token": token} })
	}
	w.tokenOut = true
	set("uat_of_nobody")
	w.later(48*time.Hour, "Synadia's token is replaced", func() {
		w.tokenOut = false
		set(token)
		w.allDirty()
	})
	return true
}

// someCloudFault is something that goes wrong at the control plane: any request,
// or one of a kind, in any way.
func (w *world) someCloudFault() fault {
	f := fakecloud.Fault{Nth: w.random.IntN(5), Late: w.random.IntN(2) == 0} // 0 is each
	if w.random.IntN(2) == 0 {
		f.Method = []string{"GET", "POST", "PUT", "DELETE"}[w.random.IntN(4)]
	}
	switch w.random.IntN(8) {
	case 0:
		f.Status, f.RetryAfter = http.StatusTooManyRequests, "3"
		f.Late = false
	case 1:
		f.Status = http.StatusServiceUnavailable
	case 2:
		f.Drop = true
	case 3:
		f.Half, f.Late = true, false
	case 4:
		f.Delay = 40 * time.Second // longer than a request is waited for
	case 5:
		f.ContentType, f.Late = "text/html", false
	case 6:
		f.Twice, f.Late = true, true
		f.Method, f.Status = "POST", http.StatusBadGateway
	case 7:
		f.Status, f.Late = http.StatusNotFound, false
		f.Method = "GET"
	}
	return fault{cloud: []fakecloud.Fault{f}}
}

// checkCloud makes sure, once all is calm, that the control plane has the users
// that the ledgers know, and no others.
func (w *world) checkCloud() {
	if w.cloud == nil {
		return
	}
	known := map[string]bool{}
	for _, l := range w.ledgers() {
		for _, r := range l.Records {
			// One that is known from what is delivered alone, and was deleted meanwhile,
			// never gets an id.
			if r.State == ledger.Active && r.Lost.IsZero() && r.ID != "" {
				known[r.ID] = true
			}
		}
	}
	inUse := map[string]bool{} // as far as one can tell
	for _, i := range w.cloud.Issuances(w.cloud.Account) {
		inUse[i.UserID] = inUse[i.UserID] || i.Expires > time.Now().Unix()
	}
	for _, u := range w.cloud.Users(w.cloud.Account) {
		if inUse[u.ID] && w.lost && (w.seen[u.PublicKey] == (ref{}) || w.forgotten[u.PublicKey]) {
			continue // downloaded, and the ledger was lost before it was written down, or that had it
		}
		if !known[u.ID] {
			w.t.Errorf("the control plane has the user %s (%s), and no ledger has it", u.Name, u.ID)
			for _, l := range w.ledgers() {
				for _, r := range l.Records {
					w.t.Logf("%s %s g%d %s id %s user %.8s stray %t removed %t revoked %s expires %s %s", l.Request, r.Destination, r.Generation, r.State, r.ID, r.User, r.Stray, r.Removed, r.Revoked, r.Expires, r.Reason)
				}
			}
		}
		delete(known, u.ID)
	}
	for id := range known {
		w.t.Errorf("the ledgers have the user %q, and the control plane does not", id)
	}
}

// otherGroup has users signed by another group from now on.
func (w *world) otherGroup() bool {
	id, err := w.cloud.AddGroup(w.cloud.Account, fakecloud.Group{Name: fmt.Sprint("group ", w.random.Uint32())})
	w.must(err)
	w.edit(commerce, func(o *unstructured.Unstructured) {
		w.must(unstructured.SetNestedField(o.Object, id, "spec", "synadia", "signingKeyGroup"))
	})
	w.allDirty()
	return true
}
