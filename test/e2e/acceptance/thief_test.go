package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// thief is a team that wants the requests of another's API: with methods on a shorter
// prefix, by owning a wider one, before a delegated prefix is published, and by answering
// a certificate authority. The owner is served all the time.
func thief(s *story) {
	t := s.T
	backend(t, "team-a", "victim")
	backend(t, "team-b", "robber")
	hub().patch(t, apiAggregators, "platform", "public-api", `{"spec":{"delegations":[{"prefix":"/s/later","namespaces":["team-a"]}]}}`)
	defer func() { // and not in a cleanup: then the test's context is over
		hub().patch(t, apiAggregators, "platform", "public-api", `{"spec":{"delegations":null}}`)
	}()
	hub().apply(t, target("team-a", "victim", "victim", "{path: /s/api/orders}", "{path: /s/only, methods: [GET]}", "{path: /s/big, maxRequestBodySize: 1Mi}"))
	becomes(t, apiTargets, "team-a", "victim", "True/Published")
	refresh(t)
	for _, path := range []string{"/s/api/orders", "/s/only", "/s/big"} {
		served(t, path, "team-a/victim")
	}
	stop := watched(t, "team-a/victim", "/s/api/orders/7", "/s/only/7", "/s/big/7")

	hub().apply(t, target("team-b", "robber", "robber",
		"{path: /s}", "{path: /s/api, methods: [GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH]}", "{path: /.well-known/acme-challenge}", "{path: /_ngf-internal-rule0-route0, type: Exact}"))
	becomes(t, apiTargets, "team-b", "robber", "False/PathsRefused")
	refresh(t)
	served(t, "/s", "team-b/robber")
	served(t, "/s/api", "team-b/robber")
	for range reconciles(t, 5) {
		for _, wait := range []func(){ask(t, apiTargets, "team-b", "robber"), ask(t, apiTargets, "team-a", "victim"), ask(t, apiAggregators, "platform", "public-api")} {
			wait()
		}
		refresh(t)
		for _, row := range []struct {
			method, url string
			codes       []int
			by          string
		}{
			{http.MethodGet, "https://api.example.com/s/api/orders/7", []int{200}, "team-a/victim"}, // W1
			{http.MethodPost, "https://api.example.com/s/api/orders/7", []int{200}, "team-a/victim"},
			{http.MethodOptions, "https://api.example.com/s/api/orders/7", []int{200}, "team-a/victim"},
			{http.MethodPost, "https://api.example.com/s/only/7", []int{403}, ""}, // W4
			{http.MethodOptions, "https://api.example.com/s/only/7", []int{403}, ""},
			{"PROPFIND", "https://api.example.com/s/only/7", []int{403}, ""},
			{http.MethodGet, "https://api.example.com/s/later/7", []int{503}, ""}, // W5
			{http.MethodPost, "https://api.example.com/s/later", []int{503}, ""},
			{http.MethodGet, "http://api.example.com/.well-known/acme-challenge/x", []int{503}, ""}, // W6
			{http.MethodGet, "https://api.example.com/.well-known/acme-challenge/x", []int{404}, ""},
			{http.MethodGet, "https://api.example.com/s/elsewhere", []int{200}, "team-b/robber"}, // what is its own
		} {
			within(t, time.Minute, func() error {
				a, err := trySend(t.Context(), row.method, row.url, nil, false)
				if err != nil {
					return err
				}
				if by := a.header.Get("X-Backend"); by != row.by || !slices.Contains(row.codes, a.code) {
					return fmt.Errorf("%s %s is answered with %d by %q and not with %d by %q", row.method, row.url, a.code, by, row.codes, row.by)
				}
				return nil
			})
		}
	}
	s.holds("a thief with methods, with a wider prefix, before a publication and at the ACME challenge gets nothing, through %d reconciles of all", reconciles(t, 5))

	hub().apply(t, target("team-a", "later", "victim", "{path: /s/later}"))
	becomes(t, apiTargets, "team-a", "later", "True/Published")
	refresh(t)
	took := served(t, "/s/later", "team-a/victim")
	s.holds("the delegated prefix is served for its team as soon as it is published (%.0f s)", took.Seconds())

	asked, wrong := stop()
	if len(wrong) > 0 {
		t.Errorf("%d of the owner's %d requests were answered otherwise, the first: %s", len(wrong), asked, wrong[0])
	}
	s.holds("the owner was served throughout: all of %d requests", asked)
	for _, name := range []string{"team-a/victim", "team-a/later", "team-b/robber"} {
		namespace, name, _ := strings.Cut(name, "/")
		hub().delete(t, apiTargets, namespace, name)
		gone(t, apiTargets, namespace, name)
	}
	nothingLeft(t, "team-a", "victim")
	nothingLeft(t, "team-b", "robber")
}

// watched asks for paths again and again until it is stopped, and returns how often, and
// what was not answered by a backend as it should.
func watched(t testing.TB, by string, paths ...string) (stop func() (asked int, wrong []string)) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var asked int
	var wrong []string
	all.Go(func() {
		for ctx.Err() == nil {
			for _, path := range paths {
				a, err := trySend(ctx, http.MethodGet, "https://api.example.com"+path, nil, false)
				if ctx.Err() != nil {
					return
				}
				asked++
				if is := a.header.Get("X-Backend"); err != nil || is != by {
					wrong = append(wrong, fmt.Sprintf("GET %s: %d by %q, %v", path, a.code, is, err))
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	t.Cleanup(cancel)
	return func() (int, []string) {
		cancel()
		all.Wait()
		return asked, wrong
	}
}
