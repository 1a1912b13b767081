// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"maps"
	"math"
	"slices"
	"sync"

	"fairlead/internal/worker"
	"fairlead/proxier/objects"
)

// Book keeps every problem by who reported it and about which object. Each
// reporter replaces its own entries when it changes its mind, so the cost of a
// change does not depend on how many other problems there are. Safe for
// concurrent use.
type Book struct {
	changed worker.Wake

	mu      sync.Mutex
	entries map[bookEntry][]objects.Problem
	known   map[objects.Problem]int  // reporters that say it
	pending map[objects.Problem]bool // changed since Take; the value is whether it was known then
	byKind  map[string]int
}

type bookEntry struct {
	reporter string
	about    objects.Key
}

// NewBook returns an empty Book.
func NewBook() *Book {
	return &Book{
		changed: worker.NewWake(),
		entries: map[bookEntry][]objects.Problem{}, known: map[objects.Problem]int{}, pending: map[objects.Problem]bool{}, byKind: map[string]int{},
	}
}

// Set replaces the problems that a reporter has with an object; none clears
// them. The slice belongs to the Book afterwards. Of more than objects.MaxProblems the
// first ones are kept.
func (b *Book) Set(reporter string, about objects.Key, problems []objects.Problem) {
	problems = about.Bound(problems)
	at := bookEntry{reporter, about}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.entries[at]
	if slices.Equal(old, problems) {
		return
	}
	if len(problems) == 0 {
		delete(b.entries, at)
	} else {
		b.entries[at] = problems
	}
	for _, p := range problems {
		b.add(p, +1)
	}
	for _, p := range old {
		b.add(p, -1)
	}
	b.changed.Set()
}

// add counts the reporters of a problem.
func (b *Book) add(p objects.Problem, n int) {
	before := b.known[p]
	after := before + n
	if after == 0 {
		delete(b.known, p)
	} else {
		b.known[p] = after
	}
	if (before == 0) == (after == 0) {
		return
	}
	if b.byKind[p.Kind] += n; b.byKind[p.Kind] == 0 {
		delete(b.byKind, p.Kind)
	}
	if was, changed := b.pending[p]; changed && was == (after > 0) {
		delete(b.pending, p) // back to where it was
	} else if !changed {
		b.pending[p] = before > 0
	}
}

// Changed is ready when problems may have changed since Take.
func (b *Book) Changed() <-chan struct{} { return b.changed }

// Take returns the problems that appeared and those that disappeared since it
// was last called, sorted.
func (b *Book) Take() (fresh, gone []objects.Problem) { return b.TakeSome(math.MaxInt) }

// TakeSome is Take for at most n problems, any of them. While some are left, Changed stays
// ready.
func (b *Book) TakeSome(n int) (fresh, gone []objects.Problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.changed:
	default:
	}
	for p, was := range b.pending {
		if len(fresh)+len(gone) == n {
			b.changed.Set()
			break
		}
		delete(b.pending, p)
		if was {
			gone = append(gone, p)
		} else {
			fresh = append(fresh, p)
		}
	}
	slices.SortFunc(fresh, objects.CompareProblems)
	slices.SortFunc(gone, objects.CompareProblems)
	return fresh, gone
}

// Problems returns all problems, each once, sorted.
func (b *Book) Problems() []objects.Problem {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Keys(b.known), objects.CompareProblems)
}

// Counts returns the number of problems by the kind of the object.
func (b *Book) Counts() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.byKind)
}

// NodeReport takes over what is wrong with a node itself, and not with an object:
// about names the part of it, for example a kernel setting. It replaces what was
// last said about that part; no text clears it.
func (b *Book) NodeReport(node, about string, texts []string) {
	problems := make([]objects.Problem, len(texts))
	for i, text := range texts {
		problems[i] = objects.Problem{Kind: objects.KindNode, Name: node, Field: about, Text: text}
	}
	b.Set(about, objects.Key{Kind: objects.KindNode, Name: node}, problems)
}
