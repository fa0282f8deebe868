// Package render turns values into Kubernetes documents with ytt. Templates and
// the schema of their values are files of a Promise; what a request says reaches
// them as values and never as text, so that no value can become structure.
package render

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"carvel.dev/ytt/pkg/cmd/template"
	"carvel.dev/ytt/pkg/files"
	"carvel.dev/ytt/pkg/orderedmap"
	"carvel.dev/ytt/pkg/yamlmeta"

	"github.com/baleen-platform/baleen/internal/field"
)

// Document is one rendered Kubernetes object.
type Document struct {
	APIVersion, Kind, Namespace, Name string
	// YAML is the object in the order of its template.
	YAML []byte
}

// File returns the document's file name, unique among all documents.
func (d Document) File() string {
	parts := []string{strings.ToLower(d.Kind), d.Namespace, d.Name, "yaml"}
	if d.Namespace == "" {
		parts = slices.Delete(parts, 1, 2)
	}
	return strings.Join(parts, ".")
}

// Templates renders the templates of one Promise with overlays of the platform
// team on top.
type Templates struct {
	own      []*files.File
	overlays []*files.File
	compiled func() (*compiled, error) // own, once
}

// New reads all templates of a folder. Overlays are ytt files by name; they are
// applied in the order of their names and may change, add and remove documents.
func New(templates fs.FS, overlays map[string]string) (Templates, error) {
	var t Templates
	err := fs.WalkDir(templates, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(templates, path)
		if err != nil {
			return err
		}
		t.own = append(t.own, file("templates/"+path, data))
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(overlays)) {
		if !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".star") { // ytt would pass over it in silence
			return t, fmt.Errorf("the overlay %s of the platform team has a name that does not end in .yaml (or .star for a library): rename the key", field.Quote(name))
		}
		t.overlays = append(t.overlays, file("overlays/"+name, []byte(overlays[name])))
	}
	t.compiled = sync.OnceValues(func() (*compiled, error) { return compile(t.own) })
	return t, err
}

func file(path string, data []byte) *files.File {
	return files.MustNewFileFromSource(files.NewBytesSource(path, data))
}

