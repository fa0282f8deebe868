package gatewaytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/httppath"
)

// The oracle's word on single requests.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		world   []string
		request string
		want    []string // owner, claim and paths of each verdict but the last
	}{
		{[]string{"a /", "b /orders"}, "GET /orders/7", []string{"b /orders /orders/7"}},
		{[]string{"a /", "b /orders"}, "GET /ordersx", []string{"a / /ordersx"}},
		{[]string{"a /", "b =/orders"}, "GET /orders", []string{"b /orders /orders"}},
		{[]string{"a /", "b =/orders"}, "GET /orders/7", []string{"a / /orders/7"}},
		{[]string{"a /", "b =/orders"}, "GET /orders/", []string{"a / /orders/", "b /orders /orders/"}},
		{[]string{"a /", "b /orders GET"}, "GET /orders", []string{"b /orders /orders"}},
		{[]string{"a /", "b /orders GET"}, "POST /orders", nil},
		{[]string{"a /", "- /orders"}, "GET /orders/7", nil},
		{[]string{"a /", "- /orders"}, "GET /order", []string{"a / /order"}},
		{[]string{"a /", "- /orders", "b /orders"}, "GET /orders/7", []string{"b /orders /orders/7"}},
		{[]string{"a /", "- /orders", "b /orders/eu"}, "GET /orders/eu/7", []string{"b /orders/eu /orders/eu/7"}},
		{[]string{"a /", "- /orders", "b =/orders"}, "GET /orders/eu", nil},
		{[]string{"a /", "b /orders"}, "GET //orders", []string{"a / //orders,/orders", "b /orders //orders,/orders"}},
		{[]string{"a /", "b /orders"}, "GET /%6frders", []string{"a / /%6frders,/orders", "b /orders /%6frders,/orders"}},
		{[]string{"a /", "b /a(b"}, "GET /a%28b", []string{"a / /a%28b,/a(b", "b /a(b /a%28b,/a(b"}},
		{[]string{"a /", "b /x/y"}, "GET /x%2fy", []string{"a / /x%2fy,/x%2Fy,/x/y", "b /x/y /x%2fy,/x%2Fy,/x/y"}},
		{[]string{"a /a", "b /b"}, "GET /a//../b", []string{"a /a /a//../b,/a/b,/b", "b /b /a//../b,/a/b,/b"}},
		{[]string{"a /a >/v1"}, "GET /a//../b", []string{"a /a /v1//../b,/v1/b"}},
		{[]string{"a / >/v1"}, "GET /users", []string{"a / /v1/users"}},
		{[]string{"a /o/ >/"}, "GET /o", []string{"a /o/ /"}},
		{[]string{"a /"}, "GET /%zz/%61", []string{"a / /%zz/%61,/%zz/a"}},
		{[]string{"a /a"}, "GET /b", nil},
	} {
		t.Run(strings.Join(c.world, ", ")+": "+c.request, func(t *testing.T) {
			method, path, _ := strings.Cut(c.request, " ")
			verdicts := world(t, c.world...).Judge(Request{Method: method, Path: path})
			var got []string
			for _, v := range verdicts[:len(verdicts)-1] {
				var paths []string
				for _, p := range v.Paths {
					if !slices.Contains(paths, p) {
						paths = append(paths, p)
					}
				}
				got = append(got, fmt.Sprintf("%s %s %s", v.Owner, v.Value, strings.Join(paths, ",")))
			}
			if last := verdicts[len(verdicts)-1]; last.Owner != "" || !slices.Equal(got, c.want) {
				t.Errorf("it is %q, then %v, want %q", got, last, c.want)
			}
		})
	}
}

// owners says who may serve a request by trying, for each reading, all claims and
// delegations, segment by segment, from the whole path upwards.
func owners(w World, method, path string) map[string]bool {
	out := map[string]bool{"": true}
	s := spell(path)
	ask := func(reading string, key bool) {
		segments := strings.Split(strings.TrimPrefix(reading, "/"), "/")
		for n := len(segments); n >= 0; n-- {
			above := segments[:n]
			whole := n == len(segments) || key && n == len(segments)-1 && segments[n] == ""
			delegated := false
			for _, d := range w.Delegated {
				delegated = delegated || slices.Equal(split(d, key), above)
			}
			for _, c := range w.Claims {
				at := split(c.Value, key)
				exact := c.Exact && whole && slices.Equal(at, above)
				if c.Exact && !key { // as it is spelled, with its slash
					exact = c.Value == reading && n == len(segments)
				}
				if exact || !c.Exact && slices.Equal(at, above) {
					if len(c.Methods) == 0 || slices.Contains(c.Methods, method) {
						out[c.Owner] = true
					}
					return
				}
			}
			if delegated {
				return
			}
		}
	}
	for _, reading := range append([]string{s.raw}, s.normal...) {
		ask(reading, false)
	}
	for _, reading := range s.decoded {
		ask(reading, true)
	}
	return out
}

