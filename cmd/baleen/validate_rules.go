package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/crd"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/nearest"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises"
)

// schemas are those of Baleen's kinds.
var schemas = sync.OnceValue(func() map[string]*crd.Schema {
	all := map[string]*crd.Schema{}
	for _, p := range promises.All() {
		s, err := crd.Load(p.YAML, p.Kind.Version)
		if err != nil {
			panic(fmt.Sprintf("the embedded Promise %s: %v", p.Name, err)) // a test reads them all
		}
		all[p.Kind.Kind] = s
	}
	return all
})

// kinds returns the names of Baleen's kinds.
func kinds() []string { return slices.Sorted(maps.Keys(schemas())) }

// validateDocument checks one document.
func validateDocument(d document) verdict {
	v := verdict{File: d.file, Line: d.line, Problems: []fieldProblem{}}
	if d.object == nil {
		v.Problems = append(v.Problems, fieldProblem{Message: d.wrong})
		return v
	}
	object := &unstructured.Unstructured{Object: d.object}
	v.Kind, v.Namespace, v.Name = nestedText(d.object, "kind"), nestedText(d.object, "metadata", "namespace"), nestedText(d.object, "metadata", "name")
	if problems, skipped := checkHeader(d.object); skipped || len(problems) > 0 {
		v.Problems, v.Skipped = append(v.Problems, problems...), skipped
		return v
	}
	v.Problems = append(v.Problems, checkObjectMeta(d.object["metadata"])...)
	const name = "metadata.name"
	wrong := slices.ContainsFunc(v.Problems, func(p fieldProblem) bool { return p.Field == name }) // and the pipeline need not say so too
	v.Problems = append(v.Problems, slices.DeleteFunc(checkSpec(object), func(p fieldProblem) bool { return wrong && p.Field == name })...)
	v.Valid = len(v.Problems) == 0
	switch {
	case v.Namespace == "":
		v.Namespace = "default"
		v.Notes = append(v.Notes, "it names no namespace: kubectl takes that of its context, and default if there is none")
	case v.Kind == platform.NatsAccount.Kind && v.Namespace != config.Namespace:
		v.Notes = append(v.Notes, "NatsUsers find a NatsAccount in the namespace "+config.Namespace+" only")
	case v.Kind == platform.System.Kind && v.Namespace != config.Namespace:
		v.Notes = append(v.Notes, "a System counts in the namespace "+config.Namespace+" only, unless systemNamespaces of baleen-config names others")
	}
	return v
}

// nestedText returns a text in an object, or nothing where there is something else.
func nestedText(object map[string]any, path ...string) string {
	text, _, _ := unstructured.NestedString(object, path...)
	return text
}

// checkHeader reports whether a document is of a kind of Baleen's, or was meant to be.
func checkHeader(object map[string]any) (problems []fieldProblem, skipped bool) {
	const group, version = "baleen.dev", "baleen.dev/v1alpha1"
	say := func(field, format string, args ...any) {
		problems = append(problems, fieldProblem{field, fmt.Sprintf(format, args...)})
	}
	apiVersion, kind := nestedText(object, "apiVersion"), nestedText(object, "kind")
	parsed, _ := schema.ParseGroupVersion(apiVersion)
	near := nearest.Word(kind, kinds())
	ours := parsed.Group == group || near != "" || nearest.Word(parsed.Group, []string{group}) != ""
	if kind != "" && apiVersion != "" && !ours {
		return nil, true
	}
	for _, name := range []string{"apiVersion", "kind"} {
		misspelt := nearest.Word(name, slices.Collect(maps.Keys(object)))
		switch _, isText := object[name].(string); {
		case object[name] == nil && misspelt != "" && misspelt != name:
			say(misspelt, "there is no such field: did you mean %s?", name)
		case object[name] == nil && name == "apiVersion":
			say(name, "is missing: write %s", version)
		case object[name] == nil:
			say(name, "is missing: write one of %s", strings.Join(kinds(), ", "))
		case !isText:
			say(name, "must be text: put quotes around it")
		}
	}
	if len(problems) > 0 {
		return problems, false
	}
	if near == "" {
		say("kind", "%s is no kind of Baleen's: there are %s", field.Quote(kind), strings.Join(kinds(), ", "))
	} else if near != kind {
		say("kind", "%s is no kind of Baleen's: did you mean %s?", field.Quote(kind), near)
	}
	if apiVersion != version {
		say("apiVersion", "%s is not that of %s: did you mean %s?", field.Quote(apiVersion), cmp.Or(near, "Baleen's kinds"), version)
	}
	return problems, false
}

