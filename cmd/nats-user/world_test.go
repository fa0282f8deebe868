package main

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
	"io/fs"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/scenario"
	"github.com/baleen-platform/baleen/internal/sysaccount"
	"github.com/baleen-platform/baleen/internal/workflow"
	natsaccount "github.com/baleen-platform/baleen/pipelines/nats-account"
	natsuser "github.com/baleen-platform/baleen/pipelines/nats-user"
	"github.com/baleen-platform/baleen/promises"
)

// binaries is a folder for the stages that the tests build.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "stages")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binaries = dir
		return m.Run()
	}())
}

// released are the stages as they are in the images, and mortal the same with
// points at which they can be made to die.
var released, mortal = build("released"), build("mortal", "-tags=failpoint")

func build(name string, flags ...string) func() string {
	return sync.OnceValue(func() string {
		dir := filepath.Join(binaries, name)
		args := slices.Concat([]string{"build", "-ldflags=-s -w", "-o", dir + "/"}, flags, []string{".", "../nats-account"})
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v\n%s", err, out))
		}
		return dir
	})
}

// inputs are a platform cluster in a folder, with two workload clusters and a NATS
// system that listens on loopback.
type world struct {
	*testing.T
	ctx context.Context
	// dir holds the folders platform, kratix and empty: where stages may leave
	// nothing.
	dir    string
	client *platform.Folder
	nats   *natslocal.System
	system provider.System
	// cloud makes the users in a world that has one, at that address.
	cloud    *fakecloud.Cloud
	control  *control
	cloudURL string
	// revocations are those of the account that a fork begins with.
	revocations jwt.RevocationList
	now         time.Time
	// binaries are the stages, log the value of BALEEN_LOG.
	binaries, log string
	dryRun        bool
	// watch is told of every run of a stage.
	watch func(process)
	// first is called by the next run in place of its stage, which is run afterwards,
	// as Kratix starts a container again; then is called when that has ended well. List
	// is a file for the names of all points.
	first, then func(promise string, env []string)
	list        string
	// within has stages run in this process, which is quicker, where nobody dies and
	// nobody looks at a process.
	within bool
}

// process is a stage that has ended.
type process struct {
	code int
	// killed: by SIGKILL.
	killed bool
	// said is what it wrote to stdout and stderr, seen its arguments and environment.
	said, seen string
}

// pipelines are those of the stages, by the names of their Promises.
var pipelines = map[string]workflow.Pipeline{
	"nats-account": natsaccount.New(natsaccount.Network{}), "nats-user": natsuser.New(nil),
}

var clusters = []string{"eu-1", "us-1"}

