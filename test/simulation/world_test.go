package simulation

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/guardtest"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/workflow"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
	"github.com/baleen-platform/baleen/promises"
)

var pipelines = map[platform.Kind]workflow.Pipeline{
	platform.NatsUser:    natsuser.New(clouds),
	platform.NatsAccount: natsaccount.New(natsaccount.Network{Dial: dial, Transport: clouds}),
}

// inputs are a platform cluster with Kratix on it, a state store, workload clusters
// and a NATS system.
type world struct {
	t       *testing.T
	ctx     context.Context
	random  *mathrand.Rand
	version simulator.Version
	memory  *platform.Memory
	nats    *natslocal.System
	// cloud makes the users in the years of Synadia's, nil in others. accountID is
	// the public key of the account.
	cloud     *fakecloud.Cloud
	accountID string
	dir       string

	clusters map[string]*cluster
	gitAway  bool
	// unwritten are the statuses of WorkPlacements that were not written because Git
	// was away, by name.
	unwritten map[string]map[string]any

	users []*user
	// dirty are requests for which something has changed since their last run.
	dirty map[ref]bool
	// stalled are requests whose run Kratix has forgotten: it runs them when they
	// are asked for, or changed, and at no interval. The time is since when.
	stalled map[ref]time.Time
	// seen are all users' keys that a ledger ever had, with the request.
	seen map[string]ref
	// made are the generations that were committed, by user's key. asked is how often
	// something happened that is a reason to issue, and losses how often what a ledger or a
	// request said was lost.
	made   map[string]generation
	asked  map[credential.Reason]int
	losses int
	ledger sync.Mutex // of seen and made

	schedule []string
	timers   []timer
	jobs     map[string]context.CancelCauseFunc

	// issued are all credentials that were ever delivered, by user's key.
	issued map[string]issued
	// forgotten are users' keys that nobody can know any more, because their ledger
	// was lost.
	forgotten map[string]bool
	// lost: some ledger was, or is older than it was.
	lost bool
	// cutOff are users' keys that somebody has revoked while nothing could take
	// their place, because their request was refused.
	cutOff map[string]bool
	// left is when a cluster was last not selected.
	left map[string]time.Time
	// tokenOut: the platform's token for Synadia is not let in, or its account names what
	// is not there.
	tokenOut bool
	// rerunning: a run is only to show that it changes nothing.
	rerunning bool
	// checked is what the last connections were tried on.
	checked string
}

// ref names a request.
type ref struct {
	kind            platform.Kind
	namespace, name string
}

func (r ref) String() string { return r.kind.Kind + " " + r.namespace + "/" + r.name }

// user is what a team wants.
type user struct {
	ref
	spec map[string]any
	// gone: it was deleted, and not made again.
	gone bool
	// refused: it asks for what it may not have; mended is when it last did.
	refused bool
	mended  time.Time
	// made is when it was made, the last time.
	made time.Time
}

// cluster is a workload cluster with a Sealed Secrets controller.
type cluster struct {
	name   string
	labels map[string]string
	keys   []key
	// git is what the state store has for it: files by WorkPlacement.
	git map[string]map[string][]byte
	// secrets are by namespace/name.
	secrets map[string]*secret
	// offline until then: Git changes and the cluster does not notice.
	offline time.Time
}

// secret is a delivered Secret.
type secret struct {
	owner ref
	data  map[string]string
	// plain is what was unsealed last, of sealed.
	plain  map[string]string
	sealed []byte
	// patch: its annotation has the controller leave alone what is in it.
	patch bool
	users []string // whose credential it held, in order
}

// generation is one that was committed.
type generation struct {
	of          ref
	destination string
	reason      credential.Reason
	issued      time.Time
}

// issued is a credential that was delivered.
type issued struct {
	creds  []byte
	claims *jwt.UserClaims
}

// key is a key pair of a Sealed Secrets controller.
type key struct {
	*rsa.PrivateKey
	fingerprint, pem string
}

