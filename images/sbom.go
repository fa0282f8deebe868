package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

// sbom lists what one image is made of, as SPDX 2.3: the image contains the
// binary, and the binary depends on the modules that it says it was built from.
func (b builder) sbom(name string, p platform, binary []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, err
	}
	program := b.ours(info.Path, fmt.Sprintf("%x", sha256.Sum256(binary)), module(info.Main.Path, b.version)+"#cmd/"+name)
	program.PackageSPDXIdentifier, program.PackageFileName, program.PrimaryPackagePurpose = "Binary", "/"+name, "APPLICATION"
	_, digest, _ := strings.Cut(p.digest, ":")
	image := b.ours(name, digest, "pkg:oci/"+name+"@sha256%3A"+digest+"?arch="+p.arch)
	image.PackageSPDXIdentifier, image.PrimaryPackagePurpose = "Image", "CONTAINER"
	doc := &spdx.Document{
		SPDXVersion:    spdx.Version,
		DataLicense:    spdx.DataLicense,
		SPDXIdentifier: "DOCUMENT",
		DocumentName:   name + "-linux-" + p.arch,
		CreationInfo: &spdx.CreationInfo{
			Creators: []spdx.Creator{{CreatorType: "Tool", Creator: project + "/images"}},
			Created:  b.created.Format(time.RFC3339),
		},
		Packages: []*spdx.Package{image, program},
	}
	relate(doc, "DOCUMENT", spdx.RelationshipDescribes, "Image")
	relate(doc, "Image", spdx.RelationshipContains, "Binary")
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	modules := []*debug.Module{{Path: "stdlib", Version: version}} // the name that scanners know
	for _, m := range append(modules, info.Deps...) {
		d := dependency(m)
		doc.Packages = append(doc.Packages, d)
		relate(doc, "Binary", spdx.RelationshipDependsOn, d.PackageSPDXIdentifier)
	}
	return encode(doc)
}

// ours is a package of Baleen's own.
func (b builder) ours(name, digest, url string) *spdx.Package {
	return &spdx.Package{
		PackageName:               name,
		PackageVersion:            b.version,
		PackageSupplier:           &spdx.Supplier{SupplierType: "Organization", Supplier: "Baleen"},
		PackageDownloadLocation:   "NOASSERTION",
		PackageHomePage:           homepage,
		PackageLicenseDeclared:    license,
		PackageChecksums:          []spdx.Checksum{{Algorithm: spdx.SHA256, Value: digest}},
		PackageExternalReferences: purl(url),
	}
}

// dependency is a module that a binary was built from.
func dependency(m *debug.Module) *spdx.Package {
	if m.Replace != nil {
		m = m.Replace
	}
	d := &spdx.Package{
		PackageSPDXIdentifier:     identifier(m.Path),
		PackageName:               m.Path,
		PackageVersion:            m.Version,
		PackageSupplier:           &spdx.Supplier{Supplier: "NOASSERTION"},
		PackageDownloadLocation:   "NOASSERTION",
		PackageLicenseDeclared:    "NOASSERTION",
		PackageExternalReferences: purl(module(m.Path, m.Version)),
		PrimaryPackagePurpose:     "LIBRARY",
	}
	if m.Sum != "" {
		// Not a checksum of any file that one could download, so not where SPDX
		// has those: it is the one of go.sum.
		d.PackageExternalReferences = append(d.PackageExternalReferences,
			&spdx.PackageExternalReference{Category: spdx.CategoryOther, RefType: "go-sum", Locator: m.Sum})
	}
	return d
}

func relate(doc *spdx.Document, a spdx.ElementID, how string, to spdx.ElementID) {
	doc.Relationships = append(doc.Relationships, &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(a)), Relationship: how, RefB: common.MakeDocElementID("", string(to)),
	})
}

// encode writes a document. Another document has another name.
func encode(doc *spdx.Document) ([]byte, error) {
	var out bytes.Buffer
	if err := spdxjson.Write(doc, &out); err != nil {
		return nil, err
	}
	doc.DocumentNamespace = fmt.Sprintf("%s/spdx/%s-%x", homepage, doc.DocumentName, sha256.Sum256(out.Bytes()))
	out.Reset()
	err := spdxjson.Write(doc, &out, spdxjson.Indent("  "), spdxjson.EscapeHTML(false))
	return out.Bytes(), err
}

// module is a Go module as a package URL.
func module(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}

func purl(url string) []*spdx.PackageExternalReference {
	return []*spdx.PackageExternalReference{{
		Category: spdx.CategoryPackageManager, RefType: spdx.PackageManagerPURL, Locator: url,
	}}
}

var notInIdentifiers = regexp.MustCompile(`[^a-zA-Z0-9.]+`)

// identifier is one that no other module has, even where only signs differ.
func identifier(path string) spdx.ElementID {
	return spdx.ElementID(fmt.Sprintf("Module-%s-%.4x", notInIdentifiers.ReplaceAllString(path, "-"), sha256.Sum256([]byte(path))))
}
