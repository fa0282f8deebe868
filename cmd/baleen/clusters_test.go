package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/destination"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
)

var sealingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// sealing returns a certificate as controllers have it, in PEM form.
func sealing(t *testing.T, until time.Time) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.AddDate(-10, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &sealingKey().PublicKey, sealingKey())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

var (
	in2099 = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	in2098 = time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC)
	in2020 = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
)

// bundles returns the stored certificates by Destination.
func (w *world) bundles() map[string]string {
	w.Helper()
	folder, err := platform.OpenFolder(w.platform, time.Now)
	if err != nil {
		w.Fatal(err)
	}
	found, _, err := readBundles(w.Context(), folder)
	if err != nil {
		w.Fatal(err)
	}
	return found
}

// snapshot returns all files of the platform and when they were written.
func (w *world) snapshot() string {
	w.Helper()
	var all strings.Builder
	err := filepath.Walk(w.platform, func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			data, _ := os.ReadFile(name)
			fmt.Fprintf(&all, "%s %v\n%s", name, info.ModTime(), data)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return all.String()
}

func (w *world) trust(args ...string) []string {
	return append([]string{"clusters", "trust", "--platform", w.platform}, args...)
}

func TestTrust(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "cert.pem")
	first, second, old := sealing(t, in2098), sealing(t, in2099), sealing(t, in2020)

	w.prints(w.trust("eu-1"),
		"NAME  REGISTERED  LABELS                             CERTIFICATE  PROBLEM",
		"eu-1  yes         destination=eu-1,environment=prod  none",
		"",
		"Changed  label baleen.dev/destination=eu-1 put on the Destination",
	)
	w.write(file, "# from the controller\n"+first)
	w.prints(w.trust("eu-1", "--cert", file),
		"NAME  REGISTERED  LABELS                             CERTIFICATE       PROBLEM",
		"eu-1  yes         destination=eu-1,environment=prod  until 2098-01-01",
		"",
		"Changed  1 certificate added to baleen-system/sealing-certificates",
	)
	w.write(file, old+second+first+second)
	w.prints(w.trust("eu-1", "--cert", file),
		"NAME  REGISTERED  LABELS                             CERTIFICATE       PROBLEM",
		"eu-1  yes         destination=eu-1,environment=prod  until 2099-01-01",
		"",
		"Changed   1 certificate added to baleen-system/sealing-certificates",
		"Left out  1 certificate expired",
	)
	w.write(file, second)
	w.fails(w.trust("us-1", "--cert", file), "that is the certificate of eu-1: give that of us-1")
	w.prints(w.trust("us-1", "--cert", file, "--shared-key"),
		"NAME  REGISTERED  LABELS                             CERTIFICATE       PROBLEM",
		"us-1  yes         destination=us-1,environment=prod  until 2099-01-01",
		"",
		"Changed  1 certificate added to baleen-system/sealing-certificates",
		"Changed  label baleen.dev/destination=us-1 put on the Destination",
	)
	if got := w.bundles(); got["eu-1"] != first+second || got["us-1"] != second || len(got) != 2 {
		t.Errorf("stored %v", got)
	}

	before := w.snapshot()
	w.prints(w.trust("us-1", "--cert", file),
		"NAME  REGISTERED  LABELS                             CERTIFICATE       PROBLEM",
		"us-1  yes         destination=us-1,environment=prod  until 2099-01-01",
		"",
		"Changed  nothing",
	)
	if after := w.snapshot(); after != before {
		t.Errorf("the second time something was written: %s", after)
	}
}

