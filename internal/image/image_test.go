package image

import (
	"strings"
	"testing"
)

func TestRepository(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0f", 32)
	host := strings.Repeat("a", 50) + ".b"
	longest := host + "/" + strings.Repeat("c", 255) + ":" + strings.Repeat("1", 128) + digest
	longest = strings.Replace(longest, "aaa", strings.Repeat("a", 3+MaxLength-len(longest)), 1)
	host, _, _ = strings.Cut(longest, "/")
	for text, want := range map[string]string{
		"nginx:1.27": "docker.io/library/nginx", "nginx" + digest: "docker.io/library/nginx", "shop/orders:1": "docker.io/shop/orders", "index.docker.io/nginx:1": "docker.io/library/nginx",
		"registry.example.com/shop/orders:1.4.2": "registry.example.com/shop/orders", "registry.example.com:5000/a/b/c:1" + digest: "registry.example.com:5000/a/b/c",
		"localhost/a:1": "localhost/a", "localhost:5000/a:1": "localhost:5000/a", "10.0.0.1/a__b/c--d.e_f:_1": "10.0.0.1/a__b/c--d.e_f",
		"REGISTRY.example.com/a:1":      "REGISTRY.example.com/a", // and no pattern covers it
		"a:" + strings.Repeat("1", 128): "docker.io/library/a",
		longest:                         host + "/" + strings.Repeat("c", 255),
	} {
		if got, err := Repository(text); got != want || err != nil {
			t.Errorf("%s is of %q (%v), want %q", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		"": "is missing", "nginx": "has neither a tag nor a digest: add one", "localhost:5000/nginx": "has neither a tag nor a digest", "a/b": "has neither",
		"Nginx:1": "is not an image such as registry.example.com/shop/orders:1.4.2", "a/B:1": "is not an image", "a//b:1": "is not an image", "/a:1": "is not an image", "a/:1": "is not an image",
		"a:": "is not an image", "a:1:2": "is not an image", "a:1@": "is not an image", "a@sha256:0f": "is not an image", "a@md5:" + strings.Repeat("0f", 16): "is not an image",
		"a@sha256:" + strings.Repeat("0F", 32): "is not an image", "a" + digest + ":1": "is not an image", "a:" + strings.Repeat("1", 129): "is not an image",
		"https://registry.example.com/a:1": "is not an image", "user@registry.example.com/a:1": "is not an image", "[::1]:5000/a:1": "is not an image", "a:1" + " ": "is not an image", "a:1\n": "is not an image",
		"a..b:1": "is not an image", "../a:1": "is not an image", "a/../b:1": "is not an image", "a%2fb:1": "is not an image", "é:1": "is not an image", "${X}:1": "is not an image", "$(X):1": "is not an image",
		strings.Repeat("a", 511) + ":1": "has 513 characters: at most 512 are allowed", "a" + longest: "has 513 characters", "r.example.com/" + strings.Repeat("a", 300) + ":1": "its path has at most 255 characters",
		strings.Repeat("0f", 32) + ":" + strings.Repeat("1", 129): "is not an image",
	} {
		if got, err := Repository(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is of %q (%v), want the error %q", text, got, err, says)
		}
	}
}

func TestCheckPattern(t *testing.T) {
	for pattern, says := range map[string]string{
		"registry.example.com/shop/*": "", "111122223333.dkr.ecr.*.amazonaws.com/shop/*": "", "docker.io/library/*": "", "docker.io/*/*": "", "localhost/*": "", "localhost:5000/a": "", "*.example.com:443/a-*/b_*.c": "", "*.*/*": "",
		"": "is not a repository", "*": "is not a repository", "**": "is not a repository", "registry.example.com": "is not a repository", "registry.example.com/": "is not a repository", "registry.example.com//a": "is not a repository",
		"registry.example.com/a:1": "is not a repository", "registry.example.com/a@sha256:0": "is not a repository", "Registry.example.com/a": "is not a repository", "registry.example.com/A": "is not a repository",
		"registry.example.com:*/a": "is not a repository", "registry.example.com/[a-z]": "is not a repository", "registry.example.com/a?": "is not a repository", `registry.example.com/\*`: "is not a repository", "https://registry.example.com/a": "is not a repository",
		"registry.example.com/a/..": "is not a repository", "r.example.com/" + strings.Repeat("a", 512): "is not a repository",
		"*/*": "has no registry: begin with its host", "shop/*": "has no registry", "nginx/a": "has no registry",
		"docker.io/nginx": "write docker.io/library/nginx for nginx", "docker.io/*": "is not the whole name", "index.docker.io/library/nginx": "is not the whole name",
	} {
		switch err := CheckPattern(pattern); {
		case says == "" && err != nil:
			t.Errorf("%q: %v", pattern, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("%q: %v, want %q", pattern, err, says)
		}
	}
}

// What an attacker would have run in place of what a pattern is for: none of it is covered.
func TestAttacks(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0f", 32)
	patterns := []string{"111122223333.dkr.ecr.*.amazonaws.com/shop/*", "registry.example.com/shop/orders", "docker.io/library/nginx", "*.trusted.example/base-*"}
	for _, text := range []string{
		"111122223333.dkr.ecr.evil.example/x.amazonaws.com/shop/pwn:1", "111122223333.dkr.ecr.a.b.amazonaws.com/shop/pwn:1", "111122223333.dkr.ecr..amazonaws.com/shop/pwn:1", "111122223333.dkr.ecr.eu:1.amazonaws.com/shop/pwn:1",
		"111122223333.dkr.ecr.eu.amazonaws.com:444/shop/pwn:1", "111122223333.dkr.ecr.eu.amazonaws.com/shop/a/pwn:1", "111122223333.dkr.ecr.eu.amazonaws.com/shop:1", "111122223333.dkr.ecr.eu.amazonaws.com/shop/../evil/pwn:1",
		"111122223333.dkr.ecr.eu.amazonaws.com/evil/shop/pwn:1", "evil/111122223333.dkr.ecr.eu.amazonaws.com/shop/pwn:1", "evil.example/111122223333.dkr.ecr.eu.amazonaws.com/shop/pwn:1", "111122223333.dkr.ecr.eu.amazonaws.com.evil.example/shop/pwn:1",
		"evil@111122223333.dkr.ecr.eu.amazonaws.com/shop/pwn:1", "111122223333.dkr.ecr.eu.amazonaws.com/shop/pwn", "111122223333.dkr.ecr.eu.amazonaws.com/SHOP/pwn:1", "111122223333xdkr.ecr.eu.amazonaws.com/shop/pwn:1",
		"registry.example.com/shop/orders-evil:1", "registry.example.com/shop/orders/evil:1", "registry.example.com.evil.example/shop/orders:1", "registry.example.com:5000/shop/orders:1", "registryxexample.com/shop/orders:1", "shop/orders:1",
		"evil.example/registry.example.com/shop/orders:1", "registry.example.com/shop/orders@evil.example/x:1", "evil/nginx:1", "library/nginx/evil:1", "evil.example/library/nginx:1", "docker.io.evil.example/library/nginx:1", "docker.io/evil/nginx:1",
		"nginx.evil.example/nginx:1", "a.b.trusted.example/base-x:1", "trusted.example/base-x:1", "a.trusted.example/base/x:1", "a.trusted.example.evil/base-x:1", "a:1.trusted.example/base-x:1", "a.trusted.example/base-x/evil" + digest,
		"A.trusted.example/evil:1", "a.trusted.example/Base-x:1", "a.trusted.example//base-x:1", " a.trusted.example/base-x:1",
	} {
		if repository, err := Repository(text); err == nil && Covered(patterns, repository) {
			t.Errorf("%s is covered, as %s", text, repository)
		}
	}
	for _, text := range []string{
		"111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/orders:1.4.2", "111122223333.dkr.ecr.us-east-1.amazonaws.com/shop/a" + digest, "registry.example.com/shop/orders:evil", "nginx:1.27", "library/nginx:1", "index.docker.io/nginx:1",
		"a.trusted.example/base-x:1" + digest,
	} {
		if repository, err := Repository(text); err != nil || !Covered(patterns, repository) {
			t.Errorf("%s is not covered, as %s: %v", text, repository, err)
		}
	}
}

// Over small alphabets a pattern covers what a matcher says that tries all that a * may
// stand for.
func TestCoveredByBruteForce(t *testing.T) {
	texts := func(alphabet string, most int) []string {
		all, last := []string{}, []string{""}
		for range most {
			var next []string
			for _, text := range last {
				for _, r := range alphabet {
					next = append(next, text+string(r))
				}
			}
			all, last = append(all, next...), next
		}
		return all
	}
	tried, covered := 0, 0
	repositories := texts("a.:/", 5)
	for _, pattern := range texts("a.:/*", 5) {
		if !strings.Contains(pattern, "/") {
			continue
		}
		covers := expression(pattern)
		for _, repository := range repositories {
			tried++
			want := try(pattern, repository, true)
			if got := covers.MatchString(repository); got != want {
				t.Fatalf("%s covers %s: %t, and by brute force %t", pattern, repository, got, want)
			}
			if want {
				covered++
			}
		}
	}
	if tried < 1_000_000 || covered < 1_000 {
		t.Errorf("%d pairs were tried, %d of them covered: too few", tried, covered)
	}
}

// try matches by trying, in the host until the first slash.
func try(pattern, text string, host bool) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		crosses := text != "" && text[0] != '/' && (!host || text[0] != '.' && text[0] != ':')
		return try(pattern[1:], text, host) || crosses && try(pattern, text[1:], host)
	case text == "" || text[0] != pattern[0]:
		return false
	}
	return try(pattern[1:], text[1:], host && pattern[0] != '/')
}
