package promises_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/guardtest"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/promises"
)

// The accounts of pipelines in some namespaces.
var (
	targetA     = guardtest.Account("team-a", "api-aggregator-target", "configure")
	targetB     = guardtest.Account("team-b", "api-aggregator-target", "configure")
	targetGone  = guardtest.Account("team-a", "api-aggregator-target", "delete")
	userA       = guardtest.Account("team-a", "nats-user", "configure")
	userB       = guardtest.Account("team-b", "nats-user", "delete")
	aggregates  = guardtest.Account("platform", "api-aggregator", "configure")
	aggregatesA = guardtest.Account("team-a", "api-aggregator", "configure")
	accounts    = guardtest.Account("baleen-system", "nats-account", "configure")
	accountsA   = guardtest.Account("team-a", "nats-account", "configure")
)

// Requests of two teams.
var (
	ordersA = claim.Owner{Kind: "ApiAggregatorTarget", Namespace: "team-a", Name: "orders", UID: "6f9c1bd2-8d0e-4b52-9d1c-0a1b2c3d4e5f"}
	otherA  = claim.Owner{Kind: "ApiAggregatorTarget", Namespace: "team-a", Name: "other.v2", UID: "u2"}
	shopB   = claim.Owner{Kind: "ApiAggregatorTarget", Namespace: "team-b", Name: "shop", UID: "u3"}
	hostP   = claim.Owner{Kind: "ApiAggregator", Namespace: "platform", Name: "public-api", UID: "u4"}
	natsA   = claim.Owner{Kind: "NatsUser", Namespace: "team-a", Name: "orders", UID: "u5"}
	natsB   = claim.Owner{Kind: "NatsUser", Namespace: "team-b", Name: "shop", UID: "u6"}
	path    = claim.Path("api.example.com", `/orders/ä"\`)
)

// stored returns what is stored of a resource once something was done.
func stored(t *testing.T, resource claim.Resource, do ...func(claim.Store) error) *unstructured.Unstructured {
	t.Helper()
	memory := platform.NewMemory(time.Now)
	for _, do := range do {
		if err := do(claim.Store{Client: memory}); err != nil {
			t.Fatal(err)
		}
	}
	o, err := memory.Get(t.Context(), platform.ConfigMap, claim.Namespace, resource.ConfigMap())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func acquires(resource claim.Resource, owner claim.Owner) func(claim.Store) error {
	return func(s claim.Store) error {
		_, err := s.Acquire(context.Background(), resource, owner, map[string]string{"type": "Prefix"})
		return err
	}
}

func releases(resource claim.Resource, owner claim.Owner, deleted bool) func(claim.Store) error {
	return func(s claim.Store) error {
		_, err := s.Release(context.Background(), resource, owner, deleted)
		return err
	}
}

func frees(resource claim.Resource) func(claim.Store) error {
	return func(s claim.Store) error {
		c, err := s.Get(context.Background(), resource)
		if err == nil {
			_, err = s.Free(context.Background(), *c)
		}
		return err
	}
}

// storedLedger is the ledger of a request.
func storedLedger(t *testing.T, request identity.Request) *unstructured.Unstructured {
	t.Helper()
	memory := platform.NewMemory(time.Now)
	l := &ledger.Ledger{Request: request, UID: "u"}
	l.Add(ledger.Record{Destination: "eu-1", Generation: 1, State: ledger.Active, User: "U1", Basis: ledger.Basis{Account: "commerce"}})
	if err := (ledger.Store{Client: memory}).Save(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	all, err := memory.List(t.Context(), platform.ConfigMap, ledger.Namespace, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &all[0]
}

// with is an object with another text at a place, or without any.
func with(o *unstructured.Unstructured, value any, at ...string) *unstructured.Unstructured {
	o = o.DeepCopy()
	if value == nil {
		unstructured.RemoveNestedField(o.Object, at...)
	} else if err := unstructured.SetNestedField(o.Object, value, at...); err != nil {
		panic(err)
	}
	return o
}

// data is an object with other texts, each after its key.
func data(o *unstructured.Unstructured, pairs ...string) *unstructured.Unstructured {
	for i := 0; i < len(pairs); i += 2 {
		o = with(o, pairs[i+1], "data", pairs[i])
	}
	return o
}

// freed is a claim that is nobody's any more.
func freed(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = data(o, "owner", `{"kind":"","namespace":"","name":""}`, "state", "Free", "deleted", "false", "facts", "null")
	return with(o, nil, "metadata", "labels", "baleen.dev/owner")
}

func configMap(name string, data map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": guardtest.State}, "data": data,
	}}
}

// An account of a pipeline writes ledgers and claims of its namespace's requests, and of
// others' claims what waiting, taking over and sweeping need.
func TestGuardState(t *testing.T) {
	var (
		none      *unstructured.Unstructured
		ofA       = stored(t, path, acquires(path, ordersA))
		ofOther   = stored(t, path, acquires(path, otherA))
		ofB       = stored(t, path, acquires(path, shopB))
		leaving   = stored(t, path, acquires(path, shopB), releases(path, shopB, false))
		deletedB  = stored(t, path, acquires(path, shopB), releases(path, shopB, true))
		waitedB   = stored(t, path, acquires(path, shopB), acquires(path, ordersA))
		waited2B  = stored(t, path, acquires(path, shopB), acquires(path, ordersA), acquires(path, otherA))
		waitedA   = stored(t, path, acquires(path, ordersA), acquires(path, shopB))
		freeB     = stored(t, path, acquires(path, ordersA), acquires(path, shopB), frees(path))
		freeA     = stored(t, path, acquires(path, shopB), acquires(path, ordersA), frees(path))
		freeBoth  = stored(t, path, acquires(path, otherA), acquires(path, ordersA), acquires(path, shopB), frees(path))
		takenA    = stored(t, path, acquires(path, shopB), acquires(path, ordersA), frees(path), acquires(path, ordersA))
		takenBoth = stored(t, path, acquires(path, otherA), acquires(path, ordersA), acquires(path, shopB), frees(path), acquires(path, ordersA))
		secret    = claim.Secret("eu-1", "team-a", "orders-nats")
		secretA   = stored(t, secret, acquires(secret, natsA))
		secretB   = stored(t, secret, acquires(secret, natsB))
		work      = claim.Workload("eu-1", "team-a", "orders")
		workA     = stored(t, work, acquires(work, claim.Owner{Kind: "Workload", Namespace: "team-a", Name: "orders", UID: "1"}))
		workB     = stored(t, work, acquires(work, claim.Owner{Kind: "Workload", Namespace: "team-b", Name: "orders", UID: "2"}))
		workloadA = guardtest.Account("team-a", "workload", "configure")
		systems   = guardtest.Account("baleen-system", "system", "configure")
		host      = claim.Host("api.example.com")
		hosted    = stored(t, host, acquires(host, hostP))
		ledgerA   = storedLedger(t, identity.Request{Kind: "NatsUser", Namespace: "team-a", Name: "orders"})
		ledgerB   = storedLedger(t, identity.Request{Kind: "NatsUser", Namespace: "team-b", Name: "shop"})
		churnA    = configMap("churn-0123456789abcdef", map[string]any{"namespace": "team-a", "2026-12-01": "7"})
		churnB    = configMap("churn-0123456789abcdef", map[string]any{"namespace": "team-b"})
		junk      = configMap("baleen-notes", map[string]any{"a": "b"})
		crowd     = waiters("team-a", 4)
		labels    = []string{"metadata", "labels"}
	)
	restored := with(ofB, "nightly", "metadata", "labels", "velero.io/backup-name")
	restored = with(restored, "1", "metadata", "annotations", "note")
	const (
		notWritten  = "it writes only"
		ofOthers    = "may not write this to the claim"
		about       = "is about"
		whoWaits    = "it adds and removes only those in"
		onlyLedgers = "it writes only ledgers of requests in"
	)
	rows := []struct {
		name          string
		who           user.Info
		before, after *unstructured.Unstructured
		denied        string // the message, or empty where it is let through
	}{
		{"nats-account writes a ledger", accounts, ledgerA, data(ledgerA, "rows", ""), ""},
		{"it frees a Secret", accounts, secretA, stored(t, secret, acquires(secret, natsA), acquires(secret, natsB), frees(secret)), ""},
		{"it deletes a ledger", accounts, ledgerB, none, ""},
		{"it makes what it wants", accounts, none, junk, ""},
		{"nats-account of a team", accountsA, none, ledgerA, "the pipeline of nats-account in team-a may not write baleen-state/" + ledgerA.GetName() + ": of NatsAccounts only those in baleen-system write there; make the NatsAccount there"},
		{"it deletes", accountsA, ledgerA, none, "of NatsAccounts only those in baleen-system"},
		{"nats-user of baleen-system is no nats-account", guardtest.Account("baleen-system", "nats-user", "configure"), ledgerA, data(ledgerA, "rows", ""), onlyLedgers},
		{"it has an odd name", guardtest.ServiceAccount("baleen-system", "nats-user-resource-configure-nats-account-resource-configure-x"), none, ledgerA, onlyLedgers},

		{"a ledger is made", userA, none, ledgerA, ""},
		{"a ledger is changed", userA, ledgerA, data(ledgerA, "rows", "", "tombstone", "{}"), ""},
		{"a ledger is deleted", userA, ledgerA, none, ""},
		{"another's ledger is made", userA, none, ledgerB, "the pipeline of nats-user in team-a may not write baleen-state/" + ledgerB.GetName() + ": it writes only ledgers of requests in team-a"},
		{"another's ledger is changed", userA, ledgerB, data(ledgerB, "rows", ""), onlyLedgers},
		{"another's ledger is deleted", userA, ledgerB, none, onlyLedgers},
		{"another's ledger becomes one's own", userA, ledgerB, data(ledgerB, "request", ledgerA.Object["data"].(map[string]any)["request"].(string)), onlyLedgers},
		{"one's own ledger becomes another's", userA, ledgerA, data(ledgerA, "request", ledgerB.Object["data"].(map[string]any)["request"].(string)), onlyLedgers},
		{"a ledger loses its request", userA, ledgerA, with(ledgerA, nil, "data", "request"), onlyLedgers},
		{"a ledger loses its data", userA, ledgerA, with(ledgerA, nil, "data"), onlyLedgers},
		{"a ledger has nothing", userA, with(ledgerA, nil, "data"), ledgerA, onlyLedgers},
		{"a ledger in binaryData", userA, ledgerA, with(ledgerA, map[string]any{"rows": "e30="}, "binaryData"), "with binaryData, immutable, finalizers or ownerReferences"},
		{"a ledger is found as an owner's claim", userA, ledgerA, with(ledgerA, "x", "metadata", "labels", "baleen.dev/owner"), "with the labels of a claim"},
		{"a ledger is found as a host's claim", userA, none, with(ledgerA, "x", "metadata", "labels", "baleen.dev/scope"), "with the labels of a claim"},
		{"a churn record is found as a claim", userA, none, with(churnA, map[string]any{"baleen.dev/scope": "x"}, "metadata", "labels"), "with the labels of a claim"},
		{"a claim is found as a ledger", targetA, none, with(ofA, "true", "metadata", "labels", "baleen.dev/ledger"), "with the labels of a ledger"},
		{"a claim is found as a ledger of an account", targetA, ofA, with(ofA, "true", "metadata", "labels", "account.baleen.dev/2f8dddd1"), "with the labels of a ledger"},
		{"a ledger for ever", userA, ledgerA, with(ledgerA, true, "immutable"), "immutable"},
		{"a ledger of a target", targetA, none, ledgerA, "the pipeline of api-aggregator-target in team-a may not write baleen-state/" + ledgerA.GetName() + ": it writes only claims of paths"},
		{"a ledger of an aggregator", aggregatesA, ledgerA, none, "it writes only claims of hosts and paths"},
		{"a churn record is made", userA, none, churnA, ""},
		{"a churn record is changed", userA, churnA, data(churnA, "2026-12-02", "1"), ""},
		{"a churn record is deleted", userA, churnA, none, ""},
		{"another's churn record is made", userA, none, churnB, "it writes only churn records of team-a"},
		{"another's churn record is changed", userB, churnA, data(churnA, "2026-12-02", "1"), "it writes only churn records of team-b"},
		{"another's churn record becomes one's own", userA, churnB, churnA, "churn records"},
		{"one's own churn record becomes another's", userA, churnA, churnB, "churn records"},
		{"another's churn record is deleted", userA, churnB, none, "churn records"},
		{"a churn record of a target", targetA, none, churnA, notWritten},
		{"something else is made", userA, none, junk, "it writes only ledgers and claims of Secrets"},
		{"something else is deleted", targetA, junk, none, notWritten},
		{"a claim of an odd name", targetA, none, with(ofA, "path-x", "metadata", "name"), notWritten},

		{"a path is claimed", targetA, none, ofA, ""},
		{"a path is claimed for another", targetA, none, ofB, "the pipeline of api-aggregator-target in team-a may not write this to the claim baleen-state/" + path.ConfigMap() + ", which no request in team-a owns"},
		{"a path is claimed for nobody", targetA, none, freeA, ofOthers},
		{"a path is claimed, and others wait", targetA, none, waitedA, whoWaits},
		{"a path is claimed by a NatsUser", userA, none, ofA, notWritten},
		{"a path is claimed by an aggregator", aggregatesA, none, ofA, ofOthers},
		{"a path is claimed by an aggregator for itself", aggregates, none, data(ofA, "owner", `{"kind":"ApiAggregator","namespace":"platform","name":"x"}`), ofOthers},
		{"a host is claimed", aggregates, none, hosted, ""},
		{"a host is claimed for another", aggregatesA, none, hosted, ofOthers},
		{"a host is claimed by a target", guardtest.Account("platform", "api-aggregator-target", "configure"), none, hosted, "it writes only claims of paths"},
		{"another's host is freed", aggregatesA, hosted, freed(hosted), ofOthers},
		{"another's host is deleted", aggregatesA, hosted, none, ofOthers},
		{"a host is deleted", aggregates, hosted, none, ""},
		{"a workload's name is claimed", workloadA, none, workA, ""},
		{"a workload's name is claimed for another", workloadA, none, workB, ofOthers},
		{"another's workload's name is freed", workloadA, workB, freed(workB), ofOthers},
		{"a System frees a workload's name", systems, workB, freed(workB), ""},
		{"a System claims a workload's name", systems, none, workB, ofOthers},
		{"a System frees a Secret", systems, secretB, freed(secretB), notWritten},
		{"a Secret is claimed", userA, none, secretA, ""},
		{"a Secret is claimed for another", userA, none, secretB, ofOthers},
		{"another's Secret is taken", userA, secretB, secretA, ofOthers},
		{"a claim is about another kind of thing", targetA, none, data(ofA, "thing", `{"kind":"host","scope":"api.example.com"}`), about},
		{"a claim is about nothing", targetA, none, with(ofA, nil, "data", "thing"), about},

		{"facts change", targetA, ofA, data(ofA, "facts", `{"type":"Exact"}`), ""},
		{"an incarnation takes over", targetA, ofA, data(ofA, "owner", `{"kind":"ApiAggregatorTarget","namespace":"team-a","name":"orders","uid":"another"}`), ""},
		{"a neighbour takes over", targetA, ofOther, ofA, ""},
		{"a claim is released", targetA, ofA, data(ofA, "state", "Releasing"), ""},
		{"a claim is released for ever", targetGone, ofA, data(ofA, "state", "Releasing", "deleted", "true"), ""},
		{"a claim is given away", targetA, ofA, ofB, ofOthers},
		{"a claim is about something else", targetA, ofA, data(ofA, "thing", `{"kind":"path","scope":"api.example.com","key":"/x"}`), about},
		{"a claim is hidden from its host", targetA, ofA, with(ofA, "0", "metadata", "labels", "baleen.dev/scope"), about},
		{"a claim is freed", targetA, waitedA, freeB, ""},
		{"a claim is freed by half: the owner stays", targetA, waitedA, data(freeB, "owner", waitedA.Object["data"].(map[string]any)["owner"].(string)), ofOthers},
		{"a claim is freed by half: the state stays", targetA, waitedA, data(freeB, "state", "Held"), ofOthers},
		{"a claim is freed by half: it is deleted", targetA, waitedA, data(freeB, "deleted", "true"), ofOthers},
		{"a claim is freed by half: the facts stay", targetA, waitedA, data(freeB, "facts", "{}"), ofOthers},
		{"a claim is freed by half: the label stays", targetA, waitedA, with(freeB, "1", "metadata", "labels", "baleen.dev/owner"), ofOthers},
		{"a state that there is not", targetA, ofA, data(ofA, "state", "Mine"), ofOthers},
		{"Held is not true nor false", targetA, ofA, data(ofA, "deleted", "perhaps"), ofOthers},
		{"a claim is deleted", targetA, ofA, none, ""},
		{"a claim is deleted, for which others wait", targetA, waitedA, none, whoWaits},
		{"another's claim is deleted", targetA, ofB, none, ofOthers},

		{"it waits", targetA, ofB, waitedB, ""},
		{"it waits where another of its namespace does", targetA, waitedB, waited2B, ""},
		{"it waits no longer", targetA, waited2B, waitedB, ""},
		{"it waits for what was restored", targetA, restored, waitedB, ""},
		{"it has another wait", targetB, stored(t, path, acquires(path, ordersA)), data(ofA, "waiters", waiters("team-c", 1)), whoWaits},
		{"it has another wait no longer", targetA, waitedA, data(waitedA, "waiters", "null"), whoWaits},
		{"a neighbour has another wait no longer", targetA, data(ofB, "waiters", waiters("team-c", 1)), data(ofB, "waiters", waiters("team-a", 1)), whoWaits},
		{"four wait", targetA, ofB, data(ofB, "waiters", crowd), ""},
		{"five wait", targetA, ofB, data(ofB, "waiters", waiters("team-a", 5)), whoWaits},
		{"it waits in another form", targetA, ofB, data(ofB, "waiters", `[{"namespace":"team-a","kind":"ApiAggregatorTarget","name":"x"}]`), whoWaits},
		{"two forms of one waiter", targetA, ofB, data(ofB, "waiters", `[{"kind":"ApiAggregatorTarget","namespace":"team-a","name":"x","namespace":"team-b"}]`), whoWaits},
		{"what waits has a name that nothing can have", targetA, ofB, data(ofB, "waiters", named("..")), whoWaits},
		{"what waits has a name that ends in a dash", targetA, ofB, data(ofB, "waiters", named("x-")), whoWaits},
		{"what waits has a long name", targetA, ofB, data(ofB, "waiters", named(strings.Repeat("x", 253))), ""},
		{"what waits has a name that is too long", targetA, ofB, data(ofB, "waiters", named(strings.Repeat("x", 254))), whoWaits},
		{"the owner has a name that nothing can have", targetA, ofA, data(ofA, "owner", `{"kind":"ApiAggregatorTarget","namespace":"team-a","name":".."}`), "which a request in team-a owns"},
		{"what waits is no list", targetA, ofB, data(ofB, "waiters", "{}"), whoWaits},
		{"the waiters go", targetA, waitedB, with(waitedB, nil, "data", "waiters"), whoWaits},
		{"it waits, and changes the owner", targetA, ofB, data(waitedB, "owner", `{"kind":"ApiAggregatorTarget","namespace":"team-c","name":"x"}`), ofOthers},
		{"it waits, and changes the state", targetA, ofB, data(waitedB, "state", "Releasing"), ofOthers},
		{"it waits, and frees", targetA, ofB, data(waitedB, "state", "Free"), ofOthers},
		{"it waits, and says that it was deleted", targetA, ofB, data(waitedB, "deleted", "true"), ofOthers},
		{"it waits, and changes the facts", targetA, ofB, data(waitedB, "facts", "null"), ofOthers},
		{"it waits, and removes the facts", targetA, ofB, with(waitedB, nil, "data", "facts"), ofOthers},
		{"it waits, and adds something", targetA, ofB, data(waitedB, "more", "x"), ofOthers},
		{"it waits, and changes what it is about", targetA, ofB, data(waitedB, "thing", `{"kind":"path","scope":"x","key":"/"}`), about},
		{"it waits, and takes the label of the owner off", targetA, ofB, with(waitedB, nil, "metadata", "labels", "baleen.dev/owner"), ofOthers},
		{"it waits, and changes the label of the owner", targetA, ofB, with(waitedB, "0", "metadata", "labels", "baleen.dev/owner"), ofOthers},
		{"it waits, and takes all labels off", targetA, ofB, with(waitedB, nil, labels...), about},
		{"it waits, and adds a label", targetA, ofB, with(waitedB, "x", "metadata", "labels", "argocd.argoproj.io/instance"), ofOthers},
		{"it waits, and adds an annotation", targetA, ofB, with(waitedB, map[string]any{"a": "b"}, "metadata", "annotations"), ofOthers},
		{"it waits, and changes an annotation", targetA, restored, with(waitedB, map[string]any{"note": "2"}, "metadata", "annotations"), ofOthers},
		{"it waits, and keeps the claim from being deleted", targetA, ofB, with(waitedB, []any{"a/b"}, "metadata", "finalizers"), "finalizers"},
		{"it waits, and has the claim deleted", targetA, ofB, with(waitedB, []any{map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}}, "metadata", "ownerReferences"), "ownerReferences"},
		{"it waits, and freezes the claim", targetA, ofB, with(waitedB, true, "immutable"), "immutable"},

		{"it takes what is another's", targetA, ofB, ofA, ofOthers},
		{"it takes what another releases", targetA, leaving, ofA, ofOthers},
		{"it takes what another has deleted", targetA, deletedB, ofA, ""},
		{"it gives what another has deleted to a third", targetA, deletedB, data(ofA, "owner", `{"kind":"ApiAggregatorTarget","namespace":"team-c","name":"x"}`), ofOthers},
		{"it frees what another has deleted", targetA, deletedB, freed(deletedB), ofOthers},
		{"it frees what is another's", targetA, waitedB, freed(waitedB), ofOthers},
		{"it deletes what another has deleted", targetA, deletedB, none, ofOthers},
		{"it takes what is almost deleted", targetA, data(deletedB, "deleted", "True"), ofA, ofOthers},
		{"it takes what is free", targetA, freeA, takenA, ""},
		{"it takes what is free, and another waits still", targetA, freeBoth, takenBoth, ""},
		{"it takes what is free, and another waits no longer", targetA, freeBoth, data(takenBoth, "waiters", "null"), whoWaits},
		{"it takes what is free for another", targetA, freeA, data(ofB, "waiters", "null"), ofOthers},
		{"it deletes what is free", targetA, freeA, none, ""},
		{"it deletes what is free, and another waits", targetA, freeB, none, whoWaits},
		{"an aggregator's request takes what is free", aggregates, freeA, data(takenA, "owner", `{"kind":"ApiAggregatorTarget","namespace":"platform","name":"x"}`), ofOthers},

		{"the sweep frees", aggregates, waitedA, freeB, ""},
		{"the sweep frees what was restored", aggregates, with(waitedA, "x", "metadata", "labels", "velero.io/backup-name"), freeB, ""},
		{"the sweep deletes", aggregates, ofB, none, ""},
		{"the sweep forgets who was notified", aggregates, freeB, none, ""},
		{"the sweep deletes, and others wait", aggregates, waitedB, none, whoWaits},
		{"the sweep frees, and others wait no longer", aggregates, waitedA, data(freeB, "waiters", "null"), whoWaits},
		{"the sweep takes", aggregates, ofB, ofA, ofOthers},
		{"the sweep waits", aggregates, ofB, data(ofB, "waiters", waiters("platform", 1)), ofOthers},
		{"the sweep frees by half", aggregates, waitedA, data(freeB, "owner", waitedA.Object["data"].(map[string]any)["owner"].(string)), ofOthers},
		{"the sweep changes the state", aggregates, ofB, data(ofB, "state", "Releasing"), ofOthers},
		{"the sweep marks", aggregates, waitedA, with(freeB, "x", "metadata", "labels", "a"), ofOthers},
		{"the sweep of a Secret", aggregates, secretA, none, notWritten},

		{"a namespace that another's name begins with", guardtest.Account("team-a-b", "api-aggregator-target", "configure"), ofA, none, ofOthers},
		{"a namespace that begins another's name", guardtest.Account("team", "api-aggregator-target", "configure"), ofA, none, ofOthers},
		{"a namespace that another's name ends with", guardtest.Account("xteam-a", "api-aggregator-target", "configure"), ofA, none, ofOthers},
		{"a namespace that is a pattern", guardtest.Account(".*", "api-aggregator-target", "configure"), ofA, none, ofOthers},
		{"no namespace", guardtest.Account("", "api-aggregator-target", "configure"), ofA, none, ofOthers},
		{"a namespace that is a pattern has no ledgers", guardtest.Account("[-a-z]*", "nats-user", "configure"), ledgerA, none, onlyLedgers},

		// Whose rights somebody else decides.
		{"an administrator", admin, ofA, ofB, ""},
		{"an account that is called otherwise", guardtest.ServiceAccount("team-a", "my-nats-user-resource-configure-configure"), ofA, ofB, ""},
		{"an account of a Promise's own workflow", guardtest.ServiceAccount("team-a", "nats-user-promise-configure-configure"), ofA, ofB, ""},
		{"a name that has an account's in it", &user.DefaultInfo{Name: "oidc:system:serviceaccount:team-a:nats-user-resource-configure-configure"}, ofA, ofB, ""},
		{"a group", &user.DefaultInfo{Name: "system:serviceaccounts:team-a:nats-user-resource-configure-configure"}, ofA, ofB, ""},
	}
	// Whatever a decoder makes of them, these are not how a claim or a ledger names a request.
	for name, of := range map[string]string{
		"a key twice":               `{"kind":"K","namespace":"team-a","name":"x","namespace":"team-b"}`,
		"a key twice, other first":  `{"kind":"K","namespace":"team-b","namespace":"team-a","name":"x"}`,
		"a key in another case":     `{"kind":"K","namespace":"team-a","name":"x","nameSpace":"team-b"}`,
		"a key in escapes":          `{"kind":"K","namespace":"team-a","name":"x","n\u0061mespace":"team-b"}`,
		"quotes in escapes":         `{"kind":"K","namespace":"team-a","name":"x\",\"namespace\":\"team-b"}`,
		"a value in escapes":        `{"kind":"K","namespace":"te\u0061m-a","name":"x"}`,
		"keys in another order":     `{"namespace":"team-a","kind":"K","name":"x"}`,
		"something behind":          `{"kind":"K","namespace":"team-a","name":"x"}{"namespace":"team-b"}`,
		"a line behind":             `{"kind":"K","namespace":"team-a","name":"x"}` + "\n",
		"a line before":             "\n" + `{"kind":"K","namespace":"team-a","name":"x"}`,
		"another before":            `{"namespace":"team-b"}` + "\n" + `{"kind":"K","namespace":"team-a","name":"x"}`,
		"spaces":                    `{"kind": "K", "namespace": "team-a", "name": "x"}`,
		"a name with a line":        `{"kind":"K","namespace":"team-a","name":"x` + "\n" + `"}`,
		"a name in other letters":   `{"kind":"K","namespace":"team-a","name":"ｘ"}`,
		"no name":                   `{"kind":"K","namespace":"team-a","name":""}`,
		"a namespace in upper case": `{"kind":"K","namespace":"TEAM-A","name":"x"}`,
		"a namespace of likes":      `{"kind":"K","namespace":"team-а","name":"x"}`, // Cyrillic
		"a namespace with a space":  `{"kind":"K","namespace":"team-a ","name":"x"}`,
		"a namespace with nothing":  `{"kind":"K","namespace":"team-a` + "\u200b" + `","name":"x"}`,
		"a longer namespace":        `{"kind":"K","namespace":"team-a-b","name":"x"}`,
		"a shorter namespace":       `{"kind":"K","namespace":"team","name":"x"}`,
		"one that ends like it":     `{"kind":"K","namespace":"xteam-a","name":"x"}`,
		"no namespace":              `{"kind":"K","name":"x"}`,
		"another kind":              `{"kind":"Other","namespace":"team-a","name":"x"}`,
		"a UID with quotes":         `{"kind":"K","namespace":"team-a","name":"x","uid":"u","namespace":"team-b"}`,
		"an empty UID":              `{"kind":"K","namespace":"team-a","name":"x","uid":""}`,
		"a list":                    `[{"kind":"K","namespace":"team-a","name":"x"}]`,
		"null":                      "null",
		"nothing":                   "",
	} {
		of := func(kind string, keys ...string) string {
			return strings.NewReplacer(append([]string{`"K"`, `"` + kind + `"`}, keys...)...).Replace(of)
		}
		requestOf := of("NatsUser", `"kind"`, `"Kind"`, `"namespace"`, `"Namespace"`, `"name"`, `"Name"`)
		rows = append(rows, []struct {
			name          string
			who           user.Info
			before, after *unstructured.Unstructured
			denied        string
		}{
			{"the owner is made as " + name, targetA, none, data(ofA, "owner", of("ApiAggregatorTarget")), ofOthers},
			{"the owner becomes " + name, targetA, ofA, data(ofA, "owner", of("ApiAggregatorTarget")), ofOthers},
			{"the owner was " + name, targetA, data(ofA, "owner", of("ApiAggregatorTarget")), ofA, ofOthers},
			{"a claim is deleted whose owner is " + name, targetA, data(ofA, "owner", of("ApiAggregatorTarget")), none, ofOthers},
			{"a waiter is " + name, targetA, ofB, data(ofB, "waiters", "["+of("ApiAggregatorTarget")+"]"), whoWaits},
			{"the request is made as " + name, userA, none, data(ledgerA, "request", requestOf), onlyLedgers},
			{"the request becomes " + name, userA, ledgerA, data(ledgerA, "request", requestOf), onlyLedgers},
			{"the request was " + name, userA, data(ledgerA, "request", requestOf), ledgerA, onlyLedgers},
		}...)
	}
	guard := guarded(t)
	for _, test := range rows {
		if test.name == "a waiter is nothing" { // an empty list
			test.denied = ""
		}
		t.Run(test.name, func(t *testing.T) {
			err := guard.Write(t.Context(), test.who, test.before, test.after)
			switch {
			case test.denied == "" && err != nil:
				t.Errorf("denied: %v", err)
			case test.denied != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.denied)):
				t.Errorf("%v, want %q", err, test.denied)
			}
		})
	}
}

// named is a list of one request of team-a, of that name.
func named(name string) string {
	return `[{"kind":"ApiAggregatorTarget","namespace":"team-a","name":"` + name + `"}]`
}

// waiters is a list of so many requests of a namespace.
func waiters(namespace string, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"kind":"ApiAggregatorTarget","namespace":"%s","name":"x%d"}`, namespace, i))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// All pipelines of all Promises are bounded in baleen-state, and in no other namespace.
func TestGuardStateKnowsPromises(t *testing.T) {
	guard := guarded(t)
	for _, p := range promises.All() {
		for action, pipeline := range map[string]string{"configure": p.ConfigurePipeline, "delete": p.DeletePipeline} {
			who := guardtest.ServiceAccount("team-a", fmt.Sprintf("%s-resource-%s-%s", p.Name, action, pipeline))
			if err := guard.Write(t.Context(), who, nil, configMap("baleen-notes", nil)); !apierrors.IsForbidden(err) {
				t.Errorf("the guard does not know %s: %v", who.Name, err)
			}
		}
	}
}