func TestTrustRefuses(t *testing.T) {
	w := newWorld(t)
	good := sealing(t, in2099)
	key, err := x509.MarshalPKCS8PrivateKey(sealingKey())
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	before := w.snapshot()
	file := filepath.Join(t.TempDir(), "cert.pem")
	for want, content := range map[string]string{
		"holds no certificate in PEM form":                      "",
		"holds a private key, which must not leave its cluster": good + private,
		"cut off": good + good[:len(good)/2],
		"the certificate of eu-1 expired on 2021-01-01: give the one that its controller uses now": sealing(t, in2020) + sealing(t, in2020.AddDate(1, 0, 0)),
	} {
		t.Run(want, func(t *testing.T) {
			w := w.with(t)
			w.write(file, content)
			w.fails(w.trust("eu-1", "--cert", file), want)
		})
	}
	w.write(file, good)
	for want, args := range map[string][]string{
		"name one Destination":                        w.trust(),
		`"EU" cannot be registered`:                   w.trust("EU"),
		"at most 63 of them":                          w.trust(strings.Repeat("a", 64)),
		"the platform has no Destination ap":          w.trust("ap-1", "--cert", file),
		"give one of them":                            w.trust("eu-1", "--cert", file, "--cluster-kubeconfig", file),
		"no such file":                                w.trust("eu-1", "--cert", file+"x"),
		"the kubeconfig of eu-1 cannot be":            w.trust("eu-1", "--cluster-kubeconfig", file+"x"),
		"where --cluster-kubeconfig finds":            w.trust("eu-1", "--controller-name", "x"),
		"both name the platform":                      w.trust("eu-1", "--platform-kubeconfig", file),
		"make it or name another":                     {"clusters", "trust", "eu-1", "--platform", w.platform + "x"},
		"of the platform cluster cannot be":           {"clusters", "list", "--kubeconfig", file + "x"},
		"is neither table, wide, json, yaml nor name": {"clusters", "list", "--platform", w.platform, "--output", "xml"},
		"unknown command":                             {"clusters", "remove"},
	} {
		t.Run(want, func(t *testing.T) { w.with(t).fails(args, want) })
	}
	t.Setenv("KUBECONFIG", file+"x")
	w.fails([]string{"clusters", "list"}, "no kubeconfig leads to the platform cluster")
	if after := w.snapshot(); after != before {
		t.Errorf("something was written: %s", after)
	}

	// What someone else has left behind.
	w.write(filepath.Join(w.platform, "baleen-system", "ConfigMap.core", "sealing-certificates.yaml"),
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sealing-certificates, namespace: baleen-system}\ndata: {eu-1: rubbish}\n")
	w.fails(w.trust("eu-1", "--cert", file), "the key eu-1 of the ConfigMap baleen-system/sealing-certificates cannot be used")
	us := filepath.Join(w.platform, "_cluster", "Destination.platform.kratix.io", "us-1.yaml")
	w.write(us, "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: us-1, labels: {baleen.dev/destination: eu-1}}\n")
	w.fails(w.trust("eu-1"), "the Destination us-1 has the label baleen.dev/destination=eu-1, so that it could get what is for eu-1: first run `baleen clusters trust us-1`")
	w.write(us, "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: us-1, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [a]}\n")
	w.fails(w.trust("us-1"), "is being deleted")
}

