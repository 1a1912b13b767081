// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package arch_test

import (
	"fmt"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// acyclic lists the packages whose files must not use each other in a ring: a
// reader can then read the files of a package in one order, from the ground up.
func acyclic() []string {
	return []string{"internal/inet", "internal/arch", "internal/worker", "internal/httpd", "conntrack", "proxier/objects", "proxier/convert", "proxier/status", "proxier/resolve", "proxier", "internal/nft", "internal/nl", "overlay", "overlay/kernel", "nat", "nat/ruleset", "nat/plan", "nat/kernel", "nat/apply"}
}

// TestRings finds rings of files by the definitions that the files use, as the
// type checker resolves them.
func TestRings(t *testing.T) {
	var patterns []string
	for _, dir := range acyclic() {
		patterns = append(patterns, "./"+dir)
	}
	found := load(t, patterns...)
	if len(found) != len(patterns) {
		t.Errorf("loaded %d packages for %d patterns", len(found), len(patterns))
	}
	for _, pkg := range found {
		for _, ring := range rings(references(pkg)) {
			t.Errorf("%s: these files use each other in a ring: %s", pkg.PkgPath, strings.Join(ring, ", "))
		}
	}
}

func load(t *testing.T, patterns ...string) []*packages.Package {
	t.Helper()
	found, err := packages.Load(&packages.Config{
		Context: t.Context(), Dir: filepath.Join("..", ".."), Mode: packages.LoadSyntax,
	}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range found {
		for _, err := range pkg.Errors {
			t.Errorf("%s: %v", pkg.PkgPath, err)
		}
	}
	return found
}

// graph maps each file to the files whose definitions it uses, with one
// definition as the reason.
type graph map[string]map[string]string

// references returns who uses whom among the files of a package, without tests.
func references(pkg *packages.Package) graph {
	g := graph{}
	for id, obj := range pkg.TypesInfo.Uses {
		if obj.Pkg() != pkg.Types || !obj.Pos().IsValid() {
			continue
		}
		from := filepath.Base(pkg.Fset.Position(id.Pos()).Filename)
		to := filepath.Base(pkg.Fset.Position(obj.Pos()).Filename)
		if from == to {
			continue
		}
		if g[from] == nil {
			g[from] = map[string]string{}
		}
		g[from][to] = types.ObjectString(obj, types.RelativeTo(pkg.Types))
	}
	return g
}

// rings returns the strongly connected components of more than one file, each
// sorted, by Tarjan's algorithm.
func rings(g graph) [][]string {
	w := walk{g: g, index: map[string]int{}, low: map[string]int{}, on: map[string]bool{}}
	for _, file := range slices.Sorted(maps.Keys(g)) {
		if w.index[file] == 0 {
			w.visit(file)
		}
	}
	return w.found
}

type walk struct {
	g          graph
	next       int
	index, low map[string]int
	on         map[string]bool
	stack      []string
	found      [][]string
}

func (w *walk) visit(file string) {
	w.next++
	w.index[file], w.low[file] = w.next, w.next
	w.stack, w.on[file] = append(w.stack, file), true
	for _, to := range slices.Sorted(maps.Keys(w.g[file])) {
		if w.index[to] == 0 {
			w.visit(to)
			w.low[file] = min(w.low[file], w.low[to])
		} else if w.on[to] {
			w.low[file] = min(w.low[file], w.index[to])
		}
	}
	if w.low[file] != w.index[file] {
		return
	}
	i := slices.Index(w.stack, file)
	ring := slices.Clone(w.stack[i:])
	w.stack = w.stack[:i]
	for _, f := range ring {
		w.on[f] = false
	}
	if len(ring) > 1 {
		w.found = append(w.found, slices.Sorted(slices.Values(ring)))
	}
}

// TestRingsBite makes sure that a ring is found, and a chain is none.
func TestRingsBite(t *testing.T) {
	g := graph{
		"a.go": {"b.go": ""}, "b.go": {"c.go": "", "d.go": ""}, "c.go": {"a.go": ""},
		"d.go": {"e.go": ""}, "f.go": {"a.go": "", "e.go": ""},
	}
	if got, want := fmt.Sprint(rings(g)), "[[a.go b.go c.go]]"; got != want {
		t.Errorf("rings: got %s, want %s", got, want)
	}
}
