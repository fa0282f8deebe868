package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

// act is a run of a stage that is killed, what led to it, and what must be true of
// it afterwards, wherever that was.
type act struct {
	before, run func(*killed)
	after       func(*killed)
}

// killed is a world in which a stage dies once.
type killed struct {
	*world
	// was is what was delivered before the stage died, and known are the users of
	// which any ledger has told since.
	was   map[string]credential
	known map[string]bool
}

const again = `, rotate: "2", revokePrevious: `

var notAdmitted = strings.Replace(orders(again+"AfterOverlap"), "orders.>", "payments.>", 1)

// The acts. Every one goes on after the container was started again, which finds
// what the dead one left in output and metadata.
var acts = map[string]act{
	"first issue": {
		before: func(k *killed) { k.apply(k.commerce()) },
		run:    func(k *killed) { k.apply(orders("")) },
		after:  func(k *killed) { k.goesOn(orders(""), "FirstIssue", "PreviousAttemptLost") },
	},
	"another cluster": {
		before: func(k *killed) { k.served(orders(""), "eu-1") },
		run:    func(k *killed) { k.apply(orders("")) },
		after: func(k *killed) {
			if k.was["eu-1"].document != k.delivered()["eu-1"].document {
				k.Errorf("us-1 was added, and eu-1 has something else")
			}
			k.goesOn(orders(""), "DestinationAdded", "PreviousAttemptLost")
		},
	},
	"rotation, revoked after an overlap": {
		before: func(k *killed) { k.served(orders(""), clusters...) },
		run:    func(k *killed) { k.apply(orders(again + "AfterOverlap")) },
		after: func(k *killed) {
			k.apply(orders(again + "AfterOverlap")) // writes down that it has arrived
			now := k.goesOn(orders(again+"AfterOverlap"), "RotationRequested")
			for cluster, c := range k.was {
				k.connects("within the overlap the former credential of "+cluster, c)
			}
			k.now = k.now.Add(25 * time.Hour)
			k.apply(orders(again + "AfterOverlap"))
			k.apply(k.commerce())
			k.revoked(now)
		},
	},
	"rotation, revoked at once": {
		before: func(k *killed) { k.served(orders(""), clusters...) },
		run:    func(k *killed) { k.apply(orders(again + "Immediately")) },
		after: func(k *killed) {
			k.revoked(k.goesOn(orders(again+"Immediately"), "RotationRequested"))
		},
	},
	"refusal, while a former credential is to go": {
		before: func(k *killed) {
			k.served(orders(""), clusters...)
			k.apply(orders(again + "AfterOverlap"))
			k.apply(orders(again + "AfterOverlap"))
			k.now = k.now.Add(25 * time.Hour)
		},
		run: func(k *killed) { k.apply(notAdmitted) },
		after: func(k *killed) {
			now := k.delivered()
			k.quiet(func() { k.apply(notAdmitted) })
			k.apply(k.commerce())
			k.revoked(now)
		},
	},
	// Without an account that revokes meanwhile a deletion ends with an error.
	"deletion, before anything is revoked": {
		before: func(k *killed) { k.served(orders(""), clusters...) },
		run:    func(k *killed) { k.waits() },
		after: func(k *killed) {
			k.apply(k.commerce())
			k.gone()
		},
	},
	"deletion, once all is revoked": {
		before: func(k *killed) {
			k.served(orders(""), clusters...)
			k.waits()
			k.apply(k.commerce())
		},
		run: func(k *killed) { k.gone() },
	},
	"clearing up after a request that was taken away": {
		before: func(k *killed) {
			k.served(orders(""), clusters...)
			k.must(os.RemoveAll(filepath.Join(k.dir, "platform", "team-a")))
			k.apply(k.commerce()) // notices, and waits for it to come back
			k.now = k.now.Add(25 * time.Hour)
		},
		run: func(k *killed) { k.apply(k.commerce()) },
		after: func(k *killed) {
			k.quiet(func() { k.apply(k.commerce()) })
			k.over()
			if left, err := filepath.Glob(filepath.Join(k.dir, "platform", "baleen-state", "ConfigMap.core", "secret-*")); len(left) > 0 {
				k.Errorf("the Secrets are still claimed: %v, %v", left, err)
			}
		},
	},
	"revocation": {
		before: func(k *killed) {
			k.served(orders(""), clusters...)
			k.apply(orders(again + "Immediately"))
		},
		run: func(k *killed) { k.apply(k.commerce()) },
		after: func(k *killed) {
			k.quiet(func() { k.apply(k.commerce()) })
			k.revoked(k.delivered())
			if n := len(k.account().Revocations); n != len(k.was) {
				k.Errorf("%d users are revoked, and %d should be", n, len(k.was))
			}
		},
	},
}

// Between two points at which something has changed outside, in an object or on the
// server, all deaths leave the same world, so one of them is enough; the files of an
// output that was begun are cleared by the next run, whatever they are, so the first
// of them in half and all of them are. Every point is tried, in more than three times
// the time, by go test ./cmd/nats-user -run TestKilled -all, which make soak does.
var all = flag.Bool("all", false, "kill the stages at every point, also where nothing has changed since the point before")

