package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/ledger"
)

// hoard collects all that the stages of a world leave behind, and the secrets that
// must not be in it.
type hoard struct {
	*world
	// texts are by content, with the place where each was found first.
	texts map[string]string
	// secrets are by content, with what each is.
	secrets map[string]string
	users   map[string]bool
	// left are the files in the folder where there should be none: it is the
	// working directory, the home and the place for temporary files.
	left []string
}

func newHoard(t *testing.T) *hoard {
	h := hoardOf(newWorld(t, released()))
	h.keep("the account's signing key", string(h.nats.SigningKey))
	h.keep("the operator's signing key", string(h.nats.OperatorKey))
	h.keepCreds("of the system account", h.nats.SystemCredentials)
	return h
}

func hoardOf(w *world) *hoard {
	h := &hoard{world: w, texts: map[string]string{}, secrets: map[string]string{}, users: map[string]bool{}}
	h.log = "debug"
	h.watch = func(p process) {
		h.add("what a stage said", p.said)
		h.add("arguments and environment", p.seen)
		h.collect()
	}
	h.keep("what every JWT of NATS begins with", header)
	return h
}

func (h *hoard) keep(what, secret string) {
	if len(secret) < 20 {
		h.Fatalf("%s is too short to look for: %q", what, secret)
	}
	h.secrets[secret] = what
}

func (h *hoard) keepCreds(whose string, creds []byte) {
	h.Helper()
	h.keep("the credentials "+whose, string(creds))
	token, err := jwt.ParseDecoratedJWT(creds)
	h.must(err)
	h.keep("the JWT "+whose, token)
	key, err := jwt.ParseDecoratedNKey(creds)
	h.must(err)
	private, err := key.Seed()
	h.must(err)
	h.keep("the seed "+whose, string(private))
}

// learn remembers the secrets of a credential that was sealed.
func (h *hoard) learn(c credential) {
	h.Helper()
	if h.users[c.user] {
		return
	}
	h.users[c.user] = true
	h.keepCreds("of "+c.user, c.creds)
	for key, value := range c.values {
		if key != "NATS_URL" {
			h.keep(key+" of "+c.user, value)
		}
	}
}

// add reports whether the text is new.
func (h *hoard) add(where, text string) bool {
	_, known := h.texts[text]
	if !known {
		h.texts[text] = where
	}
	return !known
}

// collect takes what the folders have now, but for the Secrets of the platform team,
// and opens what is sealed there.
func (h *hoard) collect() {
	h.Helper()
	for path, content := range h.files("") {
		relative, _ := filepath.Rel(h.dir, path)
		if strings.HasSuffix(path, " written") || strings.HasPrefix(relative, "platform/baleen-system/Secret.core/") || strings.HasPrefix(relative, "platform/baleen-operator/") {
			continue
		}
		fresh := h.add(relative, content)
		if strings.HasPrefix(relative, "empty/") {
			h.left = append(h.left, relative)
		}
		if cluster, file, _ := strings.Cut(strings.TrimPrefix(relative, "kratix/output/"), "/"); fresh && strings.HasPrefix(file, "sealedsecret.") {
			if c, ok := h.unseal(cluster, []byte(content)); ok {
				h.learn(c)
			}
		}
	}
	for _, r := range h.rows() {
		if h.users[r.User] {
			continue
		}
		if c, ok := h.open(r.Destination, r.Basis.Delivery.Namespace+"/"+r.Basis.Delivery.Name, r.Ciphertext); ok {
			h.learn(c)
		}
	}
}

// forms are how a secret may lie in a text: as it is, in hexadecimal digits, and in
// base64, where it may begin at any of three places in a group of digits. Digits
// that depend on what is around it are left out.
func forms(secret string) []string {
	all := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for shift := range 3 {
		shifted := append(make([]byte, shift), secret...)
		from, to := (shift*8+5)/6, len(shifted)*8/6
		all = append(all, base64.RawStdEncoding.EncodeToString(shifted)[from:to], base64.RawURLEncoding.EncodeToString(shifted)[from:to])
	}
	return slices.Compact(all)
}

// packed is gzip in base64, as a Work has its files.
var packed = regexp.MustCompile(`H4sI[A-Za-z0-9+/]+=*`)