// split returns the segments of a prefix.
func split(path string, key bool) []string {
	if key {
		path = Key(path)
	}
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// random draws worlds and requests from few segments, so that they meet.
type random struct{ *rand.Rand }

func (r random) one(of ...string) string { return of[r.IntN(len(of))] }

func (r random) world(plain bool) World {
	segments := []string{"a", "b", "ab"}
	if !plain {
		segments = append(segments, "c%C3%A9", "a%28", "a(", "a%20b", "%2Aa", "*a", "a$")
	}
	var w World
	seen := map[string]bool{}
	path := func() string {
		p := ""
		for range r.IntN(4) {
			p += "/" + r.one(segments...)
		}
		if p == "" || !plain && r.IntN(6) == 0 {
			p += "/"
		}
		parsed, err := httppath.Parse(p)
		if err != nil {
			panic(err)
		}
		return parsed.Value
	}
	for range 1 + r.IntN(6) {
		c := Claim{Value: path(), Exact: r.IntN(3) == 0, Owner: r.one("x", "y", "z")}
		if seen[Key(c.Value)] {
			continue
		}
		seen[Key(c.Value)] = true
		if !plain && r.IntN(3) == 0 {
			c.Methods = []string{r.one("GET", "POST"), "PUT"}
		}
		if !c.Exact && r.IntN(3) == 0 {
			c.Rewrite = r.one("/", "/v1", "/v1/")
		}
		w.Claims = append(w.Claims, c)
	}
	if !plain && r.IntN(2) == 0 {
		w.Delegated = append(w.Delegated, path())
	}
	return w
}

func (r random) request(plain bool) Request {
	segments := []string{"a", "b", "ab"}
	if !plain {
		segments = append(segments, "", "", ".", "..", "%2e%2E", "%61", "c%c3%a9", "c%C3%A9", "a%28", "a(", "a%20b", "a%2Fb", "a$", "*a", "%zz", "%25C3")
	}
	p := ""
	for range r.IntN(5) {
		p += "/" + r.one(segments...)
	}
	if p == "" || r.IntN(6) == 0 {
		p += "/"
	}
	return Request{Method: r.one("GET", "POST", "OPTIONS"), Path: p}
}

// The oracle agrees with a restatement of ownership, on random worlds.
func TestOracleRestated(t *testing.T) {
	for seed := range uint64(30000) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		w, request := r.world(false), r.request(false)
		want := owners(w, request.method(), request.Path)
		got := map[string]bool{}
		for _, v := range w.Judge(request) {
			got[v.Owner] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d: %s %s in %+v: %v, want %v", seed, request.method(), request.Path, w, got, want)
		}
	}
}

// Where all methods are open, nothing is delegated and paths are plain, the Gateway API's
// own order and the oracle agree: on the owner, the claim and the path.
func TestStandardIsTheOracle(t *testing.T) {
	for seed := range uint64(30000) {
		r := random{rand.New(rand.NewPCG(seed, 2))}
		w, request := r.world(true), r.request(true)
		verdicts := w.Judge(request)
		answers := Standard(v010(w), request)
		if len(answers) != 1 {
			t.Fatalf("seed %d: %s in %+v has the answers %v", seed, request.Path, w, answers)
		}
		a := answers[0]
		want := verdicts[0]
		if a.Service() == want.Owner && (want.Owner == "" || slices.ContainsFunc(want.Paths, func(p string) bool { return p == a.Path })) {
			continue
		}
		// An Exact claim of a path is another reading of it with a slash at its end.
		if !Admits(verdicts, a.Service(), a.Path) {
			t.Fatalf("seed %d: %s in %+v: %v, want %+v", seed, request.Path, w, a, verdicts)
		}
	}
}

// And no model serves a third, where all methods are open, nothing is delegated
// and paths and rewrites are plain, whatever requests are like; but for the known
// faults of rewrites.
func TestPlainRoutesAreServedRight(t *testing.T) {
	for seed := range uint64(20000) {
		r := random{rand.New(rand.NewPCG(seed, 3))}
		w, request := r.world(true), r.request(false)
		for i, c := range w.Claims {
			if c.Value == "/" || strings.Contains(request.Path, "%2F") {
				w.Claims[i].Rewrite = ""
			}
		}
		for name, model := range models {
			for _, err := range w.Check(model, v010(w), request, Answer.Service) {
				t.Fatalf("seed %d: %s: %v\nin %+v", seed, name, err, w)
			}
		}
	}
}

// Whatever a request is like, the models and the oracle answer.
func FuzzRequests(f *testing.F) {
	for _, path := range []string{"/", "/a//../b", "/%2e%2e/a", "/a%2Fb", "/%zz", "/a(b", "", "*", "/a?b", "/a#b", "/%", "/\x00", "/é"} {
		f.Add(path, "GET", uint64(1))
	}
	f.Fuzz(func(t *testing.T, path, method string, seed uint64) {
		w := random{rand.New(rand.NewPCG(seed, 4))}.world(false)
		request := Request{Method: method, Path: path}
		want := owners(w, request.method(), path)
		for _, v := range w.Judge(request) {
			if !want[v.Owner] {
				t.Errorf("%q of %+v may be served by %s, want one of %v", path, w, v.Owner, want)
			}
		}
		for name, model := range models {
			if len(model(v010(w), request)) == 0 {
				t.Errorf("%s has no answer", name)
			}
		}
	})
}
