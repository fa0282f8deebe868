package platform

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Memory is a platform cluster in memory, for what is not to be stored and for tests
// that make many requests. As on a cluster, an object that is made anew has another
// UID.
type Memory struct {
	now     func() time.Time
	mutex   sync.Mutex
	objects map[memoryKey]*unstructured.Unstructured
	version int // of the last change
	apart   *apart
}

// apart is what a cluster counts by object: see [NewMemoryApart].
type apart struct {
	versions map[memoryKey]int               // over all that had the name
	digests  map[memoryKey][sha256.Size]byte // of the objects that have not changed since
}

type memoryKey struct {
	schema.GroupKind
	types.NamespacedName
}

var _ Client = (*Memory)(nil)

// NewMemory returns an empty cluster. Timestamps come from now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, objects: map[memoryKey]*unstructured.Unstructured{}}
}

// NewMemoryApart returns an empty cluster on which what happens to one object changes
// nothing in another, their versions and UIDs included: it is the same in whatever order
// different objects were changed. It can be copied and compared.
func NewMemoryApart(now func() time.Time) *Memory {
	m := NewMemory(now)
	m.apart = &apart{map[memoryKey]int{}, map[memoryKey][sha256.Size]byte{}}
	return m
}

// Clone returns a copy that goes its own way, of a cluster of [NewMemoryApart].
func (m *Memory) Clone() *Memory {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return &Memory{now: m.now, objects: maps.Clone(m.objects), apart: &apart{maps.Clone(m.apart.versions), maps.Clone(m.apart.digests)}}
}

// Compact returns a copy in which each object has its first version and nothing is known
// of those that are gone, without the objects of some kinds: what two clusters have in
// common whose histories differ.
func (m *Memory) Compact(without ...Kind) *Memory {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	compact := NewMemoryApart(m.now)
	for key, object := range m.objects {
		if !slices.ContainsFunc(without, func(k Kind) bool { return k.GroupKind() == key.GroupKind }) {
			compact.store(key, object.DeepCopy())
		}
	}
	return compact
}

// Digest is the same for two clusters of [NewMemoryApart] exactly if what any request to
// them returns is.
func (m *Memory) Digest() [sha256.Size]byte {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var all [sha256.Size]byte
	for key, version := range m.apart.versions {
		digest, known := m.apart.digests[key]
		if !known {
			data := fmt.Appendf(nil, "%s %s %d ", key.GroupKind, key.NamespacedName, version)
			if o := m.objects[key]; o != nil {
				object, _ := json.Marshal(o.Object) // decoded JSON always encodes
				data = append(data, object...)
			}
			digest = sha256.Sum256(data)
			m.apart.digests[key] = digest
		}
		for i := range all { // in any order
			all[i] ^= digest[i]
		}
	}
	return all
}

func keyOf(kind Kind, namespace, name string) memoryKey {
	return memoryKey{kind.GroupKind(), types.NamespacedName{Namespace: namespace, Name: name}}
}

// Get implements [Client].
func (m *Memory) Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return nil, err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	stored, err := m.find(kind, namespace, name)
	if err != nil {
		return nil, err
	}
	return stored.DeepCopy(), nil
}

