package simulation

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

// interval is how often Kratix reconciles.
const interval = 10 * time.Hour

// event is something that happens; it returns false where it cannot.
type event struct {
	name   string
	weight int
	happen func(*world) bool
}

var events = []event{
	{"a team rotates in its spec", 6, func(w *world) bool {
		w.asked[credential.RotationRequested]++
		return w.change(func(u *user) { section(u, "credentials")["rotate"] = fmt.Sprint(w.random.Uint32()) })
	}},
	{"somebody runs baleen rotate for one cluster", 5, func(w *world) bool {
		w.asked[credential.RotationRequested]++
		u := w.someUser()
		if u == nil {
			return false
		}
		w.edit(u.ref, func(o *unstructured.Unstructured) {
			annotations := o.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[v1alpha1.RotateAnnotationPrefix+w.someCluster().name] = fmt.Sprint(w.random.Uint32())
			o.SetAnnotations(annotations)
		})
		w.dirty[u.ref] = true
		return true
	}},
	{"a team asks for other permissions", 6, func(w *world) bool {
		w.asked[credential.GrantChanged]++
		return w.change(func(u *user) {
			u.spec["permissions"] = map[string]any{"publish": map[string]any{"allow": []any{fmt.Sprintf("%s.%c", u.namespace, 'a'+w.random.IntN(5))}}}
		})
	}},
	{"a team renames its Secret", 4, func(w *world) bool {
		w.asked[credential.DeliveryChanged]++
		return w.change(func(u *user) { section(u, "secret")["name"] = fmt.Sprintf("%s-nats-%d", u.name, w.random.IntN(3)) })
	}},
	{"a team wants another format", 3, func(w *world) bool {
		w.asked[credential.DeliveryChanged]++
		return w.change(func(u *user) {
			section(u, "secret")["format"] = []string{"Creds", "JWTAndSeed", "Env"}[w.random.IntN(3)]
		})
	}},
	{"a team wants something kept, or not", 2, func(w *world) bool {
		w.asked[credential.DeliveryChanged]++
		return w.change(func(u *user) { u.spec["retain"] = []string{"Ciphertext", "Nothing"}[w.random.IntN(2)] })
	}},
	{"a team changes how long credentials live", 3, func(w *world) bool {
		return w.change(func(u *user) { section(u, "credentials")["ttl"] = fmt.Sprintf("%dh", 1200+w.random.IntN(900)) })
	}},
	{"a team asks for what it may not have, for two days", 2, func(w *world) bool {
		u := w.someUser()
		if u == nil {
			return false
		}
		u.spec["workloadNamespace"], u.refused = "elsewhere", true
		w.apply(u)
		w.later(48*time.Hour, "it takes that back", func() {
			delete(u.spec, "workloadNamespace")
			u.refused, u.mended = false, time.Now()
			if o := w.get(u.ref); o != nil && o.GetDeletionTimestamp() == nil {
				w.apply(u)
			}
		})
		return true
	}},
	{"a cluster is added", 3, func(w *world) bool {
		name := []string{"ap-1", "sa-1"}[w.random.IntN(2)]
		if w.clusters[name] != nil {
			return false
		}
		w.addCluster(name)
		w.allDirty()
		return true
	}},
	{"a cluster is relabelled", 4, func(w *world) bool {
		c := w.someCluster()
		w.left[c.name] = time.Now()
		c.labels["environment"] = map[string]string{"prod": "dev", "dev": "prod"}[c.labels["environment"]]
		w.edit(ref{platform.Destination, "", c.name}, func(o *unstructured.Unstructured) { o.SetLabels(c.labels) })
		w.allDirty()
		return true
	}},
	{"a sealing certificate is renewed", 4, func(w *world) bool {
		w.newKey(w.someCluster(), false)
		w.allDirty()
		return true
	}},
	{"a cluster is built anew with new keys", 3, func(w *world) bool {
		w.asked[credential.SealingCertificateGone]++
		c := w.someCluster()
		w.newKey(c, true)
		clear(c.secrets)
		w.allDirty()
		return true
	}},
	{"a cluster is built anew with its old keys", 3, func(w *world) bool {
		clear(w.someCluster().secrets)
		return true
	}},
	{"Git goes away for days", 5, func(w *world) bool {
		if w.gitAway {
			return false
		}
		w.gitAway = true
		w.later(time.Duration(10+w.random.IntN(140))*time.Hour, "Git is back", func() { w.gitReturns() })
		return true
	}},
	{"a cluster is offline for days", 5, func(w *world) bool {
		w.someCluster().offline = time.Now().Add(time.Duration(5+w.random.IntN(65)) * time.Hour)
		return true
	}},
	{"Kratix dies as it begins a run, and forgets it", 4, func(w *world) bool {
		u := w.someUser()
		if u == nil {
			return false
		}
		o := w.get(u.ref)
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		conditions = slices.DeleteFunc(conditions, func(c any) bool { return c.(map[string]any)["type"] == "ConfigureWorkflowCompleted" })
		w.must(unstructured.SetNestedSlice(o.Object, append(conditions, map[string]any{
			"type": "ConfigureWorkflowCompleted", "status": "False", "reason": "PipelinesInProgress", "message": "Pipelines are still in progress",
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		}), "status", "conditions"))
		_, err := w.memory.UpdateStatus(w.ctx, u.kind, o)
		w.must(err)
		w.stalled[u.ref] = time.Now()
		return true
	}},
	{"a status is lost", 3, func(w *world) bool {
		u := w.someUser()
		if u == nil {
			return false
		}
		o := w.get(u.ref)
		delete(o.Object, "status")
		_, err := w.memory.UpdateStatus(w.ctx, u.kind, o)
		w.must(err)
		w.dirty[u.ref] = true
		return true
	}},
	{"the account's status is lost", 1, func(w *world) bool {
		o := w.get(commerce)
		delete(o.Object, "status")
		_, err := w.memory.UpdateStatus(w.ctx, commerce.kind, o)
		w.must(err)
		w.dirty[commerce] = true
		return true
	}},
	{"a ledger is lost", 2, func(w *world) bool {
		w.losses++
		return w.eachLedger(func(l *unstructured.Unstructured) {
			w.forget(l.GetName(), nil)
			w.must(w.memory.Delete(w.ctx, platform.ConfigMap, l.GetNamespace(), l.GetName(), platform.Preconditions{}))
		})
	}},
	{"yesterday's ledgers are restored", 3, (*world).restoreLedgers},
	{"everything is restored with new UIDs", 2, (*world).restoreAll},
	{"the signing key is replaced", 2, func(w *world) bool {
		w.asked[credential.SigningKeyChanged]++
		if w.cloud != nil {
			return w.otherGroup()
		}
		seed, public := w.newSigningKey()
		claims, err := w.nats.Account(w.accountID)
		w.must(err)
		claims.SigningKeys.Add(public) // the old one stays until its last user has gone
		w.must(w.nats.Push(claims))
		w.edit(ref{platform.Secret, "baleen-system", "signing"}, func(o *unstructured.Unstructured) {
			o.Object["stringData"] = map[string]any{"seed": string(seed)}
		})
		w.allDirty()
		return true
	}},
	{"an old nsc push undoes the revocations", 3, func(w *world) bool {
		claims, err := w.nats.Account(w.accountID)
		w.must(err)
		if len(claims.Revocations) == 0 || w.tokenOut || w.nats.MaxPayload > 0 { // what is undone cannot be done again at once
			return false
		}
		if w.cloud == nil {
			claims.Revocations = nil
			w.must(w.nats.Push(claims))
		}
		for user := range claims.Revocations {
			w.inConsole(http.MethodDelete, "nats-user-revocations/"+user, nil)
		}
		w.run(commerce, kratix.Configure, fault{}) // the check asks for what was revoked at once
		return true
	}},
	{"somebody revokes a user by hand", 2, func(w *world) bool {
		w.asked[credential.DeletedAtProvider]++
		for _, l := range w.ledgers() {
			for _, r := range l.Records {
				if r.State != ledger.Active || w.random.IntN(3) > 0 || l.Tombstone != nil || r.User == "" { // of a lost ledger, not found yet
					continue
				}
				if w.tokenOut {
					return false // nothing could take its place
				}
				if w.cloud == nil {
					claims, err := w.nats.Account(w.accountID)
					w.must(err)
					claims.RevokeAt(r.User, time.Now())
					w.must(w.nats.Push(claims))
				} else {
					w.inConsole(http.MethodPut, "nats-user-revocations/"+r.User, map[string]any{"before": time.Now().Unix()})
				}
				if of := (ref{platform.NatsUser, l.Request.Namespace, l.Request.Name}); w.user(of).refused {
					w.cutOff[r.User] = true
				}
				w.run(commerce, kratix.Configure, fault{})
				w.serveLabels()
				w.gitReturns() // and does it while a new one can be delivered
				for _, c := range w.clusters {
					c.offline = time.Time{}
				}
				return true
			}
		}
		return false
	}},
	{"the account names another one, and servers that do not answer, for two days", 2, func(w *world) bool {
		if w.cloud != nil || w.tokenOut {
			return false
		}
		_, public := w.newSigningKey() // of an account that nobody has
		name := func(id, servers string) {
			w.edit(commerce, func(o *unstructured.Unstructured) {
				w.must(unstructured.SetNestedField(o.Object, id, "spec", "jwt", "accountID"))
				w.must(unstructured.SetNestedSlice(o.Object, []any{servers}, "spec", "jwt", "servers"))
			})
			w.dirty[commerce] = true
		}
		w.tokenOut = true
		name(public, nowhere)
		w.allDirty()
		w.later(48*time.Hour, "the account is named again", func() {
			w.tokenOut = false
			name(w.accountID, w.nats.URL())
			w.allDirty()
		})
		return true
	}},
	{"somebody revokes everybody, two days ahead", 1, (*world).revokeEverybody},
	{"the servers take smaller accounts, for two days", 2, (*world).shrink},
	{"a team makes and deletes a request again and again", 1, (*world).churn},
	{"an overlay renames what is sealed, for two days", 2, (*world).rename},
	{"the account is deleted, and made again a day later", 2, (*world).loseAccount},
	{"somebody deletes a user in the console", 2, (*world).deleteInConsole},
	{"somebody changes a user in the console", 2, (*world).changeInConsole},
	{"Synadia's token is revoked, and replaced after two days", 2, (*world).loseToken},
	{"a request is deleted", 5, func(w *world) bool {
		u := w.someUser()
		return u != nil && w.delete(u, false)
	}},
	{"a request is deleted while it is configured", 4, func(w *world) bool {
		u := w.someUser()
		return u != nil && w.delete(u, true)
	}},
	{"a request is removed by force", 2, func(w *world) bool {
		u := w.someUser()
		if u == nil {
			return false
		}
		w.edit(u.ref, func(o *unstructured.Unstructured) { o.SetFinalizers(nil) })
		w.must(w.memory.Delete(w.ctx, u.kind, u.namespace, u.name, platform.Preconditions{}))
		w.removeWorks(u.ref)
		u.gone = true
		return true
	}},
	{"a namespace terminates", 2, func(w *world) bool {
		u := w.someUser()
		if u == nil {
			return false
		}
		w.must(w.memory.Delete(w.ctx, u.kind, u.namespace, u.name, platform.Preconditions{}))
		w.removeWorks(u.ref)
		u.gone = true
		w.later(30*time.Hour, "the namespace is gone", func() {
			w.edit(u.ref, func(o *unstructured.Unstructured) { o.SetFinalizers(nil) })
		})
		return true
	}},
	{"a request is made again", 10, func(w *world) bool {
		for _, u := range w.users {
			if u.gone && w.get(u.ref) == nil {
				w.apply(u)
				return true
			}
		}
		return false
	}},
}

