package synadia_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/providertest"
	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
)

// Credentials that are not what was asked for are refused, whatever they differ in.
func TestOtherCredentials(t *testing.T) {
	grant := provider.Grant{
		Publish: provider.Subjects{Allow: []string{"a.>", "b"}, Deny: []string{"a.b"}}, Subscribe: provider.Subjects{Allow: []string{"c.*"}},
		Responses: &provider.Responses{Max: 1, TTL: time.Minute}, Subscriptions: 10, Payload: 100, Tags: []string{"stage:a"},
		ConnectionTypes: []string{"STANDARD"}, SourceCIDRs: []string{"10.0.0.0/8"}, Times: []provider.Range{{Start: "08:00:00", End: "12:00:00"}}, TimeZone: "UTC",
	}
	other, _ := nkeys.CreateUser()
	otherKey, _ := other.PublicKey()
	otherAccount, _ := nkeys.CreateAccount()
	otherID, _ := otherAccount.PublicKey()
	seed := func(pair nkeys.KeyPair) []byte {
		seed, _ := pair.Seed()
		return seed
	}
	for _, test := range []struct {
		name   string
		change func(*natsjwt.UserClaims)
		seed   []byte // in place of the user's
		want   string // empty if it is as good as what was asked for
	}{
		{"nothing", func(*natsjwt.UserClaims) {}, nil, ""},
		{"another order", func(c *natsjwt.UserClaims) { slices.Reverse(c.Pub.Allow) }, nil, ""},
		{"clocks that differ", func(c *natsjwt.UserClaims) { c.Expires += 300 }, nil, ""},
		{"a narrower limit", func(c *natsjwt.UserClaims) { c.Subs = 5 }, nil, ""},
		{"one more tag", func(c *natsjwt.UserClaims) { c.Tags.Add("by:synadia") }, nil, ""},
		{"a later expiry", func(c *natsjwt.UserClaims) { c.Expires += 3600 }, nil, "see the limits of the account"},
		{"an earlier expiry", func(c *natsjwt.UserClaims) { c.Expires -= 3600 }, nil, "see the limits of the account"},
		{"no expiry", func(c *natsjwt.UserClaims) { c.Expires = 0 }, nil, "never expires"},
		{"another user", func(c *natsjwt.UserClaims) { c.Subject = otherKey }, seed(other), "another user"},
		{"another user's JWT", func(c *natsjwt.UserClaims) { c.Subject = otherKey }, nil, "another user"},
		{"another user's seed", func(*natsjwt.UserClaims) {}, seed(other), "another user"},
		{"another account", func(c *natsjwt.UserClaims) { c.IssuerAccount = otherID }, nil, "another account"},
		{"no account", func(c *natsjwt.UserClaims) { c.IssuerAccount = "" }, nil, "another account"},
		{"one more subject", func(c *natsjwt.UserClaims) { c.Pub.Allow.Add("d") }, nil, "permissions"},
		{"one less subject", func(c *natsjwt.UserClaims) { c.Pub.Allow.Remove("b") }, nil, "permissions"},
		{"nothing denied", func(c *natsjwt.UserClaims) { c.Pub.Deny = nil }, nil, "permissions"},
		{"all subjects", func(c *natsjwt.UserClaims) { c.Sub = natsjwt.Permission{} }, nil, "permissions"},
		{"more responses", func(c *natsjwt.UserClaims) { c.Resp.MaxMsgs = 2 }, nil, "permissions"},
		{"no responses", func(c *natsjwt.UserClaims) { c.Resp = nil }, nil, "permissions"},
		{"a wider limit", func(c *natsjwt.UserClaims) { c.Subs = 20 }, nil, "limits"},
		{"no limit", func(c *natsjwt.UserClaims) { c.NatsLimits.Payload = natsjwt.NoLimit }, nil, "limits"},
		{"any network", func(c *natsjwt.UserClaims) { c.Src = nil }, nil, "source networks"},
		{"any time", func(c *natsjwt.UserClaims) { c.Times = nil }, nil, "times"},
		{"times of another zone", func(c *natsjwt.UserClaims) { c.Locale = "Asia/Tokyo" }, nil, "times"},
		{"any connection", func(c *natsjwt.UserClaims) { c.AllowedConnectionTypes = nil }, nil, "connection types"},
		{"a bearer token", func(c *natsjwt.UserClaims) { c.BearerToken = true }, nil, "use of its seed"},
		{"no tags", func(c *natsjwt.UserClaims) { c.Tags = nil }, nil, "tags"},
		{"too many tags", func(c *natsjwt.UserClaims) { c.Tags.Add(strings.Repeat("a", providertest.MaxBytes)) }, nil, "name fewer subjects"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				forge := func(creds []byte) []byte {
					token, _ := natsjwt.ParseDecoratedJWT(creds)
					claims, err := natsjwt.DecodeUserClaims(token)
					if err != nil {
						t.Fatal(err)
					}
					pair, _ := natsjwt.ParseDecoratedUserNKey(creds)
					if test.seed == nil {
						test.seed = seed(pair)
					}
					test.change(claims)
					token, _ = claims.Encode(otherAccount) // by a key of which nobody here knows whether it is one of the account's
					file, _ := natsjwt.DecorateJWT(token)
					seed, _ := natsjwt.DecorateSeed(test.seed)
					return append(file, seed...)
				}
				w := inBubble(t, fakecloud.Options{}, rewriting(func(r *http.Request, body []byte) []byte {
					if strings.HasSuffix(r.URL.Path, "/creds") {
						return forge(body)
					}
					return body
				}))
				credential, err := w.issue(grant)
				if test.want == "" {
					w.must(err)
					return
				}
				if err == nil {
					w.Fatalf("it takes %+v", credential)
				}
				if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), name) || credential.File != nil {
					w.Errorf("it says %v", err)
				}
				var large *provider.TooLargeError
				if strings.Contains(err.Error(), "eyJ") || errors.As(err, &large) != (test.name == "too many tags") {
					w.Errorf("it says %v", err)
				}
				_, err = w.issuer.Retire(w.Context(), provider.Identity{Name: name}, w.issuer.Now, w.issuer.Now.Add(life))
				w.gone(err)
			})
		})
	}
}

