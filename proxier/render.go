// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// Render returns the table that the objects in the store ask for, in nft's
// language, and what is wrong with the objects. It needs no kernel.
func Render(cfg resolve.Config, store *store.Store) (string, []objects.Problem) {
	d := newDesired(&cfg, store)
	d.update()
	return d.state.Text(), store.Book().Problems()
}

// Diff returns how the table that was read from the kernel differs from the one that
// the objects in the store ask for, and what is wrong with the objects.
func Diff(cfg resolve.Config, s *store.Store, found *ruleset.Snapshot) ([]plan.Mismatch, []objects.Problem) {
	w := NewWanted(cfg, s, found)
	problems := w.Problems()
	return w.Mismatches(found), problems
}
