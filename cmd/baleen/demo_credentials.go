package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
	"github.com/nats-io/nats.go"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/seal"
	"github.com/baleen-platform/baleen/internal/term"
)

// natsProvider is who makes the users, and all in which the lives of their
// credentials differ.
type natsProvider struct {
	name string
	// offers is the title of the chapter in which the account is offered.
	offers string
	// secrets returns the Secrets that the account takes, by namespace and name, and
	// what stands in the account's file for what is known only now.
	secrets func(c *credentialsDemo) (secrets map[string]map[string]any, words []string, err error)
}

var providers = []natsProvider{
	{"jwt", "The platform team offers the NATS account commerce; Baleen verifies its keys on the servers", (*credentialsDemo).ofJWT},
	{"synadia", "The platform team offers an account of Synadia Cloud, here of a stand-in for it", (*credentialsDemo).ofSynadia},
}

// credentialsDemo tells the life of a credential: a NATS system in operator mode
// runs in this process, and two clusters have keys to unseal with.
type credentialsDemo struct {
	*demo
	provider natsProvider
	system   *natslocal.System
	// cloud stands in for Synadia's control plane, nil for provider jwt, and web
	// serves it.
	cloud *fakecloud.Cloud
	web   *httptest.Server
	keys  map[string]*rsa.PrivateKey
	// held are the credentials that eu-1 has had, in order.
	held [][]byte
}

func (d *demo) tellCredentials(ctx context.Context, provider natsProvider) error {
	c := &credentialsDemo{demo: d, provider: provider, keys: map[string]*rsa.PrivateKey{}}
	defer c.stop()
	if err := c.prepare(); err != nil {
		return err
	}
	return d.show(ctx, c.chapters())
}

// prepare starts the NATS server and adds what it takes to the platform.
func (c *credentialsDemo) prepare() error {
	var err error
	if c.system, err = natslocal.New(filepath.Join(c.dir, "nats")); err != nil {
		return err
	}
	if err := c.system.Start(true); err != nil {
		return err
	}
	bundles := map[string]any{}
	for _, name := range []string{"eu-1", "us-1"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return err
		}
		certificate, err := crypto.SignKey(rand.Reader, key, 10*365*24*time.Hour, "")
		if err != nil {
			return err
		}
		c.keys[name] = key
		bundles[name] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
	}
	if err := c.object("ConfigMap", "baleen-system", seal.BundlesName, "data", bundles); err != nil {
		return err
	}
	secrets, words, err := c.provider.secrets(c)
	if err != nil {
		return err
	}
	for where, data := range secrets {
		namespace, name, _ := strings.Cut(where, "/")
		if err := c.object("Secret", namespace, name, "stringData", data); err != nil {
			return err
		}
	}
	account, err := demoFiles.ReadFile("demo/account-" + c.provider.name + ".yaml")
	if err != nil {
		return err
	}
	user, err := demoFiles.ReadFile("demo/user.yaml")
	if err != nil {
		return err
	}
	c.files["account.yaml"] = []byte(strings.NewReplacer(append(words, "SERVER", c.system.URL())...).Replace(string(account)))
	c.files["user.yaml"] = user
	c.files["user-rotated.yaml"] = bytes.Replace(user, []byte("ttl: 720h"), []byte(`rotate: "1", ttl: 720h`), 1)
	return nil
}

func (c *credentialsDemo) stop() {
	if c.web != nil {
		c.web.Close()
	}
	if c.system != nil {
		c.system.Stop()
	}
}

// object adds an object to the platform.
func (c *credentialsDemo) object(kind, namespace, name, key string, data map[string]any) error {
	object, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}, key: data,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.platform(), name+".yaml"), object, 0o600)
}

func (c *credentialsDemo) ofJWT() (map[string]map[string]any, []string, error) {
	return map[string]map[string]any{
		"baleen-system/commerce-signing": {"seed": string(c.system.SigningKey)},
		"baleen-operator/operator":       {"seed": string(c.system.OperatorKey), "creds": string(c.system.SystemCredentials)},
	}, []string{"ACCOUNT", c.system.AccountID}, nil
}

func (c *credentialsDemo) ofSynadia() (map[string]map[string]any, []string, error) {
	token := rand.Text()
	now := func() time.Time {
		if at := c.clock.Load(); at != nil {
			return *at
		}
		return time.Now()
	}
	var err error
	if c.cloud, err = fakecloud.New(fakecloud.Options{NATS: c.system, Tokens: []string{token}, Now: now}); err != nil {
		return nil, nil, err
	}
	c.web = httptest.NewServer(c.cloud)
	return map[string]map[string]any{"baleen-system/synadia": {"token": token}}, []string{"CLOUD", c.web.URL}, nil
}

func (c *credentialsDemo) chapters() []chapter {
	return []chapter{
		{name: "account", title: c.provider.offers, tell: c.asking(c.account)},
		{name: "credential", title: "Team A asks for a credential for its service orders", tell: c.asking(c.issue)},
		{name: "weeks", title: "Two weeks of reconciles, one every ten hours: no new credential, no restart", tell: c.asking(c.weeks)},
		{name: "rotation", title: "Team A asks for a rotation: the former credential works until a day after the new one arrived", tell: c.asking(c.rotate)},
		{name: "deletion", title: "Team A deletes its request: that ends when every credential is revoked", tell: c.asking(c.remove)},
	}
}

