// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fairlead/nat/ruleset"
)

// buffers are memory that one step after the other uses. To write everything takes
// hundreds of steps, and an operation has some 180 bytes.
type buffers struct {
	batch      ruleset.Batch
	members    map[member]struct{}
	dels, adds []ruleset.Op // of one frontend, or of members
	large      bool         // members had more than mostSmall entries
}

// mostKept bounds, in operations, what stays when a step is over: some hundred KiB.
const mostKept = 2 * ruleset.DefaultLimit

// keep takes the memory of an acknowledged step.
func (b *buffers) keep(step *Step) {
	b.batch, b.members = emptied(step.Batch), step.members
	if len(step.members) > mostKept {
		b.members = nil // a map never shrinks
	}
	b.large = b.large || len(b.members) > mostSmall
	clear(b.members)
	step.Batch, step.members = nil, nil
}

// rest keeps what a small change needs, because nothing is pending. What a large one needed is
// a MB.
func (b *buffers) rest() {
	if cap(b.batch) > mostSmall {
		b.batch = nil
	}
	if cap(b.dels) > mostSmall || cap(b.adds) > mostSmall {
		b.dels, b.adds = nil, nil
	}
	if b.large {
		b.members, b.large = nil, false
	}
}

// fill gives a step the memory of an earlier one.
func (b *buffers) fill(step *Step) *Step {
	step.Batch, step.members = b.batch, b.members
	b.batch, b.members = nil, nil
	return step
}

// takeOps returns empty lists. giveOps takes them back when they were copied.
func (b *buffers) takeOps() (dels, adds []ruleset.Op) {
	dels, adds = b.dels, b.adds
	b.dels, b.adds = nil, nil
	return dels, adds
}

func (b *buffers) giveOps(dels, adds []ruleset.Op) { b.dels, b.adds = emptied(dels), emptied(adds) }

// emptied returns the memory of a list, which then refers to nothing, or nil where it is
// large.
func emptied[L ~[]ruleset.Op](list L) L {
	if cap(list) > 4*mostKept {
		return nil
	}
	clear(list)
	return list[:0]
}