// findings are the secrets in what was collected, and where.
func (h *hoard) findings() []string {
	h.Helper()
	texts := maps.Clone(h.texts)
	for text, where := range h.texts {
		for _, content := range packed.FindAllString(text, -1) {
			zipped, err := base64.StdEncoding.DecodeString(content)
			h.must(err)
			reader, err := gzip.NewReader(bytes.NewReader(zipped))
			h.must(err)
			plain, err := io.ReadAll(reader)
			h.must(err)
			texts[string(plain)] = "packed in " + where
		}
	}
	found := map[string]bool{}
	for text, where := range texts {
		if s := seed.FindString(text); s != "" {
			found["a seed: "+where] = true // also of a user whom nobody got to see
		}
	}
	for secret, what := range h.secrets {
		for _, form := range forms(secret) {
			for text, where := range texts {
				if strings.Contains(text, form) {
					found[what+": "+where] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// user is a NatsUser of that name.
func user(name, secret, more string) string {
	return fmt.Sprintf(`
apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: %s, namespace: team-a}
spec:
  accountRef: {name: commerce}
  permissions: {publish: {allow: [orders.>]}}
  secret: {name: %[1]s-nats%s}
  credentials: {ttl: 30d, renewBefore: 10d, overlap: 24h%s}
`, name, secret, more)
}

// wants is a run after which the condition Ready of the request has that reason.
func (h *hoard) wants(request, reason string) {
	h.Helper()
	conditions, _ := h.apply(request).Status["conditions"].([]any)
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == "Ready" {
			if c["reason"] != reason {
				h.Errorf("%v: %v, want %s", c["reason"], c["message"], reason)
			}
			return
		}
	}
	h.Errorf("there is no condition Ready")
}

// Whatever happens to credentials, and whatever goes wrong: no seed, JWT or .creds
// file lies anywhere afterwards but in ciphertext.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	h := newHoard(t)
	formats := map[string]string{"file": "", "pair": ", format: JWTAndSeed", "variables": ", format: Env"}
	each := func(more, reason string) {
		h.Helper()
		for name, format := range formats {
			h.wants(user(name, format, more), "Delivered")
		}
		n := 0
		for _, r := range h.rows() {
			if r.Reason == reason && r.State == ledger.Active {
				n++
			}
		}
		if want := len(formats) * len(clusters); n != want {
			t.Errorf("%d credentials were issued for the reason %s, want %d", n, reason, want)
		}
	}
	h.first = func(promise string, env []string) {
		if p := h.stage(promise, env, "BALEEN_FATAL=1"); p.code != 0 {
			t.Errorf("a stage as it is released can be made to die: exit code %d: %s", p.code, p.said)
		}
	}
	h.wants(h.commerce(), "Verified")
	h.dryRun = true
	h.wants(user("file", "", ""), "Delivered")
	h.dryRun = false
	each("", "FirstIssue")
	h.now = h.now.AddDate(0, 0, 21)
	each("", "RenewalDue")
	const rotated = `, rotate: "2", revokePrevious: Immediately`
	each(rotated, "RotationRequested")
	h.wants(h.commerce(), "Verified") // and revokes
	if n := len(h.account().Revocations); n < len(formats)*len(clusters) {
		t.Errorf("%d users were revoked", n)
	}
	// What is delivered once and then dropped.
	dropped := user("dropped", "", rotated) + "  retain: Nothing\n"
	h.wants(dropped, "Delivered")
	h.now = h.now.Add(25 * time.Hour)
	for range 2 {
		h.wants(dropped, "Delivered")
		h.now = h.now.Add(25 * time.Hour)
	}

	h.wants(strings.ReplaceAll(user("file", "", rotated), "orders.>", "payments.>"), "NotAdmitted")
	many := "orders.a"
	for i := range 250 {
		many += fmt.Sprintf(", orders.number-%d", i)
	}
	h.wants(strings.ReplaceAll(user("file", "", strings.ReplaceAll(rotated, "2", "3")), "orders.>", many), "GrantTooLarge")
	h.brokenSecrets(user("file", "", rotated))
	h.interrupted()
	if p := h.stage("nats-user", nil); p.code != 1 {
		t.Errorf("a stage without a request ends with exit code %d", p.code)
	}

	for name, format := range formats {
		request := user(name, format, rotated)
		if _, err := h.run(kratix.Delete, request); err == nil || !strings.Contains(err.Error(), "are not revoked yet") {
			t.Errorf("the deletion: %v", err)
		}
		h.wants(h.commerce(), "Verified")
		_, err := h.run(kratix.Delete, request)
		h.must(err)
	}
	_, err := h.run(kratix.Delete, h.commerce())
	h.must(err)
	h.collect()
	if least := 2 * (1 + 3 + 3 + 3 + 1); len(h.users) < least {
		t.Errorf("only %d credentials were seen, of %d or more", len(h.users), least)
	}
	if found := append(h.findings(), h.left...); len(found) > 0 {
		t.Errorf("leaked:\n%s", strings.Join(found, "\n"))
	}
	size := 0
	for text := range h.texts {
		size += len(text)
	}
	t.Logf("looked for %d secrets of %d users in %d texts of %d kB", len(h.secrets), len(h.users), len(h.texts), size>>10)
}

// brokenSecrets are runs that find something in a Secret that does not belong there:
// what they say of it must not show it.
func (h *hoard) brokenSecrets(request string) {
	h.Helper()
	stranger, err := nkeys.CreateAccount()
	h.must(err)
	whole := map[string][]byte{"seed": h.nats.OperatorKey, "creds": h.nats.SystemCredentials}
	for _, test := range []struct {
		name        string
		secret, key string
		value       []byte
		account     string
		user        string
	}{
		{"an operator's seed to sign with", "signing", "seed", h.nats.OperatorKey, "SecretInvalid", "AccountInvalid"},
		{"credentials to sign with", "signing", "seed", h.nats.SystemCredentials, "SecretInvalid", "AccountInvalid"},
		{"more than a seed", "signing", "seed", append(slices.Clone(h.nats.SigningKey), " # of commerce"...), "SecretInvalid", "AccountInvalid"},
		{"less than a seed", "signing", "seed", h.nats.SigningKey[:30], "SecretInvalid", "AccountInvalid"},
		{"an account's seed for the operator", "operator", "seed", h.nats.SigningKey, "SecretInvalid", "Delivered"},
		{"credentials for the operator's seed", "operator", "seed", h.nats.SystemCredentials, "SecretInvalid", "Delivered"},
		{"a seed for credentials", "operator", "creds", h.nats.OperatorKey, "SecretInvalid", "Delivered"},
		{"less than credentials", "operator", "creds", h.nats.SystemCredentials[:200], "SecretInvalid", "Delivered"},
		{"credentials of another account", "operator", "creds", h.credsOf(stranger), "SystemUserRefused", "Delivered"},
	} {
		h.row(test.name, func() {
			h.keep("what was put into the Secret "+test.secret, string(test.value))
			if test.secret == "signing" {
				h.secret("signing", map[string][]byte{test.key: test.value})
			} else {
				values := maps.Clone(whole)
				values[test.key] = test.value
				h.operatorSecret(values)
			}
			h.wants(h.commerce(), test.account)
			h.wants(request, test.user)
			h.secret("signing", map[string][]byte{"seed": h.nats.SigningKey})
			h.operatorSecret(whole)
		})
	}
	h.wants(h.commerce(), "Verified")
}

// row makes one row of a table a subtest, in the same folder.
func (h *hoard) row(name string, do func()) {
	h.Run(name, func(t *testing.T) {
		whole := h.T
		defer func() { h.T = whole }()
		h.T = t
		do()
	})
}

// credsOf makes credentials that are signed by some account.
func (h *hoard) credsOf(account nkeys.KeyPair) []byte {
	h.Helper()
	key, err := nkeys.CreateUser()
	h.must(err)
	public, err := key.PublicKey()
	h.must(err)
	private, err := key.Seed()
	h.must(err)
	token, err := jwt.NewUserClaims(public).Encode(account)
	h.must(err)
	creds, err := jwt.FormatUserConfig(token, private)
	h.must(err)
	h.keepCreds("of a stranger", creds)
	return creds
}

// interrupted are runs that are told to stop while they issue: one with all that a
// Go program says of its stacks, which is the most that it leaves.
func (h *hoard) interrupted() {
	h.Helper()
	for i, s := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGQUIT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGTERM, syscall.SIGTERM} {
		h.first = func(promise string, env []string) {
			cmd := h.command(promise, append(env, "GOTRACEBACK=crash")...)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			h.must(cmd.Start())
			time.Sleep(time.Duration(10+i%3*5) * time.Millisecond)
			_ = cmd.Process.Signal(s) // it may be done
			h.wait(cmd, &said)
		}
		h.wants(user("file", "", fmt.Sprintf(", rotate: again-%d", i)), "Delivered")
	}
}

// The search finds a secret in whatever place and form it may be left.
func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	h := newHoard(t)
	h.wants(h.commerce(), "Verified")
	account, err := nkeys.CreateAccount()
	h.must(err)
	creds := h.credsOf(account)
	if found := append(h.findings(), h.left...); len(found) > 0 {
		t.Fatalf("found before anything was left:\n%s", strings.Join(found, "\n"))
	}
	key, err := jwt.ParseDecoratedNKey(creds)
	h.must(err)
	seed, err := key.Seed()
	h.must(err)
	token, err := jwt.ParseDecoratedJWT(creds)
	h.must(err)
	work := func(content string) string {
		w, err := simulator.Pack(kratix.Owner{Promise: "p", Namespace: "team-a", Resource: "r", Pipeline: "c"},
			fstest.MapFS{"eu-1/secret.yaml": &fstest.MapFile{Data: []byte(content)}}, nil, nil)
		h.must(err)
		data, err := yaml.Marshal(w.Object)
		h.must(err)
		return string(data)
	}
	places := []string{"kratix/output/eu-1/a.yaml", "kratix/metadata/a.yaml", "platform/team-a/Work.platform.kratix.io/a.yaml", "platform/baleen-state/.tmp", "empty/core"}
	for what, secret := range map[string]string{"the seed": string(seed), "the JWT": token, "the credentials": string(creds)} {
		found := func() bool {
			return slices.ContainsFunc(h.findings(), func(f string) bool { return strings.HasPrefix(f, what+" of a stranger") })
		}
		ways := map[string]string{
			"as it is":                secret,
			"in hexadecimal digits":   hex.EncodeToString([]byte("a " + secret + " b")),
			"in upper case":           strings.ToUpper(hex.EncodeToString([]byte(secret))),
			"in base64":               base64.StdEncoding.EncodeToString([]byte(secret + "z")),
			"in base64, one after":    base64.StdEncoding.EncodeToString([]byte("a" + secret + "zz")),
			"in base64, two after":    base64.StdEncoding.EncodeToString([]byte("aa" + secret + "zzz")),
			"in base64, four after":   base64.StdEncoding.EncodeToString([]byte("aaaa" + secret)),
			"in base64 for URLs":      base64.RawURLEncoding.EncodeToString([]byte("a" + secret + "?")),
			"in a Work":               work(secret),
			"in base64 within a Work": work("a: " + base64.StdEncoding.EncodeToString([]byte(secret))),
		}
		for i, way := range slices.Sorted(maps.Keys(ways)) {
			h.row(what+" "+way, func() {
				h.texts, h.left = map[string]string{}, nil
				file := places[i%len(places)]
				path := filepath.Join(h.dir, file)
				h.must(os.MkdirAll(filepath.Dir(path), 0o755))
				h.must(os.WriteFile(path, []byte("a: "+ways[way]+"\n"), 0o600))
				if h.collect(); !found() {
					h.Errorf("%s is not found %s in %s", what, way, file)
				}
				if len(h.left) == 0 && file == "empty/core" {
					h.Errorf("%s is not noticed", file)
				}
				h.must(os.Remove(path))
			})
		}
		if what == "the credentials" {
			continue // have several lines, which an error does not keep
		}
		for name, prepare := range map[string]func(*exec.Cmd){
			"arguments and environment: a variable":  func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "SEED="+secret) },
			"arguments and environment: an argument": func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, secret) },
			"what a stage said: the action":          func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "KRATIX_WORKFLOW_ACTION="+secret) },
		} {
			h.row(what+" in "+name, func() {
				h.texts = map[string]string{}
				cmd := h.command("nats-user")
				prepare(cmd)
				var said bytes.Buffer
				cmd.Stderr = &said
				h.must(cmd.Start())
				h.wait(cmd, &said)
				place, _, _ := strings.Cut(name, ":")
				maps.DeleteFunc(h.texts, func(_, where string) bool { return where != place })
				if !found() {
					h.Errorf("%s is not found in %s", what, name)
				}
			})
		}
	}
}
