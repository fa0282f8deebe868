package render

import (
	"fmt"
	"slices"
	"strings"

	yttcmd "carvel.dev/ytt/pkg/cmd/template"
	"carvel.dev/ytt/pkg/files"
	"carvel.dev/ytt/pkg/template"
	"carvel.dev/ytt/pkg/template/core"
	"carvel.dev/ytt/pkg/workspace"
	"carvel.dev/ytt/pkg/workspace/datavalues"
	"carvel.dev/ytt/pkg/yamlmeta"
	"carvel.dev/ytt/pkg/yamltemplate"
	"carvel.dev/ytt/pkg/yttlibrary"
	"github.com/k14s/starlark-go/starlark"
)

// compiled are a Promise's own templates with all that ytt does before it looks at
// values, which a run for many clusters then does once. They may load ytt's modules
// and no files; overlays, which may do whatever ytt can, are not among them.
type compiled struct {
	schema    *datavalues.Schema
	merging   *workspace.LibraryExecution // of values into those of the schema
	templates []*template.CompiledTemplate
}

func compile(in []*files.File) (*compiled, error) {
	var options workspace.TemplateLoaderOpts
	factory := workspace.NewLibraryExecutionFactory(silent{}, options, false)
	execution := func(in []*files.File) *workspace.LibraryExecution {
		library := workspace.NewRootLibrary(in)
		return factory.New(workspace.LibraryExecutionContext{Current: library, Root: library})
	}
	c := &compiled{merging: execution(nil)}
	var err error
	if c.schema, _, err = execution(files.NewSortedFiles(slices.Clone(in))).Schemas(nil); err != nil { // which marks where it is
		return nil, err
	}
	for _, f := range in {
		if !f.IsForOutput() {
			continue
		}
		data, err := f.Bytes()
		if err != nil {
			return nil, err
		}
		parsed, err := yamlmeta.NewDocumentSetFromBytes(data, yamlmeta.DocSetOpts{AssociatedName: f.RelativePath()})
		if err != nil {
			return nil, err
		}
		t, err := yamltemplate.NewTemplate(f.RelativePath(), yamltemplate.TemplateOpts{}).Compile(parsed)
		if err != nil {
			return nil, err
		}
		c.templates = append(c.templates, t)
	}
	return c, nil
}

func (c *compiled) evaluate(values []byte) ([]*yamlmeta.Document, error) {
	parsed, err := yamlmeta.NewDocumentSetFromBytes(values, yamlmeta.DocSetOpts{AssociatedName: valuesFile})
	if err != nil {
		return nil, err
	}
	overlay, err := yttcmd.NewDataValuesFile(parsed.Items[0]).AsOverlay()
	if err != nil {
		return nil, err
	}
	envelope, err := datavalues.NewEnvelope(overlay)
	if err != nil {
		return nil, err
	}
	merged, _, err := c.merging.Values([]*datavalues.Envelope{envelope}, c.schema)
	if err != nil {
		return nil, err
	}
	data := yttlibrary.NewDataModule(core.NewGoValueWithOpts(merged.Doc.AsInterface(), core.GoValueOpts{MapIsStruct: true}).AsStarlarkValue(), nil)
	var documents []*yamlmeta.Document
	for _, t := range c.templates {
		modules := yttlibrary.NewAPI(t.TplReplaceNode, data, nil, silent{})
		thread := &starlark.Thread{Load: func(_ *starlark.Thread, name string) (starlark.StringDict, error) {
			module, ok := strings.CutPrefix(name, "@ytt:")
			if !ok {
				return nil, fmt.Errorf("%s is not a module of ytt", name)
			}
			return modules.FindModule(module)
		}}
		_, result, err := t.Eval(thread, template.NewNoopCompiledTemplateLoader(t))
		if err != nil {
			return nil, err
		}
		documents = append(documents, result.(*yamlmeta.DocumentSet).Items...)
	}
	return documents, nil
}
