package field

import "testing"

// One thing is counted as one, and all other numbers as several.
func TestCount(t *testing.T) {
	for n, want := range []string{"0 clusters", "1 cluster", "2 clusters"} {
		if got := Count(n, "cluster"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
