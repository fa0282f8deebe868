// Package claim records who owns what: a host, a path under a host, a delivered
// Secret, the name of a workload. A claim is a ConfigMap named by the hash of what is owned. Creating it
// decides races, every later change is a compare-and-swap, and no claim moves by
// expire or order of requests.
//
// A claim is Held by a request that may emit what it owns. It becomes Releasing
// when the request no longer wants it, and is free only when nothing of it can
// be served any more: the owner's object is gone and its output too, or a later
// run of the owner sees its own output without it. Of an owner that is gone without
// having said so only a request of its own namespace takes over; for others a sweep
// frees the claim.
package claim

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Namespace is where claims live.
const Namespace = "baleen-state"

// Labels by which claims are found: those of one owner, and those within one
// scope, such as all paths of a host.
const (
	labelOwner = "baleen.dev/owner"
	labelScope = "baleen.dev/scope"
)

// What is on all that Baleen stores.
const (
	labelManaged = "app.kubernetes.io/managed-by"
	managed      = "baleen"
)

// Resource is what can be owned.
type Resource struct {
	// Kind is host, path, secret or workload.
	Kind string `json:"kind"`
	// Scope is what claims are listed by: for a path its host.
	Scope string `json:"scope"`
	// Key tells resources of one scope apart; empty where there is one.
	Key string `json:"key,omitempty"`
}

// Host is the right to publish under a host name.
func Host(name string) Resource { return Resource{Kind: "host", Scope: name} }

// Path is the right to publish a path, given by its key, whatever the match type.
func Path(host, key string) Resource { return Resource{Kind: "path", Scope: host, Key: key} }

// Secret is the right to deliver a Secret of that name to a cluster.
func Secret(destination, namespace, name string) Resource {
	return Resource{Kind: "secret", Scope: destination, Key: "/" + namespace + "/" + name}
}

// ConfigMap returns the name under which a claim of the resource lies in [Namespace].
func (t Resource) ConfigMap() string { return t.name() }

// Workload is the right to the objects of a workload of that name on a cluster.
func Workload(destination, namespace, name string) Resource {
	return Resource{Kind: "workload", Scope: destination, Key: "/" + namespace + "/" + name}
}

// String names the resource in a message.
func (t Resource) String() string { return strings.TrimSpace(t.Kind + " " + t.Scope + t.Key) }

func (t Resource) name() string {
	sum := sha256.Sum256([]byte(t.Kind + "\n" + t.Scope + "\n" + t.Key))
	return t.Kind + "-" + hex.EncodeToString(sum[:20])
}

// Owner is a request, this one incarnation of it: a request that is deleted and
// made again has another UID.
type Owner struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
}

// Key returns the namespace and name.
func (o Owner) Key() (namespace, name string) { return o.Namespace, o.Name }

// OwnerOf returns the request as an owner.
func OwnerOf(object *unstructured.Unstructured) Owner {
	return Owner{object.GetKind(), object.GetNamespace(), object.GetName(), string(object.GetUID())}
}

// String returns namespace/name.
func (o Owner) String() string { return o.Namespace + "/" + o.Name }

// Is reports whether two owners are one request, of whatever incarnation.
func (o Owner) Is(other Owner) bool {
	o.UID, other.UID = "", ""
	return o == other
}

func (o Owner) hash() string {
	return identity.Request{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}.Hash()
}

// State of a claim.
type State string

// The states of a claim. A Free one is kept for its waiters only.
const (
	Held      State = "Held"
	Releasing State = "Releasing"
	Free      State = "Free"
)

// Claim is a resource with its owner.
type Claim struct {
	Resource Resource
	Owner    Owner
	State    State
	// Deleted is a tombstone: the owner is being deleted and gets nothing back.
	Deleted bool
	// Facts are what others must know of what is owned.
	Facts map[string]string
	// Waiters are those who found it taken, in the order in which they came.
	Waiters []Owner
	// Abandoned: whoever tried to acquire it found its owner gone, and may not take it
	// over. It is not stored.
	Abandoned bool `json:"-"`

	version string
}

// Bounds of a claim's size: in all, and for one namespace, so that none keeps
// the others from waiting. Who finds the list full finds the resource free in one of
// its own runs.
const (
	maxWaiters            = 32
	maxWaitersOfNamespace = 4
)

