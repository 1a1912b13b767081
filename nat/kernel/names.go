// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"fairlead/nat/ruleset"
)

// name identifies an element by set and key. The key is empty for a set of ranges, which is
// read whole.
type name struct {
	set ruleset.Set
	key string
}

// mostNames is how many elements are read one by one, in some 40 ms. While another program makes
// 1,000 changes a second, a large table is read for several seconds, because each change of a set
// interrupts its listing. What is named meanwhile must be fewer, or the table is read again.
const mostNames = 16384

// names collects elements that may have changed. It is safe for concurrent use.
type names struct {
	mu   sync.Mutex
	all  map[name]struct{}
	over bool // some are missing
}

func (n *names) add(set ruleset.Set, key []byte) {
	if set.Spec().IsInterval() {
		key = nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[name]struct{}{}
	}
	n.all[name{set, string(key)}] = struct{}{}
	if len(n.all) > mostNames {
		n.all, n.over = nil, true
	}
}

// take returns the elements since the last call, sorted, and whether these are all.
func (n *names) take() ([]name, bool) {
	n.mu.Lock()
	all, over := n.all, n.over
	n.all, n.over = nil, false
	n.mu.Unlock()
	return slices.SortedFunc(maps.Keys(all), func(a, b name) int {
		return cmp.Or(ruleset.CompareSets(a.set, b.set), strings.Compare(a.key, b.key))
	}), !over
}

// lose makes the next take report that some are missing.
func (n *names) lose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
}
