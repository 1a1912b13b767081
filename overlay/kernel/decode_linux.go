// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"math"
	"net/netip"

	"fairlead/internal/nl"
	"fairlead/overlay"

	"golang.org/x/sys/unix"
)

// Found is an entry in the kernel. Its device is known by index only.
type Found struct {
	overlay.Entry
	Index int32
	// Transient means that the kernel resolves this neighbour itself. It need not be
	// removed, but it does not serve as the planned entry either.
	Transient bool
	// protocol is that of a route or rule of another program, else 0.
	protocol uint8
	// passing means that an IPv6 address goes soon, or must not be used.
	passing bool
}

// decodeEntry reads a message about an entry. It returns false for messages that
// cannot concern the overlay.
func decodeEntry(m nl.Reply, protocol uint8) (Found, bool) {
	switch m.Kind {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return decodeAddress(m.Body)
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return decodeNeighbour(m.Body)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return decodeRoute(m.Body, protocol)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return decodeRule(m.Body, protocol)
	}
	return Found{}, false
}

func decodeAddress(b []byte) (f Found, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return f, false
	}
	f.Kind, f.Index = overlay.Address, int32(nl.U32(b[4:]))
	bits, flags := int(b[1]), uint32(b[2])
	var addr netip.Addr
	for kind, v := range nl.Attrs(b[unix.SizeofIfAddrmsg:]) {
		// IFA_LOCAL is the local end of a point-to-point link; else both are equal.
		if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS && !addr.IsValid() {
			addr, _ = netip.AddrFromSlice(v)
		}
		if kind == unix.IFA_FLAGS {
			flags = nl.U32(v)
		}
	}
	f.Dst = netip.PrefixFrom(addr, bits)
	f.passing = b[0] == unix.AF_INET6 && flags&(unix.IFA_F_TEMPORARY|unix.IFA_F_DEPRECATED|unix.IFA_F_DADFAILED) != 0
	return f, f.Dst.IsValid()
}

const (
	ndaNextHop = 13 // NDA_NH_ID
	rtaNextHop = 30 // RTA_NH_ID
)

func decodeNeighbour(b []byte) (f Found, ok bool) {
	if len(b) < unix.SizeofNdMsg {
		return f, false
	}
	state, flags := binary.NativeEndian.Uint16(b[8:]), b[10]
	f.Kind, f.Index = overlay.Neighbour, int32(nl.U32(b[4:]))
	if b[0] == unix.AF_BRIDGE {
		f.Kind = overlay.FDB
	}
	var dst netip.Addr
	for kind, v := range nl.Attrs(b[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.NDA_LLADDR:
			if len(v) == len(f.MAC) {
				copy(f.MAC[:], v)
			}
		case unix.NDA_VNI, unix.NDA_PORT, unix.NDA_IFINDEX, ndaNextHop:
			f.Odd = true // the entry leads to another device, port or VNI
		}
	}
	if f.Kind == overlay.FDB {
		f.Via = dst
		// The bridge command adds NOARP, which has no effect here.
		f.Odd = f.Odd || state&^unix.NUD_NOARP != unix.NUD_PERMANENT || flags&^unix.NTF_SELF != 0 || !dst.IsValid()
		return f, true
	}
	if !dst.IsValid() {
		return f, false
	}
	f.Dst = overlay.Single(dst)
	f.Transient = state&unix.NUD_PERMANENT == 0
	f.Odd = f.Transient || flags != 0
	return f, true
}

func decodeRoute(b []byte, protocol uint8) (f Found, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return f, false
	}
	family, bits, table, proto, typ := b[0], int(b[1]), uint32(b[4]), b[5], b[7]
	f.Kind = overlay.Route
	f.OnLink = nl.U32(b[8:])&unix.RTNH_F_ONLINK != 0
	f.Odd = typ != unix.RTN_UNICAST || b[3] != 0 // another type, or a TOS
	dst := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for kind, v := range nl.Attrs(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.RTA_GATEWAY:
			f.Via, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			f.Index = int32(nl.U32(v))
		case unix.RTA_PRIORITY:
			f.Metric = nl.U32(v)
		case unix.RTA_TABLE:
			table = nl.U32(v)
		case unix.RTA_MULTIPATH, unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_METRICS, unix.RTA_PREFSRC, rtaNextHop:
			f.Odd = true
		}
	}
	f.Dst = netip.PrefixFrom(dst, bits)
	if table != unix.RT_TABLE_MAIN {
		f.Table = table
	}
	ok = (table == unix.RT_TABLE_MAIN || table == overlay.ReplyTable) && f.Dst.IsValid()
	if ok && proto != protocol {
		f.protocol = proto
	}
	return f, ok && proto == protocol
}

// decodeDefault returns the links by which a default route leads, and its metric. It returns
// no links for another route. Whoever wrote the route may have given it a source address,
// an MTU or a hop limit, as DHCP clients and router advertisements do.
func decodeDefault(b []byte) (links []int32, metric uint32) {
	if len(b) < unix.SizeofRtMsg || b[1] != 0 || b[3] != 0 || b[7] != unix.RTN_UNICAST { // of a range, for a TOS, unreachable
		return nil, 0
	}
	for kind, v := range nl.Attrs(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_OIF:
			links = append(links, int32(nl.U32(v)))
		case unix.RTA_PRIORITY:
			metric = nl.U32(v)
		case unix.RTA_MULTIPATH:
			for len(v) >= unix.SizeofRtNexthop { // struct rtnexthop: length, flags, weight, index
				links = append(links, int32(nl.U32(v[4:])))
				size := max(int(binary.NativeEndian.Uint16(v)+3)&^3, unix.SizeofRtNexthop)
				v = v[min(size, len(v)):]
			}
		}
	}
	return links, metric
}

// decodeRule reads a routing rule. Ours have our protocol (FRA_PROTOCOL, 4.17).
func decodeRule(b []byte, protocol uint8) (f Found, ok bool) {
	if len(b) < unix.SizeofRtMsg { // struct fib_rule_hdr has the same size
		return f, false
	}
	family, bits, action, flags := b[0], int(b[2]), b[7], nl.U32(b[8:])
	f.Kind, f.Table = overlay.Rule, uint32(b[4])
	f.Odd = action != unix.FR_ACT_TO_TBL || flags != 0 || b[1] != 0 || b[3] != 0 // inverted, with a destination or TOS
	src := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		src = netip.IPv6Unspecified()
	}
	var proto uint8
	var mask uint32
	for kind, v := range nl.Attrs(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.FRA_SRC:
			src, _ = netip.AddrFromSlice(v)
		case unix.FRA_FWMARK:
			f.Mark = nl.U32(v)
		case unix.FRA_FWMASK:
			mask = nl.U32(v)
		case unix.FRA_TABLE:
			f.Table = nl.U32(v)
		case unix.FRA_PRIORITY:
			f.Metric = nl.U32(v)
		case unix.FRA_PROTOCOL:
			proto = nl.U8(v)
		case unix.FRA_SUPPRESS_PREFIXLEN:
			f.Odd = f.Odd || nl.U32(v) != math.MaxUint32
		case unix.FRA_IIFNAME, unix.FRA_OIFNAME, unix.FRA_GOTO, unix.FRA_TUN_ID, unix.FRA_UID_RANGE, unix.FRA_IP_PROTO, unix.FRA_SPORT_RANGE, unix.FRA_DPORT_RANGE:
			f.Odd = true
		}
	}
	f.Odd = f.Odd || mask != f.Mark
	f.Dst = netip.PrefixFrom(src, bits)
	return f, proto == protocol && f.Dst.IsValid()
}