// Store reads and writes claims.
type Store struct {
	Client platform.Client
	// Kinds are the kinds of owners.
	Kinds []Kind
}

// Kind is a kind of owner with the Promise that serves it.
type Kind struct {
	platform.Kind
	Promise string
}

// tries bounds how often a change starts over because another came first. Each
// of them has got something done, so the bound is for a store that misbehaves.
const tries = 30

// Get returns a claim, nil if nobody has made one.
func (s Store) Get(ctx context.Context, resource Resource) (*Claim, error) {
	object, err := s.Client.Get(ctx, platform.ConfigMap, Namespace, resource.name())
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the claim of %s cannot be read: %w", resource, err)
	}
	return decode(object)
}

// OwnedBy returns all claims of an owner, of whatever incarnation.
func (s Store) OwnedBy(ctx context.Context, owner Owner) ([]Claim, error) {
	claims, err := s.list(ctx, labelOwner, owner.hash(), func(object *unstructured.Unstructured) bool {
		said, readable := ownerIn(object) // the label alone says nothing: somebody else may have put it there
		return !readable || said.Is(owner)
	})
	return slices.DeleteFunc(claims, func(c Claim) bool { return !c.Owner.Is(owner) }), err // a free one has no owner
}

// Within returns all claims of a kind in a scope.
func (s Store) Within(ctx context.Context, kind, scope string) ([]Claim, error) {
	claims, err := s.list(ctx, labelScope, identity.Hash(kind, scope), nil)
	return slices.DeleteFunc(claims, func(c Claim) bool { return c.Resource.Kind != kind || c.Resource.Scope != scope }), err
}

// All returns all claims of a kind. It reads all that is stored, so it is for people's
// tools.
func (s Store) All(ctx context.Context, kind string) ([]Claim, error) {
	return s.list(ctx, labelManaged, managed, func(o *unstructured.Unstructured) bool { return strings.HasPrefix(o.GetName(), kind+"-") })
}

// list returns the claims with a label, of those objects that are wanted; nil wants all.
func (s Store) list(ctx context.Context, label, value string, wanted func(*unstructured.Unstructured) bool) ([]Claim, error) {
	objects, err := s.Client.List(ctx, platform.ConfigMap, Namespace, map[string]string{label: value})
	if err != nil {
		return nil, fmt.Errorf("the claims cannot be listed: %w", err)
	}
	var claims []Claim
	for i := range objects {
		if wanted != nil && !wanted(&objects[i]) {
			continue
		}
		c, err := decode(&objects[i])
		if err != nil {
			return nil, err
		}
		claims = append(claims, *c)
	}
	return claims, nil
}

// Acquire makes the owner hold a resource if nobody else does, and otherwise makes
// it wait. It returns the claim as it is then: the caller has it if Owner is the
// caller. Acquiring what one holds changes at most the facts.
//
// What belongs to a request of another namespace is taken over once that one's own
// deletion has said so in the claim. Without that, an owner who is gone looks the same
// as one who was made up, and the guard lets nobody but a sweep free the claim: it is
// Abandoned until then.
func (s Store) Acquire(ctx context.Context, resource Resource, owner Owner, facts map[string]string) (Claim, error) {
	mine := Claim{Resource: resource, Owner: owner, State: Held, Facts: facts}
	return s.change(ctx, resource, func(c *Claim) (*Claim, error) {
		if c == nil {
			return &mine, nil
		}
		if c.Owner == owner && c.Deleted {
			// Without an API server a request that is made again has the UID it had.
			if alive, err := s.alive(ctx, owner); !alive {
				return nil, cmp.Or(err, fmt.Errorf("%s %s is being deleted: nothing is claimed for it", owner.Kind, owner))
			}
		}
		free, abandoned := c.State == Free || c.Owner.Is(owner), false
		if !free {
			gone, err := s.Gone(ctx, *c)
			if err != nil {
				return nil, err
			}
			free = gone && (c.Deleted || c.Owner.Namespace == owner.Namespace)
			abandoned = gone && !free
		}
		if free {
			next := mine
			next.Waiters = slices.DeleteFunc(slices.Clone(c.Waiters), owner.Is)
			return &next, nil
		}
		next := *c
		next.Abandoned = abandoned
		if !slices.ContainsFunc(c.Waiters, owner.Is) && c.admitsWaiter(owner.Namespace) {
			waiter := owner
			waiter.UID = "" // whoever waits by that name is asked
			next.Waiters = append(slices.Clone(c.Waiters), waiter)
		}
		return &next, nil
	})
}

