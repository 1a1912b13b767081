// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// markSize is more than the messages that begin and end a transaction take.
const markSize = 64

// entrySize is less than what an entry takes in a message besides its key and data, in bytes.
const entrySize = 40

// laterTries bounds how often entries are written that follow a batch. Meanwhile packets may
// remember the same clients, and then the kernel refuses to do so again.
const laterTries = 3

// postpone takes entries out of a batch that is too large by some bytes, those that expire first
// of the longest list. They follow in transactions of their own. It reports false if there are
// none.
func (t *Table) postpone(b ruleset.Batch, carried map[int][]entry, over int) bool {
	most := -1
	for i, list := range carried {
		if most < 0 || len(list) > len(carried[most]) {
			most = i
		}
	}
	if most < 0 || len(carried[most]) == 0 {
		return false
	}
	list := carried[most]
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(b.expires, a.expires) })
	n := max(len(list)-1-over/(entrySize+len(list[0].key)+len(list[0].data)), 0)
	if t.later == nil {
		t.later = map[ruleset.Set][]entry{}
	}
	set := b[most].Set
	t.later[set] = append(t.later[set], list[n:]...)
	carried[most] = list[:n]
	return true
}

// carryLater writes what postpone left, as far as that goes: a client that is lost gets another
// backend, and all else of the batch is in the kernel.
func (t *Table) carryLater() {
	for set, list := range t.later {
		perEntry := 3*entrySize + len(list[0].key) + len(list[0].data)
		size := max((t.socket.MaxSend()-2*markSize)/perEntry, 1)
		for chunk := range slices.Chunk(list, size) {
			for range laterTries {
				if !t.carryChunk(set, chunk) {
					break
				}
				chunk = t.without(set, chunk)
			}
		}
	}
	t.later = nil
}

// carryChunk writes entries. It reports whether the kernel refused them.
func (t *Table) carryChunk(set ruleset.Set, chunk []entry) (refused bool) {
	if len(chunk) == 0 {
		return false
	}
	var m nl.Messages
	m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	encodeEntries(&m, set, chunk)
	_ = t.transact(&m, func(int, error) { refused = true })
	return refused
}

// without returns the entries whose clients are not remembered yet.
func (t *Table) without(set ruleset.Set, chunk []entry) []entry {
	there := map[string]struct{}{}
	_ = t.eachClient(set, func(el *nft.Element) { there[string(el.Key)] = struct{}{} })
	return slices.DeleteFunc(slices.Clone(chunk), func(e entry) bool {
		_, is := there[e.key]
		return is
	})
}