// section returns a part of a spec to write into.
func section(u *user, name string) map[string]any {
	if u.spec[name] == nil {
		u.spec[name] = map[string]any{}
	}
	return u.spec[name].(map[string]any)
}

// someUser returns a request that is there and not being deleted.
func (w *world) someUser() *user {
	var there []*user
	for _, u := range w.users {
		if o := w.get(u.ref); o != nil && o.GetDeletionTimestamp() == nil && !u.gone {
			there = append(there, u)
		}
	}
	if len(there) == 0 {
		return nil
	}
	return there[w.random.IntN(len(there))]
}

func (w *world) someCluster() *cluster {
	names := w.clusterNames()
	return w.clusters[names[w.random.IntN(len(names))]]
}

func (w *world) change(change func(*user)) bool {
	u := w.someUser()
	if u == nil {
		return false
	}
	change(u)
	w.apply(u)
	return true
}

func (w *world) allDirty() {
	for _, u := range w.users {
		w.dirty[u.ref] = true
	}
	w.dirty[commerce] = true
}

func (w *world) eachLedger(do func(*unstructured.Unstructured)) bool {
	objects, err := w.memory.List(w.ctx, platform.ConfigMap, "baleen-state", map[string]string{"baleen.dev/ledger": "true"})
	w.must(err)
	for i := range objects {
		// The ledger of a request that is gone is all that is left of it: it is part
		// of the backup, and nothing can make it again.
		if u := w.userOf(&objects[i]); u == nil || u.gone || w.get(u.ref) == nil {
			continue
		}
		do(&objects[i])
	}
	w.allDirty()
	return len(objects) > 0
}

