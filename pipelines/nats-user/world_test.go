package natsuser

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	accountv1alpha1 "github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
	"github.com/baleen-platform/baleen/promises/nats-user/v1alpha1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

var orders = identity.Request{Kind: platform.NatsUser.Kind, Namespace: "team-a", Name: "orders"}

// hooked is a cluster on which something happens when an object is deleted.
type hooked struct {
	platform.Client
	onDelete func()
}

func (h hooked) Delete(ctx context.Context, kind platform.Kind, namespace, name string, p platform.Preconditions) error {
	if h.onDelete != nil {
		h.onDelete()
	}
	return h.Client.Delete(ctx, kind, namespace, name, p)
}

// newRun is a run for the NatsUser team-a/orders, which is stored.
func newRun(t *testing.T) *workflow.Run {
	t.Helper()
	memory := platform.NewMemory(func() time.Time { return now })
	return &workflow.Run{
		Promise: promise, Identity: orders, Platform: memory, Now: now, Log: slog.New(slog.DiscardHandler),
		Request: create(t, memory, platform.NatsUser, "orders", nil, map[string]any{"spec": map[string]any{"deletionPolicy": "Retain"}}),
	}
}

// create stores an object in team-a.
func create(t *testing.T, client platform.Client, kind platform.Kind, name string, labels map[string]string, content map[string]any) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: content}
	o.SetGroupVersionKind(kind.GroupVersionKind)
	o.SetNamespace("team-a")
	o.SetName(name)
	o.SetLabels(labels)
	created, err := client.Create(t.Context(), kind, o)
	if err == nil && content["status"] != nil {
		created.Object["status"] = content["status"]
		created, err = client.UpdateStatus(t.Context(), kind, created)
	}
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// active is a credential that eu-1 has.
func active(generation int64, user, reason string) ledger.Record {
	return ledger.Record{
		Destination: "eu-1", Generation: generation, State: ledger.Active, User: user, Reason: reason, Issued: now, Expires: now.AddDate(0, 0, 30),
		Basis: ledger.Basis{
			Account: "commerce", AccountID: "ACCOUNT", Delivery: ledger.Delivery{Namespace: "team-a", Name: "orders-nats", Format: "Creds", Key: "nats.creds"},
		},
		Ciphertext: map[string]string{"nats.creds": "sealed"},
	}
}

// edit changes the request's ledger, as another run does.
func edit(t *testing.T, client platform.Client, change func(*ledger.Ledger)) *ledger.Ledger {
	t.Helper()
	store := ledger.Store{Client: client}
	l, err := store.Get(t.Context(), orders)
	if err == nil {
		change(l)
		err = store.Save(t.Context(), l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// delivering is a request for eu-1, which us-1 is about to leave.
func delivering() inputs {
	in := inputs{user: &v1alpha1.NatsUser{}, account: &account.Account{NatsAccount: &accountv1alpha1.NatsAccount{}}, namespace: "team-a", kept: []string{"us-1"}}
	in.user.Namespace, in.user.Name, in.user.Spec.Secret.Name = "team-a", "orders", "orders-nats"
	in.account.Name, in.account.Spec.JWT = "commerce", &accountv1alpha1.JWT{Operator: &accountv1alpha1.Operator{}}
	in.placement.Placed = []string{"eu-1"}
	return in
}

// planned returns what was decided about one Destination.
func planned(clusters []*cluster, destination string) *cluster {
	return clusters[slices.IndexFunc(clusters, func(c *cluster) bool { return c.want.Destination == destination })]
}

// document is what is emitted of a row.
func document(t *testing.T, row ledger.Record) []byte {
	t.Helper()
	recorded, err := inAnnotation(row)
	if err != nil {
		t.Fatal(err)
	}
	return []byte("kind: SealedSecret\nmetadata: {annotations: {" + recordAnnotation + ": '" + recorded + "'}}\nspec: {encryptedData: {nats.creds: sealed}}\n")
}

// declare stores a NatsAccount: one that can revoke, has no operator's key, or has a
// spec that is wrong.
func declare(t *testing.T, client platform.Client, name, kind string) {
	t.Helper()
	jwt := map[string]any{
		"accountID":  "AD4BPRVSQXPWIZGJD5EC72OJ75W6T7C4UXTXULLZD3JIZMCAGBRKSJ27",
		"signingKey": map[string]any{"secretRef": map[string]any{"name": "signing"}}, "servers": []any{"nats://nats.example.com"},
	}
	switch kind {
	case "operated":
		of := map[string]any{"name": "operator"}
		jwt["operator"] = map[string]any{"signingKeySecretRef": of, "systemCredentialsSecretRef": of}
	case "invalid":
		jwt["accountID"] = "none"
	}
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"provider": "jwt", "jwt": jwt, "policy": map[string]any{"namespaces": []any{"team-a"}},
	}}}
	o.SetGroupVersionKind(platform.NatsAccount.GroupVersionKind)
	o.SetNamespace(account.Namespace)
	o.SetName(name)
	if _, err := client.Create(t.Context(), platform.NatsAccount, o); err != nil {
		t.Fatal(err)
	}
}

// fates are what became of a ledger's rows, in one line.
func fates(rows []ledger.Record) string {
	var all []string
	for _, r := range rows {
		words := []string{r.User, string(r.State)}
		for word, is := range map[string]bool{"revoked": !r.Revoked.IsZero(), "removed": r.Removed, "sealed": len(r.Ciphertext) > 0} {
			if is {
				words = append(words, word)
			}
		}
		slices.Sort(words[2:])
		all = append(all, strings.Join(words, " "))
	}
	return strings.Join(all, ", ")
}

// issued is a credential of a generation and an account.
func issued(generation int64, user, account string, change ...func(*ledger.Record)) ledger.Record {
	r := active(generation, user, "FirstIssue")
	r.Basis.Account = account
	for _, c := range change {
		c(&r)
	}
	return r
}

func expired(r *ledger.Record) { r.Expires = now }

func kept(r *ledger.Record) { r.Basis.ProviderAccount = "cloud" }

func retiring(r *ledger.Record) { r.State = ledger.Retiring }

func retired(r *ledger.Record) { r.State = ledger.Retired }

func intended(r *ledger.Record) { r.State, r.Ciphertext = ledger.Intended, nil }

// mark gives the request a finalizer, so that it stays while it is deleted.
func mark(t *testing.T, client platform.Client) {
	t.Helper()
	if _, err := client.Patch(t.Context(), platform.NatsUser, "team-a", "orders", map[string]any{"metadata": map[string]any{"finalizers": []any{"kratix.io/workflows"}}}); err != nil {
		t.Fatal(err)
	}
}

func erase(t *testing.T, client platform.Client) {
	t.Helper()
	if err := client.Delete(t.Context(), platform.NatsUser, "team-a", "orders", platform.Preconditions{}); err != nil {
		t.Fatal(err)
	}
}

// store stores a ConfigMap of the platform team.
func store(t *testing.T, client platform.Client, name string, data map[string]any) {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"data": data}}
	o.SetGroupVersionKind(platform.ConfigMap.GroupVersionKind)
	o.SetNamespace(account.Namespace)
	o.SetName(name)
	if _, err := client.Create(t.Context(), platform.ConfigMap, o); err != nil {
		t.Fatal(err)
	}
}
