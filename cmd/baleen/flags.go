package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/baleen-platform/baleen/internal/platform"
)

// platformFlags name the platform cluster.
type platformFlags struct {
	folder, kubeconfig string
	flag               string // by which the kubeconfig is named
}

func (f *platformFlags) add(flags *pflag.FlagSet, kubeconfig string) {
	f.flag = kubeconfig
	flags.StringVar(&f.folder, "platform", "", "folder that stands for the platform cluster")
	flags.StringVar(&f.kubeconfig, kubeconfig, "", "kubeconfig of the platform cluster (default: as kubectl finds it)")
}

// open opens the platform cluster, or the folder that stands for it.
func (f platformFlags) open() (platform.Client, error) {
	switch {
	case f.folder != "" && f.kubeconfig != "":
		return nil, fmt.Errorf("--platform and --%s both name the platform cluster: give one of them", f.flag)
	case f.folder != "":
		return platform.OpenFolder(f.folder, time.Now)
	}
	access, err := loadKubeconfig(f.kubeconfig)
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

// loadKubeconfig reads a kubeconfig, or those that kubectl would read.
func loadKubeconfig(file string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath, rules.WarnIfAllMissing = file, false
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
}

// outputFlag is how a command shows what it has to show.
type outputFlag string

func (o *outputFlag) add(flags *pflag.FlagSet) {
	flags.StringVar((*string)(o), "output", "table", "what to print: table or json")
}

func (o outputFlag) check() error {
	if o != "table" && o != "json" {
		return fmt.Errorf("--output %q is neither table nor json", o)
	}
	return nil
}

// print writes a value as JSON where that is asked for, and else what people read.
func (o outputFlag) print(w io.Writer, value any, table func() error) error {
	if o == "json" {
		return printJSON(w, value)
	}
	return table()
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
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
