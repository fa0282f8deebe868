package operator

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
)

// revise brings the revocations of an account in line with what Baleen has
// revoked, given by public key with the time of expiry: it puts in what is
// missing, also where somebody undid it, and takes out what has expired. Others'
// revocations stay. It reports whether anything changed.
//
// A key belongs to one generation and is never used again, so it is revoked up to
// its expiry and not up to now: no difference of clocks lets a JWT slip through.
func revise(account *jwt.AccountClaims, users map[string]time.Time, now time.Time) (changed bool) {
	for _, user := range slices.Sorted(maps.Keys(users)) {
		until, has := account.Revocations[user]
		switch expires := users[user]; {
		case !now.Before(expires):
			if has {
				account.ClearRevocation(user)
				changed = true
			}
		case until < expires.Unix():
			account.RevokeAt(user, expires)
			changed = true
		}
	}
	return changed
}

// revoked reports whether an account has all revocations of those that have not
// expired yet.
func revoked(account *jwt.AccountClaims, users map[string]time.Time, now time.Time) bool {
	for user, expires := range users {
		if now.Before(expires) && account.Revocations[user] < expires.Unix() {
			return false
		}
	}
	return true
}

// sign signs an account whose revocations were revised. All else is as its token has it,
// value for value, also what this version's claims know nothing of.
func sign(account *provider.AccountJWT, operator nkeys.KeyPair) (string, error) {
	token, err := account.Encode(operator)
	if err != nil {
		return "", err
	}
	was, err := parse(account.Token)
	if err != nil {
		return "", err
	}
	is, err := parse(token)
	if err != nil || was.version != 2 { // another form, of which nothing can be kept as it is
		return token, err
	}
	for _, field := range []string{"iss", "iat", "jti"} {
		was.claims[field] = is.claims[field]
	}
	if was.nats["revocations"] = is.nats["revocations"]; was.nats["revocations"] == nil {
		delete(was.nats, "revocations")
	}
	whole, err := was.sign(is.header, operator)
	if err != nil {
		return "", err
	}
	want, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return "", err
	}
	if got, err := jwt.DecodeAccountClaims(whole); err != nil || !reflect.DeepEqual(got, want) {
		return "", errors.New("it has something that would be lost: push it anew with an nsc of today")
	}
	return whole, nil
}

// parsed is a token, of which no value has been touched.
type parsed struct {
	header  string
	claims  map[string]json.RawMessage
	nats    map[string]json.RawMessage // of the claims
	version int
}

func parse(token string) (p parsed, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return p, fmt.Errorf("its token has %d parts", len(parts))
	}
	p.header = parts[0]
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(data, &p.claims)
	}
	if err == nil {
		err = json.Unmarshal(p.claims["nats"], &p.nats)
	}
	if version, has := p.nats["version"]; err == nil && has {
		err = json.Unmarshal(version, &p.version)
	}
	if err != nil {
		return p, fmt.Errorf("its token cannot be read: %w", err)
	}
	return p, nil
}

func (p parsed) sign(header string, key nkeys.KeyPair) (string, error) {
	var err error
	if p.claims["nats"], err = json.Marshal(p.nats); err != nil {
		return "", err
	}
	payload, err := json.Marshal(p.claims)
	if err != nil {
		return "", err
	}
	unsigned := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := key.Sign([]byte(unsigned))
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(signature), err
}
