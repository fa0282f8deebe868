// Package identity gives requests, and what is made for them, names that are
// stable, unique on a workload cluster and unchanged by a restore.
package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Request identifies a request by what survives a restore, which a UID does not.
type Request struct {
	Kind, Namespace, Name string
}

// String returns namespace/name.
func (r Request) String() string { return r.Namespace + "/" + r.Name }

// Hash returns eight hexadecimal digits that stand for the request.
func (r Request) Hash() string { return Hash(r.Kind, r.Namespace, r.Name) }

// LongHash is Hash with forty digits, for names that must not meet.
func (r Request) LongHash() string { return digest(r.Kind, r.Namespace, r.Name)[:40] }

// maxName is the length of a label's value: implementations of the Gateway API
// label what they make with the name of a Gateway.
const maxName = 63

// ObjectName returns the name of what is made for the request where requests of
// several namespaces meet: its name, shortened where it is long, and its hash.
// The parts tell several objects of one request apart.
func (r Request) ObjectName(parts ...string) string {
	suffix := "-" + strings.Join(append([]string{r.Hash()}, parts...), "-")
	name := r.Name[:min(len(r.Name), maxName-len(suffix))]
	return strings.TrimRight(name, "-.") + suffix
}

// Labels returns the labels of everything that is emitted for the request.
func (r Request) Labels() map[string]string {
	return map[string]string{
		"app.kubernetes.io/managed-by": "baleen",
		"baleen.dev/request":           r.Hash(),
	}
}

// Annotations returns the facts that are too long for a label.
func (r Request) Annotations() map[string]string {
	return map[string]string{"baleen.dev/requested-by": r.Kind + " " + r.String()}
}

// Hash returns eight hexadecimal digits of the SHA-256 of the parts.
func Hash(parts ...string) string { return digest(parts...)[:8] }

func digest(parts ...string) string {
	// No part of an identity contains a newline, so that none can imitate two.
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])
}
