package fakecloud

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Transport brings requests to a handler of this process without a network, so
// that a test's bubble of time can hold both sides.
func Transport(handler http.Handler) http.RoundTripper { return transport{handler} }

type transport struct{ handler http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	served := r.Clone(r.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	done := make(chan *answer, 1)
	go func() { done <- t.serve(served) }()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case a := <-done:
		if a.cut && !a.wrote {
			return nil, io.EOF // as net/http has it
		}
		var body io.Reader = bytes.NewReader(a.body.Bytes())
		if a.cut {
			body = io.MultiReader(body, broken{})
		}
		return &http.Response{
			Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: a.header, Body: io.NopCloser(body), ContentLength: -1, Request: r,
		}, nil
	}
}

func (t transport) serve(r *http.Request) (a *answer) {
	a = newAnswer()
	defer func() {
		recovered := recover()
		a.cut = recovered != nil
		if a.cut && recovered != http.ErrAbortHandler {
			panic(recovered)
		}
	}()
	t.handler.ServeHTTP(a, r)
	return a
}

// broken is the end of a body that should go on.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
