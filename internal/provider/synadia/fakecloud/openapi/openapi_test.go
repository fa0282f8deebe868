package openapi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud/openapi"
)

// spy keeps what would fail a test.
type spy struct {
	testing.TB
	failures []string
}

func (s *spy) Errorf(format string, arguments ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, arguments...))
}

const (
	revocations = "/api/core/beta/accounts/a/nats-user-revocations/UA"
	users       = "/api/core/beta/accounts/a/nats-users"
	revoked     = `{"account_id":"a","before":1,"created":"2026-01-02T03:04:05Z","user_nkey_public":"UA"}`
	group       = `{"created":"2026-01-02T03:04:05Z","disabled":false,"id":"g","is_scoped":true,"missing_seed":false,"name":"n","programmatic":false%s}`
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name                string
		method, path, body  string
		status              int
		contentType, answer string
		want                string // in the only failure; empty for none
	}{
		{"right", "PUT", revocations, `{"before":1}`, 201, "application/json", revoked, ""},
		{"no content", "DELETE", revocations, "", 204, "", "", ""},
		{"text", "POST", "/api/core/beta/nats-users/u/creds", "", 200, "text/plain", "creds", ""},
		{"an error with a body", "DELETE", revocations, "", 404, "application/json", `{"error":"no"}`, ""},
		{"fields of what allOf refers to", "POST", users, `{"name":"a","sk_group_id":"g","jwt_settings":{"pub":{"allow":["a"]},"src":["10.0.0.0/8"],"subs":-1}}`, 401, "", "", ""},
		{"a query", "GET", "/api/core/beta/teams?assigned=true", "", 200, "application/json", `{"items":[]}`, ""},

		{"unknown route", "GET", "/api/core/beta/nothing", "", 200, "", "", "no matching operation"},
		{"without the prefix", "GET", "/core/beta/teams", "", 200, "", "", "no matching operation"},
		{"unknown method", "PATCH", revocations, "", 200, "", "", "method not allowed"},
		{"unknown query", "GET", "/api/core/beta/teams?name=a", "", 200, "application/json", `{"items":[]}`, "query parameter name"},
		{"body where none is known", "POST", "/api/core/beta/nats-users/u/creds", `{}`, 200, "text/plain", "creds", "request body"},
		{"unknown field", "PUT", revocations, `{"before":1,"after":2}`, 201, "application/json", revoked, `"after" is unsupported`},
		{"missing field", "PUT", revocations, `{}`, 201, "application/json", revoked, `"before" is missing`},
		{"wrong type", "PUT", revocations, `{"before":"now"}`, 201, "application/json", revoked, "must be an integer"},
		{"unknown field within", "POST", users, `{"name":"a","sk_group_id":"g","jwt_settings":{"publish":{}}}`, 401, "", "", `"publish" is unsupported`},
		{"unknown field of what allOf refers to", "POST", users, `{"name":"a","sk_group_id":"g","jwt_settings":{"pub":{"allowed":[]}}}`, 401, "", "", `"allowed" is unsupported`},
		{"too small", "POST", users, `{"name":"a","sk_group_id":"g","jwt_settings":{"subs":-2}}`, 401, "", "", "must be at least -1"},

		{"unknown status", "GET", revocations, "", 418, "application/json", revoked, "status is not supported"},
		{"status of another call", "GET", revocations, "", 201, "application/json", revoked, "status is not supported"},
		{"unknown field of an answer", "GET", revocations, "", 200, "application/json", strings.Replace(revoked, `"before"`, `"after":1,"before"`, 1), `"after" is unsupported`},
		{"missing field of an answer", "GET", revocations, "", 200, "application/json", strings.Replace(revoked, `"before":1,`, "", 1), `"before" is missing`},
		{"wrong type in an answer", "GET", revocations, "", 200, "application/json", strings.Replace(revoked, `:1,`, `:"1",`, 1), "must be an integer"},
		{"wrong format in an answer", "GET", revocations, "", 200, "application/json", strings.Replace(revoked, "T", " ", 1), "date-time"},
		{"deep in an answer", "GET", "/api/core/beta/account-sk-groups/g", "", 200, "application/json", fmt.Sprintf(group, `,"scope":{"sub":{"alow":[]}}`), `"alow" is unsupported`},
		{"right deep in an answer", "GET", "/api/core/beta/account-sk-groups/g", "", 200, "application/json", fmt.Sprintf(group, `,"scope":{"sub":{"allow":[]},"times":[],"data":-1}`), ""},
		{"wrong content type", "GET", revocations, "", 200, "text/html", revoked, "Content-Type"},
		{"body where there is none", "DELETE", revocations, "", 204, "application/json", `{}`, "the document knows none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &spy{TB: t}
			handler := openapi.Validate(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err != nil || string(body) != test.body {
					t.Errorf("the handler reads %q, %v", body, err)
				}
				if test.contentType != "" {
					w.Header().Set("Content-Type", test.contentType)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.answer)
			}))
			r := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
			if test.body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			got := httptest.NewRecorder()
			handler.ServeHTTP(got, r)
			if got.Code != test.status || got.Body.String() != test.answer {
				t.Errorf("what comes through is %d %q", got.Code, got.Body)
			}
			if test.want == "" && len(s.failures) == 0 {
				return
			}
			if test.want == "" || len(s.failures) != 1 || !strings.Contains(s.failures[0], test.want) {
				t.Errorf("the failures are %q, want one with %q", s.failures, test.want)
			}
		})
	}
}
