// Package openapi judges traffic by the OpenAPI document of Synadia's control
// plane, which is in the module of its Go SDK. It is for tests.
package openapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
)

const module = "github.com/synadia-io/control-plane-sdk-go"

// Validate returns a handler that fails the test for each request and each answer
// that is not as the document has it. Answers that are cut off, and those that
// the cloud was told to get wrong, are passed on unseen.
func Validate(t testing.TB, handler http.Handler) http.Handler {
	t.Helper()
	router, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		defer func() {
			recovered := recover()
			pass(w, answer)
			if recovered != nil && recovered != http.ErrAbortHandler {
				t.Errorf("the request %s %s panics: %v", r.Method, r.URL, recovered)
			}
			if recovered != nil {
				panic(recovered) // the answer is cut off
			}
		}()
		input, err := request(router, r)
		if err != nil {
			t.Errorf("the request %s %s is not as the document has it: %v", r.Method, r.URL, err)
		}
		handler.ServeHTTP(answer, r)
		if input == nil || answer.Header().Get(fakecloud.InjectedHeader) != "" {
			return
		}
		if err := response(r.Context(), input, answer); err != nil {
			t.Errorf("the answer %d to %s %s is not as the document has it: %v", answer.Code, r.Method, r.URL, err)
		}
	})
}

// pass hands on what was answered so far.
func pass(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	if answer.Body.Len() == 0 && answer.Code == http.StatusOK && len(answer.Header()) == 0 {
		return // nothing was written
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // a client that went away is none of the test's business
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// request judges a request. It returns nil for a route that does not exist.
func request(router routers.Router, r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true,
			IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true,
		},
	}
	errs := []error{openapi3filter.ValidateRequest(r.Context(), input)}
	r.Body = io.NopCloser(bytes.NewReader(body))
	for name := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			errs = append(errs, fmt.Errorf("the query parameter %s is not in the document", name))
		}
	}
	return input, errors.Join(errs...)
}

// response judges an answer. The document says nothing about the bodies of
// errors.
func response(ctx context.Context, request *openapi3filter.RequestValidationInput, answer *httptest.ResponseRecorder) error {
	documented := request.Route.Operation.Responses.Status(answer.Code)
	if documented != nil && len(documented.Value.Content) == 0 && answer.Code < 300 && answer.Body.Len() > 0 {
		return errors.New("it has a body, and the document knows none")
	}
	return openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request, Status: answer.Code, Header: answer.Header(),
		Body: io.NopCloser(bytes.NewReader(answer.Body.Bytes())), Options: request.Options,
	})
}

// load reads the document, which is large, once.
var load = sync.OnceValues(func() (routers.Router, error) {
	directory, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("the module %s is not found: %w", module, err)
	}
	file := filepath.Join(strings.TrimSpace(string(directory)), "syncp", "api", "openapi.yaml")
	document, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	// The document as a whole is not validated: its examples do not match, and one
	// path lacks a parameter.
	closed := map[*openapi3.Schema]bool{}
	for _, schema := range document.Components.Schemas {
		closeSchema(schema, closed)
	}
	for _, path := range document.Paths.Map() {
		for _, operation := range path.Operations() {
			closeOperation(operation, closed)
		}
	}
	document.Servers = openapi3.Servers{{URL: "/api"}} // the document has {baseUrl} before it
	return gorillamux.NewRouter(document)
})

// closeOperation closes the schemas that an operation has of its own.
func closeOperation(operation *openapi3.Operation, closed map[*openapi3.Schema]bool) {
	closeContent := func(content openapi3.Content) {
		for _, media := range content {
			closeSchema(media.Schema, closed)
		}
	}
	if body := operation.RequestBody; body != nil {
		closeContent(body.Value.Content)
	}
	for _, response := range operation.Responses.Map() {
		closeContent(response.Value.Content)
	}
}

// closeSchema lets an object have no other properties than are listed, which the
// document leaves open. What allOf refers to becomes part of the object, since
// each of the parts alone would refuse the properties of the others.
func closeSchema(ref *openapi3.SchemaRef, closed map[*openapi3.Schema]bool) {
	if ref == nil || closed[ref.Value] {
		return
	}
	s := ref.Value
	closed[s] = true
	for _, list := range []openapi3.SchemaRefs{s.AllOf, s.OneOf, s.AnyOf, {s.Items, s.AdditionalProperties.Schema}} {
		for _, part := range list {
			closeSchema(part, closed)
		}
	}
	for _, property := range s.Properties {
		closeSchema(property, closed)
	}
	for _, part := range s.AllOf {
		absorb(s, part.Value)
	}
	s.AllOf = nil
	if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
		s.AdditionalProperties.Has = new(bool)
	}
}

// absorb takes the properties of a part of an object into it.
func absorb(s, part *openapi3.Schema) {
	if s.Properties == nil {
		s.Properties = openapi3.Schemas{}
	}
	for name, property := range part.Properties {
		if _, has := s.Properties[name]; !has {
			s.Properties[name] = property
		}
	}
	s.Required = append(s.Required, part.Required...)
}