// keyPool is made once: RSA keys take their time.
var keyPool = sync.OnceValue(func() []key {
	var pool []key
	for range 12 {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
		raw, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
		if err != nil {
			panic(err)
		}
		fingerprint, err := crypto.PublicKeyFingerprint(&private.PublicKey)
		if err != nil {
			panic(err)
		}
		pool = append(pool, key{private, fingerprint, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))})
	}
	return pool
})

// dice are thrown by workflows that run at the same time, too.
type dice struct {
	one    sync.Mutex
	source mathrand.Source
}

func (d *dice) Uint64() uint64 {
	d.one.Lock()
	defer d.one.Unlock()
	return d.source.Uint64()
}

func newWorld(t *testing.T, seed uint64, system *natslocal.System, dir string, inCloud bool) *world {
	w := &world{
		t: t, ctx: t.Context(), random: mathrand.New(&dice{source: mathrand.NewPCG(seed, 0)}), version: simulator.Kratix202508, memory: platform.NewMemory(time.Now), nats: system,
		dir: dir, clusters: map[string]*cluster{}, unwritten: map[string]map[string]any{}, dirty: map[ref]bool{}, stalled: map[ref]time.Time{}, seen: map[string]ref{}, made: map[string]generation{}, asked: map[credential.Reason]int{},
		jobs: map[string]context.CancelCauseFunc{}, issued: map[string]issued{}, forgotten: map[string]bool{}, cutOff: map[string]bool{}, left: map[string]time.Time{},
	}
	if w.random.IntN(2) == 0 {
		w.version = simulator.KratixLatest
	}
	w.note("Kratix %s", w.version)
	w.accountID = w.nats.AccountID
	if inCloud {
		w.openCloud(seed)
	}
	w.create(platform.Secret, map[string]any{
		"metadata": map[string]any{"name": "signing", "namespace": "baleen-system"}, "stringData": map[string]any{"seed": string(w.nats.SigningKey)},
	})
	w.create(platform.Secret, map[string]any{
		"metadata":   map[string]any{"name": "operator", "namespace": "baleen-operator"},
		"stringData": map[string]any{"seed": string(w.nats.OperatorKey), "creds": string(w.nats.SystemCredentials)},
	})
	w.create(platform.ConfigMap, map[string]any{"metadata": map[string]any{"name": "sealing-certificates", "namespace": "baleen-system"}, "data": map[string]any{}})
	for _, name := range []string{"eu-1", "us-1"} {
		w.addCluster(name)
	}
	w.create(platform.NatsAccount, map[string]any{
		"metadata": map[string]any{"name": "commerce", "namespace": "baleen-system", "finalizers": []any{finalizer}},
		"spec":     w.accountSpec(seed),
	})
	w.run(commerce, kratix.Configure, fault{})
	for i, name := range []string{"orders", "users"} {
		u := &user{ref: ref{platform.NatsUser, fmt.Sprintf("team-%c", 'a'+i), name}, spec: map[string]any{
			"accountRef":  map[string]any{"name": "commerce"},
			"permissions": map[string]any{"publish": map[string]any{"allow": []any{fmt.Sprintf("team-%c.a", 'a'+i)}}},
			"credentials": map[string]any{"ttl": "1440h", "renewBefore": "480h", "overlap": overlap.String()},
			"secret":      map[string]any{"name": name + "-nats"},
			"placement":   map[string]any{"matchLabels": map[string]any{"environment": "prod"}},
		}}
		if i == 1 {
			u.spec["retain"] = "Nothing"
		}
		w.users = append(w.users, u)
		w.apply(u)
	}
	return w
}

// accountSpec is where users come from, and what they may have.
func (w *world) accountSpec(seed uint64) map[string]any {
	spec := map[string]any{
		"provider": "jwt",
		"jwt": map[string]any{
			"accountID": w.accountID, "servers": []any{w.nats.URL()},
			"signingKey": map[string]any{"secretRef": map[string]any{"name": "signing", "key": "seed"}},
			"operator": map[string]any{
				"signingKeySecretRef":        map[string]any{"name": "operator", "key": "seed"},
				"systemCredentialsSecretRef": map[string]any{"name": "operator", "key": "creds"},
			},
		},
		"policy": map[string]any{
			"namespaces": []any{"team-*"}, "publish": []any{"{{namespace}}.>"}, "subscribe": []any{"{{namespace}}.>", "_INBOX.>"},
			"connectionTypes": []any{"STANDARD", "IN_PROCESS"}, "maxFormer": int64(mostFormer),
		},
	}
	if w.cloud != nil {
		delete(spec, "jwt")
		spec["provider"], spec["synadia"] = "synadia", w.synadiaSpec(seed)
	}
	return spec
}

