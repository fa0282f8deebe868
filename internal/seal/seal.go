// Package seal reads the public certificates of Sealed Secrets controllers and
// encrypts with them what only one Secret of one cluster may hold.
package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
)

// BundlesName is the ConfigMap of the platform team with the public certificates
// that secrets are sealed with: a PEM bundle for each Destination, by its name.
const BundlesName = "sealing-certificates"

// Certificate is what secrets are sealed with.
type Certificate struct {
	// Fingerprint names the public key as Sealed Secrets does: SHA256:…, the one
	// that SSH has.
	Fingerprint string
	key         *rsa.PublicKey
}

// Parse reads a PEM bundle of certificates as Sealed Secrets has them, and
// nothing else. Its errors do not quote.
func Parse(data []byte) ([]*x509.Certificate, error) {
	if bytes.Contains(data, []byte("PRIVATE KEY")) {
		return nil, errors.New("it holds a private key, which must not leave its cluster: give the certificate alone")
	}
	var certificates []*x509.Certificate
	blocks := bytes.Count(data, []byte("-----BEGIN "))
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("it holds something that is no certificate: give the certificate alone")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("it holds a certificate that cannot be read: %w", err)
		}
		key, isRSA := c.PublicKey.(*rsa.PublicKey)
		if !isRSA || key.N.BitLen() < 2048 {
			return nil, errors.New("it holds a certificate whose key is not RSA of 2048 bits or more, as Sealed Secrets has it: give that of the controller")
		}
		certificates = append(certificates, c)
	}
	if len(certificates) == 0 || len(certificates) != blocks {
		return nil, errors.New("it holds no certificate in PEM form, or one that is cut off: fetch it again")
	}
	return certificates, nil
}

// parse is Parse for a bundle that may have nothing in it yet.
func parse(bundle string) ([]*x509.Certificate, error) {
	if strings.TrimSpace(bundle) == "" {
		return nil, nil
	}
	return Parse([]byte(bundle))
}

// Newest returns the certificate of a bundle that began last of those that are
// valid now: controllers renew theirs, and the bundle keeps the old ones. Its
// errors call the bundle it.
func Newest(bundle string, now time.Time) (Certificate, error) {
	all, err := parse(bundle)
	if err != nil {
		return Certificate{}, err
	}
	var newest, next, last *x509.Certificate // of those that are valid, to come and expired
	for _, c := range all {
		switch {
		case now.Before(c.NotBefore):
			if next == nil || c.NotBefore.Before(next.NotBefore) {
				next = c
			}
		case now.After(c.NotAfter):
			if last == nil || c.NotAfter.After(last.NotAfter) {
				last = c
			}
		case newest == nil || c.NotBefore.After(newest.NotBefore):
			newest = c
		}
	}
	switch {
	case newest != nil:
		return read(newest)
	case next != nil:
		return Certificate{}, fmt.Errorf("its certificate is not valid before %s: wait, or set the clocks right", next.NotBefore.UTC().Format(time.RFC3339))
	case last != nil:
		return Certificate{}, fmt.Errorf("its certificate expired on %s: add the one that the controller uses now with `baleen clusters trust`", last.NotAfter.UTC().Format(time.DateOnly))
	}
	return Certificate{}, errors.New("it holds no certificate: add that of the controller with `baleen clusters trust`")
}

// Contains reports whether a bundle has a certificate with that fingerprint,
// expired or not: a controller keeps its old keys, so what was sealed can still
// be unsealed. A bundle that cannot be read tells nothing, which is an error.
func Contains(bundle, fingerprint string) (bool, error) {
	all, err := parse(bundle)
	if err != nil {
		return false, err
	}
	for _, c := range all {
		if known, err := read(c); err != nil || known.Fingerprint == fingerprint {
			return err == nil, err
		}
	}
	return false, nil
}

// read takes from a certificate what sealing needs.
func read(c *x509.Certificate) (Certificate, error) {
	key := c.PublicKey.(*rsa.PublicKey) // Parse lets no other through
	fingerprint, err := crypto.PublicKeyFingerprint(key)
	return Certificate{Fingerprint: fingerprint, key: key}, err
}

// Seal encrypts the values of a Secret so that the controller unseals them under
// that namespace and name alone. The ciphertext, in base64, goes under
// spec.encryptedData of a SealedSecret. It differs each time.
func (c Certificate) Seal(namespace, name string, data map[string][]byte) (map[string]string, error) {
	if namespace == "" || name == "" {
		return nil, errors.New("a Secret without a namespace or a name cannot be sealed: give both")
	}
	sealed := map[string]string{}
	for key, value := range data {
		ciphertext, err := crypto.HybridEncrypt(rand.Reader, c.key, value, label(namespace, name))
		if err != nil {
			return nil, fmt.Errorf("the Secret %s/%s cannot be sealed: %w", namespace, name, err)
		}
		sealed[key] = base64.StdEncoding.EncodeToString(ciphertext)
	}
	return sealed, nil
}

// label is what binds ciphertext to its Secret in the scope that Sealed Secrets
// calls strict. Written here because the package that has it brings much along
// that no pipeline needs.
func label(namespace, name string) []byte { return []byte(namespace + "/" + name) }
