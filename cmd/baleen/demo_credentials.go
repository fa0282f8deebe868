package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
	"github.com/nats-io/nats.go"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/term"
)

// credentialsDemo tells the life of a credential: a NATS system in operator mode
// runs in this process, and two clusters have keys to unseal with.
type credentialsDemo struct {
	*demo
	system *natslocal.System
	keys   map[string]*rsa.PrivateKey
	// held are the credentials that eu-1 has had, in order.
	held [][]byte
}

// prepareCredentials starts the NATS server and adds what it takes to the platform.
func (d *demo) prepareCredentials() (*credentialsDemo, func(), error) {
	c := &credentialsDemo{demo: d, keys: map[string]*rsa.PrivateKey{}}
	var err error
	if c.system, err = natslocal.New(filepath.Join(d.dir, "nats")); err != nil {
		return nil, nil, err
	}
	if err := c.system.Start(true); err != nil {
		return nil, nil, err
	}
	bundles := map[string]string{}
	for _, name := range []string{"eu-1", "us-1"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		certificate, err := crypto.SignKey(rand.Reader, key, 10*365*24*time.Hour, "")
		if err != nil {
			return nil, nil, err
		}
		c.keys[name] = key
		bundles[name] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
	}
	objects := []map[string]any{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": seal.BundlesName, "namespace": "baleen-system"}, "data": bundles},
		{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "commerce-signing", "namespace": "baleen-system"},
			"stringData": map[string]any{"seed": string(c.system.SigningKey)}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "operator", "namespace": "baleen-system"},
			"stringData": map[string]any{"seed": string(c.system.OperatorKey), "creds": string(c.system.SystemCredentials)}},
	}
	for i, object := range objects {
		data, err := yaml.Marshal(object)
		if err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(filepath.Join(d.platform(), fmt.Sprintf("nats-%d.yaml", i)), data, 0o600); err != nil {
			return nil, nil, err
		}
	}
	account, err := demoFiles.ReadFile("demo/account.yaml")
	if err != nil {
		return nil, nil, err
	}
	user, err := demoFiles.ReadFile("demo/user.yaml")
	if err != nil {
		return nil, nil, err
	}
	d.files["account.yaml"] = []byte(strings.NewReplacer("ACCOUNT", c.system.AccountID, "SERVER", c.system.URL()).Replace(string(account)))
	d.files["user.yaml"] = user
	d.files["user-rotated.yaml"] = bytes.Replace(user, []byte("ttl: 720h"), []byte(`rotate: "1", ttl: 720h`), 1)
	return c, c.system.Stop, nil
}

func (c *credentialsDemo) chapters() []chapter {
	return []chapter{
		{"The platform team offers the NATS account commerce, whose users teams may draw: Baleen verifies the keys on the servers", c.account},
		{"Team A asks for a credential for its workload orders", c.run("user.yaml")},
		{"The cluster eu-1 unseals what Git has for it; the workload connects, and may do what was granted and nothing else", c.unseal},
		{"Two weeks of reconciles, one every ten hours: no new credential, no restart", c.weeks},
		{"Team A asks for a rotation: each cluster gets a new credential, and the former one still works", c.rotate},
		{"A day after the new one was delivered the former one is revoked: it is refused, the new one is not", c.letGo},
		{"Who has which credential: `baleen credentials`", c.list},
		{"Team A deletes its request: the deletion ends when every credential is revoked", c.remove},
	}
}

// account has the account verified. Servers look at their own clock, so that from
// here on the story is told in the present.
func (c *credentialsDemo) account(ctx context.Context) error {
	c.now = time.Now().UTC().Truncate(time.Second)
	return c.run("account.yaml")(ctx)
}

// unsealed is what a cluster has now, as its Sealed Secrets controller reads it.
func (c *credentialsDemo) unsealed(file, cluster string) ([]byte, error) {
	for _, d := range c.results[file].Destinations {
		if d.Name != cluster {
			continue
		}
		for _, data := range d.After {
			var sealed struct {
				Metadata struct{ Namespace, Name string }
				Spec     struct{ EncryptedData map[string]string }
			}
			if err := yaml.Unmarshal(data, &sealed); err != nil {
				return nil, err
			}
			ciphertext, err := base64.StdEncoding.DecodeString(sealed.Spec.EncryptedData["nats.creds"])
			if err != nil {
				return nil, err
			}
			return crypto.HybridDecrypt(rand.Reader, map[string]*rsa.PrivateKey{"": c.keys[cluster]}, ciphertext,
				[]byte(sealed.Metadata.Namespace+"/"+sealed.Metadata.Name))
		}
	}
	return nil, fmt.Errorf("the cluster %s has no SealedSecret", cluster)
}

// take has eu-1 unseal what it has now, and keeps it if it is new.
func (c *credentialsDemo) take(file string) error {
	credential, err := c.unsealed(file, "eu-1")
	if err == nil && (len(c.held) == 0 || !bytes.Equal(c.held[len(c.held)-1], credential)) {
		c.held = append(c.held, credential)
	}
	return err
}

