package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/nearest"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
)

// platformFlags name the platform cluster.
type platformFlags struct {
	folder, kubeconfig, context string
	flag                        string // by which the kubeconfig is named
}

// ofPlatform is the annotation of the flag that names the platform's kubeconfig.
const ofPlatform = "baleen/platform"

func (f *platformFlags) add(flags *pflag.FlagSet, kubeconfig string) {
	f.flag = kubeconfig
	flags.StringVar(&f.folder, "platform", "", "`folder` that stands for the platform cluster")
	flags.StringVar(&f.kubeconfig, kubeconfig, "", "kubeconfig `file` of the platform cluster (default: as kubectl finds it)")
	flags.StringVar(&f.context, "context", "", "`name` of the kubeconfig's context for the platform cluster (default: the current one)")
	annotate(flags, kubeconfig, ofPlatform, "true")
}

// addOld adds the name that a flag of the platform's kubeconfig had.
func (f *platformFlags) addOld(flags *pflag.FlagSet, old string) {
	flags.StringVar(&f.kubeconfig, old, "", "")
	hide(flags, old)
	annotate(flags, old, ofPlatform, "true")
	annotate(flags, old, renamedTo, f.flag)
}

// open opens the platform cluster, or the folder that stands for it.
func (f platformFlags) open() (platform.Client, error) {
	switch {
	case f.folder != "" && f.kubeconfig != "":
		return nil, fmt.Errorf("--platform and --%s both name the platform cluster: give one of them", f.flag)
	case f.folder != "" && f.context != "":
		return nil, errors.New("--platform and --context both name the platform cluster: give one of them")
	case f.folder != "":
		if err := standsForPlatform(f.folder); err != nil {
			return nil, err
		}
		return platform.OpenFolder(f.folder, time.Now)
	}
	access, err := loadKubeconfig(f.kubeconfig, f.context)
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("no kubeconfig leads to the platform cluster: name one with --%s, or a folder with --platform", f.flag)
	}
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig of the platform cluster cannot be used: %w", err)
	}
	client, err := platform.OpenCluster(access)
	if err != nil {
		return nil, err
	}
	return platform.WithRetry(client, platform.DefaultRetry), nil
}

// standsForPlatform refuses a folder that has something else in it than objects, of which
// all that one could say is that there are none. One that is empty is a platform yet to be.
func standsForPlatform(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 { // which opening it says
		return nil //nolint:nilerr // as the comment has it
	}
	objects, err := fs.Glob(os.DirFS(folder), "*/*.*/*.yaml")
	if err == nil && len(objects) == 0 {
		return fmt.Errorf("the folder %s stands for no platform: it has no file <namespace or _cluster>/<Kind>.<group>/<name>.yaml; see `baleen run --help`", folder)
	}
	return err
}

// loadKubeconfig reads a kubeconfig, or those that kubectl would read, and takes a
// context of it, or the current one.
func loadKubeconfig(file, context string) (*rest.Config, error) {
	return kubeconfigLoader(file, context).ClientConfig()
}

func kubeconfigLoader(file, context string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath, rules.WarnIfAllMissing = file, false
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
}

// scopeFlags are the namespaces that a list is about.
type scopeFlags struct {
	namespace string
	all       bool
}

func (f *scopeFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.namespace, "namespace", "n", "", "show only what is in this `namespace`")
	flags.BoolVarP(&f.all, "all-namespaces", "A", false, "show what is in all namespaces, as without --namespace")
}

func (f scopeFlags) check() error {
	if f.all && f.namespace != "" {
		return fmt.Errorf("--all-namespaces and --namespace %s contradict each other: give one of them", f.namespace)
	}
	return nil
}

func (f scopeFlags) has(namespace string) bool { return f.namespace == "" || f.namespace == namespace }

// attentionFlags ask for what is not well.
type attentionFlags struct{ problems, exitCode bool }

// needsAttention is the exit code for what is shown and is not well.
const needsAttention exitCode = 3

func (f *attentionFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.problems, "problems", false, "show only what needs attention")
	flags.BoolVar(&f.exitCode, "exit-code", false, "exit with 3 when something that is shown needs attention")
}

