// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const report = `{"schema_version":"1.3.1","id":"GO-2026-0001","modified":"2026-01-02T03:04:05Z","published":"2026-01-02T03:04:05Z",
"aliases":["CVE-2026-1"],"summary":"text is not text","database_specific":{"url":"https://pkg.go.dev/vuln/GO-2026-0001"},"affected":[{"package":{"name":"golang.org/x/text","ecosystem":"Go"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"0.3.8"}]}],
"ecosystem_specific":{"imports":[{"path":"golang.org/x/text/language","symbols":["Parse"]}]}}]}`

// TestConvert has govulncheck read a database of one report, and find it in a module
// that calls what is vulnerable.
func TestConvert(t *testing.T) {
	reports, db, module := t.TempDir(), t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(reports, "GO-2026-0001.json"): report,
		filepath.Join(module, "go.mod"):             "module m\n\ngo 1.26.0\n\nrequire golang.org/x/text v0.3.7\n",
		filepath.Join(module, "m.go"):               "package main\n\nimport \"golang.org/x/text/language\"\n\nfunc main() { _, _ = language.Parse(\"de\") }\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := convert(reports, db); err != nil {
		t.Fatal(err)
	}
	tidy := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	tidy.Dir = module
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program := filepath.Join(t.TempDir(), "govulncheck")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "golang.org/x/vuln/cmd/govulncheck").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "-C", module, "-db", "file://"+db, ".").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "GO-2026-0001") || !strings.Contains(string(out), "Fixed in: golang.org/x/text@v0.3.8") {
		t.Errorf("%v: %s", err, out)
	}
	if err := convert(t.TempDir(), db); err == nil {
		t.Error("no reports are accepted")
	}
}
