// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"

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