func TestListClusters(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "cert.pem")
	w.write(file, sealing(t, in2099))
	destinations := filepath.Join(w.platform, "_cluster", "Destination.platform.kratix.io")
	for name, labels := range map[string]string{"ap-1": "{baleen.dev/destination: eu-1, zone: a}", "ap-2": "{baleen.dev/destination: ap-2}", "ap-3": "{baleen.dev/destination: ap-3}"} {
		w.write(filepath.Join(destinations, name+".yaml"), "apiVersion: platform.kratix.io/v1alpha1\nkind: Destination\nmetadata: {name: "+name+", labels: "+labels+"}\n")
	}
	if code, _, stderr := w.baleen(w.trust("us-1", "--cert", file)...); code != 0 {
		t.Fatal(stderr)
	}
	folder, err := platform.OpenFolder(w.platform, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	patch := map[string]any{"data": map[string]any{"ap-2": sealing(t, in2020), "ap-3": "rubbish", "old": sealing(t, in2099)}}
	if _, err := folder.Patch(t.Context(), platform.ConfigMap, "baleen-system", "sealing-certificates", patch); err != nil {
		t.Fatal(err)
	}
	list := []string{"clusters", "list", "--platform", w.platform}
	w.prints(list,
		"NAME  REGISTERED  LABELS                             CERTIFICATE       PROBLEM",
		"ap-1  no          zone=a                             none              could get what is for eu-1, whose label it has: run `baleen clusters trust ap-1`",
		"ap-2  yes         none                               expired           has a certificate that expired on 2020-01-01: trust it with --cluster-kubeconfig or --cert",
		"ap-3  yes         none                               unreadable        has a certificate in baleen-system/sealing-certificates that cannot be used: it holds no certificate in PEM form, or one that is cut off: fetch it again",
		"eu-1  no          destination=eu-1,environment=prod  none              gets nothing new: run `baleen clusters trust eu-1`",
		"old   no          none                               until 2099-01-01  has a certificate but no Destination: make that, or remove the key from baleen-system/sealing-certificates",
		"us-1  yes         destination=us-1,environment=prod  until 2099-01-01",
	)
	code, stdout, stderr := w.baleen(append(list, "--output", "json")...)
	var clusters []map[string]any
	if err := json.Unmarshal([]byte(stdout), &clusters); code != 0 || err != nil || len(clusters) != 6 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	got, _ := json.Marshal(clusters[5])
	if want := `{"certificate":"valid","labels":{"destination":"us-1","environment":"prod"},"name":"us-1","registered":true,"until":"2099-01-01T00:00:00Z"}`; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	w.prints([]string{"clusters", "list", "--platform", t.TempDir()}, "The platform has no Destinations.")
}

