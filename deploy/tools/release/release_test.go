// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"google.golang.org/protobuf/encoding/protojson"

	"fairlead/deploy/tools/internal/chart"
	"fairlead/deploy/tools/internal/oci"
)

const root = "../../.."

// copyTree copies what is in the repository to another directory, whose path must not
// matter.
func copyTree(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	list, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "elsewhere")
	for name := range strings.SplitSeq(strings.Trim(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not yet committed
		}
		target := filepath.Join(to, name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestTwice makes a release twice, from two directories and into two directories, and
// compares every byte. Then it looks at what there is.
func TestTwice(t *testing.T) {
	var dirs [2]string
	for i, from := range []string{root, copyTree(t)} {
		dirs[i] = t.TempDir()
		o := options{dir: dirs[i], Options: oci.Options{
			Root: from, Version: "v0.1.0-rc.7", Name: "registry.example/fairlead", Revision: "0123456789abcdef0123456789abcdef01234567",
			Source: "https://git.example/fairlead", Platforms: []string{"linux/" + runtime.GOARCH}}}
		if err := run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	files := [2]map[string][]byte{read(t, dirs[0]), read(t, dirs[1])}
	for name, a := range files[0] {
		if b, ok := files[1][name]; !ok || !bytes.Equal(a, b) {
			t.Errorf("%s is not the same twice", name)
		}
	}
	if len(files[0]) != 9 || len(files[1]) != 9 {
		t.Errorf("%d and %d files, want 9", len(files[0]), len(files[1]))
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dirs[0]
	if out, err := check.CombinedOutput(); err != nil || strings.Count(string(out), ": OK") != 8 {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	checkImages(t, files[0])
	checkSBOM(t, files[0]["fairlead-v0.1.0-rc.7.spdx.json"])
	checkProvenance(t, files[0]["fairlead-v0.1.0-rc.7.intoto.json"], files[0]["SHA256SUMS"])
}

func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		content, readErr := os.ReadFile(filepath.Join(dir, e.Name()))
		out[e.Name()], err = content, errors.Join(err, readErr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var pinned = regexp.MustCompile(`image: registry\.example/fairlead@(sha256:[0-9a-f]{64})\n`)

// checkImages checks that the manifests and the packed chart name the image that the
// provenance names, by its digest.
func checkImages(t *testing.T, files map[string][]byte) {
	t.Helper()
	m := pinned.FindSubmatch(files["fairlead-network.yaml"])
	if m == nil || !bytes.Contains(files["fairlead-proxy.yaml"], m[0]) {
		t.Fatalf("manifests do not pin one image:\n%s", files["fairlead-network.yaml"])
	}
	digest := string(m[1])
	if !strings.Contains(string(files["fairlead-v0.1.0-rc.7.intoto.json"]), strings.TrimPrefix(digest, "sha256:")) {
		t.Error("the provenance does not have the image")
	}
	dir := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "-xz")
	unpack.Dir, unpack.Stdin = dir, bytes.NewReader(files["fairlead-0.1.0-rc.7.tgz"])
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := chart.Load(filepath.Join(dir, "fairlead"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Render(map[string]any{"image": map[string]any{"repository": "registry.example/fairlead"}}, chart.Release{})
	if err != nil || !bytes.Contains(text, m[0]) || c.AppVersion() != "v0.1.0-rc.7" {
		t.Errorf("the chart of %s: %v\n%s", c.AppVersion(), err, text)
	}
}

// checkSBOM reads the SBOM back, and compares its modules with those that the agent
// itself was linked with.
func checkSBOM(t *testing.T, text []byte) {
	t.Helper()
	doc, err := spdxjson.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	have := map[string]*v2_3.Package{}
	for _, p := range doc.Packages {
		if id := string(p.PackageSPDXIdentifier); ids[id] || !regexp.MustCompile(`^[A-Za-z0-9.-]+$`).MatchString(id) {
			t.Errorf("identifier %q is taken or malformed", id)
		} else {
			ids[id] = true
		}
		if p.PackageLicenseConcluded == "" || p.FilesAnalyzed {
			t.Errorf("package %s: %+v", p.PackageName, p)
		}
		have[p.PackageName+"@"+p.PackageVersion] = p
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}", "./cmd/fairlead")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := slices.Compact(slices.Sorted(strings.FieldsSeq(string(out))))
	for _, m := range modules {
		if p := have[m]; p == nil || !strings.HasPrefix(p.PackageSourceInfo, "go.sum: h1:") {
			t.Errorf("module %s: %+v", m, p)
		}
	}
	if len(modules) < 40 || have["fairlead@v0.1.0-rc.7"] == nil {
		t.Errorf("%d modules", len(modules))
	}
}

// checkProvenance reads the statement with the types of in-toto, which refuse unknown fields, and
// compares its subjects with the checksums.
func checkProvenance(t *testing.T, text, sums []byte) {
	t.Helper()
	statement, predicate := readProvenance(t, text)
	if len(statement.GetSubject()) != 8 {
		t.Errorf("%d subjects, want 8", len(statement.GetSubject()))
	}
	for _, s := range statement.GetSubject()[:7] { // the eighth is the image in its registry
		if line := s.GetDigest()["sha256"] + "  " + s.GetName() + "\n"; !bytes.Contains(sums, []byte(line)) {
			t.Errorf("SHA256SUMS lacks %q", line)
		}
	}
	source := predicate.GetBuildDefinition().GetResolvedDependencies()[0]
	if source.GetUri() != "git+https://git.example/fairlead" || source.GetDigest()["gitCommit"] == "" {
		t.Errorf("source: %v", source)
	}
}

func readProvenance(t *testing.T, text []byte) (*intoto.Statement, *provenancev1.Provenance) {
	t.Helper()
	statement, predicate := &intoto.Statement{}, &provenancev1.Provenance{}
	if err := protojson.Unmarshal(text, statement); err != nil {
		t.Fatal(err)
	}
	if err := statement.Validate(); err != nil || statement.GetPredicateType() != "https://slsa.dev/provenance/v1" {
		t.Errorf("statement of type %q: %v", statement.GetPredicateType(), err)
	}
	body, err := protojson.Marshal(statement.GetPredicate())
	if err == nil {
		err = protojson.Unmarshal(body, predicate)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := predicate.Validate(); err != nil {
		t.Error(err)
	}
	return statement, predicate
}

// TestProvenanceWithoutSource makes a release without the address of its source: the statement
// names the commit, and no address that leads nowhere.
func TestProvenanceWithoutSource(t *testing.T) {
	r := &release{digest: "sha256:" + strings.Repeat("0", 64)}
	r.dir, r.Version, r.Name, r.Revision = t.TempDir(), "v0.1.0", "registry.example/fairlead", strings.Repeat("1", 40)
	if err := r.provenance(); err != nil {
		t.Fatal(err)
	}
	_, predicate := readProvenance(t, read(t, r.dir)["fairlead-v0.1.0.intoto.json"])
	source := predicate.GetBuildDefinition().GetResolvedDependencies()[0]
	if source.GetUri() != "" || source.GetDigest()["gitCommit"] != r.Revision {
		t.Errorf("source: %v", source)
	}
}

func TestRefusedVersions(t *testing.T) {
	for version, want := range map[string]string{
		"":           "is not like v1.2.3",
		"0.1.0":      "is not like v1.2.3",
		"v0.1":       "is not like v1.2.3",
		"v9.9.9":     "has to be v9.9.9",
		"v9.9.9-rc1": "has to be v9.9.9",
	} {
		err := run(t.Context(), options{dir: t.TempDir(), Options: oci.Options{Root: root, Version: version}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", version, err, want)
		}
	}
}

func TestChangelog(t *testing.T) {
	const text = "# Changelog\n\n## Unreleased\n\n- new\n\n## 1.2.0 - 2026-01-02\n\n### Added\n\n- a\n\n## [1.1.0]\n\n- b\n"
	for version, want := range map[string]string{"Unreleased": "- new\n", "1.2.0": "### Added\n\n- a\n", "1.1.0": "- b\n"} {
		if got, ok := changelog(text, version); !ok || got != want {
			t.Errorf("%s: %v, %s", version, ok, cmp.Diff(want, got))
		}
	}
	if _, ok := changelog(text, "1.2"); ok {
		t.Error("1.2 is found")
	}
}
