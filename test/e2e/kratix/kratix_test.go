package kratix

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const distribution = `apiVersion: v1
kind: Namespace
metadata: {name: kratix-platform-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config, namespace: kratix-platform-system}
data: {PIPELINE_ADAPTER_IMG: "docker.io/syntasso/adapter:v1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: kratix-platform-controller-manager, namespace: kratix-platform-system}
spec:
  template:
    spec:
      containers:
      - name: manager
        image: docker.io/syntasso/kratix-platform:v1
        resources: {limits: {cpu: 100m}}
        volumeMounts: [{name: cert, mountPath: /tmp/cert}]
      volumes: [{name: cert, secret: {secretName: webhook}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hooks}
webhooks: [{name: a, clientConfig: {service: {name: hook, namespace: kratix-platform-system, path: /a}}}]
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: serving}
spec: {secretName: webhook, dnsNames: [a.example.com, $(NAME).svc]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: promises}
spec: {x: {containers: [{image: not-one}]}}
`

// made is an image, the same for the same label.
func made(t *testing.T, label string) v1.Image {
	t.Helper()
	image, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{"org.opencontainers.image.revision": label}})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func writeLayout(t *testing.T, dir string, image v1.Image, annotations map[string]string) {
	t.Helper()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(image, layout.WithAnnotations(annotations))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeSaved(t *testing.T, file string, image v1.Image, reference string) {
	t.Helper()
	tag, err := name.NewTag(reference)
	if err == nil {
		err = tarball.WriteToFile(file, tag, image)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeText(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadImages(t *testing.T) {
	annotated := map[string]string{"org.opencontainers.image.ref.name": "docker.io/syntasso/kratix-platform:v1"}
	for _, test := range []struct {
		name string
		make func(t *testing.T, dir string) (list string)
		want []string // the names
		err  string
	}{
		{"a layout with a reference", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/a", made(t, "a"), annotated)
			return dir + "/a"
		}, []string{"docker.io/syntasso/kratix-platform:v1"}, ""},
		{"a layout with a tag", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/kratix-platform", made(t, "a"), map[string]string{"org.opencontainers.image.ref.name": "v1"})
			return dir + "/kratix-platform"
		}, []string{"kratix-platform:v1"}, ""},
		{"a layout of containerd", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/a", made(t, "a"), map[string]string{"io.containerd.image.name": "ghcr.io/x/y:v2", "org.opencontainers.image.ref.name": "v2"})
			return dir + "/a"
		}, []string{"ghcr.io/x/y:v2"}, ""},
		{"a layout without a name", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/kratix-platform", made(t, "a"), nil)
			return dir + "/kratix-platform"
		}, []string{"kratix-platform"}, ""},
		{"a folder of layouts and archives", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/a", made(t, "a"), annotated)
			writeSaved(t, dir+"/b.tar", made(t, "b"), "docker.io/syntasso/adapter:v1")
			writeText(t, dir+"/notes.txt", "")
			return dir
		}, []string{"docker.io/syntasso/kratix-platform:v1", "docker.io/syntasso/adapter:v1"}, ""},
		{"a list", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/a", made(t, "a"), nil)
			writeLayout(t, dir+"/b", made(t, "b"), nil)
			return dir + "/a, " + dir + "/b"
		}, []string{"a", "b"}, ""},
		{"a layout in an archive", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/a", made(t, "a"), annotated)
			archive(t, dir+"/a", dir+"/a.tar")
			return dir + "/a.tar"
		}, []string{"docker.io/syntasso/kratix-platform:v1"}, ""},
		{"a layout without a name in an archive that is compressed", func(t *testing.T, dir string) string {
			writeLayout(t, dir+"/a", made(t, "a"), nil)
			archive(t, dir+"/a", dir+"/kratix-platform.tar.gz")
			return dir + "/kratix-platform.tar.gz"
		}, []string{"kratix-platform"}, ""},

		{"nothing", func(t *testing.T, dir string) string { return dir + "/none" }, nil, "no image can be read: stat "},
		{"an empty folder", func(t *testing.T, dir string) string { return dir }, nil, "is no OCI layout, and holds neither layouts nor archives"},
		{"an empty layout", func(t *testing.T, dir string) string {
			if _, err := layout.Write(dir, empty.Index); err != nil {
				t.Fatal(err)
			}
			return dir
		}, nil, "holds no image"},
		{"a layout without an index", func(t *testing.T, dir string) string {
			writeText(t, dir+"/oci-layout", `{"imageLayoutVersion": "1.0.0"}`)
			return dir
		}, nil, "is no OCI layout: "},
		{"an archive of something else", func(t *testing.T, dir string) string {
			writeText(t, dir+"/b/x", "x")
			archive(t, dir+"/b", dir+"/a.tar")
			return dir + "/a.tar"
		}, nil, "holds neither an OCI layout nor what docker save writes"},
		{"no archive", func(t *testing.T, dir string) string {
			writeText(t, dir+"/a.tar", "what is this?")
			return dir + "/a.tar"
		}, nil, "a.tar cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			images, err := ReadImages(test.make(t, t.TempDir()), t.TempDir())
			if !says(err, test.err) {
				t.Fatalf("the error is %v and not %q", err, test.err)
			}
			var names []string
			for _, i := range images {
				names = append(names, i.Name)
				if _, err := i.Content.Digest(); err != nil {
					t.Errorf("%s has no digest: %v", i.Name, err)
				}
			}
			if !slices.Equal(names, test.want) {
				t.Errorf("the images are %q and not %q", names, test.want)
			}
		})
	}
}

