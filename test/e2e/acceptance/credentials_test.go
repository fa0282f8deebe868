package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// natsUser is a request that may use orders.> and JetStream; more is what else its
// spec says, a line each.
func natsUser(namespace, name string, more ...string) string {
	return fmt.Sprintf(`apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  accountRef: {name: commerce}
  permissions:
    publish: {allow: ["orders.>", "$JS.API.>", "$JS.ACK.>"]}
    subscribe: {allow: ["orders.>", "_INBOX.>"]}
  secret: {name: %[2]s-nats, key: nats.creds}
  placement: {matchLabels: {environment: prod}}
  %[3]s
`, namespace, name, strings.Join(more, "\n  "))
}

// mounted is what a workload would find in the Secret of a request.
func (c *cluster) mounted(ctx context.Context, namespace, name string) ([]byte, error) {
	secret, err := c.core.CoreV1().Secrets(namespace).Get(ctx, name+"-nats", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", c.name, err)
	}
	if len(secret.Data["nats.creds"]) == 0 {
		return nil, fmt.Errorf("the Secret %s/%s-nats on %s has no nats.creds", namespace, name, c.name)
	}
	return secret.Data["nats.creds"], nil
}

// delivered waits until a cluster has the Secret of a request, other than the one
// before, and returns what is in it.
func (c *cluster) delivered(t testing.TB, namespace, name string, before []byte) []byte {
	t.Helper()
	var creds []byte
	within(t, 3*time.Minute, func() (err error) {
		if creds, err = c.mounted(t.Context(), namespace, name); err == nil && bytes.Equal(creds, before) {
			err = fmt.Errorf("the Secret %s/%s-nats on %s is the former one", namespace, name, c.name)
		}
		return err
	})
	seen.add(creds)
	return creds
}

func (c *cluster) resourceVersion(t testing.TB, namespace, name string) string {
	t.Helper()
	if secret := c.get(t, secrets, namespace, name+"-nats"); secret != nil {
		return string(secret.GetUID()) + "/" + secret.GetResourceVersion()
	}
	return "none"
}

// serverOf is where the account of a credential is.
func serverOf(creds []byte) string {
	token, err := nkeys.ParseDecoratedJWT(creds)
	if err == nil {
		if claims, err := jwt.DecodeUserClaims(token); err == nil && claims.IssuerAccount == world.Synadia.AccountKey {
			return world.Synadia.NATS
		}
	}
	return world.NATS.URL
}

// login tries a credential: it publishes what it may.
func login(creds []byte) error {
	conn, err := nats.Connect(serverOf(creds), nats.UserCredentialBytes(creds), nats.MaxReconnects(0), nats.Timeout(5*time.Second))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Publish("orders.created", []byte("one")); err != nil {
		return err
	}
	return conn.FlushTimeout(5 * time.Second)
}

// lets fails unless a credential lets in.
func lets(t testing.TB, creds []byte) {
	t.Helper()
	within(t, 10*time.Second, func() error { return login(creds) })
}

// refused tells that a credential does not let in, and that nothing else is wrong.
func refused(creds []byte) error {
	err := login(creds)
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
		return nil
	}
	return fmt.Errorf("the credential is not refused: %v", err)
}

// cutOff waits until a credential is refused.
func cutOff(t testing.TB, creds []byte) time.Duration {
	t.Helper()
	return within(t, 4*time.Minute, func() error { return refused(creds) })
}

// superseded has a request run until its former credential is refused.
func superseded(t testing.TB, namespace, name string, former []byte) {
	t.Helper()
	within(t, 3*time.Minute, func() error {
		reconcile(t, natsUsers, namespace, name)
		return refused(former)
	})
}

// rotate asks for new credentials, as a person does.
func rotate(t testing.TB, request string) {
	t.Helper()
	if err := baleen(t.Context(), "rotate", request); err != nil {
		t.Fatal(err)
	}
}