// mostFormer is more than the teams of a year have, and a namespace that churns is soon
// beyond it.
const mostFormer = 150

// nowhere is where no server listens.
const nowhere = "nats://nowhere.example.com:4222"

func dial(servers string, options ...nats.Option) (*nats.Conn, error) {
	if servers == nowhere {
		return nil, nats.ErrNoServers
	}
	return natslocal.InProcess(servers, options...)
}

// overlap is how long former credentials live on: longer than a cluster is offline.
const overlap = 96 * time.Hour

var commerce = ref{platform.NatsAccount, "baleen-system", "commerce"}

// finalizer keeps a request until its delete pipeline is done, as Kratix has it.
const finalizer = "kratix.io/workflows-cleanup"

func (w *world) note(format string, args ...any) {
	w.schedule = append(w.schedule, time.Now().UTC().Format("2006-01-02 15:04 ")+fmt.Sprintf(format, args...))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("the simulation itself: %v", err)
	}
}

func (w *world) create(kind platform.Kind, content map[string]any) {
	w.t.Helper()
	content["apiVersion"], content["kind"] = kind.GroupVersion().String(), kind.Kind
	_, err := w.memory.Create(w.ctx, kind, &unstructured.Unstructured{Object: content})
	w.must(err)
}

// edit changes an object, if it is there.
func (w *world) edit(r ref, change func(*unstructured.Unstructured)) {
	w.t.Helper()
	o, err := w.memory.Get(w.ctx, r.kind, r.namespace, r.name)
	if apierrors.IsNotFound(err) {
		return
	}
	w.must(err)
	change(o)
	_, err = w.memory.Update(w.ctx, r.kind, o)
	w.must(err)
}

