// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// target is an xtables target, as iptables-nft uses them.
func target(e *expr.Target) (answer, verdict, bool) {
	switch e.Name {
	case "REJECT", "TARPIT":
		return yes, verdict{kind: drop}, true
	case "NFQUEUE", "SYNPROXY":
		return yes, verdict{kind: accept}, true // another program decides
	case "DNAT", "REDIRECT", "TPROXY":
		return yes, verdict{kind: translate}, true
	case "NOTRACK":
		return yes, verdict{kind: untrack}, true
	case "CT":
		if info, ok := e.Info.(*xt.Unknown); ok && len(*info) > 0 && (*info)[0]&ctNoTrack != 0 {
			return yes, verdict{kind: untrack}, true
		}
	}
	return yes, verdict{}, false // LOG, MARK, TCPMSS ...
}

// ctNoTrack is XT_CT_NOTRACK in the flags of struct xt_ct_target_info.
const ctNoTrack = 1

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
		return min(addrType(i.Source, i.InvertSource, false), addrType(i.Dest, i.InvertDest, p.local))
	case *xt.AddrTypeV1:
		return min(addrType(i.Source, i.Flags&1 != 0, false), addrType(i.Dest, i.Flags&2 != 0, p.local))
	case *xt.Udp:
		if p.l4() != protoUDP {
			return no
		}
		return min(ports(i.SrcPorts, srcPort, i.InvFlags&xt.UdpInvSrcPorts != 0), ports(i.DstPorts, p.toPort(), i.InvFlags&xt.UdpInvDestPorts != 0))
	case *xt.Tcp:
		if p.l4() != protoTCP {
			return no
		}
		if i.Option != 0 || i.FlagsMask != 0 {
			return maybe
		}
		return min(ports(i.SrcPorts, srcPort, i.InvFlags&xt.TcpInvSrcPorts != 0), ports(i.DstPorts, p.toPort(), i.InvFlags&xt.TcpInvDestPorts != 0))
	}
	switch e.Name {
	case "comment":
		return yes
	case "icmp", "icmp6", "dccp", "esp", "ah":
		return no // packets are of TCP or UDP
	case "tcp", "udp", "sctp":
		if e.Name != protoName(p.l4()) {
			return no
		}
	case "multiport":
		if info, ok := e.Info.(*xt.Unknown); ok && e.Rev == 1 {
			return multiport(*info, p)
		}
	}
	return maybe
}

// addrType checks xt_addrtype's mask of types, 0 for any. All addresses are unicast,
// and those of the node itself are local.
func addrType(mask uint16, invert, local bool) answer {
	if mask == 0 {
		return yes
	}
	have := xt.AddrTypeUnicast
	if local {
		have = xt.AddrTypeLocal
	}
	return unless(sure(mask&uint16(have) != 0), invert)
}

// multiport reads struct xt_multiport_v1: which ports of the packet count, how many
// of the 15 follow, the ports, whether each begins a range, and an inversion.
func multiport(info []byte, p packet) answer {
	const most, size = 15, 2 + 2*15 + 15 + 1
	if len(info) < size || info[1] > most {
		return maybe
	}
	match := func(port uint16) bool {
		for i := 0; i < int(info[1]); i++ {
			low := binary.NativeEndian.Uint16(info[2+2*i:])
			high := low
			if info[2+2*most+i] != 0 && i+1 < int(info[1]) {
				i++
				high = binary.NativeEndian.Uint16(info[2+2*i:])
			}
			if low <= port && port <= high {
				return true
			}
		}
		return false
	}
	var found bool
	switch info[0] { // enum xt_multiport_flags
	case 0:
		found = match(srcPort)
	case 1:
		found = match(p.toPort())
	default:
		found = match(srcPort) || match(p.toPort())
	}
	return unless(sure(found), info[size-1] != 0)
}

func ports(r [2]uint16, port uint16, invert bool) answer {
	return unless(sure(r[0] <= port && port <= r[1]), invert)
}

// Bits of xt_conntrack's state that nftables does not have, or has elsewhere.
const (
	stateDNAT      = 1 << 7
	stateUntracked = 1 << 8
)

func conntrackMatch(i *xt.ConntrackMtinfoBase, states, statuses uint16, p packet) answer {
	flags, inverted := xt.ConntrackFlags(i.MatchFlags), xt.ConntrackFlags(i.InvertFlags)
	out := yes
	if flags&xt.ConntrackState != 0 {
		have := uint16(p.state())
		if p.untracked {
			have = stateUntracked
		}
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
