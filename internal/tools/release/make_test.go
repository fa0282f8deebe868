package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../../.."

// A version that is given reaches binaries, images and Promises; without one a
// binary has that of its commit, and the rest that of the next release.
func TestMakeVersions(t *testing.T) {
	const none = "-ldflags='-s -w' -o bin/"
	for _, test := range []struct {
		name              string
		given             []string
		build, image, tag string
	}{
		{"none", nil, none, "--version '0.1.0' --tag 'v0.1.0'", "-tag 'v0.1.0'"},
		{"a version", []string{"VERSION=1.2.3"}, "-X main.stamped=v1.2.3'", "--version '1.2.3' --tag 'v1.2.3'", "-tag 'v1.2.3'"},
		{"a version with its v", []string{"VERSION=v1.2.3"}, "-X main.stamped=v1.2.3'", "--version '1.2.3' --tag 'v1.2.3'", "-tag 'v1.2.3'"},
		{"an empty version", []string{"VERSION="}, none, "--version '0.1.0' --tag 'v0.1.0'", "-tag 'v0.1.0'"},
		{"a tag", []string{"TAG=v1.2.3"}, "-X main.stamped=v1.2.3'", "--version '1.2.3' --tag 'v1.2.3'", "-tag 'v1.2.3'"},
		{"both", []string{"VERSION=1.2.3", "TAG=edge"}, "-X main.stamped=v1.2.3'", "--version '1.2.3' --tag 'edge'", "-tag 'edge'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for target, want := range map[string]string{"build": test.build, "images": test.image, "promises": test.tag} {
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
