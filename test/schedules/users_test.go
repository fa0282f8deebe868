package schedules

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/kratix/simulator"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

// user is a request for a credential in a Secret on one cluster.
func user(t *testing.T, name, secret, more string) *unstructured.Unstructured {
	return parse(t, fmt.Sprintf("apiVersion: baleen.dev/v1alpha1\nkind: NatsUser\nmetadata: {namespace: team-a, name: %s}\nspec:\n  accountRef: {name: commerce}\n"+
		"  permissions: {publish: {allow: [orders.>]}}\n  placement: {matchLabels: {baleen.dev/destination: eu-1}}\n  secret: {name: %s}\n  deletionPolicy: Retain\n%s", name, secret, more))
}

// delivered is whose users are in each Secret, by what is in the Works.
func delivered(ctx context.Context, p platform.Client) (map[string][]string, error) {
	output, err := outputOf(ctx, p, "nats-user")
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for who, documents := range output {
		_, request, _ := strings.Cut(who, "/")
		for _, data := range documents {
			var o unstructured.Unstructured
			if err := yaml.Unmarshal(data, &o.Object); err != nil {
				return nil, err
			}
			if o.GetKind() == "SealedSecret" {
				all[o.GetName()] = append(all[o.GetName()], request+" "+o.GetAnnotations()["baleen.dev/nats-user"])
			}
		}
	}
	return all, nil
}

// secrets is who has each Secret: one request.
func secrets(ctx context.Context, p platform.Client) (map[string]string, error) {
	all, err := delivered(ctx, p)
	one := map[string]string{}
	for name, who := range all {
		if len(who) > 1 {
			return nil, fmt.Errorf("the Secret %s is delivered for %v", name, who)
		}
		one[name] = who[0]
	}
	return one, err
}

// accounted: each Secret has the credential of one request, which is the one that the
// ledger says is current.
func accounted(ctx context.Context, p platform.Client) (string, error) {
	secrets, err := secrets(ctx, p)
	if err != nil {
		return "", err
	}
	ledgers, err := ledger.Store{Client: p}.All(ctx)
	if err != nil {
		return "", err
	}
	var words []string
	for _, secret := range slices.Sorted(maps.Keys(secrets)) {
		request, key, _ := strings.Cut(secrets[secret], " ")
		i := slices.IndexFunc(ledgers, func(l *ledger.Ledger) bool { return l.Request.Name == request })
		if i < 0 {
			return "", fmt.Errorf("the Secret %s is delivered for %s, which has no ledger", secret, request)
		}
		if current := ledgers[i].Current("eu-1"); current == nil || current.User != key {
			return "", fmt.Errorf("the Secret %s has the user %s, and %+v is current", secret, key, current)
		}
		words = append(words, secret+":"+request)
	}
	return strings.Join(words, " "), nil
}

// Two requests for credentials that want one Secret, and an account whose runs meet
// theirs, in all orders: what is delivered is what the ledger has, no Secret is of two,
// whoever is deleted goes, and nobody keeps anybody else awake.
func TestUsers(t *testing.T) {
	a := func(more string) *unstructured.Unstructured { return user(t, "a", "x", more) }
	b := func(more string) *unstructured.Unstructured { return user(t, "b", "x", more) }
	account := func(tag string) event {
		return event{"the account is applied with the tag " + tag, func(ctx context.Context, c simulator.Cluster, p platform.Client) error {
			stored, err := p.Get(ctx, platform.NatsAccount, "baleen-system", "commerce")
			if err != nil {
				return err
			}
			if err := unstructured.SetNestedStringSlice(stored.Object, []string{tag}, "spec", "policy", "tags"); err != nil {
				return err
			}
			return c.Apply(ctx, p, stored)
		}}
	}
	revoked := func(name string, more string) *unstructured.Unstructured {
		o := user(t, name, name, more)
		o.Object["spec"].(map[string]any)["deletionPolicy"] = "Revoke"
		return o
	}
	for _, test := range []struct {
		name   string
		kinds  []platform.Kind
		latest bool
		// operated: the account can revoke.
		operated bool
		before   []event // each at rest
		events   []event
		want     []string // whose credential is in each Secret in the end, one of these
	}{
		{
			name: "one is deleted, and another waits for its Secret", before: []event{apply(a("")), apply(b(""))},
			events: []event{remove(a(""))},
			want:   []string{"x:b"},
		},
		{
			name:   "two ask for one Secret",
			events: []event{apply(a("")), apply(b(""))},
			want:   []string{"x:a", "x:b"},
		},
		{
			name:   "one is made and deleted",
			events: []event{apply(a("")), remove(a(""))},
			want:   []string{""},
		},
		{
			name: "one is rotated and deleted", before: []event{apply(a(""))},
			events: []event{apply(a("  credentials: {rotate: one}\n")), remove(a(""))},
			want:   []string{""},
		},
		{
			name: "a rotation is tried in a dry run, while it is deleted", before: []event{apply(a(""))}, latest: true,
			events: []event{dryRun(a("  credentials: {rotate: one}\n")), remove(a("")), undoDryRun(a(""))},
			want:   []string{""},
		},
		{
			name: "the account changes, and one is rotated", before: []event{account("a"), apply(a(""))}, kinds: []platform.Kind{platform.NatsAccount},
			events: []event{account("b"), apply(a("  credentials: {rotate: one}\n"))},
			want:   []string{"x:a"},
		},
		{
			name: "the account changes, and one is deleted", before: []event{account("a"), apply(a(""))}, kinds: []platform.Kind{platform.NatsAccount},
			events: []event{account("b"), remove(a(""))},
			want:   []string{""},
		},
		{
			name: "one is deleted, and its account revokes it", kinds: []platform.Kind{platform.NatsAccount}, operated: true,
			before: []event{account("a"), apply(revoked("a", ""))},
			events: []event{remove(revoked("a", ""))},
			want:   []string{""},
		},
		{
			name: "one is deleted, and another's former credential is to be revoked", kinds: []platform.Kind{platform.NatsAccount}, operated: true,
			before: []event{account("a"), apply(revoked("a", "")), apply(revoked("b", ""))},
			events: []event{remove(revoked("a", "")), apply(revoked("b", "  credentials: {rotate: one, revokePrevious: Immediately}\n"))},
			want:   []string{"b:b"},
		},
	} {
		for _, version := range []simulator.Version{simulator.Kratix202508, simulator.KratixLatest} {
			if test.latest && version != simulator.KratixLatest {
				continue
			}
			t.Run(test.name+"/"+string(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSearch(t, clusterOf(version, append(test.kinds, platform.NatsUser)...))
					s.events = test.events
					if test.operated {
						s.prepare = s.operate
						s.fails = func(said string) bool { return strings.Contains(said, "are not revoked yet") }
					}
					s.constant = func(r *request) bool { return settings(r) && (r.kind != platform.NatsAccount || len(test.kinds) == 0) }
					s.always = func(p *platform.Memory) error {
						_, err := secrets(t.Context(), p)
						return err
					}
					s.atRest = func(p *platform.Memory) error {
						if err := quiet(t.Context(), p); err != nil {
							return err
						}
						got, err := accounted(t.Context(), p)
						if err == nil && !slices.Contains(test.want, got) {
							err = fmt.Errorf("delivered is %q, want one of %q", got, test.want)
						}
						return err
					}
					s.run(test.before)
				})
			})
		}
	}
}
