package seal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
)

// Keys of two controllers, or of one before and after it renewed its key.
var oldKey, newKey = rsaKey(), rsaKey()

func rsaKey() func() *rsa.PrivateKey {
	return sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
}

// issue returns a certificate as a controller makes it, in PEM form.
func issue(t *testing.T, key *rsa.PrivateKey, from time.Time, years int) string {
	t.Helper()
	c, err := crypto.SignKeyWithNotBefore(rand.Reader, key, from, from.AddDate(years, 0, 0).Sub(from), "")
	if err != nil {
		t.Fatal(err)
	}
	return toPEM(c.Raw)
}

func toPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func elliptical(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: year(2020), NotAfter: year(2099)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return toPEM(der)
}

func year(n int) time.Time { return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC) }

func print(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	s, err := crypto.PublicKeyFingerprint(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unusable returns bundles that are not what Sealed Secrets has, and what is said
// of them.
func unusable(t *testing.T) map[string]string {
	t.Helper()
	good := issue(t, newKey(), year(2020), 10)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"rubbish":      "it holds no certificate in PEM form",
		"tls.crt: LS0": "it holds no certificate in PEM form",
		"-----BEGIN RSA PRIVATE KEY-----\nbroken":                        "it holds a private key",
		good + good[:len(good)/2]:                                        "cut off",
		good + strings.Replace(good, "BEGIN", "BEGIN ", 1):               "cut off",
		strings.ReplaceAll(good, "CERTIFICATE", "PUBLIC KEY"):            "it holds something that is no certificate",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "it holds a certificate that cannot be read",
		good + elliptical(t):                                             "not RSA of 2048 bits or more",
		issue(t, short, year(2020), 10):                                  "not RSA of 2048 bits or more",
	}
}

func TestParse(t *testing.T) {
	all, err := Parse([]byte("# from the controller\n" + issue(t, oldKey(), year(2010), 1) + "\n" + issue(t, newKey(), year(2020), 1)))
	if err != nil || len(all) != 2 || all[0].NotBefore != year(2010) || all[1].NotBefore != year(2020) {
		t.Errorf("Parse gives %d certificates, %v", len(all), err)
	}
	for bundle, want := range unusable(t) {
		t.Run(want, func(t *testing.T) {
			if all, err := Parse([]byte(bundle)); err == nil || !strings.Contains(err.Error(), want) || all != nil {
				t.Errorf("%s: %d certificates, %v; want an error with %q", bundle, len(all), err, want)
			}
		})
	}
	if _, err := Parse(nil); err == nil {
		t.Error("nothing is a bundle")
	}
}

func TestNewest(t *testing.T) {
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	expired, more := issue(t, oldKey(), year(2010), 10), issue(t, oldKey(), year(2011), 5)
	first, second := issue(t, oldKey(), year(2024), 10), issue(t, newKey(), year(2026), 10)
	brief := issue(t, newKey(), year(2025), 2)
	future, later := issue(t, newKey(), year(2027), 10), issue(t, newKey(), year(2030), 10)
	for _, c := range []struct {
		name, bundle string
		want         *rsa.PrivateKey
		err          string
	}{
		{name: "one", bundle: first, want: oldKey()},
		{name: "the newest is last", bundle: first + second, want: newKey()},
		{name: "the newest is first", bundle: second + first, want: newKey()},
		{name: "the newest expires first", bundle: first + brief, want: newKey()},
		{name: "expired ones stay", bundle: expired + first, want: oldKey()},
		{name: "the newest is not valid yet", bundle: future + first + later, want: oldKey()},
		{name: "valid until now", bundle: issue(t, newKey(), now.AddDate(-1, 0, 0), 1), want: newKey()},
		{name: "valid from now", bundle: issue(t, newKey(), now, 1), want: newKey()},
		{name: "no bundle", err: "it holds no certificate: add that of the controller with `baleen clusters trust`"},
		{name: "white space", bundle: " \n", err: "it holds no certificate: add"},
		{name: "expired", bundle: expired + more, err: "its certificate expired on 2020-01-01: add the one that the controller uses now with `baleen clusters trust`"},
		{name: "not valid yet", bundle: later + future, err: "its certificate is not valid before 2027-01-01T00:00:00Z: wait, or set the clocks right"},
		{name: "expired and not valid yet", bundle: expired + future, err: "not valid before 2027-01-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Newest(c.bundle, now)
			if c.err == "" && (err != nil || got.Fingerprint != print(t, c.want) || !got.key.Equal(&c.want.PublicKey)) {
				t.Errorf("%s: %v, %v", c.name, got, err)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%s: %v, want an error with %q", c.name, err, c.err)
			}
		})
	}
	for bundle, want := range unusable(t) {
		t.Run(want, func(t *testing.T) {
			if _, err := Newest(bundle, now); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error with %q", bundle, err, want)
			}
		})
	}
}

