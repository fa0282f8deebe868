//go:build failpoint

package synadia

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"github.com/baleen-platform/baleen/internal/failpoint"
)

func init() { network = mortal{network} }

// mortal makes points before and after each request: what has been answered has
// had its effect.
type mortal struct{ http.RoundTripper }

func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.Method
	for _, part := range strings.Split(strings.TrimPrefix(r.URL.Path, "/api/core/beta/"), "/") {
		if part == strings.ToLower(part) { // no id
			name += " " + part
		}
	}
	failpoint.Point("before asking for " + name)
	response, err := m.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	failpoint.Point("after asking for " + name)
	return response, err
}