// List implements [Client].
func (m *Memory) List(ctx context.Context, kind Kind, namespace string, want map[string]string) ([]unstructured.Unstructured, error) {
	if err := checkNamespace(ctx, kind, namespace); err != nil {
		return nil, err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	objects := []unstructured.Unstructured{}
	selector := labels.SelectorFromSet(want)
	for key, o := range m.objects {
		if key.GroupKind == kind.GroupKind() && (namespace == "" || key.Namespace == namespace) && selector.Matches(labels.Set(o.GetLabels())) {
			objects = append(objects, *o.DeepCopy())
		}
	}
	sortObjects(objects)
	return objects, nil
}

// Create implements [Client].
func (m *Memory) Create(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	created, err := prepareNew(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	key := keyOf(kind, created.GetNamespace(), created.GetName())
	if m.objects[key] != nil {
		return nil, apierrors.NewAlreadyExists(kind.GVR().GroupResource(), created.GetName())
	}
	keepOwned(created, &unstructured.Unstructured{})
	created.SetUID(m.uid(kind, key))
	created.SetCreationTimestamp(metav1.NewTime(m.now()))
	created.SetGeneration(1)
	return m.store(key, created), nil
}

// Update implements [Client].
func (m *Memory) Update(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	updated, err := prepare(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	return m.modify(kind, updated.GetNamespace(), updated.GetName(), replacing(kind, updated))
}

// UpdateStatus implements [Client].
func (m *Memory) UpdateStatus(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	updated, err := prepare(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	return m.modify(kind, updated.GetNamespace(), updated.GetName(), replacingStatus(kind, updated))
}

// Patch implements [Client].
func (m *Memory) Patch(ctx context.Context, kind Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return nil, err
	}
	patch, err := copyJSON(patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch of %s %q cannot be written as JSON: %v", kind.Kind, name, err))
	}
	return m.modify(kind, namespace, name, func(stored *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return patched(ctx, kind, stored, patch)
	})
}

// Delete implements [Client].
func (m *Memory) Delete(ctx context.Context, kind Kind, namespace, name string, preconditions Preconditions) error {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	stored, err := m.find(kind, namespace, name)
	if err != nil {
		return err
	}
	if err := checkPreconditions(kind, stored, preconditions); err != nil {
		return err
	}
	key := keyOf(kind, namespace, name)
	if len(stored.GetFinalizers()) == 0 {
		m.drop(key)
		return nil
	}
	if stored.GetDeletionTimestamp() == nil {
		m.store(key, markDeleted(stored.DeepCopy(), m.now()))
	}
	return nil
}

func (m *Memory) modify(kind Kind, namespace, name string,
	change change) (*unstructured.Unstructured, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	stored, err := m.find(kind, namespace, name)
	if err != nil {
		return nil, err
	}
	changed, err := change(stored)
	if err != nil {
		return nil, err
	}
	if reflect.DeepEqual(changed.Object, stored.Object) {
		return changed, nil
	}
	if !reflect.DeepEqual(specOf(changed), specOf(stored)) {
		changed.SetGeneration(stored.GetGeneration() + 1)
	}
	key := keyOf(kind, namespace, name)
	if changed.GetDeletionTimestamp() != nil && len(changed.GetFinalizers()) == 0 {
		m.drop(key)
		return changed, nil
	}
	return m.store(key, changed), nil
}

func (m *Memory) find(kind Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if stored := m.objects[keyOf(kind, namespace, name)]; stored != nil {
		return stored, nil
	}
	return nil, apierrors.NewNotFound(kind.GVR().GroupResource(), name)
}

func (m *Memory) store(key memoryKey, object *unstructured.Unstructured) *unstructured.Unstructured {
	m.version++
	version := m.version
	if m.apart != nil {
		m.apart.versions[key]++
		version = m.apart.versions[key]
	}
	object.SetResourceVersion(strconv.Itoa(version))
	m.objects[key] = object.DeepCopy()
	m.changed(key)
	return object
}

// uid is one that no object has had.
func (m *Memory) uid(kind Kind, key memoryKey) types.UID {
	if m.apart == nil {
		return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", m.version+1))
	}
	name := key.Name
	if n := m.apart.versions[key]; n > 0 { // the first has that which it has in a folder
		name += "#" + strconv.Itoa(n)
	}
	return UID(kind.GroupKind(), key.Namespace, name)
}

func (m *Memory) drop(key memoryKey) {
	delete(m.objects, key)
	m.changed(key)
}

func (m *Memory) changed(key memoryKey) {
	if m.apart != nil {
		delete(m.apart.digests, key)
	}
}

// adopt stores an object of another platform as it is there.
func (m *Memory) adopt(key memoryKey, object *unstructured.Unstructured) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.objects[key] = object.DeepCopy()
}
