// Package acceptance tells what Baleen is for, as stories on a real platform.
package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/baleen-platform/baleen/promises"
	"github.com/baleen-platform/baleen/test/e2e/platform"
)

// inputs are the platform that the stories happen on.
var world platform.Environment

type gvr = schema.GroupVersionResource

// clusters by name: "platform", "eu-1" and "us-1".
var clusters = map[string]*cluster{}

type cluster struct {
	name    string
	config  *rest.Config
	objects dynamic.Interface
	core    kubernetes.Interface
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	var err error
	switch dir := os.Getenv("BALEEN_E2E_RUN"); {
	case os.Getenv("PLATFORM_KUBECONFIG") != "":
		if world, err = elsewhere(os.Getenv); err == nil {
			defer os.RemoveAll(world.Git)
		}
	case dir == "":
		err = errors.New("these tests run where a platform is: use make e2e, or `platform exec`")
	default:
		world, err = platform.ReadEnvironment(dir)
	}
	if err != nil {
		return 1, err
	}
	for name, file := range world.Kubeconfigs {
		config, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			return 1, err
		}
		config.QPS, config.Burst = 200, 400
		c := &cluster{name: name, config: config}
		if c.objects, err = dynamic.NewForConfig(config); err != nil {
			return 1, err
		}
		if c.core, err = kubernetes.NewForConfig(config); err != nil {
			return 1, err
		}
		clusters[name] = c
	}
	if err := whichKratix(context.Background()); err != nil {
		return 1, err
	}
	fmt.Println("Kratix:", world.Kratix)
	if err := install(context.Background()); err != nil {
		return 1, err
	}
	code := m.Run()
	if len(report.stories) == 0 {
		return 1, errors.New("no story was told: see what -test.run says")
	}
	return code, writeReport()
}

func hub() *cluster { return clusters["platform"] }
func eu() *cluster  { return clusters["eu-1"] }
func us() *cluster  { return clusters["us-1"] }

var (
	apiAggregators = gvr{Group: "baleen.dev", Version: "v1alpha1", Resource: "apiaggregators"}
	apiTargets     = gvr{Group: "baleen.dev", Version: "v1alpha1", Resource: "apiaggregatortargets"}
	natsAccounts   = gvr{Group: "baleen.dev", Version: "v1alpha1", Resource: "natsaccounts"}
	natsUsers      = gvr{Group: "baleen.dev", Version: "v1alpha1", Resource: "natsusers"}
	works          = gvr{Group: "platform.kratix.io", Version: "v1alpha1", Resource: "works"}
	configMaps     = gvr{Version: "v1", Resource: "configmaps"}
	secrets        = gvr{Version: "v1", Resource: "secrets"}
	sealedSecrets  = gvr{Group: "bitnami.com", Version: "v1alpha1", Resource: "sealedsecrets"}
	httpRoutes     = gvr{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
)

// kubectl runs kubectl as a cluster's administrator, as the reader would.
func (c *cluster) kubectl(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	out, err := c.tryKubectl(t.Context(), stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *cluster) tryKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, world.Kubectl, append([]string{"--kubeconfig", world.Kubeconfigs[c.name]}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(world.Kubeconfigs[c.name]))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s on %s: %s", strings.Join(args, " "), c.name, out)
	}
	return string(out), nil
}

func (c *cluster) apply(t testing.TB, documents string) {
	t.Helper()
	c.kubectl(t, documents, "apply", "--server-side", "--force-conflicts", "-f", "-")
}

