package natsuser

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/issuer"
	"github.com/baleen-platform/baleen/internal/issuer/jwt"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// issue makes a generation for each cluster that has a reason. Its intent is
// committed before, and its ciphertext after.
func issue(ctx context.Context, run *workflow.Run, w world, l *ledger.Ledger, clusters map[string]*cluster) error {
	renew(run, l, clusters)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		if clusters[name].reason != "" {
			names = append(names, name)
		}
	}
	if len(names) > 0 { // each has another name, and the longest makes the largest JWT
		longest := slices.MaxFunc(names, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
		size, err := try(run, w, clusters[longest].want)
		if err != nil {
			return err
		}
		if err := l.Room(roomFor(l, names, size)); err != nil {
			return workflow.Fail("LedgerFull", err)
		}
	}
	credential.Tend(l, terms(w), run.Now)
	for batch := range slices.Chunk(names, w.account.Issuer.AtOnce()) {
		err := issueBatch(ctx, run, w, l, clusters, batch)
		var failure *workflow.Failure
		if errors.As(err, &failure) && failure.Reason == issueFailed { // what was issued before counts, and the next run goes on
			postpone(clusters, names[slices.Index(names, batch[0]):], failure.Err)
			break
		}
		if err != nil {
			return err
		}
	}
	credential.Tend(l, terms(w), run.Now)
	if err := abandonGone(ctx, run, w, l); err != nil {
		return err
	}
	return ledgers(run).Save(ctx, l)
}

// issueFailed is the reason where the issuer cannot be reached, or refuses.
const issueFailed = "IssueFailed"

// postpone leaves clusters to a later run.
func postpone(clusters map[string]*cluster, names []string, why error) {
	for _, name := range names {
		clusters[name].problemReason, clusters[name].problem = issueFailed, fmt.Sprintf("no credential (%s) could be issued for %s: %v; a later run tries again", clusters[name].reason, name, why)
	}
}

// renew writes down when each cluster's next generation is due: the spec may have
// moved that.
func renew(run *workflow.Run, l *ledger.Ledger, clusters map[string]*cluster) {
	for name, c := range clusters {
		if current := l.Current(name); current != nil {
			current.Renews = credential.RenewAt(run.Identity, *current, c.want.RenewBefore)
		}
	}
}

// try makes one user that is forgotten at once, and renders what could be delivered
// of it, so that what cannot be issued or emitted is refused before anything is
// written, and before anything is revoked for its sake. It returns how many bytes
// its ciphertext has.
func try(run *workflow.Run, w world, want credential.Want) (size int, err error) {
	name := want.Destination
	made, err := w.account.Issuer.Sample(w.account.UserName(run.Identity, name, 1<<31), w.account.Grant(w.user, name))
	if _, ok := errors.AsType[*jwt.TooLargeError](err); ok {
		return 0, workflow.Fail("GrantTooLarge", err)
	}
	if err != nil {
		return 0, workflow.Fail("GrantRefused", err)
	}
	const sealing = 544 // what comes on top, with a key of 4096 bits
	sample := ledger.Row{Destination: name, Basis: want.Basis, Ciphertext: map[string]string{}}
	for key, value := range contents(want.Basis.Delivery, made) {
		sample.Ciphertext[key] = "sealed"
		size += (len(value) + sealing) * 4 / 3
	}
	rendered, err := values(run, w, sample)
	if err != nil {
		return 0, err
	}
	if _, err := w.templates.Render(rendered); err != nil {
		return 0, workflow.Fail("RenderFailed", err)
	}
	return size, nil
}

