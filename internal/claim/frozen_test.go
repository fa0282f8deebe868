package claim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// frozen are claims as v0.1.0 stored them. Whatever changes, later versions find
// them by these names and labels, read them as they are meant here and write them
// as they are.
var frozen = []struct {
	name   string
	claim  Claim
	stored string
}{
	{"host", Claim{Resource: Host("api.example.com"), Owner: Owner{"ApiAggregator", "platform", "public-api", "u1"}, State: Held}, `apiVersion: v1
data:
  deleted: "false"
  facts: "null"
  owner: '{"kind":"ApiAggregator","namespace":"platform","name":"public-api","uid":"u1"}'
  state: Held
  thing: '{"kind":"host","scope":"api.example.com"}'
  waiters: "null"
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/managed-by: baleen
    baleen.dev/owner: 299ff5f3
    baleen.dev/scope: 75d3e686
  name: host-166b2b16acaea5658d1c1989a18a312bd0c67229
  namespace: baleen-state
`},
	{"path", Claim{
		Resource: Path("api.example.com", "/orders/ä"), Owner: Owner{"ApiAggregatorTarget", "team-a", "orders", "u2"}, State: Releasing, Deleted: true,
		Facts: map[string]string{"type": "Prefix", "allowNested": "true"}, Waiters: []Owner{{"ApiAggregatorTarget", "team-b", "shop", ""}},
	}, `apiVersion: v1
data:
  deleted: "true"
  facts: '{"allowNested":"true","type":"Prefix"}'
  owner: '{"kind":"ApiAggregatorTarget","namespace":"team-a","name":"orders","uid":"u2"}'
  state: Releasing
  thing: '{"kind":"path","scope":"api.example.com","key":"/orders/ä"}'
  waiters: '[{"kind":"ApiAggregatorTarget","namespace":"team-b","name":"shop"}]'
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/managed-by: baleen
    baleen.dev/owner: 7e41a121
    baleen.dev/scope: 52dfcc0e
  name: path-c5a9c0476a10801c52cec0d26e0ecdf30726ee05
  namespace: baleen-state
`},
	{"secret", Claim{Resource: Secret("eu-1", "team-a", "orders-nats"), Owner: Owner{"NatsUser", "team-a", "orders", "u3"}, State: Held}, `apiVersion: v1
data:
  deleted: "false"
  facts: "null"
  owner: '{"kind":"NatsUser","namespace":"team-a","name":"orders","uid":"u3"}'
  state: Held
  thing: '{"kind":"secret","scope":"eu-1","key":"/team-a/orders-nats"}'
  waiters: "null"
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/managed-by: baleen
    baleen.dev/owner: de2ff7dd
    baleen.dev/scope: 98e17fed
  name: secret-493092dcd3d921a04346437ae2a4271416e6e4eb
  namespace: baleen-state
`},
	{"workload", Claim{Resource: Workload("eu-1", "team-a", "orders"), Owner: Owner{"Workload", "team-a", "orders", "u4"}, State: Held}, `apiVersion: v1
data:
  deleted: "false"
  facts: "null"
  owner: '{"kind":"Workload","namespace":"team-a","name":"orders","uid":"u4"}'
  state: Held
  thing: '{"kind":"workload","scope":"eu-1","key":"/team-a/orders"}'
  waiters: "null"
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/managed-by: baleen
    baleen.dev/owner: f0e5dd15
    baleen.dev/scope: 722c1c2e
  name: workload-67ec62ab8db36d545fa205d429283d0455903510
  namespace: baleen-state
`},
	{"free", Claim{Resource: Path("api.example.com", "/"), State: Free, Waiters: []Owner{{"ApiAggregatorTarget", "team-b", "shop", ""}}}, `apiVersion: v1
data:
  deleted: "false"
  facts: "null"
  owner: '{"kind":"","namespace":"","name":""}'
  state: Free
  thing: '{"kind":"path","scope":"api.example.com","key":"/"}'
  waiters: '[{"kind":"ApiAggregatorTarget","namespace":"team-b","name":"shop"}]'
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/managed-by: baleen
    baleen.dev/scope: 52dfcc0e
  name: path-25cbd0ae2460311007ed36cbb872f70a7d72abac
  namespace: baleen-state
`},
}

// An upgrade moves no claim and loses no owner.
func TestFrozen(t *testing.T) {
	for _, test := range frozen {
		t.Run(test.name, func(t *testing.T) {
			written, err := yaml.Marshal(encode(test.claim, "").Object)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.stored, string(written)); diff != "" {
				t.Errorf("it is stored otherwise: %s", diff)
			}
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(test.stored), &object.Object); err != nil {
				t.Fatal(err)
			}
			read, err := decode(object)
			if err != nil {
				t.Fatal(err)
			}
			if !equal(*read, test.claim) {
				t.Errorf("it is read as %+v, and means %+v", *read, test.claim)
			}
		})
	}
}