func (c *credentialsDemo) unseal(context.Context) error {
	if err := c.take("user.yaml"); err != nil {
		return err
	}
	return c.tries(map[string]string{"orders.created": "published", "payments.made": "refused"}, c.held[0])
}

// tries shows what a credential may publish to, and ends the demo if that is not
// what it should be.
func (c *credentialsDemo) tries(subjects map[string]string, credential []byte) error {
	var rows [][]term.Cell
	for _, subject := range []string{"orders.created", "payments.made"} {
		if want, asked := subjects[subject]; asked {
			row, err := c.expect("  publish to "+subject, c.publish(credential, subject), want)
			rows = append(rows, row)
			if err != nil {
				return err
			}
		}
	}
	return term.Table(c.w, c.colors, rows...)
}

// expect is a line that says what happened, and an error if it should not have.
func (c *credentialsDemo) expect(what string, err error, want string) ([]term.Cell, error) {
	got, said, style := "published", "", term.Green
	if err != nil {
		got, style = "refused", term.Red
		said = ": " + strings.TrimPrefix(strings.ToLower(err.Error()), "nats: ")
	}
	if got != want {
		return nil, fmt.Errorf("%s should be %s and is %s%s", strings.TrimSpace(what), want, got, said)
	}
	return []term.Cell{{Text: what}, {Text: got + said, Style: style}}, nil
}

// publish connects with a credential, publishes, and waits for what the server says.
func (c *credentialsDemo) publish(credential []byte, subject string) error {
	said := make(chan error, 8)
	conn, err := c.system.Connect(credential, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { said <- err }))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Publish(subject, []byte("hello")); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	select {
	case err := <-said:
		return err
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

func (c *credentialsDemo) weeks(ctx context.Context) error {
	before, err := snapshot(c.platform())
	if err != nil {
		return err
	}
	var t tally
	for end := c.now.Add(14 * 24 * time.Hour); c.now.Before(end); c.now = c.now.Add(10 * time.Hour) {
		if err := t.run(ctx, c.demo, "user.yaml"); err != nil {
			return err
		}
	}
	return t.show(c.demo, before)
}

func (c *credentialsDemo) rotate(ctx context.Context) error {
	if err := c.run("user-rotated.yaml")(ctx); err != nil {
		return err
	}
	if err := c.take("user-rotated.yaml"); err != nil {
		return err
	}
	return c.generations("published", "published")
}

// generations shows whether the two credentials that eu-1 has had still work.
func (c *credentialsDemo) generations(former, latter string) error {
	if len(c.held) != 2 {
		return fmt.Errorf("eu-1 has had %d credentials and not two", len(c.held))
	}
	one, err := c.expect("  generation 1 publishes", c.publish(c.held[0], "orders.created"), former)
	if err != nil {
		return err
	}
	two, err := c.expect("  generation 2 publishes", c.publish(c.held[1], "orders.created"), latter)
	if err != nil {
		return err
	}
	return term.Table(c.w, c.colors, one, two)
}

func (c *credentialsDemo) letGo(ctx context.Context) error {
	// The next run sees the new one in the state store, and one a day later lets go
	// of the former, which the account's pipeline then revokes.
	for _, after := range []time.Duration{10 * time.Hour, 24 * time.Hour} {
		c.now = c.now.Add(after)
		if _, err := c.carryOut(ctx, "user-rotated.yaml"); err != nil {
			return err
		}
	}
	if err := c.run("account.yaml")(ctx); err != nil {
		return err
	}
	if _, err := c.carryOut(ctx, "user-rotated.yaml"); err != nil { // nothing is left to wait for
		return err
	}
	return c.generations("refused", "published")
}

func (c *credentialsDemo) list(ctx context.Context) error {
	client, err := platformFlags{folder: c.platform()}.open()
	if err != nil {
		return err
	}
	rows, err := collectCredentials(ctx, client, c.now)
	if err != nil {
		return err
	}
	return credentialTable(c.w, rows, c.now)
}

func (c *credentialsDemo) remove(ctx context.Context) error {
	// On a cluster the delete pipeline waits for the account's; here one runs after
	// the other.
	var said bytes.Buffer
	if _, err := c.workflow(ctx, kratix.Delete, "user-rotated.yaml", &said); err == nil {
		return errors.New("the deletion should have waited for the account")
	}
	sentence := strings.TrimSpace(said.String())
	sentence = sentence[strings.LastIndex(sentence, "nats-user: ")+len("nats-user: "):]
	if err := term.Table(c.w, c.colors, []term.Cell{{Text: "  " + sentence, Style: term.Yellow}}); err != nil {
		return err
	}
	if err := c.run("account.yaml")(ctx); err != nil {
		return err
	}
	if _, err := c.workflow(ctx, kratix.Delete, "user-rotated.yaml", c.stderr); err != nil {
		return err
	}
	return c.generations("refused", "refused")
}