var (
	changes = regexp.MustCompile(`^[0-9]+ after (create|update|patch|delete|asking for UPDATE)\b`)
	writing = regexp.MustCompile(`^[0-9]+ amid writing\b`)
)

// differ returns the indices of the points that leave different worlds: the first
// and the last one are among them.
func differ(points []string) []int {
	var kept []int
	begun := false
	for n, point := range points {
		begins := !begun && writing.MatchString(point)
		begun = begun || begins
		if *all || n == 0 || n == len(points)-1 || changes.MatchString(point) || begins {
			kept = append(kept, n)
		}
	}
	return kept
}

// Killed at any point, a stage that is started again ends as if nothing had
// happened: what it delivers works, what it made in vain is revoked, and nothing
// else is left to do.
func TestKilled(t *testing.T) {
	t.Parallel()
	var wait sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(acts)) {
		// All at once: the account's pipeline spends most of its time on waiting for
		// more servers to answer.
		wait.Go(func() { t.Run(name, acts[name].kill) })
	}
	wait.Wait()
}

func (a act) kill(t *testing.T) {
	base := &killed{newWorld(t, mortal()), map[string]credential{}, map[string]bool{}}
	if a.before != nil {
		a.before(base)
	}
	base.revocations = base.account().Revocations
	began := time.Now()
	points := base.points(a)
	tried := differ(points)
	for _, n := range tried {
		k := base.fork()
		k.first = func(promise string, env []string) {
			if p := k.stage(promise, env, fmt.Sprintf("BALEEN_FATAL=%d", n+1)); !p.killed {
				k.Errorf("not killed, but exit code %d: %s", p.code, p.said)
			}
			if k.look(); promise == "nats-user" { // the account counts at its run's end what it has retired itself
				k.counted(k.rows())
			}
		}
		a.run(k)
		k.within = true
		if a.after != nil {
			a.after(k)
		}
		if k.leave(); t.Failed() {
			t.Fatalf("it was killed at point %d of %d: %s", n+1, len(points), points[n])
		}
	}
	t.Attr("tried.kill-points", fmt.Sprint(len(tried)))
	t.Logf("killed at %d of %d points in %v:\n%s", len(tried), len(points), time.Since(began).Round(time.Millisecond), strings.Join(points, "\n"))
}

func (k *killed) fork() *killed {
	k.Helper()
	return &killed{k.world.fork(), k.was, maps.Clone(k.known)}
}

// points returns the names of the points of a run, from which nobody dies.
func (k *killed) points(a act) []string {
	k.Helper()
	fork := k.fork()
	defer fork.leave()
	fork.list = filepath.Join(k.TempDir(), "points")
	a.run(fork)
	data, err := os.ReadFile(fork.list)
	k.must(err)
	points := strings.Split(strings.TrimSpace(string(data)), "\n")
	// A stage that ran more than once counts from the start each time.
	if again := slices.IndexFunc(points[1:], func(p string) bool { return strings.HasPrefix(p, "1 ") }); again >= 0 {
		points = points[:again+1]
	}
	return points
}

// served is a request that has delivered to some clusters.
func (k *killed) served(request string, names ...string) {
	k.Helper()
	object := func(name string) string { return "_cluster/Destination.platform.kratix.io/" + name + ".yaml" }
	k.apply(k.commerce())
	for _, name := range clusters {
		if !slices.Contains(names, name) {
			k.must(os.Rename(filepath.Join(k.dir, "platform", object(name)), filepath.Join(k.dir, name)))
			defer func() {
				k.must(os.Rename(filepath.Join(k.dir, name), filepath.Join(k.dir, "platform", object(name))))
			}()
		}
	}
	k.apply(request)
	k.was = k.delivered()
	k.remember()
}

// maintain keeps the users of the ledger in mind.
func (k *killed) remember() {
	k.Helper()
	for _, r := range k.rows() {
		k.known[r.User] = true
	}
}

// seed is the seed of any key of NATS but a server's, and header what every JWT of
// NATS begins with.
var seed = regexp.MustCompile(`S[UAOX][A-Z2-7]{56}`)

const header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ"

// look looks at what a dead stage has left: output of what is not committed is
// none, and no secret is in a file.
func (k *killed) look() {
	k.Helper()
	k.remember()
	rows := k.rows()
	for path, content := range k.files("kratix") {
		cluster := filepath.Base(filepath.Dir(path))
		if c, ok := k.unseal(cluster, []byte(content)); ok && !slices.ContainsFunc(rows, func(r ledger.Record) bool {
			return r.User == c.user && r.State == ledger.Active && r.Destination == cluster
		}) {
			k.Errorf("%s was written before its generation was committed", path)
		}
	}
	for _, folder := range []string{"kratix", "platform", "empty"} {
		for path, content := range k.files(folder) {
			if !strings.Contains(path, "/Secret.core/") && (seed.MatchString(content) || strings.Contains(content, header)) {
				k.Errorf("%s has a secret in it:\n%s", path, content)
			}
		}
	}
}