// metadataFields are those that Kubernetes knows.
var metadataFields = []string{
	"name", "namespace", "labels", "annotations", "finalizers", "generateName", "ownerReferences", "uid", "resourceVersion", "generation",
	"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink",
}

// checkObjectMeta checks what all kinds of Kubernetes have in common.
func checkObjectMeta(raw any) []fieldProblem {
	var problems []fieldProblem
	say := func(field, format string, args ...any) {
		problems = append(problems, fieldProblem{field, fmt.Sprintf(format, args...)})
	}
	metadata, isMap := raw.(map[string]any)
	switch {
	case raw == nil:
		say("metadata", "is missing: it needs a name, and a namespace")
		return problems
	case !isMap:
		say("metadata", "must be a map: write name and namespace below it")
		return problems
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if !slices.Contains(metadataFields, key) {
			say("metadata."+key, "there is no such field%s", prefixedText(": did you mean ", nearest.Word(key, metadataFields), "?"))
		}
	}
	name, namespace := metadata["name"], metadata["namespace"]
	switch text, isText := name.(string); {
	case name == nil || text == "" && isText:
		say("metadata.name", "is missing")
	case !isText:
		say("metadata.name", "must be text, not %s: put quotes around it", shape(name))
	case len(text) > validation.LabelValueMaxLength:
		say("metadata.name", "has %d characters: at most 63 are allowed, because it becomes a label of Kratix's Jobs", len(text))
	case len(validation.IsDNS1123Subdomain(text)) > 0:
		say("metadata.name", "%s cannot name an object: use a-z, 0-9, - and ., with a letter or digit at both ends%s", field.Quote(text), lowered(text, validation.IsDNS1123Subdomain))
	}
	switch text, isText := namespace.(string); {
	case namespace == nil || text == "" && isText:
	case !isText:
		say("metadata.namespace", "must be text, not %s: put quotes around it", shape(namespace))
	case len(validation.IsDNS1123Label(text)) > 0:
		say("metadata.namespace", "%s cannot name a namespace: use at most 63 of a-z, 0-9 and -, with a letter or digit at both ends%s", field.Quote(text), lowered(text, validation.IsDNS1123Label))
	}
	for _, key := range []string{"labels", "annotations"} {
		problems = append(problems, checkPairs(key, metadata[key])...)
	}
	return problems
}

// lowered proposes a name that is right in lower case and with - for _.
func lowered(text string, check func(string) []string) string {
	better := strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(text))
	if len(check(better)) > 0 {
		return ""
	}
	return ", such as " + better
}

func prefixedText(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

// shape says what a value is that should be text. A map or list is not repeated.
func shape(value any) string {
	switch value.(type) {
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	}
	return fmt.Sprint(value)
}

// checkPairs checks labels or annotations.
func checkPairs(kind string, raw any) []fieldProblem {
	var problems []fieldProblem
	pairs, isMap := raw.(map[string]any)
	if raw != nil && !isMap {
		return []fieldProblem{{"metadata." + kind, "must be a map: write name: value, one on a line"}}
	}
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		at := fmt.Sprintf("metadata.%s[%s]", kind, key)
		value, isText := pairs[key].(string)
		switch {
		case pairs[key] == nil && kind == "annotations":
		case !isText:
			problems = append(problems, fieldProblem{at, fmt.Sprintf("must be text, not %s: put quotes around it", shape(pairs[key]))})
		case kind == "labels" && len(validation.IsValidLabelValue(value)) > 0:
			problems = append(problems, fieldProblem{at, field.Quote(value) + " is not the value of a label: at most 63 of A-Z, a-z, 0-9, -, _ and ., with a letter or digit at both ends"})
		}
		if len(validation.IsQualifiedName(strings.ToLower(key))) > 0 {
			problems = append(problems, fieldProblem{at, "is not a name: at most 63 of A-Z, a-z, 0-9, -, _ and ., and perhaps a prefix such as example.com/"})
		}
	}
	return problems
}

