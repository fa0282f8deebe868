package operator

import (
	"maps"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
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