func (w *world) userOf(l *unstructured.Unstructured) *user {
	for _, u := range w.users {
		if slices.ContainsFunc(w.ledgers(), func(known *ledger.Ledger) bool {
			return known.Request.Name == u.name && known.Request.Namespace == u.namespace && "ledger-"+known.Request.LongHash() == l.GetName()
		}) {
			return u
		}
	}
	return nil
}

// forget remembers whose keys nobody can know any more once a ledger is lost, or
// has the data that it had: those that are not delivered, were not there then,
// and do not stand in what is delivered as having come before it.
func (w *world) forget(name string, then any) {
	w.lost = true
	for _, l := range w.ledgers() {
		if "ledger-"+l.Request.LongHash() != name {
			continue
		}
		known := map[string]bool{}
		for _, r := range l.Records {
			if current := l.Current(r.Destination); current != nil {
				known[current.User] = true
				for _, e := range current.Earlier {
					known[e.User] = true
				}
			}
		}
		for _, r := range l.Records {
			if !known[r.User] && !strings.Contains(fmt.Sprint(then), r.User) {
				w.forgotten[r.User] = true
			}
		}
	}
}

func (w *world) newSigningKey() (seed []byte, public string) {
	pair, err := nkeys.CreateAccount()
	w.must(err)
	seed, err = pair.Seed()
	w.must(err)
	public, err = pair.PublicKey()
	w.must(err)
	return seed, public
}

