// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package firewall finds rules of other programs that drop forwarded pod traffic, or
// packets to ports of the node that others have to reach.
//
// Every base chain of a hook sees a packet, in order of priority. "accept" ends
// that chain only; "drop" ends the packet. So no rule of fairlead can rescue a packet
// that Docker's "policy drop" or the last rule of firewalld or ufw drops. That chain
// itself has to accept it. See moby/moby#39439, firewalld#767.
//
//	kernel --Load--> Ruleset --Check(Config)--> []Finding --String--> commands to run
//	                                               └-------Apply----> a rule in that chain
//
// # How Check decides
//
// Check plays the hooks forward, input, prerouting and postrouting: it sends the kinds of packets
// that a pod network has (see Flow and Port) through the rules as nf_tables would,
// jumps, sets and maps included. It evaluates every rule that it understands. Any other
// rule (an ipset, a limit, the time of day) may accept the packet, and Check reports a
// drop behind it as possible. Check ignores drops by such a rule. So it never reports a
// ruleset that lets pods pass.
//
// Load reads nftables, which iptables-nft also writes, and the tables of legacy
// iptables where the kernel has any. Apply cannot change the latter.
//
// Ruleset and Finding are values; nothing here keeps state or logs.
package firewall
