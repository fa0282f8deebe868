package operator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
)

// Whatever an account has that this version does not know is there after a revocation, value
// for value, wherever it stands; and all that it knows is as the library signs it.
func TestSignKeepsWhatItDoesNotKnow(t *testing.T) {
	operator, issuer := newKey(t, nkeys.CreateOperator)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 12))
		_, id := newKey(t, nkeys.CreateAccount)
		_, signer := newKey(t, nkeys.CreateAccount)
		claims := natsjwt.NewAccountClaims(id)
		claims.SigningKeys.AddScopedSigner(scoped(signer, "namespace"))
		claims.Exports.Add(&natsjwt.Export{Subject: "a.>", Type: natsjwt.Stream})
		claims.Tags.Add("stage:prod")
		if r.IntN(2) == 0 {
			claims.RevokeAt("U1", now)
		}
		token, err := claims.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		before := withUnknown(t, r, token, operator)
		decoded, err := natsjwt.DecodeAccountClaims(before)
		if err != nil {
			t.Fatal(err)
		}
		switch r.IntN(3) {
		case 0:
			decoded.RevokeAt("U2", now.AddDate(0, 0, 1))
		case 1:
			decoded.ClearRevocation("U1")
		}
		after, err := sign(&provider.AccountJWT{AccountClaims: decoded, Token: before}, operator)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		got, err := natsjwt.DecodeAccountClaims(after)
		if err != nil || got.Issuer != issuer || got.String() != decoded.String() {
			t.Fatalf("seed %d: %v: it is\n%v\nwant\n%v", seed, err, got, decoded)
		}
		was, is := anything(t, before), anything(t, after)
		for _, all := range []map[string]any{was, is} {
			for _, field := range []string{"iss", "iat", "jti"} {
				delete(all, field)
			}
			delete(all["nats"].(map[string]any), "revocations")
		}
		if !reflect.DeepEqual(was, is) {
			t.Fatalf("seed %d: it is\n%v\nwas\n%v", seed, is, was)
		}
	}
}

// withUnknown is a token with fields that nobody knows.
func withUnknown(t *testing.T, r *rand.Rand, token string, key nkeys.KeyPair) string {
	t.Helper()
	p, err := parse(token)
	if err != nil {
		t.Fatal(err)
	}
	values := []string{`true`, `12345678901234567890`, `1.50`, `"<&> text"`, `null`, `{"limits": {"max": 9007199254740993}}`, `[1, {"a": []}]`}
	add := func(all map[string]json.RawMessage) {
		all["future_"+values[r.IntN(2)][:1]] = json.RawMessage(values[r.IntN(len(values))])
	}
	add(p.claims)
	add(p.nats)
	var limits map[string]json.RawMessage
	if err := json.Unmarshal(p.nats["limits"], &limits); err != nil {
		t.Fatal(err)
	}
	add(limits)
	if p.nats["limits"], err = json.Marshal(limits); err != nil {
		t.Fatal(err)
	}
	signed, err := p.sign(p.header, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// anything is what a token says, with its numbers as they are written.
func anything(t *testing.T, token string) map[string]any {
	t.Helper()
	p, err := parse(token)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	data, err := json.Marshal(p.claims)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// A token that cannot be read is an error; one of the first version is signed as the library
// has it.
func TestSignOtherForms(t *testing.T) {
	operator, _ := newKey(t, nkeys.CreateOperator)
	_, id := newKey(t, nkeys.CreateAccount)
	for _, token := range []string{"", "a.b", "a.!.c", "a.e30.c"} {
		if got, err := sign(&provider.AccountJWT{AccountClaims: natsjwt.NewAccountClaims(id), Token: token}, operator); err == nil {
			t.Errorf("%q becomes %s", token, got)
		}
	}
	claims := natsjwt.NewAccountClaims(id)
	token, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parse(token)
	if err != nil {
		t.Fatal(err)
	}
	p.nats["version"], p.nats["future"] = json.RawMessage("1"), json.RawMessage("true")
	if token, err = p.sign(p.header, operator); err != nil {
		t.Fatal(err)
	}
	got, err := sign(&provider.AccountJWT{AccountClaims: claims, Token: token}, operator)
	if err != nil {
		t.Fatal(err)
	}
	if _, kept := anything(t, got)["nats"].(map[string]any)["future"]; kept {
		t.Error("it is kept in another form")
	}
}

// Empty lists are as good as none, and an account that is too large with what nobody knows
// is too large.
func TestSignWithRemainders(t *testing.T) {
	operator, _ := newKey(t, nkeys.CreateOperator)
	_, id := newKey(t, nkeys.CreateAccount)
	with := func(field, value string) (*provider.AccountJWT, error) {
		token, err := natsjwt.NewAccountClaims(id).Encode(operator)
		if err != nil {
			return nil, err
		}
		p, err := parse(token)
		if err != nil {
			return nil, err
		}
		p.nats[field] = json.RawMessage(value)
		if token, err = p.sign(p.header, operator); err != nil {
			return nil, err
		}
		claims, err := natsjwt.DecodeAccountClaims(token)
		return &provider.AccountJWT{AccountClaims: claims, Token: token}, err
	}
	for field, value := range map[string]string{"imports": "[]", "exports": "[]", "tags": "[]", "mappings": "{}", "signing_keys": "[]", "tiered_limits": "{}", "revocations": "{}"} {
		account, err := with(field, value)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sign(account, operator); err != nil {
			t.Errorf("%s: %s: %v", field, value, err)
		}
	}
	account, err := with("future", `"`+strings.Repeat("a", 700<<10)+`"`)
	if err != nil {
		t.Fatal(err)
	}
	var missing []provider.Departure
	for n := range 13_000 {
		missing = append(missing, leaving(fmt.Sprintf("U%055d", n), now.AddDate(0, 0, 1)))
	}
	if token, fit, err := largest(account, missing, natsjwt.MaxTokenSize, operator); err != nil || fit < 500 || len(token) > natsjwt.MaxTokenSize || len(token) < natsjwt.MaxTokenSize-200 {
		t.Errorf("%d fit into %d bytes: %v", fit, len(token), err)
	}
}