// get reads an object; nil is one that is not there.
func (c *cluster) get(t testing.TB, what gvr, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	object, err := c.objects.Resource(what).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func (c *cluster) delete(t testing.TB, what gvr, namespace, name string) {
	t.Helper()
	if err := c.objects.Resource(what).Namespace(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

func (c *cluster) patch(t testing.TB, what gvr, namespace, name, merge string) {
	t.Helper()
	if _, err := c.objects.Resource(what).Namespace(namespace).Patch(t.Context(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) list(t testing.TB, what gvr, namespace string) []unstructured.Unstructured {
	t.Helper()
	list, err := c.objects.Resource(what).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// within asks until there is no error, and returns how long that took.
func within(t testing.TB, limit time.Duration, ask func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// condition says what a request's condition is, as Status/Reason, and its message.
func condition(object *unstructured.Unstructured, kind string) (state, message string) {
	if object == nil {
		return "", "it is not there"
	}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return fmt.Sprint(c["status"], "/", c["reason"]), fmt.Sprint(c["message"])
		}
	}
	return "", "it has no condition " + kind
}

// becomes waits until a request's Ready is so.
func becomes(t testing.TB, what gvr, namespace, name, want string) time.Duration {
	t.Helper()
	return within(t, 3*time.Minute, func() error {
		is, message := condition(hub().get(t, what, namespace, name), "Ready")
		if is != want {
			return fmt.Errorf("%s %s/%s is %q and not %q: %s", what.Resource, namespace, name, is, want, message)
		}
		return nil
	})
}

// jobs are the runs of a request's pipelines, the oldest first.
func jobs(t testing.TB, promise, namespace, name, action string) []batchv1.Job {
	t.Helper()
	list, err := hub().core.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "kratix.io/promise-name=" + promise +
		",kratix.io/resource-name=" + name + ",kratix.io/workflow-action=" + action})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b batchv1.Job) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return list.Items
}

// promiseOf are the names of Promises by the resources that they serve.
var promiseOf = func() map[string]string {
	names := map[string]string{empties.Resource: "empty"}
	for _, p := range promises.All() {
		names[p.Kind.Plural] = p.Name
	}
	return names
}()

// reconcile has Kratix run a request's pipeline once more and waits until that
// run has succeeded.
func reconcile(t testing.TB, what gvr, namespace, name string) {
	t.Helper()
	ask(t, what, namespace, name)()
}

// ask has Kratix run a request's pipeline once more; what it returns waits until that
// run has succeeded.
func ask(t testing.TB, what gvr, namespace, name string) (wait func()) {
	t.Helper()
	promise := promiseOf[what.Resource]
	known := map[types.UID]bool{}
	for _, j := range jobs(t, promise, namespace, name, "configure") {
		known[j.UID] = true
	}
	hub().patch(t, what, namespace, name, `{"metadata": {"labels": {"kratix.io/manual-reconciliation": "true"}}}`)
	return func() {
		t.Helper()
		within(t, 2*time.Minute, func() error {
			for _, j := range jobs(t, promise, namespace, name, "configure") {
				if !known[j.UID] && j.Status.Succeeded > 0 {
					return nil
				}
			}
			return fmt.Errorf("no new run of %s %s/%s has succeeded", promise, namespace, name)
		})
	}
}

// quiet waits until no pipeline of a request runs.
func quiet(t testing.TB, what gvr, namespace, name string) {
	t.Helper()
	quietPods(t, namespace, "kratix.io/promise-name="+promiseOf[what.Resource]+",kratix.io/resource-name="+name)
}

// quietPods waits until no pod of a kind runs.
func quietPods(t testing.TB, namespace, selector string) {
	t.Helper()
	idle := time.Now()
	within(t, 4*time.Minute, func() error {
		pods, err := hub().core.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodPending || p.Status.Phase == corev1.PodRunning {
				idle = time.Now()
				return fmt.Errorf("%s/%s is %s", p.Namespace, p.Name, p.Status.Phase)
			}
		}
		if time.Since(idle) < 4*time.Second {
			return errors.New("it may go on")
		}
		return nil
	})
}

// commits counts what the state store was told of a request.
func commits(t testing.TB, what gvr, namespace, name string) string {
	t.Helper()
	path := fmt.Sprintf(":(glob)*/resources/%s/%s/%s/**", namespace, promiseOf[what.Resource], name)
	return strings.TrimSpace(git(t, "rev-list", "--count", "main", "--", path))
}

func git(t testing.TB, args ...string) string {
	t.Helper()
	if os.Getenv("PLATFORM_KUBECONFIG") != "" {
		fetch(t)
	}
	out, err := exec.Command("git", append([]string{"-c", "safe.directory=*", "-C", world.Git}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %s", strings.Join(args, " "), out)
	}
	return string(out)
}

var fetching sync.Mutex

// fetch brings the mirror of somebody's state store up to date. One story at a
// time does: git refuses to write a branch that another has moved meanwhile.
func fetch(t testing.TB) {
	t.Helper()
	fetching.Lock()
	defer fetching.Unlock()
	if out, err := exec.Command("git", "-C", world.Git, "fetch", "--quiet", "--prune", "origin").CombinedOutput(); err != nil {
		t.Fatalf("git fetch: %s", withoutToken(string(out), os.Getenv("STATE_STORE")))
	}
}

// control has the supervisor do something to a process.
func control(t testing.TB, verb, name string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", world.Control)
	}}}
	answer, err := client.Post("http://control/"+verb+"/"+name, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s %s: %s", verb, name, body)
	}
}

var refreshed struct {
	sync.Mutex
	at time.Time
}

// refresh has Argo CD look into Git now. Stories that go on at once share a look
// that begins after each has asked, and none comes within 3 s of another.
func refresh(t testing.TB) {
	t.Helper()
	asked := time.Now()
	refreshed.Lock()
	defer refreshed.Unlock()
	if refreshed.at.After(asked) {
		return
	}
	time.Sleep(time.Until(refreshed.at.Add(3 * time.Second)))
	refreshed.at = time.Now()
	for _, name := range []string{"eu-1", "us-1"} { // where these are not there, somebody else applies
		_, err := hub().objects.Resource(gvr{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}).Namespace("argocd").Patch(t.Context(), name,
			types.MergePatchType, []byte(`{"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}`), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
}