// asking says after a chapter how often it asked the control plane, if there is one.
func (c *credentialsDemo) asking(tell func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := tell(ctx); err != nil || c.cloud == nil {
			return err
		}
		times := map[string]int{}
		for _, r := range c.cloud.Requests() {
			times[r.Method]++
		}
		c.cloud.ForgetRequests()
		var asked []string
		for _, method := range slices.Sorted(maps.Keys(times)) {
			asked = append(asked, fmt.Sprintf("%d %s", times[method], method))
		}
		c.say("", "Synadia's control plane was asked: "+cmp.Or(strings.Join(asked, ", "), "nothing"))
		return nil
	}
}

// account has the account verified. Servers look at their own clock, so that from
// here on the story is told in the present.
func (c *credentialsDemo) account(ctx context.Context) error {
	c.now = time.Now().UTC().Truncate(time.Second)
	result, err := c.ask(ctx, "account.yaml", "kind:", "metadata:", "provider:", "policy:", "namespaces:", "publish:", "subscribe:")
	if err != nil {
		return err
	}
	return c.served(result)
}

// issue shows a request, what Git has of it, and what the workload may do.
func (c *credentialsDemo) issue(ctx context.Context) error {
	result, err := c.ask(ctx, "user.yaml")
	if err != nil {
		return err
	}
	sealed, err := documentOf(result, "SealedSecret")
	if err != nil {
		return err
	}
	c.say("", "Git has for eu-1:")
	c.yaml(sealed, "kind: SealedSecret", "name:", "nats.creds:")
	if err := c.served(result); err != nil {
		return err
	}
	c.say("", "The cluster unseals it, and the service connects with it:")
	if err := c.take("user.yaml"); err != nil {
		return err
	}
	return c.tries(map[string]string{"orders.created": "published", "payments.made": "refused"}, c.held[0])
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

// tries shows what a credential may publish to, and ends the demo if that is not
// what it should be.
func (c *credentialsDemo) tries(subjects map[string]string, credential []byte) error {
	var rows [][]term.Cell
	for _, subject := range []string{"orders.created", "payments.made"} {
		if want, asked := subjects[subject]; asked {
			row, err := c.expect("publish to "+subject, c.publish(credential, subject), want)
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
	got, said := "published", ""
	if err != nil {
		got = "refused"
		said = ": " + strings.TrimPrefix(strings.ToLower(err.Error()), "nats: ")
		if first, _, found := strings.Cut(said, ": permissions violation for"); found {
			said = first
		}
	}
	if got != want {
		return nil, fmt.Errorf("%s should be %s and is %s%s", strings.TrimSpace(what), want, got, said)
	}
	return []term.Cell{{Text: "  ✓ " + what, Style: term.Green}, {Text: got + said, Style: term.Green}}, nil
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
	const interval = 10 * time.Hour
	for of := 1 + int(14*24*time.Hour/interval); t.runs < of; c.now = c.now.Add(interval) {
		if err := t.run(ctx, c.demo, "user.yaml"); err != nil {
			return err
		}
		c.progress("run", t.runs, of)
	}
	return t.show(c.demo, before)
}

func (c *credentialsDemo) rotate(ctx context.Context) error {
	result, err := c.ask(ctx, "user-rotated.yaml", "kind:", "metadata:", "credentials:")
	if err != nil {
		return err
	}
	if err := c.served(result); err != nil {
		return err
	}
	if err := c.take("user-rotated.yaml"); err != nil {
		return err
	}
	if err := c.generations("published", "published"); err != nil {
		return err
	}
	c.say("", "A day after the new one arrived:")
	if err := c.retire(ctx); err != nil {
		return err
	}
	c.say("", "`baleen credentials` shows every credential:")
	return c.list(ctx)
}

// generations shows whether the two credentials that eu-1 has had still work.
func (c *credentialsDemo) generations(former, latter string) error {
	if len(c.held) != 2 {
		return fmt.Errorf("eu-1 has had %d credentials and not two", len(c.held))
	}
	one, err := c.expect("the first credential publishes", c.publish(c.held[0], "orders.created"), former)
	if err != nil {
		return err
	}
	two, err := c.expect("the second credential publishes", c.publish(c.held[1], "orders.created"), latter)
	if err != nil {
		return err
	}
	return term.Table(c.w, c.colors, one, two)
}

func (c *credentialsDemo) retire(ctx context.Context) error {
	// The next run sees the new one in the state store, and one a day later retires
	// the former, which the account's pipeline then revokes.
	for _, after := range []time.Duration{10 * time.Hour, 24 * time.Hour} {
		c.now = c.now.Add(after)
		if _, err := c.carryOut(ctx, "user-rotated.yaml"); err != nil {
			return err
		}
	}
	if _, err := c.carryOut(ctx, "account.yaml"); err != nil {
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
	return writeCredentials(c.w, false, rows, c.now)
}

func (c *credentialsDemo) remove(ctx context.Context) error {
	// On a cluster the delete pipeline waits for the account's; here one runs after
	// the other.
	var said bytes.Buffer
	if _, err := c.workflow(ctx, kratix.Delete, "user-rotated.yaml", &said); err == nil {
		return errors.New("the deletion should have waited for the account")
	}
	sentence := strings.TrimSpace(said.String())
	c.say("", "Kratix waits: "+sentence[strings.LastIndex(sentence, "nats-user: ")+len("nats-user: "):])
	if _, err := c.carryOut(ctx, "account.yaml"); err != nil {
		return err
	}
	if _, err := c.workflow(ctx, kratix.Delete, "user-rotated.yaml", c.stderr); err != nil {
		return err
	}
	c.good("the account's run has revoked both, and NatsUser team-a/orders is deleted")
	if c.cloud != nil {
		if users := c.cloud.Users(c.cloud.Account); len(users) > 0 {
			return fmt.Errorf("the control plane still has %d users", len(users))
		}
	}
	return c.generations("refused", "refused")
}
