// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// slotCounts is how many backends each map holds. Zeros have no entry.
type slotCounts map[ruleset.Set]int

// add counts all backends of the frontend at key, and those on this node.
func (c slotCounts) add(key inet.Addr, all, locals int) {
	c.addTo(ruleset.BackendsOf(key), all)
	c.addTo(ruleset.LocalsOf(key), locals)
}

func (c slotCounts) addTo(set ruleset.Set, n int) {
	if n == 0 {
		return
	}
	if c[set] += n; c[set] == 0 {
		delete(c, set)
	}
}
