package natsuser

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// tries bounds how often a run starts over because the ledger was changed by
// another. Each of them has got something done.
const tries = 10

// carryOut brings the ledger in line with what is wanted: it claims the Secrets,
// issues what there is a reason for, and lets go of what is superseded. What it
// returns is committed.
func carryOut(ctx context.Context, run *workflow.Run, w world) (*ledger.Ledger, map[string]*cluster, error) {
	ledgers := ledger.Book{Client: run.Platform}
	for range tries {
		l, err := load(ctx, run, ledgers)
		if err != nil {
			return nil, nil, err
		}
		if err := see(ctx, run, l); err != nil {
			return nil, nil, err
		}
		held, err := settle(ctx, run, w, l)
		if err != nil {
			return nil, nil, err
		}
		clusters := survey(run, w, l, held)
		if err := issue(ctx, run, w, ledgers, l, clusters); err == nil {
			return l, clusters, askAccounts(ctx, run, l)
		} else if !errors.Is(err, ledger.ErrConflict) {
			return nil, nil, err
		}
	}
	return nil, nil, ledger.ErrConflict
}

// tolerance is by how much the clocks of nodes and of the API server may differ.
const tolerance = 10 * time.Minute

// checkClock compares the time of this run with that of the API server, which
// tells when the ledger was written last: earlier than that it cannot be, and not
// much later than a write of this run's. With a wrong clock credentials would be
// issued that have expired already, or live for years.
func checkClock(now, server time.Time, fresh bool) error {
	if server.IsZero() || !now.Before(server.Add(-tolerance)) && (!fresh || !now.After(server.Add(tolerance))) {
		return nil
	}
	return workflow.Fail("ClockOff", fmt.Errorf("the clock says %s, and the API server's said %s: set the clock of the node that runs the pipeline",
		stamp(now), stamp(server)))
}

// load reads the ledger and makes it whole: with what is delivered and not in it,
// and for the incarnation of the request that this run is for.
func load(ctx context.Context, run *workflow.Run, ledgers ledger.Book) (*ledger.Ledger, error) {
	l, err := ledgers.Get(ctx, run.Identity)
	if err != nil {
		return nil, err
	}
	if err := checkClock(run.Now, l.ServerTime(), false); err != nil {
		return nil, err
	}
	uid := string(run.Request.GetUID())
	if l.Tombstone != nil {
		// This incarnation is being deleted, or it is a new one. Asked again, because
		// a deletion may have begun after this run did.
		stored, err := run.Platform.Get(ctx, platform.NatsUser, run.Identity.Namespace, run.Identity.Name)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("NatsUser %s cannot be read: %w", run.Identity, err)
		}
		if !run.DryRun && (err != nil || stored.GetDeletionTimestamp() != nil || string(stored.GetUID()) != uid) {
			return nil, workflow.Stop(fmt.Errorf("NatsUser %s is being deleted: nothing is issued for it any more", run.Identity))
		}
		for i := range l.Rows { // what belongs to the former one
			if r := &l.Rows[i]; r.State == ledger.Active || r.State == ledger.Intended {
				r.State = ledger.Retiring
			}
		}
		l.Tombstone = nil
	}
	l.UID, l.MissingSince = uid, time.Time{}
	credential.Import(l, delivered(run.Last), run.Now)
	return l, nil
}

// remember looks after the ledger of a request that is refused, and returns why it
// is: what is delivered goes on, and must not be forgotten if its ledger was lost
// meanwhile; what was superseded goes when its time has come, if the spec tells
// when that is.
func remember(ctx context.Context, run *workflow.Run, w world, refused error) error {
	ledgers := ledger.Book{Client: run.Platform}
	l, err := load(ctx, run, ledgers)
	if err != nil {
		return err
	}
	if !l.Exists() && len(l.Rows) == 0 {
		return refused
	}
	if w.user != nil {
		if err := see(ctx, run, l); err != nil {
			return err
		}
		all := func(string) bool { return true } // no cluster is left, and accounts know what they can revoke
		t := overlapOf(w.user)
		t.Served, t.Revocable = all, all
		credential.Tend(l, t, run.Now)
	}
	if err := ledgers.Save(ctx, l); err != nil && !errors.Is(err, ledger.ErrConflict) {
		return err
	}
	return cmp.Or(askAccounts(ctx, run, l), sayCutOff(l, refused))
}

// sayCutOff adds to why a request is refused which clusters have a credential that
// somebody has revoked: what the request asks for now is not to be had, so nothing
// takes its place.
func sayCutOff(l *ledger.Ledger, refused error) error {
	var names []string
	for i := range l.Rows {
		if r := &l.Rows[i]; !r.Revoked.IsZero() && r == l.Current(r.Destination) {
			names = append(names, r.Destination)
		}
	}
	var failure *workflow.Failure
	if len(names) == 0 || !errors.As(refused, &failure) {
		return refused
	}
	return workflow.Fail(failure.Reason, fmt.Errorf("%w; until that is mended nothing takes the place of the credentials that somebody has revoked, on %s", failure.Err, strings.Join(names, ", ")))
}

// issue makes a generation for each cluster that has a reason. Its intent is
// committed before, and its ciphertext after.
func issue(ctx context.Context, run *workflow.Run, w world, ledgers ledger.Book, l *ledger.Ledger, clusters map[string]*cluster) error {
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
		err := issueBatch(ctx, run, w, ledgers, l, clusters, batch)
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
	return ledgers.Save(ctx, l)
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
	if _, ok := errors.AsType[*provider.TooLargeError](err); ok {
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

func issueBatch(ctx context.Context, run *workflow.Run, w world, ledgers ledger.Book, l *ledger.Ledger, clusters map[string]*cluster, names []string) error {
	expires := run.Now.Add(w.user.Spec.Credentials.TTL.Value()).Truncate(time.Second)
	if run.DryRun { // nobody is to have one that works and that no ledger knows
		expires = run.Now
	}
	versions, err := versions(ctx, run, names)
	if err != nil {
		return err
	}
	identities := map[string]provider.Identity{}
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
	if err := ledgers.Save(ctx, l); err != nil {
		return err
	}
	if err := checkClock(run.Now, l.ServerTime(), true); err != nil {
		return err
	}
	issue := func(name string) (provider.Credential, error) {
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
	var nothing *provider.NotMadeError
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
	return ledgers.Save(ctx, l)
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
func contents(d ledger.Delivery, c provider.Credential) map[string][]byte {
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

// patience is how many attempts may fail in a day with the account asked to clear up
// after each, which then has it tried again: else the two would ask each other without
// end. Afterwards all takes its course.
const patience = 3

// askAccounts has those accounts reconcile that are to revoke something.
func askAccounts(ctx context.Context, run *workflow.Run, l *ledger.Ledger) error {
	failed := 0
	for _, r := range l.Rows {
		if r.User == "" {
			failed++
		}
	}
	asked := map[string]bool{}
	for _, r := range l.Rows {
		if r.State == ledger.Retiring && (r.User != "" || failed <= patience) {
			asked[r.Basis.Account] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if err := run.Ask(ctx, platform.NatsAccount, account.Namespace, name); err != nil {
			return err
		}
	}
	return nil
}

// retiringAt returns the accounts that are to revoke something.
func retiringAt(l *ledger.Ledger) []string {
	names := map[string]bool{}
	for _, r := range l.Rows {
		if r.State == ledger.Retiring {
			names[r.Basis.Account] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