func (w *world) get(r ref) *unstructured.Unstructured {
	o, err := w.memory.Get(w.ctx, r.kind, r.namespace, r.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	w.must(err)
	return o
}

// apply stores what a team wants.
func (w *world) apply(u *user) {
	w.t.Helper()
	spec := u.spec
	u.gone = false
	w.dirty[u.ref] = true
	delete(w.stalled, u.ref)
	if w.get(u.ref) == nil {
		u.made = time.Now()
		w.create(u.kind, map[string]any{
			"metadata": map[string]any{"name": u.name, "namespace": u.namespace, "finalizers": []any{finalizer}}, "spec": spec,
		})
		return
	}
	w.edit(u.ref, func(o *unstructured.Unstructured) { o.Object["spec"] = spec })
}

func (w *world) addCluster(name string) {
	w.clusters[name] = &cluster{
		name: name, labels: map[string]string{"baleen.dev/destination": name, "environment": "prod"},
		git: map[string]map[string][]byte{}, secrets: map[string]*secret{},
	}
	w.newKey(w.clusters[name], false)
	w.create(platform.Destination, map[string]any{"metadata": map[string]any{"name": name, "labels": anyMap(w.clusters[name].labels)}})
}

func anyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// newKey gives a controller a new key, and the platform its certificate: besides
// the old ones, or in their place.
func (w *world) newKey(c *cluster, replace bool) {
	if replace {
		c.keys = nil
	}
	pool := keyPool()
	c.keys = append(c.keys, pool[w.random.IntN(len(pool))])
	var bundle strings.Builder
	for _, k := range c.keys {
		bundle.WriteString(k.pem)
	}
	w.edit(ref{platform.ConfigMap, "baleen-system", "sealing-certificates"}, func(o *unstructured.Unstructured) {
		w.must(unstructured.SetNestedField(o.Object, bundle.String(), "data", c.name))
	})
}

// run runs a workflow for a request, as Kratix would, and reports whether its Job
// succeeded.
func (w *world) run(r ref, action kratix.Action, f fault) bool {
	w.t.Helper()
	return w.runJob(r, action, f, "")
}

// runJob is run as the Job of that name, which ends when the Job is removed.
func (w *world) runJob(r ref, action kratix.Action, f fault, job string) bool {
	w.t.Helper()
	totals.runs.Add(1)
	o := w.get(r)
	if o == nil {
		return true
	}
	delete(w.stalled, r)
	p, _ := promises.Find(r.kind.GroupKind())
	dir, err := os.MkdirTemp(w.dir, "job")
	w.must(err)
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	if job != "" {
		w.jobs[job] = cancel
		defer delete(w.jobs, job)
	}
	var said strings.Builder
	result, err := simulator.Run(ctx, simulator.Options{
		Version: w.version, Action: action, Dir: dir, Now: time.Now, Client: w.memory, Request: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": map[string]any{"name": r.name, "namespace": r.namespace}, "spec": o.Object["spec"],
		}},
		Promise: simulator.Promise{Name: p.Name, Kind: p.Kind, Configure: p.ConfigurePipeline, Delete: p.DeletePipeline},
		Stage: func(_ context.Context, env []string) error {
			if w.cloud != nil {
				w.cloud.Fail(f.cloud...)
			}
			guarded, err := guardtest.Open(w.memory, guardtest.Account(r.namespace, p.Name, string(action)), func(err error) { w.t.Errorf("the guard denies what a pipeline writes: %v", err) })
			w.must(err)
			client := &faulty{world: w, inner: guarded, fault: f, kill: cancel}
			var reached platform.Client = client
			if w.random.IntN(2) == 0 {
				reached = platform.WithRetry(client, platform.DefaultRetry)
			}
			if !f.isZero() && f.restart {
				// The container is started again in the same pod, and finds what its
				// first try left.
				_ = w.stage(client.within(ctx), pipelines[r.kind], reached, env, dir, io.Discard)
				if ctx.Err() == nil {
					client = &faulty{world: w, inner: guarded}
					reached = client
				}
			}
			return w.stage(client.within(ctx), pipelines[r.kind], reached, env, dir, &said)
		},
	})
	if err == nil && action == kratix.Delete {
		w.edit(r, func(o *unstructured.Unstructured) { o.SetFinalizers(nil) })
	}
	w.gitWrites(result)
	if w.cloud != nil {
		w.cloud.Heal()
	}
	if err != nil {
		w.dirty[r] = true
		if said.Len() > 0 {
			err = errors.New(lastLine(said.String()))
		}
		w.note("  %s of %s failed: %.200v", action, r, err)
		return false
	}
	delete(w.dirty, r)
	w.noteReady(r)
	if r.kind == platform.NatsUser && action == kratix.Configure && !w.rerunning {
		w.checkSealed(r)
	}
	return true
}