func issueBatch(ctx context.Context, run *workflow.Run, w world, l *ledger.Ledger, clusters map[string]*cluster, names []string) error {
	expires := run.Now.Add(w.user.Spec.Credentials.TTL.Value()).Truncate(time.Second)
	if run.DryRun { // nobody is to have one that works and that no ledger knows
		expires = run.Now
	}
	versions, err := versions(ctx, run, names)
	if err != nil {
		return err
	}
	identities := map[string]issuer.Identity{}
	made := map[string]ledger.Row{}
	for _, name := range names {
		generation := l.Next(name)
		identity, err := w.account.Issuer.Propose(w.account.UserName(run.Identity, name, generation))
		if err != nil {
			return err
		}
		identities[name] = identity
		made[name] = ledger.Row{
			Destination: name, Generation: generation, State: ledger.Intended, User: identity.User, Reason: string(clusters[name].reason),
			Issued: run.Now.Truncate(time.Second), Expires: expires, Basis: clusters[name].want.Basis, Earlier: credential.EarlierOf(l, name),
			Version: versions[name],
		}
		l.Add(made[name])
	}
	if err := ledgers(run).Save(ctx, l); err != nil {
		return err
	}
	if err := checkClock(run.Now, l.ServerTime(), true); err != nil {
		return err
	}
	issue := func(name string) (issuer.Credential, error) {
		grant := w.account.Grant(w.user, name)
		if run.DryRun {
			c, err := w.account.Issuer.Sample(identities[name].Name, grant)
			c.Expires = expires
			return c, err
		}
		return w.account.Issuer.Issue(ctx, identities[name], grant, expires)
	}
	rows := make([]ledger.Row, len(names))
	err = concurrently(len(names), func(i int) error {
		row := made[names[i]]
		c, err := issue(names[i])
		if err != nil {
			return workflow.Fail(issueFailed, err)
		}
		row.State, row.User, row.ID, row.Settings, row.Expires = ledger.Active, c.User, c.ID, c.Settings, c.Expires
		d := row.Basis.Delivery
		row.Ciphertext, err = clusters[names[i]].certificate.Seal(d.Namespace, d.Name, contents(d, c))
		rows[i] = row
		return err
	})
	var nothing *issuer.NotMadeError
	if errors.As(err, &nothing) && len(names) == 1 { // nobody need look for it
		l.Remove(names[0], made[names[0]].Generation)
	}
	if err != nil {
		return err
	}
	for i, name := range names {
		row := rows[i]
		row.Renews = credential.RenewAt(run.Identity, row, clusters[name].want.RenewBefore)
		l.Add(row)
	}
	credential.Tend(l, terms(w), run.Now) // the former ciphertext goes with the same commit
	return ledgers(run).Save(ctx, l)
}

// roomFor is how many bytes a generation for each of some clusters adds: its
// ciphertext takes the place of the former one where there is one.
func roomFor(l *ledger.Ledger, names []string, ciphertext int) int {
	const row = 1 << 10
	more := 0
	for _, name := range names {
		more += row
		if l.Current(name) == nil {
			more += ciphertext
		}
	}
	return more
}

// concurrently calls do for 0 to n-1 on all processors, and returns the first error
// in that order.
func concurrently(n int, do func(i int) error) error {
	errs := make([]error, n)
	workers := min(n, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for i := worker; i < n; i += workers {
				errs[i] = do(i)
			}
		})
	}
	wait.Wait()
	return cmp.Or(errs...)
}

// contents are the keys of the Secret.
func contents(d ledger.Delivery, c issuer.Credential) map[string][]byte {
	all := map[string][]byte{}
	switch v1alpha1.Format(d.Format) {
	case v1alpha1.JWTAndSeed:
		all["jwt"], all["seed"] = []byte(c.JWT), c.Seed
	case v1alpha1.Env:
		all["NATS_URL"], all["NATS_CREDS"], all["NATS_JWT"], all["NATS_SEED"] = []byte(d.Servers), c.File, []byte(c.JWT), c.Seed
	default:
		all[d.Key] = c.File
	}
	if d.Retain == ledger.RetainNothing {
		all[ledger.KeepKey] = []byte("retain: Nothing")
	}
	return all
}
