package operator

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
)

// Revise brings the revocations of an account in line with what Baleen has
// revoked, given by public key with the time of expiry: it puts in what is
// missing, also where somebody undid it, and takes out what has expired. Others'
// revocations stay. It tells whether anything changed.
//
// A key belongs to one generation and is never used again, so it is revoked up to
// its expiry and not up to now: no difference of clocks lets a JWT slip through.
func Revise(account *jwt.AccountClaims, revoked map[string]time.Time, now time.Time) (changed bool) {
	for _, user := range slices.Sorted(maps.Keys(revoked)) {
		until, has := account.Revocations[user]
		switch expires := revoked[user]; {
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

// Revoked tells whether an account has all revocations of those that have not
// expired yet.
func Revoked(account *jwt.AccountClaims, revoked map[string]time.Time, now time.Time) bool {
	for user, expires := range revoked {
		if now.Before(expires) && account.Revocations[user] < expires.Unix() {
			return false
		}
	}
	return true
}

var tagInSubject = regexp.MustCompile(`\{\{\s*tag\(\s*([^)\s]*)\s*\)\s*\}\}`)

// TagsOf returns the names of the tags that a scope's subjects are made of.
func TagsOf(scope *jwt.UserScope) []string {
	names := map[string]bool{}
	t := scope.Template
	for _, s := range slices.Concat(t.Pub.Allow, t.Pub.Deny, t.Sub.Allow, t.Sub.Deny) {
		for _, m := range tagInSubject.FindAllStringSubmatch(s, -1) {
			names[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