// removeWorks takes away what a request delivers. With that go the keys that only
// this tells of: those issued after the ledger that was restored was copied, if no
// run has read them back.
func (w *world) removeWorks(r ref) {
	known := map[string]bool{}
	for _, l := range w.ledgers() {
		for _, row := range l.Records {
			known[row.User] = true
		}
	}
	for user, of := range w.seen {
		if of == r && !known[user] {
			w.forgotten[user] = true
		}
	}
	for _, kind := range []platform.Kind{platform.WorkPlacement, platform.Work} {
		objects, err := w.memory.List(w.ctx, kind, r.namespace, nil)
		w.must(err)
		for _, o := range objects {
			if name, _, _ := unstructured.NestedString(o.Object, "spec", "resourceName"); name == r.name {
				w.must(w.memory.Delete(w.ctx, kind, o.GetNamespace(), o.GetName(), platform.Preconditions{}))
			}
		}
	}
	w.gitWrites(simulator.Result{})
}

// backup keeps copies of objects as they are now.
func (w *world) backup(kinds ...platform.Kind) map[platform.Kind][]unstructured.Unstructured {
	copies := map[platform.Kind][]unstructured.Unstructured{}
	for _, kind := range kinds {
		objects, err := w.memory.List(w.ctx, kind, "", nil)
		w.must(err)
		copies[kind] = objects
	}
	return copies
}

// restoreLedgers puts the ledgers of live requests back to what they were a day
// ago. What was issued since is in the Works.
func (w *world) restoreLedgers() bool {
	copies := w.backup(platform.ConfigMap)[platform.ConfigMap]
	w.later(24*time.Hour, "they are those of the day before", func() {
		w.losses++
		w.eachLedger(func(now *unstructured.Unstructured) {
			for _, old := range copies {
				if old.GetName() == now.GetName() && old.GetNamespace() == now.GetNamespace() {
					w.forget(now.GetName(), old.Object["data"])
					now.Object["data"] = old.Object["data"]
					now.SetLabels(old.GetLabels())
					_, err := w.memory.Update(w.ctx, platform.ConfigMap, now)
					w.must(err)
				}
			}
		})
	})
	return true
}

