package acceptance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// upgrade applies the Promises with images of the next version while a route is
// asked without a pause.
func upgrade(s *story) {
	t := s.T
	next := filepath.Join(root, "dist", "upgrade")
	files, err := filepath.Glob(filepath.Join(next, "*.yaml"))
	if err != nil || len(files) == 0 {
		if world.Control != "" && !testing.Short() {
			t.Fatal("there is no next version in dist/upgrade: test/e2e/run makes one")
		}
		t.Skip("the short run, and one on clusters that are there, has no next version in dist/upgrade")
	}
	backend(t, "team-a", "steady")
	c := issue(t, "team-a", "steady")
	hub().apply(t, target("team-a", "steady", "steady", "{path: /steady}"))
	becomes(t, apiTargets, "team-a", "steady", "True/Published")
	c.arrives(t)
	served(t, "/steady", "team-a/steady")
	quiet(t, natsUsers, "team-a", "steady")
	routes := routeVersions(t)

	stop := make(chan struct{})
	var asked, failed int
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			asked++
			if a, err := trySend(t.Context(), "GET", "https://api.example.com/steady", nil, false); err != nil || a.code != 200 {
				failed++
			}
		}
	})
	runs := func() int { return len(jobs(t, "nats-user", "team-a", "steady", "configure")) }
	newest := func() string {
		all := jobs(t, "nats-user", "team-a", "steady", "configure")
		if len(all) == 0 || all[len(all)-1].Status.Succeeded == 0 {
			return ""
		}
		for _, container := range all[len(all)-1].Spec.Template.Spec.InitContainers {
			if container.Name == "nats-user" {
				return container.Image
			}
		}
		return ""
	}
	before, old := runs(), newest()
	hub().kubectl(t, "", "apply", "-f", next)
	within(t, 5*time.Minute, func() error {
		if is := newest(); is == old || is == "" {
			return fmt.Errorf("after %d runs and %d before, the newest still has the image %s", runs(), before, old)
		}
		return nil
	})
	quiet(t, natsUsers, "team-a", "steady")
	quiet(t, apiTargets, "team-a", "steady")
	refresh(t)
	time.Sleep(10 * time.Second)
	close(stop)
	asking.Wait()
	c.stays(t)
	if is := routeVersions(t); is != routes {
		t.Errorf("routes were\n%s\nand are\n%s", routes, is)
	}
	if failed > 0 {
		t.Errorf("%d of %d requests failed", failed, asked)
	}
	s.holds("all Promises are upgraded: no Secret and no route changed, and none of %d requests meanwhile failed", asked)
	c.ends(t)
	hub().delete(t, apiTargets, "team-a", "steady")
}

// routeVersions are the generations of all routes, which change with their spec.
func routeVersions(t testing.TB) string {
	t.Helper()
	var all []string
	for _, namespace := range []string{"team-a", "team-b", "gateways"} {
		for _, route := range eu().list(t, httpRoutes, namespace) {
			all = append(all, fmt.Sprintf("%s/%s %s %d", namespace, route.GetName(), route.GetUID(), route.GetGeneration()))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}