func says(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

func TestFind(t *testing.T) {
	a, b := made(t, "a"), made(t, "b")
	index, err := random.Index(10, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		images    []Image
		reference string
		want      Content
		err       string
	}{
		{"by its reference", []Image{{"docker.io/x/y:v1", "1", a}, {"docker.io/x/z:v1", "2", b}}, "docker.io/x/y:v1", a, ""},
		{"with the registry that is meant", []Image{{"x/y:v1", "1", a}}, "docker.io/x/y:v1", a, ""},
		{"by the last part", []Image{{"y", "1", a}}, "ghcr.io/x/y:v1", a, ""},
		{"by the last part and the tag", []Image{{"y:v1", "1", a}, {"y:v2", "2", b}}, "ghcr.io/x/y:v2", b, ""},
		{"by its digest", []Image{{"y", "1", b}, {"z", "2", a}}, "ghcr.io/x/y@" + digest.String(), a, ""},
		{"one twice", []Image{{"y", "1", a}, {"x/y:v1", "2", a}}, "x/y:v1", a, ""},
		{"an index", []Image{{"y", "1", index}}, "x/y:v1", index, ""},

		{"another tag", []Image{{"docker.io/x/y:v1", "1", a}}, "docker.io/x/y:v2", nil, "the manifests name the image docker.io/x/y:v2, which is not given; given are docker.io/x/y:v1 (1)"},
		{"another name", []Image{{"yy", "1", a}}, "x/y:v1", nil, "not given; given are yy (1)"},
		{"none", nil, "x/y:v1", nil, "given are none"},
		{"two that may be it", []Image{{"y", "1", a}, {"y:v1", "2", b}}, "x/y:v1", nil, "several that are given may be it: y (1), y:v1 (2)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is, err := Find(test.images, test.reference)
			if !says(err, test.err) {
				t.Fatalf("the error is %v and not %q", err, test.err)
			}
			if is.Content != test.want {
				t.Errorf("it is %s (%s)", is.Name, is.From)
			}
		})
	}
}

func TestReadManifests(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		path  string
		built string // the folder that kustomize is asked for
		err   string
	}{
		{"a distribution", map[string]string{"kratix.yaml": distribution}, "kratix.yaml", "", ""},
		{"a folder of files", map[string]string{"a.yaml": "kind: Other", "b.yaml": distribution}, "", "", ""},
		{"a folder for kustomize", map[string]string{"kustomization.yaml": ""}, "", ".", ""},
		{"Kratix's folder config", map[string]string{"config/default/kustomization.yaml": "", "config/other.yaml": ""}, "config", "config/default", ""},

		{"nothing", nil, "none", "", "no manifests can be read: stat "},
		{"an empty folder", nil, "", "", "has no kustomization.yaml, no default/kustomization.yaml and no file *.yaml"},
		{"something else", map[string]string{"a.yaml": "kind: Pod"}, "a.yaml", "", "a.yaml has no Deployment kratix-platform-system/kratix-platform-controller-manager: it is no distribution of Kratix"},
		{"no YAML", map[string]string{"a.yaml": "a: b: c"}, "a.yaml", "", "a.yaml cannot be read"},
		{"what kustomize refuses", map[string]string{"kustomization.yaml": "", "refuse": ""}, "", ".", "no such resource"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, built := t.TempDir(), ""
			for file, text := range test.files {
				writeText(t, filepath.Join(dir, file), text)
			}
			m, err := ReadManifests(filepath.Join(dir, test.path), func(folder string) (string, error) {
				built, _ = filepath.Rel(dir, folder)
				if _, ok := test.files["refuse"]; ok {
					return "", errors.New("no such resource")
				}
				return distribution, nil
			})
			if !says(err, test.err) || built != test.built {
				t.Fatalf("the error is %v and not %q; kustomize built %q and not %q", err, test.err, built, test.built)
			}
			if err == nil && m.deployment() == nil {
				t.Error("there is no Deployment")
			}
		})
	}
}