// goesOn makes sure that a request is served after a death: nothing is left to do
// for it, each cluster has a credential that works, issued for one of these reasons
// if it is another than before, and what nobody got is revoked.
func (k *killed) goesOn(request string, reasons ...string) map[string]credential {
	k.Helper()
	now := k.delivered()
	output := k.files("kratix/output")
	k.quiet(func() { k.apply(request) })
	same := func(a, b map[string]string) bool {
		for name := range a {
			if !strings.HasSuffix(name, " written") && a[name] != b[name] {
				return false
			}
		}
		return len(a) == len(b)
	}
	if !same(output, k.files("kratix/output")) {
		k.Errorf("with nothing to do the output changed")
	}
	if len(now) != len(clusters) {
		k.Errorf("delivered to %v", slices.Sorted(maps.Keys(now)))
	}
	k.counted(k.rows())
	k.apply(k.commerce())
	rows := k.rows()
	for _, r := range rows {
		delivered, former := r.User == now[r.Destination].user, r.User == k.was[r.Destination].user
		switch {
		case r.State == ledger.Intended:
			k.Errorf("generation %d on %s is still %s", r.Generation, r.Destination, r.State)
		case delivered && r.State != ledger.Active:
			k.Errorf("generation %d on %s is delivered and %s", r.Generation, r.Destination, r.State)
		case delivered && !former && !slices.Contains(reasons, r.Reason):
			k.Errorf("generation %d on %s was issued for the reason %q", r.Generation, r.Destination, r.Reason)
		case !delivered && !former && r.State != ledger.Retired:
			k.Errorf("generation %d on %s was never delivered and is %s", r.Generation, r.Destination, r.State)
		}
		delete(k.known, r.User)
	}
	if len(k.known) > 0 {
		k.Errorf("forgotten: %v", slices.Collect(maps.Keys(k.known)))
	}
	// Here and not before the account's run, which may only take away.
	for cluster, c := range now {
		k.connects("the credential of "+cluster, c)
	}
	k.retired(rows)
	return now
}

// retired makes sure that the server refuses whom a ledger has retired, and nobody
// else.
func (k *killed) retired(rows []ledger.Record) {
	k.Helper()
	revocations := k.account().Revocations
	for _, r := range rows {
		if until, has := revocations[r.User]; (r.State == ledger.Retired) != has || has && until < r.Expires.Unix() {
			k.Errorf("generation %d on %s is %s, and revoked: %t until %v, while it expires at %v", r.Generation, r.Destination, r.State, has, time.Unix(until, 0), r.Expires)
		}
	}
	k.counted(rows)
}

// counted makes sure that no former credential was forgotten in its namespace's count:
// who was killed may have counted one twice.
func (k *killed) counted(rows []ledger.Record) {
	k.Helper()
	count, err := churn.Store{Client: k.client}.Get(k.ctx, "commerce", "team-a")
	k.must(err)
	if got, want := count.Left(k.now), churn.Former("commerce", rows, k.now).Left(k.now); got < want {
		k.Errorf("%d former credentials are counted, and there are %d", got, want)
	}
}

// revoked makes sure that what was delivered before is refused, and what is now
// works.
func (k *killed) revoked(now map[string]credential) {
	k.Helper()
	for cluster, c := range k.was {
		k.refused("the former credential of "+cluster, c)
		k.connects("the credential of "+cluster, now[cluster])
	}
	k.retired(k.rows())
	for cluster, c := range k.delivered() {
		if c.document != now[cluster].document {
			k.Errorf("the credential of %s has changed", cluster)
		}
	}
}

// waits is a deletion that cannot end yet.
func (k *killed) waits() {
	k.Helper()
	_, err := k.run(kratix.Delete, orders(""))
	if err == nil || !strings.Contains(err.Error(), "2 credentials of NatsUser team-a/orders are not revoked yet: NatsAccount commerce was asked to") {
		k.Errorf("the deletion: %v", err)
	}
	k.counted(k.rows())
}

// gone is a deletion that ends, and does nothing if it is asked once more.
func (k *killed) gone() {
	k.Helper()
	k.then = func(promise string, env []string) {
		k.quiet(func() {
			if p := k.stage(promise, env); p.code != 0 {
				k.Errorf("the deletion, once more: %s", p.said)
			}
		})
	}
	if _, err := k.run(kratix.Delete, orders("")); err != nil {
		k.Errorf("the deletion: %v", err)
		return
	}
	if _, err := k.client.Get(k.ctx, platform.NatsUser, "team-a", "orders"); !apierrors.IsNotFound(err) || len(k.delivered()) > 0 {
		k.Errorf("the request and what it delivered are still there: %v", err)
	}
	k.over()
}

// over makes sure that nothing of what was delivered connects any more.
func (k *killed) over() {
	k.Helper()
	for _, r := range k.rows() {
		if r.State != ledger.Retired {
			k.Errorf("generation %d on %s is %s", r.Generation, r.Destination, r.State)
		}
	}
	for cluster, c := range k.was {
		k.refused("the credential of "+cluster, c)
	}
	k.retired(k.rows())
}
