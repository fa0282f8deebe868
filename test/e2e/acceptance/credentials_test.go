package acceptance

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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

// delivered waits until a cluster has the Secret of a request, other than the one
// before, and returns what is in it.
func (c *cluster) delivered(t testing.TB, namespace, name string, before []byte) []byte {
	t.Helper()
	var creds []byte
	within(t, 3*time.Minute, func() error {
		secret := c.get(t, secrets, namespace, name+"-nats")
		if secret == nil {
			return fmt.Errorf("%s has no Secret %s/%s-nats", c.name, namespace, name)
		}
		data, _ := secret.Object["data"].(map[string]any)
		text, _ := data["nats.creds"].(string)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(decoded) == 0 {
			return fmt.Errorf("the Secret %s/%s-nats on %s has no nats.creds", namespace, name, c.name)
		}
		if bytes.Equal(decoded, before) {
			return fmt.Errorf("the Secret %s/%s-nats on %s is the former one", namespace, name, c.name)
		}
		creds = decoded
		return nil
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

// login tries a credential: it publishes what it may.
func login(creds []byte) error {
	conn, err := nats.Connect(world.NATS.URL, nats.UserCredentialBytes(creds), nats.MaxReconnects(0), nats.Timeout(5*time.Second))
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

// cutOff waits until a credential is refused.
func cutOff(t testing.TB, creds []byte) time.Duration {
	t.Helper()
	return within(t, 4*time.Minute, func() error {
		if err := login(creds); !errors.Is(err, nats.ErrAuthorization) && !errors.Is(err, nats.ErrAuthExpired) && !errors.Is(err, nats.ErrAuthRevoked) {
			return fmt.Errorf("the credential is not refused: %v", err)
		}
		return nil
	})
}

// rotate asks for new credentials, as a person does.
func rotate(t testing.TB, request string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "baleen"), "rotate", request)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+world.Kubeconfigs["platform"])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("baleen rotate %s: %s", request, out)
	}
}

func smokeCredential(s *story) {
	t := s.T
	hub().apply(t, natsUser("team-a", "orders"))
	took := becomes(t, natsUsers, "team-a", "orders", "True/Delivered")
	s.holds("a NatsUser is delivered into Git %.1f s after it was asked for", took.Seconds())
	creds := map[string][]byte{}
	versions := map[string]string{}
	refresh(t)
	for _, c := range []*cluster{eu(), us()} {
		creds[c.name] = c.delivered(t, "team-a", "orders", nil)
		lets(t, creds[c.name])
		versions[c.name] = c.resourceVersion(t, "team-a", "orders")
	}
	s.holds("both clusters have the Secret, and each credential connects and publishes")
	if bytes.Equal(creds["eu-1"], creds["us-1"]) {
		t.Error("both clusters have one identity")
	}
	refused(t, creds["eu-1"])
	s.holds("it is refused what it was not granted")

	quiet(t, natsUsers, "team-a", "orders")
	before := commits(t, natsUsers, "team-a", "orders")
	for range reconciles(t, 50) {
		reconcile(t, natsUsers, "team-a", "orders")
	}
	quiet(t, natsUsers, "team-a", "orders")
	refresh(t)
	for _, c := range []*cluster{eu(), us()} {
		if is := c.resourceVersion(t, "team-a", "orders"); is != versions[c.name] {
			t.Errorf("the Secret on %s was %s and is %s", c.name, versions[c.name], is)
		}
	}
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

// refused checks that a credential may not publish or subscribe elsewhere.
func refused(t testing.TB, creds []byte) {
	t.Helper()
	violations := make(chan error, 4)
	conn, err := nats.Connect(world.NATS.URL, nats.UserCredentialBytes(creds), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))
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
			if secret := eu().get(t, secrets, "team-a", "stream-nats"); secret != nil {
				data, _ := secret.Object["data"].(map[string]any)
				if text, _ := data["nats.creds"].(string); text != "" {
					if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
						next := file + ".next"
						if os.WriteFile(next, decoded, 0o600) == nil {
							_ = os.Rename(next, file)
						}
					}
				}
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
	published := make(chan int)
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
	within(t, 3*time.Minute, func() error {
		reconcile(t, natsUsers, "team-a", "stream")
		if login(first) == nil {
			return errors.New("the former credential is not revoked")
		}
		return nil
	})
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
	hub().apply(t, natsUser("team-a", "bare", "credentials: {overlap: 1s}", "retain: Nothing"))
	becomes(t, natsUsers, "team-a", "bare", "True/Delivered")
	refresh(t)
	creds := eu().delivered(t, "team-a", "bare", nil)
	version := eu().resourceVersion(t, "team-a", "bare")
	within(t, 3*time.Minute, func() error {
		reconcile(t, natsUsers, "team-a", "bare")
		for _, file := range strings.Fields(git(t, "ls-tree", "-r", "--name-only", "main")) {
			if strings.Contains(file, "bare-nats") && strings.Contains(git(t, "show", "main:"+file), "nats.creds: ") {
				return fmt.Errorf("%s has the ciphertext", file)
			}
		}
		return nil
	})
	s.holds("the sealed secret in Git is empty")
	quiet(t, natsUsers, "team-a", "bare")
	before := commits(t, natsUsers, "team-a", "bare")
	for range reconciles(t, 20) {
		reconcile(t, natsUsers, "team-a", "bare")
	}
	refresh(t)
	quiet(t, natsUsers, "team-a", "bare")
	if is := eu().resourceVersion(t, "team-a", "bare"); is != version {
		t.Errorf("the Secret was %s and is %s", version, is)
	}
	if is := commits(t, natsUsers, "team-a", "bare"); is != before {
		t.Errorf("Git had %s commits of it and has %s", before, is)
	}
	lets(t, creds)
	s.holds("the Secret on the cluster is untouched through %d reconciles, and lets in", reconciles(t, 20))
	hub().delete(t, natsUsers, "team-a", "bare")
	cutOff(t, creds)
	gone(t, natsUsers, "team-a", "bare")
}

// workloadClusterIsBuiltAnew wipes a cluster: all it gets is its components
// and the backup of its sealing keys.
func workloadClusterIsBuiltAnew(s *story) {
	t := s.T
	needsControl(t)
	hub().apply(t, natsUser("team-a", "phoenix"))
	becomes(t, natsUsers, "team-a", "phoenix", "True/Delivered")
	refresh(t)
	creds := us().delivered(t, "team-a", "phoenix", nil)
	quiet(t, natsUsers, "team-a", "phoenix")
	before, runs := commits(t, natsUsers, "team-a", "phoenix"), len(jobs(t, "nats-user", "team-a", "phoenix", "configure"))
	control(t, "rebuild", "us-1")
	us().apply(t, namespaces("team-a", "team-b", "gateways"))
	refresh(t)
	if again := us().delivered(t, "team-a", "phoenix", nil); !bytes.Equal(again, creds) {
		t.Error("the cluster has another credential")
	}
	lets(t, creds)
	if is := commits(t, natsUsers, "team-a", "phoenix"); is != before || len(jobs(t, "nats-user", "team-a", "phoenix", "configure")) != runs {
		t.Errorf("Git has %s commits and had %s, or a pipeline ran", is, before)
	}
	s.holds("a wiped cluster has its Secret back, the same one, from Git alone")
	hub().delete(t, natsUsers, "team-a", "phoenix")
	cutOff(t, creds)
	gone(t, natsUsers, "team-a", "phoenix")
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