// Render renders the templates with values, which must encode as JSON. It
// returns the documents in the order of their files' names.
func (t Templates) Render(values any) ([]Document, error) {
	data, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	if err := check(data); err != nil {
		return nil, err
	}
	documents, err := evaluate(data, t.whole)
	if err != nil && len(t.overlays) > 0 {
		if _, without := evaluate(data, t.alone); without == nil {
			return nil, fmt.Errorf("the overlays of the platform team do not apply: %w", oneLine(err))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the templates do not render: %w", oneLine(err))
	}
	return documents, nil
}

// whole evaluates the templates with the overlays on top.
func (t Templates) whole(values []byte) ([]*yamlmeta.Document, error) {
	if len(t.overlays) == 0 {
		return t.alone(values)
	}
	options := template.NewOptions()
	options.DataValuesFlags.FromFiles = []string{"request"}
	options.DataValuesFlags.ReadFilesFunc = func(string) ([]*files.File, error) {
		return []*files.File{file(valuesFile, values)}, nil
	}
	// ytt marks files while it works on them, so each evaluation has its own list.
	out := options.RunWithFiles(template.Input{Files: files.NewSortedFiles(slices.Concat(t.own, t.overlays))}, silent{})
	if out.Err != nil {
		return nil, out.Err
	}
	return out.DocSet.Items, nil
}

// valuesFile is how ytt calls the values in its errors.
const valuesFile = "request.json"

// alone evaluates the templates without overlays.
func (t Templates) alone(values []byte) ([]*yamlmeta.Document, error) {
	c, err := t.compiled()
	if err != nil {
		return nil, err
	}
	return c.evaluate(values)
}

// one evaluates at a time: ytt has variables of its packages that each evaluation
// sets.
var one sync.Mutex

func evaluate(values []byte, with func([]byte) ([]*yamlmeta.Document, error)) (documents []Document, err error) {
	one.Lock()
	defer one.Unlock()
	defer func() {
		if r := recover(); r != nil { // ytt panics on some overlays
			err = fmt.Errorf("ytt stopped: %v", r)
		}
	}()
	items, err := with(values)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, item := range items {
		d, err := document(item)
		if err != nil {
			return nil, err
		}
		if d.Kind == "" {
			continue // a template whose condition did not hold leaves an empty document
		}
		if seen[d.File()] {
			return nil, fmt.Errorf("%s %s is there twice", d.Kind, d.Name)
		}
		seen[d.File()] = true
		documents = append(documents, d)
	}
	slices.SortFunc(documents, func(a, b Document) int { return strings.Compare(a.File(), b.File()) })
	return documents, nil
}

func document(item *yamlmeta.Document) (Document, error) {
	if item.IsEmpty() {
		return Document{}, nil
	}
	object, ok := item.AsInterface().(*orderedmap.Map)
	if !ok {
		return Document{}, fmt.Errorf("a document is not a Kubernetes object")
	}
	get := func(m *orderedmap.Map, key string) any { v, _ := m.Get(key); return v }
	text := func(m *orderedmap.Map, key string) string { s, _ := get(m, key).(string); return s }
	metadata, ok := get(object, "metadata").(*orderedmap.Map)
	if !ok {
		metadata = orderedmap.NewMap()
	}
	data, err := item.AsYAMLBytes()
	if err != nil {
		return Document{}, err
	}
	d := Document{
		APIVersion: text(object, "apiVersion"), Kind: text(object, "kind"),
		Namespace: text(metadata, "namespace"), Name: text(metadata, "name"), YAML: data,
	}
	var p field.Problems
	p.DNSSubdomain("metadata.name", d.Name)
	if d.Namespace != "" {
		p.DNSLabel("metadata.namespace", d.Namespace)
	}
	if d.APIVersion == "" || d.Kind == "" || strings.ContainsAny(d.Kind, "/. \n") {
		p.Addf("apiVersion %s and kind %s do not name a kind", field.Quote(d.APIVersion), field.Quote(d.Kind))
	}
	if err := p.Err(); err != nil {
		return d, fmt.Errorf("a document is not a Kubernetes object: %w", err)
	}
	return d, nil
}

// check refuses what would not come out of ytt as it went in. It turns U+0085
// into a space, and its YAML cannot hold other control characters.
func check(values []byte) error {
	var walk func(v any) error
	walk = func(v any) error {
		switch v := v.(type) {
		case string:
			for _, r := range v {
				if r == 0x7f || 0x80 <= r && r <= 0x9f || r < ' ' && r != '\t' && r != '\n' || r == 0xfffe || r == 0xffff || r == 0xfeff || r == 0x2028 || r == 0x2029 {
					return fmt.Errorf("the value %s contains the control character U+%04X: leave it out", field.Quote(v), r)
				}
			}
		case []any:
			for _, e := range v {
				if err := walk(e); err != nil {
					return err
				}
			}
		case map[string]any:
			for k, e := range v {
				if err := walk(k); err != nil {
					return err
				}
				if err := walk(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
	var v any
	if err := json.Unmarshal(values, &v); err != nil {
		return err
	}
	return walk(v)
}

// oneLine makes a ytt error, which draws pictures over many lines, fit into a
// status.
func oneLine(err error) error {
	const most = 400
	text := []rune(strings.Join(strings.Fields(err.Error()), " "))
	if len(text) > most {
		text = append(text[:most], '…')
	}
	return fmt.Errorf("%s", string(text))
}

// silent keeps ytt from writing anywhere: stdout and stderr are not its own.
type silent struct{}

func (silent) Printf(string, ...any)  {}
func (silent) Debugf(string, ...any)  {}
func (silent) Warnf(string, ...any)   {}
func (silent) DebugWriter() io.Writer { return io.Discard }
