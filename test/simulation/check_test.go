package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

func (w *world) clusterNames() []string { return slices.Sorted(maps.Keys(w.clusters)) }

// record keeps a credential that was delivered and returns whose it is.
func (w *world) record(data map[string]string) (user string) {
	creds := []byte(data["nats.creds"] + data["NATS_CREDS"])
	if data["jwt"] != "" {
		var err error
		creds, err = jwt.FormatUserConfig(data["jwt"], []byte(data["seed"]))
		w.must(err)
	}
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		return ""
	}
	claims, err := jwt.DecodeUserClaims(token)
	w.must(err)
	w.issued[claims.Subject] = issued{creds, claims}
	return claims.Subject
}

// changed looks at a Secret whose credential is another one now.
func (w *world) changed(c *cluster, name string, s *secret, user string) {
	if slices.Contains(s.users, user) {
		w.t.Errorf("the Secret %s on %s went back to %s, after %q", name, c.name, user, s.users)
	}
	s.users = append(s.users, user)
	if w.seen[user] != s.owner {
		w.t.Errorf("the Secret %s on %s has a credential of %s, which is in no ledger of %s", name, c.name, user, s.owner)
	}
	for _, l := range w.ledgers() {
		for _, r := range l.Records {
			if r.User == user && !slices.Contains(reasons, r.Reason) {
				w.t.Errorf("the Secret %s on %s changed for the reason %q", name, c.name, r.Reason)
			}
		}
	}
}

var reasons = []string{"FirstIssue", "DestinationAdded", "PreviousAttemptLost", "AccountChanged", "GrantChanged", "RotationRequested", "DeletedAtProvider",
	"SigningKeyChanged", "DeliveryChanged", "SealingCertificateGone", "Expired", "RenewalDue"}

// checkSealed makes sure, after a good run, that what is delivered can be unsealed,
// and that another run would do nothing.
func (w *world) checkSealed(r ref) {
	if ready, _, _ := w.ready(r); ready != "True" {
		return
	}
	for _, l := range w.ledgers() {
		if l.Request.Namespace != r.namespace || l.Request.Name != r.name {
			continue
		}
		for _, name := range w.clusterNames() {
			c := w.clusters[name]
			current := l.Current(name)
			if c.labels["environment"] != "prod" || current == nil {
				continue
			}
			if !slices.ContainsFunc(c.keys, func(k key) bool { return k.fingerprint == current.Basis.Certificate }) {
				w.t.Errorf("generation %d of %s on %s is sealed for a key that the cluster does not have", current.Generation, r, name)
			}
		}
	}
	if w.gitAway || w.random.IntN(40) > 0 || len(w.jobs) > 0 {
		return
	}
	// The runs after a change note that it was delivered, and retire what is not
	// served any more. Then nothing is left to do. The documents stay all the time.
	documents := w.versions(platform.Work)
	for range 3 {
		w.rerun(r)
	}
	before := w.versions(platform.ConfigMap, platform.NatsUser, platform.Work, platform.WorkPlacement)
	if w.cloud != nil {
		w.cloud.ForgetRequests()
		defer func() {
			if asked := w.cloud.Requests(); len(asked) > 0 {
				w.t.Errorf("%s ran again with nothing to do, and asked the control plane %v", r, asked)
			}
		}()
	}
	w.rerun(r)
	maps.Copy(before, documents)
	for name, version := range w.versions(platform.ConfigMap, platform.NatsUser, platform.Work, platform.WorkPlacement) {
		if before[name] != version {
			w.t.Errorf("%s ran again with nothing to do, and changed %s", r, name)
		}
	}
}

// rerun runs a configure once more; what it does is not looked at again.
func (w *world) rerun(r ref) {
	was := w.random
	defer func() { w.random = was }()
	w.rerunning = true
	defer func() { w.rerunning = false }()
	w.run(r, kratix.Configure, fault{})
}

