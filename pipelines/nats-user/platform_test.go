package natsuser

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/render"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
)

// goodUser is a request that the account of testdata/platform admits.
const goodUser = `{accountRef: {name: commerce}, secret: {name: orders-nats},
	permissions: {publish: {allow: ["orders.>"]}}, placement: {matchLabels: {environment: prod}}}`

const platformDir = "../../testdata/platform"

// onPlatform is a run for team-a/orders with a spec, on a copy of testdata/platform.
func onPlatform(t *testing.T, spec string) *workflow.Run {
	t.Helper()
	memory := platformtest.Load(t, platformDir, now)
	var content map[string]any
	if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
		t.Fatal(err)
	}
	run := &workflow.Run{Promise: promise, Identity: orders, Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler)}
	run.Request = create(t, memory, platform.NatsUser, "orders", nil, map[string]any{"spec": content})
	var err error
	if run.Config, err = config.Load(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	return run
}

// mend changes an object of the platform.
func mend(t *testing.T, client platform.Client, kind platform.Kind, namespace, name string, edit func(content map[string]any)) {
	t.Helper()
	o, err := client.Get(t.Context(), kind, namespace, name)
	if err == nil {
		edit(o.Object)
		if o, err = client.Update(t.Context(), kind, o); err == nil {
			edit(o.Object)
			_, err = client.UpdateStatus(t.Context(), kind, o)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// templates are the Promise's own, made once: that takes longer than a test.
var templates = sync.OnceValue(func() render.Templates {
	t, err := render.New(promises.Templates(promise), nil)
	if err != nil {
		panic(err)
	}
	return t
})

// bundle is the public certificate of eu-1, as testdata/platform has it.
var bundle = sync.OnceValue(func() string {
	folder, err := platform.OpenFolder(platformDir, time.Now)
	if err != nil {
		panic(err)
	}
	all, err := config.Data(context.Background(), folder, seal.BundlesName)
	if err != nil {
		panic(err)
	}
	return all["eu-1"]
})

// stub is an issuer whose users are called by their names. What it issued can connect.
type stub struct {
	// proposes: the key is made before the user, as in operator mode.
	proposes bool
	atOnce   int
	refuses  map[string]error // by the name of the user
	sample   error

	mutex  sync.Mutex
	issued []string
}

func (s *stub) Propose(name string) (provider.Identity, error) {
	i := provider.Identity{Name: name}
	if s.proposes {
		i.User = "U." + name
	}
	return i, nil
}

func (s *stub) Issue(_ context.Context, i provider.Identity, _ provider.Grant, expires time.Time) (provider.Credential, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.refuses[i.Name]; err != nil {
		return provider.Credential{}, err
	}
	s.issued = append(s.issued, "U."+i.Name)
	slices.Sort(s.issued)
	i.User, i.ID = "U."+i.Name, "id."+i.Name
	return provider.Credential{Identity: i, JWT: "a JWT", File: []byte("a file"), Expires: expires, Settings: "made"}, nil
}

func (s *stub) Sample(name string, _ provider.Grant) (provider.Credential, error) {
	return provider.Credential{Identity: provider.Identity{Name: name, User: "U.sample"}, JWT: "a JWT", File: []byte("a file"), Expires: now.AddDate(0, 0, 1)}, s.sample
}

func (s *stub) AtOnce() int { return s.atOnce }

var _ provider.Issuer = (*stub)(nil)

// serving is a world with what it takes to issue, on eu-1 and us-1.
func serving(s *stub) inputs {
	in := delivering()
	in.placement.Placed, in.kept = []string{"eu-1", "us-1"}, nil
	in.bundles = map[string]string{"eu-1": bundle(), "us-1": bundle()}
	in.templates = templates()
	in.user.Spec.Default()
	in.account.Issuer = s
	return in
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprint(err)
}
