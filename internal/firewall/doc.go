// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package firewall finds rules of other programs that drop forwarded pod traffic, or
// packets to ports of the node that others have to reach.
//
// Every base chain of a hook sees a packet, in order of priority. "accept" ends
// that chain only; "drop" ends the packet. So no rule of fairlead can let through
// what Docker's "policy drop", the last rule of firewalld or ufw throws away:
// that chain itself has to accept it. See moby/moby#39439, firewalld#767.
//
//	kernel --Load--> Ruleset --Check(Config)--> []Finding --String--> what to type
//	                                               └-------Apply----> a rule in that chain
//
// # How it is decided
//
// Check plays the hooks forward, input and prerouting: it sends the kinds of packets
// that a pod network has (see Flow and Port) through the rules as nf_tables would,
// jumps, sets and maps included. A rule that is understood matches or does not. One that is not
// (an ipset, a limit, the time of day) may accept, and then a drop behind it is
// reported as possible; what it may drop is not reported. So a ruleset that lets
// pods pass is never reported.
//
// Load reads nftables, which iptables-nft writes, too, and the tables of legacy
// iptables where the kernel has any. The latter can be told, not changed.
//
// Ruleset and Finding are values; nothing here keeps state or logs.
package firewall