func smokeCredential(s *story) {
	t := s.T
	c := issue(t, "team-a", "orders")
	took := becomes(t, natsUsers, "team-a", "orders", "True/Delivered")
	s.holds("a NatsUser is delivered into Git %.1f s after it was asked for", took.Seconds())
	c.arrives(t)
	s.holds("both clusters have the Secret, and each credential connects and publishes")
	if bytes.Equal(c.last["eu-1"], c.last["us-1"]) {
		t.Error("both clusters have one identity")
	}
	confined(t, c.last["eu-1"])
	s.holds("it is refused what it was not granted")

	quiet(t, natsUsers, "team-a", "orders")
	before := commits(t, natsUsers, "team-a", "orders")
	for range reconciles(t, 50) {
		reconcile(t, natsUsers, "team-a", "orders")
	}
	quiet(t, natsUsers, "team-a", "orders")
	c.stays(t)
	if is := commits(t, natsUsers, "team-a", "orders"); is != before {
		t.Errorf("Git had %s commits of it and has %s:\n%s", before, is, git(t, "log", "--stat", "-3", "main"))
	}
	s.holds("%d forced reconciles: no Secret changed, Git has no new commit", reconciles(t, 50))
}

// reconciles is how often a story forces a reconcile: less in the short run.
func reconciles(t testing.TB, n int) int {
	if testing.Short() {
		return min(n, 10)
	}
	return n
}