// exit is the error that a command ends with which shows problems.
func (f attentionFlags) exit(problems bool) error {
	if f.exitCode && problems {
		return needsAttention
	}
	return nil
}

// outputs are the values of --output.
var outputs = []string{"table", "wide", "json", "yaml", "name"}

// outputFlag is how a command shows what it has to show.
type outputFlag string

func (o *outputFlag) add(flags *pflag.FlagSet) {
	addEnum(flags, (*string)(o), enum{"output", "o", "table", "what to print", outputs})
}

func (o outputFlag) check() error { return oneOf("output", string(o), outputs...) }

// wide reports whether everything is to be shown, however wide that gets.
func (o outputFlag) wide() bool { return o == "wide" }

// print writes a value as JSON or YAML where that is asked for, the names of the
// objects that it is about, or else what people read.
func (o outputFlag) print(w io.Writer, value any, table func() error, names ...string) error {
	switch o {
	case "json":
		return printJSON(w, value)
	case "yaml":
		data, err := yaml.Marshal(value)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	case "name":
		for _, name := range names {
			if _, err := fmt.Fprintln(w, term.Clean(name)); err != nil {
				return err
			}
		}
		return nil
	}
	return table()
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// objectName is how kubectl names an object of a kind.
func objectName(kind platform.Kind, name string) string {
	return strings.ToLower(kind.Kind) + "." + kind.Group + "/" + name
}

// enumValues is the annotation of a flag with its values.
const enumValues = "baleen/values"

// enum is a flag that takes one of some values.
type enum struct {
	name, shorthand string
	value           string // where it is not given
	usage           string
	values          []string
}

func addEnum(flags *pflag.FlagSet, target *string, e enum) {
	most, last := e.values[:len(e.values)-1], e.values[len(e.values)-1]
	flags.StringVarP(target, e.name, e.shorthand, e.value, e.usage+": "+strings.Join(most, ", ")+" or "+last)
	annotate(flags, e.name, enumValues, e.values...)
}

// oneOf refuses a value of a flag that is none of those there are.
func oneOf(flag, value string, values ...string) error {
	if slices.Contains(values, value) {
		return nil
	}
	text := fmt.Sprintf("--%s %q is neither %s nor %s", flag, value, strings.Join(values[:len(values)-1], ", "), values[len(values)-1])
	if meant := meantValue(value, values); meant != "" {
		text += ": did you mean " + meant + "?"
	}
	return errors.New(text)
}

// meantValue returns the one of some values that begins with a word, or is near it.
func meantValue(word string, values []string) string {
	for _, value := range values {
		if word != "" && strings.HasPrefix(value, strings.ToLower(word)) {
			return value
		}
	}
	return nearest.Word(word, values)
}

// renamedTo is the annotation of a flag with the name that it has now.
const renamedTo = "baleen/renamed"

// warnOfOld says on stderr which flags have another name now.
func warnOfOld(cmd *cobra.Command) {
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if now := flag.Annotations[renamedTo]; len(now) > 0 {
			warn(cmd.ErrOrStderr(), "--%s is an old name: write --%s", flag.Name, now[0])
		}
	})
}

func warn(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, term.Clean("baleen: warning: "+fmt.Sprintf(format, args...)))
}

func annotate(flags *pflag.FlagSet, name, key string, values ...string) {
	if err := flags.SetAnnotation(name, key, values); err != nil {
		panic(err) // there is no such flag
	}
}

func hide(flags *pflag.FlagSet, name string) {
	if err := flags.MarkHidden(name); err != nil {
		panic(err) // there is no such flag
	}
}

// clock returns the clock that --now sets.
func clock(now string) (func() time.Time, error) {
	if now == "" {
		return time.Now, nil
	}
	fixed, err := time.Parse(time.RFC3339, now)
	if err != nil {
		return nil, fmt.Errorf("--now %q is not a time such as 2026-08-01T12:00:00Z", now)
	}
	return func() time.Time { return fixed }, nil
}
