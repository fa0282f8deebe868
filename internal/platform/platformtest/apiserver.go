package platformtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/baleen-platform/baleen/internal/platform"
)

// Server is an [http.Handler] that speaks as much of the Kubernetes API as
// [platform.Cluster] does, in front of any [platform.Client].
type Server struct {
	// Observe, if set, sees every request before it is carried out; an error from
	// it is the answer instead. The verb is one of get, list, create, update,
	// patch and delete, the subresource "status" or empty. Requests come
	// concurrently.
	Observe func(verb string, kind platform.Kind, namespace, name, subresource string) error

	client platform.Client
	kinds  []platform.Kind
}

// Serve returns an API server for some kinds of a client's objects.
func Serve(client platform.Client, kinds ...platform.Kind) *Server {
	return &Server{client: client, kinds: kinds}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	code := http.StatusOK
	if r.Method == http.MethodPost {
		code = http.StatusCreated
	}
	answer, err := s.answer(r)
	if err != nil {
		var known apierrors.APIStatus
		if !errors.As(err, &known) {
			known = apierrors.NewInternalError(err)
		}
		status := known.Status()
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
		}
		answer, code = status, int(status.Code)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

func (s *Server) answer(r *http.Request) (any, error) {
	kind, namespace, name, subresource, err := s.parse(r.URL.Path)
	if err != nil {
		return nil, err
	}
	ctx, query := r.Context(), r.URL.Query()
	verb := map[string]string{"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[r.Method]
	if verb == "get" && name == "" {
		verb = "list"
	}
	onName := verb == "get" || verb == "update" || verb == "patch" || verb == "delete"
	if verb == "" || onName != (name != "") || query.Has("watch") || subresource != "" && (subresource != "status" || verb != "update") {
		return nil, apierrors.NewMethodNotSupported(kind.GVR().GroupResource(), r.Method+" "+r.URL.String())
	}
	if s.Observe != nil {
		if err := s.Observe(verb, kind, namespace, name, subresource); err != nil {
			return nil, err
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	switch verb {
	case "get":
		return s.client.Get(ctx, kind, namespace, name)
	case "list":
		return s.list(r, kind, namespace)
	case "patch":
		if got := r.Header.Get("Content-Type"); got != string(types.MergePatchType) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch is %s; send %s", got, types.MergePatchType))
		}
		var patch map[string]any
		if err := utiljson.Unmarshal(body, &patch); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return s.client.Patch(ctx, kind, namespace, name, patch)
	case "delete":
		var options metav1.DeleteOptions
		if err := json.Unmarshal(body, &options); len(body) > 0 && err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		var preconditions platform.Preconditions
		if p := options.Preconditions; p != nil {
			if p.UID != nil {
				preconditions.UID = string(*p.UID)
			}
			if p.ResourceVersion != nil {
				preconditions.ResourceVersion = *p.ResourceVersion
			}
		}
		return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess},
			s.client.Delete(ctx, kind, namespace, name, preconditions)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(body); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if object.GetNamespace() != namespace || name != "" && object.GetName() != name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the object's name does not match the URL %s", r.URL.Path))
	}
	switch {
	case verb == "create":
		return s.client.Create(ctx, kind, object)
	case subresource == "status":
		return s.client.UpdateStatus(ctx, kind, object)
	}
	return s.client.Update(ctx, kind, object)
}

func (s *Server) list(r *http.Request, kind platform.Kind, namespace string) (any, error) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil || r.URL.Query().Has("fieldSelector") {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the selector of %s is not supported", r.URL))
	}
	want := map[string]string{}
	requirements, _ := selector.Requirements()
	for _, requirement := range requirements {
		value, single := requirement.Values().PopAny()
		if operator := requirement.Operator(); !single || operator != selection.Equals && operator != selection.DoubleEquals {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the label selector %q is not supported", requirement.String()))
		}
		want[requirement.Key()] = value
	}
	objects, err := s.client.List(r.Context(), kind, namespace, want)
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{Items: objects}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	return list, nil
}

// parse reads /api/v1 or /apis/<group>/<version>, then
// [/namespaces/<namespace>]/<plural>[/<name>[/<subresource>]].
func (s *Server) parse(urlPath string) (kind platform.Kind, namespace, name, subresource string, err error) {
	segments := strings.Split(strings.Trim(urlPath, "/"), "/")
	group := ""
	if segments[0] == "apis" && len(segments) > 1 {
		group, segments = segments[1], segments[1:]
	}
	if len(segments) > 4 && segments[2] == "namespaces" {
		namespace, segments = segments[3], append(segments[:2:2], segments[4:]...)
	}
	for _, k := range s.kinds {
		if len(segments) < 3 || len(segments) > 5 || k.Group != group || k.Version != segments[1] || k.Plural != segments[2] {
			continue
		}
		segments = append(segments, "", "")
		return k, namespace, segments[3], segments[4], nil
	}
	return kind, "", "", "", apierrors.NewGenericServerResponse(http.StatusNotFound, "get", platform.Kind{}.GVR().GroupResource(), "", "no such path: "+urlPath, 0, true)
}
