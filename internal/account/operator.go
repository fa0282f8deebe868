package account

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/provider"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// OperatorNamespace is where the Secrets of operators belong: the pipelines of NatsUsers
// may read every Secret in [Namespace], and none here.
const OperatorNamespace = "baleen-operator"

// Exposed is a value of an operator's that is in [Namespace].
type Exposed struct {
	v1alpha1.SecretRef
	// Moved: the Secret is in [OperatorNamespace] too, where it is read.
	Moved bool
}

// Administrator returns what looks after an account that was opened, and which of the
// operator's values that it has read are exposed.
func (o Opener) Administrator(ctx context.Context, open provider.OpenAdministrator, a *Account) (provider.Administrator, []Exposed, error) {
	var exposed []Exposed
	how := o.setting(a.NatsAccount, v1alpha1.NatsAccountStatus{})
	how.OperatorSecret = func(ctx context.Context, ref v1alpha1.SecretRef) ([]byte, string, error) {
		former, err := find(ctx, o.Client, Namespace, ref.Name) // first, because who moves it deletes it there last
		if err != nil {
			return nil, "", err
		}
		object, err := find(ctx, o.Client, OperatorNamespace, ref.Name)
		if apierrors.IsForbidden(err) { // Kratix gives the right before each run, where there is the namespace
			err = fmt.Errorf("%w: make the namespace %s if there is none, and ask the account for a run", err, OperatorNamespace)
		}
		if err != nil {
			return nil, "", err
		}
		if has(former, ref.Key) {
			exposed = append(exposed, Exposed{ref, object != nil})
			if object == nil {
				object = former
			}
		}
		if object == nil {
			return nil, "", missing(OperatorNamespace, ref)
		}
		data, err := value(object, ref.Key)
		return data, object.GetNamespace() + "/" + object.GetName(), err
	}
	admin, err := open(ctx, how, a.Opened)
	return admin, exposed, err
}

// Exposure tells of values that are exposed what is wrong and, after a colon, what to do.
func Exposure(exposed []Exposed) string {
	var keys, move, all []string
	for _, e := range exposed {
		keys = append(keys, fmt.Sprintf("%s of %s", e.Key, e.Name))
		if !slices.Contains(all, e.Name) {
			all = append(all, e.Name)
		}
		if !e.Moved && !slices.Contains(move, e.Name) {
			move = append(move, e.Name)
		}
	}
	remedy := "delete "
	if len(move) > 0 {
		remedy = fmt.Sprintf("copy %s to the namespace %s, then delete ", strings.Join(move, ", "), OperatorNamespace)
	}
	return fmt.Sprintf("the pipelines of all NatsUsers may read the operator's keys in the namespace %s (%s): %s%s in %s, or these keys alone where a Secret has others that are used there",
		Namespace, strings.Join(keys, ", "), remedy, strings.Join(all, ", "), Namespace)
}

// has reports whether there is a Secret with a value under a key.
func has(secret *unstructured.Unstructured, key string) bool {
	if secret == nil {
		return false
	}
	_, err := value(secret, key)
	return err == nil
}
