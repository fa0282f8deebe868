package natsuser

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// issuance makes a generation for each cluster that has a reason.
type issuance struct {
	run      *workflow.Run
	in       inputs
	l        *ledger.Ledger
	clusters []*cluster
	bill     *bill
}

// attempt is one identity that is being made.
type attempt struct {
	*cluster

	identity provider.Identity
	record   ledger.Record
}

// fulfil issues what there is a reason for, retires what is superseded, and commits
// that.
func (i issuance) fulfil(ctx context.Context) error {
	i.renew()
	i.measure()
	if err := i.issue(ctx); err != nil {
		return err
	}
	i.advance()
	if err := abandonGone(ctx, i.run, i.in, i.l); err != nil {
		return err
	}
	return i.save(ctx, bound{})
}

func (i issuance) save(ctx context.Context, within bound) error {
	return save(ctx, i.run, i.l, i.bill, within)
}

// renew writes down when each cluster's next generation is due: the spec may have
// moved that.
func (i issuance) renew() {
	for _, c := range i.clusters {
		if current := i.l.Current(c.want.Destination); current != nil {
			current.Renews = credential.RenewAt(i.run.Identity, *current, c.want.RenewBefore)
		}
	}
}

// issue issues on all clusters, as many at once as may be lost. If the issuer fails,
// what was issued before counts, and a later run goes on.
func (i issuance) issue(ctx context.Context) error {
	i.advance() // what has expired makes room
	var due []*cluster
	for _, c := range i.clusters {
		if c.reason != "" {
			due = append(due, c)
		}
	}
	due, err := i.fits(due)
	if err != nil || len(due) == 0 {
		return err
	}
	if err := pay(ctx, i.run, i.l, i.bill, bound{}); err != nil { // what goes by itself, nobody asks for
		return err
	}
	for batch := range slices.Chunk(due, i.in.account.Issuer.AtOnce()) {
		err := i.issueAtOnce(ctx, batch)
		var failure *workflow.Failure
		if errors.As(err, &failure) && failure.Reason == reason.IssueFailed {
			postpone(due[slices.Index(due, batch[0]):], failure.Err)
			break
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// postpone leaves clusters to a later run.
func postpone(clusters []*cluster, why error) {
	for _, c := range clusters {
		c.problem = problem{reason.IssueFailed, fmt.Sprintf("no credential (%s) could be issued for %s: %v; a later run tries again", c.reason, c.want.Destination, why)}
	}
}

// advance retires what is superseded.
func (i issuance) advance() { credential.Advance(i.l, terms(i.in), i.run.Now) }

// fits makes sure that what is to be issued can be issued, emitted and kept, before
// anything is written, and before anything is revoked for its sake. It returns what there
// is room for: where that is not all, renewals that are due.
func (i issuance) fits(clusters []*cluster) ([]*cluster, error) {
	if len(clusters) == 0 {
		return nil, nil
	}
	// Each has another name, and the longest makes the largest JWT.
	longest := slices.MaxFunc(clusters, func(a, b *cluster) int { return cmp.Compare(len(a.want.Destination), len(b.want.Destination)) })
	size, sample, err := i.try(longest.want)
	if err != nil {
		return nil, err
	}
	clusters = i.emittable(clusters, sample)
	full := i.l.Room(roomFor(i.l, clusters, size))
	if full == nil {
		return clusters, nil
	}
	var renewals []*cluster
	for _, c := range clusters {
		if i.l.Current(c.want.Destination) != nil && due(i.l, c.want, i.run.Now) {
			renewals = append(renewals, c)
			continue
		}
		c.problem = problem{reason.LedgerFull, fmt.Sprintf("%s gets no credential (%s): %v", c.want.Destination, c.reason, full)}
	}
	return renewals, nil
}

// emittable returns those of some clusters for which Kratix can keep the documents too: each
// is as large as a sample or as what it takes the place of, and all else stays.
func (i issuance) emittable(clusters []*cluster, sample map[string][]byte) []*cluster {
	nothing := kratix.WorkSize(nil)
	sizeOf := func(files map[string][]byte) int { return kratix.WorkSize(destination.Output{"": files}) - nothing }
	size, has := nothing, map[string]int{}
	for name, files := range i.run.Last {
		if slices.Contains(i.in.placement.Placed, name) || slices.Contains(i.in.kept, name) {
			has[name] = sizeOf(files)
			size += has[name]
		}
	}
	most, each := kratix.MaxOf(i.run.Last), sizeOf(sample)
	var fit []*cluster
	for _, c := range clusters {
		name := c.want.Destination
		more, n := max(0, each-has[name]), len(has)
		if has[name] == 0 {
			n++
		}
		if full := workflow.Fits(n, size+more, most); full != nil && more > 0 {
			c.problem = problem{reason.OutputTooLarge, fmt.Sprintf("%s gets no credential (%s): %v", name, c.reason, full)}
			continue
		}
		size, has[name] = size+more, has[name]+more
		fit = append(fit, c)
	}
	return fit
}

// try makes one user that is forgotten at once, and renders what could be delivered
// of it: files by name, as large as they would be. It returns how many bytes its
// ciphertext has.
func (i issuance) try(want credential.Want) (size int, files map[string][]byte, err error) {
	name := want.Destination
	made, err := i.sample(name)
	if _, ok := errors.AsType[*provider.TooLargeError](err); ok {
		return 0, nil, workflow.Fail(reason.GrantTooLarge, err)
	}
	if err != nil {
		return 0, nil, workflow.Fail(reason.GrantRefused, err)
	}
	const sealing = 544 // what comes on top, with a key of 4096 bits
	sample := ledger.Record{Destination: name, Basis: want.Basis, Ciphertext: map[string]string{}}
	noise := rand.NewChaCha8([32]byte{}) // which cannot be compressed, as ciphertext cannot
	for key, value := range contents(want.Basis.Delivery, made) {
		data := make([]byte, len(value)+sealing)
		_, _ = noise.Read(data) // does not fail
		sample.Ciphertext[key] = base64.StdEncoding.EncodeToString(data)
		size += len(data) * 4 / 3
	}
	rendered, err := documents(i.run, i.in, sample)
	files = map[string][]byte{}
	for _, d := range rendered {
		files[d.File()] = d.YAML
	}
	return size, files, err
}

func (i issuance) sample(destination string) (provider.Credential, error) {
	return i.in.account.Issuer.Sample(i.in.account.UserName(i.run.Identity, destination, 1<<31), i.in.account.Grant(i.in.user, destination))
}

// measure refuses what the servers would not take, cluster by cluster, since a JWT has the
// cluster's name. What was issued all the same, by an older version, goes on.
func (i issuance) measure() {
	if i.in.account.MaxJWTBytes == 0 {
		return
	}
	for _, c := range i.clusters {
		name := c.want.Destination
		made, err := i.sample(name)
		if err == nil {
			err = i.in.account.Fits(i.in.account.Grant(i.in.user, name), len(made.JWT))
		} else {
			err = nil // which is said where something is issued
		}
		switch {
		case err == nil:
		case c.goesOn(i.l):
			c.futile = cmp.Or(c.futile, err)
		case c.reason != "":
			c.reason, c.problem = "", problem{reason.GrantTooLarge, fmt.Sprintf("%s gets no such credential: %v", name, err)}
		}
	}
}

// roomFor is how many bytes a generation for each of some clusters adds: its
// ciphertext takes the place of what the former one has.
func roomFor(l *ledger.Ledger, clusters []*cluster, ciphertext int) int {
	const record = 1 << 10
	more := 0
	for _, c := range clusters {
		has := 0
		if current := l.Current(c.want.Destination); current != nil {
			for _, value := range current.Ciphertext {
				has += len(value)
			}
		}
		more += record + max(0, ciphertext-has)
	}
	return more
}

// issueAtOnce issues on some clusters. The intent is committed before, and the
// ciphertext after.
func (i issuance) issueAtOnce(ctx context.Context, clusters []*cluster) error {
	attempts, err := i.propose(ctx, clusters)
	if err != nil {
		return err
	}
	if err := i.intend(ctx, attempts); err != nil {
		return err
	}
	if err := i.makeAll(ctx, attempts); err != nil {
		var nothing *provider.NotMadeError
		if errors.As(err, &nothing) && len(attempts) == 1 { // nobody need look for it
			return cmp.Or(takeBack(ctx, i.run, i.l, attempts[0].record), err)
		}
		return err
	}
	return i.commit(ctx, attempts)
}

// propose makes up an identity for each cluster.
func (i issuance) propose(ctx context.Context, clusters []*cluster) ([]*attempt, error) {
	placements, err := placements(ctx, i.run)
	if err != nil {
		return nil, err
	}
	var attempts []*attempt
	for _, c := range clusters {
		name := c.want.Destination
		generation := i.l.Next(name)
		identity, err := i.in.account.Issuer.Propose(i.in.account.UserName(i.run.Identity, name, generation))
		if err != nil {
			return nil, err
		}
		attempts = append(attempts, &attempt{c, identity, ledger.Record{
			Destination: name, Generation: generation, State: ledger.Intended, User: identity.User, Reason: string(c.reason),
			Issued: i.run.Now.Truncate(time.Second), Expires: i.expires(), Basis: c.want.Basis, Earlier: credential.EarlierOf(i.l, name),
			Version: versionOf(placements[name]),
		}})
	}
	return attempts, nil
}

// expires is when what is issued now does. In a dry run that is at once: nobody is to
// have one that works and that no ledger knows.
func (i issuance) expires() time.Time {
	if i.run.DryRun {
		return i.run.Now
	}
	return i.run.Now.Add(i.in.user.Spec.Credentials.TTL.Value()).Truncate(time.Second)
}

// intend writes down which identities are about to be made.
func (i issuance) intend(ctx context.Context, attempts []*attempt) error {
	within, besides := bound{}, 0
	for _, a := range attempts {
		if a.isWish(i.l, i.run.Now) {
			within = bound{i.in.account.Name, a.mostFormer}
		} else {
			besides += a.replaces(i.l, i.run.Now) // whatever there is, that goes on
		}
	}
	if within.most > 0 {
		within.most += besides
	}
	for _, a := range attempts {
		i.l.Add(a.record)
	}
	if err := i.save(ctx, within); err != nil {
		return err
	}
	return checkClock(i.run.Now, i.l.ServerTime(), true)
}

// makeAll makes and seals identities.
func (i issuance) makeAll(ctx context.Context, attempts []*attempt) error {
	return concurrently(len(attempts), func(n int) error {
		a := attempts[n]
		made, err := i.make(ctx, a)
		if err != nil {
			return workflow.Fail(reason.IssueFailed, err)
		}
		return a.seal(made)
	})
}

// make makes the identity of an attempt, and in a dry run one that connects nowhere.
func (i issuance) make(ctx context.Context, a *attempt) (provider.Credential, error) {
	grant := i.in.account.Grant(i.in.user, a.record.Destination)
	if !i.run.DryRun {
		return i.in.account.Issuer.Issue(ctx, a.identity, grant, a.record.Expires)
	}
	made, err := i.in.account.Issuer.Sample(a.identity.Name, grant)
	made.Expires = a.record.Expires
	return made, err
}

// seal makes the record of an attempt that of a credential that was made.
func (a *attempt) seal(made provider.Credential) (err error) {
	a.record.State, a.record.User, a.record.ID, a.record.Settings, a.record.Expires = ledger.Active, made.User, made.ID, made.Settings, made.Expires
	d := a.record.Basis.Delivery
	a.record.Ciphertext, err = a.certificate.Seal(d.Namespace, d.Name, contents(d, made))
	return err
}

// commit stores what was made. The former ciphertext goes with the same commit.
func (i issuance) commit(ctx context.Context, attempts []*attempt) error {
	for _, a := range attempts {
		a.record.Renews = credential.RenewAt(i.run.Identity, a.record, a.want.RenewBefore)
		i.l.Add(a.record)
	}
	i.advance()
	return i.save(ctx, bound{})
}

// concurrently calls do for 0 to n-1 on all processors, and returns the first error
// in that order: which of several is told must not depend on who is faster.
func concurrently(n int, do func(i int) error) error {
	errs := make([]error, n)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error {
			errs[i] = do(i)
			return errs[i]
		})
	}
	_ = group.Wait() // it would tell of the fastest
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