// restoreAll removes the requests, ledgers and claims, and makes them again from a
// backup of this moment: with new UIDs and without status. The Works come back
// too, as they are namespaced objects like any other.
func (w *world) restoreAll() bool {
	w.losses += 2 // what the requests asked for since is asked for again
	kinds := []platform.Kind{platform.ConfigMap, platform.NatsUser, platform.Work, platform.WorkPlacement}
	copies := w.backup(kinds...)
	for _, kind := range kinds {
		for _, o := range copies[kind] {
			if o.GetDeletionTimestamp() != nil {
				continue
			}
			live := o.DeepCopy()
			if len(o.GetFinalizers()) > 0 {
				live.SetFinalizers(nil)
				_, err := w.memory.Update(w.ctx, kind, live)
				w.must(err)
			}
			if err := w.memory.Delete(w.ctx, kind, o.GetNamespace(), o.GetName(), platform.Preconditions{}); !apierrors.IsNotFound(err) {
				w.must(err)
			}
			fresh := o.DeepCopy()
			fresh.SetResourceVersion("")
			fresh.SetUID("")
			status, _ := fresh.Object["status"].(map[string]any)
			delete(fresh.Object, "status")
			created, err := w.memory.Create(w.ctx, kind, fresh)
			w.must(err)
			if kind == platform.WorkPlacement && status != nil {
				created.Object["status"] = status
				_, err = w.memory.UpdateStatus(w.ctx, kind, created)
				w.must(err)
			}
		}
	}
	w.allDirty()
	return true
}

// delete deletes a request, perhaps while a configure of it runs: Kratix M
// overlaps the two.
func (w *world) delete(u *user, overlapping bool) bool {
	u.gone = true
	remove := func() { w.must(w.memory.Delete(w.ctx, u.kind, u.namespace, u.name, platform.Preconditions{})) }
	if !overlapping {
		remove()
		w.tryDelete(u)
		return true
	}
	// The configure has something to do: a rotation.
	w.asked[credential.RotationRequested]++
	w.edit(u.ref, func(o *unstructured.Unstructured) {
		w.must(unstructured.SetNestedField(o.Object, fmt.Sprint(w.random.Uint32()), "spec", "credentials", "rotate"))
	})
	labels := map[string]any{
		kratix.LabelPromise: "nats-user", kratix.LabelResource: u.name, kratix.LabelAction: "configure",
	}
	job := "job-" + u.name
	for _, kind := range []platform.Kind{platform.Job, platform.Pod} {
		w.create(kind, map[string]any{"metadata": map[string]any{"name": job, "namespace": u.namespace, "labels": labels}})
	}
	deleted := time.Duration(w.random.IntN(15000)) * time.Millisecond
	var both sync.WaitGroup
	both.Go(func() {
		w.runJob(u.ref, kratix.Configure, fault{slow: true}, job)
		if err := w.memory.Delete(w.ctx, platform.Job, u.namespace, job, platform.Preconditions{}); !apierrors.IsNotFound(err) {
			w.must(err)
		}
		w.must(w.memory.Delete(w.ctx, platform.Pod, u.namespace, job, platform.Preconditions{}))
	})
	time.Sleep(deleted)
	remove()
	both.Go(func() { w.tryDelete(u) })
	both.Wait()
	w.tryDelete(u)
	return true
}

// tryDelete runs the delete pipeline, and what it asks for, until it is done.
func (w *world) tryDelete(u *user) {
	for range 3 {
		if w.get(u.ref) == nil {
			return
		}
		// Its revocations are done while it waits, or the account has it try again.
		var account sync.WaitGroup
		account.Go(func() {
			time.Sleep(7 * time.Second)
			if o := w.get(commerce); o != nil && o.GetLabels()[kratix.LabelManualReconciliation] != "" && w.random.IntN(3) > 0 {
				w.run(commerce, kratix.Configure, fault{})
			}
		})
		done := w.run(u.ref, kratix.Delete, w.someFault())
		account.Wait()
		if done {
			return
		}
		time.Sleep(time.Minute)
	}
	w.dirty[commerce] = true
}

// serveLabels runs what was asked to run.
func (w *world) serveLabels() {
	for range 4 {
		asked := false
		for _, r := range append([]ref{commerce}, w.refs()...) {
			o := w.get(r)
			if o == nil || o.GetLabels()[kratix.LabelManualReconciliation] == "" {
				continue
			}
			asked = true
			w.runAny(r, fault{})
		}
		if !asked {
			return
		}
	}
}

