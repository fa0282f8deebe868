package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	_ "embed"
)

// instrumented are the mutants, and the files that have them.
type instrumented struct {
	module  string
	root    string
	mutants []*mutant
	// overlay is the text of files, by name.
	overlay  map[string]string
	packages []string
}

//go:embed mutant/mutant.go
var helper string

// listed is what the Go command says of a package.
type listed struct {
	ImportPath, Dir, ForTest string
	GoFiles, Deps            []string
	Module                   *struct{ Path, Dir string }
}

// instrument makes the mutants of all targets. Files that the build leaves out are
// left out here too.
func instrument(ctx context.Context, o options) (i instrumented, err error) {
	files := map[string]bool{}
	dirs := []string{}
	for _, target := range o.targets {
		dir := filepath.Clean(target)
		if strings.HasSuffix(target, ".go") {
			files[dir] = true
			dir = filepath.Dir(dir)
		}
		if !slices.Contains(dirs, "./"+dir) {
			dirs = append(dirs, "./"+dir)
		}
	}
	packages, err := goList(ctx, o.root, dirs...)
	if err != nil {
		return i, err
	}
	i.overlay = map[string]string{}
	next := 1
	for _, p := range packages {
		if p.Module == nil || len(o.targets) == 0 {
			return i, errors.New("name the packages or files of a module")
		}
		i.root, i.module = p.Module.Dir, p.Module.Path
		dir, err := filepath.Rel(i.root, p.Dir)
		if err != nil {
			return i, err
		}
		only := slices.ContainsFunc(p.GoFiles, func(name string) bool { return files[filepath.Join(dir, name)] })
		for _, name := range p.GoFiles {
			short := filepath.ToSlash(filepath.Join(dir, name))
			if only && !files[short] {
				continue
			}
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return i, err
			}
			mutants, changed, err := mutate(short, p.ImportPath, string(text), i.helper(), next)
			if err != nil {
				return i, err
			}
			if len(mutants) > 0 {
				i.overlay[filepath.Join(p.Dir, name)] = changed
				i.packages = append(i.packages, p.ImportPath)
			}
			next += len(mutants)
			for _, m := range mutants {
				if o.pattern.MatchString(m.String()) && !(o.left && o.hints.killed(m)) {
					i.mutants = append(i.mutants, m)
				}
			}
		}
	}
	i.packages = slices.Compact(i.packages)
	i.overlay[filepath.Join(i.root, "internal", "mutant", "mutant.go")] = helper
	return i, nil
}

func (i *instrumented) helper() string { return path.Join(i.module, "internal", "mutant") }

func goList(ctx context.Context, dir string, args ...string) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json=ImportPath,Dir,ForTest,GoFiles,Deps,Module"}, args...)...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var one listed
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}

// build compiles the tests that have one of the mutated packages in them.
func build(ctx context.Context, o options, i instrumented, work string, p *progress) ([]*binary, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(i.overlay)) {
		changed := filepath.Join(work, fmt.Sprintf("%d.go", len(overlay.Replace)))
		if err := os.WriteFile(changed, []byte(i.overlay[name]), 0o600); err != nil {
			return nil, err
		}
		overlay.Replace[name] = changed
	}
	data, err := json.Marshal(overlay)
	file := filepath.Join(work, "overlay.json")
	if err = cmp.Or(err, os.WriteFile(file, data, 0o600)); err != nil {
		return nil, err
	}
	packages, err := goList(ctx, o.root, slices.Concat([]string{"-test"}, i.packages, o.tests)...)
	if err != nil {
		return nil, err
	}
	var binaries []*binary
	for _, tests := range packages {
		name, ok := strings.CutSuffix(tests.ImportPath, ".test")
		if !ok || !slices.ContainsFunc(tests.Deps, func(dep string) bool {
			dep, _, _ = strings.Cut(dep, " ") // "a [b.test]" is a as b's tests have it
			return slices.Contains(i.packages, dep)
		}) {
			continue
		}
		p.say("compiling the tests of %s", name)
		b := &binary{pkg: name, dir: tests.Dir, file: filepath.Join(work, fmt.Sprintf("%d.test", len(binaries)))}
		b.flags = o.flags[strings.TrimPrefix(name, i.module+"/")]
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-w", "-overlay", file, "-o", b.file, name)
		cmd.Dir = o.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("the tests of %s do not compile with all mutants in them: %w\n%s", name, err, out)
		}
		binaries = append(binaries, b)
	}
	if len(binaries) == 0 {
		return nil, errors.New("no test has any of this in it: name other packages with -tests")
	}
	return binaries, nil
}