// kubeconfig writes one that leads to a handler.
func (w *world) kubeconfig(handler http.Handler) string {
	w.Helper()
	server := httptest.NewTLSServer(handler) // credentials are only sent where TLS is
	w.Cleanup(server.Close)
	file := filepath.Join(w.TempDir(), "kubeconfig")
	w.write(file, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: '%s', insecure-skip-tls-verify: true}}], users: [{name: u, user: {username: u, password: p}}]}`, server.URL))
	return file
}

func TestTrustOnClusters(t *testing.T) {
	w := newWorld(t)
	folder, err := platform.OpenFolder(w.platform, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	// The platform, on which someone else writes at the same time.
	server := platformtest.Serve(folder, platform.Destination, platform.ConfigMap)
	disturb := func(verb string) error { return nil }
	server.Observe = func(verb string, _ platform.Kind, _, _, _ string) error { return disturb(verb) }
	platformConfig := w.kubeconfig(server)
	// The workload cluster, with the controller behind its API server.
	workload := http.NewServeMux()
	answer := sealing(t, in2098)
	workload.HandleFunc("GET /api/v1/namespaces/kube-system/services/sealed-secrets-controller", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"kind": "Service", "apiVersion": "v1", "spec": {"ports": [{"name": "http", "port": 8080}]}}`)
	})
	workload.HandleFunc("GET /api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:http/proxy/v1/cert.pem", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			t.Errorf("the user is %q", user)
		}
		fmt.Fprint(w, answer)
	})
	workload.HandleFunc("GET /api/v1/namespaces/tools/services/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") == "portless" {
			fmt.Fprint(w, `{}`)
			return
		}
		fmt.Fprint(w, `{"spec": {"ports": [{"port": 8080}]}}`)
	})
	workload.HandleFunc("GET /api/v1/namespaces/tools/services/{name}/proxy/v1/cert.pem", func(w http.ResponseWriter, r *http.Request) {
		if name := r.PathValue("name"); name != "http:sealer:" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no endpoints available", "code": 503}`)
			return
		}
		fmt.Fprint(w, sealing(t, in2099))
	})
	trust := func(args ...string) []string {
		return append([]string{"clusters", "trust", "eu-1", "--platform-kubeconfig", platformConfig, "--cluster-kubeconfig", w.kubeconfig(workload)}, args...)
	}

	disturb = func(verb string) error { // another makes the ConfigMap first
		if verb != "create" {
			return nil
		}
		disturb = func(string) error { return nil }
		object := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"us-1": answer}}}
		object.SetNamespace("baleen-system")
		object.SetName("sealing-certificates")
		_, err := folder.Create(context.Background(), platform.ConfigMap, object)
		return err
	}
	w.prints(trust(),
		"NAME  REGISTERED  LABELS                             CERTIFICATE       PROBLEM",
		"eu-1  yes         destination=eu-1,environment=prod  until 2098-01-01",
		"",
		"Changed  1 certificate added to baleen-system/sealing-certificates",
		"Changed  label baleen.dev/destination=eu-1 put on the Destination",
	)
	disturb = func(verb string) error { // another changes it
		if verb != "update" {
			return nil
		}
		disturb = func(string) error { return nil }
		_, err := folder.Patch(context.Background(), platform.ConfigMap, "baleen-system", "sealing-certificates", map[string]any{"data": map[string]any{"ap-1": answer}})
		return err
	}
	if code, _, stderr := w.baleen(trust("--controller-namespace", "tools", "--controller-name", "sealer")...); code != 0 {
		t.Fatal(stderr)
	}
	got := w.bundles()
	if got["us-1"] != answer || got["ap-1"] != answer || strings.Count(got["eu-1"], "BEGIN") != 2 || !strings.HasPrefix(got["eu-1"], answer) {
		t.Errorf("stored %v", got)
	}
	if object, err := folder.Get(t.Context(), platform.Destination, "", "eu-1"); err != nil || object.GetLabels()[destination.Label] != "eu-1" {
		t.Errorf("%v, %v", object, err)
	}
	disturb = func(verb string) error {
		if verb == "get" || verb == "list" {
			return nil
		}
		return fmt.Errorf("the second time it asks to %s", verb)
	}
	if code, stdout, stderr := w.baleen(trust()...); code != 0 || !strings.Contains(stdout, "Changed  nothing") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	t.Setenv("KUBECONFIG", platformConfig)
	if code, stdout, stderr := w.baleen("clusters", "list"); code != 0 || !strings.Contains(stdout, "until 2098-01-01") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}

	w.fails(trust("--controller-name", "other"), "the controller of eu-1, the Service kube-system/other, gives no certificate")
	w.fails(trust("--controller-namespace", "tools", "--controller-name", "portless"), "it has no port")
	w.fails(trust("--controller-namespace", "tools", "--controller-name", "asleep"), "no endpoints available")
	w.fails(trust("--controller-name", "../secrets"), "gives no certificate")
	answer = "<html>"
	w.fails(trust(), "the answer of the controller of eu-1 cannot be used: it holds no certificate")
	answer = sealing(t, in2099.AddDate(1, 0, 0))
	disturb = func(verb string) error {
		if verb == "update" {
			return apierrors.NewConflict(platform.ConfigMap.GVR().GroupResource(), "x", fmt.Errorf("always"))
		}
		return nil
	}
	w.fails(trust(), "keeps changing: try again")
	disturb = func(verb string) error {
		if verb == "update" {
			return apierrors.NewForbidden(platform.ConfigMap.GVR().GroupResource(), "x", fmt.Errorf("not yours"))
		}
		return nil
	}
	w.fails(trust(), "the ConfigMap baleen-system/sealing-certificates cannot be written")
	if err := os.RemoveAll(filepath.Join(w.platform, "baleen-system")); err != nil {
		t.Fatal(err)
	}
	disturb = func(verb string) error {
		if verb == "create" {
			return apierrors.NewNotFound(platform.ConfigMap.GVR().GroupResource(), "baleen-system")
		}
		return nil
	}
	w.fails(trust(), "the platform has no namespace baleen-system: apply a Promise of Baleen first, which makes it")
}
