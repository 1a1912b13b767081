// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/binary"
	"net/netip"

	"fairlead/internal/nl"

	"golang.org/x/sys/unix"
)

// encode appends the request that carries out a step. index is that of the
// entry's device.
func (s *Step) encode(r *nl.Messages, index int32, protocol uint8) {
	switch s.Kind {
	case Address:
		s.encodeAddress(r, index)
	case FDB, Neighbour:
		s.encodeNeighbour(r, index)
	case Route:
		s.encodeRoute(r, index, protocol)
	}
}

// Whatever is on our device is ours to replace.
const createOrReplace = unix.NLM_F_CREATE | unix.NLM_F_REPLACE

func (s *Step) encodeAddress(r *nl.Messages, index int32) {
	kind, flags := uint16(unix.RTM_NEWADDR), createOrReplace
	if s.Op == Remove {
		kind, flags = unix.RTM_DELADDR, 0
	}
	addr := s.Dst.Addr()
	// struct ifaddrmsg: family, prefix length, flags, scope, index
	body := []byte{osFamily(addr), byte(s.Dst.Bits()), 0, unix.RT_SCOPE_UNIVERSE}
	r.Begin(kind, flags, binary.NativeEndian.AppendUint32(body, uint32(index))...)
	r.Attr(unix.IFA_LOCAL, addr.AsSlice()...)
	r.Attr(unix.IFA_ADDRESS, addr.AsSlice()...)
	if addr.Is6() && s.Op != Remove {
		// There is nobody to ask: the device floods nothing.
		r.U32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
}

func (s *Step) encodeNeighbour(r *nl.Messages, index int32) {
	kind, flags := uint16(unix.RTM_NEWNEIGH), createOrReplace
	if s.Op == Remove {
		kind, flags = unix.RTM_DELNEIGH, 0
	}
	dst, family, ntf := s.Dst.Addr(), byte(unix.AF_BRIDGE), byte(unix.NTF_SELF)
	if s.Kind == Neighbour {
		family, ntf = osFamily(dst), 0
	} else {
		dst = s.Via
	}
	// struct ndmsg: family, padding, index, state, flags, type
	body := binary.NativeEndian.AppendUint32([]byte{family, 0, 0, 0}, uint32(index))
	// Permanent neighbours do not count for gc_thresh (5.0), and permanent FDB
	// entries do not age.
	body = binary.NativeEndian.AppendUint16(body, unix.NUD_PERMANENT)
	r.Begin(kind, flags, append(body, ntf, 0)...)
	if dst.IsValid() {
		r.Attr(unix.NDA_DST, dst.AsSlice()...)
	}
	if s.Kind == FDB || s.Op != Remove {
		r.Attr(unix.NDA_LLADDR, s.MAC[:]...)
	}
}

// encodeRoute adds a route only where there is none for its destination: what is
// there would be somebody else's, and for instance a bridge's. A route that is
// replaced was seen to be ours.
func (s *Step) encodeRoute(r *nl.Messages, index int32, protocol uint8) {
	kind, flags := uint16(unix.RTM_NEWROUTE), unix.NLM_F_CREATE|unix.NLM_F_EXCL
	scope, typ := byte(unix.RT_SCOPE_UNIVERSE), byte(unix.RTN_UNICAST)
	switch s.Op {
	case Replace:
		flags = createOrReplace
	case Remove:
		// Of whatever type and scope; the protocol has to match.
		kind, flags, scope, typ = unix.RTM_DELROUTE, 0, unix.RT_SCOPE_NOWHERE, 0
	}
	onlink := uint32(0)
	if s.OnLink && s.Op != Remove {
		onlink = unix.RTNH_F_ONLINK
	}
	// struct rtmsg: family, lengths, TOS, table, protocol, scope, type, flags
	body := []byte{osFamily(s.Dst.Addr()), byte(s.Dst.Bits()), 0, 0, unix.RT_TABLE_MAIN, protocol, scope, typ}
	r.Begin(kind, flags, binary.NativeEndian.AppendUint32(body, onlink)...)
	r.Attr(unix.RTA_DST, s.Dst.Addr().AsSlice()...)
	if s.Via.IsValid() {
		r.Attr(unix.RTA_GATEWAY, s.Via.AsSlice()...)
	}
	if index != 0 {
		r.U32(unix.RTA_OIF, uint32(index))
	}
	if s.Metric != 0 {
		r.U32(unix.RTA_PRIORITY, s.Metric)
	}
}

func osFamily(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
