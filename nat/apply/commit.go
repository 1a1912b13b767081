// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Commit is what a batch did: the number of its operations by their effect, and the
// elements of sets and maps among them.
type Commit struct {
	Adds, Deletes int
	Elements      Elements
}

// Elements counts elements of sets and maps. One that was deleted and added with another
// value in the same batch was changed.
type Elements struct{ Added, Changed, Deleted int }

// Add adds the counts of other.
func (e *Elements) Add(other Elements) {
	e.Added += other.Added
	e.Changed += other.Changed
	e.Deleted += other.Deleted
}

// elementKey is how the kernel tells two elements apart.
type elementKey struct {
	set    ruleset.Set
	addr   inet.Addr
	slot   uint32
	client netip.Prefix
}

// counter counts what batches do. It holds the elements that the present batch deletes, so
// a first start costs nothing here.
type counter map[elementKey]struct{}

// commit counts a batch.
func (c counter) commit(b ruleset.Batch) Commit {
	adds, deletes := b.Counts()
	return Commit{Adds: adds, Deletes: deletes, Elements: c.elements(b)}
}

func (c counter) elements(b ruleset.Batch) Elements {
	var n Elements
	clear(c)
	for i := range b {
		op := &b[i]
		e := &op.Element
		key := elementKey{set: e.Set, addr: e.Key, slot: e.Slot, client: e.Client}
		switch op.Verb {
		case ruleset.DeleteElement:
			n.Deleted++
			if op.Stray == nil {
				c[key] = struct{}{}
			}
		case ruleset.AddElement:
			if _, was := c[key]; !was {
				n.Added++
				continue
			}
			delete(c, key)
			n.Deleted--
			n.Changed++
		}
	}
	return n
}