// confined checks that a credential may not publish or subscribe elsewhere.
func confined(t testing.TB, creds []byte) {
	t.Helper()
	violations := make(chan error, 4)
	conn, err := nats.Connect(serverOf(creds), nats.UserCredentialBytes(creds), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Publish("payments.created", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.SubscribeSync("payments.>"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case err := <-violations:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("refused for another reason: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it may use subjects that it was not granted")
		}
	}
}

// rotationWhileConnected has a client publish to JetStream without a pause
// while its credential is rotated and the former one is revoked.
func rotationWhileConnected(s *story) {
	t := s.T
	hub().apply(t, natsUser("team-a", "stream", "credentials: {overlap: 20s}"))
	becomes(t, natsUsers, "team-a", "stream", "True/Delivered")
	refresh(t)
	first := eu().delivered(t, "team-a", "stream", nil)

	// What the kubelet does with a mounted Secret.
	file := filepath.Join(t.TempDir(), "nats.creds")
	if err := os.WriteFile(file, first, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for ctx.Err() == nil {
			if creds, err := eu().mounted(ctx, "team-a", "stream"); err == nil && os.WriteFile(file+".next", creds, 0o600) == nil {
				_ = os.Rename(file+".next", file)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	var disconnects, closed atomic.Int64
	conn, err := nats.Connect(world.NATS.URL, nats.UserCredentials(file), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { disconnects.Add(1) }), nats.ClosedHandler(func(*nats.Conn) { closed.Add(1) }))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.stream"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	published := make(chan int, 1)
	enough := make(chan struct{})
	go func() {
		n := 0
		for {
			select {
			case <-enough:
				published <- n
				return
			default:
			}
			// The id makes a message that is sent twice count once.
			publish := func() error {
				ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
				_, err := js.Publish(ctx, "orders.stream", fmt.Append(nil, n), jetstream.WithMsgID(fmt.Sprint("m", n)))
				return err
			}
			for publish() != nil {
				if ctx.Err() != nil || closed.Load() > 0 {
					published <- -1
					return
				}
			}
			n++
			time.Sleep(10 * time.Millisecond)
		}
	}()

	rotate(t, "team-a/stream")
	refresh(t)
	second := eu().delivered(t, "team-a", "stream", first)
	s.holds("the new credential is on the cluster")
	lets(t, second)
	// The overlap counts from delivery, which a later run sees.
	time.Sleep(25 * time.Second)
	superseded(t, "team-a", "stream", first)
	s.holds("the former one is revoked after its overlap")
	within(t, 30*time.Second, func() error {
		if disconnects.Load() == 0 {
			return errors.New("the client was not cut off")
		}
		return nil
	})
	time.Sleep(2 * time.Second)
	close(enough)
	sent := <-published
	defer conn.Close()
	if sent < 0 || closed.Load() > 0 {
		t.Fatal("the client was disconnected for good")
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if int(info.State.Msgs) != sent {
		t.Errorf("%d messages were acknowledged and the stream has %d", sent, info.State.Msgs)
	}
	s.holds("a client that was connected throughout was cut %d times, read its file again, and lost none of %d messages", disconnects.Load(), sent)

	hub().delete(t, natsUsers, "team-a", "stream")
	took := cutOff(t, second)
	s.holds("%.0f s after its deletion the client is refused", took.Seconds())
	gone(t, natsUsers, "team-a", "stream")
	within(t, time.Minute, func() error {
		refresh(t)
		for _, c := range []*cluster{eu(), us()} {
			if c.get(t, secrets, "team-a", "stream-nats") != nil || c.get(t, sealedSecrets, "team-a", "stream-nats") != nil {
				return fmt.Errorf("%s still has it", c.name)
			}
		}
		return nil
	})
	s.holds("the Secret is gone from both clusters")
}

// retainNothing keeps no ciphertext in Git's newest commit.
func retainNothing(s *story) {
	t := s.T
	c := issue(t, "team-a", "bare", "credentials: {overlap: 1s}", "retain: Nothing")
	c.arrives(t)
	within(t, 3*time.Minute, func() error {
		reconcile(t, natsUsers, "team-a", "bare")
		for _, cluster := range []string{"eu-1", "us-1"} {
			found := false
			for file := range strings.FieldsSeq(git(t, "ls-tree", "-r", "--name-only", "main", cluster+"/")) {
				if !strings.HasSuffix(file, ".bare-nats.yaml") {
					continue
				}
				found = true
				if document := git(t, "show", "main:"+file); strings.Contains(document, "nats.creds: ") || !strings.Contains(document, ".baleen: ") {
					return fmt.Errorf("%s has the ciphertext, or nothing at all", file)
				}
			}
			if !found {
				return fmt.Errorf("Git has no sealed secret for %s", cluster)
			}
		}
		return nil
	})
	s.holds("the sealed secret in Git has no credential any more")
	quiet(t, natsUsers, "team-a", "bare")
	before := commits(t, natsUsers, "team-a", "bare")
	for range reconciles(t, 20) {
		reconcile(t, natsUsers, "team-a", "bare")
	}
	quiet(t, natsUsers, "team-a", "bare")
	c.emptied(t)
	if is := commits(t, natsUsers, "team-a", "bare"); is != before {
		t.Errorf("Git had %s commits of it and has %s", before, is)
	}
	c.stays(t)
	s.holds("the Secret on each cluster is untouched through %d reconciles, and lets in", reconciles(t, 20))
	c.ends(t)
}

// emptied waits until each cluster has a SealedSecret without the credential.
func (c *credential) emptied(t testing.TB) {
	t.Helper()
	refresh(t)
	within(t, time.Minute, func() error {
		for _, on := range []*cluster{eu(), us()} {
			object := on.get(t, sealedSecrets, c.namespace, c.name+"-nats")
			if object == nil {
				return fmt.Errorf("%s has no SealedSecret", on.name)
			}
			sealed, _, err := unstructured.NestedStringMap(object.Object, "spec", "encryptedData")
			if err != nil || len(sealed) != 1 || sealed[".baleen"] == "" {
				return fmt.Errorf("the SealedSecret on %s has %d values (%v)", on.name, len(sealed), err)
			}
		}
		return nil
	})
}

// workloadClusterIsBuiltAnew wipes a cluster: all it gets is its components
// and the backup of its sealing keys.
func workloadClusterIsBuiltAnew(s *story) {
	t := s.T
	needsControl(t)
	c := issue(t, "team-a", "phoenix")
	c.arrives(t)
	quiet(t, natsUsers, "team-a", "phoenix")
	before, runs := commits(t, natsUsers, "team-a", "phoenix"), len(jobs(t, "nats-user", "team-a", "phoenix", "configure"))
	control(t, "rebuild", "us-1")
	us().apply(t, namespaces("team-a", "team-b", "gateways"))
	refresh(t)
	if again := us().delivered(t, "team-a", "phoenix", nil); !bytes.Equal(again, c.last["us-1"]) {
		t.Error("the cluster has another credential")
	}
	lets(t, c.last["us-1"])
	if is := commits(t, natsUsers, "team-a", "phoenix"); is != before || len(jobs(t, "nats-user", "team-a", "phoenix", "configure")) != runs {
		t.Errorf("Git has %s commits and had %s, or a pipeline ran", is, before)
	}
	s.holds("a wiped cluster has its Secret back, the same one, from Git alone")
	c.ends(t)
}

// gone waits until a request is deleted.
func gone(t testing.TB, what gvr, namespace, name string) time.Duration {
	t.Helper()
	return within(t, 5*time.Minute, func() error {
		object := hub().get(t, what, namespace, name)
		if object == nil {
			return nil
		}
		_, message := condition(object, "Ready")
		return fmt.Errorf("%s %s/%s is still there: %s", what.Resource, namespace, name, message)
	})
}
