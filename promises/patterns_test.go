package promises_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/baleen-platform/baleen/internal/crdtest"
	"github.com/baleen-platform/baleen/promises"
)

type openAPI = apiextensionsv1.JSONSchemaProps

// crds are the definitions of Baleen's kinds, by kind.
func crds(t *testing.T) map[string]apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	all := map[string]apiextensionsv1.CustomResourceDefinition{}
	for _, p := range promises.All() {
		var promise struct {
			Spec struct {
				API apiextensionsv1.CustomResourceDefinition
			}
		}
		if err := yaml.Unmarshal(p.YAML, &promise); err != nil {
			t.Fatal(err)
		}
		all[p.Kind.Kind] = promise.Spec.API
	}
	return all
}

// applied are the definitions as an API server applies them.
func applied(t *testing.T) *crdtest.Definitions {
	t.Helper()
	var sets []*crdtest.Definitions
	for _, crd := range crds(t) {
		data, err := yaml.Marshal(crd)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, crdtest.Load(t, data))
	}
	return crdtest.Merge(sets...)
}

// walk visits a schema and all below it.
func walk(path string, s openAPI, visit func(path string, s openAPI)) {
	visit(path, s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		walk(path+"."+name, s.Properties[name], visit)
	}
	if s.Items != nil {
		walk(path+"[]", *s.Items.Schema, visit)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		walk(path+"{}", *s.AdditionalProperties.Schema, visit)
	}
}

// An API server answers "should match '^...$'" where a value does not match a pattern.
// A rule has a message, so the CRDs have rules.
func TestNoPatterns(t *testing.T) {
	for kind, crd := range crds(t) {
		walk(kind+".spec", crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"], func(path string, s openAPI) {
			if s.Pattern != "" {
				t.Errorf("%s has a pattern: write it as a rule, self.matches(r'%s'), with a message", path, s.Pattern)
			}
			for _, r := range s.XValidations {
				if r.Message == "" {
					t.Errorf("%s has a rule without a message: %s", path, r.Rule)
				}
			}
		})
	}
}

// frozenPattern is a line of what v0.1.0 had.
type frozenPattern struct {
	path   string
	schema openAPI
}

func frozenPatterns(t *testing.T) []frozenPattern {
	t.Helper()
	data, err := os.ReadFile("testdata/patterns-v0.1.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []frozenPattern
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		path, text, _ := strings.Cut(line, " ")
		f := frozenPattern{path: path}
		if err := json.Unmarshal([]byte(text), &f.schema); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, f)
	}
	if len(all) != 71 {
		t.Fatalf("v0.1.0 had 71 of them, and here are %d", len(all))
	}
	return all
}

// digitFirst is the name of a Service that begins with a digit, which Kubernetes has
// since 1.36: the one thing that fields admit and did not in v0.1.0.
var digitFirst = regexp.MustCompile(`^[0-9]([-a-z0-9]*[a-z0-9])?$`)

// Each field admits what it admitted in v0.1.0, and nothing else: what is stored stays
// valid, and what was refused is. An API server's own code is asked about texts that
// match the pattern of v0.1.0, those that nearly do, and any others.
func TestRulesAdmitWhatPatternsDid(t *testing.T) {
	now := map[string]openAPI{}
	for kind, crd := range crds(t) {
		walk(kind+".spec", crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"], func(path string, s openAPI) { now[path] = s })
	}
	frozen := frozenPatterns(t)
	fields := map[string]openAPI{}
	for i, f := range frozen {
		is, found := now[f.path]
		if !found {
			t.Fatalf("%s is gone", f.path)
		}
		fields[fmt.Sprint("was", i)] = f.schema
		fields[fmt.Sprint("is", i)] = openAPI{
			Type: is.Type, MinLength: is.MinLength, MaxLength: is.MaxLength, XValidations: is.XValidations, Required: is.Required, Properties: is.Properties,
		}
	}
	definitions := definitionOf(t, fields)
	random := rand.New(rand.NewPCG(1, 2))
	const tries = 400
	admitted := make([]int, len(frozen))
	for range tries {
		object := map[string]any{}
		texts := make([]string, len(frozen))
		for i, f := range frozen {
			texts[i] = randomText(random, f.schema)
			value := any(texts[i])
			if f.schema.Type == "object" {
				value = map[string]any{"name": texts[i]}
			}
			object[fmt.Sprint("was", i)], object[fmt.Sprint("is", i)] = value, value
		}
		refused := causes(definitions.Validate(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "test.baleen.dev/v1", "kind": "Text", "metadata": map[string]any{"name": "a", "namespace": "b"}, "spec": object,
		}}))
		for i, f := range frozen {
			was, is := refused[fmt.Sprint("spec.was", i)], refused[fmt.Sprint("spec.is", i)]
			if wider := f.path == "ApiAggregatorTarget.spec.backends[].service" && digitFirst.MatchString(texts[i]); (was == "" || wider) != (is == "") {
				t.Fatalf("%s with %q: v0.1.0 says %q, and now it is %q", f.path, texts[i], was, is)
			}
			if is == "" {
				admitted[i]++
			}
		}
	}
	for i, f := range frozen {
		if n := admitted[i]; n < tries/40 || n > tries-tries/40 {
			t.Errorf("of %d texts %s admits %d: too few are on one side", tries, f.path, n)
		}
	}
}

