// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// target is an xtables target, as iptables-nft uses them.
func target(e *expr.Target) (answer, verdict, bool) {
	switch e.Name {
	case "REJECT", "TARPIT":
		return yes, verdict{kind: drop}, true
	case "NFQUEUE", "SYNPROXY":
		return yes, verdict{kind: accept}, true // somebody else decides
	}
	return yes, verdict{}, false // LOG, MARK, TCPMSS ...
}

// match is an xtables match.
func match(e *expr.Match, p packet) answer {
	switch i := e.Info.(type) {
	case *xt.Comment:
		return yes
	case *xt.ConntrackMtinfo1:
		return conntrackMatch(&i.ConntrackMtinfoBase, uint16(i.StateMask), uint16(i.StatusMask), p)
	case *xt.ConntrackMtinfo2:
		return conntrackMatch(&i.ConntrackMtinfoBase, i.StateMask, i.StatusMask, p)
	case *xt.ConntrackMtinfo3:
		return conntrackMatch(&i.ConntrackMtinfoBase, i.StateMask, i.StatusMask, p)
	case *xt.AddrType:
		return min(addrType(i.Source, i.InvertSource), addrType(i.Dest, i.InvertDest))
	case *xt.AddrTypeV1:
		return min(addrType(i.Source, i.Flags&1 != 0), addrType(i.Dest, i.Flags&2 != 0))
	case *xt.Tcp:
		if i.Option != 0 || i.FlagsMask != 0 {
			return maybe
		}
		return min(ports(i.SrcPorts, srcPort, i.InvFlags&xt.TcpInvSrcPorts != 0), ports(i.DstPorts, dstPort, i.InvFlags&xt.TcpInvDestPorts != 0))
	}
	switch e.Name {
	case "comment":
		return yes
	case "udp", "icmp", "icmp6", "sctp", "dccp", "esp", "ah":
		return no // packets are of TCP
	}
	return maybe
}

// addrType looks at xt_addrtype's mask of types, 0 for any. All addresses are
// unicast, and none is the node's.
func addrType(mask uint16, invert bool) answer {
	if mask == 0 {
		return yes
	}
	return unless(sure(mask&uint16(xt.AddrTypeUnicast) != 0), invert)
}

func ports(r [2]uint16, port uint16, invert bool) answer {
	return unless(sure(r[0] <= port && port <= r[1]), invert)
}

// stateDNAT is a bit of xt_conntrack's state that nftables' does not have.
const stateDNAT = 1 << 7

func conntrackMatch(i *xt.ConntrackMtinfoBase, states, statuses uint16, p packet) answer {
	flags, inverted := xt.ConntrackFlags(i.MatchFlags), xt.ConntrackFlags(i.InvertFlags)
	out := yes
	if flags&xt.ConntrackState != 0 {
		have := uint16(p.state())
		if p.dnat {
			have |= stateDNAT
		}
		out = min(out, unless(sure(have&states != 0), inverted&xt.ConntrackState != 0))
	}
	if flags&xt.ConntrackStatus != 0 {
		out = min(out, unless(sure(uint16(p.status())&statuses != 0), inverted&xt.ConntrackStatus != 0))
	}
	if flags&^(xt.ConntrackState|xt.ConntrackStatus|xt.ConntrackStateAlias) != 0 {
		out = min(out, maybe)
	}
	return out
}