// controllers are the keys of the clusters' Sealed Secrets controllers.
var controllers = sync.OnceValue(func() map[string]*rsa.PrivateKey {
	keys := map[string]*rsa.PrivateKey{}
	for _, name := range clusters {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

func newWorld(t *testing.T, binaries string) *world {
	t.Helper()
	w := newPlatform(t, binaries)
	w.must(w.nats.Start(true))
	t.Cleanup(w.nats.Stop)
	var err error
	w.system, err = sysaccount.Servers{URLs: []string{w.nats.URL()}}.Open(w.nats.SystemCredentials)
	w.must(err)
	t.Cleanup(w.system.Close)
	w.secret("signing", map[string][]byte{"seed": w.nats.SigningKey})
	w.operatorSecret(map[string][]byte{"seed": w.nats.OperatorKey, "creds": w.nats.SystemCredentials})
	return w
}

// newPlatform is a world in which nothing runs.
func newPlatform(t *testing.T, binaries string) *world {
	t.Helper()
	w := &world{T: t, ctx: t.Context(), binaries: binaries, now: time.Now().UTC().Truncate(time.Second)}
	var err error
	w.nats, err = natslocal.New(t.TempDir())
	w.must(err)
	w.settleIn()
	certificates := map[string]any{}
	for name, key := range controllers() {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(9, 0, 0)}
		raw, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		w.must(err)
		certificates[name] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
		w.create(platform.Destination, "", name, map[string]any{"labels": map[string]any{"baleen.dev/destination": name, "environment": "prod"}}, nil)
	}
	w.create(platform.ConfigMap, "baleen-system", "sealing-certificates", nil, map[string]any{"data": certificates})
	w.must(os.MkdirAll(filepath.Join(w.dir, "platform", "baleen-state"), 0o755))
	return w
}

// settleIn makes the world's folders.
func (w *world) settleIn() {
	w.Helper()
	base := "/dev/shm" // a platform's folder waits for the disk with each write
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	var err error
	w.dir, err = os.MkdirTemp(base, "world")
	w.must(err)
	dir := w.dir
	w.Cleanup(func() { os.RemoveAll(dir) })
	w.must(os.Mkdir(filepath.Join(w.dir, "platform"), 0o755))
	w.must(os.Mkdir(filepath.Join(w.dir, "empty"), 0o755))
	w.client, err = platform.OpenFolder(filepath.Join(w.dir, "platform"), func() time.Time { return w.now })
	w.must(err)
}

// fork returns a world of its own with the same platform and NATS system, in which
// all revocations are taken back that came since.
func (w *world) fork() *world {
	w.Helper()
	fork := *w
	fork.settleIn()
	w.must(os.CopyFS(filepath.Join(fork.dir, "platform"), os.DirFS(filepath.Join(w.dir, "platform"))))
	if account := fork.account(); !maps.Equal(account.Revocations, w.revocations) {
		account.Revocations = w.revocations
		key, err := nkeys.FromSeed(w.nats.OperatorKey)
		w.must(err)
		token, err := account.Encode(key)
		w.must(err)
		w.must(w.system.Update(w.ctx, account.Subject, token))
	}
	return &fork
}

// leave removes the world's folders before the test's end.
func (w *world) leave() { w.must(os.RemoveAll(w.dir)) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(kind platform.Kind, namespace, name string, metadata, content map[string]any) {
	w.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"metadata": metadata}}
	if metadata == nil {
		object.Object["metadata"] = map[string]any{}
	}
	maps.Copy(object.Object, content)
	object.SetGroupVersionKind(kind.GroupVersionKind)
	object.SetNamespace(namespace)
	object.SetName(name)
	_, err := w.client.Create(w.ctx, kind, object)
	w.must(err)
}

// secret puts values into a Secret of the platform team.
func (w *world) secret(name string, values map[string][]byte) {
	w.Helper()
	w.secretIn("baleen-system", name, values)
}

// operatorSecret stores what is the operator's.
func (w *world) operatorSecret(values map[string][]byte) {
	w.Helper()
	w.secretIn("baleen-operator", "operator", values)
}

func (w *world) secretIn(namespace, name string, values map[string][]byte) {
	w.Helper()
	err := w.client.Delete(w.ctx, platform.Secret, namespace, name, platform.Preconditions{})
	if !apierrors.IsNotFound(err) {
		w.must(err)
	}
	data := map[string]any{}
	for key, value := range values {
		data[key] = base64.StdEncoding.EncodeToString(value)
	}
	w.create(platform.Secret, namespace, name, nil, map[string]any{"data": data})
}

// commerce is the NatsAccount.
func (w *world) commerce() string {
	if w.cloud != nil {
		return w.commerceInCloud()
	}
	return fmt.Sprintf(`
apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: commerce, namespace: baleen-system}
spec:
  provider: jwt
  jwt:
    accountID: %s
    servers: [%q]
    signingKey: {secretRef: {name: signing, key: seed}}
    operator:
      signingKeySecretRef: {name: operator, key: seed}
      systemCredentialsSecretRef: {name: operator, key: creds}
  policy: {namespaces: [team-a], publish: [orders.>], subscribe: [orders.>], connectionTypes: [STANDARD]}
`, w.nats.AccountID, w.nats.URL())
}

// orders is a NatsUser.
func orders(credentials string) string {
	return fmt.Sprintf(`
apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: orders, namespace: team-a}
spec:
  accountRef: {name: commerce}
  permissions: {publish: {allow: [orders.>]}, subscribe: {allow: [orders.>]}}
  credentials: {ttl: 30d, renewBefore: 10d, overlap: 24h%s}
  secret: {name: orders-nats}
`, credentials)
}

// apply has Kratix run configure for a request, which must end well.
func (w *world) apply(request string) simulator.Result {
	w.Helper()
	result, err := w.run(kratix.Configure, request)
	w.must(err)
	return result
}

// run has Kratix run a workflow for a request.
func (w *world) run(action kratix.Action, request string) (simulator.Result, error) {
	w.Helper()
	object := scenario.Parse(w.T, request)
	promise, ok := promises.Find(object.GroupVersionKind().GroupKind())
	if !ok {
		w.Fatalf("no Promise serves %s", object.GroupVersionKind())
	}
	return simulator.Run(w.ctx, simulator.Options{
		Version: simulator.KratixLatest, Action: action, Request: object, Client: w.client, DryRun: w.dryRun,
		Promise: simulator.Promise{Name: promise.Name, Kind: promise.Kind, Configure: promise.ConfigurePipeline, Delete: promise.DeletePipeline},
		Dir:     filepath.Join(w.dir, "kratix"), Now: func() time.Time { return w.now },
		Stage: func(_ context.Context, env []string) error {
			if first := w.first; first != nil {
				w.first = nil
				first(promise.Name, env)
			}
			if p := w.stage(promise.Name, env); p.code != 0 {
				return errors.New(strings.TrimSpace(p.said))
			}
			if then := w.then; then != nil {
				w.then = nil
				then(promise.Name, env)
			}
			return nil
		},
	})
}

// command prepares a stage with nothing but the environment of its container.
func (w *world) command(promise string, env ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(w.binaries, promise))
	cmd.Dir = filepath.Join(w.dir, "empty")
	cmd.Env = append(slices.Clip(env), "HOME="+cmd.Dir, "TMPDIR="+cmd.Dir, "BALEEN_PLATFORM_DIR="+filepath.Join(w.dir, "platform"),
		"BALEEN_KRATIX_DIR="+filepath.Join(w.dir, "kratix"), "BALEEN_NOW="+w.now.Format(time.RFC3339))
	if w.log != "" {
		cmd.Env = append(cmd.Env, "BALEEN_LOG="+w.log)
	}
	if w.list != "" {
		cmd.Env = append(cmd.Env, "BALEEN_FATAL_LIST="+w.list)
	}
	return cmd
}

