// Command mutate shows what the tests of a module do not notice. It changes the
// source in one place at a time (negates a condition, drops a clause or a statement,
// moves a limit by one) and runs the tests that get there, until one fails. What no
// test fails for is printed.
//
//	mutate [-tests PACKAGES] [-args FOLDER=FLAG]... [-run REGEXP] [-budget DURATION] [-j N] [-o json] [-hints FILE [-left]] [-list] PACKAGE|FILE...
//
// It is run at the root of the module. All mutants are compiled at once, each behind
// its number, and an environment variable says which one is alive: the maintained
// tools (gremlins, go-mutesting) compile and link the tests of a package anew for
// each mutant, which takes seconds where the tests take some milliseconds. No file of
// the module is touched: the Go command lays the changed source over it.
//
// A mutant in a program that the tests build by themselves is not alive there.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	_ "embed"
)

// options are what is asked for.
type options struct {
	root    string
	targets []string
	// tests are packages whose tests are run besides those of the targets themselves.
	tests []string
	// flags are given to the tests of a package, by its folder.
	flags    map[string][]string
	pattern  *regexp.Regexp
	budget   time.Duration
	parallel int
	// leastTime is what tests get at least before they are said to loop.
	leastTime time.Duration
	// left is to try only what was not killed there.
	left bool
	// hints says who killed a mutant the last time: that test is tried first.
	hints    *report
	progress io.Writer
}

func main() {
	o := options{root: ".", flags: map[string][]string{}, leastTime: 20 * time.Second, progress: os.Stderr}
	tests := flag.String("tests", "", "run the tests of these `packages` too, with commas between them")
	flag.Func("args", "run the tests of one package with a flag, which is given as `folder=flag`", func(text string) error {
		folder, argument, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("write it as folder=flag")
		}
		o.flags[folder] = append(o.flags[folder], argument)
		return nil
	})
	pattern := flag.String("run", "", "try mutants that match the `regexp` only: of what -list prints")
	hints := flag.String("hints", "", "a former report of -o json; the `file` tells which test to try first")
	flag.BoolVar(&o.left, "left", false, "try only what was left in the report of -hints")
	output := flag.String("o", "table", "the `form` of the report: table or json")
	list := flag.Bool("list", false, "print the mutants and try none")
	flag.DurationVar(&o.budget, "budget", 20*time.Second, "run tests that need so much time of a processor altogether on one mutant, and none that needs more by itself")
	flag.IntVar(&o.parallel, "j", runtime.NumCPU(), "so many mutants at a time")
	flag.Parse()
	o.targets, o.tests = flag.Args(), strings.FieldsFunc(*tests, func(r rune) bool { return r == ',' })
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, o, *pattern, *hints, *output, *list); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, o options, pattern, hints, output string, list bool) (err error) {
	if o.pattern, err = regexp.Compile(pattern); err != nil {
		return err
	}
	if output != "table" && output != "json" {
		return fmt.Errorf("there is no report in the form of %q: ask for table or json", output)
	}
	if hints != "" {
		data, err := os.ReadFile(hints)
		if err == nil {
			err = json.Unmarshal(data, &o.hints)
		}
		if err != nil {
			return fmt.Errorf("the hints cannot be read: %w", err)
		}
	}
	if list {
		i, err := instrument(ctx, o)
		for _, m := range i.mutants {
			fmt.Println(m)
		}
		return err
	}
	result, err := mutateModule(ctx, o)
	if err != nil {
		return err
	}
	if output == "json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	return result.print(os.Stdout)
}

// mutateModule does it all.
func mutateModule(ctx context.Context, o options) (*report, error) {
	work, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	i, err := instrument(ctx, o)
	if err != nil {
		return nil, err
	}
	if len(i.mutants) == 0 {
		return nil, errors.New("there is nothing to change there")
	}
	p := &progress{w: o.progress}
	defer p.start()()
	binaries, err := build(ctx, o, i, work, p)
	if err != nil {
		return nil, err
	}
	units, err := traceAll(ctx, o, binaries, work, p)
	if err != nil {
		return nil, err
	}
	t := newTrial(o, i.mutants, units, work)
	t.run(ctx, p)
	return newReport(t.results), nil
}

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
