// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"

	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"fairlead/deploy/tools/internal/chart"
	"fairlead/deploy/tools/internal/deps"
	"fairlead/deploy/tools/internal/oci"
)

// epoch is the time of everything in a release: a real one would differ each time.
const epoch = "1970-01-01T00:00:00Z"

// purl returns the package URL of a module: https://github.com/package-url/purl-spec.
func purl(m deps.Module) string {
	if m.Path == deps.StandardLibrary {
		return "pkg:golang/stdlib@" + m.Version
	}
	return "pkg:golang/" + strings.ToLower(m.Path) + "@" + m.Version
}

var notAllowed = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// element returns the SPDX identifier of a package.
func element(name string) common.ElementID {
	return common.ElementID("Package-" + notAllowed.ReplaceAllString(name, "-"))
}

func pkg(name, version, license, url string) *v2_3.Package {
	p := &v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: element(name + "-" + version), PackageVersion: version,
		PackageDownloadLocation: "NOASSERTION", IsFilesAnalyzedTagPresent: true,
		PackageLicenseConcluded: license, PackageLicenseDeclared: license, PackageCopyrightText: "NOASSERTION",
		PackageSupplier: &common.Supplier{Supplier: "NOASSERTION"},
	}
	if url != "" {
		p.PackageExternalReferences = []*v2_3.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: url}}
	}
	return p
}

// sbom writes what the image contains in the format SPDX 2.3.
func (r *release) sbom(context.Context) error {
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      "fairlead-" + r.Version,
		DocumentNamespace: "https://fairlead.invalid/spdx/fairlead-" + r.Version + "-" + strings.TrimPrefix(r.digest, "sha256:"),
		CreationInfo: &v2_3.CreationInfo{Created: epoch, Creators: []common.Creator{
			{CreatorType: "Organization", Creator: "The fairlead authors"}, {CreatorType: "Tool", Creator: "fairlead-release"}}},
	}
	relate := func(a, b common.ElementID, how string) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{RefA: common.MakeDocElementID("", string(a)), RefB: common.MakeDocElementID("", string(b)), Relationship: how})
	}
	image := pkg("fairlead", r.Version, "Apache-2.0", "pkg:oci/fairlead@"+r.digest)
	image.PrimaryPackagePurpose = "CONTAINER"
	image.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: strings.TrimPrefix(r.digest, "sha256:")}}
	doc.Packages = append(doc.Packages, image)
	relate("DOCUMENT", image.PackageSPDXIdentifier, common.TypeRelationshipDescribe)
	for _, m := range r.modules {
		p := pkg(m.Path, m.Version, m.License, purl(m))
		p.PrimaryPackagePurpose = "LIBRARY"
		if m.Path != deps.StandardLibrary {
			p.PackageDownloadLocation = "https://proxy.golang.org/" + escape(m.Path) + "/@v/" + escape(m.Version) + ".zip"
			p.PackageSourceInfo = "go.sum: " + m.Sum
		}
		doc.Packages = append(doc.Packages, p)
		relate(image.PackageSPDXIdentifier, p.PackageSPDXIdentifier, common.TypeRelationshipContains)
	}
	for _, plugin := range oci.Plugins() {
		p := pkg("cni-plugin-"+path.Base(plugin), r.version(plugin), "Apache-2.0", "")
		p.PrimaryPackagePurpose = "APPLICATION"
		doc.Packages = append(doc.Packages, p)
		relate(image.PackageSPDXIdentifier, p.PackageSPDXIdentifier, common.TypeRelationshipContains)
	}
	var b bytes.Buffer
	if err := spdxjson.Write(doc, &b, spdxjson.Indent("  ")); err != nil {
		return fmt.Errorf("write SBOM: %w", err)
	}
	return r.add("fairlead-"+r.Version+".spdx.json", b.Bytes())
}

// version returns that of the module that a package is in.
func (r *release) version(pkg string) string {
	for _, m := range r.modules {
		if strings.HasPrefix(pkg, m.Path+"/") {
			return m.Version
		}
	}
	return ""
}

// escape writes capitals as the module proxy does.
func escape(s string) string {
	return regexp.MustCompile(`[A-Z]`).ReplaceAllStringFunc(s, func(c string) string { return "!" + strings.ToLower(c) })
}

// provenance writes how the files were made, as an in-toto statement of SLSA 1. Nobody
// signs it here; whoever publishes the release does.
func (r *release) provenance() error {
	parameters, err := structpb.NewStruct(map[string]any{
		"version": r.Version, "repository": r.Name, "platforms": strings.Join(r.Platforms, ","), "command": "make release",
	})
	if err != nil {
		return err
	}
	build := &provenancev1.BuildDefinition{BuildType: "https://fairlead.invalid/make-release/v1", ExternalParameters: parameters}
	if r.Revision != "" {
		source := &intoto.ResourceDescriptor{Name: "source", Digest: map[string]string{"gitCommit": r.Revision}}
		if r.Source != "" {
			source.Uri = "git+" + r.Source
		}
		build.ResolvedDependencies = append(build.ResolvedDependencies, source)
	}
	for _, m := range r.modules {
		d := &intoto.ResourceDescriptor{Uri: purl(m)}
		if hash, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(hash) > 0 {
			d.Digest = map[string]string{"dirHash1": hex.EncodeToString(hash)}
		}
		build.ResolvedDependencies = append(build.ResolvedDependencies, d)
	}
	predicate := &provenancev1.Provenance{BuildDefinition: build, RunDetails: &provenancev1.RunDetails{Builder: &provenancev1.Builder{Id: "https://fairlead.invalid/builder/v1"}}}
	if err := predicate.Validate(); err != nil {
		return fmt.Errorf("provenance: %w", err)
	}
	text, err := protojson.Marshal(predicate)
	if err != nil {
		return err
	}
	var body structpb.Struct
	if err := protojson.Unmarshal(text, &body); err != nil {
		return err
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: "https://slsa.dev/provenance/v1", Predicate: &body}
	for _, f := range r.files {
		statement.Subject = append(statement.Subject, &intoto.ResourceDescriptor{Name: f.name, Digest: map[string]string{"sha256": f.sum}})
	}
	statement.Subject = append(statement.Subject, &intoto.ResourceDescriptor{
		Name: r.Name + ":" + chart.Tag(r.Version), Digest: map[string]string{"sha256": strings.TrimPrefix(r.digest, "sha256:")}})
	if err := statement.Validate(); err != nil {
		return fmt.Errorf("provenance: %w", err)
	}
	if text, err = protojson.Marshal(statement); err != nil {
		return err
	}
	// protojson writes spaces at random, on purpose.
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	if text, err = json.MarshalIndent(value, "", "  "); err != nil {
		return err
	}
	return r.add("fairlead-"+r.Version+".intoto.json", append(text, '\n'))
}
