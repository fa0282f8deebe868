package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../../.."

// A version that is given reaches binaries, images and Promises; without one all have
// that of their commit.
func TestMakeVersions(t *testing.T) {
	script := exec.CommandContext(t.Context(), "./version.sh", "v0.1.0")
	script.Dir = ".."
	out, err := script.Output()
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.TrimSpace(string(out))
	for _, test := range []struct {
		name         string
		given        []string
		version, tag string
	}{
		{"none", nil, commit, commit},
		{"a version", []string{"VERSION=1.2.3"}, "v1.2.3", "v1.2.3"},
		{"a version with its v", []string{"VERSION=v1.2.3"}, "v1.2.3", "v1.2.3"},
		{"an empty version", []string{"VERSION="}, commit, commit},
		{"a tag", []string{"TAG=v1.2.3"}, "v1.2.3", "v1.2.3"},
		{"both", []string{"VERSION=1.2.3", "TAG=edge"}, "v1.2.3", "edge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for target, want := range map[string]string{
				"build":    "-X main.stamped=" + test.version + "'",
				"images":   "--version '" + strings.TrimPrefix(test.version, "v") + "' --tag '" + test.tag + "'",
				"promises": "-tag '" + test.tag + "'",
			} {
				cmd := exec.CommandContext(t.Context(), "make", append([]string{"-C", root, "-n", target}, test.given...)...)
				cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("make %s: %v\n%s\nwant %s", target, err, out, want)
				}
			}
		})
	}
}

// Kratix keeps one revision of a Promise for each version, so each commit has another,
// and what is not committed too. A release is called so only at the commit of its tag.
func TestVersionOfCommit(t *testing.T) {
	script, err := os.ReadFile("../version.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(at, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_COMMITTER_DATE=" + at, "GIT_AUTHOR_DATE=" + at,
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	const at = "2026-08-01T13:30:00+02:00"
	seen := map[string]string{}
	version := func(when, want string) string {
		t.Helper()
		got := run(at, "internal/tools/version.sh", "v1.2.3")
		if !regexp.MustCompile("^("+want+")$").MatchString(got) || !tagForm.MatchString(got) {
			t.Errorf("%s it is %q, want %s", when, got, want)
		}
		if was, twice := seen[got]; twice {
			t.Errorf("%s it is %s, as it was %s", when, got, was)
		}
		seen[got] = when
		return got
	}
	const commit, dirty = `v1\.2\.3-20260801113000-[0-9a-f]{12}`, `-dirty-[0-9a-f]{8}`
	write("internal/tools/version.sh", string(script))
	version("in an archive", `v1\.2\.3`)
	run(at, "git", "init", "--quiet")
	run(at, "git", "add", ".")
	run(at, "git", "commit", "--quiet", "--message", "one")
	one := version("at a commit", commit)
	if again := run(at, "internal/tools/version.sh", "v1.2.3"); again != one {
		t.Errorf("asked again it is %s, after %s", again, one)
	}
	write("cmd/a.go", "package a")
	version("with a new file", commit+dirty)
	write("orders.yaml", "kind: NatsUser")
	write("cmd/a.go", "package b")
	version("with another content of it", commit+dirty)
	run(at, "git", "add", ".")
	run(at, "git", "commit", "--quiet", "--message", "two")
	version("at another commit of the same second", commit)
	write("platform.kubeconfig", "kind: Config") // which is nothing that is built
	if got := run(at, "internal/tools/version.sh", "v1.2.3"); strings.Contains(got, "dirty") {
		t.Errorf("with a file that is no source it is %s", got)
	}
	write("cmd/a.go", "package c")
	version("with a changed file", commit+dirty)
	run(at, "git", "checkout", "--quiet", "cmd/a.go")
	run(at, "git", "tag", "v1.2.3")
	delete(seen, "v1.2.3") // of the archive, which is that of the tag
	version("at the tag", `v1\.2\.3`)
	write("cmd/a.go", "package d")
	version("at the tag with a changed file", commit+dirty)
}

// What would end a quote in a recipe is refused before any shell sees it.
func TestMakeRefuses(t *testing.T) {
	for _, given := range []string{"TAG=v1;id", "TAG=v1'id", "VERSION=1`id`", "PUSH=a|id", "REGISTRY=a$(shell id)", "IMAGE_ARCH=a&id", `TAG=a"b`} {
		t.Run(given, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "make", "-C", root, "-n", "images", given)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "which no version, tag or registry has") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// The Makefile says what the next release is called, and the Promises in the tree
// say the same.
func TestReleaseOfTree(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^RELEASE := (v\S+)$`).FindSubmatch(makefile)
	if match == nil {
		t.Fatal("the Makefile has no RELEASE")
	}
	files, err := filepath.Glob(filepath.Join(root, "promises", "*", "promise*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, root+"/"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var promise struct {
				Metadata struct{ Labels map[string]string }
			}
			if err := yaml.Unmarshal(data, &promise); err != nil || promise.Metadata.Labels[versionLabel] != string(match[1]) {
				t.Errorf("its version is %q (%v), and the Makefile's RELEASE is %s: change promise.base.yaml and run `make generate`",
					promise.Metadata.Labels[versionLabel], err, match[1])
			}
		})
	}
}
