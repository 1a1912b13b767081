// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// TestArrangements keeps the arrangements of a bounded number of large frontends, and uses one as
// long as the same backends are wanted, of either list.
func TestArrangements(t *testing.T) {
	const n = 2 * mostAtOnce
	pods := outsidePods(n)
	have := make([]slot, n)
	for i := range have {
		have[i] = slotOf(pods[n-1-i].AddrPort())
	}
	ports := make([]netip.AddrPort, n)
	for i := range ports {
		ports[i] = pods[i].AddrPort()
	}
	a := arrangements{}
	of := func(i int) listed {
		key := inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}), Port: 80, Proto: inet.TCP}
		return listed{key, ruleset.BackendsOf(key)}
	}
	for i := range 3 * mostArranged {
		a.arrange(of(i), have, &addrs{locals: slices.Clone(ports[1:])})
		if len(a) == 0 || len(a) > mostArranged {
			t.Fatalf("%d arrangements are kept", len(a))
		}
	}
	for name, lists := range map[string][2]addrs{
		"locals":   {{locals: ports[1:]}, {locals: ports[:n-1]}},
		"backends": {{backends: pods[1:]}, {backends: pods[:n-1]}},
		"both":     {{backends: pods[1:]}, {locals: ports[1:]}},
	} {
		key := of(1)
		a.remove(key.frontend)
		if _, kept := a[key]; kept {
			t.Errorf("%s: the arrangement of a removed frontend is kept", name)
		}
		for _, want := range lists {
			to := a.arrange(key, have, &want)
			again := a.arrange(key, nil, &want)
			if to.inOrder != nil || &to.slots[0] != &again.slots[0] {
				t.Fatalf("%s: the same backends are arranged twice", name)
			}
			got := map[netip.AddrPort]bool{}
			for i := range want.len() {
				got[to.at(i).backend()] = true
			}
			for i := range want.len() {
				if !got[want.at(i)] {
					t.Fatalf("%s: %s has no slot", name, want.at(i))
				}
			}
		}
	}
}
