// Package tiny has a mutant of each fate.
package tiny

// Cheap reports whether nobody need ask for a price. What it is asked of all tests
// agree about.
func Cheap(price int) bool {
	return price < 10
}

// Count counts down to nothing.
func Count(from int) (steps int) {
	for from > 0 {
		from--
		steps++
	}
	return steps
}

// Log is called, and nobody looks at what it does.
func Log(lines *[]string, line string) {
	*lines = append(*lines, line)
}

// Forgotten is called by nobody.
func Forgotten(a, b bool) bool {
	return a && b
}
