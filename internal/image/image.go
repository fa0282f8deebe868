// Package image reads references of container images, and says which repositories a
// pattern of the platform team's covers.
package image

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/baleen-platform/baleen/internal/field"
)

// MaxLength is how long a reference may be.
const MaxLength = 512

// grammar is that of the library without addresses in brackets. A reference has a tag or a
// digest: without, each node runs what is the latest when it pulls.
var grammar = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:[0-9]+)?/)?[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?$`)

// unpinned has neither a tag nor a digest behind its last slash.
var unpinned = regexp.MustCompile(`(^|/)[^/:@]*$`)

// Repository returns the whole name of a reference's repository, as docker.io/library/nginx
// of nginx:1.27. The error says what is wrong with the reference.
func Repository(text string) (string, error) {
	const form = "is not an image such as registry.example.com/shop/orders:1.4.2"
	switch {
	case text == "":
		return "", errors.New("is missing")
	case len(text) > MaxLength:
		return "", fmt.Errorf("%s has %d characters: at most %d are allowed", field.Quote(text), len(text), MaxLength)
	case !grammar.MatchString(text):
		return "", fmt.Errorf("%s %s: the registry, the path in lower case, and a tag or @sha256: with 64 of 0-9 and a-f", field.Quote(text), form)
	case unpinned.MatchString(text):
		return "", fmt.Errorf("%s has neither a tag nor a digest: add one, such as :1.4.2, so that all replicas run the same", field.Quote(text))
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return "", fmt.Errorf("%s %s: its path has at most 255 characters", field.Quote(text), form)
	}
	return named.Name(), nil
}

var (
	// patternForm is a repository in which * may stand for characters.
	patternForm = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?([.][a-z0-9*]([-a-z0-9*]*[a-z0-9*])?)*(:[0-9]+)?(/[a-z0-9*]([-a-z0-9_.*]*[a-z0-9*])?)+$`)
	// homeless begins with what is no registry: that has a dot or a port, or is localhost.
	homeless = regexp.MustCompile(`^[^/.:]*(/|$)`)
	// unwhole are names of Docker Hub that are none of a repository's whole name.
	unwhole = regexp.MustCompile(`^(index[.]docker[.]io/|docker[.]io/[^/]*$)`)
)

// CheckPattern says what is wrong with a pattern, nil if nothing is.
func CheckPattern(pattern string) error {
	switch {
	case !patternForm.MatchString(pattern) || len(pattern) > MaxLength:
		return fmt.Errorf("%s is not a repository or a pattern such as registry.example.com/shop/*: the registry and the path in lower case, without tag and digest; * stands for any characters, but for . in the registry and / in the path", field.Quote(pattern))
	case homeless.MatchString(pattern) && !strings.HasPrefix(pattern, "localhost/"):
		return fmt.Errorf("%s has no registry: begin with its host, such as registry.example.com/ or docker.io/", field.Quote(pattern))
	case unwhole.MatchString(pattern):
		return fmt.Errorf("%s is not the whole name of a repository of Docker Hub: write docker.io/library/nginx for nginx", field.Quote(pattern))
	}
	return nil
}

// Covered reports whether one of the patterns covers a repository, given by its whole name.
func Covered(patterns []string, repository string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return expression(p).MatchString(repository) })
}

// expression is a pattern as a regular expression. In the host * crosses neither a dot nor
// the colon of a port, in the path no slash.
func expression(pattern string) *regexp.Regexp {
	host, path, _ := strings.Cut(pattern, "/")
	expand := func(part, star string) string { return strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, star) }
	return regexp.MustCompile("^" + expand(host, `[^./:]*`) + "/" + expand(path, `[^/]*`) + "$") // quoted text always compiles
}
