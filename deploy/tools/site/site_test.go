// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package site

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// build makes the site in a new directory and returns that.
func build(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("hugo")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("hugo is not installed: it is in Debian's package of that name")
		}
		t.Skip("hugo is not installed: it is in Debian's package of that name")
	}
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, "--quiet", "--minify", "--cacheDir", t.TempDir(), "-d", out)
	cmd.Dir = "../../site"
	if text, err := cmd.CombinedOutput(); err != nil || len(text) > 0 {
		t.Fatalf("hugo: %v\n%s", err, text)
	}
	return out
}

// page is what other pages may link to, and what it links to itself.
type page struct {
	ids   map[string]bool
	links []string
	menu  []string // links of the element nav
	loads []string // what a browser fetches for it
	h1    int
}

func parse(t *testing.T, text []byte) *page {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{ids: map[string]bool{}}
	for n := range root.Descendants() {
		if n.Data == "h1" {
			p.h1++
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "id":
				p.ids[a.Val] = true
			case a.Key == "href" && n.Data == "a":
				p.links = append(p.links, a.Val)
				if slices.ContainsFunc(slices.Collect(n.Ancestors()), func(a *html.Node) bool { return a.Data == "nav" }) {
					p.menu = append(p.menu, a.Val)
				}
			case a.Key == "href" || a.Key == "src":
				p.loads = append(p.loads, a.Val)
			}
		}
	}
	return p
}

// pages returns all pages by their path below the site, such as /docs/install/.
func pages(t *testing.T, dir string) map[string]*page {
	t.Helper()
	out := map[string]*page{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "index.html" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, filepath.Dir(name))
		out[path.Join("/", filepath.ToSlash(rel))] = parse(t, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLinks builds the site, and follows each link inside of it, to the heading that it
// names. Nothing is loaded from elsewhere.
func TestLinks(t *testing.T) {
	dir := build(t)
	all := pages(t, dir)
	links := 0
	for at, p := range all {
		if p.h1 != 1 && at != "/docs" {
			t.Errorf("%s has %d titles", at, p.h1)
		}
		for _, target := range slices.Concat(p.links, p.loads) {
			u, err := url.Parse(target)
			if err != nil {
				t.Errorf("%s: %v", at, err)
				continue
			}
			if u.Scheme != "" {
				if slices.Contains(p.loads, target) {
					t.Errorf("%s loads %s from elsewhere", at, target)
				}
				continue
			}
			links++
			to := path.Join(at, u.Path)
			if strings.HasPrefix(u.Path, "/") {
				to = u.Path
			}
			if q := all[path.Clean(to)]; q != nil {
				if u.Fragment != "" && !q.ids[u.Fragment] {
					t.Errorf("%s: %s has no heading %q", at, to, u.Fragment)
				}
			} else if s, err := os.Stat(filepath.Join(dir, to)); err != nil || s.IsDir() {
				t.Errorf("%s: there is no %s", at, target)
			}
		}
	}
	if len(all) < 30 || links < 500 {
		t.Errorf("%d pages and %d links", len(all), links)
	}
}

// TestMenu checks that the menu has each page below docs, and that each page has a title
// of its own.
func TestMenu(t *testing.T) {
	dir := build(t)
	home := pages(t, dir)["/"]
	files, err := filepath.Glob("../../../docs/*.md")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".md")
		if !slices.ContainsFunc(home.menu, func(l string) bool { return path.Clean(l) == path.Clean("docs/"+name) }) {
			t.Errorf("the menu lacks %s: add it to deploy/site/hugo.toml", name)
		}
	}
}

// TestSearch checks the index that search.js reads.
func TestSearch(t *testing.T) {
	dir := build(t)
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index []struct{ Title, URL, Text string }
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	titles := map[string]bool{}
	for _, p := range index {
		if _, err := os.Stat(filepath.Join(dir, p.URL, "index.html")); err != nil || p.Title == "" || titles[p.Title] || len(p.Text) < 200 {
			t.Errorf("%s: title %q, %d characters, %v", p.URL, p.Title, len(p.Text), err)
		}
		titles[p.Title] = true
	}
	if len(index) < 30 {
		t.Errorf("%d pages", len(index))
	}
}
