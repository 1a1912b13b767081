// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/netip"
)

// The lab's address plan. See the picture in the package comment.
var (
	underlayRouter4 = netip.MustParsePrefix("192.168.50.254/24")
	underlayRouter6 = netip.MustParsePrefix("fd00:50::fffe/64")
	outsideRouter4  = netip.MustParsePrefix("198.51.100.254/24")
	outsideRouter6  = netip.MustParsePrefix("2001:db8:100::fffe/64")
	outside4        = netip.MustParsePrefix("198.51.100.10/24")
	outside6        = netip.MustParsePrefix("2001:db8:100::10/64")
)

// ClusterCIDRs returns the ranges that hold the pod CIDRs of all nodes.
func (c Config) ClusterCIDRs() []netip.Prefix {
	return c.families(netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/48"))
}

// families returns the IPv4 prefix and, in a dual-stack lab, the IPv6 prefix.
func (c Config) families(v4, v6 netip.Prefix) []netip.Prefix {
	if c.IPv6 {
		return []netip.Prefix{v4, v6}
	}
	return []netip.Prefix{v4}
}

// nodePrefixes returns the addresses of a node, with the length of its subnet.
func (c Config) nodePrefixes(n int) (v4, v6 netip.Prefix) {
	if c.Subnets {
		return netip.MustParsePrefix(fmt.Sprintf("192.168.%d.10/24", n)), netip.MustParsePrefix(fmt.Sprintf("fd00:50:%x::10/64", n))
	}
	return netip.MustParsePrefix(fmt.Sprintf("192.168.50.%d/24", n)), netip.MustParsePrefix(fmt.Sprintf("fd00:50::%x/64", n))
}

// routers returns the addresses of a node's router.
func (c Config) routers(n int) (v4, v6 netip.Prefix) {
	if c.Subnets {
		return netip.MustParsePrefix(fmt.Sprintf("192.168.%d.254/24", n)), netip.MustParsePrefix(fmt.Sprintf("fd00:50:%x::fffe/64", n))
	}
	return underlayRouter4, underlayRouter6
}

func podCIDRs(n int) (v4, v6 netip.Prefix) {
	return netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", n)), netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%x::/64", n))
}

// nth returns the i-th address of p, which must leave its last byte to hosts.
func nth(p netip.Prefix, i int) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] = byte(i)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// single returns the prefix that holds a alone.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// anywhere returns the default destination of a's family.
func anywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
