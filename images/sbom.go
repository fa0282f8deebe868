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
	ours := &spdx.Supplier{SupplierType: "Organization", Supplier: "Baleen"}
	_, digest, _ := strings.Cut(p.digest, ":")
	image := &spdx.Package{
		PackageSPDXIdentifier:     "Image",
		PackageName:               name,
		PackageVersion:            b.version,
		PackageSupplier:           ours,
		PackageDownloadLocation:   "NOASSERTION",
		PackageHomePage:           homepage,
		PackageLicenseDeclared:    license,
		PackageChecksums:          []spdx.Checksum{{Algorithm: spdx.SHA256, Value: digest}},
		PackageExternalReferences: purl("pkg:oci/" + name + "@sha256%3A" + digest + "?arch=" + p.arch),
		PrimaryPackagePurpose:     "CONTAINER",
	}
	program := &spdx.Package{
		PackageSPDXIdentifier:     "Binary",
		PackageName:               info.Path,
		PackageVersion:            b.version,
		PackageFileName:           "/" + name,
		PackageSupplier:           ours,
		PackageDownloadLocation:   "NOASSERTION",
		PackageHomePage:           homepage,
		PackageLicenseDeclared:    license,
		PackageChecksums:          []spdx.Checksum{{Algorithm: spdx.SHA256, Value: fmt.Sprintf("%x", sha256.Sum256(binary))}},
		PackageExternalReferences: purl(module(info.Main.Path, b.version) + "#cmd/" + name),
		PrimaryPackagePurpose:     "APPLICATION",
	}
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
	relate := func(a spdx.ElementID, how string, to spdx.ElementID) {
		doc.Relationships = append(doc.Relationships, &spdx.Relationship{
			RefA: common.MakeDocElementID("", string(a)), Relationship: how, RefB: common.MakeDocElementID("", string(to)),
		})
	}
	relate("DOCUMENT", spdx.RelationshipDescribes, "Image")
	relate("Image", spdx.RelationshipContains, "Binary")

	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	modules := []*debug.Module{{Path: "stdlib", Version: version}} // the name that scanners know
	for _, m := range append(modules, info.Deps...) {
		if m.Replace != nil {
			m = m.Replace
		}
		dependency := &spdx.Package{
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
			dependency.PackageExternalReferences = append(dependency.PackageExternalReferences,
				&spdx.PackageExternalReference{Category: spdx.CategoryOther, RefType: "go-sum", Locator: m.Sum})
		}
		doc.Packages = append(doc.Packages, dependency)
		relate("Binary", spdx.RelationshipDependsOn, dependency.PackageSPDXIdentifier)
	}

	var out bytes.Buffer
	if err := spdxjson.Write(doc, &out); err != nil {
		return nil, err
	}
	// Another document has another name.
	doc.DocumentNamespace = fmt.Sprintf("%s/spdx/%s-%x", homepage, doc.DocumentName, sha256.Sum256(out.Bytes()))
	out.Reset()
	err = spdxjson.Write(doc, &out, spdxjson.Indent("  "), spdxjson.EscapeHTML(false))
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
