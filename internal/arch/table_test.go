// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package arch_test

import (
	"bufio"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tablePage holds the table of imports. The page is the one source: people read
// it, and TestTable enforces it.
const tablePage = "docs/architecture.md"

// A row says what the files of one package, without its tests, may import.
type row struct {
	ours, others []string
}

// TestTable compares the imports of every package with its row. A package
// without a row fails, and so does a row without a package and a permission that
// nothing uses, because a permission that is not needed is an invitation.
func TestTable(t *testing.T) {
	root := filepath.Join("..", "..")
	table := readTable(t, filepath.Join(root, tablePage))
	seen := map[string]bool{}
	used := map[string]bool{}
	for dir, imports := range importsBelow(t, root) {
		name := rowOf(table, dir)
		if name == "" {
			t.Errorf("%s has no row in %s", dir, tablePage)
			continue
		}
		seen[name] = true
		for _, imported := range imports {
			allowed := table[name].others
			path, ours := strings.CutPrefix(imported, module+"/")
			if ours {
				allowed = table[name].ours
			}
			i := slices.IndexFunc(allowed, func(p string) bool { return permits(p, path) })
			if i < 0 {
				t.Errorf("%s imports %s, which its row in %s does not permit", dir, imported, tablePage)
				continue
			}
			used[name+" "+allowed[i]] = true
		}
	}
	for name, r := range table {
		if !seen[name] {
			t.Errorf("%s has a row for %s, which does not exist", tablePage, name)
			continue
		}
		for _, p := range slices.Concat(r.ours, r.others) {
			if !used[name+" "+p] {
				t.Errorf("%s permits %s to import %s, which it does not", tablePage, name, p)
			}
		}
	}
}

// permits reports whether a permission covers an import path: "k8s.io/..." is a
// subtree.
func permits(p, path string) bool {
	tree, ok := strings.CutSuffix(p, "/...")
	return p == path || ok && (path == tree || strings.HasPrefix(path, tree+"/"))
}

// rowOf returns the row of a directory: its own, or that of a subtree.
func rowOf(table map[string]row, dir string) string {
	if _, ok := table[dir]; ok {
		return dir
	}
	for name := range table {
		if strings.HasSuffix(name, "/...") && permits(name, dir) {
			return name
		}
	}
	return ""
}

// importsBelow returns what each directory with Go files imports from outside
// the standard library. bench and deploy/tools are modules of their own.
func importsBelow(t *testing.T, root string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); name != root && (err == nil || skipped(entry.Name())) {
			return fs.SkipDir
		}
		dir, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		// Files for every system count.
		ctx := build.Default
		ctx.UseAllFiles = true
		pkg, err := ctx.ImportDir(name, 0)
		if pkg == nil || len(pkg.GoFiles) == 0 {
			return nil //nolint:nilerr // a directory without Go files is no package
		}
		out[filepath.ToSlash(dir)] = slices.DeleteFunc(pkg.Imports, func(p string) bool {
			return !strings.HasPrefix(p, module+"/") && !strings.Contains(strings.SplitN(p, "/", 2)[0], ".")
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readTable reads the rows of the form | `package` | `ours` `ours` | `others` |.
func readTable(t *testing.T, file string) map[string]row {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	table := map[string]row{}
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		cells := strings.Split(lines.Text(), "|")
		if strings.HasPrefix(lines.Text(), "| package | imports of ours |") {
			inside = true
			continue
		}
		if inside = inside && len(cells) >= 5; !inside {
			continue
		}
		r := row{ours: quoted(cells[2]), others: quoted(cells[3])}
		for _, name := range quoted(cells[1]) {
			table[name] = r
		}
	}
	if len(table) < 5 {
		t.Fatalf("found %d rows in %s", len(table), file)
	}
	return table
}

// quoted returns the words between backticks.
func quoted(cell string) []string {
	var out []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			out = append(out, part)
		}
	}
	return out
}
