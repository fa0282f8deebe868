package platform

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// document is one YAML document of a file and the line on which it begins.
type document struct {
	line int
	text []byte
}

var isMarker = regexp.MustCompile(`^(---|\.\.\.)(\s|$)`)

// documents splits a file at its document markers, which YAML does not allow to
// mean anything else, not even inside a block of text.
func documents(data []byte) []document {
	var found []document
	start, line, offset, number := 0, 1, 0, 1
	for text := range bytes.Lines(data) {
		if isMarker.Match(text) {
			found = append(found, document{line, data[start:offset]})
			start, line = offset, number
			if text[0] == '.' { // belongs to no document
				start, line = offset+len(text), number+1
			}
		}
		offset, number = offset+len(text), number+1
	}
	return append(found, document{line, data[start:]})
}

// decode returns the objects that are in a file.
func (f *Folder) decode(file string, data []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, doc := range documents(data) {
		encoded, err := yaml.YAMLToJSONStrict(doc.text)
		if err != nil {
			return nil, f.broken(file, doc.line, yamlError(err, doc.line))
		}
		more, err := parse(encoded)
		if err != nil {
			return nil, f.broken(file, doc.line, err.Error())
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

// parse returns the object that is encoded, or the objects if it is a list as
// kubectl prints it. Its errors do not quote, since it may be a Secret.
func parse(encoded []byte) ([]*unstructured.Unstructured, error) {
	if string(encoded) == "null" {
		return nil, nil
	}
	var content map[string]any
	if utiljson.Unmarshal(encoded, &content) != nil {
		return nil, errors.New("it is not an object; begin with apiVersion and kind")
	}
	object := &unstructured.Unstructured{Object: content}
	if object.GetAPIVersion() == "" || object.GetKind() == "" {
		return nil, errors.New("it has no apiVersion or no kind; add them")
	}
	if object.IsList() {
		var objects []*unstructured.Unstructured
		for _, item := range content["items"].([]any) {
			encoded, err := json.Marshal(item)
			if err != nil {
				return nil, err
			}
			more, err := parse(encoded)
			if err != nil {
				return nil, err
			}
			objects = append(objects, more...)
		}
		return objects, nil
	}
	if err := checkMetadata(content); err != nil {
		return nil, err
	}
	foldStringData(object)
	hash := sha256.Sum256(encoded)
	object.SetResourceVersion(hex.EncodeToString(hash[:16]))
	return []*unstructured.Unstructured{object}, nil
}

// broken is the error for a file that people have to correct. A line of 0 is not
// named.
func (f *Folder) broken(file string, line int, what string) error {
	if line > 0 && !strings.HasPrefix(what, "line ") {
		what = fmt.Sprintf("line %d: %s", line, what)
	}
	return fmt.Errorf("the platform file %s cannot be used: %s", f.at(file), what)
}

var lineNumber = regexp.MustCompile(`line (\d+): (did not find expected (?:node content|key|'-' indicator|',' or))?`)

// yamlError says what is wrong with a document that begins on the given line of
// its file, in one line and with the numbers of the file's lines.
func yamlError(err error, begin int) string {
	what, isSyntax := strings.CutPrefix(err.Error(), "yaml: ")
	if !isSyntax {
		return "a key is neither text nor a number; quote it" // the error itself quotes values
	}
	what = strings.Join(strings.Fields(strings.TrimPrefix(what, "unmarshal errors:")), " ")
	return lineNumber.ReplaceAllStringFunc(what, func(match string) string {
		groups := lineNumber.FindStringSubmatch(match)
		line, _ := strconv.Atoi(groups[1])
		if groups[2] != "" {
			line++ // errors of the parser proper, unlike all others, count from 0
		}
		return fmt.Sprintf("line %d: %s", line+begin-1, groups[2])
	})
}
