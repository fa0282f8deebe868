package system

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/platform/platformtest"
	"github.com/baleen-platform/baleen/internal/reason"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/system/v1alpha1"
	workload "github.com/baleen-platform/baleen/promises/workload/v1alpha1"
)

// frozen are Systems and clusters with the digests of their terms for team-a, as they were
// first stored. They are literals, because other ones would have every workload run:
// whatever changes, these stay.
var frozen = []struct {
	name         string
	spec         v1alpha1.SystemSpec
	destinations []string
	digest       string
}{
	{"the least", v1alpha1.SystemSpec{Owner: v1alpha1.Owner{Team: "a"}, Placement: prod}, nil, "6363799ff848b9a3"},
	{"on two clusters", v1alpha1.SystemSpec{
		DisplayName: "Shop", Owner: v1alpha1.Owner{Team: "b", Contact: "c"}, AllowedNamespaces: []string{"team-*"}, Placement: prod,
	}, []string{"eu-1", "us-1"}, "581317baff1766a8"},
	{"all that concerns workloads", v1alpha1.SystemSpec{
		AllowedNamespaces: []string{"team-a"}, Policy: v1alpha1.Policy{Images: []string{"registry.example.com/shop/*"}, MaxReplicas: 20},
	}, []string{"eu-1"}, "5dcd821925936f50"},
}

var prod = field.Placement{MatchLabels: map[string]field.LabelValue{"environment": "prod"}}

func system(spec v1alpha1.SystemSpec) *v1alpha1.System {
	return &v1alpha1.System{ObjectMeta: metav1.ObjectMeta{Namespace: "baleen-system", Name: "shop"}, Spec: spec}
}

// An upgrade has no workload run because of its System, and a field that a later version
// adds to the terms changes none of them while it is not used; whatever differs in them now
// is told apart.
func TestTermsAreFrozen(t *testing.T) {
	for _, test := range frozen {
		t.Run(test.name, func(t *testing.T) {
			terms := TermsFor(system(test.spec), "team-a", test.destinations)
			if got := terms.Digest(); got != test.digest {
				t.Errorf("terms %s, and %s is stored:\n%s", got, test.digest, termsForm.Bytes(terms))
			}
			for _, later := range fingerprinttest.WithLaterField(terms) {
				if termsForm.Digest(later.Unset) != test.digest {
					t.Errorf("a field more changes them: %s", termsForm.Bytes(later.Unset))
				}
			}
			for _, change := range fingerprinttest.Changes(terms) {
				if change.Value.Digest() == test.digest {
					t.Errorf("another %s makes no difference", change.Field)
				}
			}
		})
	}
	if missing := fingerprinttest.WithoutForm[Terms](termsForm); len(missing) > 0 {
		t.Errorf("termsForm has no entry for %q: name the keys that it has now", missing)
	}
}

// What a System admits, and that it says of all that it does not what it does.
func TestAdmit(t *testing.T) {
	many := []string{"a.example.com/*", "b.example.com/*", "c.example.com/*", "d.example.com/*", "e.example.com/*", "f.example.com/*"}
	for _, test := range []struct {
		name   string
		terms  Terms
		change func(*workload.WorkloadSpec)
		says   string
	}{
		{"no policy", Terms{Admitted: true}, nil, ""},
		{"another namespace", Terms{Images: many, MaxReplicas: 1}, nil, "System baleen-system/shop does not admit workloads of the namespace team-a: ask its owner to add the namespace to spec.allowedNamespaces"},
		{"an image that is covered", Terms{Admitted: true, Images: []string{"a.example.com/*", "registry.example.com/shop/*"}}, nil, ""},
		{"one that is not", Terms{Admitted: true, Images: []string{"registry.example.com/*"}}, nil,
			`System baleen-system/shop does not admit the request: spec.container.image: the repository "registry.example.com/shop/orders" is not covered by spec.policy.images (registry.example.com/*)`},
		{"of many", Terms{Admitted: true, Images: many}, nil, "(a.example.com/*, b.example.com/*, c.example.com/*, d.example.com/*, e.example.com/*, and 1 more)"},
		{"of four", Terms{Admitted: true, Images: many[:4]}, nil, "(a.example.com/*, b.example.com/*, c.example.com/*, d.example.com/*)"},
		{"as many replicas as there may be", Terms{Admitted: true, MaxReplicas: 5}, nil, ""},
		{"one more", Terms{Admitted: true, MaxReplicas: 5}, func(s *workload.WorkloadSpec) { s.MaxReplicas = 6 }, "spec.maxReplicas: 6 is more than spec.policy.maxReplicas, which is 5: set it to that or less"},
		{"more by default", Terms{Admitted: true, MaxReplicas: 4}, nil, "spec.maxReplicas: 5 is more than spec.policy.maxReplicas, which is 4"},
		{"more at least", Terms{Admitted: true, MaxReplicas: 5}, func(s *workload.WorkloadSpec) { s.MinReplicas = 7 }, "spec.maxReplicas: 7 is more"},
		{"both", Terms{Admitted: true, Images: many, MaxReplicas: 1}, nil, "and 1 more); spec.maxReplicas: 5 is more than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &workload.Workload{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "orders"}}
			w.Spec.Container.Image = "registry.example.com/shop/orders:1"
			if test.change != nil {
				test.change(&w.Spec)
			}
			err := test.terms.Admit(system(v1alpha1.SystemSpec{}), w)
			if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %q", err, test.says)
			}
		})
	}
	if len(many) != 6 || many[4] != "e.example.com/*" {
		t.Errorf("the patterns are changed: %v", many)
	}
}

