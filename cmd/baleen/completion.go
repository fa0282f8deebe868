package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

// completionTimeout is how long a shell waits for the platform cluster.
const completionTimeout = 3 * time.Second

// lookup returns words that may come next, of what is on the platform.
type lookup func(ctx context.Context, client platform.Client, cmd *cobra.Command) ([]string, error)

// completions are the values of flags, by the flag's name.
var completions = map[string]cobra.CompletionFunc{
	"namespace":   fromPlatform(namespaces),
	"account":     fromPlatform(accountNames),
	"cluster":     fromPlatform(clusterNames),
	"destination": fromPlatform(clusterNames),
	"context":     contexts,
	"platform":    folders,
	"out":         folders,
	"dir":         folders,
	"filename":    yamlFiles,
	"promise":     yamlFiles,
	"now":         cobra.NoFileCompletions,
}

// addCompletions has a shell complete the flags of a command and of all below it.
func addCompletions(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		complete := completions[flag.Name]
		if values := flag.Annotations[enumValues]; len(values) > 0 {
			complete = cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
		}
		if complete == nil {
			return
		}
		if _, done := cmd.GetFlagCompletionFunc(flag.Name); done {
			return
		}
		if err := cmd.RegisterFlagCompletionFunc(flag.Name, complete); err != nil {
			panic(err) // there is no such flag
		}
	})
	if cmd.ValidArgsFunction == nil && cmd.Runnable() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		addCompletions(sub)
	}
}

// fromPlatform completes with what is on the platform, and is silent where that
// cannot be reached.
func fromPlatform(find lookup) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		f, ok := platformOf(cmd)
		if !ok {
			return nil, directive
		}
		client, err := f.open()
		if err != nil {
			return nil, directive
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		found, err := find(ctx, client, cmd)
		if err != nil {
			return nil, directive
		}
		slices.Sort(found)
		return slices.Compact(found), directive
	}
}

// oneArgument completes the first argument alone.
func oneArgument(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, word)
	}
}

// platformOf returns how a command line names the platform cluster so far.
func platformOf(cmd *cobra.Command) (f platformFlags, ok bool) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		switch value := flag.Value.String(); {
		case len(flag.Annotations[ofPlatform]) > 0:
			f.flag, ok = flag.Name, true
			if value != "" {
				f.kubeconfig = value
			}
		case flag.Name == "platform":
			f.folder = value
		case flag.Name == "context":
			f.context = value
		}
	})
	return f, ok || f.folder != ""
}

func contexts(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	f, _ := platformOf(cmd)
	config, err := kubeconfigLoader(f.kubeconfig, "").RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

func folders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func yamlFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}

// namespaces are those of requests, as the right to list namespaces is rare.
func namespaces(ctx context.Context, client platform.Client, _ *cobra.Command) ([]string, error) {
	var found []string
	for _, kind := range promises.Kinds() {
		if kind == platform.NatsAccount || kind == platform.System { // whose namespaces are not those of teams
			continue
		}
		objects, err := kratix.Requests(ctx, client, kind)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			found = append(found, o.GetNamespace())
		}
	}
	return found, nil
}

func accountNames(ctx context.Context, client platform.Client, _ *cobra.Command) ([]string, error) {
	return namesOf(ctx, client, platform.NatsAccount)
}

func clusterNames(ctx context.Context, client platform.Client, _ *cobra.Command) ([]string, error) {
	return namesOf(ctx, client, platform.Destination)
}

func namesOf(ctx context.Context, client platform.Client, kind platform.Kind) ([]string, error) {
	objects, err := kratix.Requests(ctx, client, kind)
	var found []string
	for _, o := range objects {
		found = append(found, o.GetName())
	}
	return found, err
}

// userNames are the NatsUsers as `baleen rotate` takes them: with their namespace
// where no flag gives that.
func userNames(ctx context.Context, client platform.Client, cmd *cobra.Command) ([]string, error) {
	objects, err := kratix.Requests(ctx, client, platform.NatsUser)
	namespace := cmd.Flag("namespace").Value.String()
	var found []string
	for _, o := range objects {
		switch name := o.GetName(); {
		case namespace == "":
			found = append(found, o.GetNamespace()+"/"+name)
		case namespace == o.GetNamespace():
			found = append(found, name)
		}
	}
	return found, err
}