// checkSpec joins what the schema says and what the pipeline says of the rest.
func checkSpec(object *unstructured.Unstructured) []fieldProblem {
	s := schemas()[object.GetKind()]
	found := slices.DeleteFunc(s.Check(object.Object), func(p crd.Problem) bool { return p.Path == "metadata" }) // checked by itself
	for i, p := range found {
		if strings.Contains(p.Path, "okenSecretRef") && p.Reason != crd.Missing && p.Reason != crd.Unknown { // who writes the token there does not want to read it
			found[i].Message, found[i].Certain = "must name the Secret that holds the token, as {name: synadia, key: token}", false
		}
	}
	var more []crd.Problem
	if spec, isMap := object.Object["spec"].(map[string]any); isMap {
		more = pipelineProblems(object, s.Properties["spec"].Prune(spec))
	}
	var problems []fieldProblem
	for _, p := range mergeProblems(found, more) {
		problems = append(problems, fieldProblem{p.Path, p.Message})
	}
	return problems
}

// pipelineProblems returns what the pipeline says of a spec, each with the place in
// the object as it was written.
func pipelineProblems(object *unstructured.Unstructured, spec any) []crd.Problem {
	checked := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{}, "spec": spec}}
	checked.SetKind(object.GetKind())
	checked.SetName(object.GetName())
	checked.SetNamespace(object.GetNamespace())
	if annotations, _, err := unstructured.NestedStringMap(object.Object, "metadata", "annotations"); err == nil {
		checked.SetAnnotations(annotations)
	}
	err := checkByPipeline(checked)
	var invalid *field.InvalidError
	if !errors.As(err, &invalid) {
		return nil
	}
	var problems []crd.Problem
	for _, sentence := range invalid.All {
		problems = append(problems, locate(object.Object, sentence))
	}
	return problems
}

// checkByPipeline makes the check that the pipeline of the object's kind makes.
func checkByPipeline(object *unstructured.Unstructured) error {
	i := slices.IndexFunc(own, func(p workflow.Pipeline) bool { return p.Kind.Kind == object.GetKind() })
	return own[i].Check(object) // each of Baleen's kinds has a pipeline
}

// indexes are what a path of the schema has and one of a sentence has not.
var indexes = regexp.MustCompile(`\[[^]]*\]`)

// mergeProblems leaves one sentence for one mistake: that of the schema where it is
// certain what was meant, and else the pipeline's, which knows more than a pattern.
func mergeProblems(schema, pipeline []crd.Problem) []crd.Problem {
	merged := slices.Clone(schema)
	worded := map[int]bool{} // which a pipeline has said in its words already
	for _, p := range pipeline {
		// One that quotes no value speaks of the list, and not of an entry that is not found.
		ofEntry := len(crd.Unquoted(p.Message)) > 0
		same := slices.IndexFunc(schema, func(m crd.Problem) bool {
			return m.Reason != crd.Unknown && (m.Path == p.Path || ofEntry && indexes.ReplaceAllString(m.Path, "") == p.Path)
		})
		twice := strings.HasSuffix(p.Message, " twice") || strings.Contains(p.Message, " are one path")
		within := slices.ContainsFunc(schema, func(m crd.Problem) bool {
			above := ofEntry && strings.HasPrefix(m.Path, p.Path+"[")                               // it speaks of an entry that is known to be wrong
			below := strings.HasPrefix(p.Path, m.Path+".") || strings.HasPrefix(p.Path, m.Path+"[") // of what is not there, or of another type
			return m.Reason != crd.Unknown && (above || below && (m.Reason == crd.Type || m.Reason == crd.Missing || twice))
		})
		switch {
		case same >= 0 && schema[same].Reason == crd.Value && !schema[same].Certain && !worded[same]:
			merged[same], worded[same] = p, true
		case same >= 0 || within || slices.Contains(merged, p):
		default:
			merged = append(merged, p)
		}
	}
	return merged
}