func (w *world) stage(promise string, env []string, more ...string) process {
	w.Helper()
	cmd := w.command(promise, slices.Concat(env, more)...)
	var said bytes.Buffer
	if w.within {
		variables := map[string]string{}
		for _, pair := range cmd.Env {
			name, value, _ := strings.Cut(pair, "=")
			variables[name] = value
		}
		e := workflow.Environment{Getenv: func(name string) string { return variables[name] }, Stderr: &said}
		code := e.Run(w.ctx, pipelines[promise])
		return process{code: code, said: said.String()}
	}
	cmd.Stdout, cmd.Stderr = &said, &said
	w.must(cmd.Start())
	return w.wait(cmd, &said)
}

// wait waits for a stage that was started.
func (w *world) wait(cmd *exec.Cmd, said *bytes.Buffer) process {
	w.Helper()
	p := process{seen: strings.Join(slices.Concat(cmd.Args, cmd.Env), "\n")}
	for _, name := range []string{"cmdline", "environ"} {
		// As others see it, unless the stage has ended already.
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, name))
		p.seen += "\n" + string(data)
	}
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.Fatal(err)
	}
	p.code, p.said, p.killed = cmd.ProcessState.ExitCode(), said.String(), strings.HasSuffix(cmd.ProcessState.String(), ": killed")
	if w.watch != nil {
		w.watch(p)
	}
	return p
}

// files returns what is in a folder of the world, and of each file when it was
// written.
func (w *world) files(name string) map[string]string {
	w.Helper()
	found := map[string]string{}
	dir := filepath.Join(w.dir, name)
	w.must(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		found[path] = string(data)
		if err == nil {
			found[path+" written"] = info.ModTime().String()
		}
		return err
	}))
	return found
}

// quiet makes sure that do writes nothing to the platform.
func (w *world) quiet(do func()) {
	w.Helper()
	before := w.files("platform")
	do()
	after := w.files("platform")
	for name := range after {
		if _, was := before[name]; !was || before[name] != after[name] && !strings.HasSuffix(name, " written") {
			w.Errorf("with nothing to do %s became\n%s\nand was\n%s", name, after[name], before[name])
		}
	}
	if !maps.Equal(before, after) {
		w.Errorf("with nothing to do files were written or removed")
	}
}

// credential is what the workload on a cluster has.
type credential struct {
	// document is the SealedSecret, values what it holds.
	document string
	values   map[string]string
	user     string
	creds    []byte
}

