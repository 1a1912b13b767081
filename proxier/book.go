// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"maps"
	"slices"
	"sync"
)

// Book keeps every problem by who reported it and about which object. Each
// reporter replaces its own entries when it changes its mind, so the cost of a
// change does not depend on how many other problems there are. Safe for
// concurrent use.
type Book struct {
	changed chan struct{}

	mu      sync.Mutex
	entries map[bookEntry][]Problem
	known   map[Problem]int  // reporters that say it
	pending map[Problem]bool // changed since Take; the value is whether it was known then
	byKind  map[string]int
}

type bookEntry struct {
	reporter string
	about    objectKey
}

// NewBook returns an empty Book.
func NewBook() *Book {
	return &Book{
		changed: make(chan struct{}, 1),
		entries: map[bookEntry][]Problem{}, known: map[Problem]int{}, pending: map[Problem]bool{}, byKind: map[string]int{},
	}
}

// Set replaces the problems that a reporter has with an object; none clears
// them. The slice belongs to the Book afterwards.
func (b *Book) Set(reporter string, about objectKey, problems []Problem) {
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
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// add counts the reporters of a problem.
func (b *Book) add(p Problem, n int) {
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
func (b *Book) Take() (fresh, gone []Problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.changed:
	default:
	}
	for p, was := range b.pending {
		if was {
			gone = append(gone, p)
		} else {
			fresh = append(fresh, p)
		}
	}
	clear(b.pending)
	slices.SortFunc(fresh, compareProblems)
	slices.SortFunc(gone, compareProblems)
	return fresh, gone
}

// Problems returns all problems, each once, sorted.
func (b *Book) Problems() []Problem {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Keys(b.known), compareProblems)
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
	problems := make([]Problem, len(texts))
	for i, text := range texts {
		problems[i] = Problem{Kind: kindNode, Name: node, Field: about, Text: text}
	}
	b.Set(about, objectKey{kindNode, node}, problems)
}
