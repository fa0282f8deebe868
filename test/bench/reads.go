package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/workflow"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
)

const (
	// others are requests that a run must not notice.
	others = 500
	// mostReads are those of a run that has nothing to do.
	mostReads = 10
)

// reads counts what a run that has nothing to do asks an API server: for one
// cluster beside one other request, and for many beside many.
func reads(dir string) ([]figure, error) {
	fmt.Fprintf(os.Stderr, "counting reads beside %d other NatsUsers…\n", others)
	b := users{dir: filepath.Join(dir, "credential")} // which has its platforms by now
	few, err := countReads(filepath.Join(dir, "few"), b.platform(1), 1, 1)
	if err != nil {
		return nil, err
	}
	all, err := countReads(filepath.Join(dir, "all"), b.platform(many), many, others)
	if err != nil {
		return nil, err
	}
	if few != all {
		return nil, fmt.Errorf("a run of nats-user that has nothing to do reads %d times, and %d times for %d clusters beside %d other users", few, all, many, others)
	}
	return []figure{{
		what: "nats-user, nothing to do, reads", own: []float64{float64(few)}, most: mostReads,
		with: fmt.Sprintf("for %d clusters beside %d users", many, others), other: []float64{float64(all)},
	}}, nil
}

// countReads makes a request on a new platform with so many others, and counts
// what its next run asks.
func countReads(dir, from string, clusters, others int) (int, error) {
	kinds := []platform.Kind{platform.ConfigMap, platform.Secret, platform.Destination, platform.NatsAccount, platform.NatsUser, platform.Work, platform.WorkPlacement}
	memory, err := load(from, kinds)
	if err != nil {
		return 0, err
	}
	for i := range others {
		other := request(fmt.Sprintf("other-%d", i), map[string]string{"baleen.dev/destination": cluster(0)})
		if _, err := configure(dir, other, memory, 1, inProcess(memory)); err != nil {
			return 0, err
		}
	}
	if _, err := configure(dir, request("orders", nil), memory, clusters, inProcess(memory)); err != nil {
		return 0, err
	}

	var mutex sync.Mutex
	var count, writes int
	server := platformtest.Serve(memory, kinds...)
	server.Observe = func(verb string, _ platform.Kind, _, _, _ string) error {
		mutex.Lock()
		defer mutex.Unlock()
		if count++; verb != "get" && verb != "list" {
			writes++
		}
		return nil
	}
	listener := httptest.NewServer(server)
	defer listener.Close()
	api, err := platform.OpenCluster(&rest.Config{Host: listener.URL, QPS: -1})
	if err != nil {
		return 0, err
	}
	if _, err := configure(dir, request("orders", nil), memory, clusters, inProcess(platform.WithRetry(api, platform.DefaultRetry))); err != nil {
		return 0, err
	}
	if writes > 0 {
		return 0, fmt.Errorf("a run of nats-user that has nothing to do writes %d times", writes)
	}
	return count, nil
}

// load returns what a platform folder holds, in memory.
func load(dir string, kinds []platform.Kind) (*platform.Memory, error) {
	ctx := context.Background()
	folder, err := platform.OpenFolder(dir, time.Now)
	if err != nil {
		return nil, err
	}
	memory := platform.NewMemory(time.Now)
	for _, kind := range kinds {
		objects, err := folder.List(ctx, kind, "", nil)
		if err != nil {
			return nil, err
		}
		for i := range objects {
			objects[i].SetResourceVersion("")
			if _, err := memory.Create(ctx, kind, &objects[i]); err != nil {
				return nil, err
			}
		}
	}
	return memory, nil
}

// inProcess returns a stage that runs the pipeline in this process.
func inProcess(client platform.Client) func(env []string) error {
	return func(env []string) error {
		var stderr bytes.Buffer
		e := workflow.Environment{
			Stderr: &stderr,
			Open:   func(func() time.Time) (platform.Client, error) { return client, nil },
			Getenv: func(key string) string {
				for _, pair := range env {
					if value, ok := strings.CutPrefix(pair, key+"="); ok {
						return value
					}
				}
				return ""
			},
		}
		if e.Run(context.Background(), natsuser.New(nil)) != 0 {
			return errors.New(stderr.String())
		}
		return nil
	}
}