// rewriting puts another body into answers.
func rewriting(body func(r *http.Request, body []byte) []byte) func(http.Handler) http.Handler {
	return func(cloud http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			cloud.ServeHTTP(answer, r)
			rw.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
			rw.WriteHeader(answer.Code)
			_, _ = rw.Write(body(r, answer.Body.Bytes()))
		})
	}
}

// A redirect is not followed: the token is for nobody else.
func TestRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				thief := fmt.Sprintf("thief-%d.test", status)
				network.Store(thief, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					t.Errorf("%s %s is asked, with %q", r.Method, r.URL, r.Header["Authorization"])
				}))
				away := false
				w := inBubble(t, fakecloud.Options{}, func(cloud http.Handler) http.Handler {
					return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						if away {
							http.Redirect(rw, r, "http://"+thief+r.URL.Path, status)
							return
						}
						cloud.ServeHTTP(rw, r)
					})
				})
				credential, err := w.issue(provider.Grant{})
				w.must(err)
				away = true
				_, err = w.issue(provider.Grant{})
				w.fits(err)
				_, retireErr := w.issuer.Retire(w.Context(), credential.Identity, w.issuer.Now, credential.Expires)
				w.fits(retireErr)
				_, lookErr := w.issuer.Cloud.Look(w.Context(), synadia.Named{AccountID: w.Account})
				w.fits(lookErr)
				if !synadia.IsStatus(err, status) || !synadia.IsStatus(retireErr, status) || !synadia.IsStatus(lookErr, status) {
					w.Errorf("it says %v, %v, %v", err, retireErr, lookErr)
				}
			})
		})
	}
}

