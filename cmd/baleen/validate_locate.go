package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/baleen-platform/baleen/internal/crd"
)

// begins is the path with which a pipeline's sentence begins.
var begins = regexp.MustCompile(`^(metadata\.name|spec[A-Za-z0-9.]*(?:\[\d+\][A-Za-z0-9.]*)*)(:? |,)`)

// locate finds the place in an object of which a pipeline's sentence speaks. It has
// a path, mostly without indexes, and quotes what is wrong.
func locate(object map[string]any, sentence string) crd.Problem {
	match := begins.FindStringSubmatch(sentence)
	if match == nil {
		return crd.Problem{Path: "metadata.annotations", Message: sentence, Reason: crd.Value}
	}
	path, message := strings.TrimSuffix(match[1], "."), sentence[len(match[0]):]
	if match[2] == "," { // several fields of one map
		dot := strings.LastIndex(path, ".")
		return crd.Problem{Path: path[:dot], Message: path[dot+1:] + ", " + strings.TrimSpace(message), Reason: crd.Value}
	}
	quoted := crd.Unquoted(message)
	places := placesOf(object, strings.Split(path, "."))
	for _, text := range order(quoted, message) {
		var found []string
		for _, p := range places {
			found = append(found, holding(p, text, quoted)...)
		}
		if len(found) > 0 {
			at := found[0]
			if strings.HasSuffix(message, " twice") || strings.Contains(message, "are one path") {
				at = found[len(found)-1]
			}
			return crd.Problem{Path: at, Message: message, Reason: crd.Value}
		}
	}
	number, _, _ := strings.Cut(message, " ")
	for _, p := range places {
		if fmt.Sprint(p.value) == number || p.value == nil && strings.HasPrefix(message, "is missing") {
			return crd.Problem{Path: p.path, Message: message, Reason: crd.Value}
		}
	}
	if len(places) == 1 {
		path = places[0].path
	}
	return crd.Problem{Path: path, Message: message, Reason: crd.Value}
}

// order returns the quoted texts by which a place is looked for, best first.
func order(quoted []string, message string) []string {
	if strings.Contains(message, "are one path") {
		slices.Reverse(quoted)
		return quoted
	}
	return quoted
}

// place is a value and where it is.
type place struct {
	path  string
	value any
}

// placesOf returns the places in a value that a path without indexes may mean.
func placesOf(object map[string]any, path []string) []place {
	places := []place{{"", object}}
	for _, name := range path {
		name, index, _ := strings.Cut(name, "[")
		var next []place
		for _, p := range places {
			for _, entry := range entries(p) {
				m, isMap := entry.value.(map[string]any)
				if !isMap {
					continue
				}
				at := place{strings.TrimPrefix(entry.path+"."+name, "."), m[name]}
				if index != "" {
					for _, e := range entries(at) {
						if e.path == at.path+"["+index {
							next = append(next, e)
						}
					}
					continue
				}
				next = append(next, at)
			}
		}
		places = next
	}
	return places
}

// entries returns the entries of a list, or what is not a list itself.
func entries(p place) []place {
	list, isList := p.value.([]any)
	if !isList {
		return []place{p}
	}
	var all []place
	for i, value := range list {
		all = append(all, place{fmt.Sprintf("%s[%d]", p.path, i), value})
	}
	return all
}

// holding returns where below a place a text stands, in entries that have all the
// other quoted texts first.
func holding(p place, text string, all []string) []string {
	var best, rest []string
	for _, entry := range entries(p) {
		at := leaves(entry, text)
		if len(at) == 0 {
			continue
		}
		if slices.ContainsFunc(all, func(other string) bool { return len(leaves(entry, other)) == 0 }) {
			rest = append(rest, at...)
		} else {
			best = append(best, at...)
		}
	}
	return append(best, rest...)
}

// leaves returns the places below one that hold a text, as a value or as a key.
func leaves(p place, text string) []string {
	var found []string
	switch value := p.value.(type) {
	case string:
		if value == text {
			found = append(found, p.path)
		}
	case []any:
		for _, entry := range entries(p) {
			found = append(found, leaves(entry, text)...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if key == text || key+": "+fmt.Sprint(value[key]) == text {
				found = append(found, fmt.Sprintf("%s[%s]", p.path, key))
				continue
			}
			found = append(found, leaves(place{p.path + "." + key, value[key]}, text)...)
		}
	}
	return found
}