func TestManifests(t *testing.T) {
	m, err := parse(distribution)
	if err != nil {
		t.Fatal(err)
	}
	if is := m.Images(); !slices.Equal(is, []string{"docker.io/syntasso/kratix-platform:v1", "docker.io/syntasso/adapter:v1"}) {
		t.Errorf("the images are %q", is)
	}
	if err := m.Use(func(image string) (string, error) { return "here/" + image, nil }); err != nil {
		t.Error(err)
	}
	certificates := m.Certificates()
	if len(certificates) != 1 || certificates[0].Secret != "webhook" ||
		!slices.Equal(certificates[0].Names, []string{"a.example.com", "hook.kratix-platform-system.svc"}) {
		t.Errorf("the certificates are %+v", certificates)
	}
	m.Unlimit()
	m.Trust("Y2E=")
	if err := m.TrustGit("authority", "ca.crt"); err != nil {
		t.Error(err)
	}
	text := m.String()
	for _, want := range []string{
		"PIPELINE_ADAPTER_IMG: here/docker.io/syntasso/adapter:v1\n", "image: here/docker.io/syntasso/kratix-platform:v1\n", "image: not-one\n",
		"caBundle: Y2E=\n", "name: SSL_CERT_FILE\n", "name: GIT_SSL_CAINFO\n", "mountPath: /tmp/cert\n", "mountPath: /etc/state-store\n", "secretName: webhook\n",
		"name: authority\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"cert-manager.io", "100m"} {
		if strings.Contains(text, not) {
			t.Errorf("there is %q in\n%s", not, text)
		}
	}
	if again, err := parse(text); err != nil || again.String() != text {
		t.Errorf("read again (%v) it is\n%s", err, again)
	}
	if err := m.Use(func(image string) (string, error) { return "", errors.New("no " + image) }); !says(err, "no here/docker.io/syntasso/adapter:v1") {
		t.Errorf("of all that is missing it says: %v", err)
	}
}

func TestGiven(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	writeText(t, "kratix.yaml", distribution)
	writeLayout(t, "images/kratix-platform", made(t, "abc"), nil)
	read := func(variables map[string]string) (Kratix, Given, error) {
		given, err := FromEnvironment(func(name string) string { return variables[name] })
		if err != nil || !given.IsGiven() {
			return Kratix{}, given, err
		}
		k, err := given.Read(t.TempDir(), nil)
		return k, given, err
	}
	for _, test := range []struct{ images, manifests, err string }{
		{"", "", ""},
		{"images", "", "KRATIX_MANIFESTS is not"},
		{"", "kratix.yaml", "KRATIX_IMAGES is not"},
		{" , ", "kratix.yaml", "KRATIX_IMAGES names no file"},
		{"images", "none.yaml", "no manifests can be read"},
		{"none", "kratix.yaml", "no image can be read"},
		{"images", "kratix.yaml", "the manifests name the image docker.io/syntasso/adapter:v1, which is not given; given are kratix-platform ("},
	} {
		if _, _, err := read(map[string]string{"KRATIX_IMAGES": test.images, "KRATIX_MANIFESTS": test.manifests}); !says(err, test.err) {
			t.Errorf("%q and %q: %v and not %q", test.images, test.manifests, err, test.err)
		}
	}
	writeSaved(t, "images/a.tar", made(t, "def"), "docker.io/syntasso/adapter:v1")
	k, given, err := read(map[string]string{"KRATIX_IMAGES": "images", "KRATIX_MANIFESTS": "kratix.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if given.Images != filepath.Join(dir, "images") || given.Manifests != filepath.Join(dir, "kratix.yaml") {
		t.Errorf("it is %+v", given)
	}
	if is := k.Version(); !strings.HasPrefix(is, "docker.io/syntasso/kratix-platform:v1, revision abc, sha256:") {
		t.Errorf("it is called %q", is)
	}
}

// archive puts a folder into an archive, compressed if its name says so.
func archive(t *testing.T, dir, to string) {
	t.Helper()
	file, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pack(file, os.DirFS(dir), strings.HasSuffix(to, "gz")), file.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func pack(to io.Writer, from fs.FS, compressed bool) error {
	if compressed {
		zipped := gzip.NewWriter(to)
		return errors.Join(pack(zipped, from, false), zipped.Close())
	}
	w := tar.NewWriter(to)
	return errors.Join(w.AddFS(from), w.Close())
}