func (w *world) versions(kinds ...platform.Kind) map[string]string {
	versions := map[string]string{}
	for _, kind := range kinds {
		objects, err := w.memory.List(w.ctx, kind, "", nil)
		w.must(err)
		for _, o := range objects {
			versions[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = o.GetResourceVersion()
		}
	}
	return versions
}

// check looks at everything that must hold at any time.
func (w *world) check() {
	for _, name := range w.clusterNames() {
		w.sync(w.clusters[name])
	}
	token, err := w.nats.Token(w.accountID)
	w.must(err)
	// Connections are tried when something has changed that they depend on.
	state := token
	for _, name := range w.clusterNames() {
		for _, s := range slices.Sorted(maps.Keys(w.clusters[name].secrets)) {
			state += name + s + fmt.Sprint(w.clusters[name].secrets[s].users)
		}
	}
	if state == w.checked {
		return
	}
	w.checked = state
	claims, err := w.nats.Account(w.accountID)
	w.must(err)
	for user := range claims.Revocations {
		if _, ours := w.seen[user]; !ours && user != jwt.All && w.cloud == nil {
			w.t.Errorf("%s is revoked, and no ledger ever had it", user)
		}
	}
	w.must(w.nats.While(func() error {
		for _, name := range w.clusterNames() {
			for s, secret := range w.clusters[name].secrets {
				w.checkHeld(w.clusters[name], s, secret)
			}
		}
		w.checkRetired(claims)
		return nil
	}))
}

// settling is how long a cluster may take to get what is new for it: Git and the
// cluster itself may be away.
const settling = 300 * time.Hour

// checkHeld makes sure that what a cluster holds connects, and may do what was
// granted and nothing else.
func (w *world) checkHeld(c *cluster, name string, s *secret) {
	o := w.get(s.owner)
	if o == nil || o.GetDeletionTimestamp() != nil || c.labels["environment"] != "prod" || time.Since(w.left[c.name]) < settling || s.plain == nil {
		return
	}
	user := s.users[len(s.users)-1]
	claims := w.issued[user].claims
	if made := w.user(s.owner).made; claims.IssuedAt < made.Unix() && time.Since(made) < settling {
		return // of a request that was deleted, and what is new has not come yet
	}
	if u := w.user(s.owner); w.cutOff[user] && (u.refused || time.Since(u.mended) < settling) {
		return // nothing takes its place until the request is mended, and delivered
	}
	conn, err := w.connect(user)
	if err != nil {
		w.t.Errorf("the credential %s in the Secret %s on %s does not connect (it expires %s): %v\n%s", user, name, c.name, time.Unix(claims.Expires, 0).UTC(), err, w.dump(c))
		return
	}
	defer conn.Close()
	granted := claims.Pub.Allow[0]
	if !strings.HasPrefix(granted, s.owner.namespace+".") {
		w.t.Errorf("%s was granted %s", s.owner, granted)
	}
	if err := try(conn, granted); err != nil {
		w.t.Errorf("%s may not publish to %s, which was granted: %v", user, granted, err)
	}
	for _, foreign := range []string{s.owner.namespace + ".z", "other.a"} {
		if err := try(conn, foreign); err == nil {
			w.t.Errorf("%s may publish to %s, which was not granted", user, foreign)
		}
	}
	if sub, err := conn.SubscribeSync(granted); err == nil {
		_ = sub
		if err := flush(conn); err == nil && conn.LastError() == nil {
			w.t.Errorf("%s may subscribe, which was not granted", user)
		}
	}
}

func (w *world) user(r ref) *user {
	return w.users[slices.IndexFunc(w.users, func(u *user) bool { return u.ref == r })]
}

func (w *world) connect(user string) (*nats.Conn, error) {
	totals.connections.Add(1)
	return w.nats.Connect(w.issued[user].creds)
}

// try publishes and returns what the server says of it.
func try(conn *nats.Conn, subject string) error {
	problem := make(chan error, 8)
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { problem <- err })
	if err := conn.Publish(subject, nil); err != nil {
		return err
	}
	if err := flush(conn); err != nil {
		return err
	}
	select {
	case err := <-problem:
		return err
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

// flush waits until the server has seen everything. The client's own Flush keeps
// its timers in a pool that outlives a test's bubble.
func flush(conn *nats.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return conn.FlushWithContext(ctx)
}

// checkRetired makes sure that no key can connect that was retired.
func (w *world) checkRetired(account *jwt.AccountClaims) {
	rows := map[string]ledger.Record{}
	done := map[ref]bool{}
	for _, l := range w.ledgers() {
		for _, r := range l.Records {
			rows[r.User] = r
		}
		done[ref{platform.NatsUser, l.Request.Namespace, l.Request.Name}] = l.Tombstone != nil && l.Tombstone.Done
	}
	for _, user := range slices.Sorted(maps.Keys(w.issued)) {
		row, known := rows[user]
		of := w.seen[user]
		if w.forgotten[user] || known && row.State != ledger.Retired && !done[of] || !known && w.get(of) != nil && w.dirty[of] {
			continue
		}
		claims := w.issued[user].claims
		if time.Now().Unix() >= claims.Expires || account.IsClaimRevoked(claims) {
			continue // the server says so too, as is tried on a few
		}
		if !account.SigningKeys.Contains(claims.Issuer) {
			continue
		}
		w.t.Errorf("%s of %s was retired (known: %t, state %q) and can still connect", user, of, known, row.State)
	}
}

// checkGenerations makes sure that nothing was issued but renewals, when they were due, and
// what somebody asked for: whatever goes wrong, and for however long.
func (w *world) checkGenerations() {
	type place struct {
		ref
		destination string
	}
	of := map[place][]generation{}
	for _, g := range w.made {
		at := place{g.of, g.destination}
		of[at] = append(of[at], g)
	}
	for at, generations := range of {
		slices.SortFunc(generations, func(a, b generation) int { return a.issued.Compare(b.issued) })
		n := map[credential.Reason]int{}
		for i, g := range generations {
			n[g.reason]++
			if g.reason == credential.RenewalDue && (i == 0 || g.issued.Sub(generations[i-1].issued) < soonest) {
				w.t.Errorf("%s on %s was renewed on %s, after %+v", at.ref, at.destination, g.issued, generations[max(0, i-1)])
			}
		}
		for _, why := range []credential.Reason{
			credential.AccountChanged, credential.GrantChanged, credential.RotationRequested, credential.DeletedAtProvider,
			credential.SigningKeyChanged, credential.DeliveryChanged, credential.SealingCertificateGone,
		} {
			if most := w.asked[why] + w.losses; why == credential.AccountChanged && n[why] > 0 || n[why] > most {
				w.t.Errorf("%s on %s was issued %d times for the reason %s, which there was %d times", at.ref, at.destination, n[why], why, most)
			}
		}
	}
}

// soonest is how soon after its issue a credential may be renewed: with the shortest of
// the teams' lives, their window and the whole jitter.
const soonest = (1200 - 480) * time.Hour * 9 / 10

// checkCounts makes sure, after a run of the account, that former credentials are counted
// as the ledgers have them.
func (w *world) checkCounts() {
	want := map[string]churn.Days{}
	for _, l := range w.ledgers() {
		want[l.Request.Namespace] = want[l.Request.Namespace].And(churn.Former(commerce.name, l.Records, time.Now()))
	}
	for _, namespace := range []string{"team-a", "team-b", "team-c"} {
		got, err := churn.Store{Client: w.memory}.Get(w.ctx, commerce.name, namespace)
		w.must(err)
		if got, want := got.Left(time.Now()), want[namespace].Left(time.Now()); got != want {
			w.t.Errorf("%d former credentials of %s are counted, and there are %d", got, namespace, want)
		}
	}
}

// calm ends all trouble, and makes sure that everything comes right.
func (w *world) calm() {
	w.note("calm")
	for _, t := range w.timers {
		t.do()
	}
	w.timers = nil
	w.gitReturns()
	for _, name := range w.clusterNames() {
		c := w.clusters[name]
		c.offline = time.Time{}
		c.labels["environment"] = "prod"
		w.edit(ref{platform.Destination, "", name}, func(o *unstructured.Unstructured) { o.SetLabels(c.labels) })
	}
	w.allDirty()
	round := func(pause time.Duration) {
		for _, r := range append([]ref{commerce}, w.refs()...) {
			w.runAny(r, fault{})
		}
		w.serveLabels()
		w.check()
		time.Sleep(pause)
	}
	round(interval)
	for _, u := range w.users {
		if o := w.get(u.ref); o != nil && o.GetDeletionTimestamp() != nil {
			w.tryDelete(u)
		}
		if w.get(u.ref) == nil || !u.gone {
			w.apply(u)
		} else {
			w.t.Errorf("%s cannot be deleted", u.ref)
		}
	}
	for range 8 { // longer than any overlap
		round(45 * time.Hour)
	}
	for _, u := range w.users {
		if ready, reason, message := w.ready(u.ref); ready != "True" {
			w.t.Errorf("%s is not ready: %s: %s", u.ref, reason, message)
		}
		section := section(u, "secret")
		for _, name := range w.clusterNames() {
			s := w.clusters[name].secrets[u.namespace+"/"+section["name"].(string)]
			if s == nil {
				w.t.Errorf("%s has no Secret on %s", u.ref, name)
				continue
			}
			if s.plain == nil {
				continue // a cluster that was built anew, where nothing is kept
			}
			claims := w.issued[s.users[len(s.users)-1]].claims
			want := u.spec["permissions"].(map[string]any)["publish"].(map[string]any)["allow"].([]any)[0]
			if claims.Pub.Allow[0] != want {
				w.t.Errorf("%s on %s was granted %s, and asked for %s", u.ref, name, claims.Pub.Allow[0], want)
			}
		}
	}
	w.checkGenerations()
	w.run(commerce, kratix.Configure, fault{})
	w.checkCounts()
	if ready, reason, message := w.ready(commerce); ready != "True" {
		w.t.Errorf("%s is not ready: %s: %s", commerce, reason, message)
	}
	w.checkCloud()
	w.note("everything is deleted")
	for _, u := range w.users {
		w.delete(u, false)
	}
	for range 2 { // what failed half way is tried again
		w.run(commerce, kratix.Configure, fault{})
		w.serveLabels()
	}
	if w.cloud != nil {
		for range 3 { // what nobody wrote down is found within a day, and goes within another
			time.Sleep(25 * time.Hour)
			w.run(commerce, kratix.Configure, fault{})
		}
		w.checkCloud()
	}
	w.checked = ""
	w.check()
	for _, u := range w.users {
		if w.get(u.ref) != nil {
			w.t.Errorf("%s cannot be deleted", u.ref)
		}
	}
	for _, l := range w.ledgers() {
		if l.Tombstone == nil || !l.Tombstone.Done || l.Count(ledger.Retired) != len(l.Records) {
			w.t.Errorf("the ledger of %s is not done with: %+v, %d rows, %d retired", l.Request, l.Tombstone, len(l.Records), l.Count(ledger.Retired))
		}
	}
	for _, name := range w.clusterNames() {
		if n := len(w.clusters[name].secrets); n > 0 {
			w.t.Errorf("%d Secrets are left on %s", n, name)
		}
	}
	// The servers agree with the books.
	w.must(w.nats.While(func() error {
		for _, user := range slices.Sorted(maps.Keys(w.issued)) {
			if conn, err := w.connect(user); err == nil {
				conn.Close()
				if !w.forgotten[user] {
					w.t.Errorf("%s of %s can connect after everything was deleted", user, w.seen[user])
				}
			}
		}
		return nil
	}))
}

// dump shows what is known of a cluster, for a failure.
func (w *world) dump(c *cluster) string {
	var b strings.Builder
	for _, l := range w.ledgers() {
		for _, r := range l.Records {
			if r.Destination == c.name {
				fmt.Fprintf(&b, "%s g%d %s %s %s issued %s expires %s written %s keys %d retain %s\n", l.Request, r.Generation, r.State, r.User[:8], r.Reason,
					r.Issued.Format("01-02 15:04"), r.Expires.Format("01-02 15:04"), r.Written.Format("01-02 15:04"), len(r.Ciphertext), r.Basis.Delivery.Retain)
			}
		}
	}
	for name, files := range c.git {
		for file := range files {
			fmt.Fprintf(&b, "git %s %s\n", name, file)
		}
	}
	for name, s := range c.secrets {
		fmt.Fprintf(&b, "secret %s %v\n", name, s.users)
	}
	fmt.Fprintf(&b, "now %s offline until %s", time.Now().UTC(), c.offline.UTC())
	return b.String()
}
