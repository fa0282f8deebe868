package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	goyaml "go.yaml.in/yaml/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	clusterDir = "_cluster" // in place of a namespace; cannot be the name of one
	lockFile   = ".lock"
	// All temporary files have this one name: writers exclude each other, so the
	// next one in a directory overwrites what a killed one left there.
	tempFile = ".tmp"
)

// Folder is a platform cluster made of YAML files, one object per file:
// <namespace or _cluster>/<Kind>.<group or core>/<name>.yaml. Other YAML files,
// directly in the root or in a namespace's folder, may hold any number of
// objects; they are read and never written. Processes can share a folder.
type Folder struct {
	dir  string
	root *os.Root // no name and no symbolic link leads out of it
	now  func() time.Time

	mu      sync.Mutex
	bundles map[string]bundle // by file
}

// bundle is what a file of many objects held when it was last read.
type bundle struct {
	modified time.Time
	size     int64
	objects  []*unstructured.Unstructured
}

// entry is an object and the file it was found in.
type entry struct {
	*unstructured.Unstructured
	file    string
	bundled bool
}

var _ Client = (*Folder)(nil)

// OpenFolder opens the folder dir, which must exist. Timestamps come from now.
func OpenFolder(dir string, now func() time.Time) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("the platform folder %q cannot be opened; make it or name another: %w", dir, err)
	}
	return &Folder{dir: dir, root: root, now: now, bundles: map[string]bundle{}}, nil
}

// UID returns the identity of an object where no API server gives it one: a
// UUIDv5 that is the same wherever and whenever it is computed.
func UID(kind schema.GroupKind, namespace, name string) types.UID {
	return types.UID(uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://baleen.dev/"+objectFile(kind, namespace, name))).String())
}

// Get implements [Client]. It reads one file, and others only if that is missing.
func (f *Folder) Get(ctx context.Context, kind Kind, namespace, name string) (*unstructured.Unstructured, error) {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return nil, err
	}
	found, err := f.find(kind, namespace, name)
	return found.Unstructured, err
}

// List implements [Client].
func (f *Folder) List(ctx context.Context, kind Kind, namespace string, want map[string]string) ([]unstructured.Unstructured, error) {
	if err := checkNamespace(ctx, kind, namespace); err != nil {
		return nil, err
	}
	spaces, err := []string{spaceDir(namespace)}, error(nil)
	if namespace == "" && !kind.ClusterScoped {
		spaces, err = f.namespaces()
	}
	var entries []entry
	for _, space := range append(spaces, ".") {
		var files, bundled []entry
		if err == nil && space != "." {
			files, err = f.files(kind, space)
		}
		if err == nil {
			bundled, err = f.bundled(kind, space)
		}
		entries = append(append(entries, files...), bundled...)
	}
	if err != nil {
		return nil, err
	}
	objects := []unstructured.Unstructured{}
	seen := map[types.NamespacedName]entry{}
	selector := labels.SelectorFromSet(want)
	for _, e := range entries {
		key := types.NamespacedName{Namespace: e.GetNamespace(), Name: e.GetName()}
		if namespace != "" && key.Namespace != namespace {
			continue
		}
		if other, twice := seen[key]; twice {
			return nil, f.twice(kind, other, e)
		}
		seen[key] = e
		if selector.Matches(labels.Set(e.GetLabels())) {
			objects = append(objects, *e.Unstructured)
		}
	}
	sortObjects(objects)
	return objects, nil
}

