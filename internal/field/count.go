package field

import "fmt"

// Count returns so many of a thing in words, as 1 cluster and 2 clusters.
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
