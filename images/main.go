// Command images makes every container image of Baleen from nothing: it
// compiles the binaries and writes OCI layouts, with neither a container daemon
// nor a base image. Built twice from the same source by the same version of Go,
// an image has the same digest.
//
//	go run . [--push REGISTRY/PREFIX] [--tag TAG] [--out DIR] [--version V]
package main

import (
	"cmp"
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
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// What the image of a stage may weigh on one platform; nodes pull it before each
// first run. The tool, which people run, brings a NATS server for its demo.
const (
	mebibyte        = 1 << 20
	maxUnpacked     = 40 * mebibyte
	maxPacked       = 14 * mebibyte
	tool            = "baleen"
	maxToolUnpacked = 56 * mebibyte
	maxToolPacked   = 20 * mebibyte
)

// versionForm is what labels, SBOMs and the tool itself give as version.
var versionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}$`)

// unversioned is the version of what is built for no release.
const unversioned = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "images: "+strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

// order is what the command line asks for.
type order struct {
	builder
	prefix, tag string // where to push, if the prefix is not empty
}

// readOrder reads the command line.
func readOrder(args []string, stderr io.Writer) (order, error) {
	o := order{builder: builder{progress: stderr}}
	var archs string
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.source, "source", "..", "the project's `folder`")
	flags.StringVar(&o.out, "out", "", "the `folder` to write to (default: dist/images of the project)")
	flags.StringVar(&o.version, "version", unversioned, "what the labels and the SBOMs give as version")
	flags.StringVar(&archs, "arch", "amd64,arm64", "the `architectures` to build for, of amd64 and arm64")
	flags.StringVar(&o.prefix, "push", "", "also push, to `registry/prefix`/<name>")
	flags.StringVar(&o.tag, "tag", "", "the tag to push (default: the version)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is not understood: there are flags only, see --help", flags.Arg(0))
	}
	for arch := range strings.SplitSeq(archs, ",") {
		if arch != "amd64" && arch != "arm64" {
			return o, fmt.Errorf("--arch is %q: give amd64, arm64 or both with a comma between", archs)
		}
		o.archs = append(o.archs, arch)
	}
	if !versionForm.MatchString(o.version) {
		return o, fmt.Errorf("--version %q is no version: write it as 1.2.3", o.version)
	}
	o.out, o.tag = cmp.Or(o.out, filepath.Join(o.source, "dist", "images")), cmp.Or(o.tag, o.version)
	var err error
	o.created, err = created()
	return o, err
}

// targets are where the images go: none if nothing is pushed.
func (o order) targets(names []string) (map[string]target, error) {
	all := map[string]target{}
	for _, name := range names {
		if o.prefix == "" {
			continue
		}
		var err error
		if all[name], err = newTarget(o.prefix, name, o.tag); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// run is the whole command. What it makes is written to the output folder, a
// table of it to stdout, and what it is doing to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := readOrder(args, stderr)
	if err != nil {
		return err
	}
	names, err := names(o.source)
	if err != nil {
		return err
	}
	targets, err := o.targets(names) // checked now, not after minutes of compiling
	if err != nil {
		return err
	}
	// The files of digests are there only where all images are.
	digestsFile, pushedFile := filepath.Join(o.out, "digests.json"), filepath.Join(o.out, "pushed.json")
	for _, file := range []string{digestsFile, pushedFile} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	images, err := o.build(ctx, names)
	if err != nil {
		return err
	}
	if err := table(stdout, images); err != nil {
		return err
	}
	if err := tooLarge(images); err != nil {
		return err
	}
	digests := map[string]string{}
	for _, image := range images {
		digests[image.name] = image.digest
		if to, ok := targets[image.name]; ok {
			fmt.Fprintf(stderr, "pushing %s\n", to)
			if err := push(ctx, image.folder, to); err != nil {
				return fmt.Errorf("%s was not pushed: %w", to, err)
			}
		}
	}
	if err := writeJSON(digestsFile, digests); err != nil || o.prefix == "" {
		return err
	}
	return writeJSON(pushedFile, pushed{Registry: strings.TrimSuffix(o.prefix, "/"), Tag: o.tag, Digests: digests})
}

// pushed is what was pushed where: a digest is of use only to who pulls from there.
type pushed struct {
	Registry string            `json:"registry"`
	Tag      string            `json:"tag"`
	Digests  map[string]string `json:"digests"`
}

func writeJSON(file string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// created is the time that images and SBOMs give as that of their making: never
// the real one, or no two builds were alike.
// See https://reproducible-builds.org/specs/source-date-epoch/.
func created() (time.Time, error) {
	value := os.Getenv("SOURCE_DATE_EPOCH")
	if value == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: it must be a number of seconds since 1970", value)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func table(w io.Writer, images []image) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tPLATFORM\tDIGEST\tUNPACKED\tPACKED")
	for _, i := range images {
		fmt.Fprintf(t, "%s\tall\t%s\t\t\n", i.name, i.digest)
		for _, p := range i.platforms {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", i.name, p.name(), p.digest, size(p.unpacked), size(p.packed))
		}
	}
	return t.Flush()
}

// tooLarge says which images are larger than allowed.
func tooLarge(images []image) error {
	var all []string
	for _, i := range images {
		for _, p := range i.platforms {
			check := func(state string, bytes, most int64) {
				if bytes > most {
					all = append(all, fmt.Sprintf("the image %s for %s is %s %s, and at most %s is allowed",
						i.name, p.name(), size(bytes), state, size(most)))
				}
			}
			if i.name == tool {
				check("unpacked", p.unpacked, maxToolUnpacked)
				check("packed", p.packed, maxToolPacked)
			} else {
				check("unpacked", p.unpacked, maxUnpacked)
				check("packed", p.packed, maxPacked)
			}
		}
	}
	if len(all) > 0 {
		return errors.New(strings.Join(all, "; "))
	}
	return nil
}

// size rounds up, so that what is too large never looks allowed.
func size(bytes int64) string {
	hundredths := (bytes*100 + mebibyte - 1) / mebibyte
	return fmt.Sprintf("%d.%02d MiB", hundredths/100, hundredths%100)
}
