package platformtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/platform"
)

// kinds are those of the objects that [Load] takes.
var kinds = []platform.Kind{platform.Destination, platform.ConfigMap, platform.Secret, platform.NatsAccount, platform.ApiAggregator, platform.System}

var loaded sync.Map // []unstructured.Unstructured by kind, by folder

// Load returns a copy of a platform's folder in memory, whose timestamps are of one
// time.
func Load(t testing.TB, dir string, now time.Time) *platform.Memory {
	t.Helper()
	memory := platform.NewMemory(func() time.Time { return now })
	for _, kind := range kinds {
		objects, err := read(dir, kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			o := o.DeepCopy()
			o.SetResourceVersion("")
			if _, err := memory.Create(t.Context(), kind, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	return memory
}

// read reads the objects of a kind once: tests ask for them again and again.
func read(dir string, kind platform.Kind) ([]unstructured.Unstructured, error) {
	key := [2]string{dir, kind.Kind}
	if known, ok := loaded.Load(key); ok {
		return known.([]unstructured.Unstructured), nil
	}
	folder, err := platform.OpenFolder(dir, time.Now)
	if err != nil {
		return nil, err
	}
	objects, err := folder.List(context.Background(), kind, "", nil)
	if err == nil {
		loaded.Store(key, objects)
	}
	return objects, err
}
