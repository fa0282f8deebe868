package identity

import (
	"maps"
	"testing"
)

// The names of what is made for a request. They are literals of v0.1.0: under
// another name a cluster would get a second object, and lose the first.
func TestNamesAreFrozen(t *testing.T) {
	orders := Request{Kind: "ApiAggregatorTarget", Namespace: "team-a", Name: "orders"}
	for _, test := range []struct{ name, got, want string }{
		{"hash", orders.Hash(), "7e41a121"},
		{"long hash", orders.LongHash(), "7e41a121da803f5ca980ff90224e34f7fa67a5ee"},
		{"object", orders.ObjectName(), "orders-7e41a121"},
		{"object of a part", orders.ObjectName(Hash("/orders")), "orders-7e41a121-fc7d0552"},
		{"object of a long name", Request{"ApiAggregator", "platform", "a-name-that-is-cut-because-a-label-has-at-most-63-cha.racters.x"}.ObjectName("part"), "a-name-that-is-cut-because-a-label-has-at-most-63-5efdf971-part"},
		{"object of a name that is cut behind a dot", Request{"ApiAggregator", "platform", "a-name-that-is-cut-because-a-label-has-at-most-63-cha.racters"}.ObjectName(), "a-name-that-is-cut-because-a-label-has-at-most-63-cha-b4eaa9d6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("%s, and v0.1.0 said %s", test.got, test.want)
			}
			if len(test.got) > maxName {
				t.Errorf("%s has %d characters", test.got, len(test.got))
			}
		})
	}
	if want := map[string]string{"app.kubernetes.io/managed-by": "baleen", "baleen.dev/request": "7e41a121"}; !maps.Equal(orders.Labels(), want) {
		t.Errorf("labels %v", orders.Labels())
	}
	if want := map[string]string{"baleen.dev/requested-by": "ApiAggregatorTarget team-a/orders"}; !maps.Equal(orders.Annotations(), want) {
		t.Errorf("annotations %v", orders.Annotations())
	}
}

// Requests that differ in anything have different hashes.
func TestHashTellsApart(t *testing.T) {
	seen := map[string]Request{}
	for _, r := range []Request{{"A", "b", "c"}, {"B", "b", "c"}, {"A", "c", "c"}, {"A", "b", "d"}, {"A", "bc", ""}, {"A", "", "bc"}, {"Ab", "", "c"}} {
		if other, met := seen[r.Hash()]; met {
			t.Errorf("%v and %v have one hash", r, other)
		}
		seen[r.Hash()] = r
	}
}