// runAny runs the workflow that a request is due for.
func (w *world) runAny(r ref, f fault) {
	o := w.get(r)
	switch {
	case o == nil:
		delete(w.dirty, r)
	case o.GetDeletionTimestamp() == nil:
		w.run(r, kratix.Configure, f)
	case o.GetLabels()[kratix.LabelManualReconciliation] != "" && !w.terminating(r):
		labels := o.GetLabels()
		delete(labels, kratix.LabelManualReconciliation)
		w.edit(r, func(o *unstructured.Unstructured) { o.SetLabels(labels) })
		w.run(r, kratix.Delete, f)
	default: // a delete that failed is not tried again by itself
		delete(w.dirty, r)
		labels := o.GetLabels()
		delete(labels, kratix.LabelManualReconciliation)
		w.edit(r, func(o *unstructured.Unstructured) { o.SetLabels(labels) })
	}
}

// terminating reports whether no Job of a request can run, because its Works have
// been taken with its namespace.
func (w *world) terminating(r ref) bool {
	return slices.ContainsFunc(w.timers, func(t timer) bool { return t.name == "the namespace is gone" }) && w.get(r).GetDeletionTimestamp() != nil
}

func (w *world) refs() []ref {
	var all []ref
	for _, u := range w.users {
		all = append(all, u.ref)
	}
	return all
}

// timer is something that happens later.
type timer struct {
	at   time.Time
	name string
	do   func()
}

func (w *world) later(d time.Duration, name string, do func()) {
	w.timers = append(w.timers, timer{time.Now().Add(d), name, do})
}

func (w *world) ring() {
	for _, t := range slices.Clone(w.timers) {
		if time.Now().Before(t.at) {
			continue
		}
		w.timers = slices.DeleteFunc(w.timers, func(o timer) bool { return o.at.Equal(t.at) && o.name == t.name })
		w.note("%s", t.name)
		t.do()
	}
}

// someFault is mostly none.
func (w *world) someFault() fault {
	if w.random.IntN(100) >= 25 {
		return fault{}
	}
	if w.cloud != nil && w.random.IntN(2) == 0 {
		return w.someCloudFault()
	}
	f := fault{at: 1 + w.random.IntN(25), after: w.random.IntN(2) == 0, restart: w.random.IntN(2) == 0}
	switch w.random.IntN(4) {
	case 0, 1:
		f.kill = true
	case 2:
		f.transient = w.random.IntN(2) == 0
	case 3:
		f = fault{at: f.at, meddle: true}
	}
	return f
}

// nothingIssued is about a time in which nothing that is issued would connect, or could be
// delivered. It makes sure that nothing is; what somebody revokes meanwhile is replaced
// afterwards.
func (w *world) nothingIssued(d time.Duration, name string, mend func()) {
	count := func() int {
		if w.cloud != nil { // where the account may find what a run has left before
			return len(w.made)
		}
		return len(w.seen)
	}
	before := count()
	for _, u := range w.users {
		u.refused = true
	}
	w.later(d, name, func() {
		if n := count() - before; n > 0 {
			w.t.Errorf("%d identities were made, of which none is of any use", n)
		}
		mend()
		for _, u := range w.users {
			u.refused, u.mended = false, time.Now()
		}
		w.allDirty()
	})
}

// revokeEverybody revokes all that is signed up to a time that is still ahead: nobody can
// connect until then, and all has to be replaced afterwards.
func (w *world) revokeEverybody() bool {
	if w.cloud != nil || w.tokenOut || w.nats.MaxPayload > 0 {
		return false
	}
	claims, err := w.nats.Account(w.accountID)
	w.must(err)
	claims.RevokeAt(jwt.All, time.Now().Add(48*time.Hour))
	w.must(w.nats.Push(claims))
	w.asked[credential.DeletedAtProvider]++
	w.tokenOut = true
	for user := range w.issued {
		w.cutOff[user] = true
	}
	w.run(commerce, kratix.Configure, fault{})
	w.nothingIssued(49*time.Hour, "that time has come", func() { w.tokenOut = false })
	return true
}

