package synadia_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
)

const (
	// Test fixtures: a seed and a JWT of a user that exists nowhere.
	secretSeed = "SUADVQJWLKOFTQUNHXZWDBGEQPTJP5TIGEQCJSAAXTOYZ2SY6HXYKQ7FZI"
	secretJWT  = "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJBIn0.c2lnbmF0dXJl"
	slow       = 20 * time.Second // longer than a request may take
)

// way is one in which a call goes wrong.
type way struct {
	name string
	fakecloud.Fault
	// again: another try may have another answer.
	again bool
	// late: what has no effect yet may still have it.
	late bool
}

// answered are the ways of an answer that is none of those that are wanted. What
// it says must not be repeated as it is.
func answered(status int, again bool) []way {
	f := fakecloud.Fault{Status: status, Body: fmt.Sprintf(`{"error":"the token %s, the seed %s and the JWT %s are wrong"}`, token, secretSeed, secretJWT)}
	late := f
	late.Late = true
	return []way{
		{fmt.Sprintf("%d before the effect", status), f, again, status == http.StatusGatewayTimeout},
		{fmt.Sprintf("%d after the effect", status), late, again, false},
	}
}

func ways() []way {
	ways := []way{
		{"slow before the effect", fakecloud.Fault{Delay: slow}, true, true},
		{"slow after the effect", fakecloud.Fault{Delay: slow, Late: true}, true, false},
		{"cut before the effect", fakecloud.Fault{Drop: true}, true, false},
		{"cut after the effect", fakecloud.Fault{Drop: true, Late: true}, true, false},
		{"half a body", fakecloud.Fault{Half: true}, true, false},
		{"another content type", fakecloud.Fault{ContentType: "text/html"}, true, false},
		{"an empty body before the effect", fakecloud.Fault{Status: 200}, true, false},
		{"an empty body after the effect", fakecloud.Fault{Status: 200, Late: true}, true, false},
		{"an object without fields", fakecloud.Fault{Status: 200, Body: "{}", Late: true}, true, false},
		{"a page of a proxy", fakecloud.Fault{Status: 200, Body: "<html>", ContentType: "text/html"}, true, false},
		{"twice", fakecloud.Fault{Twice: true}, true, false},
		{"429 for a while", fakecloud.Fault{Status: 429, RetryAfter: "7"}, true, false},
		{"429 for an hour", fakecloud.Fault{Status: 429, RetryAfter: "3600"}, false, false},
		{"503 for an hour", fakecloud.Fault{Status: 503, RetryAfter: "3600"}, false, false},
	}
	for _, status := range []int{500, 503, 504} {
		ways = append(ways, answered(status, true)...)
	}
	for _, status := range []int{302, 401, 403, 404} {
		ways = append(ways, answered(status, false)...)
	}
	return ways
}

// call is a request of the control plane.
type call struct{ name, method, path string }

var (
	create   = call{"create", "POST", "/accounts/*/nats-users"}
	list     = call{"list", "GET", "/accounts/*/nats-users"}
	download = call{"download", "POST", "/nats-users/*/creds"}
	remove   = call{"delete", "DELETE", "/nats-users/*"}
	revoke   = call{"revoke", "PUT", "/accounts/*/nats-user-revocations/*"}
	revoked  = call{"look whether it is revoked", "GET", "/accounts/*/nats-user-revocations/*"}
	unrevoke = call{"take back a revocation", "DELETE", "/accounts/*/nats-user-revocations/*"}
)

// harmless reports whether the call succeeds all the same.
func (y way) harmless(c call) bool {
	switch {
	case c == download && y.ContentType != "" && y.Status == 0, y.Twice:
		return true // text is text
	case c.method == "DELETE": // has no body, and another try finds nothing
		return y.Status == 200 || y.Status == 404 || y.ContentType != "" || y.Half
	}
	return false
}

// hadEffect reports whether the call has its effect by the time of the answer.
func (y way) hadEffect() bool {
	return y.Late || y.Half || y.Twice || y.Status == 0 && y.ContentType != ""
}

// eachFault tests a call that fails in each way, once and always, in a bubble of
// time.
func eachFault(t *testing.T, c call, test func(w *world, y way, once bool)) {
	t.Run(c.name, func(t *testing.T) {
		t.Parallel()
		for _, y := range ways() {
			y.Method, y.Path = c.method, c.path
			for _, once := range []bool{true, false} {
				when := "always"
				if y.Nth = 0; once {
					y.Nth, when = 1, "once"
				}
				if !once && !y.again { // it is asked once
					continue
				}
				t.Run(y.name+"/"+when, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						defer time.Sleep(slow) // until what was left behind is over
						test(inBubble(t, fakecloud.Options{}, nil), y, once)
					})
				})
			}
		}
	})
}

// inBubble returns a world whose servers run only while they are needed.
func inBubble(t *testing.T, options fakecloud.Options, around func(http.Handler) http.Handler) *world {
	t.Helper()
	system, err := natslocal.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, system, options, around)
}

