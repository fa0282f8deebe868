package fingerprint

import (
	"encoding/json"
	"testing"

	"github.com/baleen-platform/baleen/internal/fingerprint/fingerprinttest"
)

type inner struct {
	Allow, Deny []string
}

type outer struct {
	Name    string `json:"name"`
	Servers []string
	Limit   int64             `json:"limit,omitempty"`
	Inner   inner             `json:"inner"`
	Maybe   *inner            `json:"maybe"`
	Rows    []inner           `json:"rows,omitempty"`
	Labels  map[string]string `json:"labels"`
}

var form = Form{
	"":      "name Servers limit? inner maybe rows? labels",
	"inner": "Allow Deny",
	"maybe": "Allow Deny",
	"rows":  "Allow Deny",
}

var values = []struct {
	name  string
	value outer
}{
	{"zero", outer{}},
	{"full", outer{Name: `a<b>"c"`, Servers: []string{"x", "y"}, Limit: 1 << 60, Inner: inner{Allow: []string{"orders.>"}},
		Maybe: &inner{}, Rows: []inner{{}, {Deny: []string{"z"}}}, Labels: map[string]string{"b": "1", "a": "2"}}},
	{"empty lists", outer{Servers: []string{}, Rows: []inner{}, Labels: map[string]string{}}},
}

// With the keys of today a form is what encoding/json writes: that is how digests
// were made before there were forms.
func TestFormIsJSON(t *testing.T) {
	for _, test := range values {
		t.Run(test.name, func(t *testing.T) {
			want, err := json.Marshal(test.value)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(form.Bytes(test.value)); got != string(want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

// A field that comes later changes nothing while it is zero, in whichever struct it
// stands, and tells values apart as soon as it is not.
func TestLaterField(t *testing.T) {
	for _, test := range values {
		t.Run(test.name, func(t *testing.T) {
			digest := form.Digest(test.value)
			for _, later := range fingerprinttest.WithLaterField(test.value) {
				if form.Digest(later.Unset) != digest {
					t.Errorf("a field of %q that is zero makes another digest of %s", later.Struct, form.Bytes(later.Unset))
				}
				if form.Digest(later.Set) == digest {
					t.Errorf("a field of %q that is set makes no other digest of %s", later.Struct, form.Bytes(later.Set))
				}
			}
		})
	}
}

// What a later version may do to a type without changing what is stored.
func TestStable(t *testing.T) {
	type reordered struct {
		Later  *inner            `json:"aLater"` // of which the zero is not omitted
		Labels map[string]string `json:"labels"`
		Rows   []inner           `json:"rows"` // no longer omitempty
		Maybe  *inner            `json:"maybe,omitempty"`
		Nested struct {
			N    int
			List []string
		}
		Inner   inner `json:"inner"`
		Limit   int64 `json:"limit"`
		Hosts   []string
		Name    string   `json:"name,omitempty"`
		Renamed []string `json:"Servers"` // in Go alone
	}
	for _, test := range values {
		t.Run(test.name, func(t *testing.T) {
			v := test.value
			now := reordered{Labels: v.Labels, Rows: v.Rows, Maybe: v.Maybe, Inner: v.Inner, Limit: v.Limit, Hosts: []string{}, Name: v.Name, Renamed: v.Servers}
			if got, want := string(form.Bytes(now)), string(form.Bytes(v)); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
	a, b := reordered{Later: &inner{}}, reordered{}
	if form.Digest(a) == form.Digest(b) {
		t.Error("what is asked for with its defaults counts as not asked for")
	}
}

// What is given besides the value is part of the digest.
func TestBesides(t *testing.T) {
	if form.Digest(outer{}, "a") == form.Digest(outer{}) {
		t.Error("what is given besides makes no difference")
	}
}
