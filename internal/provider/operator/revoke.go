package operator

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/baleen-platform/baleen/internal/provider"
)

// tidy takes out of an account those revocations of Baleen's that have expired, and reports
// whether there were any. It returns what is missing, also where somebody undid it. Others'
// revocations stay.
//
// What is put in first matters where not all fits: what was in force before, then what is
// most urgent, then what expires last.
func tidy(account *jwt.AccountClaims, going []provider.Departure, now time.Time) (changed bool, missing []provider.Departure) {
	for _, d := range going {
		until, has := account.Revocations[d.User]
		switch {
		case !now.Before(d.Expires):
			if has {
				account.ClearRevocation(d.User)
				changed = true
			}
		// A key belongs to one generation and is never used again, so it is revoked up to
		// its expiry and not up to now: no difference of clocks lets a JWT slip through.
		case until < d.Expires.Unix():
			missing = append(missing, d)
		}
	}
	slices.SortFunc(missing, func(a, b provider.Departure) int {
		return cmp.Or(yesFirst(a.Again, b.Again), cmp.Compare(a.Urgency, b.Urgency), b.Expires.Compare(a.Expires), strings.Compare(a.User, b.User))
	})
	return changed, missing
}

// isNeedless reports whether nobody can connect with what an identity was given, without a
// revocation too: the account does not list the key that has signed it any more.
func isNeedless(account *jwt.AccountClaims, d provider.Departure) bool {
	_, listed := account.SigningKeys.GetScope(d.SigningKey)
	known := nkeys.IsValidPublicAccountKey(d.SigningKey) && d.ProviderAccount == "" // a provider may call it otherwise
	return known && d.SigningKey != account.Subject && !listed
}

// prune takes out of an account the revocations that are needless, and reports whether
// there were any. It returns those that are not. Should the account list the key again,
// they are made again.
func prune(account *jwt.AccountClaims, going []provider.Departure) (changed bool, needed []provider.Departure) {
	for _, d := range going {
		if !isNeedless(account, d) {
			needed = append(needed, d)
		} else if _, has := account.Revocations[d.User]; has {
			account.ClearRevocation(d.User)
			changed = true
		}
	}
	return changed, needed
}

func yesFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// sign signs an account whose revocations have changed. All else is as its token has it,
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
	if n := len(whole); n > jwt.MaxTokenSize {
		return "", fmt.Errorf("it has %d bytes: %w", n, jwt.ErrTokenTooLarge)
	}
	want, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return "", err
	}
	if got, err := jwt.DecodeAccountClaims(whole); err != nil || got.String() != want.String() { // an empty list is none
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