// An expired certificate counts, and a bundle that cannot be read is no reason to
// think that one has gone.
func TestContains(t *testing.T) {
	both := issue(t, oldKey(), year(2010), 1) + issue(t, newKey(), year(2090), 1)
	for _, c := range []struct {
		bundle, fingerprint string
		want                bool
	}{
		{both, print(t, oldKey()), true}, {both, print(t, newKey()), true}, {both, "", false}, {both, "SHA256:other", false},
		{issue(t, oldKey(), year(2020), 10), print(t, newKey()), false}, {"", print(t, newKey()), false}, {"\n", "", false},
	} {
		t.Run(c.fingerprint, func(t *testing.T) {
			if got, err := Contains(c.bundle, c.fingerprint); err != nil || got != c.want {
				t.Errorf("%q in %s: %v, %v", c.fingerprint, c.bundle, got, err)
			}
		})
	}
	for bundle, want := range unusable(t) {
		t.Run(want, func(t *testing.T) {
			if got, err := Contains(bundle, print(t, newKey())); got || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, %v; want an error with %q", bundle, got, err, want)
			}
		})
	}
}

// newest returns the certificate of newKey.
func newest(t *testing.T) Certificate {
	t.Helper()
	c, err := Newest(issue(t, newKey(), year(2020), 10), year(2026))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Only the key of the certificate opens a value, and only under its Secret's
// name.
func TestSeal(t *testing.T) {
	data := map[string][]byte{"nats.creds": []byte("secret"), "binary": {0, 0xff, '\n'}, "empty": {}}
	sealed, err := newest(t).Seal("team-a", "orders", data)
	if err != nil || len(sealed) != len(data) {
		t.Fatalf("%d values, %v", len(sealed), err)
	}
	keys := func(all ...*rsa.PrivateKey) map[string]*rsa.PrivateKey {
		m := map[string]*rsa.PrivateKey{}
		for _, key := range all {
			m[print(t, key)] = key
		}
		return m
	}
	for key, value := range sealed {
		ciphertext, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := crypto.HybridDecrypt(rand.Reader, keys(oldKey(), newKey()), ciphertext, []byte("team-a/orders"))
		if err != nil || string(got) != string(data[key]) {
			t.Errorf("%s: %q, %v", key, got, err)
		}
		for _, label := range []string{"team-a/other", "team-b/orders", "team-a", ""} {
			if _, err := crypto.HybridDecrypt(rand.Reader, keys(newKey()), ciphertext, []byte(label)); err == nil {
				t.Errorf("%s is unsealed under %q", key, label)
			}
		}
		if _, err := crypto.HybridDecrypt(rand.Reader, keys(oldKey()), ciphertext, []byte("team-a/orders")); err == nil {
			t.Errorf("another controller unseals %s", key)
		}
	}
	again, err := newest(t).Seal("team-a", "orders", data)
	if err != nil || again["nats.creds"] == sealed["nats.creds"] {
		t.Errorf("sealing twice gives the same, %v", err)
	}
	if none, err := newest(t).Seal("team-a", "orders", nil); err != nil || none == nil || len(none) > 0 {
		t.Errorf("no data: %v, %v", none, err)
	}
	for _, names := range [][2]string{{"", "orders"}, {"team-a", ""}} {
		if _, err := newest(t).Seal(names[0], names[1], data); err == nil {
			t.Errorf("sealed for %q", names)
		}
	}
	huge := Certificate{key: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2048), E: 2}}
	if _, err := huge.Seal("team-a", "orders", data); err == nil || !strings.HasPrefix(err.Error(), "the Secret team-a/orders cannot be sealed: ") {
		t.Errorf("a key that cannot encrypt: %v", err)
	}
}
