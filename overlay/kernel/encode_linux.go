// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"fairlead/internal/nl"
	"fairlead/overlay"

	"golang.org/x/sys/unix"
)

// encode adds the request that carries out a step. index is that of the entry's
// device.
func encode(r *nl.Messages, s *overlay.Step, index int32, protocol uint8) {
	switch s.Kind {
	case overlay.Address:
		encodeAddress(r, s, index)
	case overlay.FDB, overlay.Neighbour:
		encodeNeighbour(r, s, index)
	case overlay.Route:
		encodeRoute(r, s, index, protocol)
	case overlay.Rule:
		encodeRule(r, s, protocol)
	}
}

// The overlay owns everything on its devices, so it may replace it.
const createOrReplace = unix.NLM_F_CREATE | unix.NLM_F_REPLACE

func encodeAddress(r *nl.Messages, s *overlay.Step, index int32) {
	kind, flags := uint16(unix.RTM_NEWADDR), createOrReplace
	if s.Op == overlay.Remove {
		kind, flags = unix.RTM_DELADDR, 0
	}
	addr := s.Dst.Addr()
	// struct ifaddrmsg: family, prefix length, flags, scope, index
	body := []byte{osFamily(addr), byte(s.Dst.Bits()), 0, unix.RT_SCOPE_UNIVERSE}
	r.Begin(kind, flags, binary.NativeEndian.AppendUint32(body, uint32(index))...)
	r.Attr(unix.IFA_LOCAL, addr.AsSlice()...)
	r.Attr(unix.IFA_ADDRESS, addr.AsSlice()...)
	if addr.Is6() && s.Op != overlay.Remove {
		// Duplicate address detection finds no other host: the device floods nothing.
		r.U32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
}

func encodeNeighbour(r *nl.Messages, s *overlay.Step, index int32) {
	kind, flags := uint16(unix.RTM_NEWNEIGH), createOrReplace
	if s.Op == overlay.Remove {
		kind, flags = unix.RTM_DELNEIGH, 0
	}
	dst, family, ntf := s.Dst.Addr(), byte(unix.AF_BRIDGE), byte(unix.NTF_SELF)
	if s.Kind == overlay.Neighbour {
		family, ntf = osFamily(dst), 0
	} else {
		dst = s.Via
	}
	// struct ndmsg: family, padding, index, state, flags, type
	body := binary.NativeEndian.AppendUint32([]byte{family, 0, 0, 0}, uint32(index))
	// Permanent neighbours do not count for gc_thresh (kernel 5.0), and permanent FDB
	// entries do not age.
	body = binary.NativeEndian.AppendUint16(body, unix.NUD_PERMANENT)
	r.Begin(kind, flags, append(body, ntf, 0)...)
	if dst.IsValid() {
		r.Attr(unix.NDA_DST, dst.AsSlice()...)
	}
	if s.Kind == overlay.FDB || s.Op != overlay.Remove {
		r.Attr(unix.NDA_LLADDR, s.MAC[:]...)
	}
}

// encodeRoute adds a route only if its destination has none (NLM_F_EXCL), because that
// one would belong to another program, such as the route of a bridge. It replaces only
// routes that Load returned.
func encodeRoute(r *nl.Messages, s *overlay.Step, index int32, protocol uint8) {
	kind, flags := uint16(unix.RTM_NEWROUTE), unix.NLM_F_CREATE|unix.NLM_F_EXCL
	scope, typ := byte(unix.RT_SCOPE_UNIVERSE), byte(unix.RTN_UNICAST)
	switch s.Op {
	case overlay.Replace:
		flags = createOrReplace
	case overlay.Remove:
		// Any type and scope match; the protocol has to be equal.
		kind, flags, scope, typ = unix.RTM_DELROUTE, 0, unix.RT_SCOPE_NOWHERE, 0
	}
	onlink := uint32(0)
	if s.OnLink && s.Op != overlay.Remove {
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
	if s.Table != 0 {
		r.U32(unix.RTA_TABLE, s.Table)
	}
}

// encodeRule removes a rule of an earlier version. Any mark matches.
func encodeRule(r *nl.Messages, s *overlay.Step, protocol uint8) {
	// struct fib_rule_hdr: family, lengths, TOS, table, reserved, action, flags
	r.Begin(unix.RTM_DELRULE, 0, osFamily(s.Dst.Addr()), 0, byte(s.Dst.Bits()), 0, 0, 0, 0, unix.FR_ACT_TO_TBL, 0, 0, 0, 0)
	r.Attr(unix.FRA_SRC, s.Dst.Addr().AsSlice()...)
	r.U32(unix.FRA_TABLE, s.Table)
	r.U32(unix.FRA_PRIORITY, s.Metric)
	r.U8(unix.FRA_PROTOCOL, protocol)
}

func osFamily(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Write carries out steps in order and with one system call. target returns the
// index of a step's device and the protocol of its route. Write calls refused for
// each step that the kernel does not accept; an error of Write itself means that
// the outcome is not known.
func (s *Conn) Write(steps []overlay.Step, target func(*overlay.Step) (index int32, protocol uint8), refused func(i int, err error)) error {
	return s.write(func(r *nl.Messages) {
		for i := range steps {
			index, protocol := target(&steps[i])
			encode(r, &steps[i], index, protocol)
		}
	}, refused)
}

// Gone reports whether an object was not there to be deleted.
func Gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENXIO)
}