// Retry-After is waited for where there is time, and not at all where there is not.
func TestRetryAfter(t *testing.T) {
	const pause = 500 * time.Millisecond
	for _, test := range []struct {
		value string
		wait  time.Duration // -1 for none, and no other try
	}{
		{"", pause}, {"0", 0}, {"7", 7 * time.Second}, {"59", 59 * time.Second}, {"-7", pause}, {"soon", pause}, {"7.5", pause},
		{"61", -1}, {"3600", -1}, {"9223372037", -1}, {"99999999999999999999", pause},
		{"Sat, 01 Jan 2000 00:00:09 GMT", 9 * time.Second}, // in a bubble it is 2000
		{"Fri, 31 Dec 1999 23:59:59 GMT", 0}, {"Sat, 01 Jan 2000 01:00:00 GMT", -1},
	} {
		for _, status := range []int{429, 503} {
			t.Run(fmt.Sprintf("%q/%d", test.value, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := inBubble(t, fakecloud.Options{}, nil)
					w.Fail(fakecloud.Fault{Nth: 1, Status: status, RetryAfter: test.value})
					_, err := w.issuer.Users(t.Context())
					if took := time.Since(w.began); (err != nil) != (test.wait < 0) || took < test.wait || took > max(0, test.wait) && (test.wait != pause || took > pause+pause/5) {
						w.Errorf("it says %v after %s", err, took)
					}
					if n := len(w.Requests()); n > 2 || n > 1 && test.wait < 0 {
						w.Errorf("it asks %d times", n)
					}
				})
			})
		}
	}
}

// A control plane that revokes for no time to come revokes all the same: by its own
// clock, from which that of a run may be off.
func TestRevokedAtOnce(t *testing.T) {
	for _, off := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inBubble(t, fakecloud.Options{}, nil)
				w.issuer.Now = w.issuer.Now.Add(off)
				credential, err := w.issue(provider.Grant{})
				w.must(err)
				w.Fail(fakecloud.Fault{Method: revoke.method, Path: revoke.path, Nth: 1, Status: 400})
				_, err = w.issuer.Retire(t.Context(), credential.Identity, w.issuer.Now, credential.Expires)
				w.fits(err)
				w.gone(err)
			})
		})
	}
}

// A revocation is in effect when the control plane has it, and not when it says that
// it was made: one that is not there then, or is an older one, is an error, after
// which the user is not deleted.
func TestRevocationIsLookedUp(t *testing.T) {
	for _, test := range []struct {
		name string
		// times to come are refused, so that it is revoked by the clock of now
		now bool
		// later is by how much what is there differs from what was asked for
		later time.Duration
		want  string
	}{
		{"as it was made", false, 0, ""},
		{"a later one", false, time.Hour, ""},
		{"an older one", false, -time.Second, "the revocation is not there after it was made: see whether somebody takes it back"},
		{"by the clock of now", true, 0, ""},
		{"by a clock that differs", true, -10 * time.Minute, ""},
		{"older than any clock", true, -10*time.Minute - time.Second, "the revocation is not there after it was made"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inBubble(t, fakecloud.Options{}, rewriting(func(r *http.Request, body []byte) []byte {
					var view map[string]any
					if r.Method != revoked.method || !strings.Contains(r.URL.Path, "/nats-user-revocations/") || json.Unmarshal(body, &view) != nil {
						return body
					}
					before, _ := view["before"].(float64)
					view["before"] = int64(before) + int64(test.later.Seconds())
					body, _ = json.Marshal(view)
					return body
				}))
				credential, err := w.issue(provider.Grant{})
				w.must(err)
				if test.now {
					w.Fail(fakecloud.Fault{Method: revoke.method, Path: revoke.path, Nth: 1, Status: 400})
				}
				_, err = w.issuer.Retire(t.Context(), credential.Identity, w.issuer.Now, credential.Expires)
				w.fits(err)
				if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
					w.Errorf("it says %v, want %q", err, test.want)
				}
				if there := len(w.named()) > 0; there != (test.want != "") {
					w.Errorf("the user is there: %t", there)
				}
			})
		})
	}
}

