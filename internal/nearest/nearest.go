// Package nearest finds the word that somebody meant who has misspelled it.
package nearest

import "strings"

// longest is how long a word may be that is looked for: longer ones are no words.
const longest = 256

// Word returns the one of some words that was probably meant, or nothing: the same
// but for case, or at most two letters off, and fewer in short words.
func Word(word string, words []string) string {
	if len(word) > longest {
		return ""
	}
	best, least := "", 3
	for _, w := range words {
		d := distance(strings.ToLower(word), strings.ToLower(w))
		if d <= len(w)/3 && (d < least || d == least && w < best) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to add, to take away, to change or to swap.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
