// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package arch_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goFile matches a source file that a page names. The page may leave out the first folders.
var goFile = regexp.MustCompile("`([a-z0-9_./-]+\\.go)`")

// TestFiles looks for the source files that the pages name.
func TestFiles(t *testing.T) {
	root := filepath.Join("..", "..")
	var sources, pages []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go"):
			sources = append(sources, "/"+filepath.ToSlash(path))
		case strings.HasSuffix(path, ".md"):
			pages = append(pages, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all, named := strings.Join(sources, "\n")+"\n", 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range goFile.FindAllStringSubmatch(string(text), -1) {
			if named++; !strings.Contains(all, "/"+m[1]+"\n") {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("the pages name only %d files", named)
	}
}