// A user of the same name that is older than what is known of it is another
// platform's: it is neither taken for the one whose answer was lost, nor retired.
func TestOlderUserOfTheName(t *testing.T) {
	for _, test := range []struct {
		name  string
		older time.Duration
		both  bool
	}{
		{"older", 10*time.Minute + time.Second, false},
		{"as much as clocks differ", 10 * time.Minute, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inBubble(t, fakecloud.Options{}, nil)
				old, err := w.issue(provider.Grant{})
				w.must(err)
				time.Sleep(test.older)
				w.run()
				written := w.issuer.Now
				w.Fail(fakecloud.Fault{Method: create.method, Path: create.path, Nth: 1, Drop: true, Late: true})
				young, err := w.issue(provider.Grant{})
				if test.both {
					if err == nil || !strings.Contains(err.Error(), "there are 2 users of that name, which are retired") {
						t.Errorf("of two it takes %v, %v", young.User, err)
					}
				} else if err != nil || young.User == old.User {
					t.Errorf("it takes %v, %v", young.User, err)
				}
				w.Heal()
				w.run()
				retired, err := w.issuer.Retire(t.Context(), provider.Identity{Name: name}, written, written.Add(life))
				w.must(err)
				left := w.named()
				if test.both && (len(retired) != 2 || len(left) != 0) || !test.both && (len(retired) != 1 || len(left) != 1 || left[0].PublicKey != old.User) {
					t.Errorf("retired are %v, left %v", retired, left)
				}
				if connects := len(w.connects(old.File)) == 1; connects == test.both {
					t.Errorf("the older one connects: %t", connects)
				}
			})
		})
	}
}

// Retiring finds all that there is of a name or of a key, and returns it.
func TestRetire(t *testing.T) {
	type situation struct {
		name string
		// who is retired, of what was issued
		who  func(provider.Identity) provider.Identity
		then func(w *world, issued provider.Identity)
		want int
	}
	whole := func(i provider.Identity) provider.Identity { return i }
	byName := func(provider.Identity) provider.Identity { return provider.Identity{Name: name} }
	byKey := func(i provider.Identity) provider.Identity { return provider.Identity{Name: "renamed", User: i.User} }
	nothing := func(*world, provider.Identity) {}
	deleted := func(w *world, i provider.Identity) { w.delete(i.ID) }
	for _, s := range []situation{
		{"all is known", whole, nothing, 1},
		{"the name is known", byName, nothing, 1},
		{"the name and the key are known", func(i provider.Identity) provider.Identity { return provider.Identity{Name: name, User: i.User} }, nothing, 1},
		{"the key is known", byKey, nothing, 1},
		{"there are two", byName, func(w *world, _ provider.Identity) {
			_, err := w.issue(provider.Grant{})
			w.must(err)
		}, 2},
		{"all is known, and it was deleted", whole, deleted, 1},
		{"the key is known, and it was deleted", byKey, deleted, 1},
	} {
		for _, expired := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, expired: %t", s.name, expired), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := inBubble(t, fakecloud.Options{}, nil)
					credential, err := w.issue(provider.Grant{})
					w.must(err)
					s.then(w, credential.Identity)
					if expired {
						time.Sleep(2 * life)
					}
					w.run()
					found, err := w.issuer.Retire(t.Context(), s.who(credential.Identity), credential.Expires.Add(-life), credential.Expires)
					w.gone(err)
					if len(found) != s.want || found[0].User != credential.User {
						w.Errorf("there were %v", found)
					}
					if expired && len(w.Revocations(w.Account)) > 0 {
						w.Errorf("the revocations are %v", w.Revocations(w.Account))
					}
				})
			})
		}
	}
}

// delete deletes a user as somebody does in the console.
func (w *world) delete(id string) {
	w.Helper()
	answer := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodDelete, "/api/core/beta/nats-users/"+id, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if w.ServeHTTP(answer, r); answer.Code != http.StatusNoContent {
		w.Fatal(answer)
	}
}

