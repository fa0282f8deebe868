package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/promises"
)

// cloudFlags are what `baleen fakecloud` is asked.
type cloudFlags struct{ listen, dir, platform, token string }

func fakecloudCommand() *cobra.Command {
	var f cloudFlags
	cmd := &cobra.Command{
		Use:   "fakecloud",
		Short: "Serve a stand-in for Synadia's control plane",
		Long: `Fakecloud serves, on the loopback interface, what Baleen asks of Synadia's control
plane, with a NATS server beside it to which what is issued connects. It is a
stand-in: when it ends, its account, users and revocations are gone. It shows each
request as it comes, without the ids in it.`,
		Example: `  baleen fakecloud --platform platform
  baleen fakecloud --listen 127.0.0.1:8080`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.serve(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "address to serve at, on the loopback interface")
	flags.StringVar(&f.dir, "dir", "", "folder for the files of the NATS server (default: one that is removed at the end)")
	flags.StringVar(&f.platform, "platform", "", "folder that stands for the platform cluster: write the NatsAccount commerce, in place of one that is there, and its Secret into it")
	flags.StringVar(&f.token, "token", "", "token that is let in (default: one that is made up)")
	return cmd
}

func (f cloudFlags) serve(ctx context.Context, w io.Writer) error {
	listener, err := listenHere(f.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if f.dir == "" {
		if f.dir, err = os.MkdirTemp("", "baleen-fakecloud-"); err != nil {
			return err
		}
		defer os.RemoveAll(f.dir)
	}
	system, err := natslocal.New(f.dir)
	if err != nil {
		return err
	}
	if err := system.Start(true); err != nil {
		return err
	}
	defer system.Stop()
	if f.token == "" {
		f.token = "uat_" + rand.Text()
	}
	cloud, err := fakecloud.New(fakecloud.Options{NATS: system, Tokens: []string{f.token}, Log: func(r fakecloud.Request) {
		fmt.Fprintln(w, time.Now().UTC().Format(time.RFC3339), r.Short())
	}})
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	if f.platform != "" {
		if err := f.furnish(ctx, url, system.URL()); err != nil {
			return err
		}
	}
	if err := f.introduce(w, url, system.URL(), cloud); err != nil {
		return err
	}
	server := &http.Server{Handler: cloud, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listenHere listens where nobody but this machine comes.
func listenHere(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--listen %q is not an address such as 127.0.0.1:8080", address)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("--listen %q is not on the loopback interface: the stand-in is for this machine alone, use 127.0.0.1 or [::1]", address)
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

// introduce shows what one needs to use the cloud.
func (f cloudFlags) introduce(w io.Writer, url, nats string, cloud *fakecloud.Cloud) error {
	fmt.Fprintln(w, "This is a stand-in for Synadia's control plane: it keeps nothing, and what it issues connects to its own NATS server only. Ctrl-C ends it.")
	fmt.Fprintln(w)
	var rows [][]term.Cell
	for _, row := range [][2]string{
		{"Base URL", url}, {"Token", f.token}, {"System", "NGS"}, {"Account", "commerce"}, {"Account id", cloud.Account},
		{"Signing key group", "Default"}, {"NATS", nats},
	} {
		rows = append(rows, []term.Cell{{Text: row[0]}, {Text: row[1]}})
	}
	if err := term.Table(w, term.Colors(w), rows...); err != nil {
		return err
	}
	if f.platform != "" {
		file := filepath.Join(f.platform, config.Namespace, "NatsAccount.baleen.dev", "commerce.yaml")
		fmt.Fprintf(w, "\nThe NatsAccount commerce and the Secret synadia are in the platform. Next: baleen run %s --platform %s\n", file, f.platform)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// furnish writes the account, which is the example with other addresses, and the
// Secret with its token into the platform.
func (f cloudFlags) furnish(ctx context.Context, url, nats string) error {
	client, err := platform.OpenFolder(f.platform, time.Now)
	if err != nil {
		return err
	}
	account, err := readRequest("the example", promises.SynadiaExample)
	if err != nil {
		return err
	}
	spec := account.Object["spec"].(map[string]any)
	maps.Copy(spec["synadia"].(map[string]any), map[string]any{"baseURL": url, "servers": []any{nats}})
	if err := put(ctx, client, platform.Secret, "synadia", map[string]any{"stringData": map[string]any{"token": f.token}}); err != nil {
		return err
	}
	return put(ctx, client, platform.NatsAccount, account.GetName(), map[string]any{"spec": spec})
}

// put makes an object in baleen-system, or gives one that is there another content.
func put(ctx context.Context, client platform.Client, kind platform.Kind, name string, content map[string]any) error {
	object, err := client.Get(ctx, kind, config.Namespace, name)
	found := err == nil
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if !found {
		object = &unstructured.Unstructured{Object: map[string]any{}}
		object.SetGroupVersionKind(kind.GroupVersionKind)
		object.SetNamespace(config.Namespace)
		object.SetName(name)
	}
	maps.Copy(object.Object, content)
	if found {
		_, err = client.Update(ctx, kind, object)
	} else {
		_, err = client.Create(ctx, kind, object)
	}
	return err
}