// outcome judges how often a request was made, and whether it came to an error.
func (w *world) outcome(y way, err error, success bool) {
	w.Helper()
	w.fits(err)
	if (err == nil) != success {
		w.Errorf("it says %v, and asked %v", err, w.Requests())
	}
	failed := 0
	for _, r := range w.Requests() {
		if r.Fault && r.Method == y.Method {
			failed++
		}
	}
	if !y.again && failed > 1 {
		w.Errorf("it asked %d times: %v", failed, w.Requests())
	}
	if took := time.Since(w.began); y.RetryAfter == "7" && success && (took < 7*time.Second || took > 8*time.Second) {
		w.Errorf("it took %s, and was to wait for 7s", took)
	}
}

// What fails while a user is issued leaves a credential that connects, and one
// user, or else an error after which nothing is left and nothing connects, once it
// is retired by its name.
func TestIssueFaults(t *testing.T) {
	for _, c := range []call{create, list, download} {
		eachFault(t, c, func(w *world, y way, once bool) {
			success := y.harmless(c) || y.again && once
			switch {
			case c == create && y.again: // what was lost is found again
				success = y.hadEffect() || once && !y.late
			case c == list: // only asked where an answer was lost
				w.Fail(fakecloud.Fault{Method: create.method, Path: create.path, Nth: 1, Drop: true, Late: true})
			}
			w.Fail(y.Fault)
			credential, err := w.issue(provider.Grant{})
			w.outcome(y, err, success)
			w.Heal()
			time.Sleep(slow) // what was slow has happened then
			users := w.named()
			if err == nil {
				known := fakecloud.User{ID: credential.ID, Name: name, PublicKey: credential.User, GroupID: w.Group}
				if !slices.Contains(users, known) || len(users) != 1 && !(y.Twice && c == create) { // it cannot know of the other
					w.Errorf("there are the users %v, issued was %v", users, known)
				}
				for _, i := range w.Issuances(w.Account) {
					if i.PublicKey != credential.User {
						w.Errorf("the credentials of %s were downloaded too", i.PublicKey)
					}
				}
				if len(w.connects(credential.File)) != 1 {
					w.Error("what was issued does not connect")
				}
			} else if !strings.Contains(err.Error(), name) || credential.File != nil {
				w.Errorf("the user is not named, or there is a credential, besides: %v", err)
			}

			w.run()
			_, err = w.issuer.Retire(w.Context(), provider.Identity{Name: name}, w.issuer.Now, w.issuer.Now.Add(life))
			w.fits(err)
			w.gone(err)
		})
	}
}

// gone looks whether nothing is left, and nothing connects.
func (w *world) gone(err error) {
	w.Helper()
	if users, connecting := w.named(), w.connects(w.issued()...); err != nil || len(users) > 0 || len(connecting) > 0 {
		w.Errorf("retiring says %v, there are the users %v, and %d of what was issued connects", err, users, len(connecting))
	}
}

// What fails while a user is retired comes to an error, or it is retired; and
// another run retires it.
func TestRetireFaults(t *testing.T) {
	for _, c := range []call{list, revoke, revoked, remove, unrevoke} {
		eachFault(t, c, func(w *world, y way, once bool) {
			credential, err := w.issue(provider.Grant{})
			w.must(err)
			who, expires := credential.Identity, credential.Expires
			if c == list { // only asked where no more than the name is known
				who = provider.Identity{Name: name}
			}
			if c == unrevoke {
				_, err = w.issuer.Retire(w.Context(), who, w.issuer.Now, expires)
				w.must(err)
				time.Sleep(2 * life)
			}
			w.run()
			w.Fail(y.Fault)
			_, err = w.issuer.Retire(w.Context(), who, w.issuer.Now, expires)
			w.outcome(y, err, y.harmless(c) || y.again && once)
			w.Heal()
			time.Sleep(slow)
			// A delete that is answered as done, and is not, leaves what is revoked.
			if users := w.named(); err == nil && (len(users) > 0 && !(c == remove && y.Status != 0 && y.harmless(c)) || len(w.connects(credential.File)) > 0) {
				w.Errorf("it is retired, and there are the users %v", users)
			}
			if c != list && err != nil && !strings.Contains(err.Error(), name) {
				w.Errorf("the user is not named: %v", err)
			}
			w.run()
			_, err = w.issuer.Retire(w.Context(), who, w.issuer.Now, expires)
			w.gone(err)
			if c == unrevoke && len(w.Revocations(w.Account)) > 0 {
				w.Errorf("the revocations are %v", w.Revocations(w.Account))
			}
		})
	}
}

// What fails while the account is looked up is no reason to say that it is not
// there.
func TestLookFaults(t *testing.T) {
	for _, c := range []call{
		{"teams", "GET", "/teams"}, {"systems", "GET", "/teams/*/systems"}, {"accounts", "GET", "/systems/*/accounts"},
		{"account", "GET", "/accounts/*"}, {"groups", "GET", "/accounts/*/account-sk-groups"},
	} {
		eachFault(t, c, func(w *world, y way, once bool) {
			w.Fail(y.Fault)
			found, err := w.issuer.Cloud.Look(w.Context(), synadia.Named{System: "NGS", Account: "commerce"})
			var unknown *synadia.UnknownError
			if errors.As(err, &unknown) != (c.name == "account" && y.Status == 404) {
				w.Errorf("it says %v", err)
			}
			w.outcome(y, err, y.harmless(c) || y.again && once)
			if err == nil && (found.ID != w.Account || found.PublicKey != w.issuer.AccountID || found.GroupID != w.Group) {
				w.Errorf("found is %+v", found)
			}
		})
	}
}