// Nothing is asked for what has expired: no time to live would be for ever.
func TestNoLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inBubble(t, fakecloud.Options{}, nil)
		_, err := w.issuer.Issue(t.Context(), provider.Identity{Name: name}, provider.Grant{}, w.issuer.Now)
		w.fits(err)
		if err == nil || len(w.Requests()) > 0 {
			t.Errorf("it says %v, and asks %v", err, w.Requests())
		}
	})
}

// An account is found as people name it, and what cannot be used of it is told.
func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inBubble(t, fakecloud.Options{}, nil)
		must := func(id string, err error) string {
			t.Helper()
			w.must(err)
			return id
		}
		twin := w.AddSystem(w.AddTeam("other"), "TWIN")
		other := must(w.AddAccount(w.System, "other"))
		for _, system := range []string{w.AddSystem(w.Team, "TWIN"), twin} {
			must(w.AddAccount(system, "twin"))
		}
		for _, g := range []fakecloud.Group{
			{Name: "scoped", Scope: &natsjwt.UserPermissionLimits{}}, {Name: "programmatic", Programmatic: true}, {Name: "seedless", MissingSeed: true}, {Name: "disabled"},
			{Name: "same"}, {Name: "same"},
		} {
			id := must(w.AddGroup(w.Account, g))
			if g.Name == "disabled" {
				w.must(w.DisableGroup(id))
			}
		}
		only := must(w.AddGroup(other, fakecloud.Group{Name: "only"}))
		named := func(system, account, group string) synadia.Named {
			return synadia.Named{System: system, Account: account, Group: group}
		}
		for _, test := range []struct {
			name   string
			named  synadia.Named
			group  string // that is found
			reason string // why nothing is
			says   string
		}{
			{"by name", named("NGS", "commerce", ""), w.Group, "", ""},
			{"by id", synadia.Named{AccountID: w.Account}, w.Group, "", ""},
			{"group by name", synadia.Named{AccountID: w.Account, Group: "Default"}, w.Group, "", ""},
			{"group by id", synadia.Named{AccountID: w.Account, Group: w.Group}, w.Group, "", ""},
			{"the only group", named("NGS", "other", ""), only, "", ""},
			{"no such account", named("NGS", "nobody", ""), "", "AccountUnknown", `no account "nobody" in a system "NGS"`},
			{"no such system", named("nowhere", "commerce", ""), "", "AccountUnknown", "correct spec.synadia"},
			{"no such id", synadia.Named{AccountID: "nobody"}, "", "AccountUnknown", "no account nobody"},
			{"two of the name", named("TWIN", "twin", ""), "", "AccountUnknown", "say which with spec.synadia.accountID"},
			{"no such group", synadia.Named{AccountID: w.Account, Group: "nobody"}, "", "SigningKeyUnknown", `set spec.synadia.signingKeyGroup to one of ["Default" `},
			{"two groups of the name", synadia.Named{AccountID: w.Account, Group: "same"}, "", "SigningKeyUnknown", "or to its id"},
			{"disabled", synadia.Named{AccountID: w.Account, Group: "disabled"}, "", "SigningKeyUnusable", "enable it"},
			{"programmatic", synadia.Named{AccountID: w.Account, Group: "programmatic"}, "", "SigningKeyUnusable", "name another"},
			{"without a seed", synadia.Named{AccountID: w.Account, Group: "seedless"}, "", "SigningKeyUnusable", "name another"},
		} {
			found, err := w.issuer.Cloud.Look(t.Context(), test.named)
			var unknown *synadia.UnknownError
			switch {
			case test.reason == "" && (err != nil || found.GroupID != test.group || found.Scope != nil):
				t.Errorf("%s: found is %+v, %v", test.name, found, err)
			case test.reason != "" && (!errors.As(err, &unknown) || string(unknown.Reason) != test.reason || !strings.Contains(err.Error(), test.says)):
				t.Errorf("%s: it says %v", test.name, err)
			}
		}
		found, err := w.issuer.Cloud.Look(t.Context(), synadia.Named{AccountID: w.Account, Group: "scoped"})
		if err != nil || found.Scope == nil || found.Scope.Role != "scoped" {
			t.Errorf("found is %+v, %v", found, err)
		}
	})
}