// definitionOf is a definition of objects with such fields in their spec.
func definitionOf(t *testing.T, fields map[string]openAPI) *crdtest.Definitions {
	t.Helper()
	crd := map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "texts.test.baleen.dev"},
		"spec": map[string]any{
			"group": "test.baleen.dev", "scope": "Namespaced", "names": map[string]any{"kind": "Text", "plural": "texts", "singular": "text"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{
				"type": "object", "properties": map[string]any{"spec": openAPI{Type: "object", Properties: fields}},
			}}}},
		},
	}
	data, err := yaml.Marshal(crd)
	if err != nil {
		t.Fatal(err)
	}
	return crdtest.Load(t, data)
}

// causes are what an API server says, by the field of the spec.
func causes(err error) map[string]string {
	all := map[string]string{}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		for _, cause := range status.Status().Details.Causes {
			field := strings.TrimSuffix(cause.Field, ".name")
			all[field] = strings.TrimPrefix(all[field]+"; "+cause.Message, "; ")
		}
	} else if err != nil {
		all["error"] = err.Error()
	}
	return all
}

// randomText returns a text that matches a schema's pattern, nearly matches it, or is
// any other. It is never longer than is allowed, because nothing else is looked at then.
func randomText(random *rand.Rand, s openAPI) string {
	if s.Type == "object" {
		s = s.Properties["name"]
	}
	parsed, err := syntax.Parse(s.Pattern, syntax.Perl)
	if err != nil {
		panic(err)
	}
	text := []rune(matching(random, parsed))
	if strings.Contains(s.Pattern, "[%]") && random.IntN(4) > 0 { // a rule beside the pattern wants it
		text = slices.Insert(text, 0, '/')
	}
	odd := []rune("aZ0-_.:/*>%{}[]@ \t\n\r\x00\x7f\u0085\u2028é١\"'\\$^~!AĀ🐋")
	for range random.IntN(6) - 3 { // half of them stay as they are
		at := random.IntN(len(text) + 1)
		switch random.IntN(3) {
		case 0:
			text = slices.Insert(text, at, odd[random.IntN(len(odd))])
		case 1:
			text = slices.Delete(text, at, min(at+1, len(text)))
		default:
			if at < len(text) {
				text[at] = odd[random.IntN(len(odd))]
			}
		}
	}
	if random.IntN(20) == 0 {
		text = nil
	}
	return string(text[:min(len(text), int(*s.MaxLength))])
}

// matching returns a text that matches an expression.
func matching(random *rand.Rand, re *syntax.Regexp) string {
	repeat := func(least, most int) string {
		var b strings.Builder
		for range least + random.IntN(most-least+1) {
			b.WriteString(matching(random, re.Sub[0]))
		}
		return b.String()
	}
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		i := 2 * random.IntN(len(re.Rune)/2)
		low, high := re.Rune[i], min(re.Rune[i+1], re.Rune[i]+100)
		if r := low + random.Int32N(high-low+1); utf8.ValidRune(r) {
			return string(r)
		}
		return string(low)
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(matching(random, sub))
		}
		return b.String()
	case syntax.OpAlternate:
		return matching(random, re.Sub[random.IntN(len(re.Sub))])
	case syntax.OpCapture:
		return matching(random, re.Sub[0])
	case syntax.OpStar:
		return repeat(0, 3)
	case syntax.OpPlus:
		return repeat(1, 4)
	case syntax.OpQuest:
		return repeat(0, 1)
	case syntax.OpRepeat:
		most := re.Max
		if most < 0 {
			most = re.Min + 3
		}
		return repeat(re.Min, most)
	}
	return "" // the ends of the text
}

// The texts are what they are made to be.
func TestMatching(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, f := range frozenPatterns(t) {
		s := f.schema
		if s.Type == "object" {
			s = s.Properties["name"]
		}
		parsed, err := syntax.Parse(s.Pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if text := matching(random, parsed); !regexp.MustCompile(s.Pattern).MatchString(text) {
				t.Fatalf("%q does not match %s", text, s.Pattern)
			}
		}
	}
}