func (c Claim) admitsWaiter(namespace string) bool {
	same := 0
	for _, w := range c.Waiters {
		if w.Namespace == namespace {
			same++
		}
	}
	return len(c.Waiters) < maxWaiters && same < maxWaitersOfNamespace
}

// Gone reports whether a claim's owner cannot serve anything any more.
func (s Store) Gone(ctx context.Context, c Claim) (bool, error) {
	kind, ok := s.kind(c.Owner)
	if !ok {
		return false, nil
	}
	object, err := s.Client.Get(ctx, kind.Kind, c.Owner.Namespace, c.Owner.Name)
	switch {
	case apierrors.IsBadRequest(err): // nothing can have such a name
		return true, nil
	case err == nil && (!c.Deleted || string(object.GetUID()) == c.Owner.UID):
		return false, nil
	case err == nil:
		// Another incarnation of the owner: after a deletion the old one is gone,
		// after a restore it is the owner still.
		return s.Silent(ctx, c.Owner)
	case !apierrors.IsNotFound(err):
		return false, fmt.Errorf("%s %s, the owner of %s, cannot be read: %w", c.Owner.Kind, c.Owner, c.Resource, err)
	}
	// Not found while the kind is not served says nothing about the object. The
	// label is on none, so that a namespace full of objects costs no more.
	if _, err := s.Client.List(ctx, kind.Kind, c.Owner.Namespace, map[string]string{labelOwner: "none"}); err != nil {
		return false, fmt.Errorf("the kind %s of the owner of %s is not served: %w", c.Owner.Kind, c.Resource, err)
	}
	return s.Silent(ctx, c.Owner)
}

// Silent tells that nothing is left of an owner's output. Kratix removes it
// before the object goes, but not where somebody has taken its finalizers away.
func (s Store) Silent(ctx context.Context, o Owner) (bool, error) {
	kind, ok := s.kind(o)
	if !ok {
		return false, nil
	}
	works, err := s.Client.List(ctx, platform.Work, o.Namespace, map[string]string{
		kratix.LabelPromise: kind.Promise, kratix.LabelResource: o.Name,
	})
	if err != nil {
		return false, fmt.Errorf("the output of %s %s cannot be looked for: %w", o.Kind, o, err)
	}
	return len(works) == 0, nil
}