// unseal opens a SealedSecret as the controller of its cluster does. What is none,
// or only a part of one, cannot be opened.
func (w *world) unseal(cluster string, document []byte) (credential, bool) {
	w.Helper()
	var object struct {
		Kind     string
		Metadata struct{ Namespace, Name string }
		Spec     struct{ EncryptedData map[string]string }
	}
	if yaml.Unmarshal(document, &object) != nil || object.Kind != "SealedSecret" {
		return credential{}, false
	}
	c, ok := w.open(cluster, object.Metadata.Namespace+"/"+object.Metadata.Name, object.Spec.EncryptedData)
	c.document = string(document)
	return c, ok
}

// open decrypts the values of a Secret.
func (w *world) open(cluster, label string, sealed map[string]string) (credential, bool) {
	w.Helper()
	c := credential{values: map[string]string{}}
	key := controllers()[cluster]
	if key == nil || len(sealed) == 0 {
		return c, false
	}
	for name, value := range sealed {
		ciphertext, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return c, false
		}
		plain, err := crypto.HybridDecrypt(rand.Reader, map[string]*rsa.PrivateKey{cluster: key}, ciphertext, []byte(label))
		if err != nil {
			return c, false
		}
		c.values[name] = string(plain)
	}
	if delete(c.values, ledger.KeepKey); len(c.values) == 0 {
		return c, false // the credential is forgotten
	}
	c.creds = []byte(c.values["nats.creds"] + c.values["NATS_CREDS"])
	if c.values["jwt"] != "" {
		var err error
		c.creds, err = jwt.FormatUserConfig(c.values["jwt"], []byte(c.values["seed"]))
		w.must(err)
	}
	token, err := jwt.ParseDecoratedJWT(c.creds)
	w.must(err)
	claims, err := jwt.DecodeUserClaims(token)
	w.must(err)
	c.user = claims.Subject
	return c, true
}

// delivered returns what a NatsUser has delivered, by cluster.
func (w *world) delivered() map[string]credential {
	w.Helper()
	works, err := w.client.List(w.ctx, platform.Work, "team-a", nil)
	w.must(err)
	found := map[string]credential{}
	for i := range works {
		files, err := kratix.Unpack(&works[i])
		w.must(err)
		for path, data := range files {
			cluster, _, _ := strings.Cut(path, "/")
			c, ok := w.unseal(cluster, data)
			if !ok {
				w.Fatalf("%s cannot be unsealed:\n%s", path, data)
			}
			found[cluster] = c
		}
	}
	return found
}

// rows are those of the ledger of a NatsUser.
func (w *world) rows() []ledger.Record {
	w.Helper()
	all, err := ledger.Store{Client: w.client}.All(w.ctx)
	w.must(err)
	var rows []ledger.Record
	for _, l := range all {
		rows = append(rows, l.Records...)
	}
	return rows
}

// account returns the account as the server has it.
func (w *world) account() *jwt.AccountClaims {
	w.Helper()
	claims, err := w.system.Lookup(w.ctx, w.nats.AccountID)
	w.must(err)
	return claims.AccountClaims
}

// connects makes sure that a credential may do what was granted, and nothing else.
func (w *world) connects(whose string, c credential) {
	w.Helper()
	conn, err := w.connect(c)
	if err != nil {
		w.Errorf("%s, %s: %v", whose, c.user, err)
		return
	}
	defer conn.Close()
	got, err := conn.SubscribeSync("orders.>")
	w.must(err)
	w.must(conn.Publish("orders.new", []byte("one")))
	w.must(conn.Flush())
	if msg, err := got.NextMsg(time.Second); err != nil || string(msg.Data) != "one" || conn.LastError() != nil {
		w.Errorf("%s, %s, cannot do what was granted: %v, %v", whose, c.user, err, conn.LastError())
	}
	w.must(conn.Publish("payments.new", nil))
	w.must(conn.Flush())
	if !errors.Is(conn.LastError(), nats.ErrPermissionViolation) {
		w.Errorf("%s, %s, publishes what was not granted: %v", whose, c.user, conn.LastError())
	}
}

// refused makes sure that a credential does not connect any more.
func (w *world) refused(whose string, c credential) {
	w.Helper()
	conn, err := w.connect(c)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, nats.ErrAuthorization) && !errors.Is(err, nats.ErrAuthRevoked) {
		w.Errorf("%s, %s, is not refused: %v", whose, c.user, err)
	}
}

func (w *world) connect(c credential) (*nats.Conn, error) {
	return nats.Connect(w.nats.URL(), nats.UserCredentialBytes(c.creds), nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
}
