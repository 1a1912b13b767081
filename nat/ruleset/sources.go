// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// sourceRules drop packets with a forged source or destination before any other
// chain sees them.
//
// A pod may send with its own addresses only: those that the kernel routes to the
// interface that the packet came by. On a bridge these are the addresses of all pods
// of the node.
//
// The kernel itself drops IPv4 packets from or to 127.0.0.0/8 that arrive on a wire,
// unless route_localnet is set on the device. The rules do the same for every device,
// so that serving loopback addresses exposes nothing (CVE-2020-8558). In IPv6 the kernel
// drops them always (ip6_rcv_core).
func sourceRules(s *nat.Settings) []rule {
	var rules []rule
	if s.ServesLoopback() {
		for _, source := range []bool{false, true} {
			text, match := loopback(inet.IPv4, expr.CmpOpEq, source)
			rules = append(rules, newRule("iif != \"lo\" "+text+" drop",
				notByLoopback(expr.MetaKeyIIF), onlyFamily(inet.IPv4), match, drop()))
		}
	}
	for _, name := range s.CheckedInterfaces {
		rules = append(rules, newRule(fmt.Sprintf("iifname %q fib saddr . iif oif missing counter packets 0 bytes 0 drop", name),
			interfaceName(expr.CmpOpEq, interfacePattern(name)), noRouteBack(), one(&expr.Counter{}), drop()))
	}
	return rules
}

func allowedChain(f inet.Family) string { return "allowed" + string(f.Digit()) }

// allowedChains return clients to a restricted frontend whose address is in one of its
// source ranges, and drop all others. Each prefix length in use costs a lookup, for the
// first packet of a connection to a restricted frontend. Longer prefixes, which are more
// common, come first.
func allowedChains(sources []Set) []Chain {
	var out []Chain
	for _, f := range inet.Families() {
		var rules []rule
		for _, set := range slices.Backward(slices.SortedFunc(slices.Values(sources), CompareSets)) {
			if set.Kind == Sources && set.Family == f {
				rules = append(rules, allowedRule(set))
			}
		}
		out = append(out, Chain{Name: allowedChain(f), Rules: append(rules, newRule("drop", drop()))})
	}
	return out
}

func allowedRule(set Set) rule {
	f, bits := set.Family, int(set.Number)
	load, client := dialled(f, false)
	text, parts := "", saddr(f, client)
	if n := f.Unspecified().BitLen(); bits < n {
		ones := netip.AddrFrom16([16]byte(slices.Repeat([]byte{0xff}, 16)))
		if f == inet.IPv4 {
			ones = netip.AddrFrom4([4]byte{255, 255, 255, 255})
		}
		mask := netip.PrefixFrom(ones, bits).Masked().Addr()
		text = " & " + mask.String()
		parts = append(parts, &expr.Bitwise{
			SourceRegister: client, DestRegister: client, Len: uint32(n / 8), Mask: mask.AsSlice(), Xor: make([]byte, n/8),
		})
	}
	return newRule(fmt.Sprintf("%s . %s saddr%s @%s return", dialledText(f, false), ipWord(f), text, set),
		onlyFamily(f), load, parts, inSet(set), returns())
}