// Where a workload's System is looked for, and what is said of one that is of no use.
func TestGet(t *testing.T) {
	const good = "{owner: {team: a}, placement: {matchLabels: {a: b}}}"
	for _, test := range []struct {
		name, spec string
		ref        workload.SystemRef
		change     func(*unstructured.Unstructured)
		reason     reason.Reason
	}{
		{"it is there", good, workload.SystemRef{Name: "shop"}, nil, ""},
		{"by its namespace", good, workload.SystemRef{Name: "shop", Namespace: "baleen-system"}, nil, ""},
		{"none of the name", good, workload.SystemRef{Name: "other"}, nil, reason.SystemNotFound},
		{"another namespace", good, workload.SystemRef{Name: "shop", Namespace: "team-a"}, nil, reason.SystemNotTrusted},
		{"a namespace that only begins so", good, workload.SystemRef{Name: "shop", Namespace: "baleen-system-2"}, nil, reason.SystemNotTrusted},
		{"a wrong spec", "{}", workload.SystemRef{Name: "shop"}, nil, reason.SystemInvalid},
		{"one that is only tried", good, workload.SystemRef{Name: "kratix-dry-run-shop"}, func(o *unstructured.Unstructured) {
			o.SetName("kratix-dry-run-shop")
			o.SetLabels(map[string]string{kratix.LabelDryRun: "true", kratix.LabelDryRunOwner: "a"})
		}, reason.SystemNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := platform.NewMemory(time.Now)
			o := &unstructured.Unstructured{Object: map[string]any{}}
			if err := yaml.Unmarshal([]byte("spec: "+test.spec), &o.Object); err != nil {
				t.Fatal(err)
			}
			o.SetGroupVersionKind(platform.System.GroupVersionKind)
			o.SetNamespace("baleen-system")
			o.SetName("shop")
			if test.change != nil {
				test.change(o)
			}
			if _, err := client.Create(t.Context(), platform.System, o); err != nil {
				t.Fatal(err)
			}
			ref := RefOf(&workload.Workload{Spec: workload.WorkloadSpec{SystemRef: test.ref}})
			s, err := Get(t.Context(), client, config.Config{SystemNamespaces: []string{"baleen-system"}}, ref)
			var failure *workflow.Failure
			if errors.As(err, &failure); (err == nil) != (test.reason == "") || failure != nil && failure.Reason != test.reason || err == nil && s.Name != "shop" {
				t.Errorf("it is %v, %v, want %s", s, err, test.reason)
			}
		})
	}
	going := platformtest.Load(t, "../../testdata/platform", time.Now())
	o, err := going.Get(t.Context(), platform.System, "baleen-system", "shop")
	if err == nil {
		o.SetFinalizers([]string{"kratix.io/workflows"})
		_, err = going.Update(t.Context(), platform.System, o)
	}
	if err == nil {
		err = going.Delete(t.Context(), platform.System, "baleen-system", "shop", platform.Preconditions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	trusted := config.Config{SystemNamespaces: []string{"baleen-system"}}
	if _, err := Get(t.Context(), going, trusted, identity.Request{Namespace: "baleen-system", Name: "shop"}); err == nil || !strings.HasSuffix(err.Error(), "is being deleted: move the workload to another one") {
		t.Errorf("of one that goes it says %v", err)
	}
	away := platformtest.At(platform.NewMemory(time.Now), 1, platformtest.Refused)
	_, err = Get(t.Context(), away, config.Config{SystemNamespaces: []string{"a"}}, identity.Request{Namespace: "a", Name: "b"})
	if !platform.IsTransient(err) || !strings.HasPrefix(err.Error(), "System a/b cannot be read: ") {
		t.Errorf("where the platform is away it says %v", err)
	}
}