// Create implements [Client].
func (f *Folder) Create(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	created, err := prepareNew(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	namespace, name := created.GetNamespace(), created.GetName()
	switch _, err := f.find(kind, namespace, name); {
	case err == nil:
		return nil, apierrors.NewAlreadyExists(kind.GVR().GroupResource(), name)
	case !apierrors.IsNotFound(err):
		return nil, err
	}
	keepOwned(created, &unstructured.Unstructured{})
	created.SetUID(UID(kind.GroupKind(), namespace, name))
	created.SetCreationTimestamp(metav1.NewTime(f.now()))
	created.SetGeneration(1)
	return f.write(kind, created)
}

// Update implements [Client]. As with an API server, only objects of the core
// group can be updated without a resourceVersion.
func (f *Folder) Update(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	updated, err := prepare(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	return f.modify(kind, updated.GetNamespace(), updated.GetName(), replacing(kind, updated))
}

// UpdateStatus implements [Client].
func (f *Folder) UpdateStatus(ctx context.Context, kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	updated, err := prepare(ctx, kind, object)
	if err != nil {
		return nil, err
	}
	return f.modify(kind, updated.GetNamespace(), updated.GetName(), replacingStatus(kind, updated))
}

// Patch implements [Client].
func (f *Folder) Patch(ctx context.Context, kind Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return nil, err
	}
	patch, err := copyJSON(patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch of %s %q cannot be written as JSON: %v", kind.Kind, name, err))
	}
	return f.modify(kind, namespace, name, func(stored *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return patched(ctx, kind, stored, patch)
	})
}

// Delete implements [Client]. An object that has finalizers is marked, and goes
// when an update or a patch removes the last of them.
func (f *Folder) Delete(ctx context.Context, kind Kind, namespace, name string, preconditions Preconditions) error {
	if err := checkName(ctx, kind, namespace, name); err != nil {
		return err
	}
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	defer unlock()
	found, err := f.find(kind, namespace, name)
	if err != nil {
		return err
	}
	if err := checkPreconditions(kind, found.Unstructured, preconditions); err != nil {
		return err
	}
	if err := f.checkWritable(kind, found); err != nil {
		return err
	}
	if len(found.GetFinalizers()) == 0 {
		return f.remove(found.file)
	}
	if found.GetDeletionTimestamp() != nil {
		return nil
	}
	_, err = f.write(kind, markDeleted(found.Unstructured, f.now()))
	return err
}

// modify replaces a stored object by what change returns for it.
func (f *Folder) modify(kind Kind, namespace, name string,
	change change) (*unstructured.Unstructured, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	stored, err := f.find(kind, namespace, name)
	if err != nil {
		return nil, err
	}
	changed, err := change(stored.Unstructured)
	if err != nil {
		return nil, err
	}
	if reflect.DeepEqual(changed.Object, stored.Object) {
		return stored.Unstructured, nil
	}
	if err := f.checkWritable(kind, stored); err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(specOf(changed), specOf(stored.Unstructured)) {
		changed.SetGeneration(stored.GetGeneration() + 1)
	}
	if changed.GetDeletionTimestamp() != nil && len(changed.GetFinalizers()) == 0 {
		return changed, f.remove(stored.file)
	}
	return f.write(kind, changed)
}

// find returns an object from its own file or else from one of many objects.
func (f *Folder) find(kind Kind, namespace, name string) (entry, error) {
	space, file := spaceDir(namespace), objectFile(kind.GroupKind(), namespace, name)
	data, err := readFile(f.root, file)
	if err == nil {
		return f.single(kind, space, file, data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return entry{}, f.unreadable(err)
	}
	var found entry
	for _, place := range []string{space, "."} {
		entries, err := f.bundled(kind, place)
		if err != nil {
			return entry{}, err
		}
		for _, e := range entries {
			if e.GetName() != name || e.GetNamespace() != namespace {
				continue
			}
			if found.Unstructured != nil {
				return entry{}, f.twice(kind, found, e)
			}
			found = e
		}
	}
	if found.Unstructured == nil {
		return entry{}, apierrors.NewNotFound(kind.GVR().GroupResource(), name)
	}
	return found, nil
}

// files returns the objects that have a file of their own, for a kind and a
// namespace.
func (f *Folder) files(kind Kind, space string) ([]entry, error) {
	dir := path.Join(space, kindDir(kind.GroupKind()))
	root, err := f.root.OpenRoot(dir) // spares resolving the path for every file
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.unreadable(err)
	}
	defer root.Close()
	listing, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, f.unreadable(err)
	}
	entries, errs := make([]entry, len(listing)), make([]error, len(listing))
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0) // parsing YAML is what takes the time
	for worker := range workers {
		wait.Go(func() {
			for i := worker; i < len(listing); i += workers {
				if !isYAML(listing[i]) {
					continue
				}
				data, err := readFile(root, listing[i].Name())
				switch {
				case err == nil:
					entries[i], errs[i] = f.single(kind, space, path.Join(dir, listing[i].Name()), data)
				case !errors.Is(err, fs.ErrNotExist): // else deleted meanwhile
					errs[i] = f.unreadable(err)
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(entries, func(e entry) bool { return e.Unstructured == nil }), nil
}

// single reads a file that holds one object of a known kind.
func (f *Folder) single(kind Kind, space, file string, data []byte) (entry, error) {
	objects, err := f.decode(file, data)
	if err != nil {
		return entry{}, err
	}
	if len(objects) != 1 {
		return entry{}, f.broken(file, 0, fmt.Sprintf("it holds %d objects where one belongs; move them to a file in %s", len(objects), f.at(space)))
	}
	object := objects[0]
	if object.GroupVersionKind().GroupKind() != kind.GroupKind() || object.GetName()+".yaml" != path.Base(file) {
		return entry{}, f.broken(file, 0, fmt.Sprintf("it holds %s %q; let kind, name and file agree", object.GroupVersionKind().GroupKind(), object.GetName()))
	}
	return entry{object, file, false}, f.complete(kind, space, file, object)
}

// bundled returns the objects of a kind that are in files put directly into the
// folder place.
func (f *Folder) bundled(kind Kind, place string) ([]entry, error) {
	listing, err := fs.ReadDir(f.root.FS(), place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.unreadable(err)
	}
	var entries []entry
	for _, item := range listing {
		if !isYAML(item) {
			continue
		}
		file := path.Join(place, item.Name())
		objects, err := f.load(file)
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			if object.GroupVersionKind().GroupKind() != kind.GroupKind() {
				continue
			}
			object = object.DeepCopy()
			if err := f.complete(kind, place, file, object); err != nil {
				return nil, err
			}
			entries = append(entries, entry{object, file, true})
		}
	}
	return entries, nil
}

// load returns the objects of a file of many, parsed anew if it has changed.
func (f *Folder) load(file string) ([]*unstructured.Unstructured, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := f.root.Stat(file) // before reading: what comes later shows next time
	if err != nil {
		return nil, f.unreadable(err)
	}
	if known, ok := f.bundles[file]; ok && known.size == info.Size() && known.modified.Equal(info.ModTime()) {
		return known.objects, nil
	}
	data, err := readFile(f.root, file)
	if err != nil {
		return nil, f.unreadable(err)
	}
	objects, err := f.decode(file, data)
	if err != nil {
		return nil, err
	}
	f.bundles[file] = bundle{info.ModTime(), info.Size(), objects}
	return objects, nil
}

// complete checks an object against the place it was found in, and fills in what
// people leave out and an API server would have set.
func (f *Folder) complete(kind Kind, space, file string, object *unstructured.Unstructured) error {
	if object.GetNamespace() == "" && space != "." && space != clusterDir {
		object.SetNamespace(space)
	}
	namespace, name := object.GetNamespace(), object.GetName()
	switch {
	case len(validation.IsDNS1123Subdomain(name)) > 0: // it may become a path, or part of a command that is proposed
		return f.broken(file, 0, fmt.Sprintf("%s %q has a name that no object can have; use lower case letters, digits, dashes and dots", kind.Kind, name))
	case object.GroupVersionKind().Version != kind.Version:
		return f.broken(file, 0, fmt.Sprintf("%s %q has apiVersion %s; make it %s", kind.Kind, name, object.GetAPIVersion(), kind.GroupVersion()))
	case (namespace == "") != kind.ClusterScoped, space != "." && space != spaceDir(namespace):
		return f.broken(file, 0, fmt.Sprintf("%s %q has the namespace %q; correct that or move it", kind.Kind, name, namespace))
	}
	if object.GetUID() == "" {
		object.SetUID(UID(kind.GroupKind(), namespace, name))
	}
	if object.GetGeneration() == 0 {
		object.SetGeneration(1)
	}
	return nil
}

// write stores an object in its own file and returns it as it will be read.
// Whenever the process dies, the file is the old one or the new one.
func (f *Folder) write(kind Kind, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	object = object.DeepCopy()
	object.SetResourceVersion("")
	space := spaceDir(object.GetNamespace())
	file := objectFile(kind.GroupKind(), object.GetNamespace(), object.GetName())
	// Not by way of JSON, as sigs.k8s.io/yaml does it: that fails on some control
	// characters. What fails here is a key "<<", and must not become a file.
	data, err := goyaml.Marshal(object.Object)
	if err != nil {
		return nil, fmt.Errorf("%s %q cannot be written as YAML: %w", kind.Kind, object.GetName(), err)
	}
	written, err := f.single(kind, space, file, data)
	if err != nil || !reflect.DeepEqual(specOf(written.Unstructured), specOf(object)) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s %q has content that YAML cannot hold, such as a key <<; choose another", kind.Kind, object.GetName()))
	}
	if err := f.replaceFile(file, data); err != nil {
		return nil, fmt.Errorf("%s %q cannot be stored in %s; see to the folder and try again: %w", kind.Kind, object.GetName(), f.dir, err)
	}
	return written.Unstructured, nil
}

func (f *Folder) replaceFile(file string, data []byte) error {
	dir := path.Dir(file)
	if _, err := f.root.Stat(dir); err != nil {
		if err := f.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := errors.Join(f.sync(path.Dir(dir)), f.sync(".")); err != nil {
			return err
		}
	}
	temp := path.Join(dir, tempFile)
	// There may be Secrets among them: for the owner's eyes only.
	out, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if err == nil {
		// Before it is renamed: else a power cut may leave an empty file under the name
		// of a good one. No test sees that, because none cuts the power.
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = f.root.Rename(temp, file)
	}
	if err != nil {
		return errors.Join(err, f.root.Remove(temp))
	}
	return f.sync(dir)
}

func (f *Folder) remove(file string) error {
	if err := f.root.Remove(file); err != nil {
		return fmt.Errorf("%s cannot be removed; see to the folder and try again: %w", f.at(file), err)
	}
	_ = f.root.Remove(path.Join(path.Dir(file), tempFile)) // left by a killed writer, if any
	return f.sync(path.Dir(file))
}

// sync makes durable which files a directory has, against a power cut, as for the
// files themselves.
func (f *Folder) sync(dir string) error {
	opened, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// lock excludes all other writers, of this and of other processes. The kernel
// releases it when the process dies.
func (f *Folder) lock() (unlock func(), err error) {
	file, err := f.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	for err == nil {
		if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err == nil {
			return func() { file.Close() }, nil
		}
		if errors.Is(err, syscall.EINTR) {
			err = nil
		}
	}
	return nil, fmt.Errorf("the platform folder %s cannot be locked; make %s writable: %w", f.dir, f.at(lockFile), err)
}

// namespaces returns the folders that are namespaces.
func (f *Folder) namespaces() ([]string, error) {
	listing, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, f.unreadable(err)
	}
	var names []string
	for _, item := range listing {
		if item.IsDir() && len(validation.IsDNS1123Label(item.Name())) == 0 {
			names = append(names, item.Name())
		}
	}
	return names, nil
}

func (f *Folder) checkWritable(kind Kind, e entry) error {
	if !e.bundled {
		return nil
	}
	return apierrors.NewForbidden(kind.GVR().GroupResource(), e.GetName(), fmt.Errorf("it is in %s, which is only read; edit that file, or move the object to %s",
		f.at(e.file), f.at(objectFile(kind.GroupKind(), e.GetNamespace(), e.GetName()))))
}

func (f *Folder) twice(kind Kind, a, b entry) error {
	return fmt.Errorf("%s %q of namespace %q is there twice, in %s and in %s; remove one", kind.Kind, a.GetName(), a.GetNamespace(), f.at(a.file), f.at(b.file))
}

func (f *Folder) unreadable(err error) error {
	return fmt.Errorf("the platform folder %s cannot be read; see to its files and permissions: %w", f.dir, err)
}

func (f *Folder) at(file string) string { return filepath.Join(f.dir, file) }

func objectFile(kind schema.GroupKind, namespace, name string) string {
	return path.Join(spaceDir(namespace), kindDir(kind), name+".yaml")
}

func spaceDir(namespace string) string {
	if namespace == "" {
		return clusterDir
	}
	return namespace
}

func kindDir(kind schema.GroupKind) string {
	if kind.Group == "" {
		return kind.Kind + ".core"
	}
	return kind.Kind + "." + kind.Group
}

// readFile returns the content of a file, and of nothing else: a pipe of that name
// would be waited for without end.
func readFile(root *os.Root, name string) ([]byte, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s is not a file: take it away", name))
	}
	return io.ReadAll(file)
}

func isYAML(item fs.DirEntry) bool {
	return !item.IsDir() && strings.HasSuffix(item.Name(), ".yaml") && !strings.HasPrefix(item.Name(), ".")
}
