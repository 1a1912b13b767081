// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"

	"fairlead/internal/inet"
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
// the objects in the store ask for, and what is wrong with the objects. The addresses
// of this node's tunnels, which no object names, are taken from the table.
func Diff(cfg resolve.Config, s *store.Store, found *ruleset.Snapshot) ([]plan.Mismatch, []objects.Problem) {
	var own []netip.Addr
	for _, f := range inet.Families() {
		for _, p := range found.Ranges[ruleset.Set{Kind: ruleset.VTEPs, Family: f}] {
			own = append(own, p.Addr())
		}
	}
	s.Update(func(tx *store.Tx) { tx.SetTunnelAddrs(own) })
	d := newDesired(&cfg, s)
	d.update()
	return d.state.Mismatches(found), s.Book().Problems()
}