// alive reports whether a request is there and not being deleted. A deletion cannot
// be taken back.
func (s Store) alive(ctx context.Context, o Owner) (bool, error) {
	kind, ok := s.kind(o)
	if !ok {
		return false, nil
	}
	object, err := s.Client.Get(ctx, kind.Kind, o.Namespace, o.Name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil && object.GetDeletionTimestamp() == nil, err
}

func (s Store) kind(o Owner) (Kind, bool) {
	i := slices.IndexFunc(s.Kinds, func(k Kind) bool { return k.Kind.Kind == o.Kind })
	if i < 0 {
		return Kind{}, false
	}
	return s.Kinds[i], true
}

// Release marks a claim as on its way out. With deleted the owner never gets it
// back. It returns the claim as it is then.
func (s Store) Release(ctx context.Context, resource Resource, owner Owner, deleted bool) (Claim, error) {
	return s.change(ctx, resource, func(c *Claim) (*Claim, error) {
		if c == nil || !c.Owner.Is(owner) {
			return c, nil
		}
		next := *c
		next.Owner, next.State, next.Deleted = owner, Releasing, deleted || c.Deleted && c.Owner == owner
		return &next, nil
	})
}

// Free releases a claim of which nothing is served any more: the caller has
// seen to it, for the claim as it was read then. It returns the claim, whose
// waiters must be asked to reconcile.
func (s Store) Free(ctx context.Context, seen Claim) (Claim, error) {
	return s.change(ctx, seen.Resource, func(c *Claim) (*Claim, error) {
		if c == nil || c.Owner != seen.Owner || c.State != seen.State || c.Deleted != seen.Deleted {
			return c, nil // somebody was faster, and has decided anew
		}
		next := *c
		next.State, next.Owner, next.Deleted, next.Facts = Free, Owner{}, false, nil
		return &next, nil
	})
}

// forget removes a free claim as it was read, once its waiters have been asked:
// some of them may not want it any more, and the others claim it anew.
func (s Store) forget(ctx context.Context, seen Claim) error {
	_, err := s.change(ctx, seen.Resource, func(c *Claim) (*Claim, error) {
		if c == nil || c.State != Free || c.version != seen.version {
			return c, nil
		}
		next := *c
		next.Waiters = nil
		return &next, nil
	})
	return err
}

// change reads a claim, decides, and writes the decision if nobody has changed
// the claim in between; else it starts over. The claim that is decided on is nil
// where there is none. A free claim without waiters is removed.
func (s Store) change(ctx context.Context, resource Resource, decide func(*Claim) (*Claim, error)) (Claim, error) {
	for range tries {
		was, err := s.Get(ctx, resource)
		if err != nil {
			return Claim{}, err
		}
		next, err := decide(was)
		if err != nil {
			return Claim{}, err
		}
		switch {
		case next == nil:
			return Claim{Resource: resource, State: Free}, nil
		case was == nil:
			_, err = s.Client.Create(ctx, platform.ConfigMap, encode(*next, ""))
			if apierrors.IsNotFound(err) {
				return Claim{}, fmt.Errorf("the claim of %s cannot be written: the namespace %s is missing: create it", resource, Namespace)
			}
		case next.State == Free && len(next.Waiters) == 0:
			err = s.Client.Delete(ctx, platform.ConfigMap, Namespace, resource.name(), platform.Preconditions{ResourceVersion: was.version})
		case equal(*was, *next): // nothing to write
		default:
			_, err = s.Client.Update(ctx, platform.ConfigMap, encode(*next, was.version))
		}
		if err == nil {
			return *next, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return Claim{}, fmt.Errorf("the claim of %s cannot be written: %w", resource, err)
		}
	}
	return Claim{}, fmt.Errorf("the claim of %s was changed by others %d times in a row: it is decided in the next run", resource, tries)
}

// equal reports whether two claims are stored in the same words.
func equal(a, b Claim) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// What a ConfigMap holds of a claim, each in a key of its own that people can read.
func encode(c Claim, version string) *unstructured.Unstructured {
	text := func(v any) string { data, _ := json.Marshal(v); return string(data) }
	labels := map[string]any{
		labelManaged: managed,
		labelScope:   identity.Hash(c.Resource.Kind, c.Resource.Scope),
	}
	if c.State != Free {
		labels[labelOwner] = c.Owner.hash()
	}
	metadata := map[string]any{"name": c.Resource.name(), "namespace": Namespace, "labels": labels}
	if version != "" {
		metadata["resourceVersion"] = version
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
		"data": map[string]any{
			"thing": text(c.Resource), "owner": text(c.Owner), "state": string(c.State), "deleted": fmt.Sprint(c.Deleted),
			"facts": text(c.Facts), "waiters": text(c.Waiters),
		},
	}}
}

// ownerIn returns whose claim an object says to be, and false if it does not say that
// readably.
func ownerIn(object *unstructured.Unstructured) (owner Owner, readable bool) {
	text, _, _ := unstructured.NestedString(object.Object, "data", "owner")
	return owner, json.Unmarshal([]byte(text), &owner) == nil
}

func decode(object *unstructured.Unstructured) (*Claim, error) {
	data, _, err := unstructured.NestedStringMap(object.Object, "data")
	c := &Claim{State: State(data["state"]), Deleted: data["deleted"] == "true", version: object.GetResourceVersion()}
	for key, into := range map[string]any{"thing": &c.Resource, "owner": &c.Owner, "facts": &c.Facts, "waiters": &c.Waiters} {
		if err == nil {
			err = json.Unmarshal([]byte(data[key]), into)
		}
	}
	if err == nil && c.Resource.name() != object.GetName() {
		err = fmt.Errorf("it is about %s", c.Resource)
	}
	if err != nil {
		return nil, fmt.Errorf("the ConfigMap %s/%s is not a claim: restore it, or delete it if its owner is known to be gone: %w", Namespace, object.GetName(), err)
	}
	return c, nil
}