// endJob is what the removal of a Job does to its pod.
func (w *world) endJob(name string) {
	if cancel := w.jobs[name]; cancel != nil {
		cancel(errKilled)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// noteReady writes into the schedule what a request's status says, unless it is good.
func (w *world) noteReady(r ref) {
	if ready, reason, message := w.ready(r); ready == "False" {
		w.note("  %s: %s: %.200s", r, reason, message)
		w.dirty[r] = true
	}
}

func (w *world) ready(r ref) (status, reason, message string) {
	if o := w.get(r); o != nil {
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, c := range conditions {
			if c := c.(map[string]any); c["type"] == "Ready" {
				return c["status"].(string), c["reason"].(string), c["message"].(string)
			}
		}
	}
	return "", "", ""
}

func (w *world) stage(ctx context.Context, p workflow.Pipeline, client platform.Client, env []string, dir string, log io.Writer) error {
	values := map[string]string{"BALEEN_KRATIX_DIR": dir, "BALEEN_NOW": time.Now().UTC().Format(time.RFC3339), "BALEEN_LOG": "debug"}
	for _, pair := range env {
		k, v, _ := strings.Cut(pair, "=")
		values[k] = v
	}
	code := 0
	do := func() error {
		code = workflow.Environment{
			Getenv: func(k string) string { return values[k] }, Stderr: log,
			Open: func(func() time.Time) (platform.Client, error) { return client, nil },
		}.Run(ctx, p)
		return nil
	}
	if p.Kind == platform.NatsAccount && w.cloud == nil { // only this one speaks to servers
		w.must(w.nats.While(do))
	} else {
		w.must(do())
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if code != 0 {
		return errors.New("exit code 1")
	}
	return nil
}

// gitWrites has the state store get what Kratix has scheduled, or not.
func (w *world) gitWrites(result simulator.Result) {
	placements, err := w.memory.List(w.ctx, platform.WorkPlacement, "", nil)
	w.must(err)
	there := map[string]bool{}
	for i := range placements {
		wp := &placements[i]
		name := wp.GetNamespace() + "/" + wp.GetName()
		there[name] = true
		target, _, _ := unstructured.NestedString(wp.Object, "spec", "targetDestinationName")
		c := w.clusters[target]
		if c == nil {
			continue
		}
		files := unpack(w.t, wp)
		if sameFiles(c.git[name], files) {
			continue
		}
		if !w.gitAway {
			c.git[name] = files
			continue
		}
		// Kratix tried and failed: the status is what it was, but for that.
		if w.unwritten[name] == nil {
			w.unwritten[name], _, _ = unstructured.NestedMap(wp.Object, "status")
		}
		conditions := []any{map[string]any{"type": "WriteSucceeded", "status": "False", "reason": "WorkloadsFailedWrite"}}
		wp.Object["status"] = map[string]any{"conditions": conditions}
		_, err := w.memory.UpdateStatus(w.ctx, platform.WorkPlacement, wp)
		w.must(err)
	}
	for _, c := range w.clusters {
		for name := range c.git {
			if !there[name] && !w.gitAway {
				delete(c.git, name)
			}
		}
	}
}

// gitReturns has Kratix write what it could not.
func (w *world) gitReturns() {
	w.gitAway = false
	placements, err := w.memory.List(w.ctx, platform.WorkPlacement, "", nil)
	w.must(err)
	for i := range placements {
		wp := &placements[i]
		if status := w.unwritten[wp.GetNamespace()+"/"+wp.GetName()]; status != nil {
			wp.Object["status"] = status
			_, err := w.memory.UpdateStatus(w.ctx, platform.WorkPlacement, wp)
			w.must(err)
		}
	}
	clear(w.unwritten)
	w.gitWrites(simulator.Result{})
}

func unpack(t *testing.T, wp *unstructured.Unstructured) map[string][]byte {
	workloads, _, _ := unstructured.NestedSlice(wp.Object, "spec", "workloads")
	work := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"workloadGroups": []any{map[string]any{"workloads": workloads}}}}}
	files, err := kratix.Unpack(work)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameFiles(a, b map[string][]byte) bool {
	return maps.EqualFunc(a, b, slices.Equal)
}

// sync has a cluster apply what the state store has, as Argo CD and the Sealed
// Secrets controller do.
func (w *world) sync(c *cluster) {
	if time.Now().Before(c.offline) {
		return
	}
	desired := map[string]bool{}
	for _, wp := range slices.Sorted(maps.Keys(c.git)) {
		for _, data := range c.git[wp] {
			var sealed struct {
				Kind     string
				Metadata struct {
					Name, Namespace     string
					Annotations, Labels map[string]string
				}
				Spec struct {
					EncryptedData map[string]string
					Template      struct {
						Metadata struct{ Annotations map[string]string }
					}
				}
			}
			w.must(yaml.Unmarshal(data, &sealed))
			name := sealed.Metadata.Namespace + "/" + sealed.Metadata.Name
			if desired[name] {
				w.t.Errorf("the Secret %s on %s is delivered twice", name, c.name)
			}
			desired[name] = true
			_, by, _ := strings.Cut(sealed.Metadata.Annotations["baleen.dev/requested-by"], " ")
			ns, n, _ := strings.Cut(by, "/")
			owner := ref{platform.NatsUser, ns, n}
			if s := c.secrets[name]; s != nil && bytes.Equal(s.sealed, data) {
				continue
			}
			keys := map[string]*rsa.PrivateKey{}
			for _, k := range c.keys {
				keys[k.fingerprint] = k.PrivateKey
			}
			plain := map[string]string{}
			failed := false
			for k, v := range sealed.Spec.EncryptedData {
				raw, err := base64.StdEncoding.DecodeString(v)
				w.must(err)
				text, err := crypto.HybridDecrypt(rand.Reader, keys, raw, []byte(name))
				if err != nil {
					failed = true // the controller says so, and leaves the Secret alone
				}
				plain[k] = string(text)
			}
			if failed {
				continue
			}
			delete(plain, ledger.KeepKey) // harmless, and of no use to a workload
			s := c.secrets[name]
			patch := sealed.Spec.Template.Metadata.Annotations["sealedsecrets.bitnami.com/patch"] == "true"
			if s == nil {
				s = &secret{data: map[string]string{}}
				c.secrets[name] = s
			}
			s.owner, s.sealed = owner, data
			// The controller goes by the annotation of the Secret that is there.
			if was := s.patch; was {
				maps.Copy(s.data, plain)
				s.patch = true // annotations are merged too
			} else {
				s.data, s.patch = maps.Clone(plain), patch
			}
			if len(plain) == 0 && s.plain == nil && patch {
				continue // a cluster that was built anew, where nothing is kept
			}
			if len(plain) == 0 && len(s.data) > 0 || maps.Equal(s.plain, plain) {
				continue
			}
			s.plain = plain
			if user := w.record(plain); user != "" {
				w.changed(c, name, s, user)
			} else {
				w.t.Errorf("the Secret %s on %s lost its credential", name, c.name)
			}
		}
	}
	for name := range c.secrets {
		if !desired[name] {
			delete(c.secrets, name)
		}
	}
}

// errKilled is the end of a pod.
var errKilled = errors.New("the pod was killed")

// fault is what goes wrong in one run.
type fault struct {
	// at is the API request at which it happens, the first being 1; 0 for none.
	at int
	// after: the request has had its effect.
	after bool
	// kill ends the pod; otherwise the request fails, and with transient so does
	// every one that follows.
	kill, transient bool
	// restart: the container is started once more in its pod.
	restart bool
	// meddle: somebody else changes the ledger just before.
	meddle bool
	// slow: every request takes a moment.
	slow bool
	// cloud is what goes wrong at Synadia's.
	cloud []fakecloud.Fault
}

func (f fault) isZero() bool { return f.at == 0 && f.cloud == nil }

func (f fault) String() string {
	switch {
	case f.cloud != nil:
		return fmt.Sprintf(", the control plane fails: %+v", f.cloud)
	case f.at == 0:
		return ""
	case f.meddle:
		return fmt.Sprintf(", somebody changes the ledger before request %d", f.at)
	}
	what, when := "fails", "before"
	if f.kill {
		what = "kills the pod"
	} else if f.transient {
		what = "fails, as all after it"
	}
	if f.after {
		when = "after"
	}
	return fmt.Sprintf(", request %d %s %s its effect (restart: %t)", f.at, what, when, f.restart)
}

// faulty is the platform as a pipeline finds it.
type faulty struct {
	world *world
	inner platform.Client
	fault fault
	kill  context.CancelCauseFunc
	count int
	dead  bool
}

// within lets requests that go elsewhere meet the same faults.
func (f *faulty) within(ctx context.Context) context.Context {
	return context.WithValue(ctx, faultyKey{}, f)
}

// request counts a request and returns what goes wrong before and after it.
func (f *faulty) request(ctx context.Context) (before, after error) {
	if f.dead || context.Cause(ctx) != nil && errors.Is(context.Cause(ctx), errKilled) {
		return errKilled, nil
	}
	if f.fault.slow {
		time.Sleep(time.Duration(f.world.random.IntN(1500)) * time.Millisecond)
		if errors.Is(context.Cause(ctx), errKilled) {
			return errKilled, nil
		}
	}
	f.count++
	if f.fault.at == 0 || f.count < f.fault.at || f.count > f.fault.at && !f.fault.transient {
		return nil, nil
	}
	var err error
	switch {
	case f.fault.meddle:
		f.world.meddle()
		return nil, nil
	case f.fault.kill:
		f.dead = true
		if !f.fault.restart && f.kill != nil {
			f.kill(errKilled)
		}
		err = errKilled
	default:
		err = apierrors.NewInternalError(errors.New("etcd is away"))
	}
	if f.fault.after {
		return nil, err
	}
	return err, nil
}

// meddle writes to all ledgers, as another run of the account's does.
func (w *world) meddle() {
	objects, err := w.memory.List(w.ctx, platform.ConfigMap, "baleen-state", map[string]string{"baleen.dev/ledger": "true"})
	w.must(err)
	for _, o := range objects {
		labels := o.GetLabels()
		labels["meddled"] = fmt.Sprint(w.random.Uint32())
		o.SetLabels(labels)
		_, err := w.memory.Update(w.ctx, platform.ConfigMap, &o)
		w.must(err)
	}
}

// watch remembers every identity that a ledger ever had.
func (w *world) watch(kind platform.Kind, o *unstructured.Unstructured) {
	if kind != platform.ConfigMap || o.GetLabels()["baleen.dev/ledger"] == "" {
		return
	}
	w.ledger.Lock()
	defer w.ledger.Unlock()
	for _, l := range w.ledgers() {
		for _, r := range l.Records {
			of := ref{platform.NatsUser, l.Request.Namespace, l.Request.Name}
			w.seen[r.User] = of
			if _, known := w.made[r.User]; r.State == ledger.Active && !known && r.Reason != "" {
				w.made[r.User] = generation{of, r.Destination, credential.Reason(r.Reason), r.Issued}
			}
		}
	}
}

func (w *world) ledgers() []*ledger.Ledger {
	all, err := ledger.Store{Client: w.memory}.All(w.ctx)
	w.must(err)
	return all
}

func (f *faulty) Get(ctx context.Context, kind platform.Kind, namespace, name string) (*unstructured.Unstructured, error) {
	return call(ctx, f, func() (*unstructured.Unstructured, error) { return f.inner.Get(ctx, kind, namespace, name) })
}

func (f *faulty) List(ctx context.Context, kind platform.Kind, namespace string, labels map[string]string) ([]unstructured.Unstructured, error) {
	return call(ctx, f, func() ([]unstructured.Unstructured, error) { return f.inner.List(ctx, kind, namespace, labels) })
}

func (f *faulty) Create(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return f.write(ctx, kind, func() (*unstructured.Unstructured, error) { return f.inner.Create(ctx, kind, o) })
}

func (f *faulty) Update(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return f.write(ctx, kind, func() (*unstructured.Unstructured, error) { return f.inner.Update(ctx, kind, o) })
}

func (f *faulty) UpdateStatus(ctx context.Context, kind platform.Kind, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return f.write(ctx, kind, func() (*unstructured.Unstructured, error) { return f.inner.UpdateStatus(ctx, kind, o) })
}

func (f *faulty) Patch(ctx context.Context, kind platform.Kind, namespace, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	return f.write(ctx, kind, func() (*unstructured.Unstructured, error) { return f.inner.Patch(ctx, kind, namespace, name, patch) })
}

func (f *faulty) Delete(ctx context.Context, kind platform.Kind, namespace, name string, p platform.Preconditions) error {
	_, err := call(ctx, f, func() (struct{}, error) { return struct{}{}, f.inner.Delete(ctx, kind, namespace, name, p) })
	if kind == platform.Job && err == nil {
		f.world.endJob(name)
	}
	return err
}

func (f *faulty) write(ctx context.Context, kind platform.Kind, do func() (*unstructured.Unstructured, error)) (*unstructured.Unstructured, error) {
	return call(ctx, f, func() (*unstructured.Unstructured, error) {
		o, err := do()
		if err == nil {
			f.world.watch(kind, o)
		}
		return o, err
	})
}

func call[T any](ctx context.Context, f *faulty, do func() (T, error)) (T, error) {
	before, after := f.request(ctx)
	var nothing T
	if before != nil {
		return nothing, before
	}
	result, err := do()
	if err == nil && after != nil {
		return nothing, after
	}
	return result, err
}
