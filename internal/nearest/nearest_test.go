package nearest

import (
	"strings"
	"testing"
)

func TestWord(t *testing.T) {
	words := []string{"ttl", "renewBefore", "overlap", "key"}
	for _, test := range []struct{ word, want string }{
		{"tll", "ttl"}, {"TTL", "ttl"}, {"renewbefor", "renewBefore"}, {"overlpa", "overlap"}, {"colour", ""}, {"kay", "key"}, {"k", ""}, {"bey", "key"}, {strings.Repeat("k", 1<<20), ""},
	} {
		t.Run(test.word[:min(len(test.word), 12)], func(t *testing.T) {
			if got := Word(test.word, words); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
