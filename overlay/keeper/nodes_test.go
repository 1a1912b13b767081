// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"fmt"
	"net/netip"
	"time"

	"fairlead/internal/inet"
	"fairlead/overlay"
)

// node returns a dual-stack node by its number.
func node(i int) overlay.Node {
	hi, lo := i>>8, i&0xff
	n := overlay.Node{Name: fmt.Sprintf("node-%d", i), Created: time.Unix(int64(i), 0)}
	n.PodCIDRs = []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 128+hi, lo)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%x::/64", i)),
	}
	n.Underlay = addrs(fmt.Sprintf("192.168.%d.%d", 50+hi, lo), fmt.Sprintf("fd00:50::%x", i))
	return n
}

func nodes(from, to int) []overlay.Node {
	var out []overlay.Node
	for i := from; i <= to; i++ {
		out = append(out, node(i))
	}
	return out
}

func addrs(all ...string) []netip.Addr {
	out := make([]netip.Addr, len(all))
	for i, a := range all {
		out[i] = netip.MustParseAddr(a)
	}
	return out
}

func mac(name string, f inet.Family) overlay.MAC {
	n := overlay.Node{Name: name}
	return n.VTEP(f)
}
