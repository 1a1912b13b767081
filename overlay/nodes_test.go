// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"net/netip"
	"time"
)

// node returns a dual-stack node by its number.
func node(i int) Node {
	hi, lo := i>>8, i&0xff
	return Node{
		Name:    fmt.Sprintf("node-%d", i),
		Created: time.Unix(int64(i), 0),
		PodCIDRs: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 128+hi, lo)),
			netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%x::/64", i)),
		},
		Underlay: []netip.Addr{
			netip.MustParseAddr(fmt.Sprintf("192.168.%d.%d", 50+hi, lo)),
			netip.MustParseAddr(fmt.Sprintf("fd00:50::%x", i)),
		},
	}
}

func nodes(from, to int) []Node {
	var out []Node
	for i := from; i <= to; i++ {
		out = append(out, node(i))
	}
	return out
}

const uplink = "eth0"