// shrink has the servers take accounts with few revocations more than there are.
func (w *world) shrink() bool {
	if w.cloud != nil || w.tokenOut || w.nats.MaxPayload > 0 {
		return false
	}
	token, err := w.nats.Token(w.accountID)
	w.must(err)
	w.nats.MaxPayload = int32(len(token) + 100*(1+w.random.IntN(4)))
	w.later(48*time.Hour, "they take larger ones again", func() {
		w.nats.MaxPayload = 0
		w.dirty[commerce] = true
	})
	return true
}

// churn is what a namespace does without end, if nothing ends it. Nobody else has any harm.
func (w *world) churn() bool {
	if w.cloud != nil || w.tokenOut || w.nats.MaxPayload > 0 || w.gitAway || w.get(ref{platform.ConfigMap, "baleen-system", "nats-user-overlays"}) != nil {
		return false
	}
	served := 0
	for _, c := range w.clusters {
		if c.labels["environment"] == "prod" {
			served++
		}
	}
	if served < 3 { // it would take its time
		return false
	}
	u := &user{ref: ref{platform.NatsUser, "team-c", "churn"}, spec: map[string]any{
		"accountRef":  map[string]any{"name": "commerce"},
		"permissions": map[string]any{"publish": map[string]any{"allow": []any{"team-c.a"}}},
		"credentials": map[string]any{"ttl": "2160h"},
		"secret":      map[string]any{"name": "churn-nats"},
		"placement":   map[string]any{"matchLabels": map[string]any{"environment": "prod"}},
	}}
	for range mostFormer {
		w.apply(u)
		w.run(u.ref, kratix.Configure, fault{})
		_, why, message := w.ready(u.ref)
		w.must(w.memory.Delete(w.ctx, u.kind, u.namespace, u.name, platform.Preconditions{}))
		for range 9 {
			if w.tryDelete(u); w.get(u.ref) == nil {
				break
			}
			w.run(commerce, kratix.Configure, fault{})
		}
		if w.get(u.ref) != nil {
			w.t.Errorf("%s cannot be deleted", u.ref)
		}
		count, err := churn.Store{Client: w.memory}.Get(w.ctx, commerce.name, u.namespace)
		w.must(err)
		switch n := count.Left(time.Now()); {
		case why == "TooManyCredentials":
			return true
		case why != "Delivered", n > mostFormer+2*len(w.clusters):
			w.t.Errorf("with %d former credentials it is %s: %s", n, why, message)
			return true
		}
	}
	w.t.Errorf("%s was made and deleted %d times", u.ref, mostFormer)
	return true
}

// rename has the platform team's overlay make what nobody could open.
func (w *world) rename() bool {
	overlays := ref{platform.ConfigMap, "baleen-system", "nats-user-overlays"}
	if w.get(overlays) != nil || w.tokenOut {
		return false
	}
	w.create(overlays.kind, map[string]any{
		"metadata": map[string]any{"name": overlays.name, "namespace": overlays.namespace},
		"data": map[string]any{"rename.yaml": "#@ load(\"@ytt:overlay\", \"overlay\")\n" +
			"#@overlay/match by=overlay.subset({\"kind\": \"SealedSecret\"}), expects=\"0+\"\n---\nmetadata:\n  name: renamed\n"},
	})
	w.nothingIssued(48*time.Hour, "the overlay is gone", func() {
		w.must(w.memory.Delete(w.ctx, overlays.kind, overlays.namespace, overlays.name, platform.Preconditions{}))
	})
	return true
}

// loseAccount has the platform team delete its account, and make it again. What was to be
// revoked is before, and all that is delivered goes on.
func (w *world) loseAccount() bool {
	if w.tokenOut || w.nats.MaxPayload > 0 {
		return false
	}
	spec := w.get(commerce).Object["spec"].(map[string]any)
	w.must(w.memory.Delete(w.ctx, commerce.kind, commerce.namespace, commerce.name, platform.Preconditions{}))
	for range 9 {
		if w.run(commerce, kratix.Delete, fault{}); w.get(commerce) == nil {
			break
		}
	}
	if w.get(commerce) != nil {
		w.t.Errorf("%s cannot be deleted", commerce)
	}
	w.tokenOut = true
	w.nothingIssued(24*time.Hour, "the account is made again", func() {
		w.tokenOut = false
		w.create(commerce.kind, map[string]any{
			"metadata": map[string]any{"name": commerce.name, "namespace": commerce.namespace, "finalizers": []any{finalizer}}, "spec": spec,
		})
	})
	return true
}
