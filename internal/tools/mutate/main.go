// Command mutate shows what the tests of a module do not notice. It changes the
// source in one place at a time (negates a condition, drops a clause or a statement,
// moves a limit by one) and runs the tests that have a case for it, until one fails.
// What no test fails for is printed: it survived, or it is untried if no test has a
// case in which it would differ at all.
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
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
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
	// hints says who killed a mutant the last time: that test is tried first. With left
	// only what was not killed then is tried.
	hints *report
	left  bool
	// cache is the folder for what was found out about tests.
	cache string
	// leastTime is what tests get at least before they are said to loop.
	leastTime time.Duration
	progress  io.Writer
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
	folder, err := os.UserCacheDir()
	if err != nil {
		folder = os.TempDir()
	}
	o.cache = filepath.Join(folder, "baleen-mutate")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = start(ctx, o, *pattern, *hints, *output, *list)
	stop()
	if err != nil {
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
