// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// countExclusive adds n to the number of frontends that want their address to be exclusive.
func (s *State) countExclusive(key inet.Addr, f *nat.Frontend, n int32) {
	if f.Exclusive && !key.IsNodePort() {
		s.members.count(addressMember(ruleset.ClusterIPs, key.IP), n)
	}
}

// countBackend adds n to the number of frontends that want the elements of a backend.
func (s *State) countBackend(b *nat.Backend, cluster []netip.Prefix, n int32) {
	if b.OnNode {
		s.members.count(addressMember(ruleset.Hairpin, b.Addr()), n)
	}
	if !contains(cluster, b.Addr()) {
		s.members.count(addressMember(ruleset.Outside, b.Addr()), n)
	}
}

// countMember adds n to the number of frontends, or others, that want an element.
func (s *State) countMember(e ruleset.Element, n int32) { s.members.count(s.members.of(&e), n) }
